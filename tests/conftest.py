"""What all tests share: a real embedded PostGIS, a prepared database, copies of it to change at will.

``embedded`` -> ``database`` (prepared, read only by agreement) -> ``module_db`` / ``fresh_database``
(copies by CREATE DATABASE ... TEMPLATE, so that tests cannot disturb each other).
"""

from __future__ import annotations

import functools
import gc
import importlib.metadata
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx._transports.default as transports
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from gis.city import City
from gis.db.migrate import prepare
from gis.db.server import Database
from gis.db.server import database as open_database
from gis.errors import BandosoError
from gis.ingest import reader
from gis.ingest.spawn import Waiting
from gis.settings import Settings
from layers.registry import Catalogue
from tests.api.sample import load_sample
from tests.prepared_cluster import Cache, key
from tests.reading_nursery import Nursery

FreshDatabase = Callable[..., Database]

ROOT = Path(__file__).resolve().parent.parent


# httpx reads all certificates of the world for each client and each request outside of one (50 ms of a
# processor, thousands of times), whether or not it speaks TLS: once is enough.
transports.create_ssl_context = functools.cache(transports.create_ssl_context)


def pytest_configure() -> None:
    """A shell that starts us in the background has SIGINT ignored, and programs that we start inherit that:
    tests of Ctrl-C could not reach them. A handled signal is reset to its default in them.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Thousands of tests and all imported modules stay: the collector need not look at them each time."""
    gc.collect()
    gc.freeze()


def pytest_report_header() -> list[str]:
    """Library versions: most failures on another machine are explained by them."""
    import pyogrio
    import pyproj
    import shapely

    from gis.db.binaries import find_binaries

    try:
        server = find_binaries()
        postgresql = f"{server.major} in {server.folder}"
    except BandosoError as error:
        postgresql = f"none ({error})"
    geos = ".".join(str(part) for part in shapely.geos_version)
    gdal = ".".join(str(part) for part in pyogrio.__gdal_version__)
    packages = ", ".join(
        f"{name} {importlib.metadata.version(name)}"
        for name in ("psycopg", "pygeoapi", "starlette", "granian")
    )
    return [
        f"PostgreSQL {postgresql}",
        f"GEOS {geos} (shapely), GDAL {gdal} (pyogrio), PROJ {pyproj.proj_version_str} (pyproj)",
        packages,
    ]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real deliveries beside the checkout; tests that use them are skipped without."""
    folder = Path(os.environ.get("BANDOSO_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("the real files (shared/data) are not here")
    return folder


@pytest.fixture(scope="session")
def reachable_tmp() -> Iterator[Path]:
    """A folder that an unprivileged user can pass through (pytest's own folders are 0700)."""
    folder = Path(tempfile.mkdtemp(prefix="bandoso-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def settings(reachable_tmp: Path) -> Settings:
    """Settings of the session's embedded server; nothing of the caller's environment reaches them."""
    return Settings.from_env({}, data_dir=reachable_tmp / "data")


@pytest.fixture(scope="session")
def city(settings: Settings) -> City:
    """The shipped city."""
    return settings.load_city()


@pytest.fixture(scope="session")
def catalogue(settings: Settings, city: City) -> Catalogue:
    """The shipped catalogue."""
    return settings.load_catalogue(city)


@pytest.fixture(scope="session")
def kept_clusters(pytestconfig: pytest.Config) -> tuple[Cache, str]:
    """Prepared clusters that were kept, and the name of the one for these sources."""
    assert pytestconfig.cache is not None
    return Cache(pytestconfig.cache.mkdir("bandoso-clusters")), key()


@pytest.fixture(scope="session")
def prepared_folder(
    embedded: Database, reachable_tmp: Path, kept_clusters: tuple[Cache, str]
) -> Callable[[Path], Path]:
    """``prepared_folder(path)``: makes a data folder whose database has the layers, empty, for programs that
    start a server of their own; a first start (tests/db/test_server.py, tests/test_wheel.py) takes 10 s."""

    def make(folder: Path) -> Path:
        cache, name = kept_clusters
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        cache.restore(name, folder / "postgres")  # without one, the program makes it
        return folder

    return make


@pytest.fixture(scope="session")
def embedded(
    settings: Settings, city: City, catalogue: Catalogue, kept_clusters: tuple[Cache, str]
) -> Iterator[Database]:
    """A running embedded PostGIS with the databases ``bandoso`` and ``prepared`` (the template of copies)."""
    cache, name = kept_clusters
    custom = settings.data_dir / "conf" / "postgresql.custom.conf"
    custom.parent.mkdir(parents=True)
    # Crashes are tested on servers of their own (tests/db/test_server.py); here only time matters. A worker
    # for each of sixty databases each minute, most of which nobody uses any more, is one a second.
    custom.write_text(
        "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nautovacuum_naptime = 1h\n"
    )
    if not cache.restore(name, settings.data_dir / "postgres"):
        with open_database(settings) as db:
            prepare(db.owner_dsn, city, catalogue)
            postgres = make_conninfo(db.owner_dsn, dbname="postgres")
            with psycopg.connect(postgres, autocommit=True) as connection:
                # no session may be in a template while it is copied, autovacuum's neither
                connection.execute("CREATE DATABASE prepared TEMPLATE bandoso ALLOW_CONNECTIONS false")
        cache.keep(name, settings.data_dir / "postgres")
    with open_database(settings) as db:
        yield db


@pytest.fixture(scope="session")
def database(embedded: Database, city: City, catalogue: Catalogue) -> Database:
    """The prepared database of the session: read it, do not change it."""
    prepare(embedded.owner_dsn, city, catalogue)
    return embedded


@pytest.fixture(scope="session")
def fresh_database(database: Database, settings: Settings) -> FreshDatabase:
    """``fresh_database("name")``: a copy of the prepared database, or of another ``template``, in 0.1 s."""

    def make(name: str, template: str = "prepared") -> Database:
        with psycopg.connect(
            make_conninfo(database.owner_dsn, dbname="postgres"), autocommit=True
        ) as connection:
            new = sql.Identifier(name)
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(new))
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(new, sql.Identifier(template))
            )
            # CREATE DATABASE copies no grants of the database itself
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(new))
            connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO bandoso_app").format(new))
            connection.execute(sql.SQL("GRANT TEMPORARY ON DATABASE {} TO bandoso_checker").format(new))
        return replace(
            database,
            owner_dsn=make_conninfo(database.owner_dsn, dbname=name),
            app_dsn=make_conninfo(database.app_dsn, dbname=name),
        )

    return make


