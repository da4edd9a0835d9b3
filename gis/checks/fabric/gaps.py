"""Narrow places between polygons that no polygon covers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely

from gis.checks.fabric.edges import Edges, begins
from gis.checks.fabric.facing import Facing
from gis.checks.fabric.overlaps import moved, overlay, united
from gis.checks.features import Floats, Ints, Objects
from gis.checks.source import Box

#: Pieces of a gap that come so near (m) are one gap; overlay leaves errors of 1e-12 m.
_TOUCH = 1e-6
_LEAST_SIDE = 1e-3
#: Overlay of pieces on this grid (m) never fails, and is exact enough for 1 mm.
_GRID = 1e-9
#: Times the distance of the edges.
_TAIL = 1.5
#: Larger polygons are cut to a piece's box before an overlay.
_LARGE = 500


@dataclass(frozen=True)
class Gap:
    """``where``: the uncovered place; ``width`` (m) at its widest; ``around``: polygons at it, in order.

    ``whole``: it was not cut (see gaps()).
    """

    where: shapely.Geometry
    width: float
    around: tuple[int, ...]
    whole: bool


@dataclass(frozen=True)
class _Pieces:
    """Uncovered pieces (k) between two edges each: their place and width (m), and which of the pairs."""

    where: Objects
    width: Floats
    pairs: Facing
    pair: Ints


def gaps(
    fabric: Edges, pairs: Facing, least_m: float, within_m: Floats, longest_m: float, seen: Box
) -> list[Gap]:
    """Gaps wider than ``least_m`` and up to ``within_m`` (n, by polygon; the greater of two).

    A gap is what lies between facing free edges and is covered by no polygon; pieces that touch are one
    gap. What widens beyond the limit between two edges is a street and no gap. ``seen``: where all polygons
    are known. So that a gap does not depend on how much of it is seen, one that is longer or higher than
    ``longest_m`` is cut along lines at multiples of ``longest_m``, and each part is a gap.
    """
    narrow = _narrow(fabric, pairs, least_m, within_m)
    if not len(narrow.e):
        return []
    pieces = _uncovered(fabric, narrow, least_m, seen)
    if not len(pieces.where):
        return []
    found = []
    for which in _touching(pieces.where):
        box = shapely.total_bounds(pieces.where[which])
        if max(box[2] - box[0], box[3] - box[1]) <= longest_m:
            where = united(pieces.where[which])
            found.append(Gap(where, float(pieces.width[which].max()), _around(fabric, where), True))
        else:
            found += _cut(fabric, pieces, which, longest_m, least_m)
    return found


def _narrow(fabric: Edges, pairs: Facing, least_m: float, within_m: Floats) -> Facing:
    widest = pairs.away.max(axis=1)
    limit = np.maximum(within_m[fabric.owner[pairs.e]], within_m[fabric.owner[pairs.f]])
    return pairs.take((widest > least_m) & (widest <= limit))


def _uncovered(fabric: Edges, pairs: Facing, least_m: float, seen: Box) -> _Pieces:
    """What polygons leave of the quadrilaterals between the edges, as far as it touches both edges."""
    opposite = np.concatenate(
        [_to_corners(fabric, pairs.e, pairs.on_e, pairs), _to_corners(fabric, pairs.f, pairs.on_f, pairs)],
        axis=1,
    )
    quads = shapely.convex_hull(shapely.multipoints(opposite))
    real = shapely.area(quads) > least_m * least_m
    quads, pairs = quads[real], pairs.take(real)
    quads = _within(quads, pairs.origin, seen)
    real = ~shapely.is_empty(quads)
    quads, pairs = quads[real], pairs.take(real)
    if not len(quads):
        return _Pieces(np.empty(0, object), np.empty(0), pairs, np.empty(0, np.int64))
    left = _less(fabric, quads, pairs.origin)
    parts, pair = shapely.get_parts(left, return_index=True)
    at_e = shapely.distance(parts, shapely.linestrings(pairs.on_e[pair])) <= _TOUCH
    at_f = shapely.distance(parts, shapely.linestrings(pairs.on_f[pair])) <= _TOUCH
    width = _across(parts, pairs, pair)
    real = at_e & at_f & (shapely.area(parts) > least_m * least_m) & (width > least_m)
    parts, pair, width = parts[real], pair[real], width[real]
    return _Pieces(moved(parts, pairs.origin[pair]), width, pairs, pair)


def _to_corners(fabric: Edges, edge: Ints, stretch: Floats, pairs: Facing) -> Floats:
    """The stretches, drawn out to the ends of their edges where these are as near as the edges are apart.

    Perpendiculars do not reach into the corner where two edges and a third one meet.
    """
    drawn = stretch.copy()
    for k, corner in ((0, fabric.a), (1, fabric.b)):
        end = corner[edge] - pairs.origin
        near = np.hypot(*(end - stretch[:, k]).T) <= _TAIL * pairs.away.max(axis=1)
        drawn[near, k] = end[near]
    return drawn


def _within(quads: Objects, origin: Floats, seen: Box) -> Objects:
    """The quadrilaterals as far as they lie where all is known."""
    boxes = shapely.bounds(quads) + np.tile(origin, 2)
    out = (boxes[:, :2] < np.array(seen[:2])).any(axis=1) | (boxes[:, 2:] > np.array(seen[2:])).any(axis=1)
    if not out.any():
        return quads
    cut = quads.copy()
    for index in np.flatnonzero(out):
        low, high = np.array(seen[:2]) - origin[index], np.array(seen[2:]) - origin[index]
        known = shapely.box(*np.maximum(low, -1e6), *np.minimum(high, 1e6))
        part = shapely.intersection(quads[index], known)
        cut[index] = part if shapely.get_dimensions(part) == 2 else shapely.Polygon()
    return cut


def _less(fabric: Edges, quads: Objects, origin: Floats) -> Objects:
    quad, polygon = fabric.tree.query(moved(quads, origin))
    order = np.lexsort((polygon, quad))
    quad, polygon = quad[order], polygon[order]
    over = moved(fabric.polygons[polygon], -origin[quad])
    for index in np.flatnonzero(shapely.get_num_coordinates(over) > _LARGE):
        box = shapely.bounds(quads[quad[index]])
        cut = shapely.clip_by_rect(over[index], box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1)
        if shapely.is_valid(cut):
            over[index] = cut
    covered, which = shapely.get_parts(overlay(shapely.intersection, quads[quad], over), return_index=True)
    areal = shapely.get_dimensions(covered) == 2  # a polygon beside may share a line only
    covered, quad = covered[areal], quad[which[areal]]
    left = quads.copy()
    for n, begin, end in _runs(quad):
        cover = shapely.union_all(covered[begin:end], grid_size=_GRID)
        left[n] = shapely.difference(quads[n], cover, grid_size=_GRID)
    return left


def _across(parts: Objects, pairs: Facing, pair: Ints) -> Floats:
    """The greatest distance (m) of a corner of each part from the farther of its two edges."""
    xy, part = shapely.get_coordinates(parts, return_index=True)
    width = np.zeros(len(parts))
    for ends in (pairs.on_e, pairs.on_f):
        start, step = ends[pair][:, 0], ends[pair][:, 1] - ends[pair][:, 0]
        length = np.hypot(*step.T)
        off = xy - start[part]
        away = np.abs(step[part, 0] * off[:, 1] - step[part, 1] * off[:, 0]) / length[part]
        np.maximum.at(width, part, away)
    return width


def _around(fabric: Edges, where: shapely.Geometry) -> tuple[int, ...]:
    """Polygons with more than a millimetre of boundary on the gap, in order; else the one with most."""
    edge = shapely.buffer(where, _TOUCH)
    near = np.sort(fabric.tree.query(edge))
    along = shapely.length(shapely.intersection(shapely.boundary(fabric.polygons[near]), edge))
    return tuple(near[along >= min(_LEAST_SIDE, along.max(initial=0))].tolist())


def _cut(fabric: Edges, pieces: _Pieces, which: Ints, size: float, least_m: float) -> list[Gap]:
    """The parts of a long gap in squares of ``size`` metres."""
    found = []
    box = shapely.bounds(pieces.where[which])
    first, last = np.floor(box[:, :2] / size).astype(np.int64), np.floor(box[:, 2:] / size).astype(np.int64)
    cells: dict[tuple[int, int], list[int]] = {}
    for index, low, high in zip(which, first, last, strict=True):
        for i in range(low[0], high[0] + 1):
            for j in range(low[1], high[1] + 1):
                cells.setdefault((i, j), []).append(int(index))
    for (i, j), members in sorted(cells.items()):
        square = shapely.box(i * size, j * size, (i + 1) * size, (j + 1) * size)
        part = shapely.intersection(pieces.where[members], square)
        # The width here, not that of the piece: how much of a long piece is seen differs between windows.
        pair = pieces.pair[members]
        width = _across(moved(part, -pieces.pairs.origin[pair]), pieces.pairs, pair)
        there = (shapely.area(part) > 0) & (width > least_m)
        if not there.any():
            continue
        for group in _touching(part[there]):
            where = united(part[there][group])
            if shapely.area(where) <= _LEAST_SIDE**2:
                continue
            found.append(Gap(where, float(width[there][group].max()), _around(fabric, where), False))
    return found


def _touching(pieces: Objects) -> list[Ints]:
    """Groups of pieces (indices in order) that touch, be it through others."""
    group = list(range(len(pieces)))

    def first_of(k: int) -> int:
        while group[k] != k:
            group[k] = k = group[group[k]]
        return k

    if len(pieces) > 1:
        pairs = shapely.STRtree(pieces).query(pieces, predicate="dwithin", distance=_TOUCH)
        for one, other in zip(*pairs.tolist(), strict=True):
            low, high = sorted((first_of(one), first_of(other)))
            group[high] = low
    found: dict[int, list[int]] = {}
    for k in range(len(pieces)):
        found.setdefault(first_of(k), []).append(k)
    return [np.array(members) for members in found.values()]


def _runs(ordered: Ints) -> list[tuple[int, int, int]]:
    firsts = np.flatnonzero(begins(ordered)).tolist() if len(ordered) else []
    return [(int(ordered[first]), first, end) for first, end in pairwise([*firsts, len(ordered)])]
