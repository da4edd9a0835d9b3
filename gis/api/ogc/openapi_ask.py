"""Finding and asking in the OpenAPI document: /search, /identify, /statistics, /export and the like."""

from __future__ import annotations

from typing import Any, Final

from gis.api.ask import export, identify, search, section
from gis.api.ogc.openapi_parts import answer, query, ref, schema_ref
from gis.ask.text import MAX_TEXT

_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "number"}
_MAYBE: Final = {"type": "number", "nullable": True}
_COUNT: Final = {"type": "integer"}
_MAYBE_TEXT: Final = {"type": "string", "nullable": True}
_POINT: Final = {"type": "array", "minItems": 2, "maxItems": 2, "items": _NUMBER}
_BOX: Final = {"type": "array", "minItems": 4, "maxItems": 4, "items": _NUMBER}
_BOTH: Final = {"type": "object", "required": ["vi", "en"], "properties": {"vi": _TEXT, "en": _TEXT}}
_YES: Final = {"type": "boolean"}
_LINE: Final = {
    "type": "object",
    "required": ["type", "coordinates"],
    "properties": {"type": _TEXT, "coordinates": {"type": "array", "items": _POINT}},
}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _area(**more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "geometry": {"type": "object", "description": "Polygon, CRS84"},
            "bbox": _BOX,
            "layers": {"type": "array", "minItems": 1, "maxItems": 200, "items": _TEXT},
            **more,
        },
    }


def schemas() -> dict[str, Any]:
    """Documents of the answers, and bodies."""
    kinds = ["parcel", "address", "asset", "ward", "ward_old", "street", "place", "coordinates", "sheet"]
    figures = {"count": _COUNT, "length_m": _MAYBE, "area_m2": _MAYBE}
    group = _object(by=_list(_TEXT), rows=_list(_object(values=_list({}), **figures)))
    feature = {"layer": _TEXT, "fid": _COUNT, "asset_id": _TEXT}
    return {
        "searchResults": _object(
            results=_list(
                _object(
                    kind={"type": "string", "enum": kinds},
                    title=_TEXT,
                    subtitle=_BOTH,
                    layer=_MAYBE_TEXT,
                    fid={"type": "integer", "nullable": True},
                    point=_POINT,
                    bbox=_BOX,
                )
            ),
            complete=_YES,
        ),
        "identified": _object(
            point=_POINT,
            sectors=_list(
                _object(
                    id=_TEXT,
                    title=_BOTH,
                    features=_list(
                        _object(
                            **feature,
                            title=_TEXT,
                            status=_MAYBE_TEXT,
                            distance_m=_NUMBER,
                            depth_m=_MAYBE,
                            findings=_COUNT,
                            versions=_COUNT,
                        )
                    ),
                )
            ),
            more=_YES,
        ),
        "areaAsked": _area(),
        "exportAsked": _area(
            format={"type": "string", "enum": ["gpkg", "csv", "geojson", "dxf"]},
            crs={"type": "integer", "nullable": True},
        ),
        "statistics": _object(layers=_list(_object(layer=_TEXT, **figures, groups=_list(group))), exact=_YES),
        "section": _object(
            length_m=_NUMBER,
            line=_LINE,
            ground=_list(_list(_MAYBE)),
            cuts=_list(
                _object(
                    **feature,
                    title=_TEXT,
                    station_m=_NUMBER,
                    depth_m=_MAYBE,
                    elevation_m=_MAYBE,
                    width_m=_NUMBER,
                    height_m=_NUMBER,
                    quality=_MAYBE_TEXT,
                    point=_POINT,
                )
            ),
            verdicts=_list(
                _object(
                    a=_COUNT,
                    b=_COUNT,
                    rule=_TEXT,
                    kind={"type": "string", "enum": ["horizontal", "vertical"]},
                    measured_m=_NUMBER,
                    required_m=_NUMBER,
                    ok=_YES,
                )
            ),
            complete=_YES,
        ),
        "profile": _object(
            length_m=_NUMBER,
            line=_LINE,
            nodes=_list(_object(**feature, station_m=_NUMBER, ground_m=_MAYBE, invert_m=_MAYBE)),
            pipes=_list(
                _object(
                    **feature,
                    from_m=_NUMBER,
                    to_m=_NUMBER,
                    invert_from_m=_MAYBE,
                    invert_to_m=_MAYBE,
                    diameter_mm=_MAYBE,
                    slope=_MAYBE,
                )
            ),
            findings=_list({"type": "object"}),
            complete=_YES,
        ),
    }


