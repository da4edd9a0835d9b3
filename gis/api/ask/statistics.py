"""POST /statistics: what lies in an area, counted and measured, by the attributes that tell kinds apart.

Lengths and areas are of what lies within the area, in the plane of the city's CRS (as law measures). Bounded:
what is not counted in full is said to be so (``exact``).
"""

from __future__ import annotations

from typing import Any, Final

from psycopg import sql
from starlette.requests import Request
from starlette.responses import Response

from gis.api.ask.params import Area, names_of, read_area, read_body, read_layers
from gis.api.ask.reading import Reading, reading
from gis.api.ask.shown import answer, rounded, seen
from gis.api.features.binding import Bind
from gis.api.features.leaving import while_connected
from gis.api.negotiate import known_parameters
from gis.api.state import State, state_of
from gis.db.door import FINDINGS
from gis.db.sql import column, columns, table
from layers.registry import Layer

#: Largest area (m2), features of a layer that are looked at, rows of a group.
MAX_AREA: Final = 500e6
MOST_FEATURES: Final = 200_000
MOST_ROWS: Final = 300
_TIMEOUT_MS: Final = 20_000
#: Fields by which lines are told apart, as far as a layer has them.
_SIZES: Final = ("material", "diameter_mm", "voltage_kv", "conductor", "width_m")


async def statistics(request: Request) -> Response:
    """Counts, lengths and areas of each layer that has something there."""
    known_parameters(request, ("lang",))
    state = state_of(request)
    content = await read_body(request, ("geometry", "bbox", "layers"))
    area = read_area(content, state.city, MAX_AREA)
    names = names_of(content)
    layers = [one for one in read_layers(state, names) if names or one.id not in FINDINGS]
    return await while_connected(request, _respond(request, state, layers, area))


async def _respond(request: Request, state: State, layers: list[Layer], area: Area) -> Response:
    found: list[dict[str, Any]] = []
    exact = True
    async with reading(state, layers, _TIMEOUT_MS) as connection:
        for layer in layers:
            one, whole = await _of_layer(connection, layer, area)
            exact = exact and whole
            if one is not None:
                found.append(one)
        exact = exact and connection.complete
    return answer(request, state, {"layers": found, "exact": exact})


def groupings(layer: Layer) -> list[tuple[str, ...]]:
    """Sets of fields by which the layer's features are counted, from its definition."""
    known = seen(layer)
    style = layer.definition.style
    sizes = tuple(name for name in _SIZES if name in known) if layer.dimension == 1 else ()
    coloured = [one.field for one in (style.classes, style.far.classes if style.far else None) if one]
    found = [sizes, *((name,) for name in (*coloured, "status"))]
    return [one for one in dict.fromkeys(found) if one and set(one) <= known]


async def _of_layer(connection: Reading, layer: Layer, area: Area) -> tuple[dict[str, Any] | None, bool]:
    """The layer's figures (None without features), and whether they are of all."""
    groups = groupings(layer)
    fields = list(dict.fromkeys(name for group in groups for name in group))
    bind = Bind()
    rows = await connection.rows(_query(layer, groups, fields, area, bind), bind.values)
    totals = [row for row in rows if row[0] is None]
    if not totals or not totals[0][-4]:
        return None, True
    count, length, size, looked = totals[0][-4:]
    exact = looked < MOST_FEATURES
    told = []
    for n, group in enumerate(groups):
        mine = sorted(
            (row for row in rows if row[0] == n), key=lambda row: (-row[-4], str(row[1 : 1 + len(fields)]))
        )
        exact = exact and len(mine) <= MOST_ROWS
        told.append(
            {
                "by": list(group),
                "rows": [
                    {
                        "values": [row[1 + fields.index(name)] for name in group],
                        **_figures(layer, *row[-4:-1]),
                    }
                    for row in mine[:MOST_ROWS]
                ],
            }
        )
    return {"layer": layer.id, **_figures(layer, count, length, size), "groups": told}, exact


def _figures(layer: Layer, count: int, length: float | None, size: float | None) -> dict[str, Any]:
    return {
        "count": count,
        "length_m": rounded(length) if layer.dimension in (1, -1) else None,
        "area_m2": rounded(size) if layer.dimension in (2, -1) else None,
    }


def _query(
    layer: Layer, groups: list[tuple[str, ...]], fields: list[str], area: Area, bind: Bind
) -> sql.Composed:
    """``SELECT number of the group (null: all), fields, count, length, area, features looked at``."""
    here = bind.add(area.ewkb, "geometry")
    within = sql.SQL("CASE WHEN ST_CoveredBy(i.geom, {0}) THEN i.geom ELSE ST_Intersection(i.geom, {0}) END")
    shape = sql.SQL("ST_Force2D({})").format(within.format(here))
    length = sql.SQL("ST_Length({})").format(shape) if layer.dimension in (1, -1) else sql.SQL("0::float8")
    size = sql.SQL("ST_Area({})").format(shape) if layer.dimension in (2, -1) else sql.SQL("0::float8")
    needed = columns(["geom", *fields], "i")
    sets = sql.SQL(", ").join([
        sql.SQL("()"),
        *(sql.SQL("(_g{}, {})").format(sql.SQL(str(n)), columns(group)) for n, group in enumerate(groups)),
    ])  # fmt: skip
    marks = sql.SQL("").join(
        sql.SQL(", {} AS _g{}").format(sql.Literal(n), sql.SQL(str(n))) for n in range(len(groups))
    )
    number = sql.SQL("coalesce({})").format(
        sql.SQL(", ").join(
            [*(sql.SQL("_g{}").format(sql.SQL(str(n))) for n in range(len(groups))), sql.SQL("NULL::int")]
        )
    )
    shown = sql.SQL("").join(sql.SQL("{}, ").format(column(name)) for name in fields)
    return sql.SQL(
        "SELECT {number}, {shown} count(*), sum(_length), sum(_area), count(*) FROM ("
        "SELECT i.*, {length} AS _length, {size} AS _area {marks} FROM ("
        "SELECT {needed} FROM {table} AS i WHERE i.geom && {here} AND ST_Intersects(i.geom, {here})"
        " LIMIT {most}"
        ") AS i) AS i GROUP BY GROUPING SETS ({sets})"
    ).format(
        number=number,
        shown=shown,
        length=length,
        size=size,
        marks=marks,
        needed=needed,
        table=table(layer),
        here=here,
        most=sql.Literal(MOST_FEATURES),
        sets=sets,
    )
