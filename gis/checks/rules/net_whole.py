"""NET-09 and NET-10: what only the whole network tells."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely

from gis.checks.features import Bools, Ints
from gis.checks.findings import finding
from gis.checks.model import Application, Finding, Rule
from gis.checks.network.graph import Graph, graph_of_whole, groups, joint_needs, unit_m
from gis.checks.network.joints import joints, loops, pieces
from gis.checks.network.loose import SNAP
from gis.checks.network.nearby import nearby
from gis.checks.network.reach import CutOff, cut_off, roots
from gis.checks.network.steady import joined_as_before
from gis.checks.registry import whole
from gis.checks.whole import Deferred, Whole
from layers.model import Text

#: Lines that a finding names and shows; how many there are is in its words.
NAMED = 20

NET_09 = Rule(
    id="NET-09",
    awaits=True,
    title=Text(vi="Không có đường tới nguồn hoặc cửa xả", en="No path to a source or outfall"),
    explanation=Text(
        vi="Một phần mạng lưới đang sử dụng không nối với nguồn nào (nhà máy nước, trạm điện), hoặc nước "
        "trong đó không chảy được tới cửa xả. Van đóng và dao mở được coi là ngắt. Mỗi phần rời là một "
        "lỗi, dù có bao nhiêu đoạn. Khe hở trong ngưỡng bắt điểm không tính ở đây vì đã có lỗi riêng "
        "(NET-01). Bổ sung đoạn còn thiếu hoặc sửa trạng thái van, dao. Khi chưa có nguồn nào được ghi, "
        "phần rời khỏi mạng chính bị báo.",
        en="A part of the network that is in service is joined to no source (water works, substation), or "
        "its water has no way to an outfall. Closed valves and open switches interrupt. Each part is one "
        "finding, however many lines it has. Gaps within the snap distance do not count here, because they "
        "have findings of their own (NET-01). Add the missing line, or mend the state of a valve or "
        "switch. Where no source is recorded at all, parts that are not joined to the largest one are "
        "reported.",
    ),
    message=Text(
        vi="{count} đoạn, dài tổng cộng {length} m, {what}",
        en="{count:line|lines}, {length} m in all, {what}",
    ),
    severity="E",
    scope="global",
    source="Practice: tracing from sources (ArcGIS Utility Network, Giswater)",
    parameters=(SNAP[0],),
    dimensions=(0, 1),
    sees_unsound=True,
)
NET_10 = Rule(
    id="NET-10",
    awaits=True,
    title=Text(vi="Mạch vòng trong lưới hình tia", en="Loop in a radial network"),
    explanation=Text(
        vi="Các đường dây khép thành vòng khi mọi thiết bị đóng cắt đang mở được coi là ngắt, trong khi "
        "lưới phải hình tia. Đường dây truyền tải được phép khép vòng. Thường một dao đang mở bị ghi là "
        "đóng, hoặc một đoạn nối thừa. Mỗi cụm vòng liền nhau là một lỗi.",
        en="Lines close a loop with all open switches taken as interruptions, where the network must be "
        "radial. Transmission may be meshed. Mostly an open switch is recorded as closed, or a line joins "
        "what should be apart. Loops that hang together are one finding.",
    ),
    message=Text(
        vi="{count} đoạn khép thành {loops} mạch vòng, dài tổng cộng {length} m",
        en="{count:line closes|lines close} {loops:loop|loops}, {length} m in all",
    ),
    severity="E",
    scope="global",
    source="Practice: radial operation of distribution networks",
    dimensions=(0, 1),
    sees_unsound=True,
)


@whole(NET_09, decided=joint_needs, steady=joined_as_before)
def net_09(city: Whole, app: Application) -> Iterator[Finding]:
    unit = unit_m(city.setting.city)
    near = app.number(SNAP[0].name) / unit
    if city.changed is None:
        graph = graph_of_whole(city, app)
        reach = cut_off(graph, near)
        for part in reach.cut_off:
            yield _cut_off(app, graph, part.lines, reach.rooted, unit)
        return
    for near_by in nearby(city, app):
        graph, outside, seeds = near_by.graph, near_by.outside, near_by.seeds
        # Cut off even if all that lies farther out were fed; and perhaps, if nothing there is.
        lost = [
            one
            for one in cut_off(graph, near, outside, fed_outside=True).cut_off
            if np.isin(seeds, one.lines).any()
        ]
        perhaps = cut_off(graph, near, outside).cut_off
        surely = _lines(lost)
        if np.isin(seeds, np.setdiff1d(_lines(perhaps), surely)).any():
            continue
        if any(outside[j[j < len(outside)]].any() for j in (one.joints for one in lost)):
            continue
        in_all = sum(city.source.count(s.layer) for s in graph.network.lines)
        if not roots(graph).any() and any(2 * len(one.lines) >= in_all for one in lost):
            raise Deferred  # perhaps no source is recorded, and this is the largest piece
        for one in lost:
            yield _cut_off(app, graph, one.lines, True, unit)
        return


def _lines(parts: list[CutOff]) -> Ints:
    return np.concatenate([np.empty(0, np.int64), *(one.lines for one in parts)])


def _cut_off(app: Application, graph: Graph, lines: Ints, rooted: bool, unit: float) -> Finding:
    if not rooted:
        what = {
            "vi": "không nối với phần chính của mạng lưới",
            "en": "not joined to the main part of the network",
        }
    elif graph.network.flow == "gravity":
        what = {"vi": "không có đường chảy tới cửa xả", "en": "without a way to an outfall"}
    else:
        what = {"vi": "không có đường tới nguồn", "en": "without a way to a source"}
    return _named(app, graph, lines, unit, {"what": what})


def _named(app: Application, graph: Graph, lines: Ints, unit: float, words: dict[str, object]) -> Finding:
    """A finding about many lines: it names the first of them in the order of asset ids."""
    order = graph.lines.in_order(lines)
    shown = shapely.force_2d(graph.lines.geometry[order[:NAMED]])
    length = float(shapely.length(graph.lines.geometry[lines]).sum()) * unit
    return finding(
        app,
        [graph.lines.about(line) for line in order[:NAMED]],
        shapely.multilinestrings(shapely.get_parts(shown)),
        tuple(shapely.bounds(shown[0])[:2]),
        value=len(order),
        words={"count": len(order), "length": f"{length:.0f}", **words},
    )


@whole(NET_10, decided=joint_needs, steady=joined_as_before)
def net_10(city: Whole, app: Application) -> Iterator[Finding]:
    unit = unit_m(city.setting.city)
    if city.changed is None:
        graph = graph_of_whole(city, app)
        for _, lines, count in _loops(graph, np.zeros(len(graph), bool)):
            yield _named(app, graph, lines, unit, {"loops": count})
        return
    for part in nearby(city, app):
        judged = [one for one in _loops(part.graph, part.outside) if np.isin(part.seeds, one[1]).any()]
        if not any(open_ended for open_ended, _, _ in judged):
            for _, lines, count in judged:
                yield _named(app, part.graph, lines, unit, {"loops": count})
            return


def _loops(graph: Graph, outside: Bools) -> Iterator[tuple[bool, Ints, int]]:
    """(whether it passes the outside, its lines, how many independent loops) for each block of loops."""
    known = joints(graph)
    meshed = graph.lines.where(graph.network.meshed, otherwise=False)[known.lines]
    lines, first, second = known.lines[~meshed], known.first[~meshed], known.second[~meshed]
    # What transmission joins is joined for the rest, but has no loops of its own: a star in its place. And
    # whatever is outside may join the nodes there.
    label = pieces(known.first[meshed], known.second[meshed], known.count)
    grid = np.unique(np.concatenate([known.first[meshed], known.second[meshed]]))
    beyond = np.flatnonzero(outside)
    hub = 2 * known.count
    first = np.concatenate([first, grid, beyond])
    second = np.concatenate([second, known.count + label[grid], np.full(len(beyond), hub)])
    block = loops(first, second, hub + 1)
    inside = np.flatnonzero(block >= 0)
    for _, some in groups(block[inside], inside):
        mine = some[some < len(lines)]
        if len(mine):
            around = np.unique(np.concatenate([first[some], second[some]]))
            yield bool((around == hub).any()), lines[mine], len(some) - len(around) + 1
