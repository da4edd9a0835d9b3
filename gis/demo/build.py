"""Indexes of all the demo's tables, built side by side on several connections.

The tables are committed before, under names that nobody reads. (gis.ingest.indexing does the same for
one table; here are fifty, most of them small, and two connections have work until the last one.)
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Mapping, Sequence

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from gis.db.connect import connect
from gis.db.ddl import build_name, layer_indexes, script
from gis.db.sql import LAYERS
from layers.registry import Layer

#: Rows above which each index of a table is a task of its own.
LARGE = 50_000
#: maintenance_work_mem of each connection.
MEMORY = "192MB"


def build_all(dsn: str, layers: Sequence[Layer], rows: Mapping[str, int]) -> None:
    """Build all indexes of the copies of ``layers`` and analyse them. Raises what a connection raised."""
    first, then = _tasks(layers, rows)
    workers = max(1, min(4, os.cpu_count() or 1, len(first) + len(then)))
    connections = [connect(dsn) for _ in range(workers)]
    try:
        # ALTER TABLE ... PRIMARY KEY wants its table for itself, so it cannot run beside the others.
        for tasks in (first, then):
            _side_by_side(connections, tasks)
    finally:
        for connection in connections:
            connection.close()


def _tasks(layers: Sequence[Layer], rows: Mapping[str, int]) -> tuple[list[Composed], list[Composed]]:
    first: list[Composed] = []
    then: list[tuple[int, Composed]] = []
    for layer in layers:
        table, indexes = build_name(layer), layer_indexes(layer)
        analyze = SQL("ANALYZE {}").format(Identifier(LAYERS, table))
        count = rows.get(layer.id, 0)
        if count < LARGE:
            # One transaction, so one wait for the disk.
            first.append(script([*(i.statement(table) for i in indexes), analyze]))
            continue
        first += [i.statement(table) for i in indexes if i.primary]
        for index in indexes:
            if not index.primary:
                text = index.statement(table)
                weight = 3 if "USING gin" in text.as_string(None) else 1
                then.append((count * weight, text))
        then.append((0, analyze))
    # The longest first, so that no connection is left with them alone.
    then.sort(key=lambda task: -task[0])
    return first, [statement for _, statement in then]


def _side_by_side(connections: Sequence[psycopg.Connection], tasks: Sequence[Composed]) -> None:
    waiting: queue.SimpleQueue[Composed] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    stop = threading.Event()
    failed: list[BaseException] = []
    threads = [
        threading.Thread(target=_work, args=(connection, waiting, stop, failed), daemon=True)
        for connection in connections
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)  # a join without an end would not let Ctrl-C through
    finally:
        stop.set()
        for connection, thread in zip(connections, threads, strict=True):
            if thread.is_alive():
                connection.cancel_safe(timeout=5)
                thread.join(10)
    if failed:
        raise failed[0]


def _work(
    connection: psycopg.Connection,
    tasks: queue.SimpleQueue[Composed],
    stop: threading.Event,
    failed: list[BaseException],
) -> None:
    try:
        connection.execute("SELECT set_config('maintenance_work_mem', %s, false)", [MEMORY])
        while not stop.is_set():
            try:
                task = tasks.get_nowait()
            except queue.Empty:
                return
            connection.execute(task)
    except BaseException as error:
        failed.append(error)
        stop.set()
