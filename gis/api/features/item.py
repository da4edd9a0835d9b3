"""Answers a request for one feature; its ETag is known from its version, before its bytes are made."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import datetime
from typing import Any, Final

from psycopg import AsyncConnection, sql
from starlette.responses import Response

from gis.api.features import links, mend
from gis.api.features.asof import require_known
from gis.api.features.formats import geojson
from gis.api.features.page import Asked
from gis.api.features.params import FORMATS, View
from gis.api.features.query import digits, one_feature, shape_of, version_of
from gis.api.headers import DOCUMENT_CSP
from gis.api.negotiate import has_current
from gis.db.sql import column
from gis.errors import NotFoundError

#: Formats of one feature.
OUTPUTS: Final = ("json", "jsonfg", "html")


async def respond(asked: Asked, view: View, fid: int, as_of: datetime | None = None) -> Response:
    """The feature (as it was at a time), or 304. Raises NotFoundError."""
    headers = {
        "Content-Type": FORMATS[asked.output][0],
        "Content-Crs": f"<{view.crs.uri}>",
        "Cache-Control": "no-cache",
        "Vary": "Accept, Accept-Language",
    }
    if asked.output == "html":
        headers["Content-Security-Policy"] = DOCUMENT_CSP
    async with asked.state.reading(asked.layer).connection() as connection:
        if as_of is not None:
            await require_known(connection, asked.layer, as_of)
        if "if-none-match" in asked.request.headers:
            version = await _version(connection, asked, fid, as_of)
            etag = entity_tag(asked, view, fid, version)
            if has_current(asked.request, etag):
                return Response(status_code=304, headers={**headers, "ETag": etag})
        row = await _read(connection, asked, view, fid, as_of)
        if row is None:
            raise NotFoundError("there is no such feature")
        # Its version changes with its mend (gis.checks.encode), so the ETag stays true.
        has_mend = asked.layer.id in mend.FINDINGS and await mend.suggested(
            connection, asked.state, asked.layer, fid
        )
    headers["ETag"] = entity_tag(asked, view, fid, row[-1])
    return Response(await _body(asked, view, fid, row, has_mend=bool(has_mend)), headers=headers)


def entity_tag(asked: Asked, view: View, fid: int, version: int) -> str:
    """Strong: the version tells the content, the digest all else that the bytes depend on."""
    parts = (
        asked.output,
        asked.language,
        asked.collection,
        view.crs.uri,
        str(view.geometry),
        *sorted(f"{name}={value}" for name, value in asked.given.items()),
        asked.state.catalogue.fingerprint,
    )
    form = hashlib.blake2b("\0".join(parts).encode(), digest_size=6).hexdigest()
    return f'"{fid}.{version}.{form}"'


async def _version(connection: AsyncConnection[Any], asked: Asked, fid: int, as_of: datetime | None) -> int:
    statement = version_of(asked.layer, fid, as_of)
    cursor = await connection.execute(statement.text, statement.values)
    row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("there is no such feature")
    return int(row[-1])


async def _read(
    connection: AsyncConnection[Any], asked: Asked, view: View, fid: int, as_of: datetime | None
) -> tuple[Any, ...] | None:
    """What the format needs, and the version last."""
    statement = one_feature(asked.layer, _shown(asked, view, standing=as_of is None), fid, as_of)
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(statement.text, statement.values)
        return await cursor.fetchone()


def _shown(asked: Asked, view: View, *, standing: bool) -> sql.Composable:
    """SQL of alias ``i``: the feature's bytes, or for a page its fields, WKT (null if left out) and fid."""
    bytes_of = sql.SQL("convert_to({}, 'UTF8')")
    match asked.output:
        case "json":
            if standing and geojson.is_stored(asked.layer, view):
                return bytes_of.format(geojson.stored_feature(asked.layer))
            return bytes_of.format(geojson.geojson_feature(view, asked.storage))
        case "jsonfg":
            return bytes_of.format(geojson.jsonfg_feature(asked.layer, view, asked.storage))
    shape: sql.Composable = sql.SQL("NULL")
    if view.geometry:
        shape = sql.SQL("ST_AsText({}, {})").format(shape_of(view, asked.storage), digits(view))
    return sql.SQL(", ").join([*(column(f.name, "i") for f in view.fields), shape, column("fid", "i")])


async def _body(asked: Asked, view: View, fid: int, row: tuple[Any, ...], *, has_mend: bool) -> bytes:
    here = f"{asked.collection}/items/{fid}"
    own = links.document_links(here, asked.given, asked.output, asked.language, OUTPUTS, asked.collection)
    if has_mend:
        own.append(mend.link(asked.collection, fid, asked.language))
    if asked.output == "html":
        from gis.api.features.formats import page as pages

        base = asked.state.base_url(asked.request)
        return await asyncio.to_thread(
            pages.render_item,
            asked.layer,
            asked.state.city,
            asked.language,
            base,
            view.fields,
            row[:-1],
            {"links": own},
        )
    extra: dict[str, Any] = {"links": own}
    if asked.output == "jsonfg":
        extra = {**geojson.jsonfg_head(asked.layer, view), **extra}
        del extra["featureType"]  # each feature has it already
    return geojson.feature(row[0], extra)
