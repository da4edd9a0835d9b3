"""The conditions of an items request, in a fixed order: equal forms of requests give equal statements."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import sql

from gis.api.features.asof import sources
from gis.api.features.binding import Bind
from gis.api.features.boxes import box_condition
from gis.api.features.filters import Compiler, FilterContext
from gis.api.features.params import ItemsQuery
from gis.api.features.search import search_branches
from gis.api.features.values import Interval
from gis.db.sql import column, table
from layers.model import FieldDef
from layers.registry import Layer

GEOM: Final = sql.Identifier("geom")


@dataclass(frozen=True)
class Selection:
    """What narrows a layer down: conditions as SQL text, and their values.

    All ``conditions`` have to hold, and one of ``branches`` if there are any. ``sources``: what is read, each
    with a condition of its own; more than one when a former state is asked for.
    """

    conditions: tuple[str, ...]
    values: dict[str, object]
    branches: tuple[str, ...] = ()
    sources: tuple[tuple[str, str | None], ...] = ()

    def together(self, *further: str) -> tuple[str, ...]:
        """``table WHERE ...`` of each source."""
        either = (f"({' OR '.join(self.branches)})",) if self.branches else ()
        return self._of_each(*self.conditions, *either, *further)

    def apart(self, *further: str) -> tuple[str, ...]:
        """The same rows as those of ``together``, each branch from each source: none twice."""
        if not self.branches:
            return self.together(*further)
        return tuple(
            found
            for n, branch in enumerate(self.branches)
            for found in self._of_each(
                *self.conditions, *(f"NOT {b}" for b in self.branches[:n]), branch, *further
            )
        )

    def _of_each(self, *found: str) -> tuple[str, ...]:
        return tuple(
            f"{name} {_where(*([own] if own else []), *found)}".rstrip() for name, own in self.sources
        )


def _where(*found: str) -> str:
    return f"WHERE {' AND '.join(found)}" if found else ""


def select(layer: Layer, query: ItemsQuery, storage: int) -> Selection:
    """The selection of a request, without paging. Raises UsageError for a filter that is wrong."""
    bind = Bind()
    found = _conditions(layer, query, storage, bind)
    branches = [] if query.search is None else search_branches(layer, query.search, bind)
    read: tuple[tuple[str, str | None], ...] = ((table(layer).as_string(None), None),)
    if query.as_of is not None:
        read = sources(layer, query.as_of, bind)
    return Selection(
        tuple(c.as_string(None) for c in found), bind.values, tuple(b.as_string(None) for b in branches), read
    )


def _conditions(layer: Layer, query: ItemsQuery, storage: int, bind: Bind) -> list[sql.Composable]:
    found: list[sql.Composable] = []
    if query.bbox is not None:
        found.append(box_condition(query.bbox.box, query.bbox.crs.code, storage, bind, GEOM))
        if query.bbox.heights is not None:
            found.append(_heights(query.bbox.heights, bind))
    if query.sheet is not None:
        west, south, east, north = (float(v) for v in query.sheet.box)
        found.append(box_condition((west, south, east, north), query.sheet.crs, storage, bind, GEOM))
    if query.datetime is not None:
        found.append(_during(layer, query.datetime, bind))
    for field, value in query.equals:
        found.append(sql.SQL("{} = {}").format(column(field.name), bind.add(value, field.type)))
    if query.filter is not None:
        context = FilterContext(layer, query.filter_crs, storage)
        found.append(Compiler(context, bind).condition(query.filter))
    return found


def _heights(heights: tuple[float, float], bind: Bind) -> sql.Composable:
    """Features without heights are neither above nor below anything: they stay."""
    low, high = (bind.add(h, "number") for h in heights)
    return sql.SQL("(ST_NDims({g}) = 2 OR (ST_ZMax({g}) >= {low} AND ST_ZMin({g}) <= {high}))").format(
        g=GEOM, low=low, high=high
    )


def _during(layer: Layer, interval: Interval, bind: Bind) -> sql.Composable:
    """Features whose time meets the interval. A null start or end of a feature is open."""
    fields = [layer.field(name) for name in layer.definition.temporal]
    first, last = fields[0], fields[-1]
    assert first is not None and last is not None
    start, end = interval
    parts: list[sql.Composable] = []
    if end is not None:
        parts.append(_bound(first, "<=", end, bind, open_ended=len(fields) > 1))
    if start is not None:
        parts.append(_bound(last, ">=", start, bind, open_ended=len(fields) > 1))
    return sql.SQL("({})").format(sql.SQL(" AND ").join(parts)) if parts else sql.SQL("TRUE")


def _bound(field: FieldDef, sign: str, moment: datetime, bind: Bind, *, open_ended: bool) -> sql.Composable:
    value = bind.add(moment.date() if field.type == "date" else moment, field.type)
    name = column(field.name)
    form = "({f} {s} {v} OR {f} IS NULL)" if open_ended else "{f} {s} {v}"
    return sql.SQL(form).format(f=name, s=sql.SQL("<=" if sign == "<=" else ">="), v=value)
