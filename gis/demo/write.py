"""Fills the layers with the demo city: workers generate, this process copies, all in one transaction."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import psycopg
from psycopg.sql import SQL, Identifier

from gis.city import City
from gis.db.ddl import build_name, constraint_statements, create_table, index_statements, swap_statements
from gis.db.sql import LAYERS, columns
from gis.demo.generate import Encoded, Shape, encode, make, unknown_fields
from gis.demo.plan import Frame, Plan
from gis.demo.plan import frame as make_frame
from gis.ingest import copybin
from layers.registry import Catalogue

#: bandoso.load.source of rows that the demo made.
SOURCE = "demo"
#: Superblocks above which worker processes are worth their start.
WORTH_WORKERS = 6

_OMITTED = {"fid", "version", "updated_at"}


def write(
    connection: psycopg.Connection,
    plan: Plan,
    city: City,
    catalogue: Catalogue,
    report: Callable[[int, int | None], None],
) -> dict[str, int]:
    """Replace the content of all layers that the demo fills; rows by layer. One transaction."""
    frame = make_frame(city, plan.columns, plan.rows)
    counts: Counter[str] = Counter()
    with connection.transaction():
        connection.execute("SET LOCAL maintenance_work_mem = '512MB'")
        shapes = _prepare(connection, plan, city, catalogue)
        done = 0
        for encoded in _generated(plan, frame, shapes, city.crs.storage):
            for part in encoded:
                _copy(connection, shapes[part.layer], part)
                counts[part.layer] += part.rows
            done += 1
            report(done, len(plan.counts))
        for layer_id in shapes:
            layer = catalogue.layers[layer_id]
            built = build_name(layer)
            for statement in (
                *constraint_statements(layer, city, built),
                *index_statements(layer, built),
                *swap_statements(layer, built),
            ):
                connection.execute(statement)
            connection.execute(
                "UPDATE bandoso.load SET finished_at = clock_timestamp(), rows = %s, rejected = 0 WHERE id = %s",
                [counts[layer_id], shapes[layer_id].load],
            )
    for layer_id in shapes:
        connection.execute(SQL("ANALYZE {}").format(Identifier(LAYERS, layer_id)))
    return dict(counts)


def _prepare(
    connection: psycopg.Connection, plan: Plan, city: City, catalogue: Catalogue
) -> dict[str, Shape]:
    """Empty copies of the tables that the first superblock shows to be needed, and their load rows."""
    sample = make(plan, make_frame(city, plan.columns, plan.rows), 0)
    details = json.dumps({"seed": plan.seed, "parcels": plan.parcels})
    shapes = {}
    for layer_id in [*sample.layers, "power_corridor", "underground_structure", "base_place"]:
        layer = catalogue.layers.get(layer_id)
        if layer is None or layer_id in shapes:
            continue
        for statement in create_table(layer, city, build_name(layer)):
            connection.execute(statement)
        row = connection.execute(
            "INSERT INTO bandoso.load (layer, source, mode, report) VALUES (%s, %s, 'replace', %s) RETURNING id",
            [layer_id, SOURCE, details],
        ).fetchone()
        assert row is not None
        fields = tuple(f for f in layer.fields if f.name not in _OMITTED)
        definition = layer.definition
        shapes[layer_id] = Shape(
            layer_id, definition.owner, definition.geometry, definition.z != "none", fields, int(row[0])
        )
    unknown = unknown_fields(sample, shapes)
    assert not unknown, f"the demo fills fields that do not exist: {sorted(unknown)}"
    return shapes


def _one(plan: Plan, frame: Frame, shapes: dict[str, Shape], srid: int, index: int) -> list[Encoded]:
    return list(encode(make(plan, frame, index), frame, shapes, srid))


def _generated(plan: Plan, frame: Frame, shapes: dict[str, Shape], srid: int) -> Iterator[list[Encoded]]:
    """Encoded superblocks in order; at most a few are in memory at a time."""
    work = partial(_one, plan, frame, shapes, srid)
    total = len(plan.counts)
    if total < WORTH_WORKERS:
        yield from map(work, range(total))
        return
    workers = max(1, min(4, os.cpu_count() or 1))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        pending = [pool.submit(work, n) for n in range(min(total, 2 * workers))]
        following = len(pending)
        while pending:
            yield pending.pop(0).result()
            if following < total:
                pending.append(pool.submit(work, following))
                following += 1


def _copy(connection: psycopg.Connection, shape: Shape, part: Encoded) -> None:
    name = f"{shape.id}__new" if len(shape.id) < 48 else None
    assert name is not None
    table = Identifier(LAYERS, name)
    statement = SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(table, columns(shape.columns))
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(copybin.HEADER)
        copy.write(part.body)
        copy.write(copybin.TRAILER)
