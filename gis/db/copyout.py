"""COPY ... TO STDOUT, many rows at a time.

psycopg gives a row for each turn through its event loop (4 us); here whatever has come is taken at once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import aclosing
from typing import Any

from psycopg import AsyncConnection, errors, sql
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn
from psycopg.waiting import Ready, Wait

#: Bytes before the first row of the binary format: signature, flags, length of the extension (none).
BINARY_HEADER = 19
#: After its last row.
BINARY_TRAILER = b"\xff\xff"

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
        ended = False
        while not ended:
            found, ended = await connection.wait(_batch(connection.pgconn, limit, most_bytes))
            if found:
                yield found
            limit = most_rows


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


def _batch(
    pgconn: PGconn, most_rows: int, most_bytes: int
) -> Generator[Wait, Ready | int, tuple[list[Row], bool]]:
    """Rows, and whether they were the last."""
    found: list[Row] = []
    size = 0
    while len(found) < most_rows and size < most_bytes:
        length, row = pgconn.get_copy_data(1)
        if length > 0:
            found.append(row)
            size += length
        elif length == 0:
            while not (yield Wait.R):
                continue
            pgconn.consume_input()
        else:
            yield from _end(pgconn)
            return found, True
    return found, False


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
