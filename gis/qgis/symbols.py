"""Symbols from the layers' styles: single or by class, lighter where planned or retired; and labels.

Widths are given in millimetres, as 96 pixels to the inch: pixels of QGIS are those of the screen.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement

from gis.qgis.parts import Value, option
from layers.model import Colour, Label
from layers.registry import Layer
from tiles.legend import at
from tiles.style import PLANNED, RETIRED

MM = 25.4 / 96
#: The zoom at which widths are taken: one edits where streets fill the screen.
ZOOM = 17
#: Scale denominator of zoom 0 with tiles of 512 pixels, as MapLibre counts zooms.
SCALE_0 = 295_828_763.8

KINDS = {0: "marker", 1: "line", 2: "fill"}


@dataclass(frozen=True)
class Class:
    """Features that look alike: those with one of the values, or (None) all others."""

    value: str | None
    title: str
    colour: str


def classes(layer: Layer, language: str) -> list[Class]:
    """The classes of a layer's style; one (of value None) where all look alike."""
    style = layer.definition.style
    if style.classes is None:
        return [Class(None, getattr(layer.title, language), style.colour)]
    field = layer.field(style.classes.field)
    titles = {str(v.value): getattr(v.title, language) for v in layer.domain_of(field)} if field else {}
    truth = {"true": {"vi": "Có", "en": "Yes"}, "false": {"vi": "Không", "en": "No"}}
    found = [
        Class(value, titles.get(value) or truth.get(value, {}).get(language) or value, colour)
        for value, colour in style.classes.values.items()
    ]
    return [*found, Class(None, "Khác" if language == "vi" else "Other", style.colour)]


def scale_of(zoom: float) -> float:
    """Scale denominator of a map's zoom."""
    return SCALE_0 / 2**zoom


def renderer(parent: Element, layer: Layer, language: str) -> None:
    """``<renderer-v2>``."""
    style, dimension = layer.definition.style, max(layer.dimension, 0)
    made = SubElement(
        parent, "renderer-v2", enableorderby="0", forceraster="0", symbollevels="0", referencescale="-1"
    )
    every = classes(layer, language)
    symbols = Element("symbols")
    if style.classes is None:
        made.set("type", "singleSymbol")
    else:
        made.attrib |= {"type": "categorizedSymbol", "attr": style.classes.field}
        categories = SubElement(made, "categories")
        for place, one in enumerate(every):
            SubElement(
                categories,
                "category",
                symbol=str(place),
                value=one.value or "",
                label=one.title,
                render="true",
                type="string" if one.value else "NULL",
            )
    for place, one in enumerate(every):
        symbol(symbols, str(place), layer, dimension, one.colour)
    made.append(symbols)
    SubElement(made, "rotation")
    SubElement(made, "sizescale")


def symbol(parent: Element, name: str, layer: Layer, dimension: int, colour: str) -> None:
    """``<symbol>`` of one class of a layer, for points (0), lines (1) or polygons (2)."""
    style = layer.definition.style
    made = SubElement(
        parent,
        "symbol",
        type=KINDS[dimension],
        name=name,
        alpha=f"{style.opacity:g}",
        force_rhr="0",
        clip_to_extent="1",
    )
    if layer.field("status") is not None:
        _fades(made)
    width = at(style.width, ZOOM) * MM
    outline_width = at(style.outline_width, ZOOM) * MM
    if dimension == 2:
        bare = style.fill_opacity == 0
        border = style.outline or colour
        _layer(
            made,
            "SimpleFill",
            color=_rgba(colour, style.fill_opacity),
            style="no" if bare else "solid",
            outline_color=_rgba(border),
            outline_style="solid" if outline_width > 0 and (bare or style.outline or style.dash) else "no",
            outline_width=f"{outline_width:.3f}",
            outline_width_unit="MM",
        )
        return
    if dimension == 0:
        _layer(
            made,
            "SimpleMarker",
            name="circle",
            color=_rgba(colour),
            outline_color=_rgba(style.outline or "#ffffff"),
            outline_width=f"{outline_width if style.outline else 0.2:.3f}",
            outline_width_unit="MM",
            size=f"{2 * width:.3f}",
            size_unit="MM",
            scale_method="diameter",
        )
        return
    ends = {"capstyle": "round", "joinstyle": "round", "line_style": "solid", "line_width_unit": "MM"}
    if style.outline:
        casing = f"{width + 2 * outline_width:.3f}"
        _layer(made, "SimpleLine", line_color=_rgba(style.outline), line_width=casing, **ends)
    dashes: dict[str, str] = {}
    if style.dash:
        ends["capstyle"] = "flat"
        # MapLibre counts dashes in widths of the line
        pattern = [max(part * width, 0.1) for part in style.dash]
        pattern = pattern * 2 if len(pattern) % 2 else pattern
        dashes = {
            "use_custom_dash": "1",
            "customdash": ";".join(f"{part:.3f}" for part in pattern),
            "customdash_unit": "MM",
        }
    _layer(made, "SimpleLine", line_color=_rgba(colour), line_width=f"{width:.3f}", **ends, **dashes)


