"""All features of a request as one FlatGeobuf that flows: ``f=fgb&limit=all``, in constant memory.

PostgreSQL's rows go as they are (a binary COPY) to a process of their own, which makes features of them while
PostgreSQL makes the next rows (gis.export). What stands before the features is that of a file without any:
there is no spatial index in it, whose place is before the features, and no count (0: not known yet).

PostGIS 3.3 has ST_AsFlatGeobuf, but counts an attribute that is null out of the places of those after it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import Any, Final

from psycopg import AsyncConnection, sql
from psycopg.pq import TransactionStatus

from gis.api.features.formats.csvstream import STREAMS, TIMEOUT
from gis.api.features.formats.files import WRITERS, form_of
from gis.api.features.params import View
from gis.api.features.where import Selection
from gis.db.copyout import binary_rows
from gis.db.member import Connections
from gis.db.sql import column, columns
from gis.export.writers import flatgeobuf
from layers.registry import Layer

#: Features that are worked on at once: few at first, so that the answer begins at once.
FIRST: Final = 500
FURTHER: Final = 3_000
#: Bytes after which they are enough, how many they may be.
BYTES: Final = 1 << 20


async def stream(
    connections: Connections, layer: Layer, view: View, storage: int, selection: Selection
) -> AsyncGenerator[bytes]:
    """The file in pieces, in order of fid. The first comes with the first features."""
    async with (
        STREAMS,
        WRITERS.one(long=True) as writer,
        connections.connection() as connection,
        _transaction(connection),
    ):
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await connection.execute("SELECT set_config('statement_timeout', %s, true)", [TIMEOUT])
        heights = await _heights(connection, layer, view, selection)
        rows = binary_rows(
            connection,
            _statement(layer, view, storage, selection, heights=heights),
            selection.values,
            most_rows=FURTHER,
            most_bytes=BYTES,
            first=FIRST,
        )
        pieces = flatgeobuf(writer, form_of(layer, view, heights=heights), rows)
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece


def _transaction(connection: AsyncConnection[Any]) -> AbstractAsyncContextManager[Any]:
    """A member's connection is in one already, and a snapshot is not chosen in a part of one."""
    begun = connection.info.transaction_status != TransactionStatus.IDLE
    return nullcontext() if begun else connection.transaction()


def _statement(
    layer: Layer, view: View, storage: int, selection: Selection, *, heights: bool
) -> sql.Composed:
    shape = sql.SQL("i.geom").format()
    if view.crs.code != storage:
        shape = sql.SQL("ST_Transform({}, {})").format(shape, sql.Literal(view.crs.code))
    if layer.definition.z == "optional":
        shape = sql.SQL("ST_Force3D({}, 'NaN')" if heights else "ST_Force2D({})").format(shape)
    packed = sql.SQL("ST_AsBinary({})").format(shape) if view.geometry else sql.SQL("NULL::bytea")
    shown = [*(column(f.name, "i") for f in view.fields), packed]
    needed = columns(list(dict.fromkeys(["fid", *(f.name for f in view.fields), "geom"])))
    sources = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {} FROM {}").format(needed, sql.SQL(source)) for source in selection.together()
    )
    return sql.SQL("COPY (SELECT {} FROM ({}) AS i ORDER BY i.fid) TO STDOUT (FORMAT binary)").format(
        sql.SQL(", ").join(shown), sources
    )


async def _heights(connection: AsyncConnection[Any], layer: Layer, view: View, selection: Selection) -> bool:
    """Whether any feature of the selection has heights: the header says so for all."""
    if layer.definition.geometry == "Geometry":
        return False  # GDAL's header of geometries of any kind cannot say so
    if layer.definition.z != "optional" or not view.geometry:
        return layer.definition.z == "required"
    asked = " UNION ALL ".join(
        f"SELECT 1 FROM (SELECT geom FROM {source}) AS g WHERE ST_NDims(geom) = 3"  # noqa: S608
        for source in selection.together()
    )
    cursor = await connection.execute(f"SELECT EXISTS ({asked})".encode(), selection.values, prepare=False)
    row = await cursor.fetchone()
    return bool(row and row[0])
