"""The access log: one JSON line a request, written by a thread so that a stuck reader stops nobody.

Fields: time, level, id, method, route, path, query, status, bytes, ms, client, agent, and account (its name)
for who has logged in. Values of query parameters that may be credentials are masked. Other log messages are
JSON lines too (``JsonFormatter``).
"""

from __future__ import annotations

import logging
import math
import os
import re
import secrets
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gis.api import metrics
from gis.errors import ConfigError

#: Lines kept while nobody reads the log; further ones are dropped and counted.
MAX_WAITING = 20_000
#: A pipe takes so many bytes in one piece, so lines of several processes do not mix.
PIPE_BUF = 4096
#: Longest wait of a line before it is written (seconds).
FLUSH_EVERY = 0.2
MAX_PATH = 512
MAX_QUERY = 1024

_SECRET = re.compile(r"(?i)(^|&)((?:[a-z_-]*(?:token|key|secret|password|auth|code|sig))[a-z]*)=[^&]*")
#: Addresses that are asked all day by machines: counted, but logged at debug level only.
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})


class Entry(NamedTuple):
    """A request that the hot path answered, to be counted and logged by the writer's thread."""

    time: float
    id: str
    method: str
    route: str
    path: str
    query: bytes
    status: int
    sent: int
    seconds: float
    client: str
    agent: bytes

    def line(self) -> bytes:
        """As Observe writes it."""
        return _line(
            {
                "time": datetime.fromtimestamp(self.time, UTC).isoformat(timespec="milliseconds"),
                "level": "info",
                "id": self.id,
                "method": self.method,
                "route": self.route,
                "path": self.path[:MAX_PATH],
                "query": masked(self.query[:MAX_QUERY].decode("latin-1")),
                "status": self.status,
                "bytes": self.sent,
                "ms": round(self.seconds * 1000, 2),
                "client": self.client,
                "agent": self.agent[:120].decode("latin-1"),
            }
        )


def request_ids() -> Iterator[str]:
    """Random ids without end, 256 for one call of the kernel."""
    while True:
        many = os.urandom(2048).hex()
        for n in range(0, len(many), 16):
            yield many[n : n + 16]


