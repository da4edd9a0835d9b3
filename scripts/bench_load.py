"""How fast is ``bandoso load``? A million parcels from a GeoPackage, side by side with ogr2ogr.

Both read the same file into the same cluster, in turns: bandoso into the checked layer with all its
constraints and indexes, ogr2ogr by COPY into a plain table with a primary key and a spatial index. Prints
seconds, their ratio (at most 1.0 is the goal) and the peak memory of our processes (PostgreSQL not counted).

Ours are all seconds of the command until it reports: then the rows are checked and visible, with primary
key, unique keys, spatial, attribute and full-text index. ogr2ogr's table has no like of the last one (words
without asset ids, which their unique index finds), built on one core (before PostgreSQL 18). So the ratio to
ogr2ogr with that index built after it is printed too; the goal is held to the plain one. What the command
does after its report, while all may read the rows already (web tables of tiles), is told apart.

Processor seconds (those of PostgreSQL's processes included) are told as well: other work on the machine
spoils them less.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyogrio
import shapely

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import psycopg  # noqa: E402
from psycopg.sql import SQL, Identifier  # noqa: E402

from gis.crs.postgis import gdal_user_crs  # noqa: E402
from gis.db.ddl import layer_indexes  # noqa: E402
from gis.db.migrate import prepare  # noqa: E402
from gis.db.server import database  # noqa: E402
from gis.ingest.indexing import MEMORY  # noqa: E402
from gis.settings import Settings  # noqa: E402
from layers.registry import Layer  # noqa: E402

LAYER = "cadastre_parcel"
BATCH = 50_000
STREETS = (
    "Nguyễn Huệ",
    "Lê Lợi",
    "Đồng Khởi",
    "Trần Hưng Đạo",
    "Võ Văn Kiệt",
    "Mai Chí Thọ",
    "Lương Định Của",
)
USES = ("ODT", "CLN", "ONT", "TMD", "DGT", "SKC", "TSC", "LUC")


def parcels(count: int, seed: int) -> Iterator[pa.RecordBatch]:
    """Deterministic parcels on a jittered grid around Thu Thiem: 4 to 8 corners, no two alike."""
    side = int(np.ceil(np.sqrt(count)))
    random = np.random.default_rng(seed)
    for start in range(0, count, BATCH):
        number = np.arange(start, min(start + BATCH, count))
        x, y = 590_000 + (number % side) * 20.0, 1_180_000 + (number // side) * 20.0
        corners = random.integers(4, 9, len(number))
        rings, owner = [], []
        for n in range(4, 9):
            rows = np.flatnonzero(corners == n)
            angle = (np.arange(n) + random.uniform(-0.3, 0.3, (len(rows), n))) * 2 * np.pi / n
            radius = random.uniform(6.0, 9.5, (len(rows), n))
            px = np.round(x[rows, None] + radius * np.cos(angle), 3)
            py = np.round(y[rows, None] + radius * np.sin(angle), 3)
            ring = np.stack([px, py], axis=2)
            rings.append(shapely.polygons(np.concatenate([ring, ring[:, :1]], axis=1)))
            owner.append(rows)
        shapes = np.empty(len(number), dtype=object)
        shapes[np.concatenate(owner)] = np.concatenate(rings)
        sheet = number // 5_000 + 1
        commune = 25_747 + sheet % 168 * 3
        yield pa.RecordBatch.from_pydict(
            {
                "asset_id": [f"thua-{n:08d}" for n in number],
                "commune_code": [str(c) for c in commune],
                "legacy_commune_code": [str(c + 1) for c in commune],
                "sheet_no": [str(s) for s in sheet],
                "parcel_no": [str(n % 5_000 + 1) for n in number],
                "land_use": [USES[n % len(USES)] for n in number],
                "legal_area_m2": np.round(shapely.area(shapes), 1),
                "map_scale": np.full(len(number), 2000, dtype=np.int64),
                "address": [f"{n % 400 + 1} đường {STREETS[n % len(STREETS)]}" for n in number],
                "geometry": shapely.to_wkb(shapes),
            }
        )


def make_file(path: Path, count: int, seed: int = 7) -> None:
    """Write the GeoPackage once, streamed."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.gpkg")
    part.unlink(missing_ok=True)
    batches = parcels(count, seed)
    first = next(batches)

    def all_batches() -> Iterator[pa.RecordBatch]:
        yield first
        yield from batches

    pyogrio.write_arrow(
        pa.RecordBatchReader.from_batches(first.schema, all_batches()),
        part,
        layer="parcels",
        driver="GPKG",
        geometry_type="Polygon",
        geometry_name="geometry",
        crs="EPSG:9210",
    )
    part.rename(path)


@dataclass(frozen=True)
class Run:
    """A command: seconds until it said something (or ended), and to its end; processor seconds until then,
    its own and PostgreSQL's; peak resident MB of the process and its children; standard output."""

    seconds: float
    in_all: float
    processor: float
    peak: float
    output: str


