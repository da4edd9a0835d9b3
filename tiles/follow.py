"""What a server process knows of changes: whether tiles that were made a while ago are still right.

One connection listens, asks for what changed and marks it (tiles.marks). What it answers is never older
than FRESH seconds: when the connection is lost, or asking takes longer, nothing that was kept is taken for
right, and tiles are rendered until it has caught up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.types.numeric import Int4, Int8

from gis.crs import Box
from gis.db.listen import ANSWER, Listening
from tiles.grid import Tile
from tiles.marks import Marks, web_boxes

#: Bytes that are kept are served for so long (seconds) after it was last known that they are right: an edit
#: is to be seen one second after it was acknowledged.
FRESH: Final = 0.9
#: It is asked for changes at least so often (seconds), told of them or not.
POLL: Final = 0.3
#: Notices that come together are answered together (seconds).
GATHER: Final = 0.02
#: Changesets that are read at a time when there is much to catch up with.
AT_A_TIME: Final = 2000
#: Boxes of one layer in one changeset; of more features there is one for each of 16 x 16 cells.
MOST_BOXES: Final = 256
_ALL: Final = 1 << 62


@dataclass(frozen=True)
class Stamp:
    """When bytes were made: every change up to these numbers was visible."""

    #: A changeset's id.
    change: int
    #: A number of ``bandoso.low_changes``: of generalised features that were made again.
    low: int = 0


class Freshness(Listening):
    """``stamp()`` before tiles are made, ``is_right(stamp, ...)`` before they are served again."""

    application = "bandoso tiles"
    channels = ("bandoso_change", "bandoso_low")

    def __init__(self, app_dsn: str, storage: int, buffer_of: Callable[[str], int]) -> None:
        """``storage``: EPSG code of the boxes; ``buffer_of``: a layer's buffer in tile units."""
        super().__init__(app_dsn)
        self._storage = storage
        self._buffer_of = buffer_of
        self._since: Stamp | None = None
        self._upto: Stamp | None = None
        self._heard = float("-inf")
        self._ended = False
        self._wake = asyncio.Event()
        self.changes = Marks()
        self.lows = Marks()

    @property
    def stopped(self) -> bool:
        """Whether the process ends."""
        return self._ended

    async def stop(self) -> None:
        """End for good, and close the connection."""
        self._ended = True
        await super().stop()

    @property
    def is_live(self) -> bool:
        """Whether all that was acknowledged FRESH seconds ago is known."""
        return time.monotonic() - self._heard <= FRESH

    def stamp(self) -> Stamp | None:
        """For bytes whose reading from the database begins after this call. None: do not keep them."""
        return self._upto if self.is_live else None

    def is_right(self, made: Stamp, layers: Iterable[str], tile: Tile) -> bool:
        """Whether bytes of a tile of these layers are what they would be now."""
        return (
            self.is_live
            and self.changes.is_right(layers, tile, made.change)
            and self.lows.is_right(layers, tile, made.low)
        )

    def needed_since(self, made: Stamp) -> None:
        """Bytes of this stamp are about to be used: what changed since has to be known.

        Where it is not, nothing is right until it has been read.
        """
        known = self._since
        if known is None or made.change < known.change or made.low < known.low:
            if known is not None:
                made = Stamp(min(made.change, known.change), min(made.low, known.low))
            self._since, self._upto = made, None
            self._heard = float("-inf")
            self.changes, self.lows = Marks(made.change), Marks(made.low)

    def not_needed_before(self, made: Stamp) -> None:
        """No bytes that were made before this stamp will be used any more."""
        if self._since is not None and self._upto is not None:
            self._since = Stamp(max(made.change, self._since.change), max(made.low, self._since.low))
            self.changes.forget(made.change)
            self.lows.forget(made.low)

    async def follow(self, connection: AsyncConnection[Any]) -> None:
        """Ask, mark, wait for a notice; again and again."""
        try:
            while True:
                began = time.monotonic()
                async with asyncio.timeout(ANSWER):
                    if await self._ask(connection):
                        self._heard = began
                async for _ in connection.notifies(timeout=POLL, stop_after=1):
                    await asyncio.sleep(GATHER)
        finally:
            self._heard = float("-inf")

    async def _ask(self, connection: AsyncConnection[Any]) -> bool:
        """Read what changed; False when something was asked for meanwhile that this did not read."""
        cursor = await connection.execute(
            "SELECT bandoso.changeset_horizon(), bandoso.boxes_known_after()", prepare=True
        )
        row = await cursor.fetchone()
        assert row is not None
        now, known_after = Stamp(int(row[0])), int(row[1])
        since = self._since
        if since is None:  # nothing is kept from before: what changes from now on
            self._since = since = self._upto = now
            self.changes, self.lows = Marks(now.change), Marks(now.low)
        if known_after > self.changes.floor:
            # Boxes of changes up to there are gone: what was made before cannot be told from what is wrong.
            self.changes.forget(known_after)
        done = self._upto or since
        while done.change < now.change:
            upto = min(now.change, done.change + AT_A_TIME)
            await self._mark(connection, done.change, upto)
            done = Stamp(upto, done.low)
        # Behind a changeset that is still open others may be committed: known, though not passed yet.
        await self._mark(connection, now.change, _ALL)
        if self._since is not since:
            return False
        self._upto = now
        return True

    async def _mark(self, connection: AsyncConnection[Any], since: int, upto: int) -> None:
        cursor = await connection.execute(
            "SELECT changeset, layer, boxes FROM bandoso.changed_boxes(%s, %s, %s)",
            [Int8(since), Int8(upto), Int4(MOST_BOXES)],
            prepare=True,
        )
        marks = self.changes
        for changeset, layer, boxes in await cursor.fetchall():
            found: list[Box] = [(b[0], b[1], b[2], b[3]) for b in boxes]
            marks.mark(layer, web_boxes(found, self._storage), changeset, self._buffer_of(layer))
