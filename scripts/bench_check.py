"""How fast, and in how much memory, does ``bandoso check`` judge a city? Real database, real command.

    scripts/bench check                      everything below; half an hour on two cores
    scripts/bench check --parts fabric --parcels 100000

fabric    parcels with all CAD and GEN rules, beside a PostGIS self-join that finds overlaps alone, on the
          same table in the same run. Goal for 1,000,000: 90 s and 2.5 GB over all processes.
growth    a tenth of the parcels, too (alone: both without the self-join): ten times as many may take 11 times
          the time and 1.2 times the memory.
edit      one vertex of a parcel moved, judged in its transaction; goal: 95 of 100 within 100 ms.
networks  pipes and conduits with their nodes, all NET and DRN rules. Goal for 300,000: 45 s.

Memory is the greatest sum, seen 10 times a second, of what each process of the command and each of its
PostgreSQL backends holds alone (unique set size). The server's shared_buffers are not counted: their size is
a setting, but the pages that only one backend has touched would look like its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import psycopg
import shapely
from psycopg.sql import SQL, Identifier

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "scripts"))

from bench_check_fabric import parcels, with_defects  # noqa: E402
from bench_check_networks import networks  # noqa: E402

from gis.checks.features import Features  # noqa: E402
from gis.checks.incremental import Change, recheck  # noqa: E402
from gis.checks.source import EVERYWHERE, column_kind  # noqa: E402
from gis.checks.window import Setting  # noqa: E402
from gis.db.migrate import prepare  # noqa: E402
from gis.db.server import Database, database  # noqa: E402
from gis.settings import Settings  # noqa: E402

PARCELS = "cadastre_parcel"
#: Pairs of parcels that share more than CAD-01's 0.01 m2; nothing else that CAD and GEN ask.
SELF_JOIN = """
SELECT count(*) FROM layer.cadastre_parcel a JOIN layer.cadastre_parcel b
ON a.geom && b.geom AND a.fid < b.fid AND ST_Intersects(a.geom, b.geom) AND NOT ST_Touches(a.geom, b.geom)
WHERE ST_Area(ST_Intersection(a.geom, b.geom)) > 0.01
"""
RANGE = "SELECT min(fid), max(fid) FROM layer.cadastre_parcel"
SHAPE = "SELECT ST_AsBinary(geom) FROM layer.cadastre_parcel WHERE fid = %s"
MOVE = "UPDATE layer.cadastre_parcel SET geom = ST_GeomFromWKB(%s, %s), version = version + 1 WHERE fid = %s"


def fill(db: Database, features: Features, storage: int) -> None:
    """Put the features into their layer's table, as plainly as a loader of test data may."""
    columns = [name for name in features.columns if name != "load_id"]
    names = ["asset_id", "owner", *columns, "geom"]
    copy_into = SQL("COPY {} ({}) FROM STDIN").format(
        Identifier("layer", features.layer.id), SQL(", ").join(map(Identifier, names))
    )
    texts = [_texts(features, name) for name in columns]
    shapes = shapely.to_wkb(shapely.set_srid(features.geometry, storage), hex=True, include_srid=True)
    with psycopg.connect(db.owner_dsn, autocommit=True) as connection:
        with connection.cursor() as cursor, cursor.copy(copy_into) as copy:
            for row in zip(features.asset_id, features.owner, *texts, shapes, strict=True):
                copy.write_row(row)
        connection.execute(SQL("ANALYZE {}").format(Identifier("layer", features.layer.id)))


def _texts(features: Features, name: str) -> list[Any]:
    values = features[name]
    if column_kind(features.layer, name) == "time":
        return [None if np.isnat(v) else str(v) for v in values]
    if column_kind(features.layer, name) == "number":
        field = features.layer.field(name)
        whole = field is not None and field.type == "integer"
        return [None if np.isnan(v) else int(v) if whole else float(v) for v in values]
    return list(values)


