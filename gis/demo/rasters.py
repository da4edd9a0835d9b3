"""The demo's rasters: drawn by a process of their own while the features are made, then loaded as any are."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from multiprocessing import get_context
from pathlib import Path

import psycopg

from gis.city import City
from gis.demo.plan import SUPER_X, SUPER_Y, TURN, Frame, Plan
from gis.demo.plan import frame as make_frame
from gis.settings import Settings
from layers.registry import Catalogue

ELEVATION, PHOTO = "base_elevation", "base_orthophoto"
#: Layer -> name of the demo's file, by which it is known again, and its date.
FILES = {
    ELEVATION: ("bandoso-demo-elevation.tif", date(2024, 1, 15)),
    PHOTO: ("bandoso-demo-orthophoto.tif", date(2024, 2, 20)),
}
#: Sizes of cells and pixels (m): the smallest with which a city has no more than so many.
_STEPS = {ELEVATION: (2.0, 5.0, 10.0, 20.0, 50.0), PHOTO: (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)}
_MOST = {ELEVATION: 1_500_000, PHOTO: 8_000_000}

Files = Mapping[str, Path]


def step_of(plan: Plan, layer: str) -> float:
    """Metres of a cell or pixel, which follow from the size of the city."""
    area = plan.columns * SUPER_X * plan.rows * SUPER_Y
    return next((s for s in _STEPS[layer] if area / s**2 <= _MOST[layer]), _STEPS[layer][-1])


@contextmanager
def drawing(plan: Plan, city: City) -> Iterator[Callable[[], Files]]:
    """Draw the files beside what else is done; the yielded function waits for them. They go at the end."""
    frame = make_frame(city, plan.columns, plan.rows)
    with tempfile.TemporaryDirectory(prefix="bandoso-demo-") as folder:
        pool = ProcessPoolExecutor(1, get_context("spawn"))
        try:
            yield pool.submit(_draw, plan, frame, city.crs.storage, Path(folder)).result
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _draw(plan: Plan, frame: Frame, storage: int, folder: Path) -> Files:
    import rasterio
    from rasterio.transform import Affine, from_origin

    from gis.crs.raster import labelled
    from gis.demo.photo import photo
    from gis.demo.relief import model

    found = {layer: folder / name for layer, (name, _) in FILES.items()}
    ground = model(plan, frame, step_of(plan, ELEVATION))
    whole = {"driver": "GTiff", "crs": labelled(storage)}
    rows, columns = ground.heights.shape
    corner = from_origin(ground.west, ground.north, ground.cell, ground.cell)
    options = {"dtype": "float32", "nodata": -9999.0, "transform": corner}
    with rasterio.open(
        found[ELEVATION], "w", count=1, width=columns, height=rows, **options, **whole
    ) as target:
        heights = ground.heights
        heights[heights != heights] = -9999.0  # NaN
        target.write(heights, 1)
    canvas = photo(plan, step_of(plan, PHOTO))
    rows, columns = canvas.pixels.shape[:2]
    # From pixels to local metres, and from there as Frame.place turns and shifts.
    cos, sin = math.cos(TURN), math.sin(TURN)
    turned = Affine(cos, -sin, frame.east, sin, cos, frame.north)
    turned = turned @ Affine.translation(canvas.x, canvas.y) @ Affine.scale(canvas.step, -canvas.step)
    with rasterio.open(
        found[PHOTO], "w", count=3, width=columns, height=rows, dtype="uint8", photometric="RGB",
        interleave="pixel", transform=turned, **whole,
    ) as target:  # fmt: skip
        target.write(canvas.pixels.transpose(2, 0, 1))
    return found


@dataclass(frozen=True)
class Loaded:
    """One raster of the demo."""

    layer: str
    step_m: float


def load(
    settings: Settings, dsn: str, city: City, catalogue: Catalogue, plan: Plan, files: Files
) -> list[Loaded]:
    """Let the files be their layers, by the code of ``bandoso load-raster``; ``dsn`` is the owner's.

    Side by side: each is converted by a process of its own. Raises what that code raises.
    """
    from gis.db.connect import connect
    from gis.ingest.raster.load import RasterLoad, load_rasters

    def one(layer: str) -> Loaded:
        # A very large demo reaches beyond its city.
        wanted = RasterLoad(
            (files[layer],), layer, mode="replace", taken_on=FILES[layer][1], allow_outside=True
        )
        with connect(dsn) as connection:
            load_rasters(settings, connection, city, catalogue, wanted, lambda _done, _total: None)
        return Loaded(layer, step_of(plan, layer))

    with ThreadPoolExecutor(len(files)) as pool:
        return list(pool.map(one, [layer for layer in files if layer in catalogue.rasters]))


def foreign(connection: psycopg.Connection, layers: tuple[str, ...]) -> list[str]:
    """Those of some raster layers that hold a file that no demo made."""
    rows = connection.execute(
        "SELECT DISTINCT layer FROM bandoso.raster_file WHERE layer = ANY (%s) AND source <> ALL (%s)"
        " ORDER BY 1",
        [list(layers), [name for name, _ in FILES.values()]],
    ).fetchall()
    return [str(row[0]) for row in rows]
