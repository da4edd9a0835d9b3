"""Free edges that face each other over a small distance, and vertices that nearly meet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from scipy.spatial import cKDTree

from gis.checks.fabric.edges import Edges, begins, distinct
from gis.checks.features import Bools, Floats, Ints

#: Edges face each other when their directions differ by more than 120 degrees: every narrow region between
#: polygons has such a pair (of a triangle's angles one is at most 60 degrees), a bend in a street has not.
_FACING = -0.5
#: A square of _CROWD_M with more vertices than that is not asked which of them are nearly equal.
CROWD, _CROWD_M = 100, 0.05
#: Up to so many edges over or under each one, on average, they are swept from west to east.
_SWEPT = 32


@dataclass(frozen=True)
class Facing:
    """``k`` pairs of free edges of which each sees the other from outside its polygon.

    ``e``, ``f`` (k) indices of edges; ``origin`` (k, 2) whole metres near by; ``on_e``, ``on_f`` (k, 2, 2)
    the stretches that lie opposite each other, in the direction of each edge, less the origin; ``away``
    (k, 4) how far (m) the ends of on_f lie outside e, and those of on_e outside f (negative: inside).
    """

    e: Ints
    f: Ints
    origin: Floats
    on_e: Floats
    on_f: Floats
    away: Floats

    def take(self, which: Bools) -> Facing:
        return Facing(
            self.e[which], self.f[which], self.origin[which], self.on_e[which], self.on_f[which],
            self.away[which],
        )  # fmt: skip


def facing(fabric: Edges, within_m: Floats) -> Facing:
    """Pairs that come within ``within_m`` (n, for each polygon; the greater of two counts) of each other."""
    at = fabric.free_index
    if not at.size:
        none, empty = np.empty(0, np.int64), np.empty((0, 2))
        return Facing(none, none, empty, np.empty((0, 2, 2)), np.empty((0, 2, 2)), np.empty((0, 4)))
    one, other = _near(fabric, at, within_m[fabric.owner[at]])
    e, f = at[np.minimum(one, other)], at[np.maximum(one, other)]
    u, v = fabric.b[e] - fabric.a[e], fabric.b[f] - fabric.a[f]
    opposed = _dot(u, v) <= _FACING * np.hypot(*u.T) * np.hypot(*v.T)
    # Within one ring that is a shell, an inlet: the parcel's own shape and no gap between parcels.
    opposed &= (fabric.ring[e] != fabric.ring[f]) | fabric.hole[e]
    key = distinct(e[opposed] * len(fabric.a) + f[opposed])
    e, f = key // len(fabric.a), key % len(fabric.a)
    return _opposite(fabric, e, f, within_m)


def _near(fabric: Edges, at: Ints, by: Floats) -> tuple[Ints, Ints]:
    """Pairs of the edges ``at`` (by place in it) whose boxes are up to ``by`` (m, of each) apart."""
    low, high = np.minimum(fabric.a[at], fabric.b[at]), np.maximum(fabric.a[at], fabric.b[at])
    # From west to east: an edge meets those that begin before it ends. Of a few hundred that takes a third of
    # what a tree does, but all that lie over each other meet.
    west, east = low[:, 0] - by, high[:, 0] + by
    order = np.argsort(west)
    meets = np.searchsorted(west[order], east[order], side="right") - np.arange(1, len(at) + 1)
    if meets.sum() > _SWEPT * len(at):
        boxes = shapely.box(west, low[:, 1] - by, east, high[:, 1] + by)
        one, other = fabric.free_tree.query(boxes)
        return one, other
    first = np.repeat(np.arange(len(at)), meets)
    before = np.cumsum(meets) - meets
    second = np.arange(len(first)) - before[first] + first + 1
    one, other = order[first], order[second]
    for k in (1, 0):
        reach = np.maximum(by[one], by[other])
        near = (low[one, k] - reach <= high[other, k]) & (low[other, k] <= high[one, k] + reach)
        one, other = one[near], other[near]
    return one, other


def _opposite(fabric: Edges, e: Ints, f: Ints, within_m: Floats) -> Facing:
    origin = np.floor(fabric.a[e])
    a1, b1, a2, b2 = fabric.a[e] - origin, fabric.b[e] - origin, fabric.a[f] - origin, fabric.b[f] - origin
    u, length_e = _unit(b1 - a1)
    v, length_f = _unit(b2 - a2)
    on_e, some_e = _stretch(a1, u, length_e, a2, b2)
    on_f, some_f = _stretch(a2, v, length_f, a1, b1)
    away = np.empty((len(e), 4))
    for k in (0, 1):
        away[:, k] = _right_of(u, on_f[:, k] - a1)
        away[:, 2 + k] = _right_of(v, on_e[:, k] - a2)
    limit = np.maximum(within_m[fabric.owner[e]], within_m[fabric.owner[f]])
    near = some_e & some_f & (away.min(axis=1) <= limit) & (away.max(axis=1) >= -limit)
    return Facing(e, f, origin, on_e, on_f, away).take(near)


def _stretch(a: Floats, u: Floats, length: Floats, p: Floats, q: Floats) -> tuple[Floats, Bools]:
    """The part of the edge from ``a`` along ``u`` onto which the edge p q projects; whether there is any."""
    t, s = _dot(u, p - a), _dot(u, q - a)
    low, high = np.maximum(np.minimum(t, s), 0.0), np.minimum(np.maximum(t, s), length)
    ends = np.empty((len(a), 2, 2))
    ends[:, 0], ends[:, 1] = a + u * low[:, None], a + u * high[:, None]
    return ends, high > low


@dataclass(frozen=True)
class Touching:
    """``k`` T-vertices: vertex number, the edge it lies on, how far off it (m), its place (k, 2)."""

    vertex: Ints
    edge: Ints
    distance: Floats
    xy: Floats


def t_vertices(fabric: Edges, pairs: Facing, within_m: float) -> Touching:
    """Vertices of polygons that share a stretch of a neighbour's edge, where the neighbour has no vertex.

    Vertex and stretch lie within ``within_m`` of the edge. A corner that only touches an edge is none.
    """
    pairs = pairs.take(
        (np.abs(pairs.away).max(axis=1) <= within_m)
        & (fabric.owner[pairs.e] != fabric.owner[pairs.f])
        & (np.hypot(*(pairs.on_e[:, 1] - pairs.on_e[:, 0]).T) > within_m)
    )
    found: list[tuple[Ints, Ints, Floats, Floats]] = []
    if not len(pairs.e):
        none = np.empty(0, np.int64)
        return Touching(none, none, np.empty(0), np.empty((0, 2)))
    for edge, other in ((pairs.e, pairs.f), (pairs.f, pairs.e)):
        u, length = _unit(fabric.b[edge] - fabric.a[edge])
        for number, xy in ((fabric.ia, fabric.a), (fabric.ib, fabric.b)):
            off = xy[other] - fabric.a[edge]
            t, away = _dot(u, off), np.abs(u[:, 0] * off[:, 1] - u[:, 1] * off[:, 0])
            on = (t > within_m) & (t < length - within_m) & (away <= within_m)
            on &= ~fabric.has_vertex(fabric.owner[edge], number[other])
            found.append((number[other][on], edge[on], away[on], xy[other][on]))
    vertex, edge, distance, place = (np.concatenate(part) for part in zip(*found, strict=True))
    _, first = np.unique(vertex * len(fabric.a) + edge, return_index=True)
    return Touching(vertex[first], edge[first], distance[first], place[first])


@dataclass(frozen=True)
class Close:
    """``k`` pairs of vertices of different polygons that are nearly equal: numbers, places, distance (m)."""

    u: Ints
    v: Ints
    u_xy: Floats
    v_xy: Floats
    distance: Floats


_NONE = Close(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 2)), np.empty((0, 2)), np.empty(0))


def close_vertices(fabric: Edges, within_m: Floats) -> Close:
    """Vertices on free edges up to ``within_m`` apart (n, by polygon; a vertex has its greatest), not
    at the same place, that no polygon has both of and no edge joins.
    """
    at = fabric.free_index
    ends, places = (
        np.concatenate([fabric.ia[at], fabric.ib[at]]),
        np.concatenate([fabric.a[at], fabric.b[at]]),
    )
    order = np.argsort(ends)
    first = order[begins(ends[order])]
    number, xy = ends[first], places[first]
    vertex, owner = fabric.corners
    limit = np.zeros(len(number))
    np.maximum.at(limit, np.searchsorted(number, vertex), within_m[owner])
    if len(number) < 2 or limit.max() <= 0:
        return _NONE
    # A little more than asked, for that is decided by np.hypot.
    one, other = _pairs(xy, float(limit.max()) * 1.001)
    distance = np.hypot(*(xy[one] - xy[other]).T)
    near = (distance <= np.maximum(limit[one], limit[other])) & (distance > 0)
    one, other, distance = one[near], other[near], distance[near]
    if not len(one):
        return _NONE
    for known in (fabric.joined, lambda u, v: _shared_holder(fabric, u, v)):
        apart = ~known(number[one], number[other])
        one, other, distance = one[apart], other[apart], distance[apart]
    return Close(number[one], number[other], xy[one], xy[other], distance)


def _pairs(xy: Floats, reach: float) -> tuple[Ints, Ints]:
    """Places that are, about, no farther than ``reach`` (m) apart, except in a crowd; the first of two before
    the other."""
    if len(xy) <= CROWD:
        x, y = xy.T
        near = np.abs(x[:, None] - x) <= reach
        near &= np.abs(y[:, None] - y) <= reach
        one, other = near.nonzero()
        return one[one < other], other[one < other]
    local = xy - np.floor(xy.min(axis=0))
    # Most corners have no other one near: look for the nearest before collecting pairs.
    tree = cKDTree(local, balanced_tree=False, compact_nodes=False)
    some = np.isfinite(tree.query(local, k=2, distance_upper_bound=reach)[0][:, 1])
    some &= ~_crowded(xy)
    if not some.all():
        tree = cKDTree(local[some], balanced_tree=False, compact_nodes=False)
    pairs = np.flatnonzero(some)[tree.query_pairs(reach, output_type="ndarray")]
    return pairs[:, 0], pairs[:, 1]


def _crowded(xy: Floats) -> Bools:
    """Which places are in a square of _CROWD_M with more than CROWD of them."""
    cell = np.floor(xy / _CROWD_M).astype(np.int64)
    key = (cell[:, 0] - cell[:, 0].min()) * (int(np.ptp(cell[:, 1])) + 1) + (cell[:, 1] - cell[:, 1].min())
    order = np.argsort(key)
    count = np.diff(np.append(np.flatnonzero(begins(key[order])), len(key)))
    crowded = np.empty(len(key), bool)
    crowded[order] = np.repeat(count > CROWD, count)
    return crowded


def holders(fabric: Edges, vertex: int) -> Ints:
    """Polygons with a free edge at the vertex, in order."""
    vertices, owner = fabric.corners
    low, high = np.searchsorted(vertices, [vertex, vertex + 1])
    return owner[low:high]


def _shared_holder(fabric: Edges, u: Ints, v: Ints) -> Bools:
    """Whether a polygon has both vertices."""
    vertices, owner = fabric.corners
    low, high = np.searchsorted(vertices, u), np.searchsorted(vertices, u, side="right")
    pair = np.repeat(np.arange(len(u)), high - low)
    place = np.arange(len(pair)) - np.repeat(np.cumsum(high - low) - (high - low), high - low) + low[pair]
    both = fabric.has_vertex(owner[place], v[pair])
    shared = np.zeros(len(u), bool)
    shared[pair[both]] = True
    return shared


def _dot(u: Floats, v: Floats) -> Floats:
    found: Floats = u[:, 0] * v[:, 0] + u[:, 1] * v[:, 1]
    return found


def _right_of(u: Floats, v: Floats) -> Floats:
    """How far ``v`` is to the right of the direction ``u``, where a polygon's outside is."""
    found: Floats = u[:, 1] * v[:, 0] - u[:, 0] * v[:, 1]
    return found


def _unit(v: Floats) -> tuple[Floats, Floats]:
    length = np.hypot(v[:, 0], v[:, 1])
    return v / length[:, None], length
