"""The loader's pure parts: formats by content, mapping by names, values, geometry bytes, COPY bytes."""

from __future__ import annotations

import datetime as dt
import struct
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gis.city import City
from gis.errors import LoadRefused, UsageError
from gis.ingest import copybin, dgn, formats, wkb
from gis.ingest.convex import surely_valid
from gis.ingest.issues import REASONS, Issues
from gis.ingest.mapping import Mapping, Rule, fold, read_mapping, resolve
from gis.ingest.shapes import ShapeReader
from gis.ingest.target import Target
from gis.ingest.text import TextCleaner
from gis.ingest.values import Converter
from layers.registry import Catalogue

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pipes(catalogue: Catalogue, city: City) -> Target:
    return Target.of(catalogue.layers["water_pipe"], city)


@pytest.fixture(scope="module")
def parcels(catalogue: Catalogue, city: City) -> Target:
    return Target.of(catalogue.layers["cadastre_parcel"], city)


# --- formats --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.geojson", b'{"type": "FeatureCollection", "features": []}', formats.GEOJSON),
        ("a.json", b'\xef\xbb\xbf \n{"type":', formats.GEOJSON),
        ("a.geojsonl", b'{"type": "Feature"}\n{"type": "Feature"}\n', formats.GEOJSONSEQ),
        ("a.kml", b'<?xml version="1.0"?><!-- x --><kml xmlns="http://x">', formats.KML),
        ("a.osm", b'<?xml version="1.0"?>\n<osm version="0.6">', formats.OSM_XML),
        ("a.pbf", b"\x00\x00\x00\x0d\x0a\x09OSMHeader\x18", formats.OSM_PBF),
        ("a.csv", b"x,y,name\n1,2,a\n", formats.CSV),
        ("a.dxf", b"  0\r\nSECTION\r\n  2\r\nHEADER\r\n", formats.DXF),
        ("a.dxf", b"999\nmade by hand\n0\nSECTION\n", formats.DXF),
        ("a.dgn", b"\x08\x09\xfe\x02" + bytes(1532), formats.DGN),
        ("a.fgb", b"fgb\x03fgb\x01", formats.FLATGEOBUF),
        ("a.parquet", b"PAR1....PAR1", formats.GEOPARQUET),
        ("a.gpkg", b"SQLite format 3\0" + bytes(52) + b"GPKG", formats.GEOPACKAGE),
        # the content decides, not the name
        ("a.geojson", b"fgb\x03fgb\x01", formats.FLATGEOBUF),
    ],
)  # fmt: skip
def test_told_by_content(tmp_path: Path, name: str, content: bytes, expected: formats.Format) -> None:
    (tmp_path / name).write_bytes(content)
    assert formats.sniff(tmp_path / name).format is expected


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.geojson", b"<OGRVRTDataSource><OGRVRTLayer name='passwd'/></OGRVRTDataSource>", "XML of another"),
        ("a.dwg", b"AC1027\0\0\0", "DWG"),
        ("a.dgn", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "DGN V8"),
        ("a.csv", "x,y\n".encode("utf-16"), "UTF-16"),
        ("a.geojson", b"", "empty"),
        ("a.kml", b'<!DOCTYPE k [<!ENTITY a SYSTEM "file:///etc/passwd">]><kml>', "entities"),
        ("a.tif", b"II*\0", "no format"),
        ("a.sqlite", b"SQLite format 3\0" + bytes(100), "no GeoPackage"),
    ],
)  # fmt: skip
def test_refused_with_a_sentence(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LoadRefused, match=said):
        formats.sniff(tmp_path / name)


def test_parts_of_a_shapefile(tmp_path: Path) -> None:
    for suffix in (".shp", ".SHX", ".prj"):
        (tmp_path / f"pipes{suffix}").write_bytes(b"\x00\x00\x27\x0a" + bytes(96))
    with pytest.raises(LoadRefused, match=r"\.dbf file is missing"):
        formats.sniff(tmp_path / "pipes.shp")
    (tmp_path / "pipes.dbf").write_bytes(bytes(32))
    found = formats.sniff(tmp_path / "pipes.dbf")  # any part names the whole
    assert found.main.name == "pipes.shp"
    assert {p.suffix for p in found.parts} == {".shp", ".SHX", ".dbf", ".prj"}


# --- mapping --------------------------------------------------------------------------------------


def test_names_match_without_case_accents_and_signs() -> None:
    assert fold("Đường kính (mm)") == fold("DUONG_KINH_MM") == fold("duongkinhmm")


