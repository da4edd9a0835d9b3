"""What a delivered file is, told by its first bytes and its parts; GDAL is never asked to guess.

GDAL opens by content: an OGR VRT named ``up.geojson`` read /etc/passwd. So bandoso decides the format
itself, and the child that reads the file is left with that one driver.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path

from gis.errors import LoadRefused, NotFoundError

_HEAD = 65_536


@dataclass(frozen=True)
class Format:
    """A readable format. ``driver``: GDAL's name, or "Parquet" (read by pyarrow)."""

    name: str
    driver: str
    suffix: str
    #: The CRS is fixed by the format's definition.
    crs: int | None = None
    #: Text is Unicode by definition (mojibake may still be inside).
    unicode: bool = True
    #: Files that belong to one delivery: suffixes that must, and that may, stand beside the main one.
    needs: tuple[str, ...] = ()
    may_have: tuple[str, ...] = ()
    #: CAD: every element is one layer; levels are attributes.
    cad: bool = False


GEOPACKAGE = Format("GeoPackage", "GPKG", ".gpkg")
SHAPEFILE = Format(
    "Shapefile", "ESRI Shapefile", ".shp", unicode=False, needs=(".shx", ".dbf"), may_have=(".prj", ".cpg")
)
FLATGEOBUF = Format("FlatGeobuf", "FlatGeobuf", ".fgb")
GEOJSON = Format("GeoJSON", "GeoJSON", ".geojson")
GEOJSONSEQ = Format("GeoJSON text sequence", "GeoJSONSeq", ".geojsonl")
GEOPARQUET = Format("GeoParquet", "Parquet", ".parquet")
FILEGDB = Format("File Geodatabase", "OpenFileGDB", ".gdb")
MAPINFO_TAB = Format(
    "MapInfo TAB", "MapInfo File", ".tab", unicode=False, needs=(".dat", ".map", ".id"), may_have=(".ind",)
)
MAPINFO_MIF = Format("MapInfo MIF", "MapInfo File", ".mif", unicode=False, needs=(".mid",))
KML = Format("KML", "LIBKML", ".kml", crs=4326)
CSV = Format("CSV", "CSV", ".csv", unicode=False)
OSM_XML = Format("OpenStreetMap XML", "OSM", ".osm", crs=4326)
OSM_PBF = Format("OpenStreetMap PBF", "OSM", ".pbf", crs=4326)
DXF = Format("DXF", "DXF", ".dxf", unicode=False, cad=True)
DGN = Format("DGN V7", "DGN", ".dgn", unicode=False, cad=True)

FORMATS = (
    GEOPACKAGE, SHAPEFILE, FLATGEOBUF, GEOJSON, GEOJSONSEQ, GEOPARQUET, FILEGDB, MAPINFO_TAB, MAPINFO_MIF,
    KML, CSV, OSM_XML, OSM_PBF, DXF, DGN,
)  # fmt: skip
READABLE = ", ".join(f.name for f in FORMATS)


@dataclass(frozen=True)
class Source:
    """A delivery on disk: its format, the main file, and every file that the reader may see."""

    format: Format
    main: Path
    parts: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(p.stat().st_size for p in self.parts)


def is_zip(path: Path) -> bool:
    """Does ``path`` begin like a zip archive?"""
    return path.is_file() and _head(path, 4) in (b"PK\x03\x04", b"PK\x05\x06")


def sniff(path: Path) -> Source:
    """The delivery at ``path`` (a file, or a .gdb folder; not a zip).

    Raises NotFoundError, or LoadRefused with a sentence that says what the file is instead and what to do.
    """
    if not path.exists():
        raise NotFoundError(f"there is no file {path.name}")
    if path.is_dir():
        return _geodatabase(path)
    if not stat.S_ISREG(path.stat().st_mode):
        raise LoadRefused(f"{path.name} is not a regular file", code="not-a-file")
    if path.suffix.lower() in (".shx", ".dbf", ".prj", ".cpg"):
        return sniff(_main_of(path, ".shp"))
    if path.suffix.lower() in (".dat", ".map", ".id") and _sibling(path, ".tab"):
        return sniff(_main_of(path, ".tab"))
    found = _by_content(path, _head(path, _HEAD))
    parts = [path]
    missing = []
    for suffix in found.needs:
        part = _sibling(path, suffix)
        if part is None:
            missing.append(suffix)
        else:
            parts.append(part)
    if missing:
        raise LoadRefused(
            f"{path.name} is incomplete: the {', '.join(missing)} file is missing",
            code="missing-part",
            hint=f"a {found.name} consists of {', '.join((found.suffix, *found.needs))}; send all",
        )
    parts += [p for suffix in found.may_have if (p := _sibling(path, suffix))]
    return Source(found, path, tuple(parts))


