"""A few rows of every public layer, made from its definition: valid, and at known places.

Point layers begin with the three vectors of crs.md (EPSG:9210), whose WGS 84 coordinates are known from
elsewhere; lines start at them and polygons have them as their first corner. So every layer, whatever is
added to the catalogue, can be asked for a point whose right coordinates are known.
"""

from __future__ import annotations

import datetime as dt

import psycopg
from psycopg import sql
from shapely import wkb
from shapely.geometry import LineString, MultiLineString, MultiPoint, MultiPolygon, Point, Polygon
from shapely.geometry.base import BaseGeometry

from gis.city import City
from gis.db.sql import columns, table
from layers.model import SYSTEM_FIELDS, FieldDef
from layers.registry import Catalogue, Layer

#: EPSG:9210 east, north -> WGS 84 longitude, latitude (crs.md).
VECTORS = (
    ((600000.0, 1190000.0), (106.666128316, 10.759445635)),
    ((603000.0, 1192000.0), (106.693612244, 10.777443860)),
    ((580000.0, 1215000.0), (106.483824362, 10.985947401)),
)
ROWS = 12

#: Text that breaks naive quoting, encoding and HTML, in the first string attribute of row 3.
HOSTILE = "Đường Nguyễn Huệ'\"; DROP TABLE x; -- <script>alert(1)</script> \\ %_ 🚰"


def load_sample(connection: psycopg.Connection, catalogue: Catalogue, city: City, rows: int = ROWS) -> int:
    """Fill every public layer that takes data; the number of rows. Needs an owner's connection."""
    written = 0
    for layer in catalogue.public():
        if layer.definition.loadable:
            written += load_layer(connection, layer, city, rows)
    connection.execute("ANALYZE")
    return written


def load_layer(connection: psycopg.Connection, layer: Layer, city: City, rows: int, first: int = 0) -> int:
    """Insert ``rows`` rows, numbered from ``first``."""
    fields = [f for f in layer.fields if f.name not in SYSTEM_FIELDS or f.name == "asset_id"]
    statement = sql.SQL("INSERT INTO {} ({}, geom) VALUES ({}, ST_SetSRID(%s::geometry, %s))").format(
        table(layer),
        columns([f.name for f in fields]),
        sql.SQL(", ").join(sql.Placeholder() for _ in fields),
    )
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            statement,
            [
                (
                    *(value_of(layer, f, number) for f in fields),
                    wkb.dumps(shape_of(layer, number), output_dimension=3 if _with_z(layer) else 2),
                    city.crs.storage,
                )
                for number in range(first, first + rows)
            ],
        )
    return rows


def place_of(number: int) -> tuple[float, float]:
    """Where row ``number`` is: the vectors first, then a grid of 40 m in Thu Thiem."""
    if number < len(VECTORS):
        return VECTORS[number][0]
    column, row = (number - 3) % 200, (number - 3) // 200
    return 606000.0 + 40.0 * column, 1192000.0 + 40.0 * row


def _with_z(layer: Layer) -> bool:
    return layer.definition.z != "none"


def shape_of(layer: Layer, number: int) -> BaseGeometry:
    """The geometry of a row in the city's CRS."""
    x, y = place_of(number)
    z = (1.5,) if _with_z(layer) else ()
    line = LineString([(x, y, *z), (x + 20, y + 5, *z), (x + 30, y + 5, *z)])
    area = Polygon([(x, y, *z), (x + 20, y, *z), (x + 20, y + 15, *z), (x, y + 15, *z), (x, y, *z)])
    point = Point(x, y, *z)
    shapes: dict[str, BaseGeometry] = {
        "Point": point,
        "MultiPoint": MultiPoint([point]),
        "LineString": line,
        "MultiLineString": MultiLineString([line]),
        "Polygon": area,
        "MultiPolygon": MultiPolygon([area]),
        "Geometry": point,
    }
    return shapes[layer.definition.geometry]


def value_of(layer: Layer, field: FieldDef, number: int) -> object:
    """A valid value; optional fields of every fifth row are null."""
    if field.name == "asset_id":
        return f"{layer.id}-s{number}"
    keys = {name for key in layer.definition.keys for name in key}
    if not field.required and field.name not in keys and number % 5 == 4:
        return None
    domain = layer.domain_of(field)
    if domain:
        return domain[number % len(domain)].value
    if field.type == "string":
        first = next(f.name for f in layer.own_fields if f.type == "string" and not f.domain)
        text = HOSTILE if number == 3 and field.name == first else f"Số {number} Thủ Thiêm {field.name}"
        return text[: field.max_length or 200]
    if field.type in ("integer", "number"):
        low = field.minimum if field.minimum is not None else 0
        high = field.maximum if field.maximum is not None else low + 1_000_000
        value = low + number if low + number <= high else low
        return int(value) if field.type == "integer" else float(value) + (0.25 if value + 0.25 <= high else 0)
    if field.type == "boolean":
        return number % 2 == 0
    day = dt.date(2020, 1, 1) + dt.timedelta(days=number)
    if field.type == "date":
        return day
    return dt.datetime.combine(day, dt.time(8, 30), dt.UTC)
