"""Connections for somebody who has logged in: pooled ones, for as long as each is used in his name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache
from typing import Protocol

from psycopg import AsyncConnection, sql
from psycopg_pool import AsyncConnectionPool

from gis.db.sql import MEMBER


class Connections(Protocol):
    """What requests read through: the readers' pool, or that of a member."""

    def connection(self, timeout: float | None = None) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection to read by, for the length of the block."""


class MemberConnections:
    """Connections of the readers' pool, each in a read-only transaction with the role bandoso_member.

    The policies and views of gis.db.door then see ``account`` and ``token`` (None: no API token). The
    transaction ends with the block, and role and settings with it: what goes back to the pool is a reader
    again, whatever happened. It is begun by one message (70 us on a socket); a failed statement ends it,
    so whoever expects one opens a savepoint (``connection.transaction()``).
    """

    def __init__(
        self, readers: AsyncConnectionPool[AsyncConnection], account: int, token: int | None
    ) -> None:
        self._readers = readers
        self._begin = _begin(account, token)

    @asynccontextmanager
    async def connection(self, timeout: float | None = None) -> AsyncIterator[AsyncConnection]:
        """As that of the pool, and in the member's name. Raises what it raises."""
        async with self._readers.connection(timeout) as connection:  # which ends transactions left open
            await connection.execute(self._begin, prepare=False)
            yield connection


@lru_cache(maxsize=1000)
def _begin(account: int, token: int | None) -> bytes:
    """Begins a transaction in a member's name. Kept, as each request of somebody makes such connections."""
    return (
        sql.SQL(
            "BEGIN READ ONLY; SET LOCAL ROLE {}; SET LOCAL bandoso.account = {}; SET LOCAL bandoso.token = {}"
        )
        .format(
            sql.Identifier(MEMBER),
            sql.Literal(str(account)),
            sql.Literal("" if token is None else str(token)),
        )
        .as_bytes(None)
    )
