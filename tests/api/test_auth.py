"""Logging in at the real server: Basic, API tokens, throttled failures, and what ends at once."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import psycopg
import pytest

from gis.db.server import Database
from gis.identity import accounts
from gis.identity.passwords import HASHER
from gis.settings import Settings
from tests.api.identity import PASSWORD, basic, bearer, make, token
from tests.api.problem import assert_problem
from tests.api.process import Server


@pytest.fixture(scope="module")
def running(
    sample_db: Database, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Two workers that believe the proxy on this machine."""
    make(sample_db, "lan", ("editor", "sawaco"))
    make(sample_db, "hoa", ("steward", "city"))
    process = Server(
        replace(settings, workers=2, pool_size=4, trusted_proxies="127.0.0.1"),
        sample_db,
        tmp_path_factory.mktemp("auth"),
    )
    process.start()
    yield process
    assert process.stop() == 0, process.log.read_text(errors="replace")[-3000:]


@pytest.fixture(autouse=True)
def nobody_has_failed(sample_db: Database) -> None:
    with psycopg.connect(sample_db.owner_dsn, autocommit=True) as owner:
        owner.execute("TRUNCATE bandoso.login_failure, bandoso.login_seen")


@pytest.fixture
def owner(sample_db: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(sample_db.owner_dsn, autocommit=True) as connection:
        yield connection


def me(server: Server, headers: dict[str, str] | None = None, client: str | None = None) -> httpx.Response:
    given = dict(headers or {})
    if client:
        given["X-Forwarded-For"] = client
    return server.get("/me", headers=given)


def test_without_a_header_one_is_nobody(running: Server) -> None:
    answer = me(running)
    assert answer.status_code == 200
    assert answer.json()["name"] is None
    assert answer.json()["edit"] == []
    assert answer.headers["cache-control"] == "no-store"


def test_basic_says_who_one_is_and_what_one_may_edit(running: Server) -> None:
    answer = me(running, basic("lan"))
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["name"] == "lan"
    assert document["manages"] is False
    assert [(g["role"], g["agency"], g["area"]) for g in document["grants"]] == [("editor", "sawaco", None)]
    layers = {one["layer"]: one for one in document["edit"]}
    assert layers["water_pipe"] == {"layer": "water_pipe", "agencies": ["sawaco"], "everywhere": True}
    assert not [name for name in layers if not name.startswith("water_")]
    assert "no-store" in answer.headers["cache-control"]
    # as QGIS and people write it
    assert me(running, basic("LAN ")).status_code == 200
    assert me(running, {"Authorization": basic("lan")["Authorization"].replace("Basic", "bAsIc")}).is_success


def test_a_password_typed_decomposed_is_the_same(running: Server) -> None:
    import unicodedata

    assert me(running, basic("lan", unicodedata.normalize("NFD", PASSWORD))).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        basic("lan", "not the password")["Authorization"],
        basic("nobody")["Authorization"],
        basic("", "")["Authorization"],
        basic("lan", "x" * 20_000)["Authorization"],
        basic("lan", "a\0b")["Authorization"],
        basic("l\0an")["Authorization"],
        basic("x" * 5000)["Authorization"],
        basic("lan'; DROP TABLE bandoso.account; --")["Authorization"],
        "Basic",
        "Basic !!!",
        "Basic bGFu",  # no colon
        "Digest username=lan",
        "Bearer",
        "Bearer bnd_" + "A" * 43,
        "Bearer bnd_short",
        "Bearer a.b.c",
        "",
    ],
)
def test_a_wrong_header_is_401_whatever_is_asked(running: Server, header: str) -> None:
    answers = [
        running.get(path, headers={"Authorization": header}) for path in ("/me", "/collections", "/healthz")
    ]
    for answer in answers:
        document = assert_problem(answer, 401, "wrong-secret")
        assert answer.headers["www-authenticate"] == (
            'Basic realm="bandoso", charset="UTF-8", Bearer realm="bandoso", error="invalid_token"'
        )
        assert document["detail"] == "the name, password or token is not right"
        assert answer.headers["cache-control"] == "no-store"


def test_two_headers_are_refused(running: Server) -> None:
    both = [("Authorization", basic("lan")["Authorization"]), ("Authorization", "Bearer x")]
    assert_problem(httpx.get(f"{running.url}/me", headers=both), 401)


def test_a_script_of_a_page_gets_no_dialog_of_the_browser(running: Server) -> None:
    answer = me(running, {**basic("nobody"), "Sec-Fetch-Mode": "cors"})
    assert answer.status_code == 401
    assert "Basic" not in answer.headers["www-authenticate"]
    assert (
        "Basic" in me(running, {**basic("nobody"), "Sec-Fetch-Mode": "navigate"}).headers["www-authenticate"]
    )


