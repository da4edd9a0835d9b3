"""How fast are single edits of a city of a million parcels, and what do readers notice of them? Everything
over HTTP, with real server processes: login by token, policies, checks, history, commit on disk.

    scripts/bench edit                       a city of a million parcels with all its networks; an hour
    scripts/bench edit --parcels 100000
    scripts/bench edit --data-dir FOLDER     a demo city that was made before (it is changed)
    scripts/bench edit --only reading,changeset

patch      8 clients, one feature a request: an attribute, or the geometry with one vertex moved, of
           parcels, pipes and poles. A pipe's moved vertex is a bend (its ends stay where they are joined), a
           pole moves by millimetres, and a parcel's corner too, which the checks tell as a warning. Goal: 95
           of 100 within 50 ms. ``refused``: a corner moved by 0.3 m, into a neighbour (422) or away from it.
           Each twice: as fast as the clients can, when they share all processors with the server, and
           ``paced``, five edits a second of each client (--pace). Before each, what edits left to the
           background (low zooms) is done.
changeset  1,000 new poles in one request. Goal: 3 s.
reading    /items of 100 features in a box, 4 clients, alone and while 8 clients edit as editors do, five
           times a second each (--pace), and as fast as they can. Goal: the rate with edits is at least two
           thirds of that without.

Times are absolute, so the machine's noise is printed beside them: how much a loop of known work varies, and
how much slower it is on all cores at once. Clients and the server share the machine's processors; ``cpu_ms``
tells what each took of them for an edit (scripts/clients.py), which noise does not change.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import psycopg
import shapely

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from clients import Clients, Processors, drive, request  # noqa: E402

from gis.db.migrate import prepare  # noqa: E402
from gis.db.names import fill_names  # noqa: E402
from gis.db.server import Database, database  # noqa: E402
from gis.db.web_fill import fill  # noqa: E402
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


class City:
    """A demo city, its server, and an account that may edit everything."""

    def __init__(self, db: Database, server: Server, token: str, postmaster: int) -> None:
        self.db, self.server, self.postmaster = db, server, postmaster
        self.headers = {"Authorization": f"Bearer {token}"}
        self._fids: dict[str, list[int]] = {}

    def processors(self) -> Processors:
        return Processors(self.server.process.pid, self.postmaster)

    def drive(self, groups: list[Clients], seconds: float) -> float:
        """Run the clients; what they did not want to see ends the bench."""
        wall = drive(self.server.url, groups, seconds)
        for group in groups:
            if group.load.unwanted:
                raise SystemExit(f"unwanted: {group.load.unwanted}")
        return wall

    def settle(self) -> None:
        """Wait until the low zooms of what was edited are derived."""
        with psycopg.connect(self.db.owner_dsn, autocommit=True) as connection:
            while connection.execute("SELECT EXISTS (SELECT FROM bandoso.web_stale)").fetchone() == (True,):
                time.sleep(0.2)

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


def editors(city: City, kind: Kind, seconds: float, clients: int, seed: int, pace: float = 0.0) -> Clients:
    """So many clients, each with features of its own. Requests are made before the clock runs, as many as a
    client can send in that time, and more on the way."""
    mine = [city.fids(kind)[n::clients] for n in range(clients)]
    shapes = city.shapes(kind, [f for some in mine for f in some]) if kind.moved else {}
    headers = {**city.headers, "Content-Type": MERGE, "Content-Crs": f"<{EPSG_9210}>"}

    def requests(number: int) -> Iterator[bytes]:
        rng = np.random.default_rng(seed * 100 + number)
        for fid in itertools.cycle(np.random.default_rng(seed).permutation(np.array(mine[number])).tolist()):
            body: dict[str, Any] = {"type": "Feature"}
            if kind.moved is not None:
                body["geometry"] = json.loads(shapely.to_geojson(kind.moved(shapes[fid], rng)))
            else:
                body["properties"] = {kind.attribute: kind.values[int(rng.integers(len(kind.values)))]}
            path = f"/collections/{kind.layer}/items/{fid}"
            yield request("PATCH", path, headers, json.dumps(body).encode())

    def ready(number: int) -> Iterator[bytes]:
        later = requests(number)
        return itertools.chain(list(itertools.islice(later, int(seconds * (pace or 60)))), later)

    return Clients([ready(n) for n in range(clients)], kind.status, pace)


def patches(
    city: City, kind: Kind, seconds: float, clients: int, seed: int, pace: float = 0.0
) -> dict[str, Any]:
    """Edits one after the other by each of the clients, or ``pace`` of them a second."""
    group = editors(city, kind, seconds, clients, seed, pace)
    city.settle()
    processors = city.processors()
    wall = city.drive([group], seconds)
    return {**group.load.told(wall), "cpu_ms": processors.told(len(group.load.seconds))}


def readers(city: City) -> Clients:
    """Pages of 100 parcels in boxes all over the city."""
    with psycopg.connect(city.db.owner_dsn) as connection:
        places = connection.execute(
            "SELECT ST_XMin(geom), ST_YMin(geom) FROM layer.cadastre_parcel WHERE fid = ANY (%s)",
            [city.fids(KINDS["parcel_attribute"])[:500]],
        ).fetchall()

    def page(x: float, y: float) -> bytes:
        box = f"{x - 150},{y - 150},{x + 150},{y + 150}"
        path = f"/collections/cadastre_parcel/items?bbox={box}&bbox-crs={EPSG_9210}&limit=100"
        return request("GET", path, {})

    pages = [page(x, y) for x, y in places]
    rng = np.random.default_rng(1)
    orders = [rng.permutation(len(pages)).tolist() for _ in range(READERS)]
    return Clients([itertools.cycle([pages[n] for n in order]) for order in orders])


def reading(city: City, seconds: float, *, besides: bool, pace: float = 0.0) -> dict[str, Any]:
    """How fast readers are; ``besides``: while clients edit (at a pace)."""
    read = readers(city)
    edits = []
    if besides:
        half = CLIENTS // 2
        edits = [editors(city, KINDS[n], seconds, half, 7, pace) for n in ("parcel_attribute", "pipe_vertex")]
    city.settle()
    processors = city.processors()
    wall = city.drive([read, *edits], seconds)
    found = read.load.told(wall)
    if besides:
        found["edits"] = [one.load.told(wall) for one in edits]
    else:
        found["cpu_ms"] = processors.told(len(read.load.seconds))
    return found


def changeset(city: City, count: int) -> dict[str, Any]:
    """New poles of one changeset, in a grid beside the city's parcels."""
    with psycopg.connect(city.db.owner_dsn, autocommit=True) as connection:
        # of a run before: poles on poles would be a thousand findings
        connection.execute("DELETE FROM layer.power_support WHERE remark LIKE 'Bench %'")
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
    headers = {
        **city.headers,
        "Content-Type": "application/json",
        "Content-Crs": f"<{EPSG_9210}>",
        "Prefer": "handling=lenient",
    }
    sent = request("POST", "/changesets", headers, body.encode())
    group = Clients([iter([sent])], (201,))
    city.drive([group], 600)
    return {"creates": count, "s": round(group.load.seconds[0], 2)}


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
            fill(db.owner_dsn)  # else the server does it during the first loads
            fill_names(connection)
            connection.execute("DELETE FROM bandoso.account WHERE name = 'bench'")
            account = add_account(connection, "bench")
            grant(connection, account, "steward", "city")
            token, _ = make_token(connection, account, "bench", ("read", "edit"))
        run = folder / "bench-server"
        run.mkdir(exist_ok=True)
        server = Server(replace(settings, workers=workers), db, run).start()
        try:
            yield City(db, server, token, int((folder / "postgres/postmaster.pid").read_text().split()[0]))
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
        "--pace", type=float, default=5.0, help="edits a second of each client that has a pace"
    )
    parser.add_argument("--workers", type=int, default=2, help="server processes")
    parser.add_argument("--data-dir", type=Path, help="keep the city here")
    parser.add_argument("--only", default=",".join([*KINDS, "reading", "changeset"]), help="of these some")
    arguments = parser.parse_args()
    folder = arguments.data_dir or Path(tempfile.mkdtemp(prefix="bandoso-bench-", dir="/tmp"))
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)

    def tell(name: str, result: Any) -> None:
        print(json.dumps({name: result}, ensure_ascii=False), flush=True)

    try:
        tell("noise", noise())
        with opened(folder, arguments.parcels, arguments.workers) as city:
            wanted = arguments.only.split(",")
            for name, kind in KINDS.items():
                if name in wanted:
                    patches(
                        city, kind, 3.0, arguments.clients, 1
                    )  # statements are prepared, modules imported
                    tell(name, patches(city, kind, arguments.seconds, arguments.clients, 2))
                    paced = patches(city, kind, arguments.seconds, arguments.clients, 3, arguments.pace)
                    tell(f"{name}_paced", paced)
            if "reading" in wanted:
                reading(city, 3.0, besides=True)
                alone = reading(city, arguments.seconds, besides=False)
                tell("reading_alone", alone)
                for name, pace in (("with_edits", arguments.pace), ("with_edits_at_full_speed", 0.0)):
                    during = reading(city, arguments.seconds, besides=True, pace=pace)
                    tell(f"reading_{name}", during)
                    tell(f"reading_{name}_ratio", round(during["per_second"] / alone["per_second"], 2))
            if "changeset" in wanted:
                tell("changeset", changeset(city, 1_000))
            tell("memory", memory(city))
        tell("noise_after", noise())
    finally:
        if arguments.data_dir is None:
            subprocess.run(["rm", "-rf", str(folder)], check=False)


if __name__ == "__main__":
    main()
