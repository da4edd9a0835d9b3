"""What a process gets to run one job with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gis.db.server import Database
from gis.jobs.queue import Words
from gis.jobs.results import ResultWriter
from gis.settings import Settings

#: Process id -> module whose ``run(task)`` runs it and returns what the finished job says.
#: Named, not imported: the runner is small, and processes lie above this package.
PROCESSES = {"check": "gis.checks.process"}

#: Seconds between two lines about progress.
_EVERY = 0.3


@dataclass
class Task:
    """One job of one process. ``request`` is what gis.api.processes checked and queued."""

    settings: Settings
    db: Database
    request: dict[str, Any]
    #: How often it was begun, this time included.
    attempt: int
    #: Whether the one who asked may see restricted layers and confidential fields, and store.
    steward: bool
    result: ResultWriter
    _say: Callable[[dict[str, Any]], None]
    _said: float = field(default=0.0)

    def progress(self, share: float, vi: str, en: str) -> None:
        """How much is done (0 to 1) and what is being done, as often as one likes."""
        now = time.monotonic()
        if now - self._said >= _EVERY:
            self._said = now
            # 100 is for jobs that are done
            self._say({"percent": max(0, min(99, int(share * 100))), "message": {"vi": vi, "en": en}})


class Refused(Exception):  # noqa: N818
    """The process cannot do what was asked: the job fails with this reason."""

    def __init__(self, status: int, code: str, vi: str, en: str, hint: str | None = None) -> None:
        super().__init__(en)
        self.status, self.code, self.words, self.hint = status, code, {"vi": vi, "en": en}, hint


Run = Callable[[Task], tuple[str, Words]]
"""``run(task)``: writes to ``task.result``; returns its media type and what the finished job says."""
