"""The database's side of a load: rows go aside first, and into the layer in one transaction at the end.

An empty layer (or ``replace``) is built as a new table: COPY, indexes side by side, then put in the old
one's place. Otherwise rows are staged in a temporary table and merged. Readers of the layer go on all the
while; writers wait (for a merge only while it runs). Whatever ends the load, Ctrl-C, SIGKILL or a power
cut, the layer is as it was before, or as it is after.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, cast

import orjson
import psycopg
from psycopg.sql import SQL, Composed, Identifier

from gis.city import City
from gis.db import ddl
from gis.db import sql as names
from gis.db.connect import connect
from gis.db.constraints import Storage, explain
from gis.db.server import Database
from gis.errors import DatabaseError, LoadRefused, UsageError
from gis.ingest import merge, versions
from gis.ingest.indexing import build_indexes
from gis.ingest.merge import Duplicate
from gis.ingest.pump import HEADER, TRAILER, Pump
from layers.registry import Layer

Mode = Literal["append", "upsert", "replace"]
#: Looks at the staged rows (connection, their table) before they are merged; raises to refuse them.
Inspect = Callable[[psycopg.Connection, Identifier], None]

STAGED = "bandoso_staged"
#: How long the last step waits for readers to let go of the old table.
_SWAP_SECONDS, _SWAP_TRY_MS = 600.0, 2_000


@dataclass
class Written:
    """Rows by what happened to them, and those that turned out to be duplicates."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    duplicates: list[Duplicate] = field(default_factory=list)


