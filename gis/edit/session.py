"""Connections that write: in the caller's role, inside one transaction, with every wait bounded.

An edit takes little time of the database, so it is said in few exchanges: statements that do not wait for
each other's answers go together (psycopg's pipeline mode). Each exchange costs both sides 0.1 ms, and threads
of a busy process more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool, TooManyRequests

from gis.db.connect import conninfo
from gis.db.pool import SESSION, Proved
from gis.db.server import Database
from gis.db.sql import EDITOR, MEMBER
from gis.identity.principal import Principal
from gis.settings import Settings

Connection = psycopg.Connection[Any]

#: Longest wait for a row or for ground that another edit holds; then the client is told to come again.
LOCK_MS = 4_000
#: Longest time in which the server process may leave a transaction without a word (it was stopped).
IDLE_MS = 30_000
WAIT_SECONDS = 5.0
#: Seconds that an edit waits for its turn. Many edits' time, so that it is given up only where one is stuck.
PATIENCE = 0.25
#: Edits that may wait for a thread, for each connection; a further one is answered 503 at once.
WAITING_PER_CONNECTION = 16

_SESSION = {
    **SESSION,
    "lock_timeout": str(LOCK_MS),
    "idle_in_transaction_session_timeout": str(IDLE_MS),
    "default_transaction_isolation": "read committed",
    # Few rows by their ids, or what is in a box: by an index, whatever the values. PostgreSQL would plan what
    # takes arrays anew each time, because it expects ten elements where it does not see the one.
    "plan_cache_mode": "force_generic_plan",
}
_SETUP = sql.SQL("; ").join(
    sql.SQL("SELECT set_config({}, {}, false)").format(sql.Literal(name), sql.Literal(value))
    for name, value in _SESSION.items()
)

_ACTING = (
    "SELECT set_config('bandoso.account', %s, true), set_config('bandoso.token', %s, true),"
    " set_config('role', %s, true)"
)

#: Sends statements, and waits for none.
Ask = Callable[[Connection], None]


_LANE = threading.local()


def _in_lane() -> None:
    _LANE.taken = True


class EditorPool(ConnectionPool[Connection]):
    """Connections for writing, and as many threads: the server's loop never waits for a row.

    An edit computes for most of its time, so those that are made at once only take the processor from each
    other, and from who reads (with four at once in each of two processes on two processors, moved poles took
    a processor 13 ms each, in turn 9 to 12 ms, and readers beside them kept 0.2 to 0.3 of their rate, in turn
    0.5 to 0.6). So they go through ``lanes`` threads in turn, with connections of their own: taking turns
    with four connections cost as much as four edits at once. One that has waited PATIENCE seconds, behind a
    large changeset or an edit that waits for a row, goes on beside them.
    """

    def __init__(self, dsn: str, size: int, lanes: int = 1, **options: Any) -> None:
        lanes, beside = min(lanes, size), max(0, size - lanes)
        self._own = ConnectionPool[Connection](dsn, min_size=lanes, max_size=lanes, open=False, **options)
        self._lanes = ThreadPoolExecutor(lanes, "edit", initializer=_in_lane)
        self._beside = ThreadPoolExecutor(beside, "edit-beside") if beside else None
        self._most, self._under_way = size * WAITING_PER_CONNECTION, 0
        super().__init__(dsn, min_size=0, max_size=max(1, beside), open=False, **options)

    def open(self, wait: bool = False, timeout: float = 30.0) -> None:
        """Begin to make the connections of the lanes; others are made when they are needed."""
        self._own.open(wait, timeout)
        super().open(wait, timeout)

    @contextlib.contextmanager
    def connection(self, timeout: float | None = None) -> Iterator[Connection]:
        """One for the length of the block. Raises TooManyRequests or PoolTimeout."""
        own = getattr(_LANE, "taken", False)
        with self._own.connection(timeout) if own else super().connection(timeout) as connection:
            yield connection

    async def work[T](self, task: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Run ``task(...)`` in one of the threads. Raises TooManyRequests (503) when too many wait.

        When the client leaves, what has begun goes on to its end.
        """
        if self._under_way >= self._most:
            raise TooManyRequests("too many edits are waiting")
        self._under_way += 1
        call = partial(task, *arguments, **named)
        turn = self._lanes.submit(call)
        answer = asyncio.wrap_future(turn)
        try:
            if self._beside is not None:
                await asyncio.wait((answer,), timeout=PATIENCE)
                if not answer.done() and turn.cancel():
                    return await asyncio.get_running_loop().run_in_executor(self._beside, call)
            return await answer
        finally:
            answer.cancel()  # of a client that left before its turn came
            self._under_way -= 1

    def close(self, timeout: float = 5.0) -> None:
        """Close the connections; threads end with the edits that they make."""
        self._own.close(timeout)
        super().close(timeout)
        for threads in (self._lanes, self._beside):
            if threads is not None:
                threads.shutdown(wait=False, cancel_futures=True)


