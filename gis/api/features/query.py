"""One statement for a page of features, in which PostGIS writes the bytes.

Three levels, from the inside: the rows of the page (plain columns; sorting, skipping and limiting happen
here, so that nothing is computed for a row that is left out), their running number and size, and the
aggregate of their texts. One row more than asked for is read, and tells whether there is a next page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from psycopg import sql

from gis.api.features.binding import Bind
from gis.api.features.params import ItemsQuery, SortKey, View
from gis.api.features.where import conditions, where
from gis.crs import definition
from gis.db.sql import column, columns, table
from layers.model import FieldDef
from layers.registry import Layer

#: Stored bytes of geometry after which a page ends before its limit (the next link goes on from there):
#: 10,000 features may have 200,000 vertices each. As GeoJSON this is about twice as much.
PAGE_BYTES: Final = 24_000_000

#: Between two features of the aggregate; cannot occur inside JSON text.
SEPARATOR: Final = ",\n"


@dataclass(frozen=True)
class Statement:
    """A statement and its values."""

    text: sql.Composed
    values: dict[str, object]


def rows_of_page(
    layer: Layer, query: ItemsQuery, storage: int, bind: Bind, wanted: tuple[FieldDef, ...]
) -> sql.Composed:
    """``SELECT`` of the page's rows: fid, the wanted fields, geom, and n and ok (see ``_marked``)."""
    found = conditions(layer, query, storage, bind)
    if query.after is not None:
        found.append(_after(query.sort, query.after.keys, query.after.fid, bind))
    names = dict.fromkeys(["fid", *(f.name for f in wanted), *(k.field.name for k in query.sort), "geom"])
    inner = sql.SQL("SELECT {} FROM {} {} ORDER BY {} LIMIT {}{}").format(
        columns(names),
        table(layer),
        where(found),
        _order(query.sort),
        bind.add(query.limit + 1, "integer"),
        sql.SQL(" OFFSET {}").format(bind.add(query.offset, "integer")) if query.offset else sql.SQL(""),
    )
    return _marked(inner, bind.add(query.limit, "integer"), layer)


def _marked(inner: sql.Composed, limit: sql.Composed, layer: Layer) -> sql.Composed:
    """Adds n (1, 2, ...) and ok: the row is part of the page, by number and by size."""
    size = sql.SQL("sum(pg_column_size(geom)) OVER (ROWS UNBOUNDED PRECEDING)")
    if layer.definition.geometry == "Point":
        size = sql.SQL("0")
    return sql.SQL(
        "SELECT *, n <= {limit} AND (bytes < {most} OR n = 1) AS ok"
        " FROM (SELECT *, row_number() OVER () AS n, {size} AS bytes FROM ({inner}) AS page) AS numbered"
    ).format(limit=limit, most=sql.Literal(PAGE_BYTES), size=size, inner=inner)


def text_page(
    layer: Layer,
    query: ItemsQuery,
    storage: int,
    feature: sql.Composable,
    needed: tuple[FieldDef, ...],
) -> Statement:
    """A page as one text: ``feature`` is the SQL text of one feature of alias ``i``, with fields ``needed``.

    Gives one row: bytes of the features with SEPARATOR between them (null if none), how many they are,
    whether there are more, the last fid, and its sort keys as text.
    """
    bind = Bind()
    rows = rows_of_page(layer, query, storage, bind, needed)
    last = sql.SQL(", ").join([_last("i.fid"), *(_last_key(k) for k in query.sort)])
    return Statement(
        sql.SQL(
            "SELECT convert_to(string_agg({feature}, {separator}) FILTER (WHERE ok), 'UTF8'),"
            " count(*) FILTER (WHERE ok), bool_or(NOT ok), {last}, {total} FROM ({rows}) AS i"
        ).format(
            feature=feature,
            separator=sql.Literal(SEPARATOR),
            last=last,
            total=total(layer, query),
            rows=rows,
        ),
        bind.values,
    )


def record_page(layer: Layer, query: ItemsQuery, storage: int, shape: sql.Composable | None) -> Statement:
    """A page as rows: the view's fields, ``shape`` (SQL of alias ``i``), then fid, sort keys, ok and total.

    The row after the page, if any, comes too, with ok false.
    """
    bind = Bind()
    rows = rows_of_page(layer, query, storage, bind, query.view.fields)
    wanted = [*(column(f.name, "i") for f in query.view.fields), *([shape] if shape else [])]
    keys = [sql.SQL("{}::text").format(column(k.field.name, "i")) for k in query.sort]
    return Statement(
        sql.SQL("SELECT {} FROM ({}) AS i ORDER BY n").format(
            sql.SQL(", ").join([*wanted, column("fid", "i"), *keys, column("ok", "i"), total(layer, query)]),
            rows,
        ),
        bind.values,
    )


