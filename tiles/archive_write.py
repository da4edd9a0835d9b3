"""Writes a PMTiles archive in one pass, tile after tile, and puts it in the place of the one before at once.

The bytes of the tiles begin at FIRST_BYTES, behind room for header and root directory, and go to the disk as
they come; leaf directories and metadata follow them (the format lets every part but these two stand where it
likes). So nothing is copied, and memory holds 32 bytes for each run of equal tiles.
"""

from __future__ import annotations

import gzip
import json
import os
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from tiles.archive import EMPTY, Archive, Entry
from tiles.pmtiles import FIRST_BYTES, HEADER_BYTES, Directory, Header, Section, write_directory

#: Entries of a leaf directory.
LEAF: Final = 4096
#: Different bytes that are remembered, to be stored once (those of a sea, or of the inside of a province).
MOST_REMEMBERED: Final = 100_000
#: Ranges of copied bytes are joined up to so much before they are read.
_AT_ONCE: Final = 8 * 1024 * 1024
_BUFFER: Final = 1024 * 1024


class Writer:
    """``add`` and ``copy`` in order of tile number, then ``finish``; without it nothing is changed.

    Not for several threads. Files that are being written end in ``.part``, with the number of the process.
    """

    def __init__(self, path: Path) -> None:
        """``path``: where the archive is to be; its folder exists."""
        self.path = path
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._file = self._part.open("wb", buffering=_BUFFER)
        self._file.seek(FIRST_BYTES)
        self._ids, self._runs = array("Q"), array("Q")
        self._lengths, self._offsets = array("Q"), array("Q")
        self._end = 0  # of the section of tiles
        self._contents = 0
        self._addressed = 0
        self._next = 0  # the least number that may come
        self._seen: OrderedDict[bytes, int] = OrderedDict()
        self._copying: Copying | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # on a full disk, what is in the buffer cannot be written either
            self._file.close()
        self._part.unlink(missing_ok=True)

    @property
    def addressed(self) -> int:
        """Tiles so far."""
        return self._addressed

    @property
    def size(self) -> int:
        """Bytes of tiles so far."""
        return self._end

    def add(self, number: int, packed: bytes) -> None:
        """A tile; ``packed``: its bytes under gzip, not empty."""
        self._flush()
        digest = blake2b(packed, digest_size=16).digest()
        offset = self._seen.get(digest)
        if offset is None:
            offset = self._end
            self._file.write(packed)
            self._end += len(packed)
            self._contents += 1
            self._seen[digest] = offset
            if len(self._seen) > MOST_REMEMBERED:
                self._seen.popitem(last=False)
        else:
            self._seen.move_to_end(digest)
        self._entry(number, 1, offset, len(packed))

    def copying(self, source: Archive) -> Copying:
        """What takes runs of another archive over, between tiles that are added."""
        self._flush()
        self._copying = Copying(self, source)
        return self._copying

    def _flush(self) -> None:
        if self._copying is not None:
            self._copying.flush()

    def _entry(self, number: int, run: int, offset: int, length: int) -> None:
        if number < self._next:
            raise ValueError("tiles come in order of number")
        self._addressed += run
        if number == self._next and self._ids and self._offsets[-1] == offset:
            self._runs[-1] += run
        else:
            self._ids.append(number)
            self._runs.append(run)
            self._lengths.append(length)
            self._offsets.append(offset)
        self._next = number + run

    def finish(
        self, metadata: Mapping[str, Any], bounds: tuple[float, float, float, float], zooms: tuple[int, int]
    ) -> None:
        """Write the directories, and take the place of the file before. ``bounds``: degrees, west first.

        ``zooms``: first and last level that the archive is for. An archive without tiles has one empty entry
        (the format has no empty directory): level 0 is there, with no bytes that are a tile.
        """
        if not self._ids:
            self.add(0, EMPTY)
        self._flush()
        entries = Directory(
            *(
                np.frombuffer(column, np.uint64)
                for column in (self._ids, self._runs, self._lengths, self._offsets)
            )
        )
        root, leaves = _directories(entries)
        packed = gzip.compress(
            json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode(), 9, mtime=0
        )
        leaves_at = FIRST_BYTES + self._end
        west, south, east, north = bounds
        first, last = zooms
        header = Header(
            root=Section(HEADER_BYTES, len(root)),
            metadata=Section(leaves_at + len(leaves), len(packed)),
            leaves=Section(leaves_at, len(leaves)),
            tiles=Section(FIRST_BYTES, self._end),
            addressed=self._addressed,
            entries=len(entries),
            contents=self._contents,
            clustered=True,
            min_zoom=first,
            max_zoom=last,
            bounds=bounds,
            center=((west + east) / 2, (south + north) / 2, min(last, max(first, 12))),
        )
        self._file.write(leaves + packed)
        self._file.seek(0)
        self._file.write(header.to_bytes() + root)
        self._file.flush()
        os.fsync(self._file.fileno())
        os.fchmod(self._file.fileno(), 0o644)  # the user who serves may be another than who builds
        self._file.close()
        self._part.replace(self.path)
        _sync_folder(self.path.parent)


