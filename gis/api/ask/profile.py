"""GET /profile: the long profile of a drainage run, downstream from a feature, or from one to another.

A run goes from pipe to pipe where the end of one is the beginning of the next (lines of such networks are
drawn downstream), found step by step by the index of the layers' geometry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import shapely
from psycopg import sql
from starlette.requests import Request
from starlette.responses import Response

from gis import crs
from gis.api.ask.reading import Reading, reading
from gis.api.ask.shown import answer, rounded, seen
from gis.api.features.leaving import while_connected
from gis.api.features.values import INT8_MAX, integer_value, wrong
from gis.api.negotiate import known_parameters
from gis.api.state import State, state_of
from gis.checks.network.graph import unit_m
from gis.db.sql import column, table
from gis.errors import NotFoundError, UsageError
from layers.model import NetworkDef, WorkDef
from layers.registry import Layer

#: Steps downstream, and pipes that are looked at on the way.
MOST_STEPS: Final = 300
MOST_PIPES: Final = 3_000
MOST_FINDINGS: Final = 200
#: Ends no farther apart (m) are one place (NET-01 finds what is not exact).
_SAME: Final = 0.1
_TIMEOUT_MS: Final = 10_000


@dataclass(frozen=True)
class Pipe:
    """A line of the network. ``levels``: inverts at its start and end, None where unknown."""

    layer: str
    fid: int
    asset_id: str
    status: str | None
    line: shapely.LineString
    levels: tuple[float | None, float | None]
    diameter: float | None

    @property
    def start(self) -> tuple[float, float]:
        x, y = self.line.coords[0][:2]
        return float(x), float(y)

    @property
    def end(self) -> tuple[float, float]:
        x, y = self.line.coords[-1][:2]
        return float(x), float(y)


async def profile(request: Request) -> Response:
    """Nodes and pipes in order, with levels, and the findings about them."""
    given = known_parameters(request, ("layer", "fid", "to", "lang"))
    state = state_of(request)
    for name in ("layer", "fid"):
        if name not in given:
            raise wrong(name, f"{name} is missing")
    layer = state.layer(given["layer"])
    network = _network(state, layer)
    fid = _fid(given["fid"], "fid")
    to = _fid(given["to"], "to") if "to" in given else None
    return await while_connected(request, _respond(request, state, network, layer, fid, to))


def _fid(text: str, name: str) -> int:
    number = integer_value(text, name)
    if not 0 < number <= INT8_MAX:
        raise NotFoundError("there is no such feature")
    return number


def _network(state: State, layer: Layer) -> NetworkDef:
    for network in state.catalogue.networks.values():
        if network.flow == "gravity" and layer.id in network.layers:
            return network
    raise UsageError(
        "this layer is in no network that drains by gravity",
        code="no-profile",
        hint="ask for a conduit or a manhole",
        errors=[{"parameter": "layer", "detail": "not of a gravity network"}],
    )


async def _respond(
    request: Request, state: State, network: NetworkDef, layer: Layer, fid: int, to: int | None
) -> Response:
    lines = _members(state, [s.layer for s in network.lines])
    nodes = _members(state, [s.layer for s in network.nodes])
    async with reading(state, [*lines, *nodes], _TIMEOUT_MS) as connection:
        run = Run(connection, state, lines)
        first = await run.of(layer, fid) if layer in lines else None
        start = first.start if first else await _place(connection, layer, fid)
        if to is None:
            target = None
        elif layer in lines:
            last = await run.of(layer, to)
            target = last.end if last else None
        else:
            target = await _place(connection, layer, to)
        if start is None or (to is not None and target is None):
            raise NotFoundError("there is no such feature")
        pipes = await run.downstream(start, first, target)
        if pipes is None:
            raise UsageError(
                "no way leads downstream from the one to the other",
                code="no-way",
                hint="give the upper one as fid and the lower one as to",
            )
        document = await _document(connection, state, nodes, pipes, start)
    return answer(request, state, document)


def _members(state: State, ids: Sequence[str]) -> list[Layer]:
    """The layers of the network that the caller sees."""
    return [state.catalogue.layers[i] for i in dict.fromkeys(ids) if i in state.catalogue.layers]


async def _place(connection: Reading, layer: Layer, fid: int) -> tuple[float, float] | None:
    rows = await connection.rows(
        sql.SQL("SELECT ST_X(p), ST_Y(p) FROM (SELECT ST_GeometryN(ST_Points(geom), 1) AS p FROM {}"
                " WHERE fid = %(fid)s::bigint) AS i").format(table(layer)), {"fid": fid}
    )  # fmt: skip
    return (rows[0][0], rows[0][1]) if rows else None


class Run:
    """Finds pipes by where they begin."""

    def __init__(self, connection: Reading, state: State, lines: Sequence[Layer]) -> None:
        self.connection, self.state, self.lines = connection, state, lines
        self.reach = _SAME / unit_m(state.city)

    async def of(self, layer: Layer, fid: int) -> Pipe | None:
        """One pipe."""
        query = sql.SQL("SELECT {} FROM {} AS i WHERE i.fid = %(fid)s::bigint").format(
            self._shown(layer), table(layer)
        )
        found = await self._read(layer, query, {"fid": fid})
        return found[0] if found else None

    async def beginning(self, places: Sequence[tuple[float, float]]) -> list[Pipe]:
        """The pipes that begin at one of these places."""
        values = {"x": [p[0] for p in places], "y": [p[1] for p in places], "reach": self.reach}
        here = sql.SQL("ST_SetSRID(ST_MakePoint(p.x, p.y), {})").format(
            sql.Literal(self.state.city.crs.storage)
        )
        found: list[Pipe] = []
        for layer in self.lines:
            query = sql.SQL(
                "SELECT i.* FROM unnest(%(x)s::float8[], %(y)s::float8[]) AS p (x, y), LATERAL ("
                "SELECT {shown} FROM {table} AS i WHERE i.geom && ST_Expand({here}, %(reach)s::float8)"
                " AND ST_DWithin(ST_StartPoint(i.geom), {here}, %(reach)s::float8) LIMIT 20) AS i"
            ).format(shown=self._shown(layer), table=table(layer), here=here)
            found += await self._read(layer, query, values)
        return found

    def _shown(self, layer: Layer) -> sql.Composed:
        """What is read of a pipe."""
        work = _work(self.state, layer)
        names = [work.start_level, work.end_level, work.diameter, work.height] if work else [None] * 4
        levels = [
            sql.SQL("{}::float8").format(column(n, "i"))
            if n and n in seen(layer)
            else sql.SQL("NULL::float8")
            for n in names
        ]
        return sql.SQL("i.fid, i.asset_id, i.status, ST_AsBinary(i.geom), {}").format(
            sql.SQL(", ").join(levels)
        )

    async def _read(self, layer: Layer, query: sql.Composed, values: dict[str, Any]) -> list[Pipe]:
        work = _work(self.state, layer)
        rows = {int(row[0]): row for row in await self.connection.rows(query, values)}
        found = []
        for fid, (_, asset_id, status, wkb, up, down, diameter, height) in sorted(rows.items()):
            line = shapely.from_wkb(wkb)
            if not isinstance(line, shapely.LineString) or line.is_empty:
                continue
            zs = [c[2] if len(c) > 2 else np.nan for c in (line.coords[0], line.coords[-1])]
            inverted = work is not None and work.level == "invert"
            levels = tuple(
                level if level is not None else float(z) if inverted and np.isfinite(z) else None
                for level, z in zip((up, down), zs, strict=True)
            )
            unit = 1000.0 if work and ((work.diameter or "_mm") + "_").endswith("_m_") else 1.0
            size = diameter if diameter is not None else height
            found.append(
                Pipe(
                    layer.id,
                    int(fid),
                    str(asset_id),
                    status,
                    line,
                    (levels[0], levels[1]),
                    None if size is None else size * unit,
                )
            )
        return found

    async def downstream(
        self, start: tuple[float, float], first: Pipe | None, target: tuple[float, float] | None
    ) -> list[Pipe] | None:
        """The run from ``start`` (by ``first``) to ``target``, or as far as it goes. None: no way there."""
        if target is None:
            return await self._main(start, first)
        before: dict[tuple[str, int], Pipe | None] = {}
        pipes = [first] if first else await self.beginning([start])
        before.update({(p.layer, p.fid): None for p in pipes})
        known = {(p.layer, p.fid): p for p in pipes}
        for _ in range(MOST_STEPS):
            arrived = next((p for p in pipes if self._same(p.end, target)), None)
            if arrived is not None:
                run = [arrived]
                while (previous := before[run[-1].layer, run[-1].fid]) is not None:
                    run.append(previous)
                return run[::-1]
            if not pipes or len(known) > MOST_PIPES:
                break
            following = await self.beginning([p.end for p in pipes])
            fresh = []
            for pipe in following:
                key = (pipe.layer, pipe.fid)
                if key not in known:
                    known[key] = pipe
                    before[key] = next(p for p in pipes if self._same(p.end, pipe.start))
                    fresh.append(pipe)
            pipes = fresh
        return None

    async def _main(self, start: tuple[float, float], first: Pipe | None) -> list[Pipe]:
        """Downstream by the largest pipe at each node."""
        run: list[Pipe] = []
        known: set[tuple[str, int]] = set()
        pipe = first
        while len(run) < MOST_STEPS:
            if pipe is None:
                at = run[-1].end if run else start
                choice = [p for p in await self.beginning([at]) if (p.layer, p.fid) not in known]
                choice = [p for p in choice if p.status not in ("removed", "abandoned")] or choice
                if not choice:
                    break
                pipe = max(choice, key=lambda p: (p.diameter or 0.0, -p.fid))
            known.add((pipe.layer, pipe.fid))
            run.append(pipe)
            pipe = None
        return run

    def _same(self, one: tuple[float, float], other: tuple[float, float]) -> bool:
        return float(np.hypot(one[0] - other[0], one[1] - other[1])) <= 2 * self.reach


def _work(state: State, layer: Layer) -> WorkDef | None:
    """What the catalogue says of the layer's sizes and levels."""
    return next((work for work in state.catalogue.works if work.layer == layer.id), None)


