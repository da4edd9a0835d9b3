"""Suggested changes of lines: an end that moves onto what it nearly meets, a line that is split at a node."""

from __future__ import annotations

import numpy as np
import shapely

from gis.checks.features import Floats
from gis.checks.model import Mend
from gis.checks.network.graph import Graph


def move_end(graph: Graph, end: int, to: Floats, unit: float) -> Mend | None:
    """The line with one end moved to ``to`` (2); its own height stays. None if nothing would be left of it.

    ``unit``: metres in a unit of the coordinates.
    """
    line, side = divmod(end, 2)
    shape = graph.lines.geometry[line]
    if shape.geom_type != "LineString":
        return None
    points = shapely.get_coordinates(shape, include_z=bool(shape.has_z))
    if side == 0:
        points = points[::-1]
    moved = float(np.hypot(*(points[-1, :2] - to)))
    points[-1, :2] = to
    # An end that overshot often has a vertex where it should have stopped.
    rest = points[:-1]
    while len(rest) and np.hypot(*(rest[-1, :2] - to)) <= graph.network.cluster_m / unit:
        rest = rest[:-1]
    if not len(rest):
        return None
    points = np.vstack([rest, points[-1:]])
    shape = shapely.linestrings(points[::-1] if side == 0 else points)
    return _mend(graph, line, shape, moved * unit)


def split(graph: Graph, line: int, at: Floats, unit: float) -> Mend | None:
    """The line in two parts that meet at ``at`` (2), at its own height there; None if one is empty."""
    shape = graph.lines.geometry[line]
    if shape.geom_type != "LineString":
        return None
    along = float(shapely.line_locate_point(shape, shapely.Point(*at)))
    foot = shapely.get_coordinates(shapely.line_interpolate_point(shape, along), include_z=bool(shape.has_z))
    moved = float(np.hypot(*(foot[0, :2] - at)))
    foot[0, :2] = at
    points = shapely.get_coordinates(shape, include_z=bool(shape.has_z))
    reached = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points[:, :2], axis=0).T))])
    # A vertex of the line at the place is where it is split: it must not stay beside the new one.
    slack = graph.network.cluster_m / unit
    before, after = points[reached < along - slack], points[reached > along + slack]
    if not len(before) or not len(after):
        return None
    first = shapely.linestrings(np.vstack([before, foot]))
    second = shapely.linestrings(np.vstack([foot, after]))
    return _mend(graph, line, first, moved * unit, second)


def _mend(graph: Graph, line: int, shape: shapely.Geometry, moved: float, *parts: shapely.Geometry) -> Mend:
    features, index = graph.lines.about(line)
    return Mend(
        features.layer.id, int(features.fid[index]), str(features.asset_id[index]), shape, moved, tuple(parts)
    )
