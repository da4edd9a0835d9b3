"""The abstract tests of OGC API Features part 4 (annex A of the draft), each under its name.

``test_<class>_<name>`` is /conf/<class>/<name>. Not applicable: put-create (no features are made by PUT),
crs84 (part 2 is implemented), gml-srsname (no GML), schema and the second half of json-merge-patch's
condition (class returnables-and-receivables is not declared; unknown attributes are refused all the same,
read-only ones are passed over, because QGIS sends back whole features), optimistic-locking-timestamps.
"""

from __future__ import annotations

import re
from typing import Any

import httpx
import orjson
import pytest

from tests.api.editors import CRS84, EPSG_9210, Editors, Writer, feature, line, point
from tests.api.problem import assert_problem
from tests.api.sample import VECTORS

ITEMS = "/collections/water_valve/items"
PART4 = "http://www.opengis.net/spec/ogcapi-features-4/1.0/conf/"
PLACE = (106.7125, 10.7777)

_seen = iter(range(1000))


def valve(**properties: Any) -> dict[str, Any]:
    """A new valve, each at another place."""
    number = next(_seen)
    return feature(point(PLACE[0] + number * 0.0001, PLACE[1]), **{"code": f"V-{number}", **properties})


@pytest.fixture
def water(editors: Editors) -> Writer:
    return editors.as_("water")


@pytest.fixture
def existing(water: Writer) -> str:
    """Address of a valve that was just made."""
    made = water.post("water_valve", valve(kind="gate", state="open", remark="to be replaced"))
    assert made.status_code == 201, made.text
    return made.headers["location"]


def fid_of(address: str) -> int:
    return int(address.rpartition("/")[2])


def methods(response: httpx.Response) -> set[str]:
    return {one.strip() for one in response.headers["allow"].split(",")}


def test_conformance(water: Writer) -> None:
    declared = water.get("/conformance?f=json").json()["conformsTo"]
    for name in ("create-replace-delete", "update", "optimistic-locking-etags", "features"):
        assert PART4 + name in declared


# --- create-replace-delete -------------------------------------------------------------------------------


def test_create_replace_delete_options(water: Writer, existing: str) -> None:
    items, item = water.request("OPTIONS", ITEMS), water.request("OPTIONS", existing)
    assert items.status_code == item.status_code == 200
    assert methods(items) == {"GET", "HEAD", "OPTIONS", "POST"}
    assert methods(item) == {"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"}
    assert "application/geo+json" in items.headers["accept-post"]
    # QGIS asks an id that it makes up
    assert methods(water.request("OPTIONS", f"{ITEMS}/unknown_id")) == methods(item)


def test_create_replace_delete_options_for_the_caller(editors: Editors, existing: str) -> None:
    """What Allow lists is for who asks: QGIS offers editing by it."""
    reading = {"GET", "HEAD", "OPTIONS"}
    for name in (None, "power", "water_viewer", "water_reader"):
        caller = editors.as_(name)
        assert methods(caller.request("OPTIONS", ITEMS)) == reading, name
        assert methods(caller.request("OPTIONS", existing)) == reading, name
    steward = editors.as_("steward")
    assert "POST" in methods(steward.request("OPTIONS", ITEMS))
    assert methods(steward.request("OPTIONS", "/collections/finding/items")) == reading
    valves = editors.as_("water_valves")
    assert "POST" in methods(valves.request("OPTIONS", ITEMS))
    assert "POST" not in methods(valves.request("OPTIONS", "/collections/water_pipe/items"))


def test_create_replace_delete_create(water: Writer) -> None:
    before = water.get(ITEMS, params={"limit": 1, "sortby": "-fid"}).json()["features"][0]["id"]
    sent = valve(kind="gate")
    for document in (sent, {**valve(), "id": 424242, "properties": {"fid": 424242}}):
        made = water.post("water_valve", document)
        assert made.status_code == 201, made.text
        address = made.headers["location"]
        assert re.fullmatch(re.escape(water.url) + ITEMS + r"/\d+", address)
        assert fid_of(address) > before
        assert fid_of(address) != 424242
        got = water.get(address)
        assert got.status_code == 200
        assert got.json()["id"] == fid_of(address) == made.json()["id"]
        assert made.headers["etag"] == got.headers["etag"]
        got_place, sent_place = got.json()["geometry"]["coordinates"], document["geometry"]["coordinates"]
        assert got_place == pytest.approx(sent_place, abs=2e-9)
    shown = water.get(ITEMS, params={"code": sent["properties"]["code"]}).json()["features"]
    assert [f["properties"]["kind"] for f in shown] == ["gate"]
    assert shown[0]["properties"]["owner"] == "sawaco"
    assert shown[0]["properties"]["asset_id"] == f"water_valve-{shown[0]['id']}"


