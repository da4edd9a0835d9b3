"""How the map is seen: base maps, themes, legend, order, filters, colours, depths, sections, profiles."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import expect

from layers.registry import Catalogue
from tests.browser.conftest import CLOSE, Visit

Row = Callable[[str, str], tuple[int, float, float]]

PAINT = "([id, name]) => JSON.stringify(window.bandoso.map.getPaintProperty(id, name))"
DRAWN = """layer => window.bandoso.map.queryRenderedFeatures()
  .filter(f => f.layer.metadata?.['bandoso:layer'] === layer).map(f => f.properties)"""


def rests(visit: Visit) -> None:
    """Wait until the map follows what was chosen, and the legend follows the map."""
    visit.page.wait_for_timeout(300)
    visit.idle()


def test_a_link_brings_back_all_that_was_chosen(visit: Visit) -> None:
    page = visit.open(
        f"{CLOSE}&base=dark&theme=water&under=1&filter=water_pipe*diameter_mm.ge.150"
        "&colour=water_pipe:material,power_line:x,nothing:a&order=base_road:water_pipe"
    ).page
    expect(page).to_have_url(re.compile("base=dark"))
    rests(visit)
    background = page.evaluate(PAINT, ["background", "background-color"])
    assert background == '"#12181d"'
    assert visit.drawn_layers() >= {"water_pipe", "base_road"}
    assert not any(layer.startswith(("power_", "telecom_", "cadastre_")) for layer in visit.drawn_layers())
    pipes = page.evaluate(DRAWN, "water_pipe")
    assert pipes and all(pipe["diameter_mm"] >= 150 for pipe in pipes)
    assert '"material"' in page.evaluate(PAINT, ["water_pipe-line", "line-color"])
    order = page.evaluate("window.bandoso.map.getLayersOrder()")
    assert order.index("base_road-line") > order.index("water_pipe-line")
    assert order.index("base_road-line") < order.index("base_road-label")
    page.click("[data-tool=see]")
    expect(page.locator("input[value=dark]")).to_be_checked()
    expect(page.locator("[data-theme=water]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".see-underground input")).to_be_checked()
    expect(page.locator(".see-layers [data-layer=water_pipe] small")).to_contain_text("đang lọc")
    for part in (
        "base=dark",
        "theme=water",
        "under=1",
        "filter=water_pipe",
        "colour=water_pipe",
        "order=base_road",
    ):
        expect(page).to_have_url(re.compile(re.escape(part)))
    visit.shot("see-dark-underground")
    visit.check()


def test_themes_come_from_the_catalogue_and_the_legend_tells_what_is_in_view(
    visit: Visit, catalogue: Catalogue
) -> None:
    page = visit.open(f"{CLOSE}&tool=see").page
    sectors = [
        s.id for s in catalogue.sectors if not s.base and any(x.sector.id == s.id for x in catalogue.public())
    ]
    themes = page.locator("[data-theme]").evaluate_all("all => all.map(one => one.dataset.theme)")
    assert themes == ["all", *sectors]
    legend = page.locator(".see-legend")
    expect(legend).to_contain_text("Ống cấp nước")
    visit.shot("see-legend")
    page.click("[data-theme=drainage]")
    rests(visit)
    expect(legend).not_to_contain_text("Ống cấp nước")
    expect(legend).to_contain_text("Cống thoát nước")
    expect(legend).to_contain_text("Chiều dòng chảy")
    page.click(".languages [data-language=en]")
    expect(legend).to_contain_text("Direction of flow")
    visit.shot("see-drainage")
    visit.check()


def test_filter_colours_and_order_by_hand(visit: Visit) -> None:
    page = visit.open(f"{CLOSE}&layers=water_pipe,drainage_conduit,base_road&lang=en").page
    # where one looks for it: at the layer
    page.fill(".filter", "water pipes")
    page.click(".tree [data-layer=water_pipe] .icon-button")
    page.click(".tree [data-layer=water_pipe] [data-do=options]")
    pipe = page.locator(".see-layers [data-layer=water_pipe]")
    expect(pipe.locator(".see-colour select")).to_be_focused()
    pipe.locator(".see-colour select").select_option("diameter_mm")
    pipe.get_by_text("Add a condition").click()
    condition = pipe.locator(".see-condition")
    condition.locator("select").first.select_option("diameter_mm")
    condition.locator("select").nth(1).select_option("lt")
    condition.locator("input").fill("150")
    rests(visit)
    found = page.evaluate(DRAWN, "water_pipe")
    assert found and all(one["diameter_mm"] < 150 for one in found)
    expect(page).to_have_url(re.compile(r"filter=water_pipe\*diameter_mm\.lt\.150"))
    expect(page.locator(".see-legend")).to_contain_text("mm")
    page.evaluate("window.bandoso.map.jumpTo({zoom: 13.2})")
    rests(visit)
    expect(pipe.locator(".see-note:visible").first).to_contain_text("from zoom 15")
    # the map says so too, with the tool closed as well, and leads to where the filter holds
    notice = page.locator(".see-idle-filters")
    expect(notice).to_contain_text("every feature of Water pipes")
    visit.shot("see-idle-filter")
    notice.get_by_role("button", name="Zoom in to 15").click()
    expect(notice).to_be_hidden()
    page.evaluate("window.bandoso.map.jumpTo({zoom: 17})")
    rests(visit)
    road = page.locator(".see-layers [data-layer=base_road] .see-grip")
    road.focus()
    page.keyboard.press("Home")
    expect(page.locator(".see-said")).to_contain_text("place 1 of 3")
    rests(visit)
    expect(road).to_be_focused()
    order = page.evaluate("window.bandoso.map.getLayersOrder()")
    assert (
        order.index("base_road-line") > order.index("water_pipe-line") > order.index("drainage_conduit-line")
    )
    page.keyboard.press("Escape")
    expect(page.locator("#dock")).to_be_hidden()
    visit.check()


def test_a_section_shows_what_a_line_cuts(visit: Visit, row: Row) -> None:
    _, lon, lat = row(
        "water_pipe", "pipe_class = 'distribution' AND depth_m IS NOT NULL AND ST_Length(geom) > 20"
    )
    page = visit.open(f"#map=19/{lat}/{lon}&tool=section&layers=water_pipe,base_road").page
    page.evaluate("document.querySelector('.close-side').click()")
    visit.idle()
    map_ = page.locator(".map canvas").first
    expect(map_).to_be_visible()
    ends = [visit.pixel(lon - 0.0002, lat - 0.0002), visit.pixel(lon + 0.0002, lat + 0.0002)]
    for x, y in (ends[0], ends[1], ends[1]):
        page.mouse.click(x, y)
        page.wait_for_timeout(400)
    plot = page.locator("#dock svg.plot")
    expect(plot).to_be_visible(timeout=60_000)
    rows = page.locator(".section-table tbody tr")
    assert rows.count() >= 2
    expect(page.locator(".section-table")).to_contain_text("Ống cấp nước")
    badges = plot.locator(".plot-badge circle").evaluate_all(
        "all => all.map(c => [c.cx.baseVal.value, c.cy.baseVal.value])"
    )
    assert len(badges) == rows.count()
    for i, (x, y) in enumerate(badges):
        for other_x, other_y in badges[:i]:
            assert abs(x - other_x) >= 18 or abs(y - other_y) >= 18, "two labels lie on each other"
    visit.shot("section")
    assert visit.sees(*visit.pixel(lon, lat)), "the middle of the map lies under the section"
    link = page.url
    assert "section=" in link
    page.goto("about:blank")
    visit.open(link.removeprefix(f"{visit.site}/map"))
    expect(page.locator("#dock svg.plot")).to_be_visible(timeout=60_000)
    page.click(".languages [data-language=en]")
    expect(page.locator(".section-table")).to_contain_text("Water pipes")
    page.locator(".section-table tr", has_text="Water pipes").first.locator("button").click()
    expect(page.locator(".card .feature.open[data-layer=water_pipe]")).to_be_visible()
    visit.check()


def test_a_profile_opens_from_the_card_of_a_conduit(visit: Visit, row: Row) -> None:
    fid, lon, lat = row("drainage_conduit", "invert_up_m IS NOT NULL AND conduit_class <> 'house'")
    page = visit.open(
        f"#map=18/{lat}/{lon}&lang=en&layers=drainage_conduit&feature=drainage_conduit/{fid}"
    ).page
    page.click("[data-action=profile]")
    plot = page.locator("#dock svg.plot")
    expect(plot).to_be_visible(timeout=60_000)
    assert plot.locator(".plot-pipe").count() >= 1
    expect(page.locator(".section-table")).to_contain_text("‰")
    visit.shot("profile")
    visit.check()
