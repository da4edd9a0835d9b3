"""Archives are what would be rendered, whole or in parts, and nothing in them is hidden from anyone."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import mapbox_vector_tile
import psycopg
import pyogrio
import pytest
from click.testing import CliRunner
from pmtiles.reader import MmapSource, Reader, all_tiles
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.types import Message

from gis.api.archive import ROUTES
from gis.api.problems import on_known_error
from gis.api.state import State
from gis.city import City
from gis.cli_tiles import tiles as command
from gis.db.locks import FileLock
from gis.db.migrate import prepare
from gis.db.server import Database
from gis.errors import BandosoError, NotFoundError, UsageError
from gis.settings import Settings
from layers.registry import Catalogue
from tests.api.sample import load_layer
from tests.conftest import FreshDatabase
from tests.door_city import catalogue_with, fill, markers_in
from tiles.archive import Archive
from tiles.archive_write import Writer
from tiles.archived import PUBLIC, archived_layers, file_of, made_of
from tiles.build import Built, build
from tiles.grid import Tile
from tiles.hilbert import tile_id, tile_of
from tiles.packing import pack, unpack
from tiles.proof import stats, verify
from tiles.pyramid import occupied
from tiles.shelf import Shelf
from tiles.snapshot import snapshot

ROWS = 40
#: Some of each kind of geometry, of layers with and without rows for low zooms.
FILLED = ("cadastre_parcel", "water_pipe", "base_building", "telecom_pole", "base_road")


class TileCity:
    """A small city and the archives of it."""

    def __init__(self, db: Database, city: City, catalogue: Catalogue, folder: Path) -> None:
        self.db, self.city, self.catalogue, self.folder = db, city, catalogue, folder

    def build(self, folder: Path | None = None, **options: object) -> Built:
        return build(
            self.db.owner_dsn, self.city, self.catalogue, folder or self.folder, workers=2, **options
        )  # type: ignore[arg-type]

    def content(self, name: str = PUBLIC, folder: Path | None = None) -> dict[Tile, bytes]:
        """The plain tiles of an archive."""
        with Archive(file_of(folder or self.folder, name)) as archive:
            return {
                tile_of(e.first + i): unpack(archive.read(e.offset, e.length))
                for e in archive.entries()
                for i in range(e.run)
            }

    def all(self, folder: Path | None = None) -> dict[str, dict[Tile, bytes]]:
        where = folder or self.folder
        return {path.stem: self.content(path.stem, where) for path in sorted(where.glob("*.pmtiles"))}


@pytest.fixture(scope="module")
def town(module_db: Database, city: City, tmp_path_factory: pytest.TempPathFactory) -> TileCity:
    catalogue = catalogue_with(tmp_path_factory.mktemp("layers"), city)
    prepare(module_db.owner_dsn, city, catalogue)
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        # sheets lie in 60,000 tiles
        connection.execute("DELETE FROM layer.base_sheet; DELETE FROM layer.cadastre_sheet")
        fill(connection)
        for name in FILLED:
            load_layer(connection, catalogue.layers[name], city, ROWS)
    made = TileCity(module_db, city, catalogue, tmp_path_factory.mktemp("tiles"))
    built = made.build()
    assert built.whole
    assert built.rendered
    assert built.missing == 0
    return made


@pytest.fixture
def edited(town: TileCity, owner: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A connection for edits; afterwards the archives are those of what stands."""
    yield owner
    town.build()


def test_the_public_archive_is_all_layers_together(town: TileCity) -> None:
    found = town.all()
    assert found.keys() == {PUBLIC} | {layer.id for layer in archived_layers(town.catalogue)}
    together: dict[Tile, bytes] = {}
    for layer in archived_layers(town.catalogue):
        for tile, plain in found[layer.id].items():
            together[tile] = together.get(tile, b"") + plain
    assert found[PUBLIC] == together
    levels = {tile.z for tile in found["cadastre_parcel"]}
    assert {14, 15, 16} <= levels, "blocks stand for parcels before level 15"
    parcels: set[int] = set()
    for tile, plain in found["cadastre_parcel"].items():
        layers = mapbox_vector_tile.decode(plain)
        if tile.z == 16:
            parcels |= {feature["id"] for feature in layers["cadastre_parcel"]["features"]}
    assert len(parcels) == ROWS


