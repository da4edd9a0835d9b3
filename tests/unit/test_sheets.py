"""Both sheet systems against the published names, and against themselves."""

from __future__ import annotations

import itertools
import math
import time
from fractions import Fraction

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from gis.crs import transform_xy
from gis.errors import UsageError
from gis.sheets import (
    SCALES,
    ExactBox,
    Sheet,
    System,
    cadastral_sheet,
    outlines,
    parse_sheet,
    sheets_in,
    topographic_sheet,
)

BEN_THANH = (10.773518484, 106.696213782)
BEN_THANH_TM = (1191454.611, 603481.588)


@pytest.mark.parametrize(
    ("scale", "name"),
    [
        (1_000_000, "C-48"),
        (100_000, "C-48-34"),
        (5_000, "C-48-34-(119)"),
        (2_000, "C-48-34-(119-a)"),
    ],
)
def test_ben_thanh(scale: int, name: str) -> None:
    assert topographic_sheet(*BEN_THANH, scale).name == name


@pytest.mark.parametrize(
    ("lat", "lon", "name"),
    [
        (10.974017127, 106.491212009, "C-48-33-(16-k)"),
        (10.347020905, 107.082517402, "C-48-47-(67-h)"),
        (10.981018070, 106.650212399, "C-48-34-(5-f)"),
        (21.028785769, 105.832317307, "F-48-68-(251-b)"),
    ],
)
def test_topographic_vectors(lat: float, lon: float, name: str) -> None:
    assert topographic_sheet(lat, lon, 2000).name == name


def test_extents() -> None:
    assert parse_sheet("C-48-34-(119)").box == (
        *(Fraction("106.6875"), Fraction("10.75")),
        *(Fraction("106.71875"), Fraction("10.78125")),
    )
    _, south, east, _ = parse_sheet("C-48-34-(119-a)").box
    assert (float(south), float(east)) == pytest.approx((10.7708333333, 106.6979166667), abs=1e-10)


@pytest.mark.parametrize(
    ("scale", "name"),
    [
        (10_000, "10-194 602"),
        (5_000, "194 602"),
        (2_000, "194 602-8"),
        (1_000, "194 602-8-c"),
        (500, "194 602-8-(10)"),
    ],
)
def test_cadastral_ben_thanh(scale: int, name: str) -> None:
    assert cadastral_sheet(*BEN_THANH_TM, scale).name == name


def test_cadastral_vectors() -> None:
    assert cadastral_sheet(1213570.325, 581006.345, 10_000).name == "10-218 578"
    assert cadastral_sheet(1213570.325, 581006.345, 2_000).name == "215 581-4"
    # By hand: 1:200 sheets are 100 m; 454.6 m above the south edge and 481.6 m right of the west edge.
    assert cadastral_sheet(*BEN_THANH_TM, 200).name == "194 602-8-55"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("C-48", "C-48"),
        ("C-48-B", "C-48-B"),
        ("C-48-B-4", "C-48-B-4"),
        ("C-48-34", "C-48-34"),
        ("C-48-34-A", "C-48-34-A"),
        ("C-48-34-A-d", "C-48-34-A-d"),
        ("C-48-34-A-d-4", "C-48-34-A-d-4"),
        ("C-48-34-(119-a-IV)", "C-48-34-(119-a-IV)"),
        ("C-48-34-(119-a-12)", "C-48-34-(119-a-12)"),
        ("c-48-34-(119-A)", "C-48-34-(119-a)"),
        (" C–48 — 34 – ( 119 ‑ a ) ", "C-48-34-(119-a)"),
        ("C-48-34-119-a", "C-48-34-(119-a)"),
        ("Ｃ－４８－３４", "C-48-34"),
        ("C-48-034-(005)", "C-48-34-(5)"),
        ("10-194 602", "10-194 602"),
        ("10 - 194  602", "10-194 602"),
        ("194 602", "194 602"),
        ("194602-8", "194 602-8"),
        ("194-602-8", "194 602-8"),
        ("194 602-8-C", "194 602-8-c"),
        ("194 602 – 8 – ( 10 )", "194 602-8-(10)"),
        ("194 602-8-10", "194 602-8-10"),
        ("194 602-8-100", "194 602-8-100"),
        ("045 602", "045 602"),
    ],
)
def test_names_in_many_spellings(text: str, name: str) -> None:
    assert parse_sheet(text).name == name


def test_brackets_tell_the_cadastral_scale() -> None:
    assert (parse_sheet("194 602-8-(10)").scale, parse_sheet("194 602-8-10").scale) == (500, 200)