def parameters(language: str) -> dict[str, Any]:
    """Query parameters: component name -> parameter."""

    def of(name: str, schema: dict[str, Any], vi: str, en: str, *, required: bool = False) -> dict[str, Any]:
        return {**query(name, schema, vi, en, language), **({"required": True} if required else {})}

    def numbers(name: str, least: int, most: int, vi: str, en: str, *, required: bool) -> dict[str, Any]:
        schema = {"type": "array", "minItems": least, "maxItems": most, "items": _NUMBER}
        return {**of(name, schema, vi, en, required=required), "style": "form", "explode": False}

    layers = {"type": "array", "items": _TEXT}
    limit = {"type": "integer", "minimum": 1, "maximum": search.MAX_LIMIT, "default": search.DEFAULT_LIMIT}
    tolerance = {
        "type": "number",
        "minimum": 0,
        "maximum": identify.MAX_TOLERANCE,
        "default": identify.DEFAULT_TOLERANCE,
    }
    width = {"type": "number", "minimum": 0, "maximum": section.MAX_WIDTH, "default": 4}
    fid = {"type": "integer", "minimum": 1}
    return {
        "searchText": of(
            "q",
            {"type": "string", "maxLength": MAX_TEXT},
            "Nội dung tìm",
            "What is looked for",
            required=True,
        ),
        "searchLimit": of("limit", limit, "Số kết quả", "How many results"),
        "searchNear": numbers(
            "near",
            2,
            2,
            "Ưu tiên gần điểm này: kinh độ, vĩ độ",
            "The nearest to lon,lat first",
            required=False,
        ),
        "askPoint": numbers("point", 2, 2, "Kinh độ, vĩ độ", "lon,lat in degrees", required=True),
        "askTolerance": of("tolerance", tolerance, "Bán kính (m)", "How far from the point (m)"),
        "askLayers": {
            **of("layers", layers, "Các lớp, cách nhau bằng dấu phẩy", "Layers, with commas between"),
            "style": "form",
            "explode": False,
        },
        "sectionLine": numbers(
            "line", 4, 40, "Đường cắt: kinh độ, vĩ độ, ...", "lon,lat,lon,lat... in degrees", required=True
        ),
        "sectionWidth": of(
            "width", width, "Nút nằm cách đường cắt không quá nửa bề rộng này (m) cũng được vẽ",
            "Nodes within half of this width (m) of the line are shown, too",
        ),
        "profileLayer": of(
            "layer", _TEXT, "Lớp cống hoặc hố ga", "A layer of conduits or manholes", required=True
        ),
        "profileFid": of("fid", fid, "Đối tượng đầu", "The feature where it begins", required=True),
        "profileTo": of("to", fid, "Đối tượng cuối", "The feature where it ends"),
    }  # fmt: skip


def _answers(contents: dict[str, Any]) -> dict[str, Any]:
    wrong = {code: ref("responses", code) for code in ("400", "401", "404", "503", "default")}
    return {"200": answer("OK", {media: {"schema": schema} for media, schema in contents.items()}), **wrong}


def _get(name: str, summary: str, schema: str, *names: str) -> dict[str, Any]:
    return {
        "get": {
            "operationId": name,
            "tags": ["features"],
            "summary": summary,
            "parameters": [ref("parameters", one) for one in (*names, "language")],
            "responses": _answers({"application/json": schema_ref(schema)}),
        }
    }


def _post(name: str, summary: str, body: str, contents: dict[str, Any]) -> dict[str, Any]:
    return {
        "post": {
            "operationId": name,
            "tags": ["features"],
            "summary": summary,
            "parameters": [ref("parameters", "language")],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": schema_ref(body)}},
            },
            "responses": _answers(contents),
        }
    }


def paths() -> dict[str, Any]:
    """The paths."""
    binary = {"type": "string", "format": "binary"}
    files: dict[str, Any] = {media: binary for media, _ in export.TYPES.values()}
    return {
        "/search": _get(
            "search", "One box for all that people look for", "searchResults", "searchText", "searchLimit",
            "searchNear",
        ),
        "/identify": _get(
            "identify", "Everything under a point", "identified", "askPoint", "askTolerance", "askLayers"
        ),
        "/statistics": _post(
            "statistics", "What lies in an area, counted and measured", "areaAsked",
            {"application/json": schema_ref("statistics")},
        ),
        "/export": _post("exportArea", "What lies in an area, as a file", "exportAsked", files),
        "/section": _get(
            "section", "What a line cuts, with the distances that law wants", "section", "sectionLine",
            "sectionWidth",
        ),
        "/profile": _get(
            "profile", "The long profile of a drainage run", "profile", "profileLayer", "profileFid",
            "profileTo",
        ),
    }  # fmt: skip
