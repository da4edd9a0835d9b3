"""The files of a raster layer, by place: which of them make a picture, which is on top. No pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import numpy as np
import shapely

from gis.crs import WEB_MERCATOR, WGS84, Box, definition, transform_box, transform_geometries
from gis.db.rasters import is_overview
from layers.raster import MOST_FILES, RasterLayer
from tiles.grid import HALF, MAX_ZOOM

#: Most files that one picture is made of. Without an overview, zooms that need more are not offered.
MOST_SCENES = MOST_FILES
#: Pixels of a tile's side.
TILE = 256
#: A layer is shown from the zoom at which it is this many pixels large.
_SMALLEST = 32
#: Metres of a degree of latitude.
_DEGREE = 111_320.0
#: Files around which the zooms are tried out.
_TRIED = 60


class Gone(Exception):  # noqa: N818
    """A file was replaced while it was being read for: the table has to be looked at again."""


@dataclass(frozen=True)
class Scene:
    """One file. ``footprint`` is in the storage CRS."""

    path: Path
    footprint: shapely.Geometry
    sheet: str | None
    resolution_m: float
    taken_on: date | None
    source: str
    lowest: float | None
    highest: float | None
    loaded_at: datetime
    id: int = 0

    @property
    def name(self) -> str:
        """The file's name: a hash of what it was made from."""
        return self.path.name


class Mosaic:
    """All files of one layer. Never changed: a load makes another one.

    ``scenes``: what was delivered. ``overview``: of layers of many files, one that holds all of them coarsely
    (gis.ingest.raster.overview).
    """

    def __init__(self, layer: RasterLayer, files: Sequence[Scene], storage: int) -> None:
        self.layer, self.storage = layer, storage
        rank = layer.definition.rank
        scenes = [one for one in files if not is_overview(one.name)]
        self.scenes = tuple(
            sorted(scenes, key=lambda one: rank(one.taken_on, one.loaded_at, one.resolution_m))
        )
        self.overview = next((one for one in files if is_overview(one.name)), None)
        shapes = np.array([one.footprint for one in self.scenes], dtype=object)
        self._tree = shapely.STRtree(shapes)
        self.finest = min(one.resolution_m for one in self.scenes)
        degrees = shapely.total_bounds(transform_geometries(shapely.envelope(shapes), storage, WGS84))
        west, south, east, north = (float(value) for value in degrees)
        #: West, south, east, north in degrees (CRS84), a little larger than the files.
        self.extent: Box = (_down(west), _down(south), -_down(-east), -_down(-north))
        self._cosine = math.cos(math.radians((south + north) / 2))
        self.max_zoom = self._max_zoom()
        self.min_zoom = min(self._min_zoom(), self.max_zoom)

    @property
    def days(self) -> tuple[date, date] | None:
        """First and last day on which files were taken, as far as it is known."""
        known = [one.taken_on for one in self.scenes if one.taken_on is not None]
        return (min(known), max(known)) if known else None

    @property
    def heights(self) -> tuple[float, float] | None:
        """Lowest and highest value."""
        low = [one.lowest for one in self.scenes if one.lowest is not None]
        high = [one.highest for one in self.scenes if one.highest is not None]
        return (min(low), max(high)) if low and high else None

    def over(self, area: Box | shapely.Geometry, crs: int = WEB_MERCATOR) -> list[Scene]:
        """The files that touch a box of a CRS, or a shape of the storage CRS; the one on top first."""
        if isinstance(area, tuple):
            area = (
                transform_box(area, crs, self.storage, self.finest / 4) if crs != self.storage else _box(area)
            )
        if area.is_empty:
            return []
        return [self.scenes[i] for i in sorted(self._tree.query(area, predicate="intersects"))]

    def seen(self, area: Box, crs: int, step: float, most: int = MOST_SCENES) -> list[Scene]:
        """The files from which a box is drawn with pixels of ``step`` units of its CRS; the one on top first.

        Where pixels are larger than the overview's, that is it alone. Where more than ``most`` files meet, it
        lies below so many of them; a layer without one gives them all.
        """
        coarse = self.overview
        metres = self.metres(area, crs, step)
        if coarse is None or metres <= coarse.resolution_m * 1.001:
            found = self.over(area, crs)
            return found if coarse is None or len(found) <= most else [*found[:most], coarse]
        shape = transform_box(area, crs, self.storage, metres) if crs != self.storage else _box(area)
        return [coarse] if shapely.intersects(coarse.footprint, shape) else []

    def metres(self, area: Box, crs: int, step: float) -> float:
        """Metres on the ground, about, of a length in the middle of a box."""
        if crs == WEB_MERCATOR:
            return step / math.cosh((area[1] + area[3]) / 2 / (HALF / math.pi))
        return step if definition(crs).projected else step * _DEGREE

    def at(self, x: float, y: float) -> list[Scene]:
        """The files at a point of the storage CRS."""
        return self.over(shapely.Point(x, y))

    def _max_zoom(self) -> int:
        """The zoom at which a pixel of a tile is no larger than one of the finest file."""
        world = 2 * HALF / TILE * self._cosine
        return max(0, min(MAX_ZOOM, math.ceil(math.log2(world / self.finest) - 0.1)))

    def _min_zoom(self) -> int:
        given = self.layer.definition.min_zoom
        box = shapely.total_bounds(np.array([one.footprint for one in self.scenes], dtype=object))
        size = max(box[2] - box[0], box[3] - box[1])
        zoom = (
            given
            if given is not None
            else math.ceil(math.log2(2 * HALF * self._cosine / size * _SMALLEST / TILE))
        )
        zoom = max(0, zoom)
        if self.overview is not None:
            return zoom
        step = max(1, len(self.scenes) // _TRIED)
        centres = shapely.centroid(np.array([one.footprint for one in self.scenes[::step]], dtype=object))
        while zoom < self.max_zoom and self._most_at(centres, zoom) > MOST_SCENES:
            zoom += 1
        return zoom

    def _most_at(self, centres: object, zoom: int) -> int:
        """About how many files a tile of a zoom meets where they lie closest."""
        side = 2 * HALF * self._cosine / (1 << zoom)
        x, y = shapely.get_x(centres), shapely.get_y(centres)
        boxes = shapely.box(x - side / 2, y - side / 2, x + side / 2, y + side / 2)
        found = self._tree.query(boxes)[0]
        return int(np.bincount(found).max()) if found.size else 0


def _box(box: Box) -> shapely.Geometry:
    return shapely.box(*box)


def _down(degrees: float) -> float:
    """Rounded down to a micro-degree (11 cm), so that a box never shrinks."""
    return math.floor(degrees * 1e6) / 1e6
