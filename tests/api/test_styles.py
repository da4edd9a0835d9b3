"""Styles over HTTP: what a web developer or QGIS gets from one address."""

from __future__ import annotations

import httpx
import mapbox_vector_tile
import pytest

from layers.registry import Catalogue
from tests.api.process import Server
from tests.api.sample import VECTORS
from tiles.grid import tile_at

SHARED = True  # (tests/api/conftest.py)

LON, LAT = VECTORS[0][1]


def test_the_list_leads_to_every_style(running: Server, catalogue: Catalogue) -> None:
    document = running.get("/styles").json()
    ids = [style["id"] for style in document["styles"]]
    assert ids[0] == document["default"] == "city"
    assert set(ids) - {"city"} == {layer.sector.id for layer in catalogue.public()}
    for style in document["styles"]:
        assert style["title"]
        (sheet,) = [link for link in style["links"] if link["rel"] == "stylesheet"]
        found = httpx.get(sheet["href"], timeout=30)
        assert found.status_code == 200
        assert found.headers["content-type"] == "application/vnd.mapbox.style+json"
        assert found.json()["version"] == 8


def test_the_tiles_of_a_style_hold_its_layers(running: Server) -> None:
    style = running.get("/styles/water?f=json").json()
    (template,) = style["sources"]["city"]["tiles"]
    tile = tile_at(LON, LAT, 17)
    url = template.replace("{z}", "17").replace("{y}", str(tile.y)).replace("{x}", str(tile.x))
    held = set(mapbox_vector_tile.decode(httpx.get(url, timeout=30).content))
    drawn = {one["source-layer"] for one in style["layers"] if one["minzoom"] <= 17}
    assert held
    assert held <= drawn
    west, south, east, north = style["sources"]["city"]["bounds"]
    assert west <= LON <= east
    assert south <= LAT <= north


def test_addresses_are_those_the_client_used(running: Server) -> None:
    style = running.get("/styles/city", headers={"Host": "maps.example:8443"}).json()
    addresses = [style["glyphs"], style["sprite"], *style["sources"]["city"]["tiles"]]
    assert all(a.startswith("http://maps.example:8443/") for a in addresses)


def test_the_language_of_a_style(running: Server) -> None:
    vi, en = (running.get(f"/styles/water?lang={lang}") for lang in ("vi", "en"))
    assert (vi.json()["name"], en.json()["name"]) == ("Cấp nước", "Water supply")
    assert vi.headers["etag"] != en.headers["etag"]
    by_header = running.get("/styles/water", headers={"Accept-Language": "en-GB, fr;q=0.5"})
    assert by_header.json() == en.json()


def test_the_legend_is_that_of_the_catalogue(running: Server) -> None:
    legend = {one["id"]: one for one in running.get("/styles/city/legend").json()["layers"]}
    catalogue = running.get("/catalogue").json()
    layers = {layer["id"]: layer for sector in catalogue["sectors"] for layer in sector["layers"]}
    assert set(legend) == set(layers)
    style_ids = {one["id"] for one in running.get("/styles/city").json()["layers"]}
    for layer_id, layer in layers.items():
        assert legend[layer_id]["legend"] == layer["legend"]
        assert legend[layer_id]["style_layers"] == layer["style_layers"]
        assert set(layer["style_layers"]) <= style_ids


def test_styles_are_revalidated(running: Server) -> None:
    first = running.get("/styles/city")
    again = running.get("/styles/city", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/styles/nothing", 404),
        ("/styles/nothing/legend", 404),
        ("/styles/city?f=sld", 400),
        ("/styles/city?x=1", 400),
        ("/styles/city?lang=fr", 400),
        ("/styles?f=xml", 400),
        ("/styles/city/legend?lang=xx", 400),
    ],
)
def test_mistakes_are_problem_documents(running: Server, path: str, status: int) -> None:
    response = running.get(path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
