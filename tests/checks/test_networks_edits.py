"""Global network rules on an edit: judged at once where a small part of the network decides, else left to a
full run; and what they say at once is what the full run says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import shapely

from gis.checks.findings import in_whole
from gis.checks.model import Finding
from gis.checks.registry import applications
from gis.checks.source import EVERYWHERE, MemorySource
from gis.checks.whole import Deferred, Whole
from tests.checks.cases import brief, features_of, setting
from tests.checks.demo_source import demo_source


def judged(
    source: MemorySource, rule: str, network: str, changed: Mapping[str, set[str]] | None = None
) -> list[Finding]:
    """The rule's findings; ``changed``: layer -> asset ids."""
    (app,) = [a for a in applications(setting().catalogue) if a.rule.id == rule and a.network == network]
    fids = None
    if changed is not None:
        fids = {
            layer: frozenset(fid_of(source, layer, asset_id) for asset_id in ids)
            for layer, ids in changed.items()
        }
    return list(in_whole(Whole(source, setting(), fids), [app]))


def fid_of(source: MemorySource, layer: str, asset_id: str) -> int:
    features = source.features(layer, EVERYWHERE, ())
    found = features.fid[features.asset_id == asset_id]
    return int(found[0]) if len(found) else 10**9


def row(line: str, wkt: str, **more: Any) -> dict[str, Any]:
    return {"id": line, "wkt": wkt, **more}


def city(**layers: list[dict[str, Any]]) -> MemorySource:
    catalogue = setting().catalogue
    return MemorySource(
        catalogue, {name: features_of(catalogue, name, rows) for name, rows in layers.items()}
    )


WORKS = [{"id": "W1", "wkt": "POINT (0 0)", "kind": "treatment_works"}]


def test_a_new_pipe_that_nothing_feeds_is_found_at_once() -> None:
    source = city(
        water_pipe=[
            row("P1", "LINESTRING (0 0, 10 0)"),
            row("P2", "LINESTRING (20 0, 30 0)"),
            row("P3", "LINESTRING (30 0, 40 0)"),
        ],
        water_facility=WORKS,
    )
    found = judged(source, "NET-09", "water", {"water_pipe": {"P3"}})
    assert brief(found) == brief(judged(source, "NET-09", "water"))
    assert [ref.asset_id for ref in found[0].features] == ["P2", "P3"]
    assert judged(source, "NET-09", "water", {"water_pipe": {"P1"}}) == []


def test_what_is_not_in_the_network_is_not_judged() -> None:
    source = city(water_pipe=[row("P1", "LINESTRING (0 0, 10 0)")], cadastre_parcel=[])
    assert judged(source, "NET-09", "water", {"cadastre_parcel": set()}) == []
    assert judged(source, "NET-09", "drainage", {"water_pipe": {"P1"}}) == []


def test_an_abandoned_pipe_is_not_judged() -> None:
    source = city(
        water_pipe=[
            row("P1", "LINESTRING (0 0, 10 0)"),
            row("P2", "LINESTRING (20 0, 30 0)", status="abandoned"),
        ],
        water_facility=WORKS,
    )
    assert judged(source, "NET-09", "water", {"water_pipe": {"P2"}}) == []


def test_a_closed_valve_cuts_off_at_once() -> None:
    source = city(
        water_pipe=[row(f"P{n}", f"LINESTRING ({10 * n} 0, {10 * n + 10} 0)") for n in range(6)],
        water_facility=WORKS,
        water_valve=[{"id": "V1", "wkt": "POINT (30 0)", "state": "closed"}],
    )
    found = judged(source, "NET-09", "water", {"water_valve": {"V1"}})
    assert [[ref.asset_id for ref in f.features] for f in found] == [["P3", "P4", "P5"]]


def test_a_way_that_leaves_the_first_circle_is_followed() -> None:
    source = city(
        water_pipe=[row(f"P{n:03d}", f"LINESTRING ({10 * n} 0, {10 * n + 10} 0)") for n in range(120)],
        water_facility=WORKS,
    )
    assert judged(source, "NET-09", "water", {"water_pipe": {"P119"}}) == []


