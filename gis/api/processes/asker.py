"""Who asks for a check or a job: anyone, the steward of an agency, or a steward of the city.

A steward may have whole layers checked and findings stored: one of the city all of them, one of an agency its
layers. The report of an agency's steward says of restricted layers what anyone is told, nothing: features of
other agencies may be in it. What he stores of them is in the layer of findings, behind its door.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request

from gis.api.auth import principal_of
from gis.api.state import state_of
from gis.identity.principal import Principal
from layers.registry import Catalogue


@dataclass(frozen=True)
class Asker:
    """``principal`` None: anyone. ``known``: all layers there are."""

    principal: Principal | None
    known: Catalogue
    sectors: dict[str, tuple[str, ...]]

    @property
    def account(self) -> int | None:
        return None if self.principal is None else self.principal.account

    @property
    def of_city(self) -> bool:
        """Steward (or admin) of the whole city."""
        who = self.principal
        return (
            who is not None and who.allows("read") and any(g.for_all and g.layer is None for g in who.grants)
        )

    def is_steward_of(self, layers: Sequence[str]) -> bool:
        """Whether all these layers (none named: all that there are) are the asker's to check."""
        if self.of_city:
            return True
        who = self.principal
        return (
            bool(layers)
            and who is not None
            and all(
                one in self.known.layers
                and who.stewards(self.known.layers[one], self.sectors)
                and who.allows("read", one)
                for one in layers
            )
        )

    def may_store(self, layers: Sequence[str]) -> bool:
        """Whether the token that was shown may change anything."""
        who = self.principal
        return who is not None and (
            who.allows("edit") or (bool(layers) and all(who.allows("edit", x) for x in layers))
        )


def asker_of(request: Request) -> Asker:
    """Who asks."""
    state = state_of(request)
    return Asker(principal_of(request), state.known, state.sectors)
