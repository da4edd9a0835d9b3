"""Parcels with the identifiers of law, the buildings on them, boundary points, wards."""

from __future__ import annotations

from datetime import date

import numpy as np

from gis.demo.features import Features
from gis.demo.parcels import Plot, plots
from gis.demo.plan import BLOCK_X, STREETS_X, STREETS_Y, SUPER_X, SUPER_Y, Coordinates, Superblock
from gis.demo.streets import x_street

LAND_USE = {
    "terraced": "ODT",
    "apartments": "ODT",
    "park": "DKV",
    "school": "DGD",
    "market": "DCH",
    "pagoda": "TON",
}
BUILDING_USE = {
    "terraced": "residential", "apartments": "apartments", "school": "education", "market": "commercial", "pagoda": "religious",
}  # fmt: skip


def commune(block: Superblock) -> tuple[str, str]:
    """Code and name of the demo ward of a superblock. Codes start with 9, which no real commune's does."""
    return f"9{block.row:02d}{block.column:02d}", f"Phường Thủ Thiêm {block.row + 1}.{block.column + 1}"


def add_cadastre(out: Features, block: Superblock) -> None:
    """Parcels, buildings, boundary points and the ward of one superblock."""
    code, name = commune(block)
    x0, y0 = block.x, block.y
    ward = [[x0, y0], [x0 + SUPER_X, y0], [x0 + SUPER_X, y0 + SUPER_Y], [x0, y0 + SUPER_Y]]
    out.polygon(
        "admin_ward", f"XA-{code}", ward, name=name, name_en=f"Thu Thiem {block.row + 1}.{block.column + 1}", full_name=name,
        unit_type="phuong", commune_code=code, population=block.parcels * 4, area_km2=round(SUPER_X * SUPER_Y / 1e6, 3),
    )  # fmt: skip
    random = block.random("building")
    numbers: dict[int, int] = {}
    houses: dict[tuple[int, bool], int] = {}
    for plot in plots(block):
        b = plot.block
        number = numbers[b.j] = numbers.get(b.j, 0) + 1
        side = (b.j + (0 if plot.faces_south else 1), plot.faces_south)
        house = houses[side] = houses.get(side, 0) + 1
        street = x_street(block, side[0]).name
        house_number = str(2 * house - (1 if plot.faces_south else 0))
        address = f"{house_number} {street}, {name}"
        reference = {
            "commune_code": code,
            "legacy_commune_code": code,
            "sheet_no": str(b.j + 1),
            "parcel_no": str(number),
        }
        out.polygon(
            "cadastre_parcel", f"TD-{code}-{b.j + 1}-{number}", plot.ring, **reference, land_use=LAND_USE[b.kind],
            legal_area_m2=round(_area(plot.ring), 1), map_scale=500, address=address, source_scale=500,
            survey_date=date(2008 + (block.row + block.column) % 15, 1 + b.j, 15).isoformat(), horizontal_accuracy_m=0.07,
        )  # fmt: skip
        if b.kind == "park":
            continue
        floors = int(random.integers(1, 6)) if b.kind == "terraced" else 15 if b.kind == "apartments" else 2
        ring = _building(plot, float(random.uniform(2.0, 5.0)))
        out.polygon(
            "base_building", f"NH-{code}-{b.j + 1}-{number}", ring, use=BUILDING_USE[b.kind], floors=floors,
            height_m=round(3.6 * floors + 0.8, 1), house_number=house_number, street=street, address=address, source_scale=2000,
        )  # fmt: skip
        out.polygon(
            "cadastre_building", f"NDC-{code}-{b.j + 1}-{number}", ring, **reference, floors=floors,
            structure="permanent" if floors > 1 else "semi_permanent", floor_area_m2=round(_area(ring), 1), address=address,
            source_scale=500,
        )  # fmt: skip
    for b in block.blocks:
        if b.kind == "terraced":
            bx, by, bx1, by1 = b.box
            for n, x in enumerate((bx, bx + BLOCK_X)):
                out.point(
                    "cadastre_boundary_point", f"MR-{code}-{b.j}{b.i}{n}", [x0 + x, y0 + (by + by1) / 2], commune_code=code,
                    point_no=f"{b.j + 1}.{b.i}{n}", kind="monument", source_scale=500,
                )  # fmt: skip
    assert len(STREETS_X) and len(STREETS_Y)


def _area(ring: Coordinates) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def _building(plot: Plot, garden: float) -> Coordinates:
    """The house: the plot's width less 10 cm at each party wall, from a front yard to a garden behind."""
    lows, highs = plot.ring.min(axis=0), plot.ring.max(axis=0)
    wide = plot.block.kind != "terraced"
    side = 6.0 if wide else 0.1
    front, back = (6.0, 6.0) if wide else (2.2, garden)
    south, north = (front, back) if plot.faces_south else (back, front)
    x0, x1, y0, y1 = lows[0] + side, highs[0] - side, lows[1] + south, highs[1] - north
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
