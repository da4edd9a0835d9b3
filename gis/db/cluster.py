"""The embedded PostgreSQL cluster of a data folder: made once, joined or started, left.

::

    data folder/
      postgres/   PostgreSQL's own files (0700, of the unprivileged account)
      socket/     its socket (0700); under /tmp or $XDG_RUNTIME_DIR when this path is too long for one
      log/        its log, rotated by size
      conf/       its configuration
      run/        locks, the keeper's log (0700, of the invoking user)
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from gis.db import keeper
from gis.db.binaries import Account, Binaries, check_reachable, find_binaries, server_account
from gis.db.conf import OWNER, write_configuration
from gis.db.locks import FileLock
from gis.errors import ConfigError, DatabaseError

DATABASE = "bandoso"
PORT = 5432  # names the socket's file only; nothing listens on TCP

#: A socket's path may have 107 bytes; ".s.PGSQL.5432.lock" and a slash need 20.
MAX_SOCKET_FOLDER = 87

START_SECONDS = 60.0
RECOVERY_SECONDS = 900.0
LEAVE_SECONDS = 90.0
#: Bytes of disk without which PostgreSQL may not come back: a segment of its log.
_LEAST_FREE = 16 * 1024 * 1024
RUN_LOG_BYTES = 1_000_000


class Cluster:
    """One process's use of the cluster: ``join()``, then ``leave()``."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir.resolve()
        self.pgdata = self.folder / "postgres"
        self.run = self.folder / "run"
        self._users: FileLock | None = None
        self._keeper: FileLock | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def dsn(self, user: str = OWNER, database: str = DATABASE) -> str:
        """Connection string through the socket of the running server."""
        folder = (self.run / "socket").read_text()
        return make_conninfo("", host=folder, port=PORT, user=user, dbname=database, connect_timeout=10)

    def join(self) -> None:
        """Use the server of this data folder, starting it if no process has. Returns when it is ready.

        Raises ConfigError (no PostGIS, folder not reachable) and DatabaseError (does not start).
        """
        self._make_folders()
        self._users = FileLock(self.run / "users.lock")
        self._keeper = FileLock(self.run / "keeper.lock")
        try:
            # From here on no keeper stops; one that is stopping has to finish first.
            self._users.wait_shared(LEAVE_SECONDS)
            self._wait_until_ready()
            self._ensure_database()
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Stop using the server; the last one to leave waits until it is down."""
        users, keepers = self._users, self._keeper
        self._users = self._keeper = None
        if users is None:
            return
        last = users.try_exclusive()
        users.close()
        down = last and keepers is not None and self._wait_until_down(keepers)
        if keepers:
            keepers.close()
        if self._process is not None:
            if down:
                self._process.wait(timeout=10)  # its lock is free: it is at its very end
            else:
                _left_running.append(self._process)
            self._process = None

    # -- starting ---------------------------------------------------------------------------------

    def _make_folders(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name, mode in (("run", 0o700), ("conf", 0o755), ("layers", 0o755)):
                (self.folder / name).mkdir(mode=mode, exist_ok=True)
        except PermissionError:
            raise ConfigError(
                "this user may not write to the data folder", hint="choose another one with --data-dir"
            ) from None
        except (FileExistsError, NotADirectoryError):
            raise ConfigError("the data folder's path is a file") from None
        except OSError as error:  # a read-only or full disk, a file system that takes no folders
            raise ConfigError(
                f"the data folder cannot be made ({(error.strerror or 'no reason given').lower()})",
                hint="choose another one with --data-dir",
            ) from error

    def _wait_until_ready(self) -> None:
        assert self._keeper
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self._keeper.try_exclusive():  # no keeper: its end freed the lock, or there never was one
                if self._process is not None:
                    raise self._failure(self._process.wait(timeout=10))
                self._start()
            master, state = keeper.pid_file(self.pgdata)
            if state == "ready" and self._is_kept(master) and self._answers():
                return
            if master and state == "starting":
                deadline = max(deadline, time.monotonic() + 5)  # recovering after a crash
            if time.monotonic() > deadline:
                if shutil.disk_usage(self.pgdata).free < _LEAST_FREE:
                    raise DatabaseError(
                        "the database's disk is full",
                        hint="free some space; the database starts again by itself",
                    )
                raise DatabaseError(
                    "the embedded database did not become ready", hint="see log/ in the data folder"
                )
            time.sleep(0.005)

    def _start(self) -> None:
        """Make the cluster if need be and start a keeper, handing our keeper lock over to it."""
        assert self._keeper
        account = server_account(self.pgdata)
        check_reachable(self.folder, account)
        version = self.pgdata / "PG_VERSION"
        binaries = find_binaries(int(version.read_text()) if version.exists() else None)
        check_reachable(binaries.folder, account)
        logs = self.folder / "log"
        _make_private(logs, account)
        write_configuration(self.folder / "conf", account, logs)
        if not self.pgdata.exists():
            self._initdb(binaries, account)
        sockets = self._make_socket_folder(account)
        output = self.run / "keeper.log"
        if output.exists() and output.stat().st_size > RUN_LOG_BYTES:
            output.unlink()
        command = [
            *account.prefix("INT"),
            binaries / "postgres",
            *("-D", str(self.pgdata)),
            *("-c", f"config_file={self.folder / 'conf' / 'postgresql.conf'}"),
            *("-c", f"unix_socket_directories={_list_item(sockets)}"),
            *("-p", str(PORT)),
        ]
        with output.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", keeper.__file__),
                    *(str(p) for p in (self.pgdata, sockets, logs, self.run, self._keeper.fd)),
                    *command,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_environment(),
                pass_fds=(self._keeper.fd,),
                start_new_session=True,  # Ctrl-C in the terminal is for bandoso, which leaves in order
            )
        # The keeper holds the lock now through its copy; ours must be another open file to test it.
        self._keeper.close()
        self._keeper = FileLock(self.run / "keeper.lock")

    def _initdb(self, binaries: Binaries, account: Account) -> None:
        draft = self.folder / "postgres.new"  # renamed when whole: a cut short initdb leaves no cluster
        if draft.exists():
            shutil.rmtree(draft)
        _make_private(draft, account)
        done = subprocess.run(
            [
                *account.prefix("KILL"),
                binaries / "initdb",
                *("-D", str(draft), "-U", OWNER, "-A", "peer", "-k", "-E", "UTF8", "--locale=C.UTF-8"),
                *("--locale-provider=icu", "--icu-locale=vi-VN"),
            ],
            capture_output=True,
            text=True,
            cwd="/",
            env=_environment(),
            check=False,
        )
        if done.returncode:
            with (self.run / "keeper.log").open("a") as log:
                log.write(done.stdout + done.stderr)
            raise DatabaseError(
                "the database could not be created in the data folder",
                hint="is the disk full? run/keeper.log in the data folder says more",
            )
        draft.rename(self.pgdata)

    def _make_socket_folder(self, account: Account) -> Path:
        folder = self.folder / "socket"
        if len(os.fsencode(folder)) <= MAX_SOCKET_FOLDER:
            _make_private(folder, account)
        else:
            # A fresh random name each time: nobody can have prepared it, and /tmp may be swept.
            base = None if account.switch else os.environ.get("XDG_RUNTIME_DIR")
            if base is not None and len(base) > MAX_SOCKET_FOLDER - 20:
                base = None
            folder = Path(tempfile.mkdtemp(prefix="bandoso-", dir=base or "/tmp"))  # noqa: S108
            _make_private(folder, account)
            self._remove_old_socket_folder()
        draft = self.run / "socket.new"
        draft.write_text(str(folder))
        draft.replace(self.run / "socket")
        return folder

    def _remove_old_socket_folder(self) -> None:
        name = self.run / "socket"
        old = Path(name.read_text()) if name.exists() else None
        if old and old.name.startswith("bandoso-") and old.is_dir():
            shutil.rmtree(old, ignore_errors=True)

    def _is_kept(self, master: int) -> bool:
        """Whether a server is the child of our keeper, and not one that is about to go, or foreign."""
        try:
            return keeper.parent(master) == int((self.run / "keeper.pid").read_text())
        except (OSError, ValueError):
            return False

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.dsn(database="postgres")).close()
        except psycopg.OperationalError as error:
            if "eer authentication failed" in str(error):
                raise ConfigError(
                    "this user may not use the embedded database",
                    hint="run bandoso as the user who started it",
                ) from None
            return False
        return True

    def _ensure_database(self) -> None:
        with psycopg.connect(self.dsn(database="postgres"), autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
            if not found:
                try:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
                except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                    return  # another process was quicker

    def _failure(self, code: int) -> DatabaseError:
        if code == keeper.FOREIGN:
            return DatabaseError(
                "another PostgreSQL server, which bandoso did not start, runs in this data folder",
                hint="stop it, or use it with --dsn",
            )
        return DatabaseError(
            "the embedded database does not start",
            hint="run/keeper.log and log/ in the data folder say why",
        )

    # -- stopping ---------------------------------------------------------------------------------

    def _wait_until_down(self, keepers: FileLock) -> bool:
        """Wait for the keeper's end; False if others use the server again, or it takes too long."""
        probe = FileLock(self.run / "users.lock")
        try:
            deadline = time.monotonic() + LEAVE_SECONDS
            while time.monotonic() < deadline:
                if keepers.try_exclusive():
                    return True
                # Shared is to be had as long as the keeper has not begun to stop: give it a moment.
                # If another process joined meanwhile the keeper goes on working, and so may we.
                if probe.try_shared():
                    probe.release()
                    if self._joined_again():
                        return False
                time.sleep(0.005)
        finally:
            probe.close()
        return False

    def _joined_again(self) -> bool:
        """Whether a process beside the keeper has the users' lock now."""
        status = (self.run / "users.lock").stat()
        mine = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        try:
            lines = Path("/proc/locks").read_text().splitlines()
        except OSError:
            return True  # cannot tell: do not wait
        return any(" FLOCK " in line and " READ " in line and f" {mine} " in line for line in lines)


#: Keepers that outlive our use of them; held so that they are reaped when they end.
_left_running: list[subprocess.Popen[bytes]] = []


def _make_private(folder: Path, account: Account) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    if account.switch and folder.stat().st_uid != account.uid:
        os.chown(folder, account.uid, account.gid)


def _environment() -> dict[str, str]:
    """A clean environment: no PG*, LD_* or locale variable of the caller reaches the server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _list_item(path: Path) -> str:
    """An element of a PostgreSQL list setting; commas and spaces in a path need quotes."""
    return '"' + str(path).replace('"', '""') + '"'
