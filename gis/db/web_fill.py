"""Fills the gaps of web tables (gis.db.web): side by side, in small transactions, by as many as like to.

Whoever is stopped in between leaves the rest to the next one; readers are right all the while.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable

import psycopg
from psycopg.sql import SQL, Identifier

from gis.db.connect import connect
from gis.db.names import fill_names
from gis.db.side_by_side import Task, run_side_by_side
from gis.db.sql import WEB

#: Called with (features done, features in all).
Progress = Callable[[int, int | None], None]

_MEMORY = "64MB"
_MOST_CONNECTIONS = 4
#: How long one waits for gaps that others hold: those who fill them, and writers of features within.
_PATIENCE, _LOOK = 5.0, 0.1
#: Tables that changed more than this are looked at by the planner's statistics again.
_ANALYZE_ROWS = 1_000


def gaps(connection: psycopg.Connection) -> list[str]:
    """Layers that have gaps."""
    rows = connection.execute("SELECT DISTINCT layer FROM bandoso.web_gap ORDER BY layer").fetchall()
    return [row[0] for row in rows]


def fill(
    owner_dsn: str,
    layers: str | Iterable[str] | None = None,
    progress: Progress = lambda _done, _total: None,
    *,
    connections: int | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> int:
    """Fill the gaps of these layers (default: of all); gives how many features were filled.

    ``connections``: how many fill at once, by default one for each core. When it returns, no gap is left but
    those that long transactions of writers hold. ``stopping``: asked between two transactions, each of some
    tenths of a second. Raises what a connection raised.
    """
    wanted = {layers} if isinstance(layers, str) else None if layers is None else set(layers)
    with connect(owner_dsn) as connection:
        names = [name for name in gaps(connection) if wanted is None or name in wanted]
        total = sum(_divide(connection, name) for name in names)
        if not names:
            return 0
        progress(0, total)
        done = _Done(total, progress)
        many = connections or min(_MOST_CONNECTIONS, os.cpu_count() or 1)
        tasks: list[Task] = [
            _worker(names, done, stopping) for _ in range(many if total > _ANALYZE_ROWS else 1)
        ]
        run_side_by_side(owner_dsn, tasks, memory=_MEMORY)
        progress(total, total)  # of some features there was a row already
        for name, rows in done.rows.items():
            if rows >= _ANALYZE_ROWS:
                connection.execute(SQL("ANALYZE {}").format(Identifier(WEB, name)))
    return sum(done.rows.values())


def fill_here(connection: psycopg.Connection, layer: str) -> None:
    """Fill the layer's gaps by this connection (in autocommit mode): for few features."""
    _divide(connection, layer)
    while _one(connection, layer) is not None:
        pass
    connection.execute(SQL("ANALYZE {}").format(Identifier(WEB, layer)))


class _Done:
    def __init__(self, total: int, progress: Progress) -> None:
        self.rows: dict[str, int] = {}
        self._total, self._progress = total, progress
        self._lock = threading.Lock()

    def add(self, name: str, rows: int) -> None:
        with self._lock:
            self.rows[name] = self.rows.get(name, 0) + rows
            done = sum(self.rows.values())
            self._progress(done, max(self._total, done))


def _divide(connection: psycopg.Connection, name: str) -> int:
    row = connection.execute("SELECT bandoso.web_divide(%s)", [name]).fetchone()
    return int(row[0]) if row else 0


def _worker(names: list[str], done: _Done, stopping: Callable[[], bool]) -> Task:
    def task(connection: psycopg.Connection) -> None:
        # Readers see a filled row a moment later than it is sure to stand: nobody waits for the disk.
        connection.execute("SET synchronous_commit = off")
        left = list(names)
        deadline = time.monotonic() + _PATIENCE
        while left:
            for name in list(left):
                while not stopping() and (rows := _one(connection, name)) is not None:
                    done.add(name, rows)
                    deadline = time.monotonic() + _PATIENCE
            left = [name for name in gaps(connection) if name in names]
            if stopping() or (left and time.monotonic() > deadline):
                return
            if left:
                time.sleep(_LOOK)

    return task


def _one(connection: psycopg.Connection, name: str) -> int | None:
    try:
        row = connection.execute("SELECT bandoso.web_fill(%s)", [name]).fetchone()
    except psycopg.errors.UndefinedTable:  # the layer went away meanwhile, its gaps with it
        return None
    return None if row is None or row[0] is None else int(row[0])


def fill_told(owner_dsn: str, layers: Iterable[str] | None = None) -> None:
    """``fill`` for a command, with a progress bar. Whatever stops it, the server does the rest."""
    from gis.cli_common import STDERR, progress

    with progress("preparing for the web") as report:
        try:
            fill(owner_dsn, layers, report)
            with connect(owner_dsn) as connection:
                fill_names(connection)
        except psycopg.Error:
            STDERR.print("the layers are not prepared for the web yet; bandoso serve goes on with it")
