"""Applies the layer catalogue to the database: new tables, migrated tables, or a clear refusal.

Nothing is ever lost in silence: a field that has values is not dropped, values are not narrowed, and a
layer that is gone from the files keeps its table (retired: nobody reads it until the layer is back).
"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg import Connection
from psycopg.sql import SQL, Identifier
from psycopg.types.json import Jsonb

from gis.city import City
from gis.db import actual
from gis.db.alter import Alteration
from gis.db.changes import Change, Refused
from gis.db.ddl import create_table, script
from gis.db.definition import context, describe, fingerprint
from gis.db.door import close_statements
from gis.db.past import forget_statements
from gis.db.sql import CHECKER, EDITOR, LAYERS, MEMBER, READER
from gis.db.web import web_drop_statement
from gis.errors import DatabaseError, MigrationRefused
from layers.registry import Catalogue, Layer

__all__ = ["Change", "apply_catalogue", "fingerprint"]

#: The lock of gis.db.migrate.prepare (it may be held by this session already).
_LOCK = 0x62616E64
#: A table in use longer than this is not waited for: its readers would queue behind us.
_WAIT = "20s"


def apply_catalogue(
    conn: Connection, catalogue: Catalogue, city: City, *, dry_run: bool = False
) -> list[Change]:
    """Make the tables what the layer files say; the changes made, in order. All or nothing.

    ``dry_run`` changes nothing and lists what would change, refusals included (``refused``); it takes
    the same locks for the moment it needs. Raises MigrationRefused (``errors`` lists every refusal with
    its place) and DatabaseError when a layer is in use for too long. A few milliseconds when all is
    applied already.
    """
    changes: list[Change] = []
    try:
        with conn.transaction() as transaction:
            if _is_current(conn, catalogue, city):
                return []
            conn.execute(SQL("SET LOCAL lock_timeout = {}").format(_WAIT))
            conn.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            changes += _apply(conn, catalogue, city)
            refused = [c for c in changes if c.refused]
            if refused and not dry_run:
                raise _refusal(refused)
            if dry_run:
                raise psycopg.Rollback(transaction)
    except psycopg.errors.LockNotAvailable:
        raise DatabaseError(
            "a layer that has to be changed is in use", hint="try again when loads and long queries are over"
        ) from None
    return changes


def _is_current(conn: Connection, catalogue: Catalogue, city: City) -> bool:
    done, tables, where = actual.applied(conn), actual.tables(conn), context(city)
    for layer in catalogue.layers.values():
        known = done.get(layer.id)
        if known is None or known.retired or known.fingerprint != fingerprint(layer):
            return False
        if known.definition.get("context") != where:
            return False
        if tables.get(layer.id, {}).keys() != known.definition["columns"].keys():
            return False
    return all(known.retired for name, known in done.items() if name not in catalogue.layers)


def _apply(conn: Connection, catalogue: Catalogue, city: City) -> Iterator[Change]:
    done, tables = actual.applied(conn), actual.tables(conn)
    for layer in catalogue.layers.values():
        try:
            with conn.transaction():
                changes = list(_apply_layer(conn, layer, city, done.get(layer.id), tables.get(layer.id)))
            yield from changes
        except Refused as refused:
            yield refused.change
    for name, known in done.items():
        if name not in catalogue.layers and not known.retired:
            yield _retire(conn, name, has_table=name in tables)


def _apply_layer(
    conn: Connection, layer: Layer, city: City, known: actual.Applied | None, columns: dict[str, str] | None
) -> Iterator[Change]:
    if columns is None:
        conn.execute(script(create_table(layer, city, indexes=True)))
        again = " again (its table was gone)" if known is not None else ""
        yield Change(layer.id, "create-layer", f"created{again}")
    elif known is None:
        raise Refused(
            Change(
                layer.id,
                "create-layer",
                "the database has a table of this name that bandoso did not make",
                refused=True,
                hint=f"rename or drop the table {LAYERS}.{layer.id}",
            )
        )
    else:
        current = (
            known.fingerprint == fingerprint(layer) and columns.keys() == known.definition["columns"].keys()
        )
        if current and known.definition.get("context") == context(city) and not known.retired:
            return
        if known.retired:
            yield Change(layer.id, "restore-layer", "is back, with the features its table has kept")
        yield from Alteration(conn, layer, city, known.definition, columns).run()
    conn.execute(
        "INSERT INTO bandoso.layer (id, definition, fingerprint) VALUES (%s, %s, %s) "
        "ON CONFLICT (id) DO UPDATE "
        "SET definition = excluded.definition, fingerprint = excluded.fingerprint, applied_at = now()",
        (layer.id, Jsonb(describe(layer, city)), fingerprint(layer)),
    )


def _retire(conn: Connection, name: str, *, has_table: bool) -> Change:
    rows = 0
    if has_table:
        table = Identifier(LAYERS, name)
        conn.execute(script([*close_statements(name), *forget_statements(name), web_drop_statement(name)]))
        for role in (READER, MEMBER, EDITOR, CHECKER):
            conn.execute(SQL("REVOKE ALL ON {} FROM {}").format(table, Identifier(role)))
        rows = actual.count(conn, name)
    conn.execute(
        "UPDATE bandoso.layer SET definition = definition || '{\"retired\": true}', applied_at = now() "
        "WHERE id = %s",
        (name,),
    )
    return Change(name, "retire-layer", f"is gone from the layer files; its table keeps {rows} features")


def _refusal(refused: list[Change]) -> MigrationRefused:
    first = refused[0]
    place = f"{first.layer}.{first.field}" if first.field else first.layer
    more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
    return MigrationRefused(
        f"{place}: {first.text}{more}",
        hint=first.hint,
        errors=[{"pointer": c.pointer, "detail": c.text} for c in refused],
    )
