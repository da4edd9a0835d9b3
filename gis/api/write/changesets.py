"""/changesets: many creates, updates and deletes of several layers, all of them or none; and what was made.

The list and a changeset show what the caller may see of it, as the change feed does (gis.api.feed).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

import orjson
import shapely
from psycopg.types.numeric import Int4, Int8
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gis import crs
from gis.api import feed_read
from gis.api.features.params import read_bbox
from gis.api.features.values import INT8_MAX, integer_value, text_value, wrong
from gis.api.negotiate import choose_language, etag_of, has_current, known_parameters
from gis.api.ogc.links import link
from gis.api.state import State, state_of
from gis.api.write.changeset_body import changeset_of
from gis.api.write.making import Making
from gis.edit.idempotency import Keeper
from gis.errors import NotFoundError, UsageError

JSON: Final = "application/json"
DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 200
#: Changesets that one request looks at: those that the caller may see lie between others.
SCAN: Final = 2_000

_LIST: Final = (
    "f",
    "lang",
    "author",
    "agency",
    "layer",
    "bbox",
    "bbox-crs",
    "datetime",
    "limit",
    "before",
)


async def changesets(request: Request) -> Response:
    """POST: make one. GET: the list, the newest first."""
    state = state_of(request)
    if request.method == "POST":
        making = await Making.of(request, state)
        return await making.made(_made)
    return await _listed(request, state)


def _made(making: Making, document: Any, keeper: Keeper | None) -> dict[str, Any]:
    changeset = changeset_of(document, making.ref, making.state, making.principal, lenient=making.lenient)
    return making.store(changeset, keeper)


async def changeset(request: Request) -> Response:
    """GET of one: what it changed; ``after`` goes on in the features of a large one."""
    state = state_of(request)
    given = known_parameters(request, ("f", "lang", "after"))
    _only_json(given)
    number = int(request.path_params["changeset"])
    after = ("", 0)
    if "after" in given:
        layer, _, fid = given["after"].partition(".")
        if not layer.isascii() or not fid.isdecimal() or len(fid) > 18:
            raise wrong("after", "after is not a place in a changeset", "follow the next links")
        after = (layer[:60], int(fid))
    wanted = _wanted(request, state)
    found = None
    if 0 < number <= INT8_MAX:
        found = await feed_read.one_document(wanted, number, after)
    if found is None:
        raise NotFoundError("there is no such changeset", hint="see /changesets for the list")
    here = f"{wanted.base}/changesets/{number}"
    links = [link(here, "self", JSON, "self-json", wanted.language)]
    links += [
        {**one, "href": one["href"].replace("/changes/", "/changesets/", 1)} for one in found.pop("links", [])
    ]
    return _answer(request, state, {**found, "links": links})


def _wanted(request: Request, state: State) -> feed_read.Wanted:
    return feed_read.Wanted(
        state=state,
        layers=state.catalogue.public(),
        detail="ids",
        crs=crs.CRS84,
        near=None,
        base=state.base_url(request),
        language=choose_language(request, state.city.languages),
    )


async def _listed(request: Request, state: State) -> Response:
    given = known_parameters(request, _LIST)
    _only_json(given)
    for name in ("author", "agency"):
        if name in given:
            text_value(given[name], name)
    limit = integer_value(given.get("limit", str(DEFAULT_LIMIT)), "limit")
    if limit < 1:
        raise wrong("limit", "limit must be at least 1")
    limit = min(limit, MAX_LIMIT)
    below = integer_value(given["before"], "before") if "before" in given else None
    since, until = _times(given.get("datetime"))
    layers = state.catalogue.public()
    if "layer" in given:
        layers = tuple(state.layer(one) for one in dict.fromkeys(given["layer"].split(",")))
    box = read_bbox(given, state.city)
    near = crs.transform_box(box.box, box.crs.code, state.city.crs.storage) if box else None
    wanted = _wanted(request, state)
    async with state.pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT reached, entries FROM bandoso.changesets_seen("
            "%s, %s, %s, %s::text[], %s::geometry, %s, %s, %s, %s)",
            [
                None if below is None else Int8(below),
                Int4(limit),
                Int4(SCAN),
                [layer.id for layer in layers],
                None if near is None else shapely.to_wkb(near),
                given.get("author"),
                given.get("agency"),
                since,
                until,
            ],
        )
        row = await cursor.fetchone()
    assert row is not None
    reached, entries = row
    base = f"{wanted.base}/changesets"
    query = f"?{request.url.query}" if request.url.query else ""
    links = [link(f"{base}{query}", "self", JSON, "self-json", wanted.language)]
    if reached > 0:
        further = urlencode({**given, "before": str(reached)})
        links.append(link(f"{base}?{further}", "next", JSON, "next", wanted.language))
    found = [feed_read.told_changeset(wanted, entry) for entry in entries]
    for one in found:
        one["links"] = [link(f"{base}/{one['id']}", "item", JSON, "self-json", wanted.language)]
    return _answer(request, state, {"changesets": found, "numberReturned": len(found), "links": links})


def _only_json(given: dict[str, str]) -> None:
    if given.get("f", "json") != "json":
        raise UsageError(
            "the answer is JSON", errors=[{"parameter": "f", "detail": "the only format is json"}]
        )


def _times(text: str | None) -> tuple[datetime | None, datetime | None]:
    """Start and end of ``datetime``: an instant, or an interval that may be open (..)."""
    if text is None:
        return None, None
    ends = text.split("/")
    if len(ends) > 2:
        raise wrong("datetime", "datetime is an instant or an interval of two")
    found = [_instant(one, open_end=len(ends) == 2) for one in ends]
    start, end = found[0], found[-1]
    if start is not None and end is not None and start > end:
        raise wrong("datetime", "the interval ends before it begins")
    return start, end


def _instant(text: str, *, open_end: bool) -> datetime | None:
    if open_end and text in ("", ".."):
        return None
    try:
        made = datetime.fromisoformat(text.upper().replace(" ", "+"))
    except ValueError:
        raise wrong("datetime", "datetime must be like 2026-05-31T08:30:00Z") from None
    if made.tzinfo is None:
        raise wrong("datetime", "datetime must say its zone, as in 2026-05-31T08:30:00Z")
    return made


def _answer(request: Request, state: State, body: dict[str, Any]) -> Response:
    raw = orjson.dumps(body)
    told = {
        "ETag": etag_of(raw),
        "Cache-Control": "no-cache" if state.principal is None else "private, no-cache",
        "Vary": "Accept-Language, Authorization",
    }
    if has_current(request, told["ETag"]):
        return Response(status_code=304, headers=told)
    return Response(raw, headers=told, media_type=JSON)


ROUTES = [
    Route("/changesets", changesets, methods=["GET", "POST"]),
    Route("/changesets/{changeset:int}", changeset, methods=["GET"]),
]
