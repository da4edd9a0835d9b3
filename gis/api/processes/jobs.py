"""Jobs: their status, the list of them, results, dismissal.

Who knows the id of a job that anyone asked for may look at it and dismiss it. A steward's job is his and
the city's stewards'; it is absent for everybody else, because its result may tell of restricted layers, and
ids end up in logs.
"""

from __future__ import annotations

import asyncio
import math
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gis.api.compress import accepts_gzip
from gis.api.features.values import interval_value
from gis.api.headers import DOCUMENT_CSP
from gis.api.negotiate import choose_format, choose_language, known_parameters
from gis.api.ogc.links import link
from gis.api.problems import Refusal, problem
from gis.api.processes import store
from gis.api.processes.asker import asker_of
from gis.api.processes.description import JSON, REL
from gis.api.processes.inputs import INVALID
from gis.api.processes.store import Job
from gis.api.state import State, state_of

_TYPE = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0"
STATUSES = ("accepted", "running", "successful", "failed", "dismissed")
LIMIT, MOST = 10, 1000
#: Bytes that are unpacked at a time.
PIECE = 512 * 1024
_NO_STORE = {"Cache-Control": "no-store"}
_FORMATS = {"json": (JSON,), "html": ("text/html",)}


def no_such_process() -> Refusal:
    """404 with the type that the standard names."""
    return Refusal(
        404,
        "no-such-process",
        "there is no such process",
        hint="see /processes for the list",
        kind=f"{_TYPE}/no-such-process",
    )


def no_such_job() -> Refusal:
    """404 with the type that the standard names."""
    return Refusal(
        404,
        "no-such-job",
        "there is no such job, or it is not for you",
        hint="finished jobs are removed after a time; a steward's job needs his login",
        kind=f"{_TYPE}/no-such-job",
    )


async def one(request: Request) -> Response:
    """GET and DELETE of /jobs/{id}."""
    known_parameters(request, ("f", "lang"))
    state, language, job = await _asked(request)
    if request.method == "DELETE":
        return await _dismiss(request, state, job, language)
    base = state.base_url(request)
    if choose_format(request, _FORMATS) == "html":
        return await _html(
            state, "job.html", status_info(job, base, language), f"/jobs/{job.id}", base, language
        )
    return status_response(job, base, language)


async def _dismiss(request: Request, state: State, job: Job, language: str) -> Response:
    found = await store.dismiss(state.readers, job.id)
    if found is None:
        raise no_such_job()
    return status_response(found, state.base_url(request), language)


async def results(request: Request) -> Response:
    """GET /jobs/{id}/results."""
    known_parameters(request, ("f", "lang"))
    if request.query_params.get("f", "json") != "json":
        raise Refusal(
            400,
            "invalid-parameter",
            "results are given in the format that the job was asked for",
            errors=[{"parameter": "f", "detail": "json"}],
            kind=INVALID,
        )
    state, language, job = await _asked(request)
    return await results_of(request, state, job, language)


async def listed(request: Request) -> Response:
    """GET /jobs: everything for stewards of the city, for those of an agency what they asked for themselves.

    Nothing for others, who know their jobs by id.
    """
    names = ("limit", "offset", "type", "processID", "status", "datetime", "minDuration", "maxDuration")
    given = known_parameters(request, ("f", "lang", *names))
    state = state_of(request)
    language = choose_language(request, state.city.languages)
    asker = asker_of(request)
    steward = asker.of_city or (asker.principal is not None and asker.principal.allows("read"))
    limit = min(_number(given, "limit", LIMIT, 1), MOST)
    offset = _number(given, "offset", 0, 0)
    statuses = _several(given, "status", STATUSES)
    kinds = _several(given, "type", ("process",))
    processes = given["processID"].split(",")[:100] if "processID" in given else None
    made = interval_value(given["datetime"]) if "datetime" in given else (None, None)
    seconds = _duration(given, "minDuration"), _duration(given, "maxDuration")
    del kinds  # there is one
    found: list[Job] = []
    if steward:
        found = await store.find(
            state.readers,
            by=None if asker.of_city else asker.account,
            processes=processes,
            statuses=statuses,
            made=made,
            seconds=seconds,
            limit=limit + 1,
            offset=offset,
        )
    base = state.base_url(request)
    kept = {name: value for name, value in given.items() if name not in ("offset", "limit")}
    document: dict[str, Any] = {
        "jobs": [status_info(job, base, language) for job in found[:limit]],
        "links": [
            link(f"{base}/jobs", "self", JSON, "self-json", language, **{**given, "f": "json"}),
            link(f"{base}/jobs", "alternate", "text/html", "self-html", language, **{**given, "f": "html"}),
            link(f"{base}/processes", f"{REL}/processes", JSON, "processes", language),
        ],
    }
    for rel, at, there in (
        ("prev", max(0, offset - limit), offset > 0),
        ("next", offset + limit, len(found) > limit),
    ):
        if there:
            page = {**kept, "limit": str(limit), "offset": str(at)}
            document["links"].append(link(f"{base}/jobs", rel, JSON, rel, language, **page))
    if choose_format(request, _FORMATS) == "html":
        document["steward"] = steward
        return await _html(state, "jobs.html", document, "/jobs", base, language)
    return Response(orjson.dumps(document), media_type=JSON, headers=_NO_STORE)


