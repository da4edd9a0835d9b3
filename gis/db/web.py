"""Tile-ready tables: what maps and pages ask for, worked out when a feature is written, not when it is read.

For each public layer a table ``web.<layer>``: ``fid``, the attributes of its tiles, ``geom`` (EPSG:3857,
without heights, rings as vector tiles want them), ``_clear`` (see below) and ``_feature`` (its GeoJSON text,
as a page without parameters shows it). Triggers of the layer's table keep it in the same transaction,
whoever writes; statements of very many rows (loads above all) leave a gap instead, which is filled side by
side afterwards (gis.db.web_fill). Readers are right in every state: what has no row here they compute
(sql/0016_web.sql).

``_clear`` (metres of EPSG:3857) is the polygon's minimum clearance: as long as no vertex is moved by half of
it, its rings stay as they are to each other. So a polygon is valid after its vertices were rounded to tile
units if it is greater than the square root of two units, and the tile needs no repair of rings, which is
what takes the time.
"""

from __future__ import annotations

import hashlib

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from gis.crs import WEB_MERCATOR, WGS84
from gis.db.door import GEOMETRY
from gis.db.feature_text import feature_text, geometry_text
from gis.db.sql import LAYERS, MEMBER, OWN, READER, WEB, column
from layers.model import FieldDef
from layers.registry import Layer

#: Columns beside fid and the attributes; no field's name begins with "_".
CLEAR, FEATURE = "_clear", "_feature"

#: A statement that writes more rows leaves a gap: 60 us for each row would hold up who waits for it.
MOST_AT_ONCE = 2_000
#: Polygons of more vertices are repaired at each rendering: to find out takes longer than it is worth.
_MOST_VERTICES = 2_000

#: Field type -> (column type, SQL of its value). MVT has no dates: ISO 8601 text.
_TYPES = {
    "string": ("text", "{}"),
    "integer": ("bigint", "{}"),
    "number": ("double precision", "{}"),
    "boolean": ("boolean", "{}"),
    "date": ("text", "to_char({}, 'YYYY-MM-DD')"),
    "datetime": ("text", "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"),
}


def has_web(layer: Layer) -> bool:
    """Whether the layer has a web table: anyone may see it."""
    return layer.definition.access == "public"


def web_table(layer: Layer) -> Identifier:
    """The layer's web table; only of a layer that has one."""
    return Identifier(WEB, layer.id)


def web_fields(layer: Layer) -> tuple[FieldDef, ...]:
    """The attributes of the web table: all that tiles of any level need, in the layer's order."""
    wanted = {name for z in range(_ZOOMS) for name in layer.tile_fields(z)}
    chosen = layer.definition.tiles.zooms_by
    if chosen is not None:
        wanted.add(chosen.field)
    return tuple(f for f in layer.fields if f.access == "public" and f.name in wanted and f.name != "fid")


_ZOOMS = 23


def tile_text(f: FieldDef, value: Composable) -> Composed:
    """SQL of a field's value as it is in tiles."""
    return SQL(_TYPES[f.type][1]).format(value)


def public_names(layer: Layer) -> tuple[str, ...]:
    """What the stored GeoJSON text shows, in its order."""
    return tuple(f.name for f in layer.fields if f.access == "public")


