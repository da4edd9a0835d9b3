"""OGC API Tiles: the tiles themselves (their descriptions are in gis.api.tilesets).

A tile is rendered on each request and kept by nobody: requests for the same tile that meet share one
query, and clients ask again with its ETag. An address that cannot exist is a problem document, a tile
without features is 204.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

from prometheus_client import Counter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gis.api import tilesets
from gis.api.compress import IN_THREAD, MINIMUM, accepts_gzip, with_suffix
from gis.api.features.leaving import while_connected
from gis.api.negotiate import etag_of, has_current, known_parameters
from gis.api.state import State, state_of
from gis.api.tilesets import check_grid, chosen_layers
from gis.errors import UsageError
from layers.registry import Layer
from tiles import grid, tilejson
from tiles.flight import Flights
from tiles.grid import Tile
from tiles.query import Plan, Plans, shows
from tiles.render import Rendered, render

_TILES = "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf"
_TMS = "http://www.opengis.net/spec/tms/2.0/conf"

CONFORMANCE = (
    *(
        f"{_TILES}/{name}"
        for name in (
            "core",
            "tileset",
            "tilesets-list",
            "dataset-tilesets",
            "geodata-tilesets",
            "collections-selection",
            "mvt",
            "oas30",
        )
    ),
    f"{_TMS}/tilematrixset",
    f"{_TMS}/json-tilematrixset",
    f"{_TMS}/json-tilesetmetadata",
)

RENDERED = Counter("bandoso_tiles_rendered", "Tiles rendered by the database.")

#: Kept by browsers and proxies, but shown only after asking whether it is still right.
CACHE_CONTROL = "public, max-age=0, must-revalidate"

#: Measured on tiles of parcels (20 KB to 1.2 MB): level 4 is 7 % smaller than 1 for a third more time;
#: level 6 saves 4 % more for 2.5 times the time.
GZIP_LEVEL = 4

#: A tile without features; a client need not parse an empty one.
NO_CONTENT = 204


@dataclass(frozen=True)
class Packed:
    """A tile as it is sent. ``etag`` is that of the plain bytes."""

    body: bytes
    packed: bytes | None
    etag: str
    truncated: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    """A tile as somebody may see it. ``state`` is anyone's where nothing in it is hidden from anyone."""

    state: State
    plan: Plan
    tile: Tile

    @property
    def key(self) -> Hashable:
        """What its bytes depend on beside the data: of what is hidden, nobody shares another one's."""
        return (self.state.viewer, self.state.catalogue.fingerprint, self.plan.layers, self.tile)


#: Catalogues of members whose plans are kept by one process.
MOST_CATALOGUES = 16


class Tiles:
    """What the tile routes of one process keep: plans and work in progress."""

    def __init__(self, state: State) -> None:
        self._public = state
        self._plans = Plans(state.catalogue, state.city.crs.storage)
        self._members: OrderedDict[str, Plans] = OrderedDict()
        self._flights: Flights[Packed | None] = Flights()

    def wanted(self, state: State, layers: Sequence[Layer], tile: Tile) -> Wanted | None:
        """A tile of layers of the state's catalogue; None when no layer is in tiles of this level.

        Attributes that are hidden are in nobody's tiles (layers.validate), so only restricted layers differ.
        """
        shown = [
            state.known.layers[layer.id] if layer.access == "public" else layer
            for layer in layers
            if shows(layer, tile.z)
        ]
        if not any(layer.revealed for layer in shown):
            state = self._public
        plan = self._plans_of(state).get(shown, tile.z)
        return None if plan is None else Wanted(state, plan, tile)

    def _plans_of(self, state: State) -> Plans:
        storage = state.city.crs.storage
        if state.principal is None:
            if self._plans.catalogue is not state.catalogue:
                self._plans = Plans(state.catalogue, storage)
            return self._plans
        mark = state.catalogue.fingerprint
        kept = self._members.setdefault(mark, Plans(state.catalogue, storage))
        self._members.move_to_end(mark)
        if len(self._members) > MOST_CATALOGUES:
            self._members.popitem(last=False)
        return kept

    async def get(self, wanted: Wanted) -> Packed | None:
        """The tile; None when it is empty. Requests of the same tile that meet share one query."""
        return await self._flights.get(wanted.key, partial(self._make, wanted))

    async def _make(self, wanted: Wanted) -> Packed | None:
        state = wanted.state
        async with state.pool.connection() as connection:
            rendered = await render(connection, wanted.plan, wanted.tile, state.city.crs.storage)
        RENDERED.inc()
        if not rendered.layers:
            return None
        if sum(map(len, rendered.layers.values())) > IN_THREAD:
            return await asyncio.to_thread(_pack, rendered)
        return _pack(rendered)


