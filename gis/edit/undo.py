"""Undoes a changeset: a new changeset puts back what was before, unless something else came after.

What it made is taken away, what it took away comes back under its fid and asset_id, and what it changed gets
back the attributes and the geometry that were changed. Nothing is put back over somebody's later work: then
nothing is undone, and every feature that stands in the way is named, with who changed it since. Rights,
checks and history are those of any edit (gis.edit.apply); an undo can be undone in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import psycopg
import shapely

from gis.checks.window import Setting
from gis.edit.apply import apply_as_operator
from gis.edit.errors import EditError, Forbidden
from gis.edit.model import KEEP, Applied, Changeset, Create, Delete, FeatureChange, Update
from gis.errors import LimitError, NotFoundError
from layers.registry import Catalogue, Layer

Connection = psycopg.Connection[Any]

#: Features that one undo may touch in a layer.
MOST: Final = 10_000
#: Attributes that are bandoso's own.
_OWN: Final = ("fid", "version", "updated_at")


@dataclass(frozen=True, slots=True)
class Later:
    """A changeset that came after."""

    id: int
    at: datetime
    author: str
    agency: str | None
    kind: str


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A feature that cannot be put back, and why: ``changed`` or ``removed`` since, ``made-again``, or
    ``forgotten`` (what it was is not kept any more)."""

    layer: str
    fid: int
    reason: str
    later: tuple[Later, ...] = ()

    @property
    def sentence(self) -> str:
        """What stands in the way."""
        if self.reason == "forgotten":
            return f"{self.layer} {self.fid}: what it was before is not kept any more"
        how = {"changed": "changed", "removed": "taken away", "made-again": "made again"}[self.reason]
        if not self.later:
            return f"{self.layer} {self.fid} was {how} since"
        last = self.later[-1]
        return f"{self.layer} {self.fid} was {how} since, by changeset {last.id} of {last.author}"


class CannotUndo(EditError):  # noqa: N818 - a refusal is what it is
    """Later edits stand in the way (``obstacles``), or there is nothing to undo."""

    status = 409
    default_code = "undo-conflict"

    def __init__(self, message: str, obstacles: Sequence[Obstacle] = (), **options: Any) -> None:
        super().__init__(message, **options)
        self.obstacles = tuple(obstacles)


@dataclass
class _Found:
    changes: list[FeatureChange] = field(default_factory=list)
    obstacles: list[tuple[str, int, str, list[int]]] = field(default_factory=list)
    forbidden: int = 0
    seen: int = 0


def undoing(
    connection: Connection,
    catalogue: Catalogue,
    number: int,
    comment: str | None = None,
    *,
    lenient: bool = False,
) -> Changeset:
    """The changeset that undoes changeset ``number``, to be given to gis.edit.apply.

    ``connection``: in the transaction of gis.edit.session.editing, or the owner's. Raises NotFoundError
    (no such changeset, or the caller may know nothing of it), Forbidden, LimitError and CannotUndo.
    """
    if not told(connection, [number]):
        raise _absent()
    with connection.cursor(binary=True) as cursor:
        cursor.execute(
            "SELECT layer, fid, op, old_version, new_version, stands, seen, allowed, gone, later, attributes,"
            " ST_AsEWKB(geom) FROM bandoso.undo_plan(%s, %s)",
            [number, MOST + 1],
        )
        rows = cursor.fetchall()
    found = _Found()
    for row in rows:
        _take(found, catalogue, row)
    if rows and not found.seen:
        raise _absent()
    if found.forbidden:
        many = f"{found.forbidden} features" if found.forbidden > 1 else "a feature"
        raise Forbidden(
            f"changeset {number} touched {many} that you may not change",
            hint="somebody who may change all that it touched can undo it",
        )
    if not rows:
        raise CannotUndo(f"changeset {number} left nothing that could be undone", code="nothing-to-undo")
    if len(rows) > MOST:
        raise LimitError(
            f"changeset {number} touched more than {MOST:,} features, which is more than one undo may",
            hint="load the former state again with --mode replace",
        )
    if found.obstacles:
        raise _standing(connection, number, found)
    said = comment or f"undo of changeset {number}"
    return Changeset(found.changes, comment=said, kind="undo", undoes=number, lenient=lenient)


def undo_as_operator(
    connection: Connection, setting: Setting, number: int, author: str, comment: str | None = None
) -> Applied:
    """Undo changeset ``number`` with the rights of the database's owner. Raises what both raise."""
    with connection.transaction():
        changeset = undoing(connection, setting.catalogue, number, comment)
        connection.execute(
            "SELECT bandoso.changeset_by_operator('undo', %s, %s, NULL, %s)",
            [author, changeset.comment, number],
        )
        return apply_as_operator(connection, setting, changeset)


def told(connection: Connection, ids: Sequence[int]) -> dict[int, Later]:
    """Who made changesets, by id."""
    rows = connection.execute(
        "SELECT id, at, author, agency, kind FROM bandoso.changesets_told(%s::bigint[])", [list(ids)]
    ).fetchall()
    return {row[0]: Later(*row) for row in rows}


def _absent() -> NotFoundError:
    return NotFoundError("there is no such changeset", hint="see /changesets for the list")


def _take(found: _Found, catalogue: Catalogue, row: tuple[Any, ...]) -> None:
    layer_id, fid, op, old, new, stands, seen, allowed, gone, later, attributes, shape = row
    found.seen += bool(seen)
    if not allowed:
        found.forbidden += 1
        return
    layer = catalogue.layers.get(layer_id)
    reason = _reason(op, new, stands, gone=gone or layer is None)
    if reason:
        found.obstacles.append((layer_id, fid, reason, later))
        return
    assert layer is not None
    geometry = None if shape is None else shapely.from_wkb(shape)
    values = _values(layer, attributes or {})
    if op == "c":
        found.changes.append(Delete(layer_id, fid, stands))
    elif op == "d":
        assert geometry is not None
        found.changes.append(Create(layer_id, values, geometry, fid=fid, version=old + 1))
    else:
        found.changes.append(Update(layer_id, fid, stands, values, KEEP if geometry is None else geometry))


def _reason(op: str, new: int | None, stands: int | None, *, gone: bool) -> str | None:
    if op == "d":
        if stands is not None:
            return "made-again"
    elif stands is None:
        return "removed"
    elif stands != new:
        return "changed"
    return "forgotten" if gone else None


def _values(layer: Layer, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Those that the layer has now."""
    return {f.name: attributes[f.name] for f in layer.fields if f.name in attributes and f.name not in _OWN}


def _standing(connection: Connection, number: int, found: _Found) -> CannotUndo:
    who = told(connection, sorted({n for *_, later in found.obstacles for n in later}))
    obstacles = [
        Obstacle(layer, fid, reason, tuple(who[n] for n in later if n in who))
        for layer, fid, reason, later in found.obstacles
    ]
    more = f" (and {len(obstacles) - 1} more)" if len(obstacles) > 1 else ""
    return CannotUndo(
        f"changeset {number} cannot be undone: {obstacles[0].sentence}{more}",
        obstacles,
        hint="undo the later changesets first, or edit the features",
    )
