"""Streets, their names, the ground, and the topographic base of a superblock."""

from __future__ import annotations

from dataclasses import dataclass

from gis.demo.features import Features
from gis.demo.plan import (
    CANAL_BAND,
    HALF_CANAL,
    STREETS_X,
    STREETS_Y,
    SUPER_X,
    SUPER_Y,
    Plan,
    Superblock,
)

#: Real street names of the city, for plausible addresses; the demo's streets are not these streets.
NAMES = (
    "Nguyễn Cơ Thạch", "Trần Bạch Đằng", "Nguyễn Thiện Thành", "Tố Hữu", "Mai Chí Thọ", "Lương Định Của",
    "Trần Não", "Nguyễn Duy Hiệu", "Xa lộ Thủ Thiêm", "Hoàng Thế Thiện", "Nguyễn Thị Định", "Đồng Văn Cống",
    "Võ Trường Toản", "Thảo Điền", "Quốc Hương", "Xuân Thủy", "Nguyễn Văn Hưởng", "Lê Văn Miến", "Ngô Quang Huy",
    "Đỗ Xuân Hợp", "Liên Phường", "Dương Đình Hội", "Tăng Nhơn Phú", "Lã Xuân Oai", "Võ Chí Công", "Đặng Văn Bi",
    "Kha Vạn Cân", "Tô Ngọc Vân", "Phạm Văn Đồng", "Hiệp Bình", "Ung Văn Khiêm", "Nguyễn Gia Trí", "Điện Biên Phủ",
    "Bạch Đằng", "Phan Đăng Lưu", "Hoàng Văn Thụ", "Cộng Hòa", "Trường Chinh", "Lạc Long Quân", "Âu Cơ", "Lý Thường Kiệt",
    "Tô Hiến Thành", "Sư Vạn Hạnh", "Nguyễn Tri Phương", "Ngô Gia Tự", "Trần Hưng Đạo", "Nguyễn Trãi", "Hùng Vương",
    "An Dương Vương", "Kinh Dương Vương", "Hậu Giang", "Bến Vân Đồn", "Tôn Đản", "Khánh Hội", "Huỳnh Tấn Phát",
    "Nguyễn Thị Thập", "Nguyễn Hữu Thọ", "Phạm Hùng", "Tạ Quang Bửu", "Dạ Nam", "Hưng Phú", "Ba Tơ", "Rạch Cát", "Ụ Cây",
)  # fmt: skip
CANALS = ("Kênh Ngang", "Rạch Cá Trê", "Kênh Đôi", "Rạch Bến Nghé", "Kênh Tẻ", "Rạch Ông Lớn", "Rạch Ụ Cây")

CARRIAGEWAY, MAJOR_CARRIAGEWAY = 8.0, 15.0


def ground(y: float) -> float:
    """Height of the ground (m, Hòn Dấu) at a local y within a superblock: it falls to both canals."""
    y = y % SUPER_Y
    from_canal = min(y, SUPER_Y - y)
    return round(1.6 + 0.003 * from_canal, 3)


@dataclass(frozen=True)
class Street:
    """A street within a superblock: ``k`` numbers it along its own direction."""

    along_x: bool
    k: int
    name: str
    major: bool


def x_street(superblock: Superblock, k: int) -> Street:
    """The k-th street along x. Its name is the same in all superblocks of the row."""
    number = superblock.row * len(STREETS_Y) + k
    return Street(True, k, _name(2 * number), k in (0, len(STREETS_Y) - 1))


def y_street(superblock: Superblock, k: int) -> Street:
    """The k-th street along y. Its name is the same in all superblocks of the column."""
    return Street(False, k, _name(2 * (superblock.column * len(STREETS_X) + k) + 1), k == 0)


def _name(number: int) -> str:
    turns, index = divmod(number * 7, len(NAMES))
    return NAMES[index] if number < len(NAMES) else f"{NAMES[index]} {turns + 1}"


def canal_name(row: int) -> str:
    """Name of the canal along the south side of a row of superblocks."""
    name = CANALS[row % len(CANALS)]
    return name if row < len(CANALS) else f"{name} {row // len(CANALS) + 1}"