class LayerWriter:
    """One load into one layer. Use as a context manager; nothing is kept unless ``commit`` returned."""

    def __init__(
        self,
        db: Database,
        city: City,
        layer: Layer,
        mode: Mode,
        columns: Sequence[str],
        author: str | None = None,
        comment: str | None = None,
    ) -> None:
        self._db, self._city, self._layer, self._mode = db, city, layer, mode
        #: Of the changeset that the load is; the operator's login name by default.
        self._author, self._comment = author, comment
        self._source = ""
        #: When rows were written that are put in place by the last step.
        self._moment: datetime | None = None
        self._added = 0
        #: Columns of the COPY, in order: those of Target.columns, geom, load_id.
        self._columns = tuple(columns)
        self._built = ddl.build_name(layer)
        self._copying: Any = None
        self._pump: Pump | None = None
        self.load_id = 0
        self.stages: dict[str, float] = {}

    def __enter__(self) -> LayerWriter:
        self._guard = connect(self._db.owner_dsn, autocommit=False)
        self._main = connect(self._db.owner_dsn)
        for connection in (self._guard, self._main):
            connection.execute(
                "SELECT set_config('idle_in_transaction_session_timeout', '0', false),"
                " set_config('statement_timeout', '0', false),"
                " set_config('synchronous_commit', 'on', false)"
            )
            connection.commit()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            for connection in (self._main, self._guard):
                with contextlib.suppress(psycopg.Error):
                    connection.cancel_safe(timeout=5)
        if self._pump is not None:
            self._pump.stop()
        with contextlib.suppress(psycopg.Error):
            self._guard.rollback()
        with contextlib.suppress(Exception):
            if self._copying is not None and kind is not None:
                self._copying.__exit__(kind, error, trace)
        with contextlib.suppress(psycopg.Error):
            self._main.rollback()
            self._main.autocommit = True
            self._main.execute(SQL("DROP TABLE IF EXISTS {}").format(self._built_table))
            if kind is not None and self.load_id:
                said = {"error": getattr(error, "message", kind.__name__)}
                self._main.execute(
                    "UPDATE bandoso.load SET finished_at = now(), rows = 0, report = %s WHERE id = %s"
                    " AND finished_at IS NULL",
                    [orjson.dumps(said).decode(), self.load_id],
                )
        self._guard.close()
        self._main.close()

    @property
    def _built_table(self) -> Identifier:
        return Identifier(names.LAYERS, self._built)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.stages[stage] = round(self.stages.get(stage, 0.0) + time.monotonic() - started, 3)

    # --- start -----------------------------------------------------------------------------------

    def begin(self, source: str) -> None:
        """Take the layer for this load and open the COPY. Raises UsageError when another load has it."""
        self._source = source
        with sentences(self._layer, self._city):
            got = self._main.execute(
                "SELECT pg_try_advisory_lock(hashtext('bandoso.load'), hashtext(%s))", [self._layer.id]
            ).fetchone()
            if not got or not got[0]:
                raise UsageError(f"another load into {self._layer.id} is running", code="busy")
            row = self._main.execute(
                "INSERT INTO bandoso.load (layer, source, mode) VALUES (%s, %s, %s) RETURNING id",
                [self._layer.id, source, self._mode],
            ).fetchone()
            assert row is not None
            self.load_id = int(row[0])
            # Left over from a load that was killed.
            self._main.execute(SQL("DROP TABLE IF EXISTS {}").format(self._built_table))
            self._lock("SHARE ROW EXCLUSIVE")
            row = self._guard.execute(
                SQL("SELECT EXISTS (SELECT FROM {})").format(names.table(self._layer))
            ).fetchone()
            self._empty = row is not None and not row[0]
            if not self._empty and self._mode != "replace":
                self._guard.rollback()  # the merge takes the lock again
            self._open_copy()

    def _lock(self, mode: str) -> None:
        """Lock the layer's table in the guard's transaction, giving way to others while waiting."""
        deadline = time.monotonic() + _SWAP_SECONDS
        while True:
            self._guard.execute("SAVEPOINT before_lock")
            try:
                self._guard.execute("SELECT set_config('lock_timeout', %s, true)", [f"{_SWAP_TRY_MS}ms"])
                self._guard.execute(SQL(f"LOCK TABLE {{}} IN {mode} MODE").format(names.table(self._layer)))
                self._guard.execute("SELECT set_config('lock_timeout', '0', true)")
                return
            except psycopg.errors.LockNotAvailable:
                self._guard.execute("ROLLBACK TO SAVEPOINT before_lock")
                if time.monotonic() > deadline:
                    raise DatabaseError(
                        f"{self._layer.id} is in use by others", hint="load again when it is quieter"
                    ) from None
                time.sleep(0.25)

    def _open_copy(self) -> None:
        self._main.autocommit = False
        if self._empty:
            statements = ddl.create_table(self._layer, self._city, self._built)
            statements += ddl.constraint_statements(self._layer, self._city, self._built)
            self._main.execute(ddl.script(statements))
            self._moment = self._now()
            # The table is this transaction's own: no WAL is written for it, and its rows are frozen.
            table, options = self._built_table, SQL("FORMAT binary, FREEZE")
        else:
            self._main.execute(
                SQL("CREATE TEMP TABLE {} AS SELECT {} FROM {} WITH NO DATA").format(
                    Identifier(STAGED), names.columns(self._columns), names.table(self._layer)
                )
            )
            table, options = Identifier(STAGED), SQL("FORMAT binary")
        self._copying = self._main.cursor().copy(
            SQL("COPY {} ({}) FROM STDIN ({})").format(table, names.columns(self._columns), options)
        )
        self._pump = Pump(self._copying.__enter__().write)
        self._pump.put(HEADER)

    def _now(self) -> datetime:
        """What now() is in the main connection's transaction: the default of updated_at."""
        row = self._main.execute("SELECT now()").fetchone()
        assert row is not None
        return cast(datetime, row[0])

    def _open_changeset(self, connection: psycopg.Connection) -> int:
        loads = {self._layer.id: self.load_id}
        return versions.open_changeset(
            connection, loads, self._source, self._author, self._comment, self._moment
        )

    def reserve(self, count: int) -> int:
        """``count`` feature ids in a row, given out by the layer's sequence; gives the first."""
        name = ddl.sequence(self._layer).as_string(None)
        query = "SELECT min(v), max(v) FROM (SELECT nextval(%s::regclass) AS v FROM generate_series(1, %s)) s"
        while True:
            row = self._guard.execute(query, [name, count]).fetchone()
            assert row is not None
            # Editors draw from the same sequence: a block with theirs in between is left unused.
            if row[1] - row[0] + 1 == count:
                return int(row[0])

    def write(self, body: bytes | bytearray | memoryview) -> None:
        """Send rows in the form of gis.ingest.copybin."""
        assert self._pump is not None
        with self._timed("copy"), sentences(self._layer, self._city):
            self._pump.put(body)

    # --- end -------------------------------------------------------------------------------------

    def settle(self, given: Sequence[str], inspect: Inspect) -> Written:
        """End the COPY, take duplicates out, and make everything ready but the last step.

        ``given``: columns that the delivery fills (for upsert). ``inspect`` is called when the layer has
        rows to compare with.
        """
        with sentences(self._layer, self._city):
            with self._timed("copy"):
                assert self._pump is not None
                self._pump.put(TRAILER)
                self._pump.drain()
                self._copying.__exit__(None, None, None)
                self._copying = None
                self._main.commit()
            if self._empty:
                done = Written()
                with self._timed("indexes"):
                    done.duplicates = self._index()
                return done
            self._main.autocommit = True
            staged = Identifier(STAGED)
            with self._timed("compare"):
                self._main.execute(SQL("ANALYZE {}").format(staged))
                inspect(self._main, staged)
            with self._timed("merge"):
                if self._mode == "replace":
                    return self._replace(staged)
                return self._merge(staged, given)

    def _index(self) -> list[Duplicate]:
        return build_indexes(self._db.owner_dsn, self._layer, self._built)

    def _merge(self, staged: Identifier, given: Sequence[str]) -> Written:
        """Append or upsert, in the main connection's open transaction."""
        self._main.autocommit = False
        upsert = self._mode == "upsert"
        layer = self._layer
        self._main.execute(SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(names.table(layer)))
        changeset = self._open_changeset(self._main)
        done = Written()
        for key in merge.unique_keys(layer):
            done.duplicates += merge.drop_repeated(self._main, staged, key)
            if not upsert or key != ("asset_id",):
                done.duplicates += merge.drop_conflicting(self._main, layer, staged, key, upsert=upsert)
        if upsert:
            matched, done.updated = merge.update_changed(self._main, layer, staged, [*given, "geom"])
            done.unchanged = matched - done.updated
        done.added, box = merge.insert_new(self._main, layer, staged, self._columns)
        versions.note_added(self._main, changeset, layer, done.added, box)
        return done

    def _replace(self, staged: Identifier) -> Written:
        done = Written()
        for key in merge.unique_keys(self._layer):
            done.duplicates += merge.drop_repeated(self._main, staged, key)
        self._main.autocommit = False
        statements = ddl.create_table(self._layer, self._city, self._built)
        statements += ddl.constraint_statements(self._layer, self._city, self._built)
        self._main.execute(ddl.script(statements))
        self._moment = self._now()
        done.added, done.updated, done.unchanged = merge.fill_replacement(
            self._main, self._layer, staged, self._built_table, self._columns
        )
        row = self._main.execute(SQL("SELECT count(*) FROM {}").format(names.table(self._layer))).fetchone()
        assert row is not None
        done.removed = int(row[0]) - done.updated - done.unchanged
        self._added = done.added
        self._main.commit()
        self._index()
        return done

    def commit(self, rows: int, rejected: int, report: dict[str, Any]) -> None:
        """The one step that others see."""
        swap = self._empty or self._mode == "replace"
        connection = self._guard if swap else self._main
        with self._timed("commit"), sentences(self._layer, self._city):
            if swap:
                self._put_in_place(rows)
            connection.execute(
                "UPDATE bandoso.load SET finished_at = clock_timestamp(), rows = %s, rejected = %s,"
                " report = %s WHERE id = %s",
                [rows, rejected, orjson.dumps(report, default=str).decode(), self.load_id],
            )
            connection.commit()
            if not swap:
                self._main.autocommit = True
                self._main.execute(_analyze(self._layer))

    def _put_in_place(self, rows: int) -> None:
        """The built table becomes the layer's; what that ends is kept. Readers wait for the swap alone."""
        guard, layer = self._guard, self._layer
        changeset = self._open_changeset(guard)
        if not self._empty:
            versions.keep_replaced(guard, layer, self._built_table)
        self._lock("ACCESS EXCLUSIVE")
        guard.execute(ddl.script(ddl.swap_statements(layer, self._built)))
        box = versions.whole_extent(guard, names.table(layer), layer)
        added = rows if self._empty else self._added
        versions.note_added(guard, changeset, layer, added, box)


