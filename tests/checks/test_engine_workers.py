"""Data that ends the worker that looks at it costs nothing but the judgement of that data; and workers of a
Dask cluster find what processes of our own find."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gis.checks.model import Application
from gis.checks.registry import _FOUND, rules
from gis.city import City
from gis.db.server import Database
from gis.errors import DatabaseError, UsageError
from layers.registry import Catalogue
from tests.checks.engine_city import CheckedCity, brief, fill


@pytest.fixture(scope="module")
def checked(module_db: Database, city: City, catalogue: Catalogue) -> CheckedCity:
    return fill(module_db, city, catalogue)


@pytest.fixture
def deadly() -> Iterator[None]:
    """The rule exists while a test runs, and for no other test."""
    import tests.checks.deadly as module

    _FOUND["GEN-99"] = _FOUND.get("GEN-99") or KEPT[0]
    KEPT[:] = [_FOUND["GEN-99"]]
    rules.cache_clear()
    yield
    assert module.RULE.id == "GEN-99"
    del _FOUND["GEN-99"]
    rules.cache_clear()


KEPT: list[object] = []


def application(layer: str, *asset_ids: str, how: str) -> Application:
    from tests.checks.deadly import application as make

    return make(layer, *asset_ids, how=how)


@pytest.mark.usefixtures("deadly")
@pytest.mark.parametrize("how", ["kill", "raise", "memory"])
def test_the_feature_that_ends_workers_is_found(checked: CheckedCity, how: str) -> None:
    others = [a for a in checked.apps("GEN-05") if a.layers[0] in ("base_road", "base_building")]
    [(name,)] = checked.execute(
        "SELECT asset_id FROM layer.base_building ORDER BY asset_id OFFSET 77 LIMIT 1"
    )
    apps = [application("base_building", name, how=how), *others]
    outcome = checked.run(apps=apps, workers=1, store=False, window=150)
    found = list(outcome.findings())
    [culprit] = [one.finding for one in found if one.finding.rule == "GEN-01"]
    assert [ref.asset_id for ref in culprit.features] == [name]
    assert "GEN-99" in " ".join(outcome.undecided)
    assert name in " ".join(outcome.undecided)
    # All the rest was judged.
    alone = checked.run(apps=others, workers=1, store=False)
    assert [b for b in brief(outcome) if b[0] != "GEN-01"] == brief(alone)


@pytest.mark.usefixtures("deadly")
def test_what_was_not_judged_is_not_mended(checked: CheckedCity) -> None:
    [(name,)] = checked.execute("SELECT asset_id FROM layer.base_building ORDER BY asset_id LIMIT 1")
    app = application("base_building", name, how="raise")
    first = checked.run(apps=[app], workers=1)
    assert (first.new, first.mended) == (1, 0)
    again = checked.run(apps=[app], workers=1)
    assert (again.new, again.mended) == (0, 0)


def test_a_database_that_goes_away_ends_the_run(checked: CheckedCity) -> None:
    def cut(done: int, _total: int | None) -> None:
        checked.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'bandoso check'"
            " AND datname = current_database()"
        )

    with pytest.raises(DatabaseError):
        checked.run("GEN", workers=2, window=300, progress=cut)


def test_dask_workers_find_the_same(checked: CheckedCity) -> None:
    distributed = pytest.importorskip("distributed")
    apps = checked.apps("CAD-01", "CAD-04", "GEN-05", "NET-01", "NET-09", "CAD-06")
    alone = checked.run(apps=apps, store=False)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        outcome = checked.run(apps=apps, store=False, window=1_000, scheduler=cluster.scheduler_address)
        assert brief(outcome) == brief(alone)
        assert brief(outcome)


def test_a_dask_scheduler_that_is_not_there(checked: CheckedCity) -> None:
    pytest.importorskip("distributed")
    with pytest.raises(UsageError, match="Dask scheduler"):
        checked.run("GEN-05", scheduler="tcp://127.0.0.1:9", store=False)
