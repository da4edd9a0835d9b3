"""A bounded queue in front of the COPY: reader and database need not wait for each other at every batch."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

Body = bytes | bytearray | memoryview

#: What stands around the rows (gis.ingest.copybin) of a binary COPY.
HEADER = b"PGCOPY\n\xff\r\n\0" + b"\0" * 8
TRAILER = b"\xff\xff"

#: Batches that may wait (about 11 MB each).
_DEPTH = 3
_LOOK_SECONDS = 0.2


class Pump:
    """Calls ``write`` with what is ``put``, in order, on a thread of its own."""

    def __init__(self, write: Callable[[Body], None]) -> None:
        self._write = write
        self._waiting: queue.Queue[Body | None] = queue.Queue(_DEPTH)
        self._error: BaseException | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, body: Body | None) -> None:
        """Queue ``body``; raises what an earlier write raised."""
        while True:
            if self._error is not None:
                raise self._error
            try:
                self._waiting.put(body, timeout=_LOOK_SECONDS)
                return
            except queue.Full:
                continue

    def drain(self) -> None:
        """Wait until all is written and end the thread; raises what a write raised."""
        self.put(None)
        while self._thread.is_alive():  # a join without an end would not let Ctrl-C through
            self._thread.join(_LOOK_SECONDS)
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Write nothing more. A write that is under way must be ended by its connection."""
        self._stopped.set()
        self._thread.join(10)

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                try:
                    body = self._waiting.get(timeout=_LOOK_SECONDS)
                except queue.Empty:
                    continue
                if body is None:
                    return
                self._write(body)
        except BaseException as error:
            self._error = error
