"""Every format holds the same features at the same place, and survives hostile values."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyogrio
import pytest
import shapely
from psycopg import sql

from gis import crs
from gis.api.features.formats import fgbstream
from gis.city import City
from gis.db.copyout import Row, binary_rows
from gis.db.server import Database
from gis.settings import Settings
from layers.registry import Catalogue
from tests.api.items_app import Client, items_client
from tests.api.sample import HOSTILE, VECTORS, load_layer

LAYERS = ("water_valve", "water_pipe", "cadastre_parcel", "admin_ward", "flood_spot")
ROWS = 12


@pytest.fixture(scope="module")
def client(module_db: Database, settings: Settings, city: City, catalogue: Catalogue) -> Iterator[Client]:
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        for layer in LAYERS:
            load_layer(connection, catalogue.layers[layer], city, ROWS)
        connection.execute("UPDATE layer.water_valve SET remark = '' WHERE fid = 2")
        connection.execute("UPDATE layer.water_valve SET remark = '=1+1' WHERE fid = 3")
        connection.execute("UPDATE layer.water_valve SET remark = E'a,\"b\"\\r\\nc' WHERE fid = 4")
        connection.execute("UPDATE layer.water_valve SET remark = '+84 28 3829-1234' WHERE fid = 6")
        connection.execute("UPDATE layer.water_valve SET remark = '-x|calc' WHERE fid = 7")
        connection.execute("ANALYZE")
    with items_client(settings, city, catalogue, module_db) as client:
        yield client


def _csv(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


@pytest.mark.parametrize("output", ["fgb", "gpkg"])
@pytest.mark.parametrize("code", [None, "EPSG:9210", "EPSG:3857", "EPSG:4326"])
def test_files_hold_the_vectors(client: Client, tmp_path: Path, output: str, code: str | None) -> None:
    answer = client.items("water_valve", f=output, **({"crs": code} if code else {}))
    path = tmp_path / f"a.{output}"
    path.write_bytes(answer.content)
    asked = crs.parse_uri(code).code if code else 4326
    meta, table = pyogrio.read_arrow(path, return_fids=output == "gpkg")
    assert meta["crs"] == f"EPSG:{asked}"
    fids = table["fid"].to_numpy()
    assert sorted(fids) == list(range(1, ROWS + 1))
    shapes = shapely.from_wkb(table[meta["geometry_name"] or "wkb_geometry"].to_pylist())
    shapes = shapes[np.argsort(fids)]  # FlatGeobuf sorts by place
    for shape, (plane, _) in zip(shapes, VECTORS, strict=False):
        right = crs.transform_xy(*plane, 9210, asked)
        tolerance = 2e-3 if asked != 4326 else 2e-3 / 111_320
        assert shape.x == pytest.approx(float(right[0]), abs=tolerance)
        assert shape.y == pytest.approx(float(right[1]), abs=tolerance)
        assert shape.z == 1.5


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("output", ["fgb", "gpkg"])
def test_files_hold_every_value(
    client: Client, owner: psycopg.Connection, catalogue: Catalogue, tmp_path: Path, layer: str, output: str
) -> None:
    path = tmp_path / f"a.{output}"
    path.write_bytes(client.items(layer, f=output, crs="EPSG:9210").content)
    table = pyogrio.read_arrow(path)[1].to_pylist()
    known = {r[0]: r for r in owner.execute(f"SELECT asset_id, * FROM layer.{layer}").fetchall()}  # type: ignore[arg-type]
    names = [f.name for f in catalogue.layers[layer].fields]
    assert len(table) == len(known) == ROWS
    for row in table:
        right = dict(zip(names, known[row["asset_id"]][1:], strict=False))
        for f in catalogue.layers[layer].public_fields:
            if f.name == "fid" and output == "gpkg":
                continue
            value = row[f.name]
            if f.type == "date" and output == "fgb" and value is not None:  # it knows no days
                assert (value.date(), value.hour, value.minute) == (right[f.name], 0, 0)
            elif f.type == "datetime" and value is not None:  # both keep milliseconds
                assert abs((value - right[f.name].replace(tzinfo=value.tzinfo)).total_seconds()) < 0.001
            else:
                assert value == right[f.name], f.name


@pytest.mark.parametrize("layer", LAYERS)
def test_an_empty_answer_is_still_a_file(client: Client, tmp_path: Path, layer: str) -> None:
    for output in ("fgb", "gpkg"):
        path = tmp_path / f"{layer}.{output}"
        path.write_bytes(client.items(layer, f=output, asset_id="nothing").content)
        meta, table = pyogrio.read_arrow(path)
        assert (len(table), meta["crs"]) == (0, "EPSG:4326")
    assert _csv(client.items(layer, f="csv", asset_id="nothing")) == []
    assert client.items(layer, f="html", asset_id="nothing").status_code == 200


@pytest.mark.parametrize("output", ["fgb", "gpkg"])
def test_heights_are_kept_and_never_made_up(
    client: Client, owner: psycopg.Connection, tmp_path: Path, output: str
) -> None:
    owner.execute("UPDATE layer.water_valve SET geom = ST_Force2D(geom) WHERE fid > 6")
    path = tmp_path / f"a.{output}"
    for condition, some, all_ in (("TRUE", True, False), ("fid > 6", False, False), ("fid < 7", True, True)):
        path.write_bytes(client.items("water_valve", f=output, filter=condition).content)
        meta, table = pyogrio.read_arrow(path)
        shapes = shapely.from_wkb(table[meta["geometry_name"] or "wkb_geometry"].to_pylist())
        heights = [z for z in shapely.get_z(shapes) if not np.isnan(z)]
        assert set(heights) == ({1.5} if some else set())
        assert (len(heights) == len(shapes)) == all_
    feature = client.get("/collections/water_valve/items/7").json()
    assert len(feature["geometry"]["coordinates"]) == 2
    owner.execute("UPDATE layer.water_valve SET geom = ST_Force3D(geom, 1.5) WHERE fid > 6")


def test_csv_tells_null_from_empty_and_runs_no_formula(client: Client) -> None:
    answer = client.items("water_valve", f="csv")
    assert answer.content.startswith(b"\xef\xbb\xbf")
    lines = answer.content.decode("utf-8-sig")
    rows = _csv(answer)
    assert [r["remark"] for r in rows[1:4]] == ["", "'=1+1", 'a,"b"\r\nc']
    assert (rows[5]["remark"], rows[6]["remark"]) == ("+84 28 3829-1234", "'-x|calc")
    assert rows[3]["operator"] == HOSTILE
    nothing = client.items("water_valve", f="csv", properties="remark,code", filter="fid IN (2, 5)").text
    assert nothing.splitlines()[1].startswith('"",') and nothing.splitlines()[2].startswith(",,")
    assert lines.splitlines()[0].endswith('"lon","lat","z"')


@pytest.mark.parametrize(
    ("code", "names"),
    [("EPSG:9210", ("x", "y")), ("EPSG:4326", ("lat", "lon")), ("OGC:CRS84", ("lon", "lat"))],
)
def test_csv_holds_the_vectors(client: Client, code: str, names: tuple[str, str]) -> None:
    asked = crs.parse_uri(code)
    for row, (plane, _) in zip(_csv(client.items("water_valve", f="csv", crs=code)), VECTORS, strict=False):
        x, y = (float(v) for v in crs.transform_xy(*plane, 9210, asked.code))
        right = (y, x) if asked.swap else (x, y)
        assert [float(row[n]) for n in names] == [
            pytest.approx(v, abs=1e-4 if x > 200 else 1.1e-9) for v in right
        ]
    shape = shapely.from_wkt(_csv(client.items("water_pipe", f="csv", crs=code))[0]["wkt"])
    x, y = (float(v) for v in crs.transform_xy(*VECTORS[0][0], 9210, asked.code))
    assert shape.coords[0][:2] == (
        pytest.approx(y if asked.swap else x),
        pytest.approx(x if asked.swap else y),
    )


def test_jsonfg_says_what_it_is(client: Client) -> None:
    page = client.items("flood_spot", f="jsonfg", crs="EPSG:9210", limit=2, properties="").json()
    assert page["conformsTo"] and page["coordRefSys"].endswith("/EPSG/0/9210")
    assert page["featureType"] == "flood_spot"
    assert client.items("water_pipe", f="jsonfg").json()["geometryDimension"] == 1
    first = page["features"][0]
    assert first["time"] == {"timestamp": "2020-01-01T08:30:00.000000Z"}
    assert first["geometry"] is None and first["place"]["type"] == "Point"
    one = client.get("/collections/flood_spot/items/1", params={"f": "jsonfg"}).json()
    assert one["place"] is None and one["geometry"]["type"] == "Point" and "coordRefSys" not in one
    assert one["featureType"] == "flood_spot"


def test_pages_for_people_escape_everything(client: Client) -> None:
    for path in ("/collections/water_valve/items", "/collections/water_valve/items/4"):
        answer = client.get(path, params={"f": "html"})
        assert "<script>" not in answer.text and "&lt;script&gt;" in answer.text
        assert "script-src" not in answer.headers["content-security-policy"]
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    hostile = '"><script>alert(1)</script>'
    text = client.items("water_valve", f="html", filter=f"remark <> '{hostile}'").text
    assert "<script>" not in text


def test_pages_without_fields_still_lead_to_features(client: Client) -> None:
    text = client.items("water_valve", f="html", properties="").text
    assert "/collections/water_valve/items/7?" in text
    assert client.items("water_valve", f="csv", properties="", skipGeometry="true").status_code == 200
    assert client.items("water_valve", f="gpkg", properties="", skipGeometry="true").status_code == 200


def test_pages_speak_both_languages(client: Client) -> None:
    vietnamese = client.items("water_valve", f="html").text
    english = client.items("water_valve", f="html", lang="en").text
    assert "đối tượng" in vietnamese and "features" in english
    assert "Đang sử dụng" in vietnamese and "In service" in english


def test_numbers_come_out_as_they_went_in(client: Client, owner: psycopg.Connection) -> None:
    owner.execute("UPDATE layer.water_valve SET turns = %s WHERE fid = 8", (0.1 + 0.2,))
    feature = client.get("/collections/water_valve/items/8").json()
    assert feature["properties"]["turns"] == 0.1 + 0.2


def test_csv_of_everything_flows(client: Client) -> None:
    """limit=all: the values of the pages, whatever their number; numbers may be written shorter."""
    for layer, further in (
        ("water_valve", {}),
        ("water_pipe", {"filter": "fid > 1"}),
        ("water_pipe", {"crs": "EPSG:9210"}),
    ):
        page = _csv(client.items(layer, f="csv", **further))
        answer = client.items(layer, f="csv", limit="all", **further)
        assert answer.status_code == 200
        assert answer.content.count(b"\r\n") >= len(page) + 1
        for mine, paged in zip(_csv(answer), page, strict=True):
            assert mine.keys() == paged.keys()
            for name, value in paged.items():
                assert mine[name] == value or float(mine[name]) == float(value), name
    plain = client.items("water_valve", f="csv", properties="remark,code", filter="fid IN (2, 5)").text
    whole = client.items(
        "water_valve", f="csv", properties="remark,code", filter="fid IN (2, 5)", limit="all"
    )
    assert [line.split(",")[:2] for line in whole.text.split("\r\n")] == [
        line.split(",")[:2] for line in plain.split("\r\n")
    ]
    assert client.items("water_valve", f="csv", limit="all", sortby="code").status_code == 400
    assert client.items("water_valve", f="json", limit="all").status_code == 400
    assert client.items("water_valve", f="csv", limit="all", filter="remark = 1 / 0").status_code == 400


@pytest.mark.parametrize(
    ("layer", "further"),
    [
        ("water_valve", {}),
        ("water_valve", {"crs": "EPSG:9210", "properties": "remark,code"}),
        ("water_pipe", {"crs": "EPSG:3857", "filter": "fid > 5"}),
        ("water_valve", {"skipGeometry": "true"}),
        ("water_valve", {"asset_id": "nothing"}),
    ],
)
def test_flatgeobuf_of_everything_flows(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layer: str, further: dict[str, str]
) -> None:
    """limit=all: what the pages hold, in several statements, and described as they are."""
    for name, most in (("FIRST", 3), ("FURTHER", 4)):
        monkeypatch.setattr(fgbstream, name, most)
    found = []
    for limit in ("10000", "all"):
        path = tmp_path / f"{limit}.fgb"
        answer = client.items(layer, f="fgb", limit=limit, **further)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/flatgeobuf")
        path.write_bytes(answer.content)
        meta, table = pyogrio.read_arrow(path)
        rows = table.to_pylist()
        found.append((meta["crs"], meta["geometry_type"], table.schema.names, table.schema.types, rows))
    page, whole = found
    assert whole[:4] == page[:4]
    if "fid" not in page[2]:
        assert sorted(map(repr, whole[4])) == sorted(map(repr, page[4]))
        return
    by_id = [sorted(rows, key=lambda row: int(row["fid"])) for rows in (page[4], whole[4])]
    for mine, right in zip(by_id[1], by_id[0], strict=True):
        for name, value in mine.items():
            if name == "updated_at":  # a page keeps milliseconds
                assert abs((value - right[name]).total_seconds()) < 0.001
            else:
                assert repr(value) == repr(right[name]), name
    assert client.items(layer, f="fgb", limit="all", sortby="fid").status_code == 400


def test_heights_flow_as_they_are(client: Client, owner: psycopg.Connection, tmp_path: Path) -> None:
    owner.execute("UPDATE layer.water_valve SET geom = ST_Force2D(geom) WHERE fid > 6")
    try:
        for condition, kind in (("TRUE", "Point Z"), ("fid > 6", "Point")):
            path = tmp_path / "a.fgb"
            path.write_bytes(client.items("water_valve", f="fgb", limit="all", filter=condition).content)
            meta, table = pyogrio.read_arrow(path)
            assert meta["geometry_type"] == kind
            shapes = shapely.from_wkb(table[meta["geometry_name"] or "wkb_geometry"].to_pylist())
            heights = dict(zip(table["fid"].to_pylist(), shapely.get_z(shapes), strict=True))
            assert all((h == 1.5) == (fid <= 6) for fid, h in heights.items())
    finally:
        owner.execute("UPDATE layer.water_valve SET geom = ST_Force3D(geom, 1.5) WHERE fid > 6")


def test_rows_by_the_thousand_are_those_of_postgresql(client: Client) -> None:
    """Whole rows in batches; what the statement ends with is raised, and its connection can go on."""

    async def run() -> None:
        async with client.pool.connection() as connection:

            def read(what: str, **limits: int) -> AsyncGenerator[list[Row]]:
                statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(sql.SQL(what))
                return binary_rows(
                    connection, statement, {}, **{"most_rows": 100, "most_bytes": 10**6, **limits}
                )

            found = [b async for b in read("SELECT n::int8 FROM generate_series(1, 250) AS n", first=7)]
            assert [len(b) for b in found] == [7, 100, 100, 43]
            assert [int.from_bytes(r[6:], "big") for b in found for r in b] == list(range(1, 251))
            large = [
                b async for b in read("SELECT repeat('x', 400) FROM generate_series(1, 10)", most_bytes=1000)
            ]
            assert [len(b) for b in large] == [3, 3, 3, 1]
            assert [b async for b in read("SELECT 1 WHERE false")] == []
            rows = read("SELECT 1 / (5000 - n) FROM generate_series(1, 9000) AS n")
            seen = 0
            with pytest.raises(psycopg.errors.DivisionByZero):
                async for batch in rows:
                    seen += len(batch)
            assert 0 < seen < 5000
            async with aclosing(read("SELECT generate_series(1, 100000000)")) as endless:
                await anext(endless)
            assert await (await connection.execute("SELECT 1")).fetchone() == (1,)

    client.run(run())
