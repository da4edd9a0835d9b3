"""GET /elevation: the height of the ground at a point, from the elevation models that the caller may see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gis import crs
from gis.api.features.leaving import while_connected
from gis.api.negotiate import etag_of, has_current, known_parameters
from gis.api.problems import Refusal
from gis.api.raster.work import Studio, studio_of
from gis.api.state import State, state_of
from gis.errors import LimitError, NotFoundError, UsageError
from tiles.mosaic import Gone, Mosaic, Scene

#: Most points of one question (a section has one for each metre).
MOST_POINTS = 5_000

Found = tuple[float, Mosaic, Scene]


async def heights(studio: Studio, state: State, points: Sequence[tuple[float, float]]) -> list[Found | None]:
    """Height (m above the city's vertical datum), layer and file at each longitude and latitude (degrees).

    Of several elevation models, the first of the catalogue that has a value counts. None where there is none.
    Raises LimitError, Refusal (503).
    """
    if len(points) > MOST_POINTS:
        raise LimitError(f"heights are asked for at most {MOST_POINTS} points at a time")
    for again in (False, True):
        shelves = await studio.shelves(state, again=again)
        models = [m for m in shelves.mosaics.values() if m.layer.definition.kind == "elevation"]
        if not models or not points:
            return [None] * len(points)
        try:
            found: list[Found | None] = await studio.run(object(), lambda: _look(models, points))  # noqa: B023
        except Gone:
            continue
        return found
    raise Refusal(503, "file-missing", "a file of this layer cannot be read at the moment")


def _look(models: Sequence[Mosaic], points: Sequence[tuple[float, float]]) -> list[Found | None]:
    from tiles import raster

    lon_lat = np.array(points, dtype=np.float64)
    found: list[Found | None] = [None] * len(points)
    for model in models:
        left = [i for i, one in enumerate(found) if one is None]
        x, y = crs.transform_xy(lon_lat[left, 0], lon_lat[left, 1], crs.WGS84, model.storage)
        places = [(float(a), float(b)) for a, b in zip(x, y, strict=True)]
        for i, one in zip(left, raster.heights_at(model, places), strict=True):
            if one is not None:
                found[i] = (one[0], model, one[1])
    return found


async def get_elevation(request: Request) -> Response:
    """GET /elevation?point=lon,lat"""
    given = known_parameters(request, ("point", "f"))
    if given.get("f", "json") != "json":
        raise UsageError(
            "heights are told as JSON only", errors=[{"parameter": "f", "detail": "unknown format"}]
        )
    point = read_point(given.get("point"))
    return await while_connected(request, _answer(request, point))


async def _answer(request: Request, point: tuple[float, float]) -> Response:
    state = state_of(request)
    found = (await heights(studio_of(request), state, [point]))[0]
    if found is None:
        raise NotFoundError(
            "no elevation model has a height here",
            code="no-elevation",
            hint="/collections tells where they are",
        )
    value, mosaic, scene = found
    body: dict[str, Any] = {
        "point": list(point),
        "elevation_m": round(value, 3),
        "vertical_datum": state.city.vertical_datum,
        "layer": mosaic.layer.id,
        "source": scene.source,
        "sheet": scene.sheet,
        "resolution_m": round(scene.resolution_m, 4),
        "taken": scene.taken_on.isoformat() if scene.taken_on else None,
    }
    raw = orjson.dumps(body)
    headers = {"ETag": etag_of(raw), "Cache-Control": "no-cache"}
    if has_current(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(raw, media_type="application/json", headers=headers)


def read_point(text: str | None) -> tuple[float, float]:
    """Longitude and latitude of ``point=``. Raises UsageError."""
    parts = (text or "").split(",")
    try:
        lon, lat = (float(part) for part in parts if len(part) <= 40)
    except ValueError:
        lon, lat = float("nan"), float("nan")
    if len(parts) != 2 or not (-180 <= lon <= 180 and -90 <= lat <= 90):
        raise UsageError(
            "point is longitude and latitude in degrees",
            hint="point=106.698,10.7725",
            errors=[{"parameter": "point", "detail": "not lon,lat"}],
        )
    return lon, lat


ROUTES = [Route("/elevation", get_elevation)]
