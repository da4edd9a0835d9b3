"""One moment of the database, for builds and proofs, seen by any number of processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from psycopg import Connection

from gis.db.connect import connect
from gis.db.web_fill import fill
from layers.registry import Layer
from tiles.build_worker import Job
from tiles.follow import Stamp
from tiles.general import is_low
from tiles.grid import Tile
from tiles.hilbert import tile_id
from tiles.query import window
from tiles.refresh import bring_up
from tiles.since import stamp_now

Report = Callable[[int, int | None], None]

#: Times that generalised features are brought up again because edits had made some stale before the snapshot.
_ATTEMPTS: Final = 5


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

    def job(self, dsn: str, layers: Sequence[Layer], storage: int) -> Job:
        """For workers that render tiles of these layers."""
        # (a read-only view of a dict cannot be sent to another process)
        sent = tuple(replace(layer, domains=dict(layer.domains)) for layer in layers)
        return Job(dsn, self.name, storage, sent, self.gaps)

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
