"""Raster files: where their pixels land, what is refused, what is kept; and the pictures made of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from pydantic import ValidationError
from rasterio.transform import Affine, from_bounds, from_origin
from rasterio.vrt import WarpedVRT
from rio_cogeo.cogeo import cog_validate

from gis import crs
from gis.crs.raster import labelled, pinned
from gis.errors import LoadRefused
from gis.ingest import protocol, spawn
from gis.ingest.raster import formats
from gis.ingest.raster.convert import Result, convert
from gis.ingest.raster.load import CHILD
from gis.ingest.raster.request import RasterRequest
from gis.ingest.reader import Reader
from gis.sheets import parse_sheet
from layers.model import SectorDef, Text
from layers.raster import RasterDef, RasterLayer
from layers.registry import Catalogue, CatalogueError, load_catalogue
from tiles import raster, shade
from tiles.grid import tile_at
from tiles.mosaic import Mosaic, Scene

#: Pictures without a place are what some tests are about.
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

#: EPSG:9210 and EPSG:3857 of one place (domain/crs.md).
VECTORS = (
    ((600000, 1190000), (11874019.089, 1204838.255)),
    ((603000, 1192000), (11877078.586, 1206877.723)),
    ((580000, 1215000), (11853725.106, 1230513.233)),
)
#: Ben Thanh in several CRSs, and where it is in EPSG:9210.
BEN_THANH = (603481.588, 1191454.611)
ELSEWHERE = {3405: (685466.299, 1191450.738), 5897: (685521.961, 1191808.316), 4326: (106.698, 10.7725)}
EXTENT = (106.05, 8.45, 107.70, 11.60)

Write = Callable[..., Path]
Convert = Callable[..., tuple[Result, Path]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write(array, origin, step, code, **options)``: a GeoTIFF (or another driver's file)."""

    def make(
        values: Any, origin: Any, step: float, code: int | None, name: str = "given.tif", **options: Any
    ) -> Path:
        values = np.asarray(values)
        values = values if values.ndim == 3 else values[None]
        options = {"driver": "GTiff", "transform": from_origin(*origin, step, step), **options}
        colours = options.pop("colours", None)
        path = tmp_path / name
        with rasterio.open(
            path, "w", count=len(values), height=values.shape[1], width=values.shape[2],
            dtype=values.dtype.name, crs=labelled(code) if code else None, **options,
        ) as target:  # fmt: skip
            target.write(values)
            if colours:
                target.write_colormap(1, colours)
        return path

    return make


@pytest.fixture
def made(tmp_path: Path) -> Convert:
    """``made(path, kind, **request)``: converted here, without a child; with its result."""

    def run(path: Path, kind: str = "elevation", **options: Any) -> tuple[Result, Path]:
        source = formats.sniff(path)
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        request = RasterRequest(
            format=source.format, path=path, parts=(path,), work=work, kind=kind, compression="lossless",
            heights=(-100.0, 4000.0), storage=9210, extent=EXTENT, offered=(5899, 5897, 3405),
            world=source.world, projection=source.projection,
        )  # fmt: skip
        request = replace(request, **options)
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES", GDAL_PAM_ENABLED="NO"):
            return convert(request, lambda _done, _total: None), request.result

    return run


def mosaic_of(kind: str, *files: tuple[Path, Any], **definition: Any) -> Mosaic:
    """A layer of files with their footprints (storage CRS)."""
    text = Text(vi="x", en="x")
    given = RasterDef.model_validate({"title": text, "kind": kind, "owner": "city", **definition})
    layer = RasterLayer("test", SectorDef(id="test", title=text, order=1), given)
    scenes = []
    for number, (path, footprint) in enumerate(files):
        with rasterio.open(path) as source:
            resolution = source.res[0]
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)
        scenes.append(Scene(path, footprint, None, resolution, None, path.name, None, None, at, number))
    return Mosaic(layer, scenes, 9210)


def footprint(result: Result) -> Any:
    return shapely.from_wkb(result.footprint)


# --- where pixels land ------------------------------------------------------------------------------


def lit(values: Any, box: Any) -> tuple[float, float]:
    """Middle of what is bright in a picture of a box."""
    rows, columns = np.nonzero(values > values.max() / 2)
    step = (box[2] - box[0]) / values.shape[1]
    return box[0] + (columns.mean() + 0.5) * step, box[3] - (rows.mean() + 0.5) * step


