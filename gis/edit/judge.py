"""The checks on what an edit touched, inside its transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from gis.checks.concern import Change
from gis.checks.model import Finding
from gis.checks.window import Setting


@dataclass(frozen=True, slots=True)
class Judged:
    """``rejecting``: the edit must not be stored. ``warnings``: it is, and its author is told."""

    rejecting: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()


def judge(
    connection: psycopg.Connection[Any],
    setting: Setting,
    changes: Sequence[Change],
    *,
    stepwise: bool = False,
    lenient: bool = False,
) -> Judged:
    """Judge ``changes``, made before in this transaction (gis.edit.session.editing), and store what is found.

    ``stepwise``: a single-feature request: rules that wait for what is not yet drawn do not refuse it.
    ``lenient``: nothing is refused.
    """
    del connection, setting, changes, stepwise, lenient  # not judged yet
    return Judged()
