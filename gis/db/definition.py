"""What of a layer's definition its table depends on: kept in ``bandoso.layer`` to find what changed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from gis.city import City
from gis.db.constraints import Storage, constraints
from gis.db.ddl import layer_indexes, table_columns
from gis.db.door import granted_columns
from gis.db.web import has_web, web_fields, web_form
from layers.registry import Layer

#: Raised when tables are made differently from the same definition: all are looked at again.
#: 2: asset_id is no part of the search index. 3: the door (policies, members' views) and history. 4: rows of
#: restricted layers are hidden from members by policies. 5: web tables.
#: 6: bounds of lines and areas are those of their boxes. 7: indexes of fields go on with fid.
FORMAT = 7


def fingerprint(layer: Layer) -> str:
    """Changes when the layer's table has to; titles do not count, of styles and tiles only which
    attributes they use."""
    definition = layer.definition
    parts = {
        "format": FORMAT,
        "geometry": [definition.geometry, definition.z, definition.max_vertices],
        "access": definition.access,
        "owner": definition.owner,
        "keys": definition.keys,
        "search": definition.search,
        "web": [f.name for f in web_fields(layer)] if has_web(layer) else None,
        "edited": [definition.editable, definition.history],
        "fields": [
            [f.name, f.type, f.required, f.default, f.minimum, f.maximum, f.max_length, f.access, f.index]
            + [v.value for v in layer.domain_of(f)]
            for f in layer.fields
        ],
    }
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def context(city: City) -> str:
    """What all tables take from the city."""
    return Storage.of(city).text


def describe(layer: Layer, city: City) -> dict[str, Any]:
    """The definition as stored: everything of the table, by name, as the SQL that made it."""
    storage = Storage.of(city)
    return {
        "context": storage.text,
        "srid": storage.srid,
        "access": layer.access,
        "geometry": layer.definition.geometry,
        "columns": {
            c.name: {
                "type": c.type,
                "required": c.required,
                "default": None if c.default is None else c.default.as_string(None),
            }
            for c in table_columns(layer)
        },
        "checks": {c.name: c.check.as_string(None) for c in constraints(layer, storage)},
        "indexes": {i.name_on(layer.id): i.statement(layer.id).as_string(None) for i in layer_indexes(layer)},
        "granted": list(granted_columns(layer)),
        "web": web_form(layer),
    }
