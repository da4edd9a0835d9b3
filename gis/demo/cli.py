"""``bandoso demo``, and the demo district that an empty database gets."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import psycopg
from psycopg.sql import SQL

from gis.city import City
from gis.cli_common import STDERR, Output, common_options, progress
from gis.db.pool import owner_connection
from gis.db.server import Database
from gis.db.sql import table
from gis.demo import SOURCE
from gis.demo.rasters import FILES, Loaded, drawing, foreign, load
from gis.errors import UsageError
from gis.settings import Settings
from layers.registry import Catalogue

if TYPE_CHECKING:
    from gis.demo.plan import Plan

DEFAULT_PARCELS = 8_000
DEFAULT_SEED = 1


@click.command(
    epilog="""\b
Examples:
  bandoso demo                                    a district of 8,000 parcels
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
@click.option("--no-rasters", is_flag=True, help="Make no elevation model and no orthophoto.")
@common_options
def demo(
    settings: Settings,
    output: Output,
    parcels: int,
    seed: int,
    defects: Path | None,
    replace: bool,
    no_rasters: bool,
) -> None:
    """Fill the layers with a synthetic city, the same for the same seed.

    An earlier demo is replaced. Elevation model and orthophoto are the coarser, the larger the city. Layers
    that hold other data are left alone unless --replace is given.
    """
    from gis.db.migrate import prepare
    from gis.db.server import database
    from gis.db.web_fill import fill_told
    from gis.demo.defects.listing import check_writable
    from gis.demo.plan import make_plan

    city = settings.load_city()
    catalogue = settings.load_catalogue(city)
    plan = make_plan(parcels, seed)
    if defects is not None:
        check_writable(defects)
    with database(settings) as db:
        prepare(db.owner_dsn, city, catalogue)
        with owner_connection(db) as connection:
            others = [] if replace else _foreign_layers(connection, catalogue, rasters=not no_rasters)
            if others:
                more = " and others" if len(others) > 3 else ""
                raise UsageError(
                    f"{', '.join(others[:3])}{more} hold data that is not a demo's",
                    code="not-a-demo",
                    hint="give --replace to replace it, or another --data-dir",
                )
        made = _fill(settings, db, city, catalogue, plan, defects, rasters=not no_rasters)
        fill_told(db.owner_dsn, made.counts)
    total = sum(made.counts.values())
    lines = [f"{name:<26}{count:>10,}" for name, count in sorted(made.counts.items())]
    lines += [f"{one.layer:<26}{f'{one.step_m:g} m':>10}" for one in made.rasters]
    lines.append(f"{total:,} features in {len(made.counts)} layers, {made.seconds:.1f} s")
    result = {
        "counts": made.counts,
        "rasters": {one.layer: {"resolution_m": one.step_m} for one in made.rasters},
        "seconds": round(made.seconds, 2),
        "parcels": parcels,
        "seed": seed,
    }
    if defects is not None:
        lines.append(f"{made.errors:,} errors injected; {defects} lists them")
        result["defects"] = made.errors
    output.emit(result, "\n".join(lines))


def fill_if_empty(settings: Settings, db: Database, city: City, catalogue: Catalogue) -> bool:
    """Make the default district when no layer that people fill has anything. True when it was made."""
    with owner_connection(db) as connection:
        if _filled(connection, catalogue) or foreign(connection, tuple(catalogue.rasters)):
            return False
    from gis.demo.plan import make_plan

    plan = make_plan(DEFAULT_PARCELS, DEFAULT_SEED)
    made = _fill(settings, db, city, catalogue, plan, None, rasters=True)
    rows = sum(made.counts.values())
    STDERR.print(f"made a demo district: {rows:,} features in {made.seconds:.1f} s (--no-demo leaves it out)")
    return True


@dataclass(frozen=True)
class _Made:
    """Rows by layer, number of injected errors, rasters, seconds."""

    counts: dict[str, int]
    errors: int
    rasters: list[Loaded]
    seconds: float


def _fill(
    settings: Settings,
    db: Database,
    city: City,
    catalogue: Catalogue,
    plan: Plan,
    defects: Path | None,
    *,
    rasters: bool,
) -> _Made:
    from gis.demo.write import write

    started = time.monotonic()
    loaded: list[Loaded] = []
    with drawing(plan, city) if rasters else nullcontext() as files:
        with progress("making the demo city") as report:
            counts, found = write(db.owner_dsn, plan, city, catalogue, report, defects=defects is not None)
        if files is not None:
            with progress("loading its ground and its picture"):
                loaded = load(settings, db.owner_dsn, city, catalogue, plan, files())
    if defects is not None:
        from gis.demo.defects.listing import write_list

        write_list(defects, found, plan, city)
    return _Made(counts, len(found), loaded, time.monotonic() - started)


def _filled(connection: psycopg.Connection, catalogue: Catalogue) -> list[str]:
    """Layers that people fill and that have rows."""
    names = [layer.id for layer in catalogue.layers.values() if layer.definition.loadable]
    rows = connection.execute(
        "SELECT name FROM unnest(%s::text[]) WITH ORDINALITY AS t(name, n) WHERE bandoso.row_count(name) > 0"
        " ORDER BY n",
        [names],
    ).fetchall()
    return [row[0] for row in rows]


def _foreign_layers(connection: psycopg.Connection, catalogue: Catalogue, *, rasters: bool) -> list[str]:
    """Layers that a demo fills and that have what no demo made: rows name their load, rasters their file."""
    from gis.demo.generate import LAYERS

    found = []
    for name in _filled(connection, catalogue):
        if name not in LAYERS:
            continue
        row = connection.execute(
            SQL(
                "SELECT EXISTS (SELECT FROM {} AS t WHERE NOT EXISTS"
                " (SELECT FROM bandoso.load AS l WHERE l.id = t.load_id AND l.source = %s))"
            ).format(table(catalogue.layers[name])),
            [SOURCE],
        ).fetchone()
        if row and row[0]:
            found.append(name)
    return [*found, *foreign(connection, tuple(FILES))] if rasters else found
