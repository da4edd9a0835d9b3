"""Pictures and values of raster layers, by rio-tiler: bytes out of files, no HTTP.

Import it in the thread that needs it: rasterio and rio-tiler take 45 MB. Every warp is given our description
of the storage CRS in place of the file's (gis.crs.raster): GDAL's own choice of operation is 0.80 m off.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import RasterioIOError
from rasterio.transform import from_bounds
from rasterio.windows import Window
from rio_tiler.models import ImageData
from rio_tiler.mosaic.methods import FirstMethod
from rio_tiler.reader import read

from gis.crs import Box
from gis.crs.raster import labelled, pinned
from tiles import shade
from tiles.mosaic import Gone, Mosaic, Scene

#: Of GDAL in a server process: 16 MB of blocks, no threads of its own, no look at other files.
_GDAL = {
    "GDAL_CACHEMAX": 16,
    "GDAL_NUM_THREADS": "1",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": "{none}",
}

FORMATS = {"png": "PNG", "webp": "WEBP", "tif": "GTiff"}
_OPTIONS: dict[str, dict[str, Any]] = {"png": {"ZLEVEL": 4}, "webp": {"QUALITY": 82}, "tif": {}}


def picture(
    mosaic: Mosaic,
    scenes: Sequence[Scene],
    box: Box,
    crs: int,
    width: int,
    height: int,
    style: str,
    form: str,
) -> bytes | None:
    """A box of a CRS as a picture (png, webp); None where there is nothing. Raises Gone."""
    with rasterio.Env(**_GDAL):
        drawn = _drawn(mosaic, scenes, box, crs, width, height, style)
        return None if drawn is None else _encode(drawn, box, crs, form, exact=style == "terrain")


def opaque_picture(
    mosaic: Mosaic, scenes: Sequence[Scene], box: Box, width: int, height: int, style: str
) -> tuple[bytes, bytes | None] | None:
    """A box of the storage CRS as JPEG, and where it has holes the opacity of its pixels (bytes of 0 or 255).

    None where there is nothing. Raises Gone.
    """
    with rasterio.Env(**_GDAL):
        drawn = _drawn(mosaic, scenes, box, mosaic.storage, width, height, style)
        if drawn is None:
            return None
        void = np.ma.getmaskarray(drawn)[0]
        colours = np.broadcast_to(drawn.filled(255), (3, height, width))
        image = ImageData(np.ma.MaskedArray(colours), bounds=box, crs=pinned(mosaic.storage))
        made = image.render(add_mask=False, img_format="JPEG", QUALITY=88)
        return bytes(made), np.where(void, 0, 255).astype(np.uint8).tobytes() if void.any() else None


def _drawn(
    mosaic: Mosaic, scenes: Sequence[Scene], box: Box, crs: int, width: int, height: int, style: str
) -> np.ma.MaskedArray[Any, Any] | None:
    """Colours or greys (bands, height, width) of a box in a style; None where there is nothing."""
    if mosaic.layer.definition.kind != "elevation":
        return _pixels(mosaic, scenes, box, crs, width, height)
    step_x, step_y = (box[2] - box[0]) / width, (box[3] - box[1]) / height
    wide = (box[0] - step_x, box[1] - step_y, box[2] + step_x, box[3] + step_y)
    found = _pixels(mosaic, scenes, wide, crs, width + 2, height + 2)
    if found is None or np.ma.getmaskarray(found)[:, 1:-1, 1:-1].all():
        return None
    ground = found[0].filled(np.nan).astype(np.float32)
    cell = mosaic.metres(box, crs, step_x)
    if style == "terrain":
        values, void = shade.terrain(ground[1:-1, 1:-1]), np.zeros((height, width), dtype=bool)
    else:
        void = np.ma.getmaskarray(found)[0, 1:-1, 1:-1]
        if style == "hillshade":
            values = shade.hillshade(ground, cell)[None]
        else:
            values = shade.relief(ground, cell, mosaic.layer.definition.ramp)
    return np.ma.MaskedArray(values, mask=np.broadcast_to(void, values.shape))


def values_tiff(
    mosaic: Mosaic, scenes: Sequence[Scene], box: Box, crs: int, width: int, height: int
) -> bytes | None:
    """The values of a box as GeoTIFF: heights in metres (-9999: none), or colours with an alpha band."""
    with rasterio.Env(**_GDAL):
        pixels = _pixels(mosaic, scenes, box, crs, width, height)
        if pixels is None:
            return None
        heights = mosaic.layer.definition.kind == "elevation"
        count = pixels.shape[0] + (0 if heights else 1)
        with rasterio.MemoryFile() as memory:
            with memory.open(
                driver="GTiff",
                width=width,
                height=height,
                count=count,
                dtype=pixels.dtype.name,
                crs=labelled(crs),
                transform=from_bounds(*box, width, height),
                compress="DEFLATE",
                nodata=-9999.0 if heights else None,
                **({} if heights else {"photometric": "RGB", "alpha": "YES"}),
            ) as target:
                if heights:
                    target.write(pixels.filled(-9999.0))
                else:
                    target.write(
                        np.concatenate(
                            [pixels.filled(0), (~np.ma.getmaskarray(pixels)[:1]).astype(np.uint8) * 255]
                        )
                    )
            return bytes(memory.read())


def heights_at(mosaic: Mosaic, points: Sequence[tuple[float, float]]) -> list[tuple[float, Scene] | None]:
    """The height (m) at each point of the storage CRS, between the middles of its four cells, with its file.

    None where no file has one. Raises Gone.
    """
    found: list[tuple[float, Scene] | None] = [None] * len(points)
    by_scene: dict[int, list[int]] = {}
    scenes = {id(one): one for one in mosaic.scenes}
    waiting = {i: mosaic.at(*point) for i, point in enumerate(points)}
    with rasterio.Env(**_GDAL):
        while waiting:
            by_scene.clear()
            for i, candidates in waiting.items():
                if candidates:
                    by_scene.setdefault(id(candidates[0]), []).append(i)
            if not by_scene:
                break
            for key, indexes in by_scene.items():
                scene = scenes[key]
                with _opened(scene) as source:
                    for i in indexes:
                        value = _between(source, *points[i])
                        if value is not None:
                            found[i] = (value, scene)
            waiting = {i: rest[1:] for i, rest in waiting.items() if found[i] is None and len(rest) > 1}
    return found


def _between(source: Any, x: float, y: float) -> float | None:
    """Bilinear; of cells that have a value, when not all four do; None when the point's own cell has none."""
    column, row = ~source.transform @ (x, y)
    own = (min(max(int(row), 0), source.height - 1), min(max(int(column), 0), source.width - 1))
    left, top = math.floor(column - 0.5), math.floor(row - 0.5)
    first_x, first_y = max(left, 0), max(top, 0)
    last_x, last_y = min(left + 2, source.width), min(top + 2, source.height)
    cells = source.read(1, window=Window(first_x, first_y, last_x - first_x, last_y - first_y), masked=True)
    if np.ma.getmaskarray(cells)[own[0] - first_y, own[1] - first_x]:
        return None
    across = np.clip(1 - np.abs(np.arange(first_x, last_x) + 0.5 - column), 0, 1)
    down = np.clip(1 - np.abs(np.arange(first_y, last_y) + 0.5 - row), 0, 1)
    weights = np.where(np.ma.getmaskarray(cells), 0, down[:, None] * across[None])
    total = float(weights.sum())
    value = float((weights * cells.filled(0)).sum() / total) if total else float(cells[0, 0])
    return value if math.isfinite(value) else None


