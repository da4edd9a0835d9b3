"""A plain picture of the demo city from above: streets, canals, plots and houses where its layers have them.

Drawn in the plan's local metres, in which all of it is parallel to the axes; the picture's transform turns it
onto the ground, and the loader rectifies it as any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gis.demo.cadastre import houses
from gis.demo.drainage import basin_of
from gis.demo.plan import CANAL_BAND, HALF_CANAL, STREETS_X, STREETS_Y, SUPER_X, SUPER_Y, Plan, Superblock
from gis.demo.relief import MARGIN
from gis.demo.sections import CARRIAGEWAY, MAJOR_CARRIAGEWAY, is_major_x, is_major_y

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

#: Pixels (m) up to which houses and trees are drawn; larger ones show blocks and streets.
FINE = 1.0

_FIELD, _PAVEMENT, _ASPHALT, _MARK = (120, 132, 92), (158, 154, 146), (96, 97, 100), (214, 212, 204)
_WATER, _BANK, _POND = (84, 100, 84), (104, 124, 78), (92, 112, 104)
_PARK, _YARD, _CONCRETE, _RESERVE, _SHADOW = (
    (98, 134, 70),
    (150, 152, 120),
    (168, 162, 152),
    (134, 130, 96),
    (70, 70, 70),
)
_ROOFS: tuple[Colour, ...] = (
    (168, 92, 70), (150, 80, 62), (182, 116, 90), (128, 134, 142), (150, 154, 158), (176, 172, 164),
    (104, 122, 140), (190, 186, 178),
)  # fmt: skip
_LARGE: Colour = (188, 184, 178)
_GROUNDS = {"terraced": _CONCRETE, "park": _PARK, "reserve": _RESERVE, "apartments": _CONCRETE}
_TREES: tuple[Colour, ...] = ((66, 96, 52), (78, 110, 58), (88, 118, 64), (58, 84, 48))
#: Shadows are so long (m) for each floor, and fall to the north-west: it is morning.
_PER_FLOOR = 0.9
#: Metres of pavement beside the outermost streets.
_SIDE = 16.0
#: Metres between trees along a street, and of the dashes between lanes.
_TREE_STEP, _DASH = 13.0, 4.0


@dataclass(frozen=True)
class Canvas:
    """A picture (rows from the north, columns, 3) of local metres; ``x`` and ``y``: its north-west corner."""

    pixels: Pixels
    x: float
    y: float
    step: float

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """Fill a rectangle."""
        top, bottom = max(0, round((self.y - y1) / self.step)), max(0, round((self.y - y0) / self.step))
        left, right = max(0, round((x0 - self.x) / self.step)), max(0, round((x1 - self.x) / self.step))
        self.pixels[top:bottom, left:right] = colour

    def disc(self, x: float, y: float, stamp: NDArray[np.bool_], colour: Colour) -> None:
        """Fill where the stamp is true, around a point; nothing at the picture's edge."""
        side = stamp.shape[0]
        top, left = round((self.y - y) / self.step) - side // 2, round((x - self.x) / self.step) - side // 2
        here = self.pixels[top : top + side, left : left + side] if min(top, left) >= 0 else self.pixels[:0]
        if here.shape[:2] == stamp.shape:
            here[stamp] = colour


def photo(plan: Plan, step: float) -> Canvas:
    """The whole city with pixels of so many metres, with its margin."""
    wide, high = plan.columns * SUPER_X + 2 * MARGIN, plan.rows * SUPER_Y + 2 * MARGIN
    pixels = np.empty((round(high / step), round(wide / step), 3), np.uint8)
    pixels[:] = _FIELD
    canvas = Canvas(pixels, -MARGIN, plan.rows * SUPER_Y + MARGIN, step)
    city = list(plan.superblocks())
    for block in city:  # what lies between superblocks is drawn before either
        x0, y0 = block.x, block.y
        canvas.box(x0 - _SIDE, y0, x0 + SUPER_X + _SIDE, y0 + SUPER_Y, _PAVEMENT)
    for block in city:
        _streets(canvas, plan, block)
    for block in city:
        for b in block.blocks:
            canvas.box(*block.place(b), _GROUNDS.get(b.kind, _YARD))
        if step <= FINE:
            _buildings(canvas, block)
            _green(canvas, block)
    _grain(pixels, plan.seed)
    return canvas


