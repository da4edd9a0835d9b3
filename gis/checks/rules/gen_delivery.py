"""GEN-12: a delivery that a mistake of its coordinate system put in the wrong place, as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from gis import crs
from gis.checks.features import Features, Floats, Ints
from gis.checks.findings import about_layer
from gis.checks.model import Application, Finding, Parameter, Rule
from gis.checks.places import nowhere, points
from gis.checks.registry import whole
from gis.checks.source import Box
from gis.checks.whole import Whole
from gis.checks.window import grown
from layers.model import Text
from layers.registry import Layer

GEN_12 = Rule(
    id="GEN-12",
    title=Text(vi="Dấu hiệu nhầm hệ tọa độ", en="CRS mistake"),
    explanation=Text(
        vi="Cả một lần nạp dữ liệu nằm sai chỗ theo đúng kiểu của một lỗi hệ tọa độ đã biết: đổi trục, nhầm "
        "múi chiếu, "
        "thiếu hoặc sai phép chuyển VN-2000 – WGS 84. So với phạm vi thành phố và với đỉnh của các lớp cùng "
        "lĩnh vực mà "
        "dữ liệu phải trùng (van trên ống, mốc trên ranh thửa). Một trong hai bên bị lệch; nạp lại bên sai "
        "với đúng hệ "
        "tọa độ. Lệch mà không có lớp nào để so thì không phát hiện được.",
        en="A whole delivery lies off by what a known mistake of coordinate systems makes: swapped axes, "
        "another zone, "
        "a missing or wrong step between VN-2000 and WGS 84. It is compared with the city's extent, and "
        "with vertices "
        "of layers of its sector that it must share (valves on pipes, marks on parcels). One of the two is "
        "displaced: "
        "load it again with the right CRS. Where nothing is shared, nothing can be told.",
    ),
    message=Text(vi="{what}", en="{what}"),
    severity="E",
    scope="global",
    source="EPSG registry, operations 6960 and 5194; fingerprints computed by gis/crs",
    unit="m",
    parameters=(
        Parameter(
            "least",
            Text(vi="Số đối tượng ít nhất của một lần nạp", en="Least number of features of a delivery"),
            20, minimum=5, maximum=1_000_000,
        ),
        Parameter(
            "match_m",
            Text(vi="Khoảng cách coi là trùng đỉnh", en="Distance within which vertices are shared"),
            0.05, "m", minimum=0.001, maximum=1,
        ),
        Parameter(
            "share",
            Text(vi="Tỷ lệ đỉnh trùng sau khi sửa lỗi", en="Share of vertices shared once it is undone"),
            0.4, minimum=0.1, maximum=1,
        ),
    ),
    sees_unsound=True,
)  # fmt: skip

#: Features of a delivery that the extent is asked about, places where it is compared, and their half side
#: (m).
_SAMPLE, _SITES, _SITE_M = 500, 3, 150.0
#: The largest displacement by a mistake of the datum (m), with room; larger ones show in the extent.
_FARTHEST_M = 480.0
_MOST_VERTICES = 2_000
#: Matches that a verdict needs, and the share that lies right as it is from which no mistake is looked for.
_FEWEST, _RIGHT = 10, 0.1

_CAUSES = {
    "null-shift": Text(
        vi="không chuyển giữa VN-2000 và WGS 84", en="no shift was made between VN-2000 and WGS 84"
    ),
    "reversed-shift": Text(
        vi="chuyển VN-2000 – WGS 84 ngược chiều", en="the shift between VN-2000 and WGS 84 went the wrong way"
    ),
    "epsg-5194": Text(
        vi="dùng phép chuyển EPSG:5194 thay cho EPSG:6960",
        en="the shift was that of EPSG:5194, not EPSG:6960",
    ),
    "rotation-signs": Text(
        vi="sai dấu các góc xoay của phép chuyển", en="the rotations of the shift had wrong signs"
    ),
    "three-parameters": Text(
        vi="chỉ dùng 3 trong 7 tham số chuyển", en="only three of the shift's seven parameters were used"
    ),
    "swapped-axes": Text(vi="đổi chỗ trục X và Y", en="the axes are swapped"),
    "other-zone": Text(vi="nhầm múi chiếu, đúng là EPSG:{code}", en="the zone is another: EPSG:{code}"),
    "swapped-axes-and-zone": Text(
        vi="đổi trục và nhầm múi chiếu, đúng là EPSG:{code}",
        en="the axes are swapped and the zone is another: EPSG:{code}",
    ),
    "degrees-as-metres": Text(
        vi="tọa độ là độ, không phải mét", en="the coordinates are degrees, not metres"
    ),
    "millimetres": Text(vi="tọa độ tính bằng milimét", en="the coordinates are millimetres"),
    "local-coordinates": Text(
        vi="tọa độ giả định của bản vẽ", en="the coordinates are those of a local drawing"
    ),
}
_UNKNOWN = Text(vi="chưa rõ nguyên nhân", en="the cause is not known")
_AWAY = {
    "vi": "{load} ({count} đối tượng) nằm ngoài thành phố: {cause}",
    "en": "{load} ({count} features) lies outside the city: {cause}",
}
_OFF = {
    "vi": "{load} ({count} đối tượng) lệch {off:.2f} m so với {against}: {cause}",
    "en": "{load} ({count} features) lies {off:.2f} m off {against}: {cause}",
}


@dataclass(frozen=True)
class _Delivery:
    """Features of a layer of one load: ``number`` NaN for those that came in no load; ``fids`` ascending."""

    number: float
    fids: Ints

    @property
    def name(self) -> str:
        return "load none" if np.isnan(self.number) else f"load {self.number:.0f}"


@whole(GEN_12)
def gen_12(whole: Whole, app: Application) -> Iterator[Finding]:
    if whole.changed is not None:
        return  # an edit is no delivery
    for name in app.layers:
        layer = whole.setting.catalogue.layers[name]
        for delivery in _deliveries(whole, name):
            if len(delivery.fids) >= app.number("least"):
                found = _verdict(whole, app, layer, delivery)
                if found is not None:
                    yield found


def _deliveries(whole: Whole, layer: str) -> list[_Delivery]:
    loads, fids = [np.empty(0)], [np.empty(0, np.int64)]
    for some in whole.source.stream(layer, ("load_id",), geometry=False):
        loads.append(some["load_id"])
        fids.append(some.fid)
    load, fid = np.concatenate(loads), np.concatenate(fids)
    return [
        _Delivery(float(number), np.sort(fid[np.isnan(load) if np.isnan(number) else load == number]))
        for number in np.unique(load)
    ]


def _verdict(whole: Whole, app: Application, layer: Layer, delivery: _Delivery) -> Finding | None:
    city = whole.setting.city
    storage = city.crs.storage
    step = -(-len(delivery.fids) // _SAMPLE)
    sample = whole.source.pick(layer.id, delivery.fids[::step].tolist(), ())
    xy = _firsts(sample)
    if not len(xy):
        return None
    said = crs.diagnose(xy, storage, city.extent, storage, offered=city.crs.offered)
    if not said.ok:
        cause = _CAUSES.get(said.mistake or "", _UNKNOWN)
        words = _said(_AWAY, delivery, cause, code=said.code)
        where = points(xy[np.abs(xy).max(axis=1) < 1e8]) if (np.abs(xy) < 1e8).all() else nowhere(city)
        return about_layer(app, layer, delivery.name, where, words={"what": words})
    return _against_sector(whole, app, layer, delivery, xy)


def _against_sector(
    whole: Whole, app: Application, layer: Layer, delivery: _Delivery, xy: Floats
) -> Finding | None:
    """Compare with the vertices of the sector's other layers in a few places."""
    storage = whole.setting.city.crs.storage
    unit = crs.definition(storage).unit_m
    match = app.number("match_m") / unit
    others = [
        other
        for other in whole.setting.catalogue.layers.values()
        if other.sector.id == layer.sector.id and other.id != layer.id and other.definition.loadable
    ]
    ours: list[Floats] = []
    theirs: list[Floats] = []
    against: dict[str, Text] = {}
    for at in xy[np.linspace(0, len(xy) - 1, min(_SITES, len(xy))).astype(int)]:
        box = grown((at[0], at[1], at[0], at[1]), _SITE_M / unit)
        mine = whole.source.features(layer.id, box, ("load_id",))
        load = mine["load_id"]
        mine = mine.take(np.isnan(load) if np.isnan(delivery.number) else load == delivery.number)
        points_ = _inside(mine, box)
        near = {
            o.id: _inside(f, grown(box, _FARTHEST_M / unit)) for o, f in _around(whole, others, box, unit)
        }
        near = {name: found for name, found in near.items() if len(found)}
        if not len(points_) or not near:
            continue
        against |= {name: whole.setting.catalogue.layers[name].title for name in near}
        ours.append(points_)
        theirs.append(np.vstack(list(near.values())))
        if _hits(points_, theirs[-1], match)[0].mean() > _RIGHT:
            return None  # it lies where it should
    if not ours:
        return None
    given, tree_of = np.vstack(ours), np.unique(np.vstack(theirs), axis=0)
    for trial in _trials(given, storage, unit):
        hit, nearest = _hits(trial, tree_of, match)
        if hit.sum() >= _FEWEST and hit.mean() >= app.number("share"):
            offset = crs.judge(given[hit], nearest[hit], storage, storage)
            if offset.kind == "mistake":
                words = _said(
                    _OFF, delivery, _CAUSES.get(offset.mistake or "", _UNKNOWN), code=offset.code,
                    off=offset.metres, against=_joined(against),
                )  # fmt: skip
                return about_layer(
                    app, layer, delivery.name, points(given[hit]), value=offset.metres, words={"what": words}
                )
    return None


