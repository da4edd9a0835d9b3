"""Every way a layer can change, on real data: what is migrated, what is refused, and that nothing is lost."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gis.city import City
from gis.db import apply as apply_module
from gis.db import definition
from gis.db.apply import apply_catalogue
from gis.db.server import Database
from gis.errors import DatabaseError, MigrationRefused
from layers.registry import Catalogue, load_catalogue

from .layer_blocks import POINT, Block, a_field, domain, shape, state

NUMBERS = count(1)


@pytest.fixture
def block(owner: psycopg.Connection, city: City, tmp_path: Path) -> Iterator[Block]:
    """A layer of this test alone."""
    yield Block(owner, city, tmp_path, f"trial_layer{next(NUMBERS)}")


def refused(block: Block, **changes: Any) -> MigrationRefused:
    """The refusal, which a dry run foretells and which leaves everything as it was."""
    before = state(block.connection, block.id)
    rows = block.rows("*")
    foretold = block.apply(dry_run=True, **changes)
    assert [c for c in foretold if c.refused], "the dry run does not foretell the refusal"
    with pytest.raises(MigrationRefused) as caught:
        block.apply(**changes)
    assert block.rows("*") == rows
    assert state(block.connection, block.id) == before
    assert block.id in caught.value.message and caught.value.hint
    assert caught.value.errors[0]["pointer"].startswith(f"/layers/{block.id}")
    return caught.value


def kinds(changes: list[apply_module.Change]) -> list[tuple[str, str | None]]:
    assert all(str(c).startswith(c.layer) for c in changes)
    return [(c.kind, c.field) for c in changes]


# -- new layers, and nothing to do


def test_a_new_block_gives_a_table(block: Block) -> None:
    assert kinds(block.apply(dry_run=True)) == [("create-layer", None)]
    assert not block.connection.execute("SELECT to_regclass(%s)", (f"layer.{block.id}",)).fetchone()[0]
    assert kinds(block.apply()) == [("create-layer", None)]
    block.insert()
    assert block.rows("fid, asset_id, owner, status, version") == [
        (1, f"{block.id}-1", "thkt", "in_service", 1)
    ]
    assert block.apply() == []


def test_nothing_to_do_is_quick(database: Database, catalogue: Catalogue, city: City) -> None:
    with psycopg.connect(database.owner_dsn) as connection:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            assert apply_catalogue(connection, catalogue, city) == []
            times.append(time.perf_counter() - start)
    assert min(times) < 0.1


def test_titles_styles_and_tiles_change_nothing_in_the_database(block: Block) -> None:
    block.domains = {"trial": domain("a", "b")}
    block.apply(fields=[a_field("kind", domain="trial")])
    block.domains["trial"][0]["title"] = {"vi": "Khác", "en": "Other"}
    changed = a_field("kind", domain="trial") | {"title": {"vi": "Loại", "en": "Kind"}, "aliases": ["loai"]}
    style = {"colour": "#000000", "order": 210}
    tiles = {"min_zoom": 10}
    assert block.apply(fields=[changed], title={"vi": "Tên mới", "en": "New"}, style=style, tiles=tiles) == []


def test_a_table_that_is_not_ours_is_left_alone(block: Block) -> None:
    block.connection.execute(f"CREATE TABLE layer.{block.id} (precious text)".encode())
    with pytest.raises(MigrationRefused, match="did not make"):
        block.apply()
    block.connection.execute(f"DROP TABLE layer.{block.id}".encode())


def test_a_dropped_table_and_a_dropped_column_come_back(block: Block) -> None:
    block.apply(fields=[a_field("note")])
    block.connection.execute(f"ALTER TABLE layer.{block.id} DROP COLUMN note".encode())
    assert kinds(block.apply()) == [("add-field", "note")]
    block.connection.execute(f"DROP TABLE layer.{block.id}".encode())
    assert kinds(block.apply()) == [("create-layer", None)]


# -- fields


def test_a_new_field_is_empty_and_its_default_is_for_new_rows(block: Block) -> None:
    block.apply()
    block.insert()
    made = block.apply(fields=[a_field("height_m", type="number", default=2.5), a_field("note", index=True)])
    assert ("add-field", "height_m") in kinds(made) and ("add-field", "note") in kinds(made)
    block.insert()
    assert block.rows("height_m, note") == [(None, None), (2.5, None)]


def test_a_required_field_needs_a_default_once_there_are_rows(block: Block) -> None:
    block.apply()
    block.insert()
    assert "without a default" in refused(block, fields=[a_field("note", required=True)]).message
    block.apply(fields=[a_field("note", required=True, default="?")])
    assert block.rows("note") == [("?",)]


def test_a_renamed_field_keeps_its_values_checks_and_indexes(block: Block) -> None:
    number = {"type": "number", "minimum": 0, "index": True}
    block.apply(fields=[a_field("dia", **number)], keys=[["owner", "dia"]], search=["asset_id"])
    block.insert(dia=150)
    made = block.apply(
        fields=[a_field("diameter_mm", renamed_from="dia", **number)], keys=[["owner", "diameter_mm"]]
    )
    assert ("rename-field", "diameter_mm") in kinds(made)
    assert block.rows("diameter_mm") == [(150,)]
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        block.insert(diameter_mm=-1)
    assert caught.value.diag.constraint_name == f"{block.id}_diameter_mm_range"
    migrated = shape(block)
    fresh = Block(block.connection, block.city, block.folder, f"{block.id}_fresh", dict(block.content))
    fresh.apply()
    assert migrated == shape(fresh)


def test_renaming_never_overwrites(block: Block) -> None:
    block.apply(fields=[a_field("old"), a_field("new")])
    block.insert(old="precious", new="other")
    assert "old" in refused(block, fields=[a_field("new", renamed_from="old")]).message


def test_a_field_with_values_is_never_dropped(block: Block) -> None:
    block.apply(fields=[a_field("note"), a_field("vacant")])
    block.insert(note="precious")
    error = refused(block, fields=[a_field("vacant")])
    assert f"{block.id}.note" in error.message and "1 features have a value" in error.message
    assert "renamed_from" in (error.hint or "")


def test_an_empty_field_may_go(block: Block) -> None:
    block.apply(fields=[a_field("note"), a_field("vacant", index=True, max_length=5)], keys=[["vacant"]])
    block.insert(note="kept")
    assert ("drop-field", "vacant") in kinds(block.apply(fields=[a_field("note")], keys=[]))
    assert block.rows("note") == [("kept",)]
    assert "vacant" not in json.dumps(state(block.connection, block.id))


@pytest.mark.parametrize(
    ("old", "value", "new", "becomes"),
    [
        ("integer", 7, "number", 7.0),
        ("integer", 7, "string", "7"),
        ("number", 0.1, "string", "0.1"),
        ("boolean", True, "string", "true"),
        ("date", "2024-02-29", "string", "2024-02-29"),
        ("datetime", "2024-02-29T07:00:00+07", "string", "2024-02-29T00:00:00.000000Z"),
    ],
)
def test_types_widen(block: Block, old: str, value: Any, new: str, becomes: Any) -> None:
    block.apply(fields=[a_field("size", type=old, default=None, index=True)])
    block.insert(size=value)
    block.insert()
    block.connection.execute("SET timezone = 'Asia/Ho_Chi_Minh'")
    assert ("change-type", "size") in kinds(block.apply(fields=[a_field("size", type=new, index=True)]))
    assert block.rows("size") == [(becomes,), (None,)]


def test_widening_with_defaults_and_ranges(block: Block) -> None:
    block.apply(fields=[a_field("floors", type="integer", minimum=0, maximum=9, default=1)])
    block.insert()
    block.apply(fields=[a_field("floors", type="number", minimum=0, maximum=9.5, default=1.5)])
    block.insert()
    block.apply(fields=[a_field("floors", max_length=5, default="many")])
    block.insert()
    assert block.rows("floors") == [("1",), ("1.5",), ("many",)]


@pytest.mark.parametrize(
    ("old", "value", "new"),
    [
        ("string", "12", "integer"),
        ("number", 1.5, "integer"),
        ("integer", 1, "boolean"),
        ("string", "2024-01-01", "date"),
        ("datetime", "2024-01-01T00:00:00Z", "date"),
        ("date", "2024-01-01", "datetime"),  # midnight, but where?
    ],
)
def test_types_do_not_narrow_while_there_are_values(block: Block, old: str, value: Any, new: str) -> None:
    block.apply(fields=[a_field("size", type=old)])
    block.insert(size=value)
    refused(block, fields=[a_field("size", type=new)])
    block.connection.execute(f"UPDATE layer.{block.id} SET size = NULL".encode())
    assert ("change-type", "size") in kinds(block.apply(fields=[a_field("size", type=new)]))


def test_integers_that_a_double_cannot_hold_stay_integers(block: Block) -> None:
    block.apply(fields=[a_field("size", type="integer")])
    block.insert(size=2**53 + 1)
    assert "exactly" in refused(block, fields=[a_field("size", type="number")]).message


def test_required_and_optional(block: Block) -> None:
    block.apply(fields=[a_field("note")])
    block.insert()
    assert "1 features have no value" in refused(block, fields=[a_field("note", required=True)]).message
    block.connection.execute(f"UPDATE layer.{block.id} SET note = 'x'".encode())
    assert kinds(block.apply(fields=[a_field("note", required=True)])) == [("change-required", "note")]
    with pytest.raises(psycopg.errors.NotNullViolation):
        block.insert()
    assert kinds(block.apply(fields=[a_field("note")])) == [("change-required", "note")]
    block.insert()


def test_defaults_change_for_new_rows_only(block: Block) -> None:
    block.apply(fields=[a_field("note", default="a")])
    block.insert()
    assert kinds(block.apply(fields=[a_field("note", default="b")])) == [("change-default", "note")]
    block.insert()
    assert kinds(block.apply(fields=[a_field("note")])) == [("change-default", "note")]
    block.insert()
    assert block.rows("note") == [("a",), ("b",), (None,)]
    block.apply(owner="stnmt")
    block.insert()
    assert block.rows("owner")[-1] == ("stnmt",)


# -- values


def test_domains_grow_and_shrink_only_where_no_row_is_hurt(block: Block) -> None:
    block.domains = {"trial": domain("clay", "steel", "o'brien")}
    block.apply(fields=[a_field("kind", domain="trial")])
    for value in ("clay", "steel", "steel", "o'brien"):
        block.insert(kind=value)
    block.domains = {"trial": domain("clay")}
    message = refused(block).message
    assert "3 features are not one of clay" in message and "steel (2), o'brien (1)" in message
    block.domains = {"trial": domain("clay", "steel", "o'brien", "pvc")}
    assert kinds(block.apply()) == [("change-values", "kind")]
    block.insert(kind="pvc")
    with pytest.raises(psycopg.errors.CheckViolation):
        block.insert(kind="jelly")
    block.connection.execute(f"DELETE FROM layer.{block.id} WHERE kind <> 'clay'".encode())
    block.domains = {"trial": domain("clay")}
    assert kinds(block.apply()) == [("change-values", "kind")]
    assert kinds(block.apply(fields=[a_field("kind")])) == [("change-values", "kind")]
    block.insert(kind="anything")


def test_confidential_values_are_not_told(block: Block) -> None:
    block.domains = {"trial": domain("a")}
    block.apply(fields=[a_field("code", access="confidential")])
    block.insert(code="KH-0001")
    error = refused(block, fields=[a_field("code", access="confidential", domain="trial")])
    assert "KH-0001" not in str(error.errors) + error.message


def test_ranges_and_lengths(block: Block) -> None:
    block.apply(
        fields=[a_field("size", type="integer", minimum=0, maximum=100), a_field("note", max_length=20)]
    )
    block.insert(size=50, note="x" * 20)
    narrower = [a_field("size", type="integer", minimum=0, maximum=49), a_field("note", max_length=20)]
    assert "at most 49: 50 (1)" in refused(block, fields=narrower).message
    shorter = [a_field("size", type="integer", minimum=0, maximum=100), a_field("note", max_length=19)]
    assert "at most 19 characters" in refused(block, fields=shorter).message
    wider = [a_field("size", type="integer"), a_field("note")]
    assert set(kinds(block.apply(fields=wider))) == {("change-values", "size"), ("change-values", "note")}
    block.insert(size=-5, note="y" * 200)


def test_the_status_domain_holds(block: Block) -> None:
    block.apply()
    with pytest.raises(psycopg.errors.CheckViolation):
        block.insert(status="lost")


# -- geometry


def test_geometry_types_change_only_with_rows_that_fit(block: Block) -> None:
    block.apply(geometry="Geometry")
    block.insert()
    error = refused(block, geometry="Polygon")
    assert "1 features are not of type Polygon" in error.message and "replace" in (error.hint or "")
    assert kinds(block.apply(geometry="Point")) == [("change-geometry", "geom")]
    with pytest.raises(psycopg.errors.CheckViolation):
        block.insert(geom="SRID=9210;LINESTRING(603000 1191000, 603001 1191000)")


def test_heights_and_vertices(block: Block) -> None:
    block.apply(geometry="LineString", z="optional")
    block.insert(geom="SRID=9210;LINESTRING Z (603000 1191000 1, 603001 1191000 2, 603002 1191000 2)")
    assert "without heights" in refused(block, z="none").message
    block.content["z"] = "optional"
    assert "at most 2 vertices" in refused(block, max_vertices=2).message
    block.content["max_vertices"] = 1000
    block.apply(z="required")
    with pytest.raises(psycopg.errors.CheckViolation):
        block.insert(geom="SRID=9210;LINESTRING(603000 1191000, 603001 1191000)")


def test_another_storage_crs_is_refused_while_there_is_data(block: Block, city: City) -> None:
    block.apply()
    block.insert()
    block.connection.execute("TRUNCATE layer.base_sheet, layer.cadastre_sheet")
    moved = city.model_copy(update={"crs": city.crs.model_copy(update={"storage": 5899})})
    block.city = moved
    error = refused(block)
    assert "EPSG:9210" in error.message and "EPSG:5899" in error.message
    block.city = city
    assert block.apply() == []


# -- keys, indexes, search


def test_a_key_needs_rows_without_duplicates(block: Block) -> None:
    fields = [a_field("sheet"), a_field("number")]
    block.apply(fields=fields)
    block.insert(sheet="5", number="12")
    block.insert(sheet="5", number="12")
    assert "sheet, number cannot become a key" in refused(block, keys=[["sheet", "number"]]).message
    block.connection.execute(f"DELETE FROM layer.{block.id} WHERE fid = 2".encode())
    assert kinds(block.apply(keys=[["sheet", "number"]])) == [("change-index", None)]
    block.insert(number="1")
    with pytest.raises(psycopg.errors.UniqueViolation):
        block.insert(number="1")  # null counts as a value...
    block.insert(sheet="5")
    block.insert(sheet="5")  # ...but a row whose last key field is null is not keyed
    assert kinds(block.apply(keys=[])) == [("change-index", None)]


def test_search_and_index_changes(block: Block) -> None:
    block.apply(fields=[a_field("name"), a_field("address")], search=["name"])
    block.insert(name="Nguyễn Huệ", address="Bến Nghé")
    assert ("change-index", None) in kinds(block.apply(search=["name", "address"]))
    made = block.apply(fields=[a_field("name", index=True), a_field("address")])
    assert [str(c) for c in made] == [f"{block.id}: an index on name was built"]
    too_long = "".join(chr(97 + i * 7 % 26) + str(i) for i in range(9000))
    block.insert(address=too_long)
    assert (
        "too long for an index"
        in refused(block, fields=[a_field("name"), a_field("address", index=True)]).message
    )


def test_the_search_index_of_an_older_version_is_replaced(
    block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before format 2 the words of asset_id were in the index, which no query's expression is any more."""
    fields = [a_field("name")]
    for search in (["asset_id", "name"], ["asset_id"]):
        block.apply(fields=fields, search=search)
        index = f"layer.{block.id}__q__idx"
        old = f"CREATE INDEX {block.id}__q__idx ON layer.{block.id} USING gin ((bandoso.search_vector("
        old += f"VARIADIC ARRAY[{', '.join(f'{n}::text' for n in search)}])))"
        block.connection.execute(f"DROP INDEX IF EXISTS {index}; {old}".encode())
        with monkeypatch.context() as before:
            before.setattr(definition, "FORMAT", 1)
            block.connection.execute(
                "UPDATE bandoso.layer SET fingerprint = %s,"
                " definition = jsonb_set(definition, ARRAY['indexes', %s], to_jsonb(%s::text)) WHERE id = %s",
                (definition.fingerprint(block.layer), f"{block.id}__q__idx", old, block.id),
            )
        assert kinds(block.apply()) == [("change-index", None)]
        row = block.connection.execute("SELECT pg_get_indexdef(to_regclass(%s))", (index,)).fetchone()
        assert row
        if search == ["asset_id"]:
            assert row[0] is None
        else:
            assert "ARRAY[name]" in row[0] and "asset_id" not in row[0]
        assert block.apply() == []


