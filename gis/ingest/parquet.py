"""GeoParquet, read by pyarrow: the GDAL in pyogrio's wheel has no Parquet driver."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gis.errors import LoadRefused
from gis.ingest.sources import BATCH, Opened, with_standard_columns


def open_parquet(path: Path) -> Opened:
    """Open a GeoParquet file (WKB encoding). Raises LoadRefused when it is damaged or without geometry."""
    try:
        file = pq.ParquetFile(path, memory_map=False)
        schema = file.schema_arrow
        geo = json.loads((schema.metadata or {}).get(b"geo", b"{}"))
    except (pa.ArrowException, ValueError, OSError) as error:
        raise LoadRefused("the file cannot be read as GeoParquet", code="damaged-file") from error
    columns = geo.get("columns") if isinstance(geo, dict) else None
    name = geo.get("primary_column") if columns else None
    if not isinstance(columns, dict) or name not in columns or name not in schema.names:
        raise LoadRefused(
            "the Parquet file has no geometry metadata", code="no-geometry", hint="write it as GeoParquet 1.x"
        )
    described = columns[name]
    if described.get("encoding") != "WKB":
        raise LoadRefused(
            "the GeoParquet file does not hold WKB", code="no-geometry", hint="write it with encoding WKB"
        )
    # The standard: a missing crs means longitude and latitude, null means unknown.
    crs = described.get("crs", "missing")
    text = "EPSG:4326" if crs == "missing" else json.dumps(crs) if crs else None
    names = [f.name for f in schema if f.name != name and not pa.types.is_nested(f.type)]

    def batches() -> Iterator[pa.RecordBatch]:
        at = 0
        for batch in file.iter_batches(batch_size=BATCH, columns=[*names, name], use_threads=False):
            geometry = batch.column(name)
            if isinstance(geometry, pa.ExtensionArray):
                geometry = geometry.storage
            fids = pa.array(np.arange(at, at + batch.num_rows, dtype=np.int64))
            at += batch.num_rows
            yield with_standard_columns(batch, geometry, fids, names)

    return Opened(
        layer=path.stem, columns=tuple(names), crs=text, count=file.metadata.num_rows, batches=batches()
    )
