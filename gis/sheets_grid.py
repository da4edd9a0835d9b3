"""The two grids of map sheets, in whole units, and how their cells are called.

A grid is counted in 1/384 degree (a topographic 1:500 sheet) or in metres, so every corner of every
sheet is an integer. Rules: topographic names by Circular 973/2001/TT-TCĐC and QCVN 75:2023, cadastral
ones by Circular 25/2014/TT-BTNMT (its successor 26/2024 was not read).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

System = Literal["topographic", "cadastral"]
#: South-west corner in units of the grid, and the scale.
Cell = tuple[int, int, int]

_BANDS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_PER_DEGREE = 384


@dataclass(frozen=True)
class Level:
    """How sheets of a scale arise: from which scale, in how many columns, called what, row by row."""

    parent: int
    columns: int
    marks: tuple[str, ...]

    def place(self, part: str) -> int | None:
        """Place of a part of a name among the marks; case and leading zeros do not matter."""
        bare = part.strip("()").lstrip("0").lower()
        bare = f"({bare})" if part.startswith("(") else bare
        return self._places.get(bare)

    @property
    def _places(self) -> dict[str, int]:
        return _places_of(self.marks)


@lru_cache(maxsize=64)
def _places_of(marks: tuple[str, ...]) -> dict[str, int]:
    return {mark.lower(): i for i, mark in enumerate(marks)}


@dataclass(frozen=True)
class Grid:
    """One system: units per degree or metre, sheet sizes (height, width), divisions, where it applies."""

    system: System
    units: int
    #: A west edge of the grid, from which columns are counted.
    origin: int
    #: West, south, east, north in units: where sheets have (unique) names.
    limits: tuple[int, int, int, int]
    #: The limits in words.
    where: str
    sizes: dict[int, tuple[int, int]]
    levels: dict[int, Level]

    def cell(self, x: int, y: int, scale: int) -> Cell:
        """The cell of a scale that holds (the south-west corner of) a unit square."""
        height, width = self.sizes[scale]
        return (x - self.origin) // width * width + self.origin, y // height * height, scale

    def name(self, cell: Cell) -> str:
        """Canonical name of a cell."""
        return _name(self.system, cell)

    def parse(self, text: str) -> Cell | None:
        """The cell of a name (dashes and Unicode forms already plain), or None."""
        return _parse_topographic(text) if self.system == "topographic" else _parse_cadastral(text)

    def descend(self, cell: Cell, parts: list[str]) -> Cell | None:
        """Follow the parts of a name downwards; siblings of one parent never share a mark."""
        x, y, scale = cell
        for part in parts:
            for child, level in self.levels.items():
                place = level.place(part) if level.parent == scale else None
                if place is not None:
                    height, width = self.sizes[child]
                    row, column = divmod(place, level.columns)
                    x, y = x + column * width, y + self.sizes[scale][0] - (row + 1) * height
                    scale = child
                    break
            else:
                return None
        return x, y, scale


def _numbers(n: int) -> tuple[str, ...]:
    return tuple(str(i) for i in range(1, n + 1))


def _degrees(*, parts: int) -> tuple[int, int]:
    return _PER_DEGREE // parts, _PER_DEGREE // parts


GRIDS: dict[System, Grid] = {
    "topographic": Grid(
        system="topographic",
        units=_PER_DEGREE,
        origin=0,
        limits=(-180 * _PER_DEGREE, 0, 180 * _PER_DEGREE, 88 * _PER_DEGREE),
        where="between the equator and 88 degrees north, longitudes -180 to 180",
        sizes={
            1_000_000: (4 * _PER_DEGREE, 6 * _PER_DEGREE),
            500_000: (2 * _PER_DEGREE, 3 * _PER_DEGREE),
            250_000: (_PER_DEGREE, 3 * _PER_DEGREE // 2),
            100_000: _degrees(parts=2),
            50_000: _degrees(parts=4),
            25_000: _degrees(parts=8),
            10_000: _degrees(parts=16),
            5_000: _degrees(parts=32),
            2_000: _degrees(parts=96),
            1_000: _degrees(parts=192),
            500: _degrees(parts=384),
        },
        levels={
            500_000: Level(1_000_000, 2, tuple("ABCD")),
            250_000: Level(500_000, 2, _numbers(4)),
            100_000: Level(1_000_000, 12, _numbers(96)),
            50_000: Level(100_000, 2, tuple("ABCD")),
            25_000: Level(50_000, 2, tuple("abcd")),
            10_000: Level(25_000, 2, _numbers(4)),
            5_000: Level(100_000, 16, _numbers(256)),
            2_000: Level(5_000, 3, tuple("abcdefghk")),
            1_000: Level(2_000, 2, ("I", "II", "III", "IV")),
            500: Level(2_000, 4, _numbers(16)),
        },
    ),
    "cadastral": Grid(
        system="cadastral",
        units=1,
        origin=500_000,
        # Names hold the northing modulo 1000 km; as sheets are 3 km high, they are unique over 3000 km.
        # The columns of 6 km from 500 km on with three-digit names reach from 2 to 998 km.
        limits=(2_000, 0, 998_000, 3_000_000),
        where="for X from 0 to 3000 km and Y from 2 to 998 km",
        sizes={
            10_000: (6000, 6000),
            5_000: (3000, 3000),
            2_000: (1000, 1000),
            1_000: (500, 500),
            500: (250, 250),
            200: (100, 100),
        },
        levels={
            2_000: Level(5_000, 3, _numbers(9)),
            1_000: Level(2_000, 2, tuple("abcd")),
            500: Level(2_000, 4, tuple(f"({n})" for n in _numbers(16))),
            200: Level(2_000, 10, _numbers(100)),
        },
    ),
}


# Walking through sheets row by row asks for the same parents again and again.
@lru_cache(maxsize=4096)
def _name(system: System, cell: Cell) -> str:
    grid = GRIDS[system]
    x, y, scale = cell
    height, width = grid.sizes[scale]
    level = grid.levels.get(scale)
    if level is None:
        return _root_name(system, cell)
    parent = grid.cell(x, y, level.parent)
    row = (parent[1] + grid.sizes[level.parent][0] - y) // height - 1
    mark = level.marks[row * level.columns + (x - parent[0]) // width]
    above = _name(system, parent)
    if system == "topographic" and scale <= 5_000:
        return f"{above}-({mark})" if scale == 5_000 else f"{above[:-1]}-{mark})"
    return f"{above}-{mark}"


def _root_name(system: System, cell: Cell) -> str:
    x, y, scale = cell
    if system == "topographic":
        return f"{_BANDS[y // (4 * _PER_DEGREE)]}-{(x + 180 * _PER_DEGREE) // (6 * _PER_DEGREE) + 1}"
    top = y + GRIDS[system].sizes[scale][0]
    return f"{'10-' if scale == 10_000 else ''}{top // 1000 % 1000:03d} {x // 1000:03d}"


def _parse_topographic(text: str) -> Cell | None:
    band, *parts = re.sub(r"[\s()]", "", text).upper().split("-")
    if len(band) != 1 or band not in _BANDS or not parts or not re.fullmatch(r"[0-9]{1,2}", parts[0]):
        return None
    zone = int(parts[0])
    south = 4 * _PER_DEGREE * _BANDS.index(band)
    grid = GRIDS["topographic"]
    if not 1 <= zone <= 60 or south >= grid.limits[3]:
        return None
    return grid.descend(((6 * zone - 186) * _PER_DEGREE, south, 1_000_000), parts[1:])


_CADASTRAL_NAME = re.compile(
    r"(?P<ten>10\s*-\s*)?(?P<x>\d{3})\s*[-\s]?\s*(?P<y>\d{3})(?P<rest>(?:\s*-\s*(?:\w+|\(\s*\w+\s*\)))*)",
    re.ASCII,
)


def _parse_cadastral(text: str) -> Cell | None:
    match = _CADASTRAL_NAME.fullmatch(text)
    if match is None or (match["ten"] and match["rest"]):
        return None
    grid = GRIDS["cadastral"]
    scale = 10_000 if match["ten"] else 5_000
    size, west = grid.sizes[scale][0], int(match["y"]) * 1000
    tops = [t for t in range(int(match["x"]) * 1000, grid.limits[3] + 1, 1_000_000) if t and t % size == 0]
    if (west - grid.origin) % size or not tops or not grid.limits[0] <= west < grid.limits[2]:
        return None
    parts = re.sub(r"\s", "", match["rest"]).split("-")[1:]
    return grid.descend((west, tops[0] - size, scale), parts)
