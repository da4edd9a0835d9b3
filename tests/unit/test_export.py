"""Features that we lay out ourselves are those that GDAL writes, whatever the values and the shapes."""

from __future__ import annotations

import math
import struct
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyogrio
import pytest
import shapely

from gis.export import flatgeobuf, gdalfile
from gis.export.copyrows import Rows, rows_of
from gis.export.model import Form
from gis.ingest import copybin

FIELDS = (
    ("fid", "integer"),
    ("code", "string"),
    ("remark", "string"),
    ("diameter", "number"),
    ("public", "boolean"),
    ("built", "date"),
    ("updated_at", "datetime"),
    ("nothing", "string"),
)
TEXTS = ["", "x", "Đường Nguyễn Thị Minh Khai", "'\"\\\n\x01", "a" * 7, "b" * 8, "c" * 9, "d" * 300, None]
DAY = datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
RING = shapely.Polygon([(0, 0), (9, 0), (9, 9), (0, 0)])
HOLE = shapely.Polygon([(0, 0), (9, 0), (9, 9), (0, 9)], [[(1, 1), (2, 1), (2, 2)], [(3, 3), (4, 3), (4, 4)]])
LINE = shapely.LineString([(0.1, 0.2), (1.5, math.pi), (1e7, -1e7)])
POINT = shapely.Point(106.7, 10.8)
SHAPES = {
    "Point": [POINT, shapely.Point(0, -1), shapely.Point()],
    "LineString": [LINE, shapely.reverse(LINE), shapely.LineString()],
    "Polygon": [RING, HOLE, shapely.buffer(POINT, 1, quad_segs=200)],
    "MultiPoint": [shapely.MultiPoint([(1, 2), (3, 4)]), shapely.MultiPoint([(1, 2)])],
    "MultiLineString": [shapely.MultiLineString([LINE, LINE]), shapely.MultiLineString([LINE])],
    "MultiPolygon": [shapely.MultiPolygon([HOLE, RING]), shapely.MultiPolygon([RING])],
}
SHAPES["Geometry"] = [
    *(shape for shapes in SHAPES.values() for shape in shapes if not shape.is_empty),
    shapely.GeometryCollection([POINT, HOLE, shapely.GeometryCollection([LINE])]),
]


def records(shapes: list[Any], heights: bool, count: int = 60) -> list[tuple[Any, ...]]:
    """As many rows of all kinds of values; every seventh is null but for its id."""
    found: list[tuple[Any, ...]] = []
    if heights:  # GEOS has no empty geometry with heights
        shapes = [shape for shape in shapes if not shape.is_empty]
    for n in range(count):
        shape = shapes[n % len(shapes)]
        if heights:
            shape = shapely.force_3d(shape, n + 0.25)
        wkb = None if n % 11 == 10 else shapely.to_wkb(shape, flavor="iso")
        values: tuple[Any, ...] = (
            TEXTS[n % len(TEXTS)],
            TEXTS[n * 5 % len(TEXTS)],
            (0.1 * n, -0.0, 1e300, math.inf)[n % 4],
            n % 2 == 0,
            date(1, 1, 1) if n == 4 else date(1890, 1, 1) + timedelta(days=997 * n),
            DAY + timedelta(days=n, milliseconds=n * 37),
            None,
        )
        found.append((n * 10**15, *([None] * 7 if n % 7 == 6 else values), wkb))
    return found


def as_copy(form: Form, table: pa.Table) -> Rows:
    """The table by way of PostgreSQL's binary COPY."""
    body = bytes(copybin.rows([c.combine_chunks() for c in table.columns]))
    ends, at = [0], 0
    while at < len(body):
        at += 2
        for _ in range(table.num_columns):
            at += 4 + max(0, int.from_bytes(body[at : at + 4], "big", signed=True))
        ends.append(at)
    return rows_of(np.diff(ends).astype(np.uint32), body, len(form.fields) + 1)


def read(path: Path) -> tuple[dict[str, str], list[list[Any]]]:
    """What GDAL finds: its columns, then the geometries. (By Arrow it stumbles over rows without one.)"""
    meta, _, shapes, columns = pyogrio.raw.read(path)
    found = [[repr(value) for value in column] for column in (*columns, shapes)]
    return {k: str(v) for k, v in meta.items() if k in ("crs", "geometry_type", "fields", "dtypes")}, found


