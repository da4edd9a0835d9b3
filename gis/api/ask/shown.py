"""What the routes of this package say of a feature: its title, a point on it, its box; as SQL."""

from __future__ import annotations

from typing import Any, Final

import orjson
from psycopg import sql
from starlette.requests import Request
from starlette.responses import Response

from gis.api.negotiate import etag_of, has_current
from gis.api.state import State
from gis.crs import WGS84
from gis.db.sql import column
from layers.registry import Layer

_PARCEL: Final = {"vi": ("Tờ ", ", thửa "), "en": ("Sheet ", ", parcel ")}
_NAMES: Final = ("name", "code")


def titled(layer: Layer, language: str, of: str = "i") -> sql.Composed:
    """SQL of the feature's title in text of alias ``of``: what people call it, or else its asset_id.

    Only of what the caller may see.
    """
    find = layer.definition.find
    parts: list[sql.Composable] = []
    if find and find.sheet and find.number and {find.sheet, find.number} <= seen(layer):
        sheet, number = column(find.sheet, of), column(find.number, of)
        first, then = map(sql.Literal, _PARCEL.get(language, _PARCEL["en"]))
        parts.append(
            sql.SQL(
                "CASE WHEN {0} <> '' AND {1} <> '' THEN concat({2}::text, {0}, {3}::text, {1}) END"
            ).format(sheet, number, first, then)
        )
    parts += [sql.SQL("nullif({}, '')").format(column(name, of)) for name in title_fields(layer)]
    return sql.SQL("coalesce({})").format(sql.SQL(", ").join([*parts, column("asset_id", of)]))


def title_fields(layer: Layer) -> tuple[str, ...]:
    """Texts that name a feature of the layer, the best first; without asset_id."""
    find, label = layer.definition.find, layer.definition.style.label
    names = list(find.names) if find else []
    if find and find.kind == "address":
        names += ["address", "house_number"]
    names += [label.field] if label else []
    texts = {f.name for f in layer.public_fields if f.type == "string" and f.domain is None}
    return tuple(dict.fromkeys(n for n in (*names, *_NAMES) if n in texts))


def seen(layer: Layer) -> set[str]:
    """Names of the fields that the caller may see."""
    return {f.name for f in layer.public_fields}


def point_on(layer: Layer, of: str = "i") -> sql.Composed:
    """SQL of a point on the feature, storage CRS."""
    geom = column("geom", of)
    if layer.definition.geometry == "Point":
        return sql.SQL("{}").format(geom)
    if layer.dimension == 1:
        return sql.SQL("ST_ClosestPoint({0}, ST_Centroid(ST_Envelope({0})))").format(geom)
    return sql.SQL("ST_PointOnSurface({})").format(geom)


def placed(
    shown: sql.Composable,
    further: sql.Composable,
    point: sql.Composable,
    box: sql.Composable,
    of: sql.Composable,
) -> sql.Composed:
    """``SELECT shown, six numbers, further``: lon, lat of the point; west, south, east, north of the box.

    ``shown`` and ``further`` are names of columns of the relation ``of``, which is called i; ``point`` and
    ``box`` SQL of geometries in the storage CRS. Each is transformed once.
    """
    return sql.SQL(
        "SELECT {shown}, ST_X(_p), ST_Y(_p), ST_XMin(_b), ST_YMin(_b), ST_XMax(_b), ST_YMax(_b), {further}"
        " FROM (SELECT i.*, ST_Transform(ST_Force2D({point}), {code}) AS _p,"
        " ST_Transform(ST_Force2D({box}), {code}) AS _b FROM ({of}) AS i OFFSET 0) AS i"
    ).format(shown=shown, further=further, point=point, box=box, of=of, code=sql.Literal(WGS84))


def placed_features(
    layer: Layer, shown: sql.Composable, further: sql.Composable, of: sql.Composable
) -> sql.Composed:
    """``placed`` of features of the layer: ``of`` has their geom."""
    box = sql.SQL("ST_Envelope({})").format(column("geom", "i"))
    return placed(shown, further, point_on(layer), box, of)


def answer(request: Request, state: State, document: dict[str, Any]) -> Response:
    """JSON, or 304; never kept without asking again, and of who has logged in by nobody else."""
    body = orjson.dumps(document)
    headers = {
        "Content-Type": "application/json",
        "ETag": etag_of(body),
        "Cache-Control": "no-cache" if state.principal is None else "private, no-cache",
        "Vary": "Accept-Language, Authorization",
    }
    if request.method == "GET" and has_current(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers)


def rounded(value: float | None, digits: int = 3) -> float | None:
    """As JSON shows it: NaN is unknown."""
    return None if value is None or value != value else round(float(value), digits)
