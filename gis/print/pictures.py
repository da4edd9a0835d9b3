"""Raster layers on a page: pictures under the features, in blocks, so that any size needs little memory.

Blocks overlap by a pixel, as viewers let the ground shine through where two images meet.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gis.crs import Box
from gis.errors import LimitError
from gis.print.pdf import Pdf, number_text
from gis.print.sheet import Ground
from tiles.mosaic import MOST_SCENES, Mosaic

#: mm of a pixel on paper: 200 to the inch.
PIXEL_MM: Final = 25.4 / 200
#: Pixels of a raster layer on a page; a large paper has larger ones.
MOST_PIXELS: Final = 24_000_000
#: Pixels of a block's side: with what it is computed from, a block takes some 20 MB.
_BLOCK: Final = 512
#: Files of a block.
_MOST_FILES: Final = 4 * MOST_SCENES


@dataclass(frozen=True)
class Block:
    """Some pixels: column and row of the first (from the north-west), and how many."""

    column: int
    row: int
    width: int
    height: int


class Picture:
    """One raster layer in the window. ``draw`` each of ``blocks``, then ``close``."""

    def __init__(self, mosaic: Mosaic, ground: Ground, pixel: float) -> None:
        """``pixel``: units of a pixel, where the files are as fine and the page is no larger than may be."""
        self.mosaic, self._ground = mosaic, ground
        window = ground.window
        finest = mosaic.finest * ground.units
        #: Units of a pixel.
        self.pixel = max(pixel, finest, math.sqrt(window.width * window.height / MOST_PIXELS))
        self.columns = math.ceil(window.width / self.pixel - 1e-6)
        self.rows = math.ceil(window.height / self.pixel - 1e-6)
        self._numbers: dict[str, int] = {}
        self._content: list[str] = []

    def blocks(self) -> Iterator[Block]:
        """All blocks, row by row; each with a pixel of the next."""
        for row in range(0, self.rows, _BLOCK):
            for column in range(0, self.columns, _BLOCK):
                yield Block(
                    column, row, min(_BLOCK + 1, self.columns - column), min(_BLOCK + 1, self.rows - row)
                )

    def draw(self, block: Block, pdf: Pdf) -> None:
        """Read and write a block. Raises tiles.mosaic.Gone, and LimitError where too many files meet."""
        from tiles import raster  # 47 MB that a process without rasters does without

        box = self._box(block)
        step = self.pixel / self._ground.units
        scenes = self.mosaic.seen(box, self.mosaic.storage, step, most=_MOST_FILES)
        if len(scenes) > _MOST_FILES + 1:
            raise LimitError(
                f"{self.mosaic.layer.id} has too many files here to be drawn at this scale",
                code="map-too-rich",
                hint="choose a larger scale, or leave the layer out",
            )
        if not scenes:
            return
        style = self.mosaic.layer.definition.styles[0]
        made = raster.opaque_picture(self.mosaic, scenes, box, block.width, block.height, style)
        if made is None:
            return
        name = f"B{len(self._numbers)}"
        self._numbers[name] = pdf.image(*made, block.width, block.height)
        window = self._ground.window
        wide, high = block.width * self.pixel, block.height * self.pixel
        left, top = window.x + block.column * self.pixel, window.top - block.row * self.pixel
        sides = " ".join(number_text(v) for v in (left, top - high))
        self._content.append(f"q {number_text(wide)} 0 0 {number_text(high)} {sides} cm /{name} Do Q\n")

    def close(self) -> tuple[str, dict[str, int]]:
        """Operators, and the images that they name; both empty when nothing of the layer is in the window."""
        return "".join(self._content), self._numbers

    def _box(self, block: Block) -> Box:
        """Of a block, in the storage CRS."""
        west, north = self._ground.box[0], self._ground.box[3]
        step = self.pixel / self._ground.units
        left, top = west + block.column * step, north - block.row * step
        return (left, top - block.height * step, left + block.width * step, top)
