"""Managing accounts over HTTP and from the command line; and the first admin."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import psycopg
import pytest
import schemathesis
import shapely
from click.testing import CliRunner
from openapi_spec_validator import OpenAPIV30SpecValidator

from gis.api.accounts.openapi import BODIES, schemas
from gis.cli import main
from gis.crs import transform_geometries
from gis.db.server import Database
from gis.errors import UsageError
from gis.identity import accounts, areas
from gis.identity.first import first_admin
from gis.settings import Settings
from tests.api.identity import PASSWORD, basic, bearer, make, token
from tests.api.problem import assert_problem
from tests.api.process import Server
from tests.conftest import FreshDatabase


@pytest.fixture(scope="module")
def running(
    sample_db: Database, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    make(sample_db, "boss", ("admin", "city"))
    make(sample_db, "steward", ("steward", "city"))
    make(sample_db, "water-admin", ("admin", "sawaco"), agency="sawaco")
    make(sample_db, "water-steward", ("steward", "sawaco"), agency="sawaco")
    make(sample_db, "power-admin", ("admin", "evnhcmc"), agency="evnhcmc")
    make(sample_db, "valves", ("steward", "sawaco", "water_valve"), agency="sawaco")
    make(sample_db, "editor", ("editor", "sawaco"), agency="sawaco")
    process = Server(
        replace(settings, workers=1, pool_size=4), sample_db, tmp_path_factory.mktemp("accounts")
    )
    process.start()
    yield process
    assert process.stop() == 0, process.log.read_text(errors="replace")[-3000:]


@pytest.fixture
def owner(sample_db: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(sample_db.owner_dsn, autocommit=True) as connection:
        yield connection


class As:
    """Requests in somebody's name."""

    def __init__(self, server: Server, headers: dict[str, str]) -> None:
        self.server, self.headers = server, headers

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """``body`` is sent as JSON, bytes as they are."""
        given = {**self.headers, **({} if body is None else {"Content-Type": "application/json"}), **headers}
        content = body if body is None or isinstance(body, bytes) else json.dumps(body)
        url = path if path.startswith("http") else self.server.url + path
        return httpx.request(method, url, content=content, headers=given, timeout=30, verify=False)


@pytest.fixture
def who(running: Server) -> Any:
    return lambda name, password=PASSWORD: As(running, basic(name, password))


GRANT = {"role": "editor", "agency": "sawaco"}


def test_an_admin_adds_an_account_that_then_logs_in(who: Any, running: Server) -> None:
    body = {"name": "new-editor", "agency": "sawaco", "grants": [GRANT, {**GRANT, "layer": "water_valve"}]}
    answer = who("water-admin").ask("POST", "/accounts", body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{running.url}/accounts/new-editor"
    assert answer.headers["cache-control"] == "no-store"
    made = answer.json()
    assert [(g["role"], g["agency"], g["layer"]) for g in made["grants"]] == [
        ("editor", "sawaco", None),
        ("editor", "sawaco", "water_valve"),
    ]
    secret = made["password_once"]
    assert len(secret) == 24
    assert who("new-editor", secret).ask("GET", "/me").json()["name"] == "new-editor"
    again = who("water-admin").ask("GET", "/accounts/new-editor").json()
    assert "password_once" not in again
    assert again["password"] is True
    assert_problem(who("water-admin").ask("POST", "/accounts", body), 409)
    assert who("water-admin").ask("DELETE", "/accounts/new-editor").status_code == 204
    assert_problem(who("water-admin").ask("GET", "/accounts/new-editor"), 404)
    assert_problem(who("new-editor", secret).ask("GET", "/me"), 401)


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("boss", {"boss", "steward", "water-admin", "water-steward", "power-admin", "valves", "editor"}),
        ("steward", {"editor"}),
        ("water-admin", {"water-admin", "water-steward", "valves", "editor"}),
        ("water-steward", {"editor"}),
        ("power-admin", {"power-admin"}),
        ("valves", set()),
    ],
)
def test_each_sees_and_reaches_what_he_manages(who: Any, name: str, seen: set[str]) -> None:
    found = {one["name"] for one in who(name).ask("GET", "/accounts").json()["accounts"]}
    everyone = {"boss", "steward", "water-admin", "water-steward", "power-admin", "valves", "editor"}
    assert found & everyone == seen
    for one in everyone:
        answer = who(name).ask("GET", f"/accounts/{one}")
        if one in seen:
            assert answer.status_code == 200
        else:
            assert_problem(answer, 404)
            assert_problem(who(name).ask("PATCH", f"/accounts/{one}", {"disabled": True}), 404)
            assert_problem(who(name).ask("PATCH", f"/accounts/{one}", {"password": True}), 404)
            assert_problem(who(name).ask("DELETE", f"/accounts/{one}"), 404)
            assert_problem(who(name).ask("POST", f"/accounts/{one}/tokens", {}), 404)
            assert_problem(who(name).ask("POST", f"/accounts/{one}/grants", GRANT), 404)


