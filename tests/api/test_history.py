"""What was, over HTTP: versions of a feature, a layer as it was, differences, and undoing a changeset."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pyogrio
import pytest

from tests.api.editors import EPSG_9210, Editors, Writer, feature, point
from tests.api.process import Server

X, Y = 604_000.0, 1_192_500.0
VALVES = "/collections/water_valve"
ITEMS = f"{VALVES}/items"
PLACE = iter(range(10_000))


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@pytest.fixture(scope="module")
def land(editors: Editors) -> Writer:
    return editors.as_("land")


@pytest.fixture(scope="module")
def anyone(editors: Editors) -> Writer:
    return editors.as_(None)


@pytest.fixture
def spot() -> tuple[float, float]:
    """A place of its own for each test, 300 m from the next."""
    n = next(PLACE)
    return X + 300.0 * (n % 10), Y + 300.0 * (n // 10)


def changeset(writer: Writer, *changes: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = writer.send(
        "POST",
        "/changesets",
        {"changes": list(changes)},
        "application/json",
        Content_Crs=EPSG_9210,
        **headers,
    )
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def create(spot: tuple[float, float], **properties: Any) -> dict[str, Any]:
    shape = point(*spot)
    return {"op": "create", "layer": "base_place", "feature": feature(shape, **properties)}


def made(writer: Writer, *changes: dict[str, Any]) -> list[dict[str, Any]]:
    """The features of a changeset: layer, fid, version."""
    return list(changeset(writer, *changes)["features"])


def update(one: dict[str, Any], **properties: Any) -> dict[str, Any]:
    geometry = properties.pop("geometry", None)
    change: dict[str, Any] = {"op": "update", **{k: one[k] for k in ("layer", "fid", "version")}}
    if properties:
        change["properties"] = properties
    return {**change, "geometry": geometry} if geometry else change


def delete(one: dict[str, Any]) -> dict[str, Any]:
    return {"op": "delete", **{k: one[k] for k in ("layer", "fid", "version")}}


def item(writer: Writer, one: dict[str, Any], query: str = "") -> httpx.Response:
    return writer.get(f"/collections/{one['layer']}/items/{one['fid']}?crs={EPSG_9210}{query}")


# --- versions of a feature ------------------------------------------------------------------------------


def test_every_version_tells_who_made_and_ended_it(
    land: Writer, anyone: Writer, spot: tuple[float, float]
) -> None:
    (one,) = made(land, create(spot, name="one"))
    (two,) = made(land, update(one, name="two", geometry=point(spot[0] + 1, spot[1])))
    gone = changeset(land, delete(two))
    answer = anyone.get(f"/collections/base_place/items/{one['fid']}/history?crs={EPSG_9210}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/geo+json"
    assert answer.headers["content-crs"] == f"<{EPSG_9210}>"
    newest, oldest = answer.json()["features"]
    assert [f["version"] for f in (newest, oldest)] == [2, 1]
    assert [f["properties"]["name"] for f in (newest, oldest)] == ["two", "one"]
    assert [f["geometry"]["coordinates"] for f in (newest, oldest)] == [[spot[0] + 1, spot[1]], list(spot)]
    assert [newest["made"]["op"], newest["ended"]["op"]] == ["update", "delete"]
    assert [oldest["made"]["op"], oldest["ended"]["op"]] == ["create", "update"]
    assert newest["ended"]["changeset"] == gone["id"]
    assert newest["made"]["changeset"] == oldest["ended"]["changeset"]
    assert (newest["made"]["author"], newest["made"]["agency"], newest["made"]["kind"]) == (
        None,
        "stnmt",
        "edit",
    ), "names of accounts are for members"
    told = land.get(f"/collections/base_place/items/{one['fid']}/history").json()["features"]
    assert [f["made"]["author"] for f in told] == ["land", "land"]
    assert oldest["valid_from"] < oldest["valid_to"] == newest["valid_from"] < newest["valid_to"]
    assert item(anyone, one).status_code == 404, "its history is there, it is not"
    again = anyone.get(f"/collections/base_place/items/{one['fid']}/history", headers={"If-None-Match": "*"})
    assert again.status_code == 304


def test_the_history_goes_in_pages_and_each_version_has_an_address(
    land: Writer, anyone: Writer, spot: tuple[float, float]
) -> None:
    (one,) = made(land, create(spot, name="v1"))
    for n in range(2, 6):
        (one,) = made(land, update(one, name=f"v{n}"))
    here = f"/collections/base_place/items/{one['fid']}/history"
    found, address = [], f"{here}?limit=2&properties=name"
    while address:
        page = anyone.get(address).json()
        found += [(f["version"], f["properties"]) for f in page["features"]]
        address = next((one["href"] for one in page["links"] if one["rel"] == "next"), "")
    assert found == [(n, {"name": f"v{n}"}) for n in range(5, 0, -1)]
    third = anyone.get(f"{here}/3").json()
    assert (third["properties"]["name"], third["version"], third["ended"]["op"]) == ("v3", 3, "update")
    standing = anyone.get(f"{here}/5").json()
    assert (standing["valid_to"], standing["ended"]) == (None, None)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/collections/base_place/items/999999999/history", 404),
        ("/collections/base_place/items/x/history", 404),
        ("/collections/base_place/items/1/history/77", 404),
        ("/collections/base_place/items/1/history/x", 404),
        ("/collections/finding/items/1/history", 404),
        ("/collections/water_meter/items/1/history", 404),
        ("/collections/base_place/items/1/history?limit=0", 400),
        ("/collections/base_place/items/1/history?nothing=1", 400),
        ("/collections/base_place/items/1/history?before=99999999999999999999", 400),
        ("/collections/base_place/items/1/history?crs=EPSG:1", 400),
        ("/collections/base_place/changes?to=yesterday", 400),
        ("/collections/base_place/changes?from=2026-02-30", 400),
        ("/collections/base_place/changes?from=2026-02-01/2026-02-02", 400),
        ("/collections/base_place/changes?from=2026-02-02&to=2026-02-01", 400),
        ("/collections/water_meter/changes?from=2026-02-02", 404),
        ("/collections/finding/changes?from=2026-02-02", 404),
    ],
)
def test_what_is_not_there_or_not_for_the_caller(anyone: Writer, path: str, status: int) -> None:
    answer = anyone.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


# --- a layer as it was ----------------------------------------------------------------------------------


@dataclass
class Past:
    """A layer that was recorded after every change: time -> its items then."""

    states: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def everything(writer: Writer, query: str = "") -> list[dict[str, Any]]:
    """All features, page by page."""
    found, address = [], f"{ITEMS}?limit=4&crs={EPSG_9210}{query}"
    while address:
        answer = writer.get(address)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["features"]
        assert page["numberMatched"] >= len(page["features"])
        address = next((one["href"] for one in page["links"] if one["rel"] == "next"), "")
    return found


@pytest.fixture(scope="module")
def past(editors: Editors, land: Writer, anyone: Writer, running: Server) -> Iterator[Past]:
    """Valves that are made, changed, moved, taken away and put back."""
    found = Past()

    def record() -> None:
        found.states[now()] = everything(anyone)

    with psycopg.connect(running.db.owner_dsn, autocommit=True) as connection:
        # (without findings about them: this is not about checks)
        def valve(code: str, x: float) -> int:
            row = connection.execute(
                "INSERT INTO layer.water_valve (code, kind, diameter_mm, geom)"
                " VALUES (%s, 'gate', %s, ST_SetSRID(ST_MakePoint(%s, 1192500), 9210)) RETURNING fid",
                [code, x % 7 / 3, x],
            ).fetchone()
            assert row
            return int(row[0])

        record()
        fids = []
        for n in range(6):
            fids.append(valve(f"as-of {n}", 607_000 + 50 * n))
            record()
        connection.execute("UPDATE layer.water_valve SET code = 'renamed' WHERE fid = %s", [fids[0]])
        record()
        connection.execute(
            "UPDATE layer.water_valve SET geom = ST_Translate(geom, 0, 500), diameter_mm = NULL"
            " WHERE fid = ANY (%s)",
            [fids[1:3]],
        )
        record()
        connection.execute("DELETE FROM layer.water_valve WHERE fid = %s", [fids[0]])
        record()
        connection.execute("DELETE FROM layer.water_valve WHERE fid = ANY (%s)", [fids[3:5]])
        record()
        connection.execute(
            "INSERT INTO layer.water_valve (fid, asset_id, code, geom)"
            " VALUES (%s, 'valve-again', 'again', ST_SetSRID(ST_MakePoint(607000, 1192400), 9210))",
            [fids[0]],
        )
        record()
    yield found


def test_an_instant_gives_the_layer_as_it_was(past: Past, anyone: Writer) -> None:
    for moment, then in past.states.items():
        assert everything(anyone, f"&datetime={moment}") == then


def test_the_past_is_selected_sorted_and_counted_like_the_present(past: Past, anyone: Writer) -> None:
    """The same question of then and of now's answer to it (a box, a filter, an order) give the same."""
    box = f"&bbox=606990,1192490,607160,1192510&bbox-crs={EPSG_9210}"
    for moment, then in past.states.items():
        at = f"&datetime={moment}"
        inside = [
            f
            for f in then
            if 606990 <= f["geometry"]["coordinates"][0] <= 607160
            and 1192490 <= f["geometry"]["coordinates"][1] <= 1192510
        ]
        assert everything(anyone, box + at) == inside
        named = [f for f in then if (f["properties"]["code"] or "").startswith("as-of")]
        assert everything(anyone, f"&filter=code LIKE 'as-of%25'{at}") == named
        assert {f["id"] for f in everything(anyone, f"&q=as-of{at}")} == {f["id"] for f in named}
        ordered = everything(anyone, f"&sortby=-diameter_mm,code{at}")
        assert sorted(f["id"] for f in ordered) == sorted(f["id"] for f in then)
        widths = [f["properties"]["diameter_mm"] for f in ordered]
        assert widths == sorted(widths, key=lambda w: (w is not None, -(w or 0)))
        counted = anyone.get(f"{ITEMS}?limit=1{at}").json()["numberMatched"]
        assert counted == len(then)
        skipped = anyone.get(f"{ITEMS}?limit=3&offset=5&crs={EPSG_9210}{at}").json()["features"]
        assert skipped == then[5:8]


