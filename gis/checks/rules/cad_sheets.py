"""CAD-12 parcels across the frame of their sheet, CAD-13 sheets elsewhere, CAD-14 sheets that do not fit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely

from gis.checks.fabric.facing import Facing
from gis.checks.fabric.judge import (
    LIMIT,
    SCALE,
    fabric_of,
    facing_of,
    greatest_limit,
    judged,
    position_limits,
    reads_there,
)
from gis.checks.features import Features, Ints, Objects
from gis.checks.findings import finding
from gis.checks.kept import kept_by_thread
from gis.checks.model import Application, Finding, Parameter, Rule
from gis.checks.registry import local
from gis.checks.window import Window, corner, meeting_corner
from gis.errors import UsageError
from gis.sheets import parse_sheet
from layers.model import Text

BY = Parameter("by_m", Text(vi="Vượt hơn", en="By more than"), 0.5, "m", minimum=0, maximum=1000)

CAD_12 = Rule(
    id="CAD-12",
    title=Text(vi="Thửa cắt khung mảnh bản đồ", en="Parcel crosses its sheet's frame"),
    explanation=Text(
        vi="Thửa nằm một phần ngoài khung của mảnh bản đồ nguồn. Có thể đúng (thửa được vẽ trọn trên mảnh "
        "chứa phần lớn của nó), nhưng hay là dấu hiệu của hai nửa thửa chưa ghép. Kiểm tra với mảnh bên "
        "cạnh.",
        en="Part of the parcel lies beyond the frame of its source sheet. That can be right (a parcel is "
        "drawn whole on the sheet that has most of it), but often two halves were not joined. Look at "
        "the next sheet.",
    ),
    message=Text(
        vi="vượt khung mảnh {sheet} {value} (giới hạn {limit}); kiểm tra với mảnh bên cạnh",
        en="reaches {value} beyond the frame of sheet {sheet} (limit {limit}); look at the next sheet",
    ),
    severity="W",
    scope="local",
    source="Circular 25/2014/TT-BTNMT (division into sheets); practice",
    unit="m",
    parameters=(BY,),
    dimensions=(2,),
)
CAD_13 = Rule(
    id="CAD-13",
    title=Text(vi="Phiên hiệu mảnh không khớp tọa độ", en="Sheet name does not fit the coordinates"),
    explanation=Text(
        vi="Không phần nào của thửa nằm trên mảnh bản đồ mà nó ghi: sai phiên hiệu, hoặc sai tọa độ (kinh "
        "tuyến trục, hệ tọa độ). Tên không phải phiên hiệu mảnh là cảnh báo.",
        en="No part of the parcel lies on the sheet that it names: the name is wrong, or the coordinates are "
        "(meridian, datum). A name that is none of a sheet is a warning.",
    ),
    message=Text(vi="{vi}", en="{en}"),
    severity="E",
    scope="local",
    source="Circular 973/2001/TT-TCĐC, QCVN 75:2023, Circular 25/2014/TT-BTNMT (names of sheets)",
    unit="m",
    dimensions=(2,),
)


def _by_sheet(features: Features, mine: Ints) -> Iterator[tuple[str, Ints]]:
    """(name of a sheet, indices) of those of the features that name one."""
    names = features["source_sheet"][mine]
    named = np.fromiter((bool(name) for name in names), bool, len(names))
    mine, names = mine[named], names[named].astype(str)
    order = np.argsort(names, kind="stable")
    if len(order):
        for members in np.split(order, np.flatnonzero(names[order][1:] != names[order][:-1]) + 1):
            yield str(names[members[0]]), mine[members]


@kept_by_thread(20_000)
def _frame(name: str, storage: int) -> shapely.Polygon | None:
    """The sheet's outline in the storage CRS; None if that is no name of a sheet."""
    try:
        return parse_sheet(name, crs=storage).outline(storage)
    except UsageError:
        return None


@local(CAD_12, needs=reads_there("source_sheet", alone=True))
def cad_12(window: Window, app: Application) -> Iterator[Finding]:
    by_m = app.number("by_m")
    for layer in app.layers:
        features = judged(window, layer)
        boxes = features.boxes
        for name, members in _by_sheet(features, np.flatnonzero(window.owns(corner(boxes)))):
            frame = _frame(name, window.setting.city.crs.storage)
            if frame is None:
                continue
            # A parcel within the largest box in the frame is inside; others are measured.
            shapely.prepare(frame)
            members = members[~shapely.covers(frame, features.geometry[members])]
            members = members[shapely.intersects(frame, features.geometry[members])]
            for index in members:
                beyond = shapely.difference(shapely.force_2d(features.geometry[index]), frame)
                reach = float(
                    shapely.distance(shapely.points(shapely.get_coordinates(beyond)), frame).max(initial=0)
                )
                if reach > by_m:
                    yield finding(
                        app,
                        [(features, index)],
                        beyond,
                        corner(boxes)[index],
                        value=reach,
                        limit=by_m,
                        words={"sheet": name},
                    )


