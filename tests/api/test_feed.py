"""The change feed: nothing is skipped, nothing hidden is told, and who follows it has what the server has."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from click.testing import CliRunner
from psycopg.types.json import Jsonb

from gis.cli import main
from gis.db.server import Database
from gis.identity import accounts
from gis.settings import Settings
from tests.api.process import Server

ROOT = Path(__file__).resolve().parents[2]
POINT = "ST_SetSRID(ST_MakePoint(%s, %s), 9210)"
MEMBER, SECRET = "feed.sawaco", "a long enough secret 47"


@pytest.fixture(scope="module")
def members(sample_db: Database) -> Database:
    """Somebody of SAWACO who may see its hidden meters, and one of EVN."""
    with psycopg.connect(sample_db.owner_dsn, autocommit=True) as connection:
        for name, agency in ((MEMBER, "sawaco"), ("feed.evn", "evnhcmc")):
            account = accounts.add_account(connection, name, SECRET)
            accounts.grant(connection, account, "editor", agency)
    return sample_db


@pytest.fixture(scope="module")
def running(
    members: Database, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Two workers; streams of this address are bounded to 6 in each."""
    chosen = replace(settings, workers=2, pool_size=4, feed_client=6)
    process = Server(chosen, members, tmp_path_factory.mktemp("feed"))
    process.start()
    yield process
    assert process.stop() == 0, process.log.read_text(errors="replace")[-3000:]


@pytest.fixture
def client(running: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, timeout=30) as made:
        yield made


@pytest.fixture
def insider(running: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, timeout=30, auth=(MEMBER, SECRET)) as made:
        yield made


def get(client: httpx.Client, path: str, **params: Any) -> dict[str, Any]:
    answer = client.get(path, params=params or None)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def last(client: httpx.Client) -> int:
    found = get(client, "/changes", since=2**40)
    return int(found["lastChangeset"])


def valve(connection: psycopg.Connection, x: float = 600100, y: float = 1192000, code: str = "n") -> int:
    row = connection.execute(
        f"INSERT INTO layer.water_valve (code, geom) VALUES (%s, {POINT}) RETURNING fid", [code, x, y]
    ).fetchone()
    assert row
    return int(row[0])


def meter(connection: psycopg.Connection, customer: str, owner: str = "sawaco") -> int:
    """A feature of a restricted layer with a confidential value."""
    row = connection.execute(
        f"INSERT INTO layer.water_meter (customer_code, owner, geom) VALUES (%s, %s, {POINT}) RETURNING fid",
        [customer, owner, 600200, 1192000],
    ).fetchone()
    assert row
    return int(row[0])


# --- lists ---------------------------------------------------------------------------------------


def test_a_change_is_told_with_counts_box_and_feature(
    client: httpx.Client, owner: psycopg.Connection
) -> None:
    since = last(client)
    with owner.transaction():
        fid, other = valve(owner, 600000, 1190000), valve(owner, 600010, 1190010)
        owner.execute("DELETE FROM layer.water_valve WHERE fid = %s", [other])
    found = get(client, "/changes", since=since, features="full")
    assert len(found["changesets"]) == 1
    told = found["changesets"][0]
    assert told["layers"]["water_valve"] | {"bbox": None} == {
        "created": 1,
        "updated": 0,
        "deleted": 0,
        "bbox": None,
    }
    west, south, _, _ = told["layers"]["water_valve"]["bbox"]
    assert west == pytest.approx(106.666128316, abs=2e-7) and south == pytest.approx(10.759445635, abs=2e-7)
    (one,) = told["features"]
    assert (one["op"], one["fid"], one["version"], one["old_version"]) == ("create", fid, 1, None)
    item = client.get(f"/collections/water_valve/items/{fid}").json()
    assert one["feature"]["properties"] == item["properties"]
    assert one["feature"]["geometry"] == item["geometry"]
    assert told["kind"] == "direct" and told["author"] is None, "a role of the database is nobody's business"
    assert found["lastChangeset"] == told["id"]


def test_a_former_version_is_told_as_it_was(client: httpx.Client, owner: psycopg.Connection) -> None:
    since = last(client)
    fid = valve(owner, code="one")
    item = client.get(f"/collections/water_valve/items/{fid}").json()
    owner.execute(
        f"UPDATE layer.water_valve SET code = 'two', geom = {POINT} WHERE fid = %s", [600111, 1192001, fid]
    )
    owner.execute("DELETE FROM layer.water_valve WHERE fid = %s", [fid])
    made, changed, gone = get(client, "/changes", since=since, features="full")["changesets"]
    assert made["features"][0]["feature"]["properties"] == item["properties"]
    assert made["features"][0]["feature"]["geometry"] == item["geometry"]
    assert changed["features"][0]["feature"]["properties"]["code"] == "two"
    assert changed["features"][0]["feature"]["properties"]["version"] == 2
    assert gone["features"][0] | {"asset_id": None} == {
        "op": "delete",
        "layer": "water_valve",
        "fid": fid,
        "asset_id": None,
        "version": None,
        "old_version": 2,
        "feature": None,
    }


