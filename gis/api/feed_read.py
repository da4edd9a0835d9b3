"""The change feed as documents: changesets with counts, boxes and the features that they touched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any, Final, Literal
from urllib.parse import urlencode

import orjson
from psycopg import AsyncConnection, sql
from shapely.geometry.base import BaseGeometry

from gis import crs
from gis.api.features.formats import geojson
from gis.api.features.params import View
from gis.api.features.query import PAGE_BYTES
from gis.api.ogc.links import link
from gis.api.state import State
from gis.crs import CrsRef
from gis.db.sql import table
from gis.publish import feed
from gis.publish.feed import Former, Touch
from layers.registry import Layer

Detail = Literal["ids", "full", "none"]
#: Features of one answer. A changeset with more is told in parts.
MOST: Final[dict[Detail, int]] = {"ids": 10_000, "full": 1_000, "none": 0}
#: Features that are read at a time.
BATCH: Final = 200
#: In place of a feature that is too large to be read together with those before it.
_LATER: Final = b""

JSON: Final = "application/json"


@dataclass(frozen=True)
class Wanted:
    """What of the feed is asked for, by whom."""

    state: State
    layers: tuple[Layer, ...]
    detail: Detail
    crs: CrsRef
    #: In the storage CRS.
    near: BaseGeometry | None
    base: str
    language: str
    #: The request's own parameters, for links.
    given: tuple[tuple[str, str], ...] = ()

    @cached_property
    def ids(self) -> list[str]:
        return [layer.id for layer in self.layers]

    @cached_property
    def storage(self) -> int:
        return self.state.city.crs.storage

    def address(self, path: str, **parameters: str) -> str:
        """An address below /changes with the request's parameters; ``parameters`` go before them."""
        return f"{self.base}{path}?{urlencode({**dict(self.given), **parameters})}"


@dataclass(frozen=True)
class Documents:
    """Changesets as JSON objects; nothing up to ``reached`` is left out, ``more`` may be there already."""

    changesets: list[dict[str, Any]]
    reached: int
    more: bool


async def documents(wanted: Wanted, since: int, upto: int, most: int) -> Documents:
    """The first changesets after ``since`` up to ``upto`` (feed.horizon, asked before)."""
    async with wanted.state.pool.connection() as connection:
        page = await feed.changesets(connection, since, upto, most, wanted.ids, wanted.near)
        made = [told_changeset(wanted, entry) for entry in page.entries]
        if wanted.detail == "none" or not made:
            return Documents(made, page.reached, page.more)
        told, last = await _features(connection, wanted, [one["id"] for one in made], (0, "", 0))
    for one in made:
        one["features"] = told.get(one["id"], [])
    if last is None:
        return Documents(made, page.reached, page.more)
    # What is not whole is left for the next page, unless it is all that there is.
    whole = [one for one in made if one["id"] < last.changeset]
    if whole:
        return Documents(whole, whole[-1]["id"], more=True)
    made[0]["links"] = [_rest(wanted, last)]
    return Documents(made[:1], made[0]["id"], made[0]["id"] < page.reached or page.more)


async def one_document(
    wanted: Wanted, changeset: int, after: tuple[str, int] = ("", 0)
) -> dict[str, Any] | None:
    """One changeset with (the rest of) its features; None when there is none that the caller may see."""
    async with wanted.state.pool.connection() as connection:
        page = await feed.changesets(connection, changeset - 1, changeset, 1, wanted.ids, wanted.near)
        if not page.entries:
            return None
        made = told_changeset(wanted, page.entries[0])
        if wanted.detail != "none":
            told, last = await _features(connection, wanted, [changeset], (changeset, *after))
            made["features"] = told.get(changeset, [])
            if last is not None:
                made["links"] = [_rest(wanted, last)]
    return made


def _rest(wanted: Wanted, last: Touch) -> dict[str, str]:
    href = wanted.address(f"/changes/{last.changeset}", after=f"{last.layer}.{last.fid}")
    return link(href, "next", JSON, "next", wanted.language)


def told_changeset(wanted: Wanted, entry: Any) -> dict[str, Any]:
    """A changeset as JSON: an entry of feed.Page, without its features."""
    made: dict[str, Any] = {
        "id": entry["id"],
        "at": entry["at"].replace("+00:00", "Z"),
        # Whose SQL it was that changed a table directly is a matter of the machine, not of the city.
        "author": None if entry["kind"] == "direct" else entry["author"],
        **{name: entry[name] for name in ("agency", "kind", "comment", "source")},
        **({"undoes": entry["undoes"]} if entry["undoes"] else {}),
    }
    order = {layer: place for place, layer in enumerate(wanted.ids)}
    made["layers"] = {
        layer: _touched(wanted, layer, entry) for layer in sorted(entry["layers"], key=lambda i: order[i])
    }
    return made


def _touched(wanted: Wanted, layer: str, entry: Any) -> dict[str, Any]:
    what = entry["layers"][layer]
    made = {name: what[name] for name in ("created", "updated", "deleted") if what.get(name) is not None}
    box = what.get("box")
    if box and None not in box:
        image = crs.transform_box(tuple(box), wanted.storage, crs.WGS84, 1.0)
        made["bbox"] = None if image.is_empty else [round(v, 7) for v in image.bounds]
    if what.get("loaded"):
        # a load adds a million: they are read as items, all of the time of the changeset
        made["loaded"] = True
        filter_ = f"updated_at = TIMESTAMP('{entry['at'].replace('+00:00', 'Z')}')"
        query = urlencode({"filter": filter_, "limit": "10000", **_view(wanted)})
        made["items"] = f"{wanted.base}/collections/{layer}/items?{query}"
    return made


