"""Loading rasters: twice is once, all or nothing, an end in between changes nothing, who sees the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import rasterio
from rasterio.transform import from_origin

from gis.city import City
from gis.crs.raster import labelled
from gis.db import rasters
from gis.db.server import Database
from gis.errors import DatabaseError, LoadRefused, NotFoundError
from gis.ingest.raster import whole
from gis.ingest.raster.load import RasterLoad, RasterReport, load_rasters
from gis.settings import Settings
from layers.registry import Catalogue

LAYER = "base_elevation"
Load = Callable[..., RasterReport]


@pytest.fixture
def mine(settings: Settings, tmp_path: Path) -> Settings:
    """Settings with a raster folder of the test's own."""
    return replace(settings, data_dir=tmp_path / "data")


@pytest.fixture
def load(mine: Settings, owner: psycopg.Connection, city: City, catalogue: Catalogue) -> Iterator[Load]:
    """``load(*files, **options)`` into LAYER, which is empty before and after."""

    def run(*files: Path, tell: Any = lambda _done, _total: None, **options: Any) -> RasterReport:
        return load_rasters(mine, owner, city, catalogue, RasterLoad(files, LAYER, **options), tell)

    yield run
    owner.execute("DELETE FROM bandoso.raster_file")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], Path]:
    """A small elevation model of one height."""
    folder = tmp_path_factory.mktemp("given")

    def make(height: float) -> Path:
        path = folder / f"{height:g}.tif"
        if not path.exists():
            with rasterio.open(
                path, "w", driver="GTiff", width=40, height=30, count=1, dtype="float32",
                crs=labelled(9210), transform=from_origin(603000, 1192000, 2, 2),
            ) as target:  # fmt: skip
                target.write(np.full((1, 30, 40), height, np.float32))
        return path

    return make