def test_matching_by_name_title_alias_and_cut_names(pipes: Target) -> None:
    plan = resolve(Mapping(), pipes, ["MA_TS", "Đường kính danh nghĩa", "vat_lieu", "installed_", "foo"])
    assert {name: rule.column for name, rule in plan.rules.items()} == {
        "asset_id": "MA_TS",
        "diameter_mm": "Đường kính danh nghĩa",
        "material": "vat_lieu",
        "installed_year": "installed_",
    }
    assert plan.unmatched == ("foo",)


def test_two_columns_that_fit_equally_are_not_guessed(pipes: Target) -> None:
    plan = resolve(Mapping(), pipes, ["vat_lieu", "VatLieu"])
    assert "material" not in plan.rules
    assert plan.ambiguous == (("material", ("vat_lieu", "VatLieu")),)


def test_the_better_name_wins(pipes: Target) -> None:
    assert resolve(Mapping(), pipes, ["vat_lieu", "material"]).rules["material"].column == "material"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("fields: {nope: a}", "nope"),
        ("fields: {material: missing_column}", "missing_column"),
        ("fields: {version: a}", "version"),
        ("fields: {material: {column: a, constant: b}}", "exactly one"),
        ("fields: {material: {template: 'a{'}}", "template"),
        ("where: [{column: a, equals: 1, not_null: true}]", "exactly one"),
        ("layer: base_road", "base_road"),
        ("surprise: 1", "surprise"),
        ("- a list", "valid dictionary"),
        ("a: b: c", "YAML"),
    ],
)
def test_a_wrong_mapping_is_told_by_place(tmp_path: Path, pipes: Target, content: str, said: str) -> None:
    path = tmp_path / "m.yml"
    path.write_text(content)
    with pytest.raises(UsageError, match=said):
        resolve(read_mapping(path), pipes, ["a"])


def test_shipped_mappings_fit_their_layers(catalogue: Catalogue, city: City) -> None:
    files = [*(ROOT / "config" / "mappings").glob("*.yml"), *(ROOT / "config/examples/ky4").glob("[!c]*.yml")]
    assert len(files) >= 5
    for path in files:
        mapping = read_mapping(path)
        assert mapping.layer
        layer = catalogue.layers[mapping.layer]
        plan = resolve(mapping, Target.of(layer, city), [], tags=True)
        for name, rule in plan.rules.items():
            field = layer.field(name)
            assert field
            allowed = {v.value for v in layer.domain_of(field)}
            given = {v for v in (rule.values or {}).values() if v is not None}
            assert not field.domain or given <= allowed, (path.name, name, given - allowed)


# --- values ---------------------------------------------------------------------------------------


def converted(
    target: Target, name: str, values: pa.Array, rule: Rule | None = None, encoding: str = "auto"
) -> tuple[list[object], list[str | None]]:
    """(values, reason codes by row) of one field."""
    field = next(f for f in target.fields if f.name == name)
    issues = Issues(len(values))
    batch = pa.RecordBatch.from_arrays([values], ["c"])
    converter = Converter(target, {name: rule or Rule(column="c")}, TextCleaner(encoding))
    column = converter.convert(field, batch, issues)
    reasons = [issues.of(i)[0][0] if issues.rejected[i] else None for i in range(len(values))]
    return column.to_pylist(), reasons


def test_text_is_composed_trimmed_and_checked(parcels: Target) -> None:
    decomposed = unicodedata.normalize("NFD", " 12 đường Nguyễn Huệ ")
    values = pa.array([decomposed, "  ", "a\0b", None, "x" * 501, "dòng\nhai"])
    found, reasons = converted(parcels, "address", values)
    assert found[:2] == ["12 đường Nguyễn Huệ", None]
    assert reasons == [None, None, "control-character", None, "too-long", None]


def test_bytes_that_are_no_utf8_are_rejected_not_replaced(parcels: Target) -> None:
    raw = pa.array([b"\xcf\xfe", "đất".encode()], pa.binary())
    found, reasons = converted(parcels, "address", raw)
    assert (found, reasons) == ([None, "đất"], ["bad-encoding", None])


def test_a_declared_encoding_decodes(parcels: Target) -> None:
    values = pa.array(["QuËn Thñ §øc", "đã là Unicode"])
    assert converted(parcels, "address", values, encoding="tcvn3")[0] == ["Quận Thủ Đức", "đã là Unicode"]


