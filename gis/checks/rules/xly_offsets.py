"""XLY-07: constant offsets between deliveries."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely

from gis.checks.crossing.among import meant
from gis.checks.crossing.offset import Offset, offsets
from gis.checks.features import Features, Floats, Ints, Objects
from gis.checks.findings import about_layer
from gis.checks.model import Application, Finding, Parameter, Rule
from gis.checks.network.graph import unit_m
from gis.checks.registry import whole
from gis.checks.whole import Whole
from gis.checks.window import columns_of
from layers.model import Text

#: More features than this are sampled, by squares of this side (m) so that partners stay together.
_MOST, _SQUARE = 200_000, 200.0

XLY_07 = Rule(
    id="XLY-07",
    title=Text(vi="Lệch đều giữa hai lần giao dữ liệu", en="Constant offset between two deliveries"),
    explanation=Text(
        vi="Hai lần giao dữ liệu cho thấy cùng những đối tượng (nhà của hai lớp, cột dùng chung, đầu ống "
        "và nút) nhưng "
        "lệch nhau cùng một vectơ hoặc cùng một chênh cao: thường do sai hệ tọa độ, sai tham số chuyển "
        "hoặc sai gốc độ "
        "cao của cả lần giao. Không nắn từng đối tượng; nạp lại lần giao với hệ tọa độ đúng.",
        en="Two deliveries show the same things (buildings of two layers, shared poles, ends of pipes and "
        "their nodes), "
        "but one lies off the other by the same vector, or the same height, all over: mostly a wrong CRS, "
        "wrong "
        "transform parameters or another zero of heights. Do not move the features one by one; load the "
        "delivery "
        "again with its right CRS.",
    ),
    message=Text(
        vi="{first} lệch so với {second} {what} ({votes} trong {asked} đối tượng khớp)",
        en="{first} lies off {second} by {what} ({votes} of {asked} features agree)",
    ),
    severity="W",
    scope="global",
    source="Practice of comparing deliveries",
    unit="m",
    parameters=(
        Parameter(
            "plan_m", Text(vi="Lệch mặt bằng nhỏ nhất", en="Least offset in plan"), 0.3, "m", 0.01, 100
        ),
        Parameter("height_m", Text(vi="Lệch cao nhỏ nhất", en="Least offset in height"), 0.1, "m", 0.01, 100),
        Parameter("heights", Text(vi="So độ cao", en="Compare heights"), True),
        Parameter("within_m", Text(vi="Bán kính tìm", en="Search radius"), 5.0, "m", 0.1, 50),
        Parameter("spread_m", Text(vi="Độ tản cho phép", en="Spread allowed"), 0.15, "m", 0.001, 5),
        Parameter(
            "least", Text(vi="Số đối tượng ít nhất", en="Least number of features"), 20, "", 3, 100_000
        ),
        Parameter("share", Text(vi="Tỷ lệ khớp ít nhất", en="Least share that agrees"), 0.5, "", 0.05, 1),
    ),
)


@whole(XLY_07, edits=False)
def xly_07(city: Whole, app: Application) -> Iterator[Finding]:
    if city.changed is not None:
        return  # an edit does not move a delivery, and only a whole run ends these findings
    same = app.layers == app.against
    if same and _one_delivery(city, app.layers):
        return
    first = _points(city, app, app.layers)
    second = first if same else _points(city, app, app.against)
    if first is None or second is None:
        return
    found = offsets(
        first.xyz, first.delivery, second.xyz, second.delivery,
        within=app.number("within_m"), spread=app.number("spread_m"),
    )  # fmt: skip
    for offset in found:
        if same and offset.first >= offset.second:
            continue
        if offset.votes >= app.number("least") and offset.votes >= app.number("share") * offset.asked:
            yield from _judged(city, app, first, second, offset)


class _Points:
    """Points (n, 3), in metres, of the features of some layers, and the delivery that each came in."""

    def __init__(self, xyz: Floats, names: Objects, layers: tuple[str, ...]) -> None:
        texts, self.delivery = np.unique(names.astype(str), return_inverse=True)
        self.xyz, self.names, self.layers = xyz, texts.tolist(), layers


def _one_delivery(city: Whole, layers: tuple[str, ...]) -> bool:
    seen: set[str] = set()
    for layer in layers:
        for portion in city.source.stream(layer, ["load_id"], geometry=False):
            seen.update(_deliveries(portion))
            if len(seen) > 1:
                return False
    return True


def _points(city: Whole, app: Application, layers: tuple[str, ...]) -> _Points | None:
    unit = unit_m(city.setting.city)
    xyz, names = [], []
    for layer in layers:
        columns = columns_of(
            ["load_id", *(n for s in app.among if s.layer == layer for n in (*s.where, *s.unless))]
        )
        step = -(-city.source.count(layer) // _MOST)
        for portion in city.source.stream(layer, columns):
            some = portion.take(portion.sound & meant(app, portion))
            found, index = _places(some)
            found[:, :2] *= unit
            kept = _sampled(found, step)
            xyz.append(found[kept])
            names.append(_deliveries(some)[index[kept]])
    if not sum(map(len, xyz)):
        return None
    return _Points(np.concatenate(xyz), np.concatenate(names), layers)


def _places(features: Features) -> tuple[Floats, Ints]:
    """Places (m, 3) of features and the index of each: points, both ends of lines, centres of areas."""
    kinds = shapely.get_dimensions(features.geometry)
    points, lines = np.flatnonzero(kinds == 0), np.flatnonzero(kinds == 1)
    lines = lines[shapely.get_type_id(features.geometry[lines]) == 1]
    areas = np.flatnonzero(kinds == 2)
    shapes = np.concatenate([
        shapely.point_on_surface(features.geometry[points])
        if (shapely.get_type_id(features.geometry[points]) != 0).any()
        else features.geometry[points],
        shapely.get_point(features.geometry[lines], 0),
        shapely.get_point(features.geometry[lines], -1),
        shapely.centroid(features.geometry[areas]),
    ])  # fmt: skip
    index = np.concatenate([points, lines, lines, areas]).astype(np.int64)
    return np.stack([shapely.get_x(shapes), shapely.get_y(shapes), shapely.get_z(shapes)], axis=1), index


def _sampled(xyz: Floats, step: int) -> Ints:
    if step <= 1:
        return np.arange(len(xyz))
    column, row = np.floor(xyz[:, :2] / _SQUARE).astype(np.int64).T
    found: Ints = np.flatnonzero((column * 7919 + row * 104_729) % step == 0)
    return found


def _deliveries(features: Features) -> Objects:
    """(n) the load that each feature came with; the owner's name where it came with none."""
    loads, code = np.unique(features["load_id"], return_inverse=True)
    names: Objects = np.array([f"load {load:.0f}" for load in loads], dtype=object)[code]
    none = np.isnan(features["load_id"])
    names[none] = np.array([f"owner {owner}" for owner in features.owner[none]], dtype=object)
    return names


