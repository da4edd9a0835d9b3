"""Role x agency x layer x verb x door: who is shown what, and may write what, through every address.

A real server. What is expected stands in tests/door_city.py (CALLERS), written down from the issue. All
that is stored are markers, and each answer is searched whole (unpacked, headers too) for those that its
caller must see nowhere: a leak shows through whatever side it comes.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import mapbox_vector_tile
import numpy as np
import psycopg
import pytest

from gis import crs
from gis.city import City
from gis.db.migrate import prepare
from gis.db.server import Database
from gis.settings import Settings
from tests.api.process import Server
from tests.door_city import (
    CALLERS,
    LAYERS,
    OWNERS,
    PLACES,
    Account,
    Caller,
    Rows,
    catalogue_with,
    enrol,
    fill,
    gone,
    marker,
    markers_in,
)
from tiles.grid import Tile, tile_at

KNOWN = [name for name, caller in CALLERS.items() if caller.known]
REFUSED = [name for name, caller in CALLERS.items() if not caller.known]
HIDING = ("trial_shut", "trial_mixed")
POINTS = {
    owner: tuple(float(v[0]) for v in crs.transform_xy([x], [y], 9210, 4326))
    for owner, (x, y) in PLACES.items()
}


# -- what is expected, from CALLERS alone


def rows_of(caller: Caller, layer: str) -> set[str]:
    """Owners whose rows of a layer the caller sees."""
    return set(caller.shut) if layer == "trial_shut" else set(OWNERS)


def secrets_of(caller: Caller, layer: str) -> set[str]:
    """Owners whose secrets he sees."""
    return {"trial_shut": set(caller.shut), "trial_mixed": set(caller.mixed)}.get(layer, set())


def is_there(caller: Caller, layer: str) -> bool:
    """Whether the collection is there for him."""
    return bool(rows_of(caller, layer))


def words(caller: Caller, layer: str, *kinds: str, owners: set[str] | None = None) -> set[str]:
    """The markers of these kinds that he sees."""
    found = set()
    for kind in kinds:
        seen = secrets_of(caller, layer) if kind == "sec" else rows_of(caller, layer)
        found |= {marker(layer, owner, kind) for owner in seen & (owners or set(OWNERS))}
    return found


def former(caller: Caller, layer: str) -> set[str]:
    """The markers of versions that were, viettel's all of them, that he may see."""
    seen = {"pub", "aid"} if "viettel" in rows_of(caller, layer) else set()
    seen |= {"sec"} if "viettel" in secrets_of(caller, layer) else set()
    return {gone(layer, "viettel", kind) for kind in seen}


def ever(caller: Caller) -> set[str]:
    """All that he may see anywhere."""
    return {w for layer in LAYERS for w in words(caller, layer, "pub", "aid", "sec") | former(caller, layer)}


# -- the city, served


@dataclass
class World:
    """A running server over the city of secrets."""

    server: Server
    db: Database
    rows: Rows
    accounts: dict[str, Account]
    before: datetime
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30))

    def ask(
        self, name: str, path: str, method: str = "GET", *, echo: set[str] | None = None, **options: Any
    ) -> httpx.Response:
        """A request of a caller. No answer may hold what he must not see, but for what he said himself."""
        account = self.accounts[name]
        headers = {**account.headers, **options.pop("headers", {})}
        response = self.client.request(method, self.server.url + path, headers=headers, **options)
        allowed = ever(account.caller) if account.caller.known else set()
        told = response.content + repr(sorted(response.headers.items())).encode()
        leaked = markers_in(told) - allowed - (echo or set())
        assert not leaked, f"{name} {method} {path}: {leaked}"
        assert response.status_code < 500, f"{name} {method} {path}: {response.text[:300]}"
        if account.secret:
            assert account.secret.encode() not in told
        return response

    def shown(self, name: str, path: str, **options: Any) -> set[str]:
        """The markers of an answer that has to be 200."""
        response = self.ask(name, path, **options)
        assert response.status_code in (200, 204), (
            f"{name} {path}: {response.status_code} {response.text[:300]}"
        )
        return markers_in(response.content)


