"""Pages, counts, ETags and links: following next gives every feature once, in any order, at any size."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import orjson
import psycopg
import pytest

from gis.api.features import count as counting
from gis.api.features import query as building
from gis.city import City
from gis.db.server import Database
from gis.settings import Settings
from layers.registry import Catalogue
from tests.api.items_app import Client, items_client
from tests.api.sample import load_layer

ROWS = 100
PIPES = "/collections/water_pipe/items"


@pytest.fixture(scope="module")
def client(module_db: Database, settings: Settings, city: City, catalogue: Catalogue) -> Iterator[Client]:
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        for layer in ("water_pipe", "water_valve"):
            load_layer(connection, catalogue.layers[layer], city, ROWS)
        connection.execute("DELETE FROM layer.water_pipe WHERE fid % 7 = 0")
        connection.execute("ANALYZE")
    with items_client(settings, city, catalogue, module_db) as client:
        yield client


def following(client: Client, path: str, **params: Any) -> Iterator[Any]:
    """Each page from the first on, by its next links."""
    answer = client.get(path, params=params)
    for _ in range(500):
        assert answer.status_code == 200, answer.text
        page = answer.json()
        yield page
        further = [one["href"] for one in page["links"] if one["rel"] == "next"]
        assert (f'<{further[0]}>; rel="next"' in answer.headers["link"]) if further else True
        if not further:
            return
        answer = client.get(further[0])
    raise AssertionError("the links go round in circles")


ORDERS = [
    "",
    "material",
    "-material",
    "material,-installed_year",
    "-last_inspection,+material,-fid",
    "-diameter_mm",
    "updated_at,-street",
    "fid",
    "-fid",
]


def _sql_order(order: str) -> str:
    keys = [k for k in order.split(",") if k] + ["fid"]
    return ", ".join(
        f"{k.lstrip('+-')} {'DESC NULLS FIRST' if k.startswith('-') else 'ASC NULLS LAST'}" for k in keys
    )


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("limit", [7, 40, 1000])
def test_next_links_give_each_feature_once_in_order(
    client: Client, owner: psycopg.Connection, order: str, limit: int
) -> None:
    params = {"limit": limit, "properties": "", **({"sortby": order} if order else {})}
    pages = list(following(client, PIPES, **params))
    found = [f["id"] for page in pages for f in page["features"]]
    right = [r[0] for r in owner.execute(f"SELECT fid FROM layer.water_pipe ORDER BY {_sql_order(order)}")]  # type: ignore[arg-type]
    assert found == right
    assert {page["numberMatched"] for page in pages} == {len(right)}
    assert all(page["numberReturned"] == limit for page in pages[:-1])
    assert pages[-1]["features"]


def test_an_offset_goes_on_by_key(client: Client, owner: psycopg.Connection) -> None:
    pages = list(following(client, PIPES, limit=20, offset=30))
    right = [r[0] for r in owner.execute("SELECT fid FROM layer.water_pipe ORDER BY fid OFFSET 30")]
    assert [f["id"] for page in pages for f in page["features"]] == right
    assert "offset" not in pages[0]["links"][-1]["href"]
    assert client.items("water_pipe", offset=100_000).json()["features"] == []


def test_a_last_page_that_is_full_has_no_next(client: Client) -> None:
    whole = client.items("water_valve", limit=ROWS).json()
    assert len(whole["features"]) == ROWS
    assert "next" not in [one["rel"] for one in whole["links"]]


def test_a_page_of_large_geometry_ends_early_and_goes_on(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Size is bounded whatever the limit: at least one feature a page, and none lost."""
    monkeypatch.setattr(building, "PAGE_BYTES", 300)
    pages = list(following(client, PIPES, limit=50))
    found = [f["id"] for page in pages for f in page["features"]]
    assert len(pages) > 10
    assert len(found) == len(set(found)) == pages[0]["numberMatched"]


def test_a_long_sort_key_falls_back_to_offset(client: Client, owner: psycopg.Connection) -> None:
    owner.execute("UPDATE layer.water_pipe SET remark = repeat('ệ', 480) || fid")
    pages = list(following(client, PIPES, limit=30, sortby="remark,street"))
    found = [f["id"] for page in pages for f in page["features"]]
    assert len(found) == len(set(found)) == pages[0]["numberMatched"]


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "!!!!",
        "é",
        "A" * 5000,
        "WzEsIiIsW10sM",
        *(
            base64.urlsafe_b64encode(orjson.dumps(v)).decode().rstrip("=")
            for v in (
                None,
                [],
                {},
                [1, "", [], 0],
                ["1", "", [], 0, None],
                [1.5, "", [], 0, None],
                [True, "", [], 0, None],
                [1, "", ["x"], 0, None],
                [1, "+material", ["x"], 0, None],
                [1, "", [], -1, None],
                [1, "", [], 0, [1]],
                [1, "", [], 0, ["x", False]],
                [1, "", [], 0, [-5, False]],
                [1, "", [5], 0, None],
                [2**64 - 1, "", [], 0, None],
            )
        ),
    ],
)
def test_tokens_that_were_not_made_here(client: Client, token: str) -> None:
    answer = client.items("water_pipe", after=token)
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, "after")


def test_a_token_with_a_value_of_another_type(client: Client) -> None:
    for value in ("x", "1; DROP TABLE y", "NaN", "9" * 30):
        raw = orjson.dumps([1, "+installed_year", [value], 0, None])
        token = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        assert client.items("water_pipe", after=token, sortby="installed_year").status_code == 400


