"""Components of the OpenAPI document: parameters, schemas, responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: Items on a page: QGIS reads these from the document.
LIMIT_DEFAULT = 1000
LIMIT_MAXIMUM = 10_000

#: Query parameters of items: name -> schema, Vietnamese and English description.
_ITEMS: dict[str, tuple[dict[str, Any], str, str]] = {
    "limit": (
        {"type": "integer", "minimum": 1, "maximum": LIMIT_MAXIMUM, "default": LIMIT_DEFAULT},
        "Số đối tượng nhiều nhất của một trang",
        "Most features of a page",
    ),
    "offset": (
        {"type": "integer", "minimum": 0},
        "Số đối tượng bỏ qua (liên kết next nhanh hơn)",
        "Features to skip (the next link is faster)",
    ),
    "bbox": (
        {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 6},
        "Khung chữ nhật: tây, nam, đông, bắc",
        "Box: west, south, east, north",
    ),
    "bbox-crs": ({"type": "string"}, "Hệ toạ độ của bbox", "CRS of bbox"),
    "crs": ({"type": "string"}, "Hệ toạ độ của kết quả", "CRS of the answer"),
    "datetime": ({"type": "string"}, "Thời điểm hoặc khoảng thời gian", "An instant or an interval"),
    "filter": ({"type": "string", "maxLength": 8192}, "Bộ lọc CQL2", "CQL2 filter"),
    "filter-lang": (
        {"type": "string", "enum": ["cql2-text", "cql2-json"], "default": "cql2-text"},
        "Ngôn ngữ của bộ lọc",
        "Language of the filter",
    ),
    "filter-crs": ({"type": "string"}, "Hệ toạ độ trong bộ lọc", "CRS of the filter's geometries"),
    "sortby": ({"type": "string"}, "Sắp xếp theo: tên trường, - là giảm dần", "Order: fields, - descends"),
    "properties": ({"type": "string"}, "Các trường cần lấy", "Fields to return"),
    "skipGeometry": ({"type": "boolean", "default": False}, "Không lấy hình học", "Leave geometry out"),
    "q": ({"type": "string", "maxLength": 200}, "Tìm kiếm không dấu", "Search text, without accents"),
    "sheet": ({"type": "string", "maxLength": 64}, "Số hiệu mảnh bản đồ", "Name of a map sheet"),
    "collections": (
        {"type": "string"},
        "Các lớp, cách nhau bằng dấu phẩy",
        "Collections, with commas between",
    ),
}


def ref(kind: str, name: str) -> dict[str, str]:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def schema_ref(name: str) -> dict[str, str]:
    """A reference to a schema."""
    return ref("schemas", name)


def common_parameters(language: str, languages: Sequence[str]) -> dict[str, Any]:
    """Query parameters that more than one path takes."""
    found: dict[str, Any] = {
        "f": {
            "name": "f",
            "in": "query",
            "description": "Định dạng" if language == "vi" else "Format",
            "schema": {"type": "string", "enum": ["json", "html"]},
        },
        "lang": {
            "name": "lang",
            "in": "query",
            "description": "Ngôn ngữ" if language == "vi" else "Language",
            "schema": {"type": "string", "enum": list(languages)},
        },
    }
    for name, (schema, vi, en) in _ITEMS.items():
        found[name] = {
            "name": name,
            "in": "query",
            "description": vi if language == "vi" else en,
            "schema": schema,
        }
        if schema["type"] == "array":
            found[name].update(style="form", explode=False)
    return found


def _path(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


_INDEX = {"type": "integer", "minimum": 0}
PATH_PARAMETERS: dict[str, Any] = {
    "featureId": _path("featureId", {"type": "integer", "minimum": 1}),
    "tileMatrix": _path("tileMatrix", {"type": "integer", "minimum": 0, "maximum": 22}),
    "tileRow": _path("tileRow", _INDEX),
    "tileCol": _path("tileCol", _INDEX),
}

_TEXT = {"type": "string"}
_LINKS = {"type": "array", "items": schema_ref("link")}

SCHEMAS: dict[str, Any] = {
    "link": {
        "type": "object",
        "required": ["href", "rel"],
        "properties": {"href": _TEXT, "rel": _TEXT, "type": _TEXT, "title": _TEXT},
    },
    "landing": {
        "type": "object",
        "required": ["links"],
        "properties": {"title": _TEXT, "description": _TEXT, "links": _LINKS},
    },
    "conformance": {
        "type": "object",
        "required": ["conformsTo"],
        "properties": {"conformsTo": {"type": "array", "items": _TEXT}},
    },
    "collection": {
        "type": "object",
        "required": ["id", "links", "extent", "crs"],
        "properties": {
            "id": _TEXT,
            "title": _TEXT,
            "description": _TEXT,
            "itemType": _TEXT,
            "itemCount": {"type": "integer"},
            "storageCrs": _TEXT,
            "crs": {"type": "array", "items": _TEXT},
            "extent": {"type": "object"},
            "links": _LINKS,
        },
    },
    "collections": {
        "type": "object",
        "required": ["links", "collections"],
        "properties": {
            "links": _LINKS,
            "collections": {"type": "array", "items": schema_ref("collection")},
        },
    },
    "feature": {
        "type": "object",
        "required": ["type", "geometry", "properties"],
        "properties": {
            "type": {"type": "string", "enum": ["Feature"]},
            "id": {"type": "integer"},
            "geometry": {"type": "object", "nullable": True},
            "properties": {"type": "object", "nullable": True},
            "links": _LINKS,
        },
    },
    "featureCollection": {
        "type": "object",
        "required": ["type", "features"],
        "properties": {
            "type": {"type": "string", "enum": ["FeatureCollection"]},
            "features": {"type": "array", "items": schema_ref("feature")},
            "numberMatched": {"type": "integer", "minimum": 0},
            "numberReturned": {"type": "integer", "minimum": 0},
            "timeStamp": _TEXT,
            "links": _LINKS,
        },
    },
    "catalogue": {
        "type": "object",
        "required": ["city", "languages", "sectors"],
        "properties": {
            "city": {"type": "object"},
            "languages": {"type": "array", "items": _TEXT},
            "sectors": {"type": "array", "items": {"type": "object"}},
        },
    },
    "problem": {
        "type": "object",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": _TEXT,
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
            "code": _TEXT,
            "hint": _TEXT,
            "request_id": _TEXT,
            "errors": {"type": "array", "items": {"type": "object"}},
        },
    },
}


def answer(description: str, content: dict[str, Any]) -> dict[str, Any]:
    """A response object."""
    return {"description": description, "content": content}


def problems(language: str) -> dict[str, Any]:
    """Responses for what can go wrong; all have the one shape."""
    texts = {
        "400": ("Tham số sai", "A parameter is wrong"),
        "404": ("Không có", "There is no such thing"),
        "503": ("Máy chủ quá bận", "The server is too busy"),
        "default": ("Lỗi", "An error"),
    }
    content = {"application/problem+json": {"schema": schema_ref("problem")}}
    pick = 0 if language == "vi" else 1
    return {code: answer(both[pick], content) for code, both in texts.items()}
