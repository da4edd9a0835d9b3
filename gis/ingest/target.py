"""What the reading child must know of a layer and its city: plain data that can be sent to it."""

from __future__ import annotations

from dataclasses import dataclass

from gis.city import City
from layers.model import DomainValue, FieldDef
from layers.registry import SETTABLE_SYSTEM_FIELDS, Layer


@dataclass(frozen=True)
class Target:
    """The layer that a delivery goes to. ``storage`` is an EPSG code, ``extent`` degrees (WGS 84)."""

    layer: str
    geometry: str
    z: str
    max_vertices: int
    fields: tuple[FieldDef, ...]
    domains: dict[str, tuple[DomainValue, ...]]
    owner: str
    owners: tuple[str, ...]
    storage: int
    offered: tuple[int, ...]
    extent: tuple[float, float, float, float]

    @property
    def settable(self) -> tuple[FieldDef, ...]:
        """Fields that a delivery may fill, in the order of the table."""
        return tuple(f for f in self.fields if f.name not in ("fid", "version", "updated_at"))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the child writes, in this order, before ``geom`` and ``load_id``."""
        return ("fid", *(f.name for f in self.settable))

    @classmethod
    def of(cls, layer: Layer, city: City, owner: str | None = None) -> Target:
        """From the catalogue; ``owner`` replaces the layer's."""
        assert set(SETTABLE_SYSTEM_FIELDS) <= {f.name for f in layer.fields}
        return cls(
            layer=layer.id,
            geometry=layer.definition.geometry,
            z=layer.definition.z,
            max_vertices=layer.definition.max_vertices,
            fields=layer.fields,
            domains=dict(layer.domains),
            owner=owner or layer.definition.owner,
            owners=city.agency_ids,
            storage=city.crs.storage,
            offered=city.crs.offered,
            extent=city.extent,
        )