def test_an_editor_and_a_stranger_manage_nothing(who: Any, running: Server) -> None:
    for method, path, body in (
        ("GET", "/accounts", None),
        ("POST", "/accounts", {"name": "x", "agency": "sawaco"}),
        ("GET", "/accounts/editor", None),
        ("PATCH", "/accounts/editor", {"disabled": False}),
        ("DELETE", "/accounts/editor", None),
        ("POST", "/accounts/editor/grants", {"role": "admin", "agency": "sawaco"}),
        ("GET", "/accounts/editor/tokens", None),
    ):
        assert_problem(who("editor").ask(method, path, body), 403, "not-allowed")
        answer = As(running, {}).ask(method, path, body)
        assert_problem(answer, 401, "login-required")
        assert "Basic" in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("name", "grant", "status"),
    [
        ("water-admin", {"role": "admin", "agency": "sawaco"}, 201),
        ("water-admin", {"role": "steward", "agency": "sawaco"}, 201),
        ("water-admin", {"role": "editor", "agency": "sawaco", "layer": "water_pipe"}, 201),
        ("water-admin", {"role": "viewer", "agency": "evnhcmc"}, 403),
        ("water-admin", {"role": "admin", "agency": "city"}, 403),
        # features of sawaco in a layer that it has nothing to do with
        ("water-admin", {"role": "editor", "agency": "sawaco", "layer": "power_line"}, 403),
        ("water-steward", {"role": "editor", "agency": "sawaco"}, 201),
        ("water-steward", {"role": "viewer", "agency": "sawaco"}, 201),
        ("water-steward", {"role": "steward", "agency": "sawaco"}, 403),
        ("water-steward", {"role": "admin", "agency": "sawaco"}, 403),
        ("steward", {"role": "editor", "agency": "evnhcmc"}, 201),
        ("steward", {"role": "editor", "agency": "city"}, 201),
        ("steward", {"role": "admin", "agency": "sawaco"}, 403),
        ("boss", {"role": "admin", "agency": "city"}, 201),
        ("boss", {"role": "editor", "agency": "sawaco", "layer": "power_line"}, 201),
        ("boss", {"role": "editor", "agency": "nobody"}, 404),
    ],
)
def test_nobody_grants_more_than_he_has(
    who: Any, sample_db: Database, owner: psycopg.Connection, name: str, grant: dict[str, str], status: int
) -> None:
    target = make(sample_db, "target", agency="sawaco")
    try:
        answer = who(name).ask("POST", "/accounts/target/grants", grant)
        assert answer.status_code == status, answer.text
        if status == 201:
            assert who("boss").ask("GET", answer.headers["location"]).json() == answer.json()
        # and neither with a new account
        body = {"name": "newcomer", "agency": "sawaco", "grants": [grant]}
        assert who(name).ask("POST", "/accounts", body).status_code == status
    finally:
        accounts.remove(owner, target)
        owner.execute("DELETE FROM bandoso.account WHERE name = 'newcomer'")


