# ruff: noqa: S608 - statements are made of this file's own texts
"""How fast are items and tiles served, beside peers on the same data in the same run?

    scripts/bench serve                          a city of 200,000 parcels with its networks
    scripts/bench serve --parcels 1000000 --data-dir FOLDER
    scripts/bench serve --only item,box_1000 --seconds 3 --rounds 3

Servers take turns in each round, so that drift of the machine meets all of them; what counts is the ratio
of the medians. Clients are wrk (8 connections, lists of requests fixed by the seed) on the same processors,
beside which the CPU time of one answer (server processes and PostgreSQL's together) is told: it hardly
depends on who else uses the machine. Answers are checked before they are timed: as many features as asked.

tipg and pygeoapi run from an environment of their own (--peers); nginx serves our tiles as files; pgbench
runs the plain SQL (transform, GeoJSON, all attributes). QGIS Server and nginx are Debian's; MapServer, martin
and pg_tileserv are not in this bench yet. Peers that cannot be had are named with the reason.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import psycopg

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gis.db.migrate import prepare  # noqa: E402
from gis.db.server import Database, database  # noqa: E402
from gis.db.web_fill import fill  # noqa: E402
from gis.demo.plan import make_plan  # noqa: E402
from gis.demo.write import write as write_demo  # noqa: E402
from gis.settings import Settings  # noqa: E402
from scripts import bench_serve_load as load  # noqa: E402
from scripts import bench_serve_peers as peers  # noqa: E402
from scripts.bench_serve_plain import pgbench  # noqa: E402
from scripts.bench_serve_qgis import qgis_server  # noqa: E402
from scripts.bench_serve_work import (  # noqa: E402
    BOUNDS,
    COLD,
    LAYER,
    NGINX,
    OURS,
    PLAIN,
    PYGEOAPI,
    QGIS,
    TIPG,
    City,
    Workload,
    workloads,
)
from tests.api.process import Server  # noqa: E402
from tiles.build import build as build_tiles  # noqa: E402


def check(workload: Workload, urls: dict[str, str]) -> None:
    """All servers answer the first requests, and with as many features. Raises SystemExit."""
    counts: dict[str, list[int]] = {}
    for who, paths in workload.paths.items():
        if who not in urls or who == NGINX:
            continue
        for path in paths[:5]:
            try:
                answer = httpx.get(urls[who] + path, timeout=120, verify=False)  # noqa: S501 - no TLS here
            except httpx.HTTPError as error:
                if who in (OURS, COLD):
                    raise
                print(json.dumps({"no answer": {workload.name: [who, path, str(error)]}}), flush=True)
                break
            if answer.status_code not in (200, 204):
                raise SystemExit(f"{workload.name} {who} {path}: {answer.status_code} {answer.text[:300]}")
            if "json" in answer.headers.get("content-type", ""):
                body = answer.json()
                counts.setdefault(who, []).append(len(body["features"]) if "features" in body else 1)
    if len({tuple(c) for c in counts.values()}) > 1:
        # peers that take the envelope of a transformed box for the box find a few more
        print(json.dumps({"features differ": {workload.name: counts}}), flush=True)


@contextmanager
def opened(arguments: argparse.Namespace, folder: Path) -> Iterator[Database]:
    """The database, with a demo city when it is empty."""
    settings = Settings.from_env({}, data_dir=folder)
    home = settings.load_city()
    catalogue = settings.load_catalogue(home)
    with database(settings) as db:
        if not arguments.as_it_is:
            prepare(db.owner_dsn, home, catalogue)
        with psycopg.connect(db.owner_dsn, autocommit=True) as connection:
            if connection.execute(f"SELECT count(*) FROM layer.{LAYER}").fetchone() == (0,):
                write_demo(
                    db.owner_dsn, make_plan(arguments.parcels, 1), home, catalogue, lambda _a, _b: None
                )
                connection.execute("VACUUM ANALYZE")
        if not arguments.as_it_is:
            fill(db.owner_dsn)  # else the server does it beside the first workloads
            build_tiles(db.owner_dsn, home, catalogue, settings.tiles_folder)
        peers.copy_table(db.owner_dsn)
        yield db


def start_all(
    arguments: argparse.Namespace, db: Database, run: Path, tiles: list[str]
) -> tuple[dict[str, str], dict[str, list[int]], list[Callable[[], object]]]:
    """URLs and processes of the servers that could be started, and how to stop them."""
    urls: dict[str, str] = {}
    pids: dict[str, list[int]] = {}
    stops: list[Callable[[], object]] = []
    settings = Settings.from_env({"BANDOSO_TILES_DIR": str(run.parent / "tiles")}, data_dir=run)
    for who, target in ((OURS, "gis.api.app:create"), (COLD, "scripts.bench_serve_cold:create")):
        own = run / who.replace(", ", "-").replace(" ", "-")
        own.mkdir(exist_ok=True)
        server = Server(replace(settings, workers=arguments.workers), db, own, target).start(ready=False)
        server.wait_ready(300)
        urls[who], pids[who] = server.url, [server.process.pid]
        stops.append(server.stop)

    def add(name: str, start: Callable[[], peers.Peer]) -> None:
        if name not in arguments.servers.split(","):
            return
        try:
            peer = start()
        except peers.CannotBeHad as why:
            print(json.dumps({"left out": {name: str(why)}}), flush=True)
            return
        urls[name], pids[name] = peer.url, peer.pids
        stops.append(peer.stop)

    wanted = arguments.servers.split(",")
    srid = settings.load_city().crs.storage
    if TIPG in wanted or PYGEOAPI in wanted:
        where = Path(arguments.peers)
        add(TIPG, lambda: peers.tipg(db.owner_dsn, peers.environment(where), run, arguments.workers))
        add(
            PYGEOAPI,
            lambda: peers.pygeoapi(db.owner_dsn, peers.environment(where), run, arguments.workers, srid),
        )
    add(QGIS, lambda: qgis_server(db.owner_dsn, run, arguments.workers, srid))
    if NGINX in wanted:
        www = run / "www"
        shutil.rmtree(www, ignore_errors=True)
        www.mkdir()
        (www / "ready").write_bytes(gzip.compress(b"ready"))
        with httpx.Client(verify=False) as client:  # noqa: S501 - no TLS here
            for path in tiles:
                body = client.get(urls[OURS] + path).content
                file = www / (path.partition("WebMercatorQuad/")[2] + ".mvt")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(gzip.compress(body, 4))
        add(NGINX, lambda: peers.nginx(www, run, arguments.workers))
    return urls, pids, stops


def measure(
    arguments: argparse.Namespace,
    city: City,
    workload: Workload,
    urls: dict[str, str],
    pids: dict[str, list[int]],
    run: Path,
) -> None:
    """Rounds in turn, and the line of the table."""
    check(workload, urls)
    rates: dict[str, list[float]] = {}
    last: dict[str, load.Told] = {}
    postgres = _postmaster(city.db)
    share = 1 / arguments.rounds
    for turn in range(arguments.rounds):
        for who, paths in workload.paths.items():
            if who not in urls:
                continue
            mine = paths
            if who == COLD or workload.name.endswith("_cold"):  # never seen before: each round its own
                mine = paths[int(len(paths) * share * turn) : max(1, int(len(paths) * share * (turn + 1)))]
            listed = load.write_list(run / f"{workload.name}-{len(rates)}.txt", mine)
            if turn == 0 and not workload.name.endswith("_cold"):
                load.wrk(urls[who], listed, 1, [], gzip=workload.gzip)
            quiet(city.db)
            told = load.wrk(urls[who], listed, arguments.seconds, [*pids[who], postgres], gzip=workload.gzip)
            rates.setdefault(who, []).append(told.per_second)
            last[who] = told
        for who, run_export in workload.export.items():
            if who in urls:
                quiet(city.db)
                began = time.monotonic()
                features = run_export(urls[who])
                rates.setdefault(who, []).append(features / (time.monotonic() - began))
        if workload.plain and PLAIN in arguments.servers.split(","):
            rate = pgbench(city.db, workload.plain, city.count, arguments.seconds, run)
            if rate is not None:
                rates.setdefault(PLAIN, []).append(rate)
    _told(workload, rates, last)
    print(json.dumps({"resident_mb": load.resident_mb(pids[OURS])[: arguments.workers + 1]}), flush=True)


def quiet(db: Database, seconds: float = 120.0) -> None:
    """Wait until the database has nothing to do: a peer goes on with what nobody waits for any more, for
    minutes sometimes, and would take it from the next one's time."""
    asked = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend' AND datname = current_database()"
    )
    end = time.monotonic() + seconds
    with psycopg.connect(db.owner_dsn, autocommit=True) as connection:
        while time.monotonic() < end:
            row = connection.execute(asked).fetchone()
            if row == (0,):
                return
            time.sleep(0.2)
    print(json.dumps({"not quiet": seconds}), flush=True)


