"""Derives the low zooms of cells: reads a cell's features, writes its rows, tells what changed.

The queue is ``bandoso.web_stale``, filled by whoever changes features, in the same transaction. A refresh
works in one REPEATABLE READ snapshot: it takes away exactly those entries whose changes it has read, so
whatever else happens meanwhile is still in the queue afterwards. One process (with its workers) refreshes at
a time, under an advisory lock; killed at any moment, it leaves the queue as it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import psycopg
import shapely
from psycopg import Connection, IsolationLevel, sql
from psycopg.types.json import Jsonb

from gis.crs import WEB_MERCATOR, transform_geometries
from gis.db.low import low_table
from gis.db.sql import LAYERS, column
from layers.model import Level
from layers.registry import TileFilter
from tiles.derive import Features, Row, Unions, derive, seen
from tiles.grid import EXTENT, HALF

#: Side of a cell in units of the storage CRS, as bandoso.low_cell_of has it.
SIDE: Final = 512
#: "lowr": held while cells are refreshed.
LOCK: Final = 1819244402
#: Boxes told of one layer at a time; of more cells there is one for each of 16 x 16 squares.
MOST_BOXES: Final = 64
#: Marks kept: who has not looked for longer takes everything as changed.
KEPT_MARKS: Final = 100_000


@dataclass(frozen=True)
class Cell:
    """Work: a cell of a layer that is stale."""

    layer: str
    number: int


@dataclass(frozen=True)
class LowLayer:
    """What is derived of a layer (gis.db.low.definition)."""

    id: str
    srid: int
    scale: float
    #: With the columns that each fills, and which features are seen at none of its zooms.
    levels: tuple[tuple[Level, tuple[str, ...], TileFilter | None], ...]
    columns: tuple[str, ...]
    #: Fields that are read, with their types.
    needs: Mapping[str, str]

    @classmethod
    def of(cls, layer: str, kept: Mapping[str, Any]) -> LowLayer:
        """From a row of ``bandoso.low_layer``."""
        return cls(
            layer,
            int(kept["srid"]),
            float(kept["scale"]),
            tuple(
                (Level.model_validate(one["level"]), tuple(one["columns"]), _filter(one["hidden"]))
                for one in kept["levels"]
            ),
            tuple(kept["columns"]),
            kept["needs"],
        )

    def unit(self, level: Level) -> float:
        """Length of a tile unit of the level's last zoom in the storage CRS."""
        return 2 * HALF / (1 << level.zooms[1]) / EXTENT * self.scale


def _filter(kept: Mapping[str, Any] | None) -> TileFilter | None:
    return TileFilter(kept["field"], tuple(kept["values"]), bool(kept["others"])) if kept else None


def low_layers(connection: Connection, names: Iterable[str] | None = None) -> dict[str, LowLayer]:
    """The layers of which something is derived: of these, or all."""
    rows = connection.execute(
        "SELECT layer, definition FROM bandoso.low_layer WHERE coalesce(layer = ANY (%s), true)",
        (None if names is None else [*names],),
    ).fetchall()
    return {layer: LowLayer.of(layer, kept) for layer, kept in rows}


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """Holds the lock under which cells are refreshed; waits for whoever has it."""
    connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))


def stale_cells(connection: Connection, most: int) -> list[Cell]:
    """The first stale cells; layers that are stale as a whole are spread into their cells first."""
    while True:
        rows = connection.execute(
            "SELECT layer, cell FROM bandoso.web_stale GROUP BY layer, cell"
            " ORDER BY cell IS NOT NULL, min(id) LIMIT %s",
            (most,),
        ).fetchall()
        whole = [layer for layer, number in rows if number is None]
        if not whole:
            return [Cell(layer, number) for layer, number in rows]
        for layer in whole:
            _spread(connection, layer)


