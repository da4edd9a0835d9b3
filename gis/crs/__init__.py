"""Coordinate reference systems, pinned: the only place of bandoso that transforms coordinates.

Coordinates are x = easting or longitude and y = northing or latitude everywhere; the order in which a
CRS is written is the business of the API (CrsRef.swap). Codes are EPSG numbers; CRS84 has code 4326.
"""

from gis.crs.box import densify, plane_bounds, transform_box
from gis.crs.definitions import (
    WEB_MERCATOR,
    WGS84,
    Box,
    CrsDef,
    CrsRegistry,
    definition,
    is_known,
    register,
    registry,
)
from gis.crs.transform import pipeline, transform_geometries, transform_xy
from gis.crs.uris import CRS84, CrsRef, parse_code, parse_uri, ref, uri

__all__ = [
    "CRS84",
    "WEB_MERCATOR",
    "WGS84",
    "Box",
    "CrsDef",
    "CrsRef",
    "CrsRegistry",
    "definition",
    "densify",
    "is_known",
    "parse_code",
    "parse_uri",
    "pipeline",
    "plane_bounds",
    "ref",
    "register",
    "registry",
    "transform_box",
    "transform_geometries",
    "transform_xy",
    "uri",
]
