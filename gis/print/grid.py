"""The frame of the map, and the grid of the city's CRS in it: crosses, ticks, and coordinates in metres."""

from __future__ import annotations

import math
from typing import Final

from gis.print.pen import BLACK, Pen
from gis.print.sheet import Ground, Layout
from gis.print.texts import grouped

#: Least distance of two lines of the grid on paper (mm): larger on large paper, as it is read from afar.
_LEAST_MM: Final = {"a4": 40, "a3": 40, "a2": 80, "a1": 80}
_SIZE: Final = 5.6
_INK: Final = "#2f5d8a"


def interval(ground: Ground, paper: str) -> int:
    """Metres between two lines of the grid: 1, 2 or 5 times a power of ten."""
    least = max(1, _LEAST_MM[paper] * 100 / ground.units)
    power = 10 ** math.floor(math.log10(least))
    return int(next(n * power for n in (1, 2, 5, 10) if n * power >= least))


def lines(low: float, high: float, step: int) -> list[int]:
    """Multiples of ``step`` within a range."""
    return list(range(math.ceil(low / step) * step, math.floor(high / step) * step + 1, step))


def draw_grid(pen: Pen, ground: Ground, layout: Layout, paper: str) -> None:
    """Crosses at the grid's points, ticks at the frame, and its coordinates around the map."""
    step, window = interval(ground, paper), ground.window
    west, south, east, north = ground.box
    columns, rows = lines(west, east, step), lines(south, north, step)
    arm, tick = 250 * pen.growth, 180 * pen.growth
    for e in columns:
        for n in rows:
            x, y = ground.place(e, n)
            pen.line(max(x - arm, window.x), y, min(x + arm, window.right), y, 0.1, _INK)
            pen.line(x, max(y - arm, window.y), x, min(y + arm, window.top), 0.1, _INK)
    size, gap = pen.size(_SIZE), 0.17 * layout.band
    for e in columns:
        x, _ = ground.place(e, 0)
        pen.line(x, window.y - gap, x, window.y + tick, 0.15)
        pen.line(x, window.top - tick, x, window.top + gap, 0.15)
        if window.x + 3 * size < x < window.right - 3 * size:
            text = f"{grouped(e)} E"
            pen.text(x, window.y - gap - 0.95 * size, text, _SIZE, align="middle")
            pen.text(x, window.top + gap + 0.25 * size, text, _SIZE, align="middle")
    for n in rows:
        _, y = ground.place(0, n)
        pen.line(window.x - gap, y, window.x + tick, y, 0.15)
        pen.line(window.right - tick, y, window.right + gap, y, 0.15)
        if window.y + 3 * size < y < window.top - 3 * size:
            text, upwards = f"{grouped(n)} N", math.pi / 2
            pen.text(window.x - gap - 0.25 * size, y, text, _SIZE, align="middle", angle=upwards)
            pen.text(window.right + gap + 0.95 * size, y, text, _SIZE, align="middle", angle=upwards)


def draw_frame(pen: Pen, layout: Layout) -> None:
    """The line around the map, and one around the coordinates."""
    m, band = layout.map, layout.band
    pen.box(m.x, m.y, m.width, m.height, outline=BLACK, width_mm=0.3)
    outer = m.inner(-band)
    pen.box(outer.x, outer.y, outer.width, outer.height, outline=BLACK, width_mm=0.5 * pen.growth)
