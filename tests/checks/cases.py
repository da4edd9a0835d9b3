"""Cases of the check rules: small cities in YAML (tests/checks/cases/<rule>.yml) and what is found there.

The same files are the rules' tests and the pictures of their documentation (scripts/rule_docs). A file:

    cases:
      - name: ends 6 cm before its valve
        layers:
          water_pipe: [{id: P1, wkt: 'LINESTRING (0 0, 10 0)', diameter_mm: 100}]
          water_valve: [{id: V1, wkt: 'POINT (10.06 0)'}]
        findings: [{features: [P1, V1], value: 0.06, limit: 0.1}]     # [] where nothing is to be found
        parameters: {snap_m: 0.1}     # over those of the layer files
        today: 2026-01-01             # the day that dates are judged by
        areas: {sawaco: {wards: ['1']}}   # where agencies' features lie, as in city.yml
        unlike: [vertex_order]        # properties that do not hold: translation, vertex_order
        picture: true                 # draw this one

Coordinates are metres from ORIGIN in the storage CRS (Z as given). ``value`` and ``limit`` are compared to
1e-6, ``severity`` and ``mends`` (number of suggested changes) where given.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import yaml

from gis.checks.features import Features
from gis.checks.findings import in_whole, in_window
from gis.checks.model import Application, Finding
from gis.checks.registry import applications
from gis.checks.source import EVERYWHERE, NOWHERE, Box, MemorySource, column_array, column_kind
from gis.checks.whole import Whole
from gis.checks.window import Setting
from gis.city import Area, City
from gis.settings import Settings
from layers.registry import Catalogue

FOLDER = Path(__file__).parent / "cases"
#: libyaml is ten times as quick, and each test process reads all cases.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: Thu Thiem in EPSG:9210; a power of two apart from round numbers would hide nothing.
ORIGIN = (607000.0, 1192000.0)


@dataclass(frozen=True, eq=False)  # one of a file is itself only
class Case:
    """One small city and what the rule finds in it."""

    rule: str
    name: str
    layers: dict[str, list[dict[str, Any]]]
    findings: list[dict[str, Any]]
    parameters: dict[str, Any] = field(default_factory=dict)
    today: date = date(2026, 1, 1)
    areas: dict[str, dict[str, Any]] = field(default_factory=dict)
    unlike: tuple[str, ...] = ()
    picture: bool = False

    def __str__(self) -> str:
        return f"{self.rule}: {self.name}"


def read_cases(path: Path) -> list[Case]:
    """The cases of a file named after its rule."""
    content = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    return [
        Case(path.stem.upper(), **{**case, "unlike": tuple(case.get("unlike", ()))})
        for case in content["cases"]
    ]


@cache
def all_cases() -> tuple[Case, ...]:
    return tuple(case for path in sorted(FOLDER.glob("*.yml")) for case in read_cases(path))


@cache
def setting() -> Setting:
    settings = Settings(data_dir=Path("/nonexistent"))
    city = settings.load_city()
    return Setting(city, settings.load_catalogue(city), date(2026, 1, 1))


def features_of(catalogue: Catalogue, layer_id: str, rows: Sequence[dict[str, Any]]) -> Features:
    """Rows of a case as features: ``id``, ``wkt`` or ``geometry`` (shapely), ``owner`` and attributes."""
    layer = catalogue.layers[layer_id]
    geometry = np.empty(len(rows), dtype=object)
    for index, row in enumerate(rows):
        shape = row.get("geometry")
        if "geometry" not in row:
            shape = shapely.transform(
                shapely.from_wkt(row["wkt"]),
                lambda xyz: xyz + np.array([*ORIGIN, 0.0][: xyz.shape[1]]),
                include_z=shapely.has_z(shapely.from_wkt(row["wkt"])),
            )
        geometry[index] = shape
    names = {name for row in rows for name in row} - {"id", "wkt", "geometry", "owner", "fid"} | {"status"}
    columns = {
        name: column_array(
            column_kind(layer, name),
            [row.get(name, "in_service" if name == "status" else None) for row in rows],
        )
        for name in names
    }
    ids, owners = np.empty(len(rows), dtype=object), np.empty(len(rows), dtype=object)
    ids[:] = [row["id"] for row in rows]
    owners[:] = [row.get("owner", layer.definition.owner) for row in rows]
    fids = np.array([row.get("fid", number + 1) for number, row in enumerate(rows)], dtype=np.int64)
    return Features(layer, fids, ids, owners, geometry, columns)


@cache
def _applications() -> tuple[Application, ...]:
    """Those of the shipped catalogue: making them takes longer than most cases."""
    return tuple(applications(setting().catalogue))


def applied(case: Case) -> list[Application]:
    """The rule's applications to the case's layers, with the case's parameters."""
    found = [
        app for app in _applications() if app.rule.id == case.rule and set(app.layers) & set(case.layers)
    ]
    assert found, f"{case}: no layer file applies {case.rule} to {sorted(case.layers)}"
    return [replace(app, parameters={**app.parameters, **case.parameters}) for app in found]


def check(case: Case, source: MemorySource, windows: Iterable[Box] = (EVERYWHERE,)) -> list[Finding]:
    """The rule's findings in ``source``, from windows that cover everything."""
    at = replace(setting(), today=case.today, city=with_areas(setting().city, case.areas))
    apps = applied(case)
    found = [one for box in (*windows, NOWHERE) for one in in_window(box, source, at, apps)]
    return found + list(in_whole(Whole(source, at), apps))


def with_areas(city: City, areas: dict[str, dict[str, Any]]) -> City:
    agencies = tuple(
        agency.model_copy(update={"area": Area(**areas[agency.id])}) if agency.id in areas else agency
        for agency in city.agencies
    )
    return city.model_copy(update={"agencies": agencies})


def source_of(case: Case) -> MemorySource:
    catalogue = setting().catalogue
    return MemorySource(
        catalogue, {layer: features_of(catalogue, layer, rows) for layer, rows in case.layers.items()}
    )


def brief(found: Iterable[Finding]) -> list[tuple[Any, ...]]:
    """Findings in a form to compare: who, how much, against what; in a fixed order."""
    return sorted(
        (
            one.rule,
            one.network,
            tuple(sorted(ref.asset_id for ref in one.features)),
            None if one.value is None else round(one.value, 6),
            None if one.limit is None else round(one.limit, 6),
            one.severity,
        )
        for one in found
    )
