"""GEN-08: coordinates that are no numbers, and heights that are missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import shapely
from psycopg.sql import SQL
from scipy.spatial import cKDTree

from gis.checks.concern import Change
from gis.checks.features import Bools, Features, Floats
from gis.checks.findings import finding
from gis.checks.model import Application, Finding, Parameter, Rule
from gis.checks.places import least_vertices, nowhere, points
from gis.checks.registry import NOTHING, About, Unsure, local
from gis.checks.window import Need, Setting, Window, corner
from layers.model import Text
from layers.registry import Catalogue

GEN_08 = Rule(
    id="GEN-08",
    title=Text(vi="Tọa độ không hữu hạn hoặc thiếu độ cao", en="Not finite, or heights missing"),
    explanation=Text(
        vi="Tọa độ không phải là số, hoặc đối tượng không có độ cao trong khi lớp bắt buộc hay hầu hết đối "
        "tượng "
        "lân cận cùng lớp đều có: độ dốc, độ sâu và khoảng cách đứng không tính được. Bổ sung độ cao từ hồ "
        "sơ đo.",
        en="A coordinate is no number, or the feature has no heights where the layer requires them or "
        "nearly all "
        "its neighbours in the layer have them: slopes, depths and vertical clearances cannot be computed. "
        "Take "
        "the heights from the survey.",
    ),
    message=Text(vi="{what}", en="{what}"),
    severity="E",
    scope="local",
    source="Definition of the layer (z:); practice for the neighbours",
    parameters=(
        Parameter(
            "around_m",
            Text(vi="Bán kính xét đối tượng lân cận", en="Radius in which neighbours count"),
            200.0, "m", minimum=0, maximum=2000,
        ),
        Parameter(
            "least",
            Text(vi="Số đối tượng lân cận có độ cao ít nhất", en="Least number of neighbours with heights"),
            3, minimum=1, maximum=1000,
        ),
        Parameter(
            "share",
            Text(vi="Tỷ lệ lân cận có độ cao từ đó coi là thiếu", en="Share of neighbours that have heights"),
            0.8, minimum=0, maximum=1,
        ),
    ),
    sees_unsound=True,
)  # fmt: skip

_NOT_FINITE = {
    "vi": "{n} đỉnh có tọa độ không phải là số hữu hạn; sửa hoặc xóa các đỉnh đó",
    "en": "{n} vertices have coordinates that are no finite numbers; correct or remove them",
}
_REQUIRED = {
    "vi": "Không có độ cao; lớp này bắt buộc phải có",
    "en": "It has no heights; the layer requires them",
}
_NEIGHBOURS = {
    "vi": "Không có độ cao, trong khi {n}/{of} đối tượng cùng lớp trong vòng {around:g} m đều có",
    "en": "It has no heights, but {n} of {of} features of the layer within {around:g} m have them",
}


def _needs(app: Application, catalogue: Catalogue) -> Iterable[Need]:
    for layer in app.layers:
        optional = catalogue.layers[layer].definition.z == "optional"
        yield Need(layer, (), app.number("around_m") if optional else 0.0)


def _within(_: Application, setting: Setting, change: Change) -> float | None:
    """Of a feature that keeps its heights, or has none, there may be something to say only where others are
    otherwise (the tables take finite numbers only)."""
    old, new = change.old, change.new
    if old is None or new is None or old.has_z != new.has_z:
        return None
    z = setting.catalogue.layers[change.layer].definition.z
    return None if z == "required" and not new.has_z else NOTHING


def _others(app: Application, change: Change) -> tuple[SQL, tuple[float, ...]] | None:
    """Without heights: features with them. With heights: features without, of which the place of the changed
    one was, or is, about as far as counts."""
    assert change.new is not None
    if not change.new.has_z:
        return SQL("public.ST_NDims(geom) > 2"), ()
    (x, y), (u, v) = (_place(shape) for shape in (change.old, change.new))
    by = float(np.hypot(u - x, v - y))
    if not by:
        return None
    return _BETWEEN, (x, y, app.number("around_m") - by - _SPARE, app.number("around_m") + by + _SPARE)


#: For the last bits of distances (m).
_SPARE = 1e-5
_FLAT = "public.ST_NDims(geom) = 2"
_FROM = "geom, public.ST_SetSRID(public.ST_MakePoint({0}, {1}), public.ST_SRID(geom))"
_BETWEEN = SQL(
    f"{_FLAT} AND public.ST_MaxDistance({_FROM}) >= {{2}} AND public.ST_Distance({_FROM}) <= {{3}}"
)


def _place(shape: Any) -> tuple[float, float]:
    """Where a feature stands (see _neighbours)."""
    x, y = min(map(tuple, shapely.get_coordinates(shape).tolist()))
    return x, y


def _never(*_: Any) -> Iterable[Finding]:
    raise Unsure  # _within lets nobody ask


@local(GEN_08, needs=_needs, only=SQL(_FLAT), about=About(_within, _never, _others))
def gen_08(window: Window, app: Application) -> Iterator[Finding]:
    for layer in app.layers:
        features = window.features(layer)
        broken = _not_finite(features)
        for index in np.flatnonzero(broken):
            yield _unplaced(window, app, features, index, int(broken[index]))
        z = features.layer.definition.z
        if z == "none" or not len(features):
            continue
        flat = ~shapely.has_z(features.geometry) & np.isfinite(features.boxes).all(axis=1) & (broken == 0)
        if flat.any():
            yield from (
                _required(window, app, features, flat)
                if z == "required"
                else _neighbours(window, app, features, flat)
            )


def _not_finite(features: Features) -> np.ndarray:
    """(n) vertices with a coordinate, or a height where there are heights, that is not finite."""
    bad = np.zeros(len(features), dtype=np.int64)
    xy, owner = features.vertices
    with np.errstate(invalid="ignore", over="ignore"):
        # One sum tells of a sound million; it is infinite or NaN when a single number is.
        if not np.isfinite(xy.sum()):
            bad += np.bincount(owner[~np.isfinite(xy).all(axis=1)], minlength=len(features))
        deep = np.flatnonzero(shapely.has_z(features.geometry))
        if len(deep):
            xyz, of = shapely.get_coordinates(features.geometry[deep], include_z=True, return_index=True)
            if not np.isfinite(xyz[:, 2].sum()):
                at = np.isfinite(xyz[:, :2]).all(axis=1) & ~np.isfinite(xyz[:, 2])
                bad += np.bincount(deep[of[at]], minlength=len(features))
    return bad


def _unplaced(window: Window, app: Application, features: Features, index: Any, count: int) -> Finding:
    xy = shapely.get_coordinates(features.geometry[index])
    good = xy[np.isfinite(xy).all(axis=1)]
    where = points(good) if len(good) else nowhere(window.setting.city)
    what = {language: text.format(n=count) for language, text in _NOT_FINITE.items()}
    return finding(
        app, [(features, index)], where, corner(features.boxes)[index], value=count, words={"what": what}
    )


def _required(window: Window, app: Application, features: Features, flat: Bools) -> Iterator[Finding]:
    anchors = corner(features.boxes)
    for index in np.flatnonzero(flat & window.owns(anchors)):
        where = points(shapely.get_coordinates(features.geometry[index]))
        yield finding(app, [(features, index)], where, anchors[index], words={"what": _REQUIRED})


def _neighbours(window: Window, app: Application, features: Features, flat: Bools) -> Iterator[Finding]:
    """Features without heights among features with heights.

    Each stands where its least vertex is, so that what counts as a neighbour does not depend on windows.
    """
    around, least, share = app.number("around_m"), app.number("least"), app.number("share")
    xy, owner = features.vertices
    anchors = least_vertices(xy, owner, features.boxes)
    placed = np.isfinite(anchors).all(axis=1)
    deep = np.flatnonzero(placed & ~flat)
    if len(deep) < least:
        return
    rows = np.flatnonzero(flat & placed & window.owns(anchors))
    have = _counted(anchors[deep], anchors[rows], around)
    lack = _counted(anchors[flat & placed], anchors[rows], around) - 1  # without itself
    with np.errstate(divide="ignore", invalid="ignore"):
        missing = (have >= least) & (have >= share * (have + lack))
    for row, n, of in zip(rows[missing], have[missing], (have + lack)[missing], strict=True):
        what = {lang: t.format(n=int(n), of=int(of), around=around) for lang, t in _NEIGHBOURS.items()}
        where = points(shapely.get_coordinates(features.geometry[row]))
        yield finding(app, [(features, row)], where, anchors[row], words={"what": what})


def _counted(among: Floats, at: Floats, radius: float) -> np.ndarray:
    """How many of ``among`` lie within ``radius`` (m) of each of ``at``; thousands in one place cost no "
    "more."""
    if not len(at):
        return np.zeros(0, dtype=np.int64)
    tree = cKDTree(among)
    return np.asarray(tree.query_ball_point(at, radius, return_length=True), dtype=np.int64)
