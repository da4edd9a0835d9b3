"""Layer files of an operator: a network and rules of their own, and what a broken file does to the others."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psycopg
import pytest
import shapely

from gis.checks.concern import Change
from gis.checks.incremental import recheck
from gis.checks.registry import applications, mistakes
from gis.checks.run import run_checks
from gis.checks.window import Setting
from gis.city import City
from gis.db.migrate import prepare
from gis.db.server import Database
from gis.settings import Settings

HEAT = """
sector: {id: heat, title: {vi: Nhiệt, en: Heat}, order: 90, colour: '#aa3300'}
layers:
  heat_pipe:
    title: {vi: Ống nhiệt, en: Heat pipe}
    geometry: LineString
    owner: sawaco
    fields: [{name: size_mm, type: integer, title: {vi: Cỡ, en: Size}}]
    style: {colour: '#aa3300', width: {10: 1}}
    tiles: {min_zoom: 10}
    checks: {GEN-07: {reject: true}, GEN-11: false}
  heat_node:
    title: {vi: Nút nhiệt, en: Heat node}
    geometry: Point
    owner: sawaco
    fields: [{name: kind, title: {vi: Loại, en: Kind}}]
    style: {colour: '#aa3300'}
    tiles: {min_zoom: 10}
    checks: {GEN-11: false}
networks:
  heat:
    title: {vi: Mạng nhiệt, en: Heat network}
    flow: pressure
    lines: [{layer: heat_pipe}]
    nodes: [{layer: heat_node}]
    sources: [{layer: heat_node, where: {kind: [plant]}}]
    ends: [{layer: heat_node, where: {kind: [customer]}}]
    checks: {NET-01: {reject: true}, NET-02: {reject: true}, NET-06: {reject: false}, NET-09: {}}
