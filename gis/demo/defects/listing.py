"""The list of injected errors as a file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely

from gis import crs
from gis.city import City
from gis.demo.defects.site import Defect
from gis.demo.plan import Plan
from gis.errors import UsageError


def check_writable(path: Path) -> None:
    """Raise UsageError when the list could not be written: before minutes of work, not after."""
    if path.is_dir() or not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise UsageError(f"{path} cannot be written", hint="name a file in a folder that exists")


def write_list(path: Path, defects: Sequence[Defect], plan: Plan, city: City) -> None:
    """Write ``{"defects": [{"rule", "layer", "asset_ids", "geometry", "note", "changed"}]}``; CRS84.

    ``changed`` names everything that differs from the clean city. The file appears whole or not at all.
    """
    geometries = np.array([d.geometry for d in defects], dtype=object)
    turned = crs.transform_geometries(geometries, city.crs.storage, 4326) if len(defects) else geometries
    shapes = [json.loads(text) for text in shapely.to_geojson(turned)]
    listed = [
        {
            "rule": d.rule,
            "layer": d.layer,
            "asset_ids": list(d.asset_ids),
            "geometry": shape,
            "note": d.note,
            "changed": [{"layer": layer, "asset_id": asset_id} for layer, asset_id in d.changed],
        }
        for d, shape in zip(defects, shapes, strict=True)
    ]
    whole = {"seed": plan.seed, "parcels": plan.parcels, "defects": listed}
    draft = path.with_name(path.name + ".new")
    draft.write_text(json.dumps(whole, ensure_ascii=False, indent=1), encoding="utf-8")
    draft.replace(path)
