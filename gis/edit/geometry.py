"""Geometry as a client sends it: from GeoJSON in some CRS to what the table takes, or why it cannot be.

Nothing is mended: an edit is what its author drew. Everything is bounded before GEOS sees it (the depth of
the document by gis.api.guard, the number of vertices here).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis import crs
from gis.city import City
from gis.edit.model import Unreadable
from gis.edit.validate import Errors, pointer
from layers.registry import Layer

#: Most vertices of a geometry that is written over HTTP, if the layer does not say fewer. Parsing and judging
#: so many takes half a second; larger ones come by ``bandoso load``.
MAX_VERTICES: Final = 50_000
#: Degrees around the city's extent in which features may lie.
CITY_MARGIN: Final = 0.02

#: Type -> how deep its positions are nested.
NESTING: Final = {
    "Point": 0,
    "MultiPoint": 1,
    "LineString": 1,
    "MultiLineString": 2,
    "Polygon": 2,
    "MultiPolygon": 3,
}


#: The types that can be written.
TYPES: Final = tuple(NESTING)


class _Wrong(ValueError):  # noqa: N818
    """What is wrong, and where below the geometry."""

    def __init__(self, detail: str, *place: str | int) -> None:
        super().__init__(detail)
        self.detail, self.place = detail, place


def read(
    given: Any, ref: crs.CrsRef, layer: Layer, city: City, at: str = ""
) -> tuple[BaseGeometry, BaseGeometry] | Unreadable:
    """A GeoJSON geometry in the CRS and axis order of ``ref``: in the storage CRS, and (x east) as sent.

    ``at``: pointer of the feature. Single geometries become multi ones, and multi ones of one part single,
    as the layer has them.
    """
    try:
        sent = _as_layer(_parsed(given), layer)
        if ref.swap:
            sent = shapely.transform(
                sent, lambda c: c[:, [1, 0, *range(2, c.shape[1])]], include_z=sent.has_z
            )
        stored = crs.transform_geometries(np.array([sent]), ref.code, city.crs.storage)[0]
        _inside(stored, sent, ref, city)
        return stored, sent
    except _Wrong as wrong:
        return Unreadable(({"pointer": at + pointer("geometry", *wrong.place), "detail": wrong.detail},))


def problems(layer: Layer, shape: BaseGeometry, city: City, at: str = "") -> Errors:
    """Why the layer does not take this geometry (storage CRS); none when it does."""
    try:
        _fits(layer, shape, city)
    except _Wrong as wrong:
        return [{"pointer": at + pointer("geometry", *wrong.place), "detail": wrong.detail}]
    return []


# --- from GeoJSON --------------------------------------------------------------------------------------


def _parsed(given: Any) -> BaseGeometry:
    if given is None:
        raise _Wrong("the feature has no geometry")
    if not isinstance(given, dict):
        raise _Wrong("the geometry must be a GeoJSON geometry object")
    kind = given.get("type")
    if kind == "GeometryCollection":
        raise _Wrong("collections of geometries are not taken", "type")
    if not isinstance(kind, str) or kind not in NESTING:
        raise _Wrong("the type must be one of " + ", ".join(NESTING), "type")
    if "coordinates" not in given:
        raise _Wrong("a geometry is given whole, with its coordinates")
    reader = _Reader()
    parts = reader.read(given["coordinates"], NESTING[kind], ("coordinates",))
    if not reader.count:
        raise _Wrong("the geometry is empty", "coordinates")
    return _MAKE[kind](parts)


class _Reader:
    """Positions out of nested lists, counted on the way."""

    def __init__(self) -> None:
        self.count = 0
        self._size = 0

    def read(self, given: Any, depth: int, place: tuple[str | int, ...]) -> Any:
        if not isinstance(given, list):
            raise _Wrong("must be a list" if depth else "a position must be a list of numbers", *place)
        if depth == 0:
            return self._position(given, place) if given else []
        if depth == 1:
            return [self._position(one, (*place, n)) for n, one in enumerate(given)]
        return [self.read(one, depth - 1, (*place, n)) for n, one in enumerate(given)]

    def _position(self, given: Any, place: tuple[str | int, ...]) -> list[float]:
        if not isinstance(given, list) or len(given) < 2:
            raise _Wrong("a position must be a list of two or three numbers", *place)
        if len(given) > 3:
            raise _Wrong("a position has more than three numbers: measures (M) are not kept", *place)
        for number in given:
            if type(number) not in (int, float):
                raise _Wrong("a position must be a list of numbers", *place)
            if not abs(number) < 1e12:  # also NaN and infinity
                raise _Wrong("a coordinate is not finite, or far too large", *place)
        self.count += 1
        if self.count > MAX_VERTICES:
            raise _Wrong(f"the geometry has more than {MAX_VERTICES} vertices: load it as a file")
        if self._size not in (0, len(given)):
            raise _Wrong("some positions have heights and others have none", *place)
        self._size = len(given)
        return given


def _line(positions: list[list[float]], *place: str | int) -> BaseGeometry:
    if len(positions) < 2:
        raise _Wrong("a line must have two positions at least", "coordinates", *place)
    return shapely.LineString(positions)


def _polygon(rings: list[list[list[float]]], *place: str | int) -> BaseGeometry:
    if not rings:
        raise _Wrong("a polygon must have a ring", "coordinates", *place)
    for n, ring in enumerate(rings):
        if ring and ring[0] != ring[-1]:
            raise _Wrong("the ring is open: its last position must be its first", "coordinates", *place, n)
        if len(ring) < 4:
            raise _Wrong("a ring must have four positions at least", "coordinates", *place, n)
    return shapely.Polygon(rings[0], rings[1:])


_MAKE: Final[dict[str, Any]] = {
    "Point": shapely.Point,
    "MultiPoint": shapely.MultiPoint,
    "LineString": _line,
    "MultiLineString": lambda parts: shapely.MultiLineString([_line(p, n) for n, p in enumerate(parts)]),
    "Polygon": _polygon,
    "MultiPolygon": lambda parts: shapely.MultiPolygon([_polygon(p, n) for n, p in enumerate(parts)]),
}


def _as_layer(shape: BaseGeometry, layer: Layer) -> BaseGeometry:
    """As single or multi as the layer is, and without heights that say nothing where it has none."""
    wanted, kind = layer.definition.geometry, shape.geom_type
    if wanted == f"Multi{kind}":
        shape = {
            "Point": shapely.multipoints,
            "LineString": shapely.multilinestrings,
            "Polygon": shapely.multipolygons,
        }[kind]([shape])
    elif kind == f"Multi{wanted}" and shapely.get_num_geometries(shape) == 1:
        shape = shapely.get_geometry(shape, 0)
    if layer.definition.z == "none" and shape.has_z:
        if np.any(shapely.get_coordinates(shape, include_z=True)[:, 2]):
            raise _Wrong(f"{layer.id} keeps no heights: send positions of two numbers", "coordinates")
        shape = shapely.force_2d(shape)  # drawing programs give flat things the height 0
    return shape


# --- what the layer takes ------------------------------------------------------------------------------


def _fits(layer: Layer, shape: BaseGeometry, city: City) -> None:
    definition = layer.definition
    if definition.geometry not in ("Geometry", shape.geom_type):
        raise _Wrong(f"{layer.id} takes {definition.geometry}, not {shape.geom_type}", "type")
    if shape.is_empty:
        raise _Wrong("the geometry is empty", "coordinates")
    most = min(definition.max_vertices, MAX_VERTICES)
    if (count := shapely.get_num_coordinates(shape)) > most:
        raise _Wrong(f"the geometry has {count} vertices, and {layer.id} takes {most}", "coordinates")
    if definition.z == "required" and not shape.has_z:
        raise _Wrong(f"{layer.id} needs heights: send positions of three numbers", "coordinates")
    if definition.z == "none" and shape.has_z:
        raise _Wrong(f"{layer.id} keeps no heights: send positions of two numbers", "coordinates")
    if shape.has_m:
        raise _Wrong("measures (M) are not kept", "coordinates")
    numbers = shapely.get_coordinates(shape, include_z=shape.has_z)
    if not np.isfinite(numbers).all():
        raise _Wrong("a coordinate is not finite", "coordinates")
    if not _within(shape, city_box(city)):
        raise _Wrong("the feature is not inside the city", "coordinates")
    if not shape.is_valid:
        raise _Wrong(_why_invalid(shape, city.crs.storage), "coordinates")


def _why_invalid(shape: BaseGeometry, storage: int) -> str:
    """GEOS's reason with its place in degrees: the request may have been in another CRS."""
    reason, _, rest = shapely.is_valid_reason(shape).partition("[")
    place = rest.rstrip("]").split()
    try:
        x, y = float(place[0]), float(place[1])
        lon, lat = (float(v) for v in crs.transform_xy(x, y, storage, crs.WGS84))
    except (IndexError, ValueError):
        return f"the geometry is not valid: {reason.strip()}"
    return f"the geometry is not valid: {reason.strip()} at {lon:.7f}, {lat:.7f} (longitude, latitude)"