def without_content_type(caller: Writer, method: str, path: str) -> httpx.Response:
    return caller.request(method, path, content=b'{"type": "Feature"}')


def test_create_replace_delete_create_content_type(water: Writer) -> None:
    assert_problem(without_content_type(water, "POST", ITEMS), 400, "no-content-type")
    other = water.send("POST", ITEMS, valve(), "text/plain")
    assert_problem(other, 415, "unsupported-content-type")
    assert "application/geo+json" in other.headers["accept-post"]


def test_create_replace_delete_replace(water: Writer, existing: str) -> None:
    document = feature(point(PLACE[0] + 0.01, PLACE[1] + 0.01), kind="butterfly")
    answer = water.put(existing, document)
    assert answer.status_code == 200, answer.text
    got = water.get(existing).json()
    assert got["properties"]["kind"] == "butterfly"
    # what was left out is gone, but for what says which feature it is and whose
    assert got["properties"]["remark"] is None
    assert got["properties"]["state"] is None
    assert got["properties"]["status"] == "in_service"
    assert got["properties"]["owner"] == "sawaco"
    assert got["properties"]["asset_id"] == f"water_valve-{got['id']}"
    assert got["properties"]["version"] == 2
    assert got["geometry"]["coordinates"] == pytest.approx(document["geometry"]["coordinates"], abs=2e-9)
    assert answer.json()["properties"] == got["properties"]
    assert answer.headers["content-location"] == existing


def test_create_replace_delete_replace_content_type(water: Writer, existing: str) -> None:
    assert_problem(without_content_type(water, "PUT", existing), 400, "no-content-type")
    assert_problem(water.send("PUT", existing, valve(), "application/merge-patch+json"), 415)


def test_create_replace_delete_replace_rid(water: Writer, existing: str) -> None:
    other = water.post("water_valve", valve(kind="check")).headers["location"]
    before = water.get(other).json()
    for document in (
        {**valve(), "id": fid_of(other)},
        {**valve(), "id": str(fid_of(other))},
        valve(fid=fid_of(other)),
    ):
        refused = assert_problem(water.put(existing, document), 422, "invalid-feature")
        assert refused["errors"][0]["pointer"] in ("/id", "/properties/fid")
    assert water.get(other).json() == before
    for own in (fid_of(existing), str(fid_of(existing))):
        assert water.put(existing, {**valve(), "id": own}).status_code == 200


def test_create_replace_delete_replace_exceptions(water: Writer) -> None:
    assert_problem(water.put(f"{ITEMS}/999999", valve()), 404, "not-found")
    # The drafts differ for a condition on what is not there, where PUT makes nothing: 412 or 404.
    assert_problem(water.put(f"{ITEMS}/999998", valve(), If_Match='"xyz"'), 412, "precondition-failed")
    assert_problem(water.put(f"{ITEMS}/999998", valve(), If_Match="*"), 412, "precondition-failed")
    assert water.get(f"{ITEMS}/999998").status_code == 404


def test_create_replace_delete_delete(water: Writer, existing: str) -> None:
    assert water.delete(existing).status_code == 204
    assert water.get(existing).status_code == 404
    assert_problem(water.delete(existing), 404, "not-found")
    assert_problem(water.delete(existing, If_Match="*"), 404, "not-found")


# --- update ----------------------------------------------------------------------------------------------


def test_update_options(water: Writer, existing: str) -> None:
    answer = water.request("OPTIONS", existing)
    assert "PATCH" in methods(answer)
    assert answer.headers["accept-patch"] == "application/merge-patch+json"


def test_update_update(water: Writer, existing: str) -> None:
    before = water.get(existing).json()
    answer = water.patch(existing, {"properties": {"kind": "butterfly", "remark": None, "turns": 12}})
    assert answer.status_code == 200, answer.text
    after = water.get(existing).json()
    changed = {"kind": "butterfly", "remark": None, "turns": 12, "version": 2}
    expected = {**before["properties"], **changed, "updated_at": after["properties"]["updated_at"]}
    assert after["properties"] == expected
    assert after["geometry"] == before["geometry"]
    assert after["properties"]["updated_at"] > before["properties"]["updated_at"]


def test_update_update_content_type(water: Writer, existing: str) -> None:
    assert_problem(without_content_type(water, "PATCH", existing), 400, "no-content-type")
    refused = water.send("PATCH", existing, {"properties": {}}, "application/geo+json")
    assert_problem(refused, 415, "unsupported-content-type")
    assert refused.headers["accept-patch"] == "application/merge-patch+json"


