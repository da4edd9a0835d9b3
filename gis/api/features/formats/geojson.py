"""GeoJSON and JSON-FG, written by PostGIS: SQL for the text of one feature, and what goes around it."""

from __future__ import annotations

from typing import Any, Final

import orjson
from psycopg import sql

from gis.api.features.params import View
from gis.api.features.query import digits, shape_of
from gis.db.feature_text import feature_text, geometry_text, properties_text
from gis.db.sql import table
from gis.db.web import FEATURE, has_web, public_names, web_table
from layers.model import FieldDef
from layers.registry import Layer

JSONFG_CLASSES: Final = ("http://www.opengis.net/spec/json-fg-1/1.0/conf/core",)


def geojson_feature(view: View, storage: int) -> sql.Composed:
    """SQL text of alias ``i`` as a GeoJSON feature. ``fid`` is its id and not repeated in properties."""
    shape = _geometry(view, storage) if view.geometry else sql.SQL("'null'")
    return feature_text("i", shape, (f.name for f in view.fields))


def is_stored(layer: Layer, view: View) -> bool:
    """Whether what is shown of each feature is what the layer's web table keeps as text."""
    names = tuple(f.name for f in view.fields)
    return has_web(layer) and view.geometry and is_wgs(view) and names == public_names(layer)


def stored_feature(layer: Layer) -> sql.Composed:
    """SQL text of alias ``i`` as it stands in the web table (``is_stored``); computed where it does not yet.

    Of ``i`` only its fid is used.
    """
    computed = feature_text("s", geometry_text(sql.SQL("ST_Transform(s.geom, 4326)")), public_names(layer))
    return sql.SQL(
        "COALESCE((SELECT w.{} FROM {} AS w WHERE w.fid = i.fid),"
        " (SELECT {} FROM {} AS s WHERE s.fid = i.fid))"
    ).format(sql.Identifier(FEATURE), web_table(layer), computed, table(layer))


def jsonfg_feature(layer: Layer, view: View, storage: int) -> sql.Composed:
    """SQL text of alias ``i`` as a JSON-FG feature.

    In CRS84 the geometry stands in ``geometry``, in any other CRS in ``place``; the other one is null.
    """
    shape = _geometry(view, storage) if view.geometry else sql.SQL("'null'")
    null = sql.SQL("'null'")
    wgs = is_wgs(view)
    return sql.SQL(
        """'{{"type":"Feature","id":' || i.fid || ',"featureType":"' || {} || '","time":' || {}"""
        """ || ',"place":' || {} || ',"geometry":' || {} || ',"properties":' || {} || '}}'"""
    ).format(
        sql.Literal(layer.id),
        _time(layer),
        null if wgs else shape,
        shape if wgs else null,
        _properties(view),
    )


def is_wgs(view: View) -> bool:
    """Whether coordinates are those of GeoJSON."""
    return view.crs.code == 4326 and not view.crs.swap


def jsonfg_head(layer: Layer, view: View) -> dict[str, Any]:
    """Members of a JSON-FG document beside those of GeoJSON."""
    head: dict[str, Any] = {"conformsTo": list(JSONFG_CLASSES), "featureType": layer.id}
    if layer.dimension >= 0:
        head["geometryDimension"] = layer.dimension
    if not is_wgs(view):
        head["coordRefSys"] = view.crs.uri
    return head


def collection(features: bytes | None, head: dict[str, Any], tail: dict[str, Any]) -> bytes:
    """A FeatureCollection around the joined texts of its features."""
    before = orjson.dumps({"type": "FeatureCollection", **head})[:-1]
    after = orjson.dumps(tail)[1:]
    return b"".join((before, b',"features":[\n', features or b"", b"\n],", after))


def feature(text: bytes, extra: dict[str, Any]) -> bytes:
    """One feature's text with further members at its end."""
    return b"".join((text[:-1], b",", orjson.dumps(extra)[1:])) if extra else text


def _geometry(view: View, storage: int) -> sql.Composed:
    return geometry_text(shape_of(view, storage), digits(view))


def _properties(view: View) -> sql.Composable:
    return properties_text("i", (f.name for f in view.fields))


def temporal_fields(layer: Layer) -> tuple[FieldDef, ...]:
    """The field of the feature's instant, or of its start and its end."""
    return tuple(f for name in layer.definition.temporal if (f := layer.field(name)) is not None)


def _time(layer: Layer) -> sql.Composed:
    """``time`` of JSON-FG from the layer's temporal fields; null when the feature has none."""
    fields = temporal_fields(layer)
    texts = []
    for f in fields:
        form = "{}::text" if f.type == "date" else """to_char({}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
        texts.append(sql.SQL(form).format(sql.Identifier("i", f.name)))
    if len(texts) == 1:
        kind = "date" if fields[0].type == "date" else "timestamp"
        return sql.SQL("""coalesce('{{"' || {} || '":"' || {} || '"}}', 'null')""").format(
            sql.Literal(kind), texts[0]
        )
    return sql.SQL(
        """CASE WHEN {a} IS NULL AND {b} IS NULL THEN 'null' ELSE"""
        """ '{{"interval":["' || coalesce({a}, '..') || '","' || coalesce({b}, '..') || '"]}}' END"""
    ).format(a=texts[0], b=texts[1])
