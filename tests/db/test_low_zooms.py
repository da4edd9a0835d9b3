"""Low zooms follow what is written: stale in its transaction, derived from one snapshot, told by marks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import Connection

from gis.city import City
from gis.db.ddl import low_statement
from gis.db.low import prepare_low
from gis.db.server import Database
from layers.registry import Catalogue
from tests.conftest import ROOT
from tiles import cells
from tiles.cells import Cell
from tiles.refresh import APART, OWNER_DSN, bring_up

PARCEL = (
    "INSERT INTO layer.cadastre_parcel (land_use, geom)"
    " SELECT %(use)s, ST_MakeEnvelope(x, y, x + 20, y + 20, 9210)"
    " FROM (SELECT %(x)s::float8 AS x, %(y)s::float8 AS y) AS p RETURNING fid"
)
#: Middle of a cell, and of the one east of it.
X, Y = 512 * 1180 + 256, 512 * 2330 + 256


def add(connection: Connection, x: float = X, use: str = "ODT") -> int:
    row = connection.execute(PARCEL, {"use": use, "x": x, "y": Y}).fetchone()
    assert row is not None
    return int(row[0])


def rows(connection: Connection) -> list[tuple[object, ...]]:
    return connection.execute(
        "SELECT low__level, land_use, fid, round(ST_Area(geom)) FROM web.cadastre_parcel__low"
        " ORDER BY low__level, land_use, low__cell"
    ).fetchall()


def queue(connection: Connection) -> list[tuple[object, ...]]:
    return connection.execute(
        "SELECT layer, cell IS NULL, count(*) FROM bandoso.web_stale GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall()


def horizon(connection: Connection) -> int:
    row = connection.execute("SELECT bandoso.low_horizon()").fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def clean(module_db: Database, owner: Connection) -> Iterator[Connection]:
    """The owner's connection to a database without parcels, nothing of it stale."""
    owner.execute("DELETE FROM layer.cadastre_parcel")
    bring_up(module_db.owner_dsn, 1)
    assert queue(owner) == [] and rows(owner) == []
    yield owner


def test_what_is_written_is_stale_until_it_is_derived(module_db: Database, clean: Connection) -> None:
    before = horizon(clean)
    with pytest.raises(ZeroDivisionError), clean.transaction():
        add(clean)
        assert queue(clean) == [("cadastre_parcel", False, 1)]
        raise ZeroDivisionError
    assert queue(clean) == []
    add(clean)
    add(clean, X + 20)
    add(clean, X + 512, "CLN")
    assert queue(clean) == [("cadastre_parcel", False, 3)]
    stale = "SELECT bandoso.low_stale(%s, %s::box2d, %s::box2d)"
    near = f"BOX({X} {Y},{X + 1} {Y + 1})"
    nowhere = "BOX(0 0,1 1)"
    assert clean.execute(stale, [["cadastre_parcel"], near, nowhere]).fetchone() == (True,)
    assert clean.execute(stale, [["cadastre_parcel"], nowhere, nowhere]).fetchone() == (False,)
    assert clean.execute(stale, [["base_road"], near, nowhere]).fetchone() == (False,)

    clean.execute("LISTEN bandoso_low")
    assert bring_up(module_db.owner_dsn, 1) == 2
    assert queue(clean) == [] and clean.execute(stale, [["cadastre_parcel"], near, nowhere]).fetchone() == (
        False,
    )
    found = rows(clean)
    assert [row[:3] for row in found if row[0] == 14] == [(14, "CLN", None), (14, "ODT", None)]
    assert 800 < float(str(found[-1][3])) < 850  # two parcels of 400 m2 as one, in EPSG:3857
    told = [notice.payload for notice in clean.notifies(timeout=0.5, stop_after=1)]
    assert '"layer": "cadastre_parcel"' in told[0] and f'"mark": {horizon(clean)}' in told[0]
    (mark,) = clean.execute("SELECT * FROM bandoso.low_changes(%s, %s)", [before, horizon(clean)]).fetchall()
    assert mark[0] == before + 1 and len(mark[2]) == 2


