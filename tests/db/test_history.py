"""What was is kept: versions, changes and changesets, by the triggers of the layers' tables (0010, 0013)."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from gis.city import City
from gis.db.apply import apply_catalogue
from gis.db.server import Database
from layers.registry import load_catalogue
from tests.db.layer_blocks import Block, a_field

NUMBERS = count(1)
VALVE = "layer.water_valve"
POINT = "ST_SetSRID(ST_MakePoint(%s, 1192000), 9210)"


@pytest.fixture
def db(module_db: Database) -> Iterator[psycopg.Connection]:
    """An owner's connection with empty valves and no history."""
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        connection.execute(
            "DELETE FROM layer.water_valve; DELETE FROM bandoso.version; DELETE FROM bandoso.change"
        )
        yield connection


def make(db: psycopg.Connection, code: str = "a", x: float = 600000) -> int:
    """A valve; its fid."""
    row = db.execute(
        f"INSERT INTO {VALVE} (code, geom) VALUES (%s, {POINT}) RETURNING fid", [code, x]
    ).fetchone()
    assert row
    return int(row[0])


def rows(db: psycopg.Connection, query: str, *values: Any) -> list[tuple[Any, ...]]:
    return db.execute(query.encode(), values).fetchall()


def changes(db: psycopg.Connection, fid: int) -> list[tuple[Any, ...]]:
    return rows(
        db,
        "SELECT op::text, old_version, new_version FROM bandoso.change"
        " WHERE layer = 'water_valve' AND fid = %s ORDER BY changeset",
        fid,
    )


def versions(db: psycopg.Connection, fid: int) -> list[tuple[Any, ...]]:
    return rows(
        db,
        "SELECT version, properties ->> 'code' FROM bandoso.version WHERE layer = 'water_valve' AND fid = %s"
        " ORDER BY version",
        fid,
    )


def test_each_change_keeps_what_was_before(db: psycopg.Connection) -> None:
    fid = make(db, "one")
    db.execute(f"UPDATE {VALVE} SET code = 'two' WHERE fid = %s", [fid])
    db.execute(f"DELETE FROM {VALVE} WHERE fid = %s", [fid])
    assert versions(db, fid) == [(1, "one"), (2, "two")]
    assert changes(db, fid) == [("c", None, 1), ("u", 1, 2), ("d", 2, None)]
    spans = rows(
        db, "SELECT valid_from, valid_to, ended_by FROM bandoso.version WHERE fid = %s ORDER BY version", fid
    )
    assert spans[0][0] < spans[0][1] == spans[1][0] < spans[1][1]
    made = rows(
        db,
        "SELECT at, summary -> 'water_valve' ->> 'deleted' FROM bandoso.changeset WHERE id = %s",
        spans[1][2],
    )
    assert made == [(spans[1][1], "1")]


def test_a_changeset_is_one_step_however_many_statements_it_has(db: psycopg.Connection) -> None:
    fid = make(db, "one")
    with db.transaction():
        db.execute(f"UPDATE {VALVE} SET code = 'two' WHERE fid = %s", [fid])
        db.execute(f"UPDATE {VALVE} SET code = 'three' WHERE fid = %s", [fid])
    assert versions(db, fid) == [(1, "one")], "what nobody has seen is no version"
    assert changes(db, fid)[1:] == [("u", 1, 3)]
    with db.transaction():
        db.execute(f"DELETE FROM {VALVE} WHERE fid = %s", [fid])
        db.execute(f"INSERT INTO {VALVE} (fid, code, geom) VALUES (%s, 'four', {POINT})", [fid, 600001])
    assert versions(db, fid) == [(1, "one"), (3, "three")]
    assert changes(db, fid)[2:] == [("u", 3, 4)]
    with db.transaction():
        other = make(db, "x", 600002)
        db.execute(f"DELETE FROM {VALVE} WHERE fid = %s", [other])
    assert changes(db, other) == versions(db, other) == []


def test_what_comes_back_goes_on_with_its_versions(db: psycopg.Connection) -> None:
    fid = make(db, "one")
    db.execute(f"UPDATE {VALVE} SET code = 'two' WHERE fid = %s", [fid])
    db.execute(f"DELETE FROM {VALVE} WHERE fid = %s", [fid])
    db.execute(f"INSERT INTO {VALVE} (fid, code, geom) VALUES (%s, 'again', {POINT})", [fid, 600001])
    assert rows(db, f"SELECT version FROM {VALVE} WHERE fid = %s", fid) == [(3,)]
    db.execute(f"UPDATE {VALVE} SET code = 'more' WHERE fid = %s", [fid])
    assert versions(db, fid) == [(1, "one"), (2, "two"), (3, "again")]