@pytest.fixture(scope="module")
def world(
    module_db: Database, city: City, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("server")
    prepare(module_db.owner_dsn, city, catalogue_with(folder / "layers", city))
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        rows, before = fill(connection)
        add_findings(connection)
        accounts = enrol(connection)
    server = Server(replace(settings, workers=1, pool_size=4, log_level="info"), module_db, folder)
    server.start()
    made = World(server, module_db, rows, accounts, before)
    assert made.ask("vnpt_viewer", "/conformance").status_code == 200
    yield made
    made.client.close()
    assert server.stop() == 0, server.log.read_text(errors="replace")[-3000:]
    log = server.log.read_bytes()
    for account in accounts.values():
        if account.secret:
            assert account.secret.encode() not in log, "a secret is in the log"
    assert b'"account":"vnpt_viewer"' in log


FINDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "trial_shut": (("trial_shut", "vnpt"),),
    "trial_mixed": (("trial_mixed", "viettel"),),
    "both": (("trial_shut", "vnpt"), ("trial_shut", "viettel")),
}


def add_findings(connection: psycopg.Connection) -> None:
    """Findings about what is hidden; their words are the markers of whom they are about."""
    for name, about in FINDINGS.items():
        features = [{"layer": layer, "fid": 1, "asset_id": "x", "owner": owner} for layer, owner in about]
        connection.execute(
            "INSERT INTO layer.finding_restricted (asset_id, owner, rule, severity, features, message_vi,"
            " message_en, geom) VALUES (%s, 'city', 'GEN-01', 'E', %s, %s, %s,"
            " 'SRID=9210;POINT(603000 1192000)')",
            (name, json.dumps(features), *[" ".join(marker(*one, "sec") for one in about)] * 2),
        )
        mends = [{"layer": layer, "fid": 1, "asset_id": "x", "geometry": None, "moved_m": 0, "split": []}
                 for layer, _ in about]  # fmt: skip
        connection.execute(
            "INSERT INTO bandoso.finding_key (id, restricted, base, content, app, px, py, about, network,"
            " reject, words, mends) VALUES (%s, true, gen_random_uuid(), gen_random_uuid(), 'x', 0, 0, '{}',"
            " '', false, '{}', %s)",
            (name, json.dumps(mends)),
        )


def findings_of(caller: Caller) -> set[str]:
    """Ids of the findings above that he sees: those of which he sees every hidden feature."""
    seen = {("trial_shut", o) for o in caller.shut} | {("trial_mixed", o) for o in caller.mixed}
    return {name for name, about in FINDINGS.items() if set(about) <= seen} if caller.findings else set()


# -- features: every format, and one by one

EVERY = ("pub", "aid", "sec")


@pytest.mark.parametrize("output", ["json", "jsonfg", "csv", "fgb", "gpkg", "html"])
@pytest.mark.parametrize("name", KNOWN)
def test_items(world: World, name: str, output: str) -> None:
    caller = CALLERS[name]
    for layer in LAYERS:
        path = f"/collections/{layer}/items?f={output}&limit=50"
        if not is_there(caller, layer):
            assert world.ask(name, path).status_code == 404
        else:
            assert world.shown(name, path) == words(caller, layer, *EVERY)


@pytest.mark.parametrize("output", ["json", "jsonfg", "html"])
@pytest.mark.parametrize("name", KNOWN)
def test_one_feature(world: World, name: str, output: str) -> None:
    caller = CALLERS[name]
    for layer in LAYERS:
        for owner in OWNERS:
            path = f"/collections/{layer}/items/{world.rows.fids[layer, owner]}?f={output}"
            if owner not in rows_of(caller, layer):
                assert world.ask(name, path).status_code == 404
            else:
                assert world.shown(name, path) == words(caller, layer, *EVERY, owners={owner})


@pytest.mark.parametrize("name", [name for name in KNOWN if not is_there(CALLERS[name], "trial_shut")])
def test_what_is_hidden_is_absent(world: World, name: str) -> None:
    """The same words for a collection that is hidden and for one that is none, whatever is asked of it."""
    fid = world.rows.fids["trial_shut", "vnpt"]
    tile = f"tiles/WebMercatorQuad/{path_of(tile_for('vnpt', 15))}"
    for below in (
        "", "/schema", "/queryables", "/items", f"/items/{fid}", f"/items/{fid}/mend", "/tiles",
        "/tiles/WebMercatorQuad", tile, "/items?filter=secret='x'", f"/items/{fid}/history",
    ):  # fmt: skip
        for method in ("GET", "HEAD", "OPTIONS"):
            hidden = world.ask(name, f"/collections/trial_shut{below}", method)
            absent = world.ask(name, f"/collections/trial_none{below}", method)
            assert hidden.status_code == absent.status_code, (below, method)
            assert hidden.content == absent.content, (below, method)
    for path in ("/tiles/WebMercatorQuad?collections={}", "/tiles?collections=trial_open,{}"):
        hidden, absent = (world.ask(name, path.format(layer)) for layer in ("trial_shut", "trial_none"))
        assert (hidden.status_code, hidden.content) == (absent.status_code, absent.content)


