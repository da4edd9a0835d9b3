"""Can these coordinates be the city's under the CRS they are declared in, and if not, what went wrong?

The city's extent tells the large mistakes (axes, zone, degrees, another place). Shifts of less than some
kilometres, and wrong zones that land inside the city, need a reference: matching points whose right place
is known (gis.crs.shift).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gis.crs.definitions import WGS84, Box, CrsDef, definition, registry
from gis.crs.shift import Offset, judge
from gis.crs.transform import Floats, transform_xy

#: At least this share of the sample must lie in the city. Below it the file is refused as a whole;
#: above it the rows outside are rejected one by one, with their reason.
MAJORITY = 0.5
#: A mistake is named when undoing it brings this share of the sample into the city.
_CONVINCING = 0.9


@dataclass(frozen=True)
class Diagnosis:
    """``mistake`` is one of the names below, or None when ``ok`` (or when nothing was recognised).

    ``swapped-axes``, ``other-zone``, ``swapped-axes-and-zone``, ``degrees-as-metres``,
    ``metres-as-degrees``, ``millimetres``, ``local-coordinates``, ``outside-city``, ``no-coordinates``,
    and with a reference ``null-shift``, ``reversed-shift``, ``epsg-5194``, ``rotation-signs``,
    ``three-parameters``. ``code`` and ``swap`` are what to try instead; ``inside`` is the share of
    the sample that lies in the city as declared.
    """

    ok: bool
    mistake: str | None
    message: str
    hint: str | None = None
    code: int | None = None
    swap: bool = False
    inside: float = 0.0


@dataclass(frozen=True)
class Reference:
    """Matching points: ``given`` (n, 2) in the declared CRS, ``right`` (n, 2) in the storage CRS."""

    given: Floats
    right: Floats


@dataclass(frozen=True)
class _Trial:
    mistake: str
    code: int
    swap: bool = False
    factor: float = 1.0


def diagnose(
    xy: npt.ArrayLike,
    declared: int,
    extent: Box,
    storage: int,
    *,
    offered: Sequence[int] = (),
    reference: Reference | None = None,
) -> Diagnosis:
    """Judge a sample (n, 2) of x, y in the declared CRS against the city's extent (degrees, WGS 84).

    ``offered`` are codes that are tried first for ``other-zone`` (the city's usual ones).
    """
    points = np.asarray(xy, dtype=np.float64).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1)]
    said = f"EPSG:{declared}"
    if not len(points):
        return Diagnosis(False, "no-coordinates", "the file has no finite coordinates")
    inside = _share(points, _Trial("", declared), extent)
    if inside >= MAJORITY:
        return _against_reference(declared, storage, reference, inside) or Diagnosis(
            True, None, f"{inside:.1%} of the sample lies in the city", inside=inside
        )
    fits = [
        t for t in _trials(points, declared, storage, offered) if _share(points, t, extent) >= _CONVINCING
    ]
    if fits:
        best = fits[0]
        same = [f"EPSG:{t.code}" for t in fits if (t.mistake, t.swap) == (best.mistake, best.swap)][:3]
        message, hint = _sentence(best, said, " or ".join(same), _where(points, declared))
        return Diagnosis(False, best.mistake, message, hint, best.code, best.swap, inside)
    if definition(declared).projected and np.median(np.abs(points).max(axis=1)) < 20_000:
        return Diagnosis(
            False,
            "local-coordinates",
            f"the coordinates are small numbers near 0, 0, as in a local drawing, not {said}",
            "place the drawing in a VN-2000 zone before loading it",
            inside=inside,
        )
    return Diagnosis(
        False,
        "outside-city",
        f"{1 - inside:.0%} of the sample lies outside the city's extent; "
        f"as {said} it lies {_where(points, declared)}",
        "check the file and its CRS (--crs), or allow features outside the city explicitly",
        inside=inside,
    )


def _trials(points: Floats, declared: int, storage: int, offered: Sequence[int]) -> Iterator[_Trial]:
    """Mistakes in the order in which they should be named; only those the numbers allow."""
    crs = definition(declared)
    degrees = bool(np.median(np.abs(points[:, 0])) <= 180 and np.median(np.abs(points[:, 1])) <= 180)
    zones = _zones(storage, offered, without=declared)
    if crs.projected and degrees:
        yield _Trial("degrees-as-metres", WGS84)
        yield _Trial("degrees-as-metres", WGS84, swap=True)
        return
    if degrees:
        yield _Trial("swapped-axes", declared, swap=True)
        return
    if not crs.projected:
        yield from (_Trial("metres-as-degrees", z.code) for z in zones)
        yield from (_Trial("metres-as-degrees", z.code, swap=True) for z in zones)
        return
    yield _Trial("swapped-axes", declared, swap=True)
    yield from (_Trial("other-zone", z.code) for z in zones)
    yield from (_Trial("swapped-axes-and-zone", z.code, swap=True) for z in zones)
    yield _Trial("millimetres", declared, factor=1000.0)
    yield _Trial("millimetres", declared, swap=True, factor=1000.0)


def _zones(storage: int, offered: Sequence[int], without: int) -> list[CrsDef]:
    """Projected CRSs to try: the storage CRS, the city's usual ones, then all on its datum, then others."""
    first = [storage, *offered]
    datum = definition(storage).datum_id
    return sorted(
        (c for c in registry() if c.projected and c.code != without),
        key=lambda c: (first.index(c.code) if c.code in first else len(first), c.datum_id != datum),
    )


def _share(points: Floats, trial: _Trial, extent: Box) -> float:
    """Share of the points that lie in the extent, read as the trial says."""
    x, y = (points[:, 1], points[:, 0]) if trial.swap else (points[:, 0], points[:, 1])
    lon, lat = transform_xy(x / trial.factor, y / trial.factor, trial.code, WGS84)
    west, south, east, north = extent
    inside = (lon >= west) & (lon <= east) & (lat >= south) & (lat <= north)
    if not definition(trial.code).projected:
        inside &= (np.abs(x) <= 180) & (np.abs(y) <= 90)  # PROJ would wrap metres into degrees
    return float(inside.mean())


def _sentence(trial: _Trial, said: str, codes: str, where: str) -> tuple[str, str]:
    """Message and hint for a recognised mistake."""
    try_it = f"try --crs EPSG:{trial.code}"
    order = "latitude, longitude" if trial.mistake == "degrees-as-metres" else "northing, easting"
    swap_too = f"exchange the columns ({order}), then {try_it}"
    match trial.mistake:
        case "swapped-axes" if definition(trial.code).projected:
            return (
                f"the axes are swapped: x holds northings and y eastings of {said}",
                f"exchange x and y (surveyors write X = north), then --crs EPSG:{trial.code}",
            )
        case "swapped-axes":
            return (
                "the axes are swapped: the coordinates are latitude, longitude",
                f"exchange x and y, then --crs EPSG:{trial.code}",
            )
        case "other-zone":
            return f"as {said} the coordinates lie {where}, outside the city; they fit it as {codes}", try_it
        case "swapped-axes-and-zone":
            return f"the axes are swapped and the zone is not {said}: they fit as {codes}", swap_too
        case "degrees-as-metres":
            message = f"the coordinates are degrees, but are declared as {said}"
            return message, swap_too if trial.swap else try_it
        case "metres-as-degrees":
            message = f"the coordinates are metres that fit the city as {codes}, but are declared as {said}"
            return message, swap_too if trial.swap else try_it
        case _:
            return f"the coordinates are millimetres, not the units of {said}", "scale them by 0.001 first"


def _where(points: Floats, declared: int) -> str:
    x, y = np.median(points, axis=0)
    lon, lat = (float(v) for v in transform_xy(x, y, declared, WGS84))
    if not (math.isfinite(lon) and math.isfinite(lat)):
        return "nowhere on Earth"
    return f"near {abs(lon):.2f} {'E' if lon >= 0 else 'W'}, {abs(lat):.2f} {'N' if lat >= 0 else 'S'}"


_MISTAKES = {
    "null-shift": "no datum shift was made between {datum} and WGS 84",
    "reversed-shift": "the datum shift was made in the wrong direction",
    "epsg-5194": "the datum shift is that of EPSG:5194, which is not the official one",
    "rotation-signs": "the datum shift has the wrong rotation signs",
    "three-parameters": "the datum shift was made with three of its seven parameters only",
    "other-zone": "the zone is not that of {declared} but of {code}",
    "swapped-axes": "the axes are swapped",
    "swapped-axes-and-zone": "the axes are swapped, and the zone is not that of {declared} but of {code}",
}


def explain_offset(
    offset: Offset, declared: int, storage: int, against: str, inside: float = 1.0
) -> Diagnosis:
    """The sentence for an offset that has a mistake; ``against``: what the file was compared with."""
    assert offset.mistake is not None
    plane = definition(storage)
    datum = plane.name.split(" / ")[0]
    said = _MISTAKES[offset.mistake].format(
        declared=f"EPSG:{declared}", code=f"EPSG:{offset.code}", datum=datum
    )
    hint = f"have it transformed again with {plane.datum.source}, or deliver it in {datum} coordinates"
    if offset.code is not None:
        hint = f"try --crs EPSG:{offset.code}"
        if offset.swap:
            hint = f"exchange x and y, then --crs EPSG:{offset.code}"
    message = f"against {against} the file is {offset.vector}: {said}"
    return Diagnosis(False, offset.mistake, message, hint, offset.code, offset.swap, inside)


def _against_reference(
    declared: int, storage: int, reference: Reference | None, inside: float
) -> Diagnosis | None:
    if reference is None or not len(reference.given):
        return None
    moved = np.column_stack(transform_xy(reference.given[:, 0], reference.given[:, 1], declared, storage))
    offset = judge(moved, reference.right, declared, storage)
    if offset.mistake is None:
        return None
    return explain_offset(offset, declared, storage, "known points", inside)
