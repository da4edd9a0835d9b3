"""The database's side of a dry run: rows go into a temporary table, are compared with the layer, and go away.

Nothing is locked, no number is drawn from a sequence, no record is kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from gis.city import City
from gis.db import sql as names
from gis.db.connect import connect
from gis.db.server import Database
from gis.ingest import merge
from gis.ingest.pump import HEADER, TRAILER, Pump
from gis.ingest.write import STAGED, Inspect, Mode, Written, sentences
from layers.registry import Layer

#: Feature ids of a dry run: beyond any that a sequence gives out, so that no asset id made of one exists.
_FIRST_FID = 1 << 62


class Rehearsal:
    """What gis.ingest.write.LayerWriter would do, counted. Use as a context manager."""

    def __init__(self, db: Database, city: City, layer: Layer, mode: Mode, columns: Sequence[str]) -> None:
        self._db, self._city, self._layer, self._mode = db, city, layer, mode
        self._columns = tuple(columns)
        self._next = _FIRST_FID
        self._copying: Any = None
        self._pump: Pump | None = None

    def __enter__(self) -> Rehearsal:
        self._main = connect(self._db.owner_dsn, autocommit=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            with contextlib.suppress(psycopg.Error):
                self._main.cancel_safe(timeout=5)
        if self._pump is not None:
            self._pump.stop()
        with contextlib.suppress(Exception):
            if self._copying is not None and kind is not None:
                self._copying.__exit__(kind, error, trace)
        self._main.close()

    def begin(self) -> bool:
        """Open the COPY; False when the layer has no table in the database, or an older one."""
        try:
            self._main.execute(
                "SELECT set_config('idle_in_transaction_session_timeout', '0', false),"
                " set_config('statement_timeout', '0', false)"
            )
            self._main.execute(
                SQL("CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(
                    Identifier(STAGED), names.columns(self._columns), names.table(self._layer)
                )
            )
        except (
            psycopg.errors.UndefinedTable,
            psycopg.errors.InvalidSchemaName,
            psycopg.errors.UndefinedColumn,
        ):
            self._main.rollback()
            return False
        self._copying = self._main.cursor().copy(
            SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
                Identifier(STAGED), names.columns(self._columns)
            )
        )
        self._pump = Pump(self._copying.__enter__().write)
        self._pump.put(HEADER)
        return True

    def reserve(self, count: int) -> int:
        """``count`` feature ids in a row that no feature has; gives the first."""
        first = self._next
        self._next += count
        return first

    def write(self, body: bytes | bytearray | memoryview) -> None:
        """Send rows in the form of gis.ingest.copybin."""
        assert self._pump is not None
        with sentences(self._layer, self._city):
            self._pump.put(body)

    def settle(self, given: Sequence[str], inspect: Inspect) -> Written:
        """End the COPY and count what a load would do."""
        staged, layer, upsert = Identifier(STAGED), self._layer, self._mode == "upsert"
        assert self._pump is not None
        done = Written()
        with sentences(layer, self._city):
            self._pump.put(TRAILER)
            self._pump.drain()
            self._copying.__exit__(None, None, None)
            self._copying = None
            self._main.execute(SQL("ANALYZE {}").format(staged))
            inspect(self._main, staged)
            for key in merge.unique_keys(layer):
                done.duplicates += merge.drop_repeated(self._main, staged, key)
                if self._mode == "append" or (upsert and key != ("asset_id",)):
                    done.duplicates += merge.drop_conflicting(self._main, layer, staged, key, upsert=upsert)
            if self._mode != "append":
                compared = [*given, "geom"] if upsert else self._columns
                matched, done.updated = merge.count_changed(self._main, layer, staged, compared)
                done.unchanged = matched - done.updated
                if not upsert:
                    query = SQL("SELECT count(*) FROM {}").format(names.table(layer))
                    row = self._main.execute(query).fetchone()
                    assert row is not None
                    done.removed = int(row[0]) - matched
            self._main.rollback()
        return done