# -- tiles


def tile_for(owner: str, z: int) -> Tile:
    return tile_at(*POINTS[owner], z)


def path_of(tile: Tile) -> str:
    return f"{tile.z}/{tile.y}/{tile.x}"


@pytest.mark.parametrize("name", KNOWN)
def test_tiles(world: World, name: str) -> None:
    caller = CALLERS[name]
    for layer in LAYERS:
        found: set[str] = set()
        for owner in OWNERS:
            path = f"/collections/{layer}/tiles/WebMercatorQuad/{path_of(tile_for(owner, 15))}"
            if not is_there(caller, layer):
                assert world.ask(name, path).status_code == 404
                continue
            found |= world.shown(name, path)
        # names and ids are in tiles, secrets in nobody's
        assert found == (words(caller, layer, "pub", "aid") if is_there(caller, layer) else set())


@pytest.mark.parametrize("name", KNOWN)
def test_composite_tiles(world: World, name: str) -> None:
    caller = CALLERS[name]
    for owner in OWNERS:
        path = f"/tiles/WebMercatorQuad/{path_of(tile_for(owner, 16))}"
        expected = {w for layer in LAYERS for w in words(caller, layer, "pub", "aid", owners={owner})}
        if owner == "vnpt":  # where the findings are, with their words
            expected |= {marker(*one, "sec") for found in findings_of(caller) for one in FINDINGS[found]}
        response = world.ask(name, path)
        assert markers_in(response.content) == expected
        decoded = mapbox_vector_tile.decode(response.content)
        assert {i for i in decoded if i.startswith("trial_")} == {
            layer for layer in LAYERS if owner in rows_of(caller, layer)
        }
        assert ("finding_restricted" in decoded) == bool(owner == "vnpt" and findings_of(caller))
        if is_there(caller, "trial_shut"):
            named = world.shown(name, f"{path}?collections=trial_shut,trial_open")
            assert named == {
                w for layer in ("trial_shut", "trial_open")
                for w in words(caller, layer, "pub", "aid", owners={owner})
            }  # fmt: skip


def test_tiles_of_the_same_moment_are_not_shared(world: World) -> None:
    """Requests that meet share one query; those of others never."""
    import concurrent.futures

    path = f"/collections/trial_shut/tiles/WebMercatorQuad/{path_of(tile_for('vnpt', 14))}"
    names = ["vnpt_viewer", "viettel_editor", "city_steward", "city_viewer", "anonymous"] * 8

    def ask(name: str) -> tuple[str, set[str]]:
        return name, markers_in(world.ask(name, path).content)

    with concurrent.futures.ThreadPoolExecutor(20) as threads:
        for name, found in threads.map(ask, names):
            seen = words(CALLERS[name], "trial_shut", "pub", "aid")
            assert found <= seen
            if "vnpt" in CALLERS[name].shut:
                assert words(CALLERS[name], "trial_shut", "pub", owners={"vnpt"}) <= found


# -- counts and extents


@pytest.mark.parametrize("name", KNOWN)
def test_counts_and_extents(world: World, name: str) -> None:
    caller = CALLERS[name]
    for layer in LAYERS:
        if not is_there(caller, layer):
            continue
        seen = rows_of(caller, layer)
        count = len(seen) + ("vnpt" in seen)  # the row that moved is vnpt's
        for query in ("limit=1", "limit=1&filter=fid>0", "limit=1&bbox=106,10,107,11", "limit=1&sortby=name"):
            page = world.ask(name, f"/collections/{layer}/items?{query}").json()
            assert page["numberMatched"] == count, query
        collection = world.ask(name, f"/collections/{layer}").json()
        assert collection["itemCount"] == count
        west, south, east, north = collection["extent"]["spatial"]["bbox"][0]
        for owner, (lon, lat) in POINTS.items():
            inside = west <= lon <= east and south <= lat <= north
            if owner in seen:
                assert inside
            # an extent of some rows tells nothing of the places of others
            elif len(seen) == 1:
                assert not inside
        for document in ("/collections", "/catalogue"):
            body = world.ask(name, document).json()
            layers = body.get("collections") or [one for s in body["sectors"] for one in s["layers"]]
            one = next(c for c in layers if c["id"] == layer)
            assert one.get("itemCount", one.get("count")) == count


# -- documents: which collections and attributes there are

