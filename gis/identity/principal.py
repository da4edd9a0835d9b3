"""Who asks, and what that account was granted. The database decides again by itself (gis/db/sql/0009)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from layers.raster import RasterLayer
from layers.registry import Layer

Role = Literal["viewer", "editor", "steward", "admin"]
Scope = Literal["read", "edit", "manage"]

ROLES: tuple[Role, ...] = ("viewer", "editor", "steward", "admin")


@dataclass(frozen=True)
class Grant:
    """A role for an agency, on one layer or (None) on those of the agency, everywhere or within an area.

    ``shared``: the agency is the shared warehouse, whose stewards and admins act for all agencies.
    """

    role: Role
    agency: str
    layer: str | None = None
    area: bool = False
    shared: bool = False

    @property
    def for_all(self) -> bool:
        return self.shared and self.role in ("steward", "admin")


@dataclass(frozen=True)
class Principal:
    """An account that has proved who it is. ``scopes`` None: all that it was granted (no API token)."""

    account: int
    name: str
    grants: tuple[Grant, ...] = ()
    token: int | None = None
    scopes: frozenset[str] | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any], token: int | None = None, scopes: Any = None) -> Principal:
        """From the JSON value of bandoso.principal()."""
        grants = tuple(Grant(**grant) for grant in row["grants"])
        limited = None if scopes is None else frozenset(scopes)
        return cls(int(row["account"]), row["name"], grants, token, limited)

    def allows(self, scope: Scope, layer_id: str | None = None) -> bool:
        """Whether the token that was shown is for this."""
        return self.scopes is None or scope in self.scopes or f"{scope}:{layer_id}" in self.scopes

    def sees_hidden(self, layer: Layer | RasterLayer, sectors: Mapping[str, tuple[str, ...]]) -> bool:
        """Whether some of what the layer hides may be shown. ``sectors``: agency -> sectors of its work."""
        return self.allows("read", layer.id) and any(_covers(g, layer, sectors) for g in self.grants)

    def owners_seen(self, layer: Layer, sectors: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        """Agencies whose hidden features of the layer are shown, ``("*",)`` for all (bandoso.owners_seen)."""
        grants = (
            [g for g in self.grants if _covers(g, layer, sectors)] if self.allows("read", layer.id) else []
        )
        return ("*",) if any(g.for_all for g in grants) else tuple(sorted({g.agency for g in grants}))

    def editing(self, layer: Layer, sectors: Mapping[str, tuple[str, ...]]) -> tuple[Grant, ...]:
        """The grants by which features of the layer may be changed."""
        if not layer.definition.editable or not self.allows("edit", layer.id):
            return ()
        return tuple(g for g in self.grants if g.role != "viewer" and _covers(g, layer, sectors))

    def may_edit(self, layer: Layer, sectors: Mapping[str, tuple[str, ...]]) -> bool:
        """Whether some features of the layer may be changed."""
        return bool(self.editing(layer, sectors))

    def stewards(self, layer: Layer, sectors: Mapping[str, tuple[str, ...]]) -> bool:
        """Whether the layer is among those that the account is steward (or admin) of."""
        return any(g.role in ("steward", "admin") and _covers(g, layer, sectors) for g in self.grants)

    def is_steward(self, agency: str | None = None) -> bool:
        """Steward (or admin) of the agency, or (None) of the whole city."""
        return any(
            g.role in ("steward", "admin") and (g.shared or (agency is not None and g.agency == agency))
            for g in self.grants
        )

    def is_admin(self, agency: str | None = None) -> bool:
        """Admin of the agency, or (None) of the whole city."""
        return any(
            g.role == "admin" and (g.shared or (agency is not None and g.agency == agency))
            for g in self.grants
        )


def _covers(grant: Grant, layer: Layer | RasterLayer, sectors: Mapping[str, tuple[str, ...]]) -> bool:
    if grant.layer is not None:
        return grant.layer == layer.id
    return (
        grant.shared
        or layer.definition.owner == grant.agency
        or layer.sector.id in sectors.get(grant.agency, ())
    )
