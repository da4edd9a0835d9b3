"""Loading, end to end: real deliveries into a real PostGIS; every mode and refusal, every row accounted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyogrio
import pytest
import shapely
from psycopg.conninfo import make_conninfo

from gis.city import City
from gis.db.migrate import prepare
from gis.db.server import Database
from gis.db.server import database as open_database
from gis.errors import BandosoError, LoadRefused, UsageError
from gis.ingest.load import LoadRequest, load
from gis.ingest.report import LoadReport
from gis.settings import Settings
from layers.registry import Catalogue

ROOT = Path(__file__).resolve().parents[2]
MAPPINGS = ROOT / "config" / "mappings"
KY4 = ROOT / "config" / "examples" / "ky4"

Load = Callable[..., LoadReport]


@pytest.fixture
def loaded(module_db: Database, settings: Settings, city: City, catalogue: Catalogue, tmp_path: Path) -> Load:
    """``loaded(file, layer, **options)`` into the module's database; rejects go to tmp_path."""

    def run(file: Path, layer: str, **options: Any) -> LoadReport:
        options.setdefault("rejects", tmp_path / "rejects.geojson")
        return load(settings, module_db, city, catalogue, LoadRequest(file, layer, **options))

    return run


def rejects_of(path: Path) -> list[dict[str, Any]]:
    return [f["properties"] for f in json.loads(path.read_text(encoding="utf-8"))["features"]]


def write(
    path: Path, shapes: list[Any], epsg: int | None = 9210, driver: str | None = None, **columns: Any
) -> Path:
    """A file of shapes with attribute columns."""
    pyogrio.raw.write(
        path,
        np.array([None if s is None else shapely.to_wkb(s) for s in shapes], dtype=object),
        [np.array(v, dtype=object if isinstance(v[0], str | None) else None) for v in columns.values()],
        list(columns),
        geometry_type="Unknown",
        crs=f"EPSG:{epsg}" if epsg else None,
        driver=driver,
    )
    return path


def pipe(i: int = 0, shift: float = 0.0) -> shapely.LineString:
    return shapely.LineString([(603000 + i * 10 + shift, 1191000), (603008 + i * 10 + shift, 1191000)])


# --- real deliveries ------------------------------------------------------------------------------


def test_wards(loaded: Load, shared_data: Path, owner: psycopg.Connection) -> None:
    source = shared_data / "hcmc_wards_2025.gpkg"
    report = loaded(source, "admin_ward")
    assert (report.read, report.loaded, report.rejected) == (168, 168, 0)
    _, table = pyogrio.read_arrow(source, columns=["code", "name", "fullName", "nameEn"], read_geometry=False)
    wanted = {(r["code"], r["name"], r["fullName"], r["nameEn"]) for r in table.to_pylist()}
    rows = owner.execute("SELECT commune_code, name, full_name, name_en FROM layer.admin_ward").fetchall()
    assert set(rows) == wanted
    assert ("25747", "Thủ Dầu Một", "Phường Thủ Dầu Một", "Thu Dau Mot") in wanted
    assert owner.execute("SELECT bandoso.row_count('admin_ward')").fetchone() == (168,)
    # the same vertices come back, through the pinned transform: 0.1 mm
    geometry = owner.execute(
        "SELECT ST_AsBinary(ST_Transform(geom, 4326)) FROM layer.admin_ward WHERE commune_code = '25747'"
    ).fetchone()
    given = pyogrio.read_dataframe(source, where="code = '25747'").geometry[0]
    assert geometry
    assert shapely.hausdorff_distance(shapely.from_wkb(geometry[0]), given) < 1e-9


def test_old_districts_are_collections(loaded: Load, shared_data: Path, owner: psycopg.Connection) -> None:
    report = loaded(shared_data / "hcmc_districts_old.geojson", "admin_district_old")
    assert (report.loaded, report.rejected) == (22, 0)
    assert report.conversions == {"GeometryCollection to MultiPolygon": 22}
    names = {n for (n,) in owner.execute("SELECT name FROM layer.admin_district_old")}
    assert {"QUẬN 1", "QUẬN TÂN PHÚ"} <= names


