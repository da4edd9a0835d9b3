"""Reading through GDAL, with one driver left: the one that our own look at the file named."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyogrio
import shapely
from pyogrio._ogr import _register_drivers
from pyogrio.errors import DataLayerError, DataSourceError

from gis import encodings
from gis.errors import LoadRefused
from gis.ingest import dgn, formats
from gis.ingest.formats import Format
from gis.ingest.sources import BATCH, FID, GEOMETRY, Opened, choose_layer, refuse_views, with_standard_columns
from gis.ingest.values import is_text

_LATIN1 = "ISO-8859-1"
_WKT_NAMES = {"wkt", "geom", "geometry", "thegeom", "wktgeom"}
_X_NAMES = ("x", "lon", "lng", "long", "longitude", "easting", "east", "kinhdo")
_Y_NAMES = ("y", "lat", "latitude", "northing", "north", "vido")


def leave_one_driver(driver: str, work: Path) -> None:
    """Deregister every GDAL driver but one, and what reaches out of the machine. Raises when that fails."""
    others = [name for name in pyogrio.list_drivers() if name != driver]
    pyogrio.set_gdal_config_options(
        {
            "GDAL_SKIP": ",".join(others),
            "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": "{none}",
            "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR" if driver in ("GeoJSON", "FlatGeobuf") else "NO",
            "OGR_SQLITE_PRAGMA": "trusted_schema=OFF",
            "OGR_SQLITE_LOAD_EXTENSIONS": "NO",
            "SQLITE_USE_OGR_VFS": "NO",
            "OGR_GEOJSON_MAX_OBJ_SIZE": "200",
            "OSM_MAX_TMPFILE_SIZE": "100",
            "GML_SKIP_RESOLVE_ELEMS": "ALL",
            "GDAL_NUM_THREADS": "2",
            "CPL_TMPDIR": str(work),
        }
    )
    _register_drivers()
    left = set(pyogrio.list_drivers())
    if left != {driver}:
        raise RuntimeError(f"GDAL kept {sorted(left)}")


def open_ogr(
    kind: Format,
    path: Path,
    *,
    layer: str | None,
    stem: str,
    dimension: int,
    target: str,
    encoding: str,
    stack: ExitStack,
) -> Opened:
    """Open ``path`` by GDAL. Raises LoadRefused when it is damaged, empty or not certain."""
    try:
        layers = pyogrio.list_layers(path)
        names = [str(row[0]) for row in layers]
        geometries = [row[1] for row in layers]
        if kind == formats.GEOPACKAGE and layer is None:
            names, geometries = names[:1000], geometries[:1000]
        name = choose_layer(
            names,
            geometries,
            layer,
            stem=stem,
            dimension=dimension,
            target=target,
            osm=kind.driver == "OSM",
        )
        if kind == formats.GEOPACKAGE:
            refuse_views(path, name)
        options, encoding, how, bytewise = _text_options(kind, path, name, encoding)
        if kind.driver == "OSM":
            options["TAGS_FORMAT"] = "JSON"
        if kind == formats.GEOPACKAGE:
            options["IMMUTABLE"] = "YES"
        info = pyogrio.read_info(path, layer=name, **options)
        meta, reader = stack.enter_context(
            pyogrio.open_arrow(
                path, layer=name, use_pyarrow=True, return_fids=True, batch_size=BATCH, **options
            )
        )
    except (DataSourceError, DataLayerError) as error:
        raise LoadRefused(
            f"the file cannot be read as {kind.name}", code="damaged-file", hint=_safe(str(error), path)
        ) from error
    opened = Opened(
        layer=name,
        columns=(),
        crs=str((kind.crs and f"EPSG:{kind.crs}") or meta["crs"] or "") or None,
        count=int(info["features"]) if info["features"] >= 0 else None,
        batches=iter(()),
        tags="other_tags" if kind.driver == "OSM" else None,
        bytewise=bytewise,
        encoding=encoding,
        encoding_how=how,
    )
    _plan_batches(opened, kind, path, reader)
    return opened


def _plan_batches(opened: Opened, kind: Format, path: Path, reader: pa.RecordBatchReader) -> None:
    """Fill in columns, batches and the final check."""
    schema = reader.schema
    fid = schema.names[0]
    geometry = next((f.name for f in schema if _is_geometry(f)), None)
    # Lists and structs have no text form that a field could take.
    names = [f.name for f in schema if f.name not in (fid, geometry) and not pa.types.is_nested(f.type)]
    if kind == formats.CSV:
        opened.batches = _csv_batches(reader, fid, names, opened)
        opened.columns = tuple(names)
        return
    if geometry is None:
        raise LoadRefused(f"layer {opened.layer} has no geometry", code="no-geometry")
    seen: set[int] = set()

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in reader:
            fids = batch.column(fid)
            if kind == formats.DGN:
                seen.update(fids.to_pylist())
            geometries = batch.column(geometry)
            if isinstance(geometries, pa.ExtensionArray):
                geometries = geometries.storage
            yield with_standard_columns(batch, geometries, fids, names)

    opened.columns = tuple(names)
    opened.batches = batches()
    if kind == formats.DGN:

        def finish() -> list[str]:
            warning, _ = dgn.compare(dgn.scan(path), seen)
            return [warning] if warning else []

        opened.finish = finish


def _is_geometry(f: pa.Field) -> bool:
    marked = (f.metadata or {}).get(b"ARROW:extension:name", b"")
    return marked in (b"geoarrow.wkb", b"ogc.wkb") or isinstance(f.type, pa.ExtensionType)


def _safe(message: str, path: Path) -> str:
    """GDAL's message without paths."""
    text = message.replace(str(path), path.name).replace(str(path.parent), "")
    return re.sub(r"/\S+/", "", text)[:200]


