"""MapLibre styles from the layers' definitions: the city's, and one for each sector. Pure.

Every style layer is named ``<layer id>-<part>`` and says in its metadata which layer it draws; the parts
are far, fill, outline, uncertain, line, line-planned, line-retired, arrow, point, icon and label. Order:
``style.order`` of the definitions; all labels above everything else, those that appear from afar on top.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gis.crs import Box
from layers.registry import Catalogue, Layer
from tiles.expressions import Expression, by_zoom, key, match, total
from tiles.grid import SOURCE_MAX_ZOOM
from tiles.legend import class_value, legend
from tiles.query import attributes
from tiles.tilejson import text_in, zooms

__all__ = ["CITY", "legend", "make_style", "style_ids", "style_layer_ids", "style_layers"]

#: Id of the style with all layers; every sector's id is a style too.
CITY = "city"
SOURCE = "city"
FONT = "Be Vietnam Pro Regular"
BACKGROUND = "#f5f3ee"

#: Not yet there, and no longer in use: drawn lighter and dashed, so that nobody takes them for the network.
PLANNED = ("proposed", "under_construction")
RETIRED = ("abandoned", "removed")
#: Levels of PAS 128 at which nobody has seen or measured where the line lies.
UNCERTAIN = ("B4", "C", "D")
QUALITY = "quality_level"
_PLANNED_DASH = [2.0, 2.0]
_RETIRED_DASH = [1.0, 3.0]

StyleLayer = dict[str, Any]


def style_ids(catalogue: Catalogue) -> dict[str, tuple[Layer, ...]]:
    """Style id -> its layers: the city's, then those of the sectors that have public layers."""
    public = catalogue.public()
    found = {CITY: public}
    for sector in catalogue.sectors:
        layers = tuple(layer for layer in public if layer.sector.id == sector.id)
        if layers:
            found[sector.id] = layers
    return found


def make_style(
    style_id: str,
    layers: Sequence[Layer],
    *,
    name: str,
    base_url: str,
    extent: Box,
    view: tuple[float, float, float],
    language: str,
) -> dict[str, Any]:
    """A MapLibre style (version 8) of the layers, with absolute addresses under ``base_url``.

    ``extent`` bounds what is asked for (degrees, CRS84), ``view`` is longitude, latitude, zoom.
    """
    first, _last = zooms(layers)
    template = f"{base_url}/tiles/WebMercatorQuad/{{z}}/{{y}}/{{x}}"
    if style_id != CITY:
        template += "?collections=" + ",".join(layer.id for layer in layers)
    # Sorting keeps the catalogue's order where style.order is the same.
    ordered = sorted(layers, key=lambda layer: layer.definition.style.order)
    drawn = [one for layer in ordered for one in style_layers(layer, language)]
    labels = [one for one in drawn if one["id"].endswith("-label")]
    # MapLibre places the last ones first: a street's name, shown from afar, goes before a pipe's diameter.
    labels.sort(key=lambda one: -one["minzoom"])
    drawn = [one for one in drawn if not one["id"].endswith("-label")] + labels
    # A sector's style is laid over other maps, so it covers nothing.
    paper = [{"id": "background", "type": "background", "paint": {"background-color": BACKGROUND}}]
    # A map that wants to show something soon asks for these layers' tiles first (?collections=).
    ground = [layer.id for layer in layers if layer.definition.tiles.ground]
    return {
        "version": 8,
        "name": name,
        "metadata": {"bandoso:style": style_id, "bandoso:language": language, "bandoso:ground": ground},
        "center": list(view[:2]),
        "zoom": view[2],
        "sources": {
            SOURCE: {
                "type": "vector",
                "tiles": [template],
                "minzoom": first,
                "maxzoom": SOURCE_MAX_ZOOM,
                "bounds": list(extent),
            }
        },
        "sprite": f"{base_url}/sprites/bandoso",
        "glyphs": f"{base_url}/fonts/{{fontstack}}/{{range}}.pbf",
        "layers": (paper if style_id == CITY else []) + drawn,
    }


def style_layer_ids(layer: Layer) -> list[str]:
    """Ids of the style layers that draw a layer, in drawing order."""
    return [str(one["id"]) for one in style_layers(layer, "en")]


