"""The legend: the signs that are on the map, as they are drawn there, in columns."""

from __future__ import annotations

from typing import Any, Final

from gis.print.fonts import BOLD, REGULAR, fitting, width, wrapped
from gis.print.pdf import colour, number_text
from gis.print.pen import Pen
from gis.print.sheet import Rect
from gis.print.symbols import Circle
from gis.print.texts import TEXTS
from layers.raster import RasterLayer
from layers.registry import Layer
from tiles.mosaic import Mosaic

#: Points of A4 of a text, and lines of it.
BODY: Final = 6.2
LINE: Final = 1.32
#: A row of the legend, in sizes of its text.
_ROW: Final = 1.42
#: mm on A4 of the narrowest column.
_NARROW: Final = 3000

_GREY: Final = "#6f6f6f"
_LINE: Final[dict[str, Any]] = {"kind": "line", "colour": _GREY, "width": 2.5, "dash": None}
#: Part of a style (tiles.style) -> its sign.
COMMON: Final[dict[str, dict[str, Any]]] = {
    "line-planned": {**_LINE, "dash": [2.0, 2.0], "colour": "#939393"},
    "line-retired": {**_LINE, "dash": [1.0, 3.0], "colour": "#b7b7b7"},
    "uncertain": {**_LINE, "width": 9.0, "colour": "#d4d4d4"},
    "arrow": {"kind": "point", "icon": "flow_arrow", "colour": _GREY, "width": 4.0, "outline": None},
}

#: A layer, with those entries of its legend (tiles.legend) that are on the map.
Sign = tuple[Layer | RasterLayer, list[dict[str, Any]]]
#: Text, whether it heads a sector, and the entry.
Row = tuple[str, bool, dict[str, Any] | None]


def signs_of(mosaic: Mosaic) -> list[dict[str, Any]]:
    """The legend of a raster layer: the colours of its heights, or that it is there."""
    definition, heights, title = mosaic.layer.definition, mosaic.heights, mosaic.layer.title
    if definition.kind != "elevation" or heights is None:
        names = {"vi": title.vi, "en": title.en}
        return [{"kind": "fill", "colour": "#b9b4a4", "outline": _GREY, "filter": None, "title": names}]
    low, high = heights
    ramp = definition.ramp
    first = max((n for n, (height, _) in enumerate(ramp) if height <= low), default=0)
    last = min((n for n, (height, _) in enumerate(ramp) if height >= high), default=len(ramp) - 1)
    return [
        {
            "kind": "fill",
            "colour": colour_,
            "outline": None,
            "filter": None,
            "title": {"vi": f"{title.vi}: {height:g} m", "en": f"{title.en}: {height:g} m"},
        }
        for height, colour_ in ramp[first : last + 1]
    ]


