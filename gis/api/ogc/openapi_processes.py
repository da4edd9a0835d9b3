"""Processes and jobs in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from gis.api.ogc.openapi_parts import answer, query, ref, schema_ref

_TEXT = {"type": "string"}
_LINKS = {"type": "array", "items": schema_ref("link")}

SCHEMAS: dict[str, Any] = {
    "process": {
        "type": "object",
        "required": ["id", "version"],
        "properties": {
            "id": _TEXT,
            "version": _TEXT,
            "title": _TEXT,
            "description": _TEXT,
            "jobControlOptions": {"type": "array", "items": _TEXT},
            "outputTransmission": {"type": "array", "items": _TEXT},
            "inputs": {"type": "object"},
            "outputs": {"type": "object"},
            "links": _LINKS,
        },
    },
    "processes": {
        "type": "object",
        "required": ["processes", "links"],
        "properties": {"processes": {"type": "array", "items": schema_ref("process")}, "links": _LINKS},
    },
    "job": {
        "type": "object",
        "required": ["jobID", "type", "status"],
        "properties": {
            "jobID": _TEXT,
            "processID": _TEXT,
            "type": {"type": "string", "enum": ["process"]},
            "status": {
                "type": "string",
                "enum": ["accepted", "running", "successful", "failed", "dismissed"],
            },
            "message": _TEXT,
            "progress": {"type": "integer", "minimum": 0, "maximum": 100},
            **{
                name: {"type": "string", "format": "date-time"}
                for name in ("created", "started", "finished", "updated")
            },
            "links": _LINKS,
        },
    },
    "jobs": {
        "type": "object",
        "required": ["jobs", "links"],
        "properties": {"jobs": {"type": "array", "items": schema_ref("job")}, "links": _LINKS},
    },
    "execute": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "inputs": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "layers": {"type": "array", "items": _TEXT},
                    "rules": {"type": "array", "items": _TEXT},
                    "bbox": {
                        "type": "object",
                        "required": ["bbox"],
                        "properties": {
                            "bbox": {
                                "type": "array",
                                "minItems": 4,
                                "maxItems": 4,
                                "items": {"type": "number"},
                            },
                            "crs": _TEXT,
                        },
                    },
                    "bbox-crs": _TEXT,
                    "sheet": _TEXT,
                    "store": {"type": "boolean", "default": False},
                },
            },
            "outputs": {"type": "object"},
            "response": {"type": "string", "enum": ["raw", "document"], "default": "raw"},
        },
    },
    "report": {
        "type": "object",
        "properties": {
            "summary": {"type": "object"},
            "findings": {"type": "array", "items": {"type": "object"}},
        },
    },
}


def parameters(language: str) -> dict[str, Any]:
    """Components of /jobs and execution: component name -> parameter."""

    def of(name: str, schema: dict[str, Any], vi: str, en: str) -> dict[str, Any]:
        return query(name, schema, vi, en, language)

    number = {"type": "number", "minimum": 0}
    return {
        "jobLimit": of(
            "limit",
            {"type": "integer", "minimum": 1, "maximum": 1000, "default": 10},
            "Số lần chạy mỗi trang",
            "Jobs of a page",
        ),
        "jobOffset": of("offset", {"type": "integer", "minimum": 0}, "Bỏ qua", "Skipped"),
        "jobType": of("type", {"type": "string", "enum": ["process"]}, "Loại", "Kind"),
        "jobProcess": of("processID", _TEXT, "Tiến trình", "Process"),
        "jobStatus": of("status", _TEXT, "Tình trạng", "Status"),
        "jobTime": of("datetime", _TEXT, "Thời điểm tạo", "When it was made"),
        "jobLeast": of("minDuration", number, "Chạy ít nhất (giây)", "Took at least (s)"),
        "jobMost": of("maxDuration", number, "Chạy nhiều nhất (giây)", "Took at most (s)"),
        "jobId": {
            "name": "jobId",
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        },
        "prefer": {
            "name": "Prefer",
            "in": "header",
            "schema": _TEXT,
            "description": "respond-async, wait=10",
        },
        "idempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        },
    }


def paths() -> dict[str, Any]:
    """Path items."""
    f_lang = [ref("parameters", "documentFormat"), ref("parameters", "language")]
    job = [ref("parameters", "jobId")]
    plain = [ref("parameters", "jsonFormat"), ref("parameters", "language")]
    html = {"text/html": {"schema": _TEXT}}
    listing = [
        ref("parameters", f"job{name}")
        for name in ("Limit", "Offset", "Type", "Process", "Status", "Time", "Least", "Most")
    ]

    def json(schema: str) -> dict[str, Any]:
        return {"application/json": {"schema": schema_ref(schema)}}

    report = {**json("report"), "application/geo+json": {"schema": schema_ref("featureCollection")}}
    execution = _operation(
        "check.execute",
        "Check data",
        [*plain, ref("parameters", "prefer"), ref("parameters", "idempotencyKey")],
        {"200": answer("The report", report), "201": answer("A job was made", json("job"))},
        *("400", "401", "403", "404", "409", "415", "429", "503"),
    )
    execution["requestBody"] = {"required": True, "content": json("execute")}
    status = {"200": answer("OK", {**json("job"), **html})}
    return {
        "/processes": {
            "get": _operation(
                "processes", "Processes", f_lang, {"200": answer("OK", {**json("processes"), **html})}, "400"
            )
        },
        "/processes/check": {
            "get": _operation(
                "check",
                "The process check",
                f_lang,
                {"200": answer("OK", {**json("process"), **html})},
                "400",
            )
        },
        "/processes/check/execution": {"post": execution},
        "/jobs": {
            "get": _operation(
                "jobs",
                "Jobs (of stewards)",
                [*listing, *f_lang],
                {"200": answer("OK", {**json("jobs"), **html})},
                *("400", "401", "503"),
            )
        },
        "/jobs/{jobId}": {
            "get": _operation("job", "Status of a job", [*job, *f_lang], status, "400", "401", "404", "503"),
            "delete": _operation(
                "job.dismiss", "Dismiss a job", [*job, *f_lang], status, "400", "401", "404", "503"
            ),
        },
        "/jobs/{jobId}/results": {
            "get": _operation(
                "job.results",
                "Result of a job",
                [*job, *plain],
                {"200": answer("The report", report)},
                *("400", "401", "403", "404", "410", "503"),
            )
        },
    }


def _operation(
    operation: str, summary: str, parameters: list[Any], good: dict[str, Any], *codes: str
) -> dict[str, Any]:
    return {
        "operationId": operation,
        "summary": summary,
        "tags": ["processes"],
        "parameters": parameters,
        "responses": {
            **good,
            **{code: ref("responses", code) for code in codes},
            "default": ref("responses", "default"),
        },
    }
