"""/identify, /statistics and /export over a few rows of every layer, as anyone asks them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psycopg
import pyogrio
import pytest

from gis import crs
from gis.checks.law import law_of
from gis.city import City
from layers.registry import Catalogue
from tests.api.problem import assert_problem
from tests.api.process import Server
from tests.api.sample import VECTORS

SHARED = True

(_, (LON, LAT)), *_ = VECTORS
BOX = [LON - 0.01, LAT - 0.01, LON + 0.01, LAT + 0.01]
RING = [[BOX[0], BOX[1]], [BOX[2], BOX[1]], [BOX[2], BOX[3]], [BOX[0], BOX[3]], [BOX[0], BOX[1]]]


def test_everything_under_a_point(server: str, catalogue: Catalogue) -> None:
    found = httpx.get(f"{server}/identify", params={"point": f"{LON},{LAT}", "tolerance": "5"}).json()
    features = [f for sector in found["sectors"] for f in sector["features"]]
    points = {
        one.id for one in catalogue.public() if one.definition.geometry == "Point" and one.definition.loadable
    }
    assert points <= {f["layer"] for f in features}
    assert {s["id"] for s in found["sectors"]} == {catalogue.layers[f["layer"]].sector.id for f in features}
    for f in features:
        assert 0 <= f["distance_m"] <= 5
        assert f["versions"] >= 1
        assert f["findings"] == 0
        assert f["title"]
    only = httpx.get(f"{server}/identify", params={"point": f"{LON},{LAT}", "layers": "water_valve"}).json()
    assert [s["id"] for s in only["sectors"]] == ["water"]
    nothing = httpx.get(f"{server}/identify", params={"point": "107.0,11.5"}).json()
    assert [s["id"] for s in nothing["sectors"] if s["id"] not in ("base", "cadastre", "admin")] == []


@pytest.mark.parametrize(
    "query",
    [
        "point=1",
        "point=nan,1",
        "point=106.7,10.7&tolerance=-1",
        "point=106.7,10.7&tolerance=1e9",
        "point=200,95",
        "point=106.7,10.7&x=1",
        "point=106.7,10.7,3",
        "",
    ],
)
def test_wrong_points_are_refused(server: str, query: str) -> None:
    assert_problem(httpx.get(f"{server}/identify?{query}"), 400)


def test_an_unknown_layer_is_not_found(server: str) -> None:
    params = {"point": f"{LON},{LAT}", "layers": "water_pipe,nothing"}
    assert_problem(httpx.get(f"{server}/identify", params=params), 404)
    body = {"bbox": BOX, "layers": ["nothing"]}
    assert_problem(httpx.post(f"{server}/statistics", json=body), 404)
    assert_problem(httpx.post(f"{server}/export", json=body), 404)


def test_figures_add_up(server: str) -> None:
    found = httpx.post(f"{server}/statistics", json={"bbox": BOX}).json()
    assert found["exact"] is True
    by_id = {one["layer"]: one for one in found["layers"]}
    pipes = by_id["water_pipe"]
    assert ["material", "diameter_mm"] in [g["by"] for g in pipes["groups"]]
    assert pipes["length_m"] > 0
    assert pipes["area_m2"] is None
    assert by_id["cadastre_parcel"]["area_m2"] > 0
    assert ["land_use"] in [g["by"] for g in by_id["cadastre_parcel"]["groups"]]
    for one in found["layers"]:
        for group in one["groups"]:
            assert sum(row["count"] for row in group["rows"]) == one["count"]
            for name in ("length_m", "area_m2"):
                if one[name] is not None:
                    assert sum(row[name] for row in group["rows"]) == pytest.approx(one[name], abs=0.1)


def test_only_what_lies_within_is_measured(server: str) -> None:
    whole = httpx.post(f"{server}/statistics", json={"bbox": BOX, "layers": ["water_pipe"]}).json()
    near = [LON - 2e-5, LAT - 2e-5, LON + 2e-5, LAT + 2e-5]
    part = httpx.post(f"{server}/statistics", json={"bbox": near, "layers": ["water_pipe"]}).json()
    (one,) = part["layers"]
    assert 0 < one["length_m"] / one["count"] < 10  # a box of 4 m
    assert one["length_m"] < whole["layers"][0]["length_m"]


BAD: list[Any] = [
    {},
    {"bbox": BOX, "geometry": {"type": "Polygon", "coordinates": [RING]}},
    {"bbox": [1, 2, 3]},
    {"bbox": ["a", 1, 2, 3]},
    {"bbox": [106.7, 10.7, 106.6, 10.8]},
    {"geometry": {"type": "Point", "coordinates": [1, 2]}},
    {"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}},
    {"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}},
    {"geometry": {"type": "Polygon", "coordinates": [RING * 1000]}},
    {"bbox": [106.0, 8.5, 107.6, 11.5]},
    {"bbox": BOX, "layers": []},
    {"bbox": BOX, "layers": "water_pipe"},
    {"bbox": BOX, "surprise": 1},
    [],
]


@pytest.mark.parametrize("body", BAD, ids=lambda b: json.dumps(b)[:40])
@pytest.mark.parametrize("path", ["/statistics", "/export"])
def test_wrong_areas_are_refused(server: str, path: str, body: Any) -> None:
    assert_problem(httpx.post(f"{server}{path}", json=body), 400)


def test_broken_bodies_are_refused(server: str) -> None:
    for text in (b"", b"{", b"[" * 100_000, b'{"bbox":[1e999,0,1,1]}', b'{"bbox":[NaN,0,1,1]}'):
        assert_problem(httpx.post(f"{server}/statistics", content=text), 400)


def export(server: str, **body: Any) -> httpx.Response:
    answer = httpx.post(f"{server}/export", json={"bbox": BOX, **body}, timeout=60)
    assert answer.status_code == 200, answer.text
    assert "attachment" in answer.headers["content-disposition"]
    return answer


LAYERS = ["water_pipe", "drainage_manhole", "cadastre_parcel"]


def counts(server: str) -> dict[str, int]:
    found = httpx.post(f"{server}/statistics", json={"bbox": BOX, "layers": LAYERS}).json()
    return {one["layer"]: one["count"] for one in found["layers"]}


def test_a_geopackage_of_several_layers(server: str, tmp_path: Path) -> None:
    path = tmp_path / "x.gpkg"
    path.write_bytes(export(server, layers=LAYERS, format="gpkg", crs=5899).content)
    assert {name for name, _ in pyogrio.list_layers(path)} == set(LAYERS)
    for layer, count in counts(server).items():
        info = pyogrio.read_info(path, layer=layer)
        assert info["features"] == count
        assert info["crs"] == "EPSG:5899"
        assert "holder_ref" not in info["fields"]


def test_geojson_says_the_layer(server: str) -> None:
    found = export(server, layers=LAYERS, format="geojson").json()
    by_layer = [f["layer"] for f in found["features"]]
    assert {i: by_layer.count(i) for i in set(by_layer)} == counts(server)


def test_csv_of_one_layer_and_of_several(server: str) -> None:
    one = export(server, layers=["water_pipe"], format="csv")
    assert one.headers["content-type"].startswith("text/csv")
    many = export(server, layers=LAYERS, format="csv")
    with zipfile.ZipFile(io.BytesIO(many.content)) as archive:
        assert set(archive.namelist()) == {f"{i}.csv" for i in LAYERS}
        assert archive.read("water_pipe.csv") == one.content
        assert archive.testzip() is None


def test_a_drawing_has_layers_and_heights(server: str, tmp_path: Path) -> None:
    ezdxf = pytest.importorskip("ezdxf")
    path = tmp_path / "x.dxf"
    path.write_bytes(export(server, layers=LAYERS, format="dxf", crs=9210).content)
    drawing = ezdxf.readfile(path)
    entities = list(drawing.modelspace())
    assert {e.dxf.layer for e in entities} == set(LAYERS)
    points = [e.dxf.location for e in entities if e.dxftype() == "POINT"]
    assert any(abs(p.x - 600000) < 0.001 and abs(p.y - 1190000) < 0.001 for p in points)
    pipes = [e for e in entities if e.dxf.layer == "water_pipe"]
    heights = {round(v.dxf.location.z, 3) for e in pipes for v in e.vertices}
    assert heights - {0.0}


@pytest.mark.parametrize(
    "body", [{"format": "shp"}, {"crs": 1}, {"crs": "9210"}, {"format": "geojson", "crs": 9210}]
)
def test_wrong_wishes_are_refused(server: str, body: dict[str, Any]) -> None:
    wrong = httpx.post(f"{server}/export", json={"bbox": BOX, "layers": LAYERS, **body})
    assert_problem(wrong, 400)


# -- sections and profiles

#: A street that no other test knows: EPSG:9210.
X, Y = 598000.0, 1197000.0


def degrees(*places: tuple[float, float]) -> str:
    xy = np.array(places)
    lon, lat = crs.transform_xy(xy[:, 0], xy[:, 1], 9210, 4326)
    return ",".join(f"{a:.10f},{b:.10f}" for a, b in zip(lon, lat, strict=True))


@pytest.fixture(scope="module")
def street(running: Server) -> Iterator[dict[str, int]]:
    """A water pipe, a sewer 1.5 m beside it and a cable in a duct across both, along y; fid by asset id."""
    line = "SRID=9210;LINESTRING Z ({} {} {},{} {} {})"
    fids: dict[str, int] = {}
    with psycopg.connect(running.db.owner_dsn, autocommit=True) as connection:

        def add(layer: str, asset_id: str, wkt: str, **values: Any) -> None:
            names = ["asset_id", "geom", *values]
            row = connection.execute(
                f"INSERT INTO layer.{layer} ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})"
                " RETURNING fid".encode(),
                [asset_id, wkt, *values.values()],
            ).fetchone()
            assert row
            fids[asset_id] = row[0]

        pipe = line.format(X, Y, 1.0, X, Y + 100, 1.0)
        add("water_pipe", "s-water", pipe, diameter_mm=200, depth_m=1.2, quality_level="A")
        for n, (up, down) in enumerate(((0.9, 0.8), (0.8, 0.7), (0.7, 0.5))):
            wkt = line.format(X + 1.5, Y + 100 - 40 * n, up, X + 1.5, Y + 60 - 40 * n, down)
            add("drainage_conduit", f"s-pipe{n}", wkt, system="foul", diameter_mm=400, shape="circular",
                invert_up_m=up, invert_down_m=down, depth_m=1.5)  # fmt: skip
        for n in range(4):
            wkt = f"SRID=9210;POINT Z ({X + 1.5} {Y + 100 - 40 * n} 2)"
            add("drainage_manhole", f"s-hole{n}", wkt, ground_level_m=2.5, invert_m=0.9 - 0.1 * n)
        add("telecom_duct", "s-duct", line.format(X - 5, Y + 50, 0.9, X + 5, Y + 50, 0.9),
            duct_diameter_mm=110)  # fmt: skip
        yield fids
        for layer in ("water_pipe", "drainage_conduit", "drainage_manhole", "telecom_duct"):
            connection.execute(f"DELETE FROM layer.{layer} WHERE asset_id LIKE 's-%'".encode())


def test_a_section_with_the_clearances_of_law(server: str, street: dict[str, int], city: City) -> None:
    line = degrees((X - 4, Y + 70), (X + 6, Y + 70))
    found = httpx.get(f"{server}/section", params={"line": line, "width": "0"}, timeout=60).json()
    assert found["length_m"] == pytest.approx(10, abs=0.001)
    cuts = {one["asset_id"]: one for one in found["cuts"]}
    water, sewer = cuts["s-water"], cuts["s-pipe0"]
    assert "s-duct" not in cuts
    assert (water["station_m"], sewer["station_m"]) == (
        pytest.approx(4, abs=0.001),
        pytest.approx(5.5, abs=0.001),
    )
    assert (water["elevation_m"], water["depth_m"], water["width_m"]) == (1.0, 1.2, 0.2)
    assert water["quality"] == "A"
    # its Z and levels are those of the invert
    assert sewer["elevation_m"] == pytest.approx(0.8 + 0.1 * 10 / 40 + 0.2, abs=0.001)
    (verdict,) = [
        v
        for v in found["verdicts"]
        if {found["cuts"][v[k]]["asset_id"] for k in "ab"} == {"s-water", "s-pipe0"}
    ]
    law = law_of(city, city.today())
    wanted = max(
        law.clearance_m("water", "sewage", "horizontal") or 0,
        float(law.parallel_water_m(np.array([200.0]))[0]),
    )
    assert (verdict["rule"], verdict["kind"], verdict["ok"]) == ("XLY-03", "horizontal", False)
    assert verdict["required_m"] == wanted
    assert verdict["measured_m"] == pytest.approx(1.5 - 0.1 - 0.2, abs=0.001)


@pytest.mark.parametrize(
    "query",
    ["", "line=1,2,3", "line=106.7,10.7,106.7,10.7", "line=106.7,10.7,106.9,10.9", "line=106.7,10.7,x,1",
     "line=106.7,10.7,106.701,10.7&width=-1", "line=nan,nan,1,1", "line=" + "106.7,10.7," * 50 + "1,1"],
)  # fmt: skip
def test_wrong_sections_are_refused(server: str, query: str) -> None:
    assert_problem(httpx.get(f"{server}/section?{query}"), 400)


def test_a_run_downstream(server: str, street: dict[str, int]) -> None:
    params = {"layer": "drainage_manhole", "fid": str(street["s-hole0"])}
    found = httpx.get(f"{server}/profile", params=params, timeout=60).json()
    assert [p["asset_id"] for p in found["pipes"]] == ["s-pipe0", "s-pipe1", "s-pipe2"]
    assert [n["asset_id"] for n in found["nodes"]] == ["s-hole0", "s-hole1", "s-hole2", "s-hole3"]
    assert [n["station_m"] for n in found["nodes"]] == [0, 40, 80, 120]
    assert found["length_m"] == 120
    first = found["pipes"][0]
    assert (first["invert_from_m"], first["invert_to_m"], first["diameter_mm"]) == (0.9, 0.8, 400)
    assert first["slope"] == 0.0025
    assert found["nodes"][0]["ground_m"] == 2.5
    # from the middle; and to another
    params = {"layer": "drainage_conduit", "fid": str(street["s-pipe1"])}
    assert len(httpx.get(f"{server}/profile", params=params, timeout=60).json()["pipes"]) == 2
    params = {**params, "fid": str(street["s-pipe0"]), "to": str(street["s-pipe1"])}
    part = httpx.get(f"{server}/profile", params=params, timeout=60).json()
    assert [p["asset_id"] for p in part["pipes"]] == ["s-pipe0", "s-pipe1"]
    back = {**params, "fid": params["to"], "to": params["fid"]}
    assert_problem(httpx.get(f"{server}/profile", params=back, timeout=60), 400)


def test_no_run_where_there_is_none(server: str) -> None:
    for query, status in (
        ("layer=water_pipe&fid=1", 400),
        ("layer=drainage_conduit&fid=99999999", 404),
        ("layer=drainage_conduit&fid=-1", 404),
        ("layer=drainage_conduit&fid=x", 400),
        ("layer=nothing&fid=1", 404),
        ("layer=drainage_conduit", 400),
    ):
        assert_problem(httpx.get(f"{server}/profile?{query}"), status)
