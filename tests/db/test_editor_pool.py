"""Edits of a process take turns, with a connection of their own, unless one is stuck."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from psycopg_pool import TooManyRequests

from gis.db.server import Database
from gis.edit import session
from gis.edit.session import PATIENCE, EditorPool, open_editor_pool
from gis.settings import Settings


@pytest.fixture
def pool(module_db: Database) -> Iterator[EditorPool]:
    """Of one lane, whatever the machine's processors are."""
    settings = replace(Settings.from_env({}), edit_pool_size=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session.os, "cpu_count", lambda: 1)
        opened = open_editor_pool(settings, module_db)
    yield opened
    opened.close()


def backend(pool: EditorPool) -> int:
    """Which of the database's processes serves this thread."""
    with pool.connection() as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])


def test_edits_take_turns_on_one_connection(pool: EditorPool) -> None:
    inside, most, order = 0, 0, list[int]()

    def edit(number: int) -> int:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        found = backend(pool)
        order.append(number)
        inside -= 1
        return found

    async def together() -> list[int]:
        return await asyncio.gather(*(pool.work(edit, number) for number in range(20)))

    assert len(set(asyncio.run(together()))) == 1
    assert most == 1
    assert order == list(range(20))


def test_who_waits_behind_one_that_is_stuck_goes_on_beside_it(pool: EditorPool) -> None:
    free = threading.Event()

    def stuck() -> int:
        with pool.connection() as connection:
            row = connection.execute("SELECT pg_backend_pid()").fetchone()
            assert free.wait(30)
        assert row is not None
        return int(row[0])

    async def both() -> tuple[int, int, float]:
        first = asyncio.create_task(pool.work(stuck))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        other = await pool.work(backend, pool)
        waited = time.monotonic() - began
        free.set()
        return await first, other, waited

    first, other, waited = asyncio.run(both())
    assert first != other
    assert waited >= PATIENCE * 0.9


def test_who_leaves_before_the_turn_changes_nothing(pool: EditorPool) -> None:
    free, begun = threading.Event(), list[int]()

    async def leave() -> None:
        first = asyncio.create_task(pool.work(free.wait, 30))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(pool.work(begun.append, 1))
        await asyncio.sleep(0.05)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        free.set()
        assert await first
        await pool.work(begun.append, 2)

    asyncio.run(leave())
    assert begun == [2]


def test_what_an_edit_raises_is_raised(pool: EditorPool) -> None:
    def wrong() -> None:
        raise ValueError("as it is")

    with pytest.raises(ValueError, match="as it is"):
        asyncio.run(pool.work(wrong))


def test_too_many_are_refused_at_once(pool: EditorPool) -> None:
    free = threading.Event()

    async def crowd() -> None:
        waiting = [asyncio.create_task(pool.work(free.wait, 30)) for _ in range(3 * 16)]
        await asyncio.sleep(0.05)
        with pytest.raises(TooManyRequests):
            await pool.work(free.wait, 30)
        free.set()
        assert all(await asyncio.gather(*waiting))

    asyncio.run(crowd())
