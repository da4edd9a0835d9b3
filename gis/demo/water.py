"""Water supply: a treatment works, a transmission main, and in each superblock a district metered area.

Distribution pipes run along every street and meet at the junctions; one inlet with valve and meter joins
each district to the main. Pipes end on facilities, valves, hydrants, or on other pipes' ends.
"""

from __future__ import annotations

from gis.demo.features import Features, Value
from gis.demo.plan import STREETS_X, STREETS_Y, SUPER_X, SUPER_Y, Plan, Superblock
from gis.demo.streets import ground, x_street, y_street

OFFSET = 2.5
#: Depth of the axis below the ground (m): distribution and transmission.
DEPTH, MAIN_DEPTH = 1.3, 1.5
MAIN_Y, MAIN_X, INLET_X, VALVE_Y = 13.0, -9.0, 40.0, 16.0


def dma(block: Superblock) -> str:
    """Code of the superblock's district metered area."""
    return f"DMA-{block.code}"


def add_water(out: Features, plan: Plan, block: Superblock) -> None:
    """Pipes, valves, hydrants, facilities and the district of one superblock."""
    _main(out, plan, block)
    _grid(out, block)
    x0, y0 = block.x, block.y
    ring = [[x0, y0], [x0 + SUPER_X, y0], [x0 + SUPER_X, y0 + SUPER_Y], [x0, y0 + SUPER_Y]]
    out.polygon(
        "water_dma", dma(block), ring, name=f"Vùng DMA {block.column + 1}-{block.row + 1}", dma_code=dma(block),
        customers=block.parcels, losses_percent=float(12 + (block.column * 3 + block.row * 5) % 14),
    )  # fmt: skip


def _z(y: float, depth: float = DEPTH) -> float:
    return round(ground(y) - depth, 3)


def _main(out: Features, plan: Plan, block: Superblock) -> None:
    x0, y0, code = block.x, block.y, block.code
    z = _z(MAIN_Y, MAIN_DEPTH)
    west, tee, east = (
        [x0 + MAIN_X, y0 + MAIN_Y, z],
        [x0 + INLET_X, y0 + MAIN_Y, z],
        [x0 + SUPER_X + MAIN_X, y0 + MAIN_Y, z],
    )
    if block.column == 0 and block.row == 0:
        out.point(
            "water_facility", f"NMN-{code}", west, code="NMN-01", kind="treatment_works", capacity_m3_day=300_000.0,
            pressure_bar=4.5, elevation_m=z, dma_code=None, **_network("other", block, 0),
        )  # fmt: skip
    else:
        out.point("water_facility", f"NO-{code}-W", west, code=f"NO-{code}", kind="junction", elevation_m=z)
    out.point("water_facility", f"NO-{code}-T", tee, code=f"NT-{code}", kind="junction", elevation_m=z)
    name = x_street(block, 0).name
    _pipe(out, f"OC-{code}-M0", [west, tee], "transmission", 600, name, block, None)
    if plan.has(block.column + 1, block.row):
        _pipe(out, f"OC-{code}-M1", [tee, east], "transmission", 600, name, block, None)
    if block.column == 0 and plan.has(0, block.row + 1):
        # Under the canal: the main dives between its banks.
        top, bed = y0 + SUPER_Y, _z(0.0, 6.0)
        path = [west, [west[0], top - 12.0, z], [west[0], top - 9.0, bed], [west[0], top + 9.0, bed],
                [west[0], top + MAIN_Y, z]]  # fmt: skip
        _pipe(out, f"OC-{code}-V", path, "transmission", 600, y_street(block, 0).name, block, None)
    valve, meet = (
        [x0 + INLET_X, y0 + VALVE_Y, z],
        [x0 + INLET_X, y0 + STREETS_Y[0] + OFFSET, _z(STREETS_Y[0] + OFFSET)],
    )
    out.point(
        "water_valve", f"VB-{code}", valve, code=f"VB-{code}", kind="butterfly", diameter_mm=200.0, state="open",
        boundary_valve=True, dma_code=dma(block), **_network("ductile_iron", block, 1),
    )  # fmt: skip
    _pipe(out, f"OC-{code}-N0", [tee, valve], "distribution", 200, name, block, dma(block))
    _pipe(out, f"OC-{code}-N1", [valve, meet], "distribution", 200, name, block, dma(block))


