"""A network's definition names layers, fields and values that exist, or is refused with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from layers.registry import Catalogue, CatalogueError, load_catalogue

GAS: dict[str, Any] = {
    "title": {"vi": "Khí đốt", "en": "Gas"},
    "flow": "pressure",
    "lines": [{"layer": "water_pipe", "unless": {"status": ["removed"]}}],
    "nodes": [{"layer": "water_valve"}, {"layer": "water_facility"}],
    "sources": [{"layer": "water_facility", "where": {"kind": ["treatment_works"]}}],
    "carries": {"status": ["in_service"]},
}


def read(folder: Path, **changes: Any) -> Catalogue:
    (folder / "gas.yml").write_text(yaml.safe_dump({"networks": {"gas": GAS | changes}}), encoding="utf-8")
    return load_catalogue([folder])


def test_a_city_may_add_a_network(tmp_path: Path) -> None:
    network = read(tmp_path).networks["gas"]
    assert network.layers == ("water_pipe", "water_valve", "water_facility")


def test_the_networks_of_the_shipped_layers_are_sound() -> None:
    catalogue = load_catalogue()
    assert {"water", "drainage", "power", "duct", "cable"} <= set(catalogue.networks)
    # Without these, pipes of every status would be traced, and a removed valve could carry.
    for name, network in catalogue.networks.items():
        assert network.carries or not network.nodes, name


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"nodes": [{"layer": "gas_valve"}]}, "networks.gas.nodes.0: there is no layer 'gas_valve'"),
        (
            {"cuts": [{"layer": "water_valve", "where": {"staet": ["closed"]}}]},
            "cuts.0: water_valve has no field 'staet'",
        ),
        (
            {"cuts": [{"layer": "water_valve", "where": {"state": ["shut"]}}]},
            "cuts.0: water_valve.state is never 'shut': its domain switch_state has no such value",
        ),
        ({"cuts": [{"layer": "water_valve", "where": {"state": []}}]}, "name at least one value"),
        (
            {"cuts": [{"layer": "water_valve", "where": {"boundary_valve": ["yes"]}}]},
            "water_valve.boundary_valve is never 'yes': it is of type boolean",
        ),
        ({"lines": [{"layer": "water_valve"}]}, "lines.0: water_valve holds no lines"),
        ({"nodes": [{"layer": "water_pipe"}]}, "nodes.0: water_pipe holds no points"),
        ({"ends": [{"layer": "water_meter"}]}, "ends.0: water_meter is not one of the network's nodes"),
        ({"carries": {"state": ["open"]}}, "carries: none of water_pipe has a field 'state'"),
        ({"carries": {"status": ["running"]}}, "carries: water_pipe.status is never 'running'"),
        ({"absent": {"status": ["gone"]}}, "absent: water_valve.status is never 'gone'"),
        ({"steady": ["diameter_mm", "bore_mm"]}, "steady.1: none of water_pipe has a field 'bore_mm'"),
        ({"tier": "voltage_kv"}, "tier: none of water_pipe has a field 'voltage_kv'"),
        ({"fills": {"street": "diameter_mm"}}, "fills.street: street is no number"),
        ({"forbidden": [["service", "raw"]]}, "forbidden: needs line_class"),
        (
            {"line_class": "pipe_class", "forbidden": [["service", "main"]]},
            "forbidden.0: water_pipe.pipe_class is never 'main'",
        ),
        ({"flow": "gravity", "sources": []}, "sinks: a network of gravity drains to sinks"),
        ({"sinks": [{"layer": "water_valve"}]}, "sinks: only a network of gravity has sinks"),
        ({"cluster_m": 0.5}, "cluster_m"),
        ({"lines": []}, "lines"),
    ],
)
def test_a_mistake_is_told_by_its_place(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        read(tmp_path, **changes)
    message = str(caught.value)
    assert message.startswith("gas.yml: ") and "\n" not in message
    assert told in message


def test_a_network_is_defined_once(tmp_path: Path) -> None:
    (tmp_path / "gas.yml").write_text(yaml.safe_dump({"networks": {"water": GAS}}), encoding="utf-8")
    with pytest.raises(CatalogueError, match="network water is defined twice"):
        load_catalogue([tmp_path])
