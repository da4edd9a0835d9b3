"""Attacks on tiles: impossible addresses, crowds, clients that leave, a database that is killed, monsters."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

import httpx
import mapbox_vector_tile
import psycopg
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from gis.api.problems import Problems, on_known_error
from gis.api.state import State
from gis.api.tiles import ROUTES, Tiles
from gis.city import City
from gis.db.pool import open_reader_pool
from gis.db.server import Database
from gis.errors import BandosoError
from gis.settings import Settings
from layers.registry import Catalogue
from tests.api.process import Server
from tiles.follow import Freshness
from tiles.grid import tile_at

LON, LAT = 106.698, 10.7725
EAST, NORTH = 603481.588, 1191454.611

_T17 = tile_at(LON, LAT, 17)
TILE = f"/tiles/WebMercatorQuad/17/{_T17.y}/{_T17.x}"
VALVES = "/collections/water_valve" + TILE


def never_asked(z: int) -> str:
    """Valves in a tile that no other test asks for: it is not kept in memory yet."""
    tile = tile_at(LON, LAT, z)
    return f"/collections/water_valve/tiles/WebMercatorQuad/{z}/{tile.y}/{tile.x}"


WAITING = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND usename = 'bandoso_app'"
    " AND state = 'active' AND wait_event = 'PgSleep'"
)
#: While one holds the lock, whoever reads a valve waits, without end: a lock of the table itself would be
#: waited for only as long as lock_timeout says, which is too short to tell one thing from another.
HELD = 715
SLOW = f"""
CREATE FUNCTION public.while_held() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    WHILE NOT pg_try_advisory_xact_lock_shared({HELD}) LOOP
        PERFORM pg_sleep(0.05);
    END LOOP;
    RETURN true;
END $$;
ALTER TABLE web.water_valve ENABLE ROW LEVEL SECURITY;
CREATE POLICY held ON web.water_valve USING ((SELECT public.while_held()));
"""

FAST = """
DROP POLICY held ON web.water_valve;
ALTER TABLE web.water_valve DISABLE ROW LEVEL SECURITY;
DROP FUNCTION public.while_held;
"""


@contextlib.contextmanager
def held(db: Database) -> Iterator[None]:
    """Whoever reads a valve waits until the end of the block."""
    with psycopg.connect(db.owner_dsn, autocommit=True) as connection:
        connection.execute(SLOW)
        connection.execute("SELECT pg_advisory_lock(%s)", [HELD])
        try:
            yield
        finally:
            connection.execute("SELECT pg_advisory_unlock(%s)", [HELD])
            connection.execute(FAST)


@pytest.fixture(scope="module")
def filled(module_db: Database) -> Database:
    """2,000 valves and 2,000 buildings around Ben Thanh market."""
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        for layer, shape in (("water_valve", "p"), ("cadastre_building", "ST_Expand(p, 3)")):
            connection.execute(
                f"INSERT INTO layer.{layer} (geom) SELECT {shape} FROM (SELECT ST_SetSRID(ST_MakePoint("
                f"{EAST} + i %% 50 * 6, {NORTH} + i / 50 * 6), 9210) AS p"
                " FROM generate_series(1, %s) AS i) AS s",
                [2000],
            )
    return module_db


@pytest.fixture(scope="module")
def running(
    filled: Database, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One worker, so that its figures are all the figures."""
    patient = replace(settings, workers=1, pool_size=4, statement_timeout_ms=240_000)
    process = Server(patient, filled, tmp_path_factory.mktemp("server"))
    process.start()
    yield process
    assert process.stop() == 0, process.log.read_text(errors="replace")[-3000:]


