"""Files that GDAL writes, and the FlatGeobuf header as GDAL writes it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyogrio

from gis.export.copyrows import Rows, days, microseconds, texts
from gis.export.model import DRIVERS, Form
from gis.ingest.arrow_types import ARROW

#: Of FlatGeobuf: magic bytes, then the length of the header.
_MAGIC: Final = 8
_LENGTH: Final = struct.Struct("<I")


def table_of_tuples(form: Form, rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Python values as Arrow."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * (len(form.fields) + 1)
    arrays = [pa.array(c, ARROW[kind]) for c, (_, kind) in zip(columns, form.fields, strict=False)]
    return _table(form, [*arrays, pa.array(columns[len(form.fields)], pa.binary())])


def table_of_rows(form: Form, rows: Rows) -> pa.Table:
    """Rows of a binary COPY as Arrow."""
    arrays = [_array(rows, n, kind) for n, (_, kind) in enumerate(form.fields)]
    return _table(form, [*arrays, pa.array(texts(rows, len(form.fields)), pa.binary())])


def _table(form: Form, arrays: list[pa.Array]) -> pa.Table:
    return pa.table(arrays, names=[*(name for name, _ in form.fields), "geom"])


def _array(rows: Rows, n: int, kind: str) -> pa.Array:
    missing = rows.missing(n)
    if kind == "string":
        return pa.array(texts(rows, n), pa.binary()).cast(pa.string())
    if kind == "date":
        return pa.array(days(rows, n).astype(np.int32), pa.date32(), mask=missing)
    if kind == "datetime":
        return pa.array(microseconds(rows, n), pa.int64(), mask=missing).cast(ARROW[kind])
    if kind == "boolean":
        return pa.array(rows.values(n, "u1").astype(np.bool_), pa.bool_(), mask=missing)
    wide, native = (">f8", np.float64) if kind == "number" else (">i8", np.int64)
    return pa.array(rows.values(n, wide).astype(native), ARROW[kind], mask=missing)


def write(path: Path, output: str, form: Form, table: pa.Table, *, first: bool, index: bool = True) -> None:
    """Write a layer, or more of it (not ``first``). ``index``: FlatGeobuf can have one of geometries only."""
    pyogrio.write_arrow(
        table,
        path,
        layer=form.layer,
        driver=DRIVERS[output],
        geometry_name="geom",
        geometry_type=form.geometry_type,
        crs=f"EPSG:{form.crs}",
        append=not first or path.exists(),
        **({} if index and form.shapes else {"SPATIAL_INDEX": "NO"}),
    )


def has_heights(table: pa.Table) -> bool:
    """Whether any geometry (ISO WKB, little endian as PostGIS writes it here) has heights."""
    shapes = table.column("geom").to_pylist()
    return any(int.from_bytes(wkb[1:5], "little") > 1000 for wkb in shapes if wkb is not None)


def flatgeobuf_head(form: Form, folder: Path) -> bytes:
    """All that stands before the features of a FlatGeobuf without index and count; ``folder`` is for use."""
    path = folder / "head.fgb"  # of any other name GDAL would make a folder
    write(path, "fgb", form, table_of_tuples(form, ()), first=True, index=False)
    made = path.read_bytes()
    path.unlink()
    (header,) = _LENGTH.unpack_from(made, _MAGIC)
    return made[: _MAGIC + _LENGTH.size + header]
