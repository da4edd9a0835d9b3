"""GEN-05 and GEN-07: repeated vertices and spikes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import shapely

from gis.checks.features import Bools, Features, Floats, Ints
from gis.checks.findings import finding
from gis.checks.model import Application, Finding, Mend, Parameter, Rule
from gis.checks.places import points
from gis.checks.registry import local, reads
from gis.checks.window import Window, corner
from layers.model import Text

GEN_05 = Rule(
    id="GEN-05",
    title=Text(vi="Đỉnh trùng", en="Duplicate vertex"),
    explanation=Text(
        vi="Hai đỉnh liên tiếp trùng nhau hoặc gần như trùng nhau. Đỉnh thừa làm hỏng phép tính góc và gây "
        "lỗi khi biên tập; xóa một trong hai đỉnh. Hai đỉnh cùng chỗ nhưng khác độ cao (ống đứng) không "
        "phải là lỗi.",
        en="Two vertices in a row are the same or nearly so. They spoil angles and trip editors; remove "
        "one. Two at "
        "one place but of different heights (a riser) are none.",
    ),
    message=Text(
        vi="{count} cặp đỉnh liên tiếp cách nhau không quá {limit}; xóa một đỉnh của mỗi cặp",
        en="{count:pair|pairs} of vertices in a row at most {limit} apart; remove one of each",
    ),
    severity="E",
    scope="local",
    source="Practice; GEOS and QGIS topology checker",
    unit="m",
    parameters=(
        Parameter(
            "distance_m",
            Text(vi="Khoảng cách nhỏ nhất", en="Least distance"),
            0.001,
            "m",
            minimum=0,
            maximum=1,
        ),
    ),
    dimensions=(1, 2, -1),
    sees_unsound=True,
)

GEN_07 = Rule(
    id="GEN-07",
    title=Text(vi="Góc nhọn bất thường", en="Spike"),
    explanation=Text(
        vi="Đường hoặc ranh đi ra rồi quay lại gần như trùng, tạo thành gai: thường do bắt nhầm điểm. Xóa "
        "đỉnh ở đầu gai.",
        en="The line or boundary runs out and nearly straight back: mostly a vertex snapped to the wrong "
        "place. Remove "
        "the vertex at the tip.",
    ),
    message=Text(
        vi="{count} đỉnh có góc nhỏ hơn {limit} (nhỏ nhất {value}); xóa đỉnh ở đầu gai",
        en="{count:vertex|vertices} with an angle under {limit} (smallest {value}); remove the tip",
    ),
    severity="E",
    scope="local",
    source="Practice; QGIS and PostGIS topology tools",
    unit="°",
    parameters=(
        Parameter(
            "angle_deg", Text(vi="Góc nhỏ nhất", en="Least angle"), 1.0, "°", minimum=0, maximum=45
        ),
        Parameter(
            "leg_m",
            Text(vi="Cạnh ngắn hơn thì không xét góc", en="Shorter sides have no angle"),
            0.01, "m", minimum=0, maximum=10,
        ),
    ),
    dimensions=(1, 2, -1),
    sees_unsound=True,
)  # fmt: skip


@local(GEN_05, needs=reads(alone=True))
def gen_05(window: Window, app: Application) -> Iterator[Finding]:
    limit = app.number("distance_m")
    for layer in app.layers:
        features = window.features(layer)
        xy, owner = features.vertices
        if len(xy) < 2:
            continue
        with np.errstate(invalid="ignore"):
            dx, dy = xy[1:, 0] - xy[:-1, 0], xy[1:, 1] - xy[:-1, 1]
            close = (dx * dx + dy * dy <= limit * limit * (1 + 1e-12)) & (owner[1:] == owner[:-1])
        at = np.flatnonzero(close)
        if not len(at):
            continue
        at = at[features.paths.steps(len(xy))[at]]
        at = at[window.owns(corner(features.boxes))[owner[at]]]
        steps = _with_heights(features, at, np.hypot(dx[at], dy[at]), owner)
        near = steps <= limit
        for pairs, apart in _by_feature(owner, at[near], steps[near]):
            yield _repeated(app, features, int(owner[pairs[0]]), pairs, apart, limit)


def _by_feature(owner: Ints, vertices: Ints, values: Floats) -> Iterator[tuple[Ints, Floats]]:
    """Vertices (ascending) and a value of each, feature by feature."""
    if len(vertices):
        cuts = np.flatnonzero(np.diff(owner[vertices])) + 1
        yield from zip(np.split(vertices, cuts), np.split(values, cuts), strict=True)


def _with_heights(features: Features, at: Ints, steps: Floats, owner: Ints) -> Floats:
    """The steps from vertex ``at`` to the next with their difference in height, where both ends have one."""
    rows = np.unique(owner[at])
    deep = rows[shapely.has_z(features.geometry[rows])]
    if not len(deep):
        return steps
    z = shapely.get_coordinates(features.geometry[deep], include_z=True)
    counts = np.bincount(owner, minlength=len(features))
    begins = np.cumsum(counts) - counts
    inner = np.cumsum(counts[deep]) - counts[deep]
    position = np.full(len(features), -1, dtype=np.int64)
    position[deep] = inner - begins[deep]
    three = np.isin(owner[at], deep)
    first = at[three] + position[owner[at][three]]
    rise = z[first + 1, 2] - z[first, 2]
    found = steps.copy()
    found[three] = np.hypot(steps[three], np.where(np.isfinite(rise), rise, 0.0))
    return found


def _repeated(
    app: Application, features: Features, index: int, pairs: Ints, apart: Floats, limit: float
) -> Finding:
    xy, _ = features.vertices
    return finding(
        app,
        [(features, index)],
        points(np.minimum(xy[pairs], xy[pairs + 1])),
        corner(features.boxes)[index],
        value=apart.min(),
        limit=limit,
        words={"count": len(pairs)},
        mends=_without(features, index, pairs, limit) if len(pairs) <= _MOST_DROPPED else (),
    )


#: A feature of more repeated vertices is not mended by dropping them.
_MOST_DROPPED = 10_000


def _without(features: Features, index: int, pairs: Ints, limit: float) -> list[Mend]:
    """The feature without repeated vertices; nothing when it would not be sound then.

    A vertex goes when it is within ``limit`` of the one that was kept before it: of a curve drawn in steps of
    a millimetre every second one stays. The ends of a line and of a ring stay.
    """
    shape, (xy, owner), paths = features.geometry[index], features.vertices, features.paths
    mine = np.flatnonzero(paths.feature == index)
    of = np.searchsorted(paths.start[mine], pairs, side="right") - 1
    gone: dict[int, int] = {}
    moved, kept, before = 0.0, -1, -1
    for pair, path in zip(pairs.tolist(), of.tolist(), strict=True):
        kept = kept if pair == before else pair
        last = pair + 1 == paths.end[mine[path]] - 1
        apart = float(np.hypot(*(xy[pair + 1] - xy[kept])))
        before = pair + 1
        if apart > limit:
            kept = pair + 1
            continue
        drop = kept if last else pair + 1
        if drop == paths.start[mine[path]]:
            return []
        gone[drop] = path
        moved = max(moved, apart)
    lost = np.bincount(list(gone.values()), minlength=len(mine))
    left = paths.end[mine] - paths.start[mine] - lost
    if shapely.get_type_id(shape) not in (1, 3, 5, 6) or (left < np.where(paths.ring[mine], 4, 2)).any():
        return []
    mended = _drop(shape, np.array(sorted(gone)) - int(np.searchsorted(owner, index)))
    if not gone or not shapely.is_valid(mended):
        return []
    return [Mend(features.layer.id, int(features.fid[index]), str(features.asset_id[index]), mended, moved)]


def _drop(shape: Any, gone: Ints) -> Any:
    """``shape`` without the vertices of these positions."""
    count = shapely.get_num_coordinates(shape)
    keep = np.ones(count, dtype=np.bool_)
    keep[gone] = False
    position = 0

    def run(line: Any) -> Any:
        nonlocal position
        xyz = shapely.get_coordinates(line, include_z=bool(shapely.has_z(line)))
        mine = keep[position : position + len(xyz)]
        position += len(xyz)
        return xyz[mine]

    def part(one: Any) -> Any:
        if shapely.get_type_id(one) == 1:
            return shapely.LineString(run(one))
        rings = [run(ring) for ring in shapely.get_rings(one)]
        return shapely.Polygon(rings[0], rings[1:])

    kind = shapely.get_type_id(shape)
    if kind in (1, 3):
        return part(shape)
    parts = [part(one) for one in shapely.get_parts(shape)]
    return shapely.MultiLineString(parts) if kind == 5 else shapely.MultiPolygon(parts)


@local(GEN_07, needs=reads(alone=True))
def gen_07(window: Window, app: Application) -> Iterator[Finding]:
    limit, leg = app.number("angle_deg"), app.number("leg_m")
    for layer in app.layers:
        features = window.features(layer)
        xy, owner = features.vertices
        tips, angles = spikes(features, np.radians(limit), leg)
        if not len(tips):
            continue
        mine = window.owns(corner(features.boxes))[owner[tips]]
        for at, sharp in _by_feature(owner, tips[mine], angles[mine]):
            index = owner[at[0]]
            yield finding(
                app,
                [(features, index)],
                points(xy[at]),
                corner(features.boxes)[index],
                value=np.degrees(sharp.min()),
                limit=limit,
                words={"count": len(at)},
            )


def _has_rings(features: Features) -> bool:
    """Whether one of the features may be more than points and lines."""
    types = shapely.get_type_id(features.geometry)
    return bool(((types == 3) | (types > 5)).any())


def spikes(features: Features, limit: float, leg: float) -> tuple[Ints, Floats]:
    """Vertices with an angle under ``limit`` (radians) between sides of ``leg`` (m) or more, and the angles.

    Positions in Features.vertices, ascending. Of a ring the first vertex counts, the closing one does not.
    """
    xy, _ = features.vertices
    none = np.empty(0, dtype=np.int64), np.empty(0)
    if len(xy) < 3:
        return none
    with np.errstate(invalid="ignore", over="ignore"):
        edge = xy[1:] - xy[:-1]  # at most kilometres: the angle is exact, though coordinates are large
        # For the corner at vertex i + 1: back along edge i, on along edge i + 1. A spike turns back.
        back = edge[:-1, 0] * edge[1:, 0] + edge[:-1, 1] * edge[1:, 1] < 0
    corners = np.flatnonzero(back) + 1
    if not len(corners) and not _has_rings(features):
        return none
    paths = features.paths
    steps = paths.steps(len(xy))
    corners = corners[steps[corners - 1] & steps[corners]]
    before, after = corners - 1, corners + 1
    closed = np.flatnonzero(paths.ring & (paths.end - paths.start >= 4))
    corners = np.concatenate([corners, paths.start[closed]])
    before = np.concatenate([before, paths.end[closed] - 2])
    after = np.concatenate([after, paths.start[closed] + 1])
    with np.errstate(invalid="ignore", over="ignore"):
        u, v = xy[before] - xy[corners], xy[after] - xy[corners]
        dot = u[:, 0] * v[:, 0] + u[:, 1] * v[:, 1]
        cross = np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])
        long = np.minimum(np.hypot(u[:, 0], u[:, 1]), np.hypot(v[:, 0], v[:, 1])) >= leg
        angle = np.arctan2(cross, dot)
        sharp: Bools = long & (angle < limit)
    order = np.argsort(corners[sharp], kind="stable")
    return corners[sharp][order], angle[sharp][order]