def test_osm_buildings_and_roads(loaded: Load, shared_data: Path, owner: psycopg.Connection) -> None:
    source = shared_data / "hcmc_osm" / "osm_district1_2023-08-24.osm"
    report = loaded(source, "base_building", mapping=MAPPINGS / "osm_building.yml")
    assert (report.selected, report.loaded, report.rejected) == (1912, 1912, 0)
    assert report.read == 2194
    _, table = pyogrio.read_arrow(source, layer="multipolygons", read_geometry=False)
    tagged = [r for r in table.to_pylist() if r["building"]]
    assert len(tagged) == 1912
    count = owner.execute("SELECT count(*) FROM layer.base_building WHERE use = 'apartments'").fetchone()
    assert count == (sum(r["building"] == "apartments" for r in tagged),)
    highest = owner.execute(
        "SELECT name, floors FROM layer.base_building ORDER BY height_m DESC NULLS LAST"
    ).fetchone()
    assert highest is not None
    assert "Bitexco" in highest[0]
    report = loaded(source, "base_road", mapping=MAPPINGS / "osm_road.yml")
    assert (report.selected, report.loaded) == (1073, 1073)
    found = owner.execute("SELECT count(*) FROM layer.base_road WHERE one_way").fetchone()
    assert found == (295,)


def test_another_province_is_refused_and_let_in_by_a_flag(loaded: Load, shared_data: Path) -> None:
    source = shared_data / "power" / "camau_power_osm.geojson"
    with pytest.raises(LoadRefused, match="lies outside the city's extent") as refused:
        loaded(source, "power_line", mapping=MAPPINGS / "osm_power_line.yml")
    assert refused.value.code == "crs-outside-city"
    assert "--allow-outside" in (refused.value.hint or "")
    report = loaded(source, "power_line", mapping=MAPPINGS / "osm_power_line.yml", allow_outside=True)
    assert (report.read, report.loaded, report.rejected) == (2954, 136, 0)


