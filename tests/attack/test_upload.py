"""Hostile and broken deliveries: each is refused with one sentence, harms nothing, and leaves no trace."""

from __future__ import annotations

import io
import os
import shutil
import socket
import sqlite3
import stat
import struct
import threading
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely

from gis.city import City
from gis.errors import BandosoError, LimitError, LoadRefused, UsageError
from gis.ingest import archive
from gis.ingest.archive import ArchiveLimits
from gis.ingest.load import LoadRequest, load
from gis.ingest.report import LoadReport
from gis.ingest.sandbox import Limits
from gis.settings import Settings
from layers.registry import Catalogue

Try = Callable[..., LoadReport]


@pytest.fixture
def attempt(settings: Settings, city: City, catalogue: Catalogue, tmp_path: Path) -> Try:
    """A dry run: all of the reading, none of the database."""

    def run(file: Path, layer: str = "water_pipe", **options: Any) -> LoadReport:
        options.setdefault("rejects", tmp_path / "rejects.geojson")
        return load(settings, None, city, catalogue, LoadRequest(file, layer, dry_run=True, **options))

    return run


def line() -> bytes:
    return shapely.to_wkb(shapely.LineString([(603000, 1191000), (603008, 1191000)]))


def write(path: Path, shapes: list[bytes], driver: str | None = None, **columns: list[Any]) -> Path:
    kind = "LineString" if driver == "OpenFileGDB" else "Unknown"
    pyogrio.raw.write(
        path, np.array(shapes, dtype=object), [np.array(v, dtype=object) for v in columns.values()],
        list(columns),
        geometry_type=kind, crs="EPSG:9210", driver=driver,
    )  # fmt: skip
    return path


# --- files that are something else ----------------------------------------------------------------

VRT = """<OGRVRTDataSource><OGRVRTLayer name="passwd"><SrcDataSource>/etc/passwd</SrcDataSource>
<SrcLayer>passwd</SrcLayer></OGRVRTLayer></OGRVRTDataSource>"""


@pytest.mark.parametrize("name", ["up.geojson", "up.csv", "up.kml", "up.gpkg", "up.shp", "up.json", "up.vrt"])
def test_a_vrt_under_any_name_reads_nothing(attempt: Try, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(VRT)
    with pytest.raises(LoadRefused) as refused:
        attempt(tmp_path / name)
    assert "root:" not in str(refused.value) + str(refused.value.hint)


@pytest.mark.parametrize(
    "body",
    [
        '{"type":"FeatureCollection","features":[{"type":"Feature","properties":{},"geometry":null}]}',
        # drivers that are told by content, or by a prefix, inside a file
        'GEOJSON:/vsicurl/http://127.0.0.1:1/x',
        '{"type":"Topology","objects":{}}',
        '{"rings":[],"spatialReference":{"wkid":4326}}',
        '{"stac_version":"1.0.0","type":"FeatureCollection","features":[],'
        '"links":[{"rel":"next","href":"http://127.0.0.1:1/"}]}',
        '{"type":"gdal_streamed_alg","command_line":"gdal vector pipeline read /etc/passwd"}',
    ],
)  # fmt: skip
def test_json_of_other_kinds(attempt: Try, tmp_path: Path, body: str) -> None:
    (tmp_path / "a.geojson").write_text(body)
    with pytest.raises(LoadRefused):
        attempt(tmp_path / "a.geojson")


def test_xml_entities_are_refused(attempt: Try, tmp_path: Path) -> None:
    laughs = '<!ENTITY a "ha">' + "".join(f'<!ENTITY a{i} "{"&a;" * 10}">' for i in range(10))
    for root in ("kml", "osm"):
        (tmp_path / f"a.{root}").write_text(
            f'<?xml version="1.0"?><!DOCTYPE x [{laughs}]><{root}>&a9;</{root}>'
        )
        with pytest.raises(LoadRefused, match="entities"):
            attempt(tmp_path / f"a.{root}")


def test_kml_that_links_out_calls_nobody(attempt: Try, tmp_path: Path) -> None:
    called = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        port = server.getsockname()[1]
        (tmp_path / "a.kml").write_text(
            f"""<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document>
            <NetworkLink><Link><href>http://127.0.0.1:{port}/x.kml</href></Link></NetworkLink>
            <Style><IconStyle><Icon><href>http://127.0.0.1:{port}/i.png</href></Icon></IconStyle></Style>
            <Placemark><name>a</name><Point><coordinates>106.7,10.77</coordinates></Point></Placemark>
            </Document></kml>"""
        )
        report = attempt(tmp_path / "a.kml", "power_support")
        try:
            server.accept()
            called.set()
        except TimeoutError:
            pass
    assert report.loaded == 1
    assert not called.is_set()


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 1000, b"{" * 1000, b'{"type":"FeatureCollection","features":[' + b"[" * 100_000]
)
def test_garbage(attempt: Try, tmp_path: Path, content: bytes) -> None:
    for name in ("a.geojson", "a.csv", "a.bin"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BandosoError):
            attempt(tmp_path / name, crs=9210)


