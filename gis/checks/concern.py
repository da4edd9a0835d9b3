"""Which rules an edit concerns, and the windows in which it can have changed their findings.

Which findings can a changed feature C affect? By the contract of local rules (gis.checks.window) a finding is
the same in whatever window its anchor lies, the smallest one around the anchor too, and of that window only
what comes within the rule's reach is read. So all anchors that C matters to lie in the box of C grown by the
reach: this is the window of an edit. And where a rule judges each feature by itself (Need.alone), only C.

Of an edit that kept the geometry, rules are judged that read one of the changed attributes; of one that kept
the attributes, those that read geometry (Need.columns, Need.shape).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import shapely

from gis.checks.dbsource import DatabaseSource
from gis.checks.encode import Encoder
from gis.checks.features import Features
from gis.checks.findings import needs_of
from gis.checks.model import Application
from gis.checks.registry import NOTHING, applications, rules
from gis.checks.source import Box, empty
from gis.checks.window import Need, Needs, Setting, grown

#: Reaches up to this (m) are made equal, so that rules share their windows and what is read for them.
_SHORT_M = 6.5
#: So many boxes are merged one by one; more become one.
_MOST_BOXES = 400
#: What every finding shows of a feature, and what changes with every edit.
_ALWAYS, _STAMPED = frozenset({"asset_id", "owner"}), frozenset({"version", "updated_at"})


@dataclass(frozen=True)
class Change:
    """A feature that an edit made (``old`` None), changed, or took away (``new`` None); storage CRS.

    ``columns``: the attributes whose values changed; None: not known.
    """

    layer: str
    fid: int
    old: shapely.Geometry | None
    new: shapely.Geometry | None
    columns: frozenset[str] | None = None

    @cached_property
    def kind(self) -> tuple[bool, frozenset[str] | None]:
        """Whether its geometry is another, and which attributes are (None: perhaps all)."""
        if self.old is None or self.new is None:
            return True, None
        moved = self.old is not self.new and not shapely.equals_identical(self.old, self.new)
        return moved, None if self.columns is None or self.columns & _ALWAYS else self.columns | _STAMPED

    def boxes(self) -> tuple[Box, ...]:
        return self._boxes

    @cached_property
    def _boxes(self) -> tuple[Box, ...]:
        shapes = [shape for shape in (self.old, self.new) if shape is not None and not shape.is_empty]
        return tuple(dict.fromkeys(shape.bounds for shape in shapes))


@dataclass(frozen=True)
class Lonely:
    """Applications that judge features of a layer each by itself."""

    layer: str
    apps: list[Application]
    changes: list[Change]


@dataclass(frozen=True)
class Paired:
    """Applications that judge a changed feature by itself or the pairs that it is in (registry.About): all of
    that lies in ``box`` (None: nothing is said of it). ``windows``: where they judge it in full when they are
    not sure."""

    apps: list[Application]
    change: Change
    box: Box | None
    windows: list[Box]


@dataclass
class Plan:
    """Windows of an edit: applications that judge the same boxes; features that are judged alone, or by their
    pairs; and applications that judge the whole by the features (layer -> fids) that matter to them."""

    groups: list[tuple[list[Application], list[Box]]] = field(default_factory=list)
    lonely: list[Lonely] = field(default_factory=list)
    paired: list[Paired] = field(default_factory=list)
    globals: list[tuple[Application, dict[str, frozenset[int]]]] = field(default_factory=list)

    def boxes(self) -> Iterator[Box]:
        for _, some in self.groups:
            yield from some


@dataclass(frozen=True)
class Concern:
    """An application, and what of each layer decides its findings."""

    app: Application
    reads: Mapping[str, Need]

    @classmethod
    def of(cls, app: Application, setting: Setting) -> Concern:
        known = rules()[app.rule.id]
        needs = known.needs or known.decided
        reads: dict[str, Need] = {}
        for need in needs(app, setting.catalogue) if needs is not None else ():
            reads[need.layer] = _together(reads.get(need.layer), need)
        if app.rule.scope == "global" and needs is None:
            every = {layer: _everything(layer, setting) for layer in (*app.layers, *app.against)}
            return cls(app, every)
        return cls(app, reads)

    def matters(self, change: Change, standing: frozenset[str]) -> bool:
        """Whether the change can affect findings. ``standing``: applications with findings about it, which
        move with it."""
        moved, columns = change.kind
        need = self.reads[change.layer]
        if columns is None or not columns.isdisjoint(need.columns):
            return True
        return moved and (need.shape or self.app.key in standing)

    def is_lonely(self, layer: str) -> bool:
        return self.app.rule.scope == "local" and layer in self.app.layers and self.reads[layer].alone


def _everything(layer: str, setting: Setting) -> Need:
    return Need(layer, tuple(f.name for f in setting.catalogue.layers[layer].fields))


def _together(one: Need | None, other: Need) -> Need:
    """The needs of a layer that is asked for twice."""
    if one is None:
        return other
    return Need(
        one.layer,
        tuple(dict.fromkeys([*one.columns, *other.columns])),
        max(one.reach, other.reach),
        one.centred and other.centred,
        one.shape or other.shape,
        one.alone and other.alone,
    )


@dataclass(frozen=True)
class Known:
    """What edits of one catalogue share. ``by_layer``: the applications that read each layer."""

    setting: Setting
    encoder: Encoder
    concerns: tuple[Concern, ...]
    by_layer: Mapping[str, tuple[Concern, ...]]
    #: Statements of DatabaseSource, and what concerns a kind of change.
    queries: dict[Any, Any] = field(default_factory=dict)
    chosen: dict[Any, tuple[Concern, ...]] = field(default_factory=dict)
    needs: dict[Any, Needs] = field(default_factory=dict)
    nothing: dict[Any, Features] = field(default_factory=dict)

    def needs_of(self, apps: Sequence[Application]) -> Needs:
        """What they read: computed once, as it takes longer than judging by it."""
        key = tuple(map(id, apps))
        found = self.needs.get(key)
        if found is None:
            found = Needs(needs_of(apps, self.setting.catalogue))
            # Applications of this catalogue alone: they live as long as this does.
            if len(self.needs) < 4096 and all(id(app) in self._ids for app in apps):
                self.needs[key] = found
        return found

    @cached_property
    def _ids(self) -> frozenset[int]:
        return frozenset(id(one.app) for one in self.concerns)

    def none_of(self, layer: str, columns: tuple[str, ...]) -> Features:
        """No features of a layer."""
        found = self.nothing.get((layer, columns))
        if found is None:
            found = self.nothing[layer, columns] = empty(self.setting.catalogue.layers[layer], columns)
        return found

    @cached_property
    def by_key(self) -> Mapping[str, Application]:
        """The applications by their keys."""
        return {one.app.key: one.app for one in self.concerns}

    def reads_of(self, app: Application, change: Change) -> bool:
        """Whether the application reads an attribute that changed."""
        columns = change.kind[1]
        need = next(one.reads[change.layer] for one in self.by_layer[change.layer] if one.app is app)
        return columns is None or not columns.isdisjoint(need.columns)

    def concerned(self, change: Change, standing: frozenset[str] = frozenset()) -> tuple[Concern, ...]:
        """The applications that the change can matter to."""
        key = (change.layer, change.kind, standing)
        found = self.chosen.get(key)
        if found is None:
            found = tuple(c for c in self.by_layer.get(change.layer, ()) if c.matters(change, standing))
            if len(self.chosen) < 4096:
                self.chosen[key] = found
        return found


_LAST: list[Known] = []


def known_of(setting: Setting) -> Known:
    """Of the last catalogue, since a server has one until its layer files change."""
    last = _LAST[0] if _LAST else None
    if last is None or last.setting.catalogue is not setting.catalogue or last.setting.city != setting.city:
        last = made_of(setting, (Concern.of(app, setting) for app in applications(setting.catalogue)))
        _LAST[:] = [last]
    return last


def made_of(setting: Setting, concerns: Iterable[Concern]) -> Known:
    """For some applications."""
    every = tuple(concerns)
    by_layer: dict[str, list[Concern]] = {}
    for one in every:
        for layer in one.reads if rules()[one.app.rule.id].edits else ():
            by_layer.setdefault(layer, []).append(one)
    frozen = {layer: tuple(some) for layer, some in by_layer.items()}
    return Known(setting, Encoder(setting), every, frozen)


def plan_of(
    known: Known, source: DatabaseSource, changes: Sequence[Change], standing: frozenset[str] | None = None
) -> Plan:
    """Which applications judge what.

    ``standing``: only what is judged on top because there are findings of these applications.
    """
    plan = Plan()
    alone: dict[tuple[str, tuple[int, ...]], tuple[list[Application], list[Change]]] = {}
    near: dict[int, tuple[Concern, dict[str, list[Box]]]] = {}
    whole: dict[int, tuple[Application, dict[str, set[int]]]] = {}
    for change in changes:
        concerned = known.concerned(change)
        if standing is not None:
            first = set(map(id, concerned))
            concerned = tuple(c for c in known.concerned(change, standing) if id(c) not in first)
        lonely = [c for c in concerned if c.is_lonely(change.layer)]
        if lonely:
            key = (change.layer, tuple(map(id, lonely)))
            alone.setdefault(key, ([c.app for c in lonely], []))[1].append(change)
        for one in concerned:
            if one.app.rule.scope == "global":
                fids = whole.setdefault(id(one), (one.app, {}))[1]
                fids.setdefault(change.layer, set()).add(change.fid)
            elif not one.is_lonely(change.layer):
                boxes = near.setdefault(id(one), (one, {}))[1]
                boxes.setdefault(change.layer, []).extend(change.boxes())
    plan.lonely = [Lonely(layer, apps, some) for (layer, _), (apps, some) in alone.items()]
    plan.globals = [
        (app, {layer: frozenset(some) for layer, some in fids.items()}) for app, fids in whole.values()
    ]
    shared: dict[tuple[Box, ...], list[Application]] = {}
    pairs: dict[tuple[float, tuple[Box, ...]], list[Application]] = {}
    for one, moved in near.values():
        windows = tuple(sorted(set(_windows(source, one, moved))))
        within = _within(known.setting, one.app, changes)
        if within is None:
            shared.setdefault(windows, []).append(one.app)
        else:
            pairs.setdefault((within, windows), []).append(one.app)
    plan.groups = [(apps, merged(windows)) for windows, apps in shared.items()]
    for (within, windows), apps in pairs.items():
        box = None if within == NOTHING else grown(merged_into_one(changes[0].boxes()), within)
        plan.paired.append(Paired(apps, changes[0], box, merged(windows)))
    return plan


def _within(setting: Setting, app: Application, changes: Sequence[Change]) -> float | None:
    """How far from the feature of an edit of one what decides its findings lies, if these are all it matters
    to."""
    about = rules()[app.rule.id].about
    if about is None or len(changes) != 1:
        return None
    return about.within(app, setting, changes[0])


def _windows(source: DatabaseSource, one: Concern, moved: Mapping[str, Sequence[Box]]) -> Iterator[Box]:
    """Where anchors are that these changes matter to."""
    for layer, boxes in moved.items():
        need = one.reads[layer]
        # The east and north sides of a window are not its own: hence more than the reach.
        reach = max(need.reach + 0.001, _SHORT_M)
        for box in boxes:
            yield grown(box, reach)
            if not need.centred:
                for judged in one.app.layers:
                    for found in source.boxes(judged, grown(box, reach)):
                        yield grown(found, one.reads[judged].reach + 0.001)


def merged(boxes: Iterable[Box]) -> list[Box]:
    """Boxes that cover the given ones and do not meet each other."""
    found: list[Box] = []
    waiting = list(dict.fromkeys(boxes))
    if len(waiting) > _MOST_BOXES:
        return [merged_into_one(waiting)]
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


def merged_into_one(boxes: Iterable[Box]) -> Box:
    """The box of all the given ones, which are some."""
    west, south, east, north = zip(*boxes, strict=True)
    return min(west), min(south), max(east), max(north)
