"""What explains the map: title, legend, scale bar, north, coordinates, sheets, sources, date and notes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from gis.city import City
from gis.crs import WGS84, definition, transform_xy
from gis.errors import UsageError
from gis.print.fonts import BOLD, fitting, width, wrapped
from gis.print.grid import interval
from gis.print.legend import BODY as _BODY
from gis.print.legend import LINE as _LINE
from gis.print.legend import Legend, Sign
from gis.print.order import PrintWish
from gis.print.pdf import colour, number_text
from gis.print.pen import BLACK, GREY, Pen
from gis.print.sheet import Ground, Layout, Rect
from gis.print.texts import TEXTS, day, degrees, grouped, listed
from gis.sheets import VN2000_GEOGRAPHIC, cadastral_sheet, sheets_in, topographic_sheet
from layers.registry import Layer
from tiles.mosaic import Mosaic

_HEAD: Final = 7.2

#: Names of sheets that are listed of one kind.
_MOST_SHEETS: Final = 6
_MOST_NAMES: Final = 6


@dataclass
class Drawn:
    """What came onto the map."""

    #: Layers with the entries of their legends, in drawing order of the catalogue.
    signs: list[Sign] = field(default_factory=list)
    #: Parts of their styles that drew something.
    parts: set[str] = field(default_factory=set)
    #: Layers that are not shown at this scale, drawn from what stands for their features, narrowed down.
    unseen: list[Layer] = field(default_factory=list)
    low: list[Layer] = field(default_factory=list)
    filtered: list[Layer] = field(default_factory=list)
    #: Whether something lies in the ground.
    underground: bool = False
    #: Raster layers under the features.
    pictures: list[Mosaic] = field(default_factory=list)


@dataclass(frozen=True)
class Block:
    """A part of the panel: its height for a width, and how it is drawn below a top edge."""

    height: float
    draw: Callable[[float, float], None]


class Furniture:
    """Draws it all; ``today`` is the only thing that changes from one day to the next."""

    def __init__(
        self,
        pen: Pen,
        wish: PrintWish,
        city: City,
        ground: Ground,
        layout: Layout,
        today: date,
    ) -> None:
        self._pen, self._wish, self._city = pen, wish, city
        self._ground, self._layout, self._today = ground, layout, today
        self._t = TEXTS[wish.language]
        self._signs = Legend(pen, wish.language, ground.pixel)

    @property
    def title(self) -> str:
        """The title that was asked for, or what every such map is."""
        return self._wish.title or f"{self._t['title']} – {self._in(self._city.title)}"

    def draw(self, drawn: Drawn) -> None:
        """Title and panel."""
        self._title()
        panel, pen = self._layout.panel, self._pen
        if self._wish.orientation == "landscape":
            blocks = self._blocks(drawn, panel.width)
            space = sum(block.height for block in blocks)
            self._stack(blocks, panel.x, panel.y + space)
            top = panel.top - self._layout.band * 0.2
            self._signs.draw(
                drawn.signs,
                drawn.parts,
                Rect(panel.x, panel.y + space, panel.width, top - panel.y - space),
                1,
            )
            return
        # Upright: the blocks fill columns from the left, the legend has the rest.
        gap, share = 350 * pen.growth, 0.27 * panel.width
        x, top = panel.x, panel.top
        for block in self._blocks(drawn, share):
            if top - block.height < panel.y and top < panel.top:
                x, top = x + share + gap, panel.top
            block.draw(x, top)
            top -= block.height
        x += share + gap
        self._signs.draw(drawn.signs, drawn.parts, Rect(x, panel.y, panel.right - x, panel.height), 1)

    def _stack(self, blocks: Sequence[Block], x: float, top: float) -> None:
        for block in blocks:
            block.draw(x, top)
            top -= block.height

    def _title(self) -> None:
        pen, head, t = self._pen, self._layout.title, self._t
        scale = f"1:{grouped(self._wish.scale)}"
        right = width(scale, pen.size(15), BOLD) + pen.size(12)
        base = head.y + 0.52 * head.height
        pen.text(head.x, base, fitting(self.title, pen.size(13), head.width - right, BOLD), 13, face=BOLD)
        pen.text(head.right, base, scale, 15, face=BOLD, align="right")
        below = head.y + 0.2 * head.height
        agency = self._in(self._city.title)
        pen.text(head.x, below, f"{agency}  ·  {t['date'].format(date=self._day())}", _HEAD, ink=GREY)
        names = [name for _, found in self._sheets() for name in found[:1]]
        if names:
            pen.text(head.right, below, f"{t['sheets']}: {' · '.join(names)}", _HEAD, align="right", ink=GREY)

    def _day(self) -> str:
        return day(self._today, self._wish.language)

    def _in(self, text: Any) -> str:
        return str(text.en if self._wish.language == "en" else text.vi)

    def _blocks(self, drawn: Drawn, wide: float) -> list[Block]:
        """Scale; north and grid; sheets, sources and notes."""
        t, pen = self._t, self._pen
        size = pen.size(_BODY)
        paragraphs = [self._crs_text()]
        if self._city.vertical_datum:
            paragraphs.append(t["heights"].format(datum=self._city.vertical_datum))
        notes: list[tuple[str, str]] = []
        for system, names in self._sheets():
            shown = ", ".join(names[:_MOST_SHEETS])
            if len(names) > _MOST_SHEETS:
                shown += f" {t['more_sheets'].format(count=len(names) - _MOST_SHEETS)}"
            notes.append((t[system].format(scale=grouped(self._sheet_scale())), shown))
        agencies = {agency.id: self._in(agency.title) for agency in self._city.agencies}
        sources = dict.fromkeys(agencies.get(layer.definition.owner, "") for layer, _ in drawn.signs)
        owed = (one.layer.definition.attribution for one in drawn.pictures)
        sources |= dict.fromkeys(self._in(text) for text in owed if text is not None)
        said = "; ".join(name for name in sources if name)
        if said:
            notes.append((t["source"], said))
        for key, layers in (("unseen", drawn.unseen), ("low", drawn.low), ("filtered", drawn.filtered)):
            if layers:
                names = [self._in(layer.title) for layer in layers]
                paragraphs.append(t[key].format(layers=listed(names, _MOST_NAMES, self._wish.language)))
        if drawn.pictures:
            pictures = "; ".join(self._picture(one) for one in drawn.pictures)
            paragraphs.append(t["pictures"].format(layers=pictures))
        quality = [t["quality"]] if drawn.underground else []
        notes.append((t["note"], " ".join([*quality, t["reference"]])))
        named = [self._named(name, text, wide) for name, text in notes]
        return [
            self._scale_block(wide),
            self._north_block(wide, paragraphs[:1]),
            *(self._plain(text, wide) for text in paragraphs[1:]),
            *named,
            self._plain(f"{t['by']} · {self._in(self._city.title)} · {self._day()}", wide, GREY, size * 0.2),
        ]

    def _picture(self, mosaic: Mosaic) -> str:
        """A raster layer in words: its name, the size of its pixels on the ground, and when it was taken."""
        said = [self._in(mosaic.layer.title), f"{mosaic.finest:.3g} m"]
        if mosaic.days is not None:
            first, last = (day(one, self._wish.language) for one in mosaic.days)
            said.append(first if first == last else f"{first} – {last}")
        return ", ".join(said)

    def _plain(self, text: str, wide: float, ink: str = BLACK, more: float = 0.0) -> Block:
        pen, size = self._pen, self._pen.size(_BODY)
        rows = wrapped(text, size, wide)
        high = len(rows) * size * _LINE + 0.45 * size + more

        def draw(x: float, top: float) -> None:
            for n, row in enumerate(rows):
                pen.text(x, top - more - size * (_LINE * n + 1), row, _BODY, ink=ink)

        return Block(high, draw)

    def _named(self, name: str, text: str, wide: float) -> Block:
        pen, size = self._pen, self._pen.size(_BODY)
        rows = wrapped(text, size, wide)
        high = (len(rows) + 1) * size * _LINE + 0.45 * size

        def draw(x: float, top: float) -> None:
            pen.text(x, top - size, name, _BODY, face=BOLD)
            for n, row in enumerate(rows, 1):
                pen.text(x, top - size * (_LINE * n + 1), row, _BODY)

        return Block(high, draw)

    def _scale_block(self, wide: float) -> Block:
        """The scale in words, and a bar whose parts are whole metres."""
        pen, ground, t = self._pen, self._ground, self._t
        size = pen.size(_BODY)
        last = width("0 000 m", size)
        metres = _bar(0.95 * (wide - last) / ground.units)
        count, part = 4, metres / 4
        long, thick = part * ground.units, 120 * pen.growth

        def draw(x: float, top: float) -> None:
            pen.line(x, top, x + wide, top, 0.15, GREY)
            head = pen.size(9)
            pen.text(x, top - 1.5 * head, f"{t['scale']} 1:{grouped(self._wish.scale)}", 9, face=BOLD)
            y = top - 3.25 * head
            for n in range(count):
                fill = BLACK if n % 2 == 0 else "#ffffff"
                pen.box(x + n * long, y, long, thick, fill=fill, outline=BLACK, width_mm=0.1)
            marks = sorted({0, count // 2, count})
            for n in marks:
                text = _metres(n * part) + (" m" if n == count else "")
                align = "left" if n == 0 else "middle"
                pen.text(x + n * long, y + thick + 0.35 * size, text, _BODY, align=align)  # type: ignore[arg-type]
            text = t["equals"].format(metres=_metres(self._wish.scale / 100))
            pen.text(x, y - 1.15 * size, fitting(text, size, wide), _BODY, ink=GREY)

        return Block(3.25 * pen.size(9) + 1.9 * size, draw)

    def _north_block(self, wide: float, paragraphs: Sequence[str]) -> Block:
        pen, t = self._pen, self._t
        size, high = pen.size(_BODY), 1150 * pen.growth
        aside = 900 * pen.growth
        angle = self._convergence()
        side = t["east" if angle > 0 else "west"]
        turned = t["grid_north"].format(angle=degrees(angle), side=side)
        north = turned if round(abs(angle) * 60) else t["grid_north_same"]
        rows = [row for text in (north, *paragraphs) for row in wrapped(text, size, wide - aside)]
        tall = max(high + 0.5 * size, len(rows) * size * _LINE + 0.8 * size)

        def draw(x: float, top: float) -> None:
            middle, foot = x + 0.35 * aside, top - high
            half, tip = 170 * pen.growth, foot + 0.72 * high
            for direction, fill in ((-1, BLACK), (1, "#ffffff")):
                pen.ink.write(
                    f"q {colour(fill)}{colour(BLACK, stroke=True)}{number_text(15 * pen.growth)} w 0 j "
                    f"{number_text(middle)} {number_text(tip)} m "
                    f"{number_text(middle + direction * half)} {number_text(foot)} l "
                    f"{number_text(middle)} {number_text(foot + 0.16 * high)} l h B Q\n"
                )
            pen.text(middle, tip + 0.05 * high, t["north"], 8, face=BOLD, align="middle")
            for n, row in enumerate(rows):
                pen.text(x + aside, top - size * (_LINE * n + 1.3), row, _BODY)

        return Block(tall, draw)

    def _convergence(self) -> float:
        """Degrees from grid north to true north in the middle of the map, clockwise."""
        lon, lat = self._wish.center
        x, y = transform_xy([lon, lon], [lat - 0.005, lat + 0.005], WGS84, self._ground.crs)
        return math.degrees(math.atan2(float(x[1] - x[0]), float(y[1] - y[0])))

    def _crs_text(self) -> str:
        code = self._ground.crs
        metres = grouped(interval(self._ground, self._wish.paper))
        return self._t["grid"].format(metres=metres, crs=definition(code).name, code=code)

    def _sheet_scale(self) -> int:
        """The scale of the sheets that are named: that of the map, from 1:2000 to 1:5000."""
        return 2000 if self._wish.scale <= 2000 else 5000

    def _sheets(self) -> list[tuple[str, list[str]]]:
        """Names of the sheets that the map is on, by system; the one in the middle first."""
        found: list[tuple[str, list[str]]] = []
        systems = dict.fromkeys(s for of_layer in self._city.sheets.values() for s in of_layer)
        for system in systems:
            try:
                names = self._names(system)
            except UsageError:  # nowhere that sheets are named
                continue
            if names:
                found.append((system, names))
        return found

    def _names(self, system: str) -> list[str]:
        ground, scale = self._ground, self._sheet_scale()
        east, north = ground.middle
        west, south, right, top = ground.box
        if system == "cadastral":
            middle = cadastral_sheet(north, east, scale, crs=ground.crs)
            around = sheets_in("cadastral", scale, ground.box, crs=ground.crs)
        else:
            corners_x, corners_y = [west, right, right, west, east], [south, south, top, top, north]
            lon, lat = transform_xy(corners_x, corners_y, ground.crs, VN2000_GEOGRAPHIC)
            middle = topographic_sheet(float(lat[4]), float(lon[4]), scale)
            box = (float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max()))
            around = sheets_in("topographic", scale, box)
        return list(dict.fromkeys([middle.name, *(sheet.name for sheet in around)]))


def _bar(most: float) -> float:
    """Metres of a bar that is as long as it may be: 1, 2, 4, 6 or 8 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(most))
    return max(n * power for n in (1, 2, 4, 6, 8) if n * power <= most)


def _metres(value: float) -> str:
    return grouped(value) if value == int(value) else f"{value:g}"