def _inside(stored: BaseGeometry, sent: BaseGeometry, ref: crs.CrsRef, city: City) -> None:
    """Raises _Wrong with the likely mistake where the geometry is outside the city."""
    if _within(stored, city_box(city)):
        return
    said = crs.diagnose(
        shapely.get_coordinates(sent)[:2000],
        ref.code,
        city.extent,
        city.crs.storage,
        offered=city.crs.offered,
    )
    order = "latitude, longitude" if ref.swap else "longitude, latitude"
    if said.mistake == "swapped-axes":
        order = order if not crs.definition(ref.code).projected else "easting, northing"
        raise _Wrong(f"the axes are swapped: {_name(ref)} is written {order}", "coordinates")
    if said.mistake in ("metres-as-degrees", "other-zone", "degrees-as-metres", "swapped-axes-and-zone"):
        meant = f"EPSG:{said.code}" if said.code else "another CRS"
        raise _Wrong(
            f"the coordinates are not in {_name(ref)}: they look like {meant}. Content-Crs says which",
            "coordinates",
        )
    raise _Wrong("the feature is not inside the city", "coordinates")


def _name(ref: crs.CrsRef) -> str:
    return "CRS84" if ref == crs.CRS84 else f"EPSG:{ref.code}"


def _within(shape: BaseGeometry, box: Sequence[float]) -> bool:
    bounds = shape.bounds
    return (
        all(map(math.isfinite, bounds))
        and bounds[0] >= box[0]
        and bounds[1] >= box[1]
        and bounds[2] <= box[2]
        and bounds[3] <= box[3]
    )


def city_box(city: City) -> tuple[float, float, float, float]:
    """Where features of the city may lie: a box in the storage CRS."""
    return _city_box(city.extent, city.crs.storage)


@lru_cache(maxsize=16)
def _city_box(extent: tuple[float, float, float, float], storage: int) -> tuple[float, float, float, float]:
    west, south, east, north = extent
    m = CITY_MARGIN
    bounds = crs.transform_box((west - m, south - m, east + m, north + m), crs.WGS84, storage, 1.0).bounds
    return (bounds[0], bounds[1], bounds[2], bounds[3])
