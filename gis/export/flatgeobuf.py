"""FlatGeobuf's features from rows of a binary COPY, thousands at a time.

Each is a FlatBuffers table behind its length: 28 bytes alike for all (vtable and table of Feature), the
geometry's table, the properties. WKB's coordinates are those of FlatGeobuf as they are. Points, lines and
polygons of one ring are laid out by numpy, whatever has more parts by gis.export.geometry.
Format: FlatGeobuf ``feature.fbs`` (flatgeobuf.org).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gis.export import geometry
from gis.export.copyrows import SLACK, Bytes, Ints, Rows, at_any_byte, days, microseconds

#: Length, place of the root, vtable (sizes, geometry, properties), table (vtable, geometry, properties).
_FEATURE: Final = struct.Struct("<II4HiII")
_BEFORE: Final = _FEATURE.size
_ROOT, _PROPERTIES_AT = 16, 24
#: A property: its column (uint16), then the value; a text has its length (uint32) before.
_COLUMN, _COUNT = 2, 4
#: The widest years that text of fixed width holds: 0001 to 9999.
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
_DAY: Final = 86_400_000_000


@dataclass(frozen=True)
class _Property:
    """Values of one column: ``data`` from ``at``, or as many bytes of each row of ``data`` as it has."""

    number: int
    here: npt.NDArray[np.bool_]
    length: Ints
    counted: bool
    data: Bytes
    at: Ints | None

    @property
    def size(self) -> Ints:
        """Bytes that it takes in each feature."""
        return np.where(self.here, _COLUMN + _COUNT * self.counted + self.length, 0)


def features(rows: Rows, types: Sequence[str], *, shapes: bool, heights: bool, tell_kind: bool) -> Bytes:
    """The features of ``rows``: fields of ``types`` (layers/*.yml), then WKB or null.

    ``heights`` and ``tell_kind``: what the header says (Z for all; geometries of any kind). Raises ValueError
    for dates and geometries that the format does not have.
    """
    found = [_property(rows, n, kind) for n, kind in enumerate(types)]
    layout = _Geometries(rows, len(types), shapes, heights, tell_kind)
    size = np.zeros(rows.count, np.int64)
    for one in found:
        size += one.size
    begins_at = _BEFORE + layout.size  # the properties, behind their length
    length = begins_at + _COUNT + size
    whole = length + -length % 8
    start = np.cumsum(whole) - whole
    out = np.zeros(int(whole.sum()) + SLACK, np.uint8)
    # Pieces of eight bytes may run over into what comes next, so whatever that is has to be written later.
    layout.put_odd(out, start)
    layout.put_plain(out, start)
    at_any_byte(out, "<u4")[start + begins_at] = size
    here = start + begins_at + _COUNT
    for one in found:
        _put(out, here, one)
        here += one.size
    for n in range(7):
        out[(start + length + n)[length + n < whole]] = 0
    layout.put_heads(out, start, whole, begins_at)
    return out[: len(out) - SLACK]


def _property(rows: Rows, n: int, kind: str) -> _Property:
    here = ~rows.missing(n)
    if kind == "string":
        return _Property(n, here, np.maximum(rows.length[n], 0), True, rows.data, rows.at[n])
    made: npt.NDArray[Any]
    if kind == "date":
        made = _text(days(rows, n), here, "D", b"T00:00:00")
    elif kind == "datetime":
        # as GDAL writes them: to the millisecond
        made = _text((microseconds(rows, n) + 500) // 1000, here, "ms", b"Z")
    elif kind == "boolean":
        made = rows.values(n, "u1").reshape(-1, 1)
    else:
        made = rows.values(n, ">i8").astype("<i8").view(np.uint8).reshape(-1, 8)
    length = np.full(rows.count, made.shape[1], np.int64)
    return _Property(n, here, length, kind in ("date", "datetime"), made, None)


def _text(values: Ints, here: npt.NDArray[np.bool_], unit: str, tail: bytes) -> Bytes:
    """ISO 8601 of days or milliseconds since 1970, each as wide."""
    per_day = 1 if unit == "D" else 86_400_000
    known = values[here]
    if len(known) and (known.min() // per_day < _FIRST_DAY or known.max() // per_day > _LAST_DAY):
        raise ValueError("a date that has no year of four digits")
    each, which = np.unique(np.where(here, values, 0), return_inverse=True)
    text = np.datetime_as_string(each.astype(f"M8[{unit}]")).astype("S10" if unit == "D" else "S23")
    texts = np.char.add(text, tail)
    found: Bytes = texts.view(np.uint8).reshape(len(each), -1)[which]
    return found


def _put(out: Bytes, at: Ints, one: _Property) -> None:
    if not one.here.all():
        at = at[one.here]
    at_any_byte(out, "<u2")[at] = one.number
    at = at + _COLUMN
    length = one.length[one.here]
    if one.counted:
        at_any_byte(out, "<u4")[at] = length
        at = at + _COUNT
    if one.at is not None:
        copy_pieces(one.data, one.at[one.here], out, at, length)
        return
    kind = f"V{one.data.shape[1]}"
    at_any_byte(out, kind)[at] = np.ascontiguousarray(one.data[one.here]).view(kind)[:, 0]


def copy_pieces(data: Bytes, source: Ints, out: Bytes, target: Ints, length: Ints, step: int = 8) -> None:
    """Copy ``length`` bytes each; up to ``step - 1`` further ones are overwritten behind them."""
    pieces = -(-length // step)
    first = np.cumsum(pieces) - pieces
    within = (np.arange(int(pieces.sum())) - np.repeat(first, pieces)) * step
    kind = f"V{step}"
    at_any_byte(out, kind)[np.repeat(target, pieces) + within] = at_any_byte(data, kind)[
        np.repeat(source, pieces) + within
    ]


class _Geometries:
    """Where the geometries of some rows go, and how large they are.

    Plain: points, lines, polygons of one ring; all of them have one template. Odd: made one by one.
    """

    def __init__(self, rows: Rows, n: int, shapes: bool, heights: bool, tell_kind: bool) -> None:
        self.rows, self.heights, self.tell_kind = rows, heights, tell_kind
        shape = geometry.Shape(0, z=b"" if heights else None)
        self.template = geometry.table(shape, tell_kind=tell_kind)
        #: Where the doubles begin: behind the count of x and y, which ends the template but for that of z.
        self.doubles = len(self.template) - 8 * heights
        self.size = np.zeros(rows.count, np.int64)
        self.plain = np.zeros(rows.count, np.bool_)
        self.points = np.zeros(rows.count, np.int64)
        self.odd: list[tuple[int, bytes]] = []
        if shapes:
            self._look(n)

    def _look(self, n: int) -> None:
        at, length = self.rows.at[n], self.rows.length[n]
        word = at_any_byte(self.rows.data, "<u4")
        has = length >= 9  # what is shorter is null
        code = np.where(has, word[at + 1], 0)
        own, kind = np.divmod(code, 1000)
        count = word[at + 5].astype(np.int64)
        inner = word[np.where(length >= 13, at + 9, at)].astype(np.int64)  # of the first ring
        head = np.array([0, 5, 9, 13])[np.minimum(kind, 3)]
        points = np.where(kind == 1, 1, np.where(kind == 2, count, inner))
        width = 24 if self.heights else 16
        self.plain = (
            has & (self.rows.data[at] == 1) & (own == self.heights) & (kind >= 1) & (kind <= 3)
            & ((kind != 3) | (count == 1)) & (points > 0) & (head + points * width == length)
        )  # fmt: skip
        x = at_any_byte(self.rows.data, "<f8")[np.where(self.plain, at + head, 0)]
        self.plain &= ~(np.isnan(x) & (kind == 1))  # an empty point
        self.kind, self.head = kind.astype(np.uint8), head
        self.points = np.where(self.plain, points, 0)
        self.size = np.where(self.plain, len(self.template) + self.points * width, 0)
        for row in np.nonzero(has & ~self.plain)[0].tolist():
            wkb = self.rows.data[at[row] : at[row] + length[row]].tobytes()
            shape = geometry.shape_of(wkb, heights=self.heights)
            if not shape.empty:
                made = geometry.table(shape, tell_kind=self.tell_kind)
                self.odd.append((row, made))
                self.size[row] = len(made)
        self.at = at

    def put_odd(self, out: Bytes, start: Ints) -> None:
        """Those that were made one by one."""
        for row, made in self.odd:
            to = int(start[row]) + _BEFORE
            out[to : to + len(made)] = np.frombuffer(made, np.uint8)

    def put_plain(self, out: Bytes, start: Ints) -> None:
        """Coordinates of the others."""
        if not self.plain.any():
            return
        points = self.points[self.plain]
        source = (self.at + self.head)[self.plain]
        target = start[self.plain] + _BEFORE + self.doubles
        if not self.heights:
            copy_pieces(self.rows.data, source, out, target, points * 16, 16)
            return
        first = np.cumsum(points) - points
        each = np.arange(int(points.sum())) - np.repeat(first, points)
        came = np.repeat(source, points) + each * 24
        goes = np.repeat(target, points) + each * 16
        at_any_byte(out, "V16")[goes] = at_any_byte(self.rows.data, "V16")[came]
        goes = np.repeat(target + points * 16 + 8, points) + each * 8  # behind the count of z
        at_any_byte(out, "V8")[goes] = at_any_byte(self.rows.data, "V8")[came + 16]

    def put_heads(self, out: Bytes, start: Ints, whole: Ints, begins_at: Ints) -> None:
        """All that is alike in each feature, and the numbers in it."""
        table_at = _BEFORE + geometry.table_begins(self.template)
        head = _FEATURE.pack(0, 12, 8, 12, 4, 8, 8, table_at - 20, 0)
        kind = f"V{_BEFORE}"
        at_any_byte(out, kind)[start] = np.frombuffer(head, kind)
        long = at_any_byte(out, "<u4")
        long[start] = whole - 4
        long[start + _PROPERTIES_AT] = begins_at - _PROPERTIES_AT
        without = start[self.size == 0]
        long[without + 20] = 0
        at_any_byte(out, "<u2")[without + 12] = 0  # the vtable has no geometry
        for row, made in self.odd:
            long[start[row] + 20] = _BEFORE + geometry.table_begins(made) - 20
        if self.plain.any():
            self._put_templates(out, start[self.plain] + _BEFORE)

    def _put_templates(self, out: Bytes, at: Ints) -> None:
        points = self.points[self.plain]
        before = self.template[: self.doubles]
        kind = f"V{len(before)}"
        at_any_byte(out, kind)[at] = np.frombuffer(before, kind)
        long = at_any_byte(out, "<u4")
        long[at + self.doubles - 4] = points * 2
        begins = geometry.table_begins(self.template)
        if self.heights:
            behind = at + self.doubles + points * 16
            long[behind] = 0
            long[behind + 4] = points
            long[at + begins + 8] = self.doubles + points * 16 + 4 - begins - 8
        if self.tell_kind:
            out[at + begins + 8 + 4 * self.heights] = self.kind[self.plain]
