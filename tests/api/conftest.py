"""``server``: the real program, several processes, over a copy of the database with rows in every layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from gis.db.server import Database
from gis.settings import Settings
from tests.api.editors import Editors, enrol
from tests.api.process import Server
from tests.conftest import FreshDatabase, database_name


def is_shared(request: pytest.FixtureRequest) -> bool:
    """Whether the module says ``SHARED = True``: it leaves the sample (nearly) as it is, and can do with a
    server that other such modules have asked before."""
    return bool(getattr(request.module, "SHARED", False))


@pytest.fixture(scope="session")
def shared_db(fresh_database: FreshDatabase, sampled: str) -> Database:
    """The database of modules that share a server."""
    return fresh_database("shared", sampled)


@pytest.fixture(scope="session")
def shared_running(
    shared_db: Database, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Their server."""
    yield from _running(shared_db, settings, tmp_path_factory)


@pytest.fixture(scope="module")
def module_db(fresh_database: FreshDatabase, request: pytest.FixtureRequest) -> Database:
    """A copy of the prepared database for one test module, or the one of modules that share it."""
    if is_shared(request):
        shared: Database = request.getfixturevalue("shared_db")
        return shared
    return fresh_database(database_name(request))


@pytest.fixture(scope="module")
def sample_db(
    module_db: Database, fresh_database: FreshDatabase, sampled: str, request: pytest.FixtureRequest
) -> Database:
    """The module's database with a few rows of every public layer."""
    return module_db if is_shared(request) else fresh_database(database_name(request), sampled)


@pytest.fixture(scope="module")
def running(
    sample_db: Database,
    settings: Settings,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Server]:
    """A running server with two workers over ``sample_db``; it must stop gently at the end."""
    if is_shared(request):
        yield request.getfixturevalue("shared_running")
    else:
        yield from _running(sample_db, settings, tmp_path_factory)


def _running(db: Database, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    process = Server(replace(settings, workers=2, pool_size=4), db, tmp_path_factory.mktemp("server"))
    process.start()
    yield process
    assert process.stop() == 0, process.log.read_text(errors="replace")[-3000:]


@pytest.fixture(scope="module")
def server(running: Server) -> str:
    """Its address, without a final slash."""
    return running.url


@pytest.fixture(scope="module")
def editors(running: Server) -> Iterator[Editors]:
    """Accounts of the running server (tests/api/editors.py)."""
    with psycopg.connect(running.db.owner_dsn, autocommit=True) as connection:
        made = enrol(connection, running.url)
    yield made
    made.close()