def style_layers(layer: Layer, language: str) -> list[StyleLayer]:
    """The style layers of one layer, in drawing order, its label last."""
    style = layer.definition.style
    found: list[StyleLayer] = []
    if layer.dimension in (2, -1):
        found += _polygons(layer)
    if layer.dimension in (1, -1):
        found += _lines(layer)
    if layer.dimension in (0, -1):
        found += _points(layer)
    if style.label and style.label.field in attributes(layer, style.label.min_zoom):
        found.append(_label(layer, language))
    return found


def _base(layer: Layer, part: str, kind: str, *conditions: Expression) -> StyleLayer:
    tiles = layer.definition.tiles
    one: StyleLayer = {
        "id": f"{layer.id}-{part}",
        "type": kind,
        "metadata": {"bandoso:layer": layer.id, "bandoso:sector": layer.sector.id},
        "source": SOURCE,
        "source-layer": layer.id,
        "minzoom": tiles.min_zoom,
        "layout": {},
        "paint": {},
    }
    if tiles.max_zoom < SOURCE_MAX_ZOOM:
        one["maxzoom"] = tiles.max_zoom + 1
    if conditions:
        one["filter"] = conditions[0] if len(conditions) == 1 else ["all", *conditions]
    if not layer.definition.loadable:  # sheet indexes and the like are there to be switched on
        one["layout"]["visibility"] = "none"
    return one


def _only(layer: Layer, name: str) -> list[Expression]:
    """A filter by kind of geometry, for layers that hold several."""
    return [["in", ["geometry-type"], ["literal", [name, f"Multi{name}"]]]] if layer.dimension < 0 else []


def _far(layer: Layer) -> Iterator[StyleLayer]:
    """Blocks that stand for features at low zooms (``style.far``); the others begin where these end."""
    style, far = layer.definition.style, layer.definition.style.far
    if far is None:
        return
    end = layer.definition.tiles.first_plain
    fill = _base(layer, "far", "fill")
    opacity = style.fill_opacity if far.fill_opacity is None else far.fill_opacity
    classes, colour = far.classes or style.classes, far.colour or style.colour
    fill["maxzoom"] = end
    fill["paint"] = {
        "fill-color": match(class_value(layer, classes), classes, colour) if classes else colour,
        "fill-opacity": by_zoom(opacity),
        # neighbours of one colour show no seam between them
        "fill-antialias": False,
    }
    yield fill
    if far.outline and far.outline_width:
        outline = _base(layer, "far-outline", "line")
        outline["maxzoom"] = end
        outline["paint"] = {"line-color": far.outline, "line-width": by_zoom(far.outline_width)}
        yield outline


def _polygons(layer: Layer) -> Iterator[StyleLayer]:
    yield from _far(layer)
    for one in _near(layer):
        if layer.definition.style.far:
            one["minzoom"] = layer.definition.tiles.first_plain
        yield one


def _near(layer: Layer) -> Iterator[StyleLayer]:
    style = layer.definition.style
    if style.fill_opacity > 0:
        fill = _base(layer, "fill", "fill", *_only(layer, "Polygon"))
        fill["paint"] = {
            "fill-color": _colour(layer),
            "fill-opacity": _opacity(layer, style.fill_opacity * style.opacity),
        }
        yield fill
    widest = (
        max(style.outline_width.values()) if isinstance(style.outline_width, dict) else style.outline_width
    )
    if widest > 0 and (style.outline or style.dash or style.fill_opacity == 0):
        outline = _base(layer, "outline", "line", *_only(layer, "Polygon"))
        outline["layout"]["line-join"] = "round"
        outline["paint"] = {
            "line-color": style.outline or _colour(layer),
            "line-width": by_zoom(style.outline_width),
            "line-opacity": _opacity(layer, style.opacity),
        }
        if style.dash:
            outline["paint"]["line-dasharray"] = list(style.dash)
        yield outline


