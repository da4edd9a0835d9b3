"""Connections of commands, and the one sentence a user gets when there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gis.errors import DatabaseError

if TYPE_CHECKING:
    from gis.db.server import Database  # small processes connect, too, and need no settings

#: Connection keywords that a DSN may override: a network that fails silently is noticed within a minute.
DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}


def conninfo(dsn: str, application: str) -> str:
    """``dsn`` (URI or keywords, one host or several) with our defaults. Raises DatabaseError."""
    try:
        given = {name: str(value) for name, value in conninfo_to_dict(dsn).items() if value is not None}
    except psycopg.ProgrammingError:
        raise DatabaseError(
            "the connection string is not one that PostgreSQL understands",
            hint="for example: host=db1,db2 dbname=bandoso user=bandoso target_session_attrs=read-write",
        ) from None
    return make_conninfo("", **{**DEFAULTS, "application_name": application, **given})


def connect(dsn: str, *, autocommit: bool = True) -> psycopg.Connection:
    """A connection with the rights of ``dsn``. Raises DatabaseError without host, role or path in it."""
    try:
        return psycopg.connect(conninfo(dsn, "bandoso"), autocommit=autocommit)
    except psycopg.OperationalError as error:
        raise unreachable(error) from error


def unreachable(error: psycopg.Error) -> DatabaseError:
    """What to tell a user about a connection that could not be made."""
    text = str(error)
    for part, message, hint in (
        ("does not exist", "the database or its user does not exist", "create it, or mend the dsn"),
        ("uthentication failed", "the database refuses this user", "check user and password of the dsn"),
        ("no password supplied", "the database wants a password", "put it into the dsn or ~/.pgpass"),
        ("no pg_hba.conf entry", "the database refuses this user or host", "see pg_hba.conf of the server"),
        ("too many c", "the database has no free connection", "raise max_connections or lower pool_size"),
        ("session is read-only", "only a standby answers, and this needs the primary", None),
    ):
        if part in text:
            return DatabaseError(message, hint=hint)
    return DatabaseError("the database does not answer", hint="is it running, and is the dsn right?")


@contextmanager
def owner_connection(db: Database) -> Iterator[psycopg.Connection]:
    """A connection that may change everything, in autocommit mode, for commands; closed at the end.

    Group statements with ``with connection.transaction():``.
    """
    connection = connect(db.owner_dsn)
    try:
        yield connection
    finally:
        connection.close()