def test_coordinates_in_the_storage_crs_are_exact(client: httpx.Client, owner: psycopg.Connection) -> None:
    since = last(client)
    fid = valve(owner, 600123.4567, 1192000.1234)
    owner.execute("UPDATE layer.water_valve SET code = 'x' WHERE fid = %s", [fid])
    for told in get(client, "/changes", since=since, features="full", crs="EPSG:9210")["changesets"]:
        assert told["features"][0]["feature"]["geometry"]["coordinates"][:2] == [600123.4567, 1192000.1234]


def test_layer_and_box_narrow_it_down(client: httpx.Client, owner: psycopg.Connection) -> None:
    since = last(client)
    with owner.transaction():
        here, far = valve(owner, 600000, 1190000), valve(owner, 603000, 1192000)
        owner.execute(f"INSERT INTO layer.water_hydrant (geom) VALUES ({POINT})", [600000, 1190000])
    near = "106.6660,10.7593,106.6663,10.7596"
    found = get(client, "/changes", since=since, bbox=near, layer="water_valve")["changesets"]
    assert [(f["layer"], f["fid"]) for f in found[0]["features"]] == [("water_valve", here)]
    assert list(found[0]["layers"]) == ["water_valve"]
    assert get(client, "/changes", since=since, bbox="106.0,9.0,106.1,9.1")["changesets"] == []
    assert get(client, "/changes", since=since, layer="power_line")["changesets"] == []
    assert far not in [f["fid"] for f in found[0]["features"]]


def test_pages_follow_each_other(client: httpx.Client, owner: psycopg.Connection) -> None:
    since = last(client)
    fids = [valve(owner) for _ in range(5)]
    seen: list[int] = []
    page: str | None = f"/changes?since={since}&limit=2"
    while page:
        answer = client.get(page).raise_for_status().json()
        assert len(answer["changesets"]) <= 2
        seen += [f["fid"] for one in answer["changesets"] for f in one["features"]]
        page = next((one["href"] for one in answer["links"] if one["rel"] == "next"), None)
    assert seen == fids
    again = client.get(f"/changes?since={since}&limit=2")
    unchanged = client.get(
        f"/changes?since={since}&limit=2", headers={"If-None-Match": again.headers["etag"]}
    )
    assert unchanged.status_code == 304


def test_a_large_changeset_is_told_in_parts(client: httpx.Client, owner: psycopg.Connection) -> None:
    since = last(client)
    valve(owner)
    owner.execute(
        "INSERT INTO layer.water_valve (code, geom)"
        " SELECT 'p' || n, ST_SetSRID(ST_MakePoint(600000 + n, 1192000), 9210)"
        " FROM generate_series(1, 2500) AS n"
    )
    valve(owner)
    first = get(client, "/changes", since=since, features="full")
    assert [len(c["features"]) for c in first["changesets"]] == [1], (
        "what is not whole waits for the next page"
    )
    second = get(client, "/changes", since=first["lastChangeset"], features="full")
    (part,) = second["changesets"]
    counted, fids = part["layers"]["water_valve"]["created"], {f["fid"] for f in part["features"]}
    parts = 1
    while part.get("links"):
        part = get(client, part["links"][0]["href"])
        fids |= {f["fid"] for f in part["features"]}
        parts += 1
    assert counted == len(fids) == 2500 and parts == 3
    assert len(get(client, "/changes", since=second["lastChangeset"])["changesets"]) == 1
    owner.execute("DELETE FROM layer.water_valve WHERE code LIKE 'p%'")


@pytest.mark.parametrize(
    "query",
    [
        "since=-1", "since=x", "since=1e3", f"since={10**30}", "limit=0", "features=all", "layer=",
        "layer=a,,b", "bbox=1,2,3", "crs=EPSG:1", "what=1", "since=1&since=2", "f=xml",
    ],
)  # fmt: skip
def test_wrong_requests_are_told(client: httpx.Client, query: str) -> None:
    answer = client.get(f"/changes?{query}")
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_unknown_things_are_not_there(client: httpx.Client) -> None:
    for path in (
        "/changes?layer=nothing",
        "/changes?layer=water_meter",
        "/changes/999999999",
        "/changes/0",
        "/changes/x",
    ):
        assert client.get(path).status_code == 404, path
    assert client.get("/changes/1?after=x").status_code in (400, 404)


