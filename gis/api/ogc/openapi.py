"""The OpenAPI 3.0 document: every path, and for each collection the parameters that its items take.

QGIS reads ``components.parameters.limit`` for its page size, and pushes ``name=value`` down only for
parameters that are declared on ``/collections/<id>/items``; so each collection has a path of its own.
Everything it refers to is inside it.
"""

from __future__ import annotations

from typing import Any

from gis.api.accounts import openapi as accounts
from gis.api.features import describe
from gis.api.features.mend import FINDINGS
from gis.api.features.params import FORMATS
from gis.api.ogc import (
    openapi_ask,
    openapi_changes,
    openapi_changesets,
    openapi_findings,
    openapi_history,
    openapi_print,
    openapi_processes,
    openapi_rasters,
    openapi_writes,
)
from gis.api.ogc.config import service_description, service_title
from gis.api.ogc.openapi_parts import (
    PATH_PARAMETERS,
    SCHEMAS,
    answer,
    own_parameters,
    problems,
    ref,
    schema_ref,
)
from gis.city import City
from layers.registry import Catalogue, Layer

VERSION = "1.0.0"

TAGS = {
    "service": ("Dịch vụ", "The service"),
    "features": ("Đối tượng", "Features"),
    "editing": ("Sửa đổi", "Changesets and operations"),
    "tiles": ("Ô bản đồ", "Tiles"),
    "styles": ("Kiểu bản đồ", "Styles"),
    "rasters": ("Ảnh và độ cao", "Pictures and heights"),
    "processes": ("Tiến trình", "Processes"),
    "checks": ("Phát hiện kiểm tra", "Findings of the checks"),
    "accounts": ("Tài khoản", "Accounts"),
    "prints": ("Bản in và ảnh", "Prints and images"),
    "operations": ("Vận hành", "Operations"),
}

MVT = "application/vnd.mapbox-vector-tile"


def document(city: City, catalogue: Catalogue, base: str, language: str) -> dict[str, Any]:
    """The whole document for the public layers of ``catalogue``."""
    public = catalogue.public()
    pick = 0 if language == "vi" else 1
    parameters = {layer.id: describe.parameters_of(layer, language) for layer in public}
    shared = _shared(parameters)
    return {
        "openapi": "3.0.3",
        "info": {
            "title": service_title(city)[language],
            "description": service_description(city)[language],
            "version": VERSION,
        },
        "servers": [{"url": base}],
        "tags": [{"name": name, "description": titles[pick]} for name, titles in TAGS.items()],
        "paths": {
            **_service(),
            **_collections(),
            **{
                f"/collections/{layer.id}/items": {
                    **_items(layer, parameters[layer.id], shared, language),
                    **({"post": openapi_writes.post(layer, language)} if layer.definition.editable else {}),
                }
                for layer in public
            },
            **{path: item for one in public if one.id in FINDINGS for path, item in _mend(one.id).items()},
            **_tiles(),
            **_styles(),
            **openapi_rasters.paths(),
            **openapi_processes.paths(),
            **openapi_changes.paths(),
            **openapi_changesets.paths(),
            **openapi_history.paths(),
            **openapi_ask.paths(),
            **openapi_print.paths(),
            **openapi_findings.paths(),
            **accounts.paths(),
            **_operations(),
        },
        "components": {
            "parameters": {
                **own_parameters(language, city.languages),
                **openapi_processes.parameters(language),
                **openapi_rasters.parameters(language),
                **openapi_changes.parameters(language),
                **accounts.parameters(),
                **_path_parameters(catalogue, public),
                **openapi_writes.parameters(language),
                **openapi_changesets.parameters(language),
                **openapi_history.parameters(language),
                **openapi_ask.parameters(language),
                **openapi_print.parameters(language),
                **openapi_findings.parameters(language),
                **shared,
            },
            "schemas": {
                **SCHEMAS,
                **openapi_processes.SCHEMAS,
                **openapi_rasters.SCHEMAS,
                **openapi_changes.SCHEMAS,
                **openapi_writes.schemas(),
                **openapi_changesets.schemas(),
                **openapi_history.schemas(),
                **openapi_ask.schemas(),
                **openapi_print.schemas(),
                **openapi_findings.schemas(),
                **accounts.schemas(),
            },
            "responses": {**problems(language), **openapi_writes.responses(language)},
            "securitySchemes": openapi_writes.SECURITY,
        },
    }


