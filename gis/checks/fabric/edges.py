"""Edges of polygons, and which of them two neighbours share exactly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from gis.checks.features import Bools, Floats, Ints, Objects

_K1, _K2, _K3 = (np.uint64(k) for k in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9))
_SHIFT = np.uint64(29)
_ZERO = np.zeros(1, np.int64)
_POLYGON = shapely.GeometryType.POLYGON


@dataclass(frozen=True)
class Edges:
    """The edges of ``n`` polygons, each directed so that its polygon lies on the left.

    ``a``, ``b`` (m, 2) start and end in the storage CRS; ``ia``, ``ib`` (m) numbers of the vertices, the
    same for vertices at exactly the same place; ``owner`` (m) index of the polygon; ``ring`` (m) number of
    the ring, ``hole`` (m) whether it is an interior one; ``free`` (m) not shared exactly with one neighbour.
    """

    polygons: Objects
    a: Floats
    b: Floats
    ia: Ints
    ib: Ints
    owner: Ints
    ring: Ints
    hole: Bools
    free: Bools
    #: (n) a number for each polygon that is the same for those with the same edges.
    shape: npt.NDArray[np.uint64]

    @cached_property
    def free_index(self) -> Ints:
        return np.flatnonzero(self.free)

    @cached_property
    def tree(self) -> shapely.STRtree:
        """Spatial index of the polygons."""
        return shapely.STRtree(self.polygons)

    @cached_property
    def free_tree(self) -> shapely.STRtree:
        """Spatial index of the free edges, numbered as in free_index."""
        at = self.free_index
        return shapely.STRtree(shapely.linestrings(np.stack([self.a[at], self.b[at]], axis=1)))

    @cached_property
    def corners(self) -> tuple[Ints, Ints]:
        """(vertex, polygon) of all vertices that lie on free edges, sorted by vertex, each pair once."""
        at = self.free_index
        vertex = np.concatenate([self.ia[at], self.ib[at]])
        owner = np.concatenate([self.owner[at], self.owner[at]])
        key = distinct(vertex * max(1, len(self.polygons)) + owner)
        return key // max(1, len(self.polygons)), key % max(1, len(self.polygons))

    @cached_property
    def owned(self) -> Ints:
        """Sorted numbers that tell which polygon has which vertex; see has_vertex."""
        return distinct(self.ia * max(1, len(self.polygons)) + self.owner)

    def has_vertex(self, owner: Ints, vertex: Ints) -> Bools:
        """Whether the polygons have the vertices."""
        if not len(vertex):  # and so the table need not be built
            return np.zeros(0, bool)
        return _member(self.owned, vertex * max(1, len(self.polygons)) + owner)

    @cached_property
    def _joined(self) -> Ints:
        low, high = np.minimum(self.ia, self.ib), np.maximum(self.ia, self.ib)
        return distinct(low * self._vertices + high)

    def joined(self, u: Ints, v: Ints) -> Bools:
        """Whether an edge of any polygon joins the two vertices."""
        return _member(self._joined, np.minimum(u, v) * self._vertices + np.maximum(u, v))

    @property
    def _vertices(self) -> int:
        return int(self.ia.max(initial=0)) + 1


def edges(polygons: Objects) -> Edges:
    """The edges of sound polygons and multipolygons (Z is not looked at)."""
    if len(polygons) == 0:
        none, pairs = np.empty(0, np.int64), np.empty((0, 2))
        no = np.empty(0, bool)
        return Edges(polygons, pairs, pairs, none, none, none, none, no, no, np.empty(0, np.uint64))
    polygon_of_ring, part_of_ring, xy, ring_of_vertex = _rings(polygons)
    xy += 0.0  # makes -0.0 the same as 0.0
    hole_ring = np.zeros(len(part_of_ring), bool)
    hole_ring[1:] = part_of_ring[1:] == part_of_ring[:-1]
    goes_on = ring_of_vertex[1:] == ring_of_vertex[:-1]
    starts = np.concatenate([_ZERO, np.flatnonzero(~goes_on) + 1])
    first_of = ring_of_vertex[starts]  # rings without vertices are none
    # Shoelace about each ring's first vertex: the differences of near coordinates are exact.
    base = np.zeros((len(part_of_ring), 2))
    base[first_of] = xy[starts]
    from_first = xy - base[ring_of_vertex]
    cross = np.zeros(len(xy))
    cross[:-1] = from_first[:-1, 0] * from_first[1:, 1] - from_first[1:, 0] * from_first[:-1, 1]
    cross[:-1][~goes_on] = 0.0
    backward = np.zeros(len(part_of_ring), bool)
    backward[first_of] = (np.add.reduceat(cross, starts) > 0) == hole_ring[first_of]
    number, mixed = _numbers(xy)
    first = np.flatnonzero(goes_on & (number[1:] != number[:-1]))
    ring = ring_of_vertex[first]
    turn = backward[ring]
    start, end = np.where(turn, first + 1, first), np.where(turn, first, first + 1)
    owner = polygon_of_ring[ring]
    ia, ib = number[start], number[end]
    return Edges(
        polygons, xy[start], xy[end], ia, ib, owner, ring, hole_ring[ring], _free(ia, ib, owner),
        _shapes(mixed[start], mixed[end], owner, len(polygons)),
    )  # fmt: skip


def _rings(polygons: Objects) -> tuple[Ints, Ints, Floats, Ints]:
    """Of each ring its polygon and its part (a part's first is the outer one); of each vertex, ring by ring,
    its place (m, 2) and its ring. For a few polygons to_ragged_array takes three times as long."""
    simple = (shapely.get_type_id(polygons) == _POLYGON).all()
    if simple and not shapely.get_num_interior_rings(polygons).any():
        rings = polygons
        polygon_of_ring = part_of_ring = np.arange(len(polygons))
    else:
        parts, polygon_of_part = shapely.get_parts(polygons, return_index=True)
        rings, part_of_ring = shapely.get_rings(parts, return_index=True)
        polygon_of_ring = polygon_of_part[part_of_ring]
    xy, ring_of_vertex = shapely.get_coordinates(rings, return_index=True)
    return polygon_of_ring, part_of_ring, xy, ring_of_vertex


def _numbers(xy: Floats) -> tuple[Ints, npt.NDArray[np.uint64]]:
    """A number for each place (the same for equal coordinates), and a 64-bit mix of its coordinates.

    Sorting one mixed number is five times as fast as sorting pairs. Two places that mix to the same number
    can at worst be numbered twice; then a shared edge looks free and is examined for nothing.
    """
    bits = np.ascontiguousarray(xy).view(np.uint64)
    mixed = bits[:, 0] * _K1
    mixed ^= mixed >> _SHIFT
    mixed += bits[:, 1] * _K2
    mixed ^= mixed >> _SHIFT
    mixed *= _K3
    mixed ^= mixed >> _SHIFT
    order = np.argsort(mixed)
    x, y = xy[order].T
    new = begins(x) | begins(y)
    number = np.empty(len(xy), np.int64)
    number[order] = np.cumsum(new) - 1
    return number, mixed


def _free(ia: Ints, ib: Ints, owner: Ints) -> Bools:
    """Edges that are not one of exactly two, run in opposite directions by two polygons."""
    key = np.minimum(ia, ib) * (ia.max(initial=0) + 1) + np.maximum(ia, ib)
    order = np.argsort(key)
    ordered = key[order]
    same = ordered[1:] == ordered[:-1]
    pair = same.copy()
    pair[1:] &= ~same[:-1]
    pair[:-1] &= ~same[1:]
    one, other = order[:-1][pair], order[1:][pair]
    matched = (ia[one] == ib[other]) & (owner[one] != owner[other])
    free = np.ones(len(ia), bool)
    free[one[matched]] = False
    free[other[matched]] = False
    return free


def _shapes(
    start: npt.NDArray[np.uint64], end: npt.NDArray[np.uint64], owner: Ints, count: int
) -> npt.NDArray[np.uint64]:
    """The sum of a mix of each polygon's directed edges: wherever its rings begin."""
    mixed = (start * _K2) ^ ((end + _K3) * _K1)
    mixed ^= mixed >> _SHIFT
    mixed *= _K3
    total = np.zeros(count, np.uint64)
    firsts = np.flatnonzero(begins(owner))  # edges are in the order of their polygons
    if firsts.size:
        total[owner[firsts]] = np.add.reduceat(mixed, firsts)
    return total


def distinct(numbers: Ints) -> Ints:
    """The numbers in order, each once. np.unique hashes first, which takes five times as long."""
    ordered = np.sort(numbers)
    return ordered[begins(ordered)]


def begins(ordered: npt.NDArray[Any]) -> Bools:
    """Where a run of equal numbers begins. np.diff would put another number in front, at five times the cost
    for a few."""
    new = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return new


def _member(ordered: Ints, wanted: Ints) -> Bools:
    if not ordered.size:
        return np.zeros(len(wanted), bool)
    at = np.minimum(np.searchsorted(ordered, wanted), ordered.size - 1)
    found: Bools = ordered[at] == wanted
    return found
