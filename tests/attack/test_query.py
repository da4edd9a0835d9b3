"""Hostile queries: each gets a 4xx problem document that tells nothing of the inside, and harms nobody.

The cases are those of the list of attacks under Query, over the items routes and a real database.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import string
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest

from gis.api.features.filters import read_filter
from gis.city import City
from gis.db.server import Database
from gis.errors import LimitError
from gis.settings import Settings
from layers.registry import Catalogue
from tests.api.items_app import Client, items_client
from tests.api.sample import load_layer

PIPES = "/collections/water_pipe/items"

#: What no answer to a wrong request may hold: SQL, paths, roles, names of modules.
INSIDE = re.compile(
    r"SELECT |FROM layer|psycopg|Traceback|/tmp|/usr|\.py\b|bandoso_(app|reader)|SQLSTATE|syntax error|"
    r"LINE 1|ST_\w+\(|relation \"|column \"|pgres|pest|orjson|shapely"
)


@pytest.fixture(scope="module")
def client(module_db: Database, settings: Settings, city: City, catalogue: Catalogue) -> Iterator[Client]:
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        for layer in ("water_pipe", "cadastre_parcel"):
            load_layer(connection, catalogue.layers[layer], city, 12)
    with items_client(settings, city, catalogue, module_db, pool_size=2) as client:
        yield client
        assert client.get(PIPES).status_code == 200  # after all of it


def refused(answer: httpx.Response, *statuses: int) -> dict[str, Any]:
    """The answer is a problem document with one of the statuses (400), and tells nothing of the inside."""
    assert answer.status_code in (statuses or (400,)), (answer.status_code, answer.text[:500])
    assert answer.headers["content-type"] == "application/problem+json"
    assert not INSIDE.search(answer.text), answer.text
    problem: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "code"} <= problem.keys()
    return problem


# Signs in every place


SIGNS = {
    "quote": "'",
    "double": '"',
    "nul": "\0",
    "backslash": "\\",
    "semicolon": "'; DROP TABLE layer.water_pipe; --",
    "percent": "%s%(p0)s%%",
    "brace": "{}{0}{p0}",
    "dollar": "$1$$",
    "unicode": "Ngu\u1ec5n\u202e\ufeff\U0001f6b0",
    "newline": "\r\nSet-Cookie: a=b",
    "html": "<script>alert(1)</script>",
    "long": "x" * 5000,
}
#: Parameters in which none of these signs can be right.
STRICT = (
    "bbox",
    "bbox-crs",
    "crs",
    "datetime",
    "filter-lang",
    "filter-crs",
    "sortby",
    "properties",
    "sheet",
    "limit",
    "offset",
    "after",
    "f",
    "lang",
    "skipGeometry",
    "fid",
    "version",
    "updated_at",
    "diameter_mm",
    "last_inspection",
    "filter",
)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("name", STRICT)
def test_signs_where_they_cannot_be_right(client: Client, name: str, sign: str) -> None:
    refused(client.get(PIPES, params={name: SIGNS[sign]}))


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("name", ["q", "asset_id", "street", "material"])
def test_signs_where_a_text_is_sought(client: Client, name: str, sign: str) -> None:
    """A text of any signs is just a text (NUL cannot be stored, a search needs a letter or digit)."""
    answer = client.get(PIPES, params={name: SIGNS[sign]})
    if sign == "nul" or (name == "q" and answer.status_code != 200):
        refused(answer)
    else:
        assert answer.status_code == 200
        assert name == "q" or answer.json()["features"] == []


@pytest.mark.parametrize("sign", SIGNS)
def test_signs_in_names(client: Client, sign: str) -> None:
    refused(client.get(PIPES, params={SIGNS[sign]: "1"}))
    refused(client.get(f"/collections/{httpx.QueryParams({'a': SIGNS[sign]})['a'][:50]!r}/items"), 404)
    quoted = str(httpx.QueryParams({"a": SIGNS[sign][:200]}))[2:].replace("+", "%20")
    refused(client.get(f"/collections/{quoted}/items"), 404)
    refused(client.get(f"{PIPES}/{quoted}"), 404)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize(
    "form",
    [
        "street = '{}'",
        "street LIKE '%{}%'",
        "street IN ('{}', 'x')",
        "CASEI(ACCENTI(street)) LIKE '{}%'",
        "{} = 'x'",
        "\"{}\" = 'x'",
        "f{}(street) = 'x'",
        "updated_at > TIMESTAMP('{}')",
        "s_intersects(geometry, {})",
    ],
)
def test_signs_in_filters(client: Client, form: str, sign: str) -> None:
    value = SIGNS[sign]
    text = form.format(value.replace("'", "''") if "'{}" in form or "%{}" in form else value)
    answer = client.get(PIPES, params={"filter": text})
    if answer.status_code == 200:
        assert form.startswith(("street", "CASEI"))
        assert answer.json()["features"] == [] or sign in ("backslash",)
    else:
        refused(answer)


@pytest.mark.parametrize("pattern", ["\\", "a\\", "%\\", "\\\\\\", "%" * 4000, "%a" * 2000, "_%" * 2000])
def test_patterns(client: Client, pattern: str) -> None:
    started = time.monotonic()
    answer = client.get(PIPES, params={"filter": f"street LIKE '{pattern}'"})
    if answer.status_code != 200:
        refused(answer)
    assert time.monotonic() - started < 60


# Size and depth


def _deep(depth: int) -> str:
    return '{"op":"not","args":[' * depth + "true" + "]}" * depth


OVER = {
    "10k nodes": " OR ".join(["a = 1"] * 1000),
    "10k nodes, long": " OR ".join(["a = 1"] * 10_000),
    "257 nodes": " OR ".join(["version = 1"] * 90),
    "depth 500": "(" * 500 + "version = 1" + ")" * 500,
    "depth 500 of not": "NOT " * 500 + "TRUE",
    "100k points": "s_intersects(geometry, LINESTRING(" + ",".join(f"{n} 1" for n in range(100_000)) + "))",
    "1001 points": "s_intersects(geometry, LINESTRING(" + ",".join("1 1" for n in range(1001)) + "))",
    "IN of 50k": "version IN (" + ",".join(map(str, range(50_000))) + ")",
    "IN of 1001": "version IN (" + ",".join("1" for _ in range(1001)) + ")",
    "one long text": "street = '" + "x" * 9000 + "'",
}


@pytest.mark.parametrize("name", OVER)
def test_filters_over_the_caps(client: Client, name: str) -> None:
    if (
        len(OVER[name]) > 30_000
    ):  # such an address does not come past the guard (tests/attack/test_transport.py)
        with pytest.raises(LimitError):
            read_filter(OVER[name], "cql2-text")
        return
    assert refused(client.get(PIPES, params={"filter": OVER[name]}))["code"] == "over-limit"


@pytest.mark.parametrize("text", [_deep(33), _deep(380), "[" * 8000, '{"op":"and","args":[' * 400])
def test_json_filters_over_the_caps(client: Client, text: str) -> None:
    refused(client.get(PIPES, params={"filter": text, "filter-lang": "cql2-json"}))


def test_a_filter_at_the_caps_is_served(client: Client) -> None:
    longest = "version IN (" + ",".join("1" for _ in range(1000)) + ")"
    deepest = "(" * 31 + "version = 1" + ")" * 31
    for text in (longest, deepest, " OR ".join(["version = 1"] * 85)):
        assert len(client.get(PIPES, params={"filter": text}).json()["features"]) == 12


# Numbers


@pytest.mark.parametrize(
    "box",
    [
        "NaN,1,2,3",
        "nan,nan,nan,nan",
        "inf,1,2,3",
        "-inf,-inf,inf,inf",
        "1e999,1,2,3",
        "2,1,1,2",
        "1,2,2,1",
        "1,2,3,4,5",
        "1,2,3",
        "",
        ",",
        ",,,",
        "1,2,3,4,5,6,7",
        "a,b,c,d",
        "0x10,1,2,3",
        "1_0,1,20,3",
        "1;2;3;4",
        "106,100,107,110",
        "１,2,3,4",
        "--1,2,3,4",
        "1e5000,1,1e5000,2",
    ],
)
def test_boxes(client: Client, box: str) -> None:
    problem = refused(client.get(PIPES, params={"bbox": box}))
    assert problem["errors"][0]["parameter"] == "bbox"


@pytest.mark.parametrize(
    "box", ["-1e300,-1e300,1e300,1e300", "1e300,1e300,1e301,1e301", "-1e-320,0,1e-320,1"]
)
def test_boxes_of_odd_size_are_answered(client: Client, box: str) -> None:
    assert client.get(PIPES, params={"bbox": box, "bbox-crs": "EPSG:9210"}).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("offset", "1" + "0" * 20),
        ("offset", "-1"),
        ("offset", "1.5"),
        ("offset", "9" * 5000),
        ("offset", "1e3"),
        ("limit", "0"),
        ("limit", "-5"),
        ("limit", "many"),
        ("limit", ""),
        ("limit", "9" * 30),
        ("version", "9" * 30),
        ("version", "-" + "9" * 19),
        ("diameter_mm", "1e999"),
        ("diameter_mm", "nan"),
        ("diameter_mm", "Infinity"),
        ("fid", "9" * 4000),
        ("fid", "1.0"),
        ("version", "١"),
        ("datetime", "2020"),
        ("datetime", "2020-02-30"),
        ("datetime", "2020-01-01/2019-01-01"),
        ("datetime", ".."),
        ("datetime", "a/b/c"),
        ("datetime", "2020-01-01T00:00:60Z"),
        ("datetime", "0000-01-01"),
        ("datetime", "2020-01-01T00:00:00+99:99"),
        ("datetime", "infinity"),
        ("datetime", "now"),
        ("last_inspection", "yesterday"),
        ("updated_at", "-infinity"),
        ("crs", "EPSG:9999999"),
        ("crs", "EPSG:27700"),
        ("crs", "http://169.254.169.254/"),
        ("crs", "+proj=longlat"),
        ("bbox-crs", "EPSG:1"),
        ("filter-crs", "EPSG:1"),
        ("sortby", "geom"),
        ("sortby", ","),
        ("sortby", "street,street"),
        ("properties", "geom"),
        ("properties", "load_id"),
        ("skipGeometry", "maybe"),
        ("f", "xlsx"),
        ("lang", "fr"),
        ("filter-lang", "ecql"),
        ("q", "   "),
        ("q", "&|!"),
        ("q", "a b c d e f g h i j k"),
        ("q", "x" * 300),
        ("sheet", "C-99-1"),
        ("unknown", "1"),
        ("LIMIT", "1"),
        ("limit ", "1"),
    ],
)
def test_values(client: Client, name: str, value: str) -> None:
    refused(client.get(PIPES, params={name: value}))


@pytest.mark.parametrize("name", ["limit", "bbox", "filter", "asset_id", "f", "crs", "sortby"])
def test_repeated_parameters(client: Client, name: str) -> None:
    refused(client.get(PIPES + f"?{name}=1&{name}=1"))


@pytest.mark.parametrize(
    "fid",
    [
        "0",
        "-1",
        "1.0",
        "1e3",
        "9" * 19,
        "9" * 5000,
        "abc",
        "%00",
        "1%00",
        "'",
        "１",
        "+1",
        "1;",
        " 1",
        "0x1",
        "null",
        "1--",
    ],
)
def test_ids_that_are_none(client: Client, fid: str) -> None:
    refused(client.get(f"{PIPES}/{fid}"), 404)


def test_a_leading_zero_is_the_same_id(client: Client) -> None:
    assert client.get(f"{PIPES}/0001").json()["id"] == 1


# Calculations


@pytest.mark.parametrize(
    "text",
    [
        "diameter_mm / 0 = 1",
        "diameter_mm / (diameter_mm - diameter_mm) > 1",
        "installed_year % 0 = 1",
        "installed_year div 0 = 1",
        "0 / 0 = 0",
        "diameter_mm ^ 99999 > 1",
        "(0 - 2) ^ 0.5 > 1",
        "0 ^ -1 > 1",
        "1e308 * 10 > 1",
        "diameter_mm * 1e308 * 1e308 > 1",
        "1e308 % 1e-308 = 0",
        "10 ^ 308 * 10 ^ 308 > 0",
        "2 ^ 1024 > 1",
        "installed_year * 9007199254740991 > 0",
    ],
)
def test_calculations_never_fail_inside(client: Client, text: str) -> None:
    answer = client.get(PIPES, params={"filter": text})
    if answer.status_code != 200:
        refused(answer)


# Time, and others


def test_a_slow_query_is_stopped_and_told(client: Client, owner: psycopg.Connection) -> None:
    async def hurry() -> None:
        async with client.pool.connection() as one, client.pool.connection() as two:
            await one.execute("SET statement_timeout = 1")
            await two.execute("SET statement_timeout = 1")

    async def relax() -> None:
        async with client.pool.connection() as one, client.pool.connection() as two:
            for connection in (one, two):
                while True:  # this, too, may take longer than a millisecond
                    with contextlib.suppress(psycopg.errors.QueryCanceled):
                        await connection.execute("SET statement_timeout = 15000")
                        break

    owner.execute(
        "INSERT INTO layer.water_pipe (asset_id, remark, geom) SELECT 'slow' || n, repeat('đường ', 40),"
        " (SELECT geom FROM layer.water_pipe LIMIT 1) FROM generate_series(1, 3000) n"
    )
    client.run(hurry())
    try:
        slow = " AND ".join(f"CASEI(ACCENTI(remark)) NOT LIKE '%x{n}%'" for n in range(30))
        answer = client.get(PIPES, params={"filter": slow})
        assert refused(answer, 503)["code"] == "timeout"
        assert "retry-after" in answer.headers
    finally:
        client.run(relax())
        owner.execute("DELETE FROM layer.water_pipe WHERE asset_id LIKE 'slow%'")


def test_a_client_that_leaves_takes_its_query_with_it(client: Client, owner: psycopg.Connection) -> None:
    """The backend is cancelled, not only forgotten; the next request finds a free connection."""
    owner.execute(
        "INSERT INTO layer.water_pipe (asset_id, remark, geom) SELECT 'many' || n, repeat('đường ', 40),"
        " (SELECT geom FROM layer.water_pipe LIMIT 1) FROM generate_series(1, 100000) n"
    )
    slow = " AND ".join(f"CASEI(ACCENTI(remark)) NOT LIKE '%x{n}%'" for n in range(30))
    active = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND usename = 'bandoso_app'"
        " AND datname = current_database()"
    )

    async def until(reached: Callable[[int], bool], tries: int) -> int:
        for _ in range(tries):
            row = owner.execute(active).fetchone()
            assert row is not None
            if reached(row[0]):
                break
            await asyncio.sleep(0.01)
        return int(row[0])

    async def leave() -> tuple[int, int, list[Any]]:
        left = asyncio.Event()
        sent: list[Any] = []
        first = True

        async def receive() -> dict[str, Any]:
            nonlocal first
            if first:
                first = False
                return {"type": "http.request", "body": b"", "more_body": False}
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": PIPES,
            "raw_path": PIPES.encode(),
            "root_path": "",
            "headers": [(b"host", b"test")],
            "query_string": str(httpx.QueryParams({"filter": slow})).encode(),
            "server": ("test", 80),
            "client": ("127.0.0.1", 1),
        }
        task = asyncio.create_task(client.app(scope, receive, send))  # type: ignore[arg-type]
        before = await until(lambda n: n >= 1, 300)
        left.set()
        await asyncio.wait_for(task, 120)
        return before, await until(lambda n: n == 0, 30), sent

    try:
        before, after, sent = client.run(leave())
        assert before >= 1  # with parallel workers
        assert after == 0
        assert sent[0]["status"] == 499
        assert client.get(PIPES, params={"limit": 1}).status_code == 200
    finally:
        owner.execute("DELETE FROM layer.water_pipe WHERE asset_id LIKE 'many%'")


def test_a_full_queue_is_told_at_once(client: Client) -> None:
    """Two connections, sixteen waiting for each; the rest is answered 503, and none hangs."""

    async def crowd() -> list[httpx.Response]:
        gate = asyncio.Event()

        async def hold() -> None:
            async with client.pool.connection():
                await gate.wait()

        holders = [asyncio.create_task(hold()) for _ in range(2)]
        await asyncio.sleep(0.1)
        http = client._http
        requests = [asyncio.create_task(http.get(PIPES, params={"limit": 1})) for _ in range(50)]
        await asyncio.sleep(1)
        gate.set()
        await asyncio.gather(*holders)
        return list(await asyncio.gather(*requests))

    answers = client.run(crowd())
    statuses = [a.status_code for a in answers]
    assert statuses.count(200) == 32
    for answer in answers:
        if answer.status_code != 200:
            assert refused(answer, 503)["code"] == "busy"
            assert "retry-after" in answer.headers


WORDS = """AND OR NOT IN LIKE BETWEEN IS NULL TRUE FALSE CASEI( ACCENTI( ( ) , = <> < > + - * / ^ % 1 2.5 'a'
DATE( '2020-01-01' TIMESTAMP( S_INTERSECTS( BBOX( POINT( 106.6 10.7 geometry INTERVAL( '..' div T_AFTER("""


def test_random_queries_never_fail_inside(client: Client, catalogue: Catalogue) -> None:
    """Five hundred random mixtures of right and wrong: every answer is 200 or a refusal."""
    chance = random.Random(7)
    words = [
        *(f.name for f in catalogue.layers["water_pipe"].fields),
        *WORDS.split(),
    ]  # fmt: skip
    seen = set()
    for _ in range(500):
        if chance.random() < 0.7:
            text = " ".join(chance.choices(words, k=chance.randint(1, 12)))
        else:
            text = "".join(chance.choices(string.printable, k=chance.randint(1, 60)))
        answer = client.get(PIPES, params={"filter": text, "limit": 2})
        seen.add(answer.status_code)
        if answer.status_code != 200:
            refused(answer)
    assert seen == {200, 400}
