"""CAD-04 T-vertices and CAD-05 nearly equal vertices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely

from gis.checks.fabric.facing import close_vertices, holders, t_vertices
from gis.checks.fabric.judge import (
    LIMIT,
    SCALE,
    fabric_of,
    facing_of,
    greatest_limit,
    position_limits,
    reads_there,
)
from gis.checks.fabric.mends import with_moved, with_vertices
from gis.checks.findings import finding
from gis.checks.model import Application, Finding, Mend, Parameter, Rule
from gis.checks.registry import local
from gis.checks.window import Window
from layers.model import Text

CAD_04 = Rule(
    id="CAD-04",
    awaits=True,
    title=Text(vi="Cạnh chung thiếu đỉnh", en="Shared edge without matching vertex"),
    explanation=Text(
        vi="Ranh giới của các thửa bên kết thúc trên cạnh của thửa này, nhưng thửa này không có đỉnh ở đó. "
        "Khi dời hoặc chuyển tọa độ, hai bên tách nhau thành khe hở hoặc chồng lấn. Thêm đỉnh vào cạnh.",
        en="A neighbour's corner lies on this parcel's edge, and the parcel has no vertex there. When either "
        "is moved or transformed, they come apart in a gap or an overlap. Insert the vertex. A corner that "
        "only touches an edge, without a shared stretch, is no finding.",
    ),
    message=Text(
        vi="{judged} không có đỉnh tại góc của vùng bên cạnh (cách cạnh {value}, dung sai {limit}); "
        "thêm đỉnh",
        en="{judged} has no vertex at its neighbour's corner ({value} off its edge, tolerance {limit}); "
        "insert it",
    ),
    severity="E",
    scope="local",
    source="Practice of topological cadastral data; snap distances of check-rules",
    unit="m",
    parameters=(
        Parameter(
            "distance_m",
            Text(vi="Đỉnh cách cạnh không quá", en="Vertex at most so far from the edge"),
            0.001,
            "m",
            minimum=0,
            maximum=0.25,
        ),
    ),
    dimensions=(2,),
)


@local(CAD_04, needs=reads_there(reach=lambda app: 2 * app.number("distance_m")))
def cad_04(window: Window, app: Application) -> Iterator[Finding]:
    limit = app.number("distance_m")
    for layer in app.layers:
        fabric = fabric_of(window, layer)
        features, made, index = fabric.features, fabric.edges, fabric.index
        pairs = facing_of(window, layer, np.full(len(made.polygons), limit))
        found = t_vertices(made, pairs, limit)
        owned = np.flatnonzero(window.owns(found.xy))
        # All corners that a parcel lacks are one change: else the second mend would undo the first.
        lacks = made.owner[found.edge]
        mended: dict[int, shapely.Geometry | None] = {}
        for me, some in _groups(lacks, lacks[owned]):
            corners = [(made.a[found.edge[k]], made.b[found.edge[k]], found.xy[k]) for k in some]
            mended[me] = with_vertices(made.polygons[me], corners)
        for k in owned:
            xy, me = found.xy[k], int(lacks[k])
            others = [int(n) for n in holders(made, int(found.vertex[k])) if n != me]
            ref, new = features.ref(int(index[me])), mended[me]
            mend = [] if new is None else [Mend(layer, ref.fid, ref.asset_id, new, float(found.distance[k]))]
            yield finding(
                app,
                [(features, int(index[n])) for n in (me, *others)],
                shapely.Point(xy),
                (float(xy[0]), float(xy[1])),
                value=found.distance[k],
                limit=limit,
                words={"judged": ref.asset_id},
                mends=mend,
            )


CAD_05 = Rule(
    id="CAD-05",
    title=Text(vi="Đỉnh của hai vùng kề gần trùng nhau", en="Neighbours' vertices nearly equal"),
    explanation=Text(
        vi="Hai thửa có đỉnh cách nhau dưới nửa giới hạn sai số vị trí nhưng không trùng: cùng một mốc được "
        "đo hoặc nhập hai lần. Đưa về đỉnh mà nhiều thửa dùng chung hơn.",
        en="Corners of two parcels are less than half the position limit apart and not equal: one mark was "
        "measured or typed in twice. Suggested: the corner that fewer parcels share moves to the other.",
    ),
    message=Text(
        vi="hai đỉnh cách nhau {value} (giới hạn {limit}); dùng chung một đỉnh",
        en="two corners are {value} apart (limit {limit}); make them one",
    ),
    severity="W",
    scope="local",
    source="Circular 26/2024/TT-BTNMT (position limits by map scale)",
    unit="m",
    parameters=(
        LIMIT,
        SCALE,
        Parameter(
            "share",
            Text(vi="Phần của giới hạn vị trí", en="Share of the position limit"),
            0.5,
            minimum=0,
            maximum=1,
        ),
    ),
    dimensions=(2,),
)


@local(CAD_05, needs=reads_there(reach=lambda app: 2 * greatest_limit(app) * app.number("share") + 0.1))
def cad_05(window: Window, app: Application) -> Iterator[Finding]:
    for layer in app.layers:
        fabric = fabric_of(window, layer)
        features, made, index = fabric.features, fabric.edges, fabric.index
        limits = position_limits(window, app, features)[index] * app.number("share")
        found = close_vertices(made, limits)
        if not len(found.u):
            continue
        swap = _after(found.u_xy, found.v_xy)
        anchors = np.where(swap[:, None], found.v_xy, found.u_xy)
        for k in np.flatnonzero(window.owns(anchors)):
            mine, theirs = holders(made, int(found.u[k])), holders(made, int(found.v[k]))
            here, there = found.u_xy[k], found.v_xy[k]
            # The corner of more parcels stays; of as many, that of the first parcel.
            if (len(theirs), -int(theirs[0])) > (len(mine), -int(mine[0])):
                mine, theirs, here, there = theirs, mine, there, here
            mends = []
            for n in theirs:
                new = with_moved(made.polygons[n], [(there, here)])
                if new is not None:
                    ref = features.ref(int(index[n]))
                    mends.append(Mend(layer, ref.fid, ref.asset_id, new, float(found.distance[k])))
            both = np.unique(np.concatenate([mine, theirs]))
            yield finding(
                app,
                [(features, int(index[n])) for n in both],
                shapely.LineString([here, there]),
                (float(anchors[k, 0]), float(anchors[k, 1])),
                value=found.distance[k],
                limit=float(limits[both].max()),
                mends=mends if len(mends) == len(theirs) else [],
            )


def _after(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where ``one`` comes after ``other`` from west to east, then from south to north."""
    found: np.ndarray = (one[:, 0] > other[:, 0]) | ((one[:, 0] == other[:, 0]) & (one[:, 1] > other[:, 1]))
    return found


def _groups(labels: np.ndarray, wanted: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(label, where it is) of the wanted labels."""
    some = np.flatnonzero(np.isin(labels, wanted))
    some = some[np.argsort(labels[some], kind="stable")]
    for part in np.split(some, np.flatnonzero(np.diff(labels[some])) + 1) if len(some) else ():
        yield int(labels[part[0]]), part
