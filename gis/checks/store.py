"""Findings of a run against those that are known: new, still there, mended; all set-wise in SQL.

One transaction of the owner holds temporary tables: ``staged`` (what was found), ``known`` (the stored
findings that were looked at), ``pair`` (which is which), ``judged`` and ``gone`` (what is to be written).
Only what changed is written. Used alike by a run over the city and by an edit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any

import psycopg
from psycopg.sql import SQL, Composable, Identifier

from gis.checks import store_sql as text
from gis.checks.encode import COLUMNS
from gis.checks.source import Box
from gis.db import sql as names
from layers.registry import Catalogue

#: Layers that hold findings: for everyone, and about what not everyone may see.
PUBLIC, RESTRICTED = "finding", "finding_restricted"


@dataclass(frozen=True)
class Settled:
    """What became of the findings: those that stand by rule and severity, new ones, mended ones."""

    counts: dict[tuple[str, str], int]
    open_errors: int
    accepted: int
    new: int
    mended: int


class Store:
    """The findings tables in one open transaction of ``connection`` (the owner's; READ COMMITTED)."""

    def __init__(self, connection: psycopg.Connection[Any], catalogue: Catalogue) -> None:
        self._connection = connection
        self._tables = {
            False: names.table(catalogue.layers[PUBLIC]),
            True: names.table(catalogue.layers[RESTRICTED]),
        }

    def begin(self) -> None:
        """Make the temporary tables of this session, or empty them."""
        self._connection.execute(text.TEMPORARY)

    # --- what was found --------------------------------------------------------------------------

    def stage(self, rows: bytes) -> None:
        """Take rows of gis.checks.encode. Raises psycopg.Error, and then takes none of them."""
        columns = SQL(", ").join(Identifier(name) for name in COLUMNS)
        copy_into = SQL("COPY pg_temp.staged ({}) FROM STDIN").format(columns)
        with (
            self._connection.transaction(),
            self._connection.cursor() as cursor,
            cursor.copy(copy_into) as copy,
        ):
            copy.write(rows)

    def unstage(self, task: int) -> None:
        """Forget the rows of a task that was lost."""
        self._connection.execute("DELETE FROM pg_temp.staged WHERE task = %s", [task])

    def unstage_app(self, task: int, app: str) -> None:
        """Forget what an application reported in a task before it failed."""
        self._connection.execute("DELETE FROM pg_temp.staged WHERE task = %s AND app = %s", [task, app])

    def stage_within(self, area: bytes) -> None:
        """Keep only what meets ``area`` (EWKB)."""
        self._connection.execute(text.STAGED_WITHIN, [area])

    # --- what was looked at ----------------------------------------------------------------------

    def look_everywhere(self, apps: Sequence[str], all_apps: Sequence[str]) -> None:
        """All stored findings of ``apps``, and those of applications that the layer files no longer have."""
        self._look(SQL("k.app = ANY (%(apps)s) OR NOT k.app = ANY (%(all)s)"), apps=apps, all=all_apps)

    def look_within(self, apps: Sequence[str], area: bytes, about: Sequence[str] | None = None) -> None:
        """Stored findings of ``apps`` with a place in ``area`` (EWKB), about one of ``about``."""
        where: Composable = SQL(
            "k.app = ANY (%(apps)s) AND k.ax IS NOT NULL"
            " AND f.geom OPERATOR(public.&&) %(area)s::public.geometry"
            " AND public.ST_Intersects(f.geom, %(area)s::public.geometry)"
        )
        if about is not None:
            where += SQL(" AND k.about && %(about)s")
        self._look(where, apps=apps, area=area, about=about)

    def look_in_boxes(self, windows: Sequence[tuple[list[str], Box]]) -> None:
        """Stored findings of some applications whose anchor is in a box, for each of ``windows``."""
        if windows:
            for layer in (PUBLIC, RESTRICTED):
                self._connection.execute(text.look_in_boxes(layer, len(windows)), values_of_boxes(windows))

    def look_at_features(self, apps: Sequence[str], about: Sequence[str]) -> None:
        """Stored findings of ``apps`` about one of the features (``layer/fid``)."""
        self._look(SQL("k.app = ANY (%(apps)s) AND k.about && %(about)s"), apps=apps, about=about)

    def known_before(
        self, windows: Sequence[tuple[list[str], Box]], about: Sequence[str]
    ) -> psycopg.Cursor[Any]:
        """Asks what text.known_before tells."""
        return self._connection.execute(
            text.known_before(len(windows)), {**values_of_boxes(windows), "about": list(about)}
        )

    def look_away(self, apps: Sequence[str], box: Box | None) -> None:
        """Leave findings of ``apps`` alone, as far as their anchor is in ``box`` (None: everywhere)."""
        if box is None:
            self._connection.execute("DELETE FROM pg_temp.known WHERE app = ANY (%s)", [list(apps)])
            return
        self._connection.execute(text.LOOK_AWAY, {"apps": list(apps), **_edges(box)})

    def leave_newer(self, run: int, snapshot: str, as_of: datetime) -> bool:
        """Take out what edits, or runs on a newer state, have judged since this run's snapshot; whether
        there was any: ``count_standing`` counts that, too."""
        values = {"snapshot": snapshot, "run": run, "as_of": as_of}
        self._connection.execute(text.NEWER, values)
        found = self._connection.execute("SELECT EXISTS (SELECT FROM pg_temp.newer)").fetchone()
        if not found or not found[0]:
            return False
        for statement in text.LEAVE_NEWER:
            self._connection.execute(statement)
        return True

    def _look(self, where: Composable, **values: Any) -> None:
        plain = {k: list(v) if isinstance(v, tuple | list) else v for k, v in values.items()}
        for table in self._tables.values():
            query = text.LOOK.format(table=table, where=where)
            self._connection.execute(query, plain)

    # --- which is which --------------------------------------------------------------------------

    def judge(self, today: date, *, large: bool) -> None:
        """Fill ``pair``, ``judged`` and ``gone``. ``large``: the tables are worth statistics."""
        if large:
            self._connection.execute("ANALYZE pg_temp.staged; ANALYZE pg_temp.known")
        self._connection.execute(text.PAIR_ALONE)
        if large:
            self._connection.execute("ANALYZE pg_temp.pair")
        self._connection.execute(text.PAIR_SAME_PLACE)
        self._pair_nearest()
        if large:
            self._connection.execute("ANALYZE pg_temp.pair")
        self._connection.execute(text.JUDGE, {"today": today})
        self._connection.execute(text.NAME_NEW)
        self._connection.execute(text.GONE)

    def _pair_nearest(self) -> None:
        """Several findings of one rule about the same features: each to the nearest that is left."""
        with self._connection.cursor() as cursor:
            rows = cursor.execute(text.LEFT).fetchall()
        found: list[tuple[int, str]] = []
        for _, group in groupby(rows, key=itemgetter(0)):
            some = list(group)
            new = [(r[1], r[3], r[4]) for r in some if r[1] is not None]
            old = [(r[2], r[3], r[4]) for r in some if r[2] is not None]
            found += nearest_pairs(new, old)
        if found:
            with self._connection.cursor() as cursor:
                cursor.executemany("INSERT INTO pg_temp.pair (n, id) VALUES (%s, %s)", found)

    # --- writing ---------------------------------------------------------------------------------

    def write(self, run: int | None, as_of: datetime) -> None:
        """Write what changed."""
        for restricted, layer in ((False, PUBLIC), (True, RESTRICTED)):
            values = {"restricted": restricted, "as_of": as_of}
            for statement in text.write(layer):
                self._connection.execute(statement, values)
        for key_statement in text.WRITE_KEYS:
            self._connection.execute(key_statement, {"as_of": as_of, "run": run})

    def count(self) -> Settled:
        """What was judged, written or not."""
        counts: dict[tuple[str, str], int] = {}
        errors = accepted = new = 0
        for rule, severity, state, news, number in self._connection.execute(text.COUNT).fetchall():
            counts[rule, severity] = counts.get((rule, severity), 0) + number
            errors += number if severity == "E" and state == "open" else 0
            accepted += number if state == "accepted" else 0
            new += number if news == "new" else 0
        row = self._connection.execute("SELECT count(*) FROM pg_temp.gone").fetchone()
        return Settled(counts, errors, accepted, new, int(row[0]) if row else 0)

    def count_standing(self, settled: Settled, apps: Sequence[str], area: bytes | None) -> Settled:
        """``settled`` with all findings of ``apps`` (in ``area``, EWKB) that stand once it is written, those
        too that others have judged meanwhile."""
        counts: dict[tuple[str, str], int] = {}
        errors = accepted = 0
        for table in self._tables.values():
            query = text.COUNT_STANDING.format(table=table)
            values = {"apps": list(apps), "area": area}
            for rule, severity, state, number in self._connection.execute(query, values).fetchall():
                counts[rule, severity] = counts.get((rule, severity), 0) + number
                errors += number if severity == "E" and state == "open" else 0
                accepted += number if state == "accepted" else 0
        return replace(settled, counts=counts, open_errors=errors, accepted=accepted)


def nearest_pairs(
    new: Iterable[tuple[int, float, float]], old: Iterable[tuple[str, float, float]]
) -> Iterator[tuple[int, str]]:
    """Pairs of (number, id) of things given as (name, x, y): the nearest first, each used once."""
    olds = list(old)
    ways = sorted(((x - u) ** 2 + (y - v) ** 2, name, x, y, n) for n, x, y in new for name, u, v in olds)
    used_new: set[int] = set()
    used_old: set[str] = set()
    for _, name, _, _, n in ways:
        if n not in used_new and name not in used_old:
            used_new.add(n)
            used_old.add(name)
            yield n, name


def values_of_boxes(windows: Sequence[tuple[list[str], Box]]) -> dict[str, Any]:
    """Parameters of the windows, numbered."""
    values: dict[str, Any] = {}
    for number, (keys, box) in enumerate(windows):
        values |= {f"apps{number}": text_array(tuple(keys)), **_edges(box, str(number))}
    return values


@lru_cache(maxsize=4096)
def text_array(texts: tuple[str, ...]) -> str:
    """An array as PostgreSQL writes it: of the same keys for each edit, which need not be put in again."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"


def _edges(box: Box, suffix: str = "") -> dict[str, float]:
    sides = (f"{side}{suffix}" for side in ("minx", "miny", "maxx", "maxy"))
    return dict(zip(sides, (float(v) for v in box), strict=True))
