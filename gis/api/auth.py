"""Who asks: HTTP Basic, an API token, or a JWT of the city's OIDC provider.

``Authenticate`` puts ``scope["state"]["principal"]``: None without an Authorization header, which costs
nothing and asks nobody. A header that is wrong is refused with 401 whatever is asked for: who sends a secret
wants to be somebody, and must not be shown less without being told. Who it is, is asked of the database again
after a second at the latest: so long may a changed password still be believed. A disabled account and a
revoked token end at once wherever the database is asked in its name (bandoso.acting), which is in every write
and in every reading of what is hidden.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import secrets
import time
from typing import Any, cast

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from gis.api.accounts import door
from gis.api.accounts.basic import Basic, Wrong
from gis.api.accounts.oidc import Oidc
from gis.api.problems import Refusal
from gis.api.state import State
from gis.identity import tokens
from gis.identity.principal import Principal
from gis.identity.principal import Scope as TokenScope

#: Seconds that an answer of the database counts.
BELIEVED, MOST_BELIEVED = 1.0, 5000
#: Seconds between two notes that a token is in use.
NOTED = 60.0

BASIC = 'Basic realm="bandoso", charset="UTF-8"'
BEARER = 'Bearer realm="bandoso"'


class Authenticator:
    """Finds out who shows a header; one per process."""

    def __init__(self, state: State) -> None:
        self._pool = state.readers
        self.basic = Basic(state.readers)
        self.oidc = Oidc(state.settings)
        self._key = secrets.token_bytes(32)
        #: HMAC of a header -> (who, until when)
        self._believed: dict[bytes, tuple[Principal, float]] = {}
        self._asking: dict[bytes, asyncio.Task[Principal]] = {}
        self._noted: dict[bytes, float] = {}

    async def principal(self, header: bytes, client: str) -> Principal:
        """Who shows the header. Raises Wrong, or Refusal (429, 503)."""
        # What is remembered is of this client: otherwise, while somebody works, another client whose guesses
        # are held up would still be let in by the one that is right, and could go on guessing.
        mark = hmac.digest(self._key, client.encode() + b"\0" + header, "sha256")
        believed = self._believed.get(mark)
        if believed is not None and time.monotonic() < believed[1]:
            return believed[0]
        # Requests that come together ask once. The task is not theirs: one that leaves does not end it.
        task = self._asking.get(mark)
        if task is None:
            task = asyncio.create_task(self._ask(header, mark, client))
            self._asking[mark] = task
            task.add_done_callback(lambda done: self._asked(mark, done))
        return await asyncio.shield(task)

    def _asked(self, mark: bytes, task: asyncio.Task[Principal]) -> None:
        self._asking.pop(mark, None)
        if not task.cancelled():
            task.exception()  # seen, also when all that asked have left

    async def _ask(self, header: bytes, mark: bytes, client: str) -> Principal:
        scheme, _, given = header.decode("latin-1").partition(" ")
        given = given.strip()
        if scheme.lower() == "basic":
            found: Principal | None = await self.basic.principal(given, mark, client)
        elif scheme.lower() == "bearer" and given.startswith(tokens.PREFIX):
            found = await self._of_token(given)
        elif scheme.lower() == "bearer":
            found = await door.subject_find(self._pool, await self.oidc.subject(given))
        else:
            raise Wrong
        if found is None:
            raise Wrong
        while len(self._believed) >= MOST_BELIEVED:
            del self._believed[next(iter(self._believed))]
        self._believed.pop(mark, None)
        self._believed[mark] = (found, time.monotonic() + BELIEVED)
        return found

    async def _of_token(self, secret: str) -> Principal | None:
        if not tokens.looks_like_one(secret):
            return None
        digest = tokens.digest(secret)
        now = time.monotonic()
        note = now - self._noted.get(digest, -NOTED) >= NOTED
        found = await door.token_find(self._pool, digest, note=note)
        if found is not None and note:
            while len(self._noted) >= MOST_BELIEVED:
                del self._noted[next(iter(self._noted))]
            self._noted[digest] = now
        return found

    def forget(self) -> None:
        """Believe nothing: after a change by this process, its next request sees it."""
        self._believed.clear()


def authenticator_of(app: Any) -> Authenticator:
    """That of the application."""
    found = getattr(app.state, "authenticator", None)
    if found is None:
        found = app.state.authenticator = Authenticator(cast(State, app.state.bandoso))
    return cast(Authenticator, found)


class Authenticate:
    """ASGI middleware: who asks. Inside of Problems and Guard, outside of the routes."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["principal"] = None
        headers = [value for name, value in scope["headers"] if name == b"authorization"]
        if not headers:
            await self.app(scope, receive, send)
            return
        try:
            if len(headers) > 1:
                raise Wrong
            state["principal"] = await authenticator_of(scope["app"]).principal(
                headers[0], client_key(state.get("client", ""))
            )
        except Wrong:
            raise unauthorized(scope, wrong=True) from None
        somebody = getattr(scope["app"].state, "somebody", None)
        if somebody is not None:  # who logs in may edit: that is prepared from now on
            somebody.set()
        await self.app(scope, receive, send)


def client_key(address: str) -> str:
    """What failures are counted by: the address; of IPv6 the network, which is one household's."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "-"
    if parsed.version == 6 and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)


def unauthorized(scope: Scope, *, wrong: bool = False) -> Refusal:
    """401 with what may be shown. The same words for an unknown name and for a wrong password."""
    refusal = Refusal(
        401,
        "wrong-secret" if wrong else "login-required",
        "the name, password or token is not right" if wrong else "this needs a login",
        hint="HTTP Basic with name and password, or Authorization: Bearer with an API token",
    )
    names = dict(scope["headers"])
    # A browser would put its own dialog before the page that asks by script.
    if names.get(b"sec-fetch-mode", b"navigate") == b"navigate":
        refusal.response.headers.append("WWW-Authenticate", BASIC)
    refusal.response.headers.append("WWW-Authenticate", BEARER + (', error="invalid_token"' if wrong else ""))
    return refusal


def principal_of(request: Request) -> Principal | None:
    """Who asks; None: anyone."""
    return cast("Principal | None", request.scope.get("state", {}).get("principal"))


def require(request: Request, scope: TokenScope | None = None, layer: str | None = None) -> Principal:
    """Who asks. Raises Refusal: 401 for anyone, 403 for a token that was not made for ``scope``."""
    found = principal_of(request)
    if found is None:
        raise unauthorized(request.scope)
    if scope is not None and not found.allows(scope, layer):
        refusal = Refusal(
            403,
            "insufficient-scope",
            f"this token was not made for {scope}" + (f" of {layer}" if layer else ""),
            hint="make a token with this scope, or log in with name and password",
        )
        refusal.response.headers.append(
            "WWW-Authenticate", f'{BEARER}, error="insufficient_scope", scope="{scope}"'
        )
        raise refusal
    return found


def require_steward(request: Request, agency: str | None = None) -> Principal:
    """Steward (or admin) of the agency, or of the city. Raises Refusal (401, 403)."""
    found = require(request)
    if not found.is_steward(agency):
        raise Refusal(403, "steward-only", "only a steward may do this", hint="see /me for what you may do")
    return found
