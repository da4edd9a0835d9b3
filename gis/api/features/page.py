"""Answers an items request: rows or text from the database, then bytes, links and headers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.errors import InternalError_
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gis.api.features import links
from gis.api.features.asof import require_known
from gis.api.features.count import count, known_count
from gis.api.features.filters.reader import invalid
from gis.api.features.formats import csvstream, csvtext, fgbstream, files, geojson
from gis.api.features.leaving import beside
from gis.api.features.paging import Count, Cursor, make_token
from gis.api.features.params import FORMATS, ItemsQuery, sort_signature
from gis.api.features.query import PageForm, record_page, stored_page, text_page
from gis.api.features.where import Selection, select
from gis.api.headers import DOCUMENT_CSP
from gis.api.negotiate import has_current, page_etag
from gis.api.state import State
from gis.db.sql import column
from layers.model import FieldDef
from layers.registry import Layer


@dataclass(frozen=True)
class Asked:
    """The request, and what was chosen for it."""

    request: Request
    state: State
    layer: Layer
    given: Mapping[str, str]
    output: str
    language: str

    @property
    def storage(self) -> int:
        return self.state.city.crs.storage

    @property
    def collection(self) -> str:
        return f"{self.state.base_url(self.request)}/collections/{self.layer.id}"


@dataclass(frozen=True)
class Rows:
    """A page as it came from the database. ``text`` or ``records`` holds the features.

    ``read`` rows were met, of which the first ``returned`` are the page.
    """

    returned: int
    read: int
    last: int | None
    keys: tuple[str | None, ...]
    total: int | None
    text: bytes | None = None
    records: Sequence[Sequence[Any]] = ()

    @property
    def more(self) -> bool:
        """Whether there is a next page."""
        return self.read > self.returned


async def respond(asked: Asked, query: ItemsQuery) -> Response:
    """The page in the format asked for."""
    selection = select(asked.layer, query, asked.storage)
    if query.whole:
        return await _whole(asked, query, selection)
    async with asked.state.reading(asked.layer).connection() as connection:
        if query.as_of is not None:
            await require_known(connection, asked.layer, query.as_of)
        try:
            rows = await _read(connection, asked, query, selection)
            matched = known_count(query, rows.read, rows.total)
            if matched is None and asked.output in ("json", "jsonfg", "html"):
                at_least = (query.after.position if query.after else query.offset) + rows.read
                matched = await count(connection, asked.layer, selection, at_least)
        except InternalError_:
            # GEOS: not every relation is defined for collections of unlike geometries
            if query.filter is None:
                raise
            raise invalid("the filter compares geometries that cannot be compared") from None
    further = _next(asked, query, rows, matched)
    headers = _headers(asked, query, rows, matched, further)
    body = await _body(asked, query, rows, matched, further)
    if asked.output != "gpkg":  # a GeoPackage holds the time at which it was made
        headers["ETag"] = page_etag(body)
        if has_current(asked.request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
    return Response(body, headers=headers)


async def _whole(asked: Asked, query: ItemsQuery, selection: Selection) -> Response:
    """Everything in one answer. It is as long as it is: no counts, no ETag."""
    headers = {
        "Content-Type": FORMATS[asked.output][0],
        "Content-Crs": f"<{query.view.crs.uri}>",
        "Cache-Control": "no-cache",
        "Vary": "Accept, Accept-Language",
        "Content-Disposition": f'attachment; filename="{asked.layer.id}.{asked.output}"',
    }
    if asked.request.method == "HEAD":
        return Response(headers=headers)
    connections = asked.state.reading(asked.layer)
    if query.as_of is not None:
        async with connections.connection() as connection:
            await require_known(connection, asked.layer, query.as_of)
    if asked.output == "fgb":
        made = fgbstream.stream(connections, asked.layer, query.view, asked.storage, selection)
    else:
        made = csvstream.stream(connections, asked.layer, query.view, asked.storage, selection)
    pieces = beside(made)
    first = await anext(pieces)  # what is wrong with the request is told before the answer begins

    async def all_of_it() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return StreamingResponse(all_of_it(), headers=headers)


async def _read(
    connection: AsyncConnection[Any], asked: Asked, query: ItemsQuery, selection: Selection
) -> Rows:
    layer, storage, view = asked.layer, asked.storage, query.view

    def form(columns: Callable[[], Sequence[sql.Composable]], *needed: FieldDef) -> PageForm:
        return PageForm(layer, query, storage, asked.output, (*view.fields, *needed), columns)

    match asked.output:
        case "json":
            if query.as_of is None and geojson.is_stored(layer, view):
                whole = PageForm(layer, query, storage, "stored", (), lambda: [geojson.stored_feature(layer)])
                found = await _stored(connection, whole, selection)
                if found is not None:
                    return found
            return await _text(connection, form(lambda: [geojson.geojson_feature(view, storage)]), selection)
        case "jsonfg":
            needed = geojson.temporal_fields(layer)
            made = form(lambda: [geojson.jsonfg_feature(layer, view, storage)], *needed)
            return await _text(connection, made, selection)
    return await _records(connection, form(lambda: _columns(asked, query)), selection)


async def _text(connection: AsyncConnection[Any], form: PageForm, selection: Selection) -> Rows:
    statement = text_page(form, selection)
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(statement.text, statement.values, prepare=statement.prepare)
        row = await cursor.fetchone()
    assert row is not None
    text, returned, read, last, *keys, total = row
    return Rows(returned, read, last, tuple(keys), total, text=text)


async def _stored(connection: AsyncConnection[Any], form: PageForm, selection: Selection) -> Rows | None:
    """The page; None when it is too large to be read as a whole."""
    statement = stored_page(form, selection)
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(statement.text, statement.values, prepare=statement.prepare)
        rows = await cursor.fetchall()
    _, last, *keys, read, total = rows[-1]
    if last is None:
        return None if read else Rows(0, 0, None, tuple(keys), total)
    text = ",\n".join([row[0] for row in rows]).encode()
    return Rows(len(rows), read, last, tuple(keys), total, text=text)


async def _records(connection: AsyncConnection[Any], form: PageForm, selection: Selection) -> Rows:
    query = form.query
    statement = record_page(form, selection)
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(statement.text, statement.values, prepare=statement.prepare)
        records = await cursor.fetchall()
    if not records:
        return Rows(0, 0, None, (), None)
    last, *keys, read, total = records[-1][-len(query.sort) - 3 :]
    return Rows(len(records), read, last, tuple(keys), total, records=records)


def _columns(asked: Asked, query: ItemsQuery) -> list[sql.Composable]:
    """SQL of the columns for formats that are made from rows: the fields, then the geometry's."""
    found: list[sql.Composable] = [column(f.name, "i") for f in query.view.fields]
    match asked.output:
        case "csv":
            found += [c for _, c in csvtext.geometry_columns(asked.layer, query.view, asked.storage)]
        case "fgb" | "gpkg":
            found.append(files.geometry_column(asked.output, asked.layer, query.view, asked.storage))
    return found


