"""Prints and images in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from gis.api.ogc.openapi_parts import query, ref, schema_ref
from gis.api.print.filters import MOST_ADDRESS
from gis.print.order import MOST_TITLE, SCALES, SIDES
from gis.print.sheet import ORIENTATIONS, PAPERS

_TAG: Final = "prints"
_SCALE: Final = {"type": "integer", "minimum": SCALES[0], "maximum": SCALES[1]}
_PAPER: Final = {"type": "string", "enum": list(PAPERS), "default": "a4"}
_WAY: Final = {"type": "string", "enum": list(ORIENTATIONS), "default": "landscape"}
_TITLE: Final = {"type": "string", "maxLength": 10_000}
_NUMBERS: Final = {"type": "array", "items": {"type": "number"}}
_NAMES: Final = {"type": "array", "items": {"type": "string"}}


def _list(parameter: dict[str, Any]) -> dict[str, Any]:
    return {**parameter, "style": "form", "explode": False}


def parameters(language: str, _languages: Sequence[str] = ()) -> dict[str, Any]:
    """Query parameters: component name -> parameter."""
    center = {**_NUMBERS, "minItems": 2, "maxItems": 2}
    box = {**_NUMBERS, "minItems": 4, "maxItems": 4}
    side = {"type": "integer", "minimum": SIDES[0], "maximum": SIDES[1]}
    title = f"Tiêu đề (đến {MOST_TITLE} chữ)", f"Title (up to {MOST_TITLE} letters)"

    def one(name: str, schema: dict[str, Any], vi: str, en: str) -> dict[str, Any]:
        return query(name, schema, vi, en, language)

    middle = _list(
        one("center", center, "Tâm bản đồ: kinh độ, vĩ độ", "Middle of the map: longitude, latitude")
    )
    scale = one("scale", _SCALE, "Mẫu số tỷ lệ: 1000 là 1:1000", "1000 is 1:1000")
    return {
        "printCenter": {**middle, "required": True},
        "printScale": {**scale, "required": True},
        "printPaper": one("paper", _PAPER, "Khổ giấy", "Paper"),
        "printOrientation": one("orientation", _WAY, "Ngang hay dọc", "Landscape or portrait"),
        "printLayers": _list(
            one(
                "layers",
                _NAMES,
                "Các lớp, kể cả lớp ảnh; mặc định là mọi lớp đối tượng",
                "Layers, raster layers too; all layers of features by default",
            )
        ),
        "printTitle": one("title", _TITLE, *title),
        "printFormat": one("f", {"type": "string", "enum": ["pdf"]}, "Định dạng", "Format"),
        "imageBox": _list(
            one("bbox", box, "Tây, nam, đông, bắc (độ)", "West, south, east, north in degrees")
        ),
        "imageCenter": middle,
        "imageScale": scale,
        "imageWidth": one("width", {**side, "default": 800}, "Chiều rộng (điểm ảnh)", "Width in pixels"),
        "imageHeight": one("height", {**side, "default": 600}, "Chiều cao (điểm ảnh)", "Height in pixels"),
        "imageFilter": one(
            "filter",
            {"type": "string", "maxLength": MOST_ADDRESS},
            'CQL2 theo lớp, là JSON: {"water_pipe": "diameter_mm >= 200"}',
            'CQL2 by layer, as JSON: {"water_pipe": "diameter_mm >= 200"}',
        ),
        "imageFormat": one("f", {"type": "string", "enum": ["png"]}, "Định dạng", "Format"),
    }


def schemas() -> dict[str, Any]:
    """The order of a print."""
    return {
        "printOrder": {
            "type": "object",
            "required": ["center", "scale"],
            "additionalProperties": False,
            "properties": {
                "center": {**_NUMBERS, "minItems": 2, "maxItems": 2},
                "scale": _SCALE,
                "paper": _PAPER,
                "orientation": _WAY,
                "layers": _NAMES,
                "title": _TITLE,
                "lang": {"type": "string"},
                "f": {"type": "string", "enum": ["pdf"]},
                "filter": {
                    "type": "object",
                    "description": "CQL2 of a layer by its id: text, or CQL2 JSON as an object",
                    "additionalProperties": {"oneOf": [{"type": "string"}, {"type": "object"}]},
                },
            },
        }
    }


def paths() -> dict[str, Any]:
    """/print, /print/papers and /image."""
    pdf = {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}
    png = {"image/png": {"schema": {"type": "string", "format": "binary"}}}
    common = [ref("parameters", "printLayers"), ref("parameters", "language")]
    order = [
        ref("parameters", f"print{name}")
        for name in ("Center", "Scale", "Paper", "Orientation", "Title", "Format")
    ]
    picture = [
        ref("parameters", f"image{name}")
        for name in ("Box", "Center", "Scale", "Width", "Height", "Filter", "Format")
    ]
    return {
        "/print": {
            "get": _operation("print", "A map on paper at a true scale (PDF)", [*order, *common], pdf),
            "post": {
                **_operation(
                    "printOrder", "A map on paper, with filters of its layers", [], pdf, "413", "415"
                ),
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": schema_ref("printOrder")}},
                },
            },
        },
        "/print/papers": {
            "get": _operation(
                "printPapers",
                "Papers with the size of the map on each in mm, and the least and greatest scale",
                [],
                {"application/json": {"schema": {"type": "object"}}},
            )
        },
        "/image": {"get": _operation("image", "A map as an image", [*picture, *common], png)},
    }


def _operation(
    operation: str, summary: str, parameters: list[Any], content: dict[str, Any], *codes: str
) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": "OK", "content": content}}
    for code in ("400", "429", *codes):
        responses[code] = ref("responses", code)
    responses["default"] = ref("responses", "default")
    return {
        "operationId": operation,
        "summary": summary,
        "tags": [_TAG],
        "parameters": parameters,
        "responses": responses,
    }
