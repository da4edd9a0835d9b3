"""Rules GEN against slow oracles, and with data that no table would take."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from gis import crs
from gis.checks.features import Features
from gis.checks.findings import in_whole, in_window, message
from gis.checks.model import Finding
from gis.checks.paths import paths_of
from gis.checks.registry import applications, rules
from gis.checks.rules.gen_delivery import CAUSES
from gis.checks.rules.gen_vertices import spikes
from gis.checks.same import first_same
from gis.checks.source import EVERYWHERE, NOWHERE, MemorySource
from gis.checks.whole import Whole
from gis.encodings import misread
from tests.checks.cases import ORIGIN, features_of, setting
from tests.checks.demo_source import demo_source

GEN = tuple(name for name in rules() if name.startswith("GEN"))


def features(layer: str, shapes: list[Any], **columns: list[Any]) -> Features:
    rows = [
        {"id": f"F{number:05}", "geometry": shape} | {name: some[number] for name, some in columns.items()}
        for number, shape in enumerate(shapes)
    ]
    return features_of(setting().catalogue, layer, rows)


def judge(held: Features, *names: str, **parameters: Any) -> list[Finding]:
    """Findings of the rules (all GEN rules when none is named) about one layer that is the whole city."""
    layer = held.layer.id
    source = MemorySource(setting().catalogue, {layer: held})
    apps = [
        replace(app, parameters={**app.parameters, **parameters})
        for app in applications(setting().catalogue)
        if app.rule.id in (names or GEN) and layer in app.layers
    ]
    found = [one for box in (EVERYWHERE, NOWHERE) for one in in_window(box, source, setting(), apps)]
    found += in_whole(Whole(source, setting()), apps)
    for one in found:
        assert message(one, "vi") and message(one, "en")
        assert not one.where.is_empty
    return found


def by_rule(found: list[Finding]) -> dict[str, int]:
    names = [one.rule for one in found]
    return {name: names.count(name) for name in sorted(set(names))}


def at(*xy: float) -> tuple[float, float]:
    return ORIGIN[0] + xy[0], ORIGIN[1] + xy[1]


# --- oracles ---------------------------------------------------------------------------------------

small = st.integers(-8, 8)
points = st.tuples(small, small)
rings = st.lists(points, min_size=3, max_size=9)


def shape_of(kind: int, runs: list[list[tuple[int, int]]]) -> Any:
    """A geometry of runs of vertices: a line, a polygon (the rest of the runs are holes), a multi type of "
    "them."""
    moved = [[at(x / 4, y / 4) for x, y in run] for run in runs]
    if kind == 0:
        return shapely.LineString(moved[0])
    if kind == 1:
        return shapely.Polygon(moved[0], moved[1:])
    if kind == 2:
        return shapely.MultiLineString(moved)
    return shapely.MultiPolygon([shapely.Polygon(run) for run in moved])


shapes = st.builds(shape_of, st.integers(0, 3), st.lists(rings, min_size=1, max_size=3))


def runs_of(shape: Any) -> list[tuple[bool, list[tuple[float, float]]]]:
    """Rings (true) and lines of a geometry, one after the other: what paths_of says in arrays."""
    if shape.geom_type == "LineString":
        return [(False, list(shape.coords))]
    if shape.geom_type == "Polygon":
        return [(True, list(ring.coords)) for ring in (shape.exterior, *shape.interiors)]
    return [run for part in shape.geoms for run in runs_of(part)]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(shapes, min_size=1, max_size=6))
def test_paths_are_the_runs_of_the_vertices(some: list[Any]) -> None:
    array = np.array([*some, None], dtype=object)
    xy, found = shapely.get_coordinates(array), paths_of(array)
    expected = [(n, ring, run) for n, shape in enumerate(some) for ring, run in runs_of(shape)]
    assert [
        (f, bool(r), [tuple(p) for p in xy[s:e]])
        for s, e, f, r in zip(found.start, found.end, found.feature, found.ring, strict=True)
    ] == expected


