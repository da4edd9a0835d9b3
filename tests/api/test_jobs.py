"""Jobs outlive what happens to runners, servers and clients; their number is bounded; dismissed ones stop."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from gis.city import City
from gis.db.cluster import Cluster
from gis.db.server import Database
from gis.settings import Settings
from layers.registry import Catalogue
from tests.api.cli import serving
from tests.api.jobs_client import ASYNC, EXECUTION, SMALL, Client, blocked, processes_of, until
from tests.api.process import Server
from tests.api.sample import load_layer

RUNNER, CHILD = "gis.jobs.runner", "gis.jobs.child"
Start = Callable[..., Server]
Prepared = Callable[[Path], Path]


@pytest.fixture(scope="module")
def standing() -> Iterator[list[Server]]:
    """The server that the last test has left running, if it has: the next one may go on with it."""
    left: list[Server] = []
    yield left
    for server in left:
        assert server.stop() == 0, server.log.read_text(errors="replace")[-3000:]


@pytest.fixture
def start(
    sample_db: Database,
    settings: Settings,
    tmp_path_factory: pytest.TempPathFactory,
    standing: list[Server],
) -> Iterator[Start]:
    """``start(job_client=1)``: a server with these settings, and no other that could take its jobs.

    Jobs are forgotten at the end of a test; one server of those that still run goes on for the next test
    that wants its settings.
    """
    running: list[Server] = []

    def make(**given: object) -> Server:
        setting = replace(settings, **{"workers": 1, "pool_size": 4, **given})  # type: ignore[arg-type]
        for server in list(standing):
            standing.remove(server)
            same = replace(setting, port=server.settings.port, data_dir=server.settings.data_dir)
            if server.process.poll() is None and server.settings == replace(same, host=server.settings.host):
                running.append(server)
                return server
            stop(server)
        running.append(Server(setting, sample_db, tmp_path_factory.mktemp("jobs")).start())
        return running[-1]

    def stop(server: Server) -> None:
        if server.process.poll() is None:
            assert server.stop() == 0, server.log.read_text(errors="replace")[-3000:]

    yield make
    up = [server for server in running if server.process.poll() is None]
    for server in up[1:]:
        stop(server)
    standing += up[:1]
    with psycopg.connect(sample_db.owner_dsn, autocommit=True) as owner:
        # What a test was content to see begun is not left to disturb the next.
        if standing and standing[0].settings.job_slots:
            owner.execute("DELETE FROM bandoso.job WHERE status = 'accepted'")
            with contextlib.suppress(AssertionError):
                until(lambda: not running_jobs(owner), 10, "a job goes on")
        owner.execute("DELETE FROM bandoso.job")


def running_jobs(owner: psycopg.Connection) -> int:
    row = owner.execute("SELECT count(*) FROM bandoso.job WHERE status = 'running'").fetchone()
    assert row
    return int(row[0])


@contextmanager
def clients(server: Server) -> Iterator[tuple[Client, Client]]:
    with Client(server) as anyone, Client(server, steward=True) as steward:
        yield anyone, steward


def row_of(db: Database, job: str) -> dict[str, object]:
    """The job in the database."""
    with psycopg.connect(db.owner_dsn) as owner:
        cursor = owner.execute("SELECT * FROM bandoso.job WHERE id = %s", (job,))
        assert cursor.description
        row = cursor.fetchone()
        assert row, "the job is gone"
        return {column.name: value for column, value in zip(cursor.description, row, strict=True)}


def test_a_dismissed_run_stops(start: Start, sample_db: Database) -> None:
    server = start()
    with clients(server) as (anyone, _), blocked(sample_db.owner_dsn):
        job = anyone.start(SMALL)
        anyone.wait(job, "running")
        child = until_one(server, CHILD)
        answer = anyone.http.get(f"/jobs/{job}/results")
        assert answer.status_code == 404
        assert answer.json()["code"] == "result-not-ready"
        began = time.monotonic()
        dismissed = anyone.http.delete(f"/jobs/{job}")
        assert dismissed.json()["status"] == "dismissed"
        until(lambda: not alive(child), 5, "the child goes on")
        took = time.monotonic() - began
        print(f"stopped {took:.2f} s after the request")
        assert took < 30, "it is told, and not found at a later look"
        assert anyone.job(job)["status"] == "dismissed"
    with clients(server) as (anyone, _):
        assert anyone.wait(anyone.start(SMALL))["status"] == "successful", "the runner goes on"


def test_a_killed_runner_is_replaced_and_its_job_is_run_again(start: Start, sample_db: Database) -> None:
    server = start()
    with clients(server) as (anyone, _):
        with blocked(sample_db.owner_dsn):
            job = anyone.start(SMALL)
            anyone.wait(job, "running")
            child = until_one(server, CHILD)
            runner = until_one(server, RUNNER)
            runner.kill()
            until(lambda: not alive(child), 5, "the child of a killed runner goes on")
            until(lambda: row_of(sample_db, job)["attempts"] == 2, 30, "nobody took the job over")
        assert anyone.wait(job)["status"] == "successful"
        assert row_of(sample_db, job)["attempts"] == 2


def test_a_run_that_always_dies_is_given_up(start: Start, sample_db: Database) -> None:
    server = start()
    with clients(server) as (anyone, _), blocked(sample_db.owner_dsn):
        job = anyone.start(SMALL)
        for attempt in (1, 2, 3):
            until(lambda n=attempt: row_of(sample_db, job)["attempts"] == n, 30, "not run again")  # type: ignore[misc]
            time.sleep(0.5)
            for child in processes_of(server, CHILD):
                child.kill()
        failed = anyone.wait(job)
        assert failed["status"] == "failed"
        assert "interrupted 3 times" in failed["message"]
        answer = anyone.http.get(f"/jobs/{job}/results", params={"lang": "en"})
        assert answer.status_code == 500
        assert answer.json()["code"] == "interrupted"


def test_a_client_that_leaves_takes_its_job_along(start: Start, sample_db: Database) -> None:
    server = start()
    with clients(server) as (anyone, steward), blocked(sample_db.owner_dsn):
        with pytest.raises(httpx.ReadTimeout):
            anyone.http.post(EXECUTION, json={"inputs": SMALL}, timeout=3)
        (job,) = steward.http.get("/jobs").json()["jobs"]
        until(lambda: steward.job(job["jobID"])["status"] == "dismissed", 5, "it goes on for nobody")
        until(lambda: not processes_of(server, CHILD) or len(processes_of(server, CHILD)) == 1, 5, "a child")


def test_an_idle_runner_is_small(start: Start) -> None:
    server = start()
    (runner,) = processes_of(server, RUNNER)
    before = sum(runner.cpu_times()[:2])
    time.sleep(3)
    memory = runner.memory_info().rss
    print(f"{memory / 1e6:.0f} MB, {sum(runner.cpu_times()[:2]) - before:.2f} s of processor time in 3 s")
    assert memory < 60e6
    assert sum(runner.cpu_times()[:2]) - before < 0.1


def test_a_child_is_ready_before_the_first_job_and_after_each(start: Start) -> None:
    """What it imports takes longer than a small job, for which somebody waits."""
    server = start()
    ready = until_one(server, CHILD, 60)  # 20 s are left to the start of the server itself
    with clients(server) as (anyone, _):
        assert anyone.execute(SMALL).status_code == 200
    until(lambda: not alive(ready), 10, "the one that was ready took the job")
    assert until_one(server, CHILD).pid != ready.pid


def test_a_killed_server_loses_no_job(start: Start, sample_db: Database) -> None:
    first = start()
    with clients(first) as (anyone, _), blocked(sample_db.owner_dsn):
        job = anyone.start(SMALL)
        waiting = anyone.start({**SMALL, "rules": ["GEN-01"]})
        anyone.wait(job, "running")
        family = [
            psutil.Process(first.process.pid),
            *psutil.Process(first.process.pid).children(recursive=True),
        ]
        os.kill(first.process.pid, signal.SIGKILL)
        until(lambda: not any(alive(one) for one in family), 10, "something of a killed server goes on")
    with clients(start()) as (anyone, _):
        assert anyone.wait(job, seconds=90)["status"] == "successful"
        assert anyone.wait(waiting)["status"] == "successful"


def test_a_stopped_server_hands_its_jobs_on(start: Start, sample_db: Database) -> None:
    first = start()
    with clients(first) as (anyone, _), blocked(sample_db.owner_dsn):
        job = anyone.start(SMALL)
        anyone.wait(job, "running")
        began = time.monotonic()
        assert first.stop() == 0
        took = time.monotonic() - began
        print(f"stopped in {took:.1f} s with a running job")
        assert took < 60
        row = row_of(sample_db, job)
        assert (row["status"], row["attempts"]) == ("accepted", 0)
    with clients(start()) as (anyone, _):
        assert anyone.wait(job)["status"] == "successful"


def test_a_killed_database_loses_no_job(
    reachable_tmp: Path, tmp_path: Path, catalogue: Catalogue, city: City, prepared_folder: Prepared
) -> None:
    folder = prepared_folder(reachable_tmp / "killed-under-jobs")
    with serving("--data-dir", folder, log=tmp_path / "log") as (url, _, _):
        dsn = Cluster(folder).dsn()
        with psycopg.connect(dsn, autocommit=True) as owner:
            load_layer(owner, catalogue.layers["water_pipe"], city, 12)
        request = {"json": {"inputs": SMALL}, "headers": ASYNC, "timeout": 60}
        with contextlib.suppress(psycopg.OperationalError), blocked(dsn):
            job = httpx.post(url + EXECUTION, **request).json()["jobID"]  # type: ignore[arg-type]
            until(lambda: httpx.get(f"{url}/jobs/{job}").json()["status"] == "running", 30, "not begun")
            until(lambda: waits_for_lock(dsn), 30, "the check does not wait for the lock")
            master = int((folder / "postgres" / "postmaster.pid").read_text().splitlines()[0])
            os.kill(master, signal.SIGKILL)

        def done() -> bool:
            answer = httpx.get(f"{url}/jobs/{job}", timeout=30)
            return answer.status_code == 200 and answer.json()["status"] not in ("accepted", "running")

        took = until(done, 90, "the job does not end")
        print(f"done {took:.1f} s after the postmaster was killed")
        assert httpx.get(f"{url}/jobs/{job}").json()["status"] == "successful"
        assert httpx.get(f"{url}/jobs/{job}/results").json()["summary"]["features"] == {"water_pipe": 9}


def waits_for_lock(dsn: str) -> bool:
    with psycopg.connect(dsn) as owner:
        row = owner.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
        return bool(row and row[0])


def test_runners_of_two_servers_run_each_job_once(start: Start, sample_db: Database) -> None:
    servers = [start(job_client=100, job_queue=100), start(job_client=100, job_queue=100)]
    with clients(servers[0]) as (first, _), clients(servers[1]) as (second, _):
        with blocked(sample_db.owner_dsn):
            jobs = [client.start(SMALL) for _ in range(4) for client in (first, second)]
            until(
                lambda: [first.job(one)["status"] for one in jobs].count("running") == 4, 30, "2 slots each"
            )
        for job in jobs:
            assert second.wait(job)["status"] == "successful"
            row = row_of(sample_db, job)
            assert row["attempts"] == 1
        with psycopg.connect(sample_db.owner_dsn) as owner:
            ran = owner.execute("SELECT count(DISTINCT runner) FROM bandoso.job").fetchone()
    assert ran == (2,)


def test_two_clients_of_the_queue_never_get_the_same_job(start: Start, sample_db: Database) -> None:
    """The statement itself, by many threads at once: each job is claimed by exactly one."""
    from gis.jobs import queue

    server = start(job_slots=0, job_client=100, job_queue=100)
    assert processes_of(server, RUNNER) == []
    with clients(server) as (anyone, _):
        jobs = {anyone.start(SMALL) for _ in range(30)}
    taken: list[str] = []

    def claim(name: str) -> None:
        with psycopg.connect(sample_db.owner_dsn, autocommit=True) as connection:
            while (job := queue.claim(connection, name, any_size=True)) is not None:
                taken.append(job.id)

    threads = [threading.Thread(target=claim, args=(str(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(jobs)


def test_a_database_that_takes_no_jobs_is_still_read(start: Start, sample_db: Database) -> None:
    server = start(job_slots=0, job_client=100, job_queue=100)
    functions = "FUNCTION bandoso.job_submit, bandoso.job_get, bandoso.job_dismiss"
    with psycopg.connect(sample_db.owner_dsn, autocommit=True) as owner, clients(server) as (anyone, _):
        owner.execute(f"REVOKE EXECUTE ON {functions} FROM bandoso_jobs")
        try:
            for answer in (anyone.execute(SMALL), anyone.http.get(f"/jobs/{'0' * 32}")):
                assert answer.status_code == 503
                assert answer.json()["code"] == "processes-unavailable"
            assert anyone.http.get("/collections/water_pipe/items").status_code == 200
            assert anyone.http.get("/processes/check").status_code == 200
        finally:
            owner.execute(f"GRANT EXECUTE ON {functions} TO bandoso_jobs")


def test_the_queue_is_bounded_for_each_and_for_all(start: Start) -> None:
    server = start(job_slots=0, job_queue=4, job_client=2)
    with clients(server) as (anyone, steward):
        for _ in range(2):
            anyone.start(SMALL)
        refused = anyone.execute(SMALL, headers=ASYNC)
        assert refused.status_code == 429
        assert refused.json()["code"] == "too-many-jobs"
        assert int(refused.headers["retry-after"]) > 0
        for _ in range(2):
            steward.start(SMALL)
        full = steward.execute(SMALL, headers=ASYNC)
        assert full.status_code == 503
        assert full.json()["code"] == "queue-full"
        assert int(full.headers["retry-after"]) > 0


def test_many_at_once_do_not_pass_the_bound(start: Start, sample_db: Database) -> None:
    server = start(job_slots=0, job_queue=100, job_client=3, pool_size=8)
    codes: list[int] = []

    def ask() -> None:
        codes.append(
            httpx.post(server.url + EXECUTION, json={"inputs": SMALL}, headers=ASYNC, timeout=30).status_code
        )

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [201] * 3 + [429] * 17


def test_a_large_job_leaves_room_for_small_ones(start: Start, sample_db: Database) -> None:
    server = start(job_slots=2)
    with clients(server) as (anyone, steward), blocked(sample_db.owner_dsn):
        large = [steward.start({"layers": ["water_pipe"], "rules": ["GEN-05"]}) for _ in range(3)]
        steward.wait(large[0], "running")
        small = anyone.execute({**SMALL, "layers": ["power_line"]})
        assert small.status_code == 200, small.text
        assert [steward.job(one)["status"] for one in large].count("running") == 1


def test_what_takes_long_is_answered_with_its_job(start: Start, sample_db: Database) -> None:
    server = start(job_wait_s=1)
    with clients(server) as (anyone, _):
        with blocked(sample_db.owner_dsn):
            answer = anyone.execute(SMALL)
            assert answer.status_code == 201
            assert answer.headers["location"].endswith(answer.json()["jobID"])
            assert anyone.execute(SMALL, headers={"Prefer": "wait=0"}).status_code == 201
        assert anyone.wait(answer.json()["jobID"])["status"] == "successful"


def test_a_strangers_run_has_a_time_limit(start: Start, sample_db: Database) -> None:
    server = start(job_public_s=2)
    with clients(server) as (anyone, _), blocked(sample_db.owner_dsn):
        failed = anyone.wait(anyone.start(SMALL))
        assert failed["status"] == "failed"
        answer = anyone.http.get(f"/jobs/{failed['jobID']}/results")
        assert (answer.status_code, answer.json()["code"]) == (400, "took-too-long")


def test_old_jobs_are_removed(sample_db: Database) -> None:
    from gis.jobs import queue

    with psycopg.connect(sample_db.owner_dsn, autocommit=True) as owner:
        owner.execute("DELETE FROM bandoso.job")
        for number, (steward, hours, keep) in enumerate(
            ((False, 2, 3600), (False, 0, 3600), (True, 2, 86400), (True, 30, 86400))
        ):
            owner.execute(
                "INSERT INTO bandoso.job (id, process, request, steward, small, keep_seconds, status,"
                " finished)"
                " VALUES (%s, 'check', '{}', %s, true, %s, 'successful', now() - make_interval(hours => %s))",
                (f"{number:032x}", steward, keep, hours),
            )
            owner.execute("INSERT INTO bandoso.job_result VALUES (%s, 0, 'x')", (f"{number:032x}",))
        assert queue.purge(owner) == 2
        left = owner.execute("SELECT id FROM bandoso.job ORDER BY id").fetchall()
        assert [int(row[0], 16) for row in left] == [1, 2]
        parts = owner.execute("SELECT count(*) FROM bandoso.job_result").fetchone()
        assert parts == (2,)
        owner.execute("DELETE FROM bandoso.job")


def until_one(server: Server, module: str, seconds: float = 10) -> psutil.Process:
    """The process of the server that runs the module (the first of them)."""
    until(lambda: processes_of(server, module), seconds, f"no {module}")
    return processes_of(server, module)[0]


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
