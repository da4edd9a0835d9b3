"""GDAL's OAPIF driver, as a client that we did not write, reads a large collection whole."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import psycopg
import pyogrio
import pytest
import shapely

from gis.city import City
from layers.registry import Catalogue
from tests.api.process import Server
from tests.api.sample import ROWS, VECTORS, load_layer

LAYER = "power_support"
COUNT = 20_000


@pytest.fixture(scope="module")
def source(running: Server, catalogue: Catalogue, city: City) -> Iterator[str]:
    with psycopg.connect(running.db.owner_dsn, autocommit=True) as connection:
        load_layer(connection, catalogue.layers[LAYER], city, COUNT - ROWS, first=ROWS)
        connection.execute("ANALYZE layer.power_support")
    yield f"OAPIF:{running.url}"


def requests_of(running: Server) -> list[dict]:
    import time

    time.sleep(0.7)
    lines = [json.loads(line) for line in running.log.read_text().splitlines()]
    return [line for line in lines if line.get("path") == f"/collections/{LAYER}/items"]


def test_collections_are_layers(source: str, catalogue: Catalogue) -> None:
    names = {str(name) for name, _ in pyogrio.list_layers(source)}
    assert {layer.id for layer in catalogue.public()} <= names


def test_reads_all_features_in_pages_of_thousands(source: str, running: Server) -> None:
    before = len(requests_of(running))
    # by the page size of the OpenAPI document: 20 pages, not 200
    frame = pyogrio.read_dataframe(source, layer=LAYER, CRS="OGC:CRS84", use_arrow=False)
    assert len(frame) == COUNT
    assert frame["asset_id"].nunique() == COUNT
    assert len(requests_of(running)) - before < 40
    by_id = frame.set_index("asset_id").geometry
    for number, (_, (lon, lat)) in enumerate(VECTORS):
        point = by_id[f"{LAYER}-s{number}"]
        assert abs(point.x - lon) < 2e-9
        assert abs(point.y - lat) < 2e-9


@pytest.mark.parametrize("options", [{"CRS": "EPSG:9210"}, {}])
def test_reads_the_storage_crs(source: str, options: dict[str, str]) -> None:
    """GDAL takes the storage CRS by itself: no coordinate is transformed on the way."""
    frame = pyogrio.read_dataframe(
        source, layer=LAYER, where=f"asset_id = '{LAYER}-s1'", use_arrow=False, **options
    )
    ((east, north), _) = VECTORS[1]
    assert frame.crs.to_epsg() == 9210
    assert abs(frame.geometry.iloc[0].x - east) < 0.001
    assert abs(frame.geometry.iloc[0].y - north) < 0.001


def test_filters_are_pushed_down(source: str, running: Server) -> None:
    before = len(requests_of(running))
    frame = pyogrio.read_dataframe(source, layer=LAYER, where=f"asset_id = '{LAYER}-s77'", use_arrow=False)
    assert len(frame) == 1
    box = (606010.0, 1192010.0, 608030.0, 1193110.0)
    inside = pyogrio.read_dataframe(source, layer=LAYER, bbox=box, use_arrow=False)
    everything = pyogrio.read_dataframe(source, layer=LAYER, use_arrow=False)
    expected = shapely.intersects(shapely.box(*box), everything.geometry.to_numpy())
    assert 0 < np.count_nonzero(expected) < COUNT
    assert set(inside["asset_id"]) == set(everything["asset_id"][expected])
    asked = " ".join(line["query"] for line in requests_of(running)[before:])
    assert "bbox=" in asked
    assert "asset_id" in asked, "the filter must reach the server"
