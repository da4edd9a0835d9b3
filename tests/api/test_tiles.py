"""Vector tiles over HTTP: addresses, formats, caching, access, and what their descriptions promise."""

from __future__ import annotations

import gzip
import time
from typing import Any

import httpx
import mapbox_vector_tile
import pytest

from gis.db.server import Database
from layers.registry import Catalogue
from tests.api.process import Server
from tests.api.sample import VECTORS
from tiles.grid import Tile, tile_at
from tiles.query import attributes, shows

SHARED = True  # (tests/api/conftest.py)

MVT = "application/vnd.mapbox-vector-tile"
LON, LAT = VECTORS[0][1]


def path_of(tile: Tile) -> str:
    return f"/tiles/WebMercatorQuad/{tile.z}/{tile.y}/{tile.x}"


def decode(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == MVT
    found: dict[str, Any] = mapbox_vector_tile.decode(response.content)
    return found


def test_a_tile_of_one_collection(running: Server, catalogue: Catalogue) -> None:
    tile = tile_at(LON, LAT, 17)
    layer = catalogue.layers["water_valve"]
    found = decode(running.get("/collections/water_valve" + path_of(tile)))
    assert set(found) == {"water_valve"}
    assert found["water_valve"]["extent"] == 4096
    assert found["water_valve"]["version"] == 2
    features = found["water_valve"]["features"]
    assert features
    for feature in features:
        assert feature["id"] > 0
        assert set(feature["properties"]) <= set(attributes(layer, 17))
    assert any("state" in feature["properties"] for feature in features)


def test_a_tile_of_all_public_layers_and_of_some(running: Server, catalogue: Catalogue) -> None:
    tile = tile_at(LON, LAT, 17)
    everything = decode(running.get(path_of(tile)))
    expected = {layer.id for layer in catalogue.public() if shows(layer, 17) and layer.definition.loadable}
    assert set(everything) - {"base_sheet", "cadastre_sheet"} == expected
    some = decode(running.get(path_of(tile) + "?collections=power_line,water_pipe"))
    assert set(some) == {"water_pipe", "power_line"}
    assert some["water_pipe"] == everything["water_pipe"]
    one = decode(running.get("/collections/water_pipe" + path_of(tile)))
    assert one["water_pipe"] == everything["water_pipe"]


def test_attributes_come_with_the_zoom(running: Server) -> None:
    far, near = (
        decode(running.get("/collections/water_valve" + path_of(tile_at(LON, LAT, z)))) for z in (15, 18)
    )
    names = [
        {name for f in found["water_valve"]["features"] for name in f["properties"]} for found in (far, near)
    ]
    assert "state" in names[0]
    assert "code" not in names[0]
    assert "code" in names[1]


def test_the_same_tile_has_the_same_etag_everywhere_and_304(running: Server) -> None:
    path = path_of(tile_at(LON, LAT, 16))
    plain = {"Accept-Encoding": "identity"}
    first = running.get(path, headers=plain)
    etag = first.headers["etag"]
    assert etag.startswith('"')  # strong
    assert {running.get(path, headers=plain).headers["etag"] for _ in range(6)} == {etag}  # of both workers
    again = running.get(path, headers={**plain, "If-None-Match": etag})
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["etag"] == etag
    assert running.get(path, headers={**plain, "If-None-Match": '"other"'}).status_code == 200
    assert "must-revalidate" in first.headers["cache-control"]
    assert "max-age=0" in first.headers["cache-control"]


def test_gzip_only_for_those_who_take_it(running: Server) -> None:
    path = path_of(tile_at(LON, LAT, 16))
    plain = running.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    with httpx.stream("GET", running.url + path, headers={"Accept-Encoding": "gzip"}) as packed:
        raw = b"".join(packed.iter_raw())
    assert packed.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in packed.headers["vary"].lower()
    assert gzip.decompress(raw) == plain.content
    assert len(raw) < 0.8 * len(plain.content)
    assert packed.headers["etag"] != plain.headers["etag"]  # other bytes, other strong ETag
    back = running.get(path, headers={"Accept-Encoding": "gzip", "If-None-Match": packed.headers["etag"]})
    assert back.status_code == 304
    assert back.headers["etag"] == packed.headers["etag"]


def test_an_edit_changes_the_tile_within_a_second(running: Server, sample_db: Database, owner: Any) -> None:
    tile = tile_at(LON, LAT, 18)
    path = "/collections/power_switch" + path_of(tile)
    before = running.get(path)
    owner.execute("UPDATE layer.power_switch SET code = 'changed' WHERE asset_id IS NOT NULL")
    time.sleep(1.0)
    after = running.get(path, headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 200
    features = decode(after)["power_switch"]["features"]
    assert {f["properties"]["code"] for f in features} == {"changed"}


def test_nothing_there_is_204(running: Server) -> None:
    far_away = path_of(tile_at(-60.0, -30.0, 10))
    below = "/collections/water_valve" + path_of(tile_at(LON, LAT, 14))  # min_zoom 15
    empty = "/collections/water_pipe" + path_of(tile_at(107.6, 8.6, 18))
    for path in (far_away, below, empty, path_of(Tile(0, 0, 0))):
        response = running.get(path)
        assert (response.status_code, response.content) == (204, b""), path


def test_the_deepest_level_is_still_drawn(running: Server) -> None:
    found = decode(running.get("/collections/water_valve" + path_of(tile_at(LON, LAT, 22))))
    assert len(found["water_valve"]["features"]) >= 1


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/tiles/WebMercatorQuad/23/0/0", 404),
        ("/tiles/WebMercatorQuad/99/0/0", 404),
        ("/tiles/WebMercatorQuad/-1/0/0", 400),
        ("/tiles/WebMercatorQuad/1.5/0/0", 400),
        ("/tiles/WebMercatorQuad/3/8/0", 404),
        ("/tiles/WebMercatorQuad/3/0/8", 404),
        ("/tiles/WebMercatorQuad/3/a/0", 400),
        ("/tiles/WebMercatorQuad/3/0/0.mvt", 400),
        ("/tiles/WorldCRS84Quad/3/0/0", 404),
        ("/tiles/WebMercatorQuad/3/0/0?f=png", 400),
        ("/tiles/WebMercatorQuad/3/0/0?colections=water_pipe", 400),
        ("/tiles/WebMercatorQuad/3/0/0?collections=", 400),
        ("/tiles/WebMercatorQuad/3/0/0?collections=water_pipe,", 400),
        ("/tiles/WebMercatorQuad/3/0/0?collections=a&collections=b", 400),
        ("/tiles/WebMercatorQuad/3/0/0?collections=water_pipe,nothing", 404),
        ("/collections/nothing/tiles/WebMercatorQuad/3/0/0", 404),
        ("/collections/water_pipe/tiles/WebMercatorQuad/3/0/0?collections=power_line", 400),
        ("/collections/water_pipe/tiles/WorldCRS84Quad", 404),
        ("/collections/nothing/tiles", 404),
        ("/tileMatrixSets/WorldCRS84Quad", 404),
        ("/tiles?f=xml", 400),
        ("/tiles/WebMercatorQuad?x=1", 400),
    ],
)
def test_what_cannot_be_is_a_problem_document(running: Server, path: str, status: int) -> None:
    response = running.get(path)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status
    assert "no-store" in response.headers["cache-control"]


