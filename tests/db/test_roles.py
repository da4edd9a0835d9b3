"""What the serving connection may do: read public fields, and nothing else whatever SQL reaches it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from psycopg_pool import PoolTimeout, TooManyRequests

from gis.db.pool import open_reader_pool
from gis.db.server import Database
from gis.errors import DatabaseError
from gis.settings import Settings

DENIED = (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)


@pytest.fixture(scope="module", autouse=True)
def tables(module_db: Database) -> None:
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE layer.open (fid int, name text, secret text)")
        connection.execute("INSERT INTO layer.open VALUES (1, 'a', 's')")
        connection.execute("GRANT SELECT (fid, name) ON layer.open TO bandoso_reader")
        connection.execute("CREATE TABLE layer.closed (fid int)")
        connection.execute("INSERT INTO layer.closed VALUES (1), (2)")
        connection.execute(
            "SELECT bandoso.attach_row_count('layer.open'), bandoso.attach_row_count('layer.closed')"
        )


@pytest.fixture
def reader(module_db: Database) -> Iterator[psycopg.Connection]:
    """As the pool's connections, but able to write where only read-only mode would forbid it."""
    with psycopg.connect(module_db.app_dsn, autocommit=True) as connection:
        connection.execute("SET ROLE bandoso_reader")
        yield connection


@pytest.fixture
def login(module_db: Database) -> Iterator[psycopg.Connection]:
    """The login role before it takes the reader's role (what RESET ROLE would give an attacker)."""
    with psycopg.connect(module_db.app_dsn, autocommit=True) as connection:
        yield connection


def test_reader_reads_what_was_granted(reader: psycopg.Connection) -> None:
    assert reader.execute("SELECT fid, name FROM layer.open").fetchall() == [(1, "a")]
    assert reader.execute("SELECT bandoso.fold('Đ'), bandoso.search_text('Á', NULL, 'b')").fetchone() == (
        "d",
        "a b",
    )
    row = reader.execute(
        "SELECT ST_AsText(ST_Transform('SRID=4326;POINT(106 10)'::geometry, 9210), 0)"
    ).fetchone()
    assert row and row[0].startswith("POINT(")