def add_base(out: Features, plan: Plan, block: Superblock) -> None:
    """Roads, canal, land cover, places, spot heights and contours of one superblock."""
    x0, y0, code = block.x, block.y, block.code
    _roads(out, plan, block)
    canal = [
        [x0, y0 - HALF_CANAL],
        [x0 + SUPER_X, y0 - HALF_CANAL],
        [x0 + SUPER_X, y0 + HALF_CANAL],
        [x0, y0 + HALF_CANAL],
    ]
    out.polygon(
        "base_waterbody",
        f"WB-{code}",
        canal,
        name=canal_name(block.row),
        water_class="canal",
        source_scale=2000,
    )
    out.line(
        "base_waterway", f"WW-{code}", [[x0, y0], [x0 + SUPER_X, y0]],
        name=canal_name(block.row), waterway_class="canal", width_m=2 * HALF_CANAL, source_scale=2000,
    )  # fmt: skip
    for b in block.blocks:
        bx0, by0, bx1, by1 = b.box
        ring = [[x0 + bx0, y0 + by0], [x0 + bx1, y0 + by0], [x0 + bx1, y0 + by1], [x0 + bx0, y0 + by1]]
        cover = {
            "park": "park",
            "school": "public",
            "market": "commercial",
            "pagoda": "public",
            "reserve": "grass",
        }
        out.polygon(
            "base_landuse",
            f"LC-{code}-{b.i}{b.j}",
            ring,
            land_class=cover.get(b.kind, "residential"),
            source_scale=2000,
        )
        place = {"park": ("park", "Công viên"), "school": ("school", "Trường Tiểu học"), "market": ("market", "Chợ"),
                 "pagoda": ("temple", "Chùa")}.get(b.kind)  # fmt: skip
        if place:
            out.point(
                "base_place", f"PL-{code}-{b.i}{b.j}", [x0 + (bx0 + bx1) / 2, y0 + (by0 + by1) / 2],
                name=f"{place[1]} {_name(block.column * 61 + block.row * 17 + b.j * 6 + b.i)}", place_class=place[0],
            )  # fmt: skip
    for k, y in enumerate(STREETS_Y):
        for i, x in enumerate(STREETS_X):
            out.point(
                "base_spot_height",
                f"SH-{code}-{i}{k:02d}",
                [x0 + x, y0 + y],
                elevation_m=ground(y),
                source_scale=2000,
            )
    for n, level in enumerate((2.0, 2.25)):
        for side in (0, 1):
            y = (level - 1.6) / 0.003
            y = SUPER_Y - y if side else y
            out.line(
                "base_contour", f"CT-{code}-{n}{side}", [[x0, y0 + y], [x0 + SUPER_X, y0 + y]],
                elevation_m=level, kind="index" if level == 2.0 else "intermediate", source_scale=2000,
            )  # fmt: skip


def _roads(out: Features, plan: Plan, block: Superblock) -> None:
    x0, y0, code = block.x, block.y, block.code

    def road(asset_id: str, street: Street, ends: list[list[float]], **more: int) -> None:
        out.line(
            "base_road", asset_id, ends, name=street.name, road_class="secondary" if street.major else "residential",
            surface="asphalt", width_m=MAJOR_CARRIAGEWAY if street.major else CARRIAGEWAY,
            reserve_width_m=24.0 if street.major else 14.0, lanes=4 if street.major else 2, one_way=False,
            source_scale=2000, **more,
        )  # fmt: skip

    crossings = [*STREETS_X, SUPER_X]
    for k, y in enumerate(STREETS_Y):
        street = x_street(block, k)
        for i in range(len(STREETS_X)):
            road(
                f"RD-{code}-X{k:02d}{i}",
                street,
                [[x0 + crossings[i], y0 + y], [x0 + crossings[i + 1], y0 + y]],
            )
    closing = [(len(STREETS_X), SUPER_X)] if block.is_last_column else []
    for i, x in [*enumerate(STREETS_X), *closing]:
        street = y_street(block, i)
        for k in range(len(STREETS_Y) - 1):
            road(
                f"RD-{code}-Y{i}{k:02d}",
                street,
                [[x0 + x, y0 + STREETS_Y[k]], [x0 + x, y0 + STREETS_Y[k + 1]]],
            )
        if i in (0, len(STREETS_X)) and plan.has(block.column, block.row - 1) and block.row:
            south = y0 - (CANAL_BAND - 12.0)
            road(f"RD-{code}-B{i}", street, [[x0 + x, south], [x0 + x, y0 + STREETS_Y[0]]], layer_level=1)
