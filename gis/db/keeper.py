"""The keeper: a small process that owns the embedded PostgreSQL, and outlives no one who uses it.

Run by path, with the standard library alone (``python -I -S keeper.py``), so that it starts in 40 ms.
It is its own process and not a thread of the first user because (1) that user may finish while others
still work (``bandoso load`` started it, ``bandoso serve`` joined), (2) the parent's death signal of
``postgres`` is tied to the *thread* that started it, and (3) Ctrl-C in a terminal must reach neither
it nor ``postgres``: users finish their transactions first.

    last user goes (exit, crash, SIGKILL) -> its shared lock is freed -> the keeper stops postgres
    postgres dies (postmaster killed)     -> the keeper starts it again, which recovers
    the keeper dies                       -> postgres gets SIGINT (pdeathsig) and stops in order

Exit codes: 0 stopped in order; 1 the server does not start or keeps dying; 3 another server runs there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

STOP_SECONDS = 60.0  # a shutdown checkpoint may have gigabytes to write
ORPHAN_SECONDS = 10.0
TRIES = 5
KEEP_LOGS = 10

FOREIGN = 3


def say(text: str) -> None:
    """One line for run/keeper.log."""
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} keeper[{os.getpid()}] {text}\n")
    sys.stderr.flush()


def server_processes(pgdata: Path) -> list[int]:
    """Ids of the PostgreSQL processes that work in ``pgdata``: all of them have it as their folder."""
    home = Path(pgdata).resolve()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "cwd").readlink() == home and _program(entry) == "postgres":
                found.append(int(entry.name))
        except OSError:  # gone meanwhile, or not ours to see
            continue
    return found


def _program(process: Path) -> str:
    return (process / "exe").readlink().name.removesuffix(" (deleted)")  # deleted: the package was upgraded


def pid_file(pgdata: Path) -> tuple[int, str]:
    """Process id and state (``starting``, ``ready``, ``stopping``) of postmaster.pid; (0, "") without."""
    try:
        lines = (pgdata / "postmaster.pid").read_text().splitlines()
        return abs(int(lines[0])), lines[7].strip() if len(lines) > 7 else "starting"
    except (OSError, ValueError, IndexError):
        return 0, ""


def parent(pid: int) -> int:
    """Process id of the parent; 0 if the process is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def clear_remains(pgdata: Path, sockets: Path) -> bool:
    """Wait for what is left of an earlier server and remove its stale files; False: another one runs.

    A stale postmaster.pid whose number is now another process of the same user would block the start
    for good; a number proves nothing, so the processes themselves are looked at.
    """
    began = time.monotonic()
    signalled: set[tuple[int, int]] = set()
    while processes := server_processes(pgdata):
        waited = time.monotonic() - began
        master, state = pid_file(pgdata)
        if master in processes:
            if state == "ready" and waited > ORPHAN_SECONDS:
                return False
            if waited > STOP_SECONDS + ORPHAN_SECONDS:
                _signal([master], signal.SIGQUIT, signalled)
        elif waited > 2 * ORPHAN_SECONDS:
            _signal(processes, signal.SIGKILL, signalled)
        elif waited > ORPHAN_SECONDS / 5:  # the postmaster was killed: its children end by themselves
            _signal(processes, signal.SIGQUIT, signalled)
        time.sleep(0.02)
    for stale in (pgdata / "postmaster.pid", *sockets.glob(".s.PGSQL.*")):
        with contextlib.suppress(FileNotFoundError):
            stale.unlink()
    return True


def _signal(processes: list[int], number: int, done: set[tuple[int, int]]) -> None:
    for pid in processes:
        if (pid, number) not in done:
            done.add((pid, number))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def prune_logs(folder: Path) -> None:
    """Keep the newest log files: the collector rotates them by size, but removes none."""
    logs = sorted(folder.glob("postgresql-*.log"), key=lambda p: p.name)
    for old in logs[:-KEEP_LOGS]:
        with contextlib.suppress(OSError):
            old.unlink()


class Keeper:
    """Runs the command again and again until the last user is gone."""

    def __init__(self, pgdata: Path, sockets: Path, logs: Path, users_fd: int, command: list[str]) -> None:
        self.pgdata, self.sockets, self.logs = pgdata, sockets, logs
        self.users_fd, self.command = users_fd, command
        self.stopping = threading.Event()
        self.guard = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Until stopped; the exit code. Must run in the main thread (see the module's text)."""
        threading.Thread(target=self._wait_for_last_user, daemon=True).start()
        threading.Thread(target=self._prune_hourly, daemon=True).start()
        failures = 0
        while not self.stopping.is_set():
            if not clear_remains(self.pgdata, self.sockets):
                say("another PostgreSQL server runs in this folder")
                return FOREIGN
            with self.guard:
                if self.stopping.is_set():
                    break
                self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, cwd="/")
            began = time.monotonic()
            code = self.process.wait()
            if self.stopping.is_set() or code == 0:  # 0: stopped in order from outside
                break
            quick = time.monotonic() - began < 5
            failures = failures + 1 if quick else 1
            say(f"postgres ended with {code}")
            if failures >= TRIES or (quick and failures == 1 and not self._was_ready()):
                return 1
            self.stopping.wait(0.1 * 2**failures if quick else 0)
        say("stopped")
        return 0

    def _was_ready(self) -> bool:
        # postgres removes postmaster.pid when it refuses to start, and leaves it when it is killed
        return (self.pgdata / "postmaster.pid").exists()

    def _prune_hourly(self) -> None:
        while True:
            prune_logs(self.logs)
            time.sleep(3600)

    def _wait_for_last_user(self) -> None:
        fcntl.flock(self.users_fd, fcntl.LOCK_EX)
        with self.guard:
            self.stopping.set()
            process = self.process
        if process is None:
            return
        for number, patience in (
            (signal.SIGINT, STOP_SECONDS),
            (signal.SIGQUIT, 10.0),
            (signal.SIGKILL, 5.0),
        ):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
            deadline = time.monotonic() + patience
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.005)
            if process.returncode is not None:
                return
            say(f"postgres did not stop within {patience:.0f} s of signal {number}")


def main() -> int:
    """keeper.py PGDATA SOCKETS LOGS RUN KEEPER_FD COMMAND..."""
    pgdata, sockets, logs, run, keeper_fd = sys.argv[1:6]
    os.set_inheritable(int(keeper_fd), False)  # postgres must not hold the lock on
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # users decide; a handler, since SIG_IGN would be inherited
    users_fd = os.open(Path(run) / "users.lock", os.O_RDWR | os.O_CLOEXEC)
    (Path(run) / "keeper.pid").write_text(str(os.getpid()))
    return Keeper(Path(pgdata), Path(sockets), Path(logs), users_fd, sys.argv[6:]).run()


if __name__ == "__main__":
    sys.exit(main())
