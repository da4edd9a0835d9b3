"""Which windows and which tasks a run has: everywhere, or as far as findings in an area can reach."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import psycopg
import shapely
from psycopg.sql import SQL, Literal

from gis.checks.blocks import SAMPLE, SPARE, TARGET, corners, cut
from gis.checks.examine import Task
from gis.checks.findings import needs_of
from gis.checks.model import Application
from gis.checks.registry import rules
from gis.checks.source import EVERYWHERE, Box
from gis.checks.window import Setting, grown
from gis.db import sql as names

#: Features of an area up to which global rules judge it by itself; with more, they judge the whole city.
MOST_CHANGED = 20_000
#: Applications whose features reach this much farther (by area) out of an area get windows of their own.
_MUCH_LARGER = 4.0


class Planner:
    """Makes tasks for ``applications`` from what is there, on a connection that sees the snapshot."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        setting: Setting,
        applications: Sequence[Application],
        number: Callable[[], int],
        target: float = TARGET,
    ) -> None:
        self._connection, self._setting, self._applications = connection, setting, applications
        self._number, self._target = number, target
        self._srid = setting.city.crs.storage
        self._extents: dict[tuple[str, Box], Box | None] = {}

    def everywhere(self) -> list[Task]:
        """Global tasks first, since they are the longest; then windows that cover the city."""
        local = [i for i, app in enumerate(self._applications) if app.rule.scope == "local"]
        return [*self._globals(None), *self._windows(local, EVERYWHERE)]

    def within(self, area: shapely.Geometry) -> list[Task]:
        """Tasks that give (at least) every finding whose place meets ``area`` (storage CRS).

        The place of a finding lies within the rule's reach of its features, and its anchor within their boxes
        grown by the reach: so windows cover the boxes of what is in the area.
        """
        box = _bounds(area)
        boxes: list[tuple[float, int, Box]] = []
        for index, app in enumerate(self._applications):
            if app.rule.scope == "local":
                found = self._anchors(app, box)
                if found is not None:
                    boxes.append((_size(found), index, found))
        tasks = self._globals(box)
        group: list[int] = []
        around: Box | None = None
        for size, index, found in sorted(boxes):
            if around is not None and size > _MUCH_LARGER * _size(around):
                tasks += self._windows(group, around)
                group, around = [], None
            group.append(index)
            around = found if around is None else _union(around, found)
        if around is not None:
            tasks += self._windows(group, around)
        return tasks

    def features_in(self, app: Application, box: Box) -> Mapping[str, frozenset[int]] | None:
        """The features of the application's layers in ``box`` (layer -> fids); None if they are too many."""
        found: dict[str, frozenset[int]] = {}
        left = MOST_CHANGED
        for layer in dict.fromkeys((*app.layers, *app.against)):
            query = SQL("SELECT fid FROM {} WHERE {} LIMIT {}").format(
                names.table(self._setting.catalogue.layers[layer]), self._meets(box), Literal(left + 1)
            )
            rows = self._connection.execute(query).fetchall()
            left -= len(rows)
            if left < 0:
                return None
            found[layer] = frozenset(row[0] for row in rows)
        return found

    def _globals(self, box: Box | None) -> list[Task]:
        """One task for each network, so that its rules share the graph; else one for each application.

        What local rules say of layers as a whole is not asked about an area.
        """
        groups: dict[Any, list[int]] = {}
        tasks = []
        for index, app in enumerate(self._applications):
            if app.rule.scope == "global":
                groups.setdefault(app.network or index, []).append(index)
            elif box is None and rules()[app.rule.id].also is not None:
                groups[index] = [index]
        for group in groups.values():
            weight = float(sum(self._rows(layer) for layer in self._layers(group)))
            changed = None if box is None else self._changed(group, box)
            tasks.append(Task(self._number(), tuple(group), None, weight or 1.0, changed=changed))
        return tasks

    def _changed(self, group: Iterable[int], box: Box) -> Mapping[str, frozenset[int]] | None:
        merged: dict[str, frozenset[int]] = {}
        for index in group:
            found = self.features_in(self._applications[index], box)
            if found is None:
                return None
            merged |= found
        return merged

    def _windows(self, group: Sequence[int], box: Box) -> list[Task]:
        if not group:
            return []
        layers = self._layers(group)
        xy, weight = corners(self._connection, self._setting.catalogue, layers, self._srid, box)
        sampled = box == EVERYWHERE and any(self._rows(layer) > SAMPLE for layer in layers)
        most = SPARE * self._target if sampled else np.inf
        return [
            Task(self._number(), tuple(group), block.box, max(block.weight, 1.0), most=most)
            for block in cut(xy, weight, box, self._target)
        ]

    def _layers(self, group: Iterable[int]) -> list[str]:
        """The layers that these applications judge or read."""
        apps = [self._applications[index] for index in group]
        read = [need.layer for need in needs_of(apps, self._setting.catalogue)]
        return list(dict.fromkeys([layer for app in apps for layer in app.layers] + read))

    def _anchors(self, app: Application, box: Box) -> Box | None:
        """Where anchors of findings with a place in ``box`` can be; None when there is nothing to judge."""
        reach = reach_of(app, self._setting)
        near = grown(box, reach)
        found: Box | None = None
        for layer in app.layers:
            extent = self._extent(layer, near)
            if extent is not None:
                found = extent if found is None else _union(found, extent)
        # The east and north sides of a window are not its own.
        return None if found is None else grown(found, reach + 0.001)

    def _extent(self, layer: str, box: Box) -> Box | None:
        if (layer, box) not in self._extents:
            query = SQL(
                "SELECT public.ST_XMin(e), public.ST_YMin(e), public.ST_XMax(e), public.ST_YMax(e)"
                " FROM (SELECT public.ST_Extent(geom) AS e FROM {} WHERE {}) AS extent"
            ).format(names.table(self._setting.catalogue.layers[layer]), self._meets(box))
            row = self._connection.execute(query).fetchone()
            self._extents[layer, box] = None if row is None or row[0] is None else row
        return self._extents[layer, box]

    def _meets(self, box: Box) -> Any:
        return SQL("geom OPERATOR(public.&&) public.ST_MakeEnvelope({}, {}, {}, {}, {})").format(
            *(Literal(float(v)) for v in box), Literal(self._srid)
        )

    def _rows(self, layer: str) -> int:
        row = self._connection.execute("SELECT bandoso.row_count(%s)", [layer]).fetchone()
        return int(row[0]) if row else 0


def reach_of(app: Application, setting: Setting) -> float:
    """How far (m) from the features that it judges a local application has anchors."""
    needs = needs_of([app], setting.catalogue)
    return max((need.reach for need in needs if need.layer in app.layers), default=0.0)


def _bounds(area: shapely.Geometry) -> Box:
    minx, miny, maxx, maxy = (float(v) for v in np.asarray(shapely.bounds(area)))
    return minx, miny, maxx, maxy


def _size(box: Box) -> float:
    return max(box[2] - box[0], 1.0) * max(box[3] - box[1], 1.0)


def _union(a: Box, b: Box) -> Box:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])
