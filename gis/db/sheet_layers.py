"""Fills the sheet index layers (city.yml: ``sheets``, ``sheet_scales``) over the city's extent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import batched

import shapely
from psycopg import Connection
from psycopg.sql import SQL, Identifier

from gis import crs
from gis.city import City
from gis.db.ddl import build_name, constraint_statements, create_table, index_statements, swap_statements
from gis.db.sql import LAYERS, columns, table
from gis.db.state import one, set_state, state
from gis.db.web import has_web
from gis.db.web_fill import fill_here
from gis.errors import ConfigError
from gis.sheets import VN2000_GEOGRAPHIC, Sheet, outlines, sheets_in
from layers.registry import Catalogue, Layer

#: Raised when the sheets or their outlines would come out differently from the same city file.
_VERSION = 2

#: An extent far too large (a typing error) is told rather than filled for hours.
MOST_SHEETS = 500_000
_WGS84 = 4326
_FIELDS = ("asset_id", "name", "system", "scale", "geom")


def fill_sheet_layers(connection: Connection, city: City, catalogue: Catalogue) -> dict[str, int]:
    """Fill those whose city file has changed since, each in a transaction; rows written by layer id.

    ``asset_id`` is the sheet's name; outlines are in the storage CRS. A sheet belongs to the index if it
    shares area with the city's extent. Raises ConfigError.
    """
    written = {}
    for layer_id, systems in city.sheets.items():
        layer = catalogue.layers.get(layer_id)
        if layer is None or any(layer.field(name) is None for name in _FIELDS[:-1]):
            raise ConfigError(
                f"city.yml: sheets.{layer_id} is not a layer with the fields name, system and scale"
            )
        fingerprint = _fingerprint(city, systems)
        key = f"sheets {layer_id}"
        filled = one(connection, "SELECT bandoso.row_count(%s) > 0", layer_id)
        if filled and state(connection, key) == fingerprint:
            continue
        with connection.transaction():
            written[layer_id] = _fill(connection, layer, city, systems)
            set_state(connection, key, fingerprint)
        connection.execute(SQL("ANALYZE {}").format(table(layer)))
        if has_web(layer):
            fill_here(connection, layer_id)
    return written


def _fingerprint(city: City, systems: tuple[str, ...]) -> str:
    parts = [_VERSION, city.crs.storage, city.extent, city.sheet_areas, city.sheet_scales, systems]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _fill(connection: Connection, layer: Layer, city: City, systems: tuple[str, ...]) -> int:
    """Build the filled table aside and swap it in: indexes over all rows at once cost a third."""
    connection.execute("SET LOCAL lock_timeout = '20s'")
    built = build_name(layer)
    for statement in create_table(layer, city, built):
        connection.execute(statement)
    rows = 0
    copy_into = SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
        Identifier(LAYERS, built), columns(_FIELDS)
    )
    with connection.cursor() as cursor, cursor.copy(copy_into) as copy:
        copy.set_types(["text", "text", "text", "int8", "bytea"])
        for system in systems:
            for scale in city.sheet_scales:
                for batch in batched(_sheets(city, system, scale), 1000):
                    shapes = list(outlines(batch, city.crs.storage))
                    wkb = shapely.to_wkb(shapely.set_srid(shapes, city.crs.storage), include_srid=True)
                    for sheet, geometry in zip(batch, wkb, strict=True):
                        copy.write_row((sheet.name, sheet.name, sheet.system, sheet.scale, geometry))
                    rows += len(batch)
                    if rows > MOST_SHEETS:
                        raise ConfigError(
                            f"city.yml: extent has more than {MOST_SHEETS} map sheets of 1:{scale}",
                            hint="name smaller sheet_areas, or leave this scale out of sheet_scales",
                        )
    for statement in (
        *constraint_statements(layer, city, built),
        *index_statements(layer, built),
        *swap_statements(layer, built),
    ):
        connection.execute(statement)
    return rows


def _sheets(city: City, system: str, scale: int) -> Iterator[Sheet]:
    """The sheets that share area with the city's sheet areas, each once."""
    storage = city.crs.storage
    areas = city.sheet_areas or (city.extent,)
    seen: set[str] = set()
    for area in areas:
        if system == "topographic":
            found = sheets_in("topographic", scale, crs.transform_box(area, _WGS84, VN2000_GEOGRAPHIC).bounds)
        else:
            box = crs.transform_box(area, _WGS84, storage).bounds
            found = sheets_in("cadastral", scale, box, crs=storage)
        for sheet in found:
            if len(areas) == 1 or sheet.name not in seen:
                seen.add(sheet.name)
                yield sheet
