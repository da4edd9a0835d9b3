"""An edit is judged at once, in its own transaction: only what it can affect (gis.checks.concern).

Features are read from the transaction, so that what is judged is what will be committed. What cannot be
judged at once is left to the next run, by name (bandoso.check_due).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import batched
from typing import Any

import psycopg

from gis.checks.concern import Change, Concern, Known, Plan, boxes_of, known_of, merged, plan_of
from gis.checks.dbsource import DatabaseSource
from gis.checks.encode import PORTION
from gis.checks.findings import needs_of
from gis.checks.locks import hold_ground, try_hold_together
from gis.checks.model import Application, Finding
from gis.checks.recover import unexamined_key
from gis.checks.registry import rules
from gis.checks.source import Box
from gis.checks.store import Store
from gis.checks.whole import Deferred, Whole
from gis.checks.window import Setting, Window, grown
from gis.db.connect import connect
from gis.db.server import Database

#: Features in a window up to which an edit is judged at once; what is more is left to the next run.
MOST_FEATURES = 5_000
#: Ground (m) around a change that is held first, and how often it is tried to hold all of it.
_AROUND_M, _TRIES = 64.0, 5
#: Windows up to this (m) are not counted beforehand.
SMALL_M = 300.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recheck:
    """What an edit did to the findings.

    ``rejecting``: new findings about changed features whose rule may not be broken by an edit: the caller
    rolls back and shows them. ``deferred``: applications (Application.key) that a later run has to judge.
    """

    new: tuple[Finding, ...] = ()
    again: int = 0
    mended: tuple[str, ...] = ()
    rejecting: tuple[Finding, ...] = ()
    deferred: tuple[str, ...] = ()


def recheck(
    connection: psycopg.Connection[Any],
    setting: Setting,
    changes: Sequence[Change],
    apps: Sequence[Application] | None = None,
) -> Recheck:
    """Judge what ``changes``, made before in the same transaction, can affect, and update the findings in it.

    ``connection``: READ COMMITTED, in a transaction, with the owner's rights while this runs (restricted
    layers are read, findings written). ``apps``: default all of the catalogue. Waits for edits beside this
    one; never for a run, to which it leaves its windows. Raises psycopg.Error.
    """
    if not changes:
        return Recheck()
    known = known_of(setting)
    edit = _Edit(connection, setting, known)
    chosen = known.concerned(changes) if apps is None else [Concern.of(app, setting) for app in apps]
    plan = edit.planned(chosen, changes)
    writes = try_hold_together(connection)
    fids = _fids(changes)
    edit.judge(plan, fids)
    result = edit.settle(fids, write=writes)
    edit.note(fids, judged=writes)
    return result


def clear_due(db: Database, setting: Setting) -> int:
    """Judge the windows that edits left while a run was writing; gives how many were judged."""
    with connect(db.owner_dsn, autocommit=False) as connection:
        rows = connection.execute(
            "SELECT app, minx, miny, maxx, maxy FROM bandoso.check_due WHERE minx IS NOT NULL LIMIT 1000"
        ).fetchall()
        if not rows:
            return 0
        known = known_of(setting)
        by_key = {one.app.key: one.app for one in known.concerns}
        hold_ground(connection, [tuple(row[1:]) for row in rows])
        if not try_hold_together(connection):
            return 0
        edit = _Edit(connection, setting, known)
        groups: dict[str, list[Box]] = {}
        for key, *box in rows:
            groups.setdefault(key, []).append((box[0], box[1], box[2], box[3]))
        plan = Plan(groups=[([by_key[k]], merged(b)) for k, b in groups.items() if k in by_key])
        edit.judge(plan, {})
        edit.settle({}, write=True)
        edit.note({}, judged=True)
        connection.execute(
            "DELETE FROM bandoso.check_due AS d USING"
            " unnest(%s::text[], %s::float8[], %s::float8[], %s::float8[], %s::float8[])"
            " AS t (app, minx, miny, maxx, maxy) WHERE d.app = t.app AND d.minx = t.minx AND d.miny = t.miny"
            " AND d.maxx = t.maxx AND d.maxy = t.maxy",
            [list(column) for column in zip(*rows, strict=True)],
        )
        connection.commit()
        return len(rows)


class _Edit:
    """One judging of windows in the caller's transaction."""

    def __init__(self, connection: psycopg.Connection[Any], setting: Setting, known: Known) -> None:
        self._connection, self._setting, self._encoder = connection, setting, known.encoder
        srid = setting.city.crs.storage
        self._source = DatabaseSource(connection, setting.catalogue, srid, known.queries)
        self._store = Store(connection, setting.catalogue)
        self._found: list[tuple[str, Finding]] = []
        self._deferred: dict[str, list[Box] | None] = {}
        #: Windows judged, and global applications that judged the changed features.
        self._judged: list[tuple[list[str], Box]] = []
        self._looked: list[str] = []

    def planned(self, concerns: Sequence[Concern], changes: Sequence[Change]) -> Plan:
        """The plan, with its ground held.

        The ground around the changes comes first, so that nobody else moves a neighbour while windows are
        made of it. What the windows need beyond is only tried: edits at both ends of a long line would wait
        for each other. When it fails, everything is let go, and all of it taken in order.
        """
        around = [grown(box, _AROUND_M) for change in changes for box in boxes_of(change)]
        for _ in range(_TRIES):
            with self._connection.transaction() as savepoint:
                hold_ground(self._connection, around)
                plan = plan_of(self._source, concerns, changes)
                if hold_ground(self._connection, plan.boxes(), wait=False):
                    return plan
                around += plan.boxes()
                raise psycopg.Rollback(savepoint)
        raise psycopg.errors.LockNotAvailable("other edits keep this ground busy")

    def judge(self, plan: Plan, fids: Mapping[str, frozenset[int]]) -> None:
        """Collect the findings of all windows; what would take too long is deferred."""
        deadly = self._unexamined() if plan.groups else {}
        for apps, boxes in plan.groups:
            for box in boxes:
                safe = [app for app in apps if not _holds(box, deadly.get(unexamined_key(app.key), ()))]
                self._defer([app for app in apps if app not in safe], None)
                needs = needs_of(safe, self._setting.catalogue)
                if self._too_many({need.layer for need in needs}, box):
                    self._defer(safe, box)
                    continue
                window = Window(box, self._source, self._setting, needs)
                keys = [app.key for app in safe if self._take(app, _owned(window, app))]
                self._judged.append((keys, box))
        whole = Whole(self._source, self._setting, fids)
        for app in plan.globals:
            if self._take(app, _of_whole(whole, app)):
                self._looked.append(app.key)
                if app.network:
                    # What hung on a line that was moved, closed or removed may be anywhere.
                    self._defer([app], None)

    def _take(self, app: Application, findings: Iterable[Finding]) -> bool:
        """Collect them; False when the rule leaves it to a run, or fails: no edit shall fail by that."""
        try:
            found = [(app.key, one) for one in findings]
        except Deferred:
            self._defer([app], None)
            return False
        except (psycopg.Error, MemoryError):
            raise
        except Exception:
            log.exception("%s failed on an edit and is left to the next run", app.key)
            self._defer([app], None)
            return False
        self._found += found
        return True

    def _defer(self, apps: Iterable[Application], box: Box | None) -> None:
        """Leave applications to the next run, on a window or (None) everywhere."""
        for app in apps:
            boxes = self._deferred.setdefault(app.key, [])
            if box is None:
                self._deferred[app.key] = None
            elif boxes is not None:
                boxes.append(box)

    def settle(self, fids: Mapping[str, frozenset[int]], *, write: bool) -> Recheck:
        """Compare with the stored findings, and write what changed."""
        store, execute = self._store, self._connection.execute
        about = _about(fids)
        deferred = tuple(sorted(self._deferred))
        if not self._found and not store.any_known(self._judged, self._looked, about):
            return Recheck(deferred=deferred)
        store.begin()
        for portion in batched(self._found, PORTION):
            store.stage(self._encoder.rows(0, portion))
        # Two dozen short statements: what takes time is waiting for the answer of each.
        with self._connection.pipeline():
            store.look_in_boxes(self._judged)
            if self._looked:
                store.look_at_features(self._looked, about)
            store.judge(self._setting.today, large=False)
            # Rows are numbered in the order in which they were staged.
            judged = execute("SELECT news FROM pg_temp.judged ORDER BY n")
            gone = execute("SELECT id FROM pg_temp.gone ORDER BY id")
            if write:
                store.write(None, datetime.now(UTC))
            news = [row[0] for row in judged.fetchall()]
            mended = tuple(row[0] for row in gone.fetchall())
        new = tuple(found for (_, found), kind in zip(self._found, news, strict=True) if kind == "new")
        return Recheck(
            new=new,
            again=len(news) - len(new),
            mended=mended,
            rejecting=tuple(one for one in new if one.reject and _names(one, fids)),
            deferred=deferred,
        )

    def note(self, fids: Mapping[str, frozenset[int]], *, judged: bool) -> None:
        """Tell runs what was judged here, or (not ``judged``: a run is writing) what is left to them."""
        due: list[tuple[str, Box | None]] = [
            (key, box)
            for key, boxes in self._deferred.items()
            for box in ([None] if boxes is None else boxes)
        ]
        if judged:
            rows: list[tuple[Any, ...]] = [(keys, *box, None) for keys, box in self._judged]
            if self._looked:
                rows.append((self._looked, None, None, None, None, _about(fids)))
            with self._connection.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO bandoso.check_edit (apps, minx, miny, maxx, maxy, about)"
                    " VALUES (%s, %s, %s, %s, %s, %s)",
                    rows,
                )
        else:
            due += [(key, box) for keys, box in self._judged for key in keys]
            due += [(key, None) for key in self._looked]
        if due:
            with self._connection.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO bandoso.check_due (app, minx, miny, maxx, maxy) VALUES (%s, %s, %s, %s, %s)",
                    [(key, *(box or (None,) * 4)) for key, box in due],
                )

    def _unexamined(self) -> dict[str, list[tuple[float, float]]]:
        """Anchors of features that end the program that judges them (by unexamined_key): no edit may try."""
        rows = self._connection.execute(
            "SELECT app, ax, ay FROM bandoso.finding_key WHERE app LIKE '%!'"
        ).fetchall()
        found: dict[str, list[tuple[float, float]]] = {}
        for key, x, y in rows:
            found.setdefault(key, []).append((x, y))
        return found

    def _too_many(self, layers: Iterable[str], box: Box) -> bool:
        if max(box[2] - box[0], box[3] - box[1]) <= SMALL_M:
            return False
        left = MOST_FEATURES
        for layer in layers:
            left -= self._source.many(layer, box, left + 1)
            if left < 0:
                return True
        return False


def _owned(window: Window, app: Application) -> Iterator[Finding]:
    for one in rules()[app.rule.id].run(window, app):
        if window.owns_point(*one.anchor):
            yield one


def _of_whole(whole: Whole, app: Application) -> Iterator[Finding]:
    yield from rules()[app.rule.id].run(whole, app)


def _holds(box: Box, points: Iterable[tuple[float, float]]) -> bool:
    return any(box[0] <= x < box[2] and box[1] <= y < box[3] for x, y in points)


def _fids(changes: Iterable[Change]) -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = {}
    for change in changes:
        found.setdefault(change.layer, set()).add(change.fid)
    return {layer: frozenset(fids) for layer, fids in found.items()}


def _about(fids: Mapping[str, frozenset[int]]) -> list[str]:
    return [f"{layer}/{fid}" for layer, some in fids.items() for fid in sorted(some)]


def _names(found: Finding, fids: Mapping[str, frozenset[int]]) -> bool:
    return any(ref.fid in fids.get(ref.layer, ()) for ref in found.features)