def test_a_refused_grant_leaves_no_account(who: Any, owner: psycopg.Connection) -> None:
    body = {"name": "half", "agency": "sawaco", "grants": [GRANT, {"role": "admin", "agency": "city"}]}
    assert_problem(who("water-admin").ask("POST", "/accounts", body), 403)
    assert owner.execute("SELECT FROM bandoso.account WHERE name = 'half'").fetchone() is None


def test_accounts_of_another_agency_are_not_made(who: Any) -> None:
    assert_problem(who("water-admin").ask("POST", "/accounts", {"name": "x", "agency": "evnhcmc"}), 403)
    assert_problem(who("water-admin").ask("POST", "/accounts", {"name": "x"}), 403)


def test_an_account_with_a_grant_of_another_agency_is_no_longer_its_admins(
    who: Any, sample_db: Database, owner: psycopg.Connection
) -> None:
    target = make(sample_db, "both", ("editor", "sawaco"), agency="sawaco")
    assert who("water-admin").ask("GET", "/accounts/both").status_code == 200
    accounts.grant(owner, target, "viewer", "evnhcmc")
    for method, body in (("GET", None), ("PATCH", {"password": True}), ("DELETE", None)):
        assert_problem(who("water-admin").ask(method, "/accounts/both", body), 404)
    assert_problem(who("water-admin").ask("POST", "/accounts/both/tokens", {}), 404)
    accounts.remove(owner, target)


def test_a_manager_within_an_area_stays_within_it(
    who: Any, sample_db: Database, owner: psycopg.Connection
) -> None:
    half = areas.Area(shapely.box(600000, 1190000, 610000, 1200000), 9210, {"polygon": {}})
    make(sample_db, "area-admin", ("admin", "sawaco", None, half))
    # its own account is not its to change, since it cannot grant what has no area
    assert_problem(who("area-admin").ask("POST", "/accounts", {"name": "y", "agency": "sawaco"}), 403)
    target = make(sample_db, "area-target", ("editor", "sawaco", None, half))
    assert_problem(who("area-admin").ask("POST", "/accounts/area-target/grants", GRANT), 403)
    west, south, east, north = 106.70, 10.78, 106.71, 10.79

    def polygon(ring: list[list[float]]) -> dict[str, Any]:
        return {"polygon": {"type": "Polygon", "coordinates": [ring]}}

    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    inside = {**GRANT, "area": polygon(ring)}
    assert who("area-admin").ask("POST", "/accounts/area-target/grants", inside).status_code == 201
    far = {
        **GRANT,
        "area": {"polygon": {"type": "Polygon", "coordinates": [[[x - 0.2, y] for x, y in ring]]}},
    }
    assert_problem(who("area-admin").ask("POST", "/accounts/area-target/grants", far), 403)
    accounts.remove(owner, target)
    accounts.remove(owner, accounts.find(owner, "area-admin"))


def test_areas_are_wards_or_polygons_in_the_storage_crs(
    who: Any, sample_db: Database, owner: psycopg.Connection
) -> None:
    row = owner.execute(
        "SELECT commune_code, ST_AsBinary(geom) FROM layer.admin_ward WHERE commune_code IS NOT NULL LIMIT 1"
    ).fetchone()
    assert row is not None
    code, ward = row[0], shapely.from_wkb(row[1])
    target = make(sample_db, "warden", agency="sawaco")
    answer = who("boss").ask("POST", "/accounts/warden/grants", {**GRANT, "area": {"wards": [code]}})
    assert answer.status_code == 201, answer.text
    assert answer.json()["area"] == {"wards": [code]}

    def stored() -> shapely.Geometry:
        found = owner.execute(
            "SELECT ST_AsBinary(area), ST_SRID(area) FROM bandoso.account_grant WHERE account = %s", (target,)
        ).fetchone()
        assert found is not None
        assert found[1] == 9210
        return shapely.from_wkb(found[0])

    assert shapely.equals(stored(), ward)
    # the same grant with a polygon takes its place; the pinned transform, within a millimetre
    place = shapely.box(106.70, 10.76, 106.74, 10.79)
    polygon = {"polygon": json.loads(shapely.to_geojson(place))}
    answer = who("boss").ask("POST", "/accounts/warden/grants", {**GRANT, "area": polygon})
    assert answer.status_code == 201
    dense = shapely.segmentize(place, 0.0005)
    import numpy as np

    exact = transform_geometries(np.array([dense], dtype=object), 4326, 9210)[0]
    assert shapely.hausdorff_distance(stored(), exact) < 0.002
    assert len(who("boss").ask("GET", "/accounts/warden/grants").json()["grants"]) == 1
    for wrong in (
        {"wards": ["99999"]},
        {"wards": []},
        {"wards": ["a\0b"]},
        {},
        {"wards": [code], **polygon},
        {"polygon": {"type": "Point", "coordinates": [106.7, 10.7]}},
        {"polygon": {"type": "Polygon", "coordinates": [[[106.7, 10.7], [106.8, 10.7]]]}},
        {"polygon": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}},
        {
            "polygon": {
                "type": "Polygon",
                "coordinates": [[[600000, 1200000], [600001, 1200000], [600000, 1200001], [600000, 1200000]]],
            }
        },
        {"polygon": {"type": "Polygon", "coordinates": "x"}},
        {"polygon": {"type": "FeatureCollection", "features": []}},
        {"polygon": {"type": "GeometryCollection", "geometries": []}},
    ):
        assert_problem(who("boss").ask("POST", "/accounts/warden/grants", {**GRANT, "area": wrong}), 400)
    accounts.remove(owner, target)