def test_a_token_is_its_account_within_its_scopes(running: Server, owner: psycopg.Connection) -> None:
    account = accounts.find(owner, "lan")
    secret, number = accounts.make_token(owner, account, "gis", ["edit:water_valve", "read"], 1)
    assert secret.startswith("bnd_")
    document = me(running, bearer(secret)).json()
    assert document["name"] == "lan"
    assert document["token"] == {"id": number, "scopes": ["edit:water_valve", "read"]}
    assert [one["layer"] for one in document["edit"]] == ["water_valve"]
    stored, used = (
        owner.execute("SELECT hash, used_at FROM bandoso.token WHERE id = %s", (number,)).fetchone() or ()
    )
    assert used is not None
    assert secret.encode() not in bytes(stored)
    # its first half is nothing, and neither is it with something behind
    for wrong in (secret[:-1], secret + "A", secret.replace("bnd_", "bnd-"), secret.swapcase()):
        assert_problem(me(running, bearer(wrong)), 401)


def test_what_has_ended_is_not_believed_for_longer_than_a_second(
    running: Server, owner: psycopg.Connection, sample_db: Database
) -> None:
    account = make(sample_db, "ended", ("viewer", "sawaco"))
    by_token, number = accounts.make_token(owner, account, "tests", ["read"], 1)
    other = token(sample_db, account)
    short = token(sample_db, account)
    owner.execute(
        "UPDATE bandoso.token SET expires_at = now() - interval '1 s' WHERE name = 'tests' AND id ="
        " (SELECT max(id) FROM bandoso.token)"
    )
    assert_problem(me(running, bearer(short)), 401)
    for _ in range(6):  # in both workers
        assert me(running, bearer(by_token)).status_code == me(running, basic("ended")).status_code == 200
        assert me(running, bearer(other)).status_code == 200
    accounts.revoke_token(owner, number)
    accounts.set_password(owner, account, "mật khẩu mới toanh")
    time.sleep(1.1)
    for _ in range(6):
        assert_problem(me(running, bearer(by_token)), 401)
        assert_problem(me(running, basic("ended")), 401)
        assert me(running, basic("ended", "mật khẩu mới toanh")).status_code == 200
    accounts.disable(owner, account)
    time.sleep(1.1)
    for _ in range(6):
        assert_problem(me(running, basic("ended", "mật khẩu mới toanh")), 401)
        assert_problem(me(running, bearer(other)), 401)
    accounts.disable(owner, account, False)
    time.sleep(1.1)
    assert me(running, bearer(other)).status_code == 200
    accounts.remove(owner, account)
    time.sleep(1.1)
    assert_problem(me(running, bearer(other)), 401)


def test_a_grant_that_is_taken_away_counts_within_a_second(
    running: Server, owner: psycopg.Connection, sample_db: Database
) -> None:
    account = make(sample_db, "granted", ("editor", "sawaco"), ("editor", "evnhcmc"))
    assert {one["layer"][:5] for one in me(running, basic("granted")).json()["edit"]} == {"water", "power"}
    assert accounts.revoke(owner, account, "editor", "sawaco") == 1
    time.sleep(1.1)
    assert {one["layer"][:5] for one in me(running, basic("granted")).json()["edit"]} == {"power"}


def test_repeated_basic_requests_cost_no_argon2(running: Server) -> None:
    assert me(running, basic("lan")).status_code == 200
    for _ in range(4):
        me(running, basic("lan"))
    requests, hashes = [], []
    for _ in range(20):
        began = time.perf_counter()
        assert me(running, basic("lan")).status_code == 200
        requests.append(time.perf_counter() - began)
        began = time.perf_counter()
        HASHER.hash("what one hash takes now, on this machine")
        hashes.append(time.perf_counter() - began)
    assert statistics.median(requests) < statistics.median(hashes), (requests, hashes)


def test_requests_that_come_together_hash_once(running: Server, sample_db: Database) -> None:
    """A QGIS that opens a project: thirty requests at a time, and argon2 of each would be seconds."""
    make(sample_db, "together", ("viewer", "sawaco"))

    async def many() -> list[int]:
        async with httpx.AsyncClient(base_url=running.url, timeout=60) as client:
            answers = await asyncio.gather(*(client.get("/me", headers=basic("together")) for _ in range(30)))
            return [one.status_code for one in answers]

    assert asyncio.run(many()) == [200] * 30
    with psycopg.connect(sample_db.owner_dsn) as connection:
        row = connection.execute("SELECT count(*) FROM bandoso.login_failure").fetchone()
    assert row == (0,), "attempts that were right are taken back"


def test_unknown_names_take_as_long_as_wrong_passwords(running: Server) -> None:
    def median(name: str) -> float:
        seconds = []
        for number in range(9):
            given = basic(name, f"wrong {name} {number}")
            began = time.perf_counter()
            assert me(running, given, f"10.1.{number}.{len(name)}").status_code == 401
            seconds.append(time.perf_counter() - began)
        return statistics.median(seconds)

    known, unknown = median("lan"), median("nobody-at-all")
    assert 0.4 < known / unknown < 2.5, (known, unknown)


