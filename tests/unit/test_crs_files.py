"""What files say about their CRS, and what their coordinates say about it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pyproj
import pytest
import shapely

from gis import crs
from gis.crs.identify import identify

EXTENT = (106.25, 8.50, 107.70, 11.60)
OFFERED = (5899, 5897, 5898, 3405, 3406, 4756)
TM = "+proj=tmerc +lat_0=0 +lon_0=105.75 +k=0.9999 +x_0=500000 +y_0=0 +units=m +no_defs"
TOWGS84 = "-191.90441429,-39.30318279,-111.45032835,0.00928836,-0.01975479,0.00427372,0.252906278"
WRONG_SIGNS = "-191.90441429,-39.30318279,-111.45032835,-0.00928836,0.01975479,-0.00427372,0.252906278"

#: As ArcGIS 10 writes it, with the custom names that surveyors give.
ARCGIS = (
    'PROJCS["HCM_VN2000",GEOGCS["GCS_VN_2000",DATUM["D_Vietnam_2000",SPHEROID["WGS_1984",6378137.0,'
    '298.257223563]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],'
    'PROJECTION["Transverse_Mercator"],PARAMETER["False_Easting",500000.0],PARAMETER["False_Northing",0.0],'
    'PARAMETER["Central_Meridian",105.75],PARAMETER["Scale_Factor",0.9999],'
    'PARAMETER["Latitude_Of_Origin",0.0],UNIT["Meter",1.0]]'
)
MAPINFO = (
    'PROJCS["unnamed",GEOGCS["unnamed",DATUM["MIF 9999,28,-191.90441429,-39.30318279,-111.45032835,'
    '-0.00928836,0.01975479,-0.00427372,0.252906278,0",SPHEROID["WGS 84 (MAPINFO Datum 0)",6378137.01,'
    "298.257223563],TOWGS84[-191.90441429,-39.30318279,-111.45032835,0.00928836,-0.01975479,0.00427372,"
    '0.252906278]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],'
    'PROJECTION["Transverse_Mercator"],PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",105.75],'
    'PARAMETER["scale_factor",0.9999],PARAMETER["false_easting",500000],PARAMETER["false_northing",0],'
    'UNIT["metre",1]]'
)


def epsg(code: int, version: str) -> str:
    return str(pyproj.CRS.from_epsg(code).to_wkt(version))


@pytest.mark.parametrize("version", ["WKT1_GDAL", "WKT1_ESRI", "WKT2_2015", "WKT2_2019"])
@pytest.mark.parametrize("code", [c.code for c in crs.registry()])
def test_every_known_crs_is_recognised(code: int, version: str) -> None:
    assert identify(epsg(code, version)).code == code


@pytest.mark.parametrize("code", [9210, 4756, 3405, 3547, 4326])
def test_our_own_texts_are_recognised(code: int) -> None:
    assert identify(crs.gdal_user_crs(code)).code == code


def test_our_own_rows_are_recognised() -> None:
    for row in crs.spatial_ref_rows():
        assert identify(row.srtext).code == row.srid
        if crs.definition(row.srid).datum.shift != "none":
            assert identify(row.proj4text).code == row.srid


@pytest.mark.parametrize(
    "text",
    [
        ARCGIS,
        ARCGIS.replace("298.257223563]]", f"298.257223563],TOWGS84[{TOWGS84}]]"),
        ARCGIS.replace("298.257223563]]", f"298.257223563],TOWGS84[{WRONG_SIGNS}]]"),
        ARCGIS.replace("298.257223563]]", "298.257223563],TOWGS84[0,0,0,0,0,0,0]]"),
        ARCGIS.replace("D_Vietnam_2000", "D_VN_2000"),
        ARCGIS.replace("HCM_VN2000", "unknown"),
        MAPINFO,
        f"{TM} +ellps=WGS84 +towgs84={TOWGS84}",
        f"{TM} +ellps=WGS84 +towgs84={WRONG_SIGNS}",
        f"{TM} +ellps=WGS84 +towgs84=-191.90441429,-39.30318279,-111.45032835",
        "urn:ogc:def:crs:EPSG::9210",
    ],
)
def test_variants_of_9210(text: str) -> None:
    assert identify(text).code == 9210


def test_a_horizontal_crs_with_heights() -> None:
    assert identify(pyproj.CRS("EPSG:9210+5727").to_wkt()).code == 9210
    assert identify(pyproj.CRS("EPSG:4979").to_wkt()).code == 4326
    assert identify(pyproj.CRS("ESRI:102100").to_wkt()).code == 3857


@pytest.mark.parametrize(
    ("text", "how"),
    [
        # The usual sloppy .prj: WGS 84 named as the datum of a VN-2000 zone.
        (ARCGIS.replace("D_Vietnam_2000", "D_WGS_1984"), "EPSG:9210"),
        (f"{TM} +datum=WGS84", "EPSG:9210"),
        (f"{TM} +ellps=WGS84", "EPSG:9210"),
        (f"{TM} +ellps=krass", "EPSG:9210"),
        (f"{TM} +ellps=krass +towgs84={TOWGS84}", "EPSG:9210"),
        (f"{TM} +ellps=WGS84 +pm=paris +towgs84={TOWGS84}", "not one that maps use"),
        (f"{TM.replace('units=m', 'units=km')} +ellps=WGS84 +towgs84={TOWGS84}", "matches none"),
        (epsg(9210, "WKT2_2019").replace("105.75", "107.75"), "are not those"),
        (epsg(2193, "WKT1_GDAL"), "EPSG:2193"),
        (epsg(2193, "WKT1_ESRI"), "matches none"),
        ('LOCAL_CS["drawing",UNIT["metre",1]]', "not one that maps use"),
        ("PROJCS[", "cannot be read"),
        ("x" * 200_000, "cannot be read"),
        ("", "does not say"),
        (None, "does not say"),
    ],
)
def test_what_is_not_certain_is_left_to_the_user(text: str | None, how: str) -> None:
    got = identify(text)
    assert got.code is None
    assert how in got.how


def test_real_files(shared_data: Path) -> None:
    files = {"hcmc_wards_2025.gpkg": 4326, "wntr_ky4/ky4_pipes.geojson": 3547,
             "power/camau_power_osm.geojson": 4326,
             "drainage/bellinge_small_subcatchments.geojson": 32632}  # fmt: skip
    for name, code in files.items():
        info: dict[str, Any] = pyogrio.read_info(shared_data / name)
        assert identify(info["crs"]).code == code, name


@pytest.mark.parametrize(
    ("driver", "name"),
    [("ESRI Shapefile", "a.shp"), ("GPKG", "a.gpkg"), ("FlatGeobuf", "a.fgb"), ("MapInfo File", "a.tab"),
     ("MapInfo File", "a.mif")],
)  # fmt: skip
@pytest.mark.parametrize("code", [9210, 5899, 3405, 4756, 4326])
def test_files_that_gdal_writes(tmp_path: Path, driver: str, name: str, code: int) -> None:
    """Through each format's own way of keeping a CRS, from our pinned definition."""
    x, y = crs.transform_xy([106.7, 106.71], [10.7, 10.71], 4326, code)
    points = shapely.to_wkb(shapely.points(x, y))
    path = tmp_path / name
    pyogrio.raw.write(
        path, points, [np.array([1, 2])], ["n"], driver=driver, geometry_type="Point",
        crs=crs.gdal_user_crs(code),
    )  # fmt: skip
    assert identify(pyogrio.read_info(path)["crs"]).code == code
    got = np.sort(shapely.get_coordinates(shapely.from_wkb(pyogrio.raw.read(path)[2])), axis=0)
    assert np.abs(got - np.column_stack([x, y])).max() < (2e-2 if name == "a.tab" else 1e-6)


