"""Which features of a layer are equal in some columns: found by the database, read a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC
from functools import partial
from typing import Any

import numpy as np
import psycopg
from psycopg.sql import SQL, Composed

from gis.checks.dbrows import features_of, select, starts
from gis.checks.features import Features, Ints
from gis.checks.source import PORTION, Repeated, plain
from gis.db import sql as names
from gis.db.ddl import SQL_TYPES
from layers.registry import Layer

#: Values that are looked up one by one; more in one statement.
_MANY = 8
Rows = list[tuple[Any, ...]]


# --- everywhere ---------------------------------------------------------------------------------------


def repeated_everywhere(
    connection: psycopg.Connection[Any],
    layer: Layer,
    columns: Sequence[str],
    more: Sequence[str],
    held: Sequence[str],
) -> Iterator[Repeated]:
    """All groups (Source.repeated). The connection is in a transaction. Raises psycopg.Error.

    The database sorts hashes of the values: 8 bytes a row, spilled to its disk where work_mem is not enough;
    this process holds PORTION features. A column that a unique index keeps from repeating is not looked at.
    """
    if _kept_unique(connection, layer, columns):
        return
    keys = SQL(", ").join(map(names.column, columns))
    given = SQL(" AND ").join(
        SQL("{} IS NOT NULL").format(names.column(name)) for name in dict.fromkeys([*held, columns[-1]])
    )
    hashed = SQL(
        "(SELECT fid, asset_id, hash_record_extended(ROW({}), 0) AS hash__ FROM {} WHERE {}) AS t"
    ).format(keys, names.table(layer), given)
    query = SQL(
        "SELECT t.fid, t.hash__ FROM {hashed} WHERE t.hash__ IN"
        " (SELECT t.hash__ FROM {hashed} GROUP BY t.hash__ HAVING count(*) > 1)"
        " ORDER BY t.hash__, t.asset_id, t.fid"
    ).format(hashed=hashed)
    wanted = tuple(dict.fromkeys([*columns, *more]))
    pick = SQL("SELECT {} FROM {} WHERE fid = ANY (%s)").format(select(layer, wanted), names.table(layer))
    goes_on = None
    with connection.cursor("repeated", binary=True) as cursor:
        cursor.execute(query)
        for fids, hashes in _portions(cursor):
            rows = connection.execute(pick, [fids.tolist()], binary=True).fetchall()
            found = features_of(layer, wanted, rows)
            found = found.take(np.argsort(found.fid)[np.searchsorted(np.sort(found.fid), fids)])
            for some in np.split(np.arange(len(fids)), starts(hashes)):
                again = goes_on == hashes[some[0]]
                for members in _alike(found, some, columns):
                    if len(members) > 1 or again:
                        yield Repeated(found.take(members), again)
            goes_on = hashes[-1]


def _portions(cursor: psycopg.ServerCursor[Any]) -> Iterator[tuple[Ints, Ints]]:
    """(fids, hashes) of about PORTION rows: of whole groups, unless one fills a portion by itself."""
    left: Rows = []
    while rows := cursor.fetchmany(PORTION):
        left += rows
        last = left[-1][1]
        end = next((n for n in range(len(left), 0, -1) if left[n - 1][1] != last), 0)
        if end or len(left) >= PORTION:
            yield _arrays(left[: end or None])
            left = left[end:] if end else []
    if left:
        yield _arrays(left)


def _arrays(rows: Rows) -> tuple[Ints, Ints]:
    both = np.array(rows, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _alike(found: Features, some: Ints, columns: Sequence[str]) -> list[Ints]:
    """Those of one hash by their values: two different ones may have the same hash."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for row, key in zip(some.tolist(), zip(*(found[n][some] for n in columns), strict=True), strict=True):
        groups.setdefault(tuple(map(plain, key)), []).append(row)
    return [np.array(members, dtype=np.int64) for members in groups.values()]


_UNIQUE = """
SELECT array_agg(a.attname::text), bool_and(a.attnotnull)
FROM pg_index AS i, unnest(i.indkey[0:i.indnkeyatts - 1]) AS k (attnum)
LEFT JOIN pg_attribute AS a ON a.attrelid = %(table)s::regclass AND a.attnum = k.attnum
WHERE i.indrelid = %(table)s::regclass AND i.indisunique AND i.indisvalid AND i.indimmediate
 AND i.indpred IS NULL AND i.indexprs IS NULL
GROUP BY i.indexrelid
"""


def _kept_unique(connection: psycopg.Connection[Any], layer: Layer, columns: Sequence[str]) -> bool:
    """Whether a unique index lets no two rows be equal in ``columns``."""
    table = names.table(layer).as_string(connection)
    rows = connection.execute(_UNIQUE, {"table": table}).fetchall()
    return any(filled and set(of) <= set(columns) for of, filled in rows)


