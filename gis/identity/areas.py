"""Areas of responsibility: where an account may write. Wards, or polygons, in the storage CRS."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from psycopg import Connection
from shapely import Geometry

from gis.crs import WGS84, densify
from gis.errors import UsageError

#: Codes that were found among the wanted, the union of their wards as WKB, its CRS.
WARDS = (
    "SELECT array_agg(DISTINCT commune_code::text), ST_AsBinary(ST_UnaryUnion(ST_Collect(geom))),"
    " min(ST_SRID(geom)) FROM layer.admin_ward WHERE commune_code = ANY (%s)"
)

#: An area is compared with each feature that is written.
MOST_POINTS = 100_000


@dataclass(frozen=True)
class Area:
    """Polygons in the CRS of ``srid`` (the storage CRS), and how they were given: kept to be shown again."""

    shape: Geometry
    srid: int
    words: dict[str, Any] = field(default_factory=dict)

    @property
    def ewkb(self) -> bytes:
        return bytes(shapely.to_wkb(shapely.set_srid(self.shape, self.srid), include_srid=True))


def of_wards(connection: Connection, codes: Iterable[str]) -> Area:
    """The union of wards (commune_code of layer admin_ward). Raises UsageError naming the unknown ones."""
    wanted = sorted({str(code).strip() for code in codes})
    if not wanted:
        raise UsageError("no ward was given", code="invalid-area")
    row = connection.execute(WARDS, (wanted,)).fetchone()
    assert row is not None
    return from_wards(wanted, *row)


def from_wards(wanted: list[str], found: list[str] | None, shape: bytes | None, srid: int | None) -> Area:
    """The area, from what the layer of wards has of the wanted ones. Raises UsageError."""
    unknown = [code for code in wanted if code not in (found or [])]
    if unknown or shape is None or srid is None:
        raise UsageError(
            f"layer admin_ward has no ward {', '.join(unknown[:10])}",
            code="invalid-area",
            hint="wards are given by their commune_code",
        )
    return Area(_polygons(shapely.from_wkb(shape)), srid, {"wards": wanted})


def of_geojson(content: Any, storage: int) -> Area:
    """Polygons of GeoJSON in CRS84 (geometry, feature or collection), moved to the storage CRS with the
    pinned transform; edges stay straight in degrees within 1 mm. Raises UsageError."""
    try:
        given = (
            shapely.union_all(_shapes(content))
            if _kind(content) == "FeatureCollection"
            else _shapes(content)[0]
        )
        given = _polygons(given)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, shapely.errors.ShapelyError):
        raise UsageError(
            "an area is a GeoJSON Polygon or MultiPolygon in longitude and latitude", code="invalid-area"
        ) from None
    west, south, east, north = given.bounds
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise UsageError("an area is given in longitude and latitude (CRS84)", code="invalid-area")
    moved = shapely.union_all([_moved(part, storage) for part in shapely.get_parts(given)])
    if not np.isfinite(moved.bounds).all() or shapely.get_num_coordinates(moved) > MOST_POINTS:
        raise UsageError("the area is outside the city's CRS, or has too many points", code="invalid-area")
    return Area(_polygons(moved), storage, {"polygon": json.loads(shapely.to_geojson(given))})


def _kind(content: Any) -> str:
    return str(content["type"])


def _shapes(content: Any) -> list[Geometry]:
    if _kind(content) == "FeatureCollection":
        return [shape for feature in content["features"][:1000] for shape in _shapes(feature)]
    if _kind(content) == "Feature":
        return _shapes(content["geometry"])
    if _kind(content) not in ("Polygon", "MultiPolygon"):  # a collection nested deeply would end the process
        raise ValueError
    return [
        shapely.from_geojson(json.dumps({"type": content["type"], "coordinates": content["coordinates"]}))
    ]


def _polygons(shape: Geometry) -> Geometry:
    if shape.is_empty or shape.geom_type not in ("Polygon", "MultiPolygon"):
        raise ValueError
    if shapely.get_num_coordinates(shape) > MOST_POINTS:
        raise UsageError(f"an area has at most {MOST_POINTS} points", code="invalid-area")
    if not shapely.is_valid(shape):
        raise UsageError(
            f"the area is not valid ({shapely.is_valid_reason(shape)[:80]})", code="invalid-area"
        )
    return shapely.force_2d(shape)


def _moved(polygon: Geometry, storage: int) -> Geometry:
    rings = [shapely.get_exterior_ring(polygon)]
    rings += [shapely.get_interior_ring(polygon, i) for i in range(shapely.get_num_interior_rings(polygon))]
    moved = [densify(shapely.get_coordinates(ring), WGS84, storage, 1e-3) for ring in rings]
    return shapely.Polygon(moved[0], moved[1:])