@pytest.mark.parametrize(
    "driver", ["GPKG", "FlatGeobuf", "ESRI Shapefile", "MapInfo File", "GeoJSON", "LIBKML"]
)
def test_cut_and_flipped_bytes_never_do_more_than_fail(attempt: Try, tmp_path: Path, driver: str) -> None:
    suffix = {
        "GPKG": ".gpkg",
        "FlatGeobuf": ".fgb",
        "ESRI Shapefile": ".shp",
        "MapInfo File": ".tab",
        "GeoJSON": ".geojson",
        "LIBKML": ".kml",
    }[driver]
    whole = write(tmp_path / f"whole{suffix}", [line()] * 50, driver, name=[f"n{i}" for i in range(50)])
    random = np.random.default_rng(1)
    data = next(p for p in (whole.with_suffix(".map"), whole) if p.exists()).read_bytes()
    for trial in range(6):
        damaged = bytearray(data[: int(len(data) * (0.3 + 0.1 * trial))] if trial % 2 else data)
        for place in random.integers(20, len(damaged), 30):
            damaged[place] ^= int(random.integers(1, 256))
        for part in tmp_path.glob("whole.*"):
            shutil.copy(part, tmp_path / f"bad{part.suffix}")
        target = tmp_path / ("bad.map" if driver == "MapInfo File" else f"bad{suffix}")
        target.write_bytes(damaged)
        try:
            report = attempt(tmp_path / f"bad{suffix}", crs=4326 if driver == "LIBKML" else 9210)
            assert report.loaded + report.rejected == report.selected
        except BandosoError as error:
            assert str(tmp_path) not in error.message + (error.hint or "")


