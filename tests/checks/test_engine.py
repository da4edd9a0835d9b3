"""A whole city in a real database: the same findings however it is cut and by whomever it is judged, and
findings that stay the same from run to run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import orjson
import psutil
import psycopg
import pytest
import shapely

from gis.checks import plan
from gis.checks.model import Outcome
from gis.checks.run import Stopped
from gis.city import City
from gis.db.server import Database
from layers.registry import Catalogue
from tests.checks.engine_city import CheckedCity, brief, fill

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def checked(module_db: Database, city: City, catalogue: Catalogue) -> CheckedCity:
    return fill(module_db, city, catalogue, parcels=500)  # it is judged a dozen times


@pytest.fixture(scope="module")
def whole(checked: CheckedCity) -> Outcome:
    """A run in this process; nothing is stored."""
    return checked.run(store=False)


@pytest.fixture(scope="module")
def first(whole: Outcome) -> list[tuple[object, ...]]:
    """What it finds."""
    return brief(whole)


def test_windows_do_not_matter(checked: CheckedCity, first: list[tuple[object, ...]]) -> None:
    assert len(first) > 40
    assert brief(checked.run(store=False, window=400)) == first


def test_windows_that_are_divided_do_not_matter(
    checked: CheckedCity, first: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker divides windows that hold more than the plan, which knows a sample, has thought."""
    monkeypatch.setattr(plan, "SAMPLE", 0)
    monkeypatch.setattr(plan, "SPARE", 0.5)
    assert brief(checked.run(store=False, window=2_200)) == first


def test_worker_processes_find_the_same(checked: CheckedCity, first: list[tuple[object, ...]]) -> None:
    outcome = checked.run(store=False, workers=2, window=1_500)
    assert brief(outcome) == first
    assert not outcome.undecided
    assert {app.key for app in outcome.applications if app.rule.scope == "local"} <= set(outcome.seconds)


def test_a_killed_worker_costs_its_window_only(checked: CheckedCity, first: list[tuple[object, ...]]) -> None:
    killed: list[int] = []

    def kill(done: int, _total: int | None) -> None:
        workers = _workers(os.getpid())
        if done and not killed and workers:
            killed.append(workers[0].pid)
            workers[0].kill()

    outcome = checked.run(store=False, workers=2, window=1_000, progress=kill)
    assert killed
    assert brief(outcome) == first
    assert not outcome.undecided


