"""Vertices that come back as they were served stay as they are stored; those that moved, move."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import shapely
from hypothesis import given, settings

from gis import crs
from gis.edit import unchanged
from gis.edit.unchanged import keep_unchanged

STORAGE = 9210
CODES = [4326, STORAGE, 3857, 5899, 4756]
east, north = st.floats(590_000, 620_000), st.floats(1_180_000, 1_210_000)
places = st.lists(st.tuples(east, north), min_size=2, max_size=12, unique=True)


def served(shape: shapely.Geometry, code: int) -> shapely.Geometry:
    """As a GET shows it: 9 decimals of a degree, 4 of a metre."""
    digits = 4 if crs.definition(code).projected else 9
    moved = crs.transform_geometries(np.array([shape]), STORAGE, code)[0]
    return shapely.transform(moved, lambda c: np.round(c, digits), include_z=bool(shape.has_z))


def read_back(sent: shapely.Geometry, code: int) -> shapely.Geometry:
    made: shapely.Geometry = crs.transform_geometries(np.array([sent]), code, STORAGE)[0]
    return made


@pytest.mark.parametrize("code", CODES)
@settings(deadline=None, max_examples=40)
@given(places)
def test_what_was_served_is_what_is_stored(code: int, positions: list[tuple[float, float]]) -> None:
    stored = shapely.LineString(positions)
    sent = served(stored, code)
    assert keep_unchanged(read_back(sent, code), sent, stored, code, STORAGE) is stored
    # QGIS cuts degrees to six decimals
    coarse = shapely.transform(sent, lambda c: np.round(c, 6))
    kept = keep_unchanged(read_back(coarse, code), coarse, stored, code, STORAGE)
    apart = np.abs(shapely.get_coordinates(kept) - shapely.get_coordinates(stored)).max()
    close = shapely.get_coordinates(stored)
    nearest = min(
        (np.abs(close[i] - close[j]).max() for i in range(len(close)) for j in range(i)), default=1.0
    )
    assert kept is stored or nearest < 0.2, apart


@pytest.mark.parametrize("code", CODES)
def test_a_moved_vertex_moves(code: int) -> None:
    stored = shapely.LineString(
        [(600_000.123456, 1_190_000.5), (600_010.7, 1_190_001.2), (600_020, 1_190_000)]
    )
    moved = shapely.get_coordinates(stored)
    moved[1] += 0.01
    sent = served(shapely.LineString(moved), code)
    kept = shapely.get_coordinates(keep_unchanged(read_back(sent, code), sent, stored, code, STORAGE))
    assert np.array_equal(kept[[0, 2]], shapely.get_coordinates(stored)[[0, 2]])
    assert np.abs(kept[1] - moved[1]).max() < 0.001


def test_micrometres_of_the_storage_crs_are_kept() -> None:
    """A vertex that is sent with six decimals means them, also where it is near the stored one."""
    stored = shapely.Point(600_000.5, 1_190_000.5)
    sent = shapely.Point(600_000.500021, 1_190_000.5)
    assert keep_unchanged(sent, sent, stored, STORAGE, STORAGE).x == 600_000.500021


def test_a_new_vertex_between_old_ones() -> None:
    stored = shapely.Polygon([(600_000.00004, 1_190_000), (600_010, 1_190_000), (600_010, 1_190_010)])
    ring = [
        (600_000.0, 1_190_000.0),
        (600_005.0, 1_190_000.0),
        (600_010.0, 1_190_000.0),
        (600_010.0, 1_190_010.0),
    ]
    sent = shapely.Polygon(ring)
    kept = shapely.get_coordinates(keep_unchanged(sent, sent, stored, STORAGE, STORAGE))
    assert kept[0, 0] == kept[-1, 0] == 600_000.00004, "the ring stays closed"
    assert kept[1].tolist() == [600_005.0, 1_190_000.0]


def test_heights() -> None:
    stored = shapely.LineString([(600_000.00001, 1_190_000, 1.23456), (600_010, 1_190_000, 2.5)])
    sent = served(stored, STORAGE)
    assert keep_unchanged(sent, sent, stored, STORAGE, STORAGE) is stored
    raised = shapely.LineString([(600_000.0, 1_190_000.0, 1.2346), (600_010.0, 1_190_000.0, 2.6)])
    kept = shapely.get_coordinates(keep_unchanged(raised, raised, stored, STORAGE, STORAGE), include_z=True)
    assert kept.tolist() == [[600_000.00001, 1_190_000, 1.23456], [600_010, 1_190_000, 2.6]]
    flat = shapely.force_2d(sent)
    assert keep_unchanged(flat, flat, stored, STORAGE, STORAGE) is stored, (
        "heights are not lost to a flat client"
    )


def test_coarse_places_are_not_taken_for_rounded_ones() -> None:
    """600000 is not the stored 600000.4 rounded, nor 106.7 the stored 106.7004."""
    stored = shapely.Point(600_000.4, 1_190_000.4)
    sent = shapely.Point(600_000, 1_190_000)
    assert keep_unchanged(sent, sent, stored, STORAGE, STORAGE) is sent
    degrees = shapely.Point(106.67, 10.76)
    shape = read_back(degrees, 4326)
    beside = shapely.Point(shape.x + 0.2, shape.y)
    assert keep_unchanged(shape, degrees, beside, 4326, STORAGE) is shape


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_few_vertices_are_matched_like_many(data: st.DataObject) -> None:
    """Pairs that are compared one by one, and those that a tree finds."""
    grid = st.integers(0, 4).map(lambda n: n * 0.6)
    places = st.lists(st.tuples(grid, grid), min_size=1, max_size=9)
    new, old = (np.array(data.draw(places), dtype=float) for _ in range(2))
    old[data.draw(st.integers(0, len(old) - 1))] = data.draw(st.sampled_from([0.6, np.nan, np.inf]))
    half = np.full(new.shape, data.draw(st.sampled_from([0.1, 0.7])))
    with pytest.MonkeyPatch.context() as patch:
        few = unchanged._nearest(new, old, half)
        patch.setattr(unchanged, "_FEW_PAIRS", -1)
        assert few.tolist() == unchanged._nearest(new, old, half).tolist()