def test_changing_an_account(who: Any, sample_db: Database, owner: psycopg.Connection) -> None:
    target = make(sample_db, "changing", ("viewer", "sawaco"), agency="sawaco")
    admin = who("water-admin")
    merge = {"Content-Type": "application/merge-patch+json"}
    assert admin.ask("PATCH", "/accounts/changing", {"disabled": True}, **merge).json()["disabled"] is True
    assert_problem(who("changing").ask("GET", "/me"), 401)
    answer = admin.ask("PATCH", "/accounts/changing", {"disabled": False, "password": True})
    secret = answer.json()["password_once"]
    assert_problem(who("changing").ask("GET", "/me"), 401)
    assert who("changing", secret).ask("GET", "/me").status_code == 200
    assert admin.ask("PATCH", "/accounts/changing", {"password": None}).json()["password"] is False
    assert_problem(who("changing", secret).ask("GET", "/me"), 401)
    assert (
        admin.ask("PATCH", "/accounts/changing", {"subject": "https://i abc"}).json()["subject"]
        == "https://i abc"
    )
    assert_problem(admin.ask("PATCH", "/accounts/water-steward", {"subject": "https://i abc"}), 409)
    assert_problem(admin.ask("PATCH", "/accounts/water-admin", {"password": True}), 409)
    assert_problem(admin.ask("PATCH", "/accounts/changing", {"agency": "evnhcmc"}), 403)
    assert_problem(admin.ask("PATCH", "/accounts/changing", {"agency": None}), 403)
    accounts.remove(owner, target)


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/accounts", {"name": "Ấ", "agency": "sawaco"}, None),
        ("/accounts", {"agency": "sawaco"}, "/name"),
        ("/accounts", {"name": "x", "nickname": "y"}, "/nickname"),
        ("/accounts", {"name": 5}, "/name"),
        ("/accounts", {"name": "x", "password": "short"}, None),
        ("/accounts", {"name": "x", "password": "aaaaaaaaaaaaaaa"}, None),
        ("/accounts", {"name": "longer-name", "password": "longer-name"}, None),
        ("/accounts", {"name": "x", "password": False}, "/password"),
        ("/accounts", {"name": "x", "grants": [{"role": "king", "agency": "city"}]}, "/grants/0/role"),
        ("/accounts", {"name": "x", "grants": [{**GRANT, "layer": "no_such"}]}, "/layer"),
        ("/accounts", [], ""),
        ("/accounts/editor/tokens", {"scopes": ["everything"]}, None),
        ("/accounts/editor/tokens", {"scopes": []}, None),
        ("/accounts/editor/tokens", {"days": 0}, None),
        ("/accounts/editor/tokens", {"days": 10**30}, None),
        ("/accounts/editor/tokens", {"days": "90"}, "/days"),
        ("/accounts/editor/tokens", {"name": "a\nb"}, None),
    ],
)
def test_mistakes_are_told(who: Any, path: str, body: Any, pointer: str | None) -> None:
    document = assert_problem(who("boss").ask("POST", path, body), 400)
    if pointer is not None:
        assert document["errors"][0]["pointer"] == pointer


