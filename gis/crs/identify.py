"""Which known CRS a file names: by its EPSG code, or by datum and projection parameters. Never a guess.

Files of one and the same VN-2000 zone come with dozens of texts (ESRI and MapInfo without codes, with
or without TOWGS84, with rotations of either sign). What counts is the datum and the projection; what a
file says about its way to WGS 84 is not used, as ours is pinned. A WGS 84 datum under a VN-2000
projection is common and says nothing certain, so it is left to the user.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyproj
from pyproj.exceptions import CRSError

from gis.crs.definitions import METRES, WEB_MERCATOR, CrsDef, definition, is_known, registry
from gis.crs.uris import parse_uri
from gis.errors import UsageError

#: EPSG parameter codes -> PROJ names; both kinds of "origin" mean the same for one method.
_PARAMETERS = {
    8801: "lat_0",
    8802: "lon_0",
    8805: "k",
    8806: "x_0",
    8807: "y_0",
    8821: "lat_0",
    8822: "lon_0",
    8823: "lat_1",
    8824: "lat_2",
    8826: "x_0",
    8827: "y_0",
}
_METHODS = {"Transverse Mercator": "tmerc", "Lambert Conic Conformal (2SP)": "lcc"}
#: Degrees, metres or ratio within which parameters are the same: all below 2 mm on the ground.
_TOLERANCE = {
    "lat_0": 1e-8,
    "lon_0": 1e-8,
    "lat_1": 1e-8,
    "lat_2": 1e-8,
    "k": 1e-10,
    "x_0": 1e-3,
    "y_0": 1e-3,
}
#: Characters; the longest WKT of EPSG has 10,000.
_MAX_TEXT = 100_000
_UNITS = {"degree": math.pi / 180, "metre": 1.0, "unity": 1.0}


@dataclass(frozen=True)
class Identified:
    """``code`` is None when the CRS is not certain; ``how`` is a sentence for the load report."""

    code: int | None
    how: str


@dataclass(frozen=True)
class _Found:
    """A file's CRS, reduced to what decides: datum, ellipsoid, projection in degrees and metres."""

    datums: frozenset[str]
    towgs84: tuple[float, ...] | None
    semi_major: float
    inverse_flattening: float
    method: str
    parameters: dict[str, float]
    unit_m: float


def identify(text: str | None) -> Identified:
    """The known CRS that a WKT (1, 2, ESRI), PROJ string, ``EPSG:n``, URN or URI stands for."""
    if text is None or not text.strip():
        return Identified(None, "the file does not say its CRS")
    if len(text) > _MAX_TEXT:
        return Identified(None, "the file's CRS cannot be read")
    with contextlib.suppress(UsageError):
        named = parse_uri(text)
        return Identified(named.code, f"the file names EPSG:{named.code}")
    try:
        said = pyproj.CRS.from_user_input(text).to_json_dict()
    except CRSError:
        return Identified(None, "the file's CRS cannot be read")
    said, towgs84 = _horizontal(said)
    found = _reduced(said, towgs84)
    if found is None:
        return Identified(None, f"the file's CRS ({_title(said)}) is not one that maps use")
    return _with_code(said, found) or _by_parameters(said, found)


def _with_code(said: dict[str, Any], found: _Found) -> Identified | None:
    """By the EPSG code in the text, when it is not contradicted by the parameters beside it."""
    authority = said.get("id") or {}
    if authority.get("authority") != "EPSG":
        return None
    code = int(authority["code"])
    if not is_known(code):
        return Identified(None, f"the file's CRS is EPSG:{code} ({_title(said)}), which is not defined here")
    if not _same_projection(definition(code), found):
        return Identified(None, f"the file names EPSG:{code}, but its projection parameters are not those")
    return Identified(code, f"the file names EPSG:{code}")


def _by_parameters(said: dict[str, Any], found: _Found) -> Identified:
    alike = [crs for crs in registry() if _same_projection(crs, found)]
    for crs in alike:
        if _same_datum(crs, found):
            return Identified(crs.code, f"datum and projection ({_title(said)}) are those of EPSG:{crs.code}")
    if not alike:
        return Identified(None, f"the file's CRS ({_title(said)}) matches none that is defined here")
    names = " or ".join(f"EPSG:{crs.code} ({crs.name})" for crs in alike[:3])
    datum = " / ".join(sorted(found.datums)) or "not named"
    return Identified(
        None, f"the file has the projection of {names}, but its datum is {datum}; say which with --crs"
    )


def _horizontal(said: dict[str, Any]) -> tuple[dict[str, Any], tuple[float, ...] | None]:
    """The horizontal CRS inside bound and compound ones, and the TOWGS84 beside it."""
    towgs84: tuple[float, ...] | None = None
    while True:
        if said["type"] == "CompoundCRS":
            said = said["components"][0]
        elif said["type"] == "BoundCRS":
            values = tuple(float(p["value"]) for p in said["transformation"]["parameters"] if _is_number(p))
            towgs84 = values + (0.0,) * (7 - len(values)) if 3 <= len(values) <= 7 else None
            said = said["source_crs"]
        else:
            if len(said.get("coordinate_system", {}).get("axis", ())) == 3:
                said = {k: v for k, v in said.items() if k != "id"}  # EPSG:4979 is 4326 with a height
            return said, towgs84


