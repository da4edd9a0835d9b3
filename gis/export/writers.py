"""The writers of a serving process: processes that make files, and what is said to them.

One is kept warm for a minute after its last job. A writer whose job did not end (the client left, the
database failed) is ended with it, as one that failed is; the next job has a new one. A writer ends with its
parent, whatever ended that.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import shutil
import socket
import tempfile
import weakref
from array import array
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from gis.export import model
from gis.export.model import Form, Job
from gis.ingest import spawn

#: Seconds for which a writer without a job is kept.
IDLE: Final = 60.0
#: Writers of a process at a time, and those of them that may be taken by jobs as long as a client's patience.
MOST: Final = 3
MOST_LONG: Final = 2
_STDERR_TAIL: Final = 2_000

Row = bytes | memoryview


class WriterFailed(Exception):  # noqa: N818 - named for what happened
    """A file could not be written; the log says why."""


class Writer:
    """A child process and the socket to it. ``busy``: it has a job that has not ended."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bandoso-export-"))
        self._clear = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self._socket, theirs = socket.socketpair()
        try:
            self._socket.setblocking(False)
            # In the thread of the loop: the kernel ends a child with the thread that started it.
            self._child = spawn.start("gis.export.child", theirs)
        except BaseException:
            self._socket.close()
            self._clear()
            raise
        finally:
            theirs.close()
        self.busy = False
        self._greeted = False

    @property
    def pid(self) -> int:
        """Its process."""
        return self._child.process.pid

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._child.process.poll() is None

    def end(self) -> None:
        """End the process: whoever waits for it hears that it failed."""
        if self.alive:
            self._child.process.kill()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the process and remove its folder."""
        self.end()
        self._child.close()
        self._socket.close()
        self._clear()

    async def begin(self, job: Job) -> None:
        """Give it a job."""
        self.busy = True
        if not self._greeted:
            self._greeted = True
            await self.send(model.FOLDER, os.fsencode(self.folder))
        await self.send(model.JOB, pickle.dumps(job))

    async def layer(self, form: Form) -> None:
        """What follows belongs to this layer of the file."""
        await self.send(model.LAYER, pickle.dumps(form))

    async def copied(self, rows: Sequence[Row]) -> None:
        """Rows of a binary COPY, untouched."""
        head = array("I", [len(rows)])
        head.extend(map(len, rows))
        await self.send(model.COPIED, b"".join([head.tobytes(), *rows]))

    async def send(self, kind: bytes, payload: bytes = b"") -> None:
        """One frame. Raises WriterFailed."""
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(self._socket, model.HEAD.pack(kind, len(payload)))
            if payload:
                await loop.sock_sendall(self._socket, payload)
        except OSError:
            raise self._failed() from None

    async def piece(self) -> bytearray | None:
        """What it has made next; None when the job is done. Raises WriterFailed."""
        kind, length = model.HEAD.unpack(await self._exactly(model.HEAD.size))
        if length > model.MOST:
            raise self._failed()
        payload = await self._exactly(length)
        if kind == model.DONE:
            self.busy = False
            return None
        if kind == model.FAILED:
            raise self._failed(payload.decode("utf-8", "replace"))
        return payload

    def made(self) -> BinaryIO:
        """The file of a job that is done, open; it is gone when it is closed."""
        path = self.folder / model.MADE
        file = path.open("rb")
        path.unlink()
        return file

    async def _exactly(self, count: int) -> bytearray:
        loop = asyncio.get_running_loop()
        data = bytearray(count)
        view = memoryview(data)
        while view:
            try:
                got = await loop.sock_recv_into(self._socket, view)
            except OSError:
                got = 0
            if not got:
                raise self._failed()
            view = view[got:]
        return data

    def _failed(self, said: str = "") -> WriterFailed:
        if not said:
            self._child.stderr.seek(0)
            said = self._child.stderr.read()[-_STDERR_TAIL:].decode("utf-8", "replace")
        return WriterFailed(f"a file could not be written: {said or 'its writer ended'}")


class Writers:
    """Those of one process."""

    def __init__(self, most: int = MOST, most_long: int = MOST_LONG) -> None:
        self._all = asyncio.Semaphore(most)
        self._long = asyncio.Semaphore(most_long)
        self._kept: Writer | None = None
        self._timer: asyncio.TimerHandle | None = None

    @contextlib.asynccontextmanager
    async def one(self, *, long: bool) -> AsyncIterator[Writer]:
        """A writer for one job. ``long``: the job may last as long as a client reads."""
        async with self._long if long else contextlib.nullcontext(), self._all:
            writer = self._taken() or Writer()
            try:
                yield writer
            finally:
                if writer.busy or not writer.alive or self._kept is not None:
                    writer.end()
                    _in_a_thread(writer.close)
                else:
                    self._keep(writer)

    def close(self) -> None:
        """End the one that is kept."""
        writer = self._taken()
        if writer is not None:
            writer.close()

    def _keep(self, writer: Writer) -> None:
        self._kept = writer
        self._timer = asyncio.get_running_loop().call_later(IDLE, self.close)

    def _taken(self) -> Writer | None:
        writer, self._kept = self._kept, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if writer is not None and not writer.alive:
            writer.close()
            return None
        return writer


def _in_a_thread(work: Callable[[], None]) -> None:
    try:
        asyncio.get_running_loop().run_in_executor(None, work)
    except RuntimeError:  # this process is ending
        work()


async def feed(writer: Writer, batches: AsyncGenerator[list[Row]]) -> None:
    """Hand rows over as they come. Two batches wait while the writer works: PostgreSQL need not."""
    waiting: asyncio.Queue[list[Row] | Exception | None] = asyncio.Queue(2)

    async def read() -> None:
        try:
            async with contextlib.aclosing(batches):
                async for rows in batches:
                    await waiting.put(rows)
        except Exception as error:
            await waiting.put(error)
        else:
            await waiting.put(None)

    reading = asyncio.create_task(read())
    try:
        while (rows := await waiting.get()) is not None:
            if isinstance(rows, Exception):
                raise rows
            await writer.copied(rows)
    finally:
        await ended(reading)


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it has ended: a statement is cancelled in the database meanwhile."""
    task.cancel()
    await asyncio.wait((task,))


#: What stands before the features of a FlatGeobuf that flows: GDAL need not be imported for the next one.
_heads: dict[Form, bytes] = {}
_MOST_HEADS: Final = 200


async def flatgeobuf(writer: Writer, form: Form, batches: AsyncGenerator[list[Row]]) -> AsyncGenerator[bytes]:
    """A FlatGeobuf without index and count, in pieces; the first comes with the first features.

    Raises what ``batches`` raises, and WriterFailed.
    """
    head = _heads.get(form)
    await writer.begin(model.Flow(form, head is None))

    async def hand_over() -> None:
        try:
            await feed(writer, batches)
            await writer.send(model.END)
        except BaseException:
            writer.end()  # wakes who waits for its answer
            raise

    feeding = asyncio.create_task(hand_over())
    try:
        if head is None:
            head = bytes(await writer.piece() or b"")
            if len(_heads) >= _MOST_HEADS:
                _heads.clear()
            _heads[form] = head
        while (piece := await writer.piece()) is not None:
            if head:
                yield head
                head = b""
            yield bytes(piece)
        if head:
            yield head
    except WriterFailed:
        await ended(feeding)
        if not feeding.cancelled() and (error := feeding.exception()) is not None:
            raise error from None
        raise
    finally:
        await ended(feeding)
        if not feeding.cancelled():
            feeding.exception()  # told above, or nobody waits for it
