"""What the MapLibre style of a layer means for its features, at one zoom: paints, in the order of drawing.

A paint depends on few attributes (a class, a status), so it is worked out once for each combination of their
values, not for each feature.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from gis.print.expressions import Expression, Feature, UnknownExpression, Value, colour_of, compiled, names_in
from layers.registry import Layer
from tiles.style import style_layers

#: Kinds of geometry by dimension.
KINDS: Final = ("Point", "LineString", "Polygon")


class Fill(NamedTuple):
    """Inside of a polygon."""

    colour: str
    opacity: float


class Line(NamedTuple):
    """A line, or the outline of a polygon. Lengths in pixels; ``dash`` in widths."""

    colour: str
    width: float
    opacity: float
    dash: tuple[float, ...]
    round_cap: bool
    blur: float


class Circle(NamedTuple):
    """A disc. Lengths in pixels."""

    colour: str
    radius: float
    opacity: float
    stroke: str
    stroke_width: float


class Icon(NamedTuple):
    """A picture of gis/web/icons, turned by ``turn`` degrees. ``along``: pixels between two along a line,
    with which they turn; 0: at points."""

    name: str
    size: float
    opacity: float
    along: float
    turn: float


class Label(NamedTuple):
    """A text. Lengths in pixels; ``along`` a line, or beside or at a point."""

    text: str
    size: float
    colour: str
    halo: str
    halo_width: float
    along: bool
    beside: float


Paint = Fill | Line | Circle | Icon | Label


@dataclass(frozen=True)
class Symbol:
    """One style layer."""

    id: str
    type: str
    min_zoom: float
    max_zoom: float
    names: frozenset[str]
    test: Value
    values: Mapping[str, Value]
    visible: bool

    def paint(self, feature: Feature) -> Paint | None:
        """How the feature is drawn by this style layer; None when it is not."""
        try:
            if not self.test(feature):
                return None
            return _PAINTS[self.type](self, feature)
        except (TypeError, ValueError, ArithmeticError):
            return None  # an attribute that is of another kind than the style takes it for

    def number(self, name: str, feature: Feature, default: float) -> float:
        value = self.values[name](feature) if name in self.values else None
        return float(value) if isinstance(value, int | float) else default

    def colour(self, name: str, feature: Feature, default: str) -> tuple[str, float]:
        value = self.values[name](feature) if name in self.values else None
        return colour_of(value) or (default, 1.0)

    def value(self, name: str, feature: Feature) -> Any:
        return self.values[name](feature) if name in self.values else None


#: Properties that are drawn; others of a style layer do not matter on paper.
_PROPERTIES: Final = {
    "fill": ("fill-color", "fill-opacity"),
    "line": ("line-color", "line-width", "line-opacity", "line-dasharray", "line-cap", "line-blur"),
    "circle": (
        "circle-color",
        "circle-radius",
        "circle-opacity",
        "circle-stroke-color",
        "circle-stroke-width",
    ),
    "symbol": (
        "icon-image",
        "icon-size",
        "icon-opacity",
        "icon-rotate",
        "symbol-placement",
        "symbol-spacing",
        "text-field",
        "text-size",
        "text-color",
        "text-halo-color",
        "text-halo-width",
        "text-variable-anchor",
        "text-radial-offset",
    ),
}


def symbols_of(layer: Layer, language: str, zoom: float) -> list[Symbol]:
    """The style layers that draw a layer at a zoom, in the order of drawing, labels last."""
    found = []
    for one in style_layers(layer, language):
        made = symbol(one)
        if made is not None and made.min_zoom <= zoom < made.max_zoom:
            found.append(made)
    return found


def symbol(style_layer: Mapping[str, Any], *, strict: bool = False) -> Symbol | None:
    """One style layer, compiled; None for a type that is not drawn. ``strict``: raise UnknownExpression."""
    kind = str(style_layer["type"])
    if kind not in _PROPERTIES:
        return None
    given = {**style_layer.get("layout", {}), **style_layer.get("paint", {})}
    condition: Expression = style_layer.get("filter", True)
    values: dict[str, Value] = {}
    names = names_in(condition)
    for name in _PROPERTIES[kind]:
        if name not in given:
            continue
        try:
            values[name] = compiled(_constant(given[name], name))
        except UnknownExpression:
            if strict:
                raise
            continue
        names |= names_in(given[name])
    try:
        test = compiled(condition)
    except UnknownExpression:
        if strict:
            raise
        return None
    return Symbol(
        id=str(style_layer["id"]),
        type=kind,
        min_zoom=float(style_layer.get("minzoom", 0)),
        max_zoom=float(style_layer.get("maxzoom", 99)),
        names=frozenset(names),
        test=test,
        values=values,
        visible=style_layer.get("layout", {}).get("visibility") != "none",
    )


def _constant(value: Any, name: str) -> Any:
    """Arrays that are values, not expressions, as literals."""
    plain = isinstance(value, list) and value and name in ("line-dasharray", "text-variable-anchor")
    return ["literal", value] if plain and value[0] not in ("literal", "step", "match", "case") else value


def names_of(symbols: Iterable[Symbol]) -> list[str]:
    """Attributes that they read, in order."""
    return sorted(set().union(*(one.names for one in symbols)))


def feature_of(names: Sequence[str], values: Sequence[Any], dimension: int, zoom: float) -> Feature:
    """A feature as expressions see it."""
    return Feature(dict(zip(names, values, strict=True)), KINDS[dimension], zoom)


def _fill(one: Symbol, f: Feature) -> Paint | None:
    if f.kind != "Polygon":
        return None
    colour, alpha = one.colour("fill-color", f, "#000000")
    opacity = alpha * one.number("fill-opacity", f, 1.0)
    return Fill(colour, round(opacity, 3)) if opacity > 0 else None


def _line(one: Symbol, f: Feature) -> Paint | None:
    if f.kind == "Point":
        return None
    colour, alpha = one.colour("line-color", f, "#000000")
    opacity = alpha * one.number("line-opacity", f, 1.0)
    width = one.number("line-width", f, 1.0)
    if opacity <= 0 or width <= 0:
        return None
    dash = one.value("line-dasharray", f) or ()
    return Line(
        colour,
        round(width, 3),
        round(opacity, 3),
        tuple(float(v) for v in dash),
        one.value("line-cap", f) == "round",
        round(one.number("line-blur", f, 0.0), 2),
    )


def _circle(one: Symbol, f: Feature) -> Paint | None:
    colour, alpha = one.colour("circle-color", f, "#000000")
    opacity, radius = alpha * one.number("circle-opacity", f, 1.0), one.number("circle-radius", f, 5.0)
    stroke, _ = one.colour("circle-stroke-color", f, "#000000")
    stroke_width = one.number("circle-stroke-width", f, 0.0)
    if f.kind != "Point" or opacity <= 0 or radius <= 0:
        return None
    return Circle(colour, round(radius, 3), round(opacity, 3), stroke, round(stroke_width, 3))


def _symbol(one: Symbol, f: Feature) -> Paint | None:
    along = one.value("symbol-placement", f) in ("line", "line-center")
    if "icon-image" in one.values:
        name = one.value("icon-image", f)
        size, opacity = one.number("icon-size", f, 1.0), one.number("icon-opacity", f, 1.0)
        if not name or size <= 0 or opacity <= 0 or (f.kind != "Point" and not along):
            return None
        spacing = one.number("symbol-spacing", f, 250.0) if along else 0.0
        return Icon(str(name), round(size, 3), round(opacity, 3), spacing, one.number("icon-rotate", f, 0.0))
    text = one.value("text-field", f)
    if not text:
        return None
    colour, _ = one.colour("text-color", f, "#000000")
    halo, _ = one.colour("text-halo-color", f, "#ffffff")
    beside = one.number("text-radial-offset", f, 0.5) if "text-variable-anchor" in one.values else 0.0
    return Label(
        str(text),
        round(one.number("text-size", f, 16.0), 2),
        colour,
        halo,
        one.number("text-halo-width", f, 0.0),
        along and f.kind != "Point",
        beside if f.kind == "Point" else 0.0,
    )


_PAINTS: Final = {"fill": _fill, "line": _line, "circle": _circle, "symbol": _symbol}
