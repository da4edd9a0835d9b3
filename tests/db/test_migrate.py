"""Preparing a database: twice is nothing, changed migrations are refused, missing rights are named."""

from __future__ import annotations

import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gis import crs
from gis.city import City
from gis.db.crs_rows import write_crs_rows
from gis.db.migrate import migrations, prepare, prepare_lock, run_migrations
from gis.db.roles import TAKEN
from gis.db.server import Database
from gis.errors import DatabaseError
from layers.registry import Catalogue

FreshDatabase = Callable[[str], Database]


def scalar(connection: psycopg.Connection, query: str, *values: object) -> object:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


@pytest.fixture
def empty(embedded: Database) -> Iterator[Database]:
    """An empty database beside the others, by the owner's connection."""
    admin = make_conninfo(embedded.owner_dsn, dbname="postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS empty WITH (FORCE)")
        connection.execute("CREATE DATABASE empty")
    yield replace(
        embedded,
        owner_dsn=make_conninfo(embedded.owner_dsn, dbname="empty"),
        app_dsn=make_conninfo(embedded.app_dsn, dbname="empty"),
    )
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("DROP DATABASE empty WITH (FORCE)")


# What every prepared database holds, apart from times and physical numbers.
FINGERPRINT = """
SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM (
    SELECT 'migration ' || number || checksum || applied_at AS line FROM bandoso.migration
    UNION ALL SELECT 'state ' || key || value || changed_at FROM bandoso.state
    UNION ALL SELECT 'class ' || oid || relname || coalesce(relacl::text, '') FROM pg_class
        WHERE relnamespace::regnamespace::text IN ('bandoso', 'layer')
    UNION ALL SELECT 'column ' || attrelid || attnum || attname || coalesce(attacl::text, '') || attisdropped
        FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
        WHERE relnamespace::regnamespace::text IN ('bandoso', 'layer')
    UNION ALL SELECT 'crs ' || srid || xmin FROM spatial_ref_sys
    UNION ALL SELECT 'layer ' || id || applied_at FROM bandoso.layer
    UNION ALL SELECT 'count ' || layer || delta FROM bandoso.layer_count
) lines
"""


def test_prepare_twice_changes_nothing_and_is_quick(
    fresh_database: FreshDatabase, city: City, catalogue: Catalogue
) -> None:
    db = fresh_database("twice")
    with psycopg.connect(db.owner_dsn, autocommit=True) as connection:
        before = scalar(connection, FINGERPRINT)
        times = []
        for _ in range(3):
            began = time.monotonic()
            prepare(db.owner_dsn, city, catalogue)
            times.append(time.monotonic() - began)
        print(f"prepare with nothing to do: {min(times) * 1000:.0f} ms")
        assert scalar(connection, FINGERPRINT) == before
    assert min(times) < 1.0


def without_sheets(city: City) -> City:
    """The city without its sheet indexes, which take seconds to fill."""
    return city.model_copy(update={"sheets": {}})


def test_two_processes_prepare_one_empty_database(empty: Database, city: City, catalogue: Catalogue) -> None:
    city = without_sheets(city)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            prepare(empty.owner_dsn, city, catalogue)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with psycopg.connect(empty.owner_dsn) as connection:
        assert scalar(connection, "SELECT count(*) FROM bandoso.migration") == len(migrations())


