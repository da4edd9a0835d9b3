"""What the checks say to an edit, as its author is told: in words, with the place in degrees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import orjson
import shapely

from gis import crs
from gis.checks.findings import message
from gis.checks.model import Finding
from gis.checks.registry import rules
from gis.identity.principal import Principal
from layers.registry import Catalogue

#: Findings that an answer lists.
MOST: Final = 200
_MOST_VERTICES: Final = 500


def told(
    found: Iterable[Finding],
    catalogue: Catalogue,
    storage: int,
    language: str,
    principal: Principal,
    sectors: Mapping[str, tuple[str, ...]],
) -> list[dict[str, Any]]:
    """Findings for the caller; ``catalogue`` holds all layers.

    One that tells of what the caller may not see (a neighbour's restricted feature) is told without it: its
    rule, and those of its features that he sees.
    """
    return [
        _one(one, catalogue, storage, language, principal, sectors)
        for one, _ in zip(found, range(MOST), strict=False)
    ]


def _one(
    one: Finding,
    catalogue: Catalogue,
    storage: int,
    language: str,
    principal: Principal,
    sectors: Mapping[str, tuple[str, ...]],
) -> dict[str, Any]:
    rule = rules()[one.rule].rule
    seen = []
    for ref in one.features:
        layer = catalogue.layers.get(ref.layer)
        if layer is None:
            continue
        whose = principal.owners_seen(layer, sectors)
        if layer.definition.access == "public" or "*" in whose or ref.owner in whose:
            seen.append({"collection": ref.layer, "id": ref.fid, "asset_id": ref.asset_id})
    whole = len(seen) == len(one.features)
    body: dict[str, Any] = {
        "rule": one.rule,
        "title": getattr(rule.title, language),
        "severity": one.severity,
        "features": seen[:60],
    }
    if whole:
        body["message"] = message(one, language)
        body["place"] = place(one, storage)
        if one.value is not None:
            body |= {"value": one.value, "limit": one.limit, "unit": one.unit}
    return body


def place(one: Finding, storage: int) -> dict[str, Any] | None:
    """Where it is, as GeoJSON in CRS84; a large geometry as its box."""
    shape = one.where
    if shape is None or shape.is_empty or not np.isfinite(shapely.get_coordinates(shape)).all():
        shape = shapely.Point(*one.anchor)
    if not np.isfinite(shapely.get_coordinates(shape)).all():
        return None
    shape = shapely.force_2d(shape)
    if shapely.get_num_coordinates(shape) > _MOST_VERTICES:
        shape = shapely.envelope(shape)
    moved = crs.transform_geometries(np.array([shape]), storage, crs.WGS84)[0]
    made: dict[str, Any] = orjson.loads(
        shapely.to_geojson(shapely.transform(moved, lambda c: np.round(c, 9)))
    )
    return made
