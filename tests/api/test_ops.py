"""Operations: alive, ready, figures, log, the database away and back, layers added while it runs."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gis.api.serve import check_port
from gis.db.server import Database
from gis.errors import UsageError
from tests.api.problem import assert_problem
from tests.api.process import Server


def eventually(check: Callable[[], bool], what: str, seconds: float = 40.0) -> None:
    """Wait until ``check`` holds three times running (several workers answer in turn)."""
    end = time.monotonic() + seconds
    times = 0
    while time.monotonic() < end:
        times = times + 1 if check() else 0
        if times >= 6:
            return
        time.sleep(0.1)
    pytest.fail(f"not in {seconds:.0f} s: {what}")


def log_lines(running: Server) -> list[dict]:
    return [json.loads(line) for line in running.log.read_text().splitlines()]


def test_alive_and_ready(running: Server) -> None:
    assert running.get("/healthz").json() == {"status": "ok"}
    ready = running.get("/readyz").json()
    assert ready["status"] == "ready"
    assert ready["layers"] > 40


def test_figures_count_requests_of_all_workers_by_route(running: Server) -> None:
    def counted(text: str) -> float:
        route = "/collections/{collection}/items/{fid}"
        prefix = f'bandoso_http_requests_total{{method="GET",route="{route}",status="404"}}'
        found = [line for line in text.splitlines() if line.startswith(prefix)]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    before = counted(running.get("/metrics").text)
    for number in range(30):
        assert running.get(f"/collections/water_pipe/items/99{number}").status_code == 404
    answer = running.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert counted(answer.text) == before + 30, "every process must see what all have counted"
    assert 'bandoso_pool_connections{state="idle"}' in answer.text
    assert "bandoso_http_request_duration_seconds_bucket" in answer.text
    assert "/items/99" not in answer.text, "paths would make endless series"
    assert "127.0.0.1" not in answer.text


def test_access_log_is_json_and_holds_no_secrets(running: Server) -> None:
    running.get(
        "/collections?api_key=geheim1&token=geheim2&x=%22%0a%7b",
        headers={"X-Forwarded-For": "6.6.6.6", "User-Agent": 'a"b\\c'},
    )
    running.get("/collections/đường", headers={"Authorization": "Bearer geheim3"})
    time.sleep(0.7)
    assert "geheim" not in running.log.read_text()
    lines = [line for line in log_lines(running) if line.get("route")]
    line = next(one for one in lines if "api_key" in one["query"])
    assert line["status"] == 400
    assert line["route"] == "/collections"
    assert line["client"] == "127.0.0.1", "nobody may choose the address under which he is logged"
    assert line["query"].startswith("api_key=***&token=***&x=")
    assert line["agent"] == 'a"b\\c'
    assert set(line) >= {"time", "id", "method", "path", "bytes", "ms"}
    assert any(one["path"] == "/collections/đường" for one in lines)
    assert not any(one["route"] in ("/healthz", "/readyz", "/metrics") for one in lines)


def test_request_id_is_in_answer_and_log(running: Server) -> None:
    answer = running.get("/collections/none-such")
    time.sleep(0.7)
    assert any(line.get("id") == answer.headers["x-request-id"] for line in log_lines(running))


LAYER = """
sector: {id: trial, title: {vi: Thử nghiệm, en: Trial}, order: 99}
layers:
  trial_tree:
    title: {vi: "Cây <script>alert(1)</script> \\" '", en: "Tree <img src=x onerror=alert(1)>"}
    description: {vi: "</title><svg onload=alert(1)>", en: "{{ 7*7 }} javascript:alert(1)"}
    geometry: Point
    owner: city
    fields:
      - {name: height_m, title: {vi: "Cao <b>", en: "Height <b>"}, type: number, unit: m}
    style: {colour: '#00aa00', order: 250}
"""


def test_a_layer_file_is_noticed_and_served_safely(running: Server) -> None:
    path = running.folder / "layers" / "trial.yml"
    assert_problem(running.get("/collections/trial_tree"), 404)
    path.write_text(LAYER, encoding="utf-8")
    eventually(
        lambda: running.get("/collections/trial_tree").json().get("itemCount") == 0,
        "a new layer, whichever worker answers",
        seconds=90,
    )
    assert running.get("/collections/trial_tree/items").status_code == 200
    assert (
        "trial_tree"
        in running.get("/api").json()["components"]["parameters"]["collectionId"]["schema"]["enum"]
    )
    assert any(s["id"] == "trial" for s in running.get("/catalogue").json()["sectors"])
    for page in ("/collections", "/collections/trial_tree", "/collections/trial_tree/schema", "/api"):
        for language in ("vi", "en"):
            answer = running.get(f"{page}?f=html&lang={language}")
            assert answer.status_code == 200
            for bad in ("<script>alert", "<img src=x", "<svg onload", "<b>", "49 javascript"):
                ours = re.sub(r"<b>(bandoso|vi</b>|en</b>|[A-Z]+</b>)", "", answer.text)
                assert bad not in ours, (page, bad)
            assert "script-src" not in answer.headers["content-security-policy"]

    # a change that would lose data, and a file that is not YAML: the former definition is served on
    with psycopg.connect(running.db.owner_dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO layer.trial_tree (height_m, geom)"
            " VALUES (7.5, ST_SetSRID(ST_MakePoint(603000, 1192000), 9210))"
        )
    path.write_text(LAYER.replace("type: number, unit: m", "type: date"), encoding="utf-8")
    time.sleep(5)
    answer = running.get("/collections/trial_tree/items")
    assert answer.status_code == 200
    assert answer.json()["features"][0]["properties"]["height_m"] == 7.5
    path.write_text("layers: [", encoding="utf-8")
    time.sleep(4)
    assert running.get("/collections/trial_tree/items").json()["numberReturned"] == 1
    assert any("not applied" in line.get("message", "") for line in log_lines(running))

    path.unlink()
    eventually(lambda: running.get("/collections/trial_tree").status_code == 404, "a layer taken away")
    with psycopg.connect(running.db.owner_dsn) as connection:
        kept = connection.execute("SELECT count(*) FROM layer.trial_tree").fetchone()
        assert kept == (1,), "taking the file away must not take the data away"


def test_a_layer_applied_by_another_process_is_served(running: Server) -> None:
    """What ``bandoso layers --apply`` does; counts follow loads without a restart."""
    before = running.get("/collections/water_valve").json()["itemCount"]
    with psycopg.connect(running.db.owner_dsn, autocommit=True) as connection:
        connection.execute(
            "DELETE FROM layer.water_valve WHERE fid = (SELECT min(fid) FROM layer.water_valve)"
        )
    eventually(
        lambda: running.get("/collections/water_valve").json()["itemCount"] == before - 1, "the new count"
    )


def test_not_ready_while_the_database_is_away(running: Server) -> None:
    name = conninfo_to_dict(running.db.owner_dsn)["dbname"]
    other = make_conninfo(running.db.owner_dsn, dbname="postgres")
    with psycopg.connect(other, autocommit=True) as connection:

        def let(allowed: bool) -> None:
            connection.execute(
                sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}").format(
                    sql.Identifier(str(name)), sql.SQL("true" if allowed else "false")
                )
            )
            if not allowed:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
                )

        let(False)
        try:
            eventually(lambda: running.get("/readyz").status_code == 503, "not ready")
            assert_problem(running.get("/readyz"), 503, "not-ready")
            answer = running.get("/collections/water_pipe/items")
            assert_problem(answer, 503)
            assert answer.headers["retry-after"]
            assert running.get("/healthz").status_code == 200, "the process is alive all the same"
            assert running.get("/collections").status_code == 200, "what is known is still told"
            # a worker that starts now waits; ending at once, it would be a crash loop that stops the server
            dead = workers_of(running)[0]
            dead.kill()
            eventually(lambda: "waits for the database" in running.log.read_text(), "a waiting worker")
            time.sleep(4)
            assert running.process.poll() is None
            said = [line for line in log_lines(running) if line.get("logger") == "psycopg.pool"]
            assert len(said) <= 6, "the pool says it for each connection and attempt"
        finally:
            let(True)
    eventually(lambda: running.get("/readyz").status_code == 200, "ready again", 90)
    eventually(lambda: running.get("/collections/water_pipe/items").status_code == 200, "items again", 60)


def workers_of(running: Server) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(running.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # just killed, or not yet waited for
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def exported(running: Server, worker: psutil.Process) -> psutil.Process:
    """Have this worker make files; gives the process that wrote them, and is still there."""

    def writers() -> list[psutil.Process]:
        return [child for child in worker.children() if "gis.export" in " ".join(child.cmdline())]

    def asked() -> bool:
        for query in ("f=fgb&limit=all", "f=fgb", "f=gpkg"):
            answer = running.get(f"/collections/water_valve/items?{query}")
            assert answer.status_code == 200 and len(answer.content) > 1000
        return bool(writers())

    eventually(asked, "files by this worker")
    (writer,) = writers()
    maps = Path(f"/proc/{worker.pid}/maps").read_text()
    assert not [name for name in ("pyarrow", "pyogrio", "pandas") if name in maps]
    assert "pyogrio" in Path(f"/proc/{writer.pid}/maps").read_text()
    return writer


def test_a_killed_worker_is_replaced(running: Server) -> None:
    # Granian takes a worker that ends within 5.5 s of its start for a crash loop, and stops the server; on a
    # slow machine it notices the start seconds later.
    eventually(
        lambda: all(time.time() - worker.create_time() > 12 for worker in workers_of(running)),
        "settled workers",
    )
    workers = workers_of(running)
    assert len(workers) == 2
    writer = exported(running, workers[0])
    workers[0].send_signal(signal.SIGKILL)
    psutil.wait_procs([writer], timeout=120)
    assert not writer.is_running(), "what writes its files ends with it"
    eventually(
        lambda: len(workers_of(running)) == 2 and workers[0].pid not in [w.pid for w in workers_of(running)],
        "a new worker",
    )
    eventually(lambda: running.get("/readyz").status_code == 200, "ready")

    def connections() -> float:
        lines = running.get("/metrics").text.splitlines()
        states = [f'bandoso_pool_connections{{state="{state}"}} ' for state in ("idle", "used")]
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(tuple(states)))

    eventually(lambda: connections() == 2 * running.settings.pool_size, "the dead worker's figures are gone")


def test_a_second_server_on_the_port_is_told(running: Server, sample_db: Database) -> None:
    with pytest.raises(UsageError, match=f"port {running.port} is in use"):
        check_port(running.settings)
