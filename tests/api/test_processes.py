"""OGC API Processes over HTTP: documents, execution in all its forms, what is refused, what strangers see."""

from __future__ import annotations

import gzip
import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import psycopg
import pytest

from gis.city import City
from gis.db.server import Database
from gis.identity import accounts
from gis.jobs.results import Fenced, ResultWriter
from gis.settings import Settings
from layers.registry import Catalogue
from tests.api.jobs_client import ASYNC, BOX, EXECUTION, SMALL, Client, secret_of
from tests.api.problem import inside_shows
from tests.api.process import Server
from tests.api.sample import load_layer

REL = "http://www.opengis.net/def/rel/ogc/1.0"
TYPE = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0"
INVALID = "InvalidParameterValue"
HIDDEN = "water_meter"


@pytest.fixture(scope="module")
def server_(
    sample_db: Database,
    settings: Settings,
    catalogue: Catalogue,
    city: City,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """A server whose data has something to find: a vertex twice in two pipes, and in a restricted layer."""
    with psycopg.connect(sample_db.owner_dsn, autocommit=True) as owner:
        load_layer(owner, catalogue.layers[HIDDEN], city, 12)
        for number in (5, 6):
            owner.execute(
                "UPDATE layer.water_pipe SET geom = ST_AddPoint(geom, ST_PointN(geom, 2), 2)"
                " WHERE asset_id = %s",
                (f"water_pipe-s{number}",),
            )
        # one meter twice: GEN-09
        owner.execute(
            f"UPDATE layer.{HIDDEN} SET (geom, meter_no, address) = (SELECT geom, meter_no, address"
            f" FROM layer.{HIDDEN} WHERE asset_id = %s) WHERE asset_id = %s",
            (f"{HIDDEN}-s5", f"{HIDDEN}-s6"),
        )
    process = Server(
        replace(settings, workers=2, pool_size=4), sample_db, tmp_path_factory.mktemp("processes")
    )
    process.start()
    yield process
    assert process.stop() == 0, process.log.read_text(errors="replace")[-3000:]


@pytest.fixture(scope="module")
def anyone(server_: Server) -> Iterator[Client]:
    with Client(server_) as client:
        yield client


@pytest.fixture(scope="module")
def steward(server_: Server) -> Iterator[Client]:
    with Client(server_, steward=True) as client:
        yield client


def timeless(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Findings without the moments of their run."""
    return [{k: v for k, v in one.items() if k not in ("first_seen", "last_seen")} for one in findings]


def assert_refused(answer: httpx.Response, status: int, kind: str | None, code: str | None = None) -> Any:
    """A problem document of the standard's type."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    assert document["detail"]
    if kind is not None:
        assert document["type"] == kind
    if code is not None:
        assert document["code"] == code
    assert not inside_shows(answer.text), answer.text
    return document


# --- documents ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["vi", "en"])
def test_the_process_is_described(anyone: Client, catalogue: Catalogue, language: str) -> None:
    listed = anyone.http.get("/processes", params={"lang": language}).json()
    assert [one["id"] for one in listed["processes"]] == ["check"]
    document = anyone.http.get("/processes/check", params={"lang": language}).json()
    assert {k: v for k, v in document.items() if k not in ("inputs", "outputs")} == listed["processes"][0]
    assert document["title"] == ("Kiểm tra dữ liệu" if language == "vi" else "Check data")
    assert set(document["jobControlOptions"]) == {"sync-execute", "async-execute", "dismiss"}
    assert set(document["inputs"]) == {"layers", "rules", "bbox", "bbox-crs", "sheet", "store"}
    assert set(document["outputs"]) == {"report"}
    for one in [*document["inputs"].values(), *document["outputs"].values()]:
        assert one["title"]
        assert one["schema"]
    assert document["inputs"]["layers"]["schema"]["enum"] == [layer.id for layer in catalogue.public()]
    assert "GEN-05" in document["inputs"]["rules"]["schema"]["enum"]
    execute = [one for one in document["links"] if one["rel"] == f"{REL}/execute"]
    assert [one["href"] for one in execute] == [f"{anyone.server.url}{EXECUTION}"]


def test_it_is_found_from_the_landing_page(anyone: Client) -> None:
    links = {one["rel"]: one["href"] for one in anyone.http.get("/").json()["links"]}
    assert links[f"{REL}/processes"] == f"{anyone.server.url}/processes"
    assert links[f"{REL}/job-list"] == f"{anyone.server.url}/jobs"
    classes = anyone.http.get("/conformance").json()["conformsTo"]
    spec = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf"
    ours = {one for one in classes if one.startswith(spec)}
    names = ("core", "ogc-process-description", "json", "oas30", "job-list", "dismiss")
    assert ours == {f"{spec}/{name}" for name in names}


def test_pages_in_a_browser(anyone: Client, steward: Client) -> None:
    job = steward.start(SMALL)
    steward.wait(job)
    for path in ("/processes", "/processes/check", "/jobs", f"/jobs/{job}"):
        answer = steward.http.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 200, path
        assert answer.headers["content-type"].startswith("text/html")
        assert "script" not in answer.headers["content-security-policy"].replace("script-src 'none'", "")
        assert "<h1>" in answer.text
    assert job in steward.http.get("/jobs", headers={"Accept": "text/html"}).text
    assert job not in anyone.http.get("/jobs", headers={"Accept": "text/html"}).text


# --- execution ---------------------------------------------------------------------------------------


def test_a_small_area_is_answered_at_once(anyone: Client, steward: Client) -> None:
    answer = anyone.execute(SMALL)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    report = answer.json()
    assert {one["features"][0]["asset_id"] for one in report["findings"]} == {
        "water_pipe-s5",
        "water_pipe-s6",
    }
    assert {one["rule"] for one in report["findings"]} == {"GEN-05"}
    assert report["summary"]["errors"] + report["summary"]["warnings"] == 2
    for one in report["findings"]:
        assert one["geometry"]["type"]
        assert set(one["message"]) == {"vi", "en"}
    assert steward.http.get("/jobs", params={"limit": 1000}).json()["jobs"] == [] or all(
        one["status"] != "running" for one in steward.http.get("/jobs").json()["jobs"]
    )


def test_a_synchronous_run_leaves_no_job(anyone: Client, steward: Client) -> None:
    before = {one["jobID"] for one in steward.http.get("/jobs", params={"limit": 1000}).json()["jobs"]}
    assert anyone.execute(SMALL).status_code == 200
    after = {one["jobID"] for one in steward.http.get("/jobs", params={"limit": 1000}).json()["jobs"]}
    assert after <= before


def test_geojson_document_and_packed_results_are_the_same_findings(anyone: Client) -> None:
    plain = anyone.execute(SMALL).json()
    geo = {"report": {"format": {"mediaType": "application/geo+json"}}}
    answer = anyone.execute(SMALL, outputs=geo)
    assert answer.headers["content-type"] == "application/geo+json"
    collection = answer.json()
    assert collection["type"] == "FeatureCollection"
    assert [one["id"] for one in collection["features"]] == [one["id"] for one in plain["findings"]]
    assert [one["geometry"] for one in collection["features"]] == [
        one["geometry"] for one in plain["findings"]
    ]
    document = anyone.execute(SMALL, response="document").json()
    assert document["report"]["mediaType"] == "application/json"
    assert timeless(document["report"]["value"]["findings"]) == timeless(plain["findings"])
    job = anyone.start(SMALL)
    anyone.wait(job)
    with httpx.stream(
        "GET", f"{anyone.server.url}/jobs/{job}/results", headers={"Accept-Encoding": "gzip"}
    ) as raw:
        assert raw.headers["content-encoding"] == "gzip"
        packed = b"".join(raw.iter_raw())
    unpacked = httpx.get(f"{anyone.server.url}/jobs/{job}/results", headers={"Accept-Encoding": "identity"})
    assert int(unpacked.headers["content-length"]) == len(unpacked.content)
    assert gzip.decompress(packed) == unpacked.content
    assert timeless(unpacked.json()["findings"]) == timeless(plain["findings"])


def test_an_asynchronous_run(anyone: Client) -> None:
    answer = anyone.execute(SMALL, headers=ASYNC)
    assert answer.status_code == 201
    assert answer.headers["preference-applied"] == "respond-async"
    accepted = answer.json()
    assert accepted["type"] == "process"
    assert accepted["processID"] == "check"
    assert accepted["status"] in ("accepted", "running", "successful")
    job = accepted["jobID"]
    done = anyone.wait(job)
    assert done["status"] == "successful"
    assert done["progress"] == 100
    assert done["created"] <= done["started"] <= done["finished"]
    assert "features checked" in done["message"]
    results = next(one for one in done["links"] if one["rel"] == f"{REL}/results")
    assert len(httpx.get(results["href"]).json()["findings"]) == 2
    dismissed = anyone.http.delete(f"/jobs/{job}")
    assert dismissed.status_code == 200
    assert dismissed.json()["status"] == "dismissed"
    assert_refused(anyone.http.get(f"/jobs/{job}/results"), 410, f"{TYPE}/no-such-job")


def test_a_sheet_instead_of_a_box(steward: Client) -> None:
    answer = steward.execute({**{k: v for k, v in SMALL.items() if k != "bbox"}, "sheet": "C-48-34-(119-a)"})
    assert answer.status_code in (200, 201), answer.text


def test_the_same_key_is_the_same_job(anyone: Client) -> None:
    headers = {**ASYNC, "Idempotency-Key": "a-key-of-mine"}
    first = anyone.execute(SMALL, headers=headers).json()["jobID"]
    again = anyone.execute(SMALL, headers=headers)
    assert again.json()["jobID"] == first
    other = anyone.execute({**SMALL, "rules": []}, headers=headers)
    assert_refused(other, 409, None, "idempotency-key")


# --- mistakes ----------------------------------------------------------------------------------------

BAD: list[tuple[Any, str]] = [
    ([], ""),
    ("text", ""),
    ({"input": {}}, "/input"),
    ({"inputs": []}, "/inputs"),
    ({"inputs": {"layer": "x"}}, "/inputs/layer"),
    ({"inputs": {"layers": "no_such"}}, "/inputs/layers/0"),
    ({"inputs": {"layers": [HIDDEN]}}, "/inputs/layers/0"),
    ({"inputs": {"layers": [1]}}, "/inputs/layers/0"),
    ({"inputs": {"layers": {"href": "http://127.0.0.1:1/x"}}}, "/inputs/layers"),
    ({"inputs": {"layers": ["water_pipe'; DROP TABLE x;--\u0000"]}}, "/inputs/layers/0"),
    ({"inputs": {"layers": ["water_pipe"] * 501}}, "/inputs/layers"),
    ({"inputs": {"rules": ["GEN-99"]}}, "/inputs/rules/0"),
    ({"inputs": {"bbox": [1, 2, 3]}}, "/inputs/bbox"),
    ({"inputs": {"bbox": [1, 2, 3, "4"]}}, "/inputs/bbox"),
    ({"inputs": {"bbox": [1, 2, 3, None]}}, "/inputs/bbox"),
    ({"inputs": {"bbox": [True, 2, 3, 4]}}, "/inputs/bbox"),
    ({"inputs": {"bbox": [106.7, 10.7, 106.6, 10.8]}}, "/inputs/bbox"),
    ({"inputs": {"bbox": [106.7, 10.7, 106.7, 10.7]}}, "/inputs/bbox"),
    ({"inputs": {"bbox": [106.7, 10.7, 106.8, 1e300]}}, "/inputs/bbox"),
    ({"inputs": {"bbox": [106.7, 10.7, 106.8, 10**18]}}, "/inputs/bbox"),
    ({"inputs": {"bbox": [106.7, 95, 106.8, 96]}}, "/inputs/bbox"),
    ({"inputs": {"bbox": [0, 0, 1, 1]}}, "/inputs/bbox"),
    ({"inputs": {"bbox": {"bbox": [1, 2, 3, 4], "crs": "EPSG:1"}}}, "/inputs/bbox"),
    ({"inputs": {"bbox": {"bbox": [1, 2, 3, 4], "crs": 5}}}, "/inputs/bbox"),
    ({"inputs": {"bbox": {"box": []}}}, "/inputs/bbox"),
    ({"inputs": {"bbox": [1, 2, 3, 4], "bbox-crs": "\u202e"}}, "/inputs/bbox"),
    ({"inputs": {"bbox-crs": "http://www.opengis.net/def/crs/OGC/1.3/CRS84"}}, "/inputs/bbox-crs"),
    ({"inputs": {"sheet": "no sheet"}}, "/inputs/sheet"),
    ({"inputs": {"sheet": 7}}, "/inputs/sheet"),
    ({"inputs": {"sheet": "C-48-34-(119-a)", "bbox": BOX}}, "/inputs/sheet"),
    ({"inputs": {"store": "yes"}}, "/inputs/store"),
    ({"inputs": {"store": 1}}, "/inputs/store"),
    ({"inputs": {}, "outputs": {"map": {}}}, "/outputs/map"),
    (
        {"inputs": {}, "outputs": {"report": {"format": {"mediaType": "text/plain"}}}},
        "/outputs/report/format/mediaType",
    ),
    (
        {"inputs": {}, "outputs": {"report": {"transmissionMode": "reference"}}},
        "/outputs/report/transmissionMode",
    ),
    ({"inputs": {}, "response": "all"}, "/response"),
    ({"inputs": {}, "subscriber": {"successUri": "http://127.0.0.1:1/"}}, "/subscriber"),
]


@pytest.mark.parametrize(("body", "pointer"), BAD, ids=[str(body)[:60] for body, _ in BAD])
def test_mistakes_are_told(anyone: Client, body: Any, pointer: str) -> None:
    document = assert_refused(anyone.http.post(EXECUTION, json=body), 400, INVALID)
    assert document["errors"][0]["pointer"] == pointer
    assert "127.0.0.1:1" not in str(document)


NO_JSON = {
    "empty": b"",
    "open": b"{",
    "brackets": b"[" * 100_000,
    "nan": b'{"inputs": {"bbox": [NaN, 1, 2, 3]}}',
    "infinite": b'{"inputs": {"bbox": [1e999, 1, 2, 3]}}',
    "no utf-8": b"\xff\xfe",
    "deep": b'{"a":' * 70 + b"1" + b"}" * 70,
    "twice": b'{"inputs": {}, "inputs": {"bbox": [106.7, 10.7, 106.71, 10.71]}}',
    "twice, escaped": b'{"inputs": {"bbox": [106.7, 10.7, 106.71, 10.71], "rules": [], "rul\\u0065s": []}}',
    "large": b" " * 1_000_001,
}


@pytest.mark.parametrize("raw", NO_JSON.values(), ids=NO_JSON)
def test_bodies_that_are_no_json(anyone: Client, raw: bytes) -> None:
    answer = anyone.http.post(EXECUTION, content=raw, headers={"Content-Type": "application/json"})
    assert_refused(answer, 400, INVALID)


def test_other_mistakes(anyone: Client) -> None:
    http = anyone.http
    assert_refused(http.post(EXECUTION, data={"a": "b"}), 415, None, "media-type")
    assert_refused(http.post(EXECUTION, json={}, params={"x": "1"}), 400, None, "unknown-parameter")
    assert_refused(http.post(EXECUTION, json={}, params={"f": "html"}), 400, INVALID)
    assert_refused(http.post("/processes/nope/execution", json={}), 404, f"{TYPE}/no-such-process")
    assert_refused(http.get("/processes/nope"), 404, f"{TYPE}/no-such-process")
    assert_refused(http.get(EXECUTION), 405, None)
    assert_refused(http.post(EXECUTION, content=b"x" * 10_000_001), 413, None)
    for job in ("x", "0" * 32, "0" * 31 + "A", "%00", "0" * 5000, "..%2f"):
        for path in (f"/jobs/{job}", f"/jobs/{job}/results"):
            assert http.get(path).status_code in (400, 404), path
    assert_refused(http.delete(f"/jobs/{'0' * 32}"), 404, f"{TYPE}/no-such-job")
    key = http.post(EXECUTION, json={"inputs": SMALL}, headers={"Idempotency-Key": "k" * 256})
    assert_refused(key, 400, INVALID, "idempotency-key")
    allowed = httpx.options(f"{anyone.server.url}/jobs/{'0' * 32}").headers["allow"]
    assert {"GET", "DELETE"} <= {one.strip() for one in allowed.split(",")}


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=x", "limit=1&limit=2", "offset=-1", "status=done", "type=x", "minDuration=nan",
     "maxDuration=-1", "datetime=yesterday", "limit=99999999999"],
)  # fmt: skip
def test_wrong_parameters_of_the_list(steward: Client, query: str) -> None:
    assert_refused(steward.http.get(f"/jobs?{query}"), 400, None)