FORBIDDEN = [
    "SELECT secret FROM layer.open",
    "SELECT * FROM layer.open",
    "SELECT FROM layer.open WHERE secret = 's'",
    "SELECT fid FROM layer.open ORDER BY secret",
    "SELECT open FROM layer.open",  # the whole row as one value
    "SELECT * FROM layer.closed",
    "SELECT * FROM bandoso.load",
    "SELECT * FROM bandoso.state",
    "SELECT * FROM bandoso.migration",
    "SELECT * FROM bandoso.layer",
    "SELECT * FROM pg_authid",
    "SELECT * FROM pg_shadow",
    "SELECT * FROM pg_user_mapping",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT pg_ls_dir('.')",
    "SELECT lo_import('/etc/passwd')",
    "COPY layer.open (fid) TO '/tmp/out'",
    "COPY layer.open (fid) TO PROGRAM 'id'",
    "INSERT INTO layer.open (fid) VALUES (2)",
    "UPDATE layer.open SET name = 'b'",
    "DELETE FROM layer.open",
    "TRUNCATE layer.open",
    "SELECT fid FROM layer.open FOR UPDATE",
    "INSERT INTO bandoso.layer_count (layer, delta) VALUES ('open', 5)",
    "UPDATE spatial_ref_sys SET proj4text = ''",
    "CREATE TABLE public.t (n int)",
    "CREATE TABLE layer.t (n int)",
    "CREATE TABLE bandoso.t (n int)",
    "CREATE TEMP TABLE t (n int)",
    "CREATE SCHEMA s",
    "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "DO $$ BEGIN PERFORM 1; END $$",
    "ALTER TABLE layer.open DISABLE TRIGGER ALL",
    "DROP TABLE layer.open",
    "SELECT bandoso.compact_counts()",
    "SELECT bandoso.attach_row_count('layer.open')",
    "SELECT query_to_xml('SELECT 1', true, true, '')",
    "SELECT * FROM ts_stat('SELECT 1')",
    "SELECT lo_create(0)",
    "SELECT pg_sleep(1)",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_terminate_backend(1)",
    "SELECT pg_notify('x', 'y')",
    "SELECT pg_logical_emit_message(false, 'x', 'y')",
    "SET ROLE bandoso",
    "SET SESSION AUTHORIZATION bandoso",
    "SET session_replication_role = replica",
    "SET temp_file_limit = -1",
    "SELECT set_config('role', 'bandoso', false)",
    "ALTER ROLE bandoso_app SUPERUSER",
    "ALTER SYSTEM SET work_mem = '1GB'",
    "CREATE EXTENSION dblink",
    "LOAD 'auto_explain'",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_reader_may_not(reader: psycopg.Connection, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        *FORBIDDEN,
        "SELECT fid FROM layer.open",
        "SELECT bandoso.fold('x')",
        "SELECT bandoso.row_count('open')",
        "SELECT * FROM bandoso.layer_count",
    ],
)
def test_login_role_alone_may_not(login: psycopg.Connection, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        login.execute(statement.encode())


def test_counts_of_unreadable_layers_are_hidden(
    reader: psycopg.Connection, owner: psycopg.Connection
) -> None:
    query = "SELECT bandoso.row_count('open'), bandoso.row_count('closed'), bandoso.last_change('closed')"
    assert reader.execute(query.encode()).fetchone() == (1, 0, None)
    found = owner.execute(query.encode()).fetchone()
    assert found and found[:2] == (1, 2) and found[2] is not None
    rows = reader.execute("SELECT layer FROM bandoso.layer_stats").fetchall()
    assert ("open",) in rows and ("closed",) not in rows


def test_nobody_else_may_connect_to_the_database(module_db: Database, owner: psycopg.Connection) -> None:
    row = owner.execute("SELECT datacl::text FROM pg_database WHERE datname = current_database()").fetchone()
    assert row
    grants = row[0].strip("{}").split(",")
    assert not [g for g in grants if g.startswith("=")], "nothing for PUBLIC"


def test_spilled_files_of_the_reader_are_bounded(reader: psycopg.Connection) -> None:
    assert reader.execute("SHOW temp_file_limit").fetchone() == ("2GB",)


# -- the pool -----------------------------------------------------------------------------------------


def run[T](main: asyncio.Future[T]) -> T:  # keeps the tests free of an async plugin
    return asyncio.run(main)  # type: ignore[arg-type]


def test_pool_connections_are_readers(module_db: Database, settings: Settings) -> None:
    async def main() -> None:
        pool = await open_reader_pool(replace(settings, pool_size=2, statement_timeout_ms=300), module_db)
        async with pool:
            async with pool.connection() as connection:
                row = await (
                    await connection.execute(
                        "SELECT current_user::text, session_user::text,"
                        " current_setting('transaction_read_only'),"
                        " current_setting('statement_timeout'),"
                        " current_setting('client_connection_check_interval'),"
                        " current_setting('lock_timeout'), current_setting('jit')"
                    )
                ).fetchone()
                assert row == ("bandoso_reader", "bandoso_app", "on", "300ms", "1s", "2s", "off")
            began = time.monotonic()
            with pytest.raises(psycopg.errors.QueryCanceled):
                async with pool.connection() as connection:
                    await connection.execute(
                        "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b"
                    )
            assert time.monotonic() - began < 60  # to its end it would take an hour
            async with pool.connection() as connection:  # still of use, and still the reader
                row = await (await connection.execute("SELECT current_user::text")).fetchone()
                assert row == ("bandoso_reader",)

    run(main())


def test_first_transform_of_a_request_is_warm(module_db: Database, settings: Settings) -> None:
    query = "SELECT ST_Transform('SRID=4326;POINT(106.7 10.7)'::geometry, 9210)"

    async def main() -> None:
        with psycopg.connect(module_db.owner_dsn) as cold:
            began = time.monotonic()
            cold.execute(query)
            first = time.monotonic() - began
        pool = await open_reader_pool(replace(settings, pool_size=1), module_db)
        async with pool, pool.connection() as connection:
            began = time.monotonic()
            await connection.execute(query)
            warm = time.monotonic() - began
        print(f"first ST_Transform: cold {first * 1000:.1f} ms, of the pool {warm * 1000:.2f} ms")
        assert warm < first

    run(main())


def test_full_pool_refuses_at_once(module_db: Database, settings: Settings) -> None:
    async def main() -> None:
        pool = await open_reader_pool(replace(settings, pool_size=1), module_db)
        async with pool:

            async def take() -> str:
                try:
                    async with pool.connection():
                        await asyncio.sleep(1)
                        return "served"
                except (TooManyRequests, PoolTimeout) as error:
                    return type(error).__name__

            began = time.monotonic()
            answers = await asyncio.gather(*(take() for _ in range(40)))
            assert time.monotonic() - began < 40  # one after the other would take as many seconds
            assert "served" in answers and answers.count("TooManyRequests") >= 20

    run(main())


def test_pool_survives_the_death_of_its_connections(module_db: Database, settings: Settings) -> None:
    async def main() -> None:
        pool = await open_reader_pool(replace(settings, pool_size=3), module_db)
        async with pool:
            for _ in range(3):
                async with pool.connection() as connection:
                    await connection.execute("SELECT 1")
            with psycopg.connect(module_db.owner_dsn, autocommit=True) as owner:
                owner.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE usename = 'bandoso_app' AND datname = current_database()"
                )
            await asyncio.sleep(0.1)
            for _ in range(6):  # no request sees the dead connections
                async with pool.connection() as connection:
                    row = await (await connection.execute("SELECT current_user::text")).fetchone()
                    assert row == ("bandoso_reader",)

    run(main())


def test_pool_without_database_is_one_sentence(module_db: Database, settings: Settings) -> None:
    async def main() -> None:
        gone = replace(module_db, app_dsn="host=/nonexistent dbname=x")
        with pytest.raises(DatabaseError, match="does not answer"):
            await open_reader_pool(replace(settings, pool_size=1), gone)

    run(main())
