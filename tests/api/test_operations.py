"""/operations over HTTP: worked out from what stands, made as one changeset, in the rights of the caller."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
import numpy as np
import psycopg
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import shape

from gis.identity.accounts import add_account, grant, make_token
from tests.api.editors import EPSG_9210, Editors, Writer, feature, line, point
from tests.api.process import Server

X, Y = 604_000.0, 1_187_000.0
STREET = iter(range(1000))

PIPE = {"material": "hdpe", "diameter_mm": 100}


def operate(
    writer: Writer, name: str, document: dict[str, Any], query: str = "", **headers: str
) -> httpx.Response:
    headers = {"Content_Crs": EPSG_9210, **headers}
    return writer.send("POST", f"/operations/{name}{query}", document, "application/json", **headers)


def made(
    writer: Writer, *changes: tuple[str, str, dict[str, Any], dict[str, Any]], **headers: str
) -> dict[str, Any]:
    """New features by name: (name, layer, geometry, attributes)."""
    document = [
        {"op": "create", "layer": layer, "id": f"new:{name}", "feature": feature(geometry, **attributes)}
        for name, layer, geometry, attributes in changes
    ]
    headers = {"Content_Crs": EPSG_9210, **headers}
    answer = writer.send("POST", "/changesets", {"changes": document}, "application/json", **headers)
    assert answer.status_code == 201, answer.text
    return {name.removeprefix("new:"): one for name, one in answer.json()["placeholders"].items()}


def named(one: dict[str, Any]) -> dict[str, Any]:
    return {"fid": one["fid"], "version": one["version"]}


def item(writer: Writer, layer: str, fid: int) -> dict[str, Any]:
    answer = writer.get(f"/collections/{layer}/items/{fid}?crs={EPSG_9210}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
def water(editors: Editors) -> Writer:
    return editors.as_("water")


@pytest.fixture
def land(editors: Editors) -> Writer:
    return editors.as_("land")


@pytest.fixture
def y() -> float:
    return Y + 100.0 * next(STREET)


@pytest.fixture
def street(water: Writer, y: float) -> dict[str, Any]:
    """A works, a pipe with heights, a hydrant."""
    return made(
        water,
        ("works", "water_facility", point(X, y, 1.0), {"kind": "treatment_works"}),
        (
            "pipe",
            "water_pipe",
            line((X, y, 1.0), (X + 60, y, 4.0)),
            {**PIPE, "from_node": "new:works", "length_m": 60.5},
        ),
        ("hydrant", "water_hydrant", point(X + 60, y, 4.0), {}),
    )


def test_the_list_has_the_schema_of_each(editors: Editors) -> None:
    answer = editors.as_(None).get("/operations?lang=en")
    assert answer.status_code == 200
    found = {one["id"]: one for one in answer.json()["operations"]}
    assert set(found) == {
        "split-line",
        "merge-lines",
        "move-node",
        "split-parcel",
        "merge-parcels",
        "move-boundary",
        "mend",
    }
    assert all(one["schema"]["type"] == "object" and one["title"] for one in found.values())
    assert found["move-node"]["href"].endswith("/operations/move-node")


# --- lines and nodes -----------------------------------------------------------------------------------


def test_a_pipe_is_split_with_a_valve_and_merged_again(
    water: Writer, street: dict[str, Any], y: float
) -> None:
    pipe = street["pipe"]
    document = {
        "layer": "water_pipe",
        **named(pipe),
        "point": point(X + 20, y + 0.1),
        "node": {"layer": "water_valve", "properties": {"kind": "gate", "state": "open"}},
        "comment": "Thêm van",
    }
    dry = operate(water, "split-line", document, "?dry-run=true")
    assert dry.status_code == 200, dry.text
    assert [change["op"] for change in dry.json()["changes"]] == ["update", "create", "create"]
    assert dry.json()["changes"][2]["feature"]["geometry"]["coordinates"] == [X + 20, y, 2.0]
    assert item(water, "water_pipe", pipe["fid"])["properties"]["version"] == 1

    answer = operate(water, "split-line", document)
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert (body["kind"], body["operation"]) == ("operation", "split-line")
    second, valve = body["placeholders"]["new:second"], body["placeholders"]["new:node"]
    first = item(water, "water_pipe", pipe["fid"])
    other = item(water, "water_pipe", second["fid"])
    assert first["geometry"]["coordinates"] == [[X, y, 1.0], [X + 20, y, 2.0]]
    assert other["geometry"]["coordinates"] == [[X + 20, y, 2.0], [X + 60, y, 4.0]]
    assert item(water, "water_valve", valve["fid"])["geometry"]["coordinates"] == [X + 20, y, 2.0]
    assert first["properties"]["asset_id"] == pipe["asset_id"] != other["properties"]["asset_id"]
    assert first["properties"]["from_node"] == street["works"]["asset_id"]
    assert first["properties"]["to_node"] == other["properties"]["from_node"] == valve["asset_id"]
    assert first["properties"]["length_m"] + other["properties"]["length_m"] == pytest.approx(60.5)
    assert other["properties"]["diameter_mm"] == 100
    told = water.get(answer.headers["location"]).json()
    assert (told["kind"], told["comment"]) == ("operation", "Thêm van")

    document = {"layer": "water_pipe", "first": {"fid": pipe["fid"], "version": 2}, "second": named(second)}
    refused = operate(water, "merge-lines", document)
    assert (refused.status_code, refused.json()["code"]) == (422, "node-there")
    assert refused.json()["features"] == [
        {"layer": "water_valve", "fid": valve["fid"], "version": 1, "asset_id": valve["asset_id"]}
    ]
    document["delete_nodes"] = [{"layer": "water_valve", **named(valve)}]
    answer = operate(water, "merge-lines", document)
    assert answer.status_code == 201, answer.text
    again = item(water, "water_pipe", pipe["fid"])
    assert again["geometry"]["coordinates"] == [[X, y, 1.0], [X + 20, y, 2.0], [X + 60, y, 4.0]]
    assert again["properties"]["length_m"] == 60.5
    assert water.get(f"/collections/water_valve/items/{valve['fid']}").status_code == 404


def test_a_node_moves_with_its_pipes(water: Writer, street: dict[str, Any], y: float) -> None:
    hydrant = street["hydrant"]
    document = {"layer": "water_hydrant", **named(hydrant), "to": point(X + 62, y + 3)}
    dry = operate(water, "move-node", document, "?dry-run=true").json()
    expected = [{k: c[k] for k in ("layer", "fid", "version")} for c in dry["changes"]]
    assert {(c["layer"], c["fid"]) for c in expected} == {
        ("water_hydrant", hydrant["fid"]),
        ("water_pipe", street["pipe"]["fid"]),
    }
    wrong = operate(water, "move-node", {**document, "expected": expected[:1]})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "other-features")
    stale = [{**c, "version": 5} for c in expected]
    assert operate(water, "move-node", {**document, "expected": stale}).status_code == 409
    answer = operate(water, "move-node", {**document, "expected": expected})
    assert answer.status_code == 201, answer.text
    assert item(water, "water_hydrant", hydrant["fid"])["geometry"]["coordinates"] == [X + 62, y + 3, 4.0]
    pipe = item(water, "water_pipe", street["pipe"]["fid"])
    assert pipe["geometry"]["coordinates"] == [[X, y, 1.0], [X + 62, y + 3, 4.0]]
    # the client that had the version before
    answer = operate(water, "move-node", document)
    assert answer.status_code == 409
    (conflict,) = answer.json()["conflicts"]
    assert (conflict["fid"], conflict["theirs"]["version"]) == (hydrant["fid"], 2)


def test_what_is_of_others_at_the_node_is_named(editors: Editors, running: Server, y: float) -> None:
    """A cable of viettel hangs on a pole of vnpt: who edits for vnpt alone does not move both."""
    there = made(
        editors.as_("telecom"),
        ("a", "telecom_cabinet", point(X, y), {"owner": "vnpt"}),
        ("b", "telecom_cabinet", point(X + 50, y), {"owner": "viettel"}),
        ("p", "telecom_pole", point(X + 20, y), {"owner": "vnpt"}),
        ("c", "telecom_cable", line((X, y), (X + 20, y)), {"owner": "vnpt", "laying": "aerial"}),
        ("d", "telecom_cable", line((X + 20, y), (X + 50, y)), {"owner": "viettel", "laying": "aerial"}),
    )
    with psycopg.connect(running.db.owner_dsn, autocommit=True) as connection:
        account = add_account(connection, "vnpt_only")
        grant(connection, account, "editor", "vnpt")
        editors.tokens["vnpt_only"], _ = make_token(connection, account, "tests", ("read", "edit"))
    document = {"layer": "telecom_pole", **named(there["p"]), "to": point(X + 20, y + 2)}
    answer = operate(editors.as_("vnpt_only"), "move-node", document)
    assert answer.status_code == 403, answer.text
    (other,) = answer.json()["features"]
    assert (other["layer"], other["fid"], other["owner"]) == ("telecom_cable", there["d"]["fid"], "viettel")
    assert there["d"]["asset_id"] in answer.json()["detail"]
    assert item(editors.as_("telecom"), "telecom_pole", there["p"]["fid"])["properties"]["version"] == 1
    assert operate(editors.as_("telecom"), "move-node", document).status_code == 201


def test_the_end_of_pipes_without_a_feature(water: Writer, y: float) -> None:
    there = made(
        water,
        ("works", "water_facility", point(X, y), {"kind": "treatment_works"}),
        ("a", "water_pipe", line((X, y), (X + 20, y)), PIPE),
        ("b", "water_pipe", line((X + 20, y), (X + 40, y)), {**PIPE, "diameter_mm": 100}),
        ("h", "water_hydrant", point(X + 40, y), {}),
    )
    document = {"network": "water", "at": point(X + 20, y), "to": point(X + 21, y + 1)}
    answer = operate(water, "move-node", document)
    assert answer.status_code == 201, answer.text
    assert {(f["layer"], f["fid"]) for f in answer.json()["features"]} == {
        ("water_pipe", there["a"]["fid"]),
        ("water_pipe", there["b"]["fid"]),
    }


# --- parcels -------------------------------------------------------------------------------------------


def square(x: float, y: float) -> dict[str, Any]:
    ring = [[x, y], [x + 20, y], [x + 20, y + 20], [x, y + 20], [x, y]]
    return {"type": "Polygon", "coordinates": [ring]}


@pytest.fixture
def block(land: Writer, y: float) -> dict[str, Any]:
    """Four parcels, two by two."""
    rows = [
        (
            f"{i}{j}",
            "cadastre_parcel",
            square(X + 20 * i, y + 20 * j),
            {
                "commune_code": "27154",
                "sheet_no": str(int(y)),
                "parcel_no": f"{i}{j}",
                "land_use": "ODT",
                "legal_area_m2": 400,
            },
        )
        for i in range(2)
        for j in range(2)
    ]
    return made(land, *rows)


def fabric(writer: Writer, y: float) -> list[Any]:
    """All parcels there."""
    box = f"{X - 1},{y - 1},{X + 41},{y + 41}"
    answer = writer.get(f"/collections/cadastre_parcel/items?crs={EPSG_9210}&bbox-crs={EPSG_9210}&bbox={box}")
    return [shape(one["geometry"]) for one in answer.json()["features"]]


def assert_closed(writer: Writer, y: float, count: int) -> None:
    parcels = fabric(writer, y)
    assert len(parcels) == count
    assert shapely.coverage_is_valid(np.array(parcels, dtype=object))
    assert sum(one.area for one in parcels) == pytest.approx(1600, abs=1e-6)


def test_a_parcel_is_split_and_its_neighbours_stay_closed(
    land: Writer, block: dict[str, Any], y: float
) -> None:
    parcel = block["00"]
    document = {
        "layer": "cadastre_parcel",
        **named(parcel),
        "line": line((X + 20, y + 7), (X + 9, y + 8), (X + 8, y + 20)),
        "parts": [
            {"properties": {"parcel_no": "90", "legal_area_m2": 256.0}, "point": point(X + 1, y + 1)},
            {"properties": {"parcel_no": "91"}},
        ],
    }
    answer = operate(land, "split-parcel", document)
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert [note["code"] for note in body["notes"]] == ["legal-area-unset"]
    # the neighbours to the east and to the north got the ends of the cut as vertices
    assert {f["fid"] for f in body["features"]} >= {block[n]["fid"] for n in ("00", "10", "01")}
    part = item(land, "cadastre_parcel", body["placeholders"]["new:part-2"]["fid"])
    assert (part["properties"]["parcel_no"], part["properties"]["legal_area_m2"]) == ("91", None)
    assert part["properties"]["land_use"] == "ODT"
    assert_closed(land, y, 5)


def test_parcels_are_merged(land: Writer, block: dict[str, Any], y: float) -> None:
    parcels = [named(block[n]) for n in ("00", "10")]
    document: dict[str, Any] = {"layer": "cadastre_parcel", "parcels": parcels}
    refused = operate(land, "merge-parcels", document)
    assert (refused.status_code, refused.json()["code"]) == (422, "attributes-differ")
    assert refused.json()["errors"][0]["pointer"] == "/properties/parcel_no"
    document["properties"] = {"parcel_no": "92"}
    answer = operate(land, "merge-parcels", document)
    assert answer.status_code == 201, answer.text
    whole = item(land, "cadastre_parcel", block["00"]["fid"])
    assert (whole["properties"]["parcel_no"], whole["properties"]["legal_area_m2"]) == ("92", 800)
    assert land.get(f"/collections/cadastre_parcel/items/{block['10']['fid']}").status_code == 404
    assert_closed(land, y, 3)


def test_a_shared_boundary_is_moved_in_all_that_share_it(
    land: Writer, block: dict[str, Any], y: float
) -> None:
    document = {
        "layer": "cadastre_parcel",
        "parcels": [
            {**named(block["00"]), "properties": {"legal_area_m2": 407}},
            {**named(block["10"]), "properties": {"legal_area_m2": 393}},
        ],
        "line": line((X + 20, y), (X + 21, y), (X + 20.5, y + 20), (X + 20, y + 20)),
    }
    outside = operate(land, "move-boundary", document)
    assert (outside.status_code, outside.json()["code"]) == (422, "not-valid"), outside.text
    document["line"] = line((X + 20, y), (X + 20.5, y + 5), (X + 20.5, y + 15), (X + 20, y + 20))
    answer = operate(land, "move-boundary", document)
    assert answer.status_code == 201, answer.text
    areas = [shape(item(land, "cadastre_parcel", block[n]["fid"])["geometry"]).area for n in ("00", "10")]
    assert areas == [pytest.approx(407.5), pytest.approx(392.5)]
    assert_closed(land, y, 4)


def test_a_neighbour_that_somebody_edits_is_a_conflict_and_nothing_is_made(
    editors: Editors, block: dict[str, Any], y: float
) -> None:
    land = editors.as_("land")
    change = {
        "op": "update",
        "layer": "cadastre_parcel",
        **named(block["10"]),
        "properties": {"address": "1 Lê Lợi"},
    }
    steward = editors.as_("steward").send("POST", "/changesets", {"changes": [change]}, "application/json")
    assert steward.status_code == 201, steward.text
    document = {
        "layer": "cadastre_parcel",
        "parcels": [named(block["00"]), named(block["10"])],
        "line": line((X + 20, y), (X + 20.5, y + 5), (X + 20, y + 20)),
    }
    answer = operate(land, "move-boundary", document)
    assert answer.status_code == 409
    (conflict,) = answer.json()["conflicts"]
    assert conflict["theirs"]["author"] == "steward"
    assert_closed(land, y, 4)


# --- mistakes, rights, keys ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["split-line", "merge-lines", "move-node", "split-parcel", "merge-parcels", "move-boundary"]
)
@pytest.mark.parametrize(
    "document", [{}, [], None, "x", {"layer": 5, "fid": "a", "version": -1, "colour": 1}]
)
def test_documents_that_mean_nothing(water: Writer, name: str, document: Any) -> None:
    answer = operate(water, name, document)
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert all("pointer" in error for error in answer.json().get("errors", []))


def test_every_mistake_at_once(water: Writer) -> None:
    document = {
        "layer": "water_pipes",
        "fid": "1",
        "point": {"type": "Point", "coordinates": [1, "a"]},
        "node": {"layer": "water_pipe", "colour": "red"},
        "tolerance_m": 1e9,
        "comment": 7,
        "extra": 1,
    }
    answer = operate(water, "split-line", document)
    assert answer.status_code == 422
    assert {error["pointer"] for error in answer.json()["errors"]} == {
        "/layer",
        "/fid",
        "/version",
        "/point",
        "/node/layer",
        "/node/colour",
        "/tolerance_m",
        "/comment",
        "/extra",
    }


def test_who_may(editors: Editors, street: dict[str, Any], y: float) -> None:
    document = {"layer": "water_pipe", **named(street["pipe"]), "point": point(X + 20, y)}
    assert operate(editors.as_(None), "split-line", document).status_code == 401
    for name in ("power", "water_viewer"):
        answer = operate(editors.as_(name), "split-line", document)
        assert answer.status_code == 403, (name, answer.text)
        assert f"water_pipe/{street['pipe']['fid']}" in answer.json()["detail"]
    area = operate(editors.as_("water_area"), "split-line", document)
    assert area.status_code == 403
    assert "outside the area" in area.json()["detail"]
    assert operate(editors.as_("water"), "paint", document).status_code == 404
    gone = {**document, "fid": 10**9}
    assert operate(editors.as_("water"), "split-line", gone).status_code == 404


def test_the_same_key_splits_once(water: Writer, street: dict[str, Any], y: float) -> None:
    document = {"layer": "water_pipe", **named(street["pipe"]), "point": point(X + 20, y)}
    first = operate(water, "split-line", document, Idempotency_Key=f"split-{y}")
    again = operate(water, "split-line", document, Idempotency_Key=f"split-{y}")
    assert first.status_code == again.status_code == 201, first.text
    assert again.json() == first.json()
    assert operate(water, "split-line", document).status_code == 409


def test_an_operation_that_breaks_a_rule_is_rejected(water: Writer, street: dict[str, Any], y: float) -> None:
    document = {"layer": "water_pipe", **named(street["pipe"]), "point": point(X + 0.05, y)}
    answer = operate(water, "split-line", document)
    assert (answer.status_code, answer.json()["code"]) == (422, "rejected"), answer.text
    assert "NET-06" in {one["rule"] for one in answer.json()["findings"]}


# --- odd documents -------------------------------------------------------------------------------------


def nearly_right(pipe: dict[str, Any], y: float) -> st.SearchStrategy[tuple[str, Any]]:
    """Requests whose members are right as often as wrong: these get past the first checks."""
    odd: st.SearchStrategy[Any] = (
        st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.just([])
    )
    number = st.floats(allow_nan=False, allow_infinity=False) | st.integers() | odd
    place = st.tuples(st.floats(X - 5, X + 70), st.floats(y - 5, y + 5)).map(list) | st.lists(
        number, max_size=4
    )
    dot = st.fixed_dictionaries({"type": st.just("Point"), "coordinates": place}) | odd
    way = (
        st.fixed_dictionaries({"type": st.just("LineString"), "coordinates": st.lists(place, max_size=4)})
        | odd
    )
    layer = st.sampled_from(["water_pipe", "water_valve", "cadastre_parcel", "base_road", "finding"]) | odd
    who = {"fid": st.just(pipe["fid"]) | number, "version": st.just(1) | number}
    values = st.dictionaries(
        st.sampled_from(["street", "diameter_mm", "to_node", "asset_id"]), odd | st.just("new:a")
    )
    one = st.fixed_dictionaries(who, optional={"layer": layer, "properties": values})
    members = {
        "layer": st.just("water_pipe") | layer,
        **who,
        "point": dot,
        "to": dot,
        "at": dot,
        "line": way,
        "network": st.just("water") | odd,
        "node": one | odd,
        "first": one,
        "second": one | odd,
        "properties": values | odd,
        "parcels": st.lists(one | odd, max_size=3) | odd,
        "parts": st.lists(
            st.fixed_dictionaries({}, optional={"properties": values, "point": dot}), max_size=3
        ),
        "delete_nodes": st.lists(one, max_size=2) | odd,
        "tolerance_m": number,
        "expected": st.lists(one, max_size=2) | odd,
        "key": st.text(max_size=3) | odd,
    }
    takes = {
        "split-line": (
            ("layer", "fid", "version", "point"),
            ("node", "second", "tolerance_m", "expected", "key"),
        ),
        "merge-lines": (("layer", "first", "second"), ("properties", "delete_nodes", "expected")),
        "move-node": (("to",), ("layer", "fid", "version", "network", "at", "expected")),
        "split-parcel": (("layer", "fid", "version", "line", "parts"), ("tolerance_m",)),
        "merge-parcels": (("layer", "parcels"), ("properties", "key")),
        "move-boundary": (("layer", "parcels", "line"), ("tolerance_m",)),
    }
    change = st.fixed_dictionaries(
        {"op": st.sampled_from(["create", "update", "delete"]) | odd, "layer": layer},
        optional={
            **who,
            "properties": values,
            "geometry": dot | way,
            "id": st.just("new:a") | odd,
            "feature": st.fixed_dictionaries(
                {"type": st.just("Feature"), "geometry": dot | way, "properties": values}
            ),
        },
    )
    asked = [
        st.tuples(
            st.just(f"/operations/{name}"),
            st.fixed_dictionaries({m: members[m] for m in needs}, optional={m: members[m] for m in more}),
        )
        for name, (needs, more) in takes.items()
    ]
    changes = st.fixed_dictionaries({"changes": st.lists(change | odd, min_size=1, max_size=4)})
    return st.one_of(*asked, st.tuples(st.just("/changesets"), changes))


def test_no_document_makes_the_server_fail(editors: Editors, street: dict[str, Any], y: float) -> None:
    steward = editors.as_("steward")
    codes: Counter[int] = Counter()

    @settings(max_examples=250, deadline=None, derandomize=True, database=None)
    @given(nearly_right(street["pipe"], y), st.booleans())
    def ask(request: tuple[str, Any], dry: bool) -> None:
        path, document = request
        answer = steward.send(
            "POST", f"{path}?dry-run={str(dry).lower()}", document, "application/json", Content_Crs=EPSG_9210
        )
        codes[answer.status_code] += 1
        assert answer.status_code < 500, (path, document, answer.text)
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"

    ask()
    assert codes[422] > 50, codes
