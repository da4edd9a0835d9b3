"""DRN-10: foul water into storm drains, and drains that flow in circles."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely

from gis.checks.features import Bools, Ints
from gis.checks.findings import finding
from gis.checks.gravity.circles import circles
from gis.checks.model import Application, Finding, Rule
from gis.checks.network.graph import Graph, graph_of_whole, joint_needs
from gis.checks.network.members import one_of
from gis.checks.network.nearby import nearby
from gis.checks.network.steady import joined_as_before
from gis.checks.registry import whole
from gis.checks.rules.net_ends import MOST_NAMED
from gis.checks.whole import Whole
from layers.model import Text

#: Lines of a circle that a finding names and shows.
NAMED = 20

DRN_10 = Rule(
    id="DRN-10",
    awaits=True,
    title=Text(vi="Chảy vòng, hoặc nước thải vào cống mưa", en="Directed cycle, or foul into storm"),
    explanation=Text(
        vi="Các cống nối nhau thành vòng khép kín theo chiều chảy (trừ kênh triều và cống có áp), hoặc "
        "cống nước thải "
        "chảy vào cống nước mưa mà ở nút đó không có cống nước thải hay cống chung nào đi tiếp. Đảo chiều "
        "cống vẽ sai, "
        "hoặc sửa hệ thống của cống.",
        en="Drains close a circle in the direction they flow in (tidal canals and pressure mains apart), "
        "or a foul "
        "drain runs into a storm drain at a node that no foul or combined drain leaves. Turn the drain "
        "that is "
        "drawn wrongly, or mend the system of a drain.",
    ),
    message=Text(vi="{what}", en="{what}"),
    severity="E",
    scope="global",
    source="Practice; TCVN 7957",
    dimensions=(0, 1),
    sees_unsound=True,
)


@whole(
    DRN_10,
    decided=lambda app, catalogue: joint_needs(app, catalogue, "system"),
    steady=joined_as_before,
)
def drn_10(city: Whole, app: Application) -> Iterator[Finding]:
    if city.changed is None:
        graph = graph_of_whole(city, app, "system")
        nowhere = np.zeros(len(graph), bool)
        yield from _foul(app, graph, np.ones(len(graph), bool))
        for _, lines in _circles(graph, nowhere):
            yield _circle(app, graph, lines)
        return
    foul_judged = False
    for part in nearby(city, app, "system"):
        graph, seeds = part.graph, part.seeds
        if not foul_judged:
            touched = np.zeros(len(graph), bool)
            touched[graph.nodes_of_lines[seeds]] = True
            yield from _foul(app, graph, touched & ~part.outside)
            foul_judged = True
        # An outside may lead from anywhere to anywhere: a circle through it is only perhaps one.
        found = [
            (through, lines)
            for through, lines in _circles(graph, part.outside)
            if np.isin(seeds, lines).any()
        ]
        if not any(through for through, _ in found):
            for _, lines in found:
                yield _circle(app, graph, lines)
            return


def _foul(app: Application, graph: Graph, nodes: Bools) -> Iterator[Finding]:
    """Foul drains that end at one of ``nodes``, which only storm drains leave."""
    system = graph.lines.column("system")
    foul, storm, takes = (one_of(system, values) for values in (("foul",), ("storm",), ("foul", "combined")))
    arrives = _nodes(graph.end[graph.carrying & foul], graph)
    leaves = _nodes(graph.start[graph.carrying & storm], graph)
    taken = _nodes(graph.start[graph.carrying & takes], graph)
    for node in np.flatnonzero(arrives & leaves & ~taken & nodes).tolist():
        ends = graph.ends_at(node)
        lines = [
            graph.lines.about(m)
            for side, which in ((1, foul), (0, storm))
            for m in graph.lines.in_order(
                [e // 2 for e in ends if e % 2 == side and which[e // 2] and graph.carrying[e // 2]]
            )[:MOST_NAMED]
        ]
        points = [graph.points.about(p) for p in graph.points.in_order(graph.points_at(node))[:MOST_NAMED]]
        x, y = graph.xy[node]
        what = {
            "vi": "Nước thải chảy vào cống nước mưa",
            "en": "Foul water runs into a storm drain",
        }
        yield finding(app, [*lines, *points], shapely.Point(x, y), (x, y), words={"what": what})


def _nodes(at: Ints, graph: Graph) -> Bools:
    found = np.zeros(len(graph), bool)
    found[at] = True
    return found


def _circles(graph: Graph, outside: Bools) -> Iterator[tuple[bool, Ints]]:
    """(whether it passes the outside, its lines) for each part of the network that flows in circles."""
    both_ways = graph.lines.where(graph.network.both_ways, otherwise=False)
    lines = np.flatnonzero(graph.carrying & ~both_ways)
    # A node that stands for the outside, from which water may come back by any of the nodes there.
    hub, beyond = len(graph), np.flatnonzero(outside)
    start = np.concatenate([graph.start[lines], beyond, np.full(len(beyond), hub)])
    end = np.concatenate([graph.end[lines], np.full(len(beyond), hub), beyond])
    for arcs in circles(start, end, hub + 1):
        mine = arcs[arcs < len(lines)]
        if len(mine):
            yield len(mine) < len(arcs), lines[mine]


def _circle(app: Application, graph: Graph, lines: Ints) -> Finding:
    order = graph.lines.in_order(lines)
    shown = shapely.force_2d(graph.lines.geometry[order[:NAMED]])
    what = {
        "vi": f"{len(order)} cống chảy thành vòng khép kín",
        "en": f"{len(order)} drains flow in a circle",
    }
    return finding(
        app,
        [graph.lines.about(line) for line in order[:NAMED]],
        shapely.multilinestrings(shapely.get_parts(shown)),
        tuple(shapely.bounds(shown[0])[:2]),
        value=len(order),
        words={"what": what},
    )
