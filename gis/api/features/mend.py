"""The change that is suggested for a finding: ``/collections/finding/items/{fid}/mend``.

Only for findings that the caller sees and that stand, and only for features of layers that he sees; anything
else is absent alike. The database holds to that, too: the reading role has the mends of public findings by
bandoso.finding_mends (gis/db/sql/0008_finding_mends.sql), members those of others that they see by
bandoso.hidden_finding_mends (0011_reading.sql), and nobody the table.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import orjson
from psycopg import AsyncConnection, sql
from starlette.requests import Request
from starlette.responses import Response

from gis.api.features.links import Link
from gis.api.negotiate import choose_format, choose_language, etag_of, has_current, known_parameters
from gis.api.state import State
from gis.db.sql import column, function, table
from gis.errors import NotFoundError
from layers.registry import Layer

#: The collections whose items have mends: that of anyone, and that of findings about what is hidden.
FINDING: Final = "finding"
FINDINGS: Final = {FINDING: "finding_mends", "finding_restricted": "hidden_finding_mends"}
GEOJSON: Final = "application/geo+json"
_FORMATS: Final = {"json": (GEOJSON, "application/json")}
_TITLES: Final = {
    "vi": {"self": "Tài liệu này", "about": "Phát hiện", "related": "Đề xuất sửa"},
    "en": {"self": "This document", "about": "The finding", "related": "The suggested mend"},
}


@dataclass(frozen=True)
class Suggested:
    """A finding's id and rule, and its mends as they are kept (gis.checks.mends)."""

    finding: str
    rule: str
    mends: list[dict[str, Any]]


async def suggested(
    connection: AsyncConnection[Any], state: State, layer: Layer, fid: int
) -> Suggested | None:
    """The mends of a finding that stands; None where none is suggested, or not for the caller."""
    mends = function(FINDINGS[layer.id], column("asset_id"))
    query = sql.SQL("SELECT asset_id, rule, {} FROM {} WHERE fid = %s AND state <> 'mended'").format(
        mends, table(layer)
    )
    row = await (await connection.execute(query, (fid,))).fetchone()
    if row is None or not row[2]:
        return None
    layers = state.catalogue.layers
    # A layer may have been restricted since the finding was made.
    public = all((one := layers.get(mend["layer"])) is not None and one.is_public for mend in row[2])
    return Suggested(*row) if public else None


def link(collection: str, fid: int, language: str) -> Link:
    """From the finding to its mend."""
    return {
        "href": f"{collection}/items/{fid}/mend",
        "rel": "related",
        "type": GEOJSON,
        "title": _TITLES[language]["related"],
    }


async def respond(request: Request, state: State, layer: Layer, fid: int) -> Response:
    """The mend as GeoJSON, or 304. Raises NotFoundError."""
    known_parameters(request, ("f", "lang"))
    choose_format(request, _FORMATS)
    language = choose_language(request, state.city.languages)
    async with state.reading(layer).connection() as connection:
        found = await suggested(connection, state, layer, fid)
    if found is None:
        raise NotFoundError(
            "no mend is suggested for this finding", hint="a finding that has one links to it (rel related)"
        )
    item = f"{state.base_url(request)}/collections/{layer.id}/items/{fid}"
    titles = _TITLES[language]
    document = {
        "links": [
            {"href": f"{item}/mend", "rel": "self", "type": GEOJSON, "title": titles["self"]},
            {"href": item, "rel": "about", "type": GEOJSON, "title": titles["about"]},
        ],
    }
    body = await asyncio.to_thread(_body, found, state.city.crs.storage, document)
    headers = {
        "ETag": etag_of(body),
        "Cache-Control": "no-cache",
        "Content-Language": language,
        "Vary": "Accept-Language",
    }
    if has_current(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=GEOJSON)


def _body(found: Suggested, storage: int, extra: dict[str, Any]) -> bytes:
    from gis.checks.mends import feature_collection, stored

    return orjson.dumps(
        {**feature_collection(found.finding, found.rule, stored(found.mends), storage), **extra}
    )