# --- which mistake? --------------------------------------------------------------------------------

RNG = np.random.default_rng(7)
#: A thousand places in the built-up city, longitude and latitude.
PLACES = np.column_stack([RNG.uniform(106.6, 106.85, 1000), RNG.uniform(10.70, 10.95, 1000)])


def places(code: int, lonlat: np.ndarray = PLACES) -> np.ndarray:
    return np.column_stack(crs.transform_xy(lonlat[:, 0], lonlat[:, 1], 4326, code))


def diagnose(xy: np.ndarray, declared: int, **more: Any) -> crs.Diagnosis:
    return crs.diagnose(xy, declared, EXTENT, 9210, offered=OFFERED, **more)


@pytest.mark.parametrize("code", [9210, 5899, 5897, 3405, 4756, 4326, 3857])
def test_right_files_are_right(code: int) -> None:
    got = diagnose(places(code), code)
    assert (got.ok, got.mistake, got.inside) == (True, None, 1.0)


@pytest.mark.parametrize("outliers", [1, 30, 499])
def test_outliers_do_not_refuse_a_file(outliers: int) -> None:
    xy = places(9210)
    xy[:outliers] = 0.0
    assert diagnose(xy, 9210).ok
    xy[:outliers] = np.nan
    assert diagnose(xy, 9210).inside == 1.0


