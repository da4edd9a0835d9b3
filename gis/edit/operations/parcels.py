"""Split a parcel by a line, merge parcels: the fabric stays closed, vertex for vertex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from gis.edit.model import Create, Delete, FeatureChange, Update
from gis.edit.operations.rings import (
    Key,
    check_closed,
    each_with_vertices_of_others,
    is_parcel,
    key_of,
    rings_of,
    turned_like,
    with_vertices,
)
from gis.edit.operations.standing import (
    Floats,
    Note,
    Plan,
    Refused,
    Standing,
    changed_only,
    known_attributes,
    merged,
)

#: Attributes of law that hold for one shape only.
LEGAL_AREA: Final = "legal_area_m2"
LEGAL_EDGES: Final = "legal_edges_m"


@dataclass(frozen=True)
class Part:
    """A part of a parcel that is split: attributes that it gets, and a point (2) inside that tells which."""

    properties: Mapping[str, Any]
    inside: Floats | None = None


def split_parcel(
    parcel: Standing,
    line: Floats,
    parts: Sequence[Part],
    around: Sequence[Standing],
    *,
    tolerance: float,
    cluster: float,
) -> Plan:
    """The parts of a parcel on both sides of a line that crosses it from boundary to boundary.

    The first part stays this feature, the others are new ones (placeholders new:part-2 ...); parts without a
    point inside are taken by size, the largest first. Ends of the cut within ``tolerance`` of a vertex are
    that vertex; others become vertices of the neighbours, too. Raises Refused.
    """
    is_parcel(parcel)
    for number, part in enumerate(parts):
        known_attributes(parcel.layer, part.properties, f"/parts/{number}/properties")
    neighbours = [one for one in around if one.key != parcel.key and one.geometry.geom_type == "Polygon"]
    pieces = _pieces(parcel, line, neighbours, tolerance, cluster)
    ends = [piece[i] for piece in pieces for i in (0, -1)]
    whole = with_vertices(parcel.geometry, ends, cluster)
    faces = _faces(parcel, whole, pieces)
    if len(faces) != len(parts):
        raise Refused(
            f"the line cuts the parcel into {len(faces)} parts; {len(parts)} are described",
            code="parts-differ",
            pointer="/parts",
            features=(parcel,),
        )
    shapes = _assigned(faces, parts)
    closed = {one.key: with_vertices(one.geometry, ends, cluster) for one in neighbours}
    check_closed([parcel.geometry], shapes, neighbours, lambda n: f"part {n + 1}", "/line")

    notes: list[Note] = []
    changes: list[FeatureChange] = []
    for number, (shape, part) in enumerate(zip(shapes, parts, strict=True)):
        properties, more = _part_properties(parcel, part, number)
        notes += more
        if number == 0:
            patch = changed_only(parcel.properties, {**parcel.properties, **properties})
            changes.append(
                Update(parcel.layer.id, parcel.fid, parcel.version, patch, shape, pointer=parcel.pointer)
            )
        else:
            name = f"new:part-{number + 1}"
            whole_row = {**parcel.copied(), **properties}
            changes.append(Create(parcel.layer.id, whole_row, shape, name, f"/parts/{number}"))
    changes += [
        Update(one.layer.id, one.fid, one.version, None, closed[one.key], pointer=one.pointer)
        for one in neighbours
        if closed[one.key] is not one.geometry
    ]
    return Plan(changes, notes)


def merge_parcels(parcels: Sequence[Standing], given: Mapping[str, Any], *, cluster: float) -> Plan:
    """One parcel of several that lie side by side: the first feature; the others go.

    Attributes must be equal or ``given``; all but the number of the parcel's key (commune, sheet) must be
    equal anyway. The legal area is the sum, where all are known and none is given. Raises Refused.
    """
    first = parcels[0]
    for one in parcels:
        is_parcel(one)
    if len({one.key for one in parcels}) < max(2, len(parcels)):
        raise Refused("name two parcels or more, each once", code="not-parcels", pointer="/parcels")
    known_attributes(first.layer, given, "/properties")
    _same_sheet(parcels)
    shapes = each_with_vertices_of_others([one.geometry for one in parcels], cluster)
    shape = _one_ring(parcels, shapes)

    apart = [name for name in (LEGAL_AREA, LEGAL_EDGES) if first.has(name)]
    together = merged(parcels, given, apart)
    if together.differing:
        more = [
            (f"/properties/{name}", f"{name} differs; give the one to keep") for name in together.differing
        ]
        (pointer, reason), *rest = more
        raise Refused(reason, code="attributes-differ", pointer=pointer, features=parcels, more=rest)
    after: dict[str, Any] = {**first.properties, **together.properties}
    notes = []
    if first.has(LEGAL_EDGES):
        after[LEGAL_EDGES] = None
    if first.has(LEGAL_AREA) and LEGAL_AREA not in given:
        areas = [one.properties.get(LEGAL_AREA) for one in parcels]
        known = [area for area in areas if area is not None]
        after[LEGAL_AREA] = round(sum(known), 2) if len(known) == len(areas) else None
        if len(known) < len(areas):
            notes.append(
                Note(
                    "legal-area-unknown",
                    "legal_area_m2 is not known for all of them: it is unset",
                    *first.key,
                )
            )
    after |= given
    patch = changed_only(first.properties, after)
    changes: list[FeatureChange] = [
        Update(first.layer.id, first.fid, first.version, patch, shape, pointer=first.pointer)
    ]
    changes += [Delete(one.layer.id, one.fid, one.version, pointer=one.pointer) for one in parcels[1:]]
    return Plan(changes, notes)


def _pieces(
    parcel: Standing, line: Floats, neighbours: Sequence[Standing], tolerance: float, cluster: float
) -> list[Floats]:
    """(n, 2) the pieces of the line inside the parcel; their ends are vertices, or places on edges."""
    shape, boundary = parcel.geometry, shapely.boundary(parcel.geometry)
    cut = _reaching(shapely.linestrings(line[:, :2]), boundary, tolerance)
    inside = shapely.intersection(cut, shapely.force_2d(shape))
    found = []
    for piece in shapely.get_parts(inside):
        if piece.geom_type != "LineString" or piece.length <= cluster:
            continue
        xy = shapely.get_coordinates(piece)
        middle = shapely.line_interpolate_point(shapely.linestrings(_segments(xy)), 0.5, normalized=True)
        if (shapely.distance(middle, boundary) <= cluster).any():
            raise Refused(
                "the line runs along the parcel's boundary", code="along-the-boundary", pointer="/line"
            )
        found.append(xy)
    if not found:
        raise Refused(
            "the line does not cross the parcel", code="not-crossing", pointer="/line", features=(parcel,)
        )
    corners = _corners(parcel, neighbours, boundary, cluster)
    for xy in found:
        for end in (0, -1):
            if shapely.distance(shapely.points(xy[end]), boundary) > cluster:
                raise Refused(
                    "the line ends inside the parcel: it has to cross from boundary to boundary",
                    code="ends-inside",
                    pointer="/line",
                    features=(parcel,),
                )
            for some in corners:  # its own vertices first
                apart = np.hypot(*(some - xy[end]).T)
                if len(some) and apart.min() <= tolerance:
                    xy[end] = some[apart.argmin()]
                    break
    return found


def _segments(xy: Floats) -> Floats:
    """(n - 1, 2, 2) the segments of a line."""
    return np.stack([xy[:-1], xy[1:]], axis=1)


def _reaching(cut: BaseGeometry, boundary: BaseGeometry, tolerance: float) -> BaseGeometry:
    """The line with its ends on the boundary, where they are within the tolerance of it."""
    xy = shapely.get_coordinates(cut)
    for end in (0, -1):
        point = shapely.points(xy[end])
        if shapely.distance(point, boundary) <= tolerance:
            xy[end] = shapely.get_coordinates(shapely.shortest_line(point, boundary))[1]
    return shapely.linestrings(xy)


def _corners(
    parcel: Standing, neighbours: Sequence[Standing], boundary: BaseGeometry, cluster: float
) -> tuple[Floats, Floats]:
    """(n, 2) vertices of the parcel, and (m, 2) those of neighbours that lie on its edges."""
    own: Floats = shapely.get_coordinates(parcel.geometry)
    every: Floats = np.vstack([own[:0], *(shapely.get_coordinates(one.geometry) for one in neighbours)])
    return own, every[shapely.distance(shapely.points(every), boundary) <= cluster]


def _faces(parcel: Standing, whole: BaseGeometry, pieces: Sequence[Floats]) -> list[BaseGeometry]:
    """The parts, with exactly the vertices of the parcel and of the pieces."""
    nodes = {key_of(piece[i]) for piece in pieces for i in (0, -1)}
    arcs = [arc for ring in rings_of(shapely.force_2d(whole)) for arc in _arcs(ring, nodes)]
    lines = shapely.linestrings
    web = [*(lines(arc) for arc in arcs), *(lines(piece) for piece in pieces)]
    faces = []
    for face in shapely.get_parts(shapely.polygonize(web)):
        if shapely.contains(parcel.geometry, shapely.point_on_surface(face)):
            if shapely.has_z(parcel.geometry):
                face = _with_heights(face, whole)
            faces.append(turned_like(face, parcel.geometry))
    return faces


def _arcs(ring: Floats, nodes: set[Key]) -> list[Floats]:
    """The ring cut at the nodes; whole when none is on it."""
    at = [i for i in range(len(ring) - 1) if key_of(ring[i]) in nodes]
    if not at:
        return [ring]
    turned = np.vstack([ring[at[0] : -1], ring[: at[0] + 1]])
    cuts = [i - at[0] for i in at] + [len(turned) - 1]
    return [turned[a : b + 1] for a, b in pairwise(cuts)]


def _with_heights(face: BaseGeometry, whole: BaseGeometry) -> BaseGeometry:
    """The face with the heights of the parcel's vertices; along the cut those of the nearest vertex."""
    corners = shapely.get_coordinates(whole, include_z=True)
    tree = shapely.STRtree(shapely.points(corners[:, :2]))

    def lifted(xy: Floats) -> Floats:
        return np.column_stack([xy, corners[tree.nearest(shapely.points(xy)), 2]])

    found: BaseGeometry = shapely.polygons(
        shapely.linearrings(lifted(shapely.get_coordinates(shapely.get_exterior_ring(face)))),
        holes=[shapely.linearrings(lifted(shapely.get_coordinates(r))) for r in face.interiors] or None,
    )
    return found


