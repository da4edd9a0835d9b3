"""CAD-06 numbers given twice and CAD-09 numbers that are missing."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import shapely

from gis.checks.fabric.judge import NOT_THERE
from gis.checks.features import Features
from gis.checks.findings import finding
from gis.checks.model import Application, Finding, Parameter, Rule
from gis.checks.registry import local, reads, whole
from gis.checks.whole import Whole
from gis.checks.window import Window, corner
from layers.model import Text

CAD_06 = Rule(
    id="CAD-06",
    title=Text(vi="Trùng số thửa", en="Duplicate parcel number"),
    explanation=Text(
        vi="Hai thửa cùng xã, cùng số tờ và số thửa. Sau khi sáp nhập, số tờ của các xã cũ trùng nhau, nên "
        "hai thửa có mã xã cũ khác nhau không bị báo; nhưng nếu một thửa không ghi mã xã cũ thì không phân "
        "biệt được và bị báo. Cũng bị báo: cùng mã xã cũ, số tờ và số thửa dưới hai mã xã mới. Sửa số, "
        "hoặc ghi mã xã cũ.",
        en="Two parcels of one commune have the same sheet and parcel number. Since communes were merged, "
        "sheet numbers of former communes collide, so parcels of different former communes are no finding; "
        "but one without a former commune cannot be told apart, and is. So is the same former commune, sheet "
        "and number under two new communes. Correct the number, or name the former commune.",
    ),
    message=Text(
        vi="cùng xã {commune}, tờ {sheet}, thửa {parcel}; sửa số hoặc ghi mã xã cũ",
        en="both are parcel {parcel} of sheet {sheet} in commune {commune}; correct one, or its former "
        "commune",
    ),
    severity="E",
    scope="global",
    source="Circular 26/2024/TT-BTNMT; merger of communes of 1 July 2025",
    dimensions=(2,),
)
_NEW, _FORMER = ("commune_code", "sheet_no", "parcel_no"), ("legacy_commune_code", "sheet_no", "parcel_no")


@whole(CAD_06, decided=reads(*dict.fromkeys((*_NEW, *_FORMER, "status")), shape=False))
def cad_06(whole: Whole, app: Application) -> Iterator[Finding]:
    wanted = ("commune_code", "legacy_commune_code", "sheet_no", "parcel_no", "status")
    for layer in app.layers:
        for columns in (_NEW, _FORMER):
            among = _changed(whole, layer, columns)
            if among is not None and not among:
                continue
            known = _Known(columns[0])
            for some in whole.source.repeated(layer, columns, among, more=wanted, held=columns[:1]):
                if not some.goes_on:
                    known = _Known(columns[0])
                for first, second in known.again(some.features):
                    yield _twice(app, first, second)


def _changed(whole: Whole, layer: str, columns: Sequence[str]) -> list[tuple[Any, ...]] | None:
    """The numbers of changed parcels; None for all."""
    if whole.changed is None:
        return None
    held = whole.source.pick(layer, sorted(whole.changed.get(layer, ())), columns)
    return sorted({tuple(held[name][n] for name in columns) for n in range(len(held))}, key=repr)


class _Known:
    """Of parcels with one number the first of each former commune: all that must be remembered, however many
    there are. ``by``: the code of the commune that they share."""

    def __init__(self, by: str) -> None:
        self._by = by
        self._first: Features | None = None
        self._of: dict[Any, tuple[int, Features]] = {}
        self._count = itertools.count()

    def again(self, parcels: Features) -> Iterator[tuple[Features, Features]]:
        """(an earlier parcel, a later one that cannot be told from it): one for each later parcel."""
        for n in range(len(parcels)):
            if parcels["status"][n] in NOT_THERE:
                continue
            one = parcels.take(np.array([n]))
            found = self._from_former(one) if self._by == "legacy_commune_code" else self._earlier(one)
            if found is not None:
                yield found, one

    def _from_former(self, one: Features) -> Features | None:
        """Of one former commune: the first, if it is in another commune today. Two of one commune are found
        by its code."""
        if self._first is None:
            self._first = one
            return None
        now, then = one["commune_code"][0], self._first["commune_code"][0]
        return None if now is not None and now == then else self._first

    def _earlier(self, one: Features) -> Features | None:
        """Of one commune: the first without a former commune, or of the same."""
        former = one["legacy_commune_code"][0]
        if former is None:
            found = min(self._of.values(), default=None, key=itemgetter(0))
        else:
            known = [self._of[code] for code in (former, None) if code in self._of]
            found = min(known, default=None, key=itemgetter(0))
        self._of.setdefault(former, (next(self._count), one))
        return None if found is None else found[1]


def _twice(app: Application, first: Features, second: Features) -> Finding:
    boxes = np.concatenate([first.boxes, second.boxes])
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    centres = centres[np.isfinite(centres).all(axis=1)]
    anchor = second.boxes[0, :2]
    words = {
        "commune": second["commune_code"][0] or second["legacy_commune_code"][0],
        "sheet": second["sheet_no"][0] or "?",
        "parcel": second["parcel_no"][0],
    }
    about = [(first, 0), (second, 0)]
    return finding(app, about, shapely.MultiPoint(centres), (float(anchor[0]), float(anchor[1])), words=words)


CAD_09 = Rule(
    id="CAD-09",
    title=Text(vi="Thửa thiếu số hoặc có nhiều số", en="Parcel number missing or several"),
    explanation=Text(
        vi="Mỗi thửa có đúng một số thửa. Thiếu số khi nhãn nằm ngoài ranh giới hoặc ranh giới chưa khép; có "
        "nhiều số (12, 13) khi thiếu một đường ranh giới giữa hai nhãn. Đất giao thông, thủy lợi và mặt nước "
        "dạng tuyến (unnumbered) có thể không đánh số.",
        en="A parcel has exactly one number. It is missing when the label lay outside or the boundary was "
        "open; there are several (12, 13) when a line between two labels is missing. Roads, irrigation and "
        "water (unnumbered) may go without.",
    ),
    message=Text(
        vi="{vi}; kiểm tra nhãn và ranh giới thửa", en="{en}; check the label and the parcel's boundary"
    ),
    severity="E",
    scope="local",
    source="Circular 26/2024/TT-BTNMT (each parcel has a number of its sheet)",
    parameters=(
        Parameter(
            "unnumbered",
            Text(vi="Loại đất có thể không có số", en="Land uses that may have no number"),
            "DGT DTL SON MNC SMN",
        ),
    ),
    dimensions=(2,),
    sees_unsound=True,
)
#: 12, 12B, 12-1 and 12/3 are one number; 12,13 or 12+13 or 12 13 are several.
_SEVERAL = re.compile(r"\w\s*[,;+&]\s*\w|\d\s+\d")


@local(CAD_09, needs=reads("parcel_no", "land_use", "status", alone=True, shape=False))
def cad_09(window: Window, app: Application) -> Iterator[Finding]:
    unnumbered = set(app.text("unnumbered").split())
    for layer in app.layers:
        features = window.features(layer)
        numbers = features["parcel_no"]
        # Almost all numbers are plain digits; only the others are looked at one by one.
        odd = np.fromiter((n is None or not n.isdigit() for n in numbers), bool, len(features))
        for index in np.flatnonzero(odd & window.owns(corner(features.boxes))):
            number = (numbers[index] or "").strip()
            if features["status"][index] in NOT_THERE:
                continue
            if not number and features["land_use"][index] not in unnumbered:
                words = {"vi": "thửa không có số", "en": "the parcel has no number"}
            elif _SEVERAL.search(number):
                words = {
                    "vi": f"thửa có nhiều số: {number}",
                    "en": f"the parcel has several numbers: {number}",
                }
            else:
                continue
            box = features.boxes[index]
            yield finding(
                app,
                [(features, index)],
                shapely.Point((box[:2] + box[2:]) / 2),
                (box[0], box[1]),
                words=words,
            )
