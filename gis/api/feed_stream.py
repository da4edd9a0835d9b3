"""Changesets as server-sent events: each listener reads from where it stands, in its own name.

Nothing is queued for anyone: a listener that is slow reads later, and one that takes nothing for a while is
dropped (gis.api.guard). All listeners of a process wait for one connection (gis.publish.follow).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

import orjson
import psycopg
from psycopg_pool import PoolTimeout, TooManyRequests
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gis.api import metrics
from gis.api.feed_read import Documents, Wanted, documents
from gis.api.problems import Refusal
from gis.api.state import State
from gis.publish.follow import Follower

LOG = logging.getLogger("bandoso.feed")

EVENTS: Final = "text/event-stream"

#: Seconds of silence after which a comment is sent: proxies and clients see that the connection lives.
HEARTBEAT: Final = 15.0
#: Where a client is told to begin again after a lost connection (ms).
RETRY_MS: Final = 2000
#: A stream ends after so long (seconds), so that logins are proved again; clients come back by themselves.
LONGEST: Final = 3600.0
#: Changesets read at a time.
AT_A_TIME: Final = 100
#: Time for the first answer of the database (seconds).
FIRST: Final = 5.0
#: Answers for anyone that several listeners share.
_SHARED: Final = 64


class Listeners:
    """Who listens to this process. ``most`` in all, ``most_of_one`` from one address."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most, self._most_of_one = most, most_of_one
        self._by_client: Counter[str] = Counter()
        self._shared: OrderedDict[tuple[Any, ...], asyncio.Task[Documents]] = OrderedDict()

    def enter(self, client: str) -> None:
        """Count one more. Raises Refusal when there are too many."""
        if self._by_client.total() >= self._most:
            raise Refusal(
                503,
                "too-many-listeners",
                "too many clients listen at the moment",
                hint="ask /changes?since= now and then",
            )
        if self._by_client[client] >= self._most_of_one:
            raise Refusal(
                429,
                "too-many-listeners",
                "this address listens too often already",
                hint="one stream tells of all layers; close others first",
                headers={"Retry-After": "30"},
            )
        self._by_client[client] += 1
        metrics.LISTENERS.inc()

    def leave(self, client: str) -> None:
        """One less."""
        self._by_client[client] -= 1
        if self._by_client[client] <= 0:
            del self._by_client[client]
        metrics.LISTENERS.dec()

    async def read(self, wanted: Wanted, since: int, upto: int) -> Documents:
        """As ``documents``; those who may see the same and stand at the same place are answered at once."""
        if wanted.state.principal is not None:
            return await documents(wanted, since, upto, AT_A_TIME)
        shape = wanted.near.wkb if wanted.near is not None else None
        seen = (wanted.state.catalogue.fingerprint, *wanted.ids)
        form = (wanted.detail, wanted.crs, shape, wanted.base, wanted.language)
        key = (since, upto, seen, form)
        task = self._shared.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._shared[key] = asyncio.create_task(documents(wanted, since, upto, AT_A_TIME))
            while len(self._shared) > _SHARED:
                self._shared.popitem(last=False)
        return await asyncio.shield(task)


class Stream(Response):
    """The response of one listener. ``since`` None: from now on."""

    def __init__(
        self,
        listeners: Listeners,
        follower: Follower,
        shared: State,
        wanted: Wanted,
        since: int | None,
        client: str,
    ) -> None:
        self._listeners, self._follower, self._wanted = listeners, follower, wanted
        self._since, self._client = since, client
        self._shared = shared
        self._mark = shared.catalogue.fingerprint
        self.status_code = 200
        self.background = None
        # X-Accel-Buffering: nginx would hold events back
        self.raw_headers = [
            (b"content-type", EVENTS.encode()),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the client leaves, takes nothing, or the server stops."""
        if scope["method"] == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": b""})
            return
        self._listeners.enter(self._client)
        try:
            if not await self._follower.wait(-1, FIRST):
                raise Refusal(503, "database-unavailable", "the database cannot be reached at the moment")
            pump = asyncio.create_task(self._pump(send))
            left = asyncio.create_task(_left(receive))
            try:
                await asyncio.wait({pump, left}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (pump, left):
                    task.cancel()
                await asyncio.gather(pump, left, return_exceptions=True)
            if not pump.cancelled() and (error := pump.exception()) is not None:
                if isinstance(error, ClientDisconnect | OSError):
                    return  # it takes nothing any more
                raise error
        finally:
            self._listeners.leave(self._client)

    async def _pump(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with aclosing(self._events()) as events:
            async for piece in events:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(self) -> AsyncGenerator[bytes]:
        follower = self._follower
        now = follower.horizon or 0
        position = now if self._since is None else max(0, min(self._since, now))
        # An id without data is no event; it is where a client begins that has seen none.
        yield b"retry: %d\nid: %d\n\n" % (RETRY_MS, position)
        end = asyncio.get_running_loop().time() + LONGEST
        silent = position
        while asyncio.get_running_loop().time() < end:
            moved = await follower.wait(position, HEARTBEAT)
            if follower.stopped or self._shared.catalogue.fingerprint != self._mark:
                return  # the client comes back, to another process or to other layers
            if not moved:
                # Only now, not at each changeset that this listener may not see.
                yield b": still here\n\n" if silent == position else b"id: %d\n\n" % position
                silent = position
                continue
            try:
                found = await self._listeners.read(self._wanted, position, follower.horizon or position)
            except (psycopg.Error, PoolTimeout, TooManyRequests) as error:
                LOG.warning("a listener waits for the database: %s", type(error).__name__)
                yield b": waiting for the database\n\n"
                await asyncio.sleep(1)
                continue
            for changeset in found.changesets:
                yield b"id: %d\nevent: changeset\ndata: %b\n\n" % (changeset["id"], _line(changeset))
            if found.changesets:
                silent = found.changesets[-1]["id"]
            position = found.reached


def _line(changeset: dict[str, Any]) -> bytes:
    # JSON may be broken into lines anywhere between its tokens, an event's data not
    return orjson.dumps(changeset).replace(b"\n", b" ")


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