@pytest.mark.parametrize(
    "text",
    [
        "", "C", "C-", "C-0", "C-61", "I-48", "O-48", "Y-48", "C-48-97", "C-48-0", "C-48-E", "C-48-34-(257)",
        "C-48-34-(119-i)", "C-48-34-(119-j)", "C-48-34-(119-a-V)", "C-48-34-(119-a-17)", "C-48-34-A-d-5",
        "C-48-34-A-d-4-1", "194", "194 603", "194 000",
        "11-194 602", "10-194 605", "10-194 602-8", "194 602-10",
        "194 602-0", "194 602-8-e", "194 602-8-(17)", "194 602-8-101", "194 602-8-(a)", "٤٨", "C-٤٨",
        "C-48" + "-1" * 5000, "1" * 100_000, "C-48-34-(119-a)'; DROP", "C-48-34\n-A" * 10, "194 602-8-1-1",
    ],
)  # fmt: skip
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_sheet(text)
    assert error.value.code == "invalid-sheet"
    assert len(error.value.message) < 200


def test_south_and_west_edges_belong_to_a_sheet() -> None:
    sheet = parse_sheet("C-48-34-(119)")
    west, south, east, north = sheet.box
    assert topographic_sheet(south, west, 5000) == sheet
    assert topographic_sheet(north, west, 5000).name == "C-48-34-(103)"
    assert topographic_sheet(south, east, 5000).name == "C-48-34-(120)"
    # The float just below an edge is below it, however near.
    assert topographic_sheet(math.nextafter(float(south), 0), west, 5000) != sheet
    assert topographic_sheet(math.nextafter(float(north), 0), west, 5000) == sheet
    assert topographic_sheet(0.1 + 0.2, 105, 2000) == topographic_sheet(Fraction(0.1 + 0.2), 105, 2000)
    metres = parse_sheet("194 602-8")
    assert cadastral_sheet(1191000, 603000, 2000) == metres
    assert cadastral_sheet(1192000, 603000, 2000).name == "194 602-5"
    assert cadastral_sheet(1191000, 604000, 2000).name == "194 602-9"


@pytest.mark.parametrize(
    "call",
    [
        lambda: topographic_sheet(-0.0001, 106, 2000),
        lambda: topographic_sheet(88, 106, 2000),
        lambda: topographic_sheet(10, 180, 2000),
        lambda: topographic_sheet(float("nan"), 106, 2000),
        lambda: topographic_sheet(10, float("inf"), 2000),
        lambda: topographic_sheet(10, 106, 3000),
        lambda: cadastral_sheet(-1, 500000, 2000),
        lambda: cadastral_sheet(3_000_000, 500000, 2000),
        lambda: cadastral_sheet(0, 998_000, 2000),
        lambda: cadastral_sheet(float("nan"), 500000, 2000),
        lambda: cadastral_sheet(1191000, 603000, 100_000),
        lambda: sheets_in("topographic", 2000, (106, 10, 105, 11)),
        lambda: sheets_in("topographic", 2000, (106, -1, 107, 11)),
        lambda: sheets_in("cadastral", 2000, (500_000, 0, 2_000_000, 1)),
        lambda: sheets_in("other", 2000, (0, 0, 1, 1)),  # type: ignore[arg-type]
    ],
)
def test_out_of_range_is_told(call: object) -> None:
    with pytest.raises(UsageError):
        call()  # type: ignore[operator]


def test_west_of_greenwich_is_named_too() -> None:
    assert topographic_sheet(38, -85, 1_000_000).name == "K-16"


topographic_points = st.tuples(
    st.floats(0, 87.99), st.floats(-180, 179.99), st.sampled_from(SCALES["topographic"])
)
cadastral_points = st.tuples(
    st.floats(0, 2_999_999.9), st.floats(2000, 997_999.9), st.sampled_from(SCALES["cadastral"])
)


@given(topographic_points)
def test_a_point_is_on_its_topographic_sheet(point: tuple[float, float, int]) -> None:
    sheet = topographic_sheet(*point)
    assert sheet.contains(point[1], point[0])
    assert parse_sheet(sheet.name) == sheet
    assert parse_sheet(sheet.name.replace("-", " – ").lower()) == sheet


@given(cadastral_points)
def test_a_point_is_on_its_cadastral_sheet(point: tuple[float, float, int]) -> None:
    sheet = cadastral_sheet(*point, crs=5899)
    assert sheet.contains(point[1], point[0])
    assert parse_sheet(sheet.name, crs=5899) == sheet


def area(box: ExactBox) -> Fraction:
    return (box[2] - box[0]) * (box[3] - box[1])


