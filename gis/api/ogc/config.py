"""The pygeoapi configuration of a city's catalogue, made in memory: no YAML file, no environment."""

from __future__ import annotations

from typing import Any

from gis.city import City
from gis.crs import CRS84, ref, uri
from layers.registry import Catalogue, Layer

#: Stands for the address of this server until a request says it; never leaves this package.
PLACEHOLDER = "http://base.invalid"

#: The locales in which pygeoapi answers, by our language codes.
LOCALES = {"vi": "vi-VN", "en": "en-US"}

PROVIDER = "gis.api.ogc.provider.LayerMetadata"

#: Field types as JSON Schema.
JSON_TYPES = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
}


def offered_crs(city: City) -> list[str]:
    """URIs of the CRSs that items can be asked in: CRS84 first, then 4326, 3857, storage and the city's."""
    codes = dict.fromkeys((4326, 3857, city.crs.storage, *city.crs.offered))
    return [CRS84.uri, *(ref(code).uri for code in codes)]


def service_title(city: City) -> dict[str, str]:
    """Title of the service in each language."""
    return {
        "vi": f"bandoso: bản đồ số dùng chung {city.title.vi}",
        "en": f"bandoso: the shared map of {city.title.en}",
    }


def service_description(_city: City) -> dict[str, str]:
    """One sentence on what is here, in each language."""
    return {
        "vi": "Dữ liệu nền và hạ tầng kỹ thuật của thành phố, theo chuẩn OGC API.",
        "en": "The city's base map and infrastructure, as OGC API.",
    }


def pygeoapi_config(city: City, catalogue: Catalogue) -> dict[str, Any]:
    """Configuration for ``pygeoapi.api.API``; resources are the public layers of the catalogue."""
    agency = city.agencies[-1]
    return {
        "server": {
            "bind": {"host": "127.0.0.1", "port": 0},
            "url": PLACEHOLDER,
            "mimetype": "application/json",
            "encoding": "utf-8",
            "languages": [LOCALES[code] for code in city.languages],
            "gzip": False,
            "pretty_print": False,
            "limits": {"default_items": 1000, "max_items": 10_000, "on_exceed": "error"},
            "map": {"url": "", "attribution": ""},
        },
        "logging": {"level": "CRITICAL"},
        "metadata": {
            "identification": {
                "title": service_title(city),
                "description": service_description(city),
                "keywords": {"vi": ["bản đồ", "hạ tầng"], "en": ["map", "infrastructure"]},
                "keywords_type": "theme",
                "terms_of_service": PLACEHOLDER,
                "url": PLACEHOLDER,
            },
            "license": {"name": agency.title.en, "url": PLACEHOLDER},
            "provider": {"name": agency.title.en, "url": PLACEHOLDER},
            "contact": {"name": agency.title.en, "url": PLACEHOLDER},
        },
        "resources": {layer.id: _resource(city, layer) for layer in catalogue.public()},
    }


def _resource(city: City, layer: Layer) -> dict[str, Any]:
    title, description = layer.title, layer.definition.description or layer.title
    sector = layer.sector.title
    return {
        "type": "collection",
        "title": {"vi": title.vi, "en": title.en},
        "description": {"vi": description.vi, "en": description.en},
        "keywords": {"vi": [sector.vi], "en": [sector.en]},
        "links": [],
        "extents": {"spatial": {"bbox": list(city.extent), "crs": CRS84.uri}},
        "providers": [
            {
                "type": "feature",
                "default": True,
                "name": PROVIDER,
                "data": layer.id,
                "id_field": "fid",
                "time_field": layer.definition.temporal[0] if layer.definition.temporal else None,
                "crs": offered_crs(city),
                "storage_crs": uri(city.crs.storage),
                # plain values only: pygeoapi copies its configuration deeply
                "title_field": layer.definition.style.label.field if layer.definition.style.label else None,
                "properties": [f.name for f in layer.public_fields],
                "fields": {f.name: JSON_TYPES[f.type] for f in layer.public_fields},
            }
        ],
    }
