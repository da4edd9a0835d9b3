"""The few findings of an edit against those that are known: as gis.checks.store does it for many, but here,
with two questions to the database in the place of two dozen. Both come to the same end (a test holds them
to it).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from typing import Any

import orjson
import psycopg
from psycopg.sql import SQL, Composable, Identifier

from gis.checks.encode import COLUMNS
from gis.checks.source import Box
from gis.checks.store import PUBLIC, RESTRICTED, nearest_pairs, text_array, values_of_boxes
from gis.checks.store_sql import KEY, SHOWN, in_boxes, taken
from gis.db import sql as names

#: Findings, found and known together, up to which this is quicker.
FEW = 100
_ESCAPES = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}


@dataclass(frozen=True)
class Known:
    """A stored finding."""

    id: str
    restricted: bool
    base: str
    content: str
    app: str
    px: float
    py: float
    state: str
    first_seen: datetime
    accepted_reason: str | None
    accepted_until: date | None


@dataclass
class Few:
    """What became of a few findings: ``news`` (new or again) of each that was found."""

    news: list[str] = field(default_factory=list)
    writes: list[dict[str, Any]] = field(default_factory=list)
    gone: list[Known] = field(default_factory=list)
    #: A finding became public, or stopped being so: its row moves, which is left to gis.checks.store.
    moves: bool = False


def rows_of(encoded: Iterable[bytes]) -> list[dict[str, str | None]]:
    """Rows of gis.checks.encode by the names of their columns, as texts."""
    lines = [line for portion in encoded for line in portion.decode().split("\n") if line]
    return [dict(zip(COLUMNS, map(_plain, line.split("\t")), strict=True)) for line in lines]


def _plain(text: str) -> str | None:
    if text == "\\N":
        return None
    if "\\" not in text:
        return text
    parts, at = [], 0
    while at < len(text):
        pair = text[at : at + 2]
        parts.append(_ESCAPES.get(pair, text[at]))
        at += 2 if pair in _ESCAPES else 1
    return "".join(parts)


def look(
    connection: psycopg.Connection[Any],
    windows: Sequence[tuple[list[str], Box]],
    looked: Sequence[tuple[list[str], list[str]]],
    rows: Sequence[Mapping[str, str | None]],
) -> tuple[list[Known], dict[str, int]]:
    """The stored findings of applications in windows, and about features; and of each base (rule and
    features) that was found how many have it. Raises psycopg.Error."""
    values = values_of_boxes(windows)
    for number, (apps, about) in enumerate(looked):
        values |= {f"looked{number}": text_array(tuple(apps)), f"about{number}": about}
    with connection.pipeline():
        stored = connection.execute(_look(len(windows), len(looked)), values, binary=True)
        bases = connection.execute(_BASES, [list({row["base"] for row in rows})])
        found = [Known(row[0], row[1], str(row[2]), str(row[3]), *row[4:]) for row in stored.fetchall()]
        return found, {str(base): most for base, most in bases.fetchall()}


def settle(
    rows: Sequence[Mapping[str, str | None]], known: Sequence[Known], ordinals: Mapping[str, int], today: date
) -> Few:
    """Which is which, what is new, and what is to be written. The same steps as in store_sql."""
    pairs = _pairs(rows, known)
    few = Few()
    fresh: dict[str, list[int]] = defaultdict(list)
    for n, row in enumerate(rows):
        old = pairs.get(n)
        if old is None:
            few.news.append("new")
            fresh[str(row["base"])].append(n)
            continue
        few.news.append("new" if old.state == "mended" else "again")
        good = old.state == "accepted" and (old.accepted_until is None or old.accepted_until >= today)
        state = "accepted" if good else "open"
        few.moves |= old.restricted != (row["restricted"] == "t")
        if (state, row["content"], row["app"]) != (old.state, old.content, old.app):
            few.writes.append({**row, "made": "f", "id": old.id, "ordinal": None, "state": state})
    for base, some in fresh.items():
        # The first of a base has its plain name, others -2, -3 in the order of their places.
        some.sort(key=lambda n: (_at(rows[n]), str(rows[n]["content"]), n))
        for ordinal, n in enumerate(some, start=ordinals.get(base, 0) + 1):
            name = str(rows[n]["name"]) + ("" if ordinal == 1 else f"-{ordinal}")
            few.writes.append({**rows[n], "made": "t", "id": name, "ordinal": str(ordinal), "state": "open"})
    used = {old.id for old in pairs.values()}
    few.gone = [old for old in known if old.id not in used and old.state != "mended"]
    return few


def _pairs(rows: Sequence[Mapping[str, str | None]], known: Sequence[Known]) -> dict[int, Known]:
    """For each row the stored finding that it is."""
    found: dict[int, Known] = {}
    rows_by: dict[str, list[int]] = defaultdict(list)
    known_by: dict[str, list[Known]] = defaultdict(list)
    for n, row in enumerate(rows):
        rows_by[str(row["base"])].append(n)
    for old in known:
        known_by[old.base].append(old)
    for base in rows_by.keys() & known_by.keys():
        news, olds = rows_by[base], sorted(known_by[base], key=lambda old: old.id)
        if len(news) == len(olds) == 1:
            found[news[0]] = olds[0]
            continue
        # Of several, those at the same millimetre; of several there, in the order of what they say.
        places: dict[tuple[int, int], list[Known]] = defaultdict(list)
        for old in olds:
            places[_millimetre(old.px, old.py)].append(old)
        for n in sorted(news, key=lambda n: (str(rows[n]["content"]), n)):
            there = places.get(_millimetre(*_at(rows[n])))
            if there:
                found[n] = there.pop(0)
        by_id = {old.id: old for old in olds if old not in found.values()}
        left = [(n, *_at(rows[n])) for n in news if n not in found]
        found |= {
            n: by_id[name]
            for n, name in nearest_pairs(left, [(old.id, old.px, old.py) for old in by_id.values()])
        }
    return found


def _at(row: Mapping[str, str | None]) -> tuple[float, float]:
    return float(row["px"] or 0), float(row["py"] or 0)


def _millimetre(x: float, y: float) -> tuple[int, int]:
    return round(x * 1000), round(y * 1000)


def write(connection: psycopg.Connection[Any], few: Few, as_of: datetime) -> None:
    """Write what changed. Raises psycopg.Error."""
    for restricted, layer in ((False, PUBLIC), (True, RESTRICTED)):
        rows = [row for row in few.writes if (row["restricted"] == "t") == restricted]
        gone = [old.id for old in few.gone if old.restricted == restricted]
        made = {row["made"] == "t" for row in rows}
        if rows or gone:
            values = {"rows": orjson.dumps(rows).decode(), "gone": gone, "as_of": as_of}
            connection.execute(
                _write(layer, changes=False in made, makes=True in made, ends=bool(gone)), values
            )


@cache
def _look(windows: int, looked: int) -> bytes:
    """Stored findings of applications in so many windows, and about so many groups of features."""
    about = [
        SQL("k.app = ANY (%(looked{n})s::text[]) AND k.about && %(about{n})s".replace("{n}", str(n)))
        for n in range(looked)
    ]
    parts = [
        SQL(
            "SELECT k.id, k.restricted, k.base, k.content, k.app, k.px, k.py, f.state, f.first_seen,"
            " f.accepted_reason, f.accepted_until FROM bandoso.finding_key AS k"
            " JOIN {} AS f ON f.asset_id = k.id WHERE {}"
        ).format(Identifier(names.LAYERS, layer), SQL(" OR ").join([in_boxes(windows), *about]))
        for layer in (PUBLIC, RESTRICTED)
    ]
    return names.rendered(SQL(" UNION ALL ").join(parts))


_BASES = "SELECT base, max(ordinal) FROM bandoso.finding_key WHERE base = ANY (%s::uuid[]) GROUP BY base"

#: What a row says beside the columns of gis.checks.encode.
_TOLD = {"made": "boolean", "id": "text", "ordinal": "integer", "state": "text"}


@cache
def _write(layer: str, *, changes: bool, makes: bool, ends: bool) -> bytes:
    """All of an edit's findings of one layer (parameters: rows, gone, as_of): those that stand otherwise than
    before, new ones, mended ones. What there is none of is left out: a statement that writes no row calls the
    table's triggers all the same, and these tell whoever listens."""
    kinds = {**COLUMNS, **_TOLD}
    parts: dict[str, Composable] = {
        "table": Identifier(names.LAYERS, layer),
        "shown": names.columns(SHOWN),
        "shown_values": names.columns(SHOWN, "s"),
        "shown_taken": taken(SHOWN),
        "key": names.columns(KEY),
        "key_values": names.columns(KEY, "s"),
        "key_taken": taken(KEY),
    }
    writes = (_CHANGES if changes else ()) + (_MAKES if makes else ()) + (_ENDS if ends else ())
    found = SQL("s AS MATERIALIZED (SELECT {} FROM jsonb_to_recordset(%(rows)s::jsonb) AS t ({}))").format(
        SQL(", ").join(
            SQL("{0}::{1} AS {0}").format(Identifier(name), SQL(kind)) for name, kind in kinds.items()
        ),
        SQL(", ").join(SQL("{} text").format(Identifier(name)) for name in kinds),
    )
    steps = [one.format(**parts) for one in writes]
    before = [SQL("{} AS ({})").format(Identifier(f"w{n}"), one) for n, one in enumerate(steps[:-1])]
    with_found = [found] if changes or makes else []
    return names.rendered(SQL("WITH {} {}").format(SQL(", ").join([*with_found, *before]), steps[-1]))


