"""Numbers of law that checks judge by: dated tables of config/law/*.yml, picked by a day.

``law_of(city, day)`` gives the tables in force on ``day``. A city's own folder (``law:`` in city.yml)
replaces tables of the shipped one by name. Where the law is silent (a scale without a table, a day before
the first edition) numbers are NaN or None, and the rules that ask do not judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gis.checks.law_tables import (
    AreaTolerance,
    Book,
    Clearance,
    Cover,
    EdgeTolerance,
    Edition,
    LandUse,
    ManholeSpacing,
    MinimumSlope,
    OverheadCorridor,
    ParallelWater,
    Piecewise,
    PositionLimit,
    Step,
    load_book,
)
from gis.city import City
from gis.resources import config_dir

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Direction = Literal["horizontal", "vertical"]


def law_of(city: City, day: date) -> Law:
    """The law of a city on a day. Raises ConfigError when one of its files is wrong."""
    return _law(city.law_directory, day)


@lru_cache(maxsize=64)
def _law(own: Path | None, day: date) -> Law:
    return Law(book_of(own), day)


@lru_cache(maxsize=16)
def book_of(own: Path | None) -> Book:
    """The shipped tables, with those of the folder ``own`` over them. Raises ConfigError."""
    return load_book(config_dir() / "law", own)


class Law:
    """The tables in force on one day. Arrays in, arrays out; scalars where the signature says so."""

    def __init__(self, book: Book, day: date) -> None:
        self._book, self.day = book, day

    def edition(self, table: str) -> Edition | None:
        """The edition of a table in force on the day; KeyError for a table that does not exist."""
        return next((e for e in self._book[table] if e.holds_on(self.day)), None)

    def source(self, table: str) -> str:
        """The source of the edition in force, for messages and reports; empty when there is none."""
        found = self.edition(table)
        return found.source if found else ""

    # --- cadastre

    def position_limit_m(self, scale: int, farm: bool = False) -> float:
        """Greatest error (m) of a point on a map 1:``scale``; NaN for a scale without a limit."""
        return float(self.position_limits_m(np.array([scale]), np.array([farm]))[0])

    def position_limits_m(self, scales: npt.NDArray[Any], farm: Bools | bool = False) -> Floats:
        """The same for scale denominators (n), on farm land where ``farm`` says so."""
        limits = np.full(len(scales), np.nan)
        table = self.edition("position_limit")
        if isinstance(table, PositionLimit):
            for scale, limit in table.limits_cm.items():
                limits[scales == scale] = limit / 100
            on_farm = np.zeros(len(scales), bool)
            for scale in table.farm_scales:
                on_farm |= scales == scale
            on_farm &= farm
            limits[on_farm] *= table.farm_factor
        return limits

    def edge_tolerance_m(self, scale: npt.NDArray[Any] | float, lengths_m: npt.NDArray[Any]) -> Floats:
        """Allowed difference (m) between two measurements of edges of these lengths (m)."""
        table = self.edition("edge_tolerance")
        found = _by_scale(table.scales if isinstance(table, EdgeTolerance) else {}, scale, lengths_m)
        return found / 100

    def area_tolerance_m2(self, scale: npt.NDArray[Any] | float, areas_m2: npt.NDArray[Any]) -> Floats:
        """Allowed difference (m2) between two areas of this size (m2)."""
        table = self.edition("area_tolerance")
        return _by_scale(table.scales if isinstance(table, AreaTolerance) else {}, scale, areas_m2)

    def land_use_valid(self, codes: npt.NDArray[np.object_], dates: npt.NDArray[np.datetime64]) -> Bools:
        """Which codes were valid on the day given for each (datetime64; NaT: valid in any edition).

        Null codes, and days before the first edition, are not judged: valid. The law's own day is not used.
        """
        texts = np.array(["" if code is None else str(code) for code in codes], dtype=str)
        days = np.asarray(dates).astype("M8[D]")
        unknown = np.isnat(days)
        ever = np.zeros(len(texts), bool)
        valid = np.zeros(len(texts), bool)
        judged = np.zeros(len(texts), bool)
        for edition in self._book["land_use"]:
            assert isinstance(edition, LandUse)
            member = np.isin(texts, edition.codes)
            in_force = ~unknown
            if edition.effective_from:
                in_force &= days >= np.datetime64(edition.effective_from)
            if edition.effective_to:
                in_force &= days <= np.datetime64(edition.effective_to)
            ever |= member
            judged |= in_force
            valid |= in_force & member
        found: Bools = np.where(unknown, ever, valid | ~judged) | (texts == "")
        return found

    def is_farm(self, codes: npt.NDArray[np.object_]) -> Bools:
        """Which codes of land use mean farm land, in any edition."""
        farm = self._farm
        return np.fromiter((c is not None and str(c) in farm for c in codes), bool, len(codes))

    @cached_property
    def _farm(self) -> frozenset[str]:
        # every window of parcels asks, and an edit has several
        return frozenset(c for e in self._book["land_use"] if isinstance(e, LandUse) for c in e.farm)

    # --- networks

    def clearance_m(self, kind_a: str, kind_b: str, direction: Direction) -> float | None:
        """Least distance (m) between the outer faces of works of two kinds; None: none is laid down."""
        table = self.edition(f"{direction}_clearance")
        return table.between(kind_a, kind_b) if isinstance(table, Clearance) else None

    def parallel_water_m(self, diameters_mm: npt.NDArray[Any]) -> Floats:
        """Least distance (m) of drinking-water pipes of these DN (mm) from parallel sewers."""
        limits = np.full(np.shape(diameters_mm), np.nan)
        table = self.edition("parallel_water")
        if isinstance(table, ParallelWater):
            for least, value in sorted(table.from_dn.items()):
                limits[diameters_mm >= least] = value
        return limits

    def corridor_m(self, kv: npt.NDArray[Any], insulated: Bools | bool = False) -> Floats:
        """Corridor (m) on each side of overhead lines of these voltages (kV); NaN where there is none."""
        kv = np.asarray(kv, dtype=np.float64)
        table = self.edition("overhead_corridor")
        if not isinstance(table, OverheadCorridor):
            return np.full(kv.shape, np.nan)
        width = np.where(insulated, _stepped(table.insulated, kv), _stepped(table.bare, kv))
        return np.where(kv > table.above_kv, width, np.nan)

    def manhole_spacing_m(self, diameters_mm: npt.NDArray[Any]) -> Floats:
        """Greatest distance (m) between manholes of conduits of these DN (mm)."""
        table = self.edition("manhole_spacing")
        if not isinstance(table, ManholeSpacing):
            return np.full(np.shape(diameters_mm), np.nan)
        return np.where(
            np.asarray(diameters_mm) >= table.from_dn, _stepped(table.spacing_m, diameters_mm), np.nan
        )

    def cover_m(self, diameters_mm: npt.NDArray[Any], in_road: Bools) -> Floats:
        """Least cover (m) over conduits of these DN (mm), in a carriageway where ``in_road``."""
        table = self.edition("cover")
        if not isinstance(table, Cover):
            return np.full(np.shape(diameters_mm), np.nan)
        return np.where(in_road, table.road_m, _stepped(table.elsewhere_m, diameters_mm))

    def minimum_slope(self, diameters_mm: npt.NDArray[Any]) -> Floats:
        """Least slope (m per m) of gravity conduits of these DN (mm); NaN for none or DN 0."""
        table = self.edition("minimum_slope")
        dn = np.asarray(diameters_mm, dtype=np.float64)
        if not isinstance(table, MinimumSlope):
            return np.full(dn.shape, np.nan)
        return table.numerator / np.where(dn > 0, dn, np.nan)


def _by_scale(
    tables: Mapping[int, Piecewise], scale: npt.NDArray[Any] | float, sizes: npt.NDArray[Any]
) -> Floats:
    """The piecewise linear table of each scale at each size; NaN for a scale without a table."""
    scales, sizes = np.broadcast_arrays(np.asarray(scale, np.float64), np.asarray(sizes, np.float64))
    found = np.full(sizes.shape, np.nan)
    for known, table in tables.items():
        which = scales == known
        if which.any():
            found[which] = table.at(sizes[which])
    return found


def _stepped(steps: tuple[Step, ...], sizes: npt.NDArray[Any]) -> Floats:
    """The value of the first step that reaches each size; NaN beyond the last, and for NaN."""
    sizes = np.asarray(sizes, dtype=np.float64)
    tops = np.array([np.inf if s.up_to is None else s.up_to for s in steps])
    values = np.array([*(s.value for s in steps), np.nan])
    return np.where(np.isnan(sizes), np.nan, values[np.searchsorted(tops, sizes, side="left")])