# --- rights ------------------------------------------------------------------------------------------


def test_what_only_stewards_may_do(anyone: Client, steward: Client) -> None:
    assert_refused(anyone.execute({**SMALL, "store": True}), 403, None, "steward-only")
    whole = {k: v for k, v in SMALL.items() if k != "bbox"}
    assert_refused(anyone.execute(whole), 403, None, "area-required")
    large = {**whole, "bbox": [106.6, 10.7, 106.8, 10.9]}
    assert_refused(anyone.execute(large), 403, None, "area-too-large")
    assert_refused(anyone.execute({**whole, "sheet": "C-48-34"}), 403, None, "area-too-large")
    answer = steward.execute(whole)
    assert answer.status_code == 201, "the whole city is not waited for"
    assert "preference-applied" not in answer.headers
    assert steward.wait(answer.json()["jobID"])["status"] == "successful"


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer", "Basic c3Rld2FyZDp4", "Bearer é"])
def test_a_wrong_secret_is_not_a_stranger(anyone: Client, header: str) -> None:
    given = {"Authorization": header.encode("latin-1")}
    for ask in (
        lambda: httpx.get(f"{anyone.server.url}/jobs", headers=given),
        lambda: httpx.post(anyone.server.url + EXECUTION, json={"inputs": SMALL}, headers=given),
    ):
        answer = ask()
        assert_refused(answer, 401, None, "wrong-secret")
        assert 'Bearer realm="bandoso", error="invalid_token"' in answer.headers["www-authenticate"]