DOCUMENTS = (
    "/collections", "/collections?f=html", "/catalogue", "/api", "/api?f=html", "/styles/city",
    "/styles/telecom", "/styles/city/legend", "/tiles/WebMercatorQuad", "/tiles/WebMercatorQuad?f=tilejson",
    "/processes/check",
)  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_documents_name_what_is_there(world: World, name: str) -> None:
    caller = CALLERS[name]
    for path in DOCUMENTS:
        response = world.ask(name, path)
        assert response.status_code == 200
        assert b"trial_open" in response.content, path
        assert (b"trial_shut" in response.content) == is_there(caller, "trial_shut"), path
        if path not in ("/api?f=html", "/styles/telecom"):
            assert (b"finding_restricted" in response.content) == caller.findings, path
        for language in ("vi", "en") if path != "/catalogue" else ():
            again = world.ask(name, f"{path}{'&' if '?' in path else '?'}lang={language}")
            assert (b"trial_shut" in again.content) == is_there(caller, "trial_shut"), path


@pytest.mark.parametrize(
    "name", ["anonymous", "vnpt_editor", "viettel_editor", "city_viewer", "sawaco_steward", "read_shut_token"]
)
def test_the_qgis_project(world: World, name: str) -> None:
    """Unpacked: its layers, and the attributes of their forms."""
    caller = CALLERS[name]
    response = world.ask(name, "/qgis-project")
    assert response.status_code == 200
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        content = b"".join(archive.read(one) for one in archive.namelist())
    assert not markers_in(content)
    assert b"trial_open" in content
    assert (b"trial_shut" in content) == is_there(caller, "trial_shut")
    assert (b"finding_restricted" in content) == caller.findings
    assert (b'"secret"' in content) == bool(caller.shut or caller.mixed)
    named = world.ask(name, "/qgis-project?layer=trial_shut").status_code
    assert named == (200 if is_there(caller, "trial_shut") else 404)


@pytest.mark.parametrize("name", KNOWN)
def test_attributes_that_are_there(world: World, name: str) -> None:
    caller = CALLERS[name]
    for layer in HIDING:
        if not is_there(caller, layer):
            continue
        shown = bool(secrets_of(caller, layer))
        for kind in ("schema", "queryables"):
            fields = world.ask(name, f"/collections/{layer}/{kind}").json()["properties"]
            assert ("secret" in fields) == shown
        paths = world.ask(name, "/api").json()["paths"]
        parameters = {p.get("name") for p in paths[f"/collections/{layer}/items"]["get"]["parameters"]}
        assert ("secret" in parameters) == shown
        catalogue = world.ask(name, "/catalogue").json()
        one = next(c for s in catalogue["sectors"] for c in s["layers"] if c["id"] == layer)
        assert ("secret" in {f["name"] for f in one["fields"]}) == shown
        for tail in (
            "items?properties=secret",
            "items?sortby=secret",
            "items?secret=x",
            "items?filter=secret IS NULL",
        ):
            assert world.ask(name, f"/collections/{layer}/{tail}").status_code == (200 if shown else 400)


# -- search, filters, orders


@pytest.mark.parametrize("name", KNOWN)
def test_search(world: World, name: str) -> None:
    caller = CALLERS[name]
    for layer in LAYERS:
        if not is_there(caller, layer):
            continue
        for owner in OWNERS:
            for kind in ("pub", "aid", "sec"):
                word = marker(layer, owner, kind)
                page = world.ask(name, f"/collections/{layer}/items?q={word}", echo={word}).json()
                found = kind != "sec" and owner in rows_of(caller, layer)
                assert page["numberMatched"] == len(page["features"]) == int(found)


