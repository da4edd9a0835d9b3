"""Filters of a print: CQL2 for each layer, as those of items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from gis import crs
from gis.api.features.binding import Bind
from gis.api.features.filters import Compiler, FilterContext, read_filter
from gis.api.features.values import text_value
from gis.errors import UsageError
from gis.print.order import Condition, wrong
from layers.registry import Layer

#: Letters of the filters in the address of an image.
MOST_ADDRESS: Final = 4_000


def filters_of_address(text: str) -> dict[str, Any]:
    """The filters of an image: ``{"water_pipe": "diameter_mm >= 200"}``. Raises UsageError."""
    try:
        found = orjson.loads(text) if len(text) <= MOST_ADDRESS else None
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise wrong(
            "filter", f"filter is a JSON object: layer id and CQL2, of at most {MOST_ADDRESS} letters"
        )
    return found


def conditions_of(
    filters: Mapping[str, Any], layers: Sequence[Layer], storage: int, *, body: bool = True
) -> dict[str, Condition]:
    """The conditions of CQL2 filters (text, or JSON as an object) by layer id; geometries are in CRS84.

    Raises UsageError that names the layer, by its place in the body, or by the parameter of an address.
    """
    by_id = {layer.id: layer for layer in layers}
    found: dict[str, Condition] = {}
    for layer_id, given in filters.items():
        layer = by_id.get(layer_id)
        if layer is None:
            raise wrong("filter", "filter names a layer that is not on the map", "name it in layers too")
        bind = Bind()
        try:
            if isinstance(given, str):
                tree = read_filter(text_value(given, "filter"), "cql2-text")
            elif isinstance(given, dict):
                tree = read_filter(orjson.dumps(given).decode(), "cql2-json")
            else:
                raise wrong("filter", "a filter is CQL2 text, or CQL2 JSON as an object")
            condition = Compiler(FilterContext(layer, crs.CRS84, storage), bind).condition(tree)
        except UsageError as error:
            raise type(error)(
                f"{layer_id}: {error.message}",
                code=error.code,
                hint=error.hint,
                errors=[
                    {"pointer": f"/filter/{layer_id}", "detail": error.message}
                    if body
                    else {"parameter": "filter", "detail": error.message}
                ],
            ) from None
        found[layer_id] = Condition(condition.as_string(None), bind.values)
    return found
