"""Accounts for whoever owns the database: commands, the first start, and tests.

All functions take an owner's connection (autocommit or not) and work in a transaction of their own. Requests
never come here: they manage accounts by functions of the database that look at who asks (0014_accounts.sql).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from gis.errors import NotFoundError, UsageError
from gis.identity import passwords, tokens
from gis.identity.areas import Area
from gis.identity.principal import ROLES

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,62}\Z")


def checked_name(name: str) -> str:
    """The name of an account. Raises UsageError for what cannot be one."""
    if not _NAME.match(name):
        raise UsageError(
            "a name has 1 to 63 small letters, digits, dots, hyphens, underscores or @",
            code="invalid-name",
        )
    return name


def add_account(
    connection: Connection,
    name: str,
    password: str | None = None,
    *,
    subject: str | None = None,
    agency: str | None = None,
) -> int:
    """A new account; its id. ``password`` None or "": no login by password. ``subject``: issuer and
    subject of the OIDC provider, with a space between. ``agency``: whose admins manage it (with its grants').

    Raises UsageError (name, password or subject that cannot be one, or is taken).
    """
    kept = passwords.hashed(passwords.check(password, name)) if password else None
    try:
        with connection.transaction():
            row = connection.execute(
                "INSERT INTO bandoso.account (name, password, subject, agency) VALUES (%s, %s, %s, %s)"
                " RETURNING id",
                (checked_name(name), kept, subject, agency),
            ).fetchone()
    except psycopg.errors.UniqueViolation as error:
        taken = "subject" if "subject" in (error.diag.constraint_name or "") else "name"
        raise UsageError(f"there is an account with this {taken}", code="account-exists") from None
    except psycopg.errors.ForeignKeyViolation:
        raise _no_agency(agency) from None
    assert row is not None
    return int(row[0])


def grant(
    connection: Connection,
    account: int,
    role: str,
    agency: str,
    layer: str | None = None,
    area: Area | None = None,
) -> int:
    """Give the account a role for an agency; the grant's id. ``layer`` None: those of the agency. ``area``
    None: everywhere. The same grant with another area takes its place. Raises UsageError, NotFoundError."""
    if role not in ROLES:
        raise UsageError(
            f"there is no role {role[:80]!r}", hint=f"one of {', '.join(ROLES)}", code="invalid-role"
        )
    if (
        layer is not None
        and _one(connection, "SELECT to_regclass(format('layer.%%I', %s::text))", layer) is None
    ):
        raise NotFoundError(f"there is no layer {layer[:80]!r}", hint="see bandoso layers")
    try:
        with connection.transaction():
            row = connection.execute(
                "INSERT INTO bandoso.account_grant (account, role, agency, layer, area, area_words)"
                " VALUES (%s, %s, %s, %s, %s::public.geometry, %s)"
                " ON CONFLICT (account, role, agency, layer)"
                " DO UPDATE SET area = excluded.area, area_words = excluded.area_words RETURNING id",
                (account, role, agency, layer, area and area.ewkb, area and Jsonb(area.words)),
            ).fetchone()
    except psycopg.errors.ForeignKeyViolation as error:
        if "account" in (error.diag.constraint_name or "").removeprefix("account_grant_"):
            raise NotFoundError("there is no such account") from None
        raise _no_agency(agency) from None
    assert row is not None
    return int(row[0])


def revoke(
    connection: Connection, account: int, role: str | None, agency: str | None, layer: str | None = None
) -> int:
    """Take grants away (None: whatever role, agency, layer); how many. The last admin of the city stays:
    UsageError."""
    with connection.transaction(), _told():
        return connection.execute(
            "DELETE FROM bandoso.account_grant WHERE account = %(account)s"
            " AND (%(role)s::text IS NULL OR role = %(role)s)"
            " AND (%(agency)s::text IS NULL OR agency = %(agency)s)"
            " AND (%(layer)s::text IS NULL OR layer = %(layer)s)",
            {"account": account, "role": role, "agency": agency, "layer": layer},
        ).rowcount


def make_token(
    connection: Connection,
    account: int,
    name: str,
    scopes: Sequence[str] = tokens.DEFAULT_SCOPES,
    days: int = tokens.DEFAULT_DAYS,
) -> tuple[str, int]:
    """A new API token of the account: (secret, id). The secret is kept nowhere. Raises UsageError."""
    secret = tokens.new_secret()
    with connection.transaction():
        row = connection.execute(
            "INSERT INTO bandoso.token (account, name, hash, scopes, expires_at)"
            " VALUES (%s, %s, %s, %s, now() + make_interval(days => %s)) RETURNING id",
            (
                account,
                checked_label(name),
                tokens.digest(secret),
                tokens.checked_scopes(scopes),
                tokens.checked_days(days),
            ),
        ).fetchone()
    assert row is not None
    return secret, int(row[0])


def checked_label(text: str) -> str:
    """What a token is called by its owner. Raises UsageError."""
    if not text.isprintable() or not 1 <= len(text.strip()) <= 100:
        raise UsageError("a token's name has 1 to 100 letters", code="invalid-name")
    return text.strip()


def revoke_token(connection: Connection, token: int, account: int | None = None) -> None:
    """End a token (of the account, if given) at once. Raises NotFoundError."""
    with connection.transaction():
        done = connection.execute(
            "UPDATE bandoso.token SET revoked_at = coalesce(revoked_at, now())"
            " WHERE id = %s AND (%s::bigint IS NULL OR account = %s)",
            (token, account, account),
        ).rowcount
    if not done:
        raise NotFoundError("there is no such token")


def set_password(connection: Connection, account: int, password: str | None) -> None:
    """Change the password; None: no login by password any more. Raises UsageError, NotFoundError."""
    name = _one(connection, "SELECT name FROM bandoso.account WHERE id = %s", account)
    kept = passwords.hashed(passwords.check(password, str(name))) if password else None
    _change(
        connection,
        account,
        "UPDATE bandoso.account SET password = %s, changed_at = now() WHERE id = %s",
        kept,
    )


def disable(connection: Connection, account: int, disabled: bool = True) -> None:
    """Close the account (or open it again): no login, no token, no write. The last admin stays."""
    _change(
        connection,
        account,
        "UPDATE bandoso.account SET disabled = %s, changed_at = now() WHERE id = %s",
        disabled,
    )


def remove(connection: Connection, account: int) -> None:
    """Delete the account with its grants and tokens; history keeps its name. The last admin stays."""
    with connection.transaction(), _told():
        done = connection.execute("DELETE FROM bandoso.account WHERE id = %s", (account,)).rowcount
    if not done:
        raise NotFoundError("there is no such account")


def find(connection: Connection, name: str) -> int:
    """The id of the account of this name. Raises NotFoundError."""
    found = _one(connection, "SELECT id FROM bandoso.account WHERE name = %s", name)
    if found is None:
        raise NotFoundError(f"there is no account {name[:80]!r}", hint="see bandoso user list")
    return int(found)


@dataclass(frozen=True)
class Account:
    """An account as it is listed."""

    id: int
    name: str
    agency: str | None
    password: bool
    subject: str | None
    disabled: bool
    created_at: datetime
    grants: list[dict[str, Any]]
    tokens: list[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def listed(connection: Connection, name: str | None = None) -> list[Account]:
    """All accounts by name, or the one of this name, with grants and tokens (never a secret)."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            "SELECT bandoso.account_shown(id) AS shown FROM bandoso.account"
            " WHERE %s::text IS NULL OR name = %s ORDER BY name",
            (name, name),
        ).fetchall()
    return [Account(**row["shown"]) for row in rows]


def admins(connection: Connection) -> list[str]:
    """Names of the city's admins that can log in."""
    rows = connection.execute(
        "SELECT DISTINCT a.name FROM bandoso.account AS a"
        " JOIN bandoso.account_grant AS g ON g.account = a.id JOIN bandoso.agency AS s ON s.id = g.agency"
        " WHERE g.role = 'admin' AND g.layer IS NULL AND s.shared AND NOT a.disabled ORDER BY 1"
    ).fetchall()
    return [str(row[0]) for row in rows]


def _change(connection: Connection, account: int, query: str, value: Any) -> None:
    with connection.transaction(), _told():
        done = connection.execute(query.encode(), (value, account)).rowcount
    if not done:
        raise NotFoundError("there is no such account")


class _told:  # noqa: N801 - used as a statement
    """Refusals of the database's own rules, in its words."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith("BD"):
            raise UsageError(error.diag.message_primary or "refused", code="last-admin") from None


def _one(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


def _no_agency(agency: str | None) -> UsageError:
    return UsageError(
        f"there is no agency {(agency or '')[:80]!r}", hint="see agencies in city.yml", code="invalid-agency"
    )
