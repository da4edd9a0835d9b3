"""Layers of pixels: orthophotos, elevation models, scanned map sheets (``rasters:`` of a layer file).

They have files instead of a table (``bandoso load-raster``), and are shown nowhere until there is one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from layers.basics import Access, Colour, Identifier, Model, Shown, Text, Zoom

if TYPE_CHECKING:
    from layers.model import SectorDef

Kind = Literal["imagery", "elevation", "scan"]

#: Most files that one picture is made of; of a layer that has more, there is an overview of them all, too.
MOST_FILES = 32

#: Pictures that can be made of each kind; the first is the default. ``terrain`` holds heights as colours
#: (Mapbox terrain-RGB), from which MapLibre draws relief by itself.
STYLES: dict[str, tuple[str, ...]] = {
    "imagery": ("default",),
    "scan": ("default",),
    "elevation": ("relief", "hillshade", "terrain"),
}

#: Height (m) -> colour of ``relief`` where a layer gives none: made for a delta, where a metre counts.
RELIEF: dict[float, str] = {
    -5: "#3b6ea5",
    0: "#7fb7c9",
    0.5: "#9fcfae",
    1.5: "#c3dd9a",
    3: "#e6e39a",
    8: "#e5c27e",
    20: "#cf9b66",
    60: "#a8744f",
    200: "#8a6a5a",
    600: "#efeae6",
}


class RasterDef(Model):
    """A raster layer as its YAML block says."""

    title: Text
    description: Text | None = None
    #: ``imagery``: colours or greys seen from above. ``elevation``: one band of heights (m) above the city's
    #: vertical datum. ``scan``: pictures of map sheets, each cut to the frame of its sheet.
    kind: Kind
    #: The agency of config/city.yml that answers for it.
    owner: Identifier
    access: Access = "public"
    #: Which file is on top where several overlap.
    first: Literal["newest", "finest"] = "newest"
    #: ``jpeg`` (imagery and scans only) is a tenth of the size, and changes pixels a little.
    compression: Literal["lossless", "jpeg"] = "lossless"
    #: First zoom of its tiles, when not the one at which its files are some pixels large.
    min_zoom: Zoom | None = None
    opacity: float = Field(default=1.0, ge=0, le=1)
    #: Whose work it is, as maps have to say it.
    attribution: Text | None = None
    #: Heights (m) that are possible; a file with others is refused (a void that it does not declare, feet).
    heights: tuple[float, float] = (-100.0, 4000.0)
    #: Height (m) -> colour, for the style ``relief`` of elevation models.
    relief: dict[float, Colour] = {}

    @model_validator(mode="after")
    def _coherent(self) -> RasterDef:
        if self.kind == "elevation" and self.compression != "lossless":
            raise ValueError("heights are kept lossless")
        if self.kind != "elevation" and self.relief:
            raise ValueError("relief is for kind elevation")
        if len(self.relief) == 1 or not all(map(math.isfinite, self.relief)):
            raise ValueError("relief needs two finite heights or more")
        if not self.heights[0] < self.heights[1]:
            raise ValueError("heights is the lowest possible height, then the highest")
        return self

    @property
    def styles(self) -> tuple[str, ...]:
        """Names of the pictures that are made of it, the default first."""
        return STYLES[self.kind]

    def rank(self, taken_on: date | None, loaded_at: datetime, resolution_m: float) -> tuple[float, ...]:
        """Files in this order: the first is on top."""
        newest = (-(taken_on.toordinal() if taken_on else 0), -loaded_at.timestamp())
        return (*newest, resolution_m) if self.first == "newest" else (round(resolution_m, 3), *newest)

    @property
    def ramp(self) -> tuple[tuple[float, str], ...]:
        """Heights (m) and colours of ``relief``, rising."""
        return tuple(sorted((self.relief or RELIEF).items()))


@dataclass(frozen=True)
class RasterLayer(Shown):
    """One raster layer of a catalogue."""

    id: str
    sector: SectorDef
    definition: RasterDef
    #: As a member sees it to whom it is shown, though not to anyone.
    revealed: bool = False

    def revealing(self) -> RasterLayer:
        """The layer for members who may see it."""
        return replace(self, revealed=True)
