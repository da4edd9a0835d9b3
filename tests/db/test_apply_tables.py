"""What a layer's table refuses, gives by itself, and stays like through build-and-swap."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL

from gis.city import City
from gis.db import ddl
from gis.db.apply import apply_catalogue
from gis.db.constraints import Storage, constraints, explain, object_name
from gis.db.server import Database
from layers.registry import Catalogue, load_catalogue

from .layer_blocks import POINT, Block, a_field, domain, shape, state

NUMBERS = count(1)
LINE = "SRID=9210;LINESTRING(603000 1191000, 603010 1191000)"


@pytest.fixture
def block(owner: psycopg.Connection, city: City, tmp_path: Path) -> Block:
    return Block(owner, city, tmp_path, f"table_layer{next(NUMBERS)}")


def violated(block: Block, **values: Any) -> tuple[str, str]:
    """Field and kind of the constraint that refuses the row."""
    with pytest.raises(psycopg.errors.CheckViolation) as caught:
        block.insert(**values)
    found = explain(block.layer, Storage.of(block.city), caught.value.diag.constraint_name)
    assert found is not None
    return found.field, found.kind


# -- geometry that must never get in


@pytest.mark.parametrize(
    ("geometry", "wkt", "kind"),
    [
        ("LineString", "SRID=9210;POINT(603000 1191000)", "type"),
        ("LineString", "SRID=9210;MULTILINESTRING((603000 1191000, 603010 1191000))", "type"),
        ("LineString", "SRID=9210;CIRCULARSTRING(603000 1191000, 603010 1191000, 603020 1191000)", "type"),
        ("Geometry", "SRID=9210;GEOMETRYCOLLECTION(POINT(603000 1191000))", "type"),
        ("Geometry", "SRID=9210;CURVEPOLYGON(CIRCULARSTRING(0 0, 4 0, 4 4, 0 4, 0 0))", "type"),
        ("LineString", "LINESTRING(603000 1191000, 603010 1191000)", "srid"),
        ("LineString", "SRID=4326;LINESTRING(106.7 10.7, 106.8 10.7)", "srid"),
        ("LineString", "SRID=9210;LINESTRING EMPTY", "empty"),
        ("Point", "SRID=9210;POINT EMPTY", "empty"),
        ("LineString", "SRID=9210;LINESTRING Z (603000 1191000 1, 603010 1191000 1)", "dims"),
        ("LineString", "SRID=9210;LINESTRING M (603000 1191000 1, 603010 1191000 1)", "dims"),
        ("LineString", "SRID=9210;LINESTRING(106.7 10.7, 106.8 10.7)", "bounds"),
        ("LineString", "SRID=9210;LINESTRING(1191000 603000, 1191000 603010)", "bounds"),
        ("LineString", "SRID=9210;LINESTRING(603000 1191000, 1e308 1191000)", "bounds"),
        ("Point", "SRID=9210;POINT(603000 6e12)", "bounds"),
        ("Geometry", "SRID=9210;MULTIPOINT(603000 1191000, 1e300 1191000)", "bounds"),
    ],
)
def test_wrong_geometry_is_refused_and_named(block: Block, geometry: str, wkt: str, kind: str) -> None:
    block.apply(geometry=geometry)
    field, found = violated(block, geom=wkt)
    assert field == "geom"
    # An empty geometry has no bounds, a bad one may break several: any of them names the geometry.
    assert found == kind or {found, kind} <= {"empty", "bounds", "finite", "type", "srid"}


def line(second: str) -> str:
    return f"ST_MakeLine(ARRAY[ST_MakePoint(603000, 1191000), {second}, ST_MakePoint(603002, 1191000)])"


def points(second: str) -> str:
    return f"ST_Collect(ARRAY[ST_MakePoint(603000, 1191000), {second}, ST_MakePoint(603002, 1191000)])"


RING = (
    "ST_MakePolygon(ST_MakeLine(ARRAY[ST_MakePoint(603000, 1191000), ST_MakePoint(603001, 1191000),"
    " ST_MakePoint(603001, {bad}), ST_MakePoint(603000, 1191000)]))"
)


@pytest.mark.parametrize("bad", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize(
    ("geometry", "made"),
    [
        ("Point", "ST_MakePoint({bad}, 1191000)"),
        ("Point", "ST_MakePoint(603000, {bad})"),
        ("Point", "ST_MakePoint(603000, 1191000, {bad})"),
        ("LineString", line("ST_MakePoint({bad}, 1191001)")),
        ("LineString", f"ST_Force3D({line('ST_MakePoint(603001, 1191001)')}, {{bad}})"),
        ("Polygon", RING),
        ("MultiPoint", points("ST_MakePoint({bad}, 1191001)")),
        ("Geometry", points("ST_MakePoint({bad}, 1191001)")),
        ("Geometry", line("ST_MakePoint({bad}, 1191001)")),
        ("Geometry", RING),
        ("Geometry", "ST_MakePoint(603000, 1191000, {bad})"),
    ],
)
def test_coordinates_are_finite(block: Block, geometry: str, made: str, bad: str) -> None:
    """NaN in the midst of a line is not seen in its bounding box."""
    block.apply(geometry=geometry, z="optional")
    value = f"ST_SetSRID({made.format(bad=repr(bad) + '::float8')}, 9210)"
    with pytest.raises(psycopg.errors.CheckViolation):
        block.connection.execute(f"INSERT INTO layer.{block.id} (geom) VALUES ({value})".encode())
    assert block.rows("fid") == []


def test_heights_are_kept_where_allowed(block: Block) -> None:
    block.apply(geometry="LineString", z="optional")
    block.insert(geom=LINE)
    block.insert(geom="SRID=9210;LINESTRING Z (603000 1191000 1.5, 603010 1191000 2)")
    assert block.rows("ST_ZMax(geom)")[1] == (2.0,)


def test_vertices_are_limited(block: Block) -> None:
    block.apply(geometry="LineString", max_vertices=2)
    block.insert(geom=LINE)
    long = "SRID=9210;LINESTRING(603000 1191000, 603010 1191000, 603020 1191000)"
    assert violated(block, geom=long) == ("geom", "vertices")


# -- attributes


def test_attributes_that_break_their_rules_are_named(block: Block) -> None:
    block.domains = {"trial": domain("clay"), "trial_number": domain(1, 2)}
    block.apply(
        fields=[
            a_field("kind", domain="trial"),
            a_field("grade", type="integer", domain="trial_number"),
            a_field("size", type="number", minimum=0),
            a_field("ratio", type="number"),
            a_field("floors", type="integer", minimum=-1, maximum=5),
            a_field("note", max_length=3),
            a_field("seen", type="date"),
            a_field("at", type="datetime"),
        ]
    )
    assert violated(block, kind="steel") == ("kind", "domain")
    assert violated(block, grade=3) == ("grade", "domain")
    assert violated(block, status="lost") == ("status", "domain")
    for value in (-0.1, float("nan"), float("inf")):
        assert violated(block, size=value) == ("size", "range")
    for value in (float("nan"), float("inf"), float("-inf")):
        assert violated(block, ratio=value) == ("ratio", "range")
    assert violated(block, floors=6) == ("floors", "range")
    assert violated(block, note="đđđđ") == ("note", "length")
    assert violated(block, seen="infinity") == ("seen", "range")
    assert violated(block, seen="0044-03-15 BC") == ("seen", "range")
    assert violated(block, at="-infinity") == ("at", "range")
    assert violated(block, asset_id=" \t") == ("asset_id", "blank")
    assert violated(block, asset_id="x" * 101) == ("asset_id", "length")
    block.insert(note="đđđ", size=0, floors=-1, seen="2024-02-29", grade=2)


def test_asset_ids_are_given_and_unique(block: Block) -> None:
    block.apply()
    table = f"layer.{block.id}"
    block.connection.execute(
        f"INSERT INTO {table} (geom) SELECT %s FROM generate_series(1, 3)".encode(), (POINT,)
    )
    with block.connection.cursor() as cursor, cursor.copy(f"COPY {table} (geom) FROM STDIN".encode()) as copy:
        for _ in range(3):
            copy.write_row((POINT,))
    assert block.rows("fid, asset_id") == [(n, f"{block.id}-{n}") for n in range(1, 7)]
    block.insert(asset_id="mine")
    with pytest.raises(psycopg.errors.UniqueViolation) as caught:
        block.insert(asset_id="mine")
    assert caught.value.diag.constraint_name == f"{block.id}__asset_id__key"


# -- build and swap


def built(block: Block, rows: int) -> str:
    """A filled and indexed copy of the layer's table, ready to be swapped in."""
    layer, connection = block.layer, block.connection
    name = ddl.build_name(layer)
    connection.execute(ddl.script(ddl.create_table(layer, block.city, name)))
    connection.execute(
        f"INSERT INTO layer.{name} (name, geom) SELECT 'new', %s FROM generate_series(1, %s)".encode(),
        (POINT, rows),
    )
    connection.execute(ddl.script(ddl.constraint_statements(layer, block.city, name)))
    connection.execute(ddl.script(ddl.index_statements(layer, name)))
    return name


