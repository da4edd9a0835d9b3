"""Telecoms: duct banks from chamber to chamber with cables in them, aerial cables on poles, cabinets,
masts, cameras and post offices."""

from __future__ import annotations

from gis.demo.attributes import network
from gis.demo.features import Features, Path, Point, Value, steps
from gis.demo.names import x_street, y_street
from gis.demo.plan import STREETS_X, STREETS_Y, SUPER_X, Superblock
from gis.demo.power import SPAN, spur
from gis.demo.sections import (
    DUCT_DEPTH,
    LAST_X,
    LAST_Y,
    TELECOM_POLE,
    ground,
    is_major_x,
    is_major_y,
    level,
    telecom,
)

#: Streets along x that have aerial cables, on their own poles or on the power company's.
OWN_POLES, SHARED_POLES = (3, 7), (1, 5, 9)
#: A stretch of ducts ends this far before the next superblock; aerial cables hang this high (m).
END_GAP, HANGING = 17.0, 5.5


def add_telecom(out: Features, block: Superblock) -> None:
    """Everything of the telecoms of one superblock."""
    for k in range(len(STREETS_Y)):
        for i in range(len(STREETS_X)):
            _stretch(out, block, i, k)
            if k in OWN_POLES or k in SHARED_POLES:
                _aerial(out, block, i, k)
    number = block.column * 37 + block.row * 11
    out.point(
        "telecom_mast", f"BTS-{block.code}", (block.x + STREETS_X[3] + 6.3, block.y + STREETS_Y[5] - 6.3),
        code=f"HCM-{block.code}", kind="monopole", radio_generation=("mixed", "5G", "4G")[number % 3],
        height_m=30.0, tenants="VNPT; Viettel", status="proposed" if number % 7 == 1 else "in_service",
        **_network(block, 1, "steel", buried=False),
    )  # fmt: skip
    name = y_street(block, 1).name
    office = (block.x + STREETS_X[1] + 10.0, block.y + STREETS_Y[1] + 14.0)
    out.point(
        "telecom_post_office", f"BC-{block.code}", office, name=f"Bưu cục {name}", kind="branch",
        postal_code=f"71{number % 1000:03d}", address=f"Đường {name}", opening_hours="T2-T7 07:30-19:00",
    )  # fmt: skip


def chamber_at(block: Superblock, i: int, k: int) -> Point:
    """The chamber at the crossing (i, k), at the height of the ducts' axis."""
    y = STREETS_Y[k] + telecom(is_major_x(k))
    return block.x + STREETS_X[i] + telecom(is_major_y(i)), block.y + y, level(y, DUCT_DEPTH)


def _stretch(out: Features, block: Superblock, i: int, k: int) -> None:
    """The chamber at (i, k) and the ducts from it to the east and to the north."""
    code, street = block.code, x_street(block, k).name
    at = chamber_at(block, i, k)
    name = f"GC-{code}-{i}{k:02d}"
    add_chamber(out, block, name, at, "manhole" if k == 0 else "handhole", street)
    if i < LAST_X:
        end, end_name = chamber_at(block, i + 1, k), f"GC-{code}-{i + 1}{k:02d}"
    else:
        end, end_name = (block.x + SUPER_X - END_GAP, at[1], at[2]), f"GC-{code}-E{k:02d}"
        add_chamber(out, block, end_name, end, "handhole", street)
    _duct(out, block, f"X{i}{k:02d}", [at, end], street, (name, end_name))
    if k < LAST_Y:
        ends = (name, f"GC-{code}-{i}{k + 1:02d}")
        _duct(out, block, f"Y{i}{k:02d}", [at, chamber_at(block, i, k + 1)], y_street(block, i).name, ends)
    _devices(out, block, i, k, at)


