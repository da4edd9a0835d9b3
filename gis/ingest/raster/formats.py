"""What a delivered raster is, told by its first bytes; GDAL is never asked to guess.

GDAL opens by content, and some formats are programs in disguise: a VRT or MRF names other files and addresses
to read. So bandoso decides the format itself, and the child that reads the file is left with that one driver.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path

from gis.errors import LoadRefused, NotFoundError

_HEAD = 4096


@dataclass(frozen=True)
class RasterFormat:
    """A readable format. ``driver``: GDAL's name; ``world``: suffixes that its world file may have."""

    name: str
    driver: str
    suffix: str
    world: tuple[str, ...] = ()


GEOTIFF = RasterFormat("GeoTIFF", "GTiff", ".tif", (".tfw", ".tifw", ".tiffw", ".wld"))
IMAGINE = RasterFormat("ERDAS Imagine", "HFA", ".img", (".igw", ".imgw", ".wld"))
ASCII_GRID = RasterFormat("ASCII grid", "AAIGrid", ".asc")
JPEG2000 = RasterFormat("JPEG 2000", "JP2OpenJPEG", ".jp2", (".j2w", ".jp2w", ".wld"))
PNG = RasterFormat("PNG", "PNG", ".png", (".pgw", ".pngw", ".wld"))
JPEG = RasterFormat("JPEG", "JPEG", ".jpg", (".jgw", ".jpgw", ".jpegw", ".wld"))
FORMATS = (GEOTIFF, IMAGINE, ASCII_GRID, JPEG2000, PNG, JPEG)
READABLE = ", ".join(f.name for f in FORMATS)

_MAGIC: tuple[tuple[bytes, RasterFormat], ...] = (
    (b"II*\0", GEOTIFF),
    (b"MM\0*", GEOTIFF),
    (b"II+\0", GEOTIFF),
    (b"MM\0+", GEOTIFF),
    (b"EHFA_HEADER_TAG", IMAGINE),
    (b"\0\0\0\x0cjP  \r\n\x87\n", JPEG2000),
    (b"\xff\x4f\xff\x51", JPEG2000),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
)
_GRID = re.compile(rb"\s*(?:ncols|nrows|xllcorner|xllcenter|cellsize)\s+[-+0-9.]", re.IGNORECASE)


@dataclass(frozen=True)
class RasterSource:
    """A delivered raster: its format, the file, and its world and projection files if they are there."""

    format: RasterFormat
    main: Path
    world: Path | None = None
    projection: Path | None = None

    @property
    def parts(self) -> tuple[Path, ...]:
        """All files."""
        return tuple(p for p in (self.main, self.world, self.projection) if p is not None)


def sniff(path: Path) -> RasterSource:
    """The raster at ``path``. Raises NotFoundError, or LoadRefused when it is none that is taken."""
    if not path.exists():
        raise NotFoundError(f"there is no file {path.name}")
    if not stat.S_ISREG(path.stat().st_mode):
        raise LoadRefused(f"{path.name} is not a regular file", code="not-a-file")
    with path.open("rb") as file:
        head = file.read(_HEAD)
    found = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
    if found is None and _GRID.match(head):
        found = ASCII_GRID
    if found is None:
        said = (
            "is a list of other files (VRT or MRF), which is not opened" if _virtual(head) else "is no raster"
        )
        hint = "convert it to GeoTIFF" if _virtual(head) else None
        raise LoadRefused(
            f"{path.name} {said}", code="unknown-format", hint=hint or f"readable are {READABLE}"
        )
    return RasterSource(found, path, _beside(path, found.world), _beside(path, (".prj",)))


def _virtual(head: bytes) -> bool:
    return any(mark in head for mark in (b"<VRTDataset", b"<MRF_META", b"<GDAL_WMS", b"<GDALTileIndex"))


def _beside(path: Path, suffixes: tuple[str, ...]) -> Path | None:
    """A regular file of the same name with one of the suffixes, whatever their case."""
    for suffix in suffixes:
        for one in (suffix, suffix.upper()):
            candidate = path.with_suffix(one)
            if candidate != path and candidate.is_file():
                return candidate
    return None
