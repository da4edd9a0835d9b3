"""GEN-11: outside the city, or outside the map sheet that the feature is said to come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import shapely

from gis import crs, sheets
from gis.checks.features import Bools, Features, Floats, Ints
from gis.checks.findings import finding
from gis.checks.kept import kept_by_thread
from gis.checks.model import Application, Finding, Parameter, Rule
from gis.checks.places import shown
from gis.checks.registry import local
from gis.checks.source import Box
from gis.checks.window import Need, Window, columns_of, corner
from gis.city import City
from gis.errors import UsageError
from layers.model import Text
from layers.registry import Catalogue

GEN_11 = Rule(
    id="GEN-11",
    title=Text(vi="Ngoài thành phố hoặc ngoài mảnh bản đồ", en="Outside the city or its map sheet"),
    explanation=Text(
        vi="Đối tượng nằm ngoài phạm vi dữ liệu của thành phố, hoặc nằm hẳn ngoài mảnh bản đồ ghi trong "
        "thuộc tính "
        "(lỗi): thường do gõ sai tọa độ hay sai múi chiếu. Nằm ngoài địa giới nhưng trong phạm vi dữ liệu "
        "là cảnh báo, "
        "vì một số công trình của thành phố đặt ở tỉnh bên.",
        en="The feature lies beyond the area of the city's data, or wholly outside the map sheet that it "
        "names "
        "(error): mostly a mistyped coordinate or another zone. Beyond the boundary but inside that area is "
        "a warning, "
        "as some works of a city stand in the next province.",
    ),
    message=Text(vi="{what}", en="{what}"),
    severity="E",
    scope="local",
    source="Extent of the city (city.yml), its boundary, and the sheet systems (map-sheets)",
    unit="m",
    parameters=(
        Parameter(
            "boundary",
            Text(vi="Lớp địa giới thành phố", en="Layer of the city's boundary ('' for none)"),
            "admin_city",
        ),
        Parameter(
            "margin_m",
            Text(vi="Khoảng cách ra ngoài địa giới được bỏ qua", en="Distance beyond the boundary let be"),
            100.0, "m", minimum=0, maximum=100_000,
        ),
        Parameter(
            "extent_margin_deg",
            Text(vi="Khoảng mở rộng phạm vi thành phố", en="Margin around the city's extent"),
            0.05, "°", minimum=0, maximum=5,
        ),
        Parameter(
            "sheet_field",
            Text(vi="Thuộc tính ghi mảnh bản đồ", en="Field that names the map sheet ('' for none)"),
            "source_sheet",
        ),
        Parameter(
            "sheet_mm",
            Text(vi="Sai số trên bản đồ ở tỷ lệ mảnh", en="Tolerance on the map at the sheet's scale"),
            0.5, "mm", minimum=0, maximum=100,
        ),
    ),
    sees_unsound=True,
)  # fmt: skip

#: A boundary is read from anywhere in the city.
_ANYWHERE_M = 500_000.0

_EXTENT = {
    "vi": "Nằm cách phạm vi dữ liệu của thành phố {km:.1f} km; kiểm tra tọa độ và hệ quy chiếu",
    "en": "It lies {km:.1f} km outside the area of the city's data; check its coordinates and their CRS",
}
_SHEET = {
    "vi": "Nằm ngoài mảnh {sheet} mà đối tượng ghi, cách {off:.1f} m; sửa tên mảnh hoặc vị trí",
    "en": "It lies {off:.1f} m outside sheet {sheet}, which it names; correct the sheet or the position",
}
_BOUNDARY = {
    "vi": "Nằm ngoài địa giới thành phố {off:.0f} m",
    "en": "It lies {off:.0f} m beyond the city's boundary",
}


@dataclass(frozen=True)
class _Out:
    """What is wrong with some features: rows, how far off (m), against which limit, and the words."""

    rows: Ints
    off: Floats
    limit: float
    words: list[dict[str, str]]
    severity: Any = None


def _needs(app: Application, catalogue: Catalogue) -> Iterable[Need]:
    for name in app.layers:
        yield Need(name, columns_of([_sheet_field(app, catalogue, name)]), alone=True)
    boundary = app.text("boundary")
    if boundary in catalogue.layers and boundary not in app.layers:
        yield Need(boundary, (), _ANYWHERE_M)


def _sheet_field(app: Application, catalogue: Catalogue, layer: str) -> str | None:
    name = app.text("sheet_field")
    return name if name and catalogue.layers[layer].field(name) is not None else None


@local(GEN_11, needs=_needs)
def gen_11(window: Window, app: Application) -> Iterator[Finding]:
    for layer in app.layers:
        features = window.features(layer)
        anchors = corner(features.boxes)
        judged = window.owns(anchors) & np.isfinite(features.boxes).all(axis=1)
        for out in _outside(window, app, features, judged):
            for row, off, words in zip(out.rows, out.off, out.words, strict=True):
                yield finding(
                    app, [(features, row)], shown(features.geometry[row]), anchors[row],
                    value=off, limit=out.limit, words={"what": words}, severity=out.severity,
                )  # fmt: skip


def _outside(window: Window, app: Application, features: Features, judged: Bools) -> Iterator[_Out]:
    """The worst that can be said of each feature."""
    city = window.setting.city
    rows = np.flatnonzero(judged)
    beyond = _beyond(features.boxes[rows], _extent(city, app.number("extent_margin_deg")))
    far = beyond > 0
    judged = judged.copy()
    if far.any():
        words = [_said(_EXTENT, km=off / 1000) for off in beyond[far]]
        yield _Out(rows[far], beyond[far], 0.0, words)
        judged[rows[far]] = False

    field = _sheet_field(app, window.setting.catalogue, features.layer.id)
    if field is not None:
        for out in _off_sheets(features, features[field], judged, city.crs.storage, app.number("sheet_mm")):
            judged[out.rows] = False
            yield out

    boundary = app.text("boundary")
    if boundary in window.setting.catalogue.layers and boundary not in app.layers:
        yield _off_boundary(window.features(boundary), features, judged, app.number("margin_m"))


def _beyond(boxes: Floats, box: Box) -> Floats:
    """(n) how far (m) the part of each box that is farthest out lies outside ``box``; 0 inside."""
    east = np.maximum(np.maximum(box[0] - boxes[:, 0], boxes[:, 2] - box[2]), 0)
    north = np.maximum(np.maximum(box[1] - boxes[:, 1], boxes[:, 3] - box[3]), 0)
    return np.hypot(east, north)


def _extent(city: City, margin: float) -> Box:
    return _extent_of(city.extent, margin, city.crs.storage)


@lru_cache(maxsize=16)
def _extent_of(extent: Box, margin: float, storage: int) -> Box:
    """The box, storage CRS, that the loader takes rows in (gis.ingest.shapes)."""
    west, south, east, north = extent
    grown = (west - margin, south - margin, east + margin, north + margin)
    minx, miny, maxx, maxy = crs.transform_box(grown, crs.WGS84, storage, 1.0).bounds
    return minx, miny, maxx, maxy


def _off_sheets(
    features: Features, names: Any, judged: Bools, storage: int, tolerance_mm: float
) -> Iterator[_Out]:
    rows_by_name: dict[str, list[int]] = {}
    for row in np.flatnonzero(judged):
        if names[row]:
            rows_by_name.setdefault(names[row], []).append(int(row))
    for name, some in rows_by_name.items():
        sheet = _sheet(name, storage)
        if sheet is None:
            continue  # a name of another kind ("tờ số 5"): nothing is known of where it is
        outline, scale = sheet
        rows, limit = np.array(some), tolerance_mm * scale / 1000
        rows = rows[~shapely.dwithin(outline, _shapes(features, rows), limit)]
        off = shapely.distance(outline, _shapes(features, rows))
        yield _Out(rows, off, limit, [_said(_SHEET, sheet=name[:60], off=one) for one in off])


@kept_by_thread(4096)
def _sheet(name: str, storage: int) -> tuple[shapely.Polygon, int] | None:
    """Outline (storage CRS, prepared) and scale of a sheet by its name, in the city's zone."""
    try:
        sheet = sheets.parse_sheet(name, crs=storage)
    except UsageError:
        return None
    outline = sheet.outline(storage)
    shapely.prepare(outline)
    return outline, sheet.scale


