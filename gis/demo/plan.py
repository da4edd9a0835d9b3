"""The plan of the demo city: superblocks of streets and blocks, in local metres, turned onto the ground.

A superblock is 6 x 10 blocks with minor streets between them, a major street on its west side and a
boulevard with a canal along its south side. Local x runs along the streets, y away from the canal.
Every superblock can be made by itself from (seed, column, row): its content never depends on the others,
so a million parcels are made one superblock at a time, in any order and in several processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gis import crs
from gis.city import City
from gis.errors import ConfigError

Coordinates = NDArray[np.float64]

#: Blocks of a superblock, along x and y, and their size in metres.
COLUMNS, ROWS = 6, 10
BLOCK_X, BLOCK_Y = 100.0, 36.0
#: Right of way of a minor street and half that of the major street (m).
MINOR, HALF_MAJOR = 14.0, 12.0
#: From the canal's centre line to the first block: half the canal, a bank, the boulevard (m).
CANAL_BAND, HALF_CANAL = 32.0, 8.0
PITCH_X, PITCH_Y = BLOCK_X + MINOR, BLOCK_Y + MINOR
SUPER_X = 2 * HALF_MAJOR + COLUMNS * BLOCK_X + (COLUMNS - 1) * MINOR
SUPER_Y = 2 * CANAL_BAND + ROWS * BLOCK_Y + (ROWS - 1) * MINOR
#: Centre lines of the streets within a superblock.
STREETS_X = tuple([0.0] + [HALF_MAJOR + k * PITCH_X - MINOR / 2 for k in range(1, COLUMNS)])
STREETS_Y = tuple(
    [CANAL_BAND - HALF_MAJOR]
    + [CANAL_BAND + k * PITCH_Y - MINOR / 2 for k in range(1, ROWS)]
    + [SUPER_Y - CANAL_BAND + HALF_MAJOR]
)
#: Turn of the street grid against the coordinate grid, so that nothing is axis-parallel by chance.
TURN = math.radians(17.0)

#: Share of blocks by kind; the others are rows of townhouses.
KINDS = (("park", 0.04), ("school", 0.03), ("market", 0.02), ("apartments", 0.05), ("pagoda", 0.01))


@dataclass(frozen=True)
class Frame:
    """Local metres to the city's storage CRS: a turn, a shift, and rounding to the millimetre.

    The rounding makes vertices that are shared in the plan bit for bit equal on the ground.
    """

    east: float
    north: float

    def place(self, local: Coordinates) -> Coordinates:
        """(n, 2) local x, y, or (n, 3) with height, to E, N (and height), rounded to 1 mm."""
        turned = local.copy()
        cos, sin = math.cos(TURN), math.sin(TURN)
        turned[:, 0] = self.east + local[:, 0] * cos - local[:, 1] * sin
        turned[:, 1] = self.north + local[:, 0] * sin + local[:, 1] * cos
        rounded: Coordinates = np.round(turned, 3)
        return rounded

    def place_one(self, point: tuple[float, ...]) -> tuple[float, float]:
        """E, N of one point."""
        east, north = self.place(np.array([point[:2]], dtype=float))[0].tolist()
        return east, north


def frame(city: City, columns: int, rows: int) -> Frame:
    """The frame that puts the middle of columns x rows superblocks onto the city's demo anchor."""
    if city.demo_anchor is None:
        raise ConfigError(
            f"{city.title.en} has no demo_anchor",
            hint="add demo_anchor: [longitude, latitude] to the city file",
        )
    lon, lat = city.demo_anchor
    east, north = crs.transform_xy(np.array([lon]), np.array([lat]), 4326, city.crs.storage)
    middle_x, middle_y = columns * SUPER_X / 2, rows * SUPER_Y / 2
    cos, sin = math.cos(TURN), math.sin(TURN)
    return Frame(
        round(float(east[0]) - (middle_x * cos - middle_y * sin)),
        round(float(north[0]) - (middle_x * sin + middle_y * cos)),
    )


@dataclass(frozen=True)
class Block:
    """A block: its place in the superblock, its kind and how many parcels it has (0: reserve land)."""

    i: int
    j: int
    kind: str
    #: Break points of the south and the north row of parcels along x, ends included.
    south: tuple[float, ...] = field(repr=False)
    north: tuple[float, ...] = field(repr=False)

    @property
    def parcels(self) -> int:
        return {"reserve": 0, "terraced": len(self.south) + len(self.north) - 2, "apartments": 4}.get(
            self.kind, 1
        )

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Local x0, y0, x1, y1 within the superblock."""
        x0 = HALF_MAJOR + self.i * PITCH_X
        y0 = CANAL_BAND + self.j * PITCH_Y
        return x0, y0, x0 + BLOCK_X, y0 + BLOCK_Y


@dataclass(frozen=True)
class Superblock:
    """A superblock of the plan; ``x`` and ``y`` is its south-west corner in local metres."""

    column: int
    row: int
    seed: int
    blocks: tuple[Block, ...] = field(repr=False)
    is_last_column: bool = False

    @property
    def x(self) -> float:
        return self.column * SUPER_X

    @property
    def y(self) -> float:
        return self.row * SUPER_Y

    @property
    def parcels(self) -> int:
        return sum(b.parcels for b in self.blocks)

    def place(self, block: Block) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of one of its blocks, in local metres of the city."""
        x0, y0, x1, y1 = block.box
        return self.x + x0, self.y + y0, self.x + x1, self.y + y1

    @property
    def code(self) -> str:
        """Part of asset ids: unique and stable for a place in the plan."""
        return f"{self.column:03d}{self.row:03d}"

    def random(self, topic: str) -> np.random.Generator:
        """A generator of its own for each topic, so that topics never disturb each other."""
        key = int.from_bytes(topic.encode()[:8].ljust(8, b"\0"), "big")
        return np.random.Generator(
            np.random.Philox(np.random.SeedSequence([self.seed, self.column, self.row, key]))
        )


