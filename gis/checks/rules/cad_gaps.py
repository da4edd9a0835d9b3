"""CAD-02: gaps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely

from gis.checks.fabric.gaps import gaps
from gis.checks.fabric.judge import (
    LIMIT,
    SCALE,
    fabric_of,
    facing_of,
    greatest_limit,
    position_limits,
    reads_there,
)
from gis.checks.fabric.mends import closing
from gis.checks.findings import finding
from gis.checks.model import Application, Finding, Mend, Parameter, Rule
from gis.checks.registry import local
from gis.checks.window import Window, grown
from layers.model import Text

CAD_02 = Rule(
    id="CAD-02",
    awaits=True,
    title=Text(vi="Khe hở giữa các vùng kề nhau", en="Gap between neighbours"),
    explanation=Text(
        vi="Một dải hẹp không thuộc thửa nào, nằm giữa các cạnh đối diện của những thửa kề nhau. Rộng đến "
        "giới hạn sai số vị trí của tỷ lệ bản đồ là lỗi (hai lần đo cùng một ranh giới); rộng hơn, đến số "
        "lần giới hạn đã cho, là cảnh báo vì có thể là rãnh thật. Đường và sân rộng hơn không bị báo. Khe "
        "dài hơn longest_m được chia theo lưới. Gợi ý: đưa đỉnh về chỗ của thửa bên, hoặc nhập khe vào thửa "
        "có cạnh chung dài nhất.",
        en="A strip that belongs to no parcel, between facing edges of neighbours. Up to the position limit "
        "of the map scale it is an error (one boundary measured twice); wider, up to wide_factor times the "
        "limit, it is a warning, for it may be a real drain. Streets and yards are wider than that and no "
        "finding. A gap longer than longest_m is cut along a grid of that size. Suggested: move the corners "
        "back to the neighbour's, or give the strip to the parcel with the longest side on it.",
    ),
    message=Text(
        vi="khe hở rộng đến {value}, diện tích {area} m² (giới hạn sai số vị trí {limit}); đóng khe",
        en="a gap up to {value} wide, {area} m² (position limit {limit}); close it",
    ),
    severity="E",
    scope="local",
    source="Circular 26/2024/TT-BTNMT (position limits by map scale)",
    unit="m",
    parameters=(
        LIMIT,
        SCALE,
        Parameter(
            "least_m",
            Text(vi="Bề rộng lớn hơn", en="Width over"),
            0.001,
            "m",
            minimum=1e-5,
            maximum=10,
        ),
        Parameter(
            "wide_factor",
            Text(vi="Cảnh báo đến số lần giới hạn", en="Warning up to so many times the limit"),
            3.0,
            minimum=1,
            maximum=20,
        ),
        Parameter(
            "longest_m",
            Text(vi="Khe dài hơn được chia", en="Longer gaps are cut"),
            32.0,
            "m",
            minimum=1,
            maximum=10000,
        ),
    ),
    dimensions=(2,),
)
#: What may be off by the rounding of a read box (m).
_SPARE = 0.5


def _reach(app: Application) -> float:
    return app.number("longest_m") + greatest_limit(app) * app.number("wide_factor") + 2 * _SPARE


# The anchor is a corner of the gap, which is at most longest_m wide and high.
@local(CAD_02, needs=reads_there(reach=_reach))
def cad_02(window: Window, app: Application) -> Iterator[Finding]:
    longest, factor = app.number("longest_m"), app.number("wide_factor")
    for layer in app.layers:
        fabric = fabric_of(window, layer)
        features, made, index = fabric.features, fabric.edges, fabric.index
        limits = position_limits(window, app, features)[index]
        pairs = facing_of(window, layer, limits * factor)
        # Everything that touches a place in ``seen`` has been read.
        seen = grown(window.box, longest + _SPARE)
        for gap in gaps(made, pairs, app.number("least_m"), limits * factor, longest, seen):
            # The corner of a cut piece may differ in the last bit from window to window, its micrometres not.
            low = np.round(shapely.bounds(gap.where)[:2], 6)
            if not window.owns_point(*low):
                continue
            around = list(gap.around)
            limit = float(limits[around].max())
            mends = []
            # What is wider may be a real drain, and a part of a gap is not closed without the others.
            if gap.whole and gap.width <= limit:
                healed = closing(made, gap.where, gap.around, limits)
                if healed is not None:
                    ref = features.ref(int(index[healed[0]]))
                    mends = [Mend(layer, ref.fid, ref.asset_id, healed[1], healed[2])]
            yield finding(
                app,
                [(features, int(index[n])) for n in around],
                gap.where,
                (float(low[0]), float(low[1])),
                value=gap.width,
                limit=limit,
                words={"area": f"{shapely.area(gap.where):.4f}"},
                mends=mends,
                severity=app.severity if gap.width <= limit else "W",
            )