def slow_spikes(shape: Any, limit: float, leg: float) -> list[tuple[tuple[float, float], float]]:
    found = []
    for ring, run in runs_of(shape):
        corners = [(run[i - 1], run[i], run[i + 1]) for i in range(1, len(run) - 1)]
        if ring:
            corners.append((run[-2], run[0], run[1]))
        for a, b, c in corners:
            u, v = np.subtract(a, b), np.subtract(c, b)
            if min(np.hypot(*u), np.hypot(*v)) < leg:
                continue
            cosine = np.dot(u, v) / (np.hypot(*u) * np.hypot(*v))
            angle = np.arccos(np.clip(cosine, -1, 1))
            if angle < limit:
                found.append((b, float(angle)))
    return sorted(found)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(shapes, min_size=1, max_size=5))
def test_spikes_are_those_of_every_corner(some: list[Any]) -> None:
    held = features("flood_spot", some)
    limit = np.radians(20.3)  # no angle of this grid
    tips, angles = spikes(held, limit, 0.1)
    xy, owner = held.vertices
    for number, shape in enumerate(some):
        mine = owner[tips] == number
        found = sorted(zip([tuple(p) for p in xy[tips[mine]]], angles[mine].tolist(), strict=True))
        expected = slow_spikes(shape, limit, 0.1)
        assert [p for p, _ in found] == [p for p, _ in expected]
        np.testing.assert_allclose([a for _, a in found], [a for _, a in expected], atol=1e-6)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(shapes, min_size=1, max_size=5), st.sampled_from([0.0, 0.25, 0.5]))
def test_repeated_vertices_are_those_of_every_step(some: list[Any], limit: float) -> None:
    held = features("flood_spot", some)
    found = {one.features[0].asset_id: one for one in judge(held, "GEN-05", distance_m=limit)}
    for number, shape in enumerate(some):
        steps = [float(np.hypot(*np.subtract(a, b))) for _, run in runs_of(shape) for a, b in pairwise(run)]
        close = [step for step in steps if step <= limit]
        one = found.pop(f"F{number:05}", None)
        assert (one is not None) == bool(close)
        if one is not None:
            assert one.words["count"] == len(close)
            assert one.value == pytest.approx(min(close))
            for mend in one.mends:
                left = [
                    np.hypot(*np.subtract(a, b))
                    for _, run in runs_of(mend.geometry)
                    for a, b in pairwise(run)
                ]
                assert min(left) > limit
                assert shapely.is_valid(mend.geometry)
                assert shapely.hausdorff_distance(mend.geometry, shape) <= limit + 1e-9
                assert mend.moved_m <= limit
    assert not found


def turned(shape: Any, by: int, back: bool) -> Any:
    """The same polygon or line, its rings begun elsewhere, the other way around."""
    if shape.geom_type == "LineString":
        return shape.reverse() if back else shape
    if shape.geom_type == "Polygon":
        rolled = []
        for ring in (shape.exterior, *shape.interiors):
            run = list(ring.coords)[:-1]
            run = run[by % len(run) :] + run[: by % len(run)]
            rolled.append(run[::-1] if back else run)
        return shapely.Polygon(rolled[0], rolled[:0:-1])
    parts = [turned(part, by, back) for part in shape.geoms]
    return type(shape)(parts[::-1])


def same_slowly(one: Any, other: Any, tolerance: float) -> bool:
    """Every run of one can be laid on a run of the other, from any start, either way."""
    mine, left = runs_of(one), runs_of(other)
    if one.geom_type != other.geom_type or len(mine) != len(left):
        return False
    for ring, run in mine:
        for number, (also, candidate) in enumerate(left):
            if ring == also and _laid(run, candidate, ring, tolerance):
                del left[number]
                break
        else:
            return False
    return True


def _laid(a: list[Any], b: list[Any], ring: bool, tolerance: float) -> bool:
    if len(a) != len(b):
        return False
    if not ring and any(np.abs(np.subtract(a, way)).max() <= tolerance for way in (b, b[::-1])):
        return True
    if not ring and (a[0] != a[-1] or b[0] != b[-1]):
        return False
    a, b = a[:-1], b[:-1]
    ways = [b[n:] + b[:n] for n in range(len(b))]
    ways += [way[::-1] for way in ways]
    return any(np.abs(np.subtract(a, way)).max() <= tolerance for way in ways)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data(), st.lists(shapes, min_size=1, max_size=4))