def test_a_fifo_or_device_is_not_opened(attempt: Try, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.geojson")
    for path in (tmp_path / "a.geojson", Path("/dev/zero")):
        with pytest.raises(LoadRefused, match="not a regular file"):
            attempt(path)


@pytest.mark.parametrize(
    "name", ["a!b.gpkg", "PG:host=x.gpkg", "-f.gpkg", "a' OR 1.gpkg", "a.zip.gpkg", "ổ đĩa;$(x).gpkg"]
)
def test_hostile_file_names_are_only_names(attempt: Try, tmp_path: Path, name: str) -> None:
    write(tmp_path / "plain.gpkg", [line()], asset_id=["a"]).rename(tmp_path / name)
    assert attempt(tmp_path / name).loaded == 1


@pytest.mark.parametrize("layer", ["x'; DROP TABLE a; --", "a\0b", "../a", "a" * 10_000])
def test_hostile_layer_names(attempt: Try, tmp_path: Path, layer: str) -> None:
    with closing(sqlite3.connect(write(tmp_path / "a.gpkg", [line()], asset_id=["a"]))) as db:
        tables = db.execute("SELECT table_name FROM gpkg_contents").fetchall()
    assert tables == [("a",)]
    write(tmp_path / "b.gpkg", [line()], asset_id=["a"])
    pyogrio.raw.write(
        tmp_path / "b.gpkg", np.array([line()], dtype=object), [], [],
        geometry_type="LineString", crs="EPSG:9210",
        layer="second", append=True,
    )  # fmt: skip
    with pytest.raises((UsageError, LoadRefused)):
        attempt(tmp_path / "b.gpkg", source_layer=layer)


# --- GeoPackage -----------------------------------------------------------------------------------


def test_a_view_in_a_geopackage_is_not_run(attempt: Try, tmp_path: Path) -> None:
    source = write(tmp_path / "a.gpkg", [line()], asset_id=["a"])
    with closing(sqlite3.connect(source)) as db, db:
        db.execute("CREATE VIEW v AS SELECT fid, geom, load_extension('/tmp/evil.so') AS asset_id FROM a")
        db.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id)"
            " SELECT 'v', 'features', 'v', srs_id FROM gpkg_contents"
        )
        db.execute(
            "INSERT INTO gpkg_geometry_columns"
            " SELECT 'v', column_name, geometry_type_name, srs_id, z, m FROM gpkg_geometry_columns"
        )
    with pytest.raises(LoadRefused, match="view"):
        attempt(source, source_layer="v")
    assert attempt(source, source_layer="a").loaded == 1


def test_a_table_replaced_by_a_view_is_not_run(attempt: Try, tmp_path: Path) -> None:
    source = write(tmp_path / "a.gpkg", [line()], asset_id=["a"])
    with closing(sqlite3.connect(source)) as db, db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f'DROP TRIGGER "{name}"')
        db.execute("CREATE TABLE real_a AS SELECT * FROM a")
        db.execute("DROP TABLE a")
        db.execute("CREATE VIEW a AS SELECT * FROM real_a")
    with pytest.raises(LoadRefused, match="view"):
        attempt(source)


def test_triggers_do_not_fire_and_the_file_is_not_changed(attempt: Try, tmp_path: Path) -> None:
    source = write(tmp_path / "a.gpkg", [line()], asset_id=["a"])
    with closing(sqlite3.connect(source)) as db, db:
        db.execute("CREATE TRIGGER evil AFTER INSERT ON a BEGIN DELETE FROM a; END")
    before = source.read_bytes()
    assert attempt(source).loaded == 1
    assert source.read_bytes() == before
    assert sorted(p.name for p in tmp_path.glob("a.gpkg*")) == ["a.gpkg"]


def test_nested_collections_in_a_geopackage(attempt: Try, tmp_path: Path) -> None:
    """Shapely dies on 20,000 nested collections; here a row is rejected, or the child ends alone."""
    source = write(tmp_path / "a.gpkg", [line(), line()], asset_id=["a", "b"])
    deep = struct.pack("<BII", 1, 7, 1) * 20_000 + line()
    header = b"GP\x00\x01" + struct.pack("<i", 9210)
    with closing(sqlite3.connect(source)) as db, db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f'DROP TRIGGER "{name}"')
        db.execute("UPDATE a SET geom = ? WHERE asset_id = 'b'", [header + deep])
    try:
        report = attempt(source)
        assert report.loaded == 1
    except LoadRefused as refused:
        assert refused.code == "reader-failed"


# --- Shapefile and text ---------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [".shx", ".dbf"])
def test_a_shapefile_with_missing_parts(attempt: Try, tmp_path: Path, missing: str) -> None:
    source = write(tmp_path / "a.shp", [line()], "ESRI Shapefile", name=["x"])
    source.with_suffix(missing).unlink()
    with pytest.raises(LoadRefused, match=rf"\{missing} file is missing"):
        attempt(source)


