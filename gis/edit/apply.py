"""Makes changes: all of them or none, in one transaction, in the caller's role.

The order of things: attributes and geometry are checked against the layers; the touched rows are locked, in
one order for everybody; then the changeset is opened (its time is after the locks, so that times of a
feature never go back); versions are compared; rows are taken away, changed, made (a parcel that is split
leaves its number to its successor); the checks judge what was touched; commit. History is kept by triggers
(gis/db/sql/0010_history.sql).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import psycopg
from psycopg import errors as pg

from gis.checks.concern import Change
from gis.checks.incremental import rehearse
from gis.checks.window import Setting
from gis.edit import rows
from gis.edit.errors import Clash, Conflict, Missing, Rejected, Uncertain
from gis.edit.explain import Wanted, busy, forbidden, told
from gis.edit.geometry import city_box
from gis.edit.judge import judge
from gis.edit.model import Applied, Changeset, Create, Delete, Done, FeatureChange, Update
from gis.edit.plan import Plan, Step, plan_of
from gis.edit.session import Connection, EditorPool, editing
from gis.identity.principal import Grant, Principal
from layers.registry import Layer

LOG = logging.getLogger("bandoso.edit")

#: Times that a whole edit is made anew when it and another waited for each other. Every time rows are locked
#: and versions compared from the beginning, so nothing of the other one is overwritten.
_TRIES = 3

#: Run in the transaction before rows are locked; may raise to end it.
Begin = Callable[[Connection], None]
#: Run in the transaction when all is judged; what it gives is Applied.seen.
Look = Callable[[Connection, Applied], Any]


def apply(
    on: EditorPool | Connection,
    principal: Principal,
    setting: Setting,
    changeset: Changeset,
    *,
    begin: Begin | None = None,
    look: Look | None = None,
) -> Applied:
    """Make the changes for ``principal``. ``setting.catalogue`` must hold all layers, also restricted ones.

    Raises the errors of gis.edit.errors, and psycopg.Error for what is no fault of the editor's; nothing
    is stored then (but see Uncertain).
    """
    plan = plan_of(setting, principal, changeset)
    for attempt in range(1, _TRIES + 1):
        try:
            return _once(on, principal, setting, plan, begin, look)
        except (pg.DeadlockDetected, pg.SerializationFailure):
            LOG.warning("an edit and another waited for each other (%d)", attempt)
            if attempt == _TRIES or isinstance(on, psycopg.Connection):
                raise busy() from None
    raise AssertionError


def apply_as_operator(connection: Connection, setting: Setting, changeset: Changeset) -> Applied:
    """Make the changes with the rights of the database's owner, in the transaction that its connection is in.

    What bandoso.changeset_by_operator opened there before is the changeset. The checks judge as always.
    """
    everything = Principal(0, "operator", (Grant("admin", "", shared=True),))
    plan = plan_of(setting, everything, changeset)
    return _Edit(connection, setting, plan, everything).run(None, None)


def warm(on: EditorPool, setting: Setting) -> None:
    """Have at hand what the first edit would wait seconds for: the rules, a connection, PROJ."""
    rehearse(setting)
    city_box(setting.city)
    with on.connection() as connection:
        connection.execute(
            "SELECT ST_IsValid(ST_Buffer(ST_SetSRID(ST_MakePoint(600000, 1190000), %(srid)s), 1)),"
            " ST_AsGeoJSON(ST_Transform(ST_SetSRID(ST_MakePoint(600000, 1190000), %(srid)s), 4326))",
            {"srid": setting.city.crs.storage},
        )


def _once(
    on: EditorPool | Connection,
    principal: Principal,
    setting: Setting,
    plan: Plan,
    begin: Begin | None,
    look: Look | None,
) -> Applied:
    stored = False
    try:
        with editing(on, principal) as connection:
            done = _Edit(connection, setting, plan, principal).run(begin, look)
            stored = True
        return done
    except psycopg.OperationalError as error:
        # whatever ends the connection while COMMIT is under way, the answer to it is lost
        if stored and (error.sqlstate or "")[:2] not in ("40", "55"):
            raise Uncertain from error
        raise
    except pg.LockNotAvailable:
        raise busy() from None
    except pg.ReadOnlySqlTransaction as error:
        known = told(error, next(iter(plan.layers.values())), setting.city)
        assert known is not None
        raise known from None


class _Edit:
    """One run in an open transaction."""

    def __init__(self, connection: Connection, setting: Setting, plan: Plan, principal: Principal) -> None:
        self._connection, self._setting, self._plan = connection, setting, plan
        self._principal = principal
        self._srid = setting.city.crs.storage
        self._old: dict[tuple[str, int], rows.Row] = {}
        self._versions: dict[int, int] = {}

    def run(self, begin: Begin | None, look: Look | None) -> Applied:
        if begin is not None:
            begin(self._connection)
        self._lock()
        self._compare()
        self._plan.settle(self._old)
        opened, at = self._open()
        self._number()
        for layer_id, layer in self._plan.layers.items():
            self._write(layer, self._plan.steps_of(layer_id))
        changeset = self._plan.changeset
        lenient = changeset.lenient and all(map(self._stewarded, self._plan.steps))
        judged = judge(
            self._connection,
            self._setting,
            self._changes(),
            stepwise=changeset.stepwise,
            lenient=lenient,
        )
        if judged.rejecting:
            raise Rejected(judged.rejecting, judged.warnings)
        applied = Applied(opened, at, tuple(map(self._done, self._plan.steps)), judged.warnings, lenient)
        return applied if look is None else replace(applied, seen=look(self._connection, applied))

    def _stewarded(self, step: Step) -> bool:
        """Whether the caller is steward for whose the feature is and was."""
        old = self._old.get((step.layer.id, step.fid or 0))
        owners = {step.values.get("owner"), old.owner if old else None} - {None}
        return all(self._principal.is_steward(owner) for owner in owners)

    # --- what stands ---------------------------------------------------------------------------------

    def _lock(self) -> None:
        """Rows of all layers, in the order of layers and ids."""
        for layer_id in sorted(self._plan.layers):
            fids = [s.fid for s in self._plan.steps_of(layer_id) if s.fid is not None and not s.new]
            if fids:
                found = rows.lock(self._connection, self._plan.layers[layer_id], fids)
                self._old.update({(layer_id, fid): row for fid, row in found.items()})

    def _compare(self) -> None:
        """Raises Forbidden, NotFoundError, or Conflict with all that were changed since."""
        missing = [s for s in self._plan.steps if not s.new and (s.layer.id, s.fid) not in self._old]
        if missing:
            self._may_not(missing)
        clashes = [Clash(s.change, None) for s in missing if _expected(s.change) is not None]
        lost = [s for s in missing if _expected(s.change) is None]
        for step in self._plan.steps:
            row = self._old.get((step.layer.id, step.fid or 0))
            expected = _expected(step.change)
            if row is not None and not step.new and expected is not None and row.version != expected:
                clashes.append(Clash(step.change, row.version))
        if clashes:
            raise Conflict(clashes)
        if lost:
            raise Missing([s.change for s in lost])

    def _may_not(self, missing: Sequence[Step]) -> None:
        """Raises Forbidden for those that could not be locked because the caller may not change them."""
        for layer_id, layer in self._plan.layers.items():
            steps = [s for s in missing if s.layer.id == layer_id]
            if not steps:
                continue
            seen = rows.seen(self._connection, layer, [s.fid for s in steps if s.fid is not None])
            wanted = [
                Wanted(*seen[s.fid], s.change.pointer) for s in steps if s.fid is not None and s.fid in seen
            ]
            if wanted:
                raise forbidden(self._connection, layer, self._srid, wanted)

    def _open(self) -> tuple[int, datetime]:
        changeset = self._plan.changeset
        row = self._connection.execute(
            "SELECT bandoso.changeset_open(%s, %s, %s, %s), current_setting('bandoso.at')::timestamptz",
            [changeset.kind, changeset.comment, changeset.source, changeset.undoes],
        ).fetchone()
        assert row is not None
        # the setting is read before the function has made it, where both stand in one row
        return int(row[0]), row[1]

    def _number(self) -> None:
        """Ids for what is made, so that other features of the changeset can name it."""
        for layer_id, layer in self._plan.layers.items():
            made = [s for s in self._plan.steps_of(layer_id) if s.new and s.fid is None]
            if made:
                for step, fid in zip(made, rows.new_fids(self._connection, layer, len(made)), strict=True):
                    step.fid = fid
        self._plan.name_new()

    # --- writing -------------------------------------------------------------------------------------

    def _write(self, layer: Layer, steps: Sequence[Step]) -> None:
        kinds: list[tuple[type[FeatureChange], Callable[[list[Step]], None]]] = [
            (Delete, lambda some: self._delete(layer, some)),
            (Update, lambda some: self._update(layer, some)),
            (Create, lambda some: rows.insert(self._connection, layer, self._srid, _writes(some))),
        ]
        for kind, write in kinds:
            some = [s for s in steps if isinstance(s.change, kind)]
            if some:
                self._try(layer, some, write)

    def _try(self, layer: Layer, steps: list[Step], write: Callable[[list[Step]], None]) -> None:
        """Write, or say in words why it cannot be. A transaction that is to say more needs a savepoint."""
        try:
            with self._connection.transaction():
                write(steps)
            return
        except pg.InsufficientPrivilege:
            pass
        except psycopg.Error as error:
            at = steps[0].change.pointer if len(steps) == 1 else self._culprit(steps, error, write)
            known = told(error, layer, self._setting.city, at)
            if known is None:
                raise
            raise known from None
        raise forbidden(self._connection, layer, self._srid, [self._wanted(s) for s in steps])

    def _culprit(self, steps: list[Step], error: psycopg.Error, write: Callable[[list[Step]], None]) -> str:
        """Place of the first of several changes that the database refuses: each is tried alone."""
        if not isinstance(error, pg.IntegrityError):
            return ""
        for step in steps:
            try:
                with self._connection.transaction():
                    write([step])
            except psycopg.Error:
                return step.change.pointer
        return ""

    def _wanted(self, step: Step) -> Wanted:
        old = self._old.get((step.layer.id, step.fid or 0))
        owner = step.values.get("owner") or (old.owner if old else "")
        shape = step.geometry if step.geometry is not None else old.geometry if old else None
        assert shape is not None
        return Wanted(owner, shape, step.change.pointer)

    def _delete(self, layer: Layer, steps: list[Step]) -> None:
        gone = rows.delete(self._connection, layer, [s.fid for s in steps if s.fid is not None])
        if gone != len(steps):
            raise pg.InsufficientPrivilege("a policy kept rows")

    def _update(self, layer: Layer, steps: list[Step]) -> None:
        for step in steps:
            step.version = self._old[layer.id, step.fid or 0].version
        changed = [s for s in steps if s.values or s.geometry is not None]  # a patch may be of nothing
        versions = rows.update(self._connection, layer, self._srid, _writes(changed))
        if len(versions) != len(changed):
            raise pg.InsufficientPrivilege("a policy kept rows")
        for step in changed:
            step.version = versions[step.fid or 0]

    # --- what came of it -----------------------------------------------------------------------------

    def _changes(self) -> list[Change]:
        made = []
        for step in self._plan.steps:
            assert step.fid is not None
            old = self._old.get((step.layer.id, step.fid))
            before = None if old is None or step.new else old.geometry
            after = None if isinstance(step.change, Delete) else step.geometry
            if after is None and isinstance(step.change, Update):
                after = before
            # what an edit does not write cannot break a rule: only rules that read what it wrote are judged
            written = frozenset(step.values) if isinstance(step.change, Update) else None
            made.append(Change(step.layer.id, step.fid, before, after, written))
        return made

    def _done(self, step: Step) -> Done:
        assert step.fid is not None
        change = step.change
        if isinstance(change, Create):
            return Done("c", step.layer.id, step.fid, change.version, change.placeholder)
        if isinstance(change, Delete):
            return Done("d", step.layer.id, step.fid, self._old[step.layer.id, step.fid].version)
        return Done("u", step.layer.id, step.fid, step.version)


def _writes(steps: Sequence[Step]) -> list[rows.Write]:
    return [rows.Write(s.fid, s.values, s.geometry) for s in steps if s.fid is not None]


def _expected(change: FeatureChange) -> int | None:
    return None if isinstance(change, Create) else change.expected