def test_every_shipped_migration_has_its_own_number() -> None:
    numbers = [m.number for m in migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_changed_migration_is_refused(owner: psycopg.Connection) -> None:
    first, *others = migrations()
    changed = [replace(first, text=first.text + "\n-- a harmless remark"), *others]
    with pytest.raises(DatabaseError, match=f"{first.name} has changed") as caught:
        run_migrations(owner, changed)
    assert caught.value.code == "migration-changed"
    assert run_migrations(owner, [first, *others]) is False


def test_database_of_a_newer_version_is_refused(owner: psycopg.Connection) -> None:
    with pytest.raises(DatabaseError, match="newer bandoso"):
        run_migrations(owner, migrations()[:-1])


def test_failing_migration_leaves_nothing(owner: psycopg.Connection) -> None:
    bad = replace(
        migrations()[0], number=9999, name="9999_bad", text="CREATE TABLE bandoso.half (n int); SELECT 1/0"
    )
    with pytest.raises(psycopg.errors.DivisionByZero):
        run_migrations(owner, [*migrations(), bad])
    assert scalar(owner, "SELECT to_regclass('bandoso.half')") is None
    assert scalar(owner, "SELECT count(*) FROM bandoso.migration WHERE number = 9999") == 0


def test_lock_that_stays_taken_is_a_sentence(module_db: Database, owner: psycopg.Connection) -> None:
    with (
        prepare_lock(owner),
        psycopg.connect(module_db.owner_dsn, autocommit=True) as second,
        pytest.raises(DatabaseError, match="another process"),
        prepare_lock(second, timeout_s=0.1),
    ):
        pass
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as second, prepare_lock(second, timeout_s=0.1):
        pass


# -- CRS rows -----------------------------------------------------------------------------------------


def test_crs_rows_are_ours_and_written_only_when_different(owner: psycopg.Connection) -> None:
    assert write_crs_rows(owner) == 0
    owner.execute(
        "UPDATE spatial_ref_sys SET auth_name = 'EPSG', proj4text = '+proj=longlat' WHERE srid = 9210"
    )
    assert write_crs_rows(owner) == 1
    stored = owner.execute("SELECT srid, auth_name, proj4text FROM spatial_ref_sys").fetchall()
    for row in crs.spatial_ref_rows():
        assert (row.srid, row.auth_name, row.proj4text) in stored


@pytest.mark.parametrize(
    ("east", "north", "lon", "lat"),
    [
        (600000, 1190000, 106.666128316, 10.759445635),
        (603000, 1192000, 106.693612244, 10.777443860),
        (580000, 1215000, 106.483824362, 10.985947401),
    ],
)
def test_database_transforms_with_the_official_parameters(
    owner: psycopg.Connection, east: float, north: float, lon: float, lat: float
) -> None:
    """Vectors of the official operation (EPSG:6960); PROJ's own choice is 0.8 m = 7.3e-6 degrees off."""
    row = owner.execute(
        "SELECT ST_X(p), ST_Y(p) FROM ST_Transform(ST_SetSRID(ST_MakePoint(%s, %s), 9210), 4326) p",
        (east, north),
    ).fetchone()
    assert row == (pytest.approx(lon, abs=2e-9), pytest.approx(lat, abs=2e-9))


# -- functions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Đường Nguyễn Đình Chiểu", "duong nguyen dinh chieu"),
        ("PHƯỜNG THỦ THIÊM, Quận 2", "phuong thu thiem, quan 2"),
        ("ẮẰẲẴẶ ẤẦẨẪẬ ƠỚỜỞỠỢ ƯỨỪỬỮỰ ỲÝỶỸỴ", "aaaaa aaaaa oooooo uuuuuu yyyyy"),
        ("đĐ", "dd"),
        ("Ống D400-A_7", "ong d400-a_7"),
        ("ASCII only", "ascii only"),
        ("", ""),
    ],
)
def test_fold(owner: psycopg.Connection, text: str, folded: str, form: str) -> None:
    given = unicodedata.normalize(form, text)  # type: ignore[arg-type]
    assert scalar(owner, "SELECT bandoso.fold(%s)", given) == folded


def test_fold_takes_marks_in_any_order_and_without_composed_letter(owner: psycopg.Connection) -> None:
    assert (
        scalar(owner, "SELECT bandoso.fold(%s)", "e\u0323\u0302 e\u0302\u0323 x\u0301 q\u0303") == "e e x q"
    )
    assert scalar(owner, "SELECT bandoso.fold(NULL)") is None


def test_fold_can_be_indexed(owner: psycopg.Connection) -> None:
    with owner.transaction(force_rollback=True):
        owner.execute("CREATE TABLE bandoso.probe (name text)")
        owner.execute("CREATE INDEX ON bandoso.probe (bandoso.fold(name))")
        owner.execute("INSERT INTO bandoso.probe SELECT 'Số ' || i FROM generate_series(1, 5000) i")
        owner.execute("ANALYZE bandoso.probe")
        plan = owner.execute(
            "EXPLAIN SELECT * FROM bandoso.probe WHERE bandoso.fold(name) = bandoso.fold('SO 77')"
        ).fetchall()
        assert "Index" in str(plan)


