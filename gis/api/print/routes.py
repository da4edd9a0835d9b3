"""GET and POST /print: a map on paper, at a true scale. GET /image: a map for a report."""

from __future__ import annotations

import asyncio
import tempfile
import unicodedata
from collections.abc import AsyncIterator, Mapping
from typing import Any, BinaryIO, Final, cast
from urllib.parse import quote

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from gis.api.features.leaving import while_connected
from gis.api.features.values import text_value
from gis.api.negotiate import choose_format, choose_language, has_current, known_parameters, page_etag
from gis.api.print.desk import Desk
from gis.api.print.filters import conditions_of, filters_of_address
from gis.api.problems import Refusal
from gis.api.raster.work import studio_of
from gis.api.state import State, state_of
from gis.errors import UsageError
from gis.print import UNIT
from gis.print.make import Site, make_picture, make_print
from gis.print.order import IMAGE, PRINT, SCALES, PrintWish, read_image, read_print, with_conditions, wrong
from gis.print.sheet import ORIENTATIONS, PAPERS, layout_of
from tiles.mosaic import Mosaic

PDF: Final = "application/pdf"
PNG: Final = "image/png"

#: Bytes of a print's order.
MOST_BODY: Final = 100_000
_PIECE: Final = 256 * 1024
#: Bytes of a file that are kept in memory; more are written to a temporary file.
_IN_MEMORY: Final = 4_000_000


async def get_print(request: Request) -> Response:
    """GET /print"""
    given = known_parameters(request, PRINT)
    choose_format(request, {"pdf": (PDF,)})
    return await _print(request, given, {})


async def post_print(request: Request) -> Response:
    """POST /print: the same as a JSON object, with a filter of each layer."""
    known_parameters(request, ())
    given, filters = await _order(request)
    return await _print(request, given, filters)


async def get_image(request: Request) -> Response:
    """GET /image"""
    state = state_of(request)
    given = known_parameters(request, IMAGE)
    for name, value in given.items():
        text_value(value, name)
    choose_format(request, {"png": (PNG,)})
    language = choose_language(request, state.city.languages)
    storage = state.city.crs.storage
    wish = read_image(given, state.catalogue, language, storage)
    filters = filters_of_address(given["filter"]) if "filter" in given else {}
    wish = with_conditions(wish, conditions_of(filters, wish.layers, storage, body=False))
    headers = _headers(language, PNG)
    if request.method == "HEAD":
        return Response(headers=headers)

    async def work() -> Response:
        desk = desk_of(request)
        async with desk.turn(_client(request)):
            with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
                await make_picture(wish, _site(request, state, desk), cast(BinaryIO, file))
                file.seek(0)
                from gis.print.raster import png_of

                loop = asyncio.get_running_loop()
                body = await loop.run_in_executor(desk.threads, png_of, file.read(), wish.width, wish.height)
        headers["ETag"] = page_etag(body)
        if has_current(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers)

    return await while_connected(request, work())


