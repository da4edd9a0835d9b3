"""Where a raster lies, and whether that can be: transform and CRS, judged as the vector loader does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import shapely
from rasterio.transform import Affine

from gis.crs.diagnose import diagnose
from gis.errors import LoadRefused
from gis.ingest import place
from gis.ingest.raster.request import RasterRequest

#: Longest text of a world or projection file.
_MOST_TEXT = 100_000


def transform_of(source: Any, request: RasterRequest) -> Affine:
    """Pixel to coordinates, of the file or of its world file. Raises LoadRefused."""
    found = source.transform
    if not found.is_identity:
        given = found
    elif request.world is not None:
        given = _world_file(request)
    else:
        gcps = " (it has ground control points only: rectify it first)" if source.gcps[0] else ""
        raise LoadRefused(
            f"the file does not say where it lies{gcps}",
            code="no-georeference",
            hint=f"put a world file beside it ({', '.join(request.format.world) or 'or send a GeoTIFF'})",
        )
    if not all(map(math.isfinite, given[:6])) or abs(given.determinant) < 1e-18:
        raise LoadRefused("the file's pixels have no size", code="no-georeference")
    return given


def _world_file(request: RasterRequest) -> Affine:
    assert request.world is not None
    with request.world.open("rb") as file:
        words = file.read(_MOST_TEXT).decode("ascii", "replace").replace(",", ".").split()
    try:
        a, d, b, e, c, f = (float(word) for word in words[:6])
    except ValueError:
        raise LoadRefused("the world file does not hold six numbers", code="no-georeference") from None
    # A world file gives the middle of the first pixel.
    return Affine(a, b, c, d, e, f) @ Affine.translation(-0.5, -0.5)


def crs_of(source: Any, request: RasterRequest) -> tuple[int, str]:
    """The CRS of the coordinates, and how it is known; never guessed. Raises LoadRefused."""
    text = str(source.crs.to_wkt()) if source.crs else None
    if text is None and request.projection is not None:
        with request.projection.open("rb") as file:
            text = file.read(_MOST_TEXT).decode("utf-8", "replace")
    return place.crs_of(text, request.crs)


def judge(request: RasterRequest, transform: Affine, width: int, height: int, code: int) -> None:
    """Refuse a raster that cannot be the city's under its CRS, naming the mistake. Raises LoadRefused."""
    x, y = np.meshgrid(np.linspace(0, width, 7), np.linspace(0, height, 7))
    points = np.column_stack(transform @ (x.ravel(), y.ravel()))
    found = diagnose(points, code, request.extent, request.storage, offered=request.offered)
    place.refuse_unless_there(found, allow_outside=request.allow_outside)


def judge_frame(request: RasterRequest, ground: shapely.Geometry) -> list[str]:
    """Refuse a scan that lies elsewhere than the sheet whose name it has; warn when part of it is missing.

    ``ground``: what it covers, in the storage CRS. A datum shift left out moves a sheet by 225 m, which is a
    fifth of one at 1:2000. Raises LoadRefused.
    """
    if request.frame is None:
        return []
    frame = shapely.from_wkb(request.frame)
    shared = shapely.intersection(ground, frame).area
    if shared < 0.5 * min(frame.area, ground.area) and not request.allow_outside:
        off = shapely.distance(shapely.centroid(ground), shapely.centroid(frame))
        raise LoadRefused(
            f"the picture lies {off:,.0f} m from sheet {request.sheet}, whose name it has",
            code="not-on-its-sheet",
            hint="check its world file, its CRS and its name, or name the sheet with --sheet",
        )
    if shared < 0.98 * frame.area:
        return [
            f"the picture covers {shared / frame.area:.0%} of sheet {request.sheet}: "
            "is it rectified in the CRS that it says?"
        ]
    return []