def open_editor_pool(settings: Settings, db: Database) -> EditorPool:
    """A pool of up to ``settings.edit_pool_size`` connections of the login role, which has no rights until
    ``editing`` gives it a role. The first is made in the background; nothing waits for it here.

    ``connection()`` raises TooManyRequests or PoolTimeout (503). Close it at the end.
    """
    timeout = str(settings.statement_timeout_ms)

    def configure(connection: Connection) -> None:
        connection.prepare_threshold = 2
        # the checks alone have a dozen statements for each layer
        connection.prepared_max = 800
        connection.execute(_SETUP)
        connection.execute("SELECT set_config('statement_timeout', %s, false)", [timeout])

    cores = os.cpu_count() or 1
    # with a processor to spare, one edit can compute while another waits for the database
    lanes = 2 if cores >= 2 * (settings.workers or min(cores, 4)) else 1
    pool = EditorPool(
        conninfo(db.app_dsn, "bandoso edit"),
        settings.edit_pool_size,
        lanes,
        kwargs={"autocommit": True},
        max_waiting=settings.edit_pool_size * WAITING_PER_CONNECTION,
        timeout=WAIT_SECONDS,
        reconnect_timeout=300.0,
        max_lifetime=3600.0,
        configure=configure,
        check=_prove,
        name="editors",
    )
    pool.open()
    return pool


def _prove(connection: Connection) -> None:
    """Raise unless the server behind the connection still answers (psycopg_pool then takes another)."""
    if not _proved.lately(connection):
        ConnectionPool.check_connection(connection)
        _proved.note(connection)


_proved: Proved[Connection] = Proved()


@contextlib.contextmanager
def editing(
    on: EditorPool | ConnectionPool[Connection] | Connection,
    principal: Principal,
    ask: Ask | None = None,
    last: Sequence[Ask] = (),
) -> Iterator[Connection]:
    """A transaction (READ COMMITTED) in role bandoso_editor for this account; committed at the end.

    ``on``: a pool, or a connection that may take the roles (a test's, or a command's of the owner). ``ask``:
    sends the first questions of the transaction along with its beginning; ``last``: send the last ones along
    with its end (a list may grow until then).
    """
    if isinstance(on, psycopg.Connection):
        with on.transaction():
            _act(on, principal, ask)
            yield on
            for send in last:
                send(on)
        return
    with on.connection() as connection:
        try:
            with connection.pipeline():
                connection.execute("BEGIN")
                _act(connection, principal, ask)
            yield connection
            with connection.pipeline():
                for send in last:
                    send(connection)
                ended = connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise
        if ended.statusmessage != "COMMIT":  # of a transaction that had failed, and nobody said so
            raise psycopg.errors.InFailedSqlTransaction("the transaction was rolled back")


def _act(connection: Connection, principal: Principal, ask: Ask | None) -> None:
    token = "" if principal.token is None else str(principal.token)
    connection.execute(_ACTING, [str(principal.account), token, EDITOR])
    if ask is not None:
        ask(connection)


def _roll_back(connection: Connection) -> None:
    """End the transaction. Not in psycopg's own way, which forgets all prepared statements: an edit that is
    refused would make the next ones slow.

    A lock of the session survives a rollback, should a statement have been cancelled holding one.
    """
    if connection.pgconn.transaction_status != TransactionStatus.UNKNOWN:
        with contextlib.suppress(psycopg.Error):  # why the transaction failed is what is told
            connection.pgconn.exec_(b"ROLLBACK; SELECT pg_advisory_unlock_all()")


def take_role(connection: Connection, role: str) -> None:
    """Inside ``editing``: what follows runs in this role: EDITOR at first; CHECKER to judge; MEMBER sees what
    the caller sees when reading."""
    connection.execute("SELECT set_config('role', %s, true)", [role])


@contextlib.contextmanager
def as_member(connection: Connection) -> Iterator[None]:
    """Inside ``editing``: what is in the block sees what the caller sees when reading."""
    # No finally: after an error the transaction ends, and the role with it.
    take_role(connection, MEMBER)
    yield
    take_role(connection, EDITOR)