def _is_number(parameter: dict[str, Any]) -> bool:
    return isinstance(parameter.get("value"), int | float)


def _reduced(said: dict[str, Any], towgs84: tuple[float, ...] | None) -> _Found | None:
    projected = said["type"] == "ProjectedCRS"
    base = said["base_crs"] if projected else said
    datum = base.get("datum") or base.get("datum_ensemble") or {}
    ellipsoid = datum.get("ellipsoid") or {}
    meridian = datum.get("prime_meridian", {}).get("longitude", 0)
    if base["type"] not in ("GeographicCRS", "GeodeticCRS") or not ellipsoid or meridian != 0:
        return None
    with contextlib.suppress(KeyError, TypeError, ValueError):
        axis = said["coordinate_system"]["axis"][0]
        a = _number(ellipsoid["semi_major_axis"])
        flat = float(ellipsoid.get("inverse_flattening", 0)) or _flattening(a, ellipsoid)
        method, parameters = _conversion(said["conversion"]) if projected else ("longlat", {})
        return _Found(
            datums=frozenset(_datum_names(base, datum)),
            towgs84=towgs84,
            semi_major=a,
            inverse_flattening=flat,
            method=method,
            parameters=parameters,
            unit_m=_factor(axis["unit"]),
        )
    return None


def _datum_names(base: dict[str, Any], datum: dict[str, Any]) -> Iterator[str]:
    # PROJ writes a towgs84 string into the datum's name; nothing is named there.
    name = str(datum.get("name", ""))
    if not name.lower().startswith("unknown"):
        yield name
    base_id = base.get("id") or {}
    if base_id.get("authority") == "EPSG" and is_known(int(base_id["code"])):
        yield registry()[int(base_id["code"])].datum.names[0]


def _number(value: Any) -> float:
    return float(value["value"]) * _factor(value["unit"]) if isinstance(value, dict) else float(value)


def _flattening(a: float, ellipsoid: dict[str, Any]) -> float:
    b = _number(ellipsoid["semi_minor_axis"])
    return a / (a - b) if a != b else 0.0


def _factor(unit: Any) -> float:
    """Metres or radians of a unit of PROJJSON."""
    return float(unit["conversion_factor"]) if isinstance(unit, dict) else _UNITS[unit]


def _conversion(conversion: dict[str, Any]) -> tuple[str, dict[str, float]]:
    method = str(conversion["method"]["name"])
    parameters: dict[str, float] = {}
    for parameter in conversion["parameters"]:
        name = _PARAMETERS.get(int((parameter.get("id") or {}).get("code", 0)))
        if name is None:
            return method, {}
        value = float(parameter["value"]) * _factor(parameter["unit"])
        parameters[name] = math.degrees(value) if name.startswith(("lat", "lon")) else value
    return _METHODS.get(method, method), parameters


def _same_projection(crs: CrsDef, found: _Found) -> bool:
    if crs.projected:
        if not math.isclose(found.unit_m, METRES[crs.unit], rel_tol=1e-9):
            return False
    elif not math.isclose(found.unit_m, math.pi / 180, rel_tol=1e-9):
        return False
    if crs.code == WEB_MERCATOR:
        return found.method == "Popular Visualisation Pseudo Mercator" and not any(found.parameters.values())
    ours = crs.parameters
    method, wanted = ours["proj"], {n: float(ours[n]) for n in _TOLERANCE if n in ours}
    if method == "utm":
        method = "tmerc"
        lon_0 = int(ours["zone"]) * 6 - 183.0
        wanted = {"lat_0": 0.0, "lon_0": lon_0, "k": 0.9996, "x_0": 500000.0, "y_0": 0.0}
    return (
        method == found.method
        and wanted.keys() == found.parameters.keys()
        and all(abs(found.parameters[n] - v) <= _TOLERANCE[n] for n, v in wanted.items())
    )


def _same_datum(crs: CrsDef, found: _Found) -> bool:
    """By the datum's name; or, where the file names none, by the shift that only this datum has."""
    axes = pyproj.get_ellps_map()[crs.datum.ellipsoid]
    # MapInfo writes 6378137.01 for its own variant of the WGS 84 ellipsoid.
    if abs(found.semi_major - axes["a"]) > 0.02 or abs(found.inverse_flattening - axes["rf"]) > 1e-6:
        return False
    ours, theirs = {_folded(n) for n in crs.datum.names}, {_folded(n) for n in found.datums}
    if ours & theirs:
        return crs.datum.shift != "none" or not any(found.towgs84 or ())
    if crs.datum.shift == "none" or found.towgs84 is None:
        return False
    # Rotations are left out: both signs are found in files that mean this datum.
    shift = crs.datum.shift.towgs84
    return all(abs(a - b) < 0.01 for a, b in zip(shift[:3], found.towgs84[:3], strict=True))


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _title(said: dict[str, Any]) -> str:
    return str(said.get("name") or "unnamed")[:80]
