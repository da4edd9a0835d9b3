"""Directed cycles of a gravity network: drains from which water would come back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gis.checks.features import Ints
from gis.checks.network.graph import groups


def circles(start: Ints, end: Ints, nodes: int) -> Iterator[Ints]:
    """The arcs start -> end (n) that are part of a directed cycle: those of each strongly connected part.

    An arc from a node to itself is no cycle here (NET-07). Every arc within such a part lies on a cycle.
    """
    arcs = coo_array((np.ones(len(start), np.int8), (start, end)), shape=(nodes, nodes))
    _, label = connected_components(arcs, directed=True, connection="strong")
    within = np.flatnonzero((label[start] == label[end]) & (start != end))
    for _, some in groups(label[start[within]].astype(np.int64), within):
        yield some
