"""A tile that is kept is never older than a second: edits, lost listeners, transactions that take long."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import mapbox_vector_tile
import psycopg
import pytest
from psycopg import AsyncConnection
from starlette.applications import Starlette

from gis.api.access_log import LineWriter
from gis.api.app import build
from gis.api.tiles import KEPT, RENDERED
from gis.db.server import Database
from gis.settings import Settings
from tests.api.sample import VECTORS
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
            serving(settings, sample_db) as (_app, client),
            await AsyncConnection.connect(sample_db.owner_dsn, autocommit=True) as editor,
        ):
            tile, elsewhere = address(17), address(17, lon=LON + 0.02)
            before = fids(await client.get(tile))
            await client.get(elsewhere)
            rendered, kept = count(RENDERED), count(KEPT)
            for _ in range(5):
                assert fids(await client.get(tile)) == before
                await client.get(elsewhere)
            assert count(RENDERED) == rendered
            assert count(KEPT) == kept + 10

            made = await add_valve(editor)
            await asyncio.sleep(SEEN)
            assert fids(await client.get(tile)) == before | {made}
            assert count(RENDERED) == rendered + 1
            await client.get(elsewhere)
            assert count(RENDERED) == rendered + 1  # untouched: still right
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
            rendered = count(RENDERED)
            await client.get(tile)
            assert count(RENDERED) == rendered  # it is trusted again
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
            await client.get(tile)
            rendered = count(RENDERED)
            await client.get(tile)
            assert count(RENDERED) == rendered
            app.state.freshness._task.cancel()
            await asyncio.sleep(FRESH + 0.1)
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
