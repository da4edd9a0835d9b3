"""What is asked for, read and checked as a whole before the database is: of a print, and of an image.

Raster layers are drawn when they are named: a map has one ground, and that is the city's own at first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from gis.crs import WGS84, transform_xy
from gis.errors import LimitError, UsageError
from gis.print import UNIT
from gis.print.fonts import clean
from gis.print.sheet import ORIENTATIONS, PAPERS, SCREEN_PIXEL_MM, Rect
from layers.raster import RasterLayer
from layers.registry import Catalogue, Layer

PRINT: Final = ("center", "scale", "paper", "orientation", "layers", "title", "lang", "f")
IMAGE: Final = ("bbox", "center", "scale", "width", "height", "layers", "filter", "lang", "f")

SCALES: Final = (100, 50_000)
#: Letters of a title.
MOST_TITLE: Final = 120
#: Pixels of a side of an image, and of an image.
SIDES: Final = (16, 4096)
MOST_PIXELS: Final = 8_000_000


@dataclass(frozen=True)
class Condition:
    """What narrows a layer down: SQL of its columns with named placeholders, and their values."""

    text: str
    values: Mapping[str, object]


@dataclass(frozen=True)
class Wish:
    """What a print and an image have in common. ``layers`` in the catalogue's order."""

    center: tuple[float, float]
    scale: float
    layers: tuple[Layer, ...]
    language: str
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    #: What lies under the features.
    rasters: tuple[RasterLayer, ...] = ()


@dataclass(frozen=True)
class PrintWish(Wish):
    """A print."""

    paper: str = "a4"
    orientation: str = "landscape"
    title: str = ""


@dataclass(frozen=True)
class ImageWish(Wish):
    """An image of so many pixels."""

    width: int = 800
    height: int = 600


def with_conditions[W: Wish](wish: W, conditions: Mapping[str, Condition]) -> W:
    """The wish with these conditions, by layer id."""
    return replace(wish, conditions=conditions)


def wrong(name: str, message: str, hint: str | None = None) -> UsageError:
    """The error for a parameter."""
    return UsageError(message, hint=hint, errors=[{"parameter": name, "detail": message}])


def read_print(given: Mapping[str, str], catalogue: Catalogue, language: str) -> PrintWish:
    """The parameters of a print. Raises UsageError that names the parameter."""
    for name in ("center", "scale"):
        if name not in given:
            raise wrong(name, f"{name} is needed", "such as center=106.722,10.779&scale=1000")
    scale = number(given["scale"], "scale")
    if not SCALES[0] <= scale <= SCALES[1] or scale != int(scale):
        raise wrong(
            "scale", f"scale must be a whole number from {SCALES[0]} to {SCALES[1]}", "1000 is 1:1000"
        )
    layers, rasters = _layers(given.get("layers"), catalogue)
    return PrintWish(
        center=_center(given["center"]),
        scale=int(scale),
        layers=layers,
        rasters=rasters,
        language=language,
        paper=_choice(given.get("paper", "a4").lower(), tuple(PAPERS), "paper"),
        orientation=_choice(given.get("orientation", "landscape").lower(), ORIENTATIONS, "orientation"),
        title=clean(given.get("title", ""), MOST_TITLE),
    )


