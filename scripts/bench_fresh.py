"""Does a tile show an edit one second after it was acknowledged? Everything over HTTP, with real server
processes, archives of tiles if they were built, and clients that load tiles all the while.

    scripts/bench fresh --parcels 100000
    scripts/bench fresh --data-dir FOLDER --edits 1000     a demo city that was made before (it is changed)

Ten edits a second: a land use changes, and one second after the answer the parcel's tile is fetched, by a
connection of its own (so that any of the server's processes may answer), at level 16 and, in turn, at 15, 17
and in the tile of all layers. ``wrong``: tiles that do not show it; the goal is none. ``seen_ms``: of another
tenth of the edits, how long after the answer a tile first showed it. --kill: the listening connections of all
server processes are ended every two seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psycopg
from mapbox_vector_tile.Mapbox import vector_tile_pb2

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from bench_edit import MERGE, City, noise, opened  # noqa: E402
from clients import Clients, client, one_answer, request  # noqa: E402

from tiles.grid import tile_at  # noqa: E402

LAYER = "cadastre_parcel"
USES = ("ODT", "CLN", "TMD", "HNK", "SKC", "DGD", "DYT", "TON", "CHN", "ONT")
#: A tile is to show an edit so long after it was acknowledged (seconds).
AFTER = 1.0
READERS = 6
#: Path before the tile, and how many levels above or below 16.
LOOKS = (
    (f"/collections/{LAYER}", 16),
    (f"/collections/{LAYER}", 15),
    (f"/collections/{LAYER}", 17),
    ("", 16),
)


@dataclass
class Found:
    """What was seen of the edits."""

    right: int = 0
    wrong: list[str] = field(default_factory=list)
    late: int = 0
    seen: list[float] = field(default_factory=list)
    refused: int = 0


def path_of(before: str, z: int, place: tuple[float, float]) -> str:
    tile = tile_at(*place, z)
    return f"{before}/tiles/WebMercatorQuad/{tile.z}/{tile.y}/{tile.x}"


async def land_use(url: str, path: str, fid: int) -> str | None:
    """What a tile says of a parcel, asked over a new connection."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(request("GET", path, {}))
        status, body = await one_answer(reader)
    finally:
        writer.close()
    if status != 200:
        return f"status {status}"
    return _land_use_in(body, fid)


def _land_use_in(body: bytes, fid: int) -> str | None:
    """Without taking geometries apart: for two thousand parcels that takes longer than a tile may."""
    tile = vector_tile_pb2.tile()
    tile.ParseFromString(body)
    for layer in tile.layers:
        if layer.name == LAYER and "land_use" in layer.keys:
            key = list(layer.keys).index("land_use")
            for one in layer.features:
                if one.id == fid:
                    tags = dict(zip(one.tags[::2], one.tags[1::2], strict=True))
                    return layer.values[tags[key]].string_value if key in tags else None
    return None


async def edit(city: City, number: int, fid: int, place: tuple[float, float], found: Found) -> None:
    """One edit, and a look at its tile a second later (or, of every tenth, at once and until it is seen)."""
    url = city.server.url
    before, z = LOOKS[number % len(LOOKS)]
    path = path_of(before, z, place)
    was = await land_use(url, path, fid)
    use = next(one for one in USES[number % len(USES) :] + USES if one != was)
    headers = {**city.headers, "Content-Type": MERGE}
    body = json.dumps({"type": "Feature", "properties": {"land_use": use}}).encode()
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(request("PATCH", f"/collections/{LAYER}/items/{fid}", headers, body))
    status, answer = await one_answer(reader)
    acknowledged = time.monotonic()
    writer.close()
    if status != 200:
        found.refused += 1
        if found.refused == 1:
            print(json.dumps({"refused": answer[:300].decode(errors="replace")}), flush=True)
        return
    if number % 10 == 9:
        while (now := await land_use(url, path, fid)) != use and time.monotonic() < acknowledged + 10:
            await asyncio.sleep(0.02)
        found.seen.append(time.monotonic() - acknowledged)
        if now != use:
            found.wrong.append(f"{path} {fid}: {now} for {use}, after ten seconds")
        return
    await asyncio.sleep(AFTER - (time.monotonic() - acknowledged))
    asked = time.monotonic()
    now = await land_use(url, path, fid)
    found.late += asked > acknowledged + AFTER + 0.1  # this program was late itself
    if now == use:
        found.right += 1
    else:
        found.wrong.append(f"{path} {fid}: {now} for {use}")


