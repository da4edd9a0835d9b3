"""The same pinned definitions for PostGIS (spatial_ref_sys) and for GDAL."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from pyproj import CRS
from pyproj.crs import BoundCRS
from pyproj.crs.coordinate_operation import ToWGS84Transformation

from gis.crs.definitions import CrsDef, definition, registry

#: Private, because PostGIS resolves rows of authority EPSG through PROJ's database, whatever proj4text says.
AUTHORITY = "BANDOSO"


@dataclass(frozen=True)
class SpatialRefRow:
    """A row of spatial_ref_sys."""

    srid: int
    auth_name: str
    auth_srid: int
    srtext: str
    proj4text: str


def spatial_ref_rows() -> list[SpatialRefRow]:
    """Rows for every CRS that is not on WGS 84 itself; those PostGIS ships are right (no datum step).

    PostGIS 3.3 looks at auth_name:auth_srid, then srtext, then proj4text; the latter two hold the same
    pinned shift, so any order gives the same.
    """
    return [
        SpatialRefRow(crs.code, AUTHORITY, crs.code, _wkt(crs, "WKT1_GDAL"), _proj4(crs))
        for crs in registry()
        if crs.datum_id != "wgs84"
    ]


def _towgs84(crs: CrsDef) -> tuple[float, ...]:
    return (0.0,) * 7 if crs.datum.shift == "none" else crs.datum.shift.towgs84


def _proj4(crs: CrsDef) -> str:
    shift = ",".join(repr(v) if v else "0" for v in _towgs84(crs))
    return f"{crs.proj} +towgs84={shift} +no_defs"


@cache
def gdal_user_crs(code: int) -> str:
    """What to give GDAL (``SetFromUserInput``, pyogrio's ``crs=``): pinned where there is a datum step."""
    crs = definition(code)
    return f"EPSG:{code}" if crs.datum_id == "wgs84" else _wkt(crs, "WKT2_2019")


def _wkt(crs: CrsDef, version: str) -> str:
    """EPSG's own description of the CRS, bound to WGS 84 by our parameters."""
    bound = BoundCRS(
        source_crs=(plain := CRS.from_epsg(crs.code)),
        target_crs=CRS.from_epsg(4326),
        transformation=ToWGS84Transformation(plain.geodetic_crs, *_towgs84(crs)),
    )
    return str(bound.to_wkt(version))
