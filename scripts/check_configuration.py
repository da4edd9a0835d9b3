"""Checks every city file that ships, and the layer files against each city's agencies."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

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
        except BandosoError as error:
            print(f"{path.relative_to(config.parent)}: {error.message}", file=sys.stderr)
            return 1
        print(f"{path.relative_to(config.parent)}: {city.id}, {len(catalogue.layers)} layers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