def test_same_geometry_is_found_however_it_is_drawn(data: st.DataObject, some: list[Any]) -> None:
    copies = list(some)
    for _ in range(data.draw(st.integers(0, 6))):
        shape = turned(
            data.draw(st.sampled_from(some)), data.draw(st.integers(0, 8)), data.draw(st.booleans())
        )
        # Shaken by multiples of 1/4096 m: 0 to 2 of them are within the tolerance, 3 are not.
        xy = shapely.get_coordinates(shape)
        shake = data.draw(st.sampled_from([0, 1, 2, 3])) / 4096
        signs = np.array(data.draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=4, max_size=4)))
        off = np.resize(signs, len(xy) * 2).reshape(-1, 2) * shake
        for _, (start, end) in enumerate(zip(*_ends(shape), strict=True)):
            off[end - 1] = off[start] if shape.geom_type in ("Polygon", "MultiPolygon") else off[end - 1]
        copies.append(shapely.set_coordinates(shapely.from_wkb(shape.wkb), xy + off))
    copies = data.draw(st.permutations(copies))
    array = np.array(copies, dtype=object)
    tolerance = 2 / 4096
    found = first_same(array, np.zeros(len(array), np.int64), shapely.bounds(array), tolerance, 0.1)
    expected = [
        next((i for i in range(j) if same_slowly(copies[i], copies[j], tolerance)), -1)
        for j in range(len(copies))
    ]
    assert found.tolist() == expected


def _ends(shape: Any) -> tuple[list[int], list[int]]:
    found = paths_of(np.array([shape], dtype=object))
    return found.start.tolist(), found.end.tolist()


# --- what no table would take -----------------------------------------------------------------------


def circle(vertices: int, radius: float = 500.0) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    return np.column_stack([ORIGIN[0] + radius * np.cos(angle), ORIGIN[1] + radius * np.sin(angle)])


def test_a_million_vertices() -> None:
    ring = circle(1_000_000, 500_000.0 / (2 * np.pi))
    sound = shapely.Polygon(ring)
    torn = ring.copy()
    torn[500_000] = ring[0] + 5.0
    torn[[7, 8]] = torn[7]
    started = time.monotonic()
    found = by_rule(judge(features("cadastre_parcel", [sound, shapely.Polygon(torn)])))
    assert found["GEN-01"] == 1 and found["GEN-05"] == 1
    line = shapely.LineString(torn)
    assert by_rule(judge(features("base_road", [line])))["GEN-06"] == 1
    assert time.monotonic() - started < 120  # seconds, on a machine that is busy


@pytest.mark.parametrize("layer", ["water_valve", "base_building", "base_road"])
def test_ten_thousand_in_one_place(layer: str) -> None:
    shape = {
        "water_valve": shapely.Point(at(1, 1)),
        "base_building": shapely.MultiPolygon([shapely.box(*at(0, 0), *at(8, 5))]),
        "base_road": shapely.LineString([at(0, 0), at(9, 9)]),
    }[layer]
    held = features(layer, [shape] * 10_000)
    found = judge(held, "GEN-09")
    assert len(found) == 9_999
    assert {one.features[0].asset_id for one in found} == {"F00000"}
    assert {one.features[1].asset_id for one in found} == set(held.asset_id[1:])
    moves = np.random.default_rng(1).uniform(-0.0004, 0.0004, (10_000, 2))
    shaken = [shapely.transform(shape, lambda xy, by=by: xy + by) for by in moves]
    assert len(judge(features(layer, shaken), "GEN-09")) == 9_999  # closer than the tolerance


def test_a_fence_of_points_half_a_millimetre_apart() -> None:
    """Each is the same as its neighbours, none as those beyond: the worst for whoever groups what is near."""
    held = features("water_valve", [shapely.Point(at(n / 2048, 0)) for n in range(5_000)])
    found = judge(held, "GEN-09")
    assert len(found) == 4_999
    firsts = {one.features[1].asset_id: one.features[0].asset_id for one in found}
    assert firsts["F00001"] == "F00000" and firsts["F00002"] == "F00000" and firsts["F00003"] == "F00001"


