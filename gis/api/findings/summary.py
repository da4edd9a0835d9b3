"""GET /findings/summary: how many findings there are by rule, severity, state, map sheet and owner.

Takes the conditions of /collections/finding/items (bbox, filter, q, sheet and the fields). Findings about
what is hidden are counted for whom they are shown, and for nobody else.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gis.api.features.leaving import while_connected
from gis.api.features.params import property_parameters, read_items
from gis.api.features.where import select
from gis.api.history import shown
from gis.api.negotiate import choose_format, known_parameters
from gis.api.state import State, state_of
from gis.db.door import FINDINGS
from layers.registry import Layer

#: What is counted by, and values of each (a city has thousands of sheets).
BY: Final = ("rule", "severity", "state", "sheet", "owner")
MOST: Final = 300
#: Conditions that the items of findings take, too, beside their fields.
CONDITIONS: Final = ("bbox", "bbox-crs", "filter", "filter-lang", "filter-crs", "q")
_FORMATS: Final = {"json": (shown.JSON,)}


async def summary(request: Request) -> Response:
    """The counts, the greatest first."""
    state = state_of(request)
    layers = [
        layer
        for layer in (state.catalogue.layers.get(name) for name in FINDINGS)
        if layer is not None and layer.is_public
    ]
    fields = [field.name for field in property_parameters(layers[0])] if layers else []
    given = known_parameters(request, ("f", "lang", *CONDITIONS, "sheet", *fields))
    choose_format(request, _FORMATS)
    return await while_connected(request, _counted(request, state, layers, given))


async def _counted(request: Request, state: State, layers: list[Layer], given: dict[str, str]) -> Response:
    asked = {name: value for name, value in given.items() if name not in ("f", "lang")}
    counts: dict[str, Counter[str | None]] = {name: Counter() for name in BY}
    total = 0
    for layer in layers:
        statement, values = _statement(layer, asked, state)
        async with state.reading(layer).connection() as connection:
            cursor = await connection.execute(statement, values, prepare=False)
            for kind, *row, count in await cursor.fetchall():
                if kind is None:
                    total += count
                else:
                    counts[BY[kind]][row[kind]] += count
    by = {name: [_told(value, n) for value, n in _ranked(found)] for name, found in counts.items()}
    return shown.answer(request, state, orjson.dumps({"total": total, "by": by}), shown.JSON)


def _ranked(found: Counter[str | None]) -> list[tuple[str | None, int]]:
    return sorted(found.items(), key=lambda one: (-one[1], one[0] or ""))[:MOST]


def _told(value: str | None, count: int) -> dict[str, Any]:
    return {"value": value, "count": count}


def _statement(layer: Layer, asked: dict[str, str], state: State) -> tuple[bytes, dict[str, object]]:
    """One pass over the findings: a row for each value of each of BY, and one for all."""
    selection = select(layer, read_items(asked, layer, state.city, "json"), state.city.crs.storage)
    names = ", ".join(f'"{name}"' for name in BY)
    which = " ".join(f'WHEN GROUPING("{name}") = 0 THEN {number}' for number, name in enumerate(BY))
    sets = ", ".join(f'("{name}")' for name in BY)
    read = " UNION ALL ".join(f"SELECT {names} FROM {source}" for source in selection.together())  # noqa: S608
    text = (
        f"SELECT CASE {which} END, {names}, count(*) FROM ({read}) AS found"  # noqa: S608
        f" GROUP BY GROUPING SETS ({sets}, ())"
    )
    return text.encode(), selection.values
