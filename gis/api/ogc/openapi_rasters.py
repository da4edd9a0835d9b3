"""Raster collections and heights in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from gis.api.ogc.openapi_parts import answer, query, ref, schema_ref

_TEXT = {"type": "string"}
_NUMBER = {"type": "number"}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_PIXELS = {"type": "integer", "minimum": 1, "maximum": 4096}

SCHEMAS: dict[str, Any] = {
    "elevation": {
        "type": "object",
        "required": ["point", "elevation_m", "vertical_datum", "layer", "source", "resolution_m"],
        "properties": {
            "point": {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2},
            "elevation_m": _NUMBER,
            "vertical_datum": _TEXT,
            "layer": _TEXT,
            "source": _TEXT,
            "sheet": {**_TEXT, "nullable": True},
            "resolution_m": _NUMBER,
            "taken": {**_TEXT, "nullable": True},
        },
    }
}


def parameters(language: str) -> dict[str, Any]:
    """Component name -> parameter."""

    def of(name: str, schema: dict[str, Any], vi: str, en: str) -> dict[str, Any]:
        return query(name, schema, vi, en, language)

    styles = {"type": "string", "enum": ["default", "relief", "hillshade", "terrain"]}
    return {
        "rasterId": {"name": "rasterId", "in": "path", "required": True, "schema": _TEXT},
        "rasterStyle": of("style", styles, "Cách vẽ", "How it is drawn"),
        "rasterFormat": of("f", {"type": "string", "enum": ["png", "webp"]}, "Định dạng", "Format"),
        "coverageFormat": of("f", {"type": "string", "enum": ["geotiff"]}, "Định dạng", "Format"),
        "rasterWidth": of("width", _PIXELS, "Số điểm ảnh ngang", "Pixels across"),
        "rasterHeight": of("height", _PIXELS, "Số điểm ảnh dọc", "Pixels down"),
        "elevationPoint": {
            **of("point", _TEXT, "Kinh độ, vĩ độ (độ)", "Longitude, latitude (degrees)"),
            "required": True,
            "example": "106.698,10.7725",
        },
    }


def paths() -> dict[str, Any]:
    """Paths of raster collections, and of heights."""
    one = "/collections/{rasterId}"
    json = {"application/json": {"schema": {"type": "object"}}}
    pictures = {"image/png": _BYTES, "image/webp": _BYTES}
    box = ["rasterId", "bbox", "bbox-crs", "crs", "rasterWidth", "rasterHeight"]
    tile = ["rasterId", "tileMatrix", "tileRow", "tileCol", "rasterStyle", "rasterFormat"]
    described = ["rasterId", "rasterStyle", "tilesetFormat", "language"]
    return {
        f"{one}/map": _get(
            "map", "A picture of a box", [*box, "rasterStyle", "rasterFormat"], pictures, empty=True
        ),
        f"{one}/coverage": _get(
            "coverage", "Values of a box", [*box, "coverageFormat"], {"image/tiff": _BYTES}
        ),
        f"{one}/map/tiles": _get(
            "mapTilesets", "Tilesets of pictures", ["rasterId", "jsonFormat", "language"], json
        ),
        f"{one}/map/tiles/WebMercatorQuad": _get("mapTileset", "A tileset of pictures", described, json),
        f"{one}/map/tiles/WebMercatorQuad/{{tileMatrix}}/{{tileRow}}/{{tileCol}}": _get(
            "mapTile", "A picture of 256 pixels", tile, pictures, empty=True
        ),
        "/elevation": _get(
            "elevation",
            "Height of the ground at a point",
            ["elevationPoint", "jsonFormat"],
            {"application/json": {"schema": schema_ref("elevation")}},
        ),
    }


def _get(
    operation: str, summary: str, names: list[str], content: dict[str, Any], *, empty: bool = False
) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": answer("OK", content)}
    if empty:
        responses["204"] = {"description": "Nothing is here"}
    responses["304"] = {"description": "Not modified"}
    responses |= {code: ref("responses", code) for code in ("400", "404", "503", "default")}
    return {
        "get": {
            "operationId": operation,
            "summary": summary,
            "tags": ["rasters"],
            "parameters": [ref("parameters", name) for name in names],
            "responses": responses,
        }
    }