def test_a_domain_takes_values_and_titles_of_both_languages(pipes: Target) -> None:
    values = pa.array(["hdpe", "Gang dẻo", "DUCTILE IRON", "thép", "rubber", None])
    found, reasons = converted(pipes, "material", values)
    assert found == ["hdpe", "ductile_iron", "ductile_iron", "steel", None, None]
    assert reasons == [None, None, None, None, "not-in-domain", None]


@pytest.mark.parametrize(
    ("values", "rule", "expected", "reasons"),
    [
        (pa.array(["150", "1.5e2", " 7 "]), {}, [150.0, 150.0, 7.0], [None, None, None]),
        (pa.array(["12,5", "1_000", "inf", "abc"]), {}, [None] * 4, ["not-a-number"] * 4),
        (pa.array(["1.234,5"]), {"decimal": "comma"}, [1234.5], [None]),
        (pa.array([0.15]), {"scale": 1000}, [150.0], [None]),
        (pa.array([float("nan"), -1.0, 5001.0]), {}, ..., ["not-finite", "out-of-range", "out-of-range"]),
        (pa.array(["26 m", "9"]), {"invalid": "null"}, [None, 9.0], [None, None]),
        (pa.array([True]), {}, [1.0], [None]),
    ],
)
def test_numbers(pipes: Target, values: pa.Array, rule: dict, expected: list, reasons: list) -> None:
    found, said = converted(pipes, "diameter_mm", values, Rule(column="c", **rule))
    assert said == reasons
    assert expected is ... or found == expected


@pytest.mark.parametrize(
    ("values", "expected", "reasons"),
    [
        (
            pa.array(["1998", "1998.0", "36893488147419103232"]),
            [1998, 1998, None],
            [None, None, "not-an-integer"],
        ),
        (pa.array([1998.0, 1998.5]), [1998, None], [None, "not-an-integer"]),
        (pa.array(["9" * 5000]), [None], ["not-an-integer"]),
        (pa.array([1700]), [1700], ["out-of-range"]),
    ],
)  # fmt: skip
def test_integers(pipes: Target, values: pa.Array, expected: list, reasons: list) -> None:
    assert converted(pipes, "installed_year", values) == (expected, reasons)


def test_dates_are_iso_or_declared(pipes: Target) -> None:
    found, reasons = converted(pipes, "survey_date", pa.array(["2025-07-01", "01/07/2025", "2025-13-01"]))
    assert str(found[0]) == "2025-07-01"
    assert reasons == [None, "not-a-date", "not-a-date"]
    declared = Rule(column="c", date_format="%d/%m/%Y")
    assert str(converted(pipes, "survey_date", pa.array(["01/07/2025"]), declared)[0][0]) == "2025-07-01"


def test_defaults_owner_and_required(pipes: Target, catalogue: Catalogue, city: City) -> None:
    assert converted(pipes, "owner", pa.array([None, "vnpt", "me"]))[1] == [None, None, "owner"]
    assert converted(pipes, "status", pa.array([None], pa.string()))[0] == ["in_service"]
    wards = Target.of(catalogue.layers["admin_ward"], city)
    assert converted(wards, "name", pa.array([" ", "A"]))[1] == ["required", None]


# --- geometry -------------------------------------------------------------------------------------


def shaped(target: Target, shapes: list[object], source: int = 9210, **options: object) -> tuple[list, list]:
    """(storage geometries, first reason codes) for shapely geometries or raw WKB."""
    raw = [s if isinstance(s, bytes) or s is None else shapely.to_wkb(s) for s in shapes]
    issues = Issues(len(raw))
    reader = ShapeReader(target, source, **options)  # type: ignore[arg-type]
    _, done = reader.read(pa.array(raw, pa.binary()), issues)
    return list(done), [issues.of(i)[0][0] if issues.rejected[i] else None for i in range(len(raw))]


SQUARE = shapely.box(603000, 1191000, 603010, 1191010)


