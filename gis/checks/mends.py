"""Suggested mends as they are kept, and as GeoJSON. Light: the web processes import it, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import orjson
import shapely

from gis import crs
from gis.checks.model import Mend


def stored(rows: Iterable[Mapping[str, Any]]) -> tuple[Mend, ...]:
    """Mends out of bandoso.finding_key.mends (written by gis.checks.encode); geometry in the storage CRS."""
    return tuple(
        Mend(
            row["layer"],
            row["fid"],
            row["asset_id"],
            _shape(row["geometry"]),
            row["moved_m"],
            tuple(_shape(part) for part in row["split"]),
        )
        for row in rows
    )


def in_crs(mends: Iterable[Mend], storage: int, code: int) -> list[dict[str, Any]]:
    """What to do with which feature, how far it moves (m), geometries in CRS ``code`` (x east, y north)."""
    return [
        {
            "layer": mend.layer,
            "fid": mend.fid,
            "asset_id": mend.asset_id,
            "action": "delete" if mend.geometry is None else "split" if mend.split else "change",
            "moved_m": mend.moved_m,
            "geometries": [
                crs.transform_geometries(np.array([shape], dtype=object), storage, code)[0]
                for shape in (mend.geometry, *mend.split)
                if shape is not None
            ],
        }
        for mend in mends
    ]


def feature_collection(finding: str, rule: str, mends: Iterable[Mend], storage: int) -> dict[str, Any]:
    """A GeoJSON FeatureCollection in CRS84: a feature for each geometry, and one without geometry for what
    is to be deleted."""
    features = []
    for mend in in_crs(mends, storage, crs.WGS84):
        about = {k: mend[k] for k in ("layer", "fid", "asset_id", "action", "moved_m")}
        features += [
            {
                "type": "Feature",
                "geometry": None if shape is None else geojson(shape),
                "properties": {"finding": finding, "rule": rule, "part": part, **about},
            }
            for part, shape in enumerate(mend["geometries"] or [None])
        ]
    return {"type": "FeatureCollection", "features": features}


def geojson(shape: shapely.Geometry) -> orjson.Fragment | None:
    """GeoJSON with nine decimals of a degree; null for what has no place (empty, not finite)."""
    xy = shapely.get_coordinates(shape)
    if not len(xy) or not np.isfinite(xy).all():
        return None
    return orjson.Fragment(shapely.to_geojson(shapely.transform(shape, lambda some: some.round(9))))


def _shape(text: str | None) -> Any:
    return None if text is None else shapely.from_wkb(text)
