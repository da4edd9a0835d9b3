"""What was is kept: versions, changes and changesets, by the triggers of the layers' tables (0010, 0013)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from gis.db.server import Database

VALVE = "layer.water_valve"
POINT = "ST_SetSRID(ST_MakePoint(%s, 1192000), 9210)"


@pytest.fixture
def db(module_db: Database) -> Iterator[psycopg.Connection]:
    """An owner's connection with empty valves and no history."""
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        connection.execute(
            "DELETE FROM layer.water_valve; DELETE FROM bandoso.version; DELETE FROM bandoso.change"
        )
        yield connection


def make(db: psycopg.Connection, code: str = "a", x: float = 600000) -> int:
    """A valve; its fid."""
    row = db.execute(
        f"INSERT INTO {VALVE} (code, geom) VALUES (%s, {POINT}) RETURNING fid", [code, x]
    ).fetchone()
    assert row
    return int(row[0])


def rows(db: psycopg.Connection, query: str, *values: Any) -> list[tuple[Any, ...]]:
    return db.execute(query.encode(), values).fetchall()


def changes(db: psycopg.Connection, fid: int) -> list[tuple[Any, ...]]:
    return rows(
        db,
        "SELECT op::text, old_version, new_version FROM bandoso.change WHERE layer = 'water_valve' AND fid = %s"
        " ORDER BY changeset",
        fid,
    )


def versions(db: psycopg.Connection, fid: int) -> list[tuple[Any, ...]]:
    return rows(
        db,
        "SELECT version, properties ->> 'code' FROM bandoso.version WHERE layer = 'water_valve' AND fid = %s"
        " ORDER BY version",
        fid,
    )


def test_each_change_keeps_what_was_before(db: psycopg.Connection) -> None:
    fid = make(db, "one")
    db.execute(f"UPDATE {VALVE} SET code = 'two' WHERE fid = %s", [fid])
    db.execute(f"DELETE FROM {VALVE} WHERE fid = %s", [fid])
    assert versions(db, fid) == [(1, "one"), (2, "two")]
    assert changes(db, fid) == [("c", None, 1), ("u", 1, 2), ("d", 2, None)]
    spans = rows(
        db, "SELECT valid_from, valid_to, ended_by FROM bandoso.version WHERE fid = %s ORDER BY version", fid
    )
    assert spans[0][0] < spans[0][1] == spans[1][0] < spans[1][1]
    made = rows(
        db,
        "SELECT at, summary -> 'water_valve' ->> 'deleted' FROM bandoso.changeset WHERE id = %s",
        spans[1][2],
    )
    assert made == [(spans[1][1], "1")]


def test_a_changeset_is_one_step_however_many_statements_it_has(db: psycopg.Connection) -> None:
    fid = make(db, "one")
    with db.transaction():
        db.execute(f"UPDATE {VALVE} SET code = 'two' WHERE fid = %s", [fid])
        db.execute(f"UPDATE {VALVE} SET code = 'three' WHERE fid = %s", [fid])
    assert versions(db, fid) == [(1, "one")], "what nobody has seen is no version"
    assert changes(db, fid)[1:] == [("u", 1, 3)]
    with db.transaction():
        db.execute(f"DELETE FROM {VALVE} WHERE fid = %s", [fid])
        db.execute(f"INSERT INTO {VALVE} (fid, code, geom) VALUES (%s, 'four', {POINT})", [fid, 600001])
    assert versions(db, fid) == [(1, "one"), (3, "three")]
    assert changes(db, fid)[2:] == [("u", 3, 4)]
    with db.transaction():
        other = make(db, "x", 600002)
        db.execute(f"DELETE FROM {VALVE} WHERE fid = %s", [other])
    assert changes(db, other) == versions(db, other) == []


def test_what_comes_back_goes_on_with_its_versions(db: psycopg.Connection) -> None:
    fid = make(db, "one")
    db.execute(f"UPDATE {VALVE} SET code = 'two' WHERE fid = %s", [fid])
    db.execute(f"DELETE FROM {VALVE} WHERE fid = %s", [fid])
    db.execute(f"INSERT INTO {VALVE} (fid, code, geom) VALUES (%s, 'again', {POINT})", [fid, 600001])
    assert rows(db, f"SELECT version FROM {VALVE} WHERE fid = %s", fid) == [(3,)]
    db.execute(f"UPDATE {VALVE} SET code = 'more' WHERE fid = %s", [fid])
    assert versions(db, fid) == [(1, "one"), (2, "two"), (3, "again")]


