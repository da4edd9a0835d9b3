"""Advisory locks (of transactions) that keep runs and edits from overwriting each other's findings.

An edit holds the findings together with other edits, and alone the cells of ground that it judges: of two
edits beside each other the second waits, and sees what the first has done. A run holds the findings alone
for the moment in which it writes; edits do not wait for it, they leave their window to it
(bandoso.check_due).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import psycopg

from gis.checks.source import Box

#: "fnd" and "cel" in ASCII.
_FINDINGS, _CELLS = 0x666E64, 0x63656C
#: Side of a cell (m), and the most cells that an edit locks one by one.
_CELL, _MOST_CELLS = 200.0, 400


def hold_alone(connection: psycopg.Connection[Any]) -> None:
    """Wait for the edits that are under way, and keep others out until this transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", [_FINDINGS])


_TOGETHER = f"SELECT pg_try_advisory_xact_lock_shared({_FINDINGS}, 0)"
_ALL = f"SELECT pg_advisory_xact_lock({_CELLS}, 0)::text"
_SOME = (
    f"SELECT pg_advisory_xact_lock_shared({_CELLS}, 0)::text UNION ALL"  # noqa: S608 - numbers of ours
    f" SELECT pg_advisory_xact_lock({_CELLS}, cell)::text"
    " FROM (SELECT unnest(%s::integer[]) AS cell ORDER BY 1) AS cells"
)


def hold(connection: psycopg.Connection[Any], boxes: Iterable[Box] | None) -> Callable[[], bool]:
    """Wait for the ground of ``boxes`` (None: for none), and hold it alone; then hold the findings with other
    edits. Gives what tells whether they could be: not while a run writes. Where the connection is in pipeline
    mode, what follows waits on the server.

    In one call locks are always taken in one order, so that no two edits wait for each other.
    """
    if boxes is None:
        asked = connection.execute(f"{_TOGETHER}::text")
    else:
        cells = _cells(boxes)
        # 0 is all the ground: the others hold it together, a very large edit alone.
        ground = _SOME if cells else _ALL
        asked = connection.execute(f"{ground} UNION ALL {_TOGETHER}::text", [sorted(cells)] if cells else [])
    # the parts of a UNION ALL are worked out one after the other
    return lambda: bool(asked.fetchall()[-1][0] == "true")


def _cells(boxes: Iterable[Box]) -> set[int]:
    """Numbers of the cells that the boxes touch; none when they are too many to be locked one by one."""
    cells: set[int] = set()
    for box in boxes:
        minx, miny, maxx, maxy = (int(v // _CELL) for v in box)
        if (maxx - minx + 1) * (maxy - miny + 1) > _MOST_CELLS:
            return set()
        cells |= {
            1 + ((x * 73_856_093 ^ y * 19_349_663) & 0x3FFFFFFF)
            for x in range(minx, maxx + 1)
            for y in range(miny, maxy + 1)
        }
    return cells if len(cells) <= _MOST_CELLS else set()
