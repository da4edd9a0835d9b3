"""DRN-06, DRN-07, DRN-08: cover over drains, depth of manholes, and how far apart these are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import shapely

from gis.checks.crossing.roads import carriageways_of, road_needs
from gis.checks.features import Bools, Floats
from gis.checks.findings import finding
from gis.checks.gravity.drains import Drains, drains_needs, drains_of
from gis.checks.law import Law, law_of
from gis.checks.model import Application, Finding, Parameter, Rule
from gis.checks.registry import local
from gis.checks.window import Need, Window
from gis.errors import ConfigError
from layers.model import Text
from layers.registry import Catalogue

#: Levels are given to the millimetre, and their differences are off by less than that.
_ROUNDING = 0.001
DRN_06 = Rule(
    id="DRN-06",
    title=Text(vi="Độ phủ trên cống quá nhỏ", en="Too little cover"),
    explanation=Text(
        vi="Từ mặt đất đến đỉnh cống nhỏ hơn 0,7 m trong phần xe chạy; ngoài ra 0,3 m đến DN 300 và 0,5 m "
        "với cống lớn "
        "hơn. Độ phủ tính ở mỗi đầu cống từ cao độ mặt đất của nút; ở đầu cống không có thì lấy độ sâu "
        "ghi của cống.",
        en="Between the surface and the top of a drain there is less than 0.7 m in a carriageway; "
        "elsewhere 0.3 m up "
        "to DN 300 and 0.5 m over larger ones. The cover is that at each end, from the ground level of "
        "its node; "
        "where the upper node has none it is the recorded depth of the drain.",
    ),
    message=Text(
        vi="Độ phủ trên cống {line} {where} là {value}, tối thiểu {limit}",
        en="Drain {line} has a cover of {value} {where}, the least is {limit}",
    ),
    severity="W",
    scope="local",
    source="TCVN 7957 (config/law/networks.yml)",
    unit="m",
    parameters=(
        Parameter("roads", Text(vi="Lớp đường", en="Layer of roads"), ""),
        Parameter(
            "lane_m",
            Text(
                vi="Bề rộng một làn khi không có bề rộng mặt đường", en="Width of a lane, for want of a width"
            ),
            3.0,
            "m",
            minimum=2,
            maximum=5,
        ),
    ),
    dimensions=(1,),
    sees_unsound=True,
)
DRN_07 = Rule(
    id="DRN-07",
    title=Text(vi="Độ sâu hố ga sai", en="Wrong depth of a manhole"),
    explanation=Text(
        vi="Độ sâu của hố ga, miệng thu hoặc cửa xả phải bằng cao độ mặt đất trừ cao độ đáy, và nằm trong "
        "khoảng hợp "
        "lý. Sai lệch thường do nhập nhầm một trong ba số.",
        en="The depth of a manhole, inlet or outfall must be its ground level less its invert, and a "
        "sensible one. "
        "Mostly one of the three numbers was typed wrongly.",
    ),
    message=Text(vi="Độ sâu của {node}: {what}", en="Depth of {node}: {what}"),
    severity="E",
    scope="local",
    source="Practice",
    unit="m",
    parameters=(
        Parameter("tolerance_m", Text(vi="Dung sai", en="Tolerance"), 0.05, "m", minimum=0, maximum=5),
        Parameter("most_m", Text(vi="Sâu nhất", en="Deepest"), 12.0, "m", minimum=1, maximum=100),
    ),
    dimensions=(0,),
    sees_unsound=True,
)
DRN_08 = Rule(
    id="DRN-08",
    title=Text(vi="Khoảng cách hố ga quá lớn", en="Manholes too far apart"),
    explanation=Text(
        vi="Đoạn cống giữa hai hố ga dài hơn quy định theo đường kính (DN 150-300: 30 m, đến 600: 40 m, "
        "đến 1000: 60 m, "
        "lớn hơn: 100 m), khó nạo vét. Hai đoạn liền nhau qua chỗ nối không có hố được cộng lại.",
        en="A drain between two manholes is longer than its diameter allows (DN 150 to 300: 30 m, to 600: "
        "40 m, to "
        "1000: 60 m, larger: 100 m), so that it cannot be cleaned. Two that meet where there is no "
        "manhole are added.",
    ),
    message=Text(
        vi="{value} không có hố ga, tối đa {limit} với D {diameter}",
        en="{value} without a manhole, at most {limit} at D {diameter}",
    ),
    severity="W",
    scope="local",
    source="TCVN 7957 (config/law/networks.yml)",
    unit="m",
    dimensions=(1,),
    sees_unsound=True,
)


def _cover_needs(app: Application, catalogue: Catalogue) -> Iterable[Need]:
    yield from drains_needs(app, catalogue)
    roads = app.text("roads")
    if roads:
        if roads not in catalogue.layers:
            raise ConfigError(f"networks.{app.network}.checks.DRN-06.roads: no layer {roads!r}")
        yield road_needs(catalogue, roads, 0.0)


@local(DRN_06, needs=_cover_needs)
def drn_06(window: Window, app: Application) -> Iterator[Finding]:
    drains = drains_of(window, app)
    graph, law = drains.graph, law_of(window.setting.city, window.setting.today)
    in_road = _in_carriageway(window, app, drains)
    ground = drains.ground[graph.node_of_end]
    cover = ground - drains.levels - np.repeat(drains.height, 2)
    # Where the start's ground is unknown the recorded depth of the whole line stands for it.
    recorded = np.isnan(cover[0::2])
    cover[0::2] = np.where(recorded, graph.lines.column("depth_m"), cover[0::2])
    limit = law.cover_m(np.repeat(drains.diameter, 2), in_road[graph.node_of_end])
    judged = np.repeat(drains.live & drains.closed, 2) & window.owns(graph.xy)[graph.node_of_end]
    # At an outfall a drain comes to light.
    judged &= ~graph.nodes_that_are("sinks")[graph.node_of_end]
    for end in np.flatnonzero(judged & (cover < limit - _ROUNDING)).tolist():
        line, node = end // 2, int(graph.node_of_end[end])
        features, index = graph.lines.about(line)
        points = graph.points.in_order(graph.points_at(node))[:1]
        x, y = graph.xy[node]
        start = end % 2 == 0
        where = {
            "vi": "theo độ sâu ghi" if start and recorded[line] else "ở đầu trên" if start else "ở đầu dưới",
            "en": "as recorded"
            if start and recorded[line]
            else "at its upper end"
            if start
            else "at its lower end",
        }
        yield finding(
            app,
            [(features, index), *(graph.points.about(p) for p in points)],
            shapely.Point(x, y),
            (x, y),
            value=cover[end],
            limit=limit[end],
            words={"line": features.asset_id[index], "where": where},
        )


def _in_carriageway(window: Window, app: Application, drains: Drains) -> Bools:
    """(nodes) in the carriageway of a road."""
    graph = drains.graph
    found = np.zeros(len(graph), bool)
    roads = app.text("roads")
    # Only nodes that are judged here; asking for the others would read nothing of their roads.
    mine = np.flatnonzero(window.owns(graph.xy))
    if roads and len(mine):
        carriageways = carriageways_of(window, roads, app.number("lane_m"))
        found[mine[carriageways.around(shapely.points(graph.xy[mine]))[0]]] = True
    return found


@local(DRN_07, needs=drains_needs)
def drn_07(window: Window, app: Application) -> Iterator[Finding]:
    graph = drains_of(window, app).graph
    points = graph.points
    tolerance, most = app.number("tolerance_m"), app.number("most_m")
    recorded, level = points.column("depth_m"), points.column("ground_level_m")
    measured = level - points.column("invert_m")
    # A layer without these levels (a pump station) has another kind of depth.
    has_levels = np.array([part.layer.field("invert_m") is not None for part in points.parts], bool)
    judged = (has_levels[points.part] if len(points) else np.zeros(0, bool)) & ~graph.absent
    judged &= window.owns(graph.points_xyz[:, :2])
    depth = np.where(np.isnan(measured), recorded, measured)
    deep, high = depth > most + _ROUNDING / 2, depth < -_ROUNDING / 2
    off = np.abs(recorded - measured)
    for point in np.flatnonzero(judged & (deep | high | (off > tolerance + 1e-6))).tolist():
        features, index = points.about(point)
        x, y = graph.points_xyz[point, :2]
        value, limit, what = _depth_words(depth[point], recorded[point], measured[point], most, tolerance)
        yield finding(
            app,
            [(features, index)],
            shapely.Point(x, y),
            (x, y),
            value=value,
            limit=limit,
            words={"node": features.asset_id[index], "what": what},
        )


def _depth_words(
    depth: float, recorded: float, measured: float, most: float, tolerance: float
) -> tuple[float, float, dict[str, str]]:
    if depth > most or depth < 0:
        what = {
            "vi": f"{depth:.2f} m, phải từ 0 đến {most:g} m",
            "en": f"{depth:.2f} m, not between 0 and {most:g} m",
        }
        return depth, most if depth > most else 0.0, what
    what = {
        "vi": f"ghi {recorded:.2f} m, mặt đất trừ đáy là {measured:.2f} m",
        "en": f"recorded as {recorded:.2f} m, but ground less invert is {measured:.2f} m",
    }
    return abs(recorded - measured), tolerance, what


@local(DRN_08, needs=drains_needs)
def drn_08(window: Window, app: Application) -> Iterator[Finding]:
    drains = drains_of(window, app)
    graph, law = drains.graph, law_of(window.setting.city, window.setting.today)
    limit = _spacing(drains, law)
    corners = shapely.bounds(graph.lines.geometry)[:, :2]
    long = drains.length > limit
    for line in np.flatnonzero(long & window.owns(corners)).tolist():
        yield _apart(app, drains, [line], corners[line], drains.length[line], limit[line])
    through = (graph.degree == 2) & (graph.features_at == 0) & window.owns(graph.xy)
    for node in np.flatnonzero(through).tolist():
        lines = graph.lines_at(node)
        if len(lines) < 2 or not np.isfinite(limit[lines]).all() or long[lines].any():
            continue
        together, least = float(drains.length[lines].sum()), float(limit[lines].min())
        if together > least:
            yield _apart(app, drains, graph.lines.in_order(lines), graph.xy[node], together, least)


def _spacing(drains: Drains, law: Law) -> Floats:
    """(lines) the greatest distance between manholes (m); NaN for lines that are not judged."""
    judged = drains.falling & drains.closed
    return np.where(judged, law.manhole_spacing_m(drains.diameter), np.nan)


def _apart(
    app: Application, drains: Drains, lines: list[int], anchor: Floats, value: float, limit: float
) -> Finding:
    graph = drains.graph
    return finding(
        app,
        [graph.lines.about(line) for line in lines],
        shapely.union_all(shapely.force_2d(graph.lines.geometry[lines])),
        tuple(anchor),
        value=value,
        limit=limit,
        words={"diameter": f"{drains.diameter[lines].min():.0f}"},
    )
