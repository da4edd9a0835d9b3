"""Brings a database up to date: extensions, migrations, roles, CRS rows, layers, grants, sheets.

Safe to call at every start and from several processes; costs a few milliseconds when nothing is to do.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import Connection, sql

from gis.city import City
from gis.db.agencies import write_agencies
from gis.db.apply import apply_catalogue
from gis.db.connect import connect
from gis.db.crs_rows import write_crs_rows
from gis.db.definition import context
from gis.db.low import prepare_low
from gis.db.missing_indexes import build_missing_indexes
from gis.db.names import prepare_names
from gis.db.rasters import write_raster_layers
from gis.db.requirements import check_server, ensure_extensions
from gis.db.roles import ensure_roles, is_superuser
from gis.db.sheet_layers import fill_sheet_layers
from gis.db.sql import APP, CHECKER, FOLDER, OWN, static
from gis.db.state import one, set_state, state
from gis.errors import DatabaseError, MigrationRefused
from layers.registry import Catalogue

LOCK_SECONDS = 120.0

#: Key of the advisory lock under which a database is prepared: "band" in ASCII.
_LOCK = 0x62616E64


@dataclass(frozen=True)
class Migration:
    """A numbered SQL file."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations() -> list[Migration]:
    """The shipped ``sql/NNNN_*.sql``, in order."""
    return [
        Migration(int(path.name[:4]), path.stem, path.read_text(encoding="utf-8"))
        for path in sorted(FOLDER.iterdir())
        if re.fullmatch(r"\d{4}_\w+\.sql", path.name)
    ]


def prepare(owner_dsn: str, city: City, catalogue: Catalogue) -> None:
    """Make the database fit for this version, city and catalogue; idempotent, under an advisory lock.

    Raises DatabaseError (server too old, a right or extension is missing, a migration has changed) and
    what ``apply_catalogue`` raises (MigrationRefused).
    """
    with connect(owner_dsn) as connection, prepare_lock(connection):
        check_server(connection)
        ensure_extensions(connection)
        fresh = run_migrations(connection, migrations())
        fresh = ensure_roles(connection) or fresh
        write_crs_rows(connection)
        harden(connection, again=fresh)
        try:
            apply_catalogue(connection, catalogue, city)
        finally:  # layers that were not refused are served
            if not connection.broken:
                prepare_low(connection, catalogue, city)
                prepare_names(connection, catalogue)
        write_agencies(connection, city, catalogue)
        write_raster_layers(connection, catalogue)
        build_missing_indexes(connection, catalogue)
        fill_sheet_layers(connection, city, catalogue)
        connection.execute(sql.SQL("SELECT {}()").format(sql.Identifier(OWN, "compact_counts")))


def prepare_what_stands(owner_dsn: str, city: City, catalogue: Catalogue) -> MigrationRefused | None:
    """``prepare``, but changed layer files that are refused do not keep the other layers from being used.

    A machine that restarts at night has to serve what it served before. Returns the refusal, to be told.
    Raises it where the tables are another city's (its storage CRS or extent), and what ``prepare`` raises.
    """
    try:
        prepare(owner_dsn, city, catalogue)
    except MigrationRefused as refusal:
        with connect(owner_dsn) as connection:
            foreign = one(
                connection,
                "SELECT EXISTS (SELECT FROM bandoso.layer WHERE definition ->> 'context' <> %s"
                " AND NOT coalesce((definition ->> 'retired')::boolean, false))",
                context(city),
            )
        if foreign:
            raise
        return refusal
    return None


@contextmanager
def prepare_lock(connection: Connection, timeout_s: float = LOCK_SECONDS) -> Iterator[None]:
    """The lock under which a database's structure is changed. Raises DatabaseError when it stays taken."""
    deadline = time.monotonic() + timeout_s
    while not one(connection, "SELECT pg_try_advisory_lock(%s)", _LOCK):
        if time.monotonic() > deadline:
            raise DatabaseError(
                "another process is changing the database's structure", hint="wait until it has finished"
            )
        time.sleep(0.02)
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


def run_migrations(connection: Connection, wanted: list[Migration]) -> bool:
    """Run those that were not run yet, each once in a transaction; True if any was.

    Raises DatabaseError if one that was run has changed since, or the database is of a newer bandoso.
    """
    try:
        if one(connection, "SELECT to_regclass('bandoso.migration')::text") is None:
            with connection.transaction():
                connection.execute(
                    "CREATE SCHEMA IF NOT EXISTS bandoso;"
                    "CREATE TABLE bandoso.migration (number integer PRIMARY KEY, name text NOT NULL,"
                    " checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
                )
    except psycopg.errors.InsufficientPrivilege:
        raise DatabaseError(
            "the database user may not create schemas in this database",
            hint="GRANT CREATE ON DATABASE ... TO the user, or make it the database's owner",
        ) from None
    rows = connection.execute(
        "SELECT number, name, checksum FROM bandoso.migration ORDER BY number"
    ).fetchall()
    done = {number: (name, checksum) for number, name, checksum in rows}
    known = {m.number for m in wanted}
    for number, (name, _) in done.items():
        if number not in known:
            raise DatabaseError(
                f"the database was prepared by a newer bandoso (it has migration {name})",
                hint="upgrade bandoso",
            )
    ran = False
    for migration in wanted:
        if migration.number in done:
            if done[migration.number][1] != migration.checksum:
                raise DatabaseError(
                    f"migration {migration.name} has changed since it was run on this database",
                    code="migration-changed",
                    hint="restore the file, and put the change into a new migration",
                )
            continue
        with connection.transaction():
            connection.execute(migration.text.encode())
            connection.execute(
                "INSERT INTO bandoso.migration (number, name, checksum) VALUES (%s, %s, %s)",
                (migration.number, migration.name, migration.checksum),
            )
        ran = True
    return ran


def harden(connection: Connection, *, again: bool) -> None:
    """Give the grants if their file has changed or ``again``; take away from PUBLIC what no request needs."""
    texts = [static("grants.sql")]
    if is_superuser(connection):
        texts.append(static("hardening.sql"))
    fingerprint = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    if not again and state(connection, "grants") == fingerprint:
        return
    with connection.transaction():
        for text in texts:
            connection.execute(text.encode())
        _close_database(connection)
        set_state(connection, "grants", fingerprint)


def _close_database(connection: Connection) -> None:
    """Nobody but owner and serving role may connect, or make temporary tables; only its owner can say so."""
    owned = one(
        connection,
        "SELECT pg_has_role(datdba, 'MEMBER') FROM pg_database WHERE datname = current_database()",
    )
    if owned:
        database = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
        connection.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, sql.Identifier(APP))
        )
        # what an edit's checks stage
        connection.execute(
            sql.SQL("GRANT TEMPORARY ON DATABASE {} TO {}").format(database, sql.Identifier(CHECKER))
        )
