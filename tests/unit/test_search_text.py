"""What is typed into the one box is understood, whatever order, accents and signs it has."""

from __future__ import annotations

import random

import pytest

from gis.ask.text import ParcelNumber, Question, fold, read
from gis.city import City

#: Ben Thanh market (shared/domain/crs.md): WGS 84, EPSG:9210, EPSG:3405.
LON, LAT = 106.698, 10.7725
EAST, NORTH = 603481.588, 1191454.611


def ask(city: City, text: str) -> Question:
    return read(text, city.crs.storage, city.crs.offered, city.extent)


@pytest.mark.parametrize(
    "text",
    [
        "10.7725, 106.698",
        "106.698 10.7725",
        "10,7725 106,698",
        "lat=10.7725 lon=106.698",
        "10.7725N 106.698E",
        "10°46'21\"N 106°41'52.8\"E",
        "N10 46 21 E106 41 52.8",
        "106°41′52,8″ 10°46′21″",
    ],
)
def test_degrees_in_any_order(city: City, text: str) -> None:
    (place,) = ask(city, text).places
    assert (place.code, place.lon, place.lat) == (4326, pytest.approx(LON), pytest.approx(LAT))


@pytest.mark.parametrize(
    "text", ["603481.588 1191454.611", "1191454.611; 603481.588", "X=1191454.611 Y=603481.588"]
)
def test_metres_of_the_zone_and_of_its_neighbours(city: City, text: str) -> None:
    places = ask(city, text).places
    assert places[0].code == city.crs.storage
    assert (places[0].x, places[0].y) == (EAST, NORTH)
    assert (places[0].lon, places[0].lat) == (pytest.approx(LON, abs=1e-8), pytest.approx(LAT, abs=1e-8))
    assert {p.code for p in places} <= {city.crs.storage, *city.crs.offered}
    assert len({p.code for p in places}) == len(places)


def test_the_market_in_another_zone(city: City) -> None:
    utm = [p for p in ask(city, "685466.299 1191450.738").places if p.code == 3405]
    assert [(p.lon, p.lat) for p in utm] == [(pytest.approx(LON, abs=1e-8), pytest.approx(LAT, abs=1e-8))]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("tờ 12 thửa 34", ParcelNumber("12", "34")),
        ("Tờ bản đồ số 12, thửa đất số 34", ParcelNumber("12", "34")),
        ("thửa 34 tờ 12", ParcelNumber("12", "34")),
        ("to 12 thua 34 phuong Bến Nghé", ParcelNumber("12", "34", None, ("ben", "nghe"))),
        ("12/34", ParcelNumber("12", "34")),
        ("12/34 xã Củ Chi", ParcelNumber("12", "34", None, ("cu", "chi"))),
        ("27112/12/34", ParcelNumber("12", "34", "27112")),
        ("12/34 27112", ParcelNumber("12", "34", "27112")),
        ("sheet 12 parcel 34", ParcelNumber("12", "34")),
    ],
)
def test_a_parcel_by_its_number(city: City, text: str, expected: ParcelNumber) -> None:
    assert ask(city, text).parcels == (expected,)


def test_sheets_of_both_systems(city: City) -> None:
    assert [s.name for s in ask(city, "c-48-34-119-a").sheets] == ["C-48-34-(119-a)"]
    assert [s.name for s in ask(city, "194 602-8").sheets] == ["194 602-8"]
    assert ask(city, "F-48-68-(251-b)").sheets == ()  # Ha Noi


def test_words_have_no_accents(city: City) -> None:
    asked = ask(city, "Đường  Nguyễn HUỆ, 12/3A")
    assert asked.words == ("duong", "nguyen", "hue", "12", "3a")
    assert (asked.letters, asked.numbered) == (("duong", "nguyen", "hue"), ("12", "3a"))
    assert fold("Ụ Cây – ĐẶNG") == "u cay – dang"


def test_whatever_is_typed_is_read(city: City) -> None:
    letters = "đứỀ '\"\\%_;--/*()[]{}|&!:*<>=0123456789.,°′x\u202e\x01\u0301 "
    chance = random.Random(6)
    texts = [
        "'; DROP TABLE layer.base_road; --",
        "a & b | !c:*",
        "9" * 400,
        "1e999 1e999",
        "\ud7ff",
        "/" * 200,
    ]
    texts += ["".join(chance.choices(letters, k=chance.randrange(60))) for _ in range(500)]
    for text in texts:
        asked = ask(city, text)
        assert all(w.isalnum() for w in asked.words)
        west, south, east, north = city.extent
        assert all(west <= p.lon <= east and south <= p.lat <= north for p in asked.places)