def _shared(parameters: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Parameters that every collection takes in the same form: name -> parameter."""
    every = list(parameters.values())
    if not every:
        return {}
    others = [{one["name"]: one for one in some} for some in every[1:]]
    return {one["name"]: one for one in every[0] if all(some.get(one["name"]) == one for some in others)}


def _get(
    operation: str, summary: str, tag: str, parameters: list[Any], content: dict[str, Any], *codes: str
) -> dict[str, Any]:
    """A path item with GET; ``codes``: which problems it may answer beside the default."""
    responses: dict[str, Any] = {"200": answer("OK", content)}
    responses["304"] = {"description": "Not modified"}
    for code in codes:
        responses[code] = ref("responses", code)
    responses["default"] = ref("responses", "default")
    return {
        "get": {
            "operationId": operation,
            "summary": summary,
            "tags": [tag],
            "parameters": parameters,
            "responses": responses,
        }
    }


_F_LANG = [ref("parameters", "documentFormat"), ref("parameters", "language")]
_COLLECTION = ref("parameters", "collectionId")


def _both(schema: str, media_type: str = "application/json") -> dict[str, Any]:
    return {media_type: {"schema": schema_ref(schema)}, "text/html": {"schema": {"type": "string"}}}


def _service() -> dict[str, Any]:
    openapi = {
        "application/vnd.oai.openapi+json;version=3.0": {"schema": {"type": "object"}},
        "text/html": {"schema": {"type": "string"}},
    }
    return {
        "/": _get("landing", "Landing page", "service", _F_LANG, _both("landing"), "400"),
        "/conformance": _get("conformance", "Conformance", "service", _F_LANG, _both("conformance"), "400"),
        "/api": _get("api", "This document", "service", _F_LANG, openapi, "400"),
        "/catalogue": _get(
            "catalogue",
            "Layers with fields and legend, for a map page",
            "service",
            [],
            {"application/json": {"schema": schema_ref("catalogue")}},
            "400",
        ),
    }


def _collections() -> dict[str, Any]:
    one = "/collections/{collectionId}"
    schema = {
        "application/schema+json": {"schema": {"type": "object"}},
        "text/html": {"schema": {"type": "string"}},
    }
    here = [_COLLECTION, *_F_LANG]
    feature = [
        _COLLECTION,
        ref("parameters", "featureId"),
        *(
            ref("parameters", name)
            for name in ("crs", "itemTime", "properties", "skipGeometry", "itemFormat", "language")
        ),
    ]
    return {
        "/collections": _get(
            "collections", "All collections", "features", _F_LANG, _both("collections"), "400"
        ),
        one: _get("collection", "A collection", "features", here, _both("collection"), "400", "404"),
        f"{one}/schema": _get("schema", "Fields of a collection", "features", here, schema, "400", "404"),
        f"{one}/queryables": _get(
            "queryables", "Fields to filter by", "features", here, schema, "400", "404"
        ),
        f"{one}/items/{{featureId}}": _get(
            "feature",
            "A feature",
            "features",
            feature,
            _both("feature", "application/geo+json"),
            "400",
            "404",
        )
        | openapi_writes.of_item(),
    }


def _items(
    layer: Layer, parameters: list[dict[str, Any]], shared: dict[str, dict[str, Any]], language: str
) -> dict[str, Any]:
    content = {
        **_both("featureCollection", "application/geo+json"),
        **{
            FORMATS[name][0].partition(";")[0]: {"schema": {"type": "string", "format": "binary"}}
            for name in FORMATS
            if name not in ("json", "html")
        },
    }
    given = [ref("parameters", one["name"]) if one["name"] in shared else one for one in parameters]
    title = getattr(layer.title, language)
    return _get(f"{layer.id}.items", title, "features", given, content, "400", "503")


def _mend(collection: str) -> dict[str, Any]:
    parameters = [ref("parameters", name) for name in ("featureId", "jsonFormat", "language")]
    content = {"application/geo+json": {"schema": schema_ref("featureCollection")}}
    one = _get(
        f"{collection}.mend", "The suggested mend of a finding", "features", parameters, content, "400", "404"
    )
    return {f"/collections/{collection}/items/{{featureId}}/mend": one}


def _path_parameters(catalogue: Catalogue, public: tuple[Layer, ...]) -> dict[str, Any]:
    styles = ["city", *dict.fromkeys(layer.sector.id for layer in public)]
    return {
        **PATH_PARAMETERS,
        "collectionId": {
            "name": "collectionId",
            "in": "path",
            "required": True,
            "schema": {"type": "string", "enum": [layer.id for layer in public] or ["-"]},
        },
        "styleId": {
            "name": "styleId",
            "in": "path",
            "required": True,
            "schema": {"type": "string", "enum": [s for s in styles if s == "city" or catalogue.sectors]},
        },
    }


def _tiles() -> dict[str, Any]:
    one = "/collections/{collectionId}/tiles"
    place = [ref("parameters", name) for name in ("tileMatrix", "tileRow", "tileCol", "tileFormat")]
    several, language = ref("parameters", "collections"), ref("parameters", "language")
    plain, listed = ref("parameters", "jsonFormat"), ref("parameters", "tilesetFormat")
    tile = {MVT: {"schema": {"type": "string", "format": "binary"}}}
    json = {"application/json": {"schema": {"type": "object"}}}
    grids = "/tileMatrixSets"
    paths = {
        "/tiles": _get(
            "tilesets", "Tilesets of the service", "tiles", [several, plain, language], json, "400", "404"
        ),
        "/tiles/WebMercatorQuad": _get(
            "tileset", "The tileset", "tiles", [several, listed, language], json, "400", "404"
        ),
        "/tiles/WebMercatorQuad/{tileMatrix}/{tileRow}/{tileCol}": _get(
            "tile", "A tile of several collections", "tiles", [*place, several], tile, "400", "404"
        ),
        one: _get(
            "collection.tilesets",
            "Tilesets of a collection",
            "tiles",
            [_COLLECTION, plain, language],
            json,
            "400",
            "404",
        ),
        f"{one}/WebMercatorQuad": _get(
            "collection.tileset", "The tileset", "tiles", [_COLLECTION, listed, language], json, "400", "404"
        ),
        f"{one}/WebMercatorQuad/{{tileMatrix}}/{{tileRow}}/{{tileCol}}": _get(
            "collection.tile", "A tile of a collection", "tiles", [_COLLECTION, *place], tile, "400", "404"
        ),
        grids: _get("grids", "Tile matrix sets", "tiles", [plain, language], json, "400"),
        f"{grids}/WebMercatorQuad": _get(
            "grid", "The tile matrix set", "tiles", [plain, language], json, "400"
        ),
    }
    for path, item in paths.items():
        if path.endswith("{tileCol}"):
            item["get"]["responses"]["204"] = {"description": "An empty tile"}
    return paths


def _styles() -> dict[str, Any]:
    style = ref("parameters", "styleId")
    json = {"application/json": {"schema": {"type": "object"}}}
    mapbox = {"application/vnd.mapbox.style+json": {"schema": {"type": "object"}}, **json}
    return {
        "/styles": _get("styles", "Styles", "styles", [], json, "400"),
        "/styles/{styleId}": _get("style", "A MapLibre style", "styles", [style], mapbox, "400", "404"),
        "/styles/{styleId}/legend": _get("legend", "Its legend", "styles", [style], json, "400", "404"),
    }


def _operations() -> dict[str, Any]:
    json = {"application/json": {"schema": {"type": "object"}}}
    text = {"text/plain": {"schema": {"type": "string"}}}
    paths = {
        "/healthz": _get("alive", "Is the process alive", "operations", [], json, "400"),
        "/readyz": _get("ready", "Can it serve", "operations", [], json, "400", "503"),
        "/metrics": _get("metrics", "Figures for Prometheus", "operations", [], text, "400"),
    }
    for item in paths.values():
        del item["get"]["responses"]["304"]
    return paths
