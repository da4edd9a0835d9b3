"""The OGC face: what clients and QGIS look for in landing page, conformance, collections and their kin."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import psycopg
import pytest

from gis.api.app import ROUTES
from gis.city import City
from gis.db.server import Database
from layers.registry import Catalogue
from tests.api.problem import assert_problem
from tests.api.process import Server
from tests.api.sample import ROWS, VECTORS

SHARED = True  # (tests/api/conftest.py)

Get = Callable[..., httpx.Response]
REL = "http://www.opengis.net/def/rel/ogc/1.0"
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.fixture
def get(running: Server) -> Get:
    return running.get


def links(document: dict, rel: str) -> list[dict]:
    return [one for one in document["links"] if one["rel"] == rel]


def test_landing_page_leads_qgis_on(get: Get, server: str) -> None:
    document = get("/").json()
    assert links(document, "service-desc")[0] == {
        "href": f"{server}/api?f=json",
        "rel": "service-desc",
        "type": "application/vnd.oai.openapi+json;version=3.0",
        "title": "Mô tả API (OpenAPI 3.0)",
    }
    assert links(document, "data")[0]["href"] == f"{server}/collections"
    assert links(document, "conformance")[0]["href"] == f"{server}/conformance"
    assert links(document, f"{REL}/tilesets-vector")
    for one in document["links"]:
        path = one["href"].removeprefix(server)
        assert get(path).status_code in (200, 503 if path == "/map" else 200), one


def test_conformance_declares_what_is_there_and_no_more(get: Get) -> None:
    classes = set(get("/conformance").json()["conformsTo"])
    spec = "http://www.opengis.net/spec"
    assert classes >= {
        f"{spec}/ogcapi-features-1/1.0/conf/{name}" for name in ("core", "geojson", "html", "oas30")
    }
    assert f"{spec}/ogcapi-features-2/1.0/conf/crs" in classes
    assert classes >= {f"{spec}/ogcapi-features-3/1.0/conf/{n}" for n in ("filter", "features-filter")}
    assert f"{spec}/ogcapi-features-5/1.0/conf/schemas" in classes
    assert classes >= {f"{spec}/cql2/1.0/conf/{n}" for n in ("cql2-text", "cql2-json", "basic-cql2")}
    assert f"{spec}/ogcapi-tiles-1/1.0/conf/core" in classes
    written = {c.rpartition("/")[2] for c in classes if "features-4" in c}
    assert written == {"create-replace-delete", "update", "optimistic-locking-etags", "features"}


def test_collections_are_the_public_layers_in_order(
    get: Get, catalogue: Catalogue, sample_db: Database, city: City
) -> None:
    found = get("/collections").json()["collections"]
    assert [one["id"] for one in found] == [layer.id for layer in catalogue.public()]
    assert len(found) < len(catalogue.layers), "the catalogue has layers that are not public"
    with psycopg.connect(sample_db.owner_dsn) as connection:
        for one in found:
            count = connection.execute(f'SELECT count(*) FROM layer."{one["id"]}"').fetchone()
            assert count is not None
            assert one["itemCount"] == count[0], one["id"]
            assert one["itemType"] == "feature"
            west, south, east, north = one["extent"]["spatial"]["bbox"][0]
            if count[0]:
                for _, (lon, lat) in VECTORS if count[0] == ROWS else ():
                    assert west <= lon <= east, one["id"]
                    assert south <= lat <= north, one["id"]
            else:
                assert (west, south, east, north) == city.extent


def test_collection_says_its_crs_and_links(get: Get, server: str) -> None:
    document = get("/collections/water_pipe").json()
    assert document["storageCrs"] == "http://www.opengis.net/def/crs/EPSG/0/9210"
    assert document["crs"][0] == "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
    assert {f"http://www.opengis.net/def/crs/EPSG/0/{c}" for c in (4326, 3857, 9210, 5899, 4756)} <= set(
        document["crs"]
    )
    schema = links(document, f"{REL}/schema")[0]
    assert schema["type"] == "application/schema+json"
    items = links(document, "items")
    assert items[0]["type"] == "application/geo+json"
    for one in document["links"]:
        answer = get(one["href"].removeprefix(server))
        assert answer.status_code == 200, one
        assert answer.headers["content-type"].partition(";")[0] == one["type"].partition(";")[0], one


def test_schema_and_queryables(get: Get) -> None:
    schema = get("/collections/water_pipe/schema")
    assert schema.headers["content-type"] == "application/schema+json"
    fields = schema.json()["properties"]
    assert fields["fid"]["x-ogc-role"] == "id"
    assert any(f.get("x-ogc-role") == "primary-geometry" for f in fields.values())
    queryables = get("/collections/water_pipe/queryables").json()["properties"]
    assert "https://geojson.org/schema/" in queryables["geometry"]["$ref"]


def test_options_say_that_the_public_only_reads(server: str) -> None:
    for path in ("/collections/water_pipe/items", "/collections/water_pipe/items/999999", "/collections"):
        answer = httpx.options(server + path)
        assert answer.status_code == 200
        allowed = {m.strip() for m in answer.headers["allow"].split(",")}
        assert {"GET", "HEAD", "OPTIONS"} <= allowed
        assert not allowed & {"POST", "PUT", "PATCH", "DELETE"}


@pytest.mark.parametrize(
    ("query", "headers", "language", "title"),
    [
        ("", {}, "vi", "Ống cấp nước"),
        ("", {"Accept-Language": "en-GB,en;q=0.9,vi;q=0.1"}, "en", None),
        ("", {"Accept-Language": "fr, ja;q=0.5"}, "vi", "Ống cấp nước"),
        ("?lang=en", {"Accept-Language": "vi"}, "en", None),
        ("?lang=vi", {"Accept-Language": "en"}, "vi", "Ống cấp nước"),
    ],
)
def test_language(
    get: Get, catalogue: Catalogue, query: str, headers: dict, language: str, title: str | None
) -> None:
    answer = get("/collections/water_pipe" + query, headers=headers)
    assert answer.headers["content-language"] == language
    assert answer.json()["title"] == getattr(catalogue.layers["water_pipe"].title, language)
    assert "accept-language" in answer.headers["vary"].lower()


def test_browsers_get_html_that_loads_nothing_from_elsewhere(get: Get, server: str) -> None:
    for path in (
        "/",
        "/collections",
        "/conformance",
        "/api",
        "/collections/water_pipe",
        "/collections/water_pipe/schema",
        "/collections/water_pipe/queryables",
    ):
        answer = get(path, headers=BROWSER)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "script-src" not in answer.headers["content-security-policy"]
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "<script" not in answer.text
        assert " style=" not in answer.text
        for target in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
            assert target.startswith((server, "/")), (path, target)
        english = get(path + "?f=html&lang=en")
        assert '<html lang="en">' in english.text
    assert get("/static/face.css").headers["content-type"].startswith("text/css")


def test_etag_304_and_gzip(get: Get) -> None:
    plain = get("/collections", headers={"Accept-Encoding": "identity"})
    packed = get("/collections", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < len(plain.content) / 4
    assert plain.headers["etag"] != packed.headers["etag"], "a strong ETag names bytes"
    for first, encoding in ((plain, "identity"), (packed, "gzip")):
        etag = first.headers["etag"]
        again = get("/collections", headers={"If-None-Match": etag, "Accept-Encoding": encoding})
        assert again.status_code == 304
        assert again.headers["etag"] == etag
        assert again.content == b""
    changed = get("/collections", headers={"If-None-Match": '"other"', "Accept-Encoding": "identity"})
    assert changed.status_code == 200


def test_head_is_get_without_body(server: str, get: Get) -> None:
    for path in ("/", "/collections/water_pipe", "/collections/water_pipe/items", "/healthz"):
        head = httpx.head(server + path)
        assert head.status_code == 200
        assert head.content == b""
        assert head.headers["content-type"] == get(path).headers["content-type"]


def test_any_page_may_read_but_not_with_credentials(server: str) -> None:
    answer = httpx.get(server + "/collections", headers={"Origin": "https://elsewhere.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    assert "ETag" in answer.headers["access-control-expose-headers"]
    preflight = httpx.options(
        server + "/collections/water_pipe/items",
        headers={"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "GET"},
    )
    assert preflight.status_code == 200
    assert "GET" in preflight.headers["access-control-allow-methods"]
    assert "POST" not in preflight.headers["access-control-allow-methods"]


def _addresses() -> list[str]:
    """One address of every route that takes no parameters of its own choosing."""
    values = {
        "{layer}": "water_pipe",
        "{collection}": "water_pipe",
        "{fid}": "1",
        "{grid}": "WebMercatorQuad",
        "{z}/{y}/{x}": "14/7700/13045",
        "{style}": "city",
        "{stack}": "Be Vietnam Pro Regular",
        "{process}": "nope",
        "{job}": "0" * 32,
        "{version}": "1",
        "{rule}": "NET-03",
        "{changeset:int}": "1",
    }
    found = []
    for route in ROUTES:
        path = str(route.path)  # type: ignore[attr-defined]
        if path.startswith("/map") or "GET" not in route.methods:  # type: ignore[attr-defined]
            continue  # the page's parameters are its own
        if path.startswith(("/accounts", "/me")):
            continue  # who has not logged in gets nothing there, whatever he asks
        path = path.replace("{collection}/items/{fid}/mend", "finding/items/1/mend")  # others have none
        path = path.replace("/sprites/{name}", "/sprites/bandoso.json").replace("{name}", "0-255.pbf")
        for key, value in values.items():
            path = path.replace(key, value)
        assert "{" not in path, path
        found.append(path)
    return found


@pytest.mark.parametrize("path", _addresses())
def test_unknown_and_repeated_parameters_are_refused_everywhere(get: Get, path: str) -> None:
    document = assert_problem(get(path + "?limmit=5"), 400, "unknown-parameter")
    assert document["errors"][0]["parameter"] == "limmit"
    if path != "/changes/stream":  # which has no end
        assert get(path).status_code < 500 or path.startswith("/map")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/nothing", 404, "not-found"),
        ("/collections/nothing", 404, "not-found"),
        ("/collections/nothing/schema", 404, "not-found"),
        ("/collections/%00", 400, None),
        ("/collections/water_pipe%27--", 404, "not-found"),
        ("/collections/", 404, "not-found"),
        ("/collections?f=xml", 400, "invalid-parameter"),
        ("/collections?lang=xx", 400, "invalid-parameter"),
        ("/collections?f=json&f=html", 400, "repeated-parameter"),
        ("/collections?%ff=1", 400, "unknown-parameter"),
        ("/?f=%00", 400, "invalid-parameter"),
        ("/map/../../etc/passwd", 404, "not-found"),
        ("/map/%2e%2e/%2e%2e/etc/passwd", 404, "not-found"),
        ("/fonts/..%2f..%2f/0-255.pbf", 404, "not-found"),
        ("/fonts/Be%20Vietnam%20Pro%20Regular/0-254.pbf", 400, "invalid-range"),
        ("/sprites/..%2findex.html", 404, "not-found"),
    ],
)
def test_errors_have_one_shape(server: str, path: str, status: int, code: str | None) -> None:
    with httpx.Client() as client:
        request = client.build_request("GET", server)
        request.url = httpx.URL(server + "/").copy_with(raw_path=path.encode())
        assert_problem(client.send(request), status, code)


def test_hidden_layers_are_absent(get: Get, catalogue: Catalogue) -> None:
    hidden = [layer.id for layer in catalogue.layers.values() if not layer.is_public]
    assert hidden
    texts = [get(path).text for path in ("/collections", "/api", "/catalogue")]
    for layer_id in hidden:
        assert_problem(get(f"/collections/{layer_id}"), 404, "not-found")
        assert_problem(get(f"/collections/{layer_id}/schema"), 404, "not-found")
        for text in texts:
            assert f'"{layer_id}"' not in text


def test_wrong_methods(server: str) -> None:
    for method in ("PUT", "PATCH", "DELETE"):
        answer = httpx.request(method, server + "/collections/water_pipe/items", content=b"{}")
        assert_problem(answer, 405, "method-not-allowed")
        assert "GET" in answer.headers["allow"]
    # features are added there, by who may: first one says who one is
    answer = httpx.post(server + "/collections/water_pipe/items", content=b"{}")
    assert_problem(answer, 401, "login-required")


def test_catalogue_for_the_page(get: Get, catalogue: Catalogue, city: City) -> None:
    document = get("/catalogue").json()
    assert document["city"]["storage_crs"] == 9210
    by_code = {one["code"]: one for one in document["city"]["crs"]}
    assert "+towgs84=-191.90441429" in by_code[9210]["proj4"]
    layers = {one["id"]: one for sector in document["sectors"] for one in sector["layers"]}
    assert list(layers) == [layer.id for layer in catalogue.public()]
    for layer_id, one in layers.items():
        assert one["legend"], layer_id
        assert all(name.startswith(f"{layer_id}-") for name in one["style_layers"])
        assert {f["name"] for f in one["fields"]} == {
            f.name for f in catalogue.layers[layer_id].public_fields
        }
        assert set(one["title"]) == {"vi", "en"}
    assert layers["water_pipe"]["count"] == ROWS


def test_page_glyphs_and_sprites(get: Get, server: str) -> None:
    page = get("/map")
    if page.status_code == 503:
        assert_problem(page, 503, "page-not-built")
        pytest.skip("the page is not built")
    policy = page.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'self'" in policy
    assert page.headers["cache-control"] == "no-cache"
    assert get("/map/").content == page.content
    assert get("/map", headers={"If-None-Match": page.headers["etag"]}).status_code == 304
    assets = re.findall(r'(?:src|href)="(/map/[^"]+)"', page.text)
    assert assets
    for path in assets:
        asset = get(path)
        assert asset.status_code == 200
        assert asset.headers["x-content-type-options"] == "nosniff"
        if re.search(r"-[\w-]{8}\.", path):
            assert "immutable" in asset.headers["cache-control"]
    script = next(path for path in assets if path.endswith(".js"))
    gzipped, brotli = (get(script, headers={"Accept-Encoding": one}) for one in ("gzip", "gzip, br"))
    assert [one.headers["content-encoding"] for one in (gzipped, brotli)] == ["gzip", "br"]
    assert int(brotli.headers["content-length"]) < int(gzipped.headers["content-length"])
    assert gzipped.headers["etag"] != brotli.headers["etag"]
    assert "accept-encoding" in brotli.headers["vary"].lower()
    assert get(f"{script}.br").status_code == 404
    font = "/fonts/Be%20Vietnam%20Pro%20Regular"
    glyphs = get(f"{font}/7680-7935.pbf")
    assert glyphs.headers["content-type"] == "application/x-protobuf"
    assert len(glyphs.content) > 10_000, "the range of Vietnamese letters with two marks"
    assert get("/fonts/Nobody,Be%20Vietnam%20Pro%20Regular/7680-7935.pbf").content == glyphs.content
    assert get(f"{font}/40960-41215.pbf").content == b"", "a range without glyphs is no error"
    assert get("/sprites/bandoso@2x.json").json()
    assert get("/sprites/bandoso.png").headers["content-type"] == "image/png"
