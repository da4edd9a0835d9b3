"""Every rule on its own small cities: what is to be found is found, and nothing else; and wherever the city
lies, in whatever order it is read, and however it is cut into windows, the findings are the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import shapely

from gis.checks.features import Features
from gis.checks.findings import message
from gis.checks.model import Finding
from gis.checks.source import Box, MemorySource
from tests.checks.cases import ORIGIN, Case, all_cases, brief, check, features_of, setting, source_of

CASES = [pytest.param(case, id=str(case)) for case in all_cases()]


@pytest.mark.parametrize("case", CASES)
def test_findings(case: Case) -> None:
    found = check(case, source_of(case))
    expected = sorted(tuple(sorted(one["features"])) for one in case.findings)
    assert sorted(tuple(sorted(ref.asset_id for ref in one.features)) for one in found) == expected
    left = list(found)
    for wanted in case.findings:
        match = next((one for one in left if _agrees(one, wanted)), None)
        assert match is not None, f"{wanted} is not among {[(f.value, f.limit, f.severity) for f in left]}"
        left.remove(match)
    for one in found:
        assert one.where is not None and not one.where.is_empty
        for language in ("vi", "en"):
            text = message(one, language)
            assert text and "{" not in text and "None" not in text and "nan" not in text


def _agrees(found: Finding, wanted: dict[str, object]) -> bool:
    if sorted(ref.asset_id for ref in found.features) != sorted(wanted["features"]):  # type: ignore[call-overload]
        return False
    for name in ("value", "limit"):
        if name in wanted and getattr(found, name) != pytest.approx(wanted[name], abs=1e-6):
            return False
    return all(
        name not in wanted or actual == wanted[name]
        for name, actual in (("severity", found.severity), ("mends", len(found.mends)))
    )


@cache
def whole(case: Case) -> list[tuple[Any, ...]]:
    """What is found in the case as it is written."""
    return brief(check(case, source_of(case)))


def changed(case: Case, change: Callable[[Features], Features]) -> MemorySource:
    catalogue = setting().catalogue
    return MemorySource(
        catalogue, {layer: change(features_of(catalogue, layer, rows)) for layer, rows in case.layers.items()}
    )


def with_geometry(features: Features, geometry: np.ndarray) -> Features:
    return Features(
        features.layer, features.fid, features.asset_id, features.owner, geometry, features.columns
    )


@pytest.mark.parametrize("case", [c for c in CASES if "translation" not in c.values[0].unlike])
def test_translation_changes_nothing(case: Case) -> None:
    # Powers of two: the coordinates' last bits stay, so that tolerances are met to the bit.
    def move(features: Features) -> Features:
        moved = features.geometry.copy()
        for deep in (False, True):  # what has no heights must not get any
            some = shapely.has_z(moved) == deep
            by = np.array([4096.0, -2048.0, 0.0])[: 2 + deep]
            moved[some] = shapely.transform(moved[some], lambda xyz, by=by: xyz + by, include_z=deep)
        return with_geometry(features, moved)

    assert brief(check(case, changed(case, move))) == whole(case)


@pytest.mark.parametrize("case", CASES)
def test_order_of_features_changes_nothing(case: Case) -> None:
    def turn(features: Features) -> Features:
        return features.take(np.arange(len(features))[::-1].copy())

    assert brief(check(case, changed(case, turn))) == whole(case)


@pytest.mark.parametrize("case", [c for c in CASES if "vertex_order" not in c.values[0].unlike])
def test_order_of_vertices_changes_nothing(case: Case) -> None:
    """Rings begin elsewhere and run the other way; lines of rules that know no direction are reversed."""

    def turn(features: Features) -> Features:
        return with_geometry(features, shapely.reverse(_rolled(features.geometry)))

    assert brief(check(case, changed(case, turn))) == whole(case)


def _rolled(geometry: np.ndarray) -> np.ndarray:
    rolled = np.empty(len(geometry), dtype=object)
    for index, shape in enumerate(geometry):
        if shape.geom_type == "Polygon" and not shape.is_empty:
            ring = shapely.get_coordinates(shape.exterior)[:-1]
            ring = np.roll(ring, 1, axis=0)
            rolled[index] = shapely.Polygon(np.vstack([ring, ring[:1]]), [r.coords for r in shape.interiors])
        else:
            rolled[index] = shape
    return rolled


#: How many cuts there are from north to south, and from west to east.
CUTS = ((1, 0), (0, 1), (2, 1), (1, 2), (2, 2), (0, 0))


@pytest.mark.parametrize("case", CASES)
def test_windows_change_nothing(case: Case) -> None:
    """Cut anywhere, also through the middle of what is wrong."""
    chance = np.random.default_rng(crc32(str(case).encode()))
    west, south, east, north = _extent(case)
    for columns, rows in CUTS:
        xs, ys = chance.uniform(west, east, columns), chance.uniform(south, north, rows)
        boxes = windows(xs.tolist(), ys.tolist())
        assert brief(check(case, source_of(case), boxes)) == whole(case), boxes


def _extent(case: Case) -> list[float]:
    """The box (m from ORIGIN) of what the case draws."""
    drawn = [features_of(setting().catalogue, layer, rows).geometry for layer, rows in case.layers.items()]
    box = shapely.total_bounds(np.concatenate(drawn)) - np.tile(ORIGIN, 2)
    return np.where(np.isfinite(box), box, [-60, -60, 60, 60]).tolist()  # type: ignore[no-any-return]


def windows(xs: list[float], ys: list[float]) -> list[Box]:
    columns = [-np.inf, *sorted(ORIGIN[0] + x for x in xs), np.inf]
    rows = [-np.inf, *sorted(ORIGIN[1] + y for y in ys), np.inf]
    return [(x0, y0, x1, y1) for x0, x1 in pairwise(columns) for y0, y1 in pairwise(rows)]
