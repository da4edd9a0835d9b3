"""The first start: one admin of the city, with a secret that is shown once."""

from __future__ import annotations

import sys

from psycopg import Connection

from gis.db.connect import owner_connection
from gis.db.server import Database
from gis.identity import accounts, passwords

NAME = "admin"

#: Key of the advisory lock under which the first account is made: "bdad" in ASCII.
_LOCK = 0x62646164


def first_admin(connection: Connection) -> str | None:
    """Make the account ``admin`` where there is no account at all; its password. Two starts make one.

    None where there is an account already, or no agency of the city is shared.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        row = connection.execute(
            "SELECT id, EXISTS (SELECT FROM bandoso.account) FROM bandoso.agency"
            " WHERE shared ORDER BY id LIMIT 1"
        ).fetchone()
        if row is None or row[1]:
            return None
        password = passwords.generate()
        account = accounts.add_account(connection, NAME, password, agency=row[0])
        accounts.grant(connection, account, "admin", row[0])
    return password


def tell_first_admin(db: Database) -> None:
    """Make the first admin if there is no account, and show name and password on standard error."""
    with owner_connection(db) as connection:
        password = first_admin(connection)
    if password is not None:
        # not by a console, which may wrap or colour it
        sys.stderr.write(
            f"  first admin: {NAME}, password: {password}\n"
            "  it is shown this once; bandoso user password admin makes another\n"
        )
        sys.stderr.flush()