def _told(workload: Workload, rates: dict[str, list[float]], last: dict[str, load.Told]) -> None:
    middle = {who: statistics.median(found) for who, found in rates.items()}
    mine = middle.get(OURS, middle.get(COLD))
    print(f"\n### {workload.name}\n", flush=True)
    print("| server | a second | ratio | bound | p50 ms | p95 | p99 | CPU ms | bytes | failed |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    bounds = dict(BOUNDS.get(workload.name, []))
    for who, rate in middle.items():
        told = last.get(who)
        ratio = f"{mine / rate:.2f}" if mine and rate and who not in (OURS, COLD) else ""
        bound = (
            f"{bounds[who]:g} {'holds' if mine and mine >= bounds[who] * rate else 'MISSED'}"
            if who in bounds
            else ""
        )
        more = (
            f"{told.p50:.1f} | {told.p95:.1f} | {told.p99:.1f} | {told.cpu_ms:.3f}"
            f" | {told.size:.0f} | {told.failed}"
            if told
            else " | | | | |"
        )
        print(f"| {who} | {rate:.1f} | {ratio} | {bound} | {more} |", flush=True)


def _postmaster(db: Database) -> int:
    with psycopg.connect(db.owner_dsn) as connection:
        folder = connection.execute("SHOW data_directory").fetchone()
    assert folder is not None
    return int((Path(folder[0]) / "postmaster.pid").read_text().split()[0])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parcels", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each server in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="processes of each server")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data-dir", type=Path, help="keep the city here")
    parser.add_argument("--as-it-is", action="store_true", help="the kept city is not prepared again")
    parser.add_argument("--peers", default=str(ROOT / ".cache" / "peers"), help="environment of the peers")
    parser.add_argument(
        "--servers", default=",".join((TIPG, PYGEOAPI, QGIS, NGINX, PLAIN)), help="beside ours"
    )
    parser.add_argument("--only", default="", help="workloads, separated by commas: " + ", ".join(BOUNDS))
    arguments = parser.parse_args()
    if not load.have_wrk():
        raise SystemExit("bandoso: wrk is needed: apt-get install wrk")
    folder = arguments.data_dir or Path(tempfile.mkdtemp(prefix="bandoso-bench-", dir="/tmp"))
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    run = folder / "bench-run"
    run.mkdir(exist_ok=True)
    stops: list[Callable[[], object]] = []
    try:
        with opened(arguments, folder) as db:
            city = City(db, arguments.seed)
            chosen = [
                w
                for w in workloads(city)
                if w.name in (arguments.only.split(",") if arguments.only else BOUNDS)
            ]
            kept = next((w.paths[OURS] for w in chosen if NGINX in w.paths), [])
            urls, pids, stops = start_all(arguments, db, run, kept)
            try:
                for workload in chosen:
                    measure(arguments, city, workload, urls, pids, run)
            finally:
                for stop in stops:
                    stop()
    finally:
        if arguments.data_dir is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