def test_what_is_no_json_or_no_place(who: Any) -> None:
    boss = who("boss")
    assert_problem(boss.ask("POST", "/accounts", {}, **{"Content-Type": "text/plain"}), 415)
    assert_problem(boss.ask("POST", "/accounts", b"{"), 400, "invalid-json")
    assert_problem(boss.ask("POST", "/accounts", b'{"name": "x", "name": "y"}'), 400)
    assert_problem(boss.ask("POST", "/accounts", b"[" * 100_000), 400)
    assert_problem(boss.ask("GET", "/accounts?x=1"), 400)
    for path in ("/accounts/" + "x" * 500, "/accounts/a%00b", "/accounts/'", "/accounts/%E1%BA%A4"):
        answer = boss.ask("GET", path)
        assert answer.status_code in (400, 404)
    for path in (f"/accounts/editor/grants/{10**30}", f"/me/tokens/{10**30}", "/accounts/editor/grants/0"):
        assert_problem(boss.ask("DELETE", path), 404)


def test_grants_are_taken_away(who: Any, sample_db: Database, owner: psycopg.Connection) -> None:
    target = make(sample_db, "losing", ("editor", "sawaco"), ("viewer", "sawaco"), agency="sawaco")
    shown = who("water-steward").ask("GET", "/accounts/losing/grants").json()["grants"]
    gone = shown[0]["id"]
    assert who("water-steward").ask("DELETE", f"/accounts/losing/grants/{gone}").status_code == 204
    assert_problem(who("water-steward").ask("DELETE", f"/accounts/losing/grants/{gone}"), 404)
    assert [g["role"] for g in who("losing").ask("GET", "/me").json()["grants"]] == ["viewer"]
    # a grant of somebody else's account is not reached by another name
    other = who("boss").ask("GET", "/accounts/power-admin/grants").json()["grants"][0]["id"]
    assert_problem(who("water-steward").ask("DELETE", f"/accounts/losing/grants/{other}"), 404)
    accounts.remove(owner, target)


def test_ones_own_tokens(who: Any, running: Server, sample_db: Database, owner: psycopg.Connection) -> None:
    editor = who("editor")
    made = editor.ask(
        "POST", "/me/tokens", {"name": "my gis", "scopes": ["read", "edit:water_pipe"], "days": 7}
    )
    assert made.status_code == 201, made.text
    secret, number = made.json()["token"], made.json()["id"]
    assert made.headers["cache-control"] == "no-store"
    by_token = As(running, bearer(secret))
    assert by_token.ask("GET", "/me").json()["token"]["scopes"] == ["edit:water_pipe", "read"]
    listed = editor.ask("GET", "/me/tokens").json()["tokens"]
    assert [one["name"] for one in listed if one["id"] == number] == ["my gis"]
    assert secret not in editor.ask("GET", "/me/tokens").text
    # a token that leaks makes no other, and changes no password
    for method, path, body in (
        ("POST", "/me/tokens", {}),
        ("PUT", "/me/password", {"current": PASSWORD, "new": "a new password"}),
        ("GET", "/accounts", None),
    ):
        answer = by_token.ask(method, path, body)
        assert_problem(answer, 403, "insufficient-scope")
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    # one that manages makes none that may more than it
    account = accounts.find(owner, "editor")
    manager = As(running, bearer(token(sample_db, account, "manage", "edit:water_pipe")))
    assert_problem(manager.ask("POST", "/me/tokens", {"scopes": ["read"]}), 403)
    assert_problem(manager.ask("POST", "/me/tokens", {"scopes": ["edit"]}), 403)
    assert manager.ask("POST", "/me/tokens", {"scopes": ["edit:water_pipe"]}).status_code == 201
    # it may end itself, and no other
    assert_problem(by_token.ask("DELETE", f"/me/tokens/{number + 1}"), 403)
    assert by_token.ask("DELETE", f"/me/tokens/{number}").status_code == 204
    assert_problem(by_token.ask("GET", "/me"), 401)
    # another's token is not there
    foreign = accounts.make_token(owner, accounts.find(owner, "boss"), "x")[1]
    assert_problem(editor.ask("DELETE", f"/me/tokens/{foreign}"), 404)
    assert_problem(who("water-admin").ask("DELETE", f"/accounts/editor/tokens/{foreign}"), 404)