def test_nothing_that_is_hidden_is_in_an_archive(town: TileCity) -> None:
    found = town.all()
    words = {word for tiles in found.values() for plain in tiles.values() for word in markers_in(plain)}
    assert words, "rows of public layers are there"
    assert not {word for word in words if word.startswith(("mksec", "mkoldsec"))}
    assert not {word for word in words if "shut" in word}
    assert "trial_shut" not in found
    assert not file_of(town.folder, "finding_restricted").exists()
    raw = b"".join(path.read_bytes() for path in town.folder.glob("*.pmtiles"))
    with Archive(file_of(town.folder, PUBLIC)) as archive:
        said = json.dumps(archive.metadata)
    assert "trial_shut" not in said
    assert b"trial_shut" not in raw
    with pytest.raises(UsageError, match="trial_shut"):
        town.build(only=["trial_shut"])


def test_others_read_it(town: TileCity) -> None:
    path = file_of(town.folder, PUBLIC)
    with path.open("rb") as file:
        theirs = {Tile(*zxy): gzip.decompress(data) for zxy, data in all_tiles(MmapSource(file))}
    assert theirs == town.content()
    # GDAL shows the deepest level of each layer
    read = pyogrio.read_info(path, layer="water_pipe")
    assert read["features"] or read["geometry_type"]
    frame = pyogrio.raw.read(path, layer="water_pipe")
    assert len(frame[2]) >= ROWS


def test_maps_read_the_file_by_ranges(town: TileCity, settings: Settings) -> None:
    """GET /tiles/public.pmtiles, as a PMTiles client asks; not when a layer of it became restricted."""
    path = file_of(town.folder, PUBLIC)
    app = Starlette(
        routes=list(ROUTES), exception_handlers={BandosoError: on_known_error, HTTPException: on_known_error}
    )

    def get(catalogue: Catalogue, **headers: str) -> httpx.Response:
        mine = replace(settings, tiles_dir=str(town.folder))
        app.state.bandoso = State(mine, town.city, catalogue, None)  # type: ignore[arg-type]  # asks nothing

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.get("/tiles/public.pmtiles", headers=headers)

        return asyncio.run(ask())

    whole = get(town.catalogue)
    assert whole.status_code == 200
    assert whole.content == path.read_bytes()
    etags = set()

    def part(offset: int, length: int) -> bytes:
        answer = get(town.catalogue, Range=f"bytes={offset}-{offset + length - 1}")
        assert answer.status_code == 206
        etags.add(answer.headers["etag"])
        return answer.content

    reader = Reader(part)
    tile, plain = next(iter(town.content().items()))
    assert gzip.decompress(reader.get(tile.z, tile.x, tile.y)) == plain
    assert len(etags) == 1
    pole = town.catalogue.layers["telecom_pole"]
    shut = replace(pole, definition=pole.definition.model_copy(update={"access": "restricted"}))
    hidden = replace(town.catalogue, layers={**town.catalogue.layers, "telecom_pole": shut})
    assert get(hidden).status_code == 404
    assert get(town.catalogue).status_code == 200


