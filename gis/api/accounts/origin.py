"""No writing by other sites' pages with the password that a browser remembers.

A browser that once logged in by HTTP Basic sends name and password with whatever any page has it send to this
server. So a request that changes something and shows a password must come from a page of this server, or from
no page at all (QGIS, curl). Tokens are not remembered by browsers: a page that sends one was given it.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gis.api.problems import problem

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class OwnOrigin:
    """ASGI middleware that refuses such requests with 403. ``public_url``: how browsers reach this server."""

    def __init__(self, app: ASGIApp, public_url: str = "") -> None:
        self.app = app
        self._public = _origin(public_url) if public_url else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in SAFE and self._is_foreign(Headers(scope=scope)):
            refusal = problem(
                403,
                "foreign-origin",
                "a page of another site may not change anything with the password of its reader",
                hint="a page of your own sends an API token: Authorization: Bearer",
            )
            await refusal(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_foreign(self, headers: Headers) -> bool:
        if headers.get("authorization", "bearer")[:6].lower() == "bearer":
            return False
        if headers.get("sec-fetch-site", "none") in ("same-origin", "none") and "origin" not in headers:
            return False
        origin = headers.get("origin")
        if origin is None:
            return True
        if self._public is not None and _origin(origin) == self._public:
            return False
        # Behind a proxy that ends TLS the scheme is not ours to know: host and port decide.
        return _origin(origin)[1] != headers.get("host", "").lower() or headers.get(
            "sec-fetch-site", "same-origin"
        ) not in ("same-origin", "none")


def _origin(url: str) -> tuple[str, str]:
    """Scheme and host with port; empty for "null" and what is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return parts.scheme.lower(), parts.netloc.lower()
