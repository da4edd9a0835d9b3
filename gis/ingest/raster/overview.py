"""One file that holds a layer of many files coarsely, for maps on which all of them are seen. In the child.

Block by block, and in each the file on top first: what others would paint over is not read.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import shapely
from rasterio.enums import Resampling
from rasterio.transform import Affine, from_origin
from rasterio.windows import Window

from gis.errors import LoadRefused
from gis.ingest.raster import cog
from gis.ingest.raster.bands import VOID, Plan, plan_of, read
from gis.ingest.raster.convert import Result, Tell, in_storage, seen
from gis.ingest.raster.request import OverviewRequest

Pixels = npt.NDArray[Any]


def build(request: OverviewRequest, tell: Tell) -> Result:
    """Write ``request.result`` of the files. Raises LoadRefused when none has a pixel."""
    step = request.step
    shapes = shapely.from_wkb([shape for _, shape in request.files])
    west, south, east, north = shapely.total_bounds(shapes).tolist()
    west, north = math.floor(west / step) * step, math.ceil(north / step) * step
    width, height = math.ceil((east - west) / step), math.ceil((north - south) / step)
    transform = from_origin(west, north, step, step)
    heights = request.kind == "elevation"
    plan = Plan((1,), 1, "float32") if heights else Plan((1, 2, 3), 3, "uint8")
    ground = shapely.box(west, north - height * step, west + width * step, north)
    result = Result(
        request.storage, "", False, width, height, plan.bands, step, footprint=shapely.to_wkb(ground)
    )
    tree = shapely.STRtree(shapes)
    raw, done = request.work / "raw.tif", 0
    with cog.create(raw, plan, width, height, transform, request.storage) as target:
        for window in cog.windows(width, height):
            values = np.full((plan.bands, window.height, window.width), VOID if heights else 0, plan.dtype)
            valid = np.zeros(values.shape[1:], bool)
            corner = transform @ Affine.translation(window.col_off, window.row_off)
            for n in sorted(tree.query(_box(corner, window.width, window.height)).tolist()):
                _paint(request, n, shapes[n], corner, values, valid)
            target.write(values, window=window)
            if not heights:
                target.write_mask(valid, window=window)
            elif valid.any():
                found = values[0][valid]
                lowest = math.inf if result.lowest is None else result.lowest
                result.lowest = min(float(found.min()), lowest)
                highest = -math.inf if result.highest is None else result.highest
                result.highest = max(float(found.max()), highest)
            result.valid += int(np.count_nonzero(valid))
            done += window.width * window.height
            tell(done, width * height)
        cog.add_overviews(target)
    if not result.valid:
        raise LoadRefused("the files of the layer have no pixel with a value", code="empty-file")
    cog.optimise(raw, request.result, jpeg=request.compression == "jpeg")
    return result


def _paint(
    request: OverviewRequest,
    number: int,
    shape: shapely.Geometry,
    corner: Affine,
    values: Pixels,
    valid: npt.NDArray[np.bool_],
) -> None:
    """Put a file under what is there already."""
    rows, columns = valid.shape
    west, south, east, north = shape.bounds
    left, top = ~corner @ (west, north)
    right, bottom = ~corner @ (east, south)
    window = Window.from_slices(
        (max(0, math.floor(top)), min(rows, math.ceil(bottom))),
        (max(0, math.floor(left)), min(columns, math.ceil(right))),
    )
    here = window.toslices()
    if window.width <= 0 or window.height <= 0 or valid[here].all():
        return
    with _opened(request.files[number][0], request.step) as source:
        plan = plan_of(source, request.kind, None)
        place = corner @ Affine.translation(window.col_off, window.row_off)
        aim = {"transform": place, "width": window.width, "height": window.height}
        aim["resampling"] = Resampling.average
        with in_storage(source, plan, source.transform, request.storage, request.storage, aim) as small:
            found, there = read(small, seen(plan, small), Window(0, 0, window.width, window.height))
    there &= ~valid[here]
    values[:, *here][:, there] = np.broadcast_to(found, (len(values), *there.shape))[:, there]
    valid[here] |= there


def _opened(path: Any, step: float) -> Any:
    """A file, or its largest overview whose pixels are no larger than half the step."""
    source = rasterio.open(path, driver="GTiff")
    levels = [n for n, factor in enumerate(source.overviews(1)) if factor * source.res[0] <= step / 2]
    if not levels:
        return source
    source.close()
    return rasterio.open(path, driver="GTiff", overview_level=levels[-1])


def _box(corner: Affine, width: int, height: int) -> shapely.Geometry:
    (west, north), (east, south) = corner @ (0, 0), corner @ (width, height)
    return shapely.box(west, south, east, north)
