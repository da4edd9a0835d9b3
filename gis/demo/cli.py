"""``bandoso demo``, and the demo district that an empty database gets."""

from __future__ import annotations

import time
from pathlib import Path

import click
import psycopg

from gis.city import City
from gis.cli_common import STDERR, Output, common_options, progress
from gis.db.pool import owner_connection
from gis.db.server import Database
from gis.errors import UsageError
from gis.settings import Settings
from layers.registry import Catalogue

DEFAULT_PARCELS = 5_000
DEFAULT_SEED = 1


@click.command(
    epilog="""\b
Examples:
  bandoso demo                                    a district of 5,000 parcels
  bandoso demo --parcels 1000000                  a city
  bandoso demo --defects defects.json             with errors, and the list of them
"""
)
@click.option("--parcels", type=int, default=DEFAULT_PARCELS, show_default=True, help="Number of parcels.")
@click.option(
    "--seed", type=click.IntRange(0), default=DEFAULT_SEED, show_default=True, help="Same seed, same city."
)
@click.option(
    "--defects", type=click.Path(dir_okay=False, path_type=Path), help="Inject errors; write their list here."
)
@click.option("--replace", is_flag=True, help="Replace layers that hold other data than a demo.")
@common_options
def demo(
    settings: Settings, output: Output, parcels: int, seed: int, defects: Path | None, replace: bool
) -> None:
    """Fill the layers with a synthetic city, the same for the same seed.

    An earlier demo is replaced. Layers that hold other data are left alone unless --replace is given.
    """
    from gis.db.migrate import prepare
    from gis.db.server import database

    city = settings.load_city()
    catalogue = settings.load_catalogue(city)
    with database(settings) as db:
        prepare(db.owner_dsn, city, catalogue)
        with owner_connection(db) as connection:
            others = _foreign_layers(connection, catalogue)
            if others and not replace:
                raise UsageError(
                    f"{', '.join(others[:3])}{' and others' if len(others) > 3 else ''} hold data that is not a demo's",
                    code="not-a-demo",
                    hint="give --replace to replace it, or another --data-dir",
                )
            counts, seconds = _fill(connection, city, catalogue, parcels, seed, defects)
    total = sum(counts.values())
    lines = [f"{name:<26}{count:>10,}" for name, count in sorted(counts.items())]
    text = "\n".join([*lines, f"{total:,} features in {len(counts)} layers, {seconds:.1f} s"])
    output.emit({"counts": counts, "seconds": round(seconds, 2), "seed": seed}, text)


def fill_if_empty(settings: Settings, db: Database, city: City, catalogue: Catalogue) -> bool:  # noqa: ARG001
    """Make the default district when no layer that people fill has a row. True when it was made."""
    with owner_connection(db) as connection:
        for layer in catalogue.layers.values():
            if layer.definition.loadable and _count(connection, layer.id):
                return False
        counts, seconds = _fill(connection, city, catalogue, DEFAULT_PARCELS, DEFAULT_SEED, None)
    STDERR.print(
        f"made a demo district: {sum(counts.values()):,} features in {seconds:.1f} s (--no-demo leaves it out)"
    )
    return True


def _fill(
    connection: psycopg.Connection,
    city: City,
    catalogue: Catalogue,
    parcels: int,
    seed: int,
    defects: Path | None,
) -> tuple[dict[str, int], float]:
    from gis.demo.plan import make_plan
    from gis.demo.write import write

    if defects is not None:
        raise UsageError("--defects is not there yet")
    started = time.monotonic()
    plan = make_plan(parcels, seed)
    with progress("making the demo city") as report:
        counts = write(connection, plan, city, catalogue, report)
    return counts, time.monotonic() - started


def _count(connection: psycopg.Connection, layer_id: str) -> int:
    row = connection.execute("SELECT bandoso.row_count(%s)", [layer_id]).fetchone()
    return int(row[0]) if row and row[0] else 0


def _foreign_layers(connection: psycopg.Connection, catalogue: Catalogue) -> list[str]:
    """Layers with rows whose last load is not a demo's."""
    found = []
    for layer in catalogue.layers.values():
        if not layer.definition.loadable or not _count(connection, layer.id):
            continue
        row = connection.execute(
            "SELECT source FROM bandoso.load WHERE layer = %s AND finished_at IS NOT NULL ORDER BY id DESC LIMIT 1",
            [layer.id],
        ).fetchone()
        if row is None or row[0] != "demo":
            found.append(layer.id)
    return found