def test_coordinates_that_are_no_numbers() -> None:
    nan, inf = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        held = features(
            "base_road",
            [
                shapely.LineString([at(0, 0), at(9, 9)]),
                shapely.linestrings([at(0, 5), (nan, nan), at(9, 5)]),
                shapely.linestrings([(nan, nan), (nan, nan)]),
                shapely.linestrings([at(0, 6), (inf, 6.0)]),
                shapely.LineString(),
            ],
        )
        found = judge(held)
    assert {(one.rule, one.features[0].asset_id) for one in found} == {
        ("GEN-08", "F00001"),
        ("GEN-08", "F00002"),
        ("GEN-08", "F00003"),
        ("GEN-02", "F00004"),
    }


@pytest.mark.parametrize("layer", sorted(setting().catalogue.layers))
def test_odd_features_of_every_layer(layer: str) -> None:
    """Nothing, a single feature, the wrong types, missing geometry: findings, never a crash."""
    judge(features(layer, []))
    nan = np.nan
    with np.errstate(invalid="ignore"):
        odd = [
            None,
            shapely.Point(at(0, 0)),
            shapely.Point(),
            shapely.points(nan, 1.0),
            shapely.LineString([at(0, 0), at(1, 1)]),
            shapely.from_wkt("LINESTRING Z (0 0 1, 5 5 NaN)"),
            shapely.Polygon([at(0, 0), at(4, 4), at(4, 0), at(0, 4)]),
            shapely.MultiPoint([at(0, 0), at(0, 0)]),
            shapely.from_wkt("GEOMETRYCOLLECTION (POINT (1 1), GEOMETRYCOLLECTION (LINESTRING (0 0, 0 0)))"),
            shapely.from_wkt("GEOMETRYCOLLECTION EMPTY"),
            shapely.LinearRing([at(0, 0), at(1, 0), at(1, 1)]),
            shapely.box(*at(0, 0), *at(0, 0)),
            shapely.MultiLineString([[at(0, 0), at(1, 1)]] * 3),
        ]
        for shape in odd:
            judge(features(layer, [shape]), table_checks=False)
        found = judge(features(layer, odd), table_checks=False)
    loadable = setting().catalogue.layers[layer].definition.loadable
    assert ("GEN-02" in by_rule(found)) == loadable


def test_thousands_of_features_without_heights_in_one_place() -> None:
    flat = [shapely.Point(at(0, 0))] * 3_000
    deep = [shapely.Point(*at(1, 1), 5.0)] * 12_000
    assert len(judge(features("water_valve", flat + deep), "GEN-08")) == 3_000
    assert not judge(features("water_valve", flat + deep[:3_000]), "GEN-08")


def test_a_road_of_thousands_of_parts() -> None:
    chain = [[at(n, 0), at(n + 1, 0)] for n in range(5_000)]
    assert [
        one.severity for one in judge(features("base_road", [shapely.MultiLineString(chain)]), "GEN-04")
    ] == ["W"]
    heap = [[at(0, 0), at(1, 0)]] * 5_000
    assert by_rule(judge(features("base_road", [shapely.MultiLineString(heap)]), "GEN-04", "GEN-06"))
    apart = [[at(n, 0), at(n + 0.5, 0)] for n in range(1_500)]
    (one,) = judge(features("base_road", [shapely.MultiLineString(apart)]), "GEN-04")
    assert one.severity == "E" and one.value == pytest.approx(0.5)


# --- text and attributes -----------------------------------------------------------------------------


def test_confidential_text_is_not_quoted() -> None:
    held = features(
        "telecom_camera", [shapely.Point(at(0, 0))], stream_ref=["rtsp QuËn NguyÔn Tr·i"], name=["QuËn Tr·i"]
    )
    found = judge(held, "GEN-13")
    hidden = [one for one in found if one.restricted]
    assert len(found) == 2 and len(hidden) == 1
    assert "Nguy" not in message(hidden[0], "vi") + message(hidden[0], "en")
    assert "Quận Trãi" in message(next(one for one in found if not one.restricted), "en")