def test_a_deleted_pipe_is_left_to_the_full_run() -> None:
    source = city(water_pipe=[row("P1", "LINESTRING (0 0, 10 0)")], water_facility=WORKS)
    with pytest.raises(Deferred):
        judged(source, "NET-09", "water", {"water_pipe": {"gone"}})


def test_a_city_too_large_to_follow_is_left_to_the_full_run() -> None:
    source = city(
        water_pipe=[row(f"P{n:04d}", f"LINESTRING ({10 * n} 0, {10 * n + 10} 0)") for n in range(3000)],
        water_facility=WORKS,
    )
    with pytest.raises(Deferred):
        judged(source, "NET-09", "water", {"water_pipe": {"P2999"}})
    assert judged(source, "NET-09", "water") == []


def test_the_largest_piece_without_a_source_is_left_to_the_full_run() -> None:
    source = city(
        water_pipe=[
            row("P1", "LINESTRING (0 0, 10 0)"),
            row("P2", "LINESTRING (10 0, 20 0)"),
            row("P3", "LINESTRING (0 9, 9 9)"),
        ]
    )
    with pytest.raises(Deferred):
        judged(source, "NET-09", "water", {"water_pipe": {"P1"}})
    assert [f.features[0].asset_id for f in judged(source, "NET-09", "water", {"water_pipe": {"P3"}})] == [
        "P3"
    ]


LINES = [
    row("D1", "LINESTRING (0 0, 30 0)"),
    row("D2", "LINESTRING (30 0, 60 0)"),
    row("D3", "LINESTRING (30 0, 30 30)"),
]


def test_a_line_that_closes_a_loop_is_found_at_once() -> None:
    source = city(power_line=[*LINES, row("D4", "LINESTRING (60 0, 30 30)")])
    found = judged(source, "NET-10", "power", {"power_line": {"D4"}})
    assert brief(found) == brief(judged(source, "NET-10", "power"))
    assert len(found) == 1
    assert judged(source, "NET-10", "power", {"power_line": {"D1"}}) == []


def test_a_branch_closes_no_loop_however_large_the_network() -> None:
    trunk = [row(f"T{n:04d}", f"LINESTRING ({30 * n} 0, {30 * n + 30} 0)") for n in range(3000)]
    source = city(power_line=[*trunk, row("B1", "LINESTRING (300 0, 300 30)")])
    assert judged(source, "NET-10", "power", {"power_line": {"B1"}}) == []
    with pytest.raises(Deferred):
        # The two sides of a trunk could be joined anywhere.
        judged(source, "NET-10", "power", {"power_line": {"T1500"}})


@pytest.mark.parametrize(
    ("rule", "network"),
    [("NET-09", "water"), ("NET-09", "drainage"), ("NET-09", "power"), ("NET-10", "power")],
)
def test_in_the_demo_city_an_edit_is_judged_as_by_the_full_run(rule: str, network: str) -> None:
    """With its injected errors: each finding of the full run is found from each of its own features, or
    deferred; and from a sound feature nothing is found."""
    source, _ = demo_source(4_000, 1, defects=True)
    layer = {"water": "water_pipe", "drainage": "drainage_conduit", "power": "power_line"}[network]
    full = judged(source, rule, network)
    assert full
    decided = 0
    for one in full:
        for ref in one.features[:3]:
            try:
                found = judged(source, rule, network, {ref.layer: {ref.asset_id}})
            except Deferred:
                continue
            decided += 1
            assert brief(found) == brief([one]), ref
    assert decided or rule == "NET-10"
    wrong = {ref.asset_id for one in full for ref in one.features}
    sound = [a for a in source.features(layer, EVERYWHERE, ()).asset_id if a not in wrong]
    quiet = 0
    for asset_id in np.random.default_rng(2).choice(np.array(sound, dtype=str), 12, replace=False):
        try:
            assert judged(source, rule, network, {layer: {str(asset_id)}}) == []
            quiet += 1
        except Deferred:
            continue
    assert quiet


def test_an_edit_that_lies_nowhere_is_left_to_the_full_run() -> None:
    source = city(
        water_pipe=[row("P1", "LINESTRING (0 0, 10 0)")],
        water_valve=[{"id": "V1", "geometry": shapely.Point()}],
    )
    with pytest.raises(Deferred):
        judged(source, "NET-09", "water", {"water_valve": {"V1"}})
