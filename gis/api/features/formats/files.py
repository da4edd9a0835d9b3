"""FlatGeobuf and GeoPackage: what of a layer goes into a file, and a page as one.

Files are written by processes of their own (gis.export), with GDAL, which a serving process never imports.
Coordinates stand in traditional order (x east), as both formats want it whatever the CRS's axes.
FlatGeobuf has one dimension for all: where only some features have heights, the others get NaN, not 0.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Sequence
from typing import Any, BinaryIO, Final

from psycopg import sql

from gis.api.features.params import View
from gis.export import model
from gis.export.writers import Writers
from layers.registry import Layer

#: Those of this process.
WRITERS: Final = Writers()


def geometry_column(output: str, layer: Layer, view: View, storage: int) -> sql.Composed:
    """WKB of alias ``i`` in the view's CRS; null without geometry."""
    if not view.geometry:
        return sql.SQL("NULL::bytea").format()
    shape = sql.SQL("i.geom").format()
    if view.crs.code != storage:
        shape = sql.SQL("ST_Transform({}, {})").format(shape, sql.Literal(view.crs.code))
    if output == "fgb" and layer.definition.z == "optional":
        shape = sql.SQL(
            "CASE WHEN bool_or(ST_NDims(i.geom) = 3) OVER () THEN ST_Force3D({0}, 'NaN') ELSE {0} END"
        ).format(shape)
    return sql.SQL("ST_AsBinary({})").format(shape)


def form_of(layer: Layer, view: View, *, heights: bool) -> model.Form:
    """What a writer is told of a layer. ``heights``: it has them even where no row has one."""
    fields = tuple((f.name, f.type) for f in view.fields)
    return model.Form(
        layer.id, layer.definition.geometry, fields, view.crs.code, heights=heights, shapes=view.geometry
    )


async def write(output: str, layer: Layer, view: View, rows: Sequence[Sequence[Any]]) -> bytes:
    """The file of a page; each row has the fields' values and then WKB."""
    form = form_of(layer, view, heights=layer.definition.z == "required")
    async with WRITERS.one(long=False) as writer:
        await writer.begin(model.File(output, measured=True))
        await writer.layer(form)
        await writer.send(model.TUPLES, await asyncio.to_thread(pickle.dumps, list(rows), 5))
        await writer.send(model.END)
        await writer.piece()
        file = writer.made()
    return await asyncio.to_thread(_whole, file)


def _whole(file: BinaryIO) -> bytes:
    with file:
        return file.read()
