"""Well-known binary, looked at before GEOS sees it: nesting bounded, curves made into short lines.

Shapely dies on 20,000 nested GeometryCollections, so collections are walked here first, with a bound.
Arcs (of MapInfo, geodatabases, GeoPackage) become lines that are nowhere more than a tolerance off.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MAX_DEPTH = 4
POINT, LINE, POLYGON, MULTIPOINT, MULTILINE, MULTIPOLYGON, COLLECTION = range(1, 8)
CIRCULAR, COMPOUND, CURVEPOLYGON, MULTICURVE, MULTISURFACE = range(8, 13)
#: What a type becomes once its curves are lines.
_LINEAR = {
    CIRCULAR: LINE,
    COMPOUND: LINE,
    CURVEPOLYGON: POLYGON,
    MULTICURVE: MULTILINE,
    MULTISURFACE: MULTIPOLYGON,
}
#: Deviation from the arc, in metres and degrees (about 1 mm).
TOLERANCE_M, TOLERANCE_DEG = 1e-3, 1e-8
_MOST_STEPS = 3_600


class WkbError(ValueError):
    """Damaged, too deep or unknown; ``code`` is a reason of gis.ingest.issues."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def base_types(offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Type (1 to 17, without Z, M and SRID flags) of each WKB in a buffer; 0 where shorter than a header."""
    starts, lengths = offsets[:-1], np.diff(offsets)
    found = np.zeros(len(starts), dtype=np.int64)
    whole = lengths >= 5
    at = starts[whole]
    raw = np.stack([data[at + 1 + i] for i in range(4)], axis=1).astype(np.uint32)
    big = data[at] == 0
    raw[big] = raw[big][:, ::-1]
    codes = raw @ np.array([1, 1 << 8, 1 << 16, 1 << 24], dtype=np.uint32)
    found[whole] = (codes & 0x0FFFFFFF) % 1000
    return found


@dataclass
class _Walk:
    data: bytes
    tolerance: float
    at: int = 0
    curved: bool = False

    def take(self, count: int) -> bytes:
        end = self.at + count
        if count < 0 or end > len(self.data):
            raise WkbError("geometry-unreadable", "the geometry's bytes end early")
        piece = self.data[self.at : end]
        self.at = end
        return piece


def straightened(data: bytes, tolerance: float) -> tuple[bytes, bool]:
    """The geometry as little-endian ISO WKB without curves, and whether it had any.

    ``tolerance`` is in the geometry's units. Raises WkbError.
    """
    walk = _Walk(data, tolerance)
    return _geometry(walk, 0), walk.curved


def _geometry(walk: _Walk, depth: int) -> bytes:
    if depth > MAX_DEPTH:
        raise WkbError("geometry-depth", f"collections are nested more than {MAX_DEPTH} deep")
    order = "<" if walk.take(1) == b"\x01" else ">"
    (code,) = struct.unpack(order + "I", walk.take(4))
    if code & 0x20000000:
        walk.take(4)  # an SRID, which says nothing here
    base = (code & 0x0FFFFFFF) % 1000
    thousands = (code & 0x0FFFFFFF) // 1000
    has_z = thousands in (1, 3) or bool(code & 0x80000000)
    has_m = thousands in (2, 3) or bool(code & 0x40000000)
    dims = 2 + has_z + has_m
    out_code = _LINEAR.get(base, base) + 1000 * (has_z + 2 * has_m)
    head = struct.pack("<BI", 1, out_code)
    if base == POINT:
        return head + np.frombuffer(walk.take(8 * dims), order + "f8").astype("<f8").tobytes()
    (count,) = struct.unpack(order + "I", walk.take(4))
    if base in (LINE, CIRCULAR):
        points = _points(walk, order, count, dims)
        if base == CIRCULAR:
            walk.curved = True
            points = _arcs(points, walk.tolerance)
        return head + _sequence(points)
    if base == POLYGON:
        rings = []
        for _ in range(_bounded(walk, count, 4)):
            (size,) = struct.unpack(order + "I", walk.take(4))
            rings.append(_sequence(_points(walk, order, size, dims)))
        return head + struct.pack("<I", len(rings)) + b"".join(rings)
    if not MULTIPOINT <= base <= MULTISURFACE:
        raise WkbError("geometry-type", "surfaces of triangles are not accepted")
    parts = [_geometry(walk, depth + 1) for _ in range(_bounded(walk, count, 9))]
    if base in (COMPOUND, CURVEPOLYGON):
        walk.curved = True
        if base == COMPOUND:
            return head + _sequence(_joined(parts, dims))
        return head + struct.pack("<I", len(parts)) + b"".join(p[5:] for p in parts)
    return head + struct.pack("<I", len(parts)) + b"".join(parts)


def _bounded(walk: _Walk, count: int, least: int) -> int:
    """A declared count, refused when the bytes left cannot hold it."""
    if count * least > len(walk.data) - walk.at:
        raise WkbError("geometry-unreadable", "the geometry declares more parts than it has")
    return count


def _points(walk: _Walk, order: str, count: int, dims: int) -> Floats:
    raw = np.frombuffer(walk.take(count * dims * 8), order + "f8")
    return raw.astype("<f8").reshape(count, dims)


def _sequence(points: Floats) -> bytes:
    return struct.pack("<I", len(points)) + points.astype("<f8").tobytes()


def _joined(parts: list[bytes], dims: int) -> Floats:
    lines = [np.frombuffer(p[9:], "<f8").reshape(-1, dims) for p in parts]
    lines = [line for line in lines if len(line)]
    if not lines:
        return np.empty((0, dims))
    return np.concatenate([lines[0], *(line[1:] for line in lines[1:])])


def _arcs(points: Floats, tolerance: float) -> Floats:
    """A circular string's points (start, middle, end, middle, end ...) as a line."""
    if len(points) < 3 or len(points) % 2 == 0:
        raise WkbError("geometry-unreadable", "an arc needs three points")
    pieces = [points[:1]]
    pieces += [_arc(points[i], points[i + 1], points[i + 2], tolerance) for i in range(0, len(points) - 2, 2)]
    return np.concatenate(pieces)


def _arc(start: Floats, middle: Floats, end: Floats, tolerance: float) -> Floats:
    """Points of one arc after its start; other ordinates than x and y change evenly."""
    a, b, c = complex(*start[:2]), complex(*middle[:2]), complex(*end[:2])
    if a == c:
        centre, sweep = (a + b) / 2, 2 * math.pi
    else:
        # Circumcentre relative to the start, which keeps the large coordinates out of the products.
        u, v = b - a, c - a
        cross = u.real * v.imag - u.imag * v.real
        if abs(cross) <= 1e-12 * abs(u) * abs(v):
            return np.stack([middle, end])
        uu, vv = abs(u) ** 2, abs(v) ** 2
        centre = a + complex(v.imag * uu - u.imag * vv, u.real * vv - v.real * uu) / (2 * cross)
        turn = np.angle((c - centre) / (a - centre))
        sweep = turn % (2 * math.pi) if cross > 0 else -((-turn) % (2 * math.pi))
    radius = abs(a - centre)
    step = 2 * math.acos(max(-1.0, 1 - tolerance / radius)) if radius > tolerance else math.pi / 2
    count = min(max(2, math.ceil(abs(sweep) / step)), _MOST_STEPS)
    shares = np.arange(1, count + 1) / count
    around = centre + (a - centre) * np.exp(1j * sweep * shares)
    points = start + (end - start) * shares[:, None]
    points[:, 0], points[:, 1] = around.real, around.imag
    points[-1] = end
    return points
