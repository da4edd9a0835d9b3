"""Geometry of a batch: from WKB in the source CRS to EWKB in the storage CRS, or a reason against the row.

Nothing is repaired. What becomes another type without loss (a single part into a multi type and back, a
collection of one kind) is converted and counted. Runs in the reading child only: hostile geometry has
ended a PostGIS backend and a Python process, so it may end this one, never those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from gis import crs
from gis.ingest import wkb
from gis.ingest.convex import convex, surely_valid
from gis.ingest.issues import Issues, Mask
from gis.ingest.plain import rings
from gis.ingest.target import Target

Geometries = npt.NDArray[np.object_]
Floats = npt.NDArray[np.float64]

#: Degrees beyond the city's extent in which a row is still taken.
CITY_MARGIN = 0.05

#: How the WKB of a polygon without Z begins.
_PLAIN_POLYGON = b"\x01\x03\0\0\0"
_SINGLE = {"Point": 0, "LineString": 1, "Polygon": 3}
_MULTI = {"MultiPoint": 4, "MultiLineString": 5, "MultiPolygon": 6}
_PART_OF = {4: 0, 5: 1, 6: 3}
_NAMES = (
    "Point", "LineString", "LinearRing", "Polygon",
    "MultiPoint", "MultiLineString", "MultiPolygon", "GeometryCollection",
)  # fmt: skip
_GATHER: dict[int, Callable[..., Geometries]] = {
    0: shapely.multipoints,
    1: shapely.multilinestrings,
    3: shapely.multipolygons,
}


@dataclass
class ShapeReader:
    """Turns the geometry of one batch after the other into the layer's.

    ``source``: EPSG code of the coordinates. ``allow_outside``: accept rows outside the city.
    ``accept_invalid``: accept geometry that crosses itself.
    """

    target: Target
    source: int
    allow_outside: bool = False
    accept_invalid: bool = False
    closed_lines: str = "keep"
    #: Conversions made: what -> count.
    notes: dict[str, int] = field(default_factory=dict)
    #: Was any geometry of the present batch made anew?
    _touched: bool = False

    def flawless(self, column: pa.Array) -> bool:
        """Whether all of a batch may be stored as it is: ``read`` would reject nothing and change nothing.

        False says nothing: ``read`` then finds out what there is to be said about each row.
        """
        target = self.target
        if self.source != target.storage or not pa.types.is_binary(column.type):
            return False
        if target.geometry not in ("Polygon", "Geometry"):
            return False
        found = rings(column) if target.z != "required" else None
        if found is None or found.counts.max() > target.max_vertices:
            return False
        x, y = found.xy[:, 0], found.xy[:, 1]
        box = np.array([[x.min(), y.min(), x.max(), y.max()]])
        inside = _within(box, crs.plane_bounds(target.storage))  # which NaN is not
        if not (inside & (self.allow_outside | _within(box, self.city_box))).all():
            return False
        if self.accept_invalid:
            return True
        rows = pa.array(np.flatnonzero(~convex(found.xy, found.counts)))
        doubtful = np.asarray(column.take(rows).to_numpy(zero_copy_only=False), dtype=object)
        return bool(shapely.is_valid(shapely.from_wkb(doubtful, on_invalid="ignore")).all())

    def read(self, column: pa.Array, issues: Issues) -> tuple[Geometries, Geometries]:
        """(geometry in the source CRS, geometry in the storage CRS); None where rejected."""
        noted = dict(self.notes)
        with np.errstate(invalid="ignore"):  # NaN in coordinates is ours to find
            done = self._read(column, issues)
        # Every conversion is noted, and so is known here.
        self._touched = self.source != self.target.storage or self.notes != noted
        return done

    def _read(self, column: pa.Array, issues: Issues) -> tuple[Geometries, Geometries]:
        shapes = self._parsed(column, issues)
        given = shapes.copy()
        self._reject(issues, shapes, shapely.is_empty(shapes), "geometry-empty", "the geometry is empty")
        points = shapely.get_num_coordinates(shapes)
        self._reject(
            issues, shapes, points > self.target.max_vertices, "too-many-vertices",
            lambda i: f"{points[i]:,} vertices; {self.target.layer} allows {self.target.max_vertices:,}",
        )  # fmt: skip
        self._reject(issues, shapes, ~_finite(shapes), "not-finite", "a coordinate is NaN or infinite")
        shapes = self._fitted(shapes, issues)
        shapes = self._heights(shapes, issues)
        moved = self.source != self.target.storage
        if moved:
            shapes = crs.transform_geometries(shapes, self.source, self.target.storage)
        self._placed(shapes, issues, moved)
        if not self.accept_invalid and (self.target.geometry != "Point"):
            self._valid(shapes, issues)
        return given, shapes

    def encode(self, shapes: Geometries, raw: pa.Array) -> pa.Array:
        """EWKB (little endian, with SRID) of each, as Arrow binary; ``raw``: the same rows as they were read.

        Geometry that nothing was done to keeps its bytes: half the time of writing them anew.
        """
        untouched = not self._touched and not shapely.has_z(shapes).any()
        if untouched and pa.types.is_binary(raw.type):
            encoded = raw
        else:
            wkb_ = shapely.to_wkb(shapes, output_dimension=3, byte_order=1, flavor="extended")
            encoded = pa.array(wkb_, pa.binary())
        head = _common_head(encoded)
        if (
            head is not None
            and head[0] == 1
            and head[1] <= 6
            and head[2:4] == b"\0\0"
            and head[4] in (0, 0x80)
        ):
            return self.stamped(encoded, head)  # one type, as almost always
        return pa.array(
            shapely.to_wkb(
                shapely.set_srid(shapes, self.target.storage),
                output_dimension=3, byte_order=1, include_srid=True, flavor="extended",
            ),
            pa.binary(),
        )  # fmt: skip

    def stamped(self, encoded: pa.Array, head: bytes = _PLAIN_POLYGON) -> pa.Array:
        """WKB that begins with ``head`` (byte order and type) as EWKB: with the SRID, and the flag of one."""
        with_srid = head[:4] + bytes([head[4] | 0x20]) + self.target.storage.to_bytes(4, "little")
        return pc.binary_replace_slice(encoded, 0, 5, with_srid)

    @cached_property
    def city_box(self) -> tuple[float, float, float, float]:
        """Bounding box of the city's extent and margin in the storage CRS."""
        west, south, east, north = self.target.extent
        m = CITY_MARGIN
        grown = (west - m, south - m, east + m, north + m)
        bounds = crs.transform_box(grown, crs.WGS84, self.target.storage, 1.0).bounds
        return (bounds[0], bounds[1], bounds[2], bounds[3])

    # --- steps -----------------------------------------------------------------------------------

    def _note(self, what: str, count: int) -> None:
        if count:
            self.notes[what] = self.notes.get(what, 0) + count

    def _reject(
        self, issues: Issues, shapes: Geometries, mask: Mask, code: str, message: str | Callable[[int], str]
    ) -> None:
        """Reject the rows of ``mask`` that still have a geometry, and take it from them."""
        mask = np.asarray(mask) & ~shapely.is_missing(shapes)
        if mask.any():
            issues.reject(mask, code, "geom", message if callable(message) else _always(message))
            shapes[mask] = None

    def _parsed(self, column: pa.Array, issues: Issues) -> Geometries:
        column = column.cast(pa.large_binary()) if not pa.types.is_large_binary(column.type) else column
        missing = np.asarray(column.is_null())
        issues.reject(missing, "no-geometry", "geom", lambda _i: "the row has no geometry")
        buffers = column.buffers()
        offsets = np.frombuffer(buffers[1], np.int64)[column.offset : column.offset + len(column) + 1]
        data = np.frombuffer(buffers[2] or b"", np.uint8)
        types = wkb.base_types(offsets, data)
        values = np.asarray(column.to_numpy(zero_copy_only=False), dtype=object)
        unusual = np.flatnonzero((types >= wkb.COLLECTION) & ~missing)
        self._straighten(values, unusual, issues)
        shapes = shapely.from_wkb(values, on_invalid="ignore")
        unread = shapely.is_missing(shapes) & ~missing & ~issues.rejected
        if unread.any():
            why = {int(i): _why_unread(values[i]) for i in np.flatnonzero(unread)}
            issues.reject(unread, "geometry-unreadable", "geom", lambda i: why[i])
        return np.asarray(shapes, dtype=object)

    def _straighten(self, values: Geometries, rows: npt.NDArray[np.int64], issues: Issues) -> None:
        """Collections bounded in depth, curves made lines, in place."""
        tolerance = wkb.TOLERANCE_M if crs.definition(self.source).projected else wkb.TOLERANCE_DEG
        failed: dict[str, dict[int, str]] = {}
        for row in rows:
            try:
                values[row], curved = wkb.straightened(values[row], tolerance)
                self._note("arcs made lines within 1 mm", int(curved))
            except wkb.WkbError as error:
                failed.setdefault(error.code, {})[int(row)] = str(error)
                values[row] = None
        for code, messages in failed.items():
            mask = np.zeros(issues.count, dtype=np.bool_)
            mask[list(messages)] = True
            issues.reject(mask, code, "geom", messages.__getitem__)

    def _fitted(self, shapes: Geometries, issues: Issues) -> Geometries:
        """Convert to the layer's type where nothing is lost; reject the others."""
        wanted = self.target.geometry
        if wanted == "Geometry":
            return shapes
        types = shapely.get_type_id(shapes)
        single = _SINGLE[wanted.removeprefix("Multi")]
        if (types == 7).any():
            shapes = self._collections(shapes, types == 7, single)
            types = shapely.get_type_id(shapes)
        if self.closed_lines == "polygons" and single == 3:
            shapes = self._closed(shapes, types == 1)
            types = shapely.get_type_id(shapes)
        if wanted in _MULTI:
            rows = np.flatnonzero(types == single)
            if len(rows):
                shapes[rows] = _GATHER[single](shapes[rows], indices=np.arange(len(rows)))
                self._note(f"{_NAMES[single]} to {wanted}", len(rows))
            fits = (types == _MULTI[wanted]) | (types == single)
        else:
            multi = single + 4 if single < 3 else 6
            rows = np.flatnonzero((types == multi) & (shapely.get_num_geometries(shapes) == 1))
            if len(rows):
                shapes[rows] = shapely.get_geometry(shapes[rows], 0)
                self._note(f"{_NAMES[multi]} of one part to {wanted}", len(rows))
                types[rows] = single
            fits = types == single
        parts = shapely.get_num_geometries(shapes)
        self._reject(
            issues, shapes, ~fits & (types >= 0), "geometry-type",
            lambda i: f"{_NAMES[types[i]]}{f' of {parts[i]} parts' if types[i] > 3 else ''} is not {wanted}",
        )  # fmt: skip
        return shapes

    def _collections(self, shapes: Geometries, mask: Mask, single: int) -> Geometries:
        """Collections whose parts are all of one kind become one geometry of that kind."""
        done = 0
        for row in np.flatnonzero(mask):
            parts = shapely.get_parts(shapes[row])
            for _ in range(wkb.MAX_DEPTH + 1):
                if not np.isin(shapely.get_type_id(parts), (4, 5, 6, 7)).any():
                    break
                parts = shapely.get_parts(parts)
            if len(parts) and (shapely.get_type_id(parts) == single).all():
                plain = len(parts) == 1 and self.target.geometry in _SINGLE
                shapes[row] = parts[0] if plain else _GATHER[single](parts)
                done += 1
        self._note(f"GeometryCollection to {self.target.geometry}", done)
        return shapes

    def _closed(self, shapes: Geometries, mask: Mask) -> Geometries:
        rows = np.flatnonzero(mask)
        rows = rows[shapely.is_closed(shapes[rows]) & (shapely.get_num_coordinates(shapes[rows]) >= 4)]
        if len(rows):
            shapes[rows] = shapely.polygons(shapely.linearrings(shapes[rows]))
            self._note("closed LineString to Polygon", len(rows))
        return shapes

    def _heights(self, shapes: Geometries, issues: Issues) -> Geometries:
        """Z as the layer has it; M is dropped."""
        measured = shapely.has_m(shapes)
        if measured.any():
            flat = shapely.to_wkb(shapes[measured], output_dimension=3)
            shapes[measured] = shapely.from_wkb(flat)
            still = shapely.has_m(shapes)
            shapes[still] = shapely.force_2d(shapes[still])
            self._note("M values dropped", int(measured.sum()))
        deep = shapely.has_z(shapes)
        if self.target.z == "none":
            if deep.any():
                shapes[deep] = shapely.force_2d(shapes[deep])
                self._note("heights dropped: the layer has none", int(deep.sum()))
            return shapes
        if deep.any():
            z, of = shapely.get_coordinates(shapes, include_z=True, return_index=True)
            bad = np.zeros(len(shapes), dtype=np.bool_)
            bad[of[~np.isfinite(z[:, 2])]] = True
            bad &= deep
            self._reject(issues, shapes, bad, "not-finite", "a height is NaN or infinite")
        if self.target.z == "required":
            self._reject(issues, shapes, ~deep, "z-missing", "the geometry has no heights")
        return shapes

    def _placed(self, shapes: Geometries, issues: Issues, moved: bool) -> None:
        """Inside what the storage CRS can say, and inside the city."""
        bounds = shapely.bounds(shapes)
        usable = _within(bounds, crs.plane_bounds(self.target.storage))
        if moved:  # a transform may give infinities in the midst of a geometry
            usable &= _finite(shapes)
        message = f"a coordinate is outside the area of EPSG:{self.target.storage}"
        self._reject(issues, shapes, ~usable, "outside-crs", message)
        if not self.allow_outside:
            outside = ~_within(bounds, self.city_box)
            self._reject(
                issues, shapes, outside, "outside-city", "the feature is not inside the city's extent"
            )

    def _valid(self, shapes: Geometries, issues: Issues) -> None:
        invalid = ~surely_valid(shapes) & ~shapely.is_missing(shapes)
        invalid[invalid] = ~shapely.is_valid(shapes[invalid])
        if invalid.any():
            rows = np.flatnonzero(invalid)
            why = dict(zip(rows.tolist(), shapely.is_valid_reason(shapes[rows]).tolist(), strict=True))
            self._reject(issues, shapes, invalid, "invalid-geometry", lambda i: str(why[i]))


