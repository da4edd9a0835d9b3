"""Drains that flow in circles against a search by hand, edits against whole runs, and the demo."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from gis import crs
from gis.checks.features import Features
from gis.checks.findings import in_whole, in_window
from gis.checks.gravity.circles import circles
from gis.checks.model import Application, Finding
from gis.checks.registry import applications
from gis.checks.source import EVERYWHERE, Box, MemorySource
from gis.checks.whole import Whole
from tests.checks.cases import Case, all_cases, brief, check, features_of, setting, source_of, with_areas
from tests.checks.demo_source import demo_source

#: Three superblocks: the third begins a second row, so that there is a 110 kV line between rows.
PARCELS = 6_300


def mine(*families: str) -> list[Application]:
    return [
        app for app in applications(setting().catalogue) if app.rule.family in (families or ("DRN", "XLY"))
    ]


def judged(source: MemorySource, apps: list[Application], boxes: list[Box]) -> list[Finding]:
    found = [one for box in boxes for one in in_window(box, source, setting(), apps)]
    return found + list(in_whole(Whole(source, setting()), apps))


# --- circles

arcs = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=24)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(arcs)
def test_circles_by_search(drawn: list[tuple[int, int]]) -> None:
    start, end = (np.array([arc[side] for arc in drawn], np.int64) for side in (0, 1))
    found = {frozenset(some.tolist()) for some in circles(start, end, 8)}
    following = defaultdict(set)
    for tail, head in drawn:
        following[tail].add(head)

    def reach(node: int) -> set[int]:
        seen, todo = set(), [node]
        while todo:
            for head in following[todo.pop()] - seen:
                seen.add(head)
                todo.append(head)
        return seen

    reached = {node: reach(node) for node in range(8)}
    on = [n for n, (tail, head) in enumerate(drawn) if tail != head and tail in reached[head]]
    expected = set()
    for n in on:
        home = drawn[n][0]
        back = {m for m in on if drawn[m][0] in reached[home] and home in reached[drawn[m][0]]}
        expected.add(frozenset(back))
    assert found == expected


def drains(*rows: tuple[str, str, dict[str, Any]]) -> MemorySource:
    catalogue = setting().catalogue
    conduits = [{"id": name, "wkt": wkt, **more} for name, wkt, more in rows]
    return MemorySource(catalogue, {"drainage_conduit": features_of(catalogue, "drainage_conduit", conduits)})


def edited(source: MemorySource, *names: str) -> Whole:
    """What a rule sees after an edit of these conduits."""
    features = source.features("drainage_conduit", EVERYWHERE, ())
    fids = frozenset(int(f) for f, name in zip(features.fid, features.asset_id, strict=True) if name in names)
    return Whole(source, setting(), {"drainage_conduit": fids})


DRN_10 = [app for app in mine("DRN") if app.rule.id == "DRN-10"]


def named(found: list[Finding]) -> list[list[str]]:
    return sorted([ref.asset_id for ref in one.features] for one in found)


def test_an_edit_that_closes_a_circle() -> None:
    """Large enough that the first neighbourhood read does not hold it."""
    source = drains(
        ("A", "LINESTRING (0 0, 300 0)", {}),
        ("B", "LINESTRING (300 0, 300 300)", {}),
        ("C", "LINESTRING (300 300, 0 300)", {}),
        ("D", "LINESTRING (0 300, 0 0)", {}),
        ("E", "LINESTRING (300 300, 600 300)", {}),
        ("F", "LINESTRING (900 0, 900 9)", {}),
        ("G", "LINESTRING (900 9, 900 0)", {}),
    )
    assert named(list(in_whole(Whole(source, setting()), DRN_10))) == [["A", "B", "C", "D"], ["F", "G"]]
    assert named(list(in_whole(edited(source, "D"), DRN_10))) == [["A", "B", "C", "D"]]
    assert named(list(in_whole(edited(source, "E"), DRN_10))) == []
    assert named(list(in_whole(edited(source), DRN_10))) == []


def test_an_edit_that_leads_foul_water_into_a_storm_drain() -> None:
    source = drains(
        ("A", "LINESTRING (0 0, 30 0)", {"system": "foul"}),
        ("B", "LINESTRING (30 0, 60 0)", {"system": "storm"}),
        ("C", "LINESTRING (60 0, 90 0)", {"system": "storm"}),
        ("D", "LINESTRING (500 0, 530 0)", {"system": "foul"}),
        ("E", "LINESTRING (530 0, 560 0)", {"system": "storm"}),
    )
    assert named(list(in_whole(Whole(source, setting()), DRN_10))) == [["A", "B"], ["D", "E"]]
    assert named(list(in_whole(edited(source, "B"), DRN_10))) == [["A", "B"]]
    assert named(list(in_whole(edited(source, "C"), DRN_10))) == []


# --- other units


@pytest.mark.parametrize(
    "case", [c for c in all_cases() if c.picture and c.rule[:3] in ("DRN", "XLY")], ids=str
)
def test_a_city_in_feet(case: Case) -> None:
    """The same things, measured in US survey feet: the same findings in metres."""
    feet, at = 3547, setting()
    unit = crs.definition(feet).unit_m
    assert unit < 0.31
    city = with_areas(at.city, case.areas).model_copy(
        update={"crs": at.city.crs.model_copy(update={"storage": feet})}
    )
    layers = {}
    for name, rows in case.layers.items():
        features = features_of(at.catalogue, name, rows)
        shapes = features.geometry
        for flat in (True, False):
            which = shapely.has_z(shapes) != flat
            scale = np.array([1 / unit, 1 / unit, 1.0])[: 2 if flat else 3]
            shapes[which] = shapely.transform(shapes[which], lambda xyz, s=scale: xyz * s, include_z=not flat)
        layers[name] = Features(
            features.layer, features.fid, features.asset_id, features.owner, shapes, features.columns
        )
    apps = [
        replace(a, parameters={**a.parameters, **case.parameters}) for a in mine() if a.rule.id == case.rule
    ]
    source, there = MemorySource(at.catalogue, layers), replace(at, city=city)
    found = [*in_window(EVERYWHERE, source, there, apps), *in_whole(Whole(source, there), apps)]
    assert [one[:3] for one in brief(found)] == [one[:3] for one in brief(check(case, source_of(case)))]
    for one, wanted in zip(found, case.findings, strict=True):
        assert one.value == pytest.approx(wanted.get("value", one.value), abs=1e-4)


# --- the demo


def test_the_clean_demo_breaks_nothing() -> None:
    source, _ = demo_source(PARCELS)
    assert [(one.rule, one.features) for one in judged(source, mine(), [EVERYWHERE])] == []


def test_each_injected_error_is_found_and_no_error_elsewhere() -> None:
    source, defects = demo_source(PARCELS, defects=True)
    found = judged(source, mine(), [EVERYWHERE])
    wanted = [d for d in defects if d.rule[:3] in ("DRN", "XLY")]
    assert {d.rule for d in wanted} == {f"DRN-{n:02d}" for n in range(1, 11)} | {
        f"XLY-0{n}" for n in range(1, 6)
    }
    about = [(one.rule, {ref.asset_id for ref in one.features}) for one in found]
    for defect in wanted:
        assert any(rule == defect.rule and names & set(defect.asset_ids) for rule, names in about), defect
    # A finding of severity E names something that was made wrong, whatever rule it was made wrong for.
    places = {name for d in defects for name in d.asset_ids}
    for one in found:
        assert one.severity != "E" or places & {ref.asset_id for ref in one.features}, one


@pytest.mark.parametrize("seed", [1, 2])
def test_windows_of_the_demo_give_the_same(seed: int) -> None:
    """Cut at random, through junctions, crossings and houses."""
    source, _ = demo_source(PARCELS, defects=True)
    apps = mine()
    lines: Features = source.features("drainage_conduit", EVERYWHERE, ())
    (x0, y0), (x1, y1) = lines.boxes[:, :2].min(axis=0), lines.boxes[:, 2:].max(axis=0)
    random = np.random.default_rng(seed)
    xs = [-np.inf, *np.sort(random.uniform(x0, x1, 3)), np.inf]
    ys = [-np.inf, *np.sort(random.uniform(y0, y1, 2)), np.inf]
    boxes = [(a, b, c, d) for a, c in pairwise(xs) for b, d in pairwise(ys)]
    assert brief(judged(source, apps, boxes)) == brief(judged(source, apps, [EVERYWHERE]))
