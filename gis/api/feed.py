"""GET /changes: what changed since a changeset, for those who mirror the data; as JSON or as events."""

from __future__ import annotations

import re
from typing import Any, Final, cast

import orjson
from psycopg import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gis import crs
from gis.api.features.params import read_bbox, read_crs
from gis.api.features.values import integer_value, wrong
from gis.api.feed_read import JSON, Detail, Wanted, documents, one_document
from gis.api.feed_stream import EVENTS, Listeners, Stream
from gis.api.negotiate import COMMON, choose_format, choose_language, etag_of, has_current, known_parameters
from gis.api.ogc.links import link
from gis.api.problems import Refusal
from gis.api.state import state_of
from gis.errors import NotFoundError, UsageError
from gis.publish import feed
from gis.publish.follow import Follower
from layers.registry import Layer

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1000

_FORMATS: Final = {"json": (JSON,), "events": (EVENTS,)}
_SHAPE: Final = (*COMMON, "layer", "bbox", "bbox-crs", "crs", "features")
_PLACE = re.compile(r"([a-z][a-z0-9_]{0,47})\.([0-9]{1,18})\Z")


async def get_changes(request: Request) -> Response:
    """GET /changes: changesets after ``since``, in order of id; as events, if these are accepted."""
    if choose_format(request, _FORMATS) == "events":
        request.scope["route"] = STREAM  # figures of requests that last for hours stay apart
        return await get_stream(request)
    given = known_parameters(request, (*_SHAPE, "since", "limit"))
    wanted = _wanted(request, given)
    since = _since(given)
    most = _limit(given)
    # Before anything is read: what is read in an earlier snapshot may lack some (gis.publish.feed).
    async with wanted.state.readers.connection() as connection:
        await _demand_known(connection, since)
        upto = await feed.horizon(connection)
    found = await documents(wanted, min(since, upto), upto, most)
    links = [
        link(
            f"{wanted.base}/changes?{request.url.query}".rstrip("?"),
            "self",
            JSON,
            "self-json",
            wanted.language,
        )
    ]
    if found.more:
        # ``limit`` goes on with the request
        further = wanted.address("/changes", **_kept(given, "limit"), since=str(found.reached))
        links.append(link(further, "next", JSON, "next", wanted.language))
    later = wanted.address("/changes/stream", since=str(found.reached))
    links.append(link(later, "alternate", EVENTS, "changes-stream", wanted.language))
    return _answer(
        request,
        wanted,
        {
            "changesets": found.changesets,
            "numberReturned": len(found.changesets),
            # what to ask with next time, whether or not there was something to tell
            "lastChangeset": found.reached,
            "links": links,
        },
    )


async def get_changeset(request: Request) -> Response:
    """GET /changes/{id}: one of them; ``after`` goes on in the features of a large one."""
    choose_format(request, {"json": (JSON,)})
    given = known_parameters(request, (*_SHAPE, "after"))
    wanted = _wanted(request, given)
    changeset = int(request.path_params["changeset"])
    after = ("", 0)
    if "after" in given:
        match = _PLACE.match(given["after"])
        if match is None:
            raise wrong("after", "after is not a place in a changeset", "follow the next links")
        after = (match[1], int(match[2]))
    async with wanted.state.readers.connection() as connection:
        upto = await feed.horizon(connection)
    found = await one_document(wanted, changeset, after) if 0 < changeset <= upto else None
    if found is None:
        raise NotFoundError("there is no such changeset", hint="see /changes for the list")
    return _answer(request, wanted, found)


async def get_stream(request: Request) -> Response:
    """GET /changes/stream: each changeset as an event; Last-Event-ID (or ``since``) says where to begin."""
    given = known_parameters(request, (*_SHAPE, "since"))
    wanted = _wanted(request, given)
    last = request.headers.get("last-event-id")
    since = integer_value(last, "Last-Event-ID") if last else _since(given) if "since" in given else None
    if since:
        async with wanted.state.readers.connection() as connection:
            await _demand_known(connection, since)
    listeners: Listeners = request.app.state.listeners
    client = str(request.scope["state"].get("client", ""))
    return Stream(listeners, follower_of(request), request.app.state.bandoso, wanted, since, client)


async def _demand_known(connection: AsyncConnection[Any], since: int) -> None:
    """Raises Refusal (410): what came after ``since`` is not whole any more, and a mirror would keep what is
    gone. From nothing (0) it is: what stands is never forgotten."""
    if since and since < await feed.forgotten_upto(connection):
        raise Refusal(
            410,
            "changes-forgotten",
            f"what changesets soon after {since} did was purged",
            hint="empty your copy, and follow from since=0",
        )


def follower_of(request: Request) -> Follower:
    """What tells this process of new changesets."""
    return cast(Follower, request.app.state.follower)


def _answer(request: Request, wanted: Wanted, body: dict[str, Any]) -> Response:
    raw = orjson.dumps(body)
    headers = {
        "ETag": etag_of(raw),
        "Cache-Control": "no-cache" if wanted.state.principal is None else "private, no-cache",
        "Vary": "Accept, Accept-Language, Authorization",
    }
    if has_current(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(raw, headers=headers, media_type=JSON)


def _wanted(request: Request, given: dict[str, str]) -> Wanted:
    state = state_of(request)
    detail = given.get("features", "ids")
    if detail not in ("ids", "full", "none"):
        raise wrong("features", "features must be ids, full or none")
    box = read_bbox(given, state.city)
    near = crs.transform_box(box.box, box.crs.code, state.city.crs.storage) if box else None
    return Wanted(
        state=state,
        layers=_layers(request, given),
        detail=cast(Detail, detail),
        crs=read_crs(given, state.city),
        near=near,
        base=state.base_url(request),
        language=choose_language(request, state.city.languages),
        given=tuple((name, given[name]) for name in (*_SHAPE,) if name in given and name != "f"),
    )


def _layers(request: Request, given: dict[str, str]) -> tuple[Layer, ...]:
    state = state_of(request)
    if "layer" not in given:
        return state.catalogue.public()
    ids = dict.fromkeys(given["layer"].split(","))
    if not all(ids):
        raise UsageError(
            "layer is a list of collection ids with commas between them",
            errors=[{"parameter": "layer", "detail": "an empty id"}],
        )
    return tuple(state.layer(one) for one in ids)


def _since(given: dict[str, str]) -> int:
    since = integer_value(given.get("since", "0"), "since")
    if since < 0:
        raise wrong("since", "since must be 0 or the id of a changeset")
    return since


def _limit(given: dict[str, str]) -> int:
    limit = integer_value(given["limit"], "limit") if "limit" in given else DEFAULT_LIMIT
    if limit < 1:
        raise wrong("limit", "limit must be at least 1")
    return min(limit, MAX_LIMIT)


def _kept(given: dict[str, str], name: str) -> dict[str, str]:
    return {name: given[name]} if name in given else {}


STREAM = Route("/changes/stream", get_stream, methods=["GET"])

ROUTES = [
    Route("/changes", get_changes, methods=["GET"]),
    STREAM,
    Route("/changes/{changeset:int}", get_changeset, methods=["GET"]),
]
