"""The list of names that people look things up by (sql/0021_names.sql): of which layers and fields it is.

Triggers of the layers' tables add what is written, in the same transaction. What a load or another statement
of very many rows brings is read when it is over, by whoever calls ``fill_names`` (bandoso serve, the commands
that load). Of restricted layers and confidential fields nothing is kept: anyone may read the list.
"""

from __future__ import annotations

import time

from psycopg import Connection

from gis.db import actual
from layers.registry import Catalogue, Layer

_COLUMNS = ("names", "former", "streets", "addresses")
#: Key of the advisory lock of whoever reads names: "name" in ASCII.
_FILLING = 0x6E616D65
#: Seconds until one who waits for another's reading looks again.
_LOOK = 0.2


def listed_fields(layer: Layer) -> dict[str, list[str]]:
    """The fields whose names are kept, by what they hold; empty when none is."""
    find = layer.definition.find
    if find is None or layer.definition.access != "public":
        return {}
    public = {f.name for f in layer.fields if f.access == "public"}
    wanted = {
        "names": find.names,
        "former": (find.former,) if find.former else (),
        "streets": find.streets,
        "addresses": find.addresses,
    }
    found = {what: [name for name in names if name in public] for what, names in wanted.items()}
    return found if any(found.values()) else {}


def prepare_names(connection: Connection, catalogue: Catalogue) -> None:
    """Have the names kept that the layers say; idempotent. What changed is read anew by ``fill_names``."""
    known = {row[0]: list(row[1:]) for row in connection.execute(
        "SELECT layer, names, former, streets, addresses FROM bandoso.name_source"
    )}  # fmt: skip
    tables = actual.tables(connection)
    rows = connection.execute("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'names_insert'")
    kept = {str(name).removeprefix("layer.").strip('"') for (name,) in rows}
    for layer in catalogue.layers.values():
        fields = listed_fields(layer)
        # fields that a refused change has not brought yet are left for later
        if not fields or not {n for some in fields.values() for n in some} <= tables.get(layer.id, {}).keys():
            continue
        values = [fields[name] for name in _COLUMNS]
        if known.pop(layer.id, None) == values and layer.id in kept:
            continue
        with connection.transaction():
            connection.execute(
                "INSERT INTO bandoso.name_source (layer, names, former, streets, addresses)"
                " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (layer) DO UPDATE SET (names, former, streets,"
                " addresses) = (excluded.names, excluded.former, excluded.streets, excluded.addresses)",
                [layer.id, *values],
            )
            connection.execute("SELECT bandoso.names_attach(%s)", [layer.id])
    for gone in known:
        with connection.transaction():
            connection.execute("SELECT bandoso.names_detach(%s)", [gone])


def names_due(connection: Connection) -> bool:
    """Whether names of some layer are to be read."""
    row = connection.execute("SELECT EXISTS (SELECT FROM bandoso.name_due)").fetchone()
    return bool(row and row[0])


def fill_names(connection: Connection) -> int:
    """Read the names of all layers that are due (a second for a million addresses); gives how many layers.

    For a connection in autocommit mode: a round of a layer is four transactions (sql/0023_names_no_wait.sql),
    and nobody who edits waits for it. One process reads at a time; the others wait until it is done.
    """
    done = 0
    while names_due(connection):
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", [_FILLING]).fetchone()
        if not row or not row[0]:
            time.sleep(_LOOK)
            continue
        try:
            while True:
                due = connection.execute("SELECT of_layer, marks FROM bandoso.names_begin()").fetchone()
                if due is None:
                    break
                layer, marks = due
                settled = connection.execute("SELECT bandoso.names_settled(%s)", [layer]).fetchone()
                connection.execute("SELECT bandoso.names_read(%s, %s)", [layer, bool(settled and settled[0])])
                connection.execute("SELECT bandoso.names_end(%s)", [marks])
                done += 1
        finally:
            if not connection.broken:
                connection.execute("SELECT pg_advisory_unlock(%s)", [_FILLING])
    if done:
        connection.execute("ANALYZE bandoso.name")
    return done
