"""Geometry literals: checked, cut to where the city's CRS is used, brought into it, and bound."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis import crs
from gis.api.features.filters.reader import MAX_POINTS, invalid, too_many
from gis.crs import Box, CrsRef

#: Edges shorter than this (metres) are within 0.1 mm of the true curve in every CRS of a city.
_SHORT_M = 100.0

_DEPTHS = {
    "Point": 1,
    "MultiPoint": 2,
    "LineString": 2,
    "MultiLineString": 3,
    "Polygon": 3,
    "MultiPolygon": 4,
}


def read_geometry(node: dict[str, Any], given: CrsRef, storage: int) -> BaseGeometry:
    """A GeoJSON object or ``{"bbox": [...]}`` in the CRS ``given``, as 2D geometry in ``storage``.

    Raises UsageError (invalid-filter) for what is not a valid geometry, LimitError over 1,000 points.
    """
    if "bbox" in node:
        return crs.transform_box(_box(node["bbox"], given), given.code, storage)
    made = _shape(node, given, 0)
    if not shapely.is_valid(made):
        raise invalid("a geometry in the filter is not valid", "its rings must not cross themselves")
    return _transformed(_cut(made, given.code, storage), given.code, storage)


def _box(values: Any, given: CrsRef) -> Box:
    if not isinstance(values, list) or len(values) not in (4, 6):
        raise invalid("a BBOX in the filter has 4 or 6 numbers")
    numbers = [_number(v) for v in values]
    half = len(numbers) // 2
    minx, miny, maxx, maxy = numbers[0], numbers[1], numbers[half], numbers[half + 1]
    if given.swap:
        minx, miny, maxx, maxy = miny, minx, maxy, maxx
    if minx > maxx or miny > maxy:
        raise invalid("a BBOX in the filter has its corners the wrong way round")
    return minx, miny, maxx, maxy


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise invalid("a coordinate in the filter is not a finite number")
    return float(value)


def _shape(node: Any, given: CrsRef, level: int) -> BaseGeometry:
    if not isinstance(node, dict) or level > 1:
        raise invalid("a geometry in the filter is not GeoJSON")
    kind = node.get("type")
    if kind == "GeometryCollection":
        parts = node.get("geometries")
        if not isinstance(parts, list) or not parts or len(parts) > MAX_POINTS:
            raise invalid("a GeometryCollection in the filter has no geometries")
        return shapely.GeometryCollection([_shape(p, given, level + 1) for p in parts])
    if kind not in _DEPTHS:
        raise invalid("a geometry in the filter is not GeoJSON")
    counter = [0]
    coordinates = _coordinates(node.get("coordinates"), _DEPTHS[kind], given.swap, counter)
    parts = {"Polygon": [coordinates], "MultiPolygon": coordinates}.get(kind, [])
    try:
        if any(ring[0] != ring[-1] for rings in parts for ring in rings):  # shapely would close it
            raise ValueError
        made: BaseGeometry = shapely.geometry.shape({"type": kind, "coordinates": coordinates})
    except (ValueError, TypeError, IndexError, shapely.errors.ShapelyError):
        raise invalid("a geometry in the filter has too few points or an open ring") from None
    if made.is_empty:
        raise invalid("a geometry in the filter is empty")
    return made


def _coordinates(node: Any, depth: int, swap: bool, counter: list[int]) -> Any:
    if not isinstance(node, list):
        raise invalid("a geometry in the filter has malformed coordinates")
    if depth == 1:
        counter[0] += 1
        if counter[0] > MAX_POINTS:
            raise too_many("points", MAX_POINTS)
        if not 2 <= len(node) <= 4:
            raise invalid("a position in the filter has 2 or 3 numbers")
        x, y = _number(node[0]), _number(node[1])
        return (y, x) if swap else (x, y)
    if len(node) > MAX_POINTS:
        raise too_many("points", MAX_POINTS)
    return [_coordinates(n, depth - 1, swap, counter) for n in node]


@cache
def stored_bounds(src: int, storage: int) -> BaseGeometry:
    """Box in ``src`` around everything that can be stored: features have no parts outside of it."""
    return shapely.box(*crs.transform_box(crs.plane_bounds(storage), storage, src).bounds)


def _cut(made: BaseGeometry, src: int, storage: int) -> BaseGeometry:
    """A world-wide literal has no image in a city's projection; what is far away meets no feature."""
    used = stored_bounds(src, storage)
    return made if used.contains(made) else made.intersection(used)


def _transformed(made: BaseGeometry, src: int, storage: int) -> BaseGeometry:
    if made.is_empty or src == storage:
        return shapely.force_2d(made)
    kind = made.geom_type
    if kind.startswith("Multi") or kind == "GeometryCollection":
        parts = [_transformed(p, src, storage) for p in made.geoms]
        return type(made)(parts)
    if kind == "Point":
        x, y = crs.transform_xy(made.x, made.y, src, storage)
        return shapely.Point(float(x), float(y))
    if kind in ("LineString", "LinearRing"):
        return shapely.LineString(_line(made, src, storage))
    return shapely.Polygon(
        _line(made.exterior, src, storage), [_line(r, src, storage) for r in made.interiors]
    )


def _line(line: BaseGeometry, src: int, storage: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A straight edge in one CRS is a curve in another: long edges get more vertices."""
    points = shapely.get_coordinates(line)
    x, y = crs.transform_xy(points[:, 0], points[:, 1], src, storage)
    if max(np.hypot(np.diff(x), np.diff(y))) * crs.definition(storage).unit_m <= _SHORT_M:
        return np.column_stack([x, y])
    return crs.densify(points, src, storage, 1e-4)


def ewkb(made: BaseGeometry, srid: int) -> str:
    """Hexadecimal EWKB, as the text form of the type geometry."""
    text: str = shapely.to_wkb(shapely.set_srid(made, srid), hex=True, include_srid=True)
    return text
