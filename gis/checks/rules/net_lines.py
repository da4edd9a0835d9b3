"""NET-05, NET-06, NET-07, NET-15: lines of a network taken by themselves or in pairs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import shapely

from gis.checks.features import Bools, Floats, Ints, Objects
from gis.checks.findings import finding
from gis.checks.model import Application, Finding, Mend, Parameter, Rule
from gis.checks.network.graph import Graph, graph_needs, graph_of, unit_m
from gis.checks.network.loose import SNAP, snap_m
from gis.checks.network.members import Members
from gis.checks.registry import local
from gis.checks.window import Window, grown
from layers.model import Text

#: Lines whose neighbours are looked up at once: where everything lies upon everything, memory stays bounded.
_PORTION = 500
#: Of more crossings than _MANY in a square of _CELL_M (less than REACH), each line's first is told.
_MANY, _CELL_M = 100, 1.0

NET_05 = Rule(
    id="NET-05",
    title=Text(vi="Giao nhau không có nút", en="Crossing without a junction"),
    explanation=Text(
        vi="Hai tuyến của cùng một mạng cắt nhau ở chỗ không có nút, mà độ cao không chứng tỏ tuyến này đi "
        "trên tuyến kia: chúng phải nối với nhau (thiếu nút) hoặc thiếu độ cao đúng. Tách cả hai tuyến và "
        "thêm nút, hoặc nhập độ cao đo được. Nơi có hơn 100 chỗ cắt trong một mét vuông, mỗi tuyến chỉ được "
        "báo một lần.",
        en="Two lines of one network cross where there is no node, and their heights do not show that one "
        "passes above the other: either they are joined and the node is missing, or the heights are. Split "
        "both and add the node, or enter the measured heights. Where over 100 crossings lie in a square "
        "metre, each line is told once.",
    ),
    message=Text(
        vi="Hai tuyến cắt nhau mà không có nút, {what}",
        en="Two lines cross without a junction, {what}",
    ),
    severity="W",
    scope="local",
    source="Practice: connectivity checks of Giswater and ArcGIS",
    unit="m",
    parameters=(
        Parameter(
            "height_m",
            Text(vi="Chênh cao đủ để coi là vượt nhau", en="Difference of height that lets them pass"),
            0.1,
            "m",
            minimum=0.001,
            maximum=10,
        ),
        *SNAP,
    ),
    dimensions=(0, 1),
    sees_unsound=True,
)
NET_06 = Rule(
    id="NET-06",
    title=Text(vi="Đoạn quá ngắn", en="Zero or short line"),
    explanation=Text(
        vi="Một đoạn có chiều dài bằng không hoặc ngắn hơn mức có nghĩa trên bản đồ, thường là mảnh vụn "
        "còn lại khi tách hoặc bắt điểm sai. Chiều dài tính cả độ cao, nên ống đứng không bị báo. Xóa đoạn "
        "và nối các đoạn bên cạnh lại, hoặc vẽ đúng chiều dài.",
        en="A line has no length, or less than means anything on the map: mostly a leftover of splitting "
        "or of wrong snapping. Heights count, so a riser is not reported. Delete it and join its "
        "neighbours, or draw it in its true length.",
    ),
    message=Text(
        vi="Đoạn chỉ dài {value} (ít nhất {limit})", en="The line is only {value} long (at least {limit})"
    ),
    severity="E",
    scope="local",
    source="Practice: Giswater",
    unit="m",
    parameters=(
        Parameter(
            "length_m", Text(vi="Chiều dài nhỏ nhất", en="Least length"), 0.2, "m", minimum=0, maximum=10
        ),
    ),
    dimensions=(0, 1),
    sees_unsound=True,
)
NET_07 = Rule(
    id="NET-07",
    title=Text(vi="Nút đầu trùng nút cuối", en="Start node is the end node"),
    explanation=Text(
        vi="Một đoạn bắt đầu và kết thúc ở cùng một nút, nên không dẫn đi đâu cả. Thường một đầu bị bắt "
        "vào sai nút: nối đầu đó vào nút của nó, hoặc xóa đoạn.",
        en="A line starts and ends at the same node, so it leads nowhere. Mostly one end was snapped to "
        "the wrong node: move that end to its own node, or delete the line.",
    ),
    message=Text(
        vi="Đoạn dài {value} bắt đầu và kết thúc ở cùng một nút",
        en="A line of {value} starts and ends at the same node",
    ),
    severity="W",
    scope="local",
    source="Practice: Giswater",
    unit="m",
    parameters=(NET_06.parameters[0],),
    dimensions=(0, 1),
    sees_unsound=True,
)
NET_15 = Rule(
    id="NET-15",
    title=Text(vi="Vượt quá sức chứa", en="Duct over-occupied"),
    explanation=Text(
        vi="Số đang sử dụng (ống, sợi, chỗ) lớn hơn số hiện có: một trong hai con số sai, hoặc tuyến đã "
        "quá tải.",
        en="More is in use (ducts, fibres, places) than there is: one of the numbers is wrong, or it is "
        "overfull.",
    ),
    message=Text(vi="Đang dùng {value} trong số {limit}", en="{value} of {limit} are in use"),
    severity="W",
    scope="local",
    source="Practice: connectivity checks of Giswater and ArcGIS",
    dimensions=(0, 1),
    sees_unsound=True,
)


def lengths(graph: Graph) -> tuple[Floats, Floats]:
    """(lines) plane length, and length with heights where they are known, in units of the coordinates.

    Heights are metres like all of ours; in a plane of feet they are taken as feet, which only makes a riser
    shorter than it is.
    """
    steps = np.diff(graph.vertices, axis=0)
    plane = np.hypot(steps[:, 0], steps[:, 1])
    up = np.where(np.isnan(steps[:, 2]), 0.0, steps[:, 2])
    owner = np.repeat(np.arange(len(graph.lines)), np.diff(graph.offsets))
    same = owner[1:] == owner[:-1]
    count = len(graph.lines)
    return (
        np.bincount(owner[1:][same], weights=plane[same], minlength=count),
        np.bincount(owner[1:][same], weights=np.hypot(plane, up)[same], minlength=count),
    )


@local(NET_06, needs=graph_needs)
def net_06(window: Window, app: Application) -> Iterator[Finding]:
    graph, unit = graph_of(window, app), unit_m(window.setting.city)
    limit = app.number("length_m")
    corners = graph.lines.boxes[:, :2]
    # A line is as long as its box is wide or high.
    if ((graph.lines.boxes[:, 2:] - corners).max(axis=1) * unit > 1.001 * limit).all():
        return
    _, length = window.memo(("lengths", app.network), lambda: lengths(graph))
    short = length * unit < limit
    for line in np.flatnonzero(short & window.owns(corners)).tolist():
        features, index = graph.lines.about(line)
        mends = []
        if length[line] * unit <= graph.network.cluster_m:
            gone = Mend(features.layer.id, int(features.fid[index]), str(features.asset_id[index]), None, 0.0)
            mends.append(gone)
        yield finding(
            app,
            [(features, index)],
            shapely.Point(graph.xy[graph.start[line]]),
            corners[line],
            value=length[line] * unit,
            limit=limit,
            mends=mends,
        )


@local(NET_07, needs=graph_needs)
def net_07(window: Window, app: Application) -> Iterator[Finding]:
    graph, unit = graph_of(window, app), unit_m(window.setting.city)
    same = graph.start == graph.end
    if not same.any():
        return
    plane, length = window.memo(("lengths", app.network), lambda: lengths(graph))
    same &= length * unit >= app.number("length_m")
    # A riser has its two ends at one place of the plane.
    same &= plane > graph.network.cluster_m / unit
    for line in np.flatnonzero(same & window.owns(graph.xy[graph.start])).tolist():
        x, y = graph.xy[graph.start[line]]
        yield finding(app, [graph.lines.about(line)], shapely.Point(x, y), (x, y), value=length[line] * unit)


@local(NET_05, needs=graph_needs)
def net_05(window: Window, app: Application) -> Iterator[Finding]:
    graph, unit = graph_of(window, app), unit_m(window.setting.city)
    if len(graph.lines) < 2:
        return
    limit = app.number("height_m")
    crowd = _Crowd(_CELL_M / unit)
    around = grown(window.box, _CELL_M / unit)
    for line, other in _crossing(graph):
        snap = snap_m(graph, app) / unit
        shared = shapely.intersection(graph.lines.geometry[line], graph.lines.geometry[other])
        xy, pair = shapely.get_coordinates(shared, return_index=True)
        # At a node it is said by NET-01, NET-03 or NET-08 what is wrong.
        near = np.maximum(snap[line], snap[other])[pair]
        # (Without a bound a thousand nodes around the place would be looked at for each crossing.)
        away, _ = graph.node_tree.query(xy, distance_upper_bound=2 * float(snap.max()))
        told = (away > near) & ((xy >= around[:2]) & (xy <= around[2:])).all(axis=1)
        heights = [_heights(graph.lines.geometry[some[pair[told]]], xy[told]) for some in (line, other)]
        apart = np.abs(heights[0] - heights[1])
        less = ~(apart >= limit)  # or not known
        crowd.add(line[pair[told]][less], other[pair[told]][less], xy[told][less], apart[less])
    for first, second, place, by in crowd.told(window):
        one, two = graph.lines.in_order((first, second))
        known = not np.isnan(by)
        cm = f"{by * 100:.0f} cm"
        yield finding(
            app,
            [graph.lines.about(one), graph.lines.about(two)],
            shapely.Point(place),
            (place[0], place[1]),
            value=by if known else None,
            limit=limit,
            words={
                "what": {
                    "vi": f"chênh cao chỉ {cm}" if known else "không rõ độ cao",
                    "en": f"their heights differ by {cm} only" if known else "their heights are not known",
                }
            },
        )


class _Crowd:
    """Crossings, of which many may be in one place: n lines through a point cross n * (n - 1) / 2 times.

    Places are squares of ``size``, the same for every window. Where more than _MANY crossings are in one,
    each line is told of once, with the first that it crosses there.
    """

    def __init__(self, size: float) -> None:
        self._size = size
        self._count: dict[complex, int] = {}
        self._kept: list[tuple[Ints, Ints, Floats, Floats]] = []

    def add(self, line: Ints, other: Ints, xy: Floats, apart: Floats) -> None:
        """More crossings, of lines with higher numbers than those before."""
        cells, cell, place = self._cells(xy)
        before = np.array([self._count.get(key, 0) for key in cells.tolist()], dtype=np.int64)
        for key, count in zip(cells.tolist(), np.bincount(cell, minlength=len(cells)).tolist(), strict=True):
            self._count[key] = self._count.get(key, 0) + count
        keep = _firsts(cell, other) | (before[cell] + place < _MANY)
        self._kept.append((line[keep], other[keep], xy[keep], apart[keep]))

    def told(self, window: Window) -> Iterator[tuple[int, int, Floats, float]]:
        """Two lines, where they cross, and how far apart their heights are, of those that are to be told."""
        if not self._kept:
            return
        line, other, xy, apart = (np.concatenate(part) for part in zip(*self._kept, strict=True))
        cells, cell, _ = self._cells(xy)
        many = np.array([self._count[key] > _MANY for key in cells.tolist()], dtype=bool)
        told = window.owns(xy) & (~many[cell] | _firsts(cell, other))
        for n in np.flatnonzero(told).tolist():
            yield int(line[n]), int(other[n]), xy[n], float(apart[n])

    def _cells(self, xy: Floats) -> tuple[npt.NDArray[np.complex128], Ints, Ints]:
        """The squares; (n) which of them a crossing is in, and how many come before it there."""
        key = np.floor(xy[:, 0] / self._size) + 1j * np.floor(xy[:, 1] / self._size)
        cells, cell = np.unique(key, return_inverse=True)
        order = np.argsort(cell, kind="stable")
        start = np.searchsorted(cell[order], np.arange(len(cells)))
        place = np.empty(len(cell), np.int64)
        place[order] = np.arange(len(cell)) - start[cell[order]]
        return cells, cell, place


def _firsts(cell: Ints, other: Ints) -> Bools:
    """Which is the first crossing of each line in each square."""
    first = np.zeros(len(cell), bool)
    if len(cell):
        first[np.unique(cell * (int(other.max()) + 1) + other, return_index=True)[1]] = True
    return first


def _crossing(graph: Graph) -> Iterator[tuple[Ints, Ints]]:
    """Pairs of lines that cross properly, some at a time; the one of the lesser number first."""
    lines = graph.lines.geometry
    first = _different(graph)
    straight = np.diff(graph.offsets) == 2
    tree = shapely.STRtree(lines[first]) if len(first) < len(lines) else graph.tree
    for start in range(0, len(first), _PORTION):
        some = np.arange(start, min(start + _PORTION, len(first)))
        which, other = tree.query(lines[first[some]])
        line = some[which]
        keep = line < other
        line, other = first[line[keep]], first[other[keep]]
        # Two straight lines that share a node cannot cross beside it.
        ends, theirs = graph.nodes_of_lines[line], graph.nodes_of_lines[other]
        shared = (ends[:, :, None] == theirs[:, None, :]).any(axis=(1, 2))
        keep = ~(shared & straight[line] & straight[other])
        line, other = line[keep], other[keep]
        if not len(line):
            continue
        hit = shapely.crosses(lines[line], lines[other])
        if hit.any():
            yield line[hit], other[hit]


def _different(graph: Graph) -> Ints:
    """The lines without those drawn again: they do not cross each other, and cross others as one (GEN-09)."""
    pair = np.minimum(graph.start, graph.end) * len(graph) + np.maximum(graph.start, graph.end)
    if len(set(pair.tolist())) == len(pair):
        return np.arange(len(pair))
    _, of, count = np.unique(pair, return_inverse=True, return_counts=True)
    again = count[of] > 1
    doubtful = np.flatnonzero(again)
    shapes = shapely.to_wkb(shapely.normalize(graph.lines.geometry[doubtful]))
    _, one = np.unique(shapes.astype(object), return_index=True)
    return np.sort(np.concatenate([np.flatnonzero(~again), doubtful[one]]))


def _heights(lines: Objects, xy: Floats) -> Floats:
    """(n) height of each line at a place on it; NaN where it is not known."""
    feet = shapely.line_interpolate_point(lines, shapely.line_locate_point(lines, shapely.points(xy)))
    found: Floats = shapely.get_coordinates(feet, include_z=True)[:, 2]
    return found


@local(NET_15, needs=graph_needs)
def net_15(window: Window, app: Application) -> Iterator[Finding]:
    graph = graph_of(window, app)
    for members in (graph.lines, graph.points):
        if not len(members):
            continue
        corners = shapely.bounds(members.geometry)[:, :2]
        for used, most in graph.network.fills.items():
            have, limit = members.column(used), members.column(most)
            if have.dtype == object or limit.dtype == object:
                continue  # no layer of these members has the fields
            for member in np.flatnonzero((have > limit) & window.owns(corners)).tolist():
                yield finding(
                    app,
                    [members.about(member)],
                    _middle(members, member),
                    corners[member],
                    value=have[member],
                    limit=limit[member],
                    restricted=_confidential(members, member, (used, most)),
                )


def _middle(members: Members, member: int) -> shapely.Geometry:
    shape = members.geometry[member]
    return shape if shape.geom_type == "Point" else shapely.force_2d(shape)


def _confidential(members: Members, member: int, names: tuple[str, ...]) -> bool:
    features, _ = members.about(member)
    fields = [features.layer.field(name) for name in names]
    return any(field is not None and field.access != "public" for field in fields)
