"""Where data changed, for tiles and caches: boxes by layer, changeset after changeset, none left out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.types.numeric import Int4, Int8

from gis.crs import Box
from gis.db.member import Connections
from gis.publish.feed import horizon
from gis.publish.follow import POLL, Follower

#: Boxes of one layer in one notice; of more features there is one for each of 16 x 16 cells.
MOST_BOXES: Final = 256
#: Changesets that are read at a time.
AT_A_TIME: Final = 1000


@dataclass(frozen=True)
class Notice:
    """What a changeset touched. Boxes are minx, miny, maxx, maxy in the storage CRS, around the features as
    they were and as they are. Layers that not everyone may see are left out: no shared cache has their tiles.

    ``changeset`` is where to go on with ``notices(since=...)``; a notice without layers only says that.
    """

    changeset: int
    layers: Mapping[str, tuple[Box, ...]]


async def notices(pool: Connections, follower: Follower, since: int | None = None) -> AsyncIterator[Notice]:
    """Notices of changesets after ``since`` (None: from now on) in order of id, until the process ends.

    Whoever keeps the last id on disk and comes back with it catches up. Raises psycopg errors when the
    database is away while boxes are read; ask again from the last id then.
    """
    while not follower.stopped and since is None:
        if await follower.wait(-1, POLL):
            since = follower.horizon
    while not follower.stopped:
        assert since is not None
        if not await follower.wait(since, POLL):
            continue
        upto = min(follower.horizon or since, since + AT_A_TIME)
        async with pool.connection() as connection:
            found = await changed_boxes(connection, since, upto)
        for changeset, layers in found.items():
            yield Notice(changeset, layers)
        if upto not in found:
            yield Notice(upto, {})
        since = upto


async def changed_boxes(
    connection: AsyncConnection[Any], since: int, upto: int, most: int = MOST_BOXES
) -> dict[int, dict[str, tuple[Box, ...]]]:
    """Boxes by changeset and layer, of changesets after ``since`` up to ``upto``."""
    cursor = await connection.execute(
        "SELECT changeset, layer, boxes FROM bandoso.changed_boxes(%s, %s, %s)",
        [Int8(since), Int8(upto), Int4(most)],
    )
    found: dict[int, dict[str, tuple[Box, ...]]] = {}
    for changeset, layer, boxes in await cursor.fetchall():
        some: tuple[Box, ...] = tuple((b[0], b[1], b[2], b[3]) for b in boxes)
        found.setdefault(changeset, {})[layer] = some
    return found


__all__ = ["MOST_BOXES", "Notice", "changed_boxes", "horizon", "notices"]