def processor_seconds(*parents: int) -> float:
    """What these processes, and all under them, have used so far, those that ended included."""
    total = 0.0
    for parent in map(psutil.Process, parents):
        for member in [parent, *parent.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += sum(member.cpu_times()[:4])
    return total


def timed(command: list[str], env: dict[str, str], server: int) -> Run:
    """Run ``command``; ``server``: process id of the postmaster."""
    before = processor_seconds(server)
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True)
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            total = 0
            try:
                main = psutil.Process(process.pid)
                for member in [main, *main.children(recursive=True)]:
                    if member.name() != "postgres":
                        total += member.memory_info().rss
            except psutil.Error:
                continue
            peak = max(peak, total)
            time.sleep(0.05)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    assert process.stdout is not None
    # Said in one go; whoever says nothing has ended.
    output = process.stdout.read(1)
    seconds = time.monotonic() - started
    processor = processor_seconds(server, process.pid) - before
    output += process.stdout.read()
    if process.wait():
        raise SystemExit(f"{command[0]} failed with {process.returncode}")
    in_all = time.monotonic() - started
    done.set()
    watcher.join(1)
    return Run(seconds, in_all, processor, peak / 1e6, output)


def seconds_of_search_index(dsn: str, layer: Layer) -> float:
    """Build the layer's full-text index again, alone, with the memory that a load gives it."""
    index = next(i for i in layer_indexes(layer) if i.suffix == ("q", "idx"))
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(SQL("DROP INDEX layer.{}").format(Identifier(index.name_on(layer.id))))
        connection.execute("SELECT set_config('maintenance_work_mem', %s, false)", [MEMORY])
        started = time.monotonic()
        connection.execute(index.statement(layer.id))
        return time.monotonic() - started


def run(count: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Both loaders in turns; the median of each."""
    if shutil.which("ogr2ogr") is None:
        raise SystemExit("ogr2ogr is missing: apt-get install gdal-bin")
    path = folder / f"parcels_{count}.gpkg"
    make_file(path, count)
    settings = Settings.from_env({}, data_dir=folder / "data")
    city = settings.load_city()
    catalogue = settings.load_catalogue(city)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ours: list[Run] = []
    searches: list[float] = []
    theirs: list[Run] = []
    details: list[Any] = []
    with database(settings) as db:
        prepare(db.owner_dsn, city, catalogue)

        def sql(*statements: str) -> None:
            with psycopg.connect(db.owner_dsn, autocommit=True) as connection:
                for statement in statements:
                    connection.execute(statement)

        sql("DROP SCHEMA IF EXISTS bench CASCADE", "CREATE SCHEMA bench")
        server = int((settings.data_dir / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
        for _ in range(rounds):
            sql(f"TRUNCATE layer.{LAYER}", "CHECKPOINT")
            command = [sys.executable, "-m", "gis.cli", "load", str(path), "--layer", LAYER, "--json"]
            ours.append(timed([*command, "--data-dir", str(settings.data_dir)], env, server))
            report = json.loads(ours[-1].output)
            assert report["loaded"] == count, report
            searches.append(seconds_of_search_index(db.owner_dsn, catalogue.layers[LAYER]))
            details.append({"seconds": report["seconds"], "stages": report["stages"]})
            sql("DROP TABLE IF EXISTS bench.parcels", "CHECKPOINT")
            command = [
                "ogr2ogr", "-f", "PostgreSQL", f"PG:{db.owner_dsn}", str(path), "parcels",
                "-nln", "bench.parcels", "-nlt", "POLYGON", "-lco", "GEOMETRY_NAME=geom",
                "-lco", "SPATIAL_INDEX=GIST", "-a_srs", gdal_user_crs(9210), "--config", "PG_USE_COPY", "YES",
            ]  # fmt: skip
            theirs.append(timed(command, env, server))
            with psycopg.connect(db.owner_dsn) as connection:
                row = connection.execute("SELECT count(*) FROM bench.parcels").fetchone()
                assert row == (count,), row
        sql("DROP SCHEMA bench CASCADE", f"TRUNCATE layer.{LAYER}")
    search = statistics.median(searches)
    we, they = statistics.median(r.seconds for r in ours), statistics.median(r.seconds for r in theirs)
    return {
        "parcels": count,
        "bandoso_s": round(we, 2),
        "search_index_alone_s": round(search, 2),
        "ogr2ogr_s": round(they, 2),
        "ratio": round(we / they, 3),
        "ratio_same_indexes": round(we / (they + search), 3),
        "processor_s": {
            "bandoso": round(statistics.median(r.processor for r in ours), 1),
            "ogr2ogr": round(statistics.median(r.processor for r in theirs), 1),
        },
        "web_tables_s": round(statistics.median(r.in_all - r.seconds for r in ours), 2),
        "peak_mb": round(max(r.peak for r in ours)),
        "all": {"bandoso_s": [r.seconds for r in ours], "ogr2ogr_s": [r.seconds for r in theirs]},
        "details": details,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parcels", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "bandoso-bench-load")
    arguments = parser.parse_args()
    result = run(arguments.parcels, arguments.rounds, arguments.folder)
    print(json.dumps(result, indent=2))
    ok = result["ratio"] <= 1.0 and result["peak_mb"] <= 600
    print(
        f"load {result['parcels']:,} parcels: bandoso {result['bandoso_s']} s"
        f" (its full-text index, built alone: {result['search_index_alone_s']} s),"
        f" ogr2ogr {result['ogr2ogr_s']} s (processor {result['processor_s']['bandoso']} and"
        f" {result['processor_s']['ogr2ogr']} s), ratio {result['ratio']} (goal 1.0;"
        f" to ogr2ogr with that index {result['ratio_same_indexes']}),"
        f" peak {result['peak_mb']} MB (goal 600): {'ok' if ok else 'NOT MET'}"
    )
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