def test_update_update_rid(water: Writer, existing: str) -> None:
    before = water.get(existing).text
    for document in ({"id": 1, "properties": {"kind": "gate"}}, {"properties": {"fid": 1}}, {"id": True}):
        assert_problem(water.patch(existing, document), 422, "invalid-feature")
    assert water.get(existing).text == before
    assert_problem(water.patch(f"{ITEMS}/999999", {"properties": {"turns": 1}}), 404)


# --- optimistic-locking-etags ----------------------------------------------------------------------------


def etag_of(caller: Writer, address: str) -> str:
    return caller.get(address, headers={"Accept-Encoding": "identity"}).headers["etag"]


def test_optimistic_locking_etags_get_etag(water: Writer, existing: str) -> None:
    tag = etag_of(water, existing)
    assert re.fullmatch(r'"\d+\.1\.[0-9a-f]{12}"', tag)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_optimistic_locking_etags_replace_and_update(water: Writer, existing: str, method: str) -> None:
    document = valve(turns=3) if method == "PUT" else {"properties": {"turns": 3}}
    send = water.put if method == "PUT" else water.patch
    tag, before = etag_of(water, existing), water.get(existing).text
    for stale in ('"0"', '"xyz"', f"W/{tag}", f'"{fid_of(existing) + 1}.1.000000000000"', '"a", "b"', '""'):
        refused = send(existing, document, If_Match=stale)
        assert_problem(refused, 412, "precondition-failed")
    assert water.get(existing).text == before
    done = send(existing, document, If_Match=tag)
    assert done.status_code == 200, done.text
    assert done.headers["etag"] != tag
    # all sides of the conflict, as a changeset tells them
    mine = valve(turns=4) if method == "PUT" else {"properties": {"turns": 4}}
    lost = assert_problem(send(existing, mine, If_Match=tag), 412, "precondition-failed")
    (sides,) = lost["conflicts"]
    assert (lost["version"], sides["base"]["version"], sides["theirs"]["version"]) == (2, 1, 2)
    turns = [sides[side]["properties"]["turns"] for side in ("base", "yours", "theirs")]
    assert turns == [orjson.loads(before)["properties"].get("turns"), 4, 3]
    assert sides["theirs"]["author"] == water.get("/me").json()["name"]
    assert ("turns" in sides["both"], sides["mergeable"]) == (True, False)
    # any representation of the version stands for it; a list has one that matches
    shown = water.get(existing, params={"crs": EPSG_9210, "lang": "en"}).headers["etag"]
    assert send(existing, document, If_Match=f'{tag}, "other", {shown}').status_code == 200
    assert send(existing, document, If_Match="*").status_code == 200
    assert send(existing, document).status_code == 200
    for wrong in ("0", "abc", '"unfinished', "* , *"):
        assert_problem(send(existing, document, If_Match=wrong), 400, "invalid-condition")
    assert_problem(send(existing, document, If_None_Match="*"), 412, "precondition-failed")
    assert_problem(send(existing, document, If_None_Match=etag_of(water, existing)), 412)
    assert_problem(send(f"{ITEMS}/999999", document, If_None_Match="*"), 404)


def test_optimistic_locking_etags_delete(water: Writer, existing: str) -> None:
    second = water.post("water_valve", valve()).headers["location"]
    tag = etag_of(water, existing)
    assert_problem(water.delete(existing, If_Match='"0"'), 412, "precondition-failed")
    assert water.get(existing).status_code == 200
    assert water.delete(existing, If_Match=tag).status_code == 204
    assert water.get(existing).status_code == 404
    assert water.delete(second).status_code == 204


# --- features --------------------------------------------------------------------------------------------


def test_features_endpoints(water: Writer, existing: str) -> None:
    listed = {one["id"] for one in water.get("/collections?f=json").json()["collections"]}
    assert existing.split("/")[-3] in listed
    ids = [f["id"] for f in water.get(ITEMS, params={"limit": 10_000}).json()["features"]]
    assert fid_of(existing) in ids