def _view(wanted: Wanted) -> dict[str, str]:
    return {name: value for name, value in wanted.given if name == "crs"}


async def _features(
    connection: AsyncConnection[Any], wanted: Wanted, ids: Sequence[int], after: tuple[int, str, int]
) -> tuple[dict[int, list[dict[str, Any]]], Touch | None]:
    """Features by changeset, and the last one told when there are more."""
    most = MOST[wanted.detail]
    touches = await feed.touches(connection, ids, wanted.ids, most + 1, wanted.near, after)
    told: dict[int, list[dict[str, Any]]] = {}
    last: Touch | None = None
    size = 0
    for start in range(0, min(len(touches), most), BATCH):
        batch = touches[start : min(start + BATCH, most)]
        for touch, one, length in await _told(connection, wanted, batch, PAGE_BYTES - size):
            told.setdefault(touch.changeset, []).append(one)
            last, size = touch, size + length
        if last is not batch[-1]:
            break
    return told, last if last is not None and last is not touches[-1] else None


async def _told(
    connection: AsyncConnection[Any], wanted: Wanted, batch: Sequence[Touch], budget: int
) -> list[tuple[Touch, dict[str, Any], int]]:
    """Touches with what is told of them and its bytes; fewer than given where they are too large together."""
    full = wanted.detail == "full"
    shown: dict[tuple[int, str, int], tuple[str | None, bytes | None]] = {}
    for layer_id, group in groupby(sorted(batch, key=lambda t: t.layer), key=lambda t: t.layer):
        layer = next(one for one in wanted.layers if one.id == layer_id)
        shown.update(await _shown(connection, wanted, layer, list(group), full=full))
    found: list[tuple[Touch, dict[str, Any], int]] = []
    for touch in batch:
        if full and not found and shown.get(touch.place, (None, None))[1] == _LATER:
            layer = next(one for one in wanted.layers if one.id == touch.layer)
            shown.update(await _shown(connection, wanted, layer, [touch], full=full))
        asset_id, text = shown.get(touch.place, (None, None))
        if text == _LATER:
            break
        length = len(text or b"")
        if found and length > budget:
            break
        budget -= length
        gone = touch.op == "delete"
        one = {
            "op": touch.op,
            "layer": touch.layer,
            "fid": touch.fid,
            "asset_id": asset_id,
            "version": None if gone else touch.new_version,
            "old_version": touch.old_version,
        }
        if full:
            one["feature"] = None if gone or text is None else orjson.Fragment(text)
        found.append((touch, one, length))
    return found


async def _shown(
    connection: AsyncConnection[Any], wanted: Wanted, layer: Layer, touches: Iterable[Touch], *, full: bool
) -> dict[tuple[int, str, int], tuple[str | None, bytes | None]]:
    """By place: the asset id, and the feature as it was after the changeset (if ``full``)."""
    some = list(touches)
    view = View(wanted.crs, layer.public_fields)
    # First what stands: a feature that is changed meanwhile is then among the former versions.
    stands = await _current(
        connection, wanted, layer, view, {t.fid for t in some if t.op != "delete"}, full=full
    )
    shown: dict[tuple[int, str, int], tuple[str | None, bytes | None]] = {}
    were: dict[tuple[int, int], list[Touch]] = {}
    for touch in some:
        version = touch.old_version if touch.op == "delete" else touch.new_version
        now = stands.get(touch.fid)
        if now is not None and now[0] == version and touch.op != "delete":
            shown[touch.place] = now[1:]
        elif version is not None:
            were.setdefault((touch.fid, version), []).append(touch)
    shapes = wanted.crs if full else None
    for key, former in (await feed.versions(connection, layer.id, list(were), shapes)).items():
        text = _former(key[0], former, view) if full else None
        for touch in were[key]:
            shown[touch.place] = (former.properties.get("asset_id"), text)
    return shown


async def _current(
    connection: AsyncConnection[Any], wanted: Wanted, layer: Layer, view: View, fids: set[int], *, full: bool
) -> dict[int, tuple[int, str | None, bytes | None]]:
    """Version, asset id and GeoJSON of features that stand, by the same door as items."""
    if not fids:
        return {}
    text: sql.Composable = sql.SQL("NULL::bytea")
    if full:
        text = sql.SQL(
            "CASE WHEN row_number() OVER so_far = 1 OR sum(pg_column_size(i.geom)) OVER so_far < {}"
            " THEN convert_to({}, 'UTF8') ELSE '' END"
        ).format(sql.Literal(PAGE_BYTES), geojson.geojson_feature(view, wanted.storage))
    statement = sql.SQL(
        "SELECT i.fid, i.version, i.asset_id, {} FROM {} AS i WHERE i.fid = ANY (%s::bigint[])"
        " WINDOW so_far AS (ORDER BY i.fid)"
    )
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(statement.format(text, table(layer)), [list(fids)])
        return {fid: (version, asset_id, body) for fid, version, asset_id, body in await cursor.fetchall()}


def _former(fid: int, former: Former, view: View) -> bytes:
    """A version that was as a GeoJSON feature, as the feature would be written now."""
    own = {"version": former.version, "updated_at": former.at, "owner": former.owner}
    properties = {
        f.name: own.get(f.name, former.properties.get(f.name)) for f in view.fields if f.name != "fid"
    }
    shape = orjson.Fragment(former.geometry or b"null")
    return orjson.dumps({"type": "Feature", "id": fid, "geometry": shape, "properties": properties})
