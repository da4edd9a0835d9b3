"""Writing layers that say more than the shipped ones: conditions, hidden attributes, heights, times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from gis.city import City
from gis.db.migrate import prepare
from gis.db.server import Database
from gis.edit.plan import default_owner
from gis.identity.accounts import add_account, grant, make_token
from gis.identity.principal import Grant, Principal
from gis.settings import Settings
from layers.registry import Catalogue, load_catalogue
from tests.api.editors import EPSG_9210, Editors, feature, line, point
from tests.api.problem import assert_problem
from tests.api.process import Server

ROOT = Path(__file__).resolve().parents[2]
PLACE = (606_700.25, 1_190_700.5)


def layers() -> dict[str, Any]:
    """Layers of the telecom sector that vnpt owns."""
    sector = yaml.safe_load((ROOT / "layers" / "telecom.yml").read_text(encoding="utf-8"))["sector"]

    def field(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "title": {"vi": name, "en": name}, **more}

    def block(geometry: str, fields: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        title = {"title": {"vi": "Thử", "en": "Trial"}}
        return {
            **title,
            "geometry": geometry,
            "owner": "vnpt",
            "style": {"colour": "#228833"},
            **more,
            "fields": fields,
        }

    return {
        "sector": sector,
        "layers": {
            "trial_careful": block("Point", [field("name")], condition_required=True),
            "trial_mixed": block(
                "Point", [field("name", required=True), field("secret", access="confidential")]
            ),
            "trial_high": block("MultiLineString", [field("seen_at", type="datetime")], z="required"),
            "trial_small": block("LineString", [field("name", default="plain")], max_vertices=4),
        },
    }


@pytest.fixture(scope="module")
def running(
    module_db: Database, settings: Settings, city: City, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server over a city with these layers."""
    folder = tmp_path_factory.mktemp("careful")
    (folder / "layers").mkdir()
    content = yaml.safe_dump(layers(), allow_unicode=True)
    (folder / "layers" / "trial.yml").write_text(content, encoding="utf-8")
    prepare(module_db.owner_dsn, city, load_catalogue([folder / "layers"], city.agency_ids))
    process = Server(replace(settings, workers=1, pool_size=4), module_db, folder)
    process.start()
    yield process
    assert process.stop() == 0, process.log.read_text(errors="replace")[-3000:]


@pytest.fixture(scope="module")
def editors(running: Server) -> Iterator[Editors]:
    made = Editors(running.url)
    with psycopg.connect(running.db.owner_dsn, autocommit=True) as connection:
        for name, agencies, scopes in (
            ("vnpt", ["vnpt"], ("read", "edit")),
            ("blind", ["vnpt"], ("edit",)),
            ("viettel", ["viettel"], ("read", "edit")),
            ("both", ["vnpt", "viettel"], ("read", "edit")),
            ("city", ["city"], ("read", "edit")),
        ):
            account = add_account(connection, name)
            for agency in agencies:
                grant(connection, account, "steward" if name == "city" else "editor", agency)
            made.tokens[name], _ = make_token(connection, account, "tests", scopes)
    yield made
    made.close()


def here(number: int, *z: float) -> dict[str, Any]:
    return point(PLACE[0] + 10 * number, PLACE[1], *z)


def test_a_layer_that_demands_a_condition(editors: Editors) -> None:
    caller = editors.as_("vnpt")
    made = caller.post("trial_careful", feature(here(0), name="a"), Content_Crs=EPSG_9210)
    assert made.status_code == 201, made.text
    address = made.headers["location"]
    for answer in (
        caller.put(address, feature(here(0), name="b"), Content_Crs=EPSG_9210),
        caller.patch(address, {"properties": {"name": "b"}}),
        caller.delete(address),
    ):
        refused = assert_problem(answer, 428, "condition-required")
        assert "If-Match" in refused["hint"]
    changed = caller.patch(address, {"properties": {"name": "b"}}, If_Match=made.headers["etag"])
    assert changed.status_code == 200
    stale = assert_problem(caller.delete(address, If_Match=made.headers["etag"]), 412, "precondition-failed")
    assert stale["version"] == 2
    assert caller.delete(address, If_Match=changed.headers["etag"]).status_code == 204


def test_hidden_attributes_stay_under_put(editors: Editors, running: Server) -> None:
    """Who may not see an attribute cannot set it, and does not wipe it out with a whole feature."""
    sees, blind = editors.as_("vnpt"), editors.as_("blind")
    made = sees.post("trial_mixed", feature(here(1), name="a", secret="kept"), Content_Crs=EPSG_9210)
    assert made.status_code == 201, made.text
    assert made.json()["properties"]["secret"] == "kept"
    address = made.headers["location"]
    answer = blind.put(address, feature(here(1), name="b"), Content_Crs=EPSG_9210)
    assert answer.status_code == 200, answer.text
    assert "secret" not in answer.json()["properties"]
    assert sees.get(address).json()["properties"]["secret"] == "kept"
    unknown = blind.patch(address, {"properties": {"secret": "known"}})
    assert_problem(unknown, 422, "invalid-feature")
    # who sees it can let it go
    assert sees.put(address, feature(here(1), name="c"), Content_Crs=EPSG_9210).status_code == 200
    assert sees.get(address).json()["properties"]["secret"] is None
    missing = assert_problem(sees.post("trial_mixed", feature(here(2)), Content_Crs=EPSG_9210), 422)
    assert missing["errors"] == [{"pointer": "/properties/name", "detail": "name is required"}]


