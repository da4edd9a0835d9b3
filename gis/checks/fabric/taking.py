"""A polygon with a gap beside it made its own, vertex by vertex.

An overlay's union of two polygons whose common sides differ in their last bits leaves slivers and cuts the
tips of wedges that are a kilometre long and a centimetre wide. Here the directed edges that both have, in
opposite directions, cancel each other; what is left is the outline, out of the vertices that were there.
"""

from __future__ import annotations

import numpy as np
import shapely

from gis.checks.features import Bools, Floats

Place = tuple[float, float]
#: What is no farther apart (m) is the same place: errors of the overlay that found the gap are 0.1 um.
_SAME = 4e-6
#: Polygons with more vertices take nothing: edges are looked at one by one.
_MOST = 50_000


def taking(polygon: shapely.Geometry, gap: shapely.Geometry, known: Floats) -> shapely.Geometry | None:
    """The polygon (or multipolygon, of the same type again) and the gap as one; None where they share no
    side, or only touch each other in more than one place.

    ``known`` (k, 2): vertices that are there, onto which those of the gap are put.
    """
    if shapely.get_num_coordinates(polygon) + shapely.get_num_coordinates(gap) > _MOST:
        return None
    own = _rings(polygon)
    taken = [_settled(ring, known) for ring in _rings(gap)]
    box = shapely.bounds(shapely.buffer(gap, 1.0))
    mine = np.concatenate(own)
    near = mine[(mine >= box[:2]).all(axis=1) & (mine <= box[2:]).all(axis=1)]
    edges = dict.fromkeys(_edges([_split(ring, np.concatenate(taken), box) for ring in own]))
    before = len(edges)
    for start, end in _edges([_split(ring, near, box) for ring in taken]):
        if (end, start) in edges:
            del edges[end, start]
        else:
            edges[start, end] = None
    if len(edges) >= before + sum(map(len, taken)):
        return None
    rings = _chained(list(edges))
    return None if rings is None else _built(rings, polygon)


def _rings(shape: shapely.Geometry) -> list[Floats]:
    """(k, 2) vertices of each ring, the first not repeated, the inside on the left."""
    return [
        _distinct(shapely.get_coordinates(ring)[:-1])
        for part in shapely.get_parts(shapely.orient_polygons(shapely.force_2d(shape)))
        for ring in (part.exterior, *part.interiors)
    ]


def _distinct(ring: Floats) -> Floats:
    found: Floats = ring[(ring != np.roll(ring, 1, axis=0)).any(axis=1)]
    return found


def _settled(ring: Floats, known: Floats) -> Floats:
    """The ring with its vertices on known ones, where these are."""
    at, which = shapely.STRtree(shapely.points(known)).query_nearest(
        shapely.points(ring), max_distance=_SAME, all_matches=False
    )
    settled = ring.copy()
    settled[at] = known[which]
    return _distinct(settled)


def _split(ring: Floats, at: Floats, box: Floats) -> Floats:
    """The ring with vertices where places of ``at`` lie on its edges; only edges in the box are looked at."""
    following = np.roll(ring, -1, axis=0)
    low, high = np.minimum(ring, following), np.maximum(ring, following)
    made: list[Floats] = []
    last = 0
    for k in np.flatnonzero((low <= box[2:]).all(axis=1) & (high >= box[:2]).all(axis=1)).tolist():
        on = _on_edge(at, ring[k], following[k])
        if on.any():
            some = at[on]
            order = np.argsort(np.hypot(*(some - ring[k]).T), kind="stable")
            made += [ring[last : k + 1], some[order]]
            last = k + 1
    if not made:
        return ring
    return _distinct(np.concatenate([*made, ring[last:]]))


def _on_edge(xy: Floats, a: Floats, b: Floats) -> Bools:
    """Which places lie on the edge from a to b, but not at its ends."""
    step = b - a
    length = np.hypot(*step)
    off = xy - a
    along = (off[:, 0] * step[0] + off[:, 1] * step[1]) / length
    away = np.abs(off[:, 0] * step[1] - off[:, 1] * step[0]) / length
    found: Bools = (away <= _SAME) & (along > _SAME) & (along < length - _SAME)
    return found


def _edges(rings: list[Floats]) -> list[tuple[Place, Place]]:
    found: list[tuple[Place, Place]] = []
    for ring in rings:
        places = [(float(x), float(y)) for x, y in ring]
        found += zip(places, [*places[1:], *places[:1]], strict=True)
    return found


def _chained(edges: list[tuple[Place, Place]]) -> list[list[Place]] | None:
    """The rings that the edges form; None where more than one leaves a place."""
    following = dict(edges)
    if len(following) != len(edges):
        return None
    rings = []
    while following:
        start, at = following.popitem()
        ring = [start]
        while at != start:
            ring.append(at)
            if at not in following:
                return None
            at = following.pop(at)
        rings.append(ring)
    return rings


def _built(rings: list[list[Place]], like: shapely.Geometry) -> shapely.Geometry | None:
    """Polygons of rings that run anticlockwise, with the others as their holes; of the type of ``like``,
    and with its heights (a new vertex has that of the nearest old one)."""
    if any(len(ring) < 3 for ring in rings):
        return None
    closed = [shapely.linearrings(ring) for ring in rings]
    shells = [ring for ring in closed if shapely.is_ccw(ring)]
    holes = [ring for ring in closed if not shapely.is_ccw(ring)]
    if not shells:
        return None
    order = np.argsort([shapely.area(shapely.polygons(shell)) for shell in shells], kind="stable")
    outlines = [shapely.polygons(shells[k]) for k in order]
    of: list[list[shapely.Geometry]] = [[] for _ in outlines]
    for hole in holes:
        inside = [k for k, outline in enumerate(outlines) if len(outlines) == 1 or outline.covers(hole)]
        if not inside:
            return None
        of[inside[0]].append(hole)  # the smallest
    parts = [shapely.Polygon(shells[k], mine) for k, mine in zip(order, of, strict=True)]
    if like.geom_type == "Polygon" and len(parts) > 1:
        return None
    made = shapely.multipolygons(parts) if like.geom_type == "MultiPolygon" else parts[0]
    if shapely.has_z(like):
        xyz = shapely.get_coordinates(like, include_z=True)
        tree = shapely.STRtree(shapely.points(xyz[:, :2]))
        xy = shapely.get_coordinates(made)
        nearest = tree.query_nearest(shapely.points(xy), all_matches=False)[1]
        made = shapely.set_coordinates(shapely.force_3d(made), np.column_stack([xy, xyz[nearest, 2]]))
    return made if shapely.is_valid(made) else None
