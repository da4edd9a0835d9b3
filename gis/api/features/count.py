"""numberMatched at a bounded price: exact where it is cheap, the planner's estimate where it is not.

Of a restricted layer nothing is estimated: the planner knows all of its rows, the caller may see some.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.errors import QueryCanceled
from psycopg.pq import TransactionStatus

from gis.api.features.paging import Count
from gis.api.features.params import ItemsQuery
from gis.api.features.query import rows_read
from gis.api.features.where import Selection
from layers.registry import Layer

#: Exact up to here ...
EXACT_ROWS: Final = 100_000
#: ... and where the planner believes that it costs no more than this: some 10 ms, 50,000 rows to look at.
#: Tried out instead, each first page of a filter on a layer of 200,000 took 40 ms to count, ten times what
#: the page took. ...
EXACT_COST: Final = 6_000.0
#: ... and as far as counting takes no longer than this (seconds); of a restricted layer, however many.
EXACT_SECONDS: Final = 0.1
RESTRICTED_SECONDS: Final = 1.0


def known_count(query: ItemsQuery, read: int, total: int | None) -> Count | None:
    """numberMatched as far as a page tells it, of which ``read`` rows were met; None if it does not."""
    if total is not None:
        return Count(total)
    if query.after is not None and query.after.matched is not None:
        return query.after.matched
    skipped = query.after.position if query.after else query.offset
    if read < rows_read(query) and (read or not skipped):
        return Count(skipped + read)
    return None


async def count(
    connection: AsyncConnection[Any], layer: Layer, selection: Selection, at_least: int
) -> Count | None:
    """Rows of the selection, counted up to EXACT_COST, EXACT_ROWS and EXACT_SECONDS, else estimated.

    None for a restricted layer that takes longer than RESTRICTED_SECONDS.
    """
    hidden = layer.access != "public"
    selected = " UNION ALL ".join(f"SELECT 1 FROM {source}" for source in selection.together())  # noqa: S608
    rows = 0
    if not hidden:
        cursor = await connection.execute(
            f"EXPLAIN (FORMAT JSON) {selected}".encode(), selection.values, prepare=False
        )
        row = await cursor.fetchone()
        assert row is not None
        plan = row[0][0]["Plan"]
        rows = int(plan["Plan Rows"])
        if plan["Total Cost"] > EXACT_COST:
            return Count(max(rows, at_least), estimated=True)
    most = "" if hidden else f"LIMIT {EXACT_ROWS + 1}"
    counting = f"SELECT count(*) FROM ({selected} {most}) AS counted"  # noqa: S608
    try:
        # Leaving the block cancels the query in the database; the connection stays good.
        async with _savepoint(connection), asyncio.timeout(RESTRICTED_SECONDS if hidden else EXACT_SECONDS):
            cursor = await connection.execute(counting.encode(), selection.values, prepare=False)
            row = await cursor.fetchone()
        if row is not None and (hidden or row[0] <= EXACT_ROWS):
            return Count(int(row[0]))
        at_least = max(at_least, EXACT_ROWS + 1)
    except (TimeoutError, QueryCanceled):
        if hidden:
            return None
    return Count(max(rows, at_least), estimated=True)


def _savepoint(connection: AsyncConnection[Any]) -> AbstractAsyncContextManager[Any]:
    """What a cancelled query leaves behind of a member's transaction; a reader has none."""
    idle = connection.info.transaction_status == TransactionStatus.IDLE
    return nullcontext() if idle else connection.transaction()
