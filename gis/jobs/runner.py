"""The runner: ``python -m gis.jobs.runner``, a small process beside the web processes.

It waits in one select() for the database's notification, its children, signals, and the end of its standard
input (the server is gone). It imports nothing heavy; each job runs in a child of its own, so that memory is
given back, a crash of a library ends one run, and a dismissed job is stopped by a signal wherever it is.
"""

from __future__ import annotations

import contextlib
import logging
import logging.config
import os
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import orjson
import psycopg
from psycopg.conninfo import make_conninfo

from gis.jobs import queue
from gis.jobs.queue import BEAT, Claimed
from gis.log import configuration

LOG = logging.getLogger("bandoso.jobs")

OWNER_DSN = "BANDOSO_OWNER_DSN"
NAME = "BANDOSO_RUNNER"
SLOTS = "BANDOSO_JOB_SLOTS"

#: Seconds between two looks when nothing was notified: for jobs of lost runners, and results to remove.
LOOK = 5.0
PURGE = 600.0
#: Seconds until another child is kept ready in place of one that has died before its job; and after the
#: start, when the server has better use for the processors.
PATIENCE, FIRST_PATIENCE = 5.0, 20.0
#: Shortest time between two statements about one job's progress.
SAY = 0.5


@dataclass
class Child:
    """A child process that waits for a job."""

    process: subprocess.Popen[bytes]
    output: int


@dataclass
class Run:
    """A job and the child that runs it."""

    job: Claimed
    process: subprocess.Popen[bytes]
    output: int
    any_size: bool
    began: float
    told_at: float = 0.0
    percent: int = 0
    message: queue.Words | None = None
    failed: dict[str, Any] | None = None
    #: Killed on purpose: what its end means is decided already.
    dropped: bool = False
    _rest: bytes = field(default=b"")

    def read(self) -> bool:
        """Take in what the child says; False at the end."""
        data = os.read(self.output, 65536)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            said = orjson.loads(line)
            if "failed" in said:
                self.failed = said["failed"]
            else:
                self.percent, self.message = said["percent"], said["message"]
        return bool(data)

    def kill(self) -> None:
        """End the child and the workers it has started."""
        self.dropped = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


