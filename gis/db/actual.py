"""What stands in the database: tables of schema ``layer``, and the definitions they were made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import Connection
from psycopg.sql import SQL, Composable, Identifier

from gis.db.sql import LAYERS

_TABLES = """
SELECT c.relname::text, array_agg(a.attname::text), array_agg(format_type(a.atttypid, a.atttypmod))
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'layer'
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p')
GROUP BY c.oid, c.relname
"""

_APPLIED = "SELECT id, fingerprint, definition FROM bandoso.layer"


@dataclass(frozen=True)
class Applied:
    """A layer's row in ``bandoso.layer``."""

    fingerprint: str
    definition: dict[str, Any]

    @property
    def retired(self) -> bool:
        return bool(self.definition.get("retired"))


def tables(connection: Connection) -> dict[str, dict[str, str]]:
    """Table -> column -> type (``bigint``, ``geometry``...), of all tables of the layers' schema."""
    rows = connection.execute(_TABLES).fetchall()
    return {name: dict(zip(columns, types, strict=True)) for name, columns, types in rows}


def applied(connection: Connection) -> dict[str, Applied]:
    """Layer id -> what was applied last."""
    return {row[0]: Applied(row[1], row[2]) for row in connection.execute(_APPLIED).fetchall()}


def check_names(connection: Connection, table: str) -> set[str]:
    """Names of the table's CHECK constraints."""
    rows = connection.execute(
        "SELECT conname::text FROM pg_constraint WHERE contype = 'c' AND conrelid = %s::regclass",
        (Identifier(LAYERS, table).as_string(connection),),
    )
    return {row[0] for row in rows.fetchall()}


def index_names(connection: Connection, table: str) -> set[str]:
    """Names of the table's indexes."""
    rows = connection.execute(
        "SELECT indexname::text FROM pg_indexes WHERE schemaname = %s AND tablename = %s", (LAYERS, table)
    )
    return {row[0] for row in rows.fetchall()}


def column_state(connection: Connection, table: str) -> dict[str, tuple[bool, bool]]:
    """Column -> (NOT NULL, has a default)."""
    rows = connection.execute(
        "SELECT attname::text, attnotnull, atthasdef FROM pg_attribute "
        "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
        (Identifier(LAYERS, table).as_string(connection),),
    )
    return {row[0]: (row[1], row[2]) for row in rows.fetchall()}


def count(connection: Connection, table: str, where: Composable | None = None) -> int:
    """Rows of a layer's table (for which ``where`` holds)."""
    query = SQL("SELECT count(*) FROM {}").format(Identifier(LAYERS, table))
    if where is not None:
        query += SQL(" WHERE ") + where
    row = connection.execute(query).fetchone()
    assert row
    return int(row[0])
