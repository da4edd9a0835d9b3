"""What stands for the features of a small area at low zooms (``tiles.generalise`` of a layer). Pure.

Features in, rows out, by vectorised shapely in the storage CRS; nothing depends on the order of the
features, nor on anything but them and the definition, so the same city gives the same bytes everywhere.
When the same features shall give other rows, gis.db.low.VERSION goes up: then all are derived anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from layers.model import Level, Values
from layers.registry import TileFilter

Array = NDArray[Any]

#: Vertices that are simplified exactly.
MOST_VERTICES: Final = 50_000
#: Greatest relative difference of areas at which a union of a coverage is believed.
_SAME_AREA = 1e-9
#: Holes that no pixel would show are closed: less than a square of this side, in tile units (and not those in
#: which a smaller block may lie).
_HOLE = 4.0


@dataclass(frozen=True)
class Features:
    """Features of an area: ids, geometries (2D, storage CRS, none empty) and values of fields by name."""

    fids: NDArray[np.int64]
    shapes: Array
    values: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.fids)

    def __getitem__(self, chosen: Any) -> Features:
        return Features(
            self.fids[chosen], self.shapes[chosen], {n: v[chosen] for n, v in self.values.items()}
        )


@dataclass(frozen=True)
class Row:
    """A derived row. ``fid`` is None where it stands for several features."""

    fid: int | None
    #: Values of the attributes that were asked for.
    values: tuple[Any, ...]
    shape: shapely.Geometry


class Unions:
    """Unions of features of one area, each made once: levels ask for the same again, and that is what takes
    the time (a quarter of it, of parcels)."""

    def __init__(self) -> None:
        self._parts: dict[bytes, Array] = {}
        self._keys: dict[tuple[bytes, tuple[str, ...]], list[tuple[Any, ...]]] = {}

    def parts(self, features: Features) -> Array:
        """The polygons of which the union of the features consists."""
        of = features.fids.tobytes()
        if of not in self._parts:
            self._parts[of] = shapely.get_parts(united(features.shapes))
        return self._parts[of]

    def main_keys(self, features: Features, names: tuple[str, ...]) -> list[tuple[Any, ...]]:
        """For each of these polygons, the values that cover most of it."""
        of = features.fids.tobytes(), names
        if of not in self._keys:
            self._keys[of] = _main_keys(self.parts(features), features, names)
        return self._keys[of]


def derive(
    level: Level, attributes: Sequence[str], features: Features, unit: float, unions: Unions | None = None
) -> list[Row]:
    """The rows of a level, from all features of an area.

    ``attributes``: what rows have, of blocks and lines what makes them equal. ``unit``: length of a tile
    unit of the level's last zoom, in units of the storage CRS. ``unions``: of the area, for all its levels.
    Ordered; the same for the same features in whatever order.
    """
    chosen = features[np.argsort(features.fids, kind="stable")]
    chosen = chosen[_wanted(level, chosen)]
    if not len(chosen):
        return []
    if level.kind == "blocks":
        return list(_blocks(level, tuple(attributes), chosen, unit, unions or Unions()))
    make = {"lines": _lines, "points": _points, "features": _features}[level.kind]
    return list(make(level, tuple(attributes), chosen, unit))


def seen(features: Features, hidden: TileFilter | None) -> Features:
    """Those that are seen at a zoom (Layer.tile_filter)."""
    if hidden is None:
        return features
    named = _holds(features.values[hidden.field], hidden.values)
    return features[~named if hidden.others else named]


def _wanted(level: Level, features: Features) -> NDArray[np.bool_]:
    found = np.ones(len(features), dtype=bool)
    for name, values in level.where.items():
        found &= _holds(features.values[name], values)
    for name, values in level.unless.items():
        found &= ~_holds(features.values[name], values)
    return found


def _holds(column: Array, values: Values) -> NDArray[np.bool_]:
    wanted = set(values)
    return np.fromiter((v is not None and v in wanted for v in column), dtype=bool, count=len(column))


def _groups(features: Features, names: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], NDArray[np.intp]]]:
    """Values of the fields -> places of the features that have them, in order of the values."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for place, key in enumerate(_keys(features, names)):
        found.setdefault(key, []).append(place)
    for key in sorted(found, key=_sortable):
        yield key, np.asarray(found[key], dtype=np.intp)


def _keys(features: Features, names: Sequence[str]) -> list[tuple[Any, ...]]:
    if not names:
        return [()] * len(features)
    return list(zip(*(features.values[name] for name in names), strict=True))


def _sortable(key: tuple[Any, ...]) -> tuple[tuple[bool, str], ...]:
    return tuple((value is None, str(value)) for value in key)


# -- polygons


