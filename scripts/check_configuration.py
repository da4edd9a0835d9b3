"""Checks every city file that ships, the layer files against each city's agencies, and its tables of law."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from gis.checks.law import book_of
from gis.errors import BandosoError
from gis.settings import Settings


def main() -> int:
    """Exit status: 1 when a file is wrong."""
    config = Path(__file__).resolve().parent.parent / "config"
    settings = Settings.from_env({})
    for path in [config / "city.yml", *sorted(config.glob("examples/*/city.yml"))]:
        try:
            city = replace(settings, city=str(path)).load_city()
            catalogue = settings.load_catalogue(city)
            law = book_of(city.law_directory)
        except BandosoError as error:
            print(f"{path.relative_to(config.parent)}: {error.message}", file=sys.stderr)
            return 1
        found = f"{len(catalogue.layers)} layers, {len(law)} tables of law"
        print(f"{path.relative_to(config.parent)}: {city.id}, {found}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
