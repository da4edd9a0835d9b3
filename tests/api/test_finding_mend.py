"""The suggested mend of a finding over HTTP: what it says, and that restricted ones are not reached."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import orjson
import psycopg
import pytest

from gis.checks.accept import one_finding
from gis.checks.report.jsonfile import mend_features
from gis.checks.window import Setting
from gis.city import City
from gis.db.server import Database
from gis.identity import accounts
from gis.identity.principal import Role
from gis.settings import Settings
from layers.registry import Catalogue
from tests.api.jobs_client import AREA, Client
from tests.api.problem import assert_problem
from tests.api.process import Server
from tests.api.sample import load_layer

HIDDEN = "water_meter"
ITEMS = "/collections/finding/items"


@dataclass(frozen=True)
class Checked:
    """A server with stored findings: vertices twice in two pipes, two meters (restricted) at one place."""

    url: str
    database: Database
    #: fid by asset id of the pipe.
    found: dict[str, int]

    def get(self, path: str, **more: Any) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", verify=False, **more)


@pytest.fixture(scope="module")
def checked(
    sample_db: Database,
    settings: Settings,
    catalogue: Catalogue,
    city: City,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Checked]:
    with psycopg.connect(sample_db.owner_dsn, autocommit=True) as owner:
        load_layer(owner, catalogue.layers[HIDDEN], city, 12)
        for number in (5, 6, 7):
            owner.execute(
                "UPDATE layer.water_pipe SET geom = ST_AddPoint(geom, ST_PointN(geom, 2), 2)"
                " WHERE asset_id = %s",
                (f"water_pipe-s{number}",),
            )
        owner.execute(
            f"UPDATE layer.{HIDDEN} SET (geom, meter_no, address) = (SELECT geom, meter_no, address"
            f" FROM layer.{HIDDEN} WHERE asset_id = %s) WHERE asset_id = %s",
            (f"{HIDDEN}-s5", f"{HIDDEN}-s6"),
        )
    process = Server(replace(settings, workers=1, pool_size=4), sample_db, tmp_path_factory.mktemp("mends"))
    process.start()
    with Client(process, steward=True) as steward:
        asked = {"layers": ["water_pipe", HIDDEN], "rules": ["GEN-05", "GEN-09"], "bbox": AREA, "store": True}
        answer = steward.execute(asked)
    if answer.status_code != 200:
        process.stop()
        pytest.fail(answer.text)
    with psycopg.connect(sample_db.owner_dsn) as owner:
        rows = owner.execute(
            "SELECT features::json -> 0 ->> 'asset_id', fid FROM layer.finding WHERE rule = 'GEN-05'"
        ).fetchall()
    yield Checked(process.url, sample_db, {str(name): int(fid) for name, fid in rows})
    assert process.stop() == 0, process.log.read_text(errors="replace")[-3000:]


def test_it_is_what_the_command_writes_and_the_item_links_to_it(
    checked: Checked, catalogue: Catalogue, city: City
) -> None:
    fid = checked.found["water_pipe-s5"]
    item = checked.get(f"{ITEMS}/{fid}").json()
    (there,) = [one for one in item["links"] if one["rel"] == "related"]
    assert there["href"] == f"{checked.url}{ITEMS}/{fid}/mend"
    assert there["type"] == "application/geo+json"
    assert f'href="{there["href"]}"' in checked.get(f"{ITEMS}/{fid}?f=html").text

    answer = httpx.get(there["href"], verify=False)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/geo+json"
    document = answer.json()
    with psycopg.connect(checked.database.owner_dsn) as owner:
        one = one_finding(owner, catalogue, item["properties"]["asset_id"])
        ours = orjson.loads(orjson.dumps(mend_features(one, Setting(city, catalogue, city.today()))))
    assert document["features"] == ours["features"]

    (feature,) = document["features"]
    about = feature["properties"]
    assert (about["layer"], about["asset_id"], about["action"]) == ("water_pipe", "water_pipe-s5", "change")
    assert about["moved_m"] == 0
    pipe = checked.get(f"/collections/water_pipe/items/{about['fid']}").json()["geometry"]["coordinates"]
    once = [place for place, before in zip(pipe, [None, *pipe], strict=False) if place != before]
    assert len(once) == len(pipe) - 1
    assert [place[:2] for place in feature["geometry"]["coordinates"]] == [
        pytest.approx(place[:2], abs=1e-9) for place in once
    ]


def test_it_is_cached_by_etag_and_takes_no_other_method(checked: Checked) -> None:
    path = f"{ITEMS}/{checked.found['water_pipe-s5']}/mend"
    etag = checked.get(path).headers["etag"]
    assert checked.get(path, headers={"If-None-Match": etag}).status_code == 304
    head = httpx.head(f"{checked.url}{path}", verify=False)
    assert (head.status_code, head.content) == (200, b"")
    options = httpx.options(f"{checked.url}{path}", verify=False)
    assert options.headers["allow"] == "GET, HEAD, OPTIONS"
    assert_problem(httpx.post(f"{checked.url}{path}", verify=False), 405)
    assert_problem(checked.get(f"{path}?x=1"), 400, "unknown-parameter")
    assert_problem(checked.get(f"{path}?f=html"), 400)


def test_where_there_is_none(checked: Checked) -> None:
    for path in (
        f"{ITEMS}/987654321/mend",
        f"{ITEMS}/abc/mend",
        f"{ITEMS}/-1/mend",
        f"{ITEMS}/99999999999999999999/mend",
        "/collections/water_pipe/items/1/mend",
        "/collections/nothing/items/1/mend",
    ):
        assert_problem(checked.get(path), 404)


def test_what_is_mended_has_none(checked: Checked) -> None:
    fid = checked.found["water_pipe-s6"]
    assert checked.get(f"{ITEMS}/{fid}/mend").status_code == 200
    with psycopg.connect(checked.database.owner_dsn, autocommit=True) as owner:
        owner.execute(
            "UPDATE layer.finding SET state = 'mended', version = version + 1 WHERE fid = %s", [fid]
        )
    assert_problem(checked.get(f"{ITEMS}/{fid}/mend"), 404)
    assert not [one for one in checked.get(f"{ITEMS}/{fid}").json()["links"] if one["rel"] == "related"]


def test_mends_of_restricted_findings_are_not_reached(checked: Checked) -> None:
    with psycopg.connect(checked.database.owner_dsn) as owner:
        hidden = owner.execute(
            "SELECT f.fid, k.id FROM layer.finding_restricted AS f JOIN bandoso.finding_key AS k"
            " ON k.id = f.asset_id WHERE k.mends IS NOT NULL"
        ).fetchall()
        (shown,) = owner.execute(
            "SELECT asset_id FROM layer.finding WHERE fid = %s", [checked.found["water_pipe-s5"]]
        ).fetchone() or ("",)
    assert hidden, "two meters at one place have a suggested mend"
    for fid, _ in hidden:
        assert_problem(checked.get(f"/collections/finding_restricted/items/{fid}/mend"), 404)
    # the reading role itself, if a request ever got so far
    with psycopg.connect(checked.database.app_dsn, autocommit=True) as reader:
        reader.execute("SET ROLE bandoso_reader")
        for _, name in hidden:
            assert reader.execute("SELECT bandoso.finding_mends(%s)", [name]).fetchone() == (None,)
        assert reader.execute("SELECT bandoso.finding_mends(%s) IS NULL", [shown]).fetchone() == (False,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("SELECT mends FROM bandoso.finding_key")


def test_a_mend_that_touches_a_layer_that_became_restricted_is_absent(checked: Checked) -> None:
    fid = checked.found["water_pipe-s7"]
    assert checked.get(f"{ITEMS}/{fid}/mend").status_code == 200
    with psycopg.connect(checked.database.owner_dsn, autocommit=True) as owner:
        owner.execute(
            "UPDATE bandoso.finding_key SET mends = jsonb_set(mends, '{0,layer}', to_jsonb(%s::text))"
            " WHERE id = (SELECT asset_id FROM layer.finding WHERE fid = %s)",
            (HIDDEN, fid),
        )
    assert_problem(checked.get(f"{ITEMS}/{fid}/mend"), 404)
    assert not [one for one in checked.get(f"{ITEMS}/{fid}").json()["links"] if one["rel"] == "related"]


def test_it_is_described(checked: Checked) -> None:
    paths = checked.get("/api?f=json").json()["paths"]
    assert "get" in paths[f"{ITEMS}/{{featureId}}/mend"]


# --- Work on findings: counted, explained, accepted (gis/api/findings) ------------------


def _ids(checked: Checked, layer: str, condition: str) -> list[str]:
    with psycopg.connect(checked.database.owner_dsn) as owner:
        query = f"SELECT asset_id FROM layer.{layer} WHERE {condition} ORDER BY fid"
        return [str(row[0]) for row in owner.execute(query.encode()).fetchall()]


def _as(checked: Checked, agency: str, role: Role = "steward") -> httpx.Client:
    """Somebody of an agency, by a token."""
    with psycopg.connect(checked.database.owner_dsn, autocommit=True) as owner:
        account = accounts.add_account(owner, f"{role}_{agency}", None)
        accounts.grant(owner, account, role, agency, None, None)
        secret, _ = accounts.make_token(owner, account, "test", ("read", "edit"))
    return httpx.Client(
        base_url=checked.url, verify=False, timeout=60, headers={"Authorization": f"Bearer {secret}"}
    )


def test_findings_are_counted_for_who_may_see_them(checked: Checked) -> None:
    open_ones = len(_ids(checked, "finding", "state = 'open'"))
    hidden = len(_ids(checked, "finding_restricted", "true"))
    everything = len(_ids(checked, "finding", "true"))
    assert open_ones
    assert hidden
    counted = checked.get("/findings/summary?state=open").json()
    assert counted["total"] == open_ones
    assert counted["by"]["rule"] == [{"value": "GEN-05", "count": open_ones}]
    assert counted["by"]["state"] == [{"value": "open", "count": open_ones}]
    assert {
        name: sum(one["count"] for one in found) for name, found in counted["by"].items()
    } == dict.fromkeys(("rule", "severity", "state", "sheet", "owner"), open_ones)
    assert checked.get("/findings/summary?filter=rule = 'GEN-09'").json()["total"] == 0
    assert checked.get("/findings/summary?bbox=106.3,10.3,106.31,10.31").json()["total"] == 0
    assert checked.get("/findings/summary").json()["total"] == everything
    with _as(checked, "city", "viewer") as member:
        assert member.get("/findings/summary").json()["total"] == everything
    with _as(checked, "sawaco", "viewer") as member:
        assert member.get("/findings/summary").json()["total"] == everything + hidden
    assert_problem(checked.get("/findings/summary?where=x"), 400, "unknown-parameter")


def test_rules_explain_themselves(checked: Checked) -> None:
    told = {one["id"]: one for one in checked.get("/rules").json()["rules"]}
    assert len(told) > 40
    assert all(
        one["title"][lang] and one["explanation"][lang] for one in told.values() for lang in ("vi", "en")
    )
    assert checked.get("/rules/GEN-05").json() == told["GEN-05"]
    assert [one["name"] for one in told["GEN-05"]["parameters"]] == ["distance_m"]
    applied = {layer for one in told["GEN-05"]["applied"] for layer in one["layers"]}
    assert "water_pipe" in applied
    assert HIDDEN not in applied
    assert_problem(checked.get("/rules/GEN-99"), 404)
    page = checked.get("/rules/GEN-05?f=html&lang=vi")
    assert page.headers["content-type"].startswith("text/html")
    assert told["GEN-05"]["title"]["vi"] in page.text
    assert 'href="' + checked.url + "/rules?f=html" in checked.get("/rules/GEN-05?f=html").text
    assert checked.get("/rules", headers={"Accept": "text/html"}).text.count("<h2") == len(told)


def test_stewards_accept_with_a_reason_and_reopen(checked: Checked, city: City) -> None:
    (shown,) = _ids(checked, "finding", f"fid = {checked.found['water_pipe-s5']}")
    (gone,) = _ids(checked, "finding", f"fid = {checked.found['water_pipe-s6']}")
    (hidden,) = _ids(checked, "finding_restricted", "true")
    body = {"ids": [shown], "reason": "  như   hoàn công ", "until": "2099-06-30"}
    item = f"{ITEMS}/{checked.found['water_pipe-s5']}"

    assert_problem(httpx.post(f"{checked.url}/findings/accept", json=body, verify=False), 401)
    with _as(checked, "sawaco", "editor") as editor:
        assert_problem(editor.post("/findings/accept", json=body), 403, "steward-only")
    with _as(checked, "vnpt") as other:
        refused = other.post("/findings/accept", json=body)
        assert_problem(refused, 403, "not-the-steward")
        assert refused.json()["findings"] == [shown]
        # of what is hidden from him not even that it is there
        assert_problem(other.post("/findings/accept", json={**body, "ids": [hidden]}), 404)
    assert checked.get(item).json()["properties"]["state"] == "open"

    with _as(checked, "sawaco") as steward:
        for wrong, status in (
            ({**body, "reason": " "}, 400),
            ({**body, "reason": "x" * 1001}, 400),
            ({**body, "until": "2001-01-01"}, 400),
            ({**body, "until": "soon"}, 400),
            ({**body, "ids": []}, 400),
            ({**body, "ids": [7]}, 400),
            ({**body, "ids": ["no\0finding"]}, 400),
            ({**body, "more": 1}, 400),
            ({**body, "ids": [shown, "GEN-05-nothing"]}, 404),
            ({**body, "ids": [shown, gone]}, 400),
        ):
            assert_problem(steward.post("/findings/accept", json=wrong), status)
        assert checked.get(item).json()["properties"]["state"] == "open"  # all or none

        done = steward.post("/findings/accept", json={**body, "ids": [shown, hidden]})
        assert (done.status_code, done.json()) == (200, {"ids": [shown, hidden], "changed": 2})
        now = checked.get(item).json()["properties"]
        assert (now["state"], now["accepted_reason"], now["accepted_until"]) == (
            "accepted",
            "như hoàn công",
            "2099-06-30",
        )
        assert steward.post("/findings/accept", json=body).json()["changed"] == 0
        assert steward.post("/findings/reopen", json={"ids": [shown]}).json()["changed"] == 1
    assert checked.get(item).json()["properties"]["state"] == "open"
    paths = checked.get("/api?f=json").json()["paths"]
    assert {"/findings/summary", "/findings/accept", "/findings/reopen", "/rules", "/rules/{rule}"} <= set(
        paths
    )


def test_an_editor_applies_the_mend_as_a_changeset(checked: Checked) -> None:
    (name,) = _ids(checked, "finding", f"fid = {checked.found['water_pipe-s5']}")
    with psycopg.connect(checked.database.owner_dsn) as owner:
        query = (
            "SELECT fid, version, ST_NPoints(geom), ST_Length(geom) FROM layer.water_pipe WHERE asset_id = %s"
        )
        fid, version, points, length = owner.execute(query, ["water_pipe-s5"]).fetchone() or (0, 0, 0, 0.0)
    body = {"finding": name, "comment": "đỉnh trùng"}
    with _as(checked, "viettel", "editor") as other:
        assert_problem(other.post("/operations/mend", json=body), 403)
    with _as(checked, "thkt", "editor") as stranger:
        assert_problem(stranger.post("/operations/mend", json={"finding": "GEN-05-nothing"}), 422, "no-mend")
    with httpx.Client(base_url=checked.url, verify=False, timeout=60, headers=_editor(checked)) as editor:
        dry = editor.post("/operations/mend?dry-run=true", json=body).json()
        assert [(one["op"], one["fid"], one["version"]) for one in dry["features"]] == [
            ("update", fid, version + 1)
        ]
        made = editor.post("/operations/mend", json=body)
        assert made.status_code == 201, made.text
        again = editor.post("/operations/mend", json=body)
        assert_problem(again, 422, "no-mend")
    with psycopg.connect(checked.database.owner_dsn) as owner:
        now = owner.execute(query, ["water_pipe-s5"]).fetchone()
    assert now is not None
    assert now[:3] == (fid, version + 1, points - 1)
    assert now[3] == pytest.approx(length, abs=1e-9)
    assert checked.get(f"{ITEMS}/{checked.found['water_pipe-s5']}").json()["properties"]["state"] == "mended"


def _editor(checked: Checked) -> dict[str, str]:
    """The editor of sawaco that another test made, or a new one."""
    with psycopg.connect(checked.database.owner_dsn, autocommit=True) as owner:
        account = accounts.find(owner, "editor_sawaco")
        return {"Authorization": f"Bearer {accounts.make_token(owner, account, 'more')[0]}"}
