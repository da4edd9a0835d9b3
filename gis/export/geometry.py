"""FlatGeobuf's geometry tables from WKB, one at a time: what gis.export.flatgeobuf does not lay out at once.

A FlatBuffers table is its vtable (sizes, then where each field stands in the table) and its fields; vectors
follow it. Doubles stand at multiples of eight from the beginning of a feature. Format: FlatGeobuf
``feature.fbs`` (flatgeobuf.org), FlatBuffers "Internals".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

import numpy as np

#: Fields of the table Geometry.
ENDS, XY, Z, KIND, PARTS = 0, 1, 2, 6, 7
POINT, LINE, POLYGON, MULTIPOINT, MULTILINE, MULTIPOLYGON, COLLECTION = range(1, 8)
#: Deeper collections are none that the catalogue's layers hold.
MOST_DEEP: Final = 8


@dataclass
class Shape:
    """One table Geometry. ``ends``: number of points up to each ring's or line's end."""

    kind: int
    xy: bytes = b""
    z: bytes | None = None
    ends: list[int] = field(default_factory=list)
    parts: list[Shape] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Without any point."""
        return not self.xy and all(p.empty for p in self.parts)


def table(shape: Shape, *, tell_kind: bool) -> bytes:
    """The table with all that belongs to it, to be laid at a multiple of eight and four; begins with its
    vtable. Its length is a multiple of four."""
    used = [n for n, has in _fields(shape, tell_kind) if has]
    vtable = 4 + 2 * (max(used, default=-1) + 1)
    places = {n: 4 + 4 * k for k, n in enumerate(used)}
    before = vtable + -vtable % 4  # where the table begins
    size = 4 + 4 * len(used)
    made = bytearray(struct.pack("<HH", vtable, size))
    made += b"".join(struct.pack("<H", places.get(n, 0)) for n in range((vtable - 4) // 2))
    made += bytes(before - vtable) + struct.pack("<i", before) + bytes(size - 4)

    def point(n: int, to: int) -> None:
        struct.pack_into("<I", made, before + places[n], to - before - places[n])

    if ENDS in places:
        point(ENDS, len(made))
        made.extend(struct.pack(f"<I{len(shape.ends)}I", len(shape.ends), *shape.ends))
    for n, doubles in ((XY, shape.xy), (Z, shape.z)):
        if n in places and doubles is not None:
            made.extend(bytes(-len(made) % 8))  # the count, then what is a multiple of eight from the start
            point(n, len(made))
            made.extend(struct.pack("<I", len(doubles) // 8) + doubles)
    if KIND in places:
        made[before + places[KIND]] = shape.kind
    if PARTS in places:
        point(PARTS, len(made))
        first = len(made) + 4
        made.extend(struct.pack("<I", len(shape.parts)) + bytes(4 * len(shape.parts)))
        for k, part in enumerate(shape.parts):
            made.extend(bytes(-len(made) % 8))
            inner = table(part, tell_kind=True)
            begins = len(made) + _vtable_room(inner)
            struct.pack_into("<I", made, first + 4 * k, begins - first - 4 * k)
            made.extend(inner)
    return bytes(made)


def table_begins(made: bytes) -> int:
    """Where, in what ``table`` gave, the table itself begins."""
    return _vtable_room(made)


def _vtable_room(made: bytes) -> int:
    (vtable,) = struct.unpack_from("<H", made)
    return int(vtable + -vtable % 4)


def _fields(shape: Shape, tell_kind: bool) -> list[tuple[int, bool]]:
    return [
        (ENDS, len(shape.ends) > 1),
        (XY, not shape.parts),
        (Z, shape.z is not None and not shape.parts),
        (KIND, tell_kind),
        (PARTS, bool(shape.parts)),
    ]


def shape_of(wkb: bytes, *, heights: bool) -> Shape:
    """What ISO WKB (little endian) tells. With ``heights`` there are some: NaN where it has none.

    Raises ValueError for curves, and whatever else the simple features do not have.
    """
    shape, _ = _read(wkb, 0, heights, 0)
    return shape


def _read(wkb: bytes, at: int, heights: bool, depth: int) -> tuple[Shape, int]:
    order, code = struct.unpack_from("<BI", wkb, at)
    own, kind = divmod(code, 1000)
    at += 5
    if order != 1 or own not in (0, 1) or not POINT <= kind <= COLLECTION or depth > MOST_DEEP:
        raise ValueError(f"a geometry that FlatGeobuf does not have: {code}")
    width = 3 if own else 2
    if kind == POINT:
        shape, at = _points(kind, wkb, at, 1, width, heights)
        if np.isnan(np.frombuffer(shape.xy, "<f8")).all():
            shape.xy, shape.z = b"", b"" if heights else None
        return shape, at
    (count,) = struct.unpack_from("<I", wkb, at)
    at += 4
    if kind == LINE:
        return _points(kind, wkb, at, count, width, heights)
    if kind == POLYGON:
        return _rings(wkb, at, count, width, heights)
    parts = []
    for _ in range(count):
        part, at = _read(wkb, at, heights, depth + 1)
        if not part.empty:
            parts.append(part)
    if kind in (MULTIPOINT, MULTILINE):
        shape = Shape(kind, b"".join(p.xy for p in parts))
        shape.z = b"".join(p.z or b"" for p in parts) if heights else None
        if kind == MULTILINE:
            shape.ends = np.cumsum([len(p.xy) // 16 for p in parts]).tolist()
        return shape, at
    return Shape(kind, z=b"" if heights else None, parts=parts), at


def _rings(wkb: bytes, at: int, count: int, width: int, heights: bool) -> tuple[Shape, int]:
    shape = Shape(POLYGON, z=b"" if heights else None)
    for _ in range(count):
        (points,) = struct.unpack_from("<I", wkb, at)
        ring, at = _points(POLYGON, wkb, at + 4, points, width, heights)
        shape.xy += ring.xy
        if shape.z is not None and ring.z is not None:
            shape.z += ring.z
        shape.ends.append(len(shape.xy) // 16)
    return shape, at


def _points(kind: int, wkb: bytes, at: int, count: int, width: int, heights: bool) -> tuple[Shape, int]:
    size = 8 * width * count
    if at + size > len(wkb):
        raise ValueError("a geometry is cut off")
    if width == 2 and not heights:
        return Shape(kind, wkb[at : at + size]), at + size
    found = np.frombuffer(wkb, "<f8", width * count, at).reshape(count, width)
    z = None
    if heights:
        z = found[:, 2].tobytes() if width == 3 else np.full(count, np.nan).tobytes()
    return Shape(kind, found[:, :2].tobytes(), z), at + size