def _judged(
    city: Whole, app: Application, first: _Points, second: _Points, offset: Offset
) -> Iterator[Finding]:
    plan, height = float(np.hypot(*offset.plan)), abs(offset.height)
    # Rows of equal things agree on the distance between two of them; but they agree on none, too.
    moved = plan >= app.number("plan_m") and offset.at_rest * 2 < offset.votes
    lifted = bool(app.parameters["heights"]) and height >= app.number("height_m")
    east, north = -offset.plan
    if moved:
        what = {
            "vi": f"{plan:.2f} m về mặt bằng ({east:+.2f} m sang đông, {north:+.2f} m lên bắc)",
            "en": f"{plan:.2f} m in plan ({east:+.2f} m east, {north:+.2f} m north)",
        }
        yield _finding(city, app, first, second, offset, "plan", plan, what)
    if lifted and (moved or plan < app.number("plan_m")):
        what = {
            "vi": f"{-offset.height:+.2f} m về độ cao",
            "en": f"{-offset.height:+.2f} m in height",
        }
        yield _finding(city, app, first, second, offset, "height", height, what)


def _delivery(name: str, language: str) -> str:
    """A name of _deliveries() in ``language``."""
    kind, _, which = name.partition(" ")
    return f"{_KINDS[kind]} {which}" if language == "vi" else name


_KINDS = {"load": "lần nạp", "owner": "đơn vị"}


def _finding(
    city: Whole, app: Application, first: _Points, second: _Points, offset: Offset,
    way: str, value: float, what: dict[str, str],
) -> Finding:  # fmt: skip
    catalogue = city.setting.catalogue
    ours, theirs = ([catalogue.layers[name] for name in some.layers] for some in (first, second))
    name, against = first.names[offset.first], second.names[offset.second]
    titles = [
        {
            language: f"{', '.join(getattr(layer.title, language) for layer in some)}"
            f" ({_delivery(delivery, language)})"
            for language in ("vi", "en")
        }
        for some, delivery in ((ours, name), (theirs, against))
    ]
    where = shapely.convex_hull(shapely.MultiPoint(first.xyz[offset.points, :2] / unit_m(city.setting.city)))
    return about_layer(
        app,
        ours[0],
        f"{name} / {theirs[0].id} {against}: {way}",
        where,
        value=value,
        limit=app.number(f"{way}_m"),
        words={
            "first": titles[0],
            "second": titles[1],
            "what": what,
            "votes": offset.votes,
            "asked": offset.asked,
        },
        restricted=not all(layer.is_public for layer in (*ours, *theirs)),
    )