def test_a_hidden_layer_looks_absent(running: Server, catalogue: Catalogue) -> None:
    hidden = [layer.id for layer in catalogue.layers.values() if not layer.is_public]
    assert hidden
    tile = path_of(tile_at(LON, LAT, 17))
    for layer_id in hidden:
        for template in (
            "/collections/{}" + tile,
            tile + "?collections={}",
            "/collections/{}/tiles",
            "/collections/{}/tiles/WebMercatorQuad",
        ):
            real, absent = running.get(template.format(layer_id)), running.get(template.format("absent"))
            assert real.status_code == absent.status_code == 404
            assert real.json()["detail"] == absent.json()["detail"]
    for path in ("/tiles/WebMercatorQuad?f=tilejson", "/tiles/WebMercatorQuad"):
        assert not [layer_id for layer_id in hidden if layer_id in running.get(path).text]


def test_confidential_attributes_are_in_no_tile(running: Server, catalogue: Catalogue) -> None:
    found = decode(running.get(path_of(tile_at(LON, LAT, 22))))
    for layer_id, content in found.items():
        secret = {f.name for f in catalogue.layers[layer_id].fields if f.access != "public"}
        for feature in content["features"]:
            assert not secret & set(feature["properties"])


def test_tilejson(running: Server, catalogue: Catalogue) -> None:
    document = running.get("/collections/water_pipe/tiles/WebMercatorQuad?f=tilejson").json()
    assert document["tilejson"] == "3.0.0"
    assert document["scheme"] == "xyz"
    assert (document["minzoom"], document["maxzoom"]) == (11, 18)
    (layer,) = document["vector_layers"]
    assert layer["id"] == "water_pipe"
    assert {"pipe_class", "diameter_mm", "status"} <= set(layer["fields"])
    west, south, east, north = document["bounds"]
    assert west <= LON <= east
    assert south <= LAT <= north
    tile = tile_at(LON, LAT, 16)
    (template,) = document["tiles"]
    url = template.replace("{z}", "16").replace("{y}", str(tile.y)).replace("{x}", str(tile.x))
    assert decode(httpx.get(url, timeout=30))["water_pipe"]["features"]
    by_accept = running.get(
        "/collections/water_pipe/tiles/WebMercatorQuad",
        headers={"Accept": "application/vnd.mapbox.tilejson+json"},
    )
    assert by_accept.json() == document
    whole = running.get("/tiles/WebMercatorQuad?f=tilejson&lang=en").json()
    assert [v["id"] for v in whole["vector_layers"]] == [layer.id for layer in catalogue.public()]
    some = running.get("/tiles/WebMercatorQuad?f=tilejson&collections=power_line").json()
    assert [v["id"] for v in some["vector_layers"]] == ["power_line"]
    assert some["tiles"][0].endswith("?collections=power_line")


