"""Move a shared boundary: a polyline takes the place of a part of it, in all parcels that share it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from itertools import pairwise
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis.edit.model import FeatureChange, Update
from gis.edit.operations.parcels import LEGAL_AREA
from gis.edit.operations.rings import (
    Key,
    check_closed,
    each_with_vertices_of_others,
    edges_of,
    is_parcel,
    key_of,
    polygon_of,
    rings_of,
    with_vertices,
)
from gis.edit.operations.standing import Floats, Note, Plan, Refused, Standing, known_attributes

Edge = tuple[Key, Key]


def move_boundary(
    parcels: Sequence[Standing],
    line: Floats,
    around: Sequence[Standing],
    *,
    tolerance: float,
    cluster: float,
    given: Mapping[int, Mapping[str, Any]] | None = None,
) -> Plan:
    """``line`` (n, 2) takes the place of the boundary between its ends, in all ``parcels``.

    Its ends are vertices of the common boundary, or places on it, within ``tolerance``. The boundary between
    them is the shortest way along edges that two of the parcels share. Where another boundary ends on this
    part, the line must have a vertex (within the tolerance) there, which stays. ``around``: other parcels
    nearby, which must not share the part. ``given``: attributes that change, by fid. Raises Refused.
    """
    given = given or {}
    for number, one in enumerate(parcels):
        is_parcel(one)
        known_attributes(one.layer, given.get(one.fid, {}), f"/parcels/{number}/properties")
    if len({one.key for one in parcels}) < max(2, len(parcels)):
        raise Refused(
            "name the parcels that share the boundary, each once", code="not-parcels", pointer="/parcels"
        )
    others = [one for one in around if one.key not in {p.key for p in parcels}]
    shapes = each_with_vertices_of_others([one.geometry for one in parcels], cluster)
    line = line.copy()
    for end in (0, -1):
        line[end] = _on_boundary(line[end], shapes, tolerance)
    shapes = [with_vertices(shape, line[[0, -1]], cluster) for shape in shapes]
    edges = [edges_of(shape) for shape in shapes]
    path = _path(edges, key_of(line[0]), key_of(line[-1]))
    breaks = _breaks(path, line, edges, others, tolerance, cluster)
    after = [_replaced(shape, breaks) for shape in shapes]

    def name(number: int) -> str:
        return parcels[number].name

    check_closed(shapes, after, others, name, "/line")
    changes: list[FeatureChange] = []
    notes = []
    for one, shape in zip(parcels, after, strict=True):
        patch = dict(given.get(one.fid, {}))
        if shapely.equals_exact(shape, one.geometry) and not patch:
            continue
        legal = one.properties.get(LEGAL_AREA)
        if legal is not None and LEGAL_AREA not in patch and abs(shape.area - one.geometry.area) > 0.005:
            detail = f"legal_area_m2 stays {legal:g}; the parcel now measures {shape.area:.2f} m²"
            notes.append(Note("legal-area-stays", detail, *one.key))
        changes.append(Update(one.layer.id, one.fid, one.version, patch or None, shape, pointer=one.pointer))
    # A neighbour that only touches an end of the part gets the vertex that was put in there.
    for one in others:
        if one.geometry.geom_type == "Polygon":
            closed = with_vertices(one.geometry, line[[0, -1]], cluster)
            if closed is not one.geometry:
                changes.append(Update(one.layer.id, one.fid, one.version, None, closed))
    return Plan(changes, notes)


def _on_boundary(point: Floats, shapes: Sequence[BaseGeometry], tolerance: float) -> Floats:
    """The vertex, or else the place on a boundary, that the point means."""
    vertices = np.vstack([shapely.get_coordinates(shape) for shape in shapes])
    apart = np.hypot(*(vertices - point).T)
    if apart.min() <= tolerance:
        found: Floats = vertices[apart.argmin()]
        return found
    boundaries = shapely.boundary(np.array(shapes, dtype=object))
    distance = shapely.distance(shapely.points(point), boundaries)
    if distance.min() > tolerance:
        raise Refused(
            f"an end of the line is {distance.min():.3f} m from the boundary; it may be {tolerance:g} m",
            code="too-far",
            pointer="/line",
        )
    there: Floats = shapely.get_coordinates(
        shapely.shortest_line(shapely.points(point), boundaries[distance.argmin()])
    )[1]
    return there


def _path(edges: Sequence[set[Edge]], start: Key, end: Key) -> list[Key]:
    """The shortest way along edges that two of the parcels share."""
    counted: dict[Edge, int] = defaultdict(int)
    for some in edges:
        for edge in some:
            counted[edge] += 1
    ways: dict[Key, list[tuple[float, Key]]] = defaultdict(list)
    for (a, b), parcels in counted.items():
        if parcels == 2:
            length = float(np.hypot(a[0] - b[0], a[1] - b[1]))
            ways[a].append((length, b))
            ways[b].append((length, a))
    best: dict[Key, Key] = {}
    queue: list[tuple[float, Key, Key]] = [(0.0, start, start)]
    while queue:
        length, here, before = heappop(queue)
        if here in best:
            continue
        best[here] = before
        if here == end:
            break
        for more, there in ways[here]:
            if there not in best:
                heappush(queue, (length + more, there, here))
    if end not in best or start == end:
        raise Refused(
            "the parcels share no boundary, vertex for vertex, between the ends of the line",
            code="not-shared",
            pointer="/line",
            hint="both ends must lie on the boundary between the parcels named (see CAD-04, CAD-05)",
        )
    found = [end]
    while found[-1] != start:
        found.append(best[found[-1]])
    return found[::-1]


def _breaks(
    path: Sequence[Key],
    line: Floats,
    edges: Sequence[set[Edge]],
    others: Sequence[Standing],
    tolerance: float,
    cluster: float,
) -> dict[Edge, list[Key]]:
    """What takes the place of each stretch of the path: (its two ends) -> vertices of the line from the first
    to the second. Stretches end where other boundaries do, and the line has a vertex there."""
    on_path = {pair for a, b in pairwise(path) for pair in ((a, b), (b, a))}
    crossing = {v for some in edges for a, b in some if (a, b) not in on_path for v in (a, b)}
    way = shapely.linestrings(np.array(path))
    for one in others:
        xy = shapely.get_coordinates(one.geometry)
        near = xy[shapely.distance(shapely.points(xy), way) <= cluster]
        found = [min(path, key=lambda v, at=at: np.hypot(v[0] - at[0], v[1] - at[1])) for at in near]  # type: ignore[misc]
        shared = shapely.intersection(shapely.boundary(one.geometry), shapely.buffer(way, cluster))
        if shapely.length(shared) > 10 * cluster or any(
            np.hypot(v[0] - at[0], v[1] - at[1]) > cluster for v, at in zip(found, near, strict=True)
        ):
            raise Refused(
                f"{one.name} shares this boundary, too",
                code="shared-by-others",
                pointer="/parcels",
                hint="name it, with its version, among the parcels",
                features=(one,),
            )
        crossing |= set(found)
    stops = [0]
    kept = [0]
    for index, vertex in enumerate(path[1:-1], 1):
        if vertex not in crossing:
            continue
        apart = np.hypot(line[:, 0] - vertex[0], line[:, 1] - vertex[1])
        apart[: kept[-1] + 1] = np.inf
        apart[-1] = np.inf
        if not len(line) > 2 or apart.min() > tolerance:
            raise Refused(
                f"another boundary ends at {vertex[0]:.3f}, {vertex[1]:.3f}, where the line has no vertex",
                code="boundary-ends-there",
                pointer="/line",
                hint="move the boundary up to there, or give the line a vertex there",
            )
        stops.append(index)
        kept.append(int(apart.argmin()))
        line[kept[-1]] = vertex
    stops.append(len(path) - 1)
    kept.append(len(line) - 1)
    found_breaks: dict[Edge, list[Key]] = {}
    for (a, b), (i, j) in zip(pairwise(stops), pairwise(kept), strict=True):
        stretch = [key_of(xy) for xy in line[i : j + 1]]
        for u, v in zip(path[a:b], path[a + 1 : b + 1], strict=True):
            found_breaks[u, v] = stretch
            found_breaks[v, u] = stretch[::-1]
    return found_breaks


def _replaced(shape: BaseGeometry, breaks: Mapping[Edge, list[Key]]) -> BaseGeometry:
    """The polygon with the stretches of its boundary replaced."""
    rings = []
    for ring in rings_of(shape):
        keys = [key_of(xy) for xy in ring[:-1]]
        heights = dict(zip(keys, ring[:-1, 2:].tolist(), strict=True))
        found = _walked(keys, breaks)
        filled = [[*key, *heights.get(key, heights[keys[0]])] for key in found]
        rings.append(np.array([*filled, filled[0]], dtype=np.float64))
    return polygon_of(rings)


def _walked(keys: Sequence[Key], breaks: Mapping[Edge, list[Key]]) -> list[Key]:
    """The vertices of a ring, stretches replaced."""
    count = len(keys)
    pairs = [(keys[i], keys[(i + 1) % count]) for i in range(count)]
    # begin where a stretch begins, so that none runs over the end of the list
    begin = next((i for i, pair in enumerate(pairs) if pair in breaks and breaks[pair][0] == pair[0]), 0)
    found: list[Key] = []
    index = 0
    while index < count:
        pair = pairs[(begin + index) % count]
        stretch = breaks.get(pair)
        if stretch is None:
            found.append(pair[0])
            index += 1
            continue
        found += stretch[:-1]
        while index < count and pairs[(begin + index) % count][1] != stretch[-1]:
            index += 1
        index += 1
    return found
