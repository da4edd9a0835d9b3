"""gzip for text answers, with ETags that stay strong.

Tiles and prepared documents come compressed already and are left alone. A strong ETag names bytes, so
the compressed form gets its own: ``"abc"`` becomes ``"abc-gzip"``, and the suffix is taken off
If-None-Match and If-Match again before the routes see them.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Smaller bodies fit in one packet anyway.
MINIMUM = 1000
#: Level 1: GeoJSON shrinks to an eighth at 150 MB/s; level 6 saves a fifth more at a third of the speed.
LEVEL = 1
#: Longer pieces are compressed in a thread, so that they do not hold up other requests.
IN_THREAD = 64 * 1024

_SUFFIX = '-gzip"'


def _compressible(media_type: str) -> bool:
    kind = media_type.partition(";")[0].strip().lower()
    if kind == "text/event-stream":  # a packer would hold events back
        return False
    return (
        kind.startswith("text/")
        or kind.endswith(("json", "+xml", "/xml", "javascript"))
        or kind.startswith("application/vnd.oai.openapi")
    )


def accepts_gzip(headers: Headers) -> bool:
    """Whether Accept-Encoding allows gzip (``q=0`` forbids it)."""
    return _accepts(headers, ("gzip", "*"))


def accepts_brotli(headers: Headers) -> bool:
    """Whether Accept-Encoding names brotli; ``*`` is not taken for it."""
    return _accepts(headers, ("br",))


def _accepts(headers: Headers, names: tuple[str, ...]) -> bool:
    for part in headers.get("accept-encoding", "").lower().split(","):
        name, _, parameters = part.partition(";")
        if name.strip() in names:
            return parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def with_suffix(etag: str) -> str:
    """The ETag of the compressed form."""
    return etag[:-1] + _SUFFIX if etag.endswith('"') and not etag.startswith("W/") else etag


class Compress:
    """ASGI middleware, outside the routes and inside the access log (which counts bytes sent)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        had_suffix = _strip_suffixes(scope)
        if accepts_gzip(headers):
            await self.app(scope, receive, _Responder(send, had_suffix).send)
        else:
            await self.app(scope, receive, send)


def _strip_suffixes(scope: Scope) -> bool:
    found = False
    for index, (name, value) in enumerate(scope["headers"]):
        if name in (b"if-none-match", b"if-match") and b'-gzip"' in value:
            if not found:
                scope["headers"] = list(scope["headers"])
            scope["headers"][index] = (name, value.replace(b'-gzip"', b'"'))
            found = True
    return found


class _Responder:
    """Compresses one response if that helps."""

    def __init__(self, send: Send, had_suffix: bool) -> None:
        self._send = send
        self._had_suffix = had_suffix
        self._start: Message = {}
        self._packer: Any = None
        self._plain = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = Headers(raw=message["headers"])
            if message["status"] == 304:
                mutable = MutableHeaders(raw=message["headers"])
                if self._had_suffix and "etag" in mutable:
                    mutable["etag"] = with_suffix(mutable["etag"])
                self._plain = True
            elif (
                "content-encoding" in headers
                or message["status"] in (204, 206)
                or not _compressible(headers.get("content-type", ""))
            ):
                self._plain = True
            if self._plain:
                await self._send(message)
            else:
                self._start = message
            return
        if self._plain or message["type"] != "http.response.body":
            await self._send(message)
            return
        await self._body(message)

    async def _body(self, message: Message) -> None:
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        if self._packer is None:
            headers = MutableHeaders(raw=self._start["headers"])
            headers.add_vary_header("Accept-Encoding")
            if not more and len(body) < MINIMUM:
                self._plain = True
                await self._send(self._start)
                await self._send(message)
                return
            self._packer = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)
            headers["Content-Encoding"] = "gzip"
            if "etag" in headers:
                headers["etag"] = with_suffix(headers["etag"])
            packed = await self._pack(body, last=not more)
            if more:
                del headers["content-length"]
            else:
                headers["content-length"] = str(len(packed))
            await self._send(self._start)
        else:
            packed = await self._pack(body, last=not more)
        if packed or not more:
            await self._send({"type": "http.response.body", "body": packed, "more_body": more})

    async def _pack(self, body: bytes, *, last: bool) -> bytes:
        if len(body) > IN_THREAD:
            return await asyncio.to_thread(self._pack_now, body, last)
        return self._pack_now(body, last)

    def _pack_now(self, body: bytes, last: bool) -> bytes:
        packed: bytes = self._packer.compress(body)
        return packed + self._packer.flush() if last else packed
