"""Map sheets (phân mảnh bản đồ) of both Vietnamese systems: names, extents and outlines.

Topographic sheets are cells of VN-2000 latitude and longitude, cadastral ones squares of a TM-3 zone (the
rules are in gis.sheets_grid). Arithmetic is exact: a float is taken as the rational number that it is.
South and west edges belong to a sheet, north and east edges to its neighbour. Boxes are (minx, miny,
maxx, maxy) with x = longitude or easting.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import batched

import numpy as np
import shapely

from gis.crs import densify_segments, transform_xy
from gis.errors import UsageError
from gis.sheets_grid import GRIDS, Cell, Grid, System

ExactBox = tuple[Fraction, Fraction, Fraction, Fraction]
Number = float | int | Fraction

VN2000_GEOGRAPHIC = 4756
#: Zone of cadastral sheets unless told otherwise: the storage CRS of the default city.
TM3 = 9210
#: The scales of each system, small ones first.
SCALES: dict[System, tuple[int, ...]] = {name: tuple(grid.sizes) for name, grid in GRIDS.items()}


@dataclass(frozen=True)
class Sheet:
    """One sheet: canonical name, and its exact extent in the CRS it is defined in."""

    name: str
    system: System
    scale: int
    #: minx, miny, maxx, maxy in units of ``crs``.
    box: ExactBox
    crs: int

    def contains(self, x: Number, y: Number) -> bool:
        """Is this point (in the sheet's CRS) on the sheet? South and west edges are, the others not."""
        minx, miny, maxx, maxy = self.box
        return minx <= Fraction(x) < maxx and miny <= Fraction(y) < maxy

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """The extent rounded to floats."""
        minx, miny, maxx, maxy = (float(v) for v in self.box)
        return minx, miny, maxx, maxy

    def outline(self, code: int) -> shapely.Polygon:
        """The sheet as a polygon in another CRS; see outlines()."""
        return next(outlines([self], code))


def topographic_sheet(lat: Number, lon: Number, scale: int) -> Sheet:
    """The topographic sheet of a scale that holds a point in VN-2000 degrees (EPSG:4756).

    Raises UsageError for other scales, and outside 0 <= lat < 88, -180 <= lon < 180.
    """
    grid = _grid("topographic", scale)
    return _sheet(grid, _cell_of(grid, lon, lat, scale), VN2000_GEOGRAPHIC)


def cadastral_sheet(north: Number, east: Number, scale: int, *, crs: int = TM3) -> Sheet:
    """The cadastral sheet of a scale that holds a point X = north, Y = east (metres) of a TM-3 zone.

    Raises UsageError for other scales, and outside 0 <= X < 3000 km, 2 <= Y < 998 km.
    """
    grid = _grid("cadastral", scale)
    return _sheet(grid, _cell_of(grid, east, north, scale), crs)


def sheets_in(
    system: System, scale: int, box: tuple[Number, Number, Number, Number], *, crs: int = TM3
) -> Iterator[Sheet]:
    """All sheets of a scale that share area with a box, by rows from the north-west; made one at a time.

    The box is in the sheets' CRS: VN-2000 longitude, latitude for topographic, easting, northing of the
    TM-3 zone ``crs`` for cadastral ones. A box without area gives the sheets that hold its points.
    """
    grid = _grid(system, scale)
    code = VN2000_GEOGRAPHIC if system == "topographic" else crs
    minx, miny, maxx, maxy = (_exact(v) * grid.units for v in box)
    if minx > maxx or miny > maxy:
        raise UsageError("a box is minx, miny, maxx, maxy with minx <= maxx and miny <= maxy")
    west, south, east, north = grid.limits
    if not (west <= minx < east and south <= miny < north and maxx <= east and maxy <= north):
        raise UsageError(f"{system} sheets are named {grid.where}")
    height, width = grid.sizes[scale]
    first_x, first_y, _ = grid.cell(math.floor(minx), math.floor(miny), scale)
    columns = range(first_x, max(first_x + 1, math.ceil(maxx)), width)
    rows = range(first_y, max(first_y + 1, math.ceil(maxy)), height)
    return (_sheet(grid, (x, y, scale), code) for y in reversed(rows) for x in columns)


def parse_sheet(name: str, *, crs: int = TM3) -> Sheet:
    """The sheet of a name in either system; its scale follows from the form of the name.

    Spaces, kinds of dashes, case and (in topographic names) brackets do not matter. In cadastral names
    a last part in brackets is 1:500 and a bare number 1:200, so there they do. ``crs`` is the TM-3 zone of
    cadastral names. Raises UsageError (invalid-sheet).
    """
    if len(name) <= 60:
        text = re.sub(r"[\u2010-\u2015\u2212_]", "-", unicodedata.normalize("NFKC", name)).strip()
        system: System = "topographic" if re.match(r"[A-Za-z]", text) else "cadastral"
        cell = GRIDS[system].parse(text)
        if cell is not None:
            return _sheet(GRIDS[system], cell, VN2000_GEOGRAPHIC if system == "topographic" else crs)
    raise UsageError(
        f"{name[:60]!r} is not the name of a map sheet",
        code="invalid-sheet",
        hint="topographic sheets are named like C-48-34-(119-a), cadastral ones like 194 602-8",
    )


def outlines(sheets: Iterable[Sheet], code: int, tolerance_m: float = 1e-3) -> Iterator[shapely.Polygon]:
    """The sheets' outlines in another CRS, in order, each within ``tolerance_m`` of the true curves.

    Corners are the exact ones. An edge is always divided from its south or west end, so neighbours
    of one scale have the same vertices on it: together sheets cover the ground without gap or overlap.
    """
    for batch in batched(sheets, 500):
        assert len({sheet.crs for sheet in batch}) == 1, "outlines of sheets of one CRS at a time"
        yield from _outlines(batch, batch[0].crs, code, tolerance_m)


def _outlines(batch: tuple[Sheet, ...], src: int, dst: int, tolerance_m: float) -> list[shapely.Polygon]:
    minx, miny, maxx, maxy = np.array([sheet.bounds for sheet in batch]).T
    # South, east, north and west edge of each sheet, from west to east or from south to north.
    starts = np.array([[minx, miny], [maxx, miny], [minx, maxy], [minx, miny]]).transpose(2, 0, 1)
    ends = np.array([[maxx, miny], [maxx, maxy], [maxx, maxy], [minx, maxy]]).transpose(2, 0, 1)
    starts, ends = starts.reshape(-1, 2), ends.reshape(-1, 2)
    edge, points = densify_segments(starts, ends, src, dst, tolerance_m, most=10_000_000, first=2)
    # A ring runs along the north and west edges backwards: from their end to their second point.
    index = np.arange(edge.size) - np.searchsorted(edge, edge)
    backwards = edge % 4 >= 2
    turned = backwards & (index == 0)
    points[turned] = np.column_stack(transform_xy(ends[edge[turned], 0], ends[edge[turned], 1], src, dst))
    order = np.lexsort((np.where(backwards & ~turned, edge.size - index, index), edge))
    rings = shapely.linearrings(points[order], indices=edge[order] // 4)
    return list(shapely.polygons(rings))


def _sheet(grid: Grid, cell: Cell, crs: int) -> Sheet:
    x, y, scale = cell
    height, width = grid.sizes[scale]
    box = (
        Fraction(x, grid.units),
        Fraction(y, grid.units),
        Fraction(x + width, grid.units),
        Fraction(y + height, grid.units),
    )
    return Sheet(grid.name(cell), grid.system, scale, box, crs)


def _cell_of(grid: Grid, x: Number, y: Number, scale: int) -> Cell:
    column, row = math.floor(_exact(x) * grid.units), math.floor(_exact(y) * grid.units)
    west, south, east, north = grid.limits
    if not (west <= column < east and south <= row < north):
        raise UsageError(f"{grid.system} sheets are named {grid.where}")
    return grid.cell(column, row, scale)


def _grid(system: System, scale: int) -> Grid:
    grid = GRIDS.get(system)
    if grid is None or scale not in grid.sizes:
        scales = ", ".join(f"1:{s}" for s in SCALES.get(system, ()))
        raise UsageError(f"there are no {system} sheets of 1:{scale}", hint=f"the scales are {scales}")
    return grid


def _exact(value: Number) -> Fraction:
    try:
        return Fraction(value)
    except (ValueError, OverflowError):
        raise UsageError("coordinates of a map sheet must be finite numbers") from None
