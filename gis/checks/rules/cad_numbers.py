"""CAD-06 numbers given twice and CAD-09 numbers that are missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
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
    for layer in app.layers:
        seen: set[tuple[int, int]] = set()
        for columns in (_NEW, _FORMER):
            among = _changed(whole, layer, columns)
            if among is not None and not among:
                continue
            groups = whole.source.repeated(layer, columns, among)
            fids = [int(fid) for group in groups for fid in group.fid]
            if not fids:
                continue
            wanted = ("commune_code", "legacy_commune_code", "sheet_no", "parcel_no", "status")
            held = whole.source.pick(layer, fids, wanted)
            place = {int(fid): n for n, fid in enumerate(held.fid)}
            for group in groups:
                members = sorted(place[int(fid)] for fid in group.fid if int(fid) in place)
                for first, second in _same(held, members, columns[0]):
                    pair = int(held.fid[first]), int(held.fid[second])
                    if pair not in seen:
                        seen.add(pair)
                        yield _twice(app, held, first, second)


def _changed(whole: Whole, layer: str, columns: Sequence[str]) -> list[tuple[Any, ...]] | None:
    """The numbers of changed parcels; None for all."""
    if whole.changed is None:
        return None
    held = whole.source.pick(layer, sorted(whole.changed.get(layer, ())), columns)
    return sorted({tuple(held[name][n] for name in columns) for n in range(len(held))}, key=repr)


def _same(held: Features, members: Iterable[int], by: str) -> Iterator[tuple[int, int]]:
    """(an earlier parcel, a later one that cannot be told from it): one for each later parcel."""
    earlier: dict[Any, int] = {}
    first: int | None = None
    for n in members:
        if held["status"][n] in NOT_THERE or held[by][n] is None:
            continue
        if by == "legacy_commune_code":
            found = first
        else:
            former = held["legacy_commune_code"][n]
            found = first if former is None else min(
                (k for k in (earlier.get(former), earlier.get(None)) if k is not None), default=None
            )  # fmt: skip
            earlier.setdefault(former, n)
        first = n if first is None else first
        if found is not None:
            yield found, n


def _twice(app: Application, held: Features, first: int, second: int) -> Finding:
    boxes = held.boxes[[first, second]]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    centres = centres[np.isfinite(centres).all(axis=1)]
    anchor = held.boxes[second, :2]
    words = {
        "commune": held["commune_code"][second] or held["legacy_commune_code"][second],
        "sheet": held["sheet_no"][second] or "?",
        "parcel": held["parcel_no"][second],
    }
    about = [(held, first), (held, second)]
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
