"""Prints and images over HTTP, measured in the PDF: lengths, places, names and texts are what they say."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pypdfium2
import pytest
from PIL import Image
from pypdfium2 import raw

from gis.crs import transform_xy
from tests.api.identity import bearer, make, token
from tests.api.problem import assert_problem
from tests.api.process import Server
from tests.api.sample import HOSTILE, place_of

SHARED = True  # (tests/api/conftest.py)

MM = 72 / 25.4
#: Of the grid of sample rows, 40 m apart; five of them are on an A4 at 1:1000.
EAST, NORTH = 606_120.0, 1_192_000.0
CENTER = ",".join(f"{v[0]:.9f}" for v in transform_xy([EAST], [NORTH], 9210, 4326))
HERE = f"/print?center={CENTER}"


@dataclass
class Sheet:
    """What PDFium finds on a page; boxes are left, bottom, right, top in mm."""

    text: str
    size: tuple[float, float]
    title: str
    paths: list[tuple[float, ...]] = field(default_factory=list)
    #: Where drawings that are used many times (discs, icons) have their middle.
    forms: list[tuple[float, float]] = field(default_factory=list)
    words: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)

    @property
    def window(self) -> tuple[float, ...]:
        """The frame of the map: the largest box but the one around its coordinates."""
        boxes = sorted(set(self.paths), key=lambda b: (b[2] - b[0]) * (b[3] - b[1]))
        large = [b for b in boxes if b[2] - b[0] > 0.5 * self.size[0] and b[3] - b[1] > 0.4 * self.size[1]]
        return large[0]

    def symbols(self) -> list[tuple[float, float]]:
        """Middles of the points on the map, from the west; each once (an icon lies on its disc)."""
        left, low, right, top = self.window
        middles = {(round(x, 2), round(y, 2)) for x, y in self.forms}
        return sorted(m for m in middles if left < m[0] < right and low < m[1] < top)


@contextmanager
def opened(body: bytes) -> Iterator[pypdfium2.PdfPage]:
    document = pypdfium2.PdfDocument(body)
    try:
        yield document[0]
    finally:
        document.close()


def read(response: httpx.Response, *words: str) -> Sheet:
    """The page of an answer; ``words`` are looked for."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/pdf"
    assert int(response.headers["content-length"]) == len(response.content)
    with opened(response.content) as page:
        assert len(page.pdf) == 1
        texts = page.get_textpage()
        sheet = Sheet(
            texts.get_text_bounded().replace("\r", ""),
            tuple(v / MM for v in page.get_size()),  # type: ignore[arg-type]
            page.pdf.get_metadata_dict()["Title"],
        )
        for one in page.get_objects(max_depth=1):
            box = tuple(v / MM for v in one.get_bounds())
            if one.type == raw.FPDF_PAGEOBJ_PATH:
                sheet.paths.append(box)
            elif one.type == raw.FPDF_PAGEOBJ_FORM:
                matrix = one.get_matrix()
                sheet.forms.append((matrix.e / MM, matrix.f / MM))
        for word in words:
            search = texts.search(word, match_case=True)
            while found := search.get_next():
                boxes = [texts.get_charbox(n) for n in range(found[0], found[0] + found[1])]
                low, high = np.min(boxes, axis=0), np.max(boxes, axis=0)
                sides = (low[0], low[1], high[2], high[3])
                sheet.words.setdefault(word, []).append(tuple(v / MM for v in sides))
    return sheet


def post(running: Server, **body: Any) -> httpx.Response:
    """An order."""
    return httpx.post(f"{running.url}/print", timeout=240, trust_env=False, **body)


