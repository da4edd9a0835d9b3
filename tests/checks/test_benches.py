"""What the measuring programs put into a database is what they made."""

from __future__ import annotations

from datetime import date

from gis.checks.registry import applications
from gis.checks.run import run_checks
from gis.checks.window import Setting
from gis.city import City
from gis.db.server import Database
from layers.registry import Catalogue
from scripts.bench_check import fill_networks


def test_networks_of_the_bench_are_sound(module_db: Database, city: City, catalogue: Catalogue) -> None:
    """Abandoned pipes hang on nothing; filled in without their status they had no way to a source."""
    setting = Setting(city, catalogue, date(2026, 1, 1))
    count = fill_networks(module_db, setting, 1_500)
    assert count["water_pipe"] + count["drainage_conduit"] > 1_000
    apps = [app for app in applications(catalogue) if app.rule.id in ("NET-01", "NET-09", "DRN-01")]
    outcome = run_checks(module_db, setting, apps, workers=0, store=False)
    assert outcome.checked["water_pipe"] == count["water_pipe"]
    assert not [one.finding.features[0].asset_id for one in outcome.findings()]
