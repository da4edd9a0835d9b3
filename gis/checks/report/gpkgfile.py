"""The GeoPackage report, for QGIS: points, lines and polygons of findings, and the suggested mends.

Geometry is in the storage CRS, in which the editor works. Written in portions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import batched
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely

from gis.checks.model import Outcome, Reported
from gis.checks.registry import rules
from gis.checks.report.records import BATCH, layers_of, mends_of, owners_of, place, plain, standing
from gis.checks.source import Source
from gis.checks.window import Setting
from gis.crs import gdal_user_crs

#: Dimension -> GeoPackage layer and its geometry type.
_LAYERS = {
    0: ("finding_point", "MultiPoint"),
    1: ("finding_line", "MultiLineString"),
    2: ("finding_polygon", "MultiPolygon"),
}
_MULTI = {0: shapely.multipoints, 1: shapely.multilinestrings, 2: shapely.multipolygons}


def write(path: Path, outcome: Outcome, setting: Setting, language: str, source: Source | None) -> None:  # noqa: ARG001
    import pyogrio  # GDAL takes long to import

    crs = gdal_user_crs(setting.city.crs.storage)
    begun: set[str] = set()

    def append(layer: str, kind: str, rows: list[dict[str, Any]]) -> None:
        table = pa.Table.from_pylist(rows, schema=_SCHEMAS["mend" if layer.startswith("mend") else "finding"])
        pyogrio.write_arrow(
            table,
            path,
            layer=layer,
            driver="GPKG",
            geometry_name="geom",
            geometry_type=kind,
            crs=crs,
            append=layer in begun,
        )
        begun.add(layer)

    for some in batched(standing(outcome), BATCH):
        portions: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for one in some:
            for dimension, shape in _by_dimension(place(one)):
                portions[_LAYERS[dimension]].append({**_row(one, language), "geom": shape})
            for name, kind, row in _mends(one, setting):
                portions[name, kind].append(row)
        for (layer, kind), rows in portions.items():
            append(layer, kind, rows)
    if not begun:  # nothing found: a file all the same, that says so when opened
        append("finding_point", "MultiPoint", [])


def _by_dimension(shape: shapely.Geometry) -> Iterator[tuple[int, bytes]]:
    """The shape as one multi-geometry for each dimension it has."""
    parts: dict[int, list[shapely.Geometry]] = defaultdict(list)
    for part in _parts(shape):
        parts[int(shapely.get_dimensions(part))].append(part)
    for dimension, some in parts.items():
        yield dimension, shapely.to_wkb(_MULTI[dimension](np.array(some, dtype=object)))


def _parts(shape: shapely.Geometry) -> Iterable[shapely.Geometry]:
    flat = shapely.force_2d(shape)
    for part in shapely.get_parts(flat):
        if part.geom_type.startswith(("Multi", "GeometryCollection")):
            yield from _parts(part)
        elif not part.is_empty:
            yield shapely.LineString(part) if part.geom_type == "LinearRing" else part


def _row(one: Reported, language: str) -> dict[str, Any]:
    record = plain(one)
    return {
        "id": one.id,
        "rule": one.finding.rule,
        "title": getattr(rules()[one.finding.rule].rule.title, language),
        "severity": one.finding.severity,
        "status": one.state,
        "news": one.news,
        "layers": ",".join(layers_of(one)),
        "asset_ids": ",".join(ref.asset_id for ref in one.finding.features),
        "owners": ",".join(owners_of(one)),
        "value": one.finding.value,
        "limit": one.finding.limit,
        "unit": one.finding.unit,
        "sheet": one.sheet,
        "message_vi": record["message"]["vi"],
        "message_en": record["message"]["en"],
        "first_seen": one.first_seen,
        "last_seen": one.last_seen,
    }


def _mends(one: Reported, setting: Setting) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for mend in mends_of(one, setting, setting.city.crs.storage):
        # GDAL takes a column `fid` for the row's own id, and two mends may be of one feature.
        rest = {k: mend[k] for k in ("layer", "asset_id", "action", "moved_m")} | {"feature": mend["fid"]}
        for shape in mend["geometries"]:
            for dimension, wkb in _by_dimension(shape):
                name, kind = _LAYERS[dimension]
                yield (
                    name.replace("finding", "mend"),
                    kind,
                    {"finding": one.id, "rule": one.finding.rule, **rest, "geom": wkb},
                )


_TEXT = pa.string()
_SCHEMAS = {
    "finding": pa.schema(
        [
            *((name, _TEXT) for name in ("id", "rule", "title", "severity", "status", "news", "layers")),
            *((name, _TEXT) for name in ("asset_ids", "owners")),
            *((name, pa.float64()) for name in ("value", "limit")),
            *((name, _TEXT) for name in ("unit", "sheet", "message_vi", "message_en")),
            *((name, pa.timestamp("ms", tz="UTC")) for name in ("first_seen", "last_seen")),
            ("geom", pa.binary()),
        ]
    ),
    "mend": pa.schema(
        [
            *((name, _TEXT) for name in ("finding", "rule", "layer")),
            ("feature", pa.int64()),
            *((name, _TEXT) for name in ("asset_id", "action")),
            ("moved_m", pa.float64()),
            ("geom", pa.binary()),
        ]
    ),
}
