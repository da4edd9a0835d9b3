"""The city's configuration: CRS, extent, agencies, sheet systems. Another city is another file."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gis.errors import ConfigError
from layers.model import Identifier, Text


class Model(BaseModel):
    """Strict base: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Area(Model):
    """Where an agency works: all of what is given together."""

    #: Codes of wards and communes.
    wards: tuple[str, ...] = ()
    #: West, south, east, north in degrees (WGS 84).
    box: tuple[float, float, float, float] | None = None
    #: A ring of longitude and latitude in degrees (WGS 84).
    polygon: tuple[tuple[float, float], ...] = ()

    @model_validator(mode="after")
    def _coherent(self) -> Area:
        if not self.wards and self.box is None and not self.polygon:
            raise ValueError("an area has wards, a box or a polygon")
        if self.box and not (
            -180 <= self.box[0] < self.box[2] <= 180 and -90 <= self.box[1] < self.box[3] <= 90
        ):
            raise ValueError("box must be west, south, east, north in degrees")
        if self.polygon and len(set(self.polygon)) < 3:
            raise ValueError("a polygon has three corners or more")
        if any(not (-180 <= lon <= 180 and -90 <= lat <= 90) for lon, lat in self.polygon):
            raise ValueError("polygon must be longitudes and latitudes in degrees")
        return self


class Agency(Model):
    """An organisation that owns features."""

    id: Identifier
    title: Text
    sectors: tuple[Identifier, ...] = ()
    #: Where its features lie (check XLY-06); None: anywhere.
    area: Area | None = None
    #: The shared warehouse: its stewards and admins act for all agencies.
    shared: bool = False


class CrsConfig(Model):
    """Which CRSs the city uses; their definitions are in config/crs.yml (see gis.crs)."""

    #: EPSG code in which geometry is stored; planar, metres (or the zone's unit), axis order E,N.
    storage: int
    #: Codes offered by the API beside CRS84, EPSG:4326, EPSG:3857 and the storage CRS.
    offered: tuple[int, ...] = ()
    #: Further files of the form of config/crs.yml, relative to the city file.
    definitions: tuple[str, ...] = ()


class City(Model):
    """``city.yml``."""

    id: Identifier
    title: Text
    languages: tuple[Literal["vi", "en"], ...] = ("vi", "en")
    crs: CrsConfig
    #: West, south, east, north in degrees (WGS 84): where the city's data can be.
    extent: tuple[float, float, float, float]
    vertical_datum: str = ""
    #: IANA name of the zone whose calendar says what day it is (dated tables of law, acceptances that end).
    time_zone: str = "Asia/Ho_Chi_Minh"
    agencies: tuple[Agency, ...]
    #: Sheet index layer -> (system, scale) that fills it.
    sheets: dict[Identifier, tuple[Literal["topographic", "cadastral"], ...]] = {}
    sheet_scales: tuple[int, ...] = (5000, 2000)
    #: Boxes (degrees, WGS 84) over which sheets are indexed; none means the whole extent.
    sheet_areas: tuple[tuple[float, float, float, float], ...] = ()
    #: Longitude, latitude, zoom of the page's first view.
    view: tuple[float, float, float]
    #: Longitude and latitude of the demo district's centre.
    demo_anchor: tuple[float, float] | None = None
    #: Further folders of layer files, relative to this file.
    layers: tuple[str, ...] = ()
    #: Folder of the city's own tables of law, relative to this file: each replaces the shipped table of its
    #: name (see gis.checks.law).
    law: str = ""
    path: Path | None = Field(default=None, exclude=True)

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (LookupError, ValueError, OSError):  # OSError: the name of a folder, or too long
            raise ValueError(
                f"no time zone {name!r} is known; write an IANA name like Asia/Ho_Chi_Minh"
            ) from None
        return name

    @model_validator(mode="after")
    def _coherent(self) -> City:
        west, south, east, north = self.extent
        if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
            raise ValueError("extent must be west, south, east, north in degrees")
        return self

    def today(self) -> date:
        """The day it is in the city, whatever the clock of the machine is set to."""
        return datetime.now(ZoneInfo(self.time_zone)).date()

    @property
    def agency_ids(self) -> tuple[str, ...]:
        return tuple(a.id for a in self.agencies)

    @property
    def layer_directories(self) -> tuple[Path, ...]:
        base = self.path.parent if self.path else Path()
        return tuple((base / name).resolve() for name in self.layers)

    @property
    def law_directory(self) -> Path | None:
        """The folder of ``law:``; None when only the shipped tables hold."""
        return ((self.path.parent if self.path else Path()) / self.law).resolve() if self.law else None


def load_city(path: Path) -> City:
    """Read and check a city file. Raises ConfigError naming the file and the place."""
    try:
        content = yaml.safe_load(path.read_bytes())
    except FileNotFoundError:
        raise ConfigError(f"there is no city file {path.name}", hint="name one with --city") from None
    except OSError as error:
        raise ConfigError(
            f"the city file {path.name} cannot be read ({(error.strerror or 'no access').lower()})"
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f": line {mark.line + 1}: {getattr(error, 'problem', None) or 'mistake'}" if mark else ""
        raise ConfigError(f"{path.name} is not valid YAML{where}") from None
    try:
        city = City.model_validate({**(content or {}), "path": path})
    except (ValidationError, TypeError) as error:
        if isinstance(error, TypeError):
            raise ConfigError(f"{path.name} must be a mapping") from None
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"])
        raise ConfigError(f"{path.name}: {place}: {first['msg']}") from None
    _check_crs(city, path)
    return city


def _check_crs(city: City, path: Path) -> None:
    """Take in the city's own CRS files; every code it uses must then have a pinned definition."""
    from gis import crs  # brings numpy and PROJ, which --help does without

    for name in city.crs.definitions:
        crs.register((path.parent / name).resolve())
    for code in (city.crs.storage, *city.crs.offered):
        if not crs.is_known(code):
            raise ConfigError(
                f"{path.name}: crs: EPSG:{code} has no definition",
                hint="write one, with a pinned datum, in a file that crs: definitions names",
            )
    if not crs.definition(city.crs.storage).projected:
        raise ConfigError(f"{path.name}: crs.storage: EPSG:{city.crs.storage} is not a plane CRS")
