"""What stands for features at low zooms: whatever the features, and in whatever order they come."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from layers.model import Level
from layers.registry import TileFilter
from tiles.derive import MOST_VERTICES, Features, Row, Unions, derive, seen, thinned, united

UNIT = 0.5
USES = ("ODT", "CLN", None)


def features(shapes: list[Any], **values: list[Any]) -> Features:
    def column(given: list[Any]) -> Any:
        made = np.empty(len(given), dtype=object)
        made[:] = given
        return made

    return Features(
        np.arange(1, len(shapes) + 1, dtype=np.int64),
        column(shapes),
        {name: column(given) for name, given in values.items()},
    )


def level(kind: str, **more: Any) -> Level:
    return Level.model_validate({"zooms": (13, 13), "as": kind, **more})


def as_bytes(rows: list[Row]) -> list[tuple[Any, ...]]:
    return [(row.fid, row.values, shapely.to_wkb(row.shape)) for row in rows]


@st.composite
def fabrics(draw: st.DrawFn) -> Features:
    """Parcels of a bent grid with holes: they share all vertices of their borders, as a cadastre's do."""
    columns, rows = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    shift = st.integers(-300, 300)
    bends = draw(st.lists(st.tuples(shift, shift), min_size=49, max_size=49))
    there = draw(st.lists(st.booleans(), min_size=36, max_size=36))
    uses = draw(st.lists(st.sampled_from(USES), min_size=36, max_size=36))

    def corner(i: int, j: int) -> tuple[float, float]:
        dx, dy = bends[i * 7 + j]
        return 600_000 + i * 10 + dx / 100, 1_190_000 + j * 10 + dy / 100

    shapes, land = [], []
    for i in range(columns):
        for j in range(rows):
            ring = [corner(i, j), corner(i + 1, j), corner(i + 1, j + 1), corner(i, j + 1)]
            if there[i * 6 + j]:
                shapes.append(shapely.Polygon(ring))
                land.append(uses[i * 6 + j])
    return features(shapes, land_use=land)


@settings(max_examples=60, deadline=None)
@given(fabrics(), st.randoms(use_true_random=False), st.sampled_from([0.0, 4.0, 20.0]), st.booleans())
def test_order_does_not_matter(fabric: Features, chance: Any, simplify: float, main: bool) -> None:
    order = list(range(len(fabric)))
    chance.shuffle(order)
    asked = level("blocks", simplify=simplify, main=main, smallest=2)
    one, other = (derive(asked, ["land_use"], some, UNIT) for some in (fabric, fabric[np.array(order, int)]))
    assert as_bytes(one) == as_bytes(other)


@settings(max_examples=60, deadline=None)
@given(fabrics())
def test_levels_that_share_their_unions_have_the_same_rows(fabric: Features) -> None:
    unions = Unions()
    asked = [
        level("blocks", main=True, bridge=12, simplify=6),
        level("blocks", main=True, where={"land_use": ["ODT"]}),
        level("blocks", main=True, simplify=4),
        level("blocks", simplify=4),
        level("lines"),
    ]
    for names in (["land_use"], []):
        for one in asked:
            shared = derive(one, names, fabric, UNIT, unions)
            assert as_bytes(shared) == as_bytes(derive(one, names, fabric, UNIT))


@settings(max_examples=60, deadline=None)
@given(fabrics())
def test_blocks_cover_exactly_their_parcels(fabric: Features) -> None:
    rows = derive(level("blocks", simplify=0), ["land_use"], fabric, 1e-6)
    for row in rows:
        mine = [
            s for s, use in zip(fabric.shapes, fabric.values["land_use"], strict=True) if (use,) == row.values
        ]
        assert row.shape.area == pytest.approx(sum(s.area for s in mine), rel=1e-9)
        assert row.shape.symmetric_difference(shapely.union_all(mine)).area < 1e-6
    uses = fabric.values["land_use"].tolist()
    assert sorted(str(row.values[0]) for row in rows) == sorted({str(use) for use in uses})


