"""Headers that every answer carries: against content sniffing and framing, and CORS for reading.

Anyone's page may read the public data (``*``, so browsers send no credentials). The page itself may be
framed only by pages of this server; its form for other sites is /map/embed, which has no logins and tools.

What an address shows may differ by who asks, so answers vary by Authorization, and what somebody who logged
in got is kept by nobody but him. Only files that are the same for all say otherwise (``max-age``).
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: For everything that is not a page of ours: nothing may run or load, should a browser show it.
STRICT_CSP = "default-src 'none'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
#: For the HTML of the API: our own style sheet, no script at all.
DOCUMENT_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'self'"
)

EXPOSED = (
    "Accept-Patch, Accept-Post, Allow, Bandoso-Changeset, Content-Crs, Content-Location, ETag, Link, "
    "Location, OGC-NumberMatched, Preference-Applied, Retry-After, X-Request-Id"
)
ALLOWED = (
    "Accept, Accept-Language, Authorization, Content-Type, Content-Crs, Idempotency-Key, If-Match, "
    "If-None-Match, Prefer"
)


#: For answers to those who have logged in.
PRIVATE = "private, no-cache"


class StandardHeaders:
    """ASGI middleware; a route's own value of a header stays."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "strict-origin-when-cross-origin")
                headers.setdefault("Content-Security-Policy", STRICT_CSP)
                headers.setdefault("Access-Control-Allow-Origin", "*")
                headers.setdefault("Access-Control-Expose-Headers", EXPOSED)
                _caching(scope, headers)
                if scope["method"] == "OPTIONS":
                    _preflight(Headers(scope=scope), headers)
            await send(message)

        await self.app(scope, receive, with_headers)


def _caching(scope: Scope, headers: MutableHeaders) -> None:
    given = headers.get("cache-control", "")
    if "max-age=" in given and "max-age=0" not in given:  # a file of ours
        return
    headers.add_vary_header("Authorization")
    if "no-store" not in given and any(name == b"authorization" for name, _ in scope["headers"]):
        headers["Cache-Control"] = PRIVATE


def _preflight(request: Headers, response: MutableHeaders) -> None:
    if "origin" in request and "access-control-request-method" in request:
        response["Access-Control-Allow-Methods"] = response.get("Allow", "GET, HEAD, OPTIONS")
        response["Access-Control-Allow-Headers"] = ALLOWED
        response["Access-Control-Max-Age"] = "86400"