@pytest.fixture(scope="module")
def given_at(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """The n-th of elevation models that lie side by side, 80 m wide, with the height n + 1."""
    folder = tmp_path_factory.mktemp("beside")

    def make(number: int) -> Path:
        path = folder / f"part{number}.tif"
        with rasterio.open(
            path, "w", driver="GTiff", width=40, height=30, count=1, dtype="float32",
            crs=labelled(9210), transform=from_origin(603000 + 80 * number, 1192000, 2, 2),
        ) as target:  # fmt: skip
            target.write(np.full((1, 30, 40), number + 1, np.float32))
        return path

    return make


def folder_of(settings: Settings) -> list[str]:
    return sorted(path.name for path in (settings.rasters_folder / LAYER).glob("*"))


def rows_of(owner: psycopg.Connection) -> list[tuple[Any, ...]]:
    return owner.execute("SELECT source, name FROM bandoso.raster_file ORDER BY source").fetchall()


def test_a_file_is_taken_once_and_replaced_as_a_whole(
    load: Load, given: Callable[[float], Path], mine: Settings, owner: psycopg.Connection
) -> None:
    generation = "SELECT generation FROM bandoso.raster_layer WHERE id = %s"
    before = owner.execute(generation, (LAYER,)).fetchone()
    first = load(given(1))
    assert (first.count("loaded"), first.files[0].lowest) == (1, 1.0)
    assert owner.execute(generation, (LAYER,)).fetchone() != before
    assert load(given(1)).count("unchanged") == 1
    # One of two is refused: appending takes the other, replacing takes none.
    both = load(given(2), given(9000))
    assert [one.outcome for one in both.files] == ["loaded", "refused"]
    assert both.files[1].code == "impossible-height"
    standing = rows_of(owner)
    with pytest.raises(LoadRefused):
        load(given(3), given(9000), mode="replace")
    assert rows_of(owner) == standing
    done = load(given(1), given(3), mode="replace")
    assert (done.count("unchanged"), done.count("loaded"), done.removed) == (1, 1, 1)
    assert [source for source, _ in rows_of(owner)] == ["1.tif", "3.tif"]
    assert folder_of(mine) == sorted(name for _, name in rows_of(owner))
    assert not list((mine.rasters_folder / ".work").iterdir())


def test_an_end_in_between_leaves_the_layer_as_it_was(
    load: Load,
    given: Callable[[float], Path],
    mine: Settings,
    owner: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load(given(1))
    before = rows_of(owner), folder_of(mine)

    def stop(_done: int, _total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(given(4), mode="replace", tell=stop)
    assert (rows_of(owner), folder_of(mine)) == before
    # The database goes away between the rename and the commit.
    with monkeypatch.context() as patch:
        patch.setattr(rasters, "change_files", stop_with(psycopg.OperationalError("gone")))
        with pytest.raises(psycopg.OperationalError):
            load(given(4))
    assert (rows_of(owner), folder_of(mine)) == before
    # Killed there, it leaves a file that nobody knows; the next load takes it away.
    (mine.rasters_folder / LAYER / "0123456789abcdef.tif").write_bytes(b"left behind")
    load(given(1))
    assert (rows_of(owner), folder_of(mine)) == before


def stop_with(error: Exception) -> Callable[..., None]:
    def stop(*_arguments: Any, **_options: Any) -> None:
        raise error

    return stop


def test_a_layer_of_many_files_has_an_overview(
    load: Load,
    given_at: Callable[[int], Path],
    mine: Settings,
    owner: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(whole, "MOST_FILES", 3)
    files = [given_at(n) for n in range(5)]
    assert load(*files[:3]).overview_m is None
    done = load(*files[3:])
    assert done.count("loaded") == 2 and done.removed == 0
    (name,) = [name for name in folder_of(mine) if rasters.is_overview(name)]
    assert name in [name for _, name in rows_of(owner)]
    assert rasters.count_files(owner)[LAYER][0] == 5
    with rasterio.open(mine.rasters_folder / LAYER / name) as source:
        assert source.res[0] == done.overview_m and source.bounds.left <= 603000
        x = [603000 + 80 * n + 40 for n in range(5)]
        found = [value[0] for value in source.sample([(one, 1191970) for one in x])]
        assert found == [1, 2, 3, 4, 5]
    before = owner.execute("SELECT generation FROM bandoso.raster_layer WHERE id = %s", (LAYER,)).fetchone()
    assert load(*files, mode="replace").overview_m is None
    after = owner.execute("SELECT generation FROM bandoso.raster_layer WHERE id = %s", (LAYER,)).fetchone()
    assert after == before, "nothing has changed"
    # Other files, another overview; few files, none.
    assert load(*files[:4], mode="replace").removed == 1
    (other,) = [name for name in folder_of(mine) if rasters.is_overview(name)]
    assert other != name
    assert load(*files[:2], mode="replace").removed == 2
    assert folder_of(mine) == sorted(name for _, name in rows_of(owner))
    assert len(folder_of(mine)) == 2


def test_a_dry_run_needs_no_database_and_changes_nothing(
    mine: Settings, given: Callable[[float], Path], city: City, catalogue: Catalogue
) -> None:
    wanted = RasterLoad((given(1),), LAYER, dry_run=True)
    report = load_rasters(mine, None, city, catalogue, wanted, lambda _done, _total: None)
    assert report.count("checked") == 1 and report.files[0].bytes == 0
    assert not mine.rasters_folder.exists()
    with pytest.raises(NotFoundError, match="no raster layer"):
        load_rasters(mine, None, city, catalogue, replace(wanted, layer="base_road"), lambda _d, _t: None)


def test_one_load_of_a_layer_at_a_time(
    load: Load, given: Callable[[float], Path], module_db: Database, catalogue: Catalogue
) -> None:
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as other:
        assert rasters.lock_files(other, catalogue.rasters[LAYER])
        with pytest.raises(DatabaseError, match="another load"):
            load(given(1))


def test_rows_are_seen_by_whom_the_layer_is_for(
    load: Load, given: Callable[[float], Path], owner: psycopg.Connection
) -> None:
    load(given(1))
    count = "SELECT count(*) FROM bandoso.raster_file"
    with owner.transaction():
        owner.execute("SET LOCAL ROLE bandoso_reader")
        assert owner.execute(count).fetchone() == (1,)
    owner.execute("UPDATE bandoso.raster_layer SET access = 'restricted' WHERE id = %s", (LAYER,))
    try:
        for role in ("bandoso_reader", "bandoso_member"):
            with owner.transaction():
                owner.execute(f"SET LOCAL ROLE {role}")
                assert owner.execute(count).fetchone() == (0,), role
    finally:
        owner.execute("UPDATE bandoso.raster_layer SET access = 'public' WHERE id = %s", (LAYER,))
    with owner.transaction(), pytest.raises(psycopg.errors.InsufficientPrivilege):
        owner.execute("SET LOCAL ROLE bandoso_reader")
        owner.execute("DELETE FROM bandoso.raster_file")
