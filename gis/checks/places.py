"""Where findings are shown that have no place of their own, and small geometry that shows many places."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from gis import crs
from gis.city import City

#: Points that a finding shows at most; a line of a million bad vertices is as well shown by some of them.
MOST_POINTS = 200


def nowhere(city: City) -> shapely.Point:
    """The middle of the city's first view, storage CRS: where findings without a place are shown."""
    return _view(city.view[0], city.view[1], city.crs.storage)


@lru_cache(maxsize=8)
def _view(lon: float, lat: float, storage: int) -> shapely.Point:
    x, y = crs.transform_xy([lon], [lat], crs.WGS84, storage)
    return shapely.Point(float(x[0]), float(y[0]))


def points(xy: npt.NDArray[np.float64]) -> shapely.MultiPoint:
    """Some of the points (n, 2), the same whatever their order."""
    distinct = np.unique(xy, axis=0)
    step = -(-len(distinct) // MOST_POINTS) or 1
    return shapely.MultiPoint(distinct[::step])


def shown(shape: Any) -> shapely.Geometry:
    """The geometry in 2D, or its box when it is large."""
    if shapely.get_num_coordinates(shape) > MOST_POINTS:
        return shapely.box(*shapely.bounds(shape))
    flat: shapely.Geometry = shapely.force_2d(shape)
    return flat


def least_vertices(
    xy: npt.NDArray[np.float64], owner: npt.NDArray[np.int64], boxes: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """(n, 2) the vertex of each feature that is first by x, then y: a place on it, however it is drawn.

    ``xy`` (m, 2) and ``owner`` (m) as Features.vertices, ``boxes`` (n, 4). NaN for features without vertices.
    """
    found = np.full((len(boxes), 2), np.nan)
    west = xy[:, 0] == boxes[owner, 0]
    first = owner[west]
    lowest = np.full(len(boxes), np.inf)
    np.minimum.at(lowest, first, xy[west, 1])
    known = np.isfinite(lowest)
    found[known, 0], found[known, 1] = boxes[known, 0], lowest[known]
    return found
