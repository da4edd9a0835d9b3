"""Pinned CRSs for warping pixels. Apart from the rest of gis.crs, because rasterio takes 25 MB.

GDAL resolves whatever carries an EPSG code through PROJ's own choice of operation, also a WKT with TOWGS84
and a BOUNDCRS, and also when it is told a COORDINATE_OPERATION by way of rasterio: each was measured to be
0.80 m off. The description without any code is the one that is taken as it stands.
"""

from __future__ import annotations

from functools import cache

from rasterio.crs import CRS

from gis.crs.definitions import WEB_MERCATOR, definition
from gis.crs.postgis import spatial_ref_rows


@cache
def pinned(code: int) -> CRS:
    """The CRS to warp from or to; to be given as ``src_crs`` and ``crs`` of every WarpedVRT.

    Raises UsageError for an unknown code.
    """
    named = definition(code)
    if named.datum_id == "wgs84":
        return CRS.from_user_input(f"EPSG:{code}")
    row = next(row for row in spatial_ref_rows() if row.srid == code)
    return CRS.from_user_input(row.proj4text)


@cache
def labelled(code: int) -> CRS:
    """The CRS as files that others read name it. Not for warping."""
    definition(code)
    return CRS.from_user_input(f"EPSG:{code}")


def web_mercator() -> CRS:
    """EPSG:3857, in which tiles are."""
    return pinned(WEB_MERCATOR)
