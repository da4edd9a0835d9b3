"""Raster layers over HTTP: tiles, maps, values, heights; restricted ones; a load while it serves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psycopg
import pypdfium2
import pytest
import rasterio
from rasterio.transform import from_origin

from gis import crs
from gis.city import City
from gis.crs.raster import labelled
from gis.ingest.raster.load import RasterLoad, load_rasters
from layers.registry import Catalogue, load_catalogue
from tests.api.editors import Editors
from tests.api.problem import assert_problem
from tests.api.process import Server
from tiles.grid import tile_at

SHARED = True  # (tests/api/conftest.py)
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

CORNER = (603000, 1192000)
LON, LAT = (float(v) for v in crs.transform_xy(603100, 1191900, 9210, 4326))
TILE = tile_at(LON, LAT, 17)
PLACE = f"map/tiles/WebMercatorQuad/{TILE.z}/{TILE.y}/{TILE.x}"
SECRET = "base_secret_photo"
SECRETS = f"""
sector: {{id: photos, title: {{vi: Ảnh, en: Photos}}, order: 95}}
rasters:
  {SECRET}: {{title: {{vi: Ảnh mật, en: Secret photo}}, kind: imagery, owner: stnmt, access: restricted}}
"""

Load = Callable[..., None]


def write(path: Path, values: Any, step: float = 1.0, **options: Any) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", count=len(values), height=values.shape[1], width=values.shape[2],
        dtype=values.dtype.name, crs=labelled(9210), transform=from_origin(*CORNER, step, step), **options,
    ) as target:  # fmt: skip
        target.write(values)
    return path


def until[T](found: Callable[[], T], wanted: Callable[[T], bool]) -> T:
    """What ``found`` gives once it is as wanted; every process looks by itself."""
    deadline = time.monotonic() + 120
    while True:
        some = [found() for _ in range(6)]
        if all(wanted(one) for one in some):
            return some[0]
        assert time.monotonic() < deadline, some[0]
        time.sleep(0.5)


@pytest.fixture(scope="module")
def load(running: Server, city: City, catalogue: Catalogue) -> Iterator[Load]:
    """``load(file, layer, mode)`` into the running server; all is taken away at the end."""
    secrets = running.folder / "layers" / "secret_photo.yml"
    secrets.write_text(SECRETS)
    known = load_catalogue([secrets.parent], city.agency_ids)
    with psycopg.connect(running.db.owner_dsn, autocommit=True) as owner:

        def run(path: Path, layer: str, mode: str = "append") -> None:
            wanted = RasterLoad((path,), layer, mode=mode)
            report = load_rasters(running.settings, owner, city, known, wanted, lambda _d, _t: None)
            assert report.count("loaded") == 1, report.as_text()

        until(
            lambda: owner.execute("SELECT id FROM bandoso.raster_layer WHERE id = %s", (SECRET,)).fetchall(),
            lambda rows: bool(rows),
        )
        yield run
        owner.execute("DELETE FROM bandoso.raster_file")
        owner.execute("UPDATE bandoso.raster_layer SET generation = generation + 1")
        secrets.unlink()
        owner.execute("DELETE FROM bandoso.raster_layer WHERE id = %s", (SECRET,))
    until(lambda: ids(running), lambda found: not found & {"base_elevation", "base_orthophoto"})


@pytest.fixture(scope="module")
def loaded(load: Load, running: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An elevation model that rises by 1 m in 100 m to the east, with a hole; a restricted red photograph."""
    folder = tmp_path_factory.mktemp("rasters")
    heights = np.fromfunction(lambda _b, _r, c: c * 0.01 + 0.005, (1, 200, 300)).astype(np.float32)
    heights[:, :50, :50] = -9999
    load(write(folder / "dem.tif", heights, nodata=-9999), "base_elevation")
    red = np.zeros((3, 200, 200), np.uint8)
    red[0] = 250
    load(write(folder / "photo.tif", red), SECRET)
    until(lambda: ids(running), lambda found: "base_elevation" in found)
    return folder


def ids(running: Server) -> set[str]:
    return {one["id"] for one in running.get("/collections").json()["collections"]}


