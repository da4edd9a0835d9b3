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

#: Of each connection; PostgreSQL holds it only while it builds an index.
_MEMORY = "256MB"
#: The search index is built alone; with less it is sorted into place several times over.
_SEARCH_MEMORY = "512MB"


def search_index(layer: Layer) -> Index | None:
    """The index of ``q``: it takes as long as all others together, and no constraint hangs on it."""
    return next((index for index in layer_indexes(layer) if index.suffix == ("q", "idx")), None)


def build_search_index(dsn: str, layer: Layer) -> None:
    """Build the layer's search index when it is not there; readers go on, writers wait.

    CREATE INDEX CONCURRENTLY would let writers go on, but took 29 s in place of 15 s for a million parcels.
    """
    index = search_index(layer)
    if index is None:
        return
    name = Identifier(LAYERS, index.name_on(layer.id))
    with connect(dsn) as connection:
        row = connection.execute("SELECT to_regclass(%s)", [name.as_string(None)]).fetchone()
        if row and row[0] is None:
            connection.execute("SELECT set_config('maintenance_work_mem', %s, false)", [_SEARCH_MEMORY])
            connection.execute(index.statement(layer.id))


def build_indexes(dsn: str, layer: Layer, table: str, *, search: bool = True) -> list[Duplicate]:
    """Build the indexes of the layer on ``table`` and analyse it; gives the rows removed as duplicates.

    ``search``: the search index too.
    A unique index is simply tried: only when it fails are the repeated rows looked for, taken out and
    reported, and the index built again. Raises what a connection raised.
    """
    found: list[Duplicate] = []
    left_out = None if search else search_index(layer)
    indexes = sorted((i for i in layer_indexes(layer) if i != left_out), key=_cost, reverse=True)
    tasks: list[Task] = [_index_task(layer, index, table, found) for index in indexes]
    tasks.append(SQL("ANALYZE {}").format(Identifier(LAYERS, table)))
    run_side_by_side(dsn, tasks, memory=_MEMORY)
    with connect(dsn) as alone:
        for index in indexes:
            if index.primary:
                # ALTER TABLE wants the table for itself; with its index there it takes no time.
                alone.execute(_primary(index, table, "ALTER TABLE {on} ADD PRIMARY KEY USING INDEX {name}"))
    return found


def _cost(index: Index) -> int:
    """Search and geometry take longest: they go first, so that no connection is left with them alone."""
    text = index.text.as_string(None)
    return 3 if "USING gin" in text else 2 if "USING gist" in text else 1 if "NULLS" in text else 0


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
