"""/search over a real server: what was written a moment ago is found, however it is typed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from tests.api.problem import assert_problem
from tests.api.process import Server

SHARED = True

#: A quarter that no other test knows: EPSG:9210.
X, Y = 597000.0, 1196000.0


def _polygon(x: float, y: float, size: float) -> str:
    return f"SRID=9210;POLYGON(({x} {y},{x + size} {y},{x + size} {y + size},{x} {y + size},{x} {y}))"


@pytest.fixture(scope="module")
def owner(running: Server) -> Iterator[psycopg.Connection]:
    tables = ("base_road", "base_place", "admin_ward", "cadastre_parcel", "base_building", "water_valve")
    with psycopg.connect(running.db.owner_dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO layer.admin_ward (asset_id, name, full_name, commune_code, predecessors, geom)"
            " VALUES ('q-w1', 'Bến Thử', 'Phường Bến Thử', '79901', '79801, Phường Cầu Kho Thử',"
            " ST_Multi(%s))",
            [_polygon(X, Y, 2000)],
        )
        connection.execute(
            "INSERT INTO layer.base_road (asset_id, name, ref, geom) VALUES"
            " ('q-r1', 'Nguyễn Huệ Thử', 'QLT1', %s),"
            " ('q-r2', 'Nguyễn Huệ Thử', NULL, %s), ('q-r3', 'Nguyễn Huệ Thử', NULL, %s)",
            [
                f"SRID=9210;MULTILINESTRING(({X} {Y + 90},{X + 100} {Y + 90}))",
                f"SRID=9210;MULTILINESTRING(({X + 100} {Y + 90},{X + 200} {Y + 90}))",
                f"SRID=9210;MULTILINESTRING(({X + 5000} {Y},{X + 5100} {Y}))",
            ],
        )
        connection.execute(
            "INSERT INTO layer.base_place (asset_id, name, place_class, geom) VALUES"
            " ('q-p1', 'Chợ Bến Đỗ Thử', 'market', %s)",
            [f"SRID=9210;POINT({X + 50} {Y + 50})"],
        )
        for number, code, legacy in ((888, "79901", "79801"), (888, "79902", "79802")):
            connection.execute(
                "INSERT INTO layer.cadastre_parcel (asset_id, sheet_no, parcel_no, commune_code,"
                " legacy_commune_code, address, geom) VALUES (%s, '777', %s, %s, %s, %s, %s)",
                [
                    f"q-t{code}",
                    str(number),
                    code,
                    legacy,
                    f"12/3 Nguyễn Huệ Thử, Phường {code}",
                    _polygon(X + 10, Y + 10, 20),
                ],
            )
        connection.execute(
            "INSERT INTO layer.water_valve (asset_id, code, geom) VALUES ('QVAN-0001', 'VX-9931', %s)",
            [f"SRID=9210;POINT({X + 60} {Y + 60})"],
        )
        yield connection
        for table in tables:
            connection.execute(
                f"DELETE FROM layer.{table} WHERE asset_id ILIKE 'q-%' OR asset_id LIKE 'QVAN-%'"
            )


@pytest.fixture
def search(server: str, owner: psycopg.Connection) -> Any:
    def ask(q: str, **more: str) -> list[dict[str, Any]]:
        for _ in range(20):  # a busy machine may leave some out, and says so
            answer = httpx.get(f"{server}/search", params={"q": q, **more}, timeout=60)
            assert answer.status_code == 200, answer.text
            if answer.json()["complete"]:
                break
        found: list[dict[str, Any]] = answer.json()["results"]
        for hit in found:
            west, south, east, north = hit["bbox"]
            assert west - 1e-6 <= hit["point"][0] <= east + 1e-6
            assert south - 1e-6 <= hit["point"][1] <= north + 1e-6
            assert set(hit["subtitle"]) == {"vi", "en"}
        return found

    return ask


@pytest.mark.parametrize(
    "typed",
    [
        "nguyen hue thu",
        "Nguyễn Huệ Thử",
        "duong nguyen hue thu",
        "nguyen hue th",
        "nguyn hue thu",
        "ngyuen hue thu",
    ],
)
def test_a_street_however_it_is_typed(search: Any, typed: str) -> None:
    found = [h for h in search(typed) if h["kind"] == "street"]
    assert [h["title"] for h in found[:2]] == ["Nguyễn Huệ Thử"] * 2  # two streets of this name
    assert found[0]["layer"] == "base_road"
    widths = sorted(h["bbox"][2] - h["bbox"][0] for h in found[:2])
    assert widths[1] > 1.8 * widths[0]  # two pieces of the one, one of the other
    assert any("Bến Thử" in h["subtitle"]["vi"] for h in found[:2])


def test_wards_by_new_and_old_name(search: Any) -> None:
    new = search("phuong ben thu")[0]
    assert (new["kind"], new["title"], new["layer"]) == ("ward", "Phường Bến Thử", "admin_ward")
    old = next(h for h in search("cau kho thu") if h["kind"] == "ward_old")
    assert old["title"] == "Phường Cầu Kho Thử"
    assert old["fid"] == new["fid"]
    assert "nay là Phường Bến Thử" in old["subtitle"]["vi"]


def test_places(search: Any) -> None:
    hit = search("cho ben do thu")[0]
    assert (hit["kind"], hit["title"]) == ("place", "Chợ Bến Đỗ Thử")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("tờ 777 thửa 888", {"q-t79901", "q-t79902"}),
        ("777/888", {"q-t79901", "q-t79902"}),
        ("to 777 thua 888 ben thu", {"q-t79901"}),
        ("777/888 phường Cầu Kho Thử", {"q-t79901"}),
        ("79901/777/888", {"q-t79901"}),
        ("79802/777/888", {"q-t79902"}),
        ("thửa 889 tờ 777", set()),
    ],
)
def test_parcels_of_the_commune(
    search: Any, owner: psycopg.Connection, typed: str, expected: set[str]
) -> None:
    fids = [h["fid"] for h in search(typed) if h["kind"] == "parcel"]
    rows = owner.execute("SELECT asset_id FROM layer.cadastre_parcel WHERE fid = ANY (%s)", [fids])
    assert {row[0] for row in rows} == expected


def test_addresses(search: Any) -> None:
    for typed in ("12/3 nguyen hue thu", "12/3 nguyn hue thu"):
        hit = next(h for h in search(typed) if h["kind"] == "address")
        assert hit["title"].startswith("12/3 Nguyễn Huệ Thử")


def test_ids_by_their_beginning_and_codes(search: Any) -> None:
    assert search("QVAN-0001")[0]["title"] == "VX-9931"
    assert search("qvan-00")[0]["layer"] == "water_valve"
    assert any(h["layer"] == "water_valve" for h in search("vx 9931"))


def test_coordinates_and_sheets(search: Any) -> None:
    first = search("603481.588 1191454.611")[0]
    assert first["kind"] == "coordinates"
    assert first["point"] == [pytest.approx(106.698, abs=1e-7), pytest.approx(10.7725, abs=1e-7)]
    sheet = search("C-48-34-(119-a)")[0]
    assert (sheet["kind"], sheet["title"], sheet["layer"]) == ("sheet", "C-48-34-(119-a)", "base_sheet")
    assert sheet["fid"] is not None


def test_names_follow_edits(search: Any, owner: psycopg.Connection) -> None:
    owner.execute("UPDATE layer.base_place SET name = 'Đình Xoài Riêng' WHERE asset_id = 'q-p1'")
    assert search("dinh xoai rieng")[0]["title"] == "Đình Xoài Riêng"
    assert all(h["title"] != "Chợ Bến Đỗ Thử" for h in search("cho ben do thu"))
    owner.execute("UPDATE layer.base_place SET name = 'Chợ Bến Đỗ Thử' WHERE asset_id = 'q-p1'")


def test_names_of_a_load_come_when_it_is_over(search: Any, owner: psycopg.Connection) -> None:
    owner.execute(
        "INSERT INTO layer.base_place (asset_id, name, geom) SELECT 'q-many' || n, 'Miếu Lớn Xứ ' || n,"
        " ST_SetSRID(ST_MakePoint(%s + n, %s), 9210) FROM generate_series(1, 2500) AS n",
        [X, Y + 3000],
    )
    deadline = time.monotonic() + 120  # the server reads them beside its requests
    while not any(h["title"] == "Miếu Lớn Xứ 2431" for h in search("mieu lon xu 2431")):
        assert time.monotonic() < deadline
        time.sleep(0.5)


@pytest.mark.parametrize(
    "typed",
    [
        "'; DROP TABLE layer.base_road; --",
        "a & b | !c:* <-> d",
        "%_%",
        "\\",
        "''''",
        "x" * 200,
        "²³ ½ ß ﷽",
        "\u202e\u0301\u0301",
        "( ( ( ) * ?",
        "1/0",
        "\t\n",
        "🚰",
        "ﬁ ﬂ ⅷ ①",
        "<script>alert(1)</script>",
    ],
)
def test_hostile_texts(search: Any, typed: str) -> None:
    search(typed)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "q=a%00b",
        "q=" + "x" * 201,
        "q=a&limit=0",
        "q=a&limit=x",
        "q=a&near=1",
        "q=a&near=nan,1",
        "q=a&y=1",
        "q=a&q=b",
    ],
)
def test_wrong_questions_are_refused(server: str, query: str) -> None:
    assert_problem(httpx.get(f"{server}/search?{query}"), 400)
