"""Attributes as a client sends them: every mistake at once, each with its place, and the values to store.

What a layer defines is what holds: types, value lists, ranges, lengths, what is required. ``fid``,
``version`` and ``updated_at`` are bandoso's own; what is sent for them is not looked at, because clients
send whole features back that they read long ago (QGIS).
"""

from __future__ import annotations

import datetime as dt
import difflib
import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from zoneinfo import ZoneInfo

from gis.edit.model import Ref
from layers.model import FieldDef
from layers.registry import Layer

#: What stands after: a new feature, all attributes anew, or some of them.
Mode = Literal["create", "replace", "patch"]
Errors = list[dict[str, str]]

READ_ONLY = ("fid", "version", "updated_at")
#: Left out of a whole feature they stay: they say which feature it is, and whose.
IDENTITY = ("asset_id", "owner")

#: Mistakes of one feature that are told: more are not read by anybody.
MOST_ERRORS = 50
#: Mistakes for which the name that was meant is looked for.
_GUESSES = 5

_INT8 = 2**63
_DATE = re.compile(r"\d{4}-\d\d-\d\d\Z")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d\d:?\d\d)?\Z")
_SHOWN = 40


class Unfit(ValueError):  # noqa: N818
    """A value that its field does not take; the text ends a sentence that begins with the field's name."""


@dataclass(frozen=True)
class Rules:
    """What values are judged by: ``fields`` that the caller may see, agencies of the city, its zone."""

    layer: Layer
    fields: tuple[FieldDef, ...]
    agencies: Sequence[str]
    zone: ZoneInfo
    _by_name: dict[str, FieldDef] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        self._by_name.update({f.name: f for f in self.fields})

    def named(self, name: str) -> FieldDef | None:
        return self._by_name.get(name)


def pointer(*parts: str | int) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def attributes(
    rules: Rules, given: Mapping[str, Any], mode: Mode, at: str = ""
) -> tuple[dict[str, Any], Errors]:
    """The values to store by field, and the mistakes with pointers below ``at``/properties.

    ``create`` and ``replace`` give every field that the caller may see but those of READ_ONLY (and but
    those of IDENTITY that are left out); ``patch`` gives what is named.
    """
    errors: Errors = []
    values: dict[str, Any] = {}
    for name, value in given.items():
        f = rules.named(name)
        if len(errors) >= MOST_ERRORS:
            break
        if f is None:
            errors.append(
                {
                    "pointer": at + pointer("properties", name[:200]),
                    "detail": _unknown(rules, name, len(errors)),
                }
            )
        elif name not in READ_ONLY:
            try:
                values[name] = _value(rules, f, value)
            except Unfit as unfit:
                errors.append({"pointer": at + pointer("properties", name), "detail": f"{name} {unfit}"})
    wrong = {error["pointer"] for error in errors}
    for f in rules.fields:
        if f.name in READ_ONLY or (wrong and at + pointer("properties", f.name) in wrong):
            continue
        if mode != "patch":
            _complete(values, f, mode)
        needed = f.required or (f.name in IDENTITY and mode == "patch")
        if needed and values.get(f.name) is None and (mode != "patch" or f.name in values):
            problem = "is required" if f.name not in given else "must not be null"
            errors.append({"pointer": at + pointer("properties", f.name), "detail": f"{f.name} {problem}"})
    return values, errors


def _complete(values: dict[str, Any], f: FieldDef, mode: Mode) -> None:
    """What a whole feature says of a field that it leaves out, or (QGIS sends all of them) gives as null."""
    if f.name in IDENTITY:
        if values.get(f.name) is None:
            values.pop(f.name, None)
    elif f.name not in values or (mode == "create" and values[f.name] is None):
        values[f.name] = f.default


def _unknown(rules: Rules, name: str, before: int) -> str:
    names = [f.name for f in rules.fields] if before < _GUESSES else []
    close = difflib.get_close_matches(name[:100], names, 1)
    meant = f"; is {close[0]} meant?" if close else ""
    return f"{rules.layer.id} has no attribute of this name{meant}"


def _value(rules: Rules, f: FieldDef, value: Any) -> Any:
    """The value to store. Raises Unfit."""
    if value is None or isinstance(value, Ref):
        return value
    made = _TYPED[f.type](value, rules.zone)
    if f.domain:
        allowed = [v.value for v in rules.layer.domain_of(f)]
        if made not in allowed:
            listed = ", ".join(map(str, allowed[:30])) + (", ..." if len(allowed) > 30 else "")
            raise Unfit(f"must be one of {listed}, not {shown(value)}")
    if f.type == "string":
        if f.max_length is not None and len(made) > f.max_length:
            raise Unfit(f"has {len(made)} characters, and may have {f.max_length}")
        if f.name == "asset_id" and not made.strip():
            raise Unfit("must not be blank")
    if f.minimum is not None and made < f.minimum:
        raise Unfit(f"must be at least {f.minimum:g}{_unit(f)}, not {shown(value)}")
    if f.maximum is not None and made > f.maximum:
        raise Unfit(f"must be at most {f.maximum:g}{_unit(f)}, not {shown(value)}")
    if f.name == "owner" and made not in rules.agencies:
        raise Unfit(f"must be an agency of the city ({', '.join(rules.agencies)}), not {shown(value)}")
    return made


def _unit(f: FieldDef) -> str:
    return f" {f.unit}" if f.unit else ""


def shown(value: Any) -> str:
    """A value as a message shows it: short, and without anything that a terminal would obey."""
    text = repr(value) if isinstance(value, str) else str(value)
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _text(value: Any, _zone: ZoneInfo) -> str:
    if not isinstance(value, str):
        raise Unfit(f"must be a text, not {shown(value)}")
    if "\0" in value:
        raise Unfit("holds a NUL character")
    return unicodedata.normalize("NFC", value)


def _number(value: Any, _zone: ZoneInfo) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit(f"must be a number, not {shown(value)}")
    try:
        made = float(value)
    except OverflowError:
        made = math.inf
    if not math.isfinite(made):
        raise Unfit("must be a finite number")
    return made


def _integer(value: Any, _zone: ZoneInfo) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit(f"must be a whole number, not {shown(value)}")
    if isinstance(value, float) and not value.is_integer():  # false for NaN and infinity too
        raise Unfit(f"must be a whole number, not {shown(value)}")
    made = int(value)
    if not -_INT8 <= made < _INT8:
        raise Unfit("is too large a number")
    return made


def _flag(value: Any, _zone: ZoneInfo) -> bool:
    if not isinstance(value, bool):
        raise Unfit(f"must be true or false, not {shown(value)}")
    return value


def _date(value: Any, _zone: ZoneInfo) -> dt.date:
    if not isinstance(value, str) or not _DATE.match(value):
        raise Unfit(f"must be a date like 2026-05-31, not {shown(value)}")
    try:
        return dt.date.fromisoformat(value)
    except ValueError:
        raise Unfit(f"is no day of the calendar: {shown(value)}") from None


def _instant(value: Any, zone: ZoneInfo) -> dt.datetime:
    if not isinstance(value, str) or not _TIME.match(value):
        raise Unfit(f"must be a time like 2026-05-31T08:30:00+07:00, not {shown(value)}")
    try:
        made = dt.datetime.fromisoformat(value.upper())
        if made.tzinfo is None:  # a clock of the city, as QGIS sends what was typed
            made = made.replace(tzinfo=zone)
        return made.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise Unfit(f"is no time of the calendar: {shown(value)}") from None


_TYPED: dict[str, Callable[[Any, ZoneInfo], Any]] = {
    "string": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _flag,
    "date": _date,
    "datetime": _instant,
}
