"""A client shaped like QGIS (src/providers/wfs/oapif): its requests, in its order, as its forms send them.

It asks OPTIONS of the items and of an id that it makes up, reads pages of the storage CRS, sends whole
features of its cache by PUT (or geometry and attributes apart by PATCH), gives geometry 6 decimals, wants a
Location and gets it, and never sends If-Match.
"""

from __future__ import annotations

import json
import math
from typing import Any

import httpx
import numpy as np
import psycopg
import pyogrio
import pytest
import shapely

from gis import crs
from tests.api.editors import CRS84, EPSG_9210, Editors
from tests.api.problem import assert_problem
from tests.api.process import Server

JSON = "application/json"
SCHEMAS = "http://www.opengis.net/spec/ogcapi-features-5/1.0/conf/schemas"


class Qgis:
    """What QGIS does with one layer of a connection; ``crs`` as its user chose it."""

    def __init__(self, url: str, credentials: tuple[str, str], collection: str, crs_uri: str) -> None:
        self.url, self.collection, self.crs = url, collection, crs_uri
        self.http = httpx.Client(
            verify=False,
            timeout=60,
            trust_env=False,
            auth=credentials,
            headers={"User-Agent": "Mozilla/5.0 QGIS/33409/Linux"},
            follow_redirects=False,
        )
        self.features: dict[str, dict[str, Any]] = {}
        self.fields: dict[str, Any] = {}
        self.patches = False

    # --- opening -------------------------------------------------------------------------------------

    def open(self) -> None:
        """Landing page, API, conformance, collection, schema; then what may be edited."""
        landing = self._json(self.url + "/", "application/json")
        links = {link["rel"]: link["href"] for link in landing["links"]}
        api = self._json(links["service-desc"], "application/vnd.oai.openapi+json;version=3.0")
        limit = api["components"]["parameters"]["limit"]["schema"]
        self.page = min(max(1000, limit["default"]), limit["maximum"])
        conformance = self._json(links["conformance"], JSON)["conformsTo"]
        assert "http://www.opengis.net/spec/ogcapi-features-2/1.0/conf/crs" in conformance
        assert SCHEMAS in conformance
        self.patches = "http://www.opengis.net/spec/ogcapi-features-4/1.0/conf/update" in conformance
        collection = self._json(f"{links['data']}/{self.collection}", JSON)
        assert self.crs in collection["crs"]
        links = {link["rel"]: link["href"] for link in collection["links"]}
        schema = self._json(links["http://www.opengis.net/def/rel/ogc/1.0/schema"], "application/schema+json")
        self.fields = {
            name: one
            for name, one in schema["properties"].items()
            if "x-ogc-role" not in one or name == "fid"
        }
        self.items = f"{self.url}/collections/{self.collection}/items"

    def capabilities(self) -> set[str]:
        found: set[str] = set()
        for address in (self.items, f"{self.items}/unknown_id"):
            answer = self.http.options(address)
            assert answer.status_code == 200
            found |= {m.strip() for m in answer.headers["allow"].split(",")}
        return found

    def read(self) -> None:
        """First ten, then pages by rel=next until one is empty; the count by numberMatched."""
        parameters = "" if self.crs == CRS84 else f"&crs={self.crs}"
        assert self._json(f"{self.items}?limit=10{parameters}", "application/geo+json")["features"]
        matched = self._json(f"{self.items}?limit=1{parameters}", "application/geo+json")["numberMatched"]
        address: str | None = f"{self.items}?limit={self.page}{parameters}"
        while address:
            document = self._json(address, "application/geo+json")
            for one in document["features"]:
                self.features[str(one["id"])] = one
            following = [link["href"] for link in document["links"] if link["rel"] == "next"]
            address = following[0] if following and document["features"] else None
        assert len(self.features) == matched

    def _json(self, address: str, accept: str) -> Any:
        answer = self.http.get(address, headers={"Accept": accept})
        assert answer.status_code == 200, answer.text
        return answer.json()

    # --- editing -------------------------------------------------------------------------------------

    def add(self, geometry: dict[str, Any], **attributes: Any) -> str:
        """POST, then GET of the Location. All fields are sent, those that nobody filled in as null."""
        properties = {name: attributes.get(name) for name in self.fields if name != "geometry"}
        answer = self._send("POST", self.items, self._feature(geometry, properties))
        assert answer.status_code == 201, answer.text
        location = answer.headers["location"]
        assert location.startswith(f"{self.items}/")
        new = location.removeprefix(f"{self.items}/")
        parameters = "" if self.crs == CRS84 else f"?crs={self.crs}"
        self.features[new] = self._json(location + parameters, "application/geo+json")
        assert str(self.features[new]["id"]) == new
        return new

    def put(self, fid: str, geometry: dict[str, Any] | None = None, **attributes: Any) -> httpx.Response:
        """The whole feature of the cache with what was changed in it."""
        cached = self.features[fid]
        body = self._feature(geometry or cached["geometry"], {**cached["properties"], **attributes})
        answer = self._send("PUT", f"{self.items}/{fid}", {**body, "id": fid})
        if answer.is_success:
            self.features[fid] = {**cached, **json.loads(self.text(body))}
        return answer

    def patch_geometry(self, fid: str, geometry: dict[str, Any]) -> httpx.Response:
        return self._send("PATCH", f"{self.items}/{fid}", {"geometry": geometry})

    def patch_attributes(self, fid: str, **attributes: Any) -> httpx.Response:
        return self._send("PATCH", f"{self.items}/{fid}", {"properties": attributes})

    def remove(self, fid: str) -> httpx.Response:
        return self.http.delete(f"{self.items}/{fid}")

    def _feature(self, geometry: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
        return {"type": "Feature", "geometry": geometry, "properties": properties}

    def _send(self, method: str, address: str, body: dict[str, Any]) -> httpx.Response:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/geo+json"
        headers = {"Content-Type": kind}
        if self.crs != CRS84:
            headers["Content-Crs"] = self.crs
        return self.http.request(method, address, content=self.text(body), headers=headers)

    @staticmethod
    def text(body: dict[str, Any]) -> bytes:
        """Coordinates with 6 decimals."""

        def cut(value: Any) -> Any:
            return [cut(v) for v in value] if isinstance(value, list) else round(float(value), 6)

        shape = body.get("geometry")
        if shape:
            body = {**body, "geometry": {**shape, "coordinates": cut(shape["coordinates"])}}
        return json.dumps(body).encode()


@pytest.fixture(params=["storage", "degrees"])
def project(request: pytest.FixtureRequest, editors: Editors) -> Any:
    """Pipes in a project of the storage CRS, and of CRS84."""
    uri = EPSG_9210 if request.param == "storage" else CRS84
    client = Qgis(editors.url, ("water", "correct horse battery staple"), "water_pipe", uri)
    client.open()
    yield client
    client.http.close()


def stored(running: Server, fid: str, layer: str = "water_pipe") -> Any:
    """The geometry as the table has it."""
    with psycopg.connect(running.db.owner_dsn, autocommit=True) as connection:
        row = connection.execute(
            f"SELECT geom::bytea FROM layer.{layer} WHERE fid = %s", [int(fid)]
        ).fetchone()
    assert row
    return shapely.from_wkb(row[0])


def placed(project: Qgis, *plane: tuple[float, float]) -> list[list[float]]:
    """Positions of EPSG:9210 in the project's CRS."""
    if project.crs == EPSG_9210:
        return [list(p) for p in plane]
    x, y = crs.transform_xy([p[0] for p in plane], [p[1] for p in plane], 9210, 4326)
    return [list(p) for p in zip(x.tolist(), y.tolist(), strict=True)]


def test_the_whole_session(project: Qgis, running: Server) -> None:
    """List, edit geometry and attributes, add, delete: nothing is refused, nothing is anywhere else."""
    assert project.capabilities() >= {"POST", "PUT", "PATCH", "DELETE"}
    assert project.patches
    project.read()

    # a new pipe; with six decimals a degree is 5 cm, a metre exact
    precise = 0.001 if project.crs == EPSG_9210 else 0.08
    y = 1_192_640.0 if project.crs == EPSG_9210 else 1_192_740.0
    plane = [(606_011.123456, y + 0.654321), (606_031.5, y), (606_051.25, y + 3.125)]
    new = project.add({"type": "LineString", "coordinates": placed(project, *plane)}, remark="mới vẽ")
    kept = shapely.get_coordinates(stored(running, new))
    assert np.abs(kept - plane).max() < precise
    assert project.features[new]["properties"]["remark"] == "mới vẽ"
    assert project.features[new]["properties"]["owner"] == "sawaco"

    # attributes, by PUT of the cached feature: the geometry stays as it is stored, to the last bit
    before = stored(running, new)
    assert project.put(new, remark="đã sửa").status_code == 200
    assert stored(running, new).equals_exact(before, 0)
    # again, from a cache whose version and time are old by now
    assert project.put(new, remark="đã sửa lần nữa").status_code == 200
    assert stored(running, new).equals_exact(before, 0)

    # one vertex moved by PUT: the others stay to the last bit
    moved = list(project.features[new]["geometry"]["coordinates"])
    target = (606_031.5, y + 2.0)
    moved[1] = placed(project, target)[0]
    assert project.put(new, {"type": "LineString", "coordinates": moved}).status_code == 200
    after = shapely.get_coordinates(stored(running, new))
    assert np.array_equal(after[[0, 2]], shapely.get_coordinates(before)[[0, 2]])
    assert math.dist(after[1], target) < precise

    # the same by PATCH, geometry and attributes apart
    assert project.patch_attributes(new, remark=None, diameter_mm=200).status_code == 200
    moved[1] = placed(project, (606_031.5, y + 1.0))[0]
    assert project.patch_geometry(new, {"type": "LineString", "coordinates": moved}).status_code == 200
    after = shapely.get_coordinates(stored(running, new))
    assert np.array_equal(after[[0, 2]], shapely.get_coordinates(before)[[0, 2]])
    assert math.dist(after[1], (606_031.5, y + 1.0)) < precise
    shown = project._json(f"{project.items}/{new}", "application/geo+json")
    assert shown["properties"]["remark"] is None
    assert shown["properties"]["diameter_mm"] == 200

    assert project.remove(new).status_code == 204
    assert project.http.get(f"{project.items}/{new}").status_code == 404


def test_every_feature_goes_back_unchanged(project: Qgis, running: Server) -> None:
    """What QGIS sends back when only attributes were edited, for every pipe of the sample."""
    project.read()
    for fid in list(project.features):
        before = stored(running, fid)
        answer = project.put(fid, remark="xem lại")
        assert answer.status_code == 200, answer.text
        assert stored(running, fid).equals_exact(before, 0)
        assert stored(running, fid).has_z == before.has_z


def test_geometry_in_the_storage_crs_comes_back_within_a_millimetre(
    editors: Editors, running: Server
) -> None:
    client = Qgis(editors.url, ("water", "correct horse battery staple"), "water_valve", EPSG_9210)
    client.open()
    rng = np.random.default_rng(9210)
    try:
        for x, y in rng.uniform((606_000, 1_194_000), (607_000, 1_195_000), (12, 2)):
            new = client.add({"type": "Point", "coordinates": [float(x), float(y)]})
            served = client.features[new]["geometry"]["coordinates"]
            assert math.dist(served, (x, y)) < 0.001
            assert math.dist(stored(running, new, "water_valve").coords[0], (x, y)) < 1e-6
    finally:
        client.http.close()


def test_who_may_not_edit_is_offered_nothing(editors: Editors) -> None:
    for name in ("power", "water_viewer"):
        client = Qgis(editors.url, (name, "correct horse battery staple"), "water_pipe", EPSG_9210)
        client.open()
        try:
            assert client.capabilities() == {"GET", "HEAD", "OPTIONS"}
            client.read()
            fid = next(iter(client.features))
            assert_problem(client.put(fid, remark="x"), 403, "not-your-layer")
            assert_problem(client.remove(fid), 403, "not-your-layer")
        finally:
            client.http.close()


def test_a_name_without_a_password_is_asked_for_one(editors: Editors) -> None:
    with httpx.Client(verify=False, trust_env=False) as client:
        answer = client.post(f"{editors.url}/collections/water_pipe/items", content=b"{}")
        assert_problem(answer, 401, "login-required")
        assert answer.headers.get_list("www-authenticate")[0].startswith("Basic ")
        wrong = client.options(f"{editors.url}/collections/water_pipe/items", auth=("water", "wrong"))
        assert_problem(wrong, 401, "wrong-secret")


def test_reason_phrases_are_the_standard_ones(editors: Editors) -> None:
    """QGIS shows nothing but the phrase. Granian sends the standard one; so the status must say it all."""
    water = editors.as_("water")
    address = water.post(
        "water_valve",
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [106.7, 10.79]}, "properties": {}},
    ).headers["location"]
    answers = {
        water.put(address, {}).reason_phrase,
        water.patch(address, {"properties": {}}, If_Match='"1"').reason_phrase,
        editors.as_("power").delete(address).reason_phrase,
        editors.as_(None).delete(address).reason_phrase,
    }
    assert answers == {"Unprocessable Entity", "Precondition Failed", "Forbidden", "Unauthorized"}


def test_gdal_cannot_write_yet() -> None:
    """GDAL's OAPIF driver only reads (3.12); when this fails it has learnt to write, and wants a test."""
    assert pyogrio.list_drivers()["OAPIF"] == "r"