@pytest.mark.parametrize(
    "path",
    [
        "/tiles/WebMercatorQuad/99/0/0",
        "/tiles/WebMercatorQuad/-1/0/0",
        "/tiles/WebMercatorQuad/1.5/0/0",
        "/tiles/WebMercatorQuad/17/0/131072",
        "/tiles/WebMercatorQuad/17/131072/0",
        "/tiles/WebMercatorQuad/0/0/" + "9" * 5000,
        "/tiles/WebMercatorQuad/%00/0/0",
        "/tiles/WebMercatorQuad/1/0/0%00",
        "/tiles/WebMercatorQuad/%D9%A3/0/0",
        "/tiles/WebMercatorQuad/1e1/0/0",
        "/tiles/WebMercatorQuad/0x1/0/0",
        "/tiles/WebMercatorQuad/nan/0/0",
        "/tiles/WebMercatorQuad/1;select 1/0/0",
        "/tiles/WebMercatorQuad/../../etc/passwd",
        "/tiles/..%2F..%2Fetc%2Fpasswd/1/0/0",
        TILE + "?collections=water_valve'--",
        TILE + "?collections=water_valve%00",
        TILE + "?collections=layer.water_valve",
        TILE + "?collections=%22water_valve%22",
        TILE + "?collections=" + "water_valve," * 3000,
        TILE + "?collections=spatial_ref_sys",
        TILE + "?collections=*",
        TILE + "?f=mvt&f=mvt",
        TILE + "?z=1",
        "/collections/water_valve'%20OR%20'1'='1" + TILE,
        "/collections/pg_catalog.pg_authid" + TILE,
        "/collections/%F0%9F%9A%B0" + TILE,
        "/styles/..%2f..%2fconfig",
        "/styles/city'--/legend",
        "/styles/city?lang=xx",
        "/styles/%00",
    ],
)
def test_no_address_gives_more_than_a_problem(running: Server, path: str) -> None:
    response = running.get(path)
    assert 400 <= response.status_code < 500, response.status_code
    assert response.headers["content-type"] == "application/problem+json"
    text = response.text.lower()
    for leak in ("select ", "psycopg", "traceback", "/home", "/work", "bandoso_reader", "relation "):
        assert leak not in text
    assert running.get(VALVES).status_code == 200


def test_the_same_collection_many_times_is_one(running: Server) -> None:
    response = running.get(TILE + "?collections=" + ",".join(["water_valve"] * 500))
    assert set(mapbox_vector_tile.decode(response.content)) == {"water_valve"}


@contextlib.asynccontextmanager
async def application(
    settings: Settings, city: City, catalogue: Catalogue, db: Database
) -> AsyncIterator[tuple[httpx.AsyncClient, Starlette]]:
    """The tile routes in this process, over the real database."""
    app = Starlette(
        routes=list(ROUTES),
        exception_handlers={BandosoError: on_known_error},
        middleware=[Middleware(Problems)],
    )
    pool = await open_reader_pool(replace(settings, pool_size=2), db)
    app.state.bandoso = State(settings, city, catalogue, pool)
    freshness = Freshness(db.app_dsn, city.crs.storage, lambda _: 0)  # follows nothing: keeps nothing
    app.state.tiles = Tiles(app.state.bandoso, freshness)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client, app
    await pool.close()


def rendered() -> float:
    from gis.api.tiles import RENDERED

    return float(RENDERED._value.get())


def test_500_misses_of_one_tile_are_one_query(
    filled: Database, settings: Settings, city: City, catalogue: Catalogue
) -> None:
    async def run() -> None:
        async with application(settings, city, catalogue, filled) as (client, _app):
            before = rendered()
            answers = await asyncio.gather(*(client.get(VALVES) for _ in range(500)))
            assert rendered() - before == 1
            assert {a.status_code for a in answers} == {200}
            assert len({a.content for a in answers}) == 1
            await client.get(VALVES)
            assert rendered() - before == 2  # nothing is kept while changes are not followed

    asyncio.run(run())


def metric(running: Server, name: str) -> float:
    for line in running.get("/metrics").text.splitlines():
        if line.startswith(name):
            return float(line.split()[-1])
    return 0.0


def test_500_clients_over_the_network_are_all_served(running: Server) -> None:
    async def crowd() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=500)
        async with httpx.AsyncClient(base_url=running.url, limits=limits, timeout=60) as client:
            return list(await asyncio.gather(*(client.get(TILE) for _ in range(500))))

    running.get(TILE)
    before = metric(running, "bandoso_tiles_rendered_total")
    answers = asyncio.run(crowd())
    assert {a.status_code for a in answers} == {200}
    assert len({a.content for a in answers}) == 1
    assert metric(running, "bandoso_tiles_rendered_total") - before < 250  # those that met shared


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def ask(running: Server, path: str) -> socket.socket:
    """A request whose answer is not read."""
    connection = socket.create_connection(("127.0.0.1", running.port), timeout=240)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection


