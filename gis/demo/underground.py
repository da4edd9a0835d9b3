"""What utilities share under the ground: a technical trench along the major street, now and then a utility
tunnel under the boulevard, car parks under parks, and one metro line through the city."""

from __future__ import annotations

from gis.demo.attributes import network
from gis.demo.features import Features, Point, Value, rectangle
from gis.demo.names import x_street, y_street
from gis.demo.plan import STREETS_Y, SUPER_X, SUPER_Y, Plan, Superblock
from gis.demo.sections import LAST_Y, TRENCH, TUNNEL, ground, level
from gis.demo.telecom import add_cable, add_chamber

#: Inner width and height of the trench (m), depth of its axis, and how far west of it the ducts lie.
TRENCH_SIZE, TRENCH_DEPTH, SIDE = (1.2, 0.8), 1.6, 0.25
TUNNEL_SIZE, TUNNEL_DEPTH = (3.0, 2.5), 2.9
#: The metro: rails below the ground, half widths of tunnel and station, half length of a station (m).
METRO_DEPTH, HALF_TUNNEL, HALF_STATION, STATION = 18.0, 6.0, 10.0, 60.0


def add_underground(out: Features, plan: Plan, block: Superblock) -> None:
    """Trench, tunnel, structures and metro of one superblock."""
    _trench(out, block)
    if (block.column + block.row * 2) % 4 == 0:
        _tunnel(out, block)
    _car_park(out, block)
    if block.column == plan.columns // 2:
        _metro(out, block)


def _trench(out: Features, block: Superblock) -> None:
    """From the first to the last but one street; it follows the ground."""
    code, x = block.code, block.x + TRENCH
    ys = [STREETS_Y[1] + 12.0, *STREETS_Y[2 : LAST_Y - 1], STREETS_Y[LAST_Y - 1] - 12.0]
    street = y_street(block, 0).name
    name = f"Hào kỹ thuật {street}"
    axis: list[Point] = [(x, block.y + y, level(y, TRENCH_DEPTH)) for y in ys]
    bottom = min(p[2] for p in axis) - TRENCH_SIZE[1] / 2
    planned = (block.column + block.row) % 4 == 3
    status = "proposed" if planned else "in_service"
    out.line(
        "underground_trench", f"HKT-{code}", axis, name=name, width_m=TRENCH_SIZE[0], height_m=TRENCH_SIZE[1],
        bays=2, occupancy_max=8, occupancy=0 if planned else 3, bottom_level_m=round(bottom, 3),
        occupants=None if planned else "VNPT; Viettel", status=status,
        **_network(block, 2, "reinforced_concrete"),
    )  # fmt: skip
    if planned:
        return
    ducts = [(px - SIDE, py, round(pz - 0.2, 3)) for px, py, pz in axis]
    ends = (f"GC-{code}-HN", f"GC-{code}-HB")
    for chamber, at in zip(ends, (ducts[0], ducts[-1]), strict=True):
        add_chamber(out, block, chamber, at, "manhole", street)
    duct = f"ONG-{code}"
    out.line(
        "underground_duct", duct, ducts, name=f"Ống trong {name.lower()}", duct_count=4, ducts_used=2,
        duct_diameter_mm=110.0, occupants="VNPT; Viettel", from_node=ends[0], to_node=ends[1],
        **_network(block, 3, "hdpe"),
    )  # fmt: skip
    add_cable(out, block, "H", ducts, street, "in_trench", ends, duct)


def _tunnel(out: Features, block: Superblock) -> None:
    y = STREETS_Y[LAST_Y] + TUNNEL
    z = level(y, TUNNEL_DEPTH)
    path = [(block.x + x, block.y + y, z) for x in (20.0, SUPER_X - 20.0)]
    out.line(
        "underground_tunnel", f"TNL-{block.code}", path, name=f"Tuy-nen {x_street(block, LAST_Y).name}",
        width_m=TUNNEL_SIZE[0], height_m=TUNNEL_SIZE[1], bays=3, occupancy_max=24, occupancy=6,
        occupants="SAWACO; EVNHCMC; VNPT; Viettel", bottom_level_m=round(z - TUNNEL_SIZE[1] / 2, 3),
        **_network(block, 1, "reinforced_concrete"),
    )  # fmt: skip


def _car_park(out: Features, block: Superblock) -> None:
    """Under the first park of the superblock."""
    park = next((b for b in block.blocks if b.kind == "park"), None)
    if park is None:
        return
    x0, y0, x1, y1 = block.place(park)
    surface = ground(y0 - block.y)
    out.polygon(
        "underground_structure", f"BX-{block.code}", rectangle(x0 + 8.0, y0 + 6.0, x1 - 8.0, y1 - 6.0),
        name=f"Bãi đậu xe ngầm {block.row + 1}.{block.column + 1}", kind="car_park", levels=2,
        top_level_m=round(surface - 1.2, 2), bottom_level_m=round(surface - 8.2, 2),
        **_network(block, 1, "reinforced_concrete"),
    )  # fmt: skip


def _metro(out: Features, block: Superblock) -> None:
    """The metro under the major street: rails, a station in each superblock, tunnels between."""
    code, x, y0 = block.code, block.x, block.y
    name = "Metro số 9 (mô phỏng)"
    south, north = SUPER_Y / 2 - STATION, SUPER_Y / 2 + STATION
    out.line(
        "base_railway", f"DS-{code}", [(x, y0), (x, y0 + SUPER_Y)], name=name, railway_class="metro",
        gauge_mm=1435, tracks=2, layer_level=-3, source_scale=2000,
    )  # fmt: skip
    station = f"Ga {y_street(block, 0).name} {block.row + 1}"
    out.point(
        "base_place", f"PL-{code}-GA", (x, y0 + SUPER_Y / 2), name=station, place_class="station",
        source_scale=2000,
    )  # fmt: skip
    pieces = [
        ("N", "metro_tunnel", HALF_TUNNEL, 0.0, south, name, 3.0),
        ("G", "metro_station", HALF_STATION, south, north, station, 9.0),
        ("B", "metro_tunnel", HALF_TUNNEL, north, SUPER_Y, name, 3.0),
    ]
    for part, kind, half, low, high, title, rise in pieces:
        bottom = -METRO_DEPTH - 2.0
        out.polygon(
            "underground_structure", f"MT-{code}-{part}", rectangle(x - half, y0 + low, x + half, y0 + high),
            name=title, kind=kind, levels=3 if part == "G" else 1, bottom_level_m=bottom,
            top_level_m=bottom + 5.0 + rise, status="under_construction" if block.row else "in_service",
            **_network(block, 2, "reinforced_concrete"),
        )  # fmt: skip


def _network(block: Superblock, salt: int, material: str) -> dict[str, Value]:
    return network(block, salt, material, since=2003, accuracy=0.2, levels=("B1", "B2", "C"))
