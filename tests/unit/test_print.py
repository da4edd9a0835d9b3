"""The pure part of prints: styles understood, letters there, labels apart, paths right, files well formed."""

from __future__ import annotations

import asyncio
import io
import random
from datetime import UTC, datetime
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
import shapely
from PIL import Image

from gis.api.print.desk import MOST_OF_ONE, Desk
from gis.api.problems import Refusal
from gis.errors import LimitError, UsageError
from gis.print import UNIT, shapes
from gis.print.expressions import Feature, UnknownExpression, compiled
from gis.print.fonts import BOLD, REGULAR, clean, faces, width, wrapped
from gis.print.labels import Candidate, Room, place
from gis.print.legend import _columns
from gis.print.order import read_image, read_print
from gis.print.page import Page
from gis.print.palette import Palette, icons
from gis.print.pdf import Pdf
from gis.print.pictures import MOST_PIXELS, Picture
from gis.print.pictures import PIXEL_MM as PICTURE_MM
from gis.print.raster import png
from gis.print.sheet import ORIENTATIONS, PAPERS, PIXEL_MM, Rect, ground_of, layout_of
from gis.print.symbols import Label, symbol
from gis.print.texts import TEXTS
from layers.registry import Catalogue
from tiles.mosaic import Mosaic, Scene
from tiles.style import style_layers

CENTER = (106.698, 10.7725)


def test_every_style_layer_of_the_catalogue_is_understood(catalogue: Catalogue) -> None:
    for layer in catalogue.layers.values():
        for language in ("vi", "en"):
            for one in style_layers(layer, language):
                symbol(one, strict=True)
    with pytest.raises(UnknownExpression):
        symbol({"id": "x", "type": "fill", "paint": {"fill-color": ["feature-state", "hover"]}}, strict=True)


def test_every_icon_of_the_catalogue_can_be_drawn(catalogue: Catalogue) -> None:
    styles = [layer.definition.style for layer in catalogue.layers.values()]
    named = {style.icon for style in styles} | {
        icon for style in styles if style.classes for icon in style.classes.icons.values()
    }
    assert named - {None} <= icons().keys()
    palette = Palette(Pdf(io.BytesIO(), 10**7))
    for name in icons():
        assert palette.icon(name)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (["match", ["get", "kind"], ["a", "b"], 1, "c", 2, 3], 1),
        (["match", ["get", "none"], "a", 1, 3], 3),
        (["case", ["<", ["get", "d"], 100], "thin", "thick"], "thick"),
        (["case", ["<", ["get", "none"], 100], "thin", "thick"], "thick"),  # null compares with nothing
        (["interpolate", ["linear"], ["zoom"], 10, 1, 20, 3], 2.0),
        (["interpolate", ["exponential", 2], ["zoom"], 14, 0, 16, 30], 10.0),
        (["interpolate", ["linear"], ["zoom"], 10, "#000000", 20, "#ffffff"], "#808080"),
        (["concat", "D", ["to-string", ["get", "d"]], " ", ["get", "none"]], "D150 "),
        (["step", ["get", "d"], "s", 100, "m", 200, "l"], "m"),
        (["!", ["in", ["get", "kind"], ["literal", ["x", "a"]]]], False),
        (["all", ["has", "d"], ["!", ["has", "none"]]], True),
        (["coalesce", ["get", "none"], ["get", "kind"]], "a"),
        (["==", ["get", "flag"], 1], False),  # true is not 1
    ],
)
def test_expressions_mean_what_maplibre_means(expression: list[object], expected: object) -> None:
    feature = Feature({"kind": "a", "d": 150.0, "none": None, "flag": True}, "LineString", 15.0)
    if expected == 2.0 or isinstance(expected, float):
        assert compiled(expression)(feature) == pytest.approx(expected)
    else:
        assert compiled(expression)(feature) == expected


def test_the_fonts_have_every_letter_that_is_printed(catalogue: Catalogue) -> None:
    there = {face: {chr(code) for one in files for code in one.glyphs} for face, files in faces().items()}
    texts = [text for words in TEXTS.values() for text in words.values()]
    for layer in catalogue.layers.values():
        texts += [layer.title.vi, layer.title.en, layer.sector.title.vi, layer.sector.title.en]
    lower = "aàảãáạăằẳẵắặâầẩẫấậeèẻẽéẹêềểễếệiìỉĩíịoòỏõóọôồổỗốộơờởỡớợuùủũúụưừửữứựyỳỷỹýỵđ"
    for face in (REGULAR, BOLD):
        missing = {c for text in (*texts, lower, lower.upper(), "0'°·–…Ø") for c in text} - there[face]
        assert not missing, (face, missing)


