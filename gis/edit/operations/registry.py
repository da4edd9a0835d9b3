"""The operations by name: what each takes (JSON schema), and how its changes are worked out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import shapely

from gis.edit.operations.asked import Asked
from gis.edit.operations.boundary import move_boundary
from gis.edit.operations.lines import NewNode, merge_lines, split_line
from gis.edit.operations.mending import mend_finding
from gis.edit.operations.nodes import CHAIN_M, move_node, networks_of
from gis.edit.operations.parcels import Part, merge_parcels, split_parcel
from gis.edit.operations.reading import Ground, grown
from gis.edit.operations.schemas import SCHEMAS
from gis.edit.operations.standing import Floats, Plan, Refused, Standing
from layers.model import NetworkDef, Text
from layers.registry import Layer

#: Metres within which vertices are the same (domain/check-rules.md), and how far a place may be from a line.
CLUSTER_M: Final = 0.001
TOLERANCE_M: Final = 0.5
#: Of ends of cuts and boundaries: nearer to a vertex than this they are that vertex.
SNAP_M: Final = 0.05
MOST_TOLERANCE_M: Final = 10.0

#: Reads the rest of a request, then the ground; gives the changes.
Work = Callable[[Asked, Ground], Plan]


@dataclass(frozen=True)
class Operation:
    """An operation. ``schema``: JSON schema of its own members."""

    name: str
    title: Text
    description: Text
    schema: Mapping[str, Any]
    work: Work


def _split_line(asked: Asked, ground: Ground) -> Plan:
    layer, wanted = asked.layer(), asked.feature()
    tolerance = asked.tolerance(TOLERANCE_M, MOST_TOLERANCE_M)
    second = asked.inner("second").properties() if asked.has("second") else {}
    node: NewNode | None = None
    stands: tuple[Layer, tuple[int, int | None, str]] | None = None
    if asked.has("node"):
        inner = asked.inner("node")
        node_layer = inner.layer()
        if node_layer is not None and node_layer.dimension != 0:
            inner.wrong("layer", "must be a layer of points")
        if inner.has("fid"):
            given = inner.feature(versioned=False)
            stands = (node_layer, given) if node_layer is not None else None
        elif node_layer is not None:
            node = NewNode(node_layer, inner.properties())
        inner.unread()
    point = asked.point("point") if stands is None or asked.has("point") else np.zeros(2)
    asked.done()
    assert layer is not None
    (line,) = ground.named(layer, [wanted])
    standing = ground.named(stands[0], [stands[1]])[0] if stands is not None else None
    networks = networks_of(ground.setting.catalogue.networks, line)
    there = shapely.get_coordinates(standing.geometry)[0] if standing is not None else point
    nodes = ground.around(
        [one for one in ground.layers_of(networks) if one.dimension == 0],
        [grown((*there[:2], *there[:2]), (tolerance + 1) / ground.unit_m)],
    )
    return split_line(
        line,
        point,
        tolerance=tolerance / ground.unit_m,
        cluster=_cluster(networks, ground),
        works=ground.setting.catalogue.works,
        node=standing if standing is not None else node,
        nodes=[one for one in nodes if any(_is_node(n, one) for n in networks)],
        second=second,
    )


def _merge_lines(asked: Asked, ground: Ground) -> Plan:
    layer = asked.layer()
    lines = []
    for name in ("first", "second"):
        inner = asked.inner(name)
        lines.append(inner.feature())
        inner.unread()
    given = asked.properties()
    removed: list[tuple[Layer | None, tuple[int, int | None, str]]] = []
    for inner in asked.several("delete_nodes", 0):
        removed.append((inner.layer(), inner.feature()))
        inner.unread()
    asked.done()
    assert layer is not None
    first, second = ground.named(layer, lines)
    nodes = [ground.named(of, [one])[0] for of, one in removed if of is not None]
    networks = networks_of(ground.setting.catalogue.networks, first)
    cluster = _cluster(networks, ground)
    ends = [shapely.get_coordinates(one.geometry)[i] for one in (first, second) for i in (0, -1)]
    around = ground.around(ground.layers_of(networks), [grown((*end, *end), 2 * cluster) for end in ends])
    return merge_lines(
        first,
        second,
        given,
        network=networks[0] if networks else None,
        cluster=cluster,
        works=ground.setting.catalogue.works,
        around=around,
        removed=nodes,
    )


def _move_node(asked: Asked, ground: Ground) -> Plan:
    known = ground.setting.catalogue.networks
    to = asked.point("to")
    layer, wanted, at, name = None, None, np.zeros(2), asked.get("network")
    if asked.has("layer"):
        layer, wanted = asked.layer(), asked.feature()
        if layer is not None and layer.dimension != 0:
            asked.wrong("layer", "must be a layer of points; for an end of lines give network and at")
    else:
        at = asked.point("at")
    if name is not None and (not isinstance(name, str) or name not in known):
        asked.wrong("network", f"must be one of {', '.join(known)}")
    elif name is None and wanted is None and not asked.has("layer"):
        asked.wrong("network", "must be named where the node is not")
    asked.done()
    networks = [known[name]] if name is not None else []
    node: Standing | None = None
    if layer is not None and wanted is not None:
        (node,) = ground.named(layer, [wanted])
        at = shapely.get_coordinates(node.geometry)[0]
        of = networks_of(known, node)
        networks = [n for n in networks if n in of] or ([] if name is not None else of)
        if not networks:
            raise Refused(
                f"{node.name} is no node of {'the network ' + name if name else 'a network'}",
                code="no-node",
                pointer="/network" if name else "",
                features=(node,),
            )
    margin = (CHAIN_M + 0.1) / ground.unit_m
    boxes = [grown((*place[:2], *place[:2]), margin) for place in (at, to)]
    around = [
        node if node is not None and one.key == node.key else one
        for one in ground.around(ground.layers_of(networks), boxes)
    ]
    return move_node(at, to, networks, around, unit_m=ground.unit_m)


def _split_parcel(asked: Asked, ground: Ground) -> Plan:
    layer, wanted, line = asked.layer(), asked.feature(), asked.line("line")
    tolerance = asked.tolerance(SNAP_M, MOST_TOLERANCE_M)
    parts = []
    for inner in asked.several("parts", 2):
        inside = inner.point("point")[:2] if inner.has("point") else None
        parts.append(Part(inner.properties(), inside))
        inner.unread()
    asked.done()
    assert layer is not None
    (parcel,) = ground.named(layer, [wanted])
    around = ground.around([layer], [grown(parcel.geometry.bounds, 0.1 / ground.unit_m)])
    cluster = CLUSTER_M / ground.unit_m
    return split_parcel(
        parcel, line, parts, around, tolerance=max(tolerance / ground.unit_m, cluster), cluster=cluster
    )


def _merge_parcels(asked: Asked, ground: Ground) -> Plan:
    layer, given = asked.layer(), asked.properties()
    wanted = []
    for inner in asked.several("parcels", 2):
        wanted.append(inner.feature())
        inner.unread()
    asked.done()
    assert layer is not None
    return merge_parcels(ground.named(layer, wanted), given, cluster=CLUSTER_M / ground.unit_m)


def _move_boundary(asked: Asked, ground: Ground) -> Plan:
    layer, line = asked.layer(), asked.line("line")
    tolerance = asked.tolerance(SNAP_M, MOST_TOLERANCE_M)
    wanted, given = [], {}
    for inner in asked.several("parcels", 2):
        wanted.append(inner.feature())
        properties = inner.properties()
        if properties:
            given[wanted[-1][0]] = properties
        inner.unread()
    asked.done()
    assert layer is not None
    parcels = ground.named(layer, wanted)
    margin = 0.1 / ground.unit_m
    boxes = [grown(one.geometry.bounds, margin) for one in parcels]
    boxes.append(grown(shapely.linestrings(line).bounds, margin))
    cluster = CLUSTER_M / ground.unit_m
    return move_boundary(
        parcels,
        line,
        ground.around([layer], boxes),
        tolerance=max(tolerance / ground.unit_m, cluster),
        cluster=cluster,
        given=given,
    )


def _mend(asked: Asked, ground: Ground) -> Plan:
    finding = asked.get("finding")
    if not isinstance(finding, str) or not 1 <= len(finding) <= 200 or "\0" in finding:
        asked.wrong("finding", "must be the asset_id of a finding")
    asked.done()
    return mend_finding(finding, ground)


def _is_node(network: NetworkDef, one: Standing) -> bool:
    return bool(networks_of({"": network}, one)) and one.layer.dimension == 0


def _cluster(networks: list[NetworkDef], ground: Ground) -> float:
    return max((n.cluster_m for n in networks), default=CLUSTER_M) / ground.unit_m


def _operation(name: str, work: Work, vi: str, en: str, more_vi: str, more_en: str) -> Operation:
    return Operation(name, Text(vi=vi, en=en), Text(vi=more_vi, en=more_en), SCHEMAS[name], work)


OPERATIONS: Final[Mapping[str, Operation]] = {
    one.name: one
    for one in (
        _operation(
            "split-line",
            _split_line,
            "Tách tuyến",
            "Split a line",
            "Tách một tuyến tại một điểm, có thể đặt nút (van, hố ga) ở đó; độ cao được nội suy.",
            "Splits a line at a point, with a node (a valve, a manhole) there if wanted; heights and levels "
            "are interpolated. The first part stays the feature.",
        ),
        _operation(
            "merge-lines",
            _merge_lines,
            "Nhập hai tuyến",
            "Merge two lines",
            "Nhập hai tuyến nối đầu với nhau thành tuyến thứ nhất.",
            "Merges two lines that meet end to end into the first one.",
        ),
        _operation(
            "move-node",
            _move_node,
            "Dời nút",
            "Move a node",
            "Dời một nút cùng các đầu tuyến gặp nhau tại đó.",
            "Moves a node with all lines that end there or pass through a vertex there.",
        ),
        _operation(
            "split-parcel",
            _split_parcel,
            "Tách thửa",
            "Split a parcel",
            "Tách thửa theo một đường; các thửa kề nhận thêm đỉnh nên không hở, không chồng.",
            "Splits a parcel by a line; neighbours get the new vertices, so that the fabric stays closed.",
        ),
        _operation(
            "merge-parcels",
            _merge_parcels,
            "Hợp thửa",
            "Merge parcels",
            "Hợp các thửa liền kề cùng tờ bản đồ thành thửa thứ nhất.",
            "Merges parcels that lie side by side on one sheet into the first one.",
        ),
        _operation(
            "move-boundary",
            _move_boundary,
            "Dời ranh chung",
            "Move a shared boundary",
            "Thay một đoạn ranh chung bằng một đường mới ở mọi thửa có ranh đó.",
            "Puts a line in the place of a part of the boundary, in all parcels that share it.",
        ),
        _operation(
            "mend",
            _mend,
            "Sửa theo đề xuất",
            "Apply a suggested mend",
            "Sửa các đối tượng của một phát hiện đúng như đề xuất của phép kiểm tra.",
            "Changes the features of a finding as the check suggests.",
        ),
    )
}

__all__ = ["OPERATIONS", "Floats", "Operation"]
