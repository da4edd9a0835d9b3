"""Changes of one polygon that heal a fabric. Each is tried out on its neighbours before it is proposed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import NamedTuple

import numpy as np
import shapely

from gis.checks.fabric.edges import Edges, edges
from gis.checks.fabric.facing import close_vertices, facing, t_vertices
from gis.checks.fabric.gaps import gaps
from gis.checks.fabric.overlaps import overlaps_of
from gis.checks.fabric.taking import taking
from gis.checks.features import Floats, Ints, Objects
from gis.checks.source import EVERYWHERE

Change = Callable[[Floats], Floats]
Place = tuple[float, float]
Edge = tuple[Place, Place]
#: A change is tried out among what lies so near (m) of its place.
_AROUND = 1.0
_SAME = 1e-6
#: Corners of a polygon times those around it up to which they are compared: of roads and wards not.
_MOST_COMPARED = 4_000_000


def rewritten(polygon: shapely.Geometry, change: Change) -> shapely.Geometry | None:
    """The polygon with each ring's vertices (k, 2 or 3; the first not repeated) changed; None if unsound."""
    parts = []
    for part in shapely.get_parts(polygon):
        made = []
        for ring in (part.exterior, *part.interiors):
            xyz = change(shapely.get_coordinates(ring, include_z=shapely.has_z(part))[:-1])
            before = np.concatenate([xyz[-1:], xyz[:-1]])
            xyz = xyz[(xyz[:, 0] != before[:, 0]) | (xyz[:, 1] != before[:, 1])]
            if len(xyz) < 3:
                return None
            made.append(xyz)
        parts.append(shapely.Polygon(made[0], made[1:]))
    new = shapely.multipolygons(parts) if polygon.geom_type == "MultiPolygon" else parts[0]
    return new if shapely.is_valid(new) and not shapely.is_empty(new) else None


def with_vertices(
    polygon: shapely.Geometry, corners: Iterable[tuple[Floats, Floats, Floats]]
) -> shapely.Geometry | None:
    """The polygon with corners put into its edges: (a, b, xy) puts xy between its vertices a and b, which
    may come in either order."""
    wanted: dict[Edge, list[Floats]] = {}
    for a, b, xy in corners:
        for edge in ((_at(a), _at(b)), (_at(b), _at(a))):
            wanted.setdefault(edge, []).append(xy)

    def insert(ring: Floats) -> Floats:
        places = [_at(vertex) for vertex in ring]
        made = []
        for k, edge in enumerate(zip(places, [*places[1:], places[0]], strict=True)):
            made.append(ring[k])
            start, step = ring[k], ring[(k + 1) % len(ring)] - ring[k]
            share = {
                float(np.dot(xy - start[:2], step[:2]) / np.dot(step[:2], step[:2])): xy
                for xy in wanted.get(edge, ())
            }
            made += [np.concatenate([xy, start[2:] + t * step[2:]]) for t, xy in sorted(share.items())]
        return np.array(made)

    return rewritten(polygon, insert)


def _at(vertex: Floats) -> Place:
    return float(vertex[0]), float(vertex[1])


def with_moved(polygon: shapely.Geometry, moves: list[tuple[Floats, Floats]]) -> shapely.Geometry | None:
    """The polygon with vertices moved: pairs of (where it is, where it comes)."""

    def move(ring: Floats) -> Floats:
        changed = ring.copy()
        for old, new in moves:
            changed[(ring[:, :2] == old).all(axis=1), :2] = new
        return changed

    return rewritten(polygon, move)


def closing(
    fabric: Edges, where: shapely.Geometry, around: tuple[int, ...], limits: Floats
) -> tuple[int, shapely.Geometry, float] | None:
    """(index of a polygon, its new shape, greatest move in m) that closes a gap; None if none was found.

    First tried: corners that one polygon has alone go to the neighbour's corners that they came from, if
    these are within the position limit (``limits`` (n), m). Then: the gap goes to the polygon with the
    longest side on it.
    """
    near = _near(fabric, where)
    within_m = float(limits[list(around)].max())
    for index in around:
        moves = _back(fabric, near, where, index, within_m)
        if moves:
            new = with_moved(fabric.polygons[index], moves)
            if new is not None and heals(fabric, index, new, where, limits, near):
                return index, new, max(float(np.hypot(*(new_xy - old))) for old, new_xy in moves)
    side = [
        -shapely.length(shapely.intersection(shapely.buffer(where, 1e-4), fabric.polygons[n].boundary))
        for n in around
    ]
    known = np.unique(shapely.get_coordinates(fabric.polygons[near]), axis=0)
    for index in np.array(around)[np.argsort(side, kind="stable")].tolist():
        new = taking(fabric.polygons[index], where, known)
        if new is not None and heals(fabric, index, new, where, limits, near):
            return index, new, float(shapely.hausdorff_distance(new, fabric.polygons[index]))
    return None


def _near(fabric: Edges, where: shapely.Geometry) -> Ints:
    """Polygons around a place, in order."""
    box = shapely.bounds(where)
    found: Ints = np.sort(fabric.tree.query(shapely.box(*(box[:2] - _AROUND), *(box[2:] + _AROUND))))
    return found