@pytest.mark.filterwarnings("ignore:The 'generic' unit")  # pyogrio's
@pytest.mark.parametrize("heights", [False, True], ids=["2D", "3D"])
@pytest.mark.parametrize("geometry", SHAPES)
def test_our_features_are_those_of_gdal(tmp_path: Path, geometry: str, heights: bool) -> None:
    form = Form("layer", geometry, FIELDS, 9210, heights=heights)
    table = gdalfile.table_of_tuples(form, records(SHAPES[geometry], heights))
    gdalfile.write(tmp_path / "right.fgb", "fgb", form, table, first=True, index=False)
    rows = as_copy(form, table)
    assert gdalfile.table_of_rows(form, rows).equals(table)
    types = [kind for _, kind in FIELDS]
    made = gdalfile.flatgeobuf_head(form, tmp_path) + bytes(
        flatgeobuf.features(rows, types, shapes=True, heights=heights, tell_kind=form.any_kind)
    )
    (tmp_path / "ours.fgb").write_bytes(made)
    ours, right = read(tmp_path / "ours.fgb"), read(tmp_path / "right.fgb")
    assert ours[0] == right[0]
    assert len(ours[1]) == len(FIELDS) + 1 and len(ours[1][-1]) == 60
    for mine, theirs in zip(ours[1], right[1], strict=True):
        assert mine == theirs


def test_features_are_aligned_and_empty_of_rubbish() -> None:
    """Each begins at a multiple of eight, and what is between its parts is zero: nothing of another row."""
    form = Form("layer", "Point", FIELDS, 9210, heights=False)
    table = gdalfile.table_of_tuples(form, records(SHAPES["Point"], heights=False))
    types = [kind for _, kind in FIELDS]
    made = bytes(
        flatgeobuf.features(as_copy(form, table), types, shapes=True, heights=False, tell_kind=False)
    )
    at = 0
    while at < len(made):
        size, root = struct.unpack_from("<II", made, at)
        assert (size + 4) % 8 == 0 and root == 12
        (properties,) = struct.unpack_from("<I", made, at + 24)
        (length,) = struct.unpack_from("<I", made, at + 24 + properties)
        end = at + 24 + properties + 4 + length
        assert at + size + 4 - 8 < end <= at + size + 4
        assert not any(made[end : at + size + 4])
        at += size + 4
    assert at == len(made)


@pytest.mark.parametrize("shape", [POINT, LINE, SHAPES["MultiLineString"][0]], ids=lambda s: s.geom_type)
def test_heights_that_only_some_have_are_not_made_up(tmp_path: Path, shape: Any) -> None:
    form = Form("layer", shape.geom_type, (("fid", "integer"),), 9210, heights=True)
    shapes = [shape, shapely.force_3d(shape, 7)]
    table = gdalfile.table_of_tuples(
        form, [(n, shapely.to_wkb(s, flavor="iso")) for n, s in enumerate(shapes)]
    )
    made = flatgeobuf.features(as_copy(form, table), ["integer"], shapes=True, heights=True, tell_kind=False)
    (tmp_path / "a.fgb").write_bytes(gdalfile.flatgeobuf_head(form, tmp_path) + bytes(made))
    meta, found = pyogrio.read_arrow(tmp_path / "a.fgb")
    read = shapely.from_wkb(found[meta["geometry_name"] or "wkb_geometry"].to_pylist())
    assert (shapely.get_coordinates(read[0]) == shapely.get_coordinates(shape)).all()
    assert np.isnan(shapely.get_coordinates(read[0], include_z=True)[:, 2]).all()
    assert shapely.to_wkb(read[1]) == shapely.to_wkb(shapes[1])


@pytest.mark.parametrize(
    ("lengths", "body"),
    [
        ([10], b"\0\1\0\0\0\4abcde"),  # more than was said
        ([10], b"\0\2\0\0\0\4abcd"),  # other fields
        ([10], b"\0\1\0\0\0\3abcd"),  # not filled
        ([10], b"\0\1\0\0\0\5abcd"),  # cut off
    ],
)
def test_rows_that_are_none_are_refused(lengths: list[int], body: bytes) -> None:
    with pytest.raises(ValueError, match=r"rows|fields"):
        rows_of(np.array(lengths, np.uint32), body, 1)


def test_a_date_without_a_year_of_four_digits_is_refused() -> None:
    body = b"\0\1\0\0\0\4" + struct.pack(">i", 2**31 - 1)  # PostgreSQL's infinity
    rows = rows_of(np.array([len(body)], np.uint32), body, 1)
    with pytest.raises(ValueError, match="four digits"):
        flatgeobuf.features(rows, ["date"], shapes=False, heights=False, tell_kind=False)
