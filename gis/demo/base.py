"""The topographic base of a superblock: roads, canal, land cover, places, heights, and the metro."""

from __future__ import annotations

from gis.demo.features import Features, Path, rectangle
from gis.demo.names import Street, canal_name, street_name, x_street, y_street
from gis.demo.plan import CANAL_BAND, HALF_CANAL, STREETS_X, STREETS_Y, SUPER_X, SUPER_Y, Plan, Superblock
from gis.demo.sections import CARRIAGEWAY, MAJOR_CARRIAGEWAY, ground

_COVER = {
    "park": "park",
    "school": "public",
    "market": "commercial",
    "pagoda": "public",
    "reserve": "grass",
}
_PLACES = {
    "park": ("park", "Công viên"),
    "school": ("school", "Trường Tiểu học"),
    "market": ("market", "Chợ"),
    "pagoda": ("temple", "Chùa"),
}
#: Contours (m); the ground rises from 1.6 at the canals to 2.425 between them.
_CONTOURS = ((2.0, "index"), (2.25, "intermediate"))


def add_base(out: Features, plan: Plan, block: Superblock) -> None:
    """Everything of the base map but buildings."""
    _roads(out, plan, block)
    _water(out, block)
    _blocks(out, block)
    _heights(out, block)


def _water(out: Features, block: Superblock) -> None:
    x0, y0, code = block.x, block.y, block.code
    name = canal_name(block.row)
    out.polygon(
        "base_waterbody", f"WB-{code}", rectangle(x0, y0 - HALF_CANAL, x0 + SUPER_X, y0 + HALF_CANAL),
        name=name, water_class="canal", source_scale=2000,
    )  # fmt: skip
    out.line(
        "base_waterway", f"WW-{code}", [(x0, y0), (x0 + SUPER_X, y0)],
        name=name, waterway_class="canal", width_m=2 * HALF_CANAL, source_scale=2000,
    )  # fmt: skip


def _blocks(out: Features, block: Superblock) -> None:
    code = block.code
    for b in block.blocks:
        x0, y0, x1, y1 = block.place(b)
        out.polygon(
            "base_landuse", f"LC-{code}-{b.i}{b.j}", rectangle(x0, y0, x1, y1),
            land_class=_COVER.get(b.kind, "residential"), source_scale=2000,
        )  # fmt: skip
        place = _PLACES.get(b.kind)
        if place:
            name = street_name(block.column * 61 + block.row * 17 + b.j * 6 + b.i)
            out.point(
                "base_place", f"PL-{code}-{b.i}{b.j}", ((x0 + x1) / 2, (y0 + y1) / 2),
                name=f"{place[1]} {name}", place_class=place[0], source_scale=2000,
            )  # fmt: skip
    middle = (block.x + SUPER_X / 2, block.y + SUPER_Y / 2 + 12.0)
    out.point(
        "base_place", f"PL-{code}-KP", middle, name=f"Khu phố {block.row + 1}.{block.column + 1}",
        name_en=f"Neighbourhood {block.row + 1}.{block.column + 1}", place_class="neighbourhood",
        source_scale=2000,
    )  # fmt: skip


def _heights(out: Features, block: Superblock) -> None:
    x0, y0, code = block.x, block.y, block.code
    for k, y in enumerate(STREETS_Y):
        for i, x in enumerate(STREETS_X):
            out.point(
                "base_spot_height", f"SH-{code}-{i}{k:02d}", (x0 + x, y0 + y),
                elevation_m=ground(y), source_scale=2000,
            )  # fmt: skip
    for n, (height, kind) in enumerate(_CONTOURS):
        up = (height - 1.6) / 0.003
        for side, y in enumerate((up, SUPER_Y - up)):
            out.line(
                "base_contour", f"BD-{code}-{n}{side}", [(x0, y0 + y), (x0 + SUPER_X, y0 + y)],
                elevation_m=height, kind=kind, source_scale=2000,
            )  # fmt: skip


def _roads(out: Features, plan: Plan, block: Superblock) -> None:
    x0, y0, code = block.x, block.y, block.code
    crossings = [*STREETS_X, SUPER_X]
    for k, y in enumerate(STREETS_Y):
        street = x_street(block, k)
        for i in range(len(STREETS_X)):
            path = [(x0 + crossings[i], y0 + y), (x0 + crossings[i + 1], y0 + y)]
            _road(out, f"RD-{code}-X{k:02d}{i}", street, path)
    for i, x in enumerate(crossings if block.is_last_column else STREETS_X):
        street = y_street(block, i)
        for k in range(len(STREETS_Y) - 1):
            path = [(x0 + x, y0 + STREETS_Y[k]), (x0 + x, y0 + STREETS_Y[k + 1])]
            _road(out, f"RD-{code}-Y{i}{k:02d}", street, path)
        if street.major and plan.has(block.column, block.row - 1):
            # The bridge joins the last street of the superblock in the south.
            path = [(x0 + x, y0 - (CANAL_BAND - 12.0)), (x0 + x, y0 + STREETS_Y[0])]
            _road(out, f"RD-{code}-B{i}", street, path, level=1)


def _road(out: Features, asset_id: str, street: Street, path: Path, level: int = 0) -> None:
    major = street.major
    out.line(
        "base_road", asset_id, path,
        name=street.name, road_class="secondary" if major else "residential", surface="asphalt",
        width_m=MAJOR_CARRIAGEWAY if major else CARRIAGEWAY, reserve_width_m=24.0 if major else 14.0,
        lanes=4 if major else 2, one_way=False, layer_level=level, source_scale=2000,
    )  # fmt: skip
