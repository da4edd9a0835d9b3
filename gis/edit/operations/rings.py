"""Rings of polygons as lists of vertices: vertices put in, edges compared, a fabric kept closed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis.edit.operations.lines import nearest
from gis.edit.operations.standing import Floats, Refused, Standing

#: Vertices as they compare: exactly equal coordinates are the same vertex.
Key = tuple[float, float]


def key_of(xy: Floats) -> Key:
    """The vertex of a coordinate."""
    return float(xy[0]), float(xy[1])


def is_parcel(parcel: Standing) -> None:
    """Raises Refused for what is not one sound polygon."""
    if parcel.geometry.geom_type != "Polygon" or not shapely.is_valid(parcel.geometry):
        raise Refused(
            f"{parcel.name} is no single valid polygon",
            code="not-a-polygon",
            pointer=parcel.pointer,
            features=(parcel,),
        )


def rings_of(polygon: BaseGeometry) -> list[Floats]:
    """Exterior ring, then the holes: closed, (n, 2) or (n, 3)."""
    z = bool(shapely.has_z(polygon))
    return [shapely.get_coordinates(ring, include_z=z) for ring in shapely.get_rings(polygon)]


def polygon_of(rings: Sequence[Floats]) -> BaseGeometry:
    """A polygon of its closed rings, the exterior first."""
    outer, *holes = (shapely.linearrings(ring) for ring in rings)
    return shapely.polygons(outer, holes=holes or None)


def with_vertices(polygon: BaseGeometry, points: Iterable[Floats], tolerance: float) -> BaseGeometry:
    """The polygon with a vertex at each point (2) that lies within ``tolerance`` of its boundary.

    A point within the tolerance of a vertex changes nothing there. The same object when nothing changed.
    Heights are interpolated.
    """
    rings, changed = rings_of(polygon), False
    for point in points:
        for number, ring in enumerate(rings):
            index, fraction, distance = nearest(ring[:, :2], point[:2])
            if distance > tolerance or np.hypot(*(ring[:, :2] - point[:2]).T).min() <= tolerance:
                continue
            new = ring[index] + fraction * (ring[index + 1] - ring[index])
            new[:2] = point[:2]
            rings[number] = np.insert(ring, index + 1, new, axis=0)
            changed = True
    return polygon_of(rings) if changed else polygon


def each_with_vertices_of_others(polygons: Sequence[BaseGeometry], tolerance: float) -> list[BaseGeometry]:
    """Polygons with the vertices that others have on their edges, so that shared edges are the same."""
    found = []
    for one in polygons:
        boundary = shapely.boundary(one)
        own = {key_of(xy) for xy in shapely.get_coordinates(one)}
        points = [
            xy
            for other in polygons
            if other is not one
            for xy in np.unique(shapely.get_coordinates(other), axis=0)
            if key_of(xy) not in own and shapely.distance(boundary, shapely.points(xy)) <= tolerance
        ]
        found.append(with_vertices(one, points, tolerance))
    return found


def turned_like(polygon: BaseGeometry, like: BaseGeometry) -> BaseGeometry:
    """The polygon with its rings turned as those of the other one."""
    clockwise = not shapely.is_ccw(shapely.get_exterior_ring(like))
    found: BaseGeometry = shapely.orient_polygons(polygon, exterior_cw=clockwise)
    return found


def edges_of(polygon: BaseGeometry) -> set[tuple[Key, Key]]:
    """Its edges without direction: the lesser vertex first."""
    return {
        (min(a, b), max(a, b))
        for ring in rings_of(polygon)
        for a, b in zip(map(key_of, ring[:-1]), map(key_of, ring[1:]), strict=True)
    }


def check_closed(
    before: Sequence[BaseGeometry],
    after: Sequence[BaseGeometry],
    around: Sequence[Standing],
    name: Callable[[int], str],
    pointer: str,
) -> None:
    """Raises Refused unless ``after`` are sound, cover exactly what ``before`` covered (1e-6 m2), and lie
    beside each other and ``around`` without overlap."""
    for number, one in enumerate(after):
        if one.geom_type != "Polygon" or one.is_empty or not shapely.is_valid(one):
            raise Refused(f"{name(number)} would be no valid polygon", code="not-valid", pointer=pointer)
    lost = abs(sum(one.area for one in before) - sum(one.area for one in after))
    if lost > 1e-6 * max(1.0, sum(one.area for one in before) * 1e-6):
        raise Refused(
            f"the parcels together would have {lost:.3f} m² more or less than now",
            code="not-closed",
            pointer=pointer,
        )
    pairs = shapely.STRtree(after)
    for one in around:
        for number in pairs.query(one.geometry):
            known = sum(overlap(old, one.geometry) for old in before)
            if overlap(after[number], one.geometry) > known + 1e-6:
                raise Refused(
                    f"{name(int(number))} would lie on {one.name}",
                    code="overlaps",
                    pointer=pointer,
                    features=(one,),
                )
    for number, one in enumerate(after):
        for other in after[number + 1 :]:
            if overlap(one, other) > 1e-6:
                raise Refused("the parcels would lie on each other", code="overlaps", pointer=pointer)


def overlap(a: BaseGeometry, b: BaseGeometry) -> float:
    """Common area; 0 for what is not sound."""
    if not (shapely.is_valid(a) and shapely.is_valid(b)):
        return 0.0
    return float(shapely.area(shapely.intersection(a, b)))
