"""Fingerprints of what ``prepare`` derives, kept in the database (bandoso.state)."""

from __future__ import annotations

from psycopg import Connection


def state(connection: Connection, key: str) -> str | None:
    """What ``set_state`` recorded."""
    value = one(connection, "SELECT value FROM bandoso.state WHERE key = %s", key)
    return None if value is None else str(value)


def set_state(connection: Connection, key: str, value: str) -> None:
    """Record the fingerprint of something derived."""
    connection.execute(
        "INSERT INTO bandoso.state (key, value) VALUES (%s, %s) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value, changed_at = now()",
        (key, value),
    )


def one(connection: Connection, query: str, *values: object) -> object:
    """First value of the first row of a static query; None without rows."""
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None
