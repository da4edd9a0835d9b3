"""Schema, queryables and parameters of every public layer, as QGIS and OGC clients read them."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest

from gis.api.features import describe
from gis.api.features.params import ITEMS
from layers.registry import Catalogue, Layer

BASE = "http://test"
#: What QGIS knows as formats of a primary geometry.
FORMATS = {"point", "multipoint", "linestring", "multilinestring", "polygon", "multipolygon", "any"}
GEOJSON = re.compile(
    r"https://geojson\.org/schema/(Multi)?(Point|LineString|Polygon)\.json|.*/Geometry\.json"
)


@pytest.fixture
def public(catalogue: Catalogue) -> tuple[Layer, ...]:
    return catalogue.public()


def test_schemas_are_schemas_with_one_id_and_one_geometry(public: tuple[Layer, ...]) -> None:
    for layer in public:
        schema = describe.schema(layer, "vi", BASE)
        jsonschema.Draft202012Validator.check_schema(schema)
        roles = [p.get("x-ogc-role") for p in schema["properties"].values()]
        assert roles.count("id") == roles.count("primary-geometry") == 1
        geometry = schema["properties"]["geometry"]
        assert geometry["format"].removeprefix("geometry-") in FORMATS
        temporal = {r for r in roles if r and "in" in r and "geometry" not in r}
        assert temporal in ({"primary-instant"}, {"primary-interval-start", "primary-interval-end"})
        assert set(schema["required"]) <= schema["properties"].keys()


def test_queryables_name_the_geometry_by_reference(public: tuple[Layer, ...]) -> None:
    for layer in public:
        queryables = describe.queryables(layer, "en", BASE)
        jsonschema.Draft202012Validator.check_schema(queryables)
        assert GEOJSON.fullmatch(queryables["properties"]["geometry"]["$ref"])
        assert queryables["$id"] == f"{BASE}/collections/{layer.id}/queryables"
        assert queryables["additionalProperties"] is False


def test_confidential_fields_are_in_none(catalogue: Catalogue) -> None:
    seen = 0
    for layer in catalogue.public():
        hidden = {f.name for f in layer.fields if f.access != "public"}
        seen += len(hidden)
        documents: list[Any] = [describe.schema(layer, "vi", BASE), describe.queryables(layer, "vi", BASE)]
        for document in documents:
            assert not hidden & document["properties"].keys()
        assert not hidden & {p["name"] for p in describe.parameters_of(layer, "vi")}
    assert seen


def test_domains_have_titles_in_the_language_asked_for(catalogue: Catalogue) -> None:
    for language, title in (("vi", "Đang sử dụng"), ("en", "In service")):
        status = describe.schema(catalogue.layers["water_pipe"], language, BASE)["properties"]["status"]
        assert {"const": "in_service", "title": title} in status["oneOf"]
        assert status["enum"] == [one["const"] for one in status["oneOf"]]


def test_units_and_bounds(catalogue: Catalogue) -> None:
    diameter = describe.schema(catalogue.layers["water_pipe"], "en", BASE)["properties"]["diameter_mm"]
    assert (diameter["type"], diameter["x-ogc-unit"], diameter["minimum"]) == ("number", "mm", 0)


def test_what_bandoso_sets_itself_is_read_only(catalogue: Catalogue) -> None:
    properties = describe.schema(catalogue.layers["water_pipe"], "en", BASE)["properties"]
    assert {n for n, p in properties.items() if p.get("readOnly")} == {"fid", "version", "updated_at"}


def test_every_parameter_is_described_once(public: tuple[Layer, ...]) -> None:
    for layer in public:
        names = [p["name"] for p in describe.parameters_of(layer, "en")]
        assert len(names) == len(set(names))
        assert set(ITEMS) <= set(names)
        assert {f.name for f in layer.public_fields} <= set(names)
