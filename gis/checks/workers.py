"""Worker processes: each has its own connection and sees the state of one exported snapshot.

A worker that dies (a crash in GEOS, the kernel's or its own limit of memory, kill -9) or takes too long loses
its task, and only that: another is started in its place, and the caller decides what becomes of the task.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import BinaryIO

from gis.checks.examine import Done, Setup, Task, packed
from gis.checks.worker import DONE, LOST, READY, ROWS
from gis.errors import DatabaseError

#: Most address space of a worker (bytes), of which windows of ordinary size use a tenth.
ADDRESS_SPACE = 4_000_000_000
#: A task that takes longer (s) is lost: some rule does not end on this data.
TASK_SECONDS = 900.0
#: Workers in a row that die before they are ready, until it is no accident.
_FALSE_STARTS = 3

_START = """
import sys
sys.path.insert(0, {root!r})
from gis.checks.worker import main
main({descriptor}, {address_space})
"""


@dataclass(frozen=True)
class Lost:
    """A task whose worker ended, and how."""

    task: Task
    why: str


@dataclass(frozen=True)
class Rows:
    """A portion of a task's findings as rows of COPY."""

    task: int
    content: bytes


#: What happened, in the order of things. All rows of a task come before its Done.
Event = Rows | Done | Lost


class _Worker:
    """One child process."""

    def __init__(self, setup: bytes, address_space: int) -> None:
        ours, theirs = socket.socketpair()
        self.stderr: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115
        root = str(Path(__file__).resolve().parents[2])
        code = _START.format(root=root, descriptor=theirs.fileno(), address_space=address_space)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-c", code],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self.stderr,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is the parent's to handle
            )
        self.connection = Connection(ours.detach())
        self.task: Task | None = None
        self.ready = False
        self.deadline = float("inf")
        with contextlib.suppress(OSError):
            self.connection.send_bytes(setup)

    def give(self, task: Task, seconds: float) -> None:
        self.task, self.deadline = task, time.monotonic() + seconds
        with contextlib.suppress(OSError):  # a dead one is noticed by its closed socket
            self.connection.send_bytes(pickle.dumps(task))

    def end(self) -> str:
        """End it, and say how it ended."""
        late = time.monotonic() > self.deadline
        with contextlib.suppress(OSError):
            self.connection.close()
        if self.process.poll() is None:
            try:  # it may be on its way out with a reason
                self.process.wait(timeout=0 if late else 2)
            except subprocess.TimeoutExpired:
                self.process.kill()
        code = self.process.wait()
        self.stderr.seek(0)
        said = self.stderr.read()[-2000:].decode(errors="replace").strip().splitlines()
        self.stderr.close()
        if late:
            return "it took too long"
        if code < 0:
            return f"its worker ended by signal {-code}"
        return f"its worker ended ({said[-1][:200]})" if said else f"its worker ended with code {code}"


def _environment() -> dict[str, str]:
    """Workers share the processors: libraries start no threads of their own."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {
        **os.environ,
        **dict.fromkeys(threads, "1"),
        "MALLOC_ARENA_MAX": "2",
        "PYTHONFAULTHANDLER": "1",
    }


class Crew:
    """``size`` workers. A context manager; leaving it ends them all."""

    def __init__(self, setup: Setup, size: int, address_space: int = ADDRESS_SPACE) -> None:
        self._setup, self._size, self._address_space = packed(setup), max(1, size), address_space
        self._workers: list[_Worker] = []
        self._false_starts = 0

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.kill()
        while self._workers:
            self._workers.pop().end()

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.process.pid for worker in self._workers]

    def work(
        self, tasks: deque[Task], seconds: float = TASK_SECONDS, tick: Callable[[], None] | None = None
    ) -> Iterator[Event]:
        """Work off ``tasks``, which the caller may add to while it takes the events.

        ``tick`` is called at least four times a second. Raises DatabaseError when workers cannot start.
        """
        while tasks or any(worker.task for worker in self._workers):
            while tasks and len(self._workers) < self._size and self._all_busy():
                self._workers.append(_Worker(self._setup, self._address_space))
                self._hand_out(tasks, seconds)
            self._hand_out(tasks, seconds)
            for ready in wait([w.connection for w in self._workers], timeout=0.25):
                worker = next(w for w in self._workers if w.connection is ready)
                yield from self._hear(worker)
            now = time.monotonic()
            for worker in [w for w in self._workers if w.deadline < now]:
                yield from self._bury(worker)
            if tick is not None:
                tick()

    def _all_busy(self) -> bool:
        return all(worker.task for worker in self._workers)

    def _hand_out(self, tasks: deque[Task], seconds: float) -> None:
        for worker in self._workers:
            if tasks and worker.task is None:
                worker.give(tasks.popleft(), seconds)

    def _hear(self, worker: _Worker) -> Iterator[Event]:
        try:
            answer = worker.connection.recv_bytes()
        except (EOFError, OSError):
            yield from self._bury(worker)
            return
        kind, content = answer[:1], answer[1:]
        if kind == LOST:
            raise DatabaseError(
                "the database was lost during the check", hint="is it running? then check again"
            )
        if kind == READY:
            worker.ready, self._false_starts = True, 0
            return
        assert worker.task is not None
        if kind == ROWS:
            yield Rows(worker.task.number, content)
            return
        assert kind == DONE
        worker.task, worker.deadline = None, float("inf")
        yield pickle.loads(content)  # noqa: S301 - from our own child

    def _bury(self, worker: _Worker) -> Iterator[Event]:
        self._workers.remove(worker)
        why = worker.end()
        if not worker.ready:
            self._false_starts += 1
            if self._false_starts >= _FALSE_STARTS:
                raise DatabaseError(f"the workers of the check cannot start: {why}")
        if worker.task is not None:
            yield Lost(worker.task, why)
