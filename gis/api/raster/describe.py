"""Raster layers in words: entries of the catalogue, sources of the style, tilesets, collections. Pure."""

from __future__ import annotations

from typing import Any

from gis.city import City
from gis.crs import CRS84, ref, uri
from layers.raster import RasterLayer
from tiles import grid
from tiles.mosaic import TILE, Mosaic
from tiles.tilejson import REL, TILEJSON_TYPE, text_in

__all__ = ["TILEJSON_TYPE", "catalogue_entry", "collection", "style_layer", "style_layer_id", "style_source"]

_TEXTS = {
    "tiles": ("Ô bản đồ ảnh: {}", "Map tiles: {}"),
    "self-json": ("Tài liệu này", "This document"),
    "map": ("Bản đồ ảnh (PNG, WebP)", "Map of a box (PNG, WebP)"),
    "coverage": ("Giá trị (GeoTIFF)", "Values of a box (GeoTIFF)"),
    "item": ("Ô bản đồ ảnh", "Map tile"),
    "data": ("Dữ liệu", "Data"),
    "grid": ("Lưới ô WebMercatorQuad", "Tile matrix set WebMercatorQuad"),
    "elevation": ("Độ cao tại một điểm", "Height at a point"),
    "root": ("Trang đầu", "Landing page"),
}


def _said(key: str, language: str) -> str:
    return _TEXTS[key][0 if language == "vi" else 1]


def _both(text: Any) -> dict[str, str]:
    return {"vi": text.vi, "en": text.en}


def address(base: str, layer_id: str) -> str:
    """Where a collection's map tiles are described."""
    return f"{base}/collections/{layer_id}/map/tiles/{grid.GRID}"


def template(base: str, layer: RasterLayer, style: str) -> str:
    """Address of its tiles with {z}, {y} and {x}."""
    query = "" if style == layer.definition.styles[0] else f"?style={style}"
    return f"{address(base, layer.id)}/{{z}}/{{y}}/{{x}}{query}"


def style_layer_id(layer: RasterLayer) -> str:
    """Id of the style layer that draws it."""
    return f"{layer.id}-raster"


def style_source(mosaic: Mosaic, base: str, language: str) -> dict[str, Any]:
    """A source of a MapLibre style."""
    said = mosaic.layer.definition.attribution
    return {
        "type": "raster",
        "tiles": [template(base, mosaic.layer, mosaic.layer.definition.styles[0])],
        "tileSize": TILE,
        "minzoom": mosaic.min_zoom,
        "maxzoom": mosaic.max_zoom,
        "bounds": list(mosaic.extent),
        **({"attribution": text_in(said, language)} if said else {}),
    }


def style_layer(layer: RasterLayer) -> dict[str, Any]:
    """A layer of a MapLibre style, hidden: a map has one ground, and that is the city's own at first."""
    return {
        "id": style_layer_id(layer),
        "type": "raster",
        "source": layer.id,
        "metadata": {"bandoso:layer": layer.id},
        "layout": {"visibility": "none"},
        "paint": {"raster-opacity": layer.definition.opacity},
    }


def catalogue_entry(mosaic: Mosaic, city: City, base: str) -> dict[str, Any]:
    """A layer of /catalogue: as those of features, with ``kind`` raster, without what only they have."""
    layer = mosaic.layer
    definition = layer.definition
    agency = next((a.title for a in city.agencies if a.id == definition.owner), None)
    days, heights = mosaic.days, mosaic.heights
    return {
        "id": layer.id,
        "kind": "raster",
        "raster": definition.kind,
        "title": _both(layer.title),
        "description": _both(definition.description) if definition.description else None,
        "geometry": "raster",
        "dimension": -1,
        "owner": definition.owner,
        "agency": _both(agency) if agency else None,
        "access": layer.access,
        "count": len(mosaic.scenes),
        "tiles": {"min_zoom": mosaic.min_zoom, "max_zoom": mosaic.max_zoom},
        "extent": list(mosaic.extent),
        "fields": [],
        "label_field": None,
        "legend": [],
        "style_layers": [style_layer_id(layer)],
        "styles": [{"id": name, "tiles": template(base, layer, name)} for name in definition.styles],
        "tile_size": TILE,
        "resolution_m": round(mosaic.finest, 4),
        "taken": [day.isoformat() for day in days] if days else None,
        "heights": [round(value, 2) for value in heights] if heights else None,
        "attribution": _both(definition.attribution) if definition.attribution else None,
    }


