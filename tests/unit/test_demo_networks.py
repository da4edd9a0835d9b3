"""The demo's networks keep the rules that check-rules.md calls errors: connected, falling, radial, clear."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
import shapely

from gis.demo.plan import make_plan
from gis.settings import Settings
from tests.demo_city import DemoCity, at, build, components, ends

WATER_NODES = ("water_facility", "water_valve", "water_hydrant", "water_meter")
DRAIN_NODES = ("drainage_manhole", "drainage_inlet", "drainage_outfall")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoCity:
    settings = Settings.from_env({}, data_dir=tmp_path_factory.mktemp("data"))
    city = settings.load_city()
    return build(make_plan(13_000, 1), city, settings.load_catalogue(city))


def in_service(attributes: dict[str, Any]) -> bool:
    return attributes.get("status", "in_service") == "in_service"


# --- water -----------------------------------------------------------------------------------------------


def test_every_pipe_ends_on_nodes_at_their_height(demo: DemoCity) -> None:
    nodes = demo.nodes(*WATER_NODES)
    used = Counter(end for pipe in demo["water_pipe"].geoms for end in ends(pipe))
    assert set(used) == set(nodes), "an end without a node, or a node without a pipe"
    assert max(map(len, nodes.values())) == 1
    # A lone end is a device: never a plain junction.
    kinds = {i: a.get("kind") for layer in WATER_NODES for i, (_, a) in demo[layer].by_id().items()}
    lone = Counter(kinds[nodes[end][0][1]] for end, count in used.items() if count == 1)
    assert set(lone) <= {"end_cap", "customer", "treatment_works"}


def test_all_water_in_service_comes_from_the_works(
    demo: DemoCity,
) -> None:
    edges = [
        ends(g)
        for g, a in zip(demo["water_pipe"].geoms, demo["water_pipe"].attributes, strict=True)
        if in_service(a)
    ]
    component = components(edges)
    works = [
        at(g)
        for g, a in zip(demo["water_facility"].geoms, demo["water_facility"].attributes, strict=True)
        if a["kind"] == "treatment_works"
    ]
    assert len(works) == 1
    assert {component[a] for a, _ in edges} == {component[works[0]]}


def test_pipes_have_no_junction_within_them(demo: DemoCity) -> None:
    pipes = demo["water_pipe"].array
    tree = shapely.STRtree(pipes)
    for layer in WATER_NODES:
        nodes = demo[layer]
        for n, p in tree.query(nodes.array, predicate="dwithin", distance=0.01).T:
            where = f"{nodes.ids[n]} on {demo['water_pipe'].ids[p]}"
            assert at(nodes.geoms[n], z=False) in ends(pipes[p], z=False), where


def test_there_is_a_dma_meter_and_boundary_valve_for_every_district(demo: DemoCity) -> None:
    districts = len(demo["water_dma"])
    assert sum(a["kind"] == "dma" for a in demo["water_meter"].attributes) == districts
    assert sum(a["boundary_valve"] for a in demo["water_valve"].attributes) == districts


# --- drainage --------------------------------------------------------------------------------------------


def test_conduits_run_from_node_to_node_and_fall(demo: DemoCity) -> None:
    nodes = {i: (layer, g, a) for layer in DRAIN_NODES for i, (g, a) in demo[layer].by_id().items()}
    for asset_id, geom, a in zip(*rows(demo, "drainage_conduit"), strict=True):
        start, end = ends(geom)
        assert start[:2] == at(nodes[a["from_node"]][1], z=False), asset_id
        assert end[:2] == at(nodes[a["to_node"]][1], z=False), asset_id
        assert (start[2], end[2]) == (a["invert_up_m"], a["invert_down_m"]), asset_id
        length = shapely.length(geom)
        assert length == pytest.approx(a["length_m"], abs=0.01)
        # DRN-01, DRN-02
        assert (start[2] - end[2]) / length >= 1 / a["diameter_mm"], asset_id
        # DRN-08
        diameter = a["diameter_mm"]
        spacing = 30 if diameter <= 300 else 40 if diameter <= 600 else 60 if diameter <= 1000 else 100
        assert length <= spacing, asset_id


def rows(demo: DemoCity, layer: str) -> tuple[list[str], list[Any], list[dict[str, Any]]]:
    return demo[layer].ids, demo[layer].geoms, demo[layer].attributes


def test_nodes_are_as_deep_as_their_pipes(demo: DemoCity) -> None:
    arriving, leaving = defaultdict(list), defaultdict(list)
    for a in demo["drainage_conduit"].attributes:
        leaving[a["from_node"]].append((a["invert_up_m"], a["diameter_mm"]))
        arriving[a["to_node"]].append((a["invert_down_m"], a["diameter_mm"]))
    canal_ends = {ends(g)[1] for g in demo["drainage_channel"].geoms}
    for layer in DRAIN_NODES:
        for asset_id, geom, a in zip(*rows(demo, layer), strict=True):
            pipes = arriving[asset_id] + leaving[asset_id]
            if layer == "drainage_outfall" and not pipes:
                assert at(geom) in canal_ends, asset_id
                continue
            # DRN-05, DRN-07
            assert a["invert_m"] <= min(i for i, _ in pipes) + 1e-9, asset_id
            assert at(geom)[2] == a["invert_m"]
            if layer != "drainage_outfall":
                depth = a["ground_level_m"] - a["invert_m"]
                assert a["depth_m"] == pytest.approx(depth, abs=0.001) and 0 < depth < 12, asset_id
                assert len(leaving[asset_id]) == 1, asset_id
                # DRN-03, DRN-04
                (out, diameter) = leaving[asset_id][0]
                assert all(d <= diameter for _, d in arriving[asset_id]), asset_id
                assert all(out <= i + 1e-9 for i, _ in arriving[asset_id]), asset_id
            else:
                assert not leaving[asset_id]


def test_all_water_reaches_an_outfall_above_the_canal_bed(demo: DemoCity) -> None:
    edges = [(a["from_node"], a["to_node"]) for a in demo["drainage_conduit"].attributes]
    component = components(edges)
    outfalls = {component[i] for i in demo["drainage_outfall"].ids if i in component}
    assert {component[a] for a, _ in edges} == outfalls
    beds = [at(g)[2] for g in demo["drainage_channel"].geoms]
    assert max(beds) <= min(a["invert_m"] for a in demo["drainage_outfall"].attributes)


def test_conduits_are_covered(demo: DemoCity) -> None:
    assert min(a["depth_m"] for a in demo["drainage_conduit"].attributes) > 0.7


# --- power -----------------------------------------------------------------------------------------------


def test_overhead_vertices_stand_on_supports_and_ends_on_devices_or_supports(demo: DemoCity) -> None:
    supports = demo.nodes("power_support", "power_substation", z=False)
    meters = demo.nodes("power_meter", z=False)
    for asset_id, geom, a in zip(*rows(demo, "power_line"), strict=True):
        path = [tuple(c) for c in shapely.get_coordinates(geom).tolist()]
        if a["kind"] == "service":
            assert path[0] in supports and path[-1] in meters, asset_id
        else:
            assert all(p in supports for p in path), asset_id
    poles = demo.nodes("power_support", z=False)
    assert max(map(len, poles.values())) == 1
    vertices = {tuple(c) for c in shapely.get_coordinates(demo["power_line"].array).tolist()}
    assert set(poles) <= vertices, "a pole without a line"


def test_the_network_is_a_tree_with_open_switches_cut(demo: DemoCity) -> None:
    switches = {
        at(g, z=False): a["state"]
        for g, a in zip(demo["power_switch"].geoms, demo["power_switch"].attributes, strict=True)
    }
    assert "open" in switches.values(), "the test needs a tie"
    edges = []
    for number, geom in enumerate(demo["power_line"].geoms):
        pair = [(end, number) if switches.get(end) == "open" else end for end in ends(geom, z=False)]
        edges.append((pair[0], pair[1]))
    component = components(edges)
    nodes = {n for edge in edges for n in edge}
    assert len(set(component.values())) == 1, "something has no source"
    assert len(edges) == len(nodes) - 1, "a loop"
    interior = {tuple(c) for g in demo["power_line"].geoms for c in shapely.get_coordinates(g)[1:-1].tolist()}
    assert not interior & nodes, "a node within a line"


def test_voltage_changes_only_at_substations(demo: DemoCity) -> None:
    stations = {
        at(g, z=False): {a["voltage_kv"], a["voltage_secondary_kv"]}
        for g, a in zip(demo["power_substation"].geoms, demo["power_substation"].attributes, strict=True)
    }
    voltages = defaultdict(set)
    for geom, a in zip(demo["power_line"].geoms, demo["power_line"].attributes, strict=True):
        for end in ends(geom, z=False):
            voltages[end].add(a["voltage_kv"])
    for end, found in voltages.items():
        assert len(found) == 1 or found <= stations[end], end


# --- telecom, underground --------------------------------------------------------------------------------


def test_ducts_end_at_chambers_and_cables_lie_in_ducts_or_on_poles(demo: DemoCity) -> None:
    chambers = {i: at(g) for i, (g, _) in demo["telecom_chamber"].by_id().items()}
    ducts = {**demo["telecom_duct"].by_id(), **demo["underground_duct"].by_id()}
    for asset_id, (geom, a) in ducts.items():
        assert ends(geom) == (chambers[a["from_node"]], chambers[a["to_node"]]), asset_id
    poles = {i: at(g, z=False) for i, (g, _) in demo["telecom_pole"].by_id().items()}
    power = demo.nodes("power_support", z=False)
    for asset_id, geom, a in zip(*rows(demo, "telecom_cable"), strict=True):
        if a["duct_id"]:
            assert shapely.equals_exact(geom, ducts[a["duct_id"]][0]), asset_id
        else:
            assert a["laying"] == "aerial"
            assert ends(geom, z=False) == (poles[a["from_node"]], poles[a["to_node"]]), asset_id
            path = {tuple(c) for c in shapely.get_coordinates(geom).tolist()}
            assert path <= set(poles.values()), asset_id
    for geom, a in zip(demo["telecom_pole"].geoms, demo["telecom_pole"].attributes, strict=True):
        assert (at(geom, z=False) in power) == a["shared"]


def test_ducts_lie_inside_their_trench(demo: DemoCity) -> None:
    trenches = demo["underground_trench"].by_id()
    assert len(demo["underground_duct"])
    for asset_id, geom, a in zip(*rows(demo, "underground_duct"), strict=True):
        trench, size = trenches[asset_id.replace("ONG", "HKT")]
        side = size["width_m"] / 2 - a["duct_diameter_mm"] / 2000
        assert shapely.hausdorff_distance(geom, trench) < side, asset_id
        assert abs(at(geom)[2] - at(trench)[2]) < size["height_m"] / 2


# --- across layers ---------------------------------------------------------------------------------------


def test_nothing_stands_in_a_carriageway_or_under_a_building(demo: DemoCity) -> None:
    half = np.array([a["width_m"] / 2 for a in demo["base_road"].attributes])
    roads = shapely.buffer(demo["base_road"].array, half, cap_style="flat")
    tree = shapely.STRtree(roads)
    for layer in ("power_support", "telecom_pole", "telecom_mast", "telecom_cabinet", "power_cabinet"):
        found = tree.query(demo[layer].array, predicate="intersects")
        assert not found.size, (
            f"{demo[layer].ids[found[0][0]]} stands in {demo['base_road'].ids[found[1][0]]}"
        )
    houses = shapely.STRtree(demo["base_building"].array)
    for layer in (
        "water_pipe", "drainage_conduit", "drainage_channel", "power_line", "telecom_duct", "telecom_cable",
        "underground_trench", "underground_tunnel", "power_support",
    ):  # fmt: skip
        found = houses.query(demo[layer].array, predicate="intersects")
        assert not found.size, (
            f"{demo[layer].ids[found[0][0]]} under {demo['base_building'].ids[found[1][0]]}"
        )


def test_no_building_in_a_power_corridor(demo: DemoCity) -> None:
    lines = demo["power_line"]
    each_side = np.array([4.0 if a["voltage_kv"] == 110 else 1.0 for a in lines.attributes])
    overhead = np.array([a["kind"] == "overhead" for a in lines.attributes])
    corridors = [*shapely.buffer(lines.array, each_side)[overhead], *demo["power_corridor"].geoms]
    houses = shapely.STRtree(demo["base_building"].array)
    assert not houses.query(corridors, predicate="intersects").size


NETWORKS = {
    "water": WATER_NODES,
    "drainage": (*DRAIN_NODES, "drainage_facility"),
    "power": ("power_substation", "power_switch", "power_cabinet", "power_meter"),
    "poles": ("power_support",),
    "telecom": ("telecom_chamber",),
}


@pytest.mark.parametrize("network", NETWORKS)
def test_nodes_of_a_network_do_not_cluster(demo: DemoCity, network: str) -> None:
    points = np.concatenate([demo[layer].array for layer in NETWORKS[network]])
    tree = shapely.STRtree(points)
    found = tree.query(points, predicate="dwithin", distance=0.1)
    assert (found[0] == found[1]).all(), [str(points[n]) for n in found[0][found[0] != found[1]][:4]]


#: Table of QCVN 01 (utility-networks.md). Combined drains count as sewage.
HORIZONTAL = {
    "water water": 0.5, "sewage water": 1.0, "telecom water": 0.5, "trench water": 1.5, "sewage sewage": 0.4,
    "sewage telecom": 0.5, "sewage trench": 1.0, "telecom trench": 1.0,
}  # fmt: skip
VERTICAL = {"sewage water": 1.0, "sewage sewage": 0.4}


def clearances(demo: DemoCity) -> list[str]:
    """Every pair of buried lines that do not meet and are closer than the law allows."""
    lines: list[Any] = []
    what: list[tuple[str, float, str, tuple[float, float]]] = []
    for layer, group in (
        ("water_pipe", "water"), ("drainage_conduit", "sewage"), ("telecom_duct", "telecom"),
        ("underground_trench", "trench"), ("underground_tunnel", "trench"),
    ):  # fmt: skip
        for asset_id, geom, a in zip(*rows(demo, layer), strict=True):
            size = a.get("diameter_mm") or a.get("duct_diameter_mm") or a.get("width_m", 0) * 1000
            # The height of a conduit is its invert, that of everything else its axis.
            rise = size / 2000 if group == "sewage" else 0.0
            half = a["height_m"] / 2 if group == "trench" else size / 2000
            lines.append(shapely.force_3d(geom))
            what.append((group, size / 2000, asset_id, (half, rise)))
    tree = shapely.STRtree(lines)
    found = []
    for a, b in tree.query(lines, predicate="dwithin", distance=6.0).T:
        if a >= b or set(ends(lines[a], z=False)) & set(ends(lines[b], z=False)):
            continue
        (group, radius, name, half), (group_b, radius_b, name_b, half_b) = what[a], what[b]
        pair = " ".join(sorted((group, group_b)))
        if pair == "trench trench":
            continue
        if shapely.intersects(lines[a], lines[b]):
            gap = vertical_gap(lines[a], lines[b], half, half_b)
            if gap < VERTICAL.get(pair, 0.5):
                found.append(f"{name} x {name_b}: {gap:.2f} m above each other")
        else:
            gap = shapely.distance(lines[a], lines[b]) - radius - radius_b
            parallel = pair == "sewage water" and is_parallel(lines[a], lines[b])
            size = 2 * (radius if group == "water" else radius_b)
            wanted = (3.0 if size >= 0.2 else 1.5) if parallel else HORIZONTAL[pair]
            if gap < wanted:
                found.append(f"{name} | {name_b}: {gap:.2f} m apart")
    return found


def vertical_gap(a: Any, b: Any, size: tuple[float, float], size_b: tuple[float, float]) -> float:
    """Between faces where two lines cross; a size is half the height, and the axis above the line."""
    place = shapely.get_coordinates(shapely.intersection(shapely.force_2d(a), shapely.force_2d(b)))[0]
    heights = []
    for line, (h, rise) in ((a, size), (b, size_b)):
        z = shapely.get_coordinates(
            shapely.line_interpolate_point(line, shapely.line_locate_point(line, shapely.points(place))),
            include_z=True,
        )[0, 2]
        heights.append((z + rise, h))
    (za, ha), (zb, hb) = heights
    return abs(za - zb) - ha - hb


def is_parallel(a: Any, b: Any) -> bool:
    directions = []
    for line in (a, b):
        (x0, y0), (x1, y1) = at(line, 0, z=False), at(line, -1, z=False)
        directions.append(math.atan2(y1 - y0, x1 - x0))
    return abs(math.sin(directions[0] - directions[1])) < 0.1


def test_buried_lines_keep_the_clearances_of_the_law(demo: DemoCity) -> None:
    assert clearances(demo) == []
