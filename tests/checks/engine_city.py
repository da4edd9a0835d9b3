"""A demo city with its injected errors in a real database, for the tests of the engine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from gis.checks.model import Application, Outcome
from gis.checks.registry import applications
from gis.checks.run import run_checks
from gis.checks.window import Setting
from gis.city import City
from gis.db.server import Database
from gis.demo.plan import make_plan
from gis.demo.write import write
from layers.registry import Catalogue

#: Small, and yet with networks and most of the injected errors.
PARCELS = 1_500


@dataclass
class CheckedCity:
    """The database, and runs on it."""

    db: Database
    setting: Setting

    def apps(self, *rules: str) -> list[Application]:
        """All applications, or those of some rules or families."""
        every = applications(self.setting.catalogue)
        return [a for a in every if not rules or a.rule.id in rules or a.rule.family in rules]

    def run(self, *rules: str, **options: Any) -> Outcome:
        options.setdefault("workers", 0)
        apps = options.pop("apps", None) or self.apps(*rules)
        return run_checks(self.db, options.pop("setting", self.setting), apps, **options)

    def execute(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.db.owner_dsn, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def table(self) -> list[tuple[Any, ...]]:
        """All stored findings with what they say, in a fixed order."""
        return sorted(
            row
            for layer in ("finding", "finding_restricted")
            for row in self.execute(
                "SELECT asset_id, rule, severity, state, features, value, message_en, ST_AsText(geom),"
                f" sheet, version FROM layer.{layer}"
            )
        )


def fill(db: Database, city: City, catalogue: Catalogue, parcels: int = PARCELS) -> CheckedCity:
    write(db.owner_dsn, make_plan(parcels, 1), city, catalogue, lambda _done, _total: None, defects=True)
    return CheckedCity(db, Setting(city, catalogue, date(2026, 1, 1)))


def brief(outcome: Outcome) -> list[tuple[Any, ...]]:
    """What an outcome's findings are, in a fixed order."""
    return sorted(
        (
            one.finding.rule,
            one.finding.network,
            tuple(sorted((ref.layer, ref.asset_id) for ref in one.finding.features)),
            one.finding.value,
            one.finding.severity,
            one.finding.where.wkt,
            one.sheet,
        )
        for one in outcome.findings()
    )


def table(layer: str) -> Identifier:
    return Identifier("layer", layer)


__all__ = ["SQL", "CheckedCity", "brief", "fill", "table"]
