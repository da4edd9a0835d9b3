"""The checks on what an edit touched, inside its transaction: what is stored, what is told, what refuses it.

A finding refuses the edit when it is new, about a feature that the edit changed, and of severity E; a layer's
``checks:`` say otherwise by ``reject: true|false``. What was wrong before is no reason to refuse. Rules that
speak of what may come with the next request (Rule.awaits) do not refuse a request of a single feature.

Findings that tell of what the author may not see are stored, and neither told nor a reason to refuse.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from gis.checks.concern import Change
from gis.checks.incremental import Ahead, Send, recheck
from gis.checks.model import Finding
from gis.checks.window import Setting
from gis.db.sql import CHECKER, EDITOR
from gis.edit.session import take_role


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
    ahead: Ahead | None = None,
    last: list[Send] | None = None,
) -> Judged:
    """Judge ``changes``, made in this transaction (gis.edit.session.editing), and store what is found.

    ``connection``: in role bandoso_checker, before (or when ``ahead`` was sent) and after. ``stepwise``: a
    single-feature request: rules that wait for what is not yet drawn do not refuse it. ``lenient``: nothing
    is refused. ``ahead``, ``last``: as gis.checks.incremental.recheck has them. Raises psycopg.Error.
    """
    done = recheck(connection, setting, changes, stepwise=stepwise, ahead=ahead, last=last)
    if not done.new:
        return Judged()
    told = _told(connection, done.new, changes)
    refusing = set() if lenient else {id(one) for one in done.rejecting}
    return Judged(
        tuple(one for one in told if id(one) in refusing),
        tuple(one for one in told if id(one) not in refusing),
    )


def _told(
    connection: psycopg.Connection[Any], found: Iterable[Finding], changes: Iterable[Change]
) -> list[Finding]:
    """What the author may know: of hidden features only their own, and those that the author sees anyway."""
    own = {(change.layer, change.fid) for change in changes}
    owners: dict[str, frozenset[str]] = {}

    def seen(layer: str, owner: str) -> bool:
        if layer not in owners:
            if not owners:
                take_role(connection, EDITOR)
            row = connection.execute("SELECT bandoso.owners_seen(%s)", [layer]).fetchone()
            owners[layer] = frozenset(row[0] if row else ())
        return owner in owners[layer]

    told = [
        one
        for one in found
        if not one.restricted
        or all((ref.layer, ref.fid) in own or seen(ref.layer, ref.owner) for ref in one.features)
    ]
    if owners:
        take_role(connection, CHECKER)
    return told