def test_a_second_city(
    fresh_database: Any, settings: Settings, shared_data: Path, tmp_path: Path, embedded: Database
) -> None:
    """wntr_ky4 under its own configuration, in US survey feet."""
    theirs = replace(settings, city=str(KY4 / "city.yml"))
    city = theirs.load_city()
    catalogue = theirs.load_catalogue(city)
    with psycopg.connect(make_conninfo(embedded.owner_dsn, dbname="postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS ky4 WITH (FORCE)")
        connection.execute("CREATE DATABASE ky4 TEMPLATE template0")
    db = replace(embedded, owner_dsn=make_conninfo(embedded.owner_dsn, dbname="ky4"))
    prepare(db.owner_dsn, city, catalogue)
    for name, layer, mapping, count in (
        ("ky4_pipes.geojson", "water_pipe", "pipes.yml", 1156),
        ("ky4_junctions.geojson", "water_facility", "junctions.yml", 959),
    ):
        request = LoadRequest(shared_data / "wntr_ky4" / name, layer, mapping=KY4 / mapping)
        report = load(theirs, db, city, catalogue, request)
        assert (report.loaded, report.rejected, report.crs) == (count, 0, 3547)
    with psycopg.connect(db.owner_dsn) as connection:
        row = connection.execute(
            "SELECT ST_SRID(geom), diameter_mm, from_node, ST_X(ST_StartPoint(geom))"
            " FROM layer.water_pipe WHERE asset_id = 'P-1'"
        ).fetchone()
    assert row == (3547, 152.4, "J-1", 4971350.0)


def test_cad_needs_a_crs_and_keeps_to_the_city(loaded: Load, shared_data: Path) -> None:
    for name, code in (
        ("underlay.dgn", "no-crs"),
        ("5_us_states.dxf", "no-crs"),
        ("test_dgnv8.dgn", "dgn-v8"),
    ):
        with pytest.raises(LoadRefused) as refused:
            loaded(shared_data / "cad" / name, "water_pipe")
        assert refused.value.code == code
    with pytest.raises(LoadRefused, match="local drawing") as refused:
        loaded(shared_data / "cad" / "underlay.dgn", "water_pipe", crs=9210)
    assert refused.value.code == "crs-local-coordinates"


# --- modes ----------------------------------------------------------------------------------------


def test_append_upsert_replace(loaded: Load, tmp_path: Path, owner: psycopg.Connection) -> None:
    first = write(
        tmp_path / "a.gpkg", [pipe(i) for i in range(5)], asset_id=list("abcde"), material=["hdpe"] * 5
    )
    report = loaded(first, "water_pipe", mode="replace")
    assert (report.added, report.removed) == (5, 0)
    owner.execute("UPDATE layer.water_pipe SET remark = 'kept', street = 'Lê Lợi' WHERE asset_id = 'a'")
    before = dict(owner.execute("SELECT asset_id, fid FROM layer.water_pipe").fetchall())

    # append: rows that exist are rejected, each with its place
    second = write(tmp_path / "b.gpkg", [pipe(4), pipe(5), pipe(6)], asset_id=["e", "f", "f"])
    report = loaded(second, "water_pipe")
    assert (report.added, report.rejected, dict(report.reasons)) == (1, 2, {"duplicate": 2})
    said = {r["_row"]: r["_reason"] for r in rejects_of(tmp_path / "rejects.geojson")}
    assert said == {
        1: "asset_id 'e' is in the layer already",
        3: "asset_id 'f' is in row 2 of the file already",
    }

    # upsert: changed rows get version + 1, as a had from the owner's SQL; columns that are not delivered stay
    third = write(
        tmp_path / "c.gpkg", [pipe(0), pipe(1, 0.5), pipe(9)], asset_id=["a", "b", "z"], material=["hdpe"] * 3
    )
    report = loaded(third, "water_pipe", mode="upsert")
    assert (report.added, report.updated, report.unchanged) == (1, 1, 1)
    rows = {
        r[0]: r[1:]
        for r in owner.execute("SELECT asset_id, fid, version, remark FROM layer.water_pipe").fetchall()
    }
    assert rows["a"] == (before["a"], 2, "kept")
    assert rows["b"] == (before["b"], 2, None)
    assert len(rows) == 7

    # replace: the delivery and nothing else; fids stay; row 'a' changes, as it loses its remark
    report = loaded(third, "water_pipe", mode="replace")
    assert (report.added, report.updated, report.unchanged, report.removed) == (0, 1, 2, 4)
    rows = {
        r[0]: r[1:]
        for r in owner.execute("SELECT asset_id, fid, version, remark FROM layer.water_pipe").fetchall()
    }
    assert rows["a"] == (before["a"], 3, None)
    assert rows["b"] == (before["b"], 2, None)
    assert owner.execute("SELECT bandoso.row_count('water_pipe')").fetchone() == (3,)


def test_a_height_alone_is_a_change(loaded: Load, tmp_path: Path) -> None:
    """PostGIS's = of geometries leaves out Z."""
    low, high = (shapely.force_3d(pipe(0), z) for z in (1.0, 2.0))
    loaded(write(tmp_path / "a.gpkg", [low], asset_id=["a"]), "water_pipe", mode="replace")
    report = loaded(write(tmp_path / "b.gpkg", [high], asset_id=["a"]), "water_pipe", mode="upsert")
    assert report.updated == 1


def test_a_loaded_table_is_like_a_created_one(
    loaded: Load, tmp_path: Path, owner: psycopg.Connection, catalogue: Catalogue, city: City
) -> None:
    from gis.db.apply import apply_catalogue

    loaded(write(tmp_path / "a.gpkg", [pipe()], asset_id=["a"]), "water_pipe", mode="replace")
    assert apply_catalogue(owner, catalogue, city, dry_run=True) == []
    left = owner.execute("SELECT relname FROM pg_class WHERE relname LIKE '%\\_\\_new%'").fetchall()
    assert left == []
    grants = owner.execute(
        "SELECT has_column_privilege('bandoso_reader', 'layer.water_pipe', 'geom', 'SELECT')"
    )
    assert grants.fetchone() == (True,)


def test_keys_of_a_layer_are_unique_in_the_file(loaded: Load, tmp_path: Path) -> None:
    boxes = [shapely.box(603000 + i * 20, 1191000, 603010 + i * 20, 1191010) for i in range(4)]
    source = write(
        tmp_path / "p.gpkg",
        boxes,
        commune_code=["1"] * 4,
        sheet_no=["5"] * 4,
        parcel_no=["7", "8", "7", None],
    )
    report = loaded(source, "cadastre_parcel", mode="replace")
    assert (report.loaded, report.rejected) == (3, 1)
    (reject,) = rejects_of(tmp_path / "rejects.geojson")
    assert reject["_row"] == 3
    assert "parcel_no '7' is in row 1 of the file already" in reject["_reason"]
    assert reject["_wkt"].startswith("POLYGON")
    # merging finds the same against the layer
    report = loaded(
        write(
            tmp_path / "q.gpkg", boxes[:2], commune_code=["1"] * 2, sheet_no=["5"] * 2, parcel_no=["8", "9"]
        ),
        "cadastre_parcel",
    )
    assert (report.added, report.rejected) == (1, 1)


def test_ids_are_made_where_none_are_delivered(
    loaded: Load, tmp_path: Path, owner: psycopg.Connection
) -> None:
    loaded(write(tmp_path / "a.gpkg", [pipe(0), pipe(1)], asset_id=["x", None]), "water_pipe", mode="replace")
    rows = owner.execute("SELECT fid, asset_id FROM layer.water_pipe ORDER BY fid").fetchall()
    assert rows[0][1] == "x"
    assert rows[1][1] == f"water_pipe-{rows[1][0]}"


def test_owner_and_its_check(loaded: Load, tmp_path: Path, owner: psycopg.Connection) -> None:
    source = write(tmp_path / "a.gpkg", [pipe()], asset_id=["a"])
    loaded(source, "water_pipe", mode="replace", owner="thkt")
    assert owner.execute("SELECT owner FROM layer.water_pipe").fetchone() == ("thkt",)
    with pytest.raises(UsageError, match="nobody"):
        loaded(source, "water_pipe", owner="nobody")


# --- refusals before anything is written ----------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "epsg", "mistake"),
    [
        (shapely.LineString([(1191000, 603000), (1191010, 603000)]), 9210, "swapped-axes"),
        (shapely.LineString([(106.7, 10.77), (106.71, 10.77)]), 9210, "degrees-as-metres"),
        (shapely.LineString([(603000, 1191000), (603010, 1191000)]), 4326, "metres-as-degrees"),
        (shapely.LineString([(10.77, 106.7), (10.78, 106.7)]), 4326, "swapped-axes"),
        (shapely.LineString([(685466, 1191450), (685566, 1191450)]), 5899, "other-zone"),
    ],
)  # fmt: skip
def test_crs_mistakes_are_named(
    loaded: Load, tmp_path: Path, owner: psycopg.Connection, shape: Any, epsg: int, mistake: str
) -> None:
    loaded(write(tmp_path / "a.gpkg", [pipe()], asset_id=["a"]), "water_pipe", mode="replace")
    with pytest.raises(LoadRefused) as refused:
        loaded(write(tmp_path / "b.fgb", [shape] * 3, epsg), "water_pipe", mode="replace")
    assert refused.value.code == f"crs-{mistake}"
    assert owner.execute("SELECT count(*) FROM layer.water_pipe").fetchone() == (1,)


