"""CAD-07 legal area and CAD-08 legal edge lengths against the geometry."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import shapely

from gis.checks.fabric.judge import SCALE, judged, reads_there, scales_of
from gis.checks.features import Floats
from gis.checks.findings import finding
from gis.checks.law import law_of
from gis.checks.model import Application, Finding, Parameter, Rule
from gis.checks.registry import local
from gis.checks.window import Window, corner
from layers.model import Text

CAD_07 = Rule(
    id="CAD-07",
    title=Text(vi="Diện tích pháp lý lệch với bản đồ", en="Legal area differs from the map"),
    explanation=Text(
        vi="Diện tích ghi trong hồ sơ và diện tích tính từ tọa độ lệch nhau quá sai số cho phép giữa hai lần "
        "đo theo tỷ lệ bản đồ. Kiểm tra ranh giới với hồ sơ, hoặc cập nhật hồ sơ.",
        en="The area on record and the area computed from the coordinates differ by more than the law allows "
        "between two measurements at the map's scale. Check the boundary against the record, or the record.",
    ),
    message=Text(
        vi="pháp lý {legal} m², theo tọa độ {computed} m²: lệch {value}, cho phép {limit}",
        en="{legal} m² on record, {computed} m² by coordinates: {value} apart, allowed {limit}",
    ),
    severity="E",
    scope="local",
    source="Circular 26/2024/TT-BTNMT, appendix 3 (area tolerance by map scale)",
    unit="m2",
    parameters=(SCALE,),
    dimensions=(2,),
)


@local(CAD_07, needs=reads_there("legal_area_m2", alone=True))
def cad_07(window: Window, app: Application) -> Iterator[Finding]:
    law = law_of(window.setting.city, window.setting.today)
    for layer in app.layers:
        features = judged(window, layer)
        legal, computed = features["legal_area_m2"], shapely.area(features.geometry)
        limit = law.area_tolerance_m2(scales_of(app, features), legal)
        apart = np.abs(legal - computed)
        for index in np.flatnonzero((apart > limit) & window.owns(corner(features.boxes))):
            yield finding(
                app,
                [(features, index)],
                shapely.force_2d(features.geometry[index]),
                corner(features.boxes)[index],
                value=apart[index],
                limit=limit[index],
                words={"legal": f"{legal[index]:.1f}", "computed": f"{computed[index]:.1f}"},
            )


CAD_08 = Rule(
    id="CAD-08",
    title=Text(vi="Chiều dài cạnh pháp lý lệch với bản đồ", en="Legal edge length differs from the map"),
    explanation=Text(
        vi="Chiều dài các cạnh trong bảng kê của hồ sơ kỹ thuật thửa đất (legal_edges_m, theo thứ tự quanh "
        "thửa, bắt đầu từ đỉnh nào, theo chiều nào cũng được) so với cạnh tính từ tọa độ. Đỉnh thẳng hàng "
        "của thửa kề không tính là góc. Số cạnh khác nhau là cảnh báo, vì không so sánh được.",
        en="Edge lengths listed in the parcel's technical file (legal_edges_m, in order around the parcel "
        "from any corner, either way) against those of the coordinates. Vertices on a straight side, which "
        "neighbours put there, are no corners. Another number of edges is a warning: nothing can be "
        "compared.",
    ),
    message=Text(vi="{vi}", en="{en}"),
    severity="E",
    scope="local",
    source="Circular 26/2024/TT-BTNMT, appendix 3 (edge-length tolerance by map scale)",
    unit="m",
    parameters=(
        SCALE,
        Parameter(
            "straight_m",
            Text(vi="Đỉnh cách đường thẳng không quá", en="A vertex so near the straight line is no corner"),
            0.02,
            "m",
            minimum=0,
            maximum=1,
        ),
    ),
    dimensions=(2,),
)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")


@local(CAD_08, needs=reads_there("legal_edges_m", alone=True))
def cad_08(window: Window, app: Application) -> Iterator[Finding]:
    law = law_of(window.setting.city, window.setting.today)
    straight = app.number("straight_m")
    for layer in app.layers:
        features = judged(window, layer)
        scales = scales_of(app, features)
        listed = np.fromiter((bool(text) for text in features["legal_edges_m"]), bool, len(features))
        for index in np.flatnonzero(listed & window.owns(corner(features.boxes))):
            legal = lengths_of(features["legal_edges_m"][index])
            ring = corners_of(features.geometry[index], straight, len(legal))
            anchor = corner(features.boxes)[index]
            if len(ring) != len(legal):
                words = {
                    "vi": f"hồ sơ có {len(legal)} cạnh, bản đồ có {len(ring)}; kiểm tra lại bảng kê",
                    "en": f"{len(legal)} edges on record, {len(ring)} on the map; check the list",
                }
                shape = shapely.force_2d(features.geometry[index])
                yield finding(app, [(features, index)], shape, anchor, words=words, severity="W")
                continue
            edge, apart, limit = worst_edge(
                ring, legal, lambda at, s=scales[index]: law.edge_tolerance_m(s, at)
            )
            if apart > limit:
                ends = shapely.LineString([ring[edge], ring[(edge + 1) % len(ring)]])
                words = {
                    "vi": f"cạnh dài {ends.length:.2f} m lệch {apart:.3f} m, cho phép {limit:.3f} m",
                    "en": f"an edge of {ends.length:.2f} m is {apart:.3f} m off its record, allowed "
                    f"{limit:.3f} m",
                }
                yield finding(app, [(features, index)], ends, anchor, value=apart, limit=limit, words=words)


def lengths_of(text: str) -> Floats:
    """The lengths (m) in ``5.02; 18,30; 5``: a comma between digits is a decimal comma."""
    return np.array([float(number.replace(",", ".")) for number in _NUMBER.findall(text)])


def corners_of(polygon: shapely.Geometry, straight_m: float, wanted: int) -> Floats:
    """The outline's vertices (k, 2); where there are more than wanted, without those on straight sides."""
    ring: Floats = shapely.get_coordinates(shapely.get_exterior_ring(polygon))[:-1]
    if len(ring) <= wanted:
        return ring
    before, after = np.roll(ring, 1, axis=0) - ring, np.roll(ring, -1, axis=0) - ring
    side = after - before
    off = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) / np.maximum(
        np.hypot(*side.T), 1e-12
    )
    ahead = (before * after).sum(axis=1) < 0
    corners: Floats = ring[~((off <= straight_m) & ahead)]
    return corners


def worst_edge(ring: Floats, legal: Floats, tolerance) -> tuple[int, float, float]:  # type: ignore[no-untyped-def]
    """(edge, difference, tolerance) that is worst against the best way to lay the list around the ring."""
    lengths = np.hypot(*(np.roll(ring, -1, axis=0) - ring).T)
    limits = tolerance(legal)
    turn = (np.arange(len(legal))[:, None] + np.arange(len(legal))) % len(legal)
    ways = np.concatenate([turn, turn[:, ::-1]])
    apart = np.abs(legal[ways] - lengths)
    ratio = apart / limits[ways]
    best = int(np.argmin(ratio.max(axis=1)))
    edge = int(np.argmax(ratio[best]))
    return edge, float(apart[best, edge]), float(limits[ways[best, edge]])
