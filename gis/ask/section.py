"""A vertical section: where a line cuts what lies in the ground, and what law says of the distances.

Coordinates are in the city's storage CRS, heights and sizes in metres. The clearances are those of the rules
XLY-03 and XLY-04 (gis.checks.crossing), judged where the section cuts: a pair that is too near elsewhere is
the business of a check.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import shapely

from gis.checks.crossing.approach import between
from gis.checks.crossing.exempt import sheltered
from gis.checks.crossing.works import Works
from gis.checks.features import Floats
from gis.checks.law import Law

#: Of a work only this much (m) on each side of the cut is judged.
_AROUND: Final = 4.0
#: Works whose cuts lie farther from each other (m) are not compared: no clearance of law is so wide.
_APART: Final = 12.0
MOST_VERDICTS: Final = 500


@dataclass(frozen=True)
class Cut:
    """A place where the section cuts line ``work`` of Works (or -1: another feature)."""

    work: int
    #: Metres along the section, and the place.
    station: float
    x: float
    y: float
    #: Of the axis; NaN where it is not known.
    elevation: float = float("nan")
    #: From the surface to the top; NaN where it is not known.
    depth: float = float("nan")


@dataclass(frozen=True)
class Verdict:
    """Of cuts ``a`` and ``b`` (numbers in the list that was judged)."""

    a: int
    b: int
    rule: str
    kind: str
    measured: float
    required: float
    ok: bool


def places(section: shapely.LineString, shape: shapely.Geometry) -> list[tuple[float, float, float]]:
    """(distance along the section in its units, x, y) where a line crosses it; of a stretch its middle."""
    found = []
    for part in shapely.get_parts(shapely.intersection(section, shapely.force_2d(shape))):
        if shapely.get_dimensions(part) < 0:
            continue
        point = part if shapely.get_dimensions(part) == 0 else part.interpolate(0.5, normalized=True)
        found.append((float(section.project(point)), float(point.x), float(point.y)))
    return sorted(found)


def cuts_of(works: Works, section: shapely.LineString) -> list[Cut]:
    """All cuts of the works, in order of the station."""
    found = []
    for i in range(len(works)):
        for along, x, y in places(section, works.geometry[i]):
            start, end, t = _piece(works, i, x, y)
            elevation = float(start[2] + t * (end[2] - start[2]))
            cover = float(works.axis_depth[i] - works.half_height[i])
            found.append(Cut(i, along * works.unit, x, y, elevation, cover))
    return sorted(found, key=lambda cut: (cut.station, cut.work))


def _piece(works: Works, line: int, x: float, y: float) -> tuple[Floats, Floats, float]:
    """The segment of a line that is nearest to a point: start, end, and where between them (0..1)."""
    vertices: Floats = works.vertices[works.offsets[line] : works.offsets[line + 1]]
    start, step = vertices[:-1], np.diff(vertices, axis=0)
    square = np.maximum((step[:, :2] ** 2).sum(axis=1), 1e-12)
    at = np.array([x, y])
    along = np.clip(((at - start[:, :2]) * step[:, :2]).sum(axis=1) / square, 0, 1)
    gaps = ((start[:, :2] + along[:, None] * step[:, :2] - at) ** 2).sum(axis=1)
    best = int(gaps.argmin())
    return start[best], vertices[best + 1], float(along[best])


def verdicts(works: Works, law: Law, cuts: Sequence[Cut]) -> Iterator[Verdict]:
    """What law says of works that the section cuts near each other; nothing where it is silent, where two
    are joined, or share a trench or tunnel, or where a height is unknown that would have to be known."""
    judged = [n for n, cut in enumerate(cuts) if cut.work >= 0]
    if len(judged) < 2:
        return
    start, end, line = _pieces(works, [cuts[n] for n in judged])
    station = np.array([cuts[n].station for n in judged])
    one, other = np.nonzero(np.triu(np.abs(station[:, None] - station[None, :]) <= _APART, 1))
    unlike = line[one] != line[other]
    one, other = one[unlike], other[unlike]
    if not len(one):
        return
    near, bad, joined = between(works, law, start, end, line, one, other)
    order = np.argsort(np.where(near.crossing, 0.0, near.plan), kind="stable")
    for k in order[:MOST_VERDICTS].tolist():
        crossing = bool(near.crossing[k])
        measured = float(near.vertical[k] if crossing else max(near.plan[k], 0.0))
        required = float(near.vertical_limit[k] if crossing else near.plan_limit[k])
        # far beyond what is asked, there is nothing to say
        if joined[k] or np.isnan(measured) or np.isnan(required) or measured > required + 1.0:
            continue
        if bad[k] and sheltered(works, int(near.a[k]), int(near.b[k]), shapely.Point(near.at_a[k])):
            continue
        yield Verdict(
            judged[int(one[k])],
            judged[int(other[k])],
            "XLY-04" if crossing else "XLY-03",
            "vertical" if crossing else "horizontal",
            measured,
            required,
            not bool(bad[k]),
        )


def _pieces(works: Works, cuts: Sequence[Cut]) -> tuple[Floats, Floats, np.typing.NDArray[np.int64]]:
    """The segments that are cut, as far as they lie around the cuts."""
    starts, ends = [], []
    for cut in cuts:
        start, end, t = _piece(works, cut.work, cut.x, cut.y)
        length = float(np.hypot(*(end - start)[:2])) * works.unit
        share = _AROUND / length if length > 0 else 1.0
        low, high = max(0.0, t - share), min(1.0, t + share)
        starts.append(start + low * (end - start))
        ends.append(start + high * (end - start))
    lines = np.array([cut.work for cut in cuts], dtype=np.int64)
    return np.array(starts), np.array(ends), lines
