"""The demo city in memory as rules see it: without a database, for tests of rules and for measuring them."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from functools import cache
from itertools import chain
from typing import Any

import numpy as np

from gis.checks.features import Features
from gis.checks.source import MemorySource, column_array, column_kind
from gis.demo.defects import Defect, inject
from gis.demo.encode import geometries
from gis.demo.features import Rows
from gis.demo.generate import make
from gis.demo.plan import Frame, frame, make_plan
from layers.registry import Layer
from tests.checks.cases import setting

#: Columns that the tables fill.
_OWN = {"fid", "asset_id", "owner", "version", "updated_at"}


@cache
def demo_source(parcels: int, seed: int = 1, defects: bool = False) -> tuple[MemorySource, list[Defect]]:
    """The demo city of so many parcels, and what was injected into it (nothing without ``defects``).

    The same as ``bandoso demo`` writes, except for fids: they are numbered from 1 in each layer.
    """
    city, catalogue = setting().city, setting().catalogue
    plan = make_plan(parcels, seed)
    on = frame(city, plan.columns, plan.rows)
    found: list[Defect] = []
    parts: dict[str, list[Rows]] = defaultdict(list)
    for index in range(len(plan.counts)):
        out = make(plan, index)
        if defects:
            found += inject(out, plan, index, on)
        for rows in out:
            if len(rows) and rows.layer in catalogue.layers:
                parts[rows.layer].append(rows)
    layers = {name: features_of_rows(catalogue.layers[name], some, on) for name, some in parts.items()}
    return MemorySource(catalogue, layers), found


def features_of_rows(layer: Layer, parts: list[Rows], on: Frame) -> Features:
    """Rows of the demo as features, in the order of asset ids."""
    ids = np.array(list(chain.from_iterable(rows.asset_ids for rows in parts)), dtype=object)
    attributes = list(chain.from_iterable(rows.attributes for rows in parts))
    geometry = np.concatenate([geometries(rows, on, layer.definition.geometry) for rows in parts])
    used = sorted({name for row in attributes for name in row} | {"status"})
    defaults = {f.name: f.default for f in layer.fields}
    columns = {
        name: column_array(
            column_kind(layer, name),
            [_value(layer, name, row.get(name, defaults[name])) for row in attributes],
        )
        for name in used
        if name not in _OWN
    }
    owner = np.empty(len(ids), dtype=object)
    owner[:] = layer.definition.owner
    order = np.argsort(ids.astype(str), kind="stable")
    fid = np.arange(1, len(ids) + 1, dtype=np.int64)
    taken = {name: column[order] for name, column in columns.items()}
    return Features(layer, fid, ids[order], owner, geometry[order], taken)


def _value(layer: Layer, name: str, value: Any) -> Any:
    """Times of the demo are texts with a zone; numpy holds UTC without one."""
    if column_kind(layer, name) == "time" and isinstance(value, str):
        return datetime.fromisoformat(value).replace(tzinfo=None)
    return value
