"""What a serving process and the process that writes its files say to each other.

Frames both ways on one socket: a kind (one byte), the length of what follows (8 bytes, big endian), and that.
The writer unpickles what its parent sends; the parent never unpickles anything.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

#: To the writer: its folder (a path), a job (pickled), a layer of a file (pickled Form), rows of a binary
#: COPY (how many as uint32, the length of each, their bytes), rows (pickled tuples), the end.
FOLDER, JOB, LAYER, COPIED, TUPLES, END = b"w", b"j", b"l", b"c", b"t", b"e"
#: From the writer: bytes of the answer, done, failed (a text for the log).
DATA, DONE, FAILED = b"D", b"E", b"F"

HEAD: Final = struct.Struct(">cQ")
#: What the parent takes at once.
MOST: Final = 1 << 30

#: A file's name in the writer's folder.
MADE: Final = "made"
#: Formats that are written to a file -> GDAL's names.
DRIVERS: Final = {"fgb": "FlatGeobuf", "gpkg": "GPKG"}


@dataclass(frozen=True)
class Form:
    """A layer as a file has it. Rows have its fields' values, then WKB or null."""

    layer: str
    #: Of layers/*.yml: Point, ..., or Geometry for any.
    geometry: str
    #: Names and types (layers/*.yml).
    fields: tuple[tuple[str, str], ...]
    #: EPSG code of the coordinates, which are in traditional order (x east).
    crs: int
    #: There are heights, even where no row has one.
    heights: bool
    #: There are geometries.
    shapes: bool = True

    @property
    def any_kind(self) -> bool:
        """Whether each geometry says what it is."""
        return self.geometry == "Geometry"

    @property
    def geometry_type(self) -> str:
        """As GDAL's writers call it."""
        return "Unknown" if self.any_kind else self.geometry + (" Z" if self.heights else "")


@dataclass(frozen=True)
class Flow:
    """FlatGeobuf of one layer that flows: rows come in, features go out at once.

    ``head``: what stands before the features goes out first.
    """

    form: Form
    head: bool


@dataclass(frozen=True)
class File:
    """A file of one or more layers, in MADE of the writer's folder when it is done.

    ``measured``: there are heights where a row has one (rows come in at once). ``index``: a spatial index.
    """

    output: str
    measured: bool = False
    index: bool = True


Job = Flow | File
