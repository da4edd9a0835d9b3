"""Geometry to paths, by whole batches: integers in units of the page, as PDF operators.

Each vertex becomes one token, ``x y op``, where op ends rings and features too; so a path is joined from a
list without looking at features again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from gis.print.sheet import Ground

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: Operators after a vertex: begin, go on, close a ring; and the last of a feature, which paints it.
_BEGIN, _GO, _CLOSE, _LAST = range(4)
FILL: Final = ("m", "l", "l h", "l h f*")
RINGS: Final = ("m", "l", "l h", "l h")
LINES: Final = ("m", "l", "l", "l")
#: Vertices of lines that are painted at once: a path without end would make viewers wait.
_AT_ONCE: Final = 4000


@dataclass(frozen=True)
class Paths:
    """Parts of geometries on the page. ``feature`` says of each vertex whose it is (ascending)."""

    xy: Ints
    op: NDArray[np.int8]
    feature: Ints

    def __len__(self) -> int:
        return len(self.op)

    def tokens(self, ops: Sequence[str]) -> list[str]:
        """One text for each vertex."""
        x, y = self.xy[:, 0].tolist(), self.xy[:, 1].tolist()
        return [f"{a} {b} {ops[o]} " for a, b, o in zip(x, y, self.op.tolist(), strict=True)]

    def of(self, chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Vertices of the features that are chosen."""
        return chosen[self.feature]


def read(rows: Sequence[Sequence[Any]]) -> NDArray[np.object_]:
    """The geometries of rows, whose first column is WKB; None for what is empty."""
    geometries = shapely.from_wkb([row[0] for row in rows], on_invalid="ignore")
    geometries[shapely.is_empty(geometries)] = None
    return np.asarray(geometries, dtype=object)


def dimensions(geometries: NDArray[np.object_]) -> Ints:
    """0, 1 or 2 of each; -1 where there is none. A collection counts by its greatest."""
    return np.asarray(shapely.get_dimensions(geometries), dtype=np.int64)


def polygons(geometries: NDArray[np.object_], ground: Ground) -> Paths:
    """The rings of the polygons among them."""
    parts, owner = _parts(geometries, (3,))
    rings, of_part = shapely.get_rings(parts, return_index=True)
    return _paths(rings, owner[of_part], ground, closed=True)


def lines(geometries: NDArray[np.object_], ground: Ground) -> Paths:
    """The lines among them, and the rings of the polygons."""
    parts, owner = _parts(geometries, (1, 2))
    return _paths(parts, owner, ground, closed=False)


def points(geometries: NDArray[np.object_], ground: Ground) -> tuple[Ints, Ints]:
    """Places of the points among them, and whose each is."""
    parts, owner = _parts(geometries, (0,))
    return _on_page(np.asarray(shapely.get_coordinates(parts)), ground), owner


def _parts(geometries: NDArray[np.object_], types: tuple[int, ...]) -> tuple[NDArray[np.object_], Ints]:
    """Simple geometries of these type ids, and the index of whose each is."""
    parts, owner = shapely.get_parts(geometries, return_index=True)
    ids = shapely.get_type_id(parts)
    if np.any(ids > 3):  # a collection in which there are collections
        parts, inner = shapely.get_parts(parts, return_index=True)
        owner, ids = owner[inner], shapely.get_type_id(parts)
    chosen = np.isin(ids, types)
    return np.asarray(parts[chosen], dtype=object), np.asarray(owner[chosen], dtype=np.int64)


def _on_page(xy: Floats, ground: Ground) -> Ints:
    corner = np.array([ground.west, ground.south])
    origin = np.array([ground.window.x, ground.window.y])
    placed: Ints = np.rint((xy - corner) * ground.units + origin).astype(np.int64)
    return placed


def _paths(parts: NDArray[np.object_], owner: Ints, ground: Ground, *, closed: bool) -> Paths:
    coordinates, part = shapely.get_coordinates(parts, return_index=True)
    xy = _on_page(coordinates, ground)
    if not len(xy):
        return Paths(xy, np.empty(0, np.int8), np.empty(0, np.int64))
    first, last = _ends(part)
    # A vertex on the one before it is left out. The end of a line stays: one smaller than a unit is a dot.
    # The end of a ring is its beginning, and closing the path draws it.
    same = np.r_[False, (xy[1:] == xy[:-1]).all(axis=1)] & ~first
    kept = ~(same | last) if closed else ~same | last
    if closed:  # a ring that is a dot or a stroke has no inside
        sizes = np.bincount(part[kept], minlength=len(parts))
        kept &= (sizes >= 3)[part]
    xy, part = xy[kept], part[kept]
    first, last = _ends(part)
    feature = owner[part]
    op = np.full(len(xy), _GO, np.int8)
    op[last] = _CLOSE
    op[_ends(feature)[1]] = _LAST
    op[first] = _BEGIN
    return Paths(xy, op, feature)


def _ends(of: Ints) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The first and the last vertex of each run of one number."""
    if not len(of):
        return np.empty(0, np.bool_), np.empty(0, np.bool_)
    change = of[1:] != of[:-1]
    return np.r_[True, change], np.r_[change, True]


def stroked(tokens: Sequence[str]) -> str:
    """Lines that are drawn: the tokens with strokes between them, at beginnings of parts."""
    if len(tokens) <= _AT_ONCE:
        return "".join(tokens) + "S\n"
    pieces, start = [], 0
    while start < len(tokens):
        end = min(start + _AT_ONCE, len(tokens))
        while end < len(tokens) and not tokens[end].endswith("m "):
            end += 1
        pieces.append("".join(tokens[start:end]) + "S\n")
        start = end
    return "".join(pieces)