def test_a_token_of_an_admin_without_manage_manages_nothing_in_the_database_either(
    sample_db: Database, owner: psycopg.Connection
) -> None:
    boss = accounts.find(owner, "boss")
    _, number = accounts.make_token(owner, boss, "reads", ["read", "edit"])
    with psycopg.connect(sample_db.app_dsn) as app:
        app.execute("SET LOCAL ROLE bandoso_door")
        app.execute(
            "SELECT set_config('bandoso.account', %s, true), set_config('bandoso.token', %s, true)",
            (str(boss), str(number)),
        )
        assert app.execute("SELECT * FROM bandoso.accounts_managed()").fetchall() == []
        with pytest.raises(psycopg.Error) as refused:
            app.execute("SELECT bandoso.account_remove('editor')")
        assert refused.value.sqlstate == "BD403"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM bandoso.account",
        "SELECT * FROM bandoso.token",
        "SELECT * FROM bandoso.account_grant",
        "SELECT * FROM bandoso.login_failure",
        "SELECT bandoso.account_shown(1)",
        "SELECT bandoso.manages(1)",
        "INSERT INTO bandoso.account_grant (account, role, agency) VALUES (1, 'admin', 'city')",
    ],
)
@pytest.mark.parametrize("role", ["reader", "member", "editor", "checker", "jobs", "door"])
def test_no_role_that_serves_reaches_accounts_but_by_the_functions(
    sample_db: Database, role: str, query: str
) -> None:
    with psycopg.connect(sample_db.app_dsn) as app:
        app.execute(f"SET LOCAL ROLE bandoso_{role}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(query.encode())


def test_the_door_reads_no_layer(sample_db: Database) -> None:
    with psycopg.connect(sample_db.app_dsn) as app:
        app.execute("SET LOCAL ROLE bandoso_door")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("SELECT fid FROM layer.water_pipe")


@pytest.mark.parametrize("role", ["reader", "member", "editor", "checker", "jobs"])
def test_only_the_door_asks_for_logins(sample_db: Database, role: str) -> None:
    for query in (
        "SELECT bandoso.login('boss')",
        "SELECT bandoso.token_find(''::bytea)",
        "SELECT bandoso.account_own()",
        "SELECT bandoso.password_own('x')",
    ):
        with psycopg.connect(sample_db.app_dsn) as app:
            app.execute(f"SET LOCAL ROLE bandoso_{role}".encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(query.encode())


def test_ones_own_password(who: Any, sample_db: Database, owner: psycopg.Connection) -> None:
    target = make(sample_db, "changer", ("viewer", "sawaco"))
    new = "một hai ba bốn năm"
    me = who("changer")
    wrong = me.ask("PUT", "/me/password", {"current": "not this one", "new": new})
    assert_problem(wrong, 403, "wrong-password")
    assert_problem(me.ask("PUT", "/me/password", {"current": PASSWORD, "new": "short"}), 400, "weak-password")
    assert me.ask("PUT", "/me/password", {"current": PASSWORD, "new": new}).status_code == 204
    assert_problem(me.ask("GET", "/me"), 401)
    assert who("changer", new).ask("GET", "/me").status_code == 200
    accounts.remove(owner, target)


def test_the_last_admin_of_the_city_stays(who: Any, sample_db: Database, owner: psycopg.Connection) -> None:
    boss = who("boss")
    mine = boss.ask("GET", "/accounts/boss").json()["grants"][0]["id"]
    for method, path, body in (
        ("DELETE", "/accounts/boss", None),
        ("PATCH", "/accounts/boss", {"disabled": True}),
        ("DELETE", f"/accounts/boss/grants/{mine}", None),
    ):
        document = assert_problem(boss.ask(method, path, body), 409)
        assert "last admin" in document["detail"]
    account = accounts.find(owner, "boss")
    for work in (
        lambda: accounts.remove(owner, account),
        lambda: accounts.disable(owner, account),
        lambda: accounts.revoke(owner, account, "admin", "city"),
    ):
        with pytest.raises(UsageError, match="last admin"):
            work()
    # a limited or disabled one does not count
    make(sample_db, "limited", ("admin", "city", "water_pipe"))
    second = make(sample_db, "second", ("admin", "city"))
    accounts.disable(owner, second)
    assert_problem(boss.ask("DELETE", "/accounts/boss"), 409)
    accounts.disable(owner, second, False)
    # two who disable each other at the same time: one stays
    pairs = [(boss, "second"), (who("second"), "boss")]
    assert who("second").ask("GET", "/me").status_code == 200
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda p: p[0].ask("PATCH", f"/accounts/{p[1]}", {"disabled": True}), pairs))
    left = accounts.admins(owner)
    assert len(left) == 1, (done, left)
    owner.execute("UPDATE bandoso.account SET disabled = false")
    accounts.remove(owner, second)
    accounts.remove(owner, accounts.find(owner, "limited"))


