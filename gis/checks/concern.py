"""Which rules an edit concerns, and the windows in which it can have changed their findings.

Which findings can a changed feature C affect? By the contract of local rules (gis.checks.window) whatever
decides a finding lies within the rule's reach of the anchor, or of a judged feature whose box, grown by the
reach, holds the anchor. So all such anchors are in the box of C grown by the reach, or in the boxes, grown
likewise, of the judged features that C is in reach of: these are the windows of an edit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely

from gis.checks.dbsource import DatabaseSource
from gis.checks.encode import Encoder
from gis.checks.findings import needs_of
from gis.checks.model import Application
from gis.checks.registry import applications
from gis.checks.source import Box
from gis.checks.window import Setting, grown

#: Reaches up to this (m) are made equal, so that most rules of a layer share their windows.
_SHORT_M = 8.0
#: So many boxes are merged one by one; more become one.
_MOST_BOXES = 400


@dataclass(frozen=True)
class Change:
    """A feature that an edit made (``old`` None), changed, or took away (``new`` None); storage CRS."""

    layer: str
    fid: int
    old: shapely.Geometry | None
    new: shapely.Geometry | None


@dataclass
class Plan:
    """Windows of an edit: applications that judge the same boxes, and those that judge the whole."""

    groups: list[tuple[list[Application], list[Box]]] = field(default_factory=list)
    globals: list[Application] = field(default_factory=list)

    def boxes(self) -> Iterator[Box]:
        for _, some in self.groups:
            yield from some


@dataclass(frozen=True)
class Concern:
    """An application, the layers that it reads, and how far (m) around its window.

    ``reach``: how far around the features that it judges its anchors are; None when an edit is judged around
    itself alone (Need.centred).
    """

    app: Application
    reads: Mapping[str, float]
    reach: float | None

    @classmethod
    def of(cls, app: Application, setting: Setting) -> Concern:
        if app.rule.scope == "global":
            return cls(app, dict.fromkeys((*app.layers, *app.against), 0.0), 0.0)
        reads = dict.fromkeys(app.layers, 0.0)
        needs = needs_of([app], setting.catalogue)
        for need in needs:
            reads[need.layer] = max(reads.get(need.layer, 0.0), _rounded(need.reach))
        centred = bool(needs) and all(need.centred for need in needs)
        return cls(app, reads, None if centred else max(reads[layer] for layer in app.layers))


@dataclass(frozen=True)
class Known:
    """What edits of one catalogue share. ``by_layer``: the applications that read each layer."""

    setting: Setting
    encoder: Encoder
    concerns: tuple[Concern, ...]
    by_layer: Mapping[str, tuple[Concern, ...]]
    #: Statements of DatabaseSource.
    queries: dict[Any, Any] = field(default_factory=dict)

    def concerned(self, changes: Iterable[Change]) -> list[Concern]:
        """The applications that a change of these layers can matter to, each once."""
        layers = dict.fromkeys(change.layer for change in changes)
        found = {id(one): one for layer in layers for one in self.by_layer.get(layer, ())}
        return list(found.values())


_LAST: list[Known] = []


def known_of(setting: Setting) -> Known:
    """Of the last catalogue, since a server has one until its layer files change."""
    if (
        not _LAST
        or _LAST[0].setting.catalogue is not setting.catalogue
        or _LAST[0].setting.city != setting.city
    ):
        concerns = tuple(Concern.of(app, setting) for app in applications(setting.catalogue))
        by_layer: dict[str, list[Concern]] = {}
        for one in concerns:
            for layer in one.reads:
                by_layer.setdefault(layer, []).append(one)
        frozen = {layer: tuple(some) for layer, some in by_layer.items()}
        _LAST[:] = [Known(setting, Encoder(setting), concerns, frozen)]
    return _LAST[0]


def plan_of(source: DatabaseSource, concerns: Iterable[Concern], changes: Sequence[Change]) -> Plan:
    """Which applications judge which windows."""
    plan = Plan()
    boxes: dict[str, list[Box]] = {}
    for change in changes:
        boxes.setdefault(change.layer, []).extend(boxes_of(change))
    groups: dict[Any, list[Application]] = {}
    for concern in concerns:
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
        for box in around if reach is not None else ():
            for layer in judged:
                if (layer, box) not in known:
                    known[layer, box] = source.boxes(layer, box)
                windows += [grown(found, reach or 0.0) for found in known[layer, box]]
        # The east and north sides of a window are not its own.
        plan.groups.append((some, merged(grown(window, 0.001) for window in windows)))
    return plan


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


def boxes_of(change: Change) -> Iterator[Box]:
    for shape in (change.old, change.new):
        if shape is not None and not shape.is_empty:
            minx, miny, maxx, maxy = shape.bounds
            yield minx, miny, maxx, maxy


def _rounded(reach: float) -> float:
    """Short reaches are one, so that most rules of a layer share their windows."""
    return max(reach, _SHORT_M)
