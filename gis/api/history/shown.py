"""What versions have in common, however they are listed: their columns, their makers, their answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import orjson
from psycopg import AsyncConnection, sql
from starlette.requests import Request
from starlette.responses import Response

from gis.api.features.formats import geojson
from gis.api.features.params import View
from gis.api.features.query import PAGE_BYTES
from gis.api.negotiate import etag_of, has_current
from gis.api.state import State
from gis.db.sql import columns
from gis.errors import NotFoundError
from layers.registry import Layer

GEOJSON: Final = "application/geo+json"
JSON: Final = "application/json"


def require_history(layer: Layer) -> None:
    """Raise NotFoundError for a layer that keeps none."""
    if not layer.definition.history:
        raise NotFoundError(
            f"the collection {layer.id} keeps no history", hint="its layer file says history: false"
        )


def read_columns(layer: Layer) -> sql.Composed:
    """The columns that the caller may see, and the geometry."""
    return columns([*(f.name for f in layer.public_fields), "geom"])


def feature_text(view: View, storage: int) -> sql.Composed:
    """SQL of a feature of alias ``i`` as the bytes of a GeoJSON feature."""
    return sql.SQL("convert_to({}, 'UTF8')").format(geojson.geojson_feature(view, storage))


def within_page(size: sql.Composable) -> sql.Composed:
    """SQL: whether a row fits a page of bounded size after those before it (window ``before_it``)."""
    return sql.SQL("(sum({size}) OVER before_it < {most} OR row_number() OVER before_it = 1)").format(
        size=size, most=sql.Literal(PAGE_BYTES)
    )


def moment(value: datetime | None) -> str | None:
    """RFC 3339 in UTC, to the microsecond."""
    return None if value is None else value.isoformat(timespec="microseconds").replace("+00:00", "Z")


async def changesets(connection: AsyncConnection[Any], ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """What is told of changesets, by id."""
    cursor = await connection.execute(
        "SELECT id, at, author, agency, kind, comment, source, undoes"
        " FROM bandoso.changesets_told(%s::bigint[])",
        [sorted(set(ids))],
    )
    return {
        row[0]: {
            "changeset": row[0],
            "at": moment(row[1]),
            "author": row[2],
            "agency": row[3],
            "kind": row[4],
            "comment": row[5],
            "source": row[6],
            **({"undoes": row[7]} if row[7] is not None else {}),
        }
        for row in await cursor.fetchall()
    }


def answer(
    request: Request, state: State, body: bytes, media_type: str, more: Mapping[str, str] | None = None
) -> Response:
    """The document, or 304."""
    headers = {
        "Content-Type": media_type,
        "ETag": etag_of(body),
        "Cache-Control": "no-cache" if state.principal is None else "private, no-cache",
        "Vary": "Accept-Language, Authorization",
        **(more or {}),
    }
    if has_current(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers)


def joined(features: list[bytes], tail: Mapping[str, Any], name: str, head: Mapping[str, Any]) -> bytes:
    """A document around texts that are JSON already."""
    before, after = orjson.dumps(dict(head))[:-1], orjson.dumps(dict(tail))[1:]
    comma = b"," if head else b""
    return b"".join((before, comma, f'"{name}":[\n'.encode(), b",\n".join(features), b"\n],", after))
