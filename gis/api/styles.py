"""OGC API Styles: /styles, /styles/{id} (MapLibre), /styles/{id}/legend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gis.api.negotiate import choose_format, choose_language, known_parameters
from gis.api.ogc.documents import Document
from gis.api.raster.describe import style_layer, style_source
from gis.api.state import State, state_of
from gis.api.tilesets import documents_of, statistics_of, union
from gis.errors import NotFoundError
from layers.registry import Layer
from tiles.style import CITY, legend, make_style, style_ids, style_layer_ids
from tiles.tilejson import text_in

CONFORMANCE = (
    "http://www.opengis.net/spec/ogcapi-styles-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-styles-1/1.0/conf/mapbox-styles",
)

MEDIA_TYPE = "application/vnd.mapbox.style+json"
_JSON = "application/json"


async def get_styles(request: Request) -> Response:
    """GET /styles"""

    def make(state: State, base: str, language: str) -> dict[str, Any]:
        styles = [
            {
                "id": style_id,
                "title": _title(state, style_id, layers, language),
                "links": [
                    _link(f"{base}/styles/{style_id}", "stylesheet", MEDIA_TYPE, "MapLibre"),
                    _link(f"{base}/styles/{style_id}/legend", "describedby", _JSON, _LEGEND[language]),
                ],
            }
            for style_id, layers in style_ids(state.catalogue).items()
        ]
        here = _link(f"{base}/styles", "self", _JSON, _SELF[language])
        return {"default": CITY, "styles": styles, "links": [here]}

    choose_format(request, {"json": (_JSON,)})
    return await _respond(request, ("styles",), make, _JSON)


async def get_style(request: Request) -> Response:
    """GET /styles/{id}: a MapLibre style. ``f=json`` and ``f=mapbox`` are the same."""
    style_id, layers = _chosen(request)
    choose_format(request, {"mapbox": (MEDIA_TYPE,), "json": (_JSON,)})
    stats = await statistics_of(request).get(state_of(request))

    def make(state: State, base: str, language: str) -> dict[str, Any]:
        boxes = [found for layer in layers if (found := stats.of(layer.id).extent)]
        style = make_style(
            style_id,
            layers,
            name=_title(state, style_id, layers, language),
            base_url=base,
            extent=union([state.city.extent, *boxes]),
            view=state.city.view,
            language=language,
        )
        if style_id == CITY:  # pictures lie beneath everything, above the paper
            for mosaic in stats.rasters.values():
                style["sources"][mosaic.layer.id] = style_source(mosaic, base, language)
            style["layers"][1:1] = [style_layer(mosaic.layer) for mosaic in stats.rasters.values()]
        return style

    return await _respond(request, ("style", style_id, stats.version), make, MEDIA_TYPE)


async def get_legend(request: Request) -> Response:
    """GET /styles/{id}/legend: what the colours, dashes and icons mean, in both languages."""
    style_id, layers = _chosen(request)
    choose_format(request, {"json": (_JSON,)})

    def make(state: State, _base: str, language: str) -> dict[str, Any]:
        entries = [
            {
                "id": layer.id,
                "title": {"vi": layer.title.vi, "en": layer.title.en},
                "sector": layer.sector.id,
                "legend": legend(layer),
                "style_layers": style_layer_ids(layer),
            }
            for layer in layers
        ]
        return {"id": style_id, "title": _title(state, style_id, layers, language), "layers": entries}

    return await _respond(request, ("legend", style_id), make, _JSON)


_LEGEND = {"vi": "Chú giải", "en": "Legend"}
_SELF = {"vi": "Tài liệu này", "en": "This document"}


def _chosen(request: Request) -> tuple[str, tuple[Layer, ...]]:
    style_id = request.path_params["style"]
    known_parameters(request, ("f", "lang"))
    layers = style_ids(state_of(request).catalogue).get(style_id)
    if layers is None:
        raise NotFoundError("there is no such style", hint="see /styles for the list")
    return style_id, layers


def _title(state: State, style_id: str, layers: tuple[Layer, ...], language: str) -> str:
    return text_in(state.city.title if style_id == CITY else layers[0].sector.title, language)


def _link(href: str, rel: str, media_type: str, title: str) -> dict[str, str]:
    return {"href": href, "rel": rel, "type": media_type, "title": title}


async def _respond(
    request: Request,
    key: tuple[Any, ...],
    make: Callable[[State, str, str], dict[str, Any]],
    media_type: str,
) -> Response:
    state = state_of(request)
    known_parameters(request, ("f", "lang"))
    language = choose_language(request, state.city.languages)
    base = state.base_url(request)
    document = await documents_of(request).get(
        (*key, state.catalogue.fingerprint, base, language),
        lambda: Document.of(orjson.dumps(make(state, base, language)), media_type, language),
    )
    return document.respond(request)


ROUTES = [
    Route("/styles", get_styles),
    Route("/styles/{style}", get_style),
    Route("/styles/{style}/legend", get_legend),
]
