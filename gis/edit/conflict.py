"""A conflict shown from all sides: the version that the client had, what it sends, and what stands.

Nothing is merged here. What only one side changed is said to be mergeable, and the author decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import psycopg
import shapely
from psycopg.sql import SQL
from shapely.geometry.base import BaseGeometry

from gis import crs
from gis.db.sql import columns, table
from gis.edit.errors import Clash
from gis.edit.model import Create, Delete, FeatureChange, Ref, Update
from layers.registry import Catalogue, Layer

#: Attributes that differ by nature.
_OWN = ("fid", "version", "updated_at")
GEOMETRY = "geometry"


@dataclass(frozen=True)
class Side:
    """A version: attributes that the caller may see, and GeoJSON geometry in the request's CRS."""

    version: int
    properties: Mapping[str, Any] = field(default_factory=dict)
    geometry: Any = None
    at: str | None = None


def documents(
    connection: psycopg.Connection[Any],
    catalogue: Catalogue,
    clashes: Sequence[Clash],
    ref: crs.CrsRef,
    storage: int,
) -> list[dict[str, Any]]:
    """One for each clash. ``connection``: in role bandoso_member (gis.edit.session.as_member) of the caller;
    ``catalogue``: the layers as the caller sees them; ``ref``: the CRS of the request.

    ``{layer, fid, op, pointer, base, yours, theirs, changed: {yours, theirs}, both, mergeable}``: base is
    null where that version is not known (any more), theirs.deleted true where the feature is gone. ``both``
    names what both changed, differently; ``mergeable``: nothing was.
    """
    found: dict[int, dict[str, Any]] = {}
    by_layer: dict[str, list[tuple[int, Clash]]] = {}
    for number, clash in enumerate(clashes):
        by_layer.setdefault(clash.change.layer, []).append((number, clash))
    for layer_id, some in by_layer.items():
        layer = catalogue.layers.get(layer_id)
        if layer is None:
            continue
        fids = [clash.change.fid for _, clash in some if clash.change.fid is not None]
        standing = _standing(connection, layer, fids, ref, storage)
        before = _former(connection, layer, [clash for _, clash in some], ref)
        last = _last(connection, layer, fids)
        for number, clash in some:
            fid = clash.change.fid
            assert fid is not None
            expected = getattr(clash.change, "expected", None)
            now = standing.get(fid)
            base = now if now is not None and now.version == expected else before.get((fid, expected or 0))
            found[number] = _document(layer, clash.change, base, now, last.get(fid), ref, storage)
    return [found[number] for number in sorted(found)]


def _document(
    layer: Layer,
    change: FeatureChange,
    base: Side | None,
    now: Side | None,
    last: Mapping[str, Any] | None,
    ref: crs.CrsRef,
    storage: int,
) -> dict[str, Any]:
    yours = _yours(layer, change, ref, storage)
    sent = {**yours.get("properties", {}), **({GEOMETRY: yours[GEOMETRY]} if GEOMETRY in yours else {})}
    theirs: dict[str, Any] = {"deleted": True} if now is None else _shown(now)
    if last is not None and (now is None or last["version"] == now.version):
        theirs |= {name: last[name] for name in ("changeset", "author", "agency", "at")}
        theirs.setdefault("version", last["version"])
    mine, other = _changed(sent, base), _changed(_content(now), base) if now is not None else None
    if isinstance(change, Delete) or now is None:
        both: list[str] = []
        mergeable = False
    elif base is None:
        both = [name for name in sent if not _same(name, sent[name], _content(now).get(name))]
        mergeable = False
    else:
        both = [
            name
            for name in mine
            if name in (other or ()) and not _same(name, sent[name], _content(now).get(name))
        ]
        mergeable = not both
    return {
        "layer": layer.id,
        "fid": change.fid,
        "op": "delete" if isinstance(change, Delete) else "update",
        "pointer": change.pointer,
        "base": None if base is None else _shown(base),
        "yours": {"version": getattr(change, "expected", None), **yours},
        "theirs": theirs,
        "changed": {"yours": mine, "theirs": other},
        "both": both,
        "mergeable": mergeable,
    }


def _yours(layer: Layer, change: FeatureChange, ref: crs.CrsRef, storage: int) -> dict[str, Any]:
    if isinstance(change, Delete):
        return {"deleted": True}
    found: dict[str, Any] = {}
    if change.properties is not None:
        found["properties"] = {
            name: value.placeholder if isinstance(value, Ref) else value
            for name, value in change.properties.items()
            if name not in _OWN and layer.field(name) is not None
        }
    if isinstance(change, Update) and change.sent is not None:
        found[GEOMETRY] = geojson(change.sent[1], change.sent[0], ref)
    elif isinstance(change, Update | Create) and isinstance(change.geometry, BaseGeometry):
        found[GEOMETRY] = geojson(change.geometry, storage, ref)
    return found


