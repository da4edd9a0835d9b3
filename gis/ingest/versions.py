"""A load as a changeset: who loaded what and why, and every version that the load ended.

Rows that a load adds get no row in bandoso.change (a delivery has a million): they name their load, and the
load names its changeset. What it changes or takes away is kept like any edit: by the triggers where rows are
merged, by ``keep_replaced`` where a new table is put in the place of the old one.
"""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from datetime import datetime

import psycopg
from psycopg.sql import SQL, Composable, Identifier, Literal
from psycopg.types.json import Jsonb

from gis.db import sql as names
from gis.db.ddl import table_columns
from layers.registry import Layer

#: Kept beside the attributes by name.
_APART = ("fid", "version", "updated_at", "owner", "geom")


def operator() -> str:
    """Login name of whoever runs this command."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user without a name
        return "operator"


def open_changeset(
    connection: psycopg.Connection,
    loads: Mapping[str, int],
    source: str,
    author: str | None,
    comment: str | None,
    moment: datetime | None = None,
) -> int:
    """Open the changeset of loads (layer -> its load) in the connection's transaction; gives its id.

    ``moment``: the time of rows that were written aside before; default now. Until the transaction ends the
    triggers take what is added for loaded rows.
    """
    row = connection.execute(
        "SELECT bandoso.changeset_by_operator('load', %s, %s, %s, NULL, %s),"
        " set_config('bandoso.loading', 'on', true)",
        [author or operator(), comment, source, moment],
    ).fetchone()
    assert row is not None
    connection.execute(
        "UPDATE bandoso.load SET changeset = %s WHERE id = ANY (%s)", [row[0], list(loads.values())]
    )
    return int(row[0])


def note_added(
    connection: psycopg.Connection, changeset: int, layer: Layer, count: int, box: tuple[float, ...] | None
) -> None:
    """Write into the changeset's summary what was added; ``box``: minx, miny, maxx, maxy, storage CRS."""
    if not count or box is None:
        return
    what = {"created": count, "updated": 0, "deleted": 0, "box": list(box), "loaded": count}
    connection.execute(
        "UPDATE bandoso.changeset SET summary = coalesce(summary, '{}') || %s WHERE id = %s",
        [Jsonb({layer.id: what}), changeset],
    )


def whole_extent(connection: psycopg.Connection, table: Identifier, layer: Layer) -> tuple[float, ...] | None:
    """Extent of a layer's table, from the root of its spatial index where that is there: it costs nothing."""
    query = SQL(
        "SELECT public.ST_XMin(b), public.ST_YMin(b), public.ST_XMax(b), public.ST_YMax(b) FROM (SELECT"
        " coalesce((SELECT public.ST_EstimatedExtent({schema}, {name}, 'geom')),"
        " (SELECT public.ST_Extent(geom)::public.box2d FROM {table})) AS b) AS e WHERE b IS NOT NULL"
    ).format(schema=Literal(names.LAYERS), name=Literal(layer.id), table=table)
    return connection.execute(query).fetchone()


def keep_replaced(
    connection: psycopg.Connection,
    layer: Layer,
    built: Identifier | None,
    only: Composable | None = None,
) -> tuple[int, int]:
    """Keep the versions that will end when ``built`` (None: it has none of the same features) is put in the
    layer's place, and note each change; gives (changed, removed).

    A changeset is open, and nobody else writes the layer. ``only``: a condition on old rows (alias ``o``).
    """
    if not (layer.definition.history or layer.definition.editable):
        return 0, 0
    kept = SQL(", ").join(names.column(c.name, "o") for c in table_columns(layer) if c.name not in _APART)
    new = built or SQL("(SELECT * FROM {} WHERE false)").format(names.table(layer))
    query = SQL(
        """
        WITH ended AS MATERIALIZED (
            SELECT o.fid, o.version, o.owner, o.updated_at AS began, o.geom,
                   greatest(now.at, o.updated_at + interval '1 microsecond') AS ended,
                   n.fid AS still, n.version AS new_version, n.owner AS new_owner, n.geom AS new_geom,
                   to_jsonb((SELECT r FROM (SELECT {kept}) AS r)) AS properties
            FROM {old} AS o LEFT JOIN {new} AS n ON n.fid = o.fid,
                 (SELECT current_setting('bandoso.at')::timestamptz AS at) AS now
            WHERE (n.fid IS NULL OR n.version <> o.version) AND {only}
        ), versions AS (
            INSERT INTO bandoso.version
                (layer, fid, version, valid_from, valid_to, ended_by, owner, properties, geom)
            SELECT {layer}, fid, version, began, ended, current_setting('bandoso.changeset')::bigint, owner,
                   properties, geom
            FROM ended WHERE {history}
        ), changes AS (
            INSERT INTO bandoso.change (changeset, layer, fid, op, old_version, new_version, owner, box)
            SELECT current_setting('bandoso.changeset')::bigint, {layer}, fid,
                   CASE WHEN still IS NULL THEN 'd'::"char" ELSE 'u'::"char" END, version, new_version,
                   coalesce(new_owner, owner), public.ST_CombineBBox(public.box2d(geom), new_geom)
            FROM ended
        )
        SELECT count(still), count(*) - count(still) FROM ended
        """
    ).format(
        kept=kept,
        old=names.table(layer),
        new=new,
        layer=Literal(layer.id),
        history=Literal(layer.definition.history),
        only=only or SQL("true"),
    )
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])
