"""Clients of a bench: connections of one thread that send requests made beforehand and read whole answers.

What a bench tells is what a server takes for so many clients; where both share the processors, a client that
costs more than the server hides it. One of these takes about 0.1 ms of a processor for a request (httpx in
threads: 2 ms). HTTP/1.1 on kept connections, one request after the other on each, as browsers and scripts do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil


@dataclass
class Load:
    """What clients saw: seconds of each request, how many had which status, bytes of the answers."""

    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    bytes: int = 0
    #: Answers of another status than the bench takes: the first of them.
    unwanted: str = ""

    def told(self, wall: float) -> dict[str, Any]:
        ms = np.array(self.seconds or [float("nan")]) * 1000
        p50, p95, p99 = np.percentile(ms, [50, 95, 99])
        return {
            "requests": len(self.seconds),
            "p50_ms": round(float(p50), 1),
            "p95_ms": round(float(p95), 1),
            "p99_ms": round(float(p99), 1),
            "per_second": round(len(self.seconds) / wall, 1),
            "statuses": {str(k): v for k, v in sorted(self.statuses.items())},
        }


@dataclass
class Clients:
    """Some clients that do the same: the requests of each, what they take for right, how fast they ask.

    ``pace``: requests a second of each, 0: as fast as they are answered. With a pace, each begins when it
    likes and waits now less, now longer (evenly spread around the mean): people do not press a key all at
    once, and eight that did would measure how long the last of them waits in a queue that nobody else is in.
    """

    requests: Sequence[Iterator[bytes]]
    wanted: tuple[int, ...] = (200,)
    pace: float = 0.0
    load: Load = field(default_factory=Load)


def request(method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """A request as it is sent."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{k}: {v}" for k, v in headers.items())]
    if body or method != "GET":
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def drive(url: str, groups: Sequence[Clients], seconds: float) -> float:
    """Run all clients for so long; gives the seconds that it took. Raises ConnectionError (in a group) when a
    connection ends before its answer: a server must not do that."""
    return asyncio.run(_drive(url, groups, seconds))


async def _drive(url: str, groups: Sequence[Clients], seconds: float) -> float:
    address = urlsplit(url)
    assert address.hostname is not None and address.port is not None
    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for group in groups:
            for requests in group.requests:
                reader, writer = await asyncio.open_connection(address.hostname, address.port)
                tasks.create_task(client(reader, writer, requests, group, began + seconds))
    return time.monotonic() - began


async def client(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    requests: Iterator[bytes],
    group: Clients,
    end: float,
) -> None:
    """One of a group's clients, on its connection, until ``end`` (time.monotonic)."""
    load = group.load
    rng = np.random.default_rng()
    if group.pace:
        await asyncio.sleep(rng.uniform(0, 1 / group.pace))
    while time.monotonic() < end:
        sent = next(requests, None)
        if sent is None:
            break
        started = time.perf_counter()
        writer.write(sent)
        status, body = await one_answer(reader)
        taken = time.perf_counter() - started
        load.seconds.append(taken)
        load.statuses[status] = load.statuses.get(status, 0) + 1
        load.bytes += len(body)
        if status not in group.wanted and not load.unwanted:
            load.unwanted = f"{status} {body[:600].decode(errors='replace')}"
        if group.pace:
            await asyncio.sleep(max(0.0, rng.uniform(0, 2 / group.pace) - taken))
    writer.close()


async def one_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of the next answer."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        raise ConnectionError("the server ended a connection without an answer") from error
    lower = head.lower()
    status = int(head[9:12])
    at = lower.find(b"content-length:")
    if at >= 0:
        size = int(lower[at + 15 : lower.index(b"\r\n", at)])
        return status, await reader.readexactly(size)
    if b"transfer-encoding: chunked" not in lower:
        return status, b""
    body = bytearray()
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readline()
    return status, bytes(body)


class Processors:
    """Seconds of a processor that programs take from its making to ``told``: server, PostgreSQL, this one."""

    def __init__(self, server: int, postmaster: int) -> None:
        self._roots = {"server": server, "postgres": postmaster}
        self._before = self._now()

    def told(self, requests: int) -> dict[str, float]:
        """Milliseconds of each for a request."""
        now = self._now()
        return {name: round(1000 * (now[name] - self._before[name]) / max(1, requests), 2) for name in now}

    def _now(self) -> dict[str, float]:
        return {"clients": time.process_time()} | {n: _seconds(root) for n, root in self._roots.items()}


def _seconds(root: int) -> float:
    """Of a process and its descendants, those that ended too."""
    total = 0.0
    process = psutil.Process(root)
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total
