"""Whether an edit of geometry alone leaves everything in a network joined as it was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import shapely

from gis.checks.concern import Change
from gis.checks.features import Floats, Ints
from gis.checks.model import Application
from gis.checks.network.graph import Graph, graph_of, unit_m
from gis.checks.network.loose import SNAP
from gis.checks.network.members import Members
from gis.checks.window import Window

#: Nodes nearer than this (m) may be one.
_LEAST_M = 0.05


def joined_as_before(window: Window, app: Application, changes: Iterable[Change]) -> bool:
    """True only when it is sure; ``window`` holds the state after the edit around all changes.

    A line that keeps both ends, and passes no other node before or after; a point feature that neither feeds
    nor interrupts, and is near one node or line at most, so that it joins nothing to anything.
    """
    graph = graph_of(window, app)
    snap = app.parameters.get(SNAP[0].name)
    near = max(float(snap or 0), _LEAST_M) / unit_m(window.setting.city)
    some = list(changes)

    def compute() -> bool:
        return all(
            change.old is not None and change.new is not None and _is_steady(graph, change, near)
            for change in some
        )

    return window.memo(("steady", app.network, near, *map(id, some)), compute)


def _is_steady(graph: Graph, change: Change, near: float) -> bool:
    shapes = np.array([change.old, change.new], dtype=object)
    for line in _positions(graph.lines, change):
        if (shapely.get_type_id(shapes) != 1).any():
            return False
        before, after = (shapely.get_coordinates(shape, include_z=True)[[0, -1]] for shape in shapes)
        if not np.array_equal(before, after, equal_nan=True):
            return False
        others = np.ones(len(graph), bool)
        others[graph.nodes_of_lines[line]] = False
        if len(_near(graph, np.flatnonzero(others), shapes, near)):
            return False
    for point in _positions(graph.points, change):
        node = graph.node_of_point[point]
        if any(graph.nodes_that_are(role)[node] for role in ("sources", "sinks", "cuts")):
            return False
        ends = _near(graph, np.flatnonzero(graph.degree > 0), shapes, near)
        lines = np.unique(graph.tree.query(shapes, predicate="dwithin", distance=near)[1])
        passing = lines[~(graph.nodes_of_lines[lines][:, :, None] == ends).any(axis=(1, 2))]
        if len(ends) + len(passing) > 1:
            return False
    return True


def _positions(of: Members, change: Change) -> Iterator[int]:
    """Where the changed feature stands among the lines, or the point features."""
    for number, part in enumerate(of.parts):
        if part.layer.id == change.layer:
            mine = np.flatnonzero(of.part == number)
            yield from mine[part.fid[of.index[mine]] == change.fid].tolist()


def _near(graph: Graph, nodes: Ints, shapes: Floats, near: float) -> Ints:
    """Which of the nodes lie near one of the shapes."""
    if not len(nodes):
        return nodes
    points = shapely.points(graph.xy[nodes])
    found: Ints = nodes[(shapely.distance(points[:, None], shapes[None, :]) <= near).any(axis=1)]
    return found