def test_a_token_belongs_to_its_order(client: Client) -> None:
    first = client.items("water_pipe", limit=2, sortby="material").json()
    token = first["links"][-1]["href"].partition("after=")[2]
    assert client.items("water_pipe", after=token, sortby="-material").status_code == 400
    assert client.items("water_pipe", after=token).status_code == 400
    assert client.items("water_pipe", after=token, sortby="material", offset=2).status_code == 400


# Counts


def test_counts_are_exact_as_far_as_they_are_cheap(client: Client, owner: psycopg.Connection) -> None:
    row = owner.execute("SELECT count(*) FROM layer.water_pipe WHERE installed_year > 1870").fetchone()
    assert row is not None
    page = client.items("water_pipe", filter="installed_year > 1870", limit=5).json()
    assert (page["numberMatched"], page["numberReturned"]) == (row[0], 5)
    assert "numberMatchedEstimated" not in page
    pages = list(following(client, PIPES, filter="installed_year > 1870", limit=20))
    assert {p["numberMatched"] for p in pages} == {row[0]}


def test_beyond_the_cap_the_planner_estimates(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "EXACT_ROWS", 10)
    page = client.items("water_pipe", filter="installed_year > 0", limit=20).json()
    assert page["numberMatchedEstimated"] is True
    assert page["numberMatched"] >= 21
    assert (
        "ogc-numbermatched" not in client.items("water_pipe", filter="installed_year > 0", limit=20).headers
    )


def test_counting_stops_when_it_takes_long(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "EXACT_SECONDS", 0.0001)
    slow = " OR ".join(f"CASEI(ACCENTI(remark)) LIKE '%a{n}%b%'" for n in range(40))
    page = client.items("water_pipe", filter=f"NOT ({slow})", limit=3).json()
    assert (page["numberReturned"], page["numberMatchedEstimated"]) == (3, True)
    assert client.items("water_pipe", limit=3).status_code == 200  # the connection is as before


def test_a_page_that_tells_its_count_asks_for_none(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any) -> None:
        raise AssertionError("counted")

    monkeypatch.setattr("gis.api.features.page.count", fail)
    assert client.items("water_pipe", limit=5).json()["numberMatched"] == 86
    page = client.items("water_pipe", filter="fid < 5").json()
    assert page["numberMatched"] == page["numberReturned"] == 4


# ETags and headers


@pytest.mark.parametrize("output", ["json", "jsonfg", "csv", "fgb", "html"])
def test_a_page_is_not_sent_twice(client: Client, owner: psycopg.Connection, output: str) -> None:
    first = client.items("water_valve", f=output, limit=5)
    again = client.get(
        first.url.raw_path.decode(), headers={"If-None-Match": f'"x", {first.headers["etag"]}'}
    )
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    owner.execute("UPDATE layer.water_valve SET code = 'new', version = version + 1 WHERE fid = 2")
    changed = client.get(first.url.raw_path.decode(), headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200
    owner.execute("UPDATE layer.water_valve SET code = 'old', version = version + 1 WHERE fid = 2")


def test_one_item_is_told_by_its_version(client: Client, owner: psycopg.Connection) -> None:
    path = "/collections/water_valve/items/3"
    first = client.get(path)
    etag = first.headers["etag"]
    assert etag.startswith('"3.') and not etag.startswith("W/")
    assert client.get(path, headers={"If-None-Match": etag}).status_code == 304
    assert client.get(path, headers={"If-None-Match": "*"}).status_code == 304
    assert client.get(path, params={"crs": "EPSG:9210"}, headers={"If-None-Match": etag}).status_code == 200
    owner.execute("UPDATE layer.water_valve SET version = version + 1 WHERE fid = 3")
    assert client.get(path, headers={"If-None-Match": etag}).status_code == 200
    absent = client.get("/collections/water_valve/items/999999", headers={"If-None-Match": "*"})
    assert absent.status_code == 404


def test_head_and_options(client: Client) -> None:
    for path in (PIPES, f"{PIPES}/1", f"{PIPES}/no-such-thing"):
        answer = client.request("OPTIONS", path)
        assert (answer.status_code, answer.headers["allow"]) == (200, "GET, HEAD, OPTIONS")
    assert client.request("OPTIONS", "/collections/nothing/items").status_code == 404
    assert client.request("HEAD", PIPES).headers["etag"] == client.get(PIPES).headers["etag"]
    assert client.request("POST", PIPES).status_code == 401
    for method in ("PUT", "PATCH", "DELETE"):
        assert client.request(method, PIPES).status_code == 405


def test_links_lead_back(client: Client) -> None:
    page = client.items("water_pipe", limit=3, filter="material = 'pe' OR TRUE", crs="EPSG:9210").json()
    links = {one["rel"]: one["href"] for one in page["links"]}
    assert client.get(links["self"]).json() == page
    assert client.get(links["next"]).json()["features"][0]["id"] == 4
    assert links["collection"] == "http://test/collections/water_pipe"
    for one in page["links"]:
        if one["rel"] == "alternate":
            assert client.get(one["href"]).headers["content-type"].startswith(one["type"])


def test_negotiation(client: Client) -> None:
    wanted = {
        "*/*": "application/geo+json",
        "application/geo+json;q=0.5, text/html;q=0.9": "text/html; charset=utf-8",
        "text/html,application/xhtml+xml,*/*;q=0.8": "text/html; charset=utf-8",
        "application/json": "application/geo+json",
        "application/flatgeobuf": "application/flatgeobuf",
        "image/png": "application/geo+json",
        "garbage;;q=x": "application/geo+json",
    }
    for accept, media_type in wanted.items():
        assert client.get(PIPES, headers={"Accept": accept}).headers["content-type"] == media_type
    assert (
        client.get(PIPES, params={"f": "csv"}, headers={"Accept": "text/html"})
        .headers["content-type"]
        .startswith("text/csv")
    )