def _blocks(
    level: Level, names: tuple[str, ...], features: Features, unit: float, unions: Unions
) -> Iterator[Row]:
    features = features[shapely.get_dimensions(features.shapes) == 2]
    if level.main:
        parts = unions.parts(features)
        keys = unions.main_keys(features, names)
    else:
        found = [(key, unions.parts(features[at])) for key, at in _groups(features, names)]
        parts = np.concatenate([some for _, some in found]) if found else np.empty(0, dtype=object)
        keys = [key for key, some in found for _ in some]
    by_key: dict[tuple[Any, ...], list[shapely.Geometry]] = {}
    if level.bridge:
        for key, part in zip(keys, parts, strict=True):
            by_key.setdefault(key, []).append(part)
        by_key = {key: list(_bridged(some, level, unit)) for key, some in by_key.items()}
    else:
        for key, part in zip(keys, _simplified_together(parts, level.simplify * unit), strict=True):
            by_key.setdefault(key, []).append(part)
    least = (level.smallest * unit) ** 2
    for key in sorted(by_key, key=_sortable):
        kept = [p for p in shapely.get_parts(by_key[key]) if p.area > least and p.geom_type == "Polygon"]
        kept = [_without_holes(part, (min(_HOLE, level.smallest) * unit) ** 2) for part in kept]
        if kept:
            yield Row(None, key, _collected(kept, shapely.multipolygons))


def united(polygons: Array) -> shapely.Geometry:
    """The union of polygons that mostly only touch, as parcels do. Exact where they do not overlap."""
    if len(polygons) == 1:
        return shapely.make_valid(polygons[0]) if not polygons[0].is_valid else polygons[0]
    area = float(shapely.area(polygons).sum())
    try:
        found = shapely.coverage_union_all(polygons)
        # of polygons that overlap, or whose vertices do not match, it makes something, but no union
        if abs(found.area - area) <= _SAME_AREA * area and found.is_valid:
            return found
    except shapely.GEOSException:
        pass
    return shapely.union_all(shapely.make_valid(polygons))


def _main_keys(parts: Array, features: Features, names: tuple[str, ...]) -> list[tuple[Any, ...]]:
    inside = shapely.point_on_surface(features.shapes)
    # a query makes ready what it is asked for, not what is in the tree: polygons, each for many points
    part, place = shapely.STRtree(inside).query(parts, predicate="intersects")
    areas = shapely.area(features.shapes)
    keys = _keys(features, names)
    covered: list[dict[tuple[Any, ...], float]] = [{} for _ in parts]
    for i, j in sorted(zip(place.tolist(), part.tolist(), strict=True)):
        covered[j][keys[i]] = covered[j].get(keys[i], 0.0) + float(areas[i])
    nothing = (None,) * len(names)
    return [
        min(by, key=lambda key: (-round(by[key], 6), _sortable(key))) if by else nothing for by in covered
    ]


def _bridged(parts: Sequence[shapely.Geometry], level: Level, unit: float) -> Array:
    """Parts grown together over gaps. They stay a little larger (a quarter of a pixel), so that areas of
    different cells and kinds leave no street between them."""
    wide = level.bridge * unit / 2
    grown = shapely.union_all(shapely.buffer(parts, wide, join_style="mitre", mitre_limit=1.5))
    back = shapely.buffer(grown, min(2 * unit, wide / 2) - wide, join_style="mitre", mitre_limit=2)
    found: Array = shapely.get_parts(shapely.simplify(back, level.simplify * unit))
    return found


def _simplified_together(parts: Array, tolerance: float) -> Array:
    """Polygons simplified so that those which touch still do, without gaps and overlaps."""
    if not tolerance or not len(parts):
        return parts
    found: Array = shapely.coverage_simplify(parts, tolerance)
    wrong = ~shapely.is_valid(found) | shapely.is_empty(found)
    if wrong.any():  # they were no coverage
        found[wrong] = shapely.make_valid(shapely.simplify(parts[wrong], tolerance / 2))
    return found


def _without_holes(part: shapely.Geometry, least: float) -> shapely.Geometry:
    if not part.interiors:
        return part
    holes = [ring for ring in part.interiors if shapely.area(shapely.polygons(ring)) > least]
    return part if len(holes) == len(part.interiors) else shapely.Polygon(part.exterior, holes)


# -- lines, points, features


def _lines(level: Level, names: tuple[str, ...], features: Features, unit: float) -> Iterator[Row]:
    features = features[shapely.get_dimensions(features.shapes) == 1]
    for key, at in _groups(features, names):
        joined = shapely.line_merge(shapely.multilinestrings(shapely.get_parts(features.shapes[at])))
        lines = shapely.get_parts(joined)
        lines = lines[_extend(lines, level.smallest * unit)]
        lines = shapely.simplify(lines, level.simplify * unit, preserve_topology=False)
        lines = lines[shapely.length(lines) > 0]
        if len(lines):
            yield Row(None, key, _collected(list(lines), shapely.multilinestrings))