def _grid(out: Features, block: Superblock) -> None:
    x0, y0, code = block.x, block.y, block.code
    for k, y in enumerate(STREETS_Y):
        street = x_street(block, k)
        z = _z(y + OFFSET)
        for i, x in enumerate(STREETS_X):
            at = [x0 + x + OFFSET, y0 + y + OFFSET, z]
            if i + 1 < len(STREETS_X):
                nxt = [x0 + STREETS_X[i + 1] + OFFSET, at[1], z]
            else:
                nxt = [x0 + SUPER_X - 14.0, at[1], z]
                out.point(
                    "water_facility",
                    f"NC-{code}-{k:02d}",
                    nxt,
                    code=f"NC-{code}-{k:02d}",
                    kind="end_cap",
                    elevation_m=z,
                )
            middle = [(at[0] + nxt[0]) / 2, at[1], z]
            stops = [at, middle, nxt]
            if k == 0 and i == 0:
                stops.insert(1, [x0 + INLET_X, at[1], z])
            _middle(out, block, i, k, middle, street.name)
            for n in range(len(stops) - 1):
                _pipe(
                    out,
                    f"OC-{code}-X{i}{k:02d}{n}",
                    [stops[n], stops[n + 1]],
                    "distribution",
                    150,
                    street.name,
                    block,
                    dma(block),
                )
            if k + 1 < len(STREETS_Y):
                up = [at[0], y0 + STREETS_Y[k + 1] + OFFSET, _z(STREETS_Y[k + 1] + OFFSET)]
                _pipe(
                    out,
                    f"OC-{code}-Y{i}{k:02d}",
                    [at, up],
                    "distribution",
                    200,
                    y_street(block, i).name,
                    block,
                    dma(block),
                )


def _middle(out: Features, block: Superblock, i: int, k: int, at: list[float], street: str) -> None:
    """A hydrant or a valve in the middle of every stretch, so that stretches can be shut off."""
    if (i + k) % 2:
        code = f"TC-{block.code}-{i}{k:02d}"
        out.point(
            "water_hydrant", code, at, code=code, kind="pillar", diameter_mm=100.0, flow_l_s=15.0, dma_code=dma(block),
            address=f"Đường {street}", **_network("cast_iron", block, k),
        )  # fmt: skip
    else:
        code = f"VC-{block.code}-{i}{k:02d}"
        out.point(
            "water_valve", code, at, code=code, kind="gate", diameter_mm=150.0, state="open", boundary_valve=False,
            turns=18.0, dma_code=dma(block), **_network("ductile_iron", block, k),
        )  # fmt: skip


def _pipe(
    out: Features, asset_id: str, path: list[list[float]], cls: str, diameter: int, street: str, block: Superblock,
    area: str | None,
) -> None:  # fmt: skip
    material = "ductile_iron" if diameter >= 200 else "hdpe"
    out.line(
        "water_pipe", asset_id, path, pipe_class=cls, diameter_mm=float(diameter), design_pressure_bar=10.0,
        roughness=130.0 if material == "ductile_iron" else 140.0, flow_direction="both" if cls == "distribution" else "forward",
        street=street, dma_code=area, depth_m=round((DEPTH if cls == "distribution" else MAIN_DEPTH) - diameter / 2000, 3),
        **_network(material, block, diameter // 50),
    )  # fmt: skip


def _network(material: str, block: Superblock, salt: int) -> dict[str, Value]:
    return {
        "material": material, "installed_year": 1992 + (block.column * 5 + block.row * 3 + salt * 7) % 32,
        "condition": ("good", "fair", "good", "poor")[(block.row + salt) % 4], "underground_status": "underground",
        "depth_method": "surveyed", "quality_level": ("B1", "B2", "C", "D")[(block.column + salt) % 4],
        "horizontal_accuracy_m": 0.25, "source_scale": 2000,
    }  # fmt: skip
