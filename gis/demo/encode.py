"""From features in local metres to rows of PostgreSQL's binary COPY; runs in worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import shapely

from gis.demo.features import Features, Rows, Value
from gis.demo.plan import Frame
from gis.ingest import copybin
from gis.ingest.arrow_types import ARROW
from layers.model import FieldDef
from layers.registry import Layer

#: Columns that come from the table's defaults.
_OMITTED = {"fid", "version", "updated_at"}


@dataclass(frozen=True)
class Shape:
    """What the encoder must know of a layer: plain data, so that it can be sent to a worker."""

    id: str
    owner: str
    geometry: str
    fields: tuple[FieldDef, ...]
    load: int

    @classmethod
    def of(cls, layer: Layer, load: int) -> Shape:
        """From the catalogue; ``load`` is the row of bandoso.load that the rows name."""
        fields = tuple(f for f in layer.fields if f.name not in _OMITTED)
        return cls(layer.id, layer.definition.owner, layer.definition.geometry, fields, load)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the COPY."""
        return (*(f.name for f in self.fields), "geom", "load_id")


@dataclass(frozen=True)
class Encoded:
    """Rows of one layer, ready to be copied."""

    layer: str
    rows: int
    body: bytes


def encode(features: Features, frame: Frame, shapes: Mapping[str, Shape], srid: int) -> Iterator[Encoded]:
    """The features' rows. A layer that is not in ``shapes`` is left out: a city may have dropped it.

    Raises KeyError when a feature has an attribute that its layer lacks.
    """
    for rows in features:
        shape = shapes.get(rows.layer)
        if shape is None or not len(rows):
            continue
        columns = [*_columns(rows, shape), pa.array(wkb(rows, frame, shape.geometry, srid), pa.binary())]
        columns.append(pa.repeat(pa.scalar(shape.load, pa.int64()), len(rows)))
        yield Encoded(rows.layer, len(rows), bytes(copybin.rows(columns)))


def wkb(rows: Rows, frame: Frame, wanted: str, srid: int) -> Any:
    """EWKB of the rows' shapes; ``wanted`` is the layer's geometry type."""
    return shapely.to_wkb(shapely.set_srid(geometries(rows, frame, wanted), srid), include_srid=True)


def geometries(rows: Rows, frame: Frame, wanted: str) -> Any:
    """The rows' shapes on the ground. Shapes of one kind and layer may differ in having heights."""
    if rows.kind == "lines":
        return _multilines(rows, frame)
    shapes = rows.shapes
    dims = np.fromiter((len(s[0]) for s in shapes), np.int8, len(shapes))
    found = np.empty(len(shapes), dtype=object)
    for dim in np.unique(dims).tolist():
        where = np.flatnonzero(dims == dim)
        found[where] = _simple(rows.kind, [shapes[n] for n in where], dim, frame)
    if wanted.startswith("Multi"):
        wrap = shapely.multipolygons if rows.kind == "polygon" else shapely.multilinestrings
        return wrap(found[:, None])
    return found


def _simple(kind: str, shapes: list[Any], dim: int, frame: Frame) -> Any:
    counts = np.fromiter(map(len, shapes), np.int64, len(shapes))
    flat = np.fromiter(chain.from_iterable(chain.from_iterable(shapes)), np.float64, int(counts.sum()) * dim)
    placed = frame.place(flat.reshape(-1, dim))
    if kind == "point":
        return shapely.points(placed)
    index = np.repeat(np.arange(len(shapes)), counts)
    if kind == "line":
        return shapely.linestrings(placed, indices=index)
    return shapely.polygons(shapely.linearrings(placed, indices=index))


def _multilines(rows: Rows, frame: Frame) -> Any:
    found = [
        shapely.multilinestrings([frame.place(np.array(part, dtype=float)) for part in shape])
        for shape in rows.shapes
    ]
    return np.array(found, dtype=object)


def _columns(rows: Rows, shape: Shape) -> Iterator[pa.Array]:
    used: set[str] = set()
    for attributes in rows.attributes:
        used.update(attributes)
    for f in shape.fields:
        if f.name == "asset_id":
            yield pa.array(rows.asset_ids, pa.string())
        elif f.name in used:
            used.discard(f.name)
            yield _column(f, [a.get(f.name, f.default) for a in rows.attributes])
        else:
            constant = shape.owner if f.name == "owner" else f.default
            yield pa.repeat(pa.scalar(constant, ARROW[f.type]), len(rows))
    if used:
        raise KeyError(f"{shape.id} has no {', '.join(sorted(used))}")


def _column(f: FieldDef, values: list[Any]) -> pa.Array:
    if f.type in ("date", "datetime"):
        values = [_moment(f.type, v) for v in values]
    return pa.array(values, ARROW[f.type])


def _moment(kind: str, value: Value) -> date | datetime | None:
    if value is None:
        return None
    return date.fromisoformat(str(value)) if kind == "date" else datetime.fromisoformat(str(value))