# --- encodings ------------------------------------------------------------------------------------


def _text_options(
    kind: Format, path: Path, layer: str, encoding: str
) -> tuple[dict[str, Any], str, str, bool]:
    """(open options, encoding for the cleaner, how it is known, are bytes left undecoded)."""
    said = f"--encoding {encoding}"
    if kind.unicode:
        return {}, encoding, "the format is Unicode" if encoding == "auto" else said, False
    if kind in (formats.CSV, formats.DGN):
        if encoding == "auto":
            return {}, "auto", "taken as UTF-8 and checked", False
        return {}, encoding, said, encoding != "utf-8"
    if kind == formats.DXF:
        if encoding != "auto":
            raw = "UTF-8" if encoding == "utf-8" else _LATIN1
            pyogrio.set_gdal_config_options({"DXF_ENCODING": raw})
            return {}, encoding, said, False
        return {}, "auto", "$DWGCODEPAGE of the drawing", False
    if encoding == "utf-8":
        return {"ENCODING": "UTF-8"}, encoding, said, False
    if encoding != "auto":
        return {"ENCODING": _LATIN1}, encoding, said, False
    if kind == formats.SHAPEFILE:
        return _shapefile_encoding(path, layer)
    return {}, "auto", "charset of the table", False


def _shapefile_encoding(path: Path, layer: str) -> tuple[dict[str, Any], str, str, bool]:
    """By the .cpg file, else the DBF's language byte, else by looking: UTF-8, or refused with a finding."""
    if path.with_suffix(".cpg").exists():
        text = path.with_suffix(".cpg").read_bytes()[:40].decode("ascii", "replace").strip()
        return {}, "auto", f"the .cpg file says {text}", False
    with path.with_suffix(".dbf").open("rb") as dbf:
        language = dbf.read(32)[29]
    texts: list[str] = []
    _, table = pyogrio.read_arrow(
        path, layer=layer, read_geometry=False, max_features=20_000, ENCODING=_LATIN1
    )
    for column in table.columns:
        if is_text(column.type):
            texts += [t for t in pc.unique(column).to_pylist() if t and not t.isascii()]
    if all(_is_utf8(t) for t in texts):
        return {"ENCODING": "UTF-8"}, "auto", "no .cpg file; all text is valid UTF-8", False
    found = encodings.detect(texts)
    if found.encoding is None and language not in (0, 0x57):
        return {}, "auto", f"the DBF's language byte is 0x{language:02x}", False
    seems = f"; it seems to be {found.encoding} ({found.confidence:.0%} sure)" if found.encoding else ""
    raise LoadRefused(
        f"the Shapefile does not say the encoding of its text{seems}",
        code="legacy-encoding" if found.encoding else "unknown-encoding",
        hint=f"say it with --encoding {found.encoding or 'tcvn3, vni, viscii, cp1258 or utf-8'}",
    )