@pytest.mark.parametrize(
    ("scale", "paper", "orientation", "size"),
    [
        (500, "a4", "landscape", (297, 210)),
        (2000, "a3", "portrait", (297, 420)),
        (5000, "a1", "landscape", (841, 594)),
    ],
)
def test_the_scale_bar_is_as_long_as_it_says(
    running: Server, scale: int, paper: str, orientation: str, size: tuple[float, float]
) -> None:
    answer = running.get(
        f"{HERE}&scale={scale}&paper={paper}&orientation={orientation}&layers=water_hydrant&lang=en"
    )
    sheet = read(answer)
    assert sheet.size == pytest.approx(size, abs=0.01)
    assert f"Scale 1:{scale:,}".replace(",", " ") in sheet.text
    label = re.search(r"^0 .*?([\d ]+) m$", sheet.text, re.MULTILINE)
    assert label, sheet.text
    metres = int(label[1].split(" ")[-1])
    growth = {"a4": 1.0, "a3": 1.12, "a1": 1.5}[paper]
    left, low, right, top = sheet.window
    beside = [b for b in sheet.paths if not (left < b[0] < right and low < b[1] < top)]
    # four boxes side by side, 1.2 mm high on A4 (the bounds hold the stroke too)
    parts = sorted({b for b in beside if 1.2 * growth < b[3] - b[1] < 1.2 * growth + 0.25})
    parts = [b for b in parts if b[2] - b[0] > 5]
    assert len(parts) == 4
    steps = [b[0] - a[0] for a, b in pairwise(parts)]
    assert steps == pytest.approx([metres * 1000 / scale / 4] * 3, abs=0.02)


def test_places_and_the_grid_are_true(running: Server) -> None:
    """Points 40 m apart are 40 mm apart at 1:1000, and the grid's coordinates say where they are."""
    labels = ("606 050 E", "606 100 E", "606 150 E", "606 200 E", "1 192 000 N", "1 192 050 N")
    sheet = read(running.get(f"{HERE}&scale=1000&layers=water_hydrant"), *labels)
    points = sheet.symbols()
    assert len(points) == 5
    steps = [b[0] - a[0] for a, b in pairwise(points)]
    assert steps == pytest.approx([40.0] * 4, abs=0.03)
    assert np.ptp([y for _, y in points]) < 0.03
    # the crosses of the grid: thin lines of 5 mm
    left, low, right, top = sheet.window
    assert (left + right) / 2 == pytest.approx(points[2][0], abs=0.03)  # the middle is the centre
    assert (low + top) / 2 == pytest.approx(points[2][1], abs=0.03)
    upright = {
        round((b[0] + b[2]) / 2, 2)
        for b in sheet.paths
        if b[2] - b[0] < 0.3 and 4.5 < b[3] - b[1] < 5.6 and left < b[0] < right
    }
    expected = {e: points[0][0] + (e - 606_040) for e in (606_050, 606_100, 606_150, 606_200)}
    for east, x in expected.items():
        assert min(abs(x - line) for line in upright) < 0.05, east
        shown = sheet.words[f"606 {east - 606_000:03} E"]
        assert len(shown) == 2  # below and above
        for box in shown:
            assert (box[0] + box[2]) / 2 == pytest.approx(x, abs=0.6)
    for north in (1_192_000, 1_192_050):
        for box in sheet.words[f"1 192 {north - 1_192_000:03} N"]:
            assert (box[1] + box[3]) / 2 == pytest.approx(points[0][1] + north - NORTH, abs=0.6)


def test_sheets_titles_and_sources_are_named(running: Server) -> None:
    """Ben Thanh's sheets, as domain/map-sheets.md has them; Vietnamese comes out as it went in."""
    title = "Quy hoạch chợ Bến Thành – Ễnh ương, dưỡng sữa, Đường Lê Lợi"
    address = f"/print?center=106.698,10.7725&scale=1000&title={title}"
    sheet = read(running.get(address))
    assert sheet.text.startswith(title) or title in sheet.text
    assert sheet.title == title
    assert "C-48-34-(119-a)" in sheet.text
    assert "194 602-8" in sheet.text
    assert "VN-2000 / TM-3 105-45 (EPSG:9210)" in sheet.text.replace("\n", " ")
    assert "Không có đối tượng nào trong khung bản đồ." in sheet.text.replace("\n", " ")
    answer = running.get(f"{address}&lang=en")
    assert "There is no feature in the window" in read(answer).text
    assert answer.headers["content-disposition"].startswith(
        'attachment; filename="Quy-hoach-cho-Ben-Thanh-Enh-uong-duong-sua-Duong-Le-Loi-1-1000.pdf"'
    )
    full = read(running.get(f"{HERE}&scale=1000&layers=water_pipe,power_line"))
    assert "Tổng công ty Cấp nước Sài Gòn" in full.text.replace("\n", " ")
    assert "Mức" not in full.text or "PAS 128" in full.text