"""
X, Y = 605_000.0, 1_192_000.0


@dataclass
class Operated:
    db: Database
    city: City
    folder: Path

    @property
    def settings(self) -> Settings:
        return Settings.from_env({}, data_dir=self.folder)

    @property
    def setting(self) -> Setting:
        return Setting(self.city, self.settings.load_catalogue(self.city), date(2026, 1, 1))

    def write(self, text: str, name: str = "heat.yml") -> None:
        (self.folder / "layers" / name).write_text(text)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        given = ["--dsn", self.db.owner_dsn, "--data-dir", str(self.folder)]
        return subprocess.run(
            [sys.executable, "-m", "gis.cli", *arguments, *given], capture_output=True, text=True, check=False
        )


@pytest.fixture(scope="module")
def operated(module_db: Database, city: City, tmp_path_factory: pytest.TempPathFactory) -> Operated:
    folder = tmp_path_factory.mktemp("operator")
    (folder / "layers").mkdir()
    one = Operated(module_db, city, folder)
    one.write(HEAT)
    prepare(module_db.owner_dsn, city, one.settings.load_catalogue(city))
    lines: dict[str, list[tuple[float, float]]] = {
        "P1": [(0, 0), (50, 0)],
        "P2": [(50.0625, 0), (100, 0)],
        "P3": [(0, 100), (50, 100)],
    }
    nodes = {"N1": ("plant", 0, 0), "N2": ("customer", 100, 0), "N3": ("joint", 50, 0)}
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        for asset_id, places in lines.items():
            line = shapely.LineString([(X + x, Y + y) for x, y in places])
            connection.execute(
                "INSERT INTO layer.heat_pipe (asset_id, geom) VALUES (%s, ST_GeomFromText(%s, 9210))",
                [asset_id, line.wkt],
            )
        for asset_id, (kind, x, y) in nodes.items():
            connection.execute(
                "INSERT INTO layer.heat_node (asset_id, kind, geom) VALUES (%s, %s, ST_Point(%s, %s, 9210))",
                [asset_id, kind, X + x, Y + y],
            )
    return one


@pytest.fixture(autouse=True)
def as_before(operated: Operated) -> Iterator[None]:
    yield
    operated.write(HEAT)
    (operated.folder / "layers" / "broken.yml").unlink(missing_ok=True)


def told(operated: Operated) -> list[tuple[str, str]]:
    with psycopg.connect(operated.db.owner_dsn) as connection:
        rows = connection.execute(
            "SELECT rule, features::jsonb -> 0 ->> 'asset_id' FROM layer.finding WHERE state = 'open'"
        ).fetchall()
    return sorted((str(rule), str(asset_id)) for rule, asset_id in rows)


def test_a_network_of_the_operator_is_judged(operated: Operated) -> None:
    setting = operated.setting
    apps = [app for app in applications(setting.catalogue) if app.network == "heat"]
    assert {(app.rule.id, app.reject) for app in apps} == {
        ("NET-01", True), ("NET-02", True), ("NET-06", False), ("NET-09", None),
    }  # fmt: skip
    run_checks(operated.db, setting, apps, workers=0)
    # P1 begins at the plant: a source may stand at an end. P3 hangs on nothing.
    assert told(operated) == [("NET-01", "P2"), ("NET-02", "P3"), ("NET-02", "P3"), ("NET-09", "P3")]


@pytest.mark.parametrize(
    ("to", "rules"), [((40, 5), {"NET-02"}), ((50, 0.03125), {"NET-01"}), ((0.125, 0), {"NET-02"})]
)
def test_rules_refuse_edits_as_the_file_says(
    operated: Operated, to: tuple[float, float], rules: set[str]
) -> None:
    """A dangle is a warning, which would be stored; a short line an error, which would be refused."""
    setting = operated.setting
    with psycopg.connect(operated.db.owner_dsn) as connection:
        row = connection.execute(
            "SELECT fid, ST_AsBinary(geom) FROM layer.heat_pipe WHERE asset_id = 'P1'"
        ).fetchone()
        assert row is not None
        old = shapely.from_wkb(row[1])
        new = shapely.LineString([(X, Y), (X + to[0], Y + to[1])])
        connection.execute(
            "UPDATE layer.heat_pipe SET geom = ST_GeomFromText(%s, 9210) WHERE fid = %s", [new.wkt, row[0]]
        )
        done = recheck(connection, setting, [Change("heat_pipe", row[0], old, new)])
        connection.rollback()
    assert rules <= {one.rule for one in done.new}
    assert rules <= {one.rule for one in done.rejecting}
    assert "NET-06" not in {one.rule for one in done.rejecting}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("NET-02: {reject: true}", "NET-99: {}", "networks.heat.checks.NET-99: there is no rule NET-99"),
        ("NET-02: {reject: true}", "NET-02: {reject: maybe}", "networks.heat.checks.NET-02.reject: 'maybe'"),
        (
            "NET-02: {reject: true}",
            "NET-02: {snap: 1}",
            "networks.heat.checks.NET-02: NET-02 has no",
        ),
        (
            "GEN-07: {reject: true}",
            "CAD-01: {}",
            "heat_pipe.checks.CAD-01: the rule does not judge",
        ),
    ],
)
def test_a_mistake_costs_that_check_alone(operated: Operated, old: str, new: str, said: str) -> None:
    before = len(applications(operated.setting.catalogue))
    operated.write(HEAT.replace(old, new))
    catalogue = operated.setting.catalogue
    assert [one[: len(said)] for one in mistakes(catalogue)] == [said]
    assert len(applications(catalogue)) >= before - 1
    if old.startswith("GEN-07"):
        ended = operated.command("layers", "--apply")
        assert (ended.returncode, said in ended.stderr) == (3, True)
        ended = operated.command("check", "heat_pipe", "--rule", "NET-01", "--json")
        assert (ended.returncode, said in ended.stderr) == (1, True), ended.stderr
        assert json.loads(ended.stdout)["summary"]["rules"]


def test_a_broken_file_keeps_nobody_from_judging_the_rest(operated: Operated) -> None:
    """What the broken file says is not known: its findings stand, and its tables are left alone."""
    run_checks(operated.db, operated.setting, workers=0)
    before = told(operated)
    assert ("NET-09", "P3") in before
    operated.write("layers: [oops\n", "broken.yml")
    operated.write(HEAT + "  steam: {oops}\n")
    for arguments in (["check", "water_pipe"], ["check"]):
        ended = operated.command(*arguments)
        assert ended.returncode in (0, 1), ended.stderr
        assert "left out: broken.yml: line 2" in ended.stderr
        assert "left out: heat.yml" in ended.stderr
    assert told(operated) == before
    ended = operated.command("check", "heat_pipe")
    assert ended.returncode == 2
    assert "there is no layer 'heat_pipe'" in ended.stderr
    ended = operated.command("layers", "--apply")
    assert ended.returncode == 3


def test_where_no_report_can_be_written_nothing_is_judged(operated: Operated) -> None:
    for place, said in (
        ("/no/such/folder/x.html", "there is no folder"),
        ("/proc/x.html", "no report can be written in /proc"),
        (str(operated.folder / "x.txt"), "a report is a file that ends in"),
    ):
        ended = operated.command("check", "--report", place)
        assert (ended.returncode, said in ended.stderr, ended.stdout) == (2, True, "")


def judge(operated: Operated) -> None:
    """Check the operator's layers: the others are empty, and judging all of them takes ten times as long."""
    setting = operated.setting
    heat = {"heat_pipe", "heat_node"}
    apps = [a for a in applications(setting.catalogue) if a.network == "heat" or heat & set(a.layers)]
    assert apps
    run_checks(operated.db, setting, apps, workers=0)


def test_findings_of_a_layer_that_becomes_restricted_are_hidden_at_once(operated: Operated) -> None:
    judge(operated)
    before = told(operated)
    mine = [one for one in before if one[1].startswith("P")]
    assert mine
    operated.write(HEAT.replace("geometry: LineString", "access: restricted\n    geometry: LineString"))
    prepare(operated.db.owner_dsn, operated.city, operated.settings.load_catalogue(operated.city))
    assert sorted(told(operated) + mine) == before
    with psycopg.connect(operated.db.owner_dsn) as connection:
        kept = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE k.restricted) FROM layer.finding_restricted AS f"
            " JOIN bandoso.finding_key AS k ON k.id = f.asset_id"
        ).fetchone()
    assert kept == (len(mine), len(mine))
    # They stay the same findings, and come back with the next check once the layer is public again.
    judge(operated)
    assert sorted(told(operated) + mine) == before
    operated.write(HEAT)
    prepare(operated.db.owner_dsn, operated.city, operated.settings.load_catalogue(operated.city))
    judge(operated)
    assert told(operated) == before