def test_a_move_changes_both_cells_and_what_derives_the_same_nothing(
    module_db: Database, clean: Connection
) -> None:
    fid = add(clean)
    bring_up(module_db.owner_dsn, 1)
    before = horizon(clean)
    clean.execute("UPDATE layer.cadastre_parcel SET address = 'x' WHERE fid = %s", [fid])
    assert bring_up(module_db.owner_dsn, 1) == 0
    clean.execute("DELETE FROM layer.cadastre_parcel WHERE fid = %s", [add(clean, X + 100)])
    assert bring_up(module_db.owner_dsn, 1) == 1
    assert horizon(clean) == before
    clean.execute("UPDATE layer.cadastre_parcel SET geom = ST_Translate(geom, 512, 0) WHERE fid = %s", [fid])
    assert bring_up(module_db.owner_dsn, 1) == 2
    assert horizon(clean) == before + 1
    assert clean.execute("SELECT count(DISTINCT low__cell) FROM web.cadastre_parcel__low").fetchone() == (1,)
    clean.execute("DELETE FROM layer.cadastre_parcel WHERE fid = %s", [fid])
    bring_up(module_db.owner_dsn, 1)
    assert rows(clean) == [] and horizon(clean) == before + 2
    assert clean.execute(
        "SELECT count(*) FROM bandoso.low_cell WHERE layer = 'cadastre_parcel'"
    ).fetchone() == (0,)


def test_an_edit_that_a_refresh_did_not_see_stays_in_the_queue(
    module_db: Database, clean: Connection
) -> None:
    add(clean)
    (cell,) = cells.stale_cells(clean, 10)
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as other:
        layers = cells.low_layers(other)
        with cells._snapshot(other):
            other.execute("SELECT count(*) FROM bandoso.web_stale")
            add(clean, X + 20)  # committed meanwhile
            cells._refresh(other, layers[cell.layer], cell.number)
            cells._settle(other, cell)
    assert queue(clean) == [("cadastre_parcel", False, 1)]
    small = float(str(rows(clean)[-1][3]))
    bring_up(module_db.owner_dsn, 1)
    assert float(str(rows(clean)[-1][3])) == pytest.approx(2 * small, rel=0.01)


def test_a_table_in_the_place_of_another_is_derived_anew(
    module_db: Database, clean: Connection, catalogue: Catalogue, city: City
) -> None:
    add(clean)
    bring_up(module_db.owner_dsn, 1)
    before = horizon(clean)
    clean.execute(low_statement("cadastre_parcel"))  # as swap_statements do
    assert queue(clean) == [("cadastre_parcel", True, 1)]
    assert clean.execute(
        "SELECT bandoso.low_stale('{cadastre_parcel}', %s::box2d, %s::box2d)", ["BOX(0 0,1 1)"] * 2
    ).fetchone() == (True,)
    assert bring_up(module_db.owner_dsn, 1) == 1
    assert horizon(clean) == before  # the same rows: no tile changed
    clean.execute("DROP TRIGGER low_insert ON layer.cadastre_parcel")
    prepare_low(clean, catalogue, city)
    assert queue(clean) == [("cadastre_parcel", True, 1)]
    bring_up(module_db.owner_dsn, 1)
    prepare_low(clean, catalogue, city)
    assert queue(clean) == []
    clean.execute("TRUNCATE layer.cadastre_parcel")
    bring_up(module_db.owner_dsn, 1)
    assert rows(clean) == []


def test_a_definition_that_changed_is_derived_anew_and_one_that_went_is_taken_away(
    module_db: Database, clean: Connection, catalogue: Catalogue, city: City
) -> None:
    add(clean)
    bring_up(module_db.owner_dsn, 1)
    clean.execute(
        "UPDATE bandoso.low_layer SET definition = jsonb_set(definition, '{version}', '0')"
        " WHERE layer = 'cadastre_parcel'"
    )
    kept = rows(clean)
    prepare_low(clean, catalogue, city)
    assert rows(clean) == kept and queue(clean) == [("cadastre_parcel", True, 1)]  # serves until then
    bring_up(module_db.owner_dsn, 1)
    assert rows(clean) == kept
    clean.execute("UPDATE bandoso.low_layer SET layer = 'gone' WHERE layer = 'cadastre_parcel'")
    prepare_low(clean, catalogue, city)
    assert clean.execute("SELECT count(*) FROM bandoso.low_layer WHERE layer = 'gone'").fetchone() == (0,)
    bring_up(module_db.owner_dsn, 1)
    assert rows(clean) == kept