def spot(at: tuple[float, float], step: float) -> tuple[Any, tuple[float, float]]:
    """A picture whose middle pixel alone is bright, and its corner: that pixel's middle is ``at``."""
    values = np.zeros((3, 101, 101), dtype=np.uint8)
    values[:, 50, 50] = 255
    return values, (at[0] - 50.5 * step, at[1] + 50.5 * step)


@pytest.mark.parametrize(("storage", "mercator"), VECTORS)
def test_a_pixel_is_drawn_where_it_lies(
    write: Write, made: Convert, storage: tuple[float, float], mercator: tuple[float, float]
) -> None:
    values, origin = spot(storage, 0.2)
    result, path = made(write(values, origin, 0.2, 9210), "imagery")
    x, y = mercator
    box = (x - 6, y - 6, x + 6, y + 6)
    layer = mosaic_of("imagery", (path, footprint(result)))
    body = raster.picture(layer, layer.scenes, box, 3857, 480, 480, "default", "png")
    assert body is not None
    with rasterio.MemoryFile(body) as memory, memory.open() as picture:
        at = lit(picture.read(1), box)
    assert np.hypot(at[0] - x, at[1] - y) < 0.1, "within half a pixel"
    # The same with the choice left to GDAL: this is the trap, and the test above sees it.
    with (
        rasterio.open(path) as source,
        WarpedVRT(
            source, crs=pinned(3857), transform=from_bounds(*box, 480, 480), width=480, height=480
        ) as left,
    ):
        wrong = lit(left.read(1), box)
    assert np.hypot(wrong[0] - x, wrong[1] - y) > 0.7


@pytest.mark.parametrize("code", sorted(ELSEWHERE))
def test_a_file_of_another_crs_lands_where_it_should(write: Write, made: Convert, code: int) -> None:
    step = 0.2 if code != 4326 else 0.2 / 110_000
    values, origin = spot(ELSEWHERE[code], step)
    result, path = made(write(values, origin, step, code), "imagery")
    assert result.warped and result.crs == code
    with rasterio.open(path) as source:
        assert source.crs.to_epsg() == 9210
        at = lit(source.read(1), source.bounds)
    # half a pixel, and as much for the pixel that the warp lays elsewhere
    assert np.hypot(at[0] - BEN_THANH[0], at[1] - BEN_THANH[1]) < 0.2
    with (
        rasterio.open(write(values, origin, step, code)) as source,
        WarpedVRT(source, crs=labelled(9210)) as left,
    ):
        wrong = lit(left.read(1), left.bounds)
    off = np.hypot(wrong[0] - BEN_THANH[0], wrong[1] - BEN_THANH[1])
    assert off > 0.6 if code == 4326 else off < 0.4, "within VN-2000 there is no datum step to be wrong about"


def test_a_rotated_scan_with_a_world_file_is_straightened(
    write: Write, made: Convert, tmp_path: Path
) -> None:
    values, _ = spot((0, 0), 1)
    path = write(values, (0, 0), 1, None, "scan.png", driver="PNG", transform=Affine.identity())
    turned = (
        Affine.translation(*BEN_THANH)
        @ Affine.rotation(10)
        @ Affine.scale(0.5, -0.5)
        @ Affine.translation(-50, -50)
    )
    (tmp_path / "scan.pgw").write_text(
        "\n".join(str(v) for v in (turned.a, turned.d, turned.b, turned.e, turned.c, turned.f))
    )
    result, done = made(path, "scan", crs=9210)
    assert result.warped
    with rasterio.open(done) as source:
        at = lit(np.where(source.dataset_mask() > 0, source.read(1), 0), source.bounds)
    assert np.hypot(at[0] - BEN_THANH[0], at[1] - BEN_THANH[1]) < 0.5


# --- what is refused ---------------------------------------------------------------------------------

FLAT = np.full((40, 50), 3.5, dtype=np.float32)