def test_the_api_document_has_them(running: Server) -> None:
    document = running.get("/api?f=json").json()
    OpenAPIV30SpecValidator(document).validate()
    for path in (
        "/accounts",
        "/accounts/{accountName}",
        "/accounts/{accountName}/grants",
        "/me",
        "/me/tokens",
        "/me/password",
    ):
        assert path in document["paths"]
    assert {"basic", "bearer"} <= set(document["components"]["securitySchemes"])


@pytest.mark.timeout(600)
def test_no_question_of_an_admin_makes_the_server_fail(
    running: Server, sample_db: Database, owner: psycopg.Connection
) -> None:
    """schemathesis, logged in as an agency's admin by a token with a number that it will not guess."""
    owner.execute("ALTER TABLE bandoso.token ALTER COLUMN id RESTART WITH 123456789012345")
    secret = token(sample_db, make(sample_db, "fuzzer", ("admin", "viettel")), "read", "manage")
    schema = schemathesis.openapi.from_dict(running.get("/api?lang=en").json())
    schema.config.update(base_url=running.url)
    failures: list[str] = []
    statuses: Counter[int] = Counter()
    for result in schema.get_all_operations():
        operation = result.ok()
        if not operation.path.startswith(("/accounts", "/me")):
            continue

        def ask(case: schemathesis.Case) -> None:
            response = case.call(headers=bearer(secret))
            statuses[response.status_code] += 1
            if response.status_code >= 500:
                failures.append(f"{response.status_code} {response.request.method} {response.request.url}")

        for mode in schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE:
            test = hypothesis.given(operation.as_strategy(generation_mode=mode))(ask)
            bounded = hypothesis.settings(
                max_examples=10,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[hypothesis.Phase.generate],
                suppress_health_check=list(hypothesis.HealthCheck),
            )(test)
            with suppress(hypothesis.errors.Unsatisfiable):
                bounded()
    assert not failures, "\n".join(failures[:10])
    assert statuses[200] and statuses[400] and statuses[404], statuses
    assert not statuses[401], "the token stays good"


@pytest.mark.parametrize("name", BODIES)
def test_the_api_document_names_the_members_that_are_taken(name: str) -> None:
    told, form = schemas()[name], BODIES[name].model_fields
    assert set(told["properties"]) == set(form)
    assert set(told.get("required", ())) == {member for member, f in form.items() if f.is_required()}


# The first start and the command line.