def test_features_crs(water: Writer) -> None:
    """At a place whose coordinates are known from elsewhere; each valve goes before the next one comes."""
    (plane, degrees) = VECTORS[1]
    sample = water.get(ITEMS, params={"asset_id": "water_valve-s1"}).json()["features"][0]["id"]
    assert water.delete(f"{ITEMS}/{sample}").status_code == 204
    for place, header in (
        (degrees, {}),
        (degrees, {"Content_Crs": f"<{CRS84}>"}),
        (plane, {"Content_Crs": EPSG_9210}),
        (plane, {"Content_Crs": f"<{EPSG_9210}>"}),
        (plane, {"Content_Crs": "[EPSG:9210]"}),
        (degrees[::-1], {"Content_Crs": "<http://www.opengis.net/def/crs/EPSG/0/4326>"}),
    ):
        made = water.post("water_valve", feature(point(*place)), **header)
        assert made.status_code == 201, made.text
        shown = water.get(made.headers["location"], params={"crs": EPSG_9210}).json()
        assert shown["geometry"]["coordinates"] == pytest.approx(plane, abs=0.001)
        assert water.delete(made.headers["location"]).status_code == 204
    for unknown in ("http://www.opengis.net/def/crs/EPSG/0/27700", "EPSG:999999", "nonsense", "<>"):
        assert_problem(water.post("water_valve", valve(), Content_Crs=unknown), 400, "unknown-crs")


def test_features_geojson(water: Writer, existing: str) -> None:
    before = water.get(existing).json()
    refused = water.put(existing, {**valve(), "id": "something-else"})
    assert_problem(refused, 422, "invalid-feature")
    assert water.get(existing).json() == before


def test_features_json_merge_patch(water: Writer, existing: str) -> None:
    document = {
        "geometry": point(PLACE[0] + 0.02, PLACE[1]),
        "properties": {"kind": "butterfly", "turns": 4, "remark": None},
    }
    assert water.patch(existing, document).status_code == 200
    after = water.get(existing).json()
    assert after["geometry"]["coordinates"] == pytest.approx(document["geometry"]["coordinates"], abs=2e-9)
    assert (after["properties"]["kind"], after["properties"]["turns"]) == ("butterfly", 4)
    assert after["properties"]["remark"] is None
    unchanged = water.patch(existing, {})
    assert unchanged.status_code == 200
    assert unchanged.json()["properties"]["version"] == 2, "a patch of nothing makes no version"
    for wrong, place in (
        ({"geometry": None}, "/geometry"),
        ({"geometry": {"coordinates": [1, 2]}}, "/geometry/type"),
        ({"properties": {"owner": None}}, "/properties/owner"),
        ({"properties": {"colour": "red"}}, "/properties/colour"),
        ({"kind": "gate"}, "/kind"),
        ({"something": 1}, "/something"),
        ({"properties": None}, "/properties"),
        ({"properties": [1]}, "/properties"),
        ({"type": "Point"}, "/type"),
    ):
        refused = assert_problem(water.patch(existing, wrong), 422, "invalid-feature")
        assert place in [error["pointer"] for error in refused["errors"]], refused


# --- the class return-resource-representation-in-response is not declared; what it asks, beside the default


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_prefer_return(water: Writer, existing: str, method: str) -> None:
    path = ITEMS if method == "POST" else existing
    kind = "application/merge-patch+json" if method == "PATCH" else "application/geo+json"
    for said, applied in (
        ("return=minimal", True),
        ("return=representation", True),
        ("return=nonsense", False),
    ):
        answer = water.send(
            method, path, {"properties": {}} if method == "PATCH" else valve(), kind, Prefer=said
        )
        assert answer.status_code == (201 if method == "POST" else 204 if said == "return=minimal" else 200)
        assert (answer.content == b"") == (said == "return=minimal")
        assert answer.headers.get("preference-applied") == (said if applied else None)
        assert answer.headers["etag"]


def test_every_mistake_at_once(water: Writer) -> None:
    wrong = feature(
        line((106.7, 10.7), (106.8, 10.8)),
        kind="spoon",
        diameter_mm=-5,
        installed_year="2020",
        boundary_valve="yes",
        survey_date="31/12/2024",
        colour="blue",
    )
    refused = assert_problem(water.post("water_valve", wrong), 422, "invalid-feature")
    assert {error["pointer"] for error in refused["errors"]} == {
        "/properties/kind",
        "/properties/diameter_mm",
        "/properties/installed_year",
        "/properties/boundary_valve",
        "/properties/survey_date",
        "/properties/colour",
        "/geometry/type",
    }


def test_login_is_asked_for(editors: Editors, existing: str) -> None:
    nobody = editors.as_(None)
    for answer in (
        nobody.post("water_valve", valve()),
        nobody.put(existing, valve()),
        nobody.patch(existing, {"properties": {}}),
        nobody.delete(existing),
        nobody.delete(f"{ITEMS}/999999"),
    ):
        assert_problem(answer, 401, "login-required")
        assert answer.headers.get_list("www-authenticate")[0].startswith("Basic ")
    assert editors.basic("water").patch(existing, {"properties": {"turns": 9}}).status_code == 200
    # a layer that nobody edits asks for no login
    assert_problem(nobody.post("finding", valve()), 405, "not-editable")
