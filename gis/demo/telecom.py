"""Telecoms: duct banks from chamber to chamber, cables in them, cabinets, masts, cameras, post offices;
and the shared trench and underground structures along the major streets.
"""

from __future__ import annotations

from gis.demo.features import Features, Value
from gis.demo.plan import STREETS_X, STREETS_Y, SUPER_X, SUPER_Y, Superblock
from gis.demo.streets import ground, x_street, y_street

OFFSET, DEPTH = -5.0, 0.5


def add_telecom(out: Features, block: Superblock) -> None:
    """Everything of the telecoms and the shared underground of one superblock."""
    for k in range(len(STREETS_Y)):
        for i in range(len(STREETS_X)):
            _stretch(out, block, i, k)
    code, x0, y0 = block.code, block.x, block.y
    mast = [x0 + STREETS_X[3] + 6.0, y0 + STREETS_Y[5] + 6.2]
    out.point(
        "telecom_mast", f"BTS-{code}", mast, code=f"HCM-{code}", kind="monopole", radio_generation="mixed", height_m=30.0,
        tenants="VNPT; Viettel", **_network("steel", block, 1),
    )  # fmt: skip
    out.point(
        "telecom_post_office", f"BC-{code}", [x0 + STREETS_X[1] + 6.5, y0 + STREETS_Y[1] + 6.5],
        name=f"Bưu cục {y_street(block, 1).name}", kind="branch", postal_code=f"71{(block.column * 37 + block.row * 11) % 1000:03d}",
        opening_hours="T2-T7 07:30-19:00", address=f"Đường {y_street(block, 1).name}",
    )  # fmt: skip
    _underground(out, block)


def _stretch(out: Features, block: Superblock, i: int, k: int) -> None:
    code, x0, y0 = block.code, block.x, block.y
    y = y0 + STREETS_Y[k] + OFFSET
    z = round(ground(STREETS_Y[k] + OFFSET) - DEPTH, 3)
    street = x_street(block, k)
    name = f"GC-{code}-{i}{k:02d}"
    at = [x0 + STREETS_X[i] + OFFSET, y, z]
    level = ground(STREETS_Y[k] + OFFSET)
    out.point(
        "telecom_chamber", name, at, code=name, kind="manhole" if k == 0 else "handhole", length_mm=1200.0, width_mm=900.0,
        bottom_level_m=round(level - 1.0, 3), ground_level_m=level, address=f"Đường {street.name}",
        **_network("reinforced_concrete", block, k),
    )  # fmt: skip
    if k % 2 == 0 and i % 3 == 0:
        out.point(
            "telecom_cabinet", f"TC-{code}-{i}{k:02d}", [at[0] + 1.6, y - 0.7], code=f"TC-{code}-{i}{k:02d}",
            kind="splitter", capacity=128, capacity_used=(37 * (i + k) + block.row) % 128, **_network("steel", block, i),
        )  # fmt: skip
    if k % 5 == 0 and i % 2 == 1:
        out.point(
            "telecom_camera", f"CAM-{code}-{i}{k:02d}", [at[0] - 0.8, y], kind="traffic", height_m=6.0,
            view_direction_deg=float((90 * i + 45) % 360), **_network("steel", block, k),
        )  # fmt: skip
    last = i + 1 == len(STREETS_X)
    if last:
        end, end_id = [x0 + SUPER_X - 17.0, y, z], f"GC-{code}-E{k:02d}"
        out.point(
            "telecom_chamber", end_id, end, code=end_id, kind="handhole", length_mm=800.0, width_mm=600.0,
            bottom_level_m=round(level - 1.0, 3), ground_level_m=level, **_network("reinforced_concrete", block, k),
        )  # fmt: skip
    else:
        end, end_id = [x0 + STREETS_X[i + 1] + OFFSET, y, z], f"GC-{code}-{i + 1}{k:02d}"
    _duct(out, block, f"CB-{code}-X{i}{k:02d}", at, end, street.name, name, end_id)
    if k + 1 < len(STREETS_Y):
        y2 = y0 + STREETS_Y[k + 1] + OFFSET
        up = [at[0], y2, round(ground(STREETS_Y[k + 1] + OFFSET) - DEPTH, 3)]
        _duct(
            out,
            block,
            f"CB-{code}-Y{i}{k:02d}",
            at,
            up,
            y_street(block, i).name,
            name,
            f"GC-{code}-{i}{k + 1:02d}",
        )


