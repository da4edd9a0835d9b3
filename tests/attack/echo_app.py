"""The real application with what reading has no route for: bodies, slow and endless answers, a bug."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from gis.api.app import create as create_app
from gis.api.guard import read_json
from gis.api.hot.front import Front

#: Greater than all socket buffers between the server and a client that does not read.
BIG = 64_000_000


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
        for _ in range(BIG // 64_000):
            yield b"x" * 64_000

    return StreamingResponse(pieces(), media_type="application/octet-stream")


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
            Route("/fail", fail),
        ]
    )
    return front
