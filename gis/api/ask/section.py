"""GET /section: a line across a street, and everything that it cuts, with what law says of the distances."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import shapely
from psycopg import sql
from starlette.requests import Request
from starlette.responses import Response

from gis import crs
from gis.api.ask.params import read_line, stored
from gis.api.ask.reading import Reading, reading
from gis.api.ask.shown import answer, rounded, seen, titled
from gis.api.features.binding import Bind
from gis.api.features.leaving import while_connected
from gis.api.features.values import number_value, wrong
from gis.api.negotiate import choose_language, known_parameters
from gis.api.raster.elevation import heights
from gis.api.raster.work import studio_of
from gis.api.state import State, state_of
from gis.ask.section import Cut, Verdict, cuts_of, places, verdicts
from gis.checks.crossing.works import Works, build
from gis.checks.dbrows import features_of, select
from gis.checks.features import Features
from gis.checks.law import law_of
from gis.checks.network.graph import unit_m
from gis.checks.source import empty
from gis.db.door import FINDINGS
from gis.db.sql import table
from gis.errors import LimitError
from layers.model import WorkDef
from layers.registry import Layer

MAX_LENGTH: Final = 2_000.0
MAX_WIDTH: Final = 50.0
MOST_OF_A_LAYER: Final = 300
#: Points of the ground along the section.
_GROUND: Final = 200
_TIMEOUT_MS: Final = 10_000
#: Areas that are seen from afar only (wards, catchments) say nothing on a street.
_NEAR_ZOOM: Final = 12
_QUALITY: Final = ("quality_level", "horizontal_accuracy_m", "vertical_accuracy_m")


async def section(request: Request) -> Response:
    """The cuts in order along the line, and the verdicts."""
    given = known_parameters(request, ("line", "width", "lang"))
    state = state_of(request)
    if "line" not in given:
        raise wrong("line", "line is missing: lon,lat,lon,lat in degrees")
    points = read_line(given["line"], "line", 20)
    width = number_value(given.get("width", "4"), "width")
    if not 0 <= width <= MAX_WIDTH:
        raise wrong("width", f"width must be 0 to {MAX_WIDTH:g} m")
    line = stored(shapely.LineString(points), state.city)
    length = float(line.length) * unit_m(state.city)
    if not length > 0:
        raise wrong("line", "the line has no length")
    if length > MAX_LENGTH:
        raise LimitError(f"a section is at most {MAX_LENGTH:g} m long", hint="draw a shorter line")
    language = choose_language(request, state.city.languages)
    return await while_connected(request, _respond(request, state, points, line, width, language))


async def _respond(
    request: Request,
    state: State,
    points: Sequence[tuple[float, float]],
    line: shapely.LineString,
    width: float,
    language: str,
) -> Response:
    unit = unit_m(state.city)
    layers = [one for one in state.catalogue.public() if one.id not in FINDINGS and _counts(state, one)]
    read: dict[str, tuple[Features, dict[int, str]]] = {}
    async with reading(state, layers, _TIMEOUT_MS) as connection:
        for layer in layers:
            reach = 0.0 if layer.dimension else width / 2 / unit
            read[layer.id] = await _read(connection, state, layer, line, reach, language)
        complete = connection.complete
    defs = [work for work in state.catalogue.works if work.layer in read and _whole(state, work)]
    works, cuts, found = await asyncio.to_thread(_judge, state, defs, read, line, unit)
    shown = [_work_cut(read, works, cut) for cut in cuts]
    shown += _others(read, {(one["layer"], one["fid"]) for one in shown}, line, unit)
    order = sorted(range(len(shown)), key=lambda n: (shown[n]["station_m"], n))
    position = {n: k for k, n in enumerate(order)}
    _in_degrees(state, shown)
    steps = min(_GROUND, 2 + int(line.length * unit))
    document = {
        "length_m": rounded(line.length * unit),
        "line": {"type": "LineString", "coordinates": [list(p) for p in points]},
        "ground": await _ground(request, state, line, np.linspace(0, line.length, steps), unit),
        "cuts": [shown[n] for n in order],
        "verdicts": [_verdict(one, position) for one in found],
        "complete": complete and all(len(f) < MOST_OF_A_LAYER for f, _ in read.values()),
    }
    return answer(request, state, document)


def _counts(state: State, layer: Layer) -> bool:
    """Lines, what is drawn as an area on a street, and the nodes of networks."""
    if layer.dimension == 1:
        return True
    if layer.dimension == 2:
        return layer.definition.tiles.min_zoom >= _NEAR_ZOOM and layer.definition.loadable
    nodes = {one.layer for network in state.catalogue.networks.values() for one in network.nodes}
    return layer.dimension == 0 and layer.id in nodes


def _columns(state: State, layer: Layer) -> list[str]:
    """What of the layer's attributes decides how it is drawn and judged, as far as the caller sees it."""
    names = [name for work in state.catalogue.works if work.layer == layer.id for name in work.fields()]
    names += [*_QUALITY, "depth_m", "status", "width_m"]
    return [name for name in dict.fromkeys(names) if name in seen(layer)]


def _whole(state: State, work: WorkDef) -> bool:
    """Whether the caller sees all that describes the work."""
    return set(work.fields()) <= seen(state.catalogue.layers[work.layer])


