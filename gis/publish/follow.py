"""Waits for changesets: one connection of a process that listens, for all in the process who want to know."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import orjson
from psycopg import AsyncConnection, Notify

from gis.db.listen import ANSWER, Listening
from gis.publish.feed import horizon

LOG = logging.getLogger("bandoso.feed")

CHANNEL: Final = "bandoso_change"

#: Without a notice the horizon is asked for after so many seconds: also the proof that the connection lives.
POLL: Final = 15.0
#: When a changeset was told that stands behind one which is not finished (and may never be told): so often.
PENDING: Final = 0.2
#: Notices that come together are answered together (seconds).
GATHER: Final = 0.03


class Follower(Listening):
    """Knows ``horizon`` (gis.publish.feed) and tells when it moves.

    Connects when somebody waits for the first time. A lost connection is made again, and the horizon asked
    for: nobody misses anything, because everyone reads from where they were. End it by ``stop``.
    """

    application = "bandoso feed"
    channels = (CHANNEL,)

    def __init__(self, app_dsn: str) -> None:
        super().__init__(app_dsn)
        self._moved = asyncio.Event()
        self._stopped = asyncio.Event()
        self._told = 0
        #: None until the database has answered for the first time.
        self.horizon: int | None = None

    @property
    def stopped(self) -> bool:
        """Whether the process ends: nobody should wait any more."""
        return self._stopped.is_set()

    async def wait(self, beyond: int, seconds: float) -> bool:
        """Wait until the horizon is beyond an id. False: it is not after ``seconds``, or the process ends."""
        self.start()
        try:
            async with asyncio.timeout(seconds):
                while not self.stopped and (self.horizon is None or self.horizon <= beyond):
                    await self._moved.wait()
        except TimeoutError:
            return False
        return not self.stopped

    def end(self) -> None:
        """Let all who wait go on at once (``stopped`` is true for them); in the thread of the loop."""
        self._stopped.set()
        self._wake()

    async def stop(self) -> None:
        """End for good, and close the connection."""
        self.end()
        await super().stop()

    def _wake(self) -> None:
        # a new event for those who come later; all who hold the old one go on
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _hear(self, notice: Notify) -> None:
        try:
            self._told = max(self._told, int(orjson.loads(notice.payload)["changeset"]))
        except (ValueError, KeyError, TypeError):
            LOG.warning("a notice of the database cannot be read")

    async def follow(self, connection: AsyncConnection[Any]) -> None:
        """Ask for the horizon after each notice, and now and then without one."""
        while True:
            async with asyncio.timeout(ANSWER):
                found = await horizon(connection)
            if found != self.horizon:
                self.horizon = found
                self._wake()
            # A notice that came while the horizon was asked for is among them.
            pause = PENDING if self._told > found else POLL
            async for notice in connection.notifies(timeout=pause, stop_after=1):
                self._hear(notice)
            await asyncio.sleep(GATHER)
