"""Limits on what a request may be, before any route sees it.

Granian bounds the header block and the time to send it (gis.api.serve); here are the rest: length of the
address, Host, body size, time to send a body, no compressed bodies (a bomb is refused unopened), and a
client that does not read its answer is cut off.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import numpy as np
import orjson
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gis.api.negotiate import valid_host
from gis.api.problems import problem
from gis.errors import LimitError, UsageError

#: Longest path and query in bytes. Filters may have 8 KB of text, up to three times that percent-encoded.
MAX_URL_BYTES = 32_768
#: Deepest nesting of a JSON body.
MAX_JSON_DEPTH = 64
#: A client that takes longer to accept one piece of an answer is disconnected (seconds).
SEND_TIMEOUT = 30.0


#: Letters that a client put into the address as they are: curl 'items?q=Nguyễn'. Read as Latin-1, as
#: frameworks do, they are other letters, and the search silently finds nothing.
_RAW = re.compile(rb"[\x80-\xff]")


class RequestTooLarge(Exception):  # noqa: N818 - a signal between receive() and the guard
    """The body grew over the limit while it was read."""


class RequestTooSlow(Exception):  # noqa: N818
    """The body did not arrive in time."""


class Guard:
    """ASGI middleware that refuses with a problem document."""

    def __init__(self, app: ASGIApp, max_body_bytes: int, request_timeout_s: float) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes
        self.request_timeout_s = request_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        scope["query_string"] = _RAW.sub(lambda byte: b"%%%02X" % byte[0][0], scope["query_string"])
        body = _Body(receive, self.max_body_bytes, self.request_timeout_s)
        sender = _Sender(send)
        try:
            await self.app(scope, body.receive, sender.send)
        except RequestTooLarge:
            if sender.started:
                raise
            await _too_large(self.max_body_bytes)(scope, receive, send)
        except RequestTooSlow:
            if sender.started:
                raise
            await _too_slow()(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        if len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"]) > MAX_URL_BYTES:
            return problem(
                414,
                "url-too-long",
                f"the address is longer than {MAX_URL_BYTES} bytes",
                hint="shorten the filter or ask for less at a time",
            )
        if "\0" in scope["path"]:
            return problem(400, "invalid-path", "the address holds a NUL character")
        headers = Headers(scope=scope)
        if not valid_host(headers.get("host", "")):
            return problem(400, "invalid-host", "the Host header is not a host name")
        if headers.get("content-encoding", "identity").lower() != "identity":
            return problem(
                415,
                "compressed-body",
                "compressed request bodies are not taken",
                hint="send the body as it is",
                headers={"Accept-Encoding": "identity"},
            )
        length = headers.get("content-length")
        if length is not None and (not length.isdecimal() or int(length[:20]) > self.max_body_bytes):
            return _too_large(self.max_body_bytes)
        return None


def _too_large(limit: int) -> Response:
    return problem(413, "body-too-large", f"the body is larger than {limit} bytes")


def _too_slow() -> Response:
    return problem(408, "body-too-slow", "the body did not arrive in time", headers={"Connection": "close"})


class _Body:
    """``receive`` with a limit on the sum of the bytes and on the time until the last of them."""

    def __init__(self, receive: Receive, limit: int, seconds: float) -> None:
        self._receive = receive
        self._left = limit
        self._seconds = seconds
        self._deadline: float | None = None
        self._whole = False

    async def receive(self) -> Message:
        if self._whole:  # waits for the client to leave, for as long as the answer takes
            return await self._receive()
        loop = asyncio.get_running_loop()
        if self._deadline is None:
            self._deadline = loop.time() + self._seconds
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise RequestTooSlow from None
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise RequestTooLarge
            self._whole = not message.get("more_body", False)
        return message


class _Sender:
    """``send`` that gives up on clients which do not read a streamed answer."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def send(self, message: Message) -> None:
        self.started = True
        if not message.get("more_body", False):
            await self._send(message)
            return
        try:
            async with asyncio.timeout(SEND_TIMEOUT):
                await self._send(message)
        except TimeoutError:
            raise ClientDisconnect from None


#: A string, whole or cut off at the end. It never goes back: linear, whatever the bytes are.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.?)*+(?:"|\Z)', re.DOTALL)
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_STEP = np.zeros(256, dtype=np.int8)
_STEP[list(b"[{")], _STEP[list(b"]}")] = 1, -1


async def read_json(
    request: Request, *, max_depth: int = MAX_JSON_DEPTH, max_bytes: int | None = None
) -> Any:
    """The JSON body of a request. Raises UsageError (not JSON, a member given twice) or LimitError (nested
    too deeply, or more than ``max_bytes``).

    Depth is counted before parsing, without recursion. A member that is given twice is refused: which of
    the two counts would be for the parser to say, and others on the way may read the other one.
    """
    return parse_json(await request.body(), max_depth=max_depth, max_bytes=max_bytes)


def parse_json(raw: bytes, *, max_depth: int = MAX_JSON_DEPTH, max_bytes: int | None = None) -> Any:
    """As ``read_json``, of a body that is there: 10 MB take half a second, which a thread should spend."""
    if max_bytes is not None and len(raw) > max_bytes:
        raise LimitError(f"the body is larger than {max_bytes} bytes", code="body-too-large")
    bare = _STRING.sub(b'"', raw)
    if _depth(bare) > max_depth:
        raise LimitError(f"the body is nested deeper than {max_depth} levels", code="too-deep")
    try:
        content = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise UsageError("the body is not valid JSON", code="invalid-json") from None
    if bare.translate(None, b" \t\r\n").count(b'":') != _members(content):
        raise UsageError("an object of the body has a member twice", code="repeated-member")
    return content


def depth_of(raw: bytes) -> int:
    """Greatest nesting of ``[`` and ``{`` outside strings."""
    return _depth(_STRING.sub(b'"', raw))


def _depth(bare: bytes) -> int:
    """Depth of a text without strings. (A loop over the bytes would hold up everybody else for seconds.)"""
    brackets = bare.translate(None, _NO_BRACKET)
    steps = _STEP[np.frombuffer(brackets, dtype=np.uint8)]
    return max(0, int(np.cumsum(steps, dtype=np.int32).max(initial=0)))


def _members(content: Any) -> int:
    """How many members all objects have together."""
    found, waiting = 0, [content]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            found += len(one)
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return found
