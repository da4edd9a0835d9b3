"""Where pictures are made: two threads of each process, with a queue that has an end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, cast

from starlette.requests import Request

from gis.api.problems import Refusal
from gis.api.raster.shelves import Rasters, Shelves
from gis.api.state import State, state_of
from gis.errors import NotFoundError
from tiles.flight import Flights
from tiles.mosaic import Gone, Mosaic

#: Threads that read pixels (each with some MB), and pictures that may wait for them.
THREADS, MOST_WAITING = 2, 64


class Studio:
    """One a process; it costs nothing until the first picture is asked for."""

    def __init__(self, rasters: Rasters) -> None:
        self.rasters = rasters
        self._pool: ThreadPoolExecutor | None = None
        self._flights: Flights[Any] = Flights()
        self._waiting = 0

    async def shelves(self, state: State, *, again: bool = False) -> Shelves:
        """The raster layers that ``state`` shows."""
        return await self.rasters.get(state, again=again)

    async def mosaic(self, state: State, layer_id: str, *, again: bool = False) -> Mosaic:
        """The files of a layer. Raises NotFoundError; a hidden or empty layer looks absent."""
        found = (await self.shelves(state, again=again)).mosaics.get(layer_id)
        if found is None:
            raise NotFoundError("there is no such raster collection", hint="see /collections for the list")
        return found

    async def run[T](self, key: Hashable, work: Callable[[], T]) -> T:
        """``work`` in a thread; who asks for the same at the same time shares it. Raises Refusal (503)."""
        return cast(T, await self._flights.get(key, partial(self._run, work)))

    async def _run[T](self, work: Callable[[], T]) -> T:
        if self._waiting >= MOST_WAITING:
            raise Refusal(503, "busy", "too many pictures are being made at the moment")
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="raster")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Let the threads end."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def studio_of(request: Request) -> Studio:
    """The studio of this process."""
    return cast(Studio, request.app.state.studio)


async def fresh_twice[T](request: Request, layer_id: str, work: Callable[[Mosaic], Any]) -> T:
    """``await work(mosaic)``; once more with the files as they are now when one was replaced meanwhile."""
    studio, state = studio_of(request), state_of(request)
    mosaic = await studio.mosaic(state, layer_id)
    try:
        return cast(T, await work(mosaic))
    except Gone:
        mosaic = await studio.mosaic(state, layer_id, again=True)
    try:
        return cast(T, await work(mosaic))
    except Gone as error:
        raise Refusal(503, "file-missing", "a file of this layer cannot be read at the moment") from error
