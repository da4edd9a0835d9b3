"""What a layer's items are and take: JSON Schema, queryables, OpenAPI parameters, conformance classes.

QGIS reads fields from the schema (roles, titles, value lists), pushes filters down for what is among the
queryables, and ``name=value`` only for parameters declared on the collection's items.
"""

from __future__ import annotations

from typing import Any, Final

from gis.api.features.filters.reader import MAX_BYTES
from gis.api.features.params import (
    DEFAULT_LIMIT,
    FORMATS,
    MAX_LIMIT,
    MAX_OFFSET,
    MAX_SEARCH,
    property_parameters,
)
from layers.model import FieldDef
from layers.registry import SETTABLE_SYSTEM_FIELDS, Layer

_FEATURES = "http://www.opengis.net/spec/ogcapi-features-"
_CQL2 = "http://www.opengis.net/spec/cql2/1.0/conf/"

#: Conformance classes of the items routes, and of the schema and queryables below.
CONFORMANCE: Final[tuple[str, ...]] = (
    f"{_FEATURES}1/1.0/conf/core",
    f"{_FEATURES}1/1.0/conf/geojson",
    f"{_FEATURES}1/1.0/conf/html",
    f"{_FEATURES}2/1.0/conf/crs",
    f"{_FEATURES}3/1.0/conf/filter",
    f"{_FEATURES}3/1.0/conf/features-filter",
    f"{_FEATURES}3/1.0/conf/queryables",
    f"{_FEATURES}3/1.0/conf/queryables-query-parameters",
    f"{_FEATURES}5/1.0/conf/schemas",
    f"{_FEATURES}5/1.0/conf/core-roles-features",
    f"{_FEATURES}5/1.0/conf/queryables",
    "http://www.opengis.net/spec/json-fg-1/1.0/conf/core",
    *(
        _CQL2 + name
        for name in (
            "cql2-text",
            "cql2-json",
            "basic-cql2",
            "advanced-comparison-operators",
            "case-insensitive-comparison",
            "accent-insensitive-comparison",
            "basic-spatial-functions",
            "basic-spatial-functions-plus",
            "spatial-functions",
            "temporal-functions",
            "property-property",
            "arithmetic",
        )
    ),
)

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TYPES: Final[dict[str, dict[str, str]]] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
}
_READ_ONLY = ("fid", "version", "updated_at")


def schema(layer: Layer, language: str, base: str) -> dict[str, Any]:
    """JSON Schema of the layer's features with the roles of OGC API Features part 5 (logical schema)."""
    properties = {f.name: _property(layer, f, language, roles=True) for f in layer.public_fields}
    properties["geometry"] = {
        "title": _either(language, "Hình học", "Geometry"),
        "x-ogc-role": "primary-geometry",
        "format": _geometry_format(layer),
    }
    for number, one in enumerate(properties.values(), 1):
        one["x-ogc-propertySeq"] = number
    required = [f.name for f in layer.public_fields if f.required and f.name not in _READ_ONLY]
    return {
        **_head(layer, language, f"{base}/collections/{layer.id}/schema"),
        "properties": properties,
        "required": [*required, "geometry"],
        "additionalProperties": False,
    }


def queryables(layer: Layer, language: str, base: str) -> dict[str, Any]:
    """What filters, and parameters by name, may refer to."""
    properties = {f.name: _property(layer, f, language, roles=False) for f in layer.public_fields}
    geometry = layer.definition.geometry
    properties["geometry"] = {
        "title": _either(language, "Hình học", "Geometry"),
        "$ref": f"https://geojson.org/schema/{geometry}.json",
    }
    return {
        **_head(layer, language, f"{base}/collections/{layer.id}/queryables"),
        "properties": properties,
        "additionalProperties": False,
    }


def parameters_of(layer: Layer, language: str) -> list[dict[str, Any]]:
    """OpenAPI 3.0 parameter objects of the layer's /items, fields included."""
    found: list[dict[str, Any]] = [
        {"name": name, "in": "query", "description": _either(language, vi, en), "schema": dict(shape)}
        for name, (shape, vi, en) in _PARAMETERS.items()
    ]
    for parameter in found:
        if parameter["name"] in ("bbox", "sortby", "properties"):
            parameter.update(style="form", explode=False)
    for f in property_parameters(layer):
        values = [v.value for v in layer.domain_of(f)]
        shape: dict[str, Any] = dict(_TYPES[f.type])
        if f.type == "integer":
            shape["format"] = "int64"
        if values:
            shape["enum"] = values
        title = _either(language, f.title.vi, f.title.en)
        found.append({"name": f.name, "in": "query", "description": title, "schema": shape})
    return found


def plain(layer: Layer, f: FieldDef) -> dict[str, Any]:
    """The field's type, values and limits, as OpenAPI 3.0 has them."""
    made: dict[str, Any] = dict(_TYPES[f.type])
    values = [v.value for v in layer.domain_of(f)]
    if values:
        made["enum"] = [*values, None]  # null must be listed, though the schema is nullable
    limits = {"minimum": f.minimum, "maximum": f.maximum, "maxLength": f.max_length}
    return {**made, **{name: limit for name, limit in limits.items() if limit is not None}}