@pytest.mark.parametrize(
    ("xy", "declared", "mistake", "code", "swap"),
    [
        (places(9210)[:, ::-1], 9210, "swapped-axes", 9210, True),
        (places(3405)[:, ::-1], 3405, "swapped-axes", 3405, True),
        (places(4326)[:, ::-1], 4326, "swapped-axes", 4326, True),
        (places(9210), 3405, "other-zone", 9210, False),
        (places(9210), 5897, "other-zone", 9210, False),
        (places(9210), 5898, "other-zone", 9210, False),
        (places(9210), 5899, "other-zone", 9210, False),
        (places(5899), 9210, "other-zone", 5899, False),
        (places(3406), 9210, "other-zone", 3406, False),
        (places(5899)[:, ::-1], 9210, "swapped-axes-and-zone", 5899, True),
        (places(4326), 9210, "degrees-as-metres", 4326, False),
        (places(4326)[:, ::-1], 9210, "degrees-as-metres", 4326, True),
        (places(9210), 4326, "metres-as-degrees", 9210, False),
        (places(9210), 4756, "metres-as-degrees", 9210, False),
        (places(9210)[:, ::-1], 4326, "metres-as-degrees", 9210, True),
        (places(9210) * 1000, 9210, "millimetres", 9210, False),
        (places(9210) - [600000, 1190000], 9210, "local-coordinates", None, False),
        (places(9210, PLACES - [0.85, -10.2]), 9210, "outside-city", None, False),
        (np.zeros((5, 2)) * np.nan, 9210, "no-coordinates", None, False),
        (np.full((5, 2), 1e30), 9210, "outside-city", None, False),
        (np.full((5, 2), 1e30), 4326, "outside-city", None, False),
    ],
)  # fmt: skip
def test_the_mistake_is_named(
    xy: np.ndarray, declared: int, mistake: str, code: int | None, swap: bool
) -> None:
    got = diagnose(xy, declared)
    assert not got.ok
    assert (got.mistake, got.code, got.swap) == (mistake, code, swap), got
    assert "\n" not in got.message
    if code is not None and mistake != "millimetres":
        # The hint must work when followed.
        tried = xy[:, ::-1] if swap else xy
        assert diagnose(tried, code).ok
        assert got.hint and f"--crs EPSG:{code}" in got.hint


def test_another_province_is_outside_and_told_where(shared_data: Path) -> None:
    _, _, wkb, _ = pyogrio.raw.read(shared_data / "power/camau_power_osm.geojson")
    got = diagnose(shapely.get_coordinates(shapely.from_wkb(wkb)), 4326)
    assert (got.ok, got.mistake) == (False, "outside-city")
    assert "outside the city's extent" in got.message and "near 105." in got.message


def test_another_city_in_feet() -> None:
    lonlat = np.column_stack([RNG.uniform(-84.6, -84.4, 50), RNG.uniform(37.9, 38.1, 50)])
    xy, extent = places(3547, lonlat), (-85.0, 37.5, -84.0, 38.5)
    assert crs.diagnose(xy, 3547, extent, 3547).ok
    assert crs.diagnose(xy[:, ::-1], 3547, extent, 3547).mistake == "swapped-axes"
    assert crs.diagnose(lonlat, 3547, extent, 3547).mistake == "degrees-as-metres"


def shift(metres: float, azimuth: float) -> tuple[float, float]:
    return metres * math.sin(math.radians(azimuth)), metres * math.cos(math.radians(azimuth))


@pytest.mark.parametrize(
    ("metres", "azimuth", "mistake"),
    [
        # domain/crs.md, at Ben Thanh: VN-2000 wrongly made into WGS 84; opposite on the way back.
        (225.5, 300, "null-shift"),
        (225.5, 120, "null-shift"),
        (451.0, 300, "reversed-shift"),
        (0.80, 87, "epsg-5194"),
        (0.80, 267, "epsg-5194"),
        (0.545, 249, "rotation-signs"),
        (0.545, 69, "rotation-signs"),
        (0.27, 249, "three-parameters"),
        (0.02, 10, None),
        (0.55, 160, None),
        (225.5, 200, None),
        (30.0, 300, None),
        (5000.0, 300, None),
    ],
)
def test_fingerprints(metres: float, azimuth: float, mistake: str | None) -> None:
    assert crs.fingerprint(*shift(metres, azimuth)) == mistake


def test_a_null_shift_is_found_against_known_points() -> None:
    """A file whose longitudes are VN-2000's, given out as WGS 84: in the city, and 225 m off."""
    vn = places(4756)
    right = places(9210)
    got = diagnose(vn, 4326, reference=crs.Reference(vn[:50], right[:50]))
    assert (got.ok, got.mistake) == (False, "null-shift")
    assert "225" in got.message
    assert diagnose(vn, 4326).ok, "without a reference it cannot be told"
    good = places(4326)
    assert diagnose(good, 4326, reference=crs.Reference(good[:50], right[:50])).ok


def test_an_unpinned_delivery_is_found_against_known_points() -> None:
    unpinned = pyproj.Transformer.from_crs("EPSG:9210", "EPSG:4326", always_xy=True)
    right = places(9210)
    wrong = np.column_stack(unpinned.transform(right[:, 0], right[:, 1]))
    got = diagnose(wrong, 4326, reference=crs.Reference(wrong, right))
    assert (got.ok, got.mistake) == (False, "epsg-5194")


def test_noise_is_no_fingerprint() -> None:
    right, good = places(9210), places(4326)
    noisy = good + RNG.normal(0, 2e-5, good.shape)
    assert diagnose(noisy, 4326, reference=crs.Reference(noisy, right)).ok
