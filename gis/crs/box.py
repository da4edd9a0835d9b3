"""A box of one CRS as a shape in another: its edges are curves there, and corners do not bound them."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

from gis.crs.definitions import WGS84, Box, definition
from gis.crs.transform import Floats, transform_xy
from gis.errors import LimitError, UsageError

#: Pieces examined for one box; a box over all Viet Nam at 0.1 mm needs a third of it.
MAX_VERTICES = 200_000
#: Degrees added around the area of use, so that what was cut off there may be drawn coarsely.
_MARGIN = 0.02
_COARSE_M = 100.0


def transform_box(box: Box, src: int, dst: int, tolerance_m: float = 1e-4) -> BaseGeometry:
    """The image of a box (minx, miny, maxx, maxy) in another CRS, as a Polygon.

    Its straight edges are nowhere more than ``tolerance_m`` from the true curves. The box is first cut
    to a little more than where both CRSs are used (their ``bounds``), so a box of the whole world is
    fine; nothing that lies in those bounds is lost. Edges that only this cut made are coarse. A box
    without width or height gives a LineString or Point, one elsewhere an empty Polygon. Raises
    UsageError for a box that is not one, LimitError for a tolerance that needs too many vertices.
    """
    if any(math.isnan(v) for v in box) or box[0] > box[2] or box[1] > box[3]:
        raise UsageError("a box is minx, miny, maxx, maxy with minx <= maxx and miny <= maxy")
    if not tolerance_m > 0:
        raise UsageError("the tolerance of a box must be greater than 0")
    used = _used(dst, src)
    minx, miny = max(box[0], used[0]), max(box[1], used[1])
    maxx, maxy = min(box[2], used[2]), min(box[3], used[3])
    if minx > maxx or miny > maxy:
        return shapely.Polygon()
    if minx == maxx and miny == maxy:
        x, y = transform_xy(minx, miny, src, dst)
        return shapely.Point(float(x), float(y))
    if minx == maxx or miny == maxy:
        ends = np.array([[minx, miny], [maxx, maxy]])
        return shapely.LineString(densify(ends, src, dst, tolerance_m))
    ring = np.array([[minx, miny], [maxx, miny], [maxx, maxy], [minx, maxy], [minx, miny]])
    cut = np.array([miny > box[1], maxx < box[2], maxy < box[3], minx > box[0]])
    return shapely.Polygon(densify(ring, src, dst, np.where(cut, max(_COARSE_M, tolerance_m), tolerance_m)))


def densify(line: Floats, src: int, dst: int, tolerance_m: float | Floats = 1e-4) -> Floats:
    """The image of a polyline (n, 2), with vertices added until it is right within the tolerance.

    ``tolerance_m`` is one figure or one for each segment. The given vertices are kept exactly.
    """
    _, points = densify_segments(line[:-1], line[1:], src, dst, tolerance_m, most=MAX_VERTICES)
    last = np.column_stack(transform_xy(line[-1:, 0], line[-1:, 1], src, dst))
    return np.vstack([points, last])


def densify_segments(
    starts: Floats,
    ends: Floats,
    src: int,
    dst: int,
    tolerance_m: float | Floats,
    *,
    most: int,
    first: int = 8,
) -> tuple[npt.NDArray[np.intp], Floats]:
    """The images of many segments: (segment of each point, points), each without its end point.

    Every piece is compared with the curve at its quarters; one that is off by more than half the
    tolerance is divided. A piece is smooth and short, so its greatest distance from the chord is near
    the middle (h^2/8 |f''|; the cubic term shows at the quarters), and the other half of the tolerance
    is the reserve. Equal segments give equal points, whatever else is in the call. ``first`` pieces are
    made anyway; few will do for segments of some kilometres, where a curve has no inflection. Raises
    LimitError when more than ``most`` pieces are looked at.
    """
    steps = ends - starts
    limits = np.broadcast_to(np.asarray(tolerance_m) / definition(dst).unit_m / 2, len(starts))
    # A piece is (edge, start, span) in the edge's parameter.
    first = 1 if src == dst else first
    edge, start = np.repeat(np.arange(len(starts)), first), np.tile(np.arange(first) / first, len(starts))
    span = np.full(edge.size, 1 / first)
    done: list[tuple[npt.NDArray[np.intp], Floats, Floats, Floats]] = []
    total = 0
    while edge.size:
        total += edge.size
        if total > most:
            raise LimitError("the box is too large for this tolerance")
        at = start[:, None] + span[:, None] * np.array([0.0, 0.25, 0.5, 0.75, 1.0])
        where = starts[edge][:, None, :] + steps[edge][:, None, :] * at[:, :, None]
        x, y = transform_xy(where[:, :, 0], where[:, :, 1], src, dst)
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise UsageError("the box reaches where the projection has no image")
        excess = _deviation(x, y) / limits[edge]
        # Rounding noise of the transform (nanometres) must not be chased.
        coarse = (excess > 1) & (span > 2.0**-30)
        done.append((edge[~coarse], start[~coarse], x[~coarse, 0], y[~coarse, 0]))
        pieces = np.clip(np.ceil(np.sqrt(excess[coarse])), 2, 64).astype(np.intp)
        part = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        span = np.repeat(span[coarse] / pieces, pieces)
        start = np.repeat(start[coarse], pieces) + part * span
        edge = np.repeat(edge[coarse], pieces)
    edges, ts, xs, ys = (np.concatenate(column) for column in zip(*done, strict=True))
    order = np.lexsort((ts, edges))
    return edges[order], np.column_stack([xs[order], ys[order]])


def _deviation(x: Floats, y: Floats) -> Floats:
    """Greatest distance of the three inner points from the chord between the outer two, per row."""
    dx, dy = x[:, 4] - x[:, 0], y[:, 4] - y[:, 0]
    across = (x[:, 1:4] - x[:, :1]) * dy[:, None] - (y[:, 1:4] - y[:, :1]) * dx[:, None]
    length = np.maximum(np.hypot(dx, dy), np.finfo(float).tiny)
    worst: Floats = np.abs(across).max(axis=1) / length
    return worst


def plane_bounds(code: int) -> Box:
    """Bounding box, in the CRS's own units, of where bandoso uses it (and 2 km more)."""
    return _used(code, code)


@cache
def _used(code: int, seen_in: int) -> Box:
    """Bounding box, in one CRS, of where both it and another one are used, and 2 km more."""
    a, b = definition(code).bounds, definition(seen_in).bounds
    west, south = max(a[0], b[0], -180 + _MARGIN), max(a[1], b[1], -90 + _MARGIN)
    east, north = min(a[2], b[2], 180 - _MARGIN), min(a[3], b[3], 90 - _MARGIN)
    if west >= east or south >= north:
        return (math.inf, math.inf, -math.inf, -math.inf)
    outline = shapely.box(west - _MARGIN, south - _MARGIN, east + _MARGIN, north + _MARGIN)
    lon, lat = shapely.get_coordinates(outline.segmentize(0.1)).T
    # The bounds are round figures, so it does not matter that no datum has been named for them.
    x, y = transform_xy(lon, lat, WGS84, seen_in)
    return (float(x.min()), float(y.min()), float(x.max()), float(y.max()))
