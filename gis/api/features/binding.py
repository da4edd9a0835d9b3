"""Typed placeholders: the only way in which a value of a request reaches a statement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from psycopg import sql
from psycopg.types.numeric import Float8, Int8

_CASTS: Final[dict[str, sql.SQL]] = {
    "string": sql.SQL("text"),
    "integer": sql.SQL("bigint"),
    "number": sql.SQL("double precision"),
    "boolean": sql.SQL("boolean"),
    "date": sql.SQL("date"),
    "datetime": sql.SQL("timestamptz"),
    "geometry": sql.SQL("geometry"),
}


class Bind:
    """Collects values of one statement under names (prefix p) p0, p1, ... in the order of ``add``.

    The type is always stated, also to the driver (Int8, Float8): psycopg would else choose smallint
    or integer by the value, and PostgreSQL would prepare one statement for each of them.
    """

    def __init__(self, prefix: str = "p") -> None:
        self.values: dict[str, object] = {}
        self._prefix = prefix

    def add(self, value: object, kind: str) -> sql.Composed:
        """A placeholder for ``value``, cast to the column type of the field type ``kind``."""
        return sql.SQL("{}::{}").format(self._place(_driver(value, kind)), _CASTS[kind])

    def array(self, values: Iterable[object], kind: str) -> sql.Composed:
        """A placeholder for a list of values of one kind."""
        items = [_driver(v, kind) for v in values]
        return sql.SQL("{}::{}[]").format(self._place(items), _CASTS[kind])

    @staticmethod
    def type_of(kind: str) -> sql.SQL:
        """The column type of a field type."""
        return _CASTS[kind]

    def _place(self, value: object) -> sql.Placeholder:
        name = f"{self._prefix}{len(self.values)}"
        self.values[name] = value
        return sql.Placeholder(name)


def _driver(value: object, kind: str) -> object:
    if kind == "integer":
        return Int8(value)  # type: ignore[arg-type]
    if kind == "number":
        return Float8(value)  # type: ignore[arg-type]
    return value
