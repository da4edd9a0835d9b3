"""Indexes of all the demo's tables, built side by side on several connections.

The tables are committed before, under names that nobody reads. There are fifty, most of them small, and
all connections have work until the last one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg.sql import SQL, Composed, Identifier

from gis.db.ddl import build_name, layer_indexes, script
from gis.db.side_by_side import run_side_by_side
from gis.db.sql import LAYERS
from layers.registry import Layer

#: Rows above which each index of a table is a task of its own.
LARGE = 50_000
#: maintenance_work_mem of each connection.
MEMORY = "192MB"


def build_all(dsn: str, layers: Sequence[Layer], rows: Mapping[str, int]) -> None:
    """Build all indexes of the copies of ``layers`` and analyse them. Raises what a connection raised."""
    # ALTER TABLE ... PRIMARY KEY wants its table for itself, so it cannot run beside the others.
    for statements in _tasks(layers, rows):
        run_side_by_side(dsn, statements, memory=MEMORY)


def _tasks(layers: Sequence[Layer], rows: Mapping[str, int]) -> tuple[list[Composed], list[Composed]]:
    first: list[Composed] = []
    then: list[tuple[float, Composed]] = []
    for layer in layers:
        table, indexes = build_name(layer), layer_indexes(layer)
        analyze = SQL("ANALYZE {}").format(Identifier(LAYERS, table))
        count = rows.get(layer.id, 0)
        if count < LARGE:
            # One transaction, so one wait for the disk.
            first.append(script([*(i.statement(table) for i in indexes), analyze]))
            continue
        first += [i.statement(table) for i in indexes if i.primary]
        then += [(count * i.cost, i.statement(table)) for i in indexes if not i.primary]
        then.append((0, analyze))
    # The longest first, so that no connection is left with them alone.
    then.sort(key=lambda task: -task[0])
    return first, [statement for _, statement in then]
