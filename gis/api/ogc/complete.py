"""Makes pygeoapi's documents say what is true here and what QGIS and OGC API clients look for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gis.api.features.params import FORMATS
from gis.api.ogc.links import link
from gis.api.ogc.stats import LayerStats
from gis.city import City

REL = "http://www.opengis.net/def/rel/ogc/1.0"
OPENAPI_TYPE = "application/vnd.oai.openapi+json;version=3.0"

#: Classes that pygeoapi declares for itself and that are not true of our routes.
_NOT_OURS = ("/ogcapi-features-4/", "/ogcapi-common-3/")

#: What the documents of this package implement; items and tiles declare their own.
CONFORMANCE = (
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/html",
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/json",
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/landing-page",
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/oas30",
    "http://www.opengis.net/spec/ogcapi-common-2/1.0/conf/collections",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/oas30",
)


def landing(document: dict[str, Any], base: str, language: str) -> dict[str, Any]:
    """The landing page: only links to what is there."""
    document["links"] = [
        link(f"{base}/", "self", "application/json", "self-json", language, f="json"),
        link(f"{base}/", "alternate", "text/html", "self-html", language, f="html"),
        link(f"{base}/api", "service-desc", OPENAPI_TYPE, "api-json", language, f="json"),
        link(f"{base}/api", "service-doc", "text/html", "api-html", language, f="html"),
        link(f"{base}/conformance", "conformance", "application/json", "conformance", language),
        link(f"{base}/collections", "data", "application/json", "collections", language),
        link(f"{base}/collections", f"{REL}/data", "application/json", "collections", language),
        link(f"{base}/tiles", f"{REL}/tilesets-vector", "application/json", "tilesets", language),
        link(f"{base}/tileMatrixSets", f"{REL}/tiling-schemes", "application/json", "grids", language),
        link(f"{base}/styles", f"{REL}/styles", "application/json", "styles", language),
        link(f"{base}/processes", f"{REL}/processes", "application/json", "processes", language),
        link(f"{base}/jobs", f"{REL}/job-list", "application/json", "jobs", language),
        link(f"{base}/changes", "related", "application/json", "changes", language),
        link(f"{base}/qgis-project", "related", "application/vnd.qgis.qgz", "qgis", language),
        link(f"{base}/map", "related", "text/html", "map", language),
    ]
    return document


def conformance(document: dict[str, Any], *others: Iterable[str]) -> dict[str, Any]:
    """All classes that are implemented, those of items and tiles in ``others``."""
    classes = {c for c in document["conformsTo"] if not any(part in c for part in _NOT_OURS)}
    classes.update(CONFORMANCE, *others)
    document["conformsTo"] = sorted(classes)
    return document


def collections(
    document: dict[str, Any], base: str, language: str, city: City, stats: dict[str, LayerStats]
) -> dict[str, Any]:
    """The list of collections."""
    document["links"] = [
        link(f"{base}/collections", "self", "application/json", "self-json", language, f="json"),
        link(f"{base}/collections", "alternate", "text/html", "self-html", language, f="html"),
        link(f"{base}/", "root", "application/json", "root", language),
    ]
    for one in document["collections"]:
        collection(one, base, language, city, stats.get(one["id"], LayerStats()))
    document["numberMatched"] = document["numberReturned"] = len(document["collections"])
    return document


def collection(
    document: dict[str, Any], base: str, language: str, city: City, stats: LayerStats
) -> dict[str, Any]:
    """One collection, with its extent, its count and all its links."""
    layer_id = document["id"]
    here = f"{base}/collections/{layer_id}"
    document["extent"]["spatial"]["bbox"] = [list(stats.extent or city.extent)]
    document["itemCount"] = stats.count
    document["links"] = [
        link(here, "self", "application/json", "self-json", language, f="json"),
        link(here, "alternate", "text/html", "self-html", language, f="html"),
        link(f"{base}/", "root", "application/json", "root", language),
        *(
            link(
                f"{here}/items", "items", media_types[0].partition(";")[0], f"items-{name}", language, f=name
            )
            for name, media_types in FORMATS.items()
        ),
        link(f"{here}/schema", f"{REL}/schema", "application/schema+json", "schema", language, f="json"),
        link(f"{here}/schema", "describedby", "application/schema+json", "schema", language, f="json"),
        link(
            f"{here}/queryables",
            f"{REL}/queryables",
            "application/schema+json",
            "queryables",
            language,
            f="json",
        ),
        link(f"{here}/tiles", f"{REL}/tilesets-vector", "application/json", "tilesets", language),
        link(f"{base}/styles", f"{REL}/styles", "application/json", "styles", language),
    ]
    return document
