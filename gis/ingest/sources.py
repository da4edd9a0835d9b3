"""Opens a delivery for reading, in the child: its layers, columns, CRS, and a stream of Arrow batches.

Whatever the format, a batch has the source's attribute columns, FID (int64) and GEOMETRY (WKB).
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from gis.errors import LoadRefused, UsageError
from gis.ingest import formats
from gis.ingest.formats import Format

FID, GEOMETRY = "__fid", "__geometry"

#: Rows of one batch: large enough for Arrow to pay off, small enough for 30,000 polygons to fit anywhere.
BATCH = 32_768
_OSM_LAYERS = {0: "points", 1: "lines", 2: "multipolygons"}


@dataclass
class Opened:
    """An opened layer. ``crs``: text for gis.crs.identify, or None. ``count``: rows, or None when unknown."""

    layer: str
    columns: tuple[str, ...]
    crs: str | None
    count: int | None
    batches: Iterator[pa.RecordBatch]
    #: Columns that are not there may be tags (OSM).
    tags: str | None = None
    #: Columns that the geometry is made of (CSV).
    coordinates: tuple[str, ...] = ()
    #: Attribute bytes are not decoded: one character a byte.
    bytewise: bool = False
    encoding: str = "utf-8"
    encoding_how: str = "the format is Unicode"
    warnings: list[str] = field(default_factory=list)
    #: Called when all batches are read: gives warnings, or raises LoadRefused.
    finish: Callable[[], list[str]] = list


def open_source(
    kind: Format,
    path: Path,
    *,
    layer: str | None,
    stem: str,
    dimension: int,
    target: str,
    encoding: str,
    work: Path,
    stack: ExitStack,
) -> Opened:
    """Open ``path`` (already staged under a safe name) as ``kind``.

    ``dimension`` 0 to 2 or -1 chooses among OSM's layers; ``target`` is preferred among many layers.
    Raises LoadRefused or UsageError with a sentence for the user.
    """
    if kind == formats.GEOPARQUET:
        if layer not in (None, stem):
            raise UsageError(f"the file has no layer {layer!r}: a Parquet file is one layer")
        from gis.ingest.parquet import open_parquet

        return open_parquet(path)
    from gis.ingest.ogr import open_ogr

    if kind == formats.GEOPACKAGE:
        path = _settled_geopackage(path, work)
    return open_ogr(
        kind, path, layer=layer, stem=stem, dimension=dimension, target=target, encoding=encoding, stack=stack
    )


def choose_layer(
    names: list[str],
    geometries: list[str | None],
    wanted: str | None,
    *,
    stem: str,
    dimension: int,
    target: str,
    osm: bool,
) -> str:
    """The layer to read; ``wanted`` may be the file's own name.

    Raises UsageError or LoadRefused when it is not certain which.
    """
    if wanted is not None and wanted in names:
        return wanted
    if wanted not in (None, stem):
        raise UsageError(f"the file has no layer {wanted!r}", hint="layers: " + ", ".join(names[:30]))
    if osm:
        if dimension not in _OSM_LAYERS:
            raise UsageError("say which part of the OSM file: --source-layer points, lines or multipolygons")
        return _OSM_LAYERS[dimension]
    spatial = [n for n, g in zip(names, geometries, strict=True) if g is not None] or names
    if not spatial:
        raise LoadRefused("the file has no layers", code="no-layer")
    if len(spatial) == 1:
        return spatial[0]
    if target in spatial:
        return target
    raise LoadRefused(
        f"the file has {len(spatial)} layers", code="several-layers",
        hint="name one by --source-layer: " + ", ".join(spatial[:30]),
    )  # fmt: skip


def _settled_geopackage(path: Path, work: Path) -> Path:
    """``path``, or a copy with its write-ahead log folded in when another program has it open (QGIS does).

    Read as immutable, which is how GDAL gets it, a log beside it would be left out: rows lost in silence.
    """
    log = path.with_name(path.name + "-wal")
    if not log.exists() or log.stat().st_size == 0:
        return path
    copy = work / "settled.gpkg"
    # The log first: a checkpoint in between puts its pages into the main file, where they do no harm twice.
    shutil.copyfile(log, copy.with_name(copy.name + "-wal"))
    shutil.copyfile(path, copy)
    try:
        with closing(sqlite3.connect(copy)) as db:
            db.execute("PRAGMA trusted_schema=OFF")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise LoadRefused(
            "the GeoPackage is open in another program and has unsaved changes beside it",
            code="file-in-use",
            hint="close it there (QGIS) and load again",
        ) from error
    return copy


def refuse_views(path: Path, layer: str) -> None:
    """Only a real table of a GeoPackage is read: a view runs the file's own SQL in our program.

    Raises LoadRefused.
    """
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as db:
            db.execute("PRAGMA trusted_schema=OFF")
            found = db.execute(
                "SELECT type, sql FROM sqlite_master WHERE lower(name) = lower(?)", (layer,)
            ).fetchall()
    except sqlite3.Error as error:
        raise LoadRefused("the GeoPackage is damaged", code="damaged-file") from error
    for kind, sql in found:
        if kind == "table" and "VIRTUAL" not in str(sql or "").upper().split("(")[0]:
            return
    raise LoadRefused(
        f"{layer} is not a table of the GeoPackage but a view",
        code="unsafe-file",
        hint="export it as a table",
    )


def with_standard_columns(batch: pa.RecordBatch, geometry: pa.Array, fids: pa.Array, names: list[str]) -> Any:
    """A batch of the attribute columns ``names`` with FID and GEOMETRY."""
    return pa.RecordBatch.from_arrays(
        [*(batch.column(n) for n in names), fids.cast(pa.int64()), geometry], [*names, FID, GEOMETRY]
    )