def test_the_field_indexes_of_an_older_version_are_replaced(
    block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before format 7 a page of a filter read and sorted all that it fits."""
    block.apply(fields=[a_field("name", index=True)])
    index = f"{block.id}__name__idx"
    old = f"CREATE INDEX {index} ON layer.{block.id} (name)"
    block.connection.execute(f"DROP INDEX layer.{index}; {old}".encode())
    with monkeypatch.context() as before:
        before.setattr(definition, "FORMAT", 6)
        block.connection.execute(
            "UPDATE bandoso.layer SET fingerprint = %s,"
            " definition = jsonb_set(definition, ARRAY['indexes', %s], to_jsonb(%s::text)) WHERE id = %s",
            (definition.fingerprint(block.layer), index, old, block.id),
        )
    assert kinds(block.apply()) == [("change-index", None)]
    row = block.connection.execute("SELECT pg_get_indexdef(%s::regclass)", (f"layer.{index}",)).fetchone()
    assert row and row[0].endswith("(name, fid)")
    assert block.apply() == []


def test_the_bounds_of_an_older_version_are_replaced(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before format 6 each row was taken apart to find the sides of its box."""
    block.apply(geometry="LineString")
    block.insert(geom="SRID=9210;LINESTRING(603000 1191000, 603010 1191000)")
    name, old = f"{block.id}_geom_bounds", "public.ST_XMin(geom) >= 0"
    alter = f"ALTER TABLE layer.{block.id} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} CHECK ({old})"
    block.connection.execute(alter.encode())
    with monkeypatch.context() as before:
        before.setattr(definition, "FORMAT", 5)
        block.connection.execute(
            "UPDATE bandoso.layer SET fingerprint = %s,"
            " definition = jsonb_set(definition, ARRAY['checks', %s], to_jsonb(%s::text)) WHERE id = %s",
            (definition.fingerprint(block.layer), name, old, block.id),
        )
    assert kinds(block.apply()) == [("change-geometry", "geom")]
    row = block.connection.execute(
        "SELECT pg_get_constraintdef(oid), convalidated FROM pg_constraint WHERE conname = %s", (name,)
    ).fetchone()
    assert row
    assert "@" in row[0]
    assert row[1]
    assert block.apply() == []


# -- access


def granted(block: Block) -> set[str]:
    rows = block.connection.execute(
        "SELECT a.attname::text FROM pg_attribute a WHERE attrelid = %s::regclass AND attnum > 0"
        " AND NOT attisdropped AND has_column_privilege('bandoso_reader', attrelid, attname, 'SELECT')",
        (f"layer.{block.id}",),
    ).fetchall()
    return {row[0] for row in rows}


def test_access_follows_the_definition(block: Block) -> None:
    system = {"fid", "asset_id", "owner", "status", "version", "updated_at", "geom"}
    block.apply(fields=[a_field("name"), a_field("code", access="confidential")])
    assert granted(block) == system | {"name"}
    assert kinds(block.apply(access="restricted")) == [("change-access", None)]
    assert granted(block) == set()
    assert kinds(block.apply(access="public")) == [("change-access", None)]
    assert granted(block) == system | {"name"}
    made = block.apply(
        fields=[a_field("name", access="confidential"), a_field("code", access="confidential")]
    )
    assert kinds(made) == [("change-access", "name")]
    assert granted(block) == system
    block.apply(fields=[a_field("name"), a_field("code", access="confidential"), a_field("later")])
    assert granted(block) == system | {"name", "later"}


# -- layers that go and come back


def test_a_removed_layer_keeps_its_table_and_is_not_readable(block: Block, catalogue: Catalogue) -> None:
    block.apply(fields=[a_field("note")])
    block.insert(note="precious")
    gone = [c for c in apply_catalogue(block.connection, catalogue, block.city) if c.layer == block.id]
    assert kinds(gone) == [("retire-layer", None)] and "1 features" in gone[0].text
    assert block.rows("note") == [("precious",)]
    assert granted(block) == set()
    assert apply_catalogue(block.connection, catalogue, block.city) == []
    assert kinds(block.apply()) == [("restore-layer", None)]
    assert block.rows("note") == [("precious",)]
    assert "note" in granted(block)


# -- all or nothing


def test_one_refusal_leaves_every_layer_as_it_was(block: Block) -> None:
    block.apply(fields=[a_field("note")])
    block.insert(note="x")
    other = Block(block.connection, block.city, block.folder, f"{block.id}_other")
    block.write(fields=[])
    text = (block.folder / "trial.yml").read_text(encoding="utf-8")
    (block.folder / "second.yml").write_text(text.replace(f"{block.id}:", f"{other.id}:"), encoding="utf-8")
    with pytest.raises(MigrationRefused):
        block.apply()
    found = block.connection.execute("SELECT to_regclass(%s)::text", (f"layer.{other.id}",)).fetchone()
    assert found == (None,)


def test_all_refusals_are_listed(block: Block) -> None:
    block.apply(fields=[a_field("a"), a_field("b")])
    block.insert(a="1", b="2")
    other = Block(block.connection, block.city, block.folder, f"{block.id}_z")
    second = block.folder / "second.yml"
    block.write()
    second.write_text((block.folder / "trial.yml").read_text().replace(f"{block.id}:", f"{other.id}:"))
    block.apply()
    other.insert(a="1", b="2")
    block.write(fields=[])
    second.write_text((block.folder / "trial.yml").read_text().replace(f"{block.id}:", f"{other.id}:"))
    with pytest.raises(MigrationRefused) as caught:
        block.apply()
    assert {e["pointer"].split("/")[2] for e in caught.value.errors} == {block.id, other.id}
    assert "(and 1 more)" in caught.value.message


def test_a_layer_in_use_is_not_waited_for_forever(
    block: Block, module_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    block.apply()
    monkeypatch.setattr(apply_module, "_WAIT", "200ms")
    with psycopg.connect(module_db.owner_dsn) as reader:
        reader.execute(f"SELECT * FROM layer.{block.id}".encode())
        with pytest.raises(DatabaseError, match="in use"):
            block.apply(fields=[a_field("note")])
    assert kinds(block.apply()) == [("add-field", "note")]


def test_two_processes_apply_at_once(block: Block, module_db: Database) -> None:
    block.write(fields=[a_field("note")])
    catalogue = load_catalogue([block.folder], block.city.agency_ids)
    results: list[list[str]] = []

    def run() -> None:
        with psycopg.connect(module_db.owner_dsn) as connection:
            made = apply_catalogue(connection, catalogue, block.city)
            results.append([c.kind for c in made if c.layer == block.id])

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [[], [], [], ["create-layer"]]


def test_the_row_count_stays_exact_through_migrations(block: Block) -> None:
    block.apply()
    block.insert()
    block.insert(geom=POINT)
    block.apply(fields=[a_field("note")])
    block.insert()
    assert block.connection.execute("SELECT bandoso.row_count(%s)", (block.id,)).fetchone() == (3,)
