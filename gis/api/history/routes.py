"""The routes of history; they come before those of items."""

from __future__ import annotations

from starlette.routing import Route

from gis.api.history.changes import changes
from gis.api.history.undo import undo
from gis.api.history.versions import history, version

ROUTES = [
    Route("/collections/{collection}/items/{fid}/history", history, methods=["GET"], name="history"),
    Route("/collections/{collection}/items/{fid}/history/{version}", version, methods=["GET"]),
    Route("/collections/{collection}/changes", changes, methods=["GET"]),
    Route("/changesets/{changeset:int}/undo", undo, methods=["POST"]),
]
