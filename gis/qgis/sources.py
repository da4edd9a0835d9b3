"""Layers of a project: features over OGC API Features, and vector tiles under them."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode
from xml.etree.ElementTree import Element, SubElement

from gis import crs
from gis.crs import Box
from gis.qgis.forms import Owners, form
from gis.qgis.parts import CRS84, rectangle, reference, text
from gis.qgis.symbols import KINDS, classes, label_settings, literal, quoted, renderer, scale_of, symbol
from layers.registry import Layer
from tiles.grid import SOURCE_MAX_ZOOM

_GEOMETRY = {0: "Point", 1: "Line", 2: "Polygon", -1: "Point"}
#: Features come a thousand at a time: from afar the tiles show them.
NEAREST_FIRST, NEAREST_LAST = 13, 16


def features_source(layer: Layer, url: str, code: int, authcfg: str | None) -> str:
    """The connection of a layer, as QGIS writes it. ``code``: CRS of the coordinates, CRS84 or EPSG."""
    name = "OGC:CRS84" if code == CRS84 else f"EPSG:{code}"
    parts = {
        "pagingEnabled": "default",
        "preferCoordinatesForWfsT11": "false",
        "restrictToRequestBBOX": "1",
        "srsname": name,
        "typename": layer.id,
        "url": url,
        "version": "OGC_API_FEATURES",
    }
    made = " ".join(f"{key}='{_escaped(value)}'" for key, value in parts.items())
    return f"{made} authcfg={authcfg}" if authcfg else made


def tiles_source(url: str, style: str, layers: Sequence[Layer] | None, authcfg: str | None) -> str:
    """The connection of vector tiles. ``layers`` None: all."""
    query = "?collections=" + ",".join(layer.id for layer in layers) if layers else ""
    parts = {
        "type": "xyz",
        "url": f"{url}/tiles/WebMercatorQuad/{{z}}/{{y}}/{{x}}{query}",
        "zmin": "0",
        "zmax": str(SOURCE_MAX_ZOOM),
        "styleUrl": f"{url}/styles/{style}",
        **({"authcfg": authcfg} if authcfg else {}),
    }
    return urlencode(parts, safe="{}:/")


def near(layer: Layer) -> int:
    """The zoom from which features are asked for."""
    tiles = layer.definition.tiles
    first = max([tiles.min_zoom, *(tiles.zooms_by.zooms.values() if tiles.zooms_by else ())])
    return max(NEAREST_FIRST, min(int(first) + 2, NEAREST_LAST))


def features_layer(
    parent: Element,
    layer: Layer,
    *,
    key: str,
    source: str,
    code: int,
    extent: Box,
    language: str,
    owners: Owners,
    read_only: bool,
) -> None:
    """``<maplayer>`` of a layer's features. ``extent`` in degrees."""
    title, other = (
        str(getattr(layer.title, name)) for name in (language, "en" if language == "vi" else "vi")
    )
    made = SubElement(
        parent,
        "maplayer",
        type="vector",
        geometry=_GEOMETRY[layer.dimension],
        wkbType=layer.definition.geometry,
        readOnly="1" if read_only else "0",
        hasScaleBasedVisibilityFlag="1",
        minScale=f"{scale_of(near(layer)):.0f}",
        maxScale="0",
        labelsEnabled="1" if layer.definition.style.label else "0",
        styleCategories="AllStyleCategories",
        autoRefreshEnabled="0",
        refreshOnNotifyEnabled="0",
        simplifyDrawingHints="1" if layer.dimension > 0 else "0",
        symbologyReferenceScale="-1",
    )
    if code == CRS84:
        rectangle(made, "extent", extent)
    else:
        shape = crs.transform_box(extent, crs.WGS84, code, 1.0)
        rectangle(made, "extent", shape.bounds)
    text(made, "id", key)
    text(made, "datasource", source)
    text(made, "layername", title)
    text(made, "title", title)
    about = layer.definition.description
    text(made, "abstract", " - ".join([other, *([str(getattr(about, language))] if about else [])]))
    reference(SubElement(made, "srs"), code)
    text(made, "provider", "OAPIF", encoding="UTF-8")
    flags = SubElement(made, "flags")
    for name, value in (("Identifiable", 1), ("Removable", 1), ("Searchable", 1), ("Private", 0)):
        text(flags, name, value)
    renderer(made, layer, language)
    label = layer.definition.style.label
    if label:
        label_settings(SubElement(made, "labeling", type="simple"), layer, label, language)
    text(made, "blendMode", 0)
    text(made, "featureBlendMode", 0)
    text(made, "layerOpacity", 1)
    form(made, layer, language, owners)


def tiles_layer(
    parent: Element,
    *,
    key: str,
    title: str,
    source: str,
    layers: Sequence[Layer],
    language: str,
    opacity: float,
) -> None:
    """``<maplayer>`` of vector tiles with the styles of the layers in them."""
    made = SubElement(
        parent,
        "maplayer",
        type="vector-tile",
        hasScaleBasedVisibilityFlag="0",
        minScale="1e+08",
        maxScale="0",
        styleCategories="AllStyleCategories",
    )
    text(made, "id", key)
    text(made, "datasource", source)
    text(made, "layername", title)
    reference(SubElement(made, "srs"), crs.WEB_MERCATOR)
    text(made, "provider", "vectortile")
    flags = SubElement(made, "flags")
    for name, value in (("Identifiable", 1), ("Removable", 1), ("Searchable", 0), ("Private", 0)):
        text(flags, name, value)
    ordered = sorted(layers, key=lambda layer: layer.definition.style.order)
    styles = SubElement(SubElement(made, "renderer", type="basic"), "styles")
    for layer in ordered:
        for dimension in (2, 1, 0) if layer.dimension < 0 else (layer.dimension,):
            _tile_styles(styles, layer, dimension, language)
    labels = SubElement(SubElement(made, "labeling", type="basic"), "styles")
    for layer in ordered:
        label = layer.definition.style.label
        if label:
            one = _tile_style(labels, layer, max(layer.dimension, 0), "", layer.id, label.min_zoom)
            label_settings(one, layer, label, language)
    text(made, "blendMode", 0)
    text(made, "layerOpacity", opacity)


def _tile_styles(parent: Element, layer: Layer, dimension: int, language: str) -> None:
    kind = KINDS[dimension]
    shapes = {"marker": "Point", "line": "Line", "fill": "Polygon"}
    only = f"geometry_type($geometry) = {literal(shapes[kind])}"
    chosen = layer.definition.style.classes
    every = classes(layer, language)
    named = [literal(one.value) for one in every if one.value is not None]
    for one in every:
        expression = only
        if chosen is not None:
            field = f"to_string({quoted(chosen.field)})"
            those = f"{field} = {literal(one.value)}"
            if one.value is None:
                those = f"({quoted(chosen.field)} IS NULL OR {field} NOT IN ({', '.join(named)}))"
            expression = f"{only} AND {those}"
        name = layer.id if one.value is None else f"{layer.id} {one.title}"
        made = _tile_style(parent, layer, dimension, expression, name, layer.definition.tiles.min_zoom)
        symbol(SubElement(made, "symbols"), "0", layer, dimension, one.colour)


def _tile_style(
    parent: Element, layer: Layer, dimension: int, expression: str, name: str, first: int
) -> Element:
    attributes = {
        "name": name,
        "layer": layer.id,
        "geometry": str(dimension),
        "enabled": "1" if layer.definition.loadable else "0",
        "expression": expression,
        "min-zoom": str(first),
        "max-zoom": "-1",
    }
    return SubElement(parent, "style", attributes)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")
