"""The tile grid against figures from elsewhere: the OGC standard, and another way of computing it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gis.errors import NotFoundError, UsageError
from tiles import grid
from tiles.grid import Tile, parse_tile, tile_at


def test_the_grid_is_that_of_the_standard() -> None:
    """Scale denominators and cell sizes of OGC 17-083r4, table D.1."""
    matrices = grid.definition()["tileMatrices"]
    assert [m["id"] for m in matrices] == [str(z) for z in range(23)]
    for z, scale, cell in (
        (0, 559082264.028717, 156543.033928041),
        (12, 136494.693366386, 38.2185141425881),
        (22, 133.295598990, 0.0373227677173),
    ):
        assert matrices[z]["scaleDenominator"] == pytest.approx(scale, rel=1e-11)
        assert matrices[z]["cellSize"] == pytest.approx(cell, rel=1e-11)
        assert matrices[z]["matrixWidth"] == 2**z
    assert matrices[5]["pointOfOrigin"] == pytest.approx([-20037508.3427892, 20037508.3427892])


def test_a_known_tile() -> None:
    """Ben Thanh market, worked out by hand: 0.796383 x 32768 columns, 0.469898 x 32768 rows."""
    assert tile_at(106.698, 10.7725, 15) == Tile(15, 26095, 15397)
    west, south, east, north = Tile(1, 1, 0).box()
    assert (west, south) == (0, 0)
    assert (east, north) == pytest.approx((20037508.342789244, 20037508.342789244))


@given(lon=st.floats(-180, 179.999), lat=st.floats(-85, 85), z=st.integers(0, 22))
def test_a_tile_holds_the_point_it_was_found_by(lon: float, lat: float, z: int) -> None:
    x = math.radians(lon) * 6378137
    y = math.log(math.tan(math.pi / 4 + math.radians(lat) / 2)) * 6378137
    west, south, east, north = tile_at(lon, lat, z).box()
    slack = 1e-6
    assert west - slack <= x <= east + slack
    assert south - slack <= y <= north + slack


@given(z=st.integers(0, 22), data=st.data())
def test_neighbours_touch_and_buffers_overlap(z: int, data: st.DataObject) -> None:
    last = 2**z - 1
    x, y = data.draw(st.integers(0, last)), data.draw(st.integers(0, last))
    tile = Tile(z, x, y)
    if x < last:
        assert tile.box()[2] == pytest.approx(Tile(z, x + 1, y).box()[0], abs=1e-6)
    if y < last:  # the next row lies south
        assert tile.box()[1] == pytest.approx(Tile(z, x, y + 1).box()[3], abs=1e-6)
    assert tile.box(4096)[0] == pytest.approx(tile.box()[0] - tile.side)


@pytest.mark.parametrize(
    ("z", "y", "x"), [("1.5", "0", "0"), ("-1", "0", "0"), ("a", "0", "0"), ("0", "", "0"), ("0", "0", "1e3")]
)
def test_what_is_not_a_number_is_refused(z: str, y: str, x: str) -> None:
    with pytest.raises(UsageError):
        parse_tile(z, y, x)


@pytest.mark.parametrize("text", ["٣", "0x1", " 1", "1 ", "+1", "1_0", "9" * 400])
def test_what_python_takes_for_a_number_is_refused_too(text: str) -> None:
    with pytest.raises(UsageError):
        parse_tile("3", text, "1")


@pytest.mark.parametrize(
    ("z", "y", "x"), [("23", "0", "0"), ("99", "0", "0"), ("0", "1", "0"), ("5", "32", "0"), ("5", "0", "32")]
)
def test_what_does_not_exist_is_not_found(z: str, y: str, x: str) -> None:
    with pytest.raises(NotFoundError):
        parse_tile(z, y, x)


def test_the_row_comes_before_the_column() -> None:
    assert parse_tile("15", "15397", "26095") == Tile(15, 26095, 15397)


def test_limits_hold_the_extent_and_nothing_more() -> None:
    extent = (106.25, 8.5, 107.7, 11.6)
    (limit,) = grid.limits(extent, 12, 12)
    inside = Tile(12, limit["minTileCol"], limit["minTileRow"])
    assert tile_at(106.25, 11.6, 12) == inside
    assert tile_at(107.7, 8.5, 12) == Tile(12, limit["maxTileCol"], limit["maxTileRow"])
    assert limit["minTileRow"] < limit["maxTileRow"]