def _head(layer: Layer, language: str, address: str) -> dict[str, Any]:
    head: dict[str, Any] = {
        "$schema": _DIALECT,
        "$id": address,
        "type": "object",
        "title": _either(language, layer.title.vi, layer.title.en),
    }
    about = layer.definition.description
    if about is not None:
        head["description"] = _either(language, about.vi, about.en)
    return head


def _property(layer: Layer, f: FieldDef, language: str, *, roles: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"title": _either(language, f.title.vi, f.title.en), **_TYPES[f.type]}
    if f.description is not None:
        made["description"] = _either(language, f.description.vi, f.description.en)
    if f.unit:
        made["x-ogc-unit"] = f.unit
    values = layer.domain_of(f)
    if values:
        made["enum"] = [v.value for v in values]
        made["oneOf"] = [
            {"const": v.value, "title": _either(language, v.title.vi, v.title.en)} for v in values
        ]
    if not roles:
        return made
    if f.minimum is not None:
        made["minimum"] = f.minimum
    if f.maximum is not None:
        made["maximum"] = f.maximum
    if f.max_length is not None:
        made["maxLength"] = f.max_length
    if f.default is not None:
        made["default"] = f.default
    role = _role(layer, f)
    if role:
        made["x-ogc-role"] = role
    if f.name in _READ_ONLY:
        made["readOnly"] = True
    return made


def _role(layer: Layer, f: FieldDef) -> str | None:
    if f.name == "fid":
        return "id"
    temporal = layer.definition.temporal
    if f.name not in temporal:
        return None
    if len(temporal) == 1:
        return "primary-instant"
    return "primary-interval-start" if f.name == temporal[0] else "primary-interval-end"


def _geometry_format(layer: Layer) -> str:
    name = layer.definition.geometry
    return "geometry-any" if name == "Geometry" else f"geometry-{name.lower()}"


def _either(language: str, vi: str, en: str) -> str:
    return vi if language == "vi" else en


assert set(_READ_ONLY).isdisjoint(SETTABLE_SYSTEM_FIELDS)

#: Name -> schema, description in Vietnamese and in English.
_PARAMETERS: Final[dict[str, tuple[dict[str, Any], str, str]]] = {
    "limit": (
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        "Số đối tượng nhiều nhất của một trang",
        "Most features of a page",
    ),
    "offset": (
        {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0},
        "Số đối tượng bỏ qua (liên kết next nhanh hơn)",
        "Features to skip (the next link is faster)",
    ),
    "after": (
        {"type": "string"},
        "Vị trí trang, lấy từ liên kết next",
        "Place of a page, from a next link",
    ),
    "bbox": (
        {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 6},
        "Khung chữ nhật: tây, nam, đông, bắc",
        "Box: west, south, east, north",
    ),
    "bbox-crs": ({"type": "string"}, "Hệ toạ độ của bbox", "CRS of bbox"),
    "crs": ({"type": "string"}, "Hệ toạ độ của kết quả", "CRS of the answer"),
    "datetime": (
        {"type": "string"},
        "Thời điểm hoặc khoảng thời gian; .. là không giới hạn",
        "An instant or start/end; .. is open",
    ),
    "filter": ({"type": "string", "maxLength": MAX_BYTES}, "Bộ lọc CQL2", "CQL2 filter"),
    "filter-lang": (
        {"type": "string", "enum": ["cql2-text", "cql2-json"], "default": "cql2-text"},
        "Ngôn ngữ của bộ lọc",
        "Language of the filter",
    ),
    "filter-crs": ({"type": "string"}, "Hệ toạ độ trong bộ lọc", "CRS of the filter's geometries"),
    "sortby": (
        {"type": "array", "items": {"type": "string"}},
        "Sắp xếp theo các trường, - là giảm dần",
        "Order by these fields; - is descending",
    ),
    "properties": (
        {"type": "array", "items": {"type": "string"}},
        "Các trường cần lấy",
        "Fields to return",
    ),
    "skipGeometry": ({"type": "boolean", "default": False}, "Không lấy hình học", "Leave geometry out"),
    "q": (
        {"type": "string", "minLength": 1, "maxLength": MAX_SEARCH},
        "Tìm theo đầu từ, không phân biệt dấu và hoa thường; mã tài sản (asset_id) tìm theo phần đầu của mã,"
        " khi chỉ gõ mã đó",
        "Search by beginnings of words, whatever the accents and case; an asset_id is found by its beginning,"
        " typed alone",
    ),
    "sheet": (
        {"type": "string"},
        "Số hiệu mảnh bản đồ: các đối tượng chạm vào mảnh",
        "Name of a map sheet: features that touch it",
    ),
    "f": ({"type": "string", "enum": list(FORMATS)}, "Định dạng", "Format"),
    "lang": ({"type": "string", "enum": ["vi", "en"]}, "Ngôn ngữ", "Language"),
}
