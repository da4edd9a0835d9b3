"""What the process ``check`` is, takes and gives, in both languages (OGC process description)."""

from __future__ import annotations

from typing import Any

from gis.api.ogc.config import offered_crs
from gis.api.ogc.links import link
from gis.city import City
from gis.settings import Settings
from layers.registry import Catalogue

REL = "http://www.opengis.net/def/rel/ogc/1.0"
GEOJSON = "application/geo+json"
JSON = "application/json"

_SPEC = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf"
CONFORMANCE = tuple(
    f"{_SPEC}/{name}" for name in ("core", "ogc-process-description", "json", "oas30", "job-list", "dismiss")
)

#: Raised when inputs or outputs change.
VERSION = "1.0.0"


def known_rules(catalogue: Catalogue) -> list[str]:
    """Ids of the rules that the layer files apply, from the files alone: rules themselves are heavy."""
    found: set[str] = set()
    for layer in catalogue.layers.values():
        checks = {**layer.common_checks, **layer.definition.checks}
        found |= {rule for rule, setting in checks.items() if setting is not False}
    for network in catalogue.networks.values():
        found |= {rule for rule, setting in network.checks.items() if setting is not False}
    found |= {cross.rule for cross in catalogue.cross_checks}
    order = {family: n for n, family in enumerate(("GEN", "CAD", "NET", "DRN", "XLY"))}
    return sorted(found, key=lambda rule: (order.get(rule[:3], 9), rule))


def summary(base: str, language: str) -> dict[str, Any]:
    """The process as the list shows it."""

    def t(vi: str, en: str) -> str:
        return vi if language == "vi" else en

    here = f"{base}/processes/check"
    return {
        "id": "check",
        "version": VERSION,
        "title": t("Kiểm tra dữ liệu", "Check data"),
        "description": t(
            "Kiểm tra hình học, tô-pô, mạng lưới và thuộc tính của các lớp theo bộ quy tắc của thành phố.",
            "Judges geometry, topology, networks and attributes of layers by the city's rules.",
        ),
        "keywords": [t("chất lượng", "quality"), t("tô-pô", "topology")],
        "jobControlOptions": ["sync-execute", "async-execute", "dismiss"],
        "outputTransmission": ["value"],
        "links": [
            link(here, "self", JSON, "process", language, f="json"),
            link(here, "alternate", "text/html", "self-html", language, f="html"),
            link(f"{here}/execution", f"{REL}/execute", JSON, "execute", language),
            link(f"{base}/jobs", f"{REL}/job-list", JSON, "jobs", language),
        ],
    }


def processes(base: str, language: str) -> dict[str, Any]:
    """The list of processes."""
    return {
        "processes": [summary(base, language)],
        "links": [
            link(f"{base}/processes", "self", JSON, "self-json", language, f="json"),
            link(f"{base}/processes", "alternate", "text/html", "self-html", language, f="html"),
            link(f"{base}/jobs", f"{REL}/job-list", JSON, "jobs", language),
            link(f"{base}/", "root", JSON, "root", language),
        ],
    }


def process(city: City, catalogue: Catalogue, settings: Settings, base: str, language: str) -> dict[str, Any]:
    """The process with its inputs and outputs. Only what the public may see is named."""

    def t(vi: str, en: str) -> str:
        return vi if language == "vi" else en

    layers = [layer.id for layer in catalogue.public()]
    limit = settings.job_public_km2
    numbers = {"type": "array", "minItems": 4, "maxItems": 4, "items": {"type": "number"}}
    crs = {"type": "string", "format": "uri", "enum": offered_crs(city), "default": offered_crs(city)[0]}
    return {
        **summary(base, language),
        "inputs": {
            "layers": {
                "title": t("Các lớp", "Layers"),
                "description": t(
                    "Mã các lớp cần kiểm tra; không có thì kiểm tra mọi lớp.",
                    "Ids of the layers to be judged; all where none is given.",
                ),
                "minOccurs": 0,
                "maxOccurs": max(1, len(layers)),
                "schema": {"type": "string", **({"enum": layers} if layers else {})},
            },
            "rules": {
                "title": t("Các quy tắc", "Rules"),
                "description": t(
                    "Mã các quy tắc; không có thì dùng mọi quy tắc áp dụng cho lớp.",
                    "Ids of rules; all that apply to the layers where none is given.",
                ),
                "minOccurs": 0,
                "maxOccurs": max(1, len(known_rules(catalogue))),
                "schema": {"type": "string", "enum": known_rules(catalogue) or ["-"]},
            },
            "bbox": {
                "title": t("Khung bao", "Box"),
                "description": t(
                    f"Phạm vi kiểm tra; không đăng nhập với vai trò quản trị dữ liệu thì tối đa {limit} km².",
                    f"Where to check; at most {limit} km² without a steward's login.",
                ),
                "minOccurs": 0,
                "maxOccurs": 1,
                "schema": {
                    "oneOf": [
                        {
                            "type": "object",
                            "format": "ogc-bbox",
                            "required": ["bbox"],
                            "properties": {"bbox": numbers, "crs": crs},
                        },
                        numbers,
                    ]
                },
            },
            "bbox-crs": {
                "title": t("Hệ toạ độ của khung bao", "CRS of the box"),
                "description": t(
                    "Khi khung bao là một dãy bốn số.", "Where the box is a plain array of four numbers."
                ),
                "minOccurs": 0,
                "maxOccurs": 1,
                "schema": crs,
            },
            "sheet": {
                "title": t("Mảnh bản đồ", "Map sheet"),
                "description": t(
                    "Tên mảnh địa hình hoặc địa chính, thay cho khung bao.",
                    "Name of a topographic or cadastral sheet, in place of a box.",
                ),
                "minOccurs": 0,
                "maxOccurs": 1,
                "schema": {"type": "string", "minLength": 1, "maxLength": 60},
            },
            "store": {
                "title": t("Lưu phát hiện", "Store findings"),
                "description": t(
                    "Ghi phát hiện vào lớp finding; chỉ dành cho quản trị dữ liệu.",
                    "Write the findings to the layer finding; for stewards only.",
                ),
                "minOccurs": 0,
                "maxOccurs": 1,
                "schema": {"type": "boolean", "default": False},
            },
        },
        "outputs": {
            "report": {
                "title": t("Báo cáo", "Report"),
                "description": t(
                    "Tóm tắt và danh sách phát hiện, hoặc các phát hiện dưới dạng GeoJSON.",
                    "Summary and findings, or the findings as GeoJSON.",
                ),
                "schema": {
                    "oneOf": [
                        {
                            "type": "object",
                            "contentMediaType": JSON,
                            "required": ["summary", "findings"],
                            "properties": {
                                "summary": {"type": "object"},
                                "findings": {"type": "array", "items": {"type": "object"}},
                            },
                        },
                        {
                            "type": "object",
                            "contentMediaType": GEOJSON,
                            "format": "geojson-feature-collection",
                        },
                    ]
                },
            }
        },
    }
