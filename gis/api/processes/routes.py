"""Routes of processes and jobs. /processes and /processes/check themselves are documents of gis.api.ogc."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gis.api.negotiate import COMMON, known_parameters
from gis.api.processes import execute, jobs


async def unknown(request: Request) -> Response:
    """A process that there is not."""
    known_parameters(request, COMMON)
    raise jobs.no_such_process()


ROUTES = [
    Route("/processes/{process}/execution", execute.execute, methods=["POST"]),
    Route("/processes/{process}", unknown),
    Route("/jobs", jobs.listed),
    Route("/jobs/{job}", jobs.one, methods=["GET", "DELETE"]),
    Route("/jobs/{job}/results", jobs.results),
]
