"""All features of a request as one CSV that flows: ``f=csv&limit=all``, in constant memory.

PostgreSQL writes the lines (COPY); here they get the line ends of RFC 4180 and are sent in pieces. The values
are those of csvtext; numbers stand as PostgreSQL writes them (1, where a page has 1.0).
"""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

from psycopg import AsyncConnection, sql

from gis.api.features.formats.csvtext import BOM, geometry_columns
from gis.api.features.params import View
from gis.api.features.where import Selection
from gis.db.member import Connections
from gis.db.sql import column, columns
from layers.model import FieldDef
from layers.registry import Layer

#: Streams of a process at a time, of any format: each holds a connection.
MOST_STREAMS: Final = 2
#: The longest that one may take.
TIMEOUT: Final = "30min"
#: Bytes sent at once.
PIECE: Final = 64 * 1024

STREAMS: Final = asyncio.Semaphore(MOST_STREAMS)

#: As csvtext: a text that a spreadsheet would run gets an apostrophe in front.
_TEXT: Final = sql.SQL(r"CASE WHEN {0} ~ E'^([=@\t\r]|[+-](?![0-9 ().,/-]*$))' THEN '''' || {0} ELSE {0} END")
_MOMENT: Final = sql.SQL(
    "to_char({0}, CASE WHEN date_trunc('second', {0}) = {0} THEN 'YYYY-MM-DD\"T\"HH24:MI:SS'"
    " ELSE 'YYYY-MM-DD\"T\"HH24:MI:SS.US' END) || '+00:00'"
)
_FORMS: Final = {
    "string": _TEXT,
    "boolean": sql.SQL("{0}::text"),
    "date": sql.SQL("to_char({0}, 'YYYY-MM-DD')"),
    "datetime": _MOMENT,
}


async def stream(
    connections: Connections, layer: Layer, view: View, storage: int, selection: Selection
) -> AsyncGenerator[bytes]:
    """The file in pieces, in order of fid. The first comes when the statement runs."""
    shapes = geometry_columns(layer, view, storage)
    names = [*(f.name for f in view.fields), *(name for name, _ in shapes)]
    statement = _statement(view.fields, shapes, selection)
    async with STREAMS, connections.connection() as connection, connection.transaction():
        await connection.execute("SELECT set_config('statement_timeout', %s, true)", [TIMEOUT])
        pieces = _copied(connection, statement, selection.values, _head(names))
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece


async def _copied(
    connection: AsyncConnection[Any], statement: sql.Composed, values: dict[str, object], head: bytes
) -> AsyncGenerator[bytes]:
    async with connection.cursor() as cursor, cursor.copy(statement, values) as copy:
        yield head
        piece = bytearray()
        async for row in copy:
            piece += row
            if piece[-1:] == b"\n":  # the end of a line; line feeds within values stay as they are
                piece[-1:] = b"\r\n"
            if len(piece) >= PIECE:
                yield bytes(piece)
                piece.clear()
        if piece:
            yield bytes(piece)


def _statement(
    fields: Sequence[FieldDef],
    shapes: Sequence[tuple[str, sql.Composable]],
    selection: Selection,
) -> sql.Composed:
    shown = [
        sql.SQL("{} AS {}").format(
            _FORMS.get(f.type, sql.SQL("{0}")).format(column(f.name, "i")), column(f.name)
        )
        for f in fields
    ]
    shown += [sql.SQL("{} AS {}").format(made, sql.Identifier(name)) for name, made in shapes]
    quoted = [column(f.name) for f in fields if f.type in _FORMS]
    quoted += [sql.Identifier(name) for name, _ in shapes if name == "wkt"]
    needed = columns(list(dict.fromkeys(["fid", *(f.name for f in fields), "geom"])))
    sources = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {} FROM {}").format(needed, sql.SQL(source)) for source in selection.together()
    )
    force = sql.SQL(", FORCE_QUOTE ({})").format(sql.SQL(", ").join(quoted)) if quoted else sql.SQL("")
    return sql.SQL("COPY (SELECT {} FROM ({}) AS i ORDER BY i.fid) TO STDOUT (FORMAT csv{})").format(
        sql.SQL(", ").join(shown) if shown else sql.SQL("NULL"), sources, force
    )


def _head(names: Sequence[str]) -> bytes:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_STRINGS, lineterminator="\r\n").writerow(names)
    return BOM + out.getvalue().encode()