def test_ten_failures_of_a_client_at_a_name_then_429(running: Server) -> None:
    client = "198.51.100.7"
    for number in range(10):
        assert_problem(me(running, basic("lan", f"guess {number}"), client), 401)
    answer = me(running, basic("lan", "guess 11"), client)
    assert_problem(answer, 429, "too-many-logins")
    assert 1 <= int(answer.headers["retry-after"]) <= 300
    # the right password is not looked at either, so nothing is learnt: also while its owner is at work
    assert me(running, basic("lan"), "198.51.100.9").status_code == 200
    for _ in range(4):
        assert_problem(me(running, basic("lan"), client), 429)
    # an unknown name is treated the same
    for number in range(10):
        assert_problem(me(running, basic("no-such-name", f"guess {number}"), "198.51.100.8"), 401)
    assert_problem(me(running, basic("no-such-name", "guess 11"), "198.51.100.8"), 429)
    # others, from elsewhere, and other ways in are not held up
    assert me(running, basic("lan"), "198.51.100.9").status_code == 200
    assert me(running, basic("hoa"), client).status_code == 200


def test_a_lock_ends_by_itself(running: Server, owner: psycopg.Connection) -> None:
    client = "198.51.100.17"
    for number in range(10):
        me(running, basic("lan", f"guess {number}"), client)
    assert_problem(me(running, basic("lan"), client), 429)
    owner.execute("UPDATE bandoso.login_failure SET at = at - interval '301 s' WHERE key LIKE 'both %'")
    assert me(running, basic("lan"), client).status_code == 200


def test_the_count_is_exact_for_attempts_at_a_time(running: Server) -> None:
    client = "198.51.100.27"
    with ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(
                lambda n: (
                    httpx.get(
                        f"{running.url}/me",
                        timeout=60,
                        headers={**basic("lan", f"at a time {n}"), "X-Forwarded-For": client},
                    ).status_code
                ),
                range(32),
            )
        )
    assert sorted(answers) == [401] * 10 + [429] * 22


def test_a_client_that_tries_many_names_is_held_up(running: Server) -> None:
    client = "2001:db8:7:7::1"
    for number in range(50):
        assert me(running, basic(f"name-{number}", "password1234"), client).status_code == 401
    assert_problem(me(running, basic("hoa"), client), 429)
    assert_problem(me(running, basic("hoa"), "2001:db8:7:7:ffff::2"), 429), "the same network"
    assert me(running, basic("hoa"), "2001:db8:7:8::1").status_code == 200


def test_guesses_of_many_clients_do_not_shut_the_user_out_where_he_works(
    running: Server, owner: psycopg.Connection, sample_db: Database
) -> None:
    account = make(sample_db, "target", ("viewer", "sawaco"))
    at_work = "203.0.113.5"
    assert me(running, basic("target"), at_work).status_code == 200
    # as 100 guesses from 100 addresses leave it
    owner.execute(
        "INSERT INTO bandoso.login_failure (key, attempt)"
        " SELECT 'name target', nextval('bandoso.login_attempt') FROM generate_series(1, 100)"
    )
    assert_problem(me(running, basic("target", "one more guess"), "203.0.113.99"), 429)
    assert_problem(me(running, basic("target"), "203.0.113.100"), 429)
    time.sleep(1.1)
    assert me(running, basic("target"), at_work).status_code == 200
    # also after its password has changed, when no process remembers him
    accounts.set_password(owner, account, "một mật khẩu khác")
    time.sleep(1.1)
    assert me(running, basic("target", "một mật khẩu khác"), at_work).status_code == 200
    assert me(running, bearer(token(sample_db, account)), "203.0.113.100").status_code == 200
    # from elsewhere after a quarter of an hour
    owner.execute("UPDATE bandoso.login_failure SET at = at - interval '901 s' WHERE key = 'name target'")
    assert me(running, basic("target", "một mật khẩu khác"), "203.0.113.100").status_code == 200


def test_the_same_wrong_password_again_is_one_failure_in_each_process(
    running: Server, owner: psycopg.Connection
) -> None:
    client = "198.51.100.37"
    for _ in range(40):
        assert me(running, basic("lan", "an old password"), client).status_code == 401
    row = owner.execute(
        "SELECT count(*) FROM bandoso.login_failure WHERE key = %s", (f"both lan {client}",)
    ).fetchone()
    assert row is not None
    assert 1 <= row[0] <= 2
    assert me(running, basic("lan"), client).status_code == 200


def test_the_log_has_the_name_and_no_secret(running: Server, sample_db: Database) -> None:
    secret = token(sample_db, make(sample_db, "logged", ("viewer", "sawaco")))
    me(running, bearer(secret))
    me(running, basic("logged"))
    me(running, basic("logged", "a wrong password"))
    end = time.monotonic() + 5
    while '"account":"logged"' not in running.log.read_text(errors="replace"):
        assert time.monotonic() < end
        time.sleep(0.1)
    text = running.log.read_text(errors="replace")
    for hidden in (secret, PASSWORD, basic("logged")["Authorization"][6:], "a wrong password"):
        assert hidden not in text
