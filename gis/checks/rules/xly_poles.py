"""XLY-02: poles in carriageways."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import shapely

from gis.checks.crossing.among import meant, needs
from gis.checks.crossing.roads import carriageways_of, road_needs
from gis.checks.findings import finding
from gis.checks.model import Application, Finding, Parameter, Rule
from gis.checks.registry import local
from gis.checks.window import Need, Window
from layers.model import Text
from layers.registry import Catalogue

XLY_02 = Rule(
    id="XLY-02",
    title=Text(vi="Cột trong phần xe chạy", en="Pole in a carriageway"),
    explanation=Text(
        vi="Cột đứng trong phần xe chạy: cột hoặc tim đường đặt sai, hoặc bề rộng mặt đường sai. Cột trên "
        "dải "
        "phân cách có thể được chấp nhận kèm lý do. Đường không rõ bề rộng và số làn, cầu và hầm không "
        "được xét.",
        en="A pole stands where vehicles drive: the pole, the centre line or the width of the road is "
        "wrong. Poles "
        "on a median may be accepted with the reason. Roads of unknown width and lanes, bridges and "
        "tunnels are "
        "not judged.",
    ),
    message=Text(
        vi="Cột {pole} nằm trong phần xe chạy của {road}, cách mép {value}",
        en="Pole {pole} stands in the carriageway of {road}, {value} from its edge",
    ),
    severity="W",
    scope="local",
    source="Practice",
    unit="m",
    parameters=(
        Parameter(
            "inside_m",
            Text(vi="Cho phép nằm trong mép đường", en="Allowed inside the edge"),
            0.5,
            "m",
            minimum=0,
            maximum=10,
        ),
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
    dimensions=(0,),
)


def _needs(app: Application, catalogue: Catalogue) -> Iterable[Need]:
    yield from needs(app, catalogue, app.layers, 0.0, alone=True)
    for layer in app.against:
        yield road_needs(catalogue, layer, 0.0)


@local(XLY_02, needs=_needs)
def xly_02(window: Window, app: Application) -> Iterator[Finding]:
    limit = app.number("inside_m")
    for layer in app.layers:
        poles = window.sound(layer)
        mine = np.flatnonzero(meant(app, poles) & window.owns(poles.boxes[:, :2]))
        for against in app.against:
            roads = carriageways_of(window, against, app.number("lane_m"))
            point, piece, inside = roads.around(poles.geometry[mine])
            deep = inside > limit
            if not deep.any():
                continue
            point, road, inside = point[deep], roads.road[piece[deep]], inside[deep]
            # One finding for each pole: the carriageway that it is deepest in.
            order = np.lexsort((road, -inside, point))
            for at in order[np.unique(point[order], return_index=True)[1]]:
                pole = int(mine[point[at]])
                yield finding(
                    app,
                    [(poles, pole), (roads.features, int(road[at]))],
                    shapely.force_2d(poles.geometry[pole]),
                    tuple(poles.boxes[pole, :2]),
                    value=inside[at],
                    limit=limit,
                    words={"pole": poles.asset_id[pole], "road": roads.features.asset_id[road[at]]},
                )
