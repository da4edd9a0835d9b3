"""CAD-15: buildings across parcel lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import shapely

from gis.checks.fabric.judge import columns_there, judged
from gis.checks.fabric.overlaps import overlaps_of
from gis.checks.findings import finding
from gis.checks.model import Application, Finding, Parameter, Rule
from gis.checks.registry import local
from gis.checks.window import Need, Window, meeting_corner
from layers.model import Text
from layers.registry import Catalogue

CAD_15 = Rule(
    id="CAD-15",
    title=Text(vi="Nhà vượt ranh giới thửa", en="Building crosses a parcel line"),
    explanation=Text(
        vi="Một phần nhà nằm trên thửa khác với thửa của nó (thửa chứa điểm giữa nhà), rộng hơn giới hạn: "
        "nhà lấn sang, hoặc vẽ lệch. Mỗi thửa bị lấn báo một lần. Phần nhà nằm trên đất không có thửa "
        "không bị báo.",
        en="Part of a building lies on another parcel than its own (the one under the middle of the "
        "building), wider than the limit: it encroaches, or is drawn off its place. One finding for each "
        "such parcel. What lies on no parcel at all is no finding.",
    ),
    message=Text(
        vi="{area} m² của nhà, rộng {value}, nằm trên thửa bên (giới hạn {limit}); kiểm tra vị trí",
        en="{area} m² of the building, {value} wide, lie on the neighbour's parcel (limit {limit}); "
        "check its place",
    ),
    severity="W",
    scope="local",
    source="Practice of cadastral mapping",
    unit="m",
    parameters=(
        Parameter("by_m", Text(vi="Rộng hơn", en="Wider than"), 0.1, "m", minimum=0, maximum=100),
        Parameter("parcels", Text(vi="Lớp thửa đất", en="Layer of parcels"), "cadastre_parcel"),
    ),
    dimensions=(2,),
)


def _needs(app: Application, catalogue: Catalogue) -> Iterable[Need]:
    for layer in (*app.layers, app.text("parcels")):
        yield Need(layer, columns_there(catalogue, layer, ("status",)))


@local(CAD_15, needs=_needs)
def cad_15(window: Window, app: Application) -> Iterator[Finding]:
    by_m = app.number("by_m")
    parcels = judged(window, app.text("parcels"))
    for layer in app.layers:
        buildings = judged(window, layer)
        if not len(buildings) or not len(parcels):
            continue
        building, parcel = parcels.tree.query(buildings.geometry, predicate="intersects")
        # Its own parcel, and those that it touches, cost the exact overlay nothing.
        middle = shapely.point_on_surface(buildings.geometry)[building]
        away = ~shapely.intersects(parcels.geometry[parcel], middle)
        building, parcel = building[away], parcel[away]
        anchors = meeting_corner(buildings.boxes[building], parcels.boxes[parcel])
        owned = window.owns(anchors)
        building, parcel, anchors = building[owned], parcel[owned], anchors[owned]
        shared, area, width = overlaps_of(
            buildings.geometry[building],
            parcels.geometry[parcel],
            buildings.boxes[building],
            parcels.boxes[parcel],
            by_m,
        )
        for k in np.flatnonzero(area > 0):
            yield finding(
                app,
                [(buildings, building[k]), (parcels, parcel[k])],
                shared[k],
                anchors[k],
                value=width[k],
                limit=by_m,
                words={"area": f"{area[k]:.2f}"},
            )