def test_a_stewards_job_is_absent_for_others(anyone: Client, steward: Client) -> None:
    job = steward.start(SMALL)
    steward.wait(job)
    for path in (f"/jobs/{job}", f"/jobs/{job}/results"):
        assert_refused(anyone.http.get(path), 404, f"{TYPE}/no-such-job")
    assert_refused(anyone.http.delete(f"/jobs/{job}"), 404, f"{TYPE}/no-such-job")
    assert steward.http.get(f"/jobs/{job}/results").status_code == 200
    assert anyone.http.get("/jobs").json()["jobs"] == []
    listed = steward.http.get("/jobs", params={"status": "successful", "processID": "check", "limit": 1000})
    assert job in {one["jobID"] for one in listed.json()["jobs"]}
    assert steward.http.get("/jobs", params={"processID": "other"}).json()["jobs"] == []
    assert steward.http.get("/jobs", params={"minDuration": "9000"}).json()["jobs"] == []
    assert steward.http.get("/jobs", params={"datetime": "../2020-01-01"}).json()["jobs"] == []


def test_the_list_has_pages(steward: Client) -> None:
    for _ in range(3):
        steward.wait(steward.start(SMALL))
    seen: list[str] = []
    url = f"{steward.server.url}/jobs?limit=2"
    while url:
        page = steward.http.get(url).json()
        assert len(page["jobs"]) <= 2
        seen += [one["jobID"] for one in page["jobs"]]
        url = next((one["href"] for one in page["links"] if one["rel"] == "next"), "")
    assert len(seen) == len(set(seen)) >= 3