def command(settings: Settings, *arguments: str) -> tuple[float, float, dict[str, Any]]:
    """Run ``bandoso check``: (seconds, greatest memory in MB, its JSON)."""
    postmaster = psutil.Process(
        int((settings.data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
    )
    before = {p.pid for p in postmaster.children()}
    started = time.monotonic()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gis.cli",
            "check",
            "--json",
            "--data-dir",
            str(settings.data_dir),
            *arguments,
        ],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    )
    peak = 0

    def watch() -> None:
        nonlocal peak
        while process.poll() is None:
            total = 0
            try:
                ours = psutil.Process(process.pid)
                members = [ours, *ours.children(recursive=True)]
            except psutil.Error:
                members = []
            # Other programs of the machine are none of ours.
            members += [one for one in postmaster.children() if one.pid not in before]
            for member in members:
                try:
                    total += private(member.pid)
                except OSError:
                    continue
            peak = max(peak, total)
            time.sleep(0.1)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    output, _ = process.communicate()
    seconds = time.monotonic() - started
    watcher.join(2)
    if process.returncode not in (0, 1):
        raise SystemExit(f"bandoso check failed with {process.returncode}")
    return seconds, peak / 1e6, json.loads(output)


def private(pid: int) -> int:
    """Bytes that a process holds alone, without memory that is mapped to be shared."""
    total, shared = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, _, rest = line.partition(" ")
        if not name.endswith(":"):
            shared = rest[3] == "s"
        elif name.startswith("Private_") and not shared:
            total += int(rest.split()[0]) * 1024
    return total


def fabric(db: Database, settings: Settings, setting: Setting, count: int, *, peer: bool) -> dict[str, Any]:
    """Parcels with 50 known defects: ours, and the self-join."""
    whole = parcels(setting.catalogue, count)
    geometry, _ = with_defects(whole.geometry, 50, 0.03)
    made = Features(whole.layer, whole.fid, whole.asset_id, whole.owner, geometry, whole.columns)
    with psycopg.connect(db.owner_dsn, autocommit=True) as connection:
        connection.execute(f"TRUNCATE layer.{PARCELS}, layer.finding, bandoso.finding_key")
    fill(db, made, setting.city.crs.storage)
    found = len(made)
    del whole, made, geometry
    seconds, memory, told = command(settings, PARCELS)
    again, _, _ = command(settings, PARCELS)
    result = {
        "parcels": found,
        "check_s": round(seconds, 1),
        "check_again_s": round(again, 1),
        "memory_mb": round(memory),
        "findings": {
            r["rule"]: r["E"] + r["W"] + r["I"] for r in told["summary"]["rules"] if r["E"] + r["W"]
        },
        "rules": [r["rule"] for r in told["summary"]["rules"]],
    }
    if peer:
        with psycopg.connect(db.owner_dsn, autocommit=True) as connection:
            connection.execute("SET statement_timeout = 0")
            started = time.monotonic()
            row = connection.execute(SELF_JOIN).fetchone()
            result["self_join_s"] = round(time.monotonic() - started, 1)
            result["self_join_overlaps"] = row[0] if row else None
        result["ratio"] = round(seconds / result["self_join_s"], 2)
    return result


def edits(db: Database, setting: Setting, rounds: int) -> dict[str, Any]:
    """One vertex of a parcel moved by 0.3 m and judged, each in a transaction of its own that is kept."""
    rng = np.random.default_rng(5)
    times, found = [], 0
    with psycopg.connect(db.owner_dsn, autocommit=True) as connection:
        low, high = connection.execute(RANGE).fetchone() or (0, 0)
        for number in range(rounds + 10):
            fid = int(rng.integers(low, high))
            row = connection.execute(SHAPE, [fid]).fetchone()
            if row is None:
                continue
            old = shapely.from_wkb(row[0])
            xy = shapely.get_coordinates(old)
            xy[1] += rng.uniform(-0.3, 0.3, 2)
            new = shapely.Polygon(xy)
            with connection.transaction():
                connection.execute(MOVE, [shapely.to_wkb(new), setting.city.crs.storage, fid])
                started = time.perf_counter()
                done = recheck(connection, setting, [Change(PARCELS, fid, old, new)])
                times.append(time.perf_counter() - started)
            found += len(done.new)
            if number == 9:
                times.clear()  # statements are prepared, modules imported
    p50, p95, p99 = np.percentile(np.array(times) * 1000, [50, 95, 99])
    return {
        "edits": len(times),
        "new_findings": found,
        "p50_ms": round(p50, 1),
        "p95_ms": round(p95, 1),
        "p99_ms": round(p99, 1),
    }