@pytest.mark.parametrize(
    ("origin", "code", "mistake"),
    [
        ((1191454, 603481), 9210, "crs-swapped-axes"),
        ((603481, 1191454), 5899, "crs-other-zone"),
        ((106.698, 10.7725), 9210, "crs-degrees-as-metres"),
        ((603481, 2191454), 9210, "crs-outside-city"),
    ],
)
def test_a_wrong_crs_is_named(write: Write, made: Convert, origin: Any, code: int, mistake: str) -> None:
    step = 1.0 if origin[0] > 1000 else 1e-5
    with pytest.raises(LoadRefused) as refused:
        made(write(FLAT, origin, step, code))
    assert refused.value.code == mistake


def test_what_is_not_said_is_asked_for(write: Write, made: Convert) -> None:
    with pytest.raises(LoadRefused) as refused:
        made(write(FLAT, BEN_THANH, 1, None))
    assert refused.value.code == "no-crs"
    with pytest.raises(LoadRefused) as refused:
        made(write(FLAT, (0, 0), 1, 9210, transform=Affine.identity()))
    assert refused.value.code == "no-georeference"
    assert made(write(FLAT, BEN_THANH, 1, None), crs=9210)[0].lowest == 3.5


@pytest.mark.parametrize(
    ("values", "kind", "code"),
    [
        (np.zeros((3, 40, 50), np.float32), "elevation", "wrong-bands"),
        (np.zeros((40, 50), np.uint8), "elevation", "wrong-values"),
        (np.zeros((3, 40, 50), np.uint16), "imagery", "wrong-values"),
        (np.zeros((2, 40, 50), np.uint8), "imagery", "wrong-bands"),
        (np.full((40, 50), -32768, np.float32), "elevation", "impossible-height"),
        (np.full((40, 50), np.nan, np.float32), "elevation", "empty-file"),
    ],
)
def test_values_must_be_of_the_kind(write: Write, made: Convert, values: Any, kind: str, code: str) -> None:
    with pytest.raises(LoadRefused) as refused:
        made(write(values, BEN_THANH, 1, 9210), kind)
    assert refused.value.code == code


def test_formats_are_told_by_content(tmp_path: Path, write: Write) -> None:
    assert formats.sniff(write(FLAT, BEN_THANH, 1, 9210, "x.png")).format == formats.GEOTIFF
    grid = tmp_path / "g.txt"
    grid.write_text("ncols 2\nnrows 2\nxllcorner 0\nyllcorner 0\ncellsize 1\n1 2\n3 4\n")
    assert formats.sniff(grid).format == formats.ASCII_GRID
    for text in ("<VRTDataset rasterXSize='1'/>", "<MRF_META></MRF_META>", "PK\x03\x04", "%PDF-1.4"):
        (tmp_path / "up.tif").write_text(text)
        with pytest.raises(LoadRefused, match=r"VRT|no raster"):
            formats.sniff(tmp_path / "up.tif")


def ask_child(request: RasterRequest) -> dict[str, Any]:
    """What the child makes of a request; raises what it says."""
    import orjson

    child = spawn.start(CHILD)
    try:
        for kind, payload in Reader(request, child).frames():  # type: ignore[arg-type]
            if kind == protocol.DONE:
                done: dict[str, Any] = orjson.loads(payload)
                return done
    finally:
        child.close()
    raise AssertionError


