"""Makes changes: all of them or none, in one transaction, in the caller's role.

The order of things: attributes and geometry are checked against the layers; the touched rows are locked, in
one order for everybody; then the changeset is opened (its time is after the locks, so that times of a
feature never go back); versions are compared; rows are taken away, changed, made (a parcel that is split
leaves its number to its successor); the checks judge what was touched; commit. History is kept by triggers
(gis/db/sql/0010_history.sql).

Most edits are right, so all is sent without waiting for an answer that nobody needs yet, in three exchanges:
the rows are locked; they are written and what the checks read is read; what the checks say is written, the
answer is read, and all is committed. One that the database refuses is made anew, change by change, to say
which it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg import errors as pg

from gis.checks.concern import Change
from gis.checks.incremental import rehearse
from gis.checks.window import Setting
from gis.db.sql import CHECKER
from gis.edit import rows
from gis.edit.errors import Clash, Conflict, Missing, Rejected, Uncertain
from gis.edit.explain import Wanted, busy, forbidden, told
from gis.edit.geometry import city_box
from gis.edit.judge import judge
from gis.edit.model import Applied, Changeset, Create, Delete, Done, FeatureChange, Update
from gis.edit.plan import Plan, Step, plan_of
from gis.edit.session import Ask, Connection, EditorPool, editing, take_role
from gis.identity.principal import Grant, Principal
from layers.registry import Layer

LOG = logging.getLogger("bandoso.edit")

#: Times that a whole edit is made anew when it and another waited for each other. Every time rows are locked
#: and versions compared from the beginning, so nothing of the other one is overwritten.
_TRIES = 3

#: Sends the writing of some steps of a layer; gives what takes the answer. Raises psycopg.Error.
type _Write = Callable[[Layer, list[Step]], Callable[[], None]]
#: Run in the transaction before rows are locked; may raise to end it.
Begin = Callable[[Connection], None]
#: Sends, as the last thing of the transaction and in no certain role, for what is to be told; what it gives
#: takes the answer once all is stored (Applied.seen). May raise to end the transaction instead.
Look = Callable[[Connection, Applied], Callable[[], Any]]


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
    careful, attempts = isinstance(on, psycopg.Connection), 0
    while True:
        try:
            return _once(on, _Edit(setting, plan, principal, careful=careful), begin, look)
        except _Refused:
            careful = True
        except (pg.DeadlockDetected, pg.SerializationFailure):
            attempts += 1
            LOG.warning("an edit and another waited for each other (%d)", attempts)
            if attempts == _TRIES or isinstance(on, psycopg.Connection):
                raise busy() from None


def apply_as_operator(connection: Connection, setting: Setting, changeset: Changeset) -> Applied:
    """Make the changes with the rights of the database's owner, in the transaction that its connection is in.

    What bandoso.changeset_by_operator opened there before is the changeset. The checks judge as always.
    """
    everything = Principal(0, "operator", (Grant("admin", "", shared=True),))
    plan = plan_of(setting, everything, changeset)
    edit = _Edit(setting, plan, everything, careful=True)
    edit.ask(connection)
    last: list[Ask] = []
    applied = edit.run(connection, last)
    for send in last:
        send(connection)
    connection.execute("SELECT set_config('role', 'none', true)")
    return applied


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


#: More changes are worth a plan that knows how many they are (see gis.edit.session): 1,000 new poles took
#: 2.3 s without, and 1.2 s with it.
FEW: Final = 16


class _Refused(Exception):  # noqa: N818
    """The database refused some change of an edit, and the transaction with it."""


def _once(on: EditorPool | Connection, edit: _Edit, begin: Begin | None, look: Look | None) -> Applied:
    stored = False
    last: list[Ask] = []
    shown: list[Callable[[], Any]] = []
    try:
        with editing(on, edit.principal, edit.ask if begin is None else None, last) as connection:
            if begin is not None:
                begin(connection)
                edit.ask(connection)
            done = edit.run(connection, last)
            if look is not None:
                last.append(lambda connection: shown.append(look(connection, done)))
            stored = True
        return replace(done, seen=shown[0]()) if shown else done
    except psycopg.OperationalError as error:
        # whatever ends the connection while COMMIT is under way, the answer to it is lost
        if stored and (error.sqlstate or "")[:2] not in ("40", "55"):
            raise Uncertain from error
        raise
    except pg.LockNotAvailable:
        raise busy() from None
    except pg.ReadOnlySqlTransaction as error:
        known = told(error, next(iter(edit.plan.layers.values())), edit.setting.city)
        assert known is not None
        raise known from None


class _Edit:
    """One run in an open transaction. ``careful``: change by change, each answer awaited."""

    def __init__(self, setting: Setting, plan: Plan, principal: Principal, *, careful: bool) -> None:
        self.setting, self.plan, self.principal = setting, plan, principal
        self._careful = careful
        self._srid = setting.city.crs.storage
        self._locks: list[tuple[str, rows.Pending]] = []
        self._old: dict[tuple[str, int], rows.Row] = {}
        #: Id and time of the changeset, once all is written.
        self._opened: tuple[int, datetime] | None = None
        self._connection: Connection

    def ask(self, connection: Connection) -> None:
        """Lock what will change: rows of all layers, in the order of layers and ids."""
        self._connection = connection
        if len(self.plan.steps) > FEW:
            connection.execute("SELECT set_config('plan_cache_mode', 'auto', true)")
        for layer_id in sorted(self.plan.layers):
            fids = [s.fid for s in self.plan.steps_of(layer_id) if s.fid is not None and not s.new]
            if fids:
                self._locks.append((layer_id, rows.ask_lock(connection, self.plan.layers[layer_id], fids)))

    def run(self, connection: Connection, last: list[Ask]) -> Applied:
        """After ``ask``, all else, but for ``last``, which is to be sent before the transaction ends."""
        for layer_id, lock in self._locks:
            self._old.update({(layer_id, fid): row for fid, row in rows.locked(lock).items()})
        self._compare()
        self.plan.settle(self._old)
        self._number()
        if self._careful:
            self._make_carefully()
        changeset = self.plan.changeset
        lenient = changeset.lenient and all(map(self._stewarded, self.plan.steps))
        try:
            judged = judge(
                connection,
                self.setting,
                self._changes(),
                stepwise=changeset.stepwise,
                lenient=lenient,
                ahead=None if self._careful else self._send,
                last=last,
            )
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            if self._opened is not None:
                raise
            raise _Refused from error
        assert self._opened is not None
        if judged.rejecting:
            raise Rejected(judged.rejecting, judged.warnings)
        return Applied(*self._opened, tuple(map(self._done, self.plan.steps)), judged.warnings, lenient)

    def _stewarded(self, step: Step) -> bool:
        """Whether the caller is steward for whose the feature is and was."""
        old = self._old.get((step.layer.id, step.fid or 0))
        owners = {step.values.get("owner"), old.owner if old else None} - {None}
        return all(self.principal.is_steward(owner) for owner in owners)

    # --- what stands ---------------------------------------------------------------------------------

    def _compare(self) -> None:
        """Raises Forbidden, NotFoundError, or Conflict with all that were changed since."""
        missing = [s for s in self.plan.steps if not s.new and (s.layer.id, s.fid) not in self._old]
        if missing:
            self._may_not(missing)
        clashes = [Clash(s.change, None) for s in missing if _expected(s.change) is not None]
        lost = [s for s in missing if _expected(s.change) is None]
        for step in self.plan.steps:
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
        for layer_id, layer in self.plan.layers.items():
            steps = [s for s in missing if s.layer.id == layer_id]
            if not steps:
                continue
            seen = rows.seen(self._connection, layer, [s.fid for s in steps if s.fid is not None])
            wanted = [
                Wanted(*seen[s.fid], s.change.pointer) for s in steps if s.fid is not None and s.fid in seen
            ]
            if wanted:
                raise forbidden(self._connection, layer, self._srid, wanted)

    # --- writing -------------------------------------------------------------------------------------

    def _send(self) -> Callable[[], None]:
        """Open the changeset and write; gives what takes the answers."""
        opening = self._ask_open()
        taken = [ask(layer, some) for layer, some, ask in self._groups()]
        take_role(self._connection, CHECKER)

        def take() -> None:
            for one in taken:
                one()
            self._opened = _opened(opening)

        return take

    def _make_carefully(self) -> None:
        """The same, each answer awaited. Raises what says who may not, or what is wrong."""
        opening = self._ask_open()
        for layer, some, ask in self._groups():
            self._try(layer, some, ask)
        take_role(self._connection, CHECKER)
        self._opened = _opened(opening)

    def _ask_open(self) -> rows.Pending:
        changeset = self.plan.changeset
        return self._connection.execute(
            "SELECT bandoso.changeset_open(%s, %s, %s, %s), current_setting('bandoso.at')::timestamptz",
            [changeset.kind, changeset.comment, changeset.source, changeset.undoes],
        )

    def _number(self) -> None:
        """Ids for what is made, so that other features of the changeset can name it."""
        for layer_id, layer in self.plan.layers.items():
            made = [s for s in self.plan.steps_of(layer_id) if s.new and s.fid is None]
            if made:
                for step, fid in zip(made, rows.new_fids(self._connection, layer, len(made)), strict=True):
                    step.fid = fid
        self.plan.name_new()

    def _groups(self) -> Iterator[tuple[Layer, list[Step], _Write]]:
        """What is written at once, in order, and what sends it."""
        asks: list[tuple[type[FeatureChange], _Write]] = [
            (Delete, self._ask_delete),
            (Update, self._ask_update),
            (Create, self._ask_insert),
        ]
        for layer_id, layer in self.plan.layers.items():
            steps = self.plan.steps_of(layer_id)
            for kind, ask in asks:
                some = [s for s in steps if isinstance(s.change, kind)]
                if some:
                    yield layer, some, ask

    def _try(self, layer: Layer, steps: list[Step], ask: _Write) -> None:
        """Write, or say in words why it cannot be. A transaction that is to say more needs a savepoint."""
        try:
            with self._connection.transaction():
                ask(layer, steps)()
            return
        except pg.InsufficientPrivilege:
            pass
        except psycopg.Error as error:
            at = steps[0].change.pointer if len(steps) == 1 else self._culprit(layer, steps, error, ask)
            known = told(error, layer, self.setting.city, at)
            if known is None:
                raise
            raise known from None
        raise forbidden(self._connection, layer, self._srid, [self._wanted(s) for s in steps])

    def _culprit(self, layer: Layer, steps: list[Step], error: psycopg.Error, ask: _Write) -> str:
        """Place of the first of several changes that the database refuses: each is tried alone."""
        if not isinstance(error, pg.IntegrityError):
            return ""
        for step in steps:
            try:
                with self._connection.transaction():
                    ask(layer, [step])()
            except psycopg.Error:
                return step.change.pointer
        return ""

    def _wanted(self, step: Step) -> Wanted:
        old = self._old.get((step.layer.id, step.fid or 0))
        owner = step.values.get("owner") or (old.owner if old else "")
        shape = step.geometry if step.geometry is not None else old.geometry if old else None
        assert shape is not None
        return Wanted(owner, shape, step.change.pointer)

    def _ask_delete(self, layer: Layer, steps: list[Step]) -> Callable[[], None]:
        gone = rows.ask_delete(self._connection, layer, [s.fid for s in steps if s.fid is not None])

        def take() -> None:
            if gone.rowcount != len(steps):
                raise pg.InsufficientPrivilege("a policy kept rows")

        return take

    def _ask_update(self, layer: Layer, steps: list[Step]) -> Callable[[], None]:
        for step in steps:
            step.version = self._old[layer.id, step.fid or 0].version
        changed = [s for s in steps if s.values or s.geometry is not None]  # a patch may be of nothing
        pending = rows.ask_update(self._connection, layer, self._srid, _writes(changed))

        def take() -> None:
            versions = dict(row for answer in pending for row in answer.fetchall())
            if len(versions) != len(changed):
                raise pg.InsufficientPrivilege("a policy kept rows")
            for step in changed:
                step.version = versions[step.fid or 0]

        return take

    def _ask_insert(self, layer: Layer, steps: list[Step]) -> Callable[[], None]:
        rows.ask_insert(self._connection, layer, self._srid, _writes(steps))
        return lambda: None

    # --- what came of it -----------------------------------------------------------------------------

    def _changes(self) -> list[Change]:
        made = []
        for step in self.plan.steps:
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


def _opened(opening: rows.Pending) -> tuple[int, datetime]:
    row = opening.fetchone()
    assert row is not None
    # columns are worked out in their order: the second is what the function of the first has set
    return int(row[0]), row[1]


def _writes(steps: Sequence[Step]) -> list[rows.Write]:
    return [rows.Write(s.fid, s.values, s.geometry) for s in steps if s.fid is not None]


def _expected(change: FeatureChange) -> int | None:
    return None if isinstance(change, Create) else change.expected
