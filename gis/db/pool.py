"""The pool of a server process: connections that can read what the public may see, and nothing else."""

from __future__ import annotations

import select
import time
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg import AsyncConnection, Connection, sql
from psycopg_pool import AsyncConnectionPool

from gis.db.connect import conninfo, owner_connection, unreachable
from gis.db.server import Database
from gis.db.sql import READER
from gis.errors import DatabaseError
from gis.settings import Settings

__all__ = ["open_reader_pool", "owner_connection"]

#: Requests that may wait for a connection, for each connection; more are answered 503 at once.
WAITING_PER_CONNECTION = 16
WAIT_SECONDS = 5.0
OPEN_SECONDS = 30.0

#: Executions after which a statement is prepared on its connection: few shapes, many calls.
PREPARE_THRESHOLD = 2
PREPARED_MAX = 400

#: A connection that was proved this long ago is proved again by a round trip.
CHECK_SECONDS = 5.0


async def open_reader_pool(settings: Settings, db: Database) -> AsyncConnectionPool[AsyncConnection]:
    """An open pool of ``settings.pool_size`` connections with the rights of the role bandoso_reader.

    Connections are in autocommit mode and read only: one SELECT is one round trip. Take
    ``async with connection.transaction():`` where several must see the same state. A statement ends
    after ``settings.statement_timeout_ms``. All connections are warm (the first ST_Transform of a session
    takes 20 ms or more); the pool is open with the first of them, and the others follow in the background,
    because warming all of them kept a starting server of two cores waiting for three seconds.
    ``connection()`` raises psycopg_pool.TooManyRequests or PoolTimeout when the database is too busy:
    answer 503. Close the pool at the end.
    """

    storage = settings.load_city().crs.storage
    dsn = conninfo(db.app_dsn, "bandoso serve")

    configure = reader_setup(settings)
    pool: AsyncConnectionPool[AsyncConnection] = AsyncConnectionPool(
        dsn,
        kwargs={"autocommit": True},
        min_size=1,
        max_size=settings.pool_size,
        max_waiting=settings.pool_size * WAITING_PER_CONNECTION,
        timeout=WAIT_SECONDS,
        reconnect_timeout=300.0,
        max_lifetime=3600.0,
        configure=configure,
        check=_check,
        name="reader",
        open=False,
    )
    try:
        # The pool only says that time is up; one connection says at once what is wrong.
        async with await AsyncConnection.connect(dsn, autocommit=True) as probe:
            await probe.execute(_SESSION)
            await probe.execute(_KNOWN, (storage,))
        await pool.open(wait=True, timeout=OPEN_SECONDS)
        await pool.resize(settings.pool_size, settings.pool_size)
    except psycopg.OperationalError as error:
        await pool.close()
        raise unreachable(error) from error
    except psycopg.Error as error:
        await pool.close()
        raise DatabaseError(
            "the database is not prepared for serving", hint="run bandoso layers --apply as its owner"
        ) from error
    return pool


class Proved[C: (AsyncConnection, Connection[Any])]:
    """Connections whose server answered a moment ago.

    Such a one is only asked whether its socket has something to say: a server that went away has closed it.
    That costs 3 us in place of a round trip of 100 us for every request.
    """

    def __init__(self) -> None:
        self._at: WeakKeyDictionary[C, float] = WeakKeyDictionary()

    def lately(self, connection: C) -> bool:
        if time.monotonic() - self._at.get(connection, -CHECK_SECONDS) >= CHECK_SECONDS:
            return False
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        return not poll.poll(0)

    def note(self, connection: C) -> None:
        """It has just answered."""
        self._at[connection] = time.monotonic()


def reader_setup(settings: Settings) -> Callable[[AsyncConnection], Awaitable[None]]:
    """What makes a connection one that reads what the public may see, as ``open_reader_pool`` says."""
    storage, timeout = settings.load_city().crs.storage, str(settings.statement_timeout_ms)

    async def configure(connection: AsyncConnection) -> None:
        connection.prepare_threshold = PREPARE_THRESHOLD
        connection.prepared_max = PREPARED_MAX
        await connection.execute(_SESSION)
        await connection.execute(_WARM_UP, (storage,) * 5, prepare=False)
        # last: warming up may take longer than a request may
        await connection.execute(
            "SELECT set_config('statement_timeout', %s, false)", (timeout,), prepare=False
        )

    return configure


async def _check(connection: AsyncConnection) -> None:
    """Raise unless the server behind the connection still answers (psycopg_pool then takes another)."""
    if not _proved.lately(connection):
        await AsyncConnectionPool.check_connection(connection)
        _proved.note(connection)


_proved: Proved[AsyncConnection] = Proved()

#: What holds for every session that serves, reading or writing.
SESSION = {
    "client_connection_check_interval": "1000",
    "jit": "off",
    # ST_Intersects is priced so high that a few thousand candidates seem worth starting workers for:
    # the first 1,000 of 200,000 in a box took 30 ms with two workers and 1.7 ms without.
    "max_parallel_workers_per_gather": "0",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "extra_float_digits": "1",
    "search_path": "public, pg_temp",
}

#: Everything about the session that does not depend on the settings, in one round trip. set_config reads
#: lists as they are written; SET ... TO 'public, pg_temp' would be one name.
_SESSION = sql.SQL("; ").join(
    sql.SQL("SELECT set_config({}, {}, false)").format(sql.Literal(name), sql.Literal(value))
    for name, value in {
        **SESSION,
        "role": READER,
        "default_transaction_read_only": "on",
        "lock_timeout": "2000",
        "idle_in_transaction_session_timeout": "60000",
    }.items()
)

#: Fails at once where the functions or the CRS that requests need are missing, without loading PROJ.
_KNOWN = "SELECT bandoso.fold(srtext) FROM spatial_ref_sys WHERE srid = %s"

#: Loads PostGIS, PROJ's database, GEOS and the MVT writer into the session, and the transforms that
#: requests use: each pair of CRSs costs some 10 ms the first time.
_WARM_UP = """
WITH here AS (SELECT ST_Transform(ST_SetSRID(ST_MakePoint(106.7, 10.77), 4326), %s) AS stored)
SELECT ST_AsGeoJSON(ST_Transform(stored, 4326)),
       ST_Transform(ST_Transform(stored, 3857), %s),
       ST_Transform(ST_Transform(stored, 4326), 3857),
       ST_Transform(ST_TileEnvelope(14, 13047, 7700), %s),
       ST_Transform(ST_Transform(ST_SetSRID(ST_MakePoint(106.7, 10.77), 4326), 3857), 4326),
       ST_IsValid(ST_Buffer(ST_SetSRID(stored, %s), 1, 2)),
       ST_AsMVTGeom(ST_MakeEnvelope(0, 0, 10, 10, %s), ST_MakeEnvelope(0, 0, 4096, 4096)::box2d)
FROM here
"""
