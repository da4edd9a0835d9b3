"""Which updates make low zooms stale: those of the geometry, and of fields that they are derived of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection, sql

from gis.city import City
from gis.db.low import prepare_low
from gis.db.migrate import migrations
from gis.db.server import Database
from layers.registry import Catalogue
from tiles.refresh import CHANNEL, bring_up

from .layer_blocks import POINT, Block, a_field

#: Middle of a cell; parcels lie one in each of the cells east of it.
X, Y = 512 * 1190 + 256, 512 * 2330 + 256
PARCELS = 3


@pytest.fixture
def three(module_db: Database, owner: Connection) -> Iterator[Connection]:
    """The owner's connection to a database of three parcels in three cells, nothing of it stale."""
    owner.execute("DELETE FROM layer.cadastre_parcel")
    owner.execute(
        "INSERT INTO layer.cadastre_parcel (land_use, sheet_no, geom)"
        " SELECT 'ODT', n::text, ST_MakeEnvelope(x, y, x + 20, y + 20, 9210)"
        " FROM (SELECT n, %s + 512.0 * n AS x, %s AS y FROM generate_series(0, %s) AS n) AS p",
        [X, Y, PARCELS - 1],
    )
    bring_up(module_db.owner_dsn, 1)
    owner.execute(f"LISTEN {CHANNEL}")
    yield owner


def marked(connection: Connection, what: str, layer: str = "cadastre_parcel") -> int:
    """Cells that an update of a layer makes stale; it wakes somebody if there are any."""
    list(connection.notifies(timeout=0))
    connection.execute("DELETE FROM bandoso.web_stale")
    connection.execute(f"UPDATE layer.{layer} SET {what}".encode())
    row = connection.execute("SELECT count(*), count(cell), count(box) FROM bandoso.web_stale").fetchone()
    assert row is not None and len(set(row)) == 1  # each with its cell and box
    told = list(connection.notifies(timeout=0.2, stop_after=1))
    assert len(told) == (1 if row[0] else 0)
    return int(row[0])


@pytest.mark.parametrize(
    ("what", "cells"),
    [
        ("address = 'x'", 0),
        ("address = 'x', version = version + 1", 0),
        ("land_use = 'ODT'", 0),  # as it was
        ("geom = geom", 0),
        ("land_use = 'ODT', geom = ST_GeomFromEWKB(ST_AsEWKB(geom))", 0),
        ("land_use = 'CLN'", 3),
        ("land_use = NULL", 3),
        ("land_use = CASE sheet_no WHEN '1' THEN 'CLN' ELSE land_use END, address = 'y'", 1),
        ("geom = ST_Translate(geom, 0, 0.001)", 3),
        ("geom = CASE sheet_no WHEN '1' THEN ST_Translate(geom, 0, 0.001) ELSE geom END", 1),
        ("geom = CASE sheet_no WHEN '2' THEN ST_Translate(geom, 512, 0) ELSE geom END", 2),
        ("geom = ST_Reverse(geom)", 3),
        ("land_use = 'CLN' WHERE sheet_no = '1'", 1),
        ("land_use = 'CLN' WHERE sheet_no = 'none'", 0),
    ],
)
def test_an_update_marks_the_cells_of_what_is_needed(three: Connection, what: str, cells: int) -> None:
    assert marked(three, what) == cells


def test_another_height_counts_as_another_geometry(owner: Connection) -> None:
    """No low zoom shows it, but bytes are compared faster than heights are left out."""
    owner.execute(
        "INSERT INTO layer.water_pipe (pipe_class, geom) VALUES"
        " ('raw', ST_GeomFromText('LINESTRING Z (604416 1193216 1, 604426 1193216 1)', 9210))"
    )
    owner.execute(f"LISTEN {CHANNEL}")
    assert marked(owner, "street = 'x', depth_m = 2", "water_pipe") == 0
    assert marked(owner, "geom = ST_Translate(geom, 0, 0, 1)", "water_pipe") == 1
    assert marked(owner, "pipe_class = 'drain'", "water_pipe") == 1


def test_a_field_that_comes_to_be_needed_marks_from_then_on(
    module_db: Database, three: Connection, catalogue: Catalogue, city: City
) -> None:
    assert marked(three, "address = 'x'") == 0
    three.execute(
        "UPDATE bandoso.low_layer SET definition = jsonb_set(definition, '{needs,address}', '\"string\"')"
        " WHERE layer = 'cadastre_parcel'"
    )
    three.execute("SELECT bandoso.low_attach('layer.cadastre_parcel')")
    assert marked(three, "address = 'x'") == 0
    assert marked(three, "address = 'y'") == PARCELS
    prepare_low(three, catalogue, city)  # it is in no layer file
    assert marked(three, "address = 'z'") == 0
    assert marked(three, "land_use = 'CLN'") == PARCELS
    bring_up(module_db.owner_dsn, 1)