@pytest.fixture(scope="session")
def sampled(fresh_database: FreshDatabase, embedded: Database, catalogue: Catalogue, city: City) -> str:
    """Name of a template: the prepared database with a few rows of every public layer."""
    made = fresh_database("sampled")
    with psycopg.connect(made.owner_dsn, autocommit=True) as connection:
        load_sample(connection, catalogue, city)
    with psycopg.connect(make_conninfo(embedded.owner_dsn, dbname="postgres"), autocommit=True) as connection:
        connection.execute("ALTER DATABASE sampled ALLOW_CONNECTIONS false")
    return "sampled"


@pytest.fixture(scope="session", autouse=True)
def _nursery() -> Iterator[None]:
    """Loads in the tests' own process fork their reading children (tests/reading_nursery.py)."""
    made: list[Nursery] = []

    def start() -> Waiting:
        if not made:
            made.append(Nursery())
        found: Waiting = made[0].start()
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "start", start)
        yield
    for nursery in made:
        nursery.close()


def database_name(request: pytest.FixtureRequest) -> str:
    """Name of the database of a test module."""
    return "t_" + "".join(c if c.isalnum() else "_" for c in request.node.name.lower())[-50:]


@pytest.fixture(scope="module")
def module_db(fresh_database: FreshDatabase, request: pytest.FixtureRequest) -> Database:
    """A copy of the prepared database for one test module."""
    return fresh_database(database_name(request))


@pytest.fixture
def owner(module_db: Database) -> Iterator[psycopg.Connection]:
    """An owner's connection (autocommit) to the module's database."""
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        yield connection
