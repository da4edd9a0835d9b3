"""Combined drains: laterals along the streets fall to trunks, trunks fall to outfalls in the canal.

All conduits are drawn downstream from node to node; their heights are inverts. Depths clear the water
pipes by the law's metre (see sections).
"""

from __future__ import annotations

import math

from gis.demo.attributes import network
from gis.demo.features import Features, Point, Value, rectangle
from gis.demo.names import Street, canal_name, x_street, y_street
from gis.demo.plan import HALF_CANAL, STREETS_X, STREETS_Y, SUPER_X, SUPER_Y, Plan, Superblock
from gis.demo.sections import DRAIN, LAST_Y, LATERAL_CROWN, TRUNK_CROWN, ground, is_major_x, kerb

LATERAL_MM, INLET_MM = 400, 300
#: The canal's bed (m): below all outfalls.
CANAL_BED = -3.6
#: Slopes: at least 1/D (mm), the rule of thumb that DRN-02 checks.
LATERAL_SLOPE = 1 / 350
#: A lateral's upper end is this far from the next street; an inlet's invert this far above its manhole's.
HEAD_GAP, INLET_DROP = 12.0, 0.15
#: The longest lateral (m): it decides how deep all of them arrive.
LONGEST = STREETS_X[1] - HEAD_GAP
#: Bottom of a detention basin (m), and how far inside its park it begins to the north and the south.
BASIN_BED, BASIN_BANK = -0.5, 10.0
#: The structure at a canal's end stands this far before it.
GATE_GAP = 60.0


def trunk_diameter(k: int) -> int:
    """Inner diameter (mm) of the trunk below junction k (0: next to the canal): never smaller downstream."""
    return 1200 if k <= 3 else 1000 if k <= 7 else 800


def add_drainage(out: Features, plan: Plan, block: Superblock) -> None:
    """Manholes, inlets, conduits, outfalls, canal, basin and catchment of one superblock."""
    inverts = trunk_inverts()
    for i in range(len(STREETS_X)):
        _trunk(out, block, i, inverts)
        for k in range(len(STREETS_Y)):
            _lateral(out, block, i, k)
    _canal(out, plan, block)
    _basin(out, block)
    _flooding(out, block)
    out.polygon(
        "drainage_catchment", f"LV-{block.code}",
        rectangle(block.x, block.y, block.x + SUPER_X, block.y + SUPER_Y),
        name=f"Lưu vực {canal_name(block.row)} {block.column + 1}", system="combined",
        area_ha=round(SUPER_X * SUPER_Y / 10_000, 2), runoff_coefficient=0.7, outlet_id=f"CX-{block.code}-0",
    )  # fmt: skip


def lateral_end(k: int) -> float:
    """Invert (m) of the laterals of the k-th street where they join the trunk."""
    head = ground(STREETS_Y[k] + DRAIN) - LATERAL_CROWN - LATERAL_MM / 1000
    return math.floor((head - LONGEST * LATERAL_SLOPE) * 1000) / 1000


def trunk_inverts() -> list[float]:
    """Inverts (m) of a trunk at its junctions 0.. (south to north), and below them, at last, its outfall's.

    Never shallower than the least cover, never above the lateral that joins, always falling by 1/D or more.
    """
    inverts = [0.0] * len(STREETS_Y)
    invert = math.inf
    for k in range(LAST_Y, -1, -1):
        if k < LAST_Y:
            invert -= (STREETS_Y[k + 1] - STREETS_Y[k]) / (trunk_diameter(k + 1) * 0.8)
        least = ground(STREETS_Y[k] + DRAIN) - TRUNK_CROWN - trunk_diameter(k) / 1000
        invert = math.floor(min(invert, least, lateral_end(k) - 0.1) * 1000) / 1000
        inverts[k] = invert
    length = STREETS_Y[0] + DRAIN - HALF_CANAL
    return [*inverts, round(invert - length / (trunk_diameter(0) * 0.8), 3)]


