"""Which tiles hold anything: asked of the indexes from level 0 down, an empty tile ending its branch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import batched
from typing import Any, Final

from psycopg import Connection, RawCursor
from psycopg.sql import SQL, Composed, Identifier

from gis.crs import WEB_MERCATOR
from gis.db.sql import LAYERS, WEB
from layers.registry import Layer
from tiles.grid import EXTENT, Tile
from tiles.marks import MARGIN
from tiles.query import window

#: Tiles that are asked for at a time.
_AT_ONCE: Final = 2000


class Pyramid:
    """Asks on an owner's connection, in its snapshot."""

    def __init__(self, connection: Connection[Any], layers: Sequence[Layer], storage: int) -> None:
        self._connection = connection
        self._storage = storage
        self._buffer = max((layer.definition.tiles.buffer for layer in layers), default=0) + MARGIN
        ids = [layer.id for layer in layers]
        found = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('web') AND relkind = 'r'"
            " AND regexp_replace(relname, '__low$', '') = ANY (%s) ORDER BY reltuples DESC",
            [ids],
        ).fetchall()
        kept = [str(name) for (name,) in found]
        # What has no row in its web table yet is looked for in the layer's own.
        incomplete = {
            str(name)
            for (name,) in connection.execute("SELECT DISTINCT layer FROM bandoso.web_gap").fetchall()
        } | set(ids).difference(kept)
        self._by_layer = sorted(incomplete.intersection(ids))
        self._statement = _statement(kept, self._by_layer).as_string(None).encode()

    def occupied(
        self, max_zoom: int, wanted: Callable[[Tile], bool] = lambda _: True
    ) -> Iterator[list[Tile]]:
        """Tiles that hold anything of the layers at any level, level after level.

        ``wanted``: tiles for which it is false are left out, and all below them.
        """
        level = [Tile(0, 0, 0)]
        for z in range(max_zoom + 1):
            level = [tile for some in batched(filter(wanted, level), _AT_ONCE) for tile in self._ask(some)]
            yield level
            if z < max_zoom:
                level = [Tile(z + 1, 2 * t.x + i, 2 * t.y + j) for t in level for j in (0, 1) for i in (0, 1)]

    def _ask(self, tiles: Sequence[Tile]) -> list[Tile]:
        boxes = [_extended(tile, self._buffer) for tile in tiles]
        values: list[Any] = [list(side) for side in zip(*boxes, strict=True)]
        if self._by_layer:
            seen = [window(tile, self._buffer, self._storage) for tile in tiles]
            values.append([one.envelope if one else None for one in seen])
        with RawCursor(self._connection) as cursor:
            rows = cursor.execute(self._statement, values).fetchall()
        return [tiles[i - 1] for (i,) in rows]


def _extended(tile: Tile, buffer: int) -> tuple[float, float, float, float]:
    west, south, east, north = tile.box()
    margin = tile.side * buffer / EXTENT
    return west - margin, south - margin, east + margin, north + margin


def _statement(kept: Sequence[str], by_layer: Sequence[str]) -> Composed:
    probe = SQL("EXISTS (SELECT FROM {} WHERE geom && {})")
    probes = [probe.format(Identifier(WEB, name), SQL("e.web")) for name in kept]
    probes += [probe.format(Identifier(LAYERS, name), SQL("e.stored")) for name in by_layer]
    return SQL(
        "SELECT b.i FROM unnest($1::float8[], $2::float8[], $3::float8[], $4::float8[]{more})"
        " WITH ORDINALITY AS b (x0, y0, x1, y1{name}, i)"
        " CROSS JOIN LATERAL (SELECT ST_MakeEnvelope(x0, y0, x1, y1, {web}) AS web{stored}) AS e"
        " WHERE {probes} ORDER BY b.i"
    ).format(
        more=SQL(", $5::geometry[]" if by_layer else ""),
        name=SQL(", seen" if by_layer else ""),
        stored=SQL(", seen AS stored" if by_layer else ""),
        web=SQL(str(WEB_MERCATOR)),
        probes=SQL(" OR ").join(probes) if probes else SQL("false"),
    )
