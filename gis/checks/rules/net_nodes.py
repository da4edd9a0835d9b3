"""NET-04, NET-08, NET-13, NET-14: what is, or is not, at the nodes of a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from gis.checks.features import Bools, Features, Ints
from gis.checks.findings import finding
from gis.checks.model import Application, Finding, Parameter, Rule
from gis.checks.network.graph import Graph, graph_needs, graph_of, owned_nodes, unit_m
from gis.checks.network.loose import ON_LINE, near_nodes
from gis.checks.registry import local
from gis.checks.rules.net_ends import MOST_NAMED, on_lines
from gis.checks.window import Window
from layers.model import Text

NET_04 = Rule(
    id="NET-04",
    title=Text(vi="Nút giả", en="Pseudo-node"),
    explanation=Text(
        vi="Hai đoạn cùng thuộc tính gặp nhau ở một chỗ không có nút và không có đoạn thứ ba: chỗ chia "
        "đoạn này không có ý nghĩa gì. Có thể nhập hai đoạn thành một, trừ khi chúng là hai tài sản riêng.",
        en="Two lines with the same attributes meet where there is neither a node feature nor a third "
        "line: the division means nothing. They can be merged, unless they are assets of their own.",
    ),
    message=Text(
        vi="Hai đoạn cùng thuộc tính gặp nhau ở đây mà không có nút: có thể nhập làm một",
        en="Two lines with the same attributes meet here without a node: they could be one",
    ),
    severity="I",
    scope="local",
    source="Practice: pseudo-nodes of ArcGIS and QGIS topology checkers",
    dimensions=(0, 1),
    sees_unsound=True,
)
NET_08 = Rule(
    id="NET-08",
    awaits=True,
    title=Text(vi="Nút chồng cụm hoặc nút mồ côi", en="Cluster of nodes, or orphan node"),
    explanation=Text(
        vi="Hai nút nằm sát nhau mà không có tuyến nối (thường là một nút vẽ hai lần), hoặc một nút đang "
        "sử dụng không nằm trên tuyến nào. Nhập các nút trùng làm một; đưa nút mồ côi về tuyến của nó hoặc "
        "bổ sung tuyến.",
        en="Two nodes lie next to each other without a line between them (often one node drawn twice), or "
        "a node in service lies on no line. Make one node of two; move the orphan to its line, or add the "
        "line.",
    ),
    message=Text(vi="{what}", en="{what}"),
    severity="E",
    scope="local",
    source="Practice: Giswater node proximity and orphan nodes",
    unit="m",
    parameters=(
        Parameter(
            "distance_m",
            Text(vi="Hai nút gần hơn mức này là một cụm", en="Nodes nearer than this are a cluster"),
            0.1,
            "m",
            minimum=0.002,
            maximum=2,
        ),
        ON_LINE,
    ),
    dimensions=(0, 1),
    sees_unsound=True,
)
NET_13 = Rule(
    id="NET-13",
    title=Text(
        vi="Đổi đường kính hoặc vật liệu không có nút", en="Diameter or material changes without a node"
    ),
    explanation=Text(
        vi="Hai đoạn nối tiếp khác nhau về đường kính, vật liệu hoặc thuộc tính khác chỉ được đổi tại một "
        "nút, mà ở chỗ nối không có nút nào. Bổ sung nút (côn thu, mối nối ...) hoặc sửa thuộc tính sai.",
        en="Two lines in a row differ in diameter, material or another attribute that changes at nodes "
        "only, and there is no node where they meet. Add the node (a reducer, a joint ...) or mend the "
        "wrong attribute.",
    ),
    message=Text(vi="Đổi {what} mà không có nút", en="A change of {what} without a node"),
    severity="W",
    scope="local",
    source="Practice of network data",
    dimensions=(0, 1),
    sees_unsound=True,
)
NET_14 = Rule(
    id="NET-14",
    title=Text(
        vi="Tuyến đang dùng trên nút quy hoạch hoặc đã tháo", en="In service on a planned or removed node"
    ),
    explanation=Text(
        vi="Một đoạn đang sử dụng kết thúc ở nút mà mọi thiết bị ở đó mới là quy hoạch hoặc đã tháo dỡ: "
        "trạng thái của đoạn hoặc của nút không đúng.",
        en="A line in service ends at a node where all there is is planned or was removed: the status of "
        "the line or of the node is wrong.",
    ),
    message=Text(
        vi="{count} đoạn đang sử dụng nối vào nút chưa có hoặc không còn: kiểm tra trạng thái",
        en="{count:line|lines} in service at a node that is planned or was removed: check the status",
    ),
    severity="W",
    scope="local",
    source="Practice of network data",
    dimensions=(0, 1),
    sees_unsound=True,
)


def _plain_joints(window: Window, app: Application, graph: Graph) -> tuple[Ints, Ints, Ints]:
    """(node, line, other) where just two lines meet without a point feature, at nodes of this window."""
    node = np.flatnonzero((graph.degree == 2) & (graph.features_at == 0) & owned_nodes(window, app))
    if not len(node):
        return node, node, node
    first, ends = graph.ends_in_order
    line, other = ends[first[node]] // 2, ends[first[node] + 1] // 2
    two = line != other
    return node[two], line[two], other[two]


def _known(column: npt.NDArray[Any]) -> Bools:
    if column.dtype == object:
        return np.fromiter((value is not None for value in column), bool, len(column))
    return ~np.isnan(column)


def _pair(graph: Graph, line: int, other: int) -> list[tuple[Features, int]]:
    return [graph.lines.about(m) for m in graph.lines.in_order((line, other))]


@local(NET_04, needs=graph_needs)
def net_04(window: Window, app: Application) -> Iterator[Finding]:
    graph = graph_of(window, app)
    node, line, other = _plain_joints(window, app, graph)
    if not len(node):
        return
    network = graph.network
    names = [*network.steady, network.tier, network.line_class, *network.meshed, *network.both_ways, "status"]
    same = graph.lines.part[line] == graph.lines.part[other]
    for name in dict.fromkeys(n for n in names if n):
        column = graph.lines.column(name)
        one, two = column[line], column[other]
        same &= (one == two) | (~_known(one) & ~_known(two))
    for n, a, b in zip(node[same].tolist(), line[same].tolist(), other[same].tolist(), strict=True):
        x, y = graph.xy[n]
        yield finding(app, _pair(graph, a, b), shapely.Point(x, y), (x, y))


@local(NET_13, needs=graph_needs)
def net_13(window: Window, app: Application) -> Iterator[Finding]:
    graph = graph_of(window, app)
    node, line, other = _plain_joints(window, app, graph)
    if not len(node):
        return
    changes = np.zeros((len(graph.network.steady), len(node)), bool)
    for number, name in enumerate(graph.network.steady):
        column = graph.lines.column(name)
        one, two = column[line], column[other]
        changes[number] = (one != two) & _known(one) & _known(two)
    for k in np.flatnonzero(changes.any(axis=0)):
        a, b = graph.lines.in_order((int(line[k]), int(other[k])))
        names = [name for number, name in enumerate(graph.network.steady) if changes[number, k]]
        x, y = graph.xy[node[k]]
        yield finding(
            app,
            [graph.lines.about(a), graph.lines.about(b)],
            shapely.Point(x, y),
            (x, y),
            words={"what": _worded(graph, names, (a, b))},
            restricted=_confidential(graph, names),
        )


def _worded(graph: Graph, names: Sequence[str], pair: Sequence[int]) -> dict[str, str]:
    """``diameter 200 mm - 150 mm, material ...`` in both languages."""
    features, _ = graph.lines.about(pair[0])
    said: dict[str, list[str]] = {"vi": [], "en": []}
    for name in names:
        field = features.layer.field(name)
        assert field is not None, name
        column = graph.lines.column(name)
        for language, words in said.items():
            titles = {d.value: getattr(d.title, language) for d in features.layer.domain_of(field)}
            values = []
            for member in pair:
                value = column[member]
                plain = f"{value:g}" if isinstance(value, float) else titles.get(value, str(value))
                values.append(f"{plain} {field.unit}" if field.unit else plain)
            title = getattr(field.title, language)
            words.append(f"{title[:1].lower()}{title[1:]} {values[0]} → {values[1]}")
    return {language: ", ".join(words) for language, words in said.items()}


def _confidential(graph: Graph, names: Sequence[str]) -> bool:
    fields = [part.layer.field(name) for part in graph.lines.parts for name in names]
    return any(field is not None and field.access != "public" for field in fields)


@local(NET_08, needs=graph_needs)
def net_08(window: Window, app: Application) -> Iterator[Finding]:
    graph, unit = graph_of(window, app), unit_m(window.setting.city)
    limit = app.number("distance_m")
    # A loose end is no node of its own: NET-01 says where it belongs.
    real = np.flatnonzero((graph.features_at > 0) | (graph.degree > 1))
    node, other, distance = near_nodes(graph, real, limit / unit)
    if len(node):
        # Joined by a line it is the line that is too short (NET-06).
        apart = ~_joined(graph, node, other)
        node, other, distance = node[apart], other[apart], distance[apart]
    for n, o, d in zip(node.tolist(), other.tolist(), distance.tolist(), strict=True):
        x, y = np.minimum(graph.xy[n], graph.xy[o])
        gap = f"{d * unit * 100:.1f} cm"
        if not window.owns_point(x, y):
            continue
        yield finding(
            app,
            _around(graph, (n, o)),
            shapely.linestrings(graph.xy[[n, o]]),
            (x, y),
            value=d * unit,
            limit=limit,
            words={
                "what": {
                    "vi": f"Hai nút cách nhau {gap} mà không có tuyến nối: nhập làm một nút",
                    "en": f"Two nodes {gap} apart without a line between them: make them one",
                }
            },
        )
    yield from _orphans(window, app, graph, limit / unit)


def _orphans(window: Window, app: Application, graph: Graph, near: float) -> Iterator[Finding]:
    free = (graph.degree == 0) & owned_nodes(window, app)
    if not free.any():
        return
    judged = graph.points.where(graph.network.carries)
    judged &= ~graph.points_that_are("loose") & ~graph.absent
    mine = np.flatnonzero(free & graph.nodes_with(judged))
    on, _, _ = on_lines(window, app, graph, app.number(ON_LINE.name) / unit_m(window.setting.city))
    mine = np.setdiff1d(mine, on) if len(on) else mine
    if not len(mine):
        return
    # What lies beside another node or a loose end has its finding already.
    away, _ = graph.node_tree.query(graph.xy[mine], k=[2], distance_upper_bound=near * (1 + 1e-9))
    for n in mine[away[:, 0] > near].tolist():
        x, y = graph.xy[n]
        points = [p for p in graph.points_at(n).tolist() if judged[p]]
        yield finding(
            app,
            [graph.points.about(p) for p in graph.points.in_order(points)[:MOST_NAMED]],
            shapely.Point(x, y),
            (x, y),
            words={
                "what": {
                    "vi": "Nút không nằm trên tuyến nào: đưa về đúng tuyến hoặc bổ sung tuyến",
                    "en": "The node lies on no line: move it to its line, or add the line",
                }
            },
        )


def _joined(graph: Graph, node: Ints, other: Ints) -> Bools:
    """Which pairs of nodes have a line from one to the other."""
    count = len(graph)
    lines = np.minimum(graph.start, graph.end) * count + np.maximum(graph.start, graph.end)
    return np.isin(np.minimum(node, other) * count + np.maximum(node, other), lines)


def _around(graph: Graph, nodes: Sequence[int]) -> list[tuple[Features, int]]:
    """Some features of the nodes in the order of asset ids: point features, or lines where there are none."""
    found = []
    for node in nodes:
        points = graph.points_at(node)
        if len(points):
            some = [(graph.points, p) for p in graph.points.in_order(points)]
        else:
            some = [(graph.lines, m) for m in graph.lines.in_order(graph.lines_at(node))]
        found += [(of.key(m), of.about(m)) for of, m in some[:MOST_NAMED]]
    return [about for _, about in sorted(found, key=lambda item: item[0])]


@local(NET_14, needs=graph_needs)
def net_14(window: Window, app: Application) -> Iterator[Finding]:
    graph = graph_of(window, app)
    if not graph.absent.any():
        return
    gone = graph.nodes_with(graph.absent) & ~graph.nodes_with(~graph.absent)
    for n in np.flatnonzero(gone & owned_nodes(window, app)).tolist():
        lines = [m for m in graph.lines_at(n).tolist() if graph.carrying[m]]
        if not lines:
            continue
        points = graph.points.in_order(graph.points_at(n))
        x, y = graph.xy[n]
        yield finding(
            app,
            [graph.points.about(p) for p in points[:MOST_NAMED]]
            + [graph.lines.about(m) for m in graph.lines.in_order(lines)[:MOST_NAMED]],
            shapely.Point(x, y),
            (x, y),
            words={"count": len(lines)},
        )