def tilejson(mosaic: Mosaic, base: str, language: str, style: str) -> dict[str, Any]:
    """TileJSON 3.0 of pictures."""
    said = mosaic.layer.definition.attribution
    return {
        "tilejson": "3.0.0",
        "name": text_in(mosaic.layer.title, language),
        "scheme": "xyz",
        "tiles": [template(base, mosaic.layer, style)],
        "tileSize": TILE,
        "minzoom": mosaic.min_zoom,
        "maxzoom": mosaic.max_zoom,
        "bounds": list(mosaic.extent),
        "center": [*_centre(mosaic), max(mosaic.min_zoom, min(mosaic.max_zoom, 14))],
        **({"attribution": text_in(said, language)} if said else {}),
        **({"encoding": "mapbox"} if style == "terrain" else {}),
    }


def tilesets(mosaic: Mosaic, base: str, language: str) -> dict[str, Any]:
    """The list of tilesets: one."""
    here = f"{base}/collections/{mosaic.layer.id}/map/tiles"
    return {
        "tilesets": [_item(mosaic, base, language)],
        "links": [_link(here, "self", "application/json", "self-json", language)],
    }


def tileset(mosaic: Mosaic, base: str, language: str, style: str) -> dict[str, Any]:
    """OGC tileset metadata (17-083r4)."""
    west, south, east, north = mosaic.extent
    return {
        **_item(mosaic, base, language),
        "tileMatrixSetLimits": grid.limits(mosaic.extent, mosaic.min_zoom, mosaic.max_zoom),
        "boundingBox": {"lowerLeft": [west, south], "upperRight": [east, north], "crs": CRS84.uri},
        "style": {"id": style},
        "mediaTypes": ["image/png", "image/webp"],
    }


def _item(mosaic: Mosaic, base: str, language: str) -> dict[str, Any]:
    here = address(base, mosaic.layer.id)
    item = f"{here}/{{tileMatrix}}/{{tileRow}}/{{tileCol}}"
    data = f"{base}/collections/{mosaic.layer.id}"
    return {
        "title": _said("tiles", language).format(text_in(mosaic.layer.title, language)),
        "dataType": "map",
        "crs": grid.CRS_URI,
        "tileMatrixSetURI": grid.URI,
        "tileMatrixSetId": grid.GRID,
        "links": [
            _link(here, "self", "application/json", "self-json", language),
            {
                **_link(f"{here}?f=tilejson", "alternate", TILEJSON_TYPE, "item", language),
                "title": "TileJSON",
            },
            {**_link(item, "item", "image/png", "item", language), "templated": True},
            _link(
                f"{base}/tileMatrixSets/{grid.GRID}",
                f"{REL}/tiling-scheme",
                "application/json",
                "grid",
                language,
            ),
            _link(data, f"{REL}/geodata", "application/json", "data", language),
        ],
    }


def collection(mosaic: Mosaic, city: City, base: str, language: str) -> dict[str, Any]:
    """A collection, with links to its map, its tiles and its values."""
    layer = mosaic.layer
    here = f"{base}/collections/{layer.id}"
    codes = dict.fromkeys((4326, 3857, city.crs.storage, *city.crs.offered))
    days = mosaic.days
    height = layer.definition.kind == "elevation"
    about = layer.definition.description or layer.title
    return {
        "id": layer.id,
        "title": text_in(layer.title, language),
        "description": text_in(about, language),
        "keywords": [text_in(layer.sector.title, language)],
        "itemType": "coverage",
        "extent": {
            "spatial": {"bbox": [list(mosaic.extent)], "crs": CRS84.uri},
            **(
                {"temporal": {"interval": [[day.isoformat() + "T00:00:00Z" for day in days]]}} if days else {}
            ),
        },
        "crs": [CRS84.uri, *(ref(code).uri for code in codes)],
        "storageCrs": uri(city.crs.storage),
        "dataType": "coverage",
        "links": [
            _link(f"{here}?f=json", "self", "application/json", "self-json", language),
            _link(f"{base}/?f=json", "root", "application/json", "root", language),
            _link(f"{here}/map?f=png", f"{REL}/map", "image/png", "map", language),
            _link(f"{here}/map?f=webp", f"{REL}/map", "image/webp", "map", language),
            {
                **_link(f"{here}/map/tiles", f"{REL}/tilesets-map", "application/json", "item", language),
                "title": _said("tiles", language).format(text_in(layer.title, language)),
            },
            _link(
                f"{here}/coverage", f"{REL}/coverage", "image/tiff; application=geotiff", "coverage", language
            ),
            *(
                [_link(f"{base}/elevation", "related", "application/json", "elevation", language)]
                if height
                else []
            ),
        ],
    }


def _link(href: str, rel: str, media_type: str, title: str, language: str) -> dict[str, Any]:
    return {"href": href, "rel": rel, "type": media_type, "title": _said(title, language)}


def _centre(mosaic: Mosaic) -> list[float]:
    west, south, east, north = mosaic.extent
    return [round((west + east) / 2, 6), round((south + north) / 2, 6)]
