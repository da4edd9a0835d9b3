"""MapLibre expressions of the layers' styles, compiled to functions. As MapLibre means them.

What a style may use is what tiles/style.py writes: an expression that is not known here is a fault of ours,
found by a test over all layers, and at work its property gets MapLibre's default.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Expression = Any


@dataclass(frozen=True)
class Feature:
    """What an expression is about. ``kind``: Point, LineString or Polygon, as MapLibre calls them."""

    properties: Mapping[str, Any]
    kind: str
    zoom: float


Value = Callable[[Feature], Any]


class UnknownExpression(ValueError):  # noqa: N818
    """An operator that is not drawn here."""


def compiled(expression: Expression) -> Value:
    """The function of an expression. Raises UnknownExpression."""
    if not isinstance(expression, list):
        return lambda _f: expression
    if not expression or not isinstance(expression[0], str):
        raise UnknownExpression(str(expression)[:80])
    name, *arguments = expression
    special = _SPECIAL.get(name)
    if special is not None:
        return special(arguments)
    function = _PLAIN.get(name)
    if function is None:
        raise UnknownExpression(name)
    made = [compiled(one) for one in arguments]
    return lambda f: function(*(one(f) for one in made))


def names_in(expression: Expression) -> set[str]:
    """Attributes that an expression reads."""
    if not isinstance(expression, list) or not expression:
        return set()
    if expression[0] == "literal":
        return set()
    if expression[0] in ("get", "has") and len(expression) == 2 and isinstance(expression[1], str):
        return {expression[1]}
    return set().union(*(names_in(one) for one in expression[1:]))


def to_text(value: Any) -> str:
    """As to-string: null is nothing, numbers as JavaScript writes them."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)
    return str(value)


def _to_number(value: Any, *others: Any) -> Any:
    for one in (value, *others):
        try:
            return float(one if one is not None else 0)
        except (TypeError, ValueError):
            continue
    return None


def _same(a: Any, b: Any) -> bool:
    return bool(a == b) and isinstance(a, bool) == isinstance(b, bool)


def _literal(arguments: list[Any]) -> Value:
    value = arguments[0]
    return lambda _f: value


def _get(arguments: list[Any]) -> Value:
    name = arguments[0]
    return lambda f: f.properties.get(name)


def _has(arguments: list[Any]) -> Value:
    name = arguments[0]
    # a tile leaves nulls out
    return lambda f: f.properties.get(name) is not None


def _match(arguments: list[Any]) -> Value:
    """``[input, labels, value, ..., otherwise]``."""
    given, *rest, otherwise = arguments
    table: dict[Any, Value] = {}
    for labels, value in zip(rest[::2], rest[1::2], strict=True):
        made = compiled(value)
        for label in labels if isinstance(labels, list) else [labels]:
            table.setdefault(label, made)
    key, last = compiled(given), compiled(otherwise)

    def chosen(f: Feature) -> Any:
        value = key(f)
        return table.get(value, last)(f) if isinstance(value, str | int | float) else last(f)

    return chosen


def _case(arguments: list[Any]) -> Value:
    *pairs, otherwise = arguments
    arms = [(compiled(a), compiled(b)) for a, b in zip(pairs[::2], pairs[1::2], strict=True)]
    last = compiled(otherwise)
    return lambda f: next((value(f) for test, value in arms if test(f)), last(f))


def _all(arguments: list[Any]) -> Value:
    made = [compiled(one) for one in arguments]
    return lambda f: all(one(f) for one in made)


def _any(arguments: list[Any]) -> Value:
    made = [compiled(one) for one in arguments]
    return lambda f: any(one(f) for one in made)


def _step(arguments: list[Any]) -> Value:
    given, first, *rest = arguments
    key, low = compiled(given), compiled(first)
    stops = [(stop, compiled(value)) for stop, value in zip(rest[::2], rest[1::2], strict=True)]

    def chosen(f: Feature) -> Any:
        at, value = key(f), low
        for stop, made in stops:
            if at is None or at < stop:
                break
            value = made
        return value(f)

    return chosen


def _interpolate(arguments: list[Any]) -> Value:
    curve, given, *rest = arguments
    if curve[0] not in ("linear", "exponential"):
        raise UnknownExpression(f"interpolate {curve[0]}")
    base = float(curve[1]) if curve[0] == "exponential" else 1.0
    key = compiled(given)
    stops = [(float(stop), compiled(value)) for stop, value in zip(rest[::2], rest[1::2], strict=True)]

    def between(f: Feature) -> Any:
        at = key(f)
        if at is None or at <= stops[0][0]:
            return stops[0][1](f)
        for (x0, low), (x1, high) in itertools.pairwise(stops):
            if at <= x1:
                return _mixed(low(f), high(f), _share(at, x0, x1, base))
        return stops[-1][1](f)

    return between


