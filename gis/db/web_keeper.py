"""The server's own filling of gaps (gis.db.web_fill): those that it finds, and those that it is told of."""

from __future__ import annotations

import logging
import threading
import time

import psycopg

from gis.db.connect import connect
from gis.db.names import fill_names, names_due
from gis.db.web_fill import fill, gaps
from gis.errors import DatabaseError

LOG = logging.getLogger("bandoso.web")

_CHANNEL = "bandoso_web"
#: Seconds between two looks, and until a lost connection is tried again.
_LOOK, _AGAIN = 5.0, 5.0
#: A command that has just made a gap mostly fills it itself, by all cores.
_GIVE_WAY = 1.0


def keep_filled(owner_dsn: str, stop: threading.Event) -> None:
    """Fill gaps until ``stop`` is set, one at a time: requests need the other cores. For a thread."""
    while not stop.is_set():
        try:
            with connect(owner_dsn) as connection:
                connection.execute(f"LISTEN {_CHANNEL}")
                _follow(connection, owner_dsn, stop)
        except (psycopg.Error, DatabaseError) as error:
            LOG.debug("gaps of web tables cannot be filled now: %s", type(error).__name__)
            stop.wait(_AGAIN)


def _follow(connection: psycopg.Connection, owner_dsn: str, stop: threading.Event) -> None:
    while not stop.is_set():
        if names_due(connection):  # they are read in seconds, and nothing finds them until then
            fill_names(connection)
        if gaps(connection):
            started = time.monotonic()
            if stop.wait(_GIVE_WAY):
                return
            if rows := fill(owner_dsn, connections=1, stopping=stop.is_set):
                LOG.info("%d features prepared for the web in %.1f s", rows, time.monotonic() - started)
        for _ in range(round(_LOOK / 0.5)):
            if stop.is_set() or list(connection.notifies(timeout=0.5, stop_after=1)):
                break