def read_image(given: Mapping[str, str], catalogue: Catalogue, language: str, storage: int) -> ImageWish:
    """The parameters of an image. Raises UsageError that names the parameter."""
    width, height = _side(given, "width", 800), _side(given, "height", 600)
    if width * height > MOST_PIXELS:
        raise LimitError(
            f"the image would have more than {MOST_PIXELS} pixels",
            hint="ask for a smaller width or height, or for a print (/print)",
            errors=[{"parameter": "width", "detail": f"width times height must be at most {MOST_PIXELS}"}],
        )
    if "bbox" in given:
        if "center" in given or "scale" in given:
            raise wrong("bbox", "bbox goes without center and scale")
        center, scale = _fitted(given["bbox"], width, height, storage)
    else:
        for name in ("center", "scale"):
            if name not in given:
                raise wrong(name, f"{name} is needed where bbox is not given", "bbox=west,south,east,north")
        center, scale = _center(given["center"]), number(given["scale"], "scale")
    if not SCALES[0] <= scale <= SCALES[1]:
        raise wrong(
            "bbox" if "bbox" in given else "scale",
            f"the image would be at 1:{scale:.0f}; it must be 1:{SCALES[0]} to 1:{SCALES[1]}",
            "ask for another part of the city, or for more pixels",
        )
    layers, rasters = _layers(given.get("layers"), catalogue)
    return ImageWish(center, scale, layers, language, {}, rasters, width, height)


def image_window(wish: ImageWish) -> Rect:
    """The page of an image: a pixel of CSS for each of its pixels."""
    pixel = SCREEN_PIXEL_MM * UNIT
    return Rect(0, 0, wish.width * pixel, wish.height * pixel)


def number(text: str, name: str) -> float:
    """A finite number in decimal digits. Raises UsageError."""
    try:
        value = float(text) if len(text) <= 40 and text.isascii() and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise wrong(name, f"{name} must be made of numbers")
    return value


def _center(text: str) -> tuple[float, float]:
    parts = [number(part.strip(), "center") for part in text.split(",", 3)]
    if len(parts) != 2:
        raise wrong("center", "center must be longitude,latitude", "such as 106.722,10.779")
    lon, lat = parts
    if not (-180 <= lon <= 180 and -85 <= lat <= 85):
        raise wrong("center", "center must be longitude,latitude in degrees", "is the order right?")
    return lon, lat


def _fitted(text: str, width: int, height: int, storage: int) -> tuple[tuple[float, float], float]:
    """Centre and scale at which the whole box is in the image."""
    parts = [number(part.strip(), "bbox") for part in text.split(",", 5)]
    if len(parts) != 4:
        raise wrong("bbox", "bbox must have 4 numbers", "as west,south,east,north in degrees")
    west, south, east, north = parts
    if not (-180 <= west < east <= 180 and -85 <= south < north <= 85):
        raise wrong("bbox", "bbox must be west,south,east,north in degrees", "is the order right?")
    x, y = transform_xy([west, east, east, west], [south, south, north, north], WGS84, storage)
    pixel = SCREEN_PIXEL_MM / 1000
    scale = max((x.max() - x.min()) / (width * pixel), (y.max() - y.min()) / (height * pixel))
    return ((west + east) / 2, (south + north) / 2), float(scale) if math.isfinite(scale) else math.inf


def _layers(text: str | None, catalogue: Catalogue) -> tuple[tuple[Layer, ...], tuple[RasterLayer, ...]]:
    """Those named, or all that the city's map shows at first."""
    if text is None:
        return tuple(one for one in catalogue.public() if one.definition.loadable), ()
    wanted = {name.strip() for name in text.split(",")} - {""}
    found = tuple(one for one in catalogue.public() if one.id in wanted)
    rasters = tuple(one for one in catalogue.rasters.values() if one.is_public and one.id in wanted)
    if not wanted or len(found) + len(rasters) < len(wanted):
        raise not_there()
    return found, rasters


def not_there() -> UsageError:
    """The error for a layer that is none, is not for the caller, or (a raster layer) has no files."""
    return wrong("layers", "layers names a layer that is not there", "see /collections for the list")


def _choice(text: str, offered: tuple[str, ...], name: str) -> str:
    if text not in offered:
        raise wrong(name, f"{name} must be one of {', '.join(offered)}")
    return text


def _side(given: Mapping[str, str], name: str, default: int) -> int:
    value = number(given[name], name) if name in given else default
    if not SIDES[0] <= value <= SIDES[1] or value != int(value):
        raise wrong(name, f"{name} must be a whole number of pixels from {SIDES[0]} to {SIDES[1]}")
    return int(value)
