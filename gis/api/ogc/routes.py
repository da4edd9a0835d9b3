"""Routes of the OGC face: landing, conformance, API, collections, schema, queryables; JSON and HTML."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gis.api import styles, tiles
from gis.api.features import describe
from gis.api.negotiate import COMMON, choose_format, choose_language, etag_of, has_current, known_parameters
from gis.api.ogc import complete, openapi, openapi_writes
from gis.api.ogc.config import PLACEHOLDER
from gis.api.ogc.documents import Document, Documents
from gis.api.ogc.face import Face
from gis.api.ogc.stats import Statistics, Stats
from gis.api.processes import description
from gis.api.raster import routes as rasters
from gis.api.raster.describe import collection as raster_collection
from gis.api.state import State, state_of
from layers.registry import Catalogue

JSON = "application/json"
SCHEMA = "application/schema+json"
HTML = "text/html; charset=utf-8"
STYLE_SHEET = Path(__file__).parent / "static" / "face.css"


@dataclass(frozen=True)
class Wanted:
    """One document as asked for: everything that its bytes depend on."""

    state: State
    catalogue: Catalogue
    stats: Stats
    base: str
    language: str
    layer: str

    def real(self, document: dict[str, Any]) -> dict[str, Any]:
        """The document with this server's address in place of PLACEHOLDER."""
        raw = orjson.dumps(document).replace(PLACEHOLDER.encode(), self.base.encode())
        return cast(dict[str, Any], orjson.loads(raw))


@dataclass(frozen=True)
class Kind:
    """How one kind of document is made. ``counts``: whether it shows figures that change with the data."""

    template: str
    media_types: tuple[str, ...]
    path: str
    make: Callable[[Wanted, Face], dict[str, Any]]
    counts: bool = False


def _landing(wanted: Wanted, face: Face) -> dict[str, Any]:
    return complete.landing(wanted.real(face.landing(wanted.language)), wanted.base, wanted.language)


def _conformance(wanted: Wanted, face: Face) -> dict[str, Any]:
    ours = (describe, tiles, styles, description, openapi_writes, rasters)
    classes = (one.CONFORMANCE for one in ours)
    return complete.conformance(face.conformance(wanted.language), *classes)


def _collections(wanted: Wanted, face: Face) -> dict[str, Any]:
    document = wanted.real(face.collections(wanted.language))
    stats, city = dict(wanted.stats.layers), wanted.state.city
    document = complete.collections(document, wanted.base, wanted.language, city, stats)
    pictures = [
        raster_collection(m, city, wanted.base, wanted.language) for m in wanted.stats.rasters.values()
    ]
    if pictures:  # each with its sector, whose title is the first keyword
        every = [*document["collections"], *pictures]
        sectors = list(dict.fromkeys(one["keywords"][0] for one in every))
        document["collections"] = sorted(every, key=lambda one: sectors.index(one["keywords"][0]))
    document["numberMatched"] = document["numberReturned"] = len(document["collections"])
    return document


def _collection(wanted: Wanted, face: Face) -> dict[str, Any]:
    mosaic = wanted.stats.rasters.get(wanted.layer)
    if mosaic is not None:
        return raster_collection(mosaic, wanted.state.city, wanted.base, wanted.language)
    document = wanted.real(face.collection(wanted.layer, wanted.language))
    figures = wanted.stats.of(wanted.layer)
    return complete.collection(document, wanted.base, wanted.language, wanted.state.city, figures)


def _schema(wanted: Wanted, _face: Face) -> dict[str, Any]:
    return describe.schema(wanted.catalogue.layers[wanted.layer], wanted.language, wanted.base)


def _queryables(wanted: Wanted, _face: Face) -> dict[str, Any]:
    return describe.queryables(wanted.catalogue.layers[wanted.layer], wanted.language, wanted.base)


def _processes(wanted: Wanted, _face: Face) -> dict[str, Any]:
    return description.processes(wanted.base, wanted.language)


def _process(wanted: Wanted, _face: Face) -> dict[str, Any]:
    state = wanted.state
    return description.process(state.city, wanted.catalogue, state.settings, wanted.base, wanted.language)


def _api(wanted: Wanted, _face: Face) -> dict[str, Any]:
    return openapi.document(wanted.state.city, wanted.catalogue, wanted.base, wanted.language)


