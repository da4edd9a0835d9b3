"""Proof, on this machine, that transforms are the pinned ones: against points known from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pyproj import CRS
from pyproj.exceptions import CRSError

from gis.crs.definitions import CrsDef, definition, registry
from gis.crs.identify import identify
from gis.crs.transform import transform_xy

_IN_POSTGIS = """
SELECT ST_X(p), ST_Y(p)
FROM (SELECT ST_Transform(ST_SetSRID(ST_MakePoint(%s, %s), %s::int), %s::int) AS p) AS moved
"""


@dataclass(frozen=True)
class ProofLine:
    """One comparison; ``error_m`` is the distance on the ground (NaN where none can be told)."""

    name: str
    expected: str
    got: str
    error_m: float
    ok: bool


class Cursor(Protocol):
    """What is used of a psycopg cursor."""

    def execute(self, query: Any, params: Sequence[Any] | None = None) -> Any: ...
    def fetchone(self) -> Any: ...


def prove() -> list[ProofLine]:
    """pyproj against the vectors of the CRS files, and the definitions against PROJ's EPSG database."""
    lines = []
    for vector in registry().vectors:
        x, y = transform_xy(vector.at[0], vector.at[1], vector.source, vector.target)
        target = definition(vector.target)
        lines.append(_line(vector.name, target, vector.gives, (float(x), float(y)), vector.tolerance_m))
    return lines + [_against_epsg(crs) for crs in registry()]


def prove_postgis(cursor: Cursor) -> list[ProofLine]:
    """The same vectors through ST_Transform with the SRIDs of this database's spatial_ref_sys."""
    lines = []
    for vector in registry().vectors:
        cursor.execute(_IN_POSTGIS, (*vector.at, vector.source, vector.target))
        x, y = cursor.fetchone()
        target = definition(vector.target)
        lines.append(_line(vector.name, target, vector.gives, (float(x), float(y)), vector.tolerance_m))
    return lines


def _line(
    name: str, crs: CrsDef, expected: tuple[float, float], got: tuple[float, float], tolerance_m: float
) -> ProofLine:
    error = error_m(crs, expected, got)
    digits = 4 if crs.projected else 9
    wanted, found = (f"{p[0]:.{digits}f}, {p[1]:.{digits}f}" for p in (expected, got))
    return ProofLine(name, wanted, found, error, error <= tolerance_m)


def error_m(crs: CrsDef, expected: tuple[float, float], got: tuple[float, float]) -> float:
    """Distance in metres between two near points of a CRS (for 3857: of its own, larger metres)."""
    dx, dy = ((g - e) * crs.unit_m for g, e in zip(got, expected, strict=True))
    if not crs.projected:
        dx *= math.cos(math.radians(expected[1]))
    return math.hypot(dx, dy)


def _against_epsg(crs: CrsDef) -> ProofLine:
    """Datum, projection, unit and axis order of our text, compared with the registry's."""
    name = f"definition of EPSG:{crs.code}"
    expected = f"{crs.name}, {crs.axis}"
    try:
        theirs = CRS.from_epsg(crs.code)
    except CRSError:
        return ProofLine(name, expected, "not in PROJ's database", math.nan, False)
    # ESRI's text has no codes, so it is compared by datum and parameters.
    same = identify(theirs.to_wkt("WKT1_ESRI")).code
    axis = "ne" if theirs.axis_info[0].direction == "north" else "en"
    ok = same == crs.code and theirs.name == crs.name and axis == crs.axis
    return ProofLine(name, expected, f"{theirs.name}, {axis}", 0.0 if ok else math.nan, ok)
