"""The temporal functions of CQL2, on periods: an instant is a period that ends where it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from psycopg import sql

from gis.api.features.binding import Bind
from gis.api.features.filters.expressions import Expr, Lit, Operand, instant, midnight
from gis.api.features.filters.reader import invalid


@dataclass(frozen=True)
class Period:
    """Start and end as timestamptz; open ends are infinite."""

    start: sql.Composable
    end: sql.Composable


def period_of(ends: list[Operand | None], bind: Bind) -> Period:
    """A period of one instant, or of a start and an end (None is open)."""
    if len(ends) == 1:
        moment = _instant(ends[0], bind, "-infinity")
        return Period(moment, moment)
    return Period(_instant(ends[0], bind, "-infinity"), _instant(ends[1], bind, "infinity"))


def _instant(end: Operand | None, bind: Bind, otherwise: str) -> sql.Composable:
    if end is None:
        return bind.add(otherwise, "datetime")
    if isinstance(end, Expr):
        if end.kind not in ("date", "datetime"):
            raise invalid(f"{end.name} is not a date or an instant")
        return instant(end).sql
    return bind.add(_moment(end), "datetime")


def _moment(lit: Lit) -> datetime:
    if isinstance(lit.value, datetime):
        return lit.value
    if isinstance(lit.value, date):
        return midnight(lit.value)
    raise invalid("a temporal function compares dates, instants and intervals")


def _rule(text: str) -> Callable[[Period, Period], sql.Composable]:
    """A condition from a rule such as ``a1 > b2``; a and b are the periods, 1 and 2 their ends."""
    parts: list[sql.SQL | str] = [sql.SQL(w) if w in ("<", "<=", ">", ">=", "=", "AND", "OR") else w
                                  for w in text.split()]  # fmt: skip

    def compose(a: Period, b: Period) -> sql.Composable:
        ends = {"a1": a.start, "a2": a.end, "b1": b.start, "b2": b.end}
        return sql.SQL(" ").join(p if isinstance(p, sql.SQL) else ends[p] for p in parts)

    return compose


#: CQL2 (OGC 21-065r2), table of temporal functions.
OPERATORS: Final[dict[str, Callable[[Period, Period], sql.Composable]]] = {
    "t_after": _rule("a1 > b2"),
    "t_before": _rule("a2 < b1"),
    "t_contains": _rule("a1 < b1 AND a2 > b2"),
    "t_disjoint": _rule("a1 > b2 OR a2 < b1"),
    "t_during": _rule("a1 > b1 AND a2 < b2"),
    "t_equals": _rule("a1 = b1 AND a2 = b2"),
    "t_finishedby": _rule("a1 < b1 AND a2 = b2"),
    "t_finishes": _rule("a1 > b1 AND a2 = b2"),
    "t_intersects": _rule("a1 <= b2 AND a2 >= b1"),
    "t_meets": _rule("a2 = b1"),
    "t_metby": _rule("a1 = b2"),
    "t_overlappedby": _rule("a1 > b1 AND a1 < b2 AND a2 > b2"),
    "t_overlaps": _rule("a1 < b1 AND a2 > b1 AND a2 < b2"),
    "t_startedby": _rule("a1 = b1 AND a2 > b2"),
    "t_starts": _rule("a1 = b1 AND a2 < b2"),
}
