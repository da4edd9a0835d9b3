"""The routes of finding and asking."""

from __future__ import annotations

from starlette.routing import Route

from gis.api.ask.export import export
from gis.api.ask.identify import identify
from gis.api.ask.profile import profile
from gis.api.ask.search import search
from gis.api.ask.section import section
from gis.api.ask.statistics import statistics

ROUTES = [
    Route("/search", search, methods=["GET"]),
    Route("/identify", identify, methods=["GET"]),
    Route("/statistics", statistics, methods=["POST"]),
    Route("/export", export, methods=["POST"]),
    Route("/section", section, methods=["GET"]),
    Route("/profile", profile, methods=["GET"]),
]
