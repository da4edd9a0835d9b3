"""Which mistake displaced these points? Points of a delivery against the places where they should be.

Every mistake is undone, point by point, by the exact wrong operation run backwards; one that puts most of
the points right, together, is named. Features that people really moved go each its own way, or all by one
vector that no mistake makes, and are told from it so (domain/crs.md tabulates the vectors for Ben Thanh).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from pyproj.transformer import Transformer

from gis.crs.box import plane_bounds
from gis.crs.definitions import WGS84, Helmert, definition, registry
from gis.crs.transform import Floats, transform_xy

#: Fewer matching points than these say nothing.
FEWEST = 5
#: Metres within which most points must be where they should, for a file to agree with what is known.
AGREES_M = 0.1
#: A mistake that displaces by less than this is a mistake of the datum, not of the zone or the axes.
DATUM_M = 1_000.0

#: As in the EPSG registry (made for oil blocks in the Mekong delta), from VN-2000 to WGS 84.
_EPSG_5194 = Helmert(
    convention="coordinate_frame",
    x=-192.873, y=-39.382, z=-111.202, rx=0.00205, ry=0.0005, rz=-0.00335, s=0.0188,
)  # fmt: skip


@dataclass(frozen=True)
class Undone:
    """A mistake, and where points made with it should be: ``right`` (n, 2) in the storage CRS.

    ``code`` and ``swap``: how to read the delivery instead, when that alone puts it right.
    """

    mistake: str
    right: Floats
    code: int | None = None
    swap: bool = False


@dataclass(frozen=True)
class Offset:
    """What the comparison says; ``dx``, ``dy``: metres east and north from the right place, the median.

    ``agrees``: most points are where they should be. ``mistake``: ``mistake`` put them where they are.
    ``constant``: most are displaced by one vector that no mistake makes. ``unclear``: anything else.
    """

    kind: Literal["agrees", "mistake", "constant", "unclear"]
    count: int
    dx: float = 0.0
    dy: float = 0.0
    mistake: str | None = None
    code: int | None = None
    swap: bool = False

    @property
    def metres(self) -> float:
        """Length of the vector."""
        return math.hypot(self.dx, self.dy)

    @property
    def vector(self) -> str:
        """In words: ``225.49 m off (195.71 m west, 112.03 m north)``."""
        east = f"{abs(self.dx):,.2f} m {'east' if self.dx >= 0 else 'west'}"
        north = f"{abs(self.dy):,.2f} m {'north' if self.dy >= 0 else 'south'}"
        return f"{self.metres:,.2f} m off ({east}, {north})"


def undone(given: Floats, declared: int, storage: int) -> list[Undone]:
    """``given`` (n, 2), as read by ``declared`` and now in ``storage``, with each mistake undone.

    Another CRS of the registry that the coordinates may be in, their axes swapped, then the datum mistakes.
    Places that the storage CRS cannot hold are infinite.
    """
    found: list[Undone] = []
    crs = definition(declared)
    x, y = transform_xy(given[:, 0], given[:, 1], storage, declared)
    bounds = plane_bounds(storage)
    for other in registry():
        if other.projected != crs.projected or other.unit != crs.unit:
            continue
        for swap in (False, True):
            if other.code == declared and not swap:
                continue
            a, b = (y, x) if swap else (x, y)
            if not other.projected and not (np.abs(b) <= 90).all():
                continue
            right = np.column_stack(transform_xy(a, b, other.code, storage))
            inside = (right >= bounds[:2]).all(axis=1) & (right <= bounds[2:]).all(axis=1)
            if inside.mean() < 0.6:
                continue
            right[~inside] = np.inf
            near = not swap and _typical(given - right) * definition(storage).unit_m < DATUM_M
            same = other.datum_id == crs.datum_id
            name = "null-shift" if near and not same else "other-zone"
            if swap:
                name = "swapped-axes" if other.code == declared else "swapped-axes-and-zone"
            found.append(Undone(name, right, other.code, swap))
    return found + [Undone(name, right) for name, right in _datum_undone(given, storage)]


def judge(given: npt.ArrayLike, right: npt.ArrayLike, declared: int, storage: int) -> Offset:
    """Compare points (n, 2) in the storage CRS with the places (n, 2) where they should be.

    ``declared`` is the CRS that the delivery was read with.
    """
    ours = np.asarray(given, dtype=np.float64).reshape(-1, 2)
    theirs = np.asarray(right, dtype=np.float64).reshape(-1, 2)
    finite = np.isfinite(ours).all(axis=1) & np.isfinite(theirs).all(axis=1)
    ours, theirs, unit = ours[finite], theirs[finite], definition(storage).unit_m
    count = len(ours)
    if count < FEWEST:
        return Offset("unclear", count)
    off = (ours - theirs) * unit
    (dx, dy), spread = _centre(off)
    if _typical(off) <= AGREES_M:
        return Offset("agrees", count, dx, dy)
    best: tuple[float, int, Undone] | None = None
    for trial in undone(ours, declared, storage):
        moved = _typical(ours - trial.right) * unit
        if not math.isfinite(moved) or moved < 0.15:
            continue
        (ex, ey), apart = _centre((trial.right - theirs) * unit)
        left = math.hypot(ex, ey)
        together, near = _limits(moved, apart, count)
        # Equal to the centimetre, the one that a CRS alone mends is named.
        rank = (round(left + apart, 2), trial.code is None)
        if apart <= together and left <= near and (best is None or rank < best[:2]):
            best = (*rank, trial)
    if best is not None:
        trial = best[2]
        return Offset("mistake", count, dx, dy, trial.mistake, trial.code, trial.swap)
    size = math.hypot(dx, dy)
    share = float((np.hypot(off[:, 0] - dx, off[:, 1] - dy) <= max(0.05, 0.02 * size)).mean())
    if size > AGREES_M and spread <= max(0.02, 0.01 * size) and share >= 0.6:
        return Offset("constant", count, dx, dy)
    return Offset("unclear", count, dx, dy)


def fingerprint(dx: float, dy: float, at: tuple[float, float] = (106.698, 10.7725)) -> str | None:
    """Name the datum mistake of VN-2000 that displaces points by dx east and dy north (metres), or None.

    The displacement is where points are, minus where they should be, near ``at`` (lon, lat). A mistake
    may have been made on the way from VN-2000 to WGS 84 or back, so both directions are known.
    """
    lon, lat = transform_xy([at[0]], [at[1]], WGS84, 4756)
    best: tuple[float, str] | None = None
    for name, correction in _corrections(4756):
        x, y, _ = correction.transform(lon, lat, np.zeros(1))
        ex, ey = _metres(float(lon[0] - x[0]), float(lat[0] - y[0]), float(lat[0]))
        distance = math.hypot(dx - ex, dy - ey)
        if distance <= max(0.08, 0.02 * math.hypot(ex, ey)) and (best is None or distance < best[0]):
            best = (distance, name)
    return best[1] if best else None


def _limits(moved: float, apart: float, count: int) -> tuple[float, float]:
    """How far apart points may lie once put right, and how far from their places (metres).

    A street that someone moved by 0.80 m east is 4 cm from what EPSG:5194 makes of it: small mistakes must
    fit to 2 cm, or as far as rounded coordinates let the median be known.
    """
    if moved < 10:
        return min(0.1, 0.15 * moved), max(0.02, min(0.05, 2 * apart / math.sqrt(count)))
    return max(0.1, min(20.0, 0.01 * moved)), max(0.02, min(20.0, 0.01 * moved))


def _centre(vectors: Floats) -> tuple[tuple[float, float], float]:
    """Median of vectors by component, and the median distance from it; half of them may be anything."""
    with np.errstate(invalid="ignore"):
        dx, dy = (float(v) for v in np.median(vectors, axis=0))
        return (dx, dy), float(np.median(np.hypot(vectors[:, 0] - dx, vectors[:, 1] - dy)))


def _typical(vectors: Floats) -> float:
    return float(np.median(np.hypot(vectors[:, 0], vectors[:, 1])))


def _datum_undone(given: Floats, storage: int) -> Iterator[tuple[str, Floats]]:
    plane = definition(storage)
    geographic = next((c for c in registry() if not c.projected and c.datum_id == plane.datum_id), None)
    if geographic is None:
        return
    lon, lat = transform_xy(given[:, 0], given[:, 1], storage, geographic.code)
    for name, correction in _corrections(geographic.code):
        x, y, _ = correction.transform(lon, lat, np.zeros(len(lon)))
        yield name, np.column_stack(transform_xy(x, y, geographic.code, storage))


@cache
def _corrections(code: int) -> list[tuple[str, Transformer]]:
    """For a geographic CRS: (mistake, from degrees made with it to the right ones), either way made.

    Empty for a datum without a shift to WGS 84.
    """
    datum = definition(code).datum
    right = datum.shift
    if not isinstance(right, Helmert):
        return []
    flat = {"rx": 0.0, "ry": 0.0, "rz": 0.0}
    wrong: list[tuple[str, str | None]] = [
        ("null-shift", None),
        ("reversed-shift", f"+inv {right.step}"),
        ("rotation-signs", right.model_copy(update={n: -getattr(right, n) for n in flat}).step),
        ("three-parameters", right.model_copy(update={**flat, "s": 0.0}).step),
    ]
    if definition(code).datum_id == definition(4756).datum_id:
        wrong.append(("epsg-5194", _EPSG_5194.step))
    found = []
    for name, step in wrong:
        # The wrong way out, rightly taken back; and the right way out, wrongly taken back: each undone.
        out = _steps(datum.ellipsoid, right.step) + _steps(datum.ellipsoid, step, back=True)
        back = _steps(datum.ellipsoid, step) + _steps(datum.ellipsoid, right.step, back=True)
        found += [(name, _degrees(out)), (name, _degrees(back))]
    return found


def _steps(ellipsoid: str, step: str | None, *, back: bool = False) -> list[str]:
    """To WGS 84 by ``step``, or back; None leaves degrees as they are."""
    if step is None:
        return []
    ours, wgs = f"+proj=cart +ellps={ellipsoid}", "+proj=cart +ellps=WGS84"
    inverse = step.removeprefix("+inv ") if step.startswith("+inv ") else f"+inv {step}"
    way = [wgs, inverse, f"+inv {ours}"] if back else [ours, step, f"+inv {wgs}"]
    # A height that one way makes is no matter of the next.
    return ["+proj=push +v_3", *way, "+proj=pop +v_3"]


def _degrees(steps: list[str]) -> Transformer:
    around = ["+proj=unitconvert +xy_in=deg +xy_out=rad", *steps, "+proj=unitconvert +xy_in=rad +xy_out=deg"]
    return Transformer.from_pipeline("+proj=pipeline +step " + " +step ".join(around))


def _metres(dlon: float, dlat: float, lat: float) -> tuple[float, float]:
    """Small differences of degrees on the WGS 84 ellipsoid as metres east and north."""
    a, e2 = 6378137.0, 0.0066943799901413165
    w = math.sqrt(1 - e2 * math.sin(math.radians(lat)) ** 2)
    return (
        math.radians(dlon) * a / w * math.cos(math.radians(lat)),
        math.radians(dlat) * a * (1 - e2) / w**3,
    )