def _duct(
    out: Features,
    block: Superblock,
    asset_id: str,
    start: list[float],
    end: list[float],
    street: str,
    a: str,
    b: str,
) -> None:
    used = 2 + (block.column + len(street)) % 4
    out.line(
        "telecom_duct", asset_id, [start, end], name=f"Cống bể {street}", duct_count=6, ducts_used=used,
        duct_diameter_mm=110.0, tenants="VNPT; Viettel", from_node=a, to_node=b, depth_m=DEPTH - 0.1,
        **_network("upvc", block, used),
    )  # fmt: skip
    out.line(
        "telecom_cable", asset_id.replace("CB-", "CAP-"), [start, end], name=f"Cáp quang {street}", cable_kind="optical",
        tier="access", laying="in_duct", fibre_count=96, fibres_used=(31 * used + block.row) % 96, duct_id=asset_id,
        from_node=a, to_node=b, **_network("optical_fibre", block, used),
    )  # fmt: skip


def _underground(out: Features, block: Superblock) -> None:
    """A shared trench with ducts along the west sidewalk of the major street; now and then a structure."""
    code, x0, y0 = block.code, block.x, block.y
    x, south, north = x0 + 9.0, y0 + STREETS_Y[0] + 12.0, y0 + SUPER_Y - 40.0
    z = round(ground(40.0) - 0.6, 3)
    name = f"Hào kỹ thuật {y_street(block, 0).name}"
    out.line(
        "underground_trench", f"HKT-{code}", [[x, south, z], [x, north, z]], name=name, width_m=1.2, height_m=0.8, bays=2,
        occupancy_max=8, occupancy=3, occupants="VNPT; Viettel", bottom_level_m=round(z - 0.8, 3),
        **_network("reinforced_concrete", block, 2),
    )  # fmt: skip
    out.line(
        "underground_duct", f"ONG-{code}", [[x, south, z - 0.4], [x, north, z - 0.4]], name=f"Ống trong {name.lower()}",
        duct_count=4, ducts_used=2, duct_diameter_mm=110.0, occupants="VNPT; Viettel", **_network("hdpe", block, 3),
    )  # fmt: skip
    park = next((b for b in block.blocks if b.kind == "park"), None)
    if park:
        bx0, by0, bx1, by1 = park.box
        ring = [
            [x0 + bx0 + 8, y0 + by0 + 6],
            [x0 + bx1 - 8, y0 + by0 + 6],
            [x0 + bx1 - 8, y0 + by1 - 6],
            [x0 + bx0 + 8, y0 + by1 - 6],
        ]
        out.polygon(
            "underground_structure", f"BX-{code}", ring, name=f"Bãi đậu xe ngầm {code}", kind="car_park", levels=2,
            top_level_m=round(ground(by0) - 1.2, 2), bottom_level_m=round(ground(by0) - 8.2, 2),
        )  # fmt: skip


def _network(material: str, block: Superblock, salt: int) -> dict[str, Value]:
    return {
        "material": material, "installed_year": 2005 + (block.column * 3 + block.row * 5 + salt * 2) % 20,
        "condition": ("good", "good", "fair")[(block.row + salt) % 3], "quality_level": ("B1", "B2", "C")[salt % 3],
        "horizontal_accuracy_m": 0.2, "source_scale": 2000,
    }  # fmt: skip