def _extend(lines: Array, least: float) -> NDArray[np.bool_]:
    """Which lines extend far enough together with all lines that their ends are joined to: a short piece in
    a long street stays, else the street would fall apart."""
    if not least or not len(lines):
        return np.ones(len(lines), dtype=bool)
    ends = np.concatenate(
        [
            shapely.get_coordinates(shapely.get_point(lines, 0)),
            shapely.get_coordinates(shapely.get_point(lines, -1)),
        ]
    )
    _, nodes = np.unique(ends.round(3), axis=0, return_inverse=True)
    nodes = nodes.reshape(2, -1)
    size = int(nodes.max()) + 1
    graph = coo_array((np.ones(len(lines)), (nodes[0], nodes[1])), shape=(size, size))
    count, of_node = connected_components(graph, directed=False)
    of_line = of_node[nodes[0]]
    bounds = shapely.bounds(lines)
    low, high = np.full((count, 2), np.inf), np.full((count, 2), -np.inf)
    np.minimum.at(low, of_line, bounds[:, :2])
    np.maximum.at(high, of_line, bounds[:, 2:])
    wide: NDArray[np.bool_] = (high - low).max(axis=1) >= least
    found: NDArray[np.bool_] = wide[of_line]
    return found


def _points(level: Level, names: tuple[str, ...], features: Features, unit: float) -> Iterator[Row]:
    shapes = features.shapes
    shapes = np.where(shapely.get_type_id(shapes) == 0, shapes, shapely.point_on_surface(shapes))
    squares = np.floor(shapely.get_coordinates(shapes) / (level.spacing * unit)).astype(np.int64)
    apart = _keys(features, level.apart)
    ranks = [_ranks(features.values[name], values) for name, values in level.rank.items()]
    taken: set[tuple[Any, ...]] = set()
    kept: list[int] = []
    for place in np.lexsort((features.fids, *reversed(ranks))).tolist():
        square = (int(squares[place, 0]), int(squares[place, 1]), apart[place])
        if square not in taken:
            taken.add(square)
            kept.append(place)
    keys = _keys(features, names)
    for place in sorted(kept):
        yield Row(int(features.fids[place]), keys[place], shapes[place])


def _ranks(column: Array, values: Values) -> NDArray[np.int64]:
    order = {value: rank for rank, value in enumerate(values)}
    return np.fromiter((order.get(v, len(order)) for v in column), dtype=np.int64, count=len(column))


def _features(level: Level, names: tuple[str, ...], features: Features, unit: float) -> Iterator[Row]:
    bounds = shapely.bounds(features.shapes)
    extent = np.maximum(bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1])
    size = np.where(
        shapely.get_dimensions(features.shapes) == 2, np.sqrt(shapely.area(features.shapes)), extent
    )
    if level.smallest:
        features = features[(size >= level.smallest * unit) | (shapely.get_dimensions(features.shapes) == 0)]
    shapes = features.shapes
    if level.simplify:
        given = [thinned(shape, level.simplify * unit / 2) for shape in shapes]
        shapes = shapely.simplify(given, level.simplify * unit)
    keys = _keys(features, names)
    for place, shape in enumerate(shapes):
        if not shape.is_empty:
            yield Row(int(features.fids[place]), keys[place], shape)


def thinned(shape: shapely.Geometry, width: float, most: int = MOST_VERTICES) -> shapely.Geometry:
    """The shape, without the vertices that least change it where it has more than ``most``.

    Simplifying takes time by the square of the vertices where a comb has many thin teeth: 200,000 of them,
    which a layer may allow, kept all low zooms waiting for a minute. This takes time by their number. Those
    vertices go whose triangle with their neighbours is smaller than a square of ``width``, never two that are
    neighbours at once; squares grow until few enough are left. The result is valid.
    """
    if shapely.get_num_coordinates(shape) <= most or shapely.get_dimensions(shape) == 0:
        return shape
    kind, xy, offsets = shapely.to_ragged_array([shape], include_z=False)
    small, rounds = width * width, 40  # more rings than ``most`` stay more
    while len(xy) > most and (rounds := rounds - 1):
        before, after = np.roll(xy, 1, axis=0) - xy, np.roll(xy, -1, axis=0) - xy
        area = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) / 2
        starts, ends = offsets[0][:-1], offsets[0][1:]
        long = np.repeat(ends - starts > 16, ends - starts)
        gone = (area < small) & long & (np.arange(len(xy)) % 2 == 1)
        gone[starts] = gone[ends - 1] = False
        offsets = (np.r_[0, np.cumsum(~gone)][offsets[0]], *offsets[1:])
        xy = xy[~gone]
        small *= 4
    found = shapely.from_ragged_array(kind, xy, offsets)[0]
    return found if found.is_valid else _valid(found)


def _valid(shape: shapely.Geometry) -> shapely.Geometry:
    """Made valid, without the lines and points that fall off areas by that."""
    parts = shapely.get_parts(shapely.make_valid(shape))
    return shapely.union_all(parts[shapely.get_dimensions(parts) == shapely.get_dimensions(shape)])


def _collected(parts: list[shapely.Geometry], collect: Any) -> shapely.Geometry:
    """One geometry of the parts, from west to east."""
    bounds = shapely.bounds(parts)
    order = np.lexsort((shapely.length(parts), *bounds.T[::-1]))
    return parts[0] if len(parts) == 1 else collect([parts[i] for i in order])
