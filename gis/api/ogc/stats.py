"""Row counts and extents of the layers, as documents show them; read at most once in REFRESH seconds.

Counts are exact (bandoso.row_count sums deltas). Extents come from the head of the spatial index, which
costs nothing on millions of rows and is at most a float's rounding larger than the data.

Of restricted layers, members are shown the figures of the rows that they see: read for each of them, and
again when rows of the layer have changed.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql

from gis.api.raster.shelves import Rasters
from gis.api.state import State
from gis.crs import WGS84, transform_box
from gis.db.sql import table
from layers.registry import Layer
from tiles.mosaic import Mosaic

LOG = logging.getLogger("bandoso.api")

REFRESH = 3.0
#: Members whose figures are kept by one process, and the share of the time that may go into reading them.
MOST_MEMBERS, SHARE = 500, 0.05

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class LayerStats:
    """``extent``: west, south, east, north in degrees (CRS84), None when empty or not known."""

    count: int = 0
    extent: Box | None = None


@dataclass(frozen=True)
class Stats:
    """``version`` changes when anything in ``layers`` does; nobody else's is the same."""

    version: Hashable = 0
    layers: Mapping[str, LayerStats] = field(default_factory=lambda: MappingProxyType({}))
    #: Raster layers that have files.
    rasters: Mapping[str, Mosaic] = field(default_factory=lambda: MappingProxyType({}))

    def of(self, layer_id: str) -> LayerStats:
        """Figures of a layer; zero when they are not known yet."""
        return self.layers.get(layer_id, LayerStats())


class Statistics:
    """The figures of one process. ``get`` is cheap and never fails: on trouble the former ones stay."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._current, self._version = Stats(), 0
        self.rasters = Rasters(state)
        self._read_at = -math.inf
        self._layers: tuple[str, ...] = ()
        self._lock = asyncio.Lock()
        self._members: OrderedDict[Hashable, _Member] = OrderedDict()

    async def get(self, state: State | None = None) -> Stats:
        """Figures of the layers that ``state`` shows (None: to anyone), at most REFRESH seconds old while the
        database answers."""
        stats = await self._features(state)
        shelves = await self.rasters.get(state)
        if not shelves.mosaics:
            return stats
        return replace(stats, version=(stats.version, shelves.version), rasters=shelves.mosaics)

    async def _features(self, state: State | None) -> Stats:
        public = await self._public()
        layers = [] if state is None else [i for i in state.catalogue.public() if i.access != "public"]
        if state is None or not layers:
            return public
        key = (state.viewer, state.catalogue.fingerprint)
        member = self._members.setdefault(key, _Member())
        self._members.move_to_end(key)
        if len(self._members) > MOST_MEMBERS:
            self._members.popitem(last=False)
        async with member.lock:
            if time.monotonic() >= member.next_at:
                began = time.monotonic()
                try:
                    await self._read_member(state, member, layers)
                except Exception as error:
                    LOG.warning("a member's counts could not be read: %s", type(error).__name__)
                now = time.monotonic()
                member.next_at = now + max(REFRESH, (now - began) / SHARE)
        found = {**public.layers, **{i: stats for i, (_, stats) in member.layers.items()}}
        return Stats((public.version, key, member.version), MappingProxyType(found))

    async def _read_member(self, state: State, member: _Member, layers: list[Layer]) -> None:
        async with state.pool.connection(timeout=5) as connection:
            for layer in layers:
                cursor = await connection.execute("SELECT bandoso.seen_mark(%s)", [layer.id])
                row = await cursor.fetchone()
                mark = row[0] if row else None
                former = member.layers.get(layer.id)
                if former is not None and former[0] == mark:
                    continue
                cursor = await connection.execute(_SEEN.format(table(layer)))
                seen = await cursor.fetchone()
                assert seen is not None
                stats = LayerStats(int(seen[0]), None if seen[1] is None else self._degrees(seen[1:]))
                if former is None or former[1] != stats:
                    member.version += 1
                member.layers[layer.id] = (mark, stats)

    async def _public(self) -> Stats:
        ids = tuple(layer.id for layer in self._state.catalogue.public())
        if time.monotonic() - self._read_at < REFRESH and ids == self._layers:
            return self._current
        if self._lock.locked() and self._version:
            return self._current  # another request reads already
        async with self._lock:
            if time.monotonic() - self._read_at >= REFRESH or ids != self._layers:
                try:
                    await self._read(ids)
                except Exception as error:
                    LOG.warning("counts and extents could not be read: %s", type(error).__name__)
                self._read_at, self._layers = time.monotonic(), ids
        return self._current

    async def _read(self, ids: tuple[str, ...]) -> None:
        async with self._state.readers.connection(timeout=5) as connection:
            cursor = await connection.execute(
                "SELECT id, bandoso.row_count(id) FROM unnest(%s::text[]) AS id", [list(ids)]
            )
            counts = {str(row[0]): int(row[1] or 0) for row in await cursor.fetchall()}
            found: dict[str, LayerStats] = {}
            for layer_id in ids:
                former = self._current.layers.get(layer_id)
                count = counts.get(layer_id, 0)
                if former is not None and former.count == count and (former.extent or not count):
                    found[layer_id] = former
                else:
                    found[layer_id] = LayerStats(count, await self._extent(connection, layer_id))
        if found != dict(self._current.layers):
            self._version += 1
            self._current = Stats(self._version, MappingProxyType(found))

    async def _extent(self, connection: AsyncConnection, layer_id: str) -> Box | None:
        try:
            async with connection.transaction():
                cursor = await connection.execute(
                    "SELECT ST_XMin(box), ST_YMin(box), ST_XMax(box), ST_YMax(box)"
                    " FROM (SELECT ST_EstimatedExtent('layer', %s, 'geom') AS box) AS estimate",
                    [layer_id],
                )
                row = await cursor.fetchone()
        except psycopg.Error:
            return None
        if row is None or row[0] is None:
            return None
        return self._degrees(row)

    def _degrees(self, row: Sequence[Any]) -> Box:
        """A box of the storage CRS."""
        minx, miny, maxx, maxy = (float(value) for value in row)
        shape = transform_box((minx, miny, maxx, maxy), self._state.city.crs.storage, WGS84)
        west, south, east, north = shape.bounds
        return (_down(west), _down(south), -_down(-east), -_down(-north))


_SEEN = sql.SQL(
    "SELECT count, ST_XMin(box), ST_YMin(box), ST_XMax(box), ST_YMax(box)"
    " FROM (SELECT count(*) AS count, ST_Extent(geom) AS box FROM {}) AS seen"
)


@dataclass
class _Member:
    """The figures of one member: layer -> what they were read at (bandoso.seen_mark), and they."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    next_at: float = -math.inf
    version: int = 0
    layers: dict[str, tuple[str | None, LayerStats]] = field(default_factory=dict)


def _down(degrees: float) -> float:
    """Rounded down to a micro-degree (11 cm), so that a box never shrinks."""
    return math.floor(degrees * 1e6) / 1e6