def test_a_file_without_crs_is_refused_and_crs_overrides(loaded: Load, tmp_path: Path) -> None:
    source = tmp_path / "a.dxf"
    source.write_text(
        "0\nSECTION\n2\nENTITIES\n0\nLINE\n8\n0\n10\n603000\n20\n1191000\n"
        "11\n603009\n21\n1191000\n0\nENDSEC\n0\nEOF\n"
    )
    with pytest.raises(LoadRefused, match="does not say its coordinate"):
        loaded(source, "water_pipe", dry_run=True)
    assert loaded(source, "water_pipe", crs=9210, dry_run=True).loaded == 1
    wrong = write(tmp_path / "b.fgb", [pipe()], 5899)
    report = loaded(wrong, "water_pipe", crs=9210, dry_run=True)
    assert "although the file names EPSG:5899" in report.crs_how


def test_nothing_to_load_is_refused(loaded: Load, tmp_path: Path, owner: psycopg.Connection) -> None:
    loaded(write(tmp_path / "a.gpkg", [pipe()], asset_id=["a"]), "water_pipe", mode="replace")
    points = write(tmp_path / "b.gpkg", [shapely.Point(603000, 1191000)] * 3, asset_id=list("xyz"))
    with pytest.raises(LoadRefused, match=r"all 3 rows .* rejected \(3 geometry type\)"):
        loaded(points, "water_pipe", mode="replace")
    assert len(rejects_of(tmp_path / "rejects.geojson")) == 3
    assert owner.execute("SELECT count(*) FROM layer.water_pipe").fetchone() == (1,)


def test_a_legacy_encoding_is_named_and_loads_when_declared(
    loaded: Load, tmp_path: Path, owner: psycopg.Connection
) -> None:
    words = [
        "đường nguyễn huệ",
        "phường bến nghé",
        "quận thủ đức",
        "xã bình chánh",
        "ống cấp nước",
        "cầu sài gòn",
    ]
    raw = [w.encode("utf-8") for w in words]
    tcvn3 = [
        subprocess.run(
            ["iconv", "-f", "UTF-8", "-t", "TCVN5712-1"], input=r, capture_output=True, check=True
        ).stdout
        for r in raw
    ]
    lines = [b"asset_id,street,wkt"]
    lines += [
        b'%d,%s,"LINESTRING(603000 119100%d, 603010 119100%d)"' % (i, t, i, i) for i, t in enumerate(tcvn3)
    ]
    source = tmp_path / "a.csv"
    source.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(LoadRefused, match="TCVN3") as refused:
        loaded(source, "water_pipe", crs=9210)
    assert "--encoding tcvn3" in (refused.value.hint or "")
    loaded(source, "water_pipe", crs=9210, encoding="tcvn3", mode="replace")
    assert [r[0] for r in owner.execute("SELECT street FROM layer.water_pipe ORDER BY asset_id")] == words


