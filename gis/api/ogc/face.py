"""pygeoapi's handlers, called in-process: what they say of the service and its collections.

Used are its landing page, conformance, collections and collection. Not used, and written by us:

- schema and queryables: pygeoapi leaves out titles, units and value titles, and names the geometry twice
  (gis.api.features.describe);
- OpenAPI: it refers to schemas on other hosts, so that it is neither whole nor valid offline, and has no
  ``limit`` component, by which QGIS sets its page size (gis.api.ogc.openapi);
- HTML: it is rendered before we can complete the document, by templates that load from other hosts, with
  the working directory in the template path and a process-wide cache of the configuration
  (gis.api.ogc.html).

pygeoapi is imported on first use (a second and 35 MB), after the process has begun to serve.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson

from gis.api.ogc.config import LOCALES, pygeoapi_config
from gis.city import City
from layers.registry import Catalogue


class Face:
    """One pygeoapi ``API`` over one catalogue. Documents hold PLACEHOLDER for this server's address."""

    def __init__(self, city: City, catalogue: Catalogue) -> None:
        from pygeoapi.api import API

        self._api = API(pygeoapi_config(city, catalogue), {})

    def landing(self, language: str) -> dict[str, Any]:
        """The landing page."""
        from pygeoapi.api import landing_page

        return self._call(landing_page, "", language)

    def conformance(self, language: str) -> dict[str, Any]:
        """What pygeoapi itself declares."""
        from pygeoapi.api import conformance

        return self._call(conformance, "conformance", language)

    def collections(self, language: str) -> dict[str, Any]:
        """All collections."""
        from pygeoapi.api import describe_collections

        return self._call(describe_collections, "collections", language)

    def collection(self, layer_id: str, language: str) -> dict[str, Any]:
        """One collection, which the catalogue has."""
        from pygeoapi.api import describe_collections

        return self._call(describe_collections, f"collections/{layer_id}", language, layer_id)

    def _call(self, handler: Any, path: str, language: str, *arguments: str) -> dict[str, Any]:
        """The JSON document of a handler.

        The request that it sees is made here and holds only what was checked: pygeoapi keeps every
        language tag it meets for ever, and matches formats in its own way.
        """
        from pygeoapi.api import APIRequest

        request = SimpleNamespace(
            query_params={"f": "json", "lang": LOCALES[language]}, headers={}, scope={"path": f"/{path}"}
        )
        _headers, status, content = handler(self._api, APIRequest(request, self._api.locales), *arguments)
        if int(status) != 200:
            raise RuntimeError(f"pygeoapi answered {int(status)} for /{path}")
        document: dict[str, Any] = orjson.loads(content)
        return document
