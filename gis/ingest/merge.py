"""The set-based SQL of a load: duplicates out, rows compared with the layer, added, updated, replaced.

Staged rows lie in a table with the layer's columns; their fids are in the order of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg.sql import SQL, Composable, Composed, Identifier

from gis.db import sql as names
from layers.registry import Layer

#: Columns that a load keeps or derives itself.
_OWN = ("fid", "version", "updated_at", "load_id")
#: The time of the changeset that is open.
_AT = SQL("current_setting('bandoso.at')::timestamptz")


@dataclass(frozen=True)
class Duplicate:
    """A staged row that cannot be taken: its fid, and why; ``first`` is the staged row it repeats."""

    fid: int
    key: tuple[str, ...]
    values: tuple[object, ...]
    first: int | None = None

    def message(self, row_of_first: int | None) -> str:
        """A sentence for the rejects file."""
        shown = ", ".join(f"{k} {v!r}" for k, v in zip(self.key, self.values, strict=True))
        if row_of_first is not None:
            return f"{shown} is in row {row_of_first:,} of the file already"
        return f"{shown} is in the layer already"


def unique_keys(layer: Layer) -> list[tuple[str, ...]]:
    """Sets of columns that are unique together: the asset id, then the layer's keys."""
    return [("asset_id",), *layer.definition.keys]


def drop_repeated(connection: psycopg.Connection, staged: Composable, key: Sequence[str]) -> list[Duplicate]:
    """Delete the rows of ``staged`` that repeat the key of an earlier one.

    A key whose last column is null is none.
    """
    query = SQL(
        """
        WITH numbered AS (
            SELECT fid, first_value(fid) OVER same AS first, row_number() OVER same AS number
            FROM {staged} WHERE {last} IS NOT NULL
            WINDOW same AS (PARTITION BY {key} ORDER BY fid)
        )
        DELETE FROM {staged} AS s USING numbered AS n
        WHERE s.fid = n.fid AND n.number > 1
        RETURNING s.fid, n.first, {values}
        """
    ).format(
        staged=staged,
        key=names.columns(key),
        last=names.column(key[-1]),
        values=names.columns(key, "s"),
    )
    found = connection.execute(query).fetchall()
    return [Duplicate(row[0], tuple(key), tuple(row[2:]), row[1]) for row in found]


def drop_conflicting(
    connection: psycopg.Connection, layer: Layer, staged: Composable, key: Sequence[str], *, upsert: bool
) -> list[Duplicate]:
    """Delete the rows of ``staged`` whose key another row of the layer has."""
    same = [SQL("t.{0} = s.{0}").format(names.column(key[-1]))]
    same += [SQL("t.{0} IS NOT DISTINCT FROM s.{0}").format(names.column(c)) for c in key[:-1]]
    other = SQL(" AND t.asset_id <> s.asset_id") if upsert else SQL("")
    query = SQL("DELETE FROM {} AS s USING {} AS t WHERE {}{} RETURNING s.fid, {}").format(
        staged, names.table(layer), SQL(" AND ").join(same), other, names.columns(key, "s")
    )
    found = connection.execute(query).fetchall()
    return [Duplicate(row[0], tuple(key), tuple(row[1:])) for row in found]


def insert_new(
    connection: psycopg.Connection, layer: Layer, staged: Composable, columns: Sequence[str]
) -> tuple[int, tuple[float, ...] | None]:
    """Add the staged rows whose asset id the layer does not have; gives their number and their box.

    A changeset is open (gis.ingest.versions): its time is theirs.
    """
    query = SQL(
        "WITH added AS (INSERT INTO {t} ({c}, updated_at) SELECT {s}, {at} FROM {staged} AS s "
        "WHERE NOT EXISTS (SELECT FROM {t} AS t WHERE t.asset_id = s.asset_id) ORDER BY s.fid"
        " RETURNING geom::public.box2d AS box)"
        " SELECT count(*), min(public.ST_XMin(box)), min(public.ST_YMin(box)),"
        " max(public.ST_XMax(box)), max(public.ST_YMax(box)) FROM added"
    ).format(
        t=names.table(layer), c=names.columns(columns), s=names.columns(columns, "s"), at=_AT, staged=staged
    )
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0]), tuple(row[1:]) if row[0] else None