def _spread(connection: Connection, layer: str) -> None:
    with _snapshot(connection):
        connection.execute("DELETE FROM bandoso.web_stale WHERE layer = %s AND cell IS NULL", (layer,))
        connection.execute(
            sql.SQL(
                "INSERT INTO bandoso.web_stale (layer, cell, box)"
                " SELECT %(layer)s, cell, public.ST_Extent(box::public.geometry) FROM ("
                "SELECT bandoso.low_cell_of(geom) AS cell, public.box2d(geom) AS box FROM {}"
                " UNION ALL SELECT cell, bandoso.low_cell_box(cell) FROM bandoso.low_cell"
                " WHERE layer = %(layer)s) AS c GROUP BY cell"
            ).format(sql.Identifier(LAYERS, layer)),
            {"layer": layer},
        )


@contextmanager
def _snapshot(connection: Connection) -> Iterator[None]:
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with connection.transaction():
            yield
    finally:
        connection.isolation_level = None


def refresh(connection: Connection, layers: Mapping[str, LowLayer], cells: Iterable[Cell]) -> int:
    """Derive cells anew in one transaction, and tell where rows changed. The number of cells that changed.

    The caller holds the lock (``alone``), and gives each cell to one refresh alone.
    """
    changed: dict[str, list[tuple[float, float, float, float]]] = {}
    with _snapshot(connection):
        for cell in cells:
            layer = layers.get(cell.layer)
            if layer is None:  # nothing is derived of it any more
                _settle(connection, cell)
                continue
            box = _refresh(connection, layer, cell.number)
            if box is not None:
                changed.setdefault(cell.layer, []).append(box)
            _settle(connection, cell)
        for name, boxes in sorted(changed.items()):
            connection.execute("SELECT bandoso.low_changed(%s, %s)", (name, Jsonb(_few(boxes))))
    return sum(map(len, changed.values()))


def _settle(connection: Connection, cell: Cell) -> None:
    connection.execute(
        "DELETE FROM bandoso.web_stale WHERE layer = %s AND cell = %s", (cell.layer, cell.number)
    )


