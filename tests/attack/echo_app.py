"""The real application with what reading has no route for: bodies, slow and endless answers, a bug."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gis.api.app import create as create_app
from gis.api.guard import read_json
from gis.api.hot.front import Front

PIECE = 64_000
#: Many times greater than all buffers between the server and a client that does not read.
BIG = 640_000_000

#: What the last /big was asked for, and whether its answer has ended: it is all that can pile up in memory.
asked: dict[str, int | bool] = {}


async def echo(request: Request) -> Response:
    """The length of the body."""
    return Response(orjson.dumps({"length": len(await request.body())}), media_type="application/json")


async def parse(request: Request) -> Response:
    """The type of the JSON body."""
    return Response(
        orjson.dumps({"type": type(await read_json(request)).__name__}), media_type="application/json"
    )


async def slow(_request: Request) -> Response:
    """Takes three seconds."""
    await asyncio.sleep(3)
    return Response(b'{"slow":true}', media_type="application/json")


async def big(_request: Request) -> Response:
    """Streams BIG bytes."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(BIG // PIECE):
            asked["bytes"] += PIECE
            yield b"x" * PIECE

    return Ending(pieces(), media_type="application/octet-stream")


class Ending(StreamingResponse):
    """Notes its end, whatever it is."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked.update(bytes=0, ended=False)
        try:
            await super().__call__(scope, receive, send)
        finally:
            asked["ended"] = True


async def big_asked(_request: Request) -> Response:
    """How much of /big was asked for."""
    return Response(orjson.dumps(asked), media_type="application/json")


async def fail(_request: Request) -> Response:
    """Fails as a bug would."""
    raise RuntimeError(f"secret: password=hunter2 at {os.sep}{'root'}{os.sep}x.py")


def create() -> Front:
    """The application for gis.api.serve."""
    front = create_app()
    assert isinstance(front, Front)
    front.application.router.routes.extend(
        [
            Route("/echo", echo, methods=["POST"]),
            Route("/parse", parse, methods=["POST"]),
            Route("/slow", slow),
            Route("/big", big),
            Route("/big/asked", big_asked),
            Route("/fail", fail),
        ]
    )
    return front
