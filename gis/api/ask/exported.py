"""Writers of /export: pieces of a file as they come from the database."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
import shapely
from psycopg import AsyncConnection, sql

from gis.api.features.formats import csvstream, fgbstream, files, geojson
from gis.api.features.formats.files import geometry_column
from gis.db.copyout import binary_rows
from gis.db.member import Connections
from gis.db.sql import column, columns
from gis.export import model
from gis.export.writers import feed

if TYPE_CHECKING:
    from gis.api.ask.export import Part

_PORTION: Final = 2_000
_PIECE: Final = 64 * 1024
_STREAMS: Final = asyncio.Semaphore(2)


async def _rows(
    connection: AsyncConnection[Any], part: Part, shown: Sequence[sql.Composable]
) -> AsyncGenerator[list[tuple[Any, ...]]]:
    """``shown`` (SQL of alias ``i``) of a layer's features in order of fid, in portions."""
    async with _unhurried(connection), connection.cursor(name="export", binary=True) as cursor:
        await cursor.execute(_query(part, shown), part.selection.values)
        while rows := await cursor.fetchmany(_PORTION):
            yield rows


def _query(part: Part, shown: Sequence[sql.Composable]) -> sql.Composed:
    (source,) = part.selection.together()
    names = columns([*dict.fromkeys(("fid", *(f.name for f in part.view.fields), "geom"))])
    return sql.SQL("SELECT {} FROM (SELECT {} FROM {} ORDER BY fid) AS i").format(
        sql.SQL(", ").join(shown), names, sql.SQL(source)
    )


@asynccontextmanager
async def _unhurried(connection: AsyncConnection[Any]) -> AsyncIterator[None]:
    """A transaction whose statements may take as long as those that flow."""
    async with connection.transaction():
        await connection.execute("SELECT set_config('statement_timeout', %s, true)", [csvstream.TIMEOUT])
        yield


async def geojson_file(
    connections: Connections, parts: Sequence[Part], storage: int
) -> AsyncGenerator[bytes]:
    """One FeatureCollection; each feature names its layer beside its id."""
    async with _STREAMS, connections.connection() as connection:
        yield b'{"type":"FeatureCollection","features":['
        comma = b"\n"
        for part in parts:
            mark = b'{"layer":' + orjson.dumps(part.layer.id) + b","
            async for rows in _rows(connection, part, [geojson.geojson_feature(part.view, storage)]):
                yield comma + b",\n".join(mark + row[0].encode()[1:] for row in rows)
                comma = b",\n"
        yield b"\n]}\n"


async def zip_of_csv(connections: Connections, parts: Sequence[Part], storage: int) -> AsyncGenerator[bytes]:
    """A CSV file for each layer."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in parts:
            with archive.open(f"{part.layer.id}.csv", "w", force_zip64=True) as member:
                async for piece in csvstream.stream(
                    connections, part.layer, part.view, storage, part.selection
                ):
                    member.write(piece)
                    if sink.size > _PIECE:
                        yield sink.take()
            yield sink.take()
    yield sink.take()


class _Sink(io.RawIOBase):
    """What a zip is written to: bytes that are taken away as they come."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        self.size += len(data)
        return len(data)

    def take(self) -> bytes:
        found = b"".join(self._parts)
        self._parts.clear()
        self.size = 0
        return found


async def dxf_file(connections: Connections, parts: Sequence[Part], storage: int) -> AsyncGenerator[bytes]:
    """DXF R12, which every CAD program reads: points and polylines on layers named as the collections.

    Heights stand where a feature has them.
    """
    # half a second to import: only whoever asks for a drawing pays for it
    from ezdxf.addons.r12writer import R12FastStreamWriter

    text = io.StringIO()
    drawing = R12FastStreamWriter(text)
    async with _STREAMS, connections.connection() as connection:
        for part in parts:
            async for rows in _rows(
                connection, part, [geometry_column("gpkg", part.layer, part.view, storage)]
            ):
                for shape in shapely.get_parts(
                    shapely.from_wkb(np.array([r[0] for r in rows], dtype=object))
                ):
                    _draw(drawing, shape, part.layer.id)
                yield _taken(text)
    drawing.close()
    yield _taken(text)


def _taken(text: io.StringIO) -> bytes:
    found = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return found


def _draw(drawing: Any, shape: shapely.Geometry, layer: str) -> None:
    kind = shapely.get_type_id(shape)
    if kind == shapely.GeometryType.POINT:
        drawing.add_point(_vertices(shape)[0], layer=layer)
    elif kind in (shapely.GeometryType.LINESTRING, shapely.GeometryType.LINEARRING):
        drawing.add_polyline(_vertices(shape), layer=layer)
    elif kind == shapely.GeometryType.POLYGON:
        for ring in shapely.get_rings(shape):
            drawing.add_polyline(_vertices(ring)[:-1], layer=layer, closed=True)
    else:  # a collection within a collection
        for one in shapely.get_parts(shape):
            _draw(drawing, one, layer)


def _vertices(shape: shapely.Geometry) -> list[tuple[float, float, float]]:
    xyz = np.round(np.nan_to_num(shapely.get_coordinates(shape, include_z=True)), 6)
    return [(x, y, z) for x, y, z in xyz.tolist()]


async def gpkg_file(connections: Connections, parts: Sequence[Part], storage: int) -> AsyncGenerator[bytes]:
    """A GeoPackage with a table for each layer, written by a process of its own from PostgreSQL's rows."""
    async with _STREAMS, files.WRITERS.one(long=True) as writer:
        await writer.begin(model.File("gpkg"))
        async with connections.connection() as connection:
            for part in parts:
                heights = part.layer.definition.z != "none"
                await writer.layer(files.form_of(part.layer, part.view, heights=heights))
                shown: list[sql.Composable] = [column(f.name, "i") for f in part.view.fields]
                shown.append(geometry_column("gpkg", part.layer, part.view, storage))
                statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(_query(part, shown))
                async with _unhurried(connection):
                    rows = binary_rows(
                        connection,
                        statement,
                        part.selection.values,
                        most_rows=_PORTION,
                        most_bytes=fgbstream.BYTES,
                    )
                    await feed(writer, rows)
        await writer.send(model.END)
        await writer.piece()
        file = writer.made()
    with file:
        while piece := await asyncio.to_thread(file.read, 4 * _PIECE):
            yield piece
