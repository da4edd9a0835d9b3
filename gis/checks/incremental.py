"""An edit is judged at once, in its own transaction: only what it can affect, with all rules that concern it.

Which findings can a changed feature C affect? By the contract of local rules (gis.checks.window) whatever
decides a finding lies within the rule's reach of the anchor, or of a judged feature whose box, grown by the
reach, holds the anchor. So all such anchors are in the box of C grown by the reach, or in the boxes, grown
likewise, of the judged features that C is in reach of: these are the windows of an edit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import batched
from typing import Any

import numpy as np
import psycopg
import shapely

from gis.checks.dbsource import DatabaseSource
from gis.checks.encode import PORTION, Encoder
from gis.checks.findings import needs_of
from gis.checks.locks import hold_ground, try_hold_together
from gis.checks.model import Application, Finding
from gis.checks.registry import applications, rules
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
#: Reaches up to this (m) are made equal.
_SHORT_M = 8.0
#: Windows smaller than this (m) are not counted beforehand, and so many boxes are merged one by one.
_SMALL_M, _MOST_BOXES = 300.0, 400


@dataclass(frozen=True)
class Change:
    """A feature that an edit made (``old`` None), changed, or took away (``new`` None); storage CRS."""

    layer: str
    fid: int
    old: shapely.Geometry | None
    new: shapely.Geometry | None


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


@dataclass
class Plan:
    """Windows of an edit: applications that judge the same boxes, and those that judge the whole."""

    groups: list[tuple[list[Application], list[Box]]] = field(default_factory=list)
    globals: list[Application] = field(default_factory=list)

    def boxes(self) -> Iterator[Box]:
        for _, some in self.groups:
            yield from some


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
    known = _known(setting)
    edit = _Edit(connection, setting, known)
    chosen = known.concerned(changes) if apps is None else [_Concern.of(app, setting) for app in apps]
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
        known = _known(setting)
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

    def __init__(self, connection: psycopg.Connection[Any], setting: Setting, known: _Known) -> None:
        self._connection, self._setting, self._encoder = connection, setting, known.encoder
        srid = setting.city.crs.storage
        self._source = DatabaseSource(connection, setting.catalogue, srid, known.queries)
        self._store = Store(connection, setting.catalogue)
        self._found: list[tuple[str, Finding]] = []
        self._deferred: dict[str, list[Box] | None] = {}
        #: Windows judged, and global applications that judged the changed features.
        self._judged: list[tuple[list[str], Box]] = []
        self._looked: list[str] = []

    def planned(self, concerns: Sequence[_Concern], changes: Sequence[Change]) -> Plan:
        """The plan, with its ground held.

        The ground around the changes comes first, so that nobody else moves a neighbour while windows are
        made of it. What the windows need beyond is only tried: edits at both ends of a long line would wait
        for each other. When it fails, everything is let go, and all of it taken in order.
        """
        around = [grown(box, _AROUND_M) for change in changes for box in _boxes_of(change)]
        for _ in range(_TRIES):
            with self._connection.transaction() as savepoint:
                hold_ground(self._connection, around)
                plan = self.plan(concerns, changes)
                if hold_ground(self._connection, plan.boxes(), wait=False):
                    return plan
                around += plan.boxes()
                raise psycopg.Rollback(savepoint)
        raise psycopg.errors.LockNotAvailable("other edits keep this ground busy")

    def plan(self, apps: Iterable[_Concern], changes: Sequence[Change]) -> Plan:
        """Which applications judge which windows."""
        plan = Plan()
        boxes: dict[str, list[Box]] = {}
        for change in changes:
            boxes.setdefault(change.layer, []).extend(_boxes_of(change))
        groups: dict[Any, list[Application]] = {}
        for concern in apps:
            moved = concern.reads.keys() & boxes.keys()
            if not moved:
                continue
            if concern.app.rule.scope == "global":
                plan.globals.append(concern.app)
                continue
            near = tuple(sorted((layer, concern.reads[layer]) for layer in moved))
            groups.setdefault((concern.app.layers, near, concern.reach), []).append(concern.app)
        known: dict[tuple[str, Box], list[Box]] = {}
        for (judged, moved, reach), some in groups.items():
            around = merged(grown(box, by) for layer, by in moved for box in boxes[layer])
            windows = list(around)
            for box in around:
                for layer in judged:
                    if (layer, box) not in known:
                        known[layer, box] = self._source.boxes(layer, box)
                    windows += [grown(found, reach) for found in known[layer, box]]
            # The east and north sides of a window are not its own.
            plan.groups.append((some, merged(grown(window, 0.001) for window in windows)))
        return plan

    def judge(self, plan: Plan, fids: Mapping[str, frozenset[int]]) -> None:
        """Collect the findings of all windows; what would take too long is deferred."""
        for apps, boxes in plan.groups:
            needs = needs_of(apps, self._setting.catalogue)
            for box in boxes:
                if self._too_many({need.layer for need in needs}, box):
                    for app in apps:
                        known = self._deferred.setdefault(app.key, [])
                        if known is not None:
                            known.append(box)
                    continue
                self._judged.append(([app.key for app in apps], box))
                window = Window(box, self._source, self._setting, needs)
                for app in apps:
                    self._found += [
                        (app.key, found)
                        for found in rules()[app.rule.id].run(window, app)
                        if window.owns_point(*found.anchor)
                    ]
        whole = Whole(self._source, self._setting, fids)
        for app in plan.globals:
            try:
                found = [(app.key, one) for one in rules()[app.rule.id].run(whole, app)]
            except Deferred:
                self._deferred[app.key] = None
            else:
                self._found += found
                self._looked.append(app.key)

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
                    "INSERT INTO bandoso.check_due (app, minx, miny, maxx, maxy) VALUES (%s, %s, %s, %s, %s)"
                    " ON CONFLICT (app) WHERE minx IS NULL DO UPDATE SET xid = excluded.xid",
                    [(key, *(box or (None,) * 4)) for key, box in due],
                )

    def _too_many(self, layers: Iterable[str], box: Box) -> bool:
        if box[2] - box[0] <= _SMALL_M and box[3] - box[1] <= _SMALL_M:
            return False
        left = MOST_FEATURES
        for layer in layers:
            left -= self._source.many(layer, box, left + 1)
            if left < 0:
                return True
        return False


@dataclass(frozen=True)
class _Concern:
    """An application, the layers that it reads, how far (m) around its window, and around what it judges."""

    app: Application
    reads: Mapping[str, float]
    reach: float

    @classmethod
    def of(cls, app: Application, setting: Setting) -> _Concern:
        if app.rule.scope == "global":
            return cls(app, dict.fromkeys((*app.layers, *app.against), 0.0), 0.0)
        reads = dict.fromkeys(app.layers, 0.0)
        for need in needs_of([app], setting.catalogue):
            reads[need.layer] = max(reads.get(need.layer, 0.0), _rounded(need.reach))
        return cls(app, reads, max(reads[layer] for layer in app.layers))


@dataclass(frozen=True)
class _Known:
    """What edits of one catalogue share. ``by_layer``: the applications that read each layer."""

    setting: Setting
    encoder: Encoder
    concerns: tuple[_Concern, ...]
    by_layer: Mapping[str, tuple[_Concern, ...]]
    #: Statements of DatabaseSource.
    queries: dict[Any, Any] = field(default_factory=dict)

    def concerned(self, changes: Iterable[Change]) -> list[_Concern]:
        """The applications that a change of these layers can matter to, each once."""
        layers = dict.fromkeys(change.layer for change in changes)
        found = {id(one): one for layer in layers for one in self.by_layer.get(layer, ())}
        return list(found.values())


_LAST: list[_Known] = []


def _known(setting: Setting) -> _Known:
    """Of the last catalogue, since a server has one until its layer files change."""
    if (
        not _LAST
        or _LAST[0].setting.catalogue is not setting.catalogue
        or _LAST[0].setting.city != setting.city
    ):
        concerns = tuple(_Concern.of(app, setting) for app in applications(setting.catalogue))
        by_layer: dict[str, list[_Concern]] = {}
        for one in concerns:
            for layer in one.reads:
                by_layer.setdefault(layer, []).append(one)
        frozen = {layer: tuple(some) for layer, some in by_layer.items()}
        _LAST[:] = [_Known(setting, Encoder(setting), concerns, frozen)]
    return _LAST[0]


def merged(boxes: Iterable[Box]) -> list[Box]:
    """Boxes that cover the given ones and do not meet each other."""
    found: list[Box] = []
    waiting = list(dict.fromkeys(boxes))
    if len(waiting) > _MOST_BOXES:
        corners = np.array(waiting)
        low, high = corners[:, :2].min(axis=0).tolist(), corners[:, 2:].max(axis=0).tolist()
        return [(low[0], low[1], high[0], high[1])]
    while waiting:
        box = waiting.pop()
        for other in found:
            if box[0] <= other[2] and box[2] >= other[0] and box[1] <= other[3] and box[3] >= other[1]:
                found.remove(other)
                waiting.append(
                    (
                        min(box[0], other[0]),
                        min(box[1], other[1]),
                        max(box[2], other[2]),
                        max(box[3], other[3]),
                    )
                )
                break
        else:
            found.append(box)
    return sorted(found)


def _boxes_of(change: Change) -> Iterator[Box]:
    for shape in (change.old, change.new):
        if shape is not None and not shape.is_empty:
            minx, miny, maxx, maxy = shape.bounds
            yield minx, miny, maxx, maxy


def _fids(changes: Iterable[Change]) -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = {}
    for change in changes:
        found.setdefault(change.layer, set()).add(change.fid)
    return {layer: frozenset(fids) for layer, fids in found.items()}


def _about(fids: Mapping[str, frozenset[int]]) -> list[str]:
    return [f"{layer}/{fid}" for layer, some in fids.items() for fid in sorted(some)]


def _names(found: Finding, fids: Mapping[str, frozenset[int]]) -> bool:
    return any(ref.fid in fids.get(ref.layer, ()) for ref in found.features)


def _rounded(reach: float) -> float:
    """Short reaches are one, so that most rules of a layer share their windows."""
    return max(reach, _SHORT_M)
