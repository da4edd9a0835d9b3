"""The CRSs bandoso knows: read from config/crs.yml, each with one pinned way to WGS 84."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gis.errors import ConfigError, UsageError
from gis.resources import config_dir

WGS84 = 4326
WEB_MERCATOR = 3857

Unit = Literal["metre", "us-ft", "degree"]
Axis = Literal["en", "ne"]
Box = tuple[float, float, float, float]

#: Metres in one unit; a degree is taken as a degree of the equator (only for tolerances).
METRES: dict[str, float] = {"metre": 1.0, "us-ft": 1200 / 3937, "degree": 111319.49079327358}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Helmert(_Model):
    """Seven parameters to WGS 84: metres, arc-seconds, parts per million (EPSG methods 9606, 9607)."""

    convention: Literal["coordinate_frame", "position_vector"]
    x: float
    y: float
    z: float
    rx: float
    ry: float
    rz: float
    s: float

    @property
    def towgs84(self) -> tuple[float, float, float, float, float, float, float]:
        """As ``+towgs84`` wants it: position vector, so a coordinate frame's rotations are negated."""
        sign = -1.0 if self.convention == "coordinate_frame" else 1.0
        return (self.x, self.y, self.z, sign * self.rx, sign * self.ry, sign * self.rz, self.s)

    @property
    def step(self) -> str:
        """The parameters of PROJ's helmert step."""
        names = ("x", "y", "z", "rx", "ry", "rz", "s")
        values = " ".join(f"+{n}={getattr(self, n)!r}" for n in names)
        return f"+proj=helmert {values} +convention={self.convention}"


class Datum(_Model):
    """A datum, the names under which files give it, and its shift to WGS 84."""

    names: tuple[str, ...]
    ellipsoid: str
    #: ``none``: its coordinates are WGS 84 coordinates, by decision and not by a library's default.
    shift: Helmert | Literal["none"]
    source: str
    domain: Box


class _Definition(_Model):
    name: str
    datum: str
    proj: Annotated[str, Field(pattern=r"^\+proj=\w+( \+\w+=[\w.+-]+)*$")]
    unit: Unit = "metre"
    axis: Axis = "en"
    area: Box
    domain: Box | None = None

    @model_validator(mode="after")
    def _coherent(self) -> _Definition:
        if (self.unit == "degree") != self.proj.startswith("+proj=longlat"):
            raise ValueError("unit degree goes with +proj=longlat, and only with it")
        return self


class Vector(_Model):
    """A point whose coordinates in two CRSs are known from elsewhere (x east, y north)."""

    name: str
    source: int = Field(alias="from")
    at: tuple[float, float]
    target: int = Field(alias="to")
    gives: tuple[float, float]
    #: Half a unit of the last published digit: nanodegrees are 0.1 mm, coordinates are given to 1 mm.
    tolerance_m: float = 0.001


class _File(_Model):
    datums: dict[str, Datum] = {}
    definitions: dict[int, _Definition] = {}
    proof: tuple[Vector, ...] = ()


@dataclass(frozen=True)
class CrsDef:
    """One CRS. Coordinates in bandoso are always x = east or longitude, y = north or latitude."""

    code: int
    name: str
    #: Name of the datum in crs.yml; two CRSs on one datum need no datum step between them.
    datum_id: str
    datum: Datum = field(repr=False)
    #: PROJ projection with unit, without datum: the step from radians to the CRS's units.
    proj: str
    unit: Unit
    #: Order in which the CRS's authority writes coordinates: ``ne`` for latitude, longitude.
    axis: Axis
    #: West, south, east, north (degrees) where bandoso uses the CRS; wider than ``area``.
    bounds: Box
    #: EPSG's area of use, in degrees.
    area: Box

    @property
    def projected(self) -> bool:
        return self.unit != "degree"

    @property
    def unit_m(self) -> float:
        """Metres per unit (for degrees: of the equator)."""
        return METRES[self.unit]

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The projection's ``+key=value`` pairs."""
        return dict(part[1:].split("=", 1) for part in self.proj.split() if "=" in part)


class CrsRegistry:
    """All known CRSs by EPSG code. Files may be added; a code is never redefined."""

    def __init__(self) -> None:
        self._datums: dict[str, Datum] = {}
        self._definitions: dict[int, CrsDef] = {}
        self._vectors: list[Vector] = []
        self._files: set[Path] = set()

    def __contains__(self, code: object) -> bool:
        return code in self._definitions

    def __iter__(self) -> Iterator[CrsDef]:
        return iter(self._definitions.values())

    def __getitem__(self, code: int) -> CrsDef:
        found = self._definitions.get(code)
        if found is None:
            raise UsageError(
                f"EPSG:{code} is not a CRS that bandoso knows",
                code="unknown-crs",
                hint="it knows "
                + ", ".join(str(c) for c in sorted(self._definitions))
                + "; define others, with"
                " a pinned datum, in a file that the city's crs: definitions names",
            )
        return found

    @property
    def vectors(self) -> tuple[Vector, ...]:
        """Points known in two CRSs, for gis.crs.prove."""
        return tuple(self._vectors)

    def read(self, path: Path) -> None:
        """Add the definitions of a file (once). Raises ConfigError naming file and place."""
        path = path.resolve()
        if path in self._files:
            return
        try:
            content = _File.model_validate(yaml.safe_load(path.read_bytes()) or {})
        except (OSError, yaml.YAMLError):
            raise ConfigError(f"the CRS file {path.name} cannot be read as YAML") from None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(p) for p in first["loc"])
            raise ConfigError(f"{path.name}: {place}: {first['msg']}") from None
        for name, datum in content.datums.items():
            if self._datums.setdefault(name, datum) != datum:
                raise ConfigError(f"{path.name}: datum {name} is already defined otherwise")
        for code, definition in content.definitions.items():
            made = self._made(path, code, definition)
            if self._definitions.setdefault(code, made) != made:
                raise ConfigError(f"{path.name}: EPSG:{code} is already defined otherwise")
        for vector in content.proof:
            for code in (vector.source, vector.target):
                if code not in self:
                    raise ConfigError(f"{path.name}: proof: EPSG:{code} is not defined")
        self._vectors += content.proof
        self._files.add(path)

    def _made(self, path: Path, code: int, given: _Definition) -> CrsDef:
        datum = self._datums.get(given.datum)
        if datum is None:
            raise ConfigError(f"{path.name}: EPSG:{code}: there is no datum {given.datum}")
        units = {"metre": " +units=m", "us-ft": " +units=us-ft", "degree": ""}[given.unit]
        return CrsDef(
            code=code,
            name=given.name,
            datum_id=given.datum,
            datum=datum,
            proj=f"{given.proj} +ellps={datum.ellipsoid}{units}",
            unit=given.unit,
            axis=given.axis,
            bounds=given.domain or datum.domain,
            area=given.area,
        )


_lock = threading.Lock()
_registry: CrsRegistry | None = None


def registry() -> CrsRegistry:
    """The registry of this process: the shipped crs.yml and what was registered."""
    global _registry
    with _lock:
        if _registry is None:
            made = CrsRegistry()
            made.read(config_dir() / "crs.yml")
            _registry = made
        return _registry


def register(path: Path) -> None:
    """Add a city's own CRS file. Raises ConfigError when it contradicts what is known."""
    known = registry()
    with _lock:
        known.read(path)


def is_known(code: int) -> bool:
    """Is there a pinned definition for this EPSG code?"""
    return code in registry()


def definition(code: int) -> CrsDef:
    """The definition of an EPSG code. Raises UsageError (unknown-crs)."""
    return registry()[code]
