"""DRN-01, DRN-02, DRN-09: which way drains fall, and how steeply."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely

from gis.checks.findings import finding
from gis.checks.gravity.drains import ROUNDING, drains_needs, drains_of
from gis.checks.law import law_of
from gis.checks.model import Application, Finding, Parameter, Rule
from gis.checks.registry import local
from gis.checks.window import Window
from layers.model import Text

DRN_01 = Rule(
    id="DRN-01",
    title=Text(vi="Cống dốc ngược", en="Adverse slope"),
    explanation=Text(
        vi="Cao độ đáy cuối cống cao hơn đầu cống theo chiều vẽ. Sửa cao độ, hoặc ghi chế độ chảy (dốc "
        "ngược có chủ "
        "ý, xi phông, có áp, theo triều). Cống vẽ ngược chiều nước có quy tắc riêng (DRN-09).",
        en="The invert at the lower end of a drain, as it is drawn, is above that at its upper end. Mend "
        "the levels, "
        "or record the flow regime (inverted on purpose, siphon, pressure, tidal). Drains that are drawn "
        "against "
        "the flow have a rule of their own (DRN-09).",
    ),
    message=Text(
        vi="Cống {line} dâng {value} theo chiều vẽ",
        en="Drain {line} rises {value} in the direction it is drawn in",
    ),
    severity="E",
    scope="local",
    source="TCVN 7957; Giswater (inverted_slope)",
    unit="m",
    parameters=(
        Parameter("rise_m", Text(vi="Cho phép dâng", en="Allowed rise"), 0.0, "m", minimum=0, maximum=10),
    ),
    dimensions=(1,),
    sees_unsound=True,
)
DRN_02 = Rule(
    id="DRN-02",
    title=Text(vi="Độ dốc nhỏ hơn mức tối thiểu", en="Slope below the minimum"),
    explanation=Text(
        vi="Cống tự chảy có độ dốc nhỏ hơn 1/D (D là đường kính trong tính bằng mm) nên dễ lắng cặn. Kiểm "
        "tra cao độ "
        "và đường kính.",
        en="A gravity drain is flatter than 1/D (D: inner diameter in mm), so that it silts up. Check the "
        "levels and "
        "the diameter.",
    ),
    message=Text(
        vi="Cống {line} dốc {value}, tối thiểu {limit}", en="Drain {line} falls {value}, the least is {limit}"
    ),
    severity="W",
    scope="local",
    source="TCVN 7957: 1/D (config/law/networks.yml)",
    unit="‰",
    dimensions=(1,),
    sees_unsound=True,
)
DRN_09 = Rule(
    id="DRN-09",
    awaits=True,
    title=Text(vi="Cống vẽ ngược chiều nước chảy", en="Drawn against the flow"),
    explanation=Text(
        vi="Cống được vẽ từ hạ lưu lên thượng lưu: mã nút đầu nằm ở cuối nét vẽ, hoặc nét vẽ đi lên một "
        "nút mà không "
        "cống nào chảy ra. Đảo chiều nét vẽ; cao độ giữ nguyên.",
        en="The drain is drawn upstream: the node that it names as its start is where its drawing ends, "
        "or the "
        "drawing rises to a node that nothing flows out of. Turn the line round; its levels stay where "
        "they are.",
    ),
    message=Text(
        vi="Cống {line} vẽ ngược chiều nước chảy: đảo chiều nét vẽ",
        en="Drain {line} is drawn against the flow: turn it round",
    ),
    severity="E",
    scope="local",
    source="Practice; layers are drawn downstream",
    dimensions=(1,),
    sees_unsound=True,
)


@local(DRN_01, needs=drains_needs)
def drn_01(window: Window, app: Application) -> Iterator[Finding]:
    drains = drains_of(window, app)
    graph, limit = drains.graph, app.number("rise_m")
    rise = drains.down - drains.up
    bad = drains.falling & (rise > limit + ROUNDING) & ~drains.against
    # At the end as drawn, where DRN-09 is decided.
    bad &= window.owns(graph.xy)[graph.end]
    for line in np.flatnonzero(bad).tolist():
        features, index = graph.lines.about(line)
        yield finding(
            app,
            [(features, index)],
            shapely.force_2d(graph.lines.geometry[line]),
            tuple(graph.xy[graph.end[line]]),
            value=rise[line],
            limit=limit,
            words={"line": features.asset_id[index]},
        )


@local(DRN_02, needs=drains_needs)
def drn_02(window: Window, app: Application) -> Iterator[Finding]:
    drains = drains_of(window, app)
    lines = drains.graph.lines
    least = law_of(window.setting.city, window.setting.today).minimum_slope(drains.diameter)
    fall = drains.up - drains.down
    flat = drains.falling & drains.closed & (fall >= -ROUNDING) & (fall < least * drains.length - ROUNDING)
    corners = shapely.bounds(lines.geometry)[:, :2]
    for line in np.flatnonzero(flat & window.owns(corners)).tolist():
        features, index = lines.about(line)
        yield finding(
            app,
            [(features, index)],
            shapely.force_2d(lines.geometry[line]),
            tuple(corners[line]),
            value=1000 * max(fall[line], 0.0) / drains.length[line],
            limit=1000 * least[line],
            words={"line": features.asset_id[index]},
        )


@local(DRN_09, needs=drains_needs)
def drn_09(window: Window, app: Application) -> Iterator[Finding]:
    drains = drains_of(window, app)
    graph = drains.graph
    for line in np.flatnonzero(drains.against & window.owns(graph.xy)[graph.end]).tolist():
        features, index = graph.lines.about(line)
        yield finding(
            app,
            [(features, index)],
            shapely.force_2d(graph.lines.geometry[line]),
            tuple(graph.xy[graph.end[line]]),
            words={"line": features.asset_id[index]},
        )
