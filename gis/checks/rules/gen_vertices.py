"""GEN-05: repeated vertices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely

from gis.checks.findings import finding
from gis.checks.model import Application, Finding, Parameter, Rule
from gis.checks.registry import local, reads
from gis.checks.window import Window, corner
from layers.model import Text

GEN_05 = Rule(
    id="GEN-05",
    title=Text(vi="Đỉnh trùng", en="Duplicate vertex"),
    explanation=Text(
        vi="Hai đỉnh liên tiếp trùng nhau hoặc gần như trùng nhau. Đỉnh thừa làm hỏng phép tính góc và gây "
        "lỗi khi biên tập; xóa một trong hai đỉnh.",
        en="Two vertices in a row are the same or nearly so. They spoil angles and trip editors; remove one.",
    ),
    message=Text(
        vi="{count} cặp đỉnh liên tiếp cách nhau không quá {limit}",
        en="{count} pairs of vertices in a row are at most {limit} apart",
    ),
    severity="E",
    scope="local",
    source="Practice; GEOS and QGIS topology checker",
    unit="m",
    parameters=(
        Parameter(
            "distance_m",
            Text(vi="Khoảng cách nhỏ nhất", en="Least distance"),
            0.001,
            "m",
            minimum=0,
            maximum=1,
        ),
    ),
    dimensions=(1, 2, -1),
)


@local(GEN_05, needs=reads())
def gen_05(window: Window, app: Application) -> Iterator[Finding]:
    limit = app.number("distance_m")
    for layer in app.layers:
        features = window.features(layer)
        xy, owner = features.vertices
        steps = np.hypot(*(xy[1:] - xy[:-1]).T)
        close = (owner[1:] == owner[:-1]) & (steps <= limit)
        for index in np.unique(owner[1:][close]):
            at = np.flatnonzero(close & (owner[1:] == index))
            yield finding(
                app,
                [(features, index)],
                shapely.MultiPoint(xy[at + 1]),
                corner(features.boxes)[index],
                value=steps[at].min(),
                limit=limit,
                words={"count": len(at)},
            )