class LineWriter:
    """Writes lines to a file descriptor from a thread of its own; ``put`` never blocks."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: deque[bytes | Entry] = deque()
        self._wake = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def put(self, line: bytes | Entry) -> None:
        """Queue a line (with its line feed), or what it is made of."""
        if len(self._lines) >= MAX_WAITING:
            metrics.LOST_LOG_LINES.inc()
            if isinstance(line, Entry):
                _count(line)
            return
        self._lines.append(line)

    def close(self, seconds: float = 1.0) -> None:
        """Write what is left, for at most ``seconds``."""
        self._ended = True
        self._wake.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._ended:
            self._wake.wait(FLUSH_EVERY)
            self._flush()
        self._flush()

    def _flush(self) -> None:
        piece = bytearray()
        while self._lines:
            line = self._lines.popleft()
            if isinstance(line, Entry):
                _count(line)
                line = line.line()
            if piece and len(piece) + len(line) > PIPE_BUF:
                self._write(piece)
                piece = bytearray()
            piece += line
        if piece:
            self._write(piece)

    def _write(self, piece: bytearray) -> None:
        view = memoryview(piece)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:  # the reader has gone: serving matters more than logging
            metrics.LOST_LOG_LINES.inc(piece.count(b"\n"))


class Observe:
    """Outermost ASGI middleware: gives the request its id, counts it and logs it."""

    def __init__(self, app: ASGIApp, writer: LineWriter, trusted_proxies: str, verbose: bool) -> None:
        self.app = app
        self._writer = writer
        self._trusted = parse_networks(trusted_proxies)
        self._verbose = verbose

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {}).update(request_id=request_id, client=self.client_of(scope))
        status = 0
        sent = 0
        started = time.perf_counter()
        header = (b"x-request-id", request_id.encode())

        async def watched(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], header]
            elif message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
            await send(message)

        metrics.ACTIVE.inc()
        try:
            await self.app(scope, receive, watched)
        except BaseException:
            status = status or 499  # the client left, or the connection was broken on purpose
            raise
        finally:
            metrics.ACTIVE.dec()
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", None) or "(none)"
            metrics.observe(route, scope["method"], status, seconds, sent)
            if self._verbose or route not in QUIET:
                self._writer.put(self._line(scope, route, request_id, status, sent, seconds))

    def _line(
        self, scope: Scope, route: str, request_id: str, status: int, sent: int, seconds: float
    ) -> bytes:
        agent = next((v for k, v in scope["headers"] if k == b"user-agent"), b"")
        record = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": "info",
            "id": request_id,
            "method": scope["method"][:16],
            "route": route,
            "path": scope["path"][:MAX_PATH],
            "query": masked(scope["query_string"][:MAX_QUERY].decode("latin-1")),
            "status": status,
            "bytes": sent,
            "ms": round(seconds * 1000, 2),
            "client": scope["state"]["client"],
            "agent": agent[:120].decode("latin-1"),
        }
        principal = scope["state"].get("principal")
        if principal is not None:
            record["account"] = principal.name
        return _line(record)

    def client_of(self, scope: Scope) -> str:
        """Address of the client: X-Forwarded-For counts only as far as trusted proxies wrote it."""
        client = scope.get("client")
        address: str = client[0] if client else ""
        if not self._trusted or not self._is_trusted(address):
            return address
        for name, value in scope["headers"]:
            if name != b"x-forwarded-for":
                continue
            for hop in reversed(value.decode("latin-1").split(",")[-16:]):
                hop = hop.strip()
                if not _is_address(hop):
                    return address
                address = hop
                if not self._is_trusted(hop):
                    return address
        return address

    def _is_trusted(self, address: str) -> bool:
        return _is_address(address) and any(ip_address(address) in net for net in self._trusted)


def _line(record: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:  # a path with lone surrogates
        record["path"] = ascii(record["path"])
        return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


def _count(entry: Entry) -> None:
    metrics.observe(entry.route, entry.method, entry.status, entry.seconds, entry.sent)
    metrics.HOT.inc()


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def parse_networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Networks of a comma-separated list such as ``10.0.0.0/8, ::1``. Raises ConfigError."""
    try:
        return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())
    except ValueError:
        raise ConfigError("trusted_proxies must be addresses or networks, separated by commas") from None


def masked(query: str) -> str:
    """A query string without the values of parameters that may be credentials."""
    return _SECRET.sub(r"\1\2=***", query)


class OnceInAWhile(logging.Filter):
    """Lets a logger say one thing in SECONDS: a pool says that the database is away for each connection
    and each attempt, ten lines a second, which hides what else is in the log."""

    SECONDS = 30.0

    def __init__(self) -> None:
        super().__init__()
        self._last = -math.inf
        self._left_out = 0

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now - self._last < self.SECONDS:
            self._left_out += 1
            return False
        if self._left_out:
            record.msg, record.args = f"{record.getMessage()} ({self._left_out} such lines left out)", ()
        self._last, self._left_out = now, 0
        return True


class JsonFormatter(logging.Formatter):
    """Log records as JSON lines: time, level, logger, message, further fields, traceback."""

    EXTRA = ("request_id", "code", "sqlstate", "layer")

    def format(self, record: logging.LogRecord) -> str:
        body: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in self.EXTRA:
            value = getattr(record, name, None)
            if value is not None:
                body[name] = str(value)
        if record.exc_info:
            body["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(body, default=str).decode()


def logging_config(level: str) -> dict[str, Any]:
    """Configuration of the standard logging: JSON lines on standard error; libraries only when they warn."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "gis.api.access_log.JsonFormatter"}},
        "filters": {"once_in_a_while": {"()": "gis.api.access_log.OnceInAWhile"}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}
        },
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "bandoso": {"level": level.upper()},
            "_granian": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
            "psycopg.pool": {"filters": ["once_in_a_while"]},
            "pygeoapi": {"level": "CRITICAL"},  # logs each refused request as an error
        },
    }


def standard_output() -> LineWriter:
    """The writer of this process's access log."""
    return LineWriter(sys.stdout.fileno())
