"""/accounts: for stewards and admins. The database decides who may do what to whom (0014_accounts.sql)."""

from __future__ import annotations

from typing import Any

import orjson
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gis.api.accounts import bodies, door, own
from gis.api.accounts.bodies import AccountBody, ChangeBody, GrantBody, TokenBody
from gis.api.auth import authenticator_of, require
from gis.api.negotiate import known_parameters
from gis.api.problems import Refusal
from gis.api.state import State, state_of
from gis.identity import passwords
from gis.identity.areas import Area
from gis.identity.principal import Principal

NO_STORE = {"Cache-Control": "no-store"}

_GRANT = "SELECT bandoso.grant_add(%s, %s, %s, %s, %s::public.geometry, %s)"
_SHOWN = "SELECT bandoso.account_managed(%s)"


async def listed(request: Request) -> Response:
    """GET and POST of /accounts."""
    known_parameters(request, ())
    who = require(request, "manage")
    if not any(one.role in ("steward", "admin") for one in who.grants):
        raise Refusal(403, "not-allowed", "only stewards and admins manage accounts")
    if request.method == "POST":
        return await _add(request)
    async with door.as_door(state_of(request).readers, who) as connection:
        cursor = await connection.execute("SELECT bandoso.accounts_managed()")
        found = [row[0] for row in await cursor.fetchall()]
    return answer({"accounts": found})


async def _add(request: Request) -> Response:
    who, state = require(request, "manage"), state_of(request)
    body = await bodies.read(request, AccountBody)
    given: str | bool | None = body.password
    if "password" not in body.model_fields_set:
        given = None if body.subject else True
    password = _chosen(given, body.name)
    areas = [await bodies.area_of(state, one.area) for one in body.grants]
    hashed = await _hashed(request, password)
    async with door.as_door(state.readers, who, write=True) as connection:
        await connection.execute(
            "SELECT bandoso.account_add(%s, %s, %s, %s)",
            (body.name, hashed, _subject(state, body.subject), body.agency),
        )
        for one, area in zip(body.grants, areas, strict=True):
            await _grant(connection, state, body.name, one, area)
        shown = await _shown(connection, body.name)
    if given is True:
        shown["password_once"] = password
    return answer(shown, 201, {"Location": f"{state.base_url(request)}/accounts/{body.name}"})


async def one(request: Request) -> Response:
    """GET, PATCH and DELETE of /accounts/{name}."""
    who, state, name = _managing(request)
    if request.method == "GET":
        return answer(await _read(state, who, name))
    if request.method == "DELETE":
        await door.one(state.readers, "SELECT bandoso.account_remove(%s)", (name,), acting=who, write=True)
        return _changed(request)
    body = await bodies.read(request, ChangeBody, "application/merge-patch+json")
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    password = None
    if "subject" in changes:
        changes["subject"] = _subject(state, body.subject)
    if "password" in changes:
        password = _chosen(body.password, name)
        changes["password"] = await _hashed(request, password)
    async with door.as_door(state.readers, who, write=True) as connection:
        await connection.execute("SELECT bandoso.account_change(%s, %s)", (name, Jsonb(changes)))
        shown = await _shown(connection, name)
    if body.password is True:
        shown["password_once"] = password
    authenticator_of(request.app).forget()
    return answer(shown)


async def grants(request: Request) -> Response:
    """GET and POST of /accounts/{name}/grants."""
    who, state, name = _managing(request)
    if request.method == "GET":
        return answer({"grants": (await _read(state, who, name))["grants"]})
    body = await bodies.read(request, GrantBody)
    area = await bodies.area_of(state, body.area)
    async with door.as_door(state.readers, who, write=True) as connection:
        made = await _grant(connection, state, name, body, area)
        shown = await _shown(connection, name)
    authenticator_of(request.app).forget()
    found = next(one for one in shown["grants"] if one["id"] == made)
    return answer(found, 201, {"Location": f"{state.base_url(request)}/accounts/{name}/grants/{made}"})