@settings(max_examples=60, deadline=None)
@given(fabrics(), st.sampled_from([2.0, 8.0, 16.0]))
def test_simplified_blocks_leave_no_gaps_and_do_not_overlap(fabric: Features, simplify: float) -> None:
    """Blocks that touched still share their whole border: what they cover together has no slit in it."""
    rows = derive(level("blocks", simplify=simplify), ["land_use"], fabric, UNIT)
    parts = shapely.get_parts([row.shape for row in rows])
    assert shapely.is_valid(parts).all()
    assert shapely.coverage_is_valid(parts)
    exact = shapely.get_parts(shapely.union_all(fabric.shapes)) if len(fabric) else []
    together = shapely.get_parts(shapely.union_all(parts)) if len(parts) else []
    # where nothing lay between the parcels nothing does now: bodies do not fall apart, and get no new holes
    assert len(together) <= len(exact)
    assert sum(len(p.interiors) for p in together) <= sum(len(p.interiors) for p in exact)


def test_parcels_that_overlap_are_united_all_the_same() -> None:
    """Real deliveries are no coverage: overlaps count once, a vertex of one neighbour alone opens no slit."""
    shapes = [
        shapely.box(0, 0, 10, 10),
        shapely.box(9, 0, 20, 10),
        shapely.box(20, 0, 30, 5),
        shapely.box(20, 5, 30, 10),
    ]
    assert united(np.array(shapes)).area == pytest.approx(300)
    (row,) = derive(level("blocks", simplify=4), ["land_use"], features(shapes, land_use=["ODT"] * 4), UNIT)
    assert row.shape.geom_type == "Polygon" and not row.shape.interiors
    assert row.shape.area == pytest.approx(300)
    bow = shapely.Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    assert derive(level("blocks"), [], features([bow]), 0.1)[0].shape.is_valid


def test_a_block_takes_the_use_of_most_of_its_area() -> None:
    shapes = [
        shapely.box(0, 0, 60, 20),
        shapely.box(60, 0, 80, 20),
        shapely.box(80, 0, 100, 20),
        shapely.box(0, 40, 20, 60),
    ]
    found = features(shapes, land_use=["ODT", "CLN", "CLN", "CLN"])
    rows = derive(level("blocks", main=True), ["land_use"], found, UNIT)
    assert {row.values: round(row.shape.area) for row in rows} == {("ODT",): 2000, ("CLN",): 400}


def test_streets_are_bridged_and_what_is_small_is_left_out() -> None:
    shapes = [shapely.box(0, 0, 100, 100), shapely.box(108, 0, 200, 100), shapely.box(500, 500, 505, 505)]
    found = features(shapes, land_use=["ODT"] * 3)
    asked = level("blocks", bridge=20, smallest=20, simplify=2)
    (row,) = derive(asked, ["land_use"], found, UNIT)
    assert row.shape.geom_type == "Polygon"
    assert 200 * 100 <= row.shape.area <= 204 * 104


