"""One batch on its way through the child: selected, converted, checked, and made ready for COPY."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from gis import crs
from gis.ingest import copybin
from gis.ingest.issues import Issues, Mask
from gis.ingest.mapping import Condition, Plan
from gis.ingest.shapes import Geometries, ShapeReader
from gis.ingest.sources import FID, GEOMETRY
from gis.ingest.target import Target
from gis.ingest.text import TextCleaner
from gis.ingest.units import Plausible
from gis.ingest.values import Converter, is_text

Rows = npt.NDArray[np.int64]

#: Largest geometry written to a rejects file, in vertices and in characters of WKT.
_MOST_VERTICES, _MOST_WKT = 20_000, 200_000


@dataclass
class Prepared:
    """A batch after conversion. ``body``: COPY data of the accepted rows; ``rows``: their source rows."""

    accepted: int
    rows: Rows
    body: memoryview
    rejects: list[dict[str, Any]]
    counts: dict[str, int]


@dataclass
class Pipeline:
    """Converts batches for a target by a plan."""

    target: Target
    plan: Plan
    text: TextCleaner
    shapes: ShapeReader
    load_id: int | None

    def __post_init__(self) -> None:
        self._converter = Converter(self.target, self.plan.rules, self.text)
        self._plausible = Plausible(self.target.settable)

    @property
    def notes(self) -> dict[str, int]:
        """What was converted or dropped as the layer or the mapping says: what -> count."""
        return self.shapes.notes | self.text.notes | self._converter.notes

    @property
    def warnings(self) -> list[str]:
        """What looks wrong, in sentences."""
        return self._plausible.warnings(self.plan.rules)

    def run(self, batch: pa.RecordBatch, rows: Rows, first_fid: int) -> Prepared:
        """Convert ``batch``, the source rows ``rows``; accepted rows get fids from ``first_fid`` on."""
        issues = Issues(batch.num_rows)
        columns = {f.name: self._converter.convert(f, batch, issues) for f in self.target.settable}
        self._plausible.see(columns)
        raw = batch.column(GEOMETRY)
        given, shapes = (None, None) if self.shapes.flawless(raw) else self.shapes.read(raw, issues)
        rejected = issues.rejected
        keep = ~rejected
        accepted = int(keep.sum())
        rejects = []
        if rejected.any():
            given = _parsed(raw, rejected) if given is None else given
            rejects = reject_records(batch, rows, rejected, given, self.shapes.source, issues.of)
        body = self._copy(columns, shapes, raw, keep, first_fid)
        return Prepared(accepted, rows[keep], body, rejects, dict(issues.counts()))

    def _copy(
        self,
        columns: dict[str, pa.Array],
        shapes: Geometries | None,
        raw: pa.Array,
        keep: Mask,
        first_fid: int,
    ) -> memoryview:
        """COPY data of the rows of ``keep``; without ``shapes`` their geometry is flawless."""
        accepted = int(keep.sum())
        if accepted < len(keep):
            mask = pa.array(keep)
            columns = {name: column.filter(mask) for name, column in columns.items()}
            shapes, raw = None if shapes is None else shapes[keep], raw.filter(mask)
        fids = pa.array(np.arange(first_fid, first_fid + accepted, dtype=np.int64))
        named = columns["asset_id"]
        if named.null_count:
            made = pc.binary_join_element_wise(f"{self.target.layer}-", fids.cast(pa.string()), "")
            columns["asset_id"] = pc.coalesce(named, made)
        load = pa.repeat(pa.scalar(self.load_id, pa.int64()), accepted)
        encoded = self.shapes.stamped(raw) if shapes is None else self.shapes.encode(shapes, raw)
        return copybin.rows([fids, *columns.values(), encoded, load])


def _parsed(raw: pa.Array, which: Mask) -> Geometries:
    """Geometry of the rows of ``which``; None elsewhere."""
    values = np.asarray(raw.to_numpy(zero_copy_only=False), dtype=object)
    values[~which] = None
    return np.asarray(shapely.from_wkb(values, on_invalid="ignore"), dtype=object)


def selected(batch: pa.RecordBatch, conditions: tuple[Condition, ...]) -> Mask:
    """Which rows the mapping's conditions take."""
    mask = np.ones(batch.num_rows, dtype=np.bool_)
    for condition in conditions:
        column = batch.column(condition.column)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if is_text(column.type):
            text = column.cast(pa.string())
            filled = pc.and_(pc.is_valid(text), pc.not_equal(text, ""))
        else:
            text = column.cast(pa.string())
            filled = pc.is_valid(text)
        if condition.not_null:
            flags = filled
        elif condition.is_null:
            flags = pc.invert(filled)
        elif condition.equals is not None:
            flags = pc.equal(text, _text(condition.equals))
        elif condition.in_ is not None:
            flags = pc.is_in(text, value_set=pa.array([_text(v) for v in condition.in_], pa.string()))
        else:
            excluded = pa.array([_text(v) for v in condition.not_in or ()], pa.string())
            flags = pc.invert(pc.is_in(text, value_set=excluded))
        mask &= np.asarray(pc.fill_null(flags, False).to_numpy(zero_copy_only=False), dtype=np.bool_)
    return mask


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def reject_records(
    batch: pa.RecordBatch, rows: Rows, which: Mask, shapes: Geometries, source: int, reasons: Any
) -> list[dict[str, Any]]:
    """What the rejects file says of each row of ``which``: number, reasons, attributes, geometry."""
    at = np.flatnonzero(which)
    attributes = batch.drop_columns([GEOMETRY, FID]).take(pa.array(at))
    columns = {name: _printable(attributes.column(name)) for name in attributes.schema.names}
    fids = batch.column(FID)
    records: list[dict[str, Any]] = []
    for place, row in enumerate(at.tolist()):
        found = reasons(row)
        shape = shapes[row]
        records.append(
            {
                "row": int(rows[row]),
                "fid": fids[row].as_py(),
                "reasons": [{"code": c, "field": f, "message": m} for c, f, m in found[:10]],
                "attributes": {name: column[place] for name, column in columns.items()},
                "wkt": _wkt(shape),
                "geometry": _geojson(shape, source),
            }
        )
    return records


def _printable(column: pa.Array) -> list[Any]:
    """Values that JSON can hold."""
    if is_text(column.type):
        raw = column.view(pa.binary()) if pa.types.is_string(column.type) else column.cast(pa.binary())
        return [None if v is None else v.decode("utf-8", "backslashreplace") for v in raw.to_pylist()]
    values = column.to_pylist()
    return [
        v if v is None or isinstance(v, bool | int) or (isinstance(v, float) and math.isfinite(v)) else str(v)
        for v in values
    ]


def _wkt(shape: Any) -> str | None:
    if shape is None or shapely.get_num_coordinates(shape) > _MOST_VERTICES:
        return None
    text = str(shapely.to_wkt(shape, rounding_precision=-1))
    return text if len(text) <= _MOST_WKT else None


def _geojson(shape: Any, source: int) -> Any:
    """The geometry in CRS84, or None where that is not possible."""
    if shape is None or shapely.get_num_coordinates(shape) > _MOST_VERTICES:
        return None
    try:
        flat = shapely.force_2d(np.array([shape], dtype=object))
        moved = crs.transform_geometries(flat, source, crs.WGS84)[0]
        if not np.isfinite(shapely.get_coordinates(moved)).all():
            return None
        return shapely.geometry.mapping(shapely.transform(moved, lambda c: np.round(c, 9)))
    except (shapely.errors.GEOSException, ValueError, NotImplementedError):
        return None
