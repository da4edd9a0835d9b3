"""``bandoso print``: a map at a true scale as a PDF, or as an image."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gis.cli_common import Output, common_options
from gis.errors import UsageError
from gis.settings import Settings

if TYPE_CHECKING:
    from gis.city import City
    from gis.db.server import Database
    from gis.print.order import PrintWish
    from tiles.mosaic import Mosaic


@click.command(
    "print",
    epilog="""\b
Examples:
  bandoso print --center 106.722,10.779 --scale 1000 --out thu-thiem.pdf
  bandoso print --center 106.722,10.779 --scale 2000 --paper a1 --title "Phường An Khánh" --out an-khanh.pdf
  bandoso print --center 106.722,10.779 --scale 500 --layer water_pipe --layer water_valve --out water.pdf
  bandoso print --center 106.722,10.779 --scale 500 --layer water_pipe \\
      --filter water_pipe "diameter_mm >= 200" --language en --out mains.pdf

What anyone may see is drawn. docs/printing.md says what is on the page, and how to get it from the server.
""",
)
@click.option("--center", required=True, metavar="LON,LAT", help="Middle of the map, in degrees.")
@click.option("--scale", required=True, type=int, metavar="N", help="1000 is 1:1000.")
@click.option("--paper", type=click.Choice(["a4", "a3", "a2", "a1"]), default="a4", show_default=True)
@click.option(
    "--orientation", type=click.Choice(["landscape", "portrait"]), default="landscape", show_default=True
)
@click.option("--title", default="", help="Title of the map.")
@click.option("--language", type=click.Choice(["vi", "en"]), help="Language of the map [the city's first].")
@click.option("--layer", "layers", multiple=True, metavar="ID", help="Only this layer; may be repeated.")
@click.option(
    "--filter",
    "filters",
    multiple=True,
    nargs=2,
    metavar="ID CQL2",
    help="Draw only these features of a layer; may be repeated.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="File (- is standard output).",
)
@common_options
def print_map(
    settings: Settings,
    output: Output,
    center: str,
    scale: int,
    paper: str,
    orientation: str,
    title: str,
    language: str | None,
    layers: tuple[str, ...],
    filters: tuple[tuple[str, str], ...],
    out: Path,
) -> None:
    """Write a map of the city at a true scale, as a PDF."""
    from gis.api.print.filters import conditions_of
    from gis.api.sight import public_part
    from gis.db.migrate import prepare_what_stands
    from gis.db.server import database
    from gis.print.order import read_print, with_conditions

    city = settings.load_city()
    known = settings.load_catalogue(city)
    given = {
        "center": center,
        "scale": str(scale),
        "paper": paper,
        "orientation": orientation,
        "title": title,
    }
    if layers:
        given["layers"] = ",".join(layers)
    wish = read_print(given, public_part(known), language or city.languages[0])
    wish = with_conditions(wish, conditions_of(dict(filters), wish.layers, city.crs.storage))
    with database(settings) as db:
        prepare_what_stands(db.owner_dsn, city, known)
        body = asyncio.run(_made(wish, settings, city, db))
    if str(out) == "-":
        sys.stdout.buffer.write(body)
        return
    _write(out, body)
    count = len(wish.layers) + len(wish.rasters)
    data = {"file": str(out), "bytes": len(body), "scale": scale, "paper": paper, "layers": count}
    output.emit(data, f"{out}: 1:{scale} on {paper.upper()} {orientation}, {len(body):,} bytes")


async def _made(wish: PrintWish, settings: Settings, city: City, db: Database) -> bytes:
    from gis.api.raster.shelves import read_mosaics
    from gis.db.pool import open_reader_pool
    from gis.print.make import Site, make_print

    pool: Any = await open_reader_pool(settings, db)

    async def mosaics(_again: bool) -> dict[str, Mosaic]:
        async with pool.connection() as connection:
            layers = {one.id: one for one in wish.rasters}
            return await read_mosaics(connection, layers, settings, city.crs.storage)

    try:
        with ThreadPoolExecutor(1) as threads, tempfile.TemporaryFile() as file:
            site = Site(city, lambda _layer: pool, threads, city.today(), mosaics)
            await make_print(wish, site, file)
            file.seek(0)
            return file.read()
    finally:
        await pool.close()


def _write(out: Path, body: bytes) -> None:
    """Whole or not at all."""
    part = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        part.write_bytes(body)
        part.replace(out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(
            f"{out.name} cannot be written ({(error.strerror or 'no access').lower()})"
        ) from None
