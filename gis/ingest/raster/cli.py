"""``bandoso load-raster``: take in orthophotos, elevation models and scanned sheets."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

from gis.cli_common import Output, common_options, progress, warn_refused
from gis.errors import LoadRefused
from gis.ingest.cli import epsg, if_there
from gis.settings import Settings


def _day(_context: click.Context, _parameter: click.Parameter, value: datetime | None) -> date | None:
    return value.date() if value else None


@click.command(
    epilog="""\b
Examples:
  bandoso load-raster dem_2023.tif --layer base_elevation --date 2023-04-01
  bandoso load-raster ortho/*.tif --layer base_orthophoto --mode replace
  bandoso load-raster "C-48-34-(119-a).jpg" --layer base_scan --crs EPSG:3405
  bandoso load-raster old.asc --layer base_elevation --crs EPSG:5899 --nodata -9999 --dry-run
"""
)
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="FILE...")
@click.option("--layer", required=True, metavar="ID", help="Raster layer that takes the files.")
@click.option("--crs", metavar="EPSG:n", callback=epsg, help="CRS of the files, when they do not say.")
@click.option(
    "--mode",
    type=click.Choice(["append", "replace"]),
    default="append",
    show_default=True,
    help="Add the files; or let them be the whole layer.",
)
@click.option("--nodata", type=float, metavar="VALUE", help="The value of no data, when files do not say.")
@click.option("--sheet", metavar="NAME", help="Map sheet of the files, when their names do not say.")
@click.option(
    "--date",
    "taken_on",
    type=click.DateTime(["%Y-%m-%d"]),
    callback=_day,
    metavar="YYYY-MM-DD",
    help="When it was taken or surveyed.",
)
@click.option("--dry-run", is_flag=True, help="Read and check everything, change nothing.")
@click.option("--allow-outside", is_flag=True, help="Take files outside the city's extent.")
@common_options
def load_raster(settings: Settings, output: Output, /, **options: Any) -> None:
    """Load FILEs into a raster layer: GeoTIFF, ERDAS Imagine, ASCII grid, JPEG 2000, PNG or JPEG, with their
    world (.tfw, .jgw ...) and projection (.prj) files beside them.

    They become cloud-optimised GeoTIFFs in the city's CRS under rasters/ of the data folder. What is there
    already is left as it is; Ctrl-C leaves the layer as it was.
    """
    from gis.db.connect import connect
    from gis.db.migrate import prepare_what_stands
    from gis.db.server import database
    from gis.ingest.raster.load import RasterLoad, load_rasters

    city = settings.load_city()
    catalogue = settings.load_catalogue(city)
    wanted = RasterLoad(**options)
    with ExitStack() as stack:
        connection = None
        if wanted.dry_run:
            found, _why = stack.enter_context(if_there(settings))
            if found is not None:
                connection = stack.enter_context(connect(found.owner_dsn))
        else:
            db = stack.enter_context(database(settings))
            refusal = prepare_what_stands(db.owner_dsn, city, catalogue)
            if refusal is not None:
                warn_refused(refusal)
            connection = stack.enter_context(connect(db.owner_dsn))
        title = f"{len(wanted.files)} files" if len(wanted.files) > 1 else wanted.files[0].name
        with progress(f"{title} -> {wanted.layer}") as bar:
            report = load_rasters(settings, connection, city, catalogue, wanted, bar)
    output.emit(report.as_dict(), report.as_text())
    if report.count("refused"):
        sys.exit(LoadRefused.exit_code)