def test_texts_are_cleaned_and_cut() -> None:
    assert clean("Đường\r\n\t\x00Lê\u202e Lợi\u200b \ud800", 50) == "Đường Lê Lợi"
    assert clean("e\u0302\u0301", 50) == "ế"
    long = clean("ữ" * 10_000, 120)
    assert len(long) == 120
    assert long.endswith("…")
    for line in wrapped("Thửa đất số 15 " * 50 + "x" * 500, 10, 100, lines=4):
        assert width(line, 10) <= 100


def test_labels_lie_apart_and_in_the_window() -> None:
    generator = random.Random(5)
    window = Rect(1000, 1000, 12_000, 9_000)
    label = Label("Nguyễn Huệ 12", 11, "#000000", "#ffffff", 1, False, 0.7)
    along = label._replace(along=True, beside=0.0, text="D150")
    wanted = []
    for _ in range(400):
        x, y = generator.uniform(0, 14_000), generator.uniform(0, 11_000)
        end = (x + generator.uniform(-3000, 3000), y + generator.uniform(-3000, 3000))
        wanted.append(Candidate(label, x, y, None, 0.0))
        wanted.append(Candidate(along, x, y, end, generator.random()))
    placed = place(wanted, Room(window), 20)
    assert len(placed) > 40
    assert any(one.angle for one in placed)
    bodies = []
    for one in placed:
        across = np.array([np.cos(one.angle), np.sin(one.angle)])
        up = np.array([-across[1], across[0]])
        for text, x, y in one.lines:
            start, long = np.array([x, y]), width(text, one.size)
            corners = [start, start + across * long, start + across * long + up * 0.7 * one.size]
            bodies.append(shapely.Polygon([*corners, start + up * 0.7 * one.size]))
    frame = shapely.box(window.x, window.y, window.right, window.top)
    assert all(frame.covers(body) for body in bodies)
    assert not any(a.intersects(b) for a, b in combinations(bodies, 2))


def test_paths_close_rings_paint_each_feature_and_drop_what_is_too_small() -> None:
    ground = ground_of(Rect(0, 0, 20_000, 15_000), CENTER, 1000, 9210, PIXEL_MM)
    x, y = ground.west, ground.south  # a metre is 100 units
    hole = [(x + 4, y + 4), (x + 6, y + 4), (x + 6, y + 6)]
    dot = [(x + 7, y + 7), (x + 7.001, y + 7), (x + 7, y + 7.001)]
    made = np.array(
        [
            shapely.Polygon([(x, y), (x + 10, y), (x + 10, y), (x + 10, y + 10), (x, y + 10)], [hole, dot]),
            None,
            shapely.MultiPolygon(
                [shapely.box(x + 20, y, x + 21, y + 1), shapely.box(x + 30, y, x + 31, y + 1)]
            ),
            shapely.LineString([(x, y), (x + 1, y + 1)]),
        ],
        dtype=object,
    )
    text = "".join(shapes.polygons(made, ground).tokens(shapes.FILL))
    assert text.startswith("1000 0 m 1000 1000 l 0 1000 l 0 0 l h ") or text.startswith("0 0 m 1000 0 l ")
    assert text.count("f*") == 2
    assert text.count("h") == 4
    assert "700 700" not in text
    lines = "".join(shapes.lines(made, ground).tokens(shapes.LINES))
    assert lines == "0 0 m 100 100 l "
    many = ["1 1 m ", *["2 2 l "] * 9000, "3 3 m ", "4 4 l "]
    assert shapes.stroked(many).count("S\n") == 2


@pytest.mark.parametrize(("paper", "orientation"), [*product(PAPERS, ORIENTATIONS)])
def test_the_parts_of_a_page_do_not_meet(paper: str, orientation: str) -> None:
    layout = layout_of(paper, orientation)
    frame = layout.map.inner(-layout.band)
    boxes = [shapely.box(r.x, r.y, r.right, r.top) for r in (layout.title, frame, layout.panel)]
    page = shapely.box(0, 0, layout.width, layout.height)
    assert all(page.contains(one) for one in boxes)
    assert all(a.intersection(b).area == 0 for a, b in combinations(boxes, 2))
    assert layout.map.width * layout.map.height > 0.5 * page.area
    assert sorted((layout.width, layout.height)) == [v * UNIT for v in PAPERS[paper]]


def test_a_file_is_bounded_and_what_viewers_read() -> None:
    with pytest.raises(LimitError):
        Pdf(io.BytesIO(), 100).stream(bytes(range(256)) * 100)
    file = io.BytesIO()
    pdf = Pdf(file, 10**6)
    page = Page(pdf, Palette(pdf))
    page.begin(Rect(0, 0, 1000, 1000), "#ff0000")
    page.end_map()
    page.finish(1000, 1000, "Bản đồ (thử) \\", "vi")
    document = pypdfium2.PdfDocument(file.getvalue())
    assert document.get_metadata_dict()["Title"] == "Bản đồ (thử) \\"
    assert document[0].get_size() == pytest.approx((28.3465, 28.3465), abs=1e-3)
    document.close()


