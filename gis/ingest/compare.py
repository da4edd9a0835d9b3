"""Staged rows against the rows that the layer has: are they where they should be, are they there already?

A city's extent does not tell a missing datum shift (225 m) or a zone that also lands inside it; features that
both the delivery and the layer hold do. They are found by asset id, by another key, or by their shape: the
same vertices and length where a mistake undone would put them. All on samples, by indexes, before anything
of the load can be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import psycopg
from psycopg.sql import SQL, Composable, Composed

from gis import crs
from gis.crs.shift import AGREES_M, DATUM_M
from gis.crs.transform import Floats
from gis.db import sql as names
from gis.errors import LoadRefused
from gis.ingest.merge import unique_keys
from layers.registry import Layer

#: Staged rows whose keys are looked up; whose shapes are; whose surroundings are; that may be there already.
_BY_KEY, _BY_SHAPE, _BY_PLACE, _SAME = 2_000, 200, 50, 2_000
#: Metres in which an unnamed displacement is looked for by shape.
_AROUND_M = 5.0
#: Metres around a place in which the layer must have something for the place to be among its features.
_AMONG_M = 250.0
#: Of the features looked at, this share must be found by shape; lines and areas, single points.
_SHARE, _SHARE_POINTS = 0.2, 0.5


@dataclass(frozen=True)
class Compared:
    """``offset``: where the staged rows lie against the layer's; ``against``: how that is known, in words."""

    offset: crs.Offset
    against: str


@dataclass(frozen=True)
class Same:
    """Staged rows that equal one of the layer's, of those looked at."""

    equal: int
    looked: int


@dataclass(frozen=True)
class Staged:
    """Rows staged beside a layer. ``rows``: about how many; ``declared``: the CRS they were read in."""

    connection: psycopg.Connection
    layer: Layer
    table: Composable
    rows: int
    declared: int
    storage: int

    def sample(self, most: int) -> Composed:
        """``FROM`` item of about ``most`` rows, spread over the delivery; the same rows each time."""
        if self.rows <= most:
            return SQL("{}").format(self.table)
        percent = SQL(repr(round(min(100.0, 110.0 * most / self.rows), 6)))  # a figure of our own
        return SQL("(SELECT * FROM {} TABLESAMPLE SYSTEM ({}) REPEATABLE (1) LIMIT {})").format(
            self.table, percent, SQL(str(most))
        )


def compare(staged: Staged, given: Sequence[str]) -> Compared | None:
    """Where the staged rows lie against the layer's; None when nothing tells.

    ``given``: the fields that the delivery fills. What is sure (keys) is asked first.
    """
    for key in unique_keys(staged.layer):
        if set(key) <= set(given):
            count, ours, theirs = _by_key(staged, key)
            offset = crs.judge(ours, theirs, staged.declared, staged.storage)
            if offset.kind != "unclear":
                return Compared(offset, f"{count:,} features of the layer with the same {' and '.join(key)}")
    return _by_shape(staged)


def inspect(
    staged: Staged, given: Sequence[str], *, append: bool, allow_shift: bool, any_crs: bool
) -> list[str]:
    """Warnings about the staged rows, in sentences. Raises LoadRefused when a mistake displaced them.

    ``allow_shift``: a warning then too. ``any_crs``: the format lets ``--crs`` say another CRS.
    """
    warnings = []
    found = compare(staged, given)
    if found is not None and found.offset.kind == "mistake":
        said = crs.explain_offset(found.offset, staged.declared, staged.storage, found.against)
        if not allow_shift:
            hint = said.hint or ""
            if said.code is not None and not any_crs:
                hint = f"save it as GeoPackage, then load that with --crs EPSG:{said.code}"
            hint += "; --allow-shift takes it as it is (when the layer's rows are the wrong ones)"
            raise LoadRefused(said.message, code=f"crs-{said.mistake}", hint=hint)
        warnings.append(f"{said.message}; taken as it is (--allow-shift)")
    elif found is not None and found.offset.kind == "constant":
        warnings.append(
            f"against {found.against} the file is {found.offset.vector}, by one vector for most of them,"
            " which is not that of a known CRS mistake; if nobody moved them, ask whoever made the file"
        )
    if append and not any(set(key) <= set(given) for key in unique_keys(staged.layer)):
        same = same_rows(staged, given)
        if same.equal:
            of = "" if same.looked < _SAME else " that were looked at"
            warnings.append(
                f"{same.equal:,} of the {same.looked:,} rows{of} equal rows that {staged.layer.id} has"
                " already (geometry and attributes), and come twice; was it loaded before?"
                " Use --mode replace, or a mapping that fills asset_id"
            )
    return warnings


