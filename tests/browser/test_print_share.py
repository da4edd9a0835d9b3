"""Printing and sharing from the page: what is downloaded and what others are given."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pypdfium2
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Visit

#: A place of the demo, with few layers.
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


def test_papers_are_those_of_prints(site: str) -> None:
    papers = json.loads(httpx.get(f"{site}/print/papers").content)
    assert {(one["id"], one["orientation"]) for one in papers["papers"]} == {
        (paper, way) for paper in ("a4", "a3", "a2", "a1") for way in ("landscape", "portrait")
    }
    assert papers["scales"][0] <= 500