def test_restricted_layers_show_nowhere_to_strangers(anyone: Client, steward: Client) -> None:
    everything = {"bbox": SMALL["bbox"]}
    with_secret = steward.execute(everything)
    assert with_secret.status_code == 200, with_secret.text
    assert HIDDEN in with_secret.text, "the steward sees the finding that is hidden from others"
    for answer in (anyone.execute(everything), anyone.http.get("/processes/check"), anyone.http.get("/api")):
        assert answer.status_code == 200
        assert HIDDEN not in answer.text
    report = anyone.execute(everything).json()
    by_rule = sum(one["E"] + one["W"] + one["I"] for one in report["summary"]["rules"])
    assert by_rule == len(report["findings"]), "what is counted is what is shown"


def test_a_steward_may_name_restricted_layers(anyone: Client, steward: Client) -> None:
    asked = {**SMALL, "layers": [HIDDEN], "rules": ["GEN-09"]}
    answer = steward.execute(asked)
    assert answer.status_code == 200, answer.text
    assert {one["layers"][0] for one in answer.json()["findings"]} == {HIDDEN}
    # for others it is as absent as one that there never was
    never = anyone.execute({**SMALL, "layers": ["water_moter"]})
    assert assert_refused(anyone.execute(asked), 400, INVALID) == assert_refused(never, 400, INVALID)