def test_a_file_that_is_replaced_is_sent_to_its_end(
    town: TileCity, settings: Settings, tmp_path: Path
) -> None:
    path = file_of(tmp_path, PUBLIC)
    path.write_bytes(before := file_of(town.folder, PUBLIC).read_bytes())
    app = Starlette(routes=list(ROUTES))
    app.state.bandoso = State(
        replace(settings, tiles_dir=str(tmp_path)),
        town.city,
        town.catalogue,
        None,  # type: ignore[arg-type]  # asks nothing
    )
    body = bytearray()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            assert dict(message["headers"])[b"content-length"] == str(len(before)).encode()
            (tmp_path / "new").write_bytes(b"x" * 100)
            (tmp_path / "new").replace(path)
        body.extend(message.get("body", b""))

    async def receive() -> Message:
        await asyncio.sleep(3600)
        raise AssertionError

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/tiles/public.pmtiles",
        "query_string": b"",
        "headers": [(b"host", b"test")],
    }
    opened = sum(1 for _ in Path("/proc/self/fd").iterdir())
    asyncio.run(app(scope, receive, send))
    assert body == before
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == opened


class _Unchanged:
    """Stands for what a server hears of changes: there are none."""

    def is_right(self, *_: object) -> bool:
        return True

    def needed_since(self, _: object) -> None:
        pass


def test_deep_tiles_of_some_layers_alone_are_rendered(town: TileCity, tmp_path: Path) -> None:
    """archive_alone_to: they are in no archive, and servers do not take them for empty; with anything else
    they are whole."""
    some = {"trial_mixed", "trial_open", "trial_plain"}
    layers = dict(town.catalogue.layers)
    for name in some & layers.keys():
        definition = layers[name].definition
        tiles = definition.tiles.model_copy(update={"archive_alone_to": 14})
        layers[name] = replace(layers[name], definition=definition.model_copy(update={"tiles": tiles}))
    catalogue = replace(town.catalogue, layers=layers)
    build(town.db.owner_dsn, town.city, catalogue, tmp_path, workers=2)
    content, before = town.content(folder=tmp_path), town.content()
    left_out = before.keys() - content.keys()
    assert left_out and all(tile.z > 14 for tile in left_out)
    assert all(mapbox_vector_tile.decode(before[tile]).keys() <= some for tile in left_out)
    assert all(content[tile] == before[tile] for tile in content)
    deep = [t for t in content if t.z > 14 and not some.isdisjoint(mapbox_vector_tile.decode(content[t]))]
    assert deep
    assert max(tile.z for tile in town.content("trial_plain", tmp_path)) == 14

    shelf = Shelf(tmp_path, _Unchanged())  # type: ignore[arg-type]
    shelf.look(catalogue)
    tile = next(iter(left_out))
    assert shelf.get_all(catalogue, tuple(some), tile) is None
    assert shelf.get(layers["trial_plain"], deep[0]) is None
    assert shelf.get(layers["water_pipe"], tile) == b""
    assert shelf.get_all(catalogue, tuple(some), deep[0])
    shelf.close()
    proof = verify(town.db.owner_dsn, town.city, catalogue, tmp_path, workers=2)
    assert (proof.wrong, proof.unused) == ([], {})

    with snapshot(town.db.owner_dsn) as now:
        parts = occupied(now.connection, archived_layers(catalogue), town.city.crs.storage, 16)
        order = [tile_id(tile.z, tile.x, tile.y) for part in parts for tile in part]
    assert order == sorted(set(order)) and len(order) >= len(before)


