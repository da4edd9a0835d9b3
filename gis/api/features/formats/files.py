"""FlatGeobuf and GeoPackage, written by GDAL in a thread to a temporary file that is gone afterwards.

Coordinates stand in traditional order (x east), as both formats want it whatever the CRS's axes.
FlatGeobuf has one dimension for all: where only some features have heights, the others get NaN, not 0.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from psycopg import sql

from gis.api.features.params import View
from layers.model import FieldDef
from layers.registry import Layer

_DRIVERS: Final = {"fgb": "FlatGeobuf", "gpkg": "GPKG"}


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


def write(
    output: str,
    layer: Layer,
    view: View,
    fields: Sequence[FieldDef],
    rows: Sequence[Sequence[Any]],
    *,
    heights: bool = False,
    index: bool = True,
) -> bytes:
    """The file; each row has the fields' values and then WKB. Blocking, seconds for 10,000 features.

    ``heights``: the layer has them even where no row has. ``index``: with a spatial index, which FlatGeobuf
    can have of features with geometry.
    """
    # GDAL and Arrow take a second to import: only whoever asks for a file pays for it
    import pyarrow as pa
    import pyogrio

    from gis.ingest.arrow_types import ARROW

    columns = list(zip(*rows, strict=True)) if rows else [()] * (len(fields) + 1)
    arrays = [pa.array(c, ARROW[f.type]) for c, f in zip(columns, fields, strict=False)]
    shapes = columns[len(fields)]
    heights = heights or layer.definition.z == "required" or any(_has_z(s) for s in shapes if s is not None)
    names = [f.name for f in fields]
    table = pa.table([*arrays, pa.array(shapes, pa.binary())], names=[*names, "geom"])
    with tempfile.TemporaryDirectory(prefix="bandoso-") as folder:
        path = Path(folder) / f"{layer.id}.{output}"
        pyogrio.write_arrow(
            table,
            path,
            layer=layer.id,
            driver=_DRIVERS[output],
            geometry_name="geom",
            geometry_type=_geometry_type(layer, heights),
            crs=f"EPSG:{view.crs.code}",
            **({} if index and view.geometry else {"SPATIAL_INDEX": "NO"}),
        )
        return path.read_bytes()


def _geometry_type(layer: Layer, heights: bool) -> str:
    if layer.definition.geometry == "Geometry":
        return "Unknown"
    return layer.definition.geometry + (" Z" if heights else "")


def _has_z(wkb: bytes) -> bool:
    """Whether ISO WKB, little-endian as PostGIS writes it here, has heights."""
    return int.from_bytes(wkb[1:5], "little") > 1000
