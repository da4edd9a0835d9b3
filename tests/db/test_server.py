"""The embedded server: started, joined, left, killed in every way, and never losing a written row."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gis.db.cluster import Cluster
from gis.db.keeper import parent, pid_file, server_processes
from gis.db.server import Database, database
from gis.errors import ConfigError, DatabaseError
from gis.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
AS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="changes its user")

USER = """
import sys
from pathlib import Path
from gis.db.server import database
from gis.settings import Settings
with database(Settings(data_dir=Path(sys.argv[1]))) as db:
    print(db.owner_dsn, flush=True)
    sys.stdin.readline()
print("left", flush=True)
"""

COMMITS_ON_CTRL_C = """
import sys, time, psycopg
from pathlib import Path
from gis.db.server import database
from gis.settings import Settings
with database(Settings(data_dir=Path(sys.argv[1]))) as db, psycopg.connect(db.owner_dsn) as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
    connection.execute("INSERT INTO kept VALUES (1)")
    try:
        print("working", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(0.5)  # finishes what it was doing
        connection.execute("INSERT INTO kept VALUES (2)")
        connection.commit()
        print("committed", flush=True)
"""


class Program:
    """Another process that uses the data folder; killed at the end whatever happens."""

    def __init__(self, code: str, data_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


@pytest.fixture
def program() -> Iterator[Callable[..., Program]]:
    started: list[Program] = []

    def start(code: str, data_dir: Path) -> Program:
        started.append(Program(code, data_dir))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def folder(reachable_tmp: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A data folder of the test's own."""
    place = reachable_tmp / f"server-{abs(hash(request.node.name))}"
    yield place
    until(lambda: not running(place), "the server of the test has stopped", 30)
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def used(folder: Path) -> Iterator[Database]:
    """A server in use by this process."""
    with database(Settings(data_dir=folder)) as db:
        yield db


def running(folder: Path) -> list[int]:
    return server_processes(folder / "postgres")


def until(condition: Callable[[], object], what: str, seconds: float = 120.0) -> float:
    """Wait for something; how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.01)
    return time.monotonic() - began


def ask(dsn: str, query: str) -> object:
    with psycopg.connect(dsn) as connection:
        cursor = connection.execute(query.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def test_fresh_start_then_quick_second_start(folder: Path) -> None:
    settings = Settings(data_dir=folder)
    began = time.monotonic()
    with database(settings) as db:
        first = time.monotonic() - began
        assert db.embedded
        ask(db.owner_dsn, "CREATE TABLE kept AS SELECT 42 AS n")
        assert ask(db.owner_dsn, "SHOW server_encoding") == "UTF8"
        assert ask(db.owner_dsn, "SHOW data_checksums") == "on"
        assert ask(db.owner_dsn, "SHOW fsync") == "on"
    assert not running(folder), "the last user to leave waits until the server is down"
    began = time.monotonic()
    with database(settings) as db:
        second = time.monotonic() - began
        assert ask(db.owner_dsn, "SELECT n FROM kept") == 42
    print(f"first start {first:.2f} s, second {second:.2f} s")
    assert second < 5


def test_vietnamese_sorts_as_vietnamese(used: Database) -> None:
    query = "SELECT string_agg(w, ' ' ORDER BY w) FROM unnest('{E,Đ,D,Â,B,Ă,A}'::text[]) w"
    assert ask(used.owner_dsn, query) == "A Ă Â B D Đ E"


def test_folder_is_private_and_no_port_is_open(used: Database, folder: Path) -> None:
    for name in ("postgres", "socket", "log", "run"):
        assert (folder / name).stat().st_mode & 0o777 == 0o700, name
    assert (folder / "postgres").stat().st_uid != 0
    assert ask(used.owner_dsn, "SHOW listen_addresses") == ""
    for pid in running(folder):
        listening = [c for c in psutil.Process(pid).net_connections("inet") if c.status == psutil.CONN_LISTEN]
        assert listening == []


def test_environment_of_the_caller_does_not_reach_the_server(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGDATA", "/nonexistent")
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=64kB")
    monkeypatch.setenv("LC_ALL", "xx_XX")
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    with database(Settings(data_dir=folder)):
        master, _ = pid_file(folder / "postgres")
        assert "SECRET_TOKEN" not in psutil.Process(master).environ()


def test_operator_settings_win(folder: Path) -> None:
    settings = Settings(data_dir=folder)
    with database(settings):
        pass
    (folder / "conf" / "postgresql.custom.conf").write_text("work_mem = '7MB'\n")
    with database(settings) as db:
        assert ask(db.owner_dsn, "SHOW work_mem") == "7MB"


def test_second_process_joins_and_outlives_the_first(folder: Path, program: Callable[..., Program]) -> None:
    first = program(USER, folder)
    dsn = first.line()
    second = program(USER, folder)
    assert second.line() == dsn
    master, _ = pid_file(folder / "postgres")
    with psycopg.connect(dsn, autocommit=True) as connection:
        first.go_on()
        assert first.line() == "left"
        first.process.wait(timeout=120)
        assert connection.execute("SELECT 1").fetchone() == (1,), "the second user still works"
    assert pid_file(folder / "postgres")[0] == master
    second.go_on()
    assert second.line() == "left"
    assert not running(folder)


def test_processes_that_start_at_once_share_one_server(folder: Path, program: Callable[..., Program]) -> None:
    users = [program(USER, folder) for _ in range(4)]
    dsns = {user.line() for user in users}
    assert len(dsns) == 1
    parents = {p: parent(p) for p in running(folder)}  # 0: an autovacuum worker that has just ended
    assert len([p for p, above in parents.items() if above and above not in parents]) == 1
    for user in users:
        user.go_on()
    assert {user.line() for user in users} == {"left"}
    assert not running(folder)


def test_killed_user_takes_the_server_down_and_data_stays(
    folder: Path, program: Callable[..., Program]
) -> None:
    user = program(USER, folder)
    ask(user.line(), "CREATE TABLE kept AS SELECT 42 AS n")
    user.kill()
    took = until(lambda: not running(folder), "postgres is gone")
    print(f"postgres was gone {took:.2f} s after SIGKILL of its user")
    with database(Settings(data_dir=folder)) as db:
        assert ask(db.owner_dsn, "SELECT n FROM kept") == 42


def test_start_right_after_a_kill_waits_for_the_old_server(
    folder: Path, program: Callable[..., Program]
) -> None:
    for _ in range(3):
        user = program(USER, folder)
        assert user.line()
        user.kill()  # and at once:
        with database(Settings(data_dir=folder)) as db:
            assert ask(db.owner_dsn, "SELECT 1") == 1


def test_killed_keeper_takes_the_server_down(folder: Path, program: Callable[..., Program]) -> None:
    user = program(USER, folder)
    assert user.line()
    master, _ = pid_file(folder / "postgres")
    keeper = psutil.Process(master).ppid()
    assert keeper != user.process.pid
    os.kill(keeper, signal.SIGKILL)
    until(lambda: not running(folder), "postgres is gone (parent's death signal)")
    with database(Settings(data_dir=folder)) as db:  # the first user is still there, without a server
        assert ask(db.owner_dsn, "SELECT 1") == 1
        user.kill()


def test_ctrl_c_lets_the_transaction_finish(folder: Path, program: Callable[..., Program]) -> None:
    user = program(COMMITS_ON_CTRL_C, folder)
    assert user.line() == "working"
    os.killpg(user.process.pid, signal.SIGINT)  # what a terminal does
    assert user.line() == "committed"
    user.process.wait(timeout=120)
    with database(Settings(data_dir=folder)) as db:
        assert ask(db.owner_dsn, "SELECT sum(n) FROM kept") == 3


def test_stale_pid_file_of_a_foreign_process_does_not_block(folder: Path) -> None:
    settings = Settings(data_dir=folder)
    with database(settings):
        pass
    owner = (folder / "postgres").stat()
    command = ["sleep", "60"]
    if AS_ROOT:
        command = [
            "setpriv",
            "--reuid",
            str(owner.st_uid),
            "--regid",
            str(owner.st_gid),
            "--clear-groups",
            *command,
        ]
    with subprocess.Popen(command) as other:
        for name in ("postgres/postmaster.pid", "socket/.s.PGSQL.5432.lock"):
            stale = folder / name
            stale.write_text(
                f"{other.pid}\n{folder / 'postgres'}\n1\n5432\n{folder / 'socket'}\n\n 1 1\nready\n"
            )
            os.chown(stale, owner.st_uid, owner.st_gid)
            stale.chmod(0o600)
        try:
            with database(settings) as db:
                assert ask(db.owner_dsn, "SELECT 1") == 1
            assert other.poll() is None, "the foreign process was left alone"
        finally:
            other.kill()


class Writer:
    """Inserts rows as fast as it can, reconnecting, and remembers which were acknowledged."""

    def __init__(self, dsn: str, first: int, step: int) -> None:
        self.dsn, self.numbers = dsn, itertools.count(first, step)
        self.acknowledged: list[int] = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                with psycopg.connect(self.dsn, autocommit=True) as connection:
                    while not self.stop.is_set():
                        number = next(self.numbers)
                        connection.execute("INSERT INTO written VALUES (%s)", (number,))
                        self.acknowledged.append(number)
            except psycopg.OperationalError:
                time.sleep(0.01)


@pytest.mark.parametrize("victim", ["backend", "postmaster"])
def test_kill_9_under_write_load_loses_no_acknowledged_row(used: Database, folder: Path, victim: str) -> None:
    ask(used.owner_dsn, "CREATE TABLE written (n bigint PRIMARY KEY)")
    writers = [Writer(used.owner_dsn, first, 3) for first in range(3)]
    recovered: list[float] = []
    try:
        for _ in range(3):
            before = sum(len(w.acknowledged) for w in writers)
            until(lambda n=before: sum(len(w.acknowledged) for w in writers) > n + 200, "rows are written")
            master, _ = pid_file(folder / "postgres")
            if victim == "postmaster":
                os.kill(master, signal.SIGKILL)
                until(lambda m=master: pid_file(folder / "postgres")[0] not in (0, m), "started again")
            else:
                with psycopg.connect(used.owner_dsn) as connection:
                    pid = connection.execute(
                        "SELECT pid FROM pg_stat_activity WHERE query LIKE 'INSERT%'"
                    ).fetchone()
                assert pid
                os.kill(pid[0], signal.SIGKILL)
            after = sum(len(w.acknowledged) for w in writers)
            recovered.append(
                until(lambda n=after: sum(len(w.acknowledged) for w in writers) > n + 20, "writing again")
            )
    finally:
        for writer in writers:
            writer.stop.set()
            writer.thread.join()
    acknowledged = {n for w in writers for n in w.acknowledged}
    with psycopg.connect(used.owner_dsn) as connection:
        stored = {row[0] for row in connection.execute("SELECT n FROM written")}
    print(f"{len(acknowledged)} acknowledged; writing again after {max(recovered):.2f} s at most")
    assert acknowledged <= stored
    assert len(stored) - len(acknowledged) <= 9, "at most the rows in flight at each kill"


@needs_root
def test_other_users_of_the_machine_are_refused(used: Database, folder: Path) -> None:
    psql = shutil.which("psql") or pytest.skip("psql is not here")
    socket = folder / "socket"
    query = [psql, "-h", str(socket), "-U", "bandoso", "-d", "bandoso", "-c", "SELECT 1"]
    as_nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *query]

    refused = subprocess.run(as_nobody, capture_output=True, text=True, cwd="/")
    assert refused.returncode != 0 and "Permission denied" in refused.stderr

    socket.chmod(0o755)  # and even with the door open:
    (socket / ".s.PGSQL.5432").chmod(0o777)
    refused = subprocess.run(as_nobody, capture_output=True, text=True, cwd="/")
    assert refused.returncode != 0 and "Peer authentication failed" in refused.stderr
    assert subprocess.run(query, capture_output=True, cwd="/").returncode == 0, "but the owner gets in"


def test_long_path_gets_its_socket_elsewhere(reachable_tmp: Path) -> None:
    place = reachable_tmp / ("đường-dẫn-rất-dài-" * 6) / "data with 'quotes', and spaces"
    settings = Settings(data_dir=place)
    with database(settings) as db:
        socket = Path(str(conninfo_to_dict(db.owner_dsn)["host"]))
        assert len(os.fsencode(socket)) < 90 and not socket.is_relative_to(place)
        assert socket.stat().st_mode & 0o777 == 0o700
        assert ask(db.owner_dsn, "SELECT 1") == 1
    with database(settings) as db:
        assert not socket.exists(), "the old socket folder was removed"
        assert ask(db.owner_dsn, "SELECT 1") == 1
        last = Path(str(conninfo_to_dict(db.owner_dsn)["host"]))
    shutil.rmtree(last)
    shutil.rmtree(place.parent)


@needs_root
def test_unreachable_folder_is_named(reachable_tmp: Path) -> None:
    private = reachable_tmp / "private"
    private.mkdir(mode=0o700)
    with pytest.raises(ConfigError, match=r"private, which the user \w+ may not enter") as caught:
        database(Settings(data_dir=private / "data")).__enter__()
    assert caught.value.hint and "--data-dir" in caught.value.hint


def test_missing_postgresql_is_a_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BANDOSO_PG_BIN", "/nonexistent")
    with pytest.raises(ConfigError, match="PostgreSQL 15 or newer with PostGIS") as caught:
        database(Settings(data_dir=folder)).__enter__()
    assert caught.value.hint and "apt-get install" in caught.value.hint


def test_data_of_another_version_is_a_sentence(folder: Path) -> None:
    settings = Settings(data_dir=folder)
    with database(settings):
        pass
    (folder / "postgres" / "PG_VERSION").write_text("9\n")
    with pytest.raises(ConfigError, match="made by PostgreSQL 9"):
        database(settings).__enter__()


def test_server_that_cannot_start_says_so_soon(folder: Path) -> None:
    settings = Settings(data_dir=folder)
    with database(settings):
        pass
    (folder / "conf" / "postgresql.custom.conf").write_text("shared_buffers = 'nonsense'\n")
    began = time.monotonic()
    with pytest.raises(DatabaseError, match="does not start"):
        database(settings).__enter__()
    assert time.monotonic() - began < 60
    (folder / "conf" / "postgresql.custom.conf").write_text("")
    with database(settings) as db:
        assert ask(db.owner_dsn, "SELECT 1") == 1


def test_cut_short_initdb_is_made_again(folder: Path) -> None:
    draft = folder / "postgres.new"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("15\n")
    with database(Settings(data_dir=folder)) as db:
        assert ask(db.owner_dsn, "SELECT 1") == 1
    assert not draft.exists()


def test_foreign_server_on_the_folder_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data_dir=folder)
    with database(settings):
        master, _ = pid_file(folder / "postgres")
        command = psutil.Process(master).cmdline()
    account = pwd.getpwuid((folder / "postgres").stat().st_uid)
    if AS_ROOT:
        command = [
            "setpriv",
            "--reuid",
            str(account.pw_uid),
            "--regid",
            str(account.pw_gid),
            "--init-groups",
            *command,
        ]
    with subprocess.Popen(command, cwd="/", env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}) as foreign:
        try:
            until(lambda: pid_file(folder / "postgres")[1] == "ready", "the foreign server runs")
            with pytest.raises(DatabaseError, match="another PostgreSQL server"):
                database(settings).__enter__()
            assert foreign.poll() is None
        finally:
            foreign.send_signal(signal.SIGINT)


def test_leaving_and_joining_at_once_never_hangs(folder: Path, program: Callable[..., Program]) -> None:
    with database(Settings(data_dir=folder)):
        pass
    for _ in range(5):
        users = [program(USER, folder) for _ in range(2)]
        for user in users:
            assert user.line()
            user.go_on()  # the other one may be joining just now
        for user in users:
            assert user.line() == "left"
            assert user.process.wait(timeout=120) == 0
    assert not running(folder)


def test_leaving_twice_and_leaving_unjoined_do_nothing(folder: Path) -> None:
    cluster = Cluster(folder)
    cluster.leave()
    cluster.join()
    cluster.leave()
    cluster.leave()
    assert not running(folder)


@needs_root
def test_ordinary_user_runs_it_as_himself(reachable_tmp: Path) -> None:
    python = Path("/usr/bin/python3")
    if not python.exists():
        pytest.skip("no interpreter that every user may run")
    place = reachable_tmp / "home"
    place.mkdir()
    os.chown(place, 65534, 65534)
    code = (
        "import os, sys; import gis.db.server, gis.settings, psycopg, pathlib, encodings.idna\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        # the tests' own interpreter may lie in root's home; the keeper needs nothing but its library
        f"sys.executable = {str(python)!r}\n"
        "with gis.db.server.database(gis.settings.Settings(data_dir=pathlib.Path(sys.argv[1]))) as db:\n"
        "    with psycopg.connect(db.owner_dsn) as c:\n"
        "        print(c.execute('SELECT current_user').fetchone()[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(place / "data")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(place)},
    )
    assert done.stdout.strip() == "bandoso", done.stderr
    assert (place / "data" / "postgres").stat().st_uid == 65534
    assert not running(place / "data")


def test_external_dsn_manages_no_server(used: Database, folder: Path) -> None:
    settings = Settings(data_dir=folder / "other", dsn=used.owner_dsn)
    with database(settings) as db:
        assert not db.embedded
        assert db.owner_dsn == db.app_dsn == used.owner_dsn
    assert not (folder / "other").exists()


def test_several_hosts_in_one_dsn(used: Database) -> None:
    good = conninfo_to_dict(used.owner_dsn)
    dsn = make_conninfo(
        used.owner_dsn,
        host=f"/nonexistent,{good['host']}",
        port="5432,5432",
        target_session_attrs="read-write",
    )
    assert ask(dsn, "SELECT 1") == 1
