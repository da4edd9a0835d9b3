"""A box of another CRS as an exact and quick condition on geometry in the storage CRS."""

from __future__ import annotations

from typing import Final

import numpy as np
import shapely
from psycopg import sql
from shapely.geometry.base import BaseGeometry

from gis import crs
from gis.api.features.binding import Bind
from gis.api.features.filters.geometries import ewkb, stored_bounds
from gis.crs import Box

#: Share of the shape's extent tried as an inner box, when its corners give none.
_SHRINK: Final = (0.998, 0.98, 0.9)

# The comparison with 0 is for the planner: it takes it for nearly always true, and uses no index for it.
# Written as OR alone, it believes that the three conditions are independent, expects a hundredth of the
# rows, scans the index twice, and sorts all of a large box to find its first ten.
_CONDITION: Final = sql.SQL(
    "({geom} && {shape} AND CASE WHEN {geom} @ {inside} OR ST_Intersects({geom}, {shape})"
    " THEN 1 ELSE 0 END <> 0)"
)
_EXACT: Final = sql.SQL(
    "({geom} && {shape} AND CASE WHEN ST_Intersects({geom}, {shape}) THEN 1 ELSE 0 END <> 0)"
)


def box_condition(box: Box, src: int, storage: int, bind: Bind, geom: sql.Composable) -> sql.Composable:
    """Features that intersect the true image of the box, within 0.1 mm.

    The image's envelope finds candidates by index; those whose envelope lies inside an upright rectangle
    within the image are right without computing; the others are computed. (Peers that take the corners'
    envelope for the box are wrong in most boxes of 600 m.)
    """
    shape = crs.transform_box(box, src, storage)
    if shape.is_empty:
        return sql.SQL("FALSE")
    inside = inner_box(shape)
    bound = bind.add(ewkb(shape, storage), "geometry")
    if inside is None:
        return _EXACT.format(geom=geom, shape=bound)
    return _CONDITION.format(
        geom=geom, shape=bound, inside=bind.add(ewkb(shapely.box(*inside), storage), "geometry")
    )


def is_everywhere(box: Box, src: int, storage: int) -> bool:
    """Whether the box holds all that can be stored: then it is no condition at all."""
    west, south, east, north = stored_bounds(src, storage).bounds
    return bool(box[0] <= west and box[1] <= south and box[2] >= east and box[3] >= north)


def inner_box(shape: BaseGeometry) -> Box | None:
    """An upright rectangle inside the shape, as large as is quickly found; None if there is none."""
    if shape.geom_type != "Polygon":
        return None
    minx, miny, maxx, maxy = shape.bounds
    midx, midy = (minx + maxx) / 2, (miny + maxy) / 2
    shapely.prepare(shape)
    for box in (_between_corners(shape), *(_scaled(shape.bounds, midx, midy, s) for s in _SHRINK)):
        if box[0] < box[2] and box[1] < box[3] and shape.contains(shapely.box(*box)):
            return _safe(box)
    return None


def _between_corners(shape: BaseGeometry) -> Box:
    """Rectangle between the two inner of each pair of corners (the vertices farthest to each diagonal)."""
    points = shapely.get_coordinates(shape)
    plus, minus = points[:, 0] + points[:, 1], points[:, 0] - points[:, 1]
    low_left, high_right = points[plus.argmin()], points[plus.argmax()]
    low_right, high_left = points[minus.argmax()], points[minus.argmin()]
    minx, maxx = max(low_left[0], high_left[0]), min(low_right[0], high_right[0])
    miny, maxy = max(low_left[1], low_right[1]), min(high_left[1], high_right[1])
    # the edges are bent by up to some millimetres for each kilometre
    dx, dy = (maxx - minx) * 1e-4, (maxy - miny) * 1e-4
    return float(minx + dx), float(miny + dy), float(maxx - dx), float(maxy - dy)


def _scaled(bounds: Box, midx: float, midy: float, share: float) -> Box:
    halfx, halfy = (bounds[2] - bounds[0]) / 2 * share, (bounds[3] - bounds[1]) / 2 * share
    return midx - halfx, midy - halfy, midx + halfx, midy + halfy


def _safe(box: Box) -> Box | None:
    """PostGIS keeps envelopes as single precision, rounded outwards: two units are left on each side."""
    step = 2 * float(np.spacing(np.float32(max(abs(v) for v in box))))
    safe = (box[0] + step, box[1] + step, box[2] - step, box[3] - step)
    return safe if safe[0] < safe[2] and safe[1] < safe[3] else None
