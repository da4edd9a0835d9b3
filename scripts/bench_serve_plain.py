# ruff: noqa: S608 - statements are made of this file's own texts
"""The floor of the bench of serving: plain SQL in pgbench, as a server without own storage would send it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import psycopg

from gis.db.binaries import find_binaries
from gis.db.server import Database
from scripts import bench_serve_peers as peers

_FEATURE = (
    "json_build_object('type', 'Feature', 'id', fid,"
    " 'geometry', ST_AsGeoJSON(ST_Transform(geom, 4326))::json,"
    f" 'properties', row_to_json((SELECT p FROM (SELECT {peers.FIELDS}) AS p)))"
)
_PLAIN = {
    "item": f"SELECT {_FEATURE} FROM peer.parcel WHERE fid = :n;",
    **{
        f"box_{limit}": (
            f"SELECT json_agg(f) FROM (SELECT {_FEATURE} AS f FROM peer.parcel,"
            " (SELECT ST_Transform(ST_MakeEnvelope(ST_X(p) - :d * 4.57e-6, ST_Y(p) - :d * 4.52e-6,"
            " ST_X(p) + :d * 4.57e-6, ST_Y(p) + :d * 4.52e-6, 4326), ST_SRID(geom)) AS b FROM (SELECT geom,"
            " ST_Transform(ST_Centroid(geom), 4326) AS p FROM peer.parcel WHERE fid = :n) AS one) AS box"
            f" WHERE ST_Intersects(geom, b) LIMIT {limit}) AS page;"
        )
        for limit in (10, 1000)
    },
}


def pgbench(db: Database, name: str, count: int, seconds: float, folder: Path) -> float | None:
    """Answers a second of the plain SQL; None where pgbench is not here."""
    program = find_binaries().folder / "pgbench"
    if not program.exists():
        return None
    script = folder / f"{name}.sql"
    side = 600 if name.endswith("1000") else 60
    script.write_text(f"\\set n random(1, {count})\n\\set d {side}\n{_PLAIN[name]}\n")
    parts = psycopg.conninfo.conninfo_to_dict(db.owner_dsn)
    command = [str(program), "-n", "-M", "prepared", "-c", "8", "-j", "2", "-T", str(max(1, round(seconds)))]
    command += ["-h", str(parts["host"]), "-p", str(parts.get("port", 5432)), "-U", str(parts["user"])]
    done = subprocess.run(
        [*command, "-f", str(script), str(parts["dbname"])], capture_output=True, text=True, check=False
    )
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    if found is None:
        raise SystemExit(f"pgbench failed: {done.stderr[-500:]}")
    return float(found[1])