def _head(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


def _sibling(path: Path, suffix: str) -> Path | None:
    """The file of the same stem with ``suffix`` in any case."""
    for candidate in sorted(path.parent.glob("*")):
        if candidate.suffix.lower() == suffix and candidate.stem == path.stem and candidate.is_file():
            return candidate
    return None


def _main_of(path: Path, suffix: str) -> Path:
    main = _sibling(path, suffix)
    if main is None:
        raise LoadRefused(
            f"{path.name} is one part of a delivery whose {suffix} file is missing", code="missing-part"
        )
    return main


def _geodatabase(path: Path) -> Source:
    files = sorted(path.iterdir())
    names = {f.name.lower() for f in files}
    if not {"a00000001.gdbtable", "a00000001.gdbtablx"} <= names:
        raise LoadRefused(
            f"{path.name} is a folder, but not a file geodatabase",
            code="unknown-format",
            hint="name one file",
        )
    if any(f.is_symlink() or not f.is_file() for f in files):
        raise LoadRefused(f"{path.name} holds links or folders", code="unsafe-file")
    return Source(FILEGDB, path, tuple(files))


def _by_content(path: Path, head: bytes) -> Format:
    """The format that the first bytes show; the suffix decides only between text formats."""
    suffix = path.suffix.lower()
    if not head:
        raise LoadRefused(f"{path.name} is empty", code="empty-file")
    if head.startswith(b"SQLite format 3\0"):
        if head[68:72] in (b"GPKG", b"GP10", b"GP11", b"GP12") or suffix == ".gpkg":
            return GEOPACKAGE
        raise _unknown(path, "a SQLite database that is no GeoPackage")
    if head[:3] == b"fgb" and head[4:7] == b"fgb":
        return FLATGEOBUF
    if head.startswith(b"PAR1"):
        return GEOPARQUET
    if head.startswith(b"\x00\x00\x27\x0a"):
        if suffix != ".shp":
            raise _unknown(path, "a Shapefile with a wrong suffix")
        return SHAPEFILE
    if head[4:6] == b"\x0a\x09" and head[6:15] == b"OSMHeader":
        return OSM_PBF
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        raise LoadRefused(
            f"{path.name} is a DGN V8 (or another Microsoft compound) file, which no free library reads",
            code="dgn-v8",
            hint="in MicroStation use File > Save As > V7 DGN, or export DXF, and load that",
        )
    if head[:4] in (b"\x08\x09\xfe\x02", b"\xc8\x09\xfe\x02"):
        return DGN
    if head.startswith(b"AutoCAD Binary DXF"):
        raise _unknown(path, "a binary DXF", "save it as ASCII DXF")
    if re.match(rb"AC10\d\d", head):
        raise _unknown(path, "a DWG", "save it as DXF")
    return _text_format(path, head, suffix)


def _text_format(path: Path, head: bytes, suffix: str) -> Format:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _unknown(path, "UTF-16 text", "save it as UTF-8")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"\x1e") or (suffix in (".geojsonl", ".geojsons", ".ndjson", ".jsonl")):
        if text.lstrip(b"\x1e").lstrip().startswith(b"{"):
            return GEOJSONSEQ
        raise _unknown(path, "no GeoJSON text sequence")
    if text.startswith(b"{"):
        return GEOJSON
    if text.startswith(b"<"):
        return _xml_format(path, text)
    lines = text[:2048].splitlines()
    first = lines[0].strip().lower() if lines else b""
    if first == b"!table":
        return MAPINFO_TAB
    if first.startswith(b"version ") and suffix == ".mif":
        return MAPINFO_MIF
    if re.match(rb"(999\r?\n[^\n]*\n\s*)*0\s*\r?\n\s*SECTION", text):
        return DXF
    if suffix in (".csv", ".tsv", ".txt") and b"\0" not in head:
        return CSV
    raise _unknown(path, "none of them")


def _xml_format(path: Path, text: bytes) -> Format:
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise LoadRefused(f"{path.name} declares XML entities, which are not accepted", code="unsafe-file")
    body = re.sub(rb"<\?.*?\?>|<!--.*?-->", b"", text[:8192], flags=re.DOTALL).lstrip()
    root = re.match(rb"<(?:\w+:)?(\w+)", body)
    name = root.group(1).lower() if root else b""
    if name == b"kml":
        return KML
    if name == b"osm":
        return OSM_XML
    raise _unknown(path, f"XML of another kind ({name.decode('ascii', 'replace')[:40] or 'unknown'})")


def _unknown(path: Path, what: str, hint: str = "") -> LoadRefused:
    return LoadRefused(
        f"{path.name} is {what}, not a format that bandoso loads"
        if what != "none of them"
        else f"{path.name} is in no format that bandoso loads",
        code="unknown-format",
        hint=hint or f"formats: {READABLE}",
    )
