"""Lines and rings as runs of vertices: what rules that look at corners and steps need of any geometry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_LINE, _RING, _POLYGON = 1, 2, 3
#: Collections are taken apart this often at most; what lies deeper has no paths.
_DEPTH = 8


@dataclass(frozen=True)
class Paths:
    """Runs of a vertex array (see Features.vertices), in its order; points are in none.

    ``start`` (k) first vertex and ``end`` (k) the one after the last of each line or ring; ``feature`` (k)
    whose it is; ``ring`` (k) it is a ring of a polygon, whose last vertex is the first again.
    """

    start: Ints
    end: Ints
    feature: Ints
    ring: Bools

    def steps(self, vertices: int) -> Bools:
        """(vertices - 1) whether vertex i and i + 1 follow each other in one path."""
        joined = np.zeros(max(vertices, 1), dtype=np.int64)
        # A path of no vertices marks nothing; starts and ends cancel where paths follow each other.
        np.add.at(joined, self.start, 1)
        last = np.maximum(self.end - 1, self.start)
        np.add.at(joined, last, -1)
        inside: Bools = np.cumsum(joined)[: max(vertices - 1, 0)] > 0
        return inside


def paths_of(geometry: npt.NDArray[np.object_]) -> Paths:
    """The paths of geometry (n); None and empty geometry have none."""
    types = shapely.get_type_id(geometry)
    counts = shapely.get_num_coordinates(geometry).astype(np.int64)
    starts = np.cumsum(counts) - counts
    plain = (types == _LINE) | (types == _RING)
    plain |= (types == _POLYGON) & (shapely.get_num_interior_rings(geometry) == 0)
    plain &= counts > 0
    rows = np.flatnonzero(plain)
    compound = np.flatnonzero(~plain & (types >= _POLYGON) & (types != 4) & (counts > 0))
    if not len(compound):
        return Paths(starts[rows], starts[rows] + counts[rows], rows, types[rows] == _POLYGON)
    start, end, feature, ring = _of_compound(geometry, starts, compound)
    start, end = np.concatenate([starts[rows], start]), np.concatenate([starts[rows] + counts[rows], end])
    feature, ring = np.concatenate([rows, feature]), np.concatenate([types[rows] == _POLYGON, ring])
    order = np.argsort(start, kind="stable")
    return Paths(start[order], end[order], feature[order], ring[order])


def _of_compound(
    geometry: npt.NDArray[np.object_], starts: Ints, rows: Ints
) -> tuple[Ints, Ints, Ints, Bools]:
    """Start, end, feature and ring of the paths of multipart geometry and polygons with holes."""
    parts, of = shapely.get_parts(geometry[rows], return_index=True)
    for _ in range(_DEPTH):
        if not (shapely.get_type_id(parts) > _POLYGON).any():
            break
        parts, inner = shapely.get_parts(parts, return_index=True)
        of = of[inner]
    # Rings in the place of their polygons, everything else as it is: the order of the vertices.
    polygon = shapely.get_type_id(parts) == _POLYGON
    rings, ring_of = shapely.get_rings(parts, return_index=True)
    others = np.flatnonzero(~polygon)
    pieces = np.concatenate([rings, parts[others]])
    place = np.concatenate([ring_of, others])
    order = np.argsort(place, kind="stable")
    pieces, of = pieces[order], of[place[order]]
    ring = np.concatenate([np.ones(len(rings), np.bool_), np.zeros(len(others), np.bool_)])[order]
    counts = shapely.get_num_coordinates(pieces).astype(np.int64)
    ends = np.cumsum(counts)
    # Vertices before this feature among the compound ones, and where the feature begins among all.
    first = np.searchsorted(of, np.arange(len(rows)))
    begins = np.concatenate([[0], ends])[first]
    start = ends - counts - begins[of] + starts[rows][of]
    keep = (counts > 0) & (shapely.get_type_id(pieces) != 0)
    return start[keep], (start + counts)[keep], rows[of][keep], ring[keep]
