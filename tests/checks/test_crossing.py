"""Clearances against a slow judge of one pair at a time, areas of owners, offsets of deliveries."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from gis.checks.crossing.offset import offsets
from gis.checks.features import Features
from gis.checks.findings import in_whole, in_window, message
from gis.checks.law import law_of
from gis.checks.model import Finding
from gis.checks.registry import applications
from gis.checks.source import EVERYWHERE, Box, MemorySource
from gis.checks.whole import Whole
from gis.city import Agency, Area, load_city
from gis.errors import ConfigError
from gis.resources import config_dir
from tests.checks.cases import ORIGIN, features_of, setting

KINDS = {
    "water": ("water_pipe", {}),
    "sewage": ("drainage_conduit", {"system": "foul"}),
    "telecom": ("telecom_duct", {}),
    "power": ("power_line", {"kind": "cable"}),
}


def source_of(rows: dict[str, list[dict[str, Any]]]) -> MemorySource:
    catalogue = setting().catalogue
    return MemorySource(
        catalogue, {layer: features_of(catalogue, layer, some) for layer, some in rows.items()}
    )


def judge(source: MemorySource, *ids: str, box: Box = EVERYWHERE, city: Any = None) -> list[Finding]:
    at = replace(setting(), city=city or setting().city)
    apps = [app for app in applications(at.catalogue) if app.rule.id in ids]
    return [*in_window(box, source, at, apps), *in_whole(Whole(source, at), apps)]


# --- clearances

whole = st.integers(-6, 6)
works = st.tuples(
    st.sampled_from(sorted(KINDS)),
    whole,
    whole,
    whole,
    whole,
    st.integers(-2, 2),
    st.sampled_from([0, 250, 500]),
).filter(lambda w: (w[1], w[2]) != (w[3], w[4]))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(lines=st.lists(works, min_size=2, max_size=7))
def test_clearances_against_all_pairs(lines: list[tuple[Any, ...]]) -> None:
    rows: dict[str, list[dict[str, Any]]] = {}
    for number, (kind, x0, y0, x1, y1, z, diameter) in enumerate(lines):
        layer, attributes = KINDS[kind]
        wkt = f"LINESTRING Z ({x0} {y0} {z / 4}, {x1} {y1} {z / 4})"
        size = {"telecom_duct": "duct_diameter_mm", "power_line": "remark"}.get(layer, "diameter_mm")
        more = {} if size == "remark" else {size: float(diameter)}
        rows.setdefault(layer, []).append({"id": f"W{number}", "wkt": wkt, **attributes, **more})
    found = {
        (one.rule, *sorted(ref.asset_id for ref in one.features)): one.value
        for one in judge(source_of(rows), "XLY-03", "XLY-04")
    }
    assert found == pytest.approx(slowly(lines), abs=1e-6)


def slowly(lines: list[tuple[Any, ...]]) -> dict[tuple[str, ...], float]:
    """What two straight level lines break, by shapely and one pair at a time."""
    law = law_of(setting().city, date(2026, 1, 1))
    seen: set[tuple[Any, ...]] = set()
    found: dict[tuple[str, ...], float] = {}
    kept = []
    for number, (kind, *places, z, diameter) in enumerate(lines):
        ends = tuple(sorted([tuple(places[:2]), tuple(places[2:])]))
        if (kind, ends) not in seen:  # copies say nothing
            kept.append((number, kind, places, z, diameter))
            seen.add((kind, ends))
    for first, a in enumerate(kept):
        for b in kept[first + 1 :]:
            verdict = _pair(law, a, b)
            if verdict:
                names = sorted([f"W{a[0]}", f"W{b[0]}"])
                found[verdict[0], *names] = verdict[1]
    return found


def _pair(law: Any, a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[str, float] | None:
    (_, kind_a, pa, za, da), (_, kind_b, pb, zb, db) = a, b
    da, db = (0 if kind == "power" else d for kind, d in ((kind_a, da), (kind_b, db)))
    one, other = shapely.LineString([pa[:2], pa[2:]]), shapely.LineString([pb[:2], pb[2:]])
    if kind_a == kind_b and any(
        shapely.Point(end).distance(line) <= 0.1
        for line, ends in ((one, (pb[:2], pb[2:])), (other, (pa[:2], pa[2:])))
        for end in ends
    ):
        return None
    u, v = (pa[2] - pa[0], pa[3] - pa[1]), (pb[2] - pb[0], pb[3] - pb[1])
    beside = abs(u[0] * v[1] - u[1] * v[0]) < 0.5 * np.hypot(*u) * np.hypot(*v)
    crosses = one.crosses(other) or (one.distance(other) == 0 and u[0] * v[1] != u[1] * v[0])
    invert = (db if kind_b == "sewage" else 0) / 2000 - (da if kind_a == "sewage" else 0) / 2000
    vertical = abs(zb / 4 - za / 4 + invert) - (da + db) / 2000
    plan = one.distance(other) - (da + db) / 2000
    least_vertical = law.clearance_m(kind_a, kind_b, "vertical")
    least_plan = law.clearance_m(kind_a, kind_b, "horizontal")
    if plan <= 0 and (not beside or crosses):
        return ("XLY-04", vertical) if vertical < least_vertical else None
    if {kind_a, kind_b} == {"water", "sewage"} and beside:
        water = da if kind_a == "water" else db
        least_plan = max(least_plan, float(law.parallel_water_m(np.array([water]))[0]))
    if least_plan is None or plan >= least_plan or (not beside and vertical >= least_vertical):
        return None
    return "XLY-03", max(plan, 0.0)


def test_a_crowd_of_copies_is_not_a_crowd_of_pairs() -> None:
    pipes = [{"id": f"P{n}", "wkt": "LINESTRING (0 0, 40 0)"} for n in range(4000)]
    ducts = [{"id": f"D{n}", "wkt": "LINESTRING (0 0.25, 40 0.25)"} for n in range(4000)]
    found = judge(source_of({"water_pipe": pipes, "telecom_duct": ducts}), "XLY-03", "XLY-04")
    assert [[ref.asset_id for ref in one.features] for one in found] == [["P0", "D0"]]


def test_nothing_and_one_and_what_is_not_sound() -> None:
    rules = [f"XLY-0{n}" for n in range(1, 8)] + [f"DRN-{n:02d}" for n in range(1, 11)]
    assert judge(source_of({}), *rules) == []
    one = {
        "water_pipe": [{"id": "P", "wkt": "LINESTRING (0 0, 9 0)"}],
        "drainage_conduit": [{"id": "C", "wkt": "LINESTRING (0 50, 9 50)"}],
        "base_building": [{"id": "B", "wkt": "MULTIPOLYGON (((90 0, 99 0, 99 9, 90 0)))"}],
        "power_support": [{"id": "S", "wkt": "POINT (0 90)"}],
        "base_road": [{"id": "R", "wkt": "MULTILINESTRING ((0 200, 9 200))"}],
    }
    assert judge(source_of(one), *rules) == []
    bad: dict[str, list[dict[str, Any]]] = {
        "water_pipe": [{"id": "P", "wkt": "LINESTRING EMPTY"}, {"id": "Q", "wkt": "LINESTRING (0 0, 0 0)"}],
        "telecom_duct": [{"id": "D", "wkt": "LINESTRING (nan 0, 1 1)"}],
        "drainage_conduit": [
            {"id": "C", "wkt": "LINESTRING (inf 0, 1 1)", "diameter_mm": -1.0},
            {"id": "E", "wkt": "LINESTRING Z (0 0 nan, 9 0 nan)", "diameter_mm": 0.0},
        ],
        "base_building": [{"id": "B", "wkt": "MULTIPOLYGON (((0 -5, 5 5, 5 -5, 0 5, 0 -5)))"}],
        "drainage_manhole": [
            {"id": "H", "wkt": "POINT EMPTY"},
            {"id": "I", "wkt": "POINT (nan 1)"},
        ],
        "base_road": [{"id": "R", "wkt": "MULTILINESTRING EMPTY", "width_m": 8.0}],
        "power_line": [{"id": "L", "wkt": "LINESTRING EMPTY", "kind": "overhead", "voltage_kv": 22.0}],
    }
    with np.errstate(invalid="ignore"):  # of making them
        source = source_of(bad)
    assert judge(source, *rules) == []


# --- areas of owners


def ward(code: str, x: float) -> dict[str, Any]:
    square = f"MULTIPOLYGON ((({x} 0, {x + 100} 0, {x + 100} 100, {x} 100, {x} 0)))"
    return {"id": f"W{code}", "wkt": square, "commune_code": code}


PIPES = [
    {"id": "P1", "wkt": "LINESTRING (10 50, 50 50)"},
    {"id": "P2", "wkt": "LINESTRING (60 50, 240 50)"},
    {"id": "P3", "wkt": "LINESTRING (60 10, 150 10)"},
    {"id": "P4", "wkt": "LINESTRING (900 10, 950 10)"},
    {"id": "P5", "wkt": "LINESTRING (150 10, 160 10)", "owner": "thkt"},
]


def city_with(area: Area) -> Any:
    city = setting().city
    agencies = tuple(a.model_copy(update={"area": area}) if a.id == "sawaco" else a for a in city.agencies)
    return city.model_copy(update={"agencies": agencies})


def outside(area: Area, rows: dict[str, list[dict[str, Any]]]) -> dict[str, float | None]:
    found = judge(source_of(rows), "XLY-06", city=city_with(area))
    assert all("Saigon Water" in message(one, "en") for one in found)
    return {one.features[0].asset_id: one.value for one in found}


def test_wards_of_an_owner() -> None:
    rows = {"water_pipe": PIPES, "admin_ward": [ward("1", 0), ward("2", 100)]}
    # P2's middle is 50 m into the second ward; P3's is 5 m in, which is allowed; P4 is in no ward at all.
    assert outside(Area(wards=("1",)), rows) == {"P2": pytest.approx(50)}
    assert outside(Area(wards=("1", "2")), rows) == {}
    assert outside(Area(wards=("3",)), rows) == {"P1": 1000, "P2": 1000, "P3": 1000}
    assert outside(Area(wards=("1",)), {"water_pipe": PIPES}) == {}, "no wards are loaded"
    assert judge(source_of(rows), "XLY-06") == [], "owners without an area are not judged"


def test_the_edge_of_what_is_allowed_outside() -> None:
    pipes = [
        {"id": "P1", "wkt": "LINESTRING (100 5, 120 5)"},
        {"id": "P2", "wkt": "LINESTRING (100 9, 120.125 9)"},
    ]
    rows = {"water_pipe": pipes, "admin_ward": [ward("1", 0), ward("2", 100)]}
    assert outside(Area(wards=("1",)), rows) == {"P2": pytest.approx(10.0625)}


def test_box_and_polygon_of_an_owner() -> None:
    west, south = lonlat(0, 0)
    east, north = lonlat(100, 100)
    area = Area(box=(west, south, east, north))
    found = outside(area, {"water_pipe": PIPES})
    assert sorted(found) == ["P2", "P4"]
    assert found["P2"] == pytest.approx(50, abs=0.3)
    ring = Area(polygon=((west, south), (east, south), (east, north), (west, north)))
    assert outside(ring, {"water_pipe": PIPES}) == pytest.approx(found, abs=0.3)


def lonlat(x: float, y: float) -> tuple[float, float]:
    from gis import crs

    lon, lat = crs.transform_xy(np.array([ORIGIN[0] + x]), np.array([ORIGIN[1] + y]), 9210, 4326)
    return float(lon[0]), float(lat[0])


@pytest.mark.parametrize(
    "area", ["{}", "{box: [107, 10, 106, 11]}", "{polygon: [[106, 10], [107, 10]]}", "{ward: [1]}"]
)
def test_mistakes_in_an_area(tmp_path: Path, area: str) -> None:
    text = (config_dir() / "city.yml").read_text(encoding="utf-8")
    path = tmp_path / "city.yml"
    path.write_text(text.replace("sectors: [water]}", f"sectors: [water], area: {area}}}"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"agencies\.0\.area"):
        load_city(path)


def test_an_agency_with_an_area(tmp_path: Path) -> None:
    text = (config_dir() / "city.yml").read_text(encoding="utf-8")
    path = tmp_path / "city.yml"
    path.write_text(
        text.replace("sectors: [water]}", 'sectors: [water], area: {wards: ["26740"]}}'), encoding="utf-8"
    )
    assert next(a for a in load_city(path).agencies if a.id == "sawaco").area == Area(wards=("26740",))
    assert isinstance(load_city(path).agencies[0], Agency)


# --- offsets of deliveries


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    east=st.floats(-3, 3), north=st.floats(-3, 3), height=st.floats(-2, 2), seed=st.integers(0, 2**32 - 1),
    alone=st.integers(0, 40),
)  # fmt: skip
def test_a_constant_offset_is_found(east: float, north: float, height: float, seed: int, alone: int) -> None:
    random = np.random.default_rng(seed)
    first = np.column_stack([random.uniform(0, 2000, (100, 2)), random.uniform(0, 5, 100)])
    noise = random.uniform(-0.02, 0.02, (100, 3))
    moved = first + np.array([east, north, height]) + noise
    second = np.vstack([moved, random.uniform(0, 2000, (alone, 3))])
    found = list(
        offsets(first, np.zeros(100, int), second, np.zeros(len(second), int), within=5.0, spread=0.15)
    )
    assert len(found) == 1
    assert found[0].plan == pytest.approx([east, north], abs=0.03)
    assert found[0].height == pytest.approx(height, abs=0.03)
    assert found[0].votes >= 95


def houses(shift: tuple[float, float], layer: str, load: int) -> Features:
    """A row of houses 5 m apart, so that every neighbour is at the same distance."""
    rows = [
        {
            "id": f"{layer}-{n}",
            "geometry": shapely.multipolygons([shapely.box(x, y, x + 4.8, y + 12)])
            if layer == "base_building"
            else shapely.box(x, y, x + 4.8, y + 12),
            "load_id": float(load),
        }
        for n in range(60)
        for x, y in [(ORIGIN[0] + 5 * n + shift[0], ORIGIN[1] + shift[1])]
    ]
    catalogue = setting().catalogue
    features = features_of(
        catalogue, layer, [{k: v for k, v in row.items() if k != "load_id"} for row in rows]
    )
    features.columns["load_id"] = np.array([row["load_id"] for row in rows])
    return features


@pytest.mark.parametrize(
    ("shift", "value"), [((0, 0), None), ((0.25, 0.1), None), ((0.3, 0.4), 0.5), ((-1, 2), 5**0.5)]
)
def test_rows_of_houses(shift: tuple[float, float], value: float | None) -> None:
    layers = {
        "base_building": houses((0, 0), "base_building", 3),
        "cadastre_building": houses(shift, "cadastre_building", 7),
    }
    found = judge(MemorySource(setting().catalogue, layers), "XLY-07")
    assert [one.value for one in found] == ([] if value is None else [pytest.approx(value)])
    if value:
        assert found[0].features[0].asset_id == "load 3 / cadastre_building load 7: plan"
        assert not np.isfinite(found[0].anchor).any()
        assert "60 of 60" in message(found[0], "en")


def test_heights_of_two_deliveries_of_one_layer() -> None:
    """The ends of pipes of two deliveries meet in plan, but their zeros of height differ by 0.8 m."""
    catalogue = setting().catalogue
    rows = [
        {"id": f"P{n}-{side}", "wkt": f"LINESTRING Z (0 {30 * n} {z}, {x} {30 * n + 20} {z})"}
        for n in range(40)
        for side, x, z in (("A", -20, 1.0), ("B", 20, 1.8))
    ]
    pipes = features_of(catalogue, "water_pipe", rows)
    pipes.columns["load_id"] = np.array([1.0 if row["id"].endswith("A") else 2.0 for row in rows])
    found = judge(MemorySource(catalogue, {"water_pipe": pipes}), "XLY-07")
    assert [(one.value, one.limit) for one in found] == [(pytest.approx(0.8), 0.1)]
    assert "-0.80 m in height" in message(found[0], "en")
    pipes.columns["load_id"] = np.ones(len(rows))
    assert judge(MemorySource(catalogue, {"water_pipe": pipes}), "XLY-07") == []
