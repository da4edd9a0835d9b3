"""Tables of law: the worked values of the sources, dates, a city's own tables, and mistakes in them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from gis.checks.law import Law, book_of, law_of
from gis.checks.law_tables import TABLES, load_book
from gis.city import load_city
from gis.errors import ConfigError
from gis.resources import config_dir

TODAY = date(2026, 1, 1)


@pytest.fixture(scope="module")
def law() -> Law:
    return Law(book_of(None), TODAY)


# The examples of shared/domain/cadastre.md, which quotes the circular.
@pytest.mark.parametrize(
    ("scale", "lengths", "cm"),
    [
        (2000, [5, 10, 20, 50, 100], [3.75, 7.5, 11.0, 19.5, 24.5]),
        (500, [5, 10, 20, 50, 100], [3.1, 5.65, 8.4, 14.9, 19.9]),
        (500, [0, 1, 3], [1.8, 1.8, 1.8]),
        (1000, [3.5, 10, 30, 50, 60], [2.0, 6.55, 12.55, 17.55, 18.55]),
        (5000, [5, 10, 30, 50, 60], [4.0, 8.0, 16.0, 23.0, 24.5]),
    ],
)
def test_edge_tolerance(law: Law, scale: int, lengths: list[float], cm: list[float]) -> None:
    found = law.edge_tolerance_m(scale, np.array(lengths, float))
    assert found.tolist() == pytest.approx(np.array(cm) / 100, abs=1e-15)


@pytest.mark.parametrize(
    ("scale", "areas", "m2"),
    [
        (2000, [40, 100, 500, 1000, 5000], [0.4, 0.94, 3.74, 6.24, 19.24]),
        (500, [30, 100, 300, 500, 1000, 2000, 3000], [0.25, 0.81, 1.81, 2.61, 4.11, 6.11, 7.11]),
        (1000, [40, 300, 1000, 2000, 5000, 10000, 11000], [0.35, 2.43, 5.93, 9.93, 18.93, 28.93, 29.93]),
        (5000, [50, 300], [0.5, 2.75]),
    ],
)
def test_area_tolerance(law: Law, scale: int, areas: list[float], m2: list[float]) -> None:
    assert law.area_tolerance_m2(scale, np.array(areas, float)).tolist() == pytest.approx(m2, abs=1e-12)


def test_tolerances_by_the_scale_of_each(law: Law) -> None:
    found = law.edge_tolerance_m(np.array([2000, 500, 123]), np.array([5.0, 5.0, 5.0]))
    assert found[:2].tolist() == pytest.approx([0.0375, 0.031])
    assert np.isnan(found[2])
    assert np.isnan(law.area_tolerance_m2(2000, np.array([np.nan]))[0])
    assert len(law.area_tolerance_m2(2000, np.empty(0))) == 0


def test_position_limits(law: Law) -> None:
    limits = [law.position_limit_m(scale) for scale in (500, 1000, 2000, 5000, 10000)]
    assert limits == pytest.approx([0.07, 0.15, 0.30, 1.50, 3.00])
    farm = [law.position_limit_m(scale, farm=True) for scale in (500, 1000, 2000, 5000)]
    assert farm == pytest.approx([0.07, 0.225, 0.45, 1.50])
    assert np.isnan(law.position_limit_m(7))


def test_land_use_by_day(law: Law) -> None:
    codes = np.array(
        ["BHK", "BHK", "BHK", "CNT", "CNT", "ODT", "XYZ", None, "BHK", "XYZ", "XYZ"], dtype=object
    )
    days = ["2024-07-31", "2024-08-01", "2010-01-01", "2024-07-31", "2024-08-01", "2025-01-01"]
    days += ["2025-01-01", "2025-01-01", "NaT", "NaT", "2010-01-01"]
    valid = law.land_use_valid(codes, np.array(days, "M8[us]"))
    assert valid.tolist() == [True, False, True, False, True, True, False, True, True, False, True]


def test_every_code_of_the_layers_was_valid_once(law: Law) -> None:
    """A code that people can choose but no law knows would be an error they cannot mend."""
    from gis.settings import Settings

    settings = Settings(data_dir=Path("/nonexistent"))
    catalogue = settings.load_catalogue(settings.load_city())
    codes = np.array([v.value for v in catalogue.domains["land_use"]], dtype=object)
    assert law.land_use_valid(codes, np.full(len(codes), np.datetime64("NaT", "D"))).all()
    assert law.is_farm(np.array(["LUC", "ODT", None], dtype=object)).tolist() == [True, False, False]


# The whole table of shared/domain/utility-networks.md.
HORIZONTAL = """
        water sewage storm power telecom works
