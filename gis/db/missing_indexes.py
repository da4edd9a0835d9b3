"""Builds indexes that a table lacks: dropped by hand, or never built by an older version's killed load."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from psycopg import Connection

from gis.db.ddl import Index, layer_indexes
from gis.db.sql import LAYERS
from layers.registry import Catalogue, Layer


def build_missing_indexes(connection: Connection, catalogue: Catalogue) -> list[str]:
    """Names of the indexes built; one query when all are there. A layer being loaded is left alone."""
    built = []
    for layer, _ in _missing(connection, catalogue.layers.values()):
        lock = (layer.id,)
        row = connection.execute(
            "SELECT pg_try_advisory_lock(hashtext('bandoso.load'), hashtext(%s))", lock
        ).fetchone()
        if not row or not row[0]:
            continue
        try:
            # Again under the lock: the load may have ended in between.
            for _, indexes in _missing(connection, [layer]):
                for index in indexes:
                    connection.execute(index.statement(layer.id))
                    built.append(index.name_on(layer.id))
        finally:
            connection.execute("SELECT pg_advisory_unlock(hashtext('bandoso.load'), hashtext(%s))", lock)
    return built


def _missing(connection: Connection, layers: Iterable[Layer]) -> list[tuple[Layer, list[Index]]]:
    standing: dict[str, set[str]] = defaultdict(set)
    rows = connection.execute(
        "SELECT tablename::text, indexname::text FROM pg_indexes WHERE schemaname = %s", (LAYERS,)
    )
    for table, name in rows.fetchall():
        standing[table].add(name)
    found = []
    for layer in layers:
        if layer.id in standing:
            lacking = [i for i in layer_indexes(layer) if i.name_on(layer.id) not in standing[layer.id]]
            if lacking:
                found.append((layer, lacking))
    return found