class Legend:
    """Draws it. ``pixel``: a style pixel of the map in units."""

    def __init__(self, pen: Pen, language: str, pixel: float) -> None:
        self._pen, self._language, self._pixel = pen, language, pixel

    def draw(self, signs: list[Sign], parts: set[str], rect: Rect, columns: int) -> None:
        """In at least so many columns. ``parts``: what of the layers' styles is on the map, with signs of its
        own. What finds no room is counted.
        """
        pen, t = self._pen, TEXTS[self._language]
        size, line, head = pen.size(BODY), _ROW * pen.size(BODY), pen.size(9)
        pen.text(rect.x, rect.top - head, t["legend"], 9, face=BOLD)
        top = rect.top - 1.5 * head
        rows = [*self._rows(signs), *self._common(parts)] if signs else []
        if not rows:
            for n, text in enumerate(wrapped(t["nothing"], size, rect.width)):
                pen.text(rect.x, top - size * (LINE * n + 1), text, BODY)
            return
        per_column = max(1, int((top - rect.y - 0.5 * line) / line))
        most = int(rect.width / (_NARROW * pen.growth))
        columns = max(columns, min(-(-len(rows) // per_column), most))
        gap = 200 * pen.growth
        wide = (rect.width - (columns - 1) * gap) / columns
        room = per_column * columns - (columns - 1)  # a head may go over to the next column
        if len(rows) > room:
            left = sum(1 for _, _, entry in rows[room - 1 :] if entry is not None)
            rows = [*rows[: room - 1], (t["more_signs"].format(count=left), False, None)]
        for n, column in enumerate(_columns(rows, columns, per_column)):
            for k, row in enumerate(column, 1):
                self._row(rect.x + n * (wide + gap), top - k * line, wide, row)

    def _in(self, text: Any) -> str:
        return str(text.en if self._language == "en" else text.vi)

    def _rows(self, signs: list[Sign]) -> list[Row]:
        rows: list[Row] = []
        sector = ""
        for layer, entries in signs:
            if layer.sector.id != sector:
                sector = layer.sector.id
                rows.append((self._in(layer.sector.title), True, None))
            title = self._in(layer.title)
            for entry in entries:
                own = entry["title"][self._language]
                if len(entries) == 1 and entry["filter"] is None:
                    own = title
                elif title.split(" ")[0].lower() not in own.lower().split(" "):
                    own = f"{title}: {own[:1].lower()}{own[1:]}"  # "Combined" says little alone
                rows.append((own, False, entry))
        return rows

    def _common(self, parts: set[str]) -> list[Row]:
        """What means the same in every layer."""
        t = TEXTS[self._language]
        rows: list[Row] = [(t[f"sign-{name}"], False, sign) for name, sign in COMMON.items() if name in parts]
        return [(t["common"], True, None), *rows] if rows else []

    def _row(self, x: float, y: float, wide: float, row: Row) -> None:
        text, strong, entry = row
        pen, size = self._pen, self._pen.size(BODY)
        if entry is None:
            face = BOLD if strong else REGULAR
            pen.text(x, y, fitting(text, size, wide, face), BODY, face=face)
            return
        swatch = 480 * pen.growth
        self._sign(x, y + 0.35 * size, swatch, entry)
        start = swatch + 0.6 * size
        # a long one is a little smaller, and cut only then
        share = min(1.0, max(0.84, (wide - start) / max(1.0, width(text, size))))
        pen.text(x + start, y, fitting(text, size * share, wide - start), BODY * share)

    def _sign(self, x: float, middle: float, wide: float, entry: dict[str, Any]) -> None:
        """A sign as on the map, ``wide`` long."""
        pen, pixel, growth = self._pen, self._pixel, self._pen.growth
        high = 230 * growth
        match entry["kind"]:
            case "fill":
                pen.box(
                    x,
                    middle - high / 2,
                    wide,
                    high,
                    fill=entry["colour"],
                    outline=entry["outline"],
                    opacity=0.75,
                )
            case "line":
                line = max(entry["width"] * pixel, 15)
                dash = ""
                if entry["dash"]:
                    dash = f"[{' '.join(number_text(v * line) for v in entry['dash'])}] 0 d "
                pen.ink.write(
                    f"q {colour(entry['colour'], stroke=True)}{number_text(line)} w 0 J {dash}"
                    f"{number_text(x)} {number_text(middle)} m "
                    f"{number_text(x + wide)} {number_text(middle)} l S Q\n"
                )
            case _:
                self._point(x + wide / 2, middle, entry)

    def _point(self, x: float, y: float, entry: dict[str, Any]) -> None:
        pen, pixel = self._pen, self._pixel
        found = pen.palette.icon(entry["icon"]) if entry["icon"] else None
        if found is not None:
            name, side = found[0], number_text(min(found[1] * pixel, 330 * pen.growth))
            pen.ink.write(f"q {side} 0 0 {side} {number_text(x)} {number_text(y)} cm {name} Do Q\n")
            return
        disc = Circle(entry["colour"], min(entry["width"], 7.0), 1.0, entry["outline"] or "#ffffff", 0.5)
        name = pen.palette.disc(disc, pixel)
        pen.ink.write(f"q 1 0 0 1 {number_text(x)} {number_text(y)} cm {name} Do Q\n")


def _columns(rows: list[Row], count: int, most: int) -> list[list[Row]]:
    """The rows in columns of about the same length; a column does not end with the head of the next."""
    even = min(most, -(-len(rows) // count) + 1)
    found: list[list[Row]] = [[]]
    for row in rows:
        if len(found[-1]) >= even and len(found) < count:
            heads = found[-1][-1:] if found[-1][-1][1] else []
            if heads:
                found[-1].pop()
            found.append(heads)
        found[-1].append(row)
    return found
