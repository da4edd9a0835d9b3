"""Printing and sharing from the page: what is downloaded and what others are given."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import numpy as np
import psycopg
import pypdfium2
import pytest
import rasterio
from PIL import Image
from playwright.sync_api import Browser, expect
from rasterio.transform import from_origin

from gis.city import City
from gis.crs.raster import labelled
from gis.db.server import Database
from gis.ingest.raster.load import RasterLoad, load_rasters
from layers.registry import Catalogue
from tests.api.process import Server
from tests.browser.conftest import Visit

#: A place of the demo, with few layers.
PHOTO = "base_orthophoto"
VIEW = "#map=17/10.7780/106.7218&layers=water_pipe,base_road"


def test_a_print_is_downloaded_and_shows_the_frame_that_the_page_drew(desk: Visit, tmp_path: Path) -> None:
    page = desk.open(f"{VIEW}&filter=water_pipe*diameter_mm.ge.150&tool=print&print=2000.a4.portrait").page
    size = page.locator("[data-box]")
    expect(size).to_contain_text(re.compile(r"370\s×\s35[67]"))
    west, south, east, north = (float(v) for v in (size.get_attribute("data-box") or "").split(","))
    page.get_by_label("Tiêu đề").fill("Phường An Khánh <b>")
    with page.expect_download(timeout=120_000) as waiting:
        page.get_by_role("button", name="Tạo PDF").click()
    file = tmp_path / "map.pdf"
    waiting.value.save_as(file)
    assert "1-2000" in waiting.value.suggested_filename
    document = pypdfium2.PdfDocument(file)
    text = document[0].get_textpage().get_text_range()
    assert "Phường An Khánh <b>" in text
    assert "1:2" in text
    assert document[0].get_size() == pytest.approx((210 / 25.4 * 72, 297 / 25.4 * 72), abs=0.01)
    # The file says where on the ground its map lies: in the frame that the page drew.
    raw = file.read_bytes()
    corners = re.search(rb"/GPTS\[([^\]]+)\]", raw)
    assert corners
    places = [float(v) for v in corners[1].split()]
    # They are in VN-2000, some 200 m from WGS 84: the size is compared, which the datum leaves as it is.
    assert max(places[::2]) - min(places[::2]) == pytest.approx(north - south, rel=0.002)
    assert max(places[1::2]) - min(places[1::2]) == pytest.approx(east - west, rel=0.002)
    # The frame is brought into view, beside the tool: for the guide, under a plain title.
    page.get_by_label("Tiêu đề").fill("Phường An Khánh")
    before = page.evaluate("bandoso.map.getZoom()")
    page.get_by_role("button", name="Xem cả khung").click()
    page.wait_for_function("before => bandoso.map.getZoom() !== before", arg=before)
    desk.idle()
    west, south, east, north = (float(v) for v in (size.get_attribute("data-box") or "").split(","))
    for corner in ((west, south), (west, north), (east, south), (east, north)):
        assert desk.sees(*desk.pixel(*corner)), corner
    desk.shot("print")
    page.get_by_role("button", name="Đóng").first.click()
    assert page.evaluate("!!window.bandoso.map.getSource('bandoso-print')") is False
    desk.check()


def test_what_is_shared_opens_for_others(desk: Visit, browser: Browser) -> None:
    page = desk.open(f"{VIEW}&tool=share").page
    link = page.locator("textarea[name=link]")
    expect(link).to_have_value(re.compile("layers="))
    assert "tool=" not in link.input_value()
    code = page.locator("textarea[name=embed]").input_value()
    image = page.locator("textarea[name=image]").input_value()
    picture = httpx.get(image, timeout=60)
    assert picture.status_code == 200, picture.text
    assert picture.content.startswith(b"\x89PNG")
    desk.shot("share")
    address = re.search(r'src="([^"]+)"', code)
    assert address
    framed = browser.new_page()
    try:
        answer = framed.goto(address[1].replace("&#38;", "&"))
        assert answer
        assert "frame-ancestors *" in answer.headers["content-security-policy"]
        expect(framed.locator(".whole-map")).to_be_visible(timeout=60_000)
        assert framed.locator(".toolbar:visible, .account, .find:visible").count() == 0
        shown = framed.evaluate("window.location.hash")
        assert "layers=water_pipe,base_road" in shown
    finally:
        framed.close()
    ordinary = httpx.get(f"{desk.site}/map")
    assert "frame-ancestors 'self'" in ordinary.headers["content-security-policy"]
    desk.check()


@pytest.fixture
def photo(
    site_server: Server, site_db: Database, city: City, catalogue: Catalogue, tmp_path: Path
) -> Iterator[str]:
    """The id of a photograph that is magenta, over the place where the demo stands."""
    magenta = np.zeros((3, 500, 500), np.uint8)
    magenta[[0, 2]] = 250
    file = tmp_path / "photo.tif"
    with rasterio.open(
        file, "w", driver="GTiff", count=3, height=500, width=500, dtype="uint8", crs=labelled(9210),
        transform=from_origin(605_500, 1_192_600, 2, 2),
    ) as target:  # fmt: skip
        target.write(magenta)

    def known() -> bool:
        return PHOTO in site_server.get("/catalogue").text

    with psycopg.connect(site_db.owner_dsn, autocommit=True) as owner:
        wanted = RasterLoad((file,), PHOTO, mode="append")
        report = load_rasters(site_server.settings, owner, city, catalogue, wanted, lambda _d, _t: None)
        assert report.count("loaded") == 1, report.as_text()
        until(known)
        yield PHOTO
        owner.execute("DELETE FROM bandoso.raster_file")
        owner.execute("UPDATE bandoso.raster_layer SET generation = generation + 1")
    until(lambda: not known())


def until(reached: Callable[[], bool]) -> None:
    """The server looks for new pictures by itself, every few seconds."""
    deadline = time.monotonic() + 120
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_the_image_by_address_is_what_is_seen(visit: Visit, photo: str) -> None:
    """The photograph too, the reader's filter, and nothing of what the photograph hides."""
    filtered = "filter=water_pipe*diameter_mm.ge.150"
    page = visit.open(f"{VIEW},base_landuse,{photo}&base={photo}&{filtered}&tool=share").page
    address = page.locator("textarea[name=image]")
    expect(address).to_have_value(re.compile(photo))
    given = parse_qs(urlsplit(address.input_value()).query)
    assert set(given["layers"][0].split(",")) == {photo, "water_pipe", "base_road"}
    assert json.loads(given["filter"][0]) == {"water_pipe": "diameter_mm >= 150"}
    visit.shot("share-photo")
    picture = httpx.get(address.input_value(), timeout=60)
    assert picture.status_code == 200, picture.text
    pixels = np.asarray(Image.open(io.BytesIO(picture.content)).convert("RGB")).reshape(-1, 3)
    magenta = (pixels[:, 0] > 200) & (pixels[:, 1] < 60) & (pixels[:, 2] > 200)
    assert magenta.mean() > 0.3
    visit.check()


def test_papers_are_those_of_prints(site: str) -> None:
    papers = json.loads(httpx.get(f"{site}/print/papers").content)
    assert {(one["id"], one["orientation"]) for one in papers["papers"]} == {
        (paper, way) for paper in ("a4", "a3", "a2", "a1") for way in ("landscape", "portrait")
    }
    assert papers["scales"][0] <= 500
