"""Combined drains: laterals along the streets fall to trunks, trunks fall to outfalls in the canal.

All conduits are drawn downstream from node to node. Depths clear the water mains by the law's 0.5 m.
"""

from __future__ import annotations

from gis.demo.features import Features
from gis.demo.plan import HALF_CANAL, STREETS_X, STREETS_Y, SUPER_X, SUPER_Y, Superblock
from gis.demo.streets import canal_name, ground, x_street, y_street

#: Offset of drains from the street's centre line (m), and of the kerb where inlets stand.
OFFSET, KERB = -1.0, -3.8
LATERAL_MM, INLET_MM = 400, 300
#: Crown of a lateral's upper end and least crown of a trunk, below the ground (m).
LATERAL_CROWN, TRUNK_CROWN = 2.1, 2.5
#: Slopes: at least 1/D (mm), the rule of thumb that DRN-02 checks.
LATERAL_SLOPE, INLET_SLOPE = 1 / 350, 1 / 50


def trunk_diameter(k: int) -> int:
    """Inner diameter (mm) of the trunk below junction k (0 is next to the canal): never smaller downstream."""
    return 1200 if k <= 3 else 1000 if k <= 7 else 800


def add_drainage(out: Features, block: Superblock) -> None:
    """Manholes, inlets, conduits, outfalls and the catchment of one superblock."""
    for i, x in enumerate(STREETS_X):
        _trunk(out, block, i, block.x + x + OFFSET)
    ring = [
        [block.x, block.y],
        [block.x + SUPER_X, block.y],
        [block.x + SUPER_X, block.y + SUPER_Y],
        [block.x, block.y + SUPER_Y],
    ]
    out.polygon(
        "drainage_catchment", f"LV-{block.code}", ring, name=f"Lưu vực {canal_name(block.row)} {block.column + 1}",
        system="combined", area_ha=round(SUPER_X * SUPER_Y / 10_000, 2), runoff_coefficient=0.7,
    )  # fmt: skip
    out.line(
        "drainage_channel", f"KM-{block.code}",
        [[block.x, block.y, -1.5], [block.x + SUPER_X, block.y, -1.5]],
        name=canal_name(block.row), kind="canal", system="combined", shape="trapezoid",
        width_mm=HALF_CANAL * 2000, height_mm=3000, invert_up_m=-1.5, invert_down_m=-1.5, slope_rule="tidal",
    )  # fmt: skip


def _trunk(out: Features, block: Superblock, i: int, x: float) -> None:
    """The trunk along the i-th y-street: it starts in the north and ends at the canal's bank."""
    street = y_street(block, i)
    top = len(STREETS_Y) - 1
    invert = min(
        ground(STREETS_Y[top]) - TRUNK_CROWN - trunk_diameter(top) / 1000, _lateral_end(STREETS_Y[top]) - 0.10
    )
    invert = round(invert, 3)
    for k in range(top, -1, -1):
        y = STREETS_Y[k] + OFFSET
        node = f"HG-{block.code}-T{i}{k:02d}"
        level = ground(y)
        out.point(
            "drainage_manhole", node, [x, block.y + y, invert], code=node, kind="junction",
            system="combined", street=street.name, ground_level_m=level, invert_m=invert, depth_m=round(level - invert, 3),
            **_network("reinforced_concrete", block, k),
        )  # fmt: skip
        _lateral(out, block, i, k, x, node)
        diameter = trunk_diameter(k)
        low_y = STREETS_Y[k - 1] + OFFSET if k else HALF_CANAL
        length = y - low_y
        below = round(invert - max(length / (diameter * 0.8), 0.01), 3)
        if k:
            # Never shallower than the trunk's least cover, nor above the lateral that joins there.
            y_below = STREETS_Y[k - 1]
            below = round(
                min(
                    below,
                    ground(y_below) - TRUNK_CROWN - trunk_diameter(k - 1) / 1000,
                    _lateral_end(y_below) - 0.10,
                ),
                3,
            )
            end = f"HG-{block.code}-T{i}{k - 1:02d}"
        else:
            end = f"CX-{block.code}-{i}"
            out.point(
                "drainage_outfall", end, [x, block.y + low_y, below], code=end, kind="flap", system="combined",
                receiving_water=canal_name(block.row), invert_m=below, ground_level_m=ground(low_y), street=street.name,
                **_network("reinforced_concrete", block, i),
            )  # fmt: skip
        _conduit(
            out, f"CT-{block.code}-T{i}{k:02d}", [x, block.y + y, invert], [x, block.y + low_y, below], diameter,
            "trunk", street.name, node, end, block,
        )  # fmt: skip
        invert = below


