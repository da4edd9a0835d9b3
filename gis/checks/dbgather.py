"""All that an edit reads around itself, in one statement.

Half of an edit's time was not geometry but statements: a dozen of layers around it, most of them empty there,
each with its own parsing, execution and answer. Here each reading is a branch of one UNION ALL, whose columns
lie in slots by their kind. The text is made once for each kind of edit, and its plan is kept by the
connection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import psycopg
from psycopg.sql import SQL, Composable, Composed, Literal

from gis.checks.dbrows import Columns, column_text, features_of_columns, kinds_of
from gis.checks.features import Features
from gis.checks.source import SYSTEM_COLUMNS, Box, bounded, column_kind, empty
from gis.db import sql as names
from layers.registry import Catalogue, Layer

#: Branches of one statement; what is more is sent with the next.
MOST = 48
#: Statements and the like that are kept for a catalogue; edits of a few features have some hundred kinds.
MOST_KEPT = 2_000
#: Kinds of columns and the types of their slots, in order; before them in a row: the number of its branch,
#: fid, asset id, owner, geometry.
_SLOTS = {"number": "double precision", "time": "bigint", "boolean": "boolean", "text": "text"}
_HEAD = ("fid", "asset_id", "owner", "geom")

#: A reading that was asked for: its statement and its branch.
Handle = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Branch:
    """A reading. ``box``: number of the box that it is in; None: of certain fids. ``only``: not features are
    wanted, but whether one of them holds this condition."""

    layer: str
    columns: tuple[str, ...]
    box: int | None
    only: str | None = None
    values: int = 0


@dataclass(frozen=True)
class _Statement:
    """A text, and for each branch the places of its columns in a row, and their kinds."""

    text: bytes
    places: tuple[tuple[int, ...], ...]
    kinds: tuple[tuple[str, ...], ...]


@dataclass
class _Sent:
    statement: _Statement
    cursor: psycopg.Cursor[Any]
    rows: dict[int, list[tuple[Any, ...]]] | None = None


class Gathering:
    """Readings that are sent together on the connection of an edit, and then taken one by one.

    ``statements``: those that were made for this catalogue before. Raises psycopg.Error.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        catalogue: Catalogue,
        srid: int,
        statements: dict[Any, Any],
    ) -> None:
        self._connection, self._catalogue, self._srid = connection, catalogue, srid
        self._statements = statements
        self._branches: list[_Branch] = []
        self._boxes: dict[Box, int] = {}
        self._values: list[Any] = []
        self._sent: list[_Sent] = []

    # --- asking --------------------------------------------------------------------------------------

    def in_box(self, layer: str, box: Box, columns: tuple[str, ...]) -> Handle:
        """Ask for features in about ``box``."""
        return self._add(_Branch(layer, columns, self._number(box)))

    def picked(self, layer: str, fids: Sequence[int], columns: tuple[str, ...]) -> Handle:
        """Ask for the features of these ids."""
        self._values.append([int(fid) for fid in fids])
        return self._add(_Branch(layer, columns, None))

    def any_in(self, layer: str, box: Box, only: SQL, values: Sequence[float] = ()) -> Handle:
        """Ask whether a feature in about ``box`` holds a condition of SQL ({0}, {1} ... are ``values``)."""
        self._values += values
        return self._add(_Branch(layer, (), self._number(box), only.as_string(None), len(values)))

    def _number(self, box: Box) -> int:
        return self._boxes.setdefault(box, len(self._boxes))

    def _add(self, branch: _Branch) -> Handle:
        handle = len(self._sent), len(self._branches)
        self._branches.append(branch)
        if len(self._branches) == MOST:
            self.send()
        return handle

    def send(self) -> None:
        """Send what was asked for. In pipeline mode this waits for nothing."""
        if not self._branches:
            return
        key = ("gather", len(self._boxes), *self._branches)
        statement = self._statements.get(key)
        if statement is None:
            if len(self._statements) > MOST_KEPT:  # every large changeset has a kind of its own
                self._statements.clear()
            statement = self._statements[key] = self._made()
        corners = [corner for box in self._boxes for corner in bounded(box)]
        cursor = psycopg.RawCursor(self._connection)
        cursor.execute(statement.text, [self._srid, *corners, *self._values], binary=True)
        self._sent.append(_Sent(statement, cursor))
        self._branches, self._boxes, self._values = [], {}, []

    # --- taking --------------------------------------------------------------------------------------

    def take(self, handle: Handle, layer: Layer, columns: Sequence[str]) -> Features:
        """The features of a reading, in the order of asset ids (that of their bytes, as in every table)."""
        rows = self._rows(handle)
        if not rows:  # as of most layers around an edit
            key = ("none", layer.id, tuple(columns))
            none: Features | None = self._statements.get(key)
            if none is None:
                none = self._statements[key] = empty(layer, columns)
            return none
        rows.sort(key=itemgetter(2))
        statement, branch = self._sent[handle[0]].statement, handle[1]
        held = Columns(columns, statement.kinds[branch], statement.places[branch])
        return features_of_columns(layer, held, list(zip(*rows, strict=True)))

    def holds(self, handle: Handle) -> bool:
        """The answer to ``any_in``."""
        return bool(self._rows(handle))

    def _rows(self, handle: Handle) -> list[tuple[Any, ...]]:
        if handle[0] == len(self._sent):
            self.send()
        sent = self._sent[handle[0]]
        if sent.rows is None:
            sent.rows = {}
            for row in sent.cursor.fetchall():
                sent.rows.setdefault(row[0], []).append(row)
        return sent.rows.get(handle[1], [])

    # --- the statement -------------------------------------------------------------------------------

    def _made(self) -> _Statement:
        slots = [self._slots(branch) for branch in self._branches]
        widths = dict.fromkeys(_SLOTS, 0)
        for some in slots:
            for kind, slot in some.values():
                widths[kind] = max(widths[kind], slot + 1)
        starts, start = {}, 1 + len(_HEAD)
        for kind, width in widths.items():
            starts[kind] = start
            start += width
        places = tuple(
            tuple(
                1 + _HEAD.index(name) if name in SYSTEM_COLUMNS else starts[some[name][0]] + some[name][1]
                for name in branch.columns
            )
            for branch, some in zip(self._branches, slots, strict=True)
        )
        free = iter(range(2 + 4 * len(self._boxes), 1_000_000))
        parts = [
            self._part(number, branch, some, widths, free)
            for number, (branch, some) in enumerate(zip(self._branches, slots, strict=True))
        ]
        kinds = tuple(kinds_of(self._catalogue.layers[b.layer], b.columns) for b in self._branches)
        return _Statement(names.rendered(SQL(" UNION ALL ").join(parts)), places, kinds)

    def _slots(self, branch: _Branch) -> dict[str, tuple[str, int]]:
        """Kind and slot of each of the branch's columns, but for those that every row has."""
        used = dict.fromkeys(_SLOTS, 0)
        found = {}
        for name in branch.columns:
            if name not in SYSTEM_COLUMNS:
                kind = column_kind(self._catalogue.layers[branch.layer], name)
                found[name] = kind, used[kind]
                used[kind] += 1
        return found

    def _part(
        self,
        number: int,
        branch: _Branch,
        slots: dict[str, tuple[str, int]],
        widths: dict[str, int],
        free: Iterator[int],
    ) -> Composed:
        layer = self._catalogue.layers[branch.layer]
        table = names.table(layer)
        if branch.box is None:
            where = SQL(f"fid = ANY (${next(free)}::bigint[])")
        else:
            corners = ", ".join(f"${2 + 4 * branch.box + n}" for n in range(4))
            where = SQL(f"geom OPERATOR(public.&&) public.ST_MakeEnvelope({corners}, $1::integer)")
        if branch.only is None:
            head: list[Composable] = [
                *map(names.column, _HEAD[:-1]),
                SQL("public.ST_AsBinary({})").format(names.column(_HEAD[-1])),
            ]
            source = SQL(" FROM {} WHERE {}").format(table, where)
        else:
            head = [SQL(f"NULL::{kind}") for kind in ("bigint", "text", "text", "bytea")]
            values = [SQL(f"${next(free)}::double precision") for _ in range(branch.values)]
            source = SQL(" WHERE EXISTS (SELECT FROM {} WHERE {} AND {})").format(
                table, where, SQL(branch.only).format(*values)
            )
        held = {place: column_text(layer, name) for name, place in slots.items()}
        shown = [
            held.get((kind, slot), SQL(f"NULL::{_SLOTS[kind]}"))
            for kind, width in widths.items()
            for slot in range(width)
        ]
        return (
            SQL("SELECT {}::smallint, {}").format(Literal(number), SQL(", ").join([*head, *shown])) + source
        )
