"""NET-01, NET-02, NET-03: where lines end, and nodes on lines that run on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import shapely

from gis.checks.features import Bools, Features, Ints
from gis.checks.findings import finding
from gis.checks.model import Application, Finding, Rule
from gis.checks.network.graph import CHAIN, Graph, graph_needs, graph_of, owned_nodes, unit_m
from gis.checks.network.loose import ON_LINE, SNAP, Loose, loose_ends, nodes_on_lines, snap_m
from gis.checks.network.mends import move_end, split
from gis.checks.registry import local
from gis.checks.window import Window, grown
from layers.model import Text

_SNAP_SOURCE = "Practice: snap tolerance by map scale (ArcGIS, Giswater)"
#: Features of a node that a finding names.
MOST_NAMED = 6

NET_01 = Rule(
    id="NET-01",
    awaits=True,
    title=Text(vi="Đầu tuyến không trùng nút", en="Line end not on a node"),
    explanation=Text(
        vi="Đầu của đường ống, cống hoặc dây dừng ngay trước, vượt quá hoặc lệch khỏi nút hay tuyến mà nó "
        "phải nối vào, trong phạm vi ngưỡng bắt điểm. Trên bản đồ trông như đã nối nhưng mạng lưới bị đứt "
        "ở đó. Dời đầu tuyến vào đúng nút; nếu là tuyến thì tách tuyến kia tại chỗ nối.",
        en="A pipe, drain or cable stops just before, beyond or beside the node or line that it belongs to, "
        "within the snap distance. It looks joined on the map, but the network is broken there. Move the end "
        "onto the node; where it belongs to a line, split that line there.",
    ),
    message=Text(
        vi="Đầu tuyến cách {what} {value} (ngưỡng bắt điểm {limit}): dời đầu tuyến vào đó",
        en="The line ends {value} from {what} (snap distance {limit}): move its end there",
    ),
    severity="E",
    scope="local",
    source=_SNAP_SOURCE,
    unit="m",
    parameters=(*SNAP, ON_LINE),
    dimensions=(0, 1),
    sees_unsound=True,
)
NET_02 = Rule(
    id="NET-02",
    title=Text(vi="Tuyến cụt không có thiết bị cuối", en="Dangle without an end device"),
    explanation=Text(
        vi="Một tuyến kết thúc mà không nối với tuyến nào và cũng không có thiết bị cho phép kết thúc ở đó "
        "(nút bịt, trụ cứu hỏa, đồng hồ, cột cuối, hố ga ...; mối nối không phải là thiết bị cuối). Hoặc "
        "thiếu thiết bị, hoặc tuyến còn đi tiếp.",
        en="A line ends without meeting another and without a device at which a line may end (end cap, "
        "hydrant, meter, terminal pole, manhole ...; a junction is none: it says that lines meet). Either "
        "the device is missing or the line goes on.",
    ),
    message=Text(
        vi="Tuyến kết thúc ở đây mà không có thiết bị cuối: bổ sung thiết bị hoặc nối tiếp tuyến",
        en="The line ends here without an end device: add the device, or join the line to what follows",
    ),
    severity="W",
    scope="local",
    source=_SNAP_SOURCE,
    parameters=SNAP,
    dimensions=(0, 1),
    sees_unsound=True,
)
NET_03 = Rule(
    id="NET-03",
    awaits=True,
    title=Text(vi="Nút nằm trên tuyến chưa tách", en="Node on an unsplit line"),
    explanation=Text(
        vi="Một nút (van, trụ, hố ga, đầu của tuyến khác) nằm trên một tuyến chạy thẳng qua mà không được "
        "tách ở đó, nên hai bên không nối với nhau trong mạng lưới. Tách tuyến thành hai tại nút.",
        en="A node (a valve, a hydrant, a manhole, the end of another line) lies on a line that runs on "
        "without being split there, so that the two are not joined in the network. Split the line in two "
        "at the node.",
    ),
    message=Text(
        vi="Nút cách tuyến {value} nhưng tuyến không được tách tại nút: tách tuyến ở đó",
        en="The node lies {value} off a line that is not split there: split the line at the node",
    ),
    severity="E",
    scope="local",
    source="Practice: T-candidates of Giswater (1 cm)",
    unit="m",
    parameters=(ON_LINE, *SNAP),
    dimensions=(0, 1),
    sees_unsound=True,
)


def _loose(window: Window, app: Application) -> Loose:
    graph = graph_of(window, app)
    names = tuple(app.number(p.name) for p in SNAP)
    unit = unit_m(window.setting.city)

    def compute() -> Loose:
        snap = snap_m(graph, app) / unit
        # A node of the window may be near an end beside it, which may be near another end.
        beside = 2 * float(snap.max(initial=0.0)) + CHAIN
        return loose_ends(graph, snap, grown(window.box, beside))

    return window.memo(("loose", app.network, names), compute)


@local(NET_01, needs=graph_needs)
def net_01(window: Window, app: Application) -> Iterator[Finding]:
    graph, loose, unit = graph_of(window, app), _loose(window, app), unit_m(window.setting.city)
    if not len(loose.ends):
        return
    snap = snap_m(graph, app)
    on_line = app.number(ON_LINE.name) / unit
    near = (loose.node >= 0) | ((loose.line >= 0) & (loose.distance > on_line))
    xy = graph.ends_xyz[loose.ends, :2]
    ends_of = {int(graph.node_of_end[e]): n for n, e in enumerate(loose.ends)}
    for n in np.flatnonzero(near & window.owns(xy)):
        end, node, other = int(loose.ends[n]), int(loose.node[n]), int(loose.line[n])
        line = end // 2
        mends = [move_end(graph, end, loose.at[n], unit)]
        if node >= 0:
            what = {"vi": "nút gần nhất", "en": "the nearest node"}
            rival = ends_of.get(node)
            if rival is not None and loose.node[rival] == graph.node_of_end[end]:
                # Two loose ends face each other: one finding, about the first of them.
                if graph.lines.key(int(loose.ends[rival]) // 2) < graph.lines.key(line):
                    continue
                what = {"vi": "đầu tuyến gần nhất", "en": "the end of another line"}
            about = _named(graph, node, line)
        else:
            what = {"vi": "tuyến gần nhất", "en": "the nearest line"}
            about = [graph.lines.about(other)]
            mends.append(split(graph, other, loose.at[n], unit))
        yield finding(
            app,
            [graph.lines.about(line), *about],
            shapely.linestrings([xy[n], loose.at[n]]),
            (xy[n, 0], xy[n, 1]),
            value=loose.distance[n] * unit,
            limit=snap[line],
            words={"what": what},
            mends=[mend for mend in mends if mend is not None],
        )


@local(NET_02, needs=graph_needs)
def net_02(window: Window, app: Application) -> Iterator[Finding]:
    graph, loose = graph_of(window, app), _loose(window, app)
    free = loose.ends[(loose.node < 0) & (loose.line < 0)]
    ends = np.concatenate([free, np.flatnonzero(_bare(graph, loose)[graph.node_of_end])])
    for end in ends[window.owns(graph.ends_xyz[ends, :2])].tolist():
        x, y = graph.ends_xyz[end, :2]
        yield finding(app, [graph.lines.about(end // 2)], shapely.Point(x, y), (x, y))


def _bare(graph: Graph, loose: Loose) -> Bools:
    """(nodes) where a line ends at a device that may not stand there."""
    bare: Bools = (graph.degree == 1) & (graph.features_at > 0)
    # Where the network says which devices may stand at an end, others (a junction) do not do.
    if not graph.network.ends or not bare.any():
        return np.zeros(len(graph), bool)
    may = [graph.points_that_are(role) for role in ("ends", "sources", "sinks")]
    bare &= ~graph.nodes_with(may[0] | may[1] | may[2])
    # Where a loose end nearly meets a node, that node is no end of the network (NET-01).
    bare[loose.node[loose.node >= 0]] = False
    return bare


@local(NET_03, needs=graph_needs)
def net_03(window: Window, app: Application) -> Iterator[Finding]:
    graph, unit = graph_of(window, app), unit_m(window.setting.city)
    limit = app.number(ON_LINE.name)
    node, line, distance = on_lines(window, app, graph, limit / unit)
    if not len(node):
        return
    if graph.network.along:
        # Lines pass poles without being split; the end of another line must be joined all the same.
        passed = graph.nodes_with(~graph.points_that_are("along"))
        keep = passed[node] | (graph.degree[node] > 0)
        node, line, distance = node[keep], line[keep], distance[keep]
    # Near the line's own end it is the end that is wrong (NET-01), or there are two nodes (NET-08).
    snap = snap_m(graph, app)[line] / unit
    for side in (graph.start, graph.end):
        away = np.hypot(*(graph.xy[side[line]] - graph.xy[node]).T) > snap
        node, line, distance, snap = node[away], line[away], distance[away], snap[away]
    mine = window.owns(graph.xy[node])
    for n, at, d in zip(node[mine].tolist(), line[mine].tolist(), distance[mine].tolist(), strict=True):
        mend = split(graph, at, graph.xy[n], unit)
        yield finding(
            app,
            [graph.lines.about(at), *_named(graph, n, at)],
            shapely.Point(graph.xy[n]),
            (graph.xy[n, 0], graph.xy[n, 1]),
            value=d * unit,
            limit=limit,
            mends=[mend] if mend else [],
        )


def on_lines(window: Window, app: Application, graph: Graph, near: float) -> tuple[Ints, Ints, Ints]:
    """nodes_on_lines of all nodes that the window owns, computed once for NET-03 and NET-08."""
    return window.memo(  # type: ignore[return-value]
        ("on lines", app.network, near),
        lambda: nodes_on_lines(graph, np.flatnonzero(owned_nodes(window, app)), near),
    )


def _named(graph: Graph, node: int, line: int) -> Iterable[tuple[Features, int]]:
    """The point features at a node, or the lines that end there, in the order of asset ids."""
    points = graph.points_at(node)
    if len(points):
        return [graph.points.about(p) for p in graph.points.in_order(points)[:MOST_NAMED]]
    others = graph.lines_at(node)
    return [graph.lines.about(m) for m in graph.lines.in_order(others[others != line])[:MOST_NAMED]]
