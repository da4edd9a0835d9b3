"""The words on a print, in both languages."""

from __future__ import annotations

from datetime import date
from typing import Final

TEXTS: Final[dict[str, dict[str, str]]] = {
    "vi": {
        "title": "Bản đồ hạ tầng kỹ thuật",
        "legend": "Chú giải",
        "scale": "Tỷ lệ",
        "equals": "1 cm trên bản đồ bằng {metres} m trên lưới tọa độ",
        "north": "B",
        "grid_north": "Bắc lưới. Bắc thực lệch {angle} về phía {side}.",
        "grid_north_same": "Bắc lưới trùng bắc thực.",
        "east": "đông",
        "west": "tây",
        "grid": "Lưới {metres} m: {crs} (EPSG:{code}); E là tọa độ đông (Y), N là tọa độ bắc (X).",
        "heights": "Độ cao: {datum}.",
        "sheets": "Mảnh bản đồ",
        "topographic": "Địa hình 1:{scale}",
        "cadastral": "Địa chính 1:{scale}",
        "more_sheets": "và {count} mảnh khác",
        "source": "Nguồn dữ liệu",
        "date": "In ngày {date}",
        "note": "Lưu ý",
        "quality": (
            "Vị trí công trình ngầm theo hồ sơ và mức chất lượng định vị (PAS 128) của từng đối tượng; "
            "dải mờ là nơi vị trí chưa được đo hoặc dò thấy (B4, C, D). Phải khảo sát tại chỗ trước khi đào."
        ),
        "reference": "Bản in để tham khảo, không thay cho trích lục bản đồ địa chính.",
        "unseen": "Không vẽ ở tỷ lệ này: {layers}.",
        "low": "Đã khái quát hóa cho tỷ lệ nhỏ: {layers}.",
        "filtered": "Chỉ vẽ một phần, theo bộ lọc: {layers}.",
        "pictures": "Nền ảnh: {layers}.",
        "common": "Ký hiệu chung",
        "sign-line-planned": "Quy hoạch, đang thi công",
        "sign-line-retired": "Bỏ lại tại chỗ, đã tháo dỡ",
        "sign-uncertain": "Vị trí chưa đo hoặc dò thấy",
        "sign-arrow": "Hướng dòng chảy",
        "more": "và {count} lớp khác",
        "more_signs": "… và {count} ký hiệu khác",
        "nothing": "Không có đối tượng nào trong khung bản đồ.",
        "by": "Máy chủ bản đồ bandoso",
    },
    "en": {
        "title": "Map of infrastructure",
        "legend": "Legend",
        "scale": "Scale",
        "equals": "1 cm on the map is {metres} m in the grid",
        "north": "N",
        "grid_north": "Grid north. True north lies {angle} {side} of it.",
        "grid_north_same": "Grid north is true north.",
        "east": "east",
        "west": "west",
        "grid": "Grid of {metres} m: {crs} (EPSG:{code}); E is easting, N is northing.",
        "heights": "Heights: {datum}.",
        "sheets": "Map sheets",
        "topographic": "Topographic 1:{scale}",
        "cadastral": "Cadastral 1:{scale}",
        "more_sheets": "and {count} more",
        "source": "Data from",
        "date": "Printed on {date}",
        "note": "Note",
        "quality": (
            "Underground assets lie as recorded, at the quality level (PAS 128) of each; a faint band shows "
            "where the place was neither measured nor detected (B4, C, D). Survey the site before digging."
        ),
        "reference": "For reference; it does not replace a cadastral extract.",
        "unseen": "Not drawn at this scale: {layers}.",
        "low": "Generalised for small scales: {layers}.",
        "filtered": "Drawn in part, by a filter: {layers}.",
        "pictures": "Pictures below: {layers}.",
        "common": "In all layers",
        "sign-line-planned": "Proposed or under construction",
        "sign-line-retired": "Abandoned or removed",
        "sign-uncertain": "Place neither measured nor detected",
        "sign-arrow": "Direction of flow",
        "more": "and {count} more",
        "more_signs": "… and {count} more signs",
        "nothing": "There is no feature in the window of the map.",
        "by": "bandoso map server",
    },
}

_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def grouped(value: float) -> str:
    """A whole number with spaces between groups of three digits: 1 191 400."""
    return f"{round(value):,}".replace(",", " ")


def day(when: date, language: str) -> str:
    """22/11/2026, or 22 November 2026."""
    if language == "vi":
        return when.strftime("%d/%m/%Y")
    return f"{when.day} {_MONTHS[when.month - 1]} {when.year}"


def degrees(angle: float) -> str:
    """Degrees and minutes: 0°10' (the font has no sign of its own for minutes)."""
    minutes = round(abs(angle) * 60)
    return f"{minutes // 60}°{minutes % 60:02}'"


def listed(names: list[str], most: int, language: str) -> str:
    """The first names, and how many there are more."""
    if len(names) <= most:
        return ", ".join(names)
    more = TEXTS[language]["more"].format(count=len(names) - most)
    return f"{', '.join(names[:most])} {more}"
