"""CAD-01 overlaps and CAD-03 slivers."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import shapely

from gis.checks.fabric.judge import fabric_of, judged, reads_there
from gis.checks.fabric.overlaps import overlaps, suspects
from gis.checks.findings import finding
from gis.checks.model import Application, Finding, Parameter, Rule
from gis.checks.registry import local
from gis.checks.window import Window, corner, meeting_corner
from layers.model import Text

CAD_01 = Rule(
    id="CAD-01",
    title=Text(vi="Hai vùng chồng lấn nhau", en="Areas overlap"),
    explanation=Text(
        vi="Hai thửa đất (hoặc đơn vị hành chính) cùng phủ một phần đất, nên cùng một mét đất có hai chủ. "
        "Kích thước là diện tích phần chung; phần mà chỗ rộng nhất cũng hẹp hơn giới hạn bề rộng thì không "
        "tính. Thửa trùng hoàn toàn được báo một lần cho mỗi bản thừa. Sửa ranh giới theo hồ sơ đo đạc, hoặc "
        "xóa bản thừa.",
        en="Two parcels (or administrative units) cover the same ground, so one metre of land has two "
        "holders. The value is the area they share; parts that are nowhere wider than the width limit do "
        "not count. Identical parcels are reported once for each extra copy. Correct the boundary after the "
        "survey record, or delete the copy.",
    ),
    message=Text(
        vi="chồng lấn {value}, chỗ rộng nhất {width} m; sửa ranh giới theo hồ sơ",
        en="they overlap by {value}, up to {width} m wide; correct the boundary after the record",
    ),
    severity="E",
    scope="local",
    source="Practice of cadastral mapping; Circular 26/2024/TT-BTNMT wants closed, non-overlapping parcels",
    unit="m2",
    parameters=(
        Parameter(
            "area_m2",
            Text(vi="Diện tích lớn hơn", en="Area over"),
            0.01,
            "m2",
            minimum=0,
            maximum=1e6,
        ),
        Parameter("width_m", Text(vi="Bề rộng lớn hơn", en="Width over"), 0.01, "m", minimum=0, maximum=100),
    ),
    dimensions=(2,),
)


# A heap (fabric.overlaps) is told by boxes equal to 1 m: all of one heap must be seen.
@local(CAD_01, needs=reads_there(reach=lambda _: 2.0))
def cad_01(window: Window, app: Application) -> Iterator[Finding]:
    least, width_m = app.number("area_m2"), app.number("width_m")
    for layer in app.layers:
        fabric = fabric_of(window, layer)
        features, stack, polygons = fabric.features, fabric.stack, fabric.features.geometry
        boxes = features.boxes
        for first, copy in stack.copies:
            size = float(shapely.area(polygons[copy]))
            if size > least:
                yield finding(
                    app,
                    [(features, first), (features, copy)],
                    shapely.force_2d(polygons[copy]),
                    corner(boxes)[copy],
                    value=size,
                    limit=least,
                    words={"width": _short(math.sqrt(size))},
                )
        which = np.concatenate([fabric.index[suspects(fabric.edges)], stack.followers])
        if not which.size:
            continue
        pairs, shared, area, width = overlaps(polygons, which, fabric.edges.tree, fabric.index, width_m)
        anchors = meeting_corner(boxes[pairs[:, 0]], boxes[pairs[:, 1]])
        for k in np.flatnonzero(window.owns(anchors) & (area > least)):
            yield finding(
                app,
                [(features, pairs[k, 0]), (features, pairs[k, 1])],
                shared[k],
                anchors[k],
                value=area[k],
                limit=least,
                words={"width": _short(width[k])},
            )


def _short(value: float) -> str:
    return f"{value:.3g}"


CAD_03 = Rule(
    id="CAD-03",
    title=Text(vi="Thửa đất dải hẹp", en="Sliver parcel"),
    explanation=Text(
        vi="Thửa rất nhỏ và rất hẹp thường là mẩu thừa của phép chồng lớp hay số hóa hai lần một ranh giới. "
        "Độ gọn là 4πA/P² (hình tròn bằng 1). Gộp vào thửa bên cạnh nếu không có trong hồ sơ.",
        en="A tiny, very thin parcel is mostly left over from an overlay or of a line drawn twice. "
        "Compactness is 4πA/P² (a circle has 1). Merge it with a neighbour unless the record knows it.",
    ),
    message=Text(
        vi="độ gọn {value} dưới {limit}, diện tích {area} m²; gộp vào thửa bên cạnh nếu là mẩu thừa",
        en="compactness {value} is under {limit}, area {area} m²; merge it with a neighbour unless it is "
        "real",
    ),
    severity="W",
    scope="local",
    source="Practice (Polsby-Popper compactness)",
    parameters=(
        Parameter(
            "compactness", Text(vi="Độ gọn nhỏ hơn", en="Compactness under"), 0.05, minimum=0, maximum=1
        ),
        Parameter(
            "area_m2",
            Text(vi="Diện tích nhỏ hơn", en="Area under"),
            1.0,
            "m2",
            minimum=0,
            maximum=1e6,
        ),
    ),
    dimensions=(2,),
)


@local(CAD_03, needs=reads_there(alone=True))
def cad_03(window: Window, app: Application) -> Iterator[Finding]:
    for layer in app.layers:
        features = judged(window, layer)
        area, length = shapely.area(features.geometry), shapely.length(features.geometry)
        compact = 4 * np.pi * area / np.maximum(length, 1e-300) ** 2
        thin = (compact < app.number("compactness")) & (area < app.number("area_m2"))
        for index in np.flatnonzero(thin & window.owns(corner(features.boxes))):
            yield finding(
                app,
                [(features, index)],
                shapely.force_2d(features.geometry[index]),
                corner(features.boxes)[index],
                value=compact[index],
                limit=app.number("compactness"),
                words={"area": f"{area[index]:.3f}"},
            )
