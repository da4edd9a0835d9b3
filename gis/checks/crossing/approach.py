"""Where works come near each other: pairs of segments within the clearance of law, computed as arrays.

All numbers of a pair of lines come from these two lines alone and from differences of coordinates, so that
they are the same to the bit in whatever window the pair is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import shapely

from gis.checks.crossing.works import Works
from gis.checks.features import Bools, Floats, Ints
from gis.checks.law import Direction, Law

#: Lines at a smaller angle than this run beside each other, at a greater one they cross or meet.
BESIDE = np.sin(np.radians(30.0))
#: Ends of one sector's lines no farther from another than this (m) are taken to be joined to it.
JOINED = 0.1
#: Pairs of segments that are computed at once: bounds the memory of crowds.
_PORTION = 500_000


@dataclass(frozen=True)
class Approaches:
    """``n`` pairs of segments, one of line ``a`` and one of line ``b``, where these come too near.

    ``at_a``, ``at_b`` (n, 2): the nearest points in plan (storage CRS). ``plan`` and ``vertical``: distance
    (m) between the outer faces, negative where they overlap; vertical is NaN where a height is unknown.
    """

    a: Ints
    b: Ints
    at_a: Floats
    at_b: Floats
    plan: Floats
    vertical: Floats
    #: The segments run beside each other; the lines cross here in plan.
    beside: Bools
    crossing: Bools
    #: The limits (m) for the pair; NaN where law has none.
    plan_limit: Floats
    vertical_limit: Floats

    def __len__(self) -> int:
        return len(self.a)

    def take(self, which: Bools | Ints) -> Approaches:
        return Approaches(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    def pairs(self) -> Iterator[Ints]:
        """The approaches of each pair of lines."""
        order = np.lexsort((self.b, self.a))
        steps = np.flatnonzero((np.diff(self.a[order]) != 0) | (np.diff(self.b[order]) != 0)) + 1
        yield from np.split(order, steps) if len(order) else []


def approaches(works: Works, law: Law, of: int | None = None) -> Approaches:
    """Pairs of segments of different lines, not joined, that break the horizontal or vertical clearance
    (before containers are looked at); ``of``: only those of this line."""
    limits = _Limits(works, law)
    reach = works.half_width + limits.farthest
    some = np.arange(len(works)) if of is None else _meeting(works, of, float(reach[of]) / works.unit)
    some = some[_distinct(works, some)]
    if of is not None:
        some = _too_near(works, limits, of, some)
    if len(some) < 2:
        return _nothing()
    start, end, line = _segments(works, some)
    shapes = shapely.linestrings(np.stack([start[:, :2], end[:, :2]], axis=1))
    tree = shapely.STRtree(shapes)
    asked = np.arange(len(shapes)) if of is None else np.flatnonzero(line == of)
    one, other = tree.query(shapes[asked], predicate="dwithin", distance=reach[line[asked]] / works.unit)
    one = asked[one]
    if of is None:
        wanted = line[one] < line[other]
        one, other = one[wanted], other[wanted]
    else:
        apart = line[one] != line[other]
        one, other = one[apart], other[apart]
        after = line[one] > line[other]
        one, other = np.where(after, other, one), np.where(after, one, other)
    if not len(one):
        return _nothing()
    found = [
        _judged(works, limits, start, end, line, one[k : k + _PORTION], other[k : k + _PORTION])
        for k in range(0, len(one), _PORTION)
    ]
    names = Approaches.__dataclass_fields__
    near = Approaches(*(np.concatenate([getattr(f, name) for f in found]) for name in names))
    return near.take(~_joined(works, near.a, near.b))


def _nothing() -> Approaches:
    no, none, nowhere, never = np.empty(0, np.int64), np.empty(0), np.empty((0, 2)), np.empty(0, bool)
    return Approaches(no, no, nowhere, nowhere, none, none, never, never, none, none)


def _meeting(works: Works, of: int, reach: float) -> Ints:
    """The lines, ascending, whose boxes come within ``reach`` (units) of that of one; it is among them."""
    boxes, mine = works.boxes, works.boxes[of]
    near = (boxes[:, :2] <= mine[2:] + reach) & (boxes[:, 2:] >= mine[:2] - reach)
    found: Ints = np.flatnonzero(near.all(axis=1))
    return found


def _too_near(works: Works, limits: _Limits, of: int, lines: Ints) -> Ints:
    """Which of the lines come nearer to one of them than the law wants, and are not joined to it, as most
    that are so near. The line itself is among them."""
    here = np.full(len(lines), of)
    limit, _ = limits.of(here, lines, np.ones(len(lines), bool))
    reach = np.fmax(limit, 0.0) + works.half_width[of] + works.half_width[lines]
    # A little more: it is the distance of segments that counts.
    near = shapely.dwithin(works.geometry[lines], works.geometry[of], reach / works.unit + 0.001)
    lines, here = lines[near], here[near]
    if len(lines) < 2:
        return lines
    found: Ints = lines[~_joined(works, here, lines) | (lines == of)]
    return found


@lru_cache(maxsize=256)
def _clearances(law: Law, kinds: tuple[str, ...]) -> tuple[Floats, Floats]:
    """Horizontal and vertical clearances (m) between the kinds; NaN where there is none."""
    ways: tuple[Direction, Direction] = ("horizontal", "vertical")
    horizontal, vertical = (
        np.array([[law.clearance_m(a, b, way) for b in kinds] for a in kinds], np.float64) for way in ways
    )
    return horizontal.reshape(len(kinds), len(kinds)), vertical.reshape(len(kinds), len(kinds))


class _Limits:
    """The clearances of law between the kinds that there are, as matrices."""

    def __init__(self, works: Works, law: Law) -> None:
        kinds = tuple(sorted({work.kind for work in works.defs}))
        number = np.array([kinds.index(work.kind) for work in works.defs], np.int64)
        self.code = number[works.members.part]
        self.horizontal, self.vertical = _clearances(law, kinds)
        widest = np.zeros(len(kinds))
        np.maximum.at(widest, self.code, works.half_width)
        apart = np.where(np.isnan(self.horizontal), 0.0, self.horizontal) + widest
        #: (lines) how far from its outer face (m) an axis may be that is too near.
        self.farthest = apart.max(axis=1, initial=0.0)[self.code]
        #: (lines) how far drinking water has to be from sewers beside it; None where one of them is not.
        self.parallel: Floats | None = None
        if "water" not in kinds or "sewage" not in kinds:
            return
        self.water = works.kind == "water"
        self.sewage = works.kind == "sewage"
        self.parallel = np.where(self.water, law.parallel_water_m(2000 * works.half_width), np.nan)
        drinking = [widest[kinds.index(kind)] for kind in ("sewage", "water")]
        wanted = np.where(np.isnan(self.parallel), 0.0, self.parallel)
        water = np.where(self.water, wanted + drinking[0], 0.0)
        sewage = np.where(self.sewage, wanted.max(initial=0.0) + drinking[1], 0.0)
        self.farthest = np.maximum(self.farthest, np.maximum(water, sewage))

    def of(self, a: Ints, b: Ints, beside: Bools) -> tuple[Floats, Floats]:
        """Horizontal and vertical limits of pairs of lines."""
        plan, vertical = (table[self.code[a], self.code[b]] for table in (self.horizontal, self.vertical))
        if self.parallel is None:
            return plan, vertical
        drinking = (self.water[a] & self.sewage[b]) | (self.sewage[a] & self.water[b])
        parallel = np.fmax(self.parallel[a], self.parallel[b])
        plan = np.where(drinking & beside, np.fmax(plan, parallel), plan)
        return plan, vertical


def _segments(works: Works, lines: Ints) -> tuple[Floats, Floats, Ints]:
    """Start and end (n, 3) of the segments of these lines that have a length, and the line of each."""
    line = np.repeat(np.arange(len(works)), np.diff(works.offsets))
    wanted = np.zeros(len(works), bool)
    wanted[lines] = True
    same = (line[1:] == line[:-1]) & wanted[line[1:]]
    start, end = works.vertices[:-1][same], works.vertices[1:][same]
    long = (start[:, :2] != end[:, :2]).any(axis=1)
    return start[long], end[long], line[1:][same][long]


def _distinct(works: Works, lines: Ints) -> Bools:
    """Which of the lines are the first of those of one kind that have the same geometry: copies (GEN-09)
    would make as many pairs as the square of their number, and say nothing."""
    kept = np.ones(len(lines), bool)
    boxes = works.boxes[lines]
    order = np.lexsort(boxes.T)
    same = (boxes[order][1:] == boxes[order][:-1]).all(axis=1)
    if not same.any():
        return kept
    alike = np.unique(np.concatenate([order[1:][same], order[:-1][same]]))
    first: dict[tuple[str, bytes], int] = {}
    shapes = shapely.to_wkb(shapely.normalize(shapely.force_2d(works.geometry[lines[alike]])))
    for n, shape in zip(alike.tolist(), shapes, strict=True):
        known = first.setdefault((works.kind[lines[n]], shape), n)
        if works.key(lines[n]) < works.key(lines[known]):
            first[works.kind[lines[n]], shape] = n
    kept[alike] = False
    kept[list(first.values())] = True
    return kept


def between(
    works: Works, law: Law, start: Floats, end: Floats, line: Ints, one: Ints, other: Ints
) -> tuple[Approaches, Bools, Bools]:
    """What lies between segments (start and end (n, 3) of pieces of ``line``) at ``one`` and at ``other``.

    All these pairs, which of them break a clearance, and which are of lines that are joined (and so exempt).
    """
    near, bad = _measured(works, _Limits(works, law), start, end, line, one, other)
    return near, bad, _joined(works, near.a, near.b)


def _judged(
    works: Works, limits: _Limits, start: Floats, end: Floats, line: Ints, one: Ints, other: Ints
) -> Approaches:
    """The pairs of segments that break a clearance."""
    near, bad = _measured(works, limits, start, end, line, one, other)
    return near.take(bad)


def _measured(
    works: Works, limits: _Limits, start: Floats, end: Floats, line: Ints, one: Ints, other: Ints
) -> tuple[Approaches, Bools]:
    """All the pairs of segments, and which of them break a clearance."""
    a, b = line[one], line[other]
    (p, q), (r, s) = (start[one], end[one]), (start[other], end[other])
    u, v = (q - p)[:, :2], (s - r)[:, :2]
    cross = np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])
    beside = cross < BESIDE * np.sqrt((u**2).sum(axis=1) * (v**2).sum(axis=1))
    t, w, crossing = _nearest(u, v, (r - p)[:, :2])
    at_a, at_b = p[:, :2] + t[:, None] * u, r[:, :2] + w[:, None] * v
    gap = (r - p)[:, :2] + w[:, None] * v - t[:, None] * u
    distance = np.where(crossing, 0.0, np.sqrt((gap**2).sum(axis=1))) * works.unit
    plan = distance - works.half_width[a] - works.half_width[b]
    za, zb = p[:, 2] + t * (q - p)[:, 2], r[:, 2] + w * (s - r)[:, 2]
    apart = np.abs(za - zb)
    # Where heights are unknown, covers below the same ground tell.
    apart = np.where(np.isnan(apart), np.abs(works.axis_depth[a] - works.axis_depth[b]), apart)
    vertical = apart - works.half_height[a] - works.half_height[b]
    plan_limit, vertical_limit = limits.of(a, b, beside)
    over = (plan <= 0) & (~beside | crossing)
    low = over & (vertical < vertical_limit)
    # What does not run beside may pass near, like what crosses, if it is well above or below.
    passing = ~beside & ((vertical >= vertical_limit) | np.isnan(vertical_limit))
    close = ~over & (plan < plan_limit) & ~passing
    near = Approaches(a, b, at_a, at_b, plan, vertical, beside, over, plan_limit, vertical_limit)
    return near, low | close


def _nearest(u: Floats, v: Floats, d: Floats) -> tuple[Floats, Floats, Bools]:
    """Where segments t u and d + w v (n, 2) are nearest: t, w in 0..1, and which of them cross."""
    uu, vv = (u**2).sum(axis=1), (v**2).sum(axis=1)
    cross = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (d[:, 0] * v[:, 1] - d[:, 1] * v[:, 0]) / cross
        w = (d[:, 0] * u[:, 1] - d[:, 1] * u[:, 0]) / cross
    crossing = (cross != 0) & (t >= 0) & (t <= 1) & (w >= 0) & (w <= 1)
    # Otherwise they are nearest at one of the four ends.
    candidates = []
    for end in (0.0, 1.0):
        along = np.clip(((end * u - d) * v).sum(axis=1) / vv, 0, 1)
        candidates.append((np.full(len(u), end), along))
    for end in (0.0, 1.0):
        along = np.clip(((d + end * v) * u).sum(axis=1) / uu, 0, 1)
        candidates.append((along, np.full(len(u), end)))
    ts, ws = np.stack([c[0] for c in candidates]), np.stack([c[1] for c in candidates])
    gaps = d + ws[..., None] * v - ts[..., None] * u
    best = (gaps**2).sum(axis=2).argmin(axis=0)
    rows = np.arange(len(u))
    return np.where(crossing, t, ts[best, rows]), np.where(crossing, w, ws[best, rows]), crossing


def _joined(works: Works, a: Ints, b: Ints) -> Bools:
    """Which pairs are of lines of one sector of which one ends at the other."""
    found = np.zeros(len(a), bool)
    which = np.flatnonzero(works.sector[a] == works.sector[b])
    if not len(which):
        return found
    pairs, inverse = np.unique(a[which] * len(works) + b[which], return_inverse=True)
    a, b = np.divmod(pairs, len(works))
    ends = shapely.points(np.concatenate([works.ends[a], works.ends[b]]))
    others = np.concatenate([works.geometry[b], works.geometry[a]])
    near = shapely.dwithin(ends, others[:, None], JOINED / works.unit)
    found[which] = near.any(axis=1).reshape(2, -1).any(axis=0)[inverse]
    return found
