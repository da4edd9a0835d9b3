"""The network as pairs of joints, for what depends on the whole of it: who reaches whom, and what is a loop.

A joint is a node, except where something interrupts (a closed valve, an open switch): there every line has
a joint of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from gis.checks.features import Bools, Ints
from gis.checks.network.graph import Graph


@dataclass(frozen=True)
class Joints:
    """``lines`` (n): lines of the graph that carry, from joint ``first`` (n) to joint ``second`` (n)."""

    lines: Ints
    first: Ints
    second: Ints
    #: Number of joints; those below the number of nodes are nodes.
    count: int


def joints(graph: Graph) -> Joints:
    """The lines that carry and the joints between them."""
    lines = np.flatnonzero(graph.carrying)
    sides = graph.nodes_of_lines[lines].copy()
    cut = graph.nodes_that_are("cuts")[sides]
    sides[cut] = len(graph) + np.arange(int(cut.sum()))
    return Joints(lines, sides[:, 0], sides[:, 1], len(graph) + int(cut.sum()))


def pieces(first: Ints, second: Ints, count: int) -> Ints:
    """(count) number of the connected piece of each joint."""
    pairs = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(count, count))
    labels = connected_components(pairs, directed=False)[1]
    return np.asarray(labels, dtype=np.int64)


def reached(start: Ints, end: Ints, count: int, roots: Ints) -> Bools:
    """(count) joints that one of ``roots`` leads to along the arcs start -> end."""
    # One joint more, from which arcs lead to all roots, so that a single search does.
    tails = np.concatenate([start, np.full(len(roots), count)])
    heads = np.concatenate([end, roots])
    arcs = csr_array((np.ones(len(tails), np.int8), (tails, heads)), shape=(count + 1, count + 1))
    order = breadth_first_order(arcs, count, directed=True, return_predecessors=False)
    found = np.zeros(count + 1, bool)
    found[order] = True
    return found[:-1]


def loops(first: Ints, second: Ints, count: int) -> Ints:
    """(n) for each line the number of the block of loops that it is part of, or -1.

    A line is part of a loop if its two joints stay connected without it; lines whose loops share a joint are
    one block. Which loops there are depends on no order. A line from a joint to itself is no loop here.
    Spanning tree by breadth first search; each remaining line merges the path between its two joints.
    """
    block = np.full(len(first), -1)
    kept = np.flatnonzero(first != second)
    label = pieces(first[kept], second[kept], count)
    # A tree has one line less than joints: only pieces that are no trees are looked at.
    joints_of = np.bincount(label, minlength=count)
    lines_of = np.bincount(label[first[kept]], minlength=count)
    kept = kept[lines_of[label[first[kept]]] >= joints_of[label[first[kept]]]]
    if not len(kept):
        return block
    u, v = first[kept], second[kept]
    parent, place = _tree(u, v, count, label)

    child = np.where(parent[v] == u, v, np.where(parent[u] == v, u, -1))
    below = np.flatnonzero(child >= 0)
    # Of parallel lines one is in the tree, the others close a loop with it.
    _, some = np.unique(child[below], return_index=True)
    tree = below[some]
    upward = list(range(count + 1))

    def top(joint: int) -> int:
        while upward[joint] != joint:
            upward[joint] = upward[upward[joint]]
            joint = upward[joint]
        return joint

    above, position = parent.tolist(), place.tolist()
    chords = np.ones(len(kept), bool)
    chords[tree] = False
    for a, b in zip(u[chords].tolist(), v[chords].tolist(), strict=True):
        a, b = top(a), top(b)
        while a != b:
            # In the order of the search a parent comes before its children.
            if position[a] < position[b]:
                a, b = b, a
            upward[a] = above[a]
            a = top(a)
    tops = np.fromiter(map(top, u.tolist()), np.int64, len(u))
    inside = tops == np.fromiter(map(top, v.tolist()), np.int64, len(v))
    block[kept[inside]] = tops[inside]
    return block


def _tree(u: Ints, v: Ints, count: int, label: Ints) -> tuple[Ints, Ints]:
    """Parent of each joint in a tree of each piece, and its place in the order of the search; -1 for none."""
    used = np.unique(np.concatenate([u, v]))
    _, some = np.unique(label[used], return_index=True)
    roots = used[some]
    tails, heads = np.concatenate([u, v, np.full(len(roots), count)]), np.concatenate([v, u, roots])
    links = csr_array((np.ones(len(tails), np.int8), (tails, heads)), shape=(count + 1, count + 1))
    order, parent = breadth_first_order(links, count, directed=True, return_predecessors=True)
    place = np.full(count + 1, -1)
    place[order] = np.arange(len(order))
    above = np.where(parent < 0, -1, parent)
    return above.astype(np.int64), place
