"""A tile that is kept is never older than a second: edits, lost listeners, transactions that take long."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import httpx
import mapbox_vector_tile
import psycopg
import pytest
from psycopg import AsyncConnection
from starlette.applications import Starlette

from gis.api.access_log import LineWriter
from gis.api.app import build
from gis.api.tiles import KEPT, RENDERED, STORED
from gis.city import City
from gis.db.server import Database
from gis.settings import Settings
from layers.registry import Catalogue
from tests.api.sample import VECTORS
from tiles.archived import file_of
from tiles.build import build as build_archives
from tiles.follow import FRESH
from tiles.grid import tile_at

LON, LAT = VECTORS[0][1]
#: What an edit may take to be seen in tiles (seconds), and a little for the machine.
SEEN = 1.0

VALVES = "/collections/water_valve"
Get = Callable[..., Awaitable[httpx.Response]]


def address(z: int, lon: float = LON, lat: float = LAT, of: str = VALVES) -> str:
    tile = tile_at(lon, lat, z)
    return f"{of}/tiles/WebMercatorQuad/{tile.z}/{tile.y}/{tile.x}"


def fids(response: httpx.Response) -> set[int]:
    if response.status_code == 204:
        return set()
    assert response.status_code == 200, response.text
    found = mapbox_vector_tile.decode(response.content)
    return {one["id"] for one in found["water_valve"]["features"]}


def count(what: object) -> float:
    return float(what._value.get())  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def serving(settings: Settings, db: Database) -> AsyncIterator[tuple[Starlette, httpx.AsyncClient]]:
    """The whole application in this process, following the database."""
    app = build(settings, db, LineWriter(os.open(os.devnull, os.O_WRONLY)))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        await live(app)
        yield app, client


async def steady(client: httpx.AsyncClient, *paths: str) -> None:
    """Ask until the tiles are kept (on a machine that is too busy they are not trusted for a while)."""
    async with asyncio.timeout(30):
        while True:
            rendered = count(RENDERED)
            for path in paths:
                await client.get(path)
            if count(RENDERED) == rendered:
                return


async def live(app: Starlette) -> None:
    async with asyncio.timeout(20):
        while not app.state.freshness.is_live:
            await asyncio.sleep(0.02)


async def add_valve(connection: AsyncConnection, lon: float = LON, lat: float = LAT) -> int:
    cursor = await connection.execute(
        "INSERT INTO layer.water_valve (geom) VALUES (ST_Force3D(ST_Transform("
        "ST_SetSRID(ST_MakePoint(%s, %s), 4326), (SELECT ST_SRID(geom) FROM layer.water_valve LIMIT 1))))"
        " RETURNING fid",
        (lon, lat),
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


def test_a_kept_tile_is_served_from_memory_until_something_in_it_changes(
    sample_db: Database, settings: Settings
) -> None:
    async def run() -> None:
        async with (
            serving(settings, sample_db) as (app, client),
            await AsyncConnection.connect(sample_db.owner_dsn, autocommit=True) as editor,
        ):
            tile, elsewhere = address(17), address(17, lon=LON + 0.02)
            before = fids(await client.get(tile))
            await client.get(elsewhere)
            kept = count(KEPT)
            await steady(client, tile, elsewhere)
            assert count(KEPT) >= kept + 2
            assert fids(await client.get(tile)) == before

            await live(app)
            early = app.state.freshness.stamp()
            made = await add_valve(editor)
            await asyncio.sleep(SEEN)
            assert fids(await client.get(tile)) == before | {made}
            await live(app)
            assert not app.state.freshness.is_right(early, ["water_valve"], tile_at(LON, LAT, 17))
            assert app.state.freshness.is_right(early, ["water_valve"], tile_at(LON + 0.02, LAT, 17))
            # at every level, deeper ones too
            for z in (15, 16, 18, 20):
                assert made in fids(await client.get(address(z)))
            await editor.execute("DELETE FROM layer.water_valve WHERE fid = %s", (made,))
            await asyncio.sleep(SEEN)
            for z in (15, 16, 17, 18, 20):
                assert made not in fids(await client.get(address(z)))

    asyncio.run(run())


def test_a_moved_feature_is_gone_where_it_was(sample_db: Database, settings: Settings) -> None:
    async def run() -> None:
        async with (
            serving(settings, sample_db) as (_app, client),
            await AsyncConnection.connect(sample_db.owner_dsn, autocommit=True) as editor,
        ):
            there = address(18, lon=LON + 0.01)
            made = await add_valve(editor)
            await asyncio.sleep(SEEN)
            assert made in fids(await client.get(address(18)))
            assert made not in fids(await client.get(there))
            await editor.execute(
                "UPDATE layer.water_valve SET geom = ST_Translate(geom, ST_X(t.there) - ST_X(t.here), 0, 0)"
                " FROM (SELECT ST_Transform(ST_SetSRID(ST_MakePoint(%s, %s), 4326), v.srid) AS here,"
                " ST_Transform(ST_SetSRID(ST_MakePoint(%s, %s), 4326), v.srid) AS there"
                " FROM (SELECT ST_SRID(geom) AS srid FROM layer.water_valve LIMIT 1) AS v) AS t"
                " WHERE fid = %s",
                (LON, LAT, LON + 0.01, LAT, made),
            )
            await asyncio.sleep(SEEN)
            assert made not in fids(await client.get(address(18)))
            assert made in fids(await client.get(there))

    asyncio.run(run())


@pytest.mark.parametrize("again", [1, 2])
def test_a_killed_listener_hides_no_edit(sample_db: Database, settings: Settings, again: int) -> None:
    """The edit comes while nobody listens: tiles are rendered until all that was missed is known."""

    async def run() -> None:
        async with (
            serving(settings, sample_db) as (app, client),
            await AsyncConnection.connect(sample_db.owner_dsn, autocommit=True) as editor,
        ):
            tile = address(17)
            await client.get(tile)
            for _ in range(again):
                await editor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'bandoso tiles' AND datname = current_database()"
                )
                made = await add_valve(editor)
                await asyncio.sleep(SEEN)
                assert made in fids(await client.get(tile))
                await live(app)
                assert made in fids(await client.get(tile))
            await steady(client, tile)  # it is trusted again
            assert app.state.freshness.connections > again

    asyncio.run(run())


def test_an_open_transaction_hides_no_later_one(sample_db: Database, settings: Settings) -> None:
    """A load that takes minutes holds its changeset open, and the feed behind it; tiles must not wait."""

    async def run() -> None:
        async with (
            serving(settings, sample_db) as (_app, client),
            await AsyncConnection.connect(sample_db.owner_dsn) as long,
            await AsyncConnection.connect(sample_db.owner_dsn, autocommit=True) as editor,
        ):
            tile = address(17)
            await client.get(tile)
            slow = await add_valve(long)
            quick = await add_valve(editor)
            await asyncio.sleep(SEEN)
            now = fids(await client.get(tile))
            assert quick in now
            assert slow not in now
            await long.commit()
            await asyncio.sleep(SEEN)
            assert {quick, slow} <= fids(await client.get(tile))

    asyncio.run(run())


def test_nothing_is_trusted_while_the_database_is_not_asked(sample_db: Database, settings: Settings) -> None:
    async def run() -> None:
        async with serving(settings, sample_db) as (app, client):
            tile = address(17)
            await steady(client, tile)
            app.state.freshness._task.cancel()
            await asyncio.sleep(FRESH + 0.1)
            rendered = count(RENDERED)
            await client.get(tile)
            assert count(RENDERED) == rendered + 1

    asyncio.run(run())


def test_after_a_purge_older_bytes_are_not_trusted(sample_db: Database, settings: Settings) -> None:
    """What a purge takes away cannot tell any more where it was: bytes from before it are never right."""
    with psycopg.connect(sample_db.owner_dsn, autocommit=True) as connection:
        row = connection.execute("SELECT bandoso.changeset_horizon()").fetchone()
        assert row is not None

    async def run() -> None:
        async with (
            serving(settings, sample_db) as (app, _client),
            await AsyncConnection.connect(sample_db.owner_dsn, autocommit=True) as editor,
        ):
            freshness = app.state.freshness
            early = freshness.stamp()
            tile = tile_at(LON + 0.03, LAT, 17)
            assert freshness.is_right(early, ["water_valve"], tile)
            made = await add_valve(editor)
            for _ in range(2):
                await editor.execute("UPDATE layer.water_valve SET state = NULL WHERE fid = %s", (made,))
            await editor.execute("SELECT bandoso.purge_history(now() + interval '1 hour', NULL, true)")
            await asyncio.sleep(SEEN)
            await live(app)
            assert not freshness.is_right(early, ["water_valve"], tile)
            assert freshness.is_right(freshness.stamp(), ["water_valve"], tile)

    asyncio.run(run())


def test_what_bandoso_writes_itself_is_followed_too(sample_db: Database, settings: Settings) -> None:
    """Findings have no changesets."""

    async def run() -> None:
        async with (
            serving(settings, sample_db) as (_app, client),
            await AsyncConnection.connect(sample_db.owner_dsn, autocommit=True) as checker,
        ):
            tile = address(16, of="/collections/finding")

            async def there() -> int:
                response = await client.get(tile)
                found = mapbox_vector_tile.decode(response.content) if response.status_code == 200 else {}
                return len(found.get("finding", {}).get("features", ()))

            before = await there()
            await steady(client, tile)
            await checker.execute(
                "INSERT INTO layer.finding (rule, severity, geom) SELECT 'GEN-01', 'E',"
                " ST_Transform(ST_SetSRID(ST_MakePoint(%s, %s), 4326), (SELECT ST_SRID(geom)"
                " FROM layer.water_valve LIMIT 1))",
                (LON, LAT),
            )
            await asyncio.sleep(SEEN)
            assert await there() == before + 1
            await checker.execute("DELETE FROM layer.finding WHERE rule = 'GEN-01'")
            await asyncio.sleep(SEEN)
            assert await there() == before

    asyncio.run(run())


def test_archives_are_served_where_nothing_changed(
    sample_db: Database, settings: Settings, city: City, catalogue: Catalogue, tmp_path: Path
) -> None:
    """One layer, some and all: the same bytes as rendered ones, an edit is seen, a new build is taken up."""
    paths = [
        address(z, of=of) + query
        for z in (14, 16)
        for of, query in ((VALVES, ""), ("", ""), ("", "?collections=water_valve,water_pipe"))
    ]

    async def bodies(client: httpx.AsyncClient) -> list[tuple[bytes, str | None]]:
        found = [await client.get(path) for path in paths]
        return [(one.content, one.headers.get("etag")) for one in found]

    async def run() -> None:
        async with await AsyncConnection.connect(sample_db.owner_dsn, autocommit=True) as owner:
            await owner.execute("TRUNCATE layer.base_sheet, layer.cadastre_sheet")  # they cover the city
        build_archives(sample_db.owner_dsn, city, catalogue, tmp_path)
        async with serving(settings, sample_db) as (_app, client):
            plain = await bodies(client)
        with_archives = replace(settings, tiles_dir=str(tmp_path))
        async with (
            serving(with_archives, sample_db) as (app, client),
            await AsyncConnection.connect(sample_db.owner_dsn, autocommit=True) as editor,
        ):
            await taken_up(app, client)
            await steady(client, *paths)
            stored = count(STORED)
            assert await bodies(client) == plain
            assert count(STORED) > stored

            made = await add_valve(editor)
            await asyncio.sleep(SEEN)
            for path in paths:
                if "/16/" in path:
                    assert made in fids(await client.get(path))
            await live(app)
            stored = count(STORED)
            await client.get(address(16, of="/collections/water_pipe"))
            assert count(STORED) == stored + 1  # the archive of a layer that was not touched

            build_archives(sample_db.owner_dsn, city, catalogue, tmp_path)
            await taken_up(app, client)
            await steady(client, *paths)
            assert made in fids(await client.get(paths[3]))
            assert made in fids(await client.get(paths[4]))

            file_of(tmp_path, "public").write_bytes(b"something else")
            await asyncio.sleep(2.5)
            await steady(client, paths[4])  # joined from the layers' own archives
            assert made in fids(await client.get(paths[4]))

    asyncio.run(run())


async def taken_up(app: Starlette, client: httpx.AsyncClient) -> None:
    """Wait until a tile of all layers comes from the archive."""
    async with asyncio.timeout(20):
        while True:
            stored = count(STORED)
            await client.get(address(16, of=""))
            if count(STORED) > stored:
                return
            await asyncio.sleep(0.1)
