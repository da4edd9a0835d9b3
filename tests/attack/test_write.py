"""The cases of security.md under Write, over HTTP: each is refused with a problem, and nothing is stored.

Elsewhere: the same changeset twice (tests/api/test_changesets.py), SIGKILL under load and 16 writers of one
version (tests/attack/test_kill.py), forged, expired and ``alg:none`` tokens (tests/attack/test_tokens.py).
Deleting what is still referenced: no row refers to another by a foreign key; what a deletion leaves behind
(a line whose node is gone) is a finding of the checks, shown to the author (below).
"""

from __future__ import annotations

import json
import math
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from gis import crs
from tests.api.conftest import editors, running, sample_db, server  # noqa: F401
from tests.api.editors import EPSG_9210, Editors, Writer, feature, line, point
from tests.api.problem import assert_problem, inside_shows
from tests.api.process import Server

VALVES = "/collections/water_valve/items"
PIPES = "/collections/water_pipe/items"
#: Tests that also do what is allowed.
STORES = {
    "test_deleting_what_is_still_referenced",
    "test_out_of_ones_area",
    "test_rows_held_by_somebody_else",
    "test_hostile_texts_are_kept_as_they_are",
    "test_keys_are_given_once",
    "test_heights_where_there_are_none",
}


@pytest.fixture(autouse=True)
def nothing_is_stored(running: Server, request: pytest.FixtureRequest) -> Iterator[None]:  # noqa: F811
    """What is refused leaves nothing behind: rows, versions, changesets."""
    if request.function.__name__ in STORES:
        yield
        return

    def state() -> tuple[Any, ...]:
        with psycopg.connect(running.db.owner_dsn, autocommit=True) as connection:
            row = connection.execute(
                "SELECT (SELECT sum(fid * version) FROM layer.water_valve),"
                " (SELECT sum(fid * version) FROM layer.water_pipe),"
                " (SELECT sum(fid * version) FROM layer.cadastre_parcel),"
                " (SELECT count(*) FROM bandoso.version), (SELECT count(*) FROM bandoso.changeset),"
                " (SELECT count(*) FROM bandoso.change)"
            ).fetchone()
        assert row
        return row

    before = state()
    yield
    assert state() == before
    assert running.get("/healthz").status_code == 200


@pytest.fixture
def water(editors: Editors) -> Writer:  # noqa: F811
    return editors.as_("water")


@pytest.fixture
def land(editors: Editors) -> Writer:  # noqa: F811
    return editors.as_("land")


def raw(caller: Writer, body: bytes, path: str = VALVES, **headers: str) -> Any:
    return caller.request(
        "POST", path, content=body, headers={"Content-Type": "application/geo+json", **headers}
    )


def with_coordinates(text: str, kind: str = "Point") -> bytes:
    return (
        f'{{"type":"Feature","geometry":{{"type":"{kind}","coordinates":{text}}},"properties":{{}}}}'.encode()
    )


DEEP = '{"type":"GeometryCollection","geometries":[' * 999 + "]}" * 999

