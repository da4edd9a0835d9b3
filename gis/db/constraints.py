"""The CHECK constraints of a layer's table, each named so that an error leads back to its field."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from psycopg.sql import SQL, Composed, Identifier
from psycopg.sql import Literal as Value

from gis import crs
from gis.city import City
from layers.model import FieldDef
from layers.registry import Layer

Kind = Literal[
    "type", "srid", "dims", "vertices", "empty", "bounds", "finite", "range", "length", "domain", "blank"
]

#: PostgreSQL cuts longer names without an error.
_NAME_BYTES = 63

_TYPES = ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon")
_DIMS = {"none": (0,), "optional": (0, 2), "required": (2,)}
#: Years that ISO 8601 and every client can write; infinity and years BC are outside.
_FIRST_DAY, _LAST_DAY = "0001-01-01", "9999-12-31"


@dataclass(frozen=True)
class Storage:
    """How geometry is stored: EPSG code, and the box (CRS units) in which all coordinates must be."""

    srid: int
    bounds: tuple[int, int, int, int]

    @classmethod
    def of(cls, city: City) -> Storage:
        """The storage CRS's whole area of use: data outside the city may be forced in (``load --force``)."""
        west, south, east, north = crs.plane_bounds(city.crs.storage)
        box = (math.floor(west), math.floor(south), math.ceil(east), math.ceil(north))
        return cls(city.crs.storage, box)

    @property
    def text(self) -> str:
        return f"{self.srid}:{','.join(map(str, self.bounds))}"


@dataclass(frozen=True)
class Constraint:
    """A CHECK: ``field`` is ``geom`` for the geometry's; ``wanted`` says in words what holds."""

    name: str
    field: str
    kind: Kind
    check: Composed
    wanted: str

    def clause(self) -> Composed:
        """``CONSTRAINT name CHECK (...)`` as CREATE TABLE and ADD want it."""
        return SQL("CONSTRAINT {} CHECK ({})").format(Identifier(self.name), self.check)


def object_name(*parts: str) -> str:
    """Parts joined by ``_``; longer than a name may be, its end becomes a hash."""
    name = "_".join(parts)
    if len(name.encode()) <= _NAME_BYTES:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _NAME_BYTES - 9]}_{digest}"


def constraints(layer: Layer, storage: Storage) -> tuple[Constraint, ...]:
    """All CHECKs of the layer's table (NOT NULL stands in the columns)."""
    return (*_geometry(layer, storage), *(c for f in layer.fields for c in _field(layer, f)))


def names_for(layer: Layer, field: str) -> set[str]:
    """The names that CHECKs of this field could have."""
    return {object_name(layer.id, field, kind) for kind in get_args(Kind)}


def explain(layer: Layer, storage: Storage, name: str | None) -> Constraint | None:
    """The constraint of that name (``diag.constraint_name`` of an error); None if it is none of ours."""
    return next((c for c in constraints(layer, storage) if c.name == name), None)


def _geometry(layer: Layer, storage: Storage) -> Iterator[Constraint]:
    definition = layer.definition

    def check(kind: Kind, text: str, wanted: str, *values: object) -> Constraint:
        composed = SQL(text).format(*(Value(v) for v in values))
        return Constraint(object_name(layer.id, "geom", kind), "geom", kind, composed, wanted)

    types = _TYPES if definition.geometry == "Geometry" else (definition.geometry,)
    listed = SQL(", ").join(Value(t.upper()) for t in types)
    of_type = SQL("public.GeometryType(geom) IN ({})").format(listed)
    wanted = "a geometry without collections and curves" if len(types) > 1 else types[0]
    yield Constraint(object_name(layer.id, "geom", "type"), "geom", "type", of_type, f"of type {wanted}")
    yield check("srid", "public.ST_SRID(geom) = {}", f"in EPSG:{storage.srid}", storage.srid)
    flags = _DIMS[definition.z]
    heights = {"none": "without heights", "optional": "without M values", "required": "with heights (Z)"}
    yield check(
        "dims",
        "public.ST_Zmflag(geom) IN (" + ", ".join(["{}"] * len(flags)) + ")",
        heights[definition.z],
        *flags,
    )
    most = definition.max_vertices
    # A vertex has 16 bytes or more: whatever is smaller needs no counting, for which it is taken apart.
    vertices = "public.ST_MemSize(geom) <= {} OR public.ST_NPoints(geom) <= {}"
    yield check("vertices", vertices, f"of at most {most} vertices", 16 * most, most)
    yield check("empty", "NOT public.ST_IsEmpty(geom)", "not empty")
    text, values = _bounds(layer, storage)
    yield check("bounds", text, f"inside the area of EPSG:{storage.srid}", *values)
    yield check("finite", _finite(layer), "of finite coordinates")