def _pack(rendered: Rendered) -> Packed:
    body = rendered.mvt
    packed = None
    if len(body) >= MINIMUM:
        packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)
        packed = packer.compress(body) + packer.flush()
    return Packed(body, packed, etag_of(body), rendered.truncated)


def tiles_of(request: Request) -> Tiles:
    """The tile routes' own state; made at the first request of the application."""
    kept = getattr(request.app.state, "tiles", None)
    if kept is None:
        kept = request.app.state.tiles = Tiles(request.app.state.bandoso)
    return cast(Tiles, kept)


async def get_collection_tile(request: Request) -> Response:
    """GET /collections/{id}/tiles/WebMercatorQuad/{z}/{y}/{x}"""
    _mvt_parameters(request, ("f",))
    layer = state_of(request).layer(request.path_params["collection"])
    return await _tile(request, [layer])


async def get_dataset_tile(request: Request) -> Response:
    """GET /tiles/WebMercatorQuad/{z}/{y}/{x}?collections=a,b,c"""
    given = _mvt_parameters(request, ("f", "collections"))
    return await _tile(request, chosen_layers(state_of(request), given.get("collections")))


def _mvt_parameters(request: Request, names: tuple[str, ...]) -> dict[str, str]:
    given = known_parameters(request, names)
    if given.get("f", "mvt") not in ("mvt", "pbf"):
        raise UsageError(
            "tiles are offered as Mapbox vector tiles only",
            hint="f=mvt",
            errors=[{"parameter": "f", "detail": "unknown format"}],
        )
    return given


async def _tile(request: Request, layers: Sequence[Layer]) -> Response:
    path = request.path_params
    check_grid(path["grid"])
    tile = grid.parse_tile(path["z"], path["y"], path["x"])
    wanted = tiles_of(request).wanted(state_of(request), layers, tile)
    headers = {"Cache-Control": CACHE_CONTROL, "Vary": "Accept-Encoding"}
    if wanted is None:
        return Response(status_code=NO_CONTENT, headers=headers)
    return await while_connected(request, _answer(request, wanted, headers))


async def _answer(request: Request, wanted: Wanted, headers: dict[str, str]) -> Response:
    packed = await tiles_of(request).get(wanted)
    if packed is None:
        return Response(status_code=NO_CONTENT, headers=headers)
    headers["ETag"] = packed.etag
    if packed.truncated:
        headers["Bandoso-Truncated"] = ", ".join(packed.truncated)
    if has_current(request, packed.etag):
        return Response(status_code=304, headers=headers)
    body = packed.body
    if packed.packed is not None and accepts_gzip(request.headers):
        body = packed.packed
        headers["Content-Encoding"] = "gzip"
        headers["ETag"] = with_suffix(packed.etag)
    return Response(body, headers={**headers, "Content-Type": tilejson.MEDIA_TYPE})


_TILE = "{grid}/{z}/{y}/{x}"

ROUTES = [
    Route(f"/tiles/{_TILE}", get_dataset_tile),
    Route(f"/collections/{{collection}}/tiles/{_TILE}", get_collection_tile),
    *tilesets.ROUTES,
]
