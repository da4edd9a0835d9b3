"""The OpenAPI document's part of writing features (OGC API Features part 4)."""

from __future__ import annotations

from typing import Any, Final

from gis.api.features import describe
from gis.api.ogc.openapi_parts import answer, ref, schema_ref
from gis.api.write.headers import PATCH, WHOLE
from gis.edit.geometry import NESTING, TYPES
from gis.edit.validate import READ_ONLY
from layers.registry import Layer

CONFORMANCE: Final = tuple(
    f"http://www.opengis.net/spec/ogcapi-features-4/1.0/conf/{name}"
    for name in ("create-replace-delete", "update", "optimistic-locking-etags", "features")
)

SECURITY: Final = {
    "basic": {"type": "http", "scheme": "basic"},
    "bearer": {"type": "http", "scheme": "bearer"},
}
_LOGIN: Final[list[dict[str, list[str]]]] = [{"basic": []}, {"bearer": []}]

_TEXTS: Final = {
    "401": ("Cần đăng nhập", "A login is needed, or it is wrong"),
    "403": ("Không được phép", "The caller may not do this"),
    "409": ("Trùng khoá", "Another feature has this key"),
    "412": ("Đối tượng đã bị người khác sửa", "Somebody else changed the feature since"),
    "413": ("Dữ liệu quá lớn", "The body is too large"),
    "415": ("Kiểu dữ liệu không được nhận", "The media type is not taken"),
    "422": ("Dữ liệu không hợp lệ, hoặc vi phạm quy tắc", "The content is not valid, or it breaks rules"),
    "428": ("Cần If-Match", "If-Match is needed"),
}


def responses(language: str) -> dict[str, Any]:
    """Responses of writes."""
    content = {"application/problem+json": {"schema": schema_ref("problem")}}
    return {code: answer(both[0 if language == "vi" else 1], content) for code, both in _TEXTS.items()}


def parameters(language: str) -> dict[str, Any]:
    """Headers of writes."""
    texts = {
        "contentCrs": ("Content-Crs", "Hệ toạ độ của hình học gửi đến", "CRS of the geometry that is sent"),
        "ifMatch": ("If-Match", "ETag của phiên bản đã đọc", "ETag of the version that was read"),
        "ifNoneMatch": ("If-None-Match", "* hoặc ETag", "* or an ETag"),
        "prefer": ("Prefer", "return=minimal, handling=lenient", "return=minimal, handling=lenient"),
    }
    return {
        key: {
            "name": name,
            "in": "header",
            "description": vi if language == "vi" else en,
            "schema": {"type": "string"},
        }
        for key, (name, vi, en) in texts.items()
    }


def schemas() -> dict[str, Any]:
    """Bodies that no single layer's definition is needed for."""
    attributes = {"type": "object", "description": "See /collections/{collectionId}/schema"}
    return {
        "geometry": {
            "type": "object",
            "required": ["type", "coordinates"],
            "properties": {
                "type": {"type": "string", "enum": list(TYPES)},
                "coordinates": {"type": "array", "items": {}},
            },
        },
        "wholeFeature": {
            "type": "object",
            "required": ["type", "geometry"],
            "properties": {
                "type": {"type": "string", "enum": ["Feature"]},
                "id": {},
                "geometry": schema_ref("geometry"),
                "properties": {**attributes, "nullable": True},
            },
        },
        "featurePatch": {
            "type": "object",
            "properties": {
                "type": {"type": "string", "enum": ["Feature"]},
                "geometry": schema_ref("geometry"),
                "properties": attributes,
            },
        },
    }


def post(layer: Layer, language: str) -> dict[str, Any]:
    """``post`` of a collection's items."""
    title = f"Thêm đối tượng: {layer.title.vi}" if language == "vi" else f"New: {layer.title.en}"
    made = _operation(
        f"{layer.id}.create",
        title,
        ["contentCrs", "prefer"],
        {kind: {"schema": _new(layer)} for kind in WHOLE},
        ("400", "401", "403", "409", "413", "415", "422", "503"),
    )
    made["responses"] = {
        "201": {
            **answer("Created", {WHOLE[0]: {"schema": schema_ref("feature")}}),
            "headers": {
                name: {"schema": {"type": "string"}} for name in ("Location", "ETag", "Bandoso-Changeset")
            },
        },
        **made["responses"],
    }
    return made


def of_item() -> dict[str, Any]:
    """``put``, ``patch`` and ``delete`` of a feature."""
    shared = [ref("parameters", "collectionId"), ref("parameters", "featureId")]
    codes = ("400", "401", "403", "404", "405", "409", "412", "413", "415", "422", "428", "503")
    shown = {
        "200": answer("The feature", {WHOLE[0]: {"schema": schema_ref("feature")}}),
        "204": {"description": "Done"},
    }
    put = _operation(
        "replace",
        "Replace a feature",
        ["contentCrs", "ifMatch", "ifNoneMatch", "prefer"],
        {kind: {"schema": schema_ref("wholeFeature")} for kind in WHOLE},
        codes,
    )
    patch = _operation(
        "update",
        "Change some of a feature",
        ["contentCrs", "ifMatch", "prefer"],
        {kind: {"schema": schema_ref("featurePatch")} for kind in PATCH},
        codes,
    )
    delete = _operation("delete", "Delete a feature", ["ifMatch"], None, codes)
    for one in (put, patch, delete):
        one["parameters"] = [*shared, *one["parameters"]]
    for one in (put, patch):
        one["responses"] = {**shown, **one["responses"]}
    left = answer(
        "Deleted; what the checks say to what is left", {"application/json": {"schema": {"type": "object"}}}
    )
    delete["responses"] = {"200": left, "204": {"description": "Deleted"}, **delete["responses"]}
    return {"put": put, "patch": patch, "delete": delete}


def _operation(
    operation: str, summary: str, headers: list[str], content: dict[str, Any] | None, codes: tuple[str, ...]
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": operation,
        "summary": summary,
        "tags": ["features"],
        "security": _LOGIN,
        "parameters": [
            *(ref("parameters", name) for name in headers),
            *(ref("parameters", name) for name in ("language", "crs")),
        ],
        "responses": {
            **{code: ref("responses", code) for code in codes if code != "405"},
            "default": ref("responses", "default"),
        },
    }
    if content is not None:
        made["requestBody"] = {"required": True, "content": content}
    return made


def _coordinates(types: list[str]) -> dict[str, Any]:
    """Positions of two or three numbers, nested as the type has them."""
    if len(types) > 1:
        return {"type": "array", "items": {}}
    made: dict[str, Any] = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 3}
    for _ in range(NESTING[types[0]]):
        made = {"type": "array", "items": made, "minItems": 1}
    return made


def _new(layer: Layer) -> dict[str, Any]:
    """A new feature of the layer, its attributes as they are defined."""
    geometry = layer.definition.geometry
    types: list[str] = list(TYPES) if geometry == "Geometry" else [geometry]
    return {
        "type": "object",
        "required": ["type", "geometry", "properties"],
        "properties": {
            "type": {"type": "string", "enum": ["Feature"]},
            "geometry": {
                "type": "object",
                "required": ["type", "coordinates"],
                "properties": {
                    "type": {"type": "string", "enum": types},
                    "coordinates": _coordinates(types),
                },
            },
            "properties": {
                "type": "object",
                "properties": {
                    f.name: {**describe.plain(layer, f), "nullable": True}
                    for f in layer.public_fields
                    if f.name not in READ_ONLY
                },
            },
        },
    }
