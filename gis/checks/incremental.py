"""An edit is judged at once, in its own transaction: only what it can affect (gis.checks.concern).

Features are read from the transaction, so that what is judged is what will be committed. What cannot be
judged at once is left to the next run, by name (bandoso.check_due).

What takes time is not geometry but the number of questions: everything an edit asks is sent at once (pipeline
mode), and a sound edit of one feature needs one answer and one row (bandoso.check_edit).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import batched
from typing import Any

import psycopg

from gis.checks.concern import Change, Concern, Known, Lonely, Plan, known_of, made_of, merged, plan_of
from gis.checks.dbsource import DatabaseSource
from gis.checks.encode import PORTION
from gis.checks.features import Features
from gis.checks.findings import needs_of
from gis.checks.locks import TRY_HOLD_TOGETHER, hold_ground
from gis.checks.model import Application, Finding
from gis.checks.recover import unexamined_key
from gis.checks.registry import rules
from gis.checks.source import NOWHERE, Box, empty
from gis.checks.store import Store
from gis.checks.whole import Deferred, Whole
from gis.checks.window import Setting, Window, grown
from gis.db.connect import connect
from gis.db.server import Database

#: Features in a window up to which an edit is judged at once; what is more is left to the next run.
MOST_FEATURES = 5_000
#: Windows up to this (m) are not counted beforehand.
SMALL_M = 300.0
#: Ground (m) around a change that nobody else judges meanwhile: all windows lie in it, but those of rules
#: that count neighbours far around (GEN-08), for which nobody shall wait.
_HELD_M = 64.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recheck:
    """What an edit did to the findings.

    ``new``: findings that were not known before, ``apps``: the application (Application.key) of each.
    ``again``: how many were. ``rejecting``: those of ``new`` about changed features whose application may not
    be broken by an edit (Application.refuses). ``deferred``: applications that a later run has to judge.
    """

    new: tuple[Finding, ...] = ()
    apps: tuple[str, ...] = ()
    again: int = 0
    mended: tuple[str, ...] = ()
    rejecting: tuple[Finding, ...] = ()
    deferred: tuple[str, ...] = ()


def recheck(
    connection: psycopg.Connection[Any],
    setting: Setting,
    changes: Sequence[Change],
    apps: Sequence[Application] | None = None,
    *,
    stepwise: bool = False,
) -> Recheck:
    """Judge what ``changes``, made before in the same transaction, can affect, and update the findings in it.

    ``connection``: READ COMMITTED, in a transaction, in role bandoso_checker or with the owner's rights while
    this runs (restricted layers are read, findings written). ``apps``: default all of the catalogue.
    ``stepwise``: the edit is one request of several that belong together (Rule.awaits). Waits for edits
    beside this one; never for a run, to which it leaves its windows. Raises psycopg.Error.
    """
    if not changes:
        return Recheck()
    known = known_of(setting)
    if apps is not None:
        known = made_of(setting, [Concern.of(app, setting) for app in apps])
    edit = _Edit(connection, setting, known)
    plan = plan_of(known, edit.source, changes)
    writes = edit.judge(plan, changes)
    result = edit.settle(_fids(changes), write=writes, stepwise=stepwise)
    edit.note(judged=writes)
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
        edit = _Edit(connection, setting, known)
        groups: dict[str, list[Box]] = {}
        for key, *box in rows:
            groups.setdefault(key, []).append((box[0], box[1], box[2], box[3]))
        plan = Plan([([known.by_key[k]], merged(b)) for k, b in groups.items() if k in known.by_key])
        if not edit.judge(plan, ()):
            return 0
        edit.settle({}, write=True)
        edit.note(judged=True)
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
        self._connection, self._setting, self._known = connection, setting, known
        self.source = DatabaseSource(connection, setting.catalogue, setting.city.crs.storage, known.queries)
        self._store = Store(connection, setting.catalogue)
        self._found: list[tuple[str, Finding]] = []
        self._deferred: dict[str, list[Box] | None] = {}
        #: What was judged: applications in windows, and applications about features (layer/fid).
        self._judged: list[tuple[list[str], Box]] = []
        self._looked: list[tuple[list[str], list[str]]] = []
        #: Whether stored findings have to be compared.
        self._known_in_windows, self._standing = False, frozenset[str]()

    def judge(self, plan: Plan, changes: Sequence[Change]) -> bool:
        """Collect the findings of a plan; what would take too long is deferred. Gives whether findings may be
        written: not while a run writes."""
        windows = list(self._windows(plan))
        about = [f"{change.layer}/{change.fid}" for change in changes]
        boxes = [([app.key for app in apps], window.box) for apps, window in windows]
        held = [grown(box, _HELD_M) for change in changes for box in change.boxes()]
        with self._connection.pipeline():
            if plan.groups or plan.globals:
                hold_ground(self._connection, held or plan.boxes())
            together = self._connection.execute(TRY_HOLD_TOGETHER)
            known = self._store.known_before(boxes, about)
            quiet = [self._asked(apps, window) for apps, window in windows]
            for _, window in windows:
                self.source.ask(window.wants())
            lonely = [self._lonely(one) for one in plan.lonely]
            row = together.fetchone()
            writes = bool(row and row[0])
            row = known.fetchone()
            assert row is not None
            self._known_in_windows, self._standing = row[0], frozenset(row[1] or ())
            deadly = _unexamined(row[2] or ())
            silent = [{key for key, one in asked.items() if not _any(one)} for asked in quiet]
            for picked in lonely:
                picked.read()
        for one in lonely:
            self._judge_lonely(one, deadly)
        for (apps, window), quietly in zip(windows, silent, strict=True):
            self._judge_window(apps, window, quietly, deadly)
        self._judge_whole(plan, windows, changes)
        if self._standing and changes:
            self._judge_standing(changes, deadly)
        return writes

    def _windows(self, plan: Plan) -> Iterator[tuple[list[Application], Window]]:
        for apps, boxes in plan.groups:
            needs = needs_of(apps, self._setting.catalogue)
            for box in boxes:
                if self._too_many({need.layer for need in needs}, box):
                    self._defer(apps, box)
                else:
                    yield apps, Window(box, self.source, self._setting, needs)

    def _asked(self, apps: Sequence[Application], window: Window) -> dict[str, list[psycopg.Cursor[Any]]]:
        """Whether there is anything that those can find that only judge certain features."""
        found = {}
        for app in apps:
            only = rules()[app.rule.id].only
            if only is not None:
                found[app.key] = [self.source.any_in(layer, window.box, only) for layer in app.layers]
        return found

    def _judge_window(
        self,
        apps: Sequence[Application],
        window: Window,
        silent: set[str],
        deadly: Mapping[str, Sequence[tuple[float, float]]],
    ) -> None:
        safe = self._safe(apps, window.box, deadly)
        keys = [a.key for a in safe if a.key in silent or self._take(a, _owned(window, a))]
        self._judged.append((keys, window.box))

    def _safe(
        self, apps: Iterable[Application], box: Box, deadly: Mapping[str, Sequence[tuple[float, float]]]
    ) -> list[Application]:
        """Those that no feature in the box ends; the others are deferred."""
        safe = []
        for app in apps:
            if deadly and _holds(box, deadly.get(unexamined_key(app.key), ())):
                self._defer([app], None)
            else:
                safe.append(app)
        return safe

    def _lonely(self, one: Lonely) -> _Picked:
        """Send for what stands of the features, and for what the rules read beside them."""
        catalogue = self._setting.catalogue
        needs = needs_of(one.apps, catalogue)
        columns = tuple(dict.fromkeys(c for n in needs if n.layer == one.layer for c in n.columns))
        box = _around(one.changes)
        others = {n.layer for n in needs if n.layer != one.layer and n.alone}
        given = {layer: empty(catalogue.layers[layer], _columns(needs, layer)) for layer in others}
        left = [change.fid for change in one.changes if change.new is not None]
        features = self.source.picked(one.layer, left, columns) if left else None
        # The features themselves are given when they have come.
        window = Window(box, self.source, self._setting, needs, given)
        if features is not None:
            self.source.ask(want for want in window.wants() if want[0] != one.layer)
        return _Picked(one, window, features)

    def _judge_lonely(self, picked: _Picked, deadly: Mapping[str, Sequence[tuple[float, float]]]) -> None:
        window, about = picked.window, [f"{c.layer}/{c.fid}" for c in picked.lonely.changes]
        safe = self._safe(picked.lonely.apps, window.box, deadly)
        if picked.found is not None and len(picked.found):
            window.give(picked.found)
            safe = [app for app in safe if self._take(app, _found(window, app))]
        self._looked.append(([app.key for app in safe], about))

    def _judge_whole(
        self, plan: Plan, windows: Sequence[tuple[list[Application], Window]], changes: Sequence[Change]
    ) -> None:
        wholes: dict[Any, Whole] = {}
        for app, fids in plan.globals:
            if self._is_steady(app, fids, windows, changes):
                continue
            key = tuple(fids.items())
            whole = wholes.setdefault(key, Whole(self.source, self._setting, fids))
            if self._take(app, _found(whole, app)):
                self._looked.append(([app.key], [f"{n}/{fid}" for n, some in fids.items() for fid in some]))
                if app.network:
                    # What hung on a line that was moved, closed or removed may be anywhere.
                    self._defer([app], None)

    def _is_steady(
        self,
        app: Application,
        fids: Mapping[str, frozenset[int]],
        windows: Iterable[tuple[list[Application], Window]],
        changes: Iterable[Change],
    ) -> bool:
        """Whether it is sure that the geometry that changed leaves the findings of a network as they are."""
        steady = rules()[app.rule.id].steady
        if steady is None or app.key in self._standing:
            return False
        mine = [change for change in changes if change.fid in fids.get(change.layer, ())]
        if any(self._known.reads_of(app, change) for change in mine):
            return False
        boxes = [box for change in mine for box in change.boxes()]
        for apps, window in windows:
            # One that the network's own rules have read.
            if any(other.network == app.network for other in apps) and all(
                _within(box, window.box) for box in boxes
            ):
                return steady(window, app, mine)
        return False

    def _judge_standing(
        self, changes: Sequence[Change], deadly: Mapping[str, Sequence[tuple[float, float]]]
    ) -> None:
        """Findings that have nothing to do with geometry move along with features whose geometry changed."""
        plan = plan_of(self._known, self.source, changes, self._standing)
        for one in plan.lonely:
            picked = self._lonely(one)
            picked.read()
            self._judge_lonely(picked, deadly)
        for apps, window in self._windows(plan):
            self._judge_window(apps, window, set(), deadly)
            self._known_in_windows = True
        self._judge_whole(plan, [], changes)

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

    def settle(self, fids: Mapping[str, frozenset[int]], *, write: bool, stepwise: bool = False) -> Recheck:
        """Compare with the stored findings, and write what changed."""
        store, execute = self._store, self._connection.execute
        deferred = tuple(sorted(self._deferred))
        looked = [(keys, about) for keys, about in self._looked if not self._standing.isdisjoint(keys)]
        if not self._found and not self._known_in_windows and not looked:
            return Recheck(deferred=deferred)
        store.begin()
        for portion in batched(self._found, PORTION):
            store.stage(self._known.encoder.rows(0, portion))
        # Two dozen short statements: what takes time is waiting for the answer of each.
        with self._connection.pipeline():
            store.look_in_boxes(self._judged)
            for keys, about in looked:
                store.look_at_features(keys, about)
            store.judge(self._setting.today, large=False)
            # Rows are numbered in the order in which they were staged.
            judged = execute("SELECT news FROM pg_temp.judged ORDER BY n")
            gone = execute("SELECT id FROM pg_temp.gone ORDER BY id")
            if write:
                store.write(None, datetime.now(UTC))
            news = [row[0] for row in judged.fetchall()]
            mended = tuple(row[0] for row in gone.fetchall())
        new = [one for one, kind in zip(self._found, news, strict=True) if kind == "new"]
        return Recheck(
            new=tuple(found for _, found in new),
            apps=tuple(key for key, _ in new),
            again=len(news) - len(new),
            mended=mended,
            rejecting=tuple(
                found
                for key, found in new
                if _names(found, fids) and self._known.by_key[key].refuses(found.severity, stepwise=stepwise)
            ),
            deferred=deferred,
        )

    def note(self, *, judged: bool) -> None:
        """Tell runs what was judged here, or (not ``judged``: a run is writing) what is left to them."""
        due: list[tuple[str, Box | None]] = [
            (key, box)
            for key, boxes in self._deferred.items()
            for box in ([None] if boxes is None else boxes)
        ]
        if judged:
            rows: list[tuple[Any, ...]] = [(keys, *box, None) for keys, box in self._judged if keys]
            rows += [(keys, None, None, None, None, about) for keys, about in self._looked if keys]
            if rows:
                self._insert("check_edit (apps, minx, miny, maxx, maxy, about)", rows)
        else:
            due += [(key, box) for keys, box in self._judged for key in keys]
            due += [(key, None) for keys, _ in self._looked for key in keys]
        if due:
            unique = dict.fromkeys(due)
            self._insert(
                "check_due (app, minx, miny, maxx, maxy)", [(k, *(box or (None,) * 4)) for k, box in unique]
            )

    def _insert(self, into: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Few rows in one statement, which a later edit finds prepared."""
        places = f"({', '.join(['%s'] * len(rows[0]))})"
        insert = f"INSERT INTO bandoso.{into} VALUES "  # noqa: S608 - ours
        for some in batched(rows, 8):
            values = [value for row in some for value in row]
            self._connection.execute((insert + ", ".join([places] * len(some))).encode(), values)

    def _too_many(self, layers: Iterable[str], box: Box) -> bool:
        if max(box[2] - box[0], box[3] - box[1]) <= SMALL_M:
            return False
        left = MOST_FEATURES
        for layer in layers:
            left -= self.source.many(layer, box, left + 1)
            if left < 0:
                return True
        return False