@dataclass(frozen=True)
class Plan:
    """The whole city: ``columns`` superblocks in a row; the last row may be partly built."""

    seed: int
    parcels: int
    columns: int
    #: Superblocks in order, each with its number of parcels (0 < n); row-major.
    counts: tuple[int, ...] = field(repr=False)

    @property
    def rows(self) -> int:
        return -(-len(self.counts) // self.columns)

    def superblocks(self) -> Iterator[Superblock]:
        """All superblocks, one at a time."""
        for index in range(len(self.counts)):
            yield self.superblock(index)

    def superblock(self, index: int) -> Superblock:
        """The superblock of that number."""
        row, column = divmod(index, self.columns)
        last = column == self.columns - 1 or index == len(self.counts) - 1
        blocks = _blocks(self.seed, column, row)
        if sum(b.parcels for b in blocks) != self.counts[index]:
            blocks = _trim(blocks, self.counts[index])
        return Superblock(column, row, self.seed, blocks, last)

    def has(self, column: int, row: int) -> bool:
        """Whether the plan has a superblock there."""
        return 0 <= column < self.columns and row >= 0 and row * self.columns + column < len(self.counts)


def make_plan(parcels: int, seed: int) -> Plan:
    """A plan with exactly ``parcels`` parcels. Raises UsageError outside 1..5,000,000."""
    from gis.errors import UsageError

    if not 1 <= parcels <= 5_000_000:
        raise UsageError(f"{parcels} parcels: the demo city has 1 to 5,000,000")
    expected = max(1, round(parcels / (COLUMNS * ROWS * 33.5)))
    columns = max(1, math.ceil(math.sqrt(expected)))
    counts: list[int] = []
    left = parcels
    while left > 0:
        row, column = divmod(len(counts), columns)
        here = min(left, sum(b.parcels for b in _blocks(seed, column, row)))
        counts.append(here)
        left -= here
    return Plan(seed, parcels, columns, tuple(counts))


def _blocks(seed: int, column: int, row: int) -> tuple[Block, ...]:
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, column, row, 1])))
    names = [name for name, _ in KINDS]
    shares = np.cumsum([share for _, share in KINDS])
    blocks = []
    for j in range(ROWS):
        for i in range(COLUMNS):
            drawn = int(np.searchsorted(shares, random.random(), side="right"))
            kind = names[drawn] if drawn < len(names) else "terraced"
            south = _breaks(random)
            north = _breaks(random)
            # Where breaks of the two rows nearly meet, the party walls of both meet exactly.
            nearest = south[np.abs(north[:, None] - south[None, :]).argmin(axis=1)]
            north = np.where(np.abs(north - nearest) < 0.6, nearest, north)
            blocks.append(Block(i, j, kind, tuple(south.tolist()), tuple(np.unique(north).tolist())))
    return tuple(blocks)


def _breaks(random: np.random.Generator) -> Coordinates:
    """Break points 0..BLOCK_X of a row of 18 to 21 plots that are 4 to 6 m wide, to the centimetre."""
    widths = random.uniform(4.0, 6.0, int(random.integers(18, 22)))
    ends = np.concatenate([[0.0], np.cumsum(widths)])
    breaks: Coordinates = np.round(ends * (BLOCK_X / ends[-1]), 2)
    return breaks


def _trim(blocks: tuple[Block, ...], parcels: int) -> tuple[Block, ...]:
    """The same blocks until ``parcels`` are reached: the last one holds what is left, then reserve land."""
    kept: list[Block] = []
    left = parcels
    for b in blocks:
        if left >= b.parcels:
            kept.append(b)
        elif left >= 2:
            kept.append(Block(b.i, b.j, "terraced", _even(left // 2), _even(left - left // 2)))
        else:
            kept.append(Block(b.i, b.j, "school" if left else "reserve", b.south, b.north))
        left -= kept[-1].parcels
    return tuple(kept)


def _even(plots: int) -> tuple[float, ...]:
    """Break points of ``plots`` plots of equal width."""
    return tuple(np.linspace(0.0, BLOCK_X, plots + 1).round(2).tolist())
