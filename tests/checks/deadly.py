"""A rule that ends the process that judges a certain feature, for the tests of the engine.

Unpickling a ``Deadly`` imports this module, and so registers the rule in a worker.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gis.checks.model import Application, Finding, Rule
from gis.checks.registry import local, reads, rules
from gis.checks.window import Window, corner
from layers.model import Text


@dataclass(frozen=True)
class Deadly:
    """The asset ids that end whoever looks, and how: ``kill``, ``raise`` or ``memory``."""

    asset_ids: tuple[str, ...]
    how: str


_TEXT = Text(vi="chết", en="deadly")
RULE = Rule(
    id="GEN-99", title=_TEXT, explanation=_TEXT, message=_TEXT, severity="E", scope="local", source="a test"
)


@local(RULE, needs=reads())
def gen_99(window: Window, app: Application) -> Iterator[Finding]:
    deadly: Any = app.parameters["deadly"]
    features = window.features(app.layers[0])
    mine = window.owns(corner(features.boxes))
    for asset_id in features.asset_id[mine]:
        if asset_id in deadly.asset_ids:
            if deadly.how == "raise":
                raise ValueError("a bug")
            if deadly.how == "memory":
                bytearray(10**11)
            os.kill(os.getpid(), signal.SIGKILL)
    yield from ()


rules.cache_clear()


def application(layer: str, *asset_ids: str, how: str = "kill") -> Application:
    parameters: Any = MappingProxyType({"deadly": Deadly(asset_ids, how)})
    return Application(RULE, (layer,), parameters)