async def _read(
    connection: Reading, state: State, layer: Layer, line: shapely.LineString, reach: float, language: str
) -> tuple[Features, dict[int, str]]:
    """The layer's features on the line, and their titles by fid."""
    bind = Bind()
    ewkb = shapely.to_wkb(shapely.set_srid(line, state.city.crs.storage), include_srid=True)
    here, away = bind.add(ewkb, "geometry"), bind.add(reach, "number")
    names = _columns(state, layer)
    query = sql.SQL(
        "SELECT {shown}, {title} FROM {table} AS i WHERE i.geom && ST_Expand({here}, {away})"
        " AND ST_DWithin(i.geom, {here}, {away}) LIMIT {most}"
    ).format(
        shown=select(layer, names, of_table="i"),
        title=titled(layer, language),
        table=table(layer),
        here=here,
        away=away,
        most=sql.Literal(MOST_OF_A_LAYER),
    )
    rows = await connection.rows(query, bind.values)
    if not rows:
        return empty(layer, names), {}
    rows.sort(key=lambda row: str(row[1]))
    features = features_of(layer, names, [row[:-1] for row in rows])
    return features.sound_only, {int(row[0]): str(row[-1]) for row in rows}


def _judge(
    state: State,
    defs: Sequence[WorkDef],
    read: dict[str, tuple[Features, dict[int, str]]],
    line: shapely.LineString,
    unit: float,
) -> tuple[Works, list[Cut], list[Verdict]]:
    works = build(defs, lambda layer: read[layer][0], unit)
    cuts = cuts_of(works, line)
    law = law_of(state.city, state.city.today())
    return works, cuts, list(verdicts(works, law, cuts))


def _verdict(one: Verdict, position: dict[int, int]) -> dict[str, Any]:
    return {
        "a": position[one.a],
        "b": position[one.b],
        "rule": one.rule,
        "kind": one.kind,
        "measured_m": rounded(one.measured),
        "required_m": rounded(one.required),
        "ok": one.ok,
    }


def _work_cut(read: dict[str, tuple[Features, dict[int, str]]], works: Works, cut: Cut) -> dict[str, Any]:
    features, index = works.about(cut.work)
    size = (2 * float(works.half_width[cut.work]), 2 * float(works.half_height[cut.work]))
    return _cut(read, features, index, cut, size)


def _others(
    read: dict[str, tuple[Features, dict[int, str]]],
    described: set[tuple[str, int]],
    line: shapely.LineString,
    unit: float,
) -> list[dict[str, Any]]:
    """Cuts of what is no work in the ground: roads, parcels, cables in ducts, nodes beside the line."""
    found = []
    for layer_id, (features, _) in read.items():
        dimension = features.layer.dimension
        for index in range(len(features)):
            if (layer_id, int(features.fid[index])) in described:
                continue
            shape = features.geometry[index]
            if dimension == 0:
                point = shapely.get_parts(shape)[0]
                at = [(float(line.project(point)), float(point.x), float(point.y), 0.0)]
            elif dimension == 1:
                width = _value(features, "width_m", index) or 0.0
                at = [(*place, width) for place in places(line, shape)]
            else:
                parts = shapely.get_parts(shapely.intersection(line, shapely.force_2d(shape)))
                at = [
                    (
                        float(line.project(p := part.interpolate(0.5, normalized=True))),
                        p.x,
                        p.y,
                        part.length * unit,
                    )
                    for part in parts
                    if shapely.get_dimensions(part) == 1
                ]
            for along, x, y, wide in at:
                depth = _value(features, "depth_m", index)
                cut = Cut(-1, along * unit, x, y, depth=float("nan") if depth is None else depth)
                found.append(_cut(read, features, index, cut, (float(wide), 0.0)))
    return found


def _cut(
    read: dict[str, tuple[Features, dict[int, str]]],
    features: Features,
    index: int,
    cut: Cut,
    size: tuple[float, float],
) -> dict[str, Any]:
    fid = int(features.fid[index])
    return {
        "layer": features.layer.id,
        "fid": fid,
        "asset_id": str(features.asset_id[index]),
        "title": read[features.layer.id][1].get(fid, str(features.asset_id[index])),
        "station_m": rounded(cut.station),
        "depth_m": rounded(cut.depth),
        "elevation_m": rounded(cut.elevation),
        "width_m": rounded(size[0]),
        "height_m": rounded(size[1]),
        "quality": _value(features, "quality_level", index),
        "point": [cut.x, cut.y],
    }


def _value(features: Features, name: str, index: int) -> Any:
    if name not in features.columns:
        return None
    value = features[name][index]
    return None if value is None or value != value else value if isinstance(value, str) else float(value)


def _in_degrees(state: State, cuts: Sequence[dict[str, Any]]) -> None:
    """Turn the points of cuts into longitude and latitude."""
    if cuts:
        xy = np.array([one["point"] for one in cuts], dtype=np.float64)
        lon, lat = crs.transform_xy(xy[:, 0], xy[:, 1], state.city.crs.storage, crs.WGS84)
        for one, x, y in zip(cuts, lon.tolist(), lat.tolist(), strict=True):
            one["point"] = [round(x, 9), round(y, 9)]


async def _ground(
    request: Request, state: State, line: shapely.LineString, stations: Any, unit: float
) -> list[list[float | None]]:
    """Height of the ground (m) along the line, from the elevation models there are."""
    xy = shapely.get_coordinates(shapely.line_interpolate_point(line, stations))
    lon, lat = crs.transform_xy(xy[:, 0], xy[:, 1], state.city.crs.storage, crs.WGS84)
    found = await heights(studio_of(request), state, list(zip(lon.tolist(), lat.tolist(), strict=True)))
    if not any(found):
        return [[0.0, None], [rounded(line.length * unit), None]]
    return [
        [rounded(float(s) * unit), None if one is None else rounded(one[0])]
        for s, one in zip(stations, found, strict=True)
    ]
