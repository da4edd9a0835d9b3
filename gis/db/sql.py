"""The one place where SQL is put together. Names are always quoted, values always bound."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from psycopg import sql
from psycopg.sql import Composable, Composed, Identifier

from layers.registry import Layer

#: Static SQL beside this module.
FOLDER = Path(__file__).parent / "sql"

#: Schema of the layers' tables, and of our own tables and functions.
LAYERS = "layer"
OWN = "bandoso"

READER = "bandoso_reader"
#: May call the functions of jobs, and nothing else (gis/db/sql/0007_jobs.sql).
JOBS = "bandoso_jobs"
APP = "bandoso_app"


def table(layer: Layer) -> Identifier:
    """The layer's table."""
    return Identifier(LAYERS, layer.id)


def column(name: str, of: str | None = None) -> Identifier:
    """A column, optionally of a table's alias."""
    return Identifier(of, name) if of else Identifier(name)


def columns(names: Iterable[str], of: str | None = None) -> Composed:
    """Columns with commas between them."""
    return sql.SQL(", ").join(column(name, of) for name in names)


def function(name: str, *arguments: Composable, schema: str = OWN) -> Composed:
    """A call of one of our functions."""
    return sql.SQL("{}({})").format(Identifier(schema, name), sql.SQL(", ").join(arguments))


def rendered(query: Composable) -> bytes:
    """A statement of names alone as its text: composing costs more than running a short one."""
    return query.as_bytes(None)


def static(name: str) -> str:
    """Text of a file in ``gis/db/sql/``."""
    return (FOLDER / name).read_text(encoding="utf-8")
