"""One error shape for everything that fails: ``application/problem+json`` (RFC 9457).

::

    {"type": "urn:bandoso:problem:<code>", "title", "status", "detail", "code",
     "hint"?, "errors"?, "request_id"?}

``code`` is stable; ``detail`` is one sentence for the person who asked and holds no SQL, path, host or
role. ``errors`` names parameters or JSON pointers. ``request_id`` is given for errors of the server, so
that the operator finds the log line.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gis.errors import BandosoError, ConfigError

LOG = logging.getLogger("bandoso.api")

MEDIA_TYPE = "application/problem+json"

#: Seconds after which a client should try again when the server is too busy or restarting.
RETRY_AFTER = "2"

#: Class of an SQLSTATE (or the whole state) -> status, code, sentence. The longest match counts.
#: Texts of the database are never shown: they may hold SQL and values of others.
SQLSTATES: Mapping[str, tuple[int, str, str]] = {
    "08": (503, "database-unavailable", "the database cannot be reached at the moment"),
    "22": (400, "invalid-value", "a value in the request cannot be used"),
    "53": (503, "busy", "the server is too busy at the moment"),
    "53400": (503, "too-expensive", "the request needs more space than one request may use"),
    "54": (400, "over-limit", "the request is too complex"),
    "55P03": (503, "busy", "the data is being changed at the moment"),
    "57": (503, "database-unavailable", "the database is restarting"),
    "57014": (503, "timeout", "the request took too long and was stopped"),
    "25": (503, "busy", "the request was idle for too long and was stopped"),
    "40": (503, "busy", "the request met a change of the same data"),
}


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    hint: str | None = None,
    errors: list[dict[str, str]] | None = None,
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
    kind: str | None = None,
    more: Mapping[str, Any] | None = None,
) -> Response:
    """A problem document as a response. ``kind``: its type, where a standard names one. ``more``: further
    members."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    body: dict[str, Any] = {
        "type": kind or f"urn:bandoso:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if hint:
        body["hint"] = hint
    if errors:
        body["errors"] = errors
    if request_id:
        body["request_id"] = request_id
    if more:
        body.update(more)
    given = {"Cache-Control": "no-store", **(headers or {})}
    if status == 503:
        given.setdefault("Retry-After", RETRY_AFTER)
    return Response(_bytes(body), status, given, MEDIA_TYPE)


class Refusal(Exception):  # noqa: N818 - an answer, raised
    """An answer that is a problem document, with headers and a type that gis.errors knows nothing of."""

    def __init__(self, status: int, code: str, detail: str, **options: Any) -> None:
        super().__init__(detail)
        self.response = problem(status, code, detail, **options)


def _bytes(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:  # lone surrogates out of a mangled URL, echoed by a message
        return orjson.dumps({**body, "detail": "the request cannot be read", "hint": None, "errors": []})


async def on_known_error(request: Request, error: Exception) -> Response:
    """Exception handler of the application for errors that were raised on purpose."""
    return response_of(error, request.scope)


def response_of(error: Exception, scope: Scope) -> Response:
    """The problem document of any exception; unexpected ones are logged once, with the request's id."""
    request_id = scope.get("state", {}).get("request_id")
    if isinstance(error, Refusal):
        return error.response
    if isinstance(error, BandosoError) and not isinstance(error, ConfigError):
        if error.status >= 500:
            LOG.warning("%s", error.message, extra={"request_id": request_id, "code": error.code})
        return problem(error.status, error.code, error.message, hint=error.hint, errors=error.errors)
    if isinstance(error, HTTPException):
        return _of_http(error, scope)
    if isinstance(error, PoolTimeout | TooManyRequests | PoolClosed):
        LOG.warning("database pool: %s", type(error).__name__, extra={"request_id": request_id})
        return problem(503, "busy", "the server is too busy at the moment", hint="try again in a few seconds")
    if isinstance(error, psycopg.Error):
        known = _of_database(error)
        if known is not None:
            if known[0] >= 500:
                LOG.warning(
                    "database: %s", known[1], extra={"request_id": request_id, "sqlstate": error.sqlstate}
                )
            return problem(*known)
    LOG.error("unexpected error", exc_info=error, extra={"request_id": request_id})
    return problem(
        500,
        "internal",
        "the server failed to answer; the failure was logged",
        hint="tell the operator the request_id",
        request_id=request_id,
    )


def _of_http(error: HTTPException, scope: Scope) -> Response:
    headers = dict(error.headers or {})
    if error.status_code == 405:
        allowed = {m.strip() for m in headers.get("Allow", "GET").split(",")} | {"OPTIONS"}
        headers["Allow"] = ", ".join(sorted(allowed))
        if scope.get("method") == "OPTIONS":  # QGIS asks in this way what it may do with a collection
            return Response(status_code=200, headers={**headers, "Cache-Control": "no-store"})
        return problem(
            405,
            "method-not-allowed",
            "this address does not take that method",
            hint=f"allowed: {headers['Allow']}",
            headers=headers,
        )
    if error.status_code == 404:
        return problem(404, "not-found", "there is nothing at this address", hint="see / for what there is")
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    return problem(error.status_code, code, "the request cannot be answered", headers=headers)


def _of_database(error: psycopg.Error) -> tuple[int, str, str] | None:
    """Status, code and sentence of a database error; None when it is a fault of ours."""
    state = error.sqlstate
    if state:
        return SQLSTATES.get(state) or SQLSTATES.get(state[:2])
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return SQLSTATES["08"]
    return None


class Problems:
    """ASGI middleware: whatever was not handled inside becomes a problem document.

    When the response has already begun, the exception goes on to the server, which breaks the
    connection: a truncated body must never look whole.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            response = response_of(error, scope)
            if started:
                raise
            await response(scope, receive, send)
