"""One moment of the database, for builds and proofs, seen by any number of processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from psycopg import Connection

from gis.db.connect import connect
from gis.db.web_fill import fill
from layers.registry import Layer
from tiles.build_worker import Job, Task
from tiles.follow import Stamp
from tiles.general import is_low
from tiles.grid import Tile
from tiles.hilbert import tile_id
from tiles.query import Plan, plan, window
from tiles.refresh import bring_up
from tiles.since import stamp_now

Report = Callable[[int, int | None], None]

#: Times that generalised features are brought up again because edits had made some stale before the snapshot.
_ATTEMPTS: Final = 5
#: Tiles with the same layers from which on these layers have a statement of their own (5 ms to make, some
#: more to plan).
_OFTEN: Final = 64


@dataclass(frozen=True)
class Snapshot:
    """An open snapshot. ``connection``: an owner's, in it; ``stamp``: everything up to it is seen."""

    connection: Connection[Any]
    name: str
    stamp: Stamp
    #: Up to where it was forgotten what changed.
    forgotten: Stamp
    #: Whether generalised features of low levels are older than what they stand for, somewhere.
    stale: bool
    #: Whether features are missing in some web table.
    gaps: bool

    def knows_since(self, stamp: Stamp) -> bool:
        """Whether it can be asked what changed since a stamp, of this database."""
        return (
            stamp.lineage == self.stamp.lineage
            and self.stamp.holds(stamp)
            and stamp.change >= self.forgotten.change
            and stamp.note >= self.forgotten.note
        )

    def job(
        self, dsn: str, layers: Sequence[Layer], storage: int, tiles: Mapping[Tile, int]
    ) -> tuple[Job, list[Task]]:
        """For workers that render tiles, in order of number. ``tiles``: as tiles.pyramid gives them.

        Many tiles hold few of the layers, and a statement costs for each layer it names: a set of layers
        that is frequent has a statement of its own; the others share that of all layers.
        """
        often = Counter((tile.z, some) for tile, some in tiles.items())
        plans: list[Plan] = []
        places: dict[tuple[int, int], int] = {}
        tasks = []
        for tile in sorted(tiles, key=lambda t: tile_id(t.z, t.x, t.y)):
            some = tiles[tile]
            if often[tile.z, some] < _OFTEN:
                some = -1
            place = places.get((tile.z, some))
            if place is None:
                made = plan([layer for i, layer in enumerate(layers) if some >> i & 1], tile.z)
                if made is None:
                    continue
                place = places[tile.z, some] = len(plans)
                plans.append(made)
            tasks.append(Task(tile, place))
        return Job(dsn, self.name, storage, tuple(plans), self.gaps), tasks

    def stale_tiles(self, tiles: Iterable[Tile], layers: Sequence[Layer], storage: int) -> frozenset[int]:
        """Numbers of the tiles whose generalised features may be older than what they stand for."""
        if not self.stale:
            return frozenset()
        found = set()
        for tile in tiles:
            ids = [layer.id for layer in layers if is_low(layer, tile.z)]
            buffer = max((layer.definition.tiles.buffer for layer in layers), default=0)
            seen = window(tile, buffer, storage) if ids else None
            if seen is None:
                continue
            west, south, east, north = tile.box(buffer)
            row = self.connection.execute(
                "SELECT bandoso.low_stale(%s, %s::geometry::box2d, %s::box2d)",
                [ids, seen.envelope, f"BOX({west!r} {south!r},{east!r} {north!r})"],
            ).fetchone()
            if row and row[0]:
                found.add(tile_id(tile.z, tile.x, tile.y))
        return frozenset(found)


@contextmanager
def snapshot(dsn: str, report: Report = lambda _done, _total: None) -> Iterator[Snapshot]:
    """A snapshot of everything acknowledged so far, open until the end of the block.

    What is derived beside the layers is brought up first. ``dsn``: an owner's. Raises psycopg errors and
    DatabaseError.
    """
    fill(dsn, None, report)
    for attempt in range(_ATTEMPTS):
        bring_up(dsn, progress=report)
        with connect(dsn) as connection:
            connection.execute("SET idle_in_transaction_session_timeout = 0")
            # Asked before: all that is acknowledged up to the stamp is in any later snapshot.
            stamp, forgotten = stamp_now(connection)
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            row = connection.execute(
                "SELECT pg_export_snapshot(), EXISTS (SELECT FROM bandoso.web_stale),"
                " EXISTS (SELECT FROM bandoso.web_gap)"
            ).fetchone()
            assert row is not None
            if not row[1] or attempt == _ATTEMPTS - 1:
                yield Snapshot(connection, row[0], stamp, forgotten, row[1], row[2])
                return
