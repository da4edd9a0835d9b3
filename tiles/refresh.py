"""Keeps low zooms right: ``python -m tiles.refresh``, a small process beside the server, and ``bring_up``.

It hears of changes (channel bandoso_stale) and derives the cells that they made stale, a few at a time; when
very many are, as after a load, worker processes share them. The queue is in the database (tiles.cells), so
nothing is lost with a process, a connection or a server: what was missed is there at the next look.
"""

from __future__ import annotations

import contextlib
import logging
import logging.config
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson
import psycopg

from gis.db.connect import conninfo
from gis.log import configuration
from gis.priority import give_way

if TYPE_CHECKING:
    from tiles.cells import Cell

LOG = logging.getLogger("bandoso.low")

OWNER_DSN: Final = "BANDOSO_OWNER_DSN"
CHANNEL: Final = "bandoso_stale"

#: Seconds between two looks when nothing was told: also the proof that the connection lives.
LOOK: Final = 10.0
#: Seconds from the beginning of a look to that of the next, at least. Who edits, edits one place again and
#: again: what comes meanwhile is derived at once. A single edit does not wait, nor do looks that take longer.
APART: Final = 0.2
#: Cells of one transaction, so that none waits long for others to be told; and from how many on workers help.
AT_ONCE: Final = 8
MANY: Final = 150
#: Cells that are looked at together.
AHEAD: Final = 5000
#: Seconds after the start until what deriving needs is imported, if nothing needed it before.
IDLE: Final = 30.0
LONGEST_WAIT: Final = 5.0
APPLICATION: Final = "bandoso low zooms"
#: A crash that loses a commit leaves its cells stale, so they are derived again. Nobody waits for the disk:
#: while a commit that notifies does, every other one that notifies waits for it, those of editors too.
SETTINGS: Final = "SET synchronous_commit = off"


def bring_up(
    owner_dsn: str, workers: int | None = None, progress: Callable[[int, int], None] | None = None
) -> int:
    """Derive everything that is stale, by worker processes; the number of cells looked at.

    ``progress``: called with cells done and known. Returns when nothing is stale; edits that go on meanwhile
    are followed, too. Waits while another process does the same. Raises psycopg errors.
    """
    from tiles.cells import alone, stale_cells

    done = 0
    with psycopg.connect(conninfo(owner_dsn, APPLICATION), autocommit=True) as connection, alone(connection):
        connection.execute(SETTINGS)
        while cells := stale_cells(connection, AHEAD):
            work_off(connection, owner_dsn, cells, workers or os.cpu_count() or 1, progress)
            done += len(cells)
    return done


