"""What is asked of the database about callers and accounts: functions of 0014_accounts.sql.

They are called in role bandoso_door, which has no table. What an account may do to others is decided by these
functions, from the settings ``bandoso.account`` and ``bandoso.token`` of the transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection, errors, sql
from psycopg_pool import AsyncConnectionPool

from gis.api.problems import Refusal
from gis.db.sql import DOOR
from gis.identity.principal import Principal

Pool = AsyncConnectionPool[AsyncConnection]

_ROLE = sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(DOOR))
_ACTING = "SELECT set_config('bandoso.account', %s, true), set_config('bandoso.token', %s, true)"

#: Refusals that the functions raise -> status, code.
_REFUSED = {"BD403": (403, "not-allowed"), "BD404": (404, "not-found"), "BD409": (409, "conflict")}


@dataclass(frozen=True)
class Known:
    """What a name stands for. ``principal`` None: nobody, or a disabled account."""

    password: str | None
    principal: Principal | None


async def login(pool: Pool, name: str) -> Known:
    """The stored hash and the principal of a name."""
    row = await one(pool, "SELECT password, principal FROM bandoso.login(%s)", (name,))
    if row is None or row[1] is None:
        return Known(None, None)
    return Known(row[0], Principal.of(row[1]))


async def login_try(pool: Pool, name: str, client: str) -> tuple[int | None, float]:
    """Count an attempt: its number, or None and the seconds to wait."""
    row = await one(pool, "SELECT attempt, wait FROM bandoso.login_try(%s, %s)", (name, client), write=True)
    assert row is not None
    return row[0], float(row[1] or 0)


async def login_passed(pool: Pool, attempt: int, name: str, client: str) -> None:
    """The attempt was right."""
    await one(pool, "SELECT bandoso.login_passed(%s, %s, %s)", (attempt, name, client), write=True)


async def token_find(pool: Pool, digest: bytes, *, note: bool) -> Principal | None:
    """Whose API token has this SHA-256. ``note``: write down that it was used, where that can be written."""
    query = "SELECT token, scopes, principal FROM bandoso.token_find(%s)"
    row = await one(pool, query, (digest,), write=note, perhaps=True)
    return None if row is None else Principal.of(row[2], token=row[0], scopes=row[1])


async def subject_find(pool: Pool, subject: str) -> Principal | None:
    """Whose account belongs to a subject of the OIDC provider."""
    row = await one(pool, "SELECT bandoso.subject_find(%s)", (subject,))
    return None if row is None or row[0] is None else Principal.of(row[0])


async def one(
    pool: Pool,
    query: str,
    values: Sequence[Any] = (),
    *,
    acting: Principal | None = None,
    write: bool = False,
    perhaps: bool = False,
) -> tuple[Any, ...] | None:
    """The first row. ``perhaps``: where this server only reads, read."""
    try:
        async with as_door(pool, acting, write=write) as connection:
            cursor = await connection.execute(query.encode(), values)
            return await cursor.fetchone()
    except OnlyReads:
        if not perhaps:
            raise
    return await one(pool, query, values, acting=acting)


class OnlyReads(Refusal):
    """The database behind this server takes no writes."""


@asynccontextmanager
async def as_door(
    pool: Pool, acting: Principal | None = None, *, write: bool = False
) -> AsyncIterator[AsyncConnection]:
    """A transaction with the rights of bandoso_door, for the account ``acting``. Raises Refusal."""
    try:
        async with pool.connection() as connection, connection.transaction():
            if write:
                await connection.execute("SET TRANSACTION READ WRITE")
            await connection.execute(_ROLE)
            if acting is not None:
                token = "" if acting.token is None else str(acting.token)
                await connection.execute(_ACTING, (str(acting.account), token))
            yield connection
    except (errors.ReadOnlySqlTransaction, errors.FeatureNotSupported) as error:
        raise OnlyReads(
            503,
            "accounts-unavailable",
            "this server only reads: logins by password are for the server that writes",
            hint="use an API token here",
            headers={"Retry-After": "300"},
        ) from error
    except (errors.UndefinedFunction, errors.InvalidParameterValue, errors.InsufficientPrivilege) as error:
        if error.sqlstate in _REFUSED:
            raise
        raise Refusal(
            503,
            "accounts-unavailable",
            "this server's database is not prepared for accounts",
            hint="run bandoso layers --apply as its owner",
        ) from error
    except errors.Error as error:
        refused = _REFUSED.get(error.sqlstate or "")
        if refused is None:
            raise
        raise Refusal(*refused, error.diag.message_primary or "refused") from None