async def _document(
    connection: Reading,
    state: State,
    nodes: Sequence[Layer],
    pipes: Sequence[Pipe],
    start: tuple[float, float],
) -> dict[str, Any]:
    unit = unit_m(state.city)
    stations = [0.0, *np.cumsum([p.line.length * unit for p in pipes]).tolist()]
    places = [start if not pipes else pipes[0].start, *(p.end for p in pipes)]
    found = await _nodes(connection, state, nodes, places, unit)
    shown = []
    for n, pipe in enumerate(pipes):
        length = stations[n + 1] - stations[n]
        up, down = pipe.levels
        slope = (up - down) / length if up is not None and down is not None and length > 0 else None
        shown.append(
            {
                "layer": pipe.layer,
                "fid": pipe.fid,
                "asset_id": pipe.asset_id,
                "from_m": rounded(stations[n]),
                "to_m": rounded(stations[n + 1]),
                "invert_from_m": rounded(up),
                "invert_to_m": rounded(down),
                "diameter_mm": rounded(pipe.diameter),
                "slope": rounded(slope, 6),
            }
        )
    about = [f"{p.layer}/{p.fid}" for p in pipes] + [f"{n['layer']}/{n['fid']}" for n in found.values()]
    rows = await connection.rows(
        "SELECT * FROM bandoso.findings_of(%(about)s::text[], %(most)s::int)",
        {"about": about, "most": MOST_FINDINGS},
    )
    xy = np.array([c[:2] for p in pipes for c in p.line.coords] or [places[0]], dtype=np.float64)
    lon, lat = crs.transform_xy(xy[:, 0], xy[:, 1], state.city.crs.storage, crs.WGS84)
    return {
        "length_m": rounded(stations[-1]),
        "line": {
            "type": "LineString",
            "coordinates": [
                [round(x, 9), round(y, 9)] for x, y in zip(lon.tolist(), lat.tolist(), strict=True)
            ],
        },
        "nodes": [{**one, "station_m": rounded(stations[n])} for n, one in sorted(found.items())],
        "pipes": shown,
        "findings": [
            {
                "fid": fid,
                "about": [one for one in of if one in set(about)],
                "rule": rule,
                "severity": severity,
                "state": standing,
                "value": rounded(value),
                "limit": rounded(limit),
                "unit": said,
                "message": {"vi": vi, "en": en},
            }
            for fid, of, rule, severity, standing, value, limit, said, vi, en in rows
        ],
        "complete": connection.complete and len(pipes) < MOST_STEPS,
    }


