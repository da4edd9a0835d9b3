"""``bandoso demo`` on a real database: complete tables, the same again, careful with others' data."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from gis.city import City
from gis.db.server import Database
from gis.demo.cli import fill_if_empty
from gis.demo.generate import LAYERS
from gis.demo.plan import Plan, make_plan
from gis.demo.write import write
from gis.errors import UsageError
from gis.settings import Settings
from layers.registry import Catalogue

SMALL = 2_500


def quiet(_done: int, _total: int | None) -> None:
    """No progress."""


def content(connection: psycopg.Connection) -> str:
    """A digest of all rows of all the demo's layers, but for what each run gives anew."""
    digest = hashlib.sha256()
    for layer in sorted(LAYERS):
        row = connection.execute(
            SQL(
                "SELECT md5(string_agg((to_jsonb(t) - 'fid' - 'load_id' - 'updated_at')::text, '|'"
                " ORDER BY asset_id)) FROM {} AS t"
            ).format(Identifier("layer", layer))
        ).fetchone()
        assert row is not None
        digest.update(f"{layer}:{row[0]};".encode())
    return digest.hexdigest()


def fill(db: Database, plan: Plan, city: City, catalogue: Catalogue) -> dict[str, int]:
    return write(db.owner_dsn, plan, city, catalogue, quiet)[0]


@pytest.fixture(scope="module")
def filled(module_db: Database, city: City, catalogue: Catalogue) -> dict[str, int]:
    return fill(module_db, make_plan(SMALL, 1), city, catalogue)


def test_counts_loads_and_tables_are_right(
    filled: dict[str, int], owner: psycopg.Connection, catalogue: Catalogue
) -> None:
    assert filled["cadastre_parcel"] == SMALL
    for layer in LAYERS:
        name = Identifier("layer", layer)
        row = owner.execute(
            SQL("SELECT count(*), bandoso.row_count(%s) FROM {}").format(name), [layer]
        ).fetchone()
        assert row == (filled.get(layer, 0), filled.get(layer, 0)), layer
        load = owner.execute(
            "SELECT source, mode, rows, rejected, finished_at IS NOT NULL FROM bandoso.load WHERE layer = %s"
            " ORDER BY id DESC LIMIT 1",
            [layer],
        ).fetchone()
        assert load == ("demo", "replace", filled.get(layer, 0), 0, True), layer
    left = owner.execute("SELECT relname FROM pg_class WHERE relname LIKE '%\\_\\_new%'").fetchall()
    assert left == []


def test_tables_are_what_the_catalogue_says(
    filled: dict[str, int], module_db: Database, city: City, catalogue: Catalogue
) -> None:
    from gis.db.apply import apply_catalogue

    with psycopg.connect(module_db.owner_dsn) as connection:
        assert apply_catalogue(connection, catalogue, city, dry_run=True) == []


def test_geometries_are_valid_where_the_database_judges_them(
    filled: dict[str, int], owner: psycopg.Connection
) -> None:
    for layer in LAYERS:
        query = SQL("SELECT count(*) FROM {} WHERE NOT ST_IsValid(geom) OR NOT ST_IsSimple(geom)")
        assert owner.execute(query.format(Identifier("layer", layer))).fetchone() == (0,), layer


