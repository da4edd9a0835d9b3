"""A run of checks over the city or an area, in worker processes, into the findings of the database."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import psycopg
import shapely
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL

from gis.checks.blocks import TARGET
from gis.checks.dbsource import DatabaseSource
from gis.checks.encode import Encoder
from gis.checks.examine import Done, Examiner, Setup, Task
from gis.checks.findings import needs_of
from gis.checks.incremental import clear_due
from gis.checks.locks import hold_alone
from gis.checks.model import Application, Outcome
from gis.checks.plan import Planner
from gis.checks.recover import Recovery, unexamined_key
from gis.checks.registry import applications, mistakes
from gis.checks.reported import spooled, stored
from gis.checks.store import Settled, Store
from gis.checks.window import Setting
from gis.checks.workers import Crew, Event, Lost, Rows
from gis.db import sql as names
from gis.db.connect import connect, conninfo
from gis.db.server import Database

#: Called with (done, total) in features of ordinary size.
Progress = Callable[[int, int | None], None]


class Stopped(Exception):  # noqa: N818 - not a mistake: somebody wanted it
    """``stop`` said so; nothing was changed."""


def run_checks(
    db: Database,
    setting: Setting,
    apps: Sequence[Application] | None = None,
    *,
    area: shapely.Geometry | tuple[float, float, float, float] | None = None,
    area_name: str = "",
    workers: int | None = None,
    store: bool = True,
    scheduler: str | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    window: float = TARGET,
    partial: bool = False,
) -> Outcome:
    """Judge the city by ``apps`` (default: all that its layer files ask for).

    ``area``: polygon or box in the storage CRS; findings whose place meets it. ``workers``: processes
    (default one a core; 0: this one). ``store``: keep findings, and mark as mended what is no more.
    ``scheduler``: address of a Dask scheduler whose workers take the place of processes. ``progress`` and
    ``stop`` are called a few times a second; ``window``: features in a window (for tests and measurements).
    ``partial``: the catalogue lacks layer files that could not be read: what it does not know stays.

    All workers see the state of the city at one moment. Raises DatabaseError, Stopped, KeyboardInterrupt:
    then nothing was changed. Findings are read again from the database, which must be there as long as
    ``Outcome.findings`` is used.
    """
    chosen = tuple(applications(setting.catalogue) if apps is None else apps)
    shape = shapely.box(*area) if isinstance(area, tuple) else area
    with _snapshot(db, setting, chosen) as view, connect(db.owner_dsn, autocommit=False) as connection:
        connection.execute(
            "SELECT set_config('statement_timeout', '0', false), set_config('jit', 'off', false),"
            " set_config('idle_in_transaction_session_timeout', '0', false),"
            " set_config('work_mem', '32MB', false), set_config('hash_mem_multiplier', '1', false)"
        )
        run = _Run(connection, view, setting, chosen, shape, partial)
        tasks = run.plan(window)
        run.examine(tasks, _crew(view, setting, chosen, workers, scheduler, len(tasks)), progress, stop)
        outcome = run.finish(db, area_name, store=store)
    if store:
        clear_due(db, setting)
    return outcome


@dataclass(frozen=True)
class _View:
    """The state that a run sees. ``seen``: as pg_current_snapshot() tells it."""

    connection: psycopg.Connection[Any]
    dsn: str
    snapshot: str
    seen: str
    as_of: datetime


@contextmanager
def _snapshot(db: Database, setting: Setting, apps: Sequence[Application]) -> Iterator[_View]:
    """One state of the city for all workers; tables cannot be put in place of others meanwhile."""
    read = [need.layer for need in needs_of(apps, setting.catalogue)]
    layers = dict.fromkeys([layer for app in apps for layer in (*app.layers, *app.against)] + read)
    tables = SQL(", ").join(names.table(setting.catalogue.layers[layer]) for layer in layers)
    with connect(db.owner_dsn, autocommit=False) as connection:
        connection.execute(
            "SELECT set_config('statement_timeout', '0', false),"
            " set_config('idle_in_transaction_session_timeout', '0', false)"
        )
        connection.commit()
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        if layers:
            # Before the snapshot: a load that swaps its table in would else show workers an empty one.
            connection.execute(SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(tables))
        row = connection.execute(
            "SELECT pg_export_snapshot(), pg_current_snapshot()::text, clock_timestamp()"
        ).fetchone()
        assert row is not None
        # Several hosts may be named: workers must reach the one that has the snapshot.
        dsn = make_conninfo(
            conninfo(db.owner_dsn, "bandoso check"),
            host=connection.info.host,
            port=str(connection.info.port),
        )
        yield _View(connection, dsn, *row)
        connection.rollback()


class _Alone:
    """The crew of no workers: this process."""

    def __init__(self, setup: Setup) -> None:
        self._examiner = Examiner(setup)

    def __enter__(self) -> _Alone:
        return self

    def __exit__(self, *_: object) -> None:
        self._examiner.close()

    def work(self, tasks: deque[Task], *, tick: Callable[[], None] | None = None) -> Iterator[Event]:
        while tasks:
            task = tasks.popleft()
            for part in self._examiner.examine(task):
                yield part if isinstance(part, Done) else Rows(task.number, part)
            if tick is not None:
                tick()


def _crew(
    view: _View,
    setting: Setting,
    apps: tuple[Application, ...],
    workers: int | None,
    scheduler: str | None,
    tasks: int,
) -> Any:
    setup = Setup(view.dsn, view.snapshot, setting, apps)
    if scheduler is not None:
        from gis.checks.dask import DaskCrew

        return DaskCrew(setup, scheduler)
    if workers == 0:
        return _Alone(setup)
    return Crew(setup, min(workers or len(os.sched_getaffinity(0)), max(tasks, 1)))


@dataclass
class _Run:
    """One run: its tasks, their rows, what could not be judged."""

    connection: psycopg.Connection[Any]
    view: _View
    setting: Setting
    apps: tuple[Application, ...]
    area: shapely.Geometry | None
    partial: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    deferred: set[str] = field(default_factory=set)
    #: Global applications that judged the features of an area only (``layer/fid``).
    limited: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.numbers = itertools.count(1)
        self.store = Store(self.connection, self.setting.catalogue)
        self.store.begin()
        self.source = DatabaseSource(
            self.view.connection, self.setting.catalogue, self.setting.city.crs.storage
        )
        self.recovery = Recovery(self.apps, self.source, lambda: next(self.numbers))

    def plan(self, window: float) -> list[Task]:
        planner = Planner(self.view.connection, self.setting, self.apps, lambda: next(self.numbers), window)
        tasks = planner.everywhere() if self.area is None else planner.within(self.area)
        for task in tasks:
            if task.changed is not None:
                about = [f"{layer}/{fid}" for layer, fids in task.changed.items() for fid in fids]
                self.limited |= {self.apps[index].key: about for index in task.applications}
        return tasks

    def examine(
        self, tasks: list[Task], crew: Any, progress: Progress | None, stop: Callable[[], bool] | None
    ) -> None:
        """Work off the tasks; rows go into the staging table as they come."""
        known = {task.number: task for task in tasks}
        left: deque[Task] = deque(tasks)
        total, done = sum(task.weight for task in tasks), 0.0

        def tick() -> None:
            if progress is not None:
                progress(int(min(done, total)), int(total))
            if stop is not None and stop():
                raise Stopped

        def again(more: list[Task]) -> None:
            known.update((task.number, task) for task in more)
            left.extendleft(reversed(more))

        with crew:
            tick()
            for event in crew.work(left, tick=tick):
                if isinstance(event, Rows):
                    self.store.stage(event.content)
                elif isinstance(event, Lost):
                    self.store.unstage(event.task.number)
                    again(self.recovery.lost(event.task, event.why))
                else:
                    task = known[event.task]
                    done += task.weight
                    for index, seconds in event.seconds.items():
                        key = self.apps[index].key
                        self.seconds[key] = self.seconds.get(key, 0.0) + seconds
                    self.deferred |= {self.apps[index].key for index in event.deferred}
                    for index, why in event.failed:
                        self.store.unstage_app(task.number, self.apps[index].key)
                        again(self.recovery.failed(task, index, why))
        if self.recovery.culprits:
            self.store.stage(Encoder(self.setting).rows(0, self.recovery.culprits))

    def finish(self, db: Database, area_name: str, *, store: bool) -> Outcome:
        """Compare with what is stored, write what changed, and commit; or, without ``store``, neither."""
        judged = [app.key for app in self.apps if app.key not in self.deferred]
        keys = judged + [unexamined_key(key) for key in judged]
        area = None
        if self.area is not None:
            srid = self.setting.city.crs.storage
            area = shapely.to_wkb(shapely.set_srid(self.area, srid), include_srid=True)
            self.store.stage_within(area)
        run, overtaken = 0, False
        if store:
            hold_alone(self.connection)
            run = self._begin(keys, area)
        self._look(keys, area)
        if store:
            overtaken = self.store.leave_newer(run, self.view.seen, self.view.as_of)
        self.store.judge(self.setting.today, large=True)
        settled = self.store.count()
        if store:
            self.store.write(run, self.view.as_of)
            if overtaken:
                settled = self.store.count_standing(settled, keys, area)
            self._end(run, settled)
            self.connection.commit()
            findings = stored(db.owner_dsn, self.setting.catalogue, run, keys, area, self.view.as_of)
        else:
            findings = spooled(self.connection, self.view.as_of)
            self.connection.rollback()
        return Outcome(
            started=self.view.as_of,
            finished=datetime.now(self.view.as_of.tzinfo),
            applications=self.apps,
            checked=self._checked(),
            counts=settled.counts,  # type: ignore[arg-type]
            accepted=settled.accepted,
            new=settled.new,
            mended=settled.mended if store else 0,
            findings=findings,
            undecided=tuple(self.recovery.sentences) + self._deferred_sentences(),
            area=self.area,
            area_name=area_name,
            open_errors=settled.open_errors,
            seconds=dict(self.seconds),
        )

    def _look(self, keys: list[str], area: bytes | None) -> None:
        """Which stored findings this run has looked for."""
        if area is None:
            known = [app.key for app in (*applications(self.setting.catalogue), *self.apps)]
            known += [unexamined_key(key) for key in known]
            if self.partial or mistakes(self.setting.catalogue):
                rows = self.connection.execute("SELECT DISTINCT app FROM bandoso.finding_key").fetchall()
                known += [row[0] for row in rows]
            self.store.look_everywhere(keys, known)
        else:
            free = [key for key in keys if key not in self.limited]
            self.store.look_within(free, area)
            for key in keys:
                if key in self.limited:
                    self.store.look_within([key], area, about=self.limited[key])
        for key, box in self.recovery.unjudged:
            self.store.look_away([key], box)

    def _begin(self, keys: list[str], area: bytes | None) -> int:
        row = self.connection.execute(
            "INSERT INTO bandoso.check_run (started_at, as_of, apps, area)"
            " VALUES (%s, %s, %s, %s::public.geometry) RETURNING id",
            [self.view.as_of, self.view.as_of, keys, area],
        ).fetchone()
        assert row is not None
        return int(row[0])

    def _end(self, run: int, settled: Settled) -> None:
        unjudged = {key for key, _ in self.recovery.unjudged}
        everywhere = [app.key for app in self.apps if app.key not in unjudged] if self.area is None else []
        execute = self.connection.execute
        execute(
            "INSERT INTO bandoso.check_app (app, as_of) SELECT unnest(%s::text[]), %s"
            " ON CONFLICT (app) DO UPDATE SET as_of = greatest(check_app.as_of, excluded.as_of)",
            [everywhere, self.view.as_of],
        )
        execute(
            "DELETE FROM bandoso.check_due WHERE app = ANY (%s)"
            " AND pg_visible_in_snapshot(xid, %s::pg_snapshot)",
            [everywhere, self.view.seen],
        )
        execute("DELETE FROM bandoso.check_edit WHERE at < now() - interval '2 days'")
        summary = {"new": settled.new, "mended": settled.mended, "open_errors": settled.open_errors}
        execute(
            "UPDATE bandoso.check_run SET finished_at = clock_timestamp(), summary = %s WHERE id = %s",
            [orjson.dumps(summary).decode(), run],
        )

    def _checked(self) -> Mapping[str, int]:
        """Features looked at, by layer that was judged."""
        layers = dict.fromkeys(layer for app in self.apps for layer in app.layers)
        if self.area is None:
            return {layer: self.source.count(layer) for layer in layers}
        minx, miny, maxx, maxy = shapely.bounds(self.area).tolist()
        return {layer: self.source.many(layer, (minx, miny, maxx, maxy), 10**9) for layer in layers}

    def _deferred_sentences(self) -> tuple[str, ...]:
        return tuple(f"{key} judges the whole city only, not an area" for key in sorted(self.deferred))
