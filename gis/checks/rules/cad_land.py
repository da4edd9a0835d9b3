"""CAD-10 land codes and CAD-11 the commune that a parcel names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import shapely

from gis.checks.fabric.judge import columns_there, judged, reads_there
from gis.checks.fabric.overlaps import moved, widths
from gis.checks.features import Bools, Features, Ints
from gis.checks.findings import finding
from gis.checks.law import law_of
from gis.checks.model import Application, Finding, Parameter, Rule
from gis.checks.registry import local
from gis.checks.window import Need, Window, corner
from layers.model import Text
from layers.registry import Catalogue

CAD_10 = Rule(
    id="CAD-10",
    title=Text(vi="Mã loại đất không có hiệu lực", en="Land code not valid on its date"),
    explanation=Text(
        vi="Mã loại đất không có trong thông tư còn hiệu lực vào ngày đo đạc (không ghi ngày: trong mọi "
        "thông tư đã biết). Đổi sang mã hiện hành theo bảng chuyển đổi.",
        en="The land code is not one of the circular in force on the survey date (without a date: of any "
        "known circular). Change it to the code that replaced it.",
    ),
    message=Text(
        vi="mã loại đất {code} không có hiệu lực vào {vi}; đổi sang mã hiện hành",
        en="land code {code} was not valid {en}; use the code in force",
    ),
    severity="E",
    scope="local",
    source="Circular 08/2024/TT-BTNMT; 27/2018/TT-BTNMT before",
    dimensions=(2,),
    sees_unsound=True,
)


@local(CAD_10, needs=reads_there("land_use", "survey_date", alone=True, shape=False))
def cad_10(window: Window, app: Application) -> Iterator[Finding]:
    law = law_of(window.setting.city, window.setting.today)
    for layer in app.layers:
        features = window.features(layer)
        for index in np.flatnonzero(~_valid(law, features) & window.owns(corner(features.boxes))):
            date, box = features["survey_date"][index], features.boxes[index]
            never = np.isnat(date)
            day = "" if never else str(date.astype("M8[D]"))
            words = {
                "code": features["land_use"][index],
                "vi": "bất kỳ ngày nào đã biết" if never else f"ngày {day}",
                "en": "under any known circular" if never else f"on {day}",
            }
            centre = shapely.Point((box[:2] + box[2:]) / 2)
            yield finding(app, [(features, index)], centre, (box[0], box[1]), words=words)


def _valid(law: object, features: Features) -> Bools:
    """law.land_use_valid of the few different pairs of code and day."""
    codes, days = features["land_use"], features["survey_date"].astype("M8[D]")
    texts = np.array([code or "" for code in codes], dtype=str)
    _, text = np.unique(texts, return_inverse=True)
    different, day = np.unique(days.astype(np.int64), return_inverse=True)
    key = text * max(1, len(different)) + day
    order = np.argsort(key, kind="stable")
    new = np.ones(len(order), bool)
    new[1:] = np.diff(key[order]) != 0
    group = np.empty(len(order), np.int64)
    group[order] = np.cumsum(new) - 1
    first = order[new]
    found: Bools = law.land_use_valid(codes[first], days[first])[group]  # type: ignore[attr-defined]
    return found


CAD_11 = Rule(
    id="CAD-11",
    title=Text(vi="Thửa nằm ngoài xã đã ghi", en="Parcel outside the commune it names"),
    explanation=Text(
        vi="Mã xã của thửa (mã mới, hoặc mã cũ đã sáp nhập) là của xã khác với nơi thửa nằm. Quá nửa thửa "
        "nằm ngoài xã là lỗi; phần nhỏ hơn, rộng hơn giới hạn, là cảnh báo vì địa giới vẽ ở tỷ lệ nhỏ hơn. "
        "Sửa mã xã, hoặc kiểm tra địa giới.",
        en="The commune code of the parcel (a new one, or a former one that was merged) is not of the "
        "commune where it lies. More than half outside is an error; less, but wider than the limit, is a "
        "warning, for communes are drawn at smaller scales. Correct the code, or look at the commune's "
        "boundary.",
    ),
    message=Text(
        vi="ghi xã {code} nhưng {share} % diện tích nằm ngoài xã đó (rộng {value}, giới hạn {limit}); "
        "nơi này là {here}",
        en="names commune {code}, but {share} % of it lies outside ({value} wide, limit {limit}); here "
        "is {here}",
    ),
    severity="E",
    scope="local",
    source="Resolution 1685/NQ-UBTVQH15 (communes since 1 July 2025)",
    unit="m",
    parameters=(
        Parameter("by_m", Text(vi="Rộng hơn", en="Wider than"), 0.5, "m", minimum=0, maximum=1000),
        Parameter("communes", Text(vi="Lớp địa giới xã", en="Layer of communes"), "admin_ward"),
    ),
    dimensions=(2,),
)
#: Of a larger parcel the south-western square of that size (m) is judged, so that a window decides it.
_PART_M = 500.0


def _needs(app: Application, catalogue: Catalogue) -> Iterable[Need]:
    yield from reads_there("commune_code", alone=True)(app, catalogue)
    communes = app.text("communes")
    columns = columns_there(catalogue, communes, ("commune_code", "predecessors"))
    yield Need(communes, columns, _PART_M)


@local(CAD_11, needs=_needs)
def cad_11(window: Window, app: Application) -> Iterator[Finding]:
    wards, by_m = window.sound(app.text("communes")), app.number("by_m")
    if not len(wards):
        return
    names = _names(wards)
    for layer in app.layers:
        features = judged(window, layer)
        codes = features["commune_code"]
        named = np.fromiter((code is not None for code in codes), bool, len(features))
        mine = np.flatnonzero(named & window.owns(corner(features.boxes)))
        for index in _doubtful(features, mine, wards, names):
            box = features.boxes[index]
            shape = features.geometry[index]
            if (box[2:] - box[:2]).max() > _PART_M:
                shape = shapely.intersection(shape, shapely.box(*box[:2], *(box[:2] + _PART_M)))
            origin = np.floor(box[:2])
            shape = moved(np.array([shape]), -origin[None])[0]
            near = np.sort(wards.tree.query(features.geometry[index]))
            cut = shapely.clip_by_rect(wards.geometry[near], box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1)
            cut = moved(
                np.where(shapely.is_valid(cut), cut, wards.geometry[near]), -np.tile(origin, (len(near), 1))
            )
            own = np.array([codes[index] in names[n] for n in near], bool)
            outside = shapely.difference(shape, shapely.union_all(cut[own]))
            # Where no commune is known nothing is said: a coast or the border of the data.
            there = shapely.intersection(outside, shapely.union_all(cut[~own]))
            parts = shapely.get_parts(there)
            width = widths(parts).max(initial=0.0)
            if width <= by_m:
                continue
            share = float(shapely.area(there) / shapely.area(shape))
            most = near[~own][int(np.argmax(shapely.area(shapely.intersection(cut[~own], shape))))]
            yield finding(
                app,
                [(features, index)],
                moved(np.array([there]), origin[None])[0],
                (box[0], box[1]),
                value=width,
                limit=by_m,
                words={
                    "code": codes[index],
                    "share": f"{100 * share:.0f}",
                    "here": wards["commune_code"][most] or wards.asset_id[most],
                },
                severity=app.severity if share > 0.5 else "W",
            )


def _names(wards: Features) -> list[frozenset[str]]:
    """For each ward its code and those of the communes that it was merged from."""
    former = wards["predecessors"] if "predecessors" in wards.columns else [None] * len(wards)
    return [
        frozenset([*([code] if code else []), *((merged or "").replace(",", " ").replace(";", " ").split())])
        for code, merged in zip(wards["commune_code"], former, strict=True)
    ]


def _doubtful(features: Features, mine: Ints, wards: Features, names: list[frozenset[str]]) -> Ints:
    """Those of the parcels that are not well inside a ward that they name."""
    by_code: dict[str, list[int]] = {}
    for n, known in enumerate(names):
        for code in known:
            by_code.setdefault(code, []).append(n)
    left = np.ones(len(mine), bool)
    codes = features["commune_code"][mine]
    order = np.argsort(codes.astype(str), kind="stable")
    ordered = codes[order].astype(str)
    shapely.prepare(wards.geometry)
    for members in np.split(order, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1) if len(order) else ():
        for n in by_code.get(str(codes[members[0]]), ()):
            inside = shapely.covers(wards.geometry[n], features.geometry[mine[members]])
            left[members[inside]] = False
    shapely.destroy_prepared(wards.geometry)
    return mine[left]