def test_whose_a_new_feature_is(editors: Editors) -> None:
    for number, (name, owner) in enumerate(
        {"vnpt": "vnpt", "viettel": "viettel", "both": "vnpt", "city": "vnpt"}.items(), 5
    ):
        made = editors.as_(name).post("trial_mixed", feature(here(number), name=name), Content_Crs=EPSG_9210)
        assert made.status_code == 201, made.text
        assert made.json()["properties"]["owner"] == owner, name


def test_whose_a_new_feature_is_when_nobody_can_know(catalogue: Catalogue, city: City) -> None:
    layer = catalogue.layers["base_road"]
    grants = (Grant("editor", "vnpt", "base_road"), Grant("editor", "viettel", "base_road"))
    sectors = {agency.id: agency.sectors for agency in city.agencies}
    assert default_owner(layer, Principal(1, "x", grants), sectors) is None
    assert default_owner(layer, Principal(1, "x", grants[:1]), sectors) == "vnpt"


def test_heights_and_times(editors: Editors) -> None:
    caller = editors.as_("vnpt")
    x, y = PLACE
    flat = line((x, y + 50), (x + 10, y + 50))
    refused = caller.post("trial_high", feature(flat), Content_Crs=EPSG_9210)
    assert "needs heights" in assert_problem(refused, 422, "invalid-feature")["detail"]
    high = line((x, y + 50, 1.25), (x + 10, y + 50, 1.5))
    made = caller.post("trial_high", feature(high, seen_at="2026-05-31T08:30"), Content_Crs=EPSG_9210)
    assert made.status_code == 201, made.text
    shown = caller.get(made.headers["location"], params={"crs": EPSG_9210}).json()
    assert shown["geometry"] == {"type": "MultiLineString", "coordinates": [high["coordinates"]]}
    assert shown["properties"]["seen_at"] == "2026-05-31T01:30:00+00:00", "a clock of the city"
    for wrong in ("31/05/2026", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+07:00", 5, "now"):
        refused = caller.patch(made.headers["location"], {"properties": {"seen_at": wrong}})
        assert_problem(refused, 422, "invalid-feature")


def test_limits_of_the_layer(editors: Editors) -> None:
    caller = editors.as_("vnpt")
    x, y = PLACE
    positions = [(x + i, y + 80) for i in range(5)]
    refused = caller.post("trial_small", feature(line(*positions)), Content_Crs=EPSG_9210)
    assert "5 vertices" in assert_problem(refused, 422, "invalid-feature")["detail"]
    made = caller.post("trial_small", feature(line(*positions[:4]), name=None), Content_Crs=EPSG_9210)
    assert made.status_code == 201, made.text
    assert made.json()["properties"]["name"] == "plain", "QGIS sends null for what nobody filled in"
    assert caller.patch(made.headers["location"], {"properties": {"name": None}}).status_code == 200


def test_lenient_is_for_stewards(editors: Editors) -> None:
    """Two points at one place are refused (GEN-09); a steward may store them all the same."""
    caller, steward = editors.as_("vnpt"), editors.as_("city")
    first = caller.post("trial_careful", feature(here(20)), Content_Crs=EPSG_9210)
    assert first.status_code == 201, first.text
    for writer, prefer, status in (
        (caller, "handling=strict", 422),
        (caller, "handling=lenient", 422),
        (steward, "return=representation", 422),
        (steward, "handling=lenient", 201),
    ):
        answer = writer.post("trial_careful", feature(here(20)), Content_Crs=EPSG_9210, Prefer=prefer)
        assert answer.status_code == status, answer.text
        if status == 422:
            refused = assert_problem(answer, 422, "rejected")
            assert refused["findings"][0]["rule"] == "GEN-09"
            assert refused["findings"][0]["place"]["type"]
        else:
            assert answer.headers["preference-applied"] == "handling=lenient"
            assert "GEN-09" in [found["rule"] for found in answer.json()["findings"]]


def test_findings_in_the_language_of_the_request(editors: Editors) -> None:
    caller = editors.as_("vnpt")
    assert caller.post("trial_careful", feature(here(30)), Content_Crs=EPSG_9210).status_code == 201
    titles = set()
    for language in ("vi", "en"):
        answer = caller.request(
            "POST",
            f"/collections/trial_careful/items?lang={language}",
            json=feature(here(30)),
            headers={"Content-Type": "application/geo+json", "Content-Crs": EPSG_9210},
        )
        refused = assert_problem(answer, 422, "rejected")
        lon, lat = refused["findings"][0]["place"]["coordinates"][:2]
        assert 106.6 < lon < 106.9, "places are in degrees"
        assert 10.7 < lat < 10.9
        titles.add(refused["findings"][0]["title"])
    assert len(titles) == 2
