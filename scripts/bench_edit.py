"""How fast are single edits of a city of a million parcels, and what do readers notice of them? Everything
over HTTP, with real server processes: login by token, policies, checks, history, commit on disk.

    scripts/bench edit                       a city of a million parcels with all its networks; an hour
    scripts/bench edit --parcels 100000
    scripts/bench edit --data-dir FOLDER     a demo city that was made before (it is changed)

patch      8 clients, one feature a request: an attribute, or the geometry with one vertex moved, of
           parcels, pipes and poles. A pipe's moved vertex is a bend (its ends stay where they are joined), a
           pole moves by millimetres, and a parcel's corner too, which the checks tell as a warning. Goal: 95
           of 100 within 50 ms. ``refused``: a corner moved by 0.3 m, into a neighbour (422) or away from it.
changeset  1,000 new poles in one request. Goal: 3 s.
reading    /items of 100 features in a box, 4 clients, alone and while 8 clients edit as editors do, five
           times a second each (--pace), and as fast as they can. Goal: the rate with edits is at least two
           thirds of that without.

Times are absolute, so the machine's noise is printed beside them: how much a loop of known work varies, and
how much slower it is on all cores at once. Clients and the server share the machine's processors.
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
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import psycopg
import shapely

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from gis.db.migrate import prepare  # noqa: E402
from gis.db.server import Database, database  # noqa: E402
from gis.demo.plan import make_plan  # noqa: E402
from gis.demo.write import write as write_demo  # noqa: E402
from gis.identity.accounts import add_account, grant, make_token  # noqa: E402
from gis.settings import Settings  # noqa: E402
from tests.api.process import Server  # noqa: E402

CLIENTS, READERS = 8, 4
EPSG_9210 = "http://www.opengis.net/def/crs/EPSG/0/9210"
MERGE = "application/merge-patch+json"
type Shape = shapely.Geometry


@dataclass(frozen=True)
class Kind:
    """Edits of one kind: the layer, an attribute with its values, or how the geometry changes."""

    layer: str
    attribute: str | None = None
    values: tuple[Any, ...] = ()
    moved: Callable[[Shape, np.random.Generator], Shape] | None = None
    #: Features that are edited, as a condition of SQL.
    where: str = "true"
    status: tuple[int, ...] = (200,)


def bent(line: Shape, rng: np.random.Generator) -> Shape:
    """A line with its middle vertex (a new one in a straight line) moved by centimetres; its ends stay."""
    xyz = shapely.get_coordinates(line, include_z=line.has_z)
    if len(xyz) == 2:
        xyz = np.insert(xyz, 1, xyz.mean(axis=0), axis=0)
    xyz[len(xyz) // 2, :2] += rng.uniform(-0.03, 0.03, 2)
    return shapely.LineString(xyz)


def cornered(by: float) -> Callable[[Shape, np.random.Generator], Shape]:
    """A polygon with one corner moved by up to so much (m)."""

    def move(polygon: Shape, rng: np.random.Generator) -> Shape:
        rings = [shapely.get_coordinates(r, include_z=polygon.has_z) for r in shapely.get_rings(polygon)]
        step = rng.uniform(0.5, 1.0, 2) * rng.choice([-1, 1], 2) * by
        rings[0][1, :2] += step
        return shapely.Polygon(rings[0], rings[1:])

    return move


def stepped(point: Shape, rng: np.random.Generator) -> Shape:
    """A point moved by millimetres."""
    xyz = shapely.get_coordinates(point, include_z=point.has_z)
    xyz[0, :2] += rng.uniform(-0.005, 0.005, 2)
    return shapely.Point(xyz[0])


KINDS = {
    "parcel_attribute": Kind("cadastre_parcel", "address", tuple(f"{n} Lê Lợi" for n in range(1, 400))),
    "parcel_vertex": Kind("cadastre_parcel", moved=cornered(0.004), status=(200, 422)),
    "parcel_refused": Kind("cadastre_parcel", moved=cornered(0.3), status=(200, 422)),
    "pipe_attribute": Kind("water_pipe", "street", tuple(f"Đường {n}" for n in range(1, 400))),
    "pipe_vertex": Kind("water_pipe", moved=bent, where="ST_Length(geom) > 5"),
    "pole_attribute": Kind("power_support", "remark", tuple(f"Cột {n}" for n in range(1, 400))),
    "pole_vertex": Kind("power_support", moved=stepped),
}


@dataclass
class Load:
    """What clients saw: seconds of each request, and how many had which status."""

    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    def add(self, taken: float, status: int) -> None:
        self.seconds.append(taken)
        self.statuses[status] = self.statuses.get(status, 0) + 1

    def told(self, wall: float) -> dict[str, Any]:
        ms = np.array(self.seconds or [float("nan")]) * 1000
        p50, p95, p99 = np.percentile(ms, [50, 95, 99])
        return {
            "requests": len(self.seconds),
            "p50_ms": round(float(p50), 1),
            "p95_ms": round(float(p95), 1),
            "p99_ms": round(float(p99), 1),
            "per_second": round(len(self.seconds) / wall, 1),
            "statuses": {str(k): v for k, v in sorted(self.statuses.items())},
        }


class City:
    """A demo city, its server, and an account that may edit everything."""

    def __init__(self, db: Database, server: Server, token: str, storage: int) -> None:
        self.db, self.server, self.storage = db, server, storage
        self.headers = {"Authorization": f"Bearer {token}"}
        self._fids: dict[str, list[int]] = {}

    def client(self, *, anonymous: bool = False) -> httpx.Client:
        return httpx.Client(
            base_url=self.server.url,
            headers={} if anonymous else self.headers,
            timeout=60,
            verify=False,  # noqa: S501 - no TLS here, and its setup takes 50 ms
            trust_env=False,
        )

    def fids(self, kind: Kind) -> list[int]:
        """Some thousand features of the kind, all over the city."""
        key = kind.layer + kind.where
        if key not in self._fids:
            with psycopg.connect(self.db.owner_dsn) as connection:
                rows = connection.execute(
                    f"SELECT fid FROM layer.{kind.layer} WHERE {kind.where}"  # noqa: S608 - ours
                    " ORDER BY md5(asset_id) LIMIT 4000"
                ).fetchall()
            self._fids[key] = [row[0] for row in rows]
        return self._fids[key]

    def shapes(self, kind: Kind, fids: list[int]) -> dict[int, Shape]:
        with psycopg.connect(self.db.owner_dsn) as connection:
            rows = connection.execute(
                f"SELECT fid, ST_AsBinary(geom) FROM layer.{kind.layer}"  # noqa: S608 - ours
                " WHERE fid = ANY (%s)",
                [fids],
            ).fetchall()
        return {row[0]: shapely.from_wkb(row[1]) for row in rows}


def patches(
    city: City, kind: Kind, seconds: float, clients: int, seed: int, pace: float = 0.0
) -> dict[str, Any]:
    """So many clients, each with features of its own, one request after the other, or ``pace`` a second."""
    mine = [city.fids(kind)[n::clients] for n in range(clients)]
    shapes = city.shapes(kind, [f for some in mine for f in some]) if kind.moved else {}
    loads = [Load() for _ in range(clients)]
    end = time.monotonic() + seconds

    def work(number: int) -> None:
        rng = np.random.default_rng(seed * 100 + number)
        headers = {"Content-Type": MERGE, "Content-Crs": f"<{EPSG_9210}>"}
        with city.client() as client:
            for fid in np.random.default_rng(seed).permutation(np.array(mine[number])).tolist() * 50:
                if time.monotonic() > end:
                    return
                body: dict[str, Any] = {"type": "Feature"}
                if kind.moved is not None:
                    new = kind.moved(shapes[fid], rng)
                    body["geometry"] = json.loads(shapely.to_geojson(new))
                else:
                    body["properties"] = {kind.attribute: str(rng.choice(np.array(kind.values)))}
                content = json.dumps(body)
                started = time.perf_counter()
                answer = client.patch(
                    f"/collections/{kind.layer}/items/{fid}", content=content, headers=headers
                )
                loads[number].add(time.perf_counter() - started, answer.status_code)
                if pace:
                    time.sleep(max(0.0, 1 / pace - (time.perf_counter() - started)))
                if answer.status_code not in kind.status:
                    raise SystemExit(f"{kind}: {answer.status_code} {answer.text[:600]}")

    return _together(work, loads)


def _together(work: Callable[[int], None], loads: list[Load]) -> dict[str, Any]:
    began = time.monotonic()
    with ThreadPoolExecutor(len(loads)) as pool:
        list(pool.map(work, range(len(loads))))
    whole = Load()
    for load in loads:
        whole.seconds += load.seconds
        for status, count in load.statuses.items():
            whole.statuses[status] = whole.statuses.get(status, 0) + count
    return whole.told(time.monotonic() - began)


def reading(city: City, seconds: float, *, besides: bool, pace: float = 0.0) -> dict[str, Any]:
    """Pages of 100 parcels in boxes all over the city; ``besides``: while clients edit (at a pace)."""
    with psycopg.connect(city.db.owner_dsn) as connection:
        rows = connection.execute(
            "SELECT ST_XMin(geom), ST_YMin(geom) FROM layer.cadastre_parcel WHERE fid = ANY (%s)",
            [city.fids(KINDS["parcel_attribute"])[:500]],
        ).fetchall()
    loads, stop = [Load() for _ in range(READERS)], threading.Event()
    end = time.monotonic() + seconds
    edits: list[dict[str, Any]] = []
    editors = ThreadPoolExecutor(2)
    if besides:
        half = CLIENTS // 2
        waiting = [
            editors.submit(patches, city, KINDS[name], seconds + 1, half, 7, pace)
            for name in ("parcel_attribute", "pipe_vertex")
        ]

    def work(number: int) -> None:
        rng = np.random.default_rng(number)
        with city.client(anonymous=True) as client:
            while time.monotonic() < end and not stop.is_set():
                x, y = rows[int(rng.integers(len(rows)))]
                box = f"{x - 150},{y - 150},{x + 150},{y + 150}"
                started = time.perf_counter()
                answer = client.get(
                    "/collections/cadastre_parcel/items",
                    params={"bbox": box, "bbox-crs": EPSG_9210, "limit": 100},
                )
                loads[number].add(time.perf_counter() - started, answer.status_code)
                answer.raise_for_status()

    found = _together(work, loads)
    if besides:
        edits = [one.result() for one in waiting]
        found["edits"] = edits
    editors.shutdown()
    return found


def changeset(city: City, count: int) -> dict[str, Any]:
    """New poles of one changeset, in a grid beside the city's parcels."""
    with psycopg.connect(city.db.owner_dsn) as connection:
        row = connection.execute(
            "SELECT ST_X(geom), ST_Y(geom), ST_Z(geom) FROM layer.power_support"
            " ORDER BY md5(asset_id) LIMIT 1"
        ).fetchone()
    assert row is not None
    x, y, z = row
    changes = []
    for n in range(count):
        place = [x + 7.3 + 11.0 * (n % 40), y + 6.1 + 13.0 * (n // 40), *([] if z is None else [z])]
        changes.append(
            {
                "op": "create",
                "layer": "power_support",
                "id": f"new:{n}",
                "feature": {
                    "type": "Feature",
                    "geometry": {"type": "Point", "coordinates": place},
                    "properties": {"owner": "evnhcmc", "remark": f"Bench {n}", "status": "proposed"},
                },
            }
        )
    body = json.dumps({"comment": "bench", "changes": changes})
    headers = {"Content-Type": "application/json", "Content-Crs": f"<{EPSG_9210}>"}
    with city.client() as client:
        started = time.perf_counter()
        answer = client.post("/changesets", content=body, headers={**headers, "Prefer": "handling=lenient"})
        taken = time.perf_counter() - started
    if answer.status_code not in (200, 201):
        raise SystemExit(f"changeset: {answer.status_code} {answer.text[:800]}")
    return {"creates": count, "s": round(taken, 2), "findings": len(answer.json().get("findings", []))}


# --- the machine ----------------------------------------------------------------------------------------


def _spin(_: int = 0) -> float:
    started = time.perf_counter()
    total = 0
    for n in range(2_000_000):
        total += n * n
    return time.perf_counter() - started


def noise() -> dict[str, Any]:
    """A loop of known work: median and worst of ten on one core, and on all at once."""
    alone = sorted(_spin() for _ in range(10))
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores) as pool:
        all_at_once = sorted(pool.map(_spin, range(5 * cores)))
    return {
        "cores": cores,
        "load": [round(v, 2) for v in os.getloadavg()],
        "loop_ms": round(alone[5] * 1000, 1),
        "worst_of_ten": round(alone[-1] / alone[0], 2),
        "all_cores_factor": round(all_at_once[len(all_at_once) // 2] / alone[0], 2),
    }


def memory(city: City) -> dict[str, Any]:
    """What the server's processes and PostgreSQL's hold alone (MB, unique set size)."""
    server = psutil.Process(city.server.process.pid)
    programs = [server, *server.children(recursive=True)]
    postgres = [p for p in psutil.process_iter() if p.name().startswith("postgres")]

    def unique(processes: list[psutil.Process]) -> int:
        total = 0
        for process in processes:
            try:
                total += process.memory_full_info().uss
            except psutil.Error:
                continue
        return round(total / 1e6)

    return {"server_mb": unique(programs), "postgres_mb": unique(postgres)}


@contextmanager
def opened(folder: Path, parcels: int, workers: int) -> Iterator[City]:
    """The city (made when the database is empty) behind running server processes."""
    settings = Settings.from_env({}, data_dir=folder)
    home = settings.load_city()
    catalogue = settings.load_catalogue(home)
    with database(settings) as db:
        prepare(db.owner_dsn, home, catalogue)
        with psycopg.connect(db.owner_dsn, autocommit=True) as connection:
            row = connection.execute("SELECT count(*) FROM layer.cadastre_parcel").fetchone()
            if row == (0,):
                started = time.monotonic()
                write_demo(db.owner_dsn, make_plan(parcels, 1), home, catalogue, lambda _a, _b: None)
                connection.execute("VACUUM ANALYZE")
                print(json.dumps({"city_s": round(time.monotonic() - started)}), flush=True)
            connection.execute("DELETE FROM bandoso.account WHERE name = 'bench'")
            account = add_account(connection, "bench")
            grant(connection, account, "steward", "city")
            token, _ = make_token(connection, account, "bench", ("read", "edit"))
        run = folder / "bench-server"
        run.mkdir(exist_ok=True)
        server = Server(replace(settings, workers=workers), db, run).start()
        try:
            yield City(db, server, token, home.crs.storage)
        finally:
            server.stop()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parcels", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each load")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument(
        "--pace", type=float, default=5.0, help="edits a second of each client beside readers"
    )
    parser.add_argument("--workers", type=int, default=2, help="server processes")
    parser.add_argument("--data-dir", type=Path, help="keep the city here")
    parser.add_argument("--kinds", default=",".join(KINDS), help="separated by commas")
    arguments = parser.parse_args()
    folder = arguments.data_dir or Path(tempfile.mkdtemp(prefix="bandoso-bench-", dir="/tmp"))
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)

    def tell(name: str, result: Any) -> None:
        print(json.dumps({name: result}, ensure_ascii=False), flush=True)

    try:
        tell("noise", noise())
        with opened(folder, arguments.parcels, arguments.workers) as city:
            for name in arguments.kinds.split(","):
                kind = KINDS[name]
                patches(city, kind, 3.0, arguments.clients, 1)  # statements are prepared, modules imported
                tell(name, patches(city, kind, arguments.seconds, arguments.clients, 2))
            alone = reading(city, arguments.seconds, besides=False)
            tell("reading_alone", alone)
            for name, pace in (("with_edits", arguments.pace), ("with_edits_at_full_speed", 0.0)):
                during = reading(city, arguments.seconds, besides=True, pace=pace)
                tell(f"reading_{name}", during)
                tell(f"reading_{name}_ratio", round(during["per_second"] / alone["per_second"], 2))
            tell("changeset", changeset(city, 1_000))
            tell("memory", memory(city))
        tell("noise_after", noise())
    finally:
        if arguments.data_dir is None:
            subprocess.run(["rm", "-rf", str(folder)], check=False)


if __name__ == "__main__":
    main()
