"""A tile from the database: connection -> bytes, in one round trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection, AsyncRawCursor, Connection, RawCursor
from psycopg.errors import FeatureNotSupported, InsufficientPrivilege, UndefinedColumn, UndefinedTable

from gis.errors import DatabaseError
from tiles.grid import Tile
from tiles.query import MAX_FEATURES, Plan, window

#: Planning 45 layers costs more than running them when most are empty; a tile's plan never depends on
#: where it is (always the spatial index), so the first plan is kept.
_GENERIC = b"SELECT set_config('plan_cache_mode', 'force_generic_plan', true)"


@dataclass(frozen=True)
class Rendered:
    """The layers of a tile, those without features left out."""

    #: Layer id -> an MVT with that one layer. Joined they are an MVT with all of them.
    layers: Mapping[str, bytes]
    #: Layers of which the tile holds only the first MAX_FEATURES features.
    truncated: tuple[str, ...] = ()

    @property
    def mvt(self) -> bytes:
        """The tile. Empty when there is nothing in it."""
        return b"".join(self.layers.values())


EMPTY = Rendered({})


async def render(connection: AsyncConnection, plan: Plan, tile: Tile, storage: int) -> Rendered:
    """Run a plan for a tile on a reader's connection (autocommit, no open transaction).

    ``storage``: EPSG code of the tables' geometry. Raises DatabaseError when a layer is being changed at
    this moment, psycopg errors otherwise. Cancelling the task cancels the query.
    """
    values = _values(plan, tile, storage)
    if values is None:
        return EMPTY
    cursor = AsyncRawCursor(connection)
    try:
        # Until the pipeline ends, its statements are one transaction: the setting ends with it.
        async with connection.pipeline():
            await connection.execute(_GENERIC, prepare=True)
            await cursor.execute(plan.statement, values, prepare=True, binary=True)
        rows = await cursor.fetchall()
    except (UndefinedTable, UndefinedColumn, InsufficientPrivilege, FeatureNotSupported) as error:
        raise DatabaseError("the layers are being changed at the moment", hint="try again") from error
    finally:
        await cursor.close()
    return _rendered(rows)


def render_many(
    connection: Connection[Any], wanted: Sequence[tuple[Plan, Tile]], storage: int, *, gaps: bool
) -> list[Rendered]:
    """As ``render``, for builds: many tiles in one round trip, within the caller's transaction.

    The caller sees to plan_cache_mode. ``gaps`` false: all layers of the plans are public, and their web
    tables have all of their features, so that nothing is asked for in the storage CRS (its window of a tile
    takes longer than a tile that is nearly empty).
    """
    found: list[Rendered] = [EMPTY] * len(wanted)
    cursors: list[RawCursor[Any] | None] = []
    with connection.pipeline():
        for plan, tile in wanted:
            values = _values(plan, tile, storage) if gaps else (_NOWHERE, _target(tile), 0.0, *plan.values)
            cursor = None
            if values is not None:
                cursor = RawCursor(connection)
                cursor.execute(plan.statement, values, prepare=True, binary=True)
            cursors.append(cursor)
    for i, cursor in enumerate(cursors):
        if cursor is not None:
            found[i] = _rendered(cursor.fetchall())
            cursor.close()
    return found


#: In place of a tile's window where nothing is looked for in it.
_NOWHERE = "POINT EMPTY"


def _values(plan: Plan, tile: Tile, storage: int) -> tuple[Any, ...] | None:
    """What the statement binds; None where the storage CRS is not used."""
    seen = window(tile, plan.buffer, storage)
    if seen is None:
        return None
    return (seen.envelope, _target(tile), seen.unit, *plan.values)


def _target(tile: Tile) -> str:
    west, south, east, north = tile.box()
    return f"BOX({west!r} {south!r},{east!r} {north!r})"


def _rendered(rows: list[Any]) -> Rendered:
    return Rendered(
        {layer_id: mvt for layer_id, mvt, _count in rows if mvt},
        tuple(layer_id for layer_id, _mvt, count in rows if count > MAX_FEATURES),
    )
