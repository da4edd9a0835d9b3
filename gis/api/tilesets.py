"""Descriptions of tiles: lists of tilesets, tilesets (OGC metadata and TileJSON), the tile matrix set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gis.api.negotiate import choose_format, choose_language, known_parameters
from gis.api.ogc.documents import Document, Documents
from gis.api.ogc.stats import Statistics, Stats
from gis.api.state import State, state_of
from gis.city import City
from gis.crs import Box
from gis.errors import NotFoundError, UsageError
from layers.registry import Layer
from tiles import grid, tilejson
from tiles.grid import GRID

_TEXTS = {
    "layer": ("Ô bản đồ véc-tơ: {}", "Vector tiles: {}"),
    "all": ("Ô bản đồ véc-tơ của {}", "Vector tiles of {}"),
    "grid": ("Lưới ô WebMercatorQuad", "Tile matrix set WebMercatorQuad"),
    "item": ("Ô bản đồ (MVT)", "Tile (MVT)"),
    "self": ("Tài liệu này", "This document"),
    "tileset": ("Bộ ô bản đồ", "Tileset"),
    "data": ("Dữ liệu", "Data"),
}


def statistics_of(request: Request) -> Statistics:
    """Counts and extents, as the application keeps them for all documents."""
    return cast(Statistics, request.app.state.ogc.statistics)


def documents_of(request: Request) -> Documents:
    """The application's cache of documents."""
    return cast(Documents, request.app.state.ogc.documents)


def chosen_layers(state: State, text: str | None) -> tuple[Layer, ...]:
    """Layers of ``collections=``, in the catalogue's order; all public ones without it."""
    public = state.catalogue.public()
    if text is None:
        return public
    wanted = text.split(",")
    if not all(wanted):
        raise UsageError(
            "collections is a list of collection ids with commas between them",
            errors=[{"parameter": "collections", "detail": "an empty id"}],
        )
    ids = {state.layer(layer_id).id for layer_id in wanted}
    return tuple(layer for layer in public if layer.id in ids)


def check_grid(name: str) -> None:
    """Raise NotFoundError unless it is the one grid."""
    if name != GRID:
        raise NotFoundError("there is no such tile matrix set", hint=f"tiles are offered in {GRID}")


async def get_tilesets(request: Request) -> Response:
    """GET /tiles and /collections/{id}/tiles: the list of tilesets, one."""

    def make(subject: _Subject, _stats: Stats) -> dict[str, Any]:
        links = [subject.link("self", "self", "application/json", subject.address)]
        return {"tilesets": [tilejson.tileset_item(subject.title, subject.links("self"))], "links": links}

    return await _describe(request, "tilesets", make)


async def get_tileset(request: Request) -> Response:
    """GET /tiles/WebMercatorQuad and /collections/{id}/tiles/WebMercatorQuad, as OGC metadata or TileJSON."""
    check_grid(request.path_params["grid"])
    offered = {"json": ("application/json",), "tilejson": (tilejson.TILEJSON_TYPE,)}
    form = choose_format(request, offered)

    def make(subject: _Subject, stats: Stats) -> dict[str, Any]:
        extent = subject.extent(stats)
        if form == "tilejson":
            template = subject.template("{z}/{y}/{x}")
            about = subject.description
            return tilejson.tilejson(subject.layers, template, extent, subject.title, about, subject.language)
        return tilejson.tileset(
            subject.layers, extent, subject.title, subject.links("tileset"), subject.language
        )

    return await _describe(request, form, make, offered[form][0])


async def _describe(
    request: Request,
    kind: str,
    make: Callable[[_Subject, Stats], dict[str, Any]],
    media_type: str = "application/json",
) -> Response:
    state = state_of(request)
    collection: str | None = request.path_params.get("collection")
    given = known_parameters(request, ("f", "lang") if collection else ("f", "lang", "collections"))
    if kind == "tilesets":
        choose_format(request, {"json": ("application/json",)})
    layers = (state.layer(collection),) if collection else chosen_layers(state, given.get("collections"))
    language = choose_language(request, state.city.languages)
    ids = tuple(layer.id for layer in layers) if "collections" in given else None
    subject = _Subject(state.base_url(request), state.city, layers, collection, ids, language)
    stats = await statistics_of(request).get(state)
    key = (kind, state.catalogue.fingerprint, stats.version, collection, ids, subject.base, language)
    document = await documents_of(request).get(
        key, lambda: Document.of(orjson.dumps(make(subject, stats)), media_type, language)
    )
    return document.respond(request)


