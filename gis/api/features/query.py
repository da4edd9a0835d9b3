"""One statement for a page of features, in which PostGIS writes the bytes.

Three levels, from the inside: the rows of the page (plain columns; sorting, skipping and limiting happen
here, so that nothing is computed for a row that is left out), their running number and size, and the
aggregate of their texts. One row more than asked for is read, and tells whether there is a next page.

What is around a request's conditions depends only on its form, and is composed once for each form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import sql

from gis.api.features.asof import sources
from gis.api.features.binding import Bind
from gis.api.features.params import ItemsQuery, SortKey, View
from gis.api.features.where import Selection
from gis.crs import definition
from gis.db.sql import column, columns, table
from layers.model import FieldDef
from layers.registry import Layer

#: Stored bytes of geometry after which a page ends before its limit (the next link goes on from there):
#: 10,000 features may have 200,000 vertices each. As GeoJSON this is about twice as much.
PAGE_BYTES: Final = 24_000_000

#: Between two features of the aggregate; cannot occur inside JSON text.
SEPARATOR: Final = ",\n"

#: Rows read at least of a box. For ten the planner walks along the ids until it has met ten in the box,
#: which is the whole table where ids follow places (42 ms of 200,000 rows); for a thousand it takes the
#: spatial index first (6 ms).
_LEAST_IN_A_BOX: Final = 1001

#: Where table and conditions go. NUL can be in no SQL text.
_HERE: Final = "\0"

_MOST_FRAMES: Final = 2000
_frames: dict[tuple[object, ...], tuple[Layer, str, str]] = {}


@dataclass(frozen=True)
class Statement:
    """A statement and its values.

    ``prepare`` False: the plan must know the values. Prepared, PostgreSQL soon plans for any box alike,
    and sorts all features of a large one to find the first ten (0.3 s in place of 2 ms for 200,000).
    """

    text: bytes
    values: dict[str, object]
    prepare: bool | None = None


@dataclass(frozen=True)
class PageForm:
    """What the text of a page's statement depends on, beside its conditions.

    ``output`` names the columns: SQL of alias ``i`` that ``columns`` makes when the form is new.
    ``needed`` are the fields that these columns use.
    """

    layer: Layer
    query: ItemsQuery
    storage: int
    output: str
    needed: tuple[FieldDef, ...]
    columns: Callable[[], Sequence[sql.Composable]]


def rows_read(query: ItemsQuery) -> int:
    """Most rows that the statement of a page reads; if it meets fewer, they are all that are left."""
    spatial = query.bbox is not None or query.sheet is not None
    return max(query.limit + 1, _LEAST_IN_A_BOX if spatial else 0)


def text_page(form: PageForm, selection: Selection) -> Statement:
    """A page as one text; the one column is the text of one feature.

    Gives one row: bytes of the features with SEPARATOR between them (null if none), how many they are,
    how many rows were read, the last fid, its sort keys as text, and the layer's row count (null where
    the request selects).
    """

    def frame() -> sql.Composed:
        return sql.SQL(
            "SELECT convert_to(string_agg({feature}, {separator}) FILTER (WHERE ok), 'UTF8'),"
            " count(*) FILTER (WHERE ok), count(*), {last}, {total} FROM ({rows}) AS i"
        ).format(
            feature=form.columns()[0],
            separator=sql.Literal(SEPARATOR),
            last=sql.SQL(", ").join(
                sql.SQL("(array_agg({}) FILTER (WHERE ok))[count(*) FILTER (WHERE ok)]").format(c)
                for c in _keys(form.query)
            ),
            total=_total(form),
            rows=_rows(form),
        )

    return _statement(form, selection, "text", frame)


def stored_page(form: PageForm, selection: Selection) -> Statement:
    """A page as rows: the one column (of alias ``i`` only fid and sort keys are there), then fid, sort keys
    as text, how many rows were read, and the row count.

    For columns that are read, not computed: joined into one text, or counted by window functions as the other
    pages are, 1,000 stored features take twice as long. A page that is too large gives one row without a fid:
    ``text_page`` then finds out where it ends.
    """

    def frame() -> sql.Composed:
        keys = [k.field.name for k in form.query.sort]
        names = columns(list(dict.fromkeys(["fid", *keys])))
        return sql.SQL(
            "WITH page AS MATERIALIZED (SELECT {names}, {size} AS bytes FROM {here} ORDER BY {order}"
            " LIMIT %(more)s::bigint{offset}), whole AS MATERIALIZED (SELECT sum(bytes) AS bytes"
            " FROM (SELECT bytes FROM page LIMIT %(limit)s::bigint + 1) AS p)"
            " SELECT {columns}, {last}, {met}, {total} FROM (SELECT {names} FROM whole LEFT JOIN"
            " (SELECT {names} FROM page LIMIT %(limit)s::bigint) AS p ON whole.bytes < {most}"
            " ORDER BY {order} OFFSET 0) AS i"
        ).format(
            names=names,
            size=sql.SQL("0" if form.layer.definition.geometry == "Point" else "pg_column_size(geom)"),
            here=sql.SQL(_HERE),
            order=_order(form.query.sort),
            offset=sql.SQL(" OFFSET %(offset)s::bigint" if form.query.offset else ""),
            columns=sql.SQL(", ").join(form.columns()),
            last=sql.SQL(", ").join(_keys(form.query)),
            met=sql.SQL("(SELECT count(*) FROM page)"),
            total=_total(form),
            most=sql.Literal(PAGE_BYTES),
        )

    return _statement(form, selection, "stored", frame)


def record_page(form: PageForm, selection: Selection) -> Statement:
    """A page as rows: the columns, then fid, sort keys as text, how many were read, and the row count."""

    def frame() -> sql.Composed:
        last = [*form.columns(), *_keys(form.query), sql.SQL("i.read"), _total(form)]
        rows = sql.SQL("SELECT *, count(*) OVER () AS read FROM ({}) AS read").format(_rows(form))
        text = "SELECT {} FROM ({}) AS i WHERE ok ORDER BY n"
        return sql.SQL(text).format(sql.SQL(", ").join(last), rows)

    return _statement(form, selection, "records", frame)


def _statement(
    form: PageForm, selection: Selection, kind: str, compose: Callable[[], sql.Composed]
) -> Statement:
    query = form.query
    key = (
        id(form.layer),
        kind,
        form.output,
        form.storage,
        query.view.crs,
        query.view.geometry,
        tuple(f.name for f in query.view.fields),
        tuple(map(str, query.sort)),
        query.offset > 0,
        query.selects,
        PAGE_BYTES,
    )
    known = _frames.get(key)
    if known is None or known[0] is not form.layer:  # an id may come again after its layer is gone
        before, _, after = compose().as_string(None).partition(_HERE)
        if len(_frames) >= _MOST_FRAMES:
            _frames.clear()
        known = _frames[key] = (form.layer, before, after)
    further, values = _after(query)
    limits = {"limit": query.limit, "more": rows_read(query), "offset": query.offset}
    text = f"{known[1]}{_source(form, selection.apart(*further))}{known[2]}".encode()
    prepare = False if query.selects else None
    return Statement(text, {**selection.values, **values, **limits}, prepare)


def _source(form: PageForm, sources: tuple[str, ...]) -> str:
    """What the page's rows are read from, with the conditions.

    Branches are read each in the page's order and by a plan of its own. By one plan for either of them, the
    planner walked along the fids past 120,000 features whose ids begin otherwise, and worked out the words
    of each (1.7 s in place of 0.2 s). The same holds for what stands and what stood (gis.api.features.asof).
    """
    if len(sources) == 1:
        return sources[0]
    limit = "LIMIT %(more)s::bigint" + (" + %(offset)s::bigint" if form.query.offset else "")
    names, order = (c.as_string(None) for c in (columns(_names(form)), _order(form.query.sort)))
    parts = (f"(SELECT {names} FROM {source} ORDER BY {order} {limit})" for source in sources)  # noqa: S608
    return f"({' UNION ALL '.join(parts)}) AS either"


def _names(form: PageForm) -> list[str]:
    names = ["fid", *(f.name for f in form.needed), *(k.field.name for k in form.query.sort), "geom"]
    return list(dict.fromkeys(names))


def _rows(form: PageForm) -> sql.Composed:
    """``SELECT`` of the page's rows: the needed columns, n (1, 2, ...) and ok.

    A row is ok where it is part of the page, by its number and by the size of all before it.
    """
    query = form.query
    size = "sum(pg_column_size(geom)) OVER so_far"
    return sql.SQL(
        "SELECT *, n <= %(limit)s::bigint AND (bytes < {most} OR n = 1) AS ok"
        " FROM (SELECT *, row_number() OVER so_far AS n, {size} AS bytes"
        " FROM (SELECT {columns} FROM {here}"
        " ORDER BY {order} LIMIT %(more)s::bigint{offset}) AS page"
        " WINDOW so_far AS (ROWS UNBOUNDED PRECEDING)) AS numbered"
    ).format(
        most=sql.Literal(PAGE_BYTES),
        size=sql.SQL("0" if form.layer.definition.geometry == "Point" else size),
        columns=columns(_names(form)),
        here=sql.SQL(_HERE),
        order=_order(query.sort),
        offset=sql.SQL(" OFFSET %(offset)s::bigint" if query.offset else ""),
    )


def _total(form: PageForm) -> sql.Composable:
    """Rows of the whole layer, kept by triggers; null where the request selects some of them, or the caller
    may see only some."""
    if form.query.selects or form.layer.access != "public":
        return sql.SQL("NULL::bigint")
    return sql.SQL("(SELECT bandoso.row_count({}))").format(sql.Literal(form.layer.id))


def _keys(query: ItemsQuery) -> list[sql.Composable]:
    keys = [sql.SQL("{}::text").format(column(k.field.name, "i")) for k in query.sort]
    return [column("fid", "i"), *keys]


def _order(sort: tuple[SortKey, ...]) -> sql.Composed:
    keys = [
        sql.SQL("{} {}").format(
            column(k.field.name), sql.SQL("DESC NULLS FIRST" if k.descending else "ASC NULLS LAST")
        )
        for k in sort
    ]
    return sql.SQL(", ").join([*keys, column("fid")])


def _after(query: ItemsQuery) -> tuple[tuple[str, ...], dict[str, object]]:
    """Rows that come after the cursor's.

    With keys a, b: after on a; or equal on a, and (after on b; or equal on b, and fid greater). A null
    comes last when ascending and first when descending, as in _order.
    """
    cursor = query.after
    if cursor is None:
        return (), {}
    bind = Bind("k")
    made = sql.SQL("{} > {}").format(column("fid"), bind.add(cursor.fid, "integer"))
    for key, value in reversed(list(zip(query.sort, cursor.keys, strict=True))):
        name = column(key.field.name)
        if value is None:
            equal = sql.SQL("{} IS NULL").format(name)
            beyond = sql.SQL("{} IS NOT NULL").format(name) if key.descending else sql.SQL("FALSE")
        else:
            # the token's text, in the type of the column
            bound = sql.SQL("{}::{}").format(bind.add(value, "string"), bind.type_of(key.field.type))
            equal = sql.SQL("{} = {}").format(name, bound)
            form = "{n} < {v}" if key.descending else "({n} > {v} OR {n} IS NULL)"
            beyond = sql.SQL(form).format(n=name, v=bound)
        made = sql.SQL("({} OR ({} AND {}))").format(beyond, equal, made)
    return (made.as_string(None),), bind.values


def one_feature(layer: Layer, shown: sql.Composable, fid: int, as_of: datetime | None = None) -> Statement:
    """``shown`` (SQL of alias ``i``) and the version of one feature, now or at a time."""
    if as_of is None:
        text = sql.SQL("SELECT {}, i.version FROM {} AS i WHERE fid = %(fid)s::bigint").format(
            shown, table(layer)
        )
        return Statement(text.as_string(None).encode(), {"fid": fid})
    bind = Bind("t")
    names = columns([*(f.name for f in layer.public_fields), "geom"])
    either = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {} FROM {} WHERE fid = %(fid)s::bigint AND {}").format(
            names, sql.SQL(name), sql.SQL(own)
        )
        for name, own in sources(layer, as_of, bind)
    )
    text = sql.SQL("SELECT {}, i.version FROM ({}) AS i").format(shown, either)
    return Statement(text.as_string(None).encode(), {"fid": fid, **bind.values})


def version_of(layer: Layer, fid: int, as_of: datetime | None = None) -> Statement:
    """The version of one feature, now or at a time, as the last column."""
    return one_feature(layer, column("fid", "i"), fid, as_of)


def shape_of(view: View, storage: int) -> sql.Composed:
    """The geometry of alias ``i`` in the view's CRS and axis order."""
    made = sql.SQL("{}").format(column("geom", "i"))
    if view.crs.code != storage:
        made = sql.SQL("ST_Transform({}, {})").format(made, sql.Literal(view.crs.code))
    return sql.SQL("ST_FlipCoordinates({})").format(made) if view.crs.swap else made


def digits(view: View) -> sql.Literal:
    """Decimals of coordinates: 0.1 mm in the plane and on the ground."""
    return sql.Literal(4 if definition(view.crs.code).projected else 9)