def update_changed(
    connection: psycopg.Connection, layer: Layer, staged: Composable, given: Sequence[str]
) -> tuple[int, int]:
    """Update rows of the same asset id where a column of ``given`` differs; gives (matched, updated).

    Columns that the delivery does not have stay as they are. A changeset is open, as in insert_new.
    """
    count = SQL("SELECT count(*) FROM {} AS s JOIN {} AS t USING (asset_id)").format(
        staged, names.table(layer)
    )
    row = connection.execute(count).fetchone()
    assert row is not None
    compared = [c for c in given if c not in _OWN and c != "asset_id"]
    query = SQL(
        "UPDATE {t} AS t SET {set}, load_id = s.load_id, version = t.version + 1,"
        " updated_at = greatest({at}, t.updated_at + interval '1 microsecond') "
        "FROM {staged} AS s WHERE t.asset_id = s.asset_id AND ({differs})"
    ).format(
        t=names.table(layer),
        set=SQL(", ").join(SQL("{0} = s.{0}").format(names.column(c)) for c in compared),
        staged=staged,
        differs=_differs(compared),
        at=_AT,
    )
    return int(row[0]), connection.execute(query).rowcount


def count_changed(
    connection: psycopg.Connection, layer: Layer, staged: Composable, given: Sequence[str]
) -> tuple[int, int]:
    """What update_changed would do: (matched, updated)."""
    compared = [c for c in given if c not in _OWN and c != "asset_id"]
    query = SQL(
        "SELECT count(*), count(*) FILTER (WHERE {differs}) FROM {staged} AS s JOIN {t} AS t"
        " ON t.asset_id = s.asset_id"
    ).format(differs=_differs(compared), staged=staged, t=names.table(layer))
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _differs(columns: Sequence[str]) -> Composed:
    """Is any column of s and t different? Geometry is compared vertex by vertex, heights too."""
    parts: list[Composable] = []
    for name in columns:
        if name == "geom":
            # The operator = of geometry leaves out heights.
            parts.append(SQL("public.ST_AsEWKB(t.geom) <> public.ST_AsEWKB(s.geom)"))
        else:
            parts.append(SQL("t.{0} IS DISTINCT FROM s.{0}").format(names.column(name)))
    return SQL(" OR ").join(parts)


def fill_replacement(
    connection: psycopg.Connection,
    layer: Layer,
    staged: Composable,
    built: Identifier,
    columns: Sequence[str],
) -> tuple[int, int, int]:
    """Fill ``built`` with the staged rows; those whose asset id the layer has keep fid and, when nothing
    changed, version and time. Gives (added, updated, unchanged)."""
    compared = [c for c in columns if c not in _OWN and c != "asset_id"]
    plain = [c for c in columns if c not in _OWN]
    query = SQL(
        """
        WITH judged AS (
            SELECT {s}, s.load_id AS new_load, s.fid AS new_fid,
                   t.fid AS old_fid, t.version AS old_version,
                   t.updated_at AS old_time, t.load_id AS old_load,
                   t.fid IS NOT NULL AND NOT ({differs}) AS same
            FROM {staged} AS s LEFT JOIN {t} AS t ON t.asset_id = s.asset_id
        ), written AS (
            INSERT INTO {built} (fid, version, updated_at, load_id, {plain})
            SELECT coalesce(old_fid, new_fid),
                   CASE WHEN same THEN old_version ELSE coalesce(old_version, 0) + 1 END,
                   CASE WHEN same THEN old_time ELSE now() END,
                   CASE WHEN same THEN old_load ELSE new_load END,
                   {plain}
            FROM judged ORDER BY new_fid
        )
        SELECT count(*) FILTER (WHERE old_fid IS NULL),
               count(*) FILTER (WHERE old_fid IS NOT NULL AND NOT same),
               count(*) FILTER (WHERE same)
        FROM judged
        """
    ).format(
        s=names.columns(plain, "s"),
        differs=_differs(compared),
        staged=staged,
        t=names.table(layer),
        built=built,
        plain=names.columns(plain),
    )
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0]), int(row[1]), int(row[2])
