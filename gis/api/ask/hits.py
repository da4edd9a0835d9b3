"""What /search finds: one form for features, names and points, and how they are put in order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gis.ask.text import fold

#: What a hit is worth by its kind; how well its title fits is added (at most 100).
WORTH: Final = {
    "coordinates": 1000,
    "parcel": 900,
    "sheet": 860,
    "asset": 800,
    "address": 740,
    "ward": 690,
    "street": 685,
    "ward_old": 680,
    "place": 660,
}
#: A title that is only written like what was typed.
ALIKE: Final = 300


@dataclass
class Hit:
    """One result. ``subtitle``: parts in the city's languages, joined when shown."""

    kind: str
    title: str
    point: tuple[float, float]
    bbox: tuple[float, float, float, float]
    layer: str | None = None
    fid: int | None = None
    subtitle: list[dict[str, str]] = field(default_factory=list)
    score: float = 0.0
    #: Whether the ward it lies in is to be told.
    placed: bool = True

    def say(self, vi: str, en: str | None = None) -> None:
        """Add a part to the subtitle."""
        if vi and all(part["vi"] != vi for part in self.subtitle):
            self.subtitle.append({"vi": vi, "en": en or vi})

    def shown(self) -> dict[str, Any]:
        """As JSON has it."""
        joined = {
            lang: " · ".join(part[lang] for part in self.subtitle if part[lang] != self.title)
            for lang in ("vi", "en")
        }
        return {
            "kind": self.kind,
            "title": self.title,
            "subtitle": joined,
            "layer": self.layer,
            "fid": self.fid,
            "point": [round(v, 9) for v in self.point],
            "bbox": [round(v, 9) for v in self.bbox],
        }


def worth(kind: str, title: str, folded: str, alike: float | None = None) -> float:
    """How good a hit is: ``folded`` is what was typed, ``alike`` 0..1 how alike the names are written."""
    if alike is not None:
        return ALIKE + 100 * alike + WORTH.get(kind, 500) / 100
    told = " ".join(fold(title).split())
    fits = 100 if told == folded else 60 if told.startswith(folded) else 30 if f" {folded}" in told else 0
    return WORTH.get(kind, 500) + fits - min(20.0, len(told) / 10)


def best(hits: Iterable[Hit], near: tuple[float, float], limit: int) -> list[Hit]:
    """The best hits, each thing once; of those that are worth the same the nearest to ``near`` (degrees)."""

    def order(hit: Hit) -> tuple[float, str, int]:
        lon, lat = hit.point
        away = 111.0 * math.hypot((lon - near[0]) * math.cos(math.radians(near[1])), lat - near[1])
        return (-hit.score + min(40.0, away), hit.title, hit.fid or 0)

    found: list[Hit] = []
    known: set[tuple[Any, ...]] = set()
    for hit in sorted(hits, key=order):
        same: tuple[Any, ...] = ("feature", hit.layer, hit.fid)
        if hit.layer is None or hit.fid is None:
            same = (hit.kind, fold(hit.title), *(round(v, 4) for v in hit.point))
        if same not in known:
            known.add(same)
            found.append(hit)
        if len(found) == limit:
            break
    return found


def from_row(kind: str, row: Sequence[Any], layer: str | None) -> Hit:
    """A hit of (fid, title, lon, lat, west, south, east, north, ...)."""
    return Hit(kind, str(row[1]), (row[2], row[3]), (row[4], row[5], row[6], row[7]), layer, row[0])