def _streets(canvas: Canvas, plan: Plan, block: Superblock) -> None:
    x0, y0 = block.x, block.y
    canvas.box(x0, y0 - HALF_CANAL - 4, x0 + SUPER_X, y0 + HALF_CANAL + 4, _BANK)
    canvas.box(x0, y0 - HALF_CANAL, x0 + SUPER_X, y0 + HALF_CANAL, _WATER)
    crossings = [*STREETS_X, SUPER_X]
    for i, x in enumerate(crossings):
        major = is_major_y(i)
        bridge = major and plan.has(block.column, block.row - 1)
        low = y0 - CANAL_BAND + 12.0 if bridge else y0 + STREETS_Y[0]
        _street(canvas, (x0 + x, low), (x0 + x, y0 + STREETS_Y[-1]), major)
    for k, y in enumerate(STREETS_Y):
        _street(canvas, (x0, y0 + y), (x0 + SUPER_X, y0 + y), is_major_x(k))


def _street(canvas: Canvas, start: tuple[float, float], end: tuple[float, float], major: bool) -> None:
    half = (MAJOR_CARRIAGEWAY if major else CARRIAGEWAY) / 2
    (x0, y0), (x1, y1) = start, end
    across = x0 == x1
    canvas.box(
        x0 - half * across, y0 - half * (not across), x1 + half * across, y1 + half * (not across), _ASPHALT
    )
    if not major or canvas.step > FINE:
        return
    length = (y1 - y0) + (x1 - x0)
    for n in range(int(length / (2 * _DASH))):
        at = 2 * _DASH * n
        if across:
            canvas.box(x0 - 0.25, y0 + at, x0 + 0.25, y0 + at + _DASH, _MARK)
        else:
            canvas.box(x0 + at, y0 - 0.25, x0 + at + _DASH, y0 + 0.25, _MARK)


def _buildings(canvas: Canvas, block: Superblock) -> None:
    """Roofs over their shadows, the half towards the sun lighter."""
    found = [(floors, ring, plot.block.kind) for plot, floors, ring in houses(block) if ring is not None]
    kinds = block.random("roof").integers(0, len(_ROOFS), len(found)).tolist()
    for floors, ring, _ in found:
        (x0, y0), (x1, y1) = ring[0], ring[2]
        long = _PER_FLOOR * floors
        canvas.box(x0 - long, y0 + long / 2, x1, y1 + long / 2, _SHADOW)
    for (_, ring, kind), roof in zip(found, kinds, strict=True):
        (x0, y0), (x1, y1) = ring[0], ring[2]
        colour = _ROOFS[roof] if kind == "terraced" else _LARGE
        canvas.box(x0, y0, x1, y1, colour)
        red, green, blue = (min(255, round(v * 1.12)) for v in colour)
        canvas.box(x0, y0, x1, (y0 + y1) / 2, (red, green, blue))


def _green(canvas: Canvas, block: Superblock) -> None:
    """Ponds, and trees in parks and along the streets."""
    basin = basin_of(block)
    if basin is not None:
        canvas.box(*basin, _POND)
    random = block.random("tree")
    places = [
        (block.x + x, block.y + y + side * (9.8 if is_major_x(k) else 5.8))
        for k, y in enumerate(STREETS_Y)
        for side in (-1, 1)
        for x in np.arange(16.0, SUPER_X - 10.0, _TREE_STEP).tolist()
    ]
    for b in block.blocks:
        if b.kind == "park":
            x0, y0, x1, y1 = block.place(b)
            drawn = random.uniform((x0 + 4, y0 + 4), (x1 - 4, y1 - 4), (60, 2)).tolist()
            places += [(x, y) for x, y in drawn if basin is None or not _within(basin, x, y)]
    radii = random.uniform(1.4, 3.4, len(places)).tolist()
    colours = random.integers(0, len(_TREES), len(places)).tolist()
    for (x, y), radius, colour in zip(places, radii, colours, strict=True):
        canvas.disc(x, y, _stamp(round(radius / canvas.step)), _TREES[colour])


def _within(place: tuple[float, float, float, float], x: float, y: float) -> bool:
    return place[0] - 3 < x < place[2] + 3 and place[1] - 3 < y < place[3] + 3


def _stamp(radius: int) -> NDArray[np.bool_]:
    across = np.arange(-radius, radius + 1)
    found: NDArray[np.bool_] = across[:, None] ** 2 + across**2 <= (radius + 0.3) ** 2
    return found


def _grain(pixels: Pixels, seed: int) -> None:
    """Light that differs from pixel to pixel and from place to place, as in photographs."""
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 0x70686F746F])))
    for top in range(0, len(pixels), 256):
        part = pixels[top : top + 256]
        fine = random.integers(-9, 10, part.shape[:2], dtype=np.int16)
        coarse = random.integers(-6, 7, (-(-part.shape[0] // 16), -(-part.shape[1] // 16)), dtype=np.int16)
        fine += coarse.repeat(16, 0).repeat(16, 1)[: part.shape[0], : part.shape[1]]
        part[:] = np.clip(part.astype(np.int16) + fine[..., None], 0, 255).astype(np.uint8)