def _lines(layer: Layer) -> Iterator[StyleLayer]:
    style = layer.definition.style
    only = _only(layer, "LineString")
    if style.outline and layer.dimension == 1:  # a casing: the line, wider, underneath
        casing = _base(layer, "outline", "line", *only)
        casing["layout"] |= {"line-cap": "round", "line-join": "round"}
        casing["paint"] = {
            "line-color": style.outline,
            "line-width": by_zoom(total(style.width, style.outline_width)),
            "line-opacity": _opacity(layer, style.opacity),
        }
        yield casing
    yield from _uncertain(layer, only)
    states: list[tuple[str, list[Expression], list[float] | None, float]]
    if _has_status(layer):
        status = ["get", "status"]
        others = ["!", ["in", status, ["literal", [*PLANNED, *RETIRED]]]]
        # Dashes cannot depend on a feature, so each state is a style layer of its own.
        states = [
            ("line-retired", [["in", status, ["literal", list(RETIRED)]]], _RETIRED_DASH, 0.5),
            ("line-planned", [["in", status, ["literal", list(PLANNED)]]], _PLANNED_DASH, 0.75),
            ("line", [others], list(style.dash) if style.dash else None, 1.0),
        ]
    else:
        states = [("line", [], list(style.dash) if style.dash else None, 1.0)]
    for part, conditions, dash, strength in states:
        line = _base(layer, part, "line", *only, *conditions)
        line["layout"] |= {"line-cap": "butt" if dash else "round", "line-join": "round"}
        line["paint"] = {
            "line-color": _colour(layer),
            "line-width": by_zoom(style.width),
            "line-opacity": round(style.opacity * strength, 3),
        }
        if dash:
            line["paint"]["line-dasharray"] = dash
        yield line
    yield from _arrows(layer, only)


def _uncertain(layer: Layer, only: list[Expression]) -> Iterator[StyleLayer]:
    """A blurred band beneath lines of a poor quality level: the line is somewhere in it.

    Dashes already say planned and retired, and a paler line would look like one further down.
    """
    tiles, style = layer.definition.tiles, layer.definition.style
    first = next((z for z, names in sorted(tiles.attributes.items()) if QUALITY in names), None)
    if first is None:
        return
    poor = ["in", ["get", QUALITY], ["literal", list(UNCERTAIN)]]
    there = ["!", ["in", ["get", "status"], ["literal", [*PLANNED, *RETIRED]]]]
    band = _base(layer, "uncertain", "line", *only, poor, *([there] if _has_status(layer) else []))
    band["minzoom"] = max(first, tiles.first_plain)
    band["layout"] |= {"line-cap": "butt", "line-join": "round"}
    band["paint"] = {
        "line-color": _colour(layer),
        "line-width": by_zoom(total(style.width, {16: 2.5, 18: 6.0, 20: 14.0})),
        "line-blur": by_zoom({16: 2.0, 18: 5.0, 20: 11.0}),
        "line-opacity": round(style.opacity * 0.38, 3),
    }
    yield band


def _arrows(layer: Layer, only: list[Expression]) -> Iterator[StyleLayer]:
    arrows = layer.definition.style.arrows
    if arrows is None:
        return
    conditions: list[Expression] = list(only)
    if arrows.field:
        conditions.append(["in", ["get", arrows.field], ["literal", ["forward", "backward"]]])
    conditions += [
        ["!", ["in", ["get", name], ["literal", list(values)]]] for name, values in arrows.unless.items()
    ]
    if _has_status(layer):
        conditions.append(["!", ["in", ["get", "status"], ["literal", [*PLANNED, *RETIRED]]]])
    one = _base(layer, "arrow", "symbol", *conditions)
    one["minzoom"] = max(arrows.min_zoom, layer.definition.tiles.first_plain)
    one["layout"] |= {
        "symbol-placement": "line",
        "symbol-spacing": 130,
        "icon-image": "flow_arrow",
        "icon-size": by_zoom({16: 0.45, 18: 0.75, 20: 1.0}),
        "icon-allow-overlap": True,
        "icon-ignore-placement": True,
        "icon-padding": 0,
    }
    if arrows.field:
        one["layout"]["icon-rotate"] = ["match", ["get", arrows.field], "backward", 180, 0]
    yield one


