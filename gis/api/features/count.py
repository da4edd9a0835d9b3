"""numberMatched at a bounded price: exact where it is cheap, the planner's estimate where it is not."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.errors import QueryCanceled

from gis.api.features.paging import Count
from gis.api.features.params import ItemsQuery
from gis.api.features.query import rows_read
from gis.api.features.where import Selection
from gis.db.sql import table
from layers.registry import Layer

#: Exact up to here ...
EXACT_ROWS: Final = 100_000
#: ... and as far as counting takes no longer than this (seconds).
EXACT_SECONDS: Final = 0.1


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


async def count(connection: AsyncConnection[Any], layer: Layer, selection: Selection, at_least: int) -> Count:
    """Rows of the selection, counted up to EXACT_ROWS and EXACT_SECONDS, else estimated."""
    selected = f"FROM {table(layer).as_string(None)} {selection.where()}"
    counting = f"SELECT count(*) FROM (SELECT 1 {selected} LIMIT {EXACT_ROWS + 1}) AS counted"  # noqa: S608
    try:
        # Leaving the block cancels the query in the database; the connection stays good.
        async with asyncio.timeout(EXACT_SECONDS):
            cursor = await connection.execute(counting.encode(), selection.values, prepare=False)
            row = await cursor.fetchone()
        if row is not None and row[0] <= EXACT_ROWS:
            return Count(int(row[0]))
        at_least = max(at_least, EXACT_ROWS + 1)
    except (TimeoutError, QueryCanceled):
        pass
    explain = f"EXPLAIN (FORMAT JSON) SELECT 1 {selected}"
    cursor = await connection.execute(explain.encode(), selection.values, prepare=False)
    row = await cursor.fetchone()
    assert row is not None
    return Count(max(int(row[0][0]["Plan"]["Plan Rows"]), at_least), estimated=True)