def _trunk(out: Features, block: Superblock, i: int, inverts: list[float]) -> None:
    """The trunk along the i-th y-street: it starts in the north and ends at the canal's bank."""
    code, street, x = block.code, y_street(block, i), block.x + STREETS_X[i] + DRAIN
    end = (x, block.y + HALF_CANAL, inverts[-1])
    outfall = f"CX-{code}-{i}"
    out.point(
        "drainage_outfall", outfall, end, code=outfall, kind="flap", system="combined", street=street.name,
        receiving_water=canal_name(block.row), invert_m=end[2], ground_level_m=ground(HALF_CANAL),
        **_network(block, i, "reinforced_concrete"),
    )  # fmt: skip
    for k in range(LAST_Y, -1, -1):
        at = (x, block.y + STREETS_Y[k] + DRAIN, inverts[k])
        node = _manhole(out, block, f"T{i}{k:02d}", at, "junction", street, k)
        below = (x, block.y + STREETS_Y[k - 1] + DRAIN, inverts[k - 1]) if k else end
        to = f"HG-{code}-T{i}{k - 1:02d}" if k else outfall
        _conduit(out, block, f"T{i}{k:02d}", [at, below], trunk_diameter(k), "trunk", street, (node, to))


def _lateral(out: Features, block: Superblock, i: int, k: int) -> None:
    """The lateral along the k-th x-street that falls west to the i-th trunk, and its inlets."""
    code, street = block.code, x_street(block, k)
    trunk = block.x + STREETS_X[i] + DRAIN
    following = block.x + (STREETS_X[i + 1] if i + 1 < len(STREETS_X) else SUPER_X) + DRAIN
    y = block.y + STREETS_Y[k] + DRAIN
    length = following - HEAD_GAP - trunk
    end = lateral_end(k)
    path: list[Point] = []
    for part in (3, 2, 1, 0):
        x = trunk + length * part / 3
        path.append((x, y, round(end + (x - trunk) * LATERAL_SLOPE, 3)))
    nodes = [f"HG-{code}-L{i}{k:02d}{n}" for n in range(3)] + [f"HG-{code}-T{i}{k:02d}"]
    kerb_y = STREETS_Y[k] + kerb(is_major_x(k))
    for n in range(3):
        _manhole(out, block, f"L{i}{k:02d}{n}", path[n], "manhole" if n else "end", street, n)
        ends = (nodes[n], nodes[n + 1])
        _conduit(out, block, f"L{i}{k:02d}{n}", path[n : n + 2], LATERAL_MM, "branch", street, ends)
        inlet = (path[n][0], block.y + kerb_y, round(path[n][2] + INLET_DROP, 3))
        inlet_id = f"MT-{code}-{i}{k:02d}{n}"
        surface = ground(kerb_y)
        out.point(
            "drainage_inlet", inlet_id, inlet, code=inlet_id, kind="combined", system="combined",
            street=street.name, ground_level_m=surface, invert_m=inlet[2],
            depth_m=round(surface - inlet[2], 3), **_network(block, n, "reinforced_concrete"),
        )  # fmt: skip
        _conduit(
            out, block, f"I{i}{k:02d}{n}", [inlet, path[n]], INLET_MM, "house", street, (inlet_id, nodes[n])
        )


def _manhole(
    out: Features, block: Superblock, part: str, at: Point, kind: str, street: Street, salt: int
) -> str:
    node = f"HG-{block.code}-{part}"
    surface = ground(at[1] - block.y)
    out.point(
        "drainage_manhole", node, at, code=node, kind=kind, system="combined", street=street.name,
        ground_level_m=surface, invert_m=at[2], depth_m=round(surface - at[2], 3), cover_mm=700.0,
        **_network(block, salt, "reinforced_concrete"),
    )  # fmt: skip
    return node


