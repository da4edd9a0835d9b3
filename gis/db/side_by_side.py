"""Runs statements side by side, each on a connection of its own.

PostgreSQL builds one index at a time on a connection, and a freshly filled table has ten to build.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Sequence

import psycopg
from psycopg.sql import Composed

from gis.db.connect import connect

#: A statement, or what is to be done with a connection (in autocommit mode).
Task = Composed | Callable[[psycopg.Connection], None]

_MOST_CONNECTIONS = 4
#: A task has helpers of its own only where cores are left: they would slow down the longest task.
_SETTINGS = (
    "SELECT set_config('maintenance_work_mem', %s, false), set_config('max_parallel_maintenance_workers',"
    " least(current_setting('max_parallel_maintenance_workers')::int, %s)::text, false)"
)
#: A join without an end would not let Ctrl-C through.
_LOOK_SECONDS = 0.2
_CANCEL_SECONDS = 5.0


def run_side_by_side(dsn: str, tasks: Sequence[Task], *, memory: str) -> None:
    """Run all ``tasks`` on as many connections as there are cores (at most four), begun in their order.

    Put the longest first, so that no connection is left with it alone. ``memory`` is the
    maintenance_work_mem of each connection. Tasks see nothing of each other's transactions until these
    are committed. When a task fails, or Ctrl-C comes, no other begins, those under way are cancelled, and
    the first error is raised; what was done before stays done.
    """
    waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    cores = os.cpu_count() or 1
    most = min(_MOST_CONNECTIONS, cores)
    stop = threading.Event()
    failed: list[BaseException] = []
    connections: list[psycopg.Connection] = []
    threads: list[threading.Thread] = []
    try:
        for _ in range(min(most, len(tasks))):
            connection = connect(dsn)
            connections.append(connection)
            connection.execute(_SETTINGS, [memory, cores // most - 1])
        for connection in connections:
            thread = threading.Thread(target=_work, args=(connection, waiting, stop, failed), daemon=True)
            thread.start()
            threads.append(thread)
        while not stop.is_set() and any(thread.is_alive() for thread in threads):
            for thread in threads:
                thread.join(_LOOK_SECONDS / len(threads))
    finally:
        stop.set()
        for connection, thread in zip(connections, threads, strict=False):
            if thread.is_alive():
                connection.cancel_safe(timeout=_CANCEL_SECONDS)
        for thread in threads:
            thread.join(_CANCEL_SECONDS)
        for connection in connections:
            connection.close()
    if failed:
        raise failed[0]


def _work(
    connection: psycopg.Connection,
    waiting: queue.SimpleQueue[Task],
    stop: threading.Event,
    failed: list[BaseException],
) -> None:
    try:
        while not stop.is_set():
            try:
                task = waiting.get_nowait()
            except queue.Empty:
                return
            if isinstance(task, Composed):
                connection.execute(task)
            else:
                task(connection)
    except BaseException as error:
        failed.append(error)
        stop.set()