def test_a_shapefile_that_does_not_say_its_encoding(loaded: Load, tmp_path: Path) -> None:
    words = ["QuËn Thñ §øc", "ph­êng BÕn NghÐ", "®­êng NguyÔn HuÖ", "x· B×nh Ch¸nh", "cÇu Sµi Gßn"]
    source = write(tmp_path / "a.shp", [pipe(i) for i in range(5)], driver="ESRI Shapefile", street=words)
    source.with_suffix(".cpg").unlink()
    raw = source.with_suffix(".dbf").read_bytes()
    for word in words:
        raw = raw.replace(word.encode(), word.encode("latin-1").ljust(len(word.encode())))
    source.with_suffix(".dbf").write_bytes(raw)
    with pytest.raises(LoadRefused, match=r"does not say the encoding.*tcvn3"):
        loaded(source, "water_pipe", dry_run=True)
    report = loaded(source, "water_pipe", encoding="tcvn3", dry_run=True)
    assert (report.encoding, report.loaded) == ("tcvn3", 5)


# --- formats --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "driver"),
    [
        ("a.gpkg", "GPKG"), ("a.fgb", "FlatGeobuf"), ("a.geojson", "GeoJSON"), ("a.geojsonl", "GeoJSONSeq"),
        ("a.gdb", "OpenFileGDB"), ("a.tab", "MapInfo File"), ("a.mif", "MapInfo File"),
        ("a.shp", "ESRI Shapefile"),
        ("a.kml", "LIBKML"), ("a.parquet", None),
    ],
)  # fmt: skip
def test_every_format(
    loaded: Load, tmp_path: Path, owner: psycopg.Connection, name: str, driver: str | None
) -> None:
    lonlat = [
        shapely.LineString([(106.70 + i / 1000, 10.77), (106.7005 + i / 1000, 10.77)]) for i in range(3)
    ]
    streets = ["Đường Nguyễn Huệ", "Lê Lợi", "Võ Văn Kiệt"]
    if driver is None:
        import geopandas

        geopandas.GeoDataFrame(
            {"street": streets, "diameter": [100.0, 150.0, 200.0]}, geometry=lonlat, crs=4326
        ).to_parquet(tmp_path / name)
    else:
        options = {"ENCODING": "UTF-8"} if driver in ("MapInfo File", "ESRI Shapefile") else {}
        pyogrio.raw.write(
            tmp_path / name, np.array(shapely.to_wkb(lonlat), dtype=object),
            [np.array(streets, dtype=object), np.array([100.0, 150.0, 200.0])], ["street", "diameter"],
            geometry_type="LineString", crs="EPSG:4326", driver=driver, layer="lines", **options,
        )  # fmt: skip
    mapping = tmp_path / "m.yml"
    mapping.write_text("fields: {street: street, diameter_mm: {column: diameter}}\n")
    report = loaded(tmp_path / name, "water_pipe", mode="replace", mapping=mapping)
    assert report.loaded == 3
    rows = owner.execute(
        "SELECT street, diameter_mm, ST_X(ST_StartPoint(ST_Transform(geom, 4326)))::numeric(9, 5)::text"
        " FROM layer.water_pipe ORDER BY 2"
    ).fetchall()
    assert rows == [(s, 100.0 + 50 * i, f"106.70{i}00") for i, s in enumerate(streets)]