@pytest.mark.parametrize("name", KNOWN)
def test_filters_tell_nothing_of_what_is_hidden(world: World, name: str) -> None:
    caller = CALLERS[name]
    for layer in HIDING:
        if not is_there(caller, layer) or not secrets_of(caller, layer):
            continue
        seen = secrets_of(caller, layer)
        total = len(rows_of(caller, layer)) + ("vnpt" in rows_of(caller, layer))

        def matched(condition: str, word: str, layer: str = layer) -> int:
            path = f"/collections/{layer}/items"
            page = world.ask(name, path, params={"filter": condition, "limit": "1"}, echo={word}).json()
            return int(page["numberMatched"])

        for owner in OWNERS:
            word = marker(layer, owner, "sec")
            hit = int(owner in seen)
            assert matched(f"secret = '{word}'", word) == hit
            assert matched(f"secret LIKE '{word[:-1]}%'", word) == hit
            assert matched(f"CASEI(secret) = CASEI('{word}')", word) == hit
            assert matched(f"secret >= '{word}' AND secret <= '{word}'", word) == hit
            assert matched(f"NOT (secret <> '{word}')", word) == hit
            assert matched(f"secret IN ('{word}')", word) == hit
        assert matched("secret IS NULL", "") == total - len(seen)
        assert matched("secret IS NOT NULL", "") == len(seen)
        for direction in ("", "-"):
            found: list[str] = []
            path: str | None = f"/collections/{layer}/items?sortby={direction}secret&limit=1"
            while path:  # by key, a page for each row
                page = world.ask(name, path).json()
                found += [f["properties"]["secret"] for f in page["features"]]
                links = [one["href"] for one in page["links"] if one["rel"] == "next"]
                path = links[0].removeprefix(world.server.url) if links else None
            known = sorted((marker(layer, o, "sec") for o in seen), reverse=bool(direction))
            hidden = [None] * (total - len(seen))
            assert found == (hidden + known if direction else known + hidden)


# -- who is refused


@pytest.mark.parametrize("name", REFUSED)
def test_who_is_refused_is_refused_everywhere(world: World, name: str) -> None:
    for path in (
        "/", "/collections", "/collections/trial_open/items", "/collections/trial_shut/items", "/catalogue",
        f"/tiles/WebMercatorQuad/{path_of(tile_for('vnpt', 15))}", "/api", "/changes", "/collections/none",
    ):  # fmt: skip
        response = world.ask(name, path)
        assert response.status_code == 401
        assert response.headers.get_list("www-authenticate")
        assert response.headers["cache-control"] == "no-store"


# -- caches


KEPT = (
    "/collections/trial_open/items",
    "/collections/trial_open/items?f=csv",
    "/collections/trial_open/items/{fid}",
    "/tiles/WebMercatorQuad/{tile}",
    "/tiles/WebMercatorQuad/0/0/0",
    "/tiles/WebMercatorQuad",
    "/collections",
    "/collections/trial_open/schema",
    "/collections/trial_none",
    "/api",
    "/catalogue",
    "/styles/city",
    "/styles",
    "/",
    "/changes",
    "/changesets",
)


@pytest.mark.parametrize("name", ["anonymous", "vnpt_viewer", "vnpt_admin", "sawaco_steward"])
def test_answers_are_kept_by_nobody_but_whom_they_are_for(world: World, name: str) -> None:
    fid, tile = world.rows.fids["trial_open", "vnpt"], path_of(tile_for("vnpt", 15))
    for path in (one.format(fid=fid, tile=tile) for one in KEPT):
        for headers in ({}, {"If-None-Match": "*"}, {"Accept-Encoding": "identity"}):
            response = world.ask(name, path, headers=headers)
            vary = {v.strip().lower() for v in response.headers.get("vary", "").split(",")}
            assert "authorization" in vary, path
            given = response.headers["cache-control"]
            if name != "anonymous":
                assert given in ("private, no-cache", "no-store"), path
            assert "public" not in given or name == "anonymous"
    glyphs = world.ask(name, "/static/face.css")
    assert glyphs.headers["cache-control"].startswith("public")


def test_etags_do_not_cross_callers(world: World) -> None:
    fid = world.rows.fids["trial_mixed", "viettel"]
    path = f"/collections/trial_mixed/items/{fid}"
    names = ("anonymous", "vnpt_viewer", "viettel_editor", "city_viewer", "city_steward", "both_editor")
    answers = {name: world.ask(name, path) for name in names}
    for one, answer in answers.items():
        for other, theirs in answers.items():
            asked = world.ask(one, path, headers={"If-None-Match": theirs.headers["etag"]})
            same = answer.content == theirs.content
            if asked.status_code == 304:
                assert same, f"{one} was told that what {other} has is right"
            if answer.headers["etag"] == theirs.headers["etag"]:
                assert same
    assert len({a.headers["etag"] for n, a in answers.items() if n in ("vnpt_viewer", "viettel_editor")}) == 2


# -- findings


