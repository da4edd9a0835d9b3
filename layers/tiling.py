"""How a layer is in vector tiles: its zooms and attributes, and what stands for it where it is far away."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from layers.basics import Identifier, Model, Values, Zoom

#: Lengths in tile units: a tile's side has 4096 of them, so 8 are a pixel of a tile drawn at 512 pixels.
Units = float


class ZoomsBy(Model):
    """Features appear by the value of a field: motorways from afar, alleys from near.

    ``zooms`` gives value -> first zoom; a feature with another value, or none, appears at
    ``otherwise`` (default: the layer's min_zoom).
    """

    field: Identifier
    zooms: dict[str, Zoom]
    otherwise: Zoom | None = None


class Level(Model):
    """What is in the tiles of some low zooms instead of the features themselves.

    It is derived from all features of a small area at a time (``tiles.derive``) and kept in a table of its
    own, which follows every change. Lengths are in tile units (4096 along a tile) of the last of ``zooms``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    #: First and last zoom.
    zooms: tuple[Zoom, Zoom]
    #: ``blocks``: polygons that touch are united where their attributes are equal. ``lines``: lines that meet
    #: are joined where they are equal. ``points``: features (of any geometry) as points, the first of each
    #: square of ``spacing``. ``features``: each for itself, simplified.
    kind: Literal["blocks", "lines", "points", "features"] = Field(alias="as")
    #: Default: those of ``tiles.attributes`` (and of the style) at the first of ``zooms``. Blocks and lines
    #: are equal when all of these are.
    attributes: tuple[Identifier, ...] | None = None
    #: Only features with one of these values (null has none), or with none of them (null is kept).
    where: dict[Identifier, Values] = {}
    unless: dict[Identifier, Values] = {}
    #: Greatest deviation of a simplified line; of blocks, the side of the square that a bend may lose.
    simplify: Units = Field(default=4, ge=0, le=256)
    #: Left out: blocks and features smaller than a square of this side, lines (with all that is joined to
    #: them) that extend less.
    smallest: Units = Field(default=0, ge=0, le=4096)
    #: Blocks: gaps up to this width are bridged: streets between blocks, yards between houses.
    bridge: Units = Field(default=0, ge=0, le=256)
    #: Blocks: what touches becomes one block, with the attributes of the greatest part of its area.
    main: bool = False
    #: Points: at most one in a square of this side (of those with the same attributes in ``apart``).
    spacing: Units = Field(default=0, ge=0, le=4096)
    #: Points: which one of a square is kept: by the values of fields, the first named first; then by fid.
    rank: dict[Identifier, Values] = {}
    #: Points: features with other values of these fields do not displace each other.
    apart: tuple[Identifier, ...] = ()

    @model_validator(mode="after")
    def _coherent(self) -> Level:
        if self.zooms[0] > self.zooms[1]:
            raise ValueError(f"zooms: the first, {self.zooms[0]}, is greater than the last, {self.zooms[1]}")
        only = {
            "bridge": "blocks",
            "main": "blocks",
            "spacing": "points",
            "rank": "points",
            "apart": "points",
        }
        for name, kind in only.items():
            if getattr(self, name) and self.kind != kind:
                raise ValueError(f"{name} is for ``as: {kind}`` alone")
        if self.kind == "points" and not self.spacing:
            raise ValueError("``as: points`` needs a spacing")
        return self

    def covers(self, zoom: int) -> bool:
        """Whether tiles of this zoom are made from it."""
        return self.zooms[0] <= zoom <= self.zooms[1]

    def fields(self) -> tuple[str, ...]:
        """Fields that it names beside its attributes."""
        return (*self.where, *self.unless, *self.rank, *self.apart)


class Tiles(Model):
    """At which zooms the layer is in vector tiles, and which attributes from which zoom on."""

    min_zoom: Zoom = 12
    max_zoom: Zoom = 18
    #: zoom -> attributes that appear from that zoom on (cumulative). ``fid`` is the feature id.
    attributes: dict[Zoom, tuple[Identifier, ...]] = {}
    #: Buffer around the tile in 1/4096 of its side.
    buffer: int = Field(default=128, ge=0, le=512)
    #: Later zooms for some of the layer's features (see Layer.tile_filter).
    zooms_by: ZoomsBy | None = None
    #: What stands for the features at low zooms, ascending; at other zooms they are drawn themselves.
    generalise: tuple[Level, ...] = ()
    #: For layers that lie where nothing else does (map sheets): deeper tiles that hold only such layers are
    #: not in archives, but rendered when they are asked for. Default: all tiles are in archives.
    archive_alone_to: Zoom | None = None
    #: Of the ground that networks are drawn on, and light: maps on a slow line ask for it first, by itself.
    ground: bool = False

    @model_validator(mode="after")
    def _coherent(self) -> Tiles:
        if self.min_zoom > self.max_zoom:
            raise ValueError(f"min_zoom {self.min_zoom} is greater than max_zoom {self.max_zoom}")
        chosen = self.zooms_by
        zooms = [*chosen.zooms.values(), chosen.otherwise] if chosen else []
        zooms += [zoom for level in self.generalise for zoom in level.zooms]
        for zoom in (*self.attributes, *(z for z in zooms if z is not None)):
            if not self.min_zoom <= zoom <= self.max_zoom:
                raise ValueError(f"zoom {zoom} is not between min_zoom and max_zoom")
        for before, after in zip(self.generalise, self.generalise[1:], strict=False):
            if after.zooms[0] <= before.zooms[1]:
                raise ValueError(f"generalise: zoom {after.zooms[0]} is in two levels, or they do not ascend")
        return self

    def level(self, zoom: int) -> Level | None:
        """What stands for the features at this zoom; None: they do themselves."""
        return next((level for level in self.generalise if level.covers(zoom)), None)

    @property
    def first_plain(self) -> int:
        """The first zoom from which on features are drawn themselves (max_zoom + 1: never)."""
        return max([self.min_zoom, *(level.zooms[1] + 1 for level in self.generalise)])
