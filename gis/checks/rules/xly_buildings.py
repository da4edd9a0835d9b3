"""XLY-01: pipes and cables under buildings. XLY-05: buildings in power corridors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import shapely

from gis.checks.crossing.among import meant, needs
from gis.checks.crossing.works import UNITS, works_needs, works_of
from gis.checks.features import Features, Floats
from gis.checks.findings import finding
from gis.checks.law import Law, law_of
from gis.checks.model import Application, Finding, Parameter, Rule
from gis.checks.network.graph import unit_m
from gis.checks.registry import local
from gis.checks.window import Need, Window, meeting_corner
from layers.model import Text
from layers.registry import Catalogue

#: Points are put on a boundary at most this far apart (m) to find the one that lies deepest.
_STEP = 0.25
#: Features whose boxes are compared with those of all buildings first, as around an edit.
_FEW = 16
#: The widest corridor on one side (m); wider ones of a city's own law are cut.
WIDEST = 30.0

XLY_01 = Rule(
    id="XLY-01",
    title=Text(vi="Đường ống, cáp dưới nhà", en="Pipe or cable under a building"),
    explanation=Text(
        vi="Ống hoặc cáp ngầm đi vào dưới nhà sâu hơn mức cho phép tính từ tường. Ống nhánh kết thúc ở "
        "tường thì "
        "không bị báo. Kiểm tra vị trí ống hoặc ranh nhà; nhà xây trên công trình ngầm là vi phạm thật.",
        en="A pipe or cable in the ground lies under a building, farther from its walls than is allowed. "
        "Service "
        "pipes that end at the wall are not reported. The pipe or the building is drawn wrongly, or somebody "
        "really built over it.",
    ),
    message=Text(
        vi="{work} nằm dưới nhà {building}, sâu {value} từ tường",
        en="{work} lies under building {building}, up to {value} inside its walls",
    ),
    severity="W",
    scope="local",
    source="Practice; QCVN 01:2021/BXD (networks run in streets and sidewalks)",
    unit="m",
    parameters=(
        Parameter(
            "inside_m",
            Text(vi="Cho phép nằm trong tường", en="Allowed inside the walls"),
            0.5,
            "m",
            minimum=0,
            maximum=20,
        ),
    ),
    dimensions=(1,),
)


def _under_needs(app: Application, catalogue: Catalogue) -> Iterable[Need]:
    yield from works_needs(app, catalogue, 0.0, alone=True)
    yield from needs(app, catalogue, app.against, 0.0)


@local(XLY_01, needs=_under_needs)
def xly_01(window: Window, app: Application) -> Iterator[Finding]:
    limit = app.number("inside_m")
    for against in app.against:
        buildings = window.features(against)
        if not any(_meet(window.features(layer), buildings) for layer in app.layers):
            continue
        buildings, works = window.sound(against), works_of(window, app)
        line, building = buildings.tree.query(works.geometry, predicate="intersects")
        kept = meant(app, buildings)[building]
        line, building = line[kept], building[kept]
        anchors = meeting_corner(shapely.bounds(works.geometry[line]), buildings.boxes[building])
        mine = window.owns(anchors)
        line, building, anchors = line[mine], building[mine], anchors[mine]
        for one, other, anchor in zip(line, building, anchors, strict=True):
            shape = buildings.geometry[other]
            inside = shapely.intersection(shapely.force_2d(works.geometry[one]), shape)
            depth = _deepest(inside, shape) * works.unit
            if depth <= limit:
                continue
            features, index = works.about(int(one))
            yield finding(
                app,
                [(features, index), (buildings, int(other))],
                inside,
                tuple(anchor),
                value=depth,
                limit=limit,
                words={"work": features.asset_id[index], "building": buildings.asset_id[other]},
            )


def _meet(few: Features, many: Features) -> bool:
    """Whether boxes of the two meet; of many they are taken to."""
    if len(few) > _FEW:
        return True
    one, other = few.boxes[:, None], many.boxes[None]
    return bool(((one[..., :2] <= other[..., 2:]) & (one[..., 2:] >= other[..., :2])).all(axis=2).any())


def _deepest(part: shapely.Geometry, area: shapely.Geometry) -> float:
    """How far (units) the point of ``part`` that is farthest from the boundary of ``area`` is from it."""
    points = shapely.points(shapely.get_coordinates(shapely.segmentize(part, _STEP)))
    if shapely.get_dimensions(part) == 2:
        middle = shapely.get_point(shapely.maximum_inscribed_circle(part, 0.01), 0)
        points = np.append(points, middle)
    if not len(points):
        return 0.0
    return float(shapely.distance(points, shapely.boundary(area)).max())


XLY_05 = Rule(
    id="XLY-05",
    title=Text(vi="Nhà trong hành lang lưới điện", en="Building in a power corridor"),
    explanation=Text(
        vi="Nhà nằm trong hành lang an toàn của đường dây trên không, theo vùng hành lang đã vẽ hoặc tính "
        "từ đường dây "
        "theo điện áp. Nghị định 62/2025 cho phép nhà tồn tại có điều kiện đến 220 kV: trường hợp đủ điều "
        "kiện thì "
        "chấp nhận kèm lý do. Hành lang tính từ trục đường dây, chưa kể khoảng cách giữa các pha.",
        en="A building stands in the safety corridor of an overhead line: the corridor that is drawn, or "
        "that of "
        "the line by its voltage. Decree 62/2025 lets houses stay up to 220 kV on conditions: accept such "
        "a case "
        "with the reason. The corridor is taken from the line's axis, without the distance between its "
        "conductors.",
    ),
    message=Text(
        vi="Nhà {building} nằm trong hành lang của {corridor}, sâu {value}",
        en="Building {building} stands {value} inside the corridor of {corridor}",
    ),
    severity="E",
    scope="local",
    source="Decree 62/2025/ND-CP, 14/2014/ND-CP (config/law/networks.yml)",
    unit="m",
    parameters=(
        Parameter(
            "inside_m",
            Text(vi="Cho phép nằm trong hành lang", en="Allowed inside the corridor"),
            0.1,
            "m",
            minimum=0,
            maximum=10,
        ),
    ),
    dimensions=(2,),
)
_LINE_FIELDS = ("voltage_kv", "voltage_level", "insulation")
#: The lowest voltage of a level (kV): what is sure when only the level is known.
_LEVELS = {"mv": 22.0, "hv": 110.0, "ehv": 220.0}


def _corridor_needs(app: Application, catalogue: Catalogue) -> Iterable[Need]:
    yield from needs(app, catalogue, app.layers, 0.0)
    yield from needs(app, catalogue, app.against, WIDEST * UNITS, *_LINE_FIELDS)


@local(XLY_05, needs=_corridor_needs)
def xly_05(window: Window, app: Application) -> Iterator[Finding]:
    limit = app.number("inside_m")
    unit, law = unit_m(window.setting.city), law_of(window.setting.city, window.setting.today)
    against = [window.sound(name) for name in app.against]
    drawn = [features for features in against if features.layer.dimension == 2]
    for layer in app.layers:
        buildings = window.sound(layer)
        for corridors in drawn:
            yield from _in_drawn(app, buildings, corridors, limit, unit)
        for power in against:
            if power.layer.dimension == 1:
                yield from _near_lines(app, buildings, power, _half_widths(app, power, law), drawn, unit)


def _in_drawn(
    app: Application, buildings: Features, corridors: Features, limit: float, unit: float
) -> Iterator[Finding]:
    """Buildings in corridors that are drawn."""
    corridor, building = buildings.tree.query(corridors.geometry, predicate="intersects")
    kept = meant(app, corridors)[corridor] & meant(app, buildings)[building]
    anchors = meeting_corner(buildings.boxes[building], corridors.boxes[corridor])
    for k in np.flatnonzero(kept):
        one, other = int(building[k]), int(corridor[k])
        inside = shapely.intersection(buildings.geometry[one], corridors.geometry[other])
        depth = _deepest(inside, corridors.geometry[other]) * unit
        if depth > limit:
            yield _corridor_finding(app, (buildings, one), (corridors, other), inside, anchors[k], depth)


def _near_lines(
    app: Application, buildings: Features, power: Features, half: Floats, drawn: list[Features], unit: float
) -> Iterator[Finding]:
    """Buildings near overhead lines, but where a corridor is drawn: it says how wide the line's own is."""
    limit = app.number("inside_m")
    known = np.flatnonzero(half > limit)
    if not len(known):
        return
    line, building = buildings.tree.query(
        power.geometry[known], predicate="dwithin", distance=(half[known] - limit) / unit
    )
    line = known[line]
    places = shapely.shortest_line(
        shapely.force_2d(buildings.geometry[building]), shapely.force_2d(power.geometry[line])
    )
    depths = half[line] - shapely.length(places) * unit
    at = shapely.get_point(places, 0)
    kept = meant(app, buildings)[building] & (depths > limit)
    for corridors in drawn:
        shapes = corridors.geometry[meant(app, corridors)]
        inside = shapely.STRtree(shapes).query(at, predicate="dwithin", distance=_STEP)[0]
        kept[inside] = False
    for k in np.flatnonzero(kept):
        about = (buildings, int(building[k])), (power, int(line[k]))
        where = places[k] if places[k].length else at[k]
        yield _corridor_finding(app, *about, where, shapely.get_coordinates(at[k])[0], float(depths[k]))


def _half_widths(app: Application, power: Features, law: Law) -> Floats:
    """Corridor (m) on each side of each line, cut at WIDEST; NaN where there is none."""
    count = len(power)
    kv = power["voltage_kv"].copy() if power.layer.field("voltage_kv") else np.full(count, np.nan)
    if power.layer.field("voltage_level"):
        by_level = np.array([_LEVELS.get(level, np.nan) for level in power["voltage_level"]], np.float64)
        kv = np.where(np.isnan(kv), by_level, kv)
    bare = np.zeros(count, bool)
    if power.layer.field("insulation"):
        # Of an unknown insulation the narrower corridor is sure.
        bare = power["insulation"] == "bare"
    half = np.minimum(law.corridor_m(kv, ~bare), WIDEST)
    return np.where(meant(app, power), half, np.nan)


def _corridor_finding(
    app: Application, house: tuple[Features, int], against: tuple[Features, int],
    where: shapely.Geometry, anchor: Floats, depth: float,
) -> Finding:  # fmt: skip
    return finding(
        app,
        [house, against],
        where,
        tuple(anchor),
        value=depth,
        limit=app.number("inside_m"),
        words={
            "building": house[0].asset_id[house[1]],
            "corridor": against[0].asset_id[against[1]],
        },
    )
