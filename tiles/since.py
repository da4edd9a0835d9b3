"""What changed since archives were made, asked once: for builds and proofs. Servers follow (tiles.follow)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from psycopg import Connection
from psycopg.types.numeric import Int4, Int8

from gis.crs import WEB_MERCATOR, Box
from tiles.follow import MOST_BOXES, NOW, Stamp
from tiles.grid import Tile
from tiles.marks import WORLD, Marks, web_boxes

_LAST: Final = (1 << 63) - 1
#: The most that a layer's ``tiles.buffer`` may be: of a layer that is not known here.
_MOST_BUFFER: Final = 512


def stamp_now(connection: Connection[Any]) -> tuple[Stamp, Stamp]:
    """(what every later snapshot has, up to where it was forgotten what changed), by an owner."""
    row = connection.execute(NOW).fetchone()
    assert row is not None
    change, low, note, lineage, known_changes, known_notes = row
    return Stamp(change, low, note, lineage), Stamp(known_changes, 0, known_notes, lineage)


class Changed:
    """Which tiles a snapshot may show otherwise than bytes that were made at a stamp."""

    def __init__(
        self, connection: Connection[Any], since: Stamp, storage: int, buffers: Mapping[str, int]
    ) -> None:
        """``connection``: an owner's, in the snapshot; ``buffers``: tile units of each layer."""
        self._buffers = buffers
        self._changes, self._lows, self._notes = Marks(), Marks(), Marks()
        asked = (
            (
                self._changes,
                storage,
                "SELECT changeset, layer, boxes FROM bandoso.changed_boxes(%s, %s, %s)",
                [Int8(since.change), Int8(_LAST), Int4(MOST_BOXES)],
            ),
            (
                self._lows,
                WEB_MERCATOR,
                "SELECT mark, layer, boxes FROM bandoso.low_changes(%s, %s)",
                [Int8(since.low), Int8(_LAST)],
            ),
            (
                self._notes,
                storage,
                "SELECT xid, layer, CASE WHEN box IS NOT NULL THEN jsonb_build_array(box) END"
                " FROM bandoso.notes(%s)",
                [Int8(since.note)],
            ),
        )
        for marks, crs, query, values in asked:
            for number, layer, boxes in connection.execute(query.encode(), values).fetchall():
                self._mark(marks, layer, boxes, number, crs)

    def _mark(self, marks: Marks, layer: str, boxes: list[list[float]] | None, number: int, crs: int) -> None:
        found: list[Box] = [WORLD] if boxes is None else [(b[0], b[1], b[2], b[3]) for b in boxes]
        if boxes is not None and crs != WEB_MERCATOR:
            found = web_boxes(found, crs)
        marks.mark(layer, found, number, self._buffers.get(layer, _MOST_BUFFER))

    def touched(self, layers: Iterable[str], tile: Tile) -> bool:
        """Whether a tile of these layers may be another one now. Never false for one that is."""
        some = tuple(layers)
        return any(marks.last(some, tile) > 0 for marks in (self._changes, self._lows, self._notes))
