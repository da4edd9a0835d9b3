"""A synthetic cadastre to measure the fabric rules with: blocks of parcels between streets, all exact.

``parcels(n)`` is reused by scripts/bench check; run as a program it measures the rules in memory:

    python scripts/bench_check_fabric.py --parcels 100000 [--defects 50] [--profile]
"""

from __future__ import annotations

import argparse
import math
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from gis.checks.features import Features
from gis.checks.findings import in_window
from gis.checks.registry import applications
from gis.checks.source import MemorySource
from gis.checks.window import Setting
from gis.settings import Settings
from layers.registry import Catalogue

#: Near Thủ Thiêm, EPSG:9210.
ORIGIN = (590_000.0, 1_180_000.0)
WIDTH, DEPTH, STREET = 5.0, 18.0, 8.0
#: Parcels of a block along and across.
LONG, ACROSS = 10, 2


def rings(count: int, seed: int = 1, jitter: float = 0.4) -> np.ndarray:
    """``count`` (or a few more: whole blocks) polygons with 4 to 8 corners, in blocks between streets.

    Neighbours share their vertices exactly; the whole is turned by 17 degrees; coordinates are rounded to
    2**-20 m.
    """
    random = np.random.default_rng(seed)
    blocks = math.ceil(count / (LONG * ACROSS))
    across = max(1, round(math.sqrt(blocks * (ACROSS * DEPTH + STREET) / (LONG * WIDTH + STREET))))
    up = math.ceil(blocks / across)
    shape = (across, LONG + 1, up, ACROSS + 1)

    i, li, j, lj = np.indices(shape)
    x = i * (LONG * WIDTH + STREET) + li * WIDTH + random.uniform(-jitter, jitter, shape)
    y = j * (ACROSS * DEPTH + STREET) + lj * DEPTH + random.uniform(-jitter, jitter, shape)

    def between(a: tuple[Any, ...], b: tuple[Any, ...]) -> np.ndarray:
        """A vertex on about a third of the sides, a little off the straight line; NaN on the others."""
        share = random.uniform(0.3, 0.7, x[a].shape)
        off = random.uniform(-0.2, 0.2, x[a].shape)
        mid = np.stack([x[a] + share * (x[b] - x[a]) + off, y[a] + share * (y[b] - y[a]) + off], axis=-1)
        mid[random.random(x[a].shape) > 0.35] = np.nan
        return mid

    every = slice(None)
    along = between((every, slice(None, -1), every, every), (every, slice(1, None), every, every))
    upward = between((every, every, every, slice(None, -1)), (every, every, every, slice(1, None)))
    nodes = np.stack([x, y], axis=-1)
    west, east, south, north = slice(None, -1), slice(1, None), slice(None, -1), slice(1, None)
    slots = np.stack(
        [
            nodes[:, west, :, south],
            along[:, :, :, south],
            nodes[:, east, :, south],
            upward[:, east],
            nodes[:, east, :, north],
            along[:, :, :, north],
            nodes[:, west, :, north],
            upward[:, west],
        ],
        axis=-2,
    ).reshape(-1, 8, 2)[: max(count, 1)]
    there = ~np.isnan(slots[..., 0])
    owner = np.broadcast_to(np.arange(len(slots))[:, None], there.shape)[there]
    flat = slots[there]
    turn = math.radians(17)
    turned = np.column_stack(
        [
            flat[:, 0] * math.cos(turn) - flat[:, 1] * math.sin(turn),
            flat[:, 0] * math.sin(turn) + flat[:, 1] * math.cos(turn),
        ]
    )
    exact = np.round((turned + np.array(ORIGIN)) * 2**20) / 2**20
    return shapely.polygons(shapely.linearrings(exact, indices=owner))


def parcels(catalogue: Catalogue, count: int, seed: int = 1) -> Features:
    """``count`` sound parcels of layer cadastre_parcel with the attributes that CAD rules judge."""
    return features(catalogue, rings(count, seed))


