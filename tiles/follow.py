"""What a server process knows of changes: whether tiles that were made a while ago are still right.

One connection listens, asks for what changed and marks it (tiles.marks). What it answers is never older
than FRESH seconds: when the connection is lost, or asking takes longer, nothing that was kept is taken for
right, and tiles are rendered until it has caught up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.types.numeric import Int4, Int8

from gis.crs import Box
from gis.db.listen import ANSWER, Listening
from tiles.grid import Tile
from tiles.marks import WORLD, Marks, web_boxes

#: Bytes that are kept are served for so long (seconds) after it was last known that they are right: an edit
#: is to be seen one second after it was acknowledged.
FRESH: Final = 0.9
#: It is asked for changes at least so often (seconds), told of them or not.
POLL: Final = 0.25
#: Notices that come together are answered together (seconds): each process asks for itself, and where many
#: edit that costs as much as an edit.
GATHER: Final = 0.08
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
    #: Generalised features that were made again (``bandoso.low_changes``).
    low: int
    #: A transaction: what bandoso writes without changesets (``bandoso.notes``).
    note: int
    #: Numbers of another database, or of this one restored, mean something else (``bandoso.lineage``).
    lineage: str

    def earliest(self, other: Stamp) -> Stamp:
        """Before both."""
        return Stamp(
            min(self.change, other.change),
            min(self.low, other.low),
            min(self.note, other.note),
            self.lineage,
        )

    def holds(self, other: Stamp) -> bool:
        """Whether all that was visible then was visible at this one."""
        return self.change >= other.change and self.low >= other.low and self.note >= other.note


#: A stamp for what is read by a later statement, and up to which numbers it is forgotten what changed.
NOW: Final = """
SELECT bandoso.changeset_horizon(), bandoso.low_horizon(), bandoso.note_horizon(), bandoso.lineage(),
       bandoso.boxes_known_after(), bandoso.notes_known_after()
"""


class Freshness(Listening):
    """``stamp()`` before tiles are made, ``is_right(stamp, ...)`` before they are served again."""

    application = "bandoso tiles"
    channels = ("bandoso_change", "bandoso_low", "bandoso_note")

    def __init__(self, app_dsn: str, storage: int, buffer_of: Callable[[str], int]) -> None:
        """``storage``: EPSG code of the boxes; ``buffer_of``: a layer's buffer in tile units."""
        super().__init__(app_dsn)
        self._storage = storage
        self._buffer_of = buffer_of
        #: What changed since is marked, up to ``_upto``; None: nothing is.
        self._since: Stamp | None = None
        self._upto: Stamp | None = None
        self._heard = float("-inf")
        self._ended = False
        self._changes, self._lows, self._notes = Marks(), Marks(), Marks()
        #: Changesets beyond ``_upto`` and their layers that are marked already: while edits overlap, the same
        #: are told several times.
        self._marked: set[tuple[int, str]] = set()

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
            and self._upto is not None
            and made.lineage == self._upto.lineage
            and self._changes.is_right(layers, tile, made.change)
            and self._lows.is_right(layers, tile, made.low)
            and self._notes.is_right(layers, tile, made.note)
        )

    def needed_since(self, made: Stamp) -> None:
        """Bytes of this stamp are about to be used: what changed since has to be known.

        Where it is not, nothing is right until it has been read.
        """
        if self._since is None or not made.holds(self._since):
            self._restart(made if self._since is None else self._since.earliest(made))

    def not_needed_before(self, made: Stamp) -> None:
        """No bytes that were made before this stamp are used any more."""
        if self._since is not None and made.holds(self._since):
            self._since = made
            self._changes.forget(made.change)
            self._lows.forget(made.low)
            self._notes.forget(made.note)

    def _restart(self, since: Stamp) -> None:
        self._heard = float("-inf")
        self._since, self._upto = since, None
        self._changes, self._lows, self._notes = Marks(since.change), Marks(since.low), Marks(since.note)
        self._marked = set()

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
        """Read what changed; False when more was asked for meanwhile."""
        async with connection.pipeline():  # one round trip, a snapshot for each statement
            asked = await connection.execute(NOW, prepare=True)
            since, upto = self._since, self._upto
            news = None
            if upto is not None:
                numbers = [Int8(upto.change), Int8(_ALL), Int4(MOST_BOXES), Int8(upto.low), Int8(upto.note)]
                news = await connection.execute(_NEWS, numbers, prepare=True)
        row = await asked.fetchone()
        assert row is not None
        now = Stamp(*row[:4])
        if since is None or since.lineage != now.lineage:
            self._restart(now)  # nothing is kept from before, or it is of another database
            since, upto, news = now, now, None
        # Where it was forgotten what changed, bytes from before cannot be told from wrong ones.
        self._changes.forget(row[4])
        self._notes.forget(row[5])
        if news is not None:
            self._mark_all(await news.fetchall())
        else:
            await self._catch_up(connection, upto or since, now)
        if self._since is not since:
            return False
        self._upto = now
        self._marked = {one for one in self._marked if one[0] > now.change}
        return True

    async def _catch_up(self, connection: AsyncConnection[Any], since: Stamp, now: Stamp) -> None:
        first = since.change
        while first < now.change:
            last = min(now.change, first + AT_A_TIME)
            found = await connection.execute(_CHANGES, [Int8(first), Int8(last), Int4(MOST_BOXES)])
            self._mark_all(await found.fetchall())
            first = last
        numbers = [Int8(now.change), Int8(_ALL), Int4(MOST_BOXES), Int8(since.low), Int8(since.note)]
        found = await connection.execute(_NEWS, numbers)
        self._mark_all(await found.fetchall())

    def _mark_all(self, rows: Iterable[tuple[int, int, str, list[list[float]] | None]]) -> None:
        told = [row for row in rows if row[0] != _CHANGE or (row[1], row[2]) not in self._marked]
        # All boxes at once: to put one into the CRS of the tiles takes as long as a hundred.
        stored = [_box(one) for kind, _, _, boxes in told if kind != _LOW for one in boxes or ()]
        web = iter(web_boxes(stored, self._storage))
        for kind, number, layer, boxes in told:
            if boxes is None:
                found = [WORLD]
            elif kind == _LOW:
                found = [_box(one) for one in boxes]
            else:
                found = [next(web) for _ in boxes]
            marks = (self._changes, self._lows, self._notes)[kind]
            marks.mark(layer, found, number, self._buffer_of(layer))
        # A changeset is committed at once, so what was told of it is all of it.
        self._marked.update((number, layer) for kind, number, layer, _ in told if kind == _CHANGE)


def _box(sides: Sequence[float]) -> Box:
    return sides[0], sides[1], sides[2], sides[3]


#: Kinds of rows: of changesets, and those whose boxes are in EPSG:3857.
_CHANGE: Final = 0
_LOW: Final = 1
_CHANGES: Final = "SELECT 0, changeset, layer, boxes FROM bandoso.changed_boxes(%s, %s, %s)"
#: All that is visible is read, whatever the horizon is: behind a changeset that is still open others may be
#: committed, which are known though not passed yet.
_NEWS: Final = (
    f"{_CHANGES} UNION ALL"  # noqa: S608 - ours
    " SELECT 1, mark, layer, boxes FROM bandoso.low_changes(%s, 9223372036854775807) UNION ALL"
    " SELECT 2, xid, layer, CASE WHEN box IS NOT NULL THEN jsonb_build_array(box) END FROM bandoso.notes(%s)"
)