def test_csv_with_coordinates(loaded: Load, tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text("asset_id,easting,northing\na,603000,1191000\nb,abc,1191000\nc,,\n", encoding="utf-8")
    report = loaded(source, "power_support", crs=9210, dry_run=True)
    assert (report.loaded, dict(report.reasons)) == (1, {"geometry-unreadable": 1, "no-geometry": 1})


def test_dxf_by_level(loaded: Load, tmp_path: Path) -> None:
    def line(layer: str, x: float) -> str:
        return f"0\nLINE\n8\n{layer}\n10\n{x}\n20\n1191000\n11\n{x + 5}\n21\n1191000\n"

    body = (
        "0\nSECTION\n2\nENTITIES\n"
        + line("ONG_CAP_NUOC", 603000)
        + line("KHUNG", 603010)
        + "0\nENDSEC\n0\nEOF\n"
    )
    (tmp_path / "a.dxf").write_text(body)
    (tmp_path / "m.yml").write_text(
        "where: [{column: Layer, equals: ONG_CAP_NUOC}]\nfields: {remark: Layer}\n"
    )
    report = loaded(tmp_path / "a.dxf", "water_pipe", crs=9210, mapping=tmp_path / "m.yml", dry_run=True)
    assert (report.read, report.selected, report.loaded) == (2, 1, 1)


def test_dgn_is_read_whole(loaded: Load, shared_data: Path, tmp_path: Path) -> None:
    """All 3,986 drawn elements of a real DGN are accounted for."""
    (tmp_path / "m.yml").write_text("fields: {remark: {template: 'level {Level}'}}\n")
    with pytest.raises(LoadRefused) as refused:
        loaded(
            shared_data / "cad" / "underlay.dgn",
            "water_pipe",
            crs=9210,
            mapping=tmp_path / "m.yml",
            dry_run=True,
        )
    assert refused.value.code == "crs-local-coordinates"


def test_a_geopackage_open_in_another_program_loses_no_row(loaded: Load, tmp_path: Path) -> None:
    import sqlite3

    source = write(tmp_path / "a.gpkg", [pipe(0)], asset_id=["a"])
    other = sqlite3.connect(source)
    other.execute("PRAGMA journal_mode=WAL")
    other.execute("PRAGMA wal_autocheckpoint=0")
    name = source.stem
    with other:
        other.execute("DROP TRIGGER IF EXISTS rtree_a_geom_insert")
        for (trigger,) in other.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            other.execute(f'DROP TRIGGER "{trigger}"')
        other.execute(f"INSERT INTO {name} (geom, asset_id) SELECT geom, 'b' FROM {name}")
    assert (tmp_path / "a.gpkg-wal").stat().st_size > 0
    report = loaded(source, "water_pipe", dry_run=True)
    assert report.loaded == 2
    other.close()


# --- one transaction ------------------------------------------------------------------------------


def big_file(path: Path, count: int) -> Path:
    x = 603000 + np.arange(count) % 1000 * 10.0
    y = 1191000 + np.arange(count) // 1000 * 2.0
    ends = np.stack([np.column_stack([x, y]), np.column_stack([x + 8, y])], axis=1)
    pyogrio.raw.write(
        path, shapely.to_wkb(shapely.linestrings(ends)),
        [np.array([f"p{i}" for i in range(count)], dtype=object)],
        ["asset_id"], geometry_type="LineString", crs="EPSG:9210",
    )  # fmt: skip
    return path


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("mode", ["replace", "append"])
def test_stopped_in_the_middle_changes_nothing(
    loaded: Load,
    module_db: Database,
    owner: psycopg.Connection,
    tmp_path: Path,
    ending: signal.Signals,
    mode: str,
) -> None:
    loaded(write(tmp_path / "a.gpkg", [pipe()], asset_id=["keep"]), "water_pipe", mode="replace")
    source = big_file(tmp_path / "big.gpkg", 200_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "gis.cli", "load", str(source), "--layer", "water_pipe", "--mode", mode],
        env={**os.environ, "BANDOSO_DSN": module_db.owner_dsn, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stderr=subprocess.PIPE,
    )
    copying = "SELECT count(*) FROM pg_stat_progress_copy"
    deadline = time.monotonic() + 60
    while owner.execute(copying).fetchone() == (0,):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    # readers go on while it loads
    assert owner.execute("SELECT count(*) FROM layer.water_pipe").fetchone() == (1,)
    process.send_signal(ending)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (130 if ending == signal.SIGINT else -9), said
    owner.execute("SELECT set_config('lock_timeout', '20s', false)")
    assert owner.execute("SELECT asset_id FROM layer.water_pipe").fetchall() == [("keep",)]
    # and the next load works
    report = loaded(write(tmp_path / "c.gpkg", [pipe(3)], asset_id=["next"]), "water_pipe")
    assert report.added == 1
    running = "SELECT count(*) FROM pg_class WHERE relname LIKE 'water\\_pipe\\_\\_new%'"
    assert owner.execute(running).fetchone() == (0,)


def test_two_loads_of_one_layer_do_not_meet(loaded: Load, tmp_path: Path, owner: psycopg.Connection) -> None:
    source = write(tmp_path / "a.gpkg", [pipe()], asset_id=["a"])
    owner.execute("SELECT pg_advisory_lock(hashtext('bandoso.load'), hashtext('water_pipe'))")
    try:
        with pytest.raises(UsageError, match="another load"):
            loaded(source, "water_pipe", mode="replace")
    finally:
        owner.execute("SELECT pg_advisory_unlock_all()")


def test_loads_are_recorded(loaded: Load, tmp_path: Path, owner: psycopg.Connection) -> None:
    report = loaded(write(tmp_path / "rec.gpkg", [pipe()], asset_id=["a"]), "water_pipe", mode="replace")
    row = owner.execute(
        "SELECT layer, source, mode, rows, rejected, finished_at >= started_at, report->>'crs'"
        " FROM bandoso.load WHERE id = %s",
        [report.load_id],
    ).fetchone()
    assert row == ("water_pipe", "rec.gpkg", "replace", 1, 0, True, "9210")
    assert owner.execute("SELECT DISTINCT load_id FROM layer.water_pipe").fetchall() == [(report.load_id,)]


def test_rejects_files_are_never_overwritten(loaded: Load, tmp_path: Path) -> None:
    source = write(tmp_path / "a.gpkg", [pipe(), shapely.Point(603000, 1191000)], asset_id=["a", "b"])
    for _ in range(2):
        loaded(source, "water_pipe", dry_run=True, mode="replace", rejects=tmp_path / "r.csv")
    first, second = (tmp_path / "r.csv.1").read_text(), (tmp_path / "r.csv").read_text()
    assert first == second
    assert second.splitlines()[0] == "_row,_fid,_code,_field,_reason,asset_id,_wkt"
    assert second.splitlines()[1].startswith("2,2,geometry-type,geom,Point is not LineString,b,POINT")


def test_the_command_speaks_plainly(embedded: Database, settings: Settings, tmp_path: Path) -> None:
    """Exit codes, one sentence, --json; on the data folder that a server is using."""
    run = [sys.executable, "-m", "gis.cli", "load", "--data-dir", str(settings.data_dir)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    missing = subprocess.run(
        [*run, "nothing.gpkg", "--layer", "water_pipe", "--dry-run"], env=env, capture_output=True, text=True
    )
    assert missing.returncode == 2
    assert missing.stderr.strip() == "bandoso: there is no file nothing.gpkg"
    source = write(tmp_path / "a.gpkg", [pipe()], asset_id=["a"])
    done = subprocess.run(
        [*run, str(source), "--layer", "water_pipe", "--dry-run", "--json"],
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["loaded"] == 1


def test_the_database_checks_again(loaded: Load, tmp_path: Path, owner: psycopg.Connection) -> None:
    """Were the child to let something through, the table's constraints end the load with a sentence."""
    owner.execute("ALTER TABLE layer.water_hydrant ADD CONSTRAINT extra CHECK (asset_id <> 'bad') NOT VALID")
    loaded(write(tmp_path / "a.gpkg", [shapely.Point(603000, 1191000)], asset_id=["good"]), "water_hydrant")
    owner.execute("ALTER TABLE layer.water_hydrant ADD CONSTRAINT extra2 CHECK (asset_id <> 'bad') NOT VALID")
    with pytest.raises(BandosoError, match="the database refused a row"):
        loaded(
            write(tmp_path / "b.gpkg", [shapely.Point(603000, 1191000)], asset_id=["bad"]), "water_hydrant"
        )


def test_open_database_is_joined(settings: Settings, embedded: Database) -> None:
    with open_database(settings) as db:
        assert db.owner_dsn == embedded.owner_dsn


# --- loads are changesets ---------------------------------------------------------------------------


def history_of(owner: psycopg.Connection, asset: str) -> list[tuple[Any, ...]]:
    """Of each version that a pipe had: its number, material, who made it and how, and whether it went on."""
    return owner.execute(
        "WITH this AS (SELECT fid FROM layer.water_pipe WHERE asset_id = %(a)s UNION SELECT fid"
        " FROM bandoso.version WHERE layer = 'water_pipe' AND properties ->> 'asset_id' = %(a)s)"
        " SELECT e.version, c.kind, c.author, c.comment, e.made_op, d.kind, e.goes_on"
        " FROM this, bandoso.version_events('water_pipe', this.fid) AS e"
        " LEFT JOIN bandoso.changeset AS c ON c.id = e.made_by"
        " LEFT JOIN bandoso.changeset AS d ON d.id = e.ended_by ORDER BY 1",
        {"a": asset},
    ).fetchall()


def test_loads_tell_who_made_what(loaded: Load, tmp_path: Path, owner: psycopg.Connection) -> None:
    """An empty layer filled, appended to, updated and replaced: every version has its maker and its end."""
    owner.execute("DELETE FROM layer.water_pipe; DELETE FROM bandoso.version; DELETE FROM bandoso.change")
    first = write(tmp_path / "a.gpkg", [pipe(0), pipe(1)], asset_id=["a", "b"], material=["hdpe"] * 2)
    loaded(first, "water_pipe", author="Lan", comment="hoàn công")
    assert history_of(owner, "a") == [(1, "load", "Lan", "hoàn công", "c", None, False)]
    assert owner.execute("SELECT count(*) FROM bandoso.change").fetchone() == (0,), (
        "a load adds no rows there"
    )
    summary = owner.execute("SELECT summary FROM bandoso.changeset ORDER BY id DESC LIMIT 1").fetchone()
    assert summary and summary[0]["water_pipe"]["created"] == 2
    assert summary[0]["water_pipe"]["box"][0] == pytest.approx(603000, abs=1)

    second = write(
        tmp_path / "b.gpkg", [pipe(0), pipe(2)], asset_id=["a", "c"], material=["cast_iron", "hdpe"]
    )
    loaded(second, "water_pipe", mode="upsert", author="Minh")
    assert history_of(owner, "a") == [
        (1, "load", "Lan", "hoàn công", "c", "load", True),
        (2, "load", "Minh", None, "u", None, False),
    ]
    assert history_of(owner, "c") == [(1, "load", "Minh", None, "c", None, False)]
    owner.execute("UPDATE layer.water_pipe SET material = 'upvc' WHERE asset_id = 'b'")

    third = write(
        tmp_path / "c.gpkg", [pipe(0), pipe(1), pipe(3)], asset_id=["a", "b", "d"], material=["hdpe"] * 3
    )
    before = owner.execute("SELECT clock_timestamp()").fetchone()
    loaded(third, "water_pipe", mode="replace", author="Hoa")
    assert history_of(owner, "a")[1:] == [
        (2, "load", "Minh", None, "u", "load", True),
        (3, "load", "Hoa", None, "u", None, False),
    ]
    assert [v[0] for v in history_of(owner, "b")] == [1, 2, 3]
    assert history_of(owner, "c") == [(1, "load", "Minh", None, "c", "load", False)], "taken away"
    assert history_of(owner, "d") == [(1, "load", "Hoa", None, "c", None, False)]
    done = owner.execute("SELECT summary FROM bandoso.changeset ORDER BY id DESC LIMIT 1").fetchone()
    assert done
    found = done[0]["water_pipe"]
    assert [found[k] for k in ("created", "updated", "deleted", "loaded")] == [1, 2, 1, 1]
    assert before is not None
    then = owner.execute(
        "SELECT asset_id, material FROM layer.water_pipe WHERE updated_at <= %(at)s UNION ALL"
        " SELECT asset_id, material FROM past.water_pipe"
        " WHERE updated_at <= %(at)s AND _until > %(at)s ORDER BY 1",
        {"at": before[0]},
    ).fetchall()
    assert then == [("a", "cast_iron"), ("b", "upvc"), ("c", "hdpe")]
    gaps = owner.execute(
        "SELECT count(*) FROM bandoso.version AS v JOIN layer.water_pipe AS t USING (fid)"
        " WHERE t.version = v.version + 1 AND v.valid_to <> t.updated_at"
    ).fetchone()
    assert gaps == (0,)


def test_a_load_can_be_undone(
    loaded: Load, tmp_path: Path, owner: psycopg.Connection, city: City, catalogue: Catalogue
) -> None:
    from gis.checks.window import Setting
    from gis.edit.undo import CannotUndo, undo_as_operator

    owner.execute("DELETE FROM layer.water_pipe; DELETE FROM bandoso.version; DELETE FROM bandoso.change")
    loaded(
        write(tmp_path / "a.gpkg", [pipe(0), pipe(1)], asset_id=["a", "b"], material=["hdpe"] * 2),
        "water_pipe",
    )
    before = owner.execute(
        "SELECT asset_id, material, ST_AsEWKB(geom) FROM layer.water_pipe ORDER BY 1"
    ).fetchall()
    loaded(
        write(tmp_path / "b.gpkg", [pipe(0), pipe(5)], asset_id=["a", "e"], material=["upvc"] * 2),
        "water_pipe",
        mode="replace",
    )
    (number,) = owner.execute("SELECT max(id) FROM bandoso.changeset").fetchone() or (0,)
    setting = Setting(city, catalogue, city.today())
    undo_as_operator(owner, setting, number, "Lan")
    after = owner.execute(
        "SELECT asset_id, material, ST_AsEWKB(geom) FROM layer.water_pipe ORDER BY 1"
    ).fetchall()
    assert after == before
    with pytest.raises(CannotUndo) as caught:
        undo_as_operator(owner, setting, number, "Lan")
    assert {o.reason for o in caught.value.obstacles} == {"changed", "made-again", "removed"}