def status_info(job: Job, base: str, language: str) -> dict[str, Any]:
    """A job as the standard's statusInfo."""
    here = f"{base}/jobs/{job.id}"
    links = [
        link(here, "self", JSON, "job", language, f="json"),
        link(here, "alternate", "text/html", "self-html", language, f="html"),
        link(f"{base}/processes/{job.process}", "describedby", JSON, "process", language),
    ]
    if job.status == "successful":
        links.append(link(f"{here}/results", f"{REL}/results", job.result_type or JSON, "results", language))
    times = {
        "created": job.created,
        "started": job.started,
        "finished": job.finished,
        "updated": job.updated,
    }
    document = {
        "processID": job.process,
        "type": "process",
        "jobID": job.id,
        "status": job.status,
        "message": job.message.get(language) or job.message.get("en", ""),
        "progress": job.progress,
        **{name: _instant(moment) for name, moment in times.items() if moment is not None},
        "links": links,
    }
    if job.failure is not None:
        document["exception"] = {
            "type": INVALID if job.failure["status"] < 500 else f"urn:bandoso:problem:{job.failure['code']}",
            "status": job.failure["status"],
            "code": job.failure["code"],
            "detail": document["message"],
        }
    return document


def status_response(job: Job, base: str, language: str, status: int = 200) -> Response:
    """The status as JSON; never cached."""
    body = orjson.dumps(status_info(job, base, language))
    return Response(body, status, {**_NO_STORE, "Content-Language": language}, JSON)


async def results_of(
    request: Request, state: State, job: Job, language: str, *, forget: bool = False
) -> Response:
    """The result of a job, streamed part by part; a problem where there is none (yet).

    ``forget`` removes the job when the answer has ended, however it has.
    """
    if job.status == "failed" and job.failure is not None:
        if forget:
            await store.forget(state.readers, job.id)
        return _failure(job.failure, language)
    if job.status == "dismissed":
        raise Refusal(
            410, "dismissed", "the job was dismissed and has no result", kind=f"{_TYPE}/no-such-job"
        )
    if job.status != "successful":
        raise Refusal(
            404,
            "result-not-ready",
            "the job is not finished yet",
            hint="GET the job for its status and progress",
            headers={"Retry-After": "2"},
            kind=f"{_TYPE}/result-not-ready",
        )
    media_type = job.result_type or JSON
    headers = {**_NO_STORE, "Vary": "Accept-Encoding"}
    if job.request.get("response") == "document":
        head = b'{"report":{"mediaType":' + orjson.dumps(media_type) + b',"value":'
        body, media_type = _wrapped(head, _unpacked(state, job.id, forget), b"}}"), JSON
    elif accepts_gzip(request.headers):
        headers["Content-Encoding"] = "gzip"  # as it is kept
        body = _packed(state, job.id, forget)
    else:
        body = _unpacked(state, job.id, forget)
        headers["Content-Length"] = str(job.result_bytes)
    return StreamingResponse(body, headers=headers, media_type=media_type)


async def _packed(state: State, job: str, forget: bool) -> AsyncIterator[bytes]:
    number = 0
    try:
        while (part := await store.part(state.readers, job, number)) is not None:
            yield part
            number += 1
    finally:
        if forget:
            await asyncio.shield(store.forget(state.readers, job))


async def _unpacked(state: State, job: str, forget: bool) -> AsyncIterator[bytes]:
    unpacker = zlib.decompressobj(31)
    async for part in _packed(state, job, forget):
        waiting = part
        while waiting:
            piece = await asyncio.to_thread(unpacker.decompress, waiting, PIECE)
            waiting = unpacker.unconsumed_tail
            if piece:
                yield piece


async def _wrapped(head: bytes, body: AsyncIterator[bytes], tail: bytes) -> AsyncIterator[bytes]:
    yield head
    async for piece in body:
        yield piece
    yield tail


def _failure(failure: dict[str, Any], language: str) -> Response:
    words = failure["message"]
    return problem(
        failure["status"],
        failure["code"],
        words.get(language) or words["en"],
        hint=failure.get("hint"),
        kind=INVALID if failure["status"] < 500 else None,
    )


async def _asked(request: Request) -> tuple[State, str, Job]:
    """The job of the address, if the one who asks may know of it."""
    state = state_of(request)
    language = choose_language(request, state.city.languages)
    asker = asker_of(request)
    job_id: str = request.path_params["job"]
    well_formed = len(job_id) == 32 and set(job_id) <= set("0123456789abcdef")
    job = await store.get(state.readers, job_id) if well_formed else None
    mine = job is not None and asker.account is not None and job.request.get("by") == asker.account
    if job is None or (job.steward and not asker.of_city and not mine):
        raise no_such_job()
    return state, language, job


async def _html(
    state: State, template: str, document: dict[str, Any], path: str, base: str, language: str
) -> Response:
    from gis.api.ogc import html  # jinja2 costs a start 0.1 s

    page = await asyncio.to_thread(
        html.render, template, document, base=base, path=path, language=language, city=state.city
    )
    headers = {**_NO_STORE, "Content-Security-Policy": DOCUMENT_CSP, "Content-Language": language}
    return Response(page, media_type="text/html", headers=headers)


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _number(given: dict[str, str], name: str, default: int, least: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or int(text) < least:
        _wrong(name, f"{name} must be a whole number from {least}")
    return int(text)


def _duration(given: dict[str, str], name: str) -> float | None:
    text = given.get(name)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < 1e9:
        _wrong(name, f"{name} must be a number of seconds")
    return seconds


def _several(given: dict[str, str], name: str, known: tuple[str, ...]) -> list[str] | None:
    if name not in given:
        return None
    values = given[name].split(",")
    if not set(values) <= set(known):
        _wrong(name, f"{name} must be among {', '.join(known)}")
    return values


def _wrong(name: str, detail: str) -> None:
    raise Refusal(
        400, "invalid-parameter", detail, errors=[{"parameter": name, "detail": detail}], kind=INVALID
    )
