"""A raster into a cloud-optimised GeoTIFF in the storage CRS: pixels, mask, overviews, tiles. In the child.

Every warp names both CRSs by their pinned descriptions (gis.crs.raster), never by what the file says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import shapely
from rasterio.enums import Resampling
from rasterio.features import geometry_mask
from rasterio.rio.overview import get_maximum_overview_level
from rasterio.shutil import copy
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window
from rio_cogeo.cogeo import cog_validate
from rio_cogeo.profiles import cog_profiles

from gis.crs.raster import labelled, pinned
from gis.errors import LimitError, LoadRefused
from gis.ingest.raster.bands import VOID, Plan, plan_of, read
from gis.ingest.raster.georef import crs_of, judge, judge_frame, transform_of
from gis.ingest.raster.request import RasterRequest

#: Most pixels along a side, and altogether.
MOST_SIDE, MOST_PIXELS = 400_000, 40_000_000_000
#: Pixels of a side of what is read at a time, and of a tile of the result.
CHUNK, TILE = 2048, 512

Tell = Callable[[int, int], None]


@dataclass
class Result:
    """What a file is in the layer. ``footprint``: WKB in the storage CRS."""

    crs: int
    crs_how: str
    warped: bool
    width: int
    height: int
    bands: int
    resolution_m: float
    footprint: bytes
    valid: int = 0
    lowest: float | None = None
    highest: float | None = None
    warnings: list[str] = field(default_factory=list)


def convert(request: RasterRequest, tell: Tell) -> Result:
    """Check the file and, if the request says so, write ``request.result``. Raises LoadRefused."""
    with ExitStack() as stack:
        try:
            source = stack.enter_context(rasterio.open(request.path, driver=request.format.driver))
        except rasterio.errors.RasterioError as error:
            raise LoadRefused(
                f"the file cannot be read as {request.format.name}", code="damaged-file"
            ) from error
        if source.count == 0 or source.subdatasets:
            raise LoadRefused(
                "the file holds several rasters", code="several-layers", hint="send each by itself"
            )
        _bounded(source.width, source.height)
        transform = transform_of(source, request)
        code, how = crs_of(source, request)
        judge(request, transform, source.width, source.height, code)
        plan = plan_of(source, request.kind, request.nodata)
        straight = transform.b == 0 and transform.d == 0 and transform.a > 0 and transform.e < 0
        warped = code != request.storage or not straight
        if warped:
            source = stack.enter_context(_warped(source, plan, transform, code, request.storage))
            transform = source.transform
            _bounded(source.width, source.height)
        ground = shapely.box(*_bounds(transform, source.width, source.height))
        warnings = judge_frame(request, ground)
        frame = None
        if request.kind == "scan" and request.frame is not None:
            frame = shapely.from_wkb(request.frame)
            ground = shapely.intersection(ground, frame)
        result = Result(
            crs=code,
            crs_how=how,
            warped=warped,
            width=source.width,
            height=source.height,
            bands=plan.bands,
            resolution_m=math.sqrt(abs(transform.determinant)),
            footprint=shapely.to_wkb(ground),
            warnings=warnings,
        )
        if request.kind == "scan" and frame is None:
            result.warnings.append("its sheet is not known, so its margins are not cut (--sheet NAME)")
        _write(request, source, plan, transform, frame, result, tell)
    return result


def _bounded(width: int, height: int) -> None:
    if max(width, height) > MOST_SIDE or width * height > MOST_PIXELS:
        raise LimitError(
            f"the raster has {width:,} x {height:,} pixels, more than can be taken at a time",
            hint="cut it into sheets",
        )


def _bounds(transform: Affine, width: int, height: int) -> tuple[float, float, float, float]:
    return (transform.c, transform.f + transform.e * height, transform.c + transform.a * width, transform.f)


def _warped(source: Any, plan: Plan, transform: Affine, code: int, storage: int) -> WarpedVRT:
    options: dict[str, Any] = {
        "src_crs": pinned(code),
        "crs": pinned(storage),
        "src_transform": transform,
        "resampling": Resampling.nearest if plan.exact else Resampling.bilinear,
        "tolerance": 0.01,
    }
    if plan.dtype == "float32":
        options |= {"dtype": "float64" if "float64" in source.dtypes else "float32", "nodata": VOID}
        if plan.nodata is not None:
            options["src_nodata"] = plan.nodata
    elif plan.nodata is not None and not plan.masked:
        options |= {"src_nodata": plan.nodata, "nodata": plan.nodata}
    elif not plan.masked or not any(c.name == "alpha" for c in source.colorinterp):
        options["add_alpha"] = True
    return WarpedVRT(source, **options)


def _write(
    request: RasterRequest,
    source: Any,
    plan: Plan,
    transform: Affine,
    frame: shapely.Geometry | None,
    result: Result,
    tell: Tell,
) -> None:
    """Read everything; check values; write when the request says so."""
    raw = request.work / "raw.tif"
    heights = plan.dtype == "float32"
    with ExitStack() as stack:
        target = (
            stack.enter_context(_raw(raw, plan, transform, result, request.storage))
            if request.write
            else None
        )
        done, total = 0, source.width * source.height
        for window in _windows(source.width, source.height):
            try:
                values, valid = read(source, _seen(plan, source), window)
            except rasterio.errors.RasterioError as error:
                raise LoadRefused(
                    "the file is damaged: not all of it can be read", code="damaged-file"
                ) from error
            if frame is not None:
                here = transform @ Affine.translation(window.col_off, window.row_off)
                valid &= geometry_mask([frame], valid.shape, here, invert=True)
            result.valid += int(np.count_nonzero(valid))
            if heights and valid.any():
                _measure(values[0][valid], request, result)
            if target is not None:
                if heights:
                    values[0][~valid] = VOID
                else:
                    values[:, ~valid] = 0
                    target.write_mask(valid, window=window)
                target.write(values, window=window)
            done += window.width * window.height
            tell(done, total * 2 if request.write else total)
        if not result.valid:
            raise LoadRefused("the file has no pixel with a value", code="empty-file")
        if target is None:
            return
        levels = get_maximum_overview_level(source.width, source.height, minsize=TILE)
        resampling = Resampling.average
        if levels:
            target.build_overviews([2**level for level in range(1, levels + 1)], resampling)
            target.update_tags(ns="rio_overview", resampling=resampling.name)
    tell(int(total * 1.6), total * 2)
    _optimise(raw, request.result, request, plan)
    raw.unlink()
    tell(total * 2, total * 2)


def _seen(plan: Plan, source: Any) -> Plan:
    """The plan as a warped source shows it: its own value stands for what has none."""
    if isinstance(source, WarpedVRT) and plan.dtype == "float32":
        return Plan(plan.indexes, plan.bands, plan.dtype, plan.table, VOID, plan.masked)
    return plan


def _windows(width: int, height: int) -> Iterator[Window]:
    for row in range(0, height, CHUNK):
        for column in range(0, width, CHUNK):
            yield Window(column, row, min(CHUNK, width - column), min(CHUNK, height - row))


def _raw(path: Path, plan: Plan, transform: Affine, result: Result, storage: int) -> Any:
    options: dict[str, Any] = {"nodata": VOID} if plan.dtype == "float32" else {}
    if plan.bands == 3:
        options["photometric"] = "RGB"
    return rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=result.width,
        height=result.height,
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


def _measure(values: npt.NDArray[np.float32], request: RasterRequest, result: Result) -> None:
    lowest, highest = float(values.min()), float(values.max())
    low, high = request.heights
    if lowest < low or highest > high:
        wrong = lowest if lowest < low else highest
        raise LoadRefused(
            f"the file has a height of {wrong:g} m, and possible are {low:g} to {high:g}",
            code="impossible-height",
            hint="if it stands for no value, say so with --nodata; heights must be in metres",
        )
    result.lowest = lowest if result.lowest is None else min(lowest, result.lowest)
    result.highest = highest if result.highest is None else max(highest, result.highest)


def _optimise(raw: Path, target: Path, request: RasterRequest, plan: Plan) -> None:
    """Lay the tiles out as a COG has them, and prove that it is one."""
    profiles: Any = cog_profiles
    if request.compression == "jpeg" and plan.dtype == "uint8":
        profile = {**profiles.get("jpeg"), "quality": 90}
        if plan.bands == 1:
            profile.pop("photometric")
    else:
        profile = {**profiles.get("deflate"), "predictor": 3 if plan.dtype == "float32" else 2}
    copy(raw, target, copy_src_overviews=True, bigtiff="IF_SAFER", **profile)
    good, mistakes, _ = cog_validate(target, quiet=True)
    if not good:
        raise RuntimeError(f"not a COG: {mistakes}")
