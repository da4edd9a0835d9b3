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
runs the plain SQL (transform, GeoJSON, all attributes). MapServer, martin, pg_tileserv and QGIS Server are
not in this bench yet. Peers that cannot be had are named with the reason.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

import httpx
import psycopg

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gis.api.features.paging import Cursor, make_token  # noqa: E402
from gis.db.migrate import prepare  # noqa: E402
from gis.db.server import Database, database  # noqa: E402
from gis.demo.plan import make_plan  # noqa: E402
from gis.demo.write import write as write_demo  # noqa: E402
from gis.settings import Settings  # noqa: E402
from scripts import bench_serve_load as load  # noqa: E402
from scripts import bench_serve_peers as peers  # noqa: E402
from tests.api.process import Server  # noqa: E402
from tiles.grid import tile_at  # noqa: E402

LAYER = "cadastre_parcel"
OURS, TIPG, PYGEOAPI, NGINX, PLAIN = "bandoso", "tipg", "pygeoapi", "nginx", "plain SQL"
COLD = "bandoso, nothing kept"
#: Workload -> bounds: (than whom, at least how many times).
BOUNDS: dict[str, list[tuple[str, float]]] = {
    "item": [(TIPG, 8)],
    "box_10": [(TIPG, 6)],
    "box_1000": [(TIPG, 10), (PLAIN, 2.5)],
    "attribute_100": [(TIPG, 5)],
    "cql2_100": [(TIPG, 5)],
    "page_deep": [(TIPG, 300)],
    "page_first": [],
    "export_next": [(TIPG, 5)],
    "export_csv": [(TIPG, 10)],
    "tile_z16_cold": [(TIPG, 3)],
    "tile_z14_cold": [(TIPG, 20)],
    "tile_z12_cold": [(TIPG, 20)],
    "tile_kept": [(NGINX, 0.5), (TIPG, 40)],
    "tile_all_layers": [],
}


@dataclass
class Workload:
    """Requests of one kind, for each server that can be asked so."""

    name: str
    paths: dict[str, list[str]]
    #: pgbench script of the plain SQL.
    plain: str = ""
    gzip: bool = False
    #: Whole exports: one client, features a second.
    export: dict[str, Callable[[str], int]] = field(default_factory=dict)


class City:
    """The data, and random requests of it."""

    def __init__(self, db: Database, seed: int) -> None:
        self.db, self.random = db, random.Random(seed)  # noqa: S311 - not a secret
        with psycopg.connect(db.owner_dsn) as connection:
            rows = connection.execute(
                f"SELECT fid, ST_X(p), ST_Y(p), sheet_no FROM (SELECT fid, sheet_no,"
                f" ST_Transform(ST_Centroid(geom), 4326) AS p FROM layer.{LAYER}"
                " ORDER BY md5(asset_id) LIMIT 20000) AS few"
            ).fetchall()
            self.count: int = connection.execute(f"SELECT count(*) FROM layer.{LAYER}").fetchone()[0]  # type: ignore[index]
        self.fids = [r[0] for r in rows]
        self.places = [(r[1], r[2]) for r in rows]
        self.sheets = sorted({r[3] for r in rows if r[3]})

    def boxes(self, side: float, count: int) -> list[tuple[float, float, float, float]]:
        """Boxes of so many metres around parcels, in degrees."""
        found = []
        for _ in range(count):
            lon, lat = self.random.choice(self.places)
            dx, dy = side / 2 / 109_400, side / 2 / 110_600
            found.append((lon - dx, lat - dy, lon + dx, lat + dy))
        return found

    def tiles(self, z: int) -> list[tuple[int, int, int]]:
        """All tiles of a level that hold one of the places, mixed."""
        found = sorted({(t.z, t.x, t.y) for t in (tile_at(x, y, z) for x, y in self.places)})
        self.random.shuffle(found)
        return found


