"""Which tiles changed since when: what a process knows of the changes that stored bytes may lack. Pure.

A change is known by a number that only grows (a changeset's id) and the boxes that it touched. Bytes that
were made when every change up to H was visible are right as long as ``Marks.last`` of their tile is not
beyond H. So an archive and any cache need no invalidation of their own: each stored tile carries its H.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from gis.crs import WEB_MERCATOR, Box, transform_xy
from tiles.grid import EXTENT, HALF, Tile

#: The deepest level whose tiles are marked one by one; a deeper tile changed when the one above it did.
DEEPEST: Final = 16
#: Marks kept by one process (a hundred bytes each). Beyond it the deepest level is given up: see ``Marks``.
MOST: Final = 200_000
#: A box that covers more tiles of a level than this is kept as a box.
MOST_OF_A_BOX: Final = 1024
#: Boxes kept as such; beyond it they are joined to one a layer.
MOST_BOXES: Final = 128
#: Tile units by which a feature may be drawn beyond its box (tiles.query draws what is tiny larger).
MARGIN: Final = 2


class Covered(NamedTuple):
    """Tiles of a level, ends included; none when first is after last."""

    z: int
    first_x: int
    first_y: int
    last_x: int
    last_y: int

    @property
    def number(self) -> int:
        """How many tiles."""
        return max(0, self.last_x - self.first_x + 1) * max(0, self.last_y - self.first_y + 1)

    def tiles(self) -> Iterator[Tile]:
        """Row after row."""
        for y in range(self.first_y, self.last_y + 1):
            for x in range(self.first_x, self.last_x + 1):
                yield Tile(self.z, x, y)


def covered(box: Box, z: int, buffer: int) -> Covered:
    """The tiles of a level that show something of a box in EPSG:3857, in their buffer at least.

    ``buffer``: the layer's, in tile units.
    """
    count = 1 << z
    side = 2 * HALF / count
    margin = side * (buffer + MARGIN) / EXTENT
    west, south, east, north = box

    def number(value: float) -> int:
        return min(count - 1, max(0, math.floor(value / side)))

    if east + margin < -HALF or west - margin > HALF or north + margin < -HALF or south - margin > HALF:
        return Covered(z, 0, 0, -1, -1)
    return Covered(
        z,
        number(west - margin + HALF),
        number(HALF - north - margin),
        number(east + margin + HALF),
        number(HALF - south + margin),
    )


def web_boxes(boxes: Sequence[Box], storage: int) -> list[Box]:
    """Boxes of the storage CRS as boxes in EPSG:3857 that hold them.

    A side of length L (m) is bent by less than L^2 / 8R on the way (R: the earth's radius); twice that is
    added. A box that has no image (infinite coordinates) becomes the whole world.
    """
    if not boxes:
        return []
    given = np.asarray(boxes, dtype=np.float64)
    west, south, east, north = given.T
    middle_x, middle_y = (west + east) / 2, (south + north) / 2
    xs = np.stack([west, middle_x, east, west, east, west, middle_x, east])
    ys = np.stack([south, south, south, middle_y, middle_y, north, north, north])
    x, y = transform_xy(xs, ys, storage, WEB_MERCATOR)
    low = np.stack([x.min(axis=0), y.min(axis=0)])
    high = np.stack([x.max(axis=0), y.max(axis=0)])
    margin = 0.01 + ((high - low) ** 2).sum(axis=0) / (4 * 6_378_137.0)
    whole = ~np.isfinite(low + high).all(axis=0)
    low, high = low - margin, high + margin
    low[:, whole], high[:, whole] = -HALF, HALF
    return [(float(a), float(b), float(c), float(d)) for a, b, c, d in np.concatenate([low, high]).T]


class Marks:
    """The last change of each tile and layer, from a change ``floor`` on.

    Memory is bounded by exactness: when there are more than ``most`` marks, those of the deepest level go,
    and a tile of it changed when the one above it did, which is marked too. What is said to have changed may
    not have; never the other way.
    """

    def __init__(self, floor: int = 0, *, most: int = MOST) -> None:
        #: Of changes up to this one nothing is known: bytes that were made before it are never right.
        self.floor = floor
        self._most = most
        self._depth = DEEPEST
        self._numbers: dict[str, int] = {}
        self._last: dict[int, int] = {}
        #: Whether any layer changed in a tile: most did not, and one look tells.
        self._any: dict[int, int] = {}
        self._wide: list[tuple[str, Box, int, int]] = []

    def __len__(self) -> int:
        return len(self._last)

    @property
    def depth(self) -> int:
        """The deepest level that is kept tile by tile."""
        return self._depth

    def mark(self, layer: str, boxes: Iterable[Box], change: int, buffer: int) -> None:
        """A change touched a layer in these boxes (EPSG:3857, as they were and as they are)."""
        for box in boxes:
            if covered(box, self._depth, buffer).number > MOST_OF_A_BOX:
                self._widely(layer, box, change, buffer)
            else:
                self._each(layer, box, change, buffer)
        while len(self._last) > self._most and self._depth:
            self._give_up_a_level()

    def last(self, layers: Iterable[str], tile: Tile) -> int:
        """The last change of a tile of these layers; 0 when none is known since the floor."""
        z, x, y = tile.z, tile.x, tile.y
        if z > self._depth:
            x, y, z = x >> (z - self._depth), y >> (z - self._depth), self._depth
        key = _key(z, x, y)
        found = 0
        if key in self._any:
            for layer in layers:
                found = max(found, self._last.get(self._of(layer, key), 0))
        if self._wide:
            wanted = set(layers)
            for layer, box, change, buffer in self._wide:
                if change > found and (layer in wanted or not layer):
                    _, first_x, first_y, last_x, last_y = covered(box, z, buffer)
                    if first_x <= x <= last_x and first_y <= y <= last_y:
                        found = change
        return found

    def is_right(self, layers: Iterable[str], tile: Tile, made: int) -> bool:
        """Whether bytes made when all changes up to ``made`` were visible are what they would be now."""
        return made >= self.floor and self.last(layers, tile) <= made

    def forget(self, upto: int) -> None:
        """Let go of changes up to ``upto``, which no bytes in use lack any more."""
        if upto <= self.floor:
            return
        self.floor = upto
        self._last = {key: change for key, change in self._last.items() if change > upto}
        self._any = {key: change for key, change in self._any.items() if change > upto}
        self._wide = [one for one in self._wide if one[2] > upto]
        if not self._any:  # else there may be changes whose marks of a deeper level were given up
            self._depth = DEEPEST

    def _of(self, layer: str, key: int) -> int:
        number = self._numbers.setdefault(layer, len(self._numbers))
        return number << _LAYER_SHIFT | key

    def _each(self, layer: str, box: Box, change: int, buffer: int) -> None:
        """Mark what ``covered`` says, level by level, without its calls: every process does this for every
        edit, and it was a tenth of what an edit of an attribute costs."""
        own, last, touched = self._of(layer, 0), self._last, self._any
        west, north, east, south = box[0] + HALF, HALF - box[3], box[2] + HALF, HALF - box[1]
        if west < 0 or north < 0 or east > _WIDE or south > _WIDE:
            levels: Iterable[tuple[int, int, int, int, int]] = (
                covered(box, z, buffer) for z in range(self._depth + 1)
            )
        else:
            levels = _within(west, north, east, south, self._depth, buffer)
        for z, first_x, first_y, last_x, last_y in levels:
            for y in range(first_y, last_y + 1):
                row = z << _Z_SHIFT | y
                for x in range(first_x, last_x + 1):
                    key = row | x << DEEPEST
                    if last.get(own | key, 0) < change:
                        last[own | key] = change
                        if touched.get(key, 0) < change:
                            touched[key] = change

    def _widely(self, layer: str, box: Box, change: int, buffer: int) -> None:
        for i, (other, known, before, its) in enumerate(self._wide):
            if other == layer and its >= buffer and _holds(known, box):
                self._wide[i] = (layer, known, max(before, change), its)
                return
        self._wide.append((layer, box, change, buffer))
        if len(self._wide) > MOST_BOXES:
            self._join_boxes()

    def _join_boxes(self) -> None:
        """One box a layer; where that is not few enough, the whole world for any layer."""
        joined: dict[str, tuple[str, Box, int, int]] = {}
        for layer, box, change, buffer in self._wide:
            _, other, before, its = joined.get(layer, (layer, box, change, buffer))
            joined[layer] = (layer, _around(box, other), max(change, before), max(buffer, its))
        if len(joined) > MOST_BOXES // 2:
            found = joined.values()
            joined = {"": ("", WORLD, max(one[2] for one in found), max(one[3] for one in found))}
        self._wide = list(joined.values())

    def _give_up_a_level(self) -> None:
        gone = self._depth
        self._depth -= 1
        within = (1 << _LAYER_SHIFT) - 1
        self._last = {k: c for k, c in self._last.items() if (k & within) >> _Z_SHIFT != gone}
        self._any = {k: c for k, c in self._any.items() if k >> _Z_SHIFT != gone}


_Z_SHIFT: Final = 2 * DEEPEST
_LAYER_SHIFT: Final = _Z_SHIFT + 5


def _key(z: int, x: int, y: int) -> int:
    return z << _Z_SHIFT | x << DEEPEST | y


#: The box of everything.
WORLD: Final[Box] = (-HALF, -HALF, HALF, HALF)


#: Sides of the world (m).
_WIDE: Final = 2 * HALF


@functools.cache
def _levels(buffer: int) -> tuple[tuple[int, int, float, float], ...]:
    """Level, its last tile, the side of its tiles (m), and how far beyond them they show (m)."""
    sides = [_WIDE / (1 << z) for z in range(DEEPEST + 1)]
    return tuple((z, (1 << z) - 1, a, a * (buffer + MARGIN) / EXTENT) for z, a in enumerate(sides))


def _within(
    west: float, north: float, east: float, south: float, depth: int, buffer: int
) -> Iterator[tuple[int, int, int, int, int]]:
    """``covered`` for all levels of a box in the world; metres from the world's north-west corner."""
    for z, top, side, margin in _levels(buffer)[: depth + 1]:
        first_x, first_y = int((west - margin) / side), int((north - margin) / side)
        last_x, last_y = int((east + margin) / side), int((south + margin) / side)
        yield (
            z,
            # truncated towards zero, so nothing is below it but by a whole tile
            first_x if first_x > 0 else 0,
            first_y if first_y > 0 else 0,
            last_x if last_x < top else top,
            last_y if last_y < top else top,
        )


def _around(one: Box, other: Box) -> Box:
    return (
        min(one[0], other[0]),
        min(one[1], other[1]),
        max(one[2], other[2]),
        max(one[3], other[3]),
    )


def _holds(outer: Box, inner: Box) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]