def test_the_child_opens_nothing_but_the_format_that_was_told(tmp_path: Path, write: Write) -> None:
    secret = write(FLAT, BEN_THANH, 1, 9210, "secret.tif")
    virtual = tmp_path / "up.tif"
    virtual.write_text(
        "<VRTDataset rasterXSize='50' rasterYSize='40'><SRS>EPSG:9210</SRS>"
        "<GeoTransform>603481,1,0,1191454,0,-1</GeoTransform><VRTRasterBand dataType='Float32' band='1'>"
        f"<SimpleSource><SourceFilename>{secret}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    work = tmp_path / "child"
    work.mkdir()
    request = RasterRequest(
        format=formats.GEOTIFF, path=virtual, parts=(virtual, secret), work=work, kind="elevation",
        compression="lossless", heights=(-100.0, 4000.0), storage=9210, extent=EXTENT,
    )  # fmt: skip
    with pytest.raises(LoadRefused) as refused:
        ask_child(request)
    assert refused.value.code == "damaged-file"
    done = ask_child(replace(request, path=secret, parts=(secret,)))
    assert done["lowest"] == done["highest"] == 3.5
    assert cog_validate(request.result, quiet=True)[0]


# --- what is kept -----------------------------------------------------------------------------------


def test_heights_become_a_cog_with_their_voids(write: Write, made: Convert) -> None:
    values = np.random.default_rng(1).uniform(0, 5, (1200, 1100)).astype(np.float32)
    values[:100, :100] = -32768
    result, path = made(write(values, BEN_THANH, 1, 9210, nodata=-32768))
    assert result.valid == values.size - 10_000
    assert 0 <= result.lowest < result.highest <= 5  # type: ignore[operator]
    good, mistakes, warnings = cog_validate(path, quiet=True)
    assert good, (mistakes, warnings)
    with rasterio.open(path) as source:
        assert source.overviews(1) and source.block_shapes == [(512, 512)] and source.nodata == -9999
        kept = source.read(1)
        assert (kept[:100, :100] == -9999).all()
        kept[:100, :100] = values[:100, :100]
        assert np.array_equal(kept, values), "nothing was computed where no warp was needed"
    # A warp makes no heights out of a void beside a height.
    moved = made(write(values, (685466, 1191450), 1, 3405, nodata=-32768))[0]
    assert moved.lowest is not None and moved.lowest >= 0


def test_palettes_and_black_and_white_become_colours(write: Write, made: Convert) -> None:
    values = np.tile(np.array([0, 1], np.uint8), (40, 25))
    colours = {0: (255, 0, 0, 255), 1: (0, 0, 255, 255)}
    result, path = made(write(values, BEN_THANH, 1, 9210, colours=colours, nodata=1), "scan")
    assert result.bands == 3 and result.valid == values.size // 2
    with rasterio.open(path) as source:
        assert source.read()[:, 0, 0].tolist() == [255, 0, 0]
        assert source.dataset_mask()[0].tolist() == [255, 0] * 25
    result, path = made(write(values, BEN_THANH, 1, 9210, nbits=1), "scan")
    with rasterio.open(path) as source:
        assert result.bands == 1 and source.read(1)[0, :2].tolist() == [0, 255]


def test_a_scan_is_cut_to_its_sheet_and_must_lie_on_it(write: Write, made: Convert) -> None:
    sheet = parse_sheet("194 602-8")
    frame = sheet.outline(9210)
    west, _, _, north = frame.bounds
    paper = np.full((3, 120, 120), 200, np.uint8)
    named = {"frame": shapely.to_wkb(frame), "sheet": sheet.name}
    result, path = made(write(paper, (west - 100, north + 100), 10, 9210), "scan", **named)
    assert not result.warnings and result.valid == 100 * 100
    assert footprint(result).equals(frame)
    with rasterio.open(path) as source:
        mask = source.dataset_mask()
        assert mask[:10].max() == 0 and mask[10:110, 10:110].min() == 255
    # A datum shift left out: 195 m east, 112 m south (crs.md).
    shifted = made(write(paper, (west - 100 + 195.7, north + 100 - 112), 10, 9210), "scan", **named)[0]
    assert any("covers" in text for text in shifted.warnings)
    with pytest.raises(LoadRefused) as refused:
        made(write(paper, (west + 1900, north + 100), 10, 9210), "scan", **named)
    assert refused.value.code == "not-on-its-sheet"


# --- mosaics ----------------------------------------------------------------------------------------


def test_the_first_file_is_on_top_and_holes_show_the_next(write: Write) -> None:
    hole = np.full((60, 60), 7.0, np.float32)
    hole[:, :30] = -9999
    square = shapely.box(603000, 1191940, 603060, 1192000)
    old = write(np.full((120, 120), 1.0, np.float32), (603000, 1192000), 0.5, 9210, "old.tif", nodata=-9999)
    new = write(hole, (603000, 1192000), 1, 9210, "new.tif", nodata=-9999)
    files = ((old, square), (new, square))
    newest, finest = mosaic_of("elevation", *files), mosaic_of("elevation", *files, first="finest")
    points = [(603045.0, 1191970.0), (603010.0, 1191970.0), (603500.0, 1191970.0)]
    assert [f and f[0] for f in raster.heights_at(newest, points)] == [7.0, 1.0, None]
    assert [f and f[0] for f in raster.heights_at(finest, points)] == [1.0, 1.0, None]
    assert newest.max_zoom == finest.max_zoom == 19
    body = raster.values_tiff(newest, newest.scenes, square.bounds, 9210, 60, 60)
    assert body is not None
    with rasterio.MemoryFile(body) as memory, memory.open() as source:
        assert source.read(1)[30, [10, 50]].tolist() == [1.0, 7.0]


def test_heights_between_cells(write: Write) -> None:
    values = np.array([[0, 10], [20, 30]], np.float32)
    layer = mosaic_of(
        "elevation",
        (write(values, (603000, 1192000), 2, 9210), shapely.box(603000, 1191996, 603004, 1192000)),
    )
    points = [(603001.0, 1191999.0), (603002.0, 1191998.0), (603002.0, 1191999.0), (603000.0, 1192000.0)]
    assert [round(f[0], 6) for f in raster.heights_at(layer, points) if f] == [0, 15, 5, 0]


def test_larger_pixels_are_read_from_the_overviews(write: Write, made: Convert) -> None:
    """An overview that was made to differ is seen where pixels are as large as its own, and not before."""
    ground = np.full((2048, 2048), 1.0, np.float32)
    result, path = made(write(ground, (603000, 1192000), 0.5, 9210))
    box = footprint(result).bounds
    with rasterio.open(path) as source:
        levels = source.overviews(1)
    assert levels[:2] == [2, 4]
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as target:
        target.write(np.full((1, 2048, 2048), 5.0, np.float32))
    layer = mosaic_of("elevation", (path, footprint(result)))
    for pixels, crs_, area, expected in (
        (128, 9210, box, 1.0),
        (128, 3857, crs.transform_box(box, 9210, 3857).bounds, 1.0),
        (512, 9210, (box[0], box[3] - 200, box[0] + 200, box[3]), 5.0),
    ):
        body = raster.values_tiff(layer, layer.scenes, area, crs_, pixels, pixels)
        assert body is not None
        with rasterio.MemoryFile(body) as memory, memory.open() as source:
            found = source.read(1, masked=True)
            assert (float(found.min()), float(found.max())) == (expected, expected), (pixels, crs_)
    middle = (box[0] + 100, box[1] + 100)
    assert [one and one[0] for one in raster.heights_at(layer, [middle])] == [5.0], (
        "points are read as they are"
    )


def test_an_overview_stands_for_many_files_from_afar(write: Write) -> None:
    path = write(FLAT, BEN_THANH, 0.5, 9210)
    boxes = [shapely.box(x, y, x + 100, y + 100) for x in range(0, 1000, 100) for y in range(0, 1000, 100)]
    plain = mosaic_of("elevation", *((path, box) for box in boxes))
    far = replace(
        plain.scenes[0], path=path.with_name(f"{'0' * 16}-overview.tif"), resolution_m=2.0,
        footprint=shapely.box(0, 0, 1000, 1000),
    )  # fmt: skip
    layer = Mosaic(plain.layer, [*plain.scenes, far], 9210)
    assert len(layer.scenes) == 100 and layer.overview == far
    everything, some = (1.0, 1.0, 999.0, 999.0), (10.0, 10.0, 190.0, 190.0)
    assert layer.seen(everything, 9210, 4.0) == [far]
    assert layer.seen((2000.0, 0.0, 3000.0, 1000.0), 9210, 4.0) == []
    assert layer.seen(some, 9210, 0.7) == layer.over(some, 9210) and len(layer.over(some, 9210)) == 4
    many = layer.seen(everything, 9210, 1.0)
    assert many == [*layer.over(everything, 9210)[:32], far], "fine pixels of too many files: it lies below"
    assert len(plain.seen(everything, 9210, 4.0)) == 100
    assert layer.at(50.0, 50.0) == plain.at(50.0, 50.0) != []
    assert layer.metres((106.0, 10.0, 107.0, 11.0), 4326, 0.001) == pytest.approx(111, abs=1)
    assert layer.metres((0, 1204838, 1, 1204839), 3857, 1.0) == pytest.approx(0.982, abs=0.001)


def test_a_layer_of_many_sheets_starts_at_the_zoom_that_few_of_them_make(write: Write) -> None:
    path = write(FLAT, BEN_THANH, 20, 9210)
    boxes = [
        shapely.box(x, y, x + 1000, y + 1000)
        for x in range(590000, 610000, 1000)
        for y in range(1180000, 1200000, 1000)
    ]
    layer = mosaic_of("elevation", *((path, box) for box in boxes))
    assert 12 <= layer.min_zoom <= 14
    lon, lat = crs.transform_xy(600000, 1190000, 9210, 4326)
    assert 1 <= len(layer.over(tile_at(float(lon), float(lat), layer.min_zoom).box())) <= 40
    assert layer.over(tile_at(0, 0, 12).box()) == []


# --- pictures of heights ------------------------------------------------------------------------------


def test_slopes_to_the_light_are_bright() -> None:
    rows, columns = np.mgrid[0:30, 0:30].astype(np.float32)
    level = shade.hillshade(np.zeros((30, 30), np.float32), 1.0)
    assert (level == 180).all() and level.shape == (28, 28)
    # rising to the south-east, so facing north-west, where the light is
    lit_slope = shade.hillshade((rows + columns) * 0.1, 1.0)
    dark_slope = shade.hillshade(-(rows + columns) * 0.1, 1.0)
    assert lit_slope[5, 5] > 180 > dark_slope[5, 5]


def test_colours_and_terrain_tell_the_height() -> None:
    heights = np.array([[0, 50, 100, np.nan]] * 4, np.float32)
    coloured = shade.relief(np.full((3, 3), 50, np.float32), 1.0, ((0.0, "#000000"), (100.0, "#c86400")))
    assert coloured[:, 0, 0].tolist() == [100, 50, 0]
    r, g, b = (band.astype(np.int64) for band in shade.terrain(heights))
    assert np.allclose(-10_000 + 0.1 * (r * 65536 + g * 256 + b), np.nan_to_num(heights), atol=0.05)


# --- layer files ----------------------------------------------------------------------------------------


def test_the_shipped_blocks_are_one_of_each_kind(catalogue: Catalogue) -> None:
    kinds = {i: one.definition.kind for i, one in catalogue.rasters.items()}
    assert set(kinds.values()) == {"imagery", "elevation", "scan"}
    assert not set(kinds) & set(catalogue.layers)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "elevation", "compression": "jpeg"},
        {"kind": "imagery", "relief": {"0": "#000000", "1": "#ffffff"}},
        {"kind": "elevation", "relief": {"0": "#000000"}},
        {"kind": "elevation", "heights": [10, 0]},
        {"kind": "imagery", "colour": "#ffffff"},
    ],
)
def test_blocks_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RasterDef.model_validate({"title": {"vi": "x", "en": "x"}, "owner": "city", **wrong})


