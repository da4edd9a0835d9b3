"""XLY-03, XLY-04: clearances between works in the ground."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import shapely

from gis.checks.concern import Change
from gis.checks.crossing.approach import Approaches, approaches
from gis.checks.crossing.exempt import HOP, hop, sheltered
from gis.checks.crossing.works import WIDEST, Works, works_needs, works_of
from gis.checks.features import Floats, Ints
from gis.checks.findings import finding
from gis.checks.law import law_of
from gis.checks.model import Application, Finding, Rule
from gis.checks.network.graph import unit_m
from gis.checks.registry import About, Unsure, local
from gis.checks.window import Need, Setting, Window
from layers.model import Text
from layers.registry import Catalogue

#: Farther than any clearance of law (3 m) with the half widths of both, and a short piece or trench beside.
REACH = 3.0 + 2 * WIDEST + HOP
#: Places within this distance (m) of one that is exempt are exempt.
_ALIKE = 5.0
_NAMES = {
    "water": Text(vi="cấp nước", en="water"),
    "sewage": Text(vi="nước thải", en="sewage"),
    "storm": Text(vi="nước mưa", en="storm water"),
    "power": Text(vi="điện", en="power"),
    "telecom": Text(vi="viễn thông", en="telecoms"),
    "works": Text(vi="hào, tuy-nen kỹ thuật", en="trench or tunnel"),
}
_VERDICTS = {
    "violates": {"vi": "vi phạm", "en": "violates"},
    "may": {
        "vi": "có thể vi phạm (trong phạm vi sai số định vị)",
        "en": "may violate (within the accuracy of both positions)",
    },
    "unknown": {
        "vi": "chưa thể kết luận (không rõ độ chính xác định vị)",
        "en": "cannot tell (the accuracy of a position is unknown)",
    },
}
_SURE = Text(
    vi="Khoảng cách tính giữa hai mặt ngoài (trục trừ bán kính). Là lỗi khi cả hai đạt mức định vị B2 trở "
    "lên và chắc "
    "chắn vi phạm, nếu không là cảnh báo; công trình nối với nhau hoặc nằm chung hào, tuy-nen được bỏ qua.",
    en="Measured between outer faces (axis less radius). An error when both are located at quality level "
    "B2 or "
    "better and the breach is certain, else a warning; what is joined or shares a trench or tunnel is "
    "exempt.",
)


def _rule(number: str, title: Text, what: Text, message: Text) -> Rule:
    return Rule(
        id=number,
        title=title,
        explanation=Text(vi=f"{what.vi} {_SURE.vi}", en=f"{what.en} {_SURE.en}"),
        message=message,
        severity="W",
        scope="local",
        source="QCVN 01:2021/BXD, 2.30 and 2.31 (config/law/networks.yml)",
        unit="m",
        dimensions=(1,),
    )


XLY_03 = _rule(
    "XLY-03",
    Text(vi="Khoảng cách ngang quá nhỏ", en="Too close beside each other"),
    Text(
        vi="Hai công trình ngầm đi gần nhau hơn khoảng cách ngang tối thiểu; dời một công trình hoặc kiểm "
        "tra lại vị trí.",
        en="Two works in the ground lie closer beside each other than the law allows; move one, or survey "
        "them again.",
    ),
    Text(
        vi="{first} và {second} cách nhau {value} theo chiều ngang, quy định {limit}: {verdict}",
        en="{first} and {second} lie {value} apart in plan, the law wants {limit}: {verdict}",
    ),
)
XLY_04 = _rule(
    "XLY-04",
    Text(vi="Khoảng cách đứng quá nhỏ", en="Too close above each other"),
    Text(
        vi="Hai công trình ngầm giao nhau gần hơn khoảng cách đứng tối thiểu (âm: cắt vào nhau); kiểm tra "
        "cao độ cả hai.",
        en="Two works cross with less height between them than the law allows (negative: they cut into "
        "each other); "
        "check the heights of both.",
    ),
    Text(
        vi="{first} và {second} giao nhau, cách nhau {value} theo chiều đứng, quy định {limit}: {verdict}",
        en="{first} and {second} cross {value} apart in height, the law wants {limit}: {verdict}",
    ),
)


def _needs(app: Application, catalogue: Catalogue) -> Iterable[Need]:
    return works_needs(app, catalogue, REACH)


def _within(_: Application, setting: Setting, change: Change) -> float | None:
    """Of a line that shelters nothing and joins no two others, only its own pairs change. The place of a pair
    may be on the other line, and what shelters them beside that."""
    unit = unit_m(setting.city)
    if any(work.container for work in setting.catalogue.works if work.layer == change.layer):
        return None
    shapes = [shape for shape in (change.old, change.new) if shape is not None]
    if any(shapely.length(shape) * unit <= HOP for shape in shapes):
        return None
    return (REACH + WIDEST) / unit


def _of_plan(window: Window, app: Application, change: Change) -> Iterator[Finding]:
    works, near = _pairs_of(window, app, change)
    yield from _findings(window, app, works, near.take(~near.crossing), "plan")


def _of_heights(window: Window, app: Application, change: Change) -> Iterator[Finding]:
    works, near = _pairs_of(window, app, change)
    yield from _findings(window, app, works, near.take(near.crossing), "vertical")


def _pairs_of(window: Window, app: Application, change: Change) -> tuple[Works, Approaches]:
    """The approaches of one line. Raises Unsure where it is, or was, drawn over another: of copies one is
    told of alone (approach.approaches)."""
    works = works_of(window, app)
    law = law_of(window.setting.city, window.setting.today)

    def compute() -> Approaches:
        line = _line(works, change)
        for box in change.boxes():
            same = (works.boxes == box).all(axis=1)
            if line is not None:
                same[line] = False
            if same.any():
                raise Unsure
        if line is None:
            return approaches(works, law).take(np.zeros(0, np.int64))
        return approaches(works, law, line)

    return works, window.memo(("approaches of", app.layers, change.layer, change.fid), compute)


def _line(works: Works, change: Change) -> int | None:
    """The number of the changed feature's line."""
    for part, which, mine in works.members.runs():
        if part.layer.id == change.layer:
            at = np.flatnonzero(part.fid[which] == change.fid)
            if len(at):
                return int(mine.start) + int(at[0])
    return None