def _lateral_end(y: float) -> float:
    """Invert (m) of a lateral where it joins the trunk: the longest one decides for all."""
    return round(ground(y + OFFSET) - LATERAL_CROWN - LATERAL_MM / 1000 - 107.0 * LATERAL_SLOPE, 3)


def _lateral(out: Features, block: Superblock, i: int, k: int, trunk_x: float, trunk_node: str) -> None:
    """The lateral along the k-th x-street that falls west to the i-th trunk."""
    street = x_street(block, k)
    next_x = (STREETS_X[i + 1] if i + 1 < len(STREETS_X) else SUPER_X) + block.x
    y = block.y + STREETS_Y[k] + OFFSET
    level = ground(STREETS_Y[k] + OFFSET)
    length = next_x + OFFSET - 12.0 - trunk_x
    end = _lateral_end(STREETS_Y[k])
    places = [trunk_x + length * part / 3 for part in (3, 2, 1, 0)]
    inverts = [round(end + (p - trunk_x) * LATERAL_SLOPE, 3) for p in places]
    nodes = [f"HG-{block.code}-L{i}{k:02d}{n}" for n in range(3)] + [trunk_node]
    for n in range(3):
        here = [places[n], y, inverts[n]]
        out.point(
            "drainage_manhole", nodes[n], here, code=nodes[n], kind="manhole", system="combined", street=street.name,
            ground_level_m=level, invert_m=inverts[n], depth_m=round(level - inverts[n], 3),
            cover_mm=700, **_network("reinforced_concrete", block, n),
        )  # fmt: skip
        _conduit(
            out, f"CT-{block.code}-L{i}{k:02d}{n}", here, [places[n + 1], y, inverts[n + 1]], LATERAL_MM, "branch",
            street.name, nodes[n], nodes[n + 1], block,
        )  # fmt: skip
        inlet = f"MT-{block.code}-{i}{k:02d}{n}"
        kerb_y = block.y + STREETS_Y[k] + KERB
        up = round(inverts[n] + 0.15, 3)
        kerb_level = ground(STREETS_Y[k] + KERB)
        out.point(
            "drainage_inlet", inlet, [places[n], kerb_y, up], code=inlet, kind="combined", system="combined",
            street=street.name, ground_level_m=kerb_level, invert_m=up, depth_m=round(kerb_level - up, 3),
            **_network("reinforced_concrete", block, n),
        )  # fmt: skip
        _conduit(
            out, f"CT-{block.code}-I{i}{k:02d}{n}", [places[n], kerb_y, up], here, INLET_MM, "house", street.name,
            inlet, nodes[n], block,
        )  # fmt: skip


def _conduit(
    out: Features, asset_id: str, start: list[float], end: list[float], diameter: int, cls: str, street: str,
    from_node: str, to_node: str, block: Superblock,
) -> None:  # fmt: skip
    length = ((start[0] - end[0]) ** 2 + (start[1] - end[1]) ** 2) ** 0.5
    level = ground((start[1] + end[1]) / 2 - block.y)
    cover = level - (start[2] + end[2]) / 2 - diameter / 1000
    out.line(
        "drainage_conduit", asset_id, [start, end], conduit_class=cls, system="combined", street=street,
        shape="circular", diameter_mm=float(diameter), invert_up_m=start[2], invert_down_m=end[2],
        slope_permille=round((start[2] - end[2]) / length * 1000, 2), slope_rule="gravity", from_node=from_node,
        to_node=to_node, length_m=round(length, 2), depth_m=round(cover, 2),
        **_network("hdpe" if diameter <= 300 else "reinforced_concrete", block, int(diameter) // 100),
    )  # fmt: skip


def _network(material: str, block: Superblock, salt: int) -> dict[str, str | int | float]:
    return {
        "material": material, "installed_year": 1998 + (block.column * 7 + block.row * 5 + salt * 3) % 26,
        "condition": ("good", "good", "fair", "poor")[(block.column + salt) % 4], "underground_status": "underground",
        "depth_method": "surveyed", "quality_level": ("B1", "B2", "C", "D")[(block.row + salt) % 4],
        "horizontal_accuracy_m": 0.15, "vertical_accuracy_m": 0.15, "source_scale": 2000,
    }  # fmt: skip
