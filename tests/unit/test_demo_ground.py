"""The demo's elevation model and picture: they agree with what its layers say of the same places."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from gis.demo.photo import photo
from gis.demo.plan import Plan, make_plan
from gis.demo.rasters import ELEVATION, PHOTO, step_of
from gis.demo.relief import FINE, WATER_LEVEL, Model, local, model
from gis.settings import Settings
from tests.demo_city import DemoCity, build

#: Two superblocks.
PARCELS = 4_000


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoCity:
    settings = Settings.from_env({}, data_dir=tmp_path_factory.mktemp("data"))
    city = settings.load_city()
    return build(make_plan(PARCELS, 1), city, settings.load_catalogue(city))


@pytest.fixture(scope="module")
def ground(demo: DemoCity) -> Model:
    return model(demo.plan, demo.frame, FINE)


def heights_at(ground: Model, east: np.ndarray, north: np.ndarray) -> np.ndarray:
    """Between the middles of four cells, as /elevation answers."""
    column, row = (east - ground.west) / ground.cell - 0.5, (ground.north - north) / ground.cell - 0.5
    i, j = np.floor(row).astype(int), np.floor(column).astype(int)
    a, b, h = row - i, column - j, ground.heights.astype(float)
    upper = h[i, j] * (1 - b) + h[i, j + 1] * b
    lower = h[i + 1, j] * (1 - b) + h[i + 1, j + 1] * b
    return np.asarray(upper * (1 - a) + lower * a)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        ("drainage_manhole", "ground_level_m"),
        ("drainage_inlet", "ground_level_m"),
        ("drainage_outfall", "ground_level_m"),
        ("telecom_chamber", "ground_level_m"),
        ("base_spot_height", "elevation_m"),
    ],
)
def test_the_ground_is_where_the_networks_say(demo: DemoCity, ground: Model, layer: str, name: str) -> None:
    rows = demo[layer]
    said = np.array([one[name] for one in rows.attributes])
    found = heights_at(ground, shapely.get_x(rows.array), shapely.get_y(rows.array))
    assert len(said) and np.abs(found - said).max() < 0.005


def test_there_is_more_to_see_than_a_plane(demo: DemoCity, ground: Model) -> None:
    canal = demo["drainage_channel"].array
    middles = shapely.line_interpolate_point(canal, 0.5, normalized=True)
    water = heights_at(ground, shapely.get_x(middles), shapely.get_y(middles))
    assert water == pytest.approx(WATER_LEVEL, abs=0.01)
    for shape, row in zip(demo["drainage_basin"].geoms, demo["drainage_basin"].attributes, strict=True):
        middle = shape.centroid
        (bottom,) = heights_at(ground, np.array([middle.x]), np.array([middle.y]))
        assert bottom == pytest.approx(row["bottom_level_m"], abs=0.01)
    assert np.nanmax(ground.heights) > 3, "hills in parks"
    assert np.array_equal(ground.heights, model(demo.plan, demo.frame, FINE).heights, equal_nan=True)
    other = model(make_plan(PARCELS, 2), demo.frame, FINE)
    assert not np.array_equal(ground.heights, other.heights, equal_nan=True)


def test_the_picture_shows_what_the_layers_have(demo: DemoCity) -> None:
    canvas = photo(demo.plan, 0.5)

    def colours(layer: str) -> np.ndarray:
        """Mean colour at places inside the layer's shapes."""
        middles = shapely.point_on_surface(demo[layer].array)
        places = [
            local(demo.frame, np.array([one.x]), np.array([one.y]))
            for one in middles[:: max(1, len(middles) // 300)]
        ]
        x, y = (np.array([float(place[k][0, 0]) for place in places]) for k in (0, 1))
        rows, columns = ((canvas.y - y) / 0.5).astype(int), ((x - canvas.x) / 0.5).astype(int)
        return np.asarray(canvas.pixels[rows, columns].mean(axis=0))

    road, water, house = colours("base_road"), colours("base_waterbody"), colours("base_building")
    assert np.ptp(road) < 12, "grey"
    assert water[1] > water[0] + 8 and water[1] > water[2] + 8, "green"
    assert house.mean() > road.mean() + 30
    assert np.array_equal(canvas.pixels, photo(demo.plan, 0.5).pixels)


def test_resolution_follows_the_size_of_the_city() -> None:
    plans = [Plan(1, 0, columns, (2_000,) * columns**2) for columns in (1, 2, 10, 50)]
    steps = [(step_of(plan, ELEVATION), step_of(plan, PHOTO)) for plan in plans]
    assert steps == [(2.0, 0.5), (2.0, 0.5), (10.0, 5.0), (50.0, 20.0)]