def test_confidential_values_are_not_quoted() -> None:
    held = features("telecom_camera", [shapely.Point(at(0, 0))], view_direction_deg=[777.0], height_m=[999.0])
    found = judge(held, "GEN-14", table_checks=False)
    hidden = [one for one in found if one.restricted]
    assert len(found) == 2 and len(hidden) == 1
    assert "777" not in message(hidden[0], "vi") + message(hidden[0], "en")


NAMES = (
    "Công viên Nguyễn Trãi", "Đường Lê Lợi", "Phường Bến Thành", "Trạm biến áp Thủ Thiêm", "Rạch Bến Nghé",
    "Nhà văn hóa Thanh niên", "Khu phố Đông Hòa", "Chợ Bà Chiểu", "Kênh Nhiêu Lộc", "Xã Bình Chánh",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_text_that_went_through_wrong_encodings(name: str) -> None:
    assert misread(name) is None
    assert misread(name.encode("utf-8").decode("latin-1")) == "utf-8"


def test_demo_texts_read_well() -> None:
    """Every text of the demo city, which no rule may call damaged."""
    source, _ = demo_source(2_000)
    names = {
        text
        for layer in setting().catalogue.layers.values()
        for some in source.stream(layer.id, [f.name for f in layer.fields if f.type == "string"])
        for column in some.columns.values()
        for text in column
        if isinstance(text, str)
    }
    assert len(names) > 300
    assert not {name for name in names if misread(name)}


# --- deliveries --------------------------------------------------------------------------------------


def displaced(held: Features, mistake: str) -> Features:
    """The features where a mistake of the datum would have put them."""
    xy, _ = held.vertices
    storage = setting().city.crs.storage
    (trial, *_) = [t for t in crs.undone(xy, storage, storage) if t.mistake == mistake and t.code is None]
    by = np.median(trial.right - xy, axis=0)
    deep = bool(shapely.has_z(held.geometry).all())
    moved = shapely.transform(held.geometry, lambda xyz: xyz + np.r_[by, 0.0][: 2 + deep], include_z=deep)
    return Features(held.layer, held.fid, held.asset_id, held.owner, moved, held.columns)


@pytest.mark.parametrize(
    ("layer", "mistake"),
    [
        ("water_pipe", "null-shift"),  # what hangs on it is right, and must not be blamed
        ("water_hydrant", "epsg-5194"),
        ("drainage_manhole", "rotation-signs"),
        ("power_support", "three-parameters"),
        ("cadastre_boundary_point", "reversed-shift"),
    ],
)
def test_a_displaced_delivery_is_named_with_its_mistake(layer: str, mistake: str) -> None:
    source, _ = demo_source(2_000)
    catalogue = setting().catalogue
    held = {
        name: one
        for name in catalogue.layers
        if (one := source.features(name, EVERYWHERE, ["load_id"])) and len(one)
    }
    apps = [app for app in applications(catalogue) if app.rule.id == "GEN-12"]
    assert not list(in_whole(Whole(source, setting()), apps))
    held[layer] = displaced(held[layer], mistake)
    whole = Whole(MemorySource(catalogue, held), setting())
    (found,) = in_whole(whole, apps)
    assert found.features[0].layer == layer
    assert CAUSES[mistake].en in message(found, "en") and CAUSES[mistake].vi in message(found, "vi")


# --- edits ---------------------------------------------------------------------------------------------


def test_a_repeated_id_is_found_by_the_edit_that_made_it() -> None:
    rows = [
        {"id": name, "fid": fid, "wkt": f"POINT ({fid} 0)"} for fid, name in enumerate(["A", "B", "A"], 1)
    ]
    held = features_of(setting().catalogue, "water_valve", rows)
    source = MemorySource(setting().catalogue, {"water_valve": held})
    apps = [
        a for a in applications(setting().catalogue) if a.rule.id == "GEN-10" and a.layers == ("water_valve",)
    ]

    def after(*changed: int) -> int:
        whole = Whole(source, setting(), {"water_valve": frozenset(changed)})
        return len(list(in_whole(whole, apps)))

    assert (after(1), after(3), after(2), after()) == (1, 1, 0, 0)
