"""Attacks on the transport: too long, too large, too slow, too many; other clients must not notice."""

from __future__ import annotations

import gzip
import json
import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from gis.api.access_log import Observe, masked
from gis.api.guard import SEND_TIMEOUT, depth_of
from gis.api.serve import HEADER_TIMEOUT_MS
from gis.city import City
from gis.db.server import Database
from gis.settings import Settings
from layers.registry import Catalogue
from tests.api.problem import assert_problem
from tests.api.process import Server
from tests.api.sample import load_sample

#: Longer than a slow machine takes for an answer, so that one that waited for a body is told apart.
BODY_SECONDS = 20
HEAD = b"Host: localhost\r\n"


@pytest.fixture(scope="module")
def target(
    module_db: Database,
    settings: Settings,
    catalogue: Catalogue,
    city: City,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        load_sample(connection, catalogue, city)
    wanted = replace(
        settings, workers=1, pool_size=4, request_timeout_s=BODY_SECONDS, trusted_proxies="127.0.0.2"
    )
    process = Server(wanted, module_db, tmp_path_factory.mktemp("attack"), "echo_app:create")
    process.start()
    yield process
    process.stop()


@pytest.fixture(autouse=True)
def _others_are_served(target: Server) -> Iterator[None]:
    workers = [p.pid for p in psutil.Process(target.process.pid).children()]
    yield
    assert target.get("/collections/water_pipe/items?limit=1").status_code == 200
    assert [p.pid for p in psutil.Process(target.process.pid).children()] == workers, "a worker has died"


def connect(target: Server, timeout: float = 150.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", target.port), timeout=timeout)


def exchange(target: Server, raw: bytes) -> tuple[int, bytes]:
    """Status and body of the answer to raw bytes; status 0 when the connection was just closed."""
    with closing(connect(target)) as client:
        with suppress(OSError):  # it may be refused while we are still sending
            client.sendall(raw)
        received = b""
        try:
            while piece := client.recv(65536):
                received += piece
                head, found, body = received.partition(b"\r\n\r\n")
                if found:
                    lengths = [
                        int(line.split(b":")[1])
                        for line in head.lower().split(b"\r\n")
                        if line.startswith(b"content-length:")
                    ]
                    if lengths and len(body) >= lengths[0]:
                        break
        except OSError:
            pass
    head, _, body = received.partition(b"\r\n\r\n")
    return (int(head.split(b" ")[1]) if head else 0), body


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"GET /healthz HTTP/1.1\r\n" + HEAD + b"X-A: " + b"a" * 200_000 + b"\r\n\r\n", 431, None),
        (
            b"GET /healthz HTTP/1.1\r\n" + HEAD + b"".join(b"X-%d: a\r\n" % i for i in range(3000)) + b"\r\n",
            431,
            None,
        ),
        (b"GET /healthz?x=" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n", 414, None),
        (b"GET /healthz?x=" + b"a" * 40_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n", 414, "url-too-long"),
        (b'GET / HTTP/1.1\r\nHost: a"<script>\r\n\r\n', 400, "invalid-host"),
        (b"GET / HTTP/1.1\r\nHost: a.b/c?d\r\n\r\n", 400, "invalid-host"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "invalid-host"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, None),
        (b"GET /\x00 HTTP/1.1\r\n" + HEAD + b"\r\n", 400, None),
        (b"POST /echo HTTP/1.1\r\n" + HEAD + b"Content-Length: 99999999999\r\n\r\n", 413, "body-too-large"),
        (b"POST /echo HTTP/1.1\r\n" + HEAD + b"Content-Length: -5\r\n\r\n", 400, None),
        (
            b"POST /echo HTTP/1.1\r\n" + HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
            400,
            None,
        ),
    ],
)
def test_too_long_or_malformed(target: Server, raw: bytes, status: int, code: str | None) -> None:
    got, body = exchange(target, raw)
    assert got == status
    if code:
        assert json.loads(body)["code"] == code


def test_a_chunked_body_without_end_is_cut_off(target: Server) -> None:
    with closing(connect(target)) as client:
        client.sendall(b"POST /echo HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        sent = 0
        try:
            while sent < 200_000_000:
                client.sendall(b"10000\r\n" + b"a" * 65536 + b"\r\n")
                sent += 65536
        except OSError:
            pass
    assert sent < 30_000_000


def test_a_gzip_bomb_is_not_opened(target: Server) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    answer = httpx.post(target.url + "/echo", content=bomb, headers={"Content-Encoding": "gzip"})
    assert_problem(answer, 415, "compressed-body")


def test_deep_json_is_refused_before_parsing(target: Server) -> None:
    for body in (b"[" * 100_000, b'{"a":' * 5000 + b"1" + b"}" * 5000, b"[" * 65 + b"]" * 65):
        assert_problem(httpx.post(target.url + "/parse", content=body), 400, "too-deep")
    assert httpx.post(target.url + "/parse", content=b"[" * 64 + b"]" * 64).json() == {"type": "list"}
    assert httpx.post(target.url + "/parse", content=b'{"a":"[[[[\\"{{"}').json() == {"type": "dict"}
    for body in (b"", b"nul", b'{"a":1e999}x', b"\xff\xfe"):
        assert_problem(httpx.post(target.url + "/parse", content=body), 400, "invalid-json")
    assert depth_of(b'"' + b"[" * 100 + b'"') == 0


def logged(target: Server) -> list[dict[str, Any]]:
    """What the log has said so far: it is written in bundles, so a last line is asked for and awaited."""
    last = f"/collections/{uuid.uuid4().hex}"
    target.get(last)
    end = time.monotonic() + 120
    while last not in (text := target.log.read_text()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return [json.loads(line) for line in text.rpartition("\n")[0].splitlines()]


def test_a_failure_tells_nothing_but_its_id(target: Server) -> None:
    answer = target.get("/fail")
    document = assert_problem(answer, 500, "internal")
    assert "hunter2" not in answer.text
    assert document["request_id"] == answer.headers["x-request-id"]
    lines = [line for line in logged(target) if line.get("request_id") == document["request_id"]]
    assert len(lines) == 1
    assert "RuntimeError" in lines[0]["traceback"]


def test_slow_clients_are_cut_off(target: Server) -> None:
    """Header, body, silence and a kept connection, at the same time: each has its own limit."""

    def slow_header() -> tuple[bytes, float]:
        with closing(connect(target)) as client:
            began = time.monotonic()
            client.settimeout(1)
            try:
                for byte in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 60:
                    client.sendall(bytes([byte]))
                    try:
                        if not client.recv(1000):
                            return b"", time.monotonic() - began
                    except TimeoutError:
                        pass
            except OSError:
                return b"", time.monotonic() - began
        return b"never", 0.0

    def waiting(raw: bytes, first: bool = False) -> tuple[bytes, float]:
        with closing(connect(target)) as client:
            if raw:
                client.sendall(raw)
            if first:
                assert b"200 OK" in client.recv(10_000)
            began = time.monotonic()
            return client.recv(10_000), time.monotonic() - began

    half_body = b"POST /echo HTTP/1.1\r\n" + HEAD + b"Content-Length: 100\r\n\r\nabc"
    with ThreadPoolExecutor(5) as pool:
        header = pool.submit(slow_header)
        body = pool.submit(waiting, half_body)
        silent = pool.submit(waiting, b"")
        kept = pool.submit(waiting, b"GET /healthz HTTP/1.1\r\n" + HEAD + b"\r\n", True)
        wrong_method = pool.submit(waiting, half_body.replace(b"/echo", b"/collections"))
    limit = HEADER_TIMEOUT_MS / 1000
    assert header.result()[0] == b""
    assert header.result()[1] < limit + 60
    assert b"408 Request Timeout" in body.result()[0]
    assert BODY_SECONDS - 0.5 < body.result()[1] < BODY_SECONDS + 60
    for closed in (silent, kept):
        assert closed.result()[0] == b""
        assert closed.result()[1] < limit + 60
    assert b"405 Method Not Allowed" in wrong_method.result()[0]
    assert wrong_method.result()[1] < BODY_SECONDS, "a body that nobody wants is not waited for"


def test_a_client_that_does_not_read_is_cut_off(target: Server) -> None:
    with closing(socket.socket()) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", target.port))
        client.sendall(b"GET /big HTTP/1.1\r\n" + HEAD + b"\r\n")
        client.recv(100)
        end = time.monotonic() + SEND_TIMEOUT + 90
        while not (asked := target.get("/big/asked").json())["ended"]:
            assert time.monotonic() < end, "nobody waits for a client that does not read"
            assert asked["bytes"] < 20_000_000, "the answer must not pile up in memory"
            time.sleep(0.5)
        assert asked["bytes"] < 20_000_000
        received = 0
        client.settimeout(60)
        with suppress(OSError):
            while piece := client.recv(1 << 20):
                received += len(piece)
    assert received < asked["bytes"] + 1_000


def test_hundreds_of_idle_sockets_stop_nobody(target: Server) -> None:
    idle = [connect(target) for _ in range(700)]
    try:
        assert target.get("/healthz").status_code == 200
        assert target.get("/collections/water_pipe/items?limit=1").status_code == 200
        idle[-1].setblocking(False)
        with pytest.raises(BlockingIOError):  # it is still there: nobody was served because it had gone
            idle[-1].recv(1)
    finally:
        for client in idle:
            client.close()


def test_forwarded_addresses_count_only_from_trusted_proxies(target: Server) -> None:
    target.get("/collections/spoofed", headers={"X-Forwarded-For": "6.6.6.6"})
    with httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.2")) as proxy:
        proxy.get(target.url + "/collections/proxied", headers={"X-Forwarded-For": "6.6.6.6, 7.7.7.7"})
        proxy.get(target.url + "/collections/garbled", headers={"X-Forwarded-For": "7.7.7.7, <x>"})
    clients = {line["path"]: line["client"] for line in logged(target) if "path" in line}
    assert clients["/collections/spoofed"] == "127.0.0.1"
    assert clients["/collections/proxied"] == "7.7.7.7", "only the last hop was seen by the trusted proxy"
    assert clients["/collections/garbled"] == "127.0.0.2"


def test_networks_of_proxies() -> None:
    def client(peer: str, forwarded: str) -> str:
        observe = Observe(None, None, "10.0.0.0/8, ::1", False)  # type: ignore[arg-type]
        scope = {"client": (peer, 1), "headers": [(b"x-forwarded-for", forwarded.encode())]}
        return observe.client_of(scope)

    assert client("10.1.1.1", "1.2.3.4, 10.2.2.2") == "1.2.3.4"
    assert client("::1", "1.2.3.4") == "1.2.3.4"
    assert client("8.8.8.8", "1.2.3.4") == "8.8.8.8"


def test_secrets_in_queries_are_masked() -> None:
    assert masked("a=1&access_token=x&b=2") == "a=1&access_token=***&b=2"
    assert masked("API_KEY=x") == "API_KEY=***"
    assert masked("filter=key%3D1&q=monkey") == "filter=key%3D1&q=monkey"
