"""Parcels that cover each block exactly: each is a ring of points shared with its neighbours."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from gis.demo.features import Path, Point
from gis.demo.plan import BLOCK_X, Block, Superblock

#: Corners of blocks are cut so that drivers see each other (vạt góc), metres along each side.
CHAMFER = 2.0


@dataclass(frozen=True, slots=True)
class Plot:
    """One parcel, in local metres of the city. ``box``: x0, y0, x1, y1 before corners are cut."""

    block: Block
    ring: Path
    #: Whether its front is on the south (else the north) side of the block.
    faces_south: bool
    box: tuple[float, float, float, float]


def plots(superblock: Superblock) -> Iterator[Plot]:
    """All parcels of a superblock: block by block, the south row before the north row, from the west."""
    for block in superblock.blocks:
        if block.kind == "terraced":
            yield from _terraced(superblock, block)
        elif block.kind == "apartments":
            yield from _quarters(superblock, block)
        elif block.parcels:
            x0, y0, x1, y1 = superblock.place(block)
            ring = _chamfered([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], (x0, y0, x1, y1))
            yield Plot(block, ring, True, (x0, y0, x1, y1))


def _terraced(superblock: Superblock, block: Block) -> Iterator[Plot]:
    whole = superblock.place(block)
    x0, y0, _, y1 = whole
    middle = (y0 + y1) / 2
    for faces_south, own, other, front in (
        (True, block.south, block.north, y0),
        (False, block.north, block.south, y1),
    ):
        last = len(own) - 2
        for n in range(last + 1):
            left, right = own[n], own[n + 1]
            # Break points of the row behind are vertices of this parcel too: no T-vertices.
            between = other[bisect_right(other, left) : bisect_left(other, right)]
            back = [(x0 + x, middle) for x in (left, *between, right)]
            if faces_south:
                ring = [(x0 + left, front), (x0 + right, front), *reversed(back)]
            else:
                ring = [*back, (x0 + right, front), (x0 + left, front)]
            box = (x0 + left, min(front, middle), x0 + right, max(front, middle))
            yield Plot(block, _chamfered(ring, whole) if n in (0, last) else ring, faces_south, box)


def _quarters(superblock: Superblock, block: Block) -> Iterator[Plot]:
    whole = superblock.place(block)
    x0, y0, x1, y1 = whole
    mx, my = x0 + BLOCK_X / 2, (y0 + y1) / 2
    for left, right, low, high in ((x0, mx, y0, my), (mx, x1, y0, my), (x0, mx, my, y1), (mx, x1, my, y1)):
        ring = [(left, low), (right, low), (right, high), (left, high)]
        yield Plot(block, _chamfered(ring, whole), low == y0, (left, low, right, high))


def _chamfered(ring: Path, box: tuple[float, float, float, float]) -> list[Point]:
    """The ring with the block's own corners cut; each cut is in one parcel only, so no edge is shared."""
    x0, y0, x1, y1 = box
    points: list[Point] = []
    for index, (x, y) in enumerate(ring):
        if x not in (x0, x1) or y not in (y0, y1):
            points.append((x, y))
            continue
        along_x = (x + (CHAMFER if x == x0 else -CHAMFER), y)
        along_y = (x, y + (CHAMFER if y == y0 else -CHAMFER))
        # The cut starts on the side we come from.
        points += [along_x, along_y] if ring[index - 1][1] == y else [along_y, along_x]
    return points


def area(ring: Path) -> float:
    """Area of a ring (m2)."""
    total = 0.0
    px, py = ring[-1]
    for x, y in ring:
        total += px * y - x * py
        px, py = x, y
    return abs(total) / 2
