"""The server of the bench whose tiles are all rendered: nothing of what it made is kept or looked up."""

from __future__ import annotations

from starlette.types import ASGIApp

from gis.api import app, tiles


def create() -> ASGIApp:
    """As gis.api.app:create."""
    tiles.Tiles.at_hand = lambda _self, _wanted: None  # type: ignore[method-assign,assignment]
    return app.create()
