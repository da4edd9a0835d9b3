"""Reports of a check, read back as their users read them: json, a spreadsheet's csv, GDAL, a browser."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely

from gis import crs
from gis.checks.findings import in_window, message
from gis.checks.model import Finding, Mend, Outcome, Reported
from gis.checks.registry import applications
from gis.checks.report import write_report
from gis.checks.source import EVERYWHERE, MemorySource
from gis.errors import UsageError
from tests.checks.cases import features_of, setting

WHEN = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
HOSTILE = '=HYPERLINK("http://x")</script><img src=x onerror=alert(1)>'


@pytest.fixture(scope="module")
def source() -> MemorySource:
    rows = [
        {"id": "R1", "wkt": "LINESTRING (0 0, 10 0, 10 0, 20 5)"},
        {"id": HOSTILE, "wkt": "LINESTRING (0 30, 10 30, 10 30)", "owner": "sawaco"},
        {"id": "R3", "wkt": "LINESTRING (0 60, 10 60)"},
    ]
    catalogue = setting().catalogue
    return MemorySource(catalogue, {"base_road": features_of(catalogue, "base_road", rows)})


@pytest.fixture(scope="module")
def outcome(source: MemorySource) -> Outcome:
    apps = [a for a in applications(setting().catalogue) if a.key == "GEN-05:base_road"]
    found = sorted(in_window(EVERYWHERE, source, setting(), apps), key=lambda f: f.features[0].asset_id)
    assert len(found) == 2
    shape = shapely.LineString([(607000, 1192000), (607010, 1192000), (607020, 1192005)])
    found[1] = replace(found[1], mends=(Mend("base_road", 1, "R1", shape, 0.25),))
    return outcome_of(found, apps)


def outcome_of(found: list[Finding], apps: list[Any]) -> Outcome:
    reported = [
        Reported(
            id=f"F{number}",
            finding=one,
            sheet="C-48-35-C-a (3)",
            state="accepted" if number == 1 else "open",
            first_seen=WHEN,
            last_seen=WHEN,
            accepted_reason="biết rồi" if number == 1 else "",
            accepted_until=date(2027, 1, 1) if number == 1 else None,
        )
        for number, one in enumerate(found)
    ]
    gone = replace(reported[0], id="GONE", state="mended", news="mended") if reported else None

    def findings() -> Iterator[Reported]:
        yield from reported
        if gone:
            yield gone

    return Outcome(
        started=WHEN,
        finished=WHEN,
        applications=tuple(apps),
        checked={"base_road": 3},
        counts=Counter((one.rule, one.severity) for one in found),
        accepted=1,
        new=1,
        mended=1,
        findings=findings,
        undecided=("one <b>part</b> was not decided",),
    )


def test_json_is_as_the_interface_says(outcome: Outcome, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_report(path, outcome, setting())
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["summary"]["errors"] == 2 and content["summary"]["mended"] == 1
    hostile, road = content["findings"]
    assert {one["id"] for one in content["findings"]} == {"F0", "F1"}, "what is mended is not among them"
    assert road["rule"] == "GEN-05" and road["severity"] == "E" and road["status"] == "accepted"
    assert road["accepted"] == {"reason": "biết rồi", "until": "2027-01-01"}
    assert road["layers"] == ["base_road"] and road["unit"] == "m" and road["limit"] == 0.001
    assert road["features"] == [{"layer": "base_road", "fid": 1, "asset_id": "R1", "owner": "stnmt"}]
    assert hostile["features"][0]["asset_id"] == HOSTILE
    assert set(road["message"]) == {"vi", "en"}
    lon, lat = crs.transform_xy(np.array([607010.0]), np.array([1192000.0]), 9210, 4326)
    assert road["geometry"]["coordinates"][0] == pytest.approx([lon[0], lat[0]], abs=2e-9)
    (mend,) = road["mends"]
    assert mend["action"] == "change" and mend["moved_m"] == 0.25 and mend["asset_id"] == "R1"
    assert mend["geometries"][0]["type"] == "LineString"


def test_csv_opens_in_a_spreadsheet_without_running_anything(outcome: Outcome, tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    write_report(path, outcome, setting(), language="en")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    with path.open(encoding="utf-8-sig", newline="") as file:
        first, second = csv.DictReader(file)
    assert first["asset_ids"] == "'" + HOSTILE, "a spreadsheet would take it for a formula"
    assert second["title"] == "Duplicate vertex" and float(second["limit"]) == 0.001
    assert (float(second["east"]), float(second["north"])) == (607010.0, 1192000.0)


def test_geopackage_opens_in_gdal(outcome: Outcome, tmp_path: Path) -> None:
    path = tmp_path / "report.gpkg"
    write_report(path, outcome, setting())
    layers = {name for name, _ in pyogrio.list_layers(path)}
    assert layers == {"finding_point", "mend_line"}
    points = pyogrio.read_dataframe(path, layer="finding_point")
    assert sorted(points["id"]) == ["F0", "F1"] and crs.identify(str(points.crs)).code == 9210
    assert points.set_index("id").loc["F1"].geometry.geoms[0] == shapely.Point(607010, 1192000)
    mends = pyogrio.read_dataframe(path, layer="mend_line")
    assert mends.set_index("finding").loc["F1"].moved_m == 0.25


@pytest.mark.parametrize("language", ["vi", "en"])
def test_html_needs_nothing_else_and_runs_nothing(
    outcome: Outcome, source: MemorySource, tmp_path: Path, language: str
) -> None:
    path = tmp_path / "report.html"
    write_report(path, outcome, setting(), language=language, source=source)
    text = path.read_text(encoding="utf-8")

    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags: Counter[str] = Counter()
            self.text = ""

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.tags[tag] += 1
            for name, value in attrs:
                assert name not in ("src", "onerror", "onload"), (tag, name)
                assert name != "href" or (value or "").startswith("#"), "nothing from elsewhere"

        def handle_data(self, data: str) -> None:
            self.text += data

    reader = Reader()
    reader.feed(text)
    assert reader.tags["script"] == reader.tags["img"] == reader.tags["b"] - 6 == 0
    assert HOSTILE in reader.text, "shown as it is"
    assert reader.tags["svg"] == 3, "an overview and a small map for each finding"
    assert not re.search(r"url\(|@import", text)
    for one in outcome.findings():
        assert message(one.finding, language) in reader.text


def test_html_prints(outcome: Outcome, source: MemorySource, tmp_path: Path) -> None:
    """A real browser lays it out on A4 without complaint (the policy in it allows no more than it needs)."""
    from playwright.sync_api import sync_playwright

    path = tmp_path / "report.html"
    write_report(path, outcome, setting(), source=source)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=_chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda line: complaints.append(line.text))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        page.goto(path.as_uri())
        assert page.locator("svg.map").first.bounding_box()["width"] > 100  # type: ignore[index]
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        pdf = page.pdf(format="A4", print_background=True)
        browser.close()
    assert complaints == [] and wide <= 0
    assert pdf.startswith(b"%PDF") and pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") <= 3


def _chromium() -> str | None:
    import shutil

    return shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.parametrize("suffix", ["json", "csv", "gpkg", "html"])
def test_nothing_found_is_a_report_too(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"clean.{suffix}"
    write_report(path, replace(outcome_of([], []), undecided=()), setting())
    assert path.stat().st_size > 0
    if suffix == "gpkg":
        assert len(pyogrio.read_dataframe(path, layer="finding_point")) == 0


def test_a_report_that_fails_leaves_nothing_behind(outcome: Outcome, tmp_path: Path) -> None:
    def broken() -> Iterator[Reported]:
        yield from list(outcome.findings())[:1]
        raise RuntimeError("the database went away")

    path = tmp_path / "report.json"
    path.write_text("the one before")
    with pytest.raises(RuntimeError):
        write_report(path, replace(outcome, findings=broken), setting())
    assert path.read_text() == "the one before" and [p.name for p in tmp_path.iterdir()] == ["report.json"]


@pytest.mark.parametrize("name", ["report.xlsx", "report", "missing/report.json"])
def test_a_wrong_place_is_refused_in_a_sentence(outcome: Outcome, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        write_report(tmp_path / name, outcome, setting())


def test_places_that_cannot_be_drawn_are_reported_all_the_same(outcome: Outcome, tmp_path: Path) -> None:
    first = next(iter(outcome.findings())).finding
    odd = [
        replace(first, where=shapely.Point(np.nan, np.nan)),
        replace(first, where=shapely.Polygon()),
        replace(first, where=shapely.from_wkt("GEOMETRYCOLLECTION (POINT (1 2), LINESTRING (0 0, 1 1))")),
        replace(
            first,
            where=shapely.from_wkt(
                "POLYGON ((607000 1192000, 607010 1192010, 607010 1192000, 607000 1192010, 607000 1192000))"
            ),
        ),
    ]
    for suffix in ("json", "csv", "gpkg", "html"):
        path = tmp_path / f"odd.{suffix}"
        write_report(path, outcome_of(odd, list(outcome.applications)), setting())
    content = json.loads((tmp_path / "odd.json").read_text())
    assert [one["geometry"] is None for one in content["findings"]] == [True, True, False, False]