def _assigned(faces: Sequence[BaseGeometry], parts: Sequence[Part]) -> list[BaseGeometry]:
    """The faces in the order of the parts."""
    left = sorted(faces, key=lambda face: -face.area)
    found: dict[int, BaseGeometry] = {}
    for number, part in enumerate(parts):
        if part.inside is None:
            continue
        here = [face for face in left if shapely.covers(face, shapely.points(part.inside))]
        if len(here) != 1:
            raise Refused(
                "the point is in no part of its own", code="not-in-a-part", pointer=f"/parts/{number}/point"
            )
        found[number] = here[0]
        left = [face for face in left if face is not here[0]]
    for number in range(len(parts)):
        if number not in found:
            found[number] = left.pop(0)
    return [found[number] for number in range(len(parts))]


def _part_properties(parcel: Standing, part: Part, number: int) -> tuple[dict[str, Any], list[Note]]:
    """Attributes of a part that are not those of the parcel, and what is left to the author."""
    given, notes = dict(part.properties), []
    for key in parcel.layer.definition.keys:
        if number and parcel.properties.get(key[-1]) is not None and given.get(key[-1]) is None:
            raise Refused(
                f"a new part needs its own {key[-1]}",
                code="number-missing",
                pointer=f"/parts/{number}/properties/{key[-1]}",
            )
    for name in (LEGAL_AREA, LEGAL_EDGES):
        if not parcel.has(name) or name in given:
            continue
        given[name] = None
        if name == LEGAL_AREA:
            detail = f"part {number + 1} is given no legal_area_m2: it is unset"
            notes.append(Note("legal-area-unset", detail, parcel.layer.id, None if number else parcel.fid))
    return given, notes


