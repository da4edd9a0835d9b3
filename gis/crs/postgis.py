"""The same pinned definitions for PostGIS (spatial_ref_sys) and for GDAL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from pyproj import CRS
from pyproj.crs import BoundCRS
from pyproj.crs.coordinate_operation import ToWGS84Transformation

from gis.crs.definitions import CrsDef, definition, registry

#: Private, because PostGIS resolves rows of authority EPSG through PROJ's database, whatever proj4text says.
AUTHORITY = "BANDOSO"
_SPHEROID = re.compile(r'SPHEROID\["[^"]*",[^\[\]]*(?:AUTHORITY\[[^\]]*\])?\]')


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
        SpatialRefRow(crs.code, AUTHORITY, crs.code, _wkt1(crs), _proj4(crs))
        for crs in registry()
        if crs.datum_id != "wgs84"
    ]


def _towgs84(crs: CrsDef) -> tuple[float, ...]:
    return (0.0,) * 7 if crs.datum.shift == "none" else crs.datum.shift.towgs84


def _shift(crs: CrsDef) -> str:
    return ",".join(repr(v) if v else "0" for v in _towgs84(crs))


def _proj4(crs: CrsDef) -> str:
    return f"{crs.proj} +towgs84={_shift(crs)} +no_defs"


def _wkt1(crs: CrsDef) -> str:
    """EPSG's own description with our TOWGS84 (by way of BoundCRS it takes ten times as long)."""
    plain = str(CRS.from_epsg(crs.code).to_wkt("WKT1_GDAL"))
    bound, places = _SPHEROID.subn(lambda m: f"{m.group()},TOWGS84[{_shift(crs)}]", plain)
    assert places == 1, "a CRS has one ellipsoid"
    return bound


@cache
def gdal_user_crs(code: int) -> str:
    """What to give GDAL (``SetFromUserInput``, pyogrio's ``crs=``): pinned where there is a datum step."""
    crs = definition(code)
    return f"EPSG:{code}" if crs.datum_id == "wgs84" else _bound(crs)


def _bound(crs: CrsDef) -> str:
    """EPSG's own description of the CRS as WKT 2, bound to WGS 84 by our parameters."""
    bound = BoundCRS(
        source_crs=(plain := CRS.from_epsg(crs.code)),
        target_crs=CRS.from_epsg(4326),
        transformation=ToWGS84Transformation(plain.geodetic_crs, *_towgs84(crs)),
    )
    return str(bound.to_wkt("WKT2_2019"))