async def _nodes(
    connection: Reading,
    state: State,
    layers: Sequence[Layer],
    places: Sequence[tuple[float, float]],
    unit: float,
) -> dict[int, dict[str, Any]]:
    """The node at each place (its number): of several the nearest, of those the first layer's."""
    found: dict[int, tuple[float, dict[str, Any]]] = {}
    for layer in layers:
        ground, invert = (
            column(name, "i") if name in seen(layer) else sql.SQL("NULL::float8")
            for name in ("ground_level_m", "invert_m")
        )
        here = sql.SQL("ST_SetSRID(ST_MakePoint(p.x, p.y), {})").format(sql.Literal(state.city.crs.storage))
        rows = await connection.rows(
            sql.SQL(
                "SELECT p.n, i.*"
                " FROM unnest(%(x)s::float8[], %(y)s::float8[]) WITH ORDINALITY AS p (x, y, n),"
                " LATERAL (SELECT i.fid, i.asset_id, {ground}::float8, {invert}::float8,"
                " ST_Distance(i.geom, {here}) AS away"
                " FROM {table} AS i WHERE i.geom && ST_Expand({here}, %(reach)s::float8)"
                " AND ST_DWithin(i.geom, {here}, %(reach)s::float8) ORDER BY away, i.fid LIMIT 1) AS i"
                " (fid, asset_id, ground, invert, away)"
            ).format(ground=ground, invert=invert, here=here, table=table(layer)),
            {"x": [p[0] for p in places], "y": [p[1] for p in places], "reach": _SAME / unit},
        )
        for n, fid, asset_id, level, bottom, away in rows:
            known = found.get(int(n) - 1)
            if known is None or away < known[0]:
                node = {
                    "layer": layer.id,
                    "fid": fid,
                    "asset_id": asset_id,
                    "ground_m": rounded(level),
                    "invert_m": rounded(bottom),
                }
                found[int(n) - 1] = (away, node)
    return {n: node for n, (_, node) in found.items()}
