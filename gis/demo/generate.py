"""Makes one superblock and encodes its rows for COPY; runs in worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import shapely

from gis.demo.cadastre import add_cadastre
from gis.demo.drainage import add_drainage
from gis.demo.features import Features, Rows
from gis.demo.plan import Frame, Plan
from gis.demo.power import add_power
from gis.demo.streets import add_base
from gis.demo.telecom import add_telecom
from gis.demo.water import add_water
from gis.ingest import copybin
from layers.model import FieldDef

ARROW = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True)
class Shape:
    """What the encoder must know of a layer: plain data, so that it can be sent to a worker."""

    id: str
    owner: str
    geometry: str
    z: bool
    fields: tuple[FieldDef, ...]
    load: int

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the COPY; fid, version and updated_at come from the table's defaults."""
        return (*(f.name for f in self.fields), "geom", "load_id")


@dataclass(frozen=True)
class Encoded:
    """Rows of one layer, ready to be copied."""

    layer: str
    rows: int
    body: bytes


def make(plan: Plan, frame: Frame, index: int) -> Features:
    """All features of one superblock, in local metres."""
    block = plan.superblock(index)
    out = Features()
    add_base(out, plan, block)
    add_cadastre(out, block)
    add_drainage(out, block)
    add_water(out, plan, block)
    add_power(out, plan, block)
    add_telecom(out, block)
    return out


def encode(features: Features, frame: Frame, shapes: Mapping[str, Shape], srid: int) -> Iterator[Encoded]:
    """The features' rows in PostgreSQL's binary COPY format. KeyError names a field the layer lacks."""
    for layer, rows in features.layers.items():
        shape = shapes.get(layer)
        if shape is None:  # a city may have dropped a layer from its catalogue
            continue
        geometry = shapely.set_srid(_geometry(rows, frame, shape), srid)
        columns = [_column(f, rows, shape) for f in shape.fields]
        columns.append(pa.array(shapely.to_wkb(geometry, include_srid=True), pa.binary()))
        columns.append(pa.array([shape.load] * len(rows.asset_ids), pa.int64()))
        yield Encoded(layer, len(rows.asset_ids), bytes(copybin.rows(columns)))


def _geometry(rows: Rows, frame: Frame, shape: Shape) -> Any:
    local = rows.shapes if shape.z else [s[:, :2] for s in rows.shapes]
    if rows.kind == "point":
        flat = np.array([s[0] if s.shape[1] == local[0].shape[1] else s[0, :2] for s in local])
        found = frame.points(flat)
    elif rows.kind == "line":
        found = frame.lines(list(local))
    else:
        found = frame.polygons(list(local))
    if shape.geometry.startswith("Multi"):
        wrap = {"MultiPolygon": shapely.multipolygons, "MultiLineString": shapely.multilinestrings}[
            shape.geometry
        ]
        found = wrap(np.asarray(found)[:, None])
    return found


def _column(f: FieldDef, rows: Rows, shape: Shape) -> pa.Array:
    if f.name == "asset_id":
        return pa.array(rows.asset_ids, pa.string())
    if f.name == "owner":
        return pa.array([shape.owner] * len(rows.asset_ids), pa.string())
    values: list[Any] = [a.get(f.name, f.default) for a in rows.attributes]
    if f.type == "date":
        values = [date.fromisoformat(v) if isinstance(v, str) else v for v in values]
    return pa.array(values, ARROW[f.type])


def unknown_fields(features: Features, shapes: Mapping[str, Shape]) -> set[str]:
    """Attributes that the layers do not have: a mistake of the generator, never written silently."""
    return {
        f"{layer}.{name}"
        for layer, rows in features.layers.items()
        if layer in shapes
        for attributes in rows.attributes
        for name in attributes
        if name not in {f.name for f in shapes[layer].fields}
    }