def web_form(layer: Layer) -> str:
    """Changes when the web table has to be made anew; empty for a layer without."""
    if not has_web(layer):
        return ""
    parts = [*_columns(layer), _select(layer, Identifier(LAYERS, layer.id))]
    text = "\n".join(part.as_string(None) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def web_statements(layer: Layer, *, anew: bool) -> list[Composed]:
    """Make the web table and have it kept from now on, or take it away.

    ``anew``: make it anew even if it is there; its rows are filled afterwards (gis.db.web_fill). To be run in
    one transaction, after the layer's table has its columns.
    """
    if not has_web(layer):
        return [web_drop_statement(layer.id)]
    made: list[Composed] = [web_drop_statement(layer.id)] if anew else []
    on = web_table(layer)
    if anew:
        made += [
            SQL("CREATE TABLE {} (\n  {}\n)").format(on, SQL(",\n  ").join(_columns(layer))),
            SQL("CREATE INDEX ON {} USING gist ({})").format(on, column(GEOMETRY)),
            SQL("GRANT SELECT ON {} TO {}, {}").format(on, Identifier(READER), Identifier(MEMBER)),
        ]
    made += [_keeper(layer), _filler(layer)]
    made.append(_call("web_attach", layer.id))
    if anew:
        made.append(_call("web_restart", layer.id))
    return made


def web_drop_statement(layer_id: str) -> Composed:
    """Take the web table away, with its triggers; without an error where there is none."""
    return _call("web_drop", layer_id)


def web_swap_statement(layer_id: str) -> Composed:
    """After another table was put in the layer's place: all of it is to be filled."""
    return _call("web_swapped", layer_id)


def _call(name: str, layer_id: str) -> Composed:
    return SQL("SELECT {}({})").format(Identifier(OWN, name), Literal(layer_id))


def _columns(layer: Layer) -> list[Composable]:
    attributes = [SQL("{} {}").format(column(f.name), SQL(_TYPES[f.type][0])) for f in web_fields(layer)]
    return [
        SQL("fid bigint PRIMARY KEY"),
        SQL("{} real NOT NULL").format(column(CLEAR)),
        *attributes,
        SQL("{} public.geometry NOT NULL").format(column(GEOMETRY)),
        SQL("{} text NOT NULL").format(column(FEATURE)),
    ]


def _names(layer: Layer) -> list[str]:
    return ["fid", CLEAR, *(f.name for f in web_fields(layer)), GEOMETRY, FEATURE]


def _select(layer: Layer, source: Composable) -> Composed:
    """``SELECT`` of web rows from rows of the layer's table: ``source``, called r."""
    alias = "r"
    geom = column(GEOMETRY, alias)
    # A height would move the point by a millimetre in the datum shift (crs.md).
    flat = (
        SQL("public.ST_Force2D({})").format(geom) if layer.definition.z != "none" else SQL("{}").format(geom)
    )
    web = SQL("public.ST_Transform({}, {})").format(flat, Literal(WEB_MERCATOR))
    if layer.dimension in (2, -1):
        web = SQL("public.ST_ForcePolygonCW({})").format(web)
    degrees = SQL("public.ST_Transform({}, {})").format(geom, Literal(WGS84))
    values: list[Composable] = [
        column("fid", alias),
        _clearance(layer),
        *(tile_text(f, column(f.name, alias)) for f in web_fields(layer)),
        SQL("m.geom"),
        feature_text(alias, geometry_text(degrees), public_names(layer)),
    ]
    return SQL("SELECT {} FROM {} AS {}, LATERAL (SELECT {} AS geom OFFSET 0) AS m").format(
        SQL(", ").join(values), source, Identifier(alias), web
    )


def _clearance(layer: Layer) -> Composable:
    # Points and lines have no rings that could come to touch. A ring that touches already has none to lose.
    free = SQL("'infinity'::real")
    if layer.dimension in (0, 1):
        return free
    rings = SQL(
        "CASE WHEN public.ST_NPoints(m.geom) <= {} AND public.ST_IsValidReason(m.geom) = 'Valid Geometry'"
        " THEN least(public.ST_MinimumClearance(m.geom), 1e30)::real ELSE 0 END"
    ).format(Literal(_MOST_VERTICES))
    if layer.dimension == 2:
        return rings
    return SQL(
        "CASE WHEN public.GeometryType(m.geom) LIKE '%POLYGON' THEN {}"
        " WHEN public.GeometryType(m.geom) = 'GEOMETRYCOLLECTION' THEN 0 ELSE {} END"
    ).format(rings, free)


_SETTINGS = SQL(
    "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET \"TimeZone\" = 'UTC'"
    " SET extra_float_digits = 1"
)


def _keeper(layer: Layer) -> Composed:
    """The function of the triggers."""
    names = _names(layer)
    on = web_table(layer)
    upsert = SQL(
        "INSERT INTO {on} ({names}) {rows} ON CONFLICT (fid) DO UPDATE SET ({others}) = ({excluded})"
    ).format(
        on=on,
        names=SQL(", ").join(map(column, names)),
        rows=_select(layer, SQL("new_rows")),
        others=SQL(", ").join(map(column, names[1:])),
        excluded=SQL(", ").join(column(name, "excluded") for name in names[1:]),
    )
    body = SQL(
        """
DECLARE
    rows bigint;
    low bigint;
    high bigint;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM bandoso.web_restart({name});
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        SELECT count(*), min(fid), max(fid) INTO rows, low, high FROM new_rows;
    ELSE
        SELECT count(*), min(fid), max(fid) INTO rows, low, high FROM old_rows;
    END IF;
    IF rows = 0 THEN
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM bandoso.web_gap WHERE layer = {name}) THEN
        PERFORM bandoso.web_gap_hold({name}, low, high);
    END IF;
    IF TG_OP = 'DELETE' THEN
        DELETE FROM {on} AS w USING old_rows AS o WHERE w.fid = o.fid;
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        -- Of very many, and where fids may have changed: taken away, then made anew.
        IF rows > {most} OR {moved} THEN
            DELETE FROM {on} AS w USING old_rows AS o WHERE w.fid = o.fid;
            SELECT min(fid), max(fid) INTO low, high FROM new_rows;
            PERFORM bandoso.web_gap_hold({name}, low, high);
        END IF;
    END IF;
    IF rows > {most} THEN
        PERFORM bandoso.web_gap_add({name}, low, high);
        RETURN NULL;
    END IF;
    {upsert};
    RETURN NULL;
END
"""
    ).format(name=Literal(layer.id), on=on, most=Literal(MOST_AT_ONCE), moved=_may_move(layer), upsert=upsert)
    keeper = Identifier(WEB, f"{layer.id}__keep")
    return _function(keeper, SQL("() RETURNS trigger"), body, SQL("()"))


def _may_move(layer: Layer) -> Composed:
    """Whether fids of an UPDATE may have changed: bandoso.stamp_version lets nobody do that but loads."""
    looked = SQL(
        "EXISTS (SELECT FROM old_rows AS o WHERE NOT EXISTS (SELECT FROM new_rows AS n WHERE n.fid = o.fid))"
    )
    if not (layer.definition.history or layer.definition.editable):
        return Composed([looked])
    # no CASE: PL/pgSQL takes its THEN for that of IF
    return SQL("(current_setting('bandoso.loading', true) = 'on' AND {})").format(looked)


def _filler(layer: Layer) -> Composed:
    """``web.<layer>__fill(first, last)``: fills what has no row yet; gives how many."""
    # In the order of the Hilbert curve (which is how geometries sort): a tile then reads few pages.
    body = SQL(
        """
DECLARE
    done bigint;
BEGIN
    INSERT INTO {on} ({names}) SELECT * FROM ({rows} WHERE r.fid BETWEEN first AND last) AS made
    ORDER BY geom, fid ON CONFLICT (fid) DO NOTHING;
    GET DIAGNOSTICS done = ROW_COUNT;
    RETURN done;
END
"""
    ).format(
        on=web_table(layer),
        names=SQL(", ").join(map(column, _names(layer))),
        rows=_select(layer, Identifier(LAYERS, layer.id)),
    )
    filler = Identifier(WEB, f"{layer.id}__fill")
    return _function(filler, SQL("(first bigint, last bigint) RETURNS bigint"), body, SQL("(bigint, bigint)"))


def _function(name: Identifier, signature: SQL, body: Composed, arguments: SQL) -> Composed:
    return SQL("CREATE OR REPLACE FUNCTION {}{} {} AS {}; REVOKE ALL ON FUNCTION {}{} FROM PUBLIC").format(
        name, signature, _SETTINGS, Literal(body.as_string(None)), name, arguments
    )