def test_a_savepoint_takes_its_history_back(db: psycopg.Connection) -> None:
    fid = make(db, "one")
    before = rows(db, "SELECT count(*) FROM bandoso.changeset")
    with db.transaction():
        with pytest.raises(psycopg.Error), db.transaction():
            db.execute(f"UPDATE {VALVE} SET code = 'two' WHERE fid = %s", [fid])
            db.execute("SELECT 1 / 0")
        assert versions(db, fid) == []
    assert rows(db, "SELECT count(*) FROM bandoso.changeset") == before
    with db.transaction():
        with pytest.raises(psycopg.Error), db.transaction():
            db.execute(f"UPDATE {VALVE} SET code = 'two' WHERE fid = %s", [fid])
            db.execute("SELECT 1 / 0")
        db.execute(f"UPDATE {VALVE} SET code = 'three' WHERE fid = %s", [fid])
    assert versions(db, fid) == [(1, "one")]
    assert changes(db, fid)[1:] == [("u", 1, 2)]


def test_truncate_keeps_what_it_takes_away(db: psycopg.Connection) -> None:
    fid = make(db, "one")
    db.execute(f"TRUNCATE {VALVE}")
    assert versions(db, fid) == [(1, "one")]
    assert rows(db, "SELECT bandoso.row_count('water_valve')") == [(0,)]


def test_a_changeset_opened_before_anothers_change_ends_no_version_before_it_began(
    db: psycopg.Connection, module_db: Database
) -> None:
    fid = make(db, "one")
    with psycopg.connect(module_db.owner_dsn) as slow:
        slow.execute("SELECT bandoso.changeset_open('edit')")
        db.execute(f"UPDATE {VALVE} SET code = 'two' WHERE fid = %s", [fid])
        slow.execute(f"UPDATE {VALVE} SET code = 'three' WHERE fid = %s", [fid])
        slow.commit()
    spans = rows(db, "SELECT valid_from, valid_to FROM bandoso.version WHERE fid = %s ORDER BY version", fid)
    now = rows(db, f"SELECT updated_at FROM {VALVE} WHERE fid = %s", fid)[0][0]
    assert spans[0][0] < spans[0][1] == spans[1][0] < spans[1][1] == now


def test_the_horizon_waits_for_what_is_under_way(db: psycopg.Connection, module_db: Database) -> None:
    def horizon() -> int:
        return int(rows(db, "SELECT bandoso.changeset_horizon()")[0][0])

    make(db, "a")
    done = horizon()
    with psycopg.connect(module_db.owner_dsn) as slow:
        opened = slow.execute("SELECT bandoso.changeset_open('edit')").fetchone()
        make(db, "b", 600001)
        assert opened and horizon() == done == opened[0] - 1
        slow.commit()
    assert horizon() == opened[0] + 1


def test_times_are_exact_whatever_the_session_shows(module_db: Database, db: psycopg.Connection) -> None:
    with psycopg.connect(
        make_conninfo(
            module_db.owner_dsn,
            options="-c datestyle=SQL,DMY -c timezone=Asia/Ho_Chi_Minh -c extra_float_digits=0",
        ),
        autocommit=True,
    ) as odd:
        fid = make(odd, "one")
        odd.execute(
            f"UPDATE {VALVE} SET code = 'two', turns = 0.1::float8 + 0.2::float8 WHERE fid = %s", [fid]
        )
        odd.execute(f"UPDATE {VALVE} SET code = 'three' WHERE fid = %s", [fid])
    now = dt.datetime.now(dt.UTC)
    for (moment,) in rows(db, "SELECT valid_to FROM bandoso.version WHERE fid = %s", fid):
        assert abs(moment - now) < dt.timedelta(seconds=20)
    assert rows(db, "SELECT turns FROM past.water_valve WHERE fid = %s AND version = 2", fid) == [
        (0.1 + 0.2,)
    ]


# --- a layer as it was --------------------------------------------------------------------------------------

AS_OF = (
    "SELECT fid, version, code, turns, boundary_valve, ST_AsEWKT(geom) FROM layer.water_valve"
    " WHERE updated_at <= %(at)s UNION ALL"
    " SELECT fid, version, code, turns, boundary_valve, ST_AsEWKT(geom) FROM past.water_valve"
    " WHERE updated_at <= %(at)s AND _until > %(at)s ORDER BY 1"
)

Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["make", "change", "move", "bulk", "delete", "restore", "fail"]),
        st.integers(0, 5),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=4,
)


