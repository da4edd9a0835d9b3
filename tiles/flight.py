"""Single flight: while a tile is being rendered, whoever asks for the same one waits for the same result.

Nothing is kept once the work is done, so there is nothing to go stale. The key must hold everything that
the result depends on; when edits come, that includes their count, so that nobody who has seen an edit
joins a flight that started before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable


class _Flight[T]:
    def __init__(self, task: asyncio.Task[T]) -> None:
        self.task = task
        self.waiting = 0


class Flights[T]:
    """The work in progress of one process. ``on_join`` is called by a request that finds its work begun."""

    def __init__(self, on_join: Callable[[], object] = lambda: None) -> None:
        self._flying: dict[Hashable, _Flight[T]] = {}
        self._on_join = on_join

    def __len__(self) -> int:
        return len(self._flying)

    async def get(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """The result of ``work()``, begun only when no work of this key is in progress.

        When the last one who waits is cancelled, so is the work.
        """
        flight = self._flying.get(key)
        if flight is None:
            flight = _Flight(asyncio.create_task(_run(work)))
            self._flying[key] = flight
            flight.task.add_done_callback(lambda task: self._landed(key, task))
        else:
            self._on_join()
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._forget(key, flight.task)  # a newcomer must not join what is being cancelled
                flight.task.cancel()

    def _landed(self, key: Hashable, task: asyncio.Task[T]) -> None:
        self._forget(key, task)
        if not task.cancelled():
            task.exception()  # seen: those who waited raise it themselves

    def _forget(self, key: Hashable, task: asyncio.Task[T]) -> None:
        flight = self._flying.get(key)
        if flight is not None and flight.task is task:
            del self._flying[key]


async def _run[T](work: Callable[[], Awaitable[T]]) -> T:
    return await work()
