"""The exact image of a small box in a hundredth of the time: for the boxes that maps and scripts ask for.

The general way (gis.crs.transform_box, gis.api.features.boxes.inner_box) divides edges until they are right,
whatever their length, and asks GEOS whether the inner rectangle lies inside. For a box of some kilometre a
few pieces an edge will do, which is measured by the half of them; and a rectangle lies inside when the
vertices of each of the four edges are on its outer side.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

from gis.crs import Box, definition, transform_xy
from gis.crs.transform import Floats

#: Longest side (degrees, or metres of a projected CRS) -> pieces of an edge; a longer box is not small.
_DEGREES: Final = ((0.0035, 4), (0.007, 8), (0.014, 16))
_METRES: Final = ((380.0, 4), (760.0, 8), (1_500.0, 16))
#: Farthest from the true curve (metres of the storage CRS), with the reserve of gis.crs.box.
_TOLERANCE: Final = 5e-5
#: As in gis.api.features.boxes: PostGIS keeps envelopes as single precision.
_UNITS: Final = 2

_HEAD: Final = struct.Struct("<BIIII")
_POLYGON_WITH_SRID: Final = 0x20000003


def small_box(box: Box, src: int, storage: int) -> tuple[str, str] | None:
    """Hex EWKB of the image of a box, and of an upright rectangle within it; None where only the general way
    is sure: the box is large, has no width, or lies where the CRS bends."""
    west, south, east, north = box
    if not (west < east and south < north):
        return None
    side = max(east - west, north - south)
    sizes = _METRES if definition(src).projected else _DEGREES
    n = next((pieces for most, pieces in sizes if side <= most), 0)
    if not n:
        return None
    x, y = np.empty(4 * n), np.empty(4 * n)
    there = np.arange(n) / n
    back = 1 - there
    a, b, c = n, 2 * n, 3 * n
    x[:a], x[a:b], x[b:c], x[c:] = west * back + east * there, east, east * back + west * there, west
    y[:a], y[a:b], y[b:c], y[c:] = south, south * back + north * there, north, north * back + south * there
    px, py = transform_xy(x, y, src, storage)
    if not (np.isfinite(px).all() and np.isfinite(py).all()):
        return None
    if _bend(px, py) > _TOLERANCE:
        return None
    xs, ys = px.tolist(), py.tolist()
    xs.append(xs[0])
    ys.append(ys[0])
    # the edges, each with both ends: south :a, east a:b, north b:c, west c:
    inner = (max(xs[c:]), max(ys[: a + 1]), min(xs[a : b + 1]), min(ys[b : c + 1]))
    step = _UNITS * float(np.spacing(np.float32(max(map(abs, inner)))))
    inner = (inner[0] + step, inner[1] + step, inner[2] - step, inner[3] - step)
    if not (inner[0] < inner[2] and inner[1] < inner[3]):
        return None
    # no edge crosses the rectangle, and a point of it is inside
    if not (min(xs) < inner[0] and inner[2] < max(xs) and min(ys) < inner[1] and inner[3] < max(ys)):
        return None
    return _wkb(xs, ys, storage), _rectangle(inner, storage)


def _bend(px: Floats, py: Floats) -> float:
    """How far edges of half as many pieces are from the vertices between: four times what is left of it."""
    ex, ey = px[::2], py[::2]
    dx = px[1::2] - (ex + np.append(ex[1:], ex[0])) / 2
    dy = py[1::2] - (ey + np.append(ey[1:], ey[0])) / 2
    return float(np.hypot(dx, dy).max()) / 4


def _wkb(xs: list[float], ys: list[float], srid: int) -> str:
    flat = [v for pair in zip(xs, ys, strict=True) for v in pair]
    head = _HEAD.pack(1, _POLYGON_WITH_SRID, srid, 1, len(xs))
    return (head + struct.pack(f"<{len(flat)}d", *flat)).hex()


def _rectangle(box: Box, srid: int) -> str:
    a, b, c, d = box
    return _wkb([a, c, c, a, a], [b, b, d, d, b], srid)
