"""Stands before the application and answers what it knows; see the package's text."""

from __future__ import annotations

import time
from typing import Final

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from gis.api import metrics
from gis.api.access_log import Entry, LineWriter, Observe, request_ids
from gis.api.hot.asked import OTHERS, Pairs, Reader
from gis.api.hot.items import Items
from gis.api.hot.tiles import HandTiles
from gis.api.state import State
from gis.db.quick import NotQuick
from gis.errors import BandosoError
from gis.settings import Settings
from layers.registry import Catalogue

ITEM: Final = "/collections/{collection}/items/{fid}"
ITEMS: Final = "/collections/{collection}/items"
TILE: Final = "/collections/{collection}/tiles/{grid}/{z}/{y}/{x}"
TILES: Final = "/tiles/{grid}/{z}/{y}/{x}"

#: Longest path and query; longer ones are looked at by gis.api.guard.
MOST_BYTES: Final = 3000


class Front:
    """ASGI application before ``app``."""

    def __init__(self, app: Starlette, settings: Settings, writer: LineWriter) -> None:
        self.application = app
        self._writer = writer
        self._ids = request_ids()
        self._observe = Observe(app, writer, settings.trusted_proxies, verbose=False)
        self._reader = Reader()
        self._state: State | None = None
        self._catalogue: Catalogue | None = None
        self._items: Items | None = None
        self._tiles: HandTiles | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            parts = scope["path"].split("/")
            kind = _kind(parts)
            if kind is not None and await self._answered(scope, parts, kind, send):
                return
        await self.application(scope, receive, send)

    async def _answered(self, scope: Scope, parts: list[str], route: str, send: Send) -> bool:
        """Whether the request was answered here."""
        began = time.perf_counter()
        pairs = scope["headers"]
        headers = dict(pairs)
        if len(headers) != len(pairs) or not OTHERS.isdisjoint(headers):
            return False
        raw = scope["query_string"]
        if len(raw) + len(scope["path"]) > MOST_BYTES or not self._ready():
            return False
        assert self._state is not None and self._items is not None and self._tiles is not None
        try:
            asked = self._reader.read(self._state, scope, headers)
            if asked is None:
                return False
            query = raw.decode("ascii")
            answer: tuple[int, Pairs, bytes] | None
            if route is TILE or route is TILES:
                answer = None if query else self._tiles.answer(scope["path"], parts, asked, headers)
            else:
                layer = self._items.layer(parts[2])
                if layer is None:
                    return False
                metrics.ACTIVE.inc()
                try:
                    if route is ITEM:
                        answer = await self._items.one(layer, parts[4], query, asked, headers)
                    else:
                        answer = await self._items.page(layer, query, asked, headers)
                finally:
                    metrics.ACTIVE.dec()
        except (NotQuick, BandosoError, UnicodeDecodeError):  # told as it should be, by the application
            return False
        if answer is None:
            return False
        status, own, body = answer
        request_id = next(self._ids)
        sent = 0
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": status,
                    "headers": [*own, (b"x-request-id", request_id.encode())],
                }
            )
            await send({"type": "http.response.body", "body": body})
            sent = len(body)
        except BaseException:
            status = 499
            raise
        finally:
            self._writer.put(
                Entry(
                    time.time(),
                    request_id,
                    "GET",
                    route,
                    scope["path"],
                    raw,
                    status,
                    sent,
                    time.perf_counter() - began,
                    self._observe.client_of(scope),
                    headers.get(b"user-agent", b""),
                )
            )
        return True

    def _ready(self) -> bool:
        """Whether the application runs; takes a new catalogue over."""
        kept = self.application.state._state
        state: State | None = kept.get("bandoso")
        quick, tiles = kept.get("quick"), kept.get("tiles")
        if state is None or quick is None or tiles is None:
            return False
        if state is not self._state or state.catalogue is not self._catalogue:
            self._state, self._catalogue = state, state.catalogue
            self._items = Items(state, quick)
            self._tiles = HandTiles(state, tiles)
            self._reader = Reader()
        return True


def _kind(parts: list[str]) -> str | None:
    """The route of a path that may be answered here."""
    count = len(parts)
    if count < 4 or parts[0]:
        return None
    if parts[1] == "collections":
        if parts[3] == "items":
            return ITEM if count == 5 else ITEMS if count == 4 else None
        return TILE if count == 8 and parts[3] == "tiles" else None
    return TILES if count == 6 and parts[1] == "tiles" else None
