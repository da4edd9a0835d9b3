"""Web tables hold what a direct computation says, whoever wrote, in every state of their gaps."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier, Literal
from pytest import MonkeyPatch

from gis.api.features.formats import geojson
from gis.api.features.params import read_items
from gis.api.features.query import PageForm, stored_page, text_page
from gis.api.features.where import select
from gis.city import City
from gis.db.apply import apply_catalogue
from gis.db.ddl import (
    build_name,
    constraint_statements,
    create_table,
    index_statements,
    script,
    swap_statements,
)
from gis.db.server import Database
from gis.db.web import MOST_AT_ONCE, has_web, web_fields
from gis.db.web_fill import fill, gaps
from gis.db.web_keeper import keep_filled
from layers.registry import Catalogue, Layer

LAYER = "cadastre_building"
X, Y = 603_000.0, 1_191_000.0


@pytest.fixture
def layer(catalogue: Catalogue) -> Layer:
    return catalogue.layers[LAYER]


@pytest.fixture(autouse=True)
def _empty(owner: psycopg.Connection) -> Iterator[None]:
    yield
    owner.execute("TRUNCATE layer.cadastre_building, layer.water_pipe, layer.flood_spot")


def squares(owner: psycopg.Connection, count: int, first: int = 0, table: str = LAYER) -> None:
    """Squares of 8 m beside each other, the last at place ``first + count - 1``."""
    owner.execute(
        SQL(
            "INSERT INTO {} (name, geom) SELECT 'Nhà ' || n, ST_MakeEnvelope(x, y, x + 8, y + 8, 9210) FROM"
            " (SELECT n, {} + n %% 100 * 10 AS x, {} + n / 100 * 10 AS y"
            " FROM generate_series(%s::int, %s) AS n) AS p"
        ).format(Identifier("layer", table), Literal(X), Literal(Y)),
        [first, first + count - 1],
    )


def wrong(owner: psycopg.Connection, layer: Layer) -> list[Any]:
    """Features whose web row is missing (outside gaps), too many, or another than computed here."""
    shown = SQL(", ").join(
        Identifier("l", f.name) for f in layer.fields if f.access == "public" and f.name != "fid"
    )
    attributes = SQL(" OR ").join(
        SQL("w.{0} IS DISTINCT FROM l.{0}").format(Identifier(f.name))
        for f in web_fields(layer)
        if f.type not in ("date", "datetime")
    )
    query = SQL(
        """
        SELECT coalesce(w.fid, l.fid), w.fid IS NULL, l.fid IS NULL
        FROM web.{id} AS w FULL JOIN layer.{id} AS l USING (fid)
        WHERE l.fid IS NULL OR (w.fid IS NULL AND NOT EXISTS (SELECT FROM bandoso.web_gap AS g
                WHERE g.layer = {name} AND l.fid BETWEEN g.first_fid AND g.last_fid))
           OR (w.fid IS NOT NULL AND ({attributes}
               OR NOT ST_Equals(w.geom, ST_Transform(ST_Force2D(l.geom), 3857)) OR ST_NDims(w.geom) <> 2
               OR (ST_Dimension(w.geom) = 2 AND NOT ST_IsPolygonCW(w.geom))
               OR w._feature <> '{{"type":"Feature","id":' || l.fid || ',"geometry":'
                  || ST_AsGeoJSON(ST_Transform(l.geom, 4326), 9, 0) || ',"properties":'
                  || row_to_json((SELECT p FROM (SELECT {shown}) AS p)) || '}}'))
        """
    ).format(id=Identifier(layer.id), name=Literal(layer.id), attributes=attributes, shown=shown)
    owner.execute("SET TimeZone = 'UTC'")
    return owner.execute(query).fetchall()


def count(owner: psycopg.Connection, layer: str = LAYER) -> int:
    row = owner.execute(SQL("SELECT count(*) FROM {}").format(Identifier("web", layer))).fetchone()
    assert row
    return int(row[0])


def test_every_statement_is_followed_in_its_own_transaction(
    owner: psycopg.Connection, layer: Layer, catalogue: Catalogue
) -> None:
    squares(owner, 40)
    assert count(owner) == 40
    owner.execute("SET TimeZone = 'Asia/Ho_Chi_Minh'; SET extra_float_digits = -3")
    owner.execute("UPDATE layer.cadastre_building SET name = 'Tòa \"A\"' WHERE fid % 3 = 0")
    owner.execute("UPDATE layer.cadastre_building SET geom = ST_Translate(geom, 3, 4) WHERE fid % 4 = 0")
    owner.execute("RESET extra_float_digits")
    owner.execute("DELETE FROM layer.cadastre_building WHERE fid % 5 = 0")
    assert wrong(owner, layer) == []
    assert 0 < count(owner) < 40
    with owner.transaction(force_rollback=True):
        owner.execute("DELETE FROM layer.cadastre_building")
        assert count(owner) == 0
    assert wrong(owner, layer) == []
    owner.execute(
        "INSERT INTO layer.water_pipe (geom) VALUES (ST_GeomFromEWKT("
        "'SRID=9210;LINESTRINGZ(603000 1191000 -1.5, 603020 1191007 2)'));"
        "INSERT INTO layer.flood_spot (geom) SELECT ST_GeomFromEWKT('SRID=9210;' || g) FROM"
        ' unnest(\'{POINT(603000 1191000),"LINESTRING(603000 1191000,603010 1191000)",'
        '"POLYGON((603000 1191000,603010 1191000,603010 1191010,603000 1191000))"}\'::text[]) AS g'
    )
    assert wrong(owner, catalogue.layers["water_pipe"]) == wrong(owner, catalogue.layers["flood_spot"]) == []
    owner.execute("TRUNCATE layer.cadastre_building")
    assert count(owner) == 0


def test_clearance_says_which_polygons_stay_valid_when_rounded(owner: psycopg.Connection) -> None:
    """Of random polygons each is rounded to a grid that its clearance allows, and stays valid."""
    owner.execute(
        "INSERT INTO layer.cadastre_building (geom) SELECT g FROM (SELECT (ST_Dump("
        "ST_VoronoiPolygons(ST_GeneratePoints(ST_MakeEnvelope(603000, 1191000, 603090, 1191090, 9210),"
        " 300, 7)))).geom AS g) AS v"
        " WHERE ST_Within(g, ST_MakeEnvelope(602900, 1190900, 603190, 1191190, 9210));"
        "INSERT INTO layer.cadastre_building (geom) VALUES (ST_GeomFromText("
        "'POLYGON((603000 1191000, 603040 1191040, 603040 1191000, 603000 1191040, 603000 1191000))', 9210))"
    )
    rows = owner.execute(
        "SELECT _clear, ST_IsValid(ST_SnapToGrid(geom, _clear / 1.43)), ST_IsValid(geom),"
        " ST_NPoints(ST_SnapToGrid(geom, _clear / 1.43)) = ST_NPoints(geom)"
        " FROM web.cadastre_building"
    ).fetchall()
    assert len(rows) > 200
    assert [clear for clear, _, valid, _ in rows if not valid] == [0.0]
    assert all(rounded and same for clear, rounded, valid, same in rows if valid and clear > 0)


def test_a_statement_of_very_many_rows_leaves_a_gap_that_is_filled_side_by_side(
    module_db: Database, owner: psycopg.Connection, layer: Layer
) -> None:
    many = 3 * MOST_AT_ONCE
    squares(owner, 10)
    squares(owner, many, 10)
    assert count(owner) == 10
    assert gaps(owner) == [LAYER]
    owner.execute("UPDATE layer.cadastre_building SET name = 'x' WHERE fid % 500 = 0")
    owner.execute("DELETE FROM layer.cadastre_building WHERE fid % 700 = 0")
    assert wrong(owner, layer) == []
    seen: list[tuple[int, int | None]] = []
    fill(module_db.owner_dsn, LAYER, lambda done, total: seen.append((done, total)))
    assert gaps(owner) == []
    assert wrong(owner, layer) == []
    assert seen[0][0] == 0
    assert seen[-1][0] == seen[-1][1]
    owner.execute("UPDATE layer.cadastre_building SET geom = ST_Translate(geom, 1, 1)")
    assert gaps(owner) == [LAYER]
    assert count(owner) == 0
    fill(module_db.owner_dsn)
    assert wrong(owner, layer) == []
    assert count(owner) > many - 100


def test_who_writes_while_a_gap_is_filled_waits_for_it_and_leaves_no_ghost(
    module_db: Database, owner: psycopg.Connection, layer: Layer
) -> None:
    """A row that is being filled is not to be seen by who deletes it: without a lock it would stay."""
    squares(owner, MOST_AT_ONCE + 1)
    with psycopg.connect(module_db.owner_dsn) as filling, psycopg.connect(module_db.owner_dsn) as older:
        older.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        older.execute("SELECT count(*) FROM layer.cadastre_building")
        filling.execute("SELECT bandoso.web_fill(%s)", [LAYER])
        deleting = threading.Thread(
            target=owner.execute, args=("DELETE FROM layer.cadastre_building WHERE fid % 2 = 0",)
        )
        deleting.start()
        deleting.join(0.5)
        assert deleting.is_alive()
        filling.commit()
        deleting.join(120)
        with pytest.raises(psycopg.errors.SerializationFailure):
            older.execute("DELETE FROM layer.cadastre_building WHERE fid % 2 = 1")
    assert gaps(owner) == []
    assert wrong(owner, layer) == []


def test_a_gap_that_is_divided_while_a_writer_waits_is_still_held(
    module_db: Database, owner: psycopg.Connection, layer: Layer
) -> None:
    squares(owner, MOST_AT_ONCE + 1)
    with psycopg.connect(module_db.owner_dsn) as dividing, psycopg.connect(module_db.owner_dsn) as deleting:
        dividing.execute("SELECT bandoso.web_divide(%s, 500)", [LAYER])
        waiting = threading.Thread(target=deleting.execute, args=("DELETE FROM layer.cadastre_building",))
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        dividing.commit()
        waiting.join(120)
        # all parts are the writer's now: nobody fills them
        row = owner.execute("SELECT bandoso.web_fill(%s)", [LAYER]).fetchone()
        assert row == (None,)
        deleting.commit()
    fill(module_db.owner_dsn)
    assert gaps(owner) == []
    assert count(owner) == 0


def test_the_server_fills_what_it_finds_and_what_it_is_told_of(
    module_db: Database, owner: psycopg.Connection, layer: Layer, monkeypatch: MonkeyPatch
) -> None:
    monkeypatch.setattr("gis.db.web_keeper._GIVE_WAY", 0.0)
    squares(owner, MOST_AT_ONCE + 1)
    stop = threading.Event()
    keeper = threading.Thread(target=keep_filled, args=(module_db.owner_dsn, stop))
    keeper.start()
    try:
        _wait(owner)
        owner.execute("UPDATE layer.cadastre_building SET name = 'y'")
        _wait(owner)
    finally:
        stop.set()
        keeper.join(120)
    assert not keeper.is_alive()
    assert wrong(owner, layer) == []
    assert count(owner) == MOST_AT_ONCE + 1


def _wait(owner: psycopg.Connection) -> None:
    pause = threading.Event()
    for _ in range(200):
        if not gaps(owner):
            return
        pause.wait(0.05)
    raise AssertionError("the gap was not filled within 10 s")


def test_a_table_put_in_place_is_one_gap(
    module_db: Database, owner: psycopg.Connection, layer: Layer, city: City
) -> None:
    squares(owner, 30)
    built = build_name(layer)
    owner.execute(script(create_table(layer, city, built) + constraint_statements(layer, city, built)))
    squares(owner, 20, 50, built)
    with owner.transaction():
        owner.execute(script(index_statements(layer, built) + swap_statements(layer, built)))
    assert count(owner) == 0
    assert gaps(owner) == [LAYER]
    squares(owner, 5, 90)
    assert fill(module_db.owner_dsn, [LAYER]) == 20
    assert wrong(owner, layer) == []
    assert count(owner) == 25


def test_layer_files_decide_which_tables_there_are_and_what_they_hold(
    module_db: Database, owner: psycopg.Connection, catalogue: Catalogue, city: City, layer: Layer
) -> None:
    squares(owner, 12)

    def applied(**changes: Any) -> Layer:
        changed = replace(layer, definition=layer.definition.model_copy(update=changes))
        apply_catalogue(owner, replace(catalogue, layers={**catalogue.layers, LAYER: changed}), city)
        return changed

    tiles = layer.definition.tiles.model_copy(update={"attributes": {16: ("name", "structure", "remark")}})
    more = applied(tiles=tiles)
    assert [f.name for f in web_fields(more)] != [f.name for f in web_fields(layer)]
    fill(module_db.owner_dsn)
    assert wrong(owner, more) == []
    assert count(owner) == 12
    applied(access="restricted")
    assert not has_web(
        replace(layer, definition=layer.definition.model_copy(update={"access": "restricted"}))
    )
    assert owner.execute(
        "SELECT to_regclass('web.cadastre_building'), count(*) FROM bandoso.web_gap"
    ).fetchone() == (
        None,
        0,
    )
    squares(owner, 3, 20)
    apply_catalogue(owner, catalogue, city)
    assert gaps(owner) == [LAYER]
    rest = {name: one for name, one in catalogue.layers.items() if name != LAYER}
    apply_catalogue(owner, replace(catalogue, layers=rest), city)
    assert owner.execute("SELECT to_regclass('web.cadastre_building')").fetchone() == (None,)
    assert gaps(owner) == []
    apply_catalogue(owner, catalogue, city)
    fill(module_db.owner_dsn)
    assert count(owner) == 15
    assert wrong(owner, layer) == []


def test_pages_of_stored_texts_are_those_that_are_computed(
    owner: psycopg.Connection, catalogue: Catalogue, city: City, layer: Layer, monkeypatch: MonkeyPatch
) -> None:
    """Byte for byte, for every form of a page, whatever stands in the web table."""
    squares(owner, 60)
    owner.execute("UPDATE layer.cadastre_building SET name = E'a\\n\"b\"' WHERE fid % 7 = 0")
    owner.execute("SET TimeZone = 'UTC'")
    storage = city.crs.storage

    def page(given: dict[str, str]) -> tuple[list[Any], tuple[Any, ...]]:
        query = read_items(given, layer, city, "json")
        selection = select(layer, query, storage)
        stored = PageForm(layer, query, storage, "stored", (), lambda: [geojson.stored_feature(layer)])
        computed = [geojson.geojson_feature(query.view, storage)]
        whole = PageForm(layer, query, storage, "json", query.view.fields, lambda: computed)
        one, other = stored_page(stored, selection), text_page(whole, selection)
        reference = owner.execute(other.text, other.values).fetchone()
        assert reference is not None
        return owner.execute(one.text, one.values).fetchall(), tuple(reference)

    box = "106.6,10.7,106.8,10.9"
    forms: tuple[dict[str, str], ...] = (
        {},
        {"limit": "7", "offset": "3"},
        {"limit": "5", "sortby": "-name"},
        {"limit": "50", "bbox": box},
        {"bbox": "100,5,100.1,5.1"},
        {"limit": "20", "q": "nha"},
    )
    for _ in range(2):
        for form in forms:
            rows, (text, returned, read, last, *rest) = page(form)
            if not returned:
                assert [row[1] for row in rows] == [None]
                assert rows[0][-2] == read
                continue
            assert ",\n".join(row[0] for row in rows).encode() == text, form
            assert (len(rows), rows[-1][1], rows[-1][-2], rows[-1][-1]) == (returned, last, read, rest[-1])
        # half of them are still to be filled
        owner.execute("DELETE FROM web.cadastre_building WHERE fid % 2 = 0")
    monkeypatch.setattr("gis.api.features.query.PAGE_BYTES", 500)
    rows, (_, returned, read, *_) = page({"limit": "9"})
    assert returned < 9
    assert [(row[1], row[-2]) for row in rows] == [(None, read)]


def test_readers_see_web_tables_of_public_layers_and_change_nothing(
    module_db: Database, owner: psycopg.Connection, catalogue: Catalogue
) -> None:
    squares(owner, 1)
    public = {layer.id for layer in catalogue.layers.values() if has_web(layer)}
    rows = owner.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'web'::regnamespace AND relkind = 'r'"
    )
    assert {name for (name,) in rows if "__" not in name} == public
    with psycopg.connect(module_db.app_dsn, autocommit=True) as connection:
        connection.execute("SET ROLE bandoso_reader")
        assert connection.execute("SELECT count(*) FROM web.cadastre_building").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM bandoso.web_gap").fetchone() == (0,)
        for statement in (
            "DELETE FROM web.cadastre_building",
            "SELECT web.cadastre_building__fill(1, 2)",
            "SELECT bandoso.web_fill('cadastre_building')",
            "DELETE FROM bandoso.web_gap",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
