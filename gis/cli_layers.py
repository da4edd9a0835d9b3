"""``bandoso layers``: the catalogue, and applying changed layer files to the database."""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.table import Table

from gis.cli_common import Output, common_options, warn_refused
from gis.errors import ConfigError, MigrationRefused
from gis.settings import Settings


@click.command(
    epilog="""\b
Examples:
  bandoso layers
  bandoso layers --apply --dry-run     what would change in the database
  bandoso layers --apply               create new layers, migrate changed ones
"""
)
@click.option("--apply", "apply_", is_flag=True, help="Apply the layer files to the database.")
@click.option("--dry-run", is_flag=True, help="With --apply: say what would change, change nothing.")
@common_options
def layers(settings: Settings, output: Output, apply_: bool, dry_run: bool) -> None:
    """List the layers: id, title, geometry, count, last update; or --apply changed layer files.

    Raster layers come last, with the number of their files.
    """
    from gis.checks.registry import mistakes
    from gis.db.apply import apply_catalogue
    from gis.db.migrate import prepare, prepare_what_stands
    from gis.db.pool import owner_connection
    from gis.db.rasters import count_files
    from gis.db.server import database
    from gis.db.web_fill import fill_told

    if dry_run and not apply_:
        raise click.UsageError("--dry-run goes with --apply")
    city = settings.load_city()
    catalogue = settings.load_catalogue(city)
    wrong = mistakes(catalogue)
    if wrong and apply_:
        raise ConfigError(wrong[0], hint=f"and {len(wrong) - 1} more like this" if len(wrong) > 1 else None)
    with database(settings) as db:
        if apply_:
            with owner_connection(db) as connection:
                changes = apply_catalogue(connection, catalogue, city, dry_run=dry_run)
            if not dry_run:
                prepare(db.owner_dsn, city, catalogue)
                fill_told(db.owner_dsn)
            lines = [str(c) for c in changes] or ["the database already matches the layer files"]
            output.emit({"dry_run": dry_run, "changes": [str(c) for c in changes]}, "\n".join(lines))
            if any(c.refused for c in changes):
                sys.exit(MigrationRefused.exit_code)  # as applying would: scripts ask before they do it
            return
        refusal = prepare_what_stands(db.owner_dsn, city, catalogue)
        with owner_connection(db) as connection:
            counted = connection.execute(
                "SELECT layer, sum(delta)::bigint, max(changed_at) FROM bandoso.layer_count GROUP BY layer"
            ).fetchall()
            files = count_files(connection)
    if refusal is not None:
        warn_refused(refusal)
    by_id = {row[0]: (row[1], row[2]) for row in counted}
    rows = []
    for layer in catalogue.layers.values():
        count, updated = by_id.get(layer.id, (0, None))
        rows.append(
            {
                "id": layer.id,
                "sector": layer.sector.id,
                "title": {"vi": layer.title.vi, "en": layer.title.en},
                "geometry": layer.definition.geometry,
                "access": layer.access,
                "count": int(count),
                "updated_at": updated.astimezone().isoformat(" ", "minutes") if updated and count else None,
            }
        )
    for raster in catalogue.rasters.values():
        count, updated = files.get(raster.id, (0, None))
        rows.append(
            {
                "id": raster.id,
                "kind": "raster",
                "raster": raster.definition.kind,
                "sector": raster.sector.id,
                "title": {"vi": raster.title.vi, "en": raster.title.en},
                "geometry": "raster",
                "access": raster.access,
                "count": count,
                "updated_at": updated.astimezone().isoformat(" ", "minutes") if updated else None,
            }
        )
    if output.as_json:
        output.emit(rows, "")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("id", "title", "geometry", "count", "last update", "access"):
        table.add_column(
            heading, justify="right" if heading == "count" else "left", no_wrap=heading != "title"
        )
    for row in rows:
        title = row["title"]
        assert isinstance(title, dict)
        table.add_row(
            str(row["id"]),
            f"{title['vi']} / {title['en']}",
            str(row["geometry"]),
            f"{row['count']:,}",
            str(row["updated_at"] or "-"),
            str(row["access"]),
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=240)  # a pipe has no width: nothing is cut
    console.print(table)