def features(catalogue: Catalogue, geometry: np.ndarray) -> Features:
    """The polygons as parcels, numbered in their order, 1:500, each on a sheet of 1,000 parcels."""
    count = len(geometry)
    number = np.arange(count)

    def text(values: Any) -> np.ndarray:
        column = np.empty(count, dtype=object)
        column[:] = values
        return column

    columns = {
        "status": text("in_service"),
        "commune_code": text("90001"),
        "legacy_commune_code": text("90001"),
        "sheet_no": text([str(n // 1000 + 1) for n in number]),
        "parcel_no": text([str(n % 1000 + 1) for n in number]),
        "land_use": text("ODT"),
        "legal_area_m2": np.round(shapely.area(geometry), 1),
        "map_scale": np.full(count, 500.0),
        "survey_date": np.full(count, np.datetime64("2024-10-01"), dtype="M8[us]"),
        "source_sheet": text(None),
    }
    ids = text([f"TD-{n:08d}" for n in number])
    return Features(
        catalogue.layers["cadastre_parcel"],
        (number + 1).astype(np.int64),
        ids,
        text("stnmt"),
        geometry,
        columns,
    )


def with_defects(
    geometry: np.ndarray, count: int, by: float = 0.03, seed: int = 7
) -> tuple[np.ndarray, list[int]]:
    """One shared vertex moved by ``by`` (m) in each of ``count`` polygons far apart, and which they are."""
    random = np.random.default_rng(seed)
    spoilt = geometry.copy()
    tree = shapely.STRtree(geometry)
    step = len(geometry) // count
    which = [int(n) for n in np.arange(count) * step + step // 2]
    for n in which:
        xy = shapely.get_coordinates(spoilt[n])[:-1]
        angle = random.uniform(0, 2 * math.pi)
        # A vertex on the street alone may move as it likes.
        k = int(np.argmax([len(tree.query(point, predicate="touches")) for point in shapely.points(xy)]))
        xy[k] += by * math.cos(angle), by * math.sin(angle)
        spoilt[n] = shapely.Polygon(xy)
    return spoilt, which


def setting() -> Setting:
    """The shipped city."""
    settings = Settings(data_dir=Path("/nonexistent"))
    city = settings.load_city()
    return Setting(city, settings.load_catalogue(city), date(2026, 1, 1))


def main() -> None:
    """Measures every CAD rule on windows of about ``--window`` parcels."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--parcels", type=int, default=100_000)
    parser.add_argument("--window", type=int, default=30_000)
    parser.add_argument("--defects", type=int, default=0)
    parser.add_argument("--rules", default="")
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    at = setting()
    geometry = rings(given.parcels)
    if given.defects:
        geometry, _ = with_defects(geometry, given.defects)
    held = features(at.catalogue, geometry)
    source = MemorySource(at.catalogue, {"cadastre_parcel": held})
    wanted = given.rules.split(",") if given.rules else []
    apps = [
        app
        for app in applications(at.catalogue)
        if app.layers == ("cadastre_parcel",)
        and app.rule.id.startswith("CAD")
        and app.rule.scope == "local"
        and (not wanted or app.rule.id in wanted)
    ]
    windows = _windows(held.boxes, given.window)
    profiler = None
    if given.profile:
        import cProfile

        profiler = cProfile.Profile()
        profiler.enable()
    began = time.process_time()
    counts: dict[str, int] = {}
    for box in windows:
        for found in in_window(box, source, at, apps):
            counts[f"{found.rule} {found.severity}"] = counts.get(f"{found.rule} {found.severity}", 0) + 1
    spent = time.process_time() - began
    if profiler:
        import pstats

        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(28)
    each = spent / len(held) * 1e6
    print(f"{len(held)} parcels, {len(windows)} windows: {spent:.2f} s CPU, {each:.1f} us a parcel")
    print(counts)


def _windows(boxes: np.ndarray, size: int) -> list[tuple[float, float, float, float]]:
    """Square windows that hold about ``size`` parcels each."""
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    tiles = max(1, round(math.sqrt(len(boxes) / size)))
    xs, ys = np.linspace(low[0], high[0], tiles + 1), np.linspace(low[1], high[1], tiles + 1)
    xs[-1], ys[-1] = np.inf, np.inf
    return [
        (float(xs[i]), float(ys[j]), float(xs[i + 1]), float(ys[j + 1]))
        for i in range(tiles)
        for j in range(tiles)
    ]


if __name__ == "__main__":
    main()