BODIES: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 400),
    "no JSON": (b"<gml/>", 400),
    "cut off": (with_coordinates("[106.7,10.78]")[:-9], 400),
    "a list": (b"[]", 400),
    "null": (b"null", 400),
    "a number": (b"5", 400),
    "NaN": (with_coordinates("[NaN,10.78]"), 400),
    "Infinity": (with_coordinates("[Infinity,10.78]"), 400),
    "1e999": (with_coordinates("[1e999,10.78]"), 400),
    "1e308": (with_coordinates("[1e308,10.78]"), 422),
    "-1e308": (with_coordinates("[106.7,-1e308]"), 422),
    "5,000 digits": (with_coordinates(f"[{'9' * 5000},10.78]"), 400),
    "5,000 digits of an attribute": (
        with_coordinates("[106.7,10.78]").replace(b'"properties":{', b'"properties":{"turns":' + b"9" * 5000),
        400,
    ),
    "duplicate keys": (
        b'{"type":"Feature","geometry":{"type":"Point","coordinates":[106.7,10.78]},'
        b'"properties":{"kind":"gate","kind":"check"}}',
        400,
    ),
    "two geometries": (
        b'{"type":"Feature","geometry":{"type":"Point","coordinates":[106.7,10.78]},'
        b'"geometry":{"type":"Point","coordinates":[106.7,10.79]},"properties":{}}',
        400,
    ),
    "[ x 100k": (b"[" * 100_000, 400),
    "{ x 100k": (b'{"a":' * 100_000, 400),
    "collections 999 deep": (b'{"type":"Feature","geometry":' + DEEP.encode() + b',"properties":{}}', 400),
    "coordinates 40 deep": (with_coordinates("[" * 40 + "1" + "]" * 40), 422),
    "lone surrogate": (with_coordinates("[106.7,10.78]").replace(b"{}", b'{"code":"\\ud800"}'), 400),
    "not UTF-8": (with_coordinates("[106.7,10.78]").replace(b"{}", b'{"code":"\xff\xfe"}'), 400),
    "NUL": (with_coordinates("[106.7,10.78]").replace(b"{}", b'{"code":"a\\u0000b"}'), 422),
    "20 MB of text": (
        with_coordinates("[106.7,10.78]").replace(b"{}", b'{"code":"' + b"a" * 20_000_000 + b'"}'),
        413,
    ),
    "9 MB of text": (
        with_coordinates("[106.7,10.78]").replace(b"{}", b'{"code":"' + b"a" * 9_000_000 + b'"}'),
        422,
    ),
    "100k attributes": (
        with_coordinates("[106.7,10.78]").replace(
            b"{}", b"{" + b",".join(b'"a%d":1' % n for n in range(100_000)) + b"}"
        ),
        422,
    ),
    "an attribute of 1 MB": (
        with_coordinates("[106.7,10.78]").replace(b"{}", b'{"' + b"k" * 1_000_000 + b'":1}'),
        422,
    ),
    "a nested attribute": (with_coordinates("[106.7,10.78]").replace(b"{}", b'{"code":{"$ne":""}}'), 422),
    "SQL in a name": (
        with_coordinates("[106.7,10.78]").replace(b"{}", b'{"code\\"; DROP TABLE x; --":1}'),
        422,
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies(water: Writer, name: str) -> None:
    body, status = BODIES[name]
    began = time.monotonic()
    refused = assert_problem(raw(water, body), status)
    assert time.monotonic() - began < 60
    assert len(json.dumps(refused)) < 100_000, "the answer must not echo what was sent"


SHAPES: dict[str, tuple[str, Any, str]] = {
    "empty point": ("Point", [], "empty"),
    "empty list": ("LineString", [], "empty"),
    "null": ("Point", None, "list"),
    "text": ("Point", "106.7 10.78", "list"),
    "texts": ("Point", ["106.7", "10.78"], "numbers"),
    "flags": ("Point", [True, False], "numbers"),
    "one number": ("Point", [106.7], "two or three"),
    "measures": ("Point", [106.7, 10.78, 1, 2], "measures"),
    "wrong type": ("LineString", [[106.7, 10.78], [106.71, 10.78]], "takes Point"),
    "two points": ("MultiPoint", [[106.7, 10.78], [106.71, 10.78]], "takes Point"),
    "swapped axes": ("Point", [10.78, 106.7], "swapped"),
    "metres": ("Point", [605_500.0, 1_192_500.0], "Content-Crs"),
    "null island": ("Point", [0, 0], "not inside the city"),
    "in the sea": ("Point", [109.5, 8.0], "not inside the city"),
    "no such type": ("Circle", [106.7, 10.78], "must be one of"),
    "collection": ("GeometryCollection", [], "collections"),
    "hostile type": ("<script>", [], "must be one of"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_points(water: Writer, name: str) -> None:
    kind, coordinates, said = SHAPES[name]
    document = feature({"type": kind, "coordinates": coordinates})
    refused = assert_problem(water.post("water_valve", document), 422, "invalid-feature")
    assert said in refused["detail"], refused
    assert all(error["pointer"].startswith("/geometry") for error in refused["errors"])


@pytest.mark.parametrize("geometry", [None, 5, [], "POINT(1 2)", {}, {"type": "Point"}, {"type": ["Point"]}])
def test_what_is_no_geometry(water: Writer, geometry: Any) -> None:
    assert_problem(water.post("water_valve", feature(geometry)), 422, "invalid-feature")


RING = [[106.71, 10.77], [106.7102, 10.77], [106.7102, 10.7702], [106.71, 10.7702], [106.71, 10.77]]

POLYGONS: dict[str, tuple[Any, str]] = {
    "open ring": ([RING[:-1]], "open"),
    "bow-tie": ([[RING[0], RING[2], RING[1], RING[3], RING[0]]], "Self-intersection at 106."),
    "three positions": ([[RING[0], RING[1], RING[0]]], "four positions"),
    "no ring": ([], "empty"),
    "an empty ring": ([[]], "empty"),
    "flat": ([[RING[0], RING[1], RING[0], RING[1], RING[0]]], "not valid"),
    "hole outside": ([RING, [[x + 1e-3, y] for x, y in RING]], "Hole lies outside shell"),
    "ring twice": ([RING, RING], "not valid"),
    "heights": ([[[*p, 3.0] for p in RING]], "no heights"),
    "heights of some": ([[[*RING[0], 3.0], *RING[1:]]], "have none"),
    "1e308": ([[RING[0], [1e308, 10.77], RING[2], RING[0]]], "far too large"),
}


@pytest.mark.parametrize("name", POLYGONS)
def test_polygons(land: Writer, name: str) -> None:
    coordinates, said = POLYGONS[name]
    document = feature({"type": "Polygon", "coordinates": coordinates})
    refused = assert_problem(land.post("cadastre_parcel", document), 422, "invalid-feature")
    assert said in refused["detail"], refused


def test_too_many_vertices(land: Writer) -> None:
    """60,000 vertices are refused when they are counted; a million do not get so far."""
    for count, status in ((60_000, 422), (1_000_000, 413)):
        ring = [
            [round(106.71 + 0.001 * math.cos(a), 7), round(10.77 + 0.001 * math.sin(a), 7)]
            for a in (2 * math.pi * i / count for i in range(count))
        ]
        began = time.monotonic()
        answer = land.post("cadastre_parcel", feature({"type": "Polygon", "coordinates": [[*ring, ring[0]]]}))
        assert_problem(answer, status)
        assert time.monotonic() - began < 60


def test_a_polygon_that_crosses_itself_ten_thousand_times(land: Writer, running: Server) -> None:  # noqa: F811
    """As many vertices as are taken, all of them wrong: judged in a thread, while others are answered."""
    n = 12_000
    ring = [[106.71 + 1e-7 * (i * 7919 % n), 10.77 + 1e-7 * (i * 104_729 % n)] for i in range(n)]
    document = feature({"type": "Polygon", "coordinates": [[*ring, ring[0]]]})
    answers: list[Any] = []
    sending = threading.Thread(target=lambda: answers.append(land.post("cadastre_parcel", document)))
    sending.start()
    slowest = 0.0
    while sending.is_alive():
        began = time.monotonic()
        assert running.get("/healthz").status_code == 200
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(0.02)
    refused = assert_problem(answers[0], 422, "invalid-feature")
    assert "not valid" in refused["detail"]
    assert slowest < 3


@pytest.mark.parametrize(
    ("properties", "place"),
    [
        ({"owner": "evnhcmc"}, None),
        ({"owner": "nobody"}, "/properties/owner"),
        ({"owner": "SAWACO"}, "/properties/owner"),
        ({"owner": 5}, "/properties/owner"),
        ({"asset_id": " \t"}, "/properties/asset_id"),
        ({"asset_id": "x" * 101}, "/properties/asset_id"),
        ({"turns": 1e308}, "/properties/turns"),
        ({"turns": True}, "/properties/turns"),
        ({"installed_year": 2020.5}, "/properties/installed_year"),
        ({"installed_year": 2**63}, "/properties/installed_year"),
        ({"boundary_valve": 1}, "/properties/boundary_valve"),
        ({"survey_date": "2025-02-30"}, "/properties/survey_date"),
        ({"survey_date": "infinity"}, "/properties/survey_date"),
        ({"survey_date": "10000-01-01"}, "/properties/survey_date"),
        ({"kind": "'; DROP TABLE x; --"}, "/properties/kind"),
        ({"geom": "POINT(0 0)"}, "/properties/geom"),
        ({"load_id": 1}, "/properties/load_id"),
    ],
)
def test_attributes(water: Writer, properties: dict[str, Any], place: str | None) -> None:
    answer = water.post("water_valve", feature(point(106.7, 10.78), **properties))
    if place is None:
        refused = assert_problem(answer, 403, "not-the-owner")
        assert "evnhcmc" in refused["detail"]
    else:
        refused = assert_problem(answer, 422, "invalid-feature")
        assert place in [error["pointer"] for error in refused["errors"]]


def first_of(caller: Writer, items: str) -> str:
    return f"{items}/{caller.get(items, params={'limit': 1}).json()['features'][0]['id']}"


def test_to_another_agency(water: Writer) -> None:
    """A feature is not given away, and another's is not taken."""
    pipe = first_of(water, PIPES)
    refused = assert_problem(water.patch(pipe, {"properties": {"owner": "evnhcmc"}}), 403, "not-the-owner")
    assert "evnhcmc" in refused["detail"]
    assert_problem(water.put(pipe, feature(line((106.7, 10.78), (106.7001, 10.78)), owner="thkt")), 403)


def test_what_another_agency_owns(water: Writer, running: Server) -> None:  # noqa: F811
    with psycopg.connect(running.db.owner_dsn, autocommit=True) as connection:
        row = connection.execute("SELECT max(fid) FROM layer.water_valve").fetchone()
        assert row
        connection.execute("ALTER TABLE layer.water_valve DISABLE TRIGGER USER")
        connection.execute("UPDATE layer.water_valve SET owner = 'thkt' WHERE fid = %s", row)
    try:
        theirs = f"{VALVES}/{row[0]}"
        for answer in (
            water.delete(theirs),
            water.patch(theirs, {"properties": {"turns": 1}}),
            water.patch(theirs, {"properties": {"owner": "sawaco"}}),
            water.put(theirs, feature(point(106.7, 10.78))),
            water.delete(theirs, If_Match="*"),
        ):
            refused = assert_problem(answer, 403, "not-the-owner")
            assert "thkt" in refused["detail"]
    finally:
        with psycopg.connect(running.db.owner_dsn, autocommit=True) as connection:
            connection.execute("UPDATE layer.water_valve SET owner = 'sawaco' WHERE fid = %s", row)
            connection.execute("ALTER TABLE layer.water_valve ENABLE TRIGGER USER")


def test_out_of_ones_area(editors: Editors) -> None:  # noqa: F811
    """Neither made outside, nor moved out, nor moved in; a line must lie in it wholly."""
    caller, other = editors.as_("water_area"), editors.as_("water")
    inside, outside = point(606_500.0, 1_191_500.0), point(607_500.0, 1_191_500.0)
    mine = caller.post("water_valve", feature(inside), Content_Crs=EPSG_9210)
    assert mine.status_code == 201, mine.text
    theirs = other.post("water_valve", feature(outside), Content_Crs=EPSG_9210)
    assert theirs.status_code == 201, theirs.text
    crossing = line((606_900.0, 1_191_500.0), (607_100.0, 1_191_500.0))
    further = point(607_600.0, 1_191_500.0)
    for answer in (
        caller.post("water_valve", feature(further), Content_Crs=EPSG_9210),
        caller.post("water_pipe", feature(crossing), Content_Crs=EPSG_9210),
        caller.patch(mine.headers["location"], {"geometry": further}, Content_Crs=EPSG_9210),
        caller.patch(theirs.headers["location"], {"geometry": inside}, Content_Crs=EPSG_9210),
        caller.patch(theirs.headers["location"], {"properties": {"turns": 1}}),
        caller.delete(theirs.headers["location"]),
    ):
        refused = assert_problem(answer, 403, "outside-area")
        assert "area" in refused["detail"]
    assert caller.delete(mine.headers["location"]).status_code == 204


def test_tokens_and_roles(editors: Editors) -> None:  # noqa: F811
    document = feature(point(106.7, 10.78))
    for name, code in (
        ("water_reader", "token-scope"),
        ("water_viewer", "not-your-layer"),
        ("power", "not-your-layer"),
    ):
        assert_problem(editors.as_(name).post("water_valve", document), 403, code)
    valves = editors.as_("water_valves")
    assert_problem(
        valves.post("water_pipe", feature(line((106.7, 10.78), (106.701, 10.78)))), 403, "token-scope"
    )


def test_restricted_layers_are_absent(editors: Editors) -> None:  # noqa: F811
    """For who may not see it a restricted layer does not exist, whatever the method."""
    document = feature(point(106.7, 10.78))
    for name in (None, "power", "land"):
        caller = editors.as_(name)
        for method in ("OPTIONS", "POST"):
            hidden = caller.send(method, "/collections/water_meter/items", document)
            unknown = caller.send(method, "/collections/no_such_layer/items", document)
            assert hidden.status_code == unknown.status_code == 404
            assert hidden.json()["detail"] == unknown.json()["detail"]
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS"):
            assert caller.send(method, "/collections/water_meter/items/1", document).status_code == 404


def test_deleting_what_is_still_referenced(editors: Editors, running: Server) -> None:  # noqa: F811
    """Nothing refers by a key. Taking away the manhole that a conduit starts in is done, and told."""
    with psycopg.connect(running.db.owner_dsn, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT conrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"
            " AND confrelid::regclass::text LIKE 'layer.%%'"
        ).fetchall()
    assert rows == []
    steward = editors.as_("steward")
    manholes = "/collections/drainage_manhole/items"
    fid = steward.get(manholes, params={"asset_id": "drainage_manhole-s7"}).json()["features"][0]["id"]
    gone = steward.delete(f"{manholes}/{fid}", Accept_Language="en")
    assert gone.status_code == 200, gone.text
    told = gone.json()["findings"]
    assert told
    for one in told:
        assert one["rule"], one
        assert one["title"], one
        assert one["place"]["type"], one
        assert one["features"], "what is left, not what went"
        assert ("drainage_manhole", fid) not in [(f["collection"], f["id"]) for f in one["features"]], one
    assert steward.get(f"{manholes}/{fid}").status_code == 404


def test_rows_held_by_somebody_else(water: Writer, running: Server) -> None:  # noqa: F811
    """A wait for a lock ends: 503 and Retry-After; and the edit is made when it is asked for again."""
    address = water.post("water_valve", feature(point(106.7201, 10.7801))).headers["location"]
    fid = int(address.rpartition("/")[2])
    with psycopg.connect(running.db.owner_dsn) as holder:
        holder.execute("SELECT FROM layer.water_valve WHERE fid = %s FOR UPDATE", [fid])
        began = time.monotonic()
        refused = water.patch(address, {"properties": {"turns": 7}})
        assert 3 < time.monotonic() - began < 60
        assert_problem(refused, 503, "busy")
        assert int(refused.headers["retry-after"]) > 0
        # others are not held up
        assert water.post("water_valve", feature(point(106.7202, 10.7802))).status_code == 201
    assert water.patch(address, {"properties": {"turns": 7}}).status_code == 200


@pytest.mark.parametrize("cut", ["headers", "half", "almost"])
def test_connection_cut_mid_upload(editors: Editors, running: Server, cut: str) -> None:  # noqa: F811
    body = json.dumps(feature(point(106.7, 10.78), code="cut")).encode()
    head = (
        f"POST {VALVES} HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\nContent-Type: application/geo+json\r\n"
        f"Authorization: Bearer {editors.tokens['water']}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    part = {"headers": 0, "half": len(body) // 2, "almost": len(body) - 1}[cut]
    with socket.create_connection(("127.0.0.1", running.port)) as connection:
        connection.sendall(head + body[:part])
        time.sleep(0.2)
    time.sleep(0.5)
    assert not editors.as_(None).get(VALVES, params={"code": "cut"}).json()["features"]


def test_hostile_texts_are_kept_as_they_are(water: Writer) -> None:
    """Quotes, markup and signs of every kind are text, and come back as they were sent."""
    texts = [
        "O'Brien \"; DROP TABLE layer.water_valve; --",
        "<script>alert(1)</script><img src=x onerror=alert(1)>",
        "\\ %s %(x)s {0} ${jndi:ldap://x} \t tab",
        "Đường Nguyễn Huệ 🚰 \u202e",
    ]
    for number, text in enumerate(texts):
        document = feature(point(106.73 + number * 0.0001, 10.78), remark=text)
        made = water.post("water_valve", document)
        assert made.status_code == 201, made.text
        assert water.get(made.headers["location"]).json()["properties"]["remark"] == text
    decomposed = "Nguye\u0302\u0303n"
    made = water.post("water_valve", feature(point(106.7305, 10.78), remark=decomposed))
    assert made.json()["properties"]["remark"] == "Nguy\u1ec5n", "texts are kept composed (NFC)"


def test_keys_are_given_once(water: Writer, land: Writer) -> None:
    made = water.post("water_valve", feature(point(106.74, 10.78), asset_id="only-one"))
    assert made.status_code == 201, made.text
    twice = water.post("water_valve", feature(point(106.741, 10.78), asset_id="only-one"))
    refused = assert_problem(twice, 409, "duplicate-key")
    assert refused["errors"] == [{"pointer": "/properties/asset_id", "detail": "asset_id is taken"}]
    assert not inside_shows(twice.text)


def test_heights_where_there_are_none(land: Writer) -> None:
    """Flat things drawn with the height 0 are flat."""
    x, y = crs.transform_xy([606_700.0], [1_190_700.0], 9210, 4326)
    ring = [[x[0] + dx, y[0] + dy, 0] for dx, dy in ((0, 0), (1e-4, 0), (1e-4, 1e-4), (0, 1e-4), (0, 0))]
    made = land.post("cadastre_parcel", feature({"type": "Polygon", "coordinates": [ring]}))
    assert made.status_code in (201, 422), made.text
    if made.status_code == 422:
        assert made.json()["code"] == "rejected", made.text


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST", "TRACE", "LOCK", "PROPFIND"])
def test_other_addresses_take_no_writes(water: Writer, method: str) -> None:
    for path in (
        "/collections/water_valve",
        "/collections",
        "/",
        f"{VALVES}/",
        f"{VALVES}/1/",
        "/conformance",
    ):
        answer = water.send(method, path, feature(point(106.7, 10.78)))
        assert answer.status_code in (404, 405), (path, answer.status_code)
        assert "location" not in answer.headers, "a write is never redirected"
    assert_problem(water.send("PUT", VALVES, feature(point(106.7, 10.78))), 405)


@pytest.mark.parametrize("fid", ["0", "-1", "1.5", "9" * 30, "1%00", "1;x", "abc", "1e3", "٣"])
def test_ids(water: Writer, fid: str) -> None:
    for method in ("PUT", "PATCH", "DELETE"):
        kind = "application/merge-patch+json" if method == "PATCH" else "application/geo+json"
        answer = water.send(method, f"{VALVES}/{fid}", feature(point(106.7, 10.78)), kind)
        assert answer.status_code in (400, 404), (method, answer.text)