def workloads(city: City) -> list[Workload]:
    """All of them."""
    ours, theirs, pyg = f"/collections/{LAYER}", "/collections/peer.parcel", "/collections/parcel"
    made: list[Workload] = []

    def items(name: str, queries: list[str], **more: object) -> None:
        made.append(
            Workload(
                name,
                {
                    OURS: [f"{ours}/items{q}" for q in queries],
                    TIPG: [f"{theirs}/items{q}" for q in queries],
                    PYGEOAPI: [f"{pyg}/items{q}{'&' if '?' in q else '?'}f=json" for q in queries],
                },
                **more,  # type: ignore[arg-type]
            )
        )

    items("item", [f"/{fid}" for fid in city.random.choices(city.fids, k=5000)], plain="item")
    for limit, side in ((10, 60), (1000, 600)):
        boxes = [",".join(f"{v:.7f}" for v in b) for b in city.boxes(side, 3000)]
        items(f"box_{limit}", [f"?bbox={b}&limit={limit}" for b in boxes], plain=f"box_{limit}")
    sheets = city.random.choices(city.sheets, k=1000)
    items("attribute_100", [f"?sheet_no={quote(s)}&limit=100" for s in sheets])
    areas = [f"{city.random.uniform(60, 140):.1f}" for _ in range(1000)]
    texts = [f"legal_area_m2 > {a} AND land_use = 'ODT'" for a in areas]
    cql = Workload("cql2_100", {})
    for who, where in ((OURS, ours), (TIPG, theirs), (PYGEOAPI, pyg)):
        tail = "&f=json" if who == PYGEOAPI else ""
        cql.paths[who] = [
            f"{where}/items?filter-lang=cql2-text&filter={quote(t)}&limit=100{tail}" for t in texts
        ]
    made.append(cql)
    deep = min(100_000, city.count // 2)
    pages = Workload("page_deep", {}, plain="")
    tokens = [make_token(Cursor(deep + n, (), deep, None), "") for n in range(0, 10_000, 10)]
    pages.paths[OURS] = [f"{ours}/items?limit=10&after={t}" for t in tokens]
    pages.paths[TIPG] = [f"{theirs}/items?limit=10&offset={deep + n}" for n in range(500)]
    pages.paths[PYGEOAPI] = [f"{pyg}/items?limit=10&offset={deep + n}&f=json" for n in range(500)]
    made.append(pages)
    items("page_first", ["?limit=10"])
    made += _exports(city)
    for z in (16, 14, 12):
        tiles = city.tiles(z)
        cold = Workload(f"tile_z{z}_cold", {})
        cold.paths[COLD] = [f"{ours}/tiles/WebMercatorQuad/{z}/{y}/{x}" for z, x, y in tiles]
        cold.paths[TIPG] = [f"{theirs}/tiles/WebMercatorQuad/{z}/{x}/{y}" for z, x, y in tiles]
        made.append(cold)
    tiles = city.tiles(16)[:300]
    kept = Workload("tile_kept", {}, gzip=True)
    kept.paths[OURS] = [f"{ours}/tiles/WebMercatorQuad/{z}/{y}/{x}" for z, x, y in tiles]
    kept.paths[TIPG] = [f"{theirs}/tiles/WebMercatorQuad/{z}/{x}/{y}" for z, x, y in tiles]
    kept.paths[NGINX] = [f"/{z}/{y}/{x}.mvt" for z, x, y in tiles]
    made.append(kept)
    every = Workload("tile_all_layers", {}, gzip=True)
    every.paths[OURS] = [f"/tiles/WebMercatorQuad/{z}/{y}/{x}" for z, x, y in tiles]
    made.append(every)
    return made


def _exports(city: City) -> list[Workload]:
    ours, theirs = f"/collections/{LAYER}/items", "/collections/peer.parcel/items"

    def by_next(url: str) -> int:
        found, address = 0, f"{url}{ours}?limit=10000"
        with httpx.Client(timeout=120, verify=False) as client:  # noqa: S501 - no TLS here
            while address:
                body = client.get(address).content
                found += body.count(b'"type":"Feature",')
                further = re.search(rb'"href":"([^"]*)","rel":"next"', body[-4000:])
                address = further[1].decode() if further else ""
        return found

    def tipg_pages(form: str) -> Callable[[str], int]:
        def run(url: str) -> int:
            with httpx.Client(timeout=120, verify=False) as client:  # noqa: S501 - no TLS here
                for offset in range(0, city.count, 10_000):
                    client.get(f"{url}{theirs}?limit=10000&offset={offset}{form}").raise_for_status()
            return city.count

        return run

    def whole(form: str) -> Callable[[str], int]:
        def run(url: str) -> int:
            size = 0
            with httpx.stream("GET", f"{url}{ours}?f={form}&limit=all", timeout=120, verify=False) as answer:  # noqa: S501
                answer.raise_for_status()
                for piece in answer.iter_raw():
                    size += len(piece)
            if size < 50 * city.count:
                raise SystemExit(f"the export as {form} is too short: {size} bytes")
            return city.count

        return run

    return [
        Workload("export_next", {}, export={OURS: by_next, TIPG: tipg_pages("")}),
        Workload("export_csv", {}, export={OURS: whole("csv"), TIPG: tipg_pages("&f=csv")}),
    ]


#: The plain SQL, as a server without storage of its own would send it.
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
    from gis.db.binaries import find_binaries

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


def check(workload: Workload, urls: dict[str, str]) -> None:
    """All servers answer the first requests, and with as many features. Raises SystemExit."""
    counts: dict[str, list[int]] = {}
    for who, paths in workload.paths.items():
        if who not in urls or who == NGINX:
            continue
        for path in paths[:5]:
            answer = httpx.get(urls[who] + path, timeout=120, verify=False)  # noqa: S501 - no TLS here
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
        peers.copy_table(db.owner_dsn)
        yield db


def start_all(
    arguments: argparse.Namespace, db: Database, run: Path, tiles: list[str]
) -> tuple[dict[str, str], dict[str, list[int]], list[Callable[[], object]]]:
    """URLs and processes of the servers that could be started, and how to stop them."""
    urls: dict[str, str] = {}
    pids: dict[str, list[int]] = {}
    stops: list[Callable[[], object]] = []
    settings = Settings.from_env({}, data_dir=run)
    for who, target in ((OURS, "gis.api.app:create"), (COLD, "scripts.bench_serve_cold:create")):
        own = run / who.replace(", ", "-").replace(" ", "-")
        own.mkdir(exist_ok=True)
        server = Server(replace(settings, workers=arguments.workers), db, own, target).start()
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
    if TIPG in wanted or PYGEOAPI in wanted:
        where = Path(arguments.peers)
        srid = settings.load_city().crs.storage
        add(TIPG, lambda: peers.tipg(db.owner_dsn, peers.environment(where), run, arguments.workers))
        add(
            PYGEOAPI,
            lambda: peers.pygeoapi(db.owner_dsn, peers.environment(where), run, arguments.workers, srid),
        )
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
            told = load.wrk(urls[who], listed, arguments.seconds, [*pids[who], postgres], gzip=workload.gzip)
            rates.setdefault(who, []).append(told.per_second)
            last[who] = told
        for who, run_export in workload.export.items():
            if who in urls:
                began = time.monotonic()
                features = run_export(urls[who])
                rates.setdefault(who, []).append(features / (time.monotonic() - began))
        if workload.plain and PLAIN in arguments.servers.split(","):
            rate = pgbench(city.db, workload.plain, city.count, arguments.seconds, run)
            if rate is not None:
                rates.setdefault(PLAIN, []).append(rate)
    _told(workload, rates, last)
    print(json.dumps({"resident_mb": load.resident_mb(pids[OURS])[: arguments.workers + 1]}), flush=True)


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
    parser.add_argument("--servers", default=",".join((TIPG, PYGEOAPI, NGINX, PLAIN)), help="beside ours")
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