def fill_networks(db: Database, setting: Setting, lines: int) -> dict[str, int]:
    """Water and drainage of a synthetic city: how many features in each layer."""
    source = networks(lines, setting)
    count = {}
    for name in setting.catalogue.layers:
        if source.count(name):
            # With the status: an abandoned pipe that is taken for one in service has no way to a source.
            columns = ["status", *(f.name for f in setting.catalogue.layers[name].own_fields)]
            made = source.features(name, EVERYWHERE, columns)
            fill(db, made, setting.city.crs.storage)
            count[name] = len(made)
    return count


def network(db: Database, settings: Settings, setting: Setting, lines: int) -> dict[str, Any]:
    """Water and drainage of a synthetic city."""
    count = fill_networks(db, setting, lines)
    rules = [r for n in setting.catalogue.networks.values() for r in n.checks]
    arguments = [a for rule in sorted(set(rules)) for a in ("--rule", rule)]
    seconds, memory, told = command(settings, *arguments, "water_pipe", "drainage_conduit")
    return {
        "features": count,
        "lines": count.get("water_pipe", 0) + count.get("drainage_conduit", 0),
        "check_s": round(seconds, 1),
        "memory_mb": round(memory),
        "findings": {r["rule"]: r["E"] + r["W"] for r in told["summary"]["rules"] if r["E"] + r["W"]},
        "rules": [r["rule"] for r in told["summary"]["rules"]],
    }


@contextmanager
def city(folder: Path) -> Iterator[tuple[Database, Settings, Setting]]:
    """An embedded database with empty layers."""
    from datetime import date

    settings = Settings.from_env({}, data_dir=folder / "data")
    home = settings.load_city()
    catalogue = settings.load_catalogue(home)
    with database(settings) as db:
        prepare(db.owner_dsn, home, catalogue)
        yield db, settings, Setting(home, catalogue, date.today())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parcels", type=int, default=1_000_000)
    parser.add_argument("--lines", type=int, default=300_000)
    parser.add_argument("--edits", type=int, default=200)
    parser.add_argument("--parts", default="growth,fabric,edit,networks", help="separated by commas")
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    folder = Path(tempfile.mkdtemp(prefix="bandoso-bench-", dir="/tmp"))
    folder.chmod(0o755)
    told: dict[str, Any] = {}

    def tell(name: str, result: dict[str, Any]) -> None:
        told[name] = result
        print(json.dumps({name: result}), flush=True)

    with city(folder) as (db, settings, setting):
        if "growth" in parts:
            small = fabric(db, settings, setting, arguments.parcels // 10, peer=False)
            tell("fabric_tenth", small)
        if "fabric" in parts or "growth" in parts:
            # The self-join is not asked for where only growth is: it takes longer than everything else.
            peer = "fabric" in parts
            tell("fabric", fabric(db, settings, setting, arguments.parcels, peer=peer))
        if "fabric_tenth" in told and "fabric" in told:
            large, tenth = told["fabric"], told["fabric_tenth"]
            tell(
                "growth",
                {
                    "parcels": round(large["parcels"] / tenth["parcels"], 2),
                    "time": round(large["check_s"] / tenth["check_s"], 2),
                    "memory": round(large["memory_mb"] / tenth["memory_mb"], 2),
                },
            )
        if "edit" in parts:
            if not {"fabric", "growth"} & set(parts):  # which have filled the city
                fill(db, parcels(setting.catalogue, arguments.parcels), setting.city.crs.storage)
            tell("edit", edits(db, setting, arguments.edits))
        if "networks" in parts:
            tell("networks", network(db, settings, setting, arguments.lines))
    subprocess.run(["rm", "-rf", str(folder)], check=False)


if __name__ == "__main__":
    main()
