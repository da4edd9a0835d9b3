"""Pinned transforms against the published vectors of VN-2000, and against each other."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from gis import crs
from gis.city import load_city
from gis.crs.proof import error_m
from gis.errors import ConfigError, LimitError, UsageError

VN_TM3 = (5896, 5897, 5898, 5899, *range(9205, 9219))
VN = (4756, 3405, 3406, *VN_TM3)

# domain/crs.md, computed by others with PROJ's pipeline and by PostGIS.
LON_LAT = {
    (600000, 1190000): (106.666128316, 10.759445635),
    (603000, 1192000): (106.693612244, 10.777443860),
    (580000, 1215000): (106.483824362, 10.985947401),
}
MERCATOR = {
    (600000, 1190000): (11874019.089, 1204838.255),
    (603000, 1192000): (11877078.586, 1206877.723),
    (580000, 1215000): (11853725.106, 1230513.233),
}
BEN_THANH = {
    4756: (106.696213782, 10.773518484),
    9210: (603481.588, 1191454.611),
    3405: (685466.299, 1191450.738),
    5897: (685521.961, 1191808.316),
}


def at(x: float, y: float, src: int, dst: int) -> tuple[float, float]:
    e, n = crs.transform_xy(x, y, src, dst)
    return float(e), float(n)


@pytest.mark.parametrize(("tm", "lonlat"), LON_LAT.items())
def test_vn2000_to_wgs84(tm: tuple[float, float], lonlat: tuple[float, float]) -> None:
    assert at(*tm, 9210, 4326) == pytest.approx(lonlat, abs=1e-9)


@pytest.mark.parametrize(("tm", "metres"), MERCATOR.items())
def test_vn2000_to_web_mercator(tm: tuple[float, float], metres: tuple[float, float]) -> None:
    # The vectors have three decimals: half of the last is all that may differ.
    assert at(*tm, 9210, 3857) == pytest.approx(metres, abs=0.0006)


@pytest.mark.parametrize(("code", "expected"), BEN_THANH.items())
def test_wgs84_to_vn2000(code: int, expected: tuple[float, float]) -> None:
    tolerance = 1e-9 if code == 4756 else 0.0006
    assert at(106.698, 10.7725, 4326, code) == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("tm", LON_LAT)
def test_matches_the_published_pipeline_to_a_tenth_of_a_millimetre(tm: tuple[float, float]) -> None:
    published = pyproj.Transformer.from_pipeline(
        "+proj=pipeline +step +inv +proj=tmerc +lat_0=0 +lon_0=105.75 +k=0.9999 +x_0=500000 +y_0=0 "
        "+ellps=WGS84 +step +proj=push +v_3 +step +proj=cart +ellps=WGS84 +step +proj=helmert "
        "+x=-191.90441429 +y=-39.30318279 +z=-111.45032835 +rx=-0.00928836 +ry=0.01975479 "
        "+rz=-0.00427372 +s=0.252906278 +convention=coordinate_frame +step +inv +proj=cart +ellps=WGS84 "
        "+step +proj=pop +v_3 +step +proj=unitconvert +xy_in=rad +xy_out=deg"
    )
    assert error_m(crs.definition(4326), published.transform(*tm), at(*tm, 9210, 4326)) < 1e-4


@pytest.mark.parametrize("tm", LON_LAT)
def test_an_unpinned_transform_is_80_cm_off(tm: tuple[float, float]) -> None:
    """The reason for all this. Fails when PROJ mends its choice, or when we stop pinning ours."""
    unpinned = pyproj.Transformer.from_crs("EPSG:9210", "EPSG:4326", always_xy=True)
    error = error_m(crs.definition(4326), LON_LAT[tm], unpinned.transform(*tm))
    assert error == pytest.approx(0.798, abs=0.003)
    assert error_m(crs.definition(4326), LON_LAT[tm], at(*tm, 9210, 4326)) < 1e-4


@pytest.mark.parametrize("code", [c.code for c in crs.registry()])
def test_definitions_are_those_of_the_epsg_registry(code: int) -> None:
    ours, epsg = crs.definition(code), pyproj.CRS.from_epsg(code)
    with pytest.warns(UserWarning, match="important projection information"):
        theirs = epsg.to_dict()
    assert ours.name == epsg.name
    assert epsg.area_of_use is not None
    assert ours.area == pytest.approx(epsg.area_of_use.bounds)
    axis = epsg.axis_info[0]
    assert ours.axis == ("ne" if axis.direction == "north" else "en")
    assert axis.unit_name == {"metre": "metre", "us-ft": "US survey foot", "degree": "degree"}[ours.unit]
    if code == 3857:
        return
    assert ours.parameters["proj"] == theirs["proj"]
    for name in ("lon_0", "lat_0", "lat_1", "lat_2", "k", "x_0", "y_0", "zone"):
        assert float(ours.parameters.get(name, "nan")) == pytest.approx(
            float(theirs.get(name, "nan")), abs=0, rel=0, nan_ok=True
        ), name
    assert ours.parameters["ellps"] == theirs.get("ellps", theirs.get("datum"))


@pytest.mark.parametrize("code", VN)
def test_every_vn2000_code_has_the_official_shift(code: int) -> None:
    shift = crs.definition(code).datum.shift
    assert shift != "none"
    assert shift.towgs84 == (
        *(-191.90441429, -39.30318279, -111.45032835),
        *(0.00928836, -0.01975479, 0.00427372),
        0.252906278,
    )


@given(st.sampled_from(VN), st.sampled_from(VN), st.floats(102.1, 109.6), st.floats(8.3, 23.4))
def test_vn2000_to_vn2000_is_exact(a: int, b: int, lon: float, lat: float) -> None:
    assert "helmert" not in crs.pipeline(a, b)
    x, y = at(lon, lat, 4756, a)
    back = at(*at(x, y, a, b), b, 4756)
    assert error_m(crs.definition(4756), (lon, lat), back) < 1e-6


@given(st.sampled_from(VN), st.floats(102.1, 109.6), st.floats(8.3, 23.4))
def test_there_and_back_through_wgs84(code: int, lon: float, lat: float) -> None:
    """The ellipsoidal height that a 2D operation drops costs up to 1.4 mm (0.2 in the city)."""
    x, y = at(lon, lat, 4326, code)
    assert error_m(crs.definition(4326), (lon, lat), at(x, y, code, 4326)) < 1.5e-3


@given(st.floats(106.25, 107.7), st.floats(8.5, 11.6))
def test_there_and_back_in_the_city(lon: float, lat: float) -> None:
    back = at(*at(lon, lat, 4326, 9210), 9210, 4326)
    assert error_m(crs.definition(4326), (lon, lat), back) < 2.5e-4


@given(st.floats(-89.5, -82), st.floats(36.5, 39.1))
def test_us_survey_feet(lon: float, lat: float) -> None:
    x, y = at(lon, lat, 4326, 3547)
    assert error_m(crs.definition(4326), (lon, lat), at(x, y, 3547, 4326)) < 1e-6
    metres = pyproj.Proj(
        proj="lcc",
        lat_0=36.3333333333333,
        lon_0=-85.75,
        lat_1=37.0833333333333,
        lat_2=38.6666666666667,
        x_0=1500000,
        y_0=999999.9998984,
        ellps="GRS80",
    )(lon, lat)
    assert (x * 1200 / 3937, y * 1200 / 3937) == pytest.approx(metres, abs=1e-6)


def test_arrays_keep_their_shape_and_inputs_are_left_alone() -> None:
    x, y = np.full((3, 2), 600000.0), np.full((3, 2), 1190000.0)
    lon, lat = crs.transform_xy(x, y, 9210, 4326)
    assert lon.shape == lat.shape == (3, 2)
    assert (x == 600000.0).all() and (y == 1190000.0).all()
    same = crs.transform_xy(x, y, 9210, 9210)
    same[0][:] = 0
    assert (x == 600000.0).all()


def test_what_has_no_image_is_not_finite() -> None:
    x, y = crs.transform_xy([1e30, np.nan, 600000], [1e30, 0, 1190000], 9210, 4326)
    assert np.isfinite(x).tolist() == [False, False, True]
    assert np.isfinite(y).tolist() == [False, False, True]


def test_threads_share_a_transform() -> None:
    rng = np.random.default_rng(1)
    x, y = 560000 + rng.random(20000) * 60000, 1150000 + rng.random(20000) * 90000
    right = crs.transform_xy(x, y, 9210, 4326)
    wrong: list[int] = []

    def run() -> None:
        for _ in range(20):
            got = crs.transform_xy(x, y, 9210, 4326)
            if not (np.array_equal(got[0], right[0]) and np.array_equal(got[1], right[1])):
                wrong.append(1)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_geometries_of_all_kinds() -> None:
    given_ = np.array(
        [
            shapely.Point(600000, 1190000),
            None,
            shapely.from_wkt("LINESTRING Z (600000 1190000 3.5, 603000 1192000 -2.25)"),
            shapely.from_wkt("GEOMETRYCOLLECTION (POINT (600000 1190000), POLYGON EMPTY)"),
            shapely.from_wkt("POINT EMPTY"),
        ],
        dtype=object,
    )
    moved = crs.transform_geometries(given_, 9210, 4326)
    assert (moved[0].x, moved[0].y) == pytest.approx(LON_LAT[(600000, 1190000)], abs=1e-9)
    assert moved[1] is None
    assert [c[2] for c in moved[2].coords] == [3.5, -2.25]
    assert moved[2].coords[1][:2] == pytest.approx(LON_LAT[(603000, 1192000)], abs=2e-9)
    assert not moved[0].has_z
    assert moved[3].geom_type == "GeometryCollection"
    assert moved[4].is_empty
    assert given_[0].x == 600000


def test_unknown_codes_are_told() -> None:
    with pytest.raises(UsageError, match="EPSG:2193") as error:
        crs.transform_xy(0, 0, 2193, 4326)
    assert error.value.code == "unknown-crs"
    with pytest.raises(UsageError):
        crs.transform_xy(0, 0, 2193, 2193)
    assert not crs.is_known(2193)


@pytest.mark.parametrize(
    ("text", "code", "swap"),
    [
        ("http://www.opengis.net/def/crs/EPSG/0/9210", 9210, False),
        ("http://www.opengis.net/def/crs/EPSG/0/4326", 4326, True),
        ("http://www.opengis.net/def/crs/EPSG/0/4756", 4756, True),
        ("http://www.opengis.net/def/crs/OGC/1.3/CRS84", 4326, False),
        ("<http://www.opengis.net/def/crs/OGC/1.3/CRS84>", 4326, False),
        ("urn:ogc:def:crs:EPSG::3857", 3857, False),
        ("urn:ogc:def:crs:OGC:1.3:CRS84", 4326, False),
        ("EPSG:9210", 9210, False),
        ("[EPSG:9210]", 9210, False),
        ("epsg:9210", 9210, False),
        ("OGC:CRS84", 4326, False),
    ],
)
def test_names(text: str, code: int, swap: bool) -> None:
    got = crs.parse_uri(text)
    assert (got.code, got.swap) == (code, swap)
    assert crs.parse_uri(got.uri) == got


@pytest.mark.parametrize(
    "text",
    ["", "9210", "EPSG:", "EPSG:9210;", "EPSG:٩٢١٠", "http://evil/def/crs/EPSG/0/9210", "[EPSG:9210",
     "x" * 9999, "http://www.opengis.net/def/crs/EPSG/0/9210/../1", "EPSG:1",
     "EPSG:99999999999999999999", "OGC:CRS83"],
)  # fmt: skip
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        crs.parse_uri(text)


def test_command_line_codes() -> None:
    assert crs.parse_code("9210") == crs.parse_code(" EPSG:9210 ") == 9210
    with pytest.raises(UsageError):
        crs.parse_code("1")


def test_a_city_adds_its_own_file(tmp_path: Path) -> None:
    own = tmp_path / "own.yml"
    own.write_text(
        "definitions:\n  3046: {name: 'x', datum: etrs89, proj: +proj=utm +zone=34, area: [1, 2, 3, 4]}\n"
    )
    registry = crs.CrsRegistry()
    registry.read(Path(crs.__file__).parents[2] / "config" / "crs.yml")
    registry.read(own)
    registry.read(own)
    assert registry[3046].datum_id == "etrs89"


@pytest.mark.parametrize(
    "text",
    [
        "definitions: {9210: {name: x, datum: vn2000, proj: +proj=utm +zone=48, area: [1, 2, 3, 4]}}",
        "definitions: {1: {name: x, datum: nowhere, proj: +proj=utm +zone=48, area: [1, 2, 3, 4]}}",
        "definitions: {1: {name: x, datum: wgs84, proj: +proj=utm +step, area: [1, 2, 3, 4]}}",
        "definitions: {1: {name: x, datum: wgs84, proj: +proj=longlat, area: [1, 2, 3, 4]}}",
        "datums: {vn2000: {names: [x], ellipsoid: WGS84, shift: none, source: x, domain: [1, 2, 3, 4]}}",
        "definitions: {1: {",
        "other: 1",
    ],
)
def test_a_file_cannot_contradict(tmp_path: Path, text: str) -> None:
    own = tmp_path / "own.yml"
    own.write_text(text)
    registry = crs.CrsRegistry()
    registry.read(Path(crs.__file__).parents[2] / "config" / "crs.yml")
    with pytest.raises(ConfigError, match=r"own\.yml"):
        registry.read(own)


def test_the_proof_holds_and_can_fail() -> None:
    lines = crs.prove()
    assert len(lines) >= 10 + len(VN)
    assert [line for line in lines if not line.ok] == []


def test_postgis_rows_hold_one_shift_in_both_texts() -> None:
    for row in crs.spatial_ref_rows():
        assert row.auth_name == "BANDOSO", "rows of authority EPSG are resolved unpinned"
        for text in (row.srtext, row.proj4text):
            bound = pyproj.CRS(text)
            assert bound.is_bound and bound.coordinate_operation is not None
            got = bound.coordinate_operation.towgs84
            shift = crs.definition(row.srid).datum.shift
            assert tuple(got) == (shift.towgs84 if shift != "none" else (0.0,) * 7)
    assert {r.srid for r in crs.spatial_ref_rows()} >= {*VN, 3547}


def test_a_city_file_names_its_own_crs_and_only_known_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gis.crs.definitions._registry", None)  # what is registered here stays here
    (tmp_path / "own.yml").write_text(
        "definitions:\n  3045: {name: x, datum: etrs89, proj: +proj=utm +zone=33, area: [12, 38, 18, 84]}\n"
    )
    shipped = (Path(crs.__file__).parents[2] / "config" / "city.yml").read_text(encoding="utf-8")
    assert "  storage: 9210 " in shipped

    def city(storage: int, more: str = "") -> Path:
        path = tmp_path / "city.yml"
        path.write_text(shipped.replace("  storage: 9210 ", f"{more}  storage: {storage} "), encoding="utf-8")
        return path

    assert load_city(city(3045, "  definitions: [own.yml]\n")).crs.storage == 3045
    with pytest.raises(ConfigError, match="EPSG:2193"):
        load_city(city(2193))
    with pytest.raises(ConfigError, match="not a plane CRS"):
        load_city(city(4326))


# --- boxes -----------------------------------------------------------------------------------------


def dense(box: crs.Box, src: int, dst: int, n: int = 10_000) -> np.ndarray:
    """Outline of a box, n points an edge, transformed."""
    minx, miny, maxx, maxy = box
    t = np.linspace(0, 1, n)
    x = np.concatenate(
        [minx + (maxx - minx) * t, np.full(n, maxx), maxx - (maxx - minx) * t, np.full(n, minx)]
    )
    y = np.concatenate(
        [np.full(n, miny), miny + (maxy - miny) * t, np.full(n, maxy), maxy - (maxy - miny) * t]
    )
    return np.column_stack(crs.transform_xy(x, y, src, dst))


@pytest.mark.parametrize("tolerance", [1e-4, 0.01, 1.0])
@pytest.mark.parametrize(
    ("box", "src", "dst"),
    [
        ((106.6, 10.7, 106.7, 10.8), 4326, 9210),
        ((106.25, 8.5, 107.7, 11.6), 4326, 9210),
        ((11874000, 1204800, 11900000, 1260000), 3857, 9210),
        ((600000, 1190000, 600600, 1190600), 9210, 4326),
        ((560000, 1150000, 640000, 1250000), 9210, 3405),
        ((300000, 1100000, 420000, 1250000), 5899, 9210),
        ((-85, 37, -84.5, 38.5), 4326, 3547),
        ((4900000, 3800000, 5000000, 3950000), 3547, 3857),
    ],
)
def test_a_box_is_right_within_its_tolerance(box: crs.Box, src: int, dst: int, tolerance: float) -> None:
    shape = crs.transform_box(box, src, dst, tolerance)
    assert shape.is_valid and shape.geom_type == "Polygon"
    curve = shapely.points(dense(box, src, dst))
    shapely.prepare(shape.exterior)
    off = shapely.distance(shape.exterior, curve).max() * crs.definition(dst).unit_m
    assert off <= tolerance
    # Not bought with a flood of vertices: a coarser tolerance needs fewer.
    assert shapely.get_num_coordinates(shape) < 20_000
    if tolerance == 1.0:
        fine = crs.transform_box(box, src, dst, 1e-4)
        assert shapely.get_num_coordinates(shape) <= shapely.get_num_coordinates(fine)


def test_corners_alone_would_not_do() -> None:
    box = (106.25, 8.5, 107.7, 11.6)
    corners = shapely.Polygon(np.column_stack(crs.transform_xy(
        [box[0], box[2], box[2], box[0]], [box[1], box[1], box[3], box[3]], 4326, 9210)))  # fmt: skip
    assert crs.transform_box(box, 4326, 9210).symmetric_difference(corners).area > 1e6


@given(
    st.floats(102.2, 109), st.floats(8.4, 23), st.floats(0.0001, 0.5), st.floats(0.0001, 0.5),
    st.sampled_from((3857, *VN)),
    st.floats(-0.2, 1.2), st.floats(-0.2, 1.2),
)  # fmt: skip
def test_a_point_is_in_the_image_as_it_is_in_the_box(
    west: float, south: float, width: float, height: float, dst: int, u: float, v: float
) -> None:
    box = (west, south, west + width, south + height)
    point = at(west + u * width, south + v * height, 4326, dst)
    inside = 0 < u < 1 and 0 < v < 1
    shape = crs.transform_box(box, 4326, dst)
    near = shape.exterior.distance(shapely.Point(point)) * crs.definition(dst).unit_m
    assert near <= 1e-4 or shape.contains(shapely.Point(point)) == inside


@pytest.mark.parametrize("src", [4326, 3857, 9210])
def test_a_box_of_the_whole_world_holds_the_country(src: int) -> None:
    world = {
        4326: (-180, -90, 180, 90),
        3857: (-2.1e7, -2.1e7, 2.1e7, 2.1e7),
        9210: (-1e12, -1e12, 1e12, 1e300),
    }
    for dst in (9210, 3857, 4326, 3405):
        shape = crs.transform_box(world[src], src, dst)
        assert shape.is_valid
        for lon, lat in ((102.2, 22), (109.4, 12.6), (104.8, 8.6), (114.3, 10.4), (106.6, 20.9)):
            assert shape.contains(shapely.Point(at(lon, lat, 4326, dst))), (src, dst)
        assert shapely.get_num_coordinates(shape) < 2000


def test_boxes_that_are_less() -> None:
    assert crs.transform_box((106.7, 10.7, 106.7, 10.7), 4326, 9210).geom_type == "Point"
    assert crs.transform_box((106.7, 10.7, 106.7, 10.8), 4326, 9210).geom_type == "LineString"
    assert crs.transform_box((1, 2, 3, 4), 4326, 9210).is_empty
    assert crs.transform_box((-85, 37, -84, 38), 4326, 9210).is_empty
    same = crs.transform_box((1000, 2000000, 3000, 2000500), 9210, 9210)
    assert same.bounds == (1000, 2000000, 3000, 2000500)
    for bad in ((1, 2, 0, 3), (1, 2, 3, 1), (float("nan"), 0, 1, 1)):
        with pytest.raises(UsageError):
            crs.transform_box(bad, 4326, 9210)
    with pytest.raises(LimitError):
        crs.transform_box((102, 8, 110, 23), 4326, 9210, 1e-9)
