"""Finds the PostgreSQL programs that have PostGIS, and the account they run under."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from gis.errors import ConfigError

MIN_POSTGRESQL = 15
APT_HINT = "on Debian and Ubuntu: apt-get install postgresql-15-postgis-3 (or a newer version), or give --dsn"

#: Accounts that root gives the server to, best first.
ACCOUNTS = ("bandoso", "postgres", "nobody")


@dataclass(frozen=True)
class Binaries:
    """Folder of ``postgres`` and ``initdb``, and their major version."""

    folder: Path
    major: int

    def __truediv__(self, name: str) -> str:
        return str(self.folder / name)


@dataclass(frozen=True)
class Account:
    """The operating system's user under whom the server runs."""

    name: str
    uid: int
    gid: int

    @property
    def switch(self) -> bool:
        """Whether this process (root) has to change to it."""
        return self.uid != os.geteuid()

    def prefix(self, death_signal: str) -> list[str]:
        """Start of a command line that runs a program as this account and ends it with its parent."""
        tool = shutil.which("setpriv")
        if tool is None:
            raise ConfigError("the program setpriv is missing", hint="apt-get install util-linux")
        command = [tool, "--no-new-privs", "--pdeathsig", death_signal]
        if self.switch:
            command += ["--reuid", str(self.uid), "--regid", str(self.gid)]
            command += ["--init-groups"] if self._known() else ["--clear-groups"]
        return [*command, "--"]

    def _known(self) -> bool:
        try:
            pwd.getpwuid(self.uid)
        except KeyError:
            return False
        return True


def find_binaries(major: int | None = None) -> Binaries:
    """The newest PostgreSQL with PostGIS; exactly ``major`` where a data folder asks for it.

    Looks at BANDOSO_PG_BIN alone if it is set, else in Debian's folders, then at pg_config of PATH.
    Raises ConfigError with the command that installs it.
    """
    given = os.environ.get("BANDOSO_PG_BIN")
    found = [b for folder in ([Path(given)] if given else _candidates()) if (b := _inspect(folder))]
    if not found:
        what = "BANDOSO_PG_BIN does not hold" if given else "this machine does not have"
        raise ConfigError(
            f"{what} PostgreSQL {MIN_POSTGRESQL} or newer with PostGIS",
            code="postgis-missing",
            hint=APT_HINT,
        )
    if major is not None:
        found = [b for b in found if b.major == major]
        if not found:
            raise ConfigError(
                f"the data folder was made by PostgreSQL {major}, which is not installed here with PostGIS",
                code="postgis-missing",
                hint=f"install PostgreSQL {major} again, or move the data over with pg_dump and --dsn",
            )
    return max(found, key=lambda b: b.major)


def _candidates() -> list[Path]:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    for tool in ("pg_config", "postgres"):
        path = shutil.which(tool)
        if path:
            folders.append(Path(path).resolve().parent)
    return folders


def _inspect(folder: Path) -> Binaries | None:
    if not all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb")):
        return None
    match = re.search(r"(\d+)(\.\d+|devel|beta|rc)", _output([str(folder / "postgres"), "--version"]))
    if match is None or int(match[1]) < MIN_POSTGRESQL:
        return None
    # Debian compiles the share folder in; pg_config is in a package of its own there.
    shares = [
        Path("/usr/share/postgresql") / match[1],
        folder.parent / "share" / "postgresql",
        folder.parent / "share",
    ]
    if (folder / "pg_config").exists():
        shares.insert(0, Path(_output([str(folder / "pg_config"), "--sharedir"]).strip()))
    if not any((share / "extension" / "postgis.control").is_file() for share in shares):
        return None
    return Binaries(folder, int(match[1]))


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def server_account(pgdata: Path) -> Account:
    """The account of an existing data folder, else this user, or for root the best of ACCOUNTS."""
    if pgdata.exists():
        uid = pgdata.stat().st_uid
        if uid == 0:
            raise ConfigError("the database folder belongs to root, which PostgreSQL refuses to run as")
        if os.geteuid() not in (0, uid):
            raise ConfigError("the database folder belongs to another user", hint="run bandoso as that user")
        return _account(uid, pgdata.stat().st_gid)
    if os.geteuid() != 0:
        return _account(os.geteuid(), os.getegid())
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise ConfigError("there is no user to run PostgreSQL as", hint="useradd --system bandoso")


def _account(uid: int, gid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:  # a container may run under a number without a name
        return Account(str(uid), uid, gid)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def check_reachable(folder: Path, account: Account) -> None:
    """Raise ConfigError if ``account`` cannot pass through ``folder`` and the folders above it."""
    if not account.switch:
        return
    groups = set(os.getgrouplist(account.name, account.gid)) if account.name.isidentifier() else {account.gid}
    for place in (*reversed(folder.parents), folder):
        if not place.exists():
            return
        status = place.stat()
        if status.st_uid == account.uid:
            allowed = status.st_mode & stat.S_IXUSR
        elif status.st_gid in groups:
            allowed = status.st_mode & stat.S_IXGRP
        else:
            allowed = status.st_mode & stat.S_IXOTH
        if not allowed:
            raise ConfigError(
                f"the data folder lies in {place}, which the user {account.name} may not enter",
                code="data-folder-unreachable",
                hint=f"choose another with --data-dir, for example /var/lib/bandoso, or chmod o+x {place}",
            )
