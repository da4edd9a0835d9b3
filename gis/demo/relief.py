"""The ground of the demo city as an elevation model: the heights on which its networks stand (sections).

Where no network is, the model has more than they need: water in the canals, detention basins, and hills in
the other parks, drawn by the seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gis.demo.drainage import BASIN_BED, basin_of
from gis.demo.plan import SUPER_X, SUPER_Y, TURN, Coordinates, Frame, Plan, Superblock
from gis.demo.sections import FALL, LOWEST

#: Metres around the superblocks that the model (and the picture) reach.
MARGIN = 45.0
#: Height of the water in the canals (m); it begins as far from the banks as the banks' heights are asked for.
WATER_LEVEL, WATER_HALF, BANK_HALF = 0.3, 3.5, 5.5
#: Metres at both ends of a canal that are left as they are: a tide gate's dam, the outfall's.
_DAM = 6.0
#: Cells (m) up to which water, basins and hills are in the model; larger ones would blur the banks.
FINE = 2.0
#: A hill keeps this far (m) from its park's edges; the highest are as high (m).
_EDGE, _HIGHEST = 6.0, 2.6
#: Slope of a basin's sides.
_SIDES = 0.6


@dataclass(frozen=True)
class Model:
    """Heights (m, float32, NaN beyond the city) by rows from the north; ``west``, ``north``: the corner."""

    heights: NDArray[np.float32]
    west: float
    north: float
    cell: float


def model(plan: Plan, frame: Frame, cell: float) -> Model:
    """The elevation model in the storage CRS, with cells of so many metres."""
    corners = frame.place(np.array([(x, y) for x in _span_x(plan) for y in _span_y(plan)]))
    west, south = (math.floor(v / cell) * cell for v in corners.min(axis=0).tolist())
    east, north = (math.ceil(v / cell) * cell for v in corners.max(axis=0).tolist())
    columns, rows = round((east - west) / cell), round((north - south) / cell)
    x, y = local(frame, west + cell * (np.arange(columns) + 0.5), north - cell * (np.arange(rows) + 0.5))
    made = np.where(_there(plan, x, y), ground(y), np.nan)
    if cell <= FINE:
        _dig(plan, x, y, made)
        for block in plan.superblocks():
            for part, shape in _parks(block):
                here = _window(frame, part, west, north, cell, made.shape)
                made[here] = shape.onto(made[here], x[here], y[here])
    return Model(made.astype(np.float32), west, north, cell)


def local(frame: Frame, east: Coordinates, north: Coordinates) -> tuple[Coordinates, Coordinates]:
    """Local x and y (rows, columns) of a grid of E and N: the frame's turn, undone."""
    across, up = east[None, :] - frame.east, north[:, None] - frame.north
    cos, sin = math.cos(TURN), math.sin(TURN)
    return across * cos + up * sin, up * cos - across * sin


def ground(y: Coordinates) -> Coordinates:
    """sections.ground of many places."""
    along = y % SUPER_Y
    heights: Coordinates = LOWEST + FALL * np.minimum(along, SUPER_Y - along)
    return heights


def _span_x(plan: Plan) -> tuple[float, float]:
    return -MARGIN, plan.columns * SUPER_X + MARGIN


def _span_y(plan: Plan) -> tuple[float, float]:
    return -MARGIN, plan.rows * SUPER_Y + MARGIN


def _has(plan: Plan, column: Coordinates, row: Coordinates) -> NDArray[np.bool_]:
    """Plan.has of many places."""
    inside = (column >= 0) & (column < plan.columns) & (row >= 0)
    found: NDArray[np.bool_] = inside & (row * plan.columns + column < len(plan.counts))
    return found


def _there(plan: Plan, x: Coordinates, y: Coordinates) -> NDArray[np.bool_]:
    """What lies in a superblock, or not farther from one than the margin."""
    found = np.zeros(x.shape, bool)
    for dx in (-MARGIN, MARGIN):
        for dy in (-MARGIN, MARGIN):
            found |= _has(plan, np.floor((x + dx) / SUPER_X), np.floor((y + dy) / SUPER_Y))
    return found


def _dig(plan: Plan, x: Coordinates, y: Coordinates, heights: Coordinates) -> None:
    """Water in the canals, from dam to dam."""
    row, column = np.round(y / SUPER_Y), np.floor(x / SUPER_X)
    off = np.abs(y - row * SUPER_Y)
    wet = (off < BANK_HALF) & _has(plan, column, row) & (x > _DAM)
    wet &= (x < (column + 1) * SUPER_X - _DAM) | _has(plan, column + 1, row)
    down = np.clip((BANK_HALF - off) / (BANK_HALF - WATER_HALF), 0, 1)
    lowered = heights + (WATER_LEVEL - heights) * down
    heights[wet] = lowered[wet]


Place = tuple[float, float, float, float]


@dataclass(frozen=True)
class _Basin:
    place: Place

    def onto(self, heights: Coordinates, x: Coordinates, y: Coordinates) -> Coordinates:
        lowered = np.maximum(BASIN_BED, heights - _SIDES * np.maximum(_inside(self.place, x, y), 0))
        made: Coordinates = np.where(np.isnan(heights), heights, lowered)
        return made


@dataclass(frozen=True)
class _Hill:
    place: Place
    #: Height (m) of each half wave along and across, at most _HIGHEST together.
    waves: tuple[tuple[float, float, float], ...]

    def onto(self, heights: Coordinates, x: Coordinates, y: Coordinates) -> Coordinates:
        x0, y0, x1, y1 = self.place
        u, v = np.clip((x - x0) / (x1 - x0), 0, 1), np.clip((y - y0) / (y1 - y0), 0, 1)
        risen = sum(
            height * np.sin(np.pi * u * m) ** 2 * np.sin(np.pi * v * n) ** 2 for height, m, n in self.waves
        )
        made: Coordinates = heights + risen
        return made


def _inside(place: Place, x: Coordinates, y: Coordinates) -> Coordinates:
    """Metres from the edge, inwards."""
    x0, y0, x1, y1 = place
    found: Coordinates = np.minimum(np.minimum(x - x0, x1 - x), np.minimum(y - y0, y1 - y))
    return found


def _parks(block: Superblock) -> Iterator[tuple[Place, _Basin | _Hill]]:
    """The place and the shape of what is in the parks of a superblock."""
    basin = basin_of(block)
    if basin is not None:
        yield basin, _Basin(basin)
    random = block.random("relief")
    parks = [b for b in block.blocks if b.kind == "park"]
    for park in parks[: -1 if basin is not None else None]:
        x0, y0, x1, y1 = block.place(park)
        place = (x0 + _EDGE, y0 + _EDGE, x1 - _EDGE, y1 - _EDGE)
        main = float(random.uniform(0.4, 0.75)) * _HIGHEST
        more = (_HIGHEST - main) * random.uniform(0.2, 1.0)
        yield place, _Hill(place, ((main, 1.0, 1.0), (float(more), float(random.integers(2, 4)), 1.0)))


def _window(
    frame: Frame, place: Place, west: float, north: float, cell: float, shape: tuple[int, ...]
) -> tuple[slice, slice]:
    """Rows and columns of the grid in which a place lies."""
    x0, y0, x1, y1 = place
    corners = frame.place(np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]))
    (left, low), (right, high) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return (
        slice(max(0, int((north - high) / cell)), min(shape[0], int((north - low) / cell) + 1)),
        slice(max(0, int((left - west) / cell)), min(shape[1], int((right - west) / cell) + 1)),
    )
