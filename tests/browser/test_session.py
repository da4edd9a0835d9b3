"""Logging in on the page: refused, throttled, remembered when asked; hidden layers come and go with it."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.api.editors import PASSWORD, Editors
from tests.browser.conftest import CLOSE, Visit


def log_in(visit: Visit, name: str, password: str = PASSWORD) -> None:
    page = visit.page
    if not page.locator(".account-dialog").is_visible():
        page.click(".account")
    page.fill(".account-dialog [name=username]", name)
    page.fill(".account-dialog [name=password]", password)
    page.click(".account-dialog [type=submit]")


def test_a_login_shows_what_is_hidden_and_ends(visit: Visit, members: Editors) -> None:
    page = visit.open(CLOSE).page
    log_in(visit, "water", "wrong")
    expect(page.locator(".account-problem")).to_have_text("Tên hoặc mật khẩu không đúng.")
    visit.shot("page-login")
    log_in(visit, "water")
    expect(page.locator(".account")).to_contain_text("water")
    page.locator(".sector-title", has_text="Cấp nước").click()
    hidden = page.locator("[data-layer=water_meter]")
    expect(hidden).to_have_count(1)
    visit.idle()
    assert page.evaluate("sessionStorage.length") == 0
    page.click(".account")
    expect(page.locator(".account-grants")).to_contain_text("Biên tập")
    visit.shot("page-account")
    page.click(".account-dialog .main-button")
    expect(hidden).to_have_count(0)
    visit.idle()
    visit.trouble = [line for line in visit.trouble if "401" not in line]
    visit.check()


def test_a_login_that_ended_is_asked_for_again(
    visit: Visit, members: Editors, row: Callable[[str, str], tuple[int, float, float]]
) -> None:
    _fid, lon, lat = row("water_valve", "state = 'open'")
    page = visit.open(f"#map=19/{lat}/{lon}").page
    log_in(visit, "water_area")
    expect(page.locator(".account")).to_contain_text("water_area")
    page.route(
        "**/collections/**",
        lambda route: route.continue_(headers={**route.request.headers, "authorization": "Bearer bnd_x"}),
        times=1,
    )
    page.mouse.click(*visit.pixel(lon, lat))
    expect(page.locator(".account-dialog")).to_contain_text("hết hiệu lực")
    log_in(visit, "water_area")
    expect(page.locator(".feature-body tr").first).to_be_visible()


def test_throttled_logins_are_told_when_to_come_back(visit: Visit, members: Editors) -> None:
    page = visit.open(CLOSE).page
    for number in range(11):
        log_in(visit, "telecom", f"guess {number}")
        expect(page.locator(".account-dialog [type=submit]")).to_be_enabled()
    expect(page.locator(".account-problem")).to_contain_text("quá nhiều lần đăng nhập sai")
    visit.shot("page-login-throttled")