async def _print(request: Request, given: Mapping[str, str], filters: Mapping[str, Any]) -> Response:
    state = state_of(request)
    for name, value in given.items():
        text_value(value, name)
    language = _language(request, state, given)
    wish = read_print(given, state.catalogue, language)
    wish = with_conditions(wish, conditions_of(filters, wish.layers, state.city.crs.storage))
    headers = _headers(language, PDF)
    headers["Content-Disposition"] = _disposition(state, wish)
    if request.method == "HEAD":
        return Response(headers=headers)

    async def work() -> Response:
        desk = desk_of(request)
        file = cast(BinaryIO, tempfile.SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115 - _pieces closes it
        try:
            async with desk.turn(_client(request)):
                await make_print(wish, _site(request, state, desk), file)
            headers["Content-Length"] = str(file.tell())
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return StreamingResponse(_pieces(file), headers=headers)

    return await while_connected(request, work())


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece


def _site(request: Request, state: State, desk: Desk) -> Site:
    async def mosaics(again: bool) -> Mapping[str, Mosaic]:
        return (await studio_of(request).shelves(state, again=again)).mosaics

    return Site(state.city, lambda layer: state.reading(layer), desk.threads, state.city.today(), mosaics)


def _headers(language: str, media_type: str) -> dict[str, str]:
    return {
        "Content-Type": media_type,
        "Content-Language": language,
        "Cache-Control": "no-cache",
        "Vary": "Accept-Language",
    }


def _language(request: Request, state: State, given: Mapping[str, str]) -> str:
    """``lang``, of the address or of the body."""
    if "lang" in given and given["lang"] not in state.city.languages:
        raise wrong("lang", f"lang must be one of {', '.join(state.city.languages)}")
    return given.get("lang") or choose_language(request, state.city.languages)


def _disposition(state: State, wish: PrintWish) -> str:
    """A name for the file that every system takes: of the title without accents, and the title itself."""
    scale = f"1-{int(wish.scale)}"
    own = wish.title or state.city.id
    plain = "".join(
        c for c in unicodedata.normalize("NFD", own.replace("đ", "d").replace("Đ", "D")) if c.isascii()
    )
    safe = "-".join("".join(c if c.isalnum() else " " for c in plain).split())[:60] or state.city.id
    full = quote(f"{own} {scale}.pdf".replace("/", "-"), safe="")
    return f"attachment; filename=\"{safe}-{scale}.pdf\"; filename*=UTF-8''{full}"


def _client(request: Request) -> str:
    return str(request.scope["state"].get("client", ""))


def desk_of(request: Request) -> Desk:
    """The desk of this process."""
    return cast(Desk, request.app.state.prints)


async def _order(request: Request) -> tuple[dict[str, str], dict[str, Any]]:
    """Parameters and filters of a body. ``center`` and ``layers`` may be arrays, ``scale`` a number."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Refusal(
            415, "unsupported-media-type", "an order for a print is a JSON object (application/json)"
        )
    raw = b""
    async for piece in request.stream():
        raw += piece
        if len(raw) > MOST_BODY:
            raise Refusal(413, "body-too-large", f"an order for a print has at most {MOST_BODY} bytes")
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise UsageError("the body is not valid JSON", code="invalid-body") from None
    if not isinstance(body, dict):
        raise UsageError(
            "the body is a JSON object", code="invalid-body", hint='as {"center": [..], "scale": 1000}'
        )
    filters = body.pop("filter", None)
    if filters is None:
        filters = {}
    if not isinstance(filters, dict):
        raise wrong("filter", "filter is an object: layer id and CQL2")
    given: dict[str, str] = {}
    for name, value in body.items():
        if name not in PRINT:
            raise UsageError(
                "the order has a member that is not known",
                code="unknown-parameter",
                hint=f"known are: {', '.join(PRINT)}, filter",
                errors=[{"pointer": f"/{name[:100]}", "detail": "unknown member"}],
            )
        if value is not None:
            given[name] = _text(name, value)
    return given, filters


def _text(name: str, value: object) -> str:
    if isinstance(value, list) and all(isinstance(one, str | int | float) for one in value):
        return ",".join(map(str, value))
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    raise wrong(name, f"{name} is not what it has to be")


async def get_papers(request: Request) -> Response:
    """The papers, the size of the map on each (mm), and the scales: what a page needs to show the frame."""
    known_parameters(request, ())
    papers = [
        {
            "id": paper,
            "orientation": way,
            "map_mm": [layout.map.width / UNIT, layout.map.height / UNIT],
        }
        for paper in PAPERS
        for way in ORIENTATIONS
        for layout in (layout_of(paper, way),)
    ]
    return Response(
        orjson.dumps({"papers": papers, "scales": SCALES}),
        headers={"Content-Type": "application/json", "Cache-Control": "no-cache"},
    )


ROUTES = [
    Route("/print/papers", get_papers, methods=["GET", "HEAD"]),
    Route("/print", get_print, methods=["GET", "HEAD"]),
    Route("/print", post_print, methods=["POST"]),
    Route("/image", get_image, methods=["GET", "HEAD"]),
]
