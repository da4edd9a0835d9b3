"""GEN-04 and GEN-06: lines in several parts, and lines that cross themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gis.checks.findings import finding
from gis.checks.model import Application, Finding, Mend, Parameter, Rule
from gis.checks.registry import local, reads
from gis.checks.window import Window, corner
from layers.model import Text

GEN_04 = Rule(
    id="GEN-04",
    title=Text(vi="Đường gồm nhiều phần", en="Line in several parts"),
    explanation=Text(
        vi="Một đối tượng đường gồm các phần không chạm nhau thì không đo chiều dài theo tuyến, không nối "
        "mạng được: "
        "tách thành các đối tượng riêng (lỗi). Các phần nối tiếp nhau nên được gộp thành một đường; các "
        "phần rẽ nhánh "
        "nên được tách (cảnh báo).",
        en="A line whose parts do not touch cannot be measured along or connected to a network: make a "
        "feature of "
        "each part (error). Parts that continue each other should be one line, parts that branch should be "
        "features "
        "of their own (warning).",
    ),
    message=Text(vi="{what}", en="{what}"),
    severity="E",
    scope="local",
    source="Practice; one stretch of a road or pipe is one line",
    unit="m",
    parameters=(
        Parameter(
            "distance_m",
            Text(vi="Khoảng cách coi là chạm nhau", en="Distance that counts as touching"),
            0.001, "m", minimum=0, maximum=1,
        ),
    ),
    dimensions=(1, -1),
)  # fmt: skip

GEN_06 = Rule(
    id="GEN-06",
    title=Text(vi="Đường tự cắt", en="Line crosses itself"),
    explanation=Text(
        vi="Đường tự cắt hoặc chồng lên chính nó, thường do số hóa thừa một vòng nhỏ. Xóa vòng thừa, hoặc "
        "tách đường "
        "tại giao điểm. Đường khép kín (điểm cuối trùng điểm đầu) không phải là lỗi.",
        en="The line crosses or retraces itself, mostly a small loop made in digitising. Remove the loop, "
        "or split "
        "the line where it crosses. A closed line that ends where it begins is none.",
    ),
    message=Text(
        vi="Đường tự cắt hoặc đi lại trên chính nó tại điểm được chỉ; bỏ vòng thừa hoặc tách đường ở đó",
        en="The line crosses or retraces itself at the place shown; remove the loop, or split it there",
    ),
    severity="E",
    scope="local",
    source="OGC 06-103r4 (Simple Features): a line is simple",
    dimensions=(1, -1),
)

#: Parts beyond which only common ends tell what touches: pairs of more would cost too much.
_MANY_PARTS = 2_000
#: Pairs of parts that are compared in the search for a crossing of parts.
_MANY_PAIRS = 20_000

Lines = npt.NDArray[Any]


@local(GEN_04, needs=reads(alone=True))
def gen_04(window: Window, app: Application) -> Iterator[Finding]:
    touching = app.number("distance_m")
    for layer in app.layers:
        features = window.sound(layer)
        if not features.layer.definition.geometry.startswith("Multi") and features.layer.dimension == 1:
            continue  # the type forbids parts: GEN-03
        several = (shapely.get_type_id(features.geometry) == 5) & (
            shapely.get_num_geometries(features.geometry) > 1
        )
        several &= window.owns(corner(features.boxes))
        for index in np.flatnonzero(several):
            shape = features.geometry[index]
            parts = shapely.get_parts(shape)
            groups = _touching(parts, touching)
            anchor = corner(features.boxes)[index]
            about = [(features, index)]
            if groups.max() > 0:
                apart, line = _gap(parts, groups)
                what = {
                    "vi": f"{groups.max() + 1} đoạn không chạm nhau (gần nhất cách {apart:.3f} m) trong một "
                    "đối "
                    "tượng; tách thành các đối tượng riêng",
                    "en": f"{groups.max() + 1} stretches that do not touch (the nearest are {apart:.3f} m "
                    "apart) "
                    "are one feature; make a feature of each",
                }
                words = {"what": what}
                yield finding(app, about, line, anchor, value=apart, limit=touching, words=words)
                continue
            merged = shapely.line_merge(shape)
            one = shapely.get_type_id(merged) == 1
            what = _ADJOIN if one else _BRANCH
            mends = [Mend(layer, int(features.fid[index]), str(features.asset_id[index]), merged, 0.0)]
            yield finding(
                app, about, _meetings(parts), anchor, words={"what": what}, severity="W",
                mends=mends if one and not shapely.has_z(shape) else (),
            )  # fmt: skip


_ADJOIN = {
    "vi": "Các phần nối tiếp nhau; gộp lại thành một đường",
    "en": "The parts continue each other; merge them into one line",
}
_BRANCH = {
    "vi": "Các phần rẽ nhánh trong một đối tượng; tách mỗi nhánh thành đối tượng riêng",
    "en": "The parts branch within one feature; make a feature of each branch",
}


def _touching(parts: Lines, distance: float) -> npt.NDArray[np.int64]:
    """(k) number of the group of touching parts that each belongs to, from 0."""
    count = len(parts)
    ends = np.vstack([shapely.get_coordinates(shapely.get_point(parts, n)) for n in (0, -1)])
    _, node = np.unique(ends, axis=0, return_inverse=True)
    node = node.ravel()
    pairs = [np.column_stack([np.tile(np.arange(count), 2), count + node])]
    if count <= _MANY_PARTS:
        near = shapely.STRtree(parts).query(parts, predicate="dwithin", distance=distance)
        pairs.append(near.T)
    at = np.vstack(pairs)
    size = count + int(node.max()) + 1
    graph = coo_array((np.ones(len(at), np.int8), (at[:, 0], at[:, 1])), shape=(size, size))
    _, label = connected_components(graph, directed=False)
    return np.unique(label[:count], return_inverse=True)[1].astype(np.int64).ravel()


def _gap(parts: Lines, groups: npt.NDArray[np.int64]) -> tuple[float, shapely.Geometry]:
    """The least distance between groups, and the line across it; of many groups those beside the first."""
    best: tuple[float, Any] | None = None
    for group in range(min(int(groups.max()) + 1, 20)):
        mine = shapely.MultiLineString(list(parts[groups == group]))
        others = shapely.MultiLineString(list(parts[groups != group]))
        apart = float(shapely.distance(mine, others))
        if best is None or apart < best[0]:
            best = apart, shapely.shortest_line(mine, others)
    assert best is not None
    return best


def _meetings(parts: Lines) -> shapely.Geometry:
    """Ends that two parts share or, where they meet otherwise, all ends."""
    ends = np.vstack([shapely.get_coordinates(shapely.get_point(parts, n)) for n in (0, -1)])
    distinct, times = np.unique(ends, axis=0, return_counts=True)
    return shapely.MultiPoint(distinct[times > 1] if (times > 1).any() else distinct)


@local(GEN_06, needs=reads(alone=True))
def gen_06(window: Window, app: Application) -> Iterator[Finding]:
    for layer in app.layers:
        features = window.sound(layer)
        types = shapely.get_type_id(features.geometry)
        lines = (types == 1) | (types == 2) | (types == 5)
        rows = np.flatnonzero(lines & window.owns(corner(features.boxes)))
        for index in rows[~shapely.is_simple(features.geometry[rows])]:
            where = _crossing(features.geometry[index])
            if where is not None:
                yield finding(app, [(features, index)], where, corner(features.boxes)[index])


def _crossing(shape: Any) -> shapely.Geometry | None:
    """A place where a line that is not simple meets itself; None for parts that only branch (GEN-04)."""
    parts = shapely.get_parts(shape)
    looped = parts[~shapely.is_simple(parts)]
    if len(looped):
        return _first_crossing(looped[0])
    tree = shapely.STRtree(parts)
    looked = 0
    for number, part in enumerate(parts):
        near = tree.query(part, predicate="intersects")
        near = near[near > number]
        looked += len(near)
        # The insides of the two share something: they cross or cover each other, and do not only meet.
        for other in parts[near[shapely.relate_pattern(part, parts[near], "T********")]]:
            return shapely.intersection(part, other)
        if looked > _MANY_PAIRS:
            break
    return None


def _first_crossing(line: Any) -> shapely.Geometry:
    """Where the shortest beginning of the line that is not simple meets its own last segment.

    A bisection: noding a long line whole may give as many pieces as segments squared.
    """
    xy = shapely.get_coordinates(line)
    simple, crossed = 2, len(xy)
    while crossed - simple > 1:
        middle = (simple + crossed) // 2
        if shapely.is_simple(shapely.LineString(xy[:middle])):
            simple = middle
        else:
            crossed = middle
    last = shapely.LineString(xy[crossed - 2 : crossed])
    before = shapely.LineString(xy[: crossed - 1])
    shared = shapely.intersection(last, before)
    # The last segment begins where what came before ends, which is no crossing.
    pieces = shapely.get_parts(shared)
    start = shapely.Point(xy[crossed - 2])
    real = pieces[(shapely.get_type_id(pieces) != 0) | (shapely.distance(pieces, start) > 0)]
    return shapely.Point(xy[crossed - 2]) if not len(real) else real[0]