def test_the_public_reads_public_fields_only(filled: dict[str, int], module_db: Database) -> None:
    with psycopg.connect(module_db.app_dsn) as connection:
        connection.execute("SET ROLE bandoso_reader")
        assert connection.execute("SELECT count(*) FROM layer.base_road").fetchone() != (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT count(*) FROM layer.water_meter")


def test_the_same_arguments_give_the_same_city_and_another_seed_another(
    filled: dict[str, int], module_db: Database, city: City, catalogue: Catalogue, owner: psycopg.Connection
) -> None:
    before = content(owner)
    fill(module_db, make_plan(SMALL, 2), city, catalogue)
    assert content(owner) != before
    # a smaller one leaves nothing of a larger one
    fill(module_db, make_plan(10, 1), city, catalogue)
    row = owner.execute("SELECT count(*) FROM layer.cadastre_parcel").fetchone()
    assert row == (10,)
    assert owner.execute("SELECT count(*) FROM layer.flood_spot").fetchone() == (2,)
    assert fill(module_db, make_plan(SMALL, 1), city, catalogue) == filled
    assert content(owner) == before


def test_workers_make_the_same_city_as_one_process(
    fresh_database, city: City, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gis.demo import work

    digests = []
    plan = make_plan(8_500, 1)
    assert len(plan.counts) == 5, "two tasks for processes"
    for name, limit in (("demo_many", 2), ("demo_one", 1_000)):
        monkeypatch.setattr(work, "WORTH_WORKERS", limit)
        db = fresh_database(name)
        fill(db, plan, city, catalogue)
        with psycopg.connect(db.owner_dsn) as connection:
            digests.append(content(connection))
    assert digests[0] == digests[1]


def pictures(connection: psycopg.Connection) -> dict[str, str]:
    """Layer and file of each raster."""
    rows = connection.execute("SELECT layer, name FROM bandoso.raster_file").fetchall()
    return dict(rows)


def test_fill_if_empty_fills_an_empty_database_only(
    fresh_database, settings: Settings, city: City, catalogue: Catalogue, tmp_path: Path
) -> None:
    db = fresh_database("demo_empty")
    settings = replace(settings, data_dir=tmp_path)
    assert fill_if_empty(settings, db, city, catalogue)
    with psycopg.connect(db.owner_dsn, autocommit=True) as connection:
        before = content(connection)
        found = pictures(connection)
        assert set(found) == {"base_elevation", "base_orthophoto"}
        assert all((settings.rasters_folder / layer / name).is_file() for layer, name in found.items())
        assert not fill_if_empty(settings, db, city, catalogue)
        assert content(connection) == before
        # One row of anything that people fill is enough to leave the database alone.
        for layer in LAYERS:
            connection.execute(SQL("DELETE FROM {}").format(Identifier("layer", layer)))
        connection.execute(
            "INSERT INTO layer.base_place (name, geom)"
            " VALUES ('Chợ Bến Thành', ST_SetSRID(ST_MakePoint(603481, 1191454), 9210))"
        )
        assert not fill_if_empty(settings, db, city, catalogue)


def test_a_running_load_keeps_the_demo_away(
    filled: dict[str, int], module_db: Database, city: City, catalogue: Catalogue, owner: psycopg.Connection
) -> None:
    owner.execute("SELECT pg_advisory_lock(hashtext('bandoso.load'), hashtext('water_pipe'))")
    before = content(owner)
    with pytest.raises(UsageError, match="a load into water_pipe is running"):
        fill(module_db, make_plan(10, 1), city, catalogue)
    assert content(owner) == before
    owner.execute("SELECT pg_advisory_unlock(hashtext('bandoso.load'), hashtext('water_pipe'))")


def test_readers_are_waited_for(
    filled: dict[str, int], module_db: Database, city: City, catalogue: Catalogue
) -> None:
    import threading

    with psycopg.connect(module_db.owner_dsn) as reader:
        reader.execute("SELECT count(*) FROM layer.base_road")  # and holds its lock
        thread = threading.Thread(target=fill, args=(module_db, make_plan(SMALL, 1), city, catalogue))
        thread.start()
        thread.join(8)
        assert thread.is_alive()
        # The reader goes on to other layers meanwhile: no deadlock, and it still sees one state.
        reader.execute("SELECT count(*) FROM layer.water_pipe")
        reader.rollback()
        thread.join(240)
        assert not thread.is_alive()


# --- the command -----------------------------------------------------------------------------------------


def command(folder: Path, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), **more}
    return subprocess.run(
        [sys.executable, "-m", "gis.cli", "demo", "--data-dir", str(folder), *args],
        capture_output=True,
        text=True,
        env=env,
        timeout=200,
    )


def test_the_command_refuses_others_data_and_stops_cleanly(
    reachable_tmp: Path, prepared_folder: Callable[[Path], Path]
) -> None:
    folder = prepared_folder(reachable_tmp / "demo-command")
    done = command(folder, "--parcels", "50", "--json")
    assert done.returncode == 0, done.stderr
    assert '"cadastre_parcel": 50' in done.stdout
    settings = Settings.from_env({}, data_dir=folder)
    from gis.db.server import database

    with database(settings) as db, psycopg.connect(db.owner_dsn, autocommit=True) as connection:
        before = content(connection)
        first = pictures(connection)
        assert set(first) == {"base_elevation", "base_orthophoto"}
        # Ctrl-C in the middle of a larger one.
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        process = subprocess.Popen(
            [sys.executable, "-m", "gis.cli", "demo", "--data-dir", str(folder), "--parcels", "40000"],
            env=env,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if connection.execute(
                "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'COPY%'"
            ).fetchone():
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130, errors
        assert "Traceback" not in errors
        assert content(connection) == before
        assert connection.execute(
            "SELECT count(*) FROM pg_class WHERE relname LIKE '%\\_\\_new%'"
        ).fetchone() == (0,)
        assert connection.execute(
            "SELECT count(*) FROM bandoso.load WHERE finished_at IS NULL"
        ).fetchone() == (0,)
        # Data of somebody else.
        connection.execute(
            "INSERT INTO layer.base_place (name, geom)"
            " VALUES ('Chợ Bến Thành', ST_SetSRID(ST_MakePoint(603481, 1191454), 9210))"
        )
        connection.execute(
            "UPDATE bandoso.raster_file SET source = 'mine.tif' WHERE layer = 'base_elevation'"
        )
        refused = command(folder, "--parcels", "50")
        assert refused.returncode == 2
        said = refused.stderr.replace("\n", " ")
        assert "base_place, base_elevation hold data that is not a demo's" in said
        replaced = command(folder, "--parcels", "50", "--replace")
        assert replaced.returncode == 0, replaced.stderr
        assert content(connection) == before
        assert pictures(connection) == first, "the same picture is not made again"


def test_a_wrong_number_is_one_sentence(reachable_tmp: Path) -> None:
    done = command(reachable_tmp / "demo-wrong", "--parcels", "0")
    assert done.returncode == 2
    assert "1 to 5,000,000" in done.stderr and "Traceback" not in done.stderr


def test_defects_are_written_and_listed(reachable_tmp: Path, prepared_folder: Callable[[Path], Path]) -> None:
    import json

    import numpy as np
    import shapely

    from gis import crs
    from gis.db.server import database
    from gis.demo.defects import RULES

    folder, path = prepared_folder(reachable_tmp / "demo-defects"), reachable_tmp / "defects.json"
    done = command(folder, "--parcels", "4500", "--no-rasters", "--defects", str(path), "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(path.read_text(encoding="utf-8"))
    assert (listed["seed"], listed["parcels"]) == (1, 4_500)
    assert {d["rule"] for d in listed["defects"]} == set(RULES)
    assert json.loads(done.stdout)["defects"] == len(listed["defects"])
    with database(Settings.from_env({}, data_dir=folder)) as db, psycopg.connect(db.owner_dsn) as connection:
        for d in listed["defects"]:
            # A point, or the line that is missing: a named feature touches it somewhere.
            lon, lat = np.atleast_2d(np.array(d["geometry"]["coordinates"]))[:, :2].T
            place = shapely.multipoints(np.column_stack(crs.transform_xy(lon, lat, 4326, 9210)))
            found = 0
            for layer in sorted({d["layer"], *(c["layer"] for c in d["changed"])}):
                rows = connection.execute(
                    SQL("SELECT ST_AsBinary(geom) FROM {} WHERE asset_id = ANY(%s)").format(
                        Identifier("layer", layer)
                    ),
                    [d["asset_ids"]],
                ).fetchall()
                near = [shapely.distance(shapely.from_wkb(r[0]), place) for r in rows]
                found += sum(distance < 0.1 for distance in near)
            assert found, d
    before = path.read_bytes()
    assert command(folder, "--parcels", "4500", "--no-rasters", "--defects", str(path)).returncode == 0
    assert path.read_bytes() == before


def test_a_list_that_cannot_be_written_is_said_first(reachable_tmp: Path) -> None:
    done = command(reachable_tmp / "demo-wrong", "--defects", str(reachable_tmp / "no" / "such.json"))
    assert done.returncode == 2
    assert "cannot be written" in done.stderr and "Traceback" not in done.stderr
