"""Changes of one polygon that heal a fabric. Each is tried out on its neighbours before it is proposed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import shapely

from gis.checks.fabric.edges import Edges, edges
from gis.checks.fabric.facing import close_vertices, facing, t_vertices
from gis.checks.fabric.gaps import gaps
from gis.checks.fabric.overlaps import overlaps
from gis.checks.features import Floats
from gis.checks.source import EVERYWHERE

Change = Callable[[Floats], Floats]
#: A change is tried out among what lies so near (m) of its place.
_AROUND = 1.0
_SAME = 1e-6


def rewritten(polygon: shapely.Geometry, change: Change) -> shapely.Geometry | None:
    """The polygon with each ring's vertices (k, 2 or 3; the first not repeated) changed; None if unsound."""
    parts = []
    for part in shapely.get_parts(polygon):
        made = []
        for ring in (part.exterior, *part.interiors):
            xyz = change(shapely.get_coordinates(ring, include_z=shapely.has_z(part))[:-1])
            distinct = (xyz[:, :2] != np.roll(xyz[:, :2], 1, axis=0)).any(axis=1)
            xyz = xyz[distinct]
            if len(xyz) < 3:
                return None
            made.append(xyz)
        parts.append(shapely.Polygon(made[0], made[1:]))
    new = shapely.multipolygons(parts) if polygon.geom_type == "MultiPolygon" else parts[0]
    return new if shapely.is_valid(new) and not shapely.is_empty(new) else None


def with_vertex(polygon: shapely.Geometry, a: Floats, b: Floats, xy: Floats) -> shapely.Geometry | None:
    """The polygon with ``xy`` between its vertices a and b (in either order)."""

    def insert(ring: Floats) -> Floats:
        following = np.roll(ring, -1, axis=0)
        for one, other in ((a, b), (b, a)):
            at = np.flatnonzero((ring[:, :2] == one).all(axis=1) & (following[:, :2] == other).all(axis=1))
            if at.size:
                k = int(at[0])
                share = np.hypot(*(xy - ring[k, :2])) / np.hypot(*(following[k, :2] - ring[k, :2]))
                z = ring[k, 2:] + share * (following[k, 2:] - ring[k, 2:])
                return np.insert(ring, k + 1, np.concatenate([xy, z]), axis=0)
        return ring

    return rewritten(polygon, insert)


def with_moved(polygon: shapely.Geometry, moves: list[tuple[Floats, Floats]]) -> shapely.Geometry | None:
    """The polygon with vertices moved: pairs of (where it is, where it comes)."""

    def move(ring: Floats) -> Floats:
        changed = ring.copy()
        for old, new in moves:
            changed[(ring[:, :2] == old).all(axis=1), :2] = new
        return changed

    return rewritten(polygon, move)


def closing(fabric: Edges, where: shapely.Geometry, around: tuple[int, ...], within_m: float, limits: Floats):  # type: ignore[no-untyped-def]
    """(index of a polygon, its new shape, greatest move in m) that closes a gap; None if none was found.

    First tried: corners that one polygon has alone go to the neighbour's corners that they came from. Then:
    the gap goes to the polygon with the longest side on it.
    """
    for index in around:
        moves = _back(fabric, where, index, within_m)
        if moves:
            new = with_moved(fabric.polygons[index], moves)
            if new is not None and heals(fabric, index, new, where, limits):
                return index, new, max(float(np.hypot(*(new_xy - old))) for old, new_xy in moves)
    side = [
        -shapely.length(shapely.intersection(shapely.buffer(where, 1e-4), fabric.polygons[n].boundary))
        for n in around
    ]
    for index in np.array(around)[np.argsort(side, kind="stable")]:
        new = _taking(fabric, where, int(index))
        if new is not None and heals(fabric, int(index), new, where, limits):
            return int(index), new, float(shapely.hausdorff_distance(new, fabric.polygons[index]))
    return None


