"""Accounts that edit, and a client that writes as one of them."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg
import shapely

from gis.identity.accounts import add_account, grant, make_token
from gis.identity.areas import Area

PASSWORD = "correct horse battery staple"
#: Of the account water_area: two kilometres around the sample's grid.
AREA = shapely.box(605_000, 1_191_000, 607_000, 1_193_000)

#: name -> (role, agency) and scopes of its token.
ACCOUNTS: dict[str, tuple[tuple[tuple[str, str], ...], tuple[str, ...]]] = {
    "water": ((("editor", "sawaco"),), ("read", "edit")),
    "water_area": ((("editor", "sawaco"),), ("read", "edit")),
    "water_viewer": ((("viewer", "sawaco"),), ("read", "edit")),
    "water_reader": ((("editor", "sawaco"),), ("read",)),
    "water_valves": ((("editor", "sawaco"),), ("read", "edit:water_valve")),
    "power": ((("editor", "evnhcmc"),), ("read", "edit")),
    "telecom": ((("editor", "vnpt"), ("editor", "viettel")), ("read", "edit")),
    "land": ((("editor", "stnmt"),), ("read", "edit")),
    "steward": ((("steward", "city"),), ("read", "edit")),
}


@dataclass
class Editors:
    """Tokens by account; every account has PASSWORD too."""

    url: str
    tokens: dict[str, str] = field(default_factory=dict)
    accounts: dict[str, int] = field(default_factory=dict)
    _open: list[Writer] = field(default_factory=list)

    def _writer(self, headers: dict[str, str]) -> Writer:
        self._open.append(Writer(self.url, headers))
        return self._open[-1]

    def close(self) -> None:
        for one in self._open:
            one.client.close()

    def as_(self, name: str | None, **headers: str) -> Writer:
        """A client of the account; None: of nobody."""
        if name is not None:
            headers = {"Authorization": f"Bearer {self.tokens[name]}", **headers}
        return self._writer(headers)

    def basic(self, name: str) -> Writer:
        pair = base64.b64encode(f"{name}:{PASSWORD}".encode()).decode()
        return self._writer({"Authorization": f"Basic {pair}"})


def enrol(connection: psycopg.Connection, url: str) -> Editors:
    """Make the accounts."""
    editors = Editors(url)
    for name, (grants, scopes) in ACCOUNTS.items():
        account = add_account(connection, name, PASSWORD)
        for role, agency in grants:
            area = Area(AREA, 9210, {"polygon": {}}) if name == "water_area" else None
            grant(connection, account, role, agency, None, area)
        editors.tokens[name], _ = make_token(connection, account, "tests", scopes)
        editors.accounts[name] = account
    return editors


class Writer:
    """Requests with the headers of an account."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.url = url
        self.client = httpx.Client(verify=False, timeout=60, headers=headers, trust_env=False)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.client.request(method, path if path.startswith("http") else self.url + path, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def send(
        self,
        method: str,
        path: str,
        document: Any,
        content_type: str = "application/geo+json",
        **headers: str,
    ) -> httpx.Response:
        """A request with a JSON body; ``Content_Crs`` is the header Content-Crs."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request(method, path, json=document, headers={"Content-Type": content_type, **named})

    def post(self, layer: str, document: Any, **headers: str) -> httpx.Response:
        return self.send("POST", f"/collections/{layer}/items", document, **headers)

    def put(self, path: str, document: Any, **headers: str) -> httpx.Response:
        return self.send("PUT", path, document, **headers)

    def patch(self, path: str, document: Any, **headers: str) -> httpx.Response:
        return self.send("PATCH", path, document, "application/merge-patch+json", **headers)

    def delete(self, path: str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("DELETE", path, headers=named)


EPSG_9210 = "http://www.opengis.net/def/crs/EPSG/0/9210"
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"


def feature(geometry: dict[str, Any] | None, **properties: Any) -> dict[str, Any]:
    """A GeoJSON feature."""
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def point(x: float, y: float, *z: float) -> dict[str, Any]:
    return {"type": "Point", "coordinates": [x, y, *z]}


def line(*positions: tuple[float, ...]) -> dict[str, Any]:
    return {"type": "LineString", "coordinates": [list(p) for p in positions]}
