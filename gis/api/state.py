"""What every route needs: settings, city, the live catalogue and the database pool of this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool
from starlette.requests import Request

from gis.city import City
from gis.errors import NotFoundError
from gis.settings import Settings
from layers.registry import Catalogue, Layer


@dataclass
class State:
    """One per process. ``catalogue`` is replaced as a whole when layer files change; never mutated."""

    settings: Settings
    city: City
    catalogue: Catalogue
    pool: AsyncConnectionPool[AsyncConnection]
    #: Layers that the files have and the public may not see. Their tables are closed to this process; it
    #: knows their ids alone, for stewards who ask to have them checked.
    restricted: frozenset[str] = frozenset()

    def layer(self, layer_id: str) -> Layer:
        """The layer, if the public may see it. Raises NotFoundError (a hidden layer looks absent)."""
        layer = self.catalogue.layers.get(layer_id)
        if layer is None or not layer.is_public:
            raise NotFoundError("there is no such collection", hint="see /collections for the list")
        return layer

    def base_url(self, request: Request) -> str:
        """Address of this server without a final slash, as links should show it."""
        return (self.settings.public_url or str(request.base_url)).rstrip("/")


def state_of(request: Request) -> State:
    """The state of the application that serves this request."""
    return cast(State, request.app.state.bandoso)
