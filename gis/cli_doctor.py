"""``bandoso doctor``: proves the installation instead of describing it."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import click
from psycopg import Connection

from gis.cli_common import Output, common_options
from gis.crs.proof import ProofLine
from gis.db.server import Database
from gis.errors import BandosoError, ConfigError
from gis.resources import web_dir
from gis.settings import Settings

PACKAGES = ("pygeoapi", "shapely", "pyproj", "pyogrio", "psycopg", "starlette", "granian")
LEAST_FREE_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Line:
    """One proof: ``ok`` None is information that cannot fail."""

    topic: str
    text: str
    ok: bool | None = None


@click.command()
@common_options
def doctor(settings: Settings, output: Output) -> None:
    """Prove the installation: pinned transforms on the test vectors, versions, extensions, disk, clock.

    Exits 1 when a proof fails.
    """
    lines = [*_versions(), *_transforms(), *_disk(settings), *_page()]
    try:
        from gis.db.migrate import prepare
        from gis.db.server import database

        city = settings.load_city()
        catalogue = settings.load_catalogue(city)
        lines.append(Line("city", f"{city.title.en}, {len(catalogue.layers)} layers", True))
        with database(settings) as db:
            prepare(db.owner_dsn, city, catalogue)
            lines += _database(db)
    except BandosoError as error:
        topic = "configuration" if isinstance(error, ConfigError) else "database"
        lines.append(Line(topic, f"{error.message}" + (f": {error.hint}" if error.hint else ""), False))

    failed = [line for line in lines if line.ok is False]
    mark = {True: "ok  ", False: "FAIL", None: "    "}
    text = "\n".join(f"{mark[line.ok]} {line.topic:<12} {line.text}" for line in lines)
    verdict = "all proofs hold" if not failed else f"failed: {', '.join(line.topic for line in failed)}"
    output.emit({"ok": not failed, "proofs": [asdict(line) for line in lines]}, f"{text}\n{verdict}")
    if failed:
        sys.exit(1)


def _versions() -> list[Line]:
    import pyogrio
    import pyproj
    import shapely

    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            return [Line("packages", f"{name} is missing", False)]
    engines = (
        f"GEOS {'.'.join(map(str, shapely.geos_version))}, PROJ {pyproj.proj_version_str}, "
        f"GDAL {pyogrio.__gdal_version_string__}"
    )
    python = ".".join(map(str, sys.version_info[:3]))
    return [
        Line("python", python, sys.version_info >= (3, 12)),
        Line("packages", ", ".join(found), True),
        Line("engines", engines, shapely.geos_version >= (3, 12, 0)),
    ]


def _transforms() -> list[Line]:
    from gis.crs import prove

    return _proofs("transform", prove())


def _proofs(topic: str, proofs: Sequence[ProofLine]) -> list[Line]:
    """A line for each vector; definitions that agree with the EPSG registry share one."""
    definitions = [p for p in proofs if p.name.startswith("definition of")]
    lines = [
        Line(topic, f"{p.name}: {p.error_m * 1000:.4f} mm off the published vector", p.ok)
        for p in proofs
        if p not in definitions or not p.ok
    ]
    if definitions and all(p.ok for p in definitions):
        lines.append(Line(topic, f"{len(definitions)} CRS definitions agree with the EPSG registry", True))
    return lines


def _disk(settings: Settings) -> list[Line]:
    if settings.dsn:
        return []
    folder = settings.data_dir
    while True:
        try:
            free = shutil.disk_usage(folder).free
            break
        except OSError:  # not there yet, or not for this user: its parent is on the same disk or says more
            folder = folder.parent
    return [Line("disk", f"{free / 1e9:.1f} GB free for {settings.data_dir}", free > LEAST_FREE_BYTES)]


def _page() -> list[Line]:
    built = (web_dir() / "index.html").is_file()
    return [Line("page", "built" if built else "not built: run scripts/page", built)]


def _database(db: Database) -> list[Line]:
    from gis.crs import prove_postgis
    from gis.db.pool import owner_connection

    with owner_connection(db) as connection:
        before = time.time()
        row = connection.execute(
            "SELECT current_setting('server_version'), postgis_lib_version(), postgis_geos_version(),"
            " postgis_proj_version(), current_setting('fsync'), extract(epoch FROM clock_timestamp())"
        ).fetchone()
        assert row is not None
        extensions = [
            name for (name,) in connection.execute("SELECT extname FROM pg_extension ORDER BY 1").fetchall()
        ]
        with connection.cursor() as cursor:
            proofs = prove_postgis(cursor)
        accounts = _accounts(connection)
    skew = abs(float(row[5]) - (before + time.time()) / 2)
    return [
        Line("postgresql", f"{row[0]}, PostGIS {row[1]}, GEOS {row[2]}, PROJ {row[3]}", True),
        Line("extensions", ", ".join(extensions), {"postgis", "unaccent", "pg_trgm"} <= set(extensions)),
        Line("durability", f"fsync {row[4]}", row[4] == "on"),
        Line("clock", f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}, database {skew:.1f} s apart", skew < 5),
        accounts,
        *_proofs("st_transform", proofs),
    ]


def _accounts(connection: Connection) -> Line:
    """Who can manage accounts; nothing to judge before the first start has prepared the tables."""
    from gis.identity.accounts import admins

    if connection.execute("SELECT to_regclass('bandoso.account_grant')").fetchone() == (None,):
        return Line("accounts", "not prepared yet: bandoso serve does it")
    found = admins(connection)
    text = f"admins of the city: {', '.join(found)}" if found else "no admin yet: bandoso serve makes one"
    return Line("accounts", text)
