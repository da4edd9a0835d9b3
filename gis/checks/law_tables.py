"""The form of config/law/*.yml: tables, their editions, and reading them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gis.errors import ConfigError
from layers.reader import read_yaml

Positive = Field(gt=0, allow_inf_nan=False)
NotNegative = Field(ge=0, allow_inf_nan=False)


class Model(BaseModel):
    """Strict base: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, ignored_types=(cached_property,))


class Edition(Model):
    """A table as it was in force from a day to a day (both included; null: open)."""

    source: str = Field(min_length=3)
    confidence: Literal["primary", "secondary", "unverified"]
    effective_from: date | None = None
    effective_to: date | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Edition:
        if self.effective_from and self.effective_to and self.effective_from > self.effective_to:
            raise ValueError("effective_from is after effective_to")
        return self

    def holds_on(self, day: date) -> bool:
        return self.first <= day <= self.last

    @property
    def first(self) -> date:
        return self.effective_from or date.min

    @property
    def last(self) -> date:
        return self.effective_to or date.max


class PositionLimit(Edition):
    """Greatest error of a point (cm) by scale denominator."""

    limits_cm: dict[int, float] = Field(min_length=1)
    farm_factor: float = Field(default=1.0, gt=0)
    farm_scales: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _positive(self) -> PositionLimit:
        if any(limit <= 0 for limit in self.limits_cm.values()):
            raise ValueError("limits_cm must be positive")
        return self


class Rate(Model):
    """So much more for each further unit, up to a size (null: without end)."""

    rate: Decimal = Field(ge=0)
    until: Decimal | None = None


