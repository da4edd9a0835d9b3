"""Row counts and extents of the layers, as documents show them; read at most once in REFRESH seconds.

Counts are exact (bandoso.row_count sums deltas). Extents come from the head of the spatial index, which
costs nothing on millions of rows and is at most a float's rounding larger than the data.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import psycopg
from psycopg import AsyncConnection

from gis.api.state import State
from gis.crs import WGS84, transform_box

LOG = logging.getLogger("bandoso.api")

REFRESH = 3.0

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class LayerStats:
    """``extent``: west, south, east, north in degrees (CRS84), None when empty or not known."""

    count: int = 0
    extent: Box | None = None


@dataclass(frozen=True)
class Stats:
    """``version`` changes when anything in ``layers`` does."""

    version: int = 0
    layers: Mapping[str, LayerStats] = field(default_factory=lambda: MappingProxyType({}))

    def of(self, layer_id: str) -> LayerStats:
        """Figures of a layer; zero when they are not known yet."""
        return self.layers.get(layer_id, LayerStats())


class Statistics:
    """The figures of one process. ``get`` is cheap and never fails: on trouble the former ones stay."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._current = Stats()
        self._read_at = -math.inf
        self._layers: tuple[str, ...] = ()
        self._lock = asyncio.Lock()

    async def get(self) -> Stats:
        """Figures of the public layers, at most REFRESH seconds old while the database answers."""
        ids = tuple(layer.id for layer in self._state.catalogue.public())
        if time.monotonic() - self._read_at < REFRESH and ids == self._layers:
            return self._current
        if self._lock.locked() and self._current.version:
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
        async with self._state.pool.connection(timeout=5) as connection:
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
            self._current = Stats(self._current.version + 1, MappingProxyType(found))

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
        shape = transform_box(
            (float(row[0]), float(row[1]), float(row[2]), float(row[3])), self._state.city.crs.storage, WGS84
        )
        west, south, east, north = shape.bounds
        return (_down(west), _down(south), -_down(-east), -_down(-north))


def _down(degrees: float) -> float:
    """Rounded down to a micro-degree (11 cm), so that a box never shrinks."""
    return math.floor(degrees * 1e6) / 1e6
