"""Reads features of the database as columns. One connection, one state of the city if its transaction is
REPEATABLE READ (gis.checks.workers), or the newest one with the caller's own changes (an edit).

Measured on 25,000 parcels with geometry and 6 columns: see ``_select``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC
from functools import partial
from typing import Any

import numpy as np
import psycopg
import shapely
from psycopg.sql import SQL, Composable, Composed, Literal

from gis.checks.features import Bools, Features
from gis.checks.source import EVERYWHERE, SYSTEM_COLUMNS, Box, column_kind, empty
from gis.db import sql as names
from gis.db.ddl import SQL_TYPES
from layers.registry import Catalogue, Layer

#: Beyond any plane CRS (m); PostGIS wants finite boxes.
_FAR = 1e12
_MICROSECONDS = 1_000_000
_NEVER = -(2**63)  # numpy's NaT

#: Values that are looked up one by one; more in one statement.
_MANY = 8


class DatabaseSource:
    """Source protocol (gis.checks.source) on a psycopg connection with the owner's rights.

    Every layer can be read, restricted ones and confidential attributes too. Raises psycopg.Error.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        catalogue: Catalogue,
        srid: int,
        queries: dict[Any, bytes] | None = None,
    ) -> None:
        """``queries``: statements made for this catalogue before, for sources that live briefly."""
        self._connection, self._catalogue, self._srid = connection, catalogue, srid
        self._queries: dict[Any, bytes] = {} if queries is None else queries
        self._asked: dict[Any, psycopg.Cursor[Any]] = {}

    def ask(self, wanted: Iterable[tuple[str, Box, tuple[str, ...]]]) -> None:
        """Send for features that will be wanted (layer, box, columns). In pipeline mode this waits for
        nothing; ``features`` takes what came."""
        for layer, box, columns in wanted:
            if (layer, box, columns) not in self._asked and not np.isnan(box[0]) and box != EVERYWHERE:
                query, values = self._in_box(self._catalogue.layers[layer], box, columns)
                cursor = self._connection.cursor(binary=True)
                self._asked[layer, box, columns] = cursor.execute(query, values)

    def features(self, layer: str, box: Box, columns: Sequence[str], *, geometry: bool = True) -> Features:
        of = self._catalogue.layers[layer]
        if np.isnan(box[0]):  # NOWHERE: the tables take finite geometry only
            return empty(of, columns)
        asked = self._asked.get((layer, box, tuple(columns))) if geometry and self._asked else None
        if asked is not None:
            rows = self._asked.pop((layer, box, tuple(columns))).fetchall()
        else:
            rows = self._rows(*self._in_box(of, box, columns, geometry=geometry))
        found = _features(of, columns, rows, geometry=geometry)
        if box == EVERYWHERE or not len(found):
            return found
        # The index and && round boxes to float32: what lies up to 0.1 m beside the box comes along, and rules
        # would see another neighbourhood than in memory.
        meets = _meet(found, box)
        return found if meets.all() else found.take(meets)

    def _in_box(
        self, layer: Layer, box: Box, columns: Sequence[str], *, geometry: bool = True
    ) -> tuple[bytes, Sequence[Any]]:
        where, values = self._meets(box)
        query = self._query(
            ("features", layer.id, tuple(columns), geometry, box == EVERYWHERE),
            lambda: SQL("SELECT {} FROM {} WHERE {} ORDER BY asset_id").format(
                _select(layer, columns, geometry=geometry, boxes=box != EVERYWHERE), names.table(layer), where
            ),
        )
        return query, values

    def any_in(self, layer: str, box: Box, only: Composable) -> psycopg.Cursor[Any]:
        """Asks whether a feature in about ``box`` holds a condition of SQL."""
        where, values = self._meets(box)
        query = self._query(
            ("any", layer, names.rendered(only), box == EVERYWHERE),
            lambda: SQL("SELECT EXISTS (SELECT FROM {} WHERE {} AND {})").format(
                names.table(self._catalogue.layers[layer]), where, only
            ),
        )
        return self._connection.execute(query, values)

    def picked(self, layer: str, fids: Sequence[int], columns: Sequence[str]) -> Callable[[], Features]:
        """Sends for the features of these ids; gives what takes them."""
        of = self._catalogue.layers[layer]
        query = self._query(
            ("pick", layer, tuple(columns)),
            lambda: SQL("SELECT {} FROM {} WHERE fid = ANY (%s) ORDER BY asset_id").format(
                _select(of, columns), names.table(of)
            ),
        )
        cursor = self._connection.cursor(binary=True).execute(query, ([int(fid) for fid in fids],))
        return lambda: _features(of, columns, cursor.fetchall())

    def stream(
        self, layer: str, columns: Sequence[str], *, geometry: bool = True, size: int = 50_000
    ) -> Iterator[Features]:
        of = self._catalogue.layers[layer]
        select = _select(of, columns, geometry=geometry)
        after = None
        while True:
            where = SQL("TRUE") if after is None else SQL("asset_id > %s")
            query = SQL("SELECT {} FROM {} WHERE {} ORDER BY asset_id LIMIT {}").format(
                select, names.table(of), where, Literal(size)
            )
            found = _features(
                of, columns, self._rows(query, () if after is None else (after,)), geometry=geometry
            )
            if len(found):
                yield found
            if len(found) < size:
                return
            after = str(found.asset_id[-1])

    def repeated(
        self, layer: str, columns: Sequence[str], among: Sequence[Sequence[Any]] | None = None
    ) -> list[Features]:
        of = self._catalogue.layers[layer]
        if among is not None:
            return self._equal_to(of, columns, among)
        keys = [names.column(name) for name in columns]
        # IS NOT DISTINCT FROM joins by nested loops only; these texts and flags can be hashed.
        same = SQL(" AND ").join(
            SQL(
                "coalesce(g.{0}::text, '') = coalesce(t.{0}::text, '') AND (g.{0} IS NULL) = (t.{0} IS NULL)"
            ).format(key)
            for key in keys
        )
        # Counting groups spills to disk when it must; the join touches geometry of the repeated ones alone.
        query = SQL(
            "WITH g AS MATERIALIZED (SELECT row_number() OVER () AS number, {keys} FROM {table}"
            " WHERE {last} IS NOT NULL GROUP BY {keys} HAVING count(*) > 1)"
            " SELECT {select}, g.number FROM g JOIN {table} AS t ON {same}"
            " ORDER BY g.number, t.asset_id"
        ).format(
            keys=SQL(", ").join(keys),
            table=names.table(of),
            last=keys[-1],
            select=_select(of, columns, of_table="t"),
            same=same,
        )
        rows = self._rows(query, ())
        if not rows:
            return []
        found = _features(of, columns, [row[:-1] for row in rows])
        number = np.array([row[-1] for row in rows])
        return [found.take(some) for some in np.split(np.arange(len(rows)), _starts(number))]

    def _equal_to(
        self, layer: Layer, columns: Sequence[str], among: Sequence[Sequence[Any]]
    ) -> list[Features]:
        """Groups with one of some values: each is looked up by itself, by the index of a key where there is
        one (which IS NOT DISTINCT FROM would not use)."""
        found = []
        wanted_rows = (tuple(map(partial(_bound, layer), columns, row)) for row in among)
        alike: dict[tuple[bool, ...], list[tuple[Any, ...]]] = {}
        for wanted in dict.fromkeys(wanted_rows):
            if wanted[-1] is not None:
                alike.setdefault(tuple(value is None for value in wanted), []).append(wanted)
        for nulls, some in alike.items():
            if len(some) > _MANY:
                found += self._equal_to_many(layer, columns, nulls, some)
                continue
            query = self._query(
                ("equal", layer.id, tuple(columns), nulls), partial(_equal_query, layer, columns, nulls)
            )
            for wanted in some:
                rows = self._rows(query, [value for value in wanted if value is not None])
                if len(rows) > 1:
                    found.append(_features(layer, columns, rows))
        return found

    def _equal_to_many(
        self, layer: Layer, columns: Sequence[str], nulls: tuple[bool, ...], among: Sequence[Sequence[Any]]
    ) -> list[Features]:
        """The same in one statement: a thousand of them took three seconds of a busy machine."""
        query = self._query(
            ("equal-many", layer.id, tuple(columns), nulls),
            partial(_equal_many_query, layer, columns, nulls),
        )
        values = [
            list(column) for column, null in zip(zip(*among, strict=True), nulls, strict=True) if not null
        ]
        rows = self._rows(query, values)
        if not rows:
            return []
        found = _features(layer, columns, [row[:-1] for row in rows])
        starts = _starts(np.array([row[-1] for row in rows]))
        return [found.take(some) for some in np.split(np.arange(len(rows)), starts)]

    def pick(self, layer: str, fids: Sequence[int], columns: Sequence[str]) -> Features:
        return self.picked(layer, fids, columns)()

    def count(self, layer: str) -> int:
        if layer not in self._catalogue.layers:
            return 0
        row = self._connection.execute("SELECT bandoso.row_count(%s)", [layer]).fetchone()
        return int(row[0]) if row else 0

    def many(self, layer: str, box: Box, limit: int) -> int:
        """Number of features in about ``box``, counted up to ``limit``."""
        where, values = self._meets(box)
        query = SQL("SELECT count(*) FROM (SELECT FROM {} WHERE {} LIMIT {}) AS looked").format(
            names.table(self._catalogue.layers[layer]), where, Literal(limit)
        )
        return int(self._rows(query, values)[0][0])

    def boxes(self, layer: str, box: Box) -> list[Box]:
        """Bounding boxes of the features in about ``box``."""
        where, values = self._meets(box)
        query = self._query(
            ("boxes", layer, box == EVERYWHERE),
            lambda: SQL(
                "SELECT public.ST_XMin(geom), public.ST_YMin(geom), public.ST_XMax(geom),"
                " public.ST_YMax(geom) FROM {} WHERE {}"
            ).format(names.table(self._catalogue.layers[layer]), where),
        )
        return [(row[0], row[1], row[2], row[3]) for row in self._rows(query, values)]

    def _query(self, key: Any, make: Callable[[], Composed]) -> bytes:
        """A statement by what it depends on, made once."""
        query = self._queries.get(key)
        if query is None:
            query = self._queries[key] = names.rendered(make())
        return query

    def _rows(self, query: Composed | bytes, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._connection.cursor(binary=True) as cursor:
            return cursor.execute(query, values).fetchall()

    def _meets(self, box: Box) -> tuple[Composable, tuple[Any, ...]]:
        if box == EVERYWHERE:
            return SQL("TRUE"), ()
        corners = np.clip(np.array(box, dtype=np.float64), -_FAR, _FAR).tolist()
        return SQL("geom OPERATOR(public.&&) public.ST_MakeEnvelope(%s, %s, %s, %s, %s)"), (
            *corners,
            self._srid,
        )


def _equal_query(layer: Layer, columns: Sequence[str], nulls: Sequence[bool]) -> Composed:
    """Features with certain values; null where ``nulls`` says so."""
    where = SQL(" AND ").join(
        SQL("{} IS NULL" if null else "{} = %s").format(names.column(name))
        for name, null in zip(columns, nulls, strict=True)
    )
    return SQL("SELECT {} FROM {} WHERE {} ORDER BY asset_id").format(
        _select(layer, columns), names.table(layer), where
    )


def _equal_many_query(layer: Layer, columns: Sequence[str], nulls: Sequence[bool]) -> Composed:
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
        select=_select(layer, columns, of_table="t"),
        arrays=SQL(", ").join(SQL(f"%s::{types[name]}[]") for name in given),
        heads=names.columns(given),
        table=names.table(layer),
        where=where,
    )


