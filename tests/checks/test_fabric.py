"""The fabric rules on random partitions against a slow exact overlay, on real boundaries, on bad input."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gis.checks.fabric.edges import edges
from gis.checks.fabric.taking import taking
from gis.checks.features import Features
from gis.checks.findings import in_window
from gis.checks.model import Finding, Severity
from gis.checks.registry import applications
from gis.checks.source import EVERYWHERE, Box, MemorySource
from gis.crs import transform_geometries
from scripts.bench_check_fabric import features as parcels_of
from scripts.bench_check_fabric import rings, with_defects
from tests.checks.cases import brief, features_of, setting

FABRIC = ("CAD-01", "CAD-02", "CAD-03", "CAD-04", "CAD-05")
LIMIT = 0.07  # 1:500


def judge(
    geometry: np.ndarray,
    rules: tuple[str, ...] = FABRIC,
    windows: tuple[Box, ...] = (EVERYWHERE,),
    **given: Any,
) -> list[Finding]:
    """Findings of the fabric rules on polygons as parcels, with parameters over those of the layer."""
    at = setting()
    held = parcels_of(at.catalogue, geometry)
    apps = [
        replace(app, parameters={**app.parameters, **{k: v for k, v in given.items() if k in app.parameters}})
        for app in applications(at.catalogue)
        if app.rule.id in rules and app.layers == ("cadastre_parcel",)
    ]
    source = MemorySource(at.catalogue, {"cadastre_parcel": held})
    return [found for box in windows for found in in_window(box, source, at, apps)]


def voronoi(seed: int, count: int) -> np.ndarray:
    """Cells of random points; corners are rounded to 1/1024 m one by one, and so stay shared."""
    random = np.random.default_rng(seed)
    points = random.uniform(0, 10 * math.sqrt(count), (count, 2))
    cells = shapely.get_parts(
        shapely.voronoi_polygons(shapely.MultiPoint(points), extend_to=shapely.box(-5, -5, 5, 5))
    )
    rounded: np.ndarray = shapely.transform(cells, lambda p: np.round(p * 1024) / 1024 + [6e5, 1.19e6])
    return rounded


def shortest_side(geometry: np.ndarray) -> float:
    made = edges(geometry)
    return float(np.hypot(*(made.b - made.a).T).min())


fabrics = st.builds(voronoi, st.integers(0, 10_000), st.integers(2, 40))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(fabric=fabrics)
def test_sound_partitions_give_nothing(fabric: np.ndarray) -> None:
    sound = shapely.is_valid(fabric).all() and shortest_side(fabric) > 0
    assert not sound or judge(fabric, ("CAD-01", "CAD-02", "CAD-04", "CAD-05")) == []


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    fabric=fabrics,
    which=st.integers(0, 10_000),
    corner=st.integers(0, 100),
    angle=st.floats(0, 6.28),
    by=st.sampled_from([0.02, 0.05, 0.3, 2.0]),
)
def test_one_moved_corner_against_exact_overlay(
    fabric: np.ndarray, which: int, corner: int, angle: float, by: float
) -> None:
    which %= len(fabric)
    xy = shapely.get_coordinates(fabric[which])[:-1]
    corner %= len(xy)
    xy[corner] += by * math.cos(angle), by * math.sin(angle)
    spoilt = fabric.copy()
    spoilt[which] = shapely.Polygon(xy)
    if not shapely.is_valid(spoilt).all():
        return
    found = judge(spoilt, ("CAD-01", "CAD-02", "CAD-05"), area_m2=0.01, width_m=0)
    # Overlaps: exactly the pairs of the slow way, with their areas.
    slow = {}
    for i in range(len(spoilt)):
        for j in range(i + 1, len(spoilt)):
            area = shapely.intersection(
                *(shapely.transform(spoilt[[i, j]], lambda p: p - [6e5, 1.19e6]))
            ).area
            if area > 0.01:
                slow[i, j] = area
    fast = {
        tuple(sorted(int(ref.fid) - 1 for ref in one.features)): one.value
        for one in found
        if one.rule == "CAD-01"
    }
    assert fast.keys() == slow.keys()
    assert all(fast[pair] == pytest.approx(area, abs=1e-6) for pair, area in slow.items())
    # Gaps: each lies on no parcel, and within what the union of all left open.
    union = shapely.union_all(shapely.transform(spoilt, lambda p: p - [6e5, 1.19e6]))
    for one in found:
        if one.rule == "CAD-02":
            where = shapely.transform(one.where, lambda p: p - [6e5, 1.19e6])
            # a tenth of a micrometre beside its border: overlay is done on a grid
            assert where.area > 0 and where.intersection(union).area < 1e-7 * max(10, where.length)
    # Narrow holes of the union are gaps; wide ones are not, and nothing is that is nowhere a millimetre wide.
    holes = [shapely.Polygon(ring) for part in shapely.get_parts(union) for ring in part.interiors]
    gaps = shapely.union_all(
        [shapely.transform(one.where, lambda p: p - [6e5, 1.19e6]) for one in found if one.rule == "CAD-02"]
    )
    for hole in holes:
        across = shapely.minimum_rotated_rectangle(hole)
        if by <= LIMIT and hole.area > 0.01 and across.area / across.length > 0.5e-3:
            assert hole.intersection(gaps).area > 0.5 * hole.area
    # A corner of three cells that moves a little is nearly equal to where it was.
    if by < LIMIT / 2 and shortest_side(fabric) > 4 * by:
        near = [n for n in range(len(fabric)) if n != which]
        old = shapely.Point(shapely.get_coordinates(fabric[which])[corner])
        if any(
            shapely.intersects(shapely.points(shapely.get_coordinates(fabric[n])), old).any() for n in near
        ):
            assert [one for one in found if one.rule == "CAD-05"]


def test_three_centimetres_in_a_large_fabric_are_all_found() -> None:
    spoilt, which = with_defects(rings(8_000), 40)
    found = judge(spoilt)
    named = {int(ref.fid) - 1 for one in found for ref in one.features}
    assert set(which) <= named
    tree = shapely.STRtree(spoilt[which])
    for one in found:
        assert len(tree.query(one.where, predicate="dwithin", distance=0.1)), one


def test_a_large_sound_fabric_gives_nothing() -> None:
    assert judge(rings(8_000)) == []


@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 1000),
    by=st.sampled_from([0.03, 0.1, 0.6]),
    xs=st.lists(st.floats(0, 1), max_size=3),
    ys=st.lists(st.floats(0, 1), max_size=3),
)
def test_windows_change_nothing_in_a_spoilt_fabric(
    seed: int, by: float, xs: list[float], ys: list[float]
) -> None:
    spoilt, _ = with_defects(rings(300, seed), 60, by, seed)
    low, high = shapely.total_bounds(spoilt)[:2], shapely.total_bounds(spoilt)[2:]
    columns = [-np.inf, *sorted(low[0] + x * (high[0] - low[0]) for x in xs), np.inf]
    rows = [-np.inf, *sorted(low[1] + y * (high[1] - low[1]) for y in ys), np.inf]
    windows = tuple((a, c, b, d) for a, b in pairwise(columns) for c, d in pairwise(rows))
    for longest in (32.0, 3.0):  # the shorter one cuts every gap
        whole, cut = judge(spoilt, longest_m=longest), judge(spoilt, windows=windows, longest_m=longest)
        assert brief(whole) == brief(cut)
        assert sorted(m.moved_m for f in whole for m in f.mends) == sorted(
            m.moved_m for f in cut for m in f.mends
        )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), by=st.sampled_from([0.01, 0.03, 0.06]))
def test_what_a_mend_proposes_is_sound(seed: int, by: float) -> None:
    """Applied one after the other, suggested mends leave no gap, T-vertex or nearly equal corner that was
    mended, and no overlap that was not there."""
    spoilt, _ = with_defects(rings(60, seed), 1, by, seed)
    rules = ("CAD-01", "CAD-02", "CAD-04", "CAD-05")
    for one in judge(spoilt, rules):
        for mend in one.mends:
            healed = spoilt.copy()
            healed[mend.fid - 1] = mend.geometry
            assert shapely.is_valid(mend.geometry)
            assert 0 <= mend.moved_m <= 3 * LIMIT
            left = judge(healed, rules)
            place = shapely.buffer(one.where, 0.01)
            assert not [f for f in left if f.rule == one.rule and shapely.intersects(f.where, place)], one
            if one.rule == "CAD-02":
                me = {mend.asset_id}
                assert not [
                    f for f in left if me & {r.asset_id for r in f.features} and f.where.intersects(place)
                ]


def test_a_gap_is_mended_by_moving_the_corner_back() -> None:
    fabric = rings(60)
    spoilt, which = with_defects(fabric, 1, 0.05)
    gaps = [one for one in judge(spoilt) if one.rule == "CAD-02" and one.mends]
    assert gaps
    healed = spoilt.copy()
    for one in gaps:
        for mend in one.mends:
            assert mend.moved_m == pytest.approx(0.05, abs=1e-6)
            healed[mend.fid - 1] = mend.geometry
    assert shapely.equals(healed[which[0]], fabric[which[0]])
    assert judge(healed) == []


def in_order(
    geometry: np.ndarray, judged: Callable[[np.ndarray], list[Finding]], at_once: int = 1
) -> list[Finding]:
    """What is left when the mends of a layer were applied one after the other, and what was healed did not
    come back. As after edits, what the layer says is asked anew each time; or after ``at_once`` mends of
    findings that have no feature in common."""
    shapes = geometry.copy()
    left = judged(shapes)
    kinds = Counter((one.rule, one.severity) for one in left)
    for _ in range(len(left)):
        touched: set[int] = set()
        applied: Counter[tuple[str, Severity]] = Counter()
        for one in left:
            about = {ref.fid for ref in one.features}
            if one.mends and not about & touched and applied.total() < at_once:
                touched |= about
                applied[one.rule, one.severity] += 1
                for mend in one.mends:
                    shapes[mend.fid - 1] = mend.geometry
        if not applied:
            break
        left = judged(shapes)
        now = Counter((one.rule, one.severity) for one in left)
        assert now <= kinds - applied, (now, kinds, applied)
        kinds = now
    return left


@pytest.mark.parametrize(("seed", "by"), [(1, 0.03), (2, 0.05), (3, 0.01), (4, 0.06)])
def test_all_mends_of_a_layer_in_order(seed: int, by: float) -> None:
    spoilt, _ = with_defects(rings(120, seed), 12, by, seed)
    assert [one for one in judge(spoilt) if one.mends]
    assert not [one for one in in_order(spoilt, judge) if one.mends or one.rule in ("CAD-02", "CAD-04")]


def test_corners_that_a_parcel_lacks_are_one_change() -> None:
    """A street along twelve parcels has none of their corners: any of its mends heals all."""
    plots = [shapely.box(x, 0, x + 5, 16) for x in range(600_000, 600_060, 5)]
    geometry = np.array([*plots, shapely.box(600_000, 16, 600_060, 28)], dtype=object)
    found = judge(geometry)
    assert [one.rule for one in found] == ["CAD-04"] * 11
    for one in found:
        healed = geometry.copy()
        for mend in one.mends:
            healed[mend.fid - 1] = mend.geometry
        assert judge(healed) == []


def test_a_gap_between_parcels_of_several_parts_is_closed() -> None:
    """Units are multipolygons, of one part mostly."""
    west = shapely.box(600_000, 0, 600_020, 30)
    east = shapely.Polygon([(600_020, 0), (600_050, 0), (600_050, 30), (600_020, 30), (600_020.0625, 15)])
    far = shapely.box(600_100, 0, 600_110, 10)
    geometry = np.array([shapely.MultiPolygon([west]), shapely.MultiPolygon([east, far])], dtype=object)
    (one,) = judge(geometry, ("CAD-02",))
    (mend,) = one.mends
    assert mend.geometry is not None and mend.geometry.geom_type == "MultiPolygon"
    assert mend.moved_m == pytest.approx(0.0625)
    healed = geometry.copy()
    healed[mend.fid - 1] = mend.geometry
    assert judge(healed) == []
    assert shapely.area(mend.geometry) == pytest.approx(shapely.area(geometry[mend.fid - 1]) + 0.9375)


def test_what_takes_a_gap_keeps_its_hole_and_heights() -> None:
    shell = [(600_000, 0, 5), (600_020, 0, 6), (600_020, 60, 7), (600_000, 60, 8)]
    hole = [(600_005, 5, 1), (600_005, 9, 1), (600_009, 9, 1), (600_009, 5, 1)]
    gap = shapely.Polygon([(600_020, 0), (600_020.0625, 30), (600_020, 60)])
    new = taking(shapely.Polygon(shell, [hole]), gap, np.array([[600_020.0625, 30.0]]))
    assert new is not None and new.has_z and len(new.interiors) == 1
    assert shapely.area(new) == pytest.approx(1200 - 16 + 1.875)
    assert sorted(shapely.get_coordinates(new, include_z=True)[:, 2].tolist())[:5] == [1.0] * 5
    beside = shapely.Polygon([(600_030, 0), (600_031, 30), (600_030, 60)])
    assert taking(shapely.Polygon(shell), beside, np.array([[600_030.0, 0.0]])) is None


def test_wide_gaps_have_no_mend() -> None:
    """They may be real drains."""
    west, east = shapely.box(600_000, 0, 600_020, 30), shapely.box(600_020.125, 0, 600_040, 30)
    (one,) = judge(np.array([west, east]), ("CAD-02",))
    assert (one.severity, one.mends) == ("W", ())


# --- bad input


@pytest.mark.parametrize("count", [0, 1])
def test_few_parcels(count: int) -> None:
    assert judge(rings(20)[:count]) == []


def test_thousands_of_coincident_parcels() -> None:
    found = judge(np.repeat(rings(20)[:1], 5_000), FABRIC)
    assert len(found) == 4_999
    assert {one.rule for one in found} == {"CAD-01"}


def test_thousands_of_nearly_coincident_parcels() -> None:
    one = rings(20)[0]
    moved = np.array(
        [shapely.transform(one, lambda p, k=k: p + np.array([k / 8192, 0.0])) for k in range(3_000)]
    )
    found = judge(moved, FABRIC)
    assert len({ref.asset_id for f in found if f.rule == "CAD-01" for ref in f.features}) == 3_000
    assert len(found) < 100_000


def test_a_parcel_with_a_million_vertices() -> None:
    t = np.linspace(0, 2 * math.pi, 1_000_001)[:-1]
    radius = 5_000 * (1 + 0.01 * np.sin(50 * t))
    giant = shapely.Polygon(np.column_stack([600_000 + radius * np.cos(t), 1_190_000 + radius * np.sin(t)]))
    inside = shapely.box(600_000, 1_190_000, 600_010, 1_190_010)
    beside = shapely.box(605_500, 1_190_000, 605_510, 1_190_010)
    found = judge(np.array([giant, inside, beside]))
    assert [(one.rule, [ref.fid for ref in one.features]) for one in found] == [("CAD-01", [1, 2])]


def not_finite(value: float) -> shapely.Polygon:
    with np.errstate(invalid="ignore"):
        return shapely.Polygon([(0, 0), (value, 1), (1, 1)])


def test_not_finite_empty_and_invalid() -> None:
    good = rings(20)
    bad = np.array(
        [
            shapely.Polygon(),
            not_finite(np.nan),
            not_finite(np.inf),
            shapely.Polygon([(6e5, 1e6), (6e5 + 9, 1e6 + 9), (6e5 + 9, 1e6), (6e5, 1e6 + 9)]),
        ],
        dtype=object,
    )
    at = setting()
    held = parcels_of(at.catalogue, good)
    rows = [{"id": f"B{n}", "geometry": shape, "parcel_no": "7"} for n, shape in enumerate([*bad, *good])]
    source = MemorySource(
        at.catalogue, {"cadastre_parcel": features_of(at.catalogue, "cadastre_parcel", rows)}
    )
    apps = [app for app in applications(at.catalogue) if app.layers == ("cadastre_parcel",)]
    local = [app for app in apps if app.rule.family == "CAD" and app.rule.scope == "local"]
    assert list(in_window(EVERYWHERE, source, at, local)) == []
    assert len(held) == len(good)


# --- real boundaries


def _units(path: Path, layer: str) -> MemorySource:
    """Units of a delivery (EPSG:4326; some are collections) as multipolygons in the storage CRS."""
    _, _, wkb, _ = pyogrio.raw.read(path)
    shapes = [
        shapely.MultiPolygon(
            [p for p in shapely.get_parts(shapely.get_parts(shape)) if p.geom_type == "Polygon"]
        )
        for shape in shapely.from_wkb(wkb)
    ]
    geometry = transform_geometries(np.array(shapes, dtype=object), 4326, 9210)
    catalogue = setting().catalogue
    rows = [{"id": f"U{n:03d}", "name": str(n), "geometry": shape} for n, shape in enumerate(geometry)]
    return MemorySource(catalogue, {layer: features_of(catalogue, layer, rows)})


def _real(source: MemorySource, layer: str, windows: tuple[Box, ...] = (EVERYWHERE,)) -> list[Finding]:
    at = setting()
    apps = [a for a in applications(at.catalogue) if a.layers == (layer,) and a.rule.id in FABRIC]
    return [found for box in windows for found in in_window(box, source, at, apps)]


def test_real_wards_have_their_overlaps_and_gaps(shared_data: Path) -> None:
    source = _units(shared_data / "hcmc_wards_2025.gpkg", "admin_ward")
    found = _real(source, "admin_ward")
    areas = sorted((one.value for one in found if one.rule == "CAD-01"), reverse=True)
    # As a plain overlay gives: 11 over 1 m2. They are millimetres to centimetres wide and long.
    assert len(areas) == 11
    assert areas[0] == pytest.approx(26.65, abs=0.01)
    # Every hole of the union is reported, and nothing else.
    shapes = source.features("admin_ward", EVERYWHERE, ()).geometry
    union = shapely.union_all(shapes)
    holes = np.array([shapely.Polygon(ring) for part in shapely.get_parts(union) for ring in part.interiors])
    gaps = np.array([one.where for one in found if one.rule == "CAD-02"])
    pairs = shapely.STRtree(gaps).query(holes, predicate="dwithin", distance=1e-3)
    assert len(holes) == 41
    assert set(pairs[0]) == set(range(len(holes)))
    # The others are slits that are open to the outside.
    others = np.setdiff1d(np.arange(len(gaps)), pairs[1])
    assert len(others) <= 1
    assert shapely.area(shapely.intersection(gaps[others], union)).sum() < 1e-3
    # Most are slivers under the position limit, and two are wide. Where a gap runs into an overlap, the whole
    # boundary is in doubt.
    assert {len(one.mends) for one in found if one.rule == "CAD-02" and one.severity == "W"} == {0}
    assert sum(bool(one.mends) for one in found if one.rule == "CAD-02") >= 29
    middle = tuple(float(v) for v in shapely.total_bounds(shapes).reshape(2, 2).mean(axis=0))
    quarters = (
        (-np.inf, -np.inf, middle[0], middle[1]),
        (middle[0], -np.inf, np.inf, middle[1]),
        (-np.inf, middle[1], middle[0], np.inf),
        (middle[0], middle[1], np.inf, np.inf),
    )
    assert brief(_real(source, "admin_ward", quarters)) == brief(found)


def test_mends_of_real_wards_in_order(shared_data: Path) -> None:
    source = _units(shared_data / "hcmc_wards_2025.gpkg", "admin_ward")
    held = source.features("admin_ward", EVERYWHERE, ("status",))
    assert held.fid.tolist() == list(range(1, len(held) + 1))

    def judged(shapes: np.ndarray) -> list[Finding]:
        changed = Features(held.layer, held.fid, held.asset_id, held.owner, shapes, held.columns)
        return _real(MemorySource(setting().catalogue, {"admin_ward": changed}), "admin_ward")

    left = Counter(one.rule for one in in_order(held.geometry, judged, 20))
    assert left["CAD-01"] == 11
    assert left["CAD-02"] <= 10
    assert not left["CAD-04"] + left["CAD-05"]


def test_real_districts_overlap_by_hectares(shared_data: Path) -> None:
    found = _real(
        _units(shared_data / "hcmc_districts_old.geojson", "admin_district_old"), "admin_district_old"
    )
    areas = sorted((one.value for one in found if one.rule == "CAD-01"), reverse=True)
    assert areas[:2] == [pytest.approx(53_045.8, abs=1), pytest.approx(29_547.9, abs=1)]
    assert len(areas) == 7