def test_changed_parts_are_what_a_whole_build_gives(
    town: TileCity, edited: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = town.content()
    moved = edited.execute("SELECT min(fid), max(fid) FROM layer.cadastre_parcel").fetchone()
    assert moved is not None
    edited.execute("UPDATE layer.cadastre_parcel SET parcel_no = 4711 WHERE fid = %s", [moved[0]])
    edited.execute("DELETE FROM layer.cadastre_parcel WHERE fid = %s", [moved[1]])
    edited.execute(
        "INSERT INTO layer.water_pipe (geom) SELECT ST_Force3D(ST_SetSRID(ST_MakeLine("
        "ST_MakePoint(615000, 1200000), ST_MakePoint(615900, 1200010)), 9210))"
    )
    # written by bandoso alone, so without changeset
    edited.execute(
        "INSERT INTO layer.base_sheet (asset_id, name, system, scale, geom)"
        " SELECT 'x', 'x', 'topographic', 5000, ST_MakeEnvelope(601000, 1191000, 601500, 1191500, 9210)"
    )
    built = town.build()
    assert not built.whole
    assert built.kept > 0
    # by worker processes, as a city is
    monkeypatch.setattr("tiles.build_worker.WORTH_WORKERS", 0)
    fresh = town.build(tmp_path, whole=True)
    monkeypatch.undo()
    assert fresh.whole
    assert fresh.rendered > built.rendered
    assert town.all() == town.all(tmp_path)
    assert town.content() != before
    assert town.build().rendered == 0, "nothing changed since"
    edited.execute("DELETE FROM layer.base_sheet")
    town.build()
    assert town.all() != town.all(tmp_path)


def test_archive_and_changes_are_what_is_rendered(town: TileCity, edited: psycopg.Connection) -> None:
    clean = verify(town.db.owner_dsn, town.city, town.catalogue, town.folder)
    assert (clean.wrong, clean.dirty, clean.unused) == ([], 0, {})
    assert clean.checked >= len(town.content())
    edited.execute("UPDATE layer.telecom_pole SET geom = ST_Translate(geom, 30, 0)")
    after = verify(town.db.owner_dsn, town.city, town.catalogue, town.folder)
    assert after.wrong == []
    assert after.dirty > 0
    levels = stats(town.db.owner_dsn, town.city, town.catalogue, town.folder, "telecom_pole")
    assert sum(level.dirty for level in levels.values()) > 0
    assert levels[16].largest_at in town.content("telecom_pole")
    with pytest.raises(NotFoundError, match="trial_shut"):
        stats(town.db.owner_dsn, town.city, town.catalogue, town.folder, "trial_shut")


def tamper(path: Path, what: Tile, plain: bytes | None) -> None:
    """The archive with another tile in one place (None: with none)."""
    with Archive(path) as old, Writer(path) as writer:
        number = tile_id(what.z, what.x, what.y)
        tiles = {e.first + i: old.read(e.offset, e.length) for e in old.entries() for i in range(e.run)}
        assert number in tiles
        if plain is None:
            del tiles[number]
        else:
            tiles[number] = pack(plain)
        for key in sorted(tiles):
            writer.add(key, tiles[key])
        writer.finish(old.metadata, old.header.bounds, (0, old.header.max_zoom))


@pytest.mark.parametrize("instead", [b"another tile", None])
def test_a_tile_that_is_not_right_is_found(town: TileCity, instead: bytes | None) -> None:
    what = max(town.content("water_pipe"), key=lambda tile: tile.z)
    path = file_of(town.folder, "water_pipe")
    right = path.read_bytes()
    try:
        tamper(path, what, instead)
        proof = verify(town.db.owner_dsn, town.city, town.catalogue, town.folder)
        assert proof.wrong == [("water_pipe", what)]
    finally:
        path.write_bytes(right)


def test_one_layer_anew(town: TileCity, edited: psycopg.Connection) -> None:
    """Of the layer all tiles, of the others what changed; other layers' files stay, with their own time."""
    tile = max(town.content("water_pipe"), key=lambda tile: tile.z)
    tamper(file_of(town.folder, "water_pipe"), tile, b"wrong")
    tamper(file_of(town.folder, PUBLIC), tile, b"wrong")
    edited.execute("UPDATE layer.base_road SET geom = ST_Translate(geom, 5, 5)")
    road = file_of(town.folder, "base_road").read_bytes()
    built = town.build(only=["water_pipe"])
    assert built.files.keys() == {PUBLIC, "water_pipe"}
    assert file_of(town.folder, "base_road").read_bytes() == road
    proof = verify(town.db.owner_dsn, town.city, town.catalogue, town.folder)
    assert proof.wrong == []
    with Archive(file_of(town.folder, PUBLIC)) as new, Archive(file_of(town.folder, "base_road")) as old:
        assert made_of(new).stamp.change > made_of(old).stamp.change


def test_a_build_that_is_stopped_changes_nothing(town: TileCity) -> None:
    before = {path.name: path.read_bytes() for path in town.folder.glob("*")}

    def stop(done: int, total: int | None) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        town.build(whole=True, report=stop)
    assert {path.name: path.read_bytes() for path in town.folder.glob("*")} == before
    assert not list(town.folder.glob(".*.part"))
    lock = FileLock(town.folder / ".lock")
    assert lock.try_exclusive()
    try:
        with pytest.raises(UsageError, match="another build"):
            town.build()
    finally:
        lock.close()


def test_what_cannot_be_brought_up_to_now_is_built_whole(
    town: TileCity, edited: psycopg.Connection, tmp_path: Path
) -> None:
    file_of(town.folder, PUBLIC).write_bytes(b"no archive")
    assert town.build().whole
    # of a changeset after the build it is not known any more what it changed
    edited.execute("UPDATE layer.base_road SET geom = ST_Translate(geom, 5, 5)")
    edited.execute("UPDATE layer.base_road SET geom = ST_Translate(geom, -5, -5)")
    edited.execute("SELECT * FROM bandoso.purge_history(now(), NULL, true)")
    with pytest.raises(NotFoundError, match="no archive that is in use"):
        verify(town.db.owner_dsn, town.city, town.catalogue, town.folder)
    assert town.build().whole


def test_tiles_whose_generalised_features_are_old_are_left_out(
    town: TileCity, owner: psycopg.Connection
) -> None:
    tiles = list(town.content("cadastre_parcel"))
    with snapshot(town.db.owner_dsn) as now:
        assert now.stale_tiles(tiles, archived_layers(town.catalogue), 9210) == frozenset()
    with owner.transaction(force_rollback=True):
        owner.execute("INSERT INTO bandoso.web_stale (layer) VALUES ('cadastre_parcel')")
        late = replace(now, connection=owner, stale=True)
        found = {tile_of(n) for n in late.stale_tiles(tiles, archived_layers(town.catalogue), 9210)}
    assert found == {tile for tile in tiles if tile.z < 15}


def test_commands(fresh_database: FreshDatabase, tmp_path: Path) -> None:
    db = fresh_database("t_tiles_command")
    env = {"BANDOSO_DSN": db.owner_dsn, "BANDOSO_TILES_DIR": str(tmp_path)}
    run = CliRunner()
    refused = run.invoke(command, ["stats", "--json"], env={"BANDOSO_DSN": db.owner_dsn})
    assert refused.exit_code == 3
    assert "archives" in refused.output
    none = run.invoke(command, ["verify", "--json"], env=env)
    assert none.exit_code == 2
    built = run.invoke(command, ["build", "--max-zoom", "10", "--json"], env=env)
    assert built.exit_code == 0, built.output
    done = json.loads(built.stdout)
    assert done["whole"]
    assert done["files"]["base_sheet"]["tiles"] > 0
    proof = run.invoke(command, ["verify", "--sample", "5", "--json"], env=env)
    assert proof.exit_code == 0, proof.output
    assert json.loads(proof.stdout)["checked"] == 5
    told = run.invoke(command, ["stats", "--json"], env=env)
    levels = json.loads(told.stdout)["levels"]
    assert sum(level["tiles"] for level in levels) == done["files"]["public"]["tiles"]
    tile = next(level["largest_at"] for level in levels if level["tiles"])
    z, y, x = map(int, tile.split("/"))
    tamper(tmp_path / "public.pmtiles", Tile(z, x, y), b"wrong")
    wrong = run.invoke(command, ["verify", "--all", "--json"], env=env)
    assert wrong.exit_code == 1
    assert json.loads(wrong.stdout)["differ"] == [{"archive": "public", "tile": tile}]
