"""Draws what is around the map: texts, lines and boxes, in units of the page and sizes in points of A4."""

from __future__ import annotations

import math
from typing import Final, Literal

from gis.print.fonts import REGULAR, width
from gis.print.palette import Palette
from gis.print.pdf import POINT, Ink, colour, number_text, text_string

BLACK: Final = "#1a1a1a"
GREY: Final = "#6b6b6b"

Align = Literal["left", "middle", "right"]


class Pen:
    """Writes to one stream. ``growth``: how much larger everything is than on A4."""

    def __init__(self, ink: Ink, palette: Palette, growth: float) -> None:
        self.ink = ink
        self.palette = palette
        self.growth = growth

    def size(self, points: float) -> float:
        """A size in points of A4, in units."""
        return points * self.growth / POINT

    def text(
        self,
        x: float,
        y: float,
        text: str,
        points: float,
        *,
        face: str = REGULAR,
        align: Align = "left",
        ink: str = BLACK,
        angle: float = 0.0,
        halo: bool = False,
    ) -> None:
        """One line; ``x``, ``y``: its baseline's left end, middle or right end. ``angle`` in radians."""
        size = self.size(points)
        back = {"left": 0.0, "middle": 0.5, "right": 1.0}[align] * width(text, size, face)
        x, y = x - back * math.cos(angle), y - back * math.sin(angle)
        self.ink.write(
            text_at(
                self.palette, text, size, x, y, face=face, ink=ink, angle=angle, halo=size / 4 if halo else 0
            )
        )

    def line(self, x0: float, y0: float, x1: float, y1: float, width_mm: float, ink: str = BLACK) -> None:
        """A line."""
        self.ink.write(
            f"{colour(ink, stroke=True)}{number_text(width_mm * 100)} w 0 J "
            f"{number_text(x0)} {number_text(y0)} m {number_text(x1)} {number_text(y1)} l S\n"
        )

    def box(
        self,
        x: float,
        y: float,
        wide: float,
        high: float,
        *,
        fill: str | None = None,
        outline: str | None = None,
        width_mm: float = 0.15,
        opacity: float = 1.0,
    ) -> None:
        """A rectangle."""
        parts = [f"q {self.palette.alpha(opacity)}0 j "]
        if fill:
            parts.append(colour(fill))
        if outline:
            parts.append(f"{colour(outline, stroke=True)}{number_text(width_mm * 100)} w ")
        parts.append(" ".join(number_text(v) for v in (x, y, wide, high)) + " re ")
        parts.append("B Q\n" if fill and outline else "f Q\n" if fill else "S Q\n")
        self.ink.write("".join(parts))


def text_at(
    palette: Palette,
    text: str,
    size: float,
    x: float,
    y: float,
    *,
    face: str = REGULAR,
    ink: str = BLACK,
    angle: float = 0.0,
    halo: float = 0.0,
    halo_ink: str = "#ffffff",
) -> str:
    """The operators of one line of text. ``halo``: width of the border around its letters, in units."""
    c, s = f"{math.cos(angle):.5f}", f"{math.sin(angle):.5f}"
    minus = f"{-math.sin(angle):.5f}"
    place = f"{c} {s} {minus} {c} {number_text(x)} {number_text(y)} Tm "
    shown = palette.fonts.text(text, size, face)
    if not halo:
        return f"BT {colour(ink)}{place}{shown}ET\n"
    # shown twice, and one text for those who copy it out
    return (
        f"/Span <</ActualText {text_string(text)}>> BDC "
        f"BT 1 Tr {colour(halo_ink, stroke=True)}{number_text(2 * halo)} w 1 j 1 J {place}{shown}0 Tr ET "
        f"BT {colour(ink)}{place}{shown}ET EMC\n"
    )