def test_a_shapefile_without_prj(attempt: Try, tmp_path: Path) -> None:
    source = write(tmp_path / "a.shp", [line()], "ESRI Shapefile", name=["x"])
    source.with_suffix(".prj").unlink()
    with pytest.raises(LoadRefused, match="coordinate reference system"):
        attempt(source)


def test_shapefile_whose_cpg_lies(attempt: Try, tmp_path: Path) -> None:
    """Declared UTF-8, written in TCVN3: rows are rejected or the file refused, never replaced letters."""
    source = write(tmp_path / "a.shp", [line()] * 3, "ESRI Shapefile", street=["aaaaaaaaaa"] * 3)
    raw = source.with_suffix(".dbf").read_bytes().replace(b"aaaaaaaaaa", "QuËn Thñ§".encode("latin-1") + b" ")
    source.with_suffix(".dbf").write_bytes(raw)
    source.with_suffix(".cpg").write_text("UTF-8")
    try:
        report = attempt(source)
        assert report.reasons.get("bad-encoding", 0) == report.rejected
    except LoadRefused as refused:
        assert refused.code in ("all-rejected", "legacy-encoding")


def test_a_wkt_bomb_in_a_csv(attempt: Try, tmp_path: Path) -> None:
    deep = "GEOMETRYCOLLECTION(" * 50_000 + "POINT(1 1)" + ")" * 50_000
    (tmp_path / "a.csv").write_text(
        f'asset_id,wkt\na,"{deep}"\nb,"LINESTRING(603000 1191000, 603008 1191000)"\n'
    )
    try:
        report = attempt(tmp_path / "a.csv", crs=9210)
        assert report.loaded == 1
    except LoadRefused as refused:
        assert refused.code in ("reader-failed", "damaged-file")


def test_twenty_megabytes_of_text_in_one_value(attempt: Try, tmp_path: Path) -> None:
    source = write(tmp_path / "a.gpkg", [line(), line()], asset_id=["a", "b"], remark=["x" * 20_000_000, "y"])
    report = attempt(source)
    assert (report.loaded, dict(report.reasons)) == (1, {"too-long": 1})


def test_a_million_vertices(attempt: Try, tmp_path: Path) -> None:
    many = np.column_stack([np.linspace(603000, 604000, 1_000_000), np.full(1_000_000, 1191000.0)])
    source = write(
        tmp_path / "a.gpkg", [shapely.to_wkb(shapely.LineString(many)), line()], asset_id=["a", "b"]
    )
    report = attempt(source)
    assert (report.loaded, dict(report.reasons)) == (1, {"too-many-vertices": 1})


def test_mapping_bombs(attempt: Try, tmp_path: Path) -> None:
    source = write(tmp_path / "a.gpkg", [line()], asset_id=["a"])
    (tmp_path / "m.yml").write_text("fields: {remark: !!python/object/apply:os.system ['touch /tmp/evil']}")
    with pytest.raises(UsageError):
        attempt(source, mapping=tmp_path / "m.yml")
    (tmp_path / "m.yml").write_text("fields: {remark: {template: '{asset_id.__class__.__mro__}'}}")
    with pytest.raises(UsageError, match="does not have"):
        attempt(source, mapping=tmp_path / "m.yml")


# --- limits and walls -----------------------------------------------------------------------------


def test_memory_limit_ends_the_child_not_us(attempt: Try, tmp_path: Path) -> None:
    source = write(
        tmp_path / "a.gpkg", [line()] * 8, asset_id=list("abcdefgh"), remark=["x" * 20_000_000] * 8
    )
    with pytest.raises(LoadRefused) as refused:
        attempt(source, limits=Limits(address_space=400_000_000))
    assert refused.value.code != "all-rejected"


def test_processor_limit(attempt: Try, tmp_path: Path) -> None:
    # GDAL takes more than two seconds of these on a fast machine
    one = '{"type":"Feature","properties":{},"geometry":{"type":"Point","coordinates":[106.7,10.7]}}'
    body = ",".join([one] * 800_000)
    (tmp_path / "a.geojson").write_text('{"type":"FeatureCollection","features":[' + body + "]}")
    with pytest.raises(LoadRefused, match="processor time"):
        attempt(tmp_path / "a.geojson", "power_support", limits=Limits(cpu_seconds=1))


