"""Which column types may become which, because no value is lost."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg.sql import SQL, Composed, Identifier

#: A double holds every integer up to here.
_EXACT = 2**53


@dataclass(frozen=True)
class Conversion:
    """``expression`` gives the new value; rows for which ``loses`` holds cannot be converted exactly."""

    expression: Composed
    loses: Composed | None = None


def conversion(name: str, old: str, new: str) -> Conversion | None:
    """How a column's values pass to another type; None when they might lose something.

    Times become ISO 8601 in UTC, whatever zone the session has.
    """
    column = Identifier(name)
    if (old, new) == ("bigint", "double precision"):
        exact = SQL(f"{{}} NOT BETWEEN -{_EXACT} AND {_EXACT}")
        return Conversion(SQL("{}::double precision").format(column), exact.format(column))
    if new == "text" and old in ("bigint", "double precision", "boolean"):
        return Conversion(SQL("{}::text").format(column))
    if new == "text" and old == "date":
        return Conversion(SQL("to_char({}, 'YYYY-MM-DD')").format(column))
    if new == "text" and old == "timestamp with time zone":
        form = SQL("to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
        return Conversion(form.format(column))
    return None
