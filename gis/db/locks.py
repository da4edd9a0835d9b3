"""Two file locks say who uses the embedded server and who runs it; the kernel frees them at any death.

- ``users``: every process that uses the server holds it shared. The keeper waits for it exclusively,
  and so wakes exactly when the last user has gone, however it went.
- ``keeper``: held exclusively by the keeper for its whole life (it is handed over at its start), so
  whoever can take it knows that there is no server and starts one.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from gis.errors import ConfigError, DatabaseError


class FileLock:
    """An flock on a file that is never removed. Not for use by several threads."""

    def __init__(self, path: Path) -> None:
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except PermissionError:
            raise ConfigError(
                "this user may not use the data folder", hint="run bandoso as the user who started it first"
            ) from None

    @property
    def fd(self) -> int:
        """The open file; a child that inherits it holds the same lock."""
        return self._fd

    def try_exclusive(self) -> bool:
        """Take the lock alone; False if another holds it (a shared hold of our own is lost then)."""
        return self._try(fcntl.LOCK_EX)

    def try_shared(self) -> bool:
        """Take the lock with others; False if one holds it alone."""
        return self._try(fcntl.LOCK_SH)

    def wait_shared(self, timeout_s: float) -> None:
        """Take the lock with others within ``timeout_s``. Raises DatabaseError."""
        deadline = time.monotonic() + timeout_s
        while not self.try_shared():
            if time.monotonic() > deadline:
                raise DatabaseError(
                    "the embedded database does not finish stopping", hint="see log/ in the data folder"
                )
            time.sleep(0.01)

    def release(self) -> None:
        """Give the lock back, keeping the file open."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file; the lock goes unless a child holds it too."""
        os.close(self._fd)

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