def rich(block: Block) -> None:
    block.domains = {"trial": domain("a", "b")}
    block.apply(
        fields=[
            a_field("name", index=True, max_length=50),
            a_field("kind", domain="trial", default="a"),
            a_field("code", access="confidential"),
            a_field("part", type="integer", minimum=0),
        ],
        keys=[["kind", "part"]],
        search=["asset_id", "name"],
    )


def test_a_swapped_table_is_like_a_fresh_one(block: Block, city: City, tmp_path: Path) -> None:
    rich(block)
    fresh = shape(block)
    block.insert(name="old", part=1)
    with block.connection.transaction():
        block.connection.execute(ddl.script(ddl.swap_statements(block.layer, built(block, 5))))
    assert shape(block) == fresh
    leftovers = block.connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'layer'::regnamespace AND relname LIKE %s",
        (f"{block.id}\\_\\_new%",),
    ).fetchall()
    assert leftovers == []
    assert block.rows("name, kind") == [("new", "a")] * 5
    assert block.rows("fid")[0] == (2,), "fids are never given twice"
    assert block.connection.execute("SELECT bandoso.row_count(%s)", (block.id,)).fetchone() == (5,)
    block.insert(name="after")
    assert block.connection.execute("SELECT bandoso.row_count(%s)", (block.id,)).fetchone() == (6,)
    assert block.apply() == []
    assert block.apply(max_vertices=10) != []  # and it can be migrated as any other