water   0.5   1.0    0.5   0.5   0.5     1.5
sewage  1.0   0.4    0.4   0.5   0.5     1.0
storm   0.5   0.4    0.4   0.5   0.5     1.0
power   0.5   0.5    0.5   0.1   0.5     2.0
telecom 0.5   0.5    0.5   0.5   -       1.0
"""


def test_horizontal_clearances(law: Law) -> None:
    header, *rows = [line.split() for line in HORIZONTAL.strip().splitlines()]
    for name, *values in rows:
        for other, value in zip(header, values, strict=True):
            expected = None if value == "-" else float(value)
            assert law.clearance_m(name, other, "horizontal") == expected, (name, other)
            assert law.clearance_m(other, name, "horizontal") == expected, (name, other)


def test_vertical_clearances(law: Law) -> None:
    pairs = {
        ("water", "sewage"): 1.0,
        ("storm", "water"): 0.5,
        ("storm", "sewage"): 0.4,
        ("power", "power"): 0.1,
    }
    pairs |= {("sewage", "sewage"): 0.4, ("storm", "storm"): 0.4, ("telecom", "power"): 0.5}
    for (a, b), expected in pairs.items():
        assert law.clearance_m(a, b, "vertical") == expected


def test_numbers_by_size(law: Law) -> None:
    kv = np.array([0.4, 1, 22, 22.5, 35, 110, 220, 500, 765, np.nan])
    assert law.corridor_m(kv).tolist() == pytest.approx(
        [np.nan, np.nan, 2, 3, 3, 4, 6, 7, np.nan, np.nan], nan_ok=True
    )
    assert law.corridor_m(kv[2:6], np.ones(4, bool)).tolist() == [1, 1.5, 1.5, 4]
    dn = np.array([100, 150, 300, 301, 400, 600, 700, 1000, 1200, np.nan])
    assert law.manhole_spacing_m(dn).tolist() == pytest.approx(
        [np.nan, 30, 30, 40, 40, 40, 60, 60, 100, np.nan], nan_ok=True
    )
    no, yes = np.zeros(3, bool), np.ones(3, bool)
    assert law.cover_m(np.array([200, 300, 301]), no).tolist() == [0.3, 0.3, 0.5]
    assert law.cover_m(np.array([200, 300, 301]), yes).tolist() == [0.7, 0.7, 0.7]
    assert law.parallel_water_m(np.array([100, 199, 200, 400])).tolist() == [1.5, 1.5, 3, 3]
    assert law.minimum_slope(np.array([300.0, 0.0])).tolist() == pytest.approx([1 / 300, np.nan], nan_ok=True)


def test_the_law_of_an_earlier_day() -> None:
    old = Law(book_of(None), date(2020, 5, 1))
    assert old.source("overhead_corridor").startswith("Decree 14/2014")
    assert Law(book_of(None), TODAY).source("overhead_corridor").startswith("Decree 62/2025")
    assert np.isnan(old.edge_tolerance_m(2000, np.array([5.0]))).all()
    assert old.clearance_m("water", "power", "horizontal") is None
    assert old.source("edge_tolerance") == ""


def test_every_table_is_in_force_today_with_a_source() -> None:
    for name, editions in book_of(None).items():
        assert Law(book_of(None), TODAY).edition(name) is not None, name
        assert all(len(e.source) > 8 for e in editions)


OWN = """
cover:
  - {source: A city's own rule, confidence: primary, effective_from: 2020-01-01,
     road_m: 1.0, elsewhere_m: [{value: 0.8}]}
"""


def test_a_city_replaces_single_tables(tmp_path: Path) -> None:
    (tmp_path / "law").mkdir()
    (tmp_path / "law" / "own.yml").write_text(OWN)
    text = (config_dir() / "city.yml").read_text(encoding="utf-8")
    (tmp_path / "city.yml").write_text(text + "\nlaw: law\n", encoding="utf-8")
    own = law_of(load_city(tmp_path / "city.yml"), TODAY)
    assert own.cover_m(np.array([100.0]), np.array([True])).tolist() == [1.0]
    assert own.source("cover") == "A city's own rule"
    assert own.position_limit_m(2000) == pytest.approx(0.3)
    assert (
        law_of(load_city(config_dir() / "city.yml"), TODAY).cover_m(np.array([100.0]), np.array([True]))
        == 0.7
    )


FALLING = """
edge_tolerance:
  - {source: abc, confidence: primary,
     scales: {500: {base: 1, until: 3, then: [{rate: 1, until: 2}, {rate: 1}]}}}
"""
TWICE = "horizontal_clearance: [{source: abc, confidence: primary, pairs: {a: {b: 1}, b: {a: 2}}}]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cover: 3", "cover: must be a list of editions"),
        ("cuver: []", "there is no table cuver"),
        ("- 1", "must be a mapping of tables"),
        ("cover: [{road_m: 1}]", "cover.0."),
        (OWN.replace("primary", "sure"), "confidence"),
        (OWN.replace("road_m: 1.0", "road_m: -1"), "road_m"),
        (OWN.replace("{value: 0.8}", "{value: 0.8}, {up_to: 3, value: 1}"), "steps must rise"),
        (OWN.replace("effective_from", "effective_until"), "effective_until"),
        (OWN + OWN.replace("cover:", "").strip("\n"), "two editions are in force on 2020-01-01"),
        ("cover: [", "line 2"),
        (FALLING, "must rise"),
        (TWICE, "given twice, differently"),
    ],
)  # fmt: skip
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "own.yml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_book(config_dir() / "law", tmp_path)
    assert message in caught.value.message
    assert str(tmp_path) not in caught.value.message


def test_a_folder_that_is_missing_or_lacks_a_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        load_book(config_dir() / "law", tmp_path / "law")
    (tmp_path / "some.yml").write_text(OWN)
    with pytest.raises(ConfigError, match="has no table"):
        load_book(tmp_path)
    assert set(load_book(config_dir() / "law")) == set(TABLES)
