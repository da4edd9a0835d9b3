"""The OpenAPI document is valid, whole, and says what QGIS reads from it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator

from layers.registry import Catalogue
from tests.api.jobs_client import SMALL, Client
from tests.api.process import Server

SHARED = True  # (tests/api/conftest.py)


@pytest.mark.parametrize("language", ["vi", "en"])
def test_valid_and_without_other_hosts(running: Server, language: str) -> None:
    answer = running.get(f"/api?f=json&lang={language}")
    assert answer.headers["content-type"] == "application/vnd.oai.openapi+json;version=3.0"
    document = answer.json()
    OpenAPIV30SpecValidator(document).validate()
    assert document["servers"] == [{"url": running.url}]
    raw = answer.text.replace(running.url, "")
    assert "http://" not in raw
    assert "https://" not in raw


def test_qgis_page_size(running: Server) -> None:
    schema = running.get("/api").json()["components"]["parameters"]["limit"]["schema"]
    assert (schema["minimum"], schema["default"], schema["maximum"]) == (1, 1000, 10_000)


def test_every_collection_declares_its_own_parameters(running: Server, catalogue: Catalogue) -> None:
    document = running.get("/api").json()
    shared = document["components"]["parameters"]
    for layer in catalogue.public():
        operation = document["paths"][f"/collections/{layer.id}/items"]["get"]
        names = {
            (shared[p["$ref"].rpartition("/")[2]] if "$ref" in p else p)["name"]
            for p in operation["parameters"]
        }
        assert names >= {"limit", "bbox", "crs", "filter", "f", "lang", "q"}
        for f in layer.public_fields:
            assert f.name in names
        for f in set(layer.fields) - set(layer.public_fields):
            assert f.name not in names, "a confidential field must not be asked for"


def test_every_path_answers(running: Server) -> None:
    document = running.get("/api").json()
    with Client(running) as client:
        job = client.start(SMALL)
        client.wait(job)
    values = {
        "{jobId}": job,
        "{collectionId}": "water_pipe",
        "{featureId}": "1",
        "{tileMatrix}": "14",
        "{tileRow}": "7700",
        "{tileCol}": "13045",
        "{styleId}": "city",
        "{accountName}": "lan",
        "{grantId}": "1",
        "{tokenId}": "1",
        "{changesetId}": "1",
        "{changeset}": "1",
        "{version}": "1",
        "{rule}": "GEN-01",
    }
    for path, item in document["paths"].items():
        if "get" not in item:
            continue
        for key, value in values.items():
            path = path.replace(key, value)
        answer = running.get(path)
        assert str(answer.status_code) in item["get"]["responses"], (path, answer.text[:300])
        # The sample has no findings, and so none with a mend; test_finding_mend has.
        if path.endswith("/mend"):
            assert answer.status_code == 404
        elif "{rasterId}" in path:
            assert answer.status_code == 404  # the sample has no rasters; test_raster has
        elif path == "/image" or _wants_parameters(document, item["get"]):  # /image: bbox or center
            assert answer.status_code == 400, path
        elif item["get"].get("security", [{}])[0]:
            assert answer.status_code == 401, path  # for those who have logged in
        else:
            assert answer.status_code < 300, (path, answer.text[:300])


def _wants_parameters(document: dict[str, Any], operation: dict[str, Any]) -> bool:
    """Whether a query parameter is required."""
    known = document["components"]["parameters"]
    given = [
        known[p["$ref"].rpartition("/")[2]] if "$ref" in p else p for p in operation.get("parameters", [])
    ]
    return any(p["in"] == "query" and p.get("required") for p in given)


def test_it_is_quick_and_small(running: Server) -> None:
    running.get("/api")
    times = sorted(
        running.get("/api", headers={"Accept-Encoding": "gzip"}).elapsed.total_seconds() for _ in range(20)
    )
    assert times[5] < 0.05
    packed = running.get("/api", headers={"Accept-Encoding": "gzip"})
    assert int(packed.headers["content-length"]) < 60_000
    assert len(orjson.dumps(packed.json())) > 100_000
