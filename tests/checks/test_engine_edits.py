"""Edits judged at once leave the findings that a run over the whole city would leave; and edits and runs do
not overwrite each other's findings."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import psycopg
import pytest
import shapely
from psycopg.sql import SQL, Identifier

from gis.checks import incremental, judging
from gis.checks.concern import Change, known_of, merged
from gis.checks.incremental import Recheck, clear_due, recheck
from gis.checks.locks import hold_alone
from gis.checks.model import Outcome
from gis.city import City
from gis.db.server import Database
from layers.registry import Catalogue
from tests.checks.engine_city import CheckedCity, fill, table

#: What is edited: parcels and buildings, a network with nodes, roads, and reference layers of others.
LAYERS = (
    "cadastre_parcel", "cadastre_building", "water_pipe", "water_valve", "drainage_conduit",
    "drainage_manhole", "power_line", "power_support", "base_road", "base_building", "telecom_duct",
    "power_meter",
)  # fmt: skip


@pytest.fixture(scope="module")
def checked(module_db: Database, city: City, catalogue: Catalogue) -> CheckedCity:
    found = fill(module_db, city, catalogue)
    found.run(workers=2)
    return found


class Editor:
    """Changes features in one transaction and has them judged."""

    def __init__(self, checked: CheckedCity, seed: int) -> None:
        self.checked, self.random = checked, random.Random(seed)
        self.connection = psycopg.connect(checked.db.owner_dsn)

    def feature(self, layer: str) -> tuple[int, shapely.Geometry]:
        row = self.connection.execute(
            SQL("SELECT fid, ST_AsBinary(geom) FROM {} ORDER BY md5(asset_id || %s) LIMIT 1").format(
                table(layer)
            ),
            [str(self.random.random())],
        ).fetchone()
        assert row is not None
        return row[0], shapely.from_wkb(row[1])

    def put(self, layer: str, fid: int, shape: shapely.Geometry) -> None:
        self.connection.execute(
            SQL("UPDATE {} SET geom = ST_SetSRID(%s::geometry, ST_SRID(geom)) WHERE fid = %s").format(
                table(layer)
            ),
            [shapely.to_wkb(shape), fid],
        )

    def edit(self, layer: str) -> Change:
        fid, old = self.feature(layer)
        way = self.random.choice(["vertex", "shift", "delete", "copy", "status", "attribute"])
        if way == "delete":
            self.connection.execute(SQL("DELETE FROM {} WHERE fid = %s").format(table(layer)), [fid])
            return Change(layer, fid, old, None)
        if way == "status":
            self.connection.execute(
                SQL("UPDATE {} SET status = 'removed' WHERE fid = %s").format(table(layer)), [fid]
            )
            return Change(layer, fid, old, old, frozenset({"status"}))
        if way == "attribute":
            return Change(layer, fid, old, old, frozenset({self.other_value(layer, fid)}))
        if way == "copy":
            new = shapely.transform(old, lambda xyz: xyz + self.step(xyz, 0.3), include_z=old.has_z)
            row = self.connection.execute(
                SQL(
                    "INSERT INTO {} (owner, geom) SELECT owner, ST_SetSRID(%s::geometry, ST_SRID(geom))"
                    " FROM {} WHERE fid = %s RETURNING fid"
                ).format(table(layer), table(layer)),
                [shapely.to_wkb(new), fid],
            ).fetchone()
            assert row is not None
            return Change(layer, row[0], None, new)
        if way == "shift":
            new = shapely.transform(old, lambda xyz: xyz + self.step(xyz, 2.0), include_z=old.has_z)
        else:
            new = shapely.transform(old, self.one_vertex, include_z=old.has_z)
        self.put(layer, fid, new)
        return Change(layer, fid, old, new, frozenset())

    def other_value(self, layer: str, fid: int) -> str:
        """Give an attribute, which is named, the value of another feature, or none."""
        fields = [f for f in self.checked.setting.catalogue.layers[layer].own_fields if not f.required]
        name = self.random.choice(fields).name
        self.connection.execute(
            SQL(
                "UPDATE {0} SET {1} = (SELECT {1} FROM {0} ORDER BY md5(asset_id || %s) LIMIT 1)"
                " WHERE fid = %s"
            ).format(table(layer), Identifier(name)),
            [str(self.random.random()), fid],
        )
        return name

    def step(self, xyz: np.ndarray, by: float) -> np.ndarray:
        return np.array([self.random.uniform(-by, by), self.random.uniform(-by, by), 0.0])[: xyz.shape[1]]

    def one_vertex(self, xyz: np.ndarray) -> np.ndarray:
        moved = xyz.copy()
        # The first vertex of a ring is its last one, too.
        index = self.random.randrange(1, len(xyz) - 1) if len(xyz) > 3 else 0
        moved[index] += self.step(xyz, 0.5)
        return moved

    def judge(self, changes: list[Change]) -> Recheck:
        return recheck(self.connection, self.checked.setting, changes)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_edits_leave_what_a_run_would_leave(checked: CheckedCity, seed: int) -> None:
    editor = Editor(checked, seed)
    new = mended = 0
    deferred: set[str] = set()
    for layer in LAYERS:
        changes = [editor.edit(layer) for _ in range(editor.random.choice([1, 1, 3]))]
        done = editor.judge(changes)
        editor.connection.commit()
        new, mended = new + len(done.new), mended + len(done.mended)
        deferred |= set(done.deferred)
    editor.connection.close()
    assert new > 0
    due = {row[0] for row in checked.execute("SELECT DISTINCT app FROM bandoso.check_due")}
    assert due == deferred
    apps = [app for app in checked.apps() if app.key not in deferred]
    before = checked.table()
    outcome = checked.run(apps=apps, workers=2)
    after = checked.table()
    assert [row for row in after if row not in before] == []
    assert [row for row in before if row not in after] == []
    assert (outcome.new, outcome.mended) == (0, 0)
    # What was left to a run is cleared by it.
    checked.run(apps=[app for app in checked.apps() if app.key in deferred] or apps[:1])
    assert checked.execute("SELECT count(*) FROM bandoso.check_due") == [(0,)]


def test_heights_and_clearances_are_judged_by_what_changed(checked: CheckedCity) -> None:
    """A pipe that loses its heights, neighbours that leave it, and a pipe that comes near others: each edit
    looks at little, and a run finds nothing else."""
    editor = Editor(checked, 31)
    fid, old = editor.feature("water_pipe")

    def put(layer: str, one: int, before: shapely.Geometry, after: shapely.Geometry) -> Recheck:
        editor.put(layer, one, after)
        done = editor.judge([Change(layer, one, before, after, frozenset())])
        editor.connection.commit()
        rules = ("GEN-08", "XLY-01", "XLY-03", "XLY-04")
        due = {row[0] for row in checked.execute("SELECT app FROM bandoso.check_due")}
        assert not any(key.startswith(rules) for key in due)
        before_run = checked.table()
        outcome = checked.run(*rules)
        assert (outcome.new, outcome.mended, checked.table()) == (0, 0, before_run)
        return done

    def moved(shape: shapely.Geometry, x: float, y: float) -> shapely.Geometry:
        return shapely.transform(shape, lambda xyz: xyz + [x, y, 0.0][: xyz.shape[1]], include_z=shape.has_z)

    flat = shapely.force_2d(old)
    done = put("water_pipe", fid, old, flat)
    assert [one.rule for one in done.new if one.rule == "GEN-08"] == ["GEN-08"]
    put("water_pipe", fid, flat, moved(flat, 0.4, 0.0))
    rows = editor.connection.execute(
        SQL(
            "SELECT fid, ST_AsBinary(geom) FROM {} WHERE ST_NDims(geom) = 3"
            " AND ST_DWithin(geom, ST_SetSRID(%s::geometry, ST_SRID(geom)), 150) ORDER BY fid LIMIT 2"
        ).format(table("water_pipe")),
        [shapely.to_wkb(flat)],
    ).fetchall()
    away, near = [(row[0], shapely.from_wkb(row[1])) for row in rows]
    put("water_pipe", away[0], away[1], moved(away[1], 700.0, 0.0))
    put("water_pipe", near[0], near[1], moved(near[1], 0.003, 0.0))
    # Along another pipe, half a metre beside it; and back.
    one, shape = editor.feature("drainage_conduit")
    ends = shapely.get_coordinates(shape, include_z=True)[[0, -1]]
    beside = shapely.LineString(ends + [0.3, 0.3, 0.0][: ends.shape[1]])
    done = put("water_pipe", near[0], moved(near[1], 0.003, 0.0), beside)
    assert any(found.rule in ("XLY-03", "XLY-04") for found in done.new)
    done = put("drainage_conduit", one, shape, moved(shape, 40.0, 40.0))
    done = put("water_pipe", near[0], beside, near[1])
    editor.connection.close()


def moved_parcel(checked: CheckedCity, connection: psycopg.Connection, number: int = 700) -> list[Change]:
    """A parcel moved by half a metre: it overlaps a neighbour, and leaves a gap."""
    row = connection.execute(
        "SELECT fid, ST_AsBinary(geom) FROM layer.cadastre_parcel ORDER BY asset_id OFFSET %s LIMIT 1",
        [number],
    ).fetchone()
    assert row is not None
    old = shapely.from_wkb(row[1])

    new = shapely.transform(old, lambda xy: xy + np.array([0.4, 0.3]))
    connection.execute(
        "UPDATE layer.cadastre_parcel SET geom = ST_SetSRID(%s::geometry, ST_SRID(geom)) WHERE fid = %s",
        [shapely.to_wkb(new), row[0]],
    )
    return [Change("cadastre_parcel", row[0], old, new)]


def test_the_checker_of_a_members_edit_sees_and_writes_as_the_owner_does(checked: CheckedCity) -> None:
    """In a session of the login role, which by itself may do nothing."""

    def told(connection: psycopg.Connection, done: Recheck) -> tuple[object, ...]:
        stored = connection.execute(
            "SELECT asset_id, state, message_en FROM layer.finding UNION ALL"
            " SELECT asset_id, state, message_en FROM layer.finding_restricted ORDER BY 1"
        ).fetchall()
        return brief_of(done), sorted(done.mended), done.deferred, stored

    with psycopg.connect(checked.db.owner_dsn) as connection:
        changes = moved_parcel(checked, connection, 500)
        wanted = told(connection, recheck(connection, checked.setting, changes))
        connection.rollback()
    assert wanted[0]
    with psycopg.connect(checked.db.app_dsn) as connection:
        for role in ("bandoso_reader", "bandoso_member", "bandoso_editor"):
            connection.execute(f"SET LOCAL ROLE {role}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                recheck(connection, checked.setting, changes)
        connection.rollback()
    with psycopg.connect(checked.db.app_dsn) as connection, psycopg.connect(checked.db.owner_dsn) as owner:
        # The feature is moved by its owner: here only the checks are looked at.
        moved_parcel(checked, owner, 500)
        owner.commit()
        try:
            connection.execute("SET LOCAL ROLE bandoso_checker")
            found = told(connection, recheck(connection, checked.setting, changes))
            connection.rollback()
        finally:
            (change,) = changes
            owner.execute(
                "UPDATE layer.cadastre_parcel SET geom = ST_SetSRID(%s::geometry, ST_SRID(geom))"
                " WHERE fid = %s",
                [shapely.to_wkb(change.old), change.fid],
            )
            owner.commit()
    assert found == wanted


def test_few_findings_are_settled_as_many_are(checked: CheckedCity, monkeypatch: pytest.MonkeyPatch) -> None:
    """New ones, known ones that changed, mended ones, accepted ones, and several of the same features."""

    def settled(few: int) -> list[tuple[object, ...]]:
        monkeypatch.setattr(incremental, "FEW", few)
        told: list[tuple[object, ...]] = []
        first: shapely.Geometry | None = None
        with psycopg.connect(checked.db.owner_dsn) as connection:
            for number, edits in ((500, 2), (501, 1), (40, 2), (900, 2)):
                for n in range(edits):
                    changes = moved_parcel(checked, connection, number)
                    done = recheck(connection, checked.setting, changes)
                    told.append((brief_of(done), done.again, done.mended, done.deferred))
                    if n == 0:
                        connection.execute(
                            "UPDATE layer.finding SET state = 'accepted', accepted_until = CASE WHEN"
                            " rule = 'CAD-01' THEN date '2025-12-31' END WHERE state = 'open'"
                        )
                    first = changes[0].old if n == 0 else first
                if edits == 2:
                    fid, now = changes[0].fid, changes[0].new
                    connection.execute(
                        "UPDATE layer.cadastre_parcel SET geom = ST_SetSRID(%s::geometry, ST_SRID(geom))"
                        " WHERE fid = %s",
                        [shapely.to_wkb(first), fid],
                    )
                    done = recheck(connection, checked.setting, [Change("cadastre_parcel", fid, now, first)])
                    told.append((brief_of(done), done.again, done.mended, done.deferred))
            told += connection.execute(
                "SELECT f.asset_id, f.rule, f.severity, f.state, f.features, f.value, f.limit_value, f.sheet,"
                " f.message_vi, f.accepted_until, f.version, ST_AsText(f.geom), k.base, k.ordinal, k.content,"
                " k.app, k.ax, k.ay, k.px, k.py, k.about, k.words, k.mends, k.new_run, k.mended_run,"
                " f.first_seen = f.last_seen FROM layer.finding AS f"
                " JOIN bandoso.finding_key AS k ON k.id = f.asset_id ORDER BY 1"
            ).fetchall()
            connection.rollback()
        return told

    many, few = settled(-1), settled(100)
    assert any(one[2] for one in many[:10]) and any(one[1] for one in many[:10])
    assert few == many


def brief_of(done: Recheck) -> list[tuple[str, ...]]:
    return sorted((one.rule, *(ref.asset_id for ref in one.features)) for one in done.new)


def test_only_rules_that_read_what_an_edit_wrote_are_asked(checked: CheckedCity) -> None:
    known = known_of(checked.setting)
    shape = shapely.box(0, 0, 1, 1)

    def asked(new: shapely.Geometry, *columns: str) -> set[str]:
        change = Change("cadastre_parcel", 1, shape, new, frozenset(columns))
        return {one.app.rule.id for one in known.concerned(change)}

    assert asked(shape) == set()
    assert asked(shape, "parcel_no") == {"CAD-06", "CAD-09", "GEN-13"}
    assert {"CAD-01", "CAD-02", "GEN-05", "GEN-09"} <= asked(shapely.box(0, 0, 1, 2))
    assert not {"CAD-06", "CAD-09", "CAD-10", "GEN-10", "GEN-13", "GEN-14"} & asked(shapely.box(0, 0, 1, 2))
    everything = {app.rule.id for app in checked.apps() if "cadastre_parcel" in app.layers}
    assert asked(shape, "owner") == everything - {"GEN-12"} | {"CAD-15"}


def test_an_edit_that_is_rolled_back_leaves_nothing(checked: CheckedCity) -> None:
    before = checked.table()
    with psycopg.connect(checked.db.owner_dsn) as connection:
        done = recheck(connection, checked.setting, moved_parcel(checked, connection))
        assert any(one.rule == "CAD-01" for one in done.new)
        connection.rollback()
    assert checked.table() == before


def test_findings_that_may_not_be_caused_are_told(checked: CheckedCity) -> None:
    apps = [replace(app, reject=True) for app in checked.apps("CAD-01") if app.layers == ("cadastre_parcel",)]
    with psycopg.connect(checked.db.owner_dsn) as connection:
        changes = moved_parcel(checked, connection)
        done = recheck(connection, checked.setting, changes, apps)
        assert done.rejecting and {one.rule for one in done.rejecting} == {"CAD-01"}
        # What was broken before is no reason to refuse a further edit.
        again = recheck(connection, checked.setting, changes, apps)
        assert again.again >= len(done.rejecting) and not again.rejecting
        # Undone, it is mended.
        (change,) = changes
        connection.execute(
            "UPDATE layer.cadastre_parcel SET geom = ST_SetSRID(%s::geometry, ST_SRID(geom)) WHERE fid = %s",
            [shapely.to_wkb(change.old), change.fid],
        )
        undone = recheck(connection, checked.setting, changes, apps)
        assert len(undone.mended) >= len(done.rejecting) and not undone.new
        connection.rollback()


def test_what_was_wrong_before_is_no_reason_to_refuse_though_nobody_checked(checked: CheckedCity) -> None:
    """Data that was loaded and never checked can be edited; what the edit itself breaks is refused."""
    ((fid,),) = checked.execute(
        "SELECT (features::jsonb #>> '{0,fid}')::bigint FROM layer.finding"
        " WHERE rule = 'CAD-01' AND state = 'open' AND layers = 'cadastre_parcel' ORDER BY asset_id LIMIT 1"
    )
    with psycopg.connect(checked.db.owner_dsn) as connection:
        connection.execute("DELETE FROM layer.finding; DELETE FROM bandoso.finding_key")
        row = connection.execute(
            "UPDATE layer.cadastre_parcel SET remark = 'x' WHERE fid = %s RETURNING ST_AsBinary(geom)", [fid]
        ).fetchone()
        assert row is not None
        shape = shapely.from_wkb(row[0])
        done = recheck(connection, checked.setting, [Change("cadastre_parcel", fid, shape, shape)])
        assert "CAD-01" in {one.rule for one in done.new} and not done.rejecting
        done = recheck(connection, checked.setting, moved_parcel(checked, connection, 510))
        assert "CAD-01" in {one.rule for one in done.rejecting}
        connection.rollback()


def test_a_run_on_an_older_state_leaves_what_an_edit_judged(checked: CheckedCity) -> None:
    """The edit commits while the run is under way: the run has not seen it, and must not end its findings."""
    names: list[str] = []

    def edit(_done: int, _total: int | None) -> None:
        if names:
            return
        with psycopg.connect(checked.db.owner_dsn) as connection:
            done = recheck(connection, checked.setting, moved_parcel(checked, connection))
            connection.commit()
        names.extend(one.rule for one in done.new)

    outcome = checked.run("CAD", "GEN", progress=edit)
    assert "CAD-01" in names
    assert (outcome.new, outcome.mended) == (0, 0)
    before = checked.table()
    later = checked.run("CAD", "GEN")
    assert (later.new, later.mended) == (0, 0)
    assert checked.table() == before
    # What others have judged stands, and counts: else a command would say that there are no errors.
    assert (outcome.counts, outcome.errors()) == (later.counts, later.errors())


def test_a_run_that_another_overtook_counts_what_stands(checked: CheckedCity) -> None:
    overtook: list[Outcome] = []

    def run(_done: int, _total: int | None) -> None:
        if not overtook:
            overtook.append(checked.run("GEN"))

    outcome = checked.run("GEN", progress=run)
    assert overtook[0].errors() > 0
    assert (outcome.counts, outcome.errors()) == (overtook[0].counts, overtook[0].errors())
    assert len(list(outcome.findings())) == sum(outcome.counts.values())


def test_an_edit_during_the_writing_of_a_run_is_judged_after_it(checked: CheckedCity) -> None:
    before = checked.table()
    with psycopg.connect(checked.db.owner_dsn) as run, psycopg.connect(checked.db.owner_dsn) as connection:
        hold_alone(run)
        changes = moved_parcel(checked, connection, 300)
        done = recheck(connection, checked.setting, changes)
        assert done.new or done.mended
        connection.commit()
        assert checked.table() == before
        assert checked.execute("SELECT count(*) > 0 FROM bandoso.check_due") == [(True,)]
        assert clear_due(checked.db, checked.setting) == 0
        run.rollback()
    assert clear_due(checked.db, checked.setting) > 0
    assert checked.execute("SELECT count(*) FROM bandoso.check_due WHERE minx IS NOT NULL") == [(0,)]
    assert checked.table() != before
    outcome = checked.run("CAD", "GEN")
    assert (outcome.new, outcome.mended) == (0, 0)


def test_an_edit_of_too_much_is_left_to_a_run(checked: CheckedCity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "MOST_FEATURES", 10)
    monkeypatch.setattr(judging, "SMALL_M", 1.0)
    with psycopg.connect(checked.db.owner_dsn) as connection:
        done = recheck(connection, checked.setting, moved_parcel(checked, connection))
        assert "CAD-01:cadastre_parcel" in done.deferred
        assert not done.new and not done.mended
        connection.rollback()


def test_a_rule_that_fails_does_not_fail_the_edit(
    checked: CheckedCity, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from gis.checks import registry

    known = registry.rules()["CAD-07"]

    def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(registry._FOUND, "CAD-07", replace(known, run=fails))
    registry.rules.cache_clear()
    try:
        with psycopg.connect(checked.db.owner_dsn) as connection:
            done = recheck(connection, checked.setting, moved_parcel(checked, connection))
            connection.rollback()
    finally:
        monkeypatch.undo()
        registry.rules.cache_clear()
    assert done.deferred == ("CAD-07:cadastre_parcel",)
    assert done.new or done.again
    assert "CAD-07" in caplog.text


def test_merged_boxes_cover_and_do_not_meet() -> None:
    boxes = [(0.0, 0.0, 2.0, 2.0), (1.0, 1.0, 3.0, 3.0), (10.0, 0.0, 11.0, 1.0), (3.0, 3.0, 4.0, 4.0)]
    assert merged(boxes) == [(0.0, 0.0, 4.0, 4.0), (10.0, 0.0, 11.0, 1.0)]
    assert merged([]) == []
