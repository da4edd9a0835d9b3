"""A small demo city as geometries and attributes by layer, for the tests of its rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely

from gis.city import City
from gis.demo.encode import geometries
from gis.demo.features import Features
from gis.demo.generate import make
from gis.demo.plan import Frame, Plan
from gis.demo.plan import frame as make_frame
from layers.registry import Catalogue


@dataclass
class LayerRows:
    """Parallel lists of one layer."""

    ids: list[str] = field(default_factory=list)
    geoms: list[Any] = field(default_factory=list)
    attributes: list[dict[str, Any]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def array(self) -> Any:
        return np.array(self.geoms, dtype=object)

    def by_id(self) -> dict[str, tuple[Any, dict[str, Any]]]:
        return {i: (g, a) for i, g, a in zip(self.ids, self.geoms, self.attributes, strict=True)}


@dataclass
class DemoCity:
    """The whole city on the ground, layer by layer."""

    plan: Plan
    frame: Frame
    layers: dict[str, LayerRows]

    def __getitem__(self, layer: str) -> LayerRows:
        return self.layers.get(layer, LayerRows())

    def nodes(self, *layers: str, z: bool = True) -> dict[tuple[float, ...], list[tuple[str, str]]]:
        """Places of point features (X, Y and Z where they have it) -> (layer, asset id)."""
        found: dict[tuple[float, ...], list[tuple[str, str]]] = defaultdict(list)
        for layer in layers:
            rows = self[layer]
            for asset_id, geom in zip(rows.ids, rows.geoms, strict=True):
                found[at(geom, z=z)].append((layer, asset_id))
        return found


def at(geom: Any, index: int = 0, *, z: bool = True) -> tuple[float, ...]:
    """A vertex as a tuple."""
    return tuple(shapely.get_coordinates(geom, include_z=z and bool(shapely.has_z(geom)))[index].tolist())


def ends(line: Any, *, z: bool = True) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """First and last vertex of a line."""
    return at(line, 0, z=z), at(line, -1, z=z)


def on_the_ground(parts: Iterable[Features], plan: Plan, frame: Frame, catalogue: Catalogue) -> DemoCity:
    """Features of all superblocks, placed."""
    layers: dict[str, LayerRows] = defaultdict(LayerRows)
    for part in parts:
        for rows in part:
            if not len(rows):
                continue
            into = layers[rows.layer]
            into.ids += rows.asset_ids
            into.geoms += list(geometries(rows, frame, catalogue.layers[rows.layer].definition.geometry))
            into.attributes += rows.attributes
    return DemoCity(plan, frame, dict(layers))


def build(plan: Plan, city: City, catalogue: Catalogue) -> DemoCity:
    """The clean city of a plan."""
    frame = make_frame(city, plan.columns, plan.rows)
    parts = (make(plan, index) for index in range(len(plan.counts)))
    return on_the_ground(parts, plan, frame, catalogue)


def components(edges: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """Node -> representative of its connected component."""
    parent: dict[Any, Any] = {}

    def root(node: Any) -> Any:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b in edges:
        parent[root(a)] = root(b)
    return {node: root(node) for node in list(parent)}