def _points(layer: Layer) -> Iterator[StyleLayer]:
    style = layer.definition.style
    point = _base(layer, "point", "circle", *_only(layer, "Point"))
    opacity = _opacity(layer, style.opacity)
    point["paint"] = {
        "circle-color": _colour(layer),
        "circle-radius": by_zoom(style.width),
        "circle-opacity": opacity,
        "circle-stroke-color": style.outline or "#ffffff",
        "circle-stroke-width": by_zoom(style.outline_width if style.outline else {14: 0.4, 18: 1.2}),
        "circle-stroke-opacity": opacity,
    }
    yield point
    image = _icon(layer)
    if image is None:
        return
    # From afar a circle says as much, and thousands of icons hide each other; a circle stays underneath
    # for classes without an icon, and where the sprite lacks one.
    icon = _base(layer, "icon", "symbol", *_only(layer, "Point"))
    first = layer.definition.tiles.min_zoom
    start = max(first, min(ICON_ZOOM, first + 2), MAJOR_ICON_ZOOM)
    icon["minzoom"] = start
    size = style.icon_size
    if not isinstance(size, dict):
        size = {start: round(0.55 * size, 3), start + 2: size}
    icon["layout"] |= {
        "icon-image": image,
        "icon-size": by_zoom(size),
        "icon-allow-overlap": True,
        "icon-ignore-placement": True,
    }
    icon["paint"] = {"icon-opacity": opacity}
    yield icon


#: From here on points are drawn with their icons; what is in the tiles from afar (works, substations) has
#: its icon earlier.
ICON_ZOOM = 16
MAJOR_ICON_ZOOM = 14


def _label(layer: Layer, language: str) -> StyleLayer:
    label = layer.definition.style.label
    assert label is not None
    one = _base(layer, "label", "symbol", ["has", label.field])
    one["minzoom"] = max(label.min_zoom, layer.definition.tiles.min_zoom)
    along = (label.placement or ("line" if layer.dimension == 1 else "point")) == "line"
    one["layout"] |= {
        "text-field": _text(layer, language),
        "text-font": [FONT],
        "text-size": by_zoom(label.size),
        "text-max-width": 9,
    }
    if along:
        one["layout"] |= {"symbol-placement": "line", "text-max-angle": 35, "symbol-spacing": 300}
    elif layer.dimension in (0, -1):
        one["layout"] |= {
            "text-variable-anchor": ["top", "bottom", "left", "right"],
            "text-radial-offset": 0.7,
            "text-justify": "auto",
        }
    one["paint"] = {"text-color": label.colour, "text-halo-color": "#ffffff", "text-halo-width": 1.3}
    return one


def _text(layer: Layer, language: str) -> Expression:
    label = layer.definition.style.label
    assert label is not None
    f = layer.field(label.field)
    value: Expression = ["to-string", ["get", label.field]]
    if f is not None and f.domain:
        titles = [p for v in layer.domain_of(f) for p in (str(v.value), text_in(v.title, language))]
        value = ["match", value, *titles, value] if titles else value
    if not (label.prefix or label.suffix):
        return value
    return [
        "concat",
        *([label.prefix] if label.prefix else []),
        value,
        *([label.suffix] if label.suffix else []),
    ]


def _colour(layer: Layer) -> Expression:
    style = layer.definition.style
    if not style.classes:
        return style.colour
    return match(class_value(layer), style.classes, style.colour)


def _icon(layer: Layer) -> Expression | None:
    style = layer.definition.style
    icons = style.classes.icons if style.classes else {}
    if not icons:
        return style.icon
    by_icon: dict[str, list[str]] = {}
    for value, icon in icons.items():
        by_icon.setdefault(icon, []).append(value)
    arms = [part for icon, values in by_icon.items() for part in (key(values), icon)]
    return ["match", class_value(layer), *arms, style.icon or ""]


def _has_status(layer: Layer) -> bool:
    return any("status" in names for names in layer.definition.tiles.attributes.values())


def _opacity(layer: Layer, opacity: float) -> Expression:
    """An opacity, less for what is planned or retired."""
    full = round(opacity, 3)
    if not _has_status(layer):
        return full
    return [
        "match",
        ["get", "status"],
        list(PLANNED),
        round(full * 0.7, 3),
        list(RETIRED),
        round(full * 0.4, 3),
        full,
    ]
