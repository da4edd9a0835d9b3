"""16 writers of one version at once, through the engine of edits, each in a session of its own: one wins."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import psycopg
import pytest
import shapely

from gis.checks.window import Setting
from gis.city import City
from gis.db.server import Database
from gis.edit.apply import apply
from gis.edit.errors import Conflict
from gis.edit.model import KEEP, Changeset, Delete, FeatureChange, Update
from gis.identity.accounts import add_account, grant
from gis.identity.principal import Principal
from layers.registry import Catalogue

WRITERS = 16
LAYER = "telecom_post_office"


@pytest.fixture(scope="module")
def principal(module_db: Database) -> Principal:
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        account = add_account(connection, "writer")
        grant(connection, account, "editor", "vnpt")
        row = connection.execute("SELECT bandoso.principal(%s)", [account]).fetchone()
    assert row is not None
    return Principal.of(row[0])


@pytest.fixture
def fid(module_db: Database) -> int:
    """A feature of version 1."""
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        row = connection.execute(
            f"INSERT INTO layer.{LAYER} (owner, name, geom) VALUES ('vnpt', 'office',"
            " ST_SetSRID(ST_MakePoint(603000, 1191000), 9210)) RETURNING fid"
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("what", ["attribute", "geometry", "delete"])
def test_of_16_writers_of_one_version_one_wins(
    module_db: Database, city: City, catalogue: Catalogue, principal: Principal, fid: int, what: str
) -> None:
    setting = Setting(city, catalogue, date(2026, 1, 1))
    together = threading.Barrier(WRITERS)

    def write(number: int) -> Conflict | None:
        change: FeatureChange
        if what == "delete" and number % 2:
            change = Delete(LAYER, fid, expected=1)
        else:
            place = shapely.Point(603000 + number, 1191000) if what == "geometry" else KEEP
            change = Update(LAYER, fid, 1, {"opening_hours": f"writer {number}"}, place)
        with psycopg.connect(module_db.app_dsn, autocommit=True) as connection:
            together.wait(30)
            try:
                apply(connection, principal, setting, Changeset([change], stepwise=True))
            except Conflict as conflict:
                return conflict
        return None

    with ThreadPoolExecutor(WRITERS) as pool:
        said = list(pool.map(write, range(WRITERS)))
    assert said.count(None) == 1
    winner = said.index(None)
    gone = what == "delete" and winner % 2 == 1
    for conflict in filter(None, said):
        (clash,) = conflict.clashes
        assert clash.found == (None if gone else 2)
    with psycopg.connect(module_db.owner_dsn) as connection:
        stands = connection.execute(
            f"SELECT version, opening_hours FROM layer.{LAYER} WHERE fid = %s", [fid]
        ).fetchall()
        assert stands == ([] if gone else [(2, f"writer {winner}")])
        history = connection.execute(
            "SELECT version, properties ->> 'opening_hours' FROM bandoso.version"
            " WHERE layer = %s AND fid = %s",
            [LAYER, fid],
        ).fetchall()
        assert history == [(1, None)]
        changes = connection.execute(
            "SELECT op, old_version, new_version FROM bandoso.change"
            " WHERE layer = %s AND fid = %s AND op <> 'c'",
            [LAYER, fid],
        ).fetchall()
        assert changes == [("d", 1, None) if gone else ("u", 1, 2)]
