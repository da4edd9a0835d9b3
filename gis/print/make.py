"""Makes a map: reads layer by layer, draws what comes in a thread, and puts the page together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import date
from typing import BinaryIO, Final

from gis.city import City
from gis.db.member import Connections
from gis.errors import DatabaseError, LimitError
from gis.print import UNIT
from gis.print.drawing import Counter, LayerDrawing
from gis.print.furniture import Drawn, Furniture
from gis.print.grid import draw_frame, draw_grid
from gis.print.labels import Candidate, Placed, Room, place
from gis.print.legend import signs_of
from gis.print.order import ImageWish, PrintWish, Wish, image_window, not_there
from gis.print.page import Page
from gis.print.palette import Palette
from gis.print.pdf import Ink, Pdf
from gis.print.pen import Pen, text_at
from gis.print.pictures import PIXEL_MM as PICTURE_MM
from gis.print.pictures import Picture
from gis.print.reading import statement
from gis.print.sheet import PIXEL_MM, SCREEN_PIXEL_MM, Ground, Layout, ground_of, layout_of
from gis.print.symbols import symbols_of
from layers.registry import Layer
from tiles.mosaic import Gone, Mosaic
from tiles.style import BACKGROUND

#: Bytes of a file.
MOST_BYTES: Final = 80_000_000
#: Features that are drawn at a time.
_BATCH: Final = 4000
#: Seconds that a map may take.
SECONDS: Final = 240.0


@dataclass(frozen=True)
class Site:
    """Where a map is made: the city, the caller's connections to a layer, threads to draw in, the day."""

    city: City
    reading: Callable[[Layer], Connections]
    threads: Executor
    today: date
    #: The files of raster layers that the caller may see, by layer; read now when the argument is true.
    mosaics: Callable[[bool], Awaitable[Mapping[str, Mosaic]]]


async def make_print(wish: PrintWish, site: Site, file: BinaryIO) -> None:
    """Write the PDF of a print. Raises LimitError, UsageError and what the database raises."""
    layout = layout_of(wish.paper, wish.orientation)
    ground = ground_of(layout.map, wish.center, wish.scale, site.city.crs.storage, PIXEL_MM)
    work = _Work(wish, site, ground, file, PICTURE_MM)
    drawn = await work.map()
    await work.run(_around, work, wish, layout, drawn)


async def make_picture(wish: ImageWish, site: Site, file: BinaryIO) -> None:
    """Write the PDF that an image is made of: the map alone, a CSS pixel for each of the image's."""
    window = image_window(wish)
    ground = ground_of(window, wish.center, wish.scale, site.city.crs.storage, SCREEN_PIXEL_MM)
    work = _Work(wish, site, ground, file, SCREEN_PIXEL_MM)
    await work.map()
    await work.run(work.page.finish, window.width, window.height, None, wish.language)


def _around(work: _Work, wish: PrintWish, layout: Layout, drawn: Drawn) -> None:
    """Everything beside the features, and the end of the file."""
    page, ink = work.page, Ink()
    pen = Pen(ink, page.palette, layout.growth)
    ink.write("q ")
    draw_grid(pen, work.ground, layout, wish.paper)
    draw_frame(pen, layout)
    furniture = Furniture(pen, wish, work.site.city, work.ground, layout, work.site.today)
    furniture.draw(drawn)
    ink.write("Q\n")
    page.add([ink.close()])
    page.finish(layout.width, layout.height, furniture.title, wish.language, work.ground)


