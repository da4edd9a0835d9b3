"""What is asked of the database for a layer: features in a box, cut to it, with what the style reads of them.

Rows come in order of fid, so the same data gives the same drawing. Large features are cut by PostGIS, so that
a river's 100,000 vertices do not travel for the ten of them that are in the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from gis.crs import WEB_MERCATOR, transform_box
from gis.db.low import low_table
from gis.db.sql import column, table
from gis.print.order import Condition
from gis.print.sheet import Ground
from layers.registry import Layer

#: Units around the window in which features are drawn: half an icon may reach into it.
MARGIN: Final = 600
#: Letters of an attribute that are read.
LETTERS: Final = 200
#: Vertices from which on a feature that crosses the window's edge is cut.
_CUT_FROM: Final = 24

_KINDS: Final = {
    "date": sql.SQL("to_char({}, 'YYYY-MM-DD')"),
    "datetime": sql.SQL("to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD')"),
    "string": sql.SQL("left({}, {})"),
}


@dataclass(frozen=True)
class Statement:
    """Columns: the geometry as WKB in the storage CRS, then the attributes that were asked for."""

    text: sql.Composed
    values: dict[str, object]


def statement(
    layer: Layer, ground: Ground, names: Sequence[str], condition: Condition | None = None
) -> Statement:
    """What of the layer is in the window. ``names``: attributes; those that the caller may not see are null.

    At low zooms what stands for the features in tiles (gis.db.low) is read in their place, unless the caller
    narrows the layer down or sees more of it than others.
    """
    zoom = int(ground.zoom)
    level = layer.definition.tiles.level(zoom)
    if level is not None and condition is None and not layer.revealed:
        return _low(layer, ground, names, level.zooms[0], level.attributes, zoom)
    values = _corners(*ground.wider(MARGIN))
    conditions: list[sql.Composable] = [sql.SQL("geom && {}").format(_BOX.format(sql.Literal(ground.crs)))]
    conditions += _hidden(layer, zoom, values)
    if condition is not None:
        conditions.append(
            sql.SQL("({})").format(sql.SQL(condition.text))
        )  # composed by the filters' compiler
        values |= condition.values
    shown = {f.name for f in layer.public_fields}
    text = sql.SQL("SELECT {}{} FROM {} WHERE {} ORDER BY fid").format(
        _geometry(layer, ground),
        sql.SQL("").join(_attribute(layer, name, name in shown) for name in names),
        table(layer),
        sql.SQL(" AND ").join(conditions),
    )
    return Statement(text, values)


#: The box that is read.
_BOX: Final = sql.SQL(
    "ST_MakeEnvelope(%(west)s::float8, %(south)s::float8, %(east)s::float8, %(north)s::float8, {})"
)


def _corners(west: float, south: float, east: float, north: float) -> dict[str, object]:
    return {"west": west, "south": south, "east": east, "north": north}


def _geometry(layer: Layer, ground: Ground) -> sql.Composable:
    if layer.definition.geometry == "Point":
        return sql.SQL("ST_AsBinary(ST_Force2D(geom))")
    return sql.SQL(
        "ST_AsBinary(CASE WHEN ST_NPoints(geom) < {least} OR geom @ {box} THEN ST_Force2D(geom)"
        " ELSE ST_ClipByBox2D(ST_Force2D(geom), {box}) END)"
    ).format(least=sql.Literal(_CUT_FROM), box=_BOX.format(sql.Literal(ground.crs)))


def _attribute(layer: Layer, name: str, shown: bool) -> sql.Composable:
    f = layer.field(name)
    if f is None or not shown:
        return sql.SQL(", NULL::text")
    form = _KINDS.get(f.type, sql.SQL("{}"))
    return sql.SQL(", ") + form.format(column(name), sql.Literal(LETTERS))


def _hidden(layer: Layer, zoom: int, values: dict[str, object]) -> list[sql.Composable]:
    """The condition of ``tiles.zooms_by`` at this zoom, if it hides anything there."""
    chosen = layer.tile_filter(zoom)
    if chosen is None:
        return []
    f = layer.field(chosen.field)
    text: sql.Composable = column(chosen.field)
    if f is None or f.type == "string":
        values["named"] = [str(v) for v in chosen.values]
        kind = sql.SQL("text[]")
    else:
        values["named"] = [float(v) for v in chosen.values]
        text, kind = sql.SQL("{}::float8").format(text), sql.SQL("float8[]")
    form = "({0} IS NULL OR {0} <> ALL (%(named)s::{1}))" if chosen.others else "{0} = ANY (%(named)s::{1})"
    return [sql.SQL(form).format(text, kind)]


def _low(
    layer: Layer,
    ground: Ground,
    names: Sequence[str],
    level: int,
    kept: Sequence[str] | None,
    zoom: int,
) -> Statement:
    """What stands for the features at this zoom: rows of web.<layer>__low, in Web Mercator."""
    shown = {f.name for f in layer.public_fields} & set(kept if kept is not None else layer.tile_fields(zoom))
    box = transform_box(ground.wider(MARGIN), ground.crs, WEB_MERCATOR).bounds
    values = _corners(*box)
    there = _BOX.format(sql.Literal(WEB_MERCATOR))
    # the level is written out: each has an index of its own
    conditions: list[sql.Composable] = [
        sql.SQL("low__level = {} AND geom && {}").format(sql.Literal(level), there)
    ]
    conditions += _hidden(layer, zoom, values)
    text = sql.SQL(
        "SELECT ST_AsBinary(ST_Transform(CASE WHEN ST_NPoints(geom) < {least} OR geom @ {there} THEN geom"
        " ELSE ST_ClipByBox2D(geom, {there}) END, {crs})){attributes} FROM {low} WHERE {conditions}"
        " ORDER BY low__cell, low__n"
    ).format(
        least=sql.Literal(_CUT_FROM),
        there=there,
        crs=sql.Literal(ground.crs),
        attributes=sql.SQL("").join(_low_attribute(name, name in shown) for name in names),
        low=low_table(layer.id),
        conditions=sql.SQL(" AND ").join(conditions),
    )
    return Statement(text, values)


def _low_attribute(name: str, shown: bool) -> sql.Composable:
    return sql.SQL(", {}").format(column(name)) if shown else sql.SQL(", NULL::text")
