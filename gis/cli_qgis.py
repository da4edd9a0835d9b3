"""``bandoso qgis-project``: the QGIS project of the city, as a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gis.cli_common import Output, common_options
from gis.errors import NotFoundError, UsageError
from gis.settings import Settings

if TYPE_CHECKING:
    from gis.identity.principal import Principal


@click.command(
    "qgis-project",
    epilog="""\b
Examples:
  bandoso qgis-project --url https://map.example.vn
  bandoso qgis-project --url https://map.example.vn --user lan --out lan.qgz
  bandoso qgis-project --layer water_pipe --layer water_valve --language en

docs/qgis.md says how to open it and to log in.
""",
)
@click.option("--out", "out", type=click.Path(dir_okay=False, path_type=Path), help="File [CITY.qgz].")
@click.option("--url", help="Address of the server's landing page [the settings' address].")
@click.option("--user", "name", metavar="NAME", help="With what this account may see and edit.")
@click.option("--language", type=click.Choice(["vi", "en"]), help="Language of names and forms.")
@click.option("--layer", "layers", multiple=True, metavar="ID", help="Only this layer; may be repeated.")
@click.option("--crs84", is_flag=True, help="Coordinates in degrees, for QGIS before 3.28 (read only there).")
@click.option("--authcfg", metavar="ID", help="Id of the login in the reader's QGIS [bandoso, with --user].")
@common_options
def qgis_project(
    settings: Settings,
    output: Output,
    out: Path | None,
    url: str | None,
    name: str | None,
    language: str | None,
    layers: tuple[str, ...],
    crs84: bool,
    authcfg: str | None,
) -> None:
    """Write a QGIS project: layers, symbols, forms, snapping."""
    from gis.api.qgis import AUTHCFG, wish_of
    from gis.api.sight import Sights, public_part
    from gis.api.state import State
    from gis.qgis.project import make_project

    city = settings.load_city()
    known = settings.load_catalogue(city)
    principal = _principal(settings, name) if name else None
    seen = public_part(known)
    sectors = {agency.id: agency.sectors for agency in city.agencies}
    if principal is not None:
        seen = Sights().of(seen, known, principal, sectors)
    for layer in layers:
        if layer not in seen.layers:
            raise NotFoundError(f"there is no layer {layer[:80]!r} to be seen", hint="see bandoso layers")
    if authcfg is not None and not (len(authcfg) == 7 and authcfg.isascii() and authcfg.isalnum()):
        raise UsageError("--authcfg is the id of an authentication configuration: 7 letters or digits")
    address = (url or settings.public_url or f"http://{settings.host}:{settings.port}").rstrip("/")
    state = State(settings, city, seen, None, principal=principal)  # type: ignore[arg-type]  # reads nothing
    wish = wish_of(
        state,
        address,
        language or city.languages[0],
        authcfg or (AUTHCFG if principal else None),
        layers,
        wgs84=crs84,
    )
    file = out or Path(f"{city.id}.qgz")
    body = make_project(wish)
    if str(file) == "-":
        sys.stdout.buffer.write(body)
        return
    try:
        file.write_bytes(body)
    except OSError as error:
        raise UsageError(
            f"{file.name} cannot be written ({(error.strerror or 'no access').lower()})"
        ) from None
    count = len(wish.chosen())
    data = {"file": str(file), "url": address, "layers": count, "editable": sorted(wish.editable)}
    output.emit(data, f"{file}: {count} layers of {address}, {len(wish.editable)} of them to edit")


def _principal(settings: Settings, name: str) -> Principal:
    from gis.db.migrate import prepare_what_stands
    from gis.db.pool import owner_connection
    from gis.db.server import database
    from gis.identity import accounts
    from gis.identity.principal import Principal

    city = settings.load_city()
    with database(settings) as db:
        prepare_what_stands(db.owner_dsn, city, settings.load_catalogue(city))
        with owner_connection(db) as connection:
            account = accounts.find(connection, name)
            row = connection.execute("SELECT bandoso.principal(%s)", [account]).fetchone()
    if row is None or row[0] is None:
        raise NotFoundError(f"the account {name[:80]!r} is disabled")
    return Principal.of(row[0])
