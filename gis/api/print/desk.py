"""How many maps a process draws at a time, and for whom: a map takes seconds of a processor."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final

from gis.api.problems import Refusal

#: Maps that are drawn at a time, and those that wait.
MOST_DRAWN: Final = 2
MOST_WAITING: Final = 10
#: Maps of one client, drawn or waiting.
MOST_OF_ONE: Final = 3


class Desk:
    """One a process. The threads draw: the loop answers others meanwhile."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(MOST_DRAWN, thread_name_prefix="print")
        self._turn = asyncio.Semaphore(MOST_DRAWN)
        self._clients: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Wait until it is this client's turn. Raises Refusal when too many wait, or too many are its own."""
        if self._clients[client] >= MOST_OF_ONE:
            raise Refusal(
                429,
                "too-many-prints",
                f"{MOST_OF_ONE} maps are being drawn for this address already",
                hint="wait for them first",
                headers={"Retry-After": "10"},
            )
        if self._clients.total() >= MOST_DRAWN + MOST_WAITING:
            raise Refusal(
                503,
                "busy",
                "many maps are being drawn at the moment",
                hint="try again in a minute",
                headers={"Retry-After": "30"},
            )
        self._clients[client] += 1
        try:
            async with self._turn:
                yield
        finally:
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]

    def close(self) -> None:
        """End the threads, when they have drawn what they are drawing."""
        self.threads.shutdown(wait=False, cancel_futures=True)