def _near(fabric: Edges, where: shapely.Geometry) -> np.ndarray:
    """Polygons around a place, in order."""
    box = shapely.bounds(where)
    found: np.ndarray = np.sort(fabric.tree.query(shapely.box(*(box[:2] - _AROUND), *(box[2:] + _AROUND))))
    return found


def _back(fabric: Edges, where: shapely.Geometry, index: int, within_m: float) -> list[tuple[Floats, Floats]]:
    others = np.setdiff1d(_near(fabric, where), [index])
    mine = np.unique(shapely.get_coordinates(fabric.polygons[index]), axis=0)
    theirs = np.unique(shapely.get_coordinates(fabric.polygons[others]), axis=0)
    shared = (mine[:, None] == theirs[None]).all(axis=2) if len(mine) * len(theirs) < 4_000_000 else None
    if shared is None:
        return []
    alone = mine[~shared.any(axis=1)]
    goal = theirs[~shared.any(axis=0)]
    at_gap = [xy for xy in (alone, goal) if len(xy)]
    if len(at_gap) < 2:
        return []
    alone = alone[shapely.distance(shapely.points(alone), where) <= within_m]
    goal = goal[shapely.distance(shapely.points(goal), where) <= within_m]
    moves = []
    for xy in alone:
        if len(goal):
            away = np.hypot(*(goal - xy).T)
            if away.min() <= within_m:
                moves.append((xy, goal[int(np.argmin(away))]))
    return moves


def _taking(fabric: Edges, where: shapely.Geometry, index: int) -> shapely.Geometry | None:
    """The polygon with the gap; vertices of overlay put exactly on those that were there before."""
    polygon = shapely.force_2d(fabric.polygons[index])
    known = np.unique(shapely.get_coordinates(fabric.polygons[_near(fabric, where)]), axis=0)
    united = shapely.union(polygon, shapely.buffer(where, _SAME, join_style="mitre"))
    if united.geom_type != polygon.geom_type:
        return None
    tree = shapely.STRtree(shapely.points(known))

    def settle(ring: Floats) -> Floats:
        at, which = tree.query(shapely.points(ring), predicate="dwithin", distance=4 * _SAME)
        settled = ring.copy()
        settled[at] = known[which]
        old = np.zeros(len(ring), bool)
        old[at] = True
        return settled[old]

    return rewritten(united, settle)


def heals(fabric: Edges, index: int, new: shapely.Geometry, where: shapely.Geometry, limits: Floats) -> bool:
    """Whether the polygon in its new shape has no overlap, gap, T-vertex or nearly equal vertex near a place.

    ``limits`` (n): position limits (m).
    """
    near = np.union1d(_near(fabric, where), [index])
    local = fabric.polygons[near].copy()
    me = int(np.searchsorted(near, index))
    local[me] = new
    if local[me].geom_type != fabric.polygons[index].geom_type:
        return False
    place = shapely.buffer(shapely.envelope(where), _AROUND / 2)
    tried, limit = edges(local), limits[near]
    pairs, shared, area, _ = overlaps(local, np.array([me]), tried.tree, np.arange(len(local)), 1e-4)
    if len(pairs) and (shapely.intersects(shared, place) & (area > 1e-6)).any():
        return False
    opposite = facing(tried, limit)
    touching = t_vertices(tried, opposite, 0.001)
    mine = (tried.owner[touching.edge] == me) | tried.has_vertex(
        np.full(len(touching.vertex), me), touching.vertex
    )
    if mine.any() and shapely.intersects(shapely.points(touching.xy[mine]), place).any():
        return False
    close = close_vertices(tried, limit / 2)
    for xy, number in ((close.u_xy, close.u), (close.v_xy, close.v)):
        mine = tried.has_vertex(np.full(len(number), me), number)
        if mine.any() and shapely.intersects(shapely.points(xy[mine]), place).any():
            return False
    left = gaps(tried, opposite, 0.001, limit, np.inf, EVERYWHERE)
    return not any(me in gap.around and shapely.intersects(gap.where, place) for gap in left)
