"""Collects the features of one superblock, layer by layer, before they are written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gis.demo.plan import Coordinates

Value = str | int | float | bool | None


@dataclass
class Rows:
    """Features of one layer: parallel lists. ``shapes`` are local coordinates (n, 2 or 3)."""

    kind: str
    asset_ids: list[str] = field(default_factory=list)
    shapes: list[Coordinates] = field(default_factory=list)
    attributes: list[dict[str, Value]] = field(default_factory=list)


class Features:
    """Rows by layer. ``kind`` of a layer is point, line or polygon; the first feature decides."""

    def __init__(self) -> None:
        self.layers: dict[str, Rows] = {}

    def add(self, layer: str, kind: str, asset_id: str, shape: Any, /, **attributes: Value) -> None:
        """One feature; ``shape`` is a point (2 or 3 numbers), a line or a ring (n, 2 or 3)."""
        rows = self.layers.get(layer)
        if rows is None:
            rows = self.layers[layer] = Rows(kind)
        assert rows.kind == kind, f"{layer} holds {rows.kind}"
        rows.asset_ids.append(asset_id)
        rows.shapes.append(np.atleast_2d(np.asarray(shape, dtype=float)))
        rows.attributes.append(attributes)

    def point(self, layer: str, asset_id: str, shape: Any, /, **attributes: Value) -> None:
        """A point feature."""
        self.add(layer, "point", asset_id, shape, **attributes)

    def line(self, layer: str, asset_id: str, shape: Iterable[Any], /, **attributes: Value) -> None:
        """A line feature."""
        self.add(layer, "line", asset_id, list(shape), **attributes)

    def polygon(self, layer: str, asset_id: str, ring: Any, /, **attributes: Value) -> None:
        """A polygon feature without holes."""
        self.add(layer, "polygon", asset_id, ring, **attributes)
