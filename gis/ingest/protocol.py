"""What parent and reading child say to each other: one pickled request, then frames on a pipe.

A frame is its kind (one byte), its length (8 bytes, big endian) and its payload. The parent takes frames
only up to MOST bytes and never unpickles anything that the child sends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from gis.errors import LoadRefused
from gis.ingest.formats import Format
from gis.ingest.mapping import Mapping
from gis.ingest.sandbox import Limits
from gis.ingest.target import Target

HEADER, STATS, COPY, ROWS, REJECTS, FIDS, ERROR, DONE = b"H", b"S", b"C", b"N", b"R", b"F", b"E", b"D"
MOST = 1 << 30


@dataclass(frozen=True)
class ReadRequest:
    """Everything that the child is told. ``path`` is a staged name in ``work`` for the file."""

    format: Format
    path: Path
    parts: tuple[Path, ...]
    work: Path
    target: Target
    mapping: Mapping
    limits: Limits
    source_layer: str | None = None
    #: The delivery's own name, under which formats of one layer may be called for.
    stem: str = ""
    encoding: str = "auto"
    crs: int | None = None
    allow_outside: bool = False
    accept_invalid: bool = False
    load_id: int | None = None
    #: Write COPY data; otherwise only read, check and count (dry run).
    write: bool = True
    #: Only report these source rows as rejected: row number -> message (second pass for duplicates).
    duplicates: dict[int, str] = field(default_factory=dict)


def send(stream: BinaryIO, kind: bytes, payload: bytes | memoryview) -> None:
    """Write one frame."""
    stream.write(kind + len(payload).to_bytes(8, "big"))
    stream.write(payload)
    stream.flush()


def split_head(head: bytes) -> tuple[bytes, int]:
    """Kind and length of a frame's first nine bytes. Raises LoadRefused when it is too large."""
    kind, length = head[:1], int.from_bytes(head[1:], "big")
    if length > MOST:
        raise LoadRefused("a part of the file is too large to be read", code="reader-failed")
    return kind, length
