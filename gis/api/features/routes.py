"""The routes of items and of one item. Writing is gis.api.write.items."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gis.api.features import item, mend, page
from gis.api.features.asof import read_datetime
from gis.api.features.leaving import while_connected
from gis.api.features.params import (
    FORMATS,
    ITEMS,
    item_parameters,
    property_parameters,
    read_items,
    read_view,
)
from gis.api.features.values import INT8_MAX, text_value
from gis.api.negotiate import choose_format, choose_language, known_parameters
from gis.api.state import state_of
from gis.api.write import items as write
from gis.errors import NotFoundError

ALLOW = {"Allow": "GET, HEAD, OPTIONS"}
_METHODS = ["GET", "HEAD", "OPTIONS"]


async def items(request: Request) -> Response:
    """A page of features."""
    state = state_of(request)
    layer = state.layer(request.path_params["collection"])
    if request.method == "OPTIONS":
        return write.options(request, state, layer, item=False)
    if request.method == "POST":
        return await write.create(request, state, layer)
    given = known_parameters(request, (*ITEMS, *(f.name for f in property_parameters(layer))))
    output = choose_format(request, FORMATS)
    language = choose_language(request, state.city.languages)
    query = read_items(given, layer, state.city, output)
    asked = page.Asked(request, state, layer, given, output, language)
    return await while_connected(request, page.respond(asked, query))


async def one(request: Request) -> Response:
    """One feature."""
    state = state_of(request)
    layer = state.layer(request.path_params["collection"])
    if request.method == "OPTIONS":
        return write.options(request, state, layer, item=True)
    if request.method in ("PUT", "PATCH"):
        return await write.change(request, state, layer, _fid(request.path_params["fid"]))
    if request.method == "DELETE":
        return await write.delete(request, state, layer, _fid(request.path_params["fid"]))
    given = known_parameters(request, item_parameters(layer))
    for name, value in given.items():
        text_value(value, name)
    output = choose_format(request, {name: FORMATS[name] for name in item.OUTPUTS})
    language = choose_language(request, state.city.languages)
    view = read_view(given, layer, state.city)
    as_of, _ = read_datetime(given, layer)
    asked = page.Asked(request, state, layer, given, output, language)
    return await while_connected(request, item.respond(asked, view, _fid(request.path_params["fid"]), as_of))


async def mend_of(request: Request) -> Response:
    """The change that is suggested for a finding."""
    state = state_of(request)
    layer = state.layer(request.path_params["collection"])
    if layer.id not in mend.FINDINGS:
        raise NotFoundError(
            "there is nothing at this address", hint=f"the collection {mend.FINDING} has mends"
        )
    if request.method == "OPTIONS":
        return Response(headers=ALLOW)
    fid = _fid(request.path_params["fid"])
    return await while_connected(request, mend.respond(request, state, layer, fid))


def _fid(text: str) -> int:
    """What cannot be an id of ours names no feature."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) <= INT8_MAX):
        raise NotFoundError("there is no such feature")
    return int(text)


ROUTES = [
    Route("/collections/{collection}/items", items, methods=[*_METHODS, "POST"], name="items"),
    Route(
        "/collections/{collection}/items/{fid}",
        one,
        methods=[*_METHODS, "PUT", "PATCH", "DELETE"],
        name="item",
    ),
    Route("/collections/{collection}/items/{fid}/mend", mend_of, methods=_METHODS, name="mend"),
]
