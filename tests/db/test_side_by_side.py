"""Statements side by side: really at once, and none is left running when one fails or Ctrl-C comes."""

from __future__ import annotations

import _thread
import os
import threading
import time
from collections.abc import Callable

import psycopg
import pytest
from psycopg.sql import SQL

from gis.db.server import Database
from gis.db.side_by_side import Task, run_side_by_side

#: Longer than any test may take: who waited for its end has failed.
LONG = SQL("SELECT pg_sleep(3000) /* side by side */").format()


def run(database: Database, *tasks: Task) -> None:
    run_side_by_side(database.owner_dsn, tasks, memory="17MB")


def sleepers(database: Database) -> int:
    with psycopg.connect(database.owner_dsn) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE query = %s AND state = 'active'",
            [LONG.as_string(None)],
        ).fetchone()
    assert row
    return int(row[0])


def wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_all_run_in_their_order(module_db: Database) -> None:
    begun: list[int] = []

    def task(number: int) -> Task:
        return lambda _connection: begun.append(number)

    run(module_db, *(task(n) for n in range(20)), SQL("CREATE TABLE side_by_side ()").format())
    assert sorted(begun) == list(range(20))
    assert begun[0] < 4
    run(module_db, SQL("DROP TABLE side_by_side").format())
    run(module_db)


def test_each_has_the_memory(module_db: Database) -> None:
    seen: list[object] = []
    run(module_db, lambda c: seen.append(c.execute("SHOW maintenance_work_mem").fetchone()))
    assert seen == [("17MB",)]


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core: one at a time")
def test_two_are_under_way_at_once(module_db: Database) -> None:
    meeting = threading.Barrier(2, timeout=120)

    def meet(_connection: psycopg.Connection) -> None:
        meeting.wait()

    run(module_db, meet, meet)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core: one at a time")
def test_the_first_error_ends_all(module_db: Database) -> None:
    begun: list[int] = []

    def failing(_connection: psycopg.Connection) -> None:
        wait_for(lambda: sleepers(module_db) == 1)
        raise ZeroDivisionError("the first")

    with pytest.raises(ZeroDivisionError, match="the first"):
        run(module_db, LONG, failing, *[lambda _connection: begun.append(1)] * 5)
    assert begun == []
    assert sleepers(module_db) == 0


def test_what_the_database_refuses_is_raised(module_db: Database) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable):
        run(module_db, SQL("ANALYZE layer.nowhere").format())


def test_ctrl_c_gets_through(module_db: Database) -> None:
    def interrupt() -> None:
        wait_for(lambda: sleepers(module_db) == 1)
        _thread.interrupt_main()

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run(module_db, LONG)
    wait_for(lambda: sleepers(module_db) == 0)
