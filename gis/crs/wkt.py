"""CRSs as other programs describe them: WKT 2 of EPSG, without any operation."""

from __future__ import annotations

from functools import cache

from pyproj import CRS

from gis.crs.definitions import definition


@cache
def wkt2(code: int) -> str:
    """EPSG's own description of a CRS as WKT 2. Raises UsageError for a code that is not defined here.

    It says nothing of the way to WGS 84: give that beside it (gis.crs.pipeline).
    """
    return str(CRS.from_epsg(definition(code).code).to_wkt("WKT2_2019"))


@cache
def wkt2_crs84() -> str:
    """WGS 84, longitude before latitude."""
    return str(CRS.from_authority("OGC", "CRS84").to_wkt("WKT2_2019"))
