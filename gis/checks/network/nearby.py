"""The part of a network around an edit, larger and larger, for global rules that judge an edit at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gis.checks.features import Bools, Ints
from gis.checks.model import Application
from gis.checks.network.graph import Graph, build, columns, unit_m
from gis.checks.whole import Deferred, Whole
from gis.checks.window import grown

#: Most lines that are read for an edit.
BUDGET = 500
#: First distance (m) around the edit; it doubles.
_FIRST = 50.0


@dataclass(frozen=True)
class Nearby:
    """``outside`` (nodes): something else may be there. ``seeds``: lines that carry and were edited, or that
    end where a point feature was."""

    graph: Graph
    outside: Bools
    seeds: Ints


def nearby(whole: Whole, app: Application, *more: str) -> Iterator[Nearby]:
    """Parts of the network around what was changed, each larger than the one before; ``more``: further
    fields, read from the layers that have them.

    Nothing when the edit does not touch a line that carries. Raises Deferred when a changed feature is gone
    (what it joined cannot be known), and when more than BUDGET lines would have to be read.
    """
    catalogue = whole.setting.catalogue
    network = catalogue.networks[app.network]
    unit = unit_m(whole.setting.city)
    changed = {layer: (whole.changed or {}).get(layer, frozenset()) for layer in network.layers}
    if sum(map(len, changed.values())) > BUDGET:
        raise Deferred
    boxes = []
    for layer, fids in changed.items():
        if fids:
            found = whole.source.pick(layer, sorted(fids), ())
            if len(found) < len(fids):
                raise Deferred
            boxes.append(found.boxes)
    if not boxes:
        return
    corners = np.vstack(boxes)
    if not np.isfinite(corners).all():
        raise Deferred
    box = (*corners[:, :2].min(axis=0).tolist(), *corners[:, 2:].max(axis=0).tolist())
    margin = _FIRST / unit
    wanted = {layer: columns(network, layer, catalogue, *more) for layer in network.layers}
    while True:
        area = grown(box, margin)
        whole.source.ask((layer, area, names) for layer, names in wanted.items())
        read = {layer: whole.source.features(layer, area, names) for layer, names in wanted.items()}
        graph = build(network, read.__getitem__, network.cluster_m / unit)
        if len(graph.lines) > BUDGET:
            raise Deferred
        inner = grown(area, -1.0)
        outside = ~(
            (graph.xy[:, 0] > inner[0])
            & (graph.xy[:, 0] < inner[2])
            & (graph.xy[:, 1] > inner[1])
            & (graph.xy[:, 1] < inner[3])
        )
        seeds = _seeds(graph, changed)
        if not len(seeds):
            return
        yield Nearby(graph, outside, seeds)
        margin *= 2


def _seeds(graph: Graph, changed: dict[str, frozenset[int]]) -> Ints:
    masks = []
    for of in (graph.lines, graph.points):
        mask = np.zeros(len(of), bool)
        for number, part in enumerate(of.parts):
            mine = of.part == number
            fids = np.array(sorted(changed[part.layer.id]), dtype=np.int64)
            mask[mine] = np.isin(part.fid[of.index[mine]], fids)
        masks.append(mask)
    at = graph.nodes_with(masks[1])[graph.nodes_of_lines].any(axis=1)
    found: Ints = np.flatnonzero((masks[0] | at) & graph.carrying)
    return found
