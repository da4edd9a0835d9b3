"""Connections of this package: plans made once, and a statement that takes too long gives nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection, sql

from gis.api.state import State
from layers.registry import Layer

#: Plans of sixty layers in one statement take longer to make than to run; each of these statements has one
#: way to be run well, by an index, whatever its values.
_SETTINGS: Final = (
    "SELECT set_config('plan_cache_mode', 'force_generic_plan', true),"
    " set_config('enable_seqscan', 'off', true), set_config('statement_timeout', %s, true)"
)


_MOST_COMPOSED: Final = 500
_composed: dict[Hashable, bytes] = {}


def composed(key: Hashable, make: Callable[[], sql.Composable]) -> bytes:
    """The text of a statement, put together once: of sixty layers that takes longer than to run it.

    ``key`` tells all that it is made of: its name, the catalogue's fingerprint, the language, and so on.
    """
    text = _composed.get(key)
    if text is None:
        if len(_composed) >= _MOST_COMPOSED:
            _composed.clear()
        text = _composed[key] = make().as_bytes(None)
    return text


class Reading:
    """A connection in a transaction. ``complete``: False once something was left out for want of time."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self.connection = connection
        self.complete = True

    async def rows(
        self, query: sql.Composable | str | bytes, values: Mapping[str, Any] | Sequence[Any] = ()
    ) -> list[tuple[Any, ...]]:
        """All rows, or none if the statement took too long."""
        if isinstance(query, bytes):
            text = query
        else:
            text = query.encode() if isinstance(query, str) else query.as_bytes(None)
        try:
            async with self.connection.transaction():  # a savepoint: what fails takes nothing else with it
                cursor = await self.connection.execute(text, values or None)
                return await cursor.fetchall()
        except psycopg.errors.QueryCanceled:
            self.complete = False
            return []


@asynccontextmanager
async def reading(state: State, layers: Sequence[Layer], timeout_ms: int) -> AsyncIterator[Reading]:
    """One consistent look at these layers; each statement may take ``timeout_ms``."""
    async with state.reading(*layers).connection() as connection, connection.transaction():
        await connection.execute(_SETTINGS, [str(timeout_ms)])
        yield Reading(connection)