async def grant(request: Request) -> Response:
    """GET and DELETE of /accounts/{name}/grants/{id}."""
    who, state, name = _managing(request)
    number: int = request.path_params["grant"]
    if request.method == "GET":
        for one in (await _read(state, who, name))["grants"]:
            if one["id"] == number:
                return answer(one)
        raise Refusal(404, "not-found", "the account has no such grant")
    await door.one(
        state.readers,
        "SELECT bandoso.grant_remove(%s, %s)",
        (name, own.number(number)),
        acting=who,
        write=True,
    )
    return _changed(request)


async def account_tokens(request: Request) -> Response:
    """GET and POST of /accounts/{name}/tokens."""
    who, state, name = _managing(request)
    if request.method == "GET":
        return answer({"tokens": (await _read(state, who, name))["tokens"]})
    return await own.make(request, who, name, await bodies.read(request, TokenBody))


async def account_token(request: Request) -> Response:
    """DELETE of /accounts/{name}/tokens/{id}."""
    who, _, name = _managing(request)
    return await own.end(request, who, name, request.path_params["token"])


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON document that is kept nowhere."""
    return Response(orjson.dumps(content), status, {**NO_STORE, **(headers or {})}, "application/json")


def _managing(request: Request) -> tuple[Principal, State, str]:
    """Who manages, the state, and the account of the address. Raises Refusal, UsageError."""
    known_parameters(request, ())
    return require(request, "manage"), state_of(request), _name(request)


def _changed(request: Request) -> Response:
    authenticator_of(request.app).forget()
    return Response(status_code=204, headers=NO_STORE)


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    if "\0" in name or len(name) > 63:
        raise Refusal(404, "not-found", "there is no such account, or it is not yours to manage")
    return name


def _chosen(given: str | bool | None, name: str) -> str | None:
    if given is True:
        return passwords.generate()
    return passwords.check(given, name) if isinstance(given, str) else None


async def _hashed(request: Request, password: str | None) -> str | None:
    return None if password is None else await authenticator_of(request.app).basic.hashed(password)


def _subject(state: State, given: str | None) -> str | None:
    """As it is kept: after the issuer, which may be left out."""
    if given is None or " " in given or not state.settings.oidc_issuer:
        return given
    return f"{state.settings.oidc_issuer} {given}"


async def _read(state: State, who: Principal, name: str) -> dict[str, Any]:
    """The account, as somebody who manages it sees it."""
    async with door.as_door(state.readers, who) as connection:
        return await _shown(connection, name)


async def _shown(connection: AsyncConnection, name: str) -> dict[str, Any]:
    cursor = await connection.execute(_SHOWN, (name,))
    row = await cursor.fetchone()
    assert row is not None
    shown: dict[str, Any] = row[0]
    return shown


async def _grant(
    connection: AsyncConnection, state: State, name: str, body: GrantBody, area: Area | None
) -> int:
    if body.layer is not None and body.layer not in state.known.layers:
        raise Refusal(
            400,
            "invalid-body",
            "there is no such layer",
            errors=[{"pointer": "/layer", "detail": "unknown layer"}],
        )
    words = None if area is None else Jsonb(area.words)
    values = (name, body.role, body.agency, body.layer, None if area is None else area.ewkb, words)
    row = await (await connection.execute(_GRANT, values)).fetchone()
    assert row is not None
    return int(row[0])


ROUTES = [
    Route("/accounts", listed, methods=["GET", "POST"]),
    Route("/accounts/{name}", one, methods=["GET", "PATCH", "DELETE"]),
    Route("/accounts/{name}/grants", grants, methods=["GET", "POST"]),
    Route("/accounts/{name}/grants/{grant:int}", grant, methods=["GET", "DELETE"]),
    Route("/accounts/{name}/tokens", account_tokens, methods=["GET", "POST"]),
    Route("/accounts/{name}/tokens/{token:int}", account_token, methods=["DELETE"]),
    *own.ROUTES,
]