@pytest.mark.parametrize("name", KNOWN)
def test_findings(world: World, name: str) -> None:
    caller = CALLERS[name]
    path = "/collections/finding_restricted/items"
    if not caller.findings:
        assert world.ask(name, path).status_code == 404
        return
    expected = findings_of(caller)
    page = world.ask(name, path).json()
    assert {f["properties"]["asset_id"] for f in page["features"]} == expected
    assert page["numberMatched"] == len(expected)
    for feature in page["features"]:
        mend = world.ask(name, f"{path}/{feature['id']}/mend")
        assert mend.status_code == 200
        assert {f["properties"]["layer"] for f in mend.json()["features"]} == {
            layer for layer, _ in FINDINGS[feature["properties"]["asset_id"]]
        }
    with psycopg.connect(world.db.owner_dsn) as owner:
        every = dict(owner.execute("SELECT asset_id, fid FROM layer.finding_restricted").fetchall())
    for one in set(every) - expected:
        assert world.ask(name, f"{path}/{every[one]}").status_code == 404
        assert world.ask(name, f"{path}/{every[one]}/mend").status_code == 404


# -- what was: as of a time, history, differences, changesets, the feed

VERSIONED = ("trial_open", "trial_shut", "trial_mixed")


def instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize("output", ["json", "csv", "gpkg", "fgb"])
@pytest.mark.parametrize("name", KNOWN)
def test_as_of_a_time(world: World, name: str, output: str) -> None:
    """Before it became vnpt's, the row that moved was viettel's; it is shown to whom viettel's were."""
    caller = CALLERS[name]
    for layer in VERSIONED:
        path = f"/collections/{layer}/items?f={output}&datetime={instant(world.before)}"
        if not is_there(caller, layer):
            assert world.ask(name, path).status_code == 404
            continue
        then = words(caller, layer, *EVERY) | former(caller, layer)
        assert world.shown(name, path) == then
        if output == "json":
            seen = rows_of(caller, layer)
            page = world.ask(name, f"{path}&limit=1").json()
            assert page["numberMatched"] == len(seen) + ("viettel" in seen)
            one = world.ask(
                name, f"/collections/{layer}/items/{world.rows.moved[layer]}?datetime={instant(world.before)}"
            )
            assert one.status_code == (200 if "viettel" in seen else 404)


@pytest.mark.parametrize("name", KNOWN)
def test_history(world: World, name: str) -> None:
    caller = CALLERS[name]
    for layer in VERSIONED:
        fid = world.rows.moved[layer]
        seen = rows_of(caller, layer)
        versions = {1: "viettel", 2: "vnpt"}
        known = {v for v, owner in versions.items() if owner in seen}
        response = world.ask(name, f"/collections/{layer}/items/{fid}/history")
        if not known:
            assert response.status_code == 404
        else:
            assert {f["version"] for f in response.json()["features"]} == known
            assert markers_in(response.content) == former(caller, layer)
        for version in versions:
            one = world.ask(name, f"/collections/{layer}/items/{fid}/history/{version}")
            assert one.status_code == (200 if version in known else 404)


@pytest.mark.parametrize("name", KNOWN)
def test_differences_between_two_times(world: World, name: str) -> None:
    caller = CALLERS[name]
    for layer in VERSIONED:
        path = f"/collections/{layer}/changes?from={instant(world.before)}"
        seen = rows_of(caller, layer)
        if not seen:
            assert world.ask(name, path).status_code == 404
            continue
        found = world.ask(name, path).json()["changes"]
        mine = [one for one in found if one["fid"] == world.rows.moved[layer]]
        if not seen & {"viettel", "vnpt"}:
            assert not mine
        else:
            assert bool(mine[0]["old"]) == ("viettel" in seen)
            assert bool(mine[0]["new"]) == ("vnpt" in seen)


def touched_by(world: World, caller: Caller) -> dict[int, set[tuple[str, int]]]:
    """Changeset -> what it touched that the caller may know of, out of the owner's own tables."""
    with psycopg.connect(world.db.owner_dsn) as owner:
        rows = owner.execute(
            "SELECT changeset, layer, fid, op, owner FROM bandoso.change WHERE layer LIKE 'trial%'"
        ).fetchall()
    found: dict[int, set[tuple[str, int]]] = {}
    for changeset, layer, fid, _op, whose in rows:
        known = {whose} | (
            {"viettel", "vnpt"} if fid == world.rows.moved[layer] and whose == "vnpt" else set()
        )
        if known & rows_of(caller, layer):
            found.setdefault(changeset, set()).add((layer, fid))
    return found


