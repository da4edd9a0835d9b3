"""Forks the children that read deliveries from a process that has imported what they import.

A load that a test makes in its own process starts a reading child (gis/ingest/spawn.py), which spends almost
a second of a processor on imports, hundreds of times in a run of all tests. Here the first one starts a
nursery, in the same way with the same environment, and each later child is a fork of it, which then does
what it always does: it is limited, shut in, and reads one delivery. Loads by the command start their children
as they do for users.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import IO, Any, cast

ROOT = Path(__file__).resolve().parents[1]
_CHILD = "gis.ingest.reader_child"
_MAIN = f"from {_CHILD} import main\nmain()\n"


class Forked:
    """What Popen tells of a child, of one that another process has forked."""

    def __init__(self, pid: int, status: int, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self.pid, self.stdin, self.stdout = pid, stdin, stdout
        self.returncode: int | None = None
        self._status = status

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a reading child", timeout or 0)
            self.returncode = int(os.read(self._status, 20) or b"-9")
            os.close(self._status)
        return self.returncode

    def kill(self) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


class Nursery:
    """``start()`` in place of that of gis.ingest.spawn."""

    def __init__(self) -> None:
        from gis.ingest import spawn

        before, _, after = spawn._START.format(root=str(ROOT), module=_CHILD).partition(_MAIN)
        assert not after, "what starts a child has changed"
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", f"{before}from tests.reading_nursery import serve\nserve()\n"],
                stdin=theirs,
                env=spawn.clean_environment(),
                cwd="/",
                start_new_session=True,
            )

    def start(self) -> Any:
        """A child that waits for its request."""
        from gis.ingest.spawn import Waiting

        stderr = tempfile.TemporaryFile()  # noqa: SIM115
        stdin, into = os.pipe()
        out, stdout = os.pipe()
        status, tell = os.pipe()
        socket.send_fds(self._socket, [b"one"], [stdin, stdout, stderr.fileno(), tell])
        for one in (stdin, stdout, tell):
            os.close(one)
        pid = int(self._socket.recv(20))
        child = Forked(pid, status, os.fdopen(into, "wb", 0), os.fdopen(out, "rb", 0))
        return Waiting(cast("subprocess.Popen[bytes]", child), stderr)

    def close(self) -> None:
        self._socket.close()
        self._process.wait(20)


def serve() -> None:
    """The nursery: until the other end of its standard input is closed."""
    from gis.ingest import reader_child

    asked = socket.socket(fileno=os.dup(0))
    wake, source = socket.socketpair()
    for end in (wake, source):
        end.setblocking(False)
    signal.set_wakeup_fd(source.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    told: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([asked, wake], [], [])
        if wake in ready:
            with contextlib.suppress(BlockingIOError):
                wake.recv(4096)
        for pid in list(told):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                with contextlib.suppress(BrokenPipeError):
                    os.write(told[pid], str(os.waitstatus_to_exitcode(status)).encode())
                os.close(told.pop(pid))
        if asked not in ready:
            continue
        message, given, _, _ = socket.recv_fds(asked, 20, 4)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number, descriptor in enumerate(given[:3]):
                os.dup2(descriptor, number)
            for descriptor in (*given, *told.values(), asked.fileno(), wake.fileno(), source.fileno()):
                os.close(descriptor)
            os.setsid()
            os._exit(_run(reader_child.main))
        told[pid] = given[3]
        for descriptor in given[:3]:
            os.close(descriptor)
        asked.send(str(pid).encode())


def _run(main: Any) -> int:
    """The exit code of a program whose main function this is."""
    try:
        main()
        sys.stdout.flush()
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