def _pixels(
    mosaic: Mosaic, scenes: Sequence[Scene], box: Box, crs: int, width: int, height: int
) -> np.ma.MaskedArray[Any, Any] | None:
    """The first file's pixels, where it has none the second's, and so on; None when no file has any."""
    method = FirstMethod()
    for scene in scenes:
        method.feed(_read(mosaic, scene, box, crs, width, height))
        if method.is_done:
            break
    data = method.data
    if data is None or data.mask.all():
        return None
    return np.ma.MaskedArray(data.data, mask=np.ma.getmaskarray(data))


def _read(
    mosaic: Mosaic, scene: Scene, box: Box, crs: int, width: int, height: int
) -> np.ma.MaskedArray[Any, Any]:
    target = pinned(crs)
    step = mosaic.metres(box, crs, (box[2] - box[0]) / width)
    with _opened(scene, step) as source:
        # Not rio_tiler.reader.part: it asks GDAL for its own way to the target first, a third of all time.
        found = read(
            source,
            dst_crs=target,
            width=width,
            height=height,
            indexes=tuple(range(1, source.count + 1)),
            resampling_method="bilinear",
            reproject_method="bilinear",
            vrt_options={
                "src_crs": pinned(mosaic.storage),
                "transform": from_bounds(*box, width, height),
                "width": width,
                "height": height,
            },
        ).array
    wanted = 1 if mosaic.layer.definition.kind == "elevation" else 3
    if found.shape[0] < wanted:  # greys beside colours
        mask = np.broadcast_to(np.ma.getmaskarray(found), (wanted, height, width))
        return np.ma.MaskedArray(np.broadcast_to(found.data, mask.shape), mask=mask)
    return found


@contextlib.contextmanager
def _opened(scene: Scene, step: float = 0.0) -> Iterator[Any]:
    """A file, or its overview for pixels of so many metres: a warp by itself would read all of the file."""
    try:
        source = rasterio.open(scene.path, driver="GTiff")
        levels = [n for n, factor in enumerate(source.overviews(1)) if factor * scene.resolution_m <= step]
        if levels:
            source.close()
            source = rasterio.open(scene.path, driver="GTiff", overview_level=levels[-1])
    except RasterioIOError as error:
        raise Gone(scene.name) from error
    with source:
        yield source


def _encode(
    pixels: np.ma.MaskedArray[Any, Any], box: Box, crs: int, form: str, *, exact: bool = False
) -> bytes:
    values: npt.NDArray[np.uint8] = pixels.filled(0)
    mask = np.ma.getmaskarray(pixels)
    if form == "webp" and values.shape[0] == 1:  # it knows colours only
        values, mask = np.repeat(values, 3, axis=0), np.repeat(mask, 3, axis=0)
    options = {"LOSSLESS": "TRUE"} if exact and form == "webp" else _OPTIONS[form]
    image = ImageData(np.ma.MaskedArray(values, mask=mask), bounds=box, crs=pinned(crs))
    return bytes(image.render(add_mask=bool(mask.any()), img_format=FORMATS[form], **options))