def test_a_savepoint_takes_its_history_back(db: psycopg.Connection) -> None:
    fid = make(db, "one")
    before = rows(db, "SELECT count(*) FROM bandoso.changeset")
    with db.transaction():
        with pytest.raises(psycopg.Error), db.transaction():
            db.execute(f"UPDATE {VALVE} SET code = 'two' WHERE fid = %s", [fid])
            db.execute("SELECT 1 / 0")
        assert versions(db, fid) == []
    assert rows(db, "SELECT count(*) FROM bandoso.changeset") == before
    with db.transaction():
        with pytest.raises(psycopg.Error), db.transaction():
            db.execute(f"UPDATE {VALVE} SET code = 'two' WHERE fid = %s", [fid])
            db.execute("SELECT 1 / 0")
        db.execute(f"UPDATE {VALVE} SET code = 'three' WHERE fid = %s", [fid])
    assert versions(db, fid) == [(1, "one")]
    assert changes(db, fid)[1:] == [("u", 1, 2)]


def test_truncate_keeps_what_it_takes_away(db: psycopg.Connection) -> None:
    fid = make(db, "one")
    db.execute(f"TRUNCATE {VALVE}")
    assert versions(db, fid) == [(1, "one")]
    assert rows(db, "SELECT bandoso.row_count('water_valve')") == [(0,)]


def test_a_changeset_opened_before_anothers_change_ends_no_version_before_it_began(
    db: psycopg.Connection, module_db: Database
) -> None:
    fid = make(db, "one")
    with psycopg.connect(module_db.owner_dsn) as slow:
        slow.execute("SELECT bandoso.changeset_open('edit')")
        db.execute(f"UPDATE {VALVE} SET code = 'two' WHERE fid = %s", [fid])
        slow.execute(f"UPDATE {VALVE} SET code = 'three' WHERE fid = %s", [fid])
        slow.commit()
    spans = rows(db, "SELECT valid_from, valid_to FROM bandoso.version WHERE fid = %s ORDER BY version", fid)
    now = rows(db, f"SELECT updated_at FROM {VALVE} WHERE fid = %s", fid)[0][0]
    assert spans[0][0] < spans[0][1] == spans[1][0] < spans[1][1] == now


def test_the_horizon_waits_for_what_is_under_way(db: psycopg.Connection, module_db: Database) -> None:
    def horizon() -> int:
        return int(rows(db, "SELECT bandoso.changeset_horizon()")[0][0])

    make(db, "a")
    done = horizon()
    with psycopg.connect(module_db.owner_dsn) as slow:
        opened = slow.execute("SELECT bandoso.changeset_open('edit')").fetchone()
        make(db, "b", 600001)
        assert opened and horizon() == done == opened[0] - 1
        slow.commit()
    assert horizon() == opened[0] + 1


def test_times_are_exact_whatever_the_session_shows(module_db: Database, db: psycopg.Connection) -> None:
    with psycopg.connect(
        make_conninfo(
            module_db.owner_dsn,
            options="-c datestyle=SQL,DMY -c timezone=Asia/Ho_Chi_Minh -c extra_float_digits=0",
        ),
        autocommit=True,
    ) as odd:
        fid = make(odd, "one")
        odd.execute(
            f"UPDATE {VALVE} SET code = 'two', turns = 0.1::float8 + 0.2::float8 WHERE fid = %s", [fid]
        )
        odd.execute(f"UPDATE {VALVE} SET code = 'three' WHERE fid = %s", [fid])
    now = dt.datetime.now(dt.UTC)
    for (moment,) in rows(db, "SELECT valid_to FROM bandoso.version WHERE fid = %s", fid):
        assert abs(moment - now) < dt.timedelta(seconds=20)
    assert rows(db, "SELECT turns FROM past.water_valve WHERE fid = %s AND version = 2", fid) == [
        (0.1 + 0.2,)
    ]
