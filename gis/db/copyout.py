"""COPY ... TO STDOUT, many rows at a time.

psycopg gives a row for each turn through its event loop (4 us); here whatever has come is taken at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from psycopg import AsyncConnection, errors, sql
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn
from psycopg.waiting import Ready, Wait

#: Bytes before the first row of the binary format: signature, flags, length of the extension (none).
BINARY_HEADER = 19
#: After its last row.
BINARY_TRAILER = b"\xff\xff"

#: Seconds in which further rows may come before they are looked for again: PostgreSQL sends 8 kB at a time,
#: and to wait for each costs more than to read it. Its socket holds what it makes in 4 ms.
GATHER = 0.001

Row = bytes | memoryview


async def batches(
    connection: AsyncConnection[Any],
    statement: sql.Composed,
    values: Mapping[str, object],
    *,
    most_rows: int,
    most_bytes: int,
    first: int | None = None,
) -> AsyncGenerator[list[Row]]:
    """Rows as PostgreSQL sends them, never none. A batch has ``most_rows`` (the first one ``first``) or a row
    more than ``most_bytes``, but for the last. Raises what the statement raises."""
    async with connection.cursor() as cursor, cursor.copy(statement, values):
        limit = first or most_rows
        batch = _Batch()
        while not batch.ended:
            await connection.wait(batch.take(connection.pgconn, limit, most_bytes))
            if batch.is_full(limit, most_bytes) or (batch.ended and batch.rows):
                yield batch.rows
                batch, limit = _Batch(batch.ended), most_rows
            elif not batch.ended:
                await asyncio.sleep(GATHER)


async def binary_rows(
    connection: AsyncConnection[Any],
    statement: sql.Composed,
    values: Mapping[str, object],
    *,
    most_rows: int,
    most_bytes: int,
    first: int | None = None,
) -> AsyncGenerator[list[Row]]:
    """As ``batches``, of the binary format without what stands around its rows."""
    begun = False
    read = batches(connection, statement, values, most_rows=most_rows, most_bytes=most_bytes, first=first)
    async with aclosing(read):
        async for found in read:
            if not begun:
                found[0] = found[0][BINARY_HEADER:]
                begun = True
            if found[-1] == BINARY_TRAILER:
                found.pop()
            if found:
                yield found


@dataclass
class _Batch:
    """Rows that have come. ``ended``: there are no more."""

    ended: bool = False
    rows: list[Row] = field(default_factory=list)
    size: int = 0

    def is_full(self, most_rows: int, most_bytes: int) -> bool:
        """Whether these are enough."""
        return len(self.rows) >= most_rows or self.size >= most_bytes

    def take(self, pgconn: PGconn, most_rows: int, most_bytes: int) -> Generator[Wait, Ready | int, None]:
        """Take what has come, but wait for the first of it."""
        before = len(self.rows)
        looked = False
        while not self.is_full(most_rows, most_bytes):
            length, row = pgconn.get_copy_data(1)
            if length > 0:
                self.rows.append(row)
                self.size += length
                looked = False
            elif length < 0:
                self.ended = True
                yield from _end(pgconn)
                return
            elif looked and len(self.rows) > before:
                return
            else:
                while looked and not (yield Wait.R):
                    continue
                pgconn.consume_input()
                looked = True


def _end(pgconn: PGconn) -> Generator[Wait, Ready | int, None]:
    """Take what the statement ended with. Raises it when it is an error."""
    failed = None
    while True:
        while pgconn.is_busy():
            while not (yield Wait.R):
                continue
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            break
        if result.status != ExecStatus.COMMAND_OK and failed is None:
            failed = result
    if failed is not None:
        raise errors.error_from_result(failed)
