# ruff: noqa: S608 - statements are made of this file's own texts
"""What the bench of serving asks for: workloads with a list of requests for each server, from the data."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote

import httpx
import psycopg

from gis.api.features.paging import Cursor, make_token
from gis.db.server import Database
from scripts.bench_serve_qgis import COLLECTION
from tiles.grid import tile_at

LAYER = "cadastre_parcel"
OURS, TIPG, PYGEOAPI, NGINX, PLAIN = "bandoso", "tipg", "pygeoapi", "nginx", "plain SQL"
QGIS = "QGIS Server"
COLD = "bandoso, nothing kept"
#: Workload -> bounds: (than whom, at least how many times).
BOUNDS: dict[str, list[tuple[str, float]]] = {
    "item": [(TIPG, 8), (QGIS, 4)],
    "box_10": [(TIPG, 6), (QGIS, 4)],
    "box_1000": [(TIPG, 10), (PLAIN, 2.5)],
    "attribute_100": [(TIPG, 5)],
    "cql2_100": [(TIPG, 5)],
    "page_deep": [(TIPG, 300)],
    "page_first": [],
    "export_next": [(TIPG, 5)],
    "export_csv": [(TIPG, 10)],
    "export_fgb": [(TIPG, 10)],
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
                f"SELECT fid, ST_X(p), ST_Y(p), commune_code FROM (SELECT fid, commune_code,"
                f" ST_Transform(ST_Centroid(geom), 4326) AS p FROM layer.{LAYER}"
                " ORDER BY md5(asset_id) LIMIT 20000) AS few"
            ).fetchall()
            self.count: int = connection.execute(f"SELECT count(*) FROM layer.{LAYER}").fetchone()[0]  # type: ignore[index]
        self.fids = [r[0] for r in rows]
        self.places = [(r[1], r[2]) for r in rows]
        self.communes = sorted({r[3] for r in rows if r[3]})

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
    qgis = f"/wfs3/collections/{COLLECTION}"
    made: list[Workload] = []

    def items(name: str, queries: list[str], **more: object) -> None:
        made.append(
            Workload(
                name,
                {
                    OURS: [f"{ours}/items{q}" for q in queries],
                    TIPG: [f"{theirs}/items{q}" for q in queries],
                    PYGEOAPI: [f"{pyg}/items{q}{'&' if '?' in q else '?'}f=json" for q in queries],
                    QGIS: [f"{qgis}/items{_with_json(q)}" for q in queries],
                },
                **more,  # type: ignore[arg-type]
            )
        )

    items("item", [f"/{fid}" for fid in city.random.choices(city.fids, k=5000)], plain="item")
    for limit, side in ((10, 60), (1000, 600)):
        boxes = [",".join(f"{v:.7f}" for v in b) for b in city.boxes(side, 3000)]
        items(f"box_{limit}", [f"?bbox={b}&limit={limit}" for b in boxes], plain=f"box_{limit}")
    communes = city.random.choices(city.communes, k=1000)
    items("attribute_100", [f"?commune_code={quote(c)}&limit=100" for c in communes])
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
    pages.paths[QGIS] = [f"{qgis}/items.json?limit=10&offset={deep + n}" for n in range(500)]
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


def _with_json(query: str) -> str:
    """QGIS Server takes the format as a suffix of the path."""
    path, mark, rest = query.partition("?")
    return f"{path}.json{mark}{rest}"


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
        # it has no such format: in the one that it has
        Workload("export_fgb", {}, export={OURS: whole("fgb"), TIPG: tipg_pages("")}),
    ]
