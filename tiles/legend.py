"""The legend of a layer, from its style: what the page draws beside a layer's title. Pure."""

from __future__ import annotations

import itertools
from typing import Any

from layers.model import ByZoom, ClassColours, Text
from layers.registry import Layer

#: The zoom at which a legend's widths are taken: a street and its pipes fill the screen.
ZOOM = 16

OTHER = Text(vi="Khác", en="Other")


def at(value: ByZoom, zoom: float) -> float:
    """A number by zoom at one zoom, as MapLibre interpolates it (linear, constant outside the stops)."""
    if not isinstance(value, dict):
        return float(value)
    stops = sorted(value.items())
    if zoom <= stops[0][0]:
        return float(stops[0][1])
    for (z0, v0), (z1, v1) in itertools.pairwise(stops):
        if zoom <= z1:
            return v0 + (v1 - v0) * (zoom - z0) / (z1 - z0)
    return float(stops[-1][1])


def kind_of(layer: Layer) -> str:
    """``fill``, ``line`` or ``point``: what a legend shows. A polygon without fill shows as its outline."""
    if layer.dimension == 2:
        return "fill" if layer.definition.style.fill_opacity > 0 else "line"
    return "line" if layer.dimension == 1 else "point"


def legend(layer: Layer) -> list[dict[str, Any]]:
    """Entries of the legend: one, or one for each class (and one for the others, if there can be any).

    ``{"title": {vi, en}, "kind": "line"|"fill"|"point", "colour", "outline", "dash", "width" (px), "icon",
    "filter": MapLibre filter of the class or None}``
    """
    style = layer.definition.style
    classes = style.classes
    if classes is None:
        return [_entry(layer, layer.title, style.colour, style.icon, None)]
    f = layer.field(classes.field)
    domain = layer.domain_of(f) if f else ()
    titles = {str(v.value): v.title for v in domain}
    entries = [
        _entry(
            layer,
            titles.get(value, Text(vi=value, en=value)),
            colour,
            classes.icons.get(value, style.icon),
            ["==", class_value(layer), value],
        )
        for value, colour in sorted(classes.values.items(), key=lambda item: _rank(item[0], tuple(titles)))
    ]
    if not domain or set(titles) - set(classes.values):
        others = ["!", ["in", class_value(layer), ["literal", sorted(classes.values)]]]
        entries.append(_entry(layer, OTHER, style.colour, style.icon, others))
    return entries


def class_value(layer: Layer, classes: ClassColours | None = None) -> list[Any]:
    """MapLibre expression: the class field's value as text, as the keys of the style (or ``classes``) are."""
    classes = classes or layer.definition.style.classes
    assert classes is not None
    f = layer.field(classes.field)
    got: list[Any] = ["get", classes.field]
    return got if f is not None and f.type == "string" else ["to-string", got]


def _rank(value: str, order: tuple[str, ...]) -> int:
    return order.index(value) if value in order else len(order)


def _entry(
    layer: Layer, title: Text, colour: str, icon: str | None, filter_: list[Any] | None
) -> dict[str, Any]:
    style = layer.definition.style
    kind = kind_of(layer)
    if layer.dimension == 2:
        width = at(style.outline_width, ZOOM)
        if kind == "line" and style.outline and not style.classes:
            colour = style.outline
    else:
        width = at(style.width, ZOOM)
    return {
        "title": {"vi": title.vi, "en": title.en},
        "kind": kind,
        "colour": colour,
        "outline": style.outline if kind != "line" else None,
        "dash": list(style.dash) if style.dash else None,
        "width": round(width, 2),
        "icon": icon if kind == "point" else None,
        "filter": filter_,
    }