# --- order ---------------------------------------------------------------------------------------


def test_one_that_commits_later_is_never_skipped(client: httpx.Client, members: Database) -> None:
    since = last(client)
    early, late = (psycopg.connect(members.owner_dsn) for _ in range(2))
    try:
        first = valve(early)  # has the smaller id, and commits last
        second = valve(late)
        late.commit()
        between = get(client, "/changes", since=since)
        assert between["changesets"] == [], "an id is told before a smaller one that may still come"
        assert between["lastChangeset"] == since
        early.commit()
        found = get(client, "/changes", since=between["lastChangeset"])
        assert [c["features"][0]["fid"] for c in found["changesets"]] == [first, second]
        third = valve(early)
        fourth = valve(late)
        late.commit()
        early.rollback()  # its id is a gap
        found = get(client, "/changes", since=found["lastChangeset"])
        assert [c["features"][0]["fid"] for c in found["changesets"]] == [fourth]
        assert third != fourth
    finally:
        early.close()
        late.close()


def test_many_writers_at_a_time_are_all_told_in_order(client: httpx.Client, members: Database) -> None:
    since = last(client)
    made: list[int] = []
    stop = threading.Event()

    def write(seed: int) -> None:
        chance = random.Random(seed)
        with psycopg.connect(members.owner_dsn) as connection:
            for _ in range(40):
                fid = valve(connection)
                time.sleep(chance.random() * 0.02)
                if chance.random() < 0.2:
                    connection.rollback()
                else:
                    connection.commit()
                    made.append(fid)

    seen: list[int] = []
    ids: list[int] = []

    def read() -> None:
        position = since
        while True:
            ending = stop.is_set()
            found = get(client, "/changes", since=position, limit=7)
            ids.extend(c["id"] for c in found["changesets"])
            seen.extend(f["fid"] for c in found["changesets"] for f in c["features"])
            position = found["lastChangeset"]
            if ending and not any(one["rel"] == "next" for one in found["links"]):
                return

    writers = [threading.Thread(target=write, args=(n,)) for n in range(6)]
    reader = threading.Thread(target=read)
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    assert sorted(seen) == sorted(made) and len(set(seen)) == len(seen)
    assert ids == sorted(ids)


def test_a_cancelled_writer_holds_up_nobody(client: httpx.Client, members: Database) -> None:
    since = last(client)
    with psycopg.connect(members.owner_dsn) as stuck:
        valve(stuck)
        with pytest.raises(psycopg.errors.QueryCanceled):
            stuck.execute("SELECT set_config('statement_timeout', '50', true)")
            stuck.execute("SELECT pg_sleep(5)")
        stuck.rollback()
        with psycopg.connect(members.owner_dsn, autocommit=True) as other:
            fid = valve(other)
        found = get(client, "/changes", since=since)
    assert [f["fid"] for c in found["changesets"] for f in c["features"]] == [fid]


# --- what is hidden ------------------------------------------------------------------------------


def test_hidden_changes_are_told_to_those_who_may_see_them(
    client: httpx.Client, insider: httpx.Client, running: Server, owner: psycopg.Connection
) -> None:
    since = last(client)
    with owner.transaction():
        owner.execute("SELECT bandoso.changeset_open('edit', 'khách hàng Nguyễn Văn Bí Mật')")
        hidden = meter(owner, "KH-BI-MAT")
    with owner.transaction():
        owner.execute("SELECT bandoso.changeset_open('edit', 'both')")
        both, seen = meter(owner, "KH-BI-MAT"), valve(owner)
    outside = client.get(f"/changes?since={since}&features=full")
    assert "BI-MAT" not in outside.text and "Bí Mật" not in outside.text and "water_meter" not in outside.text
    (one,) = outside.json()["changesets"]
    assert [f["fid"] for f in one["features"]] == [seen] and list(one["layers"]) == ["water_valve"]
    assert client.get(f"/changes/{outside.json()['lastChangeset'] - 1}").status_code == 404
    with httpx.Client(base_url=running.url, auth=("feed.evn", SECRET)) as stranger:
        assert "water_meter" not in stranger.get(f"/changes?since={since}&features=full").text
    inside = get(insider, "/changes", since=since, features="full")["changesets"]
    assert [(f["layer"], f["fid"]) for c in inside for f in c["features"]] == [
        ("water_meter", hidden), ("water_meter", both), ("water_valve", seen),
    ]  # fmt: skip
    assert inside[0]["layers"]["water_meter"]["created"] == 1
    assert inside[0]["features"][0]["feature"]["properties"]["customer_code"] == "KH-BI-MAT"
    assert inside[0]["comment"].endswith("Bí Mật")


