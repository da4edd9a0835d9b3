"""GEN-01 to GEN-03: invalid geometry, empty geometry, geometry of another type than the layer's."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import shapely

from gis.checks.features import Features
from gis.checks.findings import finding
from gis.checks.model import Application, Finding, Rule
from gis.checks.places import nowhere
from gis.checks.registry import local, reads
from gis.checks.window import Window, corner
from layers.model import Text

GEN_01 = Rule(
    id="GEN-01",
    title=Text(vi="Hình học không hợp lệ", en="Invalid geometry"),
    explanation=Text(
        vi="Vùng tự cắt, lỗ nằm ngoài, các phần chồng lên nhau hoặc vòng quá ít đỉnh: diện tích và phép "
        "chồng lớp "
        "của nó không có nghĩa. Sửa tại điểm được chỉ; phần mềm không tự sửa vì mỗi cách sửa cho một thửa "
        "đất khác.",
        en="A ring that crosses itself, a hole outside, parts over one another, or too few vertices: its "
        "area "
        "and overlay mean nothing. Mend it at the place shown; bandoso does not, as each way to repair it "
        "makes "
        "another parcel of it.",
    ),
    message=Text(vi="Hình học không hợp lệ: {reason}", en="The geometry is not valid: {reason}"),
    severity="E",
    scope="local",
    source="OGC 06-103r4 (Simple Features), as GEOS judges it",
    dimensions=(1, 2, -1),
    sees_unsound=True,
)

GEN_02 = Rule(
    id="GEN-02",
    title=Text(vi="Hình học rỗng", en="Empty geometry"),
    explanation=Text(
        vi="Đối tượng không có hình học nên không nằm ở đâu trên bản đồ. Vẽ lại hoặc xóa đối tượng.",
        en="The feature has no geometry and so lies nowhere on the map. Draw it or delete it.",
    ),
    message=Text(
        vi="Đối tượng không có hình học (chỉ được vẽ tạm ở giữa thành phố)",
        en="The feature has no geometry (it is shown in the middle of the city for want of a place)",
    ),
    severity="E",
    scope="local",
    source="OGC 06-103r4 (Simple Features)",
    sees_unsound=True,
)

GEN_03 = Rule(
    id="GEN-03",
    title=Text(vi="Sai kiểu hình học", en="Wrong type of geometry"),
    explanation=Text(
        vi="Lớp dữ liệu quy định kiểu hình học; kiểu khác không hiển thị hoặc không xử lý được. Tách các "
        "phần thành "
        "đối tượng riêng, hoặc chuyển đối tượng sang đúng lớp.",
        en="The layer's definition says which type its geometry has; others cannot be drawn or computed "
        "with. "
        "Split parts into features of their own, or move the feature to the layer it belongs to.",
    ),
    message=Text(vi="Là {found}, lớp này cần {wanted}", en="It is {found}; the layer holds {wanted}"),
    severity="E",
    scope="local",
    source="Definition of the layer (layers/*.yml)",
    sees_unsound=True,
)

#: What GEOS says (its beginning, in its order) -> the reason in words.
_REASONS: tuple[tuple[str, Text], ...] = (
    ("Ring Self-intersection", Text(vi="vòng tự chạm tại một điểm", en="a ring touches itself at a point")),
    ("Self-intersection", Text(vi="đường biên tự cắt", en="the boundary crosses itself")),
    ("Hole lies outside shell", Text(vi="lỗ nằm ngoài vùng", en="a hole lies outside the polygon")),
    ("Holes are nested", Text(vi="lỗ nằm trong lỗ khác", en="a hole lies in another hole")),
    ("Nested shells", Text(vi="một phần nằm trong phần khác", en="one part lies inside another")),
    ("Duplicate Rings", Text(vi="hai vòng trùng nhau", en="two rings are the same")),
    ("Interior is disconnected", Text(vi="phần trong bị chia cắt", en="the inside is cut in pieces")),
    ("Too few points", Text(vi="quá ít đỉnh khác nhau", en="too few different vertices")),
)
_OTHER = Text(vi="cấu trúc sai", en="its structure is wrong")
_PLACE = re.compile(r"\[(\S+) (\S+)[^\]]*\]\s*\Z")

_NAMES = (
    "Point", "LineString", "LinearRing", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon",
    "GeometryCollection",
)  # fmt: skip
_TYPE_IDS = {"Point": (0, 4), "LineString": (1, 5), "Polygon": (3, 6)}


@local(GEN_01, needs=reads(alone=True))
def gen_01(window: Window, app: Application) -> Iterator[Finding]:
    for layer in app.layers:
        features = window.features(layer)
        suspects = ~features.sound & np.isfinite(features.boxes).all(axis=1)
        suspects &= window.owns(corner(features.boxes))
        for index in np.flatnonzero(suspects):
            shape = features.geometry[index]
            xy = shapely.get_coordinates(shape)
            if not np.isfinite(xy).all():
                continue  # GEN-08 says so
            reason = str(shapely.is_valid_reason(shape))
            words = next((text for start, text in _REASONS if reason.startswith(start)), _OTHER)
            at = _PLACE.search(reason)
            where = shapely.Point(float(at[1]), float(at[2])) if at else shapely.Point(xy.min(axis=0))
            yield finding(
                app,
                [(features, index)],
                where,
                corner(features.boxes)[index],
                words={"reason": {"vi": words.vi, "en": words.en}},
            )


@local(GEN_02, needs=reads(alone=True))
def gen_02(window: Window, app: Application) -> Iterator[Finding]:
    for layer in app.layers:
        features = window.features(layer)
        placeless = ~np.isfinite(features.boxes).all(axis=1)
        missing = shapely.is_missing(features.geometry) | shapely.is_empty(features.geometry)
        for index in np.flatnonzero(placeless & missing):
            yield finding(app, [(features, index)], nowhere(window.setting.city), (np.nan, np.nan))


@local(GEN_03, needs=reads(alone=True))
def gen_03(window: Window, app: Application) -> Iterator[Finding]:
    for layer in app.layers:
        features = window.features(layer)
        wrong = _wrong_type(features)
        for index in np.flatnonzero(wrong):
            shape = features.geometry[index]
            box = features.boxes[index]
            placed = bool(np.isfinite(box).all())
            wanted = features.layer.definition.geometry
            name = _NAMES[shapely.get_type_id(shape)]
            parts = int(shapely.get_num_geometries(shape))
            few = {"vi": f"{name} gồm {parts} phần", "en": f"{name} of {parts} parts"}
            yield finding(
                app,
                [(features, index)],
                shapely.box(*box) if placed else nowhere(window.setting.city),
                corner(features.boxes)[index],
                words={
                    "found": few if parts > 1 else name,
                    "wanted": _ANY if wanted == "Geometry" else wanted,
                },
            )


_ANY = {"vi": "điểm, đường hoặc vùng", "en": "points, lines or polygons"}


def _wrong_type(features: Features) -> np.ndarray:
    """Types that cannot become the layer's without loss; one part is as good as a multi type of one part."""
    types = shapely.get_type_id(features.geometry)
    wanted = features.layer.definition.geometry
    there = (types >= 0) & ~shapely.is_empty(features.geometry)
    if wanted == "Geometry":
        return np.asarray(there & (types == 7))
    single, multi = _TYPE_IDS[wanted.removeprefix("Multi")]
    right = (types == single) | (types == multi)
    if not wanted.startswith("Multi"):
        right &= shapely.get_num_geometries(features.geometry) == 1
    return np.asarray(there & ~right)
