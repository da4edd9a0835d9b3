"""Water supply: a treatment works, a transmission main, and in each superblock a district metered area.

Distribution pipes run along every street and meet at junctions; one inlet with valve and meter joins each
district to the main. Every end of a pipe is a facility, junction, valve, hydrant or meter at the same
coordinates and height (the pipe's axis).
"""

from __future__ import annotations

from gis.demo.attributes import network
from gis.demo.features import Features, Path, Point, Value, rectangle
from gis.demo.names import x_street, y_street
from gis.demo.plan import STREETS_X, STREETS_Y, SUPER_X, SUPER_Y, Plan, Superblock
from gis.demo.sections import LAST_X, LAST_Y, MAIN, MAIN_DEPTH, MAIN_X, WATER, WATER_DEPTH, is_major_x, level

MAIN_Y = STREETS_Y[0] + MAIN
#: The district's inlet leaves the main here; service pipes leave a stretch this far east of its start.
INLET_X, SERVICE_X = 40.0, 45.0
VALVE_Y, METER_Y = MAIN_Y + 2.8, MAIN_Y + 4.8
#: Every stretch ends this far before the next superblock.
END_GAP = 14.0


def dma(block: Superblock) -> str:
    """Code of the superblock's district metered area."""
    return f"DMA-{block.code}"


def add_water(out: Features, plan: Plan, block: Superblock) -> None:
    """Pipes, valves, hydrants, meters, facilities and the district of one superblock."""
    _main(out, plan, block)
    _inlet(out, block)
    for k in range(len(STREETS_Y)):
        for i in range(len(STREETS_X)):
            _stretch(out, block, i, k)
    if (block.column + block.row) % 3 == 0:
        _abandoned(out, block, 2, 5)
    out.polygon(
        "water_dma", dma(block), rectangle(block.x, block.y, block.x + SUPER_X, block.y + SUPER_Y),
        name=f"Vùng DMA {block.column + 1}-{block.row + 1}", dma_code=dma(block),
        customers=block.parcels, losses_percent=float(12 + (block.column * 3 + block.row * 5) % 14),
    )  # fmt: skip


def _main(out: Features, plan: Plan, block: Superblock) -> None:
    """The transmission main: along the boulevard from tee to tee, and west of the city from row to row."""
    x0, y0, code = block.x, block.y, block.code
    z = level(MAIN_Y, MAIN_DEPTH)
    tee = (x0 + INLET_X, y0 + MAIN_Y, z)
    name = x_street(block, 0).name
    if block.column == 0:
        west = (x0 + MAIN_X, y0 + MAIN_Y, z)
        if block.row == 0:
            out.point(
                "water_facility", f"NMN-{code}", west, code="NMN-01", kind="treatment_works",
                name="Nhà máy nước Thủ Thiêm", capacity_m3_day=300_000.0, pressure_bar=4.5, elevation_m=z,
                **_network(block, 0, "other"),
            )  # fmt: skip
        else:
            _node(out, f"NO-{code}-W", west, "pressure_point", None, pressure_bar=3.8)
        _pipe(out, block, f"OC-{code}-M0", [west, tee], "transmission", 600, name, None)
        if plan.has(0, block.row + 1):
            # Under the canal: the main dives between its banks.
            top, bed = y0 + SUPER_Y, level(0.0, 7.0)
            path = [
                west,
                (west[0], top - 12.0, z),
                (west[0], top - 9.0, bed),
                (west[0], top + 9.0, bed),
                (west[0], top + MAIN_Y, z),
            ]
            _pipe(out, block, f"OC-{code}-V", path, "transmission", 600, y_street(block, 0).name, None)
    _node(out, f"NO-{code}-T", tee, "junction", None)
    if plan.has(block.column + 1, block.row):
        following = (x0 + SUPER_X + INLET_X, y0 + MAIN_Y, z)
        _pipe(out, block, f"OC-{code}-M1", [tee, following], "transmission", 600, name, None)


def _inlet(out: Features, block: Superblock) -> None:
    """From the main through valve and meter into the district."""
    x, y0, code = block.x + INLET_X, block.y, block.code
    ends: list[Point] = [
        (x, y0 + MAIN_Y, level(MAIN_Y, MAIN_DEPTH)),
        (x, y0 + VALVE_Y, level(VALVE_Y, MAIN_DEPTH)),
        (x, y0 + METER_Y, level(METER_Y, WATER_DEPTH)),
        (x, y0 + STREETS_Y[0] + WATER, level(STREETS_Y[0] + WATER, WATER_DEPTH)),
    ]
    out.point(
        "water_valve", f"VB-{code}", ends[1], code=f"VB-{code}", kind="butterfly", diameter_mm=200.0,
        state="open", boundary_valve=True, dma_code=dma(block), **_network(block, 1, "ductile_iron"),
    )  # fmt: skip
    out.point(
        "water_meter", f"DHT-{code}", ends[2], meter_no=f"DHT-{code}", kind="dma", diameter_mm=200.0,
        address=f"Đường {x_street(block, 0).name}", dma_code=dma(block), **_network(block, 2, "cast_iron"),
    )  # fmt: skip
    _node(out, f"NO-{code}-N", ends[3], "junction", block)
    name = x_street(block, 0).name
    for n in range(3):
        _pipe(out, block, f"OC-{code}-N{n}", ends[n : n + 2], "distribution", 200, name, dma(block))


