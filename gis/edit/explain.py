"""What the database refuses, in words for the person who edits. Its own texts are never shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors
from shapely.geometry.base import BaseGeometry

from gis.city import City
from gis.db.constraints import Storage
from gis.db.constraints import explain as constraint_of
from gis.db.ddl import layer_indexes
from gis.edit.errors import Duplicate, Forbidden, Invalid
from gis.edit.rows import encoded
from gis.edit.validate import pointer
from gis.errors import BandosoError, DatabaseError
from layers.registry import Layer


@dataclass(frozen=True, slots=True)
class Wanted:
    """A row that somebody wanted to write: whose it would be, where, and its place in the request."""

    owner: str
    geometry: BaseGeometry
    pointer: str


def forbidden(
    connection: psycopg.Connection[Any], layer: Layer, srid: int, wanted: Sequence[Wanted]
) -> Forbidden:
    """Which of the rows the caller may not write, and why: token, layer, owner or area."""
    rows = connection.execute(
        "SELECT bandoso.scope_allows('edit', %(layer)s), bandoso.may_write(%(layer)s, w.owner, NULL),"
        " bandoso.may_write(%(layer)s, w.owner, ST_GeomFromEWKB(w.geom))"
        " FROM unnest(%(owners)s::text[], %(shapes)s::bytea[]) WITH ORDINALITY AS w (owner, geom, n)"
        " ORDER BY n",
        {
            "layer": layer.id,
            "owners": [one.owner for one in wanted],
            "shapes": encoded([one.geometry for one in wanted], srid),
        },
    ).fetchall()
    mine = any(row[1] for row in rows)
    reasons = []
    for one, (token, owner, area) in zip(wanted, rows, strict=True):
        if not area:
            reasons.append((one, _reason(layer, one, token=token, owner=owner, mine=mine)))
    if not reasons:
        return Forbidden(f"you may not change this in {layer.id}", code="forbidden")
    code, said, hint = reasons[0][1]
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    told = [{"pointer": one.pointer, "detail": reason[1]} for one, reason in reasons if one.pointer]
    return Forbidden(said + more, code=code, hint=hint, errors=told)


def _reason(
    layer: Layer, one: Wanted, *, token: bool, owner: bool, mine: bool
) -> tuple[str, str, str | None]:
    if not token:
        return "token-scope", f"the token that you showed is not for editing {layer.id}", "use one that is"
    if owner:
        return (
            "outside-area",
            "the feature lies, wholly or in part, outside the area that you may edit",
            "the steward of your agency knows your area",
        )
    return (
        "not-the-owner",
        f"features of {one.owner} in {layer.id} are not yours to change",
        None if mine else "somebody of that agency, or a steward of the city, may",
    )


def told(error: psycopg.Error, layer: Layer, city: City, at: str = "") -> BandosoError | None:
    """What a database error means to the editor; None: it is none of the editor's."""
    name = error.diag.constraint_name
    if isinstance(error, errors.UniqueViolation):
        return _duplicate(layer, name, at)
    if isinstance(error, errors.CheckViolation):
        found = constraint_of(layer, Storage.of(city), name)
        if found is None:
            return Invalid([{"pointer": at, "detail": "a value is not one that the layer takes"}])
        place = pointer("geometry") if found.field == "geom" else pointer("properties", found.field)
        what = "the geometry" if found.field == "geom" else found.field
        return Invalid([{"pointer": at + place, "detail": f"{what} must be {found.wanted}"}])
    if isinstance(error, errors.NotNullViolation):
        field = error.diag.column_name or ""
        return Invalid([{"pointer": at + pointer("properties", field), "detail": f"{field} is required"}])
    if isinstance(error, errors.LockNotAvailable):
        return busy()
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return DatabaseError("the database takes no changes at the moment", hint="try again in a few seconds")
    if isinstance(error, errors.UndefinedColumn | errors.UndefinedTable):
        return DatabaseError("the layer is being changed at the moment", hint="try again in a minute")
    return None


def busy() -> DatabaseError:
    """Somebody else holds what is to be changed."""
    return DatabaseError(
        "the data is being changed by somebody else at the moment",
        code="busy",
        hint="try again in a few seconds",
    )


def _duplicate(layer: Layer, name: str | None, at: str) -> Duplicate:
    for index in layer_indexes(layer):
        if name is not None and index.name_on(layer.id) == name and index.suffix[-1] == "key":
            fields = index.suffix[:-1]
            words = " and ".join(fields)
            place = pointer("properties", fields[-1])  # the number within the others
            return Duplicate(
                f"another feature of {layer.id} has the same {words}",
                hint="values of a key are given once; take another, or change that feature first",
                errors=[{"pointer": at + place, "detail": f"{words} is taken"}],
            )
    return Duplicate(f"another feature of {layer.id} has the same key")