def _conduit(
    out: Features, block: Superblock, part: str, path: list[Point], diameter: int, cls: str, street: Street,
    nodes: tuple[str, str],
) -> None:  # fmt: skip
    start, end = path
    length = abs(start[0] - end[0]) + abs(start[1] - end[1])  # parallel to an axis
    cover = ground((start[1] + end[1]) / 2 - block.y) - (start[2] + end[2]) / 2 - diameter / 1000
    out.line(
        "drainage_conduit", f"CT-{block.code}-{part}", path, conduit_class=cls, system="combined",
        street=street.name, shape="circular", diameter_mm=float(diameter), invert_up_m=start[2],
        invert_down_m=end[2], slope_permille=round((start[2] - end[2]) / length * 1000, 2),
        slope_rule="gravity", from_node=nodes[0], to_node=nodes[1], length_m=round(length, 2),
        depth_m=round(cover, 2),
        **_network(block, diameter // 100, "hdpe" if diameter <= 300 else "reinforced_concrete"),
    )  # fmt: skip


def _canal(out: Features, plan: Plan, block: Superblock) -> None:
    """The canal's piece: tidal, from a tide gate in the west to the river in the east."""
    x0, y, code = block.x, block.y, block.code
    name, salt = canal_name(block.row), block.row
    end = (x0 + SUPER_X, y, CANAL_BED)
    stops: list[Point] = [(x0, y, CANAL_BED), end]
    if block.column == 0:
        out.point(
            "drainage_facility", f"CN-{code}", stops[0], code=f"CN-{code}", kind="tide_gate",
            name=f"Cống ngăn triều {name}", system="combined", elevation_m=CANAL_BED,
            **_network(block, salt, "steel"),
        )  # fmt: skip
    if not plan.has(block.column + 1, block.row):
        pumps = (end[0] - GATE_GAP, y, CANAL_BED)
        stops.insert(1, pumps)
        out.point(
            "drainage_facility", f"TB-{code}", pumps, code=f"TB-{code}", kind="pump_station",
            name=f"Trạm bơm {name}", system="combined", capacity_m3_day=1_500_000.0, elevation_m=CANAL_BED,
            **_network(block, salt, "reinforced_concrete"),
        )  # fmt: skip
        out.point(
            "drainage_outfall", f"CX-{code}-S", end, code=f"CX-{code}-S", kind="open", system="combined",
            receiving_water="Sông Sài Gòn", invert_m=CANAL_BED, ground_level_m=ground(0.0),
            **_network(block, salt, "reinforced_concrete"),
        )  # fmt: skip
    for n in range(len(stops) - 1):
        out.line(
            "drainage_channel", f"KM-{code}-{n}", stops[n : n + 2], name=name, kind="canal",
            system="combined", shape="trapezoid", width_mm=HALF_CANAL * 2000, height_mm=5000.0,
            invert_up_m=CANAL_BED, invert_down_m=CANAL_BED, slope_permille=0.0, slope_rule="tidal",
            length_m=stops[n + 1][0] - stops[n][0],
        )  # fmt: skip


def basin_of(block: Superblock) -> tuple[float, float, float, float] | None:
    """Local x0, y0, x1, y1 of a detention basin in the last park, where a superblock has two or more."""
    parks = [b for b in block.blocks if b.kind == "park"]
    if len(parks) < 2:
        return None
    x0, y0, x1, y1 = block.place(parks[-1])
    return x0 + 20.0, y0 + BASIN_BANK, x1 - 20.0, y1 - BASIN_BANK


def _basin(out: Features, block: Superblock) -> None:
    place = basin_of(block)
    if place is None:
        return
    out.polygon(
        "drainage_basin", f"HDT-{block.code}", rectangle(*place),
        kind="detention", name=f"Hồ điều tiết {block.row + 1}.{block.column + 1}", volume_m3=1_900.0,
        bottom_level_m=BASIN_BED, top_level_m=round(ground(place[1] - BASIN_BANK - block.y), 2),
    )  # fmt: skip


def _flooding(out: Features, block: Superblock) -> None:
    """Places that flood: crossings near the canal as points, the street along it as an area."""
    number = block.column * 3 + block.row * 2
    street = x_street(block, 0).name
    observed = f"{2021 + number % 4}-{9 + number % 3:02d}-{1 + number % 28:02d}T10:30:00+00:00"
    attributes: dict[str, Value] = {
        "street": street, "observed_at": observed, "source_scale": 2000,
        "duration_min": 30 + number * 13 % 120,
    }  # fmt: skip
    x0, y0 = block.x + STREETS_X[1 + number % 5], block.y + STREETS_Y[0]
    if number % 2 == 0:
        out.point(
            "flood_spot", f"DN-{block.code}", (x0, y0), name=f"Ngã tư {street}", cause="rain_and_tide",
            depth_max_m=0.35, **attributes,
        )  # fmt: skip
    if number % 3 == 0:
        out.polygon(
            "flood_spot", f"VN-{block.code}", rectangle(x0 + 10.0, y0 - 8.0, x0 + 90.0, y0 + 8.0),
            name=f"Đoạn đường {street}", cause="tide", depth_max_m=0.2, **attributes,
        )  # fmt: skip


def _network(block: Superblock, salt: int, material: str) -> dict[str, Value]:
    return network(block, salt, material, since=1998, accuracy=0.15, levels=("B1", "B2", "C", "D"))