def _shown(side: Side) -> dict[str, Any]:
    return {
        "version": side.version,
        "at": side.at,
        "properties": dict(side.properties),
        GEOMETRY: side.geometry,
    }


def _content(side: Side | None) -> dict[str, Any]:
    return {} if side is None else {**side.properties, GEOMETRY: side.geometry}


def _changed(given: Mapping[str, Any], base: Side | None) -> list[str]:
    """Names of what is not as it was; all that is given where it is not known what was."""
    was = _content(base)
    return [
        name
        for name, value in given.items()
        if name not in _OWN and (base is None or not _same(name, value, was.get(name)))
    ]


def _same(name: str, one: Any, other: Any) -> bool:
    if name != GEOMETRY or one is None or other is None:
        return bool(one == other)
    return bool(_plain(one) == _plain(other))


def _plain(shape: Any) -> tuple[str, list[float]]:
    """Type and numbers of a GeoJSON geometry, as coarse as clients read and write them."""
    numbers: list[float] = []
    waiting = [shape.get("coordinates")]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif one is not None:
            numbers.append(round(float(one), 6))
    return str(shape.get("type")), numbers


def geojson(shape: BaseGeometry, code: int, ref: crs.CrsRef) -> Any:
    """GeoJSON of a geometry in CRS ``code``, in the CRS and axis order of ``ref``."""
    moved = crs.transform_geometries(np.array([shape], dtype=object), code, ref.code)[0]
    digits = 4 if crs.definition(ref.code).projected else 9
    z = bool(shapely.has_z(moved))

    def written(c: Any) -> Any:
        c = c.round(digits)
        return c[:, [1, 0, *range(2, c.shape[1])]] if ref.swap else c

    return orjson.loads(shapely.to_geojson(shapely.transform(moved, written, include_z=z)))


def _standing(
    connection: psycopg.Connection[Any], layer: Layer, fids: Sequence[int], ref: crs.CrsRef, storage: int
) -> dict[int, Side]:
    """What stands, as the caller sees it."""
    query = SQL(
        "SELECT t.fid, t.version, to_jsonb(t.updated_at) #>> '{{}}', (SELECT to_jsonb(r)"
        " FROM (SELECT {}) AS r), t.geom::bytea FROM {} AS t WHERE t.fid = ANY (%s)"
    ).format(columns(_names(layer), "t"), table(layer))
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(query, [list(fids)]).fetchall()
    shapes = shapely.from_wkb([row[4] for row in rows])
    names = _names(layer)
    return {
        row[0]: Side(row[1], {name: row[3][name] for name in names}, geojson(shape, storage, ref), row[2])
        for row, shape in zip(rows, shapes, strict=True)
    }


def _former(
    connection: psycopg.Connection[Any], layer: Layer, clashes: Sequence[Clash], ref: crs.CrsRef
) -> dict[tuple[int, int], Side]:
    """The versions that the changes are based on, as far as they are kept and the caller may see them."""
    wanted = [
        (clash.change.fid, expected)
        for clash in clashes
        if (expected := getattr(clash.change, "expected", None)) is not None and 0 < expected < 2**31
    ]
    digits = 4 if crs.definition(ref.code).projected else 9
    rows = connection.execute(
        "SELECT fid, version, owner, to_jsonb(at) #>> '{}', properties, geometry::jsonb"
        " FROM bandoso.feed_versions(%s, %s::bigint[], %s::integer[], %s, %s, %s)",
        [layer.id, [w[0] for w in wanted], [w[1] for w in wanted], ref.code, ref.swap, digits],
    ).fetchall()
    names = _names(layer)
    found: dict[tuple[int, int], Side] = {}
    for fid, version, owner, at, kept, shape in rows:
        properties = {"owner": owner, **kept}
        shown = {name: properties.get(name) for name in names}
        found[fid, version] = Side(version, shown, shape, at)
    return found


def _last(
    connection: psycopg.Connection[Any], layer: Layer, fids: Sequence[int]
) -> dict[int, dict[str, Any]]:
    rows = connection.execute(
        "SELECT fid, version, changeset, author, agency, to_jsonb(at) #>> '{}'"
        " FROM bandoso.last_changes(%s, %s::bigint[])",
        [layer.id, list(fids)],
    ).fetchall()
    names = ("version", "changeset", "author", "agency", "at")
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}


def _names(layer: Layer) -> list[str]:
    """What a side tells of, in the layer's order (jsonb has one of its own)."""
    return [f.name for f in layer.public_fields if f.name not in _OWN]
