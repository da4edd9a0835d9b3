"""The items routes alone, in this process, over a real database: what fails is theirs."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from gis.api.features.routes import ROUTES
from gis.api.problems import Problems, on_known_error
from gis.api.state import State
from gis.city import City
from gis.db.pool import open_reader_pool
from gis.db.server import Database
from gis.errors import BandosoError
from gis.settings import Settings
from layers.registry import Catalogue


class Client:
    """Requests to the application, which runs with its pool in a thread of its own."""

    def __init__(self, settings: Settings, city: City, catalogue: Catalogue, db: Database) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.app = Starlette(
            routes=list(ROUTES),
            exception_handlers={BandosoError: on_known_error, HTTPException: on_known_error},
            middleware=[Middleware(Problems)],
        )
        self.pool = self.run(open_reader_pool(settings, db))
        self.app.state.bandoso = State(settings, city, catalogue, self.pool)
        self._http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://test")

    def run[T](self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the application's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request."""
        return self.run(self._http.request(method, path, **options))

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET."""
        return self.request("GET", path, **options)

    def items(self, layer: str, **params: Any) -> httpx.Response:
        """GET of a layer's items; ``_`` in names of parameters that have a ``-`` is written ``__``."""
        query = {name.replace("__", "-"): value for name, value in params.items()}
        return self.get(f"/collections/{layer}/items", params=query)

    def close(self) -> None:
        """Close client, pool and loop."""
        self.run(self._http.aclose())
        self.run(self.pool.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextlib.contextmanager
def items_client(
    settings: Settings, city: City, catalogue: Catalogue, db: Database, pool_size: int = 3
) -> Iterator[Client]:
    """A client with a small pool."""
    client = Client(replace(settings, pool_size=pool_size), city, catalogue, db)
    try:
        yield client
    finally:
        client.close()
