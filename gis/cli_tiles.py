"""``bandoso tiles``: builds archives of vector tiles, tells what is in them, proves them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gis.cli_common import Output, common_options, progress
from gis.errors import ConfigError
from gis.settings import Settings

if TYPE_CHECKING:
    from gis.city import City
    from layers.registry import Catalogue
    from tiles.grid import Tile


@click.group(
    epilog="""\b
Examples:
  bandoso tiles build                       what changed since the last build, or everything
  bandoso tiles build --layer water_pipe
  bandoso tiles stats
  bandoso tiles verify --sample 500

docs/tiles.md says what archives are and when servers use them.
"""
)
def tiles() -> None:
    """Build archives of vector tiles; prove them."""


@tiles.command(
    epilog="""\b
Examples:
  bandoso tiles build
  bandoso tiles build --whole
  bandoso tiles build --layer water_pipe --layer water_valve
"""
)
@click.option("--layer", "layers", multiple=True, metavar="ID", help="Anew this layer; may be repeated.")
@click.option("--whole", is_flag=True, help="Render all tiles, not just those that changed since.")
@click.option(
    "--max-zoom", type=click.IntRange(0, 16), default=16, show_default=True, help="Deepest level archived."
)
@click.option("--workers", type=click.IntRange(1, 64), help="Processes that render [one a core].")
@common_options
def build(
    settings: Settings,
    output: Output,
    layers: tuple[str, ...],
    whole: bool,
    max_zoom: int,
    workers: int | None,
) -> None:
    """Render the tiles of all public layers into PMTiles archives.

    Running servers go on serving meanwhile, and take the new archives within seconds. Ctrl-C leaves the old.
    """
    from tiles.build import build as build_tiles

    began = time.monotonic()
    with _city(settings) as (dsn, city, catalogue, folder), progress("building tiles") as report:
        built = build_tiles(
            dsn,
            city,
            catalogue,
            folder,
            only=layers,
            whole=whole,
            max_zoom=max_zoom,
            workers=workers,
            report=report,
        )
    seconds = time.monotonic() - began
    files = {name: {"tiles": count, "bytes": size} for name, (count, size) in built.files.items()}
    total = sum(one["bytes"] for one in files.values())
    lines = [f"{name:<26}{one['tiles']:>10,} tiles{_size(one['bytes']):>12}" for name, one in files.items()]
    how = "all" if built.whole else f"{built.kept:,} taken over from before, the others"
    lines.append(f"{built.rendered:,} tiles rendered ({how}), {_size(total)}, {seconds:.1f} s")
    if built.missing:
        lines.append(f"{built.missing:,} tiles are left to be rendered when they are asked for")
    result = {
        "files": files,
        "rendered": built.rendered,
        "kept": built.kept,
        "missing": built.missing,
        "whole": built.whole,
        "changeset": built.stamp.change if built.stamp else None,
        "seconds": round(seconds, 2),
    }
    output.emit(result, "\n".join(lines))


@tiles.command(
    epilog="""\b
Examples:
  bandoso tiles stats
  bandoso tiles stats --layer cadastre_parcel --json
"""
)
@click.option("--layer", metavar="ID", help="The archive of this layer [that of all public layers].")
@common_options
def stats(settings: Settings, output: Output, layer: str | None) -> None:
    """Tell what is in an archive, level by level, and how much of it is dirty now."""
    from tiles.archived import PUBLIC
    from tiles.proof import stats as stats_of

    name = layer or PUBLIC
    with _city(settings) as (dsn, city, catalogue, folder):
        levels = stats_of(dsn, city, catalogue, folder, name)
    found = [
        {
            "zoom": z,
            "tiles": level.tiles,
            "bytes": level.bytes,
            "largest": level.largest,
            "largest_at": _address(level.largest_at) if level.largest_at else None,
            "dirty": level.dirty,
        }
        for z, level in levels.items()
    ]
    lines = [f"{'zoom':>4}{'tiles':>10}{'bytes':>12}{'largest':>12}  {'at z/y/x':<18}{'dirty':>8}"]
    lines += [
        f"{z:>4}{level.tiles:>10,}{_size(level.bytes):>12}{_size(level.largest):>12}"
        f"  {_address(level.largest_at) if level.largest_at else '':<18}{level.dirty:>8,}"
        for z, level in levels.items()
    ]
    output.emit({"archive": name, "levels": found}, "\n".join(lines))


@tiles.command(
    epilog="""\b
Examples:
  bandoso tiles verify --sample 500
  bandoso tiles verify --all --json
"""
)
@click.option("--sample", type=click.IntRange(1), metavar="N", help="Compare N tiles, at random [200].")
@click.option("--all", "everything", is_flag=True, help="Compare every tile.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which tiles a sample takes.")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes that render [one a core].")
@common_options
def verify(
    settings: Settings,
    output: Output,
    sample: int | None,
    everything: bool,
    seed: int,
    workers: int | None,
) -> None:
    """Prove that archives and what changed since are what would be rendered now, byte for byte.

    Exits 1 and lists the tiles that differ.
    """
    from tiles.proof import verify as verify_tiles

    if sample and everything:
        raise click.UsageError("--sample and --all exclude each other")
    with _city(settings) as (dsn, city, catalogue, folder), progress("comparing tiles") as report:
        proof = verify_tiles(
            dsn,
            city,
            catalogue,
            folder,
            sample=None if everything else sample or 200,
            seed=seed,
            workers=workers,
            report=report,
        )
    wrong = [{"archive": name, "tile": _address(tile)} for name, tile in proof.wrong]
    lines = [f"differs: {one['archive']} {one['tile']}" for one in wrong]
    lines += [f"not in use: {name}: {why}" for name, why in proof.unused.items()]
    lines.append(
        f"{proof.checked:,} tiles compared in {proof.archives} archives, {proof.dirty:,} of them dirty: "
        + (f"{len(wrong):,} differ" if wrong else "all are right")
    )
    result = {
        "ok": not wrong,
        "checked": proof.checked,
        "archives": proof.archives,
        "dirty": proof.dirty,
        "differ": wrong,
        "unused": proof.unused,
    }
    output.emit(result, "\n".join(lines))
    if wrong:
        sys.exit(1)


@contextmanager
def _city(settings: Settings) -> Iterator[tuple[str, City, Catalogue, Path]]:
    """The owner's connection string of a prepared database, and what goes with it."""
    from gis.db.migrate import prepare
    from gis.db.server import database

    if settings.dsn and not settings.tiles_dir:
        raise ConfigError(
            "with a dsn it has to be said where archives of tiles are",
            hint="BANDOSO_TILES_DIR, the same for the servers that read them",
        )
    city = settings.load_city()
    catalogue = settings.load_catalogue(city)
    with database(settings) as db:
        prepare(db.owner_dsn, city, catalogue)
        yield db.owner_dsn, city, catalogue, settings.tiles_folder


def _address(tile: Tile) -> str:
    return f"{tile.z}/{tile.y}/{tile.x}"


def _size(count: int) -> str:
    value: Any = count
    for unit in ("B", "KB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"