def picture(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    with rasterio.MemoryFile(answer.content) as memory, memory.open() as source:
        return source.read()


def test_a_layer_is_nowhere_until_it_has_files(running: Server, loaded: Path) -> None:
    assert "base_scan" not in ids(running)
    assert "base_scan" not in running.get("/catalogue").text + running.get("/styles/city").text
    for path in ("", "/map", "/coverage", f"/{PLACE}", "/map/tiles"):
        assert_problem(running.get(f"/collections/base_scan{path}"), 404)


def test_tiles_are_pictures_with_holes(running: Server, loaded: Path) -> None:
    address = f"/collections/base_elevation/{PLACE}"
    answer = running.get(address, headers={"Accept": "image/png"})
    assert answer.headers["content-type"] == "image/png"
    pixels = picture(answer)
    assert pixels.shape == (4, 256, 256) and {0, 255} == set(np.unique(pixels[3]))
    assert running.get(address, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    shaded = running.get(f"{address}?style=hillshade", headers={"Accept": "image/webp,*/*"})
    assert shaded.headers["content-type"] == "image/webp" and shaded.headers["etag"] != answer.headers["etag"]
    # Heights out of terrain-RGB, in the middle of the tile: exact to 0.1 m at the right place.
    near = tile_at(LON, LAT, 19)
    address = f"/collections/base_elevation/map/tiles/WebMercatorQuad/19/{near.y}/{near.x}"
    r, g, b = picture(running.get(f"{address}?style=terrain&f=png")).astype(np.int64)[:, 128, 128]
    west, south, east, north = near.box()
    x, _ = crs.transform_xy((west + east) / 2, (south + north) / 2, 3857, 9210)
    assert -10_000 + 0.1 * (r * 65536 + g * 256 + b) == pytest.approx((float(x) - 603000) / 100, abs=0.07)


def test_impossible_tiles_are_told(running: Server, loaded: Path) -> None:
    base = "/collections/base_elevation/map/tiles"
    assert running.get(f"{base}/WebMercatorQuad/17/0/0").status_code == 204
    assert running.get(f"{base}/WebMercatorQuad/0/0/0").status_code == 204
    for path, status in (
        ("WebMercatorQuad/23/0/0", 404), ("WebMercatorQuad/3/8/0", 404), ("Other/3/0/0", 404),
        ("WebMercatorQuad/-1/0/0", 400), ("WebMercatorQuad/1.5/0/0", 400),
        ("WebMercatorQuad/3/0/0?style=x", 400), ("WebMercatorQuad/3/0/0?f=gif", 400),
        ("WebMercatorQuad/3/0/0?size=9", 400),
    ):  # fmt: skip
        assert_problem(running.get(f"{base}/{path}"), status)


def test_documents_lead_to_the_tiles(running: Server, loaded: Path) -> None:
    layers = [one for s in running.get("/catalogue").json()["sectors"] for one in s["layers"]]
    (entry,) = [one for one in layers if one.get("kind") == "raster"]
    assert entry["id"] == "base_elevation" and entry["heights"] == pytest.approx([0, 3], abs=0.02)
    style = running.get("/styles/city").json()
    assert [one["id"] for one in style["layers"][:2]] == ["background", *entry["style_layers"]]
    assert style["layers"][1]["layout"] == {"visibility": "none"}
    (template,) = style["sources"]["base_elevation"]["tiles"]
    for text in (template, entry["styles"][0]["tiles"]):
        url = text.format(z=TILE.z, y=TILE.y, x=TILE.x)
        assert httpx.get(url, timeout=60).headers["content-type"] == "image/png"
    collection = running.get("/collections/base_elevation").json()
    for link in collection["links"]:
        if link["rel"].endswith(("/map", "/coverage", "/tilesets-map")):
            found = httpx.get(link["href"], timeout=60)
            assert found.headers["content-type"] == link["type"], link
    tileset = running.get("/collections/base_elevation/map/tiles/WebMercatorQuad?f=tilejson").json()
    assert tileset["minzoom"] <= 17 <= tileset["maxzoom"] and tileset["tiles"]
    assert running.get("/collections/base_elevation?f=html").status_code == 200
    assert "base_elevation" in running.get("/collections?f=html").text


def test_values_and_maps_of_a_box(running: Server, loaded: Path) -> None:
    box = "bbox=603100,1191850,603200,1191900&bbox-crs=http://www.opengis.net/def/crs/EPSG/0/9210"
    answer = running.get(f"/collections/base_elevation/coverage?{box}")
    with rasterio.MemoryFile(answer.content) as memory, memory.open() as source:
        assert (source.crs.to_epsg(), source.shape, source.nodata) == (9210, (50, 100), -9999)
        assert source.read(1)[0, :3] == pytest.approx([1.005, 1.015, 1.025], abs=1e-4)
    drawn = running.get(f"/collections/base_elevation/map?{box}&width=40&f=png")
    assert picture(drawn).shape[1:] == (20, 40) and "9210" in drawn.headers["content-crs"]
    for query in ("width=5000", "width=0", "height=x", "bbox=1,2,3", "crs=EPSG:1", "width=1500&height=1500"):
        assert_problem(running.get(f"/collections/base_elevation/map?{query}"), 400)
    far = "bbox=106.1,9.0,106.2,9.1"
    assert_problem(running.get(f"/collections/base_elevation/coverage?{far}"), 404)


def test_the_height_of_a_point(running: Server, loaded: Path) -> None:
    found = running.get(f"/elevation?point={LON},{LAT}").json()
    assert found["elevation_m"] == pytest.approx(1.0, abs=0.002)
    assert (found["layer"], found["source"], found["resolution_m"]) == ("base_elevation", "dem.tif", 1.0)
    assert found["vertical_datum"]
    hole = crs.transform_xy(603010, 1191990, 9210, 4326)
    for point in (f"{hole[0]},{hole[1]}", "106.1,9.0"):
        assert assert_problem(running.get(f"/elevation?point={point}"), 404)["code"] == "no-elevation"
    for query in ("", "?point=1", "?point=a,b", "?point=nan,1", "?point=200,10", "?point=1,2,3", "?lon=1"):
        assert_problem(running.get(f"/elevation{query}"), 400)


def test_a_restricted_layer_is_there_for_whom_it_is_for(
    running: Server, loaded: Path, editors: Editors
) -> None:
    address = f"/collections/{SECRET}/{PLACE}"

    def statuses(name: str | None) -> tuple[int, bool, bool]:
        client = editors.as_(name)
        listed = SECRET in client.get("/collections").text
        return client.get(address).status_code, listed, SECRET in client.get("/catalogue").text

    assert until(lambda: statuses("land"), lambda found: found == (200, True, True))
    assert until(lambda: statuses("steward"), lambda found: found == (200, True, True))
    for name in (None, "water"):
        assert statuses(name) == (404, False, False)
    assert "private" in editors.as_("land").get(address).headers["cache-control"]
    red = picture(editors.as_("land").get(f"{address}?f=png"))
    assert red[0].max() == 250 and red[1].max() == 0


def test_a_map_has_rasters_under_its_features(running: Server, loaded: Path, editors: Editors) -> None:
    """An image and a print: where the model is, where its hole is, for whom a layer is there."""
    corner = ",".join(str(float(v)) for v in crs.transform_xy(603050, 1191950, 9210, 4326))
    address = f"/image?center={corner}&scale=500&width=480&height=480&layers="
    drawn = running.get(f"{address}base_elevation,water_hydrant")
    assert drawn.status_code == 200, drawn.text
    pixels = picture(drawn).astype(int)
    # 63 m are in the image: 1 pixel is 0.13 m, the hole's corner in the middle.
    ground, hole = pixels[:, 360, 360], pixels[:, 100, 100]
    # about 0.66 m high: between the colours of 0.5 and 1.5 m
    low, high = np.array([0x9F, 0xCF, 0xAE]), np.array([0xC3, 0xDD, 0x9A])
    assert (ground >= np.minimum(low, high) - 12).all() and (ground <= np.maximum(low, high) + 12).all()
    plain = picture(running.get(f"{address}water_hydrant")).astype(int)
    assert (hole == plain[:, 100, 100]).all()
    edge = np.abs(np.diff(pixels[:, 100, :].sum(axis=0)))[200:280]
    assert edge.max() > 30 and abs(int(edge.argmax()) - 40) <= 4, "the hole ends where it should"
    land = editors.as_("land")
    shown = until(lambda: land.get(f"{address}{SECRET}"), lambda found: found.status_code == 200)
    red = picture(shown)[:, 100, 100].tolist()
    assert red[0] > 240 and max(red[1:]) < 12
    for name in (SECRET, "base_scan", "base_elevation,nowhere"):
        assert_problem(running.get(f"{address}{name}"), 400)
    paper = running.get(f"/print?center={corner}&scale=1000&lang=en&layers=base_elevation,base_road")
    assert paper.status_code == 200 and b"/DCTDecode" in paper.content
    document = pypdfium2.PdfDocument(paper.content)
    said = document[0].get_textpage().get_text_bounded().replace("\r\n", " ")
    document.close()
    assert "Elevation model, 1 m" in said and "Elevation model: 0.5 m" in said
    # a picture without heights has one sign in the legend
    paper = land.get(f"/print?center={corner}&scale=1000&layers={SECRET}")
    assert paper.status_code == 200 and b"/DCTDecode" in paper.content, paper.text[:300]


def test_a_load_shows_at_once_and_no_request_fails_meanwhile(
    running: Server, loaded: Path, load: Load
) -> None:
    address = f"/collections/base_elevation/{PLACE}?style=terrain"
    before = running.get(address).headers["etag"]
    level = np.full((1, 200, 300), 2.0, np.float32)
    load(write(loaded / "level.tif", level), "base_elevation", "replace")
    # Processes that have not looked again yet meet a file that is gone.
    assert until(
        lambda: running.get(address), lambda one: one.status_code == 200 and one.headers["etag"] != before
    )
    heights = {running.get(f"/elevation?point={LON},{LAT}").json()["elevation_m"] for _ in range(6)}
    assert heights == {2.0}
