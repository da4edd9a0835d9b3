"""What the parent tells the child that reads a raster, and what the child tells of the result."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gis.crs import Box
from gis.ingest.raster.formats import RasterFormat
from gis.ingest.sandbox import Limits

#: A city's orthophoto of a day is some 10 GB; warping and compressing it takes hours of a core.
LIMITS = Limits(
    address_space=8_000_000_000, cpu_seconds=24 * 3600, file_size=200_000_000_000, silence_seconds=900.0
)


@dataclass(frozen=True)
class RasterRequest:
    """One file. Paths are staged names in ``work``, except ``parts``: what they point to."""

    format: RasterFormat
    path: Path
    parts: tuple[Path, ...]
    work: Path
    #: The layer's kind, compression and possible heights (layers.raster.RasterDef).
    kind: str
    compression: str
    heights: tuple[float, float]
    storage: int
    extent: Box
    offered: tuple[int, ...] = ()
    world: Path | None = None
    projection: Path | None = None
    crs: int | None = None
    nodata: float | None = None
    #: WKB (storage CRS) of the sheet's frame, by which scans are cut; and its name.
    frame: bytes | None = None
    sheet: str | None = None
    allow_outside: bool = False
    #: False: read and check everything, write nothing (dry run).
    write: bool = True
    limits: Limits = field(default_factory=lambda: LIMITS)

    @property
    def drivers(self) -> frozenset[str]:
        """What it may read with, beside what it writes with."""
        return frozenset({self.format.driver})

    @property
    def result(self) -> Path:
        """Where the child leaves the finished file."""
        return self.work / "result.tif"


@dataclass(frozen=True)
class OverviewRequest:
    """All files of a layer, to be made into one coarse file."""

    #: Each with WKB of its footprint (storage CRS); the one on top first. They are in ``work`` or ``folder``.
    files: tuple[tuple[Path, bytes], ...]
    folder: Path
    work: Path
    kind: str
    compression: str
    storage: int
    #: Metres of a pixel.
    step: float
    limits: Limits = field(default_factory=lambda: LIMITS)

    @property
    def parts(self) -> tuple[Path, ...]:
        """What the child may read."""
        return (self.folder,)

    @property
    def drivers(self) -> frozenset[str]:
        """What it may read with, beside what it writes with."""
        return frozenset({"GTiff"})

    @property
    def result(self) -> Path:
        """Where the child leaves the finished file."""
        return self.work / "result.tif"