def _analyze(layer: Layer) -> Composed:
    return SQL("ANALYZE {}").format(names.table(layer))


@contextmanager
def sentences(layer: Layer, city: City) -> Iterator[None]:
    """Turn errors of PostgreSQL into ours: no SQL, host or path in them."""
    try:
        yield
    except psycopg.errors.CheckViolation as error:
        broken = explain(layer, Storage.of(city), error.diag.constraint_name)
        what = f"{broken.field} is not {broken.wanted}" if broken else "it breaks a rule of the table"
        raise LoadRefused(f"the database refused a row: {what}", code="constraint") from error
    except psycopg.errors.UniqueViolation as error:
        raise LoadRefused("the database refused a row that exists already", code="duplicate") from error
    except psycopg.errors.DiskFull as error:
        raise DatabaseError("the database's disk is full", hint="nothing was changed") from error
    except psycopg.errors.UndefinedTable as error:
        raise DatabaseError(
            f"the database has no table for {layer.id}", hint="run bandoso layers --apply"
        ) from error
    except psycopg.errors.QueryCanceled as error:
        raise DatabaseError("the load was stopped", hint="nothing was changed") from error
    except psycopg.Error as error:
        raise DatabaseError(
            "the database could not take the load", hint=f"nothing was changed (SQLSTATE {error.sqlstate})"
        ) from error
