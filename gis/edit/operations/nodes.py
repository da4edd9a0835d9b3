"""Move a node of a network with all lines that end there or pass through a vertex there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import shapely

from gis.edit.model import FeatureChange, Update
from gis.edit.operations.standing import Floats, Plan, Refused, Standing, chosen, coordinates
from layers.model import NetworkDef

Bools = npt.NDArray[np.bool_]

#: How far (m) a chain of coinciding members may extend (as in gis.checks.network.graph).
CHAIN_M = 0.1


def networks_of(networks: Mapping[str, NetworkDef], feature: Standing) -> list[NetworkDef]:
    """The networks that the feature is a line or a node of."""
    return [n for n in networks.values() if chosen((*n.lines, *n.nodes), feature)]


def move_node(
    at: Floats,
    to: Floats,
    networks: Sequence[NetworkDef],
    around: Sequence[Standing],
    *,
    unit_m: float = 1.0,
) -> Plan:
    """Everything of the networks that coincides at ``at`` goes to ``to``.

    ``at`` (2) and ``to`` (2, or 3 with the new height; else heights stay) in the storage CRS. ``around``:
    the features near both places. What coincides is what the networks say (cluster_m), directly or by a
    chain. Raises Refused.
    """
    cluster = max(n.cluster_m for n in networks) / unit_m if networks else 0.0
    lines = _members(around, networks, 1)
    points = _members(around, networks, 0)
    place = _coinciding(at[:2], [*lines, *points], cluster, CHAIN_M / unit_m)
    moved: list[tuple[Standing, Bools]] = []
    for one in (*points, *lines):
        xyz = coordinates(one.geometry)
        here = _within(xyz, place, cluster)
        if here.any():
            moved.append((one, here))
    if not moved:
        raise Refused(
            "there is no node", code="no-node", pointer="/at", hint="give the place of a node or end"
        )
    if np.hypot(*(to[:2] - at[:2])) <= cluster:
        raise Refused("the node is there already", code="not-moved", pointer="/to")
    names = {one.key for one, _ in moved}
    _free_target(to, [one for one in (*points, *lines) if one.key not in names], cluster)
    changes: list[FeatureChange] = []
    for one, here in moved:
        xyz = _moved(one, coordinates(one.geometry), here, to, cluster)
        shape = shapely.points(xyz[0]) if one.layer.dimension == 0 else shapely.linestrings(xyz)
        changes.append(Update(one.layer.id, one.fid, one.version, None, shape, pointer=one.pointer))
    return Plan(changes)


def _members(around: Sequence[Standing], networks: Sequence[NetworkDef], dimension: int) -> list[Standing]:
    return [
        one
        for one in around
        if one.layer.dimension == dimension
        and one.geometry.geom_type in ("Point", "LineString")
        and any(chosen(n.lines if dimension else n.nodes, one) for n in networks)
    ]


def _coinciding(at: Floats, members: Sequence[Standing], cluster: float, chain: float) -> Floats:
    """(n, 2) the places that coincide with ``at``, directly or by a chain of others."""
    every = [coordinates(one.geometry)[:, :2] for one in members]
    near = np.vstack([at[None, :], *(xy[np.hypot(*(xy - at).T) <= chain] for xy in every)])
    found = np.zeros(len(near), bool)
    found[0] = True
    while True:
        grown = found | _within(near, near[found], cluster)
        if (grown == found).all():
            return near[found]
        found = grown


def _within(xyz: Floats, places: Floats, cluster: float) -> Bools:
    """(n) which of the coordinates are at one of the places."""
    apart = np.hypot(xyz[:, None, 0] - places[None, :, 0], xyz[:, None, 1] - places[None, :, 1])
    found: Bools = (apart <= cluster).any(axis=1)
    return found


def _free_target(to: Floats, others: Sequence[Standing], cluster: float) -> None:
    """Raises Refused where something else of the networks stands or ends at the target."""
    there = []
    for one in others:
        xyz = coordinates(one.geometry)
        ends = xyz if one.layer.dimension == 0 else xyz[[0, -1]]
        if _within(ends, to[None, :2], cluster).any():
            there.append(one)
    if there:
        raise Refused(
            f"at the target there is a node already: {there[0].name}",
            code="occupied",
            pointer="/to",
            hint="to join two nodes, change the lines; a move would join them unseen",
            features=there,
        )


def _moved(one: Standing, xyz: Floats, here: Bools, to: Floats, cluster: float) -> Floats:
    """The coordinates with those ``here`` at the target; a vertex that stood there already gives way."""
    xyz = xyz.copy()
    xyz[here, :2] = to[:2]
    if xyz.shape[1] == 3 and len(to) == 3 and np.isfinite(to[2]):
        xyz[here, 2] = to[2]
    if one.layer.dimension == 0:
        return xyz
    before = np.zeros(len(xyz), bool)  # beside a moved vertex, at its place
    close = np.hypot(*np.diff(xyz[:, :2], axis=0).T) <= cluster
    for index in np.flatnonzero(close):
        # of two vertices at one place the one that was moved stays; of two moved ones, the first
        before[index if here[index + 1] and not here[index] else index + 1] = True
    kept = xyz[~before]
    if len(kept) < 2 or not np.hypot(*np.diff(kept[:, :2], axis=0).T).sum() > cluster:
        raise Refused(
            f"{one.name} would have no length left", code="collapses", pointer="/to", features=(one,)
        )
    return kept
