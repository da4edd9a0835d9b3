"""``server``: the real program, several processes, over a copy of the database with rows in every layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from gis.city import City
from gis.db.server import Database
from gis.settings import Settings
from layers.registry import Catalogue
from tests.api.editors import Editors, enrol
from tests.api.process import Server
from tests.api.sample import load_sample


@pytest.fixture(scope="module")
def sample_db(module_db: Database, catalogue: Catalogue, city: City) -> Database:
    """The module's database with a few rows of every public layer (tests/api/sample.py)."""
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        load_sample(connection, catalogue, city)
    return module_db


@pytest.fixture(scope="module")
def running(
    sample_db: Database, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A running server with two workers over ``sample_db``; it must stop gently at the end."""
    process = Server(replace(settings, workers=2, pool_size=4), sample_db, tmp_path_factory.mktemp("server"))
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