@local(CAD_13, needs=reads_there("source_sheet", alone=True))
def cad_13(window: Window, app: Application) -> Iterator[Finding]:
    for layer in app.layers:
        features = judged(window, layer)
        boxes = features.boxes
        for name, members in _by_sheet(features, np.flatnonzero(window.owns(corner(boxes)))):
            frame = _frame(name, window.setting.city.crs.storage)
            if frame is None:
                words = {
                    "vi": f"{name!r} không phải phiên hiệu mảnh bản đồ; sửa phiên hiệu",
                    "en": f"{name!r} is not the name of a map sheet; correct it",
                }
                for index in members:
                    yield finding(
                        app,
                        [(features, index)],
                        _centre(boxes[index]),
                        corner(boxes)[index],
                        words=words,
                        severity="W",
                    )
                continue
            shapely.prepare(frame)
            for index in members[~shapely.intersects(frame, features.geometry[members])]:
                away = float(shapely.distance(frame, features.geometry[index]))
                words = {
                    "vi": f"cách mảnh {name} {away:.0f} m; sửa phiên hiệu hoặc tọa độ",
                    "en": f"lies {away:.0f} m from sheet {name}; correct the name or the coordinates",
                }
                yield finding(
                    app,
                    [(features, index)],
                    _centre(boxes[index]),
                    corner(boxes)[index],
                    value=away,
                    limit=0,
                    words=words,
                )


def _centre(box: np.ndarray) -> shapely.Point:
    return shapely.Point((box[:2] + box[2:]) / 2)


CAD_14 = Rule(
    id="CAD-14",
    awaits=True,
    title=Text(vi="Biên hai mảnh không khớp", en="Neighbouring sheets do not match"),
    explanation=Text(
        vi="Hai thửa của hai mảnh bản đồ khác nhau có cạnh đối diện cách nhau trong giới hạn sai số vị trí "
        "nhưng không trùng nhau: biên mảnh chưa được tiếp biên. Thống nhất một đường biên chung.",
        en="Parcels of two different sheets have facing edges within the position limit that are not the "
        "same: the sheets were not joined. Agree on one line.",
    ),
    message=Text(
        vi="cạnh của mảnh {one} và {other} lệch nhau đến {value} (giới hạn vị trí {limit}); tiếp biên",
        en="edges of sheets {one} and {other} are up to {value} apart (position limit {limit}); join them",
    ),
    severity="E",
    scope="local",
    source="Circular 26/2024/TT-BTNMT (joining of neighbouring sheets; position limits)",
    unit="m",
    parameters=(
        LIMIT,
        SCALE,
        Parameter("least_m", Text(vi="Lệch hơn", en="Apart by more than"), 0.001, "m", minimum=0, maximum=10),
    ),
    dimensions=(2,),
)


@local(CAD_14, needs=reads_there("source_sheet", reach=lambda app: 2 * greatest_limit(app)))
def cad_14(window: Window, app: Application) -> Iterator[Finding]:
    least = app.number("least_m")
    for layer in app.layers:
        features = judged(window, layer)
        sheets = features["source_sheet"]
        if not any(sheets):
            continue
        fabric = fabric_of(window, layer)
        made, index = fabric.edges, fabric.index
        limits = position_limits(window, app, features)
        pairs = facing_of(window, layer, limits[index])
        one, other = index[made.owner[pairs.e]], index[made.owner[pairs.f]]
        apart = np.abs(pairs.away).max(axis=1) if len(pairs.e) else np.empty(0)
        different = np.fromiter(
            (
                bool(sheets[a]) and bool(sheets[b]) and sheets[a] != sheets[b]
                for a, b in zip(one, other, strict=True)
            ),
            bool,
            len(one),
        )
        off = different & (apart > least) & (apart <= np.maximum(limits[one], limits[other]))
        yield from _unjoined(
            window, app, features, pairs.take(off), np.column_stack([one[off], other[off]]), limits
        )


def _unjoined(
    window: Window, app: Application, features: Features, pairs: Facing, owners: Ints, limits: np.ndarray
) -> Iterator[Finding]:
    """One finding for each two parcels."""
    sheets = features["source_sheet"]
    both = np.sort(owners, axis=1)
    distinct, group = np.unique(both, axis=0, return_inverse=True)
    for n, (one, other) in enumerate(distinct):
        anchor = meeting_corner(features.boxes[[one]], features.boxes[[other]])[0]
        if not window.owns_point(*anchor):
            continue
        which = np.flatnonzero(group.reshape(-1) == n)
        lines: Objects = shapely.linestrings(
            np.concatenate([pairs.on_e[which], pairs.on_f[which]])
            + np.tile(pairs.origin[which], (2, 1))[:, None]
        )
        yield finding(
            app,
            [(features, one), (features, other)],
            shapely.MultiLineString(list(lines)),
            (float(anchor[0]), float(anchor[1])),
            value=np.abs(pairs.away[which]).max(),
            limit=max(limits[one], limits[other]),
            words={"one": sheets[one], "other": sheets[other]},
        )
