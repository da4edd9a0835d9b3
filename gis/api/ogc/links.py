"""Links of documents, with titles in the reader's language."""

from __future__ import annotations

from urllib.parse import urlencode

#: Key -> Vietnamese, English.
TITLES: dict[str, tuple[str, str]] = {
    "self-json": ("Tài liệu này ở dạng JSON", "This document as JSON"),
    "self-html": ("Tài liệu này ở dạng HTML", "This document as HTML"),
    "root": ("Trang đầu", "Landing page"),
    "api-json": ("Mô tả API (OpenAPI 3.0)", "API definition (OpenAPI 3.0)"),
    "api-html": ("Tài liệu API", "API documentation"),
    "conformance": ("Các lớp tuân thủ", "Conformance classes"),
    "collections": ("Các lớp dữ liệu", "Collections"),
    "tilesets": ("Ô bản đồ véc-tơ", "Vector tiles"),
    "grids": ("Lưới ô bản đồ", "Tile matrix sets"),
    "styles": ("Kiểu bản đồ", "Map styles"),
    "map": ("Bản đồ", "Map"),
    "schema": ("Lược đồ dữ liệu", "Schema"),
    "queryables": ("Các trường có thể lọc", "Queryables"),
    "items-json": ("Đối tượng (GeoJSON)", "Items as GeoJSON"),
    "items-jsonfg": ("Đối tượng (JSON-FG)", "Items as JSON-FG"),
    "items-csv": ("Đối tượng (CSV)", "Items as CSV"),
    "items-fgb": ("Đối tượng (FlatGeobuf)", "Items as FlatGeobuf"),
    "items-gpkg": ("Đối tượng (GeoPackage)", "Items as GeoPackage"),
    "processes": ("Các tiến trình", "Processes"),
    "process": ("Mô tả tiến trình", "Description of the process"),
    "execute": ("Chạy tiến trình", "Execute the process"),
    "jobs": ("Các lần chạy", "Jobs"),
    "job": ("Tình trạng lần chạy", "Status of the job"),
    "results": ("Kết quả", "Results"),
    "prev": ("Trang trước", "Previous page"),
    "next": ("Trang sau", "Next page"),
    "changes": ("Thay đổi", "Changes"),
    "changes-stream": ("Thay đổi, khi vừa xảy ra", "Changes as they happen"),
    "qgis": ("Dự án QGIS", "QGIS project"),
    "items-html": ("Đối tượng (HTML)", "Items as HTML"),
}


def link(
    href: str, rel: str, media_type: str, title: str, language: str, **parameters: str
) -> dict[str, str]:
    """A link object; ``title`` is a key of TITLES, ``parameters`` go into the query."""
    vi, en = TITLES[title]
    return {
        "href": f"{href}?{urlencode(parameters)}" if parameters else href,
        "rel": rel,
        "type": media_type,
        "title": vi if language == "vi" else en,
    }
