"""/collections/{id}/items/{fid}/history: every version of a feature, the newest first, gone or not.

Each is a GeoJSON feature as items has it (crs, properties and skipGeometry as there), with ``version``,
``valid_from``, ``valid_to`` (null: it stands), ``made`` and ``ended`` (null: it stands): the changesets that
made and ended it. What a caller may not see of the feature, as it is now or was then, is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from psycopg import AsyncConnection, sql
from psycopg.types.numeric import Int4, Int8
from starlette.requests import Request
from starlette.responses import Response

from gis.api.features import links
from gis.api.features.formats import geojson
from gis.api.features.leaving import while_connected
from gis.api.features.params import View, read_view
from gis.api.features.values import INT8_MAX, integer_value, wrong
from gis.api.history import shown
from gis.api.negotiate import choose_format, choose_language, known_parameters
from gis.api.state import State, state_of
from gis.db.past import UNTIL, past_table
from gis.db.sql import column, table
from gis.errors import NotFoundError
from layers.registry import Layer

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 500
_FORMATS: Final = {"json": (shown.GEOJSON, shown.JSON)}
_ONE: Final = ("f", "lang", "crs", "properties", "skipGeometry")
_TITLES: Final = {
    "vi": {"self": "Tài liệu này", "item": "Đối tượng", "history": "Lịch sử", "next": "Các phiên bản cũ hơn"},
    "en": {"self": "This document", "item": "The feature", "history": "History", "next": "Older versions"},
}
_MADE: Final = {"c": "create", "u": "update"}


@dataclass(frozen=True)
class _Asked:
    request: Request
    state: State
    layer: Layer
    fid: int
    view: View
    given: dict[str, str]
    language: str

    @classmethod
    def of(cls, request: Request, *names: str) -> _Asked:
        state = state_of(request)
        layer = state.layer(request.path_params["collection"])
        shown.require_history(layer)
        given = known_parameters(request, (*_ONE, *names))
        choose_format(request, _FORMATS)
        language = choose_language(request, state.city.languages)
        fid = _number(request.path_params["fid"], INT8_MAX)
        return cls(request, state, layer, fid, read_view(given, layer, state.city), given, language)

    @property
    def item(self) -> str:
        return f"{self.state.base_url(self.request)}/collections/{self.layer.id}/items/{self.fid}"

    def link(self, href: str, rel: str, title: str) -> dict[str, str]:
        return {"href": href, "rel": rel, "type": shown.GEOJSON, "title": _TITLES[self.language][title]}

    @property
    def headers(self) -> dict[str, str]:
        return {"Content-Crs": f"<{self.view.crs.uri}>"}


async def history(request: Request) -> Response:
    """The versions of a feature."""
    asked = _Asked.of(request, "limit", "before")
    limit = integer_value(asked.given.get("limit", str(DEFAULT_LIMIT)), "limit")
    if limit < 1:
        raise wrong("limit", "limit must be at least 1")
    before = integer_value(asked.given["before"], "before") if "before" in asked.given else None
    return await while_connected(request, _listed(asked, min(limit, MAX_LIMIT), before))


async def version(request: Request) -> Response:
    """One version of a feature."""
    asked = _Asked.of(request)
    number = _number(request.path_params["version"], 2**31 - 1)
    return await while_connected(request, _one(asked, number))


async def _listed(asked: _Asked, limit: int, before: int | None) -> Response:
    async with asked.state.pool.connection() as connection:
        rows = await _read(connection, asked, limit + 1, before=before)
        if not rows and before is None:
            raise NotFoundError("there is no such feature, and there was none")
        page = [row for row in rows[:limit] if row[-1]]
        features = await _features(connection, asked, page)
    here = f"{asked.item}/history"
    found = [asked.link(links.address(here, asked.given), "self", "self")]
    found.append(asked.link(asked.item, "item", "item"))
    if len(page) < len(rows):
        further = links.address(here, asked.given, before=str(page[-1][1]))
        found.append(asked.link(further, "next", "next"))
    tail = {"numberReturned": len(features), "links": found}
    body = shown.joined(features, tail, "features", {"type": "FeatureCollection"})
    return shown.answer(asked.request, asked.state, body, shown.GEOJSON, asked.headers)


async def _one(asked: _Asked, number: int) -> Response:
    async with asked.state.pool.connection() as connection:
        rows = await _read(connection, asked, 1, only=number)
        if not rows:
            raise NotFoundError("there is no such version of the feature")
        (feature,) = await _features(connection, asked, rows)
    here = f"{asked.item}/history"
    found = [
        asked.link(links.address(f"{here}/{number}", asked.given), "self", "self"),
        asked.link(here, "version-history", "history"),
    ]
    body = geojson.feature(feature, {"links": found})
    return shown.answer(asked.request, asked.state, body, shown.GEOJSON, asked.headers)


async def _read(
    connection: AsyncConnection[Any],
    asked: _Asked,
    most: int,
    *,
    before: int | None = None,
    only: int | None = None,
) -> list[tuple[Any, ...]]:
    """Feature, version, from, to, and whether it belongs to a page of bounded size; the newest first."""
    names = shown.read_columns(asked.layer)
    query = sql.SQL(
        "SELECT {feature}, i.version, i.updated_at, i.{until}, ok FROM ("
        "SELECT *, {ok} AS ok FROM (SELECT * FROM ("
        "SELECT {names}, NULL::timestamptz AS {until} FROM {table} WHERE fid = %(fid)s"
        " UNION ALL SELECT {names}, {until} FROM {past} WHERE fid = %(fid)s) AS versions"
        " WHERE (%(before)s::integer IS NULL OR version < %(before)s::integer)"
        " AND (%(only)s::integer IS NULL OR version = %(only)s::integer)"
        " ORDER BY version DESC LIMIT %(most)s) AS page"
        " WINDOW before_it AS (ORDER BY version DESC)) AS i ORDER BY i.version DESC"
    ).format(
        feature=shown.feature_text(asked.view, asked.state.city.crs.storage),
        until=column(UNTIL),
        names=names,
        table=table(asked.layer),
        past=past_table(asked.layer),
        ok=shown.within_page(sql.SQL("pg_column_size(geom)")),
    )
    values = {
        "fid": Int8(asked.fid),
        "before": None if before is None else Int4(max(min(before, 2**31 - 1), -1)),
        "only": None if only is None else Int4(only),
        "most": most,
    }
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(query, values)
        return await cursor.fetchall()


async def _features(
    connection: AsyncConnection[Any], asked: _Asked, rows: list[tuple[Any, ...]]
) -> list[bytes]:
    """The features with who made and ended them."""
    cursor = await connection.execute(
        "SELECT version, made_by, made_op, ended_by, is_first, goes_on FROM bandoso.version_events(%s, %s)",
        [asked.layer.id, Int8(asked.fid)],
    )
    events = {row[0]: row[1:] for row in await cursor.fetchall()}
    told = await shown.changesets(
        connection, [n for e in events.values() for n in (e[0], e[2]) if n is not None]
    )
    made = []
    for text, number, begins, ends, *_ in rows:
        by, op, ended_by, first, goes_on = events.get(number, (None, None, None, False, False))
        maker = told.get(by) if by is not None else None
        ender = told.get(ended_by) if ended_by is not None else None
        kind = _MADE.get(op or "", "create" if first else "update")
        if kind == "create" and not first:
            kind = "restore"
        extra = {
            "version": number,
            "valid_from": shown.moment(begins),
            "valid_to": shown.moment(ends),
            "made": None if maker is None else {"op": kind, **maker},
            "ended": None if ender is None else {"op": "update" if goes_on else "delete", **ender},
        }
        made.append(geojson.feature(text, extra))
    return made


def _number(text: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) <= most):
        raise NotFoundError("there is no such feature")
    return int(text)
