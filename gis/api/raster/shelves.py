"""Which raster files a server process may show: read from the database, and again after a load."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import shapely
from psycopg import AsyncConnection

from gis.api.state import State
from gis.db.rasters import FILES, GENERATIONS
from gis.settings import Settings
from layers.raster import RasterLayer
from tiles.mosaic import Mosaic, Scene

LOG = logging.getLogger("bandoso.api")

#: Seconds for which an answer of the database holds.
REFRESH = 2.0
#: Members whose layers are kept by one process.
MOST_MEMBERS = 100


@dataclass(frozen=True)
class Shelves:
    """Layers that have files, as somebody may see them; in the catalogue's order.

    ``version`` changes with them; it is 0 while there are none.
    """

    version: Hashable = 0
    mosaics: Mapping[str, Mosaic] = field(default_factory=lambda: MappingProxyType({}))


@dataclass
class _Kept:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    read_at: float = -math.inf
    #: Ids of the layers that it was read for.
    wanted: str = ""
    generations: dict[str, tuple[int, RasterLayer]] = field(default_factory=dict)
    shelves: Shelves = field(default_factory=Shelves)


class Rasters:
    """One a process. ``get`` never fails: on trouble what was known stays."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._public = _Kept()
        self._members: OrderedDict[Hashable, _Kept] = OrderedDict()

    async def get(self, state: State | None = None, *, again: bool = False) -> Shelves:
        """What ``state`` shows (None: to anyone), at most REFRESH seconds old, or (``again``) read now."""
        state = state or self._state
        layers = {i: one for i, one in state.catalogue.rasters.items() if one.is_public}
        if not layers:
            return Shelves()
        kept = self._kept(state, layers)
        mark = " ".join(layers)
        if not again and mark == kept.wanted and time.monotonic() - kept.read_at < REFRESH:
            return kept.shelves
        if kept.lock.locked() and mark == kept.wanted and not again:
            return kept.shelves  # another request reads already
        async with kept.lock:
            if again or mark != kept.wanted or time.monotonic() - kept.read_at >= REFRESH:
                try:
                    await self._read(state, kept, layers)
                except Exception as error:
                    LOG.warning("raster layers could not be read: %s", type(error).__name__)
                kept.read_at, kept.wanted = time.monotonic(), mark
        return kept.shelves

    def _kept(self, state: State, layers: Mapping[str, RasterLayer]) -> _Kept:
        if not any(one.revealed for one in layers.values()):
            return self._public
        kept = self._members.setdefault(state.viewer, _Kept())
        self._members.move_to_end(state.viewer)
        if len(self._members) > MOST_MEMBERS:
            self._members.popitem(last=False)
        return kept

    async def _read(self, state: State, kept: _Kept, layers: Mapping[str, RasterLayer]) -> None:
        pool = state.pool if any(one.revealed for one in layers.values()) else state.readers
        async with pool.connection(timeout=5) as connection:
            cursor = await connection.execute(GENERATIONS)
            found = {str(i): int(n) for i, n in await cursor.fetchall() if str(i) in layers}
            wanted = {i: (found[i], one) for i, one in layers.items() if i in found}
            if wanted == kept.generations:
                return
            stale = [i for i, mark in wanted.items() if kept.generations.get(i) != mark]
            rows = await _rows(connection, stale)
        fresh = await asyncio.to_thread(self._mosaics, rows, layers)
        mosaics = {
            i: one for i in wanted if (one := fresh.get(i) if i in stale else kept.shelves.mosaics.get(i))
        }
        version = tuple((i, wanted[i][0], str(wanted[i][1].definition)) for i in mosaics)
        kept.shelves = Shelves(version or 0, MappingProxyType(mosaics))
        kept.generations = wanted

    def _mosaics(
        self, rows: Mapping[str, list[tuple[Any, ...]]], layers: Mapping[str, RasterLayer]
    ) -> dict[str, Mosaic]:
        return _made(rows, layers, self._state.settings, self._state.city.crs.storage)


async def read_mosaics(
    connection: AsyncConnection, layers: Mapping[str, RasterLayer], settings: Settings, storage: int
) -> dict[str, Mosaic]:
    """Those of some layers that have files, by what the connection may read; for commands."""
    return _made(await _rows(connection, list(layers)), layers, settings, storage)


def _made(
    rows: Mapping[str, list[tuple[Any, ...]]],
    layers: Mapping[str, RasterLayer],
    settings: Settings,
    storage: int,
) -> dict[str, Mosaic]:
    folder = settings.rasters_folder
    return {
        i: Mosaic(layers[i], [_scene(folder / i, row) for row in some], storage)
        for i, some in rows.items()
        if some
    }


async def _rows(connection: AsyncConnection, ids: list[str]) -> dict[str, list[tuple[Any, ...]]]:
    rows: dict[str, list[tuple[Any, ...]]] = {i: [] for i in ids}
    if ids:
        cursor = await connection.execute(FILES, [ids])
        for row in await cursor.fetchall():
            rows[str(row[0])].append(row)
    return rows


def _scene(folder: Any, row: tuple[Any, ...]) -> Scene:
    _layer, number, name, footprint, sheet, resolution, taken, source, lowest, highest, loaded = row
    return Scene(
        path=folder / name,
        footprint=shapely.from_wkb(bytes(footprint)),
        sheet=sheet,
        resolution_m=float(resolution),
        taken_on=taken,
        source=source,
        lowest=lowest,
        highest=highest,
        loaded_at=loaded,
        id=int(number),
    )