# -- row counts ---------------------------------------------------------------------------------------


@pytest.fixture
def counted(owner: psycopg.Connection) -> Iterator[str]:
    owner.execute("CREATE TABLE layer.counted (fid int PRIMARY KEY, name text)")
    owner.execute("INSERT INTO layer.counted SELECT i FROM generate_series(1, 10) i")
    owner.execute("SELECT bandoso.attach_row_count('layer.counted')")
    yield "counted"
    owner.execute("DROP TABLE layer.counted")
    owner.execute("DELETE FROM bandoso.layer_count WHERE layer = 'counted'")


def count(connection: psycopg.Connection) -> tuple[object, object]:
    """Kept and true number of rows."""
    return (
        scalar(connection, "SELECT bandoso.row_count('counted')"),
        scalar(connection, "SELECT count(*) FROM layer.counted"),
    )


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        ("SELECT", 10),
        ("INSERT INTO layer.counted SELECT i FROM generate_series(11, 15) i", 15),
        ("INSERT INTO layer.counted SELECT i FROM generate_series(8, 12) i ON CONFLICT DO NOTHING", 12),
        (
            "INSERT INTO layer.counted SELECT i FROM generate_series(8, 12) i "
            "ON CONFLICT (fid) DO UPDATE SET name = 'again'",
            12,
        ),
        ("DELETE FROM layer.counted WHERE fid <= 3", 7),
        ("DELETE FROM layer.counted WHERE fid > 100", 10),
        ("UPDATE layer.counted SET name = 'x'", 10),
        ("TRUNCATE layer.counted", 0),
        ("TRUNCATE layer.counted; INSERT INTO layer.counted VALUES (1)", 1),
        ("BEGIN; DELETE FROM layer.counted; ROLLBACK", 10),
        (
            "BEGIN; SAVEPOINT s; DELETE FROM layer.counted; ROLLBACK TO s; "
            "INSERT INTO layer.counted VALUES (11); COMMIT",
            11,
        ),
        (
            "MERGE INTO layer.counted c USING generate_series(8, 12) s(i) ON c.fid = s.i "
            "WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (s.i)",
            9,
        ),
    ],
)
def test_row_count_is_exact(owner: psycopg.Connection, counted: str, statement: str, rows: int) -> None:
    owner.execute(statement.encode())
    assert count(owner) == (rows, rows)


def test_copy_is_counted(owner: psycopg.Connection, counted: str) -> None:
    with owner.cursor() as cursor, cursor.copy("COPY layer.counted (fid) FROM STDIN") as copy:
        for fid in range(100, 150):
            copy.write_row((fid,))
    assert count(owner) == (60, 60)


def test_writers_do_not_wait_for_each_other_and_compaction_keeps_the_sum(
    module_db: Database, owner: psycopg.Connection, counted: str
) -> None:
    with psycopg.connect(module_db.owner_dsn) as first, psycopg.connect(module_db.owner_dsn) as second:
        second.execute("SET lock_timeout = '1s'")
        first.execute("INSERT INTO layer.counted VALUES (101)")
        second.execute("INSERT INTO layer.counted VALUES (102)")
        second.commit()
        for fid in range(200, 220):
            owner.execute("INSERT INTO layer.counted VALUES (%s)", (fid,))
        compacted = scalar(owner, "SELECT bandoso.compact_counts(5)")
        assert isinstance(compacted, int) and compacted >= 21
        assert scalar(owner, "SELECT count(*) FROM bandoso.layer_count WHERE layer = 'counted'") == 1
        assert count(owner) == (31, 31)
        first.commit()
    assert count(owner) == (32, 32)