async def run(city: City, edits: int, pace: float, *, kill: bool) -> tuple[Found, Clients]:
    with psycopg.connect(city.db.owner_dsn) as connection:
        rows = connection.execute(
            "SELECT fid, ST_X(c), ST_Y(c) FROM (SELECT fid, ST_Transform(ST_PointOnSurface(geom), 4326) AS c"
            " FROM layer.cadastre_parcel ORDER BY md5(asset_id) LIMIT %s) AS p",
            [edits + 2000],
        ).fetchall()
    places = [(row[0], (row[1], row[2])) for row in rows]
    rng = np.random.default_rng(1)

    def load() -> Iterator[bytes]:
        while True:
            _, place = places[int(rng.integers(len(places)))]
            z = int(rng.integers(14, 18))
            yield request("GET", path_of(("", f"/collections/{LAYER}")[z % 2], z, place), {})

    readers = Clients([load() for _ in range(READERS)], (200, 204))
    found = Found()
    address = urlsplit(city.server.url)
    end = time.monotonic() + edits / pace + AFTER
    async with asyncio.TaskGroup() as tasks:
        for requests in readers.requests:
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            tasks.create_task(client(reader, writer, requests, readers, end))
        if kill:
            tasks.create_task(_kill(city, end))
        began = time.monotonic()
        for number, (fid, place) in enumerate(itertools.islice(places, edits)):
            await asyncio.sleep(max(0.0, began + number / pace - time.monotonic()))
            tasks.create_task(edit(city, number, fid, place, found))
    return found, readers


async def _kill(city: City, end: float) -> None:
    """End all listening connections again and again."""
    async with await psycopg.AsyncConnection.connect(city.db.owner_dsn, autocommit=True) as connection:
        while time.monotonic() < end:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'bandoso tiles'"
            )
            await asyncio.sleep(2.0)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parcels", type=int, default=1_000_000)
    parser.add_argument("--edits", type=int, default=1000)
    parser.add_argument("--pace", type=float, default=10.0, help="edits a second")
    parser.add_argument("--workers", type=int, default=2, help="server processes")
    parser.add_argument("--data-dir", type=Path, help="keep the city here")
    parser.add_argument("--kill", action="store_true", help="end listening connections all the while")
    arguments = parser.parse_args()
    folder = arguments.data_dir or Path(tempfile.mkdtemp(prefix="bandoso-bench-", dir="/tmp"))
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)

    def tell(name: str, result: Any) -> None:
        print(json.dumps({name: result}, ensure_ascii=False), flush=True)

    try:
        tell("noise", noise())
        with opened(folder, arguments.parcels, arguments.workers) as city:
            asyncio.run(run(city, 30, arguments.pace, kill=False))  # statements are prepared
            found, readers = asyncio.run(run(city, arguments.edits, arguments.pace, kill=arguments.kill))
            seen = np.array(found.seen or [float("nan")]) * 1000
            tell("edits", arguments.edits - found.refused)
            tell("right", found.right)
            tell("wrong", len(found.wrong))
            tell("first_wrong", found.wrong[:3])
            tell("looks_later_than_1.1_s", found.late)
            tell("seen_ms", {p: round(float(np.percentile(seen, p)), 1) for p in (50, 95, 99, 100)})
            tell("tile_load", readers.load.told(arguments.edits / arguments.pace + AFTER))
    finally:
        if arguments.data_dir is None:
            subprocess.run(["rm", "-rf", str(folder)], check=False)


if __name__ == "__main__":
    main()
