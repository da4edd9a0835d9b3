"""A connection that listens, for as long as the process runs: made again whenever it is lost."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection, sql

from gis.db.connect import conninfo
from gis.db.sql import READER

LOG = logging.getLogger("bandoso.listen")

#: Longest wait before the next attempt at a lost connection (seconds).
LONGEST_WAIT: Final = 5.0
#: Seconds after which a connection that does not answer is given up.
ANSWER: Final = 10.0


class Listening(ABC):
    """``follow`` runs on a connection with the reader's rights that listens to ``channels``; on a new one
    when that is lost. Ended by ``stop``.

    What is told while there is no connection is not heard: ``follow`` begins by asking what it missed.
    """

    #: What the connection is called in the database's list.
    application: str
    channels: tuple[str, ...]

    def __init__(self, app_dsn: str) -> None:
        self._dsn = conninfo(app_dsn, self.application)
        self._task: asyncio.Task[None] | None = None
        #: Times that the connection was made (for tests and figures).
        self.connections = 0

    @property
    @abstractmethod
    def stopped(self) -> bool:
        """Whether no connection is wanted any more."""

    @abstractmethod
    async def follow(self, connection: AsyncConnection[Any]) -> None:
        """Hear and answer; psycopg errors, OSError and TimeoutError mean that the connection is lost."""

    def start(self) -> None:
        """Begin, if it is not begun; in the running loop."""
        if self._task is None and not self.stopped:
            self._task = asyncio.create_task(self._run(), name=self.application)

    async def stop(self) -> None:
        """End for good, and close the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        complaint, wait = "", 0.1
        while not self.stopped:
            try:
                async with await self._connect() as connection:
                    began = time.monotonic()
                    try:
                        await self.follow(connection)
                    finally:
                        if time.monotonic() - began > LONGEST_WAIT:  # it was not refused at once
                            complaint, wait = "", 0.1
            except (psycopg.Error, OSError, TimeoutError) as error:
                if not complaint:
                    LOG.warning("%s waits for the database: %s", self.application, type(error).__name__)
                complaint = type(error).__name__
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)

    async def _connect(self) -> AsyncConnection[Any]:
        async with asyncio.timeout(ANSWER):
            connection = await AsyncConnection.connect(self._dsn, autocommit=True)
            try:
                await connection.execute(
                    "SELECT set_config('role', %s, false), set_config('statement_timeout', '5000', false)",
                    [READER],
                )
                for channel in self.channels:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            except BaseException:
                await connection.close()
                raise
        self.connections += 1
        return connection
