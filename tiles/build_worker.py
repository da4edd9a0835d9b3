"""Renders tiles for builds and proofs: worker processes, each with a connection on the same snapshot."""

from __future__ import annotations

import os
import signal
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing import get_context
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql
from psycopg.errors import FeatureNotSupported, InsufficientPrivilege, UndefinedColumn, UndefinedTable

from gis.db.connect import conninfo, unreachable
from gis.db.sql import READER
from gis.errors import DatabaseError
from layers.registry import Layer
from tiles.grid import Tile
from tiles.packing import pack
from tiles.query import Plan, plan
from tiles.render import render_many

#: Tiles of a task; those of low levels are large, and go one by one.
TOGETHER: Final = 32
_ONE_BY_ONE: Final = 12
#: Tiles from which on worker processes are worth their start (half a second).
WORTH_WORKERS = 100
#: Tasks that are handed out ahead, for each worker: results wait in memory until it is their turn.
_AHEAD: Final = 4

#: As gis.db.pool has it for requests, but with all the time in the world.
_SESSION: Final = sql.SQL("; ").join(
    sql.SQL("SELECT set_config({}, {}, false)").format(sql.Literal(name), sql.Literal(value))
    for name, value in {
        # The reader's rights: what nobody may see cannot be in a public archive, whatever else goes wrong.
        "role": READER,
        "default_transaction_read_only": "on",
        "statement_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "jit": "off",
        "max_parallel_workers_per_gather": "0",
        "plan_cache_mode": "force_generic_plan",
        "timezone": "UTC",
        "datestyle": "ISO, YMD",
        "extra_float_digits": "1",
        "search_path": "public, pg_temp",
    }.items()
)


@dataclass(frozen=True)
class Job:
    """What a worker must know. ``snapshot``: as pg_export_snapshot gave it."""

    dsn: str
    snapshot: str
    storage: int
    layers: Sequence[Layer]
    #: Whether some layer's web table lacks features, so that statements need the tile in the storage CRS.
    gaps: bool


class Task(NamedTuple):
    """A tile, and which layers of the job may show something in it: bit i is the i-th; ALL: any."""

    tile: Tile
    layers: int


ALL: Final = -1
#: Tiles with the same layers from which on these layers have a statement of their own in a worker (5 ms to
#: make, some more to plan).
_OFTEN: Final = 24


class _Plans:
    """Statements of a worker. Many tiles hold few of the layers, and a statement costs for each layer that it
    names: a set of layers that is frequent has one of its own; the others share that of all layers."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self._met: Counter[tuple[int, int]] = Counter()
        self._kept: dict[tuple[int, int], Plan | None] = {}

    def of(self, task: Task) -> Plan | None:
        """None where no layer is in tiles of this level."""
        z, some = task.tile.z, task.layers
        self._met[z, some] += 1
        if self._met[z, some] < _OFTEN:
            some = ALL
        if (z, some) not in self._kept:
            self._kept[z, some] = plan([one for i, one in enumerate(self._layers) if some >> i & 1], z)
        return self._kept[z, some]


@dataclass(frozen=True)
class Drawn:
    """A rendered tile: its layers, each under gzip (tiles.packing), in the order of a tile of all of them."""

    tile: Tile
    layers: Mapping[str, bytes]
    truncated: bool


def render_all(job: Job, tasks: Iterable[Task], workers: int | None = None) -> Iterator[Drawn]:
    """The tiles in their order; few of them are in memory at a time, and ``tasks`` is read as it goes.

    Raises psycopg errors and DatabaseError. When it is closed early, no worker is left.
    """
    tasks = iter(tasks)
    first = list(islice(tasks, WORTH_WORKERS))
    if len(first) < WORTH_WORKERS:
        plans = _Plans(job.layers)
        with _connect(job) as connection:
            for some in _shares(first):
                yield from _make(connection, job, plans, some)
        return
    tasks = chain(first, tasks)
    del first
    count = workers or os.cpu_count() or 1
    pool = ProcessPoolExecutor(count, get_context("spawn"), initializer=_start, initargs=(job,))
    try:
        pending: deque[Future[list[Drawn]]] = deque()
        for some in _shares(tasks):
            pending.append(pool.submit(_run, some))
            if len(pending) > count * _AHEAD:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    except BrokenProcessPool as error:
        raise DatabaseError(
            "a process that rendered tiles ended",
            hint="is there memory enough, and the database still there?",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _shares(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    share: list[Task] = []
    for task in tasks:
        if share and (len(share) >= TOGETHER or task.tile.z != share[-1].tile.z or task.tile.z < _ONE_BY_ONE):
            yield share
            share = []
        share.append(task)
    if share:
        yield share


_job: Job | None = None
_plans: _Plans | None = None
_connection: psycopg.Connection[Any] | None = None


def _start(job: Job) -> None:
    global _job, _plans, _connection
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends us
    _job, _plans, _connection = job, _Plans(job.layers), _connect(job)


def _run(share: list[Task]) -> list[Drawn]:
    assert _job is not None and _plans is not None and _connection is not None
    return _make(_connection, _job, _plans, share)


def _connect(job: Job) -> psycopg.Connection[Any]:
    """A reader's connection on the snapshot, within its transaction."""
    try:
        connection = psycopg.connect(conninfo(job.dsn, "bandoso tiles"), autocommit=True)
    except psycopg.OperationalError as error:
        raise unreachable(error) from error
    connection.execute(_SESSION, prepare=False)
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", prepare=False)
    connection.execute(
        sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(job.snapshot)), prepare=False
    )
    return connection


def _make(connection: psycopg.Connection[Any], job: Job, plans: _Plans, share: Sequence[Task]) -> list[Drawn]:
    wanted = [(made, task.tile) for task in share if (made := plans.of(task)) is not None]
    try:
        rendered = render_many(connection, wanted, job.storage, gaps=job.gaps)
    except (UndefinedTable, UndefinedColumn, InsufficientPrivilege, FeatureNotSupported) as error:
        raise DatabaseError("the layers are being changed at the moment", hint="try again") from error
    return [
        Drawn(tile, {name: pack(mvt) for name, mvt in one.layers.items()}, bool(one.truncated))
        for (_, tile), one in zip(wanted, rendered, strict=True)
    ]
