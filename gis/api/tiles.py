"""OGC API Tiles: the tiles themselves (their descriptions are in gis.api.tilesets).

A tile that anyone may see comes from an archive or from memory for as long as no change touches it
(tiles.follow); others are rendered for each request. Requests for the same tile that meet share one query,
and clients ask again with its ETag. An address that cannot exist is a problem document, a tile without
features is 204.
"""

from __future__ import annotations

import asyncio
import time
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
from gis.api.compress import IN_THREAD, accepts_gzip, with_suffix
from gis.api.features.leaving import while_connected
from gis.api.negotiate import has_current, known_parameters
from gis.api.state import State, state_of
from gis.api.tilesets import check_grid, chosen_layers
from gis.errors import UsageError
from layers.registry import Layer
from tiles import grid, tilejson
from tiles.flight import Flights
from tiles.follow import FRESH, Freshness, Stamp
from tiles.grid import Tile
from tiles.keep import Keep
from tiles.packed import Packed, pack
from tiles.query import Plan, Plans, shows
from tiles.render import EMPTY, render
from tiles.shelf import Shelf

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
JOINED = Counter("bandoso_tiles_joined", "Tiles that waited for another request's rendering.")
KEPT = Counter("bandoso_tiles_kept", "Tiles answered from memory.")
STORED = Counter("bandoso_tiles_stored", "Tiles answered from an archive.")

#: Seconds between two looks for new archives.
LOOK = 2.0

#: Kept by browsers and proxies, but shown only after asking whether it is still right.
CACHE_CONTROL = "public, max-age=0, must-revalidate"

#: A tile without features; a client need not parse an empty one.
NO_CONTENT = 204


@dataclass(frozen=True)
class Wanted:
    """A tile as somebody may see it. ``state`` is anyone's where nothing in it is hidden from anyone."""

    state: State
    #: The layers that are in tiles of this level, and the statement that renders them.
    layers: tuple[Layer, ...]
    plan: Plan
    tile: Tile
    #: Whether it may be kept: anyone may see all of it.
    lasting: bool
    #: Whether it has all layers that anyone may see.
    everything: bool

    @property
    def key(self) -> Hashable:
        """What its bytes depend on beside the data: of what is hidden, nobody shares another one's."""
        return (self.state.viewer, self.state.catalogue.fingerprint, self.plan.layers, self.tile)


#: The most that a layer's ``tiles.buffer`` may be.
MOST_BUFFER = 512

#: Catalogues of members whose plans are kept by one process.
MOST_CATALOGUES = 16


class Tiles:
    """What the tile routes of one process keep: plans, tiles that are right, and work in progress."""

    def __init__(self, state: State, freshness: Freshness) -> None:
        self._public = state
        self._freshness = freshness
        self.shelf = Shelf(state.settings.tiles_folder, freshness)
        self._kept: Keep[Packed | None] = Keep()
        self._plans = Plans(state.catalogue, state.city.crs.storage)
        self._members: OrderedDict[str, Plans] = OrderedDict()
        self._flights: Flights[Packed | None] = Flights(JOINED.inc)

    def wanted(self, state: State, layers: Sequence[Layer], tile: Tile) -> Wanted | None:
        """A tile of layers of the state's catalogue; None when no layer is in tiles of this level.

        Attributes that are hidden are in nobody's tiles (layers.validate), so only restricted layers differ.
        """
        shown = tuple(
            state.known.layers[layer.id] if layer.access == "public" else layer
            for layer in layers
            if shows(layer, tile.z)
        )
        if not any(layer.revealed for layer in shown):
            state = self._public
        plan = self._plans_of(state).get(shown, tile.z)
        if plan is None:
            return None
        lasting = state is self._public and all(layer.access == "public" for layer in shown)
        everything = lasting and len(layers) == len(state.catalogue.public())
        return Wanted(state, shown, plan, tile, lasting, everything)

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

    def at_hand(self, wanted: Wanted) -> tuple[Packed | None] | None:
        """The tile (None: it is empty), if it is stored or kept and right; else None."""
        if not wanted.lasting:
            return None
        if wanted.everything:
            stored = self.shelf.get_all(wanted.state.catalogue, wanted.plan.layers, wanted.tile)
        elif len(wanted.layers) == 1:
            stored = self.shelf.get(wanted.layers[0], wanted.tile)
        else:
            stored = None
        if stored is not None:
            STORED.inc()
            return (Packed(stored) if stored else None,)
        kept = self._kept.get(wanted.key)
        if kept is None:
            return None
        packed, made = kept
        if not self._freshness.is_right(made, wanted.plan.layers, wanted.tile):
            return None
        KEPT.inc()
        return (packed,)

    async def get(self, wanted: Wanted) -> Packed | None:
        """The tile; None when it is empty. Requests of the same tile that meet share one query."""
        found = self.at_hand(wanted)
        if found is not None:
            return found[0]
        # Whoever has seen a change must not get what was begun before it.
        now = self._freshness.stamp()
        since = now or int(time.monotonic() / FRESH)
        made = now if wanted.lasting else None
        return await self._flights.get((wanted.key, since), partial(self._make, wanted, made))

    async def _make(self, wanted: Wanted, made: Stamp | None) -> Packed | None:
        """Layers that are stored and right come from their archives, the others from the database."""
        state, tile, order = wanted.state, wanted.tile, wanted.plan.layers
        stored: dict[str, bytes] = {}
        plan: Plan | None = wanted.plan
        if wanted.lasting and len(self.shelf):
            for layer in wanted.layers:
                found = self.shelf.get(layer, tile)
                if found is not None:
                    stored[layer.id] = found
            if stored:
                left = [layer for layer in wanted.layers if layer.id not in stored]
                plan = self._plans_of(state).get(left, tile.z) if left else None
        rendered = EMPTY
        if plan is not None:
            async with state.pool.connection() as connection:
                rendered = await render(connection, plan, tile, state.city.crs.storage)
            RENDERED.inc()
        if sum(map(len, rendered.layers.values())) > IN_THREAD:
            packed = await asyncio.to_thread(pack, rendered, stored, order)
        else:
            packed = pack(rendered, stored, order)
        if made is not None:
            self._kept.put(wanted.key, packed, made, len(packed.packed) if packed else 0)
        return packed

    async def watch(self) -> None:
        """Open archives that are built while this process runs; until cancelled."""
        while True:
            await asyncio.to_thread(self.shelf.look, self._public.catalogue)
            await asyncio.sleep(LOOK)


def buffer_of(state: State, layer_id: str) -> int:
    """Tile units around a tile in which a layer is drawn; the most for one that is not served (yet)."""
    layer = state.known.layers.get(layer_id)
    return layer.definition.tiles.buffer if layer else MOST_BUFFER


def tiles_of(request: Request) -> Tiles:
    """The tile routes' own state."""
    return cast(Tiles, request.app.state.tiles)


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
    if accepts_gzip(request.headers):
        body = packed.packed
        headers["Content-Encoding"] = "gzip"
        headers["ETag"] = with_suffix(packed.etag)
    else:
        body = packed.body
    return Response(body, headers={**headers, "Content-Type": tilejson.MEDIA_TYPE})


_TILE = "{grid}/{z}/{y}/{x}"

ROUTES = [
    Route(f"/tiles/{_TILE}", get_dataset_tile),
    Route(f"/collections/{{collection}}/tiles/{_TILE}", get_collection_tile),
    *tilesets.ROUTES,
]
