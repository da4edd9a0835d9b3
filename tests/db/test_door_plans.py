"""The door costs public reading nothing, and members of a restricted layer find a box by its index."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from gis.api.features.formats import geojson
from gis.api.features.paging import Cursor
from gis.api.features.params import BboxParam, ItemsQuery, SortKey, View
from gis.api.features.query import PageForm, one_feature, text_page
from gis.api.features.where import select
from gis.city import City
from gis.crs import CRS84
from gis.db.server import Database
from gis.identity.accounts import add_account, grant
from layers.registry import Catalogue, Layer
from tiles.grid import tile_at
from tiles.query import plan, window

ROWS = 50_000
#: About 200 of them lie in it.
BOX = (106.70, 10.78, 106.7055, 10.7855)


@pytest.fixture(scope="module")
def city_rows(module_db: Database) -> Database:
    """50,000 parcels and meters on a grid of 10 m, of two agencies by turns."""
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        connection.execute("SET bandoso.loading = 'on'")  # no history of each: it is not what is measured
        for layer, owners, columns, values in (
            ("water_meter", ("sawaco", "evnhcmc"), "meter_no, customer_code", "'mn' || n, 'kh' || n"),
            ("water_valve", ("sawaco", "evnhcmc"), "code", "'v' || n"),
        ):
            connection.execute(
                f"INSERT INTO layer.{layer} (asset_id, owner, {columns}, geom)"
                f" SELECT 'a' || n, (ARRAY['{owners[0]}', '{owners[1]}'])[1 + n %% 2], {values},"
                " ST_SetSRID(ST_MakePoint(603000 + n %% 224 * 10, 1191000 + n / 224 * 10), 9210)"
                " FROM generate_series(1, %s) AS n".encode(),
                (ROWS,),
            )
        connection.execute(
            "INSERT INTO layer.telecom_camera (asset_id, owner, stream_ref, geom)"
            " SELECT 'a' || n, (ARRAY['vnpt', 'viettel'])[1 + n % 2], 's' || n,"
            " ST_SetSRID(ST_MakePoint(603000 + n % 224 * 10, 1191000 + n / 224 * 10), 9210)"
            f" FROM generate_series(1, {ROWS}) AS n".encode()
        )
        connection.execute("ANALYZE layer.water_meter, layer.water_valve, layer.telecom_camera")
    return module_db


@pytest.fixture(scope="module")
def member(city_rows: Database) -> int:
    """An account that sees what sawaco and vnpt hide."""
    with psycopg.connect(city_rows.owner_dsn, autocommit=True) as connection:
        account = add_account(connection, "planner")
        grant(connection, account, "viewer", "sawaco")
        grant(connection, account, "viewer", "vnpt")
    return account


@contextmanager
def as_role(db: Database, role: str, account: int | None = None) -> Iterator[psycopg.Connection]:
    with psycopg.connect(db.app_dsn) as connection:
        connection.execute(f"SET LOCAL ROLE bandoso_{role}".encode())
        connection.execute("SELECT set_config('bandoso.account', %s, true)", (str(account or ""),))
        connection.execute("SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off")
        yield connection
        connection.rollback()


Case = Callable[[Layer, City], tuple[bytes, dict[str, object]]]


def page(**wanted: Any) -> Case:
    """The statement of a page of features, as gis.api.features makes it."""

    def make(layer: Layer, city: City) -> tuple[bytes, dict[str, object]]:
        storage = city.crs.storage
        sort = tuple(SortKey(f) for name in wanted.pop("sort", ()) if (f := layer.field(name)))
        query = ItemsQuery(View(CRS84, layer.public_fields), limit=100, sort=sort, **wanted)
        form = PageForm(
            layer, query, storage, "json", layer.public_fields,
            lambda: [geojson.geojson_feature(query.view, storage)],
        )  # fmt: skip
        made = text_page(form, select(layer, query, storage))
        return made.text, made.values

    return make


def one(layer: Layer, _city: City) -> tuple[bytes, dict[str, object]]:
    from psycopg import sql

    made = one_feature(layer, sql.SQL("i.asset_id"), 77)
    return made.text, made.values


def by_asset_id(layer: Layer, city: City) -> tuple[bytes, dict[str, object]]:
    field = layer.field("asset_id")
    assert field
    return page(equals=((field, "a77"),))(layer, city)


CASES: dict[str, Case] = {
    "bbox": lambda *given: page(bbox=BboxParam(BOX, CRS84))(*given),
    "fid": one,
    "asset_id": by_asset_id,
    "first page": lambda *given: page()(*given),
    "keyset page": lambda *given: page(after=Cursor(25_000, (), 25_000, None))(*given),
    "q": lambda *given: page(search="77")(*given),
}


def plan_of(connection: psycopg.Connection, statement: bytes, values: Any, *options: str) -> dict[str, Any]:
    head = f"EXPLAIN ({', '.join(('FORMAT JSON', *options))}) ".encode()
    row = connection.execute(head + statement, values, prepare=False).fetchone()
    assert row
    found: dict[str, Any] = row[0][0]["Plan"]
    return found


def nodes(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield found
    for below in found.get("Plans", ()):
        yield from nodes(below)


def shape(found: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What a plan does: its nodes with their indexes and conditions, costs left out."""
    kept = ("Node Type", "Relation Name", "Index Name", "Index Cond", "Sort Key")
    return [tuple(str(node.get(name)) for name in kept) for node in nodes(found)]


