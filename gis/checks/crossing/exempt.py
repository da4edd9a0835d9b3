"""Works that may be near each other: in the same trench or tunnel, or joined through a short piece."""

from __future__ import annotations

import numpy as np
import shapely

from gis.checks.crossing.approach import JOINED
from gis.checks.crossing.works import Works
from gis.checks.features import Floats, Ints

#: A line lies in a container when it runs along it for this many times its width, or with most of itself.
_ALONG, _MOST = 3.0, 0.9
#: Beyond the inner walls (m): inner sizes are rounded, and axes are measured to some centimetres.
_WALL = 0.1
#: Two lines joined by a line no longer than this (m) are joined: fittings are drawn so.
HOP = 2.0


def sheltered(works: Works, a: int, b: int, place: shapely.Geometry) -> bool:
    """Whether one of the lines lies within the other at ``place``, or both within the same container."""
    if not works.container.any():
        return False
    if works.container[a] or works.container[b]:
        container, content = (a, b) if works.container[a] else (b, a)
        return not works.container[content] and _inside(works, content, container, place)
    near: Ints = works.tree.query(
        place, predicate="dwithin", distance=(works.half_width.max() + _WALL) / works.unit
    )
    return any(
        _inside(works, a, c, place) and _inside(works, b, c, place) for c in near[works.container[near]]
    )


def _inside(works: Works, line: int, container: int, place: shapely.Geometry) -> bool:
    half = works.half_width[container] + _WALL
    axis, shape = works.geometry[container], works.geometry[line]
    if not shapely.dwithin(axis, place, (half + works.half_width[line]) / works.unit):
        return False
    apart = abs(height_at(works, line, place) - height_at(works, container, place))
    if apart > works.half_height[container] + _WALL:  # not when a height is unknown
        return False
    if (line, container) not in works.strips:
        strip = shapely.buffer(axis, half / works.unit)
        works.strips[line, container] = shapely.intersection(shape, strip).length * works.unit
    least = min(2 * _ALONG * half, _MOST * works.length[line])
    return bool(works.strips[line, container] >= least)


def height_at(works: Works, line: int, place: shapely.Geometry) -> float:
    """Height of a line's axis (m) where it is nearest to ``place``; NaN where unknown."""
    vertices: Floats = works.vertices[works.offsets[line] : works.offsets[line + 1]]
    start, step = vertices[:-1], np.diff(vertices, axis=0)
    at = shapely.get_coordinates(place)[0]
    square = np.maximum((step[:, :2] ** 2).sum(axis=1), 1e-12)
    along = np.clip(((at - start[:, :2]) * step[:, :2]).sum(axis=1) / square, 0, 1)
    gaps = ((start[:, :2] + along[:, None] * step[:, :2] - at) ** 2).sum(axis=1)
    best = int(gaps.argmin())
    return float(start[best, 2] + along[best] * step[best, 2])


def hop(works: Works, a: int, b: int, place: shapely.Geometry) -> bool:
    """Whether a short line of the same sector joins the two."""
    if works.sector[a] != works.sector[b]:
        return False
    near = works.tree.query(place, predicate="dwithin", distance=HOP / works.unit)
    for piece in near[(works.length[near] <= HOP) & (works.sector[near] == works.sector[a])]:
        ends = shapely.points(works.ends[piece])
        to_a, to_b = (shapely.dwithin(ends, works.geometry[other], JOINED / works.unit) for other in (a, b))
        if piece not in (a, b) and ((to_a[0] and to_b[1]) or (to_a[1] and to_b[0])):
            return True
    return False