def total(layer: Layer, query: ItemsQuery) -> sql.Composable:
    """Rows of the whole layer, kept by triggers; null where the request selects some of them."""
    if query.selects:
        return sql.SQL("NULL::bigint")
    return sql.SQL("(SELECT bandoso.row_count({}))").format(sql.Literal(layer.id))


def one_feature(layer: Layer, feature: sql.Composable, fid: int) -> Statement:
    """Bytes and version of one feature."""
    bind = Bind()
    return Statement(
        sql.SQL("SELECT convert_to({}, 'UTF8'), i.version FROM {} AS i WHERE fid = {}").format(
            feature, table(layer), bind.add(fid, "integer")
        ),
        bind.values,
    )


def one_record(layer: Layer, view: View, storage: int, fid: int) -> Statement:
    """Fields of one feature, its geometry as text (null if left out), fid and version."""
    bind = Bind()
    shape: sql.Composable = sql.SQL("NULL")
    if view.geometry:
        shape = sql.SQL("ST_AsText({}, {})").format(shape_of(view, storage), digits(view))
    names = [column(f.name, "i") for f in view.fields]
    return Statement(
        sql.SQL("SELECT {}, i.fid, i.version FROM {} AS i WHERE fid = {}").format(
            sql.SQL(", ").join([*names, shape]), table(layer), bind.add(fid, "integer")
        ),
        bind.values,
    )


def version_of(layer: Layer, fid: int) -> Statement:
    """The version of one feature."""
    bind = Bind()
    return Statement(
        sql.SQL("SELECT version FROM {} WHERE fid = {}").format(table(layer), bind.add(fid, "integer")),
        bind.values,
    )


def shape_of(view: View, storage: int) -> sql.Composed:
    """The geometry of alias ``i`` in the view's CRS and axis order."""
    shape = column("geom", "i")
    made = sql.SQL("{}").format(shape)
    if view.crs.code != storage:
        made = sql.SQL("ST_Transform({}, {})").format(shape, sql.Literal(view.crs.code))
    return sql.SQL("ST_FlipCoordinates({})").format(made) if view.crs.swap else made


def digits(view: View) -> sql.Literal:
    """Decimals of coordinates: 0.1 mm in the plane and on the ground."""
    return sql.Literal(4 if definition(view.crs.code).projected else 9)


def _order(sort: tuple[SortKey, ...]) -> sql.Composed:
    keys = [
        sql.SQL("{} {}").format(
            column(k.field.name), sql.SQL("DESC NULLS FIRST" if k.descending else "ASC NULLS LAST")
        )
        for k in sort
    ]
    return sql.SQL(", ").join([*keys, column("fid")])


def _last(name: str) -> sql.Composed:
    alias, _, field = name.partition(".")
    return sql.SQL("(array_agg({}) FILTER (WHERE ok))[count(*) FILTER (WHERE ok)]").format(
        column(field, alias)
    )


def _last_key(key: SortKey) -> sql.Composed:
    return sql.SQL("(array_agg({}::text) FILTER (WHERE ok))[count(*) FILTER (WHERE ok)]").format(
        column(key.field.name, "i")
    )


def _after(sort: tuple[SortKey, ...], values: tuple[str | None, ...], fid: int, bind: Bind) -> sql.Composed:
    """Rows that come after the one with these sort keys and fid.

    With keys a, b: after on a; or equal on a, and (after on b; or equal on b, and fid greater). A null
    comes last when ascending and first when descending, as in _order.
    """
    made = sql.SQL("{} > {}").format(column("fid"), bind.add(fid, "integer"))
    for key, value in reversed(list(zip(sort, values, strict=True))):
        name = column(key.field.name)
        if value is None:
            equal = sql.SQL("{} IS NULL").format(name)
            beyond = sql.SQL("{} IS NOT NULL").format(name) if key.descending else sql.SQL("FALSE")
        else:
            # the token's text, in the type of the column
            bound = sql.SQL("{}::{}").format(bind.add(value, "string"), bind.type_of(key.field.type))
            equal = sql.SQL("{} = {}").format(name, bound)
            if key.descending:
                beyond = sql.SQL("{} < {}").format(name, bound)
            else:
                beyond = sql.SQL("({n} > {v} OR {n} IS NULL)").format(n=name, v=bound)
        made = sql.SQL("({} OR ({} AND {}))").format(beyond, equal, made)
    return made
