"""All features of a request as one FlatGeobuf that flows: ``f=fgb&limit=all``, in constant memory.

GDAL writes some thousands of features by key at a time, all of one snapshot; what stands before the features
is left out but for the first time, when it is that of a file without features: there is no spatial index in
it, whose place is before the features, and no count (0: not known yet).

PostGIS 3.3 has ST_AsFlatGeobuf, but counts an attribute that is null out of the places of those after it.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from typing import Any, Final

from psycopg import AsyncConnection, sql
from psycopg.pq import TransactionStatus

from gis.api.features.formats import files
from gis.api.features.formats.csvstream import STREAMS, TIMEOUT
from gis.api.features.paging import Cursor
from gis.api.features.params import ItemsQuery, View
from gis.api.features.query import PageForm, record_page
from gis.api.features.where import Selection
from gis.db.member import Connections
from gis.db.sql import column
from layers.registry import Layer

#: Features of a statement: few at first, so that the answer begins at once.
FIRST: Final = 500
FURTHER: Final = 5_000

#: Magic bytes, then the length of the header.
_MAGIC: Final = 8
_LENGTH: Final = struct.Struct("<I")


async def stream(
    connections: Connections, layer: Layer, query: ItemsQuery, storage: int, selection: Selection
) -> AsyncIterator[bytes]:
    """The file in pieces, in order of fid. The first comes when the first statement is answered."""
    async with STREAMS, connections.connection() as connection, _transaction(connection):
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await connection.execute("SELECT set_config('statement_timeout', %s, true)", [TIMEOUT])
        heights = layer.definition.z == "required" or (
            layer.definition.z == "optional"
            and query.view.geometry
            and await _any_heights(connection, selection)
        )
        view = query.view
        head = await asyncio.to_thread(
            files.write, "fgb", layer, view, view.fields, (), heights=heights, index=False
        )
        last: int | None = None
        while True:
            page = replace(
                query,
                limit=FIRST if last is None else FURTHER,
                after=None if last is None else Cursor(last, (), 0, None),
            )
            form = PageForm(
                layer,
                page,
                storage,
                f"fgb {heights}",
                view.fields,
                lambda: _columns(layer, view, storage, heights),
            )
            statement = record_page(form, selection)
            async with connection.cursor(binary=True) as cursor:
                await cursor.execute(statement.text, statement.values, prepare=statement.prepare)
                rows = await cursor.fetchall()
            packed = await asyncio.to_thread(_features, layer, view, rows, heights)
            yield head + packed
            head = b""
            if not rows or rows[-1][-2] <= len(rows):  # no more were met than these
                return
            last = rows[-1][-3]


def _transaction(connection: AsyncConnection[Any]) -> AbstractAsyncContextManager[Any]:
    """A member's connection is in one already, and a snapshot is not chosen in a part of one."""
    begun = connection.info.transaction_status != TransactionStatus.IDLE
    return nullcontext() if begun else connection.transaction()


def _columns(layer: Layer, view: View, storage: int, heights: bool) -> list[sql.Composable]:
    """SQL of the attributes and of the geometry, of alias ``i``."""
    shape = sql.SQL("i.geom").format()
    if view.crs.code != storage:
        shape = sql.SQL("ST_Transform({}, {})").format(shape, sql.Literal(view.crs.code))
    if layer.definition.z == "optional":
        shape = sql.SQL("ST_Force3D({}, 'NaN')" if heights else "ST_Force2D({})").format(shape)
    packed = sql.SQL("ST_AsBinary({})").format(shape) if view.geometry else sql.SQL("NULL::bytea")
    return [*(column(f.name, "i") for f in view.fields), packed]


async def _any_heights(connection: AsyncConnection[Any], selection: Selection) -> bool:
    """Whether any feature of the selection has heights: the header says so for all."""
    asked = " UNION ALL ".join(
        f"SELECT 1 FROM (SELECT geom FROM {source}) AS g WHERE ST_NDims(geom) = 3"  # noqa: S608
        for source in selection.together()
    )
    cursor = await connection.execute(f"SELECT EXISTS ({asked})".encode(), selection.values, prepare=False)
    row = await cursor.fetchone()
    return bool(row and row[0])


def _features(layer: Layer, view: View, rows: Sequence[Sequence[Any]], heights: bool) -> bytes:
    """The file of some rows without what stands before its features."""
    if not rows:
        return b""
    records = [row[: len(view.fields) + 1] for row in rows]
    made = files.write("fgb", layer, view, view.fields, records, heights=heights, index=False)
    (header,) = _LENGTH.unpack_from(made, _MAGIC)
    return made[_MAGIC + _LENGTH.size + header :]
