"""Split a line at a point, with a node there; merge two lines that meet end to end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import shapely

from gis.edit.model import Create, Delete, FeatureChange, Ref, Update
from gis.edit.operations.standing import (
    Floats,
    Plan,
    Refused,
    Standing,
    changed_only,
    chosen,
    coordinates,
    known_attributes,
    merged,
)
from layers.model import NetworkDef, WorkDef
from layers.registry import Layer

#: Names under which a split makes its features.
SECOND: Final = "new:second"
NODE: Final = "new:node"

#: Attributes of the two ends (asset ids of their nodes), and of the length on record.
FROM, TO, LENGTH = "from_node", "to_node", "length_m"
FLOW: Final = "flow_direction"
_REVERSED_FLOW: Final = {"forward": "backward", "backward": "forward"}


@dataclass(frozen=True)
class NewNode:
    """A point feature to be made where a line is split."""

    layer: Layer
    properties: Mapping[str, Any]
    pointer: str = "/node/properties"


def split_line(
    line: Standing,
    point: Floats,
    *,
    tolerance: float,
    cluster: float,
    works: Iterable[WorkDef] = (),
    node: NewNode | Standing | None = None,
    nodes: Sequence[Standing] = (),
    second: Mapping[str, Any] | None = None,
) -> Plan:
    """Two parts that meet at the place on the line that is nearest to ``point``.

    The first part (as drawn) stays this feature, the second is a new one with the same attributes. Heights,
    levels at the ends (of ``works``) and the length on record are interpolated by length in plan. ``node``: a
    point feature to be made there, or one that stands: then the place is where it is. ``nodes``: point
    features of the network nearby; one that stands at the place names the new ends. Tolerances in units of
    the storage CRS. Raises Refused.
    """
    _is_line(line)
    given = dict(second or {})
    known_attributes(line.layer, given, "/second/properties")
    xyz = coordinates(line.geometry)
    standing = node if isinstance(node, Standing) else None
    target = coordinates(standing.geometry)[0, :2] if standing else point[:2]
    index, fraction, distance = nearest(xyz[:, :2], target)
    if distance > tolerance:
        raise Refused(
            f"the point is {distance:.3f} m from the line; it may be {tolerance:g} m",
            code="too-far",
            pointer="/node" if standing else "/point",
            hint="give a point on the line, or a greater tolerance_m",
        )
    place = xyz[index] + fraction * (xyz[index + 1] - xyz[index])
    if standing is not None:
        place[:2] = target
    else:  # a vertex as near as two nodes of the network may be is the place: no bend gets lost
        place = next((vertex for vertex in xyz[index : index + 2] if _apart(vertex, place) <= cluster), place)
    first_xyz, second_xyz = _cut(xyz, index, place, cluster)
    lengths = _length(first_xyz), _length(second_xyz)
    if min(lengths) <= max(cluster, 1e-9):
        raise Refused(
            "the point is at an end of the line", code="at-an-end", pointer="/point", features=(line,)
        )

    before = dict(line.properties)
    one, two = dict(before), line.copied()
    share = lengths[0] / sum(lengths)
    for start, end in level_fields(works, line.layer):
        _share_levels(before, one, two, start, end, share)
    if line.has(LENGTH) and before.get(LENGTH) is not None:
        one[LENGTH] = round(before[LENGTH] * share, 3)
        two[LENGTH] = round(before[LENGTH] - one[LENGTH], 3)
    made, name = _node_there(line, node, place, nodes, cluster)
    if line.has(TO):
        one[TO] = name
    if line.has(FROM):
        two[FROM] = name
    shape = shapely.linestrings
    changes: list[FeatureChange] = [
        Update(
            line.layer.id,
            line.fid,
            line.version,
            changed_only(before, one),
            shape(first_xyz),
            pointer=line.pointer,
        ),
        Create(line.layer.id, {**two, **given}, shape(second_xyz), SECOND, "/second"),
    ]
    return Plan([*changes, *made])


def merge_lines(
    first: Standing,
    second: Standing,
    given: Mapping[str, Any],
    *,
    network: NetworkDef | None,
    cluster: float,
    works: Iterable[WorkDef] = (),
    around: Sequence[Standing] = (),
    removed: Sequence[Standing] = (),
) -> Plan:
    """One line of two that meet end to end: the first feature, drawn as the first one is; the second goes.

    Attributes must be equal or ``given``. ``around``: lines and point features of the network at the place
    where they meet; another line there, or a node that is not among ``removed`` and not one that lines pass,
    refuses it. Raises Refused.
    """
    _is_line(first)
    _is_line(second)
    known_attributes(first.layer, given, "/properties")
    if first.layer.id != second.layer.id or first.fid == second.fid:
        raise Refused("two lines of one layer are merged", code="not-two-lines", pointer="/second")
    a, b = coordinates(first.geometry), coordinates(second.geometry)
    if a.shape[1] != b.shape[1]:
        raise Refused(
            "only one of the lines has heights",
            code="heights-differ",
            pointer="/second",
            hint="give the other one its heights first, or take them from the one that has them",
            features=(first, second),
        )
    meeting = [(i, j) for i in (-1, 0) for j in (0, -1) if _apart(a[i], b[j]) <= cluster]
    if len(meeting) != 1:
        reason = "the lines meet at both ends: merged, they would be a ring" if meeting else ""
        raise Refused(
            reason or "the lines do not meet end to end",
            code="ring" if meeting else "not-adjacent",
            pointer="/second",
            features=(first, second),
        )
    at_first, at_second = meeting[0]
    place = a[at_first]
    turned = at_first == (0 if at_second == 0 else -1)
    gravity = network is not None and network.flow == "gravity"
    if turned and gravity:
        raise Refused(
            "one of the lines is drawn against the flow: in a network of gravity lines are drawn downstream",
            code="against-the-flow",
            pointer="/second",
            features=(first, second),
        )
    _free_place(place, network, cluster, around, removed, first, second)

    pairs = level_fields(works, first.layer)
    after = _turned(second, pairs) if turned else dict(second.properties)
    apart = {FROM, TO, LENGTH, *(name for pair in pairs for name in pair)}
    together = merged([first, Standing(second.layer, second.fid, 0, after, second.geometry)], given, apart)
    if together.differing:
        more = [
            (f"/properties/{name}", f"{name} differs ({values[0]!r} and {values[1]!r}); give the one to keep")
            for name, values in together.differing.items()
        ]
        (pointer, reason), *rest = more
        raise Refused(reason, code="attributes-differ", pointer=pointer, features=(first, second), more=rest)
    if turned:
        b = b[::-1]
    # drawn as the first one: the second goes on where it ends, or before where it starts
    ahead = at_first == -1
    xyz = np.vstack([a, b[1:]]) if ahead else np.vstack([b[:-1], a])
    start, end = (first.properties, after) if ahead else (after, first.properties)
    joined: dict[str, Any] = {**first.properties, **together.properties}
    for up, down in [(FROM, TO), *pairs]:
        if first.has(up) and first.has(down):
            joined[up], joined[down] = start.get(up), end.get(down)
    if first.has(LENGTH):
        known = [one.get(LENGTH) for one in (start, end)]
        joined[LENGTH] = None if None in known else round(sum(v for v in known if v is not None), 3)
    joined |= given
    changes: list[FeatureChange] = [
        Update(
            first.layer.id,
            first.fid,
            first.version,
            changed_only(first.properties, joined),
            shapely.linestrings(xyz),
            pointer=first.pointer,
        ),
        Delete(second.layer.id, second.fid, second.version, pointer=second.pointer),
    ]
    changes += [Delete(n.layer.id, n.fid, n.version, pointer=n.pointer) for n in removed]
    return Plan(changes)


def level_fields(works: Iterable[WorkDef], layer: Layer) -> list[tuple[str, str]]:
    """Attributes with the levels at start and end of the layer's lines."""
    pairs = [(w.start_level, w.end_level) for w in works if w.layer == layer.id]
    return list(dict.fromkeys((s, e) for s, e in pairs if s and e))


