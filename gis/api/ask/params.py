"""What the requests of this package have in common: points, lines, areas, layers. All of it bounded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
import shapely
from starlette.requests import Request

from gis import crs
from gis.api.features.values import number_value, wrong
from gis.api.state import State
from gis.city import City
from gis.errors import LimitError, UsageError
from layers.registry import Layer

#: Vertices of an area or line that is asked about.
MAX_VERTICES: Final = 2_000
#: Bytes of a body.
MAX_BODY: Final = 256 * 1024


def read_point(text: str, parameter: str) -> tuple[float, float]:
    """lon,lat in degrees. Raises UsageError."""
    parts = text.split(",")
    if len(parts) != 2:
        raise wrong(parameter, f"{parameter} must be lon,lat in degrees")
    return _on_earth(parts, parameter)


def read_line(text: str, parameter: str, most: int = 100) -> list[tuple[float, float]]:
    """lon,lat,lon,lat... in degrees, two points or more. Raises UsageError."""
    parts = text.split(",")
    if len(parts) < 4 or len(parts) % 2:
        raise wrong(parameter, f"{parameter} must be lon,lat,lon,lat, and so on: two points or more")
    if len(parts) > 2 * most:
        raise wrong(parameter, f"{parameter} has more than {most} points")
    points = [_on_earth(parts[n : n + 2], parameter) for n in range(0, len(parts), 2)]
    if len(set(points)) < 2:
        raise wrong(parameter, f"{parameter} has no length")
    return points


def _on_earth(parts: Sequence[str], parameter: str) -> tuple[float, float]:
    lon, lat = (number_value(part.strip(), parameter) for part in parts)
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        raise wrong(parameter, f"{parameter} lies outside the earth")
    return lon, lat


def stored(geometry: shapely.Geometry, city: City) -> shapely.Geometry:
    """A geometry in degrees in the city's storage CRS. Raises UsageError where that is not possible."""
    made = crs.transform_geometries(np.array([geometry], dtype=object), crs.WGS84, city.crs.storage)[0]
    if not np.isfinite(shapely.get_coordinates(made)).all():
        raise UsageError("the place lies too far from the city", code="outside")
    found: shapely.Geometry = made
    return found


def read_layers(state: State, names: Sequence[str] | None, parameter: str = "layers") -> list[Layer]:
    """The layers of these ids, each once; all that the caller sees for None. NotFoundError for others."""
    if names is None:
        return list(state.catalogue.public())
    if len(names) > 200:
        raise wrong(parameter, f"{parameter} names more than 200 layers")
    return [state.layer(name) for name in dict.fromkeys(names)]


@dataclass(frozen=True)
class Area:
    """A polygon in the storage CRS."""

    shape: shapely.Geometry
    #: Its EWKB, to be bound.
    ewkb: bytes
    #: m2 in the plane.
    size: float


async def read_body(request: Request, known: Sequence[str]) -> dict[str, Any]:
    """The JSON object of a request. Raises UsageError for anything else, and for names not in ``known``."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > MAX_BODY:
        raise LimitError(f"the body has more than {MAX_BODY} bytes")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise LimitError(f"the body has more than {MAX_BODY} bytes")
    try:
        content = orjson.loads(bytes(body))
    except orjson.JSONDecodeError:
        raise UsageError("the body is not JSON", code="invalid-json") from None
    if not isinstance(content, dict):
        raise UsageError("the body must be a JSON object", code="invalid-json")
    for name in content:
        if name not in known:
            raise UsageError(
                "the body has a member that is not known here",
                code="unknown-member",
                hint="known are: " + ", ".join(known),
                errors=[{"pointer": f"/{name[:100]}", "detail": "unknown member"}],
            )
    return content


def read_area(content: Mapping[str, Any], city: City, most_m2: float) -> Area:
    """The area of a body: ``geometry`` (a Polygon in CRS84) or ``bbox``. Raises UsageError."""
    given = [name for name in ("geometry", "bbox") if content.get(name) is not None]
    if len(given) != 1:
        raise UsageError("give either geometry (a Polygon) or bbox", code="invalid-geometry")
    rings = [_ring_of_box(content["bbox"])] if given == ["bbox"] else _rings(content["geometry"])
    shape: shapely.Geometry = shapely.Polygon(rings[0], rings[1:])
    if not shapely.is_valid(shape):
        raise _bad("/geometry", "the polygon crosses itself")
    shape = stored(shape, city)
    if not shape.area > 0:
        raise _bad(f"/{given[0]}", "the area is empty")
    if shape.area > most_m2:
        raise LimitError(
            f"the area is larger than {most_m2 / 1e6:g} km2",
            hint="choose a smaller area, or fewer layers and several areas",
        )
    shape = shapely.set_srid(shape, city.crs.storage)
    return Area(shape, shapely.to_wkb(shape, include_srid=True), float(shape.area))


def _bad(pointer: str, message: str) -> UsageError:
    return UsageError(message, code="invalid-geometry", errors=[{"pointer": pointer, "detail": message}])


def _ring_of_box(box: Any) -> list[tuple[float, float]]:
    if not (isinstance(box, list) and len(box) == 4 and all(_is_number(v) for v in box)):
        raise _bad("/bbox", "bbox must be four numbers: west, south, east, north")
    west, south, east, north = (float(v) for v in box)
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise _bad("/bbox", "bbox must be west < east and south < north in degrees")
    return [(west, south), (east, south), (east, north), (west, north), (west, south)]


def _rings(geometry: Any) -> list[list[tuple[float, float]]]:
    if not (isinstance(geometry, dict) and geometry.get("type") == "Polygon"):
        raise _bad("/geometry", "geometry must be a Polygon in degrees")
    rings = geometry.get("coordinates")
    if not (isinstance(rings, list) and rings and all(isinstance(r, list) for r in rings)):
        raise _bad("/geometry/coordinates", "coordinates must be a list of rings")
    if sum(map(len, rings)) > MAX_VERTICES:
        raise LimitError(f"the polygon has more than {MAX_VERTICES} vertices")
    made = []
    for ring in rings:
        if len(ring) < 4 or ring[0] != ring[-1]:
            raise _bad("/geometry/coordinates", "a ring has four positions or more, the last as the first")
        for position in ring:
            if not (
                isinstance(position, list) and 2 <= len(position) <= 3 and all(map(_is_number, position))
            ):
                raise _bad("/geometry/coordinates", "a position is two numbers")
            if not (-180 <= position[0] <= 180 and -90 <= position[1] <= 90):
                raise _bad("/geometry/coordinates", "a position lies outside the earth")
        made.append([(float(p[0]), float(p[1])) for p in ring])
    return made


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def names_of(content: Mapping[str, Any], name: str = "layers") -> list[str] | None:
    """A list of ids in a body; None where it is not given. Raises UsageError."""
    value = content.get(name)
    if value is None:
        return None
    if not (isinstance(value, list) and value and all(isinstance(v, str) for v in value)):
        raise UsageError(
            f"{name} must be a list of collection ids",
            errors=[{"pointer": f"/{name}", "detail": "not a list of texts"}],
        )
    return [str(v) for v in value]