def same_rows(staged: Staged, given: Sequence[str]) -> Same:
    """How many staged rows equal a row of the layer in the fields that are delivered, and within 1 mm.

    A file read again is equal to the last bit; the same features by way of another CRS or format are not.
    """
    near = SQL("{}").format(0.001 / crs.definition(staged.storage).unit_m)
    alike: list[Composable] = [
        SQL(
            "t.geom OPERATOR(public.&&) public.ST_Expand(s.geom, {near})"
            " AND public.ST_NPoints(t.geom) = public.ST_NPoints(s.geom)"
            " AND public.ST_Distance(public.ST_Centroid(t.geom), public.ST_Centroid(s.geom)) <= {near}"
            " AND abs(public.ST_Length(t.geom) + public.ST_Perimeter(t.geom)"
            " - public.ST_Length(s.geom) - public.ST_Perimeter(s.geom)) <= 2 * {near}"
        ).format(near=near)
    ]
    alike += [SQL("t.{0} IS NOT DISTINCT FROM s.{0}").format(names.column(c)) for c in given]
    query = SQL(
        "SELECT count(*) FILTER (WHERE EXISTS (SELECT FROM {} AS t WHERE {})), count(*) FROM {} AS s"
    ).format(names.table(staged.layer), SQL(" AND ").join(alike), staged.sample(_SAME))
    row = staged.connection.execute(query).fetchone()
    assert row is not None
    return Same(int(row[0]), int(row[1]))


def _by_key(staged: Staged, key: Sequence[str]) -> tuple[int, Floats, Floats]:
    """Middles of features with the same key: number, staged (n, 2), the layer's (n, 2)."""
    query = SQL(
        "SELECT public.ST_X(a), public.ST_Y(a), public.ST_X(b), public.ST_Y(b)"
        " FROM {sample} AS s JOIN {layer} AS t ON {same},"
        " public.ST_Centroid(s.geom) AS a, public.ST_Centroid(t.geom) AS b"
    ).format(
        sample=staged.sample(_BY_KEY),
        layer=names.table(staged.layer),
        same=SQL(" AND ").join(SQL("t.{0} = s.{0}").format(names.column(c)) for c in key),
    )
    found = _floats(staged.connection.execute(query).fetchall(), 4)
    return len(found), found[:, :2], found[:, 2:]


def _by_shape(staged: Staged) -> Compared | None:
    """Features of the same shape where each mistake, undone, would put them."""
    query = SQL(
        "SELECT public.ST_X(c), public.ST_Y(c), public.ST_NPoints(s.geom),"
        " public.ST_Length(s.geom) + public.ST_Perimeter(s.geom)"
        " FROM {} AS s, public.ST_Centroid(s.geom) AS c"
    ).format(staged.sample(_BY_SHAPE))
    found = _floats(staged.connection.execute(query).fetchall(), 4)
    found = found[np.isfinite(found).all(axis=1)]
    if len(found) < crs.FEWEST:
        return None
    ours, shapes = found[:, :2], found[:, 2:]
    unit = crs.definition(staged.storage).unit_m
    share = _SHARE if np.median(shapes[:, 0]) > 2 else _SHARE_POINTS
    enough = max(crs.FEWEST, share * len(ours))
    here = _lookup(staged, [(ours, _AROUND_M / unit)], shapes)[0]
    still = np.hypot(*(here - ours).T) * unit <= AGREES_M
    trials = [t.right for t in crs.undone(ours, staged.declared, staged.storage)]
    # The middle of a large feature is not quite that of its image in another zone.
    near = [(t, 0.05 / unit + 1e-5 * _apart(ours, t)) for t in trials]
    hits = _lookup(staged, near, shapes) if near else []
    counted = [int(np.isfinite(h[:, 0]).sum()) for h in hits]
    best = int(np.argmax(counted)) if counted else -1
    if counted and counted[best] >= enough and counted[best] > still.sum():
        there = np.isfinite(hits[best][:, 0])
        offset = crs.judge(ours[there], hits[best][there], staged.declared, staged.storage)
        if offset.kind == "mistake":
            return Compared(offset, f"{offset.count:,} features of the same shape in the layer")
    if still.sum() >= enough:
        return None  # they are where they should be
    there = np.isfinite(here[:, 0])
    if there.sum() >= max(crs.FEWEST, 0.5 * len(ours)):
        offset = crs.judge(ours[there], here[there], staged.declared, staged.storage)
        if offset.kind == "constant":
            return Compared(offset, f"{offset.count:,} features of the same shape in the layer")
    return _by_place(staged, ours)


