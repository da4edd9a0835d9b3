"""DRN-03, DRN-04, DRN-05: sizes and levels of the drains that meet at a node."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely

from gis.checks.features import Bools, Floats, Ints
from gis.checks.findings import finding
from gis.checks.gravity.drains import Drains, drains_needs, drains_of
from gis.checks.model import Application, Finding, Parameter, Rule
from gis.checks.registry import local
from gis.checks.rules.net_ends import MOST_NAMED
from gis.checks.window import Window
from layers.model import Text

#: Nominal sizes are rounded: a section this much smaller is the same.
_SAME = 0.99
_TOLERANCE = Parameter(
    "tolerance_m", Text(vi="Dung sai cao độ", en="Tolerance of levels"), 0.02, "m", minimum=0, maximum=1
)
DRN_03 = Rule(
    id="DRN-03",
    title=Text(vi="Tiết diện giảm về hạ lưu", en="Diameter decreases downstream"),
    explanation=Text(
        vi="Cống chảy vào nút có tiết diện lớn hơn tổng tiết diện các cống chảy ra, dễ gây ứ nước. So "
        "theo diện tích, "
        "nên so được cống hộp với cống tròn; ống có áp và xi phông không xét. Kiểm tra đường kính ghi "
        "trên cống.",
        en="A drain that flows into a node has a larger section than all that leave it together, so that "
        "water backs "
        "up. Areas are compared, so that boxes compare with pipes; pressure mains and siphons are not "
        "judged. Check "
        "the recorded diameters.",
    ),
    message=Text(
        vi="Tiết diện giảm: cống vào tương đương D {limit}, các cống ra {value}",
        en="The section shrinks: what flows in is as D {limit}, what leaves as {value}",
    ),
    severity="W",
    scope="local",
    source="TCVN 7957; practice",
    unit="mm",
    dimensions=(0, 1),
    sees_unsound=True,
)
DRN_04 = Rule(
    id="DRN-04",
    awaits=True,
    title=Text(vi="Cống ra cao hơn cống vào", en="Outlet above the inlet"),
    explanation=Text(
        vi="Đáy cống ra thấp nhất của nút cao hơn đáy cống vào thấp nhất, nên nước đọng lại trong cống "
        "vào. Sửa cao độ "
        "đáy, hoặc ghi chế độ chảy nếu là dốc ngược có chủ ý, xi phông.",
        en="The lowest outlet of a node is above its lowest inlet, so that water stands in the drain "
        "above. Mend the "
        "inverts, or record the flow regime where it is a siphon or inverted on purpose.",
    ),
    message=Text(
        vi="Đáy cống ra cao hơn đáy cống vào {value} (cho phép {limit})",
        en="The outlet's invert is {value} above the lowest inlet's (allowed {limit})",
    ),
    severity="E",
    scope="local",
    source="Practice; TEKSI, Giswater",
    unit="m",
    parameters=(_TOLERANCE,),
    dimensions=(0, 1),
    sees_unsound=True,
)
DRN_05 = Rule(
    id="DRN-05",
    awaits=True,
    title=Text(vi="Đáy hố ga cao hơn đáy cống", en="Manhole invert above the pipe's"),
    explanation=Text(
        vi="Cao độ đáy ghi ở hố ga, miệng thu hoặc cửa xả cao hơn đáy cống thấp nhất nối vào. Một trong "
        "hai cao độ "
        "sai.",
        en="The invert recorded for a manhole, inlet or outfall is above that of the lowest drain there. "
        "One of the "
        "two levels is wrong.",
    ),
    message=Text(
        vi="Đáy {node} cao hơn đáy cống {value} (cho phép {limit})",
        en="The invert of {node} is {value} above that of its drain (allowed {limit})",
    ),
    severity="E",
    scope="local",
    source="Practice; TEKSI, Giswater",
    unit="m",
    parameters=(_TOLERANCE,),
    dimensions=(0, 1),
    sees_unsound=True,
)


@local(DRN_03, needs=drains_needs)
def drn_03(window: Window, app: Application) -> Iterator[Finding]:
    drains = drains_of(window, app)
    graph = drains.graph
    known = np.nan_to_num(drains.area)
    # One free line among them (a rising main, a siphon), or one of unknown size, and nothing can be said.
    leaves = drains.live
    out = np.bincount(graph.start[leaves], known[leaves], len(graph))
    vague = np.zeros(len(graph), bool)
    vague[graph.start[leaves & (drains.free | ~drains.closed | (known == 0))]] = True
    flows_in = drains.falling & drains.closed & ~drains.against
    largest = np.zeros(len(graph))
    np.maximum.at(largest, graph.end[flows_in], known[flows_in])
    shrinks = (out > 0) & ~vague & (out < _SAME * largest) & window.owns(graph.xy)
    for node in np.flatnonzero(shrinks).tolist():
        ends = graph.ends_at(node)
        inlets = np.array([e // 2 for e in ends if e % 2 and flows_in[e // 2]], np.int64)
        inlets = inlets[known[inlets] * _SAME > out[node]]
        outlets = np.array([e // 2 for e in ends if e % 2 == 0 and leaves[e // 2]], np.int64)
        yield _at_node(
            app,
            drains,
            node,
            inlets,
            outlets,
            value=float(np.sqrt(out[node] * 4 / np.pi) * 1000),
            limit=float(drains.diameter[inlets].max()),
        )


@local(DRN_04, needs=drains_needs)
def drn_04(window: Window, app: Application) -> Iterator[Finding]:
    drains = drains_of(window, app)
    graph, limit = drains.graph, app.number("tolerance_m")
    inlets = drains.falling & ~drains.against
    outlets = drains.live
    lowest_in = _lowest(len(graph), graph.end[inlets], drains.down[inlets])
    lowest_out = _lowest(len(graph), graph.start[outlets], drains.up[outlets])
    # Into or out of a line that needs no fall (siphon, pressure, tide) water may have to rise.
    free = np.zeros(len(graph), bool)
    free[graph.start[outlets & (drains.free | np.isnan(drains.up))]] = True
    both = np.isfinite(lowest_out) & np.isfinite(lowest_in)
    rise = np.where(both, lowest_out, 0.0) - np.where(both, lowest_in, 0.0)
    bad = (rise > limit + ROUNDED) & ~free & window.owns(graph.xy)
    for node in np.flatnonzero(bad).tolist():
        ends = graph.ends_at(node)
        low = _lines(ends[ends % 2 == 1], inlets & (drains.down == lowest_in[node]))
        out = _lines(ends[ends % 2 == 0], outlets & (drains.up == lowest_out[node]))
        yield _at_node(app, drains, node, low, out, points_first=True, value=rise[node], limit=limit)


@local(DRN_05, needs=drains_needs)
def drn_05(window: Window, app: Application) -> Iterator[Finding]:
    drains = drains_of(window, app)
    graph, limit = drains.graph, app.number("tolerance_m")
    kept = np.repeat(drains.live, 2)
    kept[1::2] &= ~drains.against
    lowest = _lowest(len(graph), graph.node_of_end[kept], drains.levels[kept])
    invert = graph.points.column("invert_m")
    rise = invert - np.where(np.isinf(lowest), np.nan, lowest)[graph.node_of_point]
    bad = (rise > limit + ROUNDED) & ~graph.absent & window.owns(graph.xy)[graph.node_of_point]
    for point in np.flatnonzero(bad).tolist():
        node = int(graph.node_of_point[point])
        ends = graph.ends_at(node)
        lines = _lines(ends[kept[ends] & (drains.levels[ends] == lowest[node])], drains.live)
        features, index = graph.points.about(point)
        x, y = graph.xy[node]
        yield finding(
            app,
            [(features, index), *(graph.lines.about(m) for m in graph.lines.in_order(lines)[:MOST_NAMED])],
            shapely.Point(x, y),
            (x, y),
            value=rise[point],
            limit=limit,
            words={"node": features.asset_id[index]},
        )


#: Levels are decimal fractions; what their difference is off by is less than this (m).
ROUNDED = 1e-6


def _lowest(nodes: int, at: Ints, levels: Floats) -> Floats:
    """(nodes) the lowest of the known levels; inf where there is none."""
    found = np.full(nodes, np.inf)
    known = ~np.isnan(levels)
    np.minimum.at(found, at[known], levels[known])
    return found


def _lines(ends: Ints, which: Bools) -> Ints:
    lines = np.unique(ends // 2)
    return lines[which[lines]]


def _at_node(
    app: Application, drains: Drains, node: int, inlets: Ints, outlets: Ints, *, value: float,
    limit: float, points_first: bool = False,
) -> Finding:  # fmt: skip
    graph = drains.graph
    lines = [
        graph.lines.about(m) for some in (inlets, outlets) for m in graph.lines.in_order(some)[:MOST_NAMED]
    ]
    points = [graph.points.about(p) for p in graph.points.in_order(graph.points_at(node))[:MOST_NAMED]]
    x, y = graph.xy[node]
    about = [*points, *lines] if points_first else [*lines, *points]
    return finding(app, about, shapely.Point(x, y), (x, y), value=value, limit=limit)
