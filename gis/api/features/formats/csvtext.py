"""CSV for spreadsheets and scripts: UTF-8 with a byte order mark, since Excel reads it wrongly without.

Null is an empty field, the empty text is ``""``. Texts are quoted. A text that a spreadsheet would run
as a formula gets an apostrophe in front (``=1+1`` becomes ``'=1+1``); numbers and telephone numbers are
left alone. Whoever needs each byte as it is stored takes another format. Points have a column for each
coordinate, other geometry is WKT.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any, Final

from psycopg import sql

from gis.api.features.params import View
from gis.api.features.query import digits, shape_of
from gis.crs import definition
from layers.registry import Layer

_RISKY = re.compile(r"[=@\t\r]|[+-](?![0-9 ().,/-]*\Z)")
BOM: Final = b"\xef\xbb\xbf"


def geometry_columns(layer: Layer, view: View, storage: int) -> list[tuple[str, sql.Composable]]:
    """Names and SQL (of alias ``i``) of the columns that hold the geometry."""
    if not view.geometry:
        return []
    shape = shape_of(view, storage)
    if layer.definition.geometry != "Point":
        return [("wkt", sql.SQL("ST_AsText({}, {})").format(shape, digits(view)))]
    names = ("x", "y") if definition(view.crs.code).projected else ("lon", "lat")
    if view.crs.swap:
        names = (names[1], names[0])
    rounded = sql.SQL("round({}::numeric, {})::double precision")
    found: list[tuple[str, sql.Composable]] = [
        (name, rounded.format(sql.SQL(function).format(shape), digits(view)))
        for name, function in zip(names, ("ST_X({})", "ST_Y({})"), strict=True)
    ]
    if layer.definition.z != "none":
        found.append(("z", sql.SQL("ST_Z({})").format(sql.Identifier("i", "geom"))))
    return found


def write(names: Sequence[str], rows: Sequence[Sequence[Any]], kinds: Sequence[str]) -> bytes:
    """The file. ``kinds``: field types of the first columns; the rest holds geometry."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_STRINGS, lineterminator="\r\n")
    writer.writerow(names)
    texts = [n for n, kind in enumerate(kinds) if kind == "string"]
    moments = [n for n, kind in enumerate(kinds) if kind in ("date", "datetime")]
    flags = [n for n, kind in enumerate(kinds) if kind == "boolean"]
    for row in rows:
        cells = list(row)
        for n in texts:
            if cells[n] is not None and _RISKY.match(cells[n]):
                cells[n] = "'" + cells[n]
        for n in moments:
            if cells[n] is not None:
                cells[n] = cells[n].isoformat()
        for n in flags:
            if cells[n] is not None:
                cells[n] = "true" if cells[n] else "false"
        writer.writerow(cells)
    return BOM + out.getvalue().encode()
