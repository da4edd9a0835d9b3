"""What an edit can affect, judged on the connection of its transaction: windows, features alone, networks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from gis.checks.concern import Change, Known, Lonely, Paired, Plan, plan_of
from gis.checks.dbgather import Handle
from gis.checks.dbsource import DatabaseSource
from gis.checks.locks import hold
from gis.checks.model import Application, Finding
from gis.checks.recover import unexamined_key
from gis.checks.registry import Unsure, rules
from gis.checks.source import NOWHERE, Box
from gis.checks.store import Store
from gis.checks.whole import Deferred, Whole
from gis.checks.window import Setting, Window, grown

#: Features in a window up to which an edit is judged at once; what is more is left to the next run.
MOST_FEATURES = 5_000
#: Windows up to this (m) are not counted beforehand.
SMALL_M = 300.0
#: Ground (m) around a change that nobody else judges meanwhile: all windows lie in it, but those of rules
#: that count neighbours far around (GEN-08), for which nobody shall wait.
_HELD_M = 64.0

log = logging.getLogger(__name__)


class Judging:
    """One judging in the caller's transaction; what it found is kept for gis.checks.incremental."""

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
        self._asked_for: _Asked

    def ask(self, plan: Plan, changes: Sequence[Change]) -> None:
        """Send for all that a plan reads, in the caller's pipeline: ``judge`` takes the answers after it."""
        windows, paired = list(self._windows(plan)), [(one, self._pairs(one)) for one in plan.paired]
        others: list[list[Handle]] = []
        about = [f"{change.layer}/{change.fid}" for change in changes]
        boxes = [([app.key for app in apps], window.box) for apps, window in windows]
        held = [grown(box, _HELD_M) for change in changes for box in change.boxes()]
        near = (held or plan.boxes()) if plan.groups or plan.globals or paired else None
        together = hold(self._connection, near)
        known = self._store.known_before(boxes, about)
        quiet = [self._asked(apps, window) for apps, window in windows]
        for apps, window in windows:
            if not _may_be_silent(apps):
                self.source.ask(window.wants())
        for pairs, around in paired:
            others.append(self._others(pairs))
            if around is not None:
                self.source.ask(around.wants())
        lonely = [self._lonely(one) for one in plan.lonely]
        self.source.gathering.send()
        self._asked_for = _Asked(plan, changes, together, known, windows, quiet, paired, others, lonely)

    def judge(self) -> bool:
        """Collect the findings of what was asked for; what would take too long is deferred. Gives whether
        findings may be written: not while a run writes."""
        asked = self._asked_for
        writes = asked.together()
        row = asked.known.fetchone()
        assert row is not None
        self._known_in_windows, self._standing = row[0], frozenset(row[1] or ())
        deadly = _unexamined(row[2] or ())
        holds = self.source.gathering.holds
        for one in asked.lonely:
            self._judge_lonely(one, deadly)
        for (apps, window), some in zip(asked.windows, asked.quiet, strict=True):
            silent = {key for key, one in some.items() if not any(map(holds, one))}
            self._judge_window(apps, window, silent, deadly)
        for (pairs, around), handles in zip(asked.paired, asked.others, strict=True):
            self._judge_pairs(pairs, around, deadly, sure=not any(map(holds, handles)))
        self._judge_whole(asked.plan, asked.windows, asked.changes)
        if self._standing and asked.changes:
            self._judge_standing(asked.changes, deadly)
        return writes

    def _windows(self, plan: Plan) -> Iterator[tuple[list[Application], Window]]:
        for apps, boxes in plan.groups:
            needs = self._known.needs_of(apps)
            for box in boxes:
                # Of what is mostly silent nothing is read, nor counted, unless it is not.
                if not _may_be_silent(apps) and self._too_many({need.layer for need in needs}, box):
                    self._defer(apps, box)
                else:
                    yield apps, Window(box, self.source, self._setting, needs)

    def _asked(self, apps: Sequence[Application], window: Window) -> dict[str, list[Handle]]:
        """Whether there is anything that those can find that only judge certain features."""
        found = {}
        for app in apps:
            only = rules()[app.rule.id].only
            if only is not None:
                any_in = self.source.gathering.any_in
                found[app.key] = [any_in(layer, window.box, only) for layer in app.layers]
        return found

    def _judge_window(
        self,
        apps: Sequence[Application],
        window: Window,
        silent: set[str],
        deadly: Mapping[str, Sequence[tuple[float, float]]],
    ) -> None:
        if _may_be_silent(apps) and not silent.issuperset(app.key for app in apps):
            layers = {need.layer for need in self._known.needs_of(apps)}
            if self._too_many(layers, window.box):
                self._defer(apps, window.box)
                return
        safe = self._safe(apps, window.box, deadly)
        keys = [a.key for a in safe if a.key in silent or self._take(a, _owned(window, a))]
        self._judged.append((keys, window.box))

    def _others(self, one: Paired) -> list[Handle]:
        """Whether the change may matter to findings about others."""
        found = []
        for app in one.apps:
            about = rules()[app.rule.id].about
            asked = about.others(app, one.change) if about is not None and about.others is not None else None
            if asked is not None:
                any_in = self.source.gathering.any_in
                found += [any_in(layer, box, *asked) for layer in app.layers for box in one.windows]
        return found

    def _pairs(self, one: Paired) -> Window | None:
        """Around a feature, read no farther."""
        if one.box is None:
            return None
        return Window(one.box, self.source, self._setting, self._known.needs_of(one.apps).near)

    def _judge_pairs(
        self,
        one: Paired,
        window: Window | None,
        deadly: Mapping[str, Sequence[tuple[float, float]]],
        *,
        sure: bool,
    ) -> None:
        """A feature by what is said of it alone, and in full where that is not all that may have changed."""
        keys: list[str] = []
        left = [] if sure else list(one.apps)
        if sure and window is not None:
            for app in self._safe(one.apps, window.box, deadly):
                about = rules()[app.rule.id].about
                assert about is not None
                try:
                    if self._take(app, about.run(window, app, one.change)):
                        keys.append(app.key)
                except Unsure:
                    left.append(app)
        if keys:
            self._looked.append((keys, [f"{one.change.layer}/{one.change.fid}"]))
        if left:
            for apps, full in self._windows(Plan([(left, one.windows)])):
                self._judge_window(apps, full, set(), deadly)
                self._known_in_windows = True

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
        needs = self._known.needs_of(one.apps)
        columns = tuple(dict.fromkeys(c for n in needs if n.layer == one.layer for c in n.columns))
        box = _around(one.changes)
        others = {n.layer for n in needs if n.layer != one.layer and n.alone}
        given = {layer: self._known.none_of(layer, _columns(needs, layer)) for layer in others}
        left = [change.fid for change in one.changes if change.new is not None]
        # The features themselves are given when they have come.
        window = Window(box, self.source, self._setting, needs, given)
        if not left:
            return _Picked(one, window)
        features = self.source.gathering.picked(one.layer, left, columns)
        self.source.ask(want for want in window.wants() if want[0] != one.layer)
        return _Picked(one, window, features, columns)

    def _judge_lonely(self, picked: _Picked, deadly: Mapping[str, Sequence[tuple[float, float]]]) -> None:
        window, about = picked.window, [f"{c.layer}/{c.fid}" for c in picked.lonely.changes]
        safe = self._safe(picked.lonely.apps, window.box, deadly)
        layer = self._setting.catalogue.layers[picked.lonely.layer]
        found = (
            None
            if picked.handle is None
            else self.source.gathering.take(picked.handle, layer, picked.columns)
        )
        if found is not None and len(found):
            window.give(found)
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
            self._judge_lonely(self._lonely(one), deadly)
        groups = [*plan.groups, *((one.apps, one.windows) for one in plan.paired)]
        for apps, window in self._windows(Plan(groups)):
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
        except (psycopg.Error, MemoryError, Unsure):
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
    #: None: all of them are gone.
    handle: Handle | None = None
    columns: tuple[str, ...] = ()


@dataclass
class _Asked:
    """What was sent for a plan: answers, and handles of readings."""

    plan: Plan
    changes: Sequence[Change]
    together: Callable[[], bool]
    known: psycopg.Cursor[Any]
    windows: list[tuple[list[Application], Window]]
    #: For each window, what tells whether applications of few features have any in it.
    quiet: list[dict[str, list[Handle]]]
    paired: list[tuple[Paired, Window | None]]
    others: list[list[Handle]]
    lonely: list[_Picked]


def _may_be_silent(apps: Iterable[Application]) -> bool:
    """Whether all of them judge certain features only, of which there are mostly none."""
    return all(rules()[app.rule.id].only is not None for app in apps)


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