def test_forgotten_marks_mean_anywhere(clean: Connection) -> None:
    for _ in range(3):
        clean.execute("SELECT bandoso.low_changed('base_road', '[[0, 0, 1, 1]]')")
    last = horizon(clean)
    clean.execute("SELECT bandoso.low_forget(1)")
    assert horizon(clean) == last
    found = clean.execute("SELECT * FROM bandoso.low_changes(%s, %s)", [last - 3, last]).fetchall()
    assert (last - 1, "base_road", None) in found and found[-1] == (last, "base_road", [[0, 0, 1, 1]])
    assert clean.execute("SELECT count(*) FROM bandoso.low_changes(%s, %s)", [last - 1, last]).fetchone() == (
        1,
    )


def test_readers_see_rows_and_marks_and_no_queue(clean: Connection) -> None:
    with clean.transaction():
        clean.execute("SET LOCAL ROLE bandoso_reader")
        clean.execute("SELECT count(*) FROM web.cadastre_parcel__low")
        clean.execute("SELECT bandoso.low_horizon(), bandoso.low_stale('{base_road}', NULL, NULL)")
        clean.execute("SELECT * FROM bandoso.low_changes(0, 1)")
    for refused in (
        "SELECT * FROM bandoso.web_stale",
        "SELECT bandoso.low_changed('base_road', NULL)",
        "DELETE FROM web.cadastre_parcel__low",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), clean.transaction():
            clean.execute("SET LOCAL ROLE bandoso_reader")
            clean.execute(refused)


def test_workers_derive_the_same(
    module_db: Database, clean: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(12):
        add(clean, X + i * 512)
    bring_up(module_db.owner_dsn, 1)
    alone = rows(clean)
    clean.execute("DELETE FROM web.cadastre_parcel__low")
    clean.execute("DELETE FROM bandoso.low_cell")
    clean.execute(low_statement("cadastre_parcel"))
    monkeypatch.setattr("tiles.refresh.MANY", 2)
    told: list[tuple[int, int]] = []
    assert bring_up(module_db.owner_dsn, 2, lambda done, known: told.append((done, known))) == 12
    assert rows(clean) == alone and len(alone) == 12 * 3 and told[-1][1] == 12


def wait_for(connection: Connection, beyond: int, seconds: float = 120) -> float:
    """Seconds until the horizon is beyond a mark."""
    began = time.monotonic()
    while horizon(connection) <= beyond:
        assert time.monotonic() - began < seconds
        time.sleep(0.01)
    return time.monotonic() - began


def test_the_process_beside_the_server(module_db: Database, clean: Connection) -> None:
    add(clean, X + 5120)  # before it starts
    before = horizon(clean)
    told_only = "from tiles import refresh; refresh.LOOK = 3600.0; refresh.main()"  # not found by looking
    process = subprocess.Popen(
        [sys.executable, "-c", told_only],
        stdin=subprocess.PIPE,
        env={**os.environ, OWNER_DSN: module_db.owner_dsn},
        cwd=ROOT,
    )
    try:
        wait_for(clean, before)
        before = horizon(clean)
        add(clean)
        wait_for(clean, before)
        ended = clean.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE application_name = 'bandoso low zooms' AND datname = current_database()"
        ).fetchone()
        assert ended == (1,)
        before = horizon(clean)
        add(clean, X + 20)  # while nobody listens
        wait_for(clean, before)
        before, began = horizon(clean), time.monotonic()
        for place in range(2, 12):  # one after the other: derived together
            add(clean, X + 20 * place)
            time.sleep(0.02)
        while queue(clean):
            assert time.monotonic() - began < 120
            time.sleep(0.01)
        assert 1 <= horizon(clean) - before <= 2 + (time.monotonic() - began) / APART
        assert process.stdin is not None
        process.stdin.close()  # the server is gone
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.wait()


def test_a_cell_that_is_none_of_ours_is_settled(clean: Connection) -> None:
    clean.execute("INSERT INTO bandoso.web_stale (layer, cell) VALUES ('no_such_layer', 1)")
    cells.refresh(clean, cells.low_layers(clean), [Cell("no_such_layer", 1)])
    assert queue(clean) == []
