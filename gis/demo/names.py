"""Names of streets, canals and wards: real names of the city, on streets that are not the real ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from gis.demo.plan import STREETS_X, STREETS_Y, Superblock
from gis.demo.sections import is_major_x, is_major_y

NAMES = (
    "Nguyễn Cơ Thạch", "Trần Bạch Đằng", "Nguyễn Thiện Thành", "Tố Hữu", "Mai Chí Thọ", "Lương Định Của",
    "Trần Não", "Nguyễn Duy Hiệu", "Xa lộ Thủ Thiêm", "Hoàng Thế Thiện", "Nguyễn Thị Định",
    "Đồng Văn Cống", "Võ Trường Toản", "Thảo Điền", "Quốc Hương", "Xuân Thủy", "Nguyễn Văn Hưởng",
    "Lê Văn Miến", "Ngô Quang Huy", "Đỗ Xuân Hợp", "Liên Phường", "Dương Đình Hội", "Tăng Nhơn Phú",
    "Lã Xuân Oai", "Võ Chí Công", "Đặng Văn Bi", "Kha Vạn Cân", "Tô Ngọc Vân", "Phạm Văn Đồng",
    "Hiệp Bình", "Ung Văn Khiêm", "Nguyễn Gia Trí", "Điện Biên Phủ", "Bạch Đằng", "Phan Đăng Lưu",
    "Hoàng Văn Thụ", "Cộng Hòa", "Trường Chinh", "Lạc Long Quân", "Âu Cơ", "Lý Thường Kiệt",
    "Tô Hiến Thành", "Sư Vạn Hạnh", "Nguyễn Tri Phương", "Ngô Gia Tự", "Trần Hưng Đạo", "Nguyễn Trãi",
    "Hùng Vương", "An Dương Vương", "Kinh Dương Vương", "Hậu Giang", "Bến Vân Đồn", "Tôn Đản",
    "Khánh Hội", "Huỳnh Tấn Phát", "Nguyễn Thị Thập", "Nguyễn Hữu Thọ", "Phạm Hùng", "Tạ Quang Bửu",
    "Dạ Nam", "Hưng Phú", "Ba Tơ", "Rạch Cát", "Ụ Cây",
)  # fmt: skip
CANALS = (
    "Kênh Ngang",
    "Rạch Cá Trê",
    "Kênh Đôi",
    "Rạch Bến Nghé",
    "Kênh Tẻ",
    "Rạch Ông Lớn",
    "Rạch Ụ Cây",
)


@dataclass(frozen=True)
class Street:
    """A street within a superblock: ``k`` numbers it along its own direction."""

    along_x: bool
    k: int
    name: str
    major: bool


def x_street(block: Superblock, k: int) -> Street:
    """The k-th street along x. Its name is the same in all superblocks of the row."""
    return _street(True, block.row, k)


def y_street(block: Superblock, k: int) -> Street:
    """The k-th street along y (k = 6: the next superblock's first). The same name in the whole column."""
    return _street(False, block.column, k)


@lru_cache(maxsize=2_000)
def _street(along_x: bool, order: int, k: int) -> Street:
    if along_x:
        return Street(True, k, street_name(2 * (order * len(STREETS_Y) + k)), is_major_x(k))
    return Street(False, k, street_name(2 * (order * len(STREETS_X) + k) + 1), is_major_y(k))


def street_name(number: int) -> str:
    """The number-th street name; no two numbers have the same."""
    name = NAMES[number * 7 % len(NAMES)]  # 7 shares no factor with the number of names
    return name if number < len(NAMES) else f"{name} {number // len(NAMES) + 1}"


def canal_name(row: int) -> str:
    """Name of the canal along the south side of a row of superblocks."""
    name = CANALS[row % len(CANALS)]
    return name if row < len(CANALS) else f"{name} {row // len(CANALS) + 1}"


def commune(column: int, row: int) -> tuple[str, str]:
    """Code and name of the demo ward of a superblock. Codes start with 9, which no real commune's does."""
    return f"9{row:02d}{column:02d}", f"Phường Thủ Thiêm {row + 1}.{column + 1}"
