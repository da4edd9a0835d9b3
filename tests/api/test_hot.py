"""The hot path says what the application says: status, headers, bytes; and takes only what is its own."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import psycopg
import pytest

from gis.api.features.boxes import inner_box
from gis.api.features.smallbox import small_box
from gis.city import City
from gis.crs import WGS84, transform_box
from tests.api.process import Server

LAYER = "water_pipe"
#: Sends a request the long way (gis.api.hot.asked.OTHERS).
LONG = {"Cookie": "a=b"}


@pytest.fixture(scope="module")
def client(server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server, verify=False, timeout=60) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def connected(client: httpx.Client) -> None:
    """Processes open their quick connections beside the first requests, which go the long way until then."""
    end = time.monotonic() + 180
    while time.monotonic() < end:
        before = hot_count(client)
        for _ in range(10):
            client.get(f"/collections/{LAYER}/items?limit=1")
        if hot_count(client) - before == 10:
            return
    pytest.fail("nothing is answered by the hot path")


@pytest.fixture(scope="module")
def fids(client: httpx.Client) -> list[int]:
    return [f["id"] for f in client.get(f"/collections/{LAYER}/items").json()["features"]]


def hot_count(client: httpx.Client) -> int:
    """Requests that the hot path of any process answered."""
    found = re.search(r"^bandoso_hot_requests_total (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return int(float(found[1])) if found else 0


def both(client: httpx.Client, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """The answer, which must be the same either way."""
    given = {"Accept-Encoding": "identity", **(headers or {})}
    quick = client.get(path, headers=given)
    long = client.get(path, headers={**given, **LONG})
    assert quick.status_code == long.status_code, (path, quick.text[:300], long.text[:300])
    assert told(quick) == told(long), path
    assert quick.content == long.content, path
    return quick


def told(answer: httpx.Response) -> dict[str, Any]:
    found = dict(sorted((k.lower(), v) for k, v in answer.headers.multi_items()))
    assert len(found) == len(answer.headers.multi_items())
    assert re.fullmatch("[0-9a-f]{16}", found.pop("x-request-id"))
    found.pop("date", None)
    return found


def pages(city: City) -> list[str]:
    west, south, east, north = city.extent
    x, y = (west + east) / 2, (south + north) / 2
    near = f"{x - 0.003:.6f},{y - 0.003:.6f},{x + 0.003:.6f},{y + 0.003:.6f}"
    return [
        "?limit=2",
        "",
        "?f=json&limit=1",
        "?limit=1&f=json",
        f"?bbox={near}&limit=1",
        f"?bbox={near}",
        "?limit=0",
    ]


def test_answers_are_the_same(client: httpx.Client, city: City, fids: list[int]) -> None:
    before = hot_count(client)
    asked = 0
    for path in (f"/{fids[0]}", f"/{fids[-1]}?f=json", f"/0{fids[0]}", *pages(city)):
        for headers in (
            {},
            {"Accept-Encoding": "gzip"},
            {"Accept-Language": "en", "Accept": "application/geo+json"},
            {"Accept": "*/*", "Host": "maps.example:8080"},
        ):
            answer = both(client, f"/collections/{LAYER}/items{path}", headers)
            asked += 1
            etag = answer.headers.get("etag")
            if etag is not None:
                assert (
                    both(
                        client, f"/collections/{LAYER}/items{path}", {**headers, "If-None-Match": etag}
                    ).status_code
                    == 304
                )
                both(
                    client,
                    f"/collections/{LAYER}/items{path}",
                    {**headers, "If-None-Match": '"no", W/"other"'},
                )
                asked += 2
    assert hot_count(client) - before > asked * 0.8


def test_pages_follow_each_other(client: httpx.Client, fids: list[int]) -> None:
    path, found = f"/collections/{LAYER}/items?limit=2", []
    while path:
        answer = both(client, path).json()
        found += [f["id"] for f in answer["features"]]
        assert answer["numberMatched"] == len(fids)
        path = next((one["href"] for one in answer["links"] if one["rel"] == "next"), "")
    assert found == fids


@pytest.fixture
def value(running: Server, fids: list[int]) -> Iterator[str]:
    """An indexed code of two features, taken away again."""
    restored = "UPDATE layer.water_pipe AS p SET dma_code = o.code FROM (SELECT unnest(%s::bigint[]) AS fid,"
    with psycopg.connect(running.db.owner_dsn, autocommit=True) as owner:
        two = fids[:2]
        was = owner.execute(
            "SELECT array_agg(dma_code ORDER BY fid) FROM layer.water_pipe WHERE fid = ANY (%s)", [two]
        ).fetchone()
        assert was
        owner.execute("UPDATE layer.water_pipe SET dma_code = 'DMA-07.a_1' WHERE fid = ANY (%s)", [two])
        yield "DMA-07.a_1"
        owner.execute(f"{restored} unnest(%s::text[]) AS code) AS o WHERE o.fid = p.fid", [two, was[0]])


def test_values_of_an_indexed_field(client: httpx.Client, fids: list[int], value: str) -> None:
    """Asked for by its own parameter; values that need care, and fields without an index, go the long way."""
    items = f"/collections/{LAYER}/items"
    before = hot_count(client)
    for n, path in enumerate(
        (f"?dma_code={value}", f"?dma_code={value}&limit=1", f"?limit=1&f=json&dma_code={value}"), start=1
    ):
        answer = both(client, items + path).json()
        assert [f["id"] for f in answer["features"]] == (fids[:1] if "limit" in path else fids[:2])
        assert answer["numberMatched"] == 2
        if "limit" in path:
            further = next(one["href"] for one in answer["links"] if one["rel"] == "next")
            assert [f["id"] for f in both(client, further).json()["features"]] == fids[1:2]
            before += 1
        assert hot_count(client) - before == n
    assert both(client, f"{items}?dma_code=none-such").json()["numberMatched"] == 0
    assert hot_count(client) - before == n + 1
    for path, status in (
        (f"?dma_code={value}&status=in_service", 200),
        (f"?dma_code={value}&bbox=106.7,10.7,106.71,10.71", 200),
        ("?dma_code=a%20b", 200),
        (f"?street={value}", 200),
        ("?dma_code=", 200),
        (f"?dma_code={value}&dma_code={value}", 400),
        ("?dma_cod=x", 400),
        ("?limit=0x", 400),
        (f"?limit=0&dma_code={value}", 400),
        (f"?f=no&dma_code={value}", 400),
    ):
        assert both(client, items + path).status_code == status, path
    assert hot_count(client) - before == n + 1


def test_nothing_hidden_and_nothing_odd_is_answered(client: httpx.Client, fids: list[int]) -> None:
    """What is not simple goes the long way, with its problems."""
    before = hot_count(client)
    one = f"/collections/{LAYER}/items/{fids[0]}"
    for path, status in (
        ("/collections/emergency_plan/items", 404),
        ("/collections/no_such/items/1", 404),
        (f"/collections/{LAYER}/items/999999999", 404),
        (f"/collections/{LAYER}/items/9x", 404),
        (f"{one}?f=jsonfg", 200),
        (f"{one}?nonsense=1", 400),
        (f"/collections/{LAYER}/items?limit=2&limit=3", 400),
        (f"/collections/{LAYER}/items?bbox=1,2,3", 400),
        (f"/collections/{LAYER}/items?bbox=106.7,10.78,106.6,10.79", 400),
        (f"/collections/{LAYER}/items?after=abc", 400),
    ):
        assert both(client, path).status_code == status, path
    assert client.get(one, headers={"Authorization": "Basic eDp5"}).status_code == 401
    assert both(client, one, {"Accept": "text/html"}).headers["content-type"].startswith("text/html")
    assert both(client, one, {"Host": "a b"}).status_code == 400
    assert hot_count(client) == before


def test_tiles_are_the_same(client: httpx.Client, running: Server, fids: list[int]) -> None:
    shape = client.get(f"/collections/{LAYER}/items/{fids[0]}").json()["geometry"]["coordinates"]
    while isinstance(shape[0], list):
        shape = shape[0]
    from tiles.grid import tile_at

    tile = tile_at(shape[0], shape[1], 16)
    address = f"tiles/WebMercatorQuad/{tile.z}/{tile.y}/{tile.x}"
    before = hot_count(client)
    for path in (f"/collections/{LAYER}/{address}", f"/{address}", "/tiles/WebMercatorQuad/16/0/0"):
        for _ in range(6):  # both processes have it in memory then
            client.get(path)
        for headers in ({}, {"Accept-Encoding": "gzip"}):
            answer = both(client, path, headers)
            etag = answer.headers.get("etag")
            if etag is not None:
                assert both(client, path, {**headers, "If-None-Match": etag}).status_code == 304
    both(client, "/tiles/WebMercatorQuad/16/0/x")
    both(client, f"/collections/{LAYER}/tiles/NoGrid/1/1/1")
    assert hot_count(client) > before


def test_requests_are_logged_and_counted(client: httpx.Client, running: Server, fids: list[int]) -> None:
    path = f"/collections/{LAYER}/items/{fids[0]}"
    answer = client.get(path, headers={"User-Agent": 'x"y', "Accept-Encoding": "identity"})
    hot_count(client)  # lines are written until it answers
    lines = [json.loads(line) for line in running.log.read_text().splitlines() if line.startswith("{")]
    (mine,) = (one for one in lines if one.get("id") == answer.headers["x-request-id"])
    long = client.get(path, headers={"User-Agent": 'x"y', "Accept-Encoding": "identity", **LONG})
    hot_count(client)
    lines = [json.loads(line) for line in running.log.read_text().splitlines() if line.startswith("{")]
    (other,) = (one for one in lines if one.get("id") == long.headers["x-request-id"])
    for changing in ("time", "id", "ms"):
        assert type(mine.pop(changing)) is type(other.pop(changing))
    assert mine == other


def test_small_boxes_are_exact(city: City) -> None:
    """Within a tenth of a millimetre of the general way, and the inner rectangle inside."""
    import numpy as np
    import shapely

    rng = np.random.default_rng(5)
    west, south, east, north = city.extent
    for side in (0.00005, 0.0006, 0.003, 0.006, 0.013):
        x, y = rng.uniform(west, east), rng.uniform(south, north)
        box = (x, y, x + side, y + side * rng.uniform(0.2, 1))
        made = small_box(box, WGS84, city.crs.storage)
        assert made is not None
        shape, inside = (shapely.from_wkb(text) for text in made)
        general = transform_box(box, WGS84, city.crs.storage)
        assert shape.hausdorff_distance(general) < 1e-4
        assert shape.contains(inside)
        wanted = inner_box(general)
        assert wanted is not None
        assert inside.area > 0.99 * shapely.box(*wanted).area
    assert small_box((106.0, 10.0, 107.0, 11.0), WGS84, city.crs.storage) is None
    assert small_box((106.7, 10.7, 106.7, 10.8), WGS84, city.crs.storage) is None
