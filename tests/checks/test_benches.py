"""What the measuring programs put into a database is what they made."""

from __future__ import annotations

from datetime import date

import psycopg

from gis.checks.registry import applications
from gis.checks.run import run_checks
from gis.checks.window import Setting
from gis.city import City
from gis.db.server import Database
from layers.registry import Catalogue
from scripts.bench_check import fill_networks
from scripts.bench_serve_peers import copy_table
from scripts.bench_serve_work import BOUNDS, workloads
from scripts.bench_serve_work import City as Parcels


def test_networks_of_the_bench_are_sound(module_db: Database, city: City, catalogue: Catalogue) -> None:
    """Abandoned pipes hang on nothing; filled in without their status they had no way to a source."""
    setting = Setting(city, catalogue, date(2026, 1, 1))
    count = fill_networks(module_db, setting, 1_500)
    assert count["water_pipe"] + count["drainage_conduit"] > 1_000
    apps = [app for app in applications(catalogue) if app.rule.id in ("NET-01", "NET-09", "DRN-01")]
    outcome = run_checks(module_db, setting, apps, workers=0, store=False)
    assert outcome.checked["water_pipe"] == count["water_pipe"]
    assert not [one.finding.features[0].asset_id for one in outcome.findings()]


def test_requests_of_the_bench_of_serving(module_db: Database) -> None:
    """Lists are fixed by the seed, and each workload asks us and the peers that it is bound by."""
    with psycopg.connect(module_db.owner_dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO layer.cadastre_parcel (asset_id, owner, commune_code, sheet_no, parcel_no, geom)"
            " SELECT 'b' || n, 'stnmt', '90000', 's' || n / 10, n::text, ST_SetSRID(ST_MakeEnvelope("
            "604000 + 20 * n, 1191000, 604015 + 20 * n, 1191020), 9210) FROM generate_series(1, 40) AS n"
        )
    copy_table(module_db.owner_dsn)
    first, second = (workloads(Parcels(module_db, 3)) for _ in range(2))
    assert [w.paths for w in first] == [w.paths for w in second]
    for one in first:
        asked = {*one.paths, *one.export, *(["plain SQL"] if one.plain else [])}
        for peer, _ in BOUNDS[one.name]:
            assert peer in asked
        assert {"bandoso", "bandoso, nothing kept"} & asked
    item = next(w for w in first if w.name == "item")
    assert set(item.paths["tipg"]) == {
        p.replace("cadastre_parcel", "peer.parcel") for p in item.paths["bandoso"]
    }
