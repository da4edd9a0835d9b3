"""A raster into a cloud-optimised GeoTIFF in the storage CRS: pixels, mask, overviews, tiles. In the child.

Every warp names both CRSs by their pinned descriptions (gis.crs.raster), never by what the file says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import shapely
from rasterio.enums import Resampling
from rasterio.features import geometry_mask
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT

from gis.crs.raster import pinned
from gis.errors import LimitError, LoadRefused
from gis.ingest.raster import cog
from gis.ingest.raster.bands import VOID, Plan, plan_of, read
from gis.ingest.raster.georef import crs_of, judge, judge_frame, transform_of
from gis.ingest.raster.request import RasterRequest

#: Most pixels along a side, and altogether.
MOST_SIDE, MOST_PIXELS = 400_000, 40_000_000_000
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
            source = stack.enter_context(in_storage(source, plan, transform, code, request.storage))
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


def in_storage(
    source: Any, plan: Plan, transform: Affine, code: int, storage: int, more: Mapping[str, Any] | None = None
) -> WarpedVRT:
    """A file in the storage CRS. ``more``: options of WarpedVRT."""
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
    return WarpedVRT(source, **{**options, **(more or {})})


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
            stack.enter_context(
                cog.create(raw, plan, result.width, result.height, transform, request.storage)
            )
            if request.write
            else None
        )
        done, total = 0, source.width * source.height
        for window in cog.windows(source.width, source.height):
            try:
                values, valid = read(source, seen(plan, source), window)
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
        cog.add_overviews(target)
    tell(int(total * 1.6), total * 2)
    cog.optimise(raw, request.result, jpeg=request.compression == "jpeg")
    tell(total * 2, total * 2)


def seen(plan: Plan, source: Any) -> Plan:
    """The plan as a warped source shows it: its own value stands for what has none."""
    if isinstance(source, WarpedVRT) and plan.dtype == "float32":
        return Plan(plan.indexes, plan.bands, plan.dtype, plan.table, VOID, plan.masked)
    return plan


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
