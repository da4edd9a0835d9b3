"""/collections/{id}/changes?from=&to=: what of a layer is different at one time from what it was at another.

The difference of two states: a feature that was changed twice is told once, one that was made and taken away
between them, or changed and put back, is not. Over all layers, and with every step, see /changes (the feed)
and /changesets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from psycopg import AsyncConnection, sql
from starlette.requests import Request
from starlette.responses import Response

from gis.api.features import links
from gis.api.features.asof import require_known
from gis.api.features.binding import Bind
from gis.api.features.boxes import box_condition
from gis.api.features.leaving import while_connected
from gis.api.features.params import BboxParam, View, read_bbox, read_view
from gis.api.features.values import integer_value, interval_value, wrong
from gis.api.history import shown
from gis.api.negotiate import choose_format, choose_language, known_parameters
from gis.api.ogc.links import link
from gis.api.state import State, state_of
from gis.db.past import UNTIL, past_table
from gis.db.sql import column, columns, table
from layers.registry import Layer

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 1_000
#: Features that are looked up by id; if more were touched, the whole layer is looked through.
_MOST_TOUCHED: Final = 50_000
_PARAMETERS: Final = (
    *("f", "lang", "from", "to", "bbox", "bbox-crs", "crs", "properties", "skipGeometry", "limit", "after"),
)
_STAMPS: Final = ("fid", "version", "updated_at")


@dataclass(frozen=True)
class _Asked:
    request: Request
    state: State
    layer: Layer
    view: View
    start: datetime
    end: datetime
    bbox: BboxParam | None
    limit: int
    after: int | None
    given: Mapping[str, str]
    language: str


async def changes(request: Request) -> Response:
    """The difference."""
    state = state_of(request)
    layer = state.layer(request.path_params["collection"])
    shown.require_history(layer)
    given = known_parameters(request, _PARAMETERS)
    choose_format(request, {"json": (shown.JSON,)})
    end = _moment(given, "to") if "to" in given else datetime.now(UTC)
    start = _moment(given, "from") if "from" in given else end - timedelta(days=1)
    if start > end:
        raise wrong("to", "to is before from")
    limit = integer_value(given.get("limit", str(DEFAULT_LIMIT)), "limit")
    if limit < 1:
        raise wrong("limit", "limit must be at least 1")
    asked = _Asked(
        request,
        state,
        layer,
        read_view(given, layer, state.city),
        start,
        end,
        read_bbox(given, state.city),
        min(limit, MAX_LIMIT),
        integer_value(given["after"], "after") if "after" in given else None,
        # the next pages tell of the same two times
        {**given, "from": _written(start), "to": _written(end)},
        choose_language(request, state.city.languages),
    )
    return await while_connected(request, _respond(asked))


async def _respond(asked: _Asked) -> Response:
    async with asked.state.pool.connection() as connection:
        await require_known(connection, asked.layer, asked.start)
        rows = await _read(connection, asked)
    page = [row for row in rows[: asked.limit] if row[-1]]
    here = f"{asked.state.base_url(asked.request)}/collections/{asked.layer.id}/changes"
    found = [link(links.address(here, asked.given), "self", shown.JSON, "self-json", asked.language)]
    if len(page) < len(rows):
        further = links.address(here, asked.given, after=str(page[-1][0]))
        found.append(link(further, "next", shown.JSON, "next", asked.language))
    tail = {"numberReturned": len(page), "links": found}
    head = {"collection": asked.layer.id, "from": shown.moment(asked.start), "to": shown.moment(asked.end)}
    body = shown.joined([_change(row) for row in page], tail, "changes", head)
    told = {"Content-Crs": f"<{asked.view.crs.uri}>"}
    return shown.answer(asked.request, asked.state, body, shown.JSON, told)


def _change(row: tuple[Any, ...]) -> bytes:
    fid, old, new, old_version, new_version, names, _ = row
    op = "create" if old is None else "delete" if new is None else "update"
    head: dict[str, Any] = {"fid": fid, "op": op, "old_version": old_version, "new_version": new_version}
    if op == "update":
        head["changed"] = names
    return b"".join((orjson.dumps(head)[:-1], b',"old":', old or b"null", b',"new":', new or b"null", b"}"))


async def _read(connection: AsyncConnection[Any], asked: _Asked) -> list[tuple[Any, ...]]:
    """fid, features before and after, their versions, names of what changed, and whether it fits the page."""
    layer, storage = asked.layer, asked.state.city.crs.storage
    bind = Bind()
    start, end = bind.add(asked.start, "datetime"), bind.add(asked.end, "datetime")
    nothing = sql.SQL("").format()
    further, touched, near = nothing, nothing, nothing
    if asked.after is not None:
        further = sql.SQL("AND fid > {}").format(bind.add(asked.after, "integer"))
    cursor = await connection.execute(
        "SELECT bandoso.touched(%s, %s, %s, %s)", [layer.id, asked.start, asked.end, _MOST_TOUCHED]
    )
    row = await cursor.fetchone()
    if row is not None and row[0] is not None:
        touched = sql.SQL("AND fid = ANY ({})").format(bind.array(row[0], "integer"))
    if asked.bbox is not None:
        either = [
            box_condition(asked.bbox.box, asked.bbox.crs.code, storage, bind, sql.Identifier(side, "geom"))
            for side in ("o", "n")
        ]
        near = sql.SQL("AND ({})").format(sql.SQL(" OR ").join(either))
    content = [f.name for f in layer.public_fields if f.name not in _STAMPS]
    query = sql.SQL(
        """
        WITH old AS MATERIALIZED (
            SELECT {names} FROM {past}
            WHERE updated_at <= {start} AND {until} > {start} AND {until} <= {end} {further}
        ), new AS MATERIALIZED (
            SELECT {names} FROM {table} WHERE updated_at > {start} AND updated_at <= {end} {touched} {further}
            UNION ALL
            SELECT {names} FROM {past}
            WHERE updated_at > {start} AND updated_at <= {end} AND {until} > {end} {further}
        ), page AS (
            SELECT coalesce(o.fid, n.fid) AS fid,
                   coalesce(pg_column_size(o.geom), 0) + coalesce(pg_column_size(n.geom), 0) AS size,
                   CASE WHEN o.fid = n.fid THEN array_remove(ARRAY[{changed}]::text[], NULL) END AS changed
            FROM old AS o FULL JOIN new AS n ON n.fid = o.fid
            WHERE (o.fid IS NULL OR n.fid IS NULL OR ({content_o}) IS DISTINCT FROM ({content_n})
                   OR ST_AsEWKB(o.geom) <> ST_AsEWKB(n.geom)) {near}
            ORDER BY 1 LIMIT {most}
        ), sized AS (
            SELECT *, {ok} AS ok FROM page WINDOW before_it AS (ORDER BY fid)
        )
        SELECT p.fid, (SELECT {feature} FROM (SELECT o.*) AS i WHERE ok AND i.fid IS NOT NULL),
               (SELECT {feature} FROM (SELECT n.*) AS i WHERE ok AND i.fid IS NOT NULL),
               o.version, n.version, p.changed, p.ok
        FROM sized AS p LEFT JOIN old AS o ON o.fid = p.fid LEFT JOIN new AS n ON n.fid = p.fid ORDER BY p.fid
        """
    ).format(
        names=shown.read_columns(layer),
        past=past_table(layer),
        table=table(layer),
        until=column(UNTIL),
        start=start,
        end=end,
        further=further,
        touched=touched,
        near=near,
        content_o=columns(content, "o"),
        content_n=columns(content, "n"),
        changed=sql.SQL(", ").join(
            [
                sql.SQL("CASE WHEN {} IS DISTINCT FROM {} THEN {} END").format(
                    column(name, "o"), column(name, "n"), sql.Literal(name)
                )
                for name in content
            ]
            + [sql.SQL("CASE WHEN ST_AsEWKB(o.geom) <> ST_AsEWKB(n.geom) THEN 'geometry' END")]
        ),
        most=sql.Literal(asked.limit + 1),
        ok=shown.within_page(sql.SQL("size")),
        feature=shown.feature_text(asked.view, storage),
    )
    async with connection.cursor(binary=True) as reading:
        await reading.execute(query, bind.values, prepare=False)
        return await reading.fetchall()


def _moment(given: Mapping[str, str], name: str) -> datetime:
    """An instant, or the end of a day."""
    end = interval_value(given[name], name)[1]
    if "/" in given[name] or end is None:
        raise wrong(name, f"{name} must be one instant, or a day")
    return end


def _written(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
