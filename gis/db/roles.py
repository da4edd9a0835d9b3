"""Roles: they belong to the whole cluster, so several databases may make them at the same time.

``bandoso_reader`` (no login) has the grants; ``bandoso_app`` logs in and has none (NOINHERIT): a
session of it that has not taken the reader's role can do nothing at all.
"""

from __future__ import annotations

import time

import psycopg
from psycopg import Connection, sql

from gis.db.sql import APP, READER
from gis.errors import DatabaseError

_STATE = """
SELECT (SELECT array_agg(rolname::text) FROM pg_roles WHERE rolname IN ('bandoso_reader', 'bandoso_app')),
       EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = to_regrole('bandoso_reader')
                                               AND m.member = to_regrole('bandoso_app')),
       pg_has_role(to_regrole('bandoso_reader')::oid, 'MEMBER'),
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
"""


def is_superuser(connection: Connection) -> bool:
    """Whether this connection may do everything (as the owner of the embedded server may)."""
    return connection.info.parameter_status("is_superuser") == "on"


def ensure_roles(connection: Connection) -> bool:
    """Make the roles that are missing; True if something was done. Raises DatabaseError naming the right."""
    for attempt in range(20):
        statements = _missing(connection)
        if not statements:
            return attempt > 0
        try:
            for statement in statements:
                connection.execute(statement)
        except (
            psycopg.errors.DuplicateObject,
            psycopg.errors.UniqueViolation,
            psycopg.errors.InternalError_,
        ):
            time.sleep(0.02)  # another database's prepare was quicker, or is at it ("concurrently updated")
        except psycopg.errors.InsufficientPrivilege:
            raise DatabaseError(
                "the database user may not create the roles bandoso_reader and bandoso_app",
                hint="ALTER ROLE ... CREATEROLE, or let an administrator run: CREATE ROLE bandoso_reader; "
                "CREATE ROLE bandoso_app LOGIN NOINHERIT IN ROLE bandoso_reader; "
                "GRANT bandoso_reader TO the owner",
            ) from None
    raise DatabaseError("the database roles are being changed by another program", hint="try again")


def _missing(connection: Connection) -> list[sql.Composed]:
    row = connection.execute(_STATE).fetchone()
    assert row
    roles, app_is_member, we_are_member, superuser = row
    statements: list[sql.Composed] = []
    reader, app = sql.Identifier(READER), sql.Identifier(APP)
    if READER not in (roles or ()):
        statements.append(sql.SQL("CREATE ROLE {} NOLOGIN NOINHERIT").format(reader))
    if APP not in (roles or ()):
        statements.append(sql.SQL("CREATE ROLE {} LOGIN NOINHERIT CONNECTION LIMIT 90").format(app))
    if not app_is_member:
        statements.append(sql.SQL("GRANT {} TO {}").format(reader, app))
    if not we_are_member and not superuser:  # an owner that also serves takes the reader's role
        statements.append(sql.SQL("GRANT {} TO CURRENT_USER").format(reader))
    return statements