def test_the_descriptions_lead_to_tiles(running: Server) -> None:
    """From the list of tilesets to a tile by links alone, as a client of the standard goes."""
    for start in ("/tiles", "/collections/water_pipe/tiles"):
        (item,) = running.get(start).json()["tilesets"]
        assert item["dataType"] == "vector"
        assert item["tileMatrixSetURI"].endswith("/WebMercatorQuad")
        by_rel = {link["rel"]: link for link in item["links"]}
        tileset = httpx.get(by_rel["self"]["href"], timeout=30).json()
        assert tileset["crs"] == "http://www.opengis.net/def/crs/EPSG/0/3857"
        assert {layer["id"] for layer in tileset["layers"]} >= {"water_pipe"}
        grid = httpx.get(by_rel["http://www.opengis.net/def/rel/ogc/1.0/tiling-scheme"]["href"], timeout=30)
        assert grid.json()["id"] == "WebMercatorQuad"
        template = next(link for link in tileset["links"] if link["rel"] == "item")
        assert template["templated"] is True
        tile = tile_at(LON, LAT, 16)
        (limit,) = [one for one in tileset["tileMatrixSetLimits"] if one["tileMatrix"] == "16"]
        assert limit["minTileRow"] <= tile.y <= limit["maxTileRow"]
        assert limit["minTileCol"] <= tile.x <= limit["maxTileCol"]
        url = template["href"]
        for name, value in (("tileMatrix", 16), ("tileRow", tile.y), ("tileCol", tile.x)):
            url = url.replace("{" + name + "}", str(value))
        assert decode(httpx.get(url, timeout=30))["water_pipe"]
    assert running.get("/tileMatrixSets").json()["tileMatrixSets"][0]["id"] == "WebMercatorQuad"


def test_titles_are_in_the_readers_language(running: Server) -> None:
    vi, en = (running.get(f"/collections/water_pipe/tiles?lang={lang}").json() for lang in ("vi", "en"))
    assert "Ống cấp nước" in vi["tilesets"][0]["title"]
    assert "Water pipes" in en["tilesets"][0]["title"]


def test_the_conformance_of_tiles_is_declared(running: Server) -> None:
    classes = running.get("/conformance", headers={"Accept": "application/json"}).json()["conformsTo"]
    assert "http://www.opengis.net/spec/ogcapi-styles-1/1.0/conf/mapbox-styles" in classes
    for name in ("core", "tileset", "tilesets-list", "mvt", "collections-selection"):
        assert f"http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/{name}" in classes
