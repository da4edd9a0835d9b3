"""Parcels that cover each block exactly, and the buildings on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gis.demo.plan import BLOCK_X, Block, Coordinates, Superblock

#: Corners of blocks are cut so that drivers see each other (vạt góc), metres along each side.
CHAMFER = 2.0


@dataclass(frozen=True)
class Plot:
    """One parcel in local metres of the superblock."""

    block: Block
    ring: Coordinates
    #: Whether its front is on the south (else the north) side of the block.
    faces_south: bool
    #: Left and right end of its front.
    left: float
    right: float


def plots(superblock: Superblock) -> list[Plot]:
    """All parcels of a superblock, in local metres of the city (not of the superblock)."""
    found: list[Plot] = []
    for block in superblock.blocks:
        if block.kind == "terraced":
            found += _terraced(block)
        elif block.kind == "apartments":
            found += _quarters(block)
        elif block.parcels:
            x0, y0, x1, y1 = block.box
            ring = _chamfered(block, np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]))
            found.append(Plot(block, ring, True, x0, x1))
    shift = np.array([superblock.x, superblock.y])
    return [Plot(p.block, p.ring + shift, p.faces_south, p.left, p.right) for p in found]


def _terraced(block: Block) -> list[Plot]:
    x0, y0, _, y1 = block.box
    middle = (y0 + y1) / 2
    found = []
    for faces_south, own, other, front in (
        (True, block.south, block.north, y0),
        (False, block.north, block.south, y1),
    ):
        for left, right in zip(own[:-1], own[1:], strict=True):
            # Break points of the row behind are vertices of this parcel too: no T-vertices.
            between = other[(other > left) & (other < right)]
            back = np.concatenate([[right], between[::-1], [left]]) + x0
            ring = np.vstack(
                [
                    [[x0 + left, front], [x0 + right, front]],
                    np.column_stack([back, np.full(len(back), middle)]),
                ]
            )
            if not faces_south:
                ring = ring[::-1]
            found.append(Plot(block, _chamfered(block, ring), faces_south, x0 + left, x0 + right))
    return found


def _quarters(block: Block) -> list[Plot]:
    x0, y0, x1, y1 = block.box
    mx, my = x0 + BLOCK_X / 2, (y0 + y1) / 2
    found = []
    for left, right, low, high in ((x0, mx, y0, my), (mx, x1, y0, my), (x0, mx, my, y1), (mx, x1, my, y1)):
        ring = np.array([[left, low], [right, low], [right, high], [left, high]])
        found.append(Plot(block, _chamfered(block, ring), low == y0, left, right))
    return found


def _chamfered(block: Block, ring: Coordinates) -> Coordinates:
    """The ring with the block's own corners cut; each cut is in one parcel only, so no edge is shared."""
    x0, y0, x1, y1 = block.box
    towards = {(x0, y0): (1, 1), (x1, y0): (-1, 1), (x1, y1): (-1, -1), (x0, y1): (1, -1)}
    points: list[tuple[float, float]] = []
    for index, (x, y) in enumerate(ring):
        inward = towards.get((float(x), float(y)))
        if inward is None:
            points.append((x, y))
            continue
        along_x = (x + inward[0] * CHAMFER, y)
        along_y = (x, y + inward[1] * CHAMFER)
        before = ring[index - 1]
        # The cut starts on the side we come from.
        points += [along_x, along_y] if before[1] == y else [along_y, along_x]
    return np.array(points)