class _Work:
    """One map being made."""

    def __init__(self, wish: Wish, site: Site, ground: Ground, file: BinaryIO, picture_mm: float) -> None:
        self.wish, self.site, self.ground = wish, site, ground
        self._picture_mm = picture_mm
        self._pdf = Pdf(file, MOST_BYTES)
        self.page = Page(self._pdf, Palette(self._pdf))
        self._counter = Counter()
        self._labels: list[tuple[float, str, list[Candidate]]] = []

    async def run[**P](self, task: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Do it in a thread."""
        assert not kwargs
        await asyncio.get_running_loop().run_in_executor(self.site.threads, task, *args)

    async def map(self) -> Drawn:
        """Draw all features and their labels."""
        window = self.ground.window
        self.page.begin(window, BACKGROUND)
        drawn = Drawn()
        found: dict[str, LayerDrawing] = {}
        try:
            async with asyncio.timeout(SECONDS):
                pictures = await self._rasters()
                for layer in sorted(self.wish.layers, key=lambda one: one.definition.style.order):
                    made = await self._layer(layer, drawn)
                    if made is not None:
                        found[layer.id] = made
        except TimeoutError:
            raise LimitError(
                f"the map took more than {SECONDS:.0f} s and was given up",
                code="map-too-rich",
                hint="choose fewer layers, a smaller paper or a larger scale",
            ) from None
        await self.run(self._place)
        self.page.end_map()
        for layer in self.wish.layers:
            if layer.id in found and found[layer.id].shown:
                entries = found[layer.id].entries
                drawn.signs.append((layer, [entries[n] for n in sorted(found[layer.id].shown)]))
                drawn.parts |= found[layer.id].parts
                drawn.underground |= layer.field("quality_level") is not None
        drawn.pictures = pictures
        drawn.signs += [(one.layer, signs_of(one)) for one in pictures]
        return drawn

    async def _rasters(self) -> list[Mosaic]:
        """Draw the raster layers; those of which something is in the window. Raises UsageError for one that
        has no files, which is one that is not there."""
        shown: list[Mosaic] = []
        if not self.wish.rasters:
            return shown
        mosaics = await self.site.mosaics(False)
        for layer in self.wish.rasters:
            for again in (False, True):
                mosaic = mosaics.get(layer.id)
                if mosaic is None:
                    raise not_there()
                try:
                    shown += [mosaic] if await self._raster(mosaic) else []
                    break
                except Gone as error:  # the layer was replaced while it was drawn
                    if again:
                        raise DatabaseError(f"files of {layer.id} cannot be read at the moment") from error
                    mosaics = await self.site.mosaics(True)
        return shown

    async def _raster(self, mosaic: Mosaic) -> bool:
        """Draw a raster layer, block by block. Raises Gone."""
        picture = Picture(mosaic, self.ground, self._picture_mm * UNIT)
        for block in picture.blocks():
            await self.run(picture.draw, block, self._pdf)
        content, images = picture.close()
        if not images:
            return False
        window, palette = self.ground.window, self.page.palette
        box = (window.x, window.y, window.right, window.top)
        ink = Ink()
        ink.write(palette.together(content, images, box, mosaic.layer.definition.opacity))
        title = mosaic.layer.title
        group = palette.group(title.en if self.wish.language == "en" else title.vi)
        self.page.add([ink.close()], group)
        return True

    async def _layer(self, layer: Layer, drawn: Drawn) -> LayerDrawing | None:
        ground, condition = self.ground, self.wish.conditions.get(layer.id)
        level = layer.definition.tiles.level(int(ground.zoom))
        low = level is not None and condition is None and not layer.revealed
        # whole features look as from near
        zoom = ground.zoom if low else max(ground.zoom, layer.definition.tiles.first_plain)
        shown = layer.definition.tiles.min_zoom <= ground.zoom
        symbols = symbols_of(layer, self.wish.language, zoom) if shown else []
        if not symbols:
            drawn.unseen.append(layer)
            return None
        made = LayerDrawing(layer, symbols, replace(ground, zoom=zoom), self.page.palette, self._counter)
        asked = statement(layer, ground, made.names, condition)
        async with self.site.reading(layer).connection() as connection, connection.transaction():
            # all rows are wanted: else a cursor is planned for the first of them, along the fids
            await connection.execute("SET LOCAL cursor_tuple_fraction = 1")
            async with connection.cursor("print", binary=True) as cursor:
                await cursor.execute(asked.text, asked.values)
                while rows := await cursor.fetchmany(_BATCH):
                    await self.run(made.take, rows)
        if made.count and low:
            drawn.low.append(layer)
        if made.count and condition is not None:
            drawn.filtered.append(layer)
        title = layer.title.en if self.wish.language == "en" else layer.title.vi
        group = self.page.palette.group(title) if made.count else ""
        self.page.add(made.close(), group)
        for first, candidates in zip(made.label_zooms, made.labels, strict=True):
            self._labels.append((first, group, candidates))
        return made

    def _place(self) -> None:
        """Labels above everything else; those that appear from afar find room first, and lie on top."""
        room, pixel = Room(self.ground.window), self.ground.pixel
        ordered = sorted(self._labels, key=lambda one: -one[0])
        placed = [(group, place(candidates, room, pixel)) for _, group, candidates in reversed(ordered)]
        for group, labels in reversed(placed):
            ink = Ink()
            for one in labels:
                ink.write(self._text(one, pixel))
            self.page.add([ink.close()], group)
        self._labels.clear()

    def _text(self, placed: Placed, pixel: float) -> str:
        label = placed.label
        return "".join(
            text_at(
                self.page.palette,
                text,
                placed.size,
                x,
                y,
                ink=label.colour,
                angle=placed.angle,
                halo=label.halo_width * pixel,
                halo_ink=label.halo,
            )
            for text, x, y in placed.lines
        )


__all__ = ["MOST_BYTES", "SECONDS", "Site", "make_picture", "make_print"]
