"""The whole city, for rules that no window decides: reachability, repeated keys, offsets of deliveries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gis.checks.source import Source
from gis.checks.window import Setting

T = TypeVar("T")


class Deferred(Exception):  # noqa: N818 - not a mistake: the answer is left to a later run
    """Raised by a global rule that cannot judge an edit in bounded time; a full run of it is due."""


@dataclass(frozen=True)
class Whole:
    """What a global rule sees. ``changed`` (layer -> fids) limits it to what an edit can affect; None: all.

    With ``changed`` the rule reports every finding that involves a changed feature, and says by ``judged``
    in its findings nothing about others; or it raises Deferred.
    """

    source: Source
    setting: Setting
    changed: Mapping[str, frozenset[int]] | None = None
    _memo: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def memo(self, key: Any, compute: Callable[[], T]) -> T:
        """A result that several rules share, computed once for this Whole (and held as long as it)."""
        if key not in self._memo:
            self._memo[key] = compute()
        found: T = self._memo[key]
        return found
