"""Operations as pure functions: what must stay the same stays, whatever is split, merged or moved."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from shapely.geometry.base import BaseGeometry

from gis.edit.model import Create, Delete, Ref, Update
from gis.edit.operations.boundary import move_boundary
from gis.edit.operations.lines import NODE, SECOND, NewNode, merge_lines, split_line
from gis.edit.operations.nodes import move_node
from gis.edit.operations.parcels import Part, merge_parcels, split_parcel
from gis.edit.operations.standing import Plan, Refused, Standing
from layers.registry import Catalogue, load_catalogue

#: Where the city's coordinates are: too far from the origin for careless arithmetic.
X, Y = 600_000.123, 1_190_000.456
CLUSTER, SNAP = 0.001, 0.05

CATALOGUE: Catalogue = load_catalogue()
WATER = CATALOGUE.networks["water"]
DRAINAGE = CATALOGUE.networks["drainage"]


def standing(layer: str, fid: int, shape: BaseGeometry, /, **properties: Any) -> Standing:
    known = CATALOGUE.layers[layer]
    row: dict[str, Any] = {f.name: None for f in known.fields}
    row |= {"asset_id": f"{layer}-{fid}", "owner": known.definition.owner, "status": "in_service"}
    return Standing(known, fid, 1, {**row, **properties}, shape)


def path(*positions: tuple[float, ...]) -> BaseGeometry:
    return shapely.linestrings([(X + p[0], Y + p[1], *p[2:]) for p in positions])


def at(x: float, y: float, *z: float) -> np.ndarray[Any, Any]:
    return np.array([X + x, Y + y, *z])


def places(*positions: tuple[float, float]) -> np.ndarray[Any, Any]:
    return np.array([(X + x, Y + y) for x, y in positions])


def refusal(code: str) -> Any:
    return pytest.raises(Refused, check=lambda error: error.code == code)


# --- lines ---------------------------------------------------------------------------------------------

offsets = st.floats(-40, 40).map(lambda v: round(v, 3))
heights = st.floats(-5, 20).map(lambda v: round(v, 3))


@st.composite
def drawn(draw: st.DrawFn, z: bool = True) -> BaseGeometry:
    """A line of two vertices or more, each at least 0.5 m from the one before."""
    found = [(0.0, 0.0)]
    for _ in range(draw(st.integers(1, 6))):
        step = draw(st.tuples(offsets, offsets))
        assume(np.hypot(*step) > 0.5)
        found.append((found[-1][0] + step[0], found[-1][1] + step[1]))
    return path(*((x, y, draw(heights)) if z else (x, y) for x, y in found))


def test_a_split_beside_a_bend_is_at_the_bend() -> None:
    """Less than a cluster away from it; a place of its own would have cut the corner."""
    line = standing("drainage_conduit", 1, path((0, 0, 5), (1, 0, 4), (1, 1, 3)))
    plan = split_line(line, at(1, 0.0009)[:2], tolerance=0.5, cluster=CLUSTER, works=CATALOGUE.works)
    one, two = (change.geometry for change in plan.changes if isinstance(change, Update | Create))
    assert isinstance(one, BaseGeometry) and isinstance(two, BaseGeometry)
    assert list(one.coords) == [tuple(at(0, 0, 5)), tuple(at(1, 0, 4))]
    assert list(two.coords) == [tuple(at(1, 0, 4)), tuple(at(1, 1, 3))]


@settings(max_examples=150, deadline=None)
@given(drawn(), st.floats(0.05, 0.95), st.floats(-0.3, 0.3), st.floats(1, 1000))
def test_a_split_line_keeps_length_heights_and_levels(
    shape: BaseGeometry, share: float, aside: float, record: float
) -> None:
    line = standing(
        "drainage_conduit", 1, shape, invert_up_m=3.0, invert_down_m=1.0, length_m=round(record, 3)
    )
    flat = shapely.force_2d(shape)
    there = shapely.get_coordinates(shapely.line_interpolate_point(flat, share, normalized=True))[0]
    place = there + aside
    near = shapely.line_locate_point(flat, shapely.Point(place))
    assume(0.01 < near < flat.length - 0.01)
    plan = split_line(line, place, tolerance=0.5, cluster=CLUSTER, works=CATALOGUE.works)
    update, create = plan.changes
    assert isinstance(update, Update) and isinstance(create, Create)
    one, two = update.geometry, create.geometry
    assert isinstance(one, BaseGeometry) and isinstance(two, BaseGeometry)
    assert one.length + two.length == pytest.approx(shape.length, abs=1e-6)
    assert one.coords[-1] == two.coords[0]
    assert one.coords[0] == shape.coords[0] and two.coords[-1] == shape.coords[-1]
    split = shapely.get_coordinates(shapely.line_interpolate_point(shape, one.length), include_z=True)[0]
    assert one.coords[-1] == pytest.approx(tuple(split), abs=1e-6)  # its height, too
    ratio = one.length / shape.length
    assert update.properties is not None
    level = update.properties["invert_down_m"]
    assert level == create.properties["invert_up_m"] == pytest.approx(3.0 - 2.0 * ratio, abs=1e-4)
    assert create.properties["invert_down_m"] == 1.0
    assert update.properties["length_m"] + create.properties["length_m"] == pytest.approx(
        line.properties["length_m"]
    )
    # and back together
    again = merge_lines(
        standing("drainage_conduit", 1, one, **{**line.properties, **update.properties}),
        standing("drainage_conduit", 2, two, **{**create.properties, "asset_id": "second"}),
        {},
        network=DRAINAGE,
        cluster=CLUSTER,
        works=CATALOGUE.works,
    )
    joined, gone = again.changes
    assert isinstance(joined, Update) and isinstance(gone, Delete)
    assert joined.geometry.length == pytest.approx(shape.length, abs=1e-6)  # type: ignore[union-attr]
    assert joined.properties is not None
    assert joined.properties["invert_down_m"] == 1.0
    assert joined.properties["length_m"] == pytest.approx(line.properties["length_m"])


def test_a_pipe_split_with_a_valve_names_it_at_both_ends() -> None:
    pipe = standing("water_pipe", 7, path((0, 0), (30, 0)), from_node="N1", to_node="N2", diameter_mm=100)
    valve = NewNode(CATALOGUE.layers["water_valve"], {"kind": "gate"})
    plan = split_line(pipe, at(10, 0.2), tolerance=0.5, cluster=CLUSTER, node=valve)
    first, second, node = plan.changes
    assert isinstance(first, Update) and isinstance(second, Create) and isinstance(node, Create)
    assert (first.fid, first.expected) == (7, 1)
    assert first.properties == {"to_node": Ref(NODE)}
    assert second.placeholder == SECOND
    assert second.properties["from_node"] == Ref(NODE)
    assert second.properties["to_node"] == "N2"
    assert second.properties["diameter_mm"] == 100
    assert not {"asset_id", "fid", "version"} & set(second.properties)
    assert shapely.get_coordinates(node.geometry).tolist() == [[X + 10, Y]]
    assert node.properties == {"owner": "sawaco", "kind": "gate"}


def test_a_split_at_a_node_that_stands_goes_through_it() -> None:
    pipe = standing("water_pipe", 7, path((0, 0), (30, 0)), from_node="N1", to_node="N2")
    valve = standing("water_valve", 3, shapely.Point(X + 12, Y + 0.008))
    plan = split_line(pipe, np.zeros(2), tolerance=0.5, cluster=CLUSTER, node=valve)
    first, second = plan.changes
    assert shapely.get_coordinates(first.geometry)[-1].tolist() == [X + 12, Y + 0.008]  # type: ignore[union-attr]
    assert second.properties["from_node"] == "water_valve-3"  # type: ignore[union-attr,index]


def test_lines_that_cannot_be_split() -> None:
    pipe = standing("water_pipe", 7, path((0, 0), (30, 0)))
    for code, place in (("too-far", at(10, 0.6)), ("at-an-end", at(0, 0)), ("at-an-end", at(30.4, 0))):
        with refusal(code):
            split_line(pipe, place, tolerance=0.5, cluster=CLUSTER)
    with refusal("invalid-feature"):
        split_line(pipe, at(10, 0), tolerance=0.5, cluster=CLUSTER, second={"colour": "red", "fid": 3})


@pytest.mark.parametrize("second_drawn", ["on", "back"])
@pytest.mark.parametrize("first_drawn", ["on", "back"])
def test_merged_lines_are_drawn_as_the_first(first_drawn: str, second_drawn: str) -> None:
    a, b = path((0, 0), (10, 0)), path((10, 0), (25, 5))
    a = a if first_drawn == "on" else shapely.reverse(a)
    b = b if second_drawn == "on" else shapely.reverse(b)
    names = {"on": ("N1", "N2"), "back": ("N2", "N1")}
    other = {"on": ("N2", "N3"), "back": ("N3", "N2")}
    flow = {"on": "forward", "back": "backward"}
    first = standing(
        "water_pipe",
        1,
        a,
        from_node=names[first_drawn][0],
        to_node=names[first_drawn][1],
        length_m=10.0,
        flow_direction=flow[first_drawn],
    )
    second = standing(
        "water_pipe",
        2,
        b,
        from_node=other[second_drawn][0],
        to_node=other[second_drawn][1],
        length_m=15.0,
        flow_direction=flow[second_drawn],
    )
    update, gone = merge_lines(first, second, {}, network=WATER, cluster=CLUSTER).changes
    assert isinstance(update, Update) and isinstance(gone, Delete)
    assert gone.fid == 2
    whole = path((0, 0), (10, 0), (25, 5))
    expected = whole if first_drawn == "on" else shapely.reverse(whole)
    assert shapely.equals_exact(update.geometry, expected)
    after = {**first.properties, **(update.properties or {})}
    assert (after["from_node"], after["to_node"]) == (("N1", "N3") if first_drawn == "on" else ("N3", "N1"))
    assert after["length_m"] == 25.0
    assert after["flow_direction"] == flow[first_drawn]


def test_lines_that_cannot_be_merged() -> None:
    a = standing("water_pipe", 1, path((0, 0), (10, 0)), diameter_mm=100, material="hdpe")
    b = standing("water_pipe", 2, path((10, 0), (20, 0)), diameter_mm=150, material="steel")
    with refusal("attributes-differ") as caught:
        merge_lines(a, b, {"material": "hdpe"}, network=WATER, cluster=CLUSTER)
    assert [error["pointer"] for error in caught.value.errors] == ["/properties/diameter_mm"]
    given: dict[str, Any] = {"diameter_mm": 100, "material": "hdpe"}
    third = standing("water_pipe", 3, path((10, 0), (10, 9)))
    valve = standing("water_valve", 4, shapely.Point(X + 10, Y))
    gauge = standing("water_facility", 5, shapely.Point(X + 10, Y), kind="pressure_point")
    removed = standing("water_pipe", 6, path((10, 0), (10, -9)), status="removed")
    for code, around in (("others-meet", [third]), ("node-there", [valve])):
        with refusal(code):
            merge_lines(a, b, given, network=WATER, cluster=CLUSTER, around=[a, b, *around])
    assert (
        len(merge_lines(a, b, given, network=WATER, cluster=CLUSTER, around=[a, b, gauge, removed]).changes)
        == 2
    )
    plan = merge_lines(a, b, given, network=WATER, cluster=CLUSTER, around=[a, b, valve], removed=[valve])
    assert [(type(c), c.layer) for c in plan.changes][-1] == (Delete, "water_valve")
    with refusal("not-a-node-there"):
        far = standing("water_valve", 9, shapely.Point(X + 3, Y))
        merge_lines(a, b, given, network=WATER, cluster=CLUSTER, removed=[far])
    with refusal("not-adjacent"):
        merge_lines(
            a, standing("water_pipe", 2, path((11, 0), (20, 0))), given, network=WATER, cluster=CLUSTER
        )
    with refusal("ring"):
        merge_lines(
            a, standing("water_pipe", 2, path((10, 0), (5, 5), (0, 0))), given, network=WATER, cluster=CLUSTER
        )
    with refusal("heights-differ"):
        merge_lines(
            a, standing("water_pipe", 2, path((10, 0, 1), (20, 0, 1))), given, network=WATER, cluster=CLUSTER
        )
    head_on = [
        standing("drainage_conduit", 1, path((0, 0), (10, 0))),
        standing("drainage_conduit", 2, path((20, 0), (10, 0))),
    ]
    with refusal("against-the-flow"):
        merge_lines(*head_on, {}, network=DRAINAGE, cluster=CLUSTER)


# --- nodes ---------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(offsets, offsets), min_size=1, max_size=5),
    st.tuples(offsets, offsets),
    st.lists(st.floats(-2e-4, 2e-4), min_size=5, max_size=5),
)
def test_everything_that_met_at_a_node_meets_at_its_new_place(
    far: list[tuple[float, float]], to: tuple[float, float], off: list[float]
) -> None:
    assume(all(np.hypot(*p) > 1 for p in far) and np.hypot(*to) > 1)
    assume(all(np.hypot(p[0] - to[0], p[1] - to[1]) > 1 for p in far))
    pipes = []
    for n, (p, d) in enumerate(zip(far, off, strict=False)):
        ends = [(d, d, 1.5), (*p, 2.5)]
        pipes.append(standing("water_pipe", n, path(*(ends if n % 2 else ends[::-1]))))
    passing = standing("water_pipe", 90, path((-300, 0), (0, 0), (0, 300)))
    valve = standing("water_valve", 1, shapely.Point(X, Y))
    elsewhere = standing("water_valve", 2, shapely.Point(X + 500, Y))
    power = standing("power_support", 1, shapely.Point(X, Y))
    gone = standing("water_pipe", 91, path((0, 0), (3, 3)), status="removed")
    plan = move_node(at(0, 0), at(*to), [WATER], [*pipes, passing, valve, elsewhere, power, gone])
    moved = {(c.layer, c.fid): c for c in plan.changes if isinstance(c, Update)}
    assert set(moved) == {
        ("water_valve", 1),
        ("water_pipe", 90),
        *(("water_pipe", n) for n in range(len(pipes))),
    }
    for one in (*pipes, passing):
        shape = moved[one.key].geometry
        assert isinstance(shape, BaseGeometry)
        before, after = (
            shapely.get_coordinates(one.geometry, include_z=True),
            shapely.get_coordinates(shape, include_z=True),
        )
        here = np.hypot(before[:, 0] - X, before[:, 1] - Y) < 0.001
        assert (after[here, :2] == at(*to)).all()
        assert (after[~here] == before[~here])[:, :2].all()
        assert np.array_equal(after[:, 2], before[:, 2], equal_nan=True)  # heights stay


def test_a_new_height_is_taken() -> None:
    pipe = standing("water_pipe", 1, path((0, 0, 1.0), (9, 0, 2.0)))
    (update,) = move_node(at(0, 0), at(1, 1, 7.5), [WATER], [pipe]).changes
    assert shapely.get_coordinates(update.geometry, include_z=True)[0].tolist() == [X + 1, Y + 1, 7.5]  # type: ignore[union-attr]


def test_nodes_that_cannot_be_moved() -> None:
    pipe = standing("water_pipe", 1, path((0, 0), (9, 0)))
    other = standing("water_valve", 2, shapely.Point(X + 5, Y + 5))
    for code, place, to in (
        ("no-node", at(4, 4), at(6, 6)),
        ("not-moved", at(0, 0), at(0, 0.0005)),
        ("occupied", at(0, 0), at(5, 5)),
        ("collapses", at(0, 0), at(9, 0)),
    ):
        with refusal(code):
            move_node(place, to, [WATER], [pipe, other])


def test_a_vertex_gives_way_to_the_node_that_comes_to_it() -> None:
    pipe = standing("water_pipe", 1, path((0, 0), (5, 0), (9, 0)))
    (update,) = move_node(at(0, 0), at(5, 0), [WATER], [pipe]).changes
    assert shapely.get_coordinates(update.geometry).tolist() == [[X + 5, Y], [X + 9, Y]]  # type: ignore[union-attr]


# --- parcels -------------------------------------------------------------------------------------------


@st.composite
def fabrics(draw: st.DrawFn) -> dict[tuple[int, int], Standing]:
    """Nine parcels, three by three, with crooked corners and some vertices more on their edges."""
    crooked = st.floats(-2.5, 2.5)
    corners = {
        (i, j): (10.0 * i + draw(crooked), 10.0 * j + draw(crooked)) for i in range(4) for j in range(4)
    }
    between: dict[tuple[tuple[int, int], tuple[int, int]], list[tuple[float, float]]] = {}

    def edge(a: tuple[int, int], b: tuple[int, int]) -> list[tuple[float, float]]:
        """The vertices from a to b, without b; the same ones the other way round."""
        low, high = min(a, b), max(a, b)
        if (low, high) not in between:
            (x0, y0), (x1, y1) = corners[low], corners[high]
            shares = sorted(draw(st.lists(st.sampled_from((0.25, 0.5, 0.75)), max_size=2, unique=True)))
            between[low, high] = [(x0 + s * (x1 - x0), y0 + s * (y1 - y0)) for s in shares]
        more = between[low, high]
        return [corners[a], *(more if a == low else more[::-1])]

    found = {}
    for i in range(3):
        for j in range(3):
            ring = [(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1), (i, j)]
            xy = [p for a, b in pairwise(ring) for p in edge(a, b)]
            shape = shapely.polygons(places(*xy, xy[0]))
            found[i, j] = standing(
                "cadastre_parcel",
                10 * i + j,
                shape,
                commune_code="27",
                sheet_no="5",
                parcel_no=str(10 * i + j),
                land_use="ODT",
            )
    return found


def after_of(fabric: dict[tuple[int, int], Standing], plan: Plan) -> list[BaseGeometry]:
    """All parcels after the changes."""
    found: dict[Any, BaseGeometry] = {one.fid: one.geometry for one in fabric.values()}
    for number, change in enumerate(plan.changes):
        if isinstance(change, Delete):
            del found[change.fid]
        elif isinstance(change.geometry, BaseGeometry):
            found[change.fid if isinstance(change, Update) else f"new {number}"] = change.geometry
    return list(found.values())


def assert_closed(before: dict[tuple[int, int], Standing], after: list[BaseGeometry]) -> None:
    assert shapely.is_valid(after).all()
    assert shapely.coverage_is_valid(np.array(after, dtype=object))
    assert sum(one.area for one in after) == pytest.approx(
        sum(one.geometry.area for one in before.values()), abs=1e-6
    )


@settings(max_examples=150, deadline=None)
@given(
    fabrics(),
    st.floats(-6, 6),
    st.floats(-6, 6),
    st.lists(st.tuples(st.floats(12.8, 17.2), st.floats(14, 16)), max_size=1),
)
def test_a_split_parcel_leaves_the_fabric_closed(
    fabric: dict[tuple[int, int], Standing], low: float, high: float, between: list[tuple[float, float]]
) -> None:
    line = places((15 + low, 0), *between, (15 + high, 30))
    parts = [Part({"parcel_no": "101", "legal_area_m2": 40.0}), Part({"parcel_no": "102"})]
    try:
        plan = split_parcel(fabric[1, 1], line, parts, list(fabric.values()), tolerance=SNAP, cluster=CLUSTER)
    except Refused as refused:
        assert refused.code in (
            "parts-differ",
            "not-crossing",
            "along-the-boundary",
            "not-valid",
            "not-closed",
        )
        assume(False)
        return
    after = after_of(fabric, plan)
    assert len(after) == 10
    assert_closed(fabric, after)
    first, second = plan.changes[:2]
    assert isinstance(first, Update) and isinstance(second, Create)
    assert isinstance(first.geometry, BaseGeometry) and isinstance(second.geometry, BaseGeometry)
    assert first.geometry.area >= second.geometry.area
    assert first.fid == 11 and first.properties is not None
    assert first.properties["parcel_no"] == "101"
    assert second.properties["sheet_no"] == "5" and second.properties["legal_area_m2"] is None
    assert [note.code for note in plan.notes] == ["legal-area-unset"]


@settings(max_examples=100, deadline=None)
@given(
    fabrics(),
    st.sampled_from(
        [
            [(0, 0), (1, 0)],
            [(0, 0), (1, 0), (1, 1)],
            [(0, 1), (1, 1), (2, 1)],
            [(2, 2), (2, 1), (1, 1), (1, 2)],
        ]
    ),
)
def test_merged_parcels_leave_the_fabric_closed(
    fabric: dict[tuple[int, int], Standing], names: list[tuple[int, int]]
) -> None:
    plan = merge_parcels([fabric[n] for n in names], {"parcel_no": "200"}, cluster=CLUSTER)
    after = after_of(fabric, plan)
    assert len(after) == 10 - len(names)
    assert_closed(fabric, after)


@settings(max_examples=150, deadline=None)
@given(fabrics(), st.lists(st.tuples(st.floats(-2, 2), st.floats(0.1, 0.9)), min_size=0, max_size=3))
def test_a_moved_boundary_leaves_the_fabric_closed(
    fabric: dict[tuple[int, int], Standing], bends: list[tuple[float, float]]
) -> None:
    left, right = fabric[0, 1], fabric[1, 1]
    shared = shapely.line_merge(shapely.intersection(left.geometry.boundary, right.geometry.boundary))
    xy = shapely.get_coordinates(shared)
    start, end = xy[0], xy[-1]
    middle = [start + s * (end - start) + (b, 0) for b, s in sorted(bends, key=lambda v: v[1])]
    line = np.array([start, *middle, end])
    try:
        plan = move_boundary([left, right], line, list(fabric.values()), tolerance=SNAP, cluster=CLUSTER)
    except Refused as refused:
        assert refused.code in ("not-valid", "not-closed", "overlaps")
        assume(False)
        return
    after = after_of(fabric, plan)
    assert_closed(fabric, after)
    for one in after_of({(0, 1): left, (1, 1): right}, plan)[:2]:
        vertices = {tuple(c) for c in shapely.get_coordinates(one)}
        assert {tuple(c) for c in line} <= vertices  # the very same vertices in both


@settings(max_examples=60, deadline=None)
@given(fabrics(), st.floats(-1.5, 1.5), st.floats(-1.5, 1.5))
def test_a_boundary_moves_across_a_corner_of_others_that_stays(
    fabric: dict[tuple[int, int], Standing], a: float, b: float
) -> None:
    four = [fabric[0, 0], fabric[1, 0], fabric[0, 1], fabric[1, 1]]
    corner = next(
        xy
        for xy in shapely.get_coordinates(four[0].geometry)
        if all((shapely.get_coordinates(one.geometry) == xy).all(axis=1).any() for one in four)
    )
    ends = []
    for one, other in ((four[0], four[1]), (four[2], four[3])):
        shared = shapely.line_merge(shapely.intersection(one.geometry.boundary, other.geometry.boundary))
        ends.append(max(shapely.get_coordinates(shared)[[0, -1]], key=lambda xy: np.hypot(*(xy - corner))))
    line = np.array(
        [ends[0], (ends[0] + corner) / 2 + (a, 0), corner, (ends[1] + corner) / 2 + (b, 0), ends[1]]
    )
    around = list(fabric.values())
    try:
        plan = move_boundary(four, line, around, tolerance=SNAP, cluster=CLUSTER)
    except Refused as refused:
        assert refused.code in ("not-valid", "not-closed", "overlaps")
        assume(False)
        return
    assert_closed(fabric, after_of(fabric, plan))
    with refusal("boundary-ends-there"):
        move_boundary(four, np.delete(line, 2, axis=0), around, tolerance=SNAP, cluster=CLUSTER)


def square(i: int, j: int, **properties: Any) -> Standing:
    number = {"commune_code": "27", "sheet_no": "5", "parcel_no": str(10 * i + j)}
    shape = shapely.box(X + 10 * i, Y + 10 * j, X + 10 * i + 10, Y + 10 * j + 10)
    return standing("cadastre_parcel", 10 * i + j, shape, **{**number, **properties})


def test_a_hole_stays_in_its_part() -> None:
    shape = shapely.difference(square(0, 0).geometry, shapely.box(X + 7, Y + 4, X + 8, Y + 5))
    inner = standing("cadastre_parcel", 99, shapely.box(X + 7, Y + 4, X + 8, Y + 5))
    parcel = standing("cadastre_parcel", 0, shape, parcel_no="0")
    parts = [Part({"parcel_no": "1"}, at(1, 1)), Part({"parcel_no": "2"}, at(9, 9))]
    plan = split_parcel(parcel, places((5, -1), (5, 11)), parts, [inner], tolerance=SNAP, cluster=CLUSTER)
    shapes = [c.geometry for c in plan.changes]
    assert [len(one.interiors) for one in shapes] == [0, 1]  # type: ignore[union-attr]
    assert shapely.coverage_is_valid(np.array([*shapes, inner.geometry]))
    with refusal("not-crossing"):
        split_parcel(parcel, places((7.2, 4.2), (7.8, 4.8)), parts, [inner], tolerance=SNAP, cluster=CLUSTER)


def test_a_cut_near_a_corner_takes_the_corner() -> None:
    parts = [Part({"parcel_no": "1"}), Part({"parcel_no": "2"})]
    plan = split_parcel(
        square(0, 0), places((0.03, -1), (10.02, 11)), parts, [], tolerance=1.0, cluster=CLUSTER
    )
    corners = {tuple(c) for change in plan.changes for c in shapely.get_coordinates(change.geometry)}  # type: ignore[union-attr]
    assert corners == {tuple(c) for c in shapely.get_coordinates(square(0, 0).geometry)}


def test_parcels_that_cannot_be_split() -> None:
    parcel, two = square(0, 0), [Part({"parcel_no": "1"}), Part({"parcel_no": "2"})]
    for code, line, parts in (
        ("ends-inside", places((5, -1), (5, 5)), two),
        ("not-crossing", places((5, -3), (5, -1)), two),
        ("along-the-boundary", places((0, -1), (0, 11)), two),
        ("parts-differ", places((5, -1), (5, 11)), [*two, Part({"parcel_no": "3"})]),
        ("number-missing", places((5, -1), (5, 11)), [Part({}), Part({})]),
        ("not-in-a-part", places((5, -1), (5, 11)), [Part({}, at(1, 1)), Part({"parcel_no": "3"}, at(2, 2))]),
        ("invalid-feature", places((5, -1), (5, 11)), [Part({"colour": 1}), Part({"parcel_no": "3"})]),
    ):
        with refusal(code):
            split_parcel(parcel, line, parts, [], tolerance=SNAP, cluster=CLUSTER)


def test_parcels_that_cannot_be_merged() -> None:
    a, b = square(0, 0), square(1, 0)
    ring = [square(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    given = {"parcel_no": "7"}
    for code, parcels, properties in (
        ("not-parcels", [a], given),
        ("not-parcels", [a, a], given),
        ("not-adjacent", [a, square(1, 1)], given),  # they touch in a corner
        ("not-adjacent", [a, square(2, 0)], given),
        ("not-one-sheet", [a, square(1, 0, sheet_no="6")], given),
        ("attributes-differ", [a, b], {}),
        ("encloses", ring, given),
        (
            "not-closed",
            [
                a,
                standing(
                    "cadastre_parcel",
                    5,
                    shapely.box(X + 9, Y, X + 20, Y + 10),
                    commune_code="27",
                    sheet_no="5",
                ),
            ],
            given,
        ),
    ):
        with refusal(code):
            merge_parcels(parcels, properties, cluster=CLUSTER)


def test_legal_areas_are_added_where_all_are_known() -> None:
    known = merge_parcels(
        [square(0, 0, legal_area_m2=99.5), square(1, 0, legal_area_m2=100.25)],
        {"parcel_no": "7"},
        cluster=CLUSTER,
    )
    assert known.changes[0].properties["legal_area_m2"] == 199.75  # type: ignore[union-attr,index]
    part = merge_parcels(
        [square(0, 0, legal_area_m2=99.5), square(1, 0)], {"parcel_no": "7"}, cluster=CLUSTER
    )
    assert part.changes[0].properties["legal_area_m2"] is None  # type: ignore[union-attr,index]
    assert [note.code for note in part.notes] == ["legal-area-unknown"]


def test_boundaries_that_cannot_be_moved() -> None:
    a, b, c = square(0, 0), square(1, 0), square(2, 0)
    for code, parcels, line, around in (
        ("too-far", [a, b], places((10.2, 5), (10, 10)), []),
        ("not-shared", [a, b], places((0, 0), (0, 10)), []),
        ("not-shared", [a, c], places((10, 0), (10, 10)), []),
        ("not-valid", [a, b], places((10, 0), (25, 5), (10, 10)), [c]),
        (
            "shared-by-others",
            [a, b],
            places((10, 0), (9, 5), (10, 10)),
            [standing("cadastre_parcel", 50, shapely.box(X + 10, Y + 2, X + 14, Y + 4))],
        ),
        ("not-parcels", [a], places((10, 0), (10, 10)), []),
    ):
        with refusal(code):
            move_boundary(parcels, line, around, tolerance=SNAP, cluster=CLUSTER)