class Copying:
    """Takes runs of another archive over: bytes in long ranges, and equal tiles once."""

    def __init__(self, writer: Writer, source: Archive) -> None:
        self._writer = writer
        self._source = source
        # ranges that were copied: where they begin there, how long they are, where they begin here
        self._from, self._size, self._to = array("Q"), array("Q"), array("Q")
        self._done = 0  # how many of them are written
        self._reached = 0  # the end of what was copied, there
        self._pending = 0

    def take(self, entry: Entry) -> None:
        """The next run."""
        writer = self._writer
        if entry.offset < self._reached:
            place = self._place(entry.offset, entry.length)
        else:
            self._range(entry)
            place = writer._end
            writer._end += entry.length
            writer._contents += 1
        writer._entry(entry.first, entry.run, place, entry.length)
        if self._pending > _AT_ONCE:
            self.flush()

    def _range(self, entry: Entry) -> None:
        writer = self._writer
        if self._from and entry.offset == self._reached and self._to[-1] + self._size[-1] == writer._end:
            if self._done == len(self._from):  # what it follows is written already
                self._from.append(entry.offset)
                self._size.append(0)
                self._to.append(writer._end)
            self._size[-1] += entry.length
        else:
            self._from.append(entry.offset)
            self._size.append(entry.length)
            self._to.append(writer._end)
        self._reached = entry.offset + entry.length
        self._pending += entry.length

    def _place(self, offset: int, length: int) -> int:
        """Where bytes from before what was reached are here: equal tiles are stored once."""
        i = bisect_right(self._from, offset) - 1
        if i >= 0 and offset + length <= self._from[i] + self._size[i]:
            return self._to[i] + offset - self._from[i]
        # The tile that had them first was not copied; or they cross the border of two ranges.
        self.flush()
        writer = self._writer
        place = writer._end
        writer._file.write(self._source.read(offset, length))
        writer._end += length
        writer._contents += 1
        return place

    def flush(self) -> None:
        """Write what was taken."""
        for i in range(self._done, len(self._from)):
            at, left = self._from[i], self._size[i]
            while left:
                part = min(left, _AT_ONCE)
                self._writer._file.write(self._source.read(at, part))
                at, left = at + part, left - part
        self._done = len(self._from)
        self._pending = 0


def _directories(entries: Directory) -> tuple[bytes, bytes]:
    """(root, leaves): leaves only where the root alone would not fit the first bytes of the file."""
    room = FIRST_BYTES - HEADER_BYTES
    if len(entries) <= LEAF:
        root = write_directory(entries)
        if len(root) <= room:
            return root, b""
    size = LEAF
    while True:
        firsts = range(0, len(entries), size)
        leaves = [
            write_directory(
                Directory(
                    *(
                        part[i : i + size]
                        for part in (entries.ids, entries.runs, entries.lengths, entries.offsets)
                    )
                )
            )
            for i in firsts
        ]
        lengths = np.array([len(leaf) for leaf in leaves], np.uint64)
        offsets = np.cumsum(lengths, dtype=np.uint64) - lengths
        root = write_directory(
            Directory(entries.ids[list(firsts)], np.zeros(len(leaves), np.uint64), lengths, offsets)
        )
        if len(root) <= room:
            return root, b"".join(leaves)
        size *= 2


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def clear_parts(folder: Path) -> None:
    """Remove what builds left that were killed. Only when no other build is running."""
    for part in folder.glob(".*.pmtiles.*.part"):
        part.unlink(missing_ok=True)
