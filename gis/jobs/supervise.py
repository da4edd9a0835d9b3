"""Keeps processes beside a server, the job runner above all: started with it, stopped with it."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

from gis.jobs.runner import NAME, OWNER_DSN, SLOTS
from gis.settings import Settings

LOG = logging.getLogger("bandoso.jobs")

#: So long such a process has to end when the server stops (seconds): a runner puts its jobs back.
STOP = 5.0
#: Seconds between two starts of one that ends at once, at most.
PATIENCE = 30.0


class Beside:
    """A process beside a server: started with it, started again when it ends, stopped with it.

    It runs ``python -m module`` with ``environment`` added; its standard input ends when the server does,
    however it does, and SIGTERM asks it to end within STOP seconds.
    """

    def __init__(self, module: str, environment: dict[str, str], name: str) -> None:
        self._module, self._environment, self._name = module, environment, name
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name=name.replace(" ", "-"), daemon=True)

    def start(self) -> None:
        """Start the process and watch over it."""
        self._start()
        self._thread.start()

    def stop(self) -> None:
        """End the process."""
        with self._lock:
            self._stopping.set()
            process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP)
        except subprocess.TimeoutExpired:
            process.kill()  # its children end by themselves
            process.wait()
        self._thread.join(STOP)

    def _start(self) -> None:
        with self._lock:
            if self._stopping.is_set():
                return
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module],
                stdin=subprocess.PIPE,  # ends when this process does, however it does
                stdout=2,
                env={**os.environ, **self._environment},
                start_new_session=True,  # Ctrl-C is for the server, which stops it in order
            )

    def _keep(self) -> None:
        wait = 0.0
        while not self._stopping.is_set():
            process = self._process
            if process is None:
                return
            began = time.monotonic()
            code = process.wait()
            if self._stopping.is_set():
                return
            wait = 0.0 if time.monotonic() - began > PATIENCE else min(PATIENCE, wait * 2 or 0.2)
            LOG.warning("the %s ended with %d and is started again", self._name, code)
            if process.stdin:
                process.stdin.close()
            self._stopping.wait(wait)
            self._start()


class Supervisor(Beside):
    """Keeps a job runner; nothing is started where ``settings.job_slots`` is 0. The jobs of a runner that is
    stopped go back into the queue."""

    def __init__(self, settings: Settings, owner_dsn: str) -> None:
        self._slots = settings.job_slots
        environment = {
            **replace(settings, dsn="", app_dsn="").to_env(),
            OWNER_DSN: owner_dsn,
            # One name for all runners that this server starts: a new one takes over its jobs at once.
            NAME: secrets.token_hex(8),
            SLOTS: str(self._slots),
        }
        super().__init__("gis.jobs.runner", environment, "job runner")

    def start(self) -> None:
        if self._slots:
            super().start()
