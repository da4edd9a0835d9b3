"""What an injector works with: one superblock's features, and a list of what was done to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import shapely

from gis.demo.features import Features, Path, Place, Point, Value
from gis.demo.names import commune
from gis.demo.parcels import Plot, area, plots
from gis.demo.plan import Block, Frame, Plan, Superblock


@dataclass(frozen=True)
class Defect:
    """An injected error. ``geometry`` (storage CRS) shows where."""

    rule: str
    layer: str
    #: The features that a finding should name.
    asset_ids: tuple[str, ...]
    geometry: Any
    note: str
    #: (layer, asset id) of everything that differs from the clean city, taken out or added.
    changed: tuple[tuple[str, str], ...]


class NoRoom(Exception):  # noqa: N818 (control flow, never an error)
    """The superblock has no place for this defect: too few parcels, or no neighbour."""


@dataclass
class Site:
    """One superblock. Every change goes through here, so that it is recorded."""

    out: Features
    plan: Plan
    block: Superblock
    frame: Frame
    found: list[Defect] = field(default_factory=list)
    _changed: list[tuple[str, str]] = field(default_factory=list)

    @property
    def code(self) -> str:
        """The superblock's part of asset ids."""
        return self.block.code

    @property
    def settled(self) -> bool:
        """Whether all changes are recorded."""
        return not self._changed

    # --- changes ---------------------------------------------------------------------------------

    def edit(self, layer: str, asset_id: str) -> Place:
        """The feature, to be changed."""
        self._note(layer, asset_id)
        return self.out.find(layer, asset_id)

    def remove(self, layer: str, asset_id: str) -> dict[str, Value]:
        """Take a feature out; gives its attributes."""
        self._note(layer, asset_id)
        return self.out.remove(layer, asset_id)

    def add_point(self, layer: str, asset_id: str, at: Point, **attributes: Value) -> None:
        self._note(layer, asset_id)
        self.out.add(layer, "point", asset_id, (at,), attributes)

    def add_line(self, layer: str, asset_id: str, path: Path, **attributes: Value) -> None:
        self._note(layer, asset_id)
        self.out.add(layer, "line", asset_id, path, attributes)

    def add_polygon(self, layer: str, asset_id: str, ring: Path, **attributes: Value) -> None:
        self._note(layer, asset_id)
        self.out.add(layer, "polygon", asset_id, ring, attributes)

    def _note(self, layer: str, asset_id: str) -> None:
        if (layer, asset_id) not in self._changed:
            self._changed.append((layer, asset_id))

    def record(self, rule: str, layer: str, asset_ids: Sequence[str], where: Path, note: str) -> None:
        """Say what was done since the last record. ``where``: one point, or the vertices of a line."""
        placed = self.frame.place(np.array([p[:2] for p in where], dtype=float))
        geometry = shapely.points(placed[0]) if len(placed) == 1 else shapely.linestrings(placed)
        self.found.append(Defect(rule, layer, tuple(asset_ids), geometry, note, tuple(self._changed)))
        self._changed.clear()

    # --- parcels ---------------------------------------------------------------------------------

    @cached_property
    def rows_of_houses(self) -> list[Block]:
        """Blocks of townhouses of full length, in order."""
        return [b for b in self.block.blocks if b.kind == "terraced" and len(b.south) > 15 < len(b.north)]

    def houses(self, number: int) -> Block:
        """The number-th of them. Raises NoRoom."""
        if number >= len(self.rows_of_houses):
            raise NoRoom
        return self.rows_of_houses[number]

    @cached_property
    def _parcels(self) -> dict[tuple[int, int], list[tuple[str, Plot]]]:
        found: dict[tuple[int, int], list[tuple[str, Plot]]] = {}
        numbers: dict[int, int] = {}
        code, _ = commune(self.block.column, self.block.row)
        for plot in plots(self.block):
            j = plot.block.j
            numbers[j] = numbers.get(j, 0) + 1
            found.setdefault((plot.block.i, j), []).append((f"{code}-{j + 1}-{numbers[j]}", plot))
        return found

    def neighbours(self, block: Block) -> Wall:
        """Two parcels side by side in the south row whose party wall ends within a parcel behind."""
        inner = set(block.north)
        n = next(n for n in range(6, len(block.south) - 2) if block.south[n] not in inner)
        own = self._parcels[block.i, block.j]
        x0, y0, _, y1 = self.block.place(block)
        x, south = x0 + block.south[n], len(block.south) - 1
        behind = next(key for key, p in own[south:] if p.box[0] < x < p.box[2])
        return Wall(own[n - 1][0], own[n][0], behind, (x, y0), (x, (y0 + y1) / 2))

    def replace(self, asset_id: str, old: Point, new: Point | None) -> None:
        """Move a vertex of a parcel, or take it out; the legal area follows."""
        place = self.edit("cadastre_parcel", asset_id)
        ring = list(place.shape)
        index = ring.index(old)
        ring[index : index + 1] = [] if new is None else [new]
        place.shape = ring
        place.attributes["legal_area_m2"] = round(area(ring), 1)


@dataclass(frozen=True)
class Wall:
    """Keys (commune-sheet-parcel) of the parcels west, east and behind a party wall, and the wall's ends."""

    west: str
    east: str
    behind: str
    front: Point
    back: Point


Injector = Callable[[Site], None]
