"""Draws the features of one layer: each style layer into a stream of its own, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from gis.errors import LimitError
from gis.print import shapes
from gis.print.expressions import Feature, compiled, names_in
from gis.print.labels import Candidate
from gis.print.palette import Palette
from gis.print.pdf import Ink, colour, number_text
from gis.print.sheet import Ground
from gis.print.symbols import Circle, Fill, Icon, Label, Line, Paint, Symbol, feature_of, names_of
from layers.registry import Layer
from tiles.legend import legend

#: Features and vertices of a page.
MOST_FEATURES: Final = 400_000
MOST_VERTICES: Final = 5_000_000
#: Combinations of attribute values whose paints are remembered.
_MOST_KEYS: Final = 20_000
#: Pictures along lines, of a layer.
_MOST_ALONG: Final = 20_000

Chosen = NDArray[np.bool_]


class Counter:
    """What a page has taken so far."""

    def __init__(self) -> None:
        self.features = 0
        self.vertices = 0

    def add(self, features: int, vertices: int) -> None:
        """Raises LimitError when it is too much."""
        self.features += features
        self.vertices += vertices
        if self.features > MOST_FEATURES or self.vertices > MOST_VERTICES:
            raise LimitError(
                f"the map would show more than {MOST_FEATURES:,} features or {MOST_VERTICES:,} vertices",
                code="map-too-rich",
                hint="choose fewer layers, a smaller paper or a larger scale",
            )


class LayerDrawing:
    """One layer. ``take`` its rows, then ``close``; not from two threads at a time."""

    def __init__(
        self,
        layer: Layer,
        symbols: Sequence[Symbol],
        ground: Ground,
        palette: Palette,
        counter: Counter,
    ) -> None:
        self.layer = layer
        self._ground = ground
        self._palette = palette
        self._counter = counter
        self._painted = [one for one in symbols if "text-field" not in one.values]
        self._texts = [one for one in symbols if "text-field" in one.values]
        self.entries = legend(layer)
        filters = [entry["filter"] for entry in self.entries]
        self._tests = [compiled(True if one is None else one) for one in filters]
        own = set(names_of(self._painted)).union(*(names_in(one) for one in filters))
        #: Attributes that are read, in this order; paints depend on the first ones.
        self._own = sorted(own)
        self.names = [*self._own, *(n for n in names_of(self._texts) if n not in own)]
        self._inks = [Ink() for _ in self._painted]
        self._paints: list[dict[tuple[Any, ...], Paint | None]] = [{} for _ in self._painted]
        self._met: set[tuple[Any, ...]] = set()
        #: Parts of the style (Symbol.id after the layer's) that drew something.
        self.parts: set[str] = set()
        #: Indexes of the legend's entries that are on the map.
        self.shown: set[int] = set()
        self.labels: list[list[Candidate]] = [[] for _ in self._texts]
        self.count = 0
        self._along = 0

    @property
    def label_zooms(self) -> list[float]:
        """The zoom from which each of ``labels`` is shown."""
        return [one.min_zoom for one in self._texts]

    def take(self, rows: Sequence[Sequence[Any]]) -> None:
        """More features, as ``reading`` gives them. Raises LimitError."""
        geometries = shapes.read(rows)
        self._counter.add(len(rows), int(shapely.get_num_coordinates(geometries).sum()))
        dimensions = shapes.dimensions(geometries)
        batch = _Batch(geometries, dimensions, self._ground)
        many = len(self._own)
        keys = [(int(d), *row[1 : many + 1]) for d, row in zip(dimensions, rows, strict=True)]
        self._see(keys, geometries)
        if len(self._met) > _MOST_KEYS:
            self._met.clear()
            for known in self._paints:
                known.clear()
        for one, known, ink in zip(self._painted, self._paints, self._inks, strict=True):
            for paint, chosen in _grouped(keys, partial(self._paint, one, known)):
                ink.write(self._drawn(paint, chosen, batch))
                self.parts.add(one.id.removeprefix(f"{self.layer.id}-"))
        for one, found in zip(self._texts, self.labels, strict=True):
            self._label(one, found, rows, batch)

    def close(self) -> list[bytes]:
        """The packed streams of the style layers in the order of drawing, without empty ones."""
        return [made for ink in self._inks if (made := ink.close())]

    def _paint(
        self, one: Symbol, known: dict[tuple[Any, ...], Paint | None], key: tuple[Any, ...]
    ) -> Paint | None:
        if key not in known:
            known[key] = one.paint(self._feature(key)) if key[0] >= 0 else None
        return known[key]

    def _feature(self, key: tuple[Any, ...]) -> Feature:
        return feature_of(self._own, key[1:], key[0], self._ground.zoom)

    def _see(self, keys: Sequence[tuple[Any, ...]], geometries: NDArray[np.object_]) -> None:
        """Note what of the legend is in the window (not only beside it)."""
        west, south, east, north = self._ground.box
        bounds = shapely.bounds(geometries)
        there = (bounds[:, 0] <= east) & (bounds[:, 2] >= west)
        there &= (bounds[:, 1] <= north) & (bounds[:, 3] >= south)
        self.count += int(there.sum())
        for key in {key for key, seen in zip(keys, there.tolist(), strict=True) if seen} - self._met:
            self._met.add(key)
            feature = self._feature(key)
            first = next((n for n, test in enumerate(self._tests) if test(feature)), None)
            if first is not None:
                self.shown.add(first)

    def _drawn(self, paint: Paint, chosen: Chosen, batch: _Batch) -> str:
        if isinstance(paint, Label):
            return ""
        alpha, pixel = self._palette.alpha(paint.opacity), self._ground.pixel
        match paint:
            case Fill():
                return f"q {alpha}{colour(paint.colour)}{''.join(batch.filled(chosen))}Q\n"
            case Line(blur=blur) if blur > 0:
                # twice half as strong, the second narrower: a band that fades
                half = self._palette.alpha(paint.opacity / 2)
                tokens = batch.stroked(chosen)
                inner = max(paint.width - 1.4 * blur, 0.3 * paint.width)
                return "".join(
                    f"q {half}{_pen(paint._replace(width=width), pixel)}{shapes.stroked(tokens)}Q\n"
                    for width in (paint.width, inner)
                )
            case Line():
                return f"q {alpha}{_pen(paint, pixel)}{shapes.stroked(batch.stroked(chosen))}Q\n"
            case Circle():
                name = self._palette.disc(paint, pixel)
                places = batch.places(chosen)
                discs = "".join(f"q 1 0 0 1 {x} {y} cm {name} Do Q\n" for x, y in places)
                return f"q {alpha}{discs}Q\n"
            case Icon():
                return self._icons(paint, chosen, batch, alpha)

    def _icons(self, paint: Icon, chosen: Chosen, batch: _Batch, alpha: str) -> str:
        found = self._palette.icon(paint.name)
        if found is None:
            return ""
        name, width = found
        side = width * paint.size * self._ground.pixel
        if not paint.along:
            s = number_text(side)
            made = [f"q {s} 0 0 {s} {x} {y} cm {name} Do Q\n" for x, y in batch.places(chosen)]
            return f"q {alpha}{''.join(made)}Q\n"
        made = []
        for x, y, angle in batch.along(chosen, paint.along * self._ground.pixel, _MOST_ALONG - self._along):
            a = angle - math.radians(paint.turn)
            c, s = number_text(side * math.cos(a)), number_text(side * math.sin(a))
            minus = number_text(-side * math.sin(a))
            made.append(f"q {c} {s} {minus} {c} {x:.0f} {y:.0f} cm {name} Do Q\n")
        self._along += len(made)
        return f"q {alpha}{''.join(made)}Q\n" if made else ""

    def _label(
        self, one: Symbol, found: list[Candidate], rows: Sequence[Sequence[Any]], batch: _Batch
    ) -> None:
        wanted = np.zeros(len(rows), np.bool_)
        labels: dict[int, Label] = {}
        for n, (row, dimension) in enumerate(zip(rows, batch.dimensions.tolist(), strict=True)):
            if dimension < 0:
                continue
            feature = feature_of(self.names, row[1:], dimension, self._ground.zoom)
            label = one.paint(feature)
            if isinstance(label, Label):
                labels[n] = label
                wanted[n] = True
        if labels:
            found += batch.candidates(labels, wanted)


def _grouped(
    keys: Sequence[tuple[Any, ...]], paint_of: Callable[[tuple[Any, ...]], Paint | None]
) -> list[tuple[Paint, Chosen]]:
    """Paints in the order in which they come, and the features that have each."""
    number: dict[Paint, int] = {}
    by_key: dict[tuple[Any, ...], int] = {}
    index = np.empty(len(keys), np.int64)
    for n, key in enumerate(keys):
        group = by_key.get(key)
        if group is None:
            paint = paint_of(key)
            group = -1 if paint is None else number.setdefault(paint, len(number))
            by_key[key] = group
        index[n] = group
    return [(paint, index == group) for paint, group in number.items()]


def _pen(line: Line, pixel: float) -> str:
    width = line.width * pixel
    dash = ""
    if line.dash:
        lengths = " ".join(number_text(v * width) for v in line.dash)
        dash = f"[{lengths}] 0 d "
    cap = 1 if line.round_cap and not dash else 0
    return f"{colour(line.colour, stroke=True)}{number_text(width)} w {cap} J 1 j {dash}"


class _Batch:
    """Some features on the page; paths are made when a style layer first needs them."""

    def __init__(self, geometries: NDArray[np.object_], dimensions: shapes.Ints, ground: Ground) -> None:
        self.geometries = geometries
        self.dimensions = dimensions
        self._ground = ground
        self._rings: shapes.Paths | None = None
        self._lines: shapes.Paths | None = None
        self._points: tuple[shapes.Ints, shapes.Ints] | None = None
        self._tokens: dict[tuple[str, Sequence[str]], list[str]] = {}

    def filled(self, chosen: Chosen) -> list[str]:
        """Tokens of polygons, each with its fill."""
        return self._chosen("rings", self.rings, shapes.FILL, chosen)

    def stroked(self, chosen: Chosen) -> list[str]:
        """Tokens of lines and of the rings of polygons."""
        return [
            *self._chosen("rings", self.rings, shapes.RINGS, chosen),
            *self._chosen("lines", self.lines, shapes.LINES, chosen),
        ]

    def places(self, chosen: Chosen) -> list[tuple[int, int]]:
        """Where the points are."""
        if self._points is None:
            self._points = shapes.points(self.geometries, self._ground)
        xy, owner = self._points
        return [(x, y) for x, y in xy[chosen[owner]].tolist()]

    @property
    def rings(self) -> shapes.Paths:
        if self._rings is None:
            self._rings = shapes.polygons(self.geometries, self._ground)
        return self._rings

    @property
    def lines(self) -> shapes.Paths:
        if self._lines is None:
            self._lines = shapes.lines(self.geometries, self._ground)
        return self._lines

    def _chosen(self, name: str, paths: shapes.Paths, ops: Sequence[str], chosen: Chosen) -> list[str]:
        if not len(paths):
            return []
        key = (name, ops)
        if key not in self._tokens:
            self._tokens[key] = paths.tokens(ops)
        tokens = self._tokens[key]
        if chosen.all():
            return tokens
        return [tokens[i] for i in np.flatnonzero(paths.of(chosen)).tolist()]

    def along(self, chosen: Chosen, spacing: float, most: int) -> list[tuple[float, float, float]]:
        """Places along the lines and directions there (radians), about ``spacing`` apart, in the window."""
        found: list[tuple[float, float, float]] = []
        metres = spacing / self._ground.units
        window = self._ground.window
        for line in shapely.get_parts(self.geometries[chosen]):
            if line is None or line.geom_type != "LineString":
                continue
            count = max(1, round(line.length / metres)) if line.length > 0.4 * metres else 0
            for n in range(min(count, most - len(found))):
                at, step = (n + 0.5) * line.length / count, min(0.5, line.length / 4)
                before, after = line.interpolate(at - step), line.interpolate(at + step)
                x, y = self._ground.place((before.x + after.x) / 2, (before.y + after.y) / 2)
                if window.x <= x <= window.right and window.y <= y <= window.top:
                    found.append((x, y, math.atan2(after.y - before.y, after.x - before.x)))
        return found

    def candidates(self, labels: dict[int, Label], wanted: Chosen) -> list[Candidate]:
        """Where the labels may stand."""
        index = np.flatnonzero(wanted)
        along = np.array([labels[n].along for n in index.tolist()], np.bool_)
        found = self._at_points(index[~along & (self.dimensions[index] == 0)], labels)
        found += self._inside(index[~along & (self.dimensions[index] == 2)], labels)
        found += self._beside_lines(index[along | (self.dimensions[index] == 1)], labels)
        return found

    def _at_points(self, index: shapes.Ints, labels: dict[int, Label]) -> list[Candidate]:
        xy, owner = shapes.points(self.geometries[index], self._ground)
        return [
            Candidate(labels[n], x, y, None, 0.0)
            for n, (x, y) in zip(index[owner].tolist(), xy.tolist(), strict=True)
        ]

    def _inside(self, index: shapes.Ints, labels: dict[int, Label]) -> list[Candidate]:
        """In the middle of polygons, of the part of them that is in the window."""
        clipped = _clipped(self.geometries[index], self._ground)
        spots, areas = shapely.point_on_surface(clipped), shapely.area(clipped)
        middles = shapely.centroid(clipped)
        inside = shapely.contains_xy(clipped, shapely.get_x(middles), shapely.get_y(middles))
        spots = np.where(inside, middles, spots)
        found = []
        for n, spot, area in zip(index.tolist(), spots, areas.tolist(), strict=True):
            if spot is not None and not spot.is_empty:
                x, y = self._ground.place(spot.x, spot.y)
                found.append(Candidate(labels[n], x, y, None, area))
        return found

    def _beside_lines(self, index: shapes.Ints, labels: dict[int, Label]) -> list[Candidate]:
        """On the longest straight piece of each line in the window (and of outlines)."""
        clipped = _clipped(self.geometries[index], self._ground)
        slack = max(0.4 * label.size for label in labels.values()) * self._ground.pixel / self._ground.units
        parts, owner = shapely.get_parts(shapely.simplify(clipped, slack), return_index=True)
        xy, part = shapely.get_coordinates(parts, return_index=True)
        if len(xy) < 2:
            return []
        length = np.hypot(*np.diff(xy, axis=0).T)
        length[part[1:] != part[:-1]] = -1.0
        whose = owner[part[:-1]]
        order = np.lexsort((np.arange(len(length)), -length, whose))
        best = order[np.r_[True, whose[order][1:] != whose[order][:-1]]]
        found = []
        for n in best.tolist():
            if length[n] > 0:
                x, y = self._ground.place(*xy[n].tolist())
                end = self._ground.place(*xy[n + 1].tolist())
                weight = float(length[n])
                found.append(Candidate(labels[int(index[whose[n]])], x, y, end, weight))
        return found


def _clipped(geometries: NDArray[np.object_], ground: Ground) -> NDArray[np.object_]:
    """What of them is in the window; as it is where GEOS cannot cut it."""
    west, south, east, north = ground.box
    try:
        clipped = np.array(shapely.clip_by_rect(geometries, west, south, east, north), dtype=object)
    except shapely.GEOSException:
        return geometries
    clipped[shapely.is_empty(clipped)] = None
    return clipped