def conditions(found: dict[str, Any], index: str) -> str:
    return " ".join(str(n.get("Index Cond")) for n in nodes(found) if n.get("Index Name") == index)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layer_id", ["water_valve", "telecom_camera"])
def test_public_layers_are_read_as_without_policies(
    city_rows: Database, catalogue: Catalogue, city: City, layer_id: str, case: str
) -> None:
    layer = catalogue.layers[layer_id]
    statement, values = CASES[case](layer, city)
    with as_role(city_rows, "reader") as connection:
        with_policies = plan_of(connection, statement, values)
    with psycopg.connect(city_rows.owner_dsn) as owner:
        owner.execute(f"ALTER TABLE layer.{layer_id} DISABLE ROW LEVEL SECURITY".encode())
        owner.execute("SET LOCAL ROLE bandoso_reader")
        owner.execute("SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off")
        without = plan_of(owner, statement, values)
        owner.rollback()
    assert shape(with_policies) == shape(without)
    assert with_policies["Total Cost"] == pytest.approx(without["Total Cost"])


@pytest.mark.parametrize("case", CASES)
def test_views_with_confidential_attributes_keep_the_plans_of_their_tables(
    city_rows: Database, catalogue: Catalogue, city: City, member: int, case: str
) -> None:
    layer = catalogue.layers["telecom_camera"]
    with as_role(city_rows, "reader") as connection:
        public = plan_of(connection, *CASES[case](layer, city))
    with as_role(city_rows, "member", member) as connection:
        shown = plan_of(connection, *CASES[case](layer.revealing(), city))

    def indexes(found: dict[str, Any]) -> list[tuple[Any, Any]]:
        return [(n.get("Index Name"), n.get("Index Cond")) for n in nodes(found) if "Index Name" in n
                and "account" not in str(n.get("Relation Name"))]  # fmt: skip

    assert indexes(public) == indexes(shown)
    assert [n["Node Type"] for n in nodes(shown)].count("Sort") == [
        n["Node Type"] for n in nodes(public)
    ].count("Sort")


#: Case -> the index of water_meter that has to be used, and what it has to look for.
USED = {
    "bbox": ("water_meter__geom__idx", "&&"),
    "fid": ("water_meter__pkey", "fid ="),
    "asset_id": ("water_meter__asset_id__key", "asset_id ="),
    "first page": ("water_meter__pkey", ""),
    "keyset page": ("water_meter__pkey", "fid >"),
    "q": ("water_meter__q__idx", "@@"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_member_reads_a_restricted_layer_by_its_indexes(
    city_rows: Database, catalogue: Catalogue, city: City, member: int, case: str
) -> None:
    layer = catalogue.layers["water_meter"].revealing()
    with as_role(city_rows, "member", member) as connection:
        found = plan_of(connection, *CASES[case](layer, city), "ANALYZE", "BUFFERS")
    index, condition = USED[case]
    assert index in {n.get("Index Name") for n in nodes(found)}, json.dumps(found, indent=1)[:3000]
    assert condition in conditions(found, index)
    assert not [
        n for n in nodes(found) if n["Node Type"] == "Seq Scan" and n["Relation Name"] == "water_meter"
    ]
    # pages looked at, those of the catalogue included; a session's first transform alone takes 100 ms
    assert found["Shared Hit Blocks"] + found["Shared Read Blocks"] < 2_000
    # rows that were read and thrown away: every second one is another agency's
    removed = sum(n.get("Rows Removed by Filter", 0) * n["Actual Loops"] for n in nodes(found))
    assert removed < 2_000, case


def test_a_tile_of_a_restricted_layer_uses_its_spatial_index(
    city_rows: Database, catalogue: Catalogue, city: City, member: int
) -> None:
    tile = tile_at((BOX[0] + BOX[2]) / 2, (BOX[1] + BOX[3]) / 2, 17)
    made = plan([catalogue.layers["water_meter"].revealing()], tile.z)
    assert made is not None
    seen = window(tile, made.buffer, city.crs.storage)
    assert seen is not None
    west, south, east, north = tile.box()
    statement = re.sub(rb"\$(\d)", rb"%(p\1)s", made.statement.replace(b"%", b"%%"))
    values = {"p1": seen.envelope, "p2": f"BOX({west!r} {south!r},{east!r} {north!r})", "p3": seen.unit}
    with as_role(city_rows, "member", member) as connection:
        found = plan_of(connection, statement, values, "ANALYZE")
    assert "&&" in conditions(found, "water_meter__geom__idx")


@pytest.mark.parametrize("owner", ["sawaco", "evnhcmc"])
def test_a_filter_by_geometry_on_a_restricted_layer_uses_its_index(
    city_rows: Database, catalogue: Catalogue, city: City, member: int, owner: str
) -> None:
    from gis.api.features.filters import read_filter

    text = f"S_INTERSECTS(geometry, BBOX({','.join(map(str, BOX))})) AND owner = '{owner}'"
    case = page(filter=read_filter(text, "cql2-text"))
    with as_role(city_rows, "member", member) as connection:
        found = plan_of(connection, *case(catalogue.layers["water_meter"].revealing(), city), "ANALYZE")
    assert "&&" in conditions(found, "water_meter__geom__idx")