def _is_utf8(latin1: str) -> bool:
    try:
        latin1.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return False
    return True


# --- CSV ------------------------------------------------------------------------------------------


def _csv_batches(
    reader: pa.RecordBatchReader, fid: str, names: list[str], opened: Opened
) -> Iterator[pa.RecordBatch]:
    """Geometry from a WKT column or two coordinate columns, read by us: GDAL takes 'abc' for 0."""
    folded = {re.sub(r"[^a-z]", "", n.lower()): n for n in reversed(names)}
    wkt = next((folded[n] for n in folded if n in _WKT_NAMES), None)
    x = next((folded[n] for n in _X_NAMES if n in folded), None)
    y = next((folded[n] for n in _Y_NAMES if n in folded), None)
    if wkt is None and (x is None or y is None):
        raise LoadRefused(
            "the CSV has no geometry",
            code="no-geometry",
            hint="it needs a column wkt, or two named x and y, lon and lat, or easting and northing",
        )
    coordinates = [c for c in (wkt,) if c] or [c for c in (x, y) if c]
    opened.coordinates = tuple(coordinates)
    opened.warnings.append("geometry from column " + " and ".join(coordinates))

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in reader:
            if wkt is not None:
                texts = np.array(_texts(batch.column(wkt)), dtype=object)
                shapes = shapely.from_wkt(texts, on_invalid="ignore")
                wkb = shapely.to_wkb(shapes)
                # Text that is no WKT must be told from an empty cell: one byte is no WKB.
                wkb[shapely.is_missing(shapes) & np.array([bool(t) for t in texts])] = b"?"
            else:
                assert x is not None and y is not None
                wkb = _points(_texts(batch.column(x)), _texts(batch.column(y)))
            yield with_standard_columns(batch, pa.array(wkb, pa.binary()), batch.column(fid), names)

    return batches()


def _texts(column: pa.Array) -> list[str | None]:
    raw = column.view(pa.binary()) if pa.types.is_string(column.type) else column.cast(pa.binary())
    return [None if v is None else v.decode("latin-1").strip() for v in raw.to_pylist()]


def _points(xs: list[str | None], ys: list[str | None]) -> np.ndarray:
    wkb = np.empty(len(xs), dtype=object)
    for i, (x, y) in enumerate(zip(xs, ys, strict=True)):
        if not x or not y:
            continue
        try:
            wkb[i] = shapely.to_wkb(shapely.Point(float(x), float(y)))
        except ValueError:
            wkb[i] = b"?"
    return wkb


def tags_batch(batch: pa.RecordBatch, column: str, wanted: list[str]) -> pa.RecordBatch:
    """``batch`` with the OSM tags ``wanted`` as columns (from GDAL's JSON column of further tags)."""
    missing = [w for w in wanted if w not in batch.schema.names]
    if not missing:
        return batch
    values: dict[str, list[str | None]] = {name: [] for name in missing}
    for text in batch.column(column).to_pylist():
        tags = json.loads(text) if text else {}
        for name in missing:
            values[name].append(tags.get(name))
    for name in missing:
        batch = batch.append_column(name, pa.array(values[name], pa.string()))
    return batch


__all__ = ["FID", "GEOMETRY", "leave_one_driver", "open_ogr", "tags_batch"]
