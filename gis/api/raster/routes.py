"""Raster collections: tiles (OGC API Tiles of maps), maps of a box, values of a box as GeoTIFF, and heights.

An answer's ETag is made from the files that it is read from, before any pixel is: a client that has it costs
nothing. Pixels are read in the studio's threads.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gis import crs
from gis.api.features.leaving import while_connected
from gis.api.features.params import read_bbox, read_crs
from gis.api.negotiate import choose_format, choose_language, has_current, known_parameters
from gis.api.ogc.documents import Document
from gis.api.raster import describe
from gis.api.raster.work import fresh_twice, studio_of
from gis.api.state import state_of
from gis.api.tiles import CACHE_CONTROL, NO_CONTENT
from gis.api.tilesets import check_grid
from gis.crs import WEB_MERCATOR, Box
from gis.errors import LimitError, NotFoundError, UsageError
from tiles import grid
from tiles.mosaic import MOST_SCENES, TILE, Mosaic, Scene

PNG, WEBP, TIFF = "image/png", "image/webp", "image/tiff; application=geotiff"
PICTURES = {"png": (PNG,), "webp": (WEBP,)}

#: Most pixels of a map and of values: with what it is computed from, a picture takes 60 bytes a pixel.
MOST_PIXELS = 1_000_000
MOST_SIDE = 4096
#: Part of every ETag: pictures that are drawn otherwise are others.
DRAWING = "2"

CONFORMANCE = (
    "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/png",
    *(
        f"http://www.opengis.net/spec/ogcapi-maps-1/1.0/conf/{name}"
        for name in ("core", "collection-map", "tilesets", "spatial-subsetting", "scaling", "crs", "png")
    ),
)


async def get_tile(request: Request) -> Response:
    """GET /collections/{id}/map/tiles/WebMercatorQuad/{z}/{y}/{x}"""
    given = known_parameters(request, ("f", "style"))
    form = choose_format(request, PICTURES)
    path = request.path_params
    check_grid(path["grid"])
    tile = grid.parse_tile(path["z"], path["y"], path["x"])

    async def answer(mosaic: Mosaic) -> Response:
        style = _style(given, mosaic)
        step = tile.side / TILE
        scenes = mosaic.seen(tile.box(), WEB_MERCATOR, step) if tile.z >= mosaic.min_zoom else []
        if not scenes:
            return Response(status_code=NO_CONTENT, headers=_HEADERS)
        if len(scenes) > MOST_SCENES + 1:
            raise LimitError("this tile would be made of too many files", hint="ask for a deeper level")
        etag = _etag(mosaic, scenes, tile, style, form)
        if has_current(request, etag):
            return Response(status_code=304, headers={**_HEADERS, "ETag": etag})

        def work() -> bytes | None:
            from tiles import raster

            return raster.picture(
                mosaic, scenes, tile.box(), WEB_MERCATOR, TILE, TILE, style, form
            )  # in a thread: importing takes a second

        body = await studio_of(request).run(etag, work)
        return _picture(body, etag, PICTURES[form][0])

    return await while_connected(request, fresh_twice(request, path["collection"], answer))


async def get_map(request: Request) -> Response:
    """GET /collections/{id}/map: a picture of a box."""
    return await _box(request, PICTURES, ("style",), values=False)


async def get_coverage(request: Request) -> Response:
    """GET /collections/{id}/coverage: the values of a box, as GeoTIFF."""
    return await _box(request, {"geotiff": (TIFF,)}, (), values=True)


async def _box(
    request: Request, formats: Mapping[str, Sequence[str]], more: tuple[str, ...], *, values: bool
) -> Response:
    names = ("bbox", "bbox-crs", "crs", "width", "height", "f", *more)
    given = known_parameters(request, names)
    form = choose_format(request, formats)
    state = state_of(request)
    target = read_crs(given, state.city).code if "crs" in given else state.city.crs.storage
    asked = read_bbox(given, state.city)

    async def answer(mosaic: Mosaic) -> Response:
        style = "values" if values else _style(given, mosaic)
        box = _target_box(
            asked.box if asked else mosaic.extent, asked.crs.code if asked else crs.WGS84, target
        )
        width, height = _size(given, box, mosaic, target)
        # a box of too many files is told, not answered with the overview's larger pixels
        scenes = mosaic.seen(box, target, (box[2] - box[0]) / width, most=len(mosaic.scenes))
        if not scenes:
            raise NotFoundError(
                "the collection has nothing in this box", hint="its extent is in /collections"
            )
        if len(scenes) > 4 * MOST_SCENES:
            raise LimitError("this box has too many files", hint="ask for a smaller box")
        etag = _etag(mosaic, scenes, (box, target, width, height), style, form)
        headers = {"Content-Crs": f"<{crs.uri(target)}>", "Content-Bbox": ",".join(f"{v:.6f}" for v in box)}
        if has_current(request, etag):
            return Response(status_code=304, headers={**_HEADERS, **headers, "ETag": etag})

        def work() -> bytes | None:
            from tiles import raster

            if values:
                return raster.values_tiff(mosaic, scenes, box, target, width, height)
            return raster.picture(mosaic, scenes, box, target, width, height, style, form)

        body = await studio_of(request).run(etag, work)
        if body is None and values:
            raise NotFoundError(
                "the collection has nothing in this box", hint="its extent is in /collections"
            )
        return _picture(body, etag, TIFF if values else PICTURES[form][0], headers)

    return await while_connected(request, fresh_twice(request, request.path_params["collection"], answer))


def _target_box(box: Box, src: int, dst: int) -> Box:
    shape = crs.transform_box(box, src, dst, 0.01)
    if shape.is_empty or shape.geom_type != "Polygon":
        raise UsageError(
            "bbox has no area here", errors=[{"parameter": "bbox", "detail": "outside, or without area"}]
        )
    minx, miny, maxx, maxy = shape.bounds
    return (minx, miny, maxx, maxy)


def _size(given: Mapping[str, str], box: Box, mosaic: Mosaic, code: int) -> tuple[int, int]:
    """Width and height in pixels: as asked for, or that of the finest file as far as it is allowed."""
    across, up = box[2] - box[0], box[3] - box[1]
    asked = {name: _side(given[name], name) for name in ("width", "height") if name in given}
    if "width" in asked and "height" in asked:
        width, height = asked["width"], asked["height"]
    elif "width" in asked:
        width = asked["width"]
        height = max(1, round(width * up / across))
    elif "height" in asked:
        height = asked["height"]
        width = max(1, round(height * across / up))
    else:
        step = mosaic.finest if crs.definition(code).projected else mosaic.finest / 111_320.0
        step = max(step, across / MOST_SIDE, up / MOST_SIDE, math.sqrt(across * up / MOST_PIXELS))
        width, height = max(1, int(across / step)), max(1, int(up / step))
    if width * height > MOST_PIXELS or max(width, height) > MOST_SIDE:
        raise LimitError(
            f"a picture has at most {MOST_PIXELS:,} pixels, and {MOST_SIDE:,} along a side",
            hint="ask for a smaller box, or for fewer pixels (width, height)",
        )
    return width, height


def _side(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and int(text) > 0):
        raise UsageError(
            f"{name} must be a whole number greater than 0",
            errors=[{"parameter": name, "detail": "not a whole number of pixels"}],
        )
    return int(text)


async def get_tilesets(request: Request) -> Response:
    """GET /collections/{id}/map/tiles: the list of its tilesets, one."""
    return await _describe(request, {"json": ("application/json",)}, "list")


async def get_tileset(request: Request) -> Response:
    """GET /collections/{id}/map/tiles/WebMercatorQuad, as OGC metadata or TileJSON."""
    check_grid(request.path_params["grid"])
    offered = {"json": ("application/json",), "tilejson": (describe.TILEJSON_TYPE,)}
    return await _describe(request, offered, "one")


async def _describe(request: Request, offered: Mapping[str, Sequence[str]], kind: str) -> Response:
    given = known_parameters(request, ("f", "lang", "style"))
    form = choose_format(request, offered)
    state = state_of(request)
    language = choose_language(request, state.city.languages)
    mosaic = await studio_of(request).mosaic(state, request.path_params["collection"])
    style, base = _style(given, mosaic), state.base_url(request)
    if kind == "list":
        body = describe.tilesets(mosaic, base, language)
    elif form == "tilejson":
        body = describe.tilejson(mosaic, base, language, style)
    else:
        body = describe.tileset(mosaic, base, language, style)
    return Document.of(orjson.dumps(body), offered[form][0], language).respond(request)


def _style(given: Mapping[str, str], mosaic: Mosaic) -> str:
    styles = mosaic.layer.definition.styles
    wanted = given.get("style", styles[0])
    if wanted not in styles:
        raise UsageError(
            "the collection is not drawn in this style",
            hint="its styles are: " + ", ".join(styles),
            errors=[{"parameter": "style", "detail": "unknown style"}],
        )
    return wanted


_HEADERS = {"Cache-Control": CACHE_CONTROL, "Vary": "Accept"}


def _etag(mosaic: Mosaic, scenes: Sequence[Scene], what: object, style: str, form: str) -> str:
    """Of the files, in their order, and of all that decides what is drawn from them."""
    names = [scene.name for scene in scenes]
    said = repr((DRAWING, mosaic.layer.id, mosaic.layer.definition.relief, names, what, style, form))
    return f'"{hashlib.blake2b(said.encode(), digest_size=12).hexdigest()}"'


def _picture(
    body: bytes | None, etag: str, media_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    if body is None:
        return Response(status_code=NO_CONTENT, headers=_HEADERS)
    more: dict[str, Any] = {**_HEADERS, **(headers or {}), "ETag": etag, "Content-Type": media_type}
    return Response(body, headers=more)


_MAP = "/collections/{collection}/map"

ROUTES = [
    Route(f"{_MAP}/tiles/{{grid}}/{{z}}/{{y}}/{{x}}", get_tile),
    Route(f"{_MAP}/tiles/{{grid}}", get_tileset),
    Route(f"{_MAP}/tiles", get_tilesets),
    Route(_MAP, get_map),
    Route("/collections/{collection}/coverage", get_coverage),
]