def test_what_a_polygon_layer_takes(parcels: Target) -> None:
    bow_tie = shapely.Polygon([(603000, 1191000), (603010, 1191010), (603010, 1191000), (603000, 1191010)])
    far = shapely.box(300000, 1191000, 300010, 1191010)
    two = shapely.MultiPolygon([SQUARE, shapely.affinity.translate(SQUARE, 50)])
    nan = shapely.to_wkb(SQUARE)[:29] + struct.pack("<d", float("nan")) + shapely.to_wkb(SQUARE)[37:]
    huge = shapely.box(-1e308, -1e308, 1e308, 1e308)
    open_ring = struct.pack("<BIII", 1, 3, 1, 4) + struct.pack("<8d", 0, 0, 1, 0, 1, 1, 0, 1)
    given = [
        SQUARE, shapely.MultiPolygon([SQUARE]), shapely.GeometryCollection([SQUARE]), two, bow_tie, far, nan,
        huge, shapely.Polygon(), shapely.Point(603000, 1191000), None, b"", b"\x01\x03", open_ring,
    ]  # fmt: skip
    done, reasons = shaped(parcels, given)
    assert reasons == [
        None, None, None, "geometry-type", "invalid-geometry", "outside-city", "not-finite",
        "outside-crs", "geometry-empty", "geometry-type", "no-geometry", "geometry-unreadable",
        "geometry-unreadable", "geometry-unreadable",
    ]  # fmt: skip
    assert [shapely.equals_exact(g, SQUARE) for g in done[:3]] == [True] * 3
    assert shaped(parcels, [bow_tie], accept_invalid=True)[1] == [None]
    assert shaped(parcels, [far], allow_outside=True)[1] == [None]


def test_heights_as_the_layer_has_them(parcels: Target, pipes: Target) -> None:
    deep = shapely.LineString([(603000, 1191000, 1.5), (603010, 1191000, 1.2)])
    flat = shapely.force_2d(deep)
    broken = shapely.LineString([(603000, 1191000, 1.5), (603010, 1191000, float("inf"))])
    done, reasons = shaped(pipes, [deep, flat, broken])
    assert reasons == [None, None, "not-finite"]
    assert [shapely.has_z(g) for g in done[:2]] == [True, False]
    assert not shapely.has_z(shaped(parcels, [shapely.force_3d(SQUARE, 3.0)])[0][0])


def test_vertex_limit(pipes: Target) -> None:
    many = shapely.LineString(
        np.column_stack([np.linspace(603000, 604000, 200_001), np.full(200_001, 1191000)])
    )
    assert shaped(pipes, [many])[1] == ["too-many-vertices"]


def test_transformed_by_the_pinned_path(parcels: Target) -> None:
    lonlat = shapely.Polygon([(106.698, 10.7725), (106.699, 10.7725), (106.699, 10.7735)])
    done, _ = shaped(parcels, [lonlat], source=4326)
    x, y = shapely.get_coordinates(done[0])[0]
    assert (x, y) == pytest.approx((603481.588, 1191454.611), abs=0.002)


def nested(depth: int) -> bytes:
    return (struct.pack("<BII", 1, 7, 1) * depth) + shapely.to_wkb(shapely.Point(603000, 1191000))


def test_nesting_is_bounded_before_geos_sees_it(catalogue: Catalogue, city: City) -> None:
    points = Target.of(catalogue.layers["power_support"], city)
    _, reasons = shaped(points, [nested(1), nested(4), nested(6), nested(999), nested(100_000)])
    assert reasons == [None, None, "geometry-depth", "geometry-depth", "geometry-depth"]


def test_a_count_that_the_bytes_cannot_hold_costs_nothing() -> None:
    for code in (3, 5, 6, 7, 10, 12):
        with pytest.raises(wkb.WkbError):
            wkb.straightened(struct.pack("<BII", 1, code, 0xFFFFFFFF), 1e-3)


def arc(*points: tuple[float, float]) -> bytes:
    return struct.pack("<BII", 1, 8, len(points)) + struct.pack(f"<{2 * len(points)}d", *sum(points, ()))


def test_arcs_become_lines_within_a_millimetre(pipes: Target) -> None:
    x, y = 603000.0, 1191000.0
    done, reasons = shaped(pipes, [arc((x - 50, y), (x, y + 50), (x + 50, y))])
    assert reasons == [None]
    points = shapely.get_coordinates(done[0])
    assert tuple(points[0]) == (x - 50, y)
    assert tuple(points[-1]) == (x + 50, y)
    middles = (points[1:] + points[:-1]) / 2
    sag = 50 - np.hypot(middles[:, 0] - x, middles[:, 1] - y)
    assert 0 <= sag.max() <= 1e-3
    assert (points[:, 1] >= y).all()  # the upper half, as the middle point says