def _around(whole: Whole, others: list[Layer], box: Box, unit: float) -> Iterator[tuple[Layer, Features]]:
    for other in others:
        yield other, whole.source.features(other.id, grown(box, _FARTHEST_M / unit), ())


def _trials(given: Floats, storage: int, unit: float) -> Iterator[Floats]:
    """``given`` with each mistake undone that moves it by no more than what was read around it."""
    for trial in crs.undone(given, storage, storage):
        with np.errstate(invalid="ignore"):
            moved = float(np.median(np.hypot(*(trial.right - given).T))) * unit
        if moved <= _FARTHEST_M:
            yield trial.right


def _hits(xy: Floats, among: Floats, within: float) -> tuple[np.ndarray, Floats]:
    """Which of ``xy`` (n, 2) have one of ``among`` within the distance, and the nearest of them."""
    finite = np.isfinite(xy).all(axis=1)
    apart, index = cKDTree(among).query(np.where(finite[:, None], xy, 0.0), distance_upper_bound=within)
    hit = finite & np.isfinite(apart)
    return hit, among[np.minimum(index, len(among) - 1)]


def _inside(features: Features, box: Box) -> Floats:
    """Vertices in the box, at most so many, spread."""
    xy, _ = features.vertices
    minx, miny, maxx, maxy = box
    inside = (xy[:, 0] >= minx) & (xy[:, 0] <= maxx) & (xy[:, 1] >= miny) & (xy[:, 1] <= maxy)
    distinct = np.unique(xy[inside], axis=0)
    size = _MOST_VERTICES if features.layer.dimension == 0 else 20 * _MOST_VERTICES
    return np.asarray(distinct[:: -(-len(distinct) // size) or 1])


def _firsts(features: Features) -> Floats:
    """The first vertex of each feature, finite ones."""
    xy, owner = features.vertices
    first = xy[np.r_[True, owner[1:] != owner[:-1]]] if len(xy) else xy
    return np.asarray(first[np.isfinite(first).all(axis=1)])


def _said(
    words: dict[str, str], delivery: _Delivery, cause: Text, *, code: int | None, off: float = 0.0,
    against: dict[str, str] | None = None,
) -> dict[str, str]:  # fmt: skip
    load = {"vi": f"Lần nạp {delivery.number:.0f}", "en": f"Load {delivery.number:.0f}"}
    if np.isnan(delivery.number):
        load = {"vi": "Dữ liệu không rõ lần nạp", "en": "Data of no load"}
    return {
        lang: text.format(
            load=load[lang], count=len(delivery.fids), off=off, against=(against or {}).get(lang, ""),
            cause=getattr(cause, lang).format(code=code),
        )
        for lang, text in words.items()
    }  # fmt: skip


def _joined(layers: dict[str, Text]) -> dict[str, str]:
    some = [layers[name] for name in sorted(layers)[:4]]
    return {lang: ", ".join(getattr(title, lang) for title in some) for lang in ("vi", "en")}
