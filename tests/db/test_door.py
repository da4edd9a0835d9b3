"""The database's door, in SQL: what the login role may do in each role, for each kind of account.

Nothing of the web side takes part. tests/api/test_matrix.py asks the same through every address.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from gis.city import City
from gis.db.migrate import prepare
from gis.db.server import Database
from tests.door_city import (
    CALLERS,
    LAYERS,
    OWNERS,
    PLACES,
    Account,
    Rows,
    catalogue_with,
    enrol,
    fill,
    marker,
    markers_in,
)

NAMES = [name for name in CALLERS if name != "anonymous"]
DENIED = psycopg.errors.InsufficientPrivilege


@pytest.fixture(scope="module")
def trial(module_db: Database, city: City, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """The module's database with the trial's layers."""
    prepare(module_db.owner_dsn, city, catalogue_with(tmp_path_factory.mktemp("layers"), city))
    return module_db


@pytest.fixture(scope="module")
def rows(trial: Database) -> Rows:
    with psycopg.connect(trial.owner_dsn, autocommit=True) as connection:
        return fill(connection)[0]


@pytest.fixture(scope="module")
def accounts(trial: Database, rows: Rows) -> dict[str, Account]:
    with psycopg.connect(trial.owner_dsn, autocommit=True) as connection:
        return enrol(connection)


@contextmanager
def acting(db: Database, role: str, account: Account | None = None) -> Iterator[psycopg.Connection]:
    """A session of the login role in a transaction in a role, for an account; rolled back."""
    with psycopg.connect(db.app_dsn) as connection:
        connection.execute(f"SET LOCAL ROLE bandoso_{role}".encode())
        if account is not None:
            connection.execute(
                "SELECT set_config('bandoso.account', %s, true), set_config('bandoso.token', %s, true)",
                (str(account.id), "" if account.token is None else str(account.token)),
            )
        yield connection
        connection.rollback()


def column(connection: psycopg.Connection, query: str, *values: Any) -> set[Any]:
    return {row[0] for row in connection.execute(query.encode(), values).fetchall()}


# -- reading


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_a_restricted_layer(trial: Database, accounts: dict[str, Account], name: str) -> None:
    expected = set(CALLERS[name].shut) if CALLERS[name].known else set()
    with acting(trial, "member", accounts[name]) as connection:
        for source in ("member.trial_shut", "layer.trial_shut"):
            assert column(connection, f"SELECT owner FROM {source}") == expected
            assert column(connection, f"SELECT name FROM {source}") - {None} == {
                marker("trial_shut", owner, "pub") for owner in expected
            }
            found = connection.execute(f"SELECT count(*) FROM {source} WHERE secret > ''".encode()).fetchone()
            assert found == (len(expected),)


@pytest.mark.parametrize("name", NAMES)
def test_confidential_attributes(trial: Database, accounts: dict[str, Account], name: str) -> None:
    caller = CALLERS[name]
    seen = caller.mixed if caller.known else frozenset()
    with acting(trial, "member", accounts[name]) as connection:
        got = connection.execute(
            "SELECT owner, secret FROM member.trial_mixed WHERE name IS NOT NULL"
        ).fetchall()
        assert dict(got) == {o: marker("trial_mixed", o, "sec") if o in seen else None for o in OWNERS}
        # conditions and orders tell no more
        for owner in OWNERS:
            word = marker("trial_mixed", owner, "sec")
            by_value = column(connection, "SELECT owner FROM member.trial_mixed WHERE secret = %s", word)
            assert by_value == ({owner} if owner in seen else set())
        assert column(connection, "SELECT owner FROM member.trial_mixed WHERE secret LIKE 'mk%%'") == set(
            seen
        )
        with pytest.raises(DENIED):
            connection.execute("SELECT secret FROM layer.trial_mixed")


def test_what_is_public_is_anyones(trial: Database, rows: Rows) -> None:
    with acting(trial, "reader") as connection:
        for layer in ("trial_open", "trial_mixed", "trial_plain"):
            assert column(connection, f"SELECT owner FROM layer.{layer}") == set(OWNERS)
        for refused in (
            "SELECT secret FROM layer.trial_mixed",
            "SELECT fid FROM layer.trial_shut",
            "SELECT * FROM member.trial_mixed",
            "SELECT * FROM member.trial_shut",
            "SELECT bandoso.owners_seen('trial_shut')",
            "SELECT bandoso.seen_mark('trial_shut')",
        ):
            with pytest.raises(DENIED), connection.transaction():
                connection.execute(refused.encode())


@pytest.mark.parametrize("account", ["", "0", "999999999", "-1"])
def test_a_member_that_is_nobody_sees_nothing_hidden(trial: Database, rows: Rows, account: str) -> None:
    with acting(trial, "member") as connection:
        connection.execute("SELECT set_config('bandoso.account', %s, true)", (account,))
        assert column(connection, "SELECT fid FROM member.trial_shut") == set()
        assert column(connection, "SELECT secret FROM member.trial_mixed") == {None}
        assert column(connection, "SELECT fid FROM layer.finding_restricted") == set()


def test_a_token_of_somebody_else_is_none(trial: Database, accounts: dict[str, Account]) -> None:
    mixed_up = Account(CALLERS["vnpt_viewer"], accounts["nothing_granted"].id, accounts["city_steward"].token)
    with acting(trial, "member", mixed_up) as connection:
        assert column(connection, "SELECT fid FROM member.trial_shut") == set()
    stolen = Account(CALLERS["vnpt_viewer"], accounts["city_steward"].id, accounts["vnpt_viewer"].token)
    with acting(trial, "member", stolen) as connection:
        assert column(connection, "SELECT fid FROM member.trial_shut") == set()


def test_counts_of_restricted_layers_are_nobodys(trial: Database, accounts: dict[str, Account]) -> None:
    for name in ("vnpt_viewer", "city_admin"):
        with acting(trial, "member", accounts[name]) as connection:
            row = connection.execute(
                "SELECT bandoso.row_count('trial_shut'), bandoso.row_count('trial_open'),"
                " (SELECT count(*) FROM bandoso.layer_stats WHERE layer = 'trial_shut')"
            ).fetchone()
            assert row == (0, 4, 0)
            assert column(connection, "SELECT DISTINCT tablename FROM pg_stats WHERE schemaname = 'layer'"
                          " AND tablename = 'trial_shut'") == set()  # fmt: skip


# What the mark of a layer (for caches) tells to whom.
def test_marks_change_with_rows(trial: Database, accounts: dict[str, Account]) -> None:
    def mark(name: str) -> Any:
        with acting(trial, "member", accounts[name]) as connection:
            return connection.execute("SELECT bandoso.seen_mark('trial_shut')").fetchone()

    before = mark("vnpt_viewer")
    assert before and before[0]
    assert mark("sawaco_steward") == (None,)
    with psycopg.connect(trial.owner_dsn, autocommit=True) as owner:
        owner.execute("UPDATE layer.trial_shut SET status = 'planned' WHERE false")
        assert mark("vnpt_viewer") == before
        owner.execute("UPDATE layer.trial_shut SET status = status")
    assert mark("vnpt_viewer") != before


CLOSED_TO_MEMBERS = [
    "SELECT * FROM bandoso.account",
    "SELECT * FROM bandoso.account_grant",
    "SELECT * FROM bandoso.token",
    "SELECT * FROM bandoso.login_failure",
    "SELECT * FROM bandoso.version",
    "SELECT * FROM bandoso.finding_key",
    "SELECT * FROM bandoso.layer",
    "SELECT bandoso.principal(1)",
    "SELECT bandoso.may_write('trial_open', 'vnpt', NULL)",
    "SELECT bandoso.changeset_open('edit')",
    "INSERT INTO layer.trial_shut (owner) VALUES ('vnpt')",
    "UPDATE member.trial_shut SET name = 'x'",
    "DELETE FROM layer.trial_open",
    "SELECT load_id FROM layer.trial_shut",
    "CREATE TEMP TABLE t (n int)",
    "SET SESSION AUTHORIZATION bandoso",
    "SET ROLE bandoso",
]


@pytest.mark.parametrize("statement", CLOSED_TO_MEMBERS)
def test_members_may_not(trial: Database, accounts: dict[str, Account], statement: str) -> None:
    with acting(trial, "member", accounts["city_admin"]) as connection, pytest.raises(DENIED):
        connection.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT fid FROM layer.trial_open",
        "SELECT fid FROM member.trial_shut",
        "SELECT bandoso.acting()",
        "SELECT bandoso.owners_seen('trial_shut')",
        "SELECT bandoso.hidden_seen()",
        "SELECT bandoso.applied_layers()",
        "SELECT bandoso.principal(1)",
        "UPDATE layer.trial_open SET name = 'x'",
    ],
)
def test_the_login_role_alone_may_do_nothing(
    trial: Database, accounts: dict[str, Account], statement: str
) -> None:
    with psycopg.connect(trial.app_dsn) as connection:
        connection.execute(
            "SELECT set_config('bandoso.account', %s, false)", (str(accounts["city_admin"].id),)
        )
        with pytest.raises(DENIED):
            connection.execute(statement.encode())


# -- writing


def insert(connection: psycopg.Connection, layer: str, owner: str, place: tuple[float, float]) -> int:
    return connection.execute(
        f"INSERT INTO layer.{layer} (asset_id, owner, geom)"
        " VALUES ('t-' || %s, %s, ST_SetSRID(ST_MakePoint(%s, %s), 9210))".encode(),
        (owner, owner, *place),
    ).rowcount


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", NAMES)
def test_writing(trial: Database, accounts: dict[str, Account], rows: Rows, name: str, layer: str) -> None:
    caller = CALLERS[name]
    allowed = caller.writes.get(layer, frozenset()) if caller.known else frozenset()
    seen = set(OWNERS) if layer != "trial_shut" else set(caller.shut if caller.known else ())
    with acting(trial, "editor", accounts[name]) as connection:
        for owner in OWNERS:
            may = owner in allowed
            # Edits read what they change: what is not seen is not there for them either.
            count = int(may and owner in seen)
            if may:
                with connection.transaction(force_rollback=True):
                    assert insert(connection, layer, owner, PLACES["vnpt"]) == 1
            else:
                with pytest.raises(DENIED), connection.transaction():
                    insert(connection, layer, owner, PLACES["vnpt"])
            fid = rows.fids[layer, owner]
            if caller.area and owner != "vnpt":
                count = 0
            with connection.transaction(force_rollback=True):
                done = connection.execute(
                    f"UPDATE layer.{layer} SET name = 'x' WHERE fid = %s".encode(), (fid,)
                )
                assert done.rowcount == count
            with connection.transaction(force_rollback=True):
                done = connection.execute(f"DELETE FROM layer.{layer} WHERE fid = %s".encode(), (fid,))
                assert done.rowcount == count


def test_a_feature_cannot_be_given_away_or_taken(
    trial: Database, accounts: dict[str, Account], rows: Rows
) -> None:
    fid = rows.fids["trial_open", "vnpt"]
    with acting(trial, "editor", accounts["vnpt_steward"]) as connection:
        with pytest.raises(DENIED), connection.transaction():
            connection.execute("UPDATE layer.trial_open SET owner = 'viettel' WHERE fid = %s", (fid,))
        theirs = rows.fids["trial_open", "viettel"]
        with connection.transaction():
            done = connection.execute("UPDATE layer.trial_open SET owner = 'vnpt' WHERE fid = %s", (theirs,))
            assert done.rowcount == 0
    with acting(trial, "editor", accounts["city_steward"]) as connection:
        done = connection.execute("UPDATE layer.trial_open SET owner = 'viettel' WHERE fid = %s", (fid,))
        assert done.rowcount == 1


MOVE = "UPDATE layer.trial_open SET geom = ST_SetSRID(ST_MakePoint(%s, %s), 9210) WHERE fid = %s"


def test_nothing_leaves_or_enters_an_area(trial: Database, accounts: dict[str, Account], rows: Rows) -> None:
    x, y = PLACES["vnpt"]
    fid = rows.fids["trial_open", "vnpt"]
    with acting(trial, "editor", accounts["vnpt_area"]) as connection:
        with connection.transaction(force_rollback=True):
            assert connection.execute(MOVE, (x + 50, y, fid)).rowcount == 1
        with pytest.raises(DENIED), connection.transaction():
            connection.execute(MOVE, (x + 500, y, fid))
        with pytest.raises(DENIED), connection.transaction():
            insert(connection, "trial_open", "vnpt", (x + 500, y))
    with psycopg.connect(trial.owner_dsn) as owner:
        owner.execute(MOVE, (x + 500, y, fid))
        owner.commit()
        try:
            with acting(trial, "editor", accounts["vnpt_area"]) as connection:
                assert connection.execute(MOVE, (x, y, fid)).rowcount == 0
                assert connection.execute("DELETE FROM layer.trial_open WHERE fid = %s", (fid,)).rowcount == 0
        finally:
            owner.execute(MOVE, (x, y, fid))


def test_who_is_disabled_while_he_writes(trial: Database, accounts: dict[str, Account], rows: Rows) -> None:
    fid = rows.fids["trial_open", "vnpt"]
    update = "UPDATE layer.trial_open SET name = name WHERE fid = %s"
    account = accounts["vnpt_editor"]
    with psycopg.connect(trial.owner_dsn, autocommit=True) as owner:
        with acting(trial, "editor", account) as connection:
            assert connection.execute(update, (fid,)).rowcount == 1
            connection.rollback()
        try:
            owner.execute("UPDATE bandoso.token SET revoked_at = now() WHERE id = %s", (account.token,))
            with acting(trial, "editor", account) as connection:
                assert connection.execute(update, (fid,)).rowcount == 0
        finally:
            owner.execute("UPDATE bandoso.token SET revoked_at = NULL WHERE id = %s", (account.token,))


# -- findings about what is hidden


def finding(connection: psycopg.Connection, name: str, *about: tuple[str, str]) -> None:
    """A finding about features of (layer, owner), with a mend of the first."""
    features = [{"layer": layer, "fid": 1, "asset_id": "x", "owner": owner} for layer, owner in about]
    mends = [{"layer": layer, "fid": 1, "asset_id": "x"} for layer, _ in about[:1]]
    connection.execute(
        "INSERT INTO layer.finding_restricted (asset_id, owner, rule, severity, features, geom)"
        " VALUES (%s, 'city', 'GEN-01', 'E', %s, 'SRID=9210;POINT(603000 1192000)')",
        (name, json.dumps(features)),
    )
    connection.execute(
        "INSERT INTO bandoso.finding_key (id, restricted, base, content, app, px, py, about, network, reject,"
        " words, mends) VALUES (%s, true, gen_random_uuid(), gen_random_uuid(), 'x', 0, 0, '{}', '', false,"
        " '{}', %s)",
        (name, Jsonb(mends)),
    )


FINDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "F-vnpt": (("trial_shut", "vnpt"),),
    "F-viettel": (("trial_shut", "viettel"), ("trial_open", "vnpt")),
    "F-both": (("trial_shut", "vnpt"), ("trial_shut", "viettel")),
    "F-secret": (("trial_mixed", "vnpt"),),
    "F-shut-and-open": (("trial_shut", "vnpt"), ("trial_open", "viettel")),
    "F-unnamed": (("trial_open", "vnpt"),),
    "F-empty": (),
}
#: Which account sees which, beside those for whom it is none.
SEEN = {
    "vnpt_viewer": {"F-vnpt", "F-secret", "F-shut-and-open"},
    "vnpt_admin": {"F-vnpt", "F-secret", "F-shut-and-open"},
    "vnpt_shut": {"F-vnpt", "F-shut-and-open"},
    "viettel_editor": {"F-viettel"},
    "both_editor": {"F-vnpt", "F-viettel", "F-both", "F-secret", "F-shut-and-open"},
    "city_viewer": set[str](),
    "city_steward": set(FINDINGS),
    "city_admin": set(FINDINGS),
    "read_token": {"F-vnpt", "F-secret", "F-shut-and-open"},
    "sawaco_steward": set[str](),
    "edit_token": set[str](),
    # made for one layer, which findings are not
    "read_shut_token": set[str](),
    "disabled": set[str](),
    "expired": set[str](),
    "revoked": set[str](),
}


def test_findings_about_what_is_hidden(trial: Database, accounts: dict[str, Account]) -> None:
    with psycopg.connect(trial.owner_dsn, autocommit=True) as owner:
        for name, about in FINDINGS.items():
            finding(owner, name, *about)
    for name, expected in SEEN.items():
        with acting(trial, "member", accounts[name]) as connection:
            for source in ("member.finding_restricted", "layer.finding_restricted"):
                assert column(connection, f"SELECT asset_id FROM {source}") == expected, name
            mends = {
                one
                for one in FINDINGS
                if column(connection, "SELECT bandoso.hidden_finding_mends(%s) IS NULL", one) == {False}
            }
            assert mends - {"F-empty"} == expected - {"F-empty"}, name
            assert column(connection, "SELECT bandoso.finding_mends(%s)", "F-vnpt") == {None}
    with acting(trial, "reader") as connection, pytest.raises(DENIED):
        connection.execute("SELECT bandoso.hidden_finding_mends('F-vnpt')")


def test_markers_are_found(tmp_path: Path) -> None:
    """The search of bodies finds what it is there to find."""
    word = marker("trial_shut", "viettel", "sec")
    assert markers_in(f'{{"a":"{word}"}},{word}\n'.encode()) == {word}