def nearest(xy: Floats, point: Floats) -> tuple[int, float, float]:
    """Segment of a line (n, 2), place on it (0 to 1), and distance of the place nearest to ``point``."""
    start, step = xy[:-1], np.diff(xy, axis=0)
    square = (step**2).sum(axis=1)
    along = ((point - start) * step).sum(axis=1)
    fraction = np.clip(np.divide(along, square, out=np.zeros_like(along), where=square > 0), 0.0, 1.0)
    distance = np.hypot(*(start + fraction[:, None] * step - point).T)
    index = int(distance.argmin())
    return index, float(fraction[index]), float(distance[index])


def _is_line(line: Standing) -> None:
    if line.geometry.geom_type != "LineString":
        raise Refused(
            f"{line.name} is no single line", code="not-a-line", pointer=line.pointer, features=(line,)
        )


def _cut(xyz: Floats, index: int, place: Floats, cluster: float) -> tuple[Floats, Floats]:
    """The line up to and from ``place`` on segment ``index``; a vertex that is there becomes the place."""
    head, tail = xyz[: index + 1], xyz[index + 1 :]
    if _apart(head[-1], place) <= cluster:
        head = head[:-1]
    if _apart(tail[0], place) <= cluster:
        tail = tail[1:]
    here = place[None, :]
    return np.vstack([head, here]), np.vstack([here, tail])


