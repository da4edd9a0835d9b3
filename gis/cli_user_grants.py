"""What ``bandoso user`` takes to give a role: to whom, on which layers, and where."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from psycopg import Connection

from gis.errors import UsageError
from gis.identity.principal import ROLES
from gis.settings import Settings

if TYPE_CHECKING:
    from gis.identity.areas import Area


@dataclass(frozen=True)
class Wanted:
    """A role for an agency, as it was asked for."""

    agency: str
    role: str
    layers: tuple[str, ...]
    wards: tuple[str, ...]
    area_file: Path | None

    def give(self, connection: Connection, settings: Settings, account: int) -> None:
        """Give it to an account: one grant for each layer. Raises UsageError, NotFoundError."""
        from gis.identity import accounts

        area = self._area(connection, settings)
        for layer in self.layers or (None,):
            accounts.grant(connection, account, self.role, self.agency, layer, area)

    def _area(self, connection: Connection, settings: Settings) -> Area | None:
        from gis.identity import areas

        if self.wards and self.area_file is not None:
            raise click.UsageError("an area is wards or a file")
        if self.wards:
            return areas.of_wards(connection, self.wards)
        if self.area_file is None:
            return None
        try:
            content = json.loads(self.area_file.read_bytes())
        except (ValueError, RecursionError):
            raise UsageError(f"{self.area_file.name} is not JSON", code="invalid-area") from None
        except OSError as error:
            why = (error.strerror or "").lower()
            raise UsageError(f"{self.area_file.name} cannot be read ({why})") from None
        return areas.of_geojson(content, settings.load_city().crs.storage)

    def __str__(self) -> str:
        return f"{self.role} of {self.agency}{' on ' + ', '.join(self.layers) if self.layers else ''}"


_OPTIONS = (
    click.option("--agency", required=True, metavar="ID", help="The agency (city.yml) that it is for."),
    click.option("--role", type=click.Choice(ROLES), required=True, help="What it may do for the agency."),
    click.option("--layer", "layers", multiple=True, metavar="ID", help="Only this layer; may be repeated."),
    click.option("--area-ward", "wards", multiple=True, metavar="CODE", help="Write only in this ward."),
    click.option(
        "--area",
        "area_file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE.geojson",
        help="Write only in these polygons (longitude, latitude).",
    ),
)


def grant_options(command: Callable[..., Any]) -> Any:
    """Gives the command ``wanted``, out of the options that say it."""

    @wraps(command)
    def run(
        *arguments: Any,
        agency: str,
        role: str,
        layers: tuple[str, ...],
        wards: tuple[str, ...],
        area_file: Path | None,
        **named: Any,
    ) -> Any:
        return command(*arguments, wanted=Wanted(agency, role, layers, wards, area_file), **named)

    made: Any = run
    for option in reversed(_OPTIONS):
        made = option(made)
    return made


def in_words(grant: dict[str, Any]) -> str:
    """A grant as accounts.listed tells it."""
    area = grant["area"]
    where = ""
    if area is not None:
        where = f" in wards {', '.join(area['wards'])}" if "wards" in area else " in an area"
    layer = f" on {grant['layer']}" if grant["layer"] else ""
    return f"{grant['role']} of {grant['agency']}{layer}{where}"
