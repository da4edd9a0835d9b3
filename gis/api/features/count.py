"""numberMatched at a bounded price: exact where it is cheap, the planner's estimate where it is not."""

from __future__ import annotations

from typing import Any, Final

from psycopg import AsyncConnection, sql
from psycopg.errors import QueryCanceled

from gis.api.features.binding import Bind
from gis.api.features.paging import Count
from gis.api.features.params import ItemsQuery
from gis.api.features.where import conditions, where
from gis.db.sql import table
from layers.registry import Layer

#: Exact up to here ...
EXACT_ROWS: Final = 100_000
#: ... and as far as counting takes no longer than this.
EXACT_MS: Final = 200


def known_count(query: ItemsQuery, returned: int, more: bool, total: int | None) -> Count | None:
    """numberMatched as far as a page tells it; None when the rows would have to be counted."""
    if total is not None:
        return Count(total)
    if query.after is not None and query.after.matched is not None:
        return query.after.matched
    skipped = query.after.position if query.after else query.offset
    if not more and (returned or not skipped):
        return Count(skipped + returned)
    return None


async def count(
    connection: AsyncConnection[Any], layer: Layer, query: ItemsQuery, storage: int, at_least: int
) -> Count:
    """Rows that the request selects, counted up to EXACT_ROWS and EXACT_MS, else estimated."""
    bind = Bind()
    selected = sql.SQL("FROM {} {}").format(table(layer), where(conditions(layer, query, storage, bind)))
    counting = sql.SQL("SELECT count(*) FROM (SELECT 1 {} LIMIT {}) AS counted").format(
        selected, sql.Literal(EXACT_ROWS + 1)
    )
    try:
        async with connection.transaction():
            await connection.execute(
                sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(EXACT_MS))
            )
            cursor = await connection.execute(counting, bind.values)
            row = await cursor.fetchone()
        if row is not None and row[0] <= EXACT_ROWS:
            return Count(int(row[0]))
        at_least = max(at_least, EXACT_ROWS + 1)
    except QueryCanceled:
        pass
    cursor = await connection.execute(
        sql.SQL("EXPLAIN (FORMAT JSON) SELECT 1 {}").format(selected), bind.values, prepare=False
    )
    row = await cursor.fetchone()
    assert row is not None
    return Count(max(int(row[0][0]["Plan"]["Plan Rows"]), at_least), estimated=True)