def _apart(a: Floats, b: Floats) -> float:
    return float(np.hypot(a[0] - b[0], a[1] - b[1]))


def _length(xyz: Floats) -> float:
    return float(np.hypot(*np.diff(xyz[:, :2], axis=0).T).sum())


def _share_levels(
    before: Mapping[str, Any], one: dict[str, Any], two: dict[str, Any], start: str, end: str, share: float
) -> None:
    up, down = before.get(start), before.get(end)
    between = None if up is None or down is None else round(up + (down - up) * share, 4)
    one[end] = two[start] = between


def _node_there(
    line: Standing,
    node: NewNode | Standing | None,
    place: Floats,
    nodes: Sequence[Standing],
    cluster: float,
) -> tuple[list[FeatureChange], Ref | str | None]:
    """The node to be made, and what names the new ends: its reference or the asset id of one that stands."""
    if isinstance(node, NewNode):
        known_attributes(node.layer, node.properties, node.pointer)
        properties = {"owner": line.owner, **node.properties}
        there = place if node.layer.definition.z != "none" else place[:2]
        return [Create(node.layer.id, properties, shapely.points(there), NODE, "/node")], Ref(NODE)
    if node is not None:
        return [], node.asset_id
    here = [
        n for n in nodes if n.layer.dimension == 0 and _apart(coordinates(n.geometry)[0], place) <= cluster
    ]
    return [], min((n.asset_id for n in here), default=None)


def _turned(line: Standing, pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Attributes of the line drawn the other way round."""
    found = dict(line.properties)
    for start, end in [(FROM, TO), *pairs]:
        if line.has(start) and line.has(end):
            found[start], found[end] = line.properties.get(end), line.properties.get(start)
    if line.has(FLOW):
        found[FLOW] = _REVERSED_FLOW.get(found[FLOW], found[FLOW])
    return found


def _hinders(network: NetworkDef, node: Standing) -> bool:
    """Whether lines must end at the node; they may pass others."""
    return node.layer.dimension == 0 and chosen(network.nodes, node) and not chosen(network.along, node)


def _free_place(
    place: Floats,
    network: NetworkDef | None,
    cluster: float,
    around: Sequence[Standing],
    removed: Sequence[Standing],
    *lines: Standing,
) -> None:
    """Raises Refused where something else is at the place."""
    ours = {one.key for one in (*lines, *removed)}
    others, nodes = [], []
    for one in around:
        if one.key in ours or network is None:
            continue
        xy = coordinates(one.geometry)
        if one.layer.dimension == 1 and chosen(network.lines, one):
            if np.hypot(xy[:, 0] - place[0], xy[:, 1] - place[1]).min() <= cluster:
                others.append(one)
        elif _apart(xy[0], place) <= cluster and _hinders(network, one):
            nodes.append(one)
    for one in removed:
        if one.layer.dimension != 0 or _apart(coordinates(one.geometry)[0], place) > cluster:
            raise Refused(
                f"{one.name} does not stand where the lines meet",
                code="not-a-node-there",
                pointer=one.pointer,
                features=(one,),
            )
    if others:
        raise Refused(f"another line meets there: {others[0].name}", code="others-meet", features=others)
    if nodes:
        raise Refused(
            f"a node stands there: {nodes[0].name}",
            code="node-there",
            pointer="/delete_nodes",
            hint="name it, with its version, in delete_nodes, if it is to go with the joint",
            features=nodes,
        )
