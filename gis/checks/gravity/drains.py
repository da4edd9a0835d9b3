"""The lines of a gravity network with their inverts and cross-sections (docs/demo.md tells the conventions).

A line is drawn downstream; its height is its invert. The levels at its ends are the attributes
``invert_up_m`` and ``invert_down_m``, or where there are none the heights of its first and last vertex.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely

from gis.checks.features import Bools, Floats, Ints, Objects
from gis.checks.model import Application
from gis.checks.network.graph import Graph, graph_needs, graph_of, unit_m
from gis.checks.network.members import one_of
from gis.checks.window import Need, Window
from layers.registry import Catalogue

#: Fields of lines and of nodes that rules DRN read, from the layers that have them.
COLUMNS = (
    "shape", "diameter_mm", "width_mm", "height_mm", "invert_up_m", "invert_down_m", "slope_rule",
    "system", "depth_m", "from_node", "to_node", "ground_level_m", "invert_m",
)  # fmt: skip
#: Lines that may rise, or be higher than what flows into them, on purpose.
_FREE = ("inverted", "siphon", "pressure", "tidal")
#: Full area of a section as a share of width times height.
_SHARE = {"box": 1.0, "rectangle": 1.0, "circular": np.pi / 4, "egg": 0.785, "arch": 0.83}
#: Heights are given to the millimetre.
ROUNDING = 0.0005


@dataclass(frozen=True)
class Drains:
    """Arrays over the lines of ``graph``. Lengths and levels in m; NaN is unknown."""

    graph: Graph
    #: Lines that are not abandoned; among them those that flow by gravity alone.
    live: Bools
    free: Bools
    #: Lines in the ground, not open channels.
    closed: Bools
    #: Levels at the start and end as drawn.
    up: Floats
    down: Floats
    #: The same, from the heights of the vertices first: bound to the place, whatever attributes say.
    start: Floats
    end: Floats
    #: Area inside (m2), height inside (m), and the diameter of a round pipe of the same area (mm).
    area: Floats
    height: Floats
    diameter: Floats
    #: Metres in a unit of the storage CRS.
    unit: float

    def __len__(self) -> int:
        return len(self.live)

    @cached_property
    def falling(self) -> Bools:
        """Live lines that must fall as drawn."""
        return self.live & ~self.free

    @cached_property
    def length(self) -> Floats:
        found: Floats = shapely.length(self.graph.lines.geometry) * self.unit
        return found

    @cached_property
    def outgoing(self) -> Ints:
        """(nodes) live lines that start there."""
        return np.bincount(self.graph.start[self.live], minlength=len(self.graph))

    @cached_property
    def against(self) -> Bools:
        """Lines drawn against the flow, judged at the node where they end as drawn: fields name this node as
        their start, or they rise to a node that nothing leaves and that is no sink."""
        graph = self.graph
        stuck = (self.outgoing[graph.end] == 0) & ~graph.nodes_that_are("sinks")[graph.end]
        rises = self.end > self.start + ROUNDING
        both_ways = graph.lines.where(graph.network.both_ways, otherwise=False)
        found: Bools = self.live & ~both_ways & (self._misnamed | (stuck & rises & ~self.free))
        return found

    @cached_property
    def _misnamed(self) -> Bools:
        """Lines whose ``from_node`` is at their drawn end, and whose ``to_node`` is not."""
        graph = self.graph
        starts, ends = (_texts(graph.lines.column(name)) for name in ("from_node", "to_node"))
        ids, points = _ids(graph), graph.node_of_point
        one: Objects = np.full(len(graph), None, dtype=object)
        one[points] = ids
        here = one[graph.end]
        found: Bools = (starts == here) & (starts != None)  # noqa: E711 - of each element
        # Few nodes have several point features, and few lines are misnamed.
        crowded = np.flatnonzero((graph.features_at[graph.end] > 1) & (starts != None))  # noqa: E711
        for line in np.union1d(crowded, np.flatnonzero(found)):
            names = set(ids[graph.points_at(int(graph.end[line]))])
            found[line] = starts[line] in names and ends[line] not in names
        return found

    @cached_property
    def levels(self) -> Floats:
        """(ends) level of each end of a line: 2 * line its start, 2 * line + 1 its end."""
        return np.stack([self.up, self.down], axis=1).ravel()

    @cached_property
    def systems(self) -> Objects:
        return self.graph.lines.column("system")

    @cached_property
    def ground(self) -> Floats:
        """(nodes) ground level (m) of the point features there, the lowest if several."""
        found = np.full(len(self.graph), np.inf)
        if len(self.graph.points):
            levels = self.graph.points.column("ground_level_m")
            known = ~np.isnan(levels)
            np.minimum.at(found, self.graph.node_of_point[known], levels[known])
        return np.where(np.isinf(found), np.nan, found)


def drains_needs(app: Application, catalogue: Catalogue) -> Iterator[Need]:
    """What drains_of reads."""
    return graph_needs(app, catalogue, *COLUMNS)


def drains_of(window: Window, app: Application) -> Drains:
    """The drains of the application's network around a window, made once for all rules."""

    def compute() -> Drains:
        closed = {work.layer for work in window.setting.catalogue.works}
        return drains(graph_of(window, app), closed, unit_m(window.setting.city))

    return window.memo(("drains", app.network), compute)


def drains(graph: Graph, in_ground: set[str], unit: float = 1.0) -> Drains:
    """The lines of a graph as drains; those of the layers ``in_ground`` are closed conduits."""
    lines = graph.lines
    # Layers without these fields give null.
    status, rule, shape = (_texts(lines.column(name)) for name in ("status", "slope_rule", "shape"))
    closed_layer = np.array([part.layer.id in in_ground for part in lines.parts], bool)
    open_shape = one_of(shape, ("trapezoid", "rectangle"))
    closed = (closed_layer[lines.part] if len(lines) else np.zeros(0, bool)) & ~open_shape
    diameter, width, height = (lines.column(n) / 1000 for n in ("diameter_mm", "width_mm", "height_mm"))
    width, height = np.where(width > 0, width, diameter), np.where(height > 0, height, diameter)
    share = np.array([_SHARE.get(s, np.nan) for s in shape], np.float64)
    # Of an unknown shape it is round if it has a diameter.
    share = np.where(np.isnan(share), np.where(diameter > 0, np.pi / 4, 1.0), share)
    area = np.where((width > 0) & (height > 0), width * height * share, np.nan)
    first = graph.ends_xyz[0::2, 2] if len(lines) else np.empty(0)
    last = graph.ends_xyz[1::2, 2] if len(lines) else np.empty(0)
    up, down = lines.column("invert_up_m"), lines.column("invert_down_m")
    return Drains(
        graph,
        ~one_of(status, ("abandoned", "removed")),
        one_of(rule, _FREE),
        closed,
        np.where(np.isnan(up), first, up),
        np.where(np.isnan(down), last, down),
        np.where(np.isnan(first), up, first),
        np.where(np.isnan(last), down, last),
        area,
        height,
        np.sqrt(area * 4 / np.pi) * 1000,
        unit,
    )


def _ids(graph: Graph) -> Objects:
    """(points) asset ids."""
    points = graph.points
    chosen = [part.asset_id[points.index[points.part == n]] for n, part in enumerate(points.parts)]
    return np.concatenate([*chosen, np.empty(0, dtype=object)])


def _texts(column: Objects) -> Objects:
    """A column of texts; Members gives numbers (NaN) where no layer has the field."""
    return column if column.dtype == object else np.full(len(column), None, dtype=object)