def test_a_feature_that_gets_another_owner_appears_and_disappears(
    insider: httpx.Client, client: httpx.Client, running: Server, owner: psycopg.Connection
) -> None:
    fid = meter(owner, "moved", owner="city")
    since = last(client)
    owner.execute("UPDATE layer.water_meter SET owner = 'sawaco' WHERE fid = %s", [fid])
    owner.execute("UPDATE layer.water_meter SET owner = 'city' WHERE fid = %s", [fid])
    owner.execute("UPDATE layer.water_meter SET customer_code = 'unseen' WHERE fid = %s", [fid])
    found = get(insider, "/changes", since=since, features="full")
    told = [(f["op"], f["version"]) for c in found["changesets"] for f in c["features"]]
    assert told == [("create", 2), ("delete", None)]
    assert found["changesets"][0]["features"][0]["feature"]["properties"]["customer_code"] == "moved"
    assert "unseen" not in json.dumps(found)


def test_confidential_values_are_told_to_nobody_else(client: httpx.Client, owner: psycopg.Connection) -> None:
    since = last(client)
    (fid,) = owner.execute("SELECT min(fid) FROM layer.cadastre_parcel").fetchone() or (0,)
    for value in ("CMND-079-1", "CMND-079-2"):
        owner.execute("UPDATE layer.cadastre_parcel SET holder_ref = %s WHERE fid = %s", [value, fid])
    answer = client.get(f"/changes?since={since}&features=full")
    assert [f["fid"] for c in answer.json()["changesets"] for f in c["features"]] == [fid, fid]
    assert "CMND" not in answer.text and "holder_ref" not in answer.text


