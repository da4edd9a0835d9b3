"""How a layer looks: what ``style:`` in a layer file may say."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from layers.basics import ByZoom, Colour, Identifier, Model, Values, Zoom


class Label(Model):
    """A text drawn on the map from a field."""

    field: Identifier
    min_zoom: Zoom = 15
    size: ByZoom = 12
    colour: Colour = "#333333"
    placement: Literal["point", "line"] | None = None
    prefix: str = ""
    suffix: str = ""


class Arrows(Model):
    """Arrows along lines that say which way they flow, where that is known."""

    min_zoom: Zoom = 16
    #: Holds ``forward`` or ``backward``, or what says nothing (domain flow_direction); without it lines flow
    #: as they are drawn.
    field: Identifier | None = None
    #: Fields and values of lines that flow either way (null is drawn).
    unless: dict[Identifier, Values] = {}

    def fields(self) -> tuple[str, ...]:
        """What it reads."""
        return (*([self.field] if self.field else ()), *self.unless)


class ClassColours(Model):
    """Colour (and icon) by the value of a field."""

    field: Identifier
    values: dict[str, Colour]
    icons: dict[str, Identifier] = {}


class FarStyle(Model):
    """How polygons look at the zooms of ``tiles.generalise``, where blocks of many features stand for them.

    What is not given here is as in the layer's style.
    """

    colour: Colour | None = None
    classes: ClassColours | None = None
    fill_opacity: ByZoom | None = None
    outline: Colour | None = None
    outline_width: ByZoom = 0


class Style(Model):
    """How the layer looks; MapLibre layers, legend and QGIS style are derived from it."""

    colour: Colour
    classes: ClassColours | None = None
    #: Line width or point radius in pixels.
    width: ByZoom = 1.5
    dash: tuple[float, ...] | None = None
    opacity: float = Field(default=1.0, ge=0, le=1)
    #: Polygons only.
    fill_opacity: float = Field(default=0.4, ge=0, le=1)
    outline: Colour | None = None
    outline_width: ByZoom = 1.0
    #: Polygons drawn as blocks of this field's height (m) in 3D views.
    icon: Identifier | None = None
    icon_size: ByZoom = 1.0
    label: Label | None = None
    arrows: Arrows | None = None
    far: FarStyle | None = None
    #: Greater is drawn later, above others. Polygons 0..99, lines 100..199, points 200..299; the
    #: default is the middle of the range of the layer's geometry.
    order: int = Field(default=100, ge=0, le=299)


def order_range(geometry: str) -> tuple[int, int]:
    """The drawing orders that a geometry type may have: polygons below lines below points."""
    if "Polygon" in geometry:
        return 0, 99
    if "Line" in geometry:
        return 100, 199
    return (200, 299) if "Point" in geometry else (0, 299)
