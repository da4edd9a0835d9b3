"""``bandoso load``: take in a delivery."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gis.cli_common import Output, common_options, progress, warn_refused
from gis.encodings import ENCODINGS
from gis.errors import ConfigError, DatabaseError
from gis.ingest.spawn import Waiting, start
from gis.settings import Settings

if TYPE_CHECKING:
    from gis.db.server import Database


def epsg(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    """Code of an option like EPSG:9210."""
    if value is None:
        return None
    match = re.fullmatch(r"(?:EPSG:)?(\d{1,6})", value.strip(), re.IGNORECASE)
    if not match:
        raise click.BadParameter("must be like EPSG:9210")
    return int(match.group(1))


@click.command(
    epilog="""\b
Examples:
  bandoso load wards.gpkg --layer admin_ward --mode replace
  bandoso load pipes.shp --layer water_pipe --crs EPSG:5899 --encoding tcvn3 --owner sawaco
  bandoso load district1.osm --layer base_building --mapping config/mappings/osm_building.yml
  bandoso load parcels.zip --layer cadastre_parcel --dry-run
"""
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--layer", required=True, metavar="ID", help="Layer that takes the features.")
@click.option(
    "--crs", metavar="EPSG:n", callback=epsg, help="CRS of the coordinates, when the file does not say."
)
@click.option(
    "--encoding", type=click.Choice(["auto", *ENCODINGS]), default="auto", help="Encoding of the text."
)
@click.option(
    "--mapping", type=click.Path(path_type=Path), metavar="FILE.yml", help="Which column fills which field."
)
@click.option(
    "--mode",
    type=click.Choice(["append", "upsert", "replace"]),
    default="append",
    show_default=True,
    help="Add rows; add and update by asset_id; or replace the whole layer.",
)
@click.option("--source-layer", metavar="NAME", help="Layer of the file, when it has several.")
@click.option("--owner", metavar="ID", help="Agency that owns the features, when not the layer's.")
@click.option("--author", metavar="NAME", help="Who loads it, for the history [your login name].")
@click.option("--comment", metavar="TEXT", help="Why, for the history.")
@click.option("--dry-run", is_flag=True, help="Read and check everything, change nothing.")
@click.option("--allow-outside", is_flag=True, help="Take features outside the city's extent.")
@click.option(
    "--allow-shift", is_flag=True, help="Take features that lie off the layer's as by a CRS mistake."
)
@click.option(
    "--accept-invalid", is_flag=True, help="Take geometry that crosses itself, for the checks to find."
)
@click.option(
    "--rejects",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="List of rejected rows, .geojson or .csv [FILE.rejects.geojson].",
)
@common_options
def load_command(settings: Settings, output: Output, /, **options: Any) -> None:
    """Load FILE into a layer: GeoPackage, Shapefile, GeoJSON, FlatGeobuf, GeoParquet, FileGDB, MapInfo, KML,
    CSV, OSM, DXF or DGN V7, or a zip with one of them.

    Rows that cannot be taken are listed with their reasons in the rejects file; nothing is dropped or
    repaired in silence. Ctrl-C leaves the layer as it was.
    """
    child = start()  # it imports what it needs while we do
    try:
        _load(settings, output, child, options)
    finally:
        child.close()


def _load(settings: Settings, output: Output, child: Waiting, options: dict[str, Any]) -> None:
    from gis.db.migrate import prepare_what_stands
    from gis.db.server import database
    from gis.db.web_fill import fill_told
    from gis.ingest.load import LoadRequest, load

    city = settings.load_city()
    catalogue = settings.load_catalogue(city)
    request = LoadRequest(**options)
    with ExitStack() as stack:
        db = None
        with progress(f"{request.file.name} -> {request.layer}") as bar:
            if request.dry_run:
                with if_there(settings) as (found, why):
                    report = load(settings, found, city, catalogue, request, bar, child)
                if found is None:
                    report.warnings.append(f"not compared with {request.layer}: {why}")
            else:
                db = stack.enter_context(database(settings))
                refusal = prepare_what_stands(db.owner_dsn, city, catalogue)
                if refusal is not None:
                    if any(e["pointer"].split("/")[2:3] == [request.layer] for e in refusal.errors):
                        raise refusal
                    warn_refused(refusal)  # another layer's file: no reason not to take this delivery
                report = load(settings, db, city, catalogue, request, bar, child)
        output.emit(report.as_dict(), report.as_text())
        if db is not None:
            # From here on it is loaded, and whatever stops us leaves it so.
            fill_told(db.owner_dsn, [request.layer])


@contextmanager
def if_there(settings: Settings) -> Iterator[tuple[Database | None, str]]:
    """The database, when there is one that can be reached; otherwise None and why. None is made."""
    from gis.db.connect import connect
    from gis.db.server import database

    if not settings.dsn and not (settings.data_dir / "postgres" / "PG_VERSION").exists():
        yield None, "there is no database yet"
        return
    with ExitStack() as stack:
        try:
            db = stack.enter_context(database(settings))
            connect(db.owner_dsn).close()
        except (DatabaseError, ConfigError) as error:
            found, why = None, error.message
        else:
            found, why = db, ""
        yield found, why
