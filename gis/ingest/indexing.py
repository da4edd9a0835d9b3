"""Indexes of a freshly filled table, built side by side on several connections.

Nobody sees the table yet, so it may be committed before its indexes are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from gis.db.connect import connect
from gis.db.ddl import Index, layer_indexes
from gis.db.side_by_side import Task, run_side_by_side
from gis.db.sql import LAYERS
from gis.ingest.merge import Duplicate, drop_repeated, unique_keys
from layers.registry import Layer

#: maintenance_work_mem of each connection; PostgreSQL holds it only while it builds an index.
MEMORY = "256MB"


def build_indexes(dsn: str, layer: Layer, table: str) -> list[Duplicate]:
    """Build the indexes of the layer on ``table`` and analyse it; gives the rows removed as duplicates.

    A unique index is simply tried: only when it fails are the repeated rows looked for, taken out and
    reported, and the index built again. Raises what a connection raised.
    """
    found: list[Duplicate] = []
    # No connection is left with the dearest alone.
    indexes = sorted(layer_indexes(layer), key=lambda index: -index.cost)
    tasks: list[Task] = [_index_task(layer, index, table, found) for index in indexes]
    tasks.append(SQL("ANALYZE {}").format(Identifier(LAYERS, table)))
    run_side_by_side(dsn, tasks, memory=MEMORY)
    with connect(dsn) as alone:
        for index in indexes:
            if index.primary:
                # ALTER TABLE wants the table for itself; with its index there it takes no time.
                alone.execute(_primary(index, table, "ALTER TABLE {on} ADD PRIMARY KEY USING INDEX {name}"))
    return found


def _index_task(layer: Layer, index: Index, table: str, found: list[Duplicate]) -> Task:
    def task(connection: psycopg.Connection) -> None:
        if index.primary:
            connection.execute(_primary(index, table, "CREATE UNIQUE INDEX {name} ON {on} (fid)"))
            return
        try:
            connection.execute(index.statement(table))
        except psycopg.errors.UniqueViolation:
            key = _key_of(layer, index)
            found.extend(drop_repeated(connection, Identifier(LAYERS, table), key))
            connection.execute(index.statement(table))

    return task


def _primary(index: Index, table: str, text: LiteralString) -> Composed:
    return SQL(text).format(on=Identifier(LAYERS, table), name=Identifier(index.name_on(table)))


def _key_of(layer: Layer, index: Index) -> Sequence[str]:
    """The columns of a unique index of the layer."""
    return next(key for key in unique_keys(layer) if index.suffix == (*key, "key"))