KINDS: dict[str, Kind] = {
    "landing": Kind("landing.html", (JSON,), "/", _landing),
    "conformance": Kind("conformance.html", (JSON,), "/conformance", _conformance),
    "api": Kind("api.html", (complete.OPENAPI_TYPE, JSON), "/api", _api),
    "collections": Kind("collections.html", (JSON,), "/collections", _collections, counts=True),
    "collection": Kind("collection.html", (JSON,), "/collections/{layer}", _collection, counts=True),
    "schema": Kind("fields.html", (SCHEMA, JSON), "/collections/{layer}/schema", _schema),
    "processes": Kind("processes.html", (JSON,), "/processes", _processes),
    "process": Kind("process.html", (JSON,), "/processes/check", _process),
    "queryables": Kind("fields.html", (SCHEMA, JSON), "/collections/{layer}/queryables", _queryables),
}


class Faces:
    """The Faces of the catalogues in use: anyone's, and a few members'; made in the thread that asks."""

    MOST = 8

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._public: tuple[str, Face] | None = None
        self._members: OrderedDict[str, Face] = OrderedDict()

    def of(self, wanted: Wanted) -> Face:
        mark, city = wanted.catalogue.fingerprint, wanted.state.city
        with self._lock:
            if wanted.state.principal is None:
                if self._public is None or self._public[0] != mark:
                    self._public = (mark, Face(city, wanted.catalogue))
                return self._public[1]
            if mark not in self._members:
                self._members[mark] = Face(city, wanted.catalogue)
                if len(self._members) > self.MOST:
                    self._members.popitem(last=False)
            self._members.move_to_end(mark)
            return self._members[mark]


class Ogc:
    """What these routes keep in one process (``app.state.ogc``)."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.statistics = Statistics(state)
        self.documents = Documents()
        self.faces = Faces()

    async def document(
        self, name: str, state: State, base: str, language: str, output: str, layer: str = ""
    ) -> Document:
        """A document as ``state`` shows it, from the cache, or made now."""
        kind = KINDS[name]
        stats = await self.statistics.get(state) if kind.counts else Stats()
        wanted = Wanted(state, state.catalogue, stats, base, language, layer)
        key = (name, layer, output, language, base, wanted.catalogue.fingerprint, stats.version)
        return await self.documents.get(key, partial(self._make, kind, wanted, output))

    def _make(self, kind: Kind, wanted: Wanted, output: str) -> Document:
        content = kind.make(wanted, self.faces.of(wanted))
        if output == "json":
            return Document.of(orjson.dumps(content), kind.media_types[0], wanted.language)
        from gis.api.ogc import html  # jinja2 costs a start 0.1 s

        page = html.render(
            kind.template,
            content,
            base=wanted.base,
            path=kind.path.format(layer=wanted.layer),
            language=wanted.language,
            city=wanted.state.city,
            layer=wanted.layer or None,
        )
        return Document.of(page.encode(), HTML, wanted.language)

    async def warm(self) -> None:
        """Import pygeoapi and make what QGIS asks for first, before anyone waits for it."""
        state = self.state
        base = state.settings.public_url.rstrip("/") or f"http://{state.settings.host}:{state.settings.port}"
        for name in ("landing", "api", "collections"):
            await self.document(name, state, base, state.city.languages[0], "json")


def _endpoint(name: str) -> Callable[[Request], Awaitable[Response]]:
    kind = KINDS[name]
    formats = {"json": kind.media_types, "html": ("text/html",)}

    async def endpoint(request: Request) -> Response:
        known_parameters(request, COMMON)
        state = state_of(request)
        layer = request.path_params.get("layer", "")
        ogc: Ogc = request.app.state.ogc
        pictures = layer in state.catalogue.rasters and name == "collection"
        if layer and not (pictures and layer in (await ogc.statistics.get(state)).rasters):
            state.layer(layer)  # unknown, hidden and empty ones are absent alike
        output = choose_format(request, formats)
        language = choose_language(request, state.city.languages)
        document = await ogc.document(name, state, state.base_url(request), language, output, layer)
        return document.respond(request)

    endpoint.__name__ = name
    endpoint.__doc__ = f"The {name} document."
    return endpoint


async def style_sheet(request: Request) -> Response:
    """The style sheet of the HTML pages."""
    known_parameters(request, ())
    body = await asyncio.to_thread(STYLE_SHEET.read_bytes)
    headers = {"ETag": etag_of(body), "Cache-Control": "public, max-age=3600"}
    if has_current(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="text/css", headers=headers)


ROUTES = [
    *(Route(kind.path, _endpoint(name), name=name) for name, kind in KINDS.items()),
    Route("/static/face.css", style_sheet),
]