def _off_boundary(boundary: Features, features: Features, judged: Bools, margin: float) -> _Out:
    rows = np.flatnonzero(judged)
    city = _area(tuple(shapely.to_wkb(boundary.geometry))) if len(rows) else None
    if city is not None:
        boxes = features.boxes[rows]
        all_of_them = shapely.box(*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0))
        if not shapely.covers(city, all_of_them):
            # The middle of its box tells of nearly every feature; only the others need their shape.
            middle = (boxes[:, :2] + boxes[:, 2:]) / 2
            rows = rows[~shapely.contains_xy(city, middle[:, 0], middle[:, 1])]
            rows = rows[~shapely.dwithin(city, _shapes(features, rows), margin)]
            off = shapely.distance(city, _shapes(features, rows))
            return _Out(rows, off, margin, [_said(_BOUNDARY, off=one) for one in off], "W")
    return _Out(np.empty(0, np.int64), np.empty(0), margin, [])


@kept_by_thread(4)
def _area(boundary: tuple[bytes, ...]) -> Any:
    """The boundary, prepared; None without a sound one. Kept, as every window and every edit asks for it."""
    shapes = shapely.from_wkb(np.array([wkb for wkb in boundary if wkb], dtype=object))
    shapes = shapes[shapely.is_valid(shapes) & ~shapely.is_empty(shapes)]
    if not len(shapes):
        return None
    city = shapes[0] if len(shapes) == 1 else shapely.union_all(shapes)
    shapely.prepare(city)
    return city


def _shapes(features: Features, rows: Ints) -> Any:
    """The geometry of these rows; the box of what is not sound, as nobody knows its distance."""
    return np.where(features.sound[rows], features.geometry[rows], shapely.box(*features.boxes[rows].T))


def _said(words: dict[str, str], **values: Any) -> dict[str, str]:
    return {language: text.format(**values) for language, text in words.items()}
