"""The demo city's networks: clean, nothing is found; with its injected errors each is found, nothing else is
an error, and what is mended is not found again."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
import pytest
import shapely

from gis.checks.features import Features
from gis.checks.findings import in_whole, in_window
from gis.checks.model import Finding
from gis.checks.registry import applications
from gis.checks.source import EVERYWHERE, MemorySource
from gis.checks.whole import Whole
from tests.checks.cases import setting
from tests.checks.demo_source import demo_source

PARCELS = 5_000
#: Consequences of an injected error lie this near to it (m).
NEAR = 2.0


def judged(source: MemorySource, rules: Iterable[str] = ()) -> list[Finding]:
    apps = [a for a in applications(setting().catalogue) if a.rule.family == "NET"]
    apps = [a for a in apps if not rules or a.rule.id in rules]
    found = list(in_window(EVERYWHERE, source, setting(), apps))
    return found + list(in_whole(Whole(source, setting()), apps))


@cache
def with_defects() -> tuple[MemorySource, list[Finding]]:
    source, _ = demo_source(PARCELS, 1, defects=True)
    return source, judged(source)


def test_the_clean_city_has_nothing_but_information() -> None:
    found = judged(demo_source(PARCELS)[0])
    assert {(f.rule, f.severity) for f in found} <= {("NET-04", "I")}


def test_every_injected_error_is_found_and_no_other() -> None:
    _, found = with_defects()
    _, defects = demo_source(PARCELS, 1, defects=True)
    mine = [d for d in defects if d.rule.startswith("NET-")]
    assert len({d.rule for d in mine}) == 14  # all but NET-04
    for defect in mine:
        named = [
            f
            for f in found
            if f.rule == defect.rule and {r.asset_id for r in f.features} & {*defect.asset_ids}
        ]
        assert named, defect
    known = {asset_id for d in defects for asset_id in (*d.asset_ids, *(a for _, a in d.changed))}
    places = shapely.union_all([d.geometry for d in defects])
    for one in found:
        if one.severity == "E":
            assert known & {r.asset_id for r in one.features} or places.distance(one.where) < NEAR, one


@pytest.mark.parametrize("rule", ["NET-01", "NET-03"])
def test_what_is_mended_is_not_found_again(rule: str) -> None:
    source, found = with_defects()
    mends = [mend for f in found if f.rule == rule for mend in f.mends]
    assert mends and all(0 <= m.moved_m <= 0.1 for m in mends)
    layers: dict[str, Features] = {}
    for layer in {layer for a in applications(setting().catalogue) if a.network for layer in a.layers}:
        features = source.features(
            layer, EVERYWHERE, [f.name for f in setting().catalogue.layers[layer].own_fields] + ["status"]
        )
        geometry, parts = features.geometry.copy(), []
        for mend in mends:
            if mend.layer == layer:
                (at,) = np.flatnonzero(features.fid == mend.fid)
                before = geometry[at]
                geometry[at] = mend.geometry
                whole = shapely.length([mend.geometry, *mend.split]).sum()
                assert abs(whole - before.length) <= 2 * mend.moved_m + 1e-6
                assert shapely.has_z(mend.geometry) == shapely.has_z(before)
                parts += [(at, part) for part in mend.split]
        taken = features.take(np.array([*range(len(features)), *(at for at, _ in parts)]))
        ids = taken.asset_id.copy()
        ids[len(features) :] = [f"{ids[at]}-2" for at, _ in parts]
        shapes = np.concatenate([geometry, np.array([part for _, part in parts] + [None], dtype=object)[:-1]])
        fids = np.arange(len(ids), dtype=np.int64)
        layers[layer] = Features(features.layer, fids, ids, taken.owner, shapes, taken.columns)
    assert [f for f in judged(MemorySource(setting().catalogue, layers), [rule]) if f.rule == rule] == []