class Piecewise(Model):
    """A tolerance that grows with the size: ``base`` up to ``until``, then by ``then``."""

    base: Decimal = Field(ge=0)
    until: Decimal = Field(ge=0)
    #: The rates are for so many units (10: m2 for each further 10 m2).
    per: Decimal = Field(default=Decimal(1), gt=0)
    then: tuple[Rate, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _rising(self) -> Piecewise:
        ends = [self.until, *(r.until for r in self.then[:-1])]
        if any(end is None for end in ends) or self.then[-1].until is not None:
            raise ValueError("every rate but the last has an until, the last has none")
        if any(b <= a for a, b in pairwise(e for e in ends if e is not None)):
            raise ValueError("the untils must rise")
        return self

    @cached_property
    def knots(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Size where each piece begins, the tolerance there, its slope. Summed in decimal: no drift."""
        at, value = [self.until], [self.base]
        for rate in self.then[:-1]:
            assert rate.until is not None
            value.append(value[-1] + rate.rate * (rate.until - at[-1]) / self.per)
            at.append(rate.until)
        slopes = [rate.rate / self.per for rate in self.then]
        return np.array(at, np.float64), np.array(value, np.float64), np.array(slopes, np.float64)

    def at(self, sizes: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """The tolerance at each size, in the table's unit; NaN for NaN."""
        starts, values, slopes = self.knots
        piece = np.clip(np.searchsorted(starts, sizes, side="right") - 1, 0, None)
        grown: npt.NDArray[np.float64] = values[piece] + slopes[piece] * np.maximum(sizes - starts[piece], 0)
        return grown


class EdgeTolerance(Edition):
    """Tolerance of edge lengths (cm by m) for each scale denominator."""

    scales: dict[int, Piecewise] = Field(min_length=1)


class AreaTolerance(Edition):
    """Tolerance of areas (m2 by m2) for each scale denominator."""

    scales: dict[int, Piecewise] = Field(min_length=1)


class LandUse(Edition):
    """Codes of land use; ``farm``: those that mean farm land."""

    codes: tuple[str, ...] = Field(min_length=1)
    farm: tuple[str, ...] = ()


class Clearance(Edition):
    """Least distances (m) between kinds of works; a pair is given in either order."""

    pairs: dict[str, dict[str, float | None]]
    otherwise: float | None = None

    @model_validator(mode="after")
    def _symmetric(self) -> Clearance:
        for a, row in self.pairs.items():
            for b, value in row.items():
                if value is not None and value < 0:
                    raise ValueError(f"{a} and {b}: {value} is negative")
                if a in self.pairs.get(b, {}) and self.pairs[b][a] != value:
                    raise ValueError(f"{a} and {b} are given twice, differently")
        return self

    def between(self, a: str, b: str) -> float | None:
        for one, other in ((a, b), (b, a)):
            if other in self.pairs.get(one, {}):
                return self.pairs[one][other]
        return self.otherwise


class ParallelWater(Edition):
    """Distance (m) from this DN (mm) on."""

    from_dn: dict[float, float] = Field(min_length=1)


class Step(Model):
    """A value for sizes up to ``up_to`` (included; null: without end)."""

    up_to: float | None = None
    value: float = NotNegative


def _steps(steps: tuple[Step, ...]) -> None:
    tops = [s.up_to for s in steps]
    known = [top for top in tops if top is not None]
    if not steps or None in tops[:-1] or any(b <= a for a, b in pairwise(known)):
        raise ValueError("steps must rise, and only the last may be without up_to")


class OverheadCorridor(Edition):
    """Corridor (m) on each side by voltage (kV)."""

    above_kv: float = NotNegative
    bare: tuple[Step, ...]
    insulated: tuple[Step, ...]

    @model_validator(mode="after")
    def _stepped(self) -> OverheadCorridor:
        _steps(self.bare)
        _steps(self.insulated)
        return self


class ManholeSpacing(Edition):
    """Greatest distance (m) between manholes by DN (mm)."""

    from_dn: float = NotNegative
    spacing_m: tuple[Step, ...]

    @model_validator(mode="after")
    def _stepped(self) -> ManholeSpacing:
        _steps(self.spacing_m)
        return self


class Cover(Edition):
    """Least cover (m)."""

    road_m: float = NotNegative
    elsewhere_m: tuple[Step, ...]

    @model_validator(mode="after")
    def _stepped(self) -> Cover:
        _steps(self.elsewhere_m)
        return self


class MinimumSlope(Edition):
    """Least slope: numerator / DN (mm)."""

    numerator: float = Positive


TABLES: dict[str, type[Edition]] = {
    "position_limit": PositionLimit,
    "edge_tolerance": EdgeTolerance,
    "area_tolerance": AreaTolerance,
    "land_use": LandUse,
    "horizontal_clearance": Clearance,
    "vertical_clearance": Clearance,
    "parallel_water": ParallelWater,
    "overhead_corridor": OverheadCorridor,
    "manhole_spacing": ManholeSpacing,
    "cover": Cover,
    "minimum_slope": MinimumSlope,
}

#: All tables; the editions of each in the order of their days.
Book = Mapping[str, tuple[Edition, ...]]


def load_book(shipped: Path, own: Path | None = None) -> Book:
    """The tables of ``shipped``, those of ``own`` in their place. Raises ConfigError."""
    book = _folder(shipped)
    missing = sorted(TABLES.keys() - book.keys())
    if missing:
        raise ConfigError(f"law: {shipped.name} has no table {missing[0]}")
    return {**book, **(_folder(own) if own else {})}


def _folder(folder: Path) -> dict[str, tuple[Edition, ...]]:
    if not folder.is_dir():
        raise ConfigError(f"law: there is no folder {folder.name}", hint="law: in city.yml names it")
    book: dict[str, tuple[Edition, ...]] = {}
    for path in sorted(folder.glob("*.yml")):
        try:
            content = read_yaml(path.read_bytes())
        except OSError as error:
            raise ConfigError(
                f"{path.name} cannot be read ({(error.strerror or 'no access').lower()})"
            ) from None
        except ValueError as error:
            raise ConfigError(f"{path.name}: {error}") from None
        if not isinstance(content, dict):
            raise ConfigError(f"{path.name}: must be a mapping of tables")
        for name, editions in content.items():
            if name not in TABLES:
                raise ConfigError(
                    f"{path.name}: there is no table {str(name)[:60]}", hint="known: " + ", ".join(TABLES)
                )
            if name in book:
                raise ConfigError(f"{path.name}: the table {name} is defined twice")
            book[name] = _editions(f"{path.name}: {name}", TABLES[name], editions)
    return book


def _editions(where: str, kind: type[Edition], content: object) -> tuple[Edition, ...]:
    if not isinstance(content, list) or not content:
        raise ConfigError(f"{where}: must be a list of editions")
    found: list[Edition] = []
    for number, edition in enumerate(content):
        try:
            found.append(kind.model_validate(edition))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in (number, *first["loc"]))
            raise ConfigError(f"{where}.{place}: {first['msg'].removeprefix('Value error, ')}") from None
    found.sort(key=lambda e: e.first)
    for earlier, later in pairwise(found):
        if earlier.last >= later.first:
            raise ConfigError(f"{where}: two editions are in force on {later.first.isoformat()}")
    return tuple(found)
