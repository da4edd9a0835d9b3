"""Fills the layers with the demo city: copied aside, indexed, and put in the layers' place in one step.

Workers generate, this process copies them in order into tables that nobody reads; their indexes are
built side by side; then one transaction swaps all tables. Whatever ends it, the layers are as they were
before, or all of the demo is there.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from gis.city import City
from gis.db.connect import connect
from gis.db.ddl import build_name, constraint_statements, create_table, script, swap_statements
from gis.db.sql import LAYERS as SCHEMA
from gis.db.sql import columns
from gis.demo import SOURCE
from gis.demo.build import build_all
from gis.demo.defects import Defect
from gis.demo.encode import Encoded, Shape
from gis.demo.generate import LAYERS
from gis.demo.plan import Plan
from gis.demo.plan import frame as make_frame
from gis.demo.work import Job, results
from gis.errors import DatabaseError, UsageError
from gis.ingest import versions
from gis.ingest.pump import HEADER, TRAILER
from layers.registry import Catalogue, Layer

#: How long the last step waits for readers to let go of the old tables. A try is shorter than
#: PostgreSQL's deadlock timeout (1 s), so that it is never a reader that has to give way.
_SWAP_SECONDS, _TRY_MS = 600.0, 500

Report = Callable[[int, int | None], None]


def write(
    dsn: str, plan: Plan, city: City, catalogue: Catalogue, report: Report, *, defects: bool = False
) -> tuple[dict[str, int], list[Defect]]:
    """Replace the content of all layers that the demo fills.

    Gives rows by layer and the injected errors. Raises UsageError when a load into one of the layers is
    running.
    """
    layers = [catalogue.layers[name] for name in LAYERS if name in catalogue.layers]
    with connect(dsn) as connection, _only_one(connection, layers):
        loads: dict[str, int] = {}
        try:
            loads = _start_loads(connection, layers, {"seed": plan.seed, "parcels": plan.parcels})
            shapes = {layer.id: Shape.of(layer, loads[layer.id]) for layer in layers}
            job = Job(plan, make_frame(city, plan.columns, plan.rows), shapes, city.crs.storage, defects)
            counts, found, moment = _fill(connection, city, layers, job, report)
            build_all(dsn, layers, counts)
            _swap(connection, layers, loads, counts, moment)
        except BaseException:
            # The connection may be in the middle of a COPY; it is of no use for clearing up.
            with contextlib.suppress(Exception), connect(dsn) as other:
                connection.cancel_safe(timeout=5)
                connection.close()
                _clear_up(other, layers, loads)
            raise
    return dict(counts), found


@contextmanager
def _only_one(connection: psycopg.Connection, layers: Sequence[Layer]) -> Iterator[None]:
    """Keep loads away from the layers, by the lock that ``bandoso load`` takes; freed with the session."""
    for layer in layers:
        row = connection.execute(
            "SELECT pg_try_advisory_lock(hashtext('bandoso.load'), hashtext(%s))", [layer.id]
        ).fetchone()
        if not row or not row[0]:
            raise UsageError(f"a load into {layer.id} is running", code="busy")
    yield


def _start_loads(
    connection: psycopg.Connection, layers: Sequence[Layer], details: Mapping[str, int]
) -> dict[str, int]:
    """A row of bandoso.load for each layer: it marks the layer's rows as a demo's."""
    rows = connection.execute(
        "INSERT INTO bandoso.load (layer, source, mode, report)"
        " SELECT name, %s, 'replace', %s FROM unnest(%s::text[]) WITH ORDINALITY AS t(name, n) ORDER BY n"
        " RETURNING layer, id",
        [SOURCE, json.dumps(details), [layer.id for layer in layers]],
    ).fetchall()
    return {row[0]: int(row[1]) for row in rows}


def _fill(
    connection: psycopg.Connection, city: City, layers: Sequence[Layer], job: Job, report: Report
) -> tuple[Counter[str], list[Defect], datetime]:
    """Create the tables aside and copy the city into them, in one transaction: so PostgreSQL writes no
    WAL for the rows, and no visibility later. Gives its time, too: that of the rows."""
    counts: Counter[str] = Counter()
    found: list[Defect] = []
    by_id = {layer.id: layer for layer in layers}
    with connection.transaction():
        for layer in layers:
            built = build_name(layer)
            drop = SQL("DROP TABLE IF EXISTS {}").format(Identifier(SCHEMA, built))  # of one that was killed
            connection.execute(
                script([drop, *create_table(layer, city, built), *constraint_statements(layer, city, built)])
            )
        done = 0
        for result in results(job):
            for part in result.encoded:
                _copy(connection, by_id[part.layer], job.shapes[part.layer], part)
                counts[part.layer] += part.rows
            found += result.defects
            done += result.superblocks
            report(done, len(job.plan.counts))
        row = connection.execute("SELECT now()").fetchone()
        assert row is not None
    return counts, found, row[0]


def _copy(connection: psycopg.Connection, layer: Layer, shape: Shape, part: Encoded) -> None:
    statement = SQL("COPY {} ({}) FROM STDIN (FORMAT binary, FREEZE)").format(
        Identifier(SCHEMA, build_name(layer)), columns(shape.columns)
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(HEADER)
        copy.write(part.body)
        copy.write(TRAILER)


def _swap(
    connection: psycopg.Connection,
    layers: Sequence[Layer],
    loads: Mapping[str, int],
    counts: Counter[str],
    moment: datetime,
) -> None:
    """The one step that others see."""
    tables = SQL(", ").join(Identifier(SCHEMA, layer.id) for layer in layers)
    deadline = time.monotonic() + _SWAP_SECONDS
    while True:
        try:
            with connection.transaction():
                connection.execute("SELECT set_config('lock_timeout', %s, true)", [f"{_TRY_MS}ms"])
                connection.execute(SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(tables))
                changeset = versions.open_changeset(connection, loads, SOURCE, None, None, moment)
                for layer in layers:
                    _keep(connection, layer)
                    connection.execute(script(swap_statements(layer, build_name(layer))))
                    box = versions.whole_extent(connection, Identifier(SCHEMA, layer.id), layer)
                    versions.note_added(connection, changeset, layer, counts[layer.id], box)
                connection.execute(
                    "UPDATE bandoso.load SET finished_at = clock_timestamp(), rejected = 0, rows = t.rows"
                    " FROM unnest(%s::bigint[], %s::bigint[]) AS t(id, rows) WHERE load.id = t.id",
                    [[loads[la.id] for la in layers], [counts[la.id] for la in layers]],
                )
                return
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() > deadline:
                raise DatabaseError(
                    "the layers are in use by others", hint="try again when it is quieter"
                ) from None
            time.sleep(0.25)


def _keep(connection: psycopg.Connection, layer: Layer) -> None:
    """Keep what people put into a layer that the demo replaces.

    What an earlier demo made and nobody has changed is left out (its seed makes it again), and the layer's
    history begins anew.
    """
    made = SQL(
        "o.version = 1 AND EXISTS (SELECT FROM bandoso.load AS l WHERE l.id = o.load_id AND l.source = {})"
    ).format(Literal(SOURCE))
    versions.keep_replaced(connection, layer, None, SQL("NOT ({})").format(made))
    connection.execute(
        SQL(
            "INSERT INTO bandoso.history_since AS s (layer, since, reason)"
            " SELECT {name}, current_setting('bandoso.at')::timestamptz, 'purged'"
            " WHERE EXISTS (SELECT FROM {table} AS o WHERE {made})"
            " ON CONFLICT (layer) DO UPDATE SET since = excluded.since, reason = excluded.reason"
        ).format(name=Literal(layer.id), table=Identifier(SCHEMA, layer.id), made=made)
    )


def _clear_up(connection: psycopg.Connection, layers: Sequence[Layer], loads: Mapping[str, int]) -> None:
    for layer in layers:
        connection.execute(SQL("DROP TABLE IF EXISTS {}").format(Identifier(SCHEMA, build_name(layer))))
    connection.execute("DELETE FROM bandoso.load WHERE id = ANY(%s)", [list(loads.values())])
