"""What a worker does with a task: evaluate applications on a window, or on the whole city, into rows.

The same in a process of our own (gis.checks.worker), in a Dask worker, or in this process.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import math
import pickle
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

import psycopg

from gis import crs
from gis.checks.blocks import Block, divided
from gis.checks.dbsource import DatabaseSource
from gis.checks.encode import PORTION, Encoder
from gis.checks.findings import needs_of
from gis.checks.model import Application, Finding
from gis.checks.registry import rules
from gis.checks.source import EVERYWHERE, Box
from gis.checks.whole import Deferred, Whole
from gis.checks.window import Setting, Window
from gis.db.connect import connect


@dataclass(frozen=True)
class Setup:
    """What all tasks of a run share. ``snapshot``: exported by the transaction that the run began with."""

    dsn: str
    snapshot: str
    setting: Setting
    applications: tuple[Application, ...]


@dataclass(frozen=True)
class Task:
    """Applications (indexes into Setup.applications) on a window, or with ``box`` None on the whole city.

    ``changed`` limits global rules (Whole.changed). ``weight``: for progress. ``attempt``: how often it, or
    what it is a part of, was lost before. ``most``: a window that holds more (features of ordinary size) is
    judged in parts, one after the other; the plan knows a sample of the city only.
    """

    number: int
    applications: tuple[int, ...]
    box: Box | None
    weight: float = 1.0
    attempt: int = 0
    changed: Mapping[str, frozenset[int]] | None = None
    most: float = math.inf


@dataclass
class Done:
    """A finished task: time by application, those that raised (with what), and those that deferred."""

    task: int
    seconds: dict[int, float] = field(default_factory=dict)
    failed: list[tuple[int, str]] = field(default_factory=list)
    deferred: list[int] = field(default_factory=list)


class Examiner:
    """Evaluates tasks on one connection. Raises psycopg.Error, MemoryError; errors of rules are in Done."""

    def __init__(self, setup: Setup) -> None:
        self._setup, self._stays = setup, False
        city = setup.setting.city
        for name in city.crs.definitions if city.path else ():
            crs.register((city.path.parent / name).resolve())  # type: ignore[union-attr]
        self._connection = connect(setup.dsn, autocommit=False)
        see_snapshot(self._connection, setup.snapshot)
        self._source = DatabaseSource(self._connection, setup.setting.catalogue, city.crs.storage)
        self._encoder = Encoder(setup.setting)

    def close(self) -> None:
        self._connection.close()

    def stay(self) -> None:
        """The process does nothing else: what is there now stays, and its memory is looked after."""
        gc.freeze()
        self._stays = True

    def _give_back_memory(self) -> None:
        """A worker lives for many windows. Python's collector counts objects, of which a window has few,
        and not their megabytes: what hangs in a cycle would pile up; and glibc keeps what a large window
        needed."""
        # Where what was there before is not frozen, collecting takes a tenth of a second.
        if self._stays:
            gc.collect()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)

    def examine(self, task: Task) -> Iterator[bytes | Done]:
        """Portions of rows (gis.checks.encode), at last what was done."""
        done = Done(task.number)
        waiting: list[tuple[str, Finding]] = []
        for item in self._findings(task, done):
            waiting.append(item)
            if len(waiting) >= PORTION:
                yield self._encoder.rows(task.number, waiting)
                waiting.clear()
        if waiting:
            yield self._encoder.rows(task.number, waiting)
        self._give_back_memory()
        yield done

    def _findings(self, task: Task, done: Done) -> Iterator[tuple[str, Finding]]:
        apps = {index: self._setup.applications[index] for index in task.applications}
        if task.box is None:
            whole = Whole(self._source, self._setup.setting, task.changed)
            yield from self._run(apps, done, partial(_whole, whole))
            return
        for box in self._boxes(task, task.box):
            # No name holds the window longer than it is judged.
            yield from self._run(apps, done, partial(_owned, self._window(box, apps.values())))
            # What failed is judged again in another way, everywhere in the task.
            for index, _ in done.failed:
                apps.pop(index, None)

    def _window(self, box: Box, apps: Iterable[Application]) -> Window:
        setting = self._setup.setting
        return Window(box, self._source, setting, needs_of(apps, setting.catalogue))

    def _run(
        self, apps: Mapping[int, Application], done: Done, run: Callable[[Application], Iterator[Finding]]
    ) -> Iterator[tuple[str, Finding]]:
        for index, app in apps.items():
            started = time.perf_counter()
            try:
                for found in run(app):
                    yield app.key, found
            except Deferred:
                done.deferred.append(index)
            except (psycopg.Error, MemoryError):
                raise
            except Exception as error:
                done.failed.append((index, f"{type(error).__name__}: {error}"[:300]))
            done.seconds[index] = done.seconds.get(index, 0.0) + time.perf_counter() - started

    def _boxes(self, task: Task, box: Box) -> Iterator[Box]:
        """The window, or what it is to be divided into; what a part needed is given back before the next."""
        catalogue = self._setup.setting.catalogue
        parts = [Block(box, task.weight)]
        if task.most < math.inf and box != EVERYWHERE and not math.isnan(box[0]):
            apps = [self._setup.applications[index] for index in task.applications]
            layers = [layer for app in apps for layer in app.layers]
            layers += [need.layer for need in needs_of(apps, catalogue)]
            parts = divided(
                self._connection, catalogue, dict.fromkeys(layers), self._source.srid, box, task.most
            )
        for part in parts:
            yield part.box
            self._give_back_memory()


def see_snapshot(connection: psycopg.Connection[Any], snapshot: str) -> None:
    """Begin a transaction that sees the state of an exported snapshot, without limits on its length.

    Memory of the server's side is bounded, too: it sorts on disk what is larger than a window. (Groups by
    hash, which it would choose, need more memory and take twice as long when they spill.)
    """
    connection.execute(
        "SELECT set_config(name, value, false) FROM (VALUES ('statement_timeout', '0'),"
        " ('idle_in_transaction_session_timeout', '0'), ('client_connection_check_interval', '2000'),"
        " ('work_mem', '16MB'), ('hash_mem_multiplier', '1'), ('enable_hashagg', 'off'), ('jit', 'off'),"
        " ('timezone', 'UTC')) AS v (name, value)"
    )
    connection.commit()
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    connection.execute(psycopg.sql.SQL("SET TRANSACTION SNAPSHOT {}").format(psycopg.sql.Literal(snapshot)))


def _owned(window: Window, app: Application) -> Iterator[Finding]:
    for found in rules()[app.rule.id].run(window, app):
        if window.owns_point(*found.anchor):
            yield found


def _whole(whole: Whole, app: Application) -> Iterator[Finding]:
    known = rules()[app.rule.id]
    if app.rule.scope == "global":
        yield from known.run(whole, app)
    elif known.also is not None:
        yield from known.also(whole, app)


def _read_only(content: dict[Any, Any]) -> Mapping[Any, Any]:
    return MappingProxyType(content)


class _Pickler(pickle.Pickler):
    """Read-only mappings of catalogue and parameters go as dictionaries."""

    dispatch_table = {MappingProxyType: lambda proxy: (_read_only, (dict(proxy),))}  # noqa: RUF012


def packed(setup: Setup) -> bytes:
    """A Setup for another process."""
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=5).dump(setup)
    return buffer.getvalue()


def unpacked(content: bytes) -> Setup:
    """The Setup of ``packed``, from our own parent process only."""
    setup = pickle.loads(content)  # noqa: S301
    assert isinstance(setup, Setup)
    return setup