def test_two_first_starts_make_one_admin(fresh_database: FreshDatabase) -> None:
    db = fresh_database("t_first_admin")

    def start(_: int) -> str | None:
        with psycopg.connect(db.owner_dsn, autocommit=True) as connection:
            return first_admin(connection)

    with ThreadPoolExecutor(6) as pool:
        made = [one for one in pool.map(start, range(6)) if one is not None]
    assert len(made) == 1
    with psycopg.connect(db.owner_dsn, autocommit=True) as connection:
        (one,) = accounts.listed(connection)
        assert one.name == "admin"
        assert [(g["role"], g["agency"], g["layer"]) for g in one.grants] == [("admin", "city", None)]
        assert made[0] not in json.dumps(one.as_json(), default=str)
        assert first_admin(connection) is None
        # somebody who wants no such account makes another and removes it; it does not come back
        boss = accounts.add_account(connection, "boss", PASSWORD)
        accounts.grant(connection, boss, "admin", "city")
        accounts.remove(connection, one.id)
        assert first_admin(connection) is None


def test_the_command_line(fresh_database: FreshDatabase, tmp_path: Path) -> None:
    db = fresh_database("t_user_command")

    def run(*arguments: str, code: int = 0, given: str | None = None) -> str:
        there = ["--dsn", db.owner_dsn, "--data-dir", str(tmp_path)]
        done = CliRunner().invoke(main, ["user", *arguments, *there], input=given)
        assert done.exit_code == code, done.output
        return done.stdout if code == 0 else done.stderr

    text = run("add", "lan", "--agency", "sawaco", "--role", "editor")
    assert "shown this once" in text
    made = json.loads(
        run(
            "add",
            "minh",
            "--agency",
            "sawaco",
            "--role",
            "editor",
            "--layer",
            "water_valve",
            "--layer",
            "water_pipe",
            "--password-stdin",
            "--json",
            given=PASSWORD + "\n",
        )
    )
    assert "password_once" not in made
    assert [g["layer"] for g in made["grants"]] == ["water_valve", "water_pipe"]
    secret = run("token", "lan", "--scope", "read").strip()
    assert len(secret.splitlines()) == 1
    assert secret.startswith("bnd_")
    place = tmp_path / "place.geojson"
    place.write_text(shapely.to_geojson(shapely.box(106.70, 10.76, 106.74, 10.79)))
    assert "in an area" in run("grant", "minh", "--agency", "thkt", "--role", "viewer", "--area", str(place))
    shown = json.loads(run("show", "lan", "--json"))
    assert shown["tokens"][0]["scopes"] == ["read"]
    assert "lan" in run("list")
    assert {one["name"] for one in json.loads(run("list", "--json"))} == {"lan", "minh"}
    assert "revoked" in run("revoke", "lan", "--token", str(shown["tokens"][0]["id"]))
    assert "taken away" in run("revoke", "minh", "--agency", "thkt")
    assert "disabled" in run("disable", "lan")
    assert "enabled" in run("enable", "lan")
    assert "shown this once" in run("password", "lan")
    assert "no more" in run("password", "lan", "--none")
    assert "removed" in run("remove", "lan")
    for wrong, sentence in (
        (("show", "lan"), "there is no account 'lan'"),
        (("add", "minh", "--agency", "sawaco", "--role", "viewer"), "there is an account with this name"),
        (("add", "A b", "--agency", "sawaco", "--role", "viewer"), "a name has"),
        (("add", "new", "--agency", "nobody", "--role", "viewer"), "there is no agency 'nobody'"),
        (("grant", "minh", "--agency", "sawaco", "--role", "viewer", "--layer", "nope"), "there is no layer"),
        (("grant", "minh", "--agency", "sawaco", "--role", "viewer", "--area-ward", "0"), "has no ward 0"),
        (("token", "minh", "--scope", "all"), "there is no scope 'all'"),
        (("token", "minh", "--days", "0"), "a token lasts"),
        (
            ("add", "hoa", "--agency", "city", "--role", "steward", "--subject", "x1"),
            "needs the provider's issuer",
        ),
        (("revoke", "minh"), "name either"),
    ):
        assert sentence in run(*wrong, code=2)
    with psycopg.connect(db.owner_dsn) as connection:
        names = connection.execute("SELECT name FROM bandoso.account").fetchall()
    assert names == [("minh",)], "a refused command leaves nothing"
