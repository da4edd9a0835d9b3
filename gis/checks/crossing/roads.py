"""Carriageways: centre lines of roads with half their width."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely

from gis.checks.crossing.works import UNITS
from gis.checks.features import Bools, Features, Floats, Ints, Objects
from gis.checks.network.graph import unit_m
from gis.checks.network.members import one_of
from gis.checks.window import Need, Window, columns_of
from layers.registry import Catalogue

#: A carriageway is taken to be at most twice this wide (m); it bounds the reach of rules.
WIDEST = 40.0
_FIELDS, _CLASS = ("width_m", "lanes", "layer_level"), "road_class"
_NOT_FOR_CARS = ("footway", "cycleway", "track")
#: Ends of two roads within this distance (m) are the same junction.
_JUNCTION = 0.1
_NONE = np.empty(0, np.int64)


@dataclass(frozen=True)
class Carriageways:
    """``n`` pieces of roads on the ground whose width is known."""

    features: Features
    #: (n) the road of each piece, its centre line, half its width (units of the storage CRS).
    road: Ints
    line: Objects
    half: Floats
    #: Metres in a unit of the storage CRS.
    unit: float

    @cached_property
    def tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.line)

    @cached_property
    def _ends(self) -> shapely.STRtree:
        return shapely.STRtree(
            np.concatenate([shapely.get_point(self.line, 0), shapely.get_point(self.line, -1)])
        )

    def around(self, points: Objects) -> tuple[Ints, Ints, Floats]:
        """Pairs of points and pieces whose carriageway they are in, and how far (m) from its edge.

        Beyond the end of a piece there is a carriageway only where another piece goes on.
        """
        if not len(self.line) or not len(points):
            return _NONE, _NONE, np.empty(0)
        point, piece = self.tree.query(points, predicate="dwithin", distance=self.half.max())
        inside = self.half[piece] - shapely.distance(points[point], self.line[piece])
        kept = inside > 0
        if not kept.any():
            return _NONE, _NONE, np.empty(0)
        point, piece, inside = point[kept], piece[kept], inside[kept]
        nearest = shapely.get_point(shapely.shortest_line(points[point], self.line[piece]), -1)
        first, last = shapely.get_point(self.line[piece], 0), shapely.get_point(self.line[piece], -1)
        end = shapely.equals(nearest, first) | shapely.equals(nearest, last)
        goes_on = np.ones(len(point), bool)
        at = np.flatnonzero(end)
        if len(at):
            meeting = self._ends.query(nearest[at], predicate="dwithin", distance=_JUNCTION / self.unit)[0]
            goes_on[at] = np.bincount(meeting, minlength=len(at)) > 1
        return point[goes_on], piece[goes_on], inside[goes_on] * self.unit


def road_needs(catalogue: Catalogue, layer: str, reach: float) -> Need:
    """What carriageways_of reads of a layer, for points within ``reach`` of a window."""
    known = catalogue.layers[layer]
    names = [name for name in (*_FIELDS, _CLASS) if known.field(name)]
    return Need(layer, columns_of(names), (WIDEST + 1.0 + reach) * UNITS)


def carriageways_of(window: Window, layer: str, lane_m: float) -> Carriageways:
    """The carriageways of a layer around a window. Without a width it is that of the lanes; roads on
    bridges and in tunnels, those not for cars, and those of neither width nor lanes are left out."""
    unit = unit_m(window.setting.city)
    return window.memo(("roads", layer, lane_m), lambda: _build(window.sound(layer), lane_m, unit))


def _build(features: Features, lane_m: float, unit: float) -> Carriageways:
    nothing = np.full(len(features), np.nan)
    width, lanes, level = (
        features[name] if features.layer.field(name) else nothing for name in _FIELDS
    )  # fmt: skip
    half = np.minimum(np.where(width > 0, width, lanes * lane_m) / 2, WIDEST) / unit
    kept: Bools = (half > 0) & ((level == 0) | np.isnan(level))
    if features.layer.field(_CLASS):
        kept &= ~one_of(features[_CLASS], _NOT_FOR_CARS)
    roads = np.flatnonzero(kept)
    line, part = shapely.get_parts(features.geometry[roads], return_index=True)
    long = (shapely.get_type_id(line) == 1) & (shapely.length(line) > 0)
    road = roads[part[long]].astype(np.int64)
    return Carriageways(features, road, line[long], half[road], unit)