@pytest.mark.parametrize("count", range(1, 70, 3))
def test_a_legend_stands_in_columns_that_fit(count: int) -> None:
    rows = [(str(n), n % 4 == 0, None) for n in range(count)]
    for columns in (1, 2, 3):
        most = -(-(count + columns - 1) // columns)
        made = _columns(rows, columns, most)
        assert [row for column in made for row in column] == rows
        assert len(made) <= columns
        assert max(map(len, made)) <= most
        assert not any(column[-1][1] for column in made[:-1] if column)


@pytest.mark.parametrize(("paper", "scale"), [("a4", 1000), ("a1", 500), ("a1", 50_000)])
def test_pictures_are_bounded_and_cover_the_map(paper: str, scale: int, catalogue: Catalogue) -> None:
    box = shapely.box(590_000, 1_180_000, 615_000, 1_200_000)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    scene = Scene(Path("0.tif"), box, None, 0.1, None, "x", None, None, at)
    mosaic = Mosaic(catalogue.rasters["base_orthophoto"], [scene], 9210)
    ground = ground_of(layout_of(paper, "landscape").map, CENTER, scale, 9210, PIXEL_MM)
    picture = Picture(mosaic, ground, PICTURE_MM * UNIT)
    assert picture.columns * picture.rows <= 1.01 * MOST_PIXELS
    assert picture.pixel / ground.units >= 0.1 - 1e-9, "never finer than the files"
    seen = np.zeros((picture.rows, picture.columns), np.int8)
    for block in picture.blocks():
        assert max(block.width, block.height) <= 513
        seen[block.row : block.row + block.height, block.column : block.column + block.width] += 1
    assert seen.min() == 1, "no gap"
    assert picture.columns * picture.pixel >= ground.window.width - 1
    assert picture.rows * picture.pixel >= ground.window.height - 1


def test_png_is_what_others_read() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    read = Image.open(io.BytesIO(png(pixels)))
    assert read.size == (53, 37)
    assert np.array_equal(np.asarray(read), pixels)


_RIGHT = {"center": "106.7,10.78", "scale": "1000"}


@pytest.mark.parametrize(
    "given",
    [
        {"scale": "1000"},
        {"center": "106.7,10.78"},
        *(
            {**_RIGHT, name: value}
            for name, value in (
                ("center", "10.78,106.7"),
                ("center", "106.7"),
                ("center", "106.7,10.78,0"),
                ("center", "nan,10"),
                ("center", "x,y"),
                ("scale", "0"),
                ("scale", "-1000"),
                ("scale", "99"),
                ("scale", "1e9"),
                ("scale", "1000.5"),
                ("scale", "inf"),
                ("scale", "١٠٠٠"),
                ("paper", "a0"),
                ("paper", ""),
                ("orientation", "upside"),
                ("layers", ""),
                ("layers", "nowhere"),
                ("layers", "water_pipe,power_secret"),
            )
        ),
    ],
    ids=str,
)
def test_what_cannot_be_printed_is_told(given: dict[str, str], catalogue: Catalogue) -> None:
    with pytest.raises(UsageError) as caught:
        read_print(given, catalogue, "vi")
    assert caught.value.errors


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"bbox": "1,2,3"},
        {"bbox": "106.8,10.7,106.7,10.8"},
        {"bbox": "106.7,10.7,106.70000001,10.70000001"},
        {"bbox": "-180,-80,180,80"},
        {"bbox": "106.7,10.7,106.71,10.71", "scale": "1000"},
        {"center": "106.7,10.78", "scale": "1000", "width": "0"},
        {"center": "106.7,10.78", "scale": "1000", "width": "4097"},
        {"center": "106.7,10.78", "scale": "1000", "width": "4096", "height": "4096"},
        {"center": "106.7,10.78", "scale": "1000", "width": "80.5"},
    ],
    ids=str,
)
def test_what_cannot_be_an_image_is_told(given: dict[str, str], catalogue: Catalogue) -> None:
    with pytest.raises(UsageError) as caught:
        read_image(given, catalogue, "vi", 9210)
    assert caught.value.errors


def test_one_client_cannot_take_the_whole_desk() -> None:
    async def ask() -> None:
        desk, hold = Desk(), asyncio.Event()

        async def wait(client: str) -> None:
            async with desk.turn(client):
                await hold.wait()

        greedy = [asyncio.create_task(wait("greedy")) for _ in range(MOST_OF_ONE)]
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as caught:
            await wait("greedy")
        assert caught.value.response.status_code == 429
        others = [asyncio.create_task(wait(f"other {n}")) for n in range(9)]
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as caught:
            await wait("late")
        assert caught.value.response.status_code == 503
        others[0].cancel()  # a client that leaves makes room
        await asyncio.gather(others[0], return_exceptions=True)
        late = asyncio.create_task(wait("late"))
        await asyncio.sleep(0)
        hold.set()
        await asyncio.gather(*greedy, *others[1:], late)
        desk.close()

    asyncio.run(ask())
