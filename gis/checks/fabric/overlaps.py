"""Polygons that lie on each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import shapely

from gis.checks.fabric.edges import Edges, distinct, edges
from gis.checks.features import Floats, Ints, Objects

#: So many polygons with nearly the same box (to 1 m) are a heap: the same parcel delivered over and over.
HEAP = 64
#: Of a heap, so many are compared with everything; the others with these and with what is outside.
HEADS = 8
#: Exact overlays are made of so many pairs at a time, to bound memory.
_CHUNK = 20_000
#: A polygon with more vertices is cut to its partner's box before an overlay.
_LARGE = 500
#: m.
_TRIM = 1e-6


@dataclass(frozen=True)
class Stack:
    """What lies on one another as a whole, taken out before edges are compared.

    ``copies``: (k, 2) the first polygon (by order) and another of exactly the same shape. ``kept``: indices
    of the polygons that are left. ``followers``: indices among all of heap members beyond the first few.
    """

    copies: Ints
    kept: Ints
    followers: Ints


def unstack(polygons: Objects, boxes: Floats, shape: np.ndarray) -> Stack:
    """Finds copies and heaps. Without, ten thousand versions of a parcel would mean 50 million pairs."""
    count = len(polygons)
    order = np.argsort(shape, kind="stable")
    run = np.flatnonzero(shape[order][1:] == shape[order][:-1])
    copies: list[tuple[int, int]] = []
    if run.size:
        head = order[0]
        first_of: dict[int, int] = {}
        for position in run:
            one, other = int(order[position]), int(order[position + 1])
            head = first_of.get(one, one)
            if shapely.equals(polygons[head], polygons[other]):
                copies.append((head, other))
                first_of[other] = head
    left = np.ones(count, bool)
    left[[other for _, other in copies]] = False
    kept = np.flatnonzero(left)
    followers = np.empty(0, np.int64)
    if len(kept) > HEAP and _may_be_heap(boxes[kept, 0]):
        _, group, size = np.unique(_row_keys(np.floor(boxes[kept])), return_inverse=True, return_counts=True)
        if size.max() > HEAP:
            ordered = np.argsort(group, kind="stable")
            place = np.empty(len(kept), np.int64)
            place[ordered] = np.arange(len(kept)) - np.repeat(np.cumsum(size) - size, size)
            crowd = (size[group] > HEAP) & (place >= HEADS)
            followers, kept = kept[crowd], kept[~crowd]
    return Stack(np.array(copies, np.int64).reshape(-1, 2), kept, followers)


def _may_be_heap(west: Floats) -> bool:
    """Whether so many boxes begin at the same metre that they may be a heap."""
    ordered = np.sort(np.floor(west))
    return bool((ordered[HEAP:] == ordered[:-HEAP]).any())


def _row_keys(rows: Floats) -> np.ndarray:
    mixed = np.zeros(len(rows), np.uint64)
    for column in rows.T:
        mixed = (mixed ^ column.astype(np.int64).astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed


def suspects(fabric: Edges) -> Ints:
    """Indices of polygons, at least one of every overlapping pair (see the package's docstring)."""
    if len(fabric.polygons) < 2:
        return np.empty(0, np.int64)
    points = shapely.point_on_surface(fabric.polygons)
    one, other = fabric.tree.query(points, predicate="intersects")
    doubly = one[one != other]
    crossed = _entered(fabric)
    return distinct(np.concatenate([doubly, crossed]))


def _entered(fabric: Edges) -> Ints:
    """Polygons whose interior a free edge of another one reaches.

    The edges are shortened by a micrometre at both ends: else each edge on a street would touch its
    neighbours, and telling a touch from a crossing takes four times as long.
    """
    at = fabric.free_index
    step = fabric.b[at] - fabric.a[at]
    step *= np.minimum(_TRIM / np.hypot(*step.T), 0.25)[:, None]
    lines = shapely.linestrings(np.stack([fabric.a[at] + step, fabric.b[at] - step], axis=1))
    edge, polygon = fabric.tree.query(lines)
    foreign = fabric.owner[at[edge]] != polygon
    edge, polygon = edge[foreign], polygon[foreign]
    # Prepared, because a road may be the neighbour of all.
    large = fabric.polygons[shapely.get_num_coordinates(fabric.polygons) > 64]
    shapely.prepare(large)
    meets = shapely.intersects(fabric.polygons[polygon], lines[edge])
    edge, polygon = edge[meets], polygon[meets]
    enters = ~shapely.touches(fabric.polygons[polygon], lines[edge])
    shapely.destroy_prepared(large)
    entered: Ints = polygon[enters]
    return entered


def overlaps(
    polygons: Objects, which: Ints, others: shapely.STRtree, names: Ints, width_m: float
) -> tuple[Ints, Objects, Floats, Floats]:
    """Overlaps of the polygons ``which`` with those of a tree (of polygons[names]).

    Gives pairs (k, 2) of indices, first < second, each once; what they share (only parts wider than
    ``width_m``); its area (m2), and its greatest width (m; see widths()).
    """
    boxes = shapely.bounds(polygons)
    one, other = others.query(polygons[which])
    first, second = which[one], names[other]
    mine = first != second
    first, second = np.minimum(first, second)[mine], np.maximum(first, second)[mine]
    key = distinct(first * max(1, len(polygons)) + second)
    first, second = key // max(1, len(polygons)), key % max(1, len(polygons))
    near = (
        np.minimum(boxes[first, 2:], boxes[second, 2:]) > np.maximum(boxes[first, :2], boxes[second, :2])
    ).all(axis=1)
    first, second = first[near], second[near]
    shared, area, width = overlaps_of(polygons[first], polygons[second], boxes[first], boxes[second], width_m)
    there = area > 0
    return np.column_stack([first, second])[there], shared[there], area[there], width[there]


def overlaps_of(
    ones: Objects, twos: Objects, boxes: Floats, other_boxes: Floats, width_m: float
) -> tuple[Objects, Floats, Floats]:
    """What each of ``ones`` shares with the polygon beside it (n): the parts wider than ``width_m`` (None if
    there are none), their area (m2) and greatest width (m; see widths()).
    """
    low = np.maximum(boxes[:, :2], other_boxes[:, :2])
    high = np.minimum(boxes[:, 2:], other_boxes[:, 2:])
    what, area, width = np.full(len(ones), None, dtype=object), np.zeros(len(ones)), np.zeros(len(ones))
    for start in range(0, len(ones), _CHUNK):
        k = slice(start, start + _CHUNK)
        what[k], area[k], width[k] = _shared(ones[k], twos[k], low[k], high[k], width_m)
    return what, area, width


def _shared(
    ones: Objects, twos: Objects, low: Floats, high: Floats, width_m: float
) -> tuple[Objects, Floats, Floats]:
    # Overlay about a local origin: at 1.2e6 m an area of 0.01 m2 would be lost in the last bits.
    origin = np.floor(low)
    ones, twos = moved(ones, -origin), moved(twos, -origin)
    for some in (ones, twos):
        for index in np.flatnonzero(shapely.get_num_coordinates(some) > _LARGE):
            box = (*(low[index] - origin[index] - 1), *(high[index] - origin[index] + 1))
            cut = shapely.clip_by_rect(some[index], *box)
            if shapely.is_valid(cut):
                some[index] = cut
    what = overlay(shapely.intersection, ones, twos)
    total, greatest = np.zeros(len(ones)), np.zeros(len(ones))
    kept = np.full(len(ones), None, dtype=object)
    parts, pair = shapely.get_parts(what, return_index=True)
    area = shapely.area(parts)
    areal = area > 0
    if not areal.any():  # neighbours that share no more than their boundary
        return kept, total, greatest
    parts, pair, area = parts[areal], pair[areal], area[areal]
    width = widths(parts)
    wide = width > width_m
    parts, pair, area, width = parts[wide], pair[wide], area[wide], width[wide]
    np.add.at(total, pair, area)
    np.maximum.at(greatest, pair, width)
    there = distinct(pair)
    if there.size:
        begins = np.searchsorted(pair, there)
        for index, begin, end in zip(there, begins, [*begins[1:], len(pair)], strict=True):
            kept[index] = parts[begin] if end == begin + 1 else shapely.multipolygons(parts[begin:end])
        kept[there] = moved(kept[there], origin[there])
    return kept, total, greatest


def overlay(operation: Callable[..., Objects], ones: Objects, twos: Objects) -> Objects:
    """An overlay of pairs; those that GEOS gives up on are done again on a grid of 10 nm.

    Coordinates should be near the origin.
    """
    try:
        return operation(ones, twos)
    except shapely.errors.GEOSException:
        made = np.empty(len(ones), dtype=object)
        for k, (one, other) in enumerate(zip(ones, twos, strict=True)):
            try:
                made[k] = operation(one, other)
            except shapely.errors.GEOSException:
                made[k] = operation(one, other, grid_size=1e-8)
        return made


def united(polygons: Objects) -> shapely.Geometry:
    """The union of polygons that touch each other, on a grid of 0.1 um about a local origin: pieces whose
    common sides differ in their last bits make GEOS' plain union fail."""
    origin = np.floor(shapely.total_bounds(polygons)[:2])
    whole = shapely.union_all(moved(polygons, np.tile(-origin, (len(polygons), 1))), grid_size=1e-7)
    return moved(np.array([whole]), origin[None])[0]


def widths(polygons: Objects) -> Floats:
    """(n) greatest width (m) of slivers: of a strip its width, of a wedge what it opens to.

    The short side of the smallest rectangle around the polygon, or twice its mean width (the short side of
    the rectangle with its area and perimeter) where that is less: a bent strip lies in a large rectangle.
    What is no polygon has 0. Coordinates should be near the origin.
    """
    area, half = shapely.area(polygons), shapely.length(polygons) / 2
    root = np.sqrt(np.maximum(half * half - 4 * area, 0.0))
    # (half - root) / 2 cancels for slivers; this is the same number without.
    mean = np.divide(2 * area, half + root, out=np.zeros_like(area), where=half > 0)
    flat = area > 0
    around = np.zeros_like(area)
    corners = shapely.get_coordinates(shapely.oriented_envelope(polygons[flat])).reshape(-1, 5, 2)
    sides = np.hypot(*(corners[:, 1:3] - corners[:, :2]).transpose(2, 0, 1))
    around[flat] = sides.min(axis=1, initial=np.inf)
    found: Floats = np.minimum(around, 2 * mean)
    return found


def moved(polygons: Objects, by: Floats) -> Objects:
    """Each polygon moved by its own vector, Z dropped."""
    xy, index = shapely.get_coordinates(polygons, return_index=True)
    moved: Objects = shapely.set_coordinates(polygons.copy(), xy + by[index])
    return moved


def edges_without_stacks(polygons: Objects, boxes: Floats) -> tuple[Edges, Stack]:
    """The edges of the polygons (indices are those among ``kept``) and what was taken out before."""
    all_edges = edges(polygons)
    stack = unstack(polygons, boxes, all_edges.shape)
    if len(stack.kept) == len(polygons):
        return all_edges, stack
    return edges(polygons[stack.kept]), stack
