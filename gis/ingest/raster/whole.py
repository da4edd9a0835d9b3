"""The overview of a layer of many files: how coarse it is, and when it is made anew."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from psycopg import Connection

from gis.city import City
from gis.db import rasters
from gis.db.rasters import RasterFile, Standing
from gis.ingest.raster.request import OverviewRequest, RasterRequest
from layers.raster import MOST_FILES, RasterLayer

#: Part of every overview's hash: what was made by other rules is made again.
RULES = "1"
#: Pixels of an overview.
MOST_PIXELS = 64_000_000
#: Pixels of a tile's side, and files around which it is tried out how many meet.
_TILE, _TRIED = 256, 60

#: The child's result for a request.
Ask = Callable[[RasterRequest | OverviewRequest], dict[str, Any]]


def step_of(shapes: Sequence[shapely.Geometry], finest: float) -> float | None:
    """Metres of the overview's pixels: no tile of so large ones or smaller meets more than MOST_FILES files.

    Never less than ``finest``, the files' own. None where there are no more than so many files.
    """
    if len(shapes) <= MOST_FILES:
        return None
    found = np.array(shapes, dtype=object)
    tree = shapely.STRtree(found)
    west, south, east, north = shapely.total_bounds(found).tolist()
    centres = shapely.centroid(found[:: max(1, len(found) // _TRIED)])
    x, y = shapely.get_x(centres), shapely.get_y(centres)
    least = max(finest, math.sqrt((east - west) * (north - south) / MOST_PIXELS))
    side = max(east - west, north - south)
    while side > least * _TILE:
        half = side / 2
        met = tree.query(shapely.box(x - half, y - half, x + half, y + half))[0]
        if np.bincount(met).max() <= MOST_FILES:
            break
        side /= 1.5
    return max(least, float(f"{side / _TILE:.3g}"))


def overview(
    layer: RasterLayer,
    city: City,
    files: Sequence[tuple[Path, Standing]],
    folder: Path,
    work: Path,
    known: dict[bytes, str],
    ask: Ask,
) -> tuple[str | None, tuple[Path, RasterFile] | None]:
    """The name of the overview that a layer of these files is to have, and the overview unless it is known.

    Raises LoadRefused and what else the child tells.
    """
    definition = layer.definition
    finest = min((one.resolution_m for _, one in files), default=0.0)
    step = step_of([shapely.from_wkb(one.footprint) for _, one in files], finest)
    if step is None:
        return None, None
    ordered = sorted(
        files, key=lambda one: definition.rank(one[1].taken_on, one[1].loaded_at, one[1].resolution_m)
    )
    said = [RULES, definition.kind, definition.compression, city.crs.storage, step]
    content = hashlib.sha256(json.dumps([*said, [one.name for _, one in ordered]]).encode()).digest()
    name = f"{content.hex()[:16]}{rasters.OVERVIEW}"
    if content in known:
        return name, None
    request = OverviewRequest(
        files=tuple((path, one.footprint) for path, one in ordered),
        folder=folder,
        work=work,
        kind=definition.kind,
        compression=definition.compression,
        storage=city.crs.storage,
        step=step,
    )
    result = ask(request)
    made = work / name
    request.result.replace(made)
    row = RasterFile(
        name=name,
        content=content,
        footprint=base64.b64decode(result["footprint"]),
        sheet=None,
        resolution_m=result["resolution_m"],
        taken_on=None,
        source=f"overview of {len(files)} files",
        width=result["width"],
        height=result["height"],
        bands=result["bands"],
        lowest=result["lowest"],
        highest=result["highest"],
        bytes=made.stat().st_size,
    )
    return name, (made, row)


def standing(connection: Connection, layer: RasterLayer, folder: Path) -> list[tuple[Path, Standing]]:
    """The delivered files of a layer, with where they are."""
    return [(folder / one.name, one) for one in rasters.standing_files(connection, layer)]