@dataclass(frozen=True)
class _Subject:
    """What a description describes: one collection's tiles, or those of several in one."""

    base: str
    city: City
    layers: tuple[Layer, ...]
    collection: str | None
    #: The collections that were asked for by name.
    chosen: tuple[str, ...] | None
    language: str

    def text(self, key: str) -> str:
        vi, en = _TEXTS[key]
        return vi if self.language == "vi" else en

    @property
    def title(self) -> str:
        if self.collection:
            return self.text("layer").format(tilejson.text_in(self.layers[0].title, self.language))
        return self.text("all").format(tilejson.text_in(self.city.title, self.language))

    @property
    def description(self) -> str:
        return ", ".join(tilejson.text_in(layer.title, self.language) for layer in self.layers)

    @property
    def address(self) -> str:
        prefix = f"/collections/{self.collection}" if self.collection else ""
        return f"{self.base}{prefix}/tiles"

    @property
    def query(self) -> str:
        return "?collections=" + ",".join(self.chosen) if self.chosen else ""

    def template(self, variables: str) -> str:
        return f"{self.address}/{GRID}/{variables}{self.query}"

    def extent(self, stats: Stats) -> Box:
        """Where there may be tiles: that of one layer, or of the city and whatever lies outside it."""
        boxes = [found for layer in self.layers if (found := stats.of(layer.id).extent)]
        if not self.collection or not boxes:
            boxes.append(self.city.extent)
        return union(boxes)

    def link(self, title: str, rel: str, media_type: str, href: str) -> dict[str, Any]:
        return {"href": href, "rel": rel, "type": media_type, "title": self.text(title)}

    def links(self, self_title: str) -> list[dict[str, Any]]:
        """Links of a tileset."""
        here = f"{self.address}/{GRID}{self.query}"
        as_tilejson = f"{here}{'&' if self.query else '?'}f=tilejson"
        data = f"{self.base}/collections" + (f"/{self.collection}" if self.collection else "")
        item = self.template("{tileMatrix}/{tileRow}/{tileCol}")
        return [
            self.link(self_title, "self", "application/json", here),
            {**self.link("tileset", "alternate", tilejson.TILEJSON_TYPE, as_tilejson), "title": "TileJSON"},
            self.link(
                "grid",
                f"{tilejson.REL}/tiling-scheme",
                "application/json",
                f"{self.base}/tileMatrixSets/{GRID}",
            ),
            {**self.link("item", "item", tilejson.MEDIA_TYPE, item), "templated": True},
            self.link("data", f"{tilejson.REL}/geodata", "application/json", data),
        ]


def union(boxes: Sequence[Box]) -> Box:
    """The box around boxes."""
    return (
        min(b[0] for b in boxes),
        min(b[1] for b in boxes),
        max(b[2] for b in boxes),
        max(b[3] for b in boxes),
    )


async def get_grids(request: Request) -> Response:
    """GET /tileMatrixSets"""
    base, language = _plain(request)
    title = _TEXTS["grid"][0 if language == "vi" else 1]
    href = f"{base}/tileMatrixSets/{GRID}"
    links = [{"href": href, "rel": "self", "type": "application/json", "title": title}]
    body = {
        "tileMatrixSets": [{"id": GRID, "title": title, "uri": grid.URI, "crs": grid.CRS_URI, "links": links}]
    }
    return Document.of(orjson.dumps(body), "application/json", language).respond(request)


async def get_grid(request: Request) -> Response:
    """GET /tileMatrixSets/WebMercatorQuad"""
    _base, _language = _plain(request)
    check_grid(request.path_params["grid"])
    return Document.of(orjson.dumps(grid.definition()), "application/json", "en").respond(request)


def _plain(request: Request) -> tuple[str, str]:
    known_parameters(request, ("f", "lang"))
    choose_format(request, {"json": ("application/json",)})
    state = state_of(request)
    return state.base_url(request), choose_language(request, state.city.languages)


ROUTES = [
    Route("/tiles", get_tilesets),
    Route("/tiles/{grid}", get_tileset),
    Route("/collections/{collection}/tiles", get_tilesets),
    Route("/collections/{collection}/tiles/{grid}", get_tileset),
    Route("/tileMatrixSets", get_grids),
    Route("/tileMatrixSets/{grid}", get_grid),
]
