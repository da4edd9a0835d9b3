"""What every route needs, as the caller sees it: settings, city, the live catalogue, the database pool."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool
from starlette.requests import Request

from gis.api.sight import Sights
from gis.city import City
from gis.db.member import Connections, MemberConnections
from gis.edit.session import EditorPool
from gis.errors import NotFoundError
from gis.identity.principal import Principal
from gis.settings import Settings
from layers.registry import Catalogue, Layer


@dataclass
class State:
    """One per process, for anyone; and a copy of it for each request of somebody who has logged in.

    The catalogues are replaced as a whole when layer files change; never mutated.
    """

    settings: Settings
    city: City
    #: The layers that the caller may see, as he may see them.
    catalogue: Catalogue
    #: Connections that read what the caller may see.
    pool: Connections
    #: Layers that the files have and the public may not see: stewards may ask to have them checked.
    restricted: frozenset[str] = frozenset()
    #: All layers that stand, as they are defined: for code that needs definitions, never for what is shown.
    known: Catalogue = None  # type: ignore[assignment]  # (default: the catalogue)
    #: Connections that read what anyone may see.
    readers: AsyncConnectionPool[AsyncConnection] = None  # type: ignore[assignment]  # (default: the pool)
    #: Connections and threads for edits.
    editors: EditorPool = None  # type: ignore[assignment]  # (default: this process takes none)
    #: Who asks; None: nobody that we know.
    principal: Principal | None = None
    sights: Sights = field(default_factory=Sights)

    def __post_init__(self) -> None:
        self.known = self.known or self.catalogue
        self.readers = self.readers or cast(AsyncConnectionPool[AsyncConnection], self.pool)

    def layer(self, layer_id: str) -> Layer:
        """The layer, if the caller may see it. Raises NotFoundError (a hidden layer looks absent)."""
        layer = self.catalogue.layers.get(layer_id)
        if layer is None or not layer.is_public:
            raise NotFoundError("there is no such collection", hint="see /collections for the list")
        return layer

    def base_url(self, request: Request) -> str:
        """Address of this server without a final slash, as links should show it."""
        return (self.settings.public_url or str(request.base_url)).rstrip("/")

    def reading(self, *layers: Layer) -> Connections:
        """Connections to read these layers by: anyone's, unless one of them shows the caller more."""
        return self.pool if any(layer.revealed for layer in layers) else self.readers

    @property
    def viewer(self) -> tuple[int, int | None] | None:
        """Who reads through ``pool``: caches of what was read there keep it apart. None for anyone."""
        return None if self.principal is None else (self.principal.account, self.principal.token)

    @cached_property
    def sectors(self) -> dict[str, tuple[str, ...]]:
        """Agency -> sectors of its work."""
        return {agency.id: agency.sectors for agency in self.city.agencies}

    def seen_by(self, principal: Principal) -> State:
        """The state for somebody who has logged in."""
        return replace(
            self,
            catalogue=self.sights.of(self.catalogue, self.known, principal, self.sectors),
            pool=MemberConnections(self.readers, principal.account, principal.token),
            principal=principal,
        )


def state_of(request: Request) -> State:
    """The state of the application that serves this request, for whom it serves."""
    state = cast(State, request.app.state.bandoso)
    given: dict[str, Any] = request.scope.get("state") or {}
    principal = cast("Principal | None", given.get("principal"))
    if principal is None:
        return state
    mine = given.get("seen_by")
    if mine is None or mine.principal is not principal:
        mine = given["seen_by"] = state.seen_by(principal)
    return cast(State, mine)
