"""XLY-06: features outside the area of the agency that owns them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
import shapely

from gis import crs
from gis.checks.crossing.among import meant, needs
from gis.checks.crossing.works import UNITS
from gis.checks.features import Bools, Features, Floats, Objects
from gis.checks.findings import finding
from gis.checks.model import Application, Finding, Parameter, Rule
from gis.checks.network.graph import unit_m
from gis.checks.network.members import one_of
from gis.checks.registry import local
from gis.checks.window import Need, Window
from gis.city import Area
from layers.model import Text
from layers.registry import Catalogue

#: Distances outside are measured up to here (m).
FARTHEST = 1000.0
XLY_06 = Rule(
    id="XLY-06",
    title=Text(vi="Ngoài địa bàn của đơn vị quản lý", en="Outside its owner's area"),
    explanation=Text(
        vi="Điểm giữa của đối tượng nằm ngoài địa bàn ghi cho đơn vị quản lý trong city.yml (các phường "
        "xã, một khung "
        "hoặc một vùng). Đơn vị không có địa bàn thì không xét. Thường do sai đơn vị quản lý hoặc sai vị "
        "trí.",
        en="The middle of the feature lies outside the area that city.yml gives its owner (wards, a box "
        "or a polygon). "
        "Owners without an area are not judged. Mostly the owner or the position is wrong.",
    ),
    message=Text(
        vi="{feature} của {agency} nằm ngoài địa bàn {value}",
        en="{feature} of {agency} lies {value} outside its area",
    ),
    severity="W",
    scope="local",
    source="Practice; city.yml",
    unit="m",
    parameters=(
        Parameter(
            "outside_m",
            Text(vi="Cho phép nằm ngoài", en="Allowed outside"),
            10.0,
            "m",
            minimum=0,
            maximum=900,
        ),
        Parameter(
            "ward_field", Text(vi="Trường mã phường xã", en="Field with the ward's code"), "commune_code"
        ),
    ),
)


def _needs(app: Application, catalogue: Catalogue) -> Iterable[Need]:
    yield from needs(app, catalogue, app.layers, 0.0, alone=True)
    yield from needs(app, catalogue, app.against, FARTHEST * UNITS, app.text("ward_field"))


@local(XLY_06, needs=_needs)
def xly_06(window: Window, app: Application) -> Iterator[Finding]:
    city = window.setting.city
    limit = app.number("outside_m")
    for agency in city.agencies:
        if agency.area is None:
            continue
        own = _own(agency.area, city.crs.storage)
        for layer in app.layers:
            features = window.sound(layer)
            if not len(features):
                continue
            mine = np.flatnonzero((features.owner == agency.id) & meant(app, features))
            middles = _middles(features.geometry[mine])
            owned = window.owns(shapely.get_coordinates(middles))
            mine, middles = mine[owned], middles[owned]
            outside = _outside(window, app, agency.area.wards, own, middles)
            for at in np.flatnonzero(outside > limit).tolist():
                index = int(mine[at])
                yield finding(
                    app,
                    [(features, index)],
                    middles[at],
                    tuple(shapely.get_coordinates(middles[at])[0]),
                    value=outside[at],
                    limit=limit,
                    words={
                        "feature": features.asset_id[index],
                        "agency": {"vi": agency.title.vi, "en": agency.title.en},
                    },
                )


@lru_cache(maxsize=64)
def _own(area: Area, storage: int) -> shapely.Geometry:
    """The box and polygon of an area in the storage CRS; empty when it has only wards."""
    shapes = [crs.transform_box(area.box, 4326, storage)] if area.box else []
    if area.polygon:
        ring = shapely.segmentize(shapely.Polygon(area.polygon), 0.01)
        shapes += list(crs.transform_geometries(np.array([ring], dtype=object), 4326, storage))
    return shapely.union_all(shapes)


def _middles(geometry: Objects) -> Objects:
    """(n) points: half way along a line, inside an area."""
    found: Objects = shapely.point_on_surface(shapely.force_2d(geometry))
    lines = shapely.get_type_id(geometry) == 1
    found[lines] = shapely.line_interpolate_point(shapely.force_2d(geometry[lines]), 0.5, normalized=True)
    return found


def _outside(
    window: Window, app: Application, wards: tuple[str, ...], own: shapely.Geometry, points: Objects
) -> Floats:
    """(n) distance (m) of points from the area, at most FARTHEST; 0 inside, and where it is not known."""
    unit = unit_m(window.setting.city)
    distance = np.full(len(points), FARTHEST)
    if not own.is_empty:
        distance = np.minimum(distance, shapely.distance(points, own) * unit)
    if not wards or not len(points):
        return distance
    known = np.zeros(len(points), bool)
    for against in app.against:
        units = window.sound(against)
        theirs = meant(app, units)
        in_area = theirs & one_of(units[app.text("ward_field")], wards)
        # Where there is no ward at all (they are not loaded, or it is outside the city) nothing is said.
        known |= _in_any(units, theirs, points)
        for ward in units.geometry[in_area]:
            shapely.prepare(ward)
            distance = np.minimum(distance, shapely.distance(points, ward) * unit)
    return np.where(known | (not own.is_empty), distance, 0.0)


def _in_any(units: Features, which: Bools, points: Objects) -> Bools:
    found = np.zeros(len(points), bool)
    point, unit = units.tree.query(points, predicate="intersects")
    found[point[which[unit]]] = True
    return found
