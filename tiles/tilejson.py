"""Descriptions of a set of tiles: TileJSON 3.0, and OGC tileset metadata (OGC 17-083r4). Pure.

Both are derived from the layers' definitions. Addresses are given by the caller, so that this knows no HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from gis.crs import Box
from layers.model import Text
from layers.registry import Layer
from tiles import grid
from tiles.query import attributes

Language = Literal["vi", "en"]

MEDIA_TYPE = "application/vnd.mapbox-vector-tile"
TILEJSON_TYPE = "application/vnd.mapbox.tilejson+json"
REL = "http://www.opengis.net/def/rel/ogc/1.0"

_JSON_TYPES = {"integer": "integer", "number": "number", "boolean": "boolean"}
_DIMENSIONS = {0: "points", 1: "lines", 2: "polygons"}


def text_in(text: Text, language: str) -> str:
    """A text in one of its two languages."""
    return text.vi if language == "vi" else text.en


def zooms(layers: Sequence[Layer]) -> tuple[int, int]:
    """First and last level that clients should ask for (beyond the last they enlarge)."""
    tiles = [layer.definition.tiles for layer in layers]
    last = max((min(t.max_zoom, grid.SOURCE_MAX_ZOOM) for t in tiles), default=0)
    return min((t.min_zoom for t in tiles), default=0), last


def tilejson(
    layers: Sequence[Layer], template: str, extent: Box, title: str, description: str, language: str
) -> dict[str, Any]:
    """TileJSON 3.0. ``template``: address with {z}, {y} and {x}; ``extent``: degrees, CRS84."""
    first, last = zooms(layers)
    return {
        "tilejson": "3.0.0",
        "name": title,
        "description": description,
        "scheme": "xyz",
        "tiles": [template],
        "minzoom": first,
        "maxzoom": last,
        "bounds": list(extent),
        "center": [*_centre(extent), min(last, max(first, 12))],
        "vector_layers": [
            {
                "id": layer.id,
                "description": text_in(layer.title, language),
                "minzoom": layer.definition.tiles.min_zoom,
                "maxzoom": min(layer.definition.tiles.max_zoom, grid.SOURCE_MAX_ZOOM),
                "fields": {f.name: _describe(f.title, f.unit, language) for f in _fields(layer)},
            }
            for layer in layers
        ],
    }


def tileset(
    layers: Sequence[Layer], extent: Box, title: str, links: list[dict[str, Any]], language: str
) -> dict[str, Any]:
    """OGC tileset metadata. ``links`` are put in as they are."""
    first, last = zooms(layers)
    west, south, east, north = extent
    return {
        **tileset_item(title, links),
        "tileMatrixSetLimits": grid.limits(extent, first, last) if layers else [],
        "boundingBox": {
            "lowerLeft": [west, south],
            "upperRight": [east, north],
            "crs": "http://www.opengis.net/def/crs/OGC/1.3/CRS84",
        },
        "centerPoint": {
            "coordinates": _centre(extent),
            "crs": "http://www.opengis.net/def/crs/OGC/1.3/CRS84",
            "tileMatrix": str(min(last, max(first, 12))),
        },
        "layers": [
            {
                "id": layer.id,
                "title": text_in(layer.title, language),
                "dataType": "vector",
                **({"geometryDimension": layer.dimension} if layer.dimension >= 0 else {}),
                "minTileMatrix": str(layer.definition.tiles.min_zoom),
                "maxTileMatrix": str(min(layer.definition.tiles.max_zoom, grid.SOURCE_MAX_ZOOM)),
                "propertiesSchema": {
                    "type": "object",
                    "properties": {
                        f.name: {
                            "title": _describe(f.title, f.unit, language),
                            "type": _JSON_TYPES.get(f.type, "string"),
                        }
                        for f in _fields(layer)
                    },
                },
            }
            for layer in layers
        ],
    }


def tileset_item(title: str, links: list[dict[str, Any]]) -> dict[str, Any]:
    """A tileset as it stands in a list of tilesets."""
    return {
        "title": title,
        "dataType": "vector",
        "crs": grid.CRS_URI,
        "tileMatrixSetURI": grid.URI,
        "tileMatrixSetId": grid.GRID,
        "links": links,
    }


def _fields(layer: Layer) -> list[Any]:
    return [layer.field(name) for name in attributes(layer, grid.MAX_ZOOM)]


def _describe(title: Text, unit: str | None, language: str) -> str:
    name = text_in(title, language)
    return f"{name} ({unit})" if unit else name


def _centre(extent: Box) -> list[float]:
    west, south, east, north = extent
    return [round((west + east) / 2, 6), round((south + north) / 2, 6)]