@pytest.mark.parametrize(
    "title",
    [
        "</title><script>alert(1)</script> & ]]> (\\) %s {0}",
        "\u202eẩn giấu\u202c \u0007\u001b[31m \u200b\ufeff",
        "شارع 🚰 路 " * 5,
        "Ữ" * 3000,
        "x" * 3000,
    ],
    ids=["markup", "control", "scripts", "long", "wide"],
)
def test_hostile_titles_are_text(running: Server, title: str) -> None:
    answer = running.get(
        "/print", params={"center": CENTER, "scale": "500", "layers": "water_valve", "title": title}
    )
    sheet = read(answer)
    assert len(sheet.title) <= 120
    assert "\u202e" not in sheet.text
    assert "\x1b" not in sheet.text
    if "script" in title:
        assert "<script>alert(1)</script>" in sheet.text
    assert "\n" not in answer.headers["content-disposition"]
    for box in sheet.paths:
        assert 0 <= box[0] <= box[2] <= sheet.size[0]


def test_hostile_values_are_text(running: Server) -> None:
    east, north = place_of(3)
    here = ",".join(f"{v[0]:.9f}" for v in transform_xy([east], [north], 9210, 4326))
    sheet = read(running.get(f"/print?center={here}&scale=500&layers=base_place"))
    assert HOSTILE[:8] in sheet.text.replace("\n", " ")
    assert b"/JavaScript" not in running.get(f"/print?center={here}&scale=500&layers=base_place").content


def test_hidden_layers_and_values_are_absent_for_strangers(running: Server) -> None:
    hidden = assert_problem(running.get(f"{HERE}&scale=1000&layers=water_facility,power_meter"), 400)
    unknown = assert_problem(running.get(f"{HERE}&scale=1000&layers=water_facility,nowhere"), 400)
    assert hidden["detail"] == unknown["detail"]
    order = {"center": [106.7, 10.78], "scale": 1000, "filter": {"cadastre_parcel": "holder_ref IS NOT NULL"}}
    assert_problem(post(running, json=order), 400, "invalid-filter")
    power, water = (
        bearer(token(running.db, make(running.db, f"print_{agency}", ("viewer", agency))))
        for agency in ("evnhcmc", "sawaco")
    )
    seen = running.get(f"{HERE}&scale=1000&layers=power_meter", headers=power)
    assert seen.status_code == 200, seen.text
    assert "authorization" in seen.headers["vary"].lower()
    assert_problem(running.get(f"{HERE}&scale=1000&layers=power_meter", headers=water), 400)


def test_every_process_and_language_draws_the_same(running: Server) -> None:
    """New connections reach either of the two processes."""
    address = f"{HERE}&scale=2000&layers=water_pipe,water_valve,water_hydrant,cadastre_parcel,base_road"
    made = {httpx.get(f"{running.url}{address}&lang=vi", timeout=60).content for _ in range(4)}
    assert len(made) == 1
    vi = read(running.get(f"{address}&lang=vi"))
    en = read(running.get(f"{address}&lang=en"))
    assert vi.window == en.window
    assert vi.symbols() == en.symbols()