def _same_sheet(parcels: Sequence[Standing]) -> None:
    first = parcels[0]
    for key in first.layer.definition.keys:
        for name in key[:-1]:
            if len({one.properties.get(name) for one in parcels}) > 1:
                raise Refused(
                    f"the parcels are not of one {name}",
                    code="not-one-sheet",
                    pointer="/parcels",
                    features=parcels,
                )


def _one_ring(parcels: Sequence[Standing], shapes: Sequence[BaseGeometry]) -> BaseGeometry:
    """The union, which must be one polygon that encloses nothing that none of them did."""
    if not shapely.coverage_is_valid(np.array(shapes, dtype=object)):
        raise Refused(
            "the parcels lie on each other, or their common boundary is not the same vertex for vertex",
            code="not-closed",
            pointer="/parcels",
            hint="mend the boundary first (rules CAD-01, CAD-04, CAD-05)",
            features=parcels,
        )
    found = shapely.coverage_union_all(np.array(shapes, dtype=object))
    if len(shapely.get_parts(found)) != 1:
        raise Refused(
            "the parcels do not lie side by side", code="not-adjacent", pointer="/parcels", features=parcels
        )
    shape = shapely.get_parts(found)[0]
    holes = [shapely.polygons(ring) for ring in shape.interiors]
    known = [shapely.polygons(ring) for one in parcels for ring in one.geometry.interiors]
    for hole in holes:
        if not any(shapely.covers(old, shapely.point_on_surface(hole)) for old in known):
            raise Refused(
                "the merged parcel would enclose others",
                code="encloses",
                pointer="/parcels",
                features=parcels,
            )
    area = sum(one.area for one in shapes)
    if not shapely.is_valid(shape) or abs(shape.area - area) > 1e-6 * max(1.0, area * 1e-6):
        raise Refused(
            "the parcels do not fit together", code="not-closed", pointer="/parcels", features=parcels
        )
    return turned_like(shape, parcels[0].geometry)
