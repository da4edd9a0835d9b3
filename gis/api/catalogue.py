"""GET /catalogue: city, sectors, layers, fields and legend in one document, for the page."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gis import crs
from gis.api.negotiate import known_parameters
from gis.api.ogc.documents import Document
from gis.api.ogc.routes import Ogc
from gis.api.ogc.stats import Stats
from gis.api.raster.describe import catalogue_entry
from gis.api.state import State, state_of
from layers.model import FieldDef, Text
from layers.registry import Catalogue, Layer
from tiles.query import attributes
from tiles.style import legend, style_layer_ids

#: proj4js has no +proj=webmerc.
_WEB_MERCATOR = (
    "+proj=merc +a=6378137 +b=6378137 +lat_ts=0 +lon_0=0 +x_0=0 +y_0=0 +k=1 +units=m +nadgrids=@null +no_defs"
)


async def get_catalogue(request: Request) -> Response:
    """The catalogue of the layers that the caller may see; it holds both languages."""
    known_parameters(request, ())
    state = state_of(request)
    ogc: Ogc = request.app.state.ogc
    stats = await ogc.statistics.get(state)
    base = state.base_url(request)
    key = ("catalogue", state.catalogue.fingerprint, stats.version, base if stats.rasters else "")
    document = await ogc.documents.get(key, partial(_make, state, state.catalogue, stats, base))
    return document.respond(request)


def _make(state: State, catalogue: Catalogue, stats: Stats, base: str) -> Document:
    languages = state.city.languages
    return Document.of(
        orjson.dumps(describe(state, catalogue, stats, base)), "application/json", ", ".join(languages)
    )


def describe(state: State, catalogue: Catalogue, stats: Stats, base: str) -> dict[str, Any]:
    """The document: see docs/ for its shape. Only what the caller may see."""
    city = state.city
    rasters = stats.rasters.values()
    public = catalogue.public()
    codes = dict.fromkeys((4326, 3857, city.crs.storage, *city.crs.offered))
    return {
        "city": {
            "id": city.id,
            "title": _text(city.title),
            "view": list(city.view),
            "extent": list(city.extent),
            "storage_crs": city.crs.storage,
            "crs": [_crs(code) for code in codes],
        },
        "languages": list(city.languages),
        "sectors": [
            {
                "id": sector.id,
                "title": _text(sector.title),
                "colour": sector.colour,
                "base": sector.base,
                "layers": [
                    *(_layer(state, one, stats) for one in public if one.sector.id == sector.id),
                    *(catalogue_entry(m, city, base) for m in rasters if m.layer.sector.id == sector.id),
                ],
            }
            for sector in catalogue.sectors
            if sector.id in {*(one.sector.id for one in public), *(m.layer.sector.id for m in rasters)}
        ],
    }


def _layer(state: State, layer: Layer, stats: Stats) -> dict[str, Any]:
    definition = layer.definition
    figures = stats.of(layer.id)
    agency = next((a.title for a in state.city.agencies if a.id == definition.owner), None)
    label = definition.style.label.field if definition.style.label else None
    public = {f.name for f in layer.public_fields}
    return {
        "id": layer.id,
        "title": _text(layer.title),
        "description": _text(definition.description) if definition.description else None,
        "geometry": definition.geometry,
        "dimension": layer.dimension,
        "owner": definition.owner,
        "agency": _text(agency) if agency else None,
        "access": layer.access,
        "count": figures.count,
        "tiles": {"min_zoom": definition.tiles.min_zoom, "max_zoom": definition.tiles.max_zoom},
        "extent": list(figures.extent) if figures.extent else None,
        "fields": [_field(layer, f) for f in layer.public_fields],
        "label_field": label if label in public else None,
        "legend": legend(layer),
        "style_layers": style_layer_ids(layer),
    }


def _field(layer: Layer, f: FieldDef) -> dict[str, Any]:
    domain = layer.domain_of(f)
    return {
        "name": f.name,
        "title": _text(f.title),
        "unit": f.unit,
        "type": f.type,
        "domain": [{"value": v.value, "title": _text(v.title)} for v in domain] if domain else None,
        "from_zoom": _from_zoom(layer, f),
    }


def _from_zoom(layer: Layer, f: FieldDef) -> int | None:
    """The zoom from which on tiles hold the attribute, whatever stands for features at lower zooms; None when
    they never do. Filters and colours of the page work from here on."""
    tiles = layer.definition.tiles
    without = [z for z in range(tiles.min_zoom, tiles.max_zoom + 1) if f.name not in attributes(layer, z)]
    if not without:
        return tiles.min_zoom
    return without[-1] + 1 if without[-1] < tiles.max_zoom else None


def _text(text: Text) -> dict[str, str]:
    return {"vi": text.vi, "en": text.en}


def _crs(code: int) -> dict[str, Any]:
    """``proj4``: for proj4js, with the pinned datum shift."""
    definition = crs.definition(code)
    text = _WEB_MERCATOR if code == crs.WEB_MERCATOR else _proj4_texts().get(code)
    return {"code": code, "name": definition.name, "proj4": text or f"{definition.proj} +no_defs"}


@cache
def _proj4_texts() -> dict[int, str]:
    return {row.srid: row.proj4text for row in crs.spatial_ref_rows()}


ROUTES = [Route("/catalogue", get_catalogue)]
