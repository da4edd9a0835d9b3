"""Reads what somebody types into the one box: words, a parcel's number, coordinates, a sheet.

Nothing here asks a database; whatever is typed gives something or nothing, never an error.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gis import crs
from gis.errors import UsageError
from gis.sheets import Sheet, parse_sheet

#: Longer texts are no question.
MAX_TEXT: Final = 200
MAX_WORDS: Final = 12

_NUMBER: Final = r"[A-Za-z]{0,3}\d{1,6}[A-Za-z]?"
_SHEET: Final = rf"(?:so\s+)?(?:to|sheet)(?:\s+ban\s+do)?(?:\s+so)?\s*[:.]?\s*({_NUMBER})"
_PARCEL: Final = rf"(?:so\s+)?(?:thua|parcel)(?:\s+dat)?(?:\s+so)?\s*[:.]?\s*({_NUMBER})"
_BOTH: Final = (
    (re.compile(rf"\b{_SHEET}\b[\s,;/]*{_PARCEL}\b"), False),
    (re.compile(rf"\b{_PARCEL}\b[\s,;/]*{_SHEET}\b"), True),
)
_SLASH: Final = re.compile(rf"(?<![\w/.])({_NUMBER})\s*/\s*({_NUMBER})(?![\w/.])")
_UNIT_SLASH: Final = re.compile(rf"(?<![\w/.])(\d{{4,6}})\s*/\s*({_NUMBER})\s*/\s*({_NUMBER})(?![\w/.])")
#: Words before the name of a ward.
_WARD_WORDS: Final = (
    "phuong",
    "xa",
    "dac",
    "khu",
    "thi",
    "tran",
    "ward",
    "commune",
    "p",
    "x",
    "o",
    "tai",
    "in",
)


def fold(text: str) -> str:
    """Lower case without accents, đ as d, as bandoso.fold makes it."""
    bare = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "D"))
    return unicodedata.normalize("NFC", "".join(c for c in bare if not unicodedata.combining(c))).lower()


def words_of(text: str) -> tuple[str, ...]:
    """The folded words: letters and digits only."""
    kept = "".join(c if c.isalnum() else " " for c in fold(text))
    return tuple(dict.fromkeys(kept.split()))


@dataclass(frozen=True)
class ParcelNumber:
    """A parcel by its sheet and number; ``unit``: code of the ward, ``ward``: words of its name."""

    sheet: str
    number: str
    unit: str | None = None
    ward: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """A point that was typed: in degrees of WGS 84, and the CRS it was read in (4326 for degrees)."""

    lon: float
    lat: float
    code: int
    x: float
    y: float


@dataclass(frozen=True)
class Question:
    """What a text may mean, all at once."""

    text: str
    folded: str
    words: tuple[str, ...]
    parcels: tuple[ParcelNumber, ...]
    places: tuple[Place, ...]
    sheets: tuple[Sheet, ...]

    @property
    def letters(self) -> tuple[str, ...]:
        """Words without a digit."""
        return tuple(w for w in self.words if not any(c.isdigit() for c in w))

    @property
    def numbered(self) -> tuple[str, ...]:
        """Words with a digit: house numbers, codes."""
        return tuple(w for w in self.words if any(c.isdigit() for c in w))

    @property
    def number_as_typed(self) -> str:
        """The first word with a digit, with its signs: a house number such as 12/3A."""
        typed = (w.strip(",;") for w in self.text.split())
        return next((w for w in typed if any(c.isdigit() for c in w)), "")


def read(text: str, storage: int, offered: Iterable[int], extent: Sequence[float]) -> Question:
    """``extent``: west, south, east, north of the city; ``storage``, ``offered``: its projected CRSs."""
    text = unicodedata.normalize("NFC", text).strip()[:MAX_TEXT]
    folded = " ".join(fold(text).split())
    codes = [code for code in dict.fromkeys((storage, *offered)) if crs.definition(code).projected]
    places = tuple(coordinates(text, codes, extent))
    return Question(
        text,
        folded,
        words_of(text)[:MAX_WORDS],
        tuple(parcels(folded)),
        places,
        () if places else tuple(sheets(text, storage, extent)),
    )


def parcels(folded: str) -> Iterator[ParcelNumber]:
    """Parcels that a folded text may name: "to 12 thua 34", "12/34 thu thiem", "27112/12/34"."""
    found = _UNIT_SLASH.search(folded)
    if found:
        yield ParcelNumber(found[2].upper(), found[3].upper(), found[1], _rest(folded, found))
        return
    for pattern, turned in _BOTH:
        found = pattern.search(folded)
        if found:
            sheet, number = (found[2], found[1]) if turned else (found[1], found[2])
            yield _with_unit(sheet, number, _rest(folded, found))
            return
    found = _SLASH.search(folded)
    if found:
        yield _with_unit(found[1], found[2], _rest(folded, found))


def _with_unit(sheet: str, number: str, rest: tuple[str, ...]) -> ParcelNumber:
    unit = next((w for w in rest if re.fullmatch(r"\d{4,6}", w)), None)
    return ParcelNumber(sheet.upper(), number.upper(), unit, () if unit else rest)


def _rest(folded: str, found: re.Match[str]) -> tuple[str, ...]:
    words = words_of(f"{folded[: found.start()]} {folded[found.end() :]}")
    while words and words[0] in _WARD_WORDS:
        words = words[1:]
    return words


def sheets(text: str, zone: int, extent: Sequence[float]) -> Iterator[Sheet]:
    """The map sheet of this name, if it touches the city."""
    try:
        sheet = parse_sheet(text, crs=zone)
        west, south, east, north = sheet.bounds
        x, y = crs.transform_xy(
            np.array([west, east, west, east]), np.array([south, south, north, north]), sheet.crs, crs.WGS84
        )
    except (UsageError, ValueError, OverflowError, ZeroDivisionError):
        return
    if (
        x.max() >= extent[0]
        and x.min() <= extent[2]
        and y.max() >= extent[1]
        and y.min() <= extent[3]
        and np.isfinite(x).all()
    ):
        yield sheet


_AXIS: Final = re.compile(
    r"[xyenb]\s*[=:]|\b(?:lat|lon|long|lng|latitude|longitude|vi do|kinh do)\b\s*[=:]?", re.I
)
_DECIMAL: Final = r"[-+]?\d{1,9}(?:\.\d{1,9})?"
_PAIR: Final = re.compile(
    rf"({_DECIMAL})\s*°?\s*([nsewbđtd])?\s*[\s,;/]\s*({_DECIMAL})\s*°?\s*([nsewbđtd])?", re.I
)
_COMMAS: Final = re.compile(r"(\d+),(\d+)[\s;]+(\d+),(\d+)")
_ANGLE: Final = (
    r"(\d{1,3})\s*[°º*d:\s]\s*(\d{1,2})\s*(?:['′’:]|\s)\s*(\d{1,2}(?:[.,]\d{1,6})?)"
    r"\s*(?:\"|″|”|'')?\s*([nsewbđt])?"
)
_ANGLES: Final = re.compile(rf"([nsewbđt])?\s*{_ANGLE}[\s,;]*([nsewbđt])?\s*{_ANGLE}", re.I)


def coordinates(text: str, codes: Sequence[int], extent: Sequence[float]) -> Iterator[Place]:
    """The point that a text is, in each CRS in which it lies in the city, the first of ``codes`` first.

    Degrees may be decimal or with minutes and seconds; which number is which the city's extent tells, as it
    does for metres (Vietnamese surveyors write X for north).
    """
    text = text.strip()
    angles = _ANGLES.fullmatch(text)
    if angles:
        one, other = (_degrees(*angles.groups()[n : n + 3]) for n in (1, 6))
        yield from _in_degrees(one, other, extent)
        return
    bare = _AXIS.sub(" ", text).strip()
    commas = _COMMAS.fullmatch(bare)
    if commas:
        bare = f"{commas[1]}.{commas[2]} {commas[3]}.{commas[4]}"
    pair = _PAIR.fullmatch(bare)
    if not pair:
        return
    one, other = float(pair[1]), float(pair[3])
    if abs(one) <= 180 and abs(other) <= 180:
        if "." in bare or "°" in bare:
            yield from _in_degrees(one, other, extent)
        return
    yield from _in_metres(one, other, codes, extent)


def _degrees(degrees: str, minutes: str, seconds: str) -> float:
    return int(degrees) + int(minutes) / 60 + float(seconds.replace(",", ".")) / 3600


def _within(lon: float, lat: float, extent: Sequence[float]) -> bool:
    west, south, east, north = extent
    return math.isfinite(lon + lat) and west <= lon <= east and south <= lat <= north


def _in_degrees(one: float, other: float, extent: Sequence[float]) -> Iterator[Place]:
    for lon, lat in dict.fromkeys(((other, one), (one, other))):
        if _within(lon, lat, extent):
            yield Place(lon, lat, crs.WGS84, lon, lat)


def _in_metres(one: float, other: float, codes: Sequence[int], extent: Sequence[float]) -> Iterator[Place]:
    for code in codes:
        for east, north in dict.fromkeys(((one, other), (other, one))):
            if not (0 < east < 1_000_000 and 0 < north < 10_000_000):
                continue
            x, y = crs.transform_xy(np.array([east]), np.array([north]), code, crs.WGS84)
            if _within(float(x[0]), float(y[0]), extent):
                yield Place(float(x[0]), float(y[0]), code, east, north)
