"""The routes of finding and asking."""

from __future__ import annotations

from starlette.routing import Route

from gis.api.ask.search import search

ROUTES = [
    Route("/search", search, methods=["GET"]),
]