def test_lines_are_joined_through_and_short_ones_go_only_if_they_are_alone() -> None:
    lines = [
        shapely.LineString([(0, 0), (50, 0)]),
        shapely.LineString([(100, 0), (50, 0)]),  # drawn the other way
        shapely.LineString([(100, 0), (102, 0)]),  # short, and joined
        shapely.LineString([(500, 0), (502, 0)]),  # short, and alone
        shapely.LineString([(0, 9), (100, 9)]),
    ]
    found = features(lines, road_class=["main", "main", "main", "main", "side"])
    rows = derive(level("lines", smallest=20), ["road_class"], found, UNIT)
    assert [(row.values, shapely.get_num_coordinates(row.shape)) for row in rows] == [
        (("main",), 2),
        (("side",), 2),
    ]
    assert rows[0].shape.length == 102 and rows[0].fid is None


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=40),
    st.randoms(use_true_random=False),
)
def test_of_points_in_a_square_the_gravest_is_kept(places: list[tuple[int, int]], chance: Any) -> None:
    grades = [("E", "W", "I")[i % 3] for i in range(len(places))]
    found = features([shapely.Point(p) for p in places], severity=grades)
    asked = level("points", spacing=40, rank={"severity": ("E", "W", "I")})
    rows = derive(asked, ["severity"], found, UNIT)
    squares: dict[tuple[int, int], list[str]] = {}
    for (x, y), grade in zip(places, grades, strict=True):
        squares.setdefault((x // 20, y // 20), []).append(grade)
    kept = {(int(r.shape.x) // 20, int(r.shape.y) // 20): r.values[0] for r in rows}
    assert len(rows) == len(squares)
    assert kept == {square: min(given, key="EWI".index) for square, given in squares.items()}
    order = list(range(len(found)))
    chance.shuffle(order)
    assert as_bytes(rows) == as_bytes(derive(asked, ["severity"], found[np.array(order)], UNIT))


def test_features_keep_their_ids_and_what_is_tiny_is_left_out() -> None:
    shapes = [
        shapely.box(0, 0, 30, 30),
        shapely.box(100, 0, 101, 1),
        shapely.LineString([(0, 0), (9, 0.1), (20, 0)]),
    ]
    rows = derive(level("features", smallest=10, simplify=4), [], features(shapes), UNIT)
    assert [(row.fid, shapely.get_num_coordinates(row.shape)) for row in rows] == [(1, 5), (3, 2)]


def test_only_what_is_asked_for() -> None:
    found = features([shapely.Point(i, 0) for i in range(4)], kind=["a", "b", None, "c"], n=[1, 2, 3, None])
    kept = level("points", spacing=1, where={"n": (1, 2, 3)}, unless={"kind": ("b",)})
    assert [row.fid for row in derive(kept, [], found, 0.1)] == [1, 3]
    assert seen(found, TileFilter("kind", ("a",), others=True)).fids.tolist() == [2, 3, 4]
    assert seen(found, TileFilter("kind", ("a",), others=False)).fids.tolist() == [1]
    assert derive(kept, [], found[np.array([], dtype=int)], 0.1) == []


def comb(vertices: int) -> shapely.Polygon:
    """A ring of thin teeth, 200 m long."""
    turn = np.linspace(0, 2 * np.pi, vertices - 1, endpoint=False)
    reach = 800 + np.arange(vertices - 1) % 2 * 200
    return shapely.Polygon(np.c_[600_000 + reach * np.cos(turn), 1_190_000 + reach * np.sin(turn)])


def test_giants_are_thinned_before_they_are_simplified() -> None:
    """Simplifying 200,000 vertices of a comb takes 16 s, of 50,000 one."""
    giant = shapely.MultiPolygon([comb(200_000), shapely.box(0, 0, 10, 10)])
    thin = thinned(giant, 1.0)
    assert shapely.get_num_coordinates(thin) <= MOST_VERTICES
    assert thin.is_valid and thin.area == pytest.approx(giant.area, rel=0.25)
    assert thin.geoms[1].equals(giant.geoms[1])
    turn = np.linspace(0, 2 * np.pi, 120_000)
    shore = shapely.LineString(np.c_[5000 * np.cos(turn), 5000 * np.sin(turn)])
    some = shapely.points(shapely.get_coordinates(shore)[::500])  # the whole distance takes two minutes
    assert shapely.distance(some, thinned(shore, 10.0)).max() < 0.01
    many = shapely.MultiPolygon([shapely.box(n, 0, n + 0.5, 1) for n in range(20_000)])
    for same in (comb(40_000), many, shapely.MultiPoint(np.zeros((60_000, 2)))):
        assert shapely.get_num_coordinates(thinned(same, 1.0)) == shapely.get_num_coordinates(same)