@pytest.mark.parametrize("detail", ["none", "ids", "full"])
@pytest.mark.parametrize("name", KNOWN)
def test_the_feed(world: World, name: str, detail: str) -> None:
    expected = touched_by(world, CALLERS[name])
    found: dict[int, set[tuple[str, int]]] = {}
    path: str | None = f"/changes?since=0&limit=7&features={detail}"
    pages = 0
    while path and pages < 100:
        document = world.ask(name, path).json()
        for one in document["changesets"]:
            assert any(layer.startswith("trial_") for layer in one["layers"])
            found[one["id"]] = {(f["layer"], f["fid"]) for f in one.get("features", [])}
            for layer, what in one["layers"].items():
                assert rows_of(CALLERS[name], layer), layer
                assert what["created"] + what["updated"] + what["deleted"] > 0
        links = [one["href"] for one in document["links"] if one["rel"] == "next"]
        path, pages = (links[0].removeprefix(world.server.url) if links else None), pages + 1
    assert set(found) == set(expected)
    if detail != "none":
        assert found == expected


@pytest.mark.parametrize("name", KNOWN)
def test_boxes_of_changes_tell_no_place_that_is_hidden(world: World, name: str) -> None:
    caller = CALLERS[name]
    document = world.ask(
        name, "/changes?since=0&limit=1000&features=none&layer=trial_open,trial_mixed"
    ).json()
    assert document["changesets"]
    if not is_there(caller, "trial_shut"):
        return
    document = world.ask(name, "/changes?since=0&limit=1000&features=none&layer=trial_shut").json()
    for one in document["changesets"]:
        west, south, east, north = one["layers"]["trial_shut"]["bbox"]
        for owner, (lon, lat) in POINTS.items():
            if owner not in caller.shut:
                assert not (west <= lon <= east and south <= lat <= north), (one["id"], owner)


@pytest.mark.parametrize("name", KNOWN)
def test_changesets(world: World, name: str) -> None:
    expected = touched_by(world, CALLERS[name])
    found = set()
    path: str | None = "/changesets?limit=10"
    while path:
        document = world.ask(name, path).json()
        found |= {one["id"] for one in document["changesets"]}
        links = [one["href"] for one in document["links"] if one["rel"] == "next"]
        path = links[0].removeprefix(world.server.url) if links else None
    assert found == set(expected)
    for changeset in touched_by(world, CALLERS["city_steward"]):
        for door in ("/changesets", "/changes"):
            one = world.ask(name, f"{door}/{changeset}")
            assert one.status_code == (200 if changeset in expected else 404)
            if one.status_code == 200:
                told = {(f["layer"], f["fid"]) for f in one.json()["features"]}
                assert told == expected[changeset]


# -- writing; last, since it changes what the tests above count


def feature(owner: str, layer: str, word: str, offset: float) -> dict[str, Any]:
    lon, lat = POINTS[owner]
    return {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [lon + offset, lat]},
        "properties": {"owner": owner, "asset_id": word},
    }


def may(caller: Caller, layer: str, owner: str) -> bool:
    return owner in caller.writes.get(layer, ()) and (not caller.area or owner == "vnpt")


def refusal(caller: Caller, layer: str) -> int:
    """The status for who may not."""
    return 404 if not is_there(caller, layer) else 401 if caller.name == "anonymous" else 403


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", KNOWN)
def test_writes_of_features(world: World, name: str, layer: str) -> None:
    caller = CALLERS[name]
    here = f"/collections/{layer}/items"
    for number, owner in enumerate(OWNERS):
        allowed = may(caller, layer, owner) and is_there(caller, layer)
        made = feature(owner, layer, f"w-{name}-{owner}", 0.00005 + 0.00001 * KNOWN.index(name))
        posted = world.ask(name, here, "POST", json=made, headers={"Content-Type": "application/geo+json"})
        if not allowed:
            assert posted.status_code == refusal(caller, layer), posted.text
        else:
            assert posted.status_code == 201, posted.text
        fid = world.rows.fids[layer, owner]
        hidden = owner not in rows_of(caller, layer)
        # who may change nothing of the layer is told so, whether the feature is there or not
        hidden = hidden and bool(caller.writes.get(layer))
        expected = 404 if hidden else 200 if allowed else refusal(caller, layer)
        patched = world.ask(
            name, f"{here}/{fid}", "PATCH", json={"properties": {"status": "in_service"}},
            headers={"Content-Type": "application/merge-patch+json"},
        )  # fmt: skip
        assert patched.status_code == expected, patched.text
        if not allowed:
            whole = {**feature(owner, layer, f"{name}{number}", 0.0)}
            put = world.ask(
                name, f"{here}/{fid}", "PUT", json=whole, headers={"Content-Type": "application/geo+json"}
            )
            assert put.status_code == expected, put.text
            assert world.ask(name, f"{here}/{fid}", "DELETE").status_code == expected
        else:
            mine = posted.headers["location"].removeprefix(world.server.url)
            assert world.ask(name, mine, "DELETE").status_code == 204
    options = world.ask(name, here, "OPTIONS")
    if is_there(caller, layer):
        assert ("POST" in options.headers["allow"]) == bool(caller.writes.get(layer))
        item = world.ask(name, f"{here}/999999999", "OPTIONS")
        assert ("PATCH" in item.headers["allow"]) == bool(caller.writes.get(layer))


