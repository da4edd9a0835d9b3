"""SIGKILL of the server, of one of its processes and of a PostgreSQL backend while clients write: whatever
was acknowledged is there, nothing is half there, and history has neither gaps nor overlaps.

Real server processes over a real PostgreSQL that syncs to disk (the session's own does not). Each writer has
its own features and sends, in turn, a PATCH of one of them and a changeset of several; a request that was cut
off may have been stored or not, and nothing is known of it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from gis.db.migrate import prepare
from gis.db.server import Database
from gis.db.server import database as open_database
from gis.identity.accounts import add_account, grant, make_token
from gis.settings import Settings
from tests.api.process import Server

#: Few rules judge them, and none of them asks for neighbours when an attribute changes.
LAYER = "telecom_post_office"
WRITERS, EACH = 8, 100
#: Features of a changeset. Of the edits most come in changesets, else the test would take minutes.
TOGETHER = 50
ACKNOWLEDGED, KILLS = 10_000, 5
#: It takes one to two minutes on two cores, of which most are the starts of servers; this is for a machine
#: that a dozen other programs use.
LONGEST_S = 800.0


@dataclass
class Acknowledged:
    """What one writer was told to be stored: (fid, version) -> value, and changesets by their ids."""

    versions: dict[tuple[int, int], str] = field(default_factory=dict)
    changesets: dict[int, str] = field(default_factory=dict)
    cut_off: int = 0
    refused: list[str] = field(default_factory=list)


class Writer(threading.Thread):
    """Edits its own features until it is told to stop."""

    def __init__(
        self, number: int, url: str, token: str, dsn: str, fids: list[int], stop: threading.Event
    ) -> None:
        super().__init__(daemon=True)
        self.number, self.url, self.dsn, self.fids, self.stop = number, url, dsn, fids, stop
        self.headers = {"Authorization": f"Bearer {token}"}
        self.told = Acknowledged()
        #: What stands, as far as it is known.
        self.standing: dict[int, int] = {}

    def run(self) -> None:
        client = httpx.Client(
            base_url=self.url, headers=self.headers, timeout=20, verify=False, trust_env=False
        )
        with client:
            for n in itertools.count():
                if self.stop.is_set():
                    return
                value = f"w{self.number} n{n}"
                try:
                    self.one(client, n, value) if n % 2 else self.many(client, n, value)
                except httpx.HTTPError:
                    self.told.cut_off += 1
                    time.sleep(0.05)

    def one(self, client: httpx.Client, n: int, value: str) -> None:
        fid = self.fids[n % EACH]
        self.standing.pop(fid, None)
        answer = client.patch(
            f"/collections/{LAYER}/items/{fid}",
            json={"properties": {"opening_hours": value}},
            headers={"Content-Type": "application/merge-patch+json"},
        )
        if self.stored(answer):
            self.keep(fid, answer.json()["properties"]["version"], value)

    def many(self, client: httpx.Client, n: int, value: str) -> None:
        fids = [self.fids[(n + k) % EACH] for k in range(TOGETHER)]
        changes = [
            {
                "op": "update",
                "layer": LAYER,
                "fid": fid,
                "version": self.version(fid),
                "properties": {"opening_hours": value},
            }
            for fid in fids
        ]
        for fid in fids:
            del self.standing[fid]
        answer = client.post("/changesets", json={"comment": value, "changes": changes})
        if self.stored(answer):
            told = answer.json()
            made = told["features"]
            assert [one["fid"] for one in made] == fids
            self.told.changesets[told["id"]] = value
            for one in made:
                self.keep(one["fid"], one["version"], value)

    def keep(self, fid: int, version: int, value: str) -> None:
        self.standing[fid] = version
        self.told.versions[fid, version] = value

    def version(self, fid: int) -> int:
        """As the database has it, where a request was cut off."""
        if fid not in self.standing:
            try:
                with psycopg.connect(self.dsn) as connection:
                    rows = connection.execute(
                        f"SELECT fid, version FROM layer.{LAYER} WHERE fid = ANY (%s)", [self.fids]
                    ).fetchall()
            except psycopg.Error as error:  # it recovers from a kill
                raise httpx.TransportError("no database") from error
            self.standing = dict(rows)
        return self.standing[fid]

    def stored(self, answer: httpx.Response) -> bool:
        """Whether it is acknowledged. What is not must say that the server, not the request, is at fault; but
        a request that was cut off may be stored after its version was asked for."""
        if answer.status_code in (200, 201):
            return True
        conflict = answer.status_code == 409 and self.told.cut_off > 0
        self.told.cut_off += 1
        if answer.status_code not in (502, 503) and not conflict:
            self.told.refused.append(f"{answer.status_code} {answer.text[:300]}")
        time.sleep(0.05)
        return False


@pytest.fixture
def folder() -> Iterator[Path]:
    """Reachable by the unprivileged user of the embedded server."""
    made = Path(tempfile.mkdtemp(prefix="bandoso-kill-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def durable(folder: Path, prepared_folder: Callable[[Path], Path]) -> Iterator[tuple[Database, Settings]]:
    """A prepared database whose commits are on disk when they are acknowledged."""
    settings = Settings.from_env({}, data_dir=prepared_folder(folder / "data"))
    with open_database(settings) as db:
        city = settings.load_city()
        prepare(db.owner_dsn, city, settings.load_catalogue(city))
        with psycopg.connect(db.owner_dsn) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
            assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
        yield db, settings


def fill(db: Database) -> tuple[str, list[int]]:
    """Features, and the token of an account that may edit them."""
    with psycopg.connect(db.owner_dsn, autocommit=True) as connection:
        rows = connection.execute(
            f"INSERT INTO layer.{LAYER} (owner, name, geom) SELECT 'vnpt', 'office ' || n,"
            " ST_SetSRID(ST_MakePoint(603000 + 40 * (n %% 20), 1191000 + 40 * (n / 20)), 9210)"
            " FROM generate_series(1, %s) AS n RETURNING fid",
            [WRITERS * EACH],
        ).fetchall()
        account = add_account(connection, "writer")
        grant(connection, account, "editor", "vnpt")
        token, _ = make_token(connection, account, "kills", ("read", "edit"))
    return token, sorted(row[0] for row in rows)


def kill_server(server: Server, _: Database) -> None:
    """All of its processes at once; an operator starts it anew."""
    family = [
        server.process.pid,
        *(p.pid for p in psutil.Process(server.process.pid).children(recursive=True)),
    ]
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    server.process.wait()
    server.start()


def kill_worker(server: Server, _: Database) -> None:
    """The process with most processor time is one that serves; the parent starts another."""
    workers = psutil.Process(server.process.pid).children(recursive=True)
    busiest = max(workers, key=lambda p: sum(p.cpu_times()[:2]))
    os.kill(busiest.pid, signal.SIGKILL)
    if server.process.poll() is None:
        time.sleep(1.0)
    if server.process.poll() is not None:  # the whole program gives up: then it is started anew
        server.start()
    server.wait_ready()


def kill_backend(server: Server, db: Database) -> None:
    """A backend in the middle of an edit: PostgreSQL throws everybody out and recovers from its log."""
    until = time.monotonic() + 5
    with contextlib.suppress(psycopg.Error), psycopg.connect(db.owner_dsn, autocommit=True) as connection:
        found = None
        while found is None and time.monotonic() < until:
            found = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'bandoso edit'"
                " AND xact_start IS NOT NULL AND state = 'active'"
            ).fetchone()
        assert found is not None, "no edit was under way"
        os.kill(found[0], signal.SIGKILL)
    server.wait_ready()


WAYS: tuple[Callable[[Server, Database], None], ...] = (
    kill_backend, kill_server, kill_worker, kill_backend, kill_server,
)  # fmt: skip


def test_nothing_that_was_acknowledged_is_lost_by_kills(
    durable: tuple[Database, Settings], folder: Path
) -> None:
    db, settings = durable
    token, fids = fill(db)
    home = folder / "server"
    home.mkdir()
    server = Server(replace(settings, workers=2, pool_size=4), db, home)
    server.start()
    began, stop = time.monotonic(), threading.Event()
    writers = [
        Writer(n, server.url, token, db.owner_dsn, fids[n * EACH : (n + 1) * EACH], stop)
        for n in range(WRITERS)
    ]
    try:
        for writer in writers:
            writer.start()
        for number, kill in enumerate(WAYS, start=1):
            _wait(lambda goal=ACKNOWLEDGED * number // (KILLS + 1): _count(writers) >= goal, began, writers)
            kill(server, db)
            print(
                f"{kill.__name__}: {_count(writers)} edits after {time.monotonic() - began:.0f} s", flush=True
            )
        _wait(lambda: _count(writers) >= ACKNOWLEDGED, began, writers)
    finally:
        stop.set()
        for writer in writers:
            writer.join(30)
        server.stop()
    assert not [said for writer in writers for said in writer.told.refused]
    told = {key: value for writer in writers for key, value in writer.told.versions.items()}
    made = {key: value for writer in writers for key, value in writer.told.changesets.items()}
    cut_off = sum(writer.told.cut_off for writer in writers)
    assert len(told) == _count(writers) >= ACKNOWLEDGED and len(WAYS) == KILLS
    assert cut_off > 0, "the kills hit nobody"
    with psycopg.connect(db.owner_dsn) as connection:
        _nothing_lost(connection, told, made)
        _history_is_whole(connection, fids)
        _changesets_are_whole(connection)
    print(
        f"{len(told)} edits acknowledged in {time.monotonic() - began:.0f} s over {KILLS} kills,"
        f" {cut_off} requests cut off"
    )


def _count(writers: list[Writer]) -> int:
    return sum(len(writer.told.versions) for writer in writers)


def _wait(done: Callable[[], bool], began: float, writers: list[Writer]) -> None:
    while not done():
        refused = [said for writer in writers for said in writer.told.refused]
        assert not refused, refused[0]
        assert time.monotonic() - began < LONGEST_S, f"{_count(writers)} edits in {LONGEST_S:.0f} s"
        time.sleep(0.05)


def _nothing_lost(
    connection: psycopg.Connection[Any], told: dict[tuple[int, int], str], made: dict[int, str]
) -> None:
    """Every acknowledged version stands, or did until its successor came."""
    stored = {
        (fid, version): value
        for fid, version, value in connection.execute(
            f"SELECT fid, version, opening_hours FROM layer.{LAYER} UNION ALL"
            " SELECT fid, version, properties ->> 'opening_hours' FROM bandoso.version WHERE layer = %s",
            [LAYER],
        )
    }
    lost = [key for key, value in told.items() if stored.get(key) != value]
    assert not lost, f"{len(lost)} of {len(told)}, the first: {lost[0]}"
    comments = dict(connection.execute("SELECT id, comment FROM bandoso.changeset").fetchall())
    assert [key for key, value in made.items() if comments.get(key) != value] == []


def _history_is_whole(connection: psycopg.Connection[Any], fids: list[int]) -> None:
    """Each version ends when its successor begins, and all are there from the first."""
    rows = connection.execute(
        "SELECT fid, version, valid_from, valid_to FROM bandoso.version WHERE layer = %s"
        f" UNION ALL SELECT fid, version, updated_at, NULL FROM layer.{LAYER} ORDER BY 1, 2",
        [LAYER],
    ).fetchall()
    seen = []
    for fid, group in itertools.groupby(rows, key=lambda row: row[0]):
        versions = list(group)
        seen.append(fid)
        assert [row[1] for row in versions] == list(range(1, len(versions) + 1)), fid
        assert versions[-1][3] is None
        for row, successor in itertools.pairwise(versions):
            assert row[2] < row[3] == successor[2], (fid, row)
    assert seen == fids


def _changesets_are_whole(connection: psycopg.Connection[Any]) -> None:
    """All changes of a changeset or none; each is told by a version and each version by a change."""
    sizes = connection.execute(
        "SELECT s.comment IS NULL, s.summary, count(c.fid), count(DISTINCT c.fid) FROM bandoso.changeset AS s"
        " LEFT JOIN bandoso.change AS c ON c.changeset = s.id WHERE s.kind = 'edit' GROUP BY s.id"
    ).fetchall()
    assert sizes
    for single, summary, changes, features in sizes:
        assert changes == features == (1 if single else TOGETHER)
        assert summary[LAYER]["updated"] == changes
    for query in (
        "SELECT count(*) FROM bandoso.change AS c LEFT JOIN bandoso.changeset AS s ON s.id = c.changeset"
        " WHERE s.id IS NULL",
        "SELECT count(*) FROM bandoso.version AS v LEFT JOIN bandoso.change AS c ON c.changeset = v.ended_by"
        " AND c.layer = v.layer AND c.fid = v.fid AND c.old_version = v.version WHERE c.fid IS NULL",
        "SELECT count(*) FROM bandoso.change AS c LEFT JOIN bandoso.version AS v ON v.ended_by = c.changeset"
        " AND v.layer = c.layer AND v.fid = c.fid AND c.old_version = v.version"
        " WHERE c.op = 'u' AND v.fid IS NULL",
    ):
        assert connection.execute(query.encode()).fetchone() == (0,), query
