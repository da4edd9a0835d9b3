"""What was, in the OpenAPI document: versions of a feature, differences of a collection, undoing."""

from __future__ import annotations

from typing import Any, Final

from gis.api.history import changes, versions
from gis.api.ogc.openapi_parts import answer, query, ref, schema_ref
from gis.api.write.changeset_body import MOST_TEXT

_TEXT: Final = {"type": "string"}
_TIME: Final = {"type": "string", "description": "An instant as 2026-01-31T07:00:00Z, or a day (its end)"}
_NUMBER: Final = {"type": "integer", "minimum": 1}
_ITEM: Final = "/collections/{collectionId}/items/{featureId}"
_GEOJSON: Final = "application/geo+json"
_JSON: Final = "application/json"


def _step() -> dict[str, Any]:
    return {
        "type": "object",
        "nullable": True,
        "required": ["op", "changeset", "at", "author", "kind"],
        "properties": {
            "op": {"type": "string", "enum": ["create", "restore", "update", "delete"]},
            "changeset": {"type": "integer"},
            "at": {"type": "string", "format": "date-time"},
            "author": _TEXT,
            "agency": {**_TEXT, "nullable": True},
            "kind": _TEXT,
            "comment": {**_TEXT, "nullable": True},
            "source": {**_TEXT, "nullable": True},
            "undoes": {"type": "integer"},
        },
    }


def schemas() -> dict[str, Any]:
    """Documents of history."""
    moment = {"type": "string", "format": "date-time"}
    links = {"type": "array", "items": schema_ref("link")}
    return {
        "featureVersion": {
            "type": "object",
            "required": ["type", "id", "geometry", "properties", "version", "valid_from", "valid_to"],
            "properties": {
                "type": {"type": "string", "enum": ["Feature"]},
                "id": {"type": "integer"},
                "geometry": {"type": "object", "nullable": True},
                "properties": {"type": "object", "nullable": True},
                "version": {"type": "integer"},
                "valid_from": moment,
                "valid_to": {**moment, "nullable": True},
                "made": schema_ref("versionStep"),
                "ended": schema_ref("versionStep"),
            },
        },
        "versionStep": _step(),
        "featureVersions": {
            "type": "object",
            "required": ["type", "features", "numberReturned", "links"],
            "properties": {
                "type": {"type": "string", "enum": ["FeatureCollection"]},
                "features": {"type": "array", "items": schema_ref("featureVersion")},
                "numberReturned": {"type": "integer"},
                "links": links,
            },
        },
        "differences": {
            "type": "object",
            "required": ["collection", "from", "to", "changes", "numberReturned", "links"],
            "properties": {
                "collection": _TEXT,
                "from": moment,
                "to": moment,
                "changes": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["fid", "op", "old", "new"],
                        "properties": {
                            "fid": {"type": "integer"},
                            "op": {"type": "string", "enum": ["create", "update", "delete"]},
                            "old_version": {"type": "integer", "nullable": True},
                            "new_version": {"type": "integer", "nullable": True},
                            "changed": {"type": "array", "items": _TEXT},
                            "old": {"type": "object", "nullable": True},
                            "new": {"type": "object", "nullable": True},
                        },
                    },
                },
                "numberReturned": {"type": "integer"},
                "links": links,
            },
        },
        "undoing": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "comment": {"type": "string", "minLength": 1, "maxLength": MOST_TEXT},
                "key": {"type": "string", "minLength": 1, "maxLength": 255},
            },
        },
    }


