"""Changesets in the order of their ids, and what each did, as far as the caller's role and account may see.

Ids are given out before transactions commit, so a later id may be there before an earlier one. ``horizon``
is the id up to which nothing can appear any more; whoever reads up to it, and goes on there, misses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import shapely
from psycopg import AsyncConnection
from psycopg.types.numeric import Int4, Int8
from shapely.geometry.base import BaseGeometry

from gis.crs import CrsRef, definition

#: What happened to a feature.
Op = Literal["create", "update", "delete"]
OPS: Final[Mapping[str, Op]] = {"c": "create", "u": "update", "d": "delete"}

#: Changesets that one call looks at: between two that the caller may see there may be any number of others.
SCAN: Final = 5000


@dataclass(frozen=True)
class Page:
    """Changesets after ``since``. All that the caller may see up to ``reached`` are among them; ``more``:
    there may be further ones already.

    An entry: id, at, author, agency, kind, comment, source, undoes, layers (layer -> created, updated,
    deleted, box: minx, miny, maxx, maxy in the storage CRS, or nulls).
    """

    entries: Sequence[Mapping[str, Any]]
    reached: int
    more: bool


@dataclass(frozen=True)
class Touch:
    """A feature that a changeset touched, as the caller sees it. The versions are those before and after."""

    changeset: int
    layer: str
    fid: int
    op: Op
    old_version: int | None
    new_version: int | None

    @property
    def place(self) -> tuple[int, str, int]:
        """Where it stands in the order of touches."""
        return self.changeset, self.layer, self.fid


@dataclass(frozen=True)
class Former:
    """A version that was: attributes by name, geometry as the text of a GeoJSON object."""

    version: int
    owner: str
    at: str
    properties: Mapping[str, Any]
    geometry: str | None


async def horizon(connection: AsyncConnection[Any]) -> int:
    """The greatest id up to which every changeset is committed or never will be.

    Ask before the transaction that reads: what is read in a snapshot taken earlier may lack some.
    """
    cursor = await connection.execute("SELECT bandoso.changeset_horizon()")
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def forgotten_upto(connection: AsyncConnection[Any]) -> int:
    """The greatest id of a changeset of which a purge has taken away what it did (0: none).

    Whoever stands before it would not hear that a feature is gone. From nothing, all that stands is told.
    """
    cursor = await connection.execute("SELECT bandoso.boxes_known_after()")
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def changesets(
    connection: AsyncConnection[Any],
    since: int,
    upto: int,
    most: int,
    layers: Sequence[str],
    near: BaseGeometry | None = None,
    scan: int = SCAN,
) -> Page:
    """The first changesets after ``since`` up to ``upto`` (see ``horizon``) that touch one of ``layers``.

    ``near``: only changesets whose box in a layer meets this shape (storage CRS).
    """
    cursor = await connection.execute(
        "SELECT reached, entries FROM bandoso.feed(%s, %s, %s, %s, %s::text[], %s::geometry)",
        [Int8(since), Int8(upto), Int4(most), Int4(scan), list(layers), _wkb(near)],
    )
    row = await cursor.fetchone()
    assert row is not None
    reached = max(int(row[0]), since)
    return Page(row[1], reached, reached < upto)


async def touches(
    connection: AsyncConnection[Any],
    ids: Sequence[int],
    layers: Sequence[str],
    most: int,
    near: BaseGeometry | None = None,
    after: tuple[int, str, int] = (0, "", 0),
) -> list[Touch]:
    """What changesets did, in the order of changeset, layer and fid; the first ``most`` after a place."""
    cursor = await connection.execute(
        "SELECT changeset, layer, fid, op, old_version, new_version"
        " FROM bandoso.feed_features(%s::bigint[], %s::text[], %s::geometry, %s, %s, %s, %s)",
        [list(ids), list(layers), _wkb(near), Int8(after[0]), after[1], Int8(after[2]), Int4(most)],
    )
    return [
        Touch(changeset, layer, fid, OPS[op], old, new)
        for changeset, layer, fid, op, old, new in await cursor.fetchall()
    ]


async def versions(
    connection: AsyncConnection[Any], layer: str, wanted: Sequence[tuple[int, int]], crs: CrsRef | None
) -> dict[tuple[int, int], Former]:
    """Former versions of features of a layer by (fid, version); those that are kept and may be seen.

    ``crs`` None: without their geometry.
    """
    if not wanted:
        return {}
    code, swap = (crs.code, crs.swap) if crs else (0, False)
    digits = 4 if crs and definition(crs.code).projected else 9
    cursor = await connection.execute(
        "SELECT fid, version, owner, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US'),"
        " properties, geometry FROM bandoso.feed_versions(%s, %s::bigint[], %s::integer[], %s, %s, %s)",
        [layer, [f for f, _ in wanted], [v for _, v in wanted], Int4(code), swap, Int4(digits)],
    )
    return {
        (fid, version): Former(version, owner, _instant(at), properties, geometry)
        for fid, version, owner, at, properties, geometry in await cursor.fetchall()
    }


def _instant(text: str) -> str:
    """As PostgreSQL writes instants into JSON: no zeros at the end of the fraction."""
    head, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    return f"{head}.{fraction}+00:00" if fraction else f"{head}+00:00"


def _wkb(shape: BaseGeometry | None) -> bytes | None:
    return None if shape is None else bytes(shapely.to_wkb(shape, output_dimension=2))
