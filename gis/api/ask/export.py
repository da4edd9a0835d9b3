"""POST /export: the features that lie in an area, of several layers, as one file.

Whole features, with the attributes that the caller may see. CSV, GeoJSON and DXF flow from the database to
the client; a GeoPackage is written to a temporary file first, in portions and by a process of its own. So
memory does not grow with what is asked for, and a client that leaves ends the work.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import sql
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gis import crs
from gis.api.ask.exported import dxf_file, geojson_file, gpkg_file, zip_of_csv
from gis.api.ask.params import Area, names_of, read_area, read_body, read_layers
from gis.api.ask.reading import reading
from gis.api.features.binding import Bind
from gis.api.features.formats import csvstream
from gis.api.features.leaving import beside, while_connected
from gis.api.features.params import View
from gis.api.features.where import Selection
from gis.api.negotiate import known_parameters
from gis.api.state import State, state_of
from gis.city import City
from gis.db.sql import table
from gis.errors import LimitError, UsageError
from layers.registry import Layer

MAX_AREA: Final = 500e6
MAX_FEATURES: Final = 200_000
MAX_LAYERS: Final = 60
_TIMEOUT_MS: Final = 20_000
TYPES: Final[Mapping[str, tuple[str, str]]] = {
    "gpkg": ("application/geopackage+sqlite3", "gpkg"),
    "geojson": ("application/geo+json", "geojson"),
    "dxf": ("image/vnd.dxf", "dxf"),
    "csv": ("text/csv; charset=utf-8", "csv"),
    "zip": ("application/zip", "zip"),
}


@dataclass(frozen=True)
class Part:
    """A layer with what is taken of it."""

    layer: Layer
    view: View
    selection: Selection


async def export(request: Request) -> Response:
    """The file."""
    known_parameters(request, ("lang",))
    state = state_of(request)
    content = await read_body(request, ("geometry", "bbox", "layers", "format", "crs"))
    area = read_area(content, state.city, MAX_AREA)
    names = names_of(content)
    if names is None:
        raise UsageError("layers is missing: the ids of what is to be exported")
    layers = read_layers(state, names)
    if len(layers) > MAX_LAYERS:
        raise LimitError(f"a file holds at most {MAX_LAYERS} layers")
    wanted = content.get("format", "gpkg")
    if wanted not in ("gpkg", "csv", "geojson", "dxf"):
        raise UsageError("format must be gpkg, csv, geojson or dxf")
    code = _code(content.get("crs"), wanted, state.city)
    parts = [
        Part(
            one, View(crs.CrsRef(code, False, crs.uri(code)), tuple(one.public_fields)), _selection(one, area)
        )
        for one in layers
    ]
    return await while_connected(request, _answer(state, parts, wanted, code))


async def _answer(state: State, parts: Sequence[Part], wanted: str, code: int) -> Response:
    storage, connections = state.city.crs.storage, state.reading(*(part.layer for part in parts))
    await _bounded(state, parts)
    made: AsyncGenerator[bytes]
    if wanted == "csv" and len(parts) == 1:
        made = csvstream.stream(connections, parts[0].layer, parts[0].view, storage, parts[0].selection)
    elif wanted == "csv":
        wanted = "zip"
        made = zip_of_csv(connections, parts, storage)
    elif wanted == "geojson":
        made = geojson_file(connections, parts, storage)
    elif wanted == "dxf":
        made = dxf_file(connections, parts, storage)
    else:
        made = gpkg_file(connections, parts, storage)
    pieces = beside(made)
    first = await anext(pieces)  # what goes wrong at once is told as a problem

    async def all_of_it() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    media_type, ending = TYPES[wanted]
    name = parts[0].layer.id if len(parts) == 1 else state.city.id
    headers = {
        "Content-Type": media_type,
        "Content-Disposition": f'attachment; filename="{name}.{ending}"',
        "Cache-Control": "no-store",
        "Content-Crs": f"<{crs.uri(code)}>",
    }
    return StreamingResponse(all_of_it(), headers=headers)


def _code(given: Any, wanted: str, city: City) -> int:
    if wanted == "geojson":
        if given not in (None, crs.WGS84):
            raise UsageError("GeoJSON is in WGS 84 (4326); choose another format for other systems")
        return crs.WGS84
    if given is None:
        return crs.WGS84 if wanted == "csv" else city.crs.storage
    offered = (crs.WGS84, crs.WEB_MERCATOR, city.crs.storage, *city.crs.offered)
    if isinstance(given, bool) or not isinstance(given, int) or given not in offered:
        raise UsageError(
            "crs is no system that is offered", hint="offered are: " + ", ".join(map(str, offered))
        )
    return given


def _selection(layer: Layer, area: Area) -> Selection:
    bind = Bind("a")
    here = bind.add(area.ewkb, "geometry")
    condition = sql.SQL("geom && {0} AND ST_Intersects(geom, {0})").format(here)
    return Selection((condition.as_string(None),), bind.values, (), ((table(layer).as_string(None), None),))


async def _bounded(state: State, parts: Sequence[Part]) -> None:
    """Raise LimitError where there is too much, NotFoundError never: an empty file is an answer."""
    total = 0
    async with reading(state, [p.layer for p in parts], _TIMEOUT_MS) as connection:
        for part in parts:
            (source,) = part.selection.together()
            rows = await connection.rows(
                f"SELECT count(*) FROM (SELECT FROM {source} LIMIT {MAX_FEATURES + 1}) AS counted",  # noqa: S608
                part.selection.values,
            )
            total += rows[0][0] if rows else MAX_FEATURES + 1
            if total > MAX_FEATURES:
                raise LimitError(
                    f"there are more than {MAX_FEATURES} features in the area",
                    hint="choose a smaller area or fewer layers; whole layers are at /collections/{id}/items",
                )
