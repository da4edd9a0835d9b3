"""Work on findings, in the OpenAPI document: counts, explanations, acceptance."""

from __future__ import annotations

from typing import Any, Final

from gis.api.findings.accepting import MOST
from gis.api.findings.summary import BY
from gis.api.ogc.openapi_parts import answer, query, ref, schema_ref
from gis.checks.accept import MOST_REASON

_TEXT: Final = {"type": "string"}
_JSON: Final = "application/json"
_BOTH: Final = {"type": "object", "properties": {"vi": _TEXT, "en": _TEXT}}
_FREE: Final = {"type": "object", "additionalProperties": True}


def schemas() -> dict[str, Any]:
    """Documents."""
    count = {
        "type": "object",
        "required": ["value", "count"],
        "properties": {"value": {**_TEXT, "nullable": True}, "count": {"type": "integer"}},
    }
    ids = {
        "type": "array",
        "minItems": 1,
        "maxItems": MOST,
        "items": {**_TEXT, "minLength": 1, "maxLength": 200},
    }
    reason = {**_TEXT, "minLength": 1, "maxLength": MOST_REASON}
    return {
        "findingCounts": {
            "type": "object",
            "required": ["total", "by"],
            "properties": {
                "total": {"type": "integer"},
                "by": {
                    "type": "object",
                    "properties": {name: {"type": "array", "items": count} for name in BY},
                },
            },
        },
        "rule": {
            "type": "object",
            "required": ["id", "title", "explanation", "severity", "source", "parameters", "applied"],
            "properties": {
                "id": _TEXT,
                "title": _BOTH,
                "explanation": _BOTH,
                "severity": {**_TEXT, "enum": ["E", "W", "I"]},
                "unit": _TEXT,
                "source": _TEXT,
                "parameters": {"type": "array", "items": _FREE},
                "applied": {"type": "array", "items": _FREE},
            },
        },
        "rules": {
            "type": "object",
            "required": ["rules"],
            "properties": {"rules": {"type": "array", "items": schema_ref("rule")}},
        },
        "accepting": {
            "type": "object",
            "required": ["ids", "reason"],
            "additionalProperties": False,
            "properties": {
                "ids": ids,
                "reason": reason,
                "until": {**_TEXT, "format": "date", "nullable": True},
            },
        },
        "reopening": {
            "type": "object",
            "required": ["ids"],
            "additionalProperties": False,
            "properties": {"ids": ids},
        },
        "findingsSaid": {
            "type": "object",
            "required": ["ids", "changed"],
            "properties": {"ids": {"type": "array", "items": _TEXT}, "changed": {"type": "integer"}},
        },
    }


def parameters(language: str) -> dict[str, Any]:
    """Query and path parameters."""
    box = {"type": "array", "minItems": 4, "maxItems": 4, "items": {"type": "number"}}
    return {
        "countedBox": {
            **query("bbox", box, "Khung bao", "Box", language),
            "style": "form",
            "explode": False,
        },
        "countedFilter": query("filter", _TEXT, "Điều kiện (CQL2)", "Condition (CQL2)", language),
        "ruleId": {"name": "rule", "in": "path", "required": True, "schema": {**_TEXT, "maxLength": 20}},
    }


def paths() -> dict[str, Any]:
    """Path items."""
    plain = [ref("parameters", "jsonFormat"), ref("parameters", "language")]
    pages = [ref("parameters", "documentFormat"), ref("parameters", "language")]
    counted = [ref("parameters", "countedBox"), ref("parameters", "countedFilter")]
    return {
        "/findings/summary": {
            "get": _get(
                "findings.summary", "Findings counted by what they are", [*counted, *plain], "findingCounts"
            )
        },
        "/rules": {"get": _get("rules", "What the checks look for", pages, "rules")},
        "/rules/{rule}": {
            "get": _get("rules.one", "What a rule looks for", [ref("parameters", "ruleId"), *pages], "rule")
        },
        "/findings/accept": {
            "post": _post("findings.accept", "Accept findings with a reason (stewards)", plain, "accepting")
        },
        "/findings/reopen": {
            "post": _post("findings.reopen", "Take acceptances back (stewards)", plain, "reopening")
        },
    }


def _get(operation: str, summary: str, given: list[Any], schema: str) -> dict[str, Any]:
    return {
        "operationId": operation,
        "summary": summary,
        "tags": ["checks"],
        "parameters": given,
        "responses": {
            "200": answer("OK", {_JSON: {"schema": schema_ref(schema)}}),
            "304": {"description": "Not modified"},
            **{code: ref("responses", code) for code in ("400", "404", "503")},
            "default": ref("responses", "default"),
        },
    }


def _post(operation: str, summary: str, given: list[Any], schema: str) -> dict[str, Any]:
    codes = ("400", "401", "403", "404", "413", "415", "503")
    return {
        "operationId": operation,
        "summary": summary,
        "tags": ["checks"],
        "security": [{"basic": []}, {"bearer": []}],
        "parameters": given,
        "requestBody": {"required": True, "content": {_JSON: {"schema": schema_ref(schema)}}},
        "responses": {
            "200": answer("Said", {_JSON: {"schema": schema_ref("findingsSaid")}}),
            **{code: ref("responses", code) for code in codes},
            "default": ref("responses", "default"),
        },
    }
