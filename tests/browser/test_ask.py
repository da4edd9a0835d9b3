"""A planner finds, asks, measures and checks; what the data holds runs nothing in any of these places."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise

import psycopg
import pytest
from playwright.sync_api import Page, expect
from pyproj import Geod

from gis import crs
from gis.db.server import Database
from tests.api.editors import PASSWORD, Editors
from tests.browser import hostile
from tests.browser.conftest import Visit

Row = Callable[[str, str], tuple[int, float, float]]


def test_a_planner_finds_a_parcel_and_sees_what_lies_under_it(desk: Visit, site_db: Database) -> None:
    """Typed without accents, by keyboard alone; the card tells of a layer that is hidden."""
    with psycopg.connect(site_db.owner_dsn) as owner:
        row = owner.execute(
            "SELECT sheet_no, parcel_no FROM layer.cadastre_parcel ORDER BY fid LIMIT 1"
        ).fetchone()
    assert row is not None
    sheet, number = row
    page = desk.open("#map=16/10.779/106.722&layers=cadastre_parcel,base_road").page
    page.keyboard.press("/")
    find = page.get_by_role("combobox", name="Tìm trên bản đồ")
    expect(find).to_be_focused()
    page.keyboard.type(f"thua {number} to {sheet}")
    option = page.locator(".find-option[data-kind=parcel]").first
    expect(option).to_be_visible()
    desk.shot("find-parcel")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".find-results").get_by_role("option", selected=True)).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator(".find-results")).to_be_hidden()
    expect(page).to_have_url(re.compile("feature=cadastre_parcel/"))
    desk.idle()
    chosen = re.search(r"feature=cadastre_parcel/(\d+)", page.url)
    assert chosen
    with psycopg.connect(site_db.owner_dsn) as owner:
        found = owner.execute(
            "SELECT parcel_no, sheet_no, ST_X(p), ST_Y(p) FROM layer.cadastre_parcel,"
            " ST_Transform(ST_PointOnSurface(geom), 4326) AS p WHERE fid = %s",
            [int(chosen[1])],
        ).fetchone()
    assert found is not None
    assert (found[0], found[1]) == (number, sheet)

    assert desk.sees(*desk.pixel(found[2], found[3])), "the card covers what was gone to"
    page.mouse.click(*desk.pixel(found[2], found[3]))
    card = page.locator(".card")
    expect(card.locator(".feature[data-layer=cadastre_parcel]")).to_have_count(1)
    hidden = card.locator(".feature", has_text="Lớp đang ẩn")
    expect(hidden.first).to_be_visible()
    desk.shot("ask-under-a-parcel")
    desk.check()


# East and north in EPSG:9210; the legs are 30 and 40 m long, and 50 m back to the beginning.
CORNERS = ((605000.0, 1192000.0), (605030.0, 1192000.0), (605030.0, 1192040.0))


def test_a_known_distance_is_measured_exactly(desk: Visit) -> None:
    page = desk.open("#map=18/10.7785/106.7215&layers=base_road&tool=measure").page
    place = page.get_by_label("Thêm đỉnh theo tọa độ")
    for east, north in CORNERS:
        place.fill(f"{east} {north}")
        place.press("Enter")
    results = page.locator(".measure-results")
    expect(results).to_contain_text("70,00 m")
    expect(results).to_contain_text("0°00'00\"")
    expect(page.locator(".measure-points tbody tr").nth(2)).to_contain_text("1192040.00")
    # what is drawn on the ellipsoid is longer or shorter by the scale of the projection, and says so
    lons, lats = crs.transform_xy([e for e, _ in CORNERS], [n for _, n in CORNERS], 9210, 4326)
    true = sum(Geod(ellps="WGS84").inv(*a, *b)[2] for a, b in pairwise(zip(lons, lats, strict=True)))
    expect(results.locator("dd", has_text=re.compile("Chiều dài")).nth(1)).to_contain_text(
        f"{true:.2f}".replace(".", ",")
    )

    page.get_by_role("radio", name="Diện tích").check()
    expect(results).to_contain_text("600,0 m²")
    expect(results).to_contain_text("120,00 m")
    page.get_by_role("button", name="Sao chép bảng").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "1192040.000\t605030.000" in copied
    assert re.search(r"\(VN-2000[^)]*\)\t600\.00", copied), copied
    desk.shot("measure-area")

    # the link holds it; the last corner is taken back by key, and set by key again
    link = page.url
    desk.open("#map=16/10.7785/106.7215&layers=base_road")
    expect(page.locator(".dock")).to_be_hidden()
    desk.open(link.removeprefix(f"{desk.site}/map"))
    expect(page.locator(".measure-results")).to_contain_text("600,0 m²")
    page.get_by_role("button", name="Bỏ điểm cuối").click()
    expect(page.locator(".measure-points tbody tr")).to_have_count(2)
    page.locator("canvas.maplibregl-canvas").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".measure-points tbody tr")).to_have_count(3)
    page.keyboard.press("Backspace")
    expect(page.locator(".measure-points tbody tr")).to_have_count(2)
    page.click(".languages [data-language=en]")
    expect(page.locator(".measure")).to_contain_text("On the plane of")
    desk.check()


def test_a_line_is_measured_with_the_mouse(desk: Visit) -> None:
    page = desk.open("#map=17/10.7785/106.7215&layers=base_road&tool=measure").page
    expect(page.locator(".measure")).to_be_visible()
    page.mouse.click(500, 300)
    page.mouse.click(600, 300)
    page.mouse.move(650, 420)
    live = page.locator(".measure-results")
    expect(live).to_contain_text("m")
    page.mouse.dblclick(600, 400)
    expect(page.locator(".measure-points tbody tr")).to_have_count(3)
    expect(page.get_by_role("button", name="Kết thúc")).to_be_disabled()
    # what is in the middle of the view is beside the dock
    assert desk.sees(*desk.pixel(106.7215, 10.7785))

    # a point is dragged: the figures follow before it is let go; taken back, they are what they were
    def length() -> float:
        text = live.locator("dd", has_text=re.compile("Chiều dài")).first.locator("output").inner_text()
        return float(re.sub(r"[^\d,]", "", text).replace(",", "."))

    before = length()
    page.mouse.move(600, 300)
    page.mouse.down()
    page.mouse.move(630, 300, steps=3)
    page.mouse.move(700, 300, steps=3)
    assert length() > before + 1
    page.mouse.up()
    dragged = length()
    assert dragged > before + 1
    expect(page.locator(".measure-points tbody tr")).to_have_count(3)
    page.keyboard.press("Control+z")
    assert length() == before
    page.keyboard.press("Control+z")  # then the last point goes, and drawing goes on
    expect(page.locator(".measure-points tbody tr")).to_have_count(2)
    page.mouse.dblclick(600, 400)
    expect(page.locator(".measure-points tbody tr")).to_have_count(3)
    # the tool had the clicks: no card opened; closed, it gives them back and leaves nothing on the map
    expect(page.locator(".card")).to_be_hidden()
    page.locator(".dock > header button").click()
    desk.idle()
    assert page.evaluate(
        "window.bandoso.map.queryRenderedFeatures().filter(f => f.source === 'bandoso-measure').length === 0"
    )
    desk.check()


def test_a_selection_is_counted_listed_and_taken_away(desk: Visit, site_db: Database) -> None:
    page = desk.open(
        "#map=17/10.7785/106.7215&layers=water_pipe,water_valve,cadastre_parcel&tool=select"
    ).page
    expect(page.locator(".select")).to_be_visible()
    page.mouse.click(420, 200)
    page.mouse.click(740, 560)
    pipes = page.locator(".layer-statistics[data-layer=water_pipe]")
    expect(pipes).to_be_visible()
    west, south, east, north = _selected(page)
    with psycopg.connect(site_db.owner_dsn) as owner:
        counted = owner.execute(
            "SELECT count(*), count(DISTINCT material) FROM layer.water_pipe WHERE ST_Intersects(geom,"
            " ST_Transform(ST_MakeEnvelope(%s, %s, %s, %s, 4326), 9210))",
            [west, south, east, north],
        ).fetchone()
    assert counted is not None
    expect(pipes.locator(".figures")).to_contain_text(f"{counted[0]} ·")
    pipes.locator("summary").click()
    expect(pipes.locator("table").first).to_contain_text("Chiều dài (m)")
    desk.shot("select-statistics")

    pipes.get_by_role("button", name="Xem bảng").click()
    rows = page.locator(".table-frame tbody tr")
    expect(rows).to_have_count(min(counted[0], 100))
    page.locator(".table-frame th", has_text="Đường kính").get_by_role("button").first.click()
    expect(page.locator(".table-frame th[aria-sort=ascending]")).to_have_count(1)
    expect(page.locator(".table-frame")).not_to_have_attribute("aria-busy", "true")
    desk.shot("select-table")
    page.get_by_label("Lọc theo cột").select_option("asset_id")
    page.get_by_label("Giá trị lọc").fill("khong co tai san nay")
    page.get_by_role("button", name="Lọc", exact=True).click()
    expect(page.locator(".pager")).to_contain_text("Không có hàng nào khớp")

    page.get_by_role("tab", name="Xuất dữ liệu").click()
    form = page.locator(".export-form")
    form.get_by_label("Định dạng").select_option("csv")
    for box in form.locator("input[type=checkbox]").all():
        box.set_checked(box.get_attribute("value") == "water_pipe")
    with page.expect_download() as waiting:
        form.get_by_role("button", name="Tải về").click()
    text = waiting.value.path().read_text(encoding="utf-8-sig")
    taken = list(csv.DictReader(io.StringIO(text)))
    assert len(taken) == counted[0]
    assert all(one["asset_id"] for one in taken)

    link = page.url
    assert "select=b" in link
    desk.open("#map=16/10.7785/106.7215&layers=base_road")
    expect(page.locator(".dock")).to_be_hidden()
    desk.open(link.removeprefix(f"{desk.site}/map"))
    expect(page.locator(".layer-statistics[data-layer=water_pipe] .figures")).to_contain_text(
        f"{counted[0]} ·"
    )
    desk.check()


def _selected(page: Page) -> tuple[float, float, float, float]:
    """The box on the map: west, south, east, north."""
    ring = page.evaluate(
        "window.bandoso.map.getSource('bandoso-select').serialize().data.features"
        ".find(f => f.geometry.type === 'Polygon').geometry.coordinates[0]"
    )
    lons, lats = zip(*ring, strict=True)
    return min(lons), min(lats), max(lons), max(lats)


EVIL = hostile.VALUES[0]


@pytest.fixture(scope="module")
def findings(site_db: Database) -> Iterator[dict[str, int]]:
    """Three findings about a hostile camera, with hostile words; and one of its pipes that has a mend."""
    made: dict[str, int] = {}
    with psycopg.connect(site_db.owner_dsn, autocommit=True) as owner:
        camera = owner.execute(
            "SELECT fid, asset_id, ST_AsText(geom) FROM layer.telecom_camera WHERE asset_id = %s",
            [f"{EVIL}0"],
        ).fetchone()
        assert camera is not None
        named = json.dumps(
            [{"layer": "telecom_camera", "fid": camera[0], "asset_id": camera[1], "owner": "vnpt"}],
            separators=(",", ":"),
        )
        for number, value in enumerate(hostile.VALUES[:3]):
            row = owner.execute(
                "INSERT INTO layer.finding (asset_id, owner, rule, severity, state, layers, features, value,"
                " limit_value, unit, sheet, message_vi, message_en, first_seen, last_seen, geom)"
                " VALUES (%s, 'vnpt', 'GEN-09', %s, 'open', 'telecom_camera', %s, 0.5, 0.001, %s, %s, %s, %s,"
                " now(), now(), ST_GeomFromText(%s, 9210)) RETURNING fid",
                (f"{value}-{number}", "EWI"[number], named, value[:20], value, value, value, camera[2]),
            ).fetchone()
            assert row is not None
            made[value] = int(row[0])
        # a version of the camera with another hostile remark
        owner.execute(
            "UPDATE layer.telecom_camera SET remark = %s WHERE fid = %s", [hostile.VALUES[1], camera[0]]
        )
        made["camera"] = int(camera[0])
        yield made
        owner.execute("DELETE FROM layer.finding WHERE layers = 'telecom_camera'")
        owner.execute("UPDATE layer.telecom_camera SET remark = %s WHERE fid = %s", [EVIL, camera[0]])


def test_findings_are_looked_through(desk: Visit, findings: dict[str, int]) -> None:
    lon, lat = hostile.PLACE
    page = desk.open(f"#map=18/{lat}/{lon}&layers=telecom_camera&tool=check&lang=en").page
    items = page.locator(".check-item")
    page.get_by_label("Owner").select_option("=vnpt")  # editing leaves findings of others
    expect(items).to_have_count(3)
    page.get_by_role("radio", name=re.compile("^Warnings")).check()
    expect(items).to_have_count(1)
    page.get_by_role("radio", name=re.compile("^All")).check()
    expect(items).to_have_count(3)
    items.first.click()
    detail = page.locator(".finding")
    expect(detail).to_contain_text("GEN-09 Duplicate geometry")
    expect(detail).to_contain_text("Measured")
    expect(page.locator(".stepper .place")).to_have_text("1 / 3")
    detail.get_by_text("Why, and how to mend it").click()
    expect(detail.get_by_role("link", name="Documentation of rule GEN-09")).to_have_attribute(
        "href", "/rules/GEN-09?f=html&lang=en"
    )
    desk.idle()
    marks = page.evaluate(
        "window.bandoso.map.queryRenderedFeatures().filter(f => f.source === 'bandoso-check')"
        ".map(f => f.properties.role).sort()"
    )
    assert set(marks) == {"feature", "place"}
    desk.shot("check-finding")
    page.get_by_role("button", name="Next finding").press("Enter")
    expect(page.locator(".stepper .place")).to_have_text("2 / 3")
    expect(page.get_by_role("button", name="Next finding")).to_be_focused()
    link = page.url
    desk.open("#map=16/10.7785/106.7215&layers=base_road")
    expect(page.locator(".dock")).to_be_hidden()
    desk.open(link.removeprefix(f"{desk.site}/map"))
    expect(page.locator(".finding")).to_be_visible()
    expect(page).to_have_url(link)
    desk.check()


def test_a_steward_accepts_a_finding_with_a_reason(
    visit: Visit, findings: dict[str, int], site_db: Database, members: Editors
) -> None:
    lon, lat = hostile.PLACE
    page = visit.open(f"#map=18/{lat}/{lon}&layers=telecom_camera&tool=check&lang=en").page
    page.get_by_label("Owner").select_option("=vnpt")
    items = page.locator(".check-item")
    expect(items).to_have_count(3)
    items.first.click()
    expect(page.locator(".accept-form")).to_have_count(0)  # nobody is logged in
    page.click(".account")
    page.fill(".account-dialog [name=username]", "steward")
    page.fill(".account-dialog [name=password]", PASSWORD)
    page.click(".account-dialog [type=submit]")
    page.locator(".finding summary", has_text="Accept with a reason").click()
    page.locator(".accept-form textarea, .accept-form input[type=text]").first.fill(EVIL)
    page.locator(".accept-form [type=submit]").click()
    expect(page.locator(".finding")).to_contain_text(f"Accepted: {EVIL}")
    with psycopg.connect(site_db.owner_dsn) as owner:
        state = owner.execute(
            "SELECT count(*) FROM layer.finding WHERE layers = 'telecom_camera' AND state = 'accepted'"
            " AND accepted_reason = %s",
            [EVIL],
        ).fetchone()
    assert state == (1,)
    visit.check()


def test_hostile_values_run_nothing_in_any_of_these_places(desk: Visit, findings: dict[str, int]) -> None:
    lon, lat = hostile.PLACE
    page = desk.open(f"#map=18/{lat}/{lon}&layers=telecom_camera").page
    # results of a search
    page.fill(".find-input", "img src onerror window pwned")
    expect(page.locator(".find-status")).not_to_have_text("Đang tìm…")
    page.fill(".find-input", "")
    # the card, the history with old and new values, the findings of the feature
    page.mouse.click(*desk.pixel(lon, lat))
    expect(page.locator(".card")).to_contain_text("2 phiên bản")
    desk.open(f"#map=18/{lat}/{lon}&layers=telecom_camera&feature=telecom_camera/{findings['camera']}")
    page.get_by_role("button", name="Lịch sử").click()
    expect(page.locator(".version-entry ins", has_text="</script>")).to_have_count(1)
    desk.shot("ask-history")
    page.get_by_role("button", name="Phát hiện kiểm tra").click()
    expect(page.locator(".check-item")).to_have_count(3)
    expect(page.locator(".check-item").first).to_contain_text("window.pwned")
    page.locator(".check-item").first.click()
    expect(page.locator(".finding")).to_contain_text("onerror")
    # the table of a selection
    desk.open(f"#map=18/{lat}/{lon}&layers=telecom_camera&tool=select")
    page.get_by_role("radio", name="Khung nhìn").check()
    page.locator(".layer-statistics[data-layer=telecom_camera] summary").click()
    page.locator(".layer-statistics[data-layer=telecom_camera]").get_by_role(
        "button", name="Xem bảng"
    ).click()
    expect(page.locator(".table-frame")).to_contain_text("window.pwned=5")
    assert page.evaluate("window.pwned") is None
    desk.check()


def test_the_tools_fit_a_telephone(phone: Visit) -> None:
    page = phone.open("#map=17/10.7785/106.7215&layers=base_road&lang=en").page
    for tool in ("measure", "select", "check"):
        page.locator(f".toolbar [data-tool={tool}]").click()
        expect(page.locator(".dock")).to_be_visible()
        width = page.evaluate(
            "[document.documentElement.scrollWidth, document.querySelector('.dock').scrollWidth]"
        )
        assert max(width) <= 360, (tool, width)
        phone.shot(f"phone-{tool}")
    page.fill(".find-input", "10.7785, 106.7215")
    expect(page.locator(".find-option").first).to_be_visible()
    phone.shot("phone-find")
    page.press(".find-input", "Enter")
    expect(page.locator(".card")).to_be_visible()
    phone.check()
