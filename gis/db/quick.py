"""Short statements of the hot path by libpq's pipeline: a fifth of what a cursor and a pool cost.

A process keeps a few connections of its own, set up as those of the reading pool (same role, same limits).
Each is written to without waiting for what was asked before; answers come in order. Measured for one feature
by its id: 17 us of the process's CPU time, 28 by asyncpg, 78 by a psycopg cursor without its pool. It is
psycopg's own binding of libpq, so there is no second driver.

Statements are prepared at their first use and take their values as text. They must be short, since the next
one waits behind them, and plain SELECTs, since each is a transaction of its own. Whatever goes wrong raises
``NotQuick``: the caller then asks by the pool, which says what is wrong, and waits and cancels as it should.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

LOG = logging.getLogger("bandoso.db")

#: Connections of a process, and answers that one may owe; a further question goes by the pool.
CONNECTIONS: Final = 3
MOST_WAITING: Final = 32
#: Statements prepared on a connection; more come from changed layer files: it is then opened anew.
MOST_PREPARED: Final = 1000
#: A connection that owes an answer for so long (seconds) has lost its server.
LOST_AFTER: Final = 10.0
#: The longest time of one statement (milliseconds).
TIMEOUT_MS: Final = 1000
#: Seconds between two looks at the connections, and the age at which an idle one is opened anew.
LOOK_EVERY: Final = 1.0
MOST_AGE: Final = 3600.0

_PLACE: Final = re.compile(r"%\((\w+)\)s|%%")


class NotQuick(Exception):  # noqa: N818 - a way to go, not an error of anybody
    """Not to be had in this way now; ask by the pool."""


def positional(text: bytes) -> tuple[bytes, tuple[str, ...]]:
    """A statement with %(name)s as one with $1, $2, ..., and their names in order."""
    names: list[str] = []

    def place(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            return "%"
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _PLACE.sub(place, text.decode()).encode(), tuple(names)


def in_order(names: Sequence[str], values: Mapping[str, object]) -> list[bytes]:
    """Whole numbers and texts as PostgreSQL reads them."""
    return [str(values[name]).encode() for name in names]


class Quick:
    """The connections of one process. ``configure`` sets a session up as the pool does."""

    def __init__(self, dsn: str, configure: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        self._dsn = dsn
        self._configure = configure
        self._lines: list[_Line] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect in the background; until then everything is NotQuick."""
        self._task = asyncio.create_task(self._tend())

    async def stop(self) -> None:
        """Close the connections."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for line in self._lines:
            line.close()
        self._lines = []

    def ask(self, statement: bytes, values: Sequence[bytes | None]) -> asyncio.Future[PGresult]:
        """The result, in binary. Raises NotQuick, as the future does."""
        best = None
        for line in self._lines:
            if best is None or len(line.waiting) < len(best.waiting):
                best = line
        if best is None or len(best.waiting) >= MOST_WAITING:
            raise NotQuick
        return best.ask(statement, values)

    async def _tend(self) -> None:
        while True:
            now = time.monotonic()
            for line in self._lines:
                line.look(now)
            self._lines = [line for line in self._lines if line.open]
            try:
                while len(self._lines) < CONNECTIONS:
                    self._lines.append(await self._connect())
            except psycopg.Error as error:
                LOG.debug("a quick connection cannot be opened: %s", type(error).__name__)
            await asyncio.sleep(LOOK_EVERY)

    async def _connect(self) -> _Line:
        connection = await AsyncConnection.connect(self._dsn, autocommit=True)
        try:
            await self._configure(connection)
            await connection.execute(
                "SELECT set_config('statement_timeout', %s, false)", [str(TIMEOUT_MS)], prepare=False
            )
            return _Line(connection)
        except BaseException:
            await connection.close()
            raise


class _Line:
    """One connection in pipeline mode."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self.open = True
        #: Who waits for an answer, the first first, and the statement that was prepared for him.
        self.waiting: deque[tuple[asyncio.Future[PGresult], bytes | None]] = deque()
        self._connection = connection  # kept: it owns the socket
        self._names: dict[bytes, bytes] = {}
        self._got: PGresult | None = None
        self._failed: BaseException | None = None
        self._opened = self._heard = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._libpq: PGconn = connection.pgconn
        self._libpq.nonblocking = 1
        self._libpq.enter_pipeline_mode()
        self._socket = self._libpq.socket
        self._loop.add_reader(self._socket, self._readable)

    def ask(self, statement: bytes, values: Sequence[bytes | None]) -> asyncio.Future[PGresult]:
        fresh = None
        if not self.waiting:
            self._heard = time.monotonic()
        try:
            name = self._names.get(statement)
            if name is None:
                fresh = statement
                name = self._names[statement] = b"q%d" % len(self._names)
                self._libpq.send_prepare(name, statement)
            self._libpq.send_query_prepared(name, values, None, 1)
            self._libpq.pipeline_sync()
            if self._libpq.flush():
                self._loop.add_writer(self._socket, self._writable)
        except psycopg.Error as error:
            self.close()
            raise NotQuick from error
        future: asyncio.Future[PGresult] = self._loop.create_future()
        self.waiting.append((future, fresh))
        return future

    def look(self, now: float) -> None:
        """Close it when its server is lost, or when it is old and idle."""
        if self.waiting:
            if now - self._heard > LOST_AFTER:
                self.close()
        elif now - self._opened > MOST_AGE or len(self._names) > MOST_PREPARED:
            self.close()

    def close(self) -> None:
        """Close it; who waits hears NotQuick."""
        if not self.open:
            return
        self.open = False
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._libpq.finish()
        while self.waiting:
            future, _ = self.waiting.popleft()
            if not future.done():
                future.set_exception(NotQuick())

    def _writable(self) -> None:
        try:
            if not self._libpq.flush():
                self._loop.remove_writer(self._socket)
        except psycopg.Error:
            self.close()

    def _readable(self) -> None:
        libpq = self._libpq
        self._heard = time.monotonic()
        try:
            libpq.consume_input()
            while self.waiting and not libpq.is_busy():
                result = libpq.get_result()
                if result is None:  # the end of one statement's results
                    continue
                status = result.status
                if status == ExecStatus.PIPELINE_SYNC:
                    self._answer()
                elif status == ExecStatus.TUPLES_OK:
                    self._got = result
                elif status != ExecStatus.COMMAND_OK:  # failed, or left out after what failed
                    self._failed = self._failed or NotQuick(result.get_error_message())
            if not self.waiting and not libpq.is_busy():
                self._idle()
        except psycopg.Error:
            self.close()

    def _answer(self) -> None:
        future, fresh = self.waiting.popleft()
        got, failed, self._got, self._failed = self._got, self._failed, None, None
        if failed is not None and fresh is not None:
            # Whether it was prepared is not known; its name is not used again.
            self._names[b"-" + self._names.pop(fresh)] = b""
        if future.done():  # who asked has left
            return
        if got is None or failed is not None:
            future.set_exception(failed or NotQuick())
        else:
            future.set_result(got)

    def _idle(self) -> None:
        """Nobody waits, and the server says something: it ends, or tells of a setting."""
        if self._libpq.status != psycopg.pq.ConnStatus.OK:
            self.close()
