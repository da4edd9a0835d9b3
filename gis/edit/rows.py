"""The statements of an edit: rows locked, taken away, changed and made, each kind of a layer in one go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import psycopg
import shapely
from psycopg.sql import SQL, Composable, Identifier
from shapely.geometry.base import BaseGeometry

from gis.db.ddl import SQL_TYPES, sequence
from gis.db.sql import LAYERS, column, columns
from layers.registry import Layer

Connection = psycopg.Connection[Any]
#: A statement that was sent; in pipeline mode its answer may be on its way.
Pending = psycopg.Cursor[Any]


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it stood when it was locked."""

    version: int
    owner: str
    geometry: BaseGeometry


@dataclass(frozen=True, slots=True)
class Write:
    """A row to be made or changed: values by column (geometry apart; None leaves it)."""

    fid: int
    values: Mapping[str, Any]
    geometry: BaseGeometry | None


def table_of(layer: Layer) -> Identifier:
    """The table itself, also of a layer that members see through a view."""
    return Identifier(LAYERS, layer.id)


def ask_lock(connection: Connection, layer: Layer, fids: Iterable[int]) -> Pending:
    """Lock the rows that the role may change, in the order of their ids: no two edits wait for each other."""
    return connection.cursor(binary=True).execute(_lock(_Key(layer)), [sorted(fids)])


def locked(pending: Pending) -> dict[int, Row]:
    """The rows, each as it stands once the lock is had. Raises psycopg.errors.LockNotAvailable."""
    rows = pending.fetchall()
    shapes = shapely.from_wkb([row[3] for row in rows])
    return {row[0]: Row(row[1], row[2], shape) for row, shape in zip(rows, shapes, strict=True)}


def seen(connection: Connection, layer: Layer, fids: Sequence[int]) -> dict[int, tuple[str, BaseGeometry]]:
    """Owner and geometry of the rows that the role sees."""
    query = SQL("SELECT fid, owner, geom::bytea FROM {} WHERE fid = ANY (%s)").format(table_of(layer))
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(query, [list(fids)]).fetchall()
    return {row[0]: (row[1], shapely.from_wkb(row[2])) for row in rows}


def new_fids(connection: Connection, layer: Layer, count: int) -> list[int]:
    """Ids for features that are made."""
    counter = sequence(layer).as_string(None)
    rows = connection.execute(
        "SELECT nextval(%s::regclass) FROM generate_series(1, %s)", [counter, count]
    ).fetchall()
    return sorted(row[0] for row in rows)


def ask_delete(connection: Connection, layer: Layer, fids: Sequence[int]) -> Pending:
    """Take rows away."""
    return connection.execute(
        SQL("DELETE FROM {} WHERE fid = ANY (%s)").format(table_of(layer)), [list(fids)]
    )


def ask_update(connection: Connection, layer: Layer, srid: int, writes: Sequence[Write]) -> list[Pending]:
    """Change rows; rows of the answers are ids and new versions. One statement for all that change the same
    columns."""
    pending = []
    for names, with_geometry, some in _alike(writes):
        values = _arrays(some, names, srid if with_geometry else None)
        pending.append(connection.execute(_update(_Key(layer), names, with_geometry), values))
    return pending


def ask_insert(connection: Connection, layer: Layer, srid: int, writes: Sequence[Write]) -> None:
    """Make rows. Nothing is asked back: a writer need not be a reader."""
    for names, _, some in _alike(writes):
        connection.execute(_insert(_Key(layer), names), _arrays(some, names, srid))


def encoded(shapes: Iterable[BaseGeometry], srid: int) -> list[bytes]:
    """As ST_GeomFromEWKB takes it."""
    stamped = shapely.set_srid(list(shapes), srid)
    return list(shapely.to_wkb(stamped, output_dimension=3, include_srid=True, flavor="extended"))


def _alike(writes: Sequence[Write]) -> list[tuple[tuple[str, ...], bool, list[Write]]]:
    groups: dict[tuple[tuple[str, ...], bool], list[Write]] = {}
    for one in writes:
        groups.setdefault((tuple(sorted(one.values)), one.geometry is not None), []).append(one)
    return [(names, with_geometry, some) for (names, with_geometry), some in groups.items()]


def _arrays(writes: Sequence[Write], names: tuple[str, ...], srid: int | None) -> list[Any]:
    """An array for each column; ``srid`` None: without geometry."""
    arrays: list[Any] = [[one.fid for one in writes]]
    arrays += [[one.values[name] for one in writes] for name in names]
    if srid is not None:
        arrays.append(encoded((one.geometry for one in writes if one.geometry is not None), srid))
    return arrays


class _Key:
    """A layer as a key of the statements that were made for it: by identity, as its definition may change."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def __hash__(self) -> int:
        return id(self.layer)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.layer is self.layer


def _news(layer: Layer, names: tuple[str, ...], with_geometry: bool) -> Composable:
    """``unnest(...) AS n (...)``: an array for each column."""
    types = [SQL("%s::bigint[]")]
    for name in names:
        f = layer.field(name)
        assert f is not None, name
        kind = "integer" if name == "version" else SQL_TYPES[f.type]
        types.append(SQL(f"%s::{kind}[]"))
    heads: list[Composable] = [column("fid"), *map(column, names)]
    if with_geometry:
        types.append(SQL("%s::bytea[]"))
        heads.append(column("geom"))
    return SQL("unnest({}) AS n ({})").format(SQL(", ").join(types), SQL(", ").join(heads))


@lru_cache(maxsize=500)
def _lock(key: _Key) -> bytes:
    return (
        SQL("SELECT fid, version, owner, geom::bytea FROM {} WHERE fid = ANY (%s) ORDER BY fid FOR UPDATE")
        .format(table_of(key.layer))
        .as_bytes(None)
    )


@lru_cache(maxsize=2_000)
def _update(key: _Key, names: tuple[str, ...], with_geometry: bool) -> bytes:
    layer = key.layer
    sets: list[Composable] = [SQL("{0} = n.{0}").format(column(name)) for name in names]
    if with_geometry:
        sets.append(SQL("geom = ST_GeomFromEWKB(n.geom)"))
    return (
        SQL("UPDATE {} AS t SET {} FROM {} WHERE t.fid = n.fid RETURNING t.fid, t.version")
        .format(table_of(layer), SQL(", ").join(sets), _news(layer, names, with_geometry))
        .as_bytes(None)
    )


@lru_cache(maxsize=2_000)
def _insert(key: _Key, names: tuple[str, ...]) -> bytes:
    layer = key.layer
    return (
        SQL("INSERT INTO {} (fid, {}, geom) SELECT n.fid, {}, ST_GeomFromEWKB(n.geom) FROM {}")
        .format(
            table_of(layer),
            columns(names),
            columns(names, "n"),
            _news(layer, names, True),
        )
        .as_bytes(None)
    )
