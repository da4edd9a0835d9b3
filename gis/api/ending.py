"""Hears that this process is to end before its server waits for requests: some of them end only when told."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType


def on_ending(tell: Callable[[], None]) -> None:
    """Call ``tell`` in the running loop at SIGTERM or SIGINT, beside what is done already.

    Granian lets running requests end, for as long as it may, and only then ends the application (lifespan): a
    stream of events would keep it waiting. Its own handling goes by the loop's wake-up descriptor, which a
    handler in Python leaves alone. Without effect outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        former = signal.getsignal(number)

        def handle(
            number: int,
            frame: FrameType | None,
            former: Callable[[int, FrameType | None], object] | int | None = former,
        ) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                loop.call_soon_threadsafe(tell)
            if callable(former):
                former(number, frame)

        if callable(former):  # nobody handles it: it ends the process at once, as it did
            signal.signal(number, handle)
            signal.siginterrupt(number, False)
