"""Tiles that were rendered, kept in memory for as long as they are right: least used ones go first. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from tiles.follow import Stamp

#: Bytes of tiles that one process keeps. A city's dirty tiles and deep levels that people look at today are
#: some thousands of 5 to 20 KB.
MOST_BYTES: Final = 32 * 1024 * 1024
#: What an entry costs beside its bytes.
OVERHEAD: Final = 600


class Keep[T]:
    """Values by key, each with the stamp of when it was made; at most ``most`` bytes of them."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[T, Stamp, int]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable) -> tuple[T, Stamp] | None:
        """The value and its stamp, whether it is still right or not."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0], found[1]

    def put(self, key: Hashable, value: T, made: Stamp, size: int) -> None:
        """Keep a value of ``size`` bytes. One that would take an eighth of the room is not kept."""
        self.drop(key)
        size += OVERHEAD
        if size > self._most // 8:
            return
        self._kept[key] = (value, made, size)
        self.bytes += size
        while self.bytes > self._most:
            _, (_, _, gone) = self._kept.popitem(last=False)
            self.bytes -= gone

    def drop(self, key: Hashable) -> None:
        """Let go of what is kept under a key."""
        found = self._kept.pop(key, None)
        if found is not None:
            self.bytes -= found[2]
