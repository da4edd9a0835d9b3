"""tiles.marks: nothing that changed is ever taken for unchanged, however little memory there is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gis.crs import WEB_MERCATOR, Box, transform_xy
from tiles import marks
from tiles.grid import Tile, tile_at
from tiles.marks import Marks, covered, web_boxes

STORAGE = 9210
BUFFER = 64
#: Around the city, EPSG:3857.
WEST, SOUTH = 11_860_000.0, 1_195_000.0

boxes = st.builds(
    lambda x, y, w, h: (WEST + x, SOUTH + y, WEST + x + w, SOUTH + y + h),
    st.floats(0, 30_000),
    st.floats(0, 30_000),
    st.one_of(st.just(0.0), st.floats(0, 300), st.floats(0, 40_000)),
    st.floats(0, 300),
)
changes = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), boxes), min_size=1, max_size=40)


def meets(box: Box, tile: Tile, buffer: int) -> bool:
    west, south, east, north = tile.box(buffer)
    return box[0] <= east and box[2] >= west and box[1] <= north and box[3] >= south


@given(boxes, st.integers(0, 20))
def test_covered_holds_all_tiles_that_meet_the_box(box: Box, z: int) -> None:
    found = covered(box, z, BUFFER)
    for x in range(max(0, found.first_x - 1), found.last_x + 2, max(1, (found.last_x - found.first_x) // 3)):
        for y in (found.first_y - 1, found.first_y, found.last_y, found.last_y + 1):
            if x < 1 << z and 0 <= y < 1 << z and meets(box, Tile(z, x, y), BUFFER):
                assert found.first_x <= x <= found.last_x
                assert found.first_y <= y <= found.last_y


def test_covered_is_close() -> None:
    point = (WEST, SOUTH, WEST, SOUTH)
    assert all(1 <= covered(point, z, BUFFER).number <= 4 for z in range(23))
    assert len(list(covered(point, 16, BUFFER).tiles())) == covered(point, 16, BUFFER).number
    assert covered((3e7, 3e7, 3e7, 3e7), 5, BUFFER).number == 0


edge = st.sampled_from([-marks.HALF, marks.HALF, -2.5e7, 2.5e7, 0.0, 1.0, -marks.HALF + 1e-3])


@given(st.one_of(boxes, st.builds(lambda x, y: (x, y, x, y), edge, edge)))
def test_marked_is_what_is_covered(box: Box) -> None:
    """Level by level: no tile less, and none more."""
    kept = Marks()
    kept.mark("a", [box], 1, BUFFER)
    if covered(box, marks.DEEPEST, BUFFER).number > marks.MOST_OF_A_BOX:
        assert len(kept) == 0
        return
    wanted = [tile for z in range(marks.DEEPEST + 1) for tile in covered(box, z, BUFFER).tiles()]
    assert len(kept) == len(wanted)
    assert all(kept.last(["a"], tile) == 1 for tile in wanted)


@settings(max_examples=60, deadline=None)
@given(changes, st.sampled_from([20, 300, 100_000]), st.data())
def test_what_changed_is_known(made: list[tuple[str, Box]], most: int, data: st.DataObject) -> None:
    """With however little room, and after letting go of the first half: against a plain list."""
    kept = Marks(most=most)
    for number, (layer, box) in enumerate(made, start=1):
        kept.mark(layer, [box], number, BUFFER)
        assert len(kept) <= max(most, 3)  # at level 0 there is one tile a layer
    forgotten = data.draw(st.sampled_from([0, len(made) // 2]))
    kept.forget(forgotten)
    z = data.draw(st.integers(8, 19))
    _, box = data.draw(st.sampled_from(made))
    x0, y0, x1, y1 = covered(box, z, 0)[1:]
    tile = Tile(z, data.draw(st.integers(x0, x1)), data.draw(st.integers(y0, y1)))
    for layers in (["a"], ["b", "c"], ["a", "b", "c"]):
        touched = [
            n for n, (layer, b) in enumerate(made, start=1) if layer in layers and meets(b, tile, BUFFER)
        ]
        last = max(touched, default=0)
        if last > forgotten:
            assert kept.last(layers, tile) >= last
            assert not kept.is_right(layers, tile, last - 1)
    assert kept.is_right(["a", "b", "c"], tile, len(made))
    assert not kept.is_right(["none"], tile, forgotten - 1)


def test_with_room_only_what_changed_is_said_to_have() -> None:
    kept = Marks(7)
    here, there = tile_at(106.70, 10.77, 16), tile_at(106.75, 10.80, 16)
    west, south, east, north = here.box()
    middle = ((west + east) / 2, (south + north) / 2)
    kept.mark("a", [(*middle, *middle)], 9, BUFFER)
    assert kept.last(["a"], here) == 9
    assert kept.last(["b"], here) == 0
    assert kept.last(["a"], there) == 0
    assert kept.last(["a"], Tile(10, here.x >> 6, here.y >> 6)) == 9
    assert kept.last(["a"], Tile(18, here.x << 2, here.y << 2)) == 9
    assert kept.is_right(["a"], there, 7)
    assert not kept.is_right(["a"], there, 6)  # of changes up to 7 nothing is known
    kept.forget(9)
    assert len(kept) == 0
    assert kept.is_right(["a"], here, 9)


def test_after_little_room_comes_exactness_again() -> None:
    kept = Marks(most=60)
    for number in range(1, 40):
        x = WEST + 700 * number
        kept.mark("a", [(x, SOUTH, x, SOUTH)], number, BUFFER)
    assert kept.depth < marks.DEEPEST
    kept.forget(39)
    assert kept.depth == marks.DEEPEST


@pytest.mark.parametrize("side", [0.0, 5.0, 3_000.0, 40_000.0])
def test_boxes_of_the_storage_crs_are_held(side: float) -> None:
    """Any point of the box, its edges too, lies in the box in EPSG:3857; which is not much larger."""
    box = (590_000.0, 1_180_000.0, 590_000.0 + side, 1_180_000.0 + side)
    (found,) = web_boxes([box], STORAGE)
    t = np.linspace(0, side, 201)
    edges = [(t, 0 * t), (t, 0 * t + side), (0 * t, t), (0 * t + side, t)]
    for dx, dy in edges:
        x, y = transform_xy(box[0] + dx, box[1] + dy, STORAGE, WEB_MERCATOR)
        assert found[0] <= x.min()
        assert x.max() <= found[2]
        assert found[1] <= y.min()
        assert y.max() <= found[3]
    assert found[2] - found[0] <= side * 1.06 + 0.1 + side * side / 1e6


def test_a_box_without_an_image_is_everywhere() -> None:
    (found,) = web_boxes([(-1e12, -1e12, 1e12, 1e12)], STORAGE)
    assert found[0] < -2e7
    assert found[3] > 2e7