def take(db: psycopg.Connection, gone: list[int], step: Step) -> None:
    """One statement of a random changeset."""
    kind, which, value = step
    fids = [fid for (fid,) in rows(db, f"SELECT fid FROM {VALVE} ORDER BY fid")]
    fid = fids[which % len(fids)] if fids else -1
    match kind:
        case "make":
            make(db, f"made {value}", 600000 + value)
        case "change":
            db.execute(
                f"UPDATE {VALVE} SET code = %s, turns = %s, boundary_valve = %s WHERE fid = %s",
                [f"code {value}", value / 3, value % 3 == 0 or None, fid],
            )
        case "move":
            db.execute(f"UPDATE {VALVE} SET geom = ST_Translate(geom, %s, 1) WHERE fid = %s", [value, fid])
        case "bulk":
            db.execute(f"UPDATE {VALVE} SET turns = %s", [value])
        case "delete":
            gone += [f for (f,) in rows(db, f"DELETE FROM {VALVE} WHERE fid = %s RETURNING fid", fid)]
        case "restore" if gone:
            fid = gone.pop()
            db.execute(
                f"INSERT INTO {VALVE} (fid, asset_id, code, geom) VALUES (%s, %s, 'back', {POINT})",
                [fid, f"back-{fid}", 600500 + value],
            )
        case "fail":
            with pytest.raises(psycopg.Error), db.transaction():
                db.execute(f"UPDATE {VALVE} SET turns = 7; SELECT 1 / 0")


