"""POST /changesets: many changes of several layers, all of them or none; what was made; conflicts; keys."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

from gis.db.server import Database
from tests.api.editors import EPSG_9210, Editors, Writer, feature, line, point
from tests.api.process import Server

X, Y = 604_000.0, 1_192_500.0

STREET = iter(range(1000))


@pytest.fixture
def water(editors: Editors) -> Writer:
    return editors.as_("water")


@pytest.fixture
def y() -> float:
    """A street of its own for each test, 20 m from the next."""
    return Y + 20.0 * next(STREET)


def post(writer: Writer, *changes: dict[str, Any], query: str = "", **headers: Any) -> httpx.Response:
    more = headers.pop("document", {})
    headers.setdefault("Content_Crs", EPSG_9210)
    return writer.send(
        "POST", f"/changesets{query}", {"changes": list(changes), **more}, "application/json", **headers
    )


def create(
    layer: str, geometry: dict[str, Any], name: str | None = None, **properties: Any
) -> dict[str, Any]:
    change = {"op": "create", "layer": layer, "feature": feature(geometry, **properties)}
    return change if name is None else {**change, "id": name}


def supply(y: float) -> list[dict[str, Any]]:
    """A works, a pipe, a valve, a pipe and a hydrant in a row: a network in which nothing is wrong."""
    material = {"material": "hdpe", "diameter_mm": 100}
    return [
        create(
            "water_pipe",
            line((X, y), (X + 50, y)),
            "new:a",
            from_node="new:works",
            to_node="new:v",
            **material,
        ),
        create("water_pipe", line((X + 50, y), (X + 90, y)), "new:b", from_node="new:v", **material),
        create("water_facility", point(X, y), "new:works", kind="treatment_works"),
        create("water_valve", point(X + 50, y), "new:v", kind="gate", state="open"),
        create("water_hydrant", point(X + 90, y), "new:h"),
    ]


@pytest.fixture
def street(water: Writer, y: float) -> dict[str, Any]:
    """The network of ``supply``, made: placeholder -> layer, fid, asset_id, version."""
    answer = post(water, *supply(y))
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()["placeholders"]
    return made


def update(one: dict[str, Any], **change: Any) -> dict[str, Any]:
    return {"op": "update", **{k: one[k] for k in ("layer", "fid", "version")}, **change}


def delete(one: dict[str, Any]) -> dict[str, Any]:
    return {"op": "delete", **{k: one[k] for k in ("layer", "fid", "version")}}


def item(writer: Writer, one: dict[str, Any]) -> dict[str, Any]:
    answer = writer.get(f"/collections/{one['layer']}/items/{one['fid']}?crs={EPSG_9210}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


# --- making --------------------------------------------------------------------------------------------


def test_changes_of_several_layers_are_made_together(water: Writer, y: float) -> None:
    answer = post(water, *supply(y), document={"comment": "Đường mới", "source": "hoàn công 12/2026"})
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert answer.headers["location"].endswith(f"/changesets/{body['id']}")
    assert [f["op"] for f in body["features"]] == ["create"] * 5
    assert [f["layer"] for f in body["features"]][:2] == ["water_pipe", "water_pipe"]
    assert body["comment"] == "Đường mới"
    made = body["placeholders"]
    pipe = item(water, made["new:a"])
    # names of new features became their asset ids, wherever in the list they stand
    assert pipe["properties"]["from_node"] == made["new:works"]["asset_id"]
    assert pipe["properties"]["to_node"] == made["new:v"]["asset_id"]
    assert pipe["properties"]["version"] == made["new:a"]["version"] == 1
    assert pipe["properties"]["owner"] == "sawaco"
    # and are read again where the answer says
    again = water.get(answer.headers["location"]).json()
    assert again["author"] == "water"
    assert again["agency"] == "sawaco"
    assert again["comment"] == "Đường mới"
    assert again["source"] == "hoàn công 12/2026"
    assert again["layers"]["water_pipe"]["created"] == 2
    assert {(f["layer"], f["fid"], f["asset_id"]) for f in again["features"]} == {
        (one["layer"], one["fid"], one["asset_id"]) for one in made.values()
    }


def test_update_and_delete_with_their_versions(water: Writer, street: dict[str, Any]) -> None:
    a, h = street["new:a"], street["new:h"]
    pipe = street["new:b"]
    end = create("water_facility", point(*item(water, h)["geometry"]["coordinates"]), kind="end_cap")
    answer = post(
        water,
        update(a, properties={"street": "Lê Lợi"}),
        delete(h),
        end,
        update(pipe, properties={"street": None}),
    )
    assert answer.status_code == 201, answer.text
    assert [(f["op"], f["version"]) for f in answer.json()["features"]] == [
        ("update", 2),
        ("delete", 1),
        ("create", 1),
        ("update", 2),
    ]
    assert item(water, a)["properties"]["street"] == "Lê Lợi"
    assert water.get(f"/collections/water_hydrant/items/{h['fid']}").status_code == 404


def test_one_wrong_change_undoes_all(water: Writer, street: dict[str, Any], sample_db: Database) -> None:
    a, b = street["new:a"], street["new:b"]
    stale = {**b, "version": 7}
    answer = post(water, update(a, properties={"street": "X"}), update(stale, properties={"street": "X"}))
    assert answer.status_code == 409
    assert item(water, a)["properties"]["version"] == 1
    with psycopg.connect(sample_db.owner_dsn) as connection:
        rows = connection.execute(
            "SELECT count(*) FROM bandoso.version WHERE layer = 'water_pipe' AND fid = %s", [a["fid"]]
        ).fetchone()
    assert rows == (0,)


def test_every_mistake_of_every_change_at_once(water: Writer, street: dict[str, Any]) -> None:
    wrong = [
        create(
            "water_pipe", line((X, Y - 50), (X + 1, Y - 50)), "new:p", diameter_mm="wide", materiel="hdpe"
        ),
        create("water_valve", {"type": "Point", "coordinates": [X]}, "new:p", kind="magic"),
        {"op": "update", "layer": "water_pipe", "fid": street["new:a"]["fid"], "properties": {}},
        {"op": "paint", "layer": "water_pipe"},
        {"op": "delete", "layer": "no_such_layer", "fid": 1, "version": 1},
        create("water_pipe", line((X, Y), (X + 1, Y)), to_node="new:nobody"),
        "nothing",
        {
            "op": "create",
            "layer": "water_pipe",
            "feature": feature(line((X, Y), (X + 9, Y))),
            "colour": "red",
        },
    ]
    answer = post(water, *wrong, document={"coment": "x"})
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    places = [error["pointer"] for error in answer.json()["errors"]]
    assert places == sorted(places, key=lambda p: (int(p.split("/")[2]) if p.count("/") > 1 else -1, p))
    assert set(places) == {
        "/coment",
        "/changes/0/feature/properties/diameter_mm",
        "/changes/0/feature/properties/materiel",
        "/changes/1/id",
        "/changes/1/feature/geometry/coordinates",
        "/changes/1/feature/properties/kind",
        "/changes/2/version",
        "/changes/3/op",
        "/changes/4/layer",
        "/changes/5/feature/properties/to_node",
        "/changes/6",
        "/changes/7/colour",
    }


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"changes": {}},
        {"changes": []},
        {"changes": [None]},
        {"changes": [{"op": ["create"]}]},
        "x",
        None,
        5,
    ],
)
def test_bodies_that_are_no_changeset(water: Writer, document: Any) -> None:
    answer = water.send("POST", "/changesets", document, "application/json")
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_bounds_are_told(water: Writer, running: Server) -> None:
    many = [{"op": "delete", "layer": "water_pipe", "fid": 1, "version": 1}] * 5_001
    answer = post(water, *many)
    assert (answer.status_code, answer.json()["code"]) == (422, "too-many-changes")
    answer = water.request(
        "POST",
        "/changesets",
        content=b" " * (running.settings.max_body_bytes + 1),
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


# --- who may -------------------------------------------------------------------------------------------


def test_nobody_and_others_make_none(editors: Editors, street: dict[str, Any], y: float) -> None:
    assert post(editors.as_(None), *supply(y + 10)).status_code == 401
    for name in ("power", "water_viewer", "water_reader"):
        answer = post(editors.as_(name), *supply(y + 10))
        assert answer.status_code == 403, (name, answer.text)
        answer = post(editors.as_(name), update(street["new:a"], properties={"street": "mine"}))
        assert answer.status_code == 403, (name, answer.text)


def test_a_changeset_over_layers_of_others_is_refused_whole(editors: Editors, y: float) -> None:
    mixed = [*supply(y), create("power_support", point(X, y + 5))]
    answer = post(editors.as_("water"), *mixed)
    assert answer.status_code == 403
    assert answer.json()["errors"][0]["pointer"].startswith("/changes/5")
    layers = editors.as_(None).get(
        f"/collections/water_pipe/items?bbox-crs={EPSG_9210}&bbox={X},{y - 1},{X + 90},{y + 1}"
    )
    assert layers.json()["features"] == []


def test_the_layer_that_is_hidden_is_absent(editors: Editors) -> None:
    for layer in ("water_meter", "no_such_layer"):
        answer = post(editors.as_("power"), create(layer, point(X, Y)))
        assert answer.status_code == 422
        assert answer.json()["errors"] == [
            {"pointer": "/changes/0/layer", "detail": "there is no such layer; see /collections for the list"}
        ]


# --- dry run, checks -----------------------------------------------------------------------------------


def test_a_dry_run_stores_nothing_and_says_what_would_be(
    water: Writer, y: float, sample_db: Database
) -> None:
    with psycopg.connect(sample_db.owner_dsn) as connection:
        before = connection.execute("SELECT count(*) FROM bandoso.changeset").fetchone()
    answer = post(water, *supply(y), query="?dry-run=true", Idempotency_Key="dry")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["dry_run"] is True
    assert body["id"] is None
    assert "location" not in answer.headers
    assert {f["fid"] for f in body["features"]} == {None}
    assert len(body["features"]) == 5
    with psycopg.connect(sample_db.owner_dsn) as connection:
        assert connection.execute("SELECT count(*) FROM bandoso.changeset").fetchone() == before
    assert post(water, *supply(y), Idempotency_Key="dry").status_code == 201


def test_a_changeset_that_breaks_a_rule_is_rejected_with_the_place(
    water: Writer, street: dict[str, Any], y: float
) -> None:
    """NET-01: a pipe that ends on no node. Step by step it would be stored; a changeset is complete."""
    loose = create("water_pipe", line((X + 50, y), (X + 50, y + 8)), material="hdpe", diameter_mm=100)
    short = create("water_pipe", line((X + 90, y), (X + 90.05, y)), material="hdpe", diameter_mm=100)
    for query in ("", "?dry-run=true"):
        answer = post(water, short, loose, query=query)
        assert answer.status_code == 422, answer.text
        problem = answer.json()
        assert problem["code"] == "rejected"
        assert "NET-06" in {one["rule"] for one in problem["findings"]}
        assert all(one["place"]["type"] for one in problem["findings"])


def test_only_stewards_store_what_breaks_a_rule(editors: Editors, street: dict[str, Any], y: float) -> None:
    short = create(
        "water_pipe", line((X + 90, y), (X + 90.05, y)), material="hdpe", diameter_mm=100, owner="sawaco"
    )
    assert post(editors.as_("water"), short, Prefer="handling=lenient").status_code == 422
    answer = post(editors.as_("steward"), short, Prefer="handling=lenient")
    assert answer.status_code == 201, answer.text
    assert answer.headers["preference-applied"] == "handling=lenient"
    assert "NET-06" in {one["rule"] for one in answer.json()["findings"]}


# --- conflicts -----------------------------------------------------------------------------------------


def test_a_conflict_shows_base_yours_and_theirs(editors: Editors, street: dict[str, Any]) -> None:
    a = street["new:a"]
    base = item(editors.as_("water"), a)
    theirs = post(editors.as_("steward"), update(a, properties={"diameter_mm": 150, "street": "Lê Lợi"}))
    assert theirs.status_code == 201, theirs.text
    answer = post(editors.as_("water"), update(a, properties={"diameter_mm": 200, "remark": "đo lại"}))
    assert answer.status_code == 409
    (conflict,) = answer.json()["conflicts"]
    assert (conflict["layer"], conflict["fid"]) == ("water_pipe", a["fid"])
    assert conflict["pointer"] == "/changes/0"
    assert conflict["base"]["version"] == 1
    assert conflict["base"]["properties"]["diameter_mm"] == 100
    assert conflict["base"]["geometry"] == base["geometry"]
    assert conflict["yours"] == {"version": 1, "properties": {"diameter_mm": 200, "remark": "đo lại"}}
    assert conflict["theirs"]["version"] == 2
    assert conflict["theirs"]["author"] == "steward"
    assert conflict["theirs"]["changeset"] == theirs.json()["id"]
    assert conflict["theirs"]["at"]
    assert conflict["theirs"]["properties"]["diameter_mm"] == 150
    assert conflict["changed"] == {"yours": ["diameter_mm", "remark"], "theirs": ["diameter_mm", "street"]}
    assert conflict["both"] == ["diameter_mm"]
    assert conflict["mergeable"] is False
    assert item(editors.as_("water"), a)["properties"]["diameter_mm"] == 150


def test_what_one_side_changed_is_mergeable_but_not_merged(editors: Editors, street: dict[str, Any]) -> None:
    a, b = street["new:a"], street["new:b"]
    assert post(editors.as_("steward"), update(a, properties={"street": "Lê Lợi"})).status_code == 201
    answer = post(
        editors.as_("water"), update(a, properties={"remark": "x"}), update(b, properties={"remark": "x"})
    )
    assert answer.status_code == 409
    (conflict,) = answer.json()["conflicts"]  # the other change is in no conflict, and is not made either
    assert conflict["mergeable"] is True
    assert conflict["both"] == []
    assert item(editors.as_("water"), a)["properties"]["remark"] is None
    assert item(editors.as_("water"), b)["properties"]["version"] == 1


def test_geometry_conflicts_and_deleted_features(editors: Editors, street: dict[str, Any], y: float) -> None:
    water, steward = editors.as_("water"), editors.as_("steward")
    a, h = street["new:a"], street["new:h"]
    bent = line((X, y), (X + 20, y + 1), (X + 50, y))
    assert post(steward, update(a, geometry=bent)).status_code == 201
    answer = post(water, update(a, geometry=line((X, y), (X + 20, y - 1), (X + 50, y))))
    (conflict,) = answer.json()["conflicts"]
    assert conflict["both"] == ["geometry"]
    assert conflict["theirs"]["geometry"] == bent
    assert conflict["yours"]["geometry"]["coordinates"][1] == [X + 20, y - 1]
    cap = create("water_facility", point(X + 90, y), kind="end_cap", owner="sawaco")
    assert post(steward, delete(h), cap).status_code == 201
    answer = post(water, update(h, properties={"code": "H1"}))
    assert answer.status_code == 409, answer.text
    (conflict,) = answer.json()["conflicts"]
    assert conflict["theirs"]["deleted"] is True
    assert conflict["theirs"]["author"] == "steward"
    assert conflict["base"]["version"] == 1
    assert conflict["mergeable"] is False


# --- keys ----------------------------------------------------------------------------------------------


def test_the_same_key_gets_the_same_answer_and_makes_nothing_twice(editors: Editors, y: float) -> None:
    water = editors.as_("water")
    first = post(water, *supply(y), Idempotency_Key="k-1")
    again = post(water, *supply(y), Idempotency_Key="k-1")
    assert first.status_code == again.status_code == 201
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    other = post(water, *supply(y + 9), Idempotency_Key="k-1")
    assert (other.status_code, other.json()["code"]) == (422, "key-reused")
    # the member key is the same thing, and keys are an account's own
    member = post(water, *supply(y), document={"key": "k-1"})
    assert (member.status_code, member.json()["code"]) == (422, "key-reused")  # the body is another one
    steward = post(editors.as_("steward"), create("water_hydrant", point(X, y + 5)), Idempotency_Key="k-1")
    assert steward.status_code != 201 or steward.json() != first.json()


def test_keys_of_refused_requests_may_be_used_again(water: Writer, street: dict[str, Any]) -> None:
    stale = {**street["new:a"], "version": 9}
    assert post(water, update(stale, properties={"street": "a"}), Idempotency_Key="k-2").status_code == 409
    answer = post(water, update(street["new:a"], properties={"street": "a"}), Idempotency_Key="k-2")
    assert answer.status_code == 201


def test_two_of_one_key_at_a_time_make_one_changeset(editors: Editors, y: float) -> None:
    def once(_: int) -> httpx.Response:
        return post(editors.as_("water"), *supply(y), Idempotency_Key="k-3")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(once, range(8)))
    assert {a.status_code for a in answers} <= {201, 409}
    assert len({a.json()["id"] for a in answers if a.status_code == 201}) == 1


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_keys_that_cannot_be_one(water: Writer, y: float, key: str) -> None:
    answer = post(water, *supply(y), document={"key": key})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-key")


# --- at the same time ----------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["changeset", "patch"])
def test_of_16_writers_of_one_version_exactly_one_wins(
    editors: Editors, street: dict[str, Any], sample_db: Database, door: str
) -> None:
    valve = street["new:v"]
    path = f"/collections/water_valve/items/{valve['fid']}"
    etag = editors.as_("water").get(path).headers["etag"]
    gate = threading.Barrier(16)

    def write(number: int) -> int:
        writer = editors.as_("water")
        writer.get("/healthz")
        gate.wait()
        if door == "patch":
            return writer.patch(path, {"properties": {"code": f"V{number}"}}, If_Match=etag).status_code
        return post(writer, update(valve, properties={"code": f"V{number}"})).status_code

    with ThreadPoolExecutor(16) as pool:
        codes = sorted(pool.map(write, range(16)))
    lost = 412 if door == "patch" else 409
    assert codes == sorted([200 if door == "patch" else 201] + [lost] * 15)
    with psycopg.connect(sample_db.owner_dsn) as connection:
        rows = connection.execute(
            "SELECT (SELECT count(*) FROM bandoso.version WHERE layer = 'water_valve' AND fid = %(f)s),"
            " (SELECT count(*) FROM bandoso.change WHERE layer = 'water_valve' AND fid = %(f)s AND op = 'u'),"
            " (SELECT version FROM layer.water_valve WHERE fid = %(f)s)",
            {"f": valve["fid"]},
        ).fetchone()
    assert rows == (1, 1, 2)


def test_a_thousand_creates_are_one_changeset(water: Writer) -> None:
    """Hydrants on nothing would be rejected one and all: places of post offices are judged by less."""
    made = [
        create(
            "water_dma",
            {"type": "Polygon", "coordinates": [box(602_000 + 30 * (n % 40), 1_194_000 + 30 * (n // 40))]},
        )
        for n in range(1000)
    ]
    begun = time.perf_counter()
    answer = post(water, *made)
    print(f"{time.perf_counter() - begun:.1f} s")  # 3 s on a quiet machine: scripts/bench edit holds that
    assert answer.status_code == 201, answer.text[:2000]
    assert len(answer.json()["features"]) == 1000


def box(x: float, y: float) -> list[list[float]]:
    return [[x, y], [x + 20, y], [x + 20, y + 20], [x, y + 20], [x, y]]


# --- what was made -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def listed(editors: Editors) -> Iterator[list[int]]:
    """Three changesets of a place of their own, the last two of the steward."""
    found = []
    for number, name in enumerate(("water", "steward", "steward")):
        facility = create(
            "water_dma",
            {"type": "Polygon", "coordinates": [box(601_000 + 100 * number, 1_186_000)]},
            owner="sawaco",
        )
        answer = post(editors.as_(name), facility, document={"comment": f"số {number}"})
        assert answer.status_code == 201, answer.text
        found.append(answer.json()["id"])
    yield found


def ids(writer: Writer, query: str) -> list[int]:
    answer = writer.get(f"/changesets?{query}")
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["changesets"]]


def test_the_list_is_filtered_and_paged(editors: Editors, listed: list[int]) -> None:
    water = editors.as_("water")
    place = f"bbox-crs={EPSG_9210}&bbox=600990,1185990,601290,1186030"
    assert ids(water, place) == listed[::-1]
    assert ids(water, f"{place}&author=steward") == listed[:0:-1]
    assert ids(water, f"{place}&agency=sawaco") == listed[:1]
    assert ids(water, f"{place}&layer=water_dma") == listed[::-1]
    assert ids(water, f"{place}&layer=water_pipe") == []
    assert ids(water, f"{place}&limit=2") == [listed[2], listed[1]]
    times = [water.get(f"/changesets/{i}").json()["at"] for i in listed]
    assert ids(water, f"{place}&datetime={times[1]}/..") == listed[:0:-1]
    assert ids(water, f"{place}&datetime=../{times[0]}") == listed[:1]
    page = water.get(f"/changesets?{place}&limit=2").json()
    (further,) = [link["href"] for link in page["links"] if link["rel"] == "next"]
    assert [one["id"] for one in water.get(further).json()["changesets"]] == listed[:1]
    assert ids(editors.as_(None), place) == listed[::-1]


@pytest.mark.parametrize(
    "query",
    [
        "datetime=yesterday",
        "datetime=2026-01-01",
        "limit=0",
        "limit=x",
        "bbox=1,2",
        "colour=red",
        "before=z",
        "author=%00",
    ],
)
def test_parameters_that_mean_nothing(water: Writer, query: str) -> None:
    answer = water.get(f"/changesets?{query}")
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_what_is_hidden_is_absent_from_changesets(editors: Editors, y: float) -> None:
    water = editors.as_("water")
    meter = create("water_meter", point(X, y), meter_no="77", customer_code="KH-1")
    answer = post(water, meter, query="", Prefer="handling=lenient")
    if answer.status_code == 422:  # a meter hangs on a pipe
        answer = post(
            water, *supply(y), {**meter, "feature": feature(point(X + 50, y), customer_code="KH-1")}
        )
    assert answer.status_code == 201, answer.text
    number, fid = answer.json()["id"], answer.json()["features"][-1]["fid"]
    mine = water.get(f"/changesets/{number}").json()
    assert ("water_meter", fid) in {(f["layer"], f["fid"]) for f in mine["features"]}
    for name in ("power", None):
        theirs = editors.as_(name).get(f"/changesets/{number}")
        assert "water_meter" not in theirs.text
        assert "KH-1" not in theirs.text
        assert "water_meter" not in editors.as_(name).get("/changesets?limit=200").text


def test_a_changeset_that_there_is_not(water: Writer) -> None:
    for number in ("0", "99999999", "9" * 30):
        assert water.get(f"/changesets/{number}").status_code == 404