def _refresh(
    connection: Connection, layer: LowLayer, number: int
) -> tuple[float, float, float, float] | None:
    """Write a cell's rows if they are others than before: the box of both, else None."""
    features = read(connection, layer, number)
    rows: list[tuple[int, Sequence[str], int, Row, str]] = []
    shapes: list[shapely.Geometry] = []
    digest = hashlib.blake2b(digest_size=16)
    unions = Unions()
    for level, names, hidden in layer.levels:
        derived = []
        if len(features):
            derived = derive(level, names, seen(features, hidden), layer.unit(level), unions)
        given = np.array([row.shape for row in derived], dtype=object)
        web = shapely.set_srid(transform_geometries(given, layer.srid, WEB_MERCATOR), WEB_MERCATOR)
        texts = shapely.to_wkb(web, hex=True, include_srid=True)
        shapes += web.tolist()
        for n, (row, text) in enumerate(zip(derived, texts, strict=True)):
            rows.append((level.zooms[0], names, n, row, text))
            digest.update(repr((level.zooms[0], row.fid, names, row.values, text)).encode())
    known = connection.execute(
        "SELECT digest, ST_XMin(box), ST_YMin(box), ST_XMax(box), ST_YMax(box)"
        " FROM bandoso.low_cell WHERE layer = %s AND cell = %s",
        (layer.id, number),
    ).fetchone()
    if (known is not None and known[0] == digest.digest()) or (known is None and not rows):
        return None
    before = [known[1:]] if known is not None and known[1] is not None else []
    table = low_table(layer.id)
    if known is not None:
        connection.execute(sql.SQL("DELETE FROM {} WHERE low__cell = %s").format(table), (number,))
    now = [tuple(float(v) for v in shapely.total_bounds(shapes))] if shapes else []
    if rows:
        _write(connection, layer, number, rows)
        _keep(connection, layer.id, number, now[0], digest.digest())
    else:
        connection.execute("DELETE FROM bandoso.low_cell WHERE layer = %s AND cell = %s", (layer.id, number))
    both = np.array([*before, *now], dtype=np.float64)
    if not len(both):
        return None
    low, high = both[:, :2].min(axis=0), both[:, 2:].max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def read(connection: Connection, layer: LowLayer, number: int) -> Features:
    """The features of a cell, with all fields that its levels need."""
    west, south = (number // 67108864 - 33554432) * SIDE, (number % 67108864 - 33554432) * SIDE
    with connection.cursor(binary=True) as cursor:
        cursor.execute(
            sql.SQL(
                "SELECT fid, ST_AsBinary(ST_Force2D(geom)){} FROM {}"
                " WHERE geom && ST_MakeEnvelope(%s, %s, %s, %s, %s) AND bandoso.low_cell_of(geom) = %s"
            ).format(
                sql.SQL("").join(_field(name, kind) for name, kind in layer.needs.items()),
                sql.Identifier(LAYERS, layer.id),
            ),
            (west, south, west + SIDE, south + SIDE, layer.srid, number),
        )
        rows = cursor.fetchall()
    columns = list(zip(*rows, strict=True)) or [()] * (2 + len(layer.needs))
    return Features(
        np.array(columns[0], dtype=np.int64),
        shapely.from_wkb(_objects(columns[1])),
        {name: _objects(values) for name, values in zip(layer.needs, columns[2:], strict=True)},
    )


def _field(name: str, kind: str) -> sql.Composed:
    template = {
        "date": ", to_char({}, 'YYYY-MM-DD')",
        "datetime": ", to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
    }.get(kind, ", {}")
    return sql.SQL(template).format(column(name))


def _objects(values: Sequence[Any]) -> Any:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def _write(
    connection: Connection,
    layer: LowLayer,
    number: int,
    rows: Iterable[tuple[int, Sequence[str], int, Row, str]],
) -> None:
    names = [column(name) for name in ("low__level", "low__cell", "low__n", "fid", *layer.columns, "geom")]
    into = sql.SQL("COPY {} ({}) FROM STDIN").format(low_table(layer.id), sql.SQL(", ").join(names))
    with connection.cursor() as cursor, cursor.copy(into) as copy:
        for level, given, n, row, text in rows:
            values = dict(zip(given, row.values, strict=True))
            copy.write_row((level, number, n, row.fid, *(values.get(c) for c in layer.columns), text))


def _keep(connection: Connection, layer: str, number: int, now: tuple[float, ...], digest: bytes) -> None:
    box = "BOX({!r} {!r},{!r} {!r})".format(*now)
    connection.execute(
        "INSERT INTO bandoso.low_cell (layer, cell, box, digest) VALUES (%s, %s, %s::box2d, %s)"
        " ON CONFLICT (layer, cell) DO UPDATE SET box = excluded.box, digest = excluded.digest",
        (layer, number, box, digest),
    )


def _few(boxes: Sequence[tuple[float, float, float, float]]) -> list[list[float]]:
    """The boxes, or the boxes of those in each of 16 x 16 squares where they are many; in whole metres."""
    given = np.array(boxes)
    given = np.concatenate([np.floor(given[:, :2]), np.ceil(given[:, 2:])], axis=1)
    if len(given) > MOST_BOXES:
        middle = (given[:, :2] + given[:, 2:]) / 2
        low, size = middle.min(axis=0), np.maximum(np.ptp(middle, axis=0), 1) + 1
        square = ((middle - low) / size * 16).astype(int) @ [16, 1]
        given = np.array([[*given[at, :2].min(axis=0), *given[at, 2:].max(axis=0)] for at in _places(square)])
    return [[float(v) for v in box] for box in given]


def _places(labels: Any) -> Iterator[Any]:
    for label in np.unique(labels):
        yield np.flatnonzero(labels == label)


def forget(connection: Connection) -> None:
    """Let go of marks that hardly anybody looks for."""
    connection.execute("SELECT bandoso.low_forget(%s)", (KEPT_MARKS,))


RETRY = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)