def test_an_aborted_swap_leaves_everything(block: Block) -> None:
    rich(block)
    block.insert(name="old")
    before, rows = state(block.connection, block.id), block.rows("*")
    with pytest.raises(ZeroDivisionError), block.connection.transaction():
        block.connection.execute(ddl.script(ddl.swap_statements(block.layer, built(block, 5))))
        raise ZeroDivisionError
    assert (state(block.connection, block.id), block.rows("*")) == (before, rows)
    assert block.connection.execute("SELECT bandoso.row_count(%s)", (block.id,)).fetchone() == (1,)


def test_two_swaps_in_a_row(block: Block) -> None:
    rich(block)
    for rows in (3, 4):
        with block.connection.transaction():
            block.connection.execute(ddl.script(ddl.swap_statements(block.layer, built(block, rows))))
    assert len(block.rows("fid")) == 4


def test_every_shipped_layer_swaps(owner: psycopg.Connection, catalogue: Catalogue, city: City) -> None:
    for layer in catalogue.layers.values():
        before = state(owner, layer.id)
        name = ddl.build_name(layer)
        with owner.transaction(force_rollback=True):
            statements = [
                *ddl.create_table(layer, city, name),
                *ddl.constraint_statements(layer, city, name),
                *ddl.index_statements(layer, name),
                *ddl.swap_statements(layer, name),
            ]
            owner.execute(ddl.script(statements))
            assert state(owner, layer.id) == before, layer.id


# -- names


