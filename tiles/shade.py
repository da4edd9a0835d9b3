"""Pictures of heights: hillshade, colours by height, terrain-RGB. Pure numpy.

Heights are arrays (rows, columns) in metres, NaN where there are none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Heights = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

#: How many times higher the ground is drawn than it is: a delta would be a white sheet otherwise.
EXAGGERATION = 4.0
#: Directions (degrees from north) from which light falls, with their shares; mostly from the north-west.
_LIGHTS = ((315.0, 0.6), (270.0, 0.15), (0.0, 0.15), (45.0, 0.1))
_ALTITUDE = np.radians(45.0)


def hillshade(heights: Heights, cell_m: float) -> Picture:
    """Light and shadow (rows - 2, columns - 2): the outermost cells only count. Level ground is 180."""
    east, north = _slopes(heights, cell_m)
    steep = np.arctan(EXAGGERATION * np.hypot(east, north))
    facing = np.arctan2(-east, -north)  # where the ground falls to, from north
    light = np.zeros_like(steep)
    for azimuth, share in _LIGHTS:
        towards = np.cos(np.radians(azimuth) - facing)
        light += share * (np.sin(_ALTITUDE) * np.cos(steep) + np.cos(_ALTITUDE) * np.sin(steep) * towards)
    scaled = np.clip(light / np.sin(_ALTITUDE) * 180.0, 0, 255)
    shade: Picture = np.nan_to_num(scaled, nan=0.0).astype(np.uint8)
    return shade


def _slopes(heights: Heights, cell_m: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Rise per metre to the east and to the north (Horn 1981); a neighbour without height counts as level."""
    middle = heights[1:-1, 1:-1].astype(np.float64)
    rows, columns = middle.shape

    def at(row: int, column: int) -> npt.NDArray[np.float64]:
        found = heights[row : row + rows, column : column + columns].astype(np.float64)
        return np.where(np.isnan(found), middle, found)

    a, b, c, d, f = at(0, 0), at(0, 1), at(0, 2), at(1, 0), at(1, 2)
    g, h, i = at(2, 0), at(2, 1), at(2, 2)
    east = ((c + 2 * f + i) - (a + 2 * d + g)) / (8 * cell_m)
    north = ((a + 2 * b + c) - (g + 2 * h + i)) / (8 * cell_m)
    return east, north


def relief(heights: Heights, cell_m: float, ramp: Sequence[tuple[float, str]]) -> Picture:
    """Colours by height (3, rows - 2, columns - 2), in light and shadow. ``ramp``: rising (m, #rrggbb)."""
    stops = np.array([height for height, _ in ramp])
    colours = np.array([[int(text[i : i + 2], 16) for i in (1, 3, 5)] for _, text in ramp], dtype=np.float64)
    middle = np.nan_to_num(heights[1:-1, 1:-1].astype(np.float64), nan=float(stops[0]))
    light = hillshade(heights, cell_m).astype(np.float64) / 180.0
    shaded = [np.interp(middle, stops, colours[:, band]) * (0.35 + 0.65 * light) for band in range(3)]
    return np.clip(np.stack(shaded), 0, 255).astype(np.uint8)


def terrain(heights: Heights) -> Picture:
    """Heights as colours, as MapLibre's raster-dem reads them (mapbox): -10000 + 0.1 (65536 r + 256 g + b).

    (3, rows, columns). Where there are none they are 0: such a map has no holes.
    """
    steps = np.rint((np.nan_to_num(heights.astype(np.float64), nan=0.0) + 10_000) * 10).astype(np.int64)
    steps = np.clip(steps, 0, (1 << 24) - 1)
    return np.stack([steps >> 16, (steps >> 8) & 255, steps & 255]).astype(np.uint8)
