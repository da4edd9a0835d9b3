"""A layer's features in tile units, from its web table (gis.db.web).

What lies wholly inside the buffered tile is scaled and rounded, and nothing else is done to it: its rings
have their direction already, and its clearance says that they stay valid (a third of the time of
ST_AsMVTGeom, which repairs every polygon). What crosses the edge is clipped as ever.

Features that have no row in the web table yet come from the layer's own table. That branch stands behind a
condition that is worked out once a tile, and is false unless the layer has gaps. It is written before the
other one: tables are locked in the order of the text, and writers too lock the layer's table first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from psycopg import sql

from gis.crs import WEB_MERCATOR
from gis.db.sql import column, table
from gis.db.web import CLEAR, tile_text, web_table
from layers.registry import Layer
from tiles.grid import EXTENT, HALF

#: Stands before a statement that has a ``web_part``. It names all parameters, whose types PostgreSQL
#: has to know, used or not.
GAPS = sql.SQL(
    "WITH gaps AS MATERIALIZED (SELECT DISTINCT layer FROM bandoso.web_gap"
    " WHERE $1::geometry IS NOT NULL AND $2::box2d IS NOT NULL AND $3::float8 IS NOT NULL) "
)

#: The tile's box2d in EPSG:3857, and its envelope in the storage CRS, as tiles.query binds them.
_TARGET = sql.SQL("$2::box2d")
_STORED = sql.SQL("$1::geometry")

#: Rounding moves a vertex by at most half a diagonal of a unit; a little is left for the arithmetic.
_CLEAR_UNITS = math.sqrt(2) * 1.01
#: Two numbers so far apart never round to the same one.
_APART = 1.1


def web_part(
    layer: Layer, z: int, attributes: Sequence[str], conditions: Sequence[sql.Composable], most: int
) -> sql.Composed:
    """``SELECT fid, attributes, geom``: geometry in tile units, NULL where nothing is in the tile.

    At most ``most`` rows, in order of fid. ``conditions``: which features this level shows.
    """
    unit = 2 * HALF / (1 << z) / EXTENT
    buffer = layer.definition.tiles.buffer
    around = sql.SQL("ST_SetSRID(ST_Expand({}, {})::geometry, {})").format(
        _TARGET, sql.Literal(buffer * unit), sql.Literal(WEB_MERCATOR)
    )
    names = sql.SQL("").join(sql.SQL(", {}").format(column(name)) for name in attributes)
    fields = {f.name: f for f in layer.fields}
    texts = sql.SQL("").join(
        sql.SQL(", {} AS {}").format(tile_text(fields[name], column(name)), column(name))
        for name in attributes
    )
    flat = sql.SQL("geom" if layer.definition.z == "none" else "ST_Force2D(geom)")
    more = sql.SQL("").join(sql.SQL(" AND {}").format(c) for c in conditions)
    return sql.SQL(
        "SELECT fid{names}, {shape} AS geom FROM (SELECT fid{names}, geom, _clear, ST_TransScale(geom,"
        " (SELECT -ST_XMin({target})), (SELECT -ST_YMax({target})), {scale}, -{scale}) AS _units FROM ("
        "SELECT fid{texts}, ST_Transform({flat}, {mercator}) AS geom, 0::real AS _clear FROM {table} AS t"
        " WHERE EXISTS (SELECT FROM gaps WHERE layer = {id}) AND geom && {stored}{more}"
        " AND (SELECT w.fid FROM {web} AS w WHERE w.fid = t.fid) IS NULL"
        " UNION ALL SELECT fid{names}, geom, {clear} FROM {web} WHERE geom && {around}{more}"
        ") AS either ORDER BY fid LIMIT {most}) AS found"
    ).format(
        names=names,
        shape=_shape(layer, unit, buffer),
        target=_TARGET,
        scale=sql.Literal(1 / unit),
        texts=texts,
        flat=flat,
        mercator=sql.Literal(WEB_MERCATOR),
        table=table(layer),
        id=sql.Literal(layer.id),
        stored=_STORED,
        more=more,
        web=web_table(layer),
        clear=column(CLEAR),
        around=around,
        most=sql.Literal(most),
    )


def _shape(layer: Layer, unit: float, buffer: int) -> sql.Composed:
    inside = sql.SQL("ST_MakeEnvelope({0}, {0}, {1}, {1}, {2})").format(
        sql.Literal(-buffer), sql.Literal(EXTENT + buffer), sql.Literal(WEB_MERCATOR)
    )
    rounded: sql.Composable = sql.SQL("ST_SnapToGrid(_units, 1)")
    clipped = sql.SQL("ST_AsMVTGeom({}, {}, {}, {}, true)")

    def clip(what: sql.Composable) -> sql.Composed:
        return clipped.format(what, _TARGET, sql.Literal(EXTENT), sql.Literal(buffer))

    if layer.dimension == 0:
        # what is not rounded is outside
        return sql.SQL("CASE WHEN _units @ {} THEN {} END").format(inside, rounded)
    stroke = sql.SQL("ST_BoundingDiagonal({})")
    grown = sql.SQL("ST_Expand(geom, {})").format(sql.Literal(unit / 2))
    small = {
        2: clip(sql.SQL("ST_Envelope({})").format(grown)),
        1: clip(stroke.format(grown)),
    }
    instead: sql.Composable = small.get(layer.dimension) or sql.SQL(
        "CASE ST_Dimension(geom) WHEN 2 THEN {} WHEN 1 THEN {} END"
    ).format(small[2], small[1])
    # Rounding makes what is smaller than a unit vanish. It is drawn as a box or a stroke of one or two units
    # instead: a city's cabinets must not thin out because they are small.
    slow = sql.SQL(
        "COALESCE({}, CASE WHEN ST_XMax(_units) - ST_XMin(_units) < 1"
        " AND ST_YMax(_units) - ST_YMin(_units) < 1 THEN {} END)"
    ).format(clip(sql.SQL("geom")), instead)
    scaled = rounded
    if layer.dimension != 2:
        # A line that rounding makes vanish is empty then, not NULL.
        short = sql.SQL("ST_SnapToGrid({}, 1)").format(
            stroke.format(sql.SQL("ST_Expand(_units, {})").format(sql.Literal(_APART / 2)))
        )
        scaled = sql.SQL("CASE WHEN ST_IsEmpty({0}) THEN {1} ELSE {0} END").format(rounded, short)
    return sql.SQL("CASE WHEN _clear > {} AND _units @ {} THEN {} ELSE {} END").format(
        sql.Literal(_CLEAR_UNITS * unit), inside, scaled, slow
    )
