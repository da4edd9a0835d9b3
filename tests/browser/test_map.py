"""The page draws the city and tells what is there, where, and in both languages."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from gis import crs
from layers.registry import Catalogue
from tests.browser.conftest import CLOSE, Visit
from tests.browser.hostile import LETTERS, LETTERS_PLACE

Row = Callable[[str, str], tuple[int, float, float]]


def test_draws_every_sector(visit: Visit, catalogue: Catalogue) -> None:
    visit.open()
    sectors = {catalogue.layers[layer].sector.id for layer in visit.drawn_layers()}
    assert sectors >= {"base", "cadastre", "water", "drainage", "power", "telecom"}, sectors
    assert visit.page.title() == "Thành phố Hồ Chí Minh · Bản đồ số dùng chung"
    visit.shot("page-desktop")
    visit.check()


def test_opens_at_the_view_of_the_city(visit: Visit) -> None:
    visit.open("")
    view = visit.page.evaluate(
        "(m => [m.getCenter().lng, m.getCenter().lat, m.getZoom()])(window.bandoso.map)"
    )
    assert view == pytest.approx([106.722, 10.779, 14.5])
    visit.shot("page-first-view")
    visit.check()


def test_vietnamese_labels_are_drawn(visit: Visit) -> None:
    lon, lat = LETTERS_PLACE
    visit.open(f"#map=17/{lat}/{lon}&layers=base_place")
    names = visit.page.evaluate(
        "window.bandoso.map.queryRenderedFeatures({layers: ['base_place-label']}).map(f => f.properties.name)"
    )
    assert LETTERS in names
    # the range of ế ữ ậ ộ was asked of this server, and came
    assert any("/7680-7935.pbf" in url for url in visit.requests)
    visit.shot("page-letters")
    visit.check()


def test_identify_in_vietnamese_and_english(desk: Visit, row: Row) -> None:
    fid, lon, lat = row("water_valve", "state = 'open'")
    desk.open(f"#map=19/{lat}/{lon}")
    desk.page.mouse.click(*desk.pixel(lon, lat))
    card = desk.page.locator(".card")
    valve = card.locator(".feature[data-layer=water_valve]").first
    expect(valve).to_contain_text("Van nước")
    if valve.get_attribute("class") == "feature":
        valve.locator(".feature-title").click()
    expect(valve.locator("tr", has_text="Mã tài sản")).to_have_count(1)
    expect(valve.locator("tr", has_text="Đơn vị quản lý")).to_contain_text("Tổng công ty Cấp nước Sài Gòn")
    expect(valve.locator("tr", has_text="Trạng thái").first).to_contain_text("Đang sử dụng")
    expect(card.locator(".group h3", has_text="Cấp nước")).to_have_count(1)
    expect(desk.page).to_have_url(re.compile(f"feature=water_valve/{fid}$"))
    desk.shot("page-identify")

    desk.page.click(".languages [data-language=en]")
    expect(valve).to_contain_text("Valves")
    expect(valve.locator("tr", has_text="Owner")).to_contain_text("Saigon Water Corporation")
    expect(valve.locator("tr", has_text="Status").first).to_contain_text("In service")
    # all that is at the point, areas too
    assert card.locator(".feature").count() >= 2
    desk.page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    desk.check()


def test_the_card_has_the_numbers_of_the_items_route(desk: Visit, row: Row) -> None:
    fid, lon, lat = row("water_pipe", "diameter_mm IS NOT NULL")
    desk.open(f"#map=19/{lat}/{lon}&lang=en&feature=water_pipe/{fid}")
    item = desk.page.request.get(f"{desk.site}/collections/water_pipe/items/{fid}?f=json").json()
    body = desk.page.locator(".feature-body")
    expect(body.locator("tr", has_text="Asset id")).to_contain_text(item["properties"]["asset_id"])
    diameter = item["properties"]["diameter_mm"]
    expect(body.locator("tr", has_text=re.compile("[Dd]iameter")).first).to_contain_text(f"{diameter:,} mm")
    desk.check()


# East, north in EPSG:9210 and the right WGS 84 latitude, longitude (domain/crs.md), to the page's 1 cm.
VECTORS = [
    ("600000 1190000", "10.7594456, 106.6661283"),
    ("603000 1192000", "10.7774439, 106.6936122"),
    ("580000 1215000", "10.9859474, 106.4838244"),
]


def test_coordinates_of_the_vectors(desk: Visit) -> None:
    desk.open("#map=15/10.779/106.722")
    for typed, degrees in VECTORS:
        desk.page.fill(".find-input", typed)
        desk.page.press(".find-input", "Enter")
        coordinates = desk.page.locator(".card-coordinates")
        expect(coordinates).to_contain_text(degrees)
        east, north = typed.split()
        expect(coordinates).to_contain_text(f"{east}.00 E  {north}.00 N")
    desk.page.fill(".find-input", "1192000 603000")  # north first, as surveyors write it
    desk.page.press(".find-input", "Enter")
    expect(desk.page.locator(".card-coordinates")).to_contain_text(VECTORS[1][1])
    desk.page.fill(".find-input", "5.4, 112.0")
    desk.page.press(".find-input", "Enter")
    expect(desk.page.locator(".notice")).to_contain_text("ngoài phạm vi")
    desk.check()


@pytest.mark.parametrize("code", [9210, 5899, 3405, 4756])
def test_coordinates_under_the_cursor(desk: Visit, code: int) -> None:
    desk.open(f"#map=18/10.7785/106.7215&crs={code}&layers=base_road")
    for x, y in ((500, 200), (777, 391), (1100, 650)):
        desk.page.mouse.move(x, y)
        lon, lat = desk.page.evaluate(
            """([x, y]) => {
              const map = window.bandoso.map, r = map.getCanvas().getBoundingClientRect();
              const p = map.unproject([x - r.left, y - r.top]);
              return [p.lng, p.lat];
            }""",
            [x, y],
        )
        expect(desk.page.locator(".degrees")).to_have_text(f"{lat:.7f}, {lon:.7f}")
        right = crs.transform_xy([lon], [lat], 4326, code)
        east, north = float(right[0][0]), float(right[1][0])
        shown = [float(n) for n in re.findall(r"\d+\.\d+", desk.page.locator(".projected").inner_text())]
        if code == 4756:
            assert shown == pytest.approx([north, east], abs=1e-7)
        else:
            assert shown == pytest.approx([east, north], abs=0.006)
    desk.check()


def test_language_switch(visit: Visit) -> None:
    visit.open("#map=16/10.7785/106.7215&layers=base_road")
    page = visit.page
    assert page.evaluate("document.documentElement.lang") == "vi"
    page.click(".languages [data-language=en]")
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.title() == "Ho Chi Minh City · Shared digital map"
    expect(page.locator(".tree")).to_contain_text("Water supply")
    expect(page.locator(".controls button").first).to_have_attribute("aria-label", "Zoom in")
    assert not re.search(r"[ăâđêôơưạ-ỹ]", page.locator(".side").inner_text()), "Vietnamese is left"
    page.goto("about:blank")
    visit.open("#map=16/10.7785/106.7215&layers=base_road")  # remembered
    expect(page.locator(".languages [data-language=en]")).to_have_attribute("aria-pressed", "true")
    visit.check()


def test_a_link_keeps_the_view(visit: Visit, row: Row) -> None:
    fid, lon, lat = row("water_valve", "state = 'open'")
    page = visit.open(f"#map=17/{lat}/{lon}").page
    page.click(".languages [data-language=en]")
    page.click("text=Hide all")
    page.locator(".sector-title", has_text="Water supply").click()
    page.locator("[data-layer=water_valve] input[type=checkbox]").check()
    page.locator("[data-layer=water_pipe] input[type=checkbox]").check()
    page.locator("[data-layer=water_pipe] .icon-button").click()
    page.locator("[data-layer=water_pipe] input[type=range]").fill("40")
    page.select_option(".crs", "3405")
    page.evaluate("window.bandoso.map.jumpTo({zoom: 18.25, bearing: 30})")
    visit.idle()
    page.mouse.click(*visit.pixel(lon, lat))
    expect(page.locator(".feature.open[data-layer=water_valve]")).to_be_visible()
    page.click("[aria-label='Copy a link to this view']")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == page.url

    page.evaluate("localStorage.setItem('bandoso.language', 'vi')")  # the link wins
    page.goto("about:blank")
    visit.open(link.removeprefix(f"{visit.site}/map"))
    assert visit.drawn_layers() == {"water_valve", "water_pipe"}
    view = page.evaluate(
        "(m => [m.getZoom(), m.getBearing(), m.getCenter().lng, m.getCenter().lat])(window.bandoso.map)"
    )
    assert view == pytest.approx([18.25, 30, lon, lat], abs=1e-5)
    assert page.evaluate(
        "window.bandoso.map.getPaintProperty('water_valve-point', 'circle-opacity') !== undefined"
    )
    expect(page.locator(".crs")).to_have_value("3405")
    expect(page.locator(".languages [data-language=en]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(f".feature.open [data-key='water_valve/{fid}']")).to_be_visible()
    page.locator(".sector-title", has_text="Water supply").click()
    page.locator("[data-layer=water_pipe] .icon-button").click()
    expect(page.locator("[data-layer=water_pipe] output")).to_have_text("40%")
    visit.check()


def test_switches_opacity_and_filter(desk: Visit) -> None:
    page = desk.open(CLOSE).page
    power = page.locator(".sector", has_text="Điện lực")
    assert "power_line" in desk.drawn_layers()
    power.locator(".sector-row input").uncheck()
    desk.idle()
    left = desk.drawn_layers()
    assert left and not any(layer.startswith("power_") for layer in left)
    expect(power.locator(".count").first).to_have_text(re.compile(r"^0/"))
    expect(page).to_have_url(re.compile("hide=power_"))
    power.locator(".sector-row input").check()

    page.fill(".filter", "ong cap nuoc")  # found without marks
    expect(page.locator(".layer")).to_have_count(1)
    pipe = page.locator("[data-layer=water_pipe]")
    expect(pipe).to_contain_text("Ống cấp nước")
    pipe.locator(".icon-button").click()
    assert pipe.locator(".legend li").count() >= 3
    before = page.evaluate(
        "JSON.stringify(window.bandoso.map.getPaintProperty('water_pipe-line', 'line-opacity'))"
    )
    pipe.locator("input[type=range]").fill("30")
    after = page.evaluate(
        "JSON.stringify(window.bandoso.map.getPaintProperty('water_pipe-line', 'line-opacity'))"
    )
    assert after != before
    assert "0.3" in after
    desk.shot("page-legend")
    page.fill(".filter", "không có lớp nào như thế")
    expect(page.locator(".tree")).to_contain_text("Không có lớp nào khớp")
    page.fill(".filter", "")
    desk.check()