def test_arc_of_a_whole_circle_and_a_straight_one() -> None:
    line, curved = wkb.straightened(arc((0, 0), (2, 0), (0, 0)), 1e-4)
    circle = shapely.from_wkb(line)
    assert curved
    assert circle.length == pytest.approx(2 * np.pi, abs=1e-3)
    straight, _ = wkb.straightened(arc((0, 0), (1, 1), (2, 2)), 1e-4)
    assert shapely.from_wkb(straight).length == pytest.approx(8**0.5)


def test_ewkb_carries_the_srid(parcels: Target) -> None:
    reader = ShapeReader(parcels, 9210)
    shapes = np.array([SQUARE, shapely.box(0, 0, 1, 1)], dtype=object)
    raw = pa.array(shapely.to_wkb(shapes), pa.binary())
    for touched in (False, True):
        reader._touched = touched
        encoded = reader.encode(shapes, raw)
        assert encoded[0].as_py()[:9] == struct.pack("<BII", 1, 0x20000003, 9210)
        back = shapely.from_wkb(encoded.to_pylist())
        assert shapely.equals_exact(back, shapes).all()
        assert shapely.get_srid(back).tolist() == [9210, 9210]


def test_ewkb_of_mixed_types_and_big_endian(pipes: Target) -> None:
    reader = ShapeReader(pipes, 9210)
    flat = shapely.LineString([(603000, 1191000), (603010, 1191000)])
    shapes = np.array([flat, shapely.force_3d(flat, 2.0)], dtype=object)
    for order in (0, 1):
        raw = pa.array(shapely.to_wkb(shapes, byte_order=order, flavor="iso"), pa.binary())
        for some in (slice(0, 1), slice(1, 2), slice(0, 2)):
            back = shapely.from_wkb(reader.encode(shapes[some], raw[some]).to_pylist())
            assert shapely.equals_exact(back, shapes[some]).all()
            assert shapely.has_z(back).tolist() == shapely.has_z(shapes[some]).tolist()
            assert (shapely.get_srid(back) == 9210).all()


def flawless(target: Target, shapes: list[object], source: int = 9210, **options: object) -> bool:
    raw = [s if isinstance(s, bytes) or s is None else shapely.to_wkb(s) for s in shapes]
    return ShapeReader(target, source, **options).flawless(pa.array(raw, pa.binary()))  # type: ignore[arg-type]


def test_one_odd_polygon_is_seen_by_its_bytes(parcels: Target, pipes: Target) -> None:
    bow_tie = shapely.Polygon([(603000, 1191000), (603010, 1191010), (603010, 1191000), (603000, 1191010)])
    corner = shapely.Polygon([(603000 + x, 1191000 + y) for x, y in [(0, 0), (9, 0), (9, 9), (5, 2)]])
    holed = shapely.Polygon(
        SQUARE.exterior.coords, [[(603002, 1191002), (603004, 1191002), (603003, 1191004)]]
    )
    far = shapely.box(300000, 1191000, 300010, 1191010)
    whole = shapely.to_wkb(SQUARE)
    nan = whole[:29] + struct.pack("<d", float("nan")) + whole[37:]
    open_ring = whole[:-8] + struct.pack("<d", 1191001.0)
    assert flawless(parcels, [SQUARE, corner, SQUARE])
    odd: list[object] = [
        bow_tie, far, nan, open_ring, holed, None, b"", whole[:20], whole + b"\0", shapely.Polygon(),
        shapely.to_wkb(SQUARE, byte_order=0), shapely.force_3d(SQUARE, 1.0), shapely.MultiPolygon([SQUARE]),
        shapely.Point(603000, 1191000), shapely.box(-1e308, -1e308, 1e308, 1e308),
    ]  # fmt: skip
    assert [flawless(parcels, [SQUARE, shape, SQUARE]) for shape in odd] == [False] * len(odd)
    assert flawless(parcels, [bow_tie], accept_invalid=True)
    assert flawless(parcels, [far], allow_outside=True)
    assert not flawless(parcels, [SQUARE], 3405)
    assert not flawless(pipes, [SQUARE])
    assert not flawless(parcels, [])


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=7), min_size=1)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_flawless_is_stored_as_the_long_way_stores_it(
    parcels: Target, given_rings: list[list[tuple[int, int]]]
) -> None:
    rings = [shapely.Polygon([(603000 + x, 1191000 + y) for x, y in ring]) for ring in given_rings]
    raw = pa.array([shapely.to_wkb(ring) for ring in rings], pa.binary())
    reader, issues = ShapeReader(parcels, 9210), Issues(len(raw))
    _, done = reader.read(raw, issues)
    assert reader.flawless(raw) == (not issues.rejected.any())
    if not issues.rejected.any():
        assert reader.stamped(raw).equals(reader.encode(done, raw))


