"""Rows of a layer's table as columns (Features): what is selected of each feature, and how it is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import shapely
from psycopg.sql import SQL, Composable, Composed, Literal

from gis.checks.features import Bools, Features
from gis.checks.source import SYSTEM_COLUMNS, Box, column_kind, empty
from gis.db import sql as names
from layers.registry import Layer

_MICROSECONDS = 1_000_000
_NEVER = -(2**63)  # numpy's NaT


def select(
    layer: Layer,
    columns: Sequence[str],
    *,
    geometry: bool = True,
    boxes: bool = False,
    of_table: str | None = None,
) -> Composed:
    """What is fetched of each feature.

    ``boxes``: without geometry, the bounding box is needed to filter by it. Rows by psycopg's binary loaders
    are as quick as arrays built by the server, and simpler.
    """
    parts: list[Composable] = [names.column(n, of_table) for n in ("fid", "asset_id", "owner")]
    if geometry:
        parts.append(SQL("public.ST_AsBinary({})").format(names.column("geom", of_table)))
    elif boxes:
        geom = names.column("geom", of_table)
        parts.append(SQL("public.ST_AsBinary(public.ST_Envelope({}))").format(geom))
    else:
        parts.append(SQL("NULL"))
    parts += [column_text(layer, name, of_table) for name in columns]
    return SQL(", ").join(parts)


def column_text(layer: Layer, name: str, of_table: str | None = None) -> Composable:
    """SQL of a column as Features hold it."""
    column = names.column(name, of_table)
    if name in SYSTEM_COLUMNS:
        return column
    kind = column_kind(layer, name)
    if kind == "number":
        return SQL("{}::double precision").format(column)
    if kind == "time":
        field = layer.field(name)
        if field is not None and field.type == "date":
            return SQL("CASE WHEN isfinite({0}) THEN ({0} - date '1970-01-01')::bigint * {1} END").format(
                column, Literal(86400 * _MICROSECONDS)
            )
        return SQL("CASE WHEN isfinite({0}) THEN (extract(epoch FROM {0}) * {1})::bigint END").format(
            column, Literal(_MICROSECONDS)
        )
    return column


class Columns(NamedTuple):
    """Columns, their kinds (source.column_kind), and where they are among the values of a row."""

    names: Sequence[str]
    kinds: Sequence[str]
    places: Sequence[int]


def kinds_of(layer: Layer, columns: Sequence[str]) -> tuple[str, ...]:
    """The kinds of columns; of those that every row has, nothing."""
    return tuple("" if name in SYSTEM_COLUMNS else column_kind(layer, name) for name in columns)


def features_of(
    layer: Layer, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], *, geometry: bool = True
) -> Features:
    """Rows of ``select``."""
    held = Columns(columns, kinds_of(layer, columns), range(4, 4 + len(columns)))
    return features_of_columns(layer, held, list(zip(*rows, strict=True)), 0, geometry=geometry)


def features_of_columns(
    layer: Layer,
    columns: Columns,
    values: Sequence[tuple[Any, ...]],
    head: int = 1,
    *,
    geometry: bool = True,
) -> Features:
    """Features of columns of values: fid, asset id, owner and geometry (WKB) from ``head`` on, and
    ``columns``. No values: no features."""
    if not values:
        return empty(layer, columns.names)
    fid, asset_id, owner, wkb = values[head : head + 4]
    shapes = None if wkb[0] is None else shapely.from_wkb(_objects(wkb))
    ids = np.array(fid, dtype=np.int64)
    known = {"fid": ids, "asset_id": _objects(asset_id), "owner": _objects(owner)}
    held = {
        name: _array(kind, values[place]) if kind else known[name]
        for name, kind, place in zip(*columns, strict=True)
    }
    found = Features(layer, ids, known["asset_id"], known["owner"], shapes if geometry else None, held)
    if shapes is not None:
        found.__dict__["boxes"] = shapely.bounds(shapes)
    return found


def _objects(values: Sequence[Any]) -> Any:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _array(kind: str, values: Sequence[Any]) -> Any:
    if kind == "number":
        return np.array(values, dtype=np.float64)  # None becomes NaN
    if kind == "time":
        return np.array([_NEVER if v is None else v for v in values], dtype=np.int64).view("M8[us]")
    return _objects(values)


def meet(found: Features, box: Box) -> Bools:
    boxes = found.boxes
    meets: Bools = (
        (boxes[:, 0] <= box[2]) & (boxes[:, 2] >= box[0]) & (boxes[:, 1] <= box[3]) & (boxes[:, 3] >= box[1])
    )
    return meets


def starts(number: Any) -> Any:
    """Where a new value begins."""
    return np.flatnonzero(number[1:] != number[:-1]) + 1
