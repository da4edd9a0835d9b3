"""The JSON report (design/interfaces.md): a summary, and the findings with geometry in CRS84."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import shapely

from gis.checks.model import Outcome, Reported
from gis.checks.report.records import mends_of, plain, standing, summary, with_geometry
from gis.checks.source import Source
from gis.checks.window import Setting
from gis.crs import WGS84


def write(path: Path, outcome: Outcome, setting: Setting, language: str, source: Source | None) -> None:  # noqa: ARG001
    """Write the report; a finding a line, so that it can be read as a stream."""
    with path.open("wb") as file:
        file.write(b'{"summary": ' + orjson.dumps(summary(outcome, setting)) + b',\n"findings": [')
        separator = b"\n"
        for one, shape in with_geometry(standing(outcome), setting, WGS84):
            file.write(separator + orjson.dumps(record(one, shape, setting)))
            separator = b",\n"
        file.write(b"\n]}\n")


def record(one: Reported, shape: shapely.Geometry, setting: Setting) -> dict[str, Any]:
    """One finding; ``shape`` is its place in CRS84."""
    content = {**plain(one), "geometry": geojson(shape)}
    if one.finding.mends:
        content["mends"] = [
            {**mend, "geometries": [geojson(part) for part in mend["geometries"]]}
            for mend in mends_of(one, setting, WGS84)
        ]
    return content


def geojson(shape: shapely.Geometry) -> orjson.Fragment | None:
    """GeoJSON with nine decimals of a degree; null for what has no place (empty, not finite)."""
    xy = shapely.get_coordinates(shape)
    if not len(xy) or not np.isfinite(xy).all():
        return None
    return orjson.Fragment(shapely.to_geojson(shapely.transform(shape, lambda some: some.round(9))))


def mend_features(one: Reported, setting: Setting) -> dict[str, Any]:
    """The suggested mends as a GeoJSON FeatureCollection in CRS84: a feature for each geometry, and one
    without geometry for what is to be deleted."""
    features = []
    for mend in mends_of(one, setting, WGS84):
        about = {k: mend[k] for k in ("layer", "fid", "asset_id", "action", "moved_m")}
        for part, shape in enumerate(mend["geometries"] or [None]):
            features.append(
                {
                    "type": "Feature",
                    "geometry": None if shape is None else geojson(shape),
                    "properties": {"finding": one.id, "rule": one.finding.rule, "part": part, **about},
                }
            )
    return {"type": "FeatureCollection", "features": features}
