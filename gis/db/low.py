"""The tables of low zooms: what a layer's ``tiles.generalise`` wants of the database (0017, 0026).

``web.<layer id>__low`` holds derived rows: low__level (its first zoom), low__cell, low__n (place in both),
fid (null where a row stands for several features), the attributes of all levels, geom in EPSG:3857. Filled
by ``tiles.refresh``, which takes everything it has to know from ``bandoso.low_layer``.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from psycopg import Connection, sql
from psycopg.types.json import Jsonb

from gis.city import City
from gis.crs import WEB_MERCATOR, WGS84, transform_xy
from gis.db import actual
from gis.db.ddl import SQL_TYPES, low_statement
from gis.db.sql import MEMBER, READER, WEB, column
from layers.model import Level
from layers.registry import Catalogue, Layer

#: MVT has no dates: they are kept as their texts.
_TEXTS = {"date": "text", "datetime": "text"}

#: Raised when the same features and definition give other rows (tiles.derive): all are derived anew.
VERSION = 1


def low_table(layer_id: str) -> sql.Identifier:
    """The table of a layer's derived rows."""
    return sql.Identifier(WEB, f"{layer_id}__low")


def definition(layer: Layer, city: City) -> dict[str, Any]:
    """What is derived of a layer, as ``bandoso.low_layer`` keeps it.

    Levels with the columns they fill, SQL types of all columns, all fields that are read, the storage CRS,
    and what a metre of EPSG:3857 is in it, in the middle of the city.
    """
    levels: list[dict[str, Any]] = [
        {
            "level": level.model_dump(mode="json", by_alias=True),
            "columns": list(layer.level_columns(level)),
            "hidden": _hidden(layer, level),
        }
        for level in layer.definition.tiles.generalise
    ]
    of: dict[str, str] = {f.name: f.type for f in layer.fields}
    names = dict.fromkeys(name for one in levels for name in one["columns"])
    by = layer.definition.tiles.zooms_by
    needs = {*names, *((by.field,) if by else ())}
    needs |= {name for level in layer.definition.tiles.generalise for name in level.fields()}
    types = {name: _TEXTS.get(of[name], SQL_TYPES[of[name]]) for name in names}
    wanted: dict[str, Any] = {
        "version": VERSION,
        "srid": city.crs.storage,
        "scale": _scale(city),
        "levels": levels,
        "columns": types,
        "needs": {name: of[name] for name in sorted(needs)},
    }
    found: dict[str, Any] = json.loads(json.dumps(wanted))  # as it comes back from the database
    return found


def _hidden(layer: Layer, level: Level) -> dict[str, Any] | None:
    """Features that ``zooms_by`` shows at none of the level's zooms."""
    found = layer.tile_filter(level.zooms[1])
    return None if found is None else asdict(found)


def _scale(city: City) -> float:
    west, south, east, north = city.extent
    lon, lat = (west + east) / 2, (south + north) / 2
    step = 0.01
    x, y = transform_xy([lon, lon + step], [lat, lat], WGS84, city.crs.storage)
    web, _ = transform_xy([lon, lon + step], [lat, lat], WGS84, WEB_MERCATOR)
    length = float(((x[1] - x[0]) ** 2 + (y[1] - y[0]) ** 2) ** 0.5)
    return round(length / float(web[1] - web[0]), 6)


def prepare_low(connection: Connection, catalogue: Catalogue, city: City) -> None:
    """Make the tables and triggers what the definitions say; idempotent. What changed is stale then.

    Layers whose table lacks a field (a refused migration) stay as they are.
    """
    rows = connection.execute("SELECT layer, definition FROM bandoso.low_layer").fetchall()
    known: dict[str, dict[str, Any]] = {str(layer): kept for layer, kept in rows}
    tables = actual.tables(connection)
    named = connection.execute("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'low_insert'")
    watched = {str(name).removeprefix("layer.").strip('"') for (name,) in named}
    for layer in catalogue.layers.values():
        if not layer.definition.tiles.generalise or layer.access != "public":
            continue
        wanted, had = definition(layer, city), known.pop(layer.id, None)
        if not {*wanted["needs"]} <= tables.get(layer.id, {}).keys():
            continue
        if wanted != had:
            with connection.transaction():
                _make(connection, layer, wanted, had)
        elif layer.id not in watched:  # its table was made anew
            connection.execute(low_statement(layer.id))
    for gone in known:
        with connection.transaction():
            connection.execute("SELECT bandoso.low_detach(%s)", (gone,))


def _make(connection: Connection, layer: Layer, wanted: dict[str, Any], had: dict[str, Any] | None) -> None:
    table = low_table(layer.id)
    if had is None or had["columns"] != wanted["columns"]:
        connection.execute("DELETE FROM bandoso.low_cell WHERE layer = %s", (layer.id,))
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
        columns = [sql.SQL("{} {}").format(column(n), sql.SQL(t)) for n, t in wanted["columns"].items()]
        connection.execute(
            sql.SQL(
                "CREATE TABLE {} (low__level smallint NOT NULL, low__cell bigint NOT NULL,"
                " low__n integer NOT NULL, fid bigint, {}"
                " geom public.geometry NOT NULL, PRIMARY KEY (low__cell, low__level, low__n))"
            ).format(table, sql.SQL("").join(sql.SQL("{}, ").format(one) for one in columns))
        )
    else:  # what is there serves until it is derived anew: no digest is equal
        connection.execute("UPDATE bandoso.low_cell SET digest = '' WHERE layer = %s", (layer.id,))
    for one in (had or {}).get("levels", ()):
        connection.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(_index(layer.id, one, schema=WEB)))
    for one in wanted["levels"]:
        connection.execute(
            sql.SQL("CREATE INDEX {} ON {} USING gist (geom) WHERE low__level = {}").format(
                _index(layer.id, one), table, sql.Literal(one["level"]["zooms"][0])
            )
        )
    for role in (READER, MEMBER):
        connection.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(table, sql.Identifier(role)))
    connection.execute(
        "INSERT INTO bandoso.low_layer (layer, definition) VALUES (%s, %s)"
        " ON CONFLICT (layer) DO UPDATE SET definition = excluded.definition",
        (layer.id, Jsonb(wanted)),
    )
    connection.execute(low_statement(layer.id))


def _index(layer_id: str, one: dict[str, Any], schema: str | None = None) -> sql.Identifier:
    name = f"{layer_id}__low{one['level']['zooms'][0]}"
    return sql.Identifier(schema, name) if schema else sql.Identifier(name)
