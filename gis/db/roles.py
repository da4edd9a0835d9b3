"""Roles: they belong to the whole cluster, so several databases may make them at the same time.

``bandoso_reader`` (no login) has the grants for reading, ``bandoso_jobs`` those for submitting jobs and
looking at them; members, editors, checks and the door have theirs (gis.db.door). ``bandoso_app`` logs in and
has none (NOINHERIT): a session of it that has taken no role can do nothing at all.
"""

from __future__ import annotations

import time

import psycopg
from psycopg import Connection, sql

from gis.db.sql import APP, CHECKER, DOOR, EDITOR, JOBS, MEMBER, READER
from gis.errors import DatabaseError

#: Roles without login that the login role may take, one at a time.
TAKEN = (READER, JOBS, MEMBER, EDITOR, CHECKER, DOOR)

_STATE = """
SELECT (SELECT coalesce(array_agg(rolname::text), '{}') FROM pg_roles WHERE rolname = ANY (%(all)s)),
       (SELECT coalesce(array_agg(m.roleid::regrole::text), '{}') FROM pg_auth_members m
        WHERE m.roleid = ANY (SELECT to_regrole(r)::oid FROM unnest(%(taken)s::text[]) AS r)
          AND m.member = to_regrole('bandoso_app')),
       (SELECT array_agg(r) FROM unnest(%(taken)s::text[]) AS r
        WHERE pg_has_role(to_regrole(r)::oid, 'MEMBER')),
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
            taken = ", ".join(TAKEN)
            raise DatabaseError(
                f"the database user may not create the roles {taken} and {APP}",
                hint="ALTER ROLE ... CREATEROLE, or let an administrator run: "
                + "".join(f"CREATE ROLE {name}; " for name in TAKEN)
                + f"CREATE ROLE {APP} LOGIN NOINHERIT IN ROLE {taken}; GRANT {taken} TO the owner",
            ) from None
    raise DatabaseError("the database roles are being changed by another program", hint="try again")


def _missing(connection: Connection) -> list[sql.Composed]:
    row = connection.execute(_STATE, {"all": [*TAKEN, APP], "taken": list(TAKEN)}).fetchone()
    assert row
    roles, of_app, ours, superuser = row
    app = sql.Identifier(APP)
    statements = [
        sql.SQL("CREATE ROLE {} NOLOGIN NOINHERIT").format(sql.Identifier(name))
        for name in TAKEN
        if name not in roles
    ]
    if APP not in roles:
        statements.append(sql.SQL("CREATE ROLE {} LOGIN NOINHERIT CONNECTION LIMIT 90").format(app))
    for name in TAKEN:
        role = sql.Identifier(name)
        if name not in of_app:
            statements.append(sql.SQL("GRANT {} TO {}").format(role, app))
        if name not in (ours or ()) and not superuser:  # an owner that also serves takes the roles
            statements.append(sql.SQL("GRANT {} TO CURRENT_USER").format(role))
    return statements
