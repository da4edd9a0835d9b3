"""Routes for operators: is the process alive, can it serve, what does it count."""

from __future__ import annotations

import asyncio
import logging

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gis.api import metrics
from gis.api.access_log import FLUSH_EVERY
from gis.api.negotiate import known_parameters
from gis.api.problems import problem
from gis.api.reload import applied_layers
from gis.api.state import state_of

LOG = logging.getLogger("bandoso.api")

#: Longest time that /readyz waits for the database (seconds).
READY_TIMEOUT = 3.0
_NO_STORE = {"Cache-Control": "no-store"}


async def healthz(request: Request) -> Response:
    """Alive: the process answers. Says nothing of the database."""
    known_parameters(request, ())
    return Response(b'{"status":"ok"}', media_type="application/json", headers=_NO_STORE)


async def readyz(request: Request) -> Response:
    """Ready: the database answers and layers are applied; else 503, so that no traffic is sent here."""
    known_parameters(request, ())
    state = state_of(request)
    try:
        async with asyncio.timeout(READY_TIMEOUT):
            applied = await applied_layers(state.readers)
    except Exception as error:
        LOG.warning("not ready: %s", type(error).__name__)
        return problem(503, "not-ready", "the database does not answer")
    if not applied:
        return problem(503, "not-ready", "the database is not prepared yet")
    body = {
        "status": "ready",
        "layers": len(state.catalogue.public()),
        "catalogue": state.catalogue.fingerprint,
    }
    return Response(orjson.dumps(body), media_type="application/json", headers=_NO_STORE)


async def figures(request: Request) -> Response:
    """Prometheus figures of all processes: counts and durations, no addresses, no names of people."""
    known_parameters(request, ())
    await asyncio.sleep(2 * FLUSH_EVERY)  # the hot path's requests are counted when their lines are written
    body, media_type = await asyncio.to_thread(metrics.exposition)
    return Response(body, headers={**_NO_STORE, "Content-Type": media_type})


ROUTES = [
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", figures),
]
