"""The demo city's plan, base map, cadastre and attributes: counted, deterministic, free of errors."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import replace
from datetime import date, datetime

import numpy as np
import pytest
import shapely

from gis.city import City
from gis.demo.encode import Shape, encode
from gis.demo.generate import LAYERS, make
from gis.demo.names import street_name
from gis.demo.parcels import area
from gis.demo.plan import Plan, make_plan
from gis.demo.plan import frame as make_frame
from gis.errors import ConfigError, UsageError
from gis.settings import Settings
from layers.registry import Catalogue
from tests.demo_city import DemoCity, build

#: Seven superblocks in three rows, the last one partly built.
PARCELS = 13_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> tuple[City, Catalogue]:
    settings = Settings.from_env({}, data_dir=tmp_path_factory.mktemp("data"))
    city = settings.load_city()
    return city, settings.load_catalogue(city)


@pytest.fixture(scope="module")
def demo(home: tuple[City, Catalogue]) -> DemoCity:
    return build(make_plan(PARCELS, 1), *home)


# --- plan ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parcels", [1, 2, 3, 39, 40, 41, 999, 2_100, 5_000, 12_345])
def test_there_are_exactly_as_many_parcels_as_asked_for(parcels: int) -> None:
    plan = make_plan(parcels, 7)
    made = sum(b.parcels for b in plan.superblocks())
    rows = sum(len(r) for n in range(len(plan.counts)) for r in make(plan, n) if r.layer == "cadastre_parcel")
    assert made == rows == parcels


@pytest.mark.parametrize("parcels", [0, -1, 5_000_001])
def test_impossible_numbers_are_refused(parcels: int) -> None:
    with pytest.raises(UsageError, match="1 to 5,000,000"):
        make_plan(parcels, 1)


def test_a_city_without_an_anchor_is_told_what_to_add(home: tuple[City, Catalogue]) -> None:
    with pytest.raises(ConfigError, match="demo_anchor"):
        make_frame(home[0].model_copy(update={"demo_anchor": None}), 1, 1)


def test_a_large_city_lies_inside_its_extent(home: tuple[City, Catalogue]) -> None:
    from gis import crs

    plan = make_plan(1_000_000, 1)
    frame = make_frame(home[0], plan.columns, plan.rows)
    from gis.demo.plan import SUPER_X, SUPER_Y

    corners = np.array([[x, y] for x in (0, plan.columns * SUPER_X) for y in (0, plan.rows * SUPER_Y)], float)
    placed = frame.place(corners)
    lon, lat = crs.transform_xy(placed[:, 0], placed[:, 1], home[0].crs.storage, 4326)
    west, south, east, north = home[0].extent
    assert west < lon.min() and lon.max() < east and south < lat.min() and lat.max() < north


def bytes_of(plan: Plan, index: int, home: tuple[City, Catalogue]) -> list[bytes]:
    city, catalogue = home
    shapes = {name: Shape.of(catalogue.layers[name], 1) for name in LAYERS}
    frame = make_frame(city, plan.columns, plan.rows)
    return [e.body for e in encode(make(plan, index), frame, shapes, city.crs.storage)]


def test_a_superblock_is_the_same_whenever_it_is_made(home: tuple[City, Catalogue]) -> None:
    plan = make_plan(PARCELS, 1)
    first = bytes_of(plan, 3, home)
    for other in (0, 4):
        make(plan, other)
    assert bytes_of(make_plan(PARCELS, 1), 3, home) == first


def test_the_seed_makes_the_city(home: tuple[City, Catalogue]) -> None:
    assert bytes_of(make_plan(PARCELS, 1), 0, home) != bytes_of(make_plan(PARCELS, 2), 0, home)


def test_a_layer_that_a_city_dropped_is_left_out_and_a_wrong_field_is_named(
    home: tuple[City, Catalogue],
) -> None:
    city, catalogue = home
    plan = make_plan(100, 1)
    frame = make_frame(city, plan.columns, plan.rows)
    road = Shape.of(catalogue.layers["base_road"], 1)
    assert {e.layer for e in encode(make(plan, 0), frame, {"base_road": road}, 9210)} == {"base_road"}
    less = replace(road, fields=tuple(f for f in road.fields if f.name != "lanes"))
    with pytest.raises(KeyError, match="base_road has no lanes"):
        list(encode(make(plan, 0), frame, {"base_road": less}, 9210))


def test_every_layer_that_people_fill_is_filled(home: tuple[City, Catalogue]) -> None:
    loadable = {layer.id for layer in home[1].layers.values() if layer.definition.loadable}
    assert set(LAYERS) == loadable - {"finding"}
    plan = make_plan(30_000, 1)
    filled = set().union(*(make(plan, n).layers() for n in range(len(plan.counts))))
    assert filled == set(LAYERS)


# --- identity and attributes -----------------------------------------------------------------------------


def test_ids_keys_and_geometries_are_unique(demo: DemoCity) -> None:
    for layer, rows in demo.layers.items():
        assert len(set(rows.ids)) == len(rows), layer
        assert len({shapely.to_wkb(shapely.normalize(g)) for g in rows.geoms}) == len(rows), layer
    parcels = demo["cadastre_parcel"].attributes
    keys = Counter((a["legacy_commune_code"], a["sheet_no"], a["parcel_no"]) for a in parcels)
    assert max(keys.values()) == 1


def test_values_are_those_that_the_layers_allow(demo: DemoCity, home: tuple[City, Catalogue]) -> None:
    kinds = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "date": str}
    for name, rows in demo.layers.items():
        layer = home[1].layers[name]
        fields = {f.name: f for f in layer.fields}
        for asset_id, attributes in zip(rows.ids, rows.attributes, strict=True):
            for f in fields.values():
                value = attributes.get(f.name)
                where = f"{name} {asset_id} {f.name} {value!r}"
                if value is None:
                    assert not f.required, where
                    continue
                if f.type == "date":
                    date.fromisoformat(value)
                elif f.type == "datetime":
                    assert datetime.fromisoformat(value).tzinfo is not None, where
                else:
                    assert isinstance(value, kinds[f.type]), where
                if f.domain:
                    assert value in {v.value for v in layer.domain_of(f)}, where
                if f.type == "string":
                    assert f.max_length is None or len(value) <= f.max_length, where
                    assert unicodedata.is_normalized("NFC", value), where
                if f.minimum is not None:
                    assert value >= f.minimum, where
                if f.maximum is not None:
                    assert value <= f.maximum, where
            assert not set(attributes) - set(fields), f"{name} {asset_id}"


def test_occupancy_never_exceeds_capacity(demo: DemoCity) -> None:
    for layer, used, capacity in (
        ("telecom_duct", "ducts_used", "duct_count"),
        ("underground_duct", "ducts_used", "duct_count"),
        ("telecom_cable", "fibres_used", "fibre_count"),
        ("telecom_cabinet", "capacity_used", "capacity"),
        ("underground_trench", "occupancy", "occupancy_max"),
        ("underground_tunnel", "occupancy", "occupancy_max"),
    ):
        assert len(demo[layer])
        assert all(a[used] <= a[capacity] for a in demo[layer].attributes), layer


def test_street_names_never_repeat() -> None:
    assert len({street_name(n) for n in range(5_000)}) == 5_000


# --- cadastre --------------------------------------------------------------------------------------------


def test_parcels_cover_the_blocks_without_overlap_gap_or_t_vertex(demo: DemoCity) -> None:
    parcels = demo["cadastre_parcel"].array
    assert shapely.is_valid(parcels).all()
    # Position limit at 1:500: 7 cm. A narrower gap would be one.
    assert shapely.coverage_is_valid(parcels, gap_width=0.07)
    blocks = shapely.unary_union(demo["base_landuse"].array)
    covered = shapely.coverage_union_all(parcels)
    assert shapely.difference(covered, shapely.buffer(blocks, 0.002)).area == 0


def test_legal_areas_are_the_areas(demo: DemoCity) -> None:
    rows = demo["cadastre_parcel"]
    legal = np.array([a["legal_area_m2"] for a in rows.attributes])
    # The tightest tolerance of the law at 1:500 is 0.25 m2; the grid's scale and rounding take 0.1.
    assert np.abs(legal - shapely.area(rows.array)).max() < 0.1
    assert area([(0.0, 0.0), (4.0, 0.0), (4.0, 3.0), (0.0, 3.0)]) == 12.0


@pytest.mark.parametrize("layer", ["cadastre_building", "base_building"])
def test_buildings_stand_within_their_own_parcel(demo: DemoCity, layer: str) -> None:
    parcels = demo["cadastre_parcel"].by_id()
    rows = demo[layer]
    own = [parcels["TD-" + asset_id.split("-", 1)[1]][0] for asset_id in rows.ids]
    assert shapely.contains_properly(np.array(own, dtype=object), rows.array).all()


def test_boundary_points_stand_on_corners_of_parcels(demo: DemoCity) -> None:
    corners = {tuple(c) for c in shapely.get_coordinates(demo["cadastre_parcel"].array)}
    assert {tuple(c) for c in shapely.get_coordinates(demo["cadastre_boundary_point"].array)} <= corners


@pytest.mark.parametrize("parcels", [300, PARCELS, 38_000])
def test_wards_and_districts_cover_the_city_exactly(home: tuple[City, Catalogue], parcels: int) -> None:
    from gis.demo.admin import add_admin
    from gis.demo.features import Features
    from tests.demo_city import on_the_ground

    plan = make_plan(parcels, 1)
    out = Features()
    for block in plan.superblocks():
        add_admin(out, plan, block)
    city = on_the_ground([out], plan, make_frame(home[0], plan.columns, plan.rows), home[1])
    (outline,) = city["admin_city"].geoms
    for layer in ("admin_ward", "admin_district_old"):
        pieces = shapely.get_parts(city[layer].array)
        assert shapely.coverage_is_valid(pieces, gap_width=1.0), layer
        whole = shapely.coverage_union_all(pieces)
        assert shapely.equals(whole, outline), layer
    assert len(city["admin_ward"]) == len(plan.counts)


def test_every_parcel_lies_in_the_ward_that_it_names(demo: DemoCity) -> None:
    wards = {
        a["commune_code"]: g
        for g, a in zip(demo["admin_ward"].geoms, demo["admin_ward"].attributes, strict=True)
    }
    rows = demo["cadastre_parcel"]
    named = np.array([wards[a["commune_code"]] for a in rows.attributes], dtype=object)
    assert shapely.covers(named, rows.array).all()


def test_roads_are_split_at_junctions(demo: DemoCity) -> None:
    roads = demo["base_road"].array
    assert all(len(g.geoms) == 1 for g in roads)
    tree = shapely.STRtree(roads)
    for a, b in tree.query(roads, predicate="crosses").T:
        raise AssertionError(f"{demo['base_road'].ids[a]} crosses {demo['base_road'].ids[b]}")
    for a, b in tree.query(roads, predicate="overlaps").T:
        raise AssertionError(f"{demo['base_road'].ids[a]} overlaps {demo['base_road'].ids[b]}")
