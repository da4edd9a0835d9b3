"""Coordinate reference systems, pinned: the only place of bandoso that transforms coordinates.

Coordinates are x = easting or longitude and y = northing or latitude everywhere; the order in which a
CRS is written is the business of the API (CrsRef.swap). Codes are EPSG numbers; CRS84 has code 4326.
"""

from gis.crs.box import densify, densify_segments, plane_bounds, transform_box
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
from gis.crs.diagnose import Diagnosis, Reference, diagnose, explain_offset
from gis.crs.identify import Identified, identify
from gis.crs.postgis import SpatialRefRow, gdal_user_crs, spatial_ref_rows
from gis.crs.proof import ProofLine, prove, prove_postgis
from gis.crs.shift import FEWEST, Offset, fingerprint, judge, undone
from gis.crs.transform import pipeline, transform_geometries, transform_xy
from gis.crs.uris import CRS84, CrsRef, parse_code, parse_uri, ref, uri

__all__ = [
    "CRS84",
    "FEWEST",
    "WEB_MERCATOR",
    "WGS84",
    "Box",
    "CrsDef",
    "CrsRef",
    "CrsRegistry",
    "Diagnosis",
    "Identified",
    "Offset",
    "ProofLine",
    "Reference",
    "SpatialRefRow",
    "definition",
    "densify",
    "densify_segments",
    "diagnose",
    "explain_offset",
    "fingerprint",
    "gdal_user_crs",
    "identify",
    "is_known",
    "judge",
    "parse_code",
    "parse_uri",
    "pipeline",
    "plane_bounds",
    "prove",
    "prove_postgis",
    "ref",
    "register",
    "registry",
    "spatial_ref_rows",
    "transform_box",
    "transform_geometries",
    "transform_xy",
    "undone",
    "uri",
]