@pytest.mark.parametrize("output", ["csv", "fgb", "gpkg", "jsonfg", "html"])
def test_every_export_gives_the_past(past: Past, anyone: Writer, output: str, tmp_path: Path) -> None:
    moments = list(past.states)
    for moment in (moments[0], moments[-4], moments[-1]):
        then = {(f["id"], f["properties"]["version"], f["properties"]["code"]) for f in past.states[moment]}
        answer = anyone.get(f"{ITEMS}?f={output}&datetime={moment}&limit=100")
        assert answer.status_code == 200, answer.text
        match output:
            case "csv":
                rows = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")))
                found = {(int(r["fid"]), int(r["version"]), r["code"] or None) for r in rows}
            case "fgb" | "gpkg":
                file = tmp_path / f"then.{output}"
                file.write_bytes(answer.content)
                frame = pyogrio.read_dataframe(file, read_geometry=False, fid_as_index=output == "gpkg")
                fids = frame.index if output == "gpkg" else frame["fid"]
                codes = [code if isinstance(code, str) else None for code in frame["code"]]
                found = set(zip(map(int, fids), map(int, frame["version"]), codes, strict=True))
            case "jsonfg":
                features = answer.json()["features"]
                found = {(f["id"], f["properties"]["version"], f["properties"]["code"]) for f in features}
            case _:
                for _, _, code in then:
                    assert code is None or code in answer.text or "&" in answer.text
                assert ("renamed" in answer.text) == any(code == "renamed" for *_, code in then)
                continue
        assert found == then