def test_the_roles_of_requests_read_no_table_of_changes(members: Database) -> None:
    for role in ("bandoso_reader", "bandoso_member"):
        with psycopg.connect(members.app_dsn, autocommit=True) as connection:
            connection.execute(f"SET ROLE {role}")
            for table in ("changeset", "change", "version"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(f"SELECT * FROM bandoso.{table}")
            shown = connection.execute(
                "SELECT entries FROM bandoso.feed(0, 9223372036854775807, 1000, 5000,"
                " ARRAY['water_meter', 'finding_restricted', 'changeset'], NULL)"
            ).fetchone()
            assert shown == ([],)


def test_what_a_load_adds_is_read_as_items(
    client: httpx.Client, insider: httpx.Client, members: Database, tmp_path: Path
) -> None:
    follow = example()
    since = last(client)
    mirrors: list[dict[tuple[str, int], Any]] = [{}, {}]
    for layer in ("water_valve", "water_meter"):
        file = tmp_path / f"{layer}.geojson"
        points = [
            {
                "type": "Feature",
                "properties": {"asset_id": f"{layer}-load-{n}"},
                "geometry": {"type": "Point", "coordinates": [106.70 + n * 1e-4, 10.77]},
            }
            for n in range(40)
        ]
        file.write_text(json.dumps({"type": "FeatureCollection", "features": points}))
        options = ["--layer", layer, "--crs", "EPSG:4326", "--dsn", members.owner_dsn]
        done = CliRunner().invoke(main, ["load", str(file), *options])
        assert done.exit_code == 0, done.output
    outside = get(client, "/changes", since=since, features="full")["changesets"]
    assert [list(c["layers"]) for c in outside] == [["water_valve"]]
    told = outside[0]["layers"]["water_valve"]
    assert told["created"] == 40 and told["loaded"] is True and outside[0]["kind"] == "load"
    assert outside[0]["features"] == []
    inside = get(insider, "/changes", since=since)["changesets"]
    assert [list(c["layers"]) for c in inside] == [["water_valve"], ["water_meter"]]
    assert inside[1]["layers"]["water_meter"]["created"] == 40
    listed = get(insider, "/changesets", limit=2)["changesets"]
    assert [list(c["layers"]) for c in listed] == [["water_meter"], ["water_valve"]], (
        "the list tells the same"
    )
    assert "water_meter" not in get(client, "/changesets", limit=1)["changesets"][0]["layers"]
    for asker, mirror in zip((client, insider), mirrors, strict=True):
        follow(asker, mirror, since)
    assert len(mirrors[0]) == 40 and len(mirrors[1]) == 80
    key, feature = next(iter(mirrors[0].items()))
    item = client.get(f"/collections/{key[0]}/items/{key[1]}").json()
    assert feature["properties"] == item["properties"] and feature["geometry"] == item["geometry"]


# --- mirror --------------------------------------------------------------------------------------


def example() -> Any:
    """The function of docs/feed.md."""
    text = (ROOT / "docs" / "feed.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(code.splitlines()) <= 27
    space: dict[str, Any] = {}
    exec(code, space)
    return space["follow"]


def everything(client: httpx.Client, layers: tuple[str, ...]) -> dict[tuple[str, int], Any]:
    found = {}
    for layer in layers:
        page: str | None = f"/collections/{layer}/items?limit=10000"
        while page:
            answer = client.get(page).raise_for_status().json()
            found |= {(layer, one["id"]): one for one in answer["features"]}
            page = next((one["href"] for one in answer["links"] if one["rel"] == "next"), None)
    return found


@pytest.mark.parametrize("who", ["anyone", "insider"])
def test_a_mirror_ends_with_what_the_server_has(
    who: str, client: httpx.Client, insider: httpx.Client, members: Database
) -> None:
    asker = client if who == "anyone" else insider
    layers = ("water_valve", "water_hydrant", "cadastre_parcel", "power_support")
    layers += ("water_meter",) if who == "insider" else ()
    follow = example()
    since = last(client)
    mirror = everything(asker, layers)
    before = dict(mirror)
    stop = threading.Event()
    failed: list[BaseException] = []

    def write(seed: int) -> None:
        chance = random.Random(seed)
        try:
            with psycopg.connect(members.owner_dsn) as connection:
                for _ in range(120):
                    for _ in range(chance.choice((1, 1, 1, 3))):
                        edit(connection, chance, seed)
                    connection.rollback() if chance.random() < 0.1 else connection.commit()
        except BaseException as error:
            failed.append(error)

    writers = [threading.Thread(target=write, args=(seed,)) for seed in (1, 2, 3)]
    for thread in writers:
        thread.start()
    position, rounds = since, 0
    while any(thread.is_alive() for thread in writers):
        position = follow(asker, mirror, position)
        rounds += 1
    stop.set()
    assert not failed, failed
    follow(asker, mirror, position)
    theirs = everything(asker, layers)
    assert {k: v for k, v in mirror.items() if k[0] in layers} == theirs
    assert sum(before.get(key) != one for key, one in theirs.items()) > 50 and rounds > 2
    again: dict[tuple[str, int], Any] = dict(before)
    follow(asker, again, since)
    assert again == mirror, "from the start it comes to the same"


NAMES = itertools.count()


def edit(connection: psycopg.Connection, chance: random.Random, seed: int) -> None:
    """One random change, of rows that only this writer touches."""
    layer = chance.choice(("water_valve", "water_hydrant", "power_support", "water_meter", "cadastre_parcel"))
    what = chance.random()
    if layer == "cadastre_parcel":
        connection.execute(
            "UPDATE layer.cadastre_parcel SET holder_ref = %s, address = %s WHERE fid ="
            " (SELECT fid FROM layer.cadastre_parcel WHERE fid %% 3 = %s ORDER BY random() LIMIT 1)",
            [str(what), f"Số {what} Đường", seed - 1],
        )
    elif what < 0.4:
        x, y = 600000 + chance.random() * 1000, 1192000 + chance.random() * 1000
        connection.execute(
            f"INSERT INTO layer.{layer} (asset_id, geom) VALUES (%s, {POINT})",
            [f"m-{seed}-{next(NAMES)}", x, y],
        )
    elif what < 0.85:
        value = chance.choice(("geom = ST_Translate(geom, 1, 2)", "status = 'abandoned'", "status = NULL"))
        if layer == "water_meter" and chance.random() < 0.3:
            value = f"owner = '{chance.choice(('sawaco', 'city'))}'"
        connection.execute(
            f"UPDATE layer.{layer} SET {value} WHERE fid ="
            f" (SELECT fid FROM layer.{layer} WHERE asset_id LIKE %s ORDER BY random() LIMIT 1)",
            [f"m-{seed}-%"],
        )
    else:
        connection.execute(
            f"DELETE FROM layer.{layer} WHERE fid ="
            f" (SELECT fid FROM layer.{layer} WHERE asset_id LIKE %s ORDER BY random() LIMIT 1)",
            [f"m-{seed}-%"],
        )


# --- events --------------------------------------------------------------------------------------


class Listener:
    """A client of the stream, in a thread: keeps the events, and the time when each came."""

    def __init__(self, url: str, path: str = "/changes/stream", **options: Any) -> None:
        self.events: list[tuple[int, dict[str, Any]]] = []
        self.last_id = 0
        self.comments = 0
        self.headers: httpx.Headers = httpx.Headers()
        self.status = 0
        self.ended = threading.Event()
        self._opened = threading.Event()
        self._url, self._path, self._options = url, path, options
        self._socket: Any = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._opened.wait(120)

    def _run(self) -> None:
        try:
            with (
                httpx.Client(base_url=self._url, timeout=60) as client,
                client.stream("GET", self._path, **self._options) as answer,
            ):
                self.status, self.headers = answer.status_code, answer.headers
                self._socket = answer.extensions["network_stream"].get_extra_info("socket")
                name, data = "", ""
                for line in answer.iter_lines():
                    if line.startswith("id: "):
                        self.last_id = int(line[4:])
                    elif line.startswith("event: "):
                        name = line[7:]
                    elif line.startswith("data: "):
                        data = line[6:]
                    elif line.startswith(":"):
                        self.comments += 1
                    elif not line:
                        if data:
                            assert name == "changeset"
                            self.events.append((self.last_id, json.loads(data)))
                        name, data = "", ""
                        self._opened.set()
        except httpx.HTTPError:
            pass
        finally:
            self._opened.set()
            self.ended.set()

    @property
    def fids(self) -> list[int]:
        return [f["fid"] for _, c in self.events for f in c["features"]]

    def wait(self, count: int, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while len(self.events) < count and time.monotonic() < end:
            time.sleep(0.01)

    def close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        assert self.ended.wait(120)


def test_events_come_at_once_to_listeners_of_every_worker(running: Server, owner: psycopg.Connection) -> None:
    listeners = [Listener(running.url) for _ in range(6)]
    assert {one.status for one in listeners} == {200}
    assert listeners[0].headers["content-type"] == "text/event-stream"
    assert "content-encoding" not in listeners[0].headers
    began = time.monotonic()
    fid = valve(owner)
    for one in listeners:
        one.wait(1)
    assert time.monotonic() - began < 30
    assert [one.fids for one in listeners] == [[fid]] * 6
    for one in listeners:
        assert one.events[0][0] == one.events[0][1]["id"]
        one.close()
    with psycopg.connect(running.db.owner_dsn) as connection:
        (listening,) = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bandoso feed'"
            " AND datname = current_database()"
        ).fetchone() or (0,)
    assert 1 <= listening <= 2, "one connection for all listeners of a process"


def test_a_listener_comes_back_where_it_was(
    running: Server, client: httpx.Client, owner: psycopg.Connection
) -> None:
    first = Listener(
        running.url, "/changes", headers={"Accept": "text/event-stream", "Accept-Encoding": "gzip"}
    )
    fids = [valve(owner)]
    first.wait(1)
    first.close()
    fids += [valve(owner) for _ in range(5)]
    back = Listener(running.url, headers={"Last-Event-ID": str(first.events[0][0])})
    back.wait(5)
    assert first.fids[:1] == fids[:1] and back.fids == fids[1:]
    back.close()
    other = Listener(
        running.url, f"/changes/stream?since={first.events[0][0]}&features=full&layer=water_valve"
    )
    other.wait(5)
    assert [c["features"][0]["feature"]["id"] for _, c in other.events] == fids[1:]
    other.close()


def test_a_late_commit_and_a_rollback_are_waited_for(running: Server, members: Database) -> None:
    listener = Listener(running.url)
    with psycopg.connect(members.owner_dsn) as early, psycopg.connect(members.owner_dsn) as late:
        first = valve(early)
        second = valve(late)
        late.commit()
        time.sleep(0.6)
        assert listener.events == []
        early.commit()
        listener.wait(2)
        assert listener.fids == [first, second]
        valve(early)
        third = valve(late)
        late.commit()
        time.sleep(0.3)
        early.rollback()  # tells nobody
        listener.wait(3, seconds=5)
    assert listener.fids == [first, second, third]
    listener.close()


def test_a_lost_connection_of_the_database_loses_no_event(running: Server, owner: psycopg.Connection) -> None:
    listeners = [Listener(running.url) for _ in range(4)]
    fids = [valve(owner)]
    for one in listeners:
        one.wait(1)
    for _ in range(3):
        killed = owner.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE application_name = 'bandoso feed' AND datname = current_database()"
        ).fetchone()
        assert killed and killed[0] >= 1
        fids.append(valve(owner))  # while nobody listens
        time.sleep(0.5)
    for one in listeners:
        one.wait(4)
        assert one.fids == fids
        one.close()


def test_hidden_changes_reach_only_those_who_may_see_them(
    running: Server, client: httpx.Client, owner: psycopg.Connection
) -> None:
    outside, inside = Listener(running.url), Listener(running.url, auth=(MEMBER, SECRET))
    hidden = meter(owner, "KH-1")
    fid = valve(owner)
    for one in (outside, inside):
        one.wait(2 if one is inside else 1)
        one.close()
    assert outside.fids == [fid] and inside.fids == [hidden, fid]


def test_a_disabled_account_sees_no_more_than_anyone(running: Server, owner: psycopg.Connection) -> None:
    account = accounts.add_account(owner, "feed.leaving", SECRET)
    accounts.grant(owner, account, "viewer", "sawaco")
    listener = Listener(running.url, auth=("feed.leaving", SECRET))
    hidden = meter(owner, "KH-2")
    listener.wait(1)
    accounts.disable(owner, account)
    meter(owner, "KH-3")
    fid = valve(owner)
    listener.wait(2)
    assert listener.fids == [hidden, fid]
    listener.close()


def test_too_many_streams_of_one_address_are_refused(running: Server) -> None:
    listeners = [Listener(running.url) for _ in range(16)]
    refused = [one for one in listeners if one.status == 429]
    assert len(refused) >= 1 and 6 <= sum(one.status == 200 for one in listeners) <= 12
    assert refused[0].headers["content-type"] == "application/problem+json"
    for one in listeners:
        one.close()


def test_listeners_that_leave_are_forgotten(running: Server, owner: psycopg.Connection) -> None:
    def listening() -> float:
        text = running.get("/metrics").text
        return sum(float(v) for v in re.findall(r"^bandoso_feed_listeners (\S+)$", text, re.M))

    for _ in range(3):
        with socket.create_connection(("127.0.0.1", running.port)) as raw:
            raw.sendall(b"GET /changes/stream HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200 OK" in raw.recv(4000)
    end = time.monotonic() + 20
    while listening() > 0 and time.monotonic() < end:
        valve(owner)
        time.sleep(0.2)
    assert listening() == 0
    lines = [json.loads(line) for line in running.log.read_text().splitlines() if '"/changes/stream"' in line]
    assert lines and {line["status"] for line in lines} <= {200, 429}
    assert "bandoso_http_request_duration_seconds" in running.get("/metrics").text


def test_a_worker_that_is_killed_loses_no_event(running: Server, owner: psycopg.Connection) -> None:
    listener = Listener(running.url)
    fids = [valve(owner)]
    listener.wait(1)
    for worker in psutil.Process(running.process.pid).children(recursive=False):
        if any(c.laddr.port == running.port for c in worker.net_connections() if c.status == "ESTABLISHED"):
            worker.kill()
    assert listener.ended.wait(120)
    fids += [valve(owner) for _ in range(3)]
    time.sleep(1)
    end = time.monotonic() + 30
    while True:
        try:
            back = Listener(running.url, headers={"Last-Event-ID": str(listener.last_id)})
            if back.status == 200:
                break
        except AssertionError:
            pass
        assert time.monotonic() < end
        time.sleep(0.5)
    back.wait(3)
    assert listener.fids + back.fids == fids
    back.close()
    running.wait_ready()


def test_a_stopping_server_ends_its_streams_at_once(
    members: Database, settings: Settings, tmp_path_factory: pytest.TempPathFactory, owner: psycopg.Connection
) -> None:
    process = Server(
        replace(settings, workers=2, pool_size=2), members, tmp_path_factory.mktemp("feedstop")
    ).start()
    listeners = [Listener(process.url) for _ in range(4)]
    fid = valve(owner)
    for one in listeners:
        one.wait(1)
    process.process.send_signal(signal.SIGTERM)
    for one in listeners:
        assert one.ended.wait(60), "a stream kept the server waiting"
        assert one.fids == [fid]
    assert process.stop() == 0


def test_one_who_takes_nothing_holds_up_nobody(
    running: Server, client: httpx.Client, owner: psycopg.Connection
) -> None:
    owner.execute(
        "INSERT INTO layer.water_valve (asset_id, geom)"
        " SELECT 'slow' || n, ST_SetSRID(ST_MakePoint(600000 + n, 1192000), 9210)"
        " FROM generate_series(1, 800) AS n"
    )
    since = last(client)
    for n in range(12):
        owner.execute("UPDATE layer.water_valve SET code = %s WHERE asset_id LIKE 'slow%%'", [f"s{n}"])
    with socket.create_connection(("127.0.0.1", running.port)) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.sendall(f"GET /changes/stream?since={since}&features=full HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        raw.recv(1000)
        other = Listener(running.url, f"/changes/stream?since={since}")
        other.wait(12)
        assert len(other.events) == 12
        fid = valve(owner)
        other.wait(13)
        assert other.fids[-1] == fid
        other.close()
    owner.execute("DELETE FROM layer.water_valve WHERE asset_id LIKE 'slow%'")


# --- for tiles -----------------------------------------------------------------------------------


def test_notices_tell_boxes_of_public_layers(members: Database, owner: psycopg.Connection) -> None:
    import asyncio

    from psycopg_pool import AsyncConnectionPool

    from gis.publish.follow import Follower
    from gis.publish.notices import Notice, notices

    async def work() -> list[Notice]:
        follower = Follower(members.app_dsn)
        found: list[Notice] = []

        async def setup(connection: psycopg.AsyncConnection[Any]) -> None:
            await connection.execute("SET ROLE bandoso_reader")

        async with AsyncConnectionPool(
            members.app_dsn, kwargs={"autocommit": True}, min_size=1, configure=setup, open=False
        ) as pool:
            assert await follower.wait(-1, 10)
            start = follower.horizon
            await asyncio.to_thread(changes)
            async for notice in notices(pool, follower, start):
                found.append(notice)
                if notice.changeset >= expected[-1]:
                    break
            await follower.stop()
        return found

    expected: list[int] = []

    def changes() -> None:
        with owner.transaction():
            valve(owner, 600000, 1190000)
            valve(owner, 603000, 1192000)
        meter(owner, "hidden")
        owner.execute(
            "INSERT INTO layer.water_valve (code, geom)"
            " SELECT 'n', ST_SetSRID(ST_MakePoint(600000 + n, 1192000 + n), 9210)"
            " FROM generate_series(1, 1000) AS n"
        )
        expected.extend(r[0] for r in owner.execute("SELECT max(id) FROM bandoso.changeset").fetchall())

    found = {one.changeset: one.layers for one in asyncio.run(work())}
    boxes = [layers for _, layers in sorted(found.items()) if layers]
    assert [list(layers) for layers in boxes] == [["water_valve"], ["water_valve"]], (
        "hidden layers are not told"
    )
    assert sorted(boxes[0]["water_valve"]) == [
        (600000, 1190000, 600000, 1190000), (603000, 1192000, 603000, 1192000),
    ]  # fmt: skip
    assert 10 <= len(boxes[1]["water_valve"]) <= 256
    assert min(b[0] for b in boxes[1]["water_valve"]) == pytest.approx(600001)
    assert max(b[3] for b in boxes[1]["water_valve"]) == pytest.approx(1193000)


def test_a_notice_fits_however_many_layers_change(members: Database, owner: psycopg.Connection) -> None:
    with psycopg.connect(members.owner_dsn, autocommit=True) as hearing:
        hearing.execute("LISTEN bandoso_change")
        with owner.transaction():
            row = owner.execute("SELECT bandoso.changeset_open('edit', NULL)").fetchone()
            assert row
            layers = {
                f"a_layer_with_a_name_as_long_as_names_may_be_{n:04}": {
                    "created": 1, "updated": 0, "deleted": 0, "box": [6e5, 1e6, 6e5 + n, 1e6],
                }
                for n in range(200)
            }  # fmt: skip
            owner.execute("UPDATE bandoso.changeset SET summary = %s WHERE id = %s", [Jsonb(layers), row[0]])
        told = [json.loads(n.payload) for n in hearing.notifies(timeout=120, stop_after=1)]
    assert told == [{"changeset": row[0]}]


def test_who_was_away_while_changes_were_purged_is_told(
    client: httpx.Client, owner: psycopg.Connection
) -> None:
    """A mirror that went on from there would keep what is gone. From nothing it is as right as ever."""
    valve(owner, 605000, 1191000)
    away = get(client, "/changes", limit=1, since=0)["changesets"][0]["id"]
    owner.execute("DELETE FROM layer.water_valve WHERE ST_X(geom) = 605000")
    owner.execute("SELECT bandoso.purge_history(now() + interval '1 hour', NULL, true)")
    late = {"params": {"since": away}}, {"headers": {"Last-Event-ID": str(away)}}
    for path, asked in zip(("/changes", "/changes/stream"), late, strict=True):
        refused = client.get(path, **asked)
        assert (refused.status_code, refused.json()["code"]) == (410, "changes-forgotten"), refused.text
    last = get(client, "/changes", since=0, limit=1000)["lastChangeset"]
    assert get(client, "/changes", since=last)["changesets"] == []
