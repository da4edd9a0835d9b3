"""Collects the features of one superblock, layer by layer, before they are encoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Value = str | int | float | bool | None
Kind = Literal["point", "line", "lines", "polygon"]
#: x, y or x, y, z in local metres. Tuples, not arrays: shapes have few vertices, and a loop over
#: tuples costs a tenth of numpy calls on arrays of five rows.
Point = tuple[float, ...]
Path = Sequence[Point]


@dataclass
class Rows:
    """Features of one kind in one layer: parallel lists.

    A shape is a list of points: one for a point, the vertices of a line, the ring of a polygon (not
    closed). For ``lines`` it is a list of such lists.
    """

    layer: str
    kind: Kind
    asset_ids: list[str] = field(default_factory=list)
    shapes: list[Any] = field(default_factory=list)
    attributes: list[dict[str, Value]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.asset_ids)


@dataclass(slots=True)
class Place:
    """Where a feature stands in its Rows; only good until the next removal from them."""

    rows: Rows
    index: int

    @property
    def shape(self) -> Any:
        return self.rows.shapes[self.index]

    @shape.setter
    def shape(self, value: Any) -> None:
        self.rows.shapes[self.index] = value

    @property
    def attributes(self) -> dict[str, Value]:
        return self.rows.attributes[self.index]


class Features:
    """Rows by layer and kind of shape (one layer, flood_spot, holds several kinds)."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, Kind], Rows] = {}

    def __iter__(self) -> Iterator[Rows]:
        return iter(self._rows.values())

    def of(self, layer: str, kind: Kind) -> Rows:
        """The rows of that layer and kind, to be appended to."""
        rows = self._rows.get((layer, kind))
        if rows is None:
            rows = self._rows[layer, kind] = Rows(layer, kind)
        return rows

    def add(self, layer: str, kind: Kind, asset_id: str, shape: Any, attributes: dict[str, Value]) -> None:
        """One feature."""
        rows = self.of(layer, kind)
        rows.asset_ids.append(asset_id)
        rows.shapes.append(shape)
        rows.attributes.append(attributes)

    def point(self, layer: str, asset_id: str, at: Point, /, **attributes: Value) -> None:
        """A point feature."""
        self.add(layer, "point", asset_id, (at,), attributes)

    def line(self, layer: str, asset_id: str, path: Path, /, **attributes: Value) -> None:
        """A line feature."""
        self.add(layer, "line", asset_id, path, attributes)

    def polygon(self, layer: str, asset_id: str, ring: Path, /, **attributes: Value) -> None:
        """A polygon feature without holes."""
        self.add(layer, "polygon", asset_id, ring, attributes)

    def take(self, other: Features) -> None:
        """Add all features of another."""
        for rows in other:
            own = self.of(rows.layer, rows.kind)
            own.asset_ids += rows.asset_ids
            own.shapes += rows.shapes
            own.attributes += rows.attributes

    def find(self, layer: str, asset_id: str) -> Place:
        """The feature of that id. Raises KeyError."""
        for rows in self._rows.values():
            if rows.layer == layer and asset_id in rows.asset_ids:
                return Place(rows, rows.asset_ids.index(asset_id))
        raise KeyError(f"{layer} has no {asset_id}")

    def remove(self, layer: str, asset_id: str) -> dict[str, Value]:
        """Take a feature out and give its attributes. Raises KeyError."""
        place = self.find(layer, asset_id)
        del place.rows.asset_ids[place.index], place.rows.shapes[place.index]
        return place.rows.attributes.pop(place.index)

    def layers(self) -> set[str]:
        """Layers that have rows."""
        return {rows.layer for rows in self._rows.values() if rows.asset_ids}


def rectangle(x0: float, y0: float, x1: float, y1: float) -> list[Point]:
    """A ring, counter-clockwise from the south-west."""
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def steps(start: Point, end: Point, span: float) -> list[Point]:
    """Points at most ``span`` apart from start to end, both included, on a line parallel to an axis."""
    length = abs(end[0] - start[0]) + abs(end[1] - start[1])
    count = max(1, -(-int(length) // int(span)))
    between = [
        (start[0] + (end[0] - start[0]) * n / count, start[1] + (end[1] - start[1]) * n / count)
        for n in range(1, count)
    ]
    return [start, *between, end]
