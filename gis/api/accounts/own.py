"""/me: who one is, what one may edit, one's own tokens and password."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gis.api.accounts import bodies, door
from gis.api.accounts.basic import Wrong
from gis.api.accounts.bodies import PasswordBody, TokenBody
from gis.api.auth import authenticator_of, client_key, principal_of, require
from gis.api.negotiate import known_parameters
from gis.api.problems import Refusal
from gis.api.state import State, state_of
from gis.identity import passwords, tokens
from gis.identity.principal import Principal

NO_STORE = {"Cache-Control": "no-store"}


async def me(request: Request) -> Response:
    """GET /me; for anyone too, with name null: a page asks before anybody has logged in."""
    known_parameters(request, ())
    who, state = principal_of(request), state_of(request)
    if who is None:
        return _answer(
            {
                "name": None,
                "agency": None,
                "grants": [],
                "token": None,
                "edit": [],
                "hidden": [],
                "steward": [],
            }
        )
    shown = await _own(state, who)
    return _answer(
        {
            "name": who.name,
            "agency": shown["agency"],
            "grants": shown["grants"],
            "token": None if who.scopes is None else {"id": who.token, "scopes": sorted(who.scopes)},
            "manages": who.allows("manage") and any(g.role in ("steward", "admin") for g in who.grants),
            "edit": _editable(state, who),
            "steward": _stewarded(who),
            "hidden": [i for i, one in state.catalogue.layers.items() if one.revealed],
        }
    )


def _editable(state: State, who: Principal) -> list[dict[str, Any]]:
    """Layers that one may write to, for which owners, and whether everywhere."""
    found = []
    for layer in state.known.layers.values():
        grants = who.editing(layer, state.sectors)
        if grants:
            everyone = any(one.for_all for one in grants)
            found.append(
                {
                    "layer": layer.id,
                    "agencies": ["*"] if everyone else sorted({one.agency for one in grants}),
                    "everywhere": any(not one.area for one in grants),
                }
            )
    return found


def _stewarded(who: Principal) -> list[str]:
    """Agencies that one is steward (or admin) of; "*": all of the city."""
    if who.is_steward():
        return ["*"]
    return sorted({g.agency for g in who.grants if who.is_steward(g.agency)})


async def my_tokens(request: Request) -> Response:
    """GET and POST of /me/tokens."""
    known_parameters(request, ())
    if request.method == "GET":
        who = require(request)
        return _answer({"tokens": (await _own(state_of(request), who))["tokens"]})
    who = require(request, "manage")
    return await make(request, who, None, await bodies.read(request, TokenBody))


async def my_token(request: Request) -> Response:
    """DELETE of /me/tokens/{id}."""
    known_parameters(request, ())
    return await end(request, require(request), None, request.path_params["token"])


async def my_password(request: Request) -> Response:
    """PUT /me/password."""
    known_parameters(request, ())
    who, state = require(request, "manage"), state_of(request)
    body = await bodies.read(request, PasswordBody)
    new = passwords.check(body.new, who.name)
    basic = authenticator_of(request.app).basic
    try:
        await basic.verify(who.name, body.current, client_key(request.scope["state"].get("client", "")))
    except Wrong:
        raise Refusal(
            403,
            "wrong-password",
            "the current password is not right",
            errors=[{"pointer": "/current", "detail": "not the password"}],
        ) from None
    hashed = await basic.hashed(new)
    await door.one(state.readers, "SELECT bandoso.password_own(%s)", (hashed,), acting=who, write=True)
    authenticator_of(request.app).forget()
    return Response(status_code=204, headers=NO_STORE)


async def make(request: Request, who: Principal, name: str | None, body: TokenBody) -> Response:
    """201 with a new token of the account (None: one's own), which is shown this once."""
    secret = tokens.new_secret()
    row = await door.one(
        state_of(request).readers,
        "SELECT token, expires_at FROM bandoso.token_add(%s, %s, %s, %s, %s)",
        (name, body.name, tokens.digest(secret), body.scopes, body.days),
        acting=who,
        write=True,
    )
    assert row is not None
    shown = {"id": row[0], "token": secret, "name": body.name, "scopes": body.scopes, "expires_at": row[1]}
    return _answer(shown, 201)


async def end(request: Request, who: Principal, name: str | None, token: int) -> Response:
    """204: the token is no longer good."""
    await door.one(
        state_of(request).readers,
        "SELECT bandoso.token_end(%s, %s)",
        (name, number(token)),
        acting=who,
        write=True,
    )
    authenticator_of(request.app).forget()
    return Response(status_code=204, headers=NO_STORE)


def number(given: int) -> int:
    """A number that the database can have given out. Raises Refusal (404)."""
    if given >= 1 << 63:
        raise Refusal(404, "not-found", "there is nothing with this number")
    return given


async def _own(state: State, who: Principal) -> dict[str, Any]:
    row = await door.one(state.readers, "SELECT bandoso.account_own()", acting=who)
    if row is None or row[0] is None:  # it ended a moment ago
        raise Refusal(403, "not-allowed", "this account or token has just ended")
    shown: dict[str, Any] = row[0]
    return shown


def _answer(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, NO_STORE, "application/json")


ROUTES = [
    Route("/me", me),
    Route("/me/tokens", my_tokens, methods=["GET", "POST"]),
    Route("/me/tokens/{token:int}", my_token, methods=["DELETE"]),
    Route("/me/password", my_password, methods=["PUT"]),
]