def test_a_field_that_is_renamed_stops_nobody(owner: Connection, city: City, tmp_path: Path) -> None:
    """Until what is derived is defined anew, updates go on, and mark by what there is."""
    block = Block(owner, city, tmp_path, "low_trial")
    block.apply(fields=[a_field("kind")])
    owner.execute(
        'INSERT INTO bandoso.low_layer (layer, definition) VALUES (%s, \'{"needs": {"kind": "string"}}\')',
        [block.id],
    )
    owner.execute("SELECT bandoso.low_attach('layer.low_trial')")
    owner.execute(f"LISTEN {CHANNEL}")
    owner.execute("INSERT INTO layer.low_trial (kind, geom) VALUES ('a', %s)", [POINT])
    assert marked(owner, "kind = 'b'", block.id) == 1
    block.apply(fields=[a_field("sort", renamed_from="kind")])
    assert marked(owner, "sort = 'c'", block.id) == 0
    assert marked(owner, "geom = ST_Translate(geom, 1, 0)", block.id) == 1
    owner.execute("SELECT bandoso.low_detach(%s)", [block.id])


def test_a_layer_of_which_nothing_is_derived_any_more(
    three: Connection, catalogue: Catalogue, city: City
) -> None:
    marker = "SELECT to_regproc('bandoso.stale_cadastre_parcel') IS NOT NULL"
    assert three.execute(marker).fetchone() == (True,)
    three.execute("SELECT bandoso.low_detach('cadastre_parcel')")
    assert three.execute(marker).fetchone() == (False,)
    assert marked(three, "land_use = 'CLN'") == 0
    prepare_low(three, catalogue, city)
    assert marked(three, "land_use = 'ODT'") == PARCELS


def test_who_reads_and_edits_may_not_call_it(owner: Connection) -> None:
    rights = owner.execute(
        "SELECT DISTINCT has_function_privilege(r.rolname, p.oid, 'EXECUTE') FROM pg_proc AS p, pg_roles AS r"
        " WHERE (p.proname LIKE 'stale\\_%' OR p.proname = 'low_triggers')"
        " AND p.pronamespace = 'bandoso'::regnamespace AND r.rolname LIKE 'bandoso\\_%'"
    ).fetchall()
    assert rights == [(False,)]


def test_a_city_that_stands_gets_its_triggers_and_nothing_is_stale(
    fresh_database: Callable[[str], Database],
) -> None:
    """As it was before migration 0026: all updates mark."""
    db = fresh_database("low_before_0026")
    texts = {one.number: one.text for one in migrations()}
    of_0017 = texts[17].partition("CREATE FUNCTION bandoso.low_stale_cells()")
    before = "".join(of_0017[1:]).partition("-- Nothing is derived of a layer any more.")[0]
    with psycopg.connect(db.owner_dsn, autocommit=True) as connection:
        connection.execute(before.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION").encode())
        connection.execute("SELECT bandoso.low_attach(format('layer.%I', layer)) FROM bandoso.low_layer")
        connection.execute("DROP FUNCTION bandoso.low_triggers")
        gone = connection.execute(
            "SELECT proname FROM pg_proc WHERE proname LIKE 'stale\\_%'"
            " AND pronamespace = 'bandoso'::regnamespace"
        ).fetchall()
        for (name,) in gone:
            connection.execute(sql.SQL("DROP FUNCTION {}").format(sql.Identifier("bandoso", name)))
        connection.execute(
            "INSERT INTO layer.cadastre_parcel (land_use, geom)"
            " VALUES ('ODT', ST_MakeEnvelope(%(x)s, %(y)s, %(x)s + 20, %(y)s + 20, 9210))",
            {"x": X, "y": Y},
        )
        bring_up(db.owner_dsn, 1)
        connection.execute(f"LISTEN {CHANNEL}")
        assert marked(connection, "address = 'x'") == 1

        connection.execute("DELETE FROM bandoso.web_stale")
        connection.execute(texts[26].encode())
        assert connection.execute("SELECT count(*) FROM bandoso.web_stale").fetchone() == (0,)
        assert marked(connection, "address = 'y'") == 0
        assert marked(connection, "land_use = 'CLN'") == 1
        without = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE to_regproc('bandoso.stale_' || layer) IS NULL)"
            " FROM bandoso.low_layer"
        ).fetchone()
        assert without is not None and without[0] == len(gone) and without[1] == 0
