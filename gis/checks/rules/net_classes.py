"""NET-11 and NET-12: what kinds of lines meet at a node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from gis.checks.features import Bools, Ints
from gis.checks.findings import finding
from gis.checks.model import Application, Finding, Rule
from gis.checks.network.graph import Graph, graph_needs, graph_of
from gis.checks.network.members import one_of
from gis.checks.registry import local
from gis.checks.rules.net_ends import MOST_NAMED
from gis.checks.window import Window
from layers.model import FieldDef, Text

NET_11 = Rule(
    id="NET-11",
    awaits=True,
    title=Text(vi="Hai cấp tuyến không được nối với nhau", en="Forbidden pair of classes"),
    explanation=Text(
        vi="Hai tuyến thuộc hai cấp không được nối trực tiếp gặp nhau ở một nút, ví dụ ống nhánh của khách "
        "hàng đấu thẳng vào ống truyền dẫn. Hoặc cấp của một tuyến ghi sai, hoặc tuyến được bắt vào sai "
        "nút.",
        en="Two lines of classes that may not be joined meet at a node, for instance a customer's service "
        "pipe on a transmission main. Either the class of one is wrong, or it was snapped to the wrong "
        "node.",
    ),
    message=Text(vi="{first} nối thẳng với {second}", en="{first} joined to {second}"),
    severity="E",
    scope="local",
    source="Practice: connectivity rules of ArcGIS Utility Network",
    dimensions=(0, 1),
    sees_unsound=True,
)
NET_12 = Rule(
    id="NET-12",
    awaits=True,
    title=Text(vi="Đổi cấp điện áp, áp lực không có thiết bị", en="Tier changes without a device"),
    explanation=Text(
        vi="Các tuyến có điện áp (hoặc cấp áp lực) khác nhau gặp nhau ở một nút không có máy biến áp hay "
        "thiết bị đổi cấp. Bổ sung thiết bị, sửa điện áp, hoặc tách hai tuyến chỉ đi chung cột.",
        en="Lines of different voltage (or pressure tier) meet at a node without a transformer or another "
        "device that changes it. Add the device, mend the voltage, or part lines that only share a pole.",
    ),
    message=Text(
        vi="{values} gặp nhau ở đây mà không có thiết bị đổi cấp",
        en="{values} meet here without a device between them",
    ),
    severity="E",
    scope="local",
    source="Practice: tiers of ArcGIS Utility Network and CIM",
    dimensions=(0, 1),
    sees_unsound=True,
)


@local(NET_11, needs=graph_needs)
def net_11(window: Window, app: Application) -> Iterator[Finding]:
    graph = graph_of(window, app)
    name = graph.network.line_class
    if name is None:
        return
    column = graph.lines.column(name)
    met = set(column[graph.carrying].tolist())
    for pair in graph.network.forbidden:
        if not met.issuperset(pair):
            continue
        first, second = (graph.carrying & one_of(column, (value,)) for value in pair)
        meet = _nodes_of(graph, first) & _nodes_of(graph, second) & window.owns(graph.xy)
        for n in np.flatnonzero(meet).tolist():
            lines = graph.lines_at(n)
            about = [
                graph.lines.about(m)
                for some in (lines[first[lines]], lines[second[lines]])
                for m in graph.lines.in_order(some)[:MOST_NAMED]
            ]
            points = graph.points.in_order(graph.points_at(n))[:MOST_NAMED]
            x, y = graph.xy[n]
            field = about[0][0].layer.field(name)
            yield finding(
                app,
                [*about, *(graph.points.about(p) for p in points)],
                shapely.Point(x, y),
                (x, y),
                words={"first": _title(graph, name, pair[0]), "second": _title(graph, name, pair[1])},
                restricted=field is not None and field.access != "public",
            )


@local(NET_12, needs=graph_needs)
def net_12(window: Window, app: Application) -> Iterator[Finding]:
    graph = graph_of(window, app)
    name = graph.network.tier
    if name is None:
        return
    column = graph.lines.column(name)
    values, code = _codes(column)
    if len(values) < 2:
        return
    ends = np.flatnonzero(np.repeat(graph.carrying & (code >= 0), 2))
    low, high = np.full(len(graph), len(values)), np.full(len(graph), -1)
    np.minimum.at(low, graph.node_of_end[ends], code[ends // 2])
    np.maximum.at(high, graph.node_of_end[ends], code[ends // 2])
    differ = (low < high) & ~graph.nodes_that_are("changers") & window.owns(graph.xy)
    for n in np.flatnonzero(differ).tolist():
        lines = [m for m in graph.lines.in_order(graph.lines_at(n)) if graph.carrying[m] and code[m] >= 0]
        # One line of each tier first, so that all are named when there are many.
        firsts = list({int(code[m]): m for m in reversed(lines)}.values())
        lines = [*reversed(firsts), *(m for m in lines if m not in firsts)]
        x, y = graph.xy[n]
        features, _ = graph.lines.about(lines[0])
        field = features.layer.field(name)
        unit = f" {field.unit}" if field is not None and field.unit else ""
        met = [values[c] for c in sorted({int(code[m]) for m in lines})]
        said = ", ".join(f"{v:g}{unit}" if isinstance(v, float) else str(v) for v in met)
        yield finding(
            app,
            [graph.lines.about(m) for m in lines[:MOST_NAMED]],
            shapely.Point(x, y),
            (x, y),
            words={"values": said},
            restricted=field is not None and field.access != "public",
        )


def _nodes_of(graph: Graph, lines: Bools) -> Bools:
    """(nodes) where one of the lines starts or ends."""
    found = np.zeros(len(graph), bool)
    found[graph.nodes_of_lines[lines]] = True
    return found


def _codes(column: npt.NDArray[Any]) -> tuple[list[float | str], Ints]:
    """The different values of a column in order, and for each row its place among them; -1 for null."""
    if column.dtype == object:
        known = np.array([value is not None for value in column], bool)
        texts, code = np.unique(column[known].astype(str), return_inverse=True)
        values: list[float | str] = [str(v) for v in texts]
    else:
        known = ~np.isnan(column)
        numbers, code = np.unique(column[known], return_inverse=True)
        values = [float(v) for v in numbers]
    found = np.full(len(column), -1)
    found[known] = code
    return values, found


def _title(graph: Graph, name: str, value: str) -> dict[str, str]:
    """A value's title in both languages."""
    for part in graph.lines.parts:
        field: FieldDef | None = part.layer.field(name)
        for known in part.layer.domain_of(field) if field else ():
            if known.value == value:
                return {"vi": known.title.vi, "en": known.title.en}
    return {"vi": value, "en": value}
