"""An old line between browser and server: a TCP proxy with so many bytes a second and so long a round trip.

Unlike a browser's own throttling it holds for every request of the page, those of its workers too, and a
connection costs its round trip. Packets are never lost, and a connection does not start slowly.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

#: Bytes that one connection sends before another has its turn.
TURN: Final = 4096


class _Way:
    """One direction of the line, shared by all connections."""

    def __init__(self, rate: float, delay: float) -> None:
        self._rate, self._delay, self._free = rate, delay, 0.0
        #: Bytes that went through.
        self.sent = 0

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Passes on what comes until it ends; each piece arrives after its turn on the line and the delay."""
        loop = asyncio.get_running_loop()
        arriving: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        deliver = asyncio.create_task(self._deliver(arriving, writer))
        try:
            while True:
                piece = await reader.read(TURN)
                if piece:
                    self._free = max(self._free, loop.time()) + len(piece) / self._rate
                    self.sent += len(piece)
                arriving.put_nowait((max(self._free, loop.time()) + self._delay, piece))
                if not piece:
                    break
                await asyncio.sleep(max(0.0, self._free - loop.time()))
        except OSError:
            arriving.put_nowait((0.0, b""))
        await deliver

    async def _deliver(
        self, arriving: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            while True:
                at, piece = await arriving.get()
                await asyncio.sleep(max(0.0, at - loop.time()))
                if not piece:
                    break
                writer.write(piece)
                await writer.drain()
        with suppress(OSError):
            writer.close()


@contextmanager
def slow_line(port: int, down: float, up: float, round_trip: float) -> Iterator[int]:
    """The port of a line to a port of this machine: bytes a second each way, seconds there and back."""
    ready, ended = threading.Event(), threading.Event()
    found: list[int] = []

    async def serve() -> None:
        there, back = _Way(up, round_trip / 2), _Way(down, round_trip / 2)

        async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(round_trip)  # the handshake
            try:
                theirs, ours = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                writer.close()
                return
            await asyncio.gather(there.pump(reader, ours), back.pump(theirs, writer))

        server = await asyncio.start_server(connect, "127.0.0.1", 0)
        found.append(server.sockets[0].getsockname()[1])
        ready.set()
        while not ended.is_set():
            await asyncio.sleep(0.1)
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield found[0]
    finally:
        ended.set()
        thread.join(5)
