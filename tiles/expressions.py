"""Expressions of MapLibre styles: colours by class, numbers by zoom. Pure."""

from __future__ import annotations

from typing import Any

from layers.model import ByZoom, ClassColours
from tiles.legend import at

Expression = Any


def match(value: Expression, classes: ClassColours, otherwise: str) -> Expression:
    """The colour of a class."""
    by_colour: dict[str, list[str]] = {}
    for name, colour in classes.values.items():
        by_colour.setdefault(colour, []).append(name)
    arms = [part for colour, names in by_colour.items() for part in (key(names), colour)]
    return ["match", value, *arms, otherwise] if arms else otherwise


def key(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values


def by_zoom(value: ByZoom) -> Expression:
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        return next(iter(value.values()))
    return ["interpolate", ["linear"], ["zoom"], *(part for stop in sorted(value.items()) for part in stop)]


def total(inner: ByZoom, border: ByZoom) -> ByZoom:
    """Width of a line with a border on both sides."""
    stops = sorted({z for value in (inner, border) if isinstance(value, dict) for z in value})
    if not stops:
        return at(inner, 0) + 2 * at(border, 0)
    return {z: round(at(inner, z) + 2 * at(border, z), 3) for z in stops}
