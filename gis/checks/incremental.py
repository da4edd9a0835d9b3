"""An edit is judged at once, in its own transaction: only what it can affect (gis.checks.concern).

Features are read from the transaction, so that what is judged is what will be committed. What cannot be
judged at once is left to the next run, by name (bandoso.check_due).

What takes time is not geometry but the number of questions: everything an edit asks is sent at once (pipeline
mode), and a sound edit of one feature needs one answer and one row (bandoso.check_edit).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import batched
from typing import Any

import psycopg

from gis.checks.before import caused
from gis.checks.concern import Change, Concern, Known, Plan, known_of, made_of, merged, plan_of
from gis.checks.encode import PORTION
from gis.checks.judging import Judging
from gis.checks.model import Application, Finding
from gis.checks.registry import rules
from gis.checks.settle import FEW, look, rows_of, settle
from gis.checks.settle import write as write_few
from gis.checks.source import Box, MemorySource
from gis.checks.store import text_array
from gis.checks.window import Setting, Window
from gis.db.connect import connect
from gis.db.server import Database

#: Sends statements, and waits for none.
type Send = Callable[[psycopg.Connection[Any]], None]
#: The same for what is then judged; what it gives takes the answers. Both raise psycopg.Error.
type Ahead = Callable[[], Callable[[], None]]


@dataclass(frozen=True)
class Recheck:
    """What an edit did to the findings.

    ``new``: findings that were not known before, ``apps``: the application (Application.key) of each.
    ``again``: how many were. ``rejecting``: those of ``new`` about changed features whose application may not
    be broken by an edit (Application.refuses). ``deferred``: applications that a later run has to judge.
    """

    new: tuple[Finding, ...] = ()
    apps: tuple[str, ...] = ()
    again: int = 0
    mended: tuple[str, ...] = ()
    rejecting: tuple[Finding, ...] = ()
    deferred: tuple[str, ...] = ()


def recheck(
    connection: psycopg.Connection[Any],
    setting: Setting,
    changes: Sequence[Change],
    apps: Sequence[Application] | None = None,
    *,
    stepwise: bool = False,
    ahead: Ahead | None = None,
    last: list[Send] | None = None,
) -> Recheck:
    """Judge what ``changes``, made before in the same transaction, can affect, and update the findings in it.

    ``connection``: READ COMMITTED, in a transaction, in role bandoso_checker or with the owner's rights while
    this runs (restricted layers are read, findings written). ``apps``: default all of the catalogue.
    ``stepwise``: the edit is one request of several that belong together (Rule.awaits). ``ahead``: sends the
    changes themselves, so that they and what is read after them take one exchange. ``last``: what is written
    is left there, to be sent by the caller before the transaction ends (in the same role); None: it is
    written here. Waits for edits beside this one; never for a run, to which it leaves its windows. Raises
    psycopg.Error.
    """
    if not changes:
        return Recheck()
    known = known_of(setting)
    if apps is not None:
        known = made_of(setting, [Concern.of(app, setting) for app in apps])
    edit = _Edit(connection, setting, known)
    with connection.pipeline():
        take = ahead() if ahead is not None else None
        edit.ask(plan_of(known, edit.source, changes), changes)
    if take is not None:
        take()
    writes = edit.judge()
    result = edit.settle(_fids(changes), write=writes, stepwise=stepwise)
    edit.note(judged=writes)
    if last is None:
        edit.write()
    else:
        last += edit.writing
    if result.rejecting:
        mine = [
            (known.by_key[key], one)
            for key, one in zip(result.apps, result.new, strict=True)
            if any(one is other for other in result.rejecting)
        ]
        result = replace(result, rejecting=tuple(caused(connection, setting, changes, mine)))
    return result


def rehearse(setting: Setting) -> None:
    """Have at hand what the first edit of a process would wait seconds for: rules, tables, patterns."""
    known = known_of(setting)
    source = MemorySource(setting.catalogue, {})
    for one in known.concerns:
        if one.app.rule.scope == "local":
            window = Window((0.0, 0.0, 1.0, 1.0), source, setting, known.needs_of([one.app]))
            for _ in rules()[one.app.rule.id].run(window, one.app):
                pass


def clear_due(db: Database, setting: Setting) -> int:
    """Judge the windows that edits left while a run was writing; gives how many were judged."""
    with connect(db.owner_dsn, autocommit=False) as connection:
        rows = connection.execute(
            "SELECT app, minx, miny, maxx, maxy FROM bandoso.check_due WHERE minx IS NOT NULL LIMIT 1000"
        ).fetchall()
        if not rows:
            return 0
        known = known_of(setting)
        edit = _Edit(connection, setting, known)
        groups: dict[str, list[Box]] = {}
        for key, *box in rows:
            groups.setdefault(key, []).append((box[0], box[1], box[2], box[3]))
        plan = Plan([([known.by_key[k]], merged(b)) for k, b in groups.items() if k in known.by_key])
        with connection.pipeline():
            edit.ask(plan, ())
        if not edit.judge():
            return 0
        edit.settle({}, write=True)
        edit.note(judged=True)
        edit.write()
        connection.execute(
            "DELETE FROM bandoso.check_due AS d USING"
            " unnest(%s::text[], %s::float8[], %s::float8[], %s::float8[], %s::float8[])"
            " AS t (app, minx, miny, maxx, maxy) WHERE d.app = t.app AND d.minx = t.minx AND d.miny = t.miny"
            " AND d.maxx = t.maxx AND d.maxy = t.maxy",
            [list(column) for column in zip(*rows, strict=True)],
        )
        connection.commit()
        return len(rows)


class _Edit(Judging):
    """A judging, and what becomes of its findings: ``writing`` is what there is to send at the end."""

    def __init__(self, connection: psycopg.Connection[Any], setting: Setting, known: Known) -> None:
        super().__init__(connection, setting, known)
        self.writing: list[Send] = []

    def write(self) -> None:
        """Send ``writing``."""
        with self._connection.pipeline():
            for send in self.writing:
                send(self._connection)

    def settle(self, fids: Mapping[str, frozenset[int]], *, write: bool, stepwise: bool = False) -> Recheck:
        """Compare with the stored findings, and (``write``) have written what changed."""
        deferred = tuple(sorted(self._deferred))
        looked = [(keys, about) for keys, about in self._looked if not self._standing.isdisjoint(keys)]
        if not self._found and not self._known_in_windows and not looked:
            return Recheck(deferred=deferred)
        few = self._settle_few(looked, write) if len(self._found) <= FEW else None
        news, mended = few or self._settle_many(looked, write)
        new = [one for one, kind in zip(self._found, news, strict=True) if kind == "new"]
        return Recheck(
            new=tuple(found for _, found in new),
            apps=tuple(key for key, _ in new),
            again=len(news) - len(new),
            mended=mended,
            rejecting=tuple(
                found
                for key, found in new
                if _names(found, fids) and self._known.by_key[key].refuses(found.severity, stepwise=stepwise)
            ),
            deferred=deferred,
        )

    def _settle_few(
        self, looked: Sequence[tuple[list[str], list[str]]], write: bool
    ) -> tuple[list[str], tuple[str, ...]] | None:
        """What each found finding is, and the ids of what is mended; None when it is not for few."""
        encoder, connection = self._known.encoder, self._connection
        rows = rows_of([encoder.rows(0, self._found)] if self._found else [])
        known, ordinals = look(connection, self._judged, looked, rows)
        few = settle(rows, known, ordinals, self._setting.today)
        if few.moves or len(known) > FEW:
            return None
        if write:
            self.writing.append(partial(write_few, few=few, as_of=datetime.now(UTC)))
        return few.news, tuple(sorted(old.id for old in few.gone))

    def _settle_many(
        self, looked: Sequence[tuple[list[str], list[str]]], write: bool
    ) -> tuple[list[str], tuple[str, ...]]:
        """As _settle_few, set-wise in the database."""
        store, execute = self._store, self._connection.execute
        store.begin()
        for portion in batched(self._found, PORTION):
            store.stage(self._known.encoder.rows(0, portion))
        with self._connection.pipeline():
            store.look_in_boxes(self._judged)
            for keys, about in looked:
                store.look_at_features(keys, about)
            store.judge(self._setting.today, large=False)
            # Rows are numbered in the order in which they were staged.
            judged = execute("SELECT news FROM pg_temp.judged ORDER BY n")
            gone = execute("SELECT id FROM pg_temp.gone ORDER BY id")
            if write:
                store.write(None, datetime.now(UTC))
            news = [row[0] for row in judged.fetchall()]
            return news, tuple(row[0] for row in gone.fetchall())

    def note(self, *, judged: bool) -> None:
        """Have runs told what was judged here, or (not ``judged``: a run is writing) what is left to them."""
        due: list[tuple[str, Box | None]] = [
            (key, box)
            for key, boxes in self._deferred.items()
            for box in ([None] if boxes is None else boxes)
        ]
        if judged:
            rows: list[tuple[Any, ...]] = [
                (text_array(tuple(keys)), *box, None) for keys, box in self._judged if keys
            ]
            rows += [
                (text_array(tuple(keys)), None, None, None, None, about)
                for keys, about in self._looked
                if keys
            ]
            if rows:
                self._insert("check_edit (apps, minx, miny, maxx, maxy, about)", rows)
        else:
            due += [(key, box) for keys, box in self._judged for key in keys]
            due += [(key, None) for keys, _ in self._looked for key in keys]
        if due:
            unique = dict.fromkeys(due)
            self._insert(
                "check_due (app, minx, miny, maxx, maxy)", [(k, *(box or (None,) * 4)) for k, box in unique]
            )

    def _insert(self, into: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Have few rows written by one statement, which a later edit finds prepared."""
        places = f"({', '.join(['%s'] * len(rows[0]))})"
        insert = f"INSERT INTO bandoso.{into} VALUES "  # noqa: S608 - ours
        for some in batched(rows, 8):
            values = [value for row in some for value in row]
            query = (insert + ", ".join([places] * len(some))).encode()
            self.writing.append(partial(_execute, query=query, values=values))


def _execute(connection: psycopg.Connection[Any], query: bytes, values: Sequence[Any]) -> None:
    connection.execute(query, values)


def _fids(changes: Iterable[Change]) -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = {}
    for change in changes:
        found.setdefault(change.layer, set()).add(change.fid)
    return {layer: frozenset(fids) for layer, fids in found.items()}


def _names(found: Finding, fids: Mapping[str, frozenset[int]]) -> bool:
    return any(ref.fid in fids.get(ref.layer, ()) for ref in found.features)
