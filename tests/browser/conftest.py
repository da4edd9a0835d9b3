"""``site``: the real server over a small demo city; ``desk``, ``visit``, ``phone``: its page in a strictly
watched browser.

Server, demo and browser are started once for all modules here. What a test pays is its page: a first
drawing takes 10 seconds of a processor (Chromium draws without a GPU), hence:

- ``desk`` is one page for all tests that need nothing of a first visit. It stays loaded, and
  ``desk.open("#map=...")`` shows another view in it in a second. Take it for panels, tools, cards and
  searches. Before each test the dock and the card are closed, routes are taken away, and the language is
  Vietnamese. What else a test changed it undoes, or says ``desk.spoilt = True`` (as after a login): then the
  next test gets a page of its own, as after a failure.
- ``visit`` is a fresh visitor with nothing remembered: for what happens at a load, logins, and servers that
  are away. ``phone`` is one at 360 px.
- Layers that a test does not need cost time in each picture: "#map=17/lat/lon&layers=water_pipe,water_valve".
- ``open(..., drawn=False)`` waits for nothing, otherwise for the drawn map; ``idle()`` waits again.
- ``check()`` at the end: no console error, no CSP violation, no failed request, no other host.
- ``expect(...)`` waits for up to a minute: no test needs a time of its own.
- The demo is shared: a test that writes makes a feature of its own and takes it away again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright
from psycopg import sql

from gis.city import City
from gis.db.server import Database
from gis.demo.plan import make_plan
from gis.demo.write import write
from gis.resources import web_dir
from gis.settings import Settings
from layers.registry import Catalogue
from tests.api.editors import Editors, enrol
from tests.api.process import Server
from tests.browser import hostile

ROOT = Path(__file__).resolve().parents[2]
SHOTS = ROOT / "test-output"
#: Where the demo city stands, and a zoom at which every sector is drawn.
CLOSE = "#map=17/10.7780/106.7218"
#: Milliseconds that anything awaited may take: machines of CI draw ten times as slowly as ours.
PATIENCE = 60_000
#: A Debian Chromium without a GPU and without a network (design/browser.md).
FLAGS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    # Software draws the page around the map five times as slowly through OpenGL as without.
    "--disable-gpu-compositing",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

IDLE = """
seconds => Promise.race([
  (async () => {
    await window.bandoso.ready;
    const map = window.bandoso.map;
    if (!map.loaded() || map.isMoving()) await new Promise(resolve => map.once('idle', resolve));
    await document.fonts.ready;
    return 'idle';
  })(),
  new Promise(resolve => setTimeout(() => resolve('the map is not drawn in time'), 1000 * seconds)),
])
"""

#: Closes what a test left open; the view is the next test's to choose.
TIDY = """
() => {
  for (const name of ['.dock > header .icon-button', '.card [data-key=close]']) {
    const button = document.querySelector(name);
    if (button && button.checkVisibility()) button.click();
  }
  document.querySelector('.languages [data-language=vi]')?.click();
  document.activeElement?.blur();
  localStorage.clear();
}
"""


@pytest.fixture(scope="package")
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """Headless Chromium of the system. It is closed after the tests here: its event loop must not meet the
    tests elsewhere that run one."""
    assert not isinstance(request.node, pytest.Session), "without __init__.py the browser never closes"
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.fail("Chromium is missing; scripts/test installs it")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def site_db(fresh_database: Callable[[str], Database], catalogue: Catalogue, city: City) -> Database:
    """A demo city of a few hundred parcels, a place with difficult letters, and rows that attack the page."""
    database = fresh_database("browser")
    with psycopg.connect(database.owner_dsn, autocommit=True) as connection:
        write(database.owner_dsn, make_plan(300, 1), city, catalogue, lambda done, total: None)
        hostile.insert(connection, city)
    return database


@pytest.fixture(scope="session")
def site_server(
    site_db: Database, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A running server."""
    if not (web_dir() / "index.html").is_file():
        pytest.fail("the page is not built; run scripts/page")
    server = Server(replace(settings, workers=1, pool_size=6), site_db, tmp_path_factory.mktemp("site"))
    server.start()
    yield server
    assert server.stop() == 0, server.log.read_text(errors="replace")[-3000:]


@pytest.fixture(scope="session")
def site(site_server: Server) -> str:
    """Its address, without a final slash."""
    return site_server.url


