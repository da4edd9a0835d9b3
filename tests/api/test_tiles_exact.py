"""What a tile holds, against exact computation: which features, where, and how odd geometry fares."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mapbox_vector_tile
import numpy as np
import numpy.typing as npt
import psycopg
import pyogrio
import pytest
import shapely
from psycopg import sql
from shapely.geometry import LineString, Point, Polygon
from shapely.geometry.base import BaseGeometry

from gis.crs import transform_geometries, transform_xy
from gis.db.server import Database
from layers.registry import Catalogue
from tests.api.sample import VECTORS
from tiles.grid import EXTENT, Tile, tile_at
from tiles.query import plan
from tiles.render import Rendered, render

STORAGE = 9210
EAST, NORTH = 603481.588, 1191454.611  # Ben Thanh market
LON, LAT = 106.698, 10.7725


@pytest.fixture(autouse=True)
def _empty(owner: psycopg.Connection) -> Iterator[None]:
    yield
    for name in ("cadastre_building", "water_pipe", "power_support", "flood_spot", "base_landuse"):
        owner.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier("layer", name)))


def insert(
    owner: psycopg.Connection, layer: str, shapes: Sequence[BaseGeometry], **attributes: Any
) -> list[int]:
    """Rows of a layer in EPSG:9210; their fids."""
    names = sql.SQL("").join(sql.SQL(", {}").format(sql.Identifier(name)) for name in attributes)
    values = sql.SQL("").join(sql.SQL(", {}").format(sql.Literal(value)) for value in attributes.values())
    statement = sql.SQL(
        "INSERT INTO {} (geom{}) SELECT ST_SetSRID(g::geometry, {}){} FROM unnest(%s::text[]) AS g"
        " RETURNING fid"
    ).format(sql.Identifier("layer", layer), names, sql.Literal(STORAGE), values)
    wkb = [shapely.to_wkb(shape, hex=True, output_dimension=3) for shape in shapes]
    return [row[0] for row in owner.execute(statement, [wkb])]


def make(db: Database, catalogue: Catalogue, tile: Tile, *layers: str) -> Rendered:
    """A tile, straight from the renderer."""

    async def run() -> Rendered:
        made = plan([catalogue.layers[name] for name in layers], tile.z)
        assert made is not None
        async with await psycopg.AsyncConnection.connect(db.owner_dsn, autocommit=True) as connection:
            return await render(connection, made, tile, STORAGE)

    return asyncio.run(run())


def plain(catalogue: Catalogue, *layers: str) -> Catalogue:
    """The catalogue with these layers drawn feature by feature at every level (low zooms have tests of their
    own)."""
    changed = {}
    for name in layers:
        layer = catalogue.layers[name]
        tiles = layer.definition.tiles.model_copy(update={"generalise": ()})
        changed[name] = replace(layer, definition=layer.definition.model_copy(update={"tiles": tiles}))
    return replace(catalogue, layers={**catalogue.layers, **changed})


def features(rendered: Rendered, layer: str) -> dict[int, BaseGeometry]:
    """fid -> geometry in tile units with y **downwards**, as the bytes say."""
    if layer not in rendered.layers:
        return {}
    decoded = mapbox_vector_tile.decode(
        rendered.layers[layer], default_options={"y_coord_down": True, "geojson": True}
    )
    return {f["id"]: shapely.geometry.shape(f["geometry"]) for f in decoded[layer]["features"]}


def in_units(tile: Tile, shapes: Sequence[BaseGeometry]) -> npt.NDArray[np.object_]:
    """EPSG:9210 -> exact tile units, y downwards."""
    west, _south, _east, north = tile.box()
    unit = tile.side / EXTENT

    def to_tile(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.column_stack([(xy[:, 0] - west) / unit, (north - xy[:, 1]) / unit])

    moved = transform_geometries(np.array(shapely.force_2d(list(shapes))), STORAGE, 3857)
    exact: npt.NDArray[np.object_] = shapely.transform(moved, to_tile)
    return exact


def around(rng: np.random.Generator, tile: Tile, count: int, spread: float = 1.3) -> npt.NDArray[np.float64]:
    """Random places in EPSG:9210 in and around a tile."""
    west, south, east, north = tile.box()
    half, middle = tile.side / 2, ((west + east) / 2, (south + north) / 2)
    offsets = rng.uniform(-half * spread, half * spread, (count, 2))
    x, y = transform_xy(middle[0] + offsets[:, 0], middle[1] + offsets[:, 1], 3857, STORAGE)
    return np.column_stack([x, y])


@pytest.mark.parametrize("z", [16, 17, 18, 20])
def test_a_tile_has_exactly_the_polygons_that_intersect_it_with_its_buffer(
    module_db: Database, catalogue: Catalogue, owner: psycopg.Connection, z: int
) -> None:
    """Those that only touch the buffer are what peers leave out (958 of 1,008)."""
    tile = tile_at(LON, LAT, z)
    rng = np.random.default_rng(z)
    size = tile.side * 0.06
    shapes = [
        Polygon([(x + size * dx, y + size * dy) for dx, dy in rng.uniform(-1, 1, (3, 2))]).buffer(size * 0.2)
        for x, y in around(rng, tile, 800)
    ]
    fids = insert(owner, "cadastre_building", shapes)
    got = set(features(make(module_db, catalogue, tile, "cadastre_building"), "cadastre_building"))
    exact = in_units(tile, shapes)
    buffered = shapely.box(-128, -128, EXTENT + 128, EXTENT + 128)
    # What reaches into the buffer by less than two units may round either way.
    surely = {f for f, g in zip(fids, exact, strict=True) if g.intersects(buffered.buffer(-2))}
    perhaps = {f for f, g in zip(fids, exact, strict=True) if g.intersects(buffered.buffer(2))}
    only_buffer = surely - {
        f for f, g in zip(fids, exact, strict=True) if g.intersects(shapely.box(0, 0, EXTENT, EXTENT))
    }
    assert surely <= got <= perhaps
    assert len(perhaps - surely) <= 8
    assert len(only_buffer) >= 5
    assert len(got) < len(fids)


@pytest.mark.parametrize("z", [15, 17, 19])
def test_clipped_shapes_cover_what_exact_clipping_covers(
    module_db: Database, catalogue: Catalogue, owner: psycopg.Connection, z: int
) -> None:
    tile = tile_at(LON, LAT, z)
    rng = np.random.default_rng(z + 100)
    size = tile.side * 0.4
    shapes = [Point(x, y).buffer(size, 12) for x, y in around(rng, tile, 40)]
    layer = "base_landuse"
    fids = insert(owner, layer, [shapely.MultiPolygon([s]) for s in shapes])
    got = features(make(module_db, catalogue, tile, layer), layer)
    buffered = shapely.box(-128, -128, EXTENT + 128, EXTENT + 128)
    for fid, exact in zip(fids, in_units(tile, shapes), strict=True):
        wanted = exact.intersection(buffered)
        if wanted.area < 100:
            continue
        # Two units of rounding along the outline, never more.
        assert got[fid].symmetric_difference(wanted).area <= 1.0 * wanted.length
        assert got[fid].hausdorff_distance(wanted) < 2


def test_points_are_within_half_a_unit_of_the_reference(
    module_db: Database, catalogue: Catalogue, owner: psycopg.Connection
) -> None:
    """The vectors of crs.md at every level: the right shift, no tear, the y axis downwards."""
    mercator = ((11874019.089, 1204838.255), (11877078.586, 1206877.723), (11853725.106, 1230513.233))
    fids = insert(owner, "power_support", [Point(*plane) for plane, _ in VECTORS], kind="tower")
    checked = 0
    for z in range(13, 23):
        for fid, (_, (lon, lat)), (x, y) in zip(fids, VECTORS, mercator, strict=True):
            tile = tile_at(lon, lat, z)
            point = features(make(module_db, catalogue, tile, "power_support"), "power_support")[fid]
            west, _south, _east, north = tile.box()
            unit = tile.side / EXTENT
            # The figures of crs.md are rounded to a millimetre.
            slack = 0.5 + 0.0006 / unit
            assert abs(point.x - (x - west) / unit) <= slack, (z, fid)
            assert abs(point.y - (north - y) / unit) <= slack, (z, fid)
            checked += 1
    assert checked == 30
    # PROJ's own choice of operation would be 0.8 m off: 85 units at level 20.
    unit = Tile(20, 0, 0).side / EXTENT
    assert 0.8 / unit > 80


def test_vertices_of_lines_with_heights_are_where_they_belong(
    module_db: Database, catalogue: Catalogue, owner: psycopg.Connection
) -> None:
    tile = tile_at(LON, LAT, 18)
    rng = np.random.default_rng(5)
    points = around(rng, tile, 60, 0.9)
    lines = [
        LineString([(a[0], a[1], -1.5), (b[0], b[1], 250.0)])
        for a, b in zip(points[::2], points[1::2], strict=True)
    ]
    fids = insert(owner, "water_pipe", lines, pipe_class="service")
    got = features(make(module_db, catalogue, tile, "water_pipe"), "water_pipe")
    assert set(got) == set(fids)
    for fid, exact in zip(fids, in_units(tile, lines), strict=True):
        difference = shapely.get_coordinates(got[fid]) - shapely.get_coordinates(exact)
        assert np.abs(difference).max() <= 0.5 + 1e-6


def test_classes_appear_at_their_own_zoom(
    module_db: Database, catalogue: Catalogue, owner: psycopg.Connection
) -> None:
    """tiles.zooms_by of water_pipe: transmission 11, distribution 13, service 15, anything else 13."""
    catalogue = plain(catalogue, "water_pipe")
    line = [LineString([(EAST - 200, NORTH), (EAST + 200, NORTH)])]
    by_class = {
        name: insert(owner, "water_pipe", line, pipe_class=name)[0]
        for name in ("transmission", "distribution", "service", None)
    }
    for z, expected in (
        (11, {"transmission"}),
        (12, {"transmission"}),
        (13, {"transmission", "distribution", None}),
        (14, {"transmission", "distribution", None}),
        (15, set(by_class)),
    ):
        got = set(features(make(module_db, catalogue, tile_at(LON, LAT, z), "water_pipe"), "water_pipe"))
        assert got == {by_class[name] for name in expected}, z


def test_tiny_shapes_do_not_vanish(
    module_db: Database, catalogue: Catalogue, owner: psycopg.Connection
) -> None:
    """A box of 10 cm and a stub of 5 cm at levels where a tile unit is metres."""
    catalogue = plain(catalogue, "water_pipe", "base_landuse")
    box = shapely.box(EAST, NORTH, EAST + 0.1, NORTH + 0.1)
    stub = LineString([(EAST, NORTH), (EAST + 0.05, NORTH)])
    (building,) = insert(owner, "cadastre_building", [box])
    (land,) = insert(owner, "base_landuse", [shapely.MultiPolygon([box])])
    (pipe,) = insert(owner, "water_pipe", [stub], pipe_class="transmission")
    spots = insert(owner, "flood_spot", [box, stub, Point(EAST, NORTH)])
    for z, layer, fids in (
        (16, "cadastre_building", [building]),
        (10, "base_landuse", [land]),
        (11, "water_pipe", [pipe]),
        (12, "flood_spot", spots),
    ):
        tile = tile_at(LON, LAT, z)
        got = features(make(module_db, catalogue, tile, layer), layer)
        assert sorted(got) == sorted(fids), (z, layer)
        for shape in got.values():
            west, south, east, north = shape.bounds
            assert east - west <= 3
            assert north - south <= 3
    kinds = [got[fid].geom_type for fid in spots]
    assert kinds == ["Polygon", "LineString", "Point"]


def test_tiny_shapes_outside_stay_outside(
    module_db: Database, catalogue: Catalogue, owner: psycopg.Connection
) -> None:
    tile = tile_at(LON, LAT, 16)
    rng = np.random.default_rng(9)
    shapes = [shapely.box(x, y, x + 0.05, y + 0.05) for x, y in around(rng, tile, 1500, 1.2)]
    fids = insert(owner, "cadastre_building", shapes)
    got = set(features(make(module_db, catalogue, tile, "cadastre_building"), "cadastre_building"))
    exact = in_units(tile, shapes)
    inner, outer = (shapely.box(-b, -b, EXTENT + b, EXTENT + b) for b in (126, 130))
    assert {f for f, g in zip(fids, exact, strict=True) if g.intersects(inner)} <= got
    assert got <= {f for f, g in zip(fids, exact, strict=True) if g.intersects(outer)}


def test_broken_shapes_break_no_tile(
    module_db: Database, catalogue: Catalogue, owner: psycopg.Connection
) -> None:
    x, y = EAST, NORTH
    bow_tie = Polygon([(x, y), (x + 40, y + 40), (x + 40, y), (x, y + 40)])
    spike = Polygon([(x, y), (x + 50, y), (x + 50, y), (x, y)])
    overlapping_holes = Polygon(
        shapely.box(x, y, x + 50, y + 50).exterior,
        [
            shapely.box(x + 5, y + 5, x + 20, y + 20).exterior,
            shapely.box(x + 10, y + 10, x + 30, y + 30).exterior,
        ],
    )
    good = shapely.box(x + 5, y + 5, x + 25, y + 25)
    fids = insert(owner, "cadastre_building", [bow_tie, spike, overlapping_holes, good])
    for z in (16, 18, 22):
        got = features(
            make(module_db, catalogue, tile_at(LON, LAT, z), "cadastre_building"), "cadastre_building"
        )
        if z < 22:
            assert {fids[0], fids[2], fids[3]} <= set(got)
    standing_still = insert(owner, "water_pipe", [LineString([(x, y), (x, y)])], pipe_class="raw")
    assert set(
        features(make(module_db, catalogue, tile_at(LON, LAT, 16), "water_pipe"), "water_pipe")
    ) == set(standing_still)


@pytest.mark.parametrize("z", [16, 19])
def test_a_tile_is_right_whatever_of_it_stands_in_the_web_table(
    module_db: Database, catalogue: Catalogue, owner: psycopg.Connection, z: int
) -> None:
    """Rows that are still to be filled (gaps) are computed: the same features, each within half a unit."""
    tile = tile_at(LON, LAT, z)
    rng = np.random.default_rng(z + 7)
    size = tile.side * 0.03
    shapes = [
        Polygon([(x + size * dx, y + size * dy) for dx, dy in rng.uniform(-1, 1, (3, 2))])
        for x, y in around(rng, tile, 300)
    ]
    shapes += [shapely.box(x, y, x + size, y + size) for x, y in around(rng, tile, 300)]
    layer = "cadastre_building"
    fids = insert(owner, layer, shapes, structure="permanent")
    exact = dict(zip(fids, in_units(tile, shapes), strict=True))
    inside = shapely.box(-126, -126, EXTENT + 126, EXTENT + 126)
    states = []
    for share in (0, 2, 1):
        if share:
            owner.execute(f"DELETE FROM web.{layer} WHERE fid % {share} = 0")
            owner.execute("SELECT bandoso.web_gap_add(%s, %s, %s)", [layer, fids[0], fids[-1]])
        rendered = make(module_db, catalogue, tile, layer)
        got = features(rendered, layer)
        states.append(set(got))
        for fid, shape in got.items():
            for ring in (part.exterior for part in shapely.get_parts([shape])):
                assert ring.is_ccw  # of positive area where y runs downwards, as MVT wants it
            if exact[fid].within(inside) and len(shape.exterior.coords) == len(exact[fid].exterior.coords):
                there = shapely.points(shapely.get_coordinates(exact[fid]))
                off = shapely.distance(shapely.points(shapely.get_coordinates(shape))[:, None], there)
                assert off.min(axis=1).max() <= 0.5 * 2**0.5 + 1e-6
    assert states[0] == states[1] == states[2]
    assert len(states[0]) > 300
    # without the gap's mark nobody looks for what is not there
    owner.execute("DELETE FROM bandoso.web_gap")
    assert features(make(module_db, catalogue, tile, layer), layer) == {}


def test_gdal_reads_the_tile_where_the_data_is(
    module_db: Database, catalogue: Catalogue, owner: psycopg.Connection, tmp_path: Path
) -> None:
    tile = tile_at(LON, LAT, 17)
    rng = np.random.default_rng(17)
    shapes = [shapely.box(x, y, x + 12, y + 9) for x, y in around(rng, tile, 50, 0.8)]
    fids = insert(owner, "cadastre_building", shapes, structure="permanent", name="Nhà ở Đường Nguyễn Huệ")
    rendered = make(module_db, catalogue, tile, "cadastre_building", "water_pipe")
    path = tmp_path / "tile.mvt"
    path.write_bytes(rendered.mvt)
    read = pyogrio.read_dataframe(
        f"MVT:{path}", layer="cadastre_building", X=str(tile.x), Y=str(tile.y), Z=str(tile.z), CLIP="NO"
    )
    assert read.crs.to_epsg() == 3857
    assert sorted(read["mvt_id"]) == sorted(fids)
    assert set(read["name"]) == {"Nhà ở Đường Nguyễn Huệ"}
    exact = dict(zip(fids, transform_geometries(np.array(shapes), STORAGE, 3857), strict=True))
    unit = tile.side / EXTENT
    for fid, shape in zip(read["mvt_id"], read.geometry, strict=True):
        assert shape.hausdorff_distance(exact[fid]) < 0.75 * unit * 2**0.5


def test_the_same_rows_give_the_same_bytes_in_any_physical_order(
    module_db: Database, catalogue: Catalogue, owner: psycopg.Connection
) -> None:
    """ETags of replicas and of a server after VACUUM FULL must agree."""
    tile = tile_at(LON, LAT, 17)
    shapes = [shapely.box(x, y, x + 9, y + 9) for x, y in around(np.random.default_rng(3), tile, 200)]
    insert(owner, "cadastre_building", shapes, structure="permanent")
    before = make(module_db, catalogue, tile, "cadastre_building").mvt
    owner.execute("UPDATE layer.cadastre_building SET remark = remark WHERE fid % 3 = 0")
    owner.execute("CLUSTER layer.cadastre_building USING " + _spatial_index(owner, "cadastre_building"))
    assert make(module_db, catalogue, tile, "cadastre_building").mvt == before


def _spatial_index(owner: psycopg.Connection, layer: str) -> Any:
    row = owner.execute(
        "SELECT indexname FROM pg_indexes WHERE schemaname = 'layer' AND tablename = %s"
        " AND indexdef LIKE '%%gist%%geom%%'",
        [layer],
    ).fetchone()
    assert row
    return row[0]


def test_every_layer_of_the_catalogue_makes_a_valid_statement(
    module_db: Database, catalogue: Catalogue
) -> None:
    """At every level, also where zooms_by, attributes or dates differ."""
    for z in range(23):
        rendered = make_all(module_db, catalogue, z)
        assert not rendered.truncated


def make_all(db: Database, catalogue: Catalogue, z: int) -> Rendered:
    async def run() -> Rendered:
        made = plan(list(catalogue.layers.values()), z)
        if made is None:
            return Rendered({})
        async with await psycopg.AsyncConnection.connect(db.owner_dsn, autocommit=True) as connection:
            return await render(connection, made, tile_at(LON, LAT, z), STORAGE)

    return asyncio.run(run())


def test_a_tile_with_more_than_the_most_features_says_so(
    module_db: Database, catalogue: Catalogue, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiles.query.MAX_FEATURES", 10)
    monkeypatch.setattr("tiles.render.MAX_FEATURES", 10)
    shapes = [Point(EAST + i, NORTH) for i in range(11)]
    insert(owner, "power_support", shapes[:10])
    tile = tile_at(LON, LAT, 18)
    assert make(module_db, catalogue, tile, "power_support").truncated == ()
    insert(owner, "power_support", shapes[10:])
    assert make(module_db, catalogue, tile, "power_support").truncated == ("power_support",)
