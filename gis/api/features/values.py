"""Texts of a request to typed values; a wrong one is a UsageError that names the parameter."""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from gis.errors import UsageError

INT8_MIN: Final = -(2**63)
INT8_MAX: Final = 2**63 - 1

_INTEGER = re.compile(r"[+-]?[0-9]{1,40}\Z")
_NUMBER = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,4})?\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_DATETIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+ -][0-9]{2}:[0-9]{2})\Z"
)


def wrong(parameter: str, message: str, hint: str | None = None) -> UsageError:
    """The error for a bad value of ``parameter``."""
    return UsageError(message, hint=hint, errors=[{"parameter": parameter, "detail": message}])


def text_value(value: str, parameter: str) -> str:
    """The text in NFC, as texts are stored. NUL and lone surrogates cannot be stored, so not sought."""
    if "\0" in value:
        raise wrong(parameter, f"{parameter} holds a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise wrong(parameter, f"{parameter} is not valid Unicode") from None
    return unicodedata.normalize("NFC", value)


def integer_value(value: str, parameter: str) -> int:
    """A whole number of 64 bits."""
    if not _INTEGER.match(value):
        raise wrong(parameter, f"{parameter} must be a whole number")
    number = int(value)
    if not INT8_MIN <= number <= INT8_MAX:
        raise wrong(parameter, f"{parameter} is outside the range of 64-bit whole numbers")
    return number


def number_value(value: str, parameter: str) -> float:
    """A finite number."""
    if not _NUMBER.match(value):
        raise wrong(parameter, f"{parameter} must be a number")
    number = float(value)
    if not math.isfinite(number):
        raise wrong(parameter, f"{parameter} is too large")
    return number


def boolean_value(value: str, parameter: str) -> bool:
    """``true`` or ``false``."""
    known = {"true": True, "false": False, "1": True, "0": False}
    if value.lower() not in known:
        raise wrong(parameter, f"{parameter} must be true or false")
    return known[value.lower()]


def date_value(value: str, parameter: str) -> date:
    """YYYY-MM-DD."""
    try:
        if not _DATE.match(value):
            raise ValueError
        return date.fromisoformat(value)
    except ValueError:
        raise wrong(parameter, f"{parameter} must be a date as 2026-01-31") from None


def datetime_value(value: str, parameter: str) -> datetime:
    """An RFC 3339 instant. A blank stands for the ``+`` of an offset that was not percent-encoded."""
    try:
        if not _DATETIME.match(value):
            raise ValueError
        head, tail = value[:19].upper(), value[19:].upper().replace(" ", "+")
        return datetime.fromisoformat(head + tail)
    except ValueError:
        raise wrong(
            parameter, f"{parameter} must be an instant as 2026-01-31T07:00:00Z", "offsets are +07:00"
        ) from None


def typed(value: str, kind: str, parameter: str) -> object:
    """``value`` as the field type ``kind`` (a date-time field also takes an instant only)."""
    match kind:
        case "string":
            return text_value(value, parameter)
        case "integer":
            return integer_value(value, parameter)
        case "number":
            return number_value(value, parameter)
        case "boolean":
            return boolean_value(value, parameter)
        case "date":
            return date_value(value, parameter)
        case _:
            return datetime_value(value, parameter)


#: An interval, both ends included; None is open. Dates stand for whole days (UTC).
Interval = tuple[datetime | None, datetime | None]

_LAST = timedelta(days=1) - timedelta(microseconds=1)


def interval_value(value: str, parameter: str = "datetime") -> Interval:
    """An instant, a day or ``start/end`` with ``..`` or nothing for an open end."""
    parts = value.split("/")
    if len(parts) > 2 or not value:
        raise wrong(parameter, f"{parameter} must be an instant or start/end", "an open end is ..")
    bounds = [_bounds(p, parameter) for p in parts]
    start, end = bounds[0][0], bounds[-1][1]
    if len(parts) == 1 and start is None:
        raise wrong(parameter, f"{parameter} must be an instant or start/end", "an open end is ..")
    if start and end and start > end:
        raise wrong(parameter, f"{parameter} ends before it starts")
    return start, end


def _bounds(part: str, parameter: str) -> Interval:
    if part in ("", ".."):
        return None, None
    if _DATE.match(part):
        start = datetime.combine(date_value(part, parameter), time(), UTC)
        return start, start + _LAST
    instant = datetime_value(part, parameter)
    return instant, instant