def run_walled(code: str, tmp_path: Path) -> str:
    """What Python code prints behind the child's walls, in a process of its own."""
    import subprocess
    import sys

    root = Path(__file__).resolve().parents[2]
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    program = f"""
import sys, os, socket, subprocess
from pathlib import Path
sys.path.insert(0, {str(root)!r})
from gis.ingest import sandbox
readable = [Path(sys.prefix), Path(sys.base_prefix), Path('/usr'), Path('/lib')]
walls = sandbox.shut_in(readable, [Path({str(work)!r})])
try:
    {code}
    print('reached')
except OSError as error:
    print('walled', sorted(walls))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "code",
    [
        "open('/etc/passwd').read()",
        "open('/etc/evil', 'w')",
        "os.listdir('/')",
        "socket.socket(socket.AF_UNIX)",
        "socket.socket(socket.AF_INET)",
        "subprocess.run(['/bin/true'])",
        "os.kill(os.getppid(), 0)",
    ],
)
def test_the_child_reaches_nothing(tmp_path: Path, code: str) -> None:
    printed = run_walled(code, tmp_path)
    if "landlock" not in printed and "reached" in printed and "open" in code:
        pytest.skip("this kernel has no Landlock")
    assert printed.startswith("walled"), printed


def test_the_child_may_write_its_work_folder(tmp_path: Path) -> None:
    assert run_walled(f"open({str(tmp_path / 'work' / 'x')!r}, 'w')", tmp_path) == "reached\n"


def test_secrets_of_the_environment_do_not_reach_the_child(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from gis.ingest.spawn import clean_environment

    monkeypatch.setenv("BANDOSO_DSN", "host=hush")
    monkeypatch.setenv("PGPASSWORD", "hush")
    assert "hush" not in str(clean_environment())


def test_no_work_folder_is_left(attempt: Try, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    attempt(write(tmp_path / "a.gpkg", [line()], asset_id=["a"]))
    (tmp_path / "b.geojson").write_text("{")
    with pytest.raises(LoadRefused):
        attempt(tmp_path / "b.geojson")
    assert list((tmp_path / "t").glob("bandoso-load-*")) == []


# --- zip ------------------------------------------------------------------------------------------


def zipped(path: Path, *entries: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in entries:
            out.writestr(name, content)
    return path


def test_a_good_zip(attempt: Try, tmp_path: Path) -> None:
    write(tmp_path / "ong.shp", [line()] * 2, "ESRI Shapefile", name=["x", "y"])
    parts = [(f"thư mục/{p.name}", p.read_bytes()) for p in sorted(tmp_path.glob("ong.*"))]
    assert attempt(zipped(tmp_path / "a.zip", *parts)).loaded == 2


@pytest.mark.parametrize(
    "name",
    [
        "../evil.geojson", "/etc/evil.geojson", "a/../../evil", "C:\\evil.geojson", "con.geojson",
        "a\\..\\b", "nul", "x.", "a:b", "a\nb",
    ],
)  # fmt: skip
def test_names_that_lead_out(tmp_path: Path, name: str) -> None:
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(LoadRefused):
        archive.unpack(zipped(tmp_path / "a.zip", (name, b"{}")), target)
    assert list(target.rglob("*")) == []


def test_links_in_a_zip(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link.geojson")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        out.writestr(info, "/etc/passwd")
    with pytest.raises(LoadRefused, match="links"):
        archive.unpack(tmp_path / "a.zip", tmp_path / "t")


def test_ratio_count_and_total(tmp_path: Path) -> None:
    bomb = zipped(tmp_path / "ratio.zip", ("a.geojson", b" " * 20_000_000))
    with pytest.raises(LimitError, match="times its size"):
        archive.unpack(bomb, tmp_path / "t")
    crowd = zipped(tmp_path / "many.zip", *((f"{i}.txt", b"") for i in range(2_100)))
    with pytest.raises(LimitError, match="entries"):
        archive.unpack(crowd, tmp_path / "t")
    large = zipped(tmp_path / "large.zip", ("a.geojson", os.urandom(10_000)))
    with pytest.raises(LimitError, match="unpacks to more"):
        archive.unpack(large, tmp_path / "t", ArchiveLimits(bytes=5_000))


def overlapping() -> bytes:
    """Many entries of the central directory that share one stream, as in the 59 KB that declare 10 GB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("a0", os.urandom(50_000))
    raw = buffer.getvalue()
    start = raw.index(b"PK\x01\x02")
    end = raw.index(b"PK\x05\x06")
    entry = raw[start:end]
    entries = b"".join(entry.replace(b"a0", f"a{i}".encode()) for i in range(10))
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 10, 10, len(entries), start, 0)
    return raw[:start] + entries + tail


