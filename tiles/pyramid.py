"""Which tiles hold anything of which layers: asked of the indexes, from level 0 down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import batched
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection, RawCursor
from psycopg.sql import SQL, Composed, Identifier

from gis.crs import WEB_MERCATOR
from gis.db.low import low_table
from gis.db.sql import LAYERS, WEB
from layers.registry import Layer
from tiles.grid import EXTENT, HALF, Tile
from tiles.marks import MARGIN
from tiles.query import shows, window

#: Tiles that are asked for at a time.
_AT_ONCE: Final = 4000
#: Features up to which a layer is read instead of asked: map sheets are few, and lie in very many tiles.
_FEW: Final = 50_000
#: Tiles of features that are worked out at a time, overlapping ones counted for each.
_MOST: Final = 4_000_000

Wanted = Callable[[Tile], bool]


def occupied(
    connection: Connection[Any],
    layers: Sequence[Layer],
    storage: int,
    max_zoom: int,
    wanted: Wanted | None = None,
) -> dict[Tile, int]:
    """Tiles that may show something of the layers -> which: bit i is the i-th of ``layers``.

    On an owner's connection, in its snapshot. ``wanted``: tiles for which it is false are left out, and all
    below them. Layer by layer, so that an empty tile ends its branch, and a city's outskirts are asked
    about the few layers that reach there.
    """
    found: dict[Tile, int] = {}
    incomplete = _incomplete(connection, layers)
    for i, layer in enumerate(layers):
        last = max((z for z in range(max_zoom + 1) if shows(layer, z)), default=-1)
        probe = _Probe(connection, layer, storage, layer.id in incomplete)
        levels = None if wanted else probe.by_features(last)
        for z, level in enumerate(levels or probe.by_tiles(last, wanted or (lambda _: True))):
            if shows(layer, z):
                for tile in level:
                    found[tile] = found.get(tile, 0) | 1 << i
    return found


def _incomplete(connection: Connection[Any], layers: Sequence[Layer]) -> set[str]:
    """Layers of which not everything is in their web tables (yet)."""
    gaps = connection.execute("SELECT DISTINCT layer FROM bandoso.web_gap").fetchall()
    kept: Mapping[str, bool] = dict(
        connection.execute(
            "SELECT id, to_regclass(format('web.%%I', id)) IS NOT NULL FROM unnest(%s::text[]) AS l (id)",
            [[layer.id for layer in layers]],
        ).fetchall()
    )
    return {str(name) for (name,) in gaps} | {name for name, there in kept.items() if not there}


class _Probe:
    """Asks which tiles hold something of one layer."""

    def __init__(self, connection: Connection[Any], layer: Layer, storage: int, incomplete: bool) -> None:
        self._connection, self._storage, self._incomplete = connection, storage, incomplete
        self._buffer = layer.definition.tiles.buffer + MARGIN
        names = [Identifier(WEB, layer.id)] if layer.definition.access == "public" else []
        if layer.definition.tiles.generalise:
            names.append(low_table(layer.id))
        self._tables = there = [name for name in names if _exists(connection, name)]
        self._statement = _statement(there, layer.id if incomplete else None).as_string(None).encode()

    def by_tiles(self, last: int, wanted: Wanted) -> Iterator[list[Tile]]:
        """Tiles of each level that hold something; below an empty one nothing is asked."""
        level = [Tile(0, 0, 0)]
        for z in range(last + 1):
            level = [tile for some in batched(filter(wanted, level), _AT_ONCE) for tile in self._ask(some)]
            yield level
            level = [Tile(z + 1, 2 * t.x + dx, 2 * t.y + dy) for t in level for dy in (0, 1) for dx in (0, 1)]

    def by_features(self, last: int) -> list[list[Tile]] | None:
        """The same from the boxes of all features; None where they are too many."""
        if self._incomplete:
            return None
        boxes: list[Any] = []
        for name in self._tables:
            query = SQL(
                "SELECT ST_XMin(geom), ST_YMin(geom), ST_XMax(geom), ST_YMax(geom) FROM {} LIMIT {}"
            ).format(name, SQL(str(_FEW + 1 - len(boxes))))
            boxes += self._connection.execute(query).fetchall()
            if len(boxes) > _FEW:
                return None
        if not boxes:
            return [[] for _ in range(last + 1)]
        sides = np.asarray(boxes, np.float64)
        levels = [_covered(sides, z, self._buffer) for z in range(last + 1)]
        return (
            None
            if any(level is None for level in levels)
            else [level for level in levels if level is not None]
        )

    def _ask(self, tiles: Sequence[Tile]) -> list[Tile]:
        """Those that hold something in their box or its buffer."""
        values: list[Any] = [list(side) for side in zip(*map(self._box, tiles), strict=True)]
        if self._incomplete:
            seen = [window(tile, self._buffer, self._storage) for tile in tiles]
            values.append([one.envelope if one else None for one in seen])
        with RawCursor(self._connection) as cursor:
            rows = cursor.execute(self._statement, values, binary=True).fetchall()
        return [tiles[i - 1] for (i,) in rows]

    def _box(self, tile: Tile) -> tuple[float, float, float, float]:
        west, south, east, north = tile.box()
        margin = tile.side * self._buffer / EXTENT
        return west - margin, south - margin, east + margin, north + margin


def _covered(boxes: NDArray[np.float64], z: int, buffer: int) -> list[Tile] | None:
    """Tiles of a level that boxes (EPSG:3857) touch with a buffer; None where they are too many to count."""
    count, side = 1 << z, 2 * HALF / (1 << z)
    margin = side * buffer / EXTENT
    west, south, east, north = boxes.T
    ends = [
        np.clip(np.floor(value / side), 0, count - 1).astype(np.int64)
        for value in (
            west - margin + HALF,
            HALF - north - margin,
            east + margin + HALF,
            HALF - south + margin,
        )
    ]
    wide, high = ends[2] - ends[0] + 1, ends[3] - ends[1] + 1
    sizes = wide * high
    if sizes.sum() > _MOST:
        return None
    which = np.repeat(np.arange(len(boxes)), sizes)
    place = np.arange(len(which)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    rows, columns = np.divmod(place, wide[which])
    keys = np.unique((ends[1][which] + rows) << z | ends[0][which] + columns)
    return [Tile(z, key & count - 1, key >> z) for key in keys.tolist()]


def _exists(connection: Connection[Any], name: Identifier) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [name.as_string(None)]).fetchone()
    return bool(row and row[0])


def _statement(kept: Sequence[Identifier], own: str | None) -> Composed:
    probe = SQL("EXISTS (SELECT FROM {} WHERE geom && {})")
    probes = [probe.format(name, SQL("e.web")) for name in kept]
    if own is not None:
        probes.append(probe.format(Identifier(LAYERS, own), SQL("e.stored")))
    return SQL(
        "SELECT b.i FROM unnest($1::float8[], $2::float8[], $3::float8[], $4::float8[]{more})"
        " WITH ORDINALITY AS b (x0, y0, x1, y1{name}, i)"
        " CROSS JOIN LATERAL (SELECT ST_MakeEnvelope(x0, y0, x1, y1, {web}) AS web{stored}) AS e"
        " WHERE {probes} ORDER BY b.i"
    ).format(
        more=SQL(", $5::geometry[]" if own else ""),
        name=SQL(", seen" if own else ""),
        stored=SQL(", seen AS stored" if own else ""),
        web=SQL(str(WEB_MERCATOR)),
        probes=SQL(" OR ").join(probes) if probes else SQL("false"),
    )
