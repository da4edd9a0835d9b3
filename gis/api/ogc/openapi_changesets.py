"""Changesets and operations in the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from gis.api.ogc.openapi_parts import answer, query, ref, schema_ref
from gis.api.write.changeset_body import MOST, MOST_TEXT, PLACEHOLDER
from gis.api.write.changesets import DEFAULT_LIMIT, MAX_LIMIT
from gis.edit.operations.registry import OPERATIONS

_TEXT: Final = {"type": "string"}
_LAYER: Final = {"type": "string", "description": "Id of a collection"}
_FID: Final = {"type": "integer", "minimum": 0}
_VERSION: Final = {"type": "integer", "minimum": 1, "description": "The version that the change is based on"}
_LINKS: Final = {"type": "array", "items": schema_ref("link")}
_LOGIN: Final[list[dict[str, list[str]]]] = [{"basic": []}, {"bearer": []}]
_CODES: Final = ("400", "401", "403", "404", "409", "413", "415", "422", "503")


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}


def _op(name: str) -> dict[str, Any]:
    return {"type": "string", "enum": [name]}


def schemas() -> dict[str, Any]:
    """Documents of changesets, and what operations take."""
    text = {"type": "string", "maxLength": MOST_TEXT}
    strict = {"additionalProperties": False}
    create = _object(
        ["op", "layer", "feature"],
        op=_op("create"),
        layer=_LAYER,
        id={"type": "string", "pattern": "^" + PLACEHOLDER.pattern.replace(r"\Z", "$")},
        feature=schema_ref("wholeFeature"),
    )
    update = _object(
        ["op", "layer", "fid", "version"],
        op=_op("update"),
        layer=_LAYER,
        fid=_FID,
        version=_VERSION,
        properties={"type": "object", "description": "Merge patch: null unsets"},
        geometry=schema_ref("geometry"),
    )
    delete = _object(
        ["op", "layer", "fid", "version"], op=_op("delete"), layer=_LAYER, fid=_FID, version=_VERSION
    )
    made = _object(
        ["features", "findings"],
        id={"type": "integer", "nullable": True, "description": "null: a dry run"},
        at={"type": "string", "format": "date-time", "nullable": True},
        kind=_TEXT,
        comment={**_TEXT, "nullable": True},
        source={**_TEXT, "nullable": True},
        features={"type": "array", "items": {"type": "object"}},
        placeholders={"type": "object"},
        findings={"type": "array", "items": {"type": "object"}},
    )
    told = _object(
        ["id", "at", "layers"],
        id={"type": "integer"},
        at={"type": "string", "format": "date-time"},
        author={**_TEXT, "nullable": True},
        agency={**_TEXT, "nullable": True},
        kind=_TEXT,
        comment={**_TEXT, "nullable": True},
        source={**_TEXT, "nullable": True},
        undoes={"type": "integer"},
        layers={"type": "object"},
        features={"type": "array", "items": {"type": "object"}},
        links=_LINKS,
    )
    return {
        "newChangeset": {
            **_object(
                ["changes"],
                comment=text,
                source=text,
                key={"type": "string", "minLength": 1, "maxLength": 255},
                changes={
                    "type": "array",
                    "minItems": 1,
                    "maxItems": MOST,
                    "items": {"oneOf": [{**one, **strict} for one in (create, update, delete)]},
                },
            ),
            **strict,
        },
        "madeChangeset": made,
        "changeset": told,
        "changesets": _object(
            ["changesets", "links"],
            changesets={"type": "array", "items": schema_ref("changeset")},
            numberReturned={"type": "integer"},
            links=_LINKS,
        ),
        "operations": _object(
            ["operations", "links"],
            operations={"type": "array", "items": {"type": "object"}},
            links=_LINKS,
        ),
        **{f"operation.{one.name}": dict(one.schema) for one in OPERATIONS.values()},
    }


def parameters(language: str) -> dict[str, Any]:
    """Query and path parameters."""

    def of(name: str, schema: dict[str, Any], vi: str, en: str) -> dict[str, Any]:
        return query(name, schema, vi, en, language)

    box = {"type": "array", "minItems": 4, "maxItems": 6, "items": {"type": "number"}}
    number = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
    return {
        "dryRun": of(
            "dry-run", {"type": "boolean", "default": False}, "Chỉ thử, không lưu", "Try it; store nothing"
        ),
        "changesetAuthor": of("author", _TEXT, "Người sửa", "Who made it"),
        "changesetAgency": of("agency", _TEXT, "Đơn vị", "Of which agency"),
        "changesetLayer": of(
            "layer", _TEXT, "Các lớp, cách nhau bằng dấu phẩy", "Collections, comma-separated"
        ),
        "changesetBox": {
            **of("bbox", box, "Khung bao", "Box in which something changed"),
            "style": "form",
            "explode": False,
        },
        "changesetBoxCrs": of(
            "bbox-crs", {"type": "string", "format": "uri"}, "Hệ toạ độ khung", "CRS of bbox"
        ),
        "changesetTime": of("datetime", _TEXT, "Thời điểm hoặc khoảng thời gian", "Instant or interval"),
        "changesetLimit": of("limit", number, "Số bộ sửa đổi mỗi trang", "Changesets of a page"),
        "changesetBefore": of("before", {"type": "integer"}, "Trước bộ này", "Below this id"),
        "changesetAfter": of("after", _TEXT, "Tiếp từ đối tượng này", "Go on after this feature"),
        "changesetId": {
            "name": "changesetId",
            "in": "path",
            "required": True,
            "schema": {"type": "integer", "minimum": 1},
        },
    }


def paths() -> dict[str, Any]:
    """Path items."""
    plain = [ref("parameters", "jsonFormat"), ref("parameters", "language")]
    listing = [
        ref("parameters", f"changeset{name}")
        for name in ("Author", "Agency", "Layer", "Box", "BoxCrs", "Time", "Limit", "Before")
    ]
    one = [ref("parameters", "changesetId"), ref("parameters", "changesetAfter"), *plain]
    return {
        "/changesets": {
            "get": _get(
                "changesets", "Changesets, the newest first", [*listing, *plain], "changesets", "400", "503"
            ),
            "post": _post(
                "changesets.create", "Make many changes, all of them or none", "newChangeset", plain
            ),
        },
        "/changesets/{changesetId}": {
            "get": _get("changeset", "A changeset", one, "changeset", "400", "404", "503")
        },
        "/operations": {"get": _get("operations", "Edits that belong together", plain, "operations", "400")},
        **{
            f"/operations/{operation.name}": {
                "post": _post(
                    f"operations.{operation.name}",
                    operation.title.en,
                    f"operation.{operation.name}",
                    plain,
                    operation.description.en,
                )
            }
            for operation in OPERATIONS.values()
        },
    }


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": schema_ref(schema)}}


def _get(operation: str, summary: str, given: list[Any], schema: str, *codes: str) -> dict[str, Any]:
    return {
        "operationId": operation,
        "summary": summary,
        "tags": ["editing"],
        "parameters": given,
        "responses": {
            "200": answer("OK", _json(schema)),
            "304": {"description": "Not modified"},
            **{code: ref("responses", code) for code in codes},
            "default": ref("responses", "default"),
        },
    }


def _post(
    operation: str, summary: str, schema: str, plain: list[Any], description: str = ""
) -> dict[str, Any]:
    headers = ("contentCrs", "idempotencyKey", "prefer")
    made: dict[str, Any] = {
        "operationId": operation,
        "summary": summary,
        "tags": ["editing"],
        "security": _LOGIN,
        "parameters": [
            ref("parameters", "dryRun"),
            *(ref("parameters", name) for name in headers),
            *plain,
        ],
        "requestBody": {"required": True, "content": _json(schema)},
        "responses": {
            "200": answer("A dry run: what would be", _json("madeChangeset")),
            "201": {
                **answer("Made", _json("madeChangeset")),
                "headers": {name: {"schema": _TEXT} for name in ("Location", "Bandoso-Changeset")},
            },
            **{code: ref("responses", code) for code in _CODES},
            "default": ref("responses", "default"),
        },
    }
    return {**made, "description": description} if description else made
