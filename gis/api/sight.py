"""The catalogue as somebody who has logged in sees it: with what is hidden, as far as it is shown to him.

What his rows are is for the database to say (gis.db.door); here is which collections and attributes there are
for him. Kept by what is seen, not by who sees it: a city has many people and few kinds of grants.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from gis.db.door import FINDINGS, hides
from gis.identity.principal import Principal
from layers.raster import RasterLayer
from layers.registry import Catalogue, Layer

#: Catalogues kept by one process.
MOST = 200

#: Layer -> agencies whose hidden features are seen (Principal.owners_seen).
Sight = tuple[tuple[str, tuple[str, ...]], ...]


def public_part(known: Catalogue) -> Catalogue:
    """The layers that anyone may see."""
    rasters = {i: one for i, one in known.rasters.items() if one.is_public}
    layers = {one.id: one for one in known.public()}
    return replace(known, layers=MappingProxyType(layers), rasters=MappingProxyType(rasters))


class Sights:
    """The catalogues of members. One a process."""

    def __init__(self) -> None:
        self._known: Catalogue | None = None
        self._hiding: dict[str, Layer] = {}
        self._revealed: dict[str, Layer] = {}
        self._kept: OrderedDict[Sight, Catalogue] = OrderedDict()

    def of(
        self,
        public: Catalogue,
        known: Catalogue,
        principal: Principal,
        sectors: Mapping[str, tuple[str, ...]],
    ) -> Catalogue:
        """What the principal sees of ``known``; ``public`` itself where that is no more than anyone.

        ``sectors``: agency -> sectors of its work. The fingerprint tells apart all that bytes may depend on
        beside the data: layers, and whose hidden features are among them.
        """
        if self._known is not known:
            self._known = known
            self._hiding = {i: one for i, one in known.layers.items() if hides(one)}
            self._revealed = {i: one.revealing() for i, one in self._hiding.items()}
            self._kept.clear()
        sight = self._sight(principal, sectors, known.rasters.values())
        if not sight:
            return public
        kept = self._kept.get(sight)
        if kept is None:
            kept = self._kept[sight] = self._make(known, sight)
            if len(self._kept) > MOST:
                self._kept.popitem(last=False)
        self._kept.move_to_end(sight)
        return kept

    def _sight(
        self,
        principal: Principal,
        sectors: Mapping[str, tuple[str, ...]],
        rasters: Iterable[RasterLayer] = (),
    ) -> Sight:
        """Layers in the catalogue's order."""
        found: dict[str, tuple[str, ...]] = {}
        for layer_id, layer in self._hiding.items():
            whose = () if layer_id in FINDINGS else principal.owners_seen(layer, sectors)
            if whose:
                found[layer_id] = whose
        for layer_id in self._hiding:
            # Whoever sees something hidden sees the findings about it (0011_reading.sql).
            if layer_id in FINDINGS and principal.allows("read", layer_id) and found:
                found[layer_id] = tuple(f"{one}:{','.join(whose)}" for one, whose in found.items())
        for raster in rasters:
            if not raster.is_public and principal.sees_hidden(raster, sectors):
                found[raster.id] = ("*",)  # a picture has no rows of its own to hide
        return tuple(found.items())

    def _make(self, known: Catalogue, sight: Sight) -> Catalogue:
        seen = dict(sight)
        layers = {
            i: self._revealed[i] if i in seen else one
            for i, one in known.layers.items()
            if i in seen or one.is_public
        }
        rasters = {
            i: one.revealing() if i in seen else one
            for i, one in known.rasters.items()
            if i in seen or one.is_public
        }
        mark = hashlib.sha256(f"{known.fingerprint} {sight!r}".encode()).hexdigest()[:16]
        return replace(
            known, layers=MappingProxyType(layers), rasters=MappingProxyType(rasters), fingerprint=mark
        )
