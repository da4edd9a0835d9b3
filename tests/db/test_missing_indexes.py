"""A load that was killed before its last index: the next prepare builds it, and never disturbs a load."""

from __future__ import annotations

import psycopg
import pytest

from gis.city import City
from gis.db.migrate import prepare
from gis.db.server import Database
from layers.registry import Catalogue

INDEX = "layer.water_valve__q__idx"


@pytest.fixture
def lacking(module_db: Database) -> Database:
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        connection.execute(f"DROP INDEX IF EXISTS {INDEX}")
    return module_db


def stands(database: Database) -> bool:
    with psycopg.connect(database.owner_dsn) as connection:
        row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [INDEX]).fetchone()
    return bool(row and row[0])


def test_a_missing_index_is_built_again(lacking: Database, city: City, catalogue: Catalogue) -> None:
    assert not stands(lacking)
    prepare(lacking.owner_dsn, city, catalogue)
    assert stands(lacking)


def test_a_running_load_is_left_alone(lacking: Database, city: City, catalogue: Catalogue) -> None:
    with psycopg.connect(lacking.owner_dsn, autocommit=True) as load:
        load.execute("SELECT pg_advisory_lock(hashtext('bandoso.load'), hashtext('water_valve'))")
        prepare(lacking.owner_dsn, city, catalogue)
        assert not stands(lacking)
    prepare(lacking.owner_dsn, city, catalogue)
    assert stands(lacking)