def _stretch(out: Features, block: Superblock, i: int, k: int) -> None:
    """The pipes from the junction (i, k) eastward to the next and northward to the next."""
    x0, y0, code = block.x, block.y, block.code
    y = STREETS_Y[k] + WATER
    z = level(y, WATER_DEPTH)
    at = (x0 + STREETS_X[i] + WATER, y0 + y, z)
    kind = "pressure_point" if (i, k) == (3, 5) else "quality_point" if (i, k) == (2, 8) else "junction"
    _node(out, f"NO-{code}-{i}{k:02d}", at, kind, block)
    if i < LAST_X:
        end = (x0 + STREETS_X[i + 1] + WATER, at[1], z)
    else:
        end = (x0 + SUPER_X - END_GAP, at[1], z)
        _node(out, f"NC-{code}-{k:02d}", end, "end_cap", block)
    middle = ((at[0] + end[0]) / 2, at[1], z)
    stops: list[Point] = [at, middle, end]
    street = x_street(block, k).name
    _device(out, block, i, k, middle, street)
    if k < LAST_Y:
        tap = (x0 + STREETS_X[i] + SERVICE_X, at[1], z)
        stops.insert(1, tap)
        _service(out, block, i, k, tap, street)
    if (i, k) == (0, 0):
        stops.insert(1, (x0 + INLET_X, at[1], z))
    for n in range(len(stops) - 1):
        _pipe(
            out, block, f"OC-{code}-X{i}{k:02d}{n}", stops[n : n + 2], "distribution", 150, street, dma(block)
        )
    if k < LAST_Y:
        north = STREETS_Y[k + 1] + WATER
        up = (at[0], y0 + north, level(north, WATER_DEPTH))
        _pipe(
            out, block, f"OC-{code}-Y{i}{k:02d}", [at, up], "distribution", 200, y_street(block, i).name,
            dma(block),
        )  # fmt: skip


def _device(out: Features, block: Superblock, i: int, k: int, at: Point, street: str) -> None:
    """A hydrant or a valve in the middle of every stretch, so that stretches can be shut off."""
    if (i + k) % 2:
        code = f"TC-{block.code}-{i}{k:02d}"
        out.point(
            "water_hydrant", code, at, code=code, kind="pillar", diameter_mm=100.0, flow_l_s=15.0,
            dma_code=dma(block), address=f"Đường {street}", **_network(block, k, "cast_iron"),
        )  # fmt: skip
    else:
        code = f"VC-{block.code}-{i}{k:02d}"
        out.point(
            "water_valve", code, at, code=code, kind="gate", diameter_mm=150.0, state="open",
            boundary_valve=False, turns=18.0, dma_code=dma(block), **_network(block, k, "ductile_iron"),
        )  # fmt: skip


def _service(out: Features, block: Superblock, i: int, k: int, tap: Point, street: str) -> None:
    """A service pipe from a saddle on the main across the sidewalk to a customer's meter."""
    code = f"{block.code}-{i}{k:02d}"
    _node(out, f"NO-{code}-S", tap, "junction", block)
    front = STREETS_Y[k] + (11.7 if is_major_x(k) else 6.7)
    meter = (tap[0], block.y + front, level(front, 0.6))
    out.point(
        "water_meter", f"DH-{code}", meter, meter_no=f"DH{block.code}{i}{k:02d}", kind="customer",
        diameter_mm=25.0, customer_code=f"DB-{code}", address=f"Đường {street}", dma_code=dma(block),
        **_network(block, i + k, "composite"),
    )  # fmt: skip
    _pipe(out, block, f"OC-{code}-S", [tap, meter], "service", 50, street, dma(block))


def _abandoned(out: Features, block: Superblock, i: int, k: int) -> None:
    """An old main, cut off and left in the ground beside the new one."""
    y = STREETS_Y[k] + WATER - 1.2
    ends = [(block.x + STREETS_X[i] + along, block.y + y, level(y, WATER_DEPTH)) for along in (12.0, 100.0)]
    for side, end in zip("WE", ends, strict=True):
        asset_id = f"NC-{block.code}-A{side}"
        out.point(
            "water_facility", asset_id, end, code=asset_id, kind="end_cap", elevation_m=end[2],
            status="abandoned",
        )  # fmt: skip
    _pipe(
        out, block, f"OC-{block.code}-A", ends, "distribution", 100, x_street(block, k).name, None,
        status="abandoned", material="asbestos_cement", installed_year=1974, quality_level="D",
    )  # fmt: skip


def _node(
    out: Features, asset_id: str, at: Point, kind: str, block: Superblock | None, **more: Value
) -> None:
    """A facility where pipes meet or end; ``block`` gives the district it is in."""
    out.point(
        "water_facility", asset_id, at, code=asset_id, kind=kind, elevation_m=at[2],
        dma_code=dma(block) if block else None, **more,
    )  # fmt: skip


def _pipe(
    out: Features, block: Superblock, asset_id: str, path: Path, cls: str, diameter: int, street: str,
    area: str | None, **more: Value,
) -> None:  # fmt: skip
    iron = diameter >= 200
    depth = MAIN_DEPTH if cls == "transmission" else WATER_DEPTH
    attributes: dict[str, Value] = {
        "pipe_class": cls, "diameter_mm": float(diameter), "design_pressure_bar": 10.0, "street": street,
        "roughness": 130.0 if iron else 140.0, "dma_code": area, "depth_m": round(depth - diameter / 2000, 3),
        "flow_direction": "both" if cls == "distribution" else "forward",
        **_network(block, diameter // 50, "ductile_iron" if iron else "hdpe"), **more,
    }  # fmt: skip
    out.line("water_pipe", asset_id, path, **attributes)


def _network(block: Superblock, salt: int, material: str) -> dict[str, Value]:
    return network(block, salt, material, since=1996, accuracy=0.25, levels=("B1", "B2", "C", "D"))
