"""Work for a client ends when the client leaves: the query in the database is cancelled too."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.requests import Request
from starlette.responses import Response


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
