"""The real program as a child process, for tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from gis.db.server import Database
from gis.settings import Settings

ROOT = Path(__file__).resolve().parents[2]

_PROGRAM = """
import os
from gis.api import serve
from gis.db.server import Database
from gis.settings import Settings
serve.TARGET = os.environ["TEST_TARGET"]
serve.run(Settings.from_env(), Database(os.environ["TEST_OWNER_DSN"], os.environ["TEST_APP_DSN"], False))
"""

#: Settings whose defaults are for people in a hurry. Machines of CI take several times as long: where a test
#: does not say otherwise, a job is waited for.
PATIENT = {"job_wait_s": 240, "job_public_s": 240}


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Server:
    """A running bandoso server. ``url`` has no final slash; ``log`` holds access log and messages."""

    def __init__(
        self, settings: Settings, db: Database, folder: Path, target: str = "gis.api.app:create"
    ) -> None:
        self.target = target
        own = replace(settings, port=free_port(), data_dir=folder, host="127.0.0.1")
        patient = {k: v for k, v in PATIENT.items() if getattr(own, k) == getattr(Settings, k)}
        self.settings = replace(own, **patient)  # type: ignore[arg-type]
        self.db = db
        self.folder = folder
        self.log = folder / "server.log"
        self.url = f"http://127.0.0.1:{self.settings.port}"
        self.port = self.settings.port
        self._process: subprocess.Popen[bytes] | None = None
        # a connection for each request, so that all workers are asked; no TLS, whose setup takes 50 ms
        self._client = httpx.Client(
            verify=False, timeout=240, limits=httpx.Limits(max_keepalive_connections=0)
        )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def start(self, *, ready: bool = True) -> Server:
        """Start it, and wait until every worker had time to be ready."""
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("BANDOSO_")},
            **self.settings.to_env(),
            "TEST_OWNER_DSN": self.db.owner_dsn,
            "TEST_APP_DSN": self.db.app_dsn,
            "TEST_TARGET": self.target,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'attack'}",
        }
        (self.folder / "layers").mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM], cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self, seconds: float = 240.0) -> None:
        """Wait for /readyz."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                if self.get("/readyz").status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        self.stop()
        pytest.fail("the server did not get ready:\n" + self.log.read_text(errors="replace")[-3000:])

    def stop(self, signal_number: int = signal.SIGTERM, seconds: float = 90.0) -> int:
        """Stop it and return its exit code."""
        process = self.process
        self._client.close()
        if process.poll() is None:
            process.send_signal(signal_number)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return process.returncode

    def get(self, path: str, **options: object) -> httpx.Response:
        """GET of a path below ``url``."""
        return self._client.get(self.url + path, **options)  # type: ignore[arg-type]
