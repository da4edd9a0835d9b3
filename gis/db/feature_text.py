"""SQL of a feature as GeoJSON text: the same for what requests compute and what is stored (gis.db.web)."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from gis.db.sql import columns

#: Decimals of degrees: 0.1 mm on the ground.
DEGREE_DIGITS = sql.Literal(9)


def feature_text(alias: str, geometry: sql.Composable, names: Iterable[str]) -> sql.Composed:
    """The row of ``alias`` as a GeoJSON feature; ``geometry`` is SQL of a text, ``names`` are its properties.

    ``fid`` is the feature's id and is not repeated in properties. Texts depend on the session's TimeZone and
    extra_float_digits: UTC and 1 wherever they are made.
    """
    return sql.SQL(
        """'{{"type":"Feature","id":' || {}.fid || ',"geometry":' || {} || ',"properties":' || {} || '}}'"""
    ).format(sql.Identifier(alias), geometry, properties_text(alias, names))


def properties_text(alias: str, names: Iterable[str]) -> sql.Composable:
    """The columns of a row as a JSON object."""
    shown = [name for name in names if name != "fid"]
    if not shown:
        return sql.SQL("'{{}}'").format()
    # No field is called _p. A row of the wanted columns: json_build_object is slower and ends at 50 fields
    return sql.SQL("row_to_json((SELECT _p FROM (SELECT {}) AS _p))").format(columns(shown, alias))


def geometry_text(shape: sql.Composable, digits: sql.Literal = DEGREE_DIGITS) -> sql.Composed:
    """A geometry (SQL) as GeoJSON text."""
    # maxdecimaldigits, and 0: neither a bbox nor the crs member of 2008 in each geometry
    return sql.SQL("public.ST_AsGeoJSON({}, {}, 0)").format(shape, digits)