def test_an_agencys_steward_may_have_his_layers_checked_and_no_others(
    anyone: Client, steward: Client, server_: Server
) -> None:
    own = {"Authorization": f"Bearer {secret_of(server_, 'water', 'sawaco')}"}
    whole = {"layers": ["water_pipe"], "rules": ["GEN-05"], "store": True}
    answer = anyone.execute(whole, headers={**ASYNC, **own})
    assert answer.status_code == 201, answer.text
    job = answer.json()["jobID"]
    assert steward.wait(job)["status"] == "successful"
    assert anyone.http.get(f"/jobs/{job}", headers=own).status_code == 200
    assert [one["jobID"] for one in anyone.http.get("/jobs", headers=own).json()["jobs"]] == [job]
    for foreign in (
        {**whole, "layers": ["power_line"]},
        {**whole, "layers": ["water_pipe", "power_line"]},
        {"store": True},
    ):
        assert_refused(anyone.execute(foreign, headers=own), 403, None, "steward-only")
    # another agency's steward, and an editor of the same, know nothing of the job
    for name, agency, role in (("power", "evnhcmc", "steward"), ("water-editor", "sawaco", "editor")):
        other = {"Authorization": f"Bearer {secret_of(server_, name, agency, role)}"}
        assert_refused(anyone.http.get(f"/jobs/{job}", headers=other), 404, None, "no-such-job")
        assert anyone.http.get("/jobs", headers=other).json()["jobs"] == []
        assert_refused(anyone.execute(whole, headers=other), 403, None, "steward-only")