def _select(
    layer: Layer,
    columns: Sequence[str],
    *,
    geometry: bool = True,
    boxes: bool = False,
    of_table: str | None = None,
) -> Composed:
    """What is fetched of each feature.

    ``boxes``: without geometry, the bounding box is needed to filter by it. Rows by psycopg's binary loaders
    are as quick as arrays built by the server, and simpler.
    """
    parts: list[Composable] = [names.column(n, of_table) for n in ("fid", "asset_id", "owner")]
    if geometry:
        parts.append(SQL("public.ST_AsBinary({})").format(names.column("geom", of_table)))
    elif boxes:
        geom = names.column("geom", of_table)
        parts.append(SQL("public.ST_AsBinary(public.ST_Envelope({}))").format(geom))
    else:
        parts.append(SQL("NULL"))
    parts += [_column(layer, name, of_table) for name in columns]
    return SQL(", ").join(parts)


def _column(layer: Layer, name: str, of_table: str | None) -> Composable:
    column = names.column(name, of_table)
    if name in SYSTEM_COLUMNS:
        return column
    kind = column_kind(layer, name)
    if kind == "number":
        return SQL("{}::double precision").format(column)
    if kind == "time":
        field = layer.field(name)
        if field is not None and field.type == "date":
            return SQL("CASE WHEN isfinite({0}) THEN ({0} - date '1970-01-01')::bigint * {1} END").format(
                column, Literal(86400 * _MICROSECONDS)
            )
        return SQL("CASE WHEN isfinite({0}) THEN (extract(epoch FROM {0}) * {1})::bigint END").format(
            column, Literal(_MICROSECONDS)
        )
    return column