def test_overlapping_entries(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(overlapping())
    with pytest.raises(LoadRefused, match="overlapping"):
        archive.unpack(tmp_path / "a.zip", tmp_path / "t")


def test_an_entry_larger_than_it_says(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", ("a.geojson", b"x" * 5_000))
    raw = path.read_bytes().replace(struct.pack("<I", 5_000), struct.pack("<I", 10))
    path.write_bytes(raw)
    (tmp_path / "t").mkdir()
    with pytest.raises(LoadRefused):
        archive.unpack(path, tmp_path / "t")


def test_nested_password_double_and_damaged(attempt: Try, tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", ("a.geojson", b"{}")).read_bytes()
    with pytest.raises(LoadRefused, match="archive inside"):
        attempt(zipped(tmp_path / "a.zip", ("b.zip", inner)))
    with pytest.warns(UserWarning), zipfile.ZipFile(tmp_path / "b.zip", "w") as out:
        out.writestr("a.geojson", "{}")
        out.writestr("a.geojson", "{}")
    with pytest.raises(LoadRefused, match="twice"):
        attempt(tmp_path / "b.zip")
    (tmp_path / "c.zip").write_bytes(inner[:-30])
    with pytest.raises(LoadRefused, match="damaged"):
        attempt(tmp_path / "c.zip")
    encrypted = bytearray(inner)
    for mark in (b"PK\x03\x04", b"PK\x01\x02"):
        at = encrypted.index(mark)
        encrypted[at + (6 if mark == b"PK\x03\x04" else 8)] |= 1
    (tmp_path / "d.zip").write_bytes(encrypted)
    with pytest.raises(LoadRefused, match="password"):
        attempt(tmp_path / "d.zip")


def test_several_deliveries_in_a_zip_need_a_name(attempt: Try, tmp_path: Path) -> None:
    collection = (
        b'{"type":"FeatureCollection","features":[{"type":"Feature","properties":{},'
        b'"geometry":{"type":"Point","coordinates":[106.7,10.77]}}]}'
    )
    path = zipped(
        tmp_path / "a.zip", ("a.geojson", collection), ("b.geojson", collection), ("readme.txt", b"hi")
    )
    with pytest.raises(LoadRefused, match="2 deliveries"):
        attempt(path, "power_support")
    assert attempt(path, "power_support", source_layer="b").loaded == 1


def test_links_in_a_geodatabase(attempt: Try, tmp_path: Path) -> None:
    source = write(tmp_path / "a.gdb", [line()], "OpenFileGDB", name=["x"])
    (source / "evil.gdbtable").symlink_to("/etc/passwd")
    with pytest.raises(LoadRefused, match="links"):
        attempt(source)


def test_default_limits_are_finite() -> None:
    limits = Limits()
    assert 0 < limits.address_space < 16e9
    assert replace(limits, cpu_seconds=1).cpu_seconds == 1