def test_one_item_as_it_was(past: Past, anyone: Writer) -> None:
    for moment, then in past.states.items():
        for one in then[-3:]:
            answer = anyone.get(f"{ITEMS}/{one['id']}?crs={EPSG_9210}&datetime={moment}")
            assert {k: answer.json()[k] for k in one} == one
            tagged = anyone.get(
                f"{ITEMS}/{one['id']}?crs={EPSG_9210}&datetime={moment}",
                headers={"If-None-Match": answer.headers["etag"]},
            )
            assert tagged.status_code == 304
    first, last = next(iter(past.states)), list(past.states.values())[-1]
    assert anyone.get(f"{ITEMS}/{last[-1]['id']}?datetime={first}").status_code == 404


def test_a_day_stands_for_its_end_and_an_interval_selects_by_the_last_change(
    past: Past, anyone: Writer
) -> None:
    today = datetime.now(UTC).date()
    latest = list(past.states.values())[-1]
    assert everything(anyone, f"&datetime={today}") == latest
    assert everything(anyone, f"&datetime={today - timedelta(days=1)}") == []
    moment = list(past.states)[8]
    later = everything(anyone, f"&datetime={moment}/..")
    assert later == [f for f in latest if f["properties"]["updated_at"] >= moment]
    assert 0 < len(later) < len(latest)


def test_time_of_its_own_stays_what_datetime_is_about(anyone: Writer) -> None:
    """flood_spot says when it was observed: an instant is compared with that."""
    spots = anyone.get("/collections/flood_spot/items").json()["features"]
    observed = next(f["properties"]["observed_at"] for f in spots if f["properties"]["observed_at"])
    found = anyone.get(f"/collections/flood_spot/items?datetime={observed.replace('+00:00', 'Z')}").json()
    assert {f["properties"]["observed_at"] for f in found["features"]} == {observed}
    assert anyone.get(f"/collections/flood_spot/items/1?datetime={now()}").status_code == 400