def test_what_an_agencys_steward_is_told_of_restricted_layers_is_nothing(
    anyone: Client, steward: Client, server_: Server
) -> None:
    """HIDDEN is a layer of the water sector, so its steward may name it; features may be another agency's."""
    own = {"Authorization": f"Bearer {secret_of(server_, 'water', 'sawaco')}"}
    asked = {"layers": [HIDDEN], "rules": ["GEN-09"], "bbox": SMALL["bbox"]}
    assert steward.execute(asked).json()["findings"]
    answer = anyone.execute(asked, headers=own)
    assert answer.status_code == 200, answer.text
    assert answer.json()["findings"] == []


def test_a_token_that_only_reads_stores_nothing(anyone: Client, server_: Server) -> None:
    with psycopg.connect(server_.db.owner_dsn, autocommit=True) as connection:
        account = accounts.add_account(connection, "reading-steward")
        accounts.grant(connection, account, "steward", "city")
        secret, _ = accounts.make_token(connection, account, "tests", ["read"])
    answer = anyone.execute({**SMALL, "store": True}, headers={"Authorization": f"Bearer {secret}"})
    assert_refused(answer, 403, None, "insufficient-scope")


def test_large_results_come_in_parts_and_only_from_the_run_that_has_the_job(
    anyone: Client, sample_db: Database
) -> None:
    job, late = "1" * 32, "2" * 32
    body = b"[" + b",".join(b'"%s"' % secrets.token_hex(500).encode() for _ in range(4000)) + b"]"
    with psycopg.connect(sample_db.owner_dsn) as owner:
        for one in (job, late):
            owner.execute(
                "INSERT INTO bandoso.job"
                " (id, process, request, steward, small, keep_seconds, status, attempts)"
                " VALUES (%s, 'check', '{}', false, true, 60, 'running', 2)",
                (one,),
            )
        owner.execute("UPDATE bandoso.job SET heartbeat = clock_timestamp() WHERE status = 'running'")
        owner.commit()
        writer = ResultWriter(owner, job, 2)
        for start in range(0, len(body), 70_000):
            writer.write(body[start : start + 70_000])
        writer.finish("application/json", {"vi": "Xong.", "en": "Done."})
        former = ResultWriter(owner, late, 1)
        former.write(body)
        with pytest.raises(Fenced):
            former.finish("application/json", {"vi": "Xong.", "en": "Done."})
        with pytest.raises(OverflowError):
            ResultWriter(owner, late, 2, most_bytes=1000).write(body)
        owner.rollback()
        parts = owner.execute("SELECT job, count(*) FROM bandoso.job_result GROUP BY job").fetchall()
        assert dict(parts)[job] > 5
        assert late not in dict(parts)
        owner.execute("DELETE FROM bandoso.job WHERE id = %s", (late,))
    for encoding in ("identity", "gzip"):
        answer = httpx.get(
            f"{anyone.server.url}/jobs/{job}/results", headers={"Accept-Encoding": encoding}, timeout=30
        )
        assert answer.content == body
