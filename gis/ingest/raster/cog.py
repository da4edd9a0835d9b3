"""Writing cloud-optimised GeoTIFFs: in tiles, with overviews, of any size in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rasterio
from rasterio.enums import Resampling
from rasterio.rio.overview import get_maximum_overview_level
from rasterio.shutil import copy
from rasterio.transform import Affine
from rasterio.windows import Window
from rio_cogeo.cogeo import cog_validate
from rio_cogeo.profiles import cog_profiles

from gis.crs.raster import labelled
from gis.ingest.raster.bands import VOID, Plan

#: Pixels of a side of what is read at a time, and of a tile of the result.
CHUNK, TILE = 2048, 512


def windows(width: int, height: int) -> Iterator[Window]:
    """All of a raster, in parts that memory is bounded by."""
    for row in range(0, height, CHUNK):
        for column in range(0, width, CHUNK):
            yield Window(column, row, min(CHUNK, width - column), min(CHUNK, height - row))


def create(path: Path, plan: Plan, width: int, height: int, transform: Affine, storage: int) -> Any:
    """A file to be written window by window, then given overviews and optimised."""
    options: dict[str, Any] = {"nodata": VOID} if plan.dtype == "float32" else {}
    if plan.bands == 3:
        options["photometric"] = "RGB"
    return rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=width,
        height=height,
        count=plan.bands,
        dtype=plan.dtype,
        crs=labelled(storage),
        transform=transform,
        tiled=True,
        blockxsize=TILE,
        blockysize=TILE,
        compress="DEFLATE",
        zlevel=1,
        bigtiff="IF_SAFER",
        interleave="pixel",
        **options,
    )


def add_overviews(target: Any) -> None:
    """Of what was written, down to the size of a tile."""
    levels = get_maximum_overview_level(target.width, target.height, minsize=TILE)
    resampling = Resampling.average
    if levels:
        target.build_overviews([2**level for level in range(1, levels + 1)], resampling)
        target.update_tags(ns="rio_overview", resampling=resampling.name)


def optimise(raw: Path, target: Path, *, jpeg: bool) -> None:
    """Lay the tiles out as a COG has them, prove that it is one, and take ``raw`` away."""
    profiles: Any = cog_profiles
    with rasterio.open(raw) as source:
        bands, pictures = source.count, source.dtypes[0] == "uint8"
    if jpeg and pictures:
        profile = {**profiles.get("jpeg"), "quality": 90}
        if bands == 1:
            profile.pop("photometric")
    else:
        profile = {**profiles.get("deflate"), "predictor": 2 if pictures else 3}
    copy(raw, target, copy_src_overviews=True, bigtiff="IF_SAFER", **profile)
    good, mistakes, _ = cog_validate(target, quiet=True)
    if not good:
        raise RuntimeError(f"not a COG: {mistakes}")
    raw.unlink()