def work_off(
    connection: psycopg.Connection,
    owner_dsn: str,
    cells: Sequence[Cell],
    workers: int,
    progress: Callable[[int, int], None] | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Derive cells, under the lock that the connection holds: here when they are few, else by workers."""
    from tiles.cells import RETRY, low_layers, refresh

    if len(cells) < MANY or workers < 2:
        layers = low_layers(connection, {cell.layer for cell in cells})
        for start in range(0, len(cells), AT_ONCE):
            if stopping():
                return
            with contextlib.suppress(*RETRY):  # it is still in the queue
                refresh(connection, layers, cells[start : start + AT_ONCE])
            if progress:
                progress(min(len(cells), start + AT_ONCE), len(cells))
        return
    waiting: queue.SimpleQueue[Sequence[Cell]] = queue.SimpleQueue()
    for start in range(0, len(cells), AT_ONCE):
        waiting.put(cells[start : start + AT_ONCE])
    crew = [Worker(owner_dsn, waiting, stopping) for _ in range(workers)]
    for one in crew:
        one.start()
    while any(one.is_alive() for one in crew):
        crew[0].join(0.2)
        if progress:
            progress(sum(one.done for one in crew), len(cells))
        if stopping():
            for one in crew:
                one.process.terminate()
        time.sleep(0 if crew[0].is_alive() else 0.05)
    if not stopping():
        failed = [one for one in crew if one.process.returncode]
        if len(failed) == len(crew):
            raise psycopg.OperationalError("no process could derive low zooms")


class Worker(threading.Thread):
    """A process that derives cells, and the thread that hands them to it."""

    def __init__(
        self, owner_dsn: str, waiting: queue.SimpleQueue[Sequence[Cell]], stopping: Callable[[], bool]
    ) -> None:
        super().__init__(name="low-zooms", daemon=True)
        self.done = 0
        self._waiting, self._stopping = waiting, stopping
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tiles.refresh", "worker"],
            stdin=subprocess.PIPE,  # ends when we do, however we do
            stdout=subprocess.PIPE,
            env={**os.environ, OWNER_DSN: owner_dsn},
            start_new_session=True,
        )

    def run(self) -> None:
        assert self.process.stdin and self.process.stdout
        with self.process, contextlib.suppress(BrokenPipeError):  # it has died: the cells are still stale
            while not self._stopping():
                try:
                    cells = self._waiting.get_nowait()
                except queue.Empty:
                    break
                self.process.stdin.write(orjson.dumps([[c.layer, c.number] for c in cells]) + b"\n")
                self.process.stdin.flush()
                if not self.process.stdout.readline():
                    break
                self.done += len(cells)
            self.process.stdin.close()


def _worker() -> None:
    """Derive the cells of each line of standard input, and say so; until it ends."""
    from tiles.cells import RETRY, Cell, low_layers, refresh

    with psycopg.connect(conninfo(os.environ[OWNER_DSN], APPLICATION), autocommit=True) as connection:
        connection.execute(SETTINGS)
        layers = low_layers(connection)
        for line in sys.stdin.buffer:
            with contextlib.suppress(*RETRY):
                refresh(connection, layers, [Cell(*one) for one in orjson.loads(line)])
            sys.stdout.buffer.write(b"\n")
            sys.stdout.buffer.flush()


class Refresher:
    """Waits for stale cells and derives them, until SIGTERM or the end of standard input."""

    def __init__(self, owner_dsn: str) -> None:
        self._owner_dsn = owner_dsn
        self._stopping = False
        self._began = time.monotonic()
        self._ready = False
        self._wake, self._source = socket.socketpair()
        for one in (self._wake, self._source):
            one.setblocking(False)
        signal.set_wakeup_fd(self._source.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def run(self) -> None:
        """A database that is away is waited for."""
        complaint, wait = "", 0.2
        while not self._stopping:
            try:
                with psycopg.connect(
                    conninfo(self._owner_dsn, APPLICATION), autocommit=True, connect_timeout=10
                ) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    connection.execute(SETTINGS)
                    complaint, wait = "", 0.2
                    self._follow(connection)
            except psycopg.Error as error:
                said = type(error).__name__
                if said != complaint:
                    LOG.warning("low zooms wait for the database: %s", said)
                complaint = said
                self._pause([], wait)
                wait = min(wait * 2, LONGEST_WAIT)

    def _follow(self, connection: psycopg.Connection) -> None:
        while not self._stopping:
            list(connection.notifies(timeout=0))  # what they tell of is looked at now
            row = connection.execute("SELECT EXISTS (SELECT FROM bandoso.web_stale)").fetchone()
            if row and row[0]:
                self._ready = True
                began = time.monotonic()
                self._look(connection)
                self._pause([], max(0.0, began + APART - time.monotonic()))
            elif not list(connection.notifies(timeout=0)):
                idle = self._began + IDLE - time.monotonic()
                self._pause([connection.fileno()], LOOK if self._ready else max(0.0, min(LOOK, idle)))
                if not self._ready and idle <= 0:
                    self._ready = True
                    import tiles.cells  # noqa: F401  the first change shall not wait for it

    def _look(self, connection: psycopg.Connection) -> None:
        from tiles.cells import alone, forget, stale_cells

        with alone(connection):
            cells = stale_cells(connection, AHEAD)
            work_off(
                connection,
                self._owner_dsn,
                cells,
                max(1, min(4, (os.cpu_count() or 1) // 2)),  # half of the processors are for people
                stopping=lambda: self._stopping or not self._server_lives(),
            )
            if len(cells) >= MANY:
                forget(connection)

    def _server_lives(self) -> bool:
        if select.select([0], [], [], 0)[0] and not os.read(0, 1024):
            self._stopping = True
        return not self._stopping

    def _pause(self, sources: list[Any], seconds: float) -> None:
        ready, _, _ = select.select([*sources, self._wake, 0], [], [], seconds)
        if self._wake in ready:
            self._wake.recv(4096)
        if 0 in ready and not os.read(0, 1024):  # standard input ends with the server
            self._stopping = True


def main() -> int:
    """Run until told to stop."""
    logging.config.dictConfig(configuration(os.environ.get("BANDOSO_LOG_LEVEL", "info")))
    give_way(10)  # tiles of now go before those that nobody may look at
    if sys.argv[1:] == ["worker"]:
        _worker()
        return 0
    Refresher(os.environ[OWNER_DSN]).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