def test_an_id_is_a_layers_or_a_rasters(tmp_path: Path) -> None:
    (tmp_path / "mine.yml").write_text(
        "sector: {id: mine, title: {vi: x, en: x}, order: 99}\n"
        "rasters: {base_road: {title: {vi: x, en: x}, kind: scan, owner: city}}\n"
    )
    with pytest.raises(CatalogueError, match="defined twice"):
        load_catalogue([tmp_path])


def test_both_gdals_live_in_one_process(write: Write, tmp_path: Path) -> None:
    path = write(FLAT, BEN_THANH, 1, 9210)
    program = (
        "import sys, pyogrio, rasterio, numpy as np, shapely\n"
        "pyogrio.raw.write(sys.argv[2], shapely.to_wkb(np.array([shapely.Point(1, 2)])), [], [],"
        " geometry_type='Point', crs='EPSG:9210')\n"
        "with rasterio.open(sys.argv[1]) as d: a = d.read(1).mean()\n"
        "print(a, pyogrio.read_info(sys.argv[2])['features'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), str(tmp_path / "p.gpkg")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.split()) == (0, ["3.5", "1"]), done.stderr


def test_days_of_a_layer(write: Write) -> None:
    path = write(FLAT, BEN_THANH, 1, 9210)
    layer = mosaic_of("elevation", (path, shapely.box(603481, 1191414, 603531, 1191454)))
    dated = Mosaic(layer.layer, [replace(layer.scenes[0], taken_on=date(2023, 4, 1))], 9210)
    assert layer.days is None and dated.days == (date(2023, 4, 1), date(2023, 4, 1))