def test_last_change_moves_with_updates(owner: psycopg.Connection, counted: str) -> None:
    before = scalar(owner, "SELECT bandoso.last_change('counted')")
    owner.execute("UPDATE layer.counted SET name = 'x' WHERE fid = -1")
    assert scalar(owner, "SELECT bandoso.last_change('counted')") == before
    owner.execute("UPDATE layer.counted SET name = 'x' WHERE fid = 1")
    assert scalar(owner, "SELECT bandoso.last_change('counted') > %s", before) is True


# -- other servers ------------------------------------------------------------------------------------


@pytest.fixture
def tenant(empty: Database) -> Iterator[Database]:
    """An empty database as a managed server gives it: its owner is not superuser.

    The owner's connection takes the role by an option of the DSN, since peer authentication knows no user
    of that name.
    """
    with psycopg.connect(empty.owner_dsn, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS tenant")
        connection.execute("CREATE ROLE tenant NOLOGIN")
        connection.execute("GRANT CREATE ON DATABASE empty TO tenant")
    yield replace(empty, owner_dsn=make_conninfo(empty.owner_dsn, options="-c role=tenant"))
    with psycopg.connect(empty.owner_dsn, autocommit=True) as connection:
        connection.execute("DROP OWNED BY tenant CASCADE")
        connection.execute("DROP ROLE tenant")


def test_missing_rights_are_named_one_by_one(
    tenant: Database, empty: Database, city: City, catalogue: Catalogue, database: Database
) -> None:
    city = without_sheets(city)
    with psycopg.connect(empty.owner_dsn, autocommit=True) as admin:
        with pytest.raises(DatabaseError, match="may not create the extension postgis"):
            prepare(tenant.owner_dsn, city, catalogue)
        for extension in ("postgis", "unaccent", "pg_trgm", "btree_gist"):
            admin.execute(sql.SQL("CREATE EXTENSION {}").format(sql.Identifier(extension)))

        admin.execute("REVOKE CREATE ON DATABASE empty FROM tenant")
        with pytest.raises(DatabaseError, match="may not create schemas"):
            prepare(tenant.owner_dsn, city, catalogue)
        admin.execute("GRANT CREATE ON DATABASE empty TO tenant")

        with pytest.raises(DatabaseError, match="may not create the roles"):
            prepare(tenant.owner_dsn, city, catalogue)
        admin.execute(f"GRANT {', '.join(TAKEN)} TO tenant".encode())

        with pytest.raises(DatabaseError, match="may not write the table spatial_ref_sys"):
            prepare(tenant.owner_dsn, city, catalogue)
        admin.execute("GRANT INSERT, UPDATE, SELECT ON spatial_ref_sys TO tenant")
        prepare(tenant.owner_dsn, city, catalogue)
        assert scalar(admin, "SELECT count(*) FROM bandoso.state WHERE key = 'grants'") == 1


def test_wrong_encoding_is_a_sentence(embedded: Database, city: City, catalogue: Catalogue) -> None:
    admin = make_conninfo(embedded.owner_dsn, dbname="postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(
            "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
        )
        try:
            with pytest.raises(DatabaseError, match="encoding is not UTF-8"):
                prepare(make_conninfo(admin, dbname="latin"), city, catalogue)
        finally:
            connection.execute("DROP DATABASE latin WITH (FORCE)")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"host": "/nonexistent"}, "does not answer"),
        ({"dbname": "nonexistent"}, "does not exist"),
        ({"user": "nonexistent"}, "refuses this user"),
        ({"host": "/nonexistent,/nowhere", "port": "1,2"}, "does not answer"),
    ],
)
def test_unreachable_database_is_one_sentence(
    embedded: Database, city: City, catalogue: Catalogue, change: dict[str, str], message: str
) -> None:
    dsn = make_conninfo(embedded.owner_dsn, **change)
    with pytest.raises(DatabaseError, match=message) as caught:
        prepare(dsn, city, catalogue)
    shown = caught.value.message + (caught.value.hint or "")
    assert str(conninfo_to_dict(dsn)["host"]) not in shown and "nonexistent" not in shown


def test_nonsense_dsn_is_one_sentence(city: City, catalogue: Catalogue) -> None:
    with pytest.raises(DatabaseError, match="connection string"):
        prepare("no such = = thing", city, catalogue)
