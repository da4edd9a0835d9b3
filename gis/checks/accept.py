"""What people say of findings: accepted with a reason, for a time or for good; open again; and one finding
with its suggested mends. Used by the command and, with users, by the API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import SQL, Composable

from gis.checks import store_sql as text
from gis.checks.locks import hold_alone
from gis.checks.model import Reported
from gis.checks.reported import reported
from gis.checks.store import PUBLIC, RESTRICTED
from gis.db import sql as names
from gis.errors import NotFoundError, UsageError
from layers.registry import Catalogue

MOST_REASON = 1_000


def accept(
    connection: psycopg.Connection[Any],
    catalogue: Catalogue,
    ids: Sequence[str],
    *,
    reason: str,
    until: date | None,
    today: date,
) -> int:
    """Accept findings: they stay, but are not counted as errors until ``until`` (its day included; None: for
    good). All of ``ids`` or none; gives how many changed.

    Raises UsageError for a missing or overlong reason and a day that is past, NotFoundError for an unknown
    id, UsageError for one that is mended. Commits nothing: the transaction is the caller's.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise UsageError("accepting a finding needs a reason", hint='for example --reason "siphon, as built"')
    if len(reason) > MOST_REASON:
        raise UsageError(f"the reason has {len(reason)} letters; at most {MOST_REASON} are kept")
    if until is not None and until < today:
        raise UsageError(f"{until.isoformat()} is past", hint="name a day to come, or leave --until out")
    return _say(connection, catalogue, ids, "accepted", reason, until)


def reopen(connection: psycopg.Connection[Any], catalogue: Catalogue, ids: Sequence[str]) -> int:
    """Take acceptances back; all of ``ids`` or none. Raises as ``accept`` does."""
    return _say(connection, catalogue, ids, "open", None, None)


def one_finding(connection: psycopg.Connection[Any], catalogue: Catalogue, finding_id: str) -> Reported:
    """A finding of any state, with its mends. Raises NotFoundError."""
    parts = [
        text.REPORTED.format(news=SQL("CASE WHEN f.state = 'mended' THEN 'mended' ELSE 'again' END"))
        + SQL(" FROM {} AS f JOIN bandoso.finding_key AS k ON k.id = f.asset_id WHERE k.id = %(id)s").format(
            names.table(catalogue.layers[layer])
        )
        for layer in (PUBLIC, RESTRICTED)
    ]
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(SQL(" UNION ALL ").join(parts), {"id": finding_id}).fetchone()
    if row is None:
        raise _unknown([finding_id])
    return reported(row, row["last_seen"])


def _say(
    connection: psycopg.Connection[Any],
    catalogue: Catalogue,
    ids: Sequence[str],
    state: str,
    reason: str | None,
    until: date | None,
) -> int:
    wanted = list(dict.fromkeys(ids))
    hold_alone(connection)  # a run that is writing has read the states already
    known = dict(connection.execute(_STATES.format(*_tables(catalogue)), {"ids": wanted}).fetchall())
    if missing := [name for name in wanted if name not in known]:
        raise _unknown(missing)
    if mended := [name for name in wanted if known[name] == "mended"]:
        raise UsageError(f"finding {mended[0]} is mended", hint="there is nothing left to accept or to open")
    changed = 0
    for table in _tables(catalogue):
        changed += connection.execute(
            _CHANGE.format(table), {"ids": wanted, "state": state, "reason": reason, "until": until}
        ).rowcount
    return changed


def _tables(catalogue: Catalogue) -> list[Composable]:
    return [names.table(catalogue.layers[layer]) for layer in (PUBLIC, RESTRICTED)]


def _unknown(ids: Sequence[str]) -> NotFoundError:
    return NotFoundError(
        f"there is no finding {ids[0][:60]!r}",
        hint="bandoso check --report findings.csv lists their ids; the layer finding has them as asset_id",
    )


_STATES = SQL(
    "SELECT asset_id, state FROM {} WHERE asset_id = ANY (%(ids)s)"
    " UNION ALL SELECT asset_id, state FROM {} WHERE asset_id = ANY (%(ids)s)"
)
_CHANGE = SQL(
    "UPDATE {} SET state = %(state)s, accepted_reason = %(reason)s, accepted_until = %(until)s,"
    " version = version + 1, updated_at = now() WHERE asset_id = ANY (%(ids)s)"
    " AND (state, accepted_reason, accepted_until) IS DISTINCT FROM (%(state)s, %(reason)s, %(until)s)"
)