@local(XLY_03, needs=_needs, about=About(_within, _of_plan))
def xly_03(window: Window, app: Application) -> Iterator[Finding]:
    works, near = _approaches(window, app)
    yield from _findings(window, app, works, near.take(~near.crossing), "plan")


@local(XLY_04, needs=_needs, about=About(_within, _of_heights))
def xly_04(window: Window, app: Application) -> Iterator[Finding]:
    works, near = _approaches(window, app)
    yield from _findings(window, app, works, near.take(near.crossing), "vertical")


def _approaches(window: Window, app: Application) -> tuple[Works, Approaches]:
    works = works_of(window, app)
    law = law_of(window.setting.city, window.setting.today)
    return works, window.memo(("approaches", app.layers), lambda: approaches(works, law))


def _findings(
    window: Window, app: Application, works: Works, near: Approaches, way: str
) -> Iterator[Finding]:
    """One finding for each pair of lines, at the place of the least distance that nothing exempts."""
    if not len(near):
        return
    values: Floats = getattr(near, way)
    limits: Floats = getattr(near, f"{way}_limit")
    sigma = works.horizontal if way == "plan" else works.vertical
    for which in near.pairs():
        order = which[np.lexsort((near.at_a[which, 1], near.at_a[which, 0], values[which]))]
        at = _first_that_counts(works, near, order, way)
        if at is None or not window.owns_point(*near.at_a[at]):
            continue
        a, b = int(near.a[at]), int(near.b[at])
        value = max(values[at], 0.0) if way == "plan" else values[at]
        either = float(np.sqrt(sigma[a] ** 2 + sigma[b] ** 2))
        verdict = "unknown" if np.isnan(either) else "violates" if value + either < limits[at] else "may"
        sure = verdict == "violates" and works.located[a] and works.located[b]
        line = shapely.LineString([near.at_a[at], near.at_b[at]])
        yield finding(
            app,
            [works.about(a), works.about(b)],
            line if line.length else shapely.Point(near.at_a[at]),
            tuple(near.at_a[at]),
            value=value,
            limit=limits[at],
            words={
                "first": _name(works, a),
                "second": _name(works, b),
                "verdict": _VERDICTS[verdict],
            },
            severity="E" if sure else None,
        )


def _first_that_counts(works: Works, near: Approaches, order: Ints, way: str) -> int | None:
    a, b = int(near.a[order[0]]), int(near.b[order[0]])
    crossing: shapely.Geometry | None = None
    if way == "plan" and shapely.crosses(works.geometry[a], works.geometry[b]):
        parts = shapely.get_parts(shapely.intersection(works.geometry[a], works.geometry[b]))
        crossing = shapely.multipoints(parts[shapely.get_dimensions(parts) == 0])
    while len(order):
        at = int(order[0])
        place = shapely.Point(near.at_a[at])
        # Lines that cross at a small angle are near each other on both sides of the crossing: XLY-04.
        far = 2 * (near.plan_limit[at] + works.half_width[a] + works.half_width[b])
        crosses = crossing is not None and shapely.dwithin(crossing, place, far / works.unit)
        if not (crosses or sheltered(works, a, b, place) or hop(works, a, b, place)):
            return at
        # Winding lines come near each other in thousands of places; those around this one are like it.
        apart = np.abs(near.at_a[order] - near.at_a[at]).max(axis=1) * works.unit
        order = order[apart > (0.0 if crosses else _ALIKE)]
    return None


def _name(works: Works, line: int) -> dict[str, str]:
    features, index = works.about(line)
    kind = str(works.kind[line])
    named = _NAMES.get(kind, Text(vi=kind, en=kind))
    asset = features.asset_id[index]
    return {"vi": f"{named.vi} {asset}", "en": f"{named.en} {asset}"}