#: How a finding's row is written, and then its key.
_CHANGES = (
    SQL(
        "UPDATE {table} AS f SET state = s.state, last_seen = %(as_of)s, version = f.version + 1,"
        " updated_at = now(), {shown_taken} FROM s WHERE NOT s.made AND f.asset_id = s.id"
    ),
    SQL("UPDATE bandoso.finding_key AS k SET {key_taken} FROM s WHERE NOT s.made AND k.id = s.id"),
)
_MAKES = (
    SQL(
        "INSERT INTO {table} (asset_id, state, first_seen, last_seen, {shown})"
        " SELECT s.id, s.state, %(as_of)s, %(as_of)s, {shown_values} FROM s WHERE s.made ORDER BY s.id"
    ),
    SQL(
        "INSERT INTO bandoso.finding_key (id, base, ordinal, {key})"
        " SELECT s.id, s.base, s.ordinal, {key_values} FROM s WHERE s.made"
    ),
)
_ENDS = (
    SQL(
        "UPDATE {table} AS f SET state = 'mended', version = f.version + 1, updated_at = now(),"
        " last_seen = greatest(f.last_seen, (SELECT a.as_of FROM bandoso.finding_key AS k"
        "  JOIN bandoso.check_app AS a ON a.app = k.app WHERE k.id = f.asset_id))"
        " WHERE f.asset_id = ANY (%(gone)s)"
    ),
    SQL("UPDATE bandoso.finding_key SET mended_run = NULL WHERE id = ANY (%(gone)s)"),
)
