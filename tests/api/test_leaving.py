"""Work for a client that leaves is cancelled, once."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response

from gis.api.features.leaving import while_connected


def test_work_that_is_being_cancelled_is_not_cancelled_again() -> None:
    """A server may cancel the request of a client that left while the work cleans up after the first time:
    psycopg then gives up cancelling the query and closes the connection."""
    told: list[str] = []

    async def work() -> Response:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            told.append("cancelled")
            try:
                await asyncio.sleep(0.05)  # as psycopg waits for the query's end
                told.append("cleaned up")
            except asyncio.CancelledError:
                told.append("interrupted")
            raise
        return Response()

    async def receive() -> dict[str, str]:
        await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    async def run() -> None:
        request = Request({"type": "http", "method": "GET", "headers": []}, receive)
        served = asyncio.ensure_future(while_connected(request, work()))
        await asyncio.sleep(0.03)  # the client has left, and the work is cleaning up
        served.cancel()
        with suppress(asyncio.CancelledError):
            await served
        await asyncio.sleep(0.1)

    asyncio.run(run())
    assert told == ["cancelled", "cleaned up"]
