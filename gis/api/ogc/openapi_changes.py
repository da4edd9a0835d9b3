"""The change feed and the QGIS project in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from gis.api.ogc.openapi_parts import answer, query, ref, schema_ref

_TEXT = {"type": "string"}
_ID = {"type": "integer", "minimum": 0}
_LINKS = {"type": "array", "items": schema_ref("link")}

SCHEMAS: dict[str, Any] = {
    "change": {
        "type": "object",
        "required": ["id", "at", "kind", "layers"],
        "properties": {
            "id": _ID,
            "at": {"type": "string", "format": "date-time"},
            **{name: {**_TEXT, "nullable": True} for name in ("author", "agency", "comment", "source")},
            "kind": _TEXT,
            "undoes": _ID,
            "layers": {"type": "object", "additionalProperties": {"type": "object"}},
            "features": {"type": "array", "items": {"type": "object"}},
            "links": _LINKS,
        },
    },
    "changes": {
        "type": "object",
        "required": ["changesets", "lastChangeset", "numberReturned", "links"],
        "properties": {
            "changesets": {"type": "array", "items": schema_ref("change")},
            "lastChangeset": _ID,
            "numberReturned": _ID,
            "links": _LINKS,
        },
    },
}


def parameters(language: str) -> dict[str, Any]:
    """Component name -> parameter."""

    def of(name: str, schema: dict[str, Any], vi: str, en: str) -> dict[str, Any]:
        return query(name, schema, vi, en, language)

    limit = {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}
    detail = {"type": "string", "enum": ["ids", "full", "none"], "default": "ids"}
    seven = {"type": "string", "pattern": "^[A-Za-z0-9]{7}$"}
    return {
        "changesSince": of("since", {**_ID, "default": 0}, "Sau bộ thay đổi này", "After this changeset"),
        "changesLimit": of("limit", limit, "Số bộ thay đổi mỗi trang", "Changesets of a page"),
        "changesLayer": of("layer", _TEXT, "Các lớp, cách nhau bằng dấu phẩy", "Layers, with commas between"),
        "changesFeatures": of("features", detail, "Kể các đối tượng", "How features are told"),
        "changesAfter": of("after", _TEXT, "Phần tiếp theo", "Where to go on in a large changeset"),
        "changesChangeset": {"name": "changesetId", "in": "path", "required": True, "schema": _ID},
        "qgisAuthcfg": of("authcfg", seven, "Mã cấu hình đăng nhập QGIS", "Id of a login kept in QGIS"),
        "qgisLogin": of("login", {"type": "boolean"}, "Đòi đăng nhập", "Ask for a login"),
    }


def paths() -> dict[str, Any]:
    """Paths of the feed and of the project."""
    shape = ["changesLayer", "bbox", "bbox-crs", "crs", "changesFeatures", "language"]
    json = "application/json"
    events = {"text/event-stream": {"schema": _TEXT}}
    return {
        "/changes": _get(
            "changes",
            "What changed since a changeset (as it happens: /changes/stream, server-sent events)",
            ["changesSince", "changesLimit", *shape],
            {json: {"schema": schema_ref("changes")}, **events},
            ("400", "404", "410", "503"),
        ),
        "/changes/{changesetId}": _get(
            "change",
            "A changeset, and the rest of a large one",
            ["changesChangeset", "changesAfter", *shape],
            {json: {"schema": schema_ref("change")}},
            ("400", "404"),
        ),
        "/qgis-project": _get(
            "qgis",
            "A QGIS project of the layers that you may see",
            ["changesLayer", "crs", "qgisAuthcfg", "qgisLogin", "language"],
            {"application/vnd.qgis.qgz": {"schema": {"type": "string", "format": "binary"}}},
            ("400", "401", "404"),
        ),
    }


def _get(
    operation: str, summary: str, parameters: list[str], content: dict[str, Any], codes: tuple[str, ...]
) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": answer("OK", content), "304": {"description": "Not modified"}}
    responses |= {code: ref("responses", code) for code in codes}
    responses["default"] = ref("responses", "default")
    return {
        "get": {
            "operationId": operation,
            "summary": summary,
            "tags": ["features"],
            "parameters": [ref("parameters", name) for name in parameters],
            "responses": responses,
        }
    }
