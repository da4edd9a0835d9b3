"""Writes a job's result into the database: one gzip stream in parts, in one transaction with its end."""

from __future__ import annotations

import zlib
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from gis.jobs.queue import Words

#: Compressed bytes of a part.
PART = 256 * 1024
LEVEL = 6


class Fenced(Exception):  # noqa: N818 - a signal to the child, not a mistake
    """The job is no longer this run's: it was dismissed, or given to another runner."""


class ResultWriter:
    """A binary file to write the result to; ``finish`` makes it the job's, or nothing is kept.

    The connection must not be in autocommit mode: nobody sees a part before all of them are there.
    """

    def __init__(self, connection: Connection, job: str, attempt: int, most_bytes: int = 0) -> None:
        self._connection, self._job, self._attempt, self._most = connection, job, attempt, most_bytes
        self._packer: Any = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)
        self._waiting = bytearray()
        self._parts = 0
        self.size = 0

    def write(self, data: bytes) -> int:
        """Add bytes. Raises OverflowError when the result is larger than it may be."""
        self.size += len(data)
        if self._most and self.size > self._most:
            raise OverflowError
        self._waiting += self._packer.compress(data)
        while len(self._waiting) >= PART:
            self._store(bytes(self._waiting[:PART]))
            del self._waiting[:PART]
        return len(data)

    def finish(self, media_type: str, message: Words) -> None:
        """Store the rest, and the job as successful. Raises Fenced."""
        self._waiting += self._packer.flush()
        if self._waiting:
            self._store(bytes(self._waiting))
        done = self._connection.execute(
            "UPDATE bandoso.job SET status = 'successful', progress = 100, message = %s, result_type = %s,"
            " result_bytes = %s, client = NULL, finished = clock_timestamp(), updated = clock_timestamp()"
            " WHERE id = %s AND attempts = %s AND status = 'running'",
            (Jsonb(message), media_type, self.size, self._job, self._attempt),
        )
        if done.rowcount != 1:
            self._connection.rollback()
            raise Fenced
        self._connection.commit()

    def _store(self, body: bytes) -> None:
        self._connection.execute(
            "INSERT INTO bandoso.job_result (job, part, body) VALUES (%s, %s, %s)",
            (self._job, self._parts, body),
        )
        self._parts += 1