def _features(
    layer: Layer, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], *, geometry: bool = True
) -> Features:
    if not rows:
        return empty(layer, columns)
    fid, asset_id, owner, wkb, *others = zip(*rows, strict=True)
    shapes = None if wkb[0] is None else shapely.from_wkb(_objects(wkb))
    ids = np.array(fid, dtype=np.int64)
    known = {"fid": ids, "asset_id": _objects(asset_id), "owner": _objects(owner)}
    held = {
        name: known[name] if name in known else _array(column_kind(layer, name), values)
        for name, values in zip(columns, others, strict=True)
    }
    found = Features(layer, ids, known["asset_id"], known["owner"], shapes if geometry else None, held)
    if shapes is not None:
        found.__dict__["boxes"] = shapely.bounds(shapes)
    return found


def _objects(values: Sequence[Any]) -> Any:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _array(kind: str, values: Sequence[Any]) -> Any:
    if kind == "number":
        return np.array(values, dtype=np.float64)  # None becomes NaN
    if kind == "time":
        return np.array([_NEVER if v is None else v for v in values], dtype=np.int64).view("M8[us]")
    return _objects(values)


def _meet(found: Features, box: Box) -> Bools:
    boxes = found.boxes
    meets: Bools = (
        (boxes[:, 0] <= box[2]) & (boxes[:, 2] >= box[0]) & (boxes[:, 1] <= box[3]) & (boxes[:, 3] >= box[1])
    )
    return meets


def _starts(number: Any) -> Any:
    """Where a new value begins."""
    return np.flatnonzero(number[1:] != number[:-1]) + 1


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
