"""Background work gives way to those who wait for an answer."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_AUTOGROUP = Path("/proc/self/autogroup")


def give_way(by: int = 0) -> None:
    """Lower this process, and with it the session that it leads, by so many steps of niceness.

    Where Linux shares the processors out between sessions first (sched_autogroup, sched(7); Debian does),
    nice counts within a session only. A child in a session of its own, as all of ours are so that Ctrl-C does
    not reach them, takes a full share however nice it is. With ``by=0`` a child gives its session the
    niceness that it has inherited.
    """
    niceness = os.nice(by)
    with suppress(OSError):  # there may be no such file; several changes within 0.1 s are refused
        _AUTOGROUP.write_text(str(niceness), encoding="ascii")
