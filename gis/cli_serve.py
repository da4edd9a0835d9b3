"""``bandoso serve``: the database, the demo for an empty one, and the server."""

from __future__ import annotations

import click

from gis.cli_common import STDERR, Output, common_options, warn_refused
from gis.settings import Settings


@click.command(
    epilog="""\b
Examples:
  bandoso serve
  bandoso serve --port 9000 --data-dir /srv/bandoso
  bandoso serve --dsn "host=db1,db2 dbname=bandoso target_session_attrs=read-write" --host 0.0.0.0
"""
)
@click.option("--host", help="Address to listen on [127.0.0.1].")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on [8080].")
@click.option("--workers", type=click.IntRange(0, 64), help="Server processes [one a core, at most 4].")
@click.option("--no-demo", is_flag=True, help="Do not fill an empty database with the demo district.")
@common_options
def serve(
    settings: Settings,
    _output: Output,
    host: str | None,
    port: int | None,
    workers: int | None,
    no_demo: bool,
) -> None:
    """Start PostGIS (unless --dsn), prepare the layers and serve the map."""
    from dataclasses import replace

    from gis.api.serve import check_port, run
    from gis.db.migrate import prepare_what_stands
    from gis.db.server import database
    from gis.identity.first import tell_first_admin

    given = {"host": host, "port": port, "workers": workers}
    settings = replace(settings, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]
    check_port(settings)  # before minutes of work, not after
    city = settings.load_city()
    catalogue = settings.load_catalogue(city)
    with database(settings) as db:
        refusal = prepare_what_stands(db.owner_dsn, city, catalogue)
        if refusal is not None:
            warn_refused(refusal)
        elif not no_demo and city.demo_anchor is not None:
            from gis.demo.cli import fill_if_empty

            fill_if_empty(settings, db, city, catalogue)
        url = settings.public_url or f"http://{settings.host}:{settings.port}"
        STDERR.print(
            f"bandoso serves {city.title.en} at {url}  (map: {url}/map; Ctrl-C stops)",
            soft_wrap=True,  # addresses stay whole in a log, which is 80 wide
            highlight=False,
        )
        tell_first_admin(db)
        run(settings, db)
