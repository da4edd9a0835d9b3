"""Places texts so that none covers another: greedily, those of the most important layers first."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from gis.print.fonts import clean, width, wrapped
from gis.print.sheet import Rect
from gis.print.symbols import Label

#: Letters of a label.
MOST_LETTERS: Final = 60
#: Labels that are tried of one layer.
MOST_TRIED: Final = 20_000
#: ems after which a label at a point goes on in a new line (text-max-width of the styles).
_EMS: Final = 9
#: Pixels between two labels of one layer with the same text along lines.
_APART: Final = 300
#: Units of a side of the squares in which boxes are looked up.
_CELL: Final = 600

Box = tuple[float, float, float, float]


class Candidate(NamedTuple):
    """A text that wants to be shown. At a point, or along a segment (``end`` is given)."""

    label: Label
    x: float
    y: float
    end: tuple[float, float] | None
    #: More important ones are placed first: length of the segment, or area.
    weight: float


class Placed(NamedTuple):
    """Lines of a text, each with the left end of its baseline; ``angle`` in radians."""

    label: Label
    size: float
    lines: tuple[tuple[str, float, float], ...]
    angle: float


class Room:
    """What is taken on the page."""

    def __init__(self, window: Rect) -> None:
        self._window = window
        self._cells: dict[tuple[int, int], list[Box]] = defaultdict(list)

    def free(self, boxes: Sequence[Box]) -> bool:
        """Whether the boxes lie in the window and meet no other."""
        window = self._window
        for x0, y0, x1, y1 in boxes:
            if x0 < window.x or y0 < window.y or x1 > window.right or y1 > window.top:
                return False
            for cell in _cells((x0, y0, x1, y1)):
                for a0, b0, a1, b1 in self._cells.get(cell, ()):
                    if x0 < a1 and a0 < x1 and y0 < b1 and b0 < y1:
                        return False
        return True

    def take(self, boxes: Iterable[Box]) -> None:
        for box in boxes:
            for cell in _cells(box):
                self._cells[cell].append(box)


def _cells(box: Box) -> Iterable[tuple[int, int]]:
    for i in range(int(box[0] // _CELL), int(box[2] // _CELL) + 1):
        for j in range(int(box[1] // _CELL), int(box[3] // _CELL) + 1):
            yield i, j


def place(candidates: Iterable[Candidate], room: Room, pixel: float) -> list[Placed]:
    """Those of one layer's candidates that find room, in a fixed order."""
    found: list[Placed] = []
    shown: dict[str, list[tuple[float, float]]] = defaultdict(list)
    ordered = sorted(candidates, key=lambda one: -one.weight)  # stable: in order of fid where equal
    for one in ordered[:MOST_TRIED]:
        text = clean(one.label.text, MOST_LETTERS)
        if not text:
            continue
        size = one.label.size * pixel
        if one.end is not None:
            made = _along(one, text, size, room, shown[text], _APART * pixel)
        else:
            made = _at(one, text, size, room)
        if made is not None:
            found.append(made)
    return found


def _along(
    one: Candidate, text: str, size: float, room: Room, shown: list[tuple[float, float]], apart: float
) -> Placed | None:
    assert one.end is not None
    (x0, y0), (x1, y1) = (one.x, one.y), one.end
    if x1 < x0:  # never upside down
        x0, y0, x1, y1 = x1, y1, x0, y0
    length, long = math.hypot(x1 - x0, y1 - y0), width(text, size)
    if long > length * 1.05 or not length:
        return None
    middle = ((x0 + x1) / 2, (y0 + y1) / 2)
    if any(math.hypot(middle[0] - x, middle[1] - y) < apart for x, y in shown):
        return None
    dx, dy = (x1 - x0) / length, (y1 - y0) / length
    boxes = _beads(middle, dx, dy, long, size)
    if not room.free(boxes):
        return None
    room.take(boxes)
    shown.append(middle)
    # the baseline lies below the line by a third of the letters' height
    x = middle[0] - dx * long / 2 + dy * 0.35 * size
    y = middle[1] - dy * long / 2 - dx * 0.35 * size
    return Placed(one.label, size, ((text, x, y),), math.atan2(dy, dx))


def _beads(middle: tuple[float, float], dx: float, dy: float, long: float, size: float) -> list[Box]:
    """Squares along a text that covers a line."""
    half, count = 0.6 * size, max(1, math.ceil(long / size))
    step = long / count
    found = []
    for n in range(count):
        at = (n + 0.5) * step - long / 2
        x, y = middle[0] + dx * at, middle[1] + dy * at
        found.append((x - half, y - half, x + half, y + half))
    return found


def _at(one: Candidate, text: str, size: float, room: Room) -> Placed | None:
    lines = wrapped(text, size, _EMS * size, lines=3)
    widths = [width(line, size) for line in lines]
    wide, high = max(widths), 1.2 * size * len(lines)
    gap = one.label.beside * size
    if gap:
        places = [
            (one.x - wide / 2, one.y - gap - high),
            (one.x - wide / 2, one.y + gap),
            (one.x + gap, one.y - high / 2),
            (one.x - gap - wide, one.y - high / 2),
        ]
    else:
        places = [(one.x - wide / 2, one.y - high / 2)]
    for x, y in places:
        box = (x, y, x + wide, y + high)
        if room.free([box]):
            room.take([box])
            drawn = tuple(
                (line, x + (wide - w) / 2, y + high - 1.2 * size * (n + 1) + 0.35 * size)
                for n, (line, w) in enumerate(zip(lines, widths, strict=True))
            )
            return Placed(one.label, size, drawn, 0.0)
    return None