class Runner:
    """Claims and runs jobs, ``slots`` at a time; one of several slots takes small jobs only."""

    def __init__(self, dsn: str, name: str, slots: int) -> None:
        self.dsn = make_conninfo(dsn, application_name="bandoso runner")
        self.name, self.slots = name, slots
        self.runs: list[Run] = []
        self.stopping = False
        self._looked = self._purged = 0.0
        self._spare: Child | None = None
        self._spared = time.monotonic() + FIRST_PATIENCE
        self._wake, wake = socket.socketpair()
        for one in (self._wake, wake):
            one.setblocking(False)
        self._wake_source = wake
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)

    def run(self) -> None:
        """Until SIGTERM, or the server is gone. A database that is away is waited for."""
        complaint = ""
        wait = 0.2
        while not self.stopping:
            try:
                with psycopg.connect(self.dsn, autocommit=True, connect_timeout=10) as connection:
                    connection.execute("LISTEN bandoso_job")
                    if not self.runs:
                        queue.requeue_lost(connection, self.name)
                    complaint, wait = "", 0.2
                    self._serve(connection)
                    self._hand_back(connection)
            except psycopg.Error as error:
                said = type(error).__name__
                if said != complaint:
                    LOG.warning("the job runner waits for the database: %s", said)
                complaint = said
                self._pause(wait)
                wait = min(wait * 2, 5.0)
        self._drop_spare()
        for run in self.runs:
            run.kill()
            run.process.wait()

    def _serve(self, connection: psycopg.Connection) -> None:
        self._looked = 0.0
        while not self.stopping:
            now = time.monotonic()
            if now - self._looked >= LOOK:
                self._looked = now
                queue.requeue_lost(connection)
            if now - self._purged >= PURGE:
                self._purged = now
                queue.purge(connection)
                connection.execute("SELECT bandoso.forget_notes(now() - interval '30 days')")
            self._fill(connection)
            self._keep_spare(now)
            for run in self.runs:
                self._tell(connection, run)
            self._reap(connection)
            if not self.stopping:
                self._wait(connection)

    def _wait(self, connection: psycopg.Connection) -> None:
        """Sleep until there is something to do."""
        if self._heard(connection):  # while a statement ran: it may have come too late for that one
            return
        now = time.monotonic()
        until = self._looked + LOOK
        for run in self.runs:
            if not run.dropped:
                until = min(until, run.told_at + (SAY if run.message else BEAT))
        outputs = {run.output: run for run in self.runs if run.output >= 0}
        sources: list[Any] = [connection.fileno(), self._wake, 0, *outputs]
        ready, _, _ = select.select(sources, [], [], max(0.0, until - now))
        self._signals(ready)
        for one in ready:
            if one in outputs and not outputs[one].read():
                os.close(one)
                outputs[one].output = -1
        self._heard(connection)

    def _heard(self, connection: psycopg.Connection) -> bool:
        """Take in what was notified: that there are new jobs, or that one was dismissed."""
        notices = list(connection.notifies(timeout=0))
        for notice in notices:
            for run in self.runs:
                if run.job.id == notice.payload:
                    run.told_at = -BEAT  # the next sign of life finds out
        return bool(notices)

    def _signals(self, ready: list[Any]) -> None:
        if self._wake in ready:
            numbers = self._wake.recv(4096)
            self.stopping = self.stopping or signal.SIGTERM in numbers or signal.SIGINT in numbers
        if 0 in ready and not os.read(0, 1024):  # standard input ends with the server
            self.stopping = True

    def _fill(self, connection: psycopg.Connection) -> None:
        """Start what is waiting."""
        while len(self.runs) < self.slots:
            any_size = self.slots == 1 or sum(run.any_size for run in self.runs) < self.slots - 1
            job = queue.claim(connection, self.name, any_size=any_size)
            if job is None:
                return
            self.runs.append(self._start(job, any_size))

    def _start(self, job: Claimed, any_size: bool) -> Run:
        child = self._spare if self._spare and self._spare.process.poll() is None else self._spawn()
        self._spare = None
        assert child.process.stdin
        with contextlib.suppress(BrokenPipeError):  # it has died: that is seen as the end of its run
            child.process.stdin.write(f"{job.id} {job.attempt}\n".encode())
            child.process.stdin.flush()
        return Run(job, child.process, child.output, any_size, time.monotonic(), time.monotonic())

    def _spawn(self) -> Child:
        output, theirs = os.pipe()
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "gis.jobs.child", str(theirs)],
                stdin=subprocess.PIPE,  # its end tells the child that we are gone
                stdout=2,  # what a library prints belongs into the log
                pass_fds=(theirs,),
                start_new_session=True,
            )
        finally:
            os.close(theirs)
        return Child(process, output)

    def _keep_spare(self, now: float) -> None:
        """Have a child ready whenever nothing runs: what it imports takes longer than a small job does, for
        which somebody waits. One that dies before its job is not replaced at once."""
        if self._spare and self._spare.process.poll() is not None:
            self._drop_spare()
            self._spared = now + PATIENCE
        if self._spare is None and not self.runs and now >= self._spared:
            self._spare = self._spawn()

    def _drop_spare(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.process.kill()
            spare.process.wait()
            os.close(spare.output)
            if spare.process.stdin:
                spare.process.stdin.close()

    def _tell(self, connection: psycopg.Connection, run: Run) -> None:
        """A sign of life of each run, its progress, and the end of those that are not ours any more."""
        now = time.monotonic()
        if run.dropped or now - run.told_at < (SAY if run.message else BEAT):
            return
        message, run.message, run.told_at = run.message, None, now
        if not queue.beat(connection, run.job, self.name, run.percent, message):
            run.kill()
        elif run.job.most_seconds and now - run.began > run.job.most_seconds:
            queue.fail(connection, run.job, queue.failure(400, "took-too-long", queue.TOO_LONG))
            run.kill()

    def _reap(self, connection: psycopg.Connection) -> None:
        """Draw the conclusion from children that have ended."""
        for run in [run for run in self.runs if run.process.poll() is not None]:
            if run.output >= 0:
                while run.read():
                    pass
                os.close(run.output)
                run.output = -1
            code = run.process.returncode
            if run.failed is not None:
                queue.fail(connection, run.job, run.failed)
            elif code and not run.dropped:
                LOG.warning("the run of a job ended with %d", code)
                queue.interrupted(connection, run.job)
            if run.process.stdin:
                run.process.stdin.close()
            self.runs.remove(run)  # last: a database that is away leaves it to be asked again

    def _hand_back(self, connection: psycopg.Connection) -> None:
        for run in self.runs:
            run.kill()
            run.process.wait()
            if not run.failed:
                queue.hand_back(connection, run.job)
        self.runs.clear()

    def _pause(self, seconds: float) -> None:
        """Wait without a database; children go on."""
        sources: list[Any] = [self._wake, 0]
        ready, _, _ = select.select(sources, [], [], seconds)
        self._signals(ready)


def main() -> int:
    """Run until told to stop."""
    logging.config.dictConfig(configuration(os.environ.get("BANDOSO_LOG_LEVEL") or "info"))
    runner = Runner(os.environ[OWNER_DSN], os.environ[NAME], int(os.environ[SLOTS]))
    try:
        runner.run()
    except Exception:
        LOG.exception("the job runner failed")
        for run in runner.runs:
            run.kill()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