def _next(asked: Asked, query: ItemsQuery, rows: Rows, matched: Count | None) -> links.Link | None:
    if not rows.more or rows.last is None:
        return None
    here, given = f"{asked.collection}/items", asked.given
    position = (query.after.position if query.after else query.offset) + rows.returned
    carried = None if rows.total is not None else matched
    token = make_token(Cursor(rows.last, rows.keys, position, carried), sort_signature(query.sort))
    if token is not None:
        href = links.address(here, given, after=token, offset=None)
    else:
        href = links.address(here, given, after=None, offset=str(position))
    return links.next_link(href, asked.output, asked.language)


def _headers(
    asked: Asked, query: ItemsQuery, rows: Rows, matched: Count | None, further: links.Link | None
) -> dict[str, str]:
    headers = {
        "Content-Type": FORMATS[asked.output][0],
        "Content-Crs": f"<{query.view.crs.uri}>",
        "Cache-Control": "no-cache",
        "Vary": "Accept, Accept-Language",
        "OGC-NumberReturned": str(rows.returned),
    }
    if matched is not None and not matched.estimated:
        headers["OGC-NumberMatched"] = str(matched.value)
    if further is not None:
        headers["Link"] = links.header([further])
    if asked.output in ("csv", "fgb", "gpkg"):
        headers["Content-Disposition"] = f'attachment; filename="{asked.layer.id}.{asked.output}"'
    if asked.output == "html":
        headers["Content-Security-Policy"] = DOCUMENT_CSP
    return headers


async def _body(
    asked: Asked, query: ItemsQuery, rows: Rows, matched: Count | None, further: links.Link | None
) -> bytes:
    layer, view = asked.layer, query.view
    if asked.output == "csv":
        columns = csvtext.geometry_columns(layer, view, asked.storage)
        names = [*(f.name for f in view.fields), *(name for name, _ in columns)]
        kinds = [f.type for f in view.fields]
        table = [r[: len(names)] for r in rows.records]
        return await asyncio.to_thread(csvtext.write, names, table, kinds)
    if asked.output in ("fgb", "gpkg"):
        table = [r[: len(view.fields) + 1] for r in rows.records]
        return await files.write(asked.output, layer, view, table)
    tail = _tail(asked, rows, matched, further)
    if asked.output == "html":
        from gis.api.features.formats import page as pages

        base = asked.state.base_url(asked.request)
        return await asyncio.to_thread(
            pages.render_items, layer, asked.state.city, asked.language, base, view.fields, rows.records, tail
        )
    head = geojson.jsonfg_head(layer, view) if asked.output == "jsonfg" else {}
    return geojson.collection(rows.text, head, tail)


def _tail(asked: Asked, rows: Rows, matched: Count | None, further: links.Link | None) -> dict[str, Any]:
    """Counts and links. No timeStamp: it would change the bytes, and so the ETag, of equal pages."""
    tail: dict[str, Any] = {"numberReturned": rows.returned}
    if matched is not None:
        tail = {"numberMatched": matched.value, **tail}
        if matched.estimated:
            tail["numberMatchedEstimated"] = True
    here = f"{asked.collection}/items"
    own = links.document_links(here, asked.given, asked.output, asked.language, FORMATS, asked.collection)
    tail["links"] = [*own, *([further] if further else [])]
    return tail
