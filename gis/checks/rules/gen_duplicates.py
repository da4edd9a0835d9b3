"""GEN-09 and GEN-10: the same feature twice, the same asset id twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from gis.checks.features import Features, Ints
from gis.checks.findings import finding
from gis.checks.model import Application, Finding, Mend, Parameter, Rule
from gis.checks.places import nowhere, shown
from gis.checks.registry import local, reads, whole
from gis.checks.same import first_same
from gis.checks.whole import Whole
from gis.checks.window import Need, Window, meeting_corner
from layers.model import Text
from layers.registry import Catalogue, Layer

GEN_09 = Rule(
    id="GEN-09",
    title=Text(vi="Hình học trùng lặp", en="Duplicate geometry"),
    explanation=Text(
        vi="Hai đối tượng cùng lớp, cùng trạng thái có hình học như nhau (không kể đỉnh bắt đầu và chiều "
        "vẽ): thường do "
        "nhập cùng một dữ liệu hai lần. Số lượng, chiều dài, diện tích bị tính gấp đôi. Xóa đối tượng thừa "
        "sau khi giữ "
        "lại các thuộc tính cần thiết.",
        en="Two features of the layer and of one status have the same geometry, wherever drawing began and "
        "whichever "
        "way it went: mostly one delivery loaded twice. Counts, lengths and areas are doubled. Keep what "
        "attributes "
        "are needed and delete the other.",
    ),
    message=Text(
        vi="{dup} có cùng hình học với {first} (sai khác không quá {limit}); xóa một đối tượng",
        en="{dup} has the same geometry as {first} (within {limit}); delete one",
    ),
    severity="E",
    scope="local",
    source="Practice",
    unit="m",
    parameters=(
        Parameter(
            "distance_m",
            Text(vi="Sai khác tọa độ coi là trùng", en="Difference of coordinates that is none"),
            0.001, "m", minimum=0, maximum=1,
        ),
        Parameter(
            "height_m",
            Text(vi="Chênh cao từ đó là hai công trình khác nhau", en="Difference of height that makes two"),
            0.1, "m", minimum=0, maximum=100,
        ),
        Parameter(
            "equal_fields",
            Text(vi="Các thuộc tính phải bằng nhau", en="Fields that must be equal, too (comma separated)"),
            "status",
        ),
    ),
)  # fmt: skip

GEN_10 = Rule(
    id="GEN-10",
    title=Text(vi="Trùng mã tài sản", en="Duplicate id"),
    explanation=Text(
        vi="Hai đối tượng của một lớp có cùng mã tài sản; mã phải chỉ đúng một đối tượng. Cấp lại mã cho "
        "một đối tượng, "
        "hoặc xóa đối tượng thừa.",
        en="Two features of a layer have the same asset id, which must name one. Give one of them another "
        "id, or delete "
        "it if it is the same thing.",
    ),
    message=Text(
        vi="Mã tài sản {id} được dùng cho {count} đối tượng",
        en="The asset id {id} is that of {count} features",
    ),
    severity="E",
    scope="global",
    source="Definition of the layers: an asset id names one feature",
    sees_unsound=True,
)


def _fields(app: Application, layer: Layer) -> tuple[str, ...]:
    """The fields that must be equal; names that the layer does not have are none of its fields."""
    names = (name.strip() for name in str(app.parameters["equal_fields"] or "").split(","))
    return tuple(name for name in names if layer.field(name) is not None)


def _needs(app: Application, catalogue: Catalogue) -> Iterable[Need]:
    reach = 2 * app.number("distance_m")
    return [Need(name, _fields(app, catalogue.layers[name]), reach) for name in app.layers]


@local(GEN_09, needs=_needs)
def gen_09(window: Window, app: Application) -> Iterator[Finding]:
    limit = app.number("distance_m")
    for layer in app.layers:
        features = window.sound(layer)
        if len(features) < 2:
            continue
        fields = _fields(app, features.layer)
        kinds = _kinds(features, fields)
        secret = any(f.access != "public" for f in map(features.layer.field, fields) if f)
        first = first_same(features.geometry, kinds, features.boxes, limit, app.number("height_m"))
        for index in np.flatnonzero(first >= 0):
            other = int(first[index])
            anchor = meeting_corner(features.boxes[[other]], features.boxes[[index]])[0]
            if not window.owns_point(*anchor):
                continue
            dup = str(features.asset_id[index])
            yield finding(
                app,
                [(features, other), (features, index)],
                shown(features.geometry[index]),
                anchor,
                limit=limit,
                words={"dup": dup, "first": str(features.asset_id[other])},
                mends=[Mend(layer, int(features.fid[index]), dup, None, 0.0)],
                restricted=secret,  # it tells that their values are equal
            )


def _kinds(features: Features, names: Iterable[str]) -> Ints:
    """(n) a number for each combination of values; null equals null."""
    columns = [features[name] for name in names]
    if not columns:
        return np.zeros(len(features), dtype=np.int64)
    seen: dict[tuple[object, ...], int] = {}
    rows = zip(*(_plain(column) for column in columns), strict=True)
    return np.array([seen.setdefault(row, len(seen)) for row in rows], dtype=np.int64)


def _plain(column: npt.NDArray[Any]) -> list[object]:
    """Values that equal themselves: NaN and NaT do not."""
    values = column.astype(object)
    if column.dtype != object:
        values[np.isnat(column) if column.dtype.kind == "M" else np.isnan(column)] = None
    return list(values)


@whole(GEN_10, decided=reads("asset_id", shape=False))
def gen_10(whole: Whole, app: Application) -> Iterator[Finding]:
    for layer in app.layers:
        among = None
        if whole.changed is not None:
            changed = whole.source.pick(layer, sorted(whole.changed.get(layer, ())), ("asset_id",))
            among = [(str(name),) for name in changed.asset_id]
            if not among:
                continue
        for group in (one.features for one in whole.source.repeated(layer, ("asset_id",), among)):
            # One finding for each beyond the first, which is the oldest.
            order = np.argsort(group.fid, kind="stable")
            for index in order[1:]:
                box = group.boxes[index]
                placed = bool(np.isfinite(box).all())
                yield finding(
                    app,
                    [(group, int(order[0])), (group, int(index))],
                    shapely.box(*box) if placed else nowhere(whole.setting.city),
                    (box[0], box[1]),
                    value=len(group),
                    words={"id": str(group.asset_id[index]), "count": len(group)},
                )
