"""The JSON report (design/interfaces.md): a summary, and the findings with geometry in CRS84."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import shapely

from gis.checks.mends import feature_collection, geojson
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


def mend_features(one: Reported, setting: Setting) -> dict[str, Any]:
    """The suggested mends as a GeoJSON FeatureCollection in CRS84 (see mends.feature_collection)."""
    return feature_collection(one.id, one.finding.rule, one.finding.mends, setting.city.crs.storage)