# --- differences ----------------------------------------------------------------------------------------


def differences(writer: Writer, query: str, limit: int = 2) -> list[dict[str, Any]]:
    found, address = [], f"{VALVES}/changes?crs={EPSG_9210}&limit={limit}&{query}"
    while address:
        answer = writer.get(address)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["changes"]
        address = next((one["href"] for one in page["links"] if one["rel"] == "next"), "")
    return found


def content(one: dict[str, Any]) -> Any:
    kept = {k: v for k, v in one["properties"].items() if k not in ("version", "updated_at")}
    return kept, one["geometry"]


def test_the_difference_of_any_two_recorded_states(past: Past, anyone: Writer) -> None:
    states = list(past.states.items())
    for n, (start, before) in enumerate(states):
        for end, after in states[n + 1 :: 2]:
            old, new = ({f["id"]: f for f in state} for state in (before, after))
            expected = {
                fid: (old.get(fid), new.get(fid))
                for fid in old.keys() | new.keys()
                if fid not in old or fid not in new or content(old[fid]) != content(new[fid])
            }
            found = differences(anyone, f"from={start}&to={end}")
            assert {c["fid"]: (c["old"], c["new"]) for c in found} == expected
            assert [c["fid"] for c in found] == sorted(expected)
            for one in found:
                kind = "create" if one["old"] is None else "delete" if one["new"] is None else "update"
                assert one["op"] == kind
                if kind == "update":
                    a, b = one["old"]["properties"], one["new"]["properties"]
                    names = {k for k in a if a[k] != b[k]} - {"version", "updated_at"}
                    if one["old"]["geometry"] != one["new"]["geometry"]:
                        names.add("geometry")
                    assert set(one["changed"]) == names


def test_the_difference_near_a_place(past: Past, anyone: Writer) -> None:
    states = list(past.states)
    near = f"bbox=606990,1192990,607160,1193010&bbox-crs={EPSG_9210}"
    found = differences(anyone, f"from={states[6]}&to={states[-1]}&{near}")
    assert len(found) == 2
    assert {tuple(c["changed"]) for c in found} == {("diameter_mm", "geometry")}, "where it is now, or was"


# --- undoing --------------------------------------------------------------------------------------------