def test_long_names_stay_apart(block: Block) -> None:
    block.id = "a" * 48
    long = ["b" * 47 + x for x in "cd"]
    block.apply(fields=[a_field(n, type="number", minimum=0, index=True) for n in long], keys=[long])
    names = [c.name for c in constraints(block.layer, Storage.of(block.city))]
    names += [i.name_on(block.id) for i in ddl.layer_indexes(block.layer)]
    assert len(set(names)) == len(names) and max(len(n.encode()) for n in names) <= 63
    assert violated(block, **{long[1]: -1}) == (long[1], "range")
    with block.connection.transaction():
        name = ddl.build_name(block.layer)
        assert name != block.id
        block.connection.execute(
            ddl.script(
                [
                    *ddl.create_table(block.layer, block.city, name),
                    *ddl.constraint_statements(block.layer, block.city, name),
                    *ddl.index_statements(block.layer, name),
                    *ddl.swap_statements(block.layer, name),
                ]
            )
        )


def test_names_that_could_meet_do_not(block: Block, city: City, tmp_path: Path) -> None:
    """Layer ``x`` with a field ``y_geom`` beside layer ``x_y``; keys (a, b_c) and (a_b, c)."""
    fields = [a_field(n, index=True) for n in ("b_geom", "a", "b_c", "a_b", "c", "q_idx", "select", "order")]
    first = Block(block.connection, city, tmp_path, "meet")
    first.apply(fields=fields, keys=[["a", "b_c"], ["a_b", "c"]])
    text = (tmp_path / "trial.yml").read_text(encoding="utf-8")
    (tmp_path / "second.yml").write_text(text.replace("meet:", "meet_b:"), encoding="utf-8")
    catalogue = load_catalogue([tmp_path], city.agency_ids)

    assert [
        c.layer for c in apply_catalogue(block.connection, catalogue, city) if c.kind == "create-layer"
    ] == ["meet_b"]


def test_domain_values_cannot_break_out_of_the_sql(block: Block) -> None:
    hostile = ["'); DROP TABLE bandoso.layer; --", 'a"b', "a\\'b", "{0}", "%s", "$1", "ngõ 1/2"]
    block.domains = {"trial": domain(*hostile)}
    block.apply(fields=[a_field("kind", domain="trial", default=hostile[0])])
    for value in hostile:
        block.insert(kind=value)
    block.insert()
    assert [r[0] for r in block.rows("kind")] == [*hostile, hostile[0]]
    block.domains = {"trial": domain(*hostile, "more")}
    block.apply()


def test_object_names_are_cut_by_bytes() -> None:
    assert object_name("water_pipe", "diameter_mm", "range") == "water_pipe_diameter_mm_range"
    a, b = object_name("x" * 60, "one"), object_name("x" * 60, "two")
    assert len(a) == len(b) == 63 and a != b


# -- the reader


def test_the_reader_sees_public_columns_only(module_db: Database, catalogue: Catalogue) -> None:
    with psycopg.connect(module_db.app_dsn, autocommit=True) as connection:
        connection.execute("SET ROLE bandoso_reader")
        for layer in catalogue.layers.values():
            public = {f.name for f in layer.public_fields} | {"geom"} if layer.is_public else set()
            for name in (*(f.name for f in layer.fields), "geom", "load_id"):
                query = f'SELECT "{name}" FROM layer."{layer.id}" LIMIT 0'
                if name in public:
                    connection.execute(query.encode())
                else:
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        connection.execute(query.encode())


def test_the_search_index_serves_q(owner: psycopg.Connection, catalogue: Catalogue) -> None:
    layer = catalogue.layers["base_road"]
    owner.execute(
        "INSERT INTO layer.base_road (name, geom) SELECT 'Đường số ' || i,"
        " 'SRID=9210;MULTILINESTRING((603000 1191000, 603010 1191000))' FROM generate_series(1, 3000) i"
    )
    owner.execute("ANALYZE layer.base_road")

    query = SQL("SELECT name FROM layer.base_road AS r WHERE {} @@ to_tsquery('simple', 'duong & 2345')")
    found = owner.execute(query.format(ddl.search_vector(layer, "r"))).fetchall()
    assert found == [("Đường số 2345",)]
    plan = "\n".join(
        r[0] for r in owner.execute(SQL("EXPLAIN ") + query.format(ddl.search_vector(layer, "r")))
    )
    assert re.search(r"base_road__q__idx", plan), plan
