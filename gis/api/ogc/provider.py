"""The pygeoapi provider of our layers: it knows what a layer is, and reads no features.

pygeoapi makes one on every request, so it holds nothing but the definition. Items are served by
gis.api.features; whoever comes here for them has taken a wrong door and is refused.
"""

from __future__ import annotations

from typing import Any

from pygeoapi.provider.base import BaseProvider, ProviderQueryError


class LayerMetadata(BaseProvider):  # type: ignore[misc]
    """Metadata of one layer; ``provider_def`` is made by gis.api.ogc.config."""

    def __init__(self, provider_def: dict[str, Any]) -> None:
        # Not BaseProvider.__init__: it resolves the storage CRS through PROJ's own database on each request.
        self.name = provider_def["name"]
        self.type = provider_def["type"]
        self.data = provider_def["data"]
        self.id_field = provider_def["id_field"]
        self.time_field = provider_def["time_field"]
        self.title_field = provider_def["title_field"]
        self.properties = list(provider_def["properties"])
        self.editable = False
        self._fields = {name: dict(kind) for name, kind in provider_def["fields"].items()}

    def get_fields(self) -> dict[str, dict[str, str]]:
        """Public field name -> JSON Schema type."""
        fields: dict[str, dict[str, str]] = self._fields
        return fields

    def query(self, *_args: Any, **_kwargs: Any) -> None:
        """Always refuses."""
        raise ProviderQueryError("items are served by gis.api.features")

    def get(self, *_args: Any, **_kwargs: Any) -> None:
        """Always refuses."""
        raise ProviderQueryError("items are served by gis.api.features")
