"""Lines that nothing feeds, or that drain nowhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gis.checks.features import Bools, Ints
from gis.checks.network.graph import Graph, groups
from gis.checks.network.joints import Joints, joints, pieces, reached
from gis.checks.network.loose import nodes_on_lines

#: A conduit that rises by more along its drawing (m) is taken to flow either way: DRN-01 and DRN-09 judge it.
_RISES = 0.02
#: Nodes near one that is cut off, that it may be joined to.
_NEAREST = 4


@dataclass(frozen=True)
class CutOff:
    """``lines`` of one connected piece (numbers in the graph). ``joints`` of it."""

    lines: Ints
    joints: Ints


@dataclass(frozen=True)
class Reach:
    """Pieces that are cut off. ``rooted``: from sources or sinks; else from the largest piece."""

    cut_off: list[CutOff]
    rooted: bool


def roots(graph: Graph) -> Bools:
    """(nodes) sources, or sinks in a network of gravity, that are there."""
    role = "sinks" if graph.network.flow == "gravity" else "sources"
    return graph.nodes_with(graph.points_that_are(role) & ~graph.absent)


def cut_off(graph: Graph, near: float, outside: Bools | None = None, *, fed_outside: bool = False) -> Reach:
    """The pieces of the network without a way to a source or sink.

    What lies within ``near`` (units of the coordinates) of another node or line is taken as joined to it:
    such gaps have findings of their own (NET-01, NET-03, NET-08), and nothing is missing there but a snap.
    A network of gravity is followed downstream. Where no source or sink is on any line, the pieces that are
    not joined to the largest one are cut off.

    ``outside`` (nodes) tells that the graph is a part, and where something else may be: then nothing is cut
    off from the largest piece, and with ``fed_outside`` those nodes are taken as sources or sinks.
    """
    known = joints(graph)
    used = np.zeros(known.count, bool)
    used[known.first] = used[known.second] = True
    fed = np.zeros(known.count, bool)
    fed[: len(graph)] = roots(graph)
    if outside is not None and fed_outside:
        fed[: len(graph)] |= outside
    rooted = outside is not None or bool((fed & used).any())
    if not rooted:
        # A works without a pipe feeds nothing, unless the pipe only stops short of it.
        rooted = len(_gaps(graph, known, np.flatnonzero(fed[: len(graph)]), near)[0]) > 0
    if not rooted:
        fed = _largest(known)
    none = np.empty(0, np.int64)
    missing = _missing(graph, known, fed, rooted, (none, none))
    arcs = (none, none)
    if len(missing):
        ends = np.unique(np.concatenate([known.first[missing], known.second[missing]]))
        arcs = _gaps(graph, known, ends[ends < len(graph)], near)
        missing = _missing(graph, known, fed, rooted, arcs)
    first, second = known.first[missing], known.second[missing]
    label = pieces(np.concatenate([first, arcs[0]]), np.concatenate([second, arcs[1]]), known.count)
    found = []
    for _, some in groups(label[first], missing):
        ends = np.concatenate([known.first[some], known.second[some]])
        found.append(CutOff(known.lines[some], np.unique(ends)))
    return Reach(found, rooted)


def _missing(graph: Graph, known: Joints, fed: Bools, rooted: bool, arcs: tuple[Ints, Ints]) -> Ints:
    """Which of the carrying lines have no way to or from a joint that is fed."""
    start, end = np.concatenate([known.first, arcs[0]]), np.concatenate([known.second, arcs[1]])
    if not rooted or graph.network.flow != "gravity":
        label = pieces(start, end, known.count)
        good = np.zeros(known.count, bool)
        good[label[fed]] = True
        return np.flatnonzero(~good[label[known.first]])
    both = graph.lines.where(graph.network.both_ways, otherwise=False)
    heights = graph.ends_xyz[:, 2].reshape(-1, 2)
    both |= heights[:, 1] > heights[:, 0] + _RISES
    either = both[known.lines]
    # From the sinks up: an arc for each way that water can take, turned round.
    tails = np.concatenate([end, known.first[either]])
    heads = np.concatenate([start, known.second[either]])
    drained = reached(tails, heads, known.count, np.flatnonzero(fed))
    return np.flatnonzero(~(drained[known.second] | (either & drained[known.first])))


def _largest(known: Joints) -> Bools:
    """One joint of the piece with most lines; of pieces of the same size, the one of the first joint."""
    fed = np.zeros(known.count, bool)
    if len(known.lines):
        label = pieces(known.first, known.second, known.count)
        size = np.bincount(label[known.first], minlength=known.count)
        fed[int(np.argmax(size[label]))] = True
    return fed


def _gaps(graph: Graph, known: Joints, nodes: Ints, near: float) -> tuple[Ints, Ints]:
    """Arcs, both ways, between the nodes and what lies within ``near`` of them."""
    if not len(nodes):
        return nodes, nodes
    k = min(_NEAREST + 1, len(graph))
    away, found = graph.node_tree.query(
        graph.xy[nodes], k=list(range(1, k + 1)), distance_upper_bound=near * (1 + 1e-9)
    )
    row, column = np.nonzero(np.isfinite(away) & (found != nodes[:, None]))
    one, other = nodes[row], found[row, column]

    at, line, _ = nodes_on_lines(graph, nodes, near)
    position = np.full(len(graph.lines), -1)
    position[known.lines] = np.arange(len(known.lines))
    carried = position[line] >= 0
    at, of = at[carried], position[line[carried]]
    # What flows into a line flows on to its end, and what leaves it comes from its start.
    start = np.concatenate([one, other, at, known.first[of]])
    end = np.concatenate([other, one, known.second[of], at])
    return start.astype(np.int64), end.astype(np.int64)