def _by_place(staged: Staged, ours: Floats) -> Compared | None:
    """Nothing of the layer is near, but read in another CRS nearly all would lie among its features."""
    ours = ours[:: max(1, len(ours) // _BY_PLACE)]
    if len(ours) < 2 * crs.FEWEST:
        return None
    unit = crs.definition(staged.storage).unit_m
    trials = [
        t
        for t in crs.undone(ours, staged.declared, staged.storage)
        if t.code is not None and _apart(ours, t.right) * unit > DATUM_M
    ]
    found = _lookup(staged, [(places, _AMONG_M / unit) for places in (ours, *(t.right for t in trials))])
    among = [float(np.isfinite(f[:, 0]).mean()) for f in found]
    if not trials or among[0] > 0.05 or max(among[1:]) < 0.9:
        return None
    trial = trials[int(np.argmax(among[1:]))]
    dx, dy = np.median((ours - trial.right) * unit, axis=0)
    offset = crs.Offset("mistake", len(ours), float(dx), float(dy), trial.mistake, trial.code, trial.swap)
    return Compared(offset, "the features of the layer, of which none is near,")


def _lookup(
    staged: Staged, places: Sequence[tuple[Floats, float]], shapes: Floats | None = None
) -> list[Floats]:
    """For each of ``places`` (n, 2) and its radius in units: the middle of the layer's nearest feature; NaN
    where there is none.

    ``shapes`` (n, 2): vertices and length (or perimeter) that it must have, the length to a centimetre and,
    as another zone has another scale, a thousandth. Without, anything that comes so near will do.
    """
    count = len(places[0][0])
    every = np.vstack([points for points, _ in places])
    radius = np.repeat([within for _, within in places], count)
    which = np.flatnonzero(np.isfinite(every).all(axis=1))
    alike, close = SQL(""), SQL("")
    wanted = np.zeros((len(which), 2))
    if shapes is not None:
        wanted = shapes[which % count]
        alike, close = _ALIKE, _CLOSE
    query = _NEAREST.format(layer=names.table(staged.layer), alike=alike, close=close)
    values = {
        "i": which.tolist(), "x": every[which, 0].tolist(), "y": every[which, 1].tolist(),
        "r": radius[which].tolist(), "n": wanted[:, 0].tolist(), "size": wanted[:, 1].tolist(),
        "srid": staged.storage,
    }  # fmt: skip
    found = np.full(every.shape, np.nan)
    for i, x, y in staged.connection.execute(query, values):
        found[i] = x, y
    return list(found.reshape(len(places), count, 2))


_NEAREST = SQL(
    """
    SELECT p.i, f.x, f.y
    FROM unnest(
        %(i)s::bigint[], %(x)s::float8[], %(y)s::float8[], %(r)s::float8[],
        %(n)s::float8[], %(size)s::float8[]
    ) AS p (i, x, y, r, n, size), LATERAL (
        SELECT public.ST_X(near.c) AS x, public.ST_Y(near.c) AS y
        FROM (
            SELECT public.ST_Centroid(t.geom) AS c FROM {layer} AS t
            WHERE t.geom OPERATOR(public.&&)
                public.ST_MakeEnvelope(p.x - p.r, p.y - p.r, p.x + p.r, p.y + p.r, %(srid)s::integer)
                {alike}
            LIMIT 20
        ) AS near {close}
        ORDER BY (public.ST_X(near.c) - p.x) ^ 2 + (public.ST_Y(near.c) - p.y) ^ 2
        LIMIT 1
    ) AS f
    """
)
_ALIKE = SQL(
    "AND public.ST_NPoints(t.geom) = p.n"
    " AND abs(public.ST_Length(t.geom) + public.ST_Perimeter(t.geom) - p.size) <= 0.01 + 0.001 * p.size"
)
_CLOSE = SQL("WHERE (public.ST_X(near.c) - p.x) ^ 2 + (public.ST_Y(near.c) - p.y) ^ 2 <= p.r ^ 2")


def _apart(ours: Floats, theirs: Floats) -> float:
    return float(np.median(np.hypot(*(ours - theirs).T)))


def _floats(rows: list[tuple[float, ...]], width: int) -> Floats:
    return np.array(rows, dtype=np.float64).reshape(-1, width)