@pytest.mark.parametrize("name", KNOWN)
def test_writes_of_changesets(world: World, name: str) -> None:
    """All or nothing: one change that is not allowed refuses what is."""
    caller = CALLERS[name]
    for layer in LAYERS:
        for owner in OWNERS:
            made = feature(owner, layer, f"c-{name}-{owner}", 0.0001 + 0.00001 * KNOWN.index(name))
            changes = [{"op": "create", "layer": layer, "feature": made}]
            if may(caller, "trial_open", "vnpt"):
                fine = feature("vnpt", "trial_open", f"c-{name}-{layer}-{owner}-fine", 0.0005)
                changes.append({"op": "create", "layer": "trial_open", "feature": fine})
            answer = world.ask(name, "/changesets?dry-run=true", "POST", json={"changes": changes})
            if may(caller, layer, owner) and is_there(caller, layer):
                assert answer.status_code in (200, 201), answer.text
            else:
                assert answer.status_code in (401, 403, 404, 422), answer.text
                assert answer.status_code == 401 or name != "anonymous"


@pytest.mark.parametrize("name", [*KNOWN, *REFUSED])
def test_no_row_was_changed_by_whom_it_is_not_for(world: World, name: str) -> None:
    """The markers of all owners are still there: no write above went where it must not."""
    del name
    with psycopg.connect(world.db.owner_dsn) as owner:
        for layer in LAYERS:
            got = owner.execute(f"SELECT owner, name FROM layer.{layer} WHERE name LIKE 'mk%'".encode())
            assert dict(got.fetchall()) == {o: marker(layer, o, "pub") for o in OWNERS}


# -- finding and asking

ASKING = [
    *("anonymous", "vnpt_viewer", "viettel_editor", "both_editor", "city_viewer", "city_steward"),
    *("sawaco_steward", "edit_token", "read_shut_token"),
]


def all_found(world: World, name: str, word: str) -> list[dict[str, Any]]:
    """The results for a word: a busy machine may leave some out, and says so."""
    for _ in range(20):
        found = world.ask(name, f"/search?q={word}").json()
        if found["complete"]:
            break
    results: list[dict[str, Any]] = found["results"]
    return results


@pytest.mark.parametrize("name", ASKING)
def test_finding_and_asking(world: World, name: str) -> None:
    caller = CALLERS[name]
    visible = [layer for layer in LAYERS if is_there(caller, layer)]
    for owner, (x, y) in PLACES.items():
        lon, lat = (float(v[0]) for v in crs.transform_xy(np.array([x]), np.array([y]), 9210, 4326))
        box = [lon - 1e-5, lat - 1e-5, lon + 1e-5, lat + 1e-5]
        found = world.shown(name, f"/identify?point={lon},{lat}&tolerance=1")
        expected = {w for layer in LAYERS for w in words(caller, layer, "pub", "aid", owners={owner})}
        assert expected <= found
        assert found <= expected | {marker(i, owner, "aid") for i in LAYERS}
        figures = world.ask(name, "/statistics", "POST", json={"bbox": box}).json()
        counted = {one["layer"] for one in figures["layers"]} & set(LAYERS)
        assert counted == {layer for layer in LAYERS if owner in rows_of(caller, layer)}
        for layer in ("trial_shut", "trial_mixed"):
            body = {"bbox": box, "layers": [layer], "format": "csv"}
            if layer in visible:
                shown = world.shown(name, "/export", method="POST", json=body)
                assert shown == words(caller, layer, "pub", "aid", "sec", owners={owner})
            else:
                assert world.ask(name, "/export", "POST", json=body).status_code == 404
        for layer, kind in (("trial_shut", "pub"), ("trial_shut", "aid"), ("trial_mixed", "sec")):
            result = all_found(world, name, marker(layer, owner, kind))
            seen = kind != "sec" and owner in rows_of(caller, layer)
            assert any(hit["layer"] == layer for hit in result) == seen
        world.ask(name, f"/section?line={box[0]},{lat},{box[2]},{lat}&width=4")
