"""Writers: real processes, kept for the next job, and ended with whatever ends a job."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import psutil
import pyogrio
import pytest

from gis.export import model, writers
from gis.export.writers import WriterFailed, Writers, flatgeobuf

FORM = model.Form("place", "Point", (("fid", "integer"), ("name", "string")), 9210, heights=False)
ROOT = Path(__file__).resolve().parents[2]
_POINT = bytes.fromhex("0101000000") + bytes(16)


def row(fid: int) -> bytes:
    """A row of a binary COPY."""
    values = (fid.to_bytes(8, "big"), f"nơi {fid}".encode(), _POINT)
    return b"\0\3" + b"".join(len(v).to_bytes(4, "big") + v for v in values)


async def some(count: int, told: list[str], pause: float = 0.0) -> AsyncGenerator[list[bytes | memoryview]]:
    """Batches of ten rows; ``told`` hears how they ended."""
    try:
        for first in range(0, count, 10):
            await asyncio.sleep(pause)
            yield [row(n) for n in range(first, first + 10)]
        told.append("all")
    except BaseException as error:
        told.append(type(error).__name__)
        raise


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


@pytest.fixture
def desk() -> Iterator[Writers]:
    made = Writers()
    yield made
    made.close()


def test_a_writer_is_kept_for_the_next_job(desk: Writers, tmp_path: Path) -> None:
    async def run() -> None:
        pids = []
        for count in (30, 0):
            told: list[str] = []
            async with desk.one(long=True) as writer:
                made = b"".join([piece async for piece in flatgeobuf(writer, FORM, some(count, told))])
                pids.append(writer.pid)
                folder = writer.folder
            (tmp_path / "a.fgb").write_bytes(made)
            found = pyogrio.raw.read(tmp_path / "a.fgb")
            assert (len(found[2]), told) == (count, ["all"])
            assert not list(folder.iterdir())
        async with desk.one(long=False) as writer:
            pids.append(writer.pid)
            await writer.begin(model.File("gpkg", measured=True))
            await writer.layer(FORM)
            await writer.send(model.TUPLES, pickle.dumps([(7, None, _POINT)]))
            await writer.send(model.END)
            assert await writer.piece() is None
            with writer.made() as file:
                (tmp_path / "a.gpkg").write_bytes(file.read())
        assert len(pyogrio.raw.read(tmp_path / "a.gpkg")[2]) == 1
        assert len(set(pids)) == 1
        desk.close()
        assert not psutil.pid_exists(pids[0]) and not folder.exists()

    asyncio.run(run())


def test_a_client_that_leaves_ends_the_work(desk: Writers) -> None:
    async def run() -> None:
        told: list[str] = []
        async with desk.one(long=True) as writer:
            pieces = flatgeobuf(writer, FORM, some(10**9, told, 0.001))
            async with aclosing(pieces):
                assert (await anext(pieces)).startswith(b"fgb")
                await anext(pieces)
        assert told in (["CancelledError"], ["GeneratorExit"])
        await until(lambda: not psutil.pid_exists(writer.pid) and not writer.folder.exists())
        async with desk.one(long=True) as another:
            assert another.pid != writer.pid

    asyncio.run(run())


def test_what_breaks_the_rows_is_told(desk: Writers) -> None:
    """An answer that began ends with the error, and so is broken off: it never looks whole."""

    async def broken() -> AsyncGenerator[list[bytes | memoryview]]:
        yield [row(1)]
        raise RuntimeError("the database has gone")

    async def wrong() -> AsyncGenerator[list[bytes | memoryview]]:
        yield [row(1)]
        yield [b"\0\1\0\0\0\0"]

    async def run() -> None:
        for rows, kind, said in ((broken, RuntimeError, "gone"), (wrong, WriterFailed, "other fields")):
            async with desk.one(long=True) as writer:
                with pytest.raises(kind, match=said):
                    async for _ in flatgeobuf(writer, FORM, rows()):
                        pass
            await until(lambda w=writer: not psutil.pid_exists(w.pid))  # type: ignore[misc]

    asyncio.run(run())


def test_a_killed_writer_is_noticed_and_replaced(desk: Writers) -> None:
    async def run() -> None:
        told: list[str] = []
        async with desk.one(long=True) as writer:
            pieces = flatgeobuf(writer, FORM, some(10**9, told, 0.001))
            async with aclosing(pieces):
                await anext(pieces)
                os.kill(writer.pid, signal.SIGKILL)
                with pytest.raises(WriterFailed):
                    async for _ in pieces:
                        pass
        async with desk.one(long=True) as another:
            async for _ in flatgeobuf(another, FORM, some(10, [])):
                pass
        os.kill(another.pid, signal.SIGKILL)  # while it waits for a job
        await until(lambda: not another.alive)
        async with desk.one(long=True) as third:
            assert third.pid != another.pid
            async for _ in flatgeobuf(third, FORM, some(10, [])):
                pass

    asyncio.run(run())


def test_an_idle_writer_ends(desk: Writers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "IDLE", 0.01)

    async def run() -> None:
        async with desk.one(long=True) as writer:
            async for _ in flatgeobuf(writer, FORM, some(10, [])):
                pass
        await until(lambda: not psutil.pid_exists(writer.pid))

    asyncio.run(run())


def test_a_writer_ends_with_its_parent() -> None:
    program = (
        "import asyncio\nfrom gis.export.writers import Writer\n"
        "async def run():\n    print(Writer().pid, flush=True)\n    await asyncio.sleep(600)\n"
        "asyncio.run(run())"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    _, alive = psutil.wait_procs([child], timeout=60)
    assert not alive