def test_an_order_may_filter(running: Server) -> None:
    order = {"center": [float(v) for v in CENTER.split(",")], "scale": 1000, "layers": ["water_hydrant"]}
    some = {**order, "filter": {"water_hydrant": "asset_id IN ('water_hydrant-s5', 'water_hydrant-s7')"}}
    answer = post(running, json=some)
    points = read(answer).symbols()
    assert len(points) == 2
    assert points[1][0] - points[0][0] == pytest.approx(80, abs=0.03)
    tree = {"op": "=", "args": [{"property": "asset_id"}, "water_hydrant-s5"]}
    assert len(read(post(running, json={**order, "filter": {"water_hydrant": tree}})).symbols()) == 1
    wrong = [
        ({**order, "filter": {"water_pipe": "TRUE"}}, 400),
        ({**order, "filter": {"water_hydrant": "asset_id = "}}, 400),
        ({**order, "filter": {"water_hydrant": 5}}, 400),
        ({**order, "filter": "x"}, 400),
        ({**order, "colour": "red"}, 400),
        ({**order, "scale": True}, 400),
        ({**order, "center": {"lon": 1}}, 400),
        ([], 400),
        ({**order, "title": "x" * 200_000}, 413),
    ]
    for body, status in wrong:
        assert_problem(post(running, json=body), status)
    assert_problem(post(running, content=b"{}", headers={"Content-Type": "text/plain"}), 415)
    assert_problem(
        httpx.post(f"{running.url}/print?scale=5", json=order, timeout=240), 400, "unknown-parameter"
    )


@pytest.mark.parametrize(
    "address",
    [
        "/print",
        f"{HERE}&scale=0",
        f"{HERE}&scale=1000&paper=a0",
        f"{HERE}&scale=1000&colour=red",
        f"{HERE}&scale=1000&lang=fr",
        f"{HERE}&scale=1000&f=html",
        f"{HERE}&scale=1000&scale=2000",
        "/image?bbox=1,2,3,4,5",
        "/image?bbox=-180,-80,180,80",
        "/image?center=106.7,10.78",
        f"/image?center={CENTER}&scale=1000&width=100000",
        f"/image?center={CENTER}&scale=1000&filter=water_pipe",
        f"/image?center={CENTER}&scale=1000&filter=%7B%22water_pipe%22%3A%22diameter_mm%20%3E%22%7D",
        f"/image?center={CENTER}&scale=1000&layers=water_pipe&filter=%7B%22water_hydrant%22%3A%22TRUE%22%7D",
    ],
)
def test_what_cannot_be_is_told(running: Server, address: str) -> None:
    assert_problem(running.get(address), 400)


def test_an_image_shows_its_box(running: Server) -> None:
    """Parcels have their first corner at the sample's places: their ink is where it should be."""
    answer = running.get(f"/image?center={CENTER}&scale=1000&width=640&height=480&layers=water_hydrant")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    pixels = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")).astype(int)
    assert pixels.shape == (480, 640, 3)
    ground = pixels[5, 5]
    # 40 m at 1:1000 and 96 pixels to the inch
    step = 0.04 / 0.0254 * 96
    for n in (-1, 0, 1):
        x = round(320 + n * step)
        assert np.abs(pixels[240, x] - ground).max() > 60, n
        assert np.abs(pixels[210, x] - ground).max() < 12
    again = running.get(
        answer.request.url.raw_path.decode(), headers={"If-None-Match": answer.headers["etag"]}
    )
    assert again.status_code == 304
    lon, lat = (float(v) for v in CENTER.split(","))
    box = f"{lon - 0.0008},{lat - 0.0005},{lon + 0.0008},{lat + 0.0005}"
    whole = running.get(f"/image?bbox={box}&width=800&height=500")
    assert Image.open(io.BytesIO(whole.content)).size == (800, 500)
    one = quote(json.dumps({"water_hydrant": "asset_id = 'water_hydrant-s6'"}))
    some = running.get(f"{answer.request.url.raw_path.decode()}&filter={one}")
    assert some.status_code == 200, some.text
    left = np.asarray(Image.open(io.BytesIO(some.content)).convert("RGB")).astype(int)
    shown = [bool(np.abs(left[240, round(320 + n * step)] - ground).max() > 60) for n in (-1, 0, 1)]
    assert shown == [False, True, False]
