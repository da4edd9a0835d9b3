"""What the parts of a filter are: typed SQL expressions, and literals that take the type they meet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Literal

from psycopg import sql
from psycopg.sql import Composable

from gis.api.features.binding import Bind
from gis.api.features.filters.reader import invalid
from gis.api.features.values import INT8_MAX, INT8_MIN, date_value, datetime_value
from gis.errors import UsageError

Kind = Literal["string", "integer", "number", "boolean", "date", "datetime", "geometry"]

NUMERIC = ("integer", "number")
#: Whole numbers up to here survive as double precision, which CQL2 texts are parsed into.
_EXACT = 2**53


@dataclass(frozen=True)
class Expr:
    """A SQL expression. ``name`` is the property it is, for messages.

    ``base`` and ``folds`` remember casei and accenti, so that both together use one function (and the
    index on it).
    """

    sql: Composable
    kind: Kind
    name: str = "the expression"
    base: Composable | None = None
    folds: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Lit:
    """A literal that has not met a property yet."""

    value: str | int | float | bool | date | datetime
    kind: Kind


Operand = Expr | Lit

_WORDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "date": "a date",
    "datetime": "an instant",
    "geometry": "a geometry",
}


def mismatch(expected: Expr, given: Operand) -> UsageError:
    """The error for comparing unlike things."""
    return invalid(f"{expected.name} is {_WORDS[expected.kind]} and is compared with {_WORDS[given.kind]}")


def literal(lit: Lit, bind: Bind) -> Expr:
    """A literal as it stands."""
    if lit.kind == "integer":
        whole_number(lit.value)
    return Expr(bind.add(lit.value, lit.kind), lit.kind, name="the value")


def whole_number(value: object) -> int:
    """An integer literal in the range of bigint."""
    number = int(value)  # type: ignore[call-overload]
    if not INT8_MIN <= number <= INT8_MAX:
        raise invalid("a whole number in the filter is outside the range of 64 bits")
    assert isinstance(number, int)
    return number


def alike(a: Operand, b: Operand, bind: Bind) -> tuple[Expr, Expr]:
    """Both sides of a comparison in types that PostgreSQL compares, literals bound in the other's type."""
    if isinstance(a, Lit) and isinstance(b, Lit):
        a = literal(a, bind)
    if isinstance(a, Lit):
        assert isinstance(b, Expr)
        right, left = _meet(b, a, bind)
        return left, right
    if isinstance(b, Lit):
        return _meet(a, b, bind)
    if a.kind == b.kind or (a.kind in NUMERIC and b.kind in NUMERIC):
        return a, b
    if {a.kind, b.kind} == {"date", "datetime"}:
        return as_date(a), as_date(b)
    raise mismatch(a, b)


def same_kind(e: Expr, lit: Lit) -> object | None:
    """The literal's value in the type of ``e``; None when only a conversion of ``e`` makes them alike.

    Raises UsageError when nothing does.
    """
    match e.kind, lit.kind:
        case "integer", "integer" | "number":
            return _whole(e, lit.value)
        case "number", "integer" | "number":
            return float(lit.value)  # type: ignore[arg-type]
        case "date", "string":
            return date_value(str(lit.value), "filter")
        case "datetime", "string" if len(str(lit.value)) != 10:
            return datetime_value(str(lit.value), "filter")
        case ("datetime", "string" | "date") | ("date", "datetime"):
            return None
    if e.kind != lit.kind:
        raise mismatch(e, lit)
    return lit.value


def _meet(e: Expr, lit: Lit, bind: Bind) -> tuple[Expr, Expr]:
    value = same_kind(e, lit)
    if value is not None:
        return e, Expr(bind.add(value, e.kind), e.kind)
    if e.kind == "integer":
        return e, Expr(bind.add(lit.value, "number"), "number")
    if e.kind == "date":
        return instant(e), Expr(bind.add(lit.value, "datetime"), "datetime")
    day = lit.value if lit.kind == "date" else date_value(str(lit.value), "filter")
    return as_date(e), Expr(bind.add(day, "date"), "date")


def _whole(e: Expr, value: object) -> int | None:
    """A whole number stays one, so that the column's index serves; 2.5 (None) is compared as a number."""
    if isinstance(value, float):
        if not value.is_integer():
            return None
        if abs(value) >= _EXACT:
            raise invalid(f"{e.name} is compared with a number over 2^53", "give it in CQL2 JSON")
    return whole_number(value)


def as_date(e: Expr) -> Expr:
    """The day (UTC) of an instant."""
    if e.kind == "date":
        return e
    return Expr(sql.SQL("(({}) AT TIME ZONE 'UTC')::date").format(e.sql), "date", e.name)


def instant(e: Expr) -> Expr:
    """Midnight (UTC) of a day."""
    if e.kind == "datetime":
        return e
    return Expr(sql.SQL("(({})::timestamp AT TIME ZONE 'UTC')").format(e.sql), "datetime", e.name)


def midnight(day: date) -> datetime:
    """The same for a literal."""
    return datetime.combine(day, time(), UTC)