@dataclass
class _Picked:
    """Features that are judged alone, on their way."""

    lonely: Lonely
    window: Window
    pending: Any
    found: Features | None = None

    def read(self) -> None:
        """Take what came."""
        self.found = None if self.pending is None else self.pending()


def _any(cursors: Iterable[psycopg.Cursor[Any]]) -> bool:
    """Whether one of the questions is answered by yes."""
    return any(bool((cursor.fetchone() or (False,))[0]) for cursor in cursors)


def _owned(window: Window, app: Application) -> Iterator[Finding]:
    for one in rules()[app.rule.id].run(window, app):
        if window.owns_point(*one.anchor):
            yield one


def _found(where: Window | Whole, app: Application) -> Iterator[Finding]:
    yield from rules()[app.rule.id].run(where, app)


def _unexamined(texts: Iterable[str | None]) -> dict[str, list[tuple[float, float]]]:
    """Anchors of features that end the program that judges them (by unexamined_key): no edit may try."""
    found: dict[str, list[tuple[float, float]]] = {}
    for text in texts:
        if text is not None:
            key, x, y = text.rsplit(" ", 2)
            found.setdefault(key, []).append((float(x), float(y)))
    return found


def _around(changes: Iterable[Change]) -> Box:
    """A box around all changes."""
    boxes = [box for change in changes for box in change.boxes()]
    if not boxes:
        return NOWHERE
    west, south, east, north = zip(*boxes, strict=True)
    return min(west) - 1.0, min(south) - 1.0, max(east) + 1.0, max(north) + 1.0


def _within(box: Box, around: Box) -> bool:
    return box[0] >= around[0] and box[1] >= around[1] and box[2] <= around[2] and box[3] <= around[3]


def _columns(needs: Iterable[Any], layer: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(c for need in needs if need.layer == layer for c in need.columns))


def _holds(box: Box, points: Iterable[tuple[float, float]]) -> bool:
    return any(box[0] <= x < box[2] and box[1] <= y < box[3] for x, y in points)


def _fids(changes: Iterable[Change]) -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = {}
    for change in changes:
        found.setdefault(change.layer, set()).add(change.fid)
    return {layer: frozenset(fids) for layer, fids in found.items()}


def _names(found: Finding, fids: Mapping[str, frozenset[int]]) -> bool:
    return any(ref.fid in fids.get(ref.layer, ()) for ref in found.features)