def parameters(language: str) -> dict[str, Any]:
    """Query and path parameters."""

    def of(name: str, schema: dict[str, Any], vi: str, en: str) -> dict[str, Any]:
        return query(name, schema, vi, en, language)

    box = {"type": "array", "minItems": 4, "maxItems": 6, "items": {"type": "number"}}
    return {
        "itemTime": of("datetime", _TIME, "Như tại thời điểm này", "As it was at this time"),
        "diffFrom": of(
            "from", _TIME, "Từ thời điểm (một ngày trước)", "Since when (default: a day before to)"
        ),
        "diffTo": of("to", _TIME, "Đến thời điểm (bây giờ)", "Until when (default: now)"),
        "diffBox": {**of("bbox", box, "Khung bao", "Box"), "style": "form", "explode": False},
        "diffBoxCrs": of("bbox-crs", _TEXT, "Hệ toạ độ khung", "CRS of bbox"),
        "diffLimit": of(
            "limit",
            {**_NUMBER, "maximum": changes.MAX_LIMIT, "default": changes.DEFAULT_LIMIT},
            "Số đối tượng mỗi trang",
            "Features of a page",
        ),
        "diffAfter": of("after", {"type": "integer"}, "Sau đối tượng này", "After this feature"),
        "versionsLimit": of(
            "limit",
            {**_NUMBER, "maximum": versions.MAX_LIMIT, "default": versions.DEFAULT_LIMIT},
            "Số phiên bản mỗi trang",
            "Versions of a page",
        ),
        "versionsBefore": of("before", {"type": "integer"}, "Trước phiên bản này", "Below this version"),
        "versionNumber": {"name": "version", "in": "path", "required": True, "schema": _NUMBER},
    }


def paths() -> dict[str, Any]:
    """Path items."""
    shown = [ref("parameters", name) for name in ("crs", "properties", "skipGeometry")]
    plain = [ref("parameters", "jsonFormat"), ref("parameters", "language")]
    item = [ref("parameters", "collectionId"), ref("parameters", "featureId")]
    listing = [ref("parameters", "versionsLimit"), ref("parameters", "versionsBefore")]
    differing = [ref("parameters", f"diff{n}") for n in ("From", "To", "Box", "BoxCrs", "Limit", "After")]
    return {
        f"{_ITEM}/history": {
            "get": _get(
                "history",
                "Versions of a feature, gone or not",
                [*item, *listing, *shown, *plain],
                {_GEOJSON: {"schema": schema_ref("featureVersions")}},
            )
        },
        f"{_ITEM}/history/{{version}}": {
            "get": _get(
                "history.version",
                "A version of a feature",
                [*item, ref("parameters", "versionNumber"), *shown, *plain],
                {_GEOJSON: {"schema": schema_ref("featureVersion")}},
            )
        },
        "/collections/{collectionId}/changes": {
            "get": _get(
                "differences",
                "What is different at one time from what it was at another",
                [ref("parameters", "collectionId"), *differing, *shown, *plain],
                {_JSON: {"schema": schema_ref("differences")}},
            )
        },
        "/changesets/{changesetId}/undo": {"post": _undo(plain)},
    }


def _get(operation: str, summary: str, given: list[Any], content: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": operation,
        "summary": summary,
        "tags": ["features"],
        "parameters": given,
        "responses": {
            "200": answer("OK", content),
            "304": {"description": "Not modified"},
            **{code: ref("responses", code) for code in ("400", "404", "503")},
            "default": ref("responses", "default"),
        },
    }


def _undo(plain: list[Any]) -> dict[str, Any]:
    made = {_JSON: {"schema": schema_ref("madeChangeset")}}
    codes = ("400", "401", "403", "404", "409", "413", "415", "422", "503")
    return {
        "operationId": "changesets.undo",
        "summary": "Put back what was before a changeset, unless later changes stand in the way (409)",
        "tags": ["editing"],
        "security": [{"basic": []}, {"bearer": []}],
        "parameters": [
            *(ref("parameters", n) for n in ("changesetId", "dryRun", "idempotencyKey", "prefer")),
            *plain,
        ],
        "requestBody": {"required": False, "content": {_JSON: {"schema": schema_ref("undoing")}}},
        "responses": {
            "200": answer("A dry run: what would be", made),
            "201": answer("Undone by a new changeset", made),
            **{code: ref("responses", code) for code in codes},
            "default": ref("responses", "default"),
        },
    }
