"""GET /identify: everything under a point, layer by layer, in one statement."""

from __future__ import annotations

from typing import Any, Final

import shapely
from psycopg import sql
from starlette.requests import Request
from starlette.responses import Response

from gis.api.ask.params import read_layers, read_point, stored
from gis.api.ask.reading import Reading, composed, reading
from gis.api.ask.shown import answer, rounded, seen, titled
from gis.api.features.values import number_value, wrong
from gis.api.negotiate import choose_language, known_parameters
from gis.api.state import state_of
from gis.db.door import FINDINGS
from gis.db.sql import column, table
from layers.registry import Layer

#: Farthest (m) from the point, and features of one layer.
MAX_TOLERANCE: Final = 500.0
DEFAULT_TOLERANCE: Final = 1.0
MOST_OF_A_LAYER: Final = 20
_TIMEOUT_MS: Final = 5_000
_ABOUT: Final = "SELECT about, findings FROM bandoso.findings_about(%(about)s::text[])"


async def identify(request: Request) -> Response:
    """The features by sector, the nearest first."""
    given = known_parameters(request, ("point", "tolerance", "layers", "lang"))
    state = state_of(request)
    if "point" not in given:
        raise wrong("point", "point is missing: lon,lat in degrees")
    lon, lat = read_point(given["point"], "point")
    tolerance = number_value(given.get("tolerance", str(DEFAULT_TOLERANCE)), "tolerance")
    if not 0 <= tolerance <= MAX_TOLERANCE:
        raise wrong("tolerance", f"tolerance must be 0 to {MAX_TOLERANCE:g} m")
    names = given["layers"].split(",") if "layers" in given else None
    layers = [one for one in read_layers(state, names) if names or one.id not in FINDINGS]
    point = shapely.set_srid(stored(shapely.Point(lon, lat), state.city), state.city.crs.storage)
    language = choose_language(request, state.city.languages)
    query = composed(
        ("under", state.catalogue.fingerprint, language, tuple(one.id for one in layers)),
        lambda: _query(layers, language),
    )
    values = {"point": shapely.to_wkb(point, include_srid=True), "reach": tolerance}
    async with reading(state, layers, _TIMEOUT_MS) as connection:
        rows = await connection.rows(query, values)
        about = await _findings(connection, rows)
    known = {layer.id: layer for layer in layers}
    counts: dict[str, int] = {}
    sectors: dict[str, list[dict[str, Any]]] = {}
    more = not connection.complete
    for layer_id, fid, asset_id, title, status, distance, depth, version in rows:
        counts[layer_id] = counts.get(layer_id, 0) + 1
        if counts[layer_id] > MOST_OF_A_LAYER:
            more = True
            continue
        layer = known[layer_id]
        sectors.setdefault(layer.sector.id, []).append(
            {
                "layer": layer_id,
                "fid": fid,
                "asset_id": asset_id,
                "title": title,
                "status": status,
                "distance_m": rounded(distance),
                "depth_m": rounded(depth),
                "findings": about.get(f"{layer_id}/{fid}", 0),
                "versions": version,
            }
        )
    document: dict[str, Any] = {
        "point": [lon, lat],
        "sectors": [
            {
                "id": sector.id,
                "title": {"vi": sector.title.vi, "en": sector.title.en},
                "features": sorted(sectors[sector.id], key=lambda f: (f["distance_m"], f["layer"], f["fid"])),
            }
            for sector in state.catalogue.sectors
            if sector.id in sectors
        ],
        "more": more,
    }
    return answer(request, state, document)


def _query(layers: list[Layer], language: str) -> sql.Composed:
    here, reach = sql.SQL("%(point)s::geometry"), sql.SQL("%(reach)s::float8")
    parts = [
        sql.SQL(
            "(SELECT {layer} AS layer, i.fid, i.asset_id, {title} AS title, i.status,"
            " ST_Distance(i.geom, {here}) AS distance, {depth} AS depth, i.version FROM {table} AS i"
            " WHERE i.geom && ST_Expand({here}, {reach}) AND ST_DWithin(i.geom, {here}, {reach})"
            " LIMIT {most})"
        ).format(
            layer=sql.Literal(layer.id),
            title=titled(layer, language),
            here=here,
            depth=column("depth_m", "i") if "depth_m" in seen(layer) else sql.SQL("NULL::float8"),
            table=table(layer),
            reach=reach,
            most=sql.Literal(MOST_OF_A_LAYER + 1),
        )
        for layer in layers
    ]
    return sql.SQL(" UNION ALL ").join(parts)


async def _findings(connection: Reading, rows: list[tuple[Any, ...]]) -> dict[str, int]:
    """How many findings stand about each feature, "layer/fid"."""
    if not rows:
        return {}
    found = await connection.rows(_ABOUT, {"about": [f"{row[0]}/{row[1]}" for row in rows]})
    return {str(about): int(count) for about, count in found}
