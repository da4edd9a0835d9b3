"""FlatGeobuf and GeoPackage, written by GDAL in a thread to a temporary file that is gone afterwards.

Coordinates stand in traditional order (x east), as both formats want it whatever the CRS's axes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from psycopg import sql

from gis.api.features.params import View
from layers.model import FieldDef
from layers.registry import Layer

_DRIVERS: Final = {"fgb": "FlatGeobuf", "gpkg": "GPKG"}
_TYPES: Final = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us", tz="UTC"),
}


def geometry_column(view: View, storage: int) -> sql.Composed:
    """WKB of alias ``i`` in the view's CRS; null without geometry."""
    if not view.geometry:
        return sql.SQL("NULL::bytea").format()
    shape = sql.Identifier("i", "geom")
    if view.crs.code == storage:
        return sql.SQL("ST_AsBinary({})").format(shape)
    return sql.SQL("ST_AsBinary(ST_Transform({}, {}))").format(shape, sql.Literal(view.crs.code))


def write(
    output: str, layer: Layer, view: View, fields: Sequence[FieldDef], rows: Sequence[Sequence[Any]]
) -> bytes:
    """The file; each row has the fields' values and then WKB. Blocking, seconds for 10,000 features."""
    import pyogrio  # imports GDAL: only whoever asks for a file pays for it

    columns = list(zip(*rows, strict=True)) if rows else [()] * (len(fields) + 1)
    arrays = [pa.array(c, _TYPES[f.type]) for c, f in zip(columns, fields, strict=False)]
    names = [f.name for f in fields]
    table = pa.table([*arrays, pa.array(columns[len(fields)], pa.binary())], names=[*names, "geom"])
    with tempfile.TemporaryDirectory(prefix="bandoso-") as folder:
        path = Path(folder) / f"{layer.id}.{output}"
        pyogrio.write_arrow(
            table,
            path,
            layer=layer.id,
            driver=_DRIVERS[output],
            geometry_name="geom",
            geometry_type=_geometry_type(layer),
            crs=f"EPSG:{view.crs.code}",
        )
        return path.read_bytes()


def _geometry_type(layer: Layer) -> str:
    if layer.definition.geometry == "Geometry" or layer.definition.z == "optional":
        return "Unknown"
    return layer.definition.geometry + (" Z" if layer.definition.z == "required" else "")