def _share(at: float, x0: float, x1: float, base: float) -> float:
    if base == 1.0:
        return (at - x0) / (x1 - x0)
    return float((base ** (at - x0) - 1) / (base ** (x1 - x0) - 1))


def _mixed(low: Any, high: Any, share: float) -> Any:
    if isinstance(low, str) and isinstance(high, str):
        a, b = colour_of(low), colour_of(high)
        if a is None or b is None:
            return low
        parts = [round(x + (y - x) * share) for x, y in zip(_rgb(a[0]), _rgb(b[0]), strict=True)]
        return "#" + "".join(f"{v:02x}" for v in parts)
    return low + (high - low) * share


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


_SHORT: Final = re.compile(r"#[0-9a-fA-F]{3}\Z")
_LONG: Final = re.compile(r"#[0-9a-fA-F]{6}\Z")
_FUNCTION: Final = re.compile(r"rgba?\(\s*([\d.]+)[\s,]+([\d.]+)[\s,]+([\d.]+)(?:[\s,/]+([\d.]+))?\s*\)\Z")
_NAMES: Final = {
    "black": "#000000",
    "white": "#ffffff",
    "red": "#ff0000",
    "grey": "#808080",
    "gray": "#808080",
}


def colour_of(text: Any) -> tuple[str, float] | None:
    """``#rrggbb`` and opacity of a colour as styles write it; None for what is none."""
    if not isinstance(text, str):
        return None
    if _LONG.match(text):
        return text.lower(), 1.0
    if _SHORT.match(text):
        return "#" + "".join(c * 2 for c in text[1:].lower()), 1.0
    if text == "transparent":
        return "#000000", 0.0
    if text in _NAMES:
        return _NAMES[text], 1.0
    found = _FUNCTION.match(text)
    if found is None:
        return None
    red, green, blue = (min(255, round(float(v))) for v in found.groups()[:3])
    return f"#{red:02x}{green:02x}{blue:02x}", min(1.0, float(found[4])) if found[4] else 1.0


def _in(value: Any, values: Any) -> bool:
    if isinstance(values, str):
        return isinstance(value, str) and value in values
    return isinstance(values, list | tuple) and any(_same(value, one) for one in values)


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(a: Any, b: Any) -> bool:
        numbers = isinstance(a, int | float) and isinstance(b, int | float)
        return (numbers or (isinstance(a, str) and isinstance(b, str))) and test(a, b)

    return compare


_SPECIAL: Final[Mapping[str, Callable[[list[Any]], Value]]] = {
    "literal": _literal,
    "get": _get,
    "has": _has,
    "match": _match,
    "case": _case,
    "all": _all,
    "any": _any,
    "step": _step,
    "interpolate": _interpolate,
    "zoom": lambda _a: lambda f: f.zoom,
    "geometry-type": lambda _a: lambda f: f.kind,
}

_PLAIN: Final[Mapping[str, Callable[..., Any]]] = {
    "!": lambda a: not a,
    "==": _same,
    "!=": lambda a, b: not _same(a, b),
    "<": _ordered(lambda a, b: a < b),
    "<=": _ordered(lambda a, b: a <= b),
    ">": _ordered(lambda a, b: a > b),
    ">=": _ordered(lambda a, b: a >= b),
    "in": _in,
    "coalesce": lambda *a: next((one for one in a if one is not None), None),
    "concat": lambda *a: "".join(map(to_text, a)),
    "to-string": to_text,
    "to-number": _to_number,
    "to-boolean": bool,
    "to-color": lambda a, *_others: a,
    "string": lambda a, *_others: to_text(a),
    "number": _to_number,
    "image": lambda a: a,
    "+": lambda *a: sum(a),
    "-": lambda a, b=None: -a if b is None else a - b,
    "*": lambda *a: math.prod(a),
    "/": lambda a, b: a / b if b else None,
    "%": lambda a, b: math.fmod(a, b) if b else None,
    "min": lambda *a: min(a),
    "max": lambda *a: max(a),
    "abs": abs,
    "round": lambda a: math.floor(a + 0.5),
    "floor": math.floor,
    "ceil": math.ceil,
    "upcase": lambda a: a.upper(),
    "downcase": lambda a: a.lower(),
    "length": len,
}
