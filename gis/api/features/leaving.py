"""Work for a client ends when the client leaves: the query in the database is cancelled too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

#: Nobody else holds a task that cleans up.
_running: Final[set[asyncio.Task[None]]] = set()


async def while_connected(request: Request, work: Coroutine[Any, Any, Response]) -> Response:
    """Run ``work``; cancel it when the client disconnects (psycopg then cancels the query).

    Starlette itself runs an endpoint to its end whether or not anybody waits for the answer. A client
    that has left gets status 499, which only the access log sees.
    """
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait((task,))
        return Response(status_code=499)
    finally:
        watch.cancel()
        # This request itself was cancelled. A second time would interrupt psycopg while it cancels the query,
        # which then warns and throws the connection away.
        if not task.done() and not task.cancelling():
            task.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def beside(pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The same pieces, made in a task of their own that is at most two ahead.

    When the client has left, Starlette cancels what sends the answer again at each turn of the loop, so that
    nothing there can wait for a query to end; this task is cancelled once, and cleans up in peace.
    """
    waiting: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(1)

    async def make() -> None:
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    await waiting.put(piece)
        except Exception as error:
            await waiting.put(error)
        else:
            await waiting.put(None)

    task = asyncio.create_task(make())
    _running.add(task)
    task.add_done_callback(_running.discard)
    try:
        while (piece := await waiting.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            yield piece
    finally:
        task.cancel()
