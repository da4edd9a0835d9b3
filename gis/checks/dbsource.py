"""Reads features of the database as columns. One connection, one state of the city if its transaction is
REPEATABLE READ (gis.checks.workers), or the newest one with the caller's own changes (an edit).

How rows become columns: gis.checks.dbrows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import isnan
from typing import Any

import psycopg
from psycopg.sql import SQL, Composable, Composed, Literal

from gis.checks.dbgather import Gathering, Handle
from gis.checks.dbrepeated import repeated_among, repeated_everywhere
from gis.checks.dbrows import features_of, meet, select
from gis.checks.features import Features
from gis.checks.source import EVERYWHERE, PORTION, Box, Repeated, bounded, empty
from gis.db import sql as names
from layers.registry import Catalogue, Layer


class DatabaseSource:
    """Source protocol (gis.checks.source) on a psycopg connection with the owner's rights.

    Every layer can be read, restricted ones and confidential attributes too. Raises psycopg.Error.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        catalogue: Catalogue,
        srid: int,
        queries: dict[Any, Any] | None = None,
    ) -> None:
        """``queries``: statements made for this catalogue before, for sources that live briefly."""
        self._connection, self._catalogue, self.srid = connection, catalogue, srid
        self._queries: dict[Any, Any] = {} if queries is None else queries
        self._asked: dict[Any, Handle] = {}
        self.gathering = Gathering(connection, catalogue, srid, self._queries)

    def ask(self, wanted: Iterable[tuple[str, Box, tuple[str, ...]]]) -> None:
        """Ask for features that will be wanted (layer, box, columns), by ``gathering``, which sends;
        ``features`` takes what came."""
        for layer, box, columns in wanted:
            if (layer, box, columns) not in self._asked and not isnan(box[0]) and box != EVERYWHERE:
                self._asked[layer, box, columns] = self.gathering.in_box(layer, box, columns)

    def features(self, layer: str, box: Box, columns: Sequence[str], *, geometry: bool = True) -> Features:
        of = self._catalogue.layers[layer]
        if isnan(box[0]):  # NOWHERE: the tables take finite geometry only
            return empty(of, columns)
        asked = self._asked.get((layer, box, tuple(columns))) if geometry and self._asked else None
        if asked is not None:
            found = self.gathering.take(asked, of, columns)
        else:
            rows = self._rows(*self._in_box(of, box, columns, geometry=geometry))
            found = features_of(of, columns, rows, geometry=geometry)
        if box == EVERYWHERE or not len(found):
            return found
        # The index and && round boxes to float32: what lies up to 0.1 m beside the box comes along, and rules
        # would see another neighbourhood than in memory.
        meets = meet(found, box)
        return found if meets.all() else found.take(meets)

    def _in_box(
        self, layer: Layer, box: Box, columns: Sequence[str], *, geometry: bool = True
    ) -> tuple[bytes, Sequence[Any]]:
        where, values = self._meets(box)
        query = self._query(
            ("features", layer.id, tuple(columns), geometry, box == EVERYWHERE),
            lambda: SQL("SELECT {} FROM {} WHERE {} ORDER BY asset_id").format(
                select(layer, columns, geometry=geometry, boxes=box != EVERYWHERE), names.table(layer), where
            ),
        )
        return query, values

    def stream(
        self, layer: str, columns: Sequence[str], *, geometry: bool = True, size: int = PORTION
    ) -> Iterator[Features]:
        of = self._catalogue.layers[layer]
        selected = select(of, columns, geometry=geometry)
        after = None
        while True:
            where = SQL("TRUE") if after is None else SQL("asset_id > %s")
            query = SQL("SELECT {} FROM {} WHERE {} ORDER BY asset_id LIMIT {}").format(
                selected, names.table(of), where, Literal(size)
            )
            found = features_of(
                of, columns, self._rows(query, () if after is None else (after,)), geometry=geometry
            )
            if len(found):
                yield found
            if len(found) < size:
                return
            after = str(found.asset_id[-1])

    def repeated(
        self,
        layer: str,
        columns: Sequence[str],
        among: Sequence[Sequence[Any]] | None = None,
        *,
        more: Sequence[str] = (),
        held: Sequence[str] = (),
    ) -> Iterator[Repeated]:
        of = self._catalogue.layers[layer]
        if among is None:
            return repeated_everywhere(self._connection, of, columns, more, held)
        return repeated_among(self._ask, of, columns, more, held, among)

    def pick(self, layer: str, fids: Sequence[int], columns: Sequence[str]) -> Features:
        of = self._catalogue.layers[layer]
        query = self._query(
            ("pick", layer, tuple(columns)),
            lambda: SQL("SELECT {} FROM {} WHERE fid = ANY (%s) ORDER BY asset_id").format(
                select(of, columns), names.table(of)
            ),
        )
        return features_of(of, columns, self._rows(query, ([int(fid) for fid in fids],)))

    def count(self, layer: str) -> int:
        if layer not in self._catalogue.layers:
            return 0
        row = self._connection.execute("SELECT bandoso.row_count(%s)", [layer]).fetchone()
        return int(row[0]) if row else 0

    def many(self, layer: str, box: Box, limit: int) -> int:
        """Number of features in about ``box``, counted up to ``limit``."""
        where, values = self._meets(box)
        query = SQL("SELECT count(*) FROM (SELECT FROM {} WHERE {} LIMIT {}) AS looked").format(
            names.table(self._catalogue.layers[layer]), where, Literal(limit)
        )
        return int(self._rows(query, values)[0][0])

    def boxes(self, layer: str, box: Box) -> list[Box]:
        """Bounding boxes of the features in about ``box``."""
        where, values = self._meets(box)
        query = self._query(
            ("boxes", layer, box == EVERYWHERE),
            lambda: SQL(
                "SELECT public.ST_XMin(geom), public.ST_YMin(geom), public.ST_XMax(geom),"
                " public.ST_YMax(geom) FROM {} WHERE {}"
            ).format(names.table(self._catalogue.layers[layer]), where),
        )
        return [(row[0], row[1], row[2], row[3]) for row in self._rows(query, values)]

    def _query(self, key: Any, make: Callable[[], Composed]) -> bytes:
        """A statement by what it depends on, made once."""
        query: bytes | None = self._queries.get(key)
        if query is None:
            query = self._queries[key] = names.rendered(make())
        return query

    def _ask(self, key: Any, make: Callable[[], Composed], values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._rows(self._query(key, make), values)

    def _rows(self, query: Composed | bytes, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._connection.cursor(binary=True) as cursor:
            return cursor.execute(query, values).fetchall()

    def _meets(self, box: Box) -> tuple[Composable, tuple[Any, ...]]:
        if box == EVERYWHERE:
            return SQL("TRUE"), ()
        return SQL("geom OPERATOR(public.&&) public.ST_MakeEnvelope(%s, %s, %s, %s, %s)"), (
            *bounded(box),
            self.srid,
        )
