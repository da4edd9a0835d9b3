"""The list of names (gis.db.names) follows what is written; nobody who writes waits while it is read anew."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from gis.db.names import fill_names, names_due
from gis.db.server import Database

LAYER = "base_building"
STREETS = "SELECT name FROM bandoso.name WHERE layer = %s AND kind = 'street' ORDER BY name COLLATE \"C\""


def add(connection: psycopg.Connection, *streets: str) -> None:
    for street in streets:
        connection.execute(
            "INSERT INTO layer.base_building (street, geom)"
            " VALUES (%s, ST_Multi(ST_MakeEnvelope(603000, 1191000, 603010, 1191010, 9210)))",
            [street],
        )


def kept(connection: psycopg.Connection) -> list[str]:
    return [name for (name,) in connection.execute(STREETS, [LAYER])]


def outdate(connection: psycopg.Connection) -> None:
    connection.execute("SELECT bandoso.names_outdated(%s)", [LAYER])


@pytest.fixture(autouse=True)
def _empty(owner: psycopg.Connection) -> None:
    owner.execute("TRUNCATE layer.base_building")
    owner.execute("DELETE FROM bandoso.name")
    owner.execute("DELETE FROM bandoso.name_due")


@pytest.fixture
def other(module_db: Database) -> Iterator[psycopg.Connection]:
    """Somebody else, who waits for nobody."""
    with psycopg.connect(module_db.owner_dsn) as connection:
        connection.execute("SET lock_timeout = '5s'")
        connection.commit()
        yield connection


def test_what_is_gone_is_forgotten_when_all_is_read(owner: psycopg.Connection) -> None:
    add(owner, "Nguyễn Huệ", "Lê Lợi", "Lê Lợi")
    assert kept(owner) == ["Lê Lợi", "Nguyễn Huệ"]
    owner.execute("UPDATE layer.base_building SET street = 'Hàm Nghi' WHERE street = 'Nguyễn Huệ'")
    assert kept(owner) == ["Hàm Nghi", "Lê Lợi", "Nguyễn Huệ"]
    outdate(owner)
    assert fill_names(owner) == 1 and not names_due(owner)
    assert kept(owner) == ["Hàm Nghi", "Lê Lợi"]


def test_a_load_is_read_when_it_is_over(owner: psycopg.Connection) -> None:
    owner.execute(
        "INSERT INTO layer.base_building (street, geom) SELECT 'Đường ' || n % 7,"
        " ST_Multi(ST_MakeEnvelope(603000, 1191000, 603010, 1191010, 9210)) FROM generate_series(1, 2500) n"
    )
    assert kept(owner) == [] and names_due(owner)
    assert fill_names(owner) == 1
    assert kept(owner) == [f"Đường {n}" for n in range(7)]


def test_who_is_writing_neither_waits_nor_is_forgotten(
    owner: psycopg.Connection, other: psycopg.Connection
) -> None:
    add(owner, "Lê Lợi", "Pasteur")
    owner.execute("DELETE FROM layer.base_building")
    add(other, "Lê Lợi", "Hàm Nghi")  # not committed: no reading sees it
    outdate(owner)
    assert fill_names(owner) == 1  # without waiting for the other
    assert kept(owner) == ["Lê Lợi", "Pasteur"]  # either might be the other's
    other.commit()
    outdate(owner)
    fill_names(owner)
    assert kept(owner) == ["Hàm Nghi", "Lê Lợi"]


def test_edits_go_on_while_names_are_read(
    owner: psycopg.Connection, module_db: Database, other: psycopg.Connection
) -> None:
    add(owner, "Lê Lợi", "Pasteur")
    outdate(owner)
    with psycopg.connect(module_db.owner_dsn) as reader:
        row = reader.execute("SELECT of_layer, marks FROM bandoso.names_begin()").fetchone()
        reader.commit()
        assert row and row[0] == LAYER
        assert reader.execute("SELECT bandoso.names_settled(%s)", [LAYER]).fetchone() == (True,)
        reader.commit()
        # It has begun to read: what is committed from now on it does not see.
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM layer.base_building")
        owner.execute("UPDATE layer.base_building SET street = 'Calmette' WHERE street = 'Pasteur'")
        add(owner, "Hàm Nghi")
        reader.execute("SELECT bandoso.names_read(%s, true)", [LAYER])
        add(other, "Tôn Đức Thắng", "Calmette")
        other.commit()
        reader.commit()
        assert kept(owner) == ["Calmette", "Hàm Nghi", "Lê Lợi", "Pasteur", "Tôn Đức Thắng"]
        outdate(other)  # a wish that the round has not met
        other.commit()
        reader.execute("SELECT bandoso.names_end(%s)", [row[1]])
        reader.commit()
    assert names_due(owner)
    fill_names(owner)
    assert kept(owner) == ["Calmette", "Hàm Nghi", "Lê Lợi", "Tôn Đức Thắng"] and not names_due(owner)


def test_an_edit_that_leaves_its_names_as_they_are_writes_none(
    owner: psycopg.Connection, module_db: Database
) -> None:
    """It adds and marks nothing, and what it has is not forgotten by a reading that is under way."""
    add(owner, "Lê Lợi")
    marks = "SELECT xmin::text, name FROM bandoso.name WHERE layer = %s"
    before = owner.execute(marks, [LAYER]).fetchall()
    outdate(owner)
    with psycopg.connect(module_db.owner_dsn) as reader:
        row = reader.execute("SELECT of_layer, marks FROM bandoso.names_begin()").fetchone()
        reader.commit()
        assert row
        owner.execute("UPDATE layer.base_building SET geom = ST_Translate(geom, 1, 0)")
        assert owner.execute(marks, [LAYER]).fetchall() == before
        reader.execute("SELECT bandoso.names_read(%s, true)", [LAYER])
        reader.execute("SELECT bandoso.names_end(%s)", [row[1]])
        reader.commit()
    assert kept(owner) == ["Lê Lợi"]
    owner.execute("UPDATE layer.base_building SET street = NULL")
    assert kept(owner) == ["Lê Lợi"]  # until all is read