def _back(
    fabric: Edges, near: Ints, where: shapely.Geometry, index: int, within_m: float
) -> list[tuple[Floats, Floats]]:
    """Corners at ``where`` that the polygon has alone, each with the nearest of its neighbours' (``near``)
    that it has not and that is within ``within_m``."""
    mine = _corners(fabric.polygons[index])
    theirs = _corners(fabric.polygons[near[near != index]])
    if len(mine) * len(theirs) >= _MOST_COMPARED:
        return []
    alone, goal = (_at_place(some, where, within_m) for some in (mine - theirs, theirs - mine))
    moves = []
    for xy in alone:
        if len(goal):
            away = np.hypot(*(goal - xy).T)
            if away.min() <= within_m:
                moves.append((xy, goal[int(np.argmin(away))]))
    return moves


def _corners(polygons: shapely.Geometry | Objects) -> set[Place]:
    return {(x, y) for x, y in shapely.get_coordinates(polygons).tolist()}


def _at_place(corners: set[Place], where: shapely.Geometry, within_m: float) -> Floats:
    """Those (k, 2) that are within ``within_m`` of a place, from west to east, then from south to north."""
    xy = np.array(sorted(corners)).reshape(-1, 2)
    near: Floats = xy[shapely.distance(shapely.points(xy), where) <= within_m]
    return near


def heals(
    fabric: Edges, index: int, new: shapely.Geometry, where: shapely.Geometry, limits: Floats, near: Ints
) -> bool:
    """Whether the polygon in its new shape has the gap no more, and no overlap, gap, T-vertex or nearly equal
    vertex near by that it had not before.

    ``limits`` (n): position limits (m). ``near``: polygons around the gap, in order.
    """
    if new.geom_type != fabric.polygons[index].geom_type:
        return False
    near = np.union1d(near, [index])
    me = int(np.searchsorted(near, index))

    # Mostly there is no flaw at all, and where it would have to be is not asked.
    @cache
    def place() -> shapely.Geometry:
        # Where the polygon changes, not the box around: a ward has other flaws beside a gap of 500 m.
        changed = shapely.symmetric_difference(new, fabric.polygons[index], grid_size=_SAME)
        return shapely.buffer(shapely.union(where, changed, grid_size=_SAME), _AROUND / 2)

    local = fabric.polygons[near].copy()
    local[me] = new
    after = _flaws(local, me, limits[near], place)
    if not any(after):
        return True
    before = _flaws(fabric.polygons[near], me, limits[near], place)
    if any(_key(where) == key for key in after.gaps):
        return False
    return after.overlap <= before.overlap + 1e-6 and all(
        mine <= theirs for mine, theirs in zip(after[1:], before[1:], strict=True)
    )


class _Flaws(NamedTuple):
    """Area (m2) that a polygon shares with others; T-vertices and nearly equal ones at it; gaps beside."""

    overlap: float
    touching: frozenset[Place]
    close: frozenset[Place]
    gaps: frozenset[tuple[float, ...]]


def _flaws(polygons: Objects, me: int, limit: Floats, place: Callable[[], shapely.Geometry]) -> _Flaws:
    """What is wrong at ``place`` between polygon ``me`` and the others."""
    tried = edges(polygons)
    opposite = facing(tried, limit)
    touching = t_vertices(tried, opposite, 0.001)
    mine = (tried.owner[touching.edge] == me) | tried.has_vertex(
        np.full(len(touching.vertex), me), touching.vertex
    )
    close = close_vertices(tried, limit / 2)
    both = [
        xy[tried.has_vertex(np.full(len(number), me), number)]
        for xy, number in ((close.u_xy, close.u), (close.v_xy, close.v))
    ]
    left = gaps(tried, opposite, 0.001, limit, np.inf, EVERYWHERE)
    return _Flaws(
        _overlap(polygons, me, place),
        _within(touching.xy[mine], place),
        _within(np.concatenate(both), place),
        frozenset(_key(gap.where) for gap in left if gap.where.intersects(place())),
    )


def _overlap(polygons: Objects, me: int, place: Callable[[], shapely.Geometry]) -> float:
    boxes = shapely.bounds(polygons)
    low, high = np.maximum(boxes[:, :2], boxes[me, :2]), np.minimum(boxes[:, 2:], boxes[me, 2:])
    meets = (high > low).all(axis=1)
    meets[me] = False
    others = np.flatnonzero(meets)
    one, other = np.minimum(others, me), np.maximum(others, me)
    shared, area, _ = overlaps_of(polygons[one], polygons[other], boxes[one], boxes[other], 1e-4)
    large = area > 1e-6
    if not large.any():
        return 0.0
    return float(area[large][shapely.intersects(shared[large], place())].sum())


def _within(xy: Floats, place: Callable[[], shapely.Geometry]) -> frozenset[Place]:
    if not len(xy):
        return frozenset()
    return frozenset(_at(at) for at in xy[shapely.intersects(shapely.points(xy), place())])


def _key(gap: shapely.Geometry) -> tuple[float, ...]:
    """Tells a gap from others: its box and area, to 10 um."""
    return tuple(np.round([*shapely.bounds(gap), shapely.area(gap)], 5).tolist())
