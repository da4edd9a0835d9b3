"""GEN-12: a delivery that a mistake of its coordinate system put in the wrong place, as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gis import crs
from gis.checks.displaced import Sites
from gis.checks.features import Bools, Features, Floats, Ints
from gis.checks.findings import about_layer
from gis.checks.model import Application, Finding, Parameter, Rule
from gis.checks.places import nowhere, points
from gis.checks.registry import whole
from gis.checks.whole import Whole
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

#: Features of a delivery that the extent is asked about, and places where it is compared with other layers.
_SAMPLE, _SITES = 500, 3
#: In the place of the number of no load, which no order has.
_NONE = float("inf")

#: The mistakes (gis.crs) in words.
CAUSES = {
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
    """Features of a layer of one load: ``number`` NaN for those that came in no load; ``count`` how many, and
    the ``fids`` of some of them, ascending."""

    number: float
    count: int
    fids: Ints

    def has(self, features: Features) -> Bools:
        """Which of the features came with it."""
        load = features["load_id"]
        return np.asarray(np.isnan(load) if np.isnan(self.number) else load == self.number)

    @property
    def name(self) -> str:
        return "load none" if np.isnan(self.number) else f"load {self.number:.0f}"


@whole(GEN_12, edits=False)
def gen_12(whole: Whole, app: Application) -> Iterator[Finding]:
    if whole.changed is not None:
        return  # an edit is no delivery
    for name in app.layers:
        layer = whole.setting.catalogue.layers[name]
        for delivery in _deliveries(whole, name):
            if delivery.count >= app.number("least"):
                found = _verdict(whole, app, layer, delivery)
                if found is not None:
                    yield found


def _deliveries(whole: Whole, layer: str) -> list[_Delivery]:
    """The deliveries of a layer, each with _SAMPLE of its features: those whose ids mix to the least numbers,
    which no order of reading changes, and of which no more than these are kept."""
    known: dict[float, _Delivery] = {}
    for some in whole.source.stream(layer, ("load_id",), geometry=False):
        loads = some["load_id"]
        for number in np.unique(loads):
            fids = some.fid[np.isnan(loads) if np.isnan(number) else loads == number]
            key = _NONE if np.isnan(number) else float(number)
            had = known.get(key, _Delivery(float(number), 0, np.empty(0, np.int64)))
            both = np.concatenate([had.fids, fids])
            least = both[np.argsort(_mixed(both), kind="stable")[:_SAMPLE]]
            known[key] = _Delivery(had.number, had.count + len(fids), np.sort(least))
    return [known[key] for key in sorted(known)]


def _mixed(fids: Ints) -> npt.NDArray[np.uint64]:
    mixed = fids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return np.asarray((mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9))


def _verdict(whole: Whole, app: Application, layer: Layer, delivery: _Delivery) -> Finding | None:
    city = whole.setting.city
    storage = city.crs.storage
    sample = whole.source.pick(layer.id, delivery.fids.tolist(), ())
    xy = _firsts(sample)
    if not len(xy):
        return None
    said = crs.diagnose(xy, storage, city.extent, storage, offered=city.crs.offered)
    if not said.ok:
        cause = CAUSES.get(said.mistake or "", _UNKNOWN)
        words = _said(_AWAY, delivery, cause, code=said.code)
        where = points(xy[np.abs(xy).max(axis=1) < 1e8]) if (np.abs(xy) < 1e8).all() else nowhere(city)
        return about_layer(app, layer, delivery.name, where, words={"what": words})
    return _against_sector(whole, app, layer, delivery, xy)


def _against_sector(
    whole: Whole, app: Application, layer: Layer, delivery: _Delivery, xy: Floats
) -> Finding | None:
    """Compare with the vertices of the sector's other layers in a few places."""
    storage = whole.setting.city.crs.storage
    layers = whole.setting.catalogue.layers
    sector = [o for o, v in layers.items() if v.sector.id == layer.sector.id and v.definition.loadable]
    middles = xy[np.linspace(0, len(xy) - 1, min(_SITES, len(xy))).astype(int)]
    match = app.number("match_m") / crs.definition(storage).unit_m
    sites = Sites(whole.source, storage, middles, match, app.number("share"))
    found = sites.compare(layer.id, [o for o in sector if o != layer.id], delivery.has)
    if found is None:
        return None
    if len(found.layers) == 1:
        # One layer alone speaks against this one. When it is off all others in the same way, it is to blame.
        other = found.layers[0]
        blamed = sites.compare(other, [o for o in sector if o not in (other, layer.id)])
        if blamed is not None and blamed.offset.mistake == found.offset.mistake:
            return None
    titles = [layers[name].title for name in found.layers[:4]]
    words = _said(
        _OFF, delivery, CAUSES.get(found.offset.mistake or "", _UNKNOWN), code=found.offset.code,
        off=found.offset.metres, against={v: ", ".join(getattr(t, v) for t in titles) for v in ("vi", "en")},
    )  # fmt: skip
    where, metres = points(found.vertices), found.offset.metres
    return about_layer(app, layer, delivery.name, where, value=metres, words={"what": words})


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
            load=load[lang], count=delivery.count, off=off, against=(against or {}).get(lang, ""),
            cause=getattr(cause, lang).format(code=code),
        )
        for lang, text in words.items()
    }  # fmt: skip