@hypothesis.settings(
    max_examples=25, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(changesets=st.lists(STEPS, min_size=1, max_size=8))
def test_at_each_moment_the_layer_is_what_it_was_then(
    db: psycopg.Connection, changesets: list[list[Step]]
) -> None:
    """Random changesets, recorded after each: asked for any of these times, the same rows come back."""
    db.execute("DELETE FROM layer.water_valve; DELETE FROM bandoso.version; DELETE FROM bandoso.change")
    recorded: list[tuple[dt.datetime, list[tuple[Any, ...]]]] = []

    def record() -> None:
        moment = rows(db, "SELECT clock_timestamp()")[0][0]
        recorded.append((moment, db.execute(AS_OF, {"at": "infinity"}).fetchall()))

    gone: list[int] = []
    record()
    for changeset in changesets:
        with db.transaction():
            for step in changeset:
                take(db, gone, step)
        record()
    assert recorded[-1][1] == rows(
        db, f"SELECT fid, version, code, turns, boundary_valve, ST_AsEWKT(geom) FROM {VALVE} ORDER BY 1"
    )
    for moment, then in recorded:
        assert db.execute(AS_OF, {"at": moment}).fetchall() == then
    overlaps = rows(
        db,
        "SELECT count(*) FROM bandoso.version AS a JOIN bandoso.version AS b USING (layer, fid)"
        " WHERE a.version < b.version AND a.valid_to > b.valid_from OR a.valid_from >= a.valid_to",
    )
    assert overlaps == [(0,)]


def test_readers_see_the_past_as_they_see_the_present(db: psycopg.Connection, module_db: Database) -> None:
    """Only what is public of public layers; the kept versions themselves are nobody's."""
    make(db, "a")
    db.execute(f"UPDATE {VALVE} SET code = 'b'")
    with psycopg.connect(module_db.app_dsn, autocommit=True) as app:
        for role in ("bandoso_reader", "bandoso_member", "bandoso_editor"):
            app.execute(f"SET ROLE {role}")
            for table in ("version", "change", "changeset", "history_since"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    app.execute(f"SELECT FROM bandoso.{table}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute("SELECT bandoso.changeset_by_operator('load', 'me')")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute("SELECT * FROM bandoso.purge_history(now(), NULL, true)")
        app.execute("SET ROLE bandoso_reader")
        assert app.execute("SELECT code FROM past.water_valve").fetchall() == [("a",)]
        for denied in (
            "SELECT holder_ref FROM past.cadastre_parcel",
            "SELECT FROM past.water_meter",
            "SELECT FROM member.water_meter__past",
            "SELECT FROM member.cadastre_parcel__past",
            "SELECT * FROM bandoso.undo_plan(1, 1)",
        ):
            with pytest.raises(
                (
                    psycopg.errors.InsufficientPrivilege,
                    psycopg.errors.UndefinedTable,
                    psycopg.errors.UndefinedColumn,
                )
            ):
                app.execute(denied)


def test_the_past_is_found_by_its_indexes(db: psycopg.Connection) -> None:
    """A box, a feature and a page of the past are found without looking at all that is kept."""
    db.execute(
        "INSERT INTO bandoso.version SELECT 'water_valve', n, 1, now() - interval '2 days',"
        " now() - interval '1 day', 1, 'sawaco', jsonb_build_object('code', n),"
        " ST_SetSRID(ST_MakePoint(600000 + n, 1192000), 9210) FROM generate_series(1, 20000) AS n"
    )
    db.execute("ANALYZE bandoso.version")
    for condition, index in (
        ("geom && ST_MakeEnvelope(600100, 1191990, 600110, 1192010, 9210)", "version_geom"),
        ("fid = 700", "version_pkey"),
        ("fid > 500 ORDER BY fid LIMIT 10", "version_pkey"),
        ("_until > now()", "version_time"),
    ):
        plan = "\n".join(
            r[0] for r in rows(db, f"EXPLAIN SELECT code FROM past.water_valve WHERE {condition}")
        )
        assert index in plan and "Seq Scan" not in plan, plan
        assert "Sort" not in plan, plan


# --- layers that change -------------------------------------------------------------------------------------


@pytest.fixture
def block(owner: psycopg.Connection, city: City, tmp_path: Path) -> Block:
    """A layer of this test alone."""
    return Block(owner, city, tmp_path, f"old_layer{next(NUMBERS)}")


def test_history_goes_with_renamed_retyped_and_dropped_fields(block: Block) -> None:
    block.apply(fields=[a_field("size"), a_field("depth", type="number"), a_field("note")])
    connection = block.connection
    block.insert(size="12", depth=1.5, note="kept")
    for value in ("not a number", "13.5", None):
        connection.execute(f"UPDATE layer.{block.id} SET size = %s, depth = depth + 0.25", [value])
    connection.execute(f"UPDATE layer.{block.id} SET note = NULL")
    block.apply(fields=[a_field("width", type="integer", renamed_from="size"), a_field("depth")])
    past = f"SELECT version, width, depth FROM past.{block.id} ORDER BY version"
    assert rows(connection, past) == [(1, 12, "1.5"), (2, None, "1.75"), (3, None, "2"), (4, None, "2.25")]
    kept = rows(
        connection,
        "SELECT properties ->> 'width', properties ->> 'note' FROM bandoso.version"
        " WHERE layer = %s ORDER BY version",
        block.id,
    )
    assert kept[1:3] == [("not a number", "kept"), ("13.5", "kept")], "what does not fit is kept"
    block.apply(fields=[a_field("width", type="number"), a_field("depth"), a_field("note")])
    again = rows(connection, f"SELECT width, note FROM past.{block.id} ORDER BY version")
    assert again == [(12.0, "kept"), (None, "kept"), (13.5, "kept"), (None, "kept")]
    connection.execute(f"UPDATE layer.{block.id} SET depth = 'deep'")
    assert rows(connection, f"SELECT count(*) FROM past.{block.id}") == [(5,)]


def test_a_layer_that_goes_and_comes_back_has_its_history(block: Block) -> None:
    block.apply(fields=[a_field("name")])
    block.insert(name="one")
    connection = block.connection
    connection.execute(f"UPDATE layer.{block.id} SET name = 'two'")
    (block.folder / "trial.yml").unlink()
    apply_catalogue(connection, load_catalogue([block.folder], block.city.agency_ids), block.city)
    assert rows(connection, "SELECT to_regclass(%s)::text", f"past.{block.id}") == [(None,)]
    block.apply(fields=[a_field("name")])
    assert rows(connection, f"SELECT name FROM past.{block.id}") == [("one",)]


def test_history_switched_off_and_on(block: Block) -> None:
    block.apply(fields=[a_field("name")])
    block.insert(name="one")
    connection = block.connection
    connection.execute(f"UPDATE layer.{block.id} SET name = 'two'")
    block.apply(history=False)
    connection.execute(f"UPDATE layer.{block.id} SET name = 'three'")
    assert block.rows("version") == [(3,)], "versions are counted for who edits, kept or not"
    assert rows(connection, "SELECT count(*) FROM bandoso.change WHERE layer = %s", block.id) == [(3,)], (
        "and told"
    )
    assert rows(connection, "SELECT count(*) FROM bandoso.version WHERE layer = %s", block.id) == [(1,)]
    assert rows(connection, "SELECT bandoso.history_begins(%s)", block.id) == [(None,)]
    before = rows(connection, "SELECT clock_timestamp()")[0][0]
    block.apply(history=True)
    assert rows(connection, "SELECT bandoso.history_begins(%s)", block.id)[0][0] > before
    connection.execute(f"UPDATE layer.{block.id} SET name = 'four'")
    assert rows(connection, f"SELECT version, name FROM past.{block.id} ORDER BY 1") == [
        (1, "one"),
        (3, "three"),
    ]


# --- operators ----------------------------------------------------------------------------------------------


def bandoso(db: Database, *arguments: str) -> tuple[int, Any]:
    """Exit code and JSON of a command."""
    program = "from gis.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments, "--json", "--dsn", db.owner_dsn],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else done.stderr


def test_the_commands(db: psycopg.Connection, module_db: Database) -> None:
    fid = make(db, "one")
    db.execute(f"UPDATE {VALVE} SET code = 'two' WHERE fid = %s", [fid])
    code, found = bandoso(module_db, "history", "water_valve", str(fid))
    assert code == 0, found
    assert [(v["version"], v["properties"]["code"]) for v in found["versions"]] == [(2, "two"), (1, "one")]
    assert found["versions"][0]["made"] == found["versions"][1]["ended"]
    code, found = bandoso(module_db, "changesets", "--layer", "water_valve", "--limit", "1")
    assert found["changesets"][0]["layers"]["water_valve"]["updated"] == 1
    number = found["changesets"][0]["id"]
    assert bandoso(module_db, "undo", str(number), "--dry-run")[1]["features"] == 1
    code, found = bandoso(module_db, "undo", str(number), "--author", "Lan", "--comment", "nhầm")
    assert (code, found["features"]) == (0, 1), found
    assert rows(db, f"SELECT code, version FROM {VALVE}") == [("one", 3)]
    told = rows(
        db, "SELECT author, kind, undoes, comment FROM bandoso.changeset WHERE id = %s", found["changeset"]
    )
    assert told == [("Lan", "undo", number, "nhầm")]
    code, found = bandoso(module_db, "undo", str(number))
    assert (code, found["error"]) == (6, "undo-conflict")
    assert bandoso(module_db, "undo", "999999999")[0] == 2
    assert bandoso(module_db, "history", "water_valve", "999999999")[0] == 2


def test_purging(db: psycopg.Connection, module_db: Database) -> None:
    fid, other = make(db, "one"), make(db, "other", 600005)
    db.execute(f"UPDATE {VALVE} SET code = 'two' WHERE fid = %s", [fid])
    db.execute(f"DELETE FROM {VALVE} WHERE fid = %s", [other])
    before = rows(db, "SELECT clock_timestamp()")[0][0].isoformat()
    db.execute(f"UPDATE {VALVE} SET code = 'three' WHERE fid = %s", [fid])
    everything = rows(
        db, "SELECT (SELECT count(*) FROM bandoso.version), (SELECT count(*) FROM bandoso.change)"
    )
    code, found = bandoso(module_db, "history", "purge", "--before", before, "--dry-run")
    assert (code, found["layers"]) == (0, [{"layer": "water_valve", "versions": 2, "changes": 3}])
    assert (
        rows(db, "SELECT (SELECT count(*) FROM bandoso.version), (SELECT count(*) FROM bandoso.change)")
        == everything
    )
    bandoso(module_db, "history", "purge", "--before", before)
    assert versions(db, fid) == [(2, "two")], "it stood at that time"
    assert versions(db, other) == changes(db, other) == []
    assert changes(db, fid) == [("u", 1, 2), ("u", 2, 3)]
    assert rows(db, "SELECT bandoso.history_begins('water_valve') = %s::timestamptz", before) == [(True,)]
    undone = rows(db, "SELECT changeset FROM bandoso.change WHERE fid = %s ORDER BY 1", fid)
    plan = rows(db, "SELECT gone FROM bandoso.undo_plan(%s, 10)", undone[0][0])
    assert plan == [(True,)], "what it was is forgotten"
    assert bandoso(module_db, "history", "purge", "--before", "2999-01-01")[0] == 2
    assert bandoso(module_db, "history", "purge", "--before", "yesterday")[0] == 2


def test_many_rows_after_one_are_not_met_by_loops(db: psycopg.Connection) -> None:
    """What keeps changes and versions keeps its plan, too: of one row it would be loops in loops."""
    kept = rows(
        db,
        "SELECT DISTINCT p.proname, 'enable_nestloop=off' = ANY (p.proconfig) FROM pg_trigger AS t"
        " JOIN pg_proc AS p ON p.oid = t.tgfoid WHERE t.tgname IN ('history_update', 'history_keep_update')",
    )
    assert len(kept) > 10 and all(row[1] for row in kept)
