"""A client of processes and jobs, for tests: small areas of the sample, waiting, the runner's processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psutil
import psycopg

from gis.errors import NotFoundError
from gis.identity import accounts
from tests.api.process import Server

EXECUTION = "/processes/check/execution"
#: Where the sample has its rows 3 to 11 (EPSG:9210): 0.03 km².
BOX = [605990.0, 1191990.0, 606400.0, 1192060.0]
AREA = {"bbox": BOX, "crs": "http://www.opengis.net/def/crs/EPSG/0/9210"}
#: Enough to run quickly, and to be blocked by a lock on the layer.
SMALL: dict[str, Any] = {"layers": ["water_pipe"], "rules": ["GEN-05"], "bbox": AREA}
ASYNC = {"Prefer": "respond-async"}


class Client:
    """Requests to one server, as a stranger or as a steward of the city."""

    def __init__(self, server: Server, *, steward: bool = False) -> None:
        self.server = server
        headers = {"Authorization": f"Bearer {secret_of(server)}"} if steward else {}
        self.http = httpx.Client(base_url=server.url, timeout=270, verify=False, headers=headers)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def execute(
        self, inputs: dict[str, Any], *, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        """POST an execute request."""
        return self.http.post(
            EXECUTION, params={"lang": "en"}, json={"inputs": inputs, **more}, headers=headers
        )

    def start(self, inputs: dict[str, Any], **more: Any) -> str:
        """Queue a job; its id."""
        answer = self.execute(inputs, headers=ASYNC, **more)
        assert answer.status_code == 201, answer.text
        assert answer.headers["location"] == f"{self.server.url}/jobs/{answer.json()['jobID']}"
        return str(answer.json()["jobID"])

    def job(self, job: str) -> dict[str, Any]:
        """The status document."""
        answer = self.http.get(f"/jobs/{job}", params={"lang": "en"})
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def wait(self, job: str, *statuses: str, seconds: float = 240) -> dict[str, Any]:
        """Wait until the job has one of the statuses (default: an outcome)."""
        wanted = statuses or ("successful", "failed", "dismissed")
        end = time.monotonic() + seconds
        while True:
            document = self.job(job)
            if document["status"] in wanted:
                return document
            assert time.monotonic() < end, document
            time.sleep(0.1)


def secret_of(server: Server, name: str = "steward", agency: str = "city", role: str = "steward") -> str:
    """An API token of a new or the existing account ``name`` with a role for an agency."""
    with psycopg.connect(server.db.owner_dsn, autocommit=True) as connection:
        try:
            account = accounts.find(connection, name)
        except NotFoundError:
            account = accounts.add_account(connection, name)
            accounts.grant(connection, account, role, agency)
        return accounts.make_token(connection, account, "tests")[0]


@contextmanager
def blocked(dsn: str, layer: str = "water_pipe") -> Iterator[Callable[[], None]]:
    """Checks of the layer wait in the database for as long as the block lasts, or until it is called."""
    with psycopg.connect(dsn) as connection:
        connection.execute(f'LOCK TABLE layer."{layer}" IN ACCESS EXCLUSIVE MODE')
        yield connection.rollback


def processes_of(server: Server, module: str) -> list[psutil.Process]:
    """Its processes that run ``python -m module``."""
    return [
        one
        for one in psutil.Process(server.process.pid).children(recursive=True)
        if module in _arguments(one)
    ]


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def until(true: Callable[[], Any], seconds: float, what: str) -> float:
    """Wait for a condition; the seconds it took. ``seconds`` is what a quiet machine may need: others get
    ten times as long, for what is wanted is that it comes, not when."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < max(60.0, 10 * seconds), what
        time.sleep(0.02)
    return time.monotonic() - began
