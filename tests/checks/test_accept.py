"""Findings that people accept: they stay, are not counted, and come back when their time is over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import psycopg
import pytest

from gis.checks.accept import accept, one_finding, reopen
from gis.checks.model import Outcome
from gis.checks.registry import applications
from gis.checks.run import run_checks
from gis.db.server import Database
from gis.errors import NotFoundError, UsageError
from tests.checks.cases import setting

TODAY = setting().today
LINE = "LINESTRING(607000 1192000, 607010 1192000, 607010 1192000, {} 1192005)"


@pytest.fixture(autouse=True)
def roads(owner: psycopg.Connection) -> Iterator[None]:
    """Two roads with a repeated vertex each."""
    for number in (1, 2):
        owner.execute(
            "INSERT INTO layer.base_road (asset_id, owner, geom)"
            " VALUES (%s, 'stnmt', ST_Multi(ST_GeomFromText(%s, 9210)))",
            [f"R{number}", LINE.format(607020 + number)],
        )
    yield
    owner.execute("TRUNCATE layer.base_road, layer.finding, bandoso.finding_key")


def run(db: Database, today: date = TODAY) -> Outcome:
    apps = [app for app in applications(setting().catalogue) if app.key == "GEN-05:base_road"]
    return run_checks(db, replace(setting(), today=today), apps, workers=0)


def ids(outcome: Outcome) -> list[str]:
    return [one.id for one in outcome.findings()]


def test_what_is_accepted_does_not_count_until_its_day_is_over(
    module_db: Database, owner: psycopg.Connection
) -> None:
    first, _ = ids(run(module_db))
    until = TODAY + timedelta(days=30)
    words = {"reason": "  biết rồi,\n để  yên ", "until": until, "today": TODAY}
    assert accept(owner, setting().catalogue, [first, first], **words) == 1
    assert accept(owner, setting().catalogue, [first], **words) == 0, "said before"
    shown = one_finding(owner, setting().catalogue, first)
    assert (shown.state, shown.accepted_reason, shown.accepted_until) == (
        "accepted",
        "biết rồi, để yên",
        until,
    )

    for today, open_errors in ((TODAY, 1), (until, 1), (until + timedelta(days=1), 2)):
        outcome = run(module_db, today)
        assert (outcome.errors(), len(ids(outcome))) == (open_errors, 2), today
    assert one_finding(owner, setting().catalogue, first).state == "open"


def test_reopened_counts_again(module_db: Database, owner: psycopg.Connection) -> None:
    first, second = ids(run(module_db))
    accept(owner, setting().catalogue, [first, second], reason="as built", until=None, today=TODAY)
    assert run(module_db).errors() == 0
    assert reopen(owner, setting().catalogue, [first]) == 1
    assert run(module_db).errors() == 1


def test_all_or_none(module_db: Database, owner: psycopg.Connection) -> None:
    first, second = ids(run(module_db))
    with pytest.raises(NotFoundError, match="no finding 'nobody'"):
        accept(owner, setting().catalogue, [first, "nobody"], reason="x", until=None, today=TODAY)
    owner.execute("DELETE FROM layer.base_road WHERE asset_id = 'R2'")
    run(module_db)
    gone = next(i for i in (first, second) if one_finding(owner, setting().catalogue, i).state == "mended")
    with pytest.raises(UsageError, match="is mended"):
        accept(owner, setting().catalogue, [first, second], reason="x", until=None, today=TODAY)
    with pytest.raises(UsageError, match="is mended"):
        reopen(owner, setting().catalogue, [gone])
    states = owner.execute("SELECT DISTINCT state FROM layer.finding").fetchall()
    assert sorted(states) == [("mended",), ("open",)]


@pytest.mark.parametrize(
    ("reason", "until", "sentence"),
    [
        (" \n ", None, "needs a reason"),
        ("x" * 1001, None, "at most 1000"),
        ("x", TODAY - timedelta(days=1), "is past"),
    ],
)
def test_what_cannot_be_accepted_is_told(
    module_db: Database, owner: psycopg.Connection, reason: str, until: date | None, sentence: str
) -> None:
    first, _ = ids(run(module_db))
    with pytest.raises(UsageError, match=sentence):
        accept(owner, setting().catalogue, [first], reason=reason, until=until, today=TODAY)