# --- among some values --------------------------------------------------------------------------------


def repeated_among(
    ask: Callable[[Any, Callable[[], Composed], Sequence[Any]], Rows],
    layer: Layer,
    columns: Sequence[str],
    more: Sequence[str],
    held: Sequence[str],
    among: Sequence[Sequence[Any]],
) -> Iterator[Repeated]:
    """Groups with one of some values: each is looked up by itself, by the index of a key where there is one
    (which IS NOT DISTINCT FROM would not use). ``ask`` gives the rows of a statement with values; the
    statement is made once for its key."""
    wanted = tuple(dict.fromkeys([*columns, *more]))
    given = [name in held or name == columns[-1] for name in columns]
    alike: dict[tuple[bool, ...], list[tuple[Any, ...]]] = {}
    for values in dict.fromkeys(tuple(map(partial(_bound, layer), columns, row)) for row in among):
        nulls = tuple(value is None for value in values)
        if not any(null and must for null, must in zip(nulls, given, strict=True)):
            alike.setdefault(nulls, []).append(values)
    for nulls, some in alike.items():
        if len(some) > _MANY:
            # In one statement: a thousand of them took three seconds of a busy machine.
            columns_of = zip(zip(*some, strict=True), nulls, strict=True)
            rows = ask(
                ("equal-many", layer.id, tuple(columns), wanted, nulls),
                partial(_equal_many_query, layer, columns, wanted, nulls),
                [list(column) for column, null in columns_of if not null],
            )
            if rows:
                found = features_of(layer, wanted, [row[:-1] for row in rows])
                for members in np.split(np.arange(len(rows)), starts(np.array([row[-1] for row in rows]))):
                    yield Repeated(found.take(members))
            continue
        for values in some:
            rows = ask(
                ("equal", layer.id, tuple(columns), wanted, nulls),
                partial(_equal_query, layer, columns, wanted, nulls),
                [value for value in values if value is not None],
            )
            if len(rows) > 1:
                yield Repeated(features_of(layer, wanted, rows))


def _equal_query(
    layer: Layer, columns: Sequence[str], wanted: Sequence[str], nulls: Sequence[bool]
) -> Composed:
    """Features with certain values; null where ``nulls`` says so."""
    where = SQL(" AND ").join(
        SQL("{} IS NULL" if null else "{} = %s").format(names.column(name))
        for name, null in zip(columns, nulls, strict=True)
    )
    return SQL("SELECT {} FROM {} WHERE {} ORDER BY asset_id").format(
        select(layer, wanted), names.table(layer), where
    )


def _equal_many_query(
    layer: Layer, columns: Sequence[str], wanted: Sequence[str], nulls: Sequence[bool]
) -> Composed:
    """As _equal_query for arrays of values: the groups of two or more, with the number of the values.

    LATERAL with an order is never joined otherwise than value by value, by the index that one would use.
    """
    types = {f.name: SQL_TYPES[f.type] for f in layer.fields}
    given = [name for name, null in zip(columns, nulls, strict=True) if not null]
    where = SQL(" AND ").join(
        SQL("r.{0} IS NULL" if null else "r.{0} = g.{0}").format(names.column(name))
        for name, null in zip(columns, nulls, strict=True)
    )
    return SQL(
        "SELECT {select}, t.number__ FROM ("
        " SELECT r.*, g.number__, count(*) OVER (PARTITION BY g.number__) AS together__"
        " FROM unnest({arrays}) WITH ORDINALITY AS g ({heads}, number__),"
        " LATERAL (SELECT * FROM {table} AS r WHERE {where} ORDER BY r.asset_id) AS r) AS t"
        " WHERE t.together__ > 1 ORDER BY t.number__, t.asset_id"
    ).format(
        select=select(layer, wanted, of_table="t"),
        arrays=SQL(", ").join(SQL(f"%s::{types[name]}[]") for name in given),
        heads=names.columns(given),
        table=names.table(layer),
        where=where,
    )


def _bound(layer: Layer, name: str, value: Any) -> Any:
    """A value of a column as Features holds it, in the column's own type (else no index serves it)."""
    if isinstance(value, np.datetime64):
        if np.isnat(value):
            return None
        field = layer.field(name)
        moment = value.astype("M8[us]").item()
        return moment.date() if field is not None and field.type == "date" else moment.replace(tzinfo=UTC)
    if isinstance(value, float | np.floating):
        if np.isnan(value):
            return None
        field = layer.field(name)
        return int(value) if field is not None and field.type == "integer" else float(value)
    return value.item() if isinstance(value, np.generic) else value