def test_an_area_gives_what_a_whole_run_gives_there(checked: CheckedCity, whole: Outcome) -> None:
    every = list(whole.findings())
    places = [one.finding.where for one in every]
    tree = shapely.STRtree(places)
    for centre in places[:: len(places) // 3]:
        area = shapely.box(*centre.buffer(60).bounds)
        wanted = sorted(every[i].id for i in tree.query(area, predicate="intersects"))
        local = {a.key for a in checked.apps() if a.rule.scope == "local"}
        outcome = checked.run(store=False, area=area)
        found = sorted(one.id for one in outcome.findings())
        missing = set(wanted) - set(found)
        assert set(found) <= set(wanted)
        # What judges the whole city only says so.
        assert all(w.split("-")[0] + "-" + w.split("-")[1] in " ".join(outcome.undecided) for w in missing)
        assert local


def test_stopping_changes_nothing(checked: CheckedCity) -> None:
    before = checked.table()
    with pytest.raises(Stopped):
        checked.run("GEN", workers=1, stop=lambda: True)
    assert checked.table() == before
    assert not _workers(os.getpid())


def test_ctrl_c_changes_nothing(checked: CheckedCity) -> None:
    before = checked.table()
    process = subprocess.Popen(
        [sys.executable, "-m", "gis.cli", "check", "--dsn", checked.db.owner_dsn],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    workers: list[psutil.Process] = []
    deadline = time.monotonic() + 60
    while not workers and time.monotonic() < deadline:
        time.sleep(0.02)
        workers = _workers(process.pid)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert checked.table() == before
    assert not psutil.wait_procs(workers, timeout=120)[1]


def _workers(parent: int) -> list[psutil.Process]:
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(parent).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if any("gis.checks.worker" in part for part in child.cmdline()):
                    found.append(child)
    return found


# --- over time: these run in their order --------------------------------------------------------------


def test_rerun_finds_the_same_findings_and_writes_nothing(checked: CheckedCity) -> None:
    outcome = checked.run()
    assert outcome.new == len(list(outcome.findings())) > 40
    before = checked.table()
    changed = checked.execute("SELECT bandoso.last_change('finding')")
    again = checked.run()
    assert (again.new, again.mended) == (0, 0)
    assert again.counts == outcome.counts
    assert checked.table() == before
    assert checked.execute("SELECT bandoso.last_change('finding')") == changed
    assert {one.news for one in again.findings()} == {"again"}
    # It was seen again, though nothing was written.
    assert all(one.last_seen >= again.started for one in again.findings())


def broken_road(checked: CheckedCity) -> tuple[str, int]:
    """A finding about a vertex that is there twice, and the road's fid."""
    [(name, features)] = checked.execute(
        "SELECT asset_id, features FROM layer.finding WHERE rule = 'GEN-05' AND layers = 'base_road' LIMIT 1"
    )
    return name, orjson.loads(features)[0]["fid"]


def mend_road(checked: CheckedCity, fid: int) -> bytes:
    """Take the second vertex out; gives the road as it was."""
    [(broken,)] = checked.execute("SELECT ST_AsEWKB(geom) FROM layer.base_road WHERE fid = %s", fid)
    checked.execute(
        "UPDATE layer.base_road SET geom = ST_RemoveRepeatedPoints(geom, 0.001) WHERE fid = %s", fid
    )
    return broken


def break_road(checked: CheckedCity, fid: int, broken: bytes) -> None:
    checked.execute("UPDATE layer.base_road SET geom = %s::geometry WHERE fid = %s", broken, fid)


def test_mended_and_broken_again_is_the_same_finding(checked: CheckedCity) -> None:
    name, fid = broken_road(checked)
    [(first_seen, version)] = checked.execute(
        "SELECT first_seen, version FROM layer.finding WHERE asset_id = %s", name
    )
    broken = mend_road(checked, fid)
    outcome = checked.run("GEN-05")
    assert (outcome.new, outcome.mended) == (0, 1)
    [mended] = [one for one in outcome.findings() if one.news == "mended"]
    assert (mended.id, mended.state) == (name, "mended")
    assert mended.last_seen < outcome.started
    again = checked.run("GEN-05")
    assert (again.new, again.mended) == (0, 0)

    break_road(checked, fid, broken)
    outcome = checked.run("GEN-05")
    assert (outcome.new, outcome.mended) == (1, 0)
    assert checked.execute(
        "SELECT state, first_seen, version FROM layer.finding WHERE asset_id = %s", name
    ) == [("open", first_seen, version + 2)]


def test_a_run_over_some_rules_mends_no_others(checked: CheckedCity) -> None:
    standing = checked.execute("SELECT count(*) FROM layer.finding WHERE state = 'open'")
    checked.run("CAD-01")
    checked.run(apps=[app for app in checked.apps("GEN-05") if app.layers == ("base_railway",)])
    assert checked.execute("SELECT count(*) FROM layer.finding WHERE state = 'open'") == standing


def test_an_area_mends_only_what_is_in_it(checked: CheckedCity) -> None:
    rows = checked.execute("SELECT fid, ST_AsEWKB(geom) FROM layer.base_road ORDER BY ST_XMin(geom)")
    roads = [(fid, geometry, shapely.from_wkb(geometry)) for fid, geometry in (rows[0], rows[-1])]
    assert roads[0][2].distance(roads[1][2]) > 100
    for fid, _, shape in roads:
        first = shapely.get_geometry(shape, 0)
        twice = shapely.MultiLineString([[first.coords[0], *first.coords], *list(shape.geoms)[1:]])
        checked.execute(
            "UPDATE layer.base_road SET geom = ST_SetSRID(%s::geometry, ST_SRID(geom)) WHERE fid = %s",
            shapely.to_wkb(twice),
            fid,
        )
    assert checked.run("GEN-05").new == 2
    for fid, was, _ in roads:
        checked.execute("UPDATE layer.base_road SET geom = %s::geometry WHERE fid = %s", was, fid)
    place = shapely.Point(shapely.get_geometry(roads[0][2], 0).coords[0])
    outcome = checked.run("GEN-05", area=place.buffer(5))
    assert outcome.mended == 1
    assert checked.run("GEN-05", area=shapely.box(0, 0, 10, 10)).mended == 0
    assert checked.run("GEN-05").mended == 1


def test_accepted_stays_accepted_until_its_day(checked: CheckedCity) -> None:
    [(name,)] = checked.execute("SELECT asset_id FROM layer.finding WHERE rule = 'CAD-01' LIMIT 1")
    checked.execute(
        "UPDATE layer.finding SET state = 'accepted', accepted_reason = 'as measured',"
        " accepted_until = '2026-06-30' WHERE asset_id = %s",
        name,
    )

    def state() -> object:
        return checked.execute("SELECT state, accepted_reason FROM layer.finding WHERE asset_id = %s", name)

    errors = checked.run("CAD-01").errors()
    on_the_day = replace(checked.setting, today=date(2026, 6, 30))
    outcome = checked.run("CAD-01", setting=on_the_day)
    assert (outcome.accepted, outcome.errors()) == (1, errors)
    assert state() == [("accepted", "as measured")]
    later = replace(checked.setting, today=date(2026, 7, 1))
    outcome = checked.run("CAD-01", setting=later)
    assert (outcome.accepted, outcome.errors()) == (0, errors + 1)
    assert state() == [("open", "as measured")]


def test_a_reload_with_new_fids_keeps_identity(checked: CheckedCity) -> None:
    before = {row[0] for row in checked.table() if row[3] == "open"}
    for layer in ("cadastre_parcel", "water_pipe", "base_landuse"):
        # as a load does that replaces the table: no trigger keeps the fids
        checked.execute(
            "SET session_replication_role = replica;"
            f" UPDATE layer.{layer} SET fid = fid + 1000000;"
            " SET session_replication_role = origin"
        )
    outcome = checked.run()
    assert (outcome.new, outcome.mended) == (0, 0)
    assert {row[0] for row in checked.table() if row[3] == "open"} == before
    overlaps = [one.finding for one in outcome.findings() if one.finding.rule == "CAD-01"]
    assert overlaps
    assert all(ref.fid > 1_000_000 for one in overlaps for ref in one.features)


def test_findings_about_restricted_layers_are_nobodys_to_see(checked: CheckedCity) -> None:
    checked.execute(
        "INSERT INTO layer.power_meter (asset_id, geom)"
        " SELECT asset_id || '-far', ST_Translate(geom, -85000, 0) FROM layer.power_meter LIMIT 1"
    )
    outcome = checked.run("GEN-11")
    [found] = [one for one in outcome.findings() if one.finding.features[0].layer == "power_meter"]
    assert found.finding.restricted
    assert checked.execute("SELECT count(*) FROM layer.finding_restricted") == [(1,)]
    assert checked.execute("SELECT count(*) FROM layer.finding WHERE layers LIKE '%%power_meter%%'") == [(0,)]
    with psycopg.connect(checked.db.owner_dsn, autocommit=True) as connection:
        connection.execute("SET ROLE bandoso_reader")
        for query in (
            "SELECT count(*) FROM layer.finding_restricted",
            "SELECT asset_id FROM layer.finding_restricted",
            "SELECT * FROM bandoso.finding_key",
            "SELECT * FROM bandoso.check_run",
            "SELECT * FROM bandoso.check_edit",
            "SELECT * FROM bandoso.check_due",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(query.encode())
        assert connection.execute("SELECT bandoso.row_count('finding_restricted')").fetchone() == (0,)
        assert connection.execute("SELECT bandoso.row_count('finding') > 0").fetchone() == (True,)
