"""What the operations take, as JSON schemas of the part that OpenAPI 3.0 knows, too."""

from __future__ import annotations

from typing import Any, Final

_TEXT = {"type": "string"}
_FID = {"type": "integer", "minimum": 0}
_VERSION = {"type": "integer", "minimum": 1, "description": "The version that the change is based on"}
_LAYER = {"type": "string", "description": "Id of a layer"}
_ATTRIBUTES = {"type": "object", "description": "Attributes by name"}


def _geometry(kind: str, description: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": f"{description}, in the CRS of Content-Crs",
        "required": ["type", "coordinates"],
        "properties": {
            "type": {"type": "string", "enum": [kind]},
            "coordinates": {"type": "array", "items": {}},
        },
    }


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**found, "required": required} if required else found


def _list(items: dict[str, Any], least: int) -> dict[str, Any]:
    return {"type": "array", "minItems": least, "maxItems": 50, "items": items}


def _tolerance(default: float) -> dict[str, Any]:
    return {"type": "number", "minimum": 0.001, "maximum": 10, "default": default, "description": "Metres"}


#: Members that all of them take.
COMMON: Final[dict[str, Any]] = {
    "comment": {"type": "string", "maxLength": 2000},
    "source": {"type": "string", "maxLength": 2000},
    "key": {"type": "string", "minLength": 1, "maxLength": 255},
    "expected": {
        "type": "array",
        "maxItems": 5000,
        "description": "All features that are to change, as a dry run told them; any other is a conflict",
        "items": _object(["layer", "fid", "version"], layer=_LAYER, fid=_FID, version=_VERSION),
    },
}


def _operation(required: list[str], **own: Any) -> dict[str, Any]:
    return _object(required, **own, **COMMON)


_NAMED = _object(["fid", "version"], fid=_FID, version=_VERSION)

SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "split-line": _operation(
        ["layer", "fid", "version"],
        layer=_LAYER,
        fid=_FID,
        version=_VERSION,
        point=_geometry("Point", "Where to split; left out where a node that stands is named"),
        tolerance_m=_tolerance(0.5),
        node=_object(
            ["layer"],
            layer=_LAYER,
            properties=_ATTRIBUTES,
            fid={**_FID, "description": "A node that stands already, on the line"},
            version=_VERSION,
        ),
        second=_object([], properties=_ATTRIBUTES),
    ),
    "merge-lines": _operation(
        ["layer", "first", "second"],
        layer=_LAYER,
        first=_NAMED,
        second=_NAMED,
        properties={**_ATTRIBUTES, "description": "Attributes that differ, as they are to be"},
        delete_nodes=_list(_object(["layer", "fid", "version"], layer=_LAYER, fid=_FID, version=_VERSION), 0),
    ),
    "move-node": _operation(
        ["to"],
        layer=_LAYER,
        fid=_FID,
        version=_VERSION,
        network={"type": "string", "description": "Network of the node; needed with at"},
        at=_geometry("Point", "Where lines meet without a point feature, in place of layer, fid and version"),
        to=_geometry("Point", "The new place"),
    ),
    "split-parcel": _operation(
        ["layer", "fid", "version", "line", "parts"],
        layer=_LAYER,
        fid=_FID,
        version=_VERSION,
        line=_geometry("LineString", "From boundary to boundary"),
        tolerance_m=_tolerance(0.05),
        parts=_list(
            _object(
                [],
                properties={**_ATTRIBUTES, "description": "The number of the part, its legal area ..."},
                point=_geometry("Point", "Inside the part that is meant"),
            ),
            2,
        ),
    ),
    "merge-parcels": _operation(
        ["layer", "parcels"],
        layer=_LAYER,
        parcels=_list(_NAMED, 2),
        properties={**_ATTRIBUTES, "description": "Attributes that differ, as they are to be"},
    ),
    "move-boundary": _operation(
        ["layer", "parcels", "line"],
        layer=_LAYER,
        parcels=_list(_object(["fid", "version"], fid=_FID, version=_VERSION, properties=_ATTRIBUTES), 2),
        line=_geometry("LineString", "The new boundary, from a place on the old one to another"),
        tolerance_m=_tolerance(0.05),
    ),
    "mend": _operation(
        ["finding"],
        finding={
            "type": "string",
            "minLength": 1,
            "maxLength": 200,
            "description": "asset_id of a finding with a suggested mend",
        },
    ),
}