@pytest.mark.parametrize(
    ("system", "parent", "child", "count"),
    [
        ("topographic", "C-48", 500_000, 4), ("topographic", "C-48-B", 250_000, 4),
        ("topographic", "C-48", 100_000, 96), ("topographic", "C-48-34", 50_000, 4),
        ("topographic", "C-48-34-A", 25_000, 4), ("topographic", "C-48-34-A-d", 10_000, 4),
        ("topographic", "C-48-34", 5_000, 256), ("topographic", "C-48-34-(119)", 2_000, 9),
        ("topographic", "C-48-34-(119-a)", 1_000, 4), ("topographic", "C-48-34-(119-a)", 500, 16),
        ("cadastral", "10-194 602", 5_000, 4), ("cadastral", "194 602", 2_000, 9),
        ("cadastral", "194 602-8", 1_000, 4), ("cadastral", "194 602-8", 500, 16),
        ("cadastral", "194 602-8", 200, 100),
    ],
)  # fmt: skip
def test_children_tile_their_parent(system: System, parent: str, child: int, count: int) -> None:
    whole = parse_sheet(parent)
    parts = list(sheets_in(system, child, whole.box))
    assert len({p.name for p in parts}) == len(parts) == count
    assert sum(area(p.box) for p in parts) == area(whole.box)
    for part in parts:
        assert whole.contains(part.box[0], part.box[1])
        assert part.box[2] <= whole.box[2] and part.box[3] <= whole.box[3]
        assert parse_sheet(part.name) == part
    if system == "topographic" or child < 5_000:
        bare = parent.rstrip(")")
        assert all(p.name.startswith(bare) for p in parts)
    # Row by row from the north-west: the first part has that corner, the last the south-east one.
    assert (parts[0].box[0], parts[0].box[3]) == (whole.box[0], whole.box[3])
    assert (parts[-1].box[2], parts[-1].box[1]) == (whole.box[2], whole.box[1])


@given(
    st.floats(102, 109), st.floats(8, 23), st.floats(0, 0.2), st.floats(0, 0.2),
    st.sampled_from((25_000, 10_000, 5_000)), st.floats(0, 1), st.floats(0, 1),
)  # fmt: skip
def test_sheets_in_a_box_are_all_and_no_others(
    west: float, south: float, w: float, h: float, scale: int, u: float, v: float
) -> None:
    box = (west, south, west + w, south + h)
    found = list(sheets_in("topographic", scale, box))
    names = [s.name for s in found]
    assert len(set(names)) == len(names)
    x, y = west + u * w, south + v * h
    if x < box[2] and y < box[3]:
        assert topographic_sheet(y, x, scale).name in names
    for sheet in found:
        assert sheet.box[0] <= Fraction(box[2]) and sheet.box[2] > Fraction(box[0])
        assert sheet.box[1] <= Fraction(box[3]) and sheet.box[3] > Fraction(box[1])


def test_a_box_that_ends_on_an_edge_does_not_take_the_neighbour() -> None:
    assert [s.name for s in sheets_in("cadastral", 2000, (603000, 1191000, 604000, 1192000))] == ["194 602-8"]
    assert [s.name for s in sheets_in("cadastral", 2000, (603000, 1191000, 603000, 1191000))] == ["194 602-8"]


def test_sheets_stream() -> None:
    """A country of 1:500 sheets is never held: the first come at once."""
    start = time.perf_counter()
    first = list(itertools.islice(sheets_in("topographic", 500, (102, 8, 110, 24)), 3))
    assert len(first) == 3
    assert time.perf_counter() - start < 30  # all of them take minutes


def block(system: System) -> list[Sheet]:
    """10 x 10 sheets of 1:2000 around Ben Thanh; cadastral ones of the neighbouring zone."""
    if system == "topographic":
        step = Fraction(1, 96)
        west, south = parse_sheet("C-48-34-(119-a)").box[:2]
        return list(sheets_in(system, 2000, (west, south, west + 10 * step, south + 10 * step)))
    return list(sheets_in(system, 2000, (400_000, 1_190_000, 410_000, 1_200_000), crs=5899))


@pytest.mark.parametrize("code", [9210, 4326, 3857, 3405])
@pytest.mark.parametrize("system", ["topographic", "cadastral"])
def test_outlines_cover_without_gap_or_overlap(system: System, code: int) -> None:
    sheets = block(system)
    assert len(sheets) == 100
    shapes = list(outlines(sheets, code))
    assert shapely.is_valid(shapes).all()
    assert shapely.coverage_is_valid(shapes)
    union = shapely.coverage_union_all(shapes)
    assert union.geom_type == "Polygon" and not union.interiors
    assert union.area == pytest.approx(sum(s.area for s in shapes), rel=1e-12)
    # One at a time gives the same as many.
    assert sheets[17].outline(code).equals_exact(shapes[17], 0)


@pytest.mark.parametrize("system", ["topographic", "cadastral"])
def test_outlines_have_exact_corners_and_true_edges(system: System) -> None:
    sheet = block(system)[42]
    shape = sheet.outline(9210)
    minx, miny, maxx, maxy = sheet.bounds
    vertices = set(shape.exterior.coords)
    for x, y in ((minx, miny), (maxx, miny), (maxx, maxy), (minx, maxy)):
        corner = tuple(float(v) for v in transform_xy(x, y, sheet.crs, 9210))
        assert corner in vertices
    for i in range(1000):
        x, y = transform_xy(minx + (maxx - minx) * i / 999, miny, sheet.crs, 9210)
        assert shape.exterior.distance(shapely.Point(float(x), float(y))) < 1e-3


def test_a_sheet_in_its_own_crs_is_its_box() -> None:
    assert parse_sheet("194 602-8").outline(9210).equals(shapely.box(603000, 1191000, 604000, 1192000))