def _bounds(layer: Layer, storage: Storage) -> tuple[str, tuple[int, ...]]:
    """Lines and areas keep their box beside their coordinates (rounded outwards to floats, as the one it is
    held against), and need not be taken apart for it: 2 us of the 4 us that a parcel's checks took.

    A box knows nothing of NaN; a line's length does (see ``_finite``), a lone point has none.
    """
    if layer.dimension in (1, 2):
        box = "geom OPERATOR(public.@) public.ST_MakeEnvelope({}, {}, {}, {}, {})"
        return box, (*storage.bounds, storage.srid)
    sides = (
        "public.ST_XMin(geom) >= {} AND public.ST_YMin(geom) >= {} "
        "AND public.ST_XMax(geom) <= {} AND public.ST_YMax(geom) <= {}"
    )
    return sides, storage.bounds


def _finite(layer: Layer) -> str:
    """NaN in the midst of a line escapes its bounding box, but not its length: NaN is above infinity."""
    measures = {
        0: ["public.ST_ZMax(geom)", "-public.ST_ZMin(geom)"],
        1: ["public.ST_3DLength(geom)"],
        2: ["public.ST_3DPerimeter(geom)"],
        -1: ["public.ST_3DLength(geom)", "public.ST_3DPerimeter(geom)"],
    }[layer.dimension]
    if layer.dimension == -1:
        measures += ["public.ST_ZMax(geom)", "-public.ST_ZMin(geom)"]
    if layer.definition.geometry in ("MultiPoint", "Geometry"):  # a multipoint has no length of its own
        # not ST_MakeLine: of one argument it is an aggregate, of two it refuses multipoints
        measures.append("public.ST_3DLength(public.ST_LineFromMultiPoint(public.ST_Points(geom)))")
    if layer.dimension == 0 and layer.definition.geometry == "Point":
        measures += ["public.ST_XMax(geom)", "public.ST_YMax(geom)"]
    return " AND ".join(f"coalesce({m}, 0) < 'Infinity'" for m in measures)


def _field(layer: Layer, f: FieldDef) -> Iterator[Constraint]:
    name = Identifier(f.name)

    def make(kind: Kind, check: Composed, wanted: str) -> Constraint:
        return Constraint(object_name(layer.id, f.name, kind), f.name, kind, check, wanted)

    if f.name == "asset_id":
        yield make("blank", SQL("{} ~ '[^[:space:]]'").format(name), "not blank")
    if f.domain:
        values = [v.value for v in layer.domain_of(f)]
        listed = SQL(", ").join(Value(v) for v in values)
        check = SQL("{} IN ({})").format(name, listed) if values else SQL("{} IS NULL").format(name)
        yield make("domain", check, "one of " + ", ".join(map(str, values)))
    if f.type == "string" and f.max_length is not None:
        check = SQL("char_length({}) <= {}").format(name, Value(f.max_length))
        yield make("length", check, f"at most {f.max_length} characters")
    yield from (make("range", check, wanted) for check, wanted in _range(f, name))


def _range(f: FieldDef, name: Identifier) -> Iterator[tuple[Composed, str]]:
    if f.type in ("date", "datetime"):
        cast = SQL("date" if f.type == "date" else "timestamptz")
        end = _LAST_DAY if f.type == "date" else f"{_LAST_DAY}T23:59:59Z"
        start = _FIRST_DAY if f.type == "date" else f"{_FIRST_DAY}T00:00:00Z"
        check = SQL("{n} >= {c} {a} AND {n} <= {c} {b}").format(n=name, c=cast, a=Value(start), b=Value(end))
        yield check, "in the years 1 to 9999"
    if f.type not in ("integer", "number"):
        return
    parts: list[Composed] = []
    words = []
    if f.minimum is not None:
        parts.append(SQL("{} >= {}").format(name, _number(f, f.minimum)))
        words.append(f"at least {f.minimum:g}")
    elif f.type == "number":
        parts.append(SQL("{} > '-Infinity'").format(name))
    if f.maximum is not None:
        parts.append(SQL("{} <= {}").format(name, _number(f, f.maximum)))
        words.append(f"at most {f.maximum:g}")
    elif f.type == "number":
        parts.append(SQL("{} < 'Infinity'").format(name))  # NaN is above infinity: JSON has neither
    if parts:
        yield SQL(" AND ").join(parts), " and ".join(words) or "finite"


def _number(f: FieldDef, bound: float) -> Value:
    if f.type == "integer":
        return Value(math.floor(bound) if bound == f.maximum else math.ceil(bound))
    return Value(float(bound))