def _common_head(encoded: pa.Array) -> bytes | None:
    """The first five bytes (byte order, type) when they are the same in all rows."""
    data = np.frombuffer(encoded.buffers()[2] or b"", np.uint8)
    starts = np.frombuffer(encoded.buffers()[1], np.int32)[encoded.offset : encoded.offset + len(encoded)]
    if not len(starts):
        return None
    same = all((data[starts + i] == data[starts[0] + i]).all() for i in range(5))
    return bytes(data[starts[0] : starts[0] + 5]) if same else None


def _always(message: str) -> Callable[[int], str]:
    return lambda _row: message


def _finite(shapes: Geometries) -> Mask:
    """Are all x and y finite? (Missing geometry counts as finite.)"""
    good = np.ones(len(shapes), dtype=np.bool_)
    if np.isfinite(shapely.get_coordinates(shapes)).all():
        return good
    xy, of = shapely.get_coordinates(shapes, return_index=True)
    good[of[~np.isfinite(xy).all(axis=1)]] = False
    return good


def _within(bounds: Floats, box: tuple[float, float, float, float]) -> Mask:
    return np.asarray(
        (bounds[:, 0] >= box[0])
        & (bounds[:, 1] >= box[1])
        & (bounds[:, 2] <= box[2])
        & (bounds[:, 3] <= box[3]),
        dtype=np.bool_,
    )


def _why_unread(value: bytes) -> str:
    try:
        shapely.from_wkb(value)
    except shapely.errors.GEOSException as error:
        reason = str(error).split(":", 1)[-1].strip().splitlines()[0][:120]
        if "closed linestring" in reason:
            return "a ring is not closed"
        return reason or "the geometry cannot be read"
    return "the geometry cannot be read"


def sample(column: pa.Array, most: int = 2_000) -> Floats:
    """Up to ``most`` vertices (n, 2), spread over the rows of a WKB column, for diagnosing its CRS."""
    step = max(1, len(column) // most)
    values = column.to_numpy(zero_copy_only=False)[::step][:most]
    plain = []
    for value in values:
        if value is None:
            continue
        try:
            plain.append(wkb.straightened(value, 1.0)[0])
        except wkb.WkbError:
            continue
    shapes = shapely.from_wkb(np.array(plain, dtype=object), on_invalid="ignore")
    counts = shapely.get_num_coordinates(shapes)
    xy = shapely.get_coordinates(shapes)
    # One vertex of each geometry: a huge one must not outvote the others.
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])[counts > 0] if len(counts) else []
    return np.asarray(xy[np.asarray(first, dtype=np.int64)], dtype=np.float64).reshape(-1, 2)
