"""Components of the OpenAPI document: parameters, schemas, responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gis.api.features.item import OUTPUTS


def ref(kind: str, name: str) -> dict[str, str]:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def schema_ref(name: str) -> dict[str, str]:
    """A reference to a schema."""
    return ref("schemas", name)


def query(name: str, schema: dict[str, Any], vi: str, en: str, language: str) -> dict[str, Any]:
    """A query parameter."""
    return {
        "name": name,
        "in": "query",
        "description": vi if language == "vi" else en,
        "schema": schema,
    }


def _choice(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


def own_parameters(language: str, languages: Sequence[str]) -> dict[str, Any]:
    """Query parameters of the paths beside items: component name -> parameter."""
    return {
        "documentFormat": query("f", _choice("json", "html"), "Định dạng", "Format", language),
        "itemFormat": query("f", _choice(*OUTPUTS), "Định dạng", "Format", language),
        "tilesetFormat": query("f", _choice("json", "tilejson"), "Định dạng", "Format", language),
        "tileFormat": query("f", _choice("mvt", "pbf"), "Định dạng", "Format", language),
        "jsonFormat": query("f", _choice("json"), "Định dạng", "Format", language),
        "language": query("lang", _choice(*languages), "Ngôn ngữ", "Language", language),
        "collections": {
            **query(
                "collections",
                {"type": "array", "items": {"type": "string"}},
                "Các lớp, cách nhau bằng dấu phẩy",
                "Collections, with commas between",
                language,
            ),
            "style": "form",
            "explode": False,
        },
    }


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
        "401": ("Mã bí mật sai", "The secret is wrong"),
        "403": ("Không được phép", "Not allowed"),
        "404": ("Không có", "There is no such thing"),
        "409": ("Trùng khoá với yêu cầu khác", "The key was used for another request"),
        "410": ("Đã huỷ, hoặc không còn được giữ", "It was dismissed, or is not kept any more"),
        "415": ("Kiểu dữ liệu không được nhận", "The media type is not taken"),
        "429": ("Quá nhiều yêu cầu", "Too many at once"),
        "503": ("Máy chủ quá bận", "The server is too busy"),
        "default": ("Lỗi", "An error"),
    }
    content = {"application/problem+json": {"schema": schema_ref("problem")}}
    pick = 0 if language == "vi" else 1
    return {code: answer(both[pick], content) for code, both in texts.items()}
