"""Ends of lines that meet nothing, what they nearly meet, and nodes on lines that run on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from scipy.spatial import cKDTree

from gis.checks.features import Floats, Ints
from gis.checks.model import Application, Parameter
from gis.checks.network.graph import Graph
from gis.checks.source import Box
from layers.model import Text

#: Snap distances by map scale; parameters of every rule that asks for loose ends.
SNAP = (
    Parameter(
        "snap_m",
        Text(
            vi="Ngưỡng bắt điểm (1:2000, hoặc không rõ tỷ lệ)", en="Snap distance (1:2000, or scale unknown)"
        ),
        0.10,
        "m",
        minimum=0.001,
        maximum=1,
    ),
    Parameter(
        "snap_large_scale_m",
        Text(vi="Ngưỡng bắt điểm, tỷ lệ 1:1000 và lớn hơn", en="Snap distance at 1:1000 and larger scales"),
        0.05,
        "m",
        minimum=0.001,
        maximum=1,
    ),
    Parameter(
        "snap_small_scale_m",
        Text(vi="Ngưỡng bắt điểm, tỷ lệ nhỏ hơn 1:2000", en="Snap distance at scales smaller than 1:2000"),
        0.25,
        "m",
        minimum=0.001,
        maximum=1,
    ),
)
ON_LINE = Parameter(
    "on_line_m",
    Text(
        vi="Nút cách đường không quá mức này là nằm trên đường",
        en="A node at most so far off a line is on it",
    ),
    0.01,
    "m",
    minimum=0.0001,
    maximum=0.1,
)
#: Nearest nodes that are looked at: a crowd of more within the snap distance is a finding of its own.
_NEAREST = 8
#: Places up to which all pairs are compared: an edit's trees take longer to build than to do without.
_FEW = 64


def snap_m(graph: Graph, app: Application) -> Floats:
    """(lines) snap distance (m) of each line, by the scale of the map it was drawn on."""
    scale = graph.lines.column("source_scale")
    found = np.full(len(graph.lines), app.number("snap_m"))
    found[scale <= 1000] = app.number("snap_large_scale_m")
    found[scale > 2000] = app.number("snap_small_scale_m")
    return found


@dataclass(frozen=True)
class Loose:
    """Ends that coincide with no other end and no point feature.

    ``ends`` (n) numbers of ends; ``node`` (n) the nearest other node within snap, or -1; ``line`` (n) the
    nearest other line within snap where there is no such node, or -1; ``distance`` (n) to it, NaN for none;
    ``at`` (n, 2) where it is nearest.
    """

    ends: Ints
    node: Ints
    line: Ints
    distance: Floats
    at: Floats


def loose_ends(graph: Graph, snap: Floats, box: Box) -> Loose:
    """The loose ends in ``box`` and what each nearly meets. ``snap`` (lines) in units of the coordinates.

    The other end of the same line does not count: it would close a ring, or is a short line (NET-06).
    """
    lone = (graph.degree == 1) & (graph.features_at == 0)
    ends = np.flatnonzero(lone[graph.node_of_end])
    if len(ends):
        places = graph.ends_xyz[ends, :2]
        ends = ends[((places >= box[:2]) & (places <= box[2:])).all(axis=1)]
    count = len(ends)
    node, line = np.full(count, -1), np.full(count, -1)
    distance, at = np.full(count, np.nan), np.full((count, 2), np.nan)
    if not count:
        return Loose(ends, node, line, distance, at)
    mine = snap[ends // 2]
    xy = graph.ends_xyz[ends, :2]
    far, near = _others(graph, xy, graph.node_of_end[ends], graph.node_of_end[ends ^ 1], float(mine.max()))
    hit = far <= mine
    node[hit], distance[hit], at[hit] = near[hit], far[hit], graph.xy[near[hit]]

    left = np.flatnonzero(~hit)
    if not len(left):
        return Loose(ends, node, line, distance, at)
    points = shapely.points(xy[left])
    which, other = graph.tree.query(points, predicate="dwithin", distance=mine[left])
    keep = other != ends[left[which]] // 2
    which, other = which[keep], other[keep]
    if len(which):
        apart = shapely.distance(points[which], graph.lines.geometry[other])
        # The nearest line of each end; among lines equally near the one of the least asset id.
        best: dict[int, tuple[float, tuple[str, str], int]] = {}
        for w, o, d in zip(which.tolist(), other.tolist(), apart.tolist(), strict=True):
            rival = (d, graph.lines.key(o), o)
            best[w] = min(best.get(w, rival), rival)
        for w, (d, _, o) in best.items():
            shape = graph.lines.geometry[o]
            foot = shapely.line_interpolate_point(shape, shapely.line_locate_point(shape, points[w]))
            line[left[w]], distance[left[w]], at[left[w]] = o, d, shapely.get_coordinates(foot)[0]
    return Loose(ends, node, line, distance, at)


def _others(graph: Graph, xy: Floats, own: Ints, back: Ints, most: float) -> tuple[Floats, Ints]:
    """Distance to the nearest node but ``own`` and ``back`` (infinite when there is none), and its number."""
    k = min(_NEAREST, len(graph))
    away, found = graph.node_tree.query(xy, k=list(range(1, k + 1)), distance_upper_bound=most * (1 + 1e-9))
    away = np.where((found == own[:, None]) | (found == back[:, None]), np.inf, away)
    # Of nodes equally far the one with the least number, whatever the tree's order.
    away = np.where(found == len(graph), np.inf, away)
    least = away.min(axis=1)
    number = np.where(away == least[:, None], found, len(graph)).min(axis=1)
    return least, number


def nodes_on_lines(graph: Graph, nodes: Ints, near: float) -> tuple[Ints, Ints, Floats]:
    """(node, line, distance) for nodes within ``near`` of lines that neither start nor end there."""
    if not len(nodes) or not len(graph.lines):
        return nodes[:0], nodes[:0], np.empty(0)
    points = shapely.points(graph.xy[nodes])
    which, line = graph.tree.query(points, predicate="dwithin", distance=near)
    node = nodes[which]
    keep = (graph.start[line] != node) & (graph.end[line] != node)
    if not keep.any():
        return nodes[:0], nodes[:0], np.empty(0)
    node, line = node[keep], line[keep]
    return node, line, shapely.distance(points[which[keep]], graph.lines.geometry[line])


def near_nodes(graph: Graph, nodes: Ints, most: float) -> tuple[Ints, Ints, Floats]:
    """(node, other, distance): for each of ``nodes`` the nearest other one of them with a smaller number
    within ``most``. A crowd of n nodes gives n - 1 triples, not one for each pair."""
    none = np.empty(0, np.int64)
    if len(nodes) < 2 or not _may_be_near(graph.xy[nodes], most):
        return none, none, np.empty(0)
    tree = cKDTree(graph.xy[nodes], balanced_tree=False, compact_nodes=False)
    limit = most * (1 + 1e-9)
    away, _ = tree.query(graph.xy[nodes], k=[2], distance_upper_bound=limit)
    some = np.flatnonzero(away[:, 0] <= most)
    if not len(some):
        return none, none, np.empty(0)
    k = min(_NEAREST + 1, len(nodes))
    away, found = tree.query(graph.xy[nodes[some]], k=list(range(1, k + 1)), distance_upper_bound=limit)
    away = np.where((found < some[:, None]) & (away <= most), away, np.inf)
    least = away.min(axis=1)
    number = np.where(away == least[:, None], found, len(nodes)).min(axis=1)
    hit = np.isfinite(least)
    return nodes[some[hit]], nodes[number[hit]], least[hit]


def _may_be_near(xy: Floats, most: float) -> bool:
    """Whether two of the places (n, 2), in the order of x, may be within ``most`` of each other."""
    if not (np.diff(xy[:, 0]) <= most).any():
        return False
    if len(xy) > _FEW:
        return True
    step = xy[:, None] - xy[None]
    near = np.count_nonzero((step * step).sum(axis=2) <= most * most * (1 + 1e-9))
    return bool(near > len(xy))
