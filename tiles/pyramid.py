"""Which tiles hold anything of which layers, in the order of an archive: asked of the indexes, part by part.

The deep levels of a city are hundreds of thousands of tiles, those of a country millions. Only the tiles of
some middle level stay in memory; under each of them a deeper level is asked for anew, which costs a third
more questions than to remember it.
"""

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
from tiles.grid import EXTENT, Tile
from tiles.hilbert import tile_id
from tiles.marks import MARGIN
from tiles.query import shows, window

#: Tiles that are asked for at a time.
_AT_ONCE: Final = 4000
#: Features up to which a layer is read instead of asked: map sheets are few, and lie in very many tiles.
_FEW: Final = 20_000
#: The deepest level whose tiles are remembered; a part is what lies below one of them at one level.
MIDDLE: Final = 11

Wanted = Callable[[Tile], bool]

#: Tiles that may show something -> which layers: bit i is the i-th.
Held = dict[Tile, int]


def occupied(
    connection: Connection[Any],
    layers: Sequence[Layer],
    storage: int,
    max_zoom: int,
    wanted: Wanted | None = None,
) -> Iterator[Held]:
    """Tiles that may show something of the layers, in parts; parts and their tiles in order of tile number.

    On an owner's connection, in its snapshot. ``wanted``: tiles for which it is false are left out, and all
    below them. Layer by layer, so that an empty tile ends its branch, and a city's outskirts are asked
    about the few layers that reach there.
    """
    incomplete = _incomplete(connection, layers)
    probes = [
        (i, layer, _Probe(connection, layer, storage, layer.id in incomplete))
        for i, layer in enumerate(layers)
    ]
    last = [max((z for z in range(max_zoom + 1) if shows(layer, z)), default=-1) for layer in layers]
    top: Held = {}
    middle: Held = {}
    for i, layer, probe in probes:
        for level in probe.below([Tile(0, 0, 0)], min(last[i], MIDDLE), wanted):
            for tile in level:
                if shows(layer, tile.z):
                    top[tile] = top.get(tile, 0) | 1 << i
                if tile.z == MIDDLE:
                    middle[tile] = middle.get(tile, 0) | 1 << i
    if top:
        yield _in_order(top)
    order = list(_in_order(middle))
    for z in range(MIDDLE + 1, max_zoom + 1):
        for block in order:
            part: Held = {}
            for i, layer, probe in probes:
                if middle[block] >> i & 1 and shows(layer, z):
                    *_, level = probe.below([block], z, wanted)
                    for tile in level:
                        part[tile] = part.get(tile, 0) | 1 << i
            if part:
                yield _in_order(part)


def _in_order(held: Held) -> Held:
    return {tile: held[tile] for tile in sorted(held, key=lambda t: tile_id(t.z, t.x, t.y))}


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
        self._boxes = self._read()

    def below(self, level: Sequence[Tile], last: int, wanted: Wanted | None) -> Iterator[list[Tile]]:
        """Those of some tiles of a level that hold something, then those of the next level below them, down
        to the last; below an empty one nothing is asked."""
        for z in range(level[0].z, last + 1):
            if wanted is not None:
                level = list(filter(wanted, level))
            found = [tile for some in batched(level, _AT_ONCE) for tile in self._holding(some)]
            yield found
            level = [Tile(z + 1, 2 * t.x + dx, 2 * t.y + dy) for t in found for dy in (0, 1) for dx in (0, 1)]
            if not level:
                yield from ([] for _ in range(z + 1, last + 1))
                return

    def _holding(self, tiles: Sequence[Tile]) -> list[Tile]:
        """Those that hold something in their box or its buffer."""
        boxes = [self._box(tile) for tile in tiles]
        if self._boxes is not None:
            return [tile for tile, held in zip(tiles, _met(boxes, self._boxes), strict=True) if held]
        values: list[Any] = [list(side) for side in zip(*boxes, strict=True)]
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

    def _read(self) -> NDArray[np.float64] | None:
        """The boxes of all features, by their western edge; None where they are too many, or not complete."""
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
        return np.asarray(boxes, np.float64).reshape(-1, 4)


def _met(tiles: Sequence[tuple[float, float, float, float]], boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of some boxes that lie near each other meet any of the others."""
    mine = np.asarray(tiles)
    west, south = mine[:, :2].min(axis=0)
    east, north = mine[:, 2:].max(axis=0)
    near = boxes[
        (boxes[:, 0] <= east) & (boxes[:, 2] >= west) & (boxes[:, 1] <= north) & (boxes[:, 3] >= south)
    ]
    met = np.zeros(len(mine), np.bool_)
    for some in range(0, len(near), _NEAR):
        left, low, right, high = near[some : some + _NEAR].T[:, :, None]
        met |= (
            (left <= mine[:, 2]) & (right >= mine[:, 0]) & (low <= mine[:, 3]) & (high >= mine[:, 1])
        ).any(axis=0)
    return met


#: Boxes of features that are compared with all tiles at a time.
_NEAR: Final = 512


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
