"""A layer as it was at a time: ``datetime=<instant>`` of items, an item and exports, where history is kept.

A version of a feature is valid from its updated_at until the next one, or for ever. That is its time in the
sense of OGC API Features, so an instant selects the versions that were valid then: one of each feature that
there was, with the attributes, geometry and version that it had. A day stands for its end. An interval
selects by updated_at as a plain instant: the features as they are, that were last changed within it. Layers
whose time is their own (flood_spot: observed_at) have ``datetime`` for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from psycopg import AsyncConnection, sql

from gis.api.features.binding import Bind
from gis.api.features.values import Interval, interval_value
from gis.db.past import UNTIL, past_table
from gis.db.sql import column, table
from gis.errors import UsageError
from layers.registry import Layer

_TEMPORAL: Final = ("updated_at",)


def keeps_states(layer: Layer) -> bool:
    """Whether an instant asks for the layer as it was then."""
    return layer.definition.history and layer.definition.temporal == _TEMPORAL


def read_datetime(given: Mapping[str, str], layer: Layer) -> tuple[datetime | None, Interval | None]:
    """The time whose state is wanted, or the interval to select by; neither when not asked for."""
    if "datetime" not in given:
        return None, None
    interval = interval_value(given["datetime"])
    if keeps_states(layer) and "/" not in given["datetime"]:
        return interval[1], None
    return None, interval


def sources(layer: Layer, moment: datetime, bind: Bind) -> tuple[tuple[str, str], tuple[str, str]]:
    """What stands since before ``moment``, and what stood then and does not now: (FROM, condition) of each.

    They have no row in common, and the same columns.
    """
    at = bind.add(moment, "datetime")
    began = sql.SQL("{} <= {}").format(column("updated_at"), at)
    ended = sql.SQL("{} > {}").format(column(UNTIL), at)
    return (
        (table(layer).as_string(None), began.as_string(None)),
        (past_table(layer).as_string(None), sql.SQL("{} AND {}").format(began, ended).as_string(None)),
    )


async def require_known(connection: AsyncConnection[Any], layer: Layer, moment: datetime) -> None:
    """Raise UsageError where the layer's history does not reach back to ``moment``."""
    begins = await history_begins(connection, layer)
    if begins is not None and moment < begins:
        said = begins.isoformat(timespec="seconds")
        raise UsageError(
            f"what {layer.id} was before {said} is not known",
            code="history-unknown",
            hint="its history was purged up to then, or not kept before",
            errors=[{"parameter": "datetime", "detail": f"must be {said} or later"}],
        )


async def history_begins(connection: AsyncConnection[Any], layer: Layer) -> datetime | None:
    """Since when the layer's history is whole; None: since its first feature."""
    cursor = await connection.execute("SELECT bandoso.history_begins(%s)", [layer.id])
    row = await cursor.fetchone()
    return None if row is None else row[0]