# --- others ---------------------------------------------------------------------------------------


def test_columns_of_one_value_are_copied_as_others_are() -> None:
    columns = [
        pa.array(["ab", "ab", "ab"]),
        pa.array(["", "", ""]),
        pa.array(["ab", "ba", "ab"]),
        pa.array(["ab", None, "ab"]),
        pa.array(["aa", "a", "aaa"]),
        pa.array([7, 7, 7]),
        pa.array([1.5, 1.5, float("nan")]),
        pa.array([True, True, True]),
        pa.array([dt.date(2025, 7, 1)] * 3),
    ]
    single = [bytes(copybin.rows([column[i : i + 1] for column in columns])) for i in range(3)]
    assert bytes(copybin.rows(columns)) == b"".join(single)
    assert bytes(copybin.rows([c[1:] for c in columns])) == b"".join(single[1:])


def test_copy_of_nothing_but_nulls() -> None:
    body = bytes(copybin.rows([pa.nulls(2, pa.string()), pa.nulls(2, pa.int64())]))
    assert body == (b"\x00\x02" + b"\xff" * 8) * 2


def element(kind: int, size: int = 40, level: int = 1, deleted: bool = False) -> bytes:
    return (
        bytes([level, kind | (0x80 if deleted else 0)]) + struct.pack("<H", (size - 4) // 2) + bytes(size - 4)
    )


def test_dgn_elements_are_counted_without_gdal(tmp_path: Path) -> None:
    path = tmp_path / "a.dgn"
    path.write_bytes(
        element(9, 1536) + element(3) * 10 + element(17) + element(3, deleted=True) + b"\xff\xff\0\0"
    )
    found = dgn.scan(path)
    assert (found.elements, found.deleted, len(found.drawn), found.complete) == (13, 1, 11, True)
    assert dgn.compare(found, set(range(1, 12))) == (None, {})
    with pytest.raises(LoadRefused, match="only 3 of the 11"):
        dgn.compare(found, {1, 2, 3})
    warning, missing = dgn.compare(found, set(range(1, 12)) - {4})
    assert warning
    assert missing == {"line": 1}


def test_a_dgn_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.dgn"
    path.write_bytes(element(9, 1536) + element(3) * 10 + element(3)[:20])
    with pytest.raises(LoadRefused, match="cut off"):
        dgn.compare(dgn.scan(path), set(range(1, 11)))


def test_every_reason_is_documented() -> None:
    text = (ROOT / "docs" / "loading.md").read_text(encoding="utf-8")
    assert [code for code in REASONS if f"`{code}`" not in text] == []


# --- the glance at convex rings -------------------------------------------------------------------

corner = st.tuples(st.integers(0, 8), st.integers(0, 8))


@given(st.lists(st.lists(corner, min_size=3, max_size=9), min_size=1, max_size=6))
def test_what_is_surely_valid_is_valid(rings: list[list[tuple[int, int]]]) -> None:
    shapes = np.array([shapely.Polygon([(603000 + x, 1191000 + y / 3) for x, y in ring]) for ring in rings])
    assert not (surely_valid(shapes) & ~shapely.is_valid(shapes)).any()


@given(st.lists(corner, min_size=3, max_size=12))
def test_convex_hulls_are_seen_at_once(points: list[tuple[int, int]]) -> None:
    hull = shapely.MultiPoint(points).convex_hull
    if hull.geom_type == "Polygon":
        turned = shapely.Polygon(shapely.get_coordinates(hull)[::-1])
        assert surely_valid(np.array([hull, turned])).all()


def test_stars_holes_and_others_go_to_geos() -> None:
    angle = np.arange(6) * 4 * np.pi / 5
    star = shapely.Polygon(np.column_stack([np.cos(angle), np.sin(angle)]))
    holed = shapely.Polygon(
        SQUARE.exterior.coords, [[(603002, 1191002), (603004, 1191002), (603003, 1191004)]]
    )
    shapes = np.array(
        [star, holed, shapely.MultiPolygon([SQUARE]), shapely.Point(1, 1), None, shapely.Polygon()]
    )
    assert not surely_valid(shapes).any()
    assert surely_valid(np.array([SQUARE])).all()