def _fades(symbol_element: Element) -> None:
    """What is planned is seen through a little, what is retired more: nobody takes it for the network."""

    def among(values: tuple[str, ...]) -> str:
        return f'"status" IN ({", ".join(f"{chr(39)}{value}{chr(39)}" for value in values)})'

    expression = f"CASE WHEN {among(PLANNED)} THEN 60 WHEN {among(RETIRED)} THEN 30 ELSE 100 END"
    alpha: dict[str, Value] = {"active": True, "expression": expression, "type": 3}
    option(
        SubElement(symbol_element, "data_defined_properties"),
        {"name": "", "properties": {"alpha": alpha}, "type": "collection"},
    )


def _layer(parent: Element, kind: str, **properties: str) -> None:
    made = SubElement(parent, "layer", {"class": kind, "enabled": "1", "locked": "0", "pass": "0"})
    option(made, dict(properties))


def _rgba(colour: Colour, opacity: float = 1.0) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"{red},{green},{blue},{round(255 * opacity)}"


def label_expression(layer: Layer, label: Label, language: str) -> str:
    """What a label says, as an expression of QGIS: the title of a value, with what stands around it."""
    value = quoted(label.field)
    field = layer.field(label.field)
    titles = {str(v.value): getattr(v.title, language) for v in layer.domain_of(field)} if field else {}
    if titles:
        value = "CASE " + " ".join(
            f"WHEN to_string({quoted(label.field)}) = {literal(v)} THEN {literal(title)}"
            for v, title in titles.items()
        )
        value += f" ELSE to_string({quoted(label.field)}) END"
    if not (label.prefix or label.suffix):
        return value
    parts = [*([literal(label.prefix)] if label.prefix else []), value]
    parts += [literal(label.suffix)] if label.suffix else []
    return " || ".join(parts)


def label_settings(parent: Element, layer: Layer, label: Label, language: str) -> None:
    """``<settings>`` of a label."""
    made = SubElement(parent, "settings", calloutType="simple")
    style = SubElement(
        made,
        "text-style",
        fieldName=label_expression(layer, label, language),
        isExpression="1",
        fontFamily="Be Vietnam Pro, Noto Sans",
        fontSize=f"{at(label.size, ZOOM) * 0.75:.2f}",
        fontSizeUnit="Point",
        textColor=_rgba(label.colour),
        textOpacity="1",
    )
    SubElement(
        style,
        "text-buffer",
        bufferDraw="1",
        bufferSize="0.4",
        bufferSizeUnits="MM",
        bufferColor="255,255,255,255",
        bufferOpacity="1",
    )
    along = (label.placement or ("line" if layer.dimension == 1 else "point")) == "line"
    # 3: along curves, 6: around points as cartographers do, 0: around
    placement = "3" if along and layer.dimension == 1 else "6" if layer.dimension == 0 else "0"
    SubElement(made, "placement", placement=placement, placementFlags="10", dist="0.5", distUnits="MM")
    SubElement(
        made,
        "rendering",
        drawLabels="1",
        scaleVisibility="1",
        scaleMin="0",
        scaleMax=f"{scale_of(label.min_zoom):.0f}",
        obstacle="1",
    )


def quoted(name: str) -> str:
    """A field in an expression."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """A text, number or truth in an expression."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    # QGIS reads backslashes in texts
    return "'" + str(value).replace("\\", "\\\\").replace("'", "''") + "'"