def undo(writer: Writer, number: int, body: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
    if body is None:
        return writer.request("POST", f"/changesets/{number}/undo", headers=headers)
    return writer.request("POST", f"/changesets/{number}/undo", json=body, headers=headers)


def test_an_undo_puts_back_what_was_and_can_be_undone(
    land: Writer, anyone: Writer, spot: tuple[float, float]
) -> None:
    changed, removed = made(
        land,
        create(spot, name="keep", place_class="market"),
        create((spot[0] + 20, spot[1]), name="gone", name_en="Water"),
    )
    before = [item(anyone, one).json() for one in (changed, removed)]
    mixed = changeset(
        land,
        update(changed, name="new", place_class=None, geometry=point(spot[0] + 2, spot[1])),
        delete(removed),
        create((spot[0] + 40, spot[1]), name="extra"),
    )
    extra = next(f for f in mixed["features"] if f["op"] == "create")
    after = [item(anyone, one).json() for one in (changed, extra)]

    answer = undo(land, mixed["id"])
    assert answer.status_code == 201, answer.text
    undone = answer.json()
    assert (undone["kind"], undone["undoes"]) == ("undo", mixed["id"])
    assert answer.headers["location"].endswith(f"/changesets/{undone['id']}")
    for was in before:
        stands = anyone.get(f"/collections/base_place/items/{was['id']}?crs={EPSG_9210}").json()
        assert content(stands) == content(was)
        assert stands["properties"]["version"] > was["properties"]["version"]
    assert item(anyone, extra).status_code == 404
    told = anyone.get(f"/collections/base_place/items/{removed['fid']}/history").json()["features"]
    assert [f["made"]["op"] for f in told] == ["restore", "create"]
    assert told[0]["made"]["undoes"] == mixed["id"]

    again = undo(land, undone["id"])
    assert again.status_code == 201, again.text
    for was in after:
        stands = anyone.get(f"/collections/base_place/items/{was['id']}?crs={EPSG_9210}").json()
        assert content(stands) == content(was)
    assert item(anyone, removed).status_code == 404


def test_later_edits_stand_in_the_way_and_are_named(
    land: Writer, editors: Editors, anyone: Writer, spot: tuple[float, float]
) -> None:
    one, other = made(land, create(spot, name="a"), create((spot[0] + 20, spot[1]), name="b"))
    first = changeset(land, update(one, name="a2"), update(other, name="b2"))
    steward = editors.as_("steward")
    later = changeset(steward, update(first["features"][0], name="a3"))
    answer = undo(land, first["id"])
    assert answer.status_code == 409, answer.text
    problem = answer.json()
    assert problem["code"] == "undo-conflict"
    (obstacle,) = problem["obstacles"]
    assert (obstacle["layer"], obstacle["fid"], obstacle["reason"]) == (
        "base_place",
        one["fid"],
        "changed",
    )
    assert [(n["changeset"], n["author"]) for n in obstacle["later"]] == [(later["id"], "steward")]
    assert "steward" in problem["detail"]
    assert item(anyone, other).json()["properties"]["name"] == "b2", "nothing was undone"
    assert undo(land, later["id"]).status_code == 201, "what it made is water's to change"
    # all is as the first one left it, though in a later version
    answer = undo(land, first["id"])
    assert answer.status_code == 201, answer.text
    assert [item(anyone, f).json()["properties"]["name"] for f in (one, other)] == ["a", "b"]
    assert undo(land, first["id"]).status_code == 409
    made_again = undo(land, first["id"], {"comment": "x" * 2001})
    assert made_again.status_code == 422


def test_what_was_made_and_taken_away_since_cannot_be_undone(land: Writer, spot: tuple[float, float]) -> None:
    making = changeset(land, create(spot, name="a"))
    removing = changeset(land, delete(making["features"][0]))
    answer = undo(land, making["id"])
    assert answer.status_code == 409
    assert answer.json()["obstacles"][0]["reason"] == "removed"
    assert undo(land, removing["id"]).status_code == 201
    answer = undo(land, removing["id"])
    assert answer.json()["obstacles"][0]["reason"] == "made-again"
    assert undo(land, making["id"]).status_code == 201, "what was made stands again as it was made"


def test_a_later_edit_stands_in_the_way_until_its_place_is_as_it_was(
    land: Writer, spot: tuple[float, float]
) -> None:
    (one,) = made(land, create(spot, name="a"))
    first = changeset(land, update(one, name="a2"))
    moved = changeset(land, update(first["features"][0], geometry=point(spot[0] + 5, spot[1])))
    assert undo(land, first["id"]).status_code == 409
    back = changeset(land, update(moved["features"][0], geometry=point(*spot)))
    assert undo(land, first["id"]).status_code == 201, "somebody put it back by hand"
    assert undo(land, back["id"]).status_code == 409


def test_a_taken_asset_id_keeps_what_had_it_from_coming_back(land: Writer, spot: tuple[float, float]) -> None:
    (one,) = made(land, create(spot, asset_id=f"hyd-{spot[0]}"))
    removing = changeset(land, delete(one))
    made(land, create(spot, asset_id=f"hyd-{spot[0]}"))
    answer = undo(land, removing["id"])
    assert (answer.status_code, answer.json()["code"]) == (409, "duplicate-key")


def test_an_undo_is_for_those_who_may_make_the_changes(
    land: Writer, editors: Editors, anyone: Writer, spot: tuple[float, float]
) -> None:
    number = changeset(land, create(spot, name="mine"))["id"]
    assert undo(anyone, number).status_code == 401
    for name in ("power", "water", "water_viewer", "water_reader"):
        answer = undo(editors.as_(name), number)
        assert answer.status_code == 403, (name, answer.text)
    for number_of_nothing in (0, 10**9, 10**18):
        assert undo(land, number_of_nothing).status_code == 404
    assert undo(editors.as_("steward"), number).status_code == 201


def test_an_undo_is_made_once_for_a_key_and_dry_runs_change_nothing(
    land: Writer, anyone: Writer, spot: tuple[float, float]
) -> None:
    making = changeset(land, create(spot, name="once"))
    one = making["features"][0]
    dry = land.request("POST", f"/changesets/{making['id']}/undo?dry-run=true")
    assert (dry.status_code, dry.json()["dry_run"]) == (200, True)
    assert item(anyone, one).status_code == 200
    key = {"Idempotency-Key": f"undo-{making['id']}"}
    first, second = undo(land, making["id"], **key), undo(land, making["id"], **key)
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert item(anyone, one).status_code == 404


def test_the_undo_of_nothing(land: Writer, running: Server) -> None:
    with psycopg.connect(running.db.owner_dsn, autocommit=True) as connection:
        row = connection.execute("SELECT bandoso.changeset_open('direct')").fetchone()
    assert row
    answer = undo(land, row[0])
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing-to-undo")
