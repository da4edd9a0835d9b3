"""PMTiles version 3 as bytes: header and directories (github.com/protomaps/PMTiles, spec/v3). Pure."""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gis.errors import BandosoError

MAGIC: Final = b"PMTiles"
VERSION: Final = 3
HEADER_BYTES: Final = 127
#: Header and root directory stand within the first so many bytes, so that a client reads them at once.
FIRST_BYTES: Final = 16_384
GZIP: Final = 2
MVT: Final = 1
_NO_COMPRESSION: Final = 1

_FORM: Final = struct.Struct("<7sB11Q6B4iB2i")
#: Larger ones are not ours, nor anybody's: what is unpacked is bounded.
_MOST_DIRECTORY: Final = 64 * 1024 * 1024
_WORD: Final = 10  # most bytes of a number

Numbers = NDArray[np.uint64]


class ArchiveError(BandosoError):
    """A file is not a PMTiles archive, or is damaged, or not one that this server can use."""

    default_code = "archive"

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="bandoso tiles build makes it anew")


@dataclass(frozen=True)
class Section:
    """A part of the file: first byte and number of bytes."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length


@dataclass(frozen=True)
class Header:
    """The header. ``bounds`` are degrees: west, south, east, north; ``center``: longitude, latitude, zoom."""

    root: Section
    metadata: Section
    leaves: Section
    tiles: Section
    #: Tiles that have bytes; entries of directories that name them; different bytes.
    addressed: int
    entries: int
    contents: int
    clustered: bool
    min_zoom: int
    max_zoom: int
    bounds: tuple[float, float, float, float]
    center: tuple[float, float, int]
    internal_compression: int = GZIP
    tile_compression: int = GZIP
    tile_type: int = MVT

    def to_bytes(self) -> bytes:
        """The first HEADER_BYTES of the file."""
        sections = (self.root, self.metadata, self.leaves, self.tiles)
        return _FORM.pack(
            MAGIC,
            VERSION,
            *(number for section in sections for number in (section.offset, section.length)),
            self.addressed,
            self.entries,
            self.contents,
            int(self.clustered),
            self.internal_compression,
            self.tile_compression,
            self.tile_type,
            self.min_zoom,
            self.max_zoom,
            *(round(degrees * 1e7) for degrees in self.bounds),
            self.center[2],
            *(round(degrees * 1e7) for degrees in self.center[:2]),
        )


def read_header(data: bytes, size: int) -> Header:
    """The header of a file of ``size`` bytes. Raises ArchiveError unless all its parts are in the file."""
    if len(data) < HEADER_BYTES or data[:7] != MAGIC:
        raise ArchiveError("this file is not a PMTiles archive")
    if data[7] != VERSION:
        raise ArchiveError(f"this archive is PMTiles version {data[7]}, not {VERSION}")
    found = _FORM.unpack(data[:HEADER_BYTES])
    sections = [Section(found[i], found[i + 1]) for i in range(2, 10, 2)]
    if any(section.end > size for section in sections):
        raise ArchiveError("this archive is shorter than its header says")
    if not sections[0].length or sections[0].end > FIRST_BYTES:
        raise ArchiveError("this archive has no root directory where one must be")
    root, metadata, leaves, tiles = sections
    addressed, entries, contents, clustered, internal, packing, kind, low, high = found[10:19]
    west, south, east, north, zoom, x, y = found[19:26]
    return Header(
        root=root,
        metadata=metadata,
        leaves=leaves,
        tiles=tiles,
        addressed=addressed,
        entries=entries,
        contents=contents,
        clustered=bool(clustered),
        min_zoom=low,
        max_zoom=high,
        bounds=(west / 1e7, south / 1e7, east / 1e7, north / 1e7),
        center=(x / 1e7, y / 1e7, zoom),
        internal_compression=internal,
        tile_compression=packing,
        tile_type=kind,
    )


@dataclass(frozen=True)
class Directory:
    """Entries in order of tile number. ``runs`` 0: the entry is a leaf directory; else so many tiles from
    ``ids`` on have the same bytes. Offsets count from the beginning of their section."""

    ids: Numbers
    runs: Numbers
    lengths: Numbers
    offsets: Numbers

    def __len__(self) -> int:
        return len(self.ids)


def write_directory(directory: Directory) -> bytes:
    """A directory, packed."""
    ids, lengths, offsets = directory.ids, directory.lengths, directory.offsets
    steps = np.diff(ids, prepend=np.uint64(0))
    places = offsets + np.uint64(1)
    follows = offsets[1:] == offsets[:-1] + lengths[:-1]
    places[1:][follows] = 0
    count = np.array([len(ids)], np.uint64)
    return gzip.compress(
        _write_numbers(np.concatenate([count, steps, directory.runs, lengths, places])), 9, mtime=0
    )


def read_directory(data: bytes, compression: int, section: Section, leaves: Section) -> Directory:
    """A directory whose tiles lie in ``section`` and leaf directories in ``leaves``.

    Raises ArchiveError unless it is whole and its order and places can be right.
    """
    numbers = _read_numbers(unpacked(data, compression))
    count = int(numbers[0]) if len(numbers) else 0
    if len(numbers) != 1 + 4 * count or not count:
        raise _damaged()
    steps, runs, lengths, places = numbers[1:].reshape(4, count)
    limit = np.uint64(1 << 62)  # no sum of what is below is beyond 64 bits by so few entries as fit a file
    if (steps[1:] == 0).any() or any((part >= limit // np.uint64(count)).any() for part in (steps, lengths)):
        raise _damaged()
    ids = np.cumsum(steps, dtype=np.uint64)
    if places[0] == 0 or (lengths == 0).any() or (places >= limit).any() or (runs >= limit).any():
        raise _damaged()
    if (ids[:-1] + runs[:-1] > ids[1:]).any():
        raise _damaged()
    before = np.concatenate([np.zeros(1, np.uint64), np.cumsum(lengths, dtype=np.uint64)[:-1]])
    # of each entry that only says "behind the one before it": the last one that said where
    named = np.maximum.accumulate(np.where(places > 0, np.arange(count), 0))
    offsets = places[named] - np.uint64(1) + before - before[named]
    ends = offsets + lengths
    if (ends[runs > 0] > section.length).any() or (ends[runs == 0] > leaves.length).any():
        raise _damaged()
    return Directory(ids, runs, lengths, offsets)


def unpacked(data: bytes, compression: int) -> bytes:
    """Bytes of a directory or of the metadata. Raises ArchiveError."""
    if compression == _NO_COMPRESSION:
        return data
    if compression != GZIP:
        raise ArchiveError("this archive is packed in a way that is not known here")
    try:
        reader = zlib.decompressobj(31)
        found = reader.decompress(data, _MOST_DIRECTORY)
    except zlib.error as error:
        raise _damaged() from error
    if not reader.eof:
        raise _damaged()
    return found


def _damaged() -> ArchiveError:
    return ArchiveError("this archive is damaged")


def _write_numbers(numbers: Numbers) -> bytes:
    """Little-endian groups of seven bits, the highest bit set on all but a number's last (LEB128)."""
    parts = np.empty((len(numbers), _WORD), np.uint8)
    rest = numbers.copy()
    used = np.ones(len(numbers), np.intp)
    for i in range(_WORD):
        parts[:, i] = (rest & np.uint64(127)).astype(np.uint8)
        rest >>= np.uint64(7)
        used += rest > 0
    places = np.arange(_WORD)
    parts[places < used[:, None] - 1] |= 128
    return parts[places < used[:, None]].tobytes()


def _read_numbers(data: bytes) -> Numbers:
    """Inverse of ``_write_numbers``. Raises ArchiveError when the last has no end, or one is too long."""
    octets = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(octets < 128)
    if not len(ends) or ends[-1] != len(octets) - 1:
        raise _damaged()
    starts = np.concatenate([np.zeros(1, ends.dtype), ends[:-1] + 1])
    sizes = ends - starts + 1
    if sizes.max() > _WORD:
        raise _damaged()
    shifts = (np.arange(len(octets)) - np.repeat(starts, sizes)) * 7
    parts = (octets & 127).astype(np.uint64) << shifts.astype(np.uint64)
    return np.add.reduceat(parts, starts)
