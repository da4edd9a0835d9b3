"""Where things lie: the page of a paper, the window of the map on it, and the ground that the window shows.

The map is drawn in the city's storage CRS, so a length on paper times the scale is the length in the grid of
that CRS, everywhere on the page and exactly; from the ground it differs by the grid's own scale (less than
1 : 2 500 in the default city), as on every map sheet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from gis.crs import WGS84, Box, transform_xy
from gis.errors import UsageError
from gis.print import UNIT

#: Width and height in mm of a sheet that stands upright.
PAPERS: Final = {"a4": (210, 297), "a3": (297, 420), "a2": (420, 594), "a1": (594, 841)}
ORIENTATIONS: Final = ("landscape", "portrait")
#: Texts and lines around the map are larger on larger paper: A1 hangs on a wall.
_GROWTH: Final = {"a4": 1.0, "a3": 1.12, "a2": 1.3, "a1": 1.5}

#: mm on paper of what a style calls a pixel: less than on a screen (0.26), as paper is read from near and is
#: sharper.
PIXEL_MM: Final = 0.2
#: mm of a pixel of an image (96 to the inch, as CSS says).
SCREEN_PIXEL_MM: Final = 25.4 / 96

#: Metres of the equator.
_EQUATOR: Final = 40_075_016.686


@dataclass(frozen=True)
class Rect:
    """A rectangle on the page, in units."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def top(self) -> float:
        return self.y + self.height

    def inner(self, by: float) -> Rect:
        return Rect(self.x + by, self.y + by, self.width - 2 * by, self.height - 2 * by)


@dataclass(frozen=True)
class Ground:
    """What a window shows: the lower left corner in the storage CRS, and what a metre is on the page.

    ``units`` of the page are a metre of the grid, ``pixel`` is a style pixel in units; ``zoom`` is
    the zoom of MapLibre at which a screen shows the ground as large in style pixels.
    """

    window: Rect
    west: float
    south: float
    units: float
    crs: int
    pixel: float
    zoom: float

    @property
    def box(self) -> Box:
        """The ground in the window, in the storage CRS."""
        return self.wider(0)

    def wider(self, units: float) -> Box:
        """The ground in the window and so many units around it."""
        more = units / self.units
        return (
            self.west - more,
            self.south - more,
            self.west + self.window.width / self.units + more,
            self.south + self.window.height / self.units + more,
        )

    def place(self, east: float, north: float) -> tuple[float, float]:
        """A point of the storage CRS on the page."""
        window = self.window
        return window.x + (east - self.west) * self.units, window.y + (north - self.south) * self.units

    @property
    def middle(self) -> tuple[float, float]:
        """The middle of the window, in the storage CRS."""
        west, south, east, north = self.box
        return (west + east) / 2, (south + north) / 2


@dataclass(frozen=True)
class Layout:
    """The page. All in units; ``growth``: how much larger texts are than on A4."""

    width: float
    height: float
    title: Rect
    map: Rect
    panel: Rect
    growth: float
    #: Space around the map for the labels of the grid.
    band: float


def layout_of(paper: str, orientation: str) -> Layout:
    """The page of a paper: title above, map, and what explains it (at the right, or below when upright)."""
    upright = PAPERS[paper]
    width, height = (v * UNIT for v in (upright if orientation == "portrait" else upright[::-1]))
    growth = _GROWTH[paper]
    margin, band, title = 7 * growth * UNIT, 5.5 * growth * UNIT, 13 * growth * UNIT
    inner = Rect(margin, margin, width - 2 * margin, height - 2 * margin)
    head = Rect(inner.x, inner.top - title, inner.width, title)
    # A larger paper shows more layers: its legend takes the larger share of what is gained.
    share = {"a4": 0.235, "a3": 0.2, "a2": 0.175, "a1": 0.16}[paper]
    if orientation == "landscape":
        panel = Rect(inner.right - share * inner.width, inner.y, share * inner.width, inner.height - title)
        outer = Rect(inner.x, inner.y, inner.width - panel.width - 3.5 * growth * UNIT, inner.height - title)
    else:
        panel = Rect(inner.x, inner.y, inner.width, (share + 0.04) * inner.height)
        low = panel.top + 3 * growth * UNIT
        outer = Rect(inner.x, low, inner.width, head.y - low)
    return Layout(width, height, head, _whole(outer.inner(band)), panel, growth, band)


def _whole(rect: Rect) -> Rect:
    """The window's corners lie on whole units."""
    x, y = math.ceil(rect.x), math.ceil(rect.y)
    return Rect(x, y, math.floor(rect.right) - x, math.floor(rect.top) - y)


def ground_of(window: Rect, center: tuple[float, float], scale: float, crs: int, pixel_mm: float) -> Ground:
    """The ground around a centre (longitude, latitude of CRS84). Raises UsageError outside the grid."""
    east, north = (float(v[0]) for v in transform_xy([center[0]], [center[1]], WGS84, crs))
    if not (math.isfinite(east) and math.isfinite(north)):
        raise UsageError("the centre is nowhere in the city's coordinates", hint="as longitude,latitude")
    units = 1000 * UNIT / scale
    return Ground(
        window=window,
        west=east - window.width / units / 2,
        south=north - window.height / units / 2,
        units=units,
        crs=crs,
        pixel=pixel_mm * UNIT,
        zoom=zoom_at(center[1], scale * pixel_mm / 1000),
    )


def zoom_at(latitude: float, metres: float) -> float:
    """MapLibre's zoom at which a style pixel is so many metres (its world is 512 pixels wide at zoom 0)."""
    return math.log2(_EQUATOR * math.cos(math.radians(latitude)) / (512 * metres))
