"""The one place where SQL is put together. Names are always quoted, values always bound."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from psycopg import sql
from psycopg.sql import Composable, Composed, Identifier

from layers.model import FieldDef
from layers.registry import Layer

#: Static SQL beside this module.
FOLDER = Path(__file__).parent / "sql"

#: Schema of the layers' tables, and of our own tables and functions.
LAYERS = "layer"
OWN = "bandoso"

#: Schema of the views that show members what is hidden from others (gis.db.door).
MEMBERS = "member"

#: Schema of the tile-ready tables (gis.db.web).
WEB = "web"

READER = "bandoso_reader"
#: Who has logged in: the reader's rights, and the views of schema member.
MEMBER = "bandoso_member"
#: Writes features, row by row as the policies of gis.db.door allow.
EDITOR = "bandoso_editor"
#: Judges edits: reads every layer, writes findings.
CHECKER = "bandoso_checker"
#: Looks up logins and manages accounts by the functions of gis/db/sql/0009_identity.sql, and nothing else.
DOOR = "bandoso_door"
#: May call the functions of jobs, and nothing else (gis/db/sql/0007_jobs.sql).
JOBS = "bandoso_jobs"
APP = "bandoso_app"


def table(layer: Layer) -> Identifier:
    """The layer's table; for a layer as members see it (Layer.revealed), their view."""
    return Identifier(MEMBERS if layer.revealed else LAYERS, layer.id)


def is_code(layer: Layer, f: FieldDef) -> bool:
    """Whether the field's texts are compared by their bytes (COLLATE "C"): what an index or a key names."""
    keyed = f.index or f.name == "asset_id" or any(f.name in key for key in layer.definition.keys)
    return keyed and f.type == "string"


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
