"""Tiles of low zooms: made from rows that stand for features (``tiles.generalise``; see tiles.derive).

Such rows follow an edit a moment later (tiles.refresh). Whoever keeps bytes of such a tile asks two things:
whether it showed derived rows that were stale when it was made (``stale``; then it must not be kept), and
whether derived rows changed since: marks of bandoso.low_changes, the last of which ``low_horizon`` gives in
the snapshot of the tile. A changeset alone does not change such a tile: the refresh after it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.types.numeric import Int8

from gis.crs import WEB_MERCATOR, Box
from gis.db.low import low_table
from gis.db.sql import column
from layers.registry import Layer
from tiles.grid import EXTENT

#: The tile's box in EPSG:3857, as tiles.query binds it.
TARGET = sql.SQL("$2::box2d")


def is_low(layer: Layer, z: int) -> bool:
    """Whether tiles of this level are made from derived rows of the layer."""
    return not layer.revealed and layer.definition.tiles.level(z) is not None


def low_layers(layers: Sequence[Layer], z: int) -> tuple[str, ...]:
    """Ids of those layers whose derived rows tiles of this level show."""
    return tuple(layer.id for layer in layers if is_low(layer, z))


def low_part(
    layer: Layer,
    z: int,
    attributes: Sequence[str],
    conditions: Sequence[sql.Composable] = (),
    target: sql.Composable = TARGET,
) -> sql.Composed | None:
    """``SELECT fid, attributes, geom`` (in tile units) of a level's derived rows; None where there are none.

    ``attributes``: columns of the level (Layer.tile_fields), as they are in tiles. ``conditions``: which rows
    are hidden at this zoom (``zooms_by``). ``target``: the tile's box2d in EPSG:3857.
    """
    level = layer.definition.tiles.level(z)
    if level is None or not is_low(layer, z):
        return None
    buffer = layer.definition.tiles.buffer
    around = sql.SQL("ST_SetSRID(ST_Expand({0}, (ST_XMax({0}) - ST_XMin({0})) * {1})::geometry, {2})").format(
        target, sql.Literal(buffer / EXTENT), sql.Literal(WEB_MERCATOR)
    )
    where: list[sql.Composable] = [sql.SQL("low__level = {}").format(sql.Literal(level.zooms[0]))]
    where += [sql.SQL("geom && {}").format(around), *conditions]
    return sql.SQL(
        "SELECT fid{attributes}, ST_AsMVTGeom(geom, {target}, {extent}, {buffer}, true) AS geom"
        " FROM {table} WHERE {where} ORDER BY low__cell, low__n"
    ).format(
        attributes=sql.SQL("").join(sql.SQL(", {}").format(column(name)) for name in attributes),
        target=target,
        extent=sql.Literal(EXTENT),
        buffer=sql.Literal(buffer),
        table=low_table(layer.id),
        where=sql.SQL(" AND ").join(where),
    )


async def stale(
    connection: AsyncConnection[Any], layers: Sequence[str], stored: Box | None, web: Box
) -> bool:
    """Whether derived rows of these layers (``low_layers``) that a tile shows may be older than its features.

    ``stored`` and ``web``: the tile with its buffer in the storage CRS (None: it has no place there) and in
    EPSG:3857. Asked in the snapshot of the tile, or before it.
    """
    if not layers or stored is None:
        return False
    cursor = await connection.execute(
        "SELECT bandoso.low_stale(%s::text[], %s::box2d, %s::box2d)",
        [list(layers), _box2d(stored), _box2d(web)],
    )
    row = await cursor.fetchone()
    return bool(row and row[0])


def _box2d(box: Box) -> str:
    return "BOX({!r} {!r},{!r} {!r})".format(*map(float, box))


async def low_horizon(connection: AsyncConnection[Any]) -> int:
    """The last mark: what is read in the same snapshot has everything up to it."""
    cursor = await connection.execute("SELECT bandoso.low_horizon()")
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def low_changes(
    connection: AsyncConnection[Any], since: int, upto: int
) -> list[tuple[int, str, tuple[Box, ...] | None]]:
    """(mark, layer, boxes in EPSG:3857 of the rows as they were and are) after a mark, up to another.

    Boxes None: anywhere in the layer (marks as old as that were forgotten).
    """
    cursor = await connection.execute(
        "SELECT mark, layer, boxes FROM bandoso.low_changes(%s, %s)", [Int8(since), Int8(upto)]
    )
    return [
        (mark, layer, None if boxes is None else tuple((b[0], b[1], b[2], b[3]) for b in boxes))
        for mark, layer, boxes in await cursor.fetchall()
    ]