def waiting(owner: psycopg.Connection) -> int:
    return len(owner.execute(WAITING).fetchall())


def test_the_query_ends_when_the_client_leaves(running: Server, owner: psycopg.Connection) -> None:
    address = never_asked(18)
    with held(running.db):
        with ask(running, address):
            assert wait_until(lambda: waiting(owner) == 1)
        assert wait_until(lambda: waiting(owner) == 0)
    assert running.get(address).status_code == 200


def test_the_query_goes_on_while_somebody_waits(running: Server, owner: psycopg.Connection) -> None:
    address = never_asked(19)
    joined = metric(running, "bandoso_tiles_joined_total")
    with contextlib.ExitStack() as clients:
        with held(running.db):
            with ask(running, address):
                assert wait_until(lambda: waiting(owner) == 1)
                [query] = owner.execute(WAITING).fetchall()
                stayer = clients.enter_context(ask(running, address))
                # who leaves before another has come takes the query along, and rightly
                assert wait_until(lambda: metric(running, "bandoso_tiles_joined_total") == joined + 1)
            time.sleep(0.3)
            # one query for both, and still there
            assert owner.execute(WAITING).fetchall() == [query]
        assert stayer.recv(200).startswith(b"HTTP/1.1 200")


def test_a_locked_layer_is_busy_and_not_broken(running: Server) -> None:
    address = never_asked(20)
    with psycopg.connect(running.db.owner_dsn) as holder:
        holder.execute("LOCK TABLE layer.water_valve IN ACCESS EXCLUSIVE MODE")
        response = running.get(address)
        assert response.status_code == 503
        assert response.headers["content-type"] == "application/problem+json"
        assert "retry-after" in response.headers
        holder.rollback()
    assert running.get(address).status_code == 200


def test_a_killed_backend_costs_one_answer_at_most(running: Server, owner: psycopg.Connection) -> None:
    address = never_asked(21)
    with held(running.db):
        connection = ask(running, address)
        assert wait_until(lambda: waiting(owner) == 1)
        for (pid,) in owner.execute(WAITING).fetchall():
            owner.execute("SELECT pg_terminate_backend(%s)", [pid])
        answer = connection.recv(4096)
        connection.close()
    assert answer.split()[1] == b"503"
    assert [running.get(address).status_code for _ in range(8)] == [200] * 8


def star(vertices: int) -> str:
    """A valid polygon with that many vertices, as SQL."""
    return (
        "ST_SetSRID(ST_MakePolygon(ST_AddPoint(line, ST_StartPoint(line))), 9210) FROM (SELECT ST_MakeLine("
        f"ST_MakePoint({EAST} + (800 + i %% 2 * 200) * cos(2 * pi() * i / {vertices - 1}),"
        f" {NORTH} + (800 + i %% 2 * 200) * sin(2 * pi() * i / {vertices - 1})) ORDER BY i) AS line"
        f" FROM generate_series(0, {vertices - 2}) AS i) AS s"
    )


def test_a_monster_is_refused_and_the_largest_that_is_allowed_is_drawn(
    running: Server, owner: psycopg.Connection, catalogue: Catalogue
) -> None:
    most = catalogue.layers["base_waterbody"].definition.max_vertices
    insert = "INSERT INTO layer.base_waterbody (geom) SELECT ST_Multi(g) FROM (SELECT {}) AS m (g)"
    with pytest.raises(psycopg.errors.CheckViolation):
        owner.execute(insert.replace("{}", star(1_000_000)).replace("%%", "%"))
    owner.execute(insert.replace("{}", star(most)).replace("%%", "%"))
    low = "SELECT count(*) FROM web.base_waterbody__low"
    assert wait_until(lambda: owner.execute(low).fetchone() != (0,)), "low zooms are derived beside"
    for z in (6, 12, 16, 18):
        tile = tile_at(LON, LAT, z)
        path = f"/collections/base_waterbody/tiles/WebMercatorQuad/{z}/{tile.y}/{tile.x}"
        response = running.get(path)
        end = time.monotonic() + 60
        while response.status_code == 204 and time.monotonic() < end:  # until it hears of the derived rows
            time.sleep(0.2)
            response = running.get(path)
        assert response.status_code == 200, z
        assert mapbox_vector_tile.decode(response.content)["base_waterbody"]["features"]
