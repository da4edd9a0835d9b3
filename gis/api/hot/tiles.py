"""Tiles that are at hand: out of an archive or memory, without a database and without waiting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gis.api.compress import with_suffix
from gis.api.hot.asked import STANDARD, Asked, Pairs, is_current, vary
from gis.api.state import State
from gis.api.tiles import CACHE_CONTROL, NO_CONTENT, Tiles, Wanted
from gis.errors import BandosoError
from layers.registry import Catalogue, Layer
from tiles import tilejson
from tiles.grid import GRID, parse_tile

#: Addresses whose meaning is kept.
MOST: Final = 20_000

_EMPTY: Final[Pairs] = [
    *STANDARD,
    (b"cache-control", CACHE_CONTROL.encode()),
    vary("Accept-Encoding"),
]
_TILE: Final[Pairs] = [*_EMPTY, (b"content-type", tilejson.MEDIA_TYPE.encode())]
_PACKED: Final[Pairs] = [*_TILE, (b"content-encoding", b"gzip")]


class HandTiles:
    """What addresses of tiles mean. ``state``: anyone's."""

    def __init__(self, state: State, tiles: Tiles) -> None:
        self._state = state
        self._tiles = tiles
        self._catalogue: Catalogue | None = None
        self._wanted: dict[str, Wanted | None] = {}

    def answer(
        self, path: str, parts: list[str], asked: Asked, headers: Mapping[bytes, bytes]
    ) -> tuple[int, Pairs, bytes] | None:
        """The answer if the tile is at hand; None: the long way."""
        if self._catalogue is not self._state.catalogue:
            self._wanted.clear()
            self._catalogue = self._state.catalogue
        wanted = self._wanted.get(path)
        if wanted is None:
            wanted = self._meaning(parts)
            if wanted is None:
                return None
            if len(self._wanted) >= MOST:
                self._wanted.clear()
            self._wanted[path] = wanted
        found = self._tiles.at_hand(wanted)
        if found is None:
            return None
        packed = found[0]
        if packed is None:
            return NO_CONTENT, _EMPTY, b""
        if packed.truncated:
            return None
        etag = packed.etag
        matches = headers.get(b"if-none-match")
        if matches is not None and is_current(matches, etag):
            if asked.gzip and b'-gzip"' in matches:
                etag = with_suffix(etag)
            return 304, [*_EMPTY, (b"etag", etag.encode())], b""
        if asked.gzip:
            body = packed.packed
            own = [*_PACKED, (b"etag", with_suffix(etag).encode()), (b"content-length", b"%d" % len(body))]
        else:
            body = packed.body
            own = [*_TILE, (b"etag", etag.encode()), (b"content-length", b"%d" % len(body))]
        return 200, own, body

    def _meaning(self, parts: list[str]) -> Wanted | None:
        """Of /tiles/{grid}/{z}/{y}/{x} or /collections/{collection}/tiles/{grid}/{z}/{y}/{x}."""
        if parts[-4] != GRID:
            return None
        try:
            tile = parse_tile(*parts[-3:])
            layers: tuple[Layer, ...] = self._state.catalogue.public()
            if parts[1] == "collections":
                layers = (self._state.layer(parts[2]),)
        except BandosoError:
            return None
        return self._tiles.wanted(self._state, layers, tile)
