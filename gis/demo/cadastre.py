"""Parcels with the identifiers of law, the buildings on them, and boundary points."""

from __future__ import annotations

from collections.abc import Iterator

from gis.demo.features import Features, Point, rectangle
from gis.demo.names import commune, x_street
from gis.demo.parcels import Plot, area, plots
from gis.demo.plan import BLOCK_X, Superblock

LAND_USE = {
    "terraced": "ODT",
    "apartments": "ODT",
    "park": "DKV",
    "school": "DGD",
    "market": "DCH",
    "pagoda": "TON",
}
BUILDING_USE = {
    "terraced": "residential",
    "apartments": "apartments",
    "school": "education",
    "market": "commercial",
    "pagoda": "religious",
}
MAP_SCALE = 500
#: Front yard of a townhouse, and the gap at each party wall (m).
YARD, WALL = 2.2, 0.1


def houses(block: Superblock) -> Iterator[tuple[Plot, int, list[Point] | None]]:
    """Each parcel with the floors and the ring of its building; parks have none."""
    random = block.random("building")
    # Drawn for all blocks at once; which parcel gets which does not depend on the order of kinds.
    number = block.parcels
    all_floors = random.integers(1, 6, number).tolist()
    gardens = random.uniform(2.0, 5.0, number).round(2).tolist()
    for plot, drawn, garden in zip(plots(block), all_floors, gardens, strict=True):
        kind = plot.block.kind
        floors = drawn if kind == "terraced" else 15 if kind == "apartments" else 2
        yield plot, floors, None if kind == "park" else _building(plot, garden)


def add_cadastre(out: Features, block: Superblock) -> None:
    """Parcels, their buildings and boundary points of one superblock."""
    code, ward = commune(block.column, block.row)
    parcels = out.of("cadastre_parcel", "polygon")
    buildings = out.of("cadastre_building", "polygon")
    base = out.of("base_building", "polygon")
    numbers: dict[int, int] = {}
    along: dict[tuple[int, bool], int] = {}
    for plot, floors, ring in houses(block):
        kind, j = plot.block.kind, plot.block.j
        parcel = numbers[j] = numbers.get(j, 0) + 1
        side = (j + (0 if plot.faces_south else 1), plot.faces_south)
        house = along[side] = along.get(side, 0) + 1
        street = x_street(block, side[0]).name
        house_number = str(2 * house - (1 if plot.faces_south else 0))
        address = f"{house_number} {street}, {ward}"
        key = f"{code}-{j + 1}-{parcel}"
        sheet, parcel_no = str(j + 1), str(parcel)
        parcels.asset_ids.append(f"TD-{key}")
        parcels.shapes.append(plot.ring)
        parcels.attributes.append({
            "commune_code": code, "legacy_commune_code": code, "sheet_no": sheet, "parcel_no": parcel_no,
            "land_use": LAND_USE[kind], "legal_area_m2": round(area(plot.ring), 1), "map_scale": MAP_SCALE,
            "address": address, "source_scale": MAP_SCALE, "horizontal_accuracy_m": 0.07,
            "survey_date": f"{2015 + (block.row + block.column) % 9}-{1 + j:02d}-15",
        })  # fmt: skip
        if ring is None:
            continue
        base.asset_ids.append(f"NH-{key}")
        base.shapes.append(ring)
        base.attributes.append({
            "use": BUILDING_USE[kind], "floors": floors, "height_m": round(3.6 * floors + 0.8, 1),
            "house_number": house_number, "street": street, "address": address, "source_scale": 2000,
        })  # fmt: skip
        buildings.asset_ids.append(f"NDC-{key}")
        buildings.shapes.append(ring)
        buildings.attributes.append({
            "commune_code": code, "legacy_commune_code": code, "sheet_no": sheet, "parcel_no": parcel_no,
            "floors": floors, "structure": "permanent" if floors > 1 else "semi_permanent",
            "floor_area_m2": round(area(ring), 1), "address": address, "source_scale": MAP_SCALE,
        })  # fmt: skip
    _boundary_points(out, block, code)


def _boundary_points(out: Features, block: Superblock, code: str) -> None:
    """A monument where the line between the two rows of parcels ends, on both sides of a block."""
    for b in block.blocks:
        if b.kind != "terraced":
            continue
        x0, y0, _, y1 = block.place(b)
        for n, x in enumerate((x0, x0 + BLOCK_X)):
            out.point(
                "cadastre_boundary_point", f"MR-{code}-{b.j}{b.i}{n}", (x, (y0 + y1) / 2),
                commune_code=code, point_no=f"{b.j + 1}.{b.i}{n}", kind="monument", source_scale=MAP_SCALE,
            )  # fmt: skip


def _building(plot: Plot, garden: float) -> list[Point]:
    """The house: the plot's width less the party walls, from a front yard to a garden behind."""
    x0, y0, x1, y1 = plot.box
    if plot.block.kind != "terraced":
        return rectangle(x0 + 6.0, y0 + 6.0, x1 - 6.0, y1 - 6.0)
    south, north = (YARD, garden) if plot.faces_south else (garden, YARD)
    return rectangle(x0 + WALL, y0 + south, x1 - WALL, y1 - north)