def _devices(out: Features, block: Superblock, i: int, k: int, at: Point) -> None:
    x, y, code = at[0], at[1], f"{block.code}-{i}{k:02d}"
    number = 37 * (i + k) + block.row
    if k % 2 == 0 and i % 3 == 0:
        out.point(
            "telecom_cabinet", f"TC-{code}", (x - 0.9, y - 0.7), code=f"TC-{code}", kind="splitter",
            capacity=128, capacity_used=number % 128,
            status="under_construction" if number % 29 == 0 else "in_service",
            **_network(block, i, "steel", buried=False),
        )  # fmt: skip
    if k % 5 == 0 and i % 2 == 1:
        out.point(
            "telecom_camera", f"CAM-{code}", (x - 0.8, y), kind="traffic", height_m=6.0,
            name=f"{x_street(block, k).name} - {y_street(block, i).name}",
            view_direction_deg=float((90 * i + 45) % 360), **_network(block, k, "steel", buried=False),
        )  # fmt: skip


def add_chamber(out: Features, block: Superblock, name: str, at: Point, kind: str, street: str) -> None:
    """A chamber; ``at`` is at the height of the ducts' axis."""
    surface = ground(at[1] - block.y)
    large = kind == "manhole"
    out.point(
        "telecom_chamber", name, at, code=name, kind=kind, length_mm=1200.0 if large else 800.0,
        width_mm=900.0 if large else 600.0, bottom_level_m=round(min(surface - 1.0, at[2] - 0.3), 3),
        ground_level_m=surface, address=f"Đường {street}", **_network(block, 4, "reinforced_concrete"),
    )  # fmt: skip


def _duct(
    out: Features, block: Superblock, part: str, path: Path, street: str, nodes: tuple[str, str]
) -> None:
    used = 2 + (block.column + len(street)) % 4
    duct = f"CB-{block.code}-{part}"
    out.line(
        "telecom_duct", duct, path, name=f"Cống bể {street}", duct_count=6, ducts_used=used,
        duct_diameter_mm=110.0, tenants="VNPT; Viettel", from_node=nodes[0], to_node=nodes[1],
        depth_m=round(DUCT_DEPTH - 0.055, 3), **_network(block, used, "upvc"),
    )  # fmt: skip
    add_cable(out, block, part, path, street, "in_duct", nodes, duct)


def add_cable(
    out: Features, block: Superblock, part: str, path: Path, street: str, laying: str,
    nodes: tuple[str, str], duct: str | None,
) -> None:  # fmt: skip
    """A cable from node to node: in a duct, in a trench, or on poles."""
    fibres = 48 if laying == "aerial" else 96
    out.line(
        "telecom_cable", f"CAP-{block.code}-{part}", path, name=f"Cáp quang {street}", cable_kind="optical",
        tier="access", laying=laying, fibre_count=fibres, fibres_used=(31 * len(street) + block.row) % fibres,
        duct_id=duct, from_node=nodes[0], to_node=nodes[1],
        **_network(block, len(street), "optical_fibre", buried=laying != "aerial"),
    )  # fmt: skip


def _aerial(out: Features, block: Superblock, i: int, k: int) -> None:
    """A cable on poles of its own along the south side, or on the low voltage line's poles."""
    code, shared = f"{block.code}-{i}{k:02d}", k in SHARED_POLES
    if shared:
        path = spur(block, i, k)
    else:
        y = block.y + STREETS_Y[k] + TELECOM_POLE
        start = block.x + STREETS_X[i] + (12.0 if is_major_y(i) else 8.0)
        end = block.x + (STREETS_X[i + 1] - 10.0 if i < LAST_X else SUPER_X - 15.0)
        path = steps((start, y), (end, y), SPAN)
    hanging = round(ground(path[0][1] - block.y) + HANGING, 3)
    names = [f"CVT-{code}{n}" for n in range(len(path))]
    for name, at in zip(names, path, strict=True):
        out.point(
            "telecom_pole", name, at, code=name, height_m=8.5 if shared else 7.5, shared=shared,
            tenants="EVNHCMC; VNPT" if shared else "VNPT; Viettel",
            **_network(block, i, "prestressed_concrete", buried=False),
        )  # fmt: skip
    street = x_street(block, k).name
    aerial = [(x, y, hanging) for x, y in path]
    add_cable(out, block, f"A{i}{k:02d}", aerial, street, "aerial", (names[0], names[-1]), None)


def _network(block: Superblock, salt: int, material: str, *, buried: bool = True) -> dict[str, Value]:
    levels = ("B1", "B2", "C") if buried else ("A",)
    return network(block, salt, material, since=2000, accuracy=0.2, levels=levels, buried=buried)
