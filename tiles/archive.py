"""Reads a PMTiles archive: tile -> its packed bytes, in microseconds, in bounded memory."""

from __future__ import annotations

import gzip
import json
import os
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from tiles.hilbert import DEEPEST, tile_id
from tiles.pmtiles import (
    FIRST_BYTES,
    GZIP,
    MVT,
    ArchiveError,
    Directory,
    Section,
    read_directory,
    read_header,
    unpacked,
)

#: Leaf directories kept decoded, of some 4,096 entries and 130 KB each.
MOST_LEAVES: Final = 64
#: Directories below the root; the format's own tools stop at so many.
_MOST_DEPTH: Final = 3
#: What stands for tile 0 in an archive without tiles, since a directory is never empty: gzip of nothing.
EMPTY: Final = gzip.compress(b"", mtime=0)


class Entry(NamedTuple):
    """Tiles ``first`` to ``first + run - 1`` have the same bytes; ``offset`` counts from the first tile's."""

    first: int
    run: int
    offset: int
    length: int


class _Known:
    """A directory for looking up single numbers: bisect over machine integers, four times as fast as numpy's
    search for one number."""

    __slots__ = ("ids", "lengths", "offsets", "runs")

    def __init__(self, directory: Directory) -> None:
        self.ids = array("Q", directory.ids.tobytes())
        self.runs = array("Q", directory.runs.tobytes())
        self.lengths = array("Q", directory.lengths.tobytes())
        self.offsets = array("Q", directory.offsets.tobytes())


class Archive:
    """An open archive. What it holds never changes: a new build is another file of the same name, and whoever
    has the old one open goes on reading that.

    Tiles are read by pread, not from a memory map: pages of a map count as memory of each process, and a
    file that somebody cuts short would end the process by a signal instead of an error.
    """

    def __init__(self, path: Path) -> None:
        """Raises ArchiveError when it is not one of gzip vector tiles, or is damaged; OSError without one."""
        self.path = path
        self._leaves: OrderedDict[int, _Known] = OrderedDict()
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        status = os.fstat(self._fd)
        #: What tells this file from one that has taken its place.
        self.identity = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
        self.size = status.st_size
        first = os.pread(self._fd, FIRST_BYTES, 0)
        self.header = header = read_header(first, status.st_size)
        if (header.tile_type, header.tile_compression) != (MVT, GZIP):
            raise ArchiveError("this archive does not hold vector tiles under gzip")
        self._root = self._directory(first[header.root.offset : header.root.end])
        self._known = _Known(self._root)
        self._base = header.tiles.offset
        try:
            found = json.loads(unpacked(self._read(header.metadata), header.internal_compression))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ArchiveError("this archive's metadata cannot be read")
        self.metadata: Mapping[str, Any] = found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; also done when nobody has the archive any more."""
        fd, self._fd = getattr(self, "_fd", -1), -1
        if fd >= 0:
            os.close(fd)

    def get(self, z: int, x: int, y: int) -> bytes | None:
        """A tile's bytes as they are stored (gzip); None where there is nothing. x, y < 2^z.

        Raises ArchiveError when the part of the file that is needed is damaged.
        """
        if z > DEEPEST:
            return None
        place = self.find(tile_id(z, x, y))
        if place is None:
            return None
        found = self.read(*place)
        return found if found != EMPTY else None

    def find(self, number: int) -> tuple[int, int] | None:
        """Offset and length of the bytes of a tile's number (tiles.hilbert)."""
        known = self._known
        for _ in range(_MOST_DEPTH + 1):
            i = bisect_right(known.ids, number) - 1
            if i < 0:
                return None
            run = known.runs[i]
            if run:
                return (known.offsets[i], known.lengths[i]) if number - known.ids[i] < run else None
            known = self._leaf(known.offsets[i], known.lengths[i])
        raise ArchiveError("this archive is damaged")

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the section of tiles."""
        found = os.pread(self._fd, length, self._base + offset)
        if len(found) != length:
            raise ArchiveError("this archive was cut short")
        return found

    def entries(self) -> Iterator[Entry]:
        """All tiles in order of number; one leaf directory is in memory at a time."""
        for entry in self._walk(self._root, 0):
            if entry.first or entry.length != len(EMPTY) or self.read(entry.offset, entry.length) != EMPTY:
                yield entry

    def _walk(self, directory: Directory, depth: int) -> Iterator[Entry]:
        if depth > _MOST_DEPTH:
            raise ArchiveError("this archive is damaged")
        columns = (directory.ids, directory.runs, directory.offsets, directory.lengths)
        for entry in map(Entry._make, zip(*(column.tolist() for column in columns), strict=True)):
            if entry.run:
                yield entry
            else:
                yield from self._walk(self._read_leaf(entry.offset, entry.length), depth + 1)

    def _leaf(self, offset: int, length: int) -> _Known:
        known = self._leaves.get(offset)
        if known is None:
            known = self._leaves[offset] = _Known(self._read_leaf(offset, length))
            if len(self._leaves) > MOST_LEAVES:
                self._leaves.popitem(last=False)
        else:
            self._leaves.move_to_end(offset)
        return known

    def _read_leaf(self, offset: int, length: int) -> Directory:
        return self._directory(self._read(Section(self.header.leaves.offset + offset, length)))

    def _directory(self, data: bytes) -> Directory:
        header = self.header
        return read_directory(data, header.internal_compression, header.tiles, header.leaves)

    def _read(self, section: Section) -> bytes:
        found = os.pread(self._fd, section.length, section.offset)
        if len(found) != section.length:
            raise ArchiveError("this archive was cut short")
        return found
