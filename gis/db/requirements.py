"""What bandoso needs of a database server, with a sentence for each thing that is missing."""

from __future__ import annotations

import re

import psycopg
from psycopg import Connection, sql

from gis.errors import DatabaseError

#: Extension -> Debian's package that brings it.
EXTENSIONS = {
    "postgis": "postgresql-NN-postgis-3",
    "unaccent": "postgresql-contrib",
    "pg_trgm": "postgresql-contrib",
    "btree_gist": "postgresql-contrib",
}
MIN_POSTGRESQL = 150000
MIN_POSTGIS = (3, 3)


def check_server(connection: Connection) -> None:
    """Raise DatabaseError unless the server is new enough, writable and holds UTF-8."""
    if connection.info.server_version < MIN_POSTGRESQL:
        raise DatabaseError("the database server is older than PostgreSQL 15", hint="upgrade it")
    if connection.info.parameter_status("server_encoding") != "UTF8":
        raise DatabaseError(
            "the database's encoding is not UTF-8",
            hint="createdb --encoding=UTF8 --template=template0 bandoso",
        )
    if connection.info.parameter_status("in_hot_standby") == "on":
        raise DatabaseError(
            "this is a standby, which cannot be changed",
            hint="name all hosts in the dsn and add target_session_attrs=read-write",
        )


def ensure_extensions(connection: Connection) -> None:
    """Make the extensions that are missing. Raises DatabaseError saying what an administrator has to do."""
    rows = connection.execute(
        "SELECT a.name, a.default_version, e.extversion, n.nspname::text FROM pg_available_extensions a "
        "LEFT JOIN pg_extension e ON e.extname = a.name LEFT JOIN pg_namespace n ON n.oid = e.extnamespace "
        "WHERE a.name = ANY (%s)",
        (list(EXTENSIONS),),
    ).fetchall()
    found = {name: (version, installed, schema) for name, version, installed, schema in rows}
    for name, package in EXTENSIONS.items():
        if name not in found:
            raise DatabaseError(
                f"the database server does not have the extension {name}", hint=f"apt-get install {package}"
            )
        version, installed, schema = found[name]
        if name == "postgis" and _version(installed or version) < MIN_POSTGIS:
            raise DatabaseError(
                f"PostGIS {installed or version} is older than 3.3",
                hint="install a newer package, then SELECT postgis_extensions_upgrade()",
            )
        if installed is None:
            _create_extension(connection, name)
        elif schema != "public":
            raise DatabaseError(
                f"the extension {name} lies in schema {schema}, and bandoso needs it in public",
                hint="use another database, or make it again: CREATE EXTENSION ... SCHEMA public",
            )


def _create_extension(connection: Connection, name: str) -> None:
    try:
        connection.execute(
            sql.SQL("CREATE EXTENSION IF NOT EXISTS {} SCHEMA public").format(sql.Identifier(name))
        )
    except psycopg.errors.InsufficientPrivilege:
        raise DatabaseError(
            f"the database user may not create the extension {name}",
            hint=f"an administrator has to run once in this database: CREATE EXTENSION {name} SCHEMA public",
        ) from None


def _version(text: str) -> tuple[int, int]:
    parts = re.findall(r"\d+", text)
    return int(parts[0]), int(parts[1])