class Visit:
    """A page in the browser that notes everything that must not happen."""

    def __init__(self, page: Page, site: str) -> None:
        self.page = page
        self.site = site
        #: Console errors, exceptions, failed requests, CSP violations.
        self.trouble: list[str] = []
        self.requests: list[str] = []
        #: Whether the page cannot be used by another test.
        self.spoilt = False
        page.on("console", lambda m: self.trouble.append(f"console: {m.text}") if m.type == "error" else None)
        page.on("pageerror", lambda error: self.trouble.append(f"exception: {error}"))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("dialog", lambda dialog: self.trouble.append(f"dialog: {dialog.message}"))
        page.on(
            "response",
            lambda answer: (
                self.trouble.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None
            ),
        )
        page.add_init_script(
            "addEventListener('securitypolicyviolation', "
            "e => console.error('CSP ' + e.violatedDirective + ' ' + e.blockedURI));"
            # A first visit has its letters after its map: pictures would be taken without them.
            "try { localStorage.setItem('bandoso.fonts', '1') } catch {}"
        )

    def open(self, hash_: str = CLOSE, *, drawn: bool = True) -> Visit:
        """Open the page, or show another view in the open page; wait until the map is drawn."""
        self.page.goto(f"{self.site}/map{hash_}")
        if drawn:
            self.idle()
        return self

    def idle(self, seconds: int = 240) -> None:
        """Wait until the map has drawn everything."""
        assert self.page.evaluate(IDLE, seconds) == "idle"

    def shot(self, name: str) -> Path:
        """A screenshot in test-output/, to be looked at."""
        SHOTS.mkdir(exist_ok=True)
        path = SHOTS / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    def drawn_layers(self) -> set[str]:
        """Ids of the layers of which a feature is drawn."""
        return set(
            self.page.evaluate(
                # MapLibre finds a layer that was just hidden until its tiles are made anew.
                "window.bandoso.map.queryRenderedFeatures().filter(f => 'none' !="
                " window.bandoso.map.getLayoutProperty(f.layer.id, 'visibility'))"
                ".map(f => f.layer.metadata?.['bandoso:layer'])"
            )
        ) - {None}

    def pixel(self, lon: float, lat: float) -> tuple[float, float]:
        """Where a place is drawn, in pixels of the page."""
        x, y, left, top = self.page.evaluate(
            """([lon, lat]) => {
              const map = window.bandoso.map, p = map.project([lon, lat]);
              const r = map.getCanvas().getBoundingClientRect();
              return [p.x, p.y, r.left, r.top];
            }""",
            [lon, lat],
        )
        return left + x, top + y

    def sees(self, x: float, y: float) -> bool:
        """Whether the map can be clicked at a pixel of the page: nothing lies over it."""
        under = "([x, y]) => document.elementFromPoint(x, y) === window.bandoso.map.getCanvas()"
        return bool(self.page.evaluate(under, [x, y]))

    def fail(self, pattern: str) -> Callable[[], None]:
        """Let requests fail as if the server were down; the returned function mends it."""

        def abort(route: Route) -> None:
            route.abort("connectionrefused")

        self.page.route(pattern, abort)
        return lambda: self.page.unroute(pattern, abort)

    def check(self) -> None:
        """Nothing went wrong, and nothing was asked of another host."""
        assert self.trouble == []
        home = urlsplit(self.site).netloc
        assert {urlsplit(url).netloc for url in self.requests if not url.startswith(("blob:", "data:"))} == {
            home
        }


@pytest.fixture
def visit(browser: Browser, site: str) -> Iterator[Visit]:
    """A fresh visitor in a desktop window."""
    yield from _visit(browser, site, 1200, 760)


class _Desk:
    """Keeps a page loaded from one test to the next."""

    def __init__(self, browser: Browser, site: str) -> None:
        self._make: Callable[[], Iterator[Visit]] = lambda: _visit(browser, site, 1200, 760)
        self._visits: Iterator[Visit] | None = None
        self._visit: Visit | None = None

    def take(self) -> Visit:
        """The page as a visitor finds it."""
        if self._visit is None:
            self._visits = self._make()
            self._visit = next(self._visits)
            self._visit.open()
        else:
            self._visit.page.unroute_all()
            self._visit.page.evaluate(TIDY)
            self._visit.requests.clear()
            self._visit.trouble.clear()
        return self._visit

    def close(self) -> None:
        """The next one gets a page of its own."""
        if self._visits is not None:
            next(self._visits, None)
        self._visits = self._visit = None


@pytest.fixture(scope="package")
def _desk(browser: Browser, site: str) -> Iterator[_Desk]:
    desk = _Desk(browser, site)
    yield desk
    desk.close()


@pytest.fixture
def desk(_desk: _Desk, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """The page that tests share, in a desktop window, with nothing open."""
    visit = _desk.take()
    failed = request.session.testsfailed
    yield visit
    if visit.spoilt or request.session.testsfailed > failed:
        _desk.close()


@pytest.fixture
def phone(browser: Browser, site: str) -> Iterator[Visit]:
    """A fresh visitor with the smallest telephone that is supported; its screen is touched."""
    yield from _visit(browser, site, 360, 720, has_touch=True)


def _visit(
    browser: Browser, site: str, width: int, height: int, *, has_touch: bool = False
) -> Iterator[Visit]:
    context = browser.new_context(
        viewport={"width": width, "height": height}, locale="vi-VN", has_touch=has_touch
    )
    with suppress(Exception):
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    yield Visit(page, site)
    context.close()


@pytest.fixture(scope="session")
def members(site_db: Database, site: str) -> Iterator[Editors]:
    """The accounts of tests/api/editors.py."""
    with psycopg.connect(site_db.owner_dsn, autocommit=True) as connection:
        made = enrol(connection, site)
    yield made
    made.close()


@pytest.fixture(scope="session")
def row(site_db: Database) -> Callable[[str, str], tuple[int, float, float]]:
    """``row("water_valve", "state = 'open'")``: id and WGS 84 place of a feature of the demo city."""

    def find(layer: str, condition: str) -> tuple[int, float, float]:
        statement = sql.SQL(
            "SELECT fid, ST_X(p), ST_Y(p) FROM (SELECT fid, ST_Transform(ST_PointOnSurface(geom), 4326) AS p "
            "FROM {} WHERE {} ORDER BY fid LIMIT 1) AS found"
        ).format(sql.Identifier("layer", layer), sql.SQL(condition))
        with psycopg.connect(site_db.owner_dsn) as connection:
            found = connection.execute(statement).fetchone()
        assert found is not None, f"the demo has no {layer} where {condition}"
        return int(found[0]), float(found[1]), float(found[2])

    return find
